/** The plainest callback there is: a fastify route that takes JSON and answers 200; runs as a child of listen.js. */
import { fastify } from 'fastify';

const server = fastify({ logger: false });
server.post('/webhooks/meta', () => '');
await server.listen({ port: 0, host: '127.0.0.1' });
process.send(server.server.address().port);
