/** Log lines of workers and listeners: of what may happen thousands of times a second at most one in ten seconds, with counts. */
import type { RowState } from '../core/delivery.js';
import type { Campaign, Clock } from '../ports.js';
import { kindOf } from './campaign-run.js';
import type { Log } from './log.js';
import { stopSentence } from './render.js';

/** What is counted together. */
export interface TallyKind {
  /** As machines know it. */
  event: string;
  level: keyof Log;
  /** The line for people. @param counts most first */
  text: (counts: readonly (readonly [what: string, count: number])[]) => string;
}

const TELL_EVERY_MS = 10_000;
/** What is counted may have names from outside; a line does not grow with them. */
const MOST_NAMED = 12;

interface Pending {
  toldAt: number;
  /** When the first of what is pending came; null when nothing is. */
  since: number | null;
  counts: Map<string, number>;
}

export class Tally {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #gatherMs: number;
  readonly #pending = new Map<TallyKind, Pending>();

  /** @param gatherMs how long after the first of something its line waits for more; `tell` is to be called as often */
  constructor(log: Log, clock: Clock, gatherMs = 0) {
    this.#log = log;
    this.#clock = clock;
    this.#gatherMs = gatherMs;
  }

  /** Counts, and tells what is due to be told. */
  add(kind: TallyKind, counts: Readonly<Partial<Record<string, number>>>): void {
    const pending = this.#pending.get(kind) ?? { toldAt: -Infinity, since: null, counts: new Map<string, number>() };
    this.#pending.set(kind, pending);
    for (const [what, count = 0] of Object.entries(counts)) {
      if (count <= 0) continue;
      pending.since ??= this.#clock.monotonic();
      pending.counts.set(what, (pending.counts.get(what) ?? 0) + count);
    }
    this.tell();
  }

  /** Tells what has come together. @param all also what is too new, because nothing more comes */
  tell(all = false): void {
    const now = this.#clock.monotonic();
    for (const [kind, pending] of this.#pending) {
      if (pending.since === null) continue;
      if (!all && now < Math.max(pending.toldAt + TELL_EVERY_MS, pending.since + this.#gatherMs)) continue;
      const counts = [...pending.counts].sort(([, a], [, b]) => b - a).slice(0, MOST_NAMED);
      pending.toldAt = now;
      pending.since = null;
      pending.counts = new Map();
      this.#log[kind.level](kind.event, kind.text(counts), { counts: Object.fromEntries(counts) });
    }
  }
}

/** `3 message, 1 reaction` */
export function countsText(counts: readonly (readonly [string, number])[]): string {
  return counts.map(([what, count]) => `${count.toLocaleString('en')} ${what}`).join(', ');
}

const SENT: TallyKind = { event: 'singles_sent', level: 'info', text: (counts) => `Sent: ${countsText(counts)}.` };
const NOT_SENT: TallyKind = {
  event: 'singles_not_sent',
  level: 'warn',
  text: (counts) => `Not sent: ${countsText(counts)}. One line for each: pagecast message list`,
};

/** A single message came to an outcome. */
export function tallySingle(tally: Tally, campaign: Campaign, state: RowState): void {
  tally.add(state === 'sent' ? SENT : NOT_SENT, { [`${campaign.accountName} ${kindOf(campaign)} ${state}`]: 1 });
}

/** Nothing can be sent for an account at the moment. @param again when it is tried again, as a sentence */
export function tellStopped(log: Log, account: string, stop: NonNullable<Campaign['stop']>, again: string): void {
  const fields = { account, cause: stop.cause, code: stop.error?.code ?? null };
  log.warn('sending_stopped', `${account}: ${stopSentence(stop)} ${again}`.trim(), fields);
}
