/**
 * What can be read of a Page or an Instagram account. Here: its conversations, one person's or all of them, as the
 * Conversations API shows them (conversations, 11 February 2026).
 */
import { PLATFORM_ID } from '../core/user-id.js';
import type {
  CallFailure,
  ConversationsPage,
  Cursor,
  Lookup,
  Provider,
  ShownConversation,
  ShownMessage,
} from '../ports.js';
import { checkAccount } from './graph-account.js';
import {
  createGraphCalls,
  cursorAfter,
  endsAll,
  forOne,
  graphTime,
  isCursor,
  pathPart,
  textId,
  type Answer,
  type GraphAccess,
  type GraphCalls,
} from './graph-calls.js';
import { createTemplate, readTemplates } from './graph-templates.js';
import { isRecord, unreadable } from './service-reply.js';

type Reading = Pick<Provider, 'conversation' | 'conversations' | 'templates' | 'createTemplate' | 'verify'>;
type Node = Record<string, unknown>;
type Turn = () => Promise<void>;

export function createGraphReading(access: GraphAccess): Reading {
  const calls = createGraphCalls(access);
  const account = new AccountIds(calls, access);
  return {
    conversation: (userId, since, turn) => {
      const read: Read = async (path, parameters) => {
        await turn();
        return calls.get(path, parameters, userId);
      };
      return readConversation(read, access, userId, since);
    },
    conversations: (cursor, since, turn) => listConversations(calls, access, account, { cursor, since, turn }),
    // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
    ...(access.channel === 'messenger' && {
      templates: (name) => readTemplates(calls, access, name),
      createTemplate: (template) => createTemplate(calls, access.pageId, template),
    }),
    verify: () => checkAccount(calls, access),
  };
}

// ------------------------------------------------------------------------------------------------- one person's

/**
 * Details are given for the newest twenty messages of a conversation; of older ones only that they are there (conversations,
 * 11 February 2026).
 */
const READABLE_MESSAGES = 20;
/** Graph may give a page fewer items than were asked for. */
const MAX_PAGES = 3;
const MESSAGE_FIELDS = 'id,created_time,from,message';

type Read = (path: string, parameters: Record<string, string>) => Promise<Answer>;

/** A message as it is listed; `shown` when the platform has also said who wrote it, and what. */
interface Listed {
  id: string;
  at: number;
  shown: ShownMessage | null;
}

/**
 * Reads the newest messages of one person's conversation: its id first, then its messages with their details, which the
 * platform's pages get one by one. Field expansion (`messages{from}`) is ordinary Graph syntax and saves nearly all of these
 * calls, but is not shown there, so each message whose details did not come with the list is asked for by itself.
 */
async function readConversation(
  read: Read,
  { pageId, channel }: GraphAccess,
  userId: string,
  since: number,
): Promise<Lookup> {
  const found = await read(`${pageId}/conversations`, {
    platform: channel,
    user_id: userId,
    fields: `id,${expansion()}`,
  });
  if ('error' in found) return found;
  const threads = Array.isArray(found.node['data']) ? found.node['data'].filter(isRecord) : [];
  const [thread] = threads;
  // Whoever may be written to has a conversation. One that is not shown (Instagram hides old requests) proves nothing.
  if (thread === undefined) return { kind: 'read', messages: [], complete: false };
  const id = pathPart(thread['id']);
  if (id === null) return unreadable('The conversation has no id.');
  // The times that come back are cut to a whole second.
  const from = Math.floor(since / 1000) * 1000;
  const list = await listMessages((fields) => read(id, { fields }), thread, userId, from);
  if ('error' in list) return forOne(list);

  for (const message of list.messages.slice(0, READABLE_MESSAGES)) {
    const part = pathPart(message.id);
    if (message.shown !== null || message.at < from || part === null) continue;
    const detail = await read(part, { fields: MESSAGE_FIELDS });
    if ('node' in detail) message.shown = listedMessage(detail.node, userId)?.shown ?? null;
    // One that has been deleted, or is too old by now, only leaves a gap.
    else if (endsAll(detail)) return detail;
  }
  return {
    kind: 'read',
    messages: list.messages.flatMap(({ shown }) => shown ?? []),
    complete:
      threads.length === 1 && list.isWhole && list.messages.every(({ at, shown }) => shown !== null || at < from),
  };
}

/**
 * Lists the newest messages of a conversation back to an instant, or as far as the platform gives their details.
 * @param more reads fields of the conversation
 * @param thread what is known of it already
 * @returns `isWhole`: whether nothing since then is missing
 */
async function listMessages(
  more: (fields: string) => Promise<Answer>,
  thread: Record<string, unknown>,
  userId: string,
  from: number,
): Promise<{ messages: Listed[]; isWhole: boolean } | CallFailure> {
  const messages: Listed[] = [];
  let isSound = true;
  let answer = thread;
  for (let pages = 1; ; pages += 1) {
    if (!isRecord(answer['messages'])) {
      const first = await more(expansion());
      if ('error' in first) return first;
      answer = first.node;
    }
    const { data, paging } = isRecord(answer['messages']) ? answer['messages'] : {};
    if (!Array.isArray(data)) return unreadable('The conversation has no messages.');
    for (const node of data) {
      const message = listedMessage(node, userId);
      // Newest first, says the page on conversations. Where that does not hold, nothing tells where a list may end.
      if (message === null || message.at > (messages.at(-1)?.at ?? Infinity)) isSound = false;
      if (message !== null) messages.push(message);
    }
    const last = messages.at(-1);
    // A conversation without any message is not what anybody had.
    if (last === undefined) return { messages, isWhole: false };
    if (last.at < from) return { messages, isWhole: isSound };
    if (messages.length >= READABLE_MESSAGES) return { messages, isWhole: false };
    const after = cursorAfter(paging);
    if (after === null) return { messages, isWhole: isSound };
    if (pages >= MAX_PAGES || after === undefined) return { messages, isWhole: false };
    const next = await more(expansion(after));
    if ('error' in next) return next;
    answer = next.node;
  }
}

/** @param after the cursor of the page before */
function expansion(after?: string): string {
  const place = after === undefined ? '' : `.after(${after})`;
  return `messages.limit(${READABLE_MESSAGES})${place}{${MESSAGE_FIELDS}}`;
}

/** @returns null for what is no message with an id and a time */
function listedMessage(node: unknown, userId: string): Listed | null {
  if (!isRecord(node)) return null;
  const messageId = textId(node['id']);
  const at = graphTime(node['created_time']);
  if (messageId === null || at === null) return null;
  const author = isRecord(node['from']) ? textId(node['from']['id']) : null;
  const text = typeof node['message'] === 'string' ? node['message'] : null;
  // Two take part. On Instagram the account's own id differs from the Page's, so only the person's tells who wrote.
  return { id: messageId, at, shown: author === null ? null : { messageId, text, at, fromAccount: author !== userId } };
}

// ------------------------------------------------------------------------------------------------- all of them

/**
 * How many conversations a page has. No page says how many there may be; this many fit into a reply, each with the messages
 * that are asked for with it.
 */
const LISTED = 50;
/** More than were asked for is not the platform's answer. */
const MOST_LISTED = 2 * LISTED;
/** Whoever wrote last is mostly among these; the other conversations are read one by one. */
const SHOWN_WITH_LIST = 5;
/** A message as far as a listing shows it. */
interface Seen {
  id: string;
  at: number;
  /** Null where only the message's id and time are shown. */
  author: string | null;
}

interface Thread {
  /** As a part of a path; null for one that cannot be asked for. */
  id: string | null;
  updatedAt: number;
  /** Ids of those who take part; empty where they are not shown. */
  participants: readonly string[];
  /** Newest first, if `isSound`. */
  messages: Seen[];
  isSound: boolean;
  /** Whether there are no older ones. */
  isWhole: boolean;
}

/**
 * Reads one page of all conversations with whom they are with and when that person last wrote. Where the listing itself does
 * not show that of a conversation that has gone on since `since`, its messages are asked for, and where those come without
 * their authors, the messages one by one.
 */
async function listConversations(
  calls: GraphCalls,
  { pageId, channel }: GraphAccess,
  account: AccountIds,
  { cursor, since, turn }: { cursor: Cursor | null; since: number; turn: Turn },
): Promise<ConversationsPage> {
  if (cursor !== null && !isCursor(cursor)) return unreadable('The listing cannot go on there.');
  await turn();
  const page = await calls.get(`${pageId}/conversations`, {
    platform: channel,
    fields: `updated_time,${details(SHOWN_WITH_LIST)}`,
    limit: String(LISTED),
    ...(cursor !== null && { after: cursor }),
  });
  if ('error' in page) return page;
  const { data, paging } = page.node;
  if (!Array.isArray(data) || data.length > MOST_LISTED)
    return unreadable('The answer holds no list of conversations.');
  const next = cursorAfter(paging);
  // A listing that does not move on would never end.
  if (next === undefined || (next !== null && next === cursor)) {
    return unreadable('The platform does not say where its listing of conversations goes on.');
  }
  const threads: Thread[] = [];
  for (const node of data as unknown[]) {
    const thread = listedThread(node);
    if (thread === null) return unreadable('A conversation is listed without its time.');
    threads.push(thread);
  }
  // The times that come back are cut to a whole second.
  const from = Math.floor(since / 1000) * 1000;
  const failure = await account.learn(threads, turn);
  if (failure) return failure;
  const ended = await readDetails(calls, account, threads, from, turn);
  if (ended) return ended;
  return { kind: 'read', conversations: threads.map((thread) => shownOf(thread, account, from)), next };
}

/**
 * Reads what the listing did not show, one call after the other. In a Graph batch each part counts as a call as well, and they
 * arrive all at once: more than two of them within a second, whatever turns were waited for.
 * @returns why the whole page cannot be read; null mostly
 */
async function readDetails(
  calls: GraphCalls,
  account: AccountIds,
  threads: readonly Thread[],
  from: number,
  turn: Turn,
): Promise<CallFailure | null> {
  /** @returns null also for what concerns this one alone: it stays as little known as it was */
  const read = async (id: string, fields: string, take: (node: Node) => void): Promise<CallFailure | null> => {
    await turn();
    const answer = await calls.get(id, { fields });
    if ('node' in answer) take(answer.node);
    return 'error' in answer && endsAll(answer) ? answer : null;
  };
  for (const thread of threads) {
    if (thread.id === null || shownOf(thread, account, from).complete) continue;
    // One whose participants are shown, and still do not tell the person, would not tell them the second time either.
    if (thread.participants.length > 0 && account.personOf(thread) === null) continue;
    const fields = details(READABLE_MESSAGES);
    const ended = await read(thread.id, fields, (node) => takeDetails(thread, node, READABLE_MESSAGES));
    if (ended) return ended;
  }
  const failure = await account.learn(threads, turn);
  if (failure) return failure;
  for (const thread of threads) {
    const person = account.personOf(thread);
    // From the newest message back to the person's own, or to the time that was asked for.
    for (const message of person === null ? [] : thread.messages.slice(0, READABLE_MESSAGES)) {
      if (message.at < from) break;
      const id = pathPart(message.id);
      if (message.author === null && id !== null) {
        const ended = await read(id, 'created_time,from', (node) => (message.author = authorOf(node)));
        if (ended) return ended;
      }
      if (message.author === person) break;
    }
  }
  return null;
}

/** What a conversation comes to, by what has been read of it. */
function shownOf(thread: Thread, account: AccountIds, from: number): ShownConversation {
  const { updatedAt, messages, isSound, isWhole } = thread;
  const userId = account.personOf(thread);
  const theirs = userId === null ? [] : messages.filter(({ author }) => author === userId);
  const [newest] = theirs;
  // A conversation without any message is not what anybody had.
  const reaches = newest !== undefined || messages.some(({ at }) => at < from) || (isWhole && messages.length > 0);
  const later = messages.slice(0, newest === undefined ? undefined : messages.indexOf(newest));
  const isClear = isSound && reaches && later.every(({ at, author }) => author !== null || at < from);
  return {
    userId,
    updatedAt,
    userWroteAt: newest === undefined ? null : Math.max(...theirs.map(({ at }) => at)),
    complete: updatedAt < from || (userId !== null && isClear),
  };
}

/** @returns null for what is no conversation with a time */
function listedThread(node: unknown): Thread | null {
  const updatedAt = isRecord(node) ? graphTime(node['updated_time']) : null;
  if (!isRecord(node) || updatedAt === null) return null;
  const thread = { id: pathPart(node['id']), updatedAt, participants: [], messages: [], isSound: true, isWhole: false };
  takeDetails(thread, node, SHOWN_WITH_LIST);
  return thread;
}

/**
 * Puts what a node shows in the place of what was known.
 * @param count how many messages were asked for
 */
function takeDetails(thread: Thread, node: Node, count: number): void {
  const participants = isRecord(node['participants']) ? node['participants']['data'] : undefined;
  if (Array.isArray(participants)) thread.participants = participants.flatMap((each) => idOf(each) ?? []);
  if (!isRecord(node['messages']) || !Array.isArray(node['messages']['data'])) return;
  thread.messages = [];
  thread.isSound = true;
  for (const each of node['messages']['data'] as unknown[]) {
    const at = isRecord(each) ? graphTime(each['created_time']) : null;
    const id = idOf(each);
    if (!isRecord(each) || at === null || id === null || at > (thread.messages.at(-1)?.at ?? Infinity)) {
      thread.isSound = false;
    }
    if (isRecord(each) && at !== null && id !== null) {
      thread.messages.push({ id, at, author: authorOf(each) });
    }
  }
  thread.isWhole = cursorAfter(node['messages']['paging']) === null && thread.messages.length < count;
}

function idOf(node: unknown): string | null {
  return isRecord(node) ? textId(node['id']) : null;
}

function authorOf(node: Node): string | null {
  return idOf(node['from']);
}

/** The path and the fields that tell an Instagram account's own ids. */
function ownIds(access: GraphAccess): [string, Record<string, string>] {
  return access.login === 'instagram'
    ? ['me', { fields: 'user_id' }]
    : [access.pageId, { fields: 'instagram_business_account' }];
}

/** @param count how many of the newest messages */
function details(count: number): string {
  return `participants,messages.limit(${count}){created_time,from}`;
}

/**
 * The ids under which the account itself takes part in conversations. On Messenger that is the Page's; on Instagram it is an
 * id that the Page's settings do not name, so it is learned: it is the one that all conversations share.
 */
class AccountIds {
  readonly #calls: GraphCalls;
  readonly #access: GraphAccess;
  readonly #own: Set<string>;
  #hasAsked = false;

  constructor(calls: GraphCalls, access: GraphAccess) {
    this.#calls = calls;
    this.#access = access;
    this.#own = new Set([access.pageId]);
  }

  /** @returns null where that does not become clear */
  personOf({ participants }: Thread): string | null {
    const [person, ...others] = this.#others(participants);
    return person !== undefined && others.length === 0 && PLATFORM_ID.test(person) ? person : null;
  }

  /** @returns why the platform cannot be asked now; null when nothing stands in the way */
  async learn(threads: readonly Thread[], turn: Turn): Promise<CallFailure | null> {
    if (this.#access.channel !== 'instagram') return null;
    const pairs = this.#pairs(threads);
    if (pairs.length === 0) return null;
    const shared = [...(pairs[0] ?? [])].filter((id) => pairs.every((pair) => pair.includes(id)));
    if (pairs.length > 1 && shared.length === 1) this.#own.add(shared[0] ?? '');
    if (this.#hasAsked || this.#pairs(threads).length === 0) return null;
    await turn();
    const answer = await this.#calls.get(...ownIds(this.#access));
    if ('error' in answer && answer.pauseMs !== undefined) return answer;
    this.#hasAsked = true;
    if ('error' in answer) return null;
    const { id, user_id: userId, instagram_business_account: linked } = answer.node;
    for (const own of [textId(id), textId(userId), idOf(linked)]) if (own !== null) this.#own.add(own);
    return null;
  }

  /** Pairs of which it is not known who is the account. */
  #pairs(threads: readonly Thread[]): string[][] {
    return threads.map(({ participants }) => this.#others(participants)).filter((others) => others.length === 2);
  }

  #others(participants: readonly string[]): string[] {
    return [...new Set(participants)].filter((id) => !this.#own.has(id));
  }
}
