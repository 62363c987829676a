/** A campaign that a test sends, kills, resumes and finally judges: its folder, its ledger, its processes. */
import { expect, onTestFinished } from 'vitest';
import { openStore } from '../../src/stores/open.js';
import { start, until, type Running, type SandboxProcess } from './process.js';
import { Ledger } from './workspace-ledger.js';
import { accountsAt, orderSheet, personId, testWorkspace, type TestWorkspace } from './workspace.js';

export const SEND = [
  'send',
  '--template',
  'order_update',
  '--lang',
  'en_US',
  '--from',
  'page',
  '--sheet',
  'orders.csv',
];
const CONSENT = ['--accept-policy', '--max-failures', '100000'];

/** People wrote to the account `page` an hour ago. Without a process of its own, which so many tests would wait for. */
export async function haveWritten({ folder }: TestWorkspace, people: number, first = 0): Promise<void> {
  const holder = { name: 'elsewhere/1', mayBeAlive: () => true };
  const { store } = await openStore('sqlite:.pagecast/pagecast.db', folder, holder);
  const openedAt = Date.now() - 3_600_000;
  const events = Array.from(
    { length: people },
    (_, index) => ({ userId: personId(first + index), openedAt, opener: 'message' }) as const,
  );
  expect(await store.recordOpeners('sandbox:messenger/102938475601928', events)).toBe(people);
  await store.close();
}

/** A campaign that is about to be sent: its folder, and the ledger it will have. */
export class Trial {
  readonly workspace: TestWorkspace;
  readonly ledger: Ledger;
  readonly pace: string;
  readonly people: number;

  private constructor(workspace: TestWorkspace, ledger: Ledger, pace: string, people: number) {
    this.workspace = workspace;
    this.ledger = ledger;
    this.pace = pace;
    this.people = people;
  }

  /** @param first so that no two trials on one sandbox write to the same people */
  static async make(sandbox: SandboxProcess, pace: string, people: number, first = 0): Promise<Trial> {
    const workspace = await testWorkspace(accountsAt({ page: sandbox.url }));
    await workspace.write('orders.csv', orderSheet(people, first));
    await haveWritten(workspace, people, first);
    const ledger = new Ledger(workspace);
    onTestFinished(() => ledger.close());
    return new Trial(workspace, ledger, pace, people);
  }

  /** Sends, or goes on where the last run ended. */
  begin(): Running {
    const campaign = this.ledger.campaign();
    return start(
      this.workspace,
      campaign
        ? ['campaign', 'resume', campaign.id, '--max-failures', '100000']
        : [...SEND, ...CONSENT, '--confirm-count', String(this.people), '--pace', this.pace],
    );
  }

  isFinished(): boolean {
    return this.ledger.campaign()?.state === 'finished';
  }

  get started(): number {
    return this.ledger.campaign()?.rows['started'] ?? 0;
  }

  /** Rows whose outcome was lost with a run that died: those found so by a later run, and those not yet found. */
  get lost(): number {
    const campaign = this.ledger.campaign();
    if (!campaign) return 0;
    const died = this.ledger.rows(campaign.id).filter((row) => row.code === 'RUN_DIED' && row.state === 'unknown');
    return died.length + this.started;
  }

  /** How many calls a run of this pace has under way at most (app/run.ts). */
  get mostUnderWay(): number {
    const perSecond = this.pace === 'unlimited' ? Infinity : Number(this.pace.replace('/s', ''));
    return Math.max(4, Math.min(256, Math.ceil(perSecond * 2)));
  }

  async underWay(running: Running): Promise<void> {
    const before = this.ledger.tried();
    let over = false;
    void running.ended.then(() => (over = true));
    // A run may find that nothing is left but to say so.
    const begun = (): boolean => over || this.ledger.tried() > before || this.isFinished();
    await until('the first message of a run', begun, 30_000);
  }

  /** What must hold once the campaign is finished. */
  async judge(sandbox: SandboxProcess): Promise<void> {
    const campaign = this.ledger.campaign();
    expect(campaign?.state).toBe('finished');
    expect(campaign?.total).toBe(this.people);
    const rows = this.ledger.rows(campaign!.id);
    expect(new Set(rows.map((row) => row.state))).not.toContain('queued');
    expect(new Set(rows.map((row) => row.state))).not.toContain('started');

    const received = new Map<string, string[]>();
    for (const { user, mid } of await sandbox.received()) received.set(user, [...(received.get(user) ?? []), mid]);
    for (const { user, state, messageId } of rows) {
      const mids = received.get(user) ?? [];
      expect(mids.length, `${user} is ${state} and received ${mids.join(', ')}`).toBeLessThanOrEqual(1);
      if (state === 'sent') expect(mids).toEqual([messageId]);
      if (state === 'failed' || state === 'skipped') expect(mids).toEqual([]);
    }
  }
}
