/** What happens, as webhooks tell of it (webhooks, September 2026): one event each. */
import type { ActKind, SandboxPage, UserAct } from './seed.js';

/** An item of one of the lists that an entry has. */
export interface PlatformEvent {
  list: 'messaging' | 'standby' | 'changes';
  item: Record<string, unknown>;
}

/** A message of ours, come back. On Instagram they come in the same list. */
export function echoEvent(
  page: SandboxPage,
  user: string,
  mid: string,
  message: Record<string, unknown>,
  now: number,
): PlatformEvent {
  const { text, metadata, attachment } = message;
  return {
    list: 'messaging',
    item: {
      sender: { id: page.id },
      recipient: { id: user },
      timestamp: now,
      message: {
        mid,
        is_echo: true,
        app_id: 1517776481860111,
        ...(text !== undefined && { text }),
        ...(attachment !== undefined && { attachments: [attachment] }),
        ...(metadata !== undefined && { metadata }),
      },
    },
  };
}

export function deliveryEvent(page: SandboxPage, user: string, mid: string, now: number): PlatformEvent {
  return { list: 'messaging', item: { ...fromUser(page, user, now), delivery: { mids: [mid], watermark: now } } };
}

const AD = {
  ref: 'sandbox',
  ad_id: '6045246247433',
  source: 'ADS',
  type: 'OPEN_THREAD',
  ads_context_data: { ad_title: 'Winter sale' },
};

/** What the platform knows of an act besides. */
export interface ActContext {
  /** Digits that no other act has. */
  unique: string;
  /** The id of the message that the act is. */
  mid: string;
  /** The id of the last message that the user wrote before, and of the last that they received. */
  written: string | null;
  received: string | null;
}

/**
 * What somebody does.
 * @returns null where there is nothing to tell, as of somebody who reads though nothing was sent to them
 */
export function actEvent(page: SandboxPage, user: string, act: UserAct, context: ActContext): PlatformEvent | null {
  const { kind } = act;
  if (kind === 'comment' || kind === 'visitor_post') {
    const item =
      page.channel === 'instagram' ? commentChange(user, act, context) : feedChange(page, user, act, context);
    return item && { list: 'changes', item };
  }
  const content = messagingContent(page, kind, act, context);
  if (content === null) return null;
  return { list: act.isStandby ? 'standby' : 'messaging', item: { ...fromUser(page, user, act.at), ...content } };
}

function fromUser(page: SandboxPage, user: string, timestamp: number): Record<string, unknown> {
  return { sender: { id: user }, recipient: { id: page.id }, timestamp };
}

function messagingContent(
  page: SandboxPage,
  kind: Exclude<ActKind, 'comment' | 'visitor_post'>,
  { at, text, payload }: UserAct,
  { mid, written, received }: ActContext,
): Record<string, unknown> | null {
  const reaction = { reaction: 'love', emoji: '❤', mid: received ?? written ?? mid };
  switch (kind) {
    case 'message':
      return { message: { mid, text, ...(payload !== null && { quick_reply: { payload } }) } };
    case 'ad':
      return { message: { mid, text, referral: AD } };
    case 'story_reply':
      return { message: { mid, text, reply_to: { story: { id: '17900000000000001', url: STORY } } } };
    case 'unsend':
      return { message: { mid: written ?? mid, is_deleted: true } };
    case 'button':
      return { postback: { title: text, payload: payload ?? 'GET_STARTED', mid } };
    case 'm_me':
      return { referral: { ref: 'sandbox', source: 'SHORTLINK', type: 'OPEN_THREAD' } };
    case 'ig_me':
      return { referral: { ref: 'sandbox', source: 'IGME-SOURCE-LINK', type: 'OPEN_THREAD' } };
    case 'ad_click':
      return { referral: AD };
    case 'reaction':
      return { reaction: { ...reaction, action: 'react' } };
    case 'unreact':
      return { reaction: { ...reaction, action: 'unreact' } };
    case 'stop_notifications':
      return {
        optin: {
          type: 'notification_messages',
          payload: 'sandbox',
          notification_messages_token: '7000000000000000001',
          notification_messages_status: 'STOP NOTIFICATIONS',
          user_token_status: 'NOT_REFRESHED',
          title: 'Updates',
        },
      };
    case 'read':
      if (received === null) return null;
      return { read: page.channel === 'instagram' ? { mid: received } : { watermark: at } };
  }
}

const STORY = 'https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=17900000000000001';

/** A comment or a post, as the Page's feed tells of it: in seconds. */
function feedChange(
  page: SandboxPage,
  user: string,
  { kind, at, text }: UserAct,
  { unique }: ActContext,
): Record<string, unknown> {
  const post = `${page.id}_${kind === 'comment' ? '100' : unique}`;
  const comment = { item: 'comment', comment_id: `${post}_${unique}`, parent_id: post };
  return {
    field: 'feed',
    value: {
      ...(kind === 'comment' ? comment : { item: 'post' }),
      post_id: post,
      verb: 'add',
      from: { id: user, name: `User ${user.slice(-4)}` },
      message: text,
      created_time: Math.floor(at / 1000),
    },
  };
}

/** Instagram gives no time for a comment, and nobody can post on another's profile. */
function commentChange(user: string, { kind, text }: UserAct, { unique }: ActContext): Record<string, unknown> | null {
  if (kind !== 'comment') return null;
  const from = { id: user, username: `User ${user.slice(-4)}` };
  const media = { id: '17900000000000002', media_product_type: 'FEED' };
  return { field: 'comments', value: { id: unique, from, text, media } };
}
