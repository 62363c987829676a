/** `pagecast listen` through the whole program: what it says at its start, what it takes, answers and counts, and its end. */
import { mkdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { listenerInside, metaSignature, type InsideListener } from '../support/listener.js';
import { until } from '../support/process.js';
import { inside } from '../support/process-inside.js';
import { testSandbox, type TestSandbox } from '../support/sandbox-harness.js';
import { personId, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const PAGE = '102938475601928';
const ACME = `sandbox:messenger/${PAGE}`;
const SECRETS = {
  APP: 'secret-of-the-app-of-acme',
  CAMS: 'token-that-cams-alone-knows-0123456789',
  AUTH: 'f00dfacef00dfacef00dfacef00dface',
  FLOW: 'token-for-other-programs',
  VERIFY: 'token-for-the-handshake',
  TOKEN: 'EAABsbCS1iHgBAExample0secret',
  KEY: 'key-of-alibaba-cloud',
};
const URL_OUTSIDE = 'https://hooks.example.com';
const BODY =
  'Your order {{order_no}} was handed to {{carrier}} today and should reach you by {{date}}, {{name}}. Thank you!';
const SEED: SeedInput = {
  page: { id: PAGE },
  templates: [{ name: 'order_shipped', language: 'en_US', parameter_format: 'NAMED', body: BODY }],
};
const HOURS = 'type: auto-reply\ntrigger: { keyword: [hours] }\nfrom: acme\ntext: We are open from 9 to 5.\n';
const SHIPPED =
  'type: notification\ntrigger: { call: true }\nfrom: acme\ntemplate: order_shipped\nvalues: { carrier: Blue Van, date: 4 Dec }\n';

let workspace: TestWorkspace;
let platform: TestSandbox;

beforeEach(async () => {
  platform = await testSandbox(SEED);
  workspace = await testWorkspace(configuration());
  await mkdir(workspace.path('flows'));
});

/** Accounts at each service. @param listen what stands under `listen:` */
function configuration(
  listen = `{ verifyToken: env:VERIFY, flowToken: env:FLOW, url: "${URL_OUTSIDE}" }`,
  acme = ', appSecret: env:APP',
): string {
  return `accounts:
  acme: { provider: sandbox, channel: messenger, id: "${PAGE}", url: "${platform.sandbox.url}"${acme} }
  cams: { provider: cams, channel: messenger, id: "102938475601929", spaceId: x, accessKeyId: env:KEY, accessKeySecret: env:KEY, callbackToken: env:CAMS }
  alice-sms: { provider: twilio, channel: sms, id: "+15550001111", accountSid: env:KEY, authToken: env:AUTH }
listen: ${listen}
`;
}

/** Starts a listener in this process; no other command may run beside it. */
const listening = (...args: string[]): Promise<InsideListener> => listenerInside(workspace, SECRETS, args);

/** A message that somebody wrote to the Page, as Meta posts it. */
function message(user: string, text: string, page = PAGE): string {
  const at = Date.now();
  const item = {
    sender: { id: user },
    recipient: { id: page },
    timestamp: at,
    message: { mid: `m_${at}_${text}`, text },
  };
  return JSON.stringify({ object: 'page', entry: [{ id: page, time: at, messaging: [item] }] });
}

const signature = (body: string, secret = SECRETS.APP): string => metaSignature(body, secret);

async function post(url: string, body: string, headers: Record<string, string>): Promise<number> {
  return (await fetch(url, { method: 'POST', body, headers })).status;
}

const toMeta = (url: string, body: string, signed = signature(body)): Promise<number> =>
  post(`${url}/webhooks/meta`, body, { 'content-type': 'application/json', 'x-hub-signature-256': signed });

async function metric(url: string, name: string): Promise<string | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1);
}

describe('at its start', () => {
  it('says for each account whether callbacks can be checked, and the addresses to enter, but no secret', async () => {
    await workspace.write(
      'pagecast.yaml',
      configuration().replace(
        'listen:',
        '  open: { provider: graph, channel: messenger, id: "102938475601930", token: env:TOKEN }\nlisten:',
      ),
    );
    const here = await listening();
    const about = (event: string): [unknown, unknown][] =>
      here
        .lines()
        .flatMap((line) => (line.event === event ? [[line['account'] ?? line['service'], line['address']]] : []));
    expect(about('account').map(([account]) => account)).toEqual(['acme', 'cams', 'alice-sms']);
    expect(about('account_unchecked')).toEqual([['open', undefined]]);
    expect((await here.line('account_unchecked')).message).toMatch(
      /open has no appSecret: Meta signs.* pagecast account add open --replace --app-secret env:NAME$/,
    );
    expect(about('address')).toEqual([
      ['meta', `${URL_OUTSIDE}/webhooks/meta`],
      ['cams', `${URL_OUTSIDE}/webhooks/cams/<callbackToken>`],
      ['twilio', `${URL_OUTSIDE}/webhooks/twilio`],
      ['flow', `${URL_OUTSIDE}/flows/NAME`],
    ]);
    for (const secret of Object.values(SECRETS)) expect(here.written()).not.toContain(secret);
  });

  it('tells of flows with faults, which it does not run', async () => {
    await workspace.write('flows/hours.yaml', HOURS);
    await workspace.write('flows/parcel.yaml', SHIPPED.replace('order_shipped', 'order_update'));
    await workspace.write('flows/broken.yaml', 'type: nothing\n');
    const here = await listening();
    expect(await here.line('flow_fault')).toMatchObject({ level: 'warn', flow: 'parcel', row: 'V4' });
    expect((await here.line('flow_fault')).message).toMatch(/^Not run: parcel: .* \(V4\) /);
    expect((await here.line('flow_broken')).message).toContain('broken.yaml');
    expect(await here.line('ready')).toMatchObject({ flows: 1 });
  });

  it('says what is missing without listen:, and answers Twilio with 404, whose signature covers the address', async () => {
    await workspace.write('pagecast.yaml', configuration('{}'));
    const here = await listening();
    expect((await here.line('account_unchecked')).message).toContain('listen: has no url');
    expect((await here.line('no_verify_token')).message).toContain('verifyToken');
    expect((await here.line('address'))['address']).toBe(`${here.url}/webhooks/meta`);
    expect(await post(`${here.url}/webhooks/twilio`, 'A=b', { 'x-twilio-signature': 'A'.repeat(27) + '=' })).toBe(404);
    expect(await post(`${here.url}/flows/hours`, '{}', {})).toBe(404);
  });

  it.each<[host: string, isTold: boolean]>([
    ['127.0.0.1', false],
    ['localhost', false],
    ['0.0.0.0', true],
  ])('warns that metrics are open to others, listening on %s: %s', async (host, isTold) => {
    const here = await listening('--host', host);
    expect(here.lines().some(({ event }) => event === 'open_to_others')).toBe(isTold);
  });

  it.each<[string, string | null, string[], number, string]>([
    ['nothing could be checked', 'accounts: {}\n', [], 2, 'CONFIG_INVALID'],
    [
      'no secret that checks anything can be had',
      'accounts:\n  acme: { provider: graph, channel: messenger, id: "10001", token: env:T, appSecret: env:NOT_SET }\n',
      [],
      2,
      'SECRET_MISSING',
    ],
    ['a document is asked for', null, ['--json'], 2, 'USAGE'],
    ['there is no such port', null, ['--port', '70000'], 2, 'USAGE'],
    ['nobody can listen on that host', null, ['--host', '192.0.2.1'], 2, 'USAGE'],
    ['it is to drain for no time', null, ['--drain', 'soon'], 2, 'USAGE'],
  ])('refuses to begin when %s', async (_, yaml, args, status, code) => {
    if (yaml !== null) await workspace.write('pagecast.yaml', yaml);
    const refused = await inside(workspace, ['listen', '--port', '0', ...args], SECRETS);
    expect(refused.status).toBe(status);
    expect(refused.stderr).toContain(code);
  });

  it('says when the port is taken', async () => {
    const server: Server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const taken = String((server.address() as AddressInfo).port);
    const refused = await inside(workspace, ['listen', '--port', taken], SECRETS);
    expect([refused.status, refused.stderr]).toEqual([7, expect.stringContaining('PORT_IN_USE')]);
  });
});

describe('while it runs', () => {
  it('hears what Meta posts, answers by a flow, and counts both', async () => {
    await workspace.write('flows/hours.yaml', HOURS);
    const here = await listening();
    expect(await toMeta(here.url, message(personId(0), 'Hours!'))).toBe(200);
    await until('the answer', () => platform.sandbox.state.received().length > 0, 5000);
    expect(platform.sandbox.state.received()).toMatchObject([{ user: personId(0), text: 'We are open from 9 to 5.' }]);
    const { store } = await here.store();
    expect(await store.openersOf(ACME, personId(0))).toMatchObject([{ opener: 'message' }]);

    const expected: [string, string][] = [
      ['pagecast_callbacks_total{service="meta",result="accepted"}', '1'],
      ['pagecast_events_total{account="acme",opener="message"}', '1'],
      ['pagecast_answers_total{account="acme",flow="hours",result="queued"}', '1'],
      ['pagecast_singles_total{account="acme",mode="auto-reply",state="sent"}', '1'],
    ];
    await until('the last of them', async () => (await metric(here.url, expected[3]![0])) === '1', 5000);
    for (const [name, value] of expected) expect([name, await metric(here.url, name)]).toEqual([name, value]);
    expect((await here.line('heard')).message).toBe('Heard: 1 message, 1 window moved.');
    expect((await here.line('singles_sent')).message).toBe('Sent: 1 acme hours sent.');
    expect(here.written()).not.toMatch(new RegExp(`${personId(0)}|Hours!|We are open`));
  });

  it('takes what CAMS and Twilio tell', async () => {
    const here = await listening();
    const at = Date.now();
    const inbound = [
      { MessageId: 'x', From: personId(1), To: '102938475601929', Type: 'TEXT', Message: 'hi', Timestamp: at },
    ];
    expect(await post(`${here.url}/webhooks/cams/${SECRETS.CAMS}`, JSON.stringify(inbound), {})).toBe(200);
    expect(await post(`${here.url}/webhooks/cams/guessed`, JSON.stringify(inbound), {})).toBe(401);
    const sms = { MessageSid: 'SM1', From: '+4915112345678', To: '+15550001111', Body: 'STOP', NumMedia: '0' };
    const signed = getExpectedTwilioSignature(SECRETS.AUTH, `${URL_OUTSIDE}/webhooks/twilio`, sms);
    const form = { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': signed };
    expect(await post(`${here.url}/webhooks/twilio`, new URLSearchParams(sms).toString(), form)).toBe(200);

    const { store } = await here.store();
    await until(
      'both are heard',
      async () => (await store.openersOf('sms/+15550001111', '+4915112345678')).length > 0,
      5000,
    );
    expect(await store.openersOf('messenger/102938475601929', personId(1))).toMatchObject([{ opener: 'message' }]);
    const out: string[] = [];
    for await (const people of store.optOuts('sms/+15550001111')) out.push(...people.map(({ userId }) => userId));
    expect(out).toEqual(['+4915112345678']);
    expect(await metric(here.url, 'pagecast_opt_outs_total{account="alice-sms"}')).toBe('1');
    expect(await metric(here.url, 'pagecast_callbacks_total{service="cams",result="forged"}')).toBe('1');
  });

  it('verifies the address for Meta', async () => {
    const here = await listening();
    const ask = async (token: string): Promise<[number, string]> => {
      const query = new URLSearchParams({
        'hub.mode': 'subscribe',
        'hub.verify_token': token,
        'hub.challenge': '1158',
      });
      const answer = await fetch(`${here.url}/webhooks/meta?${query.toString()}`);
      return [answer.status, await answer.text()];
    };
    expect(await ask(SECRETS.VERIFY)).toEqual([200, '1158']);
    expect((await ask('guessed'))[0]).toBe(403);
  });

  it('counts what it refuses in one line, and keeps what it cannot use, which doctor tells', async () => {
    const here = await listening();
    const body = message(personId(0), 'hi');
    for (const signed of ['', 'sha256=00', signature(body, 'another'), signature(`${body} `)]) {
      expect(await toMeta(here.url, body, signed)).toBe(401);
    }
    expect(await toMeta(here.url, message(personId(0), 'hi', '99999'))).toBe(200);
    expect(await toMeta(here.url, '{"hello":')).toBe(200);
    await here.line('dead_letters');
    await until(
      'both are heard',
      async () => (await metric(here.url, 'pagecast_dead_letters_total{reason="not_json"}')) === '1',
      5000,
    );
    expect(await metric(here.url, 'pagecast_callbacks_total{service="meta",result="forged"}')).toBe('2');
    expect(await here.stop()).toBe(0);
    const refused = here.lines().filter(({ event }) => event === 'requests_refused');
    expect(refused.map(({ counts }) => counts)).toEqual([{ 'meta forged': 2, 'meta unsigned': 2 }]);

    const doctor = await inside<{ ok: boolean; checks: { name: string; detail: string; hint: string }[] }>(
      workspace,
      ['doctor', '--offline', '--json'],
      SECRETS,
    );
    const letters = doctor.json.checks.find(({ name }) => name === 'dead letters');
    expect(letters?.detail).toMatch(/^In 7 days 2 callbacks could not be used in full: .*unknown_account 1/);
    expect(letters?.hint).toContain('about an account that pagecast.yaml does not have');
    expect(doctor.status).toBe(0);

    const shown = await inside(workspace, ['doctor', '--dead-letters']);
    expect(shown.stdout).toMatch(/ {2}meta {2}not_json\n {2}\{"hello":\n/);
    expect(shown.stderr).toContain('They may hold what people wrote');
  });

  it('tells what it took for nothing that matters, and receipts that it knows the message of', async () => {
    const here = await listening();
    const at = Date.now();
    const item = { sender: { id: personId(0) }, recipient: { id: PAGE }, timestamp: at };
    const edit = { ...item, message_edit: { mid: `m_${at}`, text: 'hallo', num_edit: 1 } };
    const body = JSON.stringify({ object: 'page', entry: [{ id: PAGE, time: at, messaging: [edit] }] });
    expect(await toMeta(here.url, body)).toBe(200);
    const { message: told, counts } = await here.line('heard');
    const [kind] = Object.keys(counts as object);
    expect(told).toMatch(/^Heard: 1 \w+ \(changes nothing\)\.$/);
    expect(await metric(here.url, `pagecast_ignored_total{kind="${String(kind).split(' ')[0]}"}`)).toBe('1');
  });

  it('is unwell when nothing can be kept, and has it come again', async () => {
    const here = await listening();
    const health = async (): Promise<number> => (await fetch(`${here.url}/healthz`)).status;
    expect(await health()).toBe(200);
    await rm(workspace.path('.pagecast/pagecast.db'));
    expect(await toMeta(here.url, message(personId(0), 'hi'))).toBe(503);
    expect(await health()).toBe(503);
    expect(await metric(here.url, 'pagecast_callbacks_total{service="meta",result="overloaded"}')).toBe('1');
    expect((await here.line('not_kept')).message).toMatch(
      /^Could not be kept, so it was answered with 503 and is sent again: STORE_/,
    );
  });
});

describe('POST /flows/NAME', () => {
  async function call(url: string, name: string, body: unknown, token = SECRETS.FLOW) {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${url}/flows/${name}`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  const order = { to: personId(0), values: { order_no: 'A-1', name: 'Ann' } };

  it('has the flow send its message, once for each key', async () => {
    await workspace.write('flows/shipped.yaml', SHIPPED);
    const here = await listening();
    const first = await call(here.url, 'shipped', { ...order, key: 'order-1' });
    expect(first).toEqual({
      status: 202,
      body: { campaign: expect.any(String) as string, row: 1, state: 'queued', notBefore: null },
    });
    await until('it is sent', () => platform.sandbox.state.received().length > 0, 5000);
    const { store } = await here.store();
    const row = { campaign: String(first.body['campaign']), seq: 1 };
    await until('that is known', async () => (await store.message(row))?.state === 'sent', 5000);
    const again = await call(here.url, 'shipped', { ...order, key: 'order-1' });
    expect(again).toEqual({ status: 200, body: { ...first.body, state: 'sent' } });
    expect(platform.sandbox.state.received()).toHaveLength(1);
  });

  it('says what it refuses, and why', async () => {
    await workspace.write('flows/shipped.yaml', `${SHIPPED}limits: { oncePer: 7d }\n`);
    await workspace.write('flows/hours.yaml', HOURS);
    await workspace.write('flows/faulty.yaml', SHIPPED.replace('order_shipped', 'order_update'));
    await workspace.write('flows/broken.yaml', 'type: nothing\n');
    await inside(workspace, ['optout', 'add', personId(7), '--account', 'acme'], SECRETS);
    const here = await listening();
    expect((await call(here.url, 'shipped', order)).status).toBe(202);
    const cases: [name: string, body: unknown, status: number, code: string, hint?: RegExp][] = [
      ['shipped', order, 409, 'LIMIT'],
      ['nowhere', order, 404, 'FLOW_UNKNOWN', /These can be called: shipped/],
      ['faulty', order, 404, 'FLOW_UNKNOWN', /pagecast flow check faulty/],
      ['broken', order, 404, 'FLOW_UNKNOWN', /pagecast flow check broken/],
      ['hours', order, 422, 'USAGE'],
      ['shipped', { ...order, to: personId(7) }, 403, 'OPTED_OUT'],
      ['shipped', { ...order, to: '+4915112345678' }, 422, 'CHANNEL_MISMATCH'],
      ['shipped', { ...order, values: { name: 'Ann' } }, 422, 'VARIABLE_MISSING', /^$/],
      ['shipped', { ...order, values: { ...order.values, colour: 'red' } }, 422, 'VARIABLE_UNKNOWN'],
      ['shipped', { ...order, owner: 'alice' }, 422, 'USAGE'],
      ['shipped', { ...order, values: { order_no: 7 } }, 400, 'USAGE'],
      ['shipped', { ...order, template: 'other' }, 400, 'USAGE'],
      ['shipped', { to: 7642925849053947 }, 400, 'USAGE'],
      ['shipped', [], 400, 'USAGE'],
    ];
    for (const [name, body, status, code, hint = /^/] of cases) {
      const refused = await call(here.url, name, body);
      expect([name, body, refused.status, refused.body]).toMatchObject([
        ...[name, body, status],
        { error: { code, hint: expect.stringMatching(hint) as string } },
      ]);
      expect(JSON.stringify(refused.body)).not.toContain(personId(7));
    }
    expect(await call(here.url, 'shipped', order, 'guessed')).toMatchObject({ status: 401 });
    expect(await metric(here.url, 'pagecast_callbacks_total{service="flow",result="refused"}')).toBe(
      String(cases.length),
    );
  });
});

describe('its end', () => {
  it('hears what has come in, takes no more, and ends with 0', async () => {
    const here = await listening();
    const { store } = await here.store();
    const body = message(personId(0), 'hi');
    // Left behind by a listener that died.
    await store.receive([{ service: 'meta', accounts: [ACME], body, receivedAt: Date.now() }]);
    expect(await here.stop()).toBe(0);
    expect(await store.backlog()).toBe(0);
    expect(await store.openersOf(ACME, personId(0))).toHaveLength(1);
    await expect(fetch(`${here.url}/healthz`)).rejects.toThrow();
    expect((await here.line('stopping')).message).toContain('30s');
  });
});
