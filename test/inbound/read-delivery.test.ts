import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CLOCK_SKEW_MS } from '../../src/core/window.js';
import { readDelivery } from '../../src/inbound/read-delivery.js';
import type { Delivery, DeliveryContent, InboundAccount } from '../../src/ports.js';

const NOW = Date.UTC(2026, 10, 22, 12);
const AT = NOW - 60_000;
const PAGE = '102938475601928';
const INSTAGRAM = '17841405822304914';
const NUMBER = '+15550001111';
const USER = '7642925849053901';
const PHONE = '+4915112345678';
const MARK = { campaign: 'c20261121-4f9ak', seq: 17 };

const page: InboundAccount = { key: `messenger/${PAGE}`, channel: 'messenger', ids: [PAGE] };
/** Its Page is the same one; its own webhooks name it by the other id. */
const instagram: InboundAccount = { key: `instagram/${PAGE}`, channel: 'instagram', ids: [PAGE, INSTAGRAM] };
const number: InboundAccount = { key: `sms/${NUMBER}`, channel: 'sms', ids: [NUMBER] };
const accounts = [page, instagram, number];

function read(body: unknown, change: Partial<Delivery> = {}, now = NOW): DeliveryContent {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const keys = accounts.map(({ key }) => key);
  return readDelivery(
    { number: 1, service: 'meta', accounts: keys, body: text, receivedAt: NOW, ...change },
    accounts,
    now,
  );
}

const nothing: DeliveryContent = { events: [], echoes: [], receipts: [], optOuts: [], ignored: {}, dead: null };

type MetaObject = 'page' | 'instagram';
const entryIds: Record<MetaObject, string> = { page: PAGE, instagram: INSTAGRAM };

function meta(object: MetaObject, list: 'messaging' | 'standby' | 'changes', ...items: unknown[]): unknown {
  return { object, entry: [{ id: entryIds[object], time: AT, [list]: items }] };
}

/** Gives the accounts of a sample their ids. */
function sample(object: MetaObject, item: object): unknown {
  const ids = { sender: { id: USER }, recipient: { id: entryIds[object] }, timestamp: AT };
  return meta(object, 'messaging', { ...ids, ...item });
}

const ECHO = { is_echo: true, app_id: 1517776481860111, mid: 'm_1', text: 'Hi' };
const INSTAGRAM_OWN = { sender: { id: INSTAGRAM }, recipient: { id: USER } };
const LINK = { ref: 'spring', source: 'SHORTLINK', type: 'OPEN_THREAD' };

describe('what is taken from an event', () => {
  const event = {
    account: page.key,
    userId: USER,
    openedAt: AT,
    opener: 'message',
    id: 'm_1',
    text: null,
    payload: null,
  };

  it('is who wrote what when', () => {
    const content = read(sample('page', { message: { mid: 'm_1', text: 'hi', quick_reply: { payload: 'X' } } }));
    expect(content).toEqual({ ...nothing, events: [{ ...event, text: 'hi', payload: 'X' }] });
  });

  it('is the row of an echo, and no event', () => {
    const metadata = `pagecast/${MARK.campaign}/${MARK.seq}`;
    const content = read(sample('instagram', { ...INSTAGRAM_OWN, message: { ...ECHO, metadata } }));
    expect(content).toEqual({ ...nothing, echoes: [{ account: instagram.key, ...MARK, messageId: 'm_1' }] });
  });

  it('is whose messages were delivered, and which', () => {
    const receipt = { account: page.key, userId: USER, row: null, kind: 'delivered', at: AT, error: null };
    expect(read(sample('page', { delivery: { mids: ['m_1', 'm_2'], watermark: AT - 5 } })).receipts).toEqual([
      { ...receipt, messageId: 'm_1' },
      { ...receipt, messageId: 'm_2' },
    ]);
    expect(read(sample('page', { delivery: { watermark: AT - 5 } })).receipts).toEqual([
      { ...receipt, messageId: null, at: AT - 5 },
    ]);
  });

  it('is who opted out, by the service itself', () => {
    const optin = { notification_messages_status: 'STOP NOTIFICATIONS' };
    expect(read(sample('page', { optin }))).toEqual({
      ...nothing,
      optOuts: [{ account: page.key, userId: USER, at: AT, out: true, source: 'platform' }],
    });
  });

  it('is who commented, on the account that is told of', () => {
    const value = { id: '17865799348089039', from: { id: USER }, text: 'x' };
    const comment = { ...event, account: instagram.key, opener: 'comment', id: value.id, text: 'x' };
    expect(read(meta('instagram', 'changes', { field: 'comments', value }))).toEqual({ ...nothing, events: [comment] });
  });

  it('is nothing of what opens no window, and that is no dead letter', () => {
    const optin = { notification_messages_status: 'RESUME NOTIFICATIONS' };
    expect(read(sample('page', { optin }))).toEqual({ ...nothing, ignored: { optin: 1 } });
  });

  it('says so while another app answers, and is the same for the rest', () => {
    const item = { sender: { id: USER }, timestamp: AT, message: { mid: 'm_1', text: 'hi' } };
    const { events, ...rest } = read(meta('page', 'messaging', item));
    const standby = events.map((event) => ({ ...event, standby: true }));
    expect(read(meta('page', 'standby', item))).toEqual({ ...rest, events: standby });
  });

  it('is nothing of what the account does itself, by whichever of its ids', () => {
    const own = sample('instagram', { sender: { id: PAGE }, message: { mid: 'm_1', text: 'x' } });
    expect(read(own)).toEqual({ ...nothing, ignored: { own_activity: 1 } });
  });
});

describe('whose account it is', () => {
  const message = { sender: { id: USER }, timestamp: AT, message: { mid: 'm_1' } };

  it.each<[what: string, body: unknown, change: Partial<Delivery>]>([
    ['an account that nobody has', { object: 'page', entry: [{ id: '99999', messaging: [message] }] }, {}],
    ['an account with nothing but likes', { object: 'page', entry: [{ id: '99999', changes: [] }] }, {}],
    [
      'an account for which the signature does not speak',
      meta('page', 'messaging', message),
      { accounts: [number.key] },
    ],
    ['an Instagram account under a Page', { object: 'page', entry: [{ id: INSTAGRAM, messaging: [message] }] }, {}],
  ])('%s is told, and counts for nobody', (_, body, change) => {
    const { ignored, ...content } = read(body, change);
    expect(content).toEqual({ ...nothing, ignored: undefined, dead: 'unknown_account' });
    expect(Object.keys(ignored)).toEqual(JSON.stringify(body).includes('message') ? ['other_account'] : []);
  });

  it('is looked for in each entry', () => {
    const entry = (id: string): object => ({ id, messaging: [message] });
    const content = read({ object: 'page', entry: [entry('99999'), entry(PAGE), entry('88888')] });
    expect(content.events.map(({ account }) => account)).toEqual([page.key]);
    expect(content).toMatchObject({ dead: 'unknown_account', ignored: { other_account: 2 } });
  });

  it('is an Instagram account by either of its ids', () => {
    for (const id of [PAGE, INSTAGRAM]) {
      const { events } = read({ object: 'instagram', entry: [{ id, messaging: [message] }] });
      expect(events.map(({ account }) => account)).toEqual([instagram.key]);
    }
  });
});

describe('what is wrong with a body', () => {
  const good = { sender: { id: USER }, timestamp: AT, message: { mid: 'm_1' } };
  const many = Array(1001).fill(good) as unknown[];
  const later = { ...good, timestamp: NOW + CLOCK_SKEW_MS + 1 };

  it.each<[what: string, body: unknown, dead: DeliveryContent['dead'], events: number]>([
    ['nothing', '', 'not_json', 0],
    ['half a body', '{"object":"page","entry":[', 'not_json', 0],
    ['a form', 'a=b&c=d', 'not_json', 0],
    ['bytes', '\u0000\u0001', 'not_json', 0],
    ['a number', '7', 'not_a_webhook', 0],
    ['null', 'null', 'not_a_webhook', 0],
    ['a list', [good], 'not_a_webhook', 0],
    ['an entry that is no list', { object: 'page', entry: {} }, 'not_a_webhook', 0],
    ['no object', { entry: [] }, 'malformed', 0],
    ['an entry of nothing', { object: 'page', entry: [null] }, 'malformed', 0],
    ['half of its items', meta('page', 'messaging', 7, good, 'x', good), 'malformed', 2],
    ['a list that is none', { object: 'page', entry: [{ id: PAGE, messaging: 7, standby: [good] }] }, 'malformed', 1],
    [
      'no time anywhere',
      { object: 'page', entry: [{ id: PAGE, messaging: [{ ...good, timestamp: 0 }] }] },
      'malformed',
      0,
    ],
    ['an opt-out whose shape is not known', meta('page', 'messaging', { messaging_optouts: {} }, good), 'malformed', 1],
    [
      'an opt-out among changes',
      meta('page', 'changes', { field: 'messaging_optouts', value: { any: 1 } }),
      'malformed',
      0,
    ],
    ['a time in the future', meta('page', 'messaging', later, good), 'from_the_future', 1],
    ['too many items', meta('page', 'messaging', ...many), 'over_limit', 1000],
    [
      'too many entries',
      { object: 'page', entry: Array(1001).fill({ id: PAGE, messaging: [good] }) },
      'over_limit',
      1000,
    ],
    ['several things, of which the gravest is told', meta('page', 'messaging', later, 7, ...many), 'malformed', 998],
    ['nothing at all', { object: 'page', entry: [] }, null, 0],
    ['nothing but another product', { object: 'whatsapp_business_account', entry: [{ id: '1' }] }, null, 0],
    [
      'nothing but a person that is not told',
      meta('page', 'messaging', { ...good, sender: { user_ref: 'x' } }),
      null,
      0,
    ],
  ])('%s', (_, body, dead, events) => {
    const content = read(body);
    expect(content.dead).toBe(dead);
    expect(content.events).toHaveLength(events);
  });

  it('is a time that lies further ahead than clocks differ, of whatever event', () => {
    const bodies = (at: number): unknown[] => [
      sample('page', { timestamp: at, message: { mid: 'm_1' } }),
      sample('page', { timestamp: at, delivery: { mids: ['m_1'] } }),
      sample('page', { read: { watermark: at } }),
      sample('page', { timestamp: at, optin: { notification_messages_status: 'STOP NOTIFICATIONS' } }),
    ];
    for (const body of bodies(NOW + CLOCK_SKEW_MS)) expect(read(body)).toMatchObject({ dead: null, ignored: {} });
    for (const body of bodies(NOW + CLOCK_SKEW_MS + 1)) {
      expect(read(body)).toEqual({ ...nothing, dead: 'from_the_future', ignored: { from_the_future: 1 } });
    }
  });

  /** A message whose text is a list so deep, in a body that is five levels deep there. */
  const nested = (depth: number, inner = ''): string => {
    const text = `${'['.repeat(depth)}${inner}${']'.repeat(depth)}`;
    const item = `{"sender":{"id":"${USER}"},"timestamp":${AT},"message":{"mid":"m_1","text":${text}}}`;
    return `{"object":"page","entry":[{"id":"${PAGE}","messaging":[${item}]}]}`;
  };

  it.each<[what: string, body: string, change?: Partial<Delivery>]>([
    ['a level more than 64', nested(59)],
    ['objects', `{"a":${'{"a":'.repeat(64)}1`],
    ['lists and objects', '[{"a":'.repeat(33)],
    ['what has no end', '['.repeat(1_000_000)],
    ['a million levels', nested(1_000_000)],
    ['behind a text with quotes and brackets', nested(59, String.raw`"\"]]]]\\"`)],
    ['of CAMS', nested(59), { service: 'cams' }],
  ])('is too deep: %s', (_, body, change) => {
    expect(read(body, change)).toEqual({ ...nothing, dead: 'too_deep' });
  });

  it.each<[what: string, body: string]>([
    ['64 levels', nested(58)],
    ['lists beside each other', nested(57, '[],'.repeat(1000) + '[]')],
    ['brackets within a text', nested(58, JSON.stringify(`"${'[{'.repeat(1000)}\\`))],
  ])('is not too deep: %s', (_, body) => {
    const content = read(body);
    expect(content.dead).toBeNull();
    expect(content.events).toHaveLength(1);
  });

  it('is not its depth where it is a form', () => {
    expect(read(`/twilio ${'['.repeat(1_000_000)}`, { service: 'twilio' }).dead).toBe('not_a_webhook');
  });

  it('never throws, whatever comes', () => {
    const field = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(USER, PAGE, NUMBER, AT, 'Read', 'message'));
    const names = ['MessageId', 'From', 'To', 'Timestamp', 'Status', 'TaskId', 'object', 'entry', 'sender', 'id'];
    const strange = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...names), field));
    const service = fc.constantFrom('meta', 'cams', 'twilio');
    const form = fc.dictionary(
      fc.constantFrom('MessageSid', 'SmsStatus', 'Body', 'From', 'To', 'campaign'),
      fc.string(),
    );
    const text = fc.oneof(
      strange.map((value) => JSON.stringify(value)),
      form.map((fields) => `/twilio?seq=1 ${new URLSearchParams(fields).toString()}`),
      fc.string(),
    );
    fc.assert(
      fc.property(service, text, (from, body) => {
        const content = read(body, { service: from });
        if (content.dead === null) return;
        expect(['not_json', 'not_a_webhook', 'malformed', 'unknown_account']).toContain(content.dead);
      }),
    );
  });
});

describe('order and repetition', () => {
  const at = fc.integer({ min: AT - 1e6, max: AT });
  const mid = fc.integer({ min: 1, max: 9 }).map((one) => `m_${one}`);
  const part = fc.oneof(
    mid.map((one) => ({ message: { mid: one, text: one } })),
    mid.map((one) => ({ reaction: { action: 'react', mid: one } })),
    fc.constantFrom('A', 'B').map((payload) => ({ postback: { payload } })),
    fc.constant({ referral: LINK }),
    mid.map((one) => ({ delivery: { mids: [one] } })),
    at.map((watermark) => ({ read: { watermark } })),
    fc.constant({ optin: { notification_messages_status: 'STOP NOTIFICATIONS' } }),
    fc.integer({ min: 1, max: 9 }).map((seq) => ({
      sender: { id: PAGE },
      message: { is_echo: true, mid: `e_${seq}`, metadata: `pagecast/c1/${seq}` },
    })),
  );
  const item = fc
    .record({ user: fc.integer({ min: 10_000, max: 10_009 }), timestamp: at, what: part })
    .map(({ user, timestamp, what }) => ({ sender: { id: String(user) }, timestamp, ...what }));

  /** Bodies that tell each event at least once, in any order, in any number of entries. */
  const tellings = (items: readonly object[]): fc.Arbitrary<unknown[]> => {
    const lists = fc.constantFrom('messaging', 'standby');
    const again = fc.subarray([...items]);
    const order = again.chain((more) => {
      const all = [...items, ...more];
      return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
    });
    return order.chain((all) =>
      fc
        .tuple(...all.map((one) => fc.record({ one: fc.constant(one), list: lists, isNew: fc.boolean() })))
        .map((placed) => {
          const bodies: { object: string; entry: object[] }[] = [];
          for (const { one, list, isNew } of placed) {
            if (isNew || bodies.length === 0) bodies.push({ object: 'page', entry: [] });
            bodies.at(-1)?.entry.push({ id: PAGE, time: NOW, [list]: [one] });
          }
          return bodies;
        }),
    );
  };

  const sets = (bodies: readonly unknown[]): Record<string, Set<string>> => {
    const all = bodies.map((body) => read(body));
    const set = (of: (content: DeliveryContent) => object[]): Set<string> =>
      new Set(all.flatMap(of).map((one) => JSON.stringify(one)));
    return {
      // One and the same event is told in one of the two lists only.
      events: set(({ events }) => events.map((event) => ({ ...event, standby: undefined }))),
      echoes: set(({ echoes }) => echoes),
      receipts: set(({ receipts }) => receipts),
      optOuts: set(({ optOuts }) => optOuts),
    };
  };

  it('make no difference to what is told', () => {
    const twoTellings = fc
      .array(item, { maxLength: 12 })
      .chain((items) => fc.tuple(fc.constant(items.length), tellings(items), tellings(items)));
    fc.assert(
      fc.property(twoTellings, ([count, one, other]) => {
        expect(sets(one)).toEqual(sets(other));
        const found = Object.values(sets(one)).reduce((sum, set) => sum + set.size, 0);
        expect(found > 0).toBe(count > 0);
      }),
    );
  });

  it('make no difference to what CAMS tells', () => {
    const inbound = { MessageId: 'w1', From: USER, To: PAGE, Type: 'TEXT', Message: 'hello', Timestamp: AT };
    const later = { ...inbound, MessageId: 'w2', Timestamp: AT + 1 };
    const told = (...items: object[]): Set<string> =>
      new Set(read(items, { service: 'cams' }).events.map((event) => JSON.stringify(event)));
    expect(told(inbound, later, inbound)).toEqual(told(later, inbound));
    expect(told(inbound, later).size).toBe(2);
  });
});

describe('CAMS', () => {
  const inbound = (change: object = {}): object => ({
    MessageId: '890000010002',
    From: USER,
    To: PAGE,
    DisplayName: 'Ann',
    Type: 'TEXT',
    Message: 'hello',
    Timestamp: AT,
    Name: 'Ann',
    ...change,
  });
  const status = (change: object = {}): object => ({
    MessageId: '890000010009',
    From: PAGE,
    To: USER,
    Timestamp: AT,
    Status: 'Delivered',
    TaskId: 'pagecast-c20261121-4f9ak-17-m8x2k1ab',
    ...change,
  });
  const event = {
    ...{ account: page.key, userId: USER, openedAt: AT, opener: 'message', id: '890000010002' },
    ...{ text: 'hello', payload: null },
  };
  const receipt = {
    ...{ account: page.key, messageId: 'pagecast-c20261121-4f9ak-17-m8x2k1ab', userId: USER, row: MARK },
    ...{ kind: 'delivered', at: AT, error: null },
  };

  it.each<[what: string, body: unknown, content: Partial<DeliveryContent>]>([
    ['what somebody wrote', [inbound()], { events: [event] } as never],
    ['a picture', [inbound({ Type: 'IMAGE', Message: '{"id":"1"}' })], { events: [{ ...event, text: null }] } as never],
    ['a key with a space', [inbound({ Timestamp: undefined, 'Timestamp ': AT })], { events: [event] } as never],
    ['what became of a message', [status()], { receipts: [receipt] } as never],
    [
      'a failure',
      [status({ Status: 'Failed', ErrorCode: '131026' })],
      { receipts: [{ ...receipt, kind: 'undelivered', error: { code: 'cams:131026', message: '' } }] } as never,
    ],
    ['a message of the system', [inbound({ Type: 'SYSTEM' })], { ignored: { system: 1 } }],
    ['a message deleted', [status({ Status: 'Deleted' })], { ignored: { deleted: 1 } }],
    ['one alone', inbound(), { events: [event] } as never],
    ['no notice', [], {}],
    ['another account', [inbound({ To: '99999' })], { ignored: { other_account: 1 }, dead: 'unknown_account' }],
    ['what is none', [{ a: 1 }, 7], { dead: 'not_a_webhook' }],
    ['a number', 7, { dead: 'not_a_webhook' }],
    ['text', '[{', { dead: 'not_json' }],
    ['some that are none', [7, inbound()], { events: [event], ignored: { malformed: 1 }, dead: 'malformed' } as never],
    ['no person', [inbound({ From: undefined })], { ignored: { malformed: 1 }, dead: 'malformed' }],
    ['an unknown status', [status({ Status: 'Pondered' })], { ignored: { malformed: 1 }, dead: 'malformed' }],
    [
      'the future',
      [inbound({ Timestamp: NOW + CLOCK_SKEW_MS + 1 })],
      { ignored: { from_the_future: 1 }, dead: 'from_the_future' },
    ],
    ['an echo of the account', [inbound({ From: PAGE })], { ignored: { own_activity: 1 } }],
  ])('%s', (_, body, content) => {
    expect(read(body, { service: 'cams' })).toEqual({ ...nothing, ...content });
  });

  it('has no more items than a list holds', () => {
    const content = read(Array(1001).fill(inbound()), { service: 'cams' });
    expect(content).toMatchObject({ dead: 'over_limit', ignored: { over_limit: 1 } });
    expect(content.events).toHaveLength(1000);
  });
});

describe('Twilio', () => {
  const SID = 'SM0123456789abcdef0123456789abcdef';
  const twilio = (fields: Record<string, string>, path = '/webhooks/twilio'): DeliveryContent =>
    read(`${path} ${new URLSearchParams(fields).toString()}`, { service: 'twilio', receivedAt: AT });
  const inbound = { MessageSid: SID, SmsStatus: 'received', From: PHONE, To: NUMBER, Body: 'hello', NumMedia: '0' };
  const event = {
    ...{ account: number.key, userId: PHONE, openedAt: AT, opener: 'message', id: SID },
    ...{ text: 'hello', payload: null },
  };
  const status = { MessageSid: SID, MessageStatus: 'delivered', From: NUMBER, To: PHONE };
  const receipt = {
    ...{ account: number.key, messageId: SID, userId: PHONE, row: null, kind: 'delivered', at: AT, error: null },
  };
  const optOut = { account: number.key, userId: PHONE, at: AT, source: 'platform' };

  it.each<[what: string, fields: Record<string, string>, content: object]>([
    ['what somebody wrote', inbound, { events: [event] }],
    ['an empty status', { ...inbound, SmsStatus: '' }, { ignored: { malformed: 1 }, dead: 'malformed' }],
    ['something that is still coming in', { ...inbound, SmsStatus: 'receiving' }, { events: [event] }],
    ['a picture', { ...inbound, Body: '', NumMedia: '1' }, { events: [{ ...event, text: null }] }],
    ['a number with its channel', { ...inbound, From: `sms:${PHONE}`, To: `sms:${NUMBER}` }, { events: [event] }],
    ['another channel', { ...inbound, From: `whatsapp:${PHONE}` }, { ignored: { other_channel: 1 } }],
    ['a program', { ...inbound, From: '72527' }, { ignored: { no_user: 1 } }],
    ['a name', { ...inbound, From: 'ACME' }, { ignored: { no_user: 1 } }],
    ['another number', { ...inbound, To: '+15559999999' }, { ignored: { other_account: 1 }, dead: 'unknown_account' }],
    [
      'STOP',
      { ...inbound, Body: 'Stop', OptOutType: 'STOP' },
      { events: [{ ...event, text: 'Stop' }], optOuts: [{ ...optOut, out: true }] },
    ],
    [
      'START',
      { ...inbound, Body: 'Start', OptOutType: 'START' },
      { events: [{ ...event, text: 'Start' }], optOuts: [{ ...optOut, out: false }] },
    ],
    ['HELP', { ...inbound, Body: 'Help', OptOutType: 'HELP' }, { events: [{ ...event, text: 'Help' }] }],
    ['what became of a message', status, { receipts: [receipt] }],
    [
      'a status of another number',
      { ...status, From: '+15559999999' },
      { ignored: { other_account: 1 }, dead: 'unknown_account' },
    ],
    ['an unknown status', { ...status, MessageStatus: 'x' }, { ignored: { malformed: 1 }, dead: 'malformed' }],
    ['no message', { From: NUMBER, To: PHONE }, { dead: 'not_a_webhook' }],
  ])('%s', (_, fields, content) => {
    expect(twilio(fields)).toEqual({ ...nothing, ...content });
  });

  it('tells of what somebody wrote without a status', () => {
    const { MessageSid, From, To, Body } = inbound;
    expect(twilio({ MessageSid, From, To, Body }).events).toEqual([event]);
  });

  it('names the row in the query', () => {
    const path = `/webhooks/twilio?campaign=${MARK.campaign}&seq=${MARK.seq}`;
    expect(twilio(status, path).receipts).toEqual([{ ...receipt, row: MARK }]);
  });
});
