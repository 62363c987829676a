/** The sender record-owner (rows V2, V3 and V6), through the whole program and a Twilio on loopback. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteEngine } from '../../src/stores/sqlite-engine.js';
import { SqliteStore } from '../../src/stores/sqlite.js';
import { living, readyCampaign } from '../support/fixtures.js';
import { inside, type Inside } from '../support/process-inside.js';
import { TwilioServer } from '../support/twilio-server.js';
import { sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const ALICE = '+15005550006';
const BOB = '+15005550007';
const CONSENT = ['--accept-policy', '--confirm-count'];
const SEND = ['send', '--from', 'record-owner', '--template', 'pickup_ready', '--lang', 'en_US', '--json'];

let twilio: TwilioServer;
let workspace: TestWorkspace;
const atEnd = sharedEnd();

beforeAll(async () => {
  twilio = await TwilioServer.start();
  atEnd(() => twilio.close());
  const [own] = twilio.numbers;
  twilio.numbers = [ALICE, BOB].map((phone_number) => ({ ...own!, phone_number }));
  workspace = await testWorkspace(
    `accounts:
  alice-sms: ${account(ALICE)}
  bob-sms: ${account(BOB)}
owners: { alice: alice-sms, anna: alice-sms, bob: bob-sms }
`,
    atEnd,
  );
});

function pagecast<T = Record<string, unknown>>(...args: string[]): Promise<Inside<T>> {
  return inside<T>(workspace, args, env());
}

function env(): Record<string, string> {
  return { SID: twilio.accountSid, TOKEN: twilio.authToken };
}

const phone = (n: number): string => `+4915112345${String(n).padStart(3, '0')}`;
function account(id: string): string {
  return `{ provider: twilio, channel: sms, id: "${id}", accountSid: env:SID, authToken: env:TOKEN, pace: unlimited, url: "${twilio.url}" }`;
}

/** How often each of these people got a message, and from where. */
function senders(...people: number[]): (string[] | undefined)[] {
  return people.map((n) => twilio.received.get(phone(n))?.map(({ from }) => from));
}

let busy = 0;
/** While another process runs a campaign from a number. */
async function whileBusy<T>(number: string, work: () => Promise<T>): Promise<T> {
  const file = new SqliteDatabase(workspace.path('.pagecast/pagecast.db'));
  const [store, engine] = [new SqliteStore(file), new SqliteEngine(file, living)];
  const lease = (await engine.own(`sms/${number}`, Date.now()))!;
  busy += 1;
  const campaign = await readyCampaign(store, [], { id: `busy${busy}`, account: `sms/${number}` }, Date.now());
  await store.start(lease, campaign, Date.now());
  try {
    return await work();
  } finally {
    await store.conclude(lease, campaign, { state: 'finished' }, Date.now());
    await engine.release(lease, Date.now(), 0);
    file.connection.close();
  }
}

let sheets = 0;
/** A sheet of people, each with an owner. */
async function sheet(owners: readonly string[], from: number, name = 'Ann'): Promise<string> {
  sheets += 1;
  const rows = owners.map((owner, index) => `${phone(from + index)},${name},7,Main,${owner}`);
  await workspace.write(`s${sheets}.csv`, ['Phone,name,code,shop,Owner', ...rows, ''].join('\n'));
  return `s${sheets}.csv`;
}

describe('send --from record-owner', () => {
  it("sends each row from its owner's number, as one campaign for each number", async () => {
    const file = await sheet(['alice', 'bob', 'anna', 'bob'], 0);
    const plan = await pagecast<{ send: number; plans: object[] }>(...SEND, '--sheet', file, '--dry-run');
    expect(plan.json).toMatchObject({
      sender: 'record-owner',
      send: 4,
      plans: [
        { account: 'alice-sms', send: 2, sms: { segments: 2 } },
        { account: 'bob-sms', send: 2 },
      ],
    });
    expect(twilio.received.size).toBe(0);

    const sent = await pagecast<{ campaigns: object[] }>(...SEND, '--sheet', file, ...CONSENT, '4');
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.json.campaigns).toMatchObject([
      { account: 'alice-sms', state: 'finished', sent: 2, total: 2 },
      { account: 'bob-sms', state: 'finished', sent: 2, total: 2 },
    ]);
    expect([0, 1, 2, 3].map((n) => twilio.received.get(phone(n))?.map(({ from }) => from))).toEqual([
      [ALICE],
      [BOB],
      [ALICE],
      [BOB],
    ]);

    const again = await pagecast(...SEND, '--sheet', file, ...CONSENT, '4');
    expect([again.status, again.error?.code]).toEqual([6, 'ALREADY_SENT']);
  });

  it('needs the sum of all to be confirmed, and keeps nothing otherwise', async () => {
    const file = await sheet(['alice', 'bob'], 20);
    const { status, error } = await pagecast(...SEND, '--sheet', file, ...CONSENT, '1');
    expect([status, error?.code]).toEqual([6, 'COUNT_DIFFERS']);
    expect(twilio.received.has(phone(20))).toBe(false);
    const list = await pagecast<{ state: string }[]>('campaign', 'list', '--json');
    expect(list.json.filter((one) => one.state === 'ready')).toEqual([]);
  });

  it('names the rows of owners that it does not know; the others can be sent without them', async () => {
    const file = await sheet(['alice', 'carol', '', 'bob'], 40);
    const refused = await pagecast(...SEND, '--sheet', file, ...CONSENT, '2');
    expect(refused.status).toBe(3);
    expect(refused.json).toMatchObject({ ok: false, counts: { OWNER_UNKNOWN: 1, OWNER_MISSING: 1 } });
    const sent = await pagecast<{ campaigns: object[] }>(...SEND, '--sheet', file, '--skip-invalid', ...CONSENT, '2');
    expect(sent.json.campaigns).toMatchObject([
      { account: 'alice-sms', sent: 1, skipped: 2, skip: { invalid: 2 }, total: 3 },
      { account: 'bob-sms', sent: 1, total: 1 },
    ]);
  });

  it('writes to nobody twice who is in the sheet with two owners', async () => {
    await workspace.write(
      'twice.csv',
      `Phone,name,code,shop,Owner\n${phone(60)},Ann,7,Main,alice\n${phone(60)},Ann,7,Main,bob\n`,
    );
    const sent = await pagecast(...SEND, '--sheet', 'twice.csv', ...CONSENT, '1');
    expect(sent.status, sent.stderr).toBe(0);
    expect(twilio.received.get(phone(60))).toHaveLength(1);
  });

  it('is one sender where two accounts have one number', async () => {
    const same = await testWorkspace(
      `accounts:\n  alice-sms: ${account(ALICE)}\n  bob-sms: ${account(ALICE)}\nowners: { alice: alice-sms, bob: bob-sms }\n`,
    );
    const rows = [300, 301, 302, 303].map((n) => `${phone(n)},Ann,7,Main,${n % 2 === 0 ? 'alice' : 'bob'}`);
    await same.write('s.csv', ['Phone,name,code,shop,Owner', ...rows, ''].join('\n'));
    const args = [...SEND, '--sheet', 's.csv', ...CONSENT, '4'];
    const sent = await inside<{ campaigns: object[] }>(same, args, env());
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.json.campaigns).toMatchObject([{ account: 'alice-sms', sent: 4, total: 4 }]);
    expect(senders(300, 301, 302, 303)).toEqual([[ALICE], [ALICE], [ALICE], [ALICE]]);
    expect((await inside(same, args, env())).error?.code).toBe('ALREADY_SENT');
  });

  it('lets one that fails hold up nobody, tells how it goes on, and ends with the gravest; once more sends the rest', async () => {
    const file = await sheet(['alice', 'bob', 'alice', 'bob'], 310);
    twilio.behaviours.set(phone(310), 'landline');
    const args = [...SEND, '--sheet', file, ...CONSENT, '4'];
    const sent = await whileBusy(BOB, () => pagecast<{ campaigns: { campaign: string }[] }>(...args));
    const [, ready] = sent.json.campaigns;
    // That some failed is graver than that one is to be tried again.
    expect([sent.status, sent.error?.code]).toEqual([5, 'ACCOUNT_BUSY']);
    expect(sent.error?.hint).toContain(`pagecast campaign resume ${ready?.campaign ?? ''}`);
    expect(sent.json.campaigns).toMatchObject([
      { account: 'alice-sms', state: 'finished', failed: 1, sent: 1 },
      { account: 'bob-sms', state: 'ready', queued: 2 },
    ]);
    expect(senders(310, 311, 312, 313)).toEqual([undefined, undefined, [ALICE], undefined]);

    const again = await pagecast<{ campaigns: object[] }>(...args);
    expect(again.status, again.stderr).toBe(5);
    expect(again.json.campaigns).toMatchObject([
      { state: 'finished', failed: 1, sent: 1 },
      { campaign: ready?.campaign, state: 'finished', sent: 2 },
    ]);
    expect(senders(310, 311, 312, 313)).toEqual([undefined, [BOB], [ALICE], [BOB]]);
    expect((await pagecast(...args)).error?.code).toBe('ALREADY_SENT');
  });

  it('goes on with the campaigns of a send that died between its approvals', async () => {
    const file = await sheet(['alice', 'bob', 'alice'], 320);
    await workspace.write(
      'alice.csv',
      ['Phone,name,code,shop', ...[320, 322].map((n) => `${phone(n)},Ann,7,Main`), ''].join('\n'),
    );
    const own = SEND.map((arg) => (arg === 'record-owner' ? 'alice-sms' : arg));
    // Just what such a send leaves: one campaign is approved and not begun.
    await whileBusy(ALICE, () => pagecast(...own, '--sheet', 'alice.csv', ...CONSENT, '2'));
    const args = [...SEND.filter((arg) => arg !== '--json'), '--sheet', file, ...CONSENT, '3'];
    const sent = await pagecast(...args);
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.stderr).toMatch(/What leaves from alice-sms is campaign c\S+ already, which is ready: this goes on/);
    expect(senders(320, 321, 322)).toEqual([[ALICE], [BOB], [ALICE]]);
  });

  it('does not go on with what a person has paused', async () => {
    const file = await sheet(['alice', 'bob'], 330);
    const args = [...SEND, '--sheet', file, ...CONSENT, '2'];
    const { json } = await whileBusy(BOB, () => pagecast<{ campaigns: { campaign: string }[] }>(...args));
    await pagecast('campaign', 'pause', json.campaigns[1]!.campaign, '--json');
    const again = await pagecast<{ campaigns: object[] }>(...args);
    expect([again.status, again.json.campaigns[1]]).toMatchObject([6, { state: 'paused' }]);
    expect(senders(330, 331)).toEqual([[ALICE], undefined]);
  });

  it('has every row of the sheet in the ledger', async () => {
    // Alice has nobody to send to, and carol is no owner.
    const rows = [`0151,Ann,7,Main,alice`, `${phone(340)},Ann,7,Main,carol`, `${phone(341)},Ann,7,Main,bob`];
    await workspace.write('rows.csv', ['Phone,name,code,shop,Owner', ...rows, `12,Ann,7,Main,`, ''].join('\n'));
    const args = [...SEND, '--sheet', 'rows.csv', '--skip-invalid', ...CONSENT, '1'];
    const { status, json } = await pagecast<{ campaigns: { campaign: string; total: number }[] }>(...args);
    expect(status).toBe(0);
    expect(json.campaigns).toMatchObject([
      { account: 'alice-sms', state: 'finished', sent: 0, skip: { invalid: 1 }, total: 1 },
      { account: 'bob-sms', state: 'finished', sent: 1, skip: { invalid: 2 }, total: 3 },
    ]);
    const listed: number[] = [];
    for (const { campaign } of json.campaigns) {
      const rowsOf = await pagecast<{ row: number }[]>('message', 'list', '--campaign', campaign, '--json');
      listed.push(...rowsOf.json.map(({ row }) => row));
    }
    expect(listed.sort()).toEqual([2, 3, 4, 5]);
  });

  it('shows the messages, the senders and the time before anything is sent', async () => {
    const file = await sheet(['bob', 'alice', 'bob', 'alice'], 350, 'Zoe');
    const args = ['plan', ...SEND.slice(1, -1), '--sheet', file, '--at', 'in 2h', '--zone', 'Europe/Berlin'];
    const { stdout } = await pagecast(...args);
    expect(stdout.match(/Hi Zoe, your order is ready/g)).toHaveLength(3);
    expect([2, 3, 4].filter((row) => !stdout.includes(`(row ${row})`))).toEqual([]);
    expect(stdout).toContain('would go from alice-sms to 2 of 2 rows');
    expect(stdout.match(/is a US 10-digit number/g)).toHaveLength(2);
    expect(stdout).toMatch(/It goes out at\n.*Europe\/Berlin/);
    const { json } = await pagecast(...args, '--json');
    expect(json).toMatchObject({ ok: true, send: 4, counts: {}, findings: [], truncated: false });
  });

  it('shows no cell in the log of a CI job, and gives it the results of all campaigns', async () => {
    await workspace.write(
      'ci.csv',
      `Phone,name,code,shop,Owner\n0151 987 65432,Ann,7,Main,alice\n${phone(360)},Ann,7,Main,Secret Person\n`,
    );
    const ci = { ...env(), GITHUB_ACTIONS: 'true', GITHUB_OUTPUT: workspace.path('outputs') };
    const args = SEND.filter((arg) => arg !== '--json');
    const refused = await inside(workspace, [...args, '--sheet', 'ci.csv'], ci);
    expect(refused.status).toBe(3);
    expect(refused.stdout).toContain('row 3');
    expect(refused.stdout + refused.stderr).not.toMatch(/Secret Person|65432/);
    expect(refused.stderr).toMatch(/^::error file=.*ci\.csv,line=3,title=OWNER_UNKNOWN::/m);

    const file = await sheet(['alice', 'bob'], 361, 'Hidden');
    const sent = await inside(workspace, [...args, '--sheet', file, ...CONSENT, '2'], ci);
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.stdout + sent.stderr).not.toContain('Hidden');
    expect(await readFile(ci.GITHUB_OUTPUT, 'utf8')).toMatch(/state<<\S+\nfinished,finished\n/);
  });

  it.each([
    [
      'a template that is not for sms (V2)',
      ['--template', 'order_update', '--sheet', 'psid.csv'],
      'CHANNEL_DIFFERS',
      2,
    ],
    ['user IDs instead of a sheet', ['--to', phone(1)], 'USAGE', 2],
    ['no sheet', [], 'ANSWER_NEEDED', 2],
  ])('refuses %s', async (_, args, code, status) => {
    const result = await pagecast(...SEND, ...args, ...CONSENT, '1');
    expect([result.status, result.error?.code]).toEqual([status, code]);
  });

  it('refuses user IDs of a Page in the column for phones (V3)', async () => {
    await workspace.write('psid.csv', 'Phone,name,code,shop,Owner\n76429258490539471,Ann,7,Main,alice\n');
    const { status, json } = await pagecast(...SEND, '--sheet', 'psid.csv', ...CONSENT, '1');
    expect(status).toBe(3);
    expect(json).toMatchObject({ counts: { CHANNEL_MISMATCH: 1 } });
  });

  it('keeps timed campaigns for a worker', async () => {
    const file = await sheet(['alice', 'bob'], 80);
    const timed = [...SEND, '--sheet', file, '--at', 'in 2h', '--zone', 'UTC', ...CONSENT, '2'];
    const { status, json } = await pagecast<{ campaigns: object[] }>(...timed);
    expect(status).toBe(0);
    expect(json.campaigns).toMatchObject([{ state: 'scheduled' }, { state: 'scheduled' }]);
  });
});

describe('sheet --from record-owner', () => {
  it('has a column for the owner, which is checked', async () => {
    const template = ['--template', 'pickup_ready', '--lang', 'en_US', '--from', 'record-owner', '--json'];
    const made = await pagecast('sheet', 'new', ...template, '-o', 'people.xlsx');
    expect(made.json).toMatchObject({ header: ['Phone', 'name', 'code', 'shop', 'Owner'] });
    const file = await sheet(['alice', 'dave'], 100);
    const checked = await pagecast('sheet', 'check', file, ...template);
    expect(checked.json).toMatchObject({ recipients: 1, counts: { OWNER_UNKNOWN: 1 } });
    const without = await pagecast(
      'sheet',
      'check',
      file,
      ...template.filter((arg) => arg !== 'record-owner' && arg !== '--from'),
      '--from',
      'alice-sms',
    );
    expect(without.json).toMatchObject({ ok: false, counts: { HEADER_CHANGED: 1 } });
  });
});

describe('message send --from record-owner', () => {
  it("leaves from the owner's number, by a template for sms only", async () => {
    const to = ['message', 'send', '--from', 'record-owner', '--owner', 'bob', '--to', phone(200), '--json'];
    const template = [
      '--template',
      'pickup_ready',
      '--lang',
      'en_US',
      ...['name=Ann', 'code=7', 'shop=Main'].flatMap((pair) => ['--var', pair]),
    ];
    expect(await pagecast(...to, ...template)).toMatchObject({ status: 0, json: { state: 'sent' } });
    expect(twilio.received.get(phone(200))).toMatchObject([{ from: BOB }]);
    expect(await pagecast(...to, '--text', 'Hello')).toMatchObject({ status: 6, error: { code: 'POLICY_FORBIDS' } });
    expect(await pagecast(...to.map((arg) => (arg === 'bob' ? 'carol' : arg)), ...template)).toMatchObject({
      error: { code: 'ACCOUNT_UNKNOWN' },
    });
  });

  it('shows no number in the log of a CI job', async () => {
    const from = ['message', 'send', '--from', 'record-owner', '--owner', 'bob', '--to', '0151 987 65432'];
    const template = ['--template', 'pickup_ready', '--lang', 'en_US', '--var', 'name=Ann', '--var', 'code=7'];
    const args = [...from, ...template, '--var', 'shop=Main'];
    const { status, stdout, stderr } = await inside(workspace, args, { ...env(), GITHUB_ACTIONS: 'true' });
    expect([status, stdout + stderr]).toEqual([3, expect.not.stringContaining('65432')]);
    expect((await pagecast(...args)).stdout).toContain('65432');
  });
});
