/**
 * Times that come again, written as cron. Cron belongs to a zone: its clock decides, through all its changes.
 */
import { Cron } from 'croner';
import { Failure } from '../core/failure.js';
import { requireZone } from './when.js';

const NICKNAMES = ['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually'];
const SHOWN = 3;
/** February 29 comes every four years; what comes more rarely is a mistake. */
const SOON_MS = 5 * 366 * 86_400_000;
/** Nothing sensible is longer. */
const MAX_LENGTH = 200;

/**
 * When the clocks change, in `America/New_York`:
 *
 * - Hours that are left out (2:00 to 3:00 on 2026-03-08): a fixed time in them comes at the first moment after them
 *   (`30 2 * * *` at 3:00), and so do all fixed times in them together, once. Times of an interval are dropped.
 * - Hours that are repeated (1:00 to 2:00 on 2026-11-01): a fixed time in them comes once, the first time; an interval
 *   goes on through both.
 *
 * A time is fixed when neither its minute nor its hour has a star or a step: `30 1,13 * * *` is, `0 * * * *` is an
 * interval.
 *
 * @param after milliseconds since 1970
 * @returns the first occurrence after that instant, in milliseconds since 1970; null when there is none
 * @throws Failure CRON_INVALID, ZONE_UNKNOWN
 */
export function nextOccurrence(cron: string, zone: string, after: number): number | null {
  return next(readCron(cron, zone), after);
}

/**
 * @returns the last occurrence up to and including that instant, in milliseconds since 1970; null when there is none
 * @throws Failure CRON_INVALID, ZONE_UNKNOWN
 */
export function lastOccurrence(cron: string, zone: string, until: number): number | null {
  // croner looks for what is before, in whole seconds.
  const before = readCron(cron, zone).previousRuns(2, new Date(until + 1000));
  const times = before.map((date) => date.getTime()).filter((at) => at <= until);
  return times.length === 0 ? null : Math.max(...times);
}

/**
 * Reads five fields (minute, hour, day of month, month, weekday) or `@daily` and its like. Where both the day of the month
 * and the weekday are given, a day needs to be only one of them.
 *
 * @returns the first three occurrences after `now`, for showing; fewer if there are no more
 * @throws Failure CRON_INVALID: not readable, with seconds or years, or not coming in the next five years; ZONE_UNKNOWN
 */
export function checkCron(cron: string, zone: string, now: number): number[] {
  const job = readCron(cron, zone);
  const occurrences: number[] = [];
  for (let at = next(job, now); at !== null && occurrences.length < SHOWN; at = next(job, at)) occurrences.push(at);
  const [first] = occurrences;
  if (first === undefined || first > now + SOON_MS) {
    throw new Failure(
      'CRON_INVALID',
      `"${cron}" does not come in the next five years.`,
      'Check the day and the month: 30 2 in the third and fourth field is February 30, which does not exist.',
    );
  }
  return occurrences;
}

function next(job: Cron, after: number): number | null {
  return job.nextRun(new Date(after))?.getTime() ?? null;
}

function readCron(cron: string, zone: string): Cron {
  const timezone = requireZone(zone);
  const text = cron.trim().replace(/\s+/g, ' ');
  const example = '"0 9 * * mon-fri" for 09:00 on weekdays, or @daily';
  // Croner would also take a date.
  const fields = text === '' ? 0 : text.split(' ').length;
  const isNickname = NICKNAMES.includes(text.toLowerCase());
  if (!isNickname && (text.length > MAX_LENGTH || fields !== 5)) {
    const has =
      text.length > MAX_LENGTH ? 'is too long' : `has ${fields} field${fields === 1 ? '' : 's'} instead of five`;
    throw new Failure(
      'CRON_INVALID',
      `"${text.slice(0, MAX_LENGTH)}" ${has}.`,
      `Write minute, hour, day of month, month and weekday, without seconds: ${example}.`,
    );
  }
  try {
    // By croner's own rule, `30 1,13 * * *` is an interval, and would come three times on the day on which 1:30 is repeated.
    return new Cron(text, { timezone, mode: '5-part', fixedTimeRule: 'no-wildcard' });
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw new Failure(
      'CRON_INVALID',
      `"${text}" cannot be read as cron: ${reason}`,
      `Write it like ${example}.`,
      error,
    );
  }
}
