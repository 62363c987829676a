/**
 * When: times as people write them, and as they are shown. A time in somebody's words means one instant or is refused;
 * nothing is guessed about zones or about hours that the clocks leave out or repeat.
 */
import { distance } from 'fastest-levenshtein';
import { Temporal } from 'temporal-polyfill';
import { Failure } from '../core/failure.js';

/** An instant, and the zone in which it is to be shown. */
export interface Moment {
  /** Milliseconds since 1970, UTC. */
  at: number;
  /** IANA name. */
  zone: string;
}

/** What a time is read against. */
interface Given {
  now: number;
  /** Given by `--zone`. */
  zone: string | null;
  /** The machine's own zone where a person at a terminal may be taken to mean it; null in a pipe or in CI. */
  localZone: string | null;
}

const DAY_MS = 86_400_000;
const MAX_AHEAD_DAYS = 366;
/** Nothing that can be read is longer. */
const MAX_LENGTH = 100;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

const DAY = String.raw`\d{4}-\d{2}-\d{2}|(?:next )?[a-z]{3,9}`;
const CLOCK = String.raw`(?<hour>\d{1,2})(?::(?<minute>\d{2})(?::(?<second>\d{2})(?:\.(?<fraction>\d{1,9}))?)?)?`;
const HALF = String.raw`(?: ?(?<half>[ap])\.?m\.?)?`;
const OFFSET = String.raw`(?: ?(?<offset>z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?))?`;
const BRACKET = String.raw`(?: ?\[(?<bracket>[^\]]+)\])?`;
const DAY_AND_CLOCK = new RegExp(`^(?:(?<day>${DAY})(?: at | |(?<=\\d)t))?${CLOCK}${HALF}${OFFSET}${BRACKET}$`);
const ONLY_DAY = new RegExp(`^(?:${DAY})$`);

const DURATION = new RegExp(
  [
    String.raw`^(?=\d)(?:(?<days>\d{1,6}) ?d(?:ays?)? ?)?`,
    String.raw`(?:(?<hours>\d{1,6}) ?h(?:(?:ou)?rs?)? ?)?`,
    String.raw`(?:(?<minutes>\d{1,6}) ?m(?:in(?:ute)?s?)? ?)?`,
    String.raw`(?:(?<seconds>\d{1,6}) ?s(?:ec(?:ond)?s?)?)?$`,
  ].join(''),
);

/**
 * Reads a time:
 *
 * - `2026-11-23T09:00+01:00`, also with `Z`, seconds, or a space for the `T`;
 * - `2026-11-23 09:00`, a local time, also with its zone: `2026-11-23T09:00[Europe/Berlin]`;
 * - `today 18:00`, `tomorrow 9:30 pm`; `09:00`, which is the next one, today or tomorrow;
 * - `monday 09:00`, `mon 9am`: the next one, which is today if today is a Monday and the time is still to come;
 *   `next monday 09:00`: the first Monday after today;
 * - `in 2h`, `in 90 minutes`.
 *
 * A local time is read in `zone`, else in the zone that it names, else in `localZone`. An offset decides the instant by
 * itself, and a zone is then only for showing.
 *
 * @throws Failure TIME_INVALID: not readable, without a time of day, not in the future, too far ahead, in an hour that
 * the clocks leave out or repeat, or contradicting itself; ZONE_UNKNOWN; ZONE_NEEDED
 */
export function parseWhen(text: string, given: Given): Moment {
  const { now } = given;
  const source = text.trim().replace(/\s+/g, ' ');
  const zone = given.zone === null ? null : requireZone(given.zone);
  const localZone = given.localZone === null ? null : knownZone(given.localZone);

  const delay = /^in (.*)$/i.exec(source)?.[1];
  if (delay !== undefined) {
    const ms = durationOf(delay);
    if (ms === null) throw unreadable(source, now);
    return inReach(source, { at: now + ms, zone: zone ?? localZone ?? 'UTC' }, now);
  }

  const written = read(source, now);
  const named = written.bracket === null ? null : requireZone(written.bracket);
  const here = zone ?? named ?? localZone;
  if (written.offset !== null) {
    const at = firstAhead(written, written.offset, now);
    if (named !== null && written.offset !== 'UTC') checkOffset(source, at, written.offset, named);
    return inReach(source, { at, zone: here ?? 'UTC' }, now);
  }
  if (here === null) {
    throw new Failure(
      'ZONE_NEEDED',
      `${quoted(source)} is a local time, and nothing says where.`,
      `Say where with --zone, such as --zone Europe/Berlin, or write the offset, as in ${tomorrow(now)}T09:00+01:00.`,
    );
  }
  const at = firstAhead(written, here, now);
  if (named !== null && firstAhead(written, named, now) !== at) {
    throw new Failure(
      'TIME_INVALID',
      `${quoted(source)} is a time in ${named}, but --zone says ${here}.`,
      'Leave one of the two out.',
    );
  }
  return inReach(source, { at, zone: here }, now);
}

/**
 * @returns the zone as given, in its usual capitals
 * @throws Failure ZONE_UNKNOWN for what is no IANA zone: offsets, and abbreviations such as PST, which say neither where
 * nor when the clocks change
 */
export function requireZone(zone: string): string {
  const name = zone.trim();
  const known = knownZone(name);
  if (known !== null) return known;
  const near = nearZones(name);
  const question = near.length === 0 ? '' : ` (did you mean ${near.join(' or ')}?)`;
  throw new Failure(
    'ZONE_UNKNOWN',
    `${quoted(name)} is no time zone${question}.`,
    'A zone is written as region and city, such as Europe/Berlin or America/New_York; UTC is one, too.',
  );
}

/**
 * Reads `90s`, `30m`, `2h`, `1d`, `1h30m`, and the same in words: `90 minutes`, `1 hour 30 min`.
 * @returns milliseconds, 0 to 366 days; null for anything else
 */
export function parseDuration(text: string): number | null {
  const duration = durationOf(text.trim());
  return duration !== null && duration <= MAX_AHEAD_DAYS * DAY_MS ? duration : null;
}

/**
 * An instant for people to check, such as `Mon 23 Nov 2026, 09:00 (GMT+1)`: in its zone, in the machine's, and in UTC.
 * A zone in which it reads the same as in one before is left out; so is a machine's zone that is none.
 */
export function readings(at: number, zone: string, localZone: string): { zone: string; text: string }[] {
  // Node reports `Etc/Unknown`, or nothing at all, where TZ names no zone.
  const all = [zone, knownZone(localZone) ?? 'UTC', 'UTC'].map((name) => ({ zone: name, text: shown(at, name) }));
  return all.filter(({ text }, index) => all.findIndex((other) => other.text === text) === index);
}

interface Written {
  source: string;
  /** The day that is meant, and the one that is meant instead if the time has passed on it. */
  days: (today: Temporal.PlainDate) => [Temporal.PlainDate, Temporal.PlainDate?];
  time: Temporal.PlainTime;
  /** `+01:00`, or `UTC` for `Z`. */
  offset: string | null;
  bracket: string | null;
}

type Groups = Partial<Record<string, string>>;

/** @throws Failure TIME_INVALID */
function read(source: string, now: number): Written {
  const words = source.slice(0, MAX_LENGTH + 1).toLowerCase();
  if (words.length > MAX_LENGTH) throw unreadable(source, now);
  const groups: Groups | undefined = DAY_AND_CLOCK.exec(words)?.groups;
  try {
    if (groups !== undefined && (groups['minute'] !== undefined || groups['half'] !== undefined)) {
      const { day, offset, bracket } = groups;
      const days = daysMeant(day);
      const written = { source, offset: offset === 'z' ? 'UTC' : (offset ?? null), bracket: bracket ?? null };
      if (days !== null) return { ...written, days, time: timeMeant(groups) };
    }
    if (ONLY_DAY.test(words) && daysMeant(words) !== null) throw withoutTime(source);
  } catch (error) {
    if (error instanceof RangeError) throw inexistent(source, error);
    throw error;
  }
  throw unreadable(source, now);
}

/**
 * @returns null for a word that is no day
 * @throws RangeError for a date that is not in the calendar
 */
function daysMeant(day: string | undefined): Written['days'] | null {
  if (day === undefined) return (today) => [today, today.add({ days: 1 })];
  if (day === 'today') return (today) => [today];
  if (day === 'tomorrow') return (today) => [today.add({ days: 1 })];
  if (/^\d/.test(day)) {
    const date = Temporal.PlainDate.from(day);
    return () => [date];
  }
  const isNext = day.startsWith('next ');
  const name = isNext ? day.slice('next '.length) : day;
  const weekday = WEEKDAYS.findIndex((known) => known.toLowerCase().startsWith(name)) + 1;
  if (weekday === 0) return null;
  return (today) => {
    const ahead = (weekday - today.dayOfWeek + 7) % 7;
    if (isNext) return [today.add({ days: ahead || 7 })];
    return [today.add({ days: ahead }), today.add({ days: ahead + 7 })];
  };
}

/** @throws RangeError for a time that is on no clock */
function timeMeant({ hour, minute, second, fraction, half }: Groups): Temporal.PlainTime {
  const written = Number(hour);
  if (half !== undefined && (written < 1 || written > 12)) throw new RangeError('a clock of twelve hours');
  return Temporal.PlainTime.from(
    {
      hour: half === undefined ? written : (written % 12) + (half === 'p' ? 12 : 0),
      minute: Number(minute ?? 0),
      second: Number(second ?? 0),
      millisecond: Number((fraction ?? '').padEnd(3, '0').slice(0, 3)),
    },
    { overflow: 'reject' },
  );
}

/**
 * The instant of a local time.
 * @param zone an IANA name or an offset
 * @throws Failure TIME_INVALID for a time that the clocks leave out or repeat
 */
function firstAhead({ source, days, time }: Written, zone: string, now: number): number {
  const [first, otherwise = first] = days(zoned(now, zone).toPlainDate());
  const soon = bothReadings(first.toPlainDateTime(time), zone);
  const { local, earlier, later } =
    soon.later.epochMilliseconds > now ? soon : bothReadings(otherwise.toPlainDateTime(time), zone);
  const isClear = earlier.epochMilliseconds === later.epochMilliseconds;
  if (isClear || later.epochMilliseconds <= now) return later.epochMilliseconds;

  const day = shownDay(local);
  const clock = local.toPlainTime().toString({ smallestUnit: 'minute' });
  const isRepeated = earlier.toPlainDateTime().equals(local);
  const both = [earlier, later].map((reading) => reading.toString({ timeZoneName: 'never' })).join(' or ');
  throw isRepeated
    ? new Failure(
        'TIME_INVALID',
        `${quoted(source)} could be two times: in ${zone} the clocks go back on ${day}, and ${clock} comes twice.`,
        `Write the one you mean: ${both}`,
      )
    : new Failure(
        'TIME_INVALID',
        `${quoted(source)} does not exist: in ${zone} the clocks go forward on ${day}, and leave ${clock} out.`,
        `Write a time before or after that: ${both}`,
      );
}

/** The same instant twice, except where the clocks change: then the one before and the one after. */
function bothReadings(local: Temporal.PlainDateTime, zone: string) {
  const earlier = local.toZonedDateTime(zone, { disambiguation: 'earlier' });
  const later = local.toZonedDateTime(zone, { disambiguation: 'later' });
  return { local, earlier, later };
}

/** @throws Failure TIME_INVALID where the clocks in the zone show something else than the offset says */
function checkOffset(source: string, at: number, offset: string, zone: string): void {
  const actual = zoned(at, zone);
  if (actual.offsetNanoseconds === zoned(at, offset).offsetNanoseconds) return;
  throw new Failure(
    'TIME_INVALID',
    `${quoted(source)} contradicts itself: ${zone} is at ${actual.offset} then.`,
    'Leave out the offset or the zone.',
  );
}

/** @throws Failure TIME_INVALID for a moment that has passed or is too far ahead */
function inReach(source: string, moment: Moment, now: number): Moment {
  const { at, zone } = moment;
  if (at <= now) {
    throw new Failure(
      'TIME_INVALID',
      `${quoted(source)} is not in the future: in ${zone} it is now ${shown(now, zone)}.`,
      'Give a time that is still to come, such as "tomorrow 09:00" or "in 2h".',
    );
  }
  if (at - now > MAX_AHEAD_DAYS * DAY_MS) {
    throw new Failure(
      'TIME_INVALID',
      `${quoted(source)} is more than ${MAX_AHEAD_DAYS} days ahead: ${shown(at, zone)}.`,
      'Check the year, or plan it later.',
    );
  }
  return moment;
}

function unreadable(source: string, now: number): Failure {
  const date = tomorrow(now);
  return new Failure(
    'TIME_INVALID',
    `${quoted(source)} cannot be read as a time.`,
    `Write it like "${date} 09:00", "tomorrow 09:00", "monday 9am", "in 2h" or ${date}T09:00+01:00.`,
  );
}

function withoutTime(source: string): Failure {
  return new Failure(
    'TIME_INVALID',
    `${quoted(source)} is a day; the time is missing.`,
    `Add the time, such as "${source} 09:00".`,
  );
}

function inexistent(source: string, cause: RangeError): Failure {
  return new Failure(
    'TIME_INVALID',
    `${quoted(source)} is no time that exists.`,
    'Check the month, the day and the clock: hours are 0 to 23, or 1 to 12 with am or pm.',
    cause,
  );
}

/** @returns milliseconds, without a bound that matters to people; null for what is no duration */
function durationOf(text: string): number | null {
  const groups: Groups | undefined = DURATION.exec(text.slice(0, MAX_LENGTH).toLowerCase())?.groups;
  if (groups === undefined) return null;
  const { days, hours, minutes, seconds } = groups;
  const inHours = Number(days ?? 0) * 24 + Number(hours ?? 0);
  return (inHours * 60 + Number(minutes ?? 0)) * 60_000 + Number(seconds ?? 0) * 1000;
}

/** @returns the zone in its usual capitals; null for what is no IANA zone */
function knownZone(name: string): string | null {
  try {
    const id = zoned(0, name).timeZoneId;
    // Temporal also takes offsets, and the zone out of a whole time.
    return /^[a-z]/i.test(name) && id.toLowerCase() === name.toLowerCase() ? id : null;
  } catch {
    return null;
  }
}

/** Up to three zones whose name or city is written nearly so. */
function nearZones(name: string): string[] {
  // Of an abbreviation, one mistake in three letters leaves nothing to go by.
  if (name.length < 4 || name.length > MAX_LENGTH) return [];
  const wanted = lettersOf(name);
  return Intl.supportedValuesOf('timeZone')
    .map((zone) => {
      const known = lettersOf(zone);
      const mistakes = Math.min(distance(wanted.all, known.all), distance(wanted.city, known.city));
      return { zone, mistakes, most: Math.floor(wanted.city.length / 3) };
    })
    .filter(({ mistakes, most }) => mistakes <= most)
    .sort((a, b) => a.mistakes - b.mistakes)
    .slice(0, 3)
    .map(({ zone }) => zone);
}

function lettersOf(zone: string): { all: string; city: string } {
  const letters = zone.toLowerCase().replace(/[^a-z/]/g, '');
  return { all: letters, city: letters.slice(letters.lastIndexOf('/') + 1) };
}

/** `Mon 23 Nov 2026, 09:00 (GMT+1)`; seconds only where there are any. */
function shown(at: number, zone: string): string {
  const local = zoned(at, zone);
  const clock = local.toPlainTime().toString({ smallestUnit: local.second === 0 ? 'minute' : 'second' });
  const offset = local.offset === '+00:00' ? '' : local.offset.replace(/^([+-])0/, '$1').replace(/:00$/, '');
  return `${shownDay(local)}, ${clock} (GMT${offset})`;
}

function shownDay({ dayOfWeek, day, month, year }: Temporal.ZonedDateTime | Temporal.PlainDateTime): string {
  return `${WEEKDAYS[dayOfWeek - 1]?.slice(0, 3) ?? ''} ${day} ${MONTHS[month - 1] ?? ''} ${year}`;
}

function zoned(at: number, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
}

/** A date for examples that is never in the past. */
function tomorrow(now: number): string {
  return zoned(now + DAY_MS, 'UTC')
    .toPlainDate()
    .toString();
}

/** Somebody's text, short and on one line. */
function quoted(text: string): string {
  return `"${text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text}"`;
}
