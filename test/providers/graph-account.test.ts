import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccountCheck } from '../../src/ports.js';
import type { GraphConfig } from '../../src/providers/graph.js';
import { Asking, envelope, INSTAGRAM, listing, PAGE, SINCE, TOKEN } from '../support/graph-asking.js';
import type { CannedReply } from '../support/provider-contract.js';
import { testSandbox, type TestSandbox } from '../support/sandbox-harness.js';

let asking: Asking;
beforeAll(async () => {
  asking = await Asking.start();
});
afterAll(() => asking.close());

const me: CannedReply = { body: { id: PAGE, name: 'Acme' } };
const debug = (data: object): CannedReply => ({ body: [{ code: 200, body: JSON.stringify({ data }) }] });
const DAY = 86_400_000;
const lasting = debug({
  is_valid: true,
  expires_at: 0,
  data_access_expires_at: 0,
  scopes: ['pages_messaging', 'pages_manage_metadata', 'pages_read_engagement'],
});
const fine = [me, lasting, listing([]), listing([])];

/** What was found out, as lines: `token failed (token)`. */
const summary = (checks: readonly AccountCheck[]): string[] =>
  checks.map(({ about, state, stop }) => `${about} ${state}${stop === undefined ? '' : ` (${stop})`}`);
const GOOD = [
  'reachable ok',
  'token ok',
  'identity ok',
  'expiry ok',
  'permissions ok',
  'permissions ok',
  'permissions ok',
];

describe('graph: whether an account works', () => {
  const verify = (
    replies: readonly CannedReply[],
    more: Partial<GraphConfig> = {},
    now = SINCE,
  ): ReturnType<typeof asking.ask<AccountCheck[]>> =>
    asking.ask<AccountCheck[]>(replies, (provider) => provider.verify(), more, now);

  it('is asked without sending anything, and without the token in an address', async () => {
    const { result, requests } = await verify(fine);
    expect(summary(result)).toEqual([...GOOD, 'rate unknown']);
    expect(requests).toEqual([
      { path: 'me', query: { fields: 'id,name' } },
      { path: 'debug_token', query: { input_token: TOKEN }, hidden: true },
      { path: `${PAGE}/conversations`, query: { fields: 'id', platform: 'messenger', limit: '1' } },
      { path: `${PAGE}/message_templates`, query: { fields: 'name', limit: '1' } },
    ]);
    for (const { detail, hint } of result) {
      expect(detail).toMatch(/^\S.*\.$/s);
      expect(hint).toMatch(/^$|\.$/);
    }
  });

  it.each([
    ['the connection is lost', { fault: 'drop' as const }, 'reachable failed (network)'],
    ['something on the way answers', { body: '<html>Sign in</html>' }, 'reachable failed (network)'],
    ['something on the way refuses', { status: 403, body: '<html>' }, 'reachable failed (network)'],
    ['something on the way asks for fewer calls', { status: 429, body: '<html>' }, 'rate failed (rate_limit)'],
    ['the platform fell over', { status: 500, body: '' }, 'reachable failed (network)'],
    ['the platform is unable', envelope(2), 'reachable failed (network)'],
    ['the version is unknown', envelope(2500), 'reachable failed (permission)'],
    ['the version is retired', envelope(2635), 'reachable failed (permission)'],
    ['the token has expired', envelope(190, 'words', 463), 'token failed (token)'],
    ['the token is wrong', envelope(190), 'token failed (token)'],
    [
      'the proof is missing',
      envelope(100, 'API calls from the server require an appsecret_proof'),
      'token failed (token)',
    ],
    ['the token may not', envelope(200), 'permissions failed (permission)'],
    ['the Page is restricted', envelope(10, 'words', 1893063), 'sending failed (restricted)'],
    ['the Page is blocked', envelope(368), 'sending failed (restricted)'],
    ['there were too many calls', envelope(4), 'rate failed (rate_limit)'],
    ['the error is unheard of', envelope(987654), 'token unknown'],
  ])('ends with the first answer when %s', async (_label, reply, line) => {
    const { result } = await verify([reply]);
    expect(summary(result)).toEqual([line]);
  });

  it.each([
    [envelope(2500), '`version:`'],
    [envelope(2635), '`version:`'],
    [envelope(100), '`appSecret:`'],
    [envelope(190), 'Make a new access token'],
    [{ body: '<html>' }, 'proxy'],
  ])('says what to do', async (reply, words) => {
    expect((await verify([reply])).result[0]?.hint).toContain(words);
  });

  it('says when nothing answers at all', async () => {
    const { result } = await verify([], { baseUrl: 'http://127.0.0.1:1' });
    expect(summary(result)).toEqual(['reachable failed (network)']);
    expect(result[0]?.detail).toContain('ECONNREFUSED');
  });

  it('tells of a version that the platform serves instead', async () => {
    const { result } = await verify([{ ...me, headers: { 'facebook-api-version': 'v24.0' } }, ...fine.slice(1)]);
    expect(result[0]).toMatchObject({
      state: 'ok',
      detail: expect.stringContaining('v24.0 of its API instead of v26.0') as string,
    });
    expect(result[0]?.hint).toContain('`version:`');
  });

  it('finds a token of somebody else', async () => {
    const { result } = await verify([{ body: { id: '998877665544332', name: `Other\u001b[2J ${TOKEN}` } }]);
    expect(summary(result)).toEqual(['reachable ok', 'token ok', 'identity failed (permission)']);
    expect(result[2]?.detail).toBe('The token is for "Other [2J [secret]" (…4332), not for the id of the account.');
  });

  it('does not mind a platform that does not say whose the token is', async () => {
    const { result } = await verify([{ body: { name: 'Acme' } }, ...fine.slice(1)]);
    expect(summary(result)[2]).toBe('identity unknown');
  });

  const linked = { body: { id: PAGE, instagram_business_account: { id: INSTAGRAM } } };
  it.each([
    ['the Page of the account', PAGE, linked, 'identity ok'],
    ['a Page that shows no account', PAGE, { body: { id: PAGE } }, 'identity unknown'],
    ['a Page that may not be asked', PAGE, envelope(10), 'identity unknown'],
    ['the Page, and the id is the account itself', INSTAGRAM, linked, 'identity unknown'],
    ['another Page', '555', linked, 'identity failed (permission)'],
  ])('on Instagram: the token is for %s', async (_label, pageId, reply, line) => {
    const rest = line.includes('failed') ? [] : [lasting, listing([])];
    const { result } = await verify([me, reply, ...rest], { channel: 'instagram', pageId });
    expect(summary(result)[2]).toBe(line);
  });

  const ownId = `\`instagramId: "${INSTAGRAM}"\``;
  it.each([
    ['missing: it is told, to be written down', undefined, 'ok', '.', ownId],
    ['right', INSTAGRAM, 'ok', '.', ''],
    ['wrong', '17841400000000001', 'failed', ', not 17841400000000001.', ownId],
  ])('on Instagram: the own id of the account is %s', async (_label, instagramId, state, end, hint) => {
    const settings = { channel: 'instagram' as const, ...(instagramId !== undefined && { instagramId }) };
    const { result } = await verify([me, linked, lasting, listing([])], settings);
    expect(result[2]).toMatchObject({ about: 'identity', state });
    expect(result[2]?.detail).toBe(
      `The token is for "Acme", and the Instagram account that is linked to it is ${INSTAGRAM}${end}`,
    );
    expect(result[2]?.hint).toMatch(hint === '' ? /^$/ : new RegExp(hint));
  });

  it('asks graph.instagram.com in its own words, and nothing of what it does not tell', async () => {
    const account = { channel: 'instagram', login: 'instagram', pageId: INSTAGRAM } as const;
    const { result, requests } = await verify(
      [{ body: { user_id: INSTAGRAM, username: 'shop', id: '1' } }, listing([])],
      account,
    );
    expect(summary(result)).toEqual([
      'reachable ok',
      'token ok',
      'identity ok',
      'expiry unknown',
      'permissions ok',
      'rate unknown',
    ]);
    expect(requests[0]).toEqual({ path: 'me', query: { fields: 'user_id,username' } });
  });

  const until = (ms: number): number => (SINCE + ms) / 1000;
  it.each([
    ['invalid', { is_valid: false }, ['token failed (token)'], 'Make a new access token'],
    ['at its end', { expires_at: until(0) }, ['expiry failed (token)'], 'Make a new access token'],
    ['soon at its end', { expires_at: until(3 * DAY) }, ['expiry ok'], 'Less than 3 days are left'],
    ['good for long', { expires_at: until(60 * DAY) }, ['expiry ok'], ''],
    [
      'good for as long as its data',
      { expires_at: 0, data_access_expires_at: until(-DAY) },
      ['expiry ok', 'expiry failed (token)'],
      '',
    ],
    ['unclear', { expires_at: 'later' }, ['expiry unknown'], 'access token debugger'],
    [
      'without the permission to send',
      { expires_at: 0, scopes: [] },
      ['expiry ok', 'permissions failed (permission)'],
      '',
    ],
    ['without others', { expires_at: 0, scopes: ['pages_messaging'] }, ['expiry ok', 'permissions ok'], ''],
  ])('knows a token that is %s', async (_label, data, lines, hint) => {
    const rest = 'is_valid' in data ? [] : [listing([]), listing([])];
    const { result } = await verify([me, debug(data), ...rest]);
    expect(summary(result).slice(3, 3 + lines.length)).toEqual(lines);
    expect(result[3]?.hint).toContain(hint);
  });

  it('tells which permissions are missing', async () => {
    const { result } = await verify([
      me,
      debug({ expires_at: 0, scopes: ['pages_messaging'] }),
      listing([]),
      listing([]),
    ]);
    expect(result[4]?.hint).toBe('For reading conversations it lacks pages_manage_metadata and pages_read_engagement.');
  });

  it.each([
    [
      'a platform that refuses',
      { body: [{ code: 400, body: JSON.stringify(envelope(100, 'You must provide an app access token').body) }] },
    ],
    ['a part that was not finished', { body: [null] }],
    ['a batch that is refused', envelope(10)],
    ['an answer that is none', { body: {} }],
    ['a part of nonsense', { body: [{ code: 200, body: '[]' }] }],
    ['a lost answer', { fault: 'drop' as const }],
  ])('takes %s to ask about the token for no fault', async (_label, reply) => {
    const { result } = await verify([me, reply, listing([]), listing([])]);
    expect(summary(result)).toEqual([
      'reachable ok',
      'token ok',
      'identity ok',
      'expiry unknown',
      'permissions ok',
      'permissions ok',
      'rate unknown',
    ]);
  });

  it.each([
    [
      'conversations',
      [envelope(200), listing([])],
      ['permissions failed (permission)', 'permissions ok', 'rate unknown'],
      'pages_manage_metadata',
    ],
    ['conversations of a Page that sends too much', [envelope(80006)], ['rate failed (rate_limit)'], 'lower the pace'],
    ['conversations of a restricted Page', [envelope(368)], ['sending failed (restricted)'], 'Support Inbox'],
    [
      'conversations, for a reason of its own',
      [envelope(100), listing([])],
      ['permissions unknown', 'permissions ok', 'rate unknown'],
      '',
    ],
  ])('cannot read %s', async (_label, replies, lines, hint) => {
    const { result } = await verify([me, lasting, ...replies]);
    expect(summary(result).slice(5)).toEqual(lines);
    expect(result[5]?.hint).toContain(hint);
  });

  it('takes it for no fault that registered templates cannot be read', async () => {
    const { result } = await verify([me, lasting, listing([]), envelope(200)]);
    expect(summary(result).slice(5)).toEqual(['permissions ok', 'permissions unknown', 'rate unknown']);
    expect(result[6]?.hint).toContain('page_utility_messaging');
    const limited = await verify([me, lasting, listing([]), envelope(613)]);
    expect(summary(limited.result).slice(5)).toEqual(['permissions ok', 'rate failed (rate_limit)']);
  });

  it.each([
    ['little is used', { call_count: 12, total_time: 3 }, 'rate ok', '12 % of the allowance is used.'],
    ['all is used', { total_cputime: 100 }, 'rate failed (rate_limit)', '100 % of the allowance is used.'],
    [
      'a wait is told',
      { call_count: 99, estimated_time_to_regain_access: 19 },
      'rate failed (rate_limit)',
      '99 % of the allowance is used; it is free again in 19 minutes.',
    ],
  ])('says how much of the allowance is used: %s', async (_label, use, line, detail) => {
    const header = JSON.stringify({ [PAGE]: [{ type: 'messenger', ...use }] });
    const replies = [me, lasting, { ...listing([]), headers: { 'x-business-use-case-usage': header } }, listing([])];
    const { result } = await verify(replies);
    expect(summary(result).at(-1)).toBe(line);
    expect(result.at(-1)?.detail).toBe(detail);
  });

  const verified = async (
    sandbox: TestSandbox,
    settings: Parameters<TestSandbox['provider']>[0] = {},
  ): Promise<string[]> => summary(await sandbox.provider(settings).verify());

  it('is well in a sandbox', async () => {
    expect(await verified(await testSandbox({ page: { secret: 'shhh' } }))).toEqual([...GOOD, 'rate unknown']);
    const instagram = await testSandbox({ page: { channel: 'instagram' } });
    expect(await verified(instagram)).toEqual([...GOOD.slice(0, -1), 'rate unknown']);
    const { url, page } = instagram.sandbox;
    const own = { id: page.instagram.id, baseUrl: `${url}/graph.instagram.com`, login: 'instagram' } as const;
    expect(await verified(instagram, own)).toEqual([
      'reachable ok',
      'token ok',
      'identity ok',
      'expiry unknown',
      'permissions ok',
      'rate unknown',
    ]);
  });

  it.each([
    ['a token that has ended', { page: { tokenExpiresAt: '-1m' } }, 'token failed (token)'],
    [
      'a token that may not send',
      { page: { permissions: ['pages_read_engagement'] } },
      'permissions failed (permission)',
    ],
    ['a restricted Page', { page: { refuses: '10/1893063' } }, 'sending failed (restricted)'],
    ['an app at its limit', { page: { refuses: '4' } }, 'rate failed (rate_limit)'],
    ['an account at its limit', { limits: { usage: 100 } }, 'rate failed (rate_limit)'],
  ])('finds %s in a sandbox', async (_label, seed, line) => {
    expect(await verified(await testSandbox(seed))).toContain(line);
  });

  it('finds a wrong secret, a wrong token and another Page in a sandbox', async () => {
    const sandbox = await testSandbox({ page: { secret: 'shhh' } });
    expect(await verified(sandbox, { appSecret: 'another' })).toEqual(['token failed (token)']);
    expect(await verified(sandbox, { token: 'another' })).toEqual(['token failed (token)']);
    expect(await verified(sandbox, { id: '555' })).toContain('identity failed (permission)');
  });
});
