import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Failure } from '../../src/core/failure.js';
import { createTransport, type Fault, type ProxySettings, type Reply } from '../../src/providers/http.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { machineClock, ReplyServer } from '../support/provider-contract.js';
import { selfSigned, trustingAnybody } from '../support/self-signed.js';

let server: ReplyServer;
let tls: ReplyServer;
beforeAll(async () => {
  server = await ReplyServer.start();
  tls = await ReplyServer.start(selfSigned('localhost'));
});
afterAll(() => Promise.all([server.close(), tls.close()]));

async function post(origin: string, proxy?: ProxySettings, connectTimeoutMs = 5000): Promise<Reply | Fault> {
  const transport = createTransport(origin, { connections: 1, proxy, connectTimeoutMs }, machineClock);
  try {
    return await transport.post('/v26.0/me/messages', { headers: {}, body: '{}', timeoutMs: 5000 });
  } finally {
    await transport.close();
  }
}

const refused = (detail: RegExp): Fault => ({
  fault: 'CONNECTION_REFUSED',
  detail: expect.stringMatching(detail) as string,
});

describe('why no connection came about', () => {
  it.each([
    // Longer than any name may be, so that nobody is asked for it.
    [
      'a name that nobody has',
      () => `https://${'x'.repeat(64)}.example`,
      /^The name of the platform could not be looked up \(\w+\)\.$/,
    ],
    [
      'a certificate that nobody vouches for',
      () => tls.url,
      /^The certificate of the platform is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    ],
    [
      'no TLS at the other end',
      () => server.url.replace('http:', 'https:'),
      /^The TLS handshake with the platform failed \(\w+\)\.$/,
    ],
    ['nobody listens', () => 'http://127.0.0.1:1', /^No connection to the platform could be made \(ECONNREFUSED\)\.$/],
  ])('%s', async (_label, origin, detail) => {
    expect(await post(origin())).toEqual(refused(detail));
  });

  it('a TLS handshake that does not come to its end', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const origin = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    expect(await post(origin, undefined, 100)).toEqual(refused(/^No connection to the platform came about in time/));
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('a proxy', () => {
  const through = async (
    origin: string,
    settings: (url: string) => ProxySettings,
    start: Parameters<typeof ConnectProxy.start>[0] = {},
  ): Promise<{ result: Reply | Fault; asked: readonly string[] }> => {
    const proxy = await ConnectProxy.start(start);
    try {
      return { result: await trustingAnybody(() => post(origin, settings(proxy.url), 100)), asked: proxy.asked };
    } finally {
      await proxy.close();
    }
  };

  it.each([
    ['its own', (url: string) => ({ https: url, http: 'http://127.0.0.1:1' })],
    ['the one for http, where https has none', (url: string) => ({ http: url })],
    ['host and port alone', (url: string) => ({ https: url.replace('http://', '') })],
    [
      'hosts that are reached without, none of which is meant',
      (url: string) => ({ https: url, no: 'example.com,27.0.0.1' }),
    ],
  ])('https goes through %s', async (_label, settings) => {
    tls.replies.push({ body: 'hello' });
    const { result, asked } = await through(tls.url, settings);
    expect(result).toMatchObject({ status: 200, body: 'hello' });
    expect(asked).toEqual([`127.0.0.1:${tls.port}`]);
  });

  it('is asked once for all requests that one connection carries', async () => {
    const proxy = await ConnectProxy.start();
    const transport = createTransport(tls.url, { connections: 1, proxy: { https: proxy.url } }, machineClock);
    tls.replies.push({ body: '1' }, { body: '2' }, { body: '3' });
    const get = (): Promise<Reply | Fault> => transport.get('/v26.0/me', { headers: {}, timeoutMs: 5000 });
    const results = await trustingAnybody(() => Promise.all([get(), get(), get()]));
    expect(results).toMatchObject([{ body: '1' }, { body: '2' }, { body: '3' }]);
    expect(proxy.asked).toHaveLength(1);
    await transport.close();
    await proxy.close();
  });

  it('opens a way for http as well', async () => {
    server.replies.push({ body: 'hello' });
    const { result, asked } = await through(server.url, (url) => ({ http: url }));
    expect(result).toMatchObject({ status: 200, body: 'hello' });
    expect(asked).toEqual([`127.0.0.1:${server.port}`]);
  });

  it.each([
    ['the host', '127.0.0.1'],
    ['the host among others', 'example.com 127.0.0.1,example.org'],
    ['everything', '*'],
  ])('is left out where it is not to be used: %s', async (_label, no) => {
    tls.replies.push({ body: 'hello' });
    const { result, asked } = await through(tls.url, (url) => ({ https: url, no }), { manner: 403 });
    expect([result, asked]).toMatchObject([{ body: 'hello' }, []]);
  });

  it('is none that the environment names and the caller does not', async () => {
    const names = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY'];
    const before = names.map((name) => process.env[name]);
    for (const name of names) process.env[name] = name.toLowerCase() === 'no_proxy' ? '*' : 'http://127.0.0.1:1';
    try {
      tls.replies.push({ body: 'hello' }, { body: 'hello' });
      expect(await trustingAnybody(() => post(tls.url))).toMatchObject({ body: 'hello' });
      expect((await through(tls.url, (url) => ({ http: url }))).asked).toHaveLength(1);
    } finally {
      names.forEach((name, index) => {
        if (before[index] === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = before[index];
      });
    }
  });

  it('that says nothing is not waited for longer than for a connection', async () => {
    const { result, asked } = await through(tls.url, (url) => ({ https: url }), { manner: 'hang' });
    expect(result).toEqual(refused(/^No connection to the proxy came about in time/));
    expect(asked).toHaveLength(1);
  });

  it('whose way ends before the TLS handshake', async () => {
    const deaf = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(deaf, 'listening');
    const { port } = deaf.address() as AddressInfo;
    const { result } = await through(tls.url, (url) => ({ https: url }), { leadsTo: port });
    expect(result).toEqual(refused(/^No connection to the platform could be made \(ECONNRESET\)\.$/));
    await new Promise((resolve) => deaf.close(resolve));
  });

  it.each([
    ['another protocol', 'socks5://robot:pa55word@127.0.0.1'],
    ['no host', 'http://'],
    ['a port that is none', 'http://robot:pa55word@127.0.0.1:123456'],
    ['a password that is wrongly escaped', 'http://robot:pa55word%zz@127.0.0.1'],
  ])('with %s is refused, and its address is not shown', (_label, https) => {
    let failure: Failure | null = null;
    try {
      createTransport('https://127.0.0.1', { connections: 1, proxy: { https } }, machineClock);
    } catch (error) {
      failure = error as Failure;
    }
    expect(failure?.code).toBe('CONFIG_INVALID');
    expect(`${failure?.message} ${failure?.hint} ${failure?.stack}`).not.toContain('pa55word');
  });
});
