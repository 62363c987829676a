import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as CamsModule from '@alicloud/cams20200606';
import type * as OpenApiModule from '@alicloud/openapi-client';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import { explainError } from '../../src/core/platform-errors.js';
import type { Failure } from '../../src/core/failure.js';
import { readCamsTaskId, rowMetadata } from '../../src/core/metadata.js';
import type { Message } from '../../src/core/template.js';
import type { OutgoingMessage, Provider } from '../../src/ports.js';
import { createCamsProvider, type CamsConfig } from '../../src/providers/cams.js';
import { openProvider } from '../../src/providers/index.js';
import { CAMS_KEY, CAMS_SPACE, CamsServer, type CamsFault, type CamsTemplate } from '../support/cams-server.js';
import { FakeClock } from '../support/fake-clock.js';
import { describeProvider, expectNothingPrivate, machineClock } from '../support/provider-contract.js';
import { template as order } from '../support/fixtures.js';

const load = createRequire(import.meta.url);
/** Looked at before any test: whatever these imports have loaded is here. */
const loadedAtStart = Object.keys(load.cache).filter((path) => path.includes('@alicloud'));

const PAGE = '102938475601928';
const USER = '67340192847501234';
const CAMPAIGN = 'c20261122-ab12c';
const SECRETS = Object.values(CAMS_KEY);

const config = (baseUrl: string, more: Partial<CamsConfig> = {}): CamsConfig => ({
  baseUrl,
  channel: 'messenger',
  accountId: PAGE,
  spaceId: CAMS_SPACE,
  ...CAMS_KEY,
  ...more,
});

const outgoing = (parts: Partial<Message>, seq = 1, userId = USER): OutgoingMessage => ({
  userId,
  metadata: rowMetadata({ campaign: CAMPAIGN, seq }),
  isReply: false,
  message: { buttons: [], quickReplies: [], ...parts },
});
const hello = outgoing({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' });

const kept = (parameters: Record<string, string>, code = '1119000000000001', language = 'en'): Partial<Message> => ({
  text: 'the local copy, which stays here',
  cams: { code, language, parameters },
});
/** A batch of one template, each person with a name of their own. */
const batchOf = (size: number): OutgoingMessage[] =>
  Array.from({ length: size }, (_, index) =>
    outgoing(kept({ name: `Name of ${index}` }), index + 1, `673401928475${String(index).padStart(5, '0')}`),
  );

let server: CamsServer;
beforeAll(async () => {
  server = await CamsServer.start();
});
beforeEach(() => {
  server.reset();
});
afterAll(() => server.close());

async function withProvider<T>(
  work: (provider: Provider) => Promise<T>,
  more: Partial<CamsConfig> = {},
  clock = machineClock,
): Promise<T> {
  const provider = createCamsProvider(config(server.url, more), clock);
  try {
    return await work(provider);
  } finally {
    await provider.close();
  }
}

/** Sends while these faults wait; nothing private may be in what comes back. */
async function send(
  batch: readonly OutgoingMessage[],
  faults: readonly CamsFault[] = [],
  more: Partial<CamsConfig> = {},
): Promise<Outcome[]> {
  server.faults.push(...faults);
  const outcomes = await withProvider((provider) => provider.send(batch), more);
  for (const each of batch) {
    expectNothingPrivate(outcomes, each, SECRETS);
    for (const value of Object.values(each.message.cams?.parameters ?? {})) {
      expect(JSON.stringify(outcomes)).not.toContain(value);
    }
  }
  return outcomes;
}

describeProvider({
  name: 'cams',
  open: (baseUrl, timeoutMs) => createCamsProvider(config(baseUrl, { timeoutMs }), machineClock),
  secrets: SECRETS,
  cases: [],
  message: hello,
  success: { body: { Code: 'OK', Message: 'OK', RequestId: '90E63D28', MessageId: '8900000100020001' } },
});

describe('cams: the SDK', () => {
  it('is not loaded by the list of providers', () => {
    expect(openProvider).toBeTypeOf('function');
    expect(loadedAtStart).toEqual([]);
  });

  it('is asked for by name where it is missing, before anything is sent', () => {
    const elsewhere = createRequire(join(tmpdir(), 'nowhere', 'index.js'));
    const absent = (): never => elsewhere('@alicloud/cams20200606') as never;
    expect(() => createCamsProvider(config(server.url), machineClock, absent)).toThrow(
      expect.objectContaining({
        code: 'PROVIDER_UNAVAILABLE',
        message: 'Alibaba Cloud CAMS needs its SDK, which is not installed.',
        hint: expect.stringContaining(
          'npm install @alicloud/cams20200606@1.4.2 @alicloud/openapi-client@0.4.15 @alicloud/openapi-util@0.3.3',
        ) as string,
      }) as Failure,
    );
  });

  it('has the version that the hint names', () => {
    for (const [name, version] of [
      ['cams20200606', '1.4.2'],
      ['openapi-client', '0.4.15'],
      ['openapi-util', '0.3.3'],
    ] as const) {
      expect(load(`@alicloud/${name}/package.json`)).toMatchObject({ version });
    }
  });

  it('sends by itself, to the last parameter, what the provider sends', async () => {
    const batch = [
      outgoing({ ...kept({ name: 'Zoë \'()*!~ 你好 👋 "' }), quickReplies: [{ title: 'Yes', payload: 'YES' }] }),
      outgoing(kept({ name: 'Ann' }), 2, '67340192847501235'),
    ];
    await send(batch);
    await send([outgoing({ text: 'Hi & 100%+ «Ann»' })]);
    const ours = server.requests.map(({ action, parameters }) => ({ action, parameters }));

    const sdk = load('@alicloud/cams20200606') as (typeof CamsModule)['default'];
    const { Config } = load('@alicloud/openapi-client') as Pick<typeof OpenApiModule, 'Config'>;
    const client = new sdk.default(new Config({ ...CAMS_KEY, endpoint: new URL(server.url).host, protocol: 'HTTP' }));
    const sender = { channelType: 'messenger', from: PAGE, custSpaceId: CAMS_SPACE };
    const list = batch.map(
      ({ userId, message: { cams, quickReplies } }) =>
        new sdk.SendChatappMassMessageRequestSenderList({
          to: userId,
          templateParams: cams!.parameters,
          ...(quickReplies.length > 0 && { payload: quickReplies.map(({ payload }) => payload) }),
        }),
    );
    server.requests.length = 0;
    await client.sendChatappMassMessage(
      new sdk.SendChatappMassMessageRequest({
        ...sender,
        language: 'en',
        templateCode: '1119000000000001',
        taskId: ours[0]!.parameters['TaskId'],
        senderList: list,
      }),
    );
    await client.sendChatappMessage(
      new sdk.SendChatappMessageRequest({
        ...sender,
        to: USER,
        type: 'message',
        messageType: 'text',
        content: JSON.stringify({ text: 'Hi & 100%+ «Ann»' }),
        taskId: ours[1]!.parameters['TaskId'],
      }),
    );
    expect(server.requests.map(({ action, parameters }) => ({ action, parameters }))).toEqual(ours);
  });

  it('that makes no request leaves nothing sent', async () => {
    const broken = (): never =>
      ({
        cams: {
          default: class {
            sendChatappMessage = (): Promise<never> => Promise.reject(new TypeError('mismatch of 67340192847501234'));
          },
          SendChatappMessageRequest: Object,
        },
        openApi: { Config: Object },
        openApiUtil: { default: {} },
      }) as never;
    const provider = createCamsProvider(config(server.url), machineClock, broken);
    const outcomes = await provider.send([hello]);
    await provider.close();
    expect(outcomes).toEqual([
      {
        kind: 'stopped',
        stop: 'content',
        error: { code: 'cams:NotWritten', message: 'Nothing was sent: the SDK made no request of it (TypeError).' },
      },
    ]);
    expect(server.requests).toEqual([]);
  });
});

describe('cams: one message', () => {
  const from = { channel: 'messenger', from: PAGE };
  const templated = (template: object): object => ({
    ...from,
    template: { code: '1119000000000001', language: 'en', parameters: {}, payload: [], ...template },
  });

  it.each<[string, Partial<Message>, object]>([
    [
      'a template of CAMS with its values',
      kept({ name: 'Ann', order_no: 'A-1042' }),
      templated({ parameters: { name: 'Ann', order_no: 'A-1042' } }),
    ],
    ['a template without values', kept({}), templated({})],
    [
      'numbered places by their numbers',
      kept({ param_1: 'Ann', param_12: 'x' }),
      templated({ parameters: { 1: 'Ann', 12: 'x' } }),
    ],
    [
      'what its buttons and quick replies give back',
      {
        ...kept({}),
        buttons: [
          { type: 'postback', title: 'Cancel', payload: 'CANCEL A-1042' },
          { type: 'web_url', title: 'Open', url: 'https://shop.example/' },
        ],
        quickReplies: [{ title: 'Track it', payload: 'TRACK A-1042' }],
      },
      templated({ payload: ['CANCEL A-1042', 'TRACK A-1042'] }),
    ],
    ['text', { text: 'Hi Ann' }, { ...from, plain: { type: 'text', content: { text: 'Hi Ann' } } }],
    [
      'text of every script, with a lone surrogate',
      { text: 'Zoë "你好" 👋 \n \ud800' },
      { ...from, plain: { type: 'text', content: { text: 'Zoë "你好" 👋 \n \ud800' } } },
    ],
    ...(
      [
        ['image', 'image'],
        ['video', 'video'],
        ['audio', 'audio'],
        ['file', 'document'],
      ] as const
    ).map(([type, name]): [string, Partial<Message>, object] => [
      type,
      { media: { type, url: 'https://shop.example/a?b=1' } },
      { ...from, plain: { type: name, content: { link: 'https://shop.example/a?b=1' } } },
    ]),
  ])('%s', async (_label, parts, delivered) => {
    const outcomes = await send([outgoing(parts)]);
    const [request] = server.requests;
    expect(request?.action).toBe('SendChatappMessage');
    expect(request?.parameters).toMatchObject({ CustSpaceId: CAMS_SPACE, To: USER });
    expect([...server.received.keys()]).toEqual([USER]);
    const taskId = request?.parameters['TaskId'];
    expect(readCamsTaskId(taskId)).toEqual({ campaign: CAMPAIGN, seq: 1 });
    expect(server.received.get(USER)).toEqual([{ taskId, ...delivered }]);
    expect(outcomes).toEqual([{ kind: 'sent', messageId: expect.stringMatching(/^8900\d+$/) as string }]);
  });

  it('goes to Instagram under the id of the account', async () => {
    await send([hello], [], { channel: 'instagram', accountId: '17841400000000000' });
    expect(server.received.get(USER)).toMatchObject([{ channel: 'instagram', from: '17841400000000000' }]);
  });

  it.each<[string, Partial<Message>, string, Partial<CamsConfig>?]>([
    [
      'buttons',
      { text: 'Hi', buttons: [{ type: 'postback', title: 'Yes', payload: 'YES' }] },
      'CAMS documents no form for buttons.',
    ],
    [
      'quick replies',
      { text: 'Hi', quickReplies: [{ title: 'Yes', payload: 'YES' }] },
      'CAMS documents no form for quick replies.',
    ],
    ['cards', { cards: [{ title: 'Card', subtitle: 'Sub', buttons: [] }] }, 'CAMS documents no form for cards.'],
    [
      'a template that is registered with Meta',
      { registered: { name: 'order', language: 'en', header: [], parameters: [], buttons: [] } },
      'CAMS documents no form for a template that is registered with Meta; CAMS sends its own, by the code under `cams:`.',
    ],
    [
      'a file on Instagram',
      { media: { type: 'file', url: 'https://shop.example/a.pdf' } },
      'CAMS documents no form for a file on Instagram.',
      { channel: 'instagram' },
    ],
    ['nothing in it', {}, 'CAMS takes either text or one media file.'],
    [
      'text beside media',
      { text: 'Look', media: { type: 'image', url: 'https://shop.example/a.png' } },
      'CAMS takes either text or one media file.',
    ],
  ])('with %s is not put on the wire', async (_label, parts, why, more) => {
    expect(await send([outgoing(parts)], [], more)).toEqual([
      { kind: 'stopped', stop: 'content', error: { code: 'cams:NoForm', message: `Nothing was sent: ${why}` } },
    ]);
    expect(server.requests).toEqual([]);
  });

  it.each<[string, object, unknown]>([
    ['at the top', { MessageId: 'm-1' }, 'm-1'],
    ['below Data', { Data: { MessageId: 'm-2' } }, 'm-2'],
    ['nowhere', {}, expect.stringMatching(/^pagecast-c20261122-ab12c-1-/)],
    ['as what is no id', { MessageId: 'm 3\n' }, expect.stringMatching(/^pagecast-c20261122-ab12c-1-/)],
  ])('has the id that the answer names %s', async (_label, parts, messageId) => {
    const body = JSON.stringify({ Code: 'OK', ...parts });
    expect(await send([hello], [{ kind: 'body', status: 200, body }])).toEqual([{ kind: 'sent', messageId }]);
  });

  it('is signed right whatever it holds', async () => {
    await withProvider(async (provider) => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), async (text) => {
          server.received.clear();
          expect(await provider.send([outgoing({ text })])).toMatchObject([{ kind: 'sent' }]);
          expect(server.received.get(USER)).toMatchObject([{ plain: { content: { text } } }]);
        }),
        { numRuns: 50 },
      );
    });
  });
});

describe('cams: a batch', () => {
  it('of one template goes out with one call, and each has what is theirs', async () => {
    const batch = batchOf(3);
    const outcomes = await send(batch);
    expect(server.requests.map(({ action }) => action)).toEqual(['SendChatappMassMessage']);
    const taskId = server.requests[0]?.parameters['TaskId'];
    expect(readCamsTaskId(taskId)).toEqual({ campaign: CAMPAIGN, seq: 1 });
    expect(outcomes).toEqual(batch.map(() => ({ kind: 'sent', messageId: taskId })));
    batch.forEach(({ userId }, index) => {
      const template = {
        code: '1119000000000001',
        language: 'en',
        parameters: { name: `Name of ${index}` },
        payload: [],
      };
      expect(server.received.get(userId)).toEqual([{ taskId, channel: 'messenger', from: PAGE, template }]);
    });
  });

  it('of a thousand is one call, whose address stays short', async () => {
    const outcomes = await withProvider(async (provider) => {
      expect(provider.capabilities).toMatchObject({ registeredTemplates: false, lookup: false });
      expect(provider.capabilities.maxBatch(order)).toBe(1);
      return provider.send(batchOf(provider.capabilities.maxBatch({ ...order, cams: { code: 'x' } })));
    });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.url).toBe('/');
    expect(server.received.size).toBe(1000);
    expect(outcomes.filter(({ kind }) => kind === 'sent')).toHaveLength(1000);
  });

  it.each([
    [
      'of two templates',
      [outgoing(kept({}, '1119000000000001'), 1), outgoing(kept({}, '1119000000000002'), 2, '67340192847501235')],
    ],
    ['of two languages', [outgoing(kept({}), 1), outgoing(kept({}, '1119000000000001', 'de'), 2, '67340192847501235')]],
    ['of templates and plain text', [outgoing(kept({}), 1), outgoing({ text: 'Hi Ann' }, 2, '67340192847501235')]],
    ['of plain texts', [hello, outgoing({ text: 'Hi Bob' }, 2, '67340192847501235')]],
  ])('%s goes out one by one', async (_label, batch) => {
    const outcomes = await send(batch);
    expect(server.requests.map(({ action }) => action)).toEqual(['SendChatappMessage', 'SendChatappMessage']);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['sent', 'sent']);
    expect(new Set(outcomes.map((outcome) => outcome.kind === 'sent' && outcome.messageId)).size).toBe(2);
    expect(batch.map(({ userId }) => server.received.get(userId)?.length)).toEqual([1, 1]);
  });

  it('has a task id of its own at each sending, of another batch and of the same', async () => {
    await withProvider(async (provider) => {
      for (const batch of [batchOf(2), batchOf(2), batchOf(4).slice(2), [hello], [hello]]) await provider.send(batch);
    });
    const ids = server.requests.map(({ parameters }) => parameters['TaskId']);
    expect(new Set(ids).size).toBe(5);
  });

  it('without a campaign has a task id all the same', async () => {
    const batch = batchOf(2).map((each) => ({ ...each, metadata: '' }));
    const [outcome] = await send(batch);
    expect(outcome).toEqual({ kind: 'sent', messageId: expect.stringMatching(/^[\da-f-]{36}$/) as string });
  });

  it('tells once when it goes on the wire, before the platform has it', async () => {
    const seen: number[] = [];
    await withProvider((provider) => provider.send(batchOf(3), () => void seen.push(server.requests.length)));
    expect(seen).toEqual([0]);
  });

  it('that is refused has the same outcome for each', async () => {
    const fault = {
      kind: 'refused',
      status: 400,
      code: 'TemplateNotFound',
      message: 'No template for Name of 1',
    } as const;
    const outcomes = await send(batchOf(3), [fault]);
    const error = {
      code: 'cams:TemplateNotFound',
      message: 'A call for 3 people: No template for [text]',
      traceId: '90E63D28-E31D-1EB2-8939-A94866410000',
    };
    expect(outcomes).toEqual(Array.from({ length: 3 }, () => ({ kind: 'stopped', stop: 'content', error })));
    expect(server.received.size).toBe(0);
  });

  it.each([
    'InvalidParameter.ToOnlyNumeric',
    'SessionWindowExpired',
    'PhoneNumberNotRegistered',
    'TemplateParamInvalid',
  ])('that is refused with %s, as one person alone might be, is to be tried again in smaller calls', async (code) => {
    const outcomes = await send(batchOf(3), [{ kind: 'refused', status: 200, code, message: 'no' }]);
    const error = expect.objectContaining({ code: `cams:${code}` }) as unknown;
    const again = { kind: 'retryable', error, inSmallerCalls: true };
    expect(outcomes).toEqual([again, again, again]);
    expect(server.received.size).toBe(0);
  });

  it.each([
    ['dropped', 'CONNECTION_LOST'],
    ['hanging', 'TIMEOUT'],
    ['failing', 'SERVER_ERROR'],
  ] as const)('whose answer is lost (%s) is unknown for each, though all have it', async (kind, code) => {
    const outcomes = await send(batchOf(3), [{ kind }], { timeoutMs: 300 });
    expect(outcomes).toMatchObject(Array.from({ length: 3 }, () => ({ kind: 'unknown', error: { code } })));
    expect(server.received.size).toBe(3);
    expect(server.requests).toHaveLength(1);
  });

  it('that is throttled surely did not arrive', async () => {
    const outcomes = await send(batchOf(2), [{ kind: 'throttled' }]);
    expect(outcomes).toMatchObject([
      { kind: 'retryable', pauseMs: 30_000, error: { code: 'cams:Throttling.User' } },
      { kind: 'retryable', pauseMs: 30_000, error: { code: 'cams:Throttling.User' } },
    ]);
    expect(server.received.size).toBe(0);
  });
});

/** What the fact base says of each code: `class code`. Written out here, apart from core's table. */
const ERROR_TABLE = `
  retryable Throttling  Throttling.User  Throttling.Api
  rejected InvalidParameter.ToOnlyNumeric  InvalidParameter.To  InvalidParameter.ToNotEmpty
  rejected SessionWindowExpired  PhoneNumberNotRegistered
  stop:token InvalidAccessKeyId.NotFound  InvalidAccessKeyId.Inactive  InvalidAccessKeyId
  stop:token SignatureDoesNotMatch  IncompleteSignature  InvalidTimeStamp.Expired  InvalidTimeStamp.Format
  stop:permission Forbidden.RAM  Forbidden  NoPermission  Authentication.NoAuth
  stop:content InvalidParameter  InvalidParameter.MessageInvalid  InvalidParameter.FromOnlyNumeric
  stop:content InvalidParameter.TokenTypeError  InvalidParameter.TooLong  InvalidParameter.TemplateCodeNotEmpty
  stop:content TemplateNotFound  TemplateParamInvalid  DetailError.TemplateNotExist
  stop:content Whatever.Unknown  toString  constructor
  unknown InternalError  ServiceUnavailable`
  .trim()
  .split('\n')
  .flatMap((line) => {
    const [what = '', ...codes] = line.trim().split(/\s+/);
    return codes.map((code) => [code, what] as const);
  });

const kindOf = (outcome: Outcome | undefined): string =>
  outcome?.kind === 'stopped' ? `stop:${outcome.stop}` : (outcome?.kind ?? 'none');

describe('cams: codes', () => {
  it.each(ERROR_TABLE)('%s means %s, with HTTP status 400 as with 200', async (code, expected) => {
    for (const status of [400, 200]) {
      const [outcome] = await send([hello], [{ kind: 'refused', status, code, message: 'Because.' }]);
      expect(kindOf(outcome)).toBe(expected);
      expect(outcome).toMatchObject({
        error: { code: `cams:${code}`, traceId: '90E63D28-E31D-1EB2-8939-A94866410000' },
      });
      if (expected === 'retryable') expect(outcome).toHaveProperty('pauseMs', 30_000);
    }
    expect(server.received.size).toBe(0);
  });

  it.each([
    ['Throttling.User', 'retryable'],
    ['InvalidAccessKeyId.NotFound', 'stop:token'],
    ['Forbidden.RAM', 'stop:permission'],
    ['SessionWindowExpired', 'unknown'],
    ['InternalError', 'unknown'],
    ['Whatever.Unknown', 'unknown'],
  ])('%s with HTTP status 503 means %s', async (code, expected) => {
    const [outcome] = await send([hello], [{ kind: 'refused', status: 503, code }]);
    expect(kindOf(outcome)).toBe(expected);
  });

  it.each([
    [200, '{"Code":"OK"}', 'sent', undefined],
    [200, '{"Code":7}', 'unknown', 'REPLY_UNREADABLE'],
    [200, '{"Code":"strange code\\u001b[31m"}', 'unknown', 'REPLY_UNREADABLE'],
    [200, '<html>Code: OK</html>', 'unknown', 'REPLY_UNREADABLE'],
    [200, '\u0000\u0001garbage', 'unknown', 'REPLY_UNREADABLE'],
    [400, '{"Code":"OK"}', 'unknown', 'REPLY_UNREADABLE'],
    [400, '{"code":"Throttling","message":"in small letters"}', 'retryable', 'cams:Throttling'],
    [403, '<html>Blocked</html>', 'unknown', 'REPLY_UNREADABLE'],
    [404, '<html>Not found</html>', 'retryable', 'CONNECTION_REFUSED'],
    [407, '', 'retryable', 'CONNECTION_REFUSED'],
    [414, '<html>URI too long</html>', 'retryable', 'CONNECTION_REFUSED'],
    [429, '', 'retryable', 'CONNECTION_REFUSED'],
    [503, '<html>Busy</html>', 'unknown', 'SERVER_ERROR'],
  ])('HTTP status %s with %s is %s', async (status, body, kind, code) => {
    const [outcome] = await send([hello], [{ kind: 'body', status, body }]);
    expect(outcome).toMatchObject({ kind, ...(code !== undefined && { error: { code } }) });
  });

  it('each have words of their own for people', () => {
    expect(explainError('cams:InvalidParameter.ToOnlyNumeric').meaning).toBe('CAMS does not take the user id.');
    expect(explainError('cams:Throttling.User')).toBe(explainError('cams:Throttling'));
    expect(explainError('cams:Whatever')).toBe(explainError('whatever'));
    // A code of Meta in a receipt of CAMS is not one of the Send API.
    expect(explainError('cams:10')).toBe(explainError('whatever'));
  });

  it('show nothing of words that are too long to be searched', async () => {
    const message = `${hello.message.text} `.repeat(1000);
    const [outcome] = await send([hello], [{ kind: 'refused', status: 400, code: 'InvalidParameter', message }]);
    expect(outcome).toMatchObject({ error: { message: `(${message.length} characters, which are not shown)` } });
  });

  it('tell nothing private, in whatever form the service repeats it', async () => {
    const text = 'Ann\'s "secret" über 50%';
    const message = outgoing({ text });
    const repeated = [text, JSON.stringify(text), encodeURIComponent(text), USER, ...SECRETS].join(' | ');
    const [outcome] = await send(
      [message],
      [{ kind: 'refused', status: 400, code: 'InvalidParameter', message: repeated }],
    );
    const shown = JSON.stringify(outcome);
    expect(shown).toContain('…1234');
    for (const part of ['Ann', 'über', '%C3%BC', 'secret\\', ...SECRETS]) expect(shown).not.toContain(part);
  });
});

describe('cams: the signature', () => {
  it.each<[string, Partial<CamsConfig>, string]>([
    ['a wrong secret', { accessKeySecret: 'not-the-secret-of-this-key-00' }, 'cams:SignatureDoesNotMatch'],
    ['an unknown key', { accessKeyId: 'LTAI5tUnknownKey000001' }, 'cams:InvalidAccessKeyId.NotFound'],
  ])('with %s stops the run, and the words do not repeat the request', async (_label, more, code) => {
    for (const batch of [[hello], batchOf(2)]) {
      const outcomes = await withProvider((provider) => provider.send(batch), more);
      expect(outcomes).toMatchObject(batch.map(() => ({ kind: 'stopped', stop: 'token', error: { code } })));
      for (const each of batch)
        expectNothingPrivate(
          outcomes,
          each,
          [...SECRETS, more.accessKeySecret ?? '', more.accessKeyId ?? ''].filter(Boolean),
        );
      expect(JSON.stringify(outcomes)).not.toContain('CanonicalRequest');
    }
    expect(server.received.size).toBe(0);
  });

  it('by a clock that is wrong stops the run, and says what to do', async () => {
    const clock = { ...machineClock, now: () => Date.now() - 3_600_000 };
    const [outcome] = await withProvider((provider) => provider.send([hello]), {}, clock);
    expect(outcome).toMatchObject({ kind: 'stopped', stop: 'token', error: { code: 'cams:InvalidTimeStamp.Expired' } });
    expect(explainError('cams:InvalidTimeStamp.Expired').advice).toContain('clock');
  });

  it.each([
    ['goes through unchanged', 'Name', 'sent'],
    ['is refused with other words in it', 'Mama', 'stopped'],
  ])('covers the body: a request that something on the way hands on %s', async (_label, words, kind) => {
    const relay = createServer((incoming, response) => {
      const { method, url, headers } = incoming;
      const onward = request(server.url, { method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500);
        answer.pipe(response);
      });
      incoming
        .on('data', (chunk: Buffer) => onward.write(chunk.toString('latin1').replaceAll('Name', words), 'latin1'))
        .on('end', () => onward.end());
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const baseUrl = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    const outcomes = await send(batchOf(2), [], { baseUrl });
    relay.close();
    expect(outcomes).toMatchObject([{ kind }, { kind }]);
    expect(server.received.size).toBe(kind === 'sent' ? 2 : 0);
  });
});

describe('cams: how many calls there are in a second', () => {
  /** The most calls of one action in any second of their own dates, which are cut to a whole second. */
  const most = (action: string): number => {
    const counts = new Map<number, number>();
    for (const { at } of server.requests.filter((each) => each.action === action)) {
      counts.set(at, (counts.get(at) ?? 0) + 1);
    }
    return Math.max(...counts.values());
  };

  it.each([
    ['SendChatappMassMessage', 10, 25, batchOf(2)],
    ['SendChatappMessage', 200, 420, [hello]],
  ])('%s: at most %i', async (action, limit, calls, batch) => {
    const clock = new FakeClock(Date.now());
    await withProvider(
      (provider) => Promise.all(Array.from({ length: calls }, () => provider.send(batch))),
      { connections: 4 },
      clock,
    );
    expect(server.requests).toHaveLength(calls);
    expect(most(action)).toBeLessThanOrEqual(limit);
    expect(most(action)).toBeGreaterThan(limit / 2);
  });

  it('templates are read at most five at a time', async () => {
    server.templates = Array.from({ length: 12 }, (_, index) => template({ TemplateCode: `11190000000000${index}` }));
    const read = await withProvider((provider) => provider.templates!(), {}, new FakeClock(Date.now()));
    expect(read).toMatchObject({ kind: 'read', templates: { length: 12 } });
    expect(most('GetChatappTemplateDetail')).toBeLessThanOrEqual(5);
  });
});

const template = (parts: Partial<CamsTemplate>): CamsTemplate => ({
  TemplateName: 'order_update',
  TemplateCode: '1119000000000001',
  Language: 'en',
  AuditStatus: 'pass',
  Category: 'UTILITY',
  Components: [{ Type: 'BODY', Text: 'Hi $(name), order $(order_no) leaves.' }],
  Example: { name: 'Ann', order_no: 'A-1042' },
  ...parts,
});

describe('cams: templates', () => {
  const ours = {
    name: 'order_update',
    language: 'en',
    code: '1119000000000001',
    status: 'APPROVED',
    category: 'UTILITY',
    reason: null,
    parameters: 'named',
    header: null,
    body: 'Hi {{name}}, order {{order_no}} leaves.',
    buttons: [],
    examples: { name: 'Ann', order_no: 'A-1042' },
    unsupported: null,
  };
  const body = (Text: string): Partial<CamsTemplate> => ({ Components: [{ Type: 'BODY', Text }], Example: {} });
  const hidden = { body: null, examples: {} };

  it.each<[string, Partial<CamsTemplate>, object]>([
    ['named places', {}, {}],
    [
      'numbered places',
      { Components: [{ Type: 'BODY', Text: 'Hi {{1}}, order {{ 2 }}.' }], Example: { 1: 'Ann', 2: 'A-1' } },
      {
        parameters: 'positional',
        body: 'Hi {{param_1}}, order {{param_2}}.',
        examples: { param_1: 'Ann', param_2: 'A-1' },
      },
    ],
    ['no places', body('Closed today.'), { body: 'Closed today.', examples: {} }],
    [
      'both kinds of places',
      body('Hi $(name), order {{1}}.'),
      {
        body: 'Hi {{name}}, order {{param_1}}.',
        examples: {},
        unsupported: 'placeholders by name beside numbered ones',
      },
    ],
    [
      'a place whose name pagecast cannot write',
      body('Hi $(order-no).'),
      { body: 'Hi $(order-no).', examples: {}, unsupported: 'the placeholder $(order-no)' },
    ],
    [
      'a header, a footer and buttons',
      {
        Components: [
          { Type: 'HEADER', Format: 'TEXT', Text: 'Order $(order_no)' },
          { Type: 'BODY', Text: 'Hi $(name).' },
          { Type: 'FOOTER', Text: 'The shop' },
          {
            Type: 'BUTTONS',
            Buttons: [
              { Type: 'QUICK_REPLY', Text: 'Track it' },
              { Type: 'URL', Text: 'Open', Url: 'https://shop.example/$(order_no)' },
            ],
          },
        ],
      },
      {
        header: 'Order {{order_no}}',
        body: 'Hi {{name}}.',
        buttons: [
          { type: 'postback', title: 'Track it', payload: 'Track it' },
          { type: 'web_url', title: 'Open', url: 'https://shop.example/{{order_no}}' },
        ],
      },
    ],
    [
      'an image above it',
      {
        Components: [
          { Type: 'HEADER', Format: 'IMAGE', Url: '$(link)' },
          { Type: 'BODY', Text: 'Hi.' },
        ],
        Example: {},
      },
      { body: 'Hi.', examples: {}, unsupported: 'a header of the format IMAGE' },
    ],
    [
      'a button that calls',
      { Components: [{ Type: 'BUTTONS', Buttons: [{ Type: 'PHONE_NUMBER', Text: 'Call' }] }], Example: {} },
      { ...hidden, unsupported: 'a button of the type PHONE_NUMBER' },
    ],
    [
      'cards',
      { Components: [{ Type: 'CAROUSEL', Cards: [] }], Example: {} },
      { ...hidden, unsupported: 'a part of the type CAROUSEL' },
    ],
    [
      'no parts',
      { Components: undefined, Example: {} } as object,
      { ...hidden, unsupported: 'its parts, which CAMS does not show' },
    ],
    [
      'another product',
      { TemplateType: 'WHATSAPP' },
      { ...hidden, unsupported: 'its type: it is a template for WHATSAPP' },
    ],
    ['waiting', { AuditStatus: 'auditing' }, { status: 'PENDING' }],
    ['not handed in', { AuditStatus: 'unaudit' }, { status: 'PENDING' }],
    ['rejected', { AuditStatus: 'fail', Reason: 'Too short.' }, { status: 'REJECTED', reason: 'Too short.' }],
    ['of a status that is not documented', { AuditStatus: 'paused' }, { status: 'PAUSED' }],
  ])('%s', async (_label, theirs, expected) => {
    server.templates = [template(theirs)];
    const read = await withProvider((provider) => provider.templates!());
    expect(read).toEqual({ kind: 'read', templates: [{ ...ours, ...expected }] });
    expect(server.requests[0]?.parameters).toEqual({ CustSpaceId: CAMS_SPACE, Page: '{"Index":1,"Size":10}' });
  });

  it('of one name only, though the service takes parts of names', async () => {
    server.templates = [
      template({}),
      template({ Language: 'de' }),
      template({ TemplateName: 'order_update_2', TemplateCode: '1119000000000002' }),
    ];
    const read = await withProvider((provider) => provider.templates!('order_update'));
    expect(read).toMatchObject({ kind: 'read', templates: [{ language: 'en' }, { language: 'de' }] });
    expect(server.requests[0]?.parameters['Name']).toBe('order_update');
  });

  it('are read to the last page', async () => {
    const clock = new FakeClock(Date.now());
    for (const size of [0, 1, 10, 11, 20]) {
      server.reset();
      server.templates = Array.from({ length: size }, (_, index) => template({ TemplateCode: `${1119000 + index}` }));
      const read = await withProvider((provider) => provider.templates!(), {}, clock);
      expect(read).toMatchObject({ kind: 'read', templates: { length: size } });
      const lists = server.requests.filter(({ action }) => action === 'ListChatappTemplate');
      expect(lists).toHaveLength(Math.max(1, Math.ceil(size / 10)));
    }
  });

  it('are not listed in part where there are too many', async () => {
    server.templates = Array.from({ length: 501 }, (_, index) =>
      template({ TemplateCode: `${1119000 + index}`, TemplateType: 'VIBER' }),
    );
    const read = await withProvider((provider) => provider.templates!(), {}, new FakeClock(Date.now()));
    expect(read).toMatchObject({
      kind: 'failed',
      error: { message: expect.stringContaining('more than 500') as string },
    });
  });

  it('one that cannot be read leaves the others', async () => {
    server.templates = [template({}), template({ Language: 'de', TemplateCode: '1119000000000002' })];
    server.faults.push({ kind: 'body', status: 200, body: listOf(server.templates) });
    server.faults.push({ kind: 'refused', status: 400, code: 'DetailError.TemplateNotExist' });
    const read = await withProvider((provider) => provider.templates!());
    expect(read).toMatchObject({
      kind: 'read',
      templates: [
        { body: null, unsupported: 'its parts, which CAMS does not show [cams:DetailError.TemplateNotExist]' },
        { language: 'de', body: 'Hi {{name}}, order {{order_no}} leaves.', unsupported: null },
      ],
    });
  });

  const listOf = (templates: readonly CamsTemplate[]): string =>
    JSON.stringify({ Code: 'OK', Total: templates.length, ListTemplate: templates });

  it.each<[string, CamsFault[], object]>([
    ['the key is refused', [{ kind: 'refused', status: 404, code: 'InvalidAccessKeyId.NotFound' }], { stop: 'token' }],
    ['the right is missing', [{ kind: 'refused', status: 403, code: 'Forbidden.RAM' }], { stop: 'permission' }],
    ['there were too many calls', [{ kind: 'throttled' }], { pauseMs: 30_000 }],
    ['the answer is lost', [{ kind: 'dropped' }], { error: { code: 'CONNECTION_LOST' } }],
    ['the server fails', [{ kind: 'failing' }], { error: { code: 'SERVER_ERROR' } }],
    ['the list is none', [{ kind: 'body', status: 200, body: '{"Code":"OK","ListTemplate":{}}' }], {}],
    [
      'a template has no name',
      [{ kind: 'body', status: 200, body: '{"Code":"OK","ListTemplate":[{"Language":"en"}]}' }],
      {},
    ],
    [
      'the key is refused in the middle',
      [
        { kind: 'body', status: 200, body: listOf([template({})]) },
        { kind: 'refused', status: 403, code: 'Forbidden.RAM' },
      ],
      { stop: 'permission' },
    ],
  ])('are not read when %s', async (_label, faults, expected) => {
    server.templates = [template({})];
    server.faults.push(...faults);
    const read = await withProvider((provider) => provider.templates!());
    expect(read).toMatchObject({ kind: 'failed', ...expected });
    expect(read.kind === 'failed' && read.stop).toBe((expected as { stop?: string }).stop);
  });
});

describe('cams: whether the account works', () => {
  const verify = (more: Partial<CamsConfig> = {}) => withProvider((provider) => provider.verify(), more);
  const states = (checks: Awaited<ReturnType<typeof verify>>): string[] =>
    checks.map(({ about, state, stop }) => [about, state, ...(stop ? [stop] : [])].join(' '));

  it('says what is known and what is not, and sends nothing', async () => {
    const checks = await verify();
    expect(states(checks)).toEqual([
      'reachable ok',
      'token ok',
      'permissions ok',
      'permissions unknown',
      'identity unknown',
    ]);
    expect(server.requests.map(({ action }) => action)).toEqual(['ListChatappTemplate']);
    expectNothingPrivate(checks, hello, SECRETS);
  });

  it.each<[string, Partial<CamsConfig>, CamsFault[], string[]]>([
    ['a wrong secret', { accessKeySecret: 'wrong-secret' }, [], ['reachable ok', 'token failed token']],
    [
      'a missing right',
      {},
      [{ kind: 'refused', status: 403, code: 'Forbidden.RAM' }],
      ['reachable ok', 'token ok', 'permissions failed permission'],
    ],
    ['another space', { spaceId: 'cams-other' }, [], ['reachable ok', 'token ok', 'identity failed permission']],
    ['too many calls', {}, [{ kind: 'throttled' }], ['reachable failed rate_limit']],
    ['a server that fails', {}, [{ kind: 'failing' }], ['reachable failed network']],
    ['no answer', {}, [{ kind: 'dropped' }], ['reachable failed network']],
    ['nobody there', { baseUrl: 'http://127.0.0.1:9' }, [], ['reachable failed network']],
  ])('with %s', async (_label, more, faults, expected) => {
    server.faults.push(...faults);
    const checks = await verify(more);
    expect(states(checks)).toEqual(expected);
    expect(checks.at(-1)?.hint).not.toBe('');
    expectNothingPrivate(checks, hello, [...SECRETS, 'wrong-secret']);
  });
});

describe('cams: where it is', () => {
  it('goes through the proxy that is set', async () => {
    const asked: string[] = [];
    const proxy = createServer().listen(0, '127.0.0.1');
    proxy.on('connect', (request, socket) => {
      asked.push(request.url ?? '');
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    await once(proxy, 'listening');
    const https = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const settings = { channel: 'messenger', id: PAGE, spaceId: CAMS_SPACE, ...CAMS_KEY, proxy: { https } } as const;
    const provider = openProvider('cams', settings, machineClock);
    const outcomes = await provider.send([hello]);
    await provider.close();
    proxy.close();
    expect(asked).toEqual(['cams.ap-southeast-1.aliyuncs.com:443']);
    expect(outcomes).toMatchObject([{ kind: 'retryable', error: { code: 'CONNECTION_REFUSED' } }]);
  });

  it.each<[string, Partial<CamsConfig>, string]>([
    ['an address that is none', { baseUrl: 'cams' }, 'is not a web address'],
    ['plain http to elsewhere', { baseUrl: 'http://cams.example' }, 'must begin with https://'],
    ['a path', { baseUrl: 'https://cams.example/v1' }, 'must not have a path'],
    ['SMS', { channel: 'sms' }, 'not on sms'],
    ['an id that is none', { accountId: 'my-page' }, 'is not an id of the platform'],
    ['no key', { accessKeyId: '' }, 'The AccessKey id is empty'],
    ['a line break in the secret', { accessKeySecret: 'abc\n' }, 'The AccessKey secret is empty or holds white space'],
  ])('is refused with %s', (_label, more, message) => {
    expect(() => createCamsProvider(config(server.url, more), machineClock)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(message) as string,
      }) as Failure,
    );
  });

  it.each([
    ['SECRET_MISSING', { spaceId: CAMS_SPACE }],
    ['CONFIG_INVALID', CAMS_KEY],
  ])('is not opened without all settings (%s)', (code, parts) => {
    expect(() => openProvider('cams', { channel: 'messenger', id: PAGE, ...parts }, machineClock)).toThrow(
      expect.objectContaining({ code }) as Failure,
    );
  });
});
