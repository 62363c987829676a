import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDuration, parseWhen, readings, requireZone, type Moment } from '../../src/app/when.js';
import { Failure } from '../../src/core/failure.js';
import { DAY, failureOf, HOUR, MINUTE } from '../support/fixtures.js';

/** A Monday; 12:30 in Berlin, 06:30 in New York. */
const NOW = Date.parse('2026-11-16T11:30:00Z');
const BERLIN = 'Europe/Berlin';
const NEW_YORK = 'America/New_York';

interface Given {
  now?: number;
  zone?: string | null;
  localZone?: string | null;
}

function when(text: string, given: Given = {}): Moment {
  return parseWhen(text, { now: NOW, zone: null, localZone: BERLIN, ...given });
}

/** The instant as ISO, in UTC. */
function utc(text: string, given: Given = {}): string {
  return new Date(when(text, given).at).toISOString().replace('.000Z', 'Z');
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

describe('parseWhen reads', () => {
  it.each([
    // With an offset.
    ['2026-11-23T09:00+01:00', '2026-11-23T08:00:00Z'],
    ['2026-11-23 09:00:30-05:00', '2026-11-23T14:00:30Z'],
    ['2026-11-23 09:00 -0500', '2026-11-23T14:00:00Z'],
    ['2026-11-23T09:00+05:30', '2026-11-23T03:30:00Z'],
    ['2026-11-23T09:00+02', '2026-11-23T07:00:00Z'],
    ['2026-11-23t09:00z', '2026-11-23T09:00:00Z'],
    ['2026-11-23T09:00:00.250Z', '2026-11-23T09:00:00.250Z'],
    ['2026-11-23T09:00:00.123456789Z', '2026-11-23T09:00:00.123Z'],
    ['tomorrow 00:30Z', '2026-11-17T00:30:00Z'],
    // In the machine's zone.
    ['2026-11-23 09:00', '2026-11-23T08:00:00Z'],
    ['2026-11-23T09:00', '2026-11-23T08:00:00Z'],
    ['2026-11-23T09:00:15', '2026-11-23T08:00:15Z'],
    ['2026-11-23 9am', '2026-11-23T08:00:00Z'],
    ['2027-07-01 09:00', '2027-07-01T07:00:00Z'],
    ['  2026-11-23   9:00  ', '2026-11-23T08:00:00Z'],
    // With its zone.
    ['2026-11-23T09:00[Europe/Berlin]', '2026-11-23T08:00:00Z'],
    ['2026-11-23T09:00[america/new_york]', '2026-11-23T14:00:00Z'],
    ['2026-11-23T09:00-05:00[America/New_York]', '2026-11-23T14:00:00Z'],
    ['2026-11-23T09:00Z[America/New_York]', '2026-11-23T09:00:00Z'],
    ['tomorrow 09:00 [America/New_York]', '2026-11-17T14:00:00Z'],
    // In words.
    ['today 18:00', '2026-11-16T17:00:00Z'],
    ['tomorrow 09:00', '2026-11-17T08:00:00Z'],
    ['Tomorrow at 9:30 PM', '2026-11-17T20:30:00Z'],
    ['12:31', '2026-11-16T11:31:00Z'],
    ['12:30', '2026-11-17T11:30:00Z'],
    ['09:00', '2026-11-17T08:00:00Z'],
    ['9am', '2026-11-17T08:00:00Z'],
    ['9:30 pm', '2026-11-16T20:30:00Z'],
    ['9 a.m.', '2026-11-17T08:00:00Z'],
    ['12am', '2026-11-16T23:00:00Z'],
    ['12:45 pm', '2026-11-16T11:45:00Z'],
    // Monday is today: only what is still to come.
    ['monday 12:31', '2026-11-16T11:31:00Z'],
    ['monday 12:30', '2026-11-23T11:30:00Z'],
    ['mon 9am', '2026-11-23T08:00:00Z'],
    ['next monday 18:00', '2026-11-23T17:00:00Z'],
    ['next monday 9:00', '2026-11-23T08:00:00Z'],
    ['TUESDAY 09:00', '2026-11-17T08:00:00Z'],
    ['next tue 09:00', '2026-11-17T08:00:00Z'],
    ['wed 09:00', '2026-11-18T08:00:00Z'],
    ['thurs 09:00', '2026-11-19T08:00:00Z'],
    ['fri at 09:00', '2026-11-20T08:00:00Z'],
    ['saturday 09:00', '2026-11-21T08:00:00Z'],
    ['sun 09:00', '2026-11-22T08:00:00Z'],
    ['in 2h', '2026-11-16T13:30:00Z'],
    ['in 90 minutes', '2026-11-16T13:00:00Z'],
    ['In 1 hour 30 min', '2026-11-16T13:00:00Z'],
    ['in 45s', '2026-11-16T11:30:45Z'],
    ['in 366d', '2027-11-17T11:30:00Z'],
  ])('%s', (text, expected) => expect(utc(text)).toBe(expected));

  it('today and tomorrow as the zone has them, not as UTC has', () => {
    const now = Date.parse('2026-11-16T23:30:00Z');
    const on = (zone: string, text: string) => utc(text, { now, zone });
    expect(on('Asia/Tokyo', 'today 09:00')).toBe('2026-11-17T00:00:00Z');
    expect(on(NEW_YORK, 'tomorrow 09:00')).toBe('2026-11-17T14:00:00Z');
    expect(on('Asia/Tokyo', 'tuesday 09:00')).toBe('2026-11-17T00:00:00Z');
    expect(on('Asia/Tokyo', 'next tuesday 09:00')).toBe('2026-11-24T00:00:00Z');
  });

  it.each([
    // text, --zone, the machine's zone → the zone for showing
    ['2026-11-23 09:00', NEW_YORK, BERLIN, '2026-11-23T14:00:00Z', NEW_YORK],
    ['2026-11-23 09:00', 'europe/berlin', null, '2026-11-23T08:00:00Z', BERLIN],
    ['2026-11-23 09:00', null, BERLIN, '2026-11-23T08:00:00Z', BERLIN],
    ['2026-11-23T09:00[Europe/Berlin]', null, NEW_YORK, '2026-11-23T08:00:00Z', BERLIN],
    ['2026-11-23T09:00[Europe/Berlin]', 'Europe/Paris', null, '2026-11-23T08:00:00Z', 'Europe/Paris'],
    ['2026-11-23T09:00+01:00', NEW_YORK, BERLIN, '2026-11-23T08:00:00Z', NEW_YORK],
    ['2026-11-23T09:00+01:00', null, BERLIN, '2026-11-23T08:00:00Z', BERLIN],
    ['2026-11-23T09:00+01:00', null, null, '2026-11-23T08:00:00Z', 'UTC'],
    ['2026-11-23T09:00+01:00[Europe/Berlin]', NEW_YORK, null, '2026-11-23T08:00:00Z', NEW_YORK],
    ['2026-11-23T09:00Z[Europe/Berlin]', null, null, '2026-11-23T09:00:00Z', BERLIN],
    ['in 30m', null, null, '2026-11-16T12:00:00Z', 'UTC'],
    ['in 30m', null, BERLIN, '2026-11-16T12:00:00Z', BERLIN],
    ['in 30m', NEW_YORK, BERLIN, '2026-11-16T12:00:00Z', NEW_YORK],
    ['in 30m', null, 'Etc/Unknown', '2026-11-16T12:00:00Z', 'UTC'],
  ])('%s with --zone %s on a machine in %s', (text, zone, localZone, at, shownIn) => {
    expect(when(text, { zone, localZone })).toEqual({ at: Date.parse(at), zone: shownIn });
  });
});

describe('parseWhen refuses', () => {
  it.each(
    [
      '',
      ' ',
      'soon',
      '9',
      'tomorrow 9',
      'monday at',
      '23.11.2026 09:00',
      '11/23/2026 09:00',
      '2026-11-2309:00',
      '2026-11-23t 09:00',
      '26-11-23 09:00',
      'someday 09:00',
      'next tomorrow 09:00',
      'last monday 09:00',
      'mondayt09:00',
      'in a while',
      'in -2h',
      'in',
      'in 30m 2h',
      '2026-11-23T09:00+25:00',
      '2026-11-23T09:00[]',
      '2026-11-23T09:00[Europe/Berlin][u-ca=hebrew]',
      `2026-11-23 09:00[${'x'.repeat(100)}]`,
    ].map((text) => [text]),
  )('%j as not readable', (text) => {
    expect(refusal(() => when(text))).toMatchObject({
      code: 'TIME_INVALID',
      message: expect.stringMatching(/ cannot be read as a time\.$/) as string,
      hint: 'Write it like "2026-11-17 09:00", "tomorrow 09:00", "monday 9am", "in 2h" or 2026-11-17T09:00+01:00.',
    });
  });

  it.each([
    '2026-11-31 09:00',
    '2027-02-29 09:00',
    '2026-13-01 09:00',
    '2026-13-01',
    '2026-11-23 24:00',
    '2026-11-23 09:60',
    '2026-11-23 09:00:60',
    '13pm',
    '0am',
    '13:00 pm',
  ])('%s as a time that does not exist', (text) => {
    expect(refusal(() => when(text))).toEqual({
      code: 'TIME_INVALID',
      message: `"${text}" is no time that exists.`,
      hint: 'Check the month, the day and the clock: hours are 0 to 23, or 1 to 12 with am or pm.',
    });
  });

  it.each(['2026-11-23', 'today', 'Tomorrow', 'monday', 'next fri'])('%s for want of a time', (text) => {
    expect(refusal(() => when(text))).toEqual({
      code: 'TIME_INVALID',
      message: `"${text}" is a day; the time is missing.`,
      hint: `Add the time, such as "${text} 09:00".`,
    });
  });

  it.each([
    ['today 09:00', {}, 'in Europe/Berlin it is now Mon 16 Nov 2026, 12:30 (GMT+1)'],
    ['2025-11-23 09:00', { zone: NEW_YORK }, 'in America/New_York it is now Mon 16 Nov 2026, 06:30 (GMT-5)'],
    ['2026-11-16T11:30Z', { localZone: null }, 'in UTC it is now Mon 16 Nov 2026, 11:30 (GMT)'],
    ['in 0s', { now: NOW + 5000 }, 'in Europe/Berlin it is now Mon 16 Nov 2026, 12:30:05 (GMT+1)'],
    // On such a day, an hour that came twice is over like any other.
    ['2026-11-01 01:30', { zone: NEW_YORK }, 'in America/New_York it is now Mon 16 Nov 2026, 06:30 (GMT-5)'],
  ])('%s as past, and says what time it is', (text, given, now) => {
    expect(refusal(() => when(text, given))).toEqual({
      code: 'TIME_INVALID',
      message: `"${text}" is not in the future: ${now}.`,
      hint: 'Give a time that is still to come, such as "tomorrow 09:00" or "in 2h".',
    });
  });

  it('more than 366 days ahead, to the millisecond', () => {
    expect(when('2027-11-17T11:30Z').at).toBe(NOW + 366 * DAY);
    expect(refusal(() => when('2027-11-17T11:30:00.001Z')).code).toBe('TIME_INVALID');
    expect(refusal(() => when('2062-11-23 09:00'))).toEqual({
      code: 'TIME_INVALID',
      message: '"2062-11-23 09:00" is more than 366 days ahead: Thu 23 Nov 2062, 09:00 (GMT+1).',
      hint: 'Check the year, or plan it later.',
    });
    expect(refusal(() => when('in 999999d')).message).toContain('more than 366 days ahead');
  });

  it('a local time where nobody says where', () => {
    expect(refusal(() => when('tomorrow 09:00', { localZone: null }))).toEqual({
      code: 'ZONE_NEEDED',
      message: '"tomorrow 09:00" is a local time, and nothing says where.',
      hint: 'Say where with --zone, such as --zone Europe/Berlin, or write the offset, as in 2026-11-17T09:00+01:00.',
    });
    expect(refusal(() => when('9am', { localZone: 'Etc/Unknown' })).code).toBe('ZONE_NEEDED');
  });

  it('a zone that contradicts the offset, or --zone', () => {
    expect(refusal(() => when('2026-11-23T09:00+05:00[Europe/Berlin]'))).toEqual({
      code: 'TIME_INVALID',
      message: '"2026-11-23T09:00+05:00[Europe/Berlin]" contradicts itself: Europe/Berlin is at +01:00 then.',
      hint: 'Leave out the offset or the zone.',
    });
    expect(refusal(() => when('2026-11-23T09:00+00:00[Europe/Berlin]')).code).toBe('TIME_INVALID');
    expect(refusal(() => when('2026-11-23T09:00[Europe/Berlin]', { zone: NEW_YORK }))).toEqual({
      code: 'TIME_INVALID',
      message: '"2026-11-23T09:00[Europe/Berlin]" is a time in Europe/Berlin, but --zone says America/New_York.',
      hint: 'Leave one of the two out.',
    });
  });

  it('a zone that nobody knows, wherever it stands', () => {
    expect(refusal(() => when('2026-11-23T09:00[Europe/Berln]')).code).toBe('ZONE_UNKNOWN');
    expect(refusal(() => when('in 2h', { zone: 'Berln' })).code).toBe('ZONE_UNKNOWN');
  });
});

interface Change {
  day: string;
  shown: string;
  /** The last minute before and the first after, with the instants that they are. */
  before: [clock: string, instant: string];
  after: [clock: string, instant: string];
  refused: [clock: string, earlier: string, later: string][];
}

/** What the clocks do in 2026. */
const CHANGES: { zone: string; gap: Change; overlap: Change }[] = [
  {
    zone: NEW_YORK,
    gap: {
      day: '2026-03-08',
      shown: 'Sun 8 Mar 2026',
      before: ['01:59', '2026-03-08T06:59:00Z'],
      after: ['03:00', '2026-03-08T07:00:00Z'],
      refused: [
        ['02:00', '2026-03-08T01:00:00-05:00', '2026-03-08T03:00:00-04:00'],
        ['02:30', '2026-03-08T01:30:00-05:00', '2026-03-08T03:30:00-04:00'],
        ['02:59', '2026-03-08T01:59:00-05:00', '2026-03-08T03:59:00-04:00'],
      ],
    },
    overlap: {
      day: '2026-11-01',
      shown: 'Sun 1 Nov 2026',
      before: ['00:59', '2026-11-01T04:59:00Z'],
      after: ['02:00', '2026-11-01T07:00:00Z'],
      refused: [
        ['01:00', '2026-11-01T01:00:00-04:00', '2026-11-01T01:00:00-05:00'],
        ['01:30', '2026-11-01T01:30:00-04:00', '2026-11-01T01:30:00-05:00'],
        ['01:59', '2026-11-01T01:59:00-04:00', '2026-11-01T01:59:00-05:00'],
      ],
    },
  },
  {
    zone: BERLIN,
    gap: {
      day: '2026-03-29',
      shown: 'Sun 29 Mar 2026',
      before: ['01:59', '2026-03-29T00:59:00Z'],
      after: ['03:00', '2026-03-29T01:00:00Z'],
      refused: [['02:30', '2026-03-29T01:30:00+01:00', '2026-03-29T03:30:00+02:00']],
    },
    overlap: {
      day: '2026-10-25',
      shown: 'Sun 25 Oct 2026',
      before: ['01:59', '2026-10-24T23:59:00Z'],
      after: ['03:00', '2026-10-25T02:00:00Z'],
      refused: [['02:30', '2026-10-25T02:30:00+02:00', '2026-10-25T02:30:00+01:00']],
    },
  },
  {
    // Half an hour.
    zone: 'Australia/Lord_Howe',
    gap: {
      day: '2026-10-04',
      shown: 'Sun 4 Oct 2026',
      before: ['01:59', '2026-10-03T15:29:00Z'],
      after: ['02:30', '2026-10-03T15:30:00Z'],
      refused: [['02:15', '2026-10-04T01:45:00+10:30', '2026-10-04T02:45:00+11:00']],
    },
    overlap: {
      day: '2026-04-05',
      shown: 'Sun 5 Apr 2026',
      before: ['01:29', '2026-04-04T14:29:00Z'],
      after: ['02:00', '2026-04-04T15:30:00Z'],
      refused: [['01:45', '2026-04-05T01:45:00+11:00', '2026-04-05T01:45:00+10:30']],
    },
  },
  {
    // Back for Ramadan, and forward after it.
    zone: 'Africa/Casablanca',
    gap: {
      day: '2026-03-22',
      shown: 'Sun 22 Mar 2026',
      before: ['01:59', '2026-03-22T01:59:00Z'],
      after: ['03:00', '2026-03-22T02:00:00Z'],
      refused: [['02:30', '2026-03-22T01:30:00+00:00', '2026-03-22T03:30:00+01:00']],
    },
    overlap: {
      day: '2026-02-15',
      shown: 'Sun 15 Feb 2026',
      before: ['01:59', '2026-02-15T00:59:00Z'],
      after: ['03:00', '2026-02-15T03:00:00Z'],
      refused: [['02:30', '2026-02-15T02:30:00+01:00', '2026-02-15T02:30:00+00:00']],
    },
  },
];

const NEW_YEAR = Date.parse('2026-01-01T00:00:00Z');

describe.each(CHANGES)('where the clocks change in $zone', ({ zone, gap, overlap }) => {
  const given = { now: NEW_YEAR, zone };

  it.each(gap.refused)('%s does not exist', (clock, earlier, later) => {
    const text = `${gap.day} ${clock}`;
    expect(refusal(() => when(text, given))).toEqual({
      code: 'TIME_INVALID',
      message: `"${text}" does not exist: in ${zone} the clocks go forward on ${gap.shown}, and leave ${clock} out.`,
      hint: `Write a time before or after that: ${earlier} or ${later}`,
    });
    expect(when(earlier, given).at).toBe(Date.parse(earlier));
    expect(when(later, given).at).toBe(Date.parse(later));
  });

  it.each(overlap.refused)('%s comes twice', (clock, earlier, later) => {
    const text = `${overlap.day} ${clock}`;
    expect(refusal(() => when(text, given))).toEqual({
      code: 'TIME_INVALID',
      message: `"${text}" could be two times: in ${zone} the clocks go back on ${overlap.shown}, and ${clock} comes twice.`,
      hint: `Write the one you mean: ${earlier} or ${later}`,
    });
    expect(when(earlier, given).at).toBe(Date.parse(earlier));
    expect(when(`${later}[${zone}]`, given).at).toBe(Date.parse(later));
  });

  it('the minutes before and after are as any other', () => {
    for (const { day, before, after } of [gap, overlap]) {
      for (const [clock, expected] of [before, after]) expect(utc(`${day}T${clock}`, given)).toBe(expected);
    }
  });
});

describe('where the clocks change', () => {
  it('holds for words, too', () => {
    const eve = { now: Date.parse('2026-03-07T17:00:00Z'), zone: NEW_YORK };
    expect(refusal(() => when('tomorrow 02:30', eve)).message).toContain('leave 02:30 out');
    expect(refusal(() => when('2:30am', eve)).message).toContain('leave 02:30 out');
    expect(refusal(() => when('sunday 02:30', eve)).message).toContain('leave 02:30 out');
    expect(utc('tomorrow 09:00', eve)).toBe('2026-03-08T13:00:00Z');
    expect(utc('in 1d', eve)).toBe('2026-03-08T17:00:00Z');
  });

  it('an hour that is over for the first time is still two times; over for the second time it is none of today', () => {
    const at = (instant: string) => ({ now: Date.parse(instant), zone: NEW_YORK });
    expect(refusal(() => when('01:30', at('2026-11-01T05:45:00Z'))).message).toContain('01:30 comes twice');
    expect(utc('01:30', at('2026-11-01T06:45:00Z'))).toBe('2026-11-02T06:30:00Z');
    expect(utc('sunday 01:30', at('2026-11-01T06:45:00Z'))).toBe('2026-11-08T06:30:00Z');
  });

  it('a zone without changes has every time once', () => {
    const given = { now: NEW_YEAR, zone: 'Asia/Tokyo' };
    for (const { gap, overlap } of CHANGES) {
      for (const { day, refused } of [gap, overlap]) {
        for (const [clock] of refused)
          expect(when(`${day} ${clock}`, given).at).toBe(Date.parse(`${day}T${clock}+09:00`));
      }
    }
  });
});

/** As `Intl` has it, which is not what `parseWhen` is made with. */
function written(at: number, zone: string): { local: string; offset: string } {
  const clock = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  const named = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' }).formatToParts(at);
  const offset = named.find(({ type }) => type === 'timeZoneName')!.value.slice('GMT'.length);
  return { local: clock.format(at).replace(' ', 'T'), offset: offset || '+00:00' };
}

const zones = fc.constantFrom(...CHANGES.map(({ zone }) => zone), 'Asia/Tokyo');
const edges = CHANGES.flatMap(({ gap, overlap }) => [gap, overlap].map(({ after }) => Date.parse(after[1])));
const instants = fc.oneof(
  fc.integer({ min: 1, max: 366 * 86_400 }).map((seconds) => NEW_YEAR + seconds * 1000),
  fc
    .tuple(fc.constantFrom(...edges), fc.integer({ min: -3 * 3600, max: 3 * 3600 }))
    .map(([edge, seconds]) => edge + seconds * 1000),
);

describe('an instant that is written down', () => {
  it('with its offset is read back', () => {
    fc.assert(
      fc.property(instants, zones, fc.constantFrom(null, BERLIN, NEW_YORK), (at, zone, shownIn) => {
        const { local, offset } = written(at, zone);
        const given = { now: NEW_YEAR, localZone: null };
        expect(when(local + offset, { ...given, zone: shownIn })).toEqual({ at, zone: shownIn ?? 'UTC' });
        expect(when(`${local}${offset}[${zone}]`, given)).toEqual({ at, zone });
      }),
      { numRuns: 500 },
    );
  });

  it('as a local time is read back, or refused as one of two', () => {
    fc.assert(
      fc.property(instants, zones, (at, zone) => {
        const { local, offset } = written(at, zone);
        let read: number;
        try {
          read = when(local, { now: NEW_YEAR, zone }).at;
        } catch (error) {
          expect(error).toMatchObject({
            code: 'TIME_INVALID',
            message: expect.stringContaining('comes twice') as string,
          });
          expect((error as Failure).hint).toContain(local + offset);
          return;
        }
        expect(read).toBe(at);
      }),
      { numRuns: 1000 },
    );
  });
});

it('any text is a moment to come, or refused with what to do', () => {
  const pieces = [
    '2026-11-23',
    't',
    ' ',
    'next ',
    'mon',
    '9',
    '31',
    ':',
    '59',
    '.5',
    'am',
    '+',
    '-',
    'z',
    '[',
    'utc',
    ']',
    'in ',
    'd',
  ];
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((each) => each.join('')),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(null, BERLIN), (words, zone) => {
      try {
        expect(when(words, { zone, localZone: null }).at).toBeGreaterThan(NOW);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        expect(error.hint).not.toBe('');
      }
    }),
    { numRuns: 2000 },
  );
});

describe('requireZone', () => {
  it.each([
    ['Europe/Berlin', BERLIN],
    ['europe/berlin', BERLIN],
    [' America/New_York ', NEW_YORK],
    ['asia/kolkata', 'Asia/Kolkata'],
    ['Europe/Kyiv', 'Europe/Kyiv'],
    ['america/argentina/buenos_aires', 'America/Argentina/Buenos_Aires'],
    ['utc', 'UTC'],
    ['Etc/GMT+5', 'Etc/GMT+5'],
  ])('knows %s', (zone, name) => expect(requireZone(zone)).toBe(name));

  it.each([
    ['Europe/Berln', ' (did you mean Europe/Berlin?)'],
    ['berlin', ' (did you mean Europe/Berlin?)'],
    ['New York', ' (did you mean America/New_York?)'],
    ['Europe/New_York', ' (did you mean America/New_York?)'],
    ['Germany', ''],
    ['PST', ''],
    ['CEST', ''],
    ['+01:00', ''],
    ['Z', ''],
    ['Etc/Unknown', ''],
    ['2026-11-23T09:00[Europe/Berlin]', ' (did you mean Europe/Berlin?)'],
    ['T0900+01', ''],
    ['', ''],
  ])('refuses %s', (zone, question) => {
    expect(refusal(() => requireZone(zone))).toEqual({
      code: 'ZONE_UNKNOWN',
      message: `"${zone}" is no time zone${question}.`,
      hint: 'A zone is written as region and city, such as Europe/Berlin or America/New_York; UTC is one, too.',
    });
  });

  it('shows little of what is far too long', async () => {
    expect(refusal(() => requireZone('x'.repeat(100_000))).message).toHaveLength(120);
    expect(await failureOf(() => requireZone('x/'.repeat(100_000)))).toBe('ZONE_UNKNOWN');
  });
});

describe('parseDuration', () => {
  it.each([
    ['0s', 0],
    ['90s', 90_000],
    ['30m', 30 * MINUTE],
    ['2h', 2 * HOUR],
    ['1d', DAY],
    ['1h30m', 90 * MINUTE],
    ['1D 2H', 26 * HOUR],
    ['1d2h3m4s', DAY + 2 * HOUR + 3 * MINUTE + 4000],
    [' 90 minutes ', 90 * MINUTE],
    ['1 hour 30 mins', 90 * MINUTE],
    ['2 hrs', 2 * HOUR],
    ['10 sec', 10_000],
    ['366d', 366 * DAY],
  ])('%s', (text, expected) => expect(parseDuration(text)).toBe(expected));

  it.each(['', '1', 'h', '-1h', '+1h', '1.5h', '1h 1h', '30m1h', '1w', '1 month', '366d1s', '1000000s', '1h!'])(
    'refuses %j',
    (text) => expect(parseDuration(text)).toBeNull(),
  );
});

describe('readings', () => {
  const at = Date.parse('2026-11-23T08:00:00Z');
  const berlin = { zone: BERLIN, text: 'Mon 23 Nov 2026, 09:00 (GMT+1)' };
  const newYork = { zone: NEW_YORK, text: 'Mon 23 Nov 2026, 03:00 (GMT-5)' };
  const inUtc = { zone: 'UTC', text: 'Mon 23 Nov 2026, 08:00 (GMT)' };

  it.each([
    [BERLIN, NEW_YORK, [berlin, newYork, inUtc]],
    [NEW_YORK, BERLIN, [newYork, berlin, inUtc]],
    [BERLIN, BERLIN, [berlin, inUtc]],
    [BERLIN, 'Europe/Paris', [berlin, inUtc]],
    [BERLIN, 'UTC', [berlin, inUtc]],
    ['UTC', 'Etc/UTC', [inUtc]],
    [BERLIN, 'Etc/Unknown', [berlin, inUtc]],
    ['Europe/London', BERLIN, [{ ...inUtc, zone: 'Europe/London' }, berlin]],
  ])('in %s, on a machine in %s', (zone, localZone, expected) => {
    expect(readings(at, zone, localZone)).toEqual(expected);
  });

  it.each([
    ['2026-01-03T23:00:05Z', 'Australia/Lord_Howe', 'Sun 4 Jan 2026, 10:00:05 (GMT+11)'],
    ['2026-06-03T23:00:00Z', 'Australia/Lord_Howe', 'Thu 4 Jun 2026, 09:30 (GMT+10:30)'],
    ['2026-09-30T23:00:00Z', 'America/St_Johns', 'Wed 30 Sep 2026, 20:30 (GMT-2:30)'],
    ['2026-09-30T23:00:00Z', 'Asia/Tokyo', 'Thu 1 Oct 2026, 08:00 (GMT+9)'],
  ])('%s in %s', (instant, zone, text) => {
    expect(readings(Date.parse(instant), zone, zone)[0]).toEqual({ zone, text });
  });
});
