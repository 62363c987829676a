/** What the answers mean: how each row is settled, how long nobody is sent to, and whether the sending ends. */
import {
  backoffMs,
  FailureWatch,
  MAX_ATTEMPTS,
  MAX_PAUSE_MS,
  MAX_PAUSES,
  type DeliveryError,
  type FailureBudget,
  type Outcome,
  type StopCause,
} from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import type { Campaign, Clock, QueuedRow, Random, Settlement, SingleRow } from '../ports.js';

export type Stop = NonNullable<Campaign['stop']>;

/** So long nothing more is tried of single messages after one has met a refusal of the account, beside a campaign. */
const SINGLES_REST_MS = 60_000;

export class Outcomes {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watch: FailureWatch;
  /** Whether anybody has got the campaign's template. */
  #isAnySent: boolean;
  readonly #singlesOnly: boolean;
  #stop: Stop | null = null;
  /** Pauses in a row that no success has ended. */
  #pauses = 0;
  #rest: { until: number; error: DeliveryError } | null = null;
  #singlesRestUntil = -Infinity;

  constructor(
    { clock, random }: { clock: Clock; random: Random },
    { budget, isAnySent, singlesOnly }: { budget: FailureBudget; isAnySent: boolean; singlesOnly: boolean },
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#watch = new FailureWatch(budget);
    this.#isAnySent = isAnySent;
    this.#singlesOnly = singlesOnly;
  }

  /** Why nothing more is to be sent; null while there is no reason. */
  get stop(): Stop | null {
    return this.#stop;
  }

  /** Nobody is to be sent to before this instant of the monotonic clock. */
  get restUntil(): number {
    return this.#rest?.until ?? -Infinity;
  }

  /** No single message is to be sent before this instant of the monotonic clock. */
  get singlesRestUntil(): number {
    return this.#singlesRestUntil;
  }

  /** Why nobody is sent to at the moment; null outside a rest. */
  get resting(): Stop | null {
    if (this.#rest === null || this.#clock.monotonic() >= this.#rest.until) return null;
    return this.#stopFor(restCause(this.#rest.error), this.#rest.error);
  }

  /** @param setBack by how much the clock was set back since rows were told to wait */
  settleRow(row: QueuedRow, outcome: Outcome, setBack: number): Settlement {
    const settlement = this.#settle(row, outcome, setBack);
    if (outcome.kind === 'sent') {
      this.#isAnySent = true;
      this.#watch.add(false);
    } else if (settlement.state !== 'queued') {
      if (this.#watch.add(true)) this.#stop ??= this.#stopFor('too_many_failures', outcome.error);
      // A message that is refused for what it says is this person's own: their values are in it. Only while nobody has got
      // the template yet is it taken for the template's fault, and the run stops to have it looked at.
      if (outcome.kind === 'stopped' && !this.#isAnySent) this.#stop ??= this.#stopFor('content', outcome.error);
    }
    return settlement;
  }

  /**
   * What becomes of a single message says nothing of a campaign. A refusal of the account may be one of its template alone:
   * it waits, so that the others come first, and whether a campaign beside it must stop as well its own rows will show.
   */
  settleSingle(row: SingleRow, outcome: Outcome): Settlement {
    const { seq, expiresAt } = row;
    if (outcome.kind === 'stopped' && outcome.stop !== 'content') {
      const { error } = outcome;
      if (this.#singlesOnly) this.#stop ??= this.#stopFor(outcome.stop, error);
      else this.#singlesRestUntil = this.#clock.monotonic() + SINGLES_REST_MS;
      return { seq, state: 'queued', error, uncounted: true, notBefore: this.#clock.now() + SINGLES_REST_MS };
    }
    const settlement = this.#settle(row, outcome, 0);
    if (settlement.notBefore === undefined || settlement.notBefore < expiresAt) return settlement;
    return { seq, state: 'failed', ...(settlement.error && { error: settlement.error }) };
  }

  #settle({ seq, attempts }: QueuedRow, outcome: Outcome, setBack: number): Settlement {
    switch (outcome.kind) {
      case 'sent':
        this.#pauses = 0;
        return { seq, state: 'sent', messageId: outcome.messageId };
      case 'unknown':
        return { seq, state: 'unknown', error: outcome.error };
      case 'rejected':
        return { seq, state: 'failed', error: outcome.error, ...(outcome.optedOut && { optedOut: true }) };
      case 'stopped':
        if (outcome.stop === 'content') return { seq, state: 'failed', error: outcome.error };
        this.#stop ??= this.#stopFor(outcome.stop, outcome.error);
        return { seq, state: 'queued', error: outcome.error, uncounted: true };
      case 'retryable':
        if (outcome.pauseMs !== undefined) this.#pause(outcome.pauseMs, outcome.error);
        if (outcome.pauseMs !== undefined || outcome.inSmallerCalls) {
          return { seq, state: 'queued', error: outcome.error, uncounted: true };
        }
        if (attempts + 1 >= MAX_ATTEMPTS) return { seq, state: 'failed', error: outcome.error };
        return {
          seq,
          state: 'queued',
          error: outcome.error,
          notBefore: this.#clock.now() + setBack + backoffMs(attempts + 1, this.#random.next()),
        };
    }
  }

  #stopFor(cause: StopCause, error: DeliveryError): Stop {
    return { cause, error, at: this.#clock.now() };
  }

  /** The platform asks for a rest, or cannot be reached: nobody is sent to for a while. */
  #pause(pauseMs: number, error: DeliveryError): void {
    const tick = this.#clock.monotonic();
    // Calls that were under way together report the same rest; it counts once.
    if (tick < this.restUntil) return;
    const rest = Math.max(pauseMs, backoffMs(this.#pauses + 1, this.#random.next()));
    this.#pauses += 1;
    if (rest > MAX_PAUSE_MS || this.#pauses > MAX_PAUSES) this.#stop ??= this.#stopFor(restCause(error), error);
    else this.#rest = { until: tick + rest, error };
  }
}

/** What keeps an account from sending when it rests for an error, or would have to. */
export function restCause({ code }: DeliveryError): StopCause {
  const { class: met } = explainError(code);
  // One that is in no list says nothing of the account.
  if (met.kind === 'stop' && met.cause !== 'content') return met.cause;
  return code === 'CONNECTION_REFUSED' ? 'network' : 'rate_limit';
}
