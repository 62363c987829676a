/**
 * What Meta's webhooks tell: which events open a user's window, which are our own messages come back, what became of
 * messages, and who stopped notifications. One parsed body in, its events out; everything else is counted by kind, so that
 * somebody who wonders about a missing opener sees what it was taken for.
 * Source: Messenger Platform and Instagram webhooks. Bodies are foreign: nothing in them is trusted to have its documented
 * shape, an unknown event is never an error, and fields are read to a fixed depth only.
 */
import { z } from 'zod';
import { readRowMetadata } from '../core/metadata.js';
import { PLATFORM_ID } from '../core/user-id.js';
import type { Opener } from '../core/window.js';
import type { Echo, OpenerEvent, Receipt } from '../ports.js';
import { epochMs, MAX_MESSAGE_ID, readMessageId } from './log-fields.js';

/** Something that a person did and that opens their window. */
export interface MetaOpener extends OpenerEvent {
  kind: 'opener';
  /** The id of the message, the comment or the post; otherwise made of what happened, who did it, when, and to what. */
  id: string;
  text: string | null;
  /** Of a button or quick reply; of an m.me or ig.me link, its `ref`. */
  payload: string | null;
  /** Another app has the conversation at the moment. */
  standby?: true;
}

/** A message of ours, as the account's echo of it tells. */
export interface MetaEcho extends Echo {
  kind: 'echo';
}

/** What a person has got or read: some messages, or (without their ids) everything up to an instant. */
export interface MetaReceipts {
  kind: 'delivery' | 'read';
  receipts: Receipt[];
}

/** Somebody stopped notifications. */
export interface MetaOptOut {
  kind: 'opt_out';
  userId: string;
  /** Milliseconds since 1970, UTC. */
  at: number;
}

export type MetaEvent = MetaOpener | MetaEcho | MetaReceipts | MetaOptOut;

export type IgnoredKind =
  /** What the account itself sent came back, and is no message of ours. */
  | 'echo'
  /** The account's own comments, posts and reactions. */
  | 'own_activity'
  | 'deleted'
  | 'edit'
  | 'unreact'
  /** A click on an ad opens nothing until the user also writes. */
  | 'ad_click'
  | 'other_referral'
  | 'delivery'
  | 'read'
  /** Agreeing to marketing messages, or resuming them, opens nothing, and a plugin's opt-in only once a message follows. */
  | 'optin'
  /** Somebody has opted out of something, in a shape that Meta does not document. */
  | 'opt_out'
  | 'handover'
  /** A change of the Page or of a post that is no new comment or visitor post. */
  | 'other_change'
  /** An opener without a usable user id, or without any time. */
  | 'no_user'
  | 'no_time'
  /** An opener of another account than the one asked for. */
  | 'other_account'
  | 'unknown'
  /** Not of the shape of a webhook body, as a whole or in part. */
  | 'malformed'
  /** More than a webhook body ever holds. */
  | 'over_limit';

export type IgnoredCounts = Partial<Record<IgnoredKind, number>>;

/** What happened to one account. */
export interface MetaEntry {
  /** Of the Page or the Instagram account. */
  accountId: string;
  channel: 'messenger' | 'instagram';
  events: MetaEvent[];
}

export interface MetaBody {
  entries: MetaEntry[];
  /** What is no event of these, in whichever entry. */
  ignored: IgnoredCounts;
}

/** Entries of one body, events of one list, messages of one receipt; Meta is said to send at most 1,000 updates at once. */
const MAX_ITEMS = 1000;

const one = z.unknown().optional();
const party = z.object({ id: one }).optional();
const referral = z.object({ source: one, ad_id: one, ref: one });
const messagingItem = z.object({
  sender: party,
  timestamp: one,
  message: z
    .object({
      is_echo: one,
      is_deleted: one,
      mid: one,
      metadata: one,
      text: one,
      quick_reply: z.object({ payload: one }).optional().catch(undefined),
      referral: referral.optional().catch(undefined),
    })
    .optional(),
  postback: z.object({ mid: one, payload: one }).optional(),
  referral: referral.optional(),
  reaction: z.object({ action: one, mid: one }).optional(),
  delivery: z.object({ mids: one, watermark: one }).optional().catch(undefined),
  read: z.object({ mid: one, watermark: one }).optional().catch(undefined),
  optin: z.object({ notification_messages_status: one }).optional().catch(undefined),
});
const change = z.object({ field: z.string(), value: z.record(z.string(), z.unknown()) });
const changeValue = z.object({ item: one, verb: one, from: party, created_time: one });
const entryShape = z.object({ id: z.string().max(64), time: one, messaging: one, standby: one, changes: one });
const bodyShape = z.object({ object: z.string(), entry: z.array(z.unknown()) });

/** Events of the `messaging` list that open nothing, by the key that names them. */
const NOT_OPENING: Record<string, IgnoredKind> = {
  delivery: 'delivery',
  read: 'read',
  optin: 'optin',
  message_edit: 'edit',
  pass_thread_control: 'handover',
  take_thread_control: 'handover',
  request_thread_control: 'handover',
  app_roles: 'handover',
};

/** What events and fields about opting out are or may be called; `messaging_optouts` is a field whose events nobody describes. */
const OPT_OUT = /^(messaging_?)?opt_?outs?$/i;

/** Whether a parsed JSON value looks like a webhook body at all. */
export function isMetaBody(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Array.isArray((body as { entry?: unknown }).entry);
}

export function readMetaBody(body: unknown): MetaBody {
  const found: MetaBody = { entries: [], ignored: {} };
  const ignore = (kind: IgnoredKind, count = 1): void => {
    if (count > 0) found.ignored[kind] = (found.ignored[kind] ?? 0) + count;
  };
  const bounded = (items: unknown): unknown[] => {
    if (!Array.isArray(items)) {
      if (items !== undefined) ignore('malformed');
      return [];
    }
    ignore('over_limit', Math.max(0, items.length - MAX_ITEMS));
    return items.slice(0, MAX_ITEMS);
  };

  const parsedBody = bodyShape.safeParse(body);
  if (!parsedBody.success) {
    ignore('malformed');
    return found;
  }
  const { object, entry: entries } = parsedBody.data;
  for (const item of bounded(entries)) {
    const parsed = entryShape.safeParse(item);
    if (!parsed.success || (object !== 'page' && object !== 'instagram')) {
      ignore(parsed.success ? 'unknown' : 'malformed');
      continue;
    }
    const { id, time, messaging, standby, changes } = parsed.data;
    if (messaging === undefined && standby === undefined && changes === undefined) ignore(unknown(item));
    const entry: Entry = { id, time: epochMs(time), isInstagram: object === 'instagram', bounded };
    const events: MetaEvent[] = [];
    const take = (reading: Reading): void => {
      if (typeof reading === 'string') ignore(reading);
      else events.push(reading);
    };
    // Standby: another app answers this conversation at the moment; what the user does opens the window all the same.
    for (const one of bounded(messaging)) take(readMessaging(one, entry));
    for (const one of bounded(standby)) {
      const reading = readMessaging(one, entry);
      take(typeof reading === 'object' && reading.kind === 'opener' ? { ...reading, standby: true } : reading);
    }
    for (const one of bounded(changes)) take(readChange(one, entry));
    found.entries.push({ accountId: id, channel: entry.isInstagram ? 'instagram' : 'messenger', events });
  }
  return found;
}

interface Entry {
  id: string;
  time: number | null;
  isInstagram: boolean;
  bounded: (items: unknown) => unknown[];
}

type Reading = MetaEvent | IgnoredKind;

function readMessaging(item: unknown, entry: Entry): Reading {
  const parsed = messagingItem.safeParse(item);
  if (!parsed.success) return 'malformed';
  const { sender, timestamp, message, postback, referral: link, reaction, delivery, read, optin } = parsed.data;
  const userId = sender?.id;
  const isOwn = userId === entry.id;
  const opened = (opener: Opener, about: About): Reading =>
    isOwn ? 'own_activity' : toOpener(entry, userId, opener, timestamp, about);

  if (message) {
    // An echo swaps sender and recipient: taken for a message, it would open a window for the account itself. On
    // Instagram echoes come among the messages.
    if (isTrue(message.is_echo) || isOwn) return (isOwn ? toEcho(message) : null) ?? 'echo';
    if (isTrue(message.is_deleted)) return 'deleted';
    return opened(message.referral && isAd(message.referral) ? 'ad' : 'message', {
      id: message.mid,
      text: message.text,
      payload: message.quick_reply?.payload,
    });
  }
  if (postback) return opened('button', { id: postback.mid, payload: postback.payload, target: postback.payload });
  if (reaction) {
    if (reaction.action !== 'react') return reaction.action === 'unreact' ? 'unreact' : 'unknown';
    // A reaction that is taken back and given again is the same one. The id is that of the message that it is about.
    const mid = readMessageId(reaction.mid);
    return opened('reaction', { id: mid === null ? null : `reaction:${mid}` });
  }
  if (link) {
    if (isAd(link)) return 'ad_click';
    if (typeof link.source !== 'string' || !LINK_SOURCE.test(link.source)) return 'other_referral';
    return opened(entry.isInstagram ? 'ig_me' : 'm_me', { payload: link.ref, target: link.ref });
  }
  if (isOwn && (delivery ?? read ?? optin)) return 'own_activity';
  if (delivery) {
    return toReceipts('delivery', entry, userId, { mids: delivery.mids, upTo: delivery.watermark, at: timestamp });
  }
  if (read) return toReceipts('read', entry, userId, { mids: [read.mid], upTo: read.watermark, at: timestamp });
  if (optin) return toOptOut(entry, userId, optin.notification_messages_status, timestamp) ?? 'optin';
  const kind = Object.keys(item as object).find((key) => Object.hasOwn(NOT_OPENING, key));
  return (kind === undefined ? undefined : NOT_OPENING[kind]) ?? unknown(item);
}

/** What is about opting out must not be lost among what is of no interest. */
function unknown(item: unknown): IgnoredKind {
  return Object.keys(item as object).some((key) => OPT_OUT.test(key)) ? 'opt_out' : 'unknown';
}

/** Every program that sends for the account has its echoes come here; only a message that carries a row of ours is one. */
function toEcho({ mid, metadata }: { mid?: unknown; metadata?: unknown }): MetaEcho | null {
  const row = readRowMetadata(metadata);
  const messageId = readMessageId(mid);
  return row === null || messageId === null ? null : { kind: 'echo', messageId, ...row };
}

/** Messenger names the messages that were delivered, or tells up to when; Instagram names the one that was seen. */
function toReceipts(
  kind: MetaReceipts['kind'],
  entry: Entry,
  sender: unknown,
  { mids, upTo, at }: { mids: unknown; upTo: unknown; at: unknown },
): Reading {
  const userId = typeof sender === 'string' && PLATFORM_ID.test(sender) ? sender : null;
  const watermark = epochMs(upTo);
  const common = { userId, row: null, kind: kind === 'read' ? kind : 'delivered', error: null } as const;
  const named = entry
    .bounded(Array.isArray(mids) ? mids : [])
    .map(readMessageId)
    .filter((id) => id !== null);
  if (named.length > 0) {
    const toldAt = epochMs(at) ?? watermark ?? entry.time;
    if (toldAt === null) return 'no_time';
    return { kind, receipts: named.map((messageId) => ({ messageId, ...common, at: toldAt })) };
  }
  if (watermark === null) return kind;
  return userId === null ? 'no_user' : { kind, receipts: [{ messageId: null, ...common, at: watermark }] };
}

/**
 * Whoever stops the marketing messages of one topic is taken to want none at all. To resume those of one topic takes nothing
 * of that back: it may have been said with a word, too.
 * @returns null for whatever else is told of marketing messages
 */
function toOptOut(entry: Entry, userId: unknown, status: unknown, time: unknown): Reading | null {
  if (typeof status !== 'string' || !/^STOP\b/i.test(status)) return null;
  if (typeof userId !== 'string' || !PLATFORM_ID.test(userId)) return 'no_user';
  const at = epochMs(time) ?? entry.time;
  return at === null ? 'no_time' : { kind: 'opt_out', userId, at };
}

/** Meta's pages name the source of m.me and ig.me links SHORTLINK, SHORT-URL and IGME-SOURCE-LINK. */
const LINK_SOURCE = /^(SHORT[-_]?(LINKS?|URL)|IGME\b.*)$/i;

function isAd(found: { source?: unknown; ad_id?: unknown }): boolean {
  return found.source === 'ADS' || (found.source === undefined && found.ad_id !== undefined);
}

/** JSON from relays and consoles may carry flags as text. */
function isTrue(flag: unknown): boolean {
  return flag === true || flag === 'true' || flag === 1;
}

function readChange(item: unknown, entry: Entry): Reading {
  const parsed = change.safeParse(item);
  if (!parsed.success) return 'malformed';
  const { field, value } = parsed.data;
  // The test button of the app dashboard, and Instagram in places, put a messaging event into a change.
  const isMessaging = typeof value['sender'] === 'object' && value['sender'] !== null;
  const reading = isMessaging ? readMessaging(value, entry) : 'unknown';
  if (reading === 'unknown' && OPT_OUT.test(field)) return 'opt_out';
  if (isMessaging) return reading;

  const parsedValue = changeValue.safeParse(value);
  if (!parsedValue.success) return 'malformed';
  const { item: kind, verb, from, created_time: createdAt } = parsedValue.data;
  const opened = (opener: Opener, about: About): Reading =>
    from?.id === entry.id ? 'own_activity' : toOpener(entry, from?.id, opener, createdAt, about);
  if (entry.isInstagram) {
    if (field !== 'comments' && field !== 'live_comments') return 'other_change';
    return opened('comment', { id: value['id'], text: value['text'] });
  }
  if (field !== 'feed' || verb !== 'add') return 'other_change';
  const text = value['message'];
  if (kind === 'comment') return opened('comment', { id: value['comment_id'], text });
  if (kind !== 'status' && kind !== 'post' && kind !== 'photo') return 'other_change';
  return opened('visitor_post', { id: value['post_id'], text });
}

/** What an event says beside who opened a window, and when; as it came. */
interface About {
  id?: unknown;
  text?: unknown;
  payload?: unknown;
  /** What tells two events without an id apart. */
  target?: unknown;
}

function toOpener(entry: Entry, userId: unknown, opener: Opener, time: unknown, about: About): Reading {
  // An id that came as a JSON number has lost digits on the way.
  if (typeof userId !== 'string' || !PLATFORM_ID.test(userId)) return 'no_user';
  const openedAt = epochMs(time) ?? entry.time;
  if (openedAt === null) return 'no_time';
  const id = readMessageId(about.id) ?? `${opener}:${userId}:${openedAt}:${clipped(about.target)}`;
  return { kind: 'opener', userId, openedAt, opener, id, text: filled(about.text), payload: filled(about.payload) };
}

function filled(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function clipped(target: unknown): string {
  return filled(target)?.slice(0, MAX_MESSAGE_ID) ?? '';
}
