/** Single messages: sent by whoever owns the account, alone or before the rows of a campaign. */
import { describe, expect, it } from 'vitest';
import { sendSingles, type SinglesResult } from '../../src/app/send-singles.js';
import type { RunWorld } from '../../src/app/run.js';
import { MAX_ATTEMPTS, type Outcome } from '../../src/core/delivery.js';
import { Failure } from '../../src/core/failure.js';
import type { RowMark } from '../../src/core/metadata.js';
import { OPT_OUT_FLOW } from '../../src/core/opt-out.js';
import type { SendMode } from '../../src/core/policy.js';
import type { ContinuousCampaign, MessageRow, NewCampaign, NewSingle, QuietRule, Store } from '../../src/ports.js';
import { dyingAfter, failingAt, gone } from '../support/broken-world.js';
import { failure, mostWithin, type Script } from '../support/fake-provider.js';
import { newSingle, optOut, queueSingle } from '../support/fixtures-inbound.js';
import { run, stageRows, wrote, type Stage } from '../support/fixtures-run.js';
import {
  accountKey,
  collect,
  DAY,
  exactWindow,
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

const PEOPLE = 400;
const retryable: Outcome = { kind: 'retryable', error: failure('2') };
const rejected: Outcome = { kind: 'rejected', error: failure('551') };
const poison: Outcome = { kind: 'stopped', error: failure('100'), stop: 'content' };
const noPermission: Outcome = { kind: 'stopped', error: failure('200'), stop: 'permission' };
const tokenGone: Outcome = { kind: 'stopped', error: failure('190'), stop: 'token' };
const limited = (pauseMs: number): Outcome => ({ kind: 'retryable', error: failure('613'), pauseMs });

/** An account to which everybody wrote an hour ago, and a campaign `c1` for so many of them. */
function ready(inBulk = 0, script?: Script, change?: Partial<NewCampaign>): Promise<Stage> {
  const everybody = Array.from({ length: PEOPLE }, (_, index) => wrote(user(index + 1), NOW - HOUR));
  return stageRows(
    rows(inBulk, () => ({ closesAt: NOW + 23 * HOUR })),
    everybody,
    script,
    change,
  );
}

/** People to whom no row of a campaign goes. */
const stranger = (n: number): string => user(PEOPLE - n);

/** A single message to the nth stranger. */
function single(n: number, change: Parameters<typeof newSingle>[1] = {}): NewSingle {
  return newSingle(`e${n}`, { userId: stranger(n), ...change });
}

/** Queues a single message to the nth stranger so long after the start. */
function queueAt(world: Stage, afterMs: number, n: number): void {
  world.clock.at(NOW + afterMs, async () => {
    await queueSingle(world.store, single(n), world.clock.now());
  });
}

function send(world: Stage, signal = new AbortController().signal): Promise<SinglesResult> {
  return sendSingles({ ...world, window: exactWindow }, accountKey, signal);
}

async function rowOf(store: Store, mark: RowMark): Promise<MessageRow> {
  return (await store.message(mark))!;
}

const peopleOf = (world: Stage): string[] => world.provider.departures.map((one) => one.userId);

describe('single messages', () => {
  it('go out in the order in which they were queued, and are settled in their own campaigns', async () => {
    const world = await ready();
    const marks = [];
    for (const n of [3, 1, 2]) marks.push(await queueSingle(world.store, single(n, { values: ['Ann', `A-${n}`] })));
    expect(await send(world)).toEqual({ kind: 'done', settled: 3, stop: null });
    expect(world.provider.departures.map(({ userId, text }) => [userId, text])).toEqual([
      [stranger(3), 'Hi Ann, order A-3 leaves today.'],
      [stranger(1), 'Hi Ann, order A-1 leaves today.'],
      [stranger(2), 'Hi Ann, order A-2 leaves today.'],
    ]);
    for (const mark of marks) {
      expect(await rowOf(world.store, mark)).toMatchObject({
        state: 'sent',
        attempts: 1,
        messageId: `m_pagecast/${mark.campaign}/${mark.seq}`,
      });
    }
    expect(await world.store.campaign(marks[0]!.campaign)).toMatchObject({ state: 'continuous' });
    expect(await send(world)).toEqual({ kind: 'done', settled: 0, stop: null });
  });

  it.each<[SendMode & ContinuousCampaign['mode'], boolean]>([
    ['interactive', true],
    ['auto-reply', true],
    ['automation', false],
    ['notification', false],
  ])('of %s are replies: %s', async (mode, isReply) => {
    const world = await ready();
    await queueSingle(world.store, single(1, { campaign: { mode, template: registeredTemplate } }));
    await send(world);
    expect(world.provider.departures).toMatchObject([{ isReply, registered: 'order_update' }]);
  });

  it('that may not be sent yet wait', async () => {
    const world = await ready();
    const mark = await queueSingle(world.store, single(1, { notBefore: NOW + 1 }));
    expect(await send(world)).toEqual({ kind: 'done', settled: 0, stop: null });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'queued' });
    world.clock.advance(1);
    expect(await send(world)).toMatchObject({ settled: 1 });
  });

  it('are left to whoever has the account', async () => {
    const world = await ready();
    await queueSingle(world.store, single(1));
    const other = world.ledger.as({ name: 'host/77', mayBeAlive: () => true });
    const lease = (await other.engine.own(accountKey, NOW))!;
    expect(await send(world)).toEqual({ kind: 'busy' });
    await other.engine.release(lease, 0, 0);
    expect(await send(world)).toMatchObject({ settled: 1 });
  });

  it.each([
    [NOW + 1, 'sent', null],
    [NOW, 'skipped', 'expired'],
  ])('that are too late from %i on are %s', async (expiresAt, state, reason) => {
    const world = await ready();
    const mark = await queueSingle(world.store, single(1, { expiresAt }), NOW - HOUR);
    expect(await send(world)).toMatchObject({ settled: 1 });
    expect(await rowOf(world.store, mark)).toMatchObject({ state, reason });
  });

  it.each<[string, Partial<ContinuousCampaign>, string | null]>([
    ['a session template', {}, 'window_closed'],
    ['a registered one', { template: registeredTemplate }, null],
    ['a session template of an automation', { mode: 'automation' }, 'invalid'],
  ])('look at the window once more: %s', async (_, campaign, reason) => {
    const world = await ready();
    const mark = await queueSingle(world.store, single(1, { campaign, expiresAt: NOW + 9 * DAY }));
    world.clock.advance(DAY);
    await send(world);
    expect(await rowOf(world.store, mark)).toMatchObject({ state: reason === null ? 'sent' : 'skipped', reason });
  });

  const OUT = NOW - 1000;
  const never = { before: 'opted_out', then: 'opted_out', later: 'opted_out', nothing: 'opted_out' };
  it.each<[ContinuousCampaign['mode'], string | null, typeof never | Record<string, string | null>]>([
    ['interactive', null, { ...never, later: null }],
    ['auto-reply', 'hello', { ...never, later: null }],
    ['auto-reply', OPT_OUT_FLOW, { ...never, then: null, later: null }],
    ['automation', 'reminder', never],
    ['notification', 'news', never],
  ])('of %s (%s) reach those who have opted out only as answers: %o', async (mode, flow, reasons) => {
    const world = await ready();
    await world.store.changeOptOuts([optOut(stranger(1), { at: OUT })]);
    const times = { before: OUT - 1, then: OUT, later: OUT + 1, nothing: null };
    const found: Record<string, string | null> = {};
    for (const [when, answersAt] of Object.entries(times)) {
      const one = newSingle(when, {
        userId: stranger(1),
        answersAt,
        campaign: { mode, flow, template: registeredTemplate },
      });
      const mark = await queueSingle(world.store, one);
      await send(world);
      found[when] = (await rowOf(world.store, mark)).reason;
    }
    expect(found).toEqual(reasons);
  });

  it('go out one a call, whatever the provider could carry', async () => {
    const world = await ready();
    world.provider.capabilities.maxBatch = () => 50;
    for (let n = 1; n <= 20; n += 1) await queueSingle(world.store, single(n));
    await send(world);
    expect(world.provider.batches).toEqual(Array.from({ length: 20 }, () => 1));
  });

  it('lose no time over answers that take two seconds', async () => {
    const world = await ready(0, () => ({ back: 1900 }));
    for (let n = 1; n <= 100; n += 1) await queueSingle(world.store, single(n));
    expect(await send(world)).toMatchObject({ settled: 100 });
    expect(world.clock.now() - NOW).toBeLessThan(1930 + (100 / 35) * 1000 * 1.3 + 1900);
  });

  it('are not started any more after an interruption', async () => {
    const world = await ready(0, () => ({ back: 300 }));
    for (let n = 1; n <= 100; n += 1) await queueSingle(world.store, single(n));
    const controller = new AbortController();
    world.clock.at(NOW + 1000, () => controller.abort());
    const result = await send(world, controller.signal);
    expect(result).toMatchObject({ kind: 'done', settled: world.provider.departures.length, stop: null });
    expect(world.provider.departures.at(-1)!.leftAt).toBeLessThanOrEqual(NOW + 1000);
    expect(world.provider.departures.length).toBeLessThan(50);
    await send(world);
    expect(new Set(peopleOf(world)).size).toBe(100);
    expect(peopleOf(world)).toHaveLength(100);
  });
});

describe('single messages of several paces', () => {
  it.each([
    ['alone', 0],
    ['beside a campaign', 100],
  ])('keep to that of audio among themselves, and to that of the account with all others: %s', async (_, inBulk) => {
    const world = await ready(inBulk);
    const isAudio = ({ userId }: { userId: string }): boolean => userId > stranger(40) && userId < stranger(0);
    for (let n = 1; n <= 39; n += 1) {
      await queueSingle(world.store, single(n, { campaign: { flow: 'song', pace: 10 } }));
    }
    await queueSingle(world.store, single(40));
    if (inBulk > 0) expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: inBulk } });
    await send(world);
    const { departures } = world.provider;
    expect(new Set(peopleOf(world)).size).toBe(40 + inBulk);
    expect(departures).toHaveLength(40 + inBulk);
    const arrivals = (some: typeof departures): number[] => some.map(({ arrivedAt }) => arrivedAt);
    expect(mostWithin(arrivals(departures.filter(isAudio)), 1000)).toBeLessThanOrEqual(10);
    expect(mostWithin(arrivals(departures), 1000)).toBeLessThanOrEqual(35);
    const last = departures.filter(isAudio).at(-1)!;
    expect(last.leftAt - NOW).toBeLessThan(4500);
    // It was queued last, and need not wait behind them.
    expect(departures.find(({ userId }) => userId === stranger(40))!.leftAt - NOW).toBeLessThan(500);
  });
});

describe('quiet hours', () => {
  /** It is quiet from one to two hours after the start. */
  const START = (NOW / HOUR) % 24;
  const rule = (then: QuietRule['then']): QuietRule => ({
    hours: { from: (START + 1) * 60, to: (START + 2) * 60, zone: 'UTC' },
    then,
  });
  const registered = { mode: 'automation', template: registeredTemplate } as const;

  it.each<[string, QuietRule['then'], number, number, object]>([
    ['before them', 'wait', HOUR - 1000, 5 * HOUR, { state: 'sent' }],
    ['in them, waiting for their end', 'wait', HOUR, 2 * HOUR + 1, { state: 'queued', attempts: 0 }],
    ['in them, when that is too late', 'wait', HOUR, 2 * HOUR, { state: 'skipped', reason: 'expired' }],
    ['in them, where it is not to wait', 'skip', HOUR, 5 * HOUR, { state: 'skipped', reason: 'expired' }],
    ['after them', 'skip', 2 * HOUR, 5 * HOUR, { state: 'sent' }],
  ])('count when a message is sent: %s', async (_, then, afterMs, expiresAfterMs, row) => {
    const world = await ready();
    const campaign = { ...registered, quiet: rule(then) };
    const mark = await queueSingle(world.store, single(1, { campaign, expiresAt: NOW + expiresAfterMs }));
    world.clock.advance(afterMs);
    expect(await send(world)).toMatchObject({ kind: 'done', stop: null });
    expect(await rowOf(world.store, mark)).toMatchObject(row);
    const isQueued = 'attempts' in row;
    expect(await world.store.singlesDueAt(accountKey)).toBe(isQueued ? NOW + 2 * HOUR : null);
    if (!isQueued) return;
    world.clock.advance(HOUR);
    await send(world);
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'sent', attempts: 1 });
  });

  it('of one flow hold up neither another nor a campaign', async () => {
    const world = await ready(5);
    world.clock.advance(HOUR);
    const quiet = await queueSingle(world.store, single(1, { campaign: { flow: 'night', quiet: rule('wait') } }));
    await queueSingle(world.store, single(2));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 5 } });
    expect(peopleOf(world)).toHaveLength(6);
    expect(await rowOf(world.store, quiet)).toMatchObject({ state: 'queued', attempts: 0, error: null });
  });
});

describe('what single messages come to', () => {
  it('another attempt, later, as long as it is not too late', async () => {
    const world = await ready(0, (_, nth) => (nth === 1 ? { outcome: retryable } : {}));
    const mark = await queueSingle(world.store, single(1));
    expect(await send(world)).toEqual({ kind: 'done', settled: 0, stop: null });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'queued', attempts: 1, error: { code: '2' } });
    const dueAt = (await world.store.singlesDueAt(accountKey))!;
    expect(dueAt - world.clock.now()).toBeGreaterThan(400);
    world.clock.advance(dueAt - world.clock.now());
    expect(await send(world)).toMatchObject({ settled: 1 });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'sent', attempts: 2, error: null });
  });

  it('an end when it would be too late for another attempt', async () => {
    const world = await ready(0, () => ({ outcome: retryable }));
    const mark = await queueSingle(world.store, single(1, { expiresAt: NOW + 500 }));
    expect(await send(world)).toMatchObject({ settled: 1 });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'failed', error: { code: '2' } });
  });

  it(`an end after ${MAX_ATTEMPTS} attempts`, async () => {
    const world = await ready(0, () => ({ outcome: retryable }));
    const mark = await queueSingle(world.store, single(1));
    for (let dueAt: number | null = NOW; dueAt !== null; dueAt = await world.store.singlesDueAt(accountKey)) {
      world.clock.advance(Math.max(0, dueAt - world.clock.now()));
      await send(world);
    }
    expect(world.provider.departures).toHaveLength(MAX_ATTEMPTS);
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'failed', error: { code: '2' } });
  });

  it.each<[string, Outcome, object]>([
    ['refused', rejected, { state: 'failed', error: { code: '551' } }],
    ['refused for its content', poison, { state: 'failed', error: { code: '100' } }],
    ['unknown', { kind: 'unknown', error: failure('TIMEOUT') }, { state: 'unknown', error: { code: 'TIMEOUT' } }],
  ])('nothing for the others, when one is %s', async (_, outcome, row) => {
    const world = await ready(0, ({ userId }) => (userId === stranger(20) ? {} : { outcome }));
    const marks = [];
    for (let n = 1; n <= 20; n += 1) marks.push(await queueSingle(world.store, single(n)));
    expect(await send(world)).toEqual({ kind: 'done', settled: 20, stop: null });
    expect(await rowOf(world.store, marks[0]!)).toMatchObject(row);
    expect(await rowOf(world.store, marks[19]!)).toMatchObject({ state: 'sent' });
  });

  it('an opt-out, when the service says so', async () => {
    const world = await ready(0, () => ({ outcome: { kind: 'rejected', error: failure('21610'), optedOut: true } }));
    await queueSingle(world.store, single(1));
    await send(world);
    const [standing] = await world.store.standings(accountKey, [stranger(1)], exactWindow);
    expect(standing?.optedOutAt).not.toBeNull();
  });

  it('a stop for all, when nothing can be sent for the account: the first goes alone, and all stay queued', async () => {
    const world = await ready(0, () => ({ outcome: tokenGone }));
    const marks = [];
    for (let n = 1; n <= 5; n += 1) marks.push(await queueSingle(world.store, single(n)));
    expect(await send(world)).toMatchObject({
      kind: 'done',
      settled: 0,
      stop: { cause: 'token', error: { code: '190' } },
    });
    expect(world.provider.departures).toHaveLength(1);
    for (const mark of marks) expect(await rowOf(world.store, mark)).toMatchObject({ state: 'queued', attempts: 0 });
  });

  it('a place after the others, when it is refused for the account and they are not', async () => {
    const world = await ready(0, ({ userId }) => (userId === stranger(1) ? { outcome: noPermission } : {}));
    const stuck = await queueSingle(world.store, single(1, { campaign: { template: registeredTemplate } }));
    for (const n of [2, 3]) await queueSingle(world.store, single(n));
    expect(await send(world)).toMatchObject({ settled: 0, stop: { cause: 'permission', error: { code: '200' } } });
    expect(await send(world)).toEqual({ kind: 'done', settled: 2, stop: null });
    expect(peopleOf(world)).toEqual([stranger(1), stranger(2), stranger(3)]);
    // And so it is when it is due again.
    world.clock.advance(MINUTE - 1000);
    queueAt(world, world.clock.now() - NOW + 1, 4);
    await world.clock.sleep(2000);
    expect(await send(world)).toMatchObject({ settled: 1, stop: { cause: 'permission' } });
    expect(peopleOf(world).slice(3)).toEqual([stranger(4), stranger(1)]);
    expect(await rowOf(world.store, stuck)).toMatchObject({ state: 'queued', attempts: 0 });
  });

  it('a failure, when the account cannot send registered templates', async () => {
    const world = await ready();
    world.provider.capabilities.registeredTemplates = false;
    const marks = [
      await queueSingle(world.store, single(1, { campaign: { template: registeredTemplate } })),
      await queueSingle(world.store, single(2)),
    ];
    const told: [string, string][] = [];
    const onSingle: RunWorld['onSingle'] = ({ template }, state) => told.push([template.kind, state]);
    expect(await send({ ...world, onSingle })).toEqual({ kind: 'done', settled: 2, stop: null });
    const [first, second] = await Promise.all(marks.map((mark) => rowOf(world.store, mark)));
    expect(first).toMatchObject({ state: 'failed', error: { code: 'TEMPLATE_UNSUPPORTED' } });
    expect(second).toMatchObject({ state: 'sent' });
    expect(peopleOf(world)).toEqual([stranger(2)]);
    expect(told).toEqual([
      ['registered', 'failed'],
      ['session', 'sent'],
    ]);
  });

  it('a rest, which is waited for', async () => {
    const world = await ready(0, (_, nth) => (nth === 1 ? { outcome: limited(20_000) } : {}));
    const mark = await queueSingle(world.store, single(1));
    expect(await send(world)).toMatchObject({ settled: 1, stop: null });
    expect(world.provider.departures[1]!.leftAt - NOW).toBeGreaterThanOrEqual(20_000);
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'sent', attempts: 1 });
  });

  it('a rest that may be interrupted, and is told of then', async () => {
    const world = await ready(0, () => ({ outcome: limited(20_000) }));
    await queueSingle(world.store, single(1));
    const controller = new AbortController();
    world.clock.at(NOW + 5000, () => controller.abort());
    expect(await send(world, controller.signal)).toMatchObject({ settled: 0, stop: { cause: 'rate_limit' } });
    expect(world.clock.now()).toBe(NOW + 5000);
  });

  it('unknown, when the process dies before the answer; the echo settles it', async () => {
    const world = await ready();
    const mark = await queueSingle(world.store, single(1));
    const lease = (await world.engine.own(accountKey, NOW))!;
    const step = { settled: [], skipped: [], started: [{ seq: mark.seq, outside: false }] };
    expect(await world.store.record(lease, mark.campaign, step, NOW)).toBe('done');
    const heir = { ...world, ...world.ledger.as(successor) };
    expect(await send(heir)).toEqual({ kind: 'done', settled: 0, stop: null });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'unknown', error: { code: 'RUN_DIED' } });
    expect(await world.store.recordEchoes(accountKey, [{ ...mark, messageId: 'm1' }], NOW)).toBe(1);
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'sent', messageId: 'm1' });
    expect(world.provider.departures).toEqual([]);
  });
});

describe('two who see the same single messages', () => {
  it('send each of them once', async () => {
    const world = await ready();
    for (let n = 1; n <= 10; n += 1) await queueSingle(world.store, single(n));
    const rival = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    const both = await Promise.all([send(world), send(rival), send(world), send(rival)]);
    expect(both.map(({ kind }) => kind).sort()).toEqual(['busy', 'busy', 'busy', 'done']);
    expect(peopleOf(world)).toHaveLength(10);
    expect(new Set(peopleOf(world)).size).toBe(10);
  });

  it('of which one withdraws a message while the other is about to send it', async () => {
    const world = await ready();
    const marks: RowMark[] = [];
    for (let n = 1; n <= 4; n += 1) marks.push(await queueSingle(world.store, single(n)));
    const [, withdrawn] = marks;
    const store = new Proxy(world.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        if (name !== 'record') return member.bind(target);
        return async (...args: unknown[]) => {
          const { started } = args[2] as { started: { seq: number }[] };
          if (started.some(({ seq }) => seq === withdrawn!.seq)) await target.withdrawSingle(withdrawn!, NOW);
          return Reflect.apply(member, target, args);
        };
      },
    });
    expect(await send({ ...world, store })).toEqual({ kind: 'done', settled: 3, stop: null });
    expect(await rowOf(world.store, withdrawn!)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
    expect(peopleOf(world)).toEqual([stranger(1), stranger(3), stranger(4)]);
  });

  it('keep the pace together, and wait for one another no longer than it asks for', async () => {
    const world = await ready();
    for (let n = 1; n <= 80; n += 1) {
      await queueSingle(world.store, single(n), world.clock.now());
      await send(world);
    }
    const left = world.provider.departures.map((one) => one.leftAt);
    expect(left[1]! - left[0]!).toBeLessThan(100);
    expect(mostWithin(left, 1000)).toBeLessThanOrEqual(35);
    expect(left.at(-1)! - NOW).toBeLessThan(6000);
  });
});

describe('a clock that was set back', () => {
  it('holds single messages up for a minute at the most, all of them together', async () => {
    const world = await ready(35);
    await run(world);
    world.clock.jump(-HOUR);
    const from = world.clock.unset();
    for (let n = 1; n <= 5; n += 1) {
      await queueSingle(world.store, single(n), world.clock.now());
      expect(await send(world)).toMatchObject({ settled: 1 });
    }
    expect(world.clock.unset() - from).toBeLessThan(61_000);
  });
});

describe('single messages beside a campaign', () => {
  it('leave within half a second, and the pace holds for both', async () => {
    const world = await ready(300);
    const queuedAt = [1000, 2110, 2120, 3333, 5001];
    queuedAt.forEach((at, n) => queueAt(world, at, n));
    const result = await run(world);
    expect(result).toMatchObject({ end: 'finished', counts: { sent: 300, total: 300 } });
    const waits = queuedAt.map((at, n) => {
      const departure = world.provider.departures.find((one) => one.userId === stranger(n))!;
      return departure.leftAt - NOW - at;
    });
    expect(Math.max(...waits)).toBeLessThan(500);
    expect(
      mostWithin(
        world.provider.departures.map((one) => one.arrivedAt),
        1000,
      ),
    ).toBeLessThanOrEqual(35);
    expect(world.clock.now() - NOW).toBeLessThanOrEqual(((305 / 35) * 1000) / 0.98);
    expect(new Set(peopleOf(world)).size).toBe(305);
  });

  it('go first when they wait already', async () => {
    const world = await ready(5);
    await queueSingle(world.store, single(1));
    await run(world);
    expect(peopleOf(world)[0]).toBe(stranger(1));
    expect(peopleOf(world)).toHaveLength(6);
  });

  it('do not wait for its next attempt', async () => {
    const retried = await ready(1, ({ userId }, nth) => (userId === user(1) && nth < 3 ? { outcome: retryable } : {}));
    queueAt(retried, 300, 1);
    expect(await run(retried)).toMatchObject({ end: 'finished', counts: { sent: 1 } });
    expect(peopleOf(retried).slice(0, 2)).toEqual([user(1), stranger(1)]);
  });

  it('do not wait for its slow pace, which holds all the same', async () => {
    const world = await ready(3, undefined, { pace: 1 / 60 });
    for (const n of [1, 2, 3]) queueAt(world, 5000 + n, n);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 3 } });
    const left = world.provider.departures.map(({ userId, leftAt }) => [userId, leftAt - NOW] as const);
    const replies = left.filter(([userId]) => userId > user(100)).map(([, at]) => at);
    expect(replies).toHaveLength(3);
    expect(Math.min(...replies)).toBeGreaterThan(5000);
    expect(Math.max(...replies)).toBeLessThan(6000);
    const inBulk = left.filter(([userId]) => userId < user(100)).map(([, at]) => at);
    expect(mostWithin(inBulk, MINUTE)).toBe(1);
    expect(inBulk.at(-1)).toBeLessThan(2 * MINUTE + 2000);
  });

  it('do not wait for its first answer', async () => {
    const hanging = await ready(3, ({ userId }) => (userId === user(1) ? { back: 20_000 } : {}));
    queueAt(hanging, 300, 1);
    await run(hanging);
    expect(hanging.provider.departures[1]).toMatchObject({ userId: stranger(1) });
    expect(hanging.provider.departures[1]!.leftAt).toBeLessThan(NOW + 800);
    // The rows still wait for the first answer of their own.
    expect(hanging.provider.departures[2]!.leftAt).toBeGreaterThanOrEqual(NOW + 20_000);
  });

  it('leave its batches whole', async () => {
    const world = await ready(101);
    world.provider.capabilities.maxBatch = () => 10;
    queueAt(world, 1000, 1);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 101 } });
    const sizes = [...world.provider.batches].sort((a, b) => a - b);
    expect(sizes).toEqual([1, 1, ...Array.from({ length: 10 }, () => 10)]);
    expect(
      mostWithin(
        world.provider.departures.map((one) => one.arrivedAt),
        1000,
      ),
    ).toBeLessThanOrEqual(35);
  });

  it.each<[string, Outcome]>([
    ['are refused', rejected],
    ['are refused for their content', poison],
    ['have no answer', { kind: 'unknown', error: failure('TIMEOUT') }],
  ])('stop nothing of it when they %s', async (_, outcome) => {
    const world = await ready(60, ({ userId }) => (Number(userId) > Number(user(100)) ? { outcome } : {}));
    for (let n = 1; n <= 40; n += 1) await queueSingle(world.store, single(n));
    const budget = { count: 1, share: 0 };
    expect(await run(world, { budget })).toMatchObject({
      end: 'finished',
      counts: { sent: 60, failed: 0, unknown: 0 },
    });
    expect(world.provider.departures).toHaveLength(100);
  });

  it('rest for a minute when one is refused for the account, and the rows of the campaign go on', async () => {
    const script: Script = ({ userId }) => (userId === stranger(1) ? { outcome: noPermission } : {});
    const world = await ready(140, script, { pace: 2 });
    const mark = await queueSingle(world.store, single(1));
    for (const n of [2, 3]) queueAt(world, 1000, n);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 140, failed: 0 } });
    expect(await rowOf(world.store, mark)).toMatchObject({ state: 'queued', attempts: 0, error: { code: '200' } });
    const left = [1, 2, 3].map((n) =>
      world.provider.departures.flatMap(({ userId, leftAt }) => (userId === stranger(n) ? [leftAt - NOW] : [])),
    );
    expect(left.map((times) => times.length)).toEqual([2, 1, 1]);
    // Nothing is tried of them for a minute, and then the others come first.
    const again = [...left[1]!, ...left[2]!, left[0]![1]!];
    expect(Math.min(...again)).toBeGreaterThanOrEqual(MINUTE);
    expect(Math.max(...again)).toBeLessThan(MINUTE + 1000);
    expect(again).toEqual(again.toSorted((a, b) => a - b));
  });

  it('go alone again, the first after such a minute', async () => {
    const script: Script = ({ userId }) => (userId > user(200) ? { outcome: noPermission } : {});
    const world = await ready(140, script, { pace: 2 });
    for (let n = 1; n <= 5; n += 1) await queueSingle(world.store, single(n));
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 140 } });
    expect(peopleOf(world).filter((userId) => userId > user(200))).toEqual([stranger(1), stranger(2)]);
  });

  it('leave it to its own rows to find out that nothing can be sent for the account', async () => {
    const world = await ready(60, () => ({ outcome: tokenGone }));
    await queueSingle(world.store, single(1));
    expect(await run(world)).toMatchObject({
      end: 'stopped',
      campaign: { state: 'stopped', stop: { cause: 'token', error: { code: '190' } } },
      counts: { queued: 60 },
    });
    expect(world.provider.departures.length).toBeLessThanOrEqual(2);
  });

  it('wait through its rests, as one account has one limit', async () => {
    const world = await ready(3, (_, nth) => (nth === 1 ? { outcome: limited(10_000) } : {}));
    queueAt(world, 1000, 1);
    await run(world);
    const left = world.provider.departures.find((one) => one.userId === stranger(1))!.leftAt - NOW;
    expect(left).toBeGreaterThanOrEqual(10_000);
  });

  it('do not keep a campaign from its end, however many come', async () => {
    const world = await ready(20);
    let over = false;
    let queued = 0;
    const more = async (): Promise<void> => {
      while (!over && queued < 300) {
        queued += 1;
        await queueSingle(world.store, single(queued), world.clock.now());
        await world.clock.sleep(60);
      }
    };
    const queueing = more();
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 20 } });
    over = true;
    await queueing;
    expect(queued).toBeLessThan(300);
  });

  it('are not started by a run that somebody pauses', async () => {
    const world = await ready(100);
    world.clock.at(NOW + 1000, () => world.store.pause('c1', world.clock.now()));
    queueAt(world, 1001, 1);
    expect(await run(world)).toMatchObject({ end: 'paused' });
    expect(peopleOf(world)).not.toContain(stranger(1));
    expect(await send(world)).toMatchObject({ settled: 1 });
  });
});

describe('a campaign whose account is at single messages', () => {
  it('waits until they are sent', async () => {
    const world = await ready(5, ({ userId }) => (userId === stranger(1) ? { back: 5000 } : {}));
    await queueSingle(world.store, single(1));
    const singles = send(world);
    const rival = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    expect(await run(rival)).toMatchObject({ end: 'finished', counts: { sent: 5 } });
    expect(await singles).toMatchObject({ settled: 1 });
    expect(world.provider.departures[1]!.leftAt).toBeGreaterThanOrEqual(NOW + 5000);
  });

  it.each([
    ['that takes too long', false, 30_000],
    ['but for another campaign, at once', true, 0],
  ])('is told that it is busy: %s', async (_, isCampaign, afterMs) => {
    const world = await ready(1, () => ({ outcome: limited(100_000) }));
    await readyCampaign(world.store, rows(1), { id: 'c2' });
    await queueSingle(world.store, single(1));
    const controller = new AbortController();
    const holding = isCampaign ? run(world, { signal: controller.signal }) : send(world, controller.signal);
    await world.clock.sleep(200);
    const from = world.clock.now();
    expect(await failureOf(run(world, { campaign: 'c2' }))).toBe('ACCOUNT_BUSY');
    expect(world.clock.now() - from).toBeGreaterThanOrEqual(afterMs);
    expect(world.clock.now() - from).toBeLessThan(afterMs + 1000);
    controller.abort();
    await holding;
  });

  it('does not wait any longer when it is interrupted', async () => {
    const world = await ready(1, () => ({ outcome: limited(100_000) }));
    await queueSingle(world.store, single(1));
    const controller = new AbortController();
    const holding = send(world, controller.signal);
    const interrupted = new AbortController();
    world.clock.at(NOW + 2000, () => interrupted.abort());
    expect(await failureOf(run(world, { signal: interrupted.signal }))).toBe('ACCOUNT_BUSY');
    expect(world.clock.now()).toBe(NOW + 2000);
    controller.abort();
    await holding;
  });
});

describe('a crash', () => {
  /** Every other is tried again, and some take long. */
  const mixed: Script = ({ userId }, nth) =>
    Number(userId) % 2 === 0 && nth === 1 ? { outcome: retryable } : { back: Number(userId) % 3 === 0 ? 700 : 40 };
  const people = [user(1), user(2), user(3), stranger(1), stranger(2), stranger(3)];

  async function expectRecovery(world: Stage, broken: RunWorld): Promise<'died' | 'lived'> {
    let end: 'died' | 'lived' = 'lived';
    try {
      await run(broken);
    } catch (error) {
      if (error !== gone && !(error instanceof Failure && error.code === 'STORE_FULL')) throw error;
      end = 'died';
    }
    const heir = { ...world, ...world.ledger.as(successor) };
    if ((await heir.store.campaign('c1'))!.state !== 'finished') await run(heir);
    for (let dueAt; (dueAt = await heir.store.singlesDueAt(accountKey)) !== null;) {
      world.clock.advance(Math.max(0, dueAt - world.clock.now()));
      expect(await send(heir)).toMatchObject({ kind: 'done', stop: null });
    }
    const accepted = people.flatMap((userId) =>
      world.provider.departures
        .filter((one) => one.userId === userId)
        .filter((_, index) => mixed({ userId } as never, index + 1).outcome === undefined)
        .map(() => userId),
    );
    expect(new Set(accepted).size).toBe(accepted.length);
    expect(
      mostWithin(
        world.provider.departures.map((one) => one.arrivedAt),
        1000,
      ),
    ).toBeLessThanOrEqual(35);
    let settled = 0;
    for (const { id } of await heir.store.campaigns()) {
      const { counts } = await heir.store.summary(id);
      expect(counts.queued + counts.started).toBe(0);
      settled += counts.sent + counts.unknown;
    }
    // Nobody is passed over in silence.
    expect(settled).toBe(people.length);
    return end;
  }

  async function readyForAll(): Promise<Stage> {
    const world = await ready(3, mixed);
    await queueSingle(world.store, single(1));
    await queueSingle(world.store, single(2, { campaign: { mode: 'interactive' } }));
    // In the middle of the run comes one more.
    await queueSingle(world.store, single(3, { notBefore: NOW + 300 }));
    return world;
  }

  it.each([
    ['before any operation', 'before', dyingAfter],
    ['after any operation', 'after', dyingAfter],
    ['of one operation alone, before it', 'before', failingAt],
    ['of one operation alone, after it', 'after', failingAt],
  ] as const)('%s: nobody gets a message twice, and none is lost', async (_, moment, breaking) => {
    let died = 0;
    for (let k = 1; k < 120; k += 1) {
      const world = await readyForAll();
      if ((await expectRecovery(world, breaking(world, k, moment))) === 'died') died += 1;
      else if (died > people.length) break;
    }
    expect(died).toBeGreaterThan(people.length);
  });
});

describe('the counts of a run', () => {
  it('are those of its campaign alone', async () => {
    const world = await ready(10);
    for (let n = 1; n <= 5; n += 1) await queueSingle(world.store, single(n));
    const told: number[] = [];
    const result = await run(world, { onProgress: ({ counts }) => told.push(counts.total, counts.sent) });
    expect(Math.max(...told)).toBe(10);
    expect(result.counts).toMatchObject({ sent: 10, total: 10 });
    expect(await collect(world.store.messages({ campaign: 'c1' }))).toHaveLength(10);
  });
});
