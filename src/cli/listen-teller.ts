/** What a listener tells in its log: no text of a message, no whole id, and however much comes in, a few lines. */
import type { HearReport } from '../app/hear.js';
import type { ListenEvent } from '../app/listen.js';
import type { RowState } from '../core/delivery.js';
import type { CallbackService, Campaign, Clock } from '../ports.js';
import { described } from './errors.js';
import type { Log } from './log.js';
import { clip } from './messages.js';
import { duration } from './render.js';
import { countsText, Tally, tallySingle, tellStopped, type TallyKind } from './tally.js';

/** What begins mostly goes on, and a line for the first of many alone would say little. */
const GATHER_MS = 1000;

export class ListenTeller {
  readonly #log: Log;
  readonly #tally: Tally;
  readonly #nameOf: (account: string) => string;
  /** What an account was last told to stand still for, which is told once: it is tried again every minute. */
  readonly #stopped = new Map<string, string>();

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(log: Log, clock: Clock, nameOf: (account: string) => string) {
    this.#log = log;
    this.#tally = new Tally(log, clock, GATHER_MS);
    this.#nameOf = nameOf;
  }

  callback(service: CallbackService | 'flow', result: string): void {
    if (result === 'accepted') this.#tally.add(RECEIVED, { [service]: 1 });
    else this.#tally.add(REFUSED, { [`${service} ${result}`]: 1 });
  }

  event(event: ListenEvent): void {
    switch (event.kind) {
      case 'heard':
        this.#heard(event.report);
        return;
      case 'sent':
        this.#stopped.delete(event.account);
        return;
      case 'stopped': {
        const { account, stop, restMs } = event;
        if (this.#stopped.get(account) === stop.cause) return;
        this.#stopped.set(account, stop.cause);
        const again = `It is tried again in ${duration(restMs)}.`;
        tellStopped(this.#log, this.#nameOf(account), stop, again);
        return;
      }
      case 'failed':
        if (event.restMs === null) this.#wentWrong(PUT_ASIDE, event.error);
        else
          this.#wentWrong(TRIED_AGAIN, event.error, event.account === null ? 'hearing' : this.#nameOf(event.account));
    }
  }

  /** A single message came to an outcome. */
  single(campaign: Campaign, state: RowState): void {
    tallySingle(this.#tally, campaign, state);
  }

  /** What came in could not be kept. */
  notKept(error: unknown): void {
    this.#wentWrong(NOT_KEPT, error);
  }

  /** A call of a flow came to an error. */
  callFailed(error: unknown): void {
    this.#wentWrong(CALL_FAILED, error);
  }

  /** Tells what has come together. @param all also what was told of only just now */
  tell(all = false): void {
    this.#tally.tell(all);
  }

  /** @param what an account, or a part of the listener */
  #wentWrong(kind: TallyKind, error: unknown, what = ''): void {
    const { code, message, hint } = described(error);
    this.#tally.add(kind, { [`${what && `${what}: `}${code}: ${clip(message, 300)} ${hint}`.trim()]: 1 });
  }

  #heard(report: HearReport): void {
    const { accounts, dead, ignored, openersMoved, receiptsMatched, rowsSettled, confirmations } = report;
    const heard: Record<string, number> = {};
    const add = (what: string, count: number): void => {
      heard[what] = (heard[what] ?? 0) + count;
    };
    for (const { events, echoes, receipts, optOuts, answers } of accounts.values()) {
      for (const [opener, count] of Object.entries(events)) add(opener, count);
      add('echo', echoes);
      add('receipt', receipts);
      add('opt-out', optOuts);
      for (const [flow, results] of answers) {
        const counts = Object.entries(results).map(([result, count]) => [`${flow} ${result}`, count] as const);
        this.#tally.add(ANSWERS, Object.fromEntries(counts));
      }
    }
    for (const [kind, count = 0] of Object.entries(ignored)) add(`${kind} (changes nothing)`, count);
    add('window moved', openersMoved);
    add('receipt matched', receiptsMatched);
    add('unknown row settled', rowsSettled);
    add('opt-out confirmed', confirmations);
    this.#tally.add(HEARD, heard);
    this.#tally.add(DEAD, dead);
  }
}

const RECEIVED: TallyKind = {
  event: 'callbacks_received',
  level: 'info',
  text: (counts) => `Callbacks received: ${countsText(counts)}.`,
};
const REFUSED: TallyKind = {
  event: 'requests_refused',
  level: 'warn',
  text: (counts) => `Requests refused: ${countsText(counts)}.`,
};
const HEARD: TallyKind = { event: 'heard', level: 'info', text: (counts) => `Heard: ${countsText(counts)}.` };
const ANSWERS: TallyKind = {
  event: 'answers',
  level: 'info',
  text: (counts) => `Answers of flows: ${countsText(counts)}.`,
};
const DEAD: TallyKind = {
  event: 'dead_letters',
  level: 'warn',
  text: (counts) => `Could not be used in full: ${countsText(counts)}. What to do: pagecast doctor --dead-letters`,
};
const TRIED_AGAIN = wentWrong('failed', 'Went wrong, and is tried again');
const NOT_KEPT = wentWrong('not_kept', 'Could not be kept, so it was answered with 503 and is sent again');
const CALL_FAILED = wentWrong('flow_call_failed', 'Calls of flows that were answered with 500');
const PUT_ASIDE = wentWrong('put_aside', 'Came to an error when it was heard, and is a dead letter now');

function wentWrong(event: string, how: string): TallyKind {
  const text: TallyKind['text'] = (counts) =>
    `${how}: ${counts.map(([what, count]) => `${what}${count > 1 ? ` (${count} times)` : ''}`).join('; ')}`;
  return { event, level: 'warn', text };
}
