import { describe, expect, it } from 'vitest';
import { checkCron, nextOccurrence } from '../../src/app/cron.js';
import { Failure } from '../../src/core/failure.js';

const NEW_YORK = 'America/New_York';
const BERLIN = 'Europe/Berlin';
const LORD_HOWE = 'Australia/Lord_Howe';
const CASABLANCA = 'Africa/Casablanca';

/** Each occurrence after the one before, as a scheduler asks for them. */
function following(cron: string, zone: string, after: string, count: number): string[] {
  const found: string[] = [];
  for (let at = nextOccurrence(cron, zone, Date.parse(after)); at !== null && found.length < count;) {
    found.push(new Date(at).toISOString().replace(':00.000Z', 'Z'));
    at = nextOccurrence(cron, zone, at);
  }
  return found;
}

function refusal(work: () => unknown): { code: string; message: string; hint: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure) return { code: error.code, message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('nextOccurrence', () => {
  it.each([
    ['0 9 * * *', '2026-11-16T07:59:59.500Z', '2026-11-16T08:00Z'],
    ['0 9 * * *', '2026-11-16T08:00:00.000Z', '2026-11-17T08:00Z'],
    ['0 9 * * *', '2026-11-16T08:00:00.500Z', '2026-11-17T08:00Z'],
    ['0 9 * * mon-fri', '2026-11-20T12:00:00Z', '2026-11-23T08:00Z'],
    ['  30\t18  * * 7 ', '2026-11-20T12:00:00Z', '2026-11-22T17:30Z'],
    ['0 9 1,15 * *', '2026-11-20T12:00:00Z', '2026-12-01T08:00Z'],
    ['0 9 13 * fri', '2026-11-14T12:00:00Z', '2026-11-20T08:00Z'],
    ['0 9 L * *', '2027-02-01T00:00:00Z', '2027-02-28T08:00Z'],
    ['0 0 29 2 *', '2026-11-20T12:00:00Z', '2028-02-28T23:00Z'],
    ['@hourly', '2026-11-16T08:30:00Z', '2026-11-16T09:00Z'],
    ['@Daily', '2026-11-16T08:30:00Z', '2026-11-16T23:00Z'],
    ['@weekly', '2026-11-16T08:30:00Z', '2026-11-21T23:00Z'],
    ['@yearly', '2026-11-16T08:30:00Z', '2026-12-31T23:00Z'],
  ])('of %s after %s', (cron, after, expected) => {
    expect(following(cron, BERLIN, after, 1)).toEqual([expected]);
  });

  it('is null where there is none', () => {
    expect(nextOccurrence('0 0 30 2 *', BERLIN, Date.parse('2026-01-01T00:00:00Z'))).toBeNull();
  });

  it.each([
    [NEW_YORK, '30 2 * * *', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2026-03-09T06:30Z']],
    [BERLIN, '30 2 * * *', '2026-03-28T12:00Z', ['2026-03-29T01:00Z', '2026-03-30T00:30Z']],
    [LORD_HOWE, '15 2 * * *', '2026-10-03T00:00Z', ['2026-10-03T15:30Z', '2026-10-04T15:15Z']],
    [CASABLANCA, '30 2 * * *', '2026-03-21T12:00Z', ['2026-03-22T02:00Z', '2026-03-23T01:30Z']],
    ['Asia/Tokyo', '30 2 * * *', '2026-03-07T12:00Z', ['2026-03-07T17:30Z', '2026-03-08T17:30Z']],
    // Several at once, with others on the same day, on a weekday and a date.
    [NEW_YORK, '15,45 2 * * *', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2026-03-09T06:15Z', '2026-03-09T06:45Z']],
    [NEW_YORK, '0 2,3 * * *', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2026-03-09T06:00Z']],
    [NEW_YORK, '30 2,14 * * *', '2026-03-07T20:00Z', ['2026-03-08T07:00Z', '2026-03-08T18:30Z', '2026-03-09T06:30Z']],
    [NEW_YORK, '30 2 * * sun', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2026-03-15T06:30Z']],
    [NEW_YORK, '30 2 8 3 *', '2026-03-07T12:00Z', ['2026-03-08T07:00Z', '2027-03-08T07:30Z']],
    ['Africa/Cairo', '@daily', '2026-04-23T12:00Z', ['2026-04-23T22:00Z', '2026-04-24T21:00Z']],
  ])('in %s, where hours are left out: %s comes at the first moment after them', (zone, cron, after, expected) => {
    expect(following(cron, zone, after, expected.length)).toEqual(expected);
  });

  it.each([
    [NEW_YORK, '30 1 * * *', '2026-10-31T12:00Z', ['2026-11-01T05:30Z', '2026-11-02T06:30Z']],
    [BERLIN, '30 2 * * *', '2026-10-24T12:00Z', ['2026-10-25T00:30Z', '2026-10-26T01:30Z']],
    [LORD_HOWE, '45 1 * * *', '2026-04-04T00:00Z', ['2026-04-04T14:45Z', '2026-04-05T15:15Z']],
    [CASABLANCA, '30 2 * * *', '2026-02-14T12:00Z', ['2026-02-15T01:30Z', '2026-02-16T02:30Z']],
    ['Asia/Tokyo', '30 1 * * *', '2026-10-31T12:00Z', ['2026-10-31T16:30Z', '2026-11-01T16:30Z']],
    // Lists are fixed times, too; an interval would send each of these twice.
    [NEW_YORK, '30 1,13 * * *', '2026-10-31T20:00Z', ['2026-11-01T05:30Z', '2026-11-01T18:30Z', '2026-11-02T06:30Z']],
    [NEW_YORK, '15,45 1 * * *', '2026-10-31T20:00Z', ['2026-11-01T05:15Z', '2026-11-01T05:45Z', '2026-11-02T06:15Z']],
    [NEW_YORK, '30 1-2 * * *', '2026-10-31T20:00Z', ['2026-11-01T05:30Z', '2026-11-01T07:30Z', '2026-11-02T06:30Z']],
    // Asked within the repetition, and between the two.
    [NEW_YORK, '30 1 * * *', '2026-11-01T05:45Z', ['2026-11-02T06:30Z']],
    [NEW_YORK, '30 1 * * *', '2026-11-01T06:15Z', ['2026-11-02T06:30Z']],
  ])('in %s, where hours are repeated: %s comes once, the first time', (zone, cron, after, expected) => {
    expect(following(cron, zone, after, expected.length)).toEqual(expected);
  });

  it.each([
    // Forward: what would be in the gap is dropped.
    [NEW_YORK, '*/30 * * * *', '2026-03-08T06:00Z', ['06:30', '07:00', '07:30']],
    [LORD_HOWE, '*/15 * * * *', '2026-10-03T15:00Z', ['15:15', '15:30', '15:45']],
    [CASABLANCA, '0 * * * *', '2026-03-22T00:30Z', ['01:00', '02:00', '03:00']],
    [NEW_YORK, '0 */2 * * *', '2026-03-08T04:30Z', ['05:00', '08:00', '10:00']],
    // Back: both hours.
    [NEW_YORK, '*/30 * * * *', '2026-11-01T04:30Z', ['05:00', '05:30', '06:00', '06:30', '07:00']],
    [BERLIN, '0 * * * *', '2026-10-24T23:30Z', ['00:00', '01:00', '02:00']],
    [LORD_HOWE, '*/15 * * * *', '2026-04-04T14:30Z', ['14:45', '15:00', '15:15', '15:30']],
    [CASABLANCA, '30 * * * *', '2026-02-15T01:00Z', ['01:30', '02:30', '03:30']],
    ['Asia/Tokyo', '*/30 * * * *', '2026-11-01T04:30Z', ['05:00', '05:30', '06:00']],
  ])('in %s: the interval %s from %s goes on', (zone, cron, after, expected) => {
    const clocks = following(cron, zone, after, expected.length).map((instant) => instant.slice(11, 16));
    expect(clocks).toEqual(expected);
  });
});

describe('checkCron', () => {
  const NOW = Date.parse('2026-11-16T11:30:00Z');

  it('gives the first three occurrences, in the zone', () => {
    const at = (zone: string) => checkCron('0 9 * * mon', zone, NOW).map((instant) => new Date(instant).toISOString());
    expect(at(BERLIN)).toEqual(['2026-11-23T08:00:00.000Z', '2026-11-30T08:00:00.000Z', '2026-12-07T08:00:00.000Z']);
    expect(at('america/new_york')[0]).toBe('2026-11-16T14:00:00.000Z');
    expect(checkCron('0 9 29 2 *', BERLIN, NOW)).toHaveLength(3);
  });

  it.each([
    ['', 'has 0 fields instead of five'],
    ['@reboot', 'has 1 field instead of five'],
    ['2026-11-23T09:00:00', 'has 1 field instead of five'],
    ['0 9 * *', 'has 4 fields instead of five'],
    ['0 0 9 * * *', 'has 6 fields instead of five'],
    ['0 0 9 * * * 2027', 'has 7 fields instead of five'],
  ])('refuses %j: it %s', (cron, has) => {
    expect(refusal(() => checkCron(cron, BERLIN, NOW))).toEqual({
      code: 'CRON_INVALID',
      message: `"${cron}" ${has}.`,
      hint: 'Write minute, hour, day of month, month and weekday, without seconds: "0 9 * * mon-fri" for 09:00 on weekdays, or @daily.',
    });
  });

  it.each(['60 * * * *', '0 24 * * *', '0 9 32 * *', '0 9 * * someday', '5-1 * * * *', '*/0 * * * *', 'H 9 * * *'])(
    'refuses %s with the reason',
    (cron) => {
      expect(refusal(() => checkCron(cron, BERLIN, NOW))).toMatchObject({
        code: 'CRON_INVALID',
        message: expect.stringMatching(/^"[^"]+" cannot be read as cron: (?!CronPattern)./) as string,
        hint: 'Write it like "0 9 * * mon-fri" for 09:00 on weekdays, or @daily.',
      });
      expect(refusal(() => nextOccurrence(cron, BERLIN, NOW)).code).toBe('CRON_INVALID');
    },
  );

  it('refuses what is far too long', () => {
    const cron = `${'0,'.repeat(100_000)}0 9 * * *`;
    expect(refusal(() => checkCron(cron, BERLIN, NOW)).message).toMatch(/^"[0,]{200}" is too long\.$/);
  });

  // The second asks for a February 29 that is a Monday, which comes in 2044.
  it.each(['0 0 30 2 *', '0 0 29 2 +mon', '0 0 31 4,6,9,11 *'])(
    'refuses %s, which never comes, or not soon',
    (cron) => {
      expect(refusal(() => checkCron(cron, BERLIN, NOW))).toEqual({
        code: 'CRON_INVALID',
        message: `"${cron}" does not come in the next five years.`,
        hint: 'Check the day and the month: 30 2 in the third and fourth field is February 30, which does not exist.',
      });
    },
  );

  it('refuses a zone that nobody knows', () => {
    expect(refusal(() => checkCron('0 9 * * *', 'Europe/Berln', NOW)).code).toBe('ZONE_UNKNOWN');
    expect(refusal(() => nextOccurrence('0 9 * * *', '+01:00', NOW)).code).toBe('ZONE_UNKNOWN');
  });
});
