/**
 * The plan: who is sent to, in what order, and who is left out and why. Whose window closes first goes first. All messages
 * take one turn of equal length, so going through the people in that order and leaving out whoever is too late loses the
 * fewest (the unit-length case of Moore and Hodgson's rule); a person who is left out takes no turn.
 */
import type { Reach } from './policy.js';
import { closesAt, windowState, type LastOpener, type WindowSettings } from './window.js';

/** Why a plan leaves somebody out. */
export const PLAN_REASONS = [
  'window_closed',
  'window_unknown',
  'window_closes_before_turn',
  'opted_out',
  'duplicate',
  'invalid',
] as const;
export type PlanReason = (typeof PLAN_REASONS)[number];

/** Why a row was not sent: what the plan said, or that its campaign ended before. */
export const SKIP_REASONS = [...PLAN_REASONS, 'expired', 'cancelled'] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

/** What the store knows of one person with one account. */
export interface Standing {
  last: LastOpener | null;
  /** Since when they wish to get no messages; null when they do not say so. */
  optedOutAt: number | null;
}

/**
 * How a person enters the plan: left out with a reason, or queued until their window closes (null: no window needed).
 * `outside`: they get the registered template for people whose window is shut.
 */
export type Admission =
  { reason: PlanReason; closesAt: null; outside: false } | { reason: null; closesAt: number | null; outside: boolean };

export function admit(standing: Standing, now: number, settings: WindowSettings, reach: Reach): Admission {
  if (standing.optedOutAt !== null) return leftOut('opted_out');
  if (reach === 'everybody') return { reason: null, closesAt: null, outside: false };
  const state = windowState(standing.last, now, settings);
  if (state === 'open' && standing.last) {
    return { reason: null, closesAt: closesAt(standing.last.openedAt, settings), outside: false };
  }
  if (reach === 'both') return { reason: null, closesAt: null, outside: true };
  return leftOut(state === 'unknown' ? 'window_unknown' : 'window_closed');
}

function leftOut(reason: PlanReason): Admission {
  return { reason, closesAt: null, outside: false };
}

/** Messages a second; `Infinity` for no limit. */
export type Pace = number;

/**
 * Whether everybody gets a turn before their window closes.
 * @param closings in ascending order; Infinity for who needs no window
 */
export function everybodyInTime(closings: Float64Array, startAt: number, pace: Pace): boolean {
  const interval = 1000 / pace;
  return closings.every((closing, turn) => startAt + turn * interval < closing);
}

/** When so many turns, taken one after another, are over. */
export function finishTime(startAt: number, turns: number, pace: Pace): number {
  return Math.ceil(startAt + (turns * 1000) / pace);
}

/**
 * How many get their turn when sending begins then.
 * @param closings in ascending order; Infinity for who needs no window
 */
export function servedFrom(closings: Float64Array, startAt: number, pace: Pace): number {
  const turns = new TurnTaker(startAt, pace);
  let served = 0;
  for (const closing of closings) if (turns.take(closing)) served += 1;
  return served;
}

const MINUTE_MS = 60_000;

/**
 * The latest whole minute before `until` from which at least so many get their turn. The later the start, the fewer they are.
 * @param closings in ascending order
 * @returns null when not even a start at `from` is early enough
 */
export function latestStart(
  closings: Float64Array,
  { from, until, wanted, pace }: { from: number; until: number; wanted: number; pace: Pace },
): number | null {
  if (servedFrom(closings, from, pace) < wanted) return null;
  const first = Math.ceil(from / MINUTE_MS);
  let low = first - 1;
  let high = Math.ceil(until / MINUTE_MS);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (servedFrom(closings, middle * MINUTE_MS, pace) >= wanted) low = middle;
    else high = middle;
  }
  return low < first ? from : low * MINUTE_MS;
}

/** Gives out turns to people in the order in which their windows close, and refuses those whose turn would come too late. */
export class TurnTaker {
  #taken = 0;
  readonly #startAt: number;
  readonly #interval: number;

  constructor(startAt: number, pace: Pace) {
    this.#startAt = startAt;
    this.#interval = 1000 / pace;
  }

  /** Whether somebody whose window closes then gets a turn before it does. */
  take(closing: number | null): boolean {
    if (closing !== null && this.#startAt + this.#taken * this.#interval >= closing) return false;
    this.#taken += 1;
    return true;
  }
}
