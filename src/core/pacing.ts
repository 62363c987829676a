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

/** How long the fastest answer took so far: the way there and back, when nothing is held up. */
interface Way {
  fastest: number;
}

export class Pacer {
  readonly pace: number;
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
  readonly #way: Way;
  /** Without a limit there are no places: how many messages have no answer, and when the last answer came. */
  #unanswered = 0;
  #lastAnswer = -Infinity;

  /**
   * All instants are of one clock that never jumps.
   * @param pace messages a second, `Infinity` for no limit
   * @param startAt no message leaves before this instant
   * @param before messages of former owners: as many places are taken until they no longer count
   * @param batch how many leave together, where there are so many
   * @param way shared by all that send the same way
   */
  constructor(pace: number, startAt: number, before: Handover = NOTHING, batch = 1, way: Way = { fastest: Infinity }) {
    this.pace = pace;
    this.#interval = 1000 / pace;
    this.#burst = Number.isFinite(pace) ? Math.max(1, Math.floor(pace)) : 0;
    this.#batch = this.#burst === 0 ? batch : Math.min(batch, this.#burst);
    this.#span = this.#burst === 0 ? 0 : (SECOND_MS * this.#burst) / pace;
    this.#before = before;
    this.#way = way;
    this.#left = new Float64Array(this.#burst).fill(-Infinity);
    this.#took = new Float64Array(this.#burst);
    // The places just before the first message: the first to be waited for is that of `#burst` messages ago. A slow owner
    // before counts by minutes; but what had left by now counts here for no longer than what leaves now.
    const free = Math.max(0, this.#burst - before.taken);
    const freeAt = Math.min(before.freeAt, startAt + MAX_HELD_UP_MS + this.#span + SAFETY_MS);
    this.#left.fill(freeAt - this.#span - SAFETY_MS, free);
    this.#beat = startAt;
  }

  /** One of a greater pace, in which everything counts that counts in this one, under the same tickets. */
  faster(pace: number, now: number): Pacer {
    const isLimited = Number.isFinite(pace);
    const pacer = new Pacer(pace, now, isLimited ? this.#before : this.handover(now), this.#batch, this.#way);
    pacer.#count = this.#count;
    pacer.#unanswered = this.#unanswered;
    if (!isLimited) return pacer;
    const known = Math.max(0, this.#count - this.#burst);
    for (let ticket = Math.max(0, this.#count - pacer.#burst); ticket < this.#count; ticket += 1) {
      const place = ticket % pacer.#burst;
      // Of those before them nothing is known any more, as nothing counts any more.
      pacer.#left[place] = ticket < known ? -Infinity : (this.#left[ticket % this.#burst] ?? -Infinity);
      pacer.#took[place] = ticket < known ? 0 : (this.#took[ticket % this.#burst] ?? 0);
    }
    return pacer;
  }

  /** Goes on with a share of the pace, because the platform's limit is near. */
  slowTo(share: number): void {
    this.#interval = 1000 / (this.pace * share);
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
    this.#unanswered += 1;
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
    this.#unanswered -= 1;
    this.#lastAnswer = now;
    if (!this.#isRecent(ticket)) return;
    const place = ticket % this.#burst;
    const left = Math.min(now, this.#left[place] ?? now);
    this.#left[place] = left;
    this.#took[place] = now - left;
    if (now > left) this.#way.fastest = Math.min(this.#way.fastest, now - left);
  }

  #isRecent(ticket: number): boolean {
    return this.#burst > 0 && this.#count - ticket <= this.#burst;
  }

  /** What the next owner is to know of what has left so far, also of what was handed over to this one, while it counts. */
  handover(now: number): Handover {
    let { freeAt, taken } = this.#before.freeAt > now ? this.#before : { freeAt: now, taken: 0 };
    if (this.#burst === 0) {
      // Without places nobody has counted them.
      const lastArrival = this.#unanswered > 0 ? now + MAX_HELD_UP_MS : this.#lastAnswer;
      const until = lastArrival + SECOND_MS + SAFETY_MS;
      return until <= now ? { freeAt, taken } : { freeAt: Math.max(freeAt, until), taken: Infinity };
    }
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
    const { fastest } = this.#way;
    const usual = ticket < 2 * this.#burst || !Number.isFinite(fastest) ? 0 : fastest;
    const left = this.#left[ticket % this.#burst] ?? -Infinity;
    return left + this.#heldUp(ticket, usual) + this.#span + SAFETY_MS;
  }

  /** How much longer than usual the message at a ticket's place was under way at most. Without an answer, as long as can be. */
  #heldUp(ticket: number, usual: number): number {
    return Math.max(0, Math.min(MAX_HELD_UP_MS, (this.#took[ticket % this.#burst] ?? 0) - usual));
  }
}

/** A message on its way: what each pacer in which it counts has it under. */
export interface Turn {
  tickets: Map<Pacer, number>;
}

/**
 * The paces of one account side by side: that of a campaign, which a person may have set lower, that of audio and video, and
 * the account's own. A message counts in the pacer of its own pace and in those of all greater ones, and leaves only when
 * each of them has a turn. So of all messages up to some pace no second holds more than that pace, and a slow campaign holds
 * up nobody else.
 */
export class Paces {
  readonly #before: Handover;
  /** The slowest first. */
  #pacers: Pacer[] = [];
  readonly #underWay = new Set<Turn>();
  readonly #way: Way = { fastest: Infinity };
  #share = 1;

  /** @param before messages of former owners, of whatever pace */
  constructor(before: Handover = NOTHING) {
    this.#before = before;
  }

  /** The greatest pace in play, in messages a second; 0 before the first. */
  get greatest(): number {
    return this.#pacers.at(-1)?.pace ?? 0;
  }

  /**
   * Brings a pace into play; one that is in play already goes on.
   * @param batch how many messages of this pace leave together, where there are so many
   */
  add(pace: number, now: number, batch = 1): void {
    if (this.#pacers.some((one) => one.pace === pace)) return;
    const slower = this.#pacers.findLast((one) => one.pace < pace);
    const pacer = slower?.faster(pace, now) ?? new Pacer(pace, now, this.#before, batch, this.#way);
    if (slower !== undefined) {
      for (const { tickets } of this.#underWay) {
        const ticket = tickets.get(slower);
        if (ticket !== undefined) tickets.set(pacer, ticket);
      }
    }
    pacer.slowTo(this.#share);
    this.#pacers = [...this.#pacers, pacer].sort((a, b) => a.pace - b.pace);
  }

  /** Has all go on with a share of their paces. */
  slowTo(share: number): void {
    this.#share = share;
    for (const pacer of this.#pacers) pacer.slowTo(share);
  }

  /**
   * How many messages of a pace may leave at this instant.
   * @param together none before so many may, unless `most` is less; a whole batch unless given
   */
  available(pace: number, now: number, most: number, together?: number): number {
    return this.#from(pace).reduce((least, pacer) => Math.min(least, pacer.available(now, most, together)), most);
  }

  /** The first instant at which so many messages of a pace may leave, a whole batch unless told. */
  nextAt(pace: number, together?: number): number {
    return Math.max(-Infinity, ...this.#from(pace).map((pacer) => pacer.nextAt(together)));
  }

  /** Whether something waits for a message that is not on the wire yet. */
  get isHeldUp(): boolean {
    return this.#pacers.some((pacer) => pacer.nextAt() === Infinity);
  }

  /** Takes the turn of a message that is handed over now; it is given back with `onWire` and `answered`. */
  leave(pace: number, now: number): Turn {
    const turn = { tickets: new Map(this.#from(pace).map((pacer) => [pacer, pacer.leave(now)])) };
    this.#underWay.add(turn);
    return turn;
  }

  /** As those of Pacer. */
  onWire({ tickets }: Turn, now: number): void {
    for (const [pacer, ticket] of tickets) pacer.onWire(ticket, now);
  }

  answered(turn: Turn, now: number): void {
    this.#underWay.delete(turn);
    for (const [pacer, ticket] of turn.tickets) pacer.answered(ticket, now);
  }

  /** As that of Pacer: all messages count in the greatest pace. */
  handover(now: number): Handover {
    const greatest = this.#pacers.at(-1);
    if (greatest !== undefined) return greatest.handover(now);
    return this.#before.freeAt > now ? this.#before : { freeAt: now, taken: 0 };
  }

  /** Those in which a message of this pace counts. */
  #from(pace: number): Pacer[] {
    return this.#pacers.filter((one) => one.pace >= pace);
  }
}
