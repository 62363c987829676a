import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Progress, RunResult, RunWorld } from '../../src/app/run.js';
import { MAX_ATTEMPTS, type Outcome, type RowState } from '../../src/core/delivery.js';
import { Failure } from '../../src/core/failure.js';
import { closesAt, DEFAULT_WINDOW } from '../../src/core/window.js';
import type { MessageRow, RunStep, Store } from '../../src/ports.js';
import { dyingAfter, failingAt, gone } from '../support/broken-world.js';
import {
  failure,
  mostWithin,
  type Departure,
  type FakeProvider,
  type Reply,
  type Script,
} from '../support/fake-provider.js';
import { run, stage, stageRows, wrote, type Stage } from '../support/fixtures-run.js';
import {
  accountKey,
  collect,
  DAY,
  failureOf,
  HOUR,
  MINUTE,
  NOW,
  readyCampaign,
  registeredTemplate,
  rows,
  successor,
  user,
} from '../support/fixtures.js';
import { expectSum } from '../support/store-contract.js';

const rejected: Outcome = { kind: 'rejected', error: failure('551') };
const retryable: Outcome = { kind: 'retryable', error: failure('2') };
const unknown: Outcome = { kind: 'unknown', error: failure('TIMEOUT') };
const paused = (pauseMs: number, code = '613'): Outcome => ({ kind: 'retryable', error: failure(code), pauseMs });
const tokenGone: Outcome = { kind: 'stopped', error: failure('190'), stop: 'token' };
const poison: Outcome = { kind: 'stopped', error: failure('100'), stop: 'content' };

/** Nth person of the campaign. */
const is = (message: { userId: string }, n: number): boolean => message.userId === user(n);

async function states(store: Store): Promise<Record<string, RowState>> {
  const all = await collect(store.messages({ campaign: 'c1' }));
  return Object.fromEntries(all.map((one) => [one.seq, one.state]));
}

async function onlyRow(store: Store): Promise<MessageRow> {
  const [only] = await collect(store.messages({ campaign: 'c1' }));
  return only!;
}

const times = (departures: readonly Departure[], userId: string): number[] =>
  departures.filter((one) => one.userId === userId).map((one) => one.leftAt - NOW);

const arrivals = (provider: FakeProvider): number[] => provider.departures.map((one) => one.arrivedAt);

function expectNobodyTwice(provider: FakeProvider): void {
  const people = provider.departures.map((one) => one.userId);
  expect(new Set(people).size).toBe(people.length);
}

describe('a run', () => {
  it('sends to everybody once, in the order of closing, and finishes', async () => {
    const staged = rows(100, (seq) => ({ closesAt: NOW + 23 * HOUR - (seq % 10) * MINUTE }));
    const world = await stageRows(
      staged,
      staged.map(({ userId }) => wrote(userId, NOW - HOUR)),
    );
    const result = await run(world);
    expect(result).toMatchObject({
      end: 'finished',
      counts: { sent: 100, total: 100 },
      campaign: { state: 'finished' },
    });
    expectNobodyTwice(world.provider);
    const order = [...staged].sort((a, b) => a.closesAt! - b.closesAt! || a.seq - b.seq);
    expect(world.provider.departures.map((one) => one.userId)).toEqual(order.map((one) => one.userId));
    expect(world.provider.departures[0]).toMatchObject({
      userId: user(9),
      metadata: 'pagecast/c1/9',
      text: 'Hi Ann, order A-9 leaves today.',
    });
    const nine = await collect(world.store.messages({ userId: user(9) }));
    expect(nine).toMatchObject([{ state: 'sent', messageId: 'm_pagecast/c1/9', attempts: 1 }]);
  });

  it('finishes a campaign that has nobody to send to', async () => {
    expect(await run(await stage(0))).toMatchObject({ end: 'finished', counts: { total: 0 } });
  });

  it('tells its progress with counts that always add up, and ends where the ledger ends', async () => {
    const outcomes = [undefined, rejected, unknown, retryable];
    const world = await stage(40, (message, nth) => {
      const outcome = nth === 1 ? outcomes[Number(message.userId) % 4] : undefined;
      return outcome === undefined ? {} : { outcome };
    });
    const told: Progress['counts'][] = [];
    const result = await run(world, {
      budget: { count: 99, share: 0 },
      onProgress: ({ counts }) => told.push({ ...counts }),
    });
    for (const counts of told) expectSum(counts, 40);
    expect(told.at(-1)).toEqual(result.counts);
    expect(Math.min(...told.flatMap((counts) => Object.values(counts)))).toBe(0);
  });

  it('loses no time over answers that take two seconds, and bounds the calls under way when they take longer', async () => {
    const slow = await stage(200, () => ({ back: 1900 }));
    await run(slow);
    // The first answer is waited for alone.
    expect(slow.clock.now() - NOW).toBeLessThan(1930 + (200 / 35) * 1000 * 1.3 + 1900);
    const slower = await stage(200, () => ({ back: 6000 }));
    await run(slower);
    expect(slower.provider.mostUnderWay).toBeLessThanOrEqual(70);
  });

  it.each([
    ['of another account', 'messenger/200000000000002', undefined],
    ['that is finished', accountKey, 'CAMPAIGN_STATE'],
  ])('of a campaign %s leaves the account free', async (_, name, code) => {
    const world = await stage(1, undefined, { account: name });
    await world.store.recordOpeners(name, [wrote(user(1), NOW)]);
    await run(world);
    if (code !== undefined) expect(await failureOf(run(world))).toBe(code);
    expect(await world.engine.own(name, world.clock.now())).not.toBeNull();
  });

  it('knows no campaign by another name', async () => {
    expect(await failureOf(run(await stage(1), { campaign: 'c9' }))).toBe('CAMPAIGN_UNKNOWN');
  });
});

describe('windows and opt-outs', () => {
  it('looks again at each window right before sending', async () => {
    const staged = rows(3, (seq) => ({ closesAt: NOW + seq }));
    const world = await stageRows(staged, [wrote(user(1), NOW - DAY), wrote(user(2), NOW - DAY + HOUR)]);
    expect(await run(world)).toMatchObject({
      counts: { sent: 1, skipped: 2 },
      skip: { window_closed: 1, window_unknown: 1 },
    });
    expect(world.provider.departures).toMatchObject([{ userId: user(2) }]);
  });

  it('needs no window for a registered template', async () => {
    const world = await stageRows(
      rows(2, () => ({ closesAt: null })),
      [wrote(user(1), NOW - 9 * DAY)],
      undefined,
      {
        template: registeredTemplate,
      },
    );
    expect(await run(world)).toMatchObject({ counts: { sent: 2 } });
  });

  it('leaves out whoever opts out while the run is on', async () => {
    const world = await stage(40);
    world.clock.at(NOW + 500, () => {
      world.ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', accountKey, user(30));
    });
    expect(await run(world)).toMatchObject({ counts: { sent: 39, skipped: 1 }, skip: { opted_out: 1 } });
    expect(times(world.provider.departures, user(30))).toEqual([]);
  });

  it('sends to whoever opened the window anew after the plan', async () => {
    const world = await stageRows(rows(1), [wrote(user(1), NOW - DAY)]);
    await world.store.recordOpeners(accountKey, [wrote(user(1), NOW - 1)]);
    expect(await run(world)).toMatchObject({ counts: { sent: 1 } });
  });

  it('never sends to anybody after their window has shut, whatever happens meanwhile', async () => {
    const reply: fc.Arbitrary<Reply> = fc.record({
      outcome: fc.constantFrom<Outcome>(retryable, paused(2000), rejected, unknown, { kind: 'sent', messageId: 'm' }),
      back: fc.integer({ min: 1, max: 3000 }),
    });
    const person = fc.record({
      closesIn: fc.integer({ min: -1000, max: 12_000 }),
      replies: fc.array(reply, { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(person, { maxLength: 20 }), fc.constantFrom(1, 5, 35), async (people, pace) => {
        const window = { ...DEFAULT_WINDOW, marginMs: 0 };
        const openedAt = (n: number): number => NOW + people[n - 1]!.closesIn - DAY;
        const staged = rows(people.length, (seq) => ({ closesAt: closesAt(openedAt(seq), window) }));
        const numbers = new Map(staged.map((one) => [one.userId, one.seq]));
        const world = await stageRows(
          staged,
          staged.map(({ seq, userId }) => wrote(userId, openedAt(seq))),
          ({ userId }, nth) => people[numbers.get(userId)! - 1]!.replies[nth - 1] ?? {},
          { pace },
        );
        const { counts } = await run(world, { window, budget: { count: 99, share: 1 } });
        for (const { userId, leftAt } of world.provider.departures) {
          expect(leftAt).toBeLessThan(openedAt(numbers.get(userId)!) + DAY);
        }
        expect(counts.queued + counts.started).toBe(0);
      }),
      { numRuns: 40 },
    );
  });
});

describe('attempts', () => {
  it('waits longer before each, and gives up after the last', async () => {
    const world = await stage(2, (message) => (is(message, 1) ? { outcome: retryable, back: 10 } : {}));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 1, failed: 1 }, errors: { 2: 1 } });
    const [first = 0, second = 0, third = 0, ...more] = times(world.provider.departures, user(1));
    expect(more).toEqual([]);
    expect(MAX_ATTEMPTS).toBe(3);
    expect(second - first).toBeGreaterThanOrEqual(500);
    expect(second - first).toBeLessThan(1100);
    expect(third - second).toBeGreaterThanOrEqual(1000);
    expect(third - second).toBeLessThan(2100);
  });

  it('end with the first that succeeds', async () => {
    const world = await stage(1, (_, nth) => (nth === 1 ? { outcome: retryable } : {}));
    await run(world);
    expect(await onlyRow(world.store)).toMatchObject({ state: 'sent', attempts: 2, error: null });
  });

  it.each<[string, Outcome, RowState, string]>([
    ['refused', rejected, 'failed', '551'],
    ['of unknown outcome', unknown, 'unknown', 'TIMEOUT'],
  ])('are never repeated when one is %s', async (_, outcome, state, code) => {
    const world = await stage(1, () => ({ outcome }));
    expect(await run(world)).toMatchObject({ end: 'finished', errors: { [code]: 1 }, refusedByOpener: { message: 1 } });
    expect(await onlyRow(world.store)).toMatchObject({ state, error: { code } });
    expect(world.provider.departures).toHaveLength(1);
  });

  it.each<[string, Reply]>([
    ['throws', { outcome: 'throws' }],
    ['gives no outcome', { outcome: 'nothing' }],
  ])('are of unknown outcome when the provider %s', async (_, reply) => {
    const world = await stage(3, (message) => (is(message, 2) ? reply : {}));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 2, unknown: 1 } });
    expect(await states(world.store)).toEqual({ 1: 'sent', 2: 'unknown', 3: 'sent' });
  });

  it('that hang hold up nobody else, and keep the account', async () => {
    const world = await stage(50, (message) => (is(message, 2) ? { back: 60_000 } : {}));
    const { engine } = world.ledger.as({ name: 'host/9', mayBeAlive: () => true });
    const rivals: unknown[] = [];
    for (const at of [16_000, 31_000, 59_000]) {
      world.clock.at(NOW + at, async () => void rivals.push(await engine.own(accountKey, world.clock.now())));
    }
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 50 } });
    expect(rivals).toEqual([null, null, null]);
    expect(world.provider.departures.at(-1)!.leftAt).toBeLessThan(NOW + 2500);
  });
});

describe('pauses', () => {
  it('hold up everybody for as long as the platform asks, and fail nobody', async () => {
    const world = await stage(50, (message, nth) => (is(message, 10) && nth === 1 ? { outcome: paused(20_000) } : {}));
    const waits = new Set<number>();
    const result = await run(world, {
      onProgress: ({ waitingMs }) => waitingMs > 0 && waits.add(world.clock.unset() + waitingMs - NOW),
    });
    expect(result).toMatchObject({ end: 'finished', counts: { sent: 50 } });
    const pausedAt = times(world.provider.departures, user(10))[0]! + 30;
    const between = world.provider.departures.map((one) => one.leftAt - NOW - pausedAt);
    expect(between.filter((after) => after > 0 && after < 20_000)).toEqual([]);
    expect([...waits]).toEqual([pausedAt + 20_000]);
  });

  it('that come together count once', async () => {
    const world = await stage(35, (_, nth) => (nth === 1 ? { outcome: paused(1000), back: 1200 } : {}));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 35 } });
  });

  it.each<[string, Outcome, string, number]>([
    ['longer than is worth waiting for', paused(130_000), 'rate_limit', 1],
    ['that never end', paused(1000, '4'), 'rate_limit', 6],
    ['because nothing can be reached', paused(0, 'CONNECTION_REFUSED'), 'network', 6],
  ])('%s end the run, and leave everybody queued', async (_, outcome, cause, calls) => {
    const world = await stage(3, () => ({ outcome }), { pace: 1 });
    const { error } = outcome as { error: object };
    expect(await run(world)).toMatchObject({
      end: 'stopped',
      campaign: { state: 'stopped', stop: { cause, error } },
      counts: { queued: 3 },
    });
    expect(world.provider.departures).toHaveLength(calls);
  });

  it('are forgotten once a message gets through', async () => {
    const world = await stage(9, (_, nth) => (nth === 1 ? { outcome: paused(1000) } : {}), { pace: 1 });
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 9 } });
  });
});

describe('stops', () => {
  it('come at once with an error of the account; the refused row and all others stay queued', async () => {
    const world = await stage(100, (message) => (is(message, 20) ? { outcome: tokenGone } : {}));
    const result = await run(world);
    expect(result).toMatchObject({
      end: 'stopped',
      campaign: { state: 'stopped', stop: { cause: 'token', error: { code: '190' } }, finishedAt: null },
    });
    expect(result.counts).toMatchObject({ failed: 0, unknown: 0, started: 0 });
    // At most what left while the refusal was on its way.
    expect(world.provider.departures.length).toBeLessThanOrEqual(22);
    expect((await states(world.store))[20]).toBe('queued');
  });

  it('let the campaign go on later, from the row that was refused', async () => {
    let gone = true;
    const world = await stage(30, (message) => (gone && is(message, 10) ? { outcome: tokenGone } : {}));
    await run(world);
    gone = false;
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 30 }, campaign: { stop: null } });
    expect(world.provider.departures.filter((one) => one.userId !== user(10))).toHaveLength(29);
  });

  it('come after one message when the account cannot send at all: the first goes alone', async () => {
    const world = await stage(100, () => ({ outcome: tokenGone, back: 12_000 }));
    expect(await run(world)).toMatchObject({ end: 'stopped', counts: { queued: 100 } });
    expect(world.provider.departures).toHaveLength(1);
  });

  it('are looked out for with the first message of each run', async () => {
    const world = await stage(50, (_, nth) => (nth === 1 ? { back: 1000 } : {}));
    await run(world);
    const [first, second] = world.provider.departures;
    expect(second!.leftAt).toBeGreaterThanOrEqual(first!.leftAt + 1000);
    expect(world.provider.mostUnderWay).toBeGreaterThan(20);
  });

  it('come with a message that is refused for its content while nobody has been sent to; its row is passed next time', async () => {
    const world = await stage(30, (message) => (is(message, 1) ? { outcome: poison } : {}));
    expect(await run(world)).toMatchObject({
      end: 'stopped',
      campaign: { stop: { cause: 'content', error: { code: '100' } } },
      counts: { failed: 1, queued: 29 },
    });
    expect(world.provider.departures).toHaveLength(1);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 29, failed: 1 } });
    expectNobodyTwice(world.provider);
  });

  it('do not come with such a message once somebody has got theirs, in this run or an earlier one', async () => {
    const world = await stage(60, (message) =>
      is(message, 20) || is(message, 40) ? { outcome: poison } : is(message, 10) ? { outcome: tokenGone } : {},
    );
    expect(await run(world)).toMatchObject({ end: 'stopped', campaign: { stop: { cause: 'token' } } });
    world.ledger.sql(`UPDATE messages SET closes_at = 0 WHERE seq = 20`);
    world.ledger.sql(`UPDATE messages SET closes_at = 1 WHERE seq = 40`);
    world.ledger.sql(`DELETE FROM messages WHERE seq = 10`);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 57, failed: 2 }, errors: { 100: 2 } });
  });

  it('come when too many are refused for their content', async () => {
    const world = await stage(60, (message) => (is(message, 1) ? {} : { outcome: poison }));
    const result = await run(world, { budget: { count: 5, share: 0.1 } });
    expect(result).toMatchObject({ end: 'stopped', campaign: { stop: { cause: 'too_many_failures' } } });
    expect(result.counts.failed).toBeLessThan(10);
  });

  it.each([
    ['rejected', rejected, 'failed'],
    ['unknown', unknown, 'unknown'],
  ] as const)('come when too many are %s', async (_, outcome, state) => {
    const world = await stage(100, () => ({ outcome, back: 5 }));
    const result = await run(world, { budget: { count: 5, share: 0.1 } });
    expect(result.campaign.stop).toMatchObject({ cause: 'too_many_failures', error: outcome.error });
    expect(result.counts).toMatchObject({ [state]: 5, queued: 95 });
  });

  it('do not come for a few failures among many', async () => {
    const world = await stage(200, ({ userId }) => (Number(userId) % 13 === 0 ? { outcome: rejected } : {}));
    expect(await run(world)).toMatchObject({ end: 'finished' });
  });
});

describe('an interruption', () => {
  it('waits for what is under way, starts nothing more, and lets the campaign go on later', async () => {
    const world = await stage(100, () => ({ back: 700 }));
    const controller = new AbortController();
    world.clock.at(NOW + 1000, () => controller.abort());
    const first = await run(world, { signal: controller.signal });
    expect(first).toMatchObject({ end: 'paused', campaign: { state: 'paused' }, counts: { started: 0, unknown: 0 } });
    expect(first.counts.sent).toBe(world.provider.departures.length);
    expect(world.provider.departures.at(-1)!.leftAt).toBeLessThanOrEqual(NOW + 1000);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 100 } });
    expectNobodyTwice(world.provider);
  });

  it('before the start sends nothing', async () => {
    const world = await stage(3);
    expect(await run(world, { signal: AbortSignal.abort() })).toMatchObject({ end: 'paused', counts: { queued: 3 } });
    expect(world.provider.departures).toEqual([]);
  });

  it('after which nothing is left to send ends the campaign as if there had been none', async () => {
    const world = await stage(3, () => ({ back: 700 }), { pace: Infinity });
    const controller = new AbortController();
    world.clock.at(NOW + 1000, () => controller.abort());
    expect(await run(world, { signal: controller.signal })).toMatchObject({ end: 'finished', counts: { sent: 3 } });
    const waiting = await stage(1, () => ({ outcome: retryable }));
    const another = new AbortController();
    waiting.clock.at(NOW + 10, () => another.abort());
    expect(await run(waiting, { signal: another.signal })).toMatchObject({ end: 'paused', counts: { queued: 1 } });
  });

  it('during a pause ends it', async () => {
    const world = await stage(3, () => ({ outcome: paused(100_000) }));
    const controller = new AbortController();
    world.clock.at(NOW + 5000, () => controller.abort());
    expect(await run(world, { signal: controller.signal })).toMatchObject({ end: 'paused', counts: { queued: 3 } });
    expect(world.clock.now()).toBe(NOW + 5000);
  });

  it('from elsewhere, through the ledger, is obeyed as well', async () => {
    const world = await stage(100);
    world.clock.at(NOW + 1000, () => world.ledger.sql(`UPDATE campaigns SET state = 'paused'`));
    expect(await run(world)).toMatchObject({ end: 'paused', campaign: { state: 'paused' }, counts: { started: 0 } });
    expect(world.provider.departures.at(-1)!.leftAt).toBeLessThanOrEqual(NOW + 1000);
  });

  it('at any moment leaves nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 1, max: 900 }), async (at, back) => {
        const world = await stage(40, () => ({ back }));
        const controller = new AbortController();
        world.clock.at(NOW + at, () => controller.abort());
        const { counts } = await run(world, { signal: controller.signal });
        expect(counts.sent + counts.queued).toBe(40);
        expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 40 } });
        expectNobodyTwice(world.provider);
      }),
      { numRuns: 15 },
    );
  });
});

describe('the pace', () => {
  /** On its way a message is held up now and then; the first is not, so that there is something to measure by. */
  const jitter: Script = (message) => (is(message, 1) ? {} : { there: (Number(message.userId) * 37) % 180, back: 30 });

  const quick: Script = () => ({ back: 1 });

  it('is kept and never exceeded at the receiving end', async () => {
    const world = await stage(500, jitter);
    await run(world);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(35);
    const steady = await stage(500);
    await run(steady);
    expect(steady.clock.now() - NOW).toBeLessThanOrEqual(((500 / 35) * 1000) / 0.98);
  });

  it('is kept across the runs of an account', async () => {
    const world = await stage(6, quick, { pace: 2 });
    // Some of these runs send nothing: they must not make room for the one after them.
    for (const ms of [510, 5, 5, 1300, 5]) {
      const controller = new AbortController();
      world.clock.at(world.clock.now() + ms, () => controller.abort());
      expect(await run(world, { signal: controller.signal })).toMatchObject({ end: 'paused' });
    }
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 6 } });
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(2);
  });

  it('is kept when a run takes over from one that died', async () => {
    const world = await stage(6, quick, { pace: 2 });
    await expect(run(dyingAfter(world, 24, 'before'))).rejects.toThrow('the machine is gone');
    const before = world.provider.departures.length;
    expect(before).toBeGreaterThanOrEqual(2);
    const { store, engine } = world.ledger.as(successor);
    expect(await run({ ...world, store, engine })).toMatchObject({ end: 'finished' });
    expect(world.provider.departures.length).toBeGreaterThan(before);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(2);
  });

  it.each<[string, (n: number) => number]>([
    ['each takes 900 ms', () => 900],
    ['they take up to 900 ms', (n) => (n * 7919) % 900],
    ['most are there at once', (n) => (n % 9 === 0 ? 900 : 0)],
    ['one takes 20 s', (n) => (n === 50 ? 20_000 : 0)],
  ])('is not exceeded while connections are made: %s', async (_, connecting) => {
    const world = await stage(200, ({ metadata }) => ({ connecting: connecting(Number(metadata.split('/')[2])) }));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 200 } });
    expectNobodyTwice(world.provider);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(35);
    expect(world.clock.unset() - NOW).toBeLessThan(40_000);
  });

  it.each([
    ['a minute', 1 / 3600, 59_000, 60_001],
    ['its own pace needs', 35, 1000, 1300],
  ])('waits no longer than %s for what an owner from the future asks for', async (_, pace, least, most) => {
    const world = await stage(1, undefined, { pace });
    // Whoever had the account last believed it to be tomorrow.
    await world.engine.release((await world.engine.own(accountKey, NOW))!, NOW + DAY, Infinity);
    expect(await run(world)).toMatchObject({ end: 'finished' });
    expect(times(world.provider.departures, user(1))[0]).toBeGreaterThanOrEqual(least);
    expect(times(world.provider.departures, user(1))[0]).toBeLessThanOrEqual(most);
  });

  it('may be unlimited', async () => {
    const world = await stage(600, undefined, { pace: Infinity });
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 600 } });
    expect(world.clock.now() - NOW).toBeLessThan(1000);
    expect(world.provider.mostUnderWay).toBeLessThan(600);
  });
});

describe('a clock that is set in mid-run', () => {
  const jumps = [
    ['back by half an hour', -HOUR / 2],
    ['back by a second', -1000],
    ['forward by a second', 1000],
    ['forward by ten hours', 10 * HOUR],
  ] as const;

  it.each(jumps)('%s: neither the run nor its pace takes notice', async (_, ms) => {
    const world = await stage(200);
    world.clock.at(NOW + 1510, () => world.clock.jump(ms));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 200 } });
    expectNobodyTwice(world.provider);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(35);
    expect(world.clock.unset() - NOW).toBeLessThanOrEqual(((200 / 35) * 1000) / 0.98 + 200);
  });

  it.each(jumps)('%s: a pause takes as long as it was to', async (_, ms) => {
    const world = await stage(3, (message, nth) => (is(message, 2) && nth === 1 ? { outcome: paused(20_000) } : {}), {
      pace: 1,
    });
    world.clock.at(NOW + 5000, () => world.clock.jump(ms));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 3 } });
    const [first = 0, second = 0] = times(world.provider.departures, user(2));
    expect(second - first).toBeGreaterThanOrEqual(20_000);
    expect(second - first).toBeLessThan(20_100);
  });

  it.each(jumps)('%s: another attempt waits for no more than a minute', async (_, ms) => {
    const world = await stage(3, (message, nth) => (is(message, 2) && nth === 1 ? { outcome: retryable } : {}));
    world.clock.at(NOW + 300, () => world.clock.jump(ms));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 3 } });
    expect(world.clock.unset() - NOW).toBeLessThan(62_000);
  });

  it.each(jumps)('%s: the lease is renewed as before', async (_, ms) => {
    const world = await stage(3, (message) => (is(message, 2) ? { back: 60_000 } : {}));
    world.clock.at(NOW + 1000, () => world.clock.jump(ms));
    const renewed: number[] = [];
    const engine = new Proxy(world.engine, {
      get(target, name) {
        if (name === 'renew') renewed.push(world.clock.unset() - NOW);
        return (Reflect.get(target, name) as () => unknown).bind(target);
      },
    });
    expect(await run({ ...world, engine })).toMatchObject({ end: 'finished' });
    expect(renewed.length).toBeGreaterThanOrEqual(11);
    expect(Math.max(...renewed.map((at, index) => at - (renewed[index - 1] ?? 0)))).toBeLessThanOrEqual(10_000);
  });
});

describe('a stall in the middle of a step', () => {
  /** The nth step that starts somebody takes so long, as when the lid of a laptop is shut. */
  function stalling(world: Stage, nth: number, stall: (started: RunStep['started']) => void): RunWorld {
    let count = 0;
    const store = new Proxy(world.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        if (name !== 'record') return member.bind(target);
        return async (...args: unknown[]) => {
          const isRunning = await Reflect.apply(member, target, args);
          const { started } = args[2] as RunStep;
          if (started.length > 0) count += 1;
          if (count === nth) {
            count += 1;
            stall(started);
          }
          return isRunning;
        };
      },
    });
    return { ...world, store };
  }

  it.each<[string, (world: Stage) => void]>([
    ['that the monotonic clock counts', (world) => world.clock.advance(2001)],
    ['that it does not count', (world) => world.clock.jump(2001)],
  ])('%s puts the started rows back, uncounted, and sends them in their turn', async (_, stall) => {
    const world = await stage(30);
    let until = Infinity;
    let held: number[] = [];
    const stalled = stalling(world, 5, (started) => {
      stall(world);
      until = world.clock.now();
      held = started.map(({ seq }) => seq);
    });
    const told: Progress['counts'][] = [];
    const result = await run(stalled, { onProgress: ({ counts }) => told.push({ ...counts }) });
    expect(result).toMatchObject({ end: 'finished', counts: { sent: 30 } });
    for (const counts of told) expectSum(counts, 30);
    expect(held.length).toBeGreaterThan(0);
    expectNobodyTwice(world.provider);
    const all = await collect(world.store.messages({ campaign: 'c1' }));
    expect(all.map((one) => one.attempts)).toEqual(all.map(() => 1));
    // What was started before is started anew.
    for (const one of all) if (held.includes(one.seq)) expect(one.startedAt).toBeGreaterThanOrEqual(until);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(35);
  });

  it.each([1, 5])('of a day sends to nobody any more (step %i)', async (nth) => {
    const world = await stage(30);
    let before = -1;
    const stall = (): void => {
      world.clock.jump(DAY);
      before = world.provider.departures.length;
    };
    const result = await run(stalling(world, nth, stall));
    expect(world.provider.departures).toHaveLength(before);
    expect(result).toMatchObject({ end: 'finished', counts: { failed: 0, unknown: 0 } });
    expect(result.counts.sent).toBe(world.provider.departures.length);
    expect(result.counts.sent).toBeLessThan(10);
    expect(result.skip).toEqual({ window_closed: 30 - result.counts.sent });
  });

  it('after which another process has the account sends nothing', async () => {
    const world = await stage(10);
    const heir = world.ledger.as(successor);
    let second: Promise<RunResult> | undefined;
    const stalled = stalling(world, 1, () => {
      world.clock.jump(HOUR);
      second = run({ ...world, ...heir });
    });
    const first = await failureOf(run(stalled));
    expect(first).toBe('LEASE_LOST');
    const { counts } = (await second)!;
    expect(counts).toMatchObject({ sent: 9, unknown: 1 });
    expect(world.provider.departures).toHaveLength(9);
    expectNobodyTwice(world.provider);
  });

  it('shorter than that changes nothing', async () => {
    const world = await stage(1);
    await run(stalling(world, 1, () => world.clock.advance(1900)));
    expect(times(world.provider.departures, user(1))).toEqual([1900]);
    expect(await onlyRow(world.store)).toMatchObject({ state: 'sent', attempts: 1 });
  });
});

describe('an echo that comes between the look at a row and its next attempt', () => {
  it.each([1, 5, 40])('settles it, and the run goes on with the others (%i people)', async (people) => {
    const world = await stage(people, ({ userId }, nth) =>
      userId === user(1) && nth === 1 ? { outcome: retryable } : {},
    );
    let isEchoed = false;
    const store = new Proxy(world.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        if (name !== 'record') return member.bind(target);
        return async (...args: unknown[]) => {
          const { started } = args[2] as RunStep;
          const { attempts } = (await target.message({ campaign: 'c1', seq: 1 }))!;
          if (!isEchoed && attempts > 0 && started.some(({ seq }) => seq === 1)) {
            isEchoed = true;
            await target.recordEchoes(accountKey, [{ campaign: 'c1', seq: 1, messageId: 'm_echo' }], NOW);
          }
          return Reflect.apply(member, target, args);
        };
      },
    });
    expect(await run({ ...world, store })).toMatchObject({ end: 'finished', counts: { sent: people } });
    expect(isEchoed).toBe(true);
    expect(await world.store.message({ campaign: 'c1', seq: 1 })).toMatchObject({ state: 'sent', messageId: 'm_echo' });
    expectNobodyTwice(world.provider);
  });
});

describe('two at once', () => {
  it('on one account: one of them is told that it is busy', async () => {
    const world = await stage(20);
    await readyCampaign(world.store, rows(5), { id: 'c2' });
    const both = await Promise.all([failureOf(run(world)), failureOf(run(world, { campaign: 'c2' }))]);
    expect(both).toContain('ACCOUNT_BUSY');
    expect(world.provider.departures).toHaveLength(20);
    expect(await run(world, { campaign: 'c2' })).toMatchObject({ end: 'finished', counts: { sent: 5 } });
  });

  it('on two accounts do not get in each other’s way', async () => {
    const world = await stage(30);
    await world.store.recordOpeners(
      'messenger/200000000000002',
      rows(30).map(({ userId }) => wrote(userId, NOW)),
    );
    await readyCampaign(world.store, rows(30), { id: 'c2', account: 'messenger/200000000000002' });
    const both = await Promise.all([run(world), run(world, { campaign: 'c2' })]);
    expect(both.map((one) => one.counts.sent)).toEqual([30, 30]);
  });

  it('when the account is taken over, the former owner sends nothing more and nobody gets it twice', async () => {
    const world = await stage(60, () => ({ back: 300 }));
    const heir = world.ledger.as(successor);
    let second: Promise<RunResult> | undefined;
    world.clock.at(NOW + 800, () => {
      second = run({ ...world, ...heir, provider: world.provider });
    });
    expect(await failureOf(run(world))).toBe('LEASE_LOST');
    const before = world.provider.departures.filter((one) => one.leftAt <= NOW + 800).length;
    const { counts } = (await second)!;
    expectSum(counts, 60);
    expect(counts.queued + counts.started).toBe(0);
    // Each message that was under way at the takeover is unknown, and no more than those.
    expect(counts.unknown).toBeLessThanOrEqual(Math.ceil(0.3 * 35) + 1);
    expect(world.provider.departures).toHaveLength(60);
    expect(counts.sent).toBe(60 - counts.unknown);
    expect(before).toBeGreaterThan(counts.unknown);
    expectNobodyTwice(world.provider);
  });
});

// ---------------------------------------------------------------------------------------------------- crashes

/** Some are refused, some are tried again, some take long. */
const mixed: Script = ({ userId }, nth) => {
  const kind = Number(userId) % 5;
  if (kind === 0) return { outcome: rejected };
  if (kind === 1 && nth === 1) return { outcome: retryable };
  return { back: kind === 2 ? 900 : 40 };
};

describe('a crash', () => {
  const people = 12;
  const budget = { count: 99, share: 1 };

  /** How many messages a person may have got: all that were not surely refused. */
  const accepted = (provider: FakeProvider): string[] => {
    const seen = new Map<string, number>();
    return provider.departures.flatMap(({ userId }) => {
      const nth = (seen.get(userId) ?? 0) + 1;
      seen.set(userId, nth);
      return mixed({ userId } as never, nth).outcome === undefined ? [userId] : [];
    });
  };

  async function expectRecovery(world: Stage, broken: RunWorld): Promise<'died' | 'lived'> {
    let end: 'died' | 'lived' = 'lived';
    try {
      await run(broken, { budget });
    } catch (error) {
      if (error !== gone && !(error instanceof Failure && error.code === 'STORE_FULL')) throw error;
      end = 'died';
    }
    const between = (await world.store.summary('c1')).counts;
    expectSum(between, people);
    const heir = world.ledger.as(successor);
    if ((await heir.store.campaign('c1'))!.state !== 'finished') {
      await run({ ...world, ...heir }, { budget });
    }
    const { counts } = await heir.store.summary('c1');
    expectSum(counts, people);
    expect(counts.queued + counts.started).toBe(0);
    expect(counts.unknown).toBeLessThanOrEqual(between.started + between.unknown);
    const got = accepted(world.provider);
    expect(new Set(got).size).toBe(got.length);
    expect(mostWithin(arrivals(world.provider), 1000)).toBeLessThanOrEqual(35);
    // Nobody is passed over in silence: whoever is not known to have got it is failed or unknown.
    expect(counts.sent + counts.failed + counts.unknown).toBe(people);
    return end;
  }

  it.each(['before', 'after'] as const)('%s any operation: nobody gets it twice, nobody is lost', async (moment) => {
    let died = 0;
    for (let k = 1; ; k += 1) {
      const world = await stage(people, mixed);
      if ((await expectRecovery(world, dyingAfter(world, k, moment))) === 'lived') break;
      died += 1;
    }
    expect(died).toBeGreaterThan(people);
  });

  it.each(['before', 'after'] as const)('of one operation alone, %s it: the same', async (moment) => {
    let died = 0;
    for (let k = 1; k < 200; k += 1) {
      const world = await stage(people, mixed);
      if ((await expectRecovery(world, failingAt(world, k, moment))) === 'died') died += 1;
      else if (died > people) break;
    }
    expect(died).toBeGreaterThan(people);
  });

  it('writes down what came back although one write failed', async () => {
    const world = await stage(10, () => ({ back: 200 }));
    let failed = false;
    const store = new Proxy(world.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          const step = args[2] as { settled?: unknown[] } | undefined;
          if (name === 'record' && !failed && (step?.settled?.length ?? 0) > 0) {
            failed = true;
            return Promise.reject(new Failure('STORE_FULL', 'the disk is full'));
          }
          return Reflect.apply(member, target, args);
        };
      },
    });
    expect(await failureOf(run({ ...world, store }))).toBe('STORE_FULL');
    const { counts } = await world.store.summary('c1');
    expect(counts).toMatchObject({ started: 0, unknown: 0, sent: world.provider.departures.length });
  });
});
