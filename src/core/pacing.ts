/**
 * Pacing: when the next message may leave, so that the receiving end never counts more than `pace` messages in any one
 * second. Above 40 a second Messenger cuts a Page off (Messenger Platform, rate limiting), and it counts arrivals, not
 * departures: a message held up on its way arrives close to those sent after it. Two rules hold together:
 *
 * - a steady beat, one message every 1/pace seconds, that may make up for at most CATCH_UP_MS of lateness;
 * - message n + pace leaves at least one second after message n has arrived. When it arrived is not known, but how much
 *   longer than the fastest answer its answer took bounds how long it was held up.
 */

import type { Channel, Template } from './template.js';

/** Messages a second above which a Messenger Page is cut off. */
export const PAGE_LIMIT = 40;

/** The highest pace at which an account may send at all, through whichever service; the sandbox shows what happens above it. */
export function highestPace({ provider, channel }: { provider: string; channel: Channel }): number {
  return provider !== 'sandbox' && channel === 'messenger' ? PAGE_LIMIT : Infinity;
}
/** Audio and video are taken more slowly (Messenger Platform, rate limiting: 10 calls a second). */
const HEAVY_MEDIA_LIMIT = 10;

/** Reads `35/s`, `30/m`, `20` (a second) or `unlimited`. @returns messages a second, `Infinity` for no limit; null for none of these */
export function parsePace(text: string): number | null {
  if (text === 'unlimited') return Infinity;
  const match = /^(\d{1,6}(?:\.\d{1,6})?)(?:\/([sm]))?$/.exec(text);
  const perSecond = match ? Number(match[1]) / (match[2] === 'm' ? 60 : 1) : 0;
  return perSecond > 0 ? perSecond : null;
}

/** The pace at which a template may go out on an account of the given pace. */
export function paceOf(template: Template, accountPace: number): number {
  const heavy = template.media?.type === 'audio' || template.media?.type === 'video';
  return heavy ? Math.min(accountPace, HEAVY_MEDIA_LIMIT) : accountPace;
}

/** No run has more calls under way, however fast it is; a provider needs as many connections. */
export const MAX_UNDER_WAY = 256;

/** From such a share of what the platform allows on, fewer messages leave, so that the limit itself is not hit. */
const SLOWER: readonly (readonly [load: number, share: number])[] = [
  [1, 0.1],
  [0.9, 0.25],
  [0.75, 0.5],
];

/** @param load how much of the account's allowance is used up, from 0 @returns the share of the pace to go on with */
export function paceShare(load: number): number {
  return SLOWER.find(([from]) => load >= from)?.[1] ?? 1;
}

const CATCH_UP_MS = 100;
/** Covers timer rounding at both ends. */
const SAFETY_MS = 4;
/** A hanging request must not stop the campaign; the platform had it at the latest this long after the usual time. */
const MAX_HELD_UP_MS = 250;
const SECOND_MS = 1000;

/**
 * What one owner of an account leaves to the next: until `freeAt` so many messages of owners before count. Nothing is known
 * of when before that instant each of them stops to count, so all are taken to count until then.
 */
export interface Handover {
  freeAt: number;
  /** Infinity where nobody knows; from the pace on nothing may leave before `freeAt`. */
  taken: number;
}

const NOTHING: Handover = { freeAt: -Infinity, taken: 0 };

export class Pacer {
  readonly #pace: number;
  #interval: number;
  readonly #batch: number;
  /** How many messages any `#span` ms may hold; 0 for no limit. */
  readonly #burst: number;
  readonly #span: number;
  readonly #before: Handover;
  /**
   * Rings with one place for each of the last `#burst` messages: when it went on the wire (Infinity until it has), and how
   * long its answer took from then on.
   */
  readonly #left: Float64Array;
  readonly #took: Float64Array;
  #count = 0;
  #beat: number;
  #fastest = Infinity;

  /**
   * All instants are of one clock that never jumps.
   * @param pace messages a second, `Infinity` for no limit
   * @param startAt no message leaves before this instant
   * @param before messages of former owners: as many places are taken until they no longer count
   * @param batch how many leave together, where there are so many
   */
  constructor(pace: number, startAt: number, before: Handover = NOTHING, batch = 1) {
    this.#pace = pace;
    this.#interval = 1000 / pace;
    this.#burst = Number.isFinite(pace) ? Math.max(1, Math.floor(pace)) : 0;
    this.#batch = this.#burst === 0 ? batch : Math.min(batch, this.#burst);
    this.#span = this.#burst === 0 ? 0 : (SECOND_MS * this.#burst) / pace;
    this.#before = before;
    this.#left = new Float64Array(this.#burst).fill(-Infinity);
    this.#took = new Float64Array(this.#burst);
    // The places just before the first message: the first to be waited for is that of `#burst` messages ago.
    const free = Math.max(0, this.#burst - before.taken);
    this.#left.fill(before.freeAt - this.#span - SAFETY_MS, free);
    this.#beat = startAt;
  }

  /** Goes on with a share of the pace, because the platform's limit is near. */
  slowTo(share: number): void {
    this.#interval = 1000 / (this.#pace * share);
  }

  /**
   * How many messages may leave at this instant.
   * @param together none before so many may, unless `most` is less; a whole batch unless given
   */
  available(now: number, most: number, together = this.#batch): number {
    if (this.#burst === 0) return most;
    const beat = this.#beatAt(now);
    let count = 0;
    while (count < Math.min(most, this.#burst)) {
      if (Math.max(beat + count * this.#interval, this.#roomAt(this.#count + count)) > now) break;
      count += 1;
    }
    return count < Math.min(together, most) ? 0 : count;
  }

  /** The first instant at which so many messages may leave, a whole batch unless told. */
  nextAt(together = this.#batch): number {
    if (this.#burst === 0) return -Infinity;
    let at = this.#beat + (together - 1) * this.#interval;
    for (let other = 0; other < together; other += 1) at = Math.max(at, this.#roomAt(this.#count + other));
    return at;
  }

  /** A batch has to gather its turns first. */
  #beatAt(now: number): number {
    return Math.max(this.#beat, now - Math.max(CATCH_UP_MS, (this.#batch - 1) * this.#interval));
  }

  /**
   * Takes the turn of a message that is handed over now.
   * @returns the ticket to give back with `onWire` and `answered`
   */
  leave(now: number): number {
    const ticket = this.#count;
    this.#count += 1;
    if (this.#burst > 0) {
      // Connecting can take seconds: until it is over, nobody knows when this message will arrive.
      this.#left[ticket % this.#burst] = Infinity;
      this.#took[ticket % this.#burst] = Infinity;
      this.#beat = this.#beatAt(now) + this.#interval;
    }
    return ticket;
  }

  /** Tells when the first byte of a message was written. */
  onWire(ticket: number, now: number): void {
    if (this.#isRecent(ticket)) this.#left[ticket % this.#burst] = now;
  }

  /** Tells when the answer to a message came. One of which `onWire` was never told arrived at this moment at the latest. */
  answered(ticket: number, now: number): void {
    if (!this.#isRecent(ticket)) return;
    const place = ticket % this.#burst;
    const left = Math.min(now, this.#left[place] ?? now);
    this.#left[place] = left;
    this.#took[place] = now - left;
    if (now > left) this.#fastest = Math.min(this.#fastest, now - left);
  }

  #isRecent(ticket: number): boolean {
    return this.#burst > 0 && this.#count - ticket <= this.#burst;
  }

  /** What the next owner is to know of what has left so far, also of what was handed over to this one, while it counts. */
  handover(now: number): Handover {
    let { freeAt, taken } = this.#before.freeAt > now ? this.#before : { freeAt: now, taken: 0 };
    // Another owner may have a faster pace, and counts by the second; and another way there, so nothing is usual.
    const span = Math.max(SECOND_MS, this.#span);
    for (let ticket = Math.max(0, this.#count - this.#burst); ticket < this.#count; ticket += 1) {
      const until = Math.min(now, this.#left[ticket % this.#burst] ?? now) + this.#heldUp(ticket, 0) + span + SAFETY_MS;
      if (until <= now) continue;
      taken += 1;
      freeAt = Math.max(freeAt, until);
    }
    return { freeAt, taken };
  }

  /** When the window of `#span` ms that begins with the arrival of the message `#burst` places before this one is over. */
  #roomAt(ticket: number): number {
    // How fast an answer can be is known after one lap; until then nothing is taken for the usual delay.
    const usual = ticket < 2 * this.#burst || !Number.isFinite(this.#fastest) ? 0 : this.#fastest;
    const left = this.#left[ticket % this.#burst] ?? -Infinity;
    return left + this.#heldUp(ticket, usual) + this.#span + SAFETY_MS;
  }

  /** How much longer than usual the message at a ticket's place was under way at most. Without an answer, as long as can be. */
  #heldUp(ticket: number, usual: number): number {
    return Math.max(0, Math.min(MAX_HELD_UP_MS, (this.#took[ticket % this.#burst] ?? 0) - usual));
  }
}
