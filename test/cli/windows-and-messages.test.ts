/** What `window` and `message` print, through the whole program and the embedded sandbox. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { inside } from '../support/process-inside.js';
import { personId, sharedEnd, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

let workspace: TestWorkspace;

const atEnd = sharedEnd();
beforeAll(async () => {
  workspace = await testWorkspace('accounts: {}\n', atEnd);
});

describe('window', () => {
  it('says what to do when nothing is known yet', async () => {
    const { status, stdout, stderr } = await inside(workspace, ['window', 'forecast']);
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('pagecast window import FILE --account sandbox');
  });

  it('says which account a log was read for, and whose events it left out', async () => {
    await workspace.write('windows.csv', windowLog(1));
    const { stdout } = await inside(workspace, ['window', 'import', 'windows.csv']);
    expect(stdout).toBe('1 opener read, 1 window opened or moved forward for sandbox.\n');
    const messaging = [
      { sender: { id: personId(0) }, recipient: { id: '99999' }, timestamp: 1_790_000_000_000, message: { text: 'x' } },
    ];
    await workspace.write(
      'log.jsonl',
      JSON.stringify({ object: 'page', entry: [{ id: '99999', time: 1_790_000_000_000, messaging }] }),
    );
    const foreign = await inside(workspace, ['window', 'import', 'log.jsonl']);
    expect(foreign.status).toBe(3);
    expect(foreign.stdout).toContain('Passed over: 1 of another account (id 99999); sandbox is 100000000000001.');
    expect(foreign.stderr).toContain('--account');
  });

  it('blames no line for a file that holds nothing', async () => {
    await workspace.write('empty.csv', '');
    const { status, stderr } = await inside(workspace, ['window', 'import', 'empty.csv']);
    expect(status).toBe(3);
    expect(stderr).not.toMatch(/line 0|the others were/);
  });
});

describe('message list', () => {
  it('gives each variable of a campaign its column', async () => {
    await workspace.write('windows.csv', windowLog(1));
    await inside(workspace, ['window', 'import', 'windows.csv']);
    const values = ['--var', 'name=Ann', '--var', 'order_no=A-1', '--var', 'date=1 Dec'];
    const consent = ['--accept-policy', '--confirm-count', '1'];
    const to = ['--from', 'sandbox', '--to', personId(0), ...values, ...consent];
    const sent = await inside<{ campaign: string }>(workspace, [
      ...['send', '--template', 'order_update', '--lang', 'en_US', '--json'],
      ...to,
    ]);
    expect(sent.status, sent.stderr).toBe(0);
    const table = async (file: string, ...more: string[]): Promise<string[]> => {
      expect((await inside(workspace, ['message', 'list', '--csv', file, ...more])).status).toBe(0);
      return (await readFile(workspace.path(file), 'utf8')).trim().split('\r\n');
    };
    const [header, row] = await table('one.csv', '--campaign', sent.json.campaign);
    expect(header).toMatch(/,settled,name,order_no,date$/);
    expect(row).toMatch(/,Ann,A-1,1 Dec$/);
    expect((await table('all.csv'))[0]).toMatch(/,settled,values$/);
    const again = await inside(workspace, ['message', 'list', '--csv', 'all.csv', '--json']);
    expect(again.error).toMatchObject({ code: 'FILE_EXISTS', hint: expect.stringContaining('--force') as string });
  });
});
