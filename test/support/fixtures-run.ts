/** A campaign in a real ledger, a platform with a script and a clock of its own: everything a run needs. */
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import type { NewCampaign, OpenerEvent, StagedRow } from '../../src/ports.js';
import { runCampaign, type RunRequest, type RunResult, type RunWorld } from '../../src/app/run.js';
import { FakeClock } from './fake-clock.js';
import { FakeProvider, type Script } from './fake-provider.js';
import {
  accountKey,
  exactWindow,
  fixedRandom,
  HOUR,
  NOW,
  openLedger,
  readyCampaign,
  rows,
  type OpenLedger,
} from './fixtures.js';

export interface Stage extends RunWorld {
  ledger: OpenLedger;
  clock: FakeClock;
  provider: FakeProvider;
}

/** A campaign `c1` for so many people, all of whom wrote an hour ago. */
export async function stage(people: number, script?: Script, change: Partial<NewCampaign> = {}): Promise<Stage> {
  const staged = rows(people, () => ({ closesAt: NOW + 23 * HOUR }));
  return stageRows(
    staged,
    staged.map(({ userId }) => wrote(userId, NOW - HOUR)),
    script,
    change,
  );
}

export async function stageRows(
  staged: readonly StagedRow[],
  events: readonly OpenerEvent[],
  script?: Script,
  change: Partial<NewCampaign> = {},
): Promise<Stage> {
  const ledger = openLedger();
  const clock = new FakeClock(NOW);
  const { store, engine } = ledger;
  await store.recordOpeners(accountKey, events);
  await readyCampaign(store, staged, change);
  return { ledger, store, engine, clock, provider: new FakeProvider(clock, script), random: fixedRandom() };
}

export function wrote(userId: string, openedAt: number): OpenerEvent {
  return { userId, openedAt, opener: 'message' };
}

export function run(world: RunWorld, change: Partial<RunRequest> = {}): Promise<RunResult> {
  return runCampaign(world, {
    campaign: 'c1',
    window: exactWindow,
    budget: DEFAULT_BUDGET,
    signal: new AbortController().signal,
    ...change,
  });
}
