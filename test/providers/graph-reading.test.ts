import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConversationsPage, Provider, ShownConversation } from '../../src/ports.js';
import type { GraphConfig } from '../../src/providers/graph.js';
import {
  Asking,
  envelope,
  errorOf,
  INSTAGRAM,
  listing,
  PAGE,
  SINCE,
  TOKEN,
  type Asked,
  type Request,
} from '../support/graph-asking.js';
import type { CannedReply } from '../support/provider-contract.js';
import { NOON, testSandbox, type TestSandbox } from '../support/sandbox-harness.js';

const ANN = '6734019284750123';
const BEN = '6734019284750124';
const LISTED = 'updated_time,participants,messages.limit(5){created_time,from}';
const DETAILS = 'participants,messages.limit(20){created_time,from}';

let asking: Asking;
beforeAll(async () => {
  asking = await Asking.start();
});
afterAll(() => asking.close());

const time = (seconds: number): string => new Date(SINCE + seconds * 1000).toISOString().replace('.000Z', '+0000');

/** A message that somebody wrote so many seconds after SINCE. */
const wrote = (seconds: number, author: string | null, id = `m_${seconds}`): object => ({
  id,
  created_time: time(seconds),
  ...(author !== null && { from: { id: author, name: 'x' } }),
});
const thread = (user: string, messages: object[] | null, more: object = {}): object => ({
  id: `t_${user}`,
  updated_time: time(60),
  participants: { data: [{ id: user }, { id: PAGE }] },
  ...(messages && { messages: { data: messages } }),
  ...more,
});
const one = (node: object): CannedReply => ({ body: node });
const shown = (
  userId: string | null,
  seconds: number | null,
  complete: boolean,
  more: object = {},
): ShownConversation => ({
  userId,
  updatedAt: SINCE + 60_000,
  userWroteAt: seconds === null ? null : SINCE + seconds * 1000,
  complete,
  ...more,
});
const details = (...messages: object[]): object => ({ id: 't_x', messages: { data: messages } });
const many = (count: number, from: number, author: string | null): object[] =>
  Array.from({ length: count }, (_, index) => wrote(from - index, author));

interface ConversationsCase {
  label: string;
  replies: CannedReply[];
  conversations: ShownConversation[];
  requests?: Request[];
  more?: Partial<GraphConfig>;
}
const ofPage = (query: object = {}): Request => ({
  path: `${PAGE}/conversations`,
  query: { platform: 'messenger', fields: LISTED, limit: '50', ...query },
});
const ofThread = (user: string): Request => ({ path: `t_${user}`, query: { fields: DETAILS } });
const ofMessage = (id: string): Request => ({ path: id, query: { fields: 'created_time,from' } });

const conversationsCases: ConversationsCase[] = [
  {
    label: 'one call shows who wrote last of a whole page',
    replies: [
      listing([
        thread(ANN, [wrote(60, PAGE), wrote(30, ANN), wrote(10, ANN)]),
        thread(BEN, [wrote(60, BEN)]),
        thread('6734019284750125', [wrote(-10, PAGE)], { updated_time: time(-10) }),
      ]),
    ],
    requests: [ofPage()],
    conversations: [
      shown(ANN, 30, true),
      shown(BEN, 60, true),
      shown('6734019284750125', null, true, { updatedAt: SINCE - 10_000 }),
    ],
  },
  {
    label: 'a conversation that has not gone on since is not read, whatever is shown of it',
    replies: [listing([{ id: 't_1', updated_time: time(-1) }, thread(BEN, null, { updated_time: time(-1) })])],
    conversations: [null, BEN].map((user) => shown(user, null, true, { updatedAt: SINCE - 1000 })),
  },
  {
    label: 'a message of the second that was asked for may be from before it or from after it',
    replies: [listing([thread(ANN, many(5, 4, PAGE))]), one(details(...many(6, 4, PAGE)))],
    conversations: [shown(ANN, null, true)],
  },
  { label: 'an account without conversations', replies: [listing([])], conversations: [] },
  {
    label: 'a person who wrote nothing since is known to have written nothing, when the list reaches back so far',
    replies: [
      listing([thread(ANN, [wrote(60, PAGE), wrote(-1, PAGE)]), thread(BEN, [wrote(60, PAGE), wrote(-1, BEN)])]),
    ],
    conversations: [shown(ANN, null, true), shown(BEN, -1, true)],
  },
  {
    label: 'a conversation that begins after the time that was asked for is shown whole',
    replies: [listing([thread(ANN, [wrote(60, PAGE), wrote(50, PAGE)])])],
    conversations: [shown(ANN, null, true)],
  },
  {
    label: 'those of whom the listing shows only the account are read one by one',
    replies: [
      listing([ANN, BEN, '6734019284750125'].map((user) => thread(user, many(5, 60, PAGE)))),
      one(details(...many(8, 60, PAGE), wrote(40, ANN))),
      one(details(...many(8, 60, PAGE), wrote(-5, PAGE))),
      one(details(...many(20, 60, PAGE))),
    ],
    requests: [ofPage(), ofThread(ANN), ofThread(BEN), ofThread('6734019284750125')],
    conversations: [shown(ANN, 40, true), shown(BEN, null, true), shown('6734019284750125', null, false)],
  },
  {
    label: 'nineteen messages since then and one before: that is all; older ones have no details',
    replies: [
      listing([ANN, BEN].map((user) => thread(user, many(5, 60, PAGE)))),
      one(details(...many(19, 60, PAGE), wrote(-1, PAGE))),
      one(details(...many(20, 60, PAGE), ...many(5, 40, null), wrote(-1, null))),
    ],
    conversations: [shown(ANN, null, true), shown(BEN, null, false)],
  },
  {
    label: 'a platform that does not expand fields: the conversation, then its messages from the newest back',
    replies: [
      listing([ANN, BEN].map((user) => ({ id: `t_${user}`, updated_time: time(60) }))),
      one(thread(ANN, [wrote(60, null, 'm_a1'), wrote(50, null, 'm_a2'), wrote(40, null, 'm_a3')])),
      one(thread(BEN, [wrote(60, null, 'm_b1'), wrote(-5, null, 'm_b2')])),
      one(wrote(60, PAGE)),
      one(wrote(50, ANN)),
      one(wrote(60, PAGE)),
    ],
    requests: [ofPage(), ofThread(ANN), ofThread(BEN), ofMessage('m_a1'), ofMessage('m_a2'), ofMessage('m_b1')],
    conversations: [shown(ANN, 50, true), shown(BEN, null, true)],
  },
  {
    label: 'a message whose details are not given leaves a gap, but not the one before it',
    replies: [
      listing([thread(ANN, null)]),
      one(details(wrote(60, null, 'm_1'), wrote(50, null, 'm_2'))),
      envelope(9000001),
      one(wrote(50, ANN)),
    ],
    conversations: [shown(ANN, 50, false)],
  },
  {
    label: 'what cannot be read of one conversation concerns that one alone',
    replies: [
      listing(['1', '2', '3', '4'].map((end) => thread(`673401928475012${end}`, null))),
      envelope(100, 'gone', 33),
      { body: '<html>' },
      { status: 500, body: 'x' },
      one({ messages: { data: 'x' } }),
    ],
    conversations: ['1', '2', '3', '4'].map((end) => shown(`673401928475012${end}`, null, false)),
  },
  {
    label: 'messages that do not come newest first prove nothing',
    replies: [
      listing([thread(ANN, [wrote(30, PAGE), wrote(60, ANN)])]),
      one(details(wrote(30, PAGE), wrote(60, ANN), wrote(40, ANN))),
    ],
    conversations: [shown(ANN, 60, false)],
  },
  {
    label: 'messages without a time or an id prove nothing',
    replies: [
      listing([thread(ANN, [{ id: 'm_1', from: { id: ANN } }, wrote(-5, PAGE)])]),
      one(
        details({ id: 'm_1', from: { id: ANN } }, { created_time: time(3) }, 'x' as unknown as object, wrote(-5, PAGE)),
      ),
    ],
    conversations: [shown(ANN, null, false)],
  },
  {
    label: 'a conversation without messages proves nothing',
    replies: [listing([thread(ANN, [])]), one(details())],
    conversations: [shown(ANN, null, false)],
  },
  {
    label: 'a short page of messages that goes on proves nothing',
    replies: [
      listing([thread(ANN, many(5, 60, PAGE))]),
      one({ messages: { data: many(6, 60, PAGE), paging: { cursors: { after: 'a' }, next: 'x' } } }),
    ],
    conversations: [shown(ANN, null, false)],
  },
  {
    label: 'times as seconds and milliseconds',
    replies: [
      listing([
        thread(ANN, [{ ...wrote(60, ANN), created_time: SINCE / 1000 + 60 }], {
          updated_time: String(SINCE / 1000 + 60),
        }),
        thread(BEN, [{ ...wrote(60, BEN), created_time: SINCE + 60_000 }], { updated_time: SINCE + 60_000 }),
      ]),
    ],
    conversations: [shown(ANN, 60, true), shown(BEN, 60, true)],
  },
  {
    label: 'ids that came as numbers keep their digits',
    replies: [
      {
        body:
          `{"data":[{"id":"t_1","updated_time":"${time(60)}","participants":{"data":[{"id":67340192847501234567},{"id":${PAGE}}]},` +
          `"messages":{"data":[{"id":"m_1","created_time":"${time(60)}","from":{"id":67340192847501234567}}]}}]}`,
      },
    ],
    conversations: [shown('67340192847501234567', 60, true)],
  },
  ...[
    ['only the account', [{ id: PAGE }]],
    ['three people', [{ id: ANN }, { id: BEN }, { id: PAGE }]],
    ['somebody whose id is none', [{ id: 'a b' }, { id: PAGE }]],
  ].map(([who, participants]): ConversationsCase => ({
    label: `a conversation of ${who as string} is with nobody that is known`,
    replies: [listing([thread(ANN, [wrote(60, ANN)], { participants: { data: participants } })])],
    conversations: [shown(null, null, false)],
  })),
  {
    label: 'a conversation whose participants are not shown even when it is read',
    replies: [listing([{ id: 't_1', updated_time: time(60) }]), one(details(wrote(60, ANN)))],
    conversations: [shown(null, null, false)],
  },
  {
    label: 'a conversation whose id leads elsewhere is not read',
    replies: [listing([thread(ANN, null, { id: '../me' })])],
    conversations: [shown(ANN, null, false)],
  },
  {
    label: 'a message whose id leads elsewhere is not read',
    replies: [listing([thread(ANN, null)]), one(details(wrote(60, null, 'm_1/../me')))],
    conversations: [shown(ANN, null, false)],
  },
  {
    label: 'on Instagram the account is whoever takes part in all conversations',
    more: { channel: 'instagram' },
    replies: [
      listing(
        [ANN, BEN].map((user) =>
          thread(user, [wrote(60, INSTAGRAM), wrote(30, user)], {
            participants: { data: [{ id: INSTAGRAM }, { id: user }] },
          }),
        ),
      ),
    ],
    requests: [ofPage({ platform: 'instagram' })],
    conversations: [shown(ANN, 30, true), shown(BEN, 30, true)],
  },
  {
    label: 'on Instagram one conversation alone needs the Page to tell its Instagram account',
    more: { channel: 'instagram' },
    replies: [
      listing([thread(ANN, [wrote(60, ANN)], { participants: { data: [{ id: INSTAGRAM }, { id: ANN }] } })]),
      { body: { id: PAGE, instagram_business_account: { id: INSTAGRAM } } },
    ],
    requests: [ofPage({ platform: 'instagram' }), { path: PAGE, query: { fields: 'instagram_business_account' } }],
    conversations: [shown(ANN, 60, true)],
  },
  {
    label: 'a Page that does not tell its Instagram account leaves it open who is who',
    more: { channel: 'instagram' },
    replies: [
      listing([thread(ANN, [wrote(60, ANN)], { participants: { data: [{ id: INSTAGRAM }, { id: ANN }] } })]),
      envelope(10),
    ],
    conversations: [shown(null, null, false)],
  },
  {
    label: 'an account that signed in with Instagram tells its own ids',
    more: { channel: 'instagram', login: 'instagram', pageId: INSTAGRAM },
    replies: [
      listing([thread(ANN, [wrote(60, ANN)], { participants: { data: [{ id: '17840000000000001' }, { id: ANN }] } })]),
      { body: { user_id: INSTAGRAM, id: '17840000000000001' } },
    ],
    conversations: [shown(ANN, 60, true)],
  },
];

describe('graph: all conversations', () => {
  const read = (
    replies: readonly CannedReply[],
    more: Partial<GraphConfig> = {},
    cursor: string | null = null,
  ): Promise<Asked<ConversationsPage>> =>
    asking.ask(replies, (provider, turn) => provider.conversations?.(cursor, SINCE + 999, turn), more);

  it.each(conversationsCases.map((each) => [each.label, each] as const))('%s', async (_label, each) => {
    const { result, requests, turns } = await read(each.replies, each.more);
    expect(result).toEqual({ kind: 'read', conversations: each.conversations, next: null });
    if (each.requests) expect(requests).toEqual(each.requests);
    expect(turns, 'a turn for each call').toBe(requests.length);
  });

  it('goes on with the cursor, and never with the address that the platform gives', async () => {
    const paging = { cursors: { before: 'a', after: 'QVFI_x-=' }, next: 'https://elsewhere.example/?access_token=x' };
    const { result } = await read([listing([], paging)]);
    expect(result).toEqual({ kind: 'read', conversations: [], next: 'QVFI_x-=' });
    const { result: last, requests } = await read([listing([], { cursors: { after: 'b' } })], {}, 'QVFI_x-=');
    expect(last).toEqual({ kind: 'read', conversations: [], next: null });
    expect(requests).toEqual([ofPage({ after: 'QVFI_x-=' })]);
  });

  it('asks for nothing with a cursor that is none', async () => {
    const { result } = await read([], {}, '../me');
    expect(result).toMatchObject({ kind: 'failed', error: { code: 'REPLY_UNREADABLE' } });
  });

  it.each([
    ['that does not move on', listing([], { cursors: { after: 'here' }, next: 'x' })],
    ['that goes on nowhere', listing([], { next: 'x' })],
    ['that goes on elsewhere', listing([], { cursors: { after: '../x' }, next: 'x' })],
    ['without a list', { body: { data: {} } }],
    ['of more than anybody asked for', listing(Array(101).fill(thread(ANN, [])) as object[])],
    ['with a conversation that has no time', listing([thread(ANN, [], { updated_time: 'now' })])],
    ['with a conversation that is none', { body: { data: ['x'] } }],
    ['that is a page of something on the way', { body: '<html>Sign in</html>' }],
    ['that never ends', { fault: 'huge' as const }],
  ])('does not take a listing %s', async (_label, reply) => {
    const { result } = await read([reply], {}, 'here');
    expect(result).toMatchObject({ kind: 'failed', error: { code: 'REPLY_UNREADABLE' } });
    expect(result).not.toHaveProperty('stop');
  });

  const failures: [number, number | undefined, object][] = [
    [190, 463, { stop: 'token' }],
    [10, undefined, { stop: 'permission' }],
    [200, undefined, { stop: 'permission' }],
    [368, undefined, { stop: 'restricted' }],
    [10, 1893063, { stop: 'restricted' }],
    [80006, undefined, { pauseMs: 30_000 }],
    [613, undefined, { pauseMs: 30_000 }],
    [4, undefined, { pauseMs: 30_000 }],
    [1, undefined, {}],
    [100, undefined, {}],
  ];

  it.each(failures)('error %s/%s of the listing: %j', async (code, subcode, meant) => {
    const { result } = await read([envelope(code, 'words', subcode)]);
    const whole = subcode === undefined ? String(code) : `${code}/${subcode}`;
    expect(result).toEqual({ kind: 'failed', error: errorOf(whole), ...meant });
  });

  it.each(failures)('error %s/%s of one conversation: %j', async (code, subcode, meant) => {
    const refused = envelope(code, 'words', subcode);
    const { result } = await read([listing([thread(ANN, null)]), refused]);
    if (Object.keys(meant).length === 0) expect(result).toMatchObject({ kind: 'read' });
    else expect(result).toMatchObject({ kind: 'failed', ...meant });
  });

  it('a connection that is lost on the way ends the page', async () => {
    const { result } = await read([listing([thread(ANN, null), thread(BEN, null)]), { fault: 'drop' }]);
    expect(result).toMatchObject({ kind: 'failed', error: { code: 'CONNECTION_LOST' } });
  });

  it('waits as long as the usage header says', async () => {
    const header = JSON.stringify({ [PAGE]: [{ type: 'messenger', estimated_time_to_regain_access: 3 }] });
    const limited = { ...envelope(80006), headers: { 'x-business-use-case-usage': header } };
    expect((await read([limited])).result).toMatchObject({ pauseMs: 180_000 });
  });

  it('hides who it is about in errors', async () => {
    const { result } = await read([envelope(100, `No ${ANN} for ${TOKEN}\u001b[2J`)]);
    expect(result).toMatchObject({ error: { message: 'No …0123 for [secret] [2J' } });
  });

  it.each([
    ['learns the id of an Instagram account', { body: { id: PAGE, instagram_business_account: { id: INSTAGRAM } } }],
    ['asks for the id of an Instagram account that is not told', envelope(10)],
  ])('%s once', async (_label, told) => {
    const alone = listing([
      thread(ANN, [wrote(60, ANN)], { participants: { data: [{ id: INSTAGRAM }, { id: ANN }] } }),
    ]);
    const { requests } = await asking.ask(
      [alone, told, alone],
      async (provider, turn) => {
        await provider.conversations?.(null, SINCE, turn);
        return provider.conversations?.(null, SINCE, turn);
      },
      { channel: 'instagram' },
    );
    expect(requests.length).toBe(3);
  });
});

/** A turn of two a second, as the sandbox counts them. */
const paced =
  ({ clock }: TestSandbox): (() => Promise<void>) =>
  () => {
    clock.at += 500;
    return Promise.resolve();
  };

async function readAll(sandbox: TestSandbox, provider: Provider, since: number): Promise<ShownConversation[]> {
  const all: ShownConversation[] = [];
  let cursor: string | null = null;
  do {
    const page: ConversationsPage | undefined = await provider.conversations?.(cursor, since, paced(sandbox));
    if (page?.kind !== 'read') throw new Error(inspect(page));
    all.push(...page.conversations);
    cursor = page.next;
  } while (cursor !== null);
  return all;
}

describe('graph: all conversations of a sandbox', () => {
  const user = (n: number): string => String(7642925849000000 + n);
  const minutes = (n: number): number => NOON - n * 60_000;

  it.each(['messenger', 'instagram'] as const)('on %s tell who wrote when, at two calls a second', async (channel) => {
    const users = Array.from({ length: 120 }, (_, n) => ({ id: user(n), opened_at: `-${n + 1}m` }));
    const sandbox = await testSandbox({ page: { channel }, users, limits: { perSecond: null } });
    // The first three got as many messages as the listing shows, as can be read, and more.
    for (const [n, count] of [5, 19, 20].entries()) {
      for (let sent = 0; sent < count; sent += 1) await sandbox.send(user(n), 'Hello', `m:${n}:${sent}`);
    }
    const found = await readAll(sandbox, sandbox.provider(), minutes(60));
    expect(found.length).toBe(120);
    const of = new Map(found.map((each) => [each.userId, each]));
    expect(of.get(user(0))).toEqual({ userId: user(0), updatedAt: NOON, userWroteAt: minutes(1), complete: true });
    expect(of.get(user(1))).toMatchObject({ userWroteAt: minutes(2), complete: true });
    expect(of.get(user(2))).toMatchObject({ userWroteAt: null, complete: false });
    for (let n = 3; n < 120; n += 1) {
      expect(of.get(user(n))).toMatchObject({ userWroteAt: minutes(n + 1), complete: true });
    }
    expect(sandbox.sandbox.state.stats().refused).toBe(0);
  });

  it('are refused above two calls a second', async () => {
    const { provider } = await testSandbox({ users: [{ id: user(0), opened_at: '-1m' }] });
    const graph = provider();
    const read = (): Promise<ConversationsPage> | undefined =>
      graph.conversations?.(null, minutes(60), () => Promise.resolve());
    await read();
    await read();
    expect(await read()).toMatchObject({ kind: 'failed', error: { code: '80006' }, pauseMs: 60_000 });
  });

  it('of an account that signed in with Instagram are read under its own id', async () => {
    const users = [{ id: user(0), opened_at: '-1m' }];
    const sandbox = await testSandbox({ page: { channel: 'instagram', instagram: { id: INSTAGRAM } }, users });
    const { url } = sandbox.sandbox;
    const provider = sandbox.provider({ id: INSTAGRAM, baseUrl: `${url}/graph.instagram.com`, login: 'instagram' });
    expect(await readAll(sandbox, provider, minutes(60))).toEqual([
      { userId: user(0), updatedAt: minutes(1), userWroteAt: minutes(1), complete: true },
    ]);
  });
});
