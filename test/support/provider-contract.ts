/**
 * The contract of every provider, run as a table of cases: a message and a canned reply make a request and an outcome. The
 * replies come from a real HTTP server on loopback. A reply that no request asked for fails the case, so does a request
 * without a reply; no secret, no whole user id and nothing of a message may stand in an outcome; nothing leaves loopback.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { Clock, Lookup, OutgoingMessage, Provider } from '../../src/ports.js';

export const machineClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};

export interface CannedReply {
  status?: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON. */
  body?: string | object;
  /**
   * Instead of the whole reply: `drop` closes the connection when the request is there, `reset` resets it, `cut` closes it in
   * the middle of the body, `hang` says nothing, `drip` never comes to an end, `huge` sends 50 MB, `not_http` is no HTTP.
   */
  fault?: 'drop' | 'reset' | 'cut' | 'hang' | 'drip' | 'huge' | 'not_http';
}

export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface ProviderCase {
  label: string;
  message: OutgoingMessage;
  /** One for each request that the provider is to make. */
  replies: readonly CannedReply[];
  /** The requests to expect; headers that are not named may be anything, bodies are compared as JSON. */
  requests?: readonly { method: string; path: string; headers?: Record<string, string>; body: unknown }[];
  outcome: Outcome;
}

export interface LookupCase {
  label: string;
  /** One for each request that the provider is to make. */
  replies: readonly CannedReply[];
  /** The paths to expect, with their queries taken apart. */
  requests?: readonly { path: string; query: Record<string, string> }[];
  result: Lookup;
}

/** For a provider that can read conversations. */
export interface LookupContract {
  userId: string;
  since: number;
  cases: readonly LookupCase[];
  /** A conversation that one request reads. */
  success: CannedReply;
}

export interface ProviderContract {
  name: string;
  /** @param timeoutMs how long the provider waits for an answer */
  open: (baseUrl: string, timeoutMs: number) => Provider;
  /** Must never be seen: the token, the app secret, then what is made of them. */
  secrets: readonly string[];
  cases: readonly ProviderCase[];
  /** A message whose sending the general cases use. */
  message: OutgoingMessage;
  /** The platform's word for "sent". */
  success: CannedReply;
  lookup?: LookupContract;
}

/** A server on loopback that gives each request the next canned reply. */
export class ReplyServer {
  readonly seen: SeenRequest[] = [];
  readonly replies: CannedReply[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ReplyServer> {
    const server = createServer();
    const self = new ReplyServer(server);
    server.on('request', (request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        self.seen.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
        giveReply(self.replies.shift() ?? { status: 599, body: 'no reply was left' }, response);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function giveReply({ status = 200, headers = {}, body = '', fault }: CannedReply, response: ServerResponse): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/html' : 'application/json';
  const head = { 'content-type': type, ...headers };
  const socket = response.socket;
  switch (fault) {
    case undefined:
      response.writeHead(status, { ...head, 'content-length': Buffer.byteLength(text) }).end(text);
      return;
    case 'drop':
      socket?.destroy();
      return;
    case 'reset':
      socket?.resetAndDestroy();
      return;
    case 'cut':
      response.writeHead(status, { ...head, 'content-length': Buffer.byteLength(text) });
      response.write(text.slice(0, text.length >> 1), () => socket?.destroy());
      return;
    case 'hang':
      return;
    case 'drip': {
      response.writeHead(status, head);
      const timer = setInterval(() => response.write(' '), 5);
      response.on('close', () => clearInterval(timer));
      return;
    }
    case 'huge': {
      response.writeHead(status, head);
      const piece = Buffer.alloc(1024 * 1024, 'x');
      let left = 50;
      const more = (): void => {
        while (left > 0 && !response.destroyed) {
          left -= 1;
          if (!response.write(piece)) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      more();
      return;
    }
    case 'not_http':
      socket?.end('SSH-2.0-OpenSSH_9.6\r\n');
      return;
  }
}

/** Every address that this process connects to while `during` runs. */
function watchConnections(): { addresses: Set<string>; stop(): void } {
  const addresses = new Set<string>();
  const listener = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    socket.on('lookup', (_error: unknown, address: string) => addresses.add(address));
    socket.on('connect', () => addresses.add(socket.remoteAddress ?? 'unknown'));
  };
  subscribe('net.client.socket', listener);
  return { addresses, stop: () => unsubscribe('net.client.socket', listener) };
}

/** What must not stand in an outcome, an error or a log, wherever it may come from. */
export function expectNothingPrivate(shown: unknown, outgoing: OutgoingMessage, secrets: readonly string[]): void {
  const text = `${inspect(shown, { depth: 20, maxStringLength: null, breakLength: Infinity })}\n${JSON.stringify(shown)}`;
  for (const secret of secrets) expect(text).not.toContain(secret);
  expect(text).not.toContain(outgoing.userId);
  if (outgoing.message.text !== undefined) expect(text).not.toContain(outgoing.message.text);
}

export function describeProvider(contract: ProviderContract): void {
  const { name, open, secrets, cases, message, success, lookup } = contract;

  describe(`${name}: the provider contract`, () => {
    const watch = watchConnections();
    let server: ReplyServer;

    beforeAll(async () => {
      server = await ReplyServer.start();
    });
    afterAll(async () => {
      await server.close();
      watch.stop();
      const outside = [...watch.addresses].filter((address) => !address.startsWith('127.') && address !== '::1');
      expect(outside).toEqual([]);
    });

    /** Sends with these replies waiting; all of them must be used, and no more may be needed. */
    const send = async (
      replies: readonly CannedReply[],
      outgoing: readonly OutgoingMessage[],
      timeoutMs = 5000,
      baseUrl = server.url,
    ): Promise<{ outcomes: Outcome[]; seen: SeenRequest[] }> => {
      server.seen.length = 0;
      server.replies.splice(0, Infinity, ...replies);
      const provider = open(baseUrl, timeoutMs);
      try {
        const outcomes = await provider.send(outgoing);
        expect(server.replies, 'replies that no request asked for').toEqual([]);
        expect(server.seen.length, 'requests').toBe(replies.length);
        expect(outcomes.length).toBe(outgoing.length);
        for (const each of outgoing) expectNothingPrivate(outcomes, each, secrets);
        return { outcomes, seen: [...server.seen] };
      } finally {
        await provider.close();
      }
    };

    it.each(cases.map((each) => [each.label, each] as const))('%s', async (_label, each) => {
      const { outcomes, seen } = await send(each.replies, [each.message]);
      expect(outcomes).toEqual([each.outcome]);
      each.requests?.forEach((expected, index) => {
        const request = seen[index];
        expect(request).toMatchObject({ method: expected.method, path: expected.path });
        expect(request?.headers).toMatchObject(expected.headers ?? {});
        expect(JSON.parse(request?.body ?? '')).toEqual(expected.body);
      });
      for (const request of seen) {
        for (const secret of secrets) expect(request.path).not.toContain(secret);
      }
    });

    const faults: [string, CannedReply, Partial<Outcome>, string][] = [
      [
        'the connection is dropped when the request is there',
        { fault: 'drop' },
        { kind: 'unknown' },
        'CONNECTION_LOST',
      ],
      ['the connection is reset', { fault: 'reset' }, { kind: 'unknown' }, 'CONNECTION_LOST'],
      ['a 200 is cut off in its body', { ...success, fault: 'cut' }, { kind: 'unknown' }, 'CONNECTION_LOST'],
      [
        'a 400 is cut off in its body',
        { ...success, status: 400, fault: 'cut' },
        { kind: 'unknown' },
        'CONNECTION_LOST',
      ],
      ['the reply is 50 MB', { fault: 'huge' }, { kind: 'unknown' }, 'REPLY_UNREADABLE'],
      ['the reply is not HTTP', { fault: 'not_http' }, { kind: 'unknown' }, 'REPLY_UNREADABLE'],
      ['the reply is an HTML page', { body: '<html>OK</html>' }, { kind: 'unknown' }, 'REPLY_UNREADABLE'],
      ['the reply is empty', { body: '' }, { kind: 'unknown' }, 'REPLY_UNREADABLE'],
      ['the reply is not an object', { body: [1] }, { kind: 'unknown' }, 'REPLY_UNREADABLE'],
      ['a server error has no body', { status: 502 }, { kind: 'unknown' }, 'SERVER_ERROR'],
      ['a server error says sent', { ...success, status: 500 }, { kind: 'unknown' }, 'SERVER_ERROR'],
    ];
    it.each(faults)('%s', async (_label, reply, outcome, code) => {
      const { outcomes } = await send([reply], [message]);
      expect(outcomes).toMatchObject([{ ...outcome, error: { code } }]);
    });

    it.each([
      ['no answer comes in time', { fault: 'hang' }],
      ['the reply drips and never ends', { fault: 'drip' }],
    ] as const)('%s', async (_label, reply) => {
      const { outcomes } = await send([reply], [message], 40);
      expect(outcomes).toMatchObject([{ kind: 'unknown', error: { code: 'TIMEOUT' } }]);
    });

    it('nobody listens: surely not sent', async () => {
      const { outcomes } = await send([], [message], 5000, `http://127.0.0.1:${await closedPort()}`);
      expect(outcomes).toMatchObject([{ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } }]);
      expect(outcomes[0]).toHaveProperty('pauseMs');
    });

    it('the TLS handshake fails: surely not sent', async () => {
      const { outcomes } = await send([], [message], 5000, server.url.replace('http:', 'https:'));
      expect(outcomes).toMatchObject([{ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } }]);
    });

    it('the other end hangs up before the TLS handshake: surely not sent', async () => {
      const deaf = createTcpServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
      await once(deaf, 'listening');
      const url = `https://127.0.0.1:${(deaf.address() as AddressInfo).port}`;
      const { outcomes } = await send([], [message], 5000, url);
      expect(outcomes).toMatchObject([{ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } }]);
      await new Promise((resolve) => deaf.close(resolve));
    });

    it('sends each message of a batch once, and answers in their order', async () => {
      const users = ['6400000000000001', '6400000000000002', '6400000000000003'];
      const batch = users.map((userId) => ({ ...message, userId }));
      const { outcomes, seen } = await send([success, { status: 502 }, success], batch);
      // Requests run side by side, so which of them met the 502 is told by the server's own order.
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['sent', 'sent', 'unknown']);
      const unlucky = users.findIndex((userId) => seen[1]?.body.includes(userId));
      expect(outcomes[unlucky]?.kind).toBe('unknown');
    });

    it('tells once for each message when it goes on the wire, and never when nobody listens', async () => {
      const told: number[] = [];
      const onWire = (): void => void told.push(server.seen.length);
      server.seen.length = 0;
      server.replies.splice(0, Infinity, success, success);
      const provider = open(server.url, 5000);
      await provider.send([message], onWire);
      await provider.send([message], onWire);
      await provider.close();
      // Before the platform has seen it.
      expect(told).toEqual([0, 1]);
      const nowhere = open(`http://127.0.0.1:${await closedPort()}`, 5000);
      await nowhere.send([message], onWire);
      await nowhere.close();
      expect(told).toHaveLength(2);
    });

    it('connects to nothing before the first message and keeps no connection after close', async () => {
      await expect.poll(() => server.connections()).toBe(0);
      const provider = open(server.url, 5000);
      expect(await server.connections()).toBe(0);
      server.replies.push(success);
      expect(await provider.send([message])).toMatchObject([{ kind: 'sent' }]);
      await provider.close();
      await expect.poll(() => server.connections()).toBe(0);
      const unused = open(server.url, 5000);
      await unused.close();
    });
  });

  if (lookup) describeLookup(contract, lookup);
}

function describeLookup({ name, open, secrets }: ProviderContract, lookup: LookupContract): void {
  const { userId, since, cases, success } = lookup;

  describe(`${name}: reading a conversation`, () => {
    let server: ReplyServer;
    beforeAll(async () => {
      server = await ReplyServer.start();
    });
    afterAll(() => server.close());

    /** Looks with these replies waiting; all of them must be used, each after a turn of its own. */
    const look = async (replies: readonly CannedReply[], timeoutMs = 5000, baseUrl = server.url): Promise<Lookup> => {
      server.seen.length = 0;
      server.replies.splice(0, Infinity, ...replies);
      const provider = open(baseUrl, timeoutMs);
      const turns: number[] = [];
      try {
        const result = await provider.conversation?.(userId, since, () => {
          turns.push(server.seen.length);
          return Promise.resolve();
        });
        expect(server.replies, 'replies that no request asked for').toEqual([]);
        if (replies.length > 0) expect(turns, 'requests seen before each turn').toEqual([...replies.keys()]);
        for (const { method, path, body } of server.seen) {
          expect([method, body]).toEqual(['GET', '']);
          // What is worked out from both may stand there: a GET has no other place for it, and it opens nothing alone.
          const [token = '', appSecret = ''] = secrets;
          for (const secret of [token, appSecret]) expect(path).not.toContain(secret);
        }
        if (result?.kind === 'failed') expectNothingPrivate(result, outgoingTo(userId), secrets);
        return result!;
      } finally {
        await provider.close();
      }
    };

    it('is something that it says it can do', async () => {
      const provider = open(server.url, 5000);
      expect(provider.capabilities.lookup).toBe(true);
      await provider.close();
    });

    it.each(cases.map((each) => [each.label, each] as const))('%s', async (_label, each) => {
      expect(await look(each.replies)).toEqual(each.result);
      each.requests?.forEach((expected, index) => {
        const [path, query] = (server.seen[index]?.path ?? '').split('?');
        expect({ path, query: Object.fromEntries(new URLSearchParams(query)) }).toMatchObject(expected);
      });
      if (each.requests) expect(server.seen).toHaveLength(each.requests.length);
    });

    const faults: [string, CannedReply, string][] = [
      ['the connection is dropped', { fault: 'drop' }, 'CONNECTION_LOST'],
      ['the connection is reset', { fault: 'reset' }, 'CONNECTION_LOST'],
      ['the reply is cut off', { ...success, fault: 'cut' }, 'CONNECTION_LOST'],
      ['the reply is 50 MB', { fault: 'huge' }, 'REPLY_UNREADABLE'],
      ['the reply is not HTTP', { fault: 'not_http' }, 'REPLY_UNREADABLE'],
      ['the reply is an HTML page', { body: '<html>OK</html>' }, 'REPLY_UNREADABLE'],
      ['the reply is empty', { body: '' }, 'REPLY_UNREADABLE'],
      ['the reply is not an object', { body: [1] }, 'REPLY_UNREADABLE'],
      ['a server error has no body', { status: 502 }, 'SERVER_ERROR'],
      ['a server error shows a conversation', { ...success, status: 500 }, 'SERVER_ERROR'],
    ];
    it.each(faults)('%s: nothing is known of the conversation', async (_label, reply, code) => {
      const result = await look([reply]);
      expect(result).toEqual({ kind: 'failed', error: { code, message: expect.any(String) as string } });
    });

    it.each([
      ['no answer comes in time', { fault: 'hang' }],
      ['the reply drips and never ends', { fault: 'drip' }],
    ] as const)('%s', async (_label, reply) => {
      expect(await look([reply], 40)).toMatchObject({ kind: 'failed', error: { code: 'TIMEOUT' } });
    });

    it('nobody listens: no other conversation can be read either', async () => {
      const result = await look([], 5000, `http://127.0.0.1:${await closedPort()}`);
      expect(result).toMatchObject({ kind: 'failed', error: { code: 'CONNECTION_REFUSED' } });
      expect(result).toHaveProperty('pauseMs');
    });
  });
}

/** Of a lookup, only whose it is is known to both ends. */
function outgoingTo(userId: string): OutgoingMessage {
  return { userId, metadata: '', message: { buttons: [], quickReplies: [] } };
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
