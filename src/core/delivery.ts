/**
 * Delivery: the states of a ledger row, what one attempt can come to, what each platform error means, and when a run stops.
 */
import { EXIT, type ExitStatus } from './failure.js';

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
] as const;
export type CampaignState = (typeof CAMPAIGN_STATES)[number];

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
 * What one attempt came to. `rejected`: never try this person again. `retryable`: surely not accepted. `unknown`: may have
 * been accepted, so it must not be sent again. `stop`, `pauseMs`: what it means for the whole account.
 */
export type Outcome =
  | { kind: 'sent'; messageId: string }
  | { kind: 'rejected'; error: DeliveryError }
  | { kind: 'retryable'; error: DeliveryError; pauseMs?: number }
  | { kind: 'unknown'; error: DeliveryError }
  /**
   * Surely not accepted, and nobody else's would be: the row stays queued and the run ends. With `content` it may be this
   * person's values: the row fails, and the run ends only if nobody has got the template yet.
   */
  | { kind: 'stopped'; error: DeliveryError; stop: StopCause };

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

/** How an error of the Messenger Platform is met. */
export type ErrorClass =
  | { kind: 'rejected' }
  | { kind: 'retryable' }
  | { kind: 'pause' }
  | { kind: 'unknown' }
  | { kind: 'stop'; cause: StopCause };

interface ErrorRow {
  class: ErrorClass;
  meaning: string;
  advice: string;
}

const rejected = (meaning: string, advice = 'Leave this person out.'): ErrorRow => ({
  class: { kind: 'rejected' },
  meaning,
  advice,
});
const pause = (meaning: string): ErrorRow => ({
  class: { kind: 'pause' },
  meaning,
  advice: 'The run waits and goes on by itself; a lower pace avoids it.',
});
const stop = (cause: StopCause, meaning: string, advice: string): ErrorRow => ({
  class: { kind: 'stop', cause },
  meaning,
  advice,
});
const CHECK_TOKEN = 'Make a new token for the account and put it where pagecast.yaml says, then resume the campaign.';
const CHECK_PERMISSION = "Check the app's permissions and its access level for this Page, then resume the campaign.";
const CHECK_CONTENT = 'Look at the template and at the values of this row.';
const CHECK_PAGE = "Read the Page's Support Inbox. Resume only when the restriction is lifted.";

/**
 * Errors of the Send API by `code/subcode`, then by `code` alone. Source: Messenger Platform error codes (25 June 2026), and
 * bodies seen in public issue threads. The text of an error is localised and is never looked at.
 */
const ERRORS: Record<string, ErrorRow> = {
  '1/1357046': {
    class: { kind: 'unknown' },
    meaning: 'The platform could not finish its reply, though the message may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  '1': {
    class: { kind: 'retryable' },
    meaning: 'The platform had an unknown error.',
    advice: 'Tried again a few times.',
  },
  '2': {
    class: { kind: 'retryable' },
    meaning: 'The platform was temporarily unable, or the person has blocked the Page.',
    advice: 'Tried again a few times.',
  },
  '1200': { class: { kind: 'retryable' }, meaning: 'Temporary failure to send.', advice: 'Tried again a few times.' },
  '4': pause("The app's request limit is reached."),
  '4/2018354': rejected('This person has had a marketing message too recently.'),
  '9/2018352': rejected('The limit of opt-in requests to this person is reached.'),
  '10/2018278': rejected('Outside the 24-hour window (Messenger).', 'Wait until the person writes again.'),
  '10/2018065': rejected('Outside the 24-hour window (older wording).', 'Wait until the person writes again.'),
  '10/2534022': rejected('Outside the 24-hour window (Instagram).', 'Wait until the person writes again.'),
  '10/2018108': rejected('This person cannot receive messages now.', 'Try this person in a later campaign.'),
  '10/2018336': rejected('This conversation is limited by regional rules.'),
  '10/1893015': rejected('This person has stopped these messages.', 'Put this person on the opt-out list.'),
  '10/1893063': stop('restricted', 'The Page is temporarily restricted from sending.', CHECK_PAGE),
  '10/1404170': stop('restricted', 'The Page is restricted from sending opt-in requests.', CHECK_PAGE),
  '10/2534077': stop(
    'permission',
    'The link between Instagram account and Page is broken or needs two-factor login.',
    CHECK_PERMISSION,
  ),
  '10': stop('permission', 'The app may not send for this Page.', CHECK_PERMISSION),
  '100/33': stop('permission', 'The Page is not known to this token.', CHECK_PERMISSION),
  '100/2018001': rejected('No such user for this Page.'),
  '100/2534014': rejected('No such Instagram user for this account.'),
  '100/2534025': rejected('The comment cannot be answered privately.'),
  '100/2534037': rejected('Another app holds this conversation.', 'Try this person in a later campaign.'),
  '100/2534013': stop('permission', 'The Page is not linked to an Instagram account.', CHECK_PERMISSION),
  '100/2534029': stop('restricted', 'The business is blocked from sending on Instagram.', CHECK_PAGE),
  '100/2018008': stop('content', 'The media file could not be fetched.', 'Check that the link opens without a login.'),
  '100/2018047': stop('content', 'The media file is not of the type that the template says.', CHECK_CONTENT),
  '100/2018074': stop('content', 'The attachment belongs to somebody else.', CHECK_CONTENT),
  '100/2018109': stop('content', 'The attachment is too large.', CHECK_CONTENT),
  '100/2018294': stop('content', 'The video took too long to fetch.', CHECK_CONTENT),
  '100/2534015': stop('content', 'Instagram does not take this message.', CHECK_CONTENT),
  '100': stop(
    'content',
    'The platform does not take this message (a retired message tag gives this error, too).',
    CHECK_CONTENT,
  ),
  '190': stop('token', 'The access token is expired, revoked or wrong.', CHECK_TOKEN),
  '200/1545041': rejected('This person is not available (some pages of the platform say: window closed).'),
  '551/1545041': rejected('This person is not available (some pages of the platform say: window closed).'),
  '551': rejected('This person is not available.'),
  '200/2018028': stop(
    'permission',
    'The app is not live or not reviewed: it reaches only people with a role on it.',
    CHECK_PERMISSION,
  ),
  '200/2534041': stop('permission', 'The Instagram owner has turned message access off.', CHECK_PERMISSION),
  '200': stop('permission', 'The token lacks a permission.', CHECK_PERMISSION),
  '230': rejected('The permissions do not allow a message to this person.'),
  '368': stop('restricted', 'The Page is temporarily blocked for breaking the policy.', CHECK_PAGE),
  '2022': stop('restricted', 'A feature of the Page is limited after a breach of policy.', CHECK_PAGE),
  '613/2018338': stop('restricted', 'The platform warns of bothersome messages.', CHECK_PAGE),
  '613/1893016': rejected('This person has been asked to opt in already.'),
  '613': pause('The rate limit of the API is reached.'),
  '17': pause('The request limit of the token is reached.'),
  '32': pause("The Page's request limit is reached."),
  '341': pause('The application limit is reached.'),
  '80001': pause('Too many calls to this Page.'),
  '80002': pause('Too many calls to this Instagram account.'),
  '80006': pause('Too many messages from this Page.'),
  '10900': rejected('This has been answered already.'),
  '10903': rejected('This person cannot be answered.'),
  '2018300': rejected('Another app holds this conversation.', 'Try this person in a later campaign.'),
  '2018321': rejected('A question flow is active in this conversation.', 'Try this person in a later campaign.'),
  '36000': stop('content', 'The image is too large.', CHECK_CONTENT),
  TIMEOUT: {
    class: { kind: 'unknown' },
    meaning: 'No answer came in time; the message may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  CONNECTION_LOST: {
    class: { kind: 'unknown' },
    meaning: 'The connection broke before the answer came; the message may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  REPLY_UNREADABLE: {
    class: { kind: 'unknown' },
    meaning: 'The answer could not be understood; the message may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  SERVER_ERROR: {
    class: { kind: 'unknown' },
    meaning: 'The platform answered with a server error; the message may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  RUN_DIED: {
    class: { kind: 'unknown' },
    meaning: 'The run ended while the message was under way; it may have been sent.',
    advice: 'Do not send again; look into the conversation.',
  },
  CONNECTION_REFUSED: {
    class: { kind: 'pause' },
    meaning: 'The platform could not be reached; nothing was sent.',
    advice: 'Check the network, then resume the campaign.',
  },
};

const UNLISTED: ErrorRow = stop(
  'content',
  'The platform gave an error that pagecast does not know.',
  'Look the code up before you resume.',
);

/** @param code as in DeliveryError */
export function explainError(code: string): ErrorRow {
  // Codes come from outside: `toString` is none of the table's.
  const known = [code, code.split('/')[0] ?? ''].find((key) => Object.hasOwn(ERRORS, key));
  return (known === undefined ? undefined : ERRORS[known]) ?? UNLISTED;
}

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
