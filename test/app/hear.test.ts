import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FlowConfiguration } from '../../src/app/flow-message.js';
import { hearReceived } from '../../src/app/hear.js';
import { Failure } from '../../src/core/failure.js';
import { DEFAULT_AUTOMATION, type Flow, type Trigger } from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT, OPT_OUT_FLOW } from '../../src/core/opt-out.js';
import { senderKey } from '../../src/core/sender.js';
import type { Template } from '../../src/core/template.js';
import { OPENERS, type Opener } from '../../src/core/window.js';
import type { DeliveryContent, Store, UserEvent } from '../../src/ports.js';
import {
  answersOf,
  configurationWith,
  flow,
  hear,
  hearStage,
  insta,
  receive,
  singles,
  smsKey,
  waiting,
  waitingTexts,
  wasSent,
  worded,
  wroteText,
  type HearStage,
} from '../support/fixtures-flow.js';
import {
  account,
  accountKey,
  collect,
  DAY,
  exactWindow,
  HOUR,
  living,
  MINUTE,
  NOW,
  registeredTemplate,
  user,
} from '../support/fixtures.js';

const instaKey = senderKey(insta);
const onSms = { account: smsKey, userId: '+4915112345678' };

async function optedOut(store: Store, key = accountKey): Promise<{ userId: string; since: number; source: string }[]> {
  return collect(store.optOuts(key));
}

/** A flow named after what it waits for, which says its name. */
function named(name: string, trigger: Trigger, change: Partial<Flow> = {}): Flow {
  return flow({ name, trigger, content: { kind: 'free-text', text: name }, ...change });
}

const BY_WORD = named('b-word', { on: 'keyword', words: ['price', 'Preis'] });
const BY_TAP = named('a-tap', { on: 'payload', payloads: ['PRICES'] });
const FIRST = named('c-first', { on: 'first_message' });
const BY_OPENER = named('d-opener', { on: 'opener', openers: ['m_me', 'message', 'comment'] });
const CALLED = named('e-called', { on: 'call' });

describe('what was received', () => {
  it('takes effect, and is told by account', async () => {
    const stage = hearStage(configurationWith([]));
    const { store } = stage;
    const other = { account: instaKey, userId: user(9) };
    await receive(
      store,
      { events: [wroteText('hello'), wroteText(null, 2, { opener: 'reaction' })] },
      {
        events: [wroteText('stop', 3), wroteText('hi', 9, other)],
        echoes: [{ account: accountKey, campaign: 'c9', seq: 1, messageId: 'm_9' }],
        receipts: [
          { account: instaKey, messageId: 'm_8', userId: null, row: null, kind: 'read', at: NOW, error: null },
        ],
        optOuts: [{ account: instaKey, userId: user(8), at: NOW, out: true, source: 'platform' }],
        ignored: { typing: 2 },
      },
      { dead: 'not_json', ignored: { typing: 1 } },
    );
    const report = await hearReceived(stage, 100);
    expect(report).toMatchObject({
      read: 3,
      heard: 3,
      openersMoved: 4,
      confirmations: 1,
      queuedFor: new Set([accountKey]),
      dead: { not_json: 1 },
      ignored: { typing: 3 },
      failures: [],
    });
    expect(Object.fromEntries(report.accounts)).toMatchObject({
      [accountKey]: { events: { message: 2, reaction: 1 }, echoes: 1, receipts: 0, optOuts: 1 },
      [instaKey]: { events: { message: 1 }, echoes: 0, receipts: 1, optOuts: 1 },
    });
    expect(await store.openersOf(accountKey, user(2))).toEqual([{ opener: 'reaction', openedAt: NOW - MINUTE }]);
    expect(await optedOut(store)).toMatchObject([{ userId: user(3), since: NOW - MINUTE, source: 'keyword' }]);
    expect(await optedOut(store, instaKey)).toMatchObject([{ userId: user(8), source: 'platform' }]);
    expect(await hearReceived(stage, 100)).toMatchObject({ read: 0, heard: 0, queuedFor: new Set() });
  });

  it('is heard from the oldest on, so many at a time', async () => {
    const stage = hearStage(configurationWith([]));
    await receive(stage.store, wroteText('one', 1), wroteText('two', 2), wroteText('three', 3));
    expect(await hearReceived(stage, 2)).toMatchObject({ read: 2, heard: 2 });
    expect(await collect(stage.store.people(accountKey))).toEqual([user(1), user(2)]);
    expect(await stage.store.backlog()).toBe(1);
  });

  it('is put aside where the store cannot take it, and holds nothing else up', async () => {
    const stage = hearStage(configurationWith([]));
    await receive(
      stage.store,
      wroteText('one', 1),
      wroteText('two', 2, { openedAt: NOW + 0.5 }),
      wroteText('three', 3),
    );
    const report = await hearReceived(stage, 100);
    expect(report).toMatchObject({
      read: 3,
      heard: 3,
      dead: { failed: 1 },
      failures: [{ code: 'SQLITE_CONSTRAINT_DATATYPE' }],
    });
    expect(report.accounts.get(accountKey)?.events).toEqual({ message: 2 });
    expect(await collect(stage.store.people(accountKey))).toEqual([user(1), user(3)]);
    expect(await stage.store.deadLetters(0, 9)).toMatchObject([{ reason: 'failed' }]);
    expect(await stage.store.backlog()).toBe(0);
  });

  describe('and whose reading comes to an error', () => {
    /** Reading what the second person does comes to it. */
    function failingStage(error: Error): HearStage {
      const stage = hearStage(configurationWith([flow()]));
      const readDelivery: HearStage['readDelivery'] = (delivery) => {
        if (delivery.body.includes(user(2))) throw error;
        return stage.readDelivery(delivery);
      };
      return { ...stage, readDelivery };
    }

    it('is put aside where the fault is in pagecast', async () => {
      const fault = new TypeError('x is not a function');
      const stage = failingStage(fault);
      const report = await hear(stage, wroteText('price', 1), wroteText('price', 2), wroteText('price', 3));
      expect(report).toMatchObject({ read: 3, heard: 3, dead: { failed: 1 }, failures: [fault] });
      expect(report.accounts.get(accountKey)?.events).toEqual({ message: 2 });
      expect(answersOf(report)).toEqual(['price queued 2']);
      expect(await stage.store.deadLetters(0, 9)).toMatchObject([{ reason: 'failed' }]);
      expect(await hearReceived(stage, 100)).toMatchObject({ read: 0, failures: [] });
    });

    it('waits to be heard where the store is at fault', async () => {
      const stage = failingStage(new Failure('STORE_BUSY', 'another process is writing to it'));
      await expect(hear(stage, wroteText('price', 1), wroteText('price', 2))).rejects.toThrow('another process');
      expect(await stage.store.backlog()).toBe(2);
      expect(await stage.store.deadLetterCounts(0)).toEqual({});
    });
  });

  it('tells what failed once, when two listen on one store', async () => {
    const fault = new TypeError('x is not a function');
    const stage = {
      ...hearStage(configurationWith([])),
      readDelivery: () => {
        throw fault;
      },
    };
    await receive(stage.store, wroteText('one', 1), wroteText('two', 2));
    const other = { ...stage, store: stage.ledger.as(living).store };
    const reports = await Promise.all([hearReceived(stage, 100), hearReceived(other, 100)]);
    expect(reports.flatMap((report) => report.failures)).toEqual([fault, fault]);
  });

  it('opens windows and opts people out, and is not answered, while another app has the conversation', async () => {
    const stage = hearStage(configurationWith([BY_WORD]));
    const standby = { standby: true } as const;
    const report = await hear(
      stage,
      wroteText('price', 1, standby),
      wroteText('stop', 2, standby),
      wroteText('price', 3),
    );
    expect(report).toMatchObject({ openersMoved: 3, confirmations: 0 });
    expect(await optedOut(stage.store)).toMatchObject([{ userId: user(2) }]);
    expect(answersOf(report)).toEqual(['b-word queued 1']);
  });

  it('is heard in several steps when deliveries tell of very many things', async () => {
    const stage = hearStage(configurationWith([]));
    const many = (from: number): Partial<DeliveryContent> => ({
      events: Array.from({ length: 700 }, (_, n) => wroteText('hi', from + n)),
      echoes: Array.from({ length: 400 }, (_, n) => ({
        account: accountKey,
        campaign: 'c9',
        seq: n + 1,
        messageId: `${n}`,
      })),
      receipts: Array.from({ length: 400 }, (_, n) => ({
        ...{ account: accountKey, messageId: `${n}`, userId: user(n), row: null, kind: 'read', at: NOW, error: null },
      })),
    });
    await receive(stage.store, many(0), many(700), many(1400));
    expect(await hearReceived(stage, 100)).toMatchObject({ read: 2, openersMoved: 1400 });
    expect(await hearReceived(stage, 100)).toMatchObject({ read: 1, openersMoved: 700 });
  });

  it('waits to be heard when the store fails', async () => {
    const stage = hearStage(configurationWith([flow()]));
    await receive(stage.store, wroteText('price'));
    const failing = new Proxy(stage.store, {
      get: (store, name, receiver) =>
        name === 'hear'
          ? () => Promise.reject(new Error('disk full'))
          : (Reflect.get(store, name, receiver) as unknown),
    });
    await expect(hearReceived({ ...stage, store: failing }, 100)).rejects.toThrow('disk full');
    expect(await stage.store.backlog()).toBe(1);
    expect(answersOf(await hearReceived(stage, 100))).toEqual(['price queued 1']);
  });

  it('is done once when two listen on one store', async () => {
    const stage = hearStage(configurationWith([flow(), FIRST]));
    const other = { ...stage, store: stage.ledger.as(living).store };
    await receive(stage.store, wroteText('price', 1), wroteText('stop', 2), wroteText('hello', 3));
    const reports = await Promise.all([hearReceived(stage, 100), hearReceived(other, 100)]);
    expect(reports.map((report) => report.heard).sort()).toEqual([0, 3]);
    expect(reports.find((report) => report.heard === 0)).toMatchObject({ read: 3, accounts: new Map() });
    const texts = new Set(await waitingTexts(stage.store));
    expect(texts).toEqual(new Set(['It is 5 {{euros}}.', 'c-first', DEFAULT_OPT_OUT.confirmation?.['en']]));
    expect(await singles(stage.store)).toHaveLength(3);
  });
});

describe('a flow', () => {
  it('answers with a message that says what it answers, and until when it may go', async () => {
    const video: Template = {
      name: 'tour',
      language: 'en_US',
      channels: ['messenger'],
      kind: 'session',
      media: { type: 'video', url: 'https://example.com/{{room}}.mp4' },
      buttons: [],
      quickReplies: [],
      variables: [{ name: 'room', example: 'blue' }],
    };
    const content = { kind: 'template', name: 'tour', language: null, values: { room: 'red' } } as const;
    const stage = hearStage(configurationWith([flow({ content, expiryMs: 5 * MINUTE })], { templates: [video] }));
    const event = wroteText('PRICE?', 1, { id: 'm_abc', openedAt: NOW - 3 * MINUTE });
    expect(answersOf(await hear(stage, event))).toEqual(['price queued 1']);
    const [single] = await waiting(stage.store);
    expect(single).toMatchObject({
      userId: user(1),
      values: ['red'],
      answersAt: NOW - 3 * MINUTE,
      expiresAt: NOW + 2 * MINUTE,
    });
    expect(await stage.store.campaign(single!.campaign)).toMatchObject({
      account: accountKey,
      accountName: account.name,
      mode: 'auto-reply',
      flow: 'price',
      template: video,
      variables: ['room'],
      // Videos are taken more slowly.
      pace: 10,
      state: 'continuous',
    });
  });

  it('leaves braces in free text as they are', async () => {
    const stage = hearStage(configurationWith([flow()]));
    await hear(stage, wroteText('price'));
    expect(await waiting(stage.store)).toMatchObject([{ values: ['It is 5 {{euros}}.'] }]);
  });

  it.each<[string, Partial<UserEvent>, string[]]>([
    ['a word in capitals', { text: 'PRICE' }, ['b-word']],
    ['a word with signs around it', { text: ' ¡Price!! ' }, ['b-word']],
    ['another of its words', { text: 'preis' }, ['b-word']],
    ['a word in a sentence', { text: 'what is the price' }, ['d-opener']],
    ['a word in public', { text: 'price', opener: 'comment' }, ['d-opener']],
    ['a tap', { text: null, payload: 'PRICES', opener: 'button' }, ['a-tap']],
    ['a tap in other letters', { text: null, payload: 'prices', opener: 'button' }, []],
    ['a tap that sends the word as well', { text: 'price', payload: 'PRICES' }, ['b-word']],
    ['a word, from an ad', { text: 'price', opener: 'ad' }, ['b-word']],
    ['an opener', { text: null, opener: 'm_me' }, ['d-opener']],
    ['an opener that no flow waits for', { text: null, opener: 'reaction' }, []],
  ])('is chosen for %s', async (_, event, expected) => {
    const stage = hearStage(configurationWith([BY_OPENER, BY_WORD, CALLED, BY_TAP]));
    await hear(stage, wroteText(null, 1, event));
    expect(await waitingTexts(stage.store)).toEqual(expected);
  });

  it.each<[string, Partial<UserEvent>[], string[]]>([
    ['the first message', [{ text: 'hi' }], ['c-first']],
    ['the second message', [{ text: 'hi' }, { text: 'ho' }], ['c-first', 'd-opener']],
    ['a first message that is a keyword', [{ text: 'price' }, { text: 'hi' }], ['b-word', 'd-opener']],
    ['a first message after a reaction', [{ text: null, opener: 'reaction' }, { text: 'hi' }], ['c-first']],
    ['a first message after a comment', [{ opener: 'comment' }, { text: 'hi' }], ['d-opener', 'c-first']],
    ['a comment after a message', [{ text: 'hi' }, { text: 'ho', opener: 'comment' }], ['c-first', 'd-opener']],
    ['a first tap', [{ opener: 'button', payload: 'X' }, { text: 'hi' }], ['c-first', 'd-opener']],
    ['a message after an opt-out', [{ text: 'stop', openedAt: NOW - HOUR }, { text: 'hi' }], ['d-opener']],
    ['the first message, told twice', [{ text: 'hi' }, { text: 'hi' }], ['c-first']],
  ])('is chosen for %s', async (_, events, expected) => {
    for (const isTogether of [true, false]) {
      const stage = hearStage(configurationWith([BY_OPENER, BY_WORD, FIRST]));
      const people = events.map((event) => wroteText(null, 1, event));
      if (isTogether) await hear(stage, ...people);
      else for (const event of people) await hear(stage, event);
      expect(await waitingTexts(stage.store)).toEqual(expected);
    }
  });

  it('knows of whoever has written before', async () => {
    const stage = hearStage(configurationWith([FIRST]));
    await stage.store.recordOpeners(accountKey, [{ userId: user(1), openedAt: NOW - 9 * DAY, opener: 'message' }]);
    await hear(stage, wroteText('hi', 1), wroteText('hi', 2));
    expect(await waiting(stage.store)).toMatchObject([{ userId: user(2) }]);
  });

  it.each<Opener>(['reaction', 'comment', 'visitor_post', 'm_me', 'ig_me'])(
    'welcomes at their first message whoever is known only by: %s',
    async (opener) => {
      const stage = hearStage(configurationWith([FIRST]));
      await stage.store.recordOpeners(accountKey, [{ userId: user(1), openedAt: NOW - 9 * DAY, opener }]);
      await hear(stage, wroteText(null, 1, { opener }));
      expect(await waitingTexts(stage.store)).toEqual([]);
      await hear(stage, wroteText('hi', 1));
      expect(await waitingTexts(stage.store)).toEqual(['c-first']);
    },
  );

  it.each<[Opener, number | null]>([
    ['message', NOW - 3 * MINUTE],
    ['button', NOW - 3 * MINUTE],
    ['ad', NOW - 3 * MINUTE],
    ['reaction', null],
    ['comment', null],
    ['visitor_post', null],
    ['m_me', null],
    ['ig_me', null],
  ])('to "%s" says when the person wrote what it answers, and expires after that event', async (opener, answersAt) => {
    const stage = hearStage(configurationWith([named('all', { on: 'opener', openers: OPENERS })]));
    await hear(stage, wroteText(null, 1, { opener, openedAt: NOW - 3 * MINUTE }));
    expect(await waiting(stage.store)).toMatchObject([{ answersAt, expiresAt: NOW + 7 * MINUTE }]);
  });

  it('answers whoever writes first to each account', async () => {
    const stage = hearStage(configurationWith([{ ...FIRST, from: 'auto' }], { templates: [] }));
    const report = await hear(stage, wroteText('hi'), wroteText('hi', 1, { account: instaKey }));
    // "auto" takes no free text, whichever account it is.
    expect([answersOf(report), answersOf(report, instaKey)]).toEqual([['c-first V5 1'], ['c-first V5 1']]);
  });

  it.each<[string, Partial<Flow>, Partial<UserEvent>, string[]]>([
    ['its own account', {}, {}, [accountKey]],
    ['another account than its own', {}, { account: instaKey }, []],
    ['an account that is not there', {}, { account: 'messenger/999999999999' }, []],
    ['any account, where it is sent from "auto"', { from: 'auto' }, { account: instaKey }, [instaKey]],
    ['the number of a record owner', { from: 'record-owner' }, onSms, [smsKey]],
    ['an account of no record owner', { from: 'record-owner' }, {}, []],
  ])('answers on %s', async (_, change, event, expected) => {
    const everywhere = worded('en', { channels: ['messenger', 'instagram', 'sms'] });
    const content = { kind: 'template', name: 'welcome', language: 'en', values: {} } as const;
    const stage = hearStage(configurationWith([flow({ content, ...change })], { templates: [everywhere] }));
    await hear(stage, wroteText('price', 1, event));
    const found = await Promise.all(
      [accountKey, instaKey, smsKey].map(async (key) => ((await waiting(stage.store, key)).length > 0 ? [key] : [])),
    );
    expect(found.flat()).toEqual(expected);
  });

  it.each([
    ['the account that it names', 'acme-twin', 'acme-twin'],
    ['the name that comes first, where it names none', 'auto', account.name],
  ])('answers from %s, where an account goes by two names', async (_, from, accountName) => {
    const content = { kind: 'template', name: 'welcome', language: 'en', values: {} } as const;
    const templates = [worded('en', { channels: ['messenger', 'instagram', 'sms'] })];
    const accounts = [account, { ...account, name: 'acme-twin' }];
    const stage = hearStage(configurationWith([flow({ from, content })], { accounts, templates }));
    await hear(stage, wroteText('price'));
    const [single] = await waiting(stage.store);
    expect(await stage.store.campaign(single!.campaign)).toMatchObject({ accountName });
  });

  const inNewYork = { from: 20 * 60, to: 9 * 60, zone: 'America/New_York' };
  const template = (change: object): Partial<Flow> => ({
    content: { kind: 'template', name: 'welcome', language: 'en', values: {}, ...change },
  });
  // It is 12:00 in London and 7:00 in New York.
  it.each<[string, Partial<Flow>, Partial<UserEvent>, Partial<FlowConfiguration>, string]>([
    ['in time', { expiryMs: MINUTE + 1 }, {}, {}, 'queued'],
    ['too late', { expiryMs: MINUTE }, {}, {}, 'late'],
    ['outside quiet hours', { quietHours: { ...inNewYork, zone: 'Europe/London' } }, {}, {}, 'queued'],
    ['in quiet hours', { quietHours: inNewYork }, {}, {}, 'quiet_hours'],
    ['in quiet hours, waiting', { quietHours: inNewYork, inQuietHours: 'wait', expiryMs: 3 * HOUR }, {}, {}, 'queued'],
    ['in quiet hours that end too late', { quietHours: inNewYork, inQuietHours: 'wait' }, {}, {}, 'quiet_hours'],
    [
      'in quiet hours after which the window is shut',
      { quietHours: inNewYork, inQuietHours: 'wait', expiryMs: 3 * DAY },
      { openedAt: NOW - 22.5 * HOUR },
      {},
      'V4',
    ],
    ['in a window that has shut', { expiryMs: 3 * DAY }, { openedAt: NOW - DAY }, {}, 'V4'],
    [
      'to what opens no window',
      {},
      { opener: 'comment', payload: 'PRICES' },
      { window: { ...exactWindow, openers: { ...exactWindow.openers, comment: false } } },
      'V4',
    ],
    ['with a template', template({}), {}, {}, 'queued'],
    ['with a template that is not there', template({ name: 'gone' }), {}, {}, 'template'],
    ['with a template in another language', template({ language: 'fr' }), {}, {}, 'template'],
    ['with a template of another channel', template({ name: 'text_me' }), {}, {}, 'V4'],
    ['with a template that lacks a value', template({ name: 'hello' }), {}, {}, 'template'],
    [
      'with a value that is too long',
      template({ name: 'hello', values: { name: 'A'.repeat(21) } }),
      {},
      {},
      'template',
    ],
    ['with a tagged template', template({ name: 'tagged' }), {}, {}, 'template'],
    ['with a template that has faults', template({ name: 'broken' }), {}, {}, 'template'],
    [
      'with a registered template',
      template({ name: 'order_update', language: 'en_US', values: { name: 'Ann', order_no: '1' } }),
      {},
      {},
      'queued',
    ],
    ['with text that is too long', { content: { kind: 'free-text', text: 'a'.repeat(2000) } }, {}, {}, 'template'],
    ['as an automation with free text', { type: 'automation' }, {}, {}, 'V4'],
    ['as an automation with a session template', { type: 'automation', ...template({}) }, {}, {}, 'V4'],
  ])('answers %s', async (_, change, event, surroundings, expected) => {
    const templates = [
      worded('en'),
      worded('en', { name: 'text_me', channels: ['sms'] }),
      worded('en', {
        name: 'hello',
        body: 'Hello {{name}}',
        variables: [{ name: 'name', example: 'Ann', maxLength: 20 }],
      }),
      worded('en', { name: 'tagged', tag: 'ACCOUNT_UPDATE' }),
      worded('en', { name: 'broken', body: 'Hello {{name}' }),
      registeredTemplate,
    ];
    const trigger = event.payload ? ({ on: 'payload', payloads: [event.payload] } as const) : flow().trigger;
    const stage = hearStage(configurationWith([flow({ trigger, ...change })], { templates, ...surroundings }));
    const report = await hear(stage, wroteText('price', 1, event));
    expect(answersOf(report)).toEqual([`price ${expected} 1`]);
    expect(report.queuedFor.has(accountKey)).toBe(expected === 'queued');
    // Whatever becomes of the answer, the event counts.
    expect(report.openersMoved).toBe(1);
  });

  it('looks at what else has opened the window, where the event has not', async () => {
    const window = { ...exactWindow, openers: { ...exactWindow.openers, comment: false } };
    const stage = hearStage(configurationWith([BY_OPENER], { window }));
    await stage.store.recordOpeners(accountKey, [{ userId: user(1), openedAt: NOW - HOUR, opener: 'message' }]);
    expect(answersOf(await hear(stage, wroteText(null, 1, { opener: 'comment' })))).toEqual(['d-opener queued 1']);
  });

  it('waits for the end of quiet hours', async () => {
    const change = { quietHours: inNewYork, inQuietHours: 'wait', expiryMs: 3 * HOUR } as const;
    const stage = hearStage(configurationWith([flow(change)]));
    await hear(stage, wroteText('price'));
    expect(await stage.store.singlesDueAt(accountKey)).toBe(NOW + 2 * HOUR);
    const queued = await waiting(stage.store, accountKey, NOW + 2 * HOUR);
    expect(queued).toMatchObject([{ expiresAt: NOW - MINUTE + 3 * HOUR }]);
    // Whoever sends it later looks at them again.
    const quiet = { hours: inNewYork, then: 'wait' };
    expect(await stage.store.campaign(queued[0]!.campaign)).toMatchObject({ quiet });
  });

  it('goes to nobody more often than it may', async () => {
    const stage = hearStage(configurationWith([flow({ oncePerMs: HOUR }), BY_TAP]));
    const results: string[] = [];
    for (const minutes of [0, 30, 59, 61]) {
      const now = NOW + minutes * MINUTE;
      stage.clock.advance(now - stage.clock.now());
      results.push(...answersOf(await hear(stage, wroteText('price', 1, { openedAt: now }))));
    }
    expect(results).toEqual(['price queued 1', 'price limit 1', 'price limit 1', 'price queued 1']);
    expect(answersOf(await hear(stage, wroteText('price', 2, { openedAt: stage.clock.now() })))).toEqual([
      'price queued 1',
    ]);
  });

  it('does not answer a program that answers it for ever', async () => {
    const guard = { most: 3, withinMs: HOUR };
    const flows = [flow({ trigger: { on: 'opener', openers: ['message'] } }), BY_TAP];
    const stage = hearStage(configurationWith(flows, { automation: { ...DEFAULT_AUTOMATION, guard } }));
    const answersPerHour: number[] = [];
    for (let hour = 0; hour < 3; hour += 1) {
      let answers = 0;
      // It answers within a second, and each of its answers is answered.
      for (let second = 0; second < 3600; second += 60) {
        const openedAt = NOW + hour * HOUR + second * 1000;
        stage.clock.advance(openedAt - stage.clock.now());
        const report = await hear(stage, wroteText('I am not here.', 1, { openedAt }));
        answers += report.accounts.get(accountKey)?.answers.get('price')?.queued ?? 0;
      }
      answersPerHour.push(answers);
    }
    expect(answersPerHour).toEqual([3, 3, 3]);
    // Taps count among them, other people do not.
    const now = stage.clock.now();
    const report = await hear(
      stage,
      wroteText(null, 1, { payload: 'PRICES', openedAt: now }),
      wroteText('hello', 2, { openedAt: now }),
    );
    expect(answersOf(report).sort()).toEqual(['a-tap guard 1', 'price queued 1']);
  });

  it('answers nothing twice', async () => {
    const stage = hearStage(configurationWith([flow()]));
    const event = wroteText('price');
    expect(answersOf(await hear(stage, event, event))).toEqual(['price queued 1', 'price occasion 1']);
    expect(answersOf(await hear(stage, event))).toEqual(['price occasion 1']);
    expect(await singles(stage.store)).toHaveLength(1);
  });
});

describe('the language of an answer', () => {
  const content = { kind: 'template', name: 'welcome', language: null, values: {} } as const;
  it.each<[string, string[], string | null, string | null, string]>([
    ['is that of the only template', ['fr_FR'], null, null, 'fr_FR'],
    ['is that of the only template, whatever the person speaks', ['fr_FR'], null, 'de', 'fr_FR'],
    ['is that of the message before', ['en_US', 'de_DE', 'fr_FR'], null, 'de_DE', 'de_DE'],
    ['is that of the message before, of another country', ['en_US', 'de_DE', 'fr_FR'], null, 'de_AT', 'de_DE'],
    ['is English, where nothing is known', ['fr_FR', 'en_US'], null, null, 'en_US'],
    ['is the first, where nothing is known and there is no English', ['fr_FR', 'de_DE'], null, null, 'fr_FR'],
    ['is that of the flow', ['en_US', 'de_DE', 'fr_FR'], 'fr_FR', 'de_DE', 'fr_FR'],
  ])('%s', async (_, languages, language, spoken, expected) => {
    const templates = languages.map((one) => worded(one));
    const stage = hearStage(configurationWith([flow({ content: { ...content, language } })], { templates }));
    if (spoken !== null) await wasSent(stage, spoken);
    await hear(stage, wroteText('price'));
    expect(await waitingTexts(stage.store)).toEqual([`Welcome in ${expected}.`]);
  });
});

describe('the sentence that says that a message is automatic', () => {
  const disclosure = { en: 'This is automatic.', de: 'Das ist automatisch.' };
  const said = { ...DEFAULT_AUTOMATION, disclosure, discloseAgainMs: HOUR };
  const text = 'It is 5 {{euros}}.';

  async function answers(stage: HearStage, ...minutes: number[]): Promise<string[]> {
    for (const minute of minutes) {
      const openedAt = NOW + minute * MINUTE;
      stage.clock.advance(openedAt - stage.clock.now());
      await hear(stage, wroteText('price', 1, { openedAt }));
    }
    const found = await waiting(stage.store, accountKey, stage.clock.now());
    return found.map((single) => single.text);
  }

  it('is left out where nothing asks for it', async () => {
    expect(await answers(hearStage(configurationWith([flow()])), 0)).toEqual([text]);
  });

  it('comes with the first message, and again after a while without any', async () => {
    const stage = hearStage(configurationWith([flow()], { automation: said }));
    const disclosed = `${text}\n\nThis is automatic.`;
    expect(await answers(stage, 0, 59, 118, 178)).toEqual([disclosed, text, text, disclosed]);
  });

  it('is in the language of the person', async () => {
    const stage = hearStage(configurationWith([flow()], { automation: said }));
    await wasSent(stage, 'de_DE');
    expect(await answers(stage, 0)).toEqual([`${text}\n\nDas ist automatisch.`]);
  });

  it('is in the language of the template', async () => {
    const content = { kind: 'template', name: 'welcome', language: 'de_DE', values: {} } as const;
    const stage = hearStage(configurationWith([flow({ content })], { automation: said, templates: [worded('de_DE')] }));
    expect(await answers(stage, 0)).toEqual(['Welcome in de_DE.\n\nDas ist automatisch.']);
  });

  it.each<[string, Flow['content']]>([
    [
      'in a registered template',
      { kind: 'template', name: 'order_update', language: null, values: { name: 'Ann', order_no: 'A-1' } },
    ],
    ['in a text that is too long with it', { kind: 'free-text', text: 'a'.repeat(1990) }],
  ])('has no place %s, which is told', async (_, content) => {
    const stage = hearStage(
      configurationWith([flow({ content })], { automation: said, templates: [registeredTemplate] }),
    );
    const event = wroteText('price');
    expect(answersOf(await hear(stage, event))).toEqual(['price undisclosed 1', 'price queued 1']);
    // What is not queued is not told as sent without it.
    expect(answersOf(await hear(stage, event))).toEqual(['price occasion 1']);
    expect(await waiting(stage.store)).toHaveLength(1);
  });
});

describe('opting out by a word', () => {
  it.each<[string, string | null, string, boolean]>([
    ['English', null, 'STOP', true],
    ['English, after a message in German', 'de_DE', 'Unsubscribe!', true],
    ['the language of the last message', 'de_DE', 'abmelden', true],
    ['a language of the templates', null, 'désabonner', true],
    ['a language of the templates, after a message in another', 'de_DE', 'désabonner', false],
    ['a language that nobody uses here', null, 'отписаться', false],
    ['no language: it is a sentence', null, 'please stop by', false],
  ])('in %s', async (_, spoken, text, isOut) => {
    const stage = hearStage(configurationWith([BY_OPENER], { templates: [worded('fr_FR'), worded('de_DE')] }));
    if (spoken !== null) await wasSent(stage, spoken);
    await hear(stage, wroteText(text));
    expect(await optedOut(stage.store)).toHaveLength(isOut ? 1 : 0);
    // No flow answers it.
    expect((await waitingTexts(stage.store)).includes('d-opener')).toBe(!isOut);
  });

  it.each<Partial<UserEvent>>([{ opener: 'comment' }, { opener: 'visitor_post' }])(
    'is none where everybody can read it: %s',
    async (event) => {
      const stage = hearStage(configurationWith([]));
      await hear(stage, wroteText('stop', 1, event));
      expect(await optedOut(stage.store)).toEqual([]);
    },
  );

  it('counts from when it was written, also on an account that no flow answers from', async () => {
    const stage = hearStage(configurationWith([]));
    await hear(stage, wroteText('stop', 1, { openedAt: NOW - 3 * HOUR, account: 'messenger/999999999999' }));
    expect(await optedOut(stage.store, 'messenger/999999999999')).toMatchObject([{ since: NOW - 3 * HOUR }]);
  });

  it.each([
    ['a reply that a flow waits for', 'Cancel', 'CANCEL_ORDER', false],
    ['a reply that nobody waits for', 'Cancel', 'OTHER', true],
    ['a reply that says so twice', 'Stop', 'STOP', true],
  ])('is told from a tap on %s', async (_, text, payload, isOut) => {
    const cancels = named('cancels', { on: 'payload', payloads: ['CANCEL_ORDER', 'STOP'] });
    const stage = hearStage(configurationWith([cancels]));
    const report = await hear(stage, wroteText(text, 1, { payload }));
    expect(await optedOut(stage.store)).toHaveLength(isOut ? 1 : 0);
    expect(answersOf(report)).toEqual(isOut ? [] : ['cancels queued 1']);
  });

  it('is confirmed once, in the language of the person', async () => {
    const stage = hearStage(configurationWith([]));
    await wasSent(stage, 'de_DE');
    const first = await hear(stage, wroteText('Unsubscribe', 1, { openedAt: NOW - 2 * MINUTE }));
    const second = await hear(stage, wroteText('STOP', 1, { openedAt: NOW - MINUTE }));
    expect([first.confirmations, second.confirmations]).toEqual([1, 0]);
    const [single, ...others] = await waiting(stage.store);
    expect(others).toEqual([]);
    expect(single).toMatchObject({
      text: DEFAULT_OPT_OUT.confirmation?.['de'],
      answersAt: NOW - 2 * MINUTE,
      expiresAt: NOW + 8 * MINUTE,
    });
    expect(await stage.store.campaign(single!.campaign)).toMatchObject({ mode: 'auto-reply', flow: OPT_OUT_FLOW });
  });

  it.each<[string, Partial<UserEvent>, Partial<FlowConfiguration>]>([
    ['through Twilio, which does so itself', onSms, {}],
    ['long after', { openedAt: NOW - 10 * MINUTE }, {}],
    ['where the settings say so', {}, { optOut: { ...DEFAULT_OPT_OUT, confirmation: null } }],
    ['on an account that is not there', { account: 'messenger/999999999999' }, {}],
  ])('is not confirmed %s', async (_, change, surroundings) => {
    const stage = hearStage(configurationWith([], surroundings));
    const event = wroteText('stop', 1, change);
    expect(await hear(stage, event)).toMatchObject({ confirmations: 0, queuedFor: new Set() });
    expect(await optedOut(stage.store, event.account)).toHaveLength(1);
    expect(await singles(stage.store, event.account)).toEqual([]);
  });

  it('is taken back by a word, and confirmed again when it is meant again', async () => {
    const stage = hearStage(configurationWith([]));
    await hear(stage, wroteText('stop', 1, { openedAt: NOW - 3 * MINUTE }));
    expect(await optedOut(stage.store)).toHaveLength(1);
    expect(await hear(stage, wroteText('START', 1, { openedAt: NOW - 2 * MINUTE }))).toMatchObject({
      confirmations: 0,
    });
    expect(await optedOut(stage.store)).toEqual([]);
    stage.clock.advance(2 * MINUTE);
    expect(await hear(stage, wroteText('stop', 1, { openedAt: NOW + MINUTE }))).toMatchObject({ confirmations: 1 });
    expect(await optedOut(stage.store)).toMatchObject([{ since: NOW + MINUTE }]);
  });

  it('is what is confirmed, where one delivery tells of opting in as well', async () => {
    const stage = hearStage(configurationWith([]));
    const events = [
      wroteText('start', 1, { openedAt: NOW - 2 * MINUTE }),
      wroteText('stop', 1, { openedAt: NOW - MINUTE }),
    ];
    await receive(stage.store, { events });
    expect(await hearReceived(stage, 100)).toMatchObject({ confirmations: 1 });
    expect(await waiting(stage.store)).toMatchObject([{ answersAt: NOW - MINUTE }]);
  });

  it('is not confirmed each time to a program that goes in and out', async () => {
    const stage = hearStage(configurationWith([]));
    for (let second = 0; second < 120; second += 2) {
      const openedAt = NOW + second * 1000;
      stage.clock.advance(openedAt - stage.clock.now());
      await hear(stage, wroteText('stop', 1, { openedAt }));
      await hear(stage, wroteText('start', 1, { openedAt: openedAt + 1000 }));
    }
    expect((await singles(stage.store)).length).toBeLessThanOrEqual(3);
  });
});

describe('the order in which things are told', () => {
  it('and how often makes no difference to windows, opt-outs and answers', async () => {
    const texts = ['price', 'stop', 'start', 'hello', null] as const;
    const event = fc
      .record({
        n: fc.integer({ min: 1, max: 3 }),
        text: fc.constantFrom(...texts),
        seconds: fc.integer({ min: 1, max: 300 }),
        opener: fc.constantFrom('message' as const, 'button' as const, 'comment' as const),
      })
      .map(({ n, text, seconds, opener }) => wroteText(text, n, { openedAt: NOW - seconds * 1000, opener }));
    const events = fc.uniqueArray(event, { minLength: 1, maxLength: 12, selector: (one) => one.id });
    const tellings = events.chain((once) =>
      fc.tuple(
        fc.constant(once),
        fc.array(fc.constantFrom(...once), { maxLength: 6 }).chain((again) => {
          const all = [...once, ...again];
          return fc.shuffledSubarray(all, { minLength: all.length });
        }),
        fc.integer({ min: 1, max: 5 }),
      ),
    );
    const told = async (all: readonly UserEvent[], atOnce: number): Promise<unknown> => {
      const stage = hearStage(configurationWith([flow(), named('d-opener', { on: 'opener', openers: ['message'] })]));
      await receive(stage.store, ...all);
      while ((await hearReceived(stage, atOnce)).read > 0);
      const rows = (
        await Promise.all(
          (await singles(stage.store)).map(async (row) => ({
            userId: row.userId,
            flow: (await stage.store.campaign(row.campaign))?.flow,
            closesAt: row.closesAt,
          })),
        )
      ).filter((row) => row.flow !== OPT_OUT_FLOW);
      const people = await collect(stage.store.people(accountKey));
      return {
        rows: rows.map((row) => JSON.stringify(row)).sort(),
        optedOut: await optedOut(stage.store),
        windows: await Promise.all(people.map((person) => stage.store.openersOf(accountKey, person))),
      };
    };
    await fc.assert(
      fc.asyncProperty(tellings, async ([once, again, atOnce]) => {
        expect(await told(again, atOnce)).toEqual(await told(once, 100));
      }),
      { numRuns: 40 },
    );
  });
});
