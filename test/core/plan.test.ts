import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  admit,
  everybodyInTime,
  finishTime,
  latestStart,
  servedFrom,
  TurnTaker,
  type PlanReason,
} from '../../src/core/plan.js';
import { CLOCK_SKEW_MS } from '../../src/core/window.js';
import { DAY, exactWindow, fixedRandom, HOUR, NOW } from '../support/fixtures.js';

describe('admit', () => {
  const at = (openedAt: number) => ({ openedAt, opener: 'message' as const });
  const queued = (closesAt: number | null, outside = false) => ({ reason: null, closesAt, outside });
  const leftOut = (reason: PlanReason) => ({ reason, closesAt: null, outside: false });
  const open = queued(NOW - HOUR + DAY);
  it.each([
    ['an open window', at(NOW - HOUR), null, open],
    ['exactly 24 hours', at(NOW - DAY), null, leftOut('window_closed')],
    ['a millisecond less', at(NOW - DAY + 1), null, queued(NOW + 1)],
    ['nothing known', null, null, leftOut('window_unknown')],
    ['an opener from the future', at(NOW + CLOCK_SKEW_MS + 1), null, leftOut('window_unknown')],
    ['opted out, window open', at(NOW - HOUR), NOW, leftOut('opted_out')],
    ['opted out, nothing known', null, NOW, leftOut('opted_out')],
  ])('session message, %s', (_, last, optedOutAt, admission) => {
    expect(admit({ last, optedOutAt }, NOW, exactWindow, 'inside')).toEqual(admission);
  });

  it.each([
    ['a shut window', at(NOW - 9 * DAY), null, queued(null)],
    ['nothing known', null, null, queued(null)],
    ['opted out', null, NOW, leftOut('opted_out')],
  ])('registered message, %s', (_, last, optedOutAt, admission) => {
    expect(admit({ last, optedOutAt }, NOW, exactWindow, 'everybody')).toEqual(admission);
  });

  it.each([
    ['an open window', at(NOW - HOUR), null, open],
    ['a shut window', at(NOW - DAY), null, queued(null, true)],
    ['nothing known', null, null, queued(null, true)],
    ['opted out', at(NOW - DAY), NOW, leftOut('opted_out')],
  ])('a session message inside and a registered one outside, %s', (_, last, optedOutAt, admission) => {
    expect(admit({ last, optedOutAt }, NOW, exactWindow, 'both')).toEqual(admission);
  });
});

function reached(closings: readonly (number | null)[], pace: number): number {
  const turns = new TurnTaker(NOW, pace);
  return closings.filter((closing) => turns.take(closing)).length;
}

function inOrder(closings: readonly (number | null)[]): (number | null)[] {
  return [...closings].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  );
}

/**
 * The most people that can be reached, counted another way: each person in turn gets the latest free turn before their
 * window closes. In whole numbers, so that it shares no rounding with what it judges.
 */
function mostReachable(closings: readonly number[], pace: number): number {
  // free[n]: the latest free turn that is at most n - 1; 0 stands for none.
  const free = Array.from({ length: closings.length + 1 }, (_, turn) => turn);
  const latestFree = (turn: number): number => {
    let root = turn;
    while (free[root] !== root) root = free[root]!;
    for (let at = turn; free[at] !== root;) [at, free[at]] = [free[at]!, root];
    return root;
  };
  let count = 0;
  for (const closing of closings) {
    // Turn n (from 0) begins before the closing time if n * 1000 < (closing - NOW) * pace.
    const turnsBefore = Math.ceil(((closing - NOW) * pace) / 1000);
    const turn = latestFree(Math.max(0, Math.min(closings.length, turnsBefore)));
    if (turn === 0) continue;
    free[turn] = turn - 1;
    count += 1;
  }
  return count;
}

describe('TurnTaker', () => {
  it('loses no more people than the best possible order', () => {
    const closing = fc.option(
      fc.integer({ min: -1, max: 7 }).map((step) => NOW + step * 500),
      { freq: 8 },
    );
    const people = fc.array(closing, { maxLength: 6 });
    fc.assert(
      fc.property(people, fc.constantFrom(0.5, 1, 2, 3), (closings, pace) => {
        const best = Math.max(0, ...permutations(closings).map((order) => reached(order, pace)));
        expect(reached(inOrder(closings), pace)).toBe(best);
      }),
    );
    const seven = [1, 9, 2, 9, 3, 5, 4].map((step) => NOW + step * 400);
    expect(reached(inOrder(seven), 2)).toBe(Math.max(...permutations(seven).map((order) => reached(order, 2))));
  });

  it('reaches as many of 100,000 people at 35/s as can be, and more than in the order of the sheet', () => {
    const random = fixedRandom(7);
    const closings = Array.from({ length: 100_000 }, () => NOW + Math.floor(random.next() ** 2 * HOUR));
    const most = mostReachable(closings, 35);
    expect(most).toBeLessThan(closings.length);
    expect(reached(inOrder(closings), 35)).toBe(most);
    expect(reached(closings, 35)).toBeLessThan(most);
  });

  it('gives no turn at the instant of closing, and none to whoever is refused', () => {
    const turns = new TurnTaker(NOW, 2);
    const closings = [NOW, NOW + 1, NOW + 500, NOW + 501, null];
    expect(closings.map((closing) => turns.take(closing))).toEqual([false, true, false, true, true]);
  });

  it('gives everybody a turn without a limit, unless their window is shut already', () => {
    expect(reached([NOW + 1, NOW, NOW + 1, null], Infinity)).toBe(3);
  });
});

describe('everybodyInTime', () => {
  it('says whether the turns lose nobody', () => {
    const closing = fc.integer({ min: -1, max: 3000 }).map((ms) => NOW + ms);
    fc.assert(
      fc.property(fc.array(closing, { maxLength: 6 }), fc.constantFrom(1, 3, 35, Infinity), (closings, pace) => {
        const sorted = Float64Array.from(closings).sort();
        expect(everybodyInTime(sorted, NOW, pace)).toBe(reached([...sorted], pace) === closings.length);
      }),
    );
    expect(everybodyInTime(Float64Array.of(NOW + 1, Infinity), NOW, 0.001)).toBe(true);
  });
});

describe('finishTime', () => {
  it.each([
    [0, 35, 0],
    [70, 35, 2000],
    [1, 35, 29],
    [3, 0.5, 6000],
    [9, Infinity, 0],
  ])('of %i turns at %d/s is %i ms later', (turns, pace, ms) => {
    expect(finishTime(NOW, turns, pace)).toBe(NOW + ms);
  });
});

describe('latestStart', () => {
  const MINUTE = 60_000;
  const from = Math.ceil(NOW / MINUTE) * MINUTE;

  it('is the last minute from which so many are reached, as trying each minute finds', () => {
    const closing = fc.oneof(fc.integer({ min: 0, max: 20 * MINUTE }), fc.constant(Infinity));
    fc.assert(
      fc.property(
        fc.array(closing, { maxLength: 12 }),
        fc.constantFrom(1 / 60, 1 / 30, 1, Infinity),
        fc.nat(12),
        (closings, pace, wanted) => {
          const sorted = Float64Array.from(closings.map((one) => from + one)).sort();
          const until = from + 15 * MINUTE;
          let expected: number | null = null;
          for (let at = from; at < until; at += MINUTE) if (servedFrom(sorted, at, pace) >= wanted) expected = at;
          expect(latestStart(sorted, { from, until, wanted, pace })).toBe(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('reaches no more people the later it is', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 600_000 }), { maxLength: 20 }),
        fc.nat(600),
        (closings, seconds) => {
          const sorted = Float64Array.from(closings.map((one) => from + one)).sort();
          const at = from + seconds * 1000;
          expect(servedFrom(sorted, at + 1000, 1 / 20)).toBeLessThanOrEqual(servedFrom(sorted, at, 1 / 20));
        },
      ),
    );
  });
});
