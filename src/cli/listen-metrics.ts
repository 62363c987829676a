/** What a listener counts for `/metrics`. */
import type { Counter, Gauge } from 'prom-client';
import type { HearReport } from '../app/hear.js';
import type { RowState } from '../core/delivery.js';
import type { CallbackService, Campaign } from '../ports.js';
import { singlesCounter, type Health } from './health.js';

export class ListenMetrics {
  readonly #callbacks: Counter<'service' | 'result'>;
  readonly #events: Counter<'account' | 'opener'>;
  readonly #receipts: Counter<'account'>;
  readonly #optOuts: Counter<'account'>;
  readonly #answers: Counter<'account' | 'flow' | 'result'>;
  readonly #countSingle: (campaign: Campaign, state: RowState) => void;
  readonly #dead: Counter<'reason'>;
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
    this.#backlog = health.gauge('pagecast_backlog', 'Callbacks that were accepted and wait to be heard', []);
  }

  callback(service: CallbackService | 'flow', result: string): void {
    this.#callbacks.inc({ service, result });
  }

  heard({ accounts, dead }: HearReport): void {
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
  }

  single(campaign: Campaign, state: RowState): void {
    this.#countSingle(campaign, state);
  }

  backlog(waiting: number): void {
    this.#backlog.set(waiting);
  }
}
