/**
 * The standard messaging window: 24 hours from the last thing a user did that counts as an opener.
 * Source: Messenger Platform, "Send messages" and "Policy". All instants are milliseconds since 1970, UTC.
 */

export const OPENERS = ['message', 'button', 'ad', 'm_me', 'ig_me', 'reaction', 'comment', 'visitor_post'] as const;
export type Opener = (typeof OPENERS)[number];

/** What people do when they write to an account; a reaction, a comment, a post or a link asks for no answer by itself. */
const WRITTEN: readonly Opener[] = ['message', 'button', 'ad'];

export function isWritten(opener: Opener): boolean {
  return WRITTEN.includes(opener);
}

export interface WindowSettings {
  hours: number;
  /** The window is taken to close this much earlier, so that a message under way still arrives inside it. */
  marginMs: number;
  /** The platform's pages disagree on comments and visitor posts; each opener can be turned off. */
  openers: Record<Opener, boolean>;
}

export const DEFAULT_WINDOW: WindowSettings = {
  hours: 24,
  marginMs: 2 * 60_000,
  openers: {
    message: true,
    button: true,
    ad: true,
    m_me: true,
    ig_me: true,
    reaction: true,
    comment: true,
    visitor_post: true,
  },
};

/** What the store knows of one user with one account: the last counted opener, if there was one. */
export interface LastOpener {
  openedAt: number;
  opener: Opener;
}

export type WindowState = 'open' | 'closed' | 'unknown';

export function enabledOpeners(settings: WindowSettings): Opener[] {
  return OPENERS.filter((opener) => settings.openers[opener]);
}

/** The first instant at which the window is shut. */
export function closesAt(openedAt: number, settings: WindowSettings): number {
  return openedAt + settings.hours * 3_600_000 - settings.marginMs;
}

/** How far our clock may be behind the platform's before an opener counts as one from the future. */
export const CLOCK_SKEW_MS = 5 * 60_000;

/** A difference of exactly 24 hours (less the margin) is outside. An opener from the future proves nothing about now. */
export function windowState(last: LastOpener | null, now: number, settings: WindowSettings): WindowState {
  if (last === null || last.openedAt > now + CLOCK_SKEW_MS) return 'unknown';
  return now < closesAt(last.openedAt, settings) ? 'open' : 'closed';
}

/** How many of an audience are inside their window now and at the start of each coming hour. */
export class Forecast {
  /** `inside[0]` is now, `inside[h]` is h hours from now. */
  readonly inside: number[];
  closed = 0;
  unknown = 0;
  readonly #now: number;
  readonly #settings: WindowSettings;

  constructor(now: number, settings: WindowSettings) {
    this.#now = now;
    this.#settings = settings;
    this.inside = new Array<number>(Math.ceil(settings.hours) + 1).fill(0);
  }

  add(last: LastOpener | null): void {
    const state = windowState(last, this.#now, this.#settings);
    if (state !== 'open' || last === null) {
      this[state === 'closed' ? 'closed' : 'unknown'] += 1;
      return;
    }
    const closing = closesAt(last.openedAt, this.#settings);
    for (let hour = 0; hour < this.inside.length && this.#now + hour * 3_600_000 < closing; hour += 1) {
      this.inside[hour] = (this.inside[hour] ?? 0) + 1;
    }
  }
}
