import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js';
import { Pool } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startWebhookServer, type WebhookServerOptions } from '../../src/inbound/webhook-server.js';
import type { NewDelivery } from '../../src/ports.js';
import { machineClock } from '../support/provider-contract.js';

const SECRET = 'app-secret-of-acme';
const OTHER_SECRET = 'app-secret-of-beta';
const VERIFY = 'verify-token-7';
const CAMS_TOKEN = 'cams-token-42';
const AUTH_TOKEN = 'f00dfacef00dfacef00dfacef00dface';
const FLOW_TOKEN = 'flow-token-99';
const PUBLIC_URL = 'https://hooks.example.com/in';
const PAGE = 'messenger/102938475601928';
const INSTAGRAM = 'instagram/17841405822304914';
const CAMS = 'messenger/102938475601929';
const NUMBER = 'sms/+15550001111';
const NOW = Date.UTC(2026, 10, 22, 12);

const credentials: WebhookServerOptions['credentials'] = {
  verifyTokens: ['verify-token-6', VERIFY],
  meta: [
    { secret: SECRET, accounts: [PAGE] },
    { secret: OTHER_SECRET, accounts: [INSTAGRAM] },
  ],
  cams: [{ token: CAMS_TOKEN, accounts: [CAMS] }],
  twilio: [{ authToken: AUTH_TOKEN, accounts: [NUMBER] }],
  flowToken: FLOW_TOKEN,
  url: PUBLIC_URL,
};

type Headers = Record<string, string>;

interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** A server on loopback that keeps what it receives here, and a client with so many connections. */
async function serve({ connections = 8, ...options }: Partial<WebhookServerOptions> & { connections?: number } = {}) {
  const kept: NewDelivery[] = [];
  const counts: Record<string, number> = {};
  let told = 0;
  const server = await startWebhookServer({
    host: '127.0.0.1',
    port: 0,
    clock: { ...machineClock, now: () => NOW },
    credentials,
    receive: (deliveries) => Promise.resolve(void kept.push(...deliveries)),
    onReceived: () => (told += 1),
    backlog: () => 0,
    call: (name, body) => Promise.resolve({ status: 202, body: { name, body } }),
    page: (path) => Promise.resolve({ status: 200, type: 'text/plain; version=0.0.4', body: path }),
    count: (service, result) => (counts[`${service} ${result}`] = (counts[`${service} ${result}`] ?? 0) + 1),
    ...options,
  });
  const pool = new Pool(server.url, { connections });
  onTestFinished(async () => {
    await pool.destroy();
    await server.close();
  });
  const ask = async (
    method: 'GET' | 'POST',
    path: string,
    headers: Headers = {},
    body?: string | Buffer,
  ): Promise<Answered> => {
    const answer = await pool.request({ method, path, headers, body: body ?? null });
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  };
  return {
    server,
    kept,
    counts,
    told: () => told,
    ask,
    post: (path: string, headers: Headers, body: string | Buffer) => ask('POST', path, headers, body),
    /** What Meta posts. */
    meta: (body: string | Buffer, headers: Headers = signed(body)) => ask('POST', '/webhooks/meta', headers, body),
    /** A connection of one's own. */
    dial: () => dial(server.url),
    /** Posts all of these at once on one connection; gives the status and the text of each answer. */
    pipeline: async (
      requests: readonly { path?: string; headers: Headers; body: string | Buffer }[],
    ): Promise<string[]> => {
      const { socket, text, closed } = await dial(server.url);
      requests.forEach(({ path = '/webhooks/meta', headers, body }, index) => {
        const connection = index === requests.length - 1 ? 'close' : 'keep-alive';
        const all = { host: 'x', connection, 'content-length': String(Buffer.byteLength(body)), ...headers };
        const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
        socket.write([`POST ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
        socket.write(body);
      });
      await closed;
      return text()
        .split(/(?=HTTP\/1\.1 )/)
        .map((answer) => `${answer.slice(9, 12)} ${answer.split('\r\n\r\n')[1]}`);
    },
  };
}

async function dial(url: string): Promise<{ socket: Socket; text: () => string; closed: Promise<void> }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (data: string) => (text += data));
  // A connection that is cut off may be reset.
  socket.on('error', () => undefined);
  const closed = ended(socket);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return { socket, text: () => text, closed };
}

/** Also when it ends with an error. */
function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function hmac(body: string | Buffer, secret = SECRET): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

function signed(body: string | Buffer, secret = SECRET): Headers {
  return { 'x-hub-signature-256': `sha256=${hmac(body, secret)}` };
}

function event(index: number, text = 'hello'): string {
  const message = { sender: { id: String(10_000 + index) }, timestamp: NOW, message: { mid: `m_${index}`, text } };
  return JSON.stringify({ object: 'page', entry: [{ id: '102938475601928', time: NOW, messaging: [message] }] });
}

/** What programs that call flows are told. */
function said(code: string): unknown {
  return { code, message: expect.stringMatching(/\w.*\.$/) as string, hint: expect.any(String) as string };
}

/** Resolves when somebody says so. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe("Meta's callbacks", () => {
  it('are kept as they came, then answered', async () => {
    const { meta, kept, counts, told } = await serve();
    const body = event(1);
    expect(await meta(body)).toMatchObject({ status: 200, text: '' });
    expect(kept).toEqual([{ service: 'meta', accounts: [PAGE], body, receivedAt: NOW }]);
    expect(counts).toEqual({ 'meta accepted': 1 });
    expect(told()).toBe(1);
  });

  it.each<[what: string, body: string | Buffer]>([
    [
      'escaped characters',
      event(1, 'äöå 😀').replace(
        /[\u0080-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      ),
    ],
    ['characters as they are', event(1, 'äöå 😀')],
    ['spaces and line breaks', JSON.stringify(JSON.parse(event(1)), null, 2)],
    ['nonsense', 'nonsense'],
    ['nothing', ''],
    ['a list 1,000,000 deep', '['.repeat(1_000_000)],
    ['an object 160,000 deep', '{"a":'.repeat(160_000)],
    ['as many bytes as there may be', 'x'.repeat(1024 * 1024)],
  ])('may hold %s', async (_, body) => {
    const { meta, kept } = await serve();
    expect((await meta(body)).status).toBe(200);
    expect(kept.map((one) => one.body)).toEqual([body.toString()]);
  });

  it('may come with any type of content, or none', async () => {
    const { meta, kept } = await serve();
    const types = ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'x/y; charset="z"'];
    for (const type of types) expect((await meta('{}', { ...signed('{}'), 'content-type': type })).status).toBe(200);
    expect(kept).toHaveLength(types.length);
  });

  it('speak for the accounts of the secret that has signed them', async () => {
    const both = { secret: SECRET, accounts: [INSTAGRAM, PAGE] };
    const { meta, kept } = await serve({ credentials: { ...credentials, meta: [...credentials.meta, both] } });
    await meta('{}', signed('{}', OTHER_SECRET));
    await meta('{}');
    expect(kept.map(({ accounts }) => accounts)).toEqual([[INSTAGRAM], [PAGE, INSTAGRAM]]);
  });

  it('are signed by nobody where the secret is empty', async () => {
    const { meta, kept, counts } = await serve({
      credentials: { ...credentials, meta: [{ secret: '', accounts: [PAGE] }] },
    });
    expect(await meta('{}', signed('{}', ''))).toMatchObject({ status: 401 });
    expect(kept).toEqual([]);
    expect(counts).toEqual({ 'meta forged': 1 });
  });
});

describe('forged requests', () => {
  const UNSIGNED = ['none', 'empty', 'truncated', 'uppercase', 'prefix', 'sha1', 'base64', 'twice', 'query', 'junk'];
  const escaped = (body: string): string => body.replace(/ä/g, '\\u00e4');
  const flipped = (body: string, at: number): Buffer => {
    const bytes = Buffer.from(body);
    bytes[at % bytes.length]! ^= 1;
    return bytes;
  };

  /** Each makes of a body what is posted, with a signature that is nearly right. */
  const kinds: Record<
    string,
    (body: string, index: number) => { headers: Headers; body?: string | Buffer; path?: string }
  > = {
    none: () => ({ headers: {} }),
    empty: () => ({ headers: { 'x-hub-signature-256': '' } }),
    truncated: (body, index) => ({
      headers: { 'x-hub-signature-256': `sha256=${hmac(body).slice(0, index % 64)}` },
    }),
    uppercase: (body) => ({ headers: { 'x-hub-signature-256': `sha256=${hmac(body).toUpperCase()}` } }),
    prefix: (body, index) => {
      const prefixes = ['', 'SHA256=', 'sha256:', 'sha256', 'sha256= ', 'sha256=0x', 'sha256=sha256=', 'sha512='];
      return { headers: { 'x-hub-signature-256': `${prefixes[index % prefixes.length]}${hmac(body)}` } };
    },
    sha1: (body) => {
      const sha1 = `sha1=${createHmac('sha1', SECRET).update(body).digest('hex')}`;
      return { headers: { 'x-hub-signature': sha1, 'x-hub-signature-256': sha1 } };
    },
    base64: (body) => {
      const digest = createHmac('sha256', SECRET).update(body).digest('base64');
      return { headers: { 'x-hub-signature-256': `sha256=${digest}` } };
    },
    twice: (body) => {
      const right = `sha256=${hmac(body)}`;
      return { headers: { 'x-hub-signature-256': `${right}, ${right}` } };
    },
    query: (body) => ({ headers: {}, path: `/webhooks/meta?x-hub-signature-256=sha256=${hmac(body)}` }),
    junk: (body, index) => ({
      headers: { 'x-hub-signature-256': `sha256=${hmac(body)}${['0', ';', ' x'][index % 3]}` },
    }),
    'wrong secret': (body, index) => ({ headers: signed(body, `${SECRET}${index}`) }),
    'another secret of the listener': (body, index) => {
      const others = [VERIFY, CAMS_TOKEN, AUTH_TOKEN, FLOW_TOKEN];
      return { headers: signed(body, others[index % others.length]) };
    },
    'no key': (body) => ({
      headers: {
        'x-hub-signature-256': `sha256=${createHash('sha256')
          .update(SECRET + body)
          .digest('hex')}`,
      },
    }),
    'empty key': (body) => ({ headers: signed(body, '') }),
    'another body': (_body, index) => ({ headers: signed(event(index + 1, 'another')) }),
    'no body': (body) => ({ headers: signed(body), body: '' }),
    'a body with its characters as they are': (body) => ({ headers: signed(escaped(body)) }),
    'a body written anew': (body) => ({
      headers: signed(JSON.stringify(JSON.parse(body), null, 1)),
    }),
    'a byte changed': (body, index) => ({ headers: signed(body), body: flipped(body, index) }),
    'a byte more': (body, index) => ({ headers: signed(body), body: `${body}${'\n \0}'[index % 4]}` }),
    'a bit changed in the signature': (body, index) => {
      const right = hmac(body);
      const at = index % right.length;
      const digit = (Number.parseInt(right.charAt(at), 16) ^ 1).toString(16);
      return { headers: { 'x-hub-signature-256': `sha256=${right.slice(0, at)}${digit}${right.slice(at + 1)}` } };
    },
  };

  it('are refused, 10,000 of them, of every kind, and nothing is kept', async () => {
    const { pipeline, kept, counts, told } = await serve();
    const names = Object.keys(kinds);
    const forged = Array.from({ length: 10_000 }, (_, index) => {
      const name = names[index % names.length]!;
      const body = event(index, 'ä');
      const reason = UNSIGNED.includes(name) ? 'unsigned' : 'forged';
      return { name, reason, request: { body, ...kinds[name]!(body, index) } };
    });
    const wrong: string[] = [];
    const connection = async (some: typeof forged): Promise<void> => {
      const answers = await pipeline(some.map(({ request }) => request));
      some.forEach(({ name, reason }, index) => {
        const expected = `401 {"error":"${reason}"}`;
        if (answers[index] !== expected) wrong.push(`${name}: ${answers[index]}`);
      });
    };
    // Four connections at a time, a thousand requests on each.
    for (let from = 0; from < forged.length; from += 4000) {
      const starts = [0, 1000, 2000, 3000].map((more) => from + more).filter((start) => start < forged.length);
      await Promise.all(starts.map((start) => connection(forged.slice(start, start + 1000))));
    }
    expect(wrong).toEqual([]);
    expect(kept).toEqual([]);
    expect(told()).toBe(0);
    const unsigned = forged.filter(({ reason }) => reason === 'unsigned').length;
    expect(counts).toEqual({ 'meta unsigned': unsigned, 'meta forged': 10_000 - unsigned });
  });

  it('are refused although the same was right before', async () => {
    const { meta, kept } = await serve();
    const body = event(1);
    expect((await meta(body)).status).toBe(200);
    for (const name of ['a byte changed', 'a byte more', 'a bit changed in the signature']) {
      const forged = kinds[name]!(body, 17);
      expect((await meta(forged.body ?? body, forged.headers)).status).toBe(401);
    }
    expect(kept).toHaveLength(1);
  });

  it('without a signature are refused before their body is there', async () => {
    const { dial, counts } = await serve();
    const { socket, text, closed } = await dial();
    socket.write('POST /webhooks/meta HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n{');
    await closed;
    expect(text()).toMatch(/^HTTP\/1\.1 401 /);
    expect(counts).toEqual({ 'meta unsigned': 1 });
  });
});

describe('the handshake', () => {
  const ask = (query: Record<string, string>): string => `/webhooks/meta?${new URLSearchParams(query).toString()}`;
  const right = { 'hub.mode': 'subscribe', 'hub.verify_token': VERIFY, 'hub.challenge': '1158201444' };

  it('gives the challenge back to whoever knows a token', async () => {
    const { ask: get } = await serve();
    for (const token of [VERIFY, 'verify-token-6']) {
      const answer = await get('GET', ask({ ...right, 'hub.verify_token': token }));
      expect(answer).toMatchObject({ status: 200, text: '1158201444' });
      expect(answer.headers).toMatchObject({
        'content-type': 'text/plain; charset=utf-8',
        'x-content-type-options': 'nosniff',
      });
    }
  });

  it.each<[what: string, path: string]>([
    ['a wrong token', ask({ ...right, 'hub.verify_token': 'verify-token-8' })],
    ['a token that is longer', ask({ ...right, 'hub.verify_token': `${VERIFY}0` })],
    ['an empty token', ask({ ...right, 'hub.verify_token': '' })],
    ['a token twice', `${ask(right)}&hub.verify_token=${VERIFY}`],
    ['a secret that is another', ask({ ...right, 'hub.verify_token': SECRET })],
    ['another mode', ask({ ...right, 'hub.mode': 'unsubscribe' })],
    ['no mode', ask({ 'hub.verify_token': VERIFY, 'hub.challenge': '1' })],
    ['no challenge', ask({ 'hub.mode': 'subscribe', 'hub.verify_token': VERIFY })],
    ['an endless challenge', ask({ ...right, 'hub.challenge': '1'.repeat(201) })],
    ['nothing', '/webhooks/meta'],
  ])('is refused with %s', async (_, path) => {
    const { ask: get, counts } = await serve();
    expect(await get('GET', path)).toMatchObject({ status: 403, text: '{"error":"forbidden"}' });
    expect(Object.values(counts)).toEqual([1]);
  });

  it('is refused with an empty token where the configured one is empty', async () => {
    const { ask: get } = await serve({ credentials: { ...credentials, verifyTokens: [''] } });
    expect((await get('GET', ask({ ...right, 'hub.verify_token': '' }))).status).toBe(403);
  });
});

describe("CAMS' callbacks", () => {
  const body = '[{"MessageId":"1","From":"10001","To":"102938475601929","Timestamp":1795000000000}]';

  it('are kept when the token is in the path', async () => {
    const { post, kept, counts } = await serve();
    const headers = { 'content-type': 'application/json' };
    expect(await post(`/webhooks/cams/${CAMS_TOKEN}`, headers, body)).toMatchObject({ status: 200 });
    expect(kept).toEqual([{ service: 'cams', accounts: [CAMS], body, receivedAt: NOW }]);
    expect(counts).toEqual({ 'cams accepted': 1 });
  });

  it.each<[what: string, path: string, status: number, result: string | null]>([
    ['another token', `/webhooks/cams/${CAMS_TOKEN}0`, 401, 'cams forged'],
    ['the beginning of a token', '/webhooks/cams/cams', 401, 'cams forged'],
    ['another secret', `/webhooks/cams/${SECRET}`, 401, 'cams forged'],
    ['an empty token', '/webhooks/cams/', 401, 'cams unsigned'],
    ['no token', '/webhooks/cams', 404, null],
    ['more behind the token', `/webhooks/cams/${CAMS_TOKEN}/x`, 404, null],
    ['the token in the query', `/webhooks/cams/x?token=${CAMS_TOKEN}`, 401, 'cams forged'],
    ['an endless token', `/webhooks/cams/${'x'.repeat(501)}`, 400, null],
  ])('are refused with %s', async (_, path, status, result) => {
    const { post, kept, counts } = await serve();
    expect((await post(path, {}, body)).status).toBe(status);
    expect(kept).toEqual([]);
    expect(counts).toEqual(result === null ? {} : { [result]: 1 });
  });
});

describe("Twilio's callbacks", () => {
  const fields = { MessageSid: 'SM1', From: '+4915112345678', To: '+15550001111', Body: 'ä & b=c +', OptOutType: '' };
  const form = new URLSearchParams(fields).toString();
  const path = "/webhooks/twilio?campaign=c1&seq=17&name=O'Brien%20x";
  const sign = ({
    url = `${PUBLIC_URL}${path}`,
    token = AUTH_TOKEN,
    params = fields,
  }: { url?: string; token?: string; params?: object } = {}): Headers => ({
    'x-twilio-signature': getExpectedTwilioSignature(token, url, params as Record<string, string>),
    'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
  });

  it('are kept with the path that they came to, and answered with an empty message', async () => {
    const { post, kept, counts } = await serve();
    const answer = await post(path, sign(), form);
    expect(answer).toMatchObject({ status: 200, text: '<?xml version="1.0" encoding="UTF-8"?><Response/>' });
    expect(answer.headers['content-type']).toBe('text/xml; charset=utf-8');
    expect(kept).toEqual([{ service: 'twilio', accounts: [NUMBER], body: `${path} ${form}`, receivedAt: NOW }]);
    expect(counts).toEqual({ 'twilio accepted': 1 });
  });

  it('may name a parameter twice, as Twilio signs it', async () => {
    const { post } = await serve();
    const headers = sign({ params: { ...fields, Media: ['b', 'a'] } });
    expect((await post(path, headers, `${form}&Media=b&Media=a`)).status).toBe(200);
  });

  it('are checked by the address that was given, whatever ends it', async () => {
    const { post } = await serve({ credentials: { ...credentials, url: `${PUBLIC_URL}/` } });
    expect((await post(path, sign(), form)).status).toBe(200);
  });

  it.each<[what: string, headers: Headers, form: string, path: string, result: 'unsigned' | 'forged']>([
    ['no signature', {}, form, path, 'unsigned'],
    ['half a signature', { 'x-twilio-signature': 'c2hvcnQ=' }, form, path, 'unsigned'],
    ["Meta's signature", signed(form, AUTH_TOKEN), form, path, 'unsigned'],
    ['another token', sign({ token: SECRET }), form, path, 'forged'],
    ['an empty token', sign({ token: '' }), form, path, 'forged'],
    ['another address', sign({ url: `https://evil.example.com${path}` }), form, path, 'forged'],
    ['another query', sign(), form, path.replace('17', '18'), 'forged'],
    ['no query', sign(), form, '/webhooks/twilio', 'forged'],
    ['another text', sign(), form.replace('Body=', 'Body=x'), path, 'forged'],
    ['a parameter more', sign(), `${form}&OptOutType=STOP`, path, 'forged'],
    ['a form of a thousand parameters', sign(), `${form}${'&a=b'.repeat(1000)}`, path, 'forged'],
    ['nothing in it', sign(), '', path, 'forged'],
  ])('are refused with %s', async (_, headers, body, to, result) => {
    const { post, kept, counts } = await serve();
    expect(await post(to, headers, body)).toMatchObject({ status: 401, text: JSON.stringify({ error: result }) });
    expect(kept).toEqual([]);
    expect(counts).toEqual({ [`twilio ${result}`]: 1 });
  });

  it('are refused where they come to a whole address', async () => {
    const { dial, kept, counts } = await serve();
    const { socket, text, closed } = await dial();
    const signature = sign()['x-twilio-signature'];
    const request = [`POST http://:0:${path} HTTP/1.1`, 'host: x', `x-twilio-signature: ${signature}`];
    socket.write([...request, 'connection: close', `content-length: ${form.length}`, '', form].join('\r\n'));
    await closed;
    expect(text()).toMatch(/^HTTP\/1\.1 40[01] /);
    expect([kept, counts['twilio accepted']]).toEqual([[], undefined]);
  });

  it('have a small form', async () => {
    const { post, counts } = await serve();
    expect((await post(path, sign(), 'x'.repeat(64 * 1024 + 1))).status).toBe(413);
    expect(counts).toEqual({ 'twilio too_large': 1 });
  });
});

describe('what is not configured', () => {
  const none = { verifyTokens: [], meta: [], cams: [], twilio: [], flowToken: null, url: PUBLIC_URL };

  it.each<[path: string, options: Partial<WebhookServerOptions>, service: string]>([
    ['/webhooks/meta', { credentials: none }, 'meta'],
    ['/webhooks/cams/x', { credentials: none }, 'cams'],
    ['/webhooks/twilio', { credentials: none }, 'twilio'],
    ['/webhooks/twilio', { credentials: { ...credentials, url: null } }, 'twilio'],
    ['/flows/welcome', { credentials: none }, 'flow'],
    ['/flows/welcome', { call: null }, 'flow'],
  ])('%s is not there, which is counted', async (path, options, service) => {
    const { post, counts } = await serve(options);
    const headers = {
      ...signed('{}'),
      authorization: `Bearer ${FLOW_TOKEN}`,
      'x-twilio-signature': `${'A'.repeat(27)}=`,
    };
    const answer = await post(path, headers, '{}');
    expect(answer.status).toBe(404);
    const { error } = JSON.parse(answer.text) as { error: unknown };
    expect(error).toEqual(service === 'flow' ? said('NOT_CONFIGURED') : 'not_configured');
    expect(counts).toEqual({ [`${service} refused`]: 1 });
  });
});

describe('calls of flows', () => {
  const bearer = { authorization: `Bearer ${FLOW_TOKEN}` };

  it('reach the flow that the path names', async () => {
    const { post, counts } = await serve();
    const answer = await post('/flows/order%20sent', bearer, '{"to":"10001","values":{"a":"b"}}');
    expect(answer.status).toBe(202);
    expect(JSON.parse(answer.text)).toEqual({ name: 'order sent', body: { to: '10001', values: { a: 'b' } } });
    expect(counts).toEqual({ 'flow accepted': 1 });
  });

  it.each<[what: string, headers: Headers, body: string, status: number, code: string, result: string]>([
    ['no token', {}, '{}', 401, 'UNAUTHORIZED', 'unsigned'],
    ['another token', { authorization: `Bearer ${SECRET}` }, '{}', 401, 'UNAUTHORIZED', 'forged'],
    ['a longer token', { authorization: `${bearer.authorization}0` }, '{}', 401, 'UNAUTHORIZED', 'forged'],
    ['a password', { authorization: 'Basic eDp5' }, '{}', 401, 'UNAUTHORIZED', 'unsigned'],
    ['an empty token', { authorization: 'Bearer ' }, '{}', 401, 'UNAUTHORIZED', 'unsigned'],
    ['what is no JSON', bearer, 'to=10001', 400, 'USAGE', 'refused'],
    ['nothing', bearer, '', 400, 'USAGE', 'refused'],
    ['a broken type', { ...bearer, 'content-type': ';;x' }, '{}', 400, 'USAGE', 'refused'],
    ['too much', bearer, `"${'x'.repeat(64 * 1024)}"`, 413, 'TOO_LARGE', 'too_large'],
  ])('with %s are refused', async (_, headers, body, status, code, result) => {
    const { post, counts } = await serve({ call: () => Promise.reject(new Error('not to be called')) });
    const answer = await post('/flows/welcome', headers, body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toEqual({ error: said(code) });
    expect(counts).toEqual({ [`flow ${result}`]: 1 });
  });

  it.each<[what: string, method: 'GET' | 'POST', path: string, status: number, code: string]>([
    ['by another method', 'GET', '/flows/welcome', 404, 'NOT_FOUND'],
    ['of no name', 'POST', '/flows/%ff', 400, 'USAGE'],
  ])('%s are refused in the same words', async (_, method, path, status, code) => {
    const { ask } = await serve();
    const answer = await ask(method, path, bearer);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toEqual({ error: said(code) });
  });

  it('are answered as the flow says, and counted so', async () => {
    const call = (): Promise<{ status: number; body: object }> =>
      Promise.resolve({ status: 404, body: { error: 'no such flow' } });
    const { post, counts } = await serve({ call });
    expect(await post('/flows/x', bearer, '{}')).toMatchObject({ status: 404, text: '{"error":"no such flow"}' });
    expect(counts).toEqual({ 'flow refused': 1 });
  });

  it('that fail say nothing of why', async () => {
    const { post, counts } = await serve({ call: () => Promise.reject(new Error(SECRET)) });
    const answer = await post('/flows/x', bearer, '{}');
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.text)).toEqual({ error: said('INTERNAL') });
    expect(answer.text).not.toContain(SECRET);
    expect(counts).toEqual({ 'flow refused': 1 });
  });
});

describe('pages', () => {
  it('are given as they are', async () => {
    const page: WebhookServerOptions['page'] = (path) =>
      Promise.resolve({
        status: path === '/healthz' ? 503 : 200,
        type: 'text/plain; version=0.0.4',
        body: `of ${path}`,
      });
    const { ask } = await serve({ page });
    expect(await ask('GET', '/healthz')).toMatchObject({ status: 503, text: 'of /healthz' });
    const metrics = await ask('GET', '/metrics');
    expect(metrics).toMatchObject({ status: 200, text: 'of /metrics' });
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4');
  });

  it('that fail say nothing of why', async () => {
    const { ask } = await serve({ page: () => Promise.reject(new Error(SECRET)) });
    expect(await ask('GET', '/metrics')).toMatchObject({ status: 500, text: '{"error":"failed"}' });
  });
});

describe('answers to what is no request of ours', () => {
  const secret = 'hunter2';

  it.each<[what: string, method: string, path: string, status: number]>([
    ['an unknown path', 'POST', `/${secret}`, 404],
    ['an unknown page', 'GET', `/admin?token=${secret}`, 404],
    ['another method', 'GET', `/webhooks/cams/${secret}`, 404],
    ['a broken path', 'GET', `/webhooks/cams/%ff${secret}`, 400],
    ['a broken path that is posted to', 'POST', `/webhooks/cams/%E0%A4%A${secret}`, 400],
    ['a wrong token', 'POST', `/webhooks/cams/${secret}`, 401],
    ['a broken type', 'POST', '/webhooks/meta', 400],
  ])('%s: a word, and nothing of what was asked', async (what, method, path, status) => {
    const { ask, kept } = await serve();
    const headers = { ...signed(secret), ...(what === 'a broken type' && { 'content-type': `;;${secret}` }) };
    const answer = await ask(method as 'GET', path, headers, method === 'POST' ? secret : undefined);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(/^\{"error":"\w+"\}$/);
    expect(JSON.stringify(answer)).not.toContain(secret);
    expect(kept).toEqual([]);
  });

  it('what is no HTTP: the connection ends', async () => {
    const { dial } = await serve();
    const { socket, text, closed } = await dial();
    socket.write(`${secret}\r\n\r\n`);
    await closed;
    expect(text()).toMatch(/^HTTP\/1\.1 400 /);
    expect(text()).not.toContain(secret);
  });
});

describe('bounds', () => {
  const request = (...headers: string[]): string =>
    [
      'POST /webhooks/meta HTTP/1.1',
      'host: x',
      `x-hub-signature-256: sha256=${'0'.repeat(64)}`,
      ...headers,
      '',
      '',
    ].join('\r\n');
  /** Writes for as long as somebody reads. */
  const pour = async (socket: Socket, piece: string): Promise<number> => {
    let written = 0;
    while (written < 50_000_000 && !socket.destroyed && socket.writable) {
      written += piece.length;
      if (!socket.write(piece))
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), ended(socket)]);
    }
    return written;
  };

  it.each<[what: string, header: string, piece: string]>([
    ['says so', 'content-length: 50000000', 'x'.repeat(10_000)],
    ['says nothing of it', 'transfer-encoding: chunked', `2710\r\n${'x'.repeat(10_000)}\r\n`],
  ])('a body of 50 MB that %s is not read to its end', async (_, header, piece) => {
    const { dial, counts, kept } = await serve();
    const { socket, text, closed } = await dial();
    socket.write(request(header));
    expect(await pour(socket, piece)).toBeLessThan(25_000_000);
    await closed;
    expect(text()).toMatch(/^HTTP\/1\.1 413 [^]*\{"error":"too_large"\}$/);
    expect(counts).toEqual({ 'meta too_large': 1 });
    expect(kept).toEqual([]);
  });

  const limits = { headersMs: 200, requestMs: 300, keepAliveMs: 200 };

  it.each<[what: string, first: string]>([
    ['says nothing', ''],
    ['begins its headers', 'POST /webhooks/meta HTTP/1.1\r\nhost:'],
    ['begins its body', `${request('content-length: 100')}{`],
    ['is silent after its request', 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['begins its headers after its request', 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nPOST /web'],
  ])('a client that %s is cut off', async (_, first) => {
    const { dial, kept } = await serve({ limits });
    const { socket, closed } = await dial();
    const started = performance.now();
    if (first !== '') socket.write(first);
    await closed;
    // Node looks at idle connections a second late.
    expect(performance.now() - started).toBeLessThan(2500);
    expect(kept).toEqual([]);
  });

  it('a client that sends a byte now and then is cut off all the same', async () => {
    const { dial, counts } = await serve({ limits });
    const { socket, closed, text } = await dial();
    socket.write(request('content-length: 1000'));
    const drip = setInterval(() => socket.write('x'), 20);
    onTestFinished(() => clearInterval(drip));
    await closed;
    expect(text()).not.toContain('200 OK');
    await expect.poll(() => counts, { interval: 5 }).toEqual({ 'meta refused': 1 });
  });

  it('there are no more connections than so many', async () => {
    const { dial, ask } = await serve({ limits: { connections: 3 }, connections: 1 });
    const first = await dial();
    await dial();
    expect((await ask('GET', '/healthz')).status).toBe(200);
    const { closed, text } = await dial();
    await closed;
    expect([text(), first.socket.destroyed]).toEqual(['', false]);
  });
});

describe('writing', () => {
  it('is done for all that arrive together, and for each before its answer', async () => {
    const { opened: allThere, open } = gate();
    let arrived = 0;
    let answered = 0;
    let isWriting = false;
    const backlog = (): number => {
      arrived += 1;
      if (arrived === 50) open();
      return 0;
    };
    const writes: number[] = [];
    const written = new Set<string>();
    const receive = async (deliveries: readonly NewDelivery[]): Promise<void> => {
      expect(isWriting).toBe(false);
      isWriting = true;
      writes.push(deliveries.length);
      await allThere;
      if (writes.length === 1) expect(answered).toBe(0);
      for (const { body } of deliveries) written.add(body);
      isWriting = false;
    };
    const { meta, told } = await serve({ receive, backlog, connections: 50, limits: { group: 20 } });
    const early: string[] = [];
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const body = event(index);
        const { status } = await meta(body);
        answered += 1;
        if (status !== 200 || !written.has(body)) early.push(body);
      }),
    );
    expect(early).toEqual([]);
    expect(written.size).toBe(50);
    expect(writes.length).toBeLessThanOrEqual(4);
    expect(Math.max(...writes)).toBe(20);
    expect(told()).toBe(writes.length);
  });

  it('keeps the order in which requests came on one connection', async () => {
    const { pipeline, kept } = await serve({ limits: { group: 3 } });
    const bodies = Array.from({ length: 10 }, (_, index) => event(index));
    const answers = await pipeline(bodies.map((body) => ({ headers: signed(body), body })));
    expect(answers).toEqual(bodies.map(() => '200 '));
    expect(kept.map(({ body }) => body)).toEqual(bodies);
  });

  it.each<[what: string, fail: () => Promise<void>]>([
    ['fails', () => Promise.reject(new Error(`disk of ${SECRET}`))],
    [
      'throws',
      () => {
        throw new Error(SECRET);
      },
    ],
  ])('that %s has the service send it again', async (_, fail) => {
    let isBroken = true;
    const kept: NewDelivery[] = [];
    const receive = (deliveries: readonly NewDelivery[]): Promise<void> => {
      if (isBroken) return fail();
      kept.push(...deliveries);
      return Promise.resolve();
    };
    const { meta, counts, told } = await serve({ receive });
    const answer = await meta('{}');
    expect(answer).toMatchObject({ status: 503, text: '{"error":"overloaded"}', headers: { 'retry-after': '5' } });
    expect(told()).toBe(0);
    isBroken = false;
    expect((await meta('{}')).status).toBe(200);
    expect(kept).toHaveLength(1);
    expect(counts).toEqual({ 'meta overloaded': 1, 'meta accepted': 1 });
  });

  it('that hangs keeps nobody waiting', async () => {
    const { opened, open } = gate();
    let writes = 0;
    const receive = async (): Promise<void> => {
      writes += 1;
      if (writes === 1) await opened;
    };
    const { meta, told } = await serve({ receive, limits: { writeMs: 50, group: 1 } });
    const first = await Promise.all([meta('1'), meta('2')]);
    expect(first.map(({ status }) => status)).toEqual([503, 503]);
    expect((await meta('3')).status).toBe(503);
    expect([writes, told()]).toEqual([1, 0]);
    open();
    await expect.poll(told, { interval: 5 }).toBe(1);
    expect((await meta('4')).status).toBe(200);
    expect(writes).toBe(2);
  });

  it('stops when too many wait to be heard', async () => {
    let waiting = 9;
    const { meta, kept, counts } = await serve({ backlog: () => waiting, limits: { backlog: 10 } });
    expect((await meta('{}')).status).toBe(200);
    waiting = 10;
    expect(await meta('{}')).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    waiting = 0;
    expect((await meta('{}')).status).toBe(200);
    expect(kept).toHaveLength(2);
    expect(counts).toEqual({ 'meta accepted': 2, 'meta overloaded': 1 });
  });

  it.each<[what: string, limits: object]>([
    ['requests', { waiting: 2 }],
    ['bytes', { waitingLength: 30 }],
  ])('stops when too many %s wait to be written', async (_, bound) => {
    const { opened, open } = gate();
    const started = gate();
    const receive = async (): Promise<void> => {
      started.open();
      await opened;
    };
    const { meta } = await serve({ receive, limits: { group: 1, ...bound } });
    const body = '0123456789';
    const first = meta(body);
    await started.opened;
    const others = [meta(body), meta(body), meta(body)].map((one) => one.then(({ status }) => status));
    expect(await Promise.race(others)).toBe(503);
    open();
    expect((await first).status).toBe(200);
    expect((await Promise.all(others)).sort()).toEqual([200, 200, 503]);
  });
});

describe('closing', () => {
  it('lets what is under way finish, and takes nothing more', async () => {
    const { opened, open } = gate();
    const started = gate();
    const receive = async (): Promise<void> => {
      started.open();
      await opened;
    };
    const { server, meta } = await serve({ receive });
    const under = meta('{}');
    await started.opened;
    const closed = server.close();
    await expect(dial(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    open();
    // A connection that stayed open would keep the server for as long as it is silent.
    expect(await under).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await closed;
    await server.close();
  });

  it('does not wait for a slow client for ever', async () => {
    const { server, ask, dial: call } = await serve({ limits: { closeMs: 50 } });
    const { socket, closed } = await call();
    socket.write('POST /webhooks/meta HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n');
    await ask('GET', '/healthz');
    await server.close();
    await closed;
  });
});

describe('starting', () => {
  it('tells of a port that is taken', async () => {
    const { server } = await serve();
    await expect(serve({ port: Number(new URL(server.url).port) })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  it('tells of a host that is none of this machine', async () => {
    await expect(serve({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('listens on loopback alone by that name', async () => {
    const { server, ask } = await serve({ host: 'localhost' });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await ask('GET', '/healthz')).status).toBe(200);
  });
});
