/**
 * The Conversations API over what users and the Page wrote (conversations, 11 February 2026). Reactions, links and comments
 * leave no message in a conversation.
 */
import { parseFields, textOf, type Field } from './graph-call.js';
import type { Journal } from './journal.js';
import type { Found } from './refusals.js';
import type { ActKind, SandboxPage, SandboxUser } from './seed.js';

type Node = Record<string, unknown>;

interface Written {
  at: number;
  id: string;
  text: string;
}

interface Message extends Written {
  fromUser: boolean;
}

/** Details are given for the newest twenty messages of a conversation. */
const READABLE_MESSAGES = 20;
const PAGE_SIZE = 25;
const MOST_LISTED = 100;
/** Listings whose pages can still be asked for. */
const KEPT_LISTINGS = 8;
/** The platform's own address holds the caller's token; nobody should follow this one. */
const NEXT = 'https://graph.facebook.com/next-page';

export class Conversations {
  readonly #page: SandboxPage;
  readonly #journal: Journal;
  readonly #users: ReadonlyMap<string, SandboxUser>;
  /** What users wrote while the sandbox ran. */
  readonly #written = new Map<string, Written[]>();
  /** Conversations as they stood when a listing began: its pages must not shift while new messages come in. */
  readonly #listings = new Map<number, string[]>();
  #begun = 0;

  constructor(page: SandboxPage, journal: Journal, users: ReadonlyMap<string, SandboxUser>) {
    this.#page = page;
    this.#journal = journal;
    this.#users = users;
  }

  /** @param message its id as `writtenMid` makes one */
  write(user: string, message: Written): void {
    this.#written.set(user, [...(this.#written.get(user) ?? []), message]);
  }

  /** The id of what a user wrote last; null when they never wrote. */
  lastWrittenMid(user: string): string | null {
    return this.#writtenBy(user).at(-1)?.id ?? null;
  }

  /** Newest first. */
  list(params: Node): Found {
    const fields = parseFields(textOf(params['fields']) || 'id,updated_time');
    if (fields === null) return { fault: 'Syntax error in param fields' };
    const { platform = 'messenger', user_id: user } = params;
    if (platform !== this.#page.channel) return { body: { data: [] } };
    if (typeof user === 'string') {
      return this.#nodes(Number.isFinite(this.#updatedAt(user)) ? [user] : [], fields);
    }
    const limit = Math.min(MOST_LISTED, Math.max(1, Number(params['limit']) || PAGE_SIZE));
    const cursor = params['after'];
    const place = cursor === undefined ? { listing: this.#begin(), start: 0 } : placeOf(textOf(cursor));
    const listed = place && this.#listings.get(place.listing);
    if (!listed) return { fault: 'Invalid cursor' };
    const { listing, start } = place;
    const end = start + limit;
    const isLast = end >= listed.length;
    const nodes = this.#nodes(listed.slice(start, end), fields);
    if (!('body' in nodes) || listed.length === 0) return nodes;
    const cursors = { before: cursorOf({ listing, start }), after: cursorOf({ listing, start: end }) };
    return { body: { ...nodes.body, paging: { cursors, ...(!isLast && { next: NEXT }) } } };
  }

  /** @param id such as `t_7642925849053947` */
  conversation(id: string, fieldList: string): Found {
    const user = id.slice(2);
    if (!Number.isFinite(this.#updatedAt(user))) return { code: '100/33' };
    const fields = parseFields(fieldList || 'id,updated_time');
    if (fields === null) return { fault: 'Syntax error in param fields' };
    const node = this.#conversation(user, fields);
    return typeof node === 'string' ? { fault: node } : { body: node };
  }

  message(id: string, fieldList: string): Found {
    const user = this.#journal.byMid(id)?.user ?? WRITTEN_MID.exec(id)?.[1];
    const messages = user === undefined ? [] : this.#messagesOf(user);
    const place = messages.findIndex((message) => message.id === id);
    const found = messages[place];
    if (!found || user === undefined) return { code: '100/33' };
    if (place >= READABLE_MESSAGES) return { code: '9000001' };
    const fields = parseFields(fieldList || 'id,created_time');
    if (fields === null) return { fault: 'Syntax error in param fields' };
    return { body: this.#message(user, found, fields) };
  }

  #nodes(users: readonly string[], fields: readonly Field[]): { body: { data: object[] } } | { fault: string } {
    const data: object[] = [];
    for (const user of users) {
      const node = this.#conversation(user, fields);
      if (typeof node === 'string') return { fault: node };
      data.push(node);
    }
    return { body: { data } };
  }

  #begin(): number {
    const users = new Set([...this.#users.keys(), ...this.#written.keys(), ...this.#journal.users()]);
    const listed = [...users]
      .map((user) => ({ user, at: this.#updatedAt(user) }))
      .filter(({ at }) => Number.isFinite(at))
      .sort((one, other) => other.at - one.at)
      .map(({ user }) => user);
    this.#begun += 1;
    this.#listings.set(this.#begun, listed);
    this.#listings.delete(this.#begun - KEPT_LISTINGS);
    return this.#begun;
  }

  /** @returns what is wrong with the fields */
  #conversation(user: string, fields: readonly Field[]): Node | string {
    // An id comes whether it is asked for or not.
    const node: Node = { id: `t_${user}` };
    for (const field of fields) {
      switch (field.name) {
        case 'id':
          break;
        case 'updated_time':
          node['updated_time'] = graphTime(this.#updatedAt(user));
          break;
        case 'participants':
          node['participants'] = { data: [this.#person(user), this.#account()] };
          break;
        case 'messages':
          node['messages'] = this.#messages(user, field);
          break;
        default:
          return `Tried accessing nonexisting field (${field.name})`;
      }
    }
    return node;
  }

  /** Of older messages than the newest twenty, and without fields of their own, only id and time are listed. */
  #messages(user: string, { modifiers, fields }: Field): object {
    const messages = this.#messagesOf(user);
    const start = Number.parseInt(modifiers['after'] ?? '', 10) || 0;
    const end = start + Math.min(MOST_LISTED, Math.max(1, Number(modifiers['limit']) || PAGE_SIZE));
    const data = messages.slice(start, end).map((message, index) => {
      const isReadable = fields !== null && start + index < READABLE_MESSAGES;
      return this.#message(user, message, isReadable ? fields : BARE);
    });
    const cursors = { before: String(start), after: String(end) };
    return { data, paging: { cursors, ...(end < messages.length && { next: NEXT }) } };
  }

  #message(user: string, { id, at, text, fromUser }: Message, fields: readonly Field[]): object {
    const [from, to] = fromUser ? [this.#person(user), this.#account()] : [this.#account(), this.#person(user)];
    const node: Node = { id, created_time: graphTime(at), from, to: { data: [to] }, message: text };
    const asked = ['id', ...fields.map((field) => field.name)];
    return Object.fromEntries(Object.entries(node).filter(([name]) => asked.includes(name)));
  }

  #person(user: string): Node {
    const name = `User ${user.slice(-4)}`;
    return this.#page.channel === 'instagram' ? { username: name, id: user } : { name, id: user };
  }

  /** On Instagram the account takes part under an id of its own. */
  #account(): Node {
    const { channel, name, id, instagram } = this.#page;
    return channel === 'instagram' ? { username: instagram.username, id: instagram.id } : { name, id };
  }

  /** Both sides of a conversation, newest first. */
  #messagesOf(user: string): Message[] {
    const messages: Message[] = [];
    for (const { mid, at, text } of this.#journal.received(user)) {
      messages.push({ at, id: mid, text: text ?? '', fromUser: false });
    }
    for (const message of this.#writtenBy(user)) messages.push({ ...message, fromUser: true });
    return messages.sort((one, other) => other.at - one.at);
  }

  #writtenBy(user: string): Written[] {
    const written = this.#written.get(user);
    if (written) return written;
    const known = this.#users.get(user);
    const at = known?.openedAt ?? null;
    return known && at !== null && isWriting(known.opener) ? [{ at, id: writtenMid(user, '0'), text: 'Hello' }] : [];
  }

  /** -Infinity for a user without a conversation. */
  #updatedAt(user: string): number {
    return Math.max(this.#journal.lastAt(user) ?? -Infinity, this.#writtenBy(user).at(-1)?.at ?? -Infinity);
  }
}

const BARE: readonly Field[] = [{ name: 'created_time', modifiers: {}, fields: null }];

const WRITTEN_MID = /^m_u(\w+)_\d+$/;

/** The id of a message of a user. @param unique digits that no other has */
export function writtenMid(user: string, unique: string): string {
  return `m_u${user}_${unique}`;
}

/** Whether what a user does leaves a message in the conversation. */
export function isWriting(kind: ActKind): boolean {
  return kind === 'message' || kind === 'ad' || kind === 'story_reply';
}

/** As opaque as the platform's. */
function cursorOf({ listing, start }: { listing: number; start: number }): string {
  return Buffer.from(`${listing}:${start}`).toString('base64url');
}

function placeOf(cursor: string): { listing: number; start: number } | null {
  const [, listing, start] = /^(\d+):(\d+)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  return listing === undefined || start === undefined ? null : { listing: Number(listing), start: Number(start) };
}

/** As in the documentation's samples: `2022-07-12T19:11:07+0000`. */
function graphTime(at: number): string {
  return Number.isFinite(at) ? new Date(at).toISOString().replace(/\.\d+Z$/, '+0000') : '';
}
