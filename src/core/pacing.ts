/**
 * Pacing: when the next message may leave, so that the receiving end never counts more than `pace` messages in any one
 * second. Above 40 a second Messenger cuts a Page off (Messenger Platform, rate limiting), and it counts arrivals, not
 * departures: a message held up on its way arrives close to those sent after it. Two rules hold together:
 *
 * - a steady beat, one message every 1/pace seconds, that may make up for at most CATCH_UP_MS of lateness;
 * - message n + pace leaves at least one second after message n has arrived. When it arrived is not known, but how much
 *   longer than the fastest answer its answer took bounds how long it was held up.
 */

const CATCH_UP_MS = 150;
/** Covers timer rounding at both ends. */
const SAFETY_MS = 4;
/** A hanging request must not stop the campaign; the platform had it at the latest this long after the usual time. */
const MAX_HELD_UP_MS = 250;

export class Pacer {
  readonly #interval: number;
  /** How many messages the window of `#span` ms may hold. */
  readonly #burst: number;
  readonly #span: number;
  /** Departures of the last `#burst` messages, each moved later by as much as the message was held up; a ring. */
  readonly #arrivals: Float64Array;
  #count = 0;
  #beat: number;
  #fastest = Infinity;

  /**
   * @param pace messages a second, `Infinity` for no limit
   * @param freeAt no message leaves before this instant (the end of an earlier run's last second)
   */
  constructor(pace: number, freeAt: number) {
    this.#interval = 1000 / pace;
    this.#burst = Number.isFinite(pace) ? Math.max(1, Math.floor(pace)) : 0;
    this.#span = this.#burst === 0 ? 0 : (1000 * this.#burst) / pace;
    this.#arrivals = new Float64Array(this.#burst).fill(-Infinity);
    this.#beat = freeAt;
  }

  /** How many messages may leave at this instant. */
  available(now: number, most: number): number {
    if (this.#burst === 0) return most;
    let count = 0;
    while (count < Math.min(most, this.#burst)) {
      const oldest = this.#arrivals[(this.#count + count) % this.#burst] ?? -Infinity;
      if (Math.max(this.#beat + count * this.#interval, oldest + this.#span + SAFETY_MS) > now) break;
      count += 1;
    }
    return count;
  }

  /** The first instant at which a message may leave. */
  nextAt(): number {
    if (this.#burst === 0) return -Infinity;
    const oldest = this.#arrivals[this.#count % this.#burst] ?? -Infinity;
    return Math.max(this.#beat, oldest + this.#span + SAFETY_MS);
  }

  /**
   * Takes the turn of a message that leaves now.
   * @returns the ticket to give back with `answered`
   */
  leave(now: number): number {
    const ticket = this.#count;
    if (this.#burst > 0) {
      // Until its answer is here, a message counts as held up for as long as can be.
      this.#arrivals[ticket % this.#burst] = now + MAX_HELD_UP_MS;
      this.#beat = Math.max(this.#beat, now - CATCH_UP_MS) + this.#interval;
    }
    this.#count += 1;
    return ticket;
  }

  /** Tells how long the answer to a message took. */
  answered(ticket: number, leftAt: number, now: number): void {
    if (this.#burst === 0 || this.#count - ticket > this.#burst) return;
    const took = now - leftAt;
    this.#fastest = Math.min(this.#fastest, took);
    this.#arrivals[ticket % this.#burst] = leftAt + Math.min(MAX_HELD_UP_MS, took - this.#fastest);
  }

  /** When another run on the same account may send its first message without exceeding the pace. */
  freeAt(now: number): number {
    return this.#burst === 0 || this.#count === 0 ? now : now + this.#span + MAX_HELD_UP_MS;
  }
}
