/** Windows that are read from the platform: all of them, however often that is interrupted, and never more calls than allowed. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  syncWindows,
  type SyncCounts,
  type SyncProgress,
  type SyncRequest,
  type SyncResult,
  type SyncWorld,
} from '../../src/app/sync-windows.js';
import { senderKey } from '../../src/core/sender.js';
import { windowState, type LastOpener } from '../../src/core/window.js';
import type {
  Account,
  AccountCheck,
  CallFailure,
  Clock,
  ConversationsPage,
  Cursor,
  OpenerEvent,
  OutgoingMessage,
  Provider,
  ShownConversation,
  Store,
} from '../../src/ports.js';
import { openProvider } from '../../src/providers/index.js';
import { startSandbox } from '../../src/sandbox/server.js';
import { FakeClock } from '../support/fake-clock.js';
import { failure, mostWithin } from '../support/fake-provider.js';
import {
  account,
  accountKey,
  DAY,
  exactWindow,
  failureOf,
  fixedRandom,
  HOUR,
  MINUTE,
  NOW,
  openLedger,
  user,
} from '../support/fixtures.js';
import { machineClock } from '../support/provider-contract.js';

type Author = 'person' | 'account';

/** A Page's conversations as the platform lists them: whatever is written moves its conversation to the top. */
class Inbox implements Provider {
  readonly capabilities = { registeredTemplates: false, lookup: false, maxBatch: () => 1 };
  /** When each call arrived. */
  readonly calls: number[] = [];
  readonly asked: { cursor: Cursor | null; since: number }[] = [];
  pageSize = 10;
  /** How long a call takes to get there, and its answer to come back. */
  latency = { there: 15, back: 25 };
  /** What a cursor stands for: how many conversations came before it, or the last of them. */
  cursors: 'place' | 'last' = 'last';
  /** Answers a call, from 1, in place of the listing. */
  script: (nth: number, cursor: Cursor | null) => ConversationsPage | 'throws' | undefined = () => undefined;
  /** What happens while a call, from 1, is under way. */
  during: (nth: number) => void = () => undefined;
  readonly #clock: FakeClock;
  readonly #written = new Map<string, { at: number; by: Author }[]>();
  readonly #coming: { at: number; userId: string; by: Author }[] = [];
  #listing: (ShownConversation & { userId: string })[] | null = null;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** The platform shows whole seconds. */
  write(userId: string, at: number, by: Author = 'person'): void {
    this.#coming.push({ userId, at: Math.floor(at / 1000) * 1000, by });
  }

  /** When this person wrote, up to now. */
  times(userId: string): number[] {
    this.#arrive();
    return (this.#written.get(userId) ?? []).filter(({ by }) => by === 'person').map(({ at }) => at);
  }

  async conversations(cursor: Cursor | null, since: number, turn: () => Promise<void>): Promise<ConversationsPage> {
    await turn();
    this.asked.push({ cursor, since });
    const nth = this.asked.length;
    this.during(nth);
    await this.#clock.sleep(this.latency.there);
    this.calls.push(this.#clock.unset());
    const page = this.script(nth, cursor) ?? this.#page(cursor);
    await this.#clock.sleep(this.latency.back);
    if (page === 'throws') throw new TypeError('a fault in the provider');
    return page;
  }

  send(): never {
    throw new Error('a sync sends nothing');
  }

  verify(): Promise<AccountCheck[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #page(cursor: Cursor | null): ConversationsPage {
    this.#arrive();
    const all = this.#list();
    const [updatedAt = '', userId = ''] = (cursor ?? '').split(' ');
    const from =
      cursor === null
        ? 0
        : this.cursors === 'place'
          ? Number(cursor)
          : all.findIndex((one) => isAfter(one, { updatedAt: Number(updatedAt), userId }));
    const conversations = from < 0 ? [] : all.slice(from, from + this.pageSize);
    const last = conversations.at(-1);
    const end = from + conversations.length;
    const next = last === undefined || end >= all.length ? null : `${last.updatedAt} ${last.userId}`;
    return { kind: 'read', conversations, next: next !== null && this.cursors === 'place' ? String(end) : next };
  }

  #arrive(): void {
    const now = this.#clock.unset();
    const rest = this.#coming.filter(({ at }) => at > now);
    if (rest.length === this.#coming.length) return;
    for (const { at, userId, by } of this.#coming) {
      if (at <= now) this.#written.set(userId, [...(this.#written.get(userId) ?? []), { at, by }]);
    }
    this.#coming.splice(0, Infinity, ...rest);
    this.#listing = null;
  }

  #list(): (ShownConversation & { userId: string })[] {
    this.#listing ??= [...this.#written]
      .map(([userId, messages]) => {
        const theirs = messages.filter(({ by }) => by === 'person').map(({ at }) => at);
        return {
          userId,
          updatedAt: Math.max(...messages.map(({ at }) => at)),
          userWroteAt: theirs.length === 0 ? null : Math.max(...theirs),
          complete: true,
        };
      })
      .sort((one, other) => (isAfter(one, other) ? 1 : -1));
    return this.#listing;
  }
}

type Place = Pick<ShownConversation, 'updatedAt'> & { userId: string };
const isAfter = (one: Place, other: Place): boolean =>
  one.updatedAt < other.updatedAt || (one.updatedAt === other.updatedAt && one.userId > other.userId);

interface Stage extends SyncWorld {
  store: Store;
  clock: FakeClock;
  provider: Inbox;
}

/** So many people who wrote one after the other, the first a minute ago. */
function stage(people = 0, everyMs = MINUTE): Stage {
  const clock = new FakeClock(NOW);
  const provider = new Inbox(clock);
  for (let index = 1; index <= people; index += 1) provider.write(user(index), NOW - index * everyMs);
  return { store: openLedger().store, clock, provider, random: fixedRandom() };
}

function sync(world: SyncWorld, change: Partial<SyncRequest> = {}): Promise<SyncResult> {
  return syncWindows(world, { account, window: exactWindow, signal: new AbortController().signal, ...change });
}

/** A sync that Ctrl-C ends while its nth call is under way. */
function interruptedAt(world: Stage, nth: number, change: Partial<SyncRequest> = {}): Promise<SyncResult> {
  const controller = new AbortController();
  const before = world.provider.asked.length;
  world.provider.during = (call) => {
    if (call === before + nth) controller.abort();
  };
  return sync(world, { signal: controller.signal, ...change });
}

async function known({ store }: Pick<Stage, 'store'>, ids: readonly string[], of = account): Promise<LastOpener[]> {
  const standings = await store.standings(senderKey(of), ids, exactWindow);
  return standings.flatMap(({ last }) => last ?? []);
}

const people = (count: number): string[] => Array.from({ length: count }, (_, index) => user(index + 1));
const fails = (code: string, more: Partial<CallFailure> = {}): CallFailure => ({
  kind: 'failed',
  error: failure(code),
  ...more,
});
const shows = (...conversations: ShownConversation[]): ConversationsPage => ({
  kind: 'read',
  conversations,
  next: null,
});
const conversation = (n: number, change: Partial<ShownConversation> = {}): ShownConversation => ({
  userId: user(n),
  updatedAt: NOW - HOUR,
  userWroteAt: NOW - HOUR,
  complete: true,
  ...change,
});

describe('a window sync', () => {
  it('opens the window of everybody who wrote, from the top to the bottom', async () => {
    const world = stage(25);
    expect(await sync(world)).toMatchObject({
      conversations: 25,
      inside: 25,
      closed: 0,
      hidden: 0,
      moved: 25,
      end: { kind: 'finished' },
      resumed: false,
      anew: null,
    });
    for (const [index, id] of people(25).entries()) {
      expect(await world.store.openersOf(accountKey, id)).toEqual([
        { opener: 'message', openedAt: NOW - (index + 1) * MINUTE },
      ]);
    }
  });

  it('asks for what a window can still be open by, and a little more for a clock that is wrong', async () => {
    const world = stage(3);
    await sync(world);
    const [{ cursor, since } = { cursor: '', since: 0 }] = world.provider.asked;
    expect([cursor, since]).toEqual([null, NOW - DAY - 5 * MINUTE]);
  });

  it.each<[string, Partial<ShownConversation>, keyof SyncCounts, boolean]>([
    ['the person wrote', {}, 'inside', true],
    ['the account wrote since', { updatedAt: NOW }, 'inside', true],
    ['the person wrote a day and a minute ago', { userWroteAt: NOW - DAY - MINUTE }, 'closed', true],
    ['only the account wrote', { userWroteAt: null }, 'closed', false],
    ['nobody wrote for days', { updatedAt: NOW - 3 * DAY, userWroteAt: null, complete: false }, 'closed', false],
    ['the account wrote so much that the rest is not shown', { userWroteAt: null, complete: false }, 'hidden', false],
    ['somebody wrote, but not who', { userId: null }, 'hidden', false],
    ['somebody has an id that is none', { userId: '../me' }, 'hidden', false],
    ['the person will write tomorrow', { userWroteAt: NOW + DAY }, 'hidden', false],
  ])('counts a conversation in which %s', async (_, change, as, isKnown) => {
    const world = stage();
    world.provider.script = () => shows(conversation(1, change));
    const result = await sync(world);
    const counts: SyncCounts = {
      ...{ conversations: 1, inside: 0, closed: 0, hidden: 0 },
      ...{ pages: 1, calls: 1 },
      moved: 0,
    };
    expect(result).toMatchObject({ ...counts, moved: isKnown ? 1 : 0, [as]: 1 });
    expect(await known(world, [user(1)])).toHaveLength(isKnown ? 1 : 0);
    if (change.userId !== undefined)
      await expect(world.store.people(accountKey)[Symbol.asyncIterator]().next()).resolves.toMatchObject({
        done: true,
      });
  });

  it('leaves a later opener as it is', async () => {
    const world = stage(3, HOUR);
    const later: OpenerEvent[] = [
      { userId: user(1), openedAt: NOW - MINUTE, opener: 'message' },
      { userId: user(2), openedAt: NOW - MINUTE, opener: 'reaction' },
    ];
    await world.store.recordOpeners(accountKey, later);
    expect((await sync(world)).moved).toBe(2);
    expect(await known(world, people(3))).toEqual([
      { openedAt: NOW - MINUTE, opener: 'message' },
      { openedAt: NOW - MINUTE, opener: 'reaction' },
      { openedAt: NOW - 3 * HOUR, opener: 'message' },
    ]);
  });

  it('ends with the first page on which nothing can open a window any more', async () => {
    // A page has 10: 24 people wrote within a day, the other six of the third page before that.
    const world = stage(500, HOUR);
    expect(await sync(world)).toMatchObject({ inside: 23, pages: 5, end: { kind: 'finished' } });
    expect(world.provider.asked.map(({ cursor }) => cursor === null)).toEqual([true, false, false, false, true]);
  });

  it('is not misled by one conversation that is out of order', async () => {
    const world = stage();
    world.provider.script = (nth) =>
      nth === 1
        ? {
            kind: 'read',
            conversations: [conversation(1, { updatedAt: NOW - 2 * DAY, userWroteAt: null }), conversation(2)],
            next: 'more',
          }
        : shows(conversation(3));
    await sync(world);
    expect(await known(world, [user(2), user(3)])).toHaveLength(2);
  });

  it('takes a page without conversations for no end', async () => {
    const world = stage();
    world.provider.script = (nth) =>
      nth === 1 ? { kind: 'read', conversations: [], next: 'more' } : shows(conversation(1));
    await sync(world);
    expect(await known(world, [user(1)])).toHaveLength(1);
  });

  it('finds a conversation that moves past it on its way down', async () => {
    const world = stage(40);
    // The last one of all: the account answers when the first page has been read, so it is not met further down.
    world.provider.write(user(40), NOW + 1000, 'account');
    await sync(world);
    expect(await known(world, [user(40)])).toEqual([{ openedAt: NOW - 40 * MINUTE, opener: 'message' }]);
  });

  it('comes to an end though somebody writes all the time', async () => {
    const world = stage();
    world.provider.script = (nth) => {
      const at = world.clock.now();
      const conversations = [conversation(nth, { updatedAt: at, userWroteAt: at })];
      return { kind: 'read', conversations, next: nth % 3 === 0 ? null : `after ${nth}` };
    };
    expect(await sync(world)).toMatchObject({ end: { kind: 'finished' }, moved: 6, calls: 6 });
  });

  it('is refused where conversations cannot be listed', async () => {
    const world = stage();
    const provider: Provider = {
      capabilities: world.provider.capabilities,
      send: () => world.provider.send(),
      verify: () => world.provider.verify(),
      close: () => world.provider.close(),
    };
    expect(await failureOf(sync({ ...world, provider }))).toBe('PROVIDER_UNAVAILABLE');
  });
});

describe('the next sync', () => {
  it('reads only what is newer, and counts nothing twice', async () => {
    const world = stage(100);
    const first = await sync(world);
    expect(await world.store.windowSync(accountKey)).toEqual({
      startedAt: first.readUntil,
      cursor: null,
      readUntil: first.readUntil,
    });
    world.clock.advance(HOUR);
    for (let index = 1; index <= 12; index += 1) world.provider.write(user(index), NOW + 10 * MINUTE);
    const next = await sync(world);
    expect(next).toMatchObject({ conversations: 12, inside: 12, moved: 12, pages: 4, resumed: false });
    // Nothing new at all costs one call.
    world.clock.advance(HOUR);
    expect(await sync(world)).toMatchObject({ conversations: 0, moved: 0, calls: 1 });
  });

  it('reads a little more than that, because clocks differ', async () => {
    const world = stage(100, 10_000);
    await sync(world);
    world.clock.advance(HOUR);
    // By the platform's clock that was before the last sync began, like more than a page of others.
    world.provider.write(user(101), NOW - 4 * MINUTE);
    await sync(world);
    expect(await known(world, [user(101)])).toHaveLength(1);
  });

  it('reads everything again when that is asked for', async () => {
    const world = stage(30);
    await sync(world);
    // What the platform shows only now.
    world.provider.write(user(40), NOW - HOUR);
    await sync(world);
    expect(await known(world, [user(40)])).toEqual([]);
    expect(await sync(world, { restart: true })).toMatchObject({ conversations: 31, moved: 1, anew: null });
    expect(await known(world, [user(40)])).toHaveLength(1);
  });

  it('does not believe what a clock that was ahead has kept', async () => {
    const world = stage(30);
    world.clock.jump(2 * HOUR);
    await sync(world);
    world.clock.jump(-2 * HOUR);
    world.clock.advance(HOUR);
    world.provider.write(user(40), NOW + MINUTE);
    await sync(world);
    expect(await known(world, [user(40)])).toHaveLength(1);
  });
});

describe('an interrupted sync', () => {
  it('keeps what was read and goes on there, then reads what has come in meanwhile', async () => {
    const world = stage(60);
    expect(await interruptedAt(world, 3)).toMatchObject({
      end: { kind: 'interrupted' },
      pages: 3,
      moved: 30,
      readUntil: null,
    });
    expect(await world.store.windowSync(accountKey)).toMatchObject({
      startedAt: NOW,
      cursor: expect.stringContaining(' ') as string,
      readUntil: null,
    });
    world.clock.advance(HOUR);
    world.provider.write(user(50), NOW + 30 * MINUTE);
    world.provider.write(user(70), NOW + 30 * MINUTE);
    const before = world.provider.asked.length;
    const result = await sync(world);
    expect(result).toMatchObject({ end: { kind: 'finished' }, resumed: true, anew: null, moved: 31 });
    expect(world.provider.asked.slice(before).map(({ cursor }) => cursor === null)).toEqual([
      ...[false, false, false],
      ...[true, false],
      true,
    ]);
    expect(await known(world, [user(50), user(70), user(60)])).toMatchObject([
      { openedAt: NOW + 30 * MINUTE },
      { openedAt: NOW + 30 * MINUTE },
      { openedAt: NOW - 60 * MINUTE },
    ]);
    expect(result.readUntil).toBeGreaterThan(NOW + HOUR);
  });

  it('is begun anew when it is older than a window', async () => {
    const world = stage(60);
    await interruptedAt(world, 3);
    world.clock.advance(DAY + HOUR);
    expect(await sync(world)).toMatchObject({
      resumed: false,
      anew: 'too_old',
      conversations: 10,
      closed: 10,
      calls: 1,
    });
  });

  it('is begun anew when that is asked for', async () => {
    const world = stage(60);
    await interruptedAt(world, 3);
    expect(await sync(world, { restart: true })).toMatchObject({ resumed: false, anew: null, conversations: 60 });
  });

  it.each<[string, (nth: number, cursor: Cursor | null) => CallFailure | undefined, number]>([
    ['at once', (_, cursor) => (cursor === 'k' ? fails('100/1234') : undefined), 1],
    ['by whatever else it keeps answering', (_, cursor) => (cursor === 'k' ? fails('1') : undefined), 3],
  ])('begins at the top when the platform says %s that it does not know the place', async (_, script, wasted) => {
    const world = stage(25);
    await world.store.keepWindowSync(accountKey, { startedAt: NOW - MINUTE, cursor: 'k', readUntil: null });
    world.provider.script = script;
    expect(await sync(world)).toMatchObject({
      end: { kind: 'finished' },
      resumed: false,
      anew: 'stale_cursor',
      moved: 25,
      calls: wasted + 3 + 2,
    });
  });

  it('does not begin at the top for ever', async () => {
    const world = stage(25);
    world.provider.script = (_, cursor) => (cursor === null ? undefined : fails('100'));
    const result = await sync(world);
    expect(result).toMatchObject({
      end: { kind: 'stopped', cause: 'network', error: { code: '100' } },
      anew: 'stale_cursor',
    });
    expect(result.calls).toBe(1 + 1 + 1 + 3);
  });

  it('does not take a bad network for a place that is gone', async () => {
    const world = stage(25);
    const kept = { startedAt: NOW - MINUTE, cursor: 'k', readUntil: null };
    await world.store.keepWindowSync(accountKey, kept);
    world.provider.script = () => fails('TIMEOUT');
    expect(await sync(world)).toMatchObject({ end: { kind: 'stopped', cause: 'network' }, resumed: true, calls: 3 });
    expect(await world.store.windowSync(accountKey)).toEqual(kept);
  });
});

describe('when the platform refuses', () => {
  it('waits as long as it is asked to, and goes on with the same page', async () => {
    const world = stage(25);
    world.provider.script = (nth) => (nth === 2 || nth === 3 ? fails('613', { pauseMs: 90_000 }) : undefined);
    const waits: number[] = [];
    const result = await sync(world, { onProgress: ({ waitingMs }) => waits.push(waitingMs) });
    expect(result).toMatchObject({ moved: 25, end: { kind: 'finished' } });
    expect(waits.filter((ms) => ms > 0)).toEqual([90_000, 90_000]);
    expect(world.provider.calls[3]! - world.provider.calls[1]!).toBeGreaterThanOrEqual(180_000);
    const [, second, third, fourth] = world.provider.asked;
    expect([third!.cursor, fourth!.cursor]).toEqual([second!.cursor, second!.cursor]);
  });

  it.each<[string, CallFailure, object, number]>([
    ['the token', fails('190/463', { stop: 'token' }), { cause: 'token', error: failure('190/463') }, 1],
    ['the permission', fails('200', { stop: 'permission' }), { cause: 'permission' }, 1],
    ['for too long a time', fails('80001', { pauseMs: 3_600_000 }), { cause: 'rate_limit' }, 1],
    ['again and again', fails('613', { pauseMs: 1000 }), { cause: 'rate_limit' }, 6],
    ['the connection', fails('CONNECTION_REFUSED', { pauseMs: 1000 }), { cause: 'network' }, 6],
    ['to make sense', fails('REPLY_UNREADABLE'), { cause: 'network' }, 3],
  ])('%s, it stops, and the next goes on', async (_, refusal, end, calls) => {
    const world = stage(25);
    world.provider.script = (nth) => (nth > 1 ? refusal : undefined);
    const result = await sync(world);
    expect(result.end).toMatchObject({ kind: 'stopped', ...end });
    expect(result).toMatchObject({ calls: 1 + calls, pages: 1, moved: 10 });
    world.provider.script = () => undefined;
    expect(await sync(world)).toMatchObject({ end: { kind: 'finished' }, resumed: true, moved: 15 });
  });

  it('tries a page again that could not be read', async () => {
    const world = stage(25);
    world.provider.script = (nth) => (nth === 2 ? 'throws' : nth === 3 ? fails('SERVER_ERROR') : undefined);
    expect(await sync(world)).toMatchObject({ end: { kind: 'finished' }, moved: 25 });
  });

  it('goes round no circle', async () => {
    const world = stage();
    world.provider.script = (nth) => ({ kind: 'read', conversations: [conversation(nth)], next: 'same' });
    expect(await sync(world)).toMatchObject({
      end: { kind: 'stopped', error: { code: 'REPLY_UNREADABLE' } },
      calls: 4,
    });
  });

  it('can be interrupted while it waits', async () => {
    const world = stage(25);
    world.provider.script = () => fails('613', { pauseMs: 100_000 });
    const controller = new AbortController();
    world.clock.at(NOW + 5000, () => controller.abort());
    expect(await sync(world, { signal: controller.signal })).toMatchObject({ end: { kind: 'interrupted' }, calls: 1 });
    expect(world.clock.now()).toBeLessThan(NOW + 6000);
  });
});

describe('what is told meanwhile', () => {
  it('is how much longer it takes, by how far back it has come', async () => {
    const world = stage(1000);
    const told: SyncProgress[] = [];
    await sync(world, { onProgress: (progress) => told.push(progress) });
    // 100 pages of ten minutes each, down to a day ago at most: it ends before.
    const { leftMs, conversations } = told[49]!;
    expect(conversations).toBe(500);
    expect(leftMs! / 1000).toBeCloseTo(((24 * 60 + 5 - 500) / 10) * 0.54, -1);
  });
});

/** The machine's clock, so many times as fast. */
function fastClock(times: number): Clock {
  const start = machineClock.now();
  const tick = machineClock.monotonic();
  const passed = (): number => (machineClock.monotonic() - tick) * times;
  return {
    now: () => Math.floor(start + passed()),
    monotonic: passed,
    sleep: (ms, signal) => machineClock.sleep(Math.ceil(ms / times), signal),
  };
}

describe('with the Graph provider and a sandbox that allows two calls a second', () => {
  it('reads all that the platform shows, and is never asked for a rest', async () => {
    const clock = fastClock(50);
    const users = people(120).map((id, index) => ({ id, opened_at: `-${index + 1}m` }));
    const limits = { perSecond: null, conversationsPerSecond: 2 };
    const sandbox = await startSandbox({ seed: { users, limits }, clock, random: fixedRandom() });
    onTestFinished(() => sandbox.close());
    const { page, url } = sandbox;
    const config = { channel: 'messenger', id: page.id, token: page.token, baseUrl: url } as const;
    const provider = openProvider('sandbox', config, clock);
    onTestFinished(() => provider.close());
    // Of the first ten it takes a closer look to see what they wrote, and of the last two of them that is not shown.
    const message: OutgoingMessage['message'] = { text: 'hello', buttons: [], quickReplies: [] };
    for (const [index, userId] of people(10).entries()) {
      const outgoing = Array.from({ length: index < 8 ? 7 : 25 }, () => ({
        userId,
        message,
        metadata: '',
        isReply: false,
      }));
      for (const one of outgoing) expect(await provider.send([one])).toMatchObject([{ kind: 'sent' }]);
    }
    const { store } = openLedger();
    const waits: number[] = [];
    const result = await sync(
      { store, provider, clock, random: fixedRandom() },
      { onProgress: ({ waitingMs }) => waits.push(waitingMs) },
    );
    expect(result).toMatchObject({ end: { kind: 'finished' }, inside: 118, hidden: 2, moved: 118 });
    expect(Math.max(...waits)).toBe(0);
    expect(await known({ store }, people(10))).toHaveLength(8);
  });
});

// ---------------------------------------------------------------------------------------------------- large, and random

class Killed extends Error {}

/** A process that is killed at one of its writes: before the write, or when it has been made. */
function dying(store: Store, at: number, when: 'before' | 'after'): SyncWorld['store'] {
  let writes = 0;
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    writes += 1;
    if (writes === at && when === 'before') throw new Killed();
    const done = await work();
    if (writes === at) throw new Killed();
    return done;
  };
  return {
    windowSync: (of) => store.windowSync(of),
    recordOpeners: (of, events) => write(() => store.recordOpeners(of, events)),
    keepWindowSync: (of, kept) => write(() => store.keepWindowSync(of, kept)),
  };
}

type Ending = 'Ctrl-C' | 'before' | 'after';

/** A sync that ends early, if it comes that far. */
async function cutShort(world: Stage, ending: Ending, at: number, of: Account): Promise<void> {
  if (ending === 'Ctrl-C') await interruptedAt(world, at, { account: of });
  else {
    await sync({ ...world, store: dying(world.store, at, ending) }, { account: of }).catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error;
    });
  }
  world.provider.during = () => undefined;
}

describe('whatever interrupts it', () => {
  it('reads 10,000 conversations at two calls a second', async () => {
    const world = stage(10_000, 8000);
    world.provider.pageSize = 25;
    const random = fixedRandom(7);
    const endings: Ending[] = ['Ctrl-C', 'before', 'after'];
    let lives = 0;
    for (let done = 0; done < 330; lives += 1) {
      const pages = 1 + Math.floor(random.next() * 60);
      await cutShort(world, endings[lives % 3]!, pages, account);
      done += endings[lives % 3] === 'Ctrl-C' ? pages : Math.floor(pages / 2);
      world.clock.advance(Math.floor(random.next() * 30_000));
    }
    expect(await sync(world)).toMatchObject({ end: { kind: 'finished' } });
    expect((await known(world, people(10_000))).length).toBe(10_000);
    expect(mostWithin(world.provider.calls, 1000)).toBeLessThanOrEqual(2);
    // An interruption costs a page at most; the last listing looks whether anything is new.
    expect(lives).toBeGreaterThan(5);
    expect(world.provider.calls.length).toBeLessThanOrEqual(400 + lives + 2);
  });

  it('comes to the same windows as one that nothing interrupts', async () => {
    const some = 40;
    const person = fc.integer({ min: 1, max: some });
    const author = fc.constantFrom<Author>('person', 'person', 'account');
    const written = fc.array(fc.tuple(person, fc.integer({ min: 0, max: 30 * HOUR }), author), { maxLength: 80 });
    const coming = fc.array(fc.tuple(person, fc.integer({ min: 0, max: 20_000 }), author), { maxLength: 30 });
    const gap = fc.oneof(fc.constant(0), fc.integer({ max: 5000, min: 0 }), fc.integer({ min: 0, max: 26 * HOUR }));
    const life = fc.tuple(fc.constantFrom<Ending>('Ctrl-C', 'before', 'after'), fc.integer({ min: 1, max: 16 }), gap);
    const { store } = openLedger();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(
        ...[written, coming, fc.array(life, { maxLength: 6 }), fc.constantFrom<'place' | 'last'>('place', 'last')],
        fc.integer({ min: 1, max: 7 }),
        async (before, meanwhile, lives, cursors, pageSize) => {
          round += 1;
          const one: Account = { ...account, id: `${round}1` };
          const other: Account = { ...account, id: `${round}2` };
          const clock = new FakeClock(NOW);
          const provider = new Inbox(clock);
          const world: Stage = { store, clock, provider, random: fixedRandom() };
          Object.assign(provider, { cursors, pageSize });
          for (const [who, ago, by] of before) provider.write(user(who), NOW - ago, by);
          for (const [who, at, by] of meanwhile) provider.write(user(who), NOW + at, by);
          for (const [ending, at, rest] of lives) {
            await cutShort(world, ending, at, one);
            clock.advance(rest);
          }
          clock.advance(Math.max(0, NOW + 20_000 - clock.now()));
          expect((await sync(world, { account: one })).end).toEqual({ kind: 'finished' });
          await sync(world, { account: other });

          const now = clock.now();
          const [read, expected] = await Promise.all(
            [one, other].map((of) => store.standings(senderKey(of), people(some), exactWindow)),
          );
          people(some).forEach((id, index) => {
            const last = read![index]!.last;
            const truth = expected![index]!.last;
            if (windowState(truth, now, exactWindow) === 'open') expect(last).toEqual(truth);
            else expect(windowState(last, now, exactWindow)).not.toBe('open');
            if (last) expect(provider.times(id)).toContain(last.openedAt);
          });
          expect(mostWithin(provider.calls, 1000)).toBeLessThanOrEqual(2);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('does no harm to another that goes on at the same time', async () => {
    const world = stage(200);
    const second = new Inbox(world.clock);
    for (let index = 1; index <= 200; index += 1) second.write(user(index), NOW - index * MINUTE);
    const controller = new AbortController();
    world.clock.at(NOW + 4000, () => controller.abort());
    const [whole, cut] = await Promise.all([
      sync(world),
      sync({ ...world, provider: second }, { signal: controller.signal }),
    ]);
    expect([whole.end.kind, cut.end.kind]).toEqual(['finished', 'interrupted']);
    expect(await known(world, people(200))).toHaveLength(200);
    // Whichever has kept its place last, the next one passes nothing over.
    world.provider.write(user(199), world.clock.now() - 1000);
    world.clock.advance(HOUR);
    await sync(world);
    expect(await known(world, [user(199)])).toMatchObject([{ openedAt: Math.max(...world.provider.times(user(199))) }]);
  });
});
