import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  closesAt,
  CLOCK_SKEW_MS,
  DEFAULT_WINDOW,
  enabledOpeners,
  Forecast,
  isWritten,
  OPENERS,
  windowState,
  type WindowSettings,
} from '../../src/core/window.js';

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 21, 12);
const exact: WindowSettings = { ...DEFAULT_WINDOW, marginMs: 0 };
const instant = fc.integer({ min: 0, max: 4e12 });
const settings = fc
  .record({ hours: fc.integer({ min: 1, max: 24 }), marginMs: fc.integer({ min: 0, max: HOUR - 1 }) })
  .map((some): WindowSettings => ({ ...DEFAULT_WINDOW, ...some }));
const at = (openedAt: number) => ({ openedAt, opener: 'message' as const });

describe('windowState', () => {
  it('has exactly 24 hours outside', () => {
    fc.assert(
      fc.property(instant, (openedAt) => {
        expect(windowState(at(openedAt), openedAt + 24 * HOUR - 1, exact)).toBe('open');
        expect(windowState(at(openedAt), openedAt + 24 * HOUR, exact)).toBe('closed');
      }),
    );
  });

  it('closes earlier by the margin, for any settings', () => {
    fc.assert(
      fc.property(instant, settings, (openedAt, some) => {
        const closing = closesAt(openedAt, some);
        expect(closing).toBe(openedAt + some.hours * HOUR - some.marginMs);
        expect(windowState(at(openedAt), closing - 1, some)).toBe('open');
        expect(windowState(at(openedAt), closing, some)).toBe('closed');
      }),
    );
  });

  it('never opens again as time passes', () => {
    fc.assert(
      fc.property(instant, fc.nat(48 * HOUR), fc.nat(48 * HOUR), settings, (openedAt, earlier, later, some) => {
        const [first, second] = [earlier, later].sort((a, b) => a - b) as [number, number];
        if (windowState(at(openedAt), openedAt + first, some) === 'closed') {
          expect(windowState(at(openedAt), openedAt + second, some)).toBe('closed');
        }
      }),
    );
  });

  it('takes nothing from an opener that never was, or that lies in the future', () => {
    expect(windowState(null, NOW, exact)).toBe('unknown');
    expect(windowState(at(NOW + CLOCK_SKEW_MS), NOW, exact)).toBe('open');
    expect(windowState(at(NOW + CLOCK_SKEW_MS + 1), NOW, exact)).toBe('unknown');
    expect(windowState(at(NOW + 365 * 24 * HOUR), NOW, exact)).toBe('unknown');
  });
});

describe('isWritten', () => {
  it('is what people say to the account itself', () => {
    expect(OPENERS.filter(isWritten)).toEqual(['message', 'button', 'ad']);
  });
});

describe('enabledOpeners', () => {
  it('are all by default, and fewer when turned off', () => {
    expect(enabledOpeners(DEFAULT_WINDOW)).toEqual([...OPENERS]);
    const some = { ...DEFAULT_WINDOW, openers: { ...DEFAULT_WINDOW.openers, comment: false, visitor_post: false } };
    expect(enabledOpeners(some)).toEqual(OPENERS.filter((one) => one !== 'comment' && one !== 'visitor_post'));
  });
});

describe('Forecast', () => {
  it('counts who is inside now and at each coming hour', () => {
    const forecast = new Forecast(NOW, exact);
    forecast.add(at(NOW));
    forecast.add(at(NOW - 22 * HOUR));
    forecast.add(at(NOW - 24 * HOUR));
    forecast.add(null);
    expect(forecast.inside).toHaveLength(25);
    expect(forecast.inside.slice(0, 4)).toEqual([2, 2, 1, 1]);
    expect(forecast.inside.at(-2)).toBe(1);
    expect(forecast.inside.at(-1)).toBe(0);
    expect([forecast.closed, forecast.unknown]).toEqual([1, 1]);
  });

  it('adds up, only falls, and agrees with windowState at every hour', () => {
    const audience = fc.array(fc.option(fc.integer({ min: -30 * HOUR, max: HOUR })), { maxLength: 30 });
    fc.assert(
      fc.property(audience, settings, (offsets, some) => {
        const people = offsets.map((offset) => (offset === null ? null : at(NOW + offset)));
        const forecast = new Forecast(NOW, some);
        for (const person of people) forecast.add(person);
        expect((forecast.inside[0] ?? 0) + forecast.closed + forecast.unknown).toBe(people.length);
        const openNow = people.filter((person) => windowState(person, NOW, some) === 'open');
        forecast.inside.forEach((count, hour) => {
          expect(count).toBe(
            openNow.filter((person) => windowState(person, NOW + hour * HOUR, some) === 'open').length,
          );
        });
      }),
    );
  });
});
