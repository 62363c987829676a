/** A platform with a script: each message arrives and is answered after a latency, and everything that left is kept. */
import type { DeliveryError, Outcome } from '../../src/core/delivery.js';
import type { AccountCheck, Lookup, OutgoingMessage, Provider, ShownMessage } from '../../src/ports.js';
import type { FakeClock } from './fake-clock.js';

export interface Departure {
  userId: string;
  metadata: string;
  text: string | undefined;
  /** The registered template that it was sent as; null for a session message. */
  registered: string | null;
  isReply: boolean;
  /** When its first byte was written; whoever sets the clock does not change it. */
  leftAt: number;
  arrivedAt: number;
}

export interface Reply {
  outcome?: Outcome | 'throws' | 'nothing';
  /** Whether the person gets it, whatever the answer says; left out, whoever is told `sent` does. */
  delivered?: boolean;
  /** How long it takes to connect, before the message leaves; 0 unless told. */
  connecting?: number;
  /** How long the way there takes; 0 unless told. */
  there?: number;
  /** How long the answer takes from there; 30 ms unless told. */
  back?: number;
}

/** @param nth how often this person has been written to, from 1 */
export type Script = (message: OutgoingMessage, nth: number) => Reply;

/**
 * What a look into a conversation comes to.
 * @param shown the conversation as it is, oldest first
 * @param nth how often anybody has looked, from 1
 */
export type Show = (shown: readonly ShownMessage[], userId: string, since: number, nth: number) => Lookup;

export class FakeProvider implements Provider {
  readonly capabilities = { registeredTemplates: true, lookup: true, maxBatch: (): number => 1 };
  /** What stands in each person's conversation, oldest first: what was delivered, and what a test puts there. */
  readonly threads = new Map<string, ShownMessage[]>();
  /** Every look into a conversation: whose, from when on, and when its calls were made. */
  readonly looks: { userId: string; since: number; calls: number[] }[] = [];
  /** How a conversation is shown; in full unless told. */
  show: Show = (messages) => ({ kind: 'read', messages: [...messages], complete: true });
  /** How many calls a look takes, and how long each. */
  look = { calls: 1, ms: 40 };
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

  /** How many messages each call carried. */
  readonly batches: number[] = [];

  async send(batch: readonly OutgoingMessage[], onWire?: () => void): Promise<Outcome[]> {
    if (batch.length === 0 || batch.length > this.capabilities.maxBatch())
      throw new Error(`a batch of ${batch.length}`);
    this.batches.push(batch.length);
    const nth = ({ userId }: OutgoingMessage): number =>
      1 + this.departures.filter((one) => one.userId === userId).length;
    const replies = batch.map((message) => this.#script(message, nth(message)));
    // What holds for a call as a whole is told by the reply to its first message.
    const { connecting = 0, there = 0, back = 30 } = replies[0] ?? {};
    this.#underWay += batch.length;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
    if (connecting > 0) await this.#clock.sleep(connecting);
    const leftAt = this.#clock.unset();
    const outcomes = batch.map(({ userId, metadata, message, isReply }, index) => {
      const { outcome = sent(`m_${metadata}`), delivered } = replies[index] ?? {};
      const isSent = typeof outcome === 'object' && outcome.kind === 'sent';
      const arrivedAt = leftAt + there;
      this.departures.push({
        userId,
        metadata,
        text: message.text,
        registered: message.registered?.name ?? null,
        isReply,
        leftAt,
        arrivedAt,
      });
      if (delivered ?? isSent) {
        const messageId = isSent ? outcome.messageId : `m_${metadata}`;
        this.put(userId, { messageId, text: message.text ?? '', at: arrivedAt });
      }
      return outcome;
    });
    onWire?.();
    await this.#clock.sleep(there + back);
    this.#underWay -= batch.length;
    if (outcomes.includes('throws')) throw new TypeError('a fault in the provider');
    return outcomes.filter((outcome) => typeof outcome === 'object');
  }

  /** Something that the account, or the person, wrote. */
  put(userId: string, message: Omit<ShownMessage, 'fromAccount'> & { fromAccount?: boolean }): void {
    const before = this.threads.get(userId) ?? [];
    this.threads.set(userId, [...before, { fromAccount: true, ...message }]);
  }

  async conversation(userId: string, since: number, turn: () => Promise<void>): Promise<Lookup> {
    const calls: number[] = [];
    this.looks.push({ userId, since, calls });
    for (let call = 0; call < this.look.calls; call += 1) {
      await turn();
      calls.push(this.#clock.unset());
      await this.#clock.sleep(this.look.ms);
    }
    return this.show(this.threads.get(userId) ?? [], userId, since, this.looks.length);
  }

  verify(): Promise<AccountCheck[]> {
    return Promise.resolve([]);
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
