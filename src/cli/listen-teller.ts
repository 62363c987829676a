/** What a listener tells in its log: no text of a message, no whole id, and however much comes in, a few lines. */
import type { HearReport } from '../app/hear.js';
import type { ListenEvent } from '../app/listen.js';
import { explainStop, type RowState } from '../core/delivery.js';
import type { CallbackService, Campaign, Clock } from '../ports.js';
import type { Log } from './log.js';
import { clip } from './messages.js';
import { duration } from './render.js';
import { countsText, Tally, tallySingle, type TallyKind } from './tally.js';

export class ListenTeller {
  readonly #log: Log;
  readonly #tally: Tally;
  readonly #nameOf: (account: string) => string;
  /** What an account was last told to stand still for, which is told once: it is tried again every minute. */
  readonly #stopped = new Map<string, string>();

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(log: Log, clock: Clock, nameOf: (account: string) => string) {
    this.#log = log;
    this.#tally = new Tally(log, clock);
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
        const { meaning, advice } = explainStop(stop);
        const name = this.#nameOf(account);
        const error = stop.error === null ? '' : ` [${stop.error.code}]`;
        this.#log.warn(
          'sending_stopped',
          `${name}: nothing can be sent (${stop.cause}): ${meaning}${error} ${advice} It is tried again in ${duration(restMs)}.`,
          { account: name, cause: stop.cause, code: stop.error?.code ?? null },
        );
        return;
      }
      case 'failed':
        this.failed(event.account === null ? 'hearing' : this.#nameOf(event.account), event.error);
    }
  }

  /** A single message came to an outcome. */
  single(campaign: Campaign, state: RowState): void {
    tallySingle(this.#tally, campaign, state);
  }

  /** Something went wrong that is tried again. @param what an account, or a part of the listener */
  failed(what: string, error: unknown): void {
    const { code, message } = described(error);
    this.#tally.add(FAILED, { [`${what}: ${code}: ${clip(message, 300)}`]: 1 });
  }

  /** Tells what has come together. @param all also what was told of only just now */
  tell(all = false): void {
    this.#tally.tell(all);
  }

  #heard({ accounts, dead, openersMoved, rowsSettled, confirmations }: HearReport): void {
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
    add('window moved', openersMoved);
    add('unknown row settled', rowsSettled);
    add('opt-out confirmed', confirmations);
    this.#tally.add(HEARD, heard);
    this.#tally.add(DEAD, dead);
  }
}

function described(error: unknown): { code: string; message: string } {
  const { message } = error instanceof Error ? error : new Error(String(error));
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'INTERNAL';
  return { code, message };
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
  text: (counts) => `Could not be used in full: ${countsText(counts)}. What to do: pagecast doctor`,
};
const FAILED: TallyKind = {
  event: 'failed',
  level: 'warn',
  text: (counts) =>
    `Tried again: ${counts.map(([what, count]) => `${what}${count > 1 ? ` (${count} times)` : ''}`).join('; ')}`,
};
