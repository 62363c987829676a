/**
 * The crash harness: runs are killed, interrupted and cut off at random moments and then resumed, against a sandbox that
 * answers late, drops connections after it has accepted, and fails. The sandbox is the judge of who received what.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { pagecast, pause, sandboxProcess, until } from '../support/process.js';
import { seededRandom } from '../support/sandbox-harness.js';
import { testWorkspace } from '../support/workspace.js';
import { Trial } from '../support/workspace-trial.js';

const PEOPLE = 500;
/** `npm run test:survival` does more of them. */
const KILLS = Number(process.env['PAGECAST_CRASH_KILLS'] ?? 30);
/** Campaigns that run beside one another: most of a killed run is the silence after a death. */
const SIDE_BY_SIDE = 6;

const TROUBLE: SeedInput = {
  limits: { perSecond: null },
  faults: [
    { kind: 'drop', rate: 0.01 },
    { kind: 'reset', rate: 0.005 },
    { kind: 'cut', rate: 0.005 },
    { kind: 'error', rate: 0.01 },
    { kind: 'error', rate: 0.01, status: 503, body: '<html>busy</html>', ms: 50 },
    { kind: 'error', rate: 0.01, when: 'before' },
    { kind: 'drop', rate: 0.005, when: 'before' },
    { kind: 'garbage', rate: 0.005 },
    { kind: 'refuse', rate: 0.01, code: '1200' },
    { kind: 'refuse', rate: 0.01, code: '551/1545041' },
    { kind: 'late', rate: 0.02, ms: 400 },
    { kind: 'late', rate: 0.5, ms: 25 },
  ],
};

/** Waits for all, also when one fails: a test must not end while another part of it still runs. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
}

describe('kill -9', () => {
  it(`at ${KILLS} random moments sends to nobody twice and loses nobody`, { timeout: 170_000 }, async () => {
    const seed = Number(process.env['PAGECAST_CRASH_SEED'] ?? randomInt(1_000_000_000));
    const random = seededRandom(seed);
    const sandbox = await sandboxProcess(await testWorkspace(), TROUBLE);
    let kills = 0;
    let whileSending = 0;
    let mostLeft = 0;
    let over = false;
    const stopAll = (error: unknown): never => {
      over = true;
      throw error;
    };

    const killAndResume = async (trial: Trial, most: number): Promise<void> => {
      let lostBefore = 0;
      for (let killed = 0; !over && !trial.isFinished() && killed < most && kills < KILLS;) {
        const running = trial.begin();
        if (random.next() < 0.85) {
          await trial.underWay(running);
          await pause(random.next() * (trial.pace === 'unlimited' ? 120 : 350));
        } else await pause(random.next() * 1500);
        running.kill('SIGKILL');
        const { signal, stderr } = await running.ended;
        if (signal !== 'SIGKILL') {
          expect(trial.isFinished(), stderr).toBe(true);
          break;
        }
        killed += 1;
        kills += 1;
        const lost = trial.lost - lostBefore;
        lostBefore += lost;
        expect(lost, 'rows that this crash left unknown').toBeLessThanOrEqual(trial.mostUnderWay);
        if (lost > 0) whileSending += 1;
        mostLeft = Math.max(mostLeft, lost);
        const campaign = trial.ledger.campaign();
        if (campaign) expect(campaign.total).toBe(trial.people);
      }
      if (!trial.isFinished()) {
        const { status, stderr } = await trial.begin().ended;
        expect([0, 5, 8], stderr).toContain(status);
      }
      await trial.judge(sandbox);
      expect(trial.lost).toBe(lostBefore);
    };

    try {
      // One at the pace of a real Page; the others as fast as makes many moments of sending in little time.
      const slow = Trial.make(sandbox, '35/s', PEOPLE).then((trial) => killAndResume(trial, 6));
      let made = 1;
      const fast = async (): Promise<void> => {
        while (kills < KILLS && !over) {
          const number = made;
          made += 1;
          const trial = await Trial.make(sandbox, number % 4 === 0 ? 'unlimited' : '250/s', PEOPLE, number * PEOPLE);
          await killAndResume(trial, KILLS);
        }
      };
      await allOf([slow, ...Array.from({ length: SIDE_BY_SIDE }, fast)].map((one) => one.catch(stopAll)));

      const { duplicateUsers, accepted } = await sandbox.stats();
      expect(duplicateUsers).toBe(0);
      expect(kills).toBeGreaterThanOrEqual(KILLS);
      // Otherwise the harness would have shown nothing.
      expect(whileSending).toBeGreaterThan(KILLS / 3);
      expect(accepted).toBeGreaterThan(PEOPLE);
    } catch (error) {
      throw new Error(`with PAGECAST_CRASH_SEED=${seed}, after ${kills} kills`, { cause: error });
    }
    if (process.env['PAGECAST_CRASH_REPORT'])
      console.log({ seed, kills, whileSending, mostLeft, ...(await sandbox.stats()) });
  });
});

describe('an interruption', () => {
  it('drains, says how to go on, and leaves nothing unknown', async () => {
    const seed = randomInt(1_000_000_000);
    const random = seededRandom(seed);
    const sandbox = await sandboxProcess(await testWorkspace(), {
      limits: { perSecond: null },
      faults: [{ kind: 'late', rate: 0.7, ms: 60 }],
    });
    const interruptUntilFinished = async (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', first: number): Promise<void> => {
      const trial = await Trial.make(sandbox, '250/s', PEOPLE, first);
      let interrupted = 0;
      while (!trial.isFinished()) {
        const running = trial.begin();
        if (interrupted < 4) {
          await trial.underWay(running);
          await pause(random.next() * 300);
          running.kill(signal);
        }
        const { status, stderr } = await running.ended;
        if (trial.isFinished()) {
          expect(status, stderr).toBe(0);
          break;
        }
        interrupted += 1;
        const { id, state, rows, total } = trial.ledger.campaign()!;
        expect(status, stderr).toBe(130);
        expect(state).toBe('paused');
        expect(stderr).toContain(`pagecast campaign resume ${id}`);
        expect(rows['started'] ?? 0).toBe(0);
        expect(rows['unknown'] ?? 0).toBe(0);
        expect(total).toBe(PEOPLE);
      }
      expect(interrupted).toBeGreaterThan(0);
      await trial.judge(sandbox);
      expect(trial.ledger.campaign()?.rows).toEqual({ sent: PEOPLE });
    };
    try {
      const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
      await allOf(signals.map((signal, index) => interruptUntilFinished(signal, index * PEOPLE)));
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error });
    }
    expect((await sandbox.stats()).duplicateUsers).toBe(0);
  });

  it('twice leaves at once, and what was under way becomes unknown', async () => {
    const sandbox = await sandboxProcess(await testWorkspace(), {
      limits: { perSecond: null },
      faults: [{ kind: 'hang' }],
    });
    const trial = await Trial.make(sandbox, '20/s', 40);
    const running = trial.begin();
    await trial.underWay(running);
    running.kill('SIGINT');
    await until('the first Ctrl-C is answered', () => running.stderr().includes('Press Ctrl-C again'));
    // Two signals close together are taken for one: a shell and the kernel each send theirs.
    running.kill('SIGINT');
    await pause(600);
    running.kill('SIGINT');
    expect((await running.ended).status).toBe(130);
    const left = trial.started;
    expect(left).toBeGreaterThan(0);
    const shown = await pagecast(trial.workspace, ['campaign', 'show', trial.ledger.campaign()!.id]);
    expect(shown.stdout).toContain(`${left} started`);
  });
});

describe('a reader or a terminal that goes away', () => {
  it.each(['stdout', 'stderr', 'both'] as const)('does not end a run: %s', async (which) => {
    const sandbox = await sandboxProcess(await testWorkspace(), { limits: { perSecond: null } });
    const trial = await Trial.make(sandbox, '200/s', 150);
    const running = trial.begin();
    if (which !== 'stderr') running.child.stdout?.destroy();
    if (which !== 'stdout') running.child.stderr?.destroy();
    const { status, signal } = await running.ended;
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    await trial.judge(sandbox);
    expect(trial.ledger.campaign()?.rows).toEqual({ sent: 150 });
  });
});
