/**
 * Which events of a Meta webhook open a user's window, and which are our own messages come back. One parsed body in, openers
 * and echoes out; everything that opens no window is counted by kind, so that somebody who wonders about a missing opener
 * sees what it was taken for.
 * Source: Messenger Platform and Instagram webhooks. Bodies are foreign: nothing in them is trusted to have its documented
 * shape, an unknown event is never an error, and fields are read to a fixed depth only.
 */
import { z } from 'zod';
import { readRowMetadata, type RowMark } from '../core/metadata.js';
import type { Opener } from '../core/window.js';

export interface MetaOpener {
  /** The Page or Instagram account to which it happened. */
  accountId: string;
  userId: string;
  /** Milliseconds since 1970, UTC. */
  openedAt: number;
  opener: Opener;
}

/** A message of ours, as the account's echo of it tells. */
export interface MetaEcho extends RowMark {
  /** The Page or Instagram account that sent it. */
  accountId: string;
  messageId: string;
}

export type IgnoredKind =
  /** What the account itself sent, came back. */
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
  /** Agreeing to marketing messages opens nothing, and a plugin's opt-in only once a message follows. */
  | 'optin'
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

export interface MetaEvents {
  openers: MetaOpener[];
  /** Counted among `ignored` all the same: an echo opens no window. */
  echoes: MetaEcho[];
  ignored: IgnoredCounts;
}

/** Entries of one body, and events of one entry; Meta is said to send at most 1,000 updates at once. */
const MAX_ITEMS = 1000;

/** Those of Meta have up to about two hundred characters. */
const MAX_MESSAGE_ID = 500;

const party = z.object({ id: z.unknown().optional() }).optional();
const referral = z.object({ source: z.unknown().optional(), ad_id: z.unknown().optional() });
const messagingItem = z.object({
  sender: party,
  timestamp: z.unknown().optional(),
  message: z
    .object({
      is_echo: z.unknown().optional(),
      is_deleted: z.unknown().optional(),
      mid: z.unknown().optional(),
      metadata: z.unknown().optional(),
      referral: referral.optional().catch(undefined),
    })
    .optional(),
  postback: z.object({}).optional(),
  referral: referral.optional(),
  reaction: z.object({ action: z.unknown().optional() }).optional(),
});
const change = z.object({ field: z.string(), value: z.record(z.string(), z.unknown()) });
const changeValue = z.object({
  item: z.unknown().optional(),
  verb: z.unknown().optional(),
  from: party,
  created_time: z.unknown().optional(),
});
const entryShape = z.object({
  id: z.string().max(64),
  time: z.unknown().optional(),
  messaging: z.array(z.unknown()).optional().catch(undefined),
  standby: z.array(z.unknown()).optional().catch(undefined),
  changes: z.array(z.unknown()).optional().catch(undefined),
});
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

/** Whether a parsed JSON value looks like a webhook body at all. */
export function isMetaBody(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Array.isArray((body as { entry?: unknown }).entry);
}

export function readMetaEvents(body: unknown): MetaEvents {
  const events: MetaEvents = { openers: [], echoes: [], ignored: {} };
  const ignore = (kind: IgnoredKind, count = 1): void => {
    if (count > 0) events.ignored[kind] = (events.ignored[kind] ?? 0) + count;
  };
  const bounded = (items: unknown[] | undefined): unknown[] => {
    ignore('over_limit', Math.max(0, (items?.length ?? 0) - MAX_ITEMS));
    return items?.slice(0, MAX_ITEMS) ?? [];
  };

  const parsedBody = bodyShape.safeParse(body);
  if (!parsedBody.success) {
    ignore('malformed');
    return events;
  }
  const { object, entry: entries } = parsedBody.data;
  for (const item of bounded(entries)) {
    const parsed = entryShape.safeParse(item);
    if (!parsed.success || (object !== 'page' && object !== 'instagram')) {
      ignore(parsed.success ? 'unknown' : 'malformed');
      continue;
    }
    const entry: Entry = { id: parsed.data.id, time: epochMs(parsed.data.time), isInstagram: object === 'instagram' };
    // Standby: another app answers this conversation at the moment; what the user does opens the window all the same.
    const readings = [...bounded(parsed.data.messaging), ...bounded(parsed.data.standby)].map((one) =>
      readMessaging(one, entry),
    );
    readings.push(...bounded(parsed.data.changes).map((one) => readChange(one, entry)));
    for (const reading of readings) {
      if (typeof reading === 'string') ignore(reading);
      else if ('opener' in reading) events.openers.push(reading);
      else {
        ignore('echo');
        events.echoes.push(reading);
      }
    }
  }
  return events;
}

interface Entry {
  id: string;
  time: number | null;
  isInstagram: boolean;
}

type Reading = MetaOpener | MetaEcho | IgnoredKind;

function readMessaging(item: unknown, entry: Entry): Reading {
  const parsed = messagingItem.safeParse(item);
  if (!parsed.success) return 'malformed';
  const { sender, timestamp, message, postback, referral: link, reaction } = parsed.data;
  const isOwn = sender?.id === entry.id;
  const opened = (opener: Opener): Reading => (isOwn ? 'own_activity' : toOpener(entry, sender?.id, opener, timestamp));

  if (message) {
    // An echo swaps sender and recipient: taken for a message, it would open a window for the account itself. On
    // Instagram echoes come among the messages.
    if (isTrue(message.is_echo) || isOwn) return (isOwn ? toEcho(entry, message) : null) ?? 'echo';
    if (isTrue(message.is_deleted)) return 'deleted';
    return opened(message.referral && isAd(message.referral) ? 'ad' : 'message');
  }
  if (postback) return opened('button');
  if (reaction) {
    if (reaction.action === 'react') return opened('reaction');
    return reaction.action === 'unreact' ? 'unreact' : 'unknown';
  }
  if (link) {
    if (isAd(link)) return 'ad_click';
    if (typeof link.source !== 'string' || !LINK_SOURCE.test(link.source)) return 'other_referral';
    return opened(entry.isInstagram ? 'ig_me' : 'm_me');
  }
  const kind = Object.keys(item as object).find((key) => Object.hasOwn(NOT_OPENING, key));
  return kind === undefined ? 'unknown' : (NOT_OPENING[kind] ?? 'unknown');
}

/** Every program that sends for the account has its echoes come here; only a message that carries a row of ours is one. */
function toEcho(entry: Entry, { mid, metadata }: { mid?: unknown; metadata?: unknown }): MetaEcho | null {
  const row = readRowMetadata(metadata);
  if (row === null || typeof mid !== 'string' || mid === '' || mid.length > MAX_MESSAGE_ID) return null;
  return { accountId: entry.id, messageId: mid, ...row };
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
  if (typeof value['sender'] === 'object' && value['sender'] !== null) return readMessaging(value, entry);

  const parsedValue = changeValue.safeParse(value);
  if (!parsedValue.success) return 'malformed';
  const { item: kind, verb, from, created_time: createdAt } = parsedValue.data;
  let opener: Opener | null = null;
  if (entry.isInstagram) {
    if (field === 'comments' || field === 'live_comments') opener = 'comment';
  } else if (field === 'feed' && verb === 'add') {
    if (kind === 'comment') opener = 'comment';
    else if (kind === 'status' || kind === 'post' || kind === 'photo') opener = 'visitor_post';
  }
  if (opener === null) return 'other_change';
  return from?.id === entry.id ? 'own_activity' : toOpener(entry, from?.id, opener, createdAt);
}

/** As `core/sheet.ts` has it. An id that came as a JSON number has lost digits on the way. */
const USER_ID = /^[1-9]\d{4,19}$/;

function toOpener(entry: Entry, userId: unknown, opener: Opener, time: unknown): Reading {
  if (typeof userId !== 'string' || !USER_ID.test(userId)) return 'no_user';
  const openedAt = epochMs(time) ?? entry.time;
  return openedAt === null ? 'no_time' : { accountId: entry.id, userId, openedAt, opener };
}

/** From here on a number can only be milliseconds: as seconds it would be the year 5138. */
const FIRST_MS = 100_000_000_000;
/** 2001-09-09; there was no Messenger then, so a smaller number counts something else (such as Excel's days). */
const FIRST_SECONDS = 1_000_000_000;
/** The year 5138 in milliseconds; beyond it stand microseconds. */
const LAST_MS = FIRST_MS * 1000;

/**
 * An instant as Meta writes it: milliseconds or seconds since 1970, as number or text (its own events mix them).
 * @returns milliseconds, or null for anything else
 */
export function epochMs(value: unknown): number | null {
  let number: number;
  if (typeof value === 'number') number = value;
  else if (typeof value === 'string' && /^\d{10,15}(\.\d{1,9})?$/.test(value)) number = Number(value);
  else return null;
  if (!(number >= FIRST_SECONDS && number < LAST_MS)) return null;
  return Math.floor(number < FIRST_MS ? number * 1000 : number);
}
