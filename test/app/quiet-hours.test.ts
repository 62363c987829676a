import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quietUntil } from '../../src/app/quiet-hours.js';

/** Minutes since midnight. */
function minutes(clock: string): number {
  const [hour = '', minute = ''] = clock.split(':');
  return Number(hour) * 60 + Number(minute);
}

function until(now: string, from: string, to: string, zone: string): string | null {
  const at = quietUntil(Date.parse(now), { from: minutes(from), to: minutes(to), zone });
  return at === null ? null : new Date(at).toISOString().replace(':00.000Z', 'Z');
}

describe('quiet hours', () => {
  it.each([
    // Within one day, and past midnight.
    ['UTC', '13:00', '14:00', '2026-11-21T12:59:59.999Z', null],
    ['UTC', '13:00', '14:00', '2026-11-21T13:00Z', '2026-11-21T14:00Z'],
    ['UTC', '13:00', '14:00', '2026-11-21T13:59:59.999Z', '2026-11-21T14:00Z'],
    ['UTC', '13:00', '14:00', '2026-11-21T14:00Z', null],
    ['UTC', '21:00', '08:00', '2026-12-31T22:00Z', '2027-01-01T08:00Z'],
    ['UTC', '21:00', '08:00', '2027-01-01T07:59Z', '2027-01-01T08:00Z'],
    ['UTC', '21:00', '08:00', '2027-01-01T08:00Z', null],
    ['UTC', '00:00', '06:00', '2026-11-21T00:00Z', '2026-11-21T06:00Z'],
    ['UTC', '21:00', '00:00', '2026-11-21T23:59Z', '2026-11-22T00:00Z'],
    ['UTC', '21:00', '00:00', '2026-11-22T00:00Z', null],
    ['UTC', '09:00', '09:00', '2026-11-21T09:00Z', null],
    ['UTC', '00:00', '00:00', '2026-11-21T00:00Z', null],
    ['Asia/Kathmandu', '21:00', '08:00', '2026-11-21T15:14Z', null],
    ['Asia/Kathmandu', '21:00', '08:00', '2026-11-21T15:15Z', '2026-11-22T02:15Z'],
    // New York, 8 March 2026: after 2:00 (EST) comes 3:00 (EDT). 1 November: after 2:00 (EDT) comes 1:00 (EST).
    ['America/New_York', '22:00', '07:00', '2026-03-08T03:30Z', '2026-03-08T11:00Z'],
    ['America/New_York', '22:00', '02:30', '2026-03-08T06:30Z', '2026-03-08T07:00Z'],
    ['America/New_York', '02:30', '05:00', '2026-03-08T06:59Z', null],
    ['America/New_York', '02:30', '05:00', '2026-03-08T07:00Z', '2026-03-08T09:00Z'],
    ['America/New_York', '02:00', '03:00', '2026-03-08T06:59:59Z', null],
    ['America/New_York', '02:00', '03:00', '2026-03-08T07:00Z', null],
    ['America/New_York', '22:00', '07:00', '2026-11-01T04:00Z', '2026-11-01T12:00Z'],
    ['America/New_York', '22:00', '02:00', '2026-11-01T04:00Z', '2026-11-01T07:00Z'],
    ['America/New_York', '01:15', '01:30', '2026-11-01T05:20Z', '2026-11-01T05:30Z'],
    ['America/New_York', '01:15', '01:30', '2026-11-01T05:45Z', null],
    ['America/New_York', '01:15', '01:30', '2026-11-01T06:15Z', '2026-11-01T06:30Z'],
    ['America/New_York', '01:30', '03:00', '2026-11-01T05:30Z', '2026-11-01T06:00Z'],
    ['America/New_York', '01:30', '03:00', '2026-11-01T06:30Z', '2026-11-01T08:00Z'],
    // Berlin, 29 March 2026: after 2:00 comes 3:00. 25 October: after 3:00 comes 2:00.
    ['Europe/Berlin', '21:00', '08:00', '2026-03-28T20:00Z', '2026-03-29T06:00Z'],
    ['Europe/Berlin', '21:00', '08:00', '2026-10-24T19:00Z', '2026-10-25T07:00Z'],
    // Lord Howe's clocks change by half an hour. 4 October 2026: after 2:00 comes 2:30. 5 April: after 2:00 comes 1:30.
    ['Australia/Lord_Howe', '22:00', '02:15', '2026-10-03T15:00Z', '2026-10-03T15:30Z'],
    ['Australia/Lord_Howe', '22:00', '08:00', '2026-10-03T12:00Z', '2026-10-03T21:00Z'],
    ['Australia/Lord_Howe', '22:00', '01:45', '2026-04-04T14:00Z', '2026-04-04T14:45Z'],
    ['Australia/Lord_Howe', '22:00', '01:45', '2026-04-04T15:05Z', '2026-04-04T15:15Z'],
    ['Australia/Lord_Howe', '22:00', '08:00', '2026-04-04T14:00Z', '2026-04-04T21:30Z'],
    // Casablanca goes an hour back for Ramadan: on 15 February 2026 at 3:00, and forward again on 22 March at 2:00.
    ['Africa/Casablanca', '22:00', '06:00', '2026-02-14T22:00Z', '2026-02-15T06:00Z'],
    ['Africa/Casablanca', '22:00', '06:00', '2026-03-21T22:00Z', '2026-03-22T05:00Z'],
  ])('%s, %s to %s: at %s they end at %s', (zone, from, to, now, end) => {
    expect(until(now, from, to, zone)).toBe(end);
  });

  it('end at the first instant at which the clocks show none of them', () => {
    const zones = ['America/New_York', 'Europe/Berlin', 'Australia/Lord_Howe', 'Africa/Casablanca'];
    // Around the changes of 2026, in minutes.
    const around = ['2026-03-08', '2026-11-01', '2026-03-29', '2026-10-25', '2026-04-04', '2026-10-03', '2026-02-15'];
    const instant = fc.tuple(fc.constantFrom(...around), fc.integer({ min: -720, max: 1440 }));
    const time = fc.integer({ min: 0, max: 1439 });
    fc.assert(
      fc.property(fc.constantFrom(...zones), instant, time, time, (zone, [day, offset], from, to) => {
        const clocks = new Intl.DateTimeFormat('en', {
          timeZone: zone,
          hour: '2-digit',
          minute: '2-digit',
          hourCycle: 'h23',
        });
        const isQuiet = (at: number): boolean => {
          const shown = minutes(clocks.format(at));
          return from <= to ? from <= shown && shown < to : shown >= from || shown < to;
        };
        const now = Date.parse(`${day}T00:00Z`) + offset * 60_000;
        let end = now;
        while (isQuiet(end)) end += 60_000;
        expect(quietUntil(now, { from, to, zone })).toBe(end === now ? null : end);
      }),
      { numRuns: 300 },
    );
  });

  it('refuse a zone that is none', () => {
    expect(() => until('2026-11-21T12:00Z', '21:00', '08:00', 'Europe/Nowhere')).toThrow(RangeError);
  });
});
