import { describe, expect, it } from 'vitest';
import { planRetry, type RetryableState } from '../../src/app/retry.js';
import type { Outcome } from '../../src/core/delivery.js';
import type { StagedRow } from '../../src/ports.js';
import { failure } from '../support/fake-provider.js';
import { run, stageRows, wrote } from '../support/fixtures-run.js';
import { accountKey, exactWindow, failureOf, HOUR, NOW, registeredTemplate, row, user } from '../support/fixtures.js';

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
  const plan = async (state: RetryableState, now = NOW) =>
    planRetry(world.store, (await world.store.campaign('c1'))!, state, exactWindow, now);
  return { ...world, plan };
}

describe('planRetry', () => {
  it('offers the rows of one state whose window is open', async () => {
    const { plan } = await finished();
    const back = (seq: number, from: RetryableState) => ({ seq, closesAt: NOW + 23 * HOUR, from });
    expect(await plan('failed')).toEqual({ state: 'failed', rows: [back(1, 'failed')], staying: 0 });
    expect(await plan('unknown')).toEqual({ state: 'unknown', rows: [back(2, 'unknown')], staying: 0 });
    expect(await plan('skipped')).toMatchObject({ rows: [], staying: 4 });
    expect(await plan('failed', NOW + 23 * HOUR)).toMatchObject({ rows: [], staying: 1 });
  });

  it('offers whoever was left out and has written since; never a duplicate, an invalid row or an opt-out', async () => {
    const { plan, store, ledger } = await finished();
    await store.recordOpeners(
      accountKey,
      [4, 5].map((n) => wrote(user(n), NOW - n)),
    );
    ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', accountKey, user(5));
    expect(await plan('skipped')).toMatchObject({ rows: [{ seq: 4, from: 'skipped' }], staying: 3 });
  });

  it('changes nothing itself; requeued, the rows are sent once more and nobody else is', async () => {
    const world = await finished();
    const requeue = (await world.plan('failed')).rows;
    expect((await world.store.summary('c1')).counts.failed).toBe(1);
    expect(await run(world, { requeue })).toMatchObject({
      end: 'finished',
      counts: { sent: 2, failed: 0, unknown: 1 },
    });
    expect(world.provider.departures.map((one) => one.userId)).toEqual([1, 2, 3, 1].map(user));
  });

  it('asks for no window where the template needs none', async () => {
    const world = await stageRows([leftOut(1, { reason: 'window_closed' })], [], undefined, {
      template: registeredTemplate,
    });
    await run(world);
    const campaign = (await world.store.campaign('c1'))!;
    const { rows } = await planRetry(world.store, campaign, 'skipped', exactWindow, NOW);
    expect(rows).toEqual([{ seq: 1, closesAt: null, from: 'skipped' }]);
  });

  it.each(['ready', 'running', 'paused', 'stopped', 'continuous'] as const)(
    'refuses a campaign that is %s',
    async (state) => {
      const { store } = await finished();
      const campaign = { ...(await store.campaign('c1'))!, state };
      expect(await failureOf(planRetry(store, campaign, 'failed', exactWindow, NOW))).toBe('CAMPAIGN_STATE');
    },
  );

  it.each<[RetryableState, number]>([
    ['failed', 1],
    ['skipped', 4],
  ])('of rows that are %s does not send to whoever has become unknown meanwhile', async (state, seq) => {
    const world = await finished();
    await world.store.recordOpeners(accountKey, [wrote(user(4), NOW - 1)]);
    const requeue = (await world.plan(state)).rows;
    expect(requeue).toMatchObject([{ seq }]);
    // Somebody else retries the same row, and their run dies with the message under way.
    world.ledger.sql(`UPDATE messages SET state = 'unknown', reason = NULL WHERE seq = ?`, seq);
    const before = world.provider.departures.length;
    expect(await failureOf(run(world, { requeue }))).toBe('COUNT_DIFFERS');
    expect(world.provider.departures).toHaveLength(before);
    expect(await world.store.campaign('c1')).toMatchObject({ state: 'finished' });
    // The account is free for the next try.
    const fresh = (await world.plan('unknown')).rows;
    expect(await run(world, { requeue: fresh })).toMatchObject({ end: 'finished', counts: { unknown: 0 } });
  });
});
