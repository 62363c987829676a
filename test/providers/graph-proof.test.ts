/** What 100 without a subcode means: a message that is not taken, or a proof of the app secret that is missing or wrong. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { OutgoingMessage, Provider } from '../../src/ports.js';
import { createGraphProvider, type GraphConfig } from '../../src/providers/graph.js';
import { openProvider, type ProviderSettings } from '../../src/providers/index.js';
import { envelope, errorOf, PAGE, TOKEN } from '../support/graph-asking.js';
import { machineClock, ReplyServer, type CannedReply } from '../support/provider-contract.js';
import { testSandbox } from '../support/sandbox-harness.js';

let server: ReplyServer;
beforeAll(async () => {
  server = await ReplyServer.start();
});
afterAll(() => server.close());

const to = (userId: string): OutgoingMessage => ({
  userId,
  metadata: `m:${userId}`,
  isReply: false,
  message: { text: 'Hello', buttons: [], quickReplies: [] },
});
const [ann, ben] = [to('6400000000000001'), to('6400000000000002')];

/** Sends calls of messages, one after the other, and says which requests that took. */
async function sending(
  replies: readonly CannedReply[],
  calls: readonly (readonly OutgoingMessage[])[],
  more: Partial<GraphConfig> = {},
): Promise<{ outcomes: Outcome[]; requests: string[] }> {
  server.seen.length = 0;
  server.replies.splice(0, Infinity, ...replies);
  const account = { version: 'v26.0', pageId: PAGE, channel: 'messenger', token: TOKEN } as const;
  const graph = createGraphProvider({ baseUrl: server.url, ...account, ...more }, machineClock);
  try {
    const outcomes: Outcome[] = [];
    for (const messages of calls) outcomes.push(...(await graph.send(messages)));
    expect(server.replies, 'replies that no request asked for').toEqual([]);
    return { outcomes, requests: server.seen.map(({ method, path }) => `${method} ${path}`) };
  } finally {
    await graph.close();
  }
}

const SEND = `POST /v26.0/${PAGE}/messages`;
const ASK = 'GET /v26.0/me?fields=id';
const WORDS = 'Ungültiges Argument';
const refused = envelope(100, WORDS);
const sent: CannedReply = { body: { recipient_id: ann.userId, message_id: 'm_1' } };
const me: CannedReply = { body: { id: PAGE } };
const ofSecret = { kind: 'stopped', stop: 'token', error: errorOf('100/appsecret', WORDS) };
const ofContent = { kind: 'stopped', stop: 'content', error: errorOf('100', WORDS) };

describe('graph: 100 before anything was sent', () => {
  it('is taken for a wrong app secret when the platform does not answer anything else either', async () => {
    const { outcomes, requests } = await sending([refused, envelope(100)], [[ann]]);
    expect(outcomes).toEqual([ofSecret]);
    expect(requests).toEqual([SEND, ASK]);
  });

  it('is asked about with the proof, as everything is', async () => {
    const { requests } = await sending([refused, me], [[ann]], { appSecret: 'shhh' });
    expect(requests[1]).toMatch(/^GET \/v26\.0\/me\?fields=id&appsecret_proof=[0-9a-f]{64}$/);
  });

  it.each<[what: string, reply: CannedReply]>([
    ['answers', me],
    ['says that the token is wrong', envelope(190)],
    ['says 100 with a subcode', envelope(100, 'words', 33)],
    ['has a limit', envelope(4)],
    ['is not reached', { fault: 'drop' }],
    ['is something on the way', { body: '<html>' }],
  ])('is left as it is when the platform %s', async (_, reply) => {
    expect((await sending([refused, reply], [[ann]])).outcomes).toEqual([ofContent]);
  });

  it.each<[what: string, replies: CannedReply[], requests: string[]]>([
    ['once something was sent', [sent, refused, refused], [SEND, SEND, SEND]],
    ['a second time when the proof was taken', [refused, me, refused, refused], [SEND, ASK, SEND, SEND]],
    [
      'when it has a subcode',
      [envelope(100, WORDS, 2534015), envelope(100, WORDS, 2018001), envelope(551, WORDS)],
      [SEND, SEND, SEND],
    ],
  ])('is not asked about %s', async (_, replies, requests) => {
    const seen = await sending(replies, [[ann], [ben], [ann]]);
    expect(seen.requests).toEqual(requests);
    expect(seen.outcomes.at(-1)).not.toMatchObject({ stop: 'token' });
  });

  it('is asked about again while the platform could not say', async () => {
    const { outcomes, requests } = await sending([refused, envelope(4), refused, envelope(100)], [[ann], [ben]]);
    expect(outcomes).toEqual([ofContent, ofSecret]);
    expect(requests).toEqual([SEND, ASK, SEND, ASK]);
  });

  it.each<[what: string, reply: CannedReply]>([
    ['as a whole', refused],
    ['in its parts', { body: [refused, refused].map(({ body }) => ({ code: 400, body: JSON.stringify(body) })) }],
  ])('is asked about once for a batch that is refused %s', async (_, reply) => {
    const { outcomes, requests } = await sending([reply, envelope(100)], [[ann, ben]], { batch: 2 });
    expect(outcomes).toEqual([ofSecret, ofSecret]);
    expect(requests).toEqual(['POST /v26.0/', ASK]);
  });

  it('concerns nobody else of a batch', async () => {
    const parts = [refused, envelope(551, WORDS)].map(({ body }) => ({ code: 400, body: JSON.stringify(body) }));
    const { outcomes } = await sending([{ body: parts }, envelope(100)], [[ann, ben]], { batch: 2 });
    expect(outcomes).toEqual([ofSecret, { kind: 'rejected', error: errorOf('551', WORDS) }]);
  });

  it.each<[what: string, settings: Partial<ProviderSettings>]>([
    ['wrong', { appSecret: 'another' }],
    ['missing', {}],
  ])('is told apart in a sandbox: the secret is %s', async (_, settings) => {
    const { sandbox } = await testSandbox({ page: { secret: 'shhh' } });
    const { id, token, channel } = sandbox.page;
    const open = (more: Partial<ProviderSettings>): Provider => {
      const opened = openProvider('sandbox', { id, token, channel, baseUrl: sandbox.url, ...more }, machineClock);
      onTestFinished(() => opened.close());
      return opened;
    };
    for (const batch of [1, 20]) {
      const outcomes = await open({ ...settings, batch }).send([ann, ben]);
      const stopped = { kind: 'stopped', stop: 'token', error: { code: '100/appsecret' } };
      expect(outcomes).toMatchObject([stopped, stopped]);
    }
    const tooLong = { ...ann, message: { ...ann.message, text: 'x'.repeat(5000) } };
    const content = { kind: 'stopped', stop: 'content', error: { code: '100' } };
    expect(await open({ appSecret: 'shhh' }).send([tooLong])).toMatchObject([content]);
    expect(sandbox.state.received()).toEqual([]);
  });
});
