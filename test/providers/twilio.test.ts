import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Context } from '../../src/cli/context.js';
import type { Outcome } from '../../src/core/delivery.js';
import { explainError } from '../../src/core/platform-errors.js';
import { rowMetadata } from '../../src/core/metadata.js';
import type { Message } from '../../src/core/template.js';
import type { AccountCheck, OutgoingMessage } from '../../src/ports.js';
import { openProvider } from '../../src/providers/index.js';
import { createTwilioProvider, type TwilioConfig } from '../../src/providers/twilio.js';
import {
  describeProvider,
  expectNothingPrivate,
  machineClock,
  ReplyServer,
  type CannedReply,
  type ProviderCase,
} from '../support/provider-contract.js';
import { TwilioServer, type Behaviour } from '../support/twilio-server.js';
import { template } from '../support/fixtures.js';

const SID = `AC${'0123456789abcdef'.repeat(2)}`;
const TOKEN = 'f00dfacef00dfacef00dfacef00dface';
const BASIC = Buffer.from(`${SID}:${TOKEN}`).toString('base64');
const SECRETS = [TOKEN, BASIC];
const FROM = '+15005550006';
const USER = '+4915198765432';
const MESSAGE_SID = `SM${'a1'.repeat(16)}`;

const config = (baseUrl: string, more: Partial<TwilioConfig> = {}): TwilioConfig => ({
  baseUrl,
  channel: 'sms',
  number: FROM,
  accountSid: SID,
  authToken: TOKEN,
  ...more,
});
const outgoing = (parts: Partial<Message>, userId = USER): OutgoingMessage => ({
  userId,
  metadata: 'pagecast:c7:1',
  isReply: false,
  message: { buttons: [], quickReplies: [], ...parts },
});
const hello = outgoing({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' });
const queued = (change: object = {}): object => ({ sid: MESSAGE_SID, status: 'queued', error_code: null, ...change });
const TRACE = { 'twilio-request-id': 'RQ0123456789abcdef' };
const refused = (code: number | string, message: string, status = 400): CannedReply => ({
  status,
  headers: TRACE,
  body: { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status },
});
const traced = (code: string, message: string): { code: string; message: string; traceId: string } => ({
  code,
  message,
  traceId: 'RQ0123456789abcdef',
});
const textOnly: Outcome = {
  kind: 'stopped',
  stop: 'content',
  error: { code: 'twilio:TEXT_ONLY', message: 'Nothing was sent: an SMS holds text and nothing else.' },
};

// ------------------------------------------------------------------------------------------------- the table of cases

const forms: ProviderCase[] = [
  ...['queued', 'accepted', 'sending', 'sent', 'scheduled', 'delivered', 'whatever_comes_next'].map(
    (status): ProviderCase => ({
      label: `a message that is ${status} is sent`,
      message: hello,
      replies: [{ status: 201, body: queued({ status }) }],
      outcome: { kind: 'sent', messageId: MESSAGE_SID },
    }),
  ),
  ...(
    [
      ['media', { media: { type: 'image', url: 'https://shop.example/a.png' } }],
      ['buttons', { buttons: [{ type: 'postback', title: 'Cancel', payload: 'CANCEL' }] }],
      ['quick replies', { quickReplies: [{ title: 'Yes', payload: 'YES' }] }],
      ['cards', { cards: [{ title: 'One', buttons: [] }] }],
      ['a registered template', { registered: { name: 'x', language: 'en', header: [], parameters: [], buttons: [] } }],
      ['a template of CAMS', { cams: { code: '1', language: 'en', parameters: {} } }],
    ] as [string, Partial<Message>][]
  ).map(([what, parts]): ProviderCase => ({
    label: `a message with ${what} is not put on the wire`,
    message: outgoing({ text: 'Hi', ...parts }),
    replies: [],
    outcome: textOnly,
  })),
  {
    label: 'a message without text is not put on the wire',
    message: outgoing({}),
    replies: [],
    outcome: textOnly,
  },
];

/** What Twilio's dictionary says of each code: `class code …`. Written out here, apart from core's table. */
const ERROR_TABLE = `
  stop:token 20003
  stop:restricted 20005 10001 30002
  stop:permission 20008 20403 20404 21212 21601 21603 21606 21609 21659 21660 21661
  rejected 21211 21214 21217 21265 21266 21268 21401 21408 21604 21608 21612 21614 21635 572002 572005
  rejected 30003 30004 30005 30006 30007 30008 30010 30022 30023 30027 30032 30034 30036 30044 30450
  opted_out 21610
  stop:content 21602 21605 21617 21619 21620 21658
  stop:content 21999 99999 1
  pause 14107 20429 21611 21730 30001 63017 63018
  end 30454 63038
`;
const table: ProviderCase[] = ERROR_TABLE.trim()
  .split('\n')
  .flatMap((line) => {
    const [kind = '', ...codes] = line.trim().split(/\s+/);
    return codes.map((code): ProviderCase => {
      const error = traced(`twilio:${code}`, 'Words of the platform');
      const [word, cause] = kind.split(':');
      let outcome: Outcome;
      if (word === 'stop') outcome = { kind: 'stopped', stop: cause as 'content', error };
      else if (word === 'pause') outcome = { kind: 'retryable', error, pauseMs: 30_000 };
      else if (word === 'end') outcome = { kind: 'retryable', error, pauseMs: 3_600_000 };
      else if (word === 'opted_out') outcome = { kind: 'rejected', error, optedOut: true };
      else outcome = { kind: 'rejected', error };
      return {
        label: `error ${code}: ${kind}`,
        message: hello,
        replies: [refused(Number(code), 'Words of the platform', code === '20003' ? 401 : 400)],
        outcome,
      };
    });
  });

const failedWith = (change: object): CannedReply => ({ status: 201, headers: TRACE, body: queued(change) });
const limited = (headers: Record<string, string>, code = 20429, status = 429): CannedReply => ({
  ...refused(code, 'Too Many Requests', status),
  headers: { ...TRACE, ...headers },
});
const waits = (pauseMs: number): Outcome => ({
  kind: 'retryable',
  error: traced('twilio:20429', 'Too Many Requests'),
  pauseMs,
});

const replies: ProviderCase[] = [
  ...(['failed', 'undelivered', 'canceled'] as const).map((status): ProviderCase => ({
    label: `a message that is ${status} at once`,
    message: hello,
    replies: [failedWith({ status, error_code: 30005, error_message: 'Unknown destination handset' })],
    outcome: { kind: 'rejected', error: traced('twilio:30005', 'Unknown destination handset') },
  })),
  {
    label: 'a failed message without a reason',
    message: hello,
    replies: [failedWith({ status: 'failed' })],
    outcome: { kind: 'rejected', error: traced('twilio:UNSPECIFIED', '') },
  },
  {
    label: 'a failed message with a reason that is not known is rejected, and says nothing of the template',
    message: hello,
    replies: [failedWith({ status: 'failed', error_code: 39999, error_message: 'Something new' })],
    outcome: { kind: 'rejected', error: traced('twilio:39999', 'Something new') },
  },
  {
    label: 'a message that failed in a queue that was full may be sent later',
    message: hello,
    replies: [failedWith({ status: 'failed', error_code: 30001, error_message: 'Queue overflow' })],
    outcome: { kind: 'retryable', error: traced('twilio:30001', 'Queue overflow'), pauseMs: 30_000 },
  },
  {
    label: 'a message that failed because the account was suspended ends the run',
    message: hello,
    replies: [failedWith({ status: 'failed', error_code: 30002, error_message: 'Account suspended' })],
    outcome: { kind: 'stopped', stop: 'restricted', error: traced('twilio:30002', 'Account suspended') },
  },
  {
    label: 'a failed message that is about an opt-out',
    message: hello,
    replies: [failedWith({ status: 'failed', error_code: 21610, error_message: 'Unsubscribed' })],
    outcome: { kind: 'rejected', error: traced('twilio:21610', 'Unsubscribed'), optedOut: true },
  },
  {
    label: 'an error in the shape of RFC 9457',
    message: hello,
    replies: [
      {
        status: 400,
        headers: TRACE,
        body: { type: 'https://www.twilio.com/docs/errors/21211', title: 'Invalid To', status: 400, code: 21211 },
      },
    ],
    outcome: { kind: 'rejected', error: traced('twilio:21211', '[HTTP 400] Invalid To') },
  },
  {
    label: 'a code that came as text',
    message: hello,
    replies: [refused('21610', 'Unsubscribed')],
    outcome: { kind: 'rejected', error: traced('twilio:21610', 'Unsubscribed'), optedOut: true },
  },
  {
    label: 'a limit that says for how long',
    message: hello,
    replies: [limited({ 'retry-after': '7' })],
    outcome: waits(7000),
  },
  { label: 'a limit that says nothing', message: hello, replies: [limited({})], outcome: waits(30_000) },
  {
    label: 'a limit that says nonsense',
    message: hello,
    replies: [limited({ 'retry-after': 'soon' })],
    outcome: waits(30_000),
  },
  {
    label: 'a limit that says until when, which is past',
    message: hello,
    replies: [limited({ 'retry-after': 'Sat, 21 Nov 2020 12:00:00 GMT' })],
    outcome: waits(0),
  },
  {
    label: 'a limit without the status of one',
    message: hello,
    replies: [limited({ 'retry-after': '90' }, 20429, 400)],
    outcome: waits(90_000),
  },
  {
    label: '429 with whatever code has not been processed',
    message: hello,
    replies: [limited({}, 21211)],
    outcome: { kind: 'retryable', error: traced('twilio:21211', 'Too Many Requests'), pauseMs: 30_000 },
  },
  {
    label: '429 without a word of Twilio',
    message: hello,
    replies: [{ status: 429, headers: { 'retry-after': '3' }, body: '<html>slow down</html>' }],
    outcome: {
      kind: 'retryable',
      error: { code: 'twilio:20429', message: 'HTTP status 429: too many calls.' },
      pauseMs: 3000,
    },
  },
  ...[20500, 20503, 21610, 20003, 20429].map((code): ProviderCase => ({
    label: `a server error with the code ${code}: unknown`,
    message: hello,
    replies: [refused(code, 'Oh no', 503)],
    outcome: { kind: 'unknown', error: traced('SERVER_ERROR', 'Twilio answered with HTTP status 503. Oh no') },
  })),
  ...[400, 401, 403, 408, 302].map((status): ProviderCase => ({
    label: `${status} that is none of Twilio's: unknown`,
    message: hello,
    replies: [{ status, body: '<html>Blocked by your organisation</html>' }],
    outcome: {
      kind: 'unknown',
      error: { code: 'REPLY_UNREADABLE', message: `The answer (HTTP status ${status}) is not Twilio's.` },
    },
  })),
  ...[301, 307, 308, 404, 405, 407, 414, 421, 431].map((status): ProviderCase => ({
    label: `${status} that is none of Twilio's: nothing was taken up`,
    message: hello,
    replies: [{ status, headers: { location: 'https://elsewhere.example/' }, body: '<html>no</html>' }],
    outcome: {
      kind: 'retryable',
      error: {
        code: 'CONNECTION_REFUSED',
        message: `HTTP status ${status} came from something other than Twilio; nothing was sent.`,
      },
      pauseMs: 10_000,
    },
  })),
  ...(
    [
      ['null', 'null'],
      ['a number', '7'],
      ['an error', JSON.stringify({ code: 21610, message: 'x', status: 400 })],
      ['no sid', JSON.stringify({ status: 'queued' })],
      ['a sid that is none', JSON.stringify({ sid: '../x', status: 'queued' })],
      ['a failure without a sid', JSON.stringify({ status: 'failed', error_code: 21610 })],
    ] as const
  ).map(([what, body]): ProviderCase => ({
    label: `201 with ${what} in it: unknown`,
    message: hello,
    replies: [{ status: 201, body }],
    outcome: {
      kind: 'unknown',
      error: {
        code: 'REPLY_UNREADABLE',
        message:
          what === 'null'
            ? "The answer (HTTP status 201) is not Twilio's."
            : 'The answer (HTTP status 201) holds no message id.',
      },
    },
  })),
  {
    label: 'an error without a code, with strange ones, and with a strange request id',
    message: hello,
    replies: [{ status: 400, headers: { 'twilio-request-id': 'x y' }, body: { code: { a: 1 }, message: ['x'] } }],
    outcome: {
      kind: 'unknown',
      error: { code: 'REPLY_UNREADABLE', message: "The answer (HTTP status 400) is not Twilio's." },
    },
  },
  {
    label: 'an error text that repeats everything private',
    message: hello,
    replies: [
      refused(
        21211,
        `No ${USER} (${encodeURIComponent(USER)}, 4915198765432) for ${SID}:${TOKEN} ${BASIC} ${encodeURIComponent(BASIC)}: ` +
          'Hi Ann, order A-1042 leaves on 1 Dec. pagecast:c7:1\u001b[2J\u202e',
      ),
    ],
    outcome: {
      kind: 'rejected',
      error: traced(
        'twilio:21211',
        'No …5432 (%2B…5432, …5432) for [secret]:[secret] [secret] [secret]: [text] [text] [2J ',
      ),
    },
  },
];

describeProvider({
  name: 'twilio',
  open: (baseUrl, timeoutMs) => createTwilioProvider(config(baseUrl, { timeoutMs }), machineClock),
  secrets: SECRETS,
  cases: [...forms, ...table, ...replies],
  message: hello,
  success: { status: 201, body: queued() },
});

// ------------------------------------------------------------------------------------------------- against a server

describe('twilio: the Messages resource', () => {
  let server: TwilioServer;
  beforeAll(async () => {
    server = await TwilioServer.start();
  });
  afterAll(() => server.close());
  afterEach(() => {
    server.received.clear();
    server.behaviours.clear();
    server.requests.length = 0;
    server.callbacks.length = 0;
    server.account = { friendly_name: 'Acme', status: 'active', type: 'Full' };
    vi.unstubAllEnvs();
  });

  const send = async (batch: readonly OutgoingMessage[], more: Partial<TwilioConfig> = {}): Promise<Outcome[]> => {
    const provider = createTwilioProvider(config(server.url, more), machineClock);
    try {
      const outcomes = await provider.send(batch);
      for (const each of batch) expectNothingPrivate(outcomes, each, [...SECRETS, SID]);
      return outcomes;
    } finally {
      await provider.close();
    }
  };

  it.each(['Hi Ann', 'Zoë "你好" 👋 & 100 % + a=b;\nline two', '  spaces  ', 'x'.repeat(1600)])(
    'brings %j as it is',
    async (text) => {
      expect(await send([outgoing({ text })])).toMatchObject([{ kind: 'sent' }]);
      expect(server.received.get(USER)).toEqual([
        { sid: expect.stringMatching(/^SM/) as string, from: FROM, body: text },
      ]);
      expect(server.requests).toEqual([`POST /2010-04-01/Accounts/${SID}/Messages.json`]);
    },
  );

  it('puts an empty text not on the wire', async () => {
    const provider = createTwilioProvider(config(server.url), machineClock);
    expect(await provider.send([outgoing({ text: '' })])).toEqual([textOnly]);
    expect(server.requests).toEqual([]);
    await provider.close();
  });

  it('tells of each number what became of its message, and says which of the messages is whose', async () => {
    const numbers: [string, Behaviour | null, string][] = [
      ['+4915110000001', null, 'sent'],
      ['+4915110000002', 'opted_out', 'twilio:21610'],
      ['+4915110000003', 'landline', 'twilio:21635'],
      ['+8615110000004', 'country_off', 'twilio:21408'],
      ['+4915110000005', 'no_route', 'twilio:21612'],
      ['+4915110000006', 'fails', 'twilio:30005'],
      ['0151 10000007', null, 'twilio:21211'],
      ['+4915110000008', null, 'sent'],
    ];
    for (const [number, behaviour] of numbers) if (behaviour) server.behaviours.set(number, behaviour);
    const outcomes = await send(numbers.map(([number]) => outgoing({ text: `For ${number}` }, number)));
    expect(outcomes.map((outcome) => (outcome.kind === 'sent' ? 'sent' : outcome.error.code))).toEqual(
      numbers.map(([, , expected]) => expected),
    );
    expect(outcomes.filter(({ kind }) => kind !== 'sent').every(({ kind }) => kind === 'rejected')).toBe(true);
    for (const [index, number] of [
      [0, '+4915110000001'],
      [7, '+4915110000008'],
    ] as const) {
      const [received] = server.received.get(number) ?? [];
      expect(received?.body).toBe(`For ${number}`);
      expect(outcomes[index]).toEqual({ kind: 'sent', messageId: received?.sid });
    }
    expect(server.received.size).toBe(2);
  });

  it('sends from a trial account to verified numbers, and the others fail one by one', async () => {
    server.account.type = 'Trial';
    server.verified.add('+4915110000001');
    const outcomes = await send([
      outgoing({ text: 'Hi' }, '+4915110000002'),
      outgoing({ text: 'Hi' }, '+4915110000001'),
    ]);
    expect(outcomes).toMatchObject([{ kind: 'rejected', error: { code: 'twilio:21608' } }, { kind: 'sent' }]);
  });

  it.each([
    ['a wrong token', { authToken: 'wrong' }, 'token', 'twilio:20003'],
    ['a number of somebody else', { number: '+15005550001' }, 'permission', 'twilio:21660'],
  ] as [string, Partial<TwilioConfig>, string, string][])('stops at %s', async (_label, more, stop, code) => {
    expect(await send([hello], more)).toMatchObject([{ kind: 'stopped', stop, error: { code } }]);
    expect(server.received.size).toBe(0);
  });

  it.each([
    ['the connection is dropped', { fault: 'drop' }],
    ['a gateway gives up', { status: 503, body: '<html>Service Unavailable</html>' }],
    ['the answer is cut', { fault: 'cut', status: 201, body: queued() }],
    ['the answer is a page', { status: 200, body: '<html>Sign in</html>' }],
  ] as [string, CannedReply][])('never sends again when Twilio took the message and %s', async (_label, reply) => {
    server.script.push({ ...reply, accepts: true });
    expect(await send([hello])).toMatchObject([{ kind: 'unknown' }]);
    expect(server.textsOf(USER)).toEqual([hello.message.text]);
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    ['https://acme.example/twilio', 'https://acme.example/twilio?campaign=c20261121-4f9ak&seq=17'],
    ['https://acme.example', 'https://acme.example/?campaign=c20261121-4f9ak&seq=17'],
    ['https://acme.example/t?', 'https://acme.example/t?campaign=c20261121-4f9ak&seq=17'],
    [
      'https://acme.example:8443/t?key=a%2Fb+c&flag',
      'https://acme.example:8443/t?key=a%2Fb+c&flag&campaign=c20261121-4f9ak&seq=17',
    ],
  ])('asks for the status at %s, and names the row', async (statusCallback, asked) => {
    const metadata = rowMetadata({ campaign: 'c20261121-4f9ak', seq: 17 });
    expect(await send([{ ...hello, metadata }], { statusCallback })).toMatchObject([{ kind: 'sent' }]);
    expect(server.callbacks).toEqual([asked]);
  });

  it('asks for the status of each message by its own row, and of one that is no row by none', async () => {
    const row = (seq: number): OutgoingMessage => ({ ...hello, metadata: rowMetadata({ campaign: 'c7', seq }) });
    await send([row(1), row(2), hello], { statusCallback: 'https://acme.example/t' });
    expect(server.callbacks.sort()).toEqual([
      'https://acme.example/t',
      'https://acme.example/t?campaign=c7&seq=1',
      'https://acme.example/t?campaign=c7&seq=2',
    ]);
  });

  it('does not repeat what stands in the query of its callback', async () => {
    const statusCallback = 'https://acme.example/t?key=hunter2';
    const metadata = rowMetadata({ campaign: 'c7', seq: 1 });
    server.script.push(refused(21609, `The 'StatusCallback' URL ${statusCallback}&campaign=c7&seq=1 is not valid.`));
    const outcomes = await send([{ ...hello, metadata }], { statusCallback });
    expect(outcomes).toMatchObject([{ kind: 'stopped', stop: 'permission', error: { code: 'twilio:21609' } }]);
    expect(JSON.stringify(outcomes)).not.toContain('hunter2');
  });

  it('leaves it to the run to try again after a limit', async () => {
    server.script.push({
      status: 429,
      headers: { 'retry-after': '2' },
      body: { code: 20429, message: 'Too Many Requests' },
    });
    expect(await send([hello])).toMatchObject([{ kind: 'retryable', pauseMs: 2000 }]);
    expect(server.requests).toHaveLength(1);
    expect(server.textsOf(USER)).toEqual([]);
    expect(await send([hello])).toMatchObject([{ kind: 'sent' }]);
    expect(server.textsOf(USER)).toEqual([hello.message.text]);
  });

  it('lets no variable of the environment lead the library elsewhere, and lets it log nothing', async () => {
    for (const [name, value] of [
      ['TWILIO_EDGE', 'sydney'],
      ['TWILIO_REGION', 'au1'],
      ['TWILIO_LOG_LEVEL', 'debug'],
      ['TWILIO_ACCOUNT_SID', `AC${'f'.repeat(32)}`],
      ['TWILIO_AUTH_TOKEN', 'other'],
      ['HTTP_PROXY', 'http://127.0.0.1:1'],
    ] as const)
      vi.stubEnv(name, value);
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    expect(await send([hello])).toMatchObject([{ kind: 'sent' }]);
    expect(log).not.toHaveBeenCalled();
    log.mockRestore();
  });

  it('keeps a path that the base URL has', async () => {
    const replies = await ReplyServer.start();
    replies.replies.push({ status: 201, body: queued() });
    const provider = createTwilioProvider(config(`${replies.url}/proxy/`), machineClock);
    expect(await provider.send([hello])).toEqual([{ kind: 'sent', messageId: MESSAGE_SID }]);
    const [seen] = replies.seen;
    expect(seen?.path).toBe(`/proxy/2010-04-01/Accounts/${SID}/Messages.json`);
    expect(seen?.headers).toMatchObject({
      authorization: `Basic ${BASIC}`,
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(Object.fromEntries(new URLSearchParams(seen?.body))).toEqual({
      From: FROM,
      To: USER,
      Body: 'Hi Ann, order A-1042 leaves on 1 Dec.',
    });
    await provider.close();
    await replies.close();
  });

  it('is what an account of the workspace opens', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pagecast-twilio-'));
    const file = `accounts:\n  alice-sms: { provider: twilio, channel: sms, id: "${FROM}", accountSid: env:TEST_SID, authToken: env:TEST_TOKEN, url: "${server.url}", statusCallback: "https://acme.example/t" }\n`;
    await writeFile(join(folder, 'pagecast.yaml'), file);
    vi.stubEnv('TEST_SID', SID);
    vi.stubEnv('TEST_TOKEN', TOKEN);
    const context = new Context({}, folder);
    try {
      const provider = await context.provider(await context.account('alice-sms'));
      expect(await provider.send([hello])).toMatchObject([{ kind: 'sent' }]);
      expect(server.textsOf(USER)).toEqual([hello.message.text]);
      expect(server.callbacks).toEqual(['https://acme.example/t']);
    } finally {
      await context.close();
      await rm(folder, { recursive: true });
    }
  });
});

// ------------------------------------------------------------------------------------------------- verifying

describe('twilio: verify', () => {
  const verify = async (
    change: (server: TwilioServer) => void,
    more: Partial<TwilioConfig> = {},
  ): Promise<{ checks: AccountCheck[]; requests: string[] }> => {
    const server = await TwilioServer.start();
    change(server);
    const provider = createTwilioProvider(config(server.url, more), machineClock);
    try {
      const checks = await provider.verify();
      expectNothingPrivate(checks, hello, [...SECRETS, SID]);
      for (const { detail } of checks) expect(detail).toMatch(/[.\])]$/);
      return { checks, requests: server.requests };
    } finally {
      await provider.close();
      await server.close();
    }
  };
  const found = ({ checks }: { checks: AccountCheck[] }): string[] =>
    checks.map(({ about, state, stop }) => `${about} ${state}${stop === undefined ? '' : ` ${stop}`}`);
  const well = ['reachable ok', 'token ok', 'sending ok', 'sending ok', 'identity ok', 'permissions unknown'];

  it('asks for the account, its number and its balance, and sends nothing', async () => {
    const verified = await verify(() => undefined);
    expect(found(verified)).toEqual(well);
    expect(verified.checks.map(({ detail }) => detail)).toEqual([
      'Twilio answers.',
      'The account SID and the auth token belong together.',
      'The account "Acme" is active.',
      'The balance is 12.34 USD.',
      '+15005550006 belongs to the account and can send SMS.',
      expect.stringContaining('A2P 10DLC') as string,
    ]);
    const account = `GET /2010-04-01/Accounts/${SID}`;
    expect(verified.requests.sort()).toEqual([
      `${account}.json`,
      `${account}/Balance.json`,
      `${account}/IncomingPhoneNumbers.json?PhoneNumber=%2B15005550006&PageSize=20`,
    ]);
  });

  it.each<[string, (server: TwilioServer) => void, string[]]>([
    [
      'a suspended account',
      (server) => (server.account.status = 'suspended'),
      well.with(2, 'sending failed restricted'),
    ],
    ['a closed account', (server) => (server.account.status = 'closed'), well.with(2, 'sending failed restricted')],
    [
      'an account of a status that is new',
      (server) => (server.account.status = ['x']),
      well.with(2, 'sending unknown'),
    ],
    ['a trial account', (server) => (server.account.type = 'Trial'), well.toSpliced(3, 0, 'sending unknown')],
    [
      'an empty balance',
      (server) => (server.balance = { balance: '-0.5', currency: 'USD' }),
      well.with(3, 'sending unknown'),
    ],
    ['a balance that is none', (server) => (server.balance = { balance: {}, currency: 7 }), well.toSpliced(3, 1)],
    ['a number of somebody else', (server) => (server.numbers = []), well.with(4, 'identity failed permission')],
    [
      'a number that only holds this one',
      (server) => (server.numbers[0]!.phone_number += '9'),
      well.with(4, 'identity failed permission'),
    ],
    [
      'a number for calls',
      (server) => (server.numbers[0]!.capabilities.sms = false),
      well.with(4, 'identity failed permission'),
    ],
    [
      'a number of which nothing is said',
      (server) => (server.numbers = [{ phone_number: FROM }] as TwilioServer['numbers']),
      well.with(4, 'identity unknown'),
    ],
  ])('%s', async (_label, change, expected) => {
    expect(found(await verify(change))).toEqual(expected);
  });

  it.each<[string, CannedReply, string[]]>([
    ['the token is wrong', refused(20003, 'Authenticate', 401), ['reachable ok', 'token failed token']],
    ['these are test credentials', refused(20008, 'Test', 403), ['reachable ok', 'token unknown']],
    [
      'the account may not do this',
      refused(20403, 'Forbidden', 403),
      ['reachable ok', 'permissions failed permission'],
    ],
    ['the account is not active', refused(20005, 'Not active', 403), ['reachable ok', 'permissions failed restricted']],
    ['a new code comes', refused(29999, 'New', 400), ['reachable ok', 'token unknown']],
    ['a limit is met', refused(20429, 'Too Many Requests', 429), ['reachable failed rate_limit']],
    ['Twilio is down', refused(20503, 'Down', 503), ['reachable failed network']],
    ['something else answers', { body: '<html>Sign in</html>' }, ['reachable failed network']],
    ['nobody answers', { fault: 'drop' }, ['reachable failed network']],
    ['the answer is endless', { fault: 'huge' }, ['reachable failed network']],
  ])('%s', async (_label, reply, expected) => {
    const verified = await verify((server) => server.script.push(reply));
    expect(found(verified)).toEqual(expected);
    expect(verified.requests).toHaveLength(1);
    for (const { state, hint } of verified.checks) expect(hint === '').toBe(state === 'ok');
  });

  it('tells what it could read when the number or the balance cannot be read', async () => {
    const own = { body: { sid: SID, friendly_name: 'Acme', status: 'active', type: 'Full' } };
    const verified = await verify((server) => server.script.push(own, { status: 502 }, { status: 502 }));
    expect(found(verified)).toEqual([
      'reachable ok',
      'token ok',
      'sending ok',
      'identity unknown',
      'permissions unknown',
    ]);
  });

  it.each([
    ['+18885550006', 'toll-free'],
    ['+4915112340000', null],
  ])('a number such as %s', async (number, words) => {
    const { checks } = await verify((server) => (server.numbers[0]!.phone_number = number), { number });
    const notice = checks.find(({ about }) => about === 'permissions');
    if (words === null) expect(notice).toBeUndefined();
    else expect(notice?.detail).toContain(words);
  });

  it('shows a name of the account without what could hurt', async () => {
    const { checks } = await verify((server) => (server.account.friendly_name = `Ac\u001b[2Jme ${TOKEN}`));
    expect(checks[2]?.detail).toBe('The account "Ac [2Jme [secret]" is active.');
  });
});

// ------------------------------------------------------------------------------------------------- configuration

describe('twilio: configuration', () => {
  it('can neither send registered templates nor read conversations', () => {
    const provider = openProvider(
      'twilio',
      { channel: 'sms', id: FROM, accountSid: SID, authToken: TOKEN },
      machineClock,
    );
    expect(provider.capabilities).toMatchObject({ registeredTemplates: false, lookup: false });
    expect(provider.capabilities.maxBatch(template)).toBe(1);
    expect(provider).not.toHaveProperty('conversation');
  });

  it.each([{ accountSid: SID }, { authToken: TOKEN }])('needs both secrets', (some) => {
    expect(() => openProvider('twilio', { channel: 'sms', id: FROM, ...some }, machineClock)).toThrow(
      expect.objectContaining({ code: 'SECRET_MISSING' }) as Error,
    );
  });

  it.each<[string, Partial<TwilioConfig>]>([
    ['no web address', { baseUrl: 'api.twilio.com' }],
    ['a token that would travel in the open', { baseUrl: 'http://api.twilio.com' }],
    ['a name that only looks like loopback', { baseUrl: 'http://127.0.0.1.example.com' }],
    ['a channel of somebody else', { channel: 'messenger' }],
    ['a number without its country', { number: '015112345678' }],
    ['the SID of an API key', { accountSid: `SK${'0'.repeat(32)}` }],
    ['a SID in small letters', { accountSid: `ac${'0'.repeat(32)}` }],
    ['a SID with a path in it', { accountSid: `AC${'0'.repeat(30)}/.` }],
    ['a token with a line break', { authToken: `${TOKEN}\n` }],
    ['no token', { authToken: '' }],
    ['a status callback that is none', { statusCallback: 'acme.example/twilio' }],
    ['a status callback that travels in the open', { statusCallback: 'http://acme.example/twilio' }],
    ['a proxy that is none', { baseUrl: 'https://127.0.0.1:1', proxy: { https: 'ftp://proxy.example' } }],
  ])('refuses %s', (_label, wrong) => {
    const make = (): unknown => createTwilioProvider(config('http://127.0.0.1:1', wrong), machineClock);
    expect(make).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }) as Error);
    try {
      make();
    } catch (error) {
      expectNothingPrivate(error, hello, [...SECRETS, SID]);
    }
  });

  it.each([
    ['MODULE_NOT_FOUND', /is not installed/],
    ['ERR_DLOPEN_FAILED', /cannot be loaded/],
  ])('says how to install a library that is missing (%s)', async (code, words) => {
    const load = (): never => {
      throw Object.assign(new Error("Cannot find module 'twilio'"), { code });
    };
    const file = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
    const { optionalDependencies } = JSON.parse(file) as { optionalDependencies: { twilio: string } };
    expect(() => createTwilioProvider(config('https://api.twilio.com'), machineClock, load)).toThrow(
      expect.objectContaining({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringMatching(words) as string,
        hint: expect.stringContaining(`npm install twilio@${optionalDependencies.twilio} `) as string,
      }) as Error,
    );
  });

  it.each(['21999', '__proto__', 'toString', '../x', ''])('says where to look up the code "%s"', (code) => {
    const { advice } = explainError(`twilio:${code}`);
    expect(advice).toContain(code === '21999' ? 'twilio.com/docs/api/errors/21999' : 'twilio.com/docs/api/errors ');
  });

  it('explains every code that it knows in whole sentences', () => {
    for (const code of ERROR_TABLE.match(/\d+/g)!) {
      const { meaning, advice } = explainError(`twilio:${code}`);
      expect(meaning).toMatch(/^[A-Z].*\.$/);
      expect(advice).toMatch(/^[A-Z].*\.$/);
    }
  });
});
