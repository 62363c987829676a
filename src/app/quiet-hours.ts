/** Quiet hours: the part of the day in which a flow sends nothing, by the clocks on the wall of a zone. */
import { Temporal } from 'temporal-polyfill';
import type { QuietHours } from '../core/flow.js';

const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;

/**
 * It is quiet while the clocks in the zone show a time from `from` up to, but not including, `to`, also in an hour that they
 * repeat; an hour that they leave out is not waited for. Where both are the same, it never is.
 *
 * @param now milliseconds since 1970
 * @returns the first instant from `now` on at which it is not quiet; null when it is not quiet now
 * @throws RangeError for what is no zone
 */
export function quietUntil(now: number, quiet: QuietHours): number | null {
  let at = Temporal.Instant.fromEpochMilliseconds(now).toZonedDateTimeISO(quiet.zone);
  for (let left = quietMs(at, quiet); left > 0; left = quietMs(at, quiet)) {
    const end = at.add({ milliseconds: left });
    // When the clocks change on the way there, what they show then decides.
    const change = end.offsetNanoseconds === at.offsetNanoseconds ? null : at.getTimeZoneTransition('next');
    at = change ?? end;
  }
  return at.epochMilliseconds === now ? null : at.epochMilliseconds;
}

/** How much longer it is quiet if the clocks do not change; 0 when it is not. */
function quietMs({ hour, minute, second, millisecond }: Temporal.ZonedDateTime, { from, to }: QuietHours): number {
  const shown = (hour * 60 + minute) * MINUTE_MS + second * 1000 + millisecond;
  const since = (shown - from * MINUTE_MS + DAY_MS) % DAY_MS;
  const length = ((to - from) * MINUTE_MS + DAY_MS) % DAY_MS;
  return since < length ? length - since : 0;
}
