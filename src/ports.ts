/**
 * Every interface between the rules and the world. Adapters implement these; `cli/context.ts` alone chooses which.
 */
import type {
  CampaignState,
  Counts,
  DeliveryError,
  FailureBudget,
  Outcome,
  ReceiptKind,
  RowState,
  StopCause,
} from './core/delivery.js';
import type { Failure } from './core/failure.js';
import type { Finding, SheetLimits, SheetOrigin } from './core/finding.js';
import type { Flow, QuietHours } from './core/flow.js';
import type { OptOutChange, OptOutSource } from './core/opt-out.js';
import type { RowMark } from './core/metadata.js';
import type { PlanReason, SkipReason, Standing } from './core/plan.js';
import type { SendMode } from './core/policy.js';
import type { Timing } from './core/schedule.js';
import type { Cell, SheetRow } from './core/sheet.js';
import type { Button, Channel, Message, Template, TemplateVariable } from './core/template.js';
import type { LastOpener, Opener, WindowSettings } from './core/window.js';

export interface Clock {
  /** Milliseconds since 1970, UTC. May jump when somebody sets the clock. */
  now(): number;
  /** Milliseconds since some moment; never jumps. For pace, pauses and everything else that measures a length of time. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** In [0, 1). */
  next(): number;
}

// ---------------------------------------------------------------------------------------------------- accounts, templates

export type ProviderName = 'graph' | 'cams' | 'twilio' | 'sandbox';

/** A sending identity as the configuration describes it; secrets are read only when a provider is made. */
export interface Account {
  name: string;
  channel: Channel;
  provider: ProviderName;
  /** Page id, Instagram account id or phone number. */
  id: string;
  /** Messages a second. */
  pace: number;
}

export interface TemplateLibrary {
  list(): Promise<TemplateListing>;
}

/** One file that cannot be used does not take the others with it. */
export interface TemplateListing {
  /** Those of the workspace, then the starters that none of the workspace's files stands in for. */
  entries: TemplateEntry[];
  broken: BrokenTemplate[];
}

export interface BrokenTemplate {
  file: string;
  failure: Failure;
  /** As far as the file or its name tells. */
  name: string | null;
  language: string | null;
}

export interface TemplateEntry {
  /** Where the template stands, for messages. */
  file: string;
  template: Template;
  /** Comes with pagecast rather than from the workspace. */
  starter: boolean;
}

/** The flows of a workspace, by name; one file that cannot be used does not take the others with it. */
export interface FlowListing {
  entries: { file: string; flow: Flow }[];
  broken: { file: string; failure: Failure }[];
}

/** The template files of a workspace, as commands write them. */
export interface TemplateFiles {
  /**
   * Writes a template into a file of its own.
   * @param comment stands above it
   * @returns its path. @throws Failure FILE_EXISTS, FILE_UNWRITABLE; TEMPLATE_INVALID when it could not be read again
   */
  create(template: Template, comment: string): Promise<string>;
  /**
   * Brings a registered template's file up to date; all else in it, comments too, stays as it stands. A starter gets a copy
   * in the workspace instead.
   * @returns the file's path. @throws Failure FILE_EXISTS, FILE_UNREADABLE, FILE_UNWRITABLE; TEMPLATE_INVALID as above
   */
  update(entry: TemplateEntry, change: TemplateChange): Promise<string>;
}

/** What is left out stays as it is. */
export interface TemplateChange {
  /** What the platform now says of it. */
  status?: string;
  parameters?: 'named' | 'positional';
  /** Null for none any more. */
  header?: string | null;
  body?: string;
  buttons?: readonly Button[];
  /** Added where there is none of that name. */
  variables?: readonly TemplateVariable[];
}

// ---------------------------------------------------------------------------------------------------- providers

export interface OutgoingMessage {
  userId: string;
  message: Message;
  /** Names the campaign and the row; comes back in echoes. At most 999 characters. */
  metadata: string;
  /** An answer to what this person wrote, rather than a message that the account sends of its own accord. */
  isReply: boolean;
}

export interface Capabilities {
  /** Whether registered templates can be sent; if not, a run with one is refused. */
  registeredTemplates: boolean;
  /** Whether the conversation with one person can be read; if not, only echoes settle a row whose outcome is unknown. */
  lookup: boolean;
  /** The most messages made of a template that one call can carry. */
  maxBatch: (template: Template) => number;
}

/** A message of a conversation, as the platform shows it. */
export interface ShownMessage {
  messageId: string;
  /** Empty for a message without text, such as an image; null when the platform shows nothing of it. */
  text: string | null;
  /** Milliseconds since 1970, UTC, by the platform's clock; it may have been cut to a whole second. */
  at: number;
  /** Whether the account wrote it, in whatever way: by us, by another program or by hand. */
  fromAccount: boolean;
}

export type Lookup =
  | {
      kind: 'read';
      /** In any order; there may be some from before the time that was asked for. */
      messages: ShownMessage[];
      /** Whether these are surely all since then. If not, a message that is missing here may be there all the same. */
      complete: boolean;
    }
  | CallFailure;

/** Why a call that sends nothing failed. `stop`, `pauseMs`: what it means for the whole account, as in an Outcome. */
export interface CallFailure {
  kind: 'failed';
  error: DeliveryError;
  pauseMs?: number;
  stop?: StopCause;
}

/** A conversation with one person, as a listing shows it. */
export interface ShownConversation {
  /** Null when the platform does not say who it is with. */
  userId: string | null;
  /** When the last message of either side was written. */
  updatedAt: number;
  /** When the person last wrote, as far as can be seen. */
  userWroteAt: number | null;
  /** Whether they surely wrote nothing later than `userWroteAt` since the time that was asked for. */
  complete: boolean;
}

/** Where a listing of conversations goes on; opaque, and good for a while only. */
export type Cursor = string;

export type ConversationsPage =
  | {
      kind: 'read';
      conversations: ShownConversation[];
      /** Null after the last page. */
      next: Cursor | null;
    }
  | CallFailure;

/** A registered template as the platform has it. */
export interface PlatformTemplate {
  name: string;
  /** Such as `en_US`, as the platform writes it. */
  language: string;
  /** Such as APPROVED, PENDING, REJECTED, PAUSED or DISABLED. */
  status: string;
  /** Such as UTILITY; null where the platform says nothing. */
  category: string | null;
  parameters: 'named' | 'positional';
  /** Placeholders as pagecast writes them, each with a name: `{{order_no}}`, `{{param_1}}`. */
  header: string | null;
  body: string | null;
  buttons: readonly Button[];
  /** By the names of the placeholders. */
  examples: Readonly<Record<string, string>>;
  /** By which CAMS sends it; null elsewhere. */
  code: string | null;
  /** Why it was rejected or paused, in the platform's words. */
  reason: string | null;
  /** A part of it that pagecast cannot fill, such as an image in its header; null when there is none. */
  unsupported: string | null;
}

export type TemplatesRead = { kind: 'read'; templates: PlatformTemplate[] } | CallFailure;
export type TemplateCreated = { kind: 'created'; id: string; status: string } | CallFailure;

/** One thing that was found out about an account by asking the service. */
export interface AccountCheck {
  about: 'reachable' | 'token' | 'identity' | 'permissions' | 'expiry' | 'rate' | 'sending';
  /** `unknown`: the service does not tell, which is no fault. */
  state: 'ok' | 'failed' | 'unknown';
  /** A sentence without secrets. */
  detail: string;
  /** What to do; empty where there is nothing to be done. */
  hint: string;
  /** Why it failed, as a run would meet it. */
  stop?: StopCause;
}

export interface Provider {
  readonly capabilities: Capabilities;
  /**
   * Sends each message once and never throws for one of them: one outcome for each message, in their order.
   * @param onWire called when the first byte is about to be written: only now can anything arrive
   */
  send(batch: readonly OutgoingMessage[], onWire?: () => void): Promise<Outcome[]>;
  /**
   * Reads the conversation with one person; never throws. There where `lookup` is.
   * @param since milliseconds since 1970, by the platform's clock
   * @param turn waited for before each call, because the platform bounds how many there may be in a second
   */
  conversation?(userId: string, since: number, turn: () => Promise<void>): Promise<Lookup>;
  /**
   * Reads one page of all conversations, the one with the newest message first as far as is known; never throws.
   * @param cursor from the page before; null for the first page
   * @param since nothing before it matters, in milliseconds since 1970 by the platform's clock
   * @param turn waited for before each call
   */
  conversations?(cursor: Cursor | null, since: number, turn: () => Promise<void>): Promise<ConversationsPage>;
  /** The registered templates that the platform has for the account; never throws. @param name only those of this name */
  templates?(name?: string): Promise<TemplatesRead>;
  /** Hands a registered template in for approval; never throws. */
  createTemplate?(template: Template): Promise<TemplateCreated>;
  /** Asks the service whether the account works, without sending anything; never throws. */
  verify(): Promise<AccountCheck[]>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------- sheets

export interface SheetDraft {
  template: Template;
  channel: Channel;
  header: readonly string[];
  origin: SheetOrigin;
  /** For each column: what belongs there, and an example. */
  help: readonly { text: string; example: string }[];
}

export interface Sheets {
  /** Writes an empty recipient sheet. @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
  create(path: string, draft: SheetDraft, overwrite: boolean): Promise<void>;
  /** Opens a workbook or CSV file for one pass. @throws SheetFault when the file as a whole cannot be read */
  open(path: string, limits: SheetLimits): Promise<OpenSheet>;
  /** Starts a marked copy beside a reading. */
  mark(path: string, header: readonly Cell[], origin: SheetOrigin | null, overwrite: boolean): Promise<MarkedCopy>;
  /**
   * Writes a table of texts, all cells as text, as .xlsx or .csv by the path's ending; CSV without formulas.
   * @returns how many rows it has. @throws Failure USAGE, FILE_EXISTS, FILE_UNWRITABLE
   */
  exportTable(
    path: string,
    header: readonly string[],
    rows: AsyncIterable<readonly string[]>,
    overwrite?: boolean,
  ): Promise<number>;
  /**
   * Writes a workbook about a campaign, all cells as text: the sheet `Report` with a line for each recipient, a recipient
   * sheet of those who may be sent to again, with the column of a marked copy as the last cell of each row, and `Summary`.
   * The sheets are read one after the other.
   * @returns how many rows the first two have. @throws Failure FILE_EXISTS, FILE_UNWRITABLE
   */
  exportReport(
    path: string,
    book: {
      report: { header: readonly string[]; rows: AsyncIterable<readonly string[]> };
      recipients: { header: readonly string[]; rows: AsyncIterable<readonly string[]>; origin: SheetOrigin };
      summary: readonly (readonly string[])[];
    },
    overwrite: boolean,
  ): Promise<{ rows: number; recipients: number }>;
}

export interface OpenSheet {
  /** What the workbook says it was made from; null for CSV and for workbooks made elsewhere. */
  readonly origin: SheetOrigin | null;
  readonly header: readonly Cell[];
  /** Rows after the header, in batches. @throws SheetFault */
  rows(): AsyncIterable<SheetRow[]>;
  close(): Promise<void>;
}

/** The file as a whole cannot be read; carries the finding that says why. */
export class SheetFault extends Error {
  readonly finding: Finding;

  constructor(finding: Finding) {
    super(finding.code);
    this.name = 'SheetFault';
    this.finding = finding;
  }
}

export interface MarkedCopy {
  /** @param notes the sentences for this row, and the columns (from 0) they are about */
  add(row: SheetRow, notes: readonly { column: number | null; text: string }[]): Promise<void>;
  finish(): Promise<void>;
  abandon(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------- store

export interface OpenerEvent {
  userId: string;
  openedAt: number;
  opener: Opener;
}

export interface NewCampaign {
  id: string;
  /** The `senderKey` of the account. */
  account: string;
  /** What the account was called when the campaign was planned. */
  accountName: string;
  template: Template;
  /** What the recipients came from, for people: a file's name or "typed in". */
  source: string;
  pace: number;
  /** Names of the template's variables, in the order of a row's values. */
  variables: readonly string[];
  /** When it is to be sent; null for at once. */
  timing: Timing | null;
  /** The registered template for people whose window is shut; null when they are left out. */
  outside: Template | null;
}

/**
 * A campaign that takes up single messages as they come: those that people write, those of one flow, or the confirmations
 * of opt-outs. It is approved by what made it, is `continuous` from then on, and never ends.
 */
export interface ContinuousCampaign {
  /** The `senderKey` of the account. */
  account: string;
  accountName: string;
  mode: Exclude<SendMode, 'bulk'>;
  /** The flow whose messages it holds, or OPT_OUT_FLOW for confirmations; null for messages that a person writes. */
  flow: string | null;
  template: Template;
  pace: number;
  /** When its messages do not leave, and what becomes of those that are due then; null for none such. */
  quiet: QuietRule | null;
}

/** `skip`: what is due in these hours is left out as `expired`; so is, with `wait`, what would be too late after them. */
export interface QuietRule {
  hours: QuietHours;
  then: 'skip' | 'wait';
}

/** One message to one person, apart from campaigns in bulk; goes before their rows. */
export interface NewSingle {
  /** Made with the first message of it. */
  campaign: ContinuousCampaign;
  userId: string;
  /** Of the template's used variables, in their order. */
  values: readonly string[];
  /** What it is sent for, such as the id of the message that it answers: an account sends nobody two for one occasion. */
  occasion: string;
  /** When the person wrote what it answers (`isWritten`); null when it answers nothing that they wrote. */
  answersAt: number | null;
  /** Not before this instant; null for at once. */
  notBefore: number | null;
  /** From this instant on it is too late, and it is left out as `expired`. */
  expiresAt: number;
  /** Nothing is queued when the person had a message of this flow queued later that was not left out; null without a limit. */
  onceSince: number | null;
  /** Nothing is queued when so many messages of flows to the person were queued later than that; null without a guard. */
  guard: { since: number; most: number } | null;
}

export type QueuedSingle =
  | ({ kind: 'queued' } & RowMark)
  /** `occasion`: there is one for it, and this is the row. */
  | { kind: 'not_queued'; because: 'occasion' | 'limit' | 'guard'; row: RowMark | null };

/** A queued single message, as a run takes it up. */
export interface SingleRow extends QueuedRow {
  campaign: string;
  answersAt: number | null;
  expiresAt: number;
}

export interface StagedRow {
  /** The sheet's row number, or 1, 2, … for typed-in ids. */
  seq: number;
  userId: string;
  values: readonly string[];
  reason: PlanReason | null;
  closesAt: number | null;
  opener: Opener | null;
  /** Whether it is to be sent as the campaign's `outside`. */
  outside: boolean;
}

/** One person's place in a plan's order. */
export interface QueuePlace {
  seq: number;
  closesAt: number | null;
}

export interface Campaign {
  id: string;
  /** The `senderKey` of the account. */
  account: string;
  /** What the account was called when the campaign was planned. */
  accountName: string;
  template: Template;
  source: string;
  variables: readonly string[];
  pace: number;
  state: CampaignState;
  timing: Timing | null;
  mode: SendMode;
  /** Of a continuous campaign: as in ContinuousCampaign. Null for campaigns in bulk. */
  flow: string | null;
  /** As `flow`. */
  quiet: QuietRule | null;
  outside: Template | null;
  /** A name that its sender gave it, under which no other campaign can be made; null without. */
  key: string | null;
  /** The recurrence and the occurrence that it was made for; null for one that somebody sent. */
  occurrence: Occurrence | null;
  budget: FailureBudget;
  /** Why it stands still; null unless it was stopped, or paused by somebody else than its own run. */
  stop: { cause: StopCause; error: DeliveryError | null; at: number } | null;
  /** Of the recipients and their values, in any order. */
  digest: string;
  approvedAt: number;
  startedAt: number | null;
  /** When somebody last had it sent, or a message of it was sent; to within a minute. */
  activeAt: number;
  finishedAt: number | null;
}

export interface Approval {
  digest: string;
  /** The version of the policy text that was accepted. */
  policy: string;
  /** Whether the same content may go out again. */
  again: boolean;
  /** When a run of it stops for safety. */
  budget: FailureBudget;
  key?: string;
  occurrence?: Occurrence;
  now: number;
}

/** Why a plan was not approved: there is a campaign already that does the same. */
export interface Refusal {
  because: 'sent_before' | 'key' | 'occurrence';
  campaign: Campaign;
}

/** One of the times at which a recurring send takes place. */
export interface Occurrence {
  recurrence: string;
  at: number;
}

/** A send that takes place again and again; each time is planned, checked and sent as a campaign of its own. */
export interface Recurrence {
  id: string;
  /** The `senderKey` of the account. */
  account: string;
  accountName: string;
  template: { name: string; language: string };
  /** The name of the registered template for people whose window is shut; null when they are left out. */
  outside: string | null;
  /** A sheet is read again each time; its path is absolute. */
  source: { kind: 'sheet'; path: string } | { kind: 'ids'; ids: readonly string[]; values: Record<string, string> };
  pace: number;
  skipInvalid: boolean;
  budget: FailureBudget;
  /** The version of the policy text that was accepted. */
  policy: string;
  /** An occurrence that would go to more people is not sent. */
  maxPeople: number;
  cron: string;
  zone: string;
  /** An occurrence that could not start within this time is missed. */
  expiryMs: number;
  createdAt: number;
  /** The next occurrence; null when it has ended. */
  nextAt: number | null;
  /** What became of the last occurrence that was due; null before the first. */
  last: { at: number; result: OccurrenceResult } | null;
}

export type OccurrenceResult =
  | { kind: 'campaign'; campaign: string }
  /** Nobody looked in time. */
  | { kind: 'missed' }
  /** It was not sent, and why. */
  | { kind: 'refused'; code: string; message: string };

/** What the plan of a timed campaign says of a row at the time of sending. */
export interface ReplannedRow {
  seq: number;
  reason: PlanReason | null;
  closesAt: number | null;
  opener: Opener | null;
  outside: boolean;
}

/** A message of ours that the platform has shown to us: in an echo, or in the conversation. */
export interface Echo {
  campaign: string;
  seq: number;
  messageId: string;
}

/** What a service said later of a message that it had accepted. */
export interface Receipt {
  /**
   * As the row has it; of a batch that shares one id, the person tells the row. Null for one that is about everything that
   * the person was sent up to `at`; it settles nothing.
   */
  messageId: string | null;
  /** Null where the receipt does not say whom it is about. */
  userId: string | null;
  /**
   * The row that the receipt itself names, which it then settles as well. Of a batch it is the first, and the person tells
   * which row of its campaign is meant.
   */
  row: RowMark | null;
  /** Null where it says only that the message was accepted. */
  kind: ReceiptKind | null;
  at: number;
  /** Why it was not delivered. */
  error: DeliveryError | null;
}

/** What became of a row whose outcome was unknown. */
export type Resolution =
  | { seq: number; to: 'sent'; messageId: string }
  /** It surely was not sent. */
  | { seq: number; to: 'queued'; closesAt: number | null };

/** A row that is to be sent again, and the state that the person who wishes it has seen it in. */
export interface RequeuedRow extends QueuePlace {
  from: 'failed' | 'skipped' | 'unknown';
}

export interface QueuedRow {
  seq: number;
  userId: string;
  values: readonly string[];
  attempts: number;
}

/** What a run writes down at once: all of it is durable, or none. */
export interface RunStep {
  settled: readonly Settlement[];
  skipped: readonly { seq: number; reason: SkipReason }[];
  /** `outside`: it goes out as the campaign's registered template for people whose window is shut. */
  started: readonly { seq: number; outside: boolean }[];
  /** Queued rows that are to leave at this instant at the earliest. */
  postponed?: readonly { seq: number; notBefore: number }[];
}

/**
 * What came of a step beyond its settlements, which are always written down. `outdated`: a row that was to be started has been
 * settled by somebody else, through an echo or because it was withdrawn; nothing was started or left out. `halted`: so it is,
 * because the campaign is no longer to run.
 */
export type StepResult = 'done' | 'outdated' | 'halted';

export interface Settlement {
  seq: number;
  state: 'sent' | 'failed' | 'unknown' | 'queued';
  messageId?: string;
  error?: DeliveryError;
  /** The person has opted out of this account's messages. */
  optedOut?: true;
  /** For a row that goes back to the queue: not before this instant. */
  notBefore?: number;
  /** For a row that goes back through no fault of its own: the attempt does not count. */
  uncounted?: boolean;
}

export interface CampaignSummary {
  counts: Counts;
  /** Skipped rows by reason. */
  skip: Partial<Record<SkipReason, number>>;
  /** Failed and unknown rows by error code. */
  errors: Record<string, number>;
  /** Failed and unknown rows by the opener that had opened the person's window. */
  refusedByOpener: Record<string, number>;
  /** How rows fared by the opener of their person's window; under '' those of whom none is known. */
  byOpener: Record<string, Partial<Record<RowState, number>>>;
  /** Sent rows by the receipt that stands for them: who has read a message is not among those to whom it was delivered. */
  receipts: Partial<Record<ReceiptKind, number>>;
  /** Sent rows that were not delivered, by error code; under '' those for which no reason was given. */
  undelivered: Record<string, number>;
  /** How many of the rows were, or would be, sent as the campaign's `outside`. */
  outside: number;
  /** What differs from the approved plan: who was left out after all and why, and how many came in. */
  changed: { out: Partial<Record<SkipReason, number>>; in: number };
}

/** How many messages had an outcome in one span of time. */
export interface TimelineSpan {
  from: number;
  sent: number;
  failed: number;
  unknown: number;
}

export interface MessageFilter {
  campaign?: string;
  state?: RowState;
  userId?: string;
  /** Only those for which this receipt stands. */
  receipt?: ReceiptKind;
}

export interface MessageRow {
  campaign: string;
  seq: number;
  userId: string;
  values: readonly string[];
  state: RowState;
  reason: SkipReason | null;
  opener: Opener | null;
  /** Of a single message, when it expires. */
  closesAt: number | null;
  /** While it is queued, it is not sent before; null when it may be at once. */
  notBefore: number | null;
  attempts: number;
  startedAt: number | null;
  settledAt: number | null;
  messageId: string | null;
  error: DeliveryError | null;
  /** Whether it was, or would be, sent as the campaign's `outside`. */
  outside: boolean;
  /** The receipt that stands of those that came for a message. */
  receipt: { kind: ReceiptKind; at: number; error: DeliveryError | null } | null;
}

// ---------------------------------------------------------------------------------------------------- what comes in

/** Whose callbacks these are; each signs in a way of its own. */
export type CallbackService = 'meta' | 'cams' | 'twilio';

/** An account of the configuration, as callbacks name it. */
export interface InboundAccount {
  /** Its `senderKey`. */
  key: string;
  channel: Channel;
  /** Page id, Instagram account id or phone number; an Instagram account behind a Page may go by either of two. */
  ids: readonly string[];
}

/** The body of a callback whose signature was right, as it came. It is kept until it has been worked through. */
export interface NewDelivery {
  service: CallbackService;
  /** The `senderKey` of each account that its signature may speak for. */
  accounts: readonly string[];
  /** For Twilio, the path and query that it came to, a space, and the body. */
  body: string;
  receivedAt: number;
}

export interface Delivery extends NewDelivery {
  /** Grows in the order of arrival. */
  number: number;
}

/** Something that a person did and that opens their window; a flow may answer it. */
export interface UserEvent extends OpenerEvent {
  /** The `senderKey` of the account to which it happened. */
  account: string;
  /** The same whenever the service tells of the same event. */
  id: string;
  /** What they wrote; null where there is no text. */
  text: string | null;
  /** What the button, quick reply or m.me link that they tapped stands for; null where they tapped none. */
  payload: string | null;
  /** Another app has the conversation at the moment, and answers it. */
  standby?: true;
}

/** Why a delivery, or something in it, could not be used. */
export type DeadReason =
  | 'not_json'
  | 'too_deep'
  | 'not_a_webhook'
  | 'unknown_account'
  | 'malformed'
  | 'from_the_future'
  | 'over_limit'
  /** To hear it came to an error: a fault in pagecast. */
  | 'failed';

/** What a delivery says, by account. */
export interface DeliveryContent {
  events: UserEvent[];
  echoes: (Echo & { account: string })[];
  receipts: (Receipt & { account: string })[];
  /** Those that the service itself tells of; what people write is looked at apart. */
  optOuts: OptOutChange[];
  /** Everything that is none of these, by kind. */
  ignored: Partial<Record<string, number>>;
  /** The gravest of what is wrong with it; null when nothing is. What is right in it counts all the same. */
  dead: DeadReason | null;
}

/** What is to be done about a delivery. */
export interface HeardDelivery extends Omit<DeliveryContent, 'ignored'> {
  delivery: Delivery;
  singles: readonly NewSingle[];
  /** Queued when these have opted out by this delivery who had not before. */
  confirmations: readonly NewSingle[];
}

/** What came of it. */
export interface HeardResult {
  openersMoved: number;
  rowsSettled: number;
  receiptsMatched: number;
  /** One for each of its singles, then one for each confirmation that was called for. */
  singles: QueuedSingle[];
}

/** A delivery that could not be used, or not in full. */
export interface DeadLetter {
  receivedAt: number;
  service: CallbackService;
  reason: DeadReason;
  /** Its beginning. */
  body: string;
}

export interface OptOut {
  userId: string;
  since: number;
  source: OptOutSource;
}

/** How far the windows of an account have been read from the platform. */
export interface WindowSync {
  /** When the listing that is under way, or was the last, began. */
  startedAt: number;
  /** Where it goes on; null when it has come to its end. */
  cursor: Cursor | null;
  /** All that was written before this instant, and later than one window ago, has been read; null before the first time. */
  readUntil: number | null;
}

/**
 * The ledger, the windows and the opt-outs. Operations are by intent; every write of a run is fenced by its lease. An
 * account is named by its `senderKey`.
 */
export interface Store {
  /** Moves windows forward, never back. @returns how many moved */
  recordOpeners(account: string, events: readonly OpenerEvent[]): Promise<number>;
  /** The last event of each opener of one user. */
  openersOf(account: string, userId: string): Promise<LastOpener[]>;
  /** Those who did something last, the latest first, with the last event of theirs that counts. */
  recentPeople(account: string, window: WindowSettings, limit: number): Promise<({ userId: string } & LastOpener)[]>;
  /** Everybody with a window for this account, in batches. */
  people(account: string): AsyncIterable<string[]>;
  /** How far windows have been read from the platform; null when they never were. */
  windowSync(account: string): Promise<WindowSync | null>;
  keepWindowSync(account: string, sync: WindowSync): Promise<void>;
  /** What is known of each of these people, in their order; only enabled openers count. */
  standings(account: string, userIds: readonly string[], window: WindowSettings): Promise<Standing[]>;

  /** Opens a plan. It is seen by nobody else, and gone with the connection, until it is approved. */
  draft(plan: NewCampaign): Promise<void>;
  stage(plan: string, rows: readonly StagedRow[]): Promise<void>;
  /** The queued rows of a plan in the order in which they will be sent: closing time, then sheet order. To be read to its end. */
  order(plan: string): AsyncIterable<QueuePlace[]>;
  /** The queued rows of a plan, in the order of the sheet. To be read before the plan changes again. */
  stagedQueue(plan: string): AsyncIterable<StagedRow[]>;
  /** @returns how many of them were queued */
  leaveOut(plan: string, seqs: readonly number[], reason: SkipReason): Promise<number>;
  /** Has queued rows of a plan sent as its `outside`, after everybody whose window will close. */
  moveOutside(plan: string, seqs: readonly number[]): Promise<void>;
  discard(plan: string): Promise<void>;
  /** The newest campaign with this content that was approved, or sent anything, since then. */
  sentBefore(account: string, digest: string, since: number): Promise<Campaign | null>;
  /**
   * Makes a plan a campaign: `ready`, or `scheduled` when it has a time.
   * @returns why not; null when it is one now
   * @throws Failure RECURRENCE_UNKNOWN for an occurrence of one that has ended meanwhile
   */
  approve(plan: string, approval: Approval): Promise<Refusal | null>;

  /** Writes down how rows stand at the time of sending. @throws Failure CAMPAIGN_STATE, LEASE_LOST unless `scheduled` */
  replan(lease: Lease, campaign: string, rows: readonly ReplannedRow[]): Promise<void>;
  /** The queued rows of a campaign in the order of sending. To be read to its end. */
  queue(campaign: string): AsyncIterable<QueuePlace[]>;
  /** Ends a campaign that waited too long: what is queued is left out. @throws Failure CAMPAIGN_STATE, LEASE_LOST */
  expire(lease: Lease, campaign: string, now: number): Promise<void>;
  /** Lets a campaign stand still, whoever runs it: a run sees it with its next step. @throws Failure CAMPAIGN_STATE */
  pause(campaign: string, now: number): Promise<void>;
  /** Lets a paused campaign wait for its time again. @throws Failure CAMPAIGN_STATE */
  reschedule(campaign: string): Promise<void>;
  /** Ends a campaign, whoever runs it: what is queued is left out. @returns how many were @throws Failure CAMPAIGN_STATE */
  cancel(campaign: string, now: number): Promise<number>;

  /**
   * Marks a campaign running.
   * @param seen how the campaign was when it was decided to start it: what somebody has done since then counts more
   * @throws Failure CAMPAIGN_STATE, LEASE_LOST
   */
  start(lease: Lease, campaign: string, now: number, seen?: Pick<Campaign, 'state' | 'stop'>): Promise<void>;
  /** The next rows to send, in order. */
  next(campaign: string, limit: number, now: number): Promise<QueuedRow[]>;
  /** When the first row that waits for another attempt may be tried; null when none waits. */
  nextAttemptAt(campaign: string): Promise<number | null>;
  /**
   * Writes a step durably.
   * @throws Failure LEASE_LOST
   */
  record(lease: Lease, campaign: string, step: RunStep, now: number): Promise<StepResult>;
  /** Ends a run. A campaign becomes `finished` only when nothing is queued or started. */
  conclude(
    lease: Lease,
    campaign: string,
    end: { state: 'finished' | 'paused' | 'running' } | { state: 'stopped'; stop: NonNullable<Campaign['stop']> },
    now: number,
  ): Promise<void>;
  /**
   * Puts rows back into the queue; only ever at a person's wish.
   * @throws Failure COUNT_DIFFERS, and changes nothing, when one of them is no longer in the state it was seen in
   */
  requeue(lease: Lease, campaign: string, rows: readonly RequeuedRow[]): Promise<void>;

  /**
   * Keeps what came back of our messages. A row that was attempted is `sent`, whatever was thought of it; one that is under
   * way will be, whatever its answer, and also when its owner dies before that. @returns how many rows were settled by it
   */
  recordEchoes(account: string, echoes: readonly Echo[], now: number): Promise<number>;
  /**
   * Adds receipts to rows that are `sent`. One that names its campaign does what an echo does as well: a row that was
   * attempted is `sent`, whatever was thought of it, and one that is under way will be; only a row that failed stays so when
   * the receipt tells of a failure too. Of all receipts for a row one stands, in whatever order they came (core/receipt.ts).
   * Whoever has opted out by one counts as opted out since the message was sent, whenever the receipt comes.
   * @returns how many belonged to a row, and how many settled one
   */
  recordReceipts(
    account: string,
    receipts: readonly Receipt[],
    now: number,
  ): Promise<{ matched: number; settled: number }>;
  /** Keeps what came in durably, in its order, until it is heard. */
  receive(deliveries: readonly NewDelivery[]): Promise<void>;
  /** The oldest deliveries that wait to be heard; fewer where they are large, but one at least. */
  received(limit: number): Promise<Delivery[]>;
  /** How many deliveries wait to be heard. */
  backlog(): Promise<number>;
  /**
   * Does what is to be done about deliveries and takes them out, in one step for all of them. An event of Twilio, which does
   * not tell when it happened, is heard once, however often it is delivered within 90 days. Of those that have failed a
   * dead letter is kept; of all dead letters the newest so many, and none for more than thirty days.
   * @returns for each of them what came of it; null where somebody else has heard it already, and nothing was done
   */
  hear(heard: readonly HeardDelivery[], now: number): Promise<(HeardResult | null)[]>;
  /** Of those that came since then, the newest first. */
  deadLetters(since: number, limit: number): Promise<DeadLetter[]>;
  /** How many dead letters of those that came since then are kept, by reason. */
  deadLetterCounts(since: number): Promise<Partial<Record<DeadReason, number>>>;

  /** Whether people opted out or back in; the latest of what each has done counts, in whatever order it is told. @returns how many changed */
  changeOptOuts(changes: readonly OptOutChange[]): Promise<number>;
  /** Those who have opted out, in batches. */
  optOuts(account: string): AsyncIterable<OptOut[]>;

  /** Queues single messages, in one step. @returns what came of each, in their order */
  queueSingles(singles: readonly NewSingle[], now: number): Promise<QueuedSingle[]>;
  /**
   * The single messages of an account that may be sent now, those that have been due for longest first.
   * @param except none of these campaigns
   */
  nextSingles(account: string, limit: number, now: number, except?: readonly string[]): Promise<SingleRow[]>;
  /** When the next single message of an account may be sent, in the past where one waits; null when none is queued. */
  singlesDueAt(account: string): Promise<number | null>;
  /** Leaves a single message out as `cancelled`. @returns false when it is no longer queued */
  withdrawSingle(row: RowMark, now: number): Promise<boolean>;
  /** One row of a campaign; null when there is none. */
  message(row: RowMark): Promise<MessageRow | null>;
  /** The language of the template that a person was last sent by an account; null for none. Free text has none. */
  lastLanguage(account: string, userId: string): Promise<string | null>;
  /** When a message of a flow to the person was last queued that was not left out; null when none was. */
  lastAutomatic(account: string, userId: string): Promise<number | null>;

  /**
   * Settles rows whose outcome was unknown; others stay as they are. A campaign that had finished and has rows to send
   * again is `paused`; of one that was cancelled or has expired such rows are left out, and of a continuous one as
   * `cancelled`, because nobody waits for them any more.
   */
  resolve(lease: Lease, campaign: string, rows: readonly Resolution[], now: number): Promise<void>;

  addRecurrence(recurrence: Recurrence): Promise<void>;
  recurrences(): Promise<Recurrence[]>;
  /** Moves on from the occurrence that was next; nothing happens when it is no longer the next. */
  passOccurrence(id: string, from: number, last: NonNullable<Recurrence['last']>, nextAt: number | null): Promise<void>;
  /** Ends a recurrence. @returns whether it was there and had not ended */
  endRecurrence(id: string): Promise<boolean>;

  campaign(id: string): Promise<Campaign | null>;
  /** Newest first. */
  campaigns(): Promise<Campaign[]>;
  campaignOf(occurrence: Occurrence): Promise<Campaign | null>;
  /** The one campaign with this key. */
  campaignWithKey(key: string): Promise<Campaign | null>;
  /** Those that have not ended, oldest first. @param account all accounts unless given */
  openCampaigns(account?: string): Promise<Campaign[]>;
  summary(campaign: string): Promise<CampaignSummary>;
  /** Outcomes over time, in spans of this length; spans without any are left out. */
  timeline(campaign: string, spanMs: number): Promise<TimelineSpan[]>;
  messages(filter: MessageFilter): AsyncIterable<MessageRow[]>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------- engine

/** A lease is to be renewed so often: an engine lets it go only after at least two renewals were missed. */
export const RENEW_EVERY_MS = 5000;

/** The right to send for an account. The fence grows with every owner, so that a former owner's late writes fail. */
export interface Lease {
  account: string;
  fence: number;
  /** Until this instant the messages of owners before count, so that the pace holds across runs. */
  freeAt: number;
  /** How many messages that are; Infinity where nobody knows. */
  taken: number;
}

/** Who works on which account. */
export interface Engine {
  /**
   * Takes an account. Of the rows that a dead owner left `started` those whose echo has come become `sent`, the others
   * `unknown`. @returns null while somebody else has it
   */
  own(account: string, now: number): Promise<Lease | null>;
  /** @throws Failure LEASE_LOST */
  renew(lease: Lease, now: number): Promise<void>;
  /**
   * A rest that ends later than what former owners asked for stands in its place.
   * @param taken how many messages count until `freeAt` for the next owner, those of former owners among them
   */
  release(lease: Lease, freeAt: number, taken: number): Promise<void>;
  /** Has a worker look at an account at that instant, or as soon as there is one. Outlives every process. */
  wake(account: string, at: number): Promise<void>;
  /**
   * Has accounts looked at when they are to be woken: several side by side, one account never twice at a time. An account
   * stays due until `attend` has come back, so a worker that dies in between leaves it to the next.
   * @param attend does what is due for the account; returns when it is to be looked at again, null for not before it is woken
   * @param once whether to end when nothing is due, rather than wait for the signal
   */
  serve(
    attend: (account: string) => Promise<number | null>,
    options: { clock: Clock; signal: AbortSignal; once: boolean },
  ): Promise<void>;
}
