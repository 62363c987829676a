/** When something is sent: read from flags, and told in every zone that matters. Loaded only where a time was given. */
import { checkCron } from '../app/cron.js';
import { parseDuration, parseWhen, readings, requireZone } from '../app/when.js';
import { Failure } from '../core/failure.js';
import { DEFAULT_EXPIRY_MS, type Timing } from '../core/schedule.js';
import type { Context } from './context.js';
import type { SendOptions } from './options.js';

/** @returns milliseconds @throws Failure USAGE */
export function readDuration(option: string, text: string): number {
  const duration = parseDuration(text);
  if (duration !== null) return duration;
  throw new Failure(
    'USAGE',
    `"${text}" is no length of time of at most 366 days.`,
    `Write ${option} 90s, 30m, 2h or 1d.`,
  );
}

function readExpiry({ expiresAfter }: SendOptions): number {
  if (expiresAfter === undefined) return DEFAULT_EXPIRY_MS;
  const expiry = readDuration('--expires-after', expiresAfter);
  if (expiry > 0) return expiry;
  throw new Failure(
    'USAGE',
    'Nothing can start in no time at all.',
    'Write --expires-after 30m, or leave it out for 1h.',
  );
}

/** The zone of this machine; what a dialogue offers. */
export function offeredZone(): string {
  return localZone() ?? 'UTC';
}

/** The zone of this machine, where somebody at a terminal means it when they leave it out. */
function zoneOf({ terminal }: Context): string | null {
  return terminal.interactive ? localZone() : null;
}

/** @returns null where the machine has none that is known, as with a mistyped TZ */
function localZone(): string | null {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined;
  return zone === undefined || zone === 'Etc/Unknown' ? null : zone;
}

/** @throws Failure TIME_INVALID, ZONE_NEEDED, ZONE_UNKNOWN, USAGE */
export function readTiming(context: Context, at: string, options: SendOptions): Timing {
  const given = { now: context.clock.now(), zone: options.zone ?? null, localZone: zoneOf(context) };
  const { at: sendAt, zone } = parseWhen(at, given);
  return { sendAt, expiresAt: sendAt + readExpiry(options), zone };
}

export interface Repetition {
  zone: string;
  expiryMs: number;
  /** The first occurrences. */
  next: number[];
}

/** @throws Failure CRON_INVALID, ZONE_NEEDED, ZONE_UNKNOWN, USAGE */
export function readRepetition(context: Context, cron: string, options: SendOptions): Repetition {
  const zone = options.zone ?? zoneOf(context);
  if (zone === null) {
    throw new Failure(
      'ZONE_NEEDED',
      'A time that comes again needs a zone.',
      'Pass --zone, such as --zone Europe/Berlin.',
    );
  }
  const known = requireZone(zone);
  return { zone: known, expiryMs: readExpiry(options), next: checkCron(cron, known, context.clock.now()) };
}

/** An instant in its zone, in this machine's and in UTC, one line for each. */
export function timeLines(at: number, zone: string): string[] {
  return readings(at, zone, offeredZone()).map((reading) => `  ${reading.text}  ${reading.zone}`);
}
