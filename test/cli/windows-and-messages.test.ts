/** What `window` and `message` print, through the whole program and the embedded sandbox. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { personId, sharedEnd, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

let workspace: TestWorkspace;

/** The id of the sandbox's Page. */
const PAGE = '100000000000001';

/** Sends the starter template to so many people. @returns the campaign's id */
async function sendTo(people: number): Promise<string> {
  await workspace.write('windows.csv', windowLog(people));
  await inside(workspace, ['window', 'import', 'windows.csv']);
  const sent = await inside<{ campaign: string }>(workspace, [
    ...['send', '--template', 'order_update', '--lang', 'en_US', '--json', '--from', 'sandbox', '--again'],
    ...Array.from({ length: people }, (_, index) => ['--to', personId(index)]).flat(),
    ...['--var', 'name=Ann', '--var', 'order_no=A-1', '--var', 'date=1 Dec'],
    ...['--accept-policy', '--confirm-count', String(people)],
  ]);
  expect(sent.status, sent.stderr).toBe(0);
  return sent.json.campaign;
}

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

  it('reads webhooks of an Instagram account that goes by the id of its Page', async () => {
    const own = '17841400455970123';
    const insta = '  insta: { provider: graph, channel: instagram, id: "102938475601928", token: env:T';
    const linked = await testWorkspace(`accounts:\n${insta} }\n`);
    const at = Date.now() - 3_600_000;
    const item = {
      sender: { id: personId(0) },
      recipient: { id: own },
      timestamp: at,
      message: { mid: 'm', text: 'x' },
    };
    const body = { object: 'instagram', entry: [{ id: own, time: at, messaging: [item] }] };
    await linked.write('log.jsonl', JSON.stringify(body));
    const load = ['window', 'import', 'log.jsonl', '--account', 'insta', '--json'];
    const before = await inside(linked, load);
    expect([before.status, before.error?.hint]).toEqual([3, expect.stringContaining('`instagramId:` of insta')]);
    await linked.write('pagecast.yaml', `accounts:\n${insta}, instagramId: "${own}" }\n`);
    const after = await inside(linked, load);
    expect([after.status, after.json], after.stderr).toMatchObject([0, { events: 1, moved: 1, otherAccounts: [] }]);
  });

  it('opens windows by what CAMS pushed, and sends receipts to their own command', async () => {
    const at = Date.now() - 3_600_000;
    const inbound = { MessageId: 'x', From: personId(7), To: PAGE, Type: 'TEXT', Message: 'hi', 'Timestamp ': at };
    const receipt = { MessageId: 'y', From: PAGE, To: personId(7), Status: 'Read', Timestamp: at };
    await workspace.write('push.json', JSON.stringify([inbound, receipt]));
    const { status, stdout } = await inside(workspace, ['window', 'import', 'push.json']);
    expect(status).toBe(0);
    expect(stdout).toBe(
      '1 opener read, 1 window opened or moved forward for sandbox.\nPassed over, because they open no window: 1 receipt.\n',
    );
    await workspace.write('receipts.json', JSON.stringify([receipt]));
    const wrong = await inside(workspace, ['window', 'import', 'receipts.json']);
    expect(wrong.status).toBe(3);
    expect(wrong.stderr).toContain('pagecast message import-receipts receipts.json --account sandbox');
  });

  it('tells what opened somebody’s window, when it shuts, and whether they have opted out', async () => {
    const user = personId(30);
    const openedAt = Date.now() - 3_600_000;
    const rows = [
      `${user},${new Date(openedAt - 60_000).toISOString()},message`,
      `${user},${new Date(openedAt).toISOString()},reaction`,
    ];
    await workspace.write('windows.csv', ['user_id,opened_at,opener', ...rows].join('\n'));
    await inside(workspace, ['window', 'import', 'windows.csv']);
    const { stdout } = await inside(workspace, ['window', 'show', user]);
    expect(stdout).toMatch(/^open for another 22 h .*, until 20.*; opened by reaction at 20.*\nOPENER/);
    const { json } = await inside(workspace, ['window', 'show', user, '--json']);
    const closesAt = openedAt + 24 * 3_600_000 - 120_000;
    expect(json).toMatchObject({ state: 'open', opener: 'reaction', openedAt, closesAt, optedOutAt: null });

    await inside(workspace, ['optout', 'add', user]);
    const out = await inside(workspace, ['window', 'show', user]);
    expect(out.stdout).toMatch(/^opted out since 20.*: only what they have written since then may be answered$/m);
    const since = expect.any(Number) as number;
    expect((await inside(workspace, ['window', 'show', user, '--json'])).json).toMatchObject({ optedOutAt: since });
    const unknown = await inside(workspace, ['window', 'show', personId(31), '--json']);
    expect(unknown.json).toMatchObject({ state: 'unknown', opener: null, openedAt: null, closesAt: null });
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
    const campaign = await sendTo(1);
    const table = async (file: string, ...more: string[]): Promise<string[]> => {
      expect((await inside(workspace, ['message', 'list', '--csv', file, ...more])).status).toBe(0);
      return (await readFile(workspace.path(file), 'utf8')).trim().split('\r\n');
    };
    const [header, row] = await table('one.csv', '--campaign', campaign);
    expect(header).toMatch(/,settled,mode,flow,expires,name,order_no,date$/);
    expect(row).toMatch(/,Ann,A-1,1 Dec$/);
    expect((await table('all.csv'))[0]).toMatch(/,settled,mode,flow,expires,values$/);
    const again = await inside(workspace, ['message', 'list', '--csv', 'all.csv', '--json']);
    expect(again.error).toMatchObject({ code: 'FILE_EXISTS', hint: expect.stringContaining('--force') as string });
  });
});

describe('message import-receipts', () => {
  interface Listed {
    user_id: string;
    message_id: string;
    receipt: { kind: string; at: string; error: { code: string } | null } | null;
  }
  const AT = Date.now() - 1000;
  const instant = new Date(AT).toISOString();

  /** What CAMS would push of a message. */
  const status = (Status: string, { user_id, message_id }: Listed, more: object = {}): object => ({
    ...{ MessageId: message_id, From: PAGE, To: user_id, Timestamp: AT, Status, TaskId: message_id },
    ...more,
  });

  async function imported(lines: readonly object[], ...more: string[]): Promise<Inside<Record<string, unknown>>> {
    await workspace.write('receipts.jsonl', lines.map((line) => JSON.stringify(line)).join('\n'));
    return inside(workspace, ['message', 'import-receipts', 'receipts.jsonl', ...more]);
  }

  async function listed(...more: string[]): Promise<Listed[]> {
    return (await inside<Listed[]>(workspace, ['message', 'list', '--json', ...more])).json;
  }

  it('says what came of each message, everywhere that tells of them', async () => {
    const campaign = await sendTo(4);
    const of = ['--campaign', campaign];
    const [read, delivered, failed] = (await listed(...of)) as [Listed, Listed, Listed];
    const reason = { ErrorCode: '131026', ErrorDescription: 'Message undeliverable' };
    const { status: code, stdout } = await imported([
      status('Sent', read),
      status('Read', read),
      status('Delivered', read),
      status('Delivered', delivered),
      status('Failed', failed, reason),
      status('Delivered', { ...read, message_id: 'of another program' }),
    ]);
    expect(code).toBe(0);
    expect(stdout).toBe(
      '6 receipts read, 5 of them of messages from sandbox.\n1 receipt belongs to no message that was sent from here.\n',
    );

    const kept = await listed(...of);
    expect(kept.map(({ receipt }) => receipt)).toEqual([
      { kind: 'read', at: instant, error: null },
      { kind: 'delivered', at: instant, error: null },
      { kind: 'undelivered', at: instant, error: { code: 'cams:131026', message: 'Message undeliverable' } },
      null,
    ]);
    expect(await listed(...of, '--receipt', 'undelivered')).toEqual([kept[2]]);
    const table = (await inside(workspace, ['message', 'list', ...of])).stdout.split('\n');
    expect(table[0]).toMatch(/ STATE +RECEIPT +DETAIL +WHEN$/);
    expect(table[3]).toMatch(/ sent +undelivered +cams:131026 Message undeliverable /);
    await inside(workspace, ['message', 'list', ...of, '--csv', 'receipts.csv']);
    const csv = (await readFile(workspace.path('receipts.csv'), 'utf8')).split('\r\n');
    expect(csv[0]).toContain(',message_id,receipt,receipt_at,receipt_error,receipt_error_text,');
    expect(csv[3]).toContain(`,undelivered,${instant},cams:131026,Message undeliverable,`);

    const show = ['campaign', 'show', campaign];
    expect((await inside(workspace, [...show, '--json'])).json).toMatchObject({
      sent: 4,
      receipts: { read: 1, delivered: 1, undelivered: 1 },
      undelivered: { 'cams:131026': 1 },
      errors: {},
    });
    const told = 'Receipts: 2 delivered (1 read), 1 not delivered, none for 1.';
    expect((await inside(workspace, show)).stdout).toContain(told);
    const report = (await inside(workspace, ['campaign', 'report', campaign])).stdout;
    expect(report).toContain(told);
    expect(report).toContain('The message could not be delivered to this person. [cams:131026]');
    expect((await inside(workspace, ['campaign', 'report', campaign, '--json'])).json).toMatchObject({
      received: { delivered: 2, read: 1, undelivered: 1, none: 1, reasons: [{ code: 'cams:131026', count: 1 }] },
    });
  });

  it('prints a document with --json, and the exit status tells of problems', async () => {
    const campaign = await sendTo(1);
    const [message] = (await listed('--campaign', campaign)) as [Listed];
    const { status: code, json } = await imported([status('Read', message), { MessageId: 'x' }], '--json');
    expect(code).toBe(3);
    expect(json).toEqual({
      file: 'receipts.jsonl',
      account: 'sandbox',
      ok: false,
      ...{ receipts: 1, matched: 1, settled: 0, unmatched: 0, problems: 1 },
      listed: [{ line: 2, code: 'NOT_A_RECEIPT', text: expect.any(String) as string }],
      ignored: {},
      otherAccounts: [],
    });
  });

  it.each<[string, object, RegExp]>([
    [
      'of another account',
      status('Read', { user_id: personId(0), message_id: 'x', receipt: null }, { From: '99999' }),
      /--account/,
    ],
    [
      'of what people wrote',
      { MessageId: 'x', From: personId(0), To: PAGE, Type: 'TEXT', Timestamp: AT },
      /pagecast window import/,
    ],
    ['of something else', { hello: 'world' }, /ChatAppStatus bodies of CAMS/],
  ])('refuses a log %s, and says what to do', async (_, line, hint) => {
    const { status: code, error } = await imported([line], '--json');
    expect(code).toBe(3);
    expect(error).toMatchObject({ code: 'IMPORT_INVALID', hint: expect.stringMatching(hint) as string });
  });
});
