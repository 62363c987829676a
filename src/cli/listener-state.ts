/** What a listener knows of itself: how it is, how much waits, and what it has counted for `/metrics`. */
import type { Counter, Gauge } from 'prom-client';
import type { HearReport } from '../app/hear.js';
import type { RowState } from '../core/delivery.js';
import type { CallbackService, Campaign, Clock, NewDelivery, Store } from '../ports.js';
import { Health, singlesCounter } from './health.js';

/** How often it is looked what waits, and what is to be told. */
const LOOK_EVERY_MS = 1000;
/** For so long a listener that could not keep something counts as unwell, unless it can by then. */
const LOST_FOR_MS = 10_000;

export class ListenerState {
  readonly health = new Health();
  readonly #store: Store;
  readonly #clock: Clock;
  #waiting = 0;
  /** When something last could not be kept, on the monotonic clock. */
  #lostAt = -Infinity;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** How many callbacks wait to be heard: what is known at once, and set right each second. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Keeps what came in. What cannot be kept is not answered for, so the service sends it again. @throws Failure STORE_… */
  async keep(deliveries: readonly NewDelivery[]): Promise<void> {
    try {
      await this.#store.receive(deliveries);
    } catch (error) {
      this.#lostAt = this.#clock.monotonic();
      this.health.seen(false);
      throw error;
    }
    this.#lostAt = -Infinity;
    this.#waiting += deliveries.length;
  }

  heard(count: number): void {
    this.#waiting = Math.max(0, this.#waiting - count);
  }

  /** Looks, until the signal, how much waits and whether the store can be used. */
  async watch(over: AbortSignal, onLook: () => void): Promise<void> {
    while (!over.aborted) {
      this.health.seen((await this.#look()) && this.#clock.monotonic() - this.#lostAt > LOST_FOR_MS);
      onLook();
      await this.#clock.sleep(LOOK_EVERY_MS, over);
    }
  }

  async #look(): Promise<boolean> {
    try {
      this.#waiting = await this.#store.backlog();
      return true;
    } catch {
      return false;
    }
  }
}

export class ListenMetrics {
  readonly #callbacks: Counter<'service' | 'result'>;
  readonly #events: Counter<'account' | 'opener'>;
  readonly #receipts: Counter<'account'>;
  readonly #optOuts: Counter<'account'>;
  readonly #answers: Counter<'account' | 'flow' | 'result'>;
  readonly #countSingle: (campaign: Campaign, state: RowState) => void;
  readonly #dead: Counter<'reason'>;
  readonly #ignored: Counter<'kind'>;
  readonly #backlog: Gauge<never>;
  readonly #nameOf: (account: string) => string;

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(health: Health, nameOf: (account: string) => string) {
    this.#nameOf = nameOf;
    this.#callbacks = health.counter('pagecast_callbacks_total', 'Requests that came in, by service and result', [
      'service',
      'result',
    ]);
    this.#events = health.counter('pagecast_events_total', 'What people did, by account and opener', [
      'account',
      'opener',
    ]);
    this.#receipts = health.counter('pagecast_receipts_total', 'Receipts of messages, by account', ['account']);
    this.#optOuts = health.counter('pagecast_opt_outs_total', 'People who opted out or back in, by account', [
      'account',
    ]);
    this.#answers = health.counter(
      'pagecast_answers_total',
      'Events that a flow waits for, by account, flow and what came of it',
      ['account', 'flow', 'result'],
    );
    this.#countSingle = singlesCounter(health);
    this.#dead = health.counter('pagecast_dead_letters_total', 'Callbacks that could not be used in full, by reason', [
      'reason',
    ]);
    this.#ignored = health.counter('pagecast_ignored_total', 'What services tell that changes nothing here, by kind', [
      'kind',
    ]);
    this.#backlog = health.gauge('pagecast_backlog', 'Callbacks that were accepted and wait to be heard', []);
  }

  callback(service: CallbackService | 'flow', result: string): void {
    this.#callbacks.inc({ service, result });
  }

  heard({ accounts, dead, ignored }: HearReport): void {
    for (const [key, { events, receipts, optOuts, answers }] of accounts) {
      const account = this.#nameOf(key);
      for (const [opener, count] of Object.entries(events)) this.#events.inc({ account, opener }, count);
      if (receipts > 0) this.#receipts.inc({ account }, receipts);
      if (optOuts > 0) this.#optOuts.inc({ account }, optOuts);
      for (const [flow, results] of answers) {
        for (const [result, count] of Object.entries(results)) this.#answers.inc({ account, flow, result }, count);
      }
    }
    for (const [reason, count] of Object.entries(dead)) this.#dead.inc({ reason }, count);
    for (const [kind, count] of Object.entries(ignored)) this.#ignored.inc({ kind }, count);
  }

  single(campaign: Campaign, state: RowState): void {
    this.#countSingle(campaign, state);
  }

  backlog(waiting: number): void {
    this.#backlog.set(waiting);
  }
}
