/**
 * A clock that stands still until everybody sleeps, and then jumps to whoever wakes first: hours pass in milliseconds, always
 * in the same order. Work that waits for anything but this clock and other promises (a file, a socket) must not run on it.
 */
import type { Clock } from '../../src/ports.js';

interface Sleeper {
  at: number;
  wake: () => void;
}

/** The two clocks of a machine agree on nothing but the length of a second. */
const MONOTONIC_START = 5000.375;

export class FakeClock implements Clock {
  readonly #start: number;
  #elapsed = 0;
  /** By how much somebody has set the clock. */
  #set = 0;
  readonly #sleepers = new Set<Sleeper>();
  #turning = false;

  constructor(now: number) {
    this.#start = now;
  }

  now(): number {
    return this.unset() + this.#set;
  }

  monotonic(): number {
    return MONOTONIC_START + this.#elapsed;
  }

  /** What `now` would be had nobody ever set the clock. */
  unset(): number {
    return this.#start + this.#elapsed;
  }

  /** Lets time pass while nothing runs. */
  advance(ms: number): void {
    this.#elapsed += ms;
  }

  /** Somebody sets the clock: `now` jumps forward or back, and no time passes. */
  jump(ms: number): void {
    this.#set += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      // As Node's timers do it: whole milliseconds, at least one.
      const sleeper = { at: this.#elapsed + Math.max(1, Math.trunc(ms)), wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake);
      this.#turn();
    });
  }

  /** Does something at an instant of the clock as it is set now, whatever else goes on. */
  at(instant: number, work: () => void | Promise<void>): void {
    void this.sleep(instant - this.now()).then(work);
  }

  /** A turn of the event loop lets every promise settle first; then the next sleeper wakes, alone. */
  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(() => {
      this.#turning = false;
      let next: Sleeper | undefined;
      for (const sleeper of this.#sleepers) if (next === undefined || sleeper.at < next.at) next = sleeper;
      if (next === undefined) return;
      this.#elapsed = Math.max(this.#elapsed, next.at);
      next.wake();
      if (this.#sleepers.size > 0) this.#turn();
    });
  }
}
