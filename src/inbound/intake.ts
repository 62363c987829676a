/**
 * Writes deliveries down before they are answered, as many at a time as have arrived: a durable write costs the same for one
 * as for hundreds.
 */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import type { Clock, NewDelivery } from '../ports.js';

export interface IntakeLimits {
  /** Deliveries in one write. */
  group: number;
  /** Deliveries that wait to be written, and the characters of their bodies. */
  waiting: number;
  waitingLength: number;
  /** Deliveries in the store that wait to be heard. */
  backlog: number;
  /** A write that takes longer has failed, as far as those who wait for it are told. */
  writeMs: number;
}

export interface IntakeStore {
  clock: Clock;
  receive: (deliveries: readonly NewDelivery[]) => Promise<void>;
  /** Something was written. */
  onReceived: () => void;
  /** How many deliveries in the store wait to be heard. */
  backlog: () => number;
}

interface Waiting {
  delivery: NewDelivery;
  tell: (isKept: boolean) => void;
}

export class Intake {
  readonly #store: IntakeStore;
  readonly #limits: IntakeLimits;
  readonly #waiting: Waiting[] = [];
  #length = 0;
  #isWriting = false;
  /** Whether the write under way takes longer than anybody waits. */
  #isStuck = false;

  constructor(store: IntakeStore, limits: IntakeLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  /** @returns whether it is kept durably; if not, the service is to send it again */
  keep(delivery: NewDelivery): Promise<boolean> {
    const { waiting, waitingLength, backlog } = this.#limits;
    const isFull =
      this.#isStuck ||
      this.#waiting.length >= waiting ||
      this.#length + delivery.body.length > waitingLength ||
      this.#store.backlog() + this.#waiting.length >= backlog;
    if (isFull) return Promise.resolve(false);
    return new Promise((tell) => {
      this.#waiting.push({ delivery, tell });
      this.#length += delivery.body.length;
      if (!this.#isWriting) void this.#write();
    });
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      // After a turn of the event loop, all requests have been read that have arrived by now.
      await turnOfTheLoop();
      await this.#writeGroup(this.#waiting.splice(0, this.#limits.group));
    }
    this.#isWriting = false;
  }

  async #writeGroup(group: Waiting[]): Promise<void> {
    const written = new AbortController();
    void this.#store.clock.sleep(this.#limits.writeMs, written.signal).then(() => {
      if (written.signal.aborted) return;
      // Those behind it would wait for longer still.
      this.#isStuck = true;
      this.#tell([...group.splice(0), ...this.#waiting.splice(0)], false);
    });
    const isKept = await this.#receive(group);
    written.abort();
    this.#isStuck = false;
    this.#tell(group, isKept);
  }

  async #receive(group: readonly Waiting[]): Promise<boolean> {
    try {
      await this.#store.receive(group.map(({ delivery }) => delivery));
    } catch {
      return false;
    }
    this.#store.onReceived();
    return true;
  }

  #tell(waiting: readonly Waiting[], isKept: boolean): void {
    for (const { delivery, tell } of waiting) {
      this.#length -= delivery.body.length;
      tell(isKept);
    }
  }
}
