import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRowMetadata, rowMetadata } from '../../src/core/metadata.js';
import { epochMs } from '../../src/inbound/log-fields.js';
import { isMetaBody, readMetaBody, type IgnoredKind, type MetaEvent } from '../../src/inbound/meta-events.js';

const PAGE = '102938475601928';
const USER = '7642925849053901';
const AT = 1_795_000_000_123;

/** One item of `messaging` in a body of its own. */
function messaging(item: object, object = 'page', list = 'messaging'): unknown {
  const event = { sender: { id: USER }, recipient: { id: PAGE }, timestamp: AT, ...item };
  return { object, entry: [{ id: PAGE, time: AT + 5, [list]: [event] }] };
}

function changed(field: string, value: unknown, object = 'page'): unknown {
  return { object, entry: [{ id: PAGE, time: AT + 5, changes: [{ field, value }] }] };
}

/** Everything that a body tells, with the account that each event is of. */
function read(body: unknown): { events: (MetaEvent & { accountId: string })[]; ignored: object } {
  const { entries, ignored } = readMetaBody(body);
  return {
    events: entries.flatMap(({ accountId, events }) => events.map((event) => ({ accountId, ...event }))),
    ignored,
  };
}

/** The same item of an Instagram account; null for what is no item of `messaging` of a Page. */
function onInstagram(body: unknown): unknown {
  const of = body as { object?: unknown; entry?: { messaging?: unknown; standby?: unknown }[] } | null;
  const [entry] = of?.object === 'page' ? (of.entry ?? []) : [];
  return (entry?.messaging ?? entry?.standby) === undefined ? null : { ...of, object: 'instagram' };
}

const ATTACHMENTS = [
  ...['image', 'audio', 'video', 'file', 'sticker', 'reel', 'ig_reel', 'post', 'ig_post'],
  ...['appointment_booking', 'fallback', 'story_mention'],
];
const post = { from: { id: USER }, verb: 'add', post_id: '1_2', created_time: Math.floor(AT / 1000) };
const SECONDS = Math.floor(AT / 1000) * 1000;
/** The id of an event that has none of its own, but for what it was done to. */
const MADE = (opener: string): string => `${opener}:${USER}:${AT}:`;

describe('events that open the window', () => {
  it.each<[what: string, body: unknown, opener: string, said: object, openedAt?: number]>([
    ['message', messaging({ message: { mid: 'm', text: 'hello' } }), 'message', { id: 'm', text: 'hello' }],
    [
      'quick reply',
      messaging({ message: { mid: 'm', text: 'Yes', quick_reply: { payload: 'X' } } }),
      'message',
      { id: 'm', text: 'Yes', payload: 'X' },
    ],
    ['strange quick reply', messaging({ message: { mid: 'm', quick_reply: 'x' } }), 'message', { id: 'm' }],
    [
      'quick reply of a number',
      messaging({ message: { mid: 'm', quick_reply: { payload: 7 } } }),
      'message',
      { id: 'm' },
    ],
    ['text that is none', messaging({ message: { mid: 'm', text: ['x'] } }), 'message', { id: 'm' }],
    ['empty text', messaging({ message: { mid: 'm', text: '' } }), 'message', { id: 'm' }],
    ...ATTACHMENTS.map((type): [string, unknown, string, object] => [
      type,
      messaging({ message: { mid: 'm', attachments: [{ type, payload: { url: 'u' } }] } }),
      'message',
      { id: 'm' },
    ]),
    [
      'reply with a picture',
      messaging({
        message: {
          mid: 'm',
          text: 'x',
          reply_to: { mid: 'm_0', is_self_reply: false },
          attachments: [{ type: 'image' }],
        },
      }),
      'message',
      { id: 'm', text: 'x' },
    ],
    [
      'story reply',
      messaging({ message: { mid: 'm', text: 'x', reply_to: { story: { id: '1', url: 'u' } } } }),
      'message',
      { id: 'm', text: 'x' },
    ],
    [
      'message with an empty referral',
      messaging({ message: { mid: 'm', referral: { product: { id: '1' } } } }),
      'message',
      { id: 'm' },
    ],
    ['message with a strange referral', messaging({ message: { mid: 'm', referral: 'x' } }), 'message', { id: 'm' }],
    [
      'message after an ad',
      messaging({
        message: {
          mid: 'm',
          text: 'x',
          referral: { source: 'ADS', type: 'OPEN_THREAD', ad_id: '1', ref: 'r', ads_context_data: { ad_title: 'A' } },
        },
      }),
      'ad',
      { id: 'm', text: 'x' },
    ],
    ['message without an id', messaging({ message: { text: 'x' } }), 'message', { id: MADE('message'), text: 'x' }],
    [
      'message with an endless id',
      messaging({ message: { mid: 'm'.repeat(501) } }),
      'message',
      { id: MADE('message') },
    ],
    [
      'postback',
      messaging({ postback: { title: 'Get Started', payload: 'GO', mid: 'm' } }),
      'button',
      { id: 'm', payload: 'GO' },
    ],
    [
      'postback without an id',
      messaging({ postback: { title: 'Get Started', payload: 'GO' } }),
      'button',
      { id: `${MADE('button')}GO`, payload: 'GO' },
    ],
    [
      'postback of a new thread',
      messaging({ postback: { payload: 'GO', mid: 'm', referral: { source: 'SHORTLINK', ref: 'r', ad_id: '1' } } }),
      'button',
      { id: 'm', payload: 'GO' },
    ],
    [
      'm.me link',
      messaging({ referral: { ref: 'r', source: 'SHORTLINK', type: 'OPEN_THREAD' } }),
      'm_me',
      { id: `${MADE('m_me')}r`, payload: 'r' },
    ],
    [
      'ig.me link by its own name',
      messaging({ referral: { source: 'IGME-SOURCE-LINK' } }, 'instagram'),
      'ig_me',
      { id: MADE('ig_me') },
    ],
    [
      'reaction',
      messaging({ reaction: { reaction: 'love', emoji: '❤', action: 'react', mid: 'm' } }),
      'reaction',
      { id: 'reaction:m' },
    ],
    ['reaction to nothing', messaging({ reaction: { action: 'react' } }), 'reaction', { id: MADE('reaction') }],
    [
      'while another app answers',
      messaging({ message: { mid: 'm', text: 'x' } }, 'page', 'standby'),
      'message',
      { id: 'm', text: 'x', standby: true },
    ],
    ['time in seconds', messaging({ timestamp: AT / 1000, message: { mid: 'm' } }), 'message', { id: 'm' }],
    ['whole seconds', messaging({ timestamp: SECONDS / 1000, message: { mid: 'm' } }), 'message', { id: 'm' }, SECONDS],
    [
      'seconds as text',
      messaging({ timestamp: String(SECONDS / 1000), message: { mid: 'm' } }),
      'message',
      { id: 'm' },
      SECONDS,
    ],
    ['milliseconds as text', messaging({ timestamp: String(AT), message: { mid: 'm' } }), 'message', { id: 'm' }],
    ['no time of its own', messaging({ timestamp: undefined, message: { mid: 'm' } }), 'message', { id: 'm' }, AT + 5],
    ['a time that is none', messaging({ timestamp: 'soon', message: { mid: 'm' } }), 'message', { id: 'm' }, AT + 5],
    [
      'comment',
      changed('feed', { ...post, item: 'comment', comment_id: '1_9', message: 'Nice' }),
      'comment',
      { id: '1_9', text: 'Nice' },
      SECONDS,
    ],
    [
      'visitor post',
      changed('feed', { ...post, item: 'status', message: 'Hi' }),
      'visitor_post',
      { id: '1_2', text: 'Hi' },
      SECONDS,
    ],
    [
      'visitor post of another kind',
      changed('feed', { ...post, item: 'post' }),
      'visitor_post',
      { id: '1_2' },
      SECONDS,
    ],
    ['visitor photo', changed('feed', { ...post, item: 'photo' }), 'visitor_post', { id: '1_2' }, SECONDS],
    [
      'Instagram comment',
      changed('comments', { id: '9', from: { id: USER, username: 'ann' }, text: 'x' }, 'instagram'),
      'comment',
      { id: '9', text: 'x' },
      AT + 5,
    ],
    [
      'Instagram live comment',
      changed('live_comments', { from: { id: USER } }, 'instagram'),
      'comment',
      { id: `comment:${USER}:${AT + 5}:` },
      AT + 5,
    ],
    [
      'test event of the dashboard',
      changed(
        'messages',
        { sender: { id: USER }, timestamp: String(SECONDS / 1000), message: { mid: 'm', text: 'x' } },
        'instagram',
      ),
      'message',
      { id: 'm', text: 'x' },
      SECONDS,
    ],
  ])('%s', (_, body, opener, said, openedAt = AT) => {
    const event = {
      kind: 'opener',
      accountId: PAGE,
      userId: USER,
      openedAt,
      opener,
      text: null,
      payload: null,
      ...said,
    };
    expect(read(body)).toEqual({ events: [event], ignored: {} });
    const there = onInstagram(body);
    // Only links have another name there.
    const same: unknown = JSON.parse(JSON.stringify(event).replaceAll('m_me', 'ig_me'));
    if (there !== null) expect(read(there)).toEqual({ events: [same], ignored: {} });
  });

  it('has ids of bounded length, also where they are made', () => {
    const [event] = read(messaging({ postback: { payload: 'x'.repeat(100_000) } })).events;
    expect((event as { id: string }).id.length).toBeLessThan(600);
  });
});

describe('events that do not', () => {
  it.each<[what: string, body: unknown, kind: IgnoredKind]>([
    [
      'echo',
      messaging({ sender: { id: PAGE }, recipient: { id: USER }, message: { is_echo: true, text: 'x' } }),
      'echo',
    ],
    ['echo that does not say so', messaging({ sender: { id: PAGE }, message: { text: 'x' } }), 'echo'],
    ['echo of another sender', messaging({ message: { is_echo: true } }), 'echo'],
    ['unsent message', messaging({ message: { mid: 'm', is_deleted: true } }), 'deleted'],
    ['edit', messaging({ message_edit: { mid: 'm', text: 'x', num_edit: 1 } }), 'edit'],
    [
      'click on an ad',
      messaging({ referral: { ref: 'r', ad_id: '1', source: 'ADS', type: 'OPEN_THREAD' } }),
      'ad_click',
    ],
    ['click on an ad that does not say so', messaging({ referral: { ad_id: '1' } }), 'ad_click'],
    ['referral of another source', messaging({ referral: { source: 'CUSTOMER_CHAT_PLUGIN' } }), 'other_referral'],
    ['referral without a source', messaging({ referral: {} }), 'other_referral'],
    ['reaction taken back', messaging({ reaction: { action: 'unreact', mid: 'm' } }), 'unreact'],
    ['reaction without an action', messaging({ reaction: { mid: 'm' } }), 'unknown'],
    ['reaction of the account', messaging({ sender: { id: PAGE }, reaction: { action: 'react' } }), 'own_activity'],
    ['delivery of nothing', messaging({ delivery: {} }), 'delivery'],
    ['delivery up to what is no time', messaging({ delivery: { mids: [7, ''], watermark: 1 } }), 'delivery'],
    ['delivery to nobody', messaging({ sender: undefined, delivery: { watermark: AT } }), 'no_user'],
    ['delivery that is no object', messaging({ delivery: 'x' }), 'delivery'],
    ['delivery to the account', messaging({ sender: { id: PAGE }, delivery: { watermark: AT } }), 'own_activity'],
    ['delivery with a strange list', messaging({ delivery: { mids: 'm' } }), 'delivery'],
    ['read by the account', messaging({ sender: { id: PAGE }, read: { watermark: AT } }), 'own_activity'],
    ['read up to no time', messaging({ read: { watermark: 'now' } }), 'read'],
    [
      'marketing opt-in',
      messaging({
        optin: {
          type: 'notification_messages',
          payload: 'P',
          notification_messages_token: '123',
          notification_messages_timezone: 'America/New_York',
          token_expiry_timestamp: AT + 1,
          user_token_status: 'NOT_REFRESHED',
          title: 'News',
        },
      }),
      'optin',
    ],
    // It is about one topic, and may come after a word that was about everything.
    [
      'marketing resumed',
      messaging({ optin: { type: 'notification_messages', notification_messages_status: 'RESUME NOTIFICATIONS' } }),
      'optin',
    ],
    ['opt-in of a strange status', messaging({ optin: { notification_messages_status: ['STOP'] } }), 'optin'],
    ['opt-in of another status', messaging({ optin: { notification_messages_status: 'STOPPED' } }), 'optin'],
    ['opt-out of nobody', messaging({ sender: {}, optin: { notification_messages_status: 'STOP' } }), 'no_user'],
    ['opt-out of no known shape', messaging({ optout: { any: 1 } }), 'opt_out'],
    ['opt-out by another name', messaging({ opt_out: true }), 'opt_out'],
    ['opt-outs by the name of their field', messaging({ messaging_optouts: [{}] }, 'page', 'standby'), 'opt_out'],
    ['opt-out as a change', changed('messaging_optouts', { any: 1 }), 'opt_out'],
    ['opt-out of a person as a change', changed('messaging_optouts', { sender: { id: USER }, any: 1 }), 'opt_out'],
    ['opt-out as a change of another name', changed('optout', {}, 'instagram'), 'opt_out'],
    [
      'opt-outs as a list of their own',
      { object: 'page', entry: [{ id: PAGE, time: AT, messaging_optouts: [{ sender: { id: USER } }] }] },
      'opt_out',
    ],
    ['something about options', messaging({ options: {}, optional_outs: {}, coopt_out: {} }), 'unknown'],
    ['a policy action', messaging({ 'policy-enforcement': { action: 'block' } }), 'unknown'],
    ['plugin opt-in', messaging({ sender: undefined, optin: { ref: 'r', user_ref: 'u' } }), 'optin'],
    ['handover', messaging({ pass_thread_control: { new_owner_app_id: '1' } }), 'handover'],
    ['something new', messaging({ hologram: {} }), 'unknown'],
    ['something with a name from Object', messaging({ toString: 1 }), 'unknown'],
    ['no user', messaging({ sender: { user_ref: 'x' }, postback: {} }), 'no_user'],
    ['a user id that has lost digits', messaging({ sender: { id: 7642925849053901 }, message: {} }), 'no_user'],
    ['a user id that is none', messaging({ sender: { id: 'ann' }, message: {} }), 'no_user'],
    [
      'no time at all',
      { object: 'page', entry: [{ id: PAGE, messaging: [{ sender: { id: USER }, message: {} }] }] },
      'no_time',
    ],
    ['edited comment', changed('feed', { ...post, item: 'comment', verb: 'edited' }), 'other_change'],
    ['removed comment', changed('feed', { ...post, item: 'comment', verb: 'remove' }), 'other_change'],
    ['like', changed('feed', { ...post, item: 'reaction' }), 'other_change'],
    ["the Page's own post", changed('feed', { ...post, item: 'status', from: { id: PAGE } }), 'own_activity'],
    ["the Page's own comment", changed('feed', { ...post, item: 'comment', from: { id: PAGE } }), 'own_activity'],
    ["the account's own Instagram comment", changed('comments', { from: { id: PAGE } }, 'instagram'), 'own_activity'],
    ['post without an author', changed('feed', { ...post, item: 'status', from: undefined }), 'no_user'],
    ['Instagram mention', changed('mentions', { media_id: '1' }, 'instagram'), 'other_change'],
    ['feed on Instagram', changed('feed', { ...post, item: 'comment' }, 'instagram'), 'other_change'],
    ['another product', { object: 'whatsapp_business_account', entry: [{ id: '1', changes: [] }] }, 'unknown'],
    ['an item that is no object', { object: 'page', entry: [{ id: PAGE, messaging: ['x'] }] }, 'malformed'],
    ['a message that is no object', messaging({ message: 'x' }), 'malformed'],
    ['a list that is none', { object: 'page', entry: [{ id: PAGE, messaging: { 0: {} } }] }, 'malformed'],
    ['an entry without a list', { object: 'page', entry: [{ id: PAGE, changed_fields: ['feed'] }] }, 'unknown'],
    ['a change without value', { object: 'page', entry: [{ id: PAGE, changes: [{ field: 'feed' }] }] }, 'malformed'],
    ['an entry that is no object', { object: 'page', entry: [7] }, 'malformed'],
    ['an entry id as number', { object: 'page', entry: [{ id: 1, messaging: [] }] }, 'malformed'],
    ['no object', { entry: [] }, 'malformed'],
    ['null', null, 'malformed'],
    ['text', 'x', 'malformed'],
  ])('%s', (_, body, kind) => {
    expect(read(body)).toEqual({ events: [], ignored: { [kind]: 1 } });
    const there = onInstagram(body);
    if (there !== null) expect(read(there)).toEqual({ events: [], ignored: { [kind]: 1 } });
  });
});

describe('echoes', () => {
  const echo = (message: object, sender: unknown = PAGE, object = 'page', list = 'messaging'): unknown =>
    messaging(
      { sender: { id: sender }, recipient: { id: USER }, message: { is_echo: true, mid: 'm_1', ...message } },
      object,
      list,
    );
  const ours = { metadata: rowMetadata({ campaign: 'c20261121-4f9ak', seq: 17 }) };
  const taken = { kind: 'echo', accountId: PAGE, campaign: 'c20261121-4f9ak', seq: 17, messageId: 'm_1' };

  it.each([
    ['of a message of ours', echo(ours)],
    ['with its text and its app', echo({ ...ours, text: 'Hi Ann', app_id: 1517776481860111 })],
    ['that does not say that it is one', echo({ ...ours, is_echo: undefined })],
    ['on Instagram', echo(ours, PAGE, 'instagram')],
    ['while another app answers', echo(ours, PAGE, 'page', 'standby')],
  ])('%s come out, and open no window', (_, body) => {
    expect(read(body)).toEqual({ events: [taken], ignored: {} });
  });

  it.each([
    ['without metadata', echo({})],
    ['of another program', echo({ metadata: '{"order":17}' })],
    ['with a row that is none', echo({ metadata: 'pagecast/c1/0' })],
    ['with more behind the row', echo({ metadata: 'pagecast/c1/17/x' })],
    ['with a line break behind the row', echo({ metadata: 'pagecast/c1/17\n' })],
    ['with a row that is too large', echo({ metadata: 'pagecast/c1/99999999999999999999' })],
    ['with no campaign', echo({ metadata: 'pagecast//17' })],
    ['with a campaign of strange letters', echo({ metadata: 'pagecast/c1;--/17' })],
    ['whose metadata is no text', echo({ metadata: ['pagecast/c1/17'] })],
    ['without a message id', echo({ ...ours, mid: undefined })],
    ['with an empty message id', echo({ ...ours, mid: '' })],
    ['with a message id as a number', echo({ ...ours, mid: 17 })],
    ['with an endless message id', echo({ ...ours, mid: 'm'.repeat(501) })],
    ['of another sender', echo(ours, '999999')],
    ['of a sender as a number', echo(ours, Number(PAGE))],
  ])('%s are only counted', (_, body) => {
    expect(read(body)).toEqual({ events: [], ignored: { echo: 1 } });
  });

  it('give back every row that metadata can name, and nothing else', () => {
    const row = fc.record({
      campaign: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      seq: fc.integer({ min: 1, max: 999_999_999 }),
    });
    fc.assert(
      fc.property(row, (one) => {
        expect(readRowMetadata(rowMetadata(one))).toEqual(one);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.jsonValue()), (other) => {
        const read = readRowMetadata(other);
        if (read !== null) expect(rowMetadata(read)).toBe(other);
      }),
    );
  });
});

describe('receipts', () => {
  const told = { userId: USER, row: null, kind: 'delivered', at: AT, error: null };
  const seen = { ...told, kind: 'read' };

  it.each<[what: string, body: unknown, kind: string, receipts: object[]]>([
    [
      'messages that were delivered',
      messaging({ delivery: { mids: ['m1', 'm2'], watermark: AT - 9 } }),
      'delivery',
      [
        { ...told, messageId: 'm1' },
        { ...told, messageId: 'm2' },
      ],
    ],
    [
      'a delivery without the time of the event',
      messaging({ timestamp: undefined, delivery: { mids: ['m1'], watermark: AT - 9 } }),
      'delivery',
      [{ ...told, messageId: 'm1', at: AT - 9 }],
    ],
    [
      'a delivery that does not say to whom',
      messaging({ sender: undefined, delivery: { mids: ['m1'] } }),
      'delivery',
      [{ ...told, messageId: 'm1', userId: null }],
    ],
    [
      'everything that was delivered up to an instant',
      messaging({ delivery: { watermark: AT - 9 } }),
      'delivery',
      [{ ...told, messageId: null, at: AT - 9 }],
    ],
    [
      'everything that was read up to an instant',
      messaging({ read: { watermark: AT - 9 } }),
      'read',
      [{ ...seen, messageId: null, at: AT - 9 }],
    ],
    [
      'a message that was seen on Instagram',
      messaging({ read: { mid: 'm1' } }, 'instagram'),
      'read',
      [{ ...seen, messageId: 'm1' }],
    ],
    [
      'a message that was read while another app answers',
      messaging({ read: { mid: 'm1' } }, 'page', 'standby'),
      'read',
      [{ ...seen, messageId: 'm1' }],
    ],
  ])('tell of %s', (_, body, kind, receipts) => {
    expect(read(body)).toEqual({ events: [{ kind, accountId: PAGE, receipts }], ignored: {} });
  });

  it('tell of no more messages than a body ever has', () => {
    const { events, ignored } = read(messaging({ delivery: { mids: Array(1500).fill('m') } }));
    expect((events[0] as { receipts: unknown[] }).receipts).toHaveLength(1000);
    expect(ignored).toEqual({ over_limit: 500 });
  });
});

describe('notifications that somebody stops', () => {
  const optin = { type: 'notification_messages', notification_messages_status: 'STOP NOTIFICATIONS' };

  it.each<[what: string, body: unknown]>([
    ['on Messenger', messaging({ optin })],
    ['on Instagram', messaging({ optin }, 'instagram')],
    ['in small letters', messaging({ optin: { ...optin, notification_messages_status: 'stop notifications' } })],
    ['as a change', changed('messaging_optouts', { sender: { id: USER }, timestamp: AT, optin })],
  ])('%s', (_, body) => {
    expect(read(body)).toEqual({ events: [{ kind: 'opt_out', accountId: PAGE, userId: USER, at: AT }], ignored: {} });
  });
});

describe('bodies of any shape', () => {
  it('reads every entry and every list of it', () => {
    const item = { sender: { id: USER }, timestamp: AT, message: {} };
    const entry = {
      id: PAGE,
      time: AT,
      messaging: [item, item],
      standby: [item],
      changes: [{ field: 'feed', value: { ...post, item: 'comment' } }],
    };
    const { events } = read({ object: 'page', entry: [entry, { ...entry, id: '999999' }] });
    expect(events).toHaveLength(8);
    expect(new Set(events.map(({ accountId }) => accountId))).toEqual(new Set([PAGE, '999999']));
  });

  it('is bounded', () => {
    const item = { sender: { id: USER }, timestamp: AT, message: {} };
    const { events, ignored } = read({ object: 'page', entry: [{ id: PAGE, messaging: Array(1500).fill(item) }] });
    expect(events).toHaveLength(1000);
    expect(ignored).toEqual({ over_limit: 500 });
  });

  it('never throws, and accounts for every item', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.jsonValue(), fc.constant({ sender: { id: USER }, timestamp: AT, message: {} }))),
        fc.jsonValue(),
        (items, other) => {
          const { entries, ignored } = readMetaBody({ object: 'page', entry: [{ id: PAGE, messaging: items }] });
          const counted = Object.values(ignored).reduce((sum, count) => sum + count, 0);
          expect((entries[0]?.events.length ?? 0) + counted).toBe(items.length);
          readMetaBody(other);
          isMetaBody(other);
        },
      ),
    );
  });

  it('gives the same set in any order', () => {
    const item = fc.record({
      user: fc.integer({ min: 10_000, max: 99_999 }),
      at: fc.integer({ min: AT - 1e9, max: AT }),
      part: fc.constantFrom({ message: {} }, { postback: {} }, { reaction: { action: 'react' } }, { read: {} }),
    });
    const build = (items: { user: number; at: number; part: object }[]): unknown => ({
      object: 'page',
      entry: items.map(({ user, at, part }) => ({
        id: PAGE,
        messaging: [{ sender: { id: String(user) }, timestamp: at, ...part }],
      })),
    });
    const shuffled = fc
      .array(item, { maxLength: 20 })
      .chain((items) =>
        fc.tuple(fc.constant(items), fc.shuffledSubarray(items, { minLength: items.length, maxLength: items.length })),
      );
    const sorted = (body: unknown): [string[], unknown] => {
      const { events, ignored } = read(body);
      return [events.map((one) => JSON.stringify(one)).sort(), ignored];
    };
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        expect(sorted(build(one))).toEqual(sorted(build(other)));
      }),
    );
  });
});

describe('epochMs', () => {
  it.each<[unknown, number | null]>([
    [1_795_000_000, 1_795_000_000_000],
    ['1795000000', 1_795_000_000_000],
    [1_795_000_000_123, 1_795_000_000_123],
    ['1795000000123', 1_795_000_000_123],
    [1_795_000_000.5, 1_795_000_000_500],
    [1_795_000_000_123_456, null],
    ['1795000000123456', null],
    [45_982, null],
    [0, null],
    [-1, null],
    [Number.NaN, null],
    [Infinity, null],
    ['', null],
    ['1.795E+9', null],
    ['2026-01-01', null],
    [null, null],
    [{}, null],
  ])('%j', (value, expected) => {
    expect(epochMs(value)).toBe(expected);
  });
});
