/** `campaign reconcile` and the echoes of `window import`, through the whole program and a sandbox that drops connections. */
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { FaultRule } from '../../src/sandbox/seed.js';
import { startSandbox, type Sandbox } from '../../src/sandbox/server.js';
import { inside } from '../support/process-inside.js';
import { machineClock } from '../support/provider-contract.js';
import { seededRandom } from '../support/sandbox-harness.js';
import {
  accountsAt,
  orderSheet,
  personId,
  testWorkspace,
  windowLog,
  type TestWorkspace,
} from '../support/workspace.js';

interface Reconciled {
  campaign: string;
  state: string;
  unknown: number;
  sent: { echo: number; conversation: number };
  queued: number;
  left: number;
  stays: Record<string, number>;
  errors: Record<string, { count: number; message: string }>;
  end: string | null;
  stop: { cause: string } | null;
}

let workspace: TestWorkspace;
let sandbox: Sandbox;

beforeEach(async () => {
  const users = [0, 1, 2].map((index) => ({ id: personId(index), opened_at: '-1h' }));
  sandbox = await startSandbox({ seed: { users }, clock: machineClock, random: seededRandom(1) });
  onTestFinished(() => sandbox.close());
  workspace = await testWorkspace(accountsAt({ acme: sandbox.url }));
});

/** Sends to three people, some of whose answers are lost. @returns the campaign's id */
async function sendWith(...faults: FaultRule[]): Promise<string> {
  await workspace.write('windows.csv', windowLog(3));
  await workspace.write('orders.csv', orderSheet(3));
  expect((await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'acme'])).status).toBe(0);
  sandbox.state.setFaults(faults);
  const sheet = ['--template', 'order_update', '--lang', 'en_US', '--from', 'acme', '--sheet', 'orders.csv'];
  const consent = ['--accept-policy', '--confirm-count', '3', '--json'];
  const sent = await inside<{ campaign: string }>(workspace, ['send', ...sheet, ...consent]);
  expect(sent.status, sent.stderr).toBe(8);
  return sent.json.campaign;
}

const dropped = (when: 'before' | 'after', ...people: number[]): FaultRule => ({
  kind: 'drop',
  when,
  users: people.map(personId),
  times: 1,
});

const reconciled = (id: string, ...more: string[]): ReturnType<typeof inside<Reconciled>> =>
  inside<Reconciled>(workspace, ['campaign', 'reconcile', id, '--json', ...more]);

describe('campaign reconcile', () => {
  it('settles what it can tell, says what it cannot yet, and resume sends the rest', async () => {
    const id = await sendWith(dropped('before', 1), dropped('after', 2));
    const early = await reconciled(id);
    expect([early.status, early.stderr]).toEqual([8, '']);
    expect(early.json).toMatchObject({
      campaign: id,
      state: 'finished',
      unknown: 2,
      sent: { echo: 0, conversation: 1 },
      queued: 0,
      left: 1,
      stays: { too_recent: 1 },
      end: null,
      stop: null,
    });

    const { status, stdout, stderr } = await inside(workspace, ['campaign', 'reconcile', id, '--min-age', '0s']);
    expect(status).toBe(0);
    expect(stderr).toContain('1 message with an unknown outcome; 1 conversation to read, which takes up to about 1 s.');
    expect(stdout).toBe(`${id}: of 1 unknown message, 0 had been sent, 1 had not, and 0 stay unknown.\n`);
    expect(stderr).toContain(`pagecast campaign resume ${id}`);

    expect((await inside(workspace, ['campaign', 'resume', id])).status).toBe(0);
    for (const index of [0, 1, 2]) expect(sandbox.state.received(personId(index))).toHaveLength(1);
    const again = await inside(workspace, ['campaign', 'reconcile', id]);
    expect([again.status, again.stdout]).toEqual([0, `${id} has no message with an unknown outcome.\n`]);
  });

  it('ends as a run does when the platform refuses the token, and shows neither it nor an id', async () => {
    const id = await sendWith(dropped('after', 1, 2));
    await sandbox.close();
    const gone = await reconciled(id);
    expect(gone.status).toBe(7);
    expect(gone.json).toMatchObject({
      left: 2,
      stays: { not_readable: 1, not_reached: 1 },
      end: 'stopped',
      stop: { cause: 'network' },
    });
    expect(gone.json.errors).toMatchObject({ CONNECTION_REFUSED: { count: 1 } });
    const { status, stderr } = await inside(workspace, ['campaign', 'reconcile', id]);
    expect(status).toBe(7);
    expect(stderr).toMatch(/Ended early \(network\): error CONNECTION_REFUSED/);
    expect(stderr).not.toContain(personId(1));
    expect(stderr).not.toContain(sandbox.page.token);
  });

  it('refuses what is no length of time, and what is no campaign', async () => {
    const id = await sendWith(dropped('after', 1));
    expect(await reconciled(id, '--min-age', 'soon')).toMatchObject({ status: 2, error: { code: 'USAGE' } });
    expect(await reconciled('c9')).toMatchObject({ status: 2, error: { code: 'CAMPAIGN_UNKNOWN' } });
  });
});

describe('window import', () => {
  it('settles unknown outcomes by the echoes of the account', async () => {
    const id = await sendWith(dropped('after', 1, 2));
    const page = sandbox.page.id;
    const echo = (row: number, account = page): object => ({
      sender: { id: account },
      recipient: { id: personId(row - 2) },
      timestamp: Date.now(),
      message: { is_echo: true, mid: `m_echo${row}`, metadata: `pagecast/${id}/${row}`, text: 'x' },
    });
    const body = (account: string, ...messaging: object[]): string =>
      JSON.stringify({ object: 'page', entry: [{ id: account, time: Date.now(), messaging }] });
    await workspace.write('log.jsonl', `${body(page, echo(3), echo(2))}\n${body('99999', echo(4, '99999'))}\n`);

    const { status, stdout } = await inside(workspace, ['window', 'import', 'log.jsonl', '--account', 'acme']);
    expect(status).toBe(0);
    expect(stdout).toContain('2 messages of ours came back; 1 unknown outcome was settled by that.');
    const again = await inside(workspace, ['window', 'import', 'log.jsonl', '--account', 'acme', '--json']);
    expect(again.json).toMatchObject({ ok: true, events: 0, echoes: 2, settled: 0, ignored: { echo: 3 } });
    const shown = await inside(workspace, ['campaign', 'show', id, '--json']);
    expect(shown.json).toMatchObject({ sent: 2, unknown: 1 });
  });
});
