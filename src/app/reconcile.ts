/**
 * Finds out what became of rows whose outcome is unknown, by looking into each person's conversation; what a dead run has
 * left under way and an echo has come of is settled by taking the account. A row goes back to the queue only when its message is provably not there (a single message, for
 * which nobody waits any more, is left out then); whatever cannot be told stays unknown, with the reason.
 *
 * Each finding is durable before the next conversation is read. Whoever stops this, and however, loses nothing.
 */
import type { DeliveryError, StopCause } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { admit } from '../core/plan.js';
import { campaignContent, type CampaignContent } from '../core/campaign-content.js';
import { reachOf } from '../core/policy.js';
import { channelOf } from '../core/sender.js';
import { CLOCK_SKEW_MS, type WindowSettings } from '../core/window.js';
import {
  RENEW_EVERY_MS,
  type Campaign,
  type Clock,
  type Engine,
  type Lease,
  type Lookup,
  type MessageRow,
  type Provider,
  type Resolution,
  type ShownMessage,
  type Store,
} from '../ports.js';
import { CALL_EVERY_MS, conversationTurn, isUnanswered } from './conversation-calls.js';
import { ownAccount } from './own-account.js';

/** One that finds the conversation, one that reads it. */
const CALLS_FOR_ONE = 2;
/** When so many conversations in a row could not be read for want of an answer, the next one could not either. */
const UNANSWERED_IN_A_ROW = 3;

/** How old an unknown outcome must be before a message that is not shown is taken for not sent. */
export const DEFAULT_MIN_AGE_MS = 120_000;

/** Why a row stays unknown. */
export const UNSETTLED = [
  /** The platform may not show it yet. */
  'too_recent',
  /** The conversation could not be read. */
  'not_readable',
  /** It could not be read far enough back. */
  'incomplete',
  /** There is a message that may be this one, or may be another. */
  'ambiguous',
  /** The account's provider cannot read conversations. */
  'no_lookup',
  /** It came to an end before it was this row's turn. */
  'not_reached',
] as const;
export type Unsettled = (typeof UNSETTLED)[number];

export interface ReconcileWorld {
  store: Store;
  engine: Engine;
  provider: Provider;
  clock: Clock;
}

export interface ReconcileRequest {
  campaign: string;
  window: WindowSettings;
  minAgeMs: number;
  /** Aborted: no further conversation is read. */
  signal: AbortSignal;
  /** Told once, before anything is done. */
  onBegin?: (outlook: Outlook) => void;
  onProgress?: (progress: ReconcileCounts) => void;
}

export interface Outlook {
  unknown: number;
  /** How many of them an echo has settled by now. */
  echoed: number;
  /** How many conversations are to be read. */
  lookups: number;
  /** How long that takes at most, without the time that the platform takes to answer. */
  lookupsMs: number;
}

export interface ReconcileCounts {
  /** Rows whose outcome was unknown when it began, or that a dead run had left under way. */
  unknown: number;
  /** What became of them so far. */
  sent: { echo: number; conversation: number };
  /** Surely not sent, and queued again, or left out where nothing is sent any more. */
  queued: number;
  stays: Partial<Record<Unsettled, number>>;
}

export interface ReconcileResult extends ReconcileCounts {
  campaign: Campaign;
  /** Rows that are unknown now. */
  left: number;
  /** Why rows are `not_readable`, by the platform's code. */
  errors: Record<string, { count: number; error: DeliveryError }>;
  /** What ended it early; null when every row had its turn. */
  end: { kind: 'interrupted' } | { kind: 'stopped'; cause: StopCause; error: DeliveryError } | null;
}

/** @throws Failure ACCOUNT_BUSY, CAMPAIGN_UNKNOWN, LEASE_LOST, STORE_… */
export async function reconcile(world: ReconcileWorld, request: ReconcileRequest): Promise<ReconcileResult> {
  const { store, engine, clock } = world;
  const campaign = await store.campaign(request.campaign);
  if (!campaign) throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${request.campaign}.`);
  let open = 0;
  const lease = await ownAccount(world, campaign, request.signal, async () => {
    const { counts } = await store.summary(campaign.id);
    open = counts.unknown + counts.started;
  });
  const heartbeat = new Heartbeat(engine, clock, lease);
  try {
    return await new Reconciliation(world, request, campaign, lease, heartbeat).toEnd(open);
  } finally {
    heartbeat.stop();
    // Nothing was sent, so the rest that the last run asked for stays as it was. A lease that was lost must not hide why.
    await engine.release(lease, lease.freeAt, lease.taken).catch(() => undefined);
  }
}

class Reconciliation {
  readonly #world: ReconcileWorld;
  readonly #request: ReconcileRequest;
  readonly #campaign: Campaign;
  readonly #lease: Lease;
  readonly #heartbeat: Heartbeat;
  readonly #contents: Contents;
  readonly #counts: ReconcileCounts = { unknown: 0, sent: { echo: 0, conversation: 0 }, queued: 0, stays: {} };
  readonly #errors: ReconcileResult['errors'] = {};
  #unansweredInARow = 0;

  constructor(
    world: ReconcileWorld,
    request: ReconcileRequest,
    campaign: Campaign,
    lease: Lease,
    heartbeat: Heartbeat,
  ) {
    this.#world = world;
    this.#request = request;
    this.#campaign = campaign;
    this.#lease = lease;
    this.#heartbeat = heartbeat;
    this.#contents = new Contents(world.store, campaign.account);
  }

  /** @param open how many rows were unknown or under way right before the account was taken */
  async toEnd(open: number): Promise<ReconcileResult> {
    const { store, provider } = this.#world;
    const { id } = this.#campaign;
    // With the account owned, nothing is under way any more, and nothing but echoes and receipts changes a row.
    const { unknown } = (await store.summary(id)).counts;
    this.#counts.unknown = Math.max(open, unknown);
    this.#counts.sent.echo = this.#counts.unknown - unknown;
    const lookups = provider.capabilities.lookup ? unknown : 0;
    this.#request.onBegin?.({
      unknown: this.#counts.unknown,
      echoed: this.#counts.sent.echo,
      lookups,
      lookupsMs: lookups * CALLS_FOR_ONE * CALL_EVERY_MS,
    });
    const end = await this.#lookInto();
    const left = (await store.summary(id)).counts.unknown;
    const { sent, queued, stays } = this.#counts;
    const staying = Object.values(stays).reduce((sum, count) => sum + count, 0);
    const unreached = Math.max(0, left - staying);
    if (unreached > 0) stays[provider.capabilities.lookup ? 'not_reached' : 'no_lookup'] = unreached;
    // Whatever else there was, an echo has settled meanwhile.
    sent.echo += Math.max(0, this.#counts.unknown - sent.echo - sent.conversation - queued - staying - unreached);
    const campaign = (await store.campaign(id)) ?? this.#campaign;
    return { ...this.#counts, campaign, left, errors: this.#errors, end };
  }

  async #lookInto(): Promise<ReconcileResult['end']> {
    const { store, provider, clock } = this.#world;
    if (!provider.capabilities.lookup || !provider.conversation) return null;
    for await (const rows of store.messages({ campaign: this.#campaign.id, state: 'unknown' })) {
      for (const row of rows) {
        if (this.#request.signal.aborted) return { kind: 'interrupted' };
        this.#heartbeat.check();
        // An echo may have settled it since the rows were read, minutes ago.
        if ((await store.message(row))?.state !== 'unknown') continue;
        const since = earliest(row, this.#campaign);
        const lookup = await provider.conversation(row.userId, since, () => conversationTurn(clock)).catch(thrown);
        if (lookup.kind === 'failed') {
          this.#failed(lookup.error);
          const cause = this.#endsAll(lookup);
          if (cause !== null) return { kind: 'stopped', cause, error: lookup.error };
        } else {
          this.#unansweredInARow = 0;
          await this.#judge(row, lookup);
        }
        this.#request.onProgress?.(this.#counts);
      }
    }
    return null;
  }

  async #judge(row: MessageRow, lookup: Extract<Lookup, { kind: 'read' }>): Promise<void> {
    const { clock } = this.#world;
    const finding = await this.#find(row, lookup.messages);
    if (finding !== null && finding !== 'ambiguous') {
      await this.#settle([{ seq: row.seq, to: 'sent', messageId: finding.messageId }]);
      this.#counts.sent.conversation += 1;
    } else if (finding === 'ambiguous') this.#stays('ambiguous');
    else if (!lookup.complete) this.#stays('incomplete');
    // Counted from when the outcome became unknown: until then the message could still leave, as after a machine's sleep.
    else if (clock.now() - Math.max(row.startedAt ?? 0, row.settledAt ?? 0) < this.#request.minAgeMs) {
      this.#stays('too_recent');
    } else {
      await this.#settle([{ seq: row.seq, to: 'queued', closesAt: await this.#closesAt(row) }]);
      this.#counts.queued += 1;
    }
  }

  /**
   * Looks for a row's message among those of its conversation.
   * @returns null when it is surely not one of these
   */
  async #find(row: MessageRow, messages: readonly ShownMessage[]): Promise<ShownMessage | 'ambiguous' | null> {
    const written = messages.filter((message) => message.fromAccount).sort((one, other) => one.at - other.at);
    if (written.length === 0) return null;
    // What another row has is not this one's. Asked for only now, because most conversations hold nothing to compare.
    const taken = new Set<string>();
    const others: MessageRow[] = [];
    for await (const some of this.#world.store.messages({ userId: row.userId })) {
      for (const other of some) {
        if (other.campaign === row.campaign && other.seq === row.seq) continue;
        if (other.messageId !== null) taken.add(other.messageId);
        else if (other.state === 'unknown' || other.state === 'started') others.push(other);
      }
    }
    const free = written.filter((message) => !taken.has(message.messageId));
    const { text, isPlain } = (await this.#contents.of(row)) ?? UNTELLABLE;
    const isSame = (message: ShownMessage): boolean =>
      text !== null && message.text !== null && comparable(message.text) === text;
    const since = earliest(row, this.#campaign);
    const mine = free.filter((message) => message.at >= since && isSame(message));
    const [first] = mine;
    if (first) {
      // As many messages as there are rows for them: whichever has which, each was sent.
      const rivals = await this.#rivals(others, text, mine);
      return mine.length > rivals ? first : 'ambiguous';
    }
    const mayBeMine = (message: ShownMessage): boolean =>
      message.at >= since
        ? // Only beside plain text is another text surely another message. Of buttons, media and registered templates it is
          // not documented what is shown.
          message.text === null || !isPlain
        : // Too early for this attempt by the clocks; but a clock may be wrong, and an attempt before this one unknown, too.
          isSame(message);
    return free.some(mayBeMine) ? 'ambiguous' : null;
  }

  /** How many other rows without a known outcome may have one of these messages: the same text, from another campaign. */
  async #rivals(
    others: readonly MessageRow[],
    text: string | null,
    messages: readonly ShownMessage[],
  ): Promise<number> {
    let rivals = 0;
    for (const other of others) {
      const since = earliest(other, null);
      const content = await this.#contents.of(other);
      if (content?.text === text && messages.some((message) => message.at >= since)) rivals += 1;
    }
    return rivals;
  }

  /**
   * Until when the person's window is open now. Where it is shut, the run that comes to the row leaves it out. A single
   * message is not sent again, so it keeps what it has.
   */
  async #closesAt(row: MessageRow): Promise<number | null> {
    const { store, clock } = this.#world;
    const { account, state } = this.#campaign;
    const { window } = this.#request;
    if (state === 'continuous') return row.closesAt;
    const [standing] = await store.standings(account, [row.userId], window);
    const known = standing ?? { last: null, optedOutAt: null };
    const admission = admit(known, clock.now(), window, reachOf(this.#campaign, channelOf(account)));
    return admission.reason === null ? admission.closesAt : row.closesAt;
  }

  async #settle(rows: readonly Resolution[]): Promise<void> {
    const { store, clock } = this.#world;
    await store.resolve(this.#lease, this.#campaign.id, rows, clock.now());
  }

  #stays(reason: Unsettled): void {
    this.#counts.stays[reason] = (this.#counts.stays[reason] ?? 0) + 1;
  }

  #failed(error: DeliveryError): void {
    this.#stays('not_readable');
    const known = (this.#errors[error.code] ??= { count: 0, error });
    known.count += 1;
  }

  /** @returns why no other conversation can be read either; null when one can */
  #endsAll({ error, stop, pauseMs }: Extract<Lookup, { kind: 'failed' }>): StopCause | null {
    if (stop !== undefined) return stop;
    if (pauseMs !== undefined) return error.code === 'CONNECTION_REFUSED' ? 'network' : 'rate_limit';
    this.#unansweredInARow = isUnanswered(error) ? this.#unansweredInARow + 1 : 0;
    return this.#unansweredInARow >= UNANSWERED_IN_A_ROW ? 'network' : null;
  }
}

/** Keeps the account while a call hangs: it may take longer than the lease lasts. */
class Heartbeat {
  readonly #over = new AbortController();
  #error: Error | null = null;

  constructor(engine: Engine, clock: Clock, lease: Lease) {
    const beat = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(RENEW_EVERY_MS, this.#over.signal);
        if (this.#over.signal.aborted) return;
        await engine.renew(lease, clock.now());
      }
    };
    void beat().catch((error: unknown) => {
      this.#error = error instanceof Error ? error : new Error('The account could not be kept.', { cause: error });
    });
  }

  /** @throws Failure LEASE_LOST, STORE_… */
  check(): void {
    if (this.#error) throw this.#error;
  }

  stop(): void {
    this.#over.abort();
  }
}

/** What a row's message looks like in a conversation. */
interface Content {
  /** As `comparable` has it; null for a message without text. */
  text: string | null;
  /** Whether it is nothing but text, so that the platform shows it as it was sent. */
  isPlain: boolean;
}

const UNTELLABLE: Content = { text: null, isPlain: false };

/** Renders rows of any campaign of an account. */
class Contents {
  readonly #store: Store;
  readonly #account: string;
  readonly #byCampaign = new Map<string, CampaignContent | null>();

  constructor(store: Store, account: string) {
    this.#store = store;
    this.#account = account;
  }

  /** @returns null for a row of another account: an id like this one is somebody else there */
  async of(row: MessageRow): Promise<Content | null> {
    let content = this.#byCampaign.get(row.campaign);
    if (content === undefined) {
      const campaign = await this.#store.campaign(row.campaign);
      content = campaign?.account === this.#account ? campaignContent(campaign) : null;
      this.#byCampaign.set(row.campaign, content);
    }
    if (content === null) return null;
    const { text = '', media, buttons, registered, cards } = content.render(row.values, row.outside);
    const compared = comparable(text);
    if (compared === '') return UNTELLABLE;
    return { text: compared, isPlain: !media && !registered && !cards && buttons.length === 0 };
  }
}

/**
 * A text as it is compared. Platforms may trim white space, compose accents and replace what is no character; which of these
 * this one does is not documented, and a message taken for another's would be sent twice.
 */
function comparable(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\ufe0f\ufffd\s]+/gu, ' ')
    .normalize('NFC')
    .trim();
}

/** From when on a row's message may be in the conversation, by the platform's clock. */
function earliest({ startedAt, settledAt }: MessageRow, campaign: Campaign | null): number {
  return (startedAt ?? campaign?.startedAt ?? settledAt ?? 0) - CLOCK_SKEW_MS;
}

/** A provider must not throw; if one does, nothing is known of the conversation. */
function thrown(error: unknown): Lookup {
  const name = error instanceof Error ? error.name : 'Error';
  return { kind: 'failed', error: { code: 'REPLY_UNREADABLE', message: `The provider broke (${name}).` } };
}
