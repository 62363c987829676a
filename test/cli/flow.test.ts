/** `pagecast flow` through the whole program: what is listed and checked, and messages that are really sent to a sandbox. */
import { mkdir, rm } from 'node:fs/promises';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { storeOf } from '../support/listener.js';
import { until } from '../support/process.js';
import { inside, type Inside } from '../support/process-inside.js';
import { testSandbox, type TestSandbox } from '../support/sandbox-harness.js';
import { personId, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const PAGE = '102938475601928';
const ACCOUNT = `sandbox:messenger/${PAGE}`;
const UNREACHABLE = personId(9);
const BODY =
  'Your order {{order_no}} was handed to {{carrier}} today and should reach you by {{date}}, {{name}}. Thank you!';
const SEED: SeedInput = {
  page: { id: PAGE },
  users: [{ id: UNREACHABLE, behaviour: 'unavailable' }],
  templates: [{ name: 'order_shipped', language: 'en_US', parameter_format: 'NAMED', body: BODY }],
};
const SHIPPED = `type: notification
trigger: { call: true }
from: acme
template: order_shipped
values: { carrier: Blue Van }
`;
const HOURS = 'type: auto-reply\ntrigger: { keyword: [hours] }\nfrom: acme\ntext: We are open from 9 to 5.\n';
const VALUES = ['--var', 'order_no=A-1', '--var', 'date=4 Dec', '--var', 'name=Ann'];

let workspace: TestWorkspace;
let platform: TestSandbox;

beforeEach(async () => {
  platform = await testSandbox(SEED);
  const { url } = platform.sandbox;
  workspace = await testWorkspace(
    `accounts:\n  acme: { provider: sandbox, channel: messenger, id: "${PAGE}", url: "${url}" }\n`,
  );
  await mkdir(workspace.path('flows'));
});

const flow = <T = Record<string, unknown>>(...args: string[]): Promise<Inside<T>> =>
  inside<T>(workspace, ['flow', ...args]);

const write = (name: string, text: string): Promise<string> => workspace.write(`flows/${name}.yaml`, text);

describe('flow list and check', () => {
  it('say that there is nothing, where there is nothing', async () => {
    expect((await flow('list')).stderr).toContain('There are no flows.');
    expect(await flow('check')).toMatchObject({ status: 0, stdout: '', stderr: 'There are no flows to check.\n' });
    expect((await flow('check', '--json')).json).toEqual({ ok: true, flows: [], broken: [] });
  });

  it('says outside a workspace that there is none', async () => {
    await rm(workspace.path('pagecast.yaml'));
    const { status, error } = await flow('check', '--json');
    expect([status, error?.code]).toEqual([2, 'WORKSPACE_MISSING']);
  });

  it('warns of a word that another flow answers instead, on the account that both hear', async () => {
    await write('hours', HOURS);
    await write('opening', HOURS.replace('[hours]', '["HOURS!", times]'));
    await write('tapped', HOURS.replace('keyword', 'payload'));
    const { status, stdout } = await flow('check');
    expect([status, stdout]).toEqual([
      0,
      `ok   hours
ok   opening
     warning: opening: The flow "hours" waits for "hours", too, and comes first by its name, so it answers on acme.
       Let one flow alone wait for it.
ok   tapped
`,
    ]);
  });

  it('show what each flow waits for, sends, and has come to', async () => {
    await write('hours', `${HOURS}limits: { quietHours: { from: "22:00", to: "06:30", zone: Europe/Berlin } }\n`);
    await write('shipped', SHIPPED);
    await flow('trigger', 'shipped', '--to', personId(0), ...VALUES);
    await flow('trigger', 'shipped', '--to', UNREACHABLE, ...VALUES);
    const { stdout, status } = await flow('list');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^FLOW +TYPE +TRIGGER +FROM +CONTENT +WAITING +SENT +FAILED +UNKNOWN +SKIPPED\n/);
    expect(stdout).toMatch(/^hours +auto-reply +keyword: hours +acme +"We are open from 9 to 5\." +0 +0 +0 +0 +0$/m);
    expect(stdout).toMatch(/^shipped +notification +call +acme +order_shipped +0 +1 +1 +0 +0$/m);
    const { json } = await flow<{ flows: object[]; broken: object[] }>('list', '--json');
    expect(json).toMatchObject({
      flows: [
        { name: 'hours', quietHours: { from: '22:00', to: '06:30', zone: 'Europe/Berlin' }, messages: { sent: 0 } },
        { name: 'shipped', ok: true, file: workspace.path('flows/shipped.yaml'), messages: { sent: 1, failed: 1 } },
      ],
      broken: [],
    });
  });

  it('name the row of the vendors’ page that a flow is refused by, and what would be allowed', async () => {
    await write('hours', HOURS);
    await write('parcel', 'type: notification\ntrigger: { call: true }\nfrom: acme\ntext: Your parcel is here.\n');
    const { status, stdout } = await flow('check');
    expect(status).toBe(3);
    expect(stdout).toMatch(
      /^ok {3}hours\nFAIL parcel\n {5}parcel: Automations and notifications may .* \(V4\)\n {7}Use a registered template/,
    );
    const { json } = await flow('check', 'parcel', '--json');
    const fault = {
      severity: 'error',
      part: 'text',
      row: 'V4',
      reason: expect.stringContaining('registered') as string,
    };
    expect(json).toMatchObject({ ok: false, flows: [{ name: 'parcel', ok: false, faults: [fault] }], broken: [] });
    expect((await flow('check', 'hours')).status).toBe(0);
    expect((await flow('list')).stdout).toMatch(/^parcel \(faulty\) /m);
  });

  it('tell of a file that holds no flow, with its line', async () => {
    await write('hours', HOURS);
    await write('broken', 'type: auto-reply\ntriger: { keyword: [x] }\nfrom: acme\ntext: Hi\n');
    const { status, stdout } = await flow('check');
    expect(status).toBe(3);
    expect(stdout).toMatch(/^FAIL .*broken\.yaml\n {5}.*line 1.*\n {5}.*line 2/m);
    expect((await flow('check', 'broken', '--json')).error).toMatchObject({ code: 'FLOW_INVALID' });
    expect((await flow('check', 'hous', '--json')).error).toMatchObject({
      code: 'FLOW_UNKNOWN',
      message: expect.stringContaining('hours') as string,
    });
    const listed = await flow('list', '--json');
    expect([listed.status, listed.json]).toMatchObject([
      3,
      { flows: [{ name: 'hours' }], broken: [{ code: 'FLOW_INVALID' }] },
    ]);
  });
});

describe('flow trigger', () => {
  const trigger = <T = Record<string, unknown>>(to: string, ...args: string[]): Promise<Inside<T>> =>
    flow<T>('trigger', 'shipped', '--to', to, ...args);
  const texts = (): (string | null)[] => platform.sandbox.state.received().map(({ text }) => text);

  /** A time of day so many hours from now, in UTC. */
  const hour = (from: number): string => `${String((new Date().getUTCHours() + 24 + from) % 24).padStart(2, '0')}:00`;
  const quiet = (then: string): string => `{ from: "${hour(-1)}", to: "${hour(2)}", zone: UTC, then: ${then} }`;

  it('sends the message, and says what became of it as message send does', async () => {
    await write('shipped', SHIPPED);
    const { status, stdout, stderr } = await trigger(personId(0), ...VALUES);
    expect([status, stderr]).toEqual([0, `Sent to …${personId(0).slice(-4)}.\n`]);
    expect(stdout).toMatch(/^m_/);
    expect(texts()).toEqual([
      'Your order A-1 was handed to Blue Van today and should reach you by 4 Dec, Ann. Thank you!',
    ]);
    const listed = await inside<object[]>(workspace, ['message', 'list', '--json']);
    expect(listed.json).toMatchObject([{ state: 'sent', mode: 'notification', flow: 'shipped' }]);
    const table = (await inside(workspace, ['message', 'list'])).stdout;
    expect(table).toMatch(/ shipped +1 +\d+ +sent /);
  });

  it('sends one message for one key, however often it is called', async () => {
    await write('shipped', SHIPPED);
    const first = await trigger(personId(0), ...VALUES, '--key', 'order-1', '--json');
    const again = await trigger(personId(0), ...VALUES, '--key', 'order-1', '--json');
    expect([first.status, again.status]).toEqual([0, 0]);
    expect(again.json).toMatchObject({ campaign: first.json['campaign'], row: first.json['row'], state: 'sent' });
    expect((await trigger(personId(0), ...VALUES, '--key', 'order-1')).stderr).toContain('nothing was queued now');
    expect(texts()).toHaveLength(1);
  });

  it('keeps its messages in a campaign that has no end, which campaign commands show and leave alone', async () => {
    await write('shipped', SHIPPED);
    const id = String((await trigger(personId(0), ...VALUES, '--json')).json['campaign']);
    const campaign = <T>(...args: string[]): Promise<Inside<T>> => inside<T>(workspace, ['campaign', ...args]);
    expect((await campaign('list')).stdout).toBe('');
    expect((await campaign('list', '--json')).json).toMatchObject([
      { campaign: id, state: 'continuous', mode: 'notification', flow: 'shipped', sent: 1 },
    ]);
    const shown = await campaign('show', id);
    expect(shown.stdout).toMatch(/is continuous: 1 sent of 1\./);
    expect(shown.stderr).toContain(`pagecast message list --campaign ${id}`);
    expect((await campaign('report', id)).stdout).toContain('1 sent of 1');
    expect((await campaign('reconcile', id)).status).toBe(0);
    for (const args of [['pause'], ['resume'], ['cancel'], ['retry', '--failed']]) {
      const refused = await campaign(args[0]!, id, ...args.slice(1), '--json');
      expect([args[0], refused.status, refused.error?.code]).toEqual([args[0], 2, 'CAMPAIGN_STATE']);
      expect(refused.error?.message).toContain('(shipped)');
    }
  });

  it('shows the message in a dry run, and neither queues it nor makes a provider', async () => {
    await write('shipped', SHIPPED.replace('from: acme', 'from: lost'));
    const lost = '{ provider: graph, channel: messenger, id: "102938475601929", token: env:NOT_SET }';
    await workspace.write('pagecast.yaml', `accounts:\n  lost: ${lost}\n`);
    const shown = await trigger(personId(0), ...VALUES, '--dry-run');
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain('Blue Van');
    expect(shown.stderr).toContain('Nothing was queued.');
    expect(shown.stderr).toContain('Looked at only when it is sent: the guard of all flows.');
    const { json } = await trigger(personId(0), ...VALUES, '--dry-run', '--json');
    expect(json).toMatchObject({ account: 'lost', template: 'order_shipped', notBefore: null, dryRun: true });
    expect((await inside(workspace, ['message', 'list', '--json'])).json).toEqual([]);

    const real = await trigger(personId(0), ...VALUES, '--json');
    expect([real.status, real.error]).toMatchObject([
      2,
      { code: 'SECRET_MISSING', hint: expect.stringContaining('queued all the same') as string },
    ]);
  });

  it.each<[string, string, string[], number, string, RegExp]>([
    ['a value that is missing', personId(0), VALUES.slice(2), 2, 'VARIABLE_MISSING', /needs a value for order_no/],
    ['a value without a variable', personId(0), [...VALUES, '--var', 'colour=red'], 2, 'VARIABLE_UNKNOWN', /colour/],
    ['an owner of a flow that has an account', personId(0), [...VALUES, '--owner', 'alice'], 2, 'USAGE', /acme/],
    ['somebody who has opted out', personId(7), VALUES, 6, 'OPTED_OUT', /asked not to be written to/],
  ])('refuses %s', async (_, to, args, status, code, says) => {
    await write('shipped', SHIPPED);
    await inside(workspace, ['optout', 'add', personId(7), '--account', 'acme']);
    const refused = await trigger(to, ...args, '--json');
    expect([refused.status, refused.error?.code]).toEqual([status, code]);
    expect(refused.error?.message).toMatch(says);
    expect(texts()).toEqual([]);
  });

  it('refuses an id of another channel as a finding', async () => {
    await write('shipped', SHIPPED);
    const { status, json } = await trigger('+4915112345678', ...VALUES, '--json');
    expect([status, json]).toMatchObject([3, { ok: false, findings: [{ code: 'CHANNEL_MISMATCH' }] }]);
  });

  it.each([
    ['is faulty', SHIPPED.replace('order_shipped', 'order_update'), 3, 'FLOW_INVALID'],
    ['is not there', null, 2, 'FLOW_UNKNOWN'],
    ['waits for people', HOURS, 2, 'USAGE'],
  ])('refuses a flow that %s', async (_, text, status, code) => {
    if (text !== null) await write('shipped', text);
    const refused = await trigger(personId(0), ...VALUES, '--json');
    expect([refused.status, refused.error?.code]).toEqual([status, code]);
  });

  it('keeps to the limit of the flow', async () => {
    await write('shipped', `${SHIPPED}limits: { oncePer: 7d }\n`);
    expect((await trigger(personId(0), ...VALUES)).status).toBe(0);
    const second = await trigger(personId(0), ...VALUES, '--json');
    expect([second.status, second.error]).toMatchObject([
      6,
      { code: 'LIMIT', message: expect.stringContaining('has had, or is about to get') as string },
    ]);
  });

  it('waits for the end of quiet hours, or sends nothing in them', async () => {
    await write('shipped', `${SHIPPED}limits: { quietHours: ${quiet('wait')} }\n`);
    const waiting = await trigger(personId(0), ...VALUES, '--key', 'order-1', '--json');
    expect([waiting.status, waiting.json]).toMatchObject([0, { state: 'queued', messageId: null }]);
    expect(Date.parse(String(waiting.json['notBefore']))).toBeGreaterThan(Date.now());
    const again = await trigger(personId(0), ...VALUES, '--key', 'order-1', '--json');
    expect([again.status, again.json]).toEqual([0, waiting.json]);
    const [listed] = (await inside<object[]>(workspace, ['message', 'list', '--json'])).json;
    expect(listed).toMatchObject({ expires: waiting.json['expiresAt'], window_closes: null });
    await write('shipped', `${SHIPPED}limits: { quietHours: ${quiet('skip')} }\n`);
    const skipped = await trigger(personId(1), ...VALUES, '--json');
    expect([skipped.status, skipped.error]).toMatchObject([
      6,
      { code: 'QUIET_HOURS', hint: expect.stringMatching(/^They end at .*Z\.$/) as string },
    ]);
    expect(texts()).toEqual([]);
  });

  it('leaves it to a process that has the account', async () => {
    await write('shipped', SHIPPED);
    const { store, engine } = await storeOf(workspace);
    const lease = await engine.own(ACCOUNT, Date.now());
    const { status, stdout, stderr } = await trigger(personId(0), ...VALUES);
    const [campaign] = stdout.split('/');
    expect([status, stdout]).toEqual([0, `${campaign}/1\n`]);
    expect(stderr).toMatch(/^It waits: another process works for the account, and sends it in its turn\. /);
    expect(stderr).toContain(`pagecast message list --campaign ${campaign} (row 1)`);
    expect(stderr).not.toContain('A listener or a worker');
    expect(await store.singlesDueAt(ACCOUNT)).toBeLessThanOrEqual(Date.now());
    await engine.release(lease!, Date.now(), 0);
    // A worker finds it, and has been woken for it.
    const worked = await inside(workspace, ['run', '--once', '--json']);
    expect([worked.status, worked.json]).toMatchObject([
      0,
      { singles: [{ account: 'acme', flow: 'shipped', state: 'sent', count: 1 }] },
    ]);
    expect(texts()).toHaveLength(1);
  });

  it('waits where nothing can be sent, of which a worker says why, by the name of the account', async () => {
    platform = await testSandbox({ page: { id: PAGE, refuses: '190/463' } });
    const { url } = platform.sandbox;
    await workspace.write(
      'pagecast.yaml',
      `accounts:\n  acme: { provider: sandbox, channel: messenger, id: "${PAGE}", url: "${url}" }\n`,
    );
    await write('shipped', SHIPPED);
    const { status, stderr } = await trigger(personId(0), ...VALUES);
    expect([status, stderr]).toEqual([
      4,
      expect.stringMatching(/^It waits: nothing can be sent for the account \(token\): /),
    ]);
    // Its message rests for a minute, so that others come first.
    const real = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 61_000);
    onTestFinished(() => void vi.restoreAllMocks());
    const worked = await inside(workspace, ['run', '--once', '--json', '--log-format', 'text']);
    expect([worked.status, worked.json]).toMatchObject([
      4,
      { singles: [], singlesStop: [{ account: 'acme', cause: 'token', error: { code: '190/463' } }] },
    ]);
    expect(worked.stderr).toContain('acme: nothing can be sent for the account (token): ');
    expect(worked.stderr).not.toContain(ACCOUNT);
  });

  it('waits a little for a process that has the account', async () => {
    await write('shipped', SHIPPED);
    const { store, engine } = await storeOf(workspace);
    const lease = await engine.own(ACCOUNT, Date.now());
    const queued = until('it is queued', async () => (await store.singlesDueAt(ACCOUNT)) !== null, 5000);
    const freed = queued.then(() => engine.release(lease!, Date.now(), 0));
    const [{ status, stdout }] = await Promise.all([trigger(personId(0), ...VALUES), freed]);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^m_/)]);
  });

  it('tells what the platform itself says of a template that it does not know', async () => {
    platform = await testSandbox({ page: { id: PAGE } });
    await workspace.write(
      'pagecast.yaml',
      `accounts:\n  acme: { provider: sandbox, channel: messenger, id: "${PAGE}", url: "${platform.sandbox.url}" }\n`,
    );
    await write('shipped', SHIPPED);
    const { stderr } = await trigger(personId(0), ...VALUES);
    expect(stderr).toMatch(/\[[^\]]+\] It says: ".+"/);
    expect(stderr).not.toContain('this row');
  });

  it('ends as message send does when the platform refuses', async () => {
    await write('shipped', SHIPPED);
    const refused = await trigger(UNREACHABLE, ...VALUES);
    expect([refused.status, refused.stderr]).toEqual([5, expect.stringContaining('Refused for')]);
  });
});
