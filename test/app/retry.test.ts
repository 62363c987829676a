import { describe, expect, it } from 'vitest';
import { planRetry } from '../../src/app/retry.js';
import type { Outcome } from '../../src/core/delivery.js';
import type { StagedRow } from '../../src/ports.js';
import { failure } from '../support/fake-provider.js';
import { run, stageRows, wrote } from '../support/fixtures-run.js';
import { account, exactWindow, failureOf, HOUR, NOW, registeredTemplate, row, user } from '../support/fixtures.js';

const outcomes: Record<string, Outcome> = {
  [user(1)]: { kind: 'rejected', error: failure('10/2018108') },
  [user(2)]: { kind: 'unknown', error: failure('TIMEOUT') },
};
const leftOut = (seq: number, change: Partial<StagedRow>): StagedRow =>
  row(seq, { closesAt: null, opener: null, ...change });

/** 1 fails, 2 is unknown, 3 is sent; 4 to 7 are left out. */
async function finished() {
  const world = await stageRows(
    [
      row(1),
      row(2),
      row(3),
      leftOut(4, { reason: 'window_closed' }),
      leftOut(5, { reason: 'window_unknown' }),
      leftOut(6, { reason: 'duplicate', userId: user(1) }),
      leftOut(7, { reason: 'invalid', userId: '12' }),
    ],
    [1, 2, 3].map((n) => wrote(user(n), NOW - HOUR)),
    (message, nth) => (nth === 1 && outcomes[message.userId] ? { outcome: outcomes[message.userId]! } : {}),
  );
  await run(world);
  const plan = (state: 'failed' | 'skipped' | 'unknown', now = NOW) =>
    planRetry(world.store, 'c1', state, exactWindow, now);
  return { ...world, plan };
}

describe('planRetry', () => {
  it('offers the rows of one state whose window is open', async () => {
    const { plan } = await finished();
    const place = (seq: number) => ({ seq, closesAt: NOW + 23 * HOUR });
    expect(await plan('failed')).toEqual({ campaign: 'c1', state: 'failed', places: [place(1)], staying: 0 });
    expect(await plan('unknown')).toMatchObject({ places: [place(2)], staying: 0 });
    expect(await plan('skipped')).toMatchObject({ places: [], staying: 4 });
    expect(await plan('failed', NOW + 23 * HOUR)).toMatchObject({ places: [], staying: 1 });
  });

  it('offers whoever was left out and has written since; never a duplicate, an invalid row or an opt-out', async () => {
    const { plan, store, ledger } = await finished();
    await store.recordOpeners(
      account.name,
      [4, 5].map((n) => wrote(user(n), NOW - n)),
    );
    ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', account.name, user(5));
    expect(await plan('skipped')).toMatchObject({ places: [{ seq: 4 }], staying: 3 });
  });

  it('changes nothing itself; requeued, the rows are sent once more and nobody else is', async () => {
    const world = await finished();
    const { places } = await world.plan('failed');
    expect((await world.store.summary('c1')).counts.failed).toBe(1);
    expect(await world.store.requeue('c1', places)).toBe(1);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 2, failed: 0, unknown: 1 } });
    expect(world.provider.departures.map((one) => one.userId)).toEqual([1, 2, 3, 1].map(user));
  });

  it('asks for no window where the template needs none', async () => {
    const world = await stageRows([leftOut(1, { reason: 'window_closed' })], [], undefined, {
      template: registeredTemplate,
    });
    const { places } = await planRetry(world.store, 'c1', 'skipped', exactWindow, NOW);
    expect(places).toEqual([{ seq: 1, closesAt: null }]);
  });

  it('knows no campaign by another name', async () => {
    const { store } = await finished();
    expect(await failureOf(planRetry(store, 'c9', 'failed', exactWindow, NOW))).toBe('CAMPAIGN_UNKNOWN');
  });
});
