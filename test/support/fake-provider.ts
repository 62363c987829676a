/** A platform with a script: each message arrives and is answered after a latency, and everything that left is kept. */
import type { DeliveryError, Outcome } from '../../src/core/delivery.js';
import type { OutgoingMessage, Provider } from '../../src/ports.js';
import type { FakeClock } from './fake-clock.js';

export interface Departure {
  userId: string;
  metadata: string;
  text: string | undefined;
  /** When its first byte was written; whoever sets the clock does not change it. */
  leftAt: number;
  arrivedAt: number;
}

export interface Reply {
  outcome?: Outcome | 'throws' | 'nothing';
  /** How long it takes to connect, before the message leaves; 0 unless told. */
  connecting?: number;
  /** How long the way there takes; 0 unless told. */
  there?: number;
  /** How long the answer takes from there; 30 ms unless told. */
  back?: number;
}

/** @param nth how often this person has been written to, from 1 */
export type Script = (message: OutgoingMessage, nth: number) => Reply;

export class FakeProvider implements Provider {
  readonly capabilities = { registeredTemplates: true };
  /** Every message that was put on the wire, in the order of leaving. */
  readonly departures: Departure[] = [];
  readonly #clock: FakeClock;
  readonly #script: Script;
  #underWay = 0;
  mostUnderWay = 0;

  constructor(clock: FakeClock, script: Script = () => ({})) {
    this.#clock = clock;
    this.#script = script;
  }

  async send(batch: readonly OutgoingMessage[], onWire?: () => void): Promise<Outcome[]> {
    const message = batch[0];
    if (batch.length !== 1 || message === undefined) throw new Error('one message for each call');
    const { userId, metadata } = message;
    const nth = 1 + this.departures.filter((one) => one.userId === userId).length;
    const { outcome = sent(`m_${metadata}`), connecting = 0, there = 0, back = 30 } = this.#script(message, nth);
    this.#underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
    if (connecting > 0) await this.#clock.sleep(connecting);
    const leftAt = this.#clock.unset();
    this.departures.push({ userId, metadata, text: message.message.text, leftAt, arrivedAt: leftAt + there });
    onWire?.();
    await this.#clock.sleep(there + back);
    this.#underWay -= 1;
    if (outcome === 'throws') throw new TypeError('a fault in the provider');
    return outcome === 'nothing' ? [] : [outcome];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function sent(messageId: string): Outcome {
  return { kind: 'sent', messageId };
}

export function failure(code: string): DeliveryError {
  return { code, message: `the platform's text for ${code}` };
}

/** The most events that any span of so many milliseconds holds: from one event on, up to but not including its end. */
export function mostWithin(instants: readonly number[], spanMs: number): number {
  const sorted = [...instants].sort((a, b) => a - b);
  let most = 0;
  let first = 0;
  sorted.forEach((instant, index) => {
    while (instant - (sorted[first] ?? instant) >= spanMs) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}
