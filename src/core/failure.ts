/**
 * Failures: what stops a command. Each has a stable code, a sentence, a hint (what to do next) and an exit status.
 * Expected results (findings, outcomes) are values and never pass through here.
 */

/** Exit statuses of every command; `docs/exit-codes.md` and the help are tested against this table. */
export const EXIT = {
  done: 0,
  internal: 1,
  usage: 2,
  invalid: 3,
  unauthorized: 4,
  someFailed: 5,
  stopped: 6,
  tryAgain: 7,
  unknownOutcomes: 8,
  interrupted: 130,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_MEANING: Record<ExitStatus, string> = {
  0: 'done (people left out because their window is shut are a result, not a failure)',
  1: 'internal error: a fault in pagecast',
  2: 'usage or configuration',
  3: 'validation failed, nothing was sent',
  4: 'token or permission refused by the platform',
  5: 'finished, but some messages failed (with --strict also: some people were left out)',
  6: 'stopped for safety: too many failures, Page restricted, forbidden by the rules, policy not accepted, count differs, too late or cancelled',
  7: 'temporarily unable, safe to run again: rate limit, network, account or store busy',
  8: 'finished, but some outcomes are unknown and need a person',
  130: 'interrupted',
};

const GRAVEST_FIRST: readonly ExitStatus[] = [
  EXIT.internal,
  EXIT.unauthorized,
  EXIT.stopped,
  EXIT.usage,
  EXIT.invalid,
  EXIT.unknownOutcomes,
  EXIT.someFailed,
  EXIT.tryAgain,
  EXIT.interrupted,
];

/** The exit status of a command that did several things. */
export function gravest(statuses: readonly ExitStatus[]): ExitStatus {
  return GRAVEST_FIRST.find((status) => statuses.includes(status)) ?? EXIT.done;
}

const FAILURE_STATUS = {
  USAGE: EXIT.usage,
  ANSWER_NEEDED: EXIT.usage,
  WORKSPACE_EXISTS: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  SECRET_MISSING: EXIT.usage,
  SECRET_UNUSABLE: EXIT.usage,
  SECRET_EXISTS: EXIT.usage,
  KEYRING_UNAVAILABLE: EXIT.usage,
  WORKSPACE_MISSING: EXIT.usage,
  ACCOUNT_UNKNOWN: EXIT.usage,
  ACCOUNT_EXISTS: EXIT.usage,
  ACCOUNT_IN_USE: EXIT.usage,
  TEMPLATE_UNKNOWN: EXIT.usage,
  TEMPLATE_EXISTS: EXIT.usage,
  LANGUAGE_UNKNOWN: EXIT.usage,
  VARIABLE_UNKNOWN: EXIT.usage,
  VARIABLE_MISSING: EXIT.usage,
  FLOW_UNKNOWN: EXIT.usage,
  CAMPAIGN_UNKNOWN: EXIT.usage,
  CAMPAIGN_STATE: EXIT.usage,
  KEY_USED: EXIT.usage,
  TIME_INVALID: EXIT.usage,
  ZONE_UNKNOWN: EXIT.usage,
  ZONE_NEEDED: EXIT.usage,
  CRON_INVALID: EXIT.usage,
  RECURRENCE_UNKNOWN: EXIT.usage,
  CHANNEL_DIFFERS: EXIT.usage,
  PROVIDER_UNAVAILABLE: EXIT.usage,
  FILE_UNREADABLE: EXIT.usage,
  FILE_EXISTS: EXIT.usage,
  FILE_UNWRITABLE: EXIT.usage,
  STORE_UNREADABLE: EXIT.usage,
  STORE_NEWER: EXIT.usage,
  STORE_READ_ONLY: EXIT.usage,
  TEMPLATE_INVALID: EXIT.invalid,
  FLOW_INVALID: EXIT.invalid,
  SHEET_INVALID: EXIT.invalid,
  IMPORT_INVALID: EXIT.invalid,
  NOBODY_TO_SEND_TO: EXIT.invalid,
  POLICY_FORBIDS: EXIT.stopped,
  OPTED_OUT: EXIT.stopped,
  LIMIT: EXIT.stopped,
  GUARD: EXIT.stopped,
  QUIET_HOURS: EXIT.stopped,
  POLICY_NOT_ACCEPTED: EXIT.stopped,
  COUNT_DIFFERS: EXIT.stopped,
  ALREADY_SENT: EXIT.stopped,
  ACCOUNT_BUSY: EXIT.tryAgain,
  STORE_BUSY: EXIT.tryAgain,
  STORE_FULL: EXIT.tryAgain,
  LEASE_LOST: EXIT.tryAgain,
  PORT_IN_USE: EXIT.tryAgain,
  INTERRUPTED: EXIT.interrupted,
} as const satisfies Record<string, ExitStatus>;

export type FailureCode = keyof typeof FAILURE_STATUS;

export class Failure extends Error {
  readonly code: FailureCode;
  /** What to do next, as one sentence; empty where the message says it all. */
  readonly hint: string;

  constructor(code: FailureCode, message: string, hint = '', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.code = code;
    this.hint = hint;
  }

  get status(): ExitStatus {
    return FAILURE_STATUS[this.code];
  }
}
