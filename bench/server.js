/** The plainest server that answers as the platform does; runs as a child of send.js. */
import { createServer } from 'node:http';

let sent = 0;
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    sent += 1;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`{"recipient_id":"1","message_id":"m_${sent}"}`);
  });
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
