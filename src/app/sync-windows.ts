/**
 * Moves windows forward by what the platform shows of an account's conversations: page by page, from the newest one down to
 * where nothing can open a window any more.
 *
 * What a page tells is durable before the next one is read, and so is the place where to go on: whoever stops this, and
 * however, loses one page at most. Nothing is sent and windows only ever move forward, so no lease is taken: two of these at
 * once each keep a place that is true of what they have read themselves, and whichever is kept last, nothing is passed over.
 * Only their calls add up; the platform then asks for a rest, which is waited through.
 */
import { backoffMs, MAX_PAUSE_MS, MAX_PAUSES, type DeliveryError, type StopCause } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import { PLATFORM_ID } from '../core/user-id.js';
import { CLOCK_SKEW_MS, type WindowSettings } from '../core/window.js';
import type {
  Account,
  CallFailure,
  Clock,
  ConversationsPage,
  OpenerEvent,
  Provider,
  Random,
  ShownConversation,
  Store,
  WindowSync,
} from '../ports.js';
import { conversationTurn, isUnanswered } from './conversation-calls.js';

/** How often a page is asked for that cannot be read. */
const MAX_TRIES = 3;

export interface SyncWorld {
  store: Pick<Store, 'recordOpeners' | 'windowSync' | 'keepWindowSync'>;
  provider: Provider;
  clock: Clock;
  random: Random;
}

export interface SyncRequest {
  account: Account;
  window: WindowSettings;
  /** Reads a whole window's length again, whatever was read before. */
  restart?: boolean;
  /** Aborted: no further page is read. */
  signal: AbortSignal;
  onProgress?: (progress: SyncProgress) => void;
}

/** Conversations that were read before count again only when something has been written in them since. */
export interface SyncCounts {
  /** Always adds up: `inside + closed + hidden`. */
  conversations: number;
  /** The person wrote within the length of a window. */
  inside: number;
  /** The person surely wrote nothing within the length of a window. */
  closed: number;
  /** Of these it cannot be told. */
  hidden: number;
  /** Windows that were opened or moved forward. */
  moved: number;
  pages: number;
  calls: number;
}

export interface SyncProgress extends SyncCounts {
  /** How much longer it takes, were messages spread evenly over time; null while nothing can be said. */
  leftMs: number | null;
  /** How long the rest is that has just begun; 0 when it goes on at once. */
  waitingMs: number;
}

export interface SyncResult extends SyncCounts {
  end: SyncEnd;
  /** Whether it went on where one before it had been interrupted. */
  resumed: boolean;
  /** Why one that had been interrupted was begun anew; null when none was. */
  anew: 'too_old' | 'stale_cursor' | null;
  /** As in WindowSync: since when there may be messages that were not read. */
  readUntil: number | null;
}

export type SyncEnd =
  { kind: 'finished' } | { kind: 'interrupted' } | { kind: 'stopped'; cause: StopCause; error: DeliveryError };

/** @throws Failure PROVIDER_UNAVAILABLE, STORE_… */
export async function syncWindows(world: SyncWorld, request: SyncRequest): Promise<SyncResult> {
  const { name } = request.account;
  if (!world.provider.conversations) {
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      `Conversations cannot be listed through the provider of ${name}.`,
      `Import logged webhooks or a CSV instead: pagecast window import FILE --account ${name}`,
    );
  }
  return new Sync(world, request, world.provider.conversations.bind(world.provider)).toEnd();
}

type ReadPage = NonNullable<Provider['conversations']>;
type Page = Extract<ConversationsPage, { kind: 'read' }>;

class Sync {
  readonly #world: SyncWorld;
  readonly #request: SyncRequest;
  readonly #readPage: ReadPage;
  readonly #account: string;
  readonly #windowMs: number;
  readonly #counts: SyncCounts = { conversations: 0, inside: 0, closed: 0, hidden: 0, moved: 0, pages: 0, calls: 0 };
  #resumed = false;
  #anew: SyncResult['anew'] = null;
  #readUntil: number | null = null;

  constructor(world: SyncWorld, request: SyncRequest, readPage: ReadPage) {
    this.#world = world;
    this.#request = request;
    this.#readPage = readPage;
    this.#account = senderKey(request.account);
    this.#windowMs = request.window.hours * 3_600_000;
  }

  /**
   * Lists once, and then again what has been written since that began: a conversation moves to the top with each message,
   * and so past a listing that is on its way down. It is over when a listing finds nothing new, or comes no nearer to that.
   */
  async toEnd(): Promise<SyncResult> {
    let sync = (await this.#interrupted()) ?? this.#fromTop();
    let before: number | null = null;
    for (;;) {
      const listed = await this.#list(sync);
      if (listed === 'stale') {
        this.#resumed = false;
        this.#anew = 'stale_cursor';
        before = null;
      } else if ('kind' in listed) return this.#result(listed);
      else if (sync.cursor !== null) before = Infinity;
      else {
        const { pages, moved } = listed;
        // One page shows all conversations at the same moment: nothing has moved past it.
        const isSettled = pages === 1 || (before !== null && (moved === 0 || pages >= before));
        if (isSettled) return this.#result({ kind: 'finished' });
        before = pages;
      }
      sync = this.#fromTop();
    }
  }

  /** @returns where the last one was interrupted; null when it came to its end, or is of no use any more */
  async #interrupted(): Promise<WindowSync | null> {
    if (this.#request.restart === true) return null;
    const kept = await this.#world.store.windowSync(this.#account);
    if (kept === null) return null;
    const now = this.#world.clock.now();
    // One from the future was kept by a clock that was wrong: what it says was read may never have been.
    const isTrue = (instant: number): boolean => instant <= now;
    this.#readUntil = kept.readUntil !== null && isTrue(kept.readUntil) ? kept.readUntil : null;
    if (kept.cursor === null) return null;
    // What is further down was written before it began, so by now all of that is outside.
    if (!isTrue(kept.startedAt) || now - kept.startedAt >= this.#windowMs) {
      this.#anew = 'too_old';
      return null;
    }
    this.#resumed = true;
    return { ...kept, readUntil: this.#readUntil };
  }

  #fromTop(): WindowSync {
    return { startedAt: this.#world.clock.now(), cursor: null, readUntil: this.#readUntil };
  }

  /**
   * Lists conversations from a place on down to where nothing new is to be found.
   * @returns how many pages that took and how many windows it moved, or why it did not get there; `stale` when the platform
   * no longer knows the place
   */
  async #list(from: WindowSync): Promise<{ pages: number; moved: number } | 'stale' | SyncEnd> {
    const { store, clock } = this.#world;
    const progress = new ListingProgress(clock, from);
    const { pages: pagesBefore, moved: movedBefore } = this.#counts;
    let sync = from;
    for (;;) {
      const page = await this.#page(sync);
      if (page === 'stale' || page.kind !== 'read') return page;
      const { nothingBefore, isPast } = await this.#take(page.conversations, sync.readUntil);
      this.#counts.pages += 1;
      const isAtEnd = page.next === null || isPast;
      if (isAtEnd) this.#readUntil = sync.startedAt;
      sync = { startedAt: sync.startedAt, cursor: isAtEnd ? null : page.next, readUntil: this.#readUntil };
      await store.keepWindowSync(this.#account, sync);
      this.#tell(isAtEnd ? 0 : progress.leftMs(page.conversations, nothingBefore));
      if (isAtEnd) return { pages: this.#counts.pages - pagesBefore, moved: this.#counts.moved - movedBefore };
    }
  }

  /** Reads one page, however often it has to be asked for. */
  async #page(sync: WindowSync): Promise<Page | 'stale' | SyncEnd> {
    const { clock, random } = this.#world;
    let pauses = 0;
    let tries = 0;
    for (;;) {
      if (this.#request.signal.aborted) return { kind: 'interrupted' };
      const answer = await this.#readPage(sync.cursor, this.#oldestInside(), () => this.#turn()).catch(thrown);
      const page = answer.kind === 'read' && answer.next !== null && answer.next === sync.cursor ? STUCK : answer;
      if (page.kind === 'read') return page;
      const { error, stop, pauseMs } = page;
      if (stop !== undefined) return { kind: 'stopped', cause: stop, error };
      let rest: number;
      if (pauseMs !== undefined) {
        pauses += 1;
        rest = Math.max(pauseMs, backoffMs(pauses, random.next()));
        if (rest > MAX_PAUSE_MS || pauses > MAX_PAUSES) {
          return { kind: 'stopped', cause: error.code === 'CONNECTION_REFUSED' ? 'network' : 'rate_limit', error };
        }
      } else {
        tries += 1;
        if (this.#isStale(sync, error, tries)) return 'stale';
        if (tries >= MAX_TRIES) return { kind: 'stopped', cause: 'network', error };
        rest = backoffMs(tries, random.next());
      }
      this.#tell(null, rest);
      await clock.sleep(rest, this.#request.signal);
    }
  }

  /**
   * Whether it is the place that the platform does not take. How it says so is not documented: 100 is its error for what is
   * wrong with a parameter, and a place from an earlier sync is suspected of whatever else the platform keeps answering. Once:
   * if it is not that, beginning at the top does not help.
   */
  #isStale({ cursor }: WindowSync, error: DeliveryError, tries: number): boolean {
    if (cursor === null || this.#anew === 'stale_cursor') return false;
    if (/^100(\/|$)/.test(error.code)) return true;
    return this.#counts.pages === 0 && tries >= MAX_TRIES && !isUnanswered(error);
  }

  /**
   * Records who wrote when.
   * @returns before when nothing is of interest, and whether a page shows nothing else. A page of that, rather than one
   * conversation, is the margin for an order that the platform does not promise; one without any conversation shows nothing.
   */
  async #take(
    conversations: readonly ShownConversation[],
    readUntil: number | null,
  ): Promise<{ nothingBefore: number; isPast: boolean }> {
    const { store, clock } = this.#world;
    const now = clock.now();
    const oldest = this.#oldestInside();
    const nothingBefore = Math.max(oldest, (readUntil ?? -Infinity) - CLOCK_SKEW_MS);
    const openers: OpenerEvent[] = [];
    for (const { userId, updatedAt, userWroteAt, complete } of conversations) {
      // A window that was opened in the future would never move back.
      const isUsable = userId !== null && PLATFORM_ID.test(userId) && (userWroteAt ?? now) <= now + CLOCK_SKEW_MS;
      if (isUsable && userWroteAt !== null) openers.push({ userId, openedAt: userWroteAt, opener: 'message' });
      const wasReadBefore = readUntil !== null && updatedAt < readUntil;
      if (wasReadBefore) continue;
      this.#counts.conversations += 1;
      if (updatedAt < oldest) this.#counts.closed += 1;
      else if (!isUsable) this.#counts.hidden += 1;
      else if ((userWroteAt ?? -Infinity) > now - this.#windowMs) this.#counts.inside += 1;
      else this.#counts[complete ? 'closed' : 'hidden'] += 1;
    }
    this.#counts.moved += await store.recordOpeners(this.#account, openers);
    const isPast = conversations.length > 0 && conversations.every(({ updatedAt }) => updatedAt < nothingBefore);
    return { nothingBefore, isPast };
  }

  /** What was written before this opens no window now, whatever the platform's clock shows. */
  #oldestInside(): number {
    return this.#world.clock.now() - this.#windowMs - CLOCK_SKEW_MS;
  }

  async #turn(): Promise<void> {
    await conversationTurn(this.#world.clock);
    this.#counts.calls += 1;
  }

  #tell(leftMs: number | null, waitingMs = 0): void {
    this.#request.onProgress?.({ ...this.#counts, leftMs, waitingMs });
  }

  #result(end: SyncEnd): SyncResult {
    return { ...this.#counts, end, resumed: this.#resumed, anew: this.#anew, readUntil: this.#readUntil };
  }
}

/** Tells from how far back in time a listing has come how much longer it takes. */
class ListingProgress {
  readonly #clock: Clock;
  /** Where it was in time, and when that was; null until the first page of one that was interrupted. */
  #from: { at: number; tick: number } | null;

  constructor(clock: Clock, { startedAt, cursor }: WindowSync) {
    this.#clock = clock;
    this.#from = cursor === null ? { at: startedAt, tick: clock.monotonic() } : null;
  }

  leftMs(conversations: readonly ShownConversation[], nothingBefore: number): number | null {
    if (conversations.length === 0) return null;
    const reached = conversations.reduce((oldest, { updatedAt }) => Math.min(oldest, updatedAt), Infinity);
    const tick = this.#clock.monotonic();
    this.#from ??= { at: reached, tick };
    const gone = this.#from.at - reached;
    if (gone <= 0) return null;
    return Math.max(0, ((tick - this.#from.tick) * (reached - nothingBefore)) / gone);
  }
}

/** A listing that goes round in circles would never end. */
const STUCK: CallFailure = {
  kind: 'failed',
  error: { code: 'REPLY_UNREADABLE', message: 'The listing of conversations goes on where it was.' },
};

/** A provider must not throw; if one does, nothing was read. */
function thrown(error: unknown): ConversationsPage {
  const name = error instanceof Error ? error.name : 'Error';
  return { kind: 'failed', error: { code: 'REPLY_UNREADABLE', message: `The provider broke (${name}).` } };
}
