import { describe, expect, it, vi } from 'vitest';
import { accountKey, collect, exactWindow, failureOf, HOUR, NOW, row, user } from '../support/fixtures.js';
import { run, stageRows, wrote } from '../support/fixtures-run.js';

const timing = { sendAt: NOW + HOUR, expiresAt: NOW + 2 * HOUR, zone: 'UTC' };

/** Five people, as they stood when the campaign was approved, and what they did in the hour after that. */
async function anHourLater(change: Partial<{ pace: number }> = {}) {
  const world = await stageRows(
    [
      row(1, { closesAt: NOW + 23 * HOUR }),
      row(2, { closesAt: NOW + HOUR / 2 }),
      row(3, { reason: 'window_closed', closesAt: null }),
      row(4, { reason: 'window_unknown', closesAt: null, opener: null }),
      row(5, { reason: 'duplicate', closesAt: null, userId: user(1) }),
    ],
    [wrote(user(1), NOW - HOUR), wrote(user(2), NOW - 23.5 * HOUR), wrote(user(3), NOW - 30 * HOUR)],
    undefined,
    { timing, ...change },
  );
  await world.store.recordOpeners(accountKey, [{ userId: user(3), openedAt: NOW + 5, opener: 'button' }]);
  world.ledger.sql('INSERT INTO opt_outs (account, user_id, since) SELECT account, ?, 0 FROM campaigns', user(1));
  world.clock.advance(HOUR);
  return world;
}

describe('a timed campaign', () => {
  it('goes to whoever has an open window at its time, and to nobody else', async () => {
    const world = await anHourLater();
    const result = await run(world);
    expect(world.provider.departures.map((one) => one.userId)).toEqual([user(3)]);
    expect(result).toMatchObject({
      end: 'finished',
      counts: { sent: 1, skipped: 4, total: 5 },
      skip: { opted_out: 1, window_closed: 1, window_unknown: 1, duplicate: 1 },
      changed: { out: { opted_out: 1, window_closed: 1 }, in: 1 },
    });
    const [third] = (await collect(world.store.messages({ userId: user(3) }))).values();
    expect(third).toMatchObject({ opener: 'button', closesAt: NOW + 5 + 24 * HOUR });
  });

  it('leaves out whoever would have their turn too late', async () => {
    const people = [1, 2, 3, 4].map((seq) => row(seq, { closesAt: NOW + 23 * HOUR }));
    const world = await stageRows(
      people,
      people.map(({ userId }) => wrote(userId, NOW - 23 * HOUR + 1000)),
      undefined,
      { timing, pace: 2 },
    );
    world.clock.advance(HOUR);
    const result = await run(world, { window: exactWindow });
    expect(result).toMatchObject({ counts: { sent: 2 }, skip: { window_closes_before_turn: 2 } });
  });

  it('does not go out before its time', async () => {
    const world = await anHourLater();
    world.clock.jump(-1);
    expect(await failureOf(run(world))).toBe('CAMPAIGN_STATE');
    expect(world.provider.departures).toEqual([]);
  });

  it('is not sent any more once it could not start in time', async () => {
    const world = await anHourLater();
    world.clock.advance(HOUR);
    expect(await run(world)).toMatchObject({ end: 'expired', campaign: { state: 'expired' }, skip: { expired: 2 } });
    expect(world.provider.departures).toEqual([]);
  });

  it('is planned again by the next process when one dies while planning', async () => {
    const world = await anHourLater();
    const { store } = world;
    const write = store.replan.bind(store);
    vi.spyOn(store, 'replan').mockImplementationOnce(async (...given) => {
      await write(...given);
      throw new Error('died');
    });
    await expect(run(world)).rejects.toThrow('died');
    expect(await store.campaign('c1')).toMatchObject({ state: 'scheduled', startedAt: null });
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 1 } });
    expect(world.provider.departures).toHaveLength(1);
  });
});

describe('pausing from elsewhere', () => {
  it.each([
    ['one a second', 1],
    ['35 a second', 35],
    ['no limit', Infinity],
    ['one an hour', 1 / 3600],
  ])('bites within a second at %s', async (_, pace) => {
    const people = Array.from({ length: 400 }, (__, index) => row(index + 1, { closesAt: NOW + 23 * HOUR }));
    const world = await stageRows(
      people,
      people.map(({ userId }) => wrote(userId, NOW - HOUR)),
      () => ({ back: 2000 }),
      { pace },
    );
    const pausedAt = NOW + 3210;
    world.clock.at(pausedAt, () => world.store.pause('c1', world.clock.now()));
    const result = await run(world);
    expect(result).toMatchObject({ end: 'paused', campaign: { state: 'paused' } });
    expect(Math.max(...world.provider.departures.map((one) => one.leftAt))).toBeLessThan(pausedAt + 1000);
  });

  it('and cancelling leaves out who has not got the message', async () => {
    const people = Array.from({ length: 50 }, (__, index) => row(index + 1, { closesAt: NOW + 23 * HOUR }));
    const world = await stageRows(
      people,
      people.map(({ userId }) => wrote(userId, NOW - HOUR)),
      undefined,
      { pace: 10 },
    );
    world.clock.at(NOW + 1050, async () => {
      await world.store.cancel('c1', world.clock.now());
    });
    const result = await run(world);
    expect(result.campaign.state).toBe('cancelled');
    expect(result.counts.sent + result.counts.skipped).toBe(50);
    expect(result.counts.sent).toBe(world.provider.departures.length);
  });
});

describe('a worker that is told to stop', () => {
  it('leaves the campaign running, and the next one goes on with it', async () => {
    const people = Array.from({ length: 30 }, (__, index) => row(index + 1, { closesAt: NOW + 23 * HOUR }));
    const world = await stageRows(
      people,
      people.map(({ userId }) => wrote(userId, NOW - HOUR)),
      undefined,
      { pace: 10 },
    );
    const stop = new AbortController();
    world.clock.at(NOW + 1000, () => stop.abort());
    const first = await run(world, { signal: stop.signal, onAbort: 'leave' });
    expect(first).toMatchObject({ end: 'running', campaign: { state: 'running' }, counts: { started: 0 } });
    expect(first.counts.queued).toBeGreaterThan(0);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 30 } });
    expect(new Set(world.provider.departures.map((one) => one.userId)).size).toBe(30);
    expect(world.provider.departures).toHaveLength(30);
  });
});
