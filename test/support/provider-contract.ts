/**
 * The contract of every provider, run as a table of cases: a message and a canned reply make a request and an outcome. The
 * replies come from a real HTTP server on loopback. A reply that no request asked for fails the case, so does a request
 * without a reply; no secret, no whole user id and nothing of a message may stand in an outcome; nothing leaves loopback.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { Clock, Lookup, OutgoingMessage, Provider } from '../../src/ports.js';
import type { ProxySettings } from '../../src/providers/http.js';
import { ConnectProxy } from './connect-proxy.js';
import { selfSigned, trustingAnybody } from './self-signed.js';
import { template } from './fixtures.js';

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
  /** The requests to expect. */
  requests?: readonly ExpectedRequest[];
  outcome: Outcome;
}

/** Headers that are not named may be anything; the body is compared as `readBody` of the contract gives it. */
export interface ExpectedRequest {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body: unknown;
}

export interface BatchCase {
  label: string;
  messages: readonly OutgoingMessage[];
  /** One for each request that the provider is to make. */
  replies: readonly CannedReply[];
  /** The requests to expect. */
  requests?: readonly ExpectedRequest[];
  /** In the order of the messages. */
  outcomes: readonly Outcome[];
}

/** For a provider that can send several messages with one request. */
export interface BatchContract {
  /** Opens it so that it does; @param timeoutMs how long it waits for an answer */
  open: (baseUrl: string, timeoutMs: number) => Provider;
  maxBatch: number;
  /** The platform's word for "all of these were sent". */
  success: (messages: readonly OutgoingMessage[]) => CannedReply;
  cases: readonly BatchCase[];
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
  /** The body of a request as it is compared; unless given, JSON. */
  readBody?: (body: string) => unknown;
  lookup?: LookupContract;
  batch?: BatchContract;
  /** Opens it so that it goes through a proxy. */
  proxied?: (baseUrl: string, timeoutMs: number, proxy: ProxySettings) => Provider;
}

/** A server on loopback that gives each request the next canned reply. */
export class ReplyServer {
  readonly seen: SeenRequest[] = [];
  readonly replies: CannedReply[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param tls with which it speaks https */
  static async start(tls?: { key: string; cert: string }): Promise<ReplyServer> {
    const server = tls ? createTlsServer(tls) : createServer();
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
    return `${this.#server instanceof TlsServer ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
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

export function giveReply(
  { status = 200, headers = {}, body = '', fault }: CannedReply,
  response: ServerResponse,
): void {
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
export function watchConnections(): { addresses: Set<string>; stop(): void } {
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
  const { name, open, secrets, cases, message, success } = contract;

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
      expectRequests(seen, each.requests ?? [], contract);
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

  if (contract.batch) describeBatch(contract, contract.batch);
  if (contract.proxied) describeProxy(contract, contract.proxied);
  if (contract.lookup) describeLookup(contract, contract.lookup);
}

function expectRequests(
  seen: readonly SeenRequest[],
  expected: readonly ExpectedRequest[],
  { readBody = JSON.parse, secrets }: ProviderContract,
): void {
  expected.forEach(({ method, path, headers, body }, index) => {
    const request = seen[index];
    expect(request).toMatchObject({ method, path });
    expect(request?.headers).toMatchObject(headers ?? {});
    expect(readBody(request?.body ?? '')).toEqual(body);
  });
  for (const request of seen) {
    for (const secret of secrets) expect(request.path).not.toContain(secret);
  }
}

function describeBatch(contract: ProviderContract, batch: BatchContract): void {
  const { name, message, secrets } = contract;
  const { maxBatch, cases, success } = batch;

  describe(`${name}: several messages with one request`, () => {
    let server: ReplyServer;
    beforeAll(async () => {
      server = await ReplyServer.start();
    });
    afterAll(() => server.close());

    const several = (count: number): OutgoingMessage[] =>
      Array.from({ length: count }, (_, index) => ({ ...message, userId: String(6400000000000001n + BigInt(index)) }));

    const send = async (
      messages: readonly OutgoingMessage[],
      replies: readonly CannedReply[],
      { timeoutMs = 5000, baseUrl = server.url }: { timeoutMs?: number; baseUrl?: string } = {},
    ): Promise<{ outcomes: Outcome[]; seen: SeenRequest[]; onWire: number }> => {
      server.seen.length = 0;
      server.replies.splice(0, Infinity, ...replies);
      const provider = batch.open(baseUrl, timeoutMs);
      let onWire = 0;
      try {
        const outcomes = await provider.send(messages, () => (onWire += 1));
        expect(server.replies, 'replies that no request asked for').toEqual([]);
        expect(server.seen.length, 'requests').toBe(replies.length);
        expect(outcomes.length).toBe(messages.length);
        for (const each of messages) expectNothingPrivate(outcomes, each, secrets);
        return { outcomes, seen: [...server.seen], onWire };
      } finally {
        await provider.close();
      }
    };

    it.each(cases.map((each) => [each.label, each] as const))('%s', async (_label, each) => {
      const { outcomes, seen } = await send(each.messages, each.replies);
      expect(outcomes).toEqual(each.outcomes);
      expectRequests(seen, each.requests ?? [], contract);
    });

    it('says how many it can send, and sends no more at a time', async () => {
      const provider = batch.open(server.url, 5000);
      expect(provider.capabilities.maxBatch(template)).toBe(maxBatch);
      await provider.close();
      const messages = several(maxBatch + 2);
      const parts = [messages.slice(0, maxBatch), messages.slice(maxBatch)];
      const { outcomes, seen, onWire } = await send(messages, parts.map(success));
      expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['sent']));
      expect(seen).toHaveLength(2);
      expect(onWire, 'tells once for each request that it goes on the wire').toBe(2);
    });

    const faults: [string, CannedReply, string][] = [
      ['the connection is dropped when the request is there', { fault: 'drop' }, 'CONNECTION_LOST'],
      ['the answer is cut off', { ...success(several(3)), fault: 'cut' }, 'CONNECTION_LOST'],
      ['the answer is 50 MB', { fault: 'huge' }, 'REPLY_UNREADABLE'],
      ['the answer is an HTML page', { body: '<html>OK</html>' }, 'REPLY_UNREADABLE'],
      ['the answer is empty', { body: '' }, 'REPLY_UNREADABLE'],
      ['the answer is an empty list', { body: [] }, 'REPLY_UNREADABLE'],
      ['the answer is one word of success', contract.success, 'REPLY_UNREADABLE'],
      ['a server error says sent', { ...success(several(3)), status: 500 }, 'SERVER_ERROR'],
    ];
    it.each(faults)('%s: each of them is unknown', async (_label, reply, code) => {
      const { outcomes } = await send(several(3), [reply]);
      const unknown = expect.objectContaining({
        kind: 'unknown',
        error: expect.objectContaining({ code }) as unknown,
      }) as unknown;
      expect(outcomes).toEqual([unknown, unknown, unknown]);
    });

    it('nobody listens: surely none of them is sent, and none goes on the wire', async () => {
      const { outcomes, onWire } = await send(several(3), [], { baseUrl: `http://127.0.0.1:${await closedPort()}` });
      expect(outcomes.map((outcome) => outcome.kind)).toEqual(['retryable', 'retryable', 'retryable']);
      expect(onWire).toBe(0);
    });
  });
}

function describeProxy(
  { name, message, secrets, success }: ProviderContract,
  open: NonNullable<ProviderContract['proxied']>,
): void {
  describe(`${name}: through a proxy`, () => {
    const PASSWORD = 'pa55word-of-the-proxy';
    let server: ReplyServer;
    beforeAll(async () => {
      server = await ReplyServer.start(selfSigned('localhost'));
    });
    afterAll(() => server.close());

    /** Sends through a proxy; @param isTrusted whether the server's certificate is taken */
    const send = async (
      start: Parameters<typeof ConnectProxy.start>[0],
      {
        replies = [] as CannedReply[],
        isTrusted = true,
        setting = (url: string): ProxySettings => ({ https: url }),
      } = {},
    ): Promise<{ outcome: Outcome | undefined; onWire: number; proxy: ConnectProxy }> => {
      server.seen.length = 0;
      server.replies.splice(0, Infinity, ...replies);
      const proxy = await ConnectProxy.start(start);
      const provider = open(server.url, 5000, setting(proxy.url));
      let onWire = 0;
      try {
        const run = (): Promise<Outcome[]> => provider.send([message], () => (onWire += 1));
        const [outcome] = await (isTrusted ? trustingAnybody(run) : run());
        expect(server.seen.length, 'requests').toBe(replies.length);
        expectNothingPrivate(outcome, message, [...secrets, PASSWORD]);
        return { outcome, onWire, proxy };
      } finally {
        await provider.close();
        await proxy.close();
      }
    };

    it('sends, and the proxy sees only where to', async () => {
      const { outcome, onWire, proxy } = await send({ credentials: `robot:${PASSWORD}` }, { replies: [success] });
      expect([outcome?.kind, onWire]).toEqual(['sent', 1]);
      expect(proxy.asked).toEqual([`127.0.0.1:${server.port}`]);
      expect(proxy.carried).not.toBe('');
      for (const secret of [...secrets, message.userId]) expect(proxy.carried).not.toContain(secret);
    });

    it('leaves out the proxy for a host that is to be reached without', async () => {
      const setting = (url: string): ProxySettings => ({ https: url, no: 'example.com,127.0.0.1' });
      const { outcome, proxy } = await send({ manner: 403 }, { replies: [success], setting });
      expect([outcome?.kind, proxy.asked]).toEqual(['sent', []]);
    });

    it.each([
      ['refuses', { manner: 403 }, /refused \(HTTP status 403\)/],
      ['asks for a password', { manner: 407 }, /asks for a name and password/],
      ['hangs up', { manner: 'hang_up' }, /proxy/],
      ['finds nobody at the other end', { manner: 502 }, /HTTP status 502/],
      ['cannot reach the other end', { leadsTo: 1 }, /proxy/],
    ] as const)('a proxy that %s: surely not sent', async (_label, start, words) => {
      const { outcome, onWire, proxy } = await send(start);
      expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } });
      expect(outcome).toHaveProperty('pauseMs');
      expect(outcome).toHaveProperty('error.message', expect.stringMatching(words));
      expect(onWire).toBe(0);
      expect(proxy.asked.length, 'attempts').toBe(1);
    });

    it('no proxy listens: surely not sent', async () => {
      const nobody = `http://robot:${PASSWORD}@127.0.0.1:${await closedPort()}`;
      const { outcome, onWire } = await send({}, { setting: () => ({ https: nobody }) });
      expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } });
      expect(outcome).toHaveProperty('error.message', expect.stringMatching(/the proxy/));
      expect(onWire).toBe(0);
    });

    it('a certificate that nobody vouches for: surely not sent, and the reason is told', async () => {
      const { outcome, onWire } = await send({}, { isTrusted: false });
      expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } });
      expect(outcome).toHaveProperty('error.message', expect.stringMatching(/certificate/));
      expect(onWire).toBe(0);
    });

    it('the way breaks when the request is there: unknown', async () => {
      const { outcome, onWire } = await send({}, { replies: [{ fault: 'drop' }] });
      expect(outcome).toMatchObject({ kind: 'unknown', error: { code: 'CONNECTION_LOST' } });
      expect(onWire).toBe(1);
    });
  });
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
  return { userId, metadata: '', isReply: false, message: { buttons: [], quickReplies: [] } };
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
