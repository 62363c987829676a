/**
 * Delivery: the states of a ledger row, what one attempt can come to, what each platform error means, and when a run stops.
 */
import { EXIT, type ExitStatus } from './failure.js';
import { explainError } from './platform-errors.js';

export const ROW_STATES = ['queued', 'started', 'sent', 'failed', 'skipped', 'unknown'] as const;
export type RowState = (typeof ROW_STATES)[number];

export const CAMPAIGN_STATES = [
  'scheduled',
  'ready',
  'running',
  'paused',
  'stopped',
  'finished',
  'expired',
  'cancelled',
  /** Takes up single messages as they come, and never ends. */
  'continuous',
] as const;
export type CampaignState = (typeof CAMPAIGN_STATES)[number];

/** What a service says of a message after it has accepted it (core/receipt.ts). `read` implies delivered. */
export const RECEIPT_KINDS = ['delivered', 'read', 'undelivered'] as const;
export type ReceiptKind = (typeof RECEIPT_KINDS)[number];

/** Whether nothing of a campaign will be sent any more, unless a person has rows of it sent again. */
export function hasEnded(state: CampaignState): state is 'finished' | 'expired' | 'cancelled' {
  return state === 'finished' || state === 'expired' || state === 'cancelled';
}

/** An error as the platform, or the way to it, reported it. */
export interface DeliveryError {
  /** `10/2018278` for a platform's code and subcode, or a word such as `TIMEOUT` for the transport. */
  code: string;
  /** The platform's own text: shown to people, never matched on. */
  message: string;
  /** The platform's id for the failed request, for its support. */
  traceId?: string;
}

/**
 * What one attempt came to. `load`: how much of what the platform allows the account it has used up, where the answer said
 * so: 0 to 1, or above. `rejected`: never try this person again. `retryable`: surely not accepted. `unknown`: may have
 * been accepted, so it must not be sent again. `stop`, `pauseMs`: what it means for the whole account.
 */
export type Outcome = { load?: number } & (
  | { kind: 'sent'; messageId: string }
  /** `optedOut`: the person does not wish to be written to by this account any more. */
  | { kind: 'rejected'; error: DeliveryError; optedOut?: true }
  /** `inSmallerCalls`: a call for several was refused as a whole, and it may be another's message in it that is at fault. */
  | { kind: 'retryable'; error: DeliveryError; pauseMs?: number; inSmallerCalls?: true }
  | { kind: 'unknown'; error: DeliveryError }
  /**
   * Surely not accepted, and nobody else's would be: the row stays queued and the run ends. With `content` it may be this
   * person's values: the row fails, and the run ends only if nobody has got the template yet.
   */
  | { kind: 'stopped'; error: DeliveryError; stop: StopCause }
);

/** Why a run ended before its queue was empty. `person`: somebody has paused the campaign. */
export type StopCause =
  'token' | 'permission' | 'restricted' | 'content' | 'too_many_failures' | 'rate_limit' | 'network' | 'person';

export const STOP_STATUS: Record<StopCause, ExitStatus> = {
  token: EXIT.unauthorized,
  permission: EXIT.unauthorized,
  restricted: EXIT.stopped,
  content: EXIT.stopped,
  too_many_failures: EXIT.stopped,
  rate_limit: EXIT.tryAgain,
  network: EXIT.tryAgain,
  person: EXIT.interrupted,
};

/** What ended a run for a reason that does not go away: only a person should have it go on. */
export const NEEDS_A_PERSON: readonly StopCause[] = ['restricted', 'content', 'too_many_failures', 'person'];

/** What it means that a campaign stands still, and what to do about it. */
export function explainStop({ cause, error }: { cause: StopCause; error: DeliveryError | null }): {
  meaning: string;
  advice: string;
} {
  if (cause === 'person') return { meaning: 'Somebody has paused it.', advice: 'Resume it when it may go on.' };
  // What the last error says of one person is no advice for the campaign.
  if (cause === 'too_many_failures') {
    return {
      meaning: 'Too many of the last messages failed.',
      advice: 'Mend what the errors have in common, then resume the campaign.',
    };
  }
  const { meaning, advice } = explainError(error?.code ?? '');
  return { meaning, advice };
}

export const MAX_BACKOFF_MS = 60_000;

/** A person is tried at most this often. Only what was surely not accepted is tried again. */
export const MAX_ATTEMPTS = 3;

/**
 * How long to wait before attempt `attempt + 1`: exponential, with full jitter, so that many rows that failed together do
 * not come back together.
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  return Math.round(Math.min(MAX_BACKOFF_MS, 1000 * 2 ** (attempt - 1)) * (0.5 + random / 2));
}

/** A run waits through a rest of at most this length, and through so many in a row; then it ends as "safe to run again". */
export const MAX_PAUSE_MS = 120_000;
export const MAX_PAUSES = 5;

/** When too many fail: both bounds must be reached, over the last outcomes. */
export interface FailureBudget {
  count: number;
  /** 0 to 1. */
  share: number;
}

export const DEFAULT_BUDGET: FailureBudget = { count: 10, share: 0.1 };
const BUDGET_SPAN = 200;

/** Watches the last outcomes of a run. A window that the platform says is shut counts as a failure like any other. */
export class FailureWatch {
  readonly #budget: FailureBudget;
  readonly #last: boolean[] = [];
  #failures = 0;

  constructor(budget: FailureBudget) {
    this.#budget = budget;
  }

  /** @returns whether the run must stop */
  add(failed: boolean): boolean {
    this.#last.push(failed);
    if (failed) this.#failures += 1;
    if (this.#last.length > BUDGET_SPAN && this.#last.shift() === true) this.#failures -= 1;
    return this.#failures >= this.#budget.count && this.#failures >= this.#budget.share * this.#last.length;
  }
}

/** Reads `25` (so many), `10%` (of the last 200, and at least 10) or `25,10%` (both). */
export function parseBudget(text: string): FailureBudget | null {
  const match = /^(?:(\d+)(?:,(\d+)%)?|(\d+)%)$/.exec(text.replace(/\s/g, ''));
  if (!match) return null;
  const [, count, percent = match[3]] = match;
  if (Number(percent ?? 0) > 100) return null;
  return {
    count: count === undefined ? DEFAULT_BUDGET.count : Number(count),
    share: percent === undefined ? 0 : Number(percent) / 100,
  };
}

/** How many rows of a campaign are in each state; always adds up to `total`. */
export type Counts = Record<RowState, number> & { total: number };

/** The exit status of a run that came to the end of its queue. */
export function finishedStatus(counts: Counts, strict: boolean): ExitStatus {
  if (counts.unknown > 0) return EXIT.unknownOutcomes;
  if (counts.failed > 0 || (strict && counts.skipped > 0)) return EXIT.someFailed;
  return EXIT.done;
}
