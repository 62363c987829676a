/** A proxy on loopback that opens tunnels (CONNECT) as those of companies do, or does not. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** What it does with those who ask: opens the way, refuses with a status, hangs up or says nothing. */
type Manner = 'open' | 'hang_up' | 'hang' | number;

interface ProxyOptions {
  manner?: Manner;
  /** `name:password` that it asks for. */
  credentials?: string;
  /** Where every tunnel leads, whatever was asked for: the port of a server on loopback. */
  leadsTo?: number;
}

export class ConnectProxy {
  /** The places that were asked for, such as `graph.facebook.com:443`. */
  readonly asked: string[] = [];
  /** Whatever went through the tunnels to the other end. */
  carried = '';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #credentials: string | undefined;

  private constructor(server: Server, credentials: string | undefined) {
    this.#server = server;
    this.#credentials = credentials;
  }

  static async start({ manner = 'open', credentials, leadsTo }: ProxyOptions = {}): Promise<ConnectProxy> {
    const server = createServer();
    const self = new ConnectProxy(server, credentials);
    const expected = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
    server.on('connection', (socket: Socket) => self.#keep(socket));
    server.on('connect', (request, client: Socket) => {
      const place = request.url ?? '';
      self.asked.push(place);
      if (expected !== undefined && request.headers['proxy-authorization'] !== expected) {
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="proxy"\r\n\r\n');
      } else if (manner === 'hang_up') client.destroy();
      else if (typeof manner === 'number') client.end(`HTTP/1.1 ${manner} No\r\ncontent-length: 2\r\n\r\nno`);
      else if (manner === 'open') self.#open(client, leadsTo ?? Number(place.split(':').at(-1)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  /** With the credentials that it asks for. */
  get url(): string {
    const who = this.#credentials === undefined ? '' : `${this.#credentials}@`;
    return `http://${who}127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #open(client: Socket, port: number): void {
    const far = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.on('data', (piece: Buffer) => {
        this.carried += piece.toString('latin1');
      });
      client.pipe(far).pipe(client);
    });
    this.#keep(far);
    far.on('close', () => client.destroy());
    client.on('close', () => far.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
