import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRowMetadata, rowMetadata } from '../../src/core/metadata.js';
import { epochMs, isMetaBody, readMetaEvents, type IgnoredKind } from '../../src/inbound/meta-events.js';

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

const post = { from: { id: USER }, verb: 'add', post_id: '1_2', created_time: Math.floor(AT / 1000) };
const SECONDS = Math.floor(AT / 1000) * 1000;

describe('events that open the window', () => {
  it.each<[what: string, body: unknown, opener: string, openedAt?: number]>([
    ['message', messaging({ message: { mid: 'm', text: 'hello' } }), 'message'],
    ['quick reply', messaging({ message: { mid: 'm', text: 'x', quick_reply: { payload: 'X' } } }), 'message'],
    [
      'attachment',
      messaging({ message: { mid: 'm', attachments: [{ type: 'image', payload: { url: 'u' } }] } }),
      'message',
    ],
    ['story reply', messaging({ message: { mid: 'm', reply_to: { story: { id: '1' } } } }, 'instagram'), 'message'],
    [
      'message with an empty referral',
      messaging({ message: { mid: 'm', referral: { product: { id: '1' } } } }),
      'message',
    ],
    ['message with a strange referral', messaging({ message: { mid: 'm', referral: 'x' } }), 'message'],
    [
      'message after an ad',
      messaging({ message: { mid: 'm', referral: { source: 'ADS', ad_id: '1', type: 'OPEN_THREAD' } } }),
      'ad',
    ],
    ['postback', messaging({ postback: { title: 'Get Started', payload: 'GO' } }), 'button'],
    [
      'postback of a new thread',
      messaging({ postback: { payload: 'GO', referral: { source: 'SHORTLINK', ref: 'r' } } }),
      'button',
    ],
    ['m.me link', messaging({ referral: { ref: 'r', source: 'SHORTLINK', type: 'OPEN_THREAD' } }), 'm_me'],
    [
      'ig.me link',
      messaging({ referral: { ref: 'r', source: 'SHORTLINK', type: 'OPEN_THREAD' } }, 'instagram'),
      'ig_me',
    ],
    [
      'ig.me link by its own name',
      messaging({ referral: { ref: 'r', source: 'IGME-SOURCE-LINK' } }, 'instagram'),
      'ig_me',
    ],
    ['reaction', messaging({ reaction: { reaction: 'love', action: 'react', mid: 'm' } }), 'reaction'],
    ['while another app answers', messaging({ message: { mid: 'm', text: 'x' } }, 'page', 'standby'), 'message'],
    ['time in seconds', messaging({ timestamp: AT / 1000, message: {} }), 'message'],
    ['whole seconds', messaging({ timestamp: SECONDS / 1000, message: {} }), 'message', SECONDS],
    ['seconds as text', messaging({ timestamp: String(SECONDS / 1000), message: {} }), 'message', SECONDS],
    ['milliseconds as text', messaging({ timestamp: String(AT), message: {} }), 'message'],
    ['no time of its own', messaging({ timestamp: undefined, message: {} }), 'message', AT + 5],
    ['a time that is none', messaging({ timestamp: 'soon', message: {} }), 'message', AT + 5],
    ['comment', changed('feed', { ...post, item: 'comment' }), 'comment', SECONDS],
    ['visitor post', changed('feed', { ...post, item: 'status' }), 'visitor_post', SECONDS],
    ['visitor post of another kind', changed('feed', { ...post, item: 'post' }), 'visitor_post', SECONDS],
    ['visitor photo', changed('feed', { ...post, item: 'photo' }), 'visitor_post', SECONDS],
    [
      'Instagram comment',
      changed('comments', { id: '9', from: { id: USER, username: 'ann' }, text: 'x' }, 'instagram'),
      'comment',
      AT + 5,
    ],
    ['Instagram live comment', changed('live_comments', { from: { id: USER } }, 'instagram'), 'comment', AT + 5],
    [
      'test event of the dashboard',
      changed(
        'messages',
        { sender: { id: USER }, timestamp: String(SECONDS / 1000), message: { text: 'x' } },
        'instagram',
      ),
      'message',
      SECONDS,
    ],
  ])('%s', (_, body, opener, openedAt = AT) => {
    expect(readMetaEvents(body)).toEqual({
      openers: [{ accountId: PAGE, userId: USER, openedAt, opener }],
      echoes: [],
      ignored: {},
    });
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
    ['unsent message', messaging({ message: { mid: 'm', is_deleted: true } }, 'instagram'), 'deleted'],
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
    ['delivery', messaging({ delivery: { watermark: 1 } }), 'delivery'],
    ['read', messaging({ read: { watermark: 1 } }), 'read'],
    ['seen on Instagram', messaging({ read: { mid: 'm' } }, 'instagram'), 'read'],
    ['marketing opt-in', messaging({ optin: { type: 'notification_messages' } }), 'optin'],
    ['plugin opt-in', messaging({ sender: undefined, optin: { ref: 'r', user_ref: 'u' } }), 'optin'],
    ['handover', messaging({ pass_thread_control: {} }), 'handover'],
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
    ['a change without value', { object: 'page', entry: [{ id: PAGE, changes: [{ field: 'feed' }] }] }, 'malformed'],
    ['an entry that is no object', { object: 'page', entry: [7] }, 'malformed'],
    ['an entry id as number', { object: 'page', entry: [{ id: 1, messaging: [] }] }, 'malformed'],
    ['no object', { entry: [] }, 'malformed'],
    ['null', null, 'malformed'],
    ['text', 'x', 'malformed'],
  ])('%s', (_, body, kind) => {
    expect(readMetaEvents(body)).toEqual({ openers: [], echoes: [], ignored: { [kind]: 1 } });
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
  const taken = { accountId: PAGE, campaign: 'c20261121-4f9ak', seq: 17, messageId: 'm_1' };

  it.each([
    ['of a message of ours', echo(ours)],
    ['with its text and its app', echo({ ...ours, text: 'Hi Ann', app_id: 1517776481860111 })],
    ['that does not say that it is one', echo({ ...ours, is_echo: undefined })],
    ['on Instagram', echo(ours, PAGE, 'instagram')],
    ['while another app answers', echo(ours, PAGE, 'page', 'standby')],
  ])('%s come out, and open no window', (_, body) => {
    expect(readMetaEvents(body)).toEqual({ openers: [], echoes: [taken], ignored: { echo: 1 } });
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
    expect(readMetaEvents(body)).toEqual({ openers: [], echoes: [], ignored: { echo: 1 } });
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
    const read = readMetaEvents({ object: 'page', entry: [entry, { ...entry, id: '999999' }] });
    expect(read.openers).toHaveLength(8);
    expect(new Set(read.openers.map(({ accountId }) => accountId))).toEqual(new Set([PAGE, '999999']));
  });

  it('is bounded', () => {
    const item = { sender: { id: USER }, timestamp: AT, message: {} };
    const read = readMetaEvents({ object: 'page', entry: [{ id: PAGE, messaging: Array(1500).fill(item) }] });
    expect(read.openers).toHaveLength(1000);
    expect(read.ignored).toEqual({ over_limit: 500 });
  });

  it('never throws, and accounts for every item', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.jsonValue(), fc.constant({ sender: { id: USER }, timestamp: AT, message: {} }))),
        fc.jsonValue(),
        (items, other) => {
          const { openers, ignored } = readMetaEvents({ object: 'page', entry: [{ id: PAGE, messaging: items }] });
          const counted = Object.values(ignored).reduce((sum, count) => sum + count, 0);
          expect(openers.length + counted).toBe(items.length);
          readMetaEvents(other);
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
      const { openers, ignored } = readMetaEvents(body);
      return [openers.map((one) => JSON.stringify(one)).sort(), ignored];
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
