/** `pagecast optout` through the whole program: who is left out, and what is told of it. */
import { readFile } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { personId, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

interface Person {
  userId: string;
  since: string | null;
}

let workspace: TestWorkspace;
beforeEach(async () => {
  workspace = await testWorkspace('accounts: {}\n');
});

const optout = <T = Record<string, unknown>>(...args: string[]): Promise<Inside<T>> =>
  inside<T>(workspace, ['optout', ...args]);

const out = async (): Promise<string[]> => (await optout<Person[]>('list', '--json')).json.map(({ userId }) => userId);

/** Whom a plan would leave out, by reason. */
async function skipped(people: number): Promise<Record<string, number>> {
  await workspace.write('windows.csv', windowLog(people));
  await inside(workspace, ['window', 'import', 'windows.csv']);
  const plan = await inside<{ skip: Record<string, number> }>(workspace, [
    ...['plan', '--template', 'order_update', '--lang', 'en_US', '--from', 'sandbox', '--json'],
    ...Array.from({ length: people }, (_, index) => ['--to', personId(index)]).flat(),
    ...['--var', 'name=Ann', '--var', 'order_no=A-1', '--var', 'date=1 Dec'],
  ]);
  return plan.json.skip;
}

describe('optout add and remove', () => {
  it('leaves people out of what is planned, and lets them in again', async () => {
    const added = await optout('add', personId(0), personId(1), personId(1), '--account', 'sandbox');
    expect([added.status, added.stdout]).toEqual([0, '2 people have opted out of sandbox.\n']);
    expect(await skipped(3)).toMatchObject({ opted_out: 2 });

    const again = await optout('add', personId(0), personId(2));
    expect(again.stdout).toBe('2 people have opted out of sandbox; 1 of them had already.\n');
    const known = await optout('add', personId(2));
    expect(known.stdout).toBe('This person had opted out of sandbox before; nothing was changed.\n');

    const removed = await optout('remove', personId(0), personId(4));
    expect(removed.stdout).toBe('2 people may be written to by sandbox again; 1 of them had not opted out.\n');
    expect(await out()).toEqual([personId(1), personId(2)]);
    expect(await skipped(3)).toMatchObject({ opted_out: 2 });
  });

  it('says as JSON what holds by now', async () => {
    const { json } = await optout('add', personId(0), '--json');
    const since = expect.stringMatching(/^20.*Z$/) as string;
    expect(json).toEqual({
      account: 'sandbox',
      changed: 1,
      people: [{ userId: personId(0), optedOut: true, since }],
    });
    const back = await optout('remove', personId(0), '--json');
    expect(back.json).toMatchObject({ changed: 1, people: [{ optedOut: false, since: null }] });
  });

  it('lets somebody in again whose opt-out is dated by a clock that is ahead', async () => {
    const ahead = new Date(Date.now() + 4 * 60_000).toISOString();
    await workspace.write('list.csv', `user_id,opted_out_at\n${personId(0)},${ahead}\n`);
    await optout('import', 'list.csv');
    expect(await out()).toEqual([personId(0)]);
    await optout('remove', personId(0));
    expect(await out()).toEqual([]);
    const again = await optout('remove', personId(0), personId(1));
    expect(again.stdout).toBe('All 2 people could be written to by sandbox before; nothing was changed.\n');
  });

  it.each([
    ['a phone number', ['+4915112345678'], 'CHANNEL_DIFFERS', /ID 1 \(…5678\) is no user ID/],
    [
      'what is no id, after one that is',
      [personId(0), 'Ann'],
      'USAGE',
      /^ID 2 \(…Ann\) is no user ID; nothing was changed\.$/,
    ],
    ['an account that is not there', [personId(0), '--account', 'acme'], 'ACCOUNT_UNKNOWN', /acme/],
  ])('refuses %s, and changes nothing', async (_, args, code, says) => {
    const { status, error } = await optout('add', ...args, '--json');
    expect([status, error?.code]).toEqual([2, code]);
    expect(error?.message).toMatch(says);
    expect(await out()).toEqual([]);
  });
});

describe('optout list', () => {
  it('writes a file that optout import takes, elsewhere too', async () => {
    await optout('add', personId(0), personId(1));
    const { stdout } = await optout('list');
    expect(stdout).toMatch(new RegExp(`^USER +SINCE +BY\n${personId(0)} +20.* +optout add\n`));
    const written = await optout('list', '--csv', 'optouts.csv', '--json');
    expect(written.json).toEqual({ file: workspace.path('optouts.csv'), people: 2 });
    expect((await optout('list', '--csv', 'optouts.csv', '--json')).error?.code).toBe('FILE_EXISTS');
    const csv = await readFile(workspace.path('optouts.csv'), 'utf8');

    const before = (await optout<Person[]>('list', '--json')).json;
    workspace = await testWorkspace('accounts: {}\n');
    await workspace.write('optouts.csv', csv);
    expect((await optout('import', 'optouts.csv')).status).toBe(0);
    const after = (await optout<Person[]>('list', '--json')).json;
    expect(after).toEqual(before.map((one) => ({ ...one, source: 'import' })));
  });

  it('says so when nobody has', async () => {
    const { stdout, stderr } = await optout('list');
    expect([stdout, stderr]).toEqual(['', 'Nobody has opted out of sandbox.\n']);
    expect((await optout('list', '--json')).json).toEqual([]);
  });
});

describe('optout import', () => {
  it('tells of each line that it cannot use, and takes the others', async () => {
    await workspace.write('list.txt', `${personId(0)}\nAnn\n${personId(1)}\n+4915112345678\n`);
    const { status, json } = await optout('import', 'list.txt', '--json');
    expect(status).toBe(3);
    expect(json).toEqual({
      ...{ file: 'list.txt', account: 'sandbox', ok: false, people: 2, changed: 2, problems: 2 },
      listed: [
        { line: 2, code: 'ID_MALFORMED', text: expect.any(String) as string },
        { line: 4, code: 'ID_OF_ANOTHER_CHANNEL', text: expect.any(String) as string },
      ],
    });
    expect(await out()).toEqual([personId(0), personId(1)]);
  });

  it('keeps since when somebody has opted out, when a list without dates is imported again', async () => {
    await workspace.write('dated.csv', `user_id,opted_out_at\n${personId(0)},2026-01-01T00:00:00Z\n`);
    await workspace.write('list.txt', `${personId(0)}\n${personId(1)}\n`);
    expect((await optout('import', 'dated.csv')).stdout).toBe(
      '1 person read, 1 of them had not opted out of sandbox before.\n',
    );
    expect((await optout('import', 'list.txt', '--json')).json).toMatchObject({ people: 2, changed: 1 });
    const [first] = (await optout<Person[]>('list', '--json')).json;
    expect(first).toMatchObject({ userId: personId(0), since: '2026-01-01T00:00:00.000Z' });
  });

  it('refuses a folder by its name', async () => {
    const { status, error } = await optout('import', '.', '--json');
    expect([status, error]).toMatchObject([
      2,
      {
        code: 'FILE_UNREADABLE',
        message: `${workspace.path('.')} cannot be read (EISDIR).`,
        hint: expect.stringContaining('folder') as string,
      },
    ]);
  });

  it('refuses a file that names nobody', async () => {
    await workspace.write('list.csv', 'id,date\n1,2\n');
    const { status, error, json } = await optout('import', 'list.csv', '--json');
    expect([status, error?.code, json]).toMatchObject([3, 'IMPORT_INVALID', { people: 0, problems: 1 }]);
  });
});
