/** The sender record-owner (rows V2, V3 and V6), through the whole program and a Twilio on loopback. */
import { beforeAll, describe, expect, it } from 'vitest';
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
  const account = (id: string): string =>
    `{ provider: twilio, channel: sms, id: "${id}", accountSid: env:SID, authToken: env:TOKEN, pace: unlimited, url: "${twilio.url}" }`;
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
  return inside<T>(workspace, args, { SID: twilio.accountSid, TOKEN: twilio.authToken });
}

const phone = (n: number): string => `+4915112345${String(n).padStart(3, '0')}`;
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
});
