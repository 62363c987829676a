/**
 * Our requests beside those of Meta's own SDK, which we did not write: the same message through both must arrive the same. And
 * the SDK against the sandbox, which must answer as the SDK expects of the platform.
 */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Button, Message } from '../../src/core/template.js';
import type { OutgoingMessage } from '../../src/ports.js';
import { createGraphProvider } from '../../src/providers/graph.js';
import { machineClock, ReplyServer, watchConnections } from '../support/provider-contract.js';
import { testSandbox } from '../support/sandbox-harness.js';

/** As much of the SDK as is used here; it has no types. */
interface MetaSdk {
  FacebookAdsApi: {
    VERSION: string;
    init(token: string, locale: string, crashReports: boolean): object;
  };
  FacebookAdsApiBatch: new (
    api: object,
    done?: (part: Part) => void,
    failed?: (part: Part) => void,
  ) => {
    add(
      method: string,
      path: string[],
      parameters: object,
      files: null,
      done: (part: Part) => void,
      failed: (part: Part) => void,
    ): void;
    execute(): Promise<unknown>;
  };
  Page: new (id: string) => { createMessage(fields: string[], parameters: object): Promise<{ _data: object }> };
}
interface Part {
  body: Record<string, unknown>;
  status: number;
}
const sdk = createRequire(import.meta.url)('facebook-nodejs-business-sdk') as MetaSdk;

const PAGE = '102938475601928';
const TOKEN = 'EAAGm0PX4ZCpsBAKZCtokenForTests0123456789';
const ANN = '6734019284750123';
const BEN = '6734019284750124';

let host = '';
const watch = watchConnections();
const graph = Object.getOwnPropertyDescriptor(sdk.FacebookAdsApi, 'GRAPH')!;
const noProxy = process.env['NO_PROXY'];
beforeAll(() => {
  Object.defineProperty(sdk.FacebookAdsApi, 'GRAPH', { get: () => host, configurable: true });
  process.env['NO_PROXY'] = '127.0.0.1';
});
afterAll(() => {
  Object.defineProperty(sdk.FacebookAdsApi, 'GRAPH', graph);
  if (noProxy === undefined) delete process.env['NO_PROXY'];
  else process.env['NO_PROXY'] = noProxy;
  watch.stop();
  expect([...watch.addresses].filter((address) => address !== '127.0.0.1')).toEqual([]);
});

/** The SDK, speaking to a place on loopback. Its reports of crashes would go to Meta, so they stay switched off. */
function metaApi(url: string, token: string): object {
  host = url;
  return sdk.FacebookAdsApi.init(token, 'en_US', false);
}

const outgoing = (parts: Partial<Message>, userId = ANN): OutgoingMessage => ({
  userId,
  metadata: 'pagecast:c7:1',
  isReply: false,
  message: { buttons: [], quickReplies: [], ...parts },
});

/** A message in our words, and the parameters that a user of the SDK writes for it from Meta's pages. */
const open: Button = { type: 'web_url', title: 'Open', url: 'https://shop.example/A-1042' };
const messages: [string, Partial<Message>, object][] = [
  ['text', { text: 'Zoë & Co: 1+1=2 "你好" 👋' }, { text: 'Zoë & Co: 1+1=2 "你好" 👋' }],
  [
    'quick replies',
    { text: 'Choose', quickReplies: [{ title: 'Track it', payload: 'TRACK' }] },
    { text: 'Choose', quick_replies: [{ content_type: 'text', title: 'Track it', payload: 'TRACK' }] },
  ],
  [
    'a button template',
    { text: 'Your order', buttons: [open] },
    { attachment: { type: 'template', payload: { template_type: 'button', text: 'Your order', buttons: [open] } } },
  ],
  [
    'a generic template',
    { cards: [{ title: 'Mug', subtitle: 'Blue', image: 'https://shop.example/mug.png', buttons: [open] }] },
    {
      attachment: {
        type: 'template',
        payload: {
          template_type: 'generic',
          elements: [{ title: 'Mug', subtitle: 'Blue', image_url: 'https://shop.example/mug.png', buttons: [open] }],
        },
      },
    },
  ],
  [
    'a picture',
    { media: { type: 'image', url: 'https://shop.example/a.png' } },
    { attachment: { type: 'image', payload: { url: 'https://shop.example/a.png' } } },
  ],
];

describe('the same message through the SDK and through ours', () => {
  let server: ReplyServer;
  beforeAll(async () => {
    server = await ReplyServer.start();
  });
  afterAll(() => server.close());

  const ours = async (batch: readonly OutgoingMessage[]): Promise<void> => {
    const settings = { baseUrl: server.url, version: sdk.FacebookAdsApi.VERSION, pageId: PAGE, token: TOKEN };
    const provider = createGraphProvider({ ...settings, channel: 'messenger', batch: 50 }, machineClock);
    await provider.send(batch);
    await provider.close();
  };

  it.each(messages)('%s', async (_label, parts, message) => {
    server.seen.length = 0;
    const success = { body: { recipient_id: ANN, message_id: 'm_AG5Hz2U' } };
    server.replies.push(success, success);
    metaApi(server.url, TOKEN);
    await new sdk.Page(PAGE).createMessage([], {
      recipient: { id: ANN },
      messaging_type: 'UPDATE',
      message: { ...message, metadata: 'pagecast:c7:1' },
    });
    await ours([outgoing(parts)]);
    const [theirs, own] = server.seen.map(({ method, path, headers, body }) => ({
      method,
      path: path.split('?')[0],
      type: headers['content-type'],
      body: JSON.parse(body) as object,
    }));
    // Theirs repeats the Page of the path in the body.
    expect({ ...own, body: { ...own?.body, id: PAGE } }).toEqual(theirs);
    expect(server.seen[1]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    // Theirs puts the token into the address, where it would stand in logs.
    expect(server.seen.map(({ path }) => path.includes(TOKEN))).toEqual([true, false]);
  });

  it('in a batch', async () => {
    server.seen.length = 0;
    const parts = [ANN, BEN].map((user) => ({
      code: 200,
      headers: [],
      body: `{"recipient_id":"${user}","message_id":"m_1"}`,
    }));
    server.replies.push({ body: parts }, { body: parts });
    const batch = new sdk.FacebookAdsApiBatch(metaApi(server.url, TOKEN));
    for (const user of [ANN, BEN]) {
      const message = { text: `Hello ${user.slice(-1)}`, metadata: 'pagecast:c7:1' };
      const parameters = { recipient: { id: user }, messaging_type: 'UPDATE', message };
      batch.add(
        'POST',
        [PAGE, 'messages'],
        parameters,
        null,
        () => undefined,
        () => undefined,
      );
    }
    await batch.execute();
    await ours([ANN, BEN].map((user) => outgoing({ text: `Hello ${user.slice(-1)}` }, user)));
    const [theirs, own] = server.seen.map(({ method, path, body }) => ({
      method,
      path: path.split('?')[0]?.replace(/\/$/, ''),
      parts: (JSON.parse(body) as { batch: Record<string, string>[] }).batch.map((part) => ({
        method: part['method'],
        relative_url: part['relative_url'],
        // Theirs leaves the values as they are, which an ampersand in one would break.
        body: Object.fromEntries(new URLSearchParams(part['body'])),
      })),
    }));
    expect(own).toEqual(theirs);
  });
});

describe('the SDK against the sandbox', () => {
  const hello = { messaging_type: 'UPDATE', message: { text: 'Hello' } };

  it.each(messages)('is told that it has sent %s', async (_label, _parts, message) => {
    const { sandbox } = await testSandbox();
    metaApi(sandbox.url, sandbox.page.token);
    const sent = await new sdk.Page(sandbox.page.id).createMessage([], { ...hello, recipient: { id: ANN }, message });
    const [received] = sandbox.state.received(ANN);
    expect(sent._data).toMatchObject({ recipient_id: ANN, message_id: received?.mid });
    expect(received?.mid).toMatch(/^m_/);
  });

  it.each([
    ['an open window', { users: [{ id: ANN, opened_at: '-25h' }] }, 10, 2018278],
    [
      'a person who is there',
      { users: [{ id: ANN, opened_at: '-1h', behaviour: 'unavailable' as const }] },
      551,
      1545041,
    ],
    ['a Page that may send', { page: { refuses: '368' } }, 368, undefined],
  ])('is refused without %s, in the way it knows', async (_label, seed, code, error_subcode) => {
    const { sandbox } = await testSandbox(seed);
    metaApi(sandbox.url, sandbox.page.token);
    const page = new sdk.Page(sandbox.page.id);
    await expect(page.createMessage([], { ...hello, recipient: { id: ANN } })).rejects.toMatchObject({
      name: 'FacebookRequestError',
      status: 400,
      response: {
        code,
        type: 'OAuthException',
        fbtrace_id: expect.any(String) as string,
        ...(error_subcode !== undefined && { error_subcode }),
      },
    });
    expect(sandbox.state.received(ANN)).toEqual([]);
  });

  it('gets each part of a batch answered, and so do we', async () => {
    const { sandbox, provider } = await testSandbox({ users: [{ id: BEN, opened_at: '-25h' }] });
    const batch = new sdk.FacebookAdsApiBatch(metaApi(sandbox.url, sandbox.page.token));
    const parts: [string, unknown][] = [];
    for (const user of [ANN, BEN]) {
      batch.add(
        'POST',
        [sandbox.page.id, 'messages'],
        { ...hello, recipient: { id: user } },
        null,
        ({ body }) => parts.push(['sent', body['recipient_id']]),
        ({ body }) => parts.push(['refused', (body['error'] as { error_subcode: number }).error_subcode]),
      );
    }
    await batch.execute();
    expect(parts).toEqual([
      ['sent', ANN],
      ['refused', 2018278],
    ]);
    const outcomes = await provider({ batch: 50 }).send(
      [ANN, BEN].map((user) => outgoing({ text: 'Hello & bye' }, user)),
    );
    expect(outcomes).toMatchObject([{ kind: 'sent' }, { kind: 'rejected', error: { code: '10/2018278' } }]);
    expect(sandbox.state.received().map(({ user, text }) => [user, text])).toEqual([
      [ANN, 'Hello'],
      [ANN, 'Hello & bye'],
    ]);
  });
});
