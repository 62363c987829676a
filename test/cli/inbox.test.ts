/** What `pagecast inbox` says where nobody can be asked; the dialogue itself is in test/e2e/inbox.test.ts. */
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { personId, sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

let workspace: TestWorkspace;
const atEnd = sharedEnd();
const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();
const [JUST, SHUT, OUT, BACK] = [1, 30, 3, 2].map((hours, index) => [personId(index), hoursAgo(hours)] as const);

beforeAll(async () => {
  workspace = await testWorkspace(
    [
      'accounts:',
      '  page: { provider: sandbox, channel: messenger, id: "102938475601928" }',
      '  alice: { provider: twilio, channel: sms, id: "+15550001111", accountSid: env:SID, authToken: env:TOKEN }',
      '',
    ].join('\n'),
    atEnd,
  );
  const people = [JUST, SHUT, OUT, BACK].map((one) => one!.join(','));
  await workspace.write('windows.csv', ['user_id,opened_at', ...people, ''].join('\n'));
  await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'page']);
  await workspace.write('out.csv', `user_id,opted_out_at\n${OUT![0]},${hoursAgo(1)}\n${BACK![0]},${hoursAgo(20)}\n`);
  const imported = await inside(workspace, ['optout', 'import', 'out.csv', '--account', 'page']);
  expect(imported.status, imported.stderr).toBe(0);
});

interface Listed {
  userId: string;
  opener: string;
  openedAt: string;
  window: { state: string; closesAt: string } | null;
  optedOutAt: string | null;
  answerable: boolean;
}

function inbox(...args: string[]): Promise<Inside<{ account: string; conversations: Listed[] }>> {
  return inside(workspace, ['inbox', ...args]);
}

describe('inbox --json', () => {
  it('prints the recent conversations, the latest first', async () => {
    const { status, json, stderr } = await inbox('--account', 'page', '--json');
    expect([status, stderr]).toEqual([0, '']);
    expect(json.account).toBe('page');
    expect(
      json.conversations.map((one) => [one.userId, one.window?.state, one.optedOutAt !== null, one.answerable]),
    ).toEqual([
      [JUST![0], 'open', false, true],
      [BACK![0], 'open', true, true],
      [OUT![0], 'open', true, false],
      [SHUT![0], 'closed', false, true],
    ]);
    expect(json.conversations[0]).toEqual({
      userId: JUST![0],
      opener: 'message',
      openedAt: JUST![1],
      // Two minutes are the margin.
      window: { state: 'open', closesAt: new Date(Date.parse(JUST![1]) + 24 * 3_600_000 - 120_000).toISOString() },
      optedOutAt: null,
      answerable: true,
    });
  });

  it('prints as many as are asked for', async () => {
    const { json } = await inbox('--account', 'page', '--limit', '2', '--json');
    expect(json.conversations.map(({ userId }) => userId)).toEqual([JUST![0], BACK![0]]);
  });

  it('has nobody in it while nobody is known, and needs no secrets', async () => {
    const { status, json } = await inbox('--account', 'alice', '--json');
    expect([status, json]).toEqual([0, { account: 'alice', conversations: [] }]);
  });
});

describe('inbox', () => {
  it('names what to use where there is no terminal', async () => {
    const { status, stdout, stderr } = await inbox('--account', 'page');
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain('ANSWER_NEEDED');
    expect(stderr).toContain('pagecast message send');
    expect(stderr).toContain('pagecast inbox --json');
  });

  it.each([
    ['no account where there are several', ['--json'], 'ANSWER_NEEDED', '--account with one of: page, alice'],
    ['an unknown account', ['--account', 'nobody', '--json'], 'ACCOUNT_UNKNOWN', ''],
    ['a limit of none', ['--account', 'page', '--limit', '0', '--json'], 'USAGE', ''],
    ['a limit beyond all measure', ['--account', 'page', '--limit', '501', '--json'], 'USAGE', ''],
    ['a limit that is none', ['--account', 'page', '--limit', 'all', '--json'], 'USAGE', ''],
  ])('refuses %s', async (_what, args, code, hint) => {
    const { status, stdout, error } = await inbox(...args);
    expect([status, stdout, error?.code]).toEqual([2, '', code]);
    expect(error?.hint).toContain(hint);
  });
});
