/**
 * Campaigns that are scheduled, sent by workers, paused, resumed and reconciled by processes that are killed at random
 * moments, against a sandbox that drops connections after it has accepted. In the end everybody has got the message once, and
 * every row says what became of it. `npm run test:survival` does it with 200 kills and 50 SIGTERMs.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { pagecast, pause, sandboxProcess, start, type Running, type SandboxProcess } from '../support/process.js';
import { seededRandom } from '../support/sandbox-harness.js';
import { personId, testWorkspace } from '../support/workspace.js';
import { SEND, Trial } from '../support/workspace-trial.js';

const KILLS = Number(process.env['PAGECAST_SURVIVAL_KILLS'] ?? 16);
const TERMS = Math.ceil(KILLS / 4);
const PEOPLE = 80;
const SIDE_BY_SIDE = 4;
/** More than there will be. */
const TRIALS = 40 + KILLS;

const TROUBLE: SeedInput = {
  // They have written, so each has a conversation that can be read.
  users: Array.from({ length: TRIALS * PEOPLE }, (_, index) => ({
    id: personId(index),
    opened_at: new Date(Date.now() - 3_600_000).toISOString(),
    opener: 'message' as const,
  })),
  limits: { perSecond: null, conversationsPerSecond: null },
  faults: [
    { kind: 'drop', rate: 0.02 },
    { kind: 'drop', rate: 0.01, when: 'before' },
    { kind: 'error', rate: 0.01, status: 503, body: '<html>busy</html>' },
    { kind: 'late', rate: 0.5, ms: 25 },
  ],
};

type Phase = 'schedule' | 'work' | 'pause' | 'resume' | 'reconcile';

/** Takes a campaign from its schedule to its end through processes of which most do not live to see it. */
class Survivor {
  readonly #trial: Trial;
  readonly #random: { next: () => number };
  readonly #key: string;

  constructor(trial: Trial, random: { next: () => number }, key: string) {
    this.#trial = trial;
    this.#random = random;
    this.#key = key;
  }

  /** What there is to do now, at random where there is a choice. */
  phase(): Phase {
    const campaign = this.#trial.ledger.campaign();
    if (campaign === null) return 'schedule';
    const draw = this.#random.next();
    if (campaign.state === 'paused' || campaign.state === 'stopped') return draw < 0.3 ? 'reconcile' : 'resume';
    if (campaign.state === 'finished') return 'reconcile';
    if (draw < 0.3) return 'pause';
    return draw < 0.4 && (campaign.rows['unknown'] ?? 0) > 0 ? 'reconcile' : 'work';
  }

  begin(phase: Phase): Running {
    const id = this.#trial.ledger.campaign()?.id ?? '';
    const commands: Record<Phase, string[]> = {
      schedule: [
        ...SEND,
        ...['--accept-policy', '--max-failures', '100000', '--confirm-count', String(this.#trial.people)],
        ...['--pace', this.#trial.pace, '--at', 'in 1s', '--campaign-key', this.#key],
      ],
      work: ['run', '--log-format', 'json'],
      pause: ['campaign', 'pause', id],
      resume: ['campaign', 'resume', id],
      reconcile: ['campaign', 'reconcile', id, '--min-age', '0s'],
    };
    return start(this.#trial.workspace, commands[phase]);
  }

  isOver(): boolean {
    const campaign = this.#trial.ledger.campaign();
    return campaign?.state === 'finished' && (campaign.rows['unknown'] ?? 0) === 0;
  }

  /** Lets everything come to its end undisturbed. */
  async finish(): Promise<void> {
    for (let round = 0; !this.isOver(); round += 1) {
      if (round > 12) throw new Error(`does not come to its end: ${JSON.stringify(this.#trial.ledger.campaign())}`);
      const { state = '', rows = {} } = this.#trial.ledger.campaign() ?? {};
      if (state === '') await this.begin('schedule').ended;
      else if (state === 'finished' && (rows['unknown'] ?? 0) > 0) await this.begin('reconcile').ended;
      else if (state === 'paused' || state === 'stopped') await this.begin('resume').ended;
      else {
        await pagecast(this.#trial.workspace, ['run', '--once']);
        await pause(300);
      }
    }
  }
}

async function judge(trial: Trial, sandbox: SandboxProcess): Promise<void> {
  await trial.judge(sandbox);
  const campaign = trial.ledger.campaign()!;
  expect(trial.ledger.campaigns(), 'campaigns with one key').toHaveLength(1);
  expect(campaign.rows['unknown'] ?? 0, 'rows that the sandbox could tell about').toBe(0);
  expect((campaign.rows['sent'] ?? 0) + (campaign.rows['failed'] ?? 0)).toBe(trial.people);
}

describe('a scheduled campaign', () => {
  it(`survives ${KILLS} kills and ${TERMS} SIGTERMs`, { timeout: 900_000 }, async () => {
    const seed = Number(process.env['PAGECAST_SURVIVAL_SEED'] ?? randomInt(1_000_000_000));
    const random = seededRandom(seed);
    const sandbox = await sandboxProcess(await testWorkspace(), TROUBLE);
    const left = { SIGKILL: KILLS, SIGTERM: TERMS };
    const disturbed: Partial<Record<Phase, number>> = {};
    let made = 0;

    const lives = async (): Promise<void> => {
      while (left.SIGKILL + left.SIGTERM > 0) {
        made += 1;
        const number = made;
        const pace = number % 2 === 0 ? '20/s' : '35/s';
        const trial = await Trial.make(sandbox, pace, PEOPLE, number * PEOPLE);
        const survivor = new Survivor(trial, random, `trial ${number}`);
        // What has been sent is looked into once or twice among kills, and then in peace.
        let scheduled = 0;
        for (let looks = 0; looks < 2 && !survivor.isOver() && left.SIGKILL + left.SIGTERM > 0;) {
          const phase = survivor.phase();
          if (phase === 'reconcile') looks += 1;
          const running = survivor.begin(phase);
          const isWorker = phase === 'work';
          // Else most kills would come before anything has begun.
          if (isWorker && random.next() < 0.7) await trial.underWay(running);
          else if (!isWorker) await pause(phase === 'pause' ? 100 : 250);
          // Pausing is over in a moment.
          await Promise.race([running.ended, pause(random.next() * (phase === 'pause' ? 300 : 1200))]);
          if (phase === 'schedule' && scheduled > 1) await running.ended;
          if (phase === 'schedule') scheduled += 1;
          const signal = random.next() * (left.SIGKILL + left.SIGTERM) < left.SIGKILL ? 'SIGKILL' : 'SIGTERM';
          running.kill(signal);
          const ended = await running.ended;
          if (ended.signal === 'SIGKILL' || (signal === 'SIGTERM' && (ended.status === 130 || isWorker))) {
            left[signal] -= 1;
            disturbed[phase] = (disturbed[phase] ?? 0) + 1;
          }
          expect(ended.stderr).not.toContain('INTERNAL');
        }
        await survivor.finish();
        await judge(trial, sandbox);
      }
    };

    try {
      const all = await Promise.allSettled(Array.from({ length: SIDE_BY_SIDE }, lives));
      const failed = all.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
      expect((await sandbox.stats()).duplicateUsers).toBe(0);
      // Otherwise the harness would have shown nothing of that phase.
      for (const phase of ['schedule', 'work'] as const) expect(disturbed[phase] ?? 0, phase).toBeGreaterThan(0);
    } catch (error) {
      throw new Error(`with PAGECAST_SURVIVAL_SEED=${seed}, ${JSON.stringify({ left, disturbed })}`, { cause: error });
    }
    if (process.env['PAGECAST_CRASH_REPORT']) console.log({ seed, disturbed, made, ...(await sandbox.stats()) });
  });
});
