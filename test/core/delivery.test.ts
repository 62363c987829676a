import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  backoffMs,
  DEFAULT_BUDGET,
  explainStop,
  FailureWatch,
  finishedStatus,
  parseBudget,
  ROW_STATES,
  type Counts,
  type DeliveryError,
  type StopCause,
} from '../../src/core/delivery.js';
import { explainError } from '../../src/core/platform-errors.js';

describe('explainError', () => {
  it.each([
    ['10/2018278', 'rejected'],
    ['10/2534022', 'rejected'],
    ['100/2018001', 'rejected'],
    ['551/1545041', 'rejected'],
    ['551', 'rejected'],
    ['1', 'retryable'],
    ['2', 'retryable'],
    ['1200', 'retryable'],
    ['1/1357046', 'unknown'],
    ['TIMEOUT', 'unknown'],
    ['CONNECTION_LOST', 'unknown'],
    ['SERVER_ERROR', 'unknown'],
    ['RUN_DIED', 'unknown'],
    ['4', 'pause'],
    ['613', 'pause'],
    ['80006', 'pause'],
    ['CONNECTION_REFUSED', 'pause'],
    ['190', 'stop token'],
    ['10', 'stop permission'],
    ['200', 'stop permission'],
    ['368', 'stop restricted'],
    ['613/2018338', 'stop restricted'],
    ['10/1893063', 'stop restricted'],
    ['100', 'stop content'],
    // A subcode that is not in the table means what its code means.
    ['190/463', 'stop token'],
    ['2/99', 'retryable'],
    ['4/2018022', 'pause'],
    // A version of the API that is wrong, or retired.
    ['2500', 'stop permission'],
    ['2635', 'stop permission'],
    // Graph's guide to errors gives 200 to 299 one meaning.
    ['299', 'stop permission'],
    ['200/9', 'stop permission'],
    ['230', 'rejected'],
    ['2991', 'stop content'],
    ['GraphBatchException', 'unknown'],
    // What nobody knows must not be tried on everybody.
    ['31337', 'stop content'],
    ['31337/1', 'stop content'],
    ['', 'stop content'],
    ['toString', 'stop content'],
  ])('%s is %s', (code, expected) => {
    const { class: met, meaning, advice } = explainError(code);
    expect(met.kind === 'stop' ? `stop ${met.cause}` : met.kind).toBe(expected);
    expect(meaning).toMatch(/\.$/);
    expect(advice).toMatch(/\.$/);
  });
});

describe('what is wrong with a token', () => {
  it('is told apart by its subcode', () => {
    const codes = ['190', '190/458', '190/459', '190/460', '190/463', '190/464', '190/467', '190/492', '102', '104'];
    const rows = codes.map((code) => explainError(code));
    expect(new Set(rows.map(({ meaning }) => meaning)).size).toBe(codes.length);
    expect(new Set(rows.map(({ class: met }) => met.kind === 'stop' && met.cause))).toEqual(new Set(['token']));
    for (const { advice } of rows) expect(advice).toMatch(/resume the campaign\.$/);
  });
});

describe('backoffMs', () => {
  it('doubles from one second to one minute, and takes between half of it and all of it', () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), random, (attempt, chance) => {
        const whole = Math.min(60_000, 1000 * 2 ** (attempt - 1));
        const wait = backoffMs(attempt, chance);
        expect(wait).toBeGreaterThanOrEqual(whole / 2);
        expect(wait).toBeLessThanOrEqual(whole);
        expect(wait).toBe(Math.round(wait));
      }),
    );
    expect([1, 2, 3, 7, 8].map((attempt) => backoffMs(attempt, 0))).toEqual([500, 1000, 2000, 30_000, 30_000]);
  });
});

describe('FailureWatch', () => {
  /** @param outcomes `+` for a success, `-` for a failure @returns after how many the run must stop; 0 for never */
  const stopsAfter = (outcomes: string, budget = DEFAULT_BUDGET): number => {
    const watch = new FailureWatch(budget);
    return outcomes.split('').findIndex((one) => watch.add(one === '-')) + 1;
  };

  it.each([
    ['ten in a row', '-'.repeat(12), 10],
    ['nine, then none', '-'.repeat(9) + '+'.repeat(300), 0],
    ['ten among the first hundred', ('+'.repeat(9) + '-').repeat(10), 100],
    ['nine in every hundred', ('+'.repeat(10) + '-').repeat(100), 0],
    ['old failures are forgotten', '-'.repeat(9) + '+'.repeat(191) + '-'.repeat(19), 0],
    ['a bad end after a long good run', '+'.repeat(5000) + '-'.repeat(30), 5020],
  ])('%s', (_, outcomes, after) => {
    expect(stopsAfter(outcomes)).toBe(after);
  });

  it('needs the count alone when no share is given', () => {
    expect(stopsAfter('+++-++++-', { count: 2, share: 0 })).toBe(9);
  });
});

describe('parseBudget', () => {
  it.each([
    ['25', { count: 25, share: 0 }],
    ['1', { count: 1, share: 0 }],
    ['10%', { count: 10, share: 0.1 }],
    ['5%', { count: 10, share: 0.05 }],
    ['100%', { count: 10, share: 1 }],
    ['25,10%', { count: 25, share: 0.1 }],
    [' 25 , 10 % ', { count: 25, share: 0.1 }],
  ])('reads %j', (text, budget) => {
    expect(parseBudget(text)).toEqual(budget);
  });

  it.each(['', ' ', '%', ',', '25,', '-1', '1.5', 'ten', '101%', '10%,25', '25,10', '1e3'])('refuses %j', (text) => {
    expect(parseBudget(text)).toBeNull();
  });
});

describe('finishedStatus', () => {
  const counts = (some: Partial<Counts>): Counts => ({
    ...(Object.fromEntries(ROW_STATES.map((state) => [state, 0])) as Counts),
    total: 0,
    ...some,
  });
  it.each([
    ['all sent', { sent: 5 }, 0, 0],
    ['some left out', { sent: 5, skipped: 2 }, 0, 5],
    ['some failed', { sent: 5, failed: 1 }, 5, 5],
    ['some unknown', { sent: 5, unknown: 1 }, 8, 8],
    ['unknown comes before failed', { failed: 3, unknown: 1, skipped: 1 }, 8, 8],
  ])('%s', (_, some, status, strict) => {
    expect([finishedStatus(counts(some), false), finishedStatus(counts(some), true)]).toEqual([status, strict]);
  });
});

describe('explainStop', () => {
  const error = { code: '190', message: '' };
  it.each<[StopCause, DeliveryError | null, RegExp, RegExp]>([
    ['person', null, /paused/, /^Resume/],
    // Not what the last person's error says of that person.
    ['too_many_failures', { code: '551/1545041', message: '' }, /^Too many/, /in common/],
    ['token', error, /token/i, /new token/],
  ])('%s', (cause, last, meaning, advice) => {
    const told = explainStop({ cause, error: last });
    expect(told.meaning).toMatch(meaning);
    expect(told.advice).toMatch(advice);
  });
});
