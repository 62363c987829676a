/** What every store promises of what comes in: deliveries are heard once and as a whole, and their order does not matter. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OPT_OUT_FLOW, type OptOutChange } from '../../src/core/opt-out.js';
import { DEFAULT_WINDOW, type Opener } from '../../src/core/window.js';
import type { DeadReason, Store, UserEvent } from '../../src/ports.js';
import {
  accountKey as PAGE,
  collect,
  DAY,
  exactWindow,
  HOUR,
  NOW,
  readyCampaign,
  rows,
  starting,
  user,
} from './fixtures.js';
import {
  hear,
  heardDelivery,
  heardDeliveries,
  newDelivery,
  newSingle,
  optOut,
  userEvent,
  type Heard,
} from './fixtures-inbound.js';
import type { StoreUnderTest } from './store-contract.js';

const OTHER = 'messenger/other-page';
const NOTHING = { openersMoved: 0, rowsSettled: 0, receiptsMatched: 0, singles: [] };

/** @param open a fresh, empty store that goes away with the test */
export function inboundContract(name: string, open: () => Promise<StoreUnderTest>): void {
  const optedOutAt = async (store: Store, userId = user(1), account = PAGE): Promise<number | null> =>
    (await store.standings(account, [userId], exactWindow))[0]!.optedOutAt;

  /** A campaign of which the rows are sent, unknown and queued. */
  async function withUnknown(): Promise<StoreUnderTest> {
    const ledger = await open();
    const { store, engine } = ledger;
    await readyCampaign(store, rows(3));
    const lease = (await engine.own(PAGE, NOW - HOUR))!;
    await store.start(lease, 'c1', NOW - HOUR);
    await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1, 2) }, NOW - HOUR);
    const settled = [
      { seq: 1, state: 'sent', messageId: 'm_first' },
      { seq: 2, state: 'unknown', error: { code: 'TIMEOUT', message: '' } },
    ] as const;
    await store.record(lease, 'c1', { settled, skipped: [], started: [] }, NOW - HOUR);
    return ledger;
  }

  describe(`${name}: deliveries`, () => {
    it('wait as they came, in their order, for whoever looks', async () => {
      const { store, other } = await open();
      const texts = ['{"a":1}', '', 'Zoë 🎉\u0000 "x"', `/webhooks/twilio?a=b From=%2B1555`];
      const deliveries = texts.map((body, index) =>
        newDelivery(body, {
          service: index === 3 ? 'twilio' : 'meta',
          accounts: [PAGE, OTHER],
          receivedAt: NOW + index,
        }),
      );
      await store.receive(deliveries.slice(0, 3));
      await store.receive(deliveries.slice(3));
      const elsewhere = (await other('all alive')).store;
      const received = await elsewhere.received(9);
      const numbers = received.map(({ number }) => number);
      expect(received).toEqual(deliveries.map((delivery, index) => ({ ...delivery, number: numbers[index] })));
      expect(numbers).toEqual([...numbers].sort((one, another) => one - another));
      expect(new Set(numbers).size).toBe(4);
      expect((await elsewhere.received(2)).map(({ body }) => body)).toEqual(texts.slice(0, 2));
      expect([await store.backlog(), await elsewhere.backlog()]).toEqual([4, 4]);
    });

    it('go away when they are heard, and their numbers do not come back', async () => {
      const { store } = await open();
      const first = await heardDeliveries(store, [{}, {}]);
      expect(await store.hear(first, NOW)).toEqual([NOTHING, NOTHING]);
      expect([await store.received(9), await store.backlog()]).toEqual([[], 0]);
      const [second] = await heardDeliveries(store, [{ events: [userEvent()] }]);
      expect(second!.delivery.number).toBeGreaterThan(first[1]!.delivery.number);
      // Whoever still has the old ones takes out nobody else's.
      expect(await store.hear(first, NOW)).toEqual([null, null]);
      expect(await store.backlog()).toBe(1);
    });

    it.each<[string, Heard, object]>([
      ['nothing', {}, {}],
      ['an event', { events: [userEvent()] }, { openersMoved: 1 }],
      ['an event twice', { events: [userEvent(), userEvent()] }, { openersMoved: 1 }],
      ['events at two accounts', { events: [userEvent(), userEvent({ account: OTHER })] }, { openersMoved: 2 }],
      [
        'an echo of an unknown row',
        { echoes: [{ account: PAGE, campaign: 'c1', seq: 2, messageId: 'm_2' }] },
        { rowsSettled: 1 },
      ],
      ['an echo at another account', { echoes: [{ account: OTHER, campaign: 'c1', seq: 2, messageId: 'm_2' }] }, {}],
      [
        'a receipt for a message',
        {
          receipts: [
            { account: PAGE, messageId: 'm_first', userId: user(1), row: null, kind: 'read', at: NOW, error: null },
          ],
        },
        { receiptsMatched: 1 },
      ],
      [
        'a receipt that names nothing but the message',
        {
          receipts: [
            { account: PAGE, messageId: 'm_first', userId: null, row: null, kind: 'read', at: NOW, error: null },
          ],
        },
        { receiptsMatched: 1 },
      ],
      [
        'a receipt at another account',
        {
          receipts: [
            { account: OTHER, messageId: 'm_first', userId: user(1), row: null, kind: 'read', at: NOW, error: null },
          ],
        },
        {},
      ],
      [
        'a receipt that names an unknown row',
        {
          receipts: [
            {
              account: PAGE,
              messageId: 'm_2',
              userId: user(2),
              row: { campaign: 'c1', seq: 2 },
              kind: null,
              at: NOW,
              error: null,
            },
          ],
        },
        { receiptsMatched: 1, rowsSettled: 1 },
      ],
    ])('with %s do what they say', async (_, content, expected) => {
      const { store } = await withUnknown();
      expect(await hear(store, content)).toEqual({ ...NOTHING, ...expected });
      expect(await hear(store, content)).toMatchObject({ openersMoved: 0, rowsSettled: 0 });
    });

    it('are heard by one of two', async () => {
      const here = await withUnknown();
      const there = await here.other('all alive');
      const heard = await heardDeliveries(here.store, [
        {
          events: [userEvent()],
          echoes: [{ account: PAGE, campaign: 'c1', seq: 2, messageId: 'm_2' }],
          optOuts: [optOut(user(2))],
          dead: 'malformed',
          singles: [newSingle('answer', { userId: user(3) })],
          confirmations: [newSingle('bye', { userId: user(2) })],
        },
      ]);
      const both = [...(await here.store.hear(heard, NOW)), ...(await there.store.hear(heard, NOW))];
      expect(both).toEqual([expect.objectContaining({ openersMoved: 1, rowsSettled: 1 }), null]);
      expect(await optedOutAt(there.store, user(2))).toBe(NOW);
      expect(await here.store.nextSingles(PAGE, 9, NOW)).toHaveLength(2);
      expect(await here.store.deadLetters(0, 9)).toHaveLength(1);
    });

    it('do nothing when they are gone, and leave the others of the same step alone', async () => {
      const { store } = await open();
      const heard = await heardDeliveries(
        store,
        [1, 2, 3].map((person) => ({ events: [userEvent({ userId: user(person) })] })),
      );
      await store.hear([{ ...heard[1]!, events: [] }], NOW);
      const results = await store.hear(heard, NOW);
      expect(results.map((result) => result?.openersMoved ?? null)).toEqual([1, null, 1]);
      expect((await collect(store.people(PAGE))).sort()).toEqual([user(1), user(3)]);
    });

    it('are heard as a whole or not at all', async () => {
      const { store } = await withUnknown();
      const heard = await heardDeliveries(store, [
        {
          events: [userEvent({ userId: user(3) })],
          echoes: [{ account: PAGE, campaign: 'c1', seq: 2, messageId: 'm_2' }],
          optOuts: [optOut(user(2))],
          singles: [newSingle('answer')],
          dead: 'malformed',
        },
        { singles: [newSingle('broken', { values: [1n] as unknown as string[] })] },
      ]);
      await expect(store.hear(heard, NOW)).rejects.toThrow();
      expect(await store.backlog()).toBe(2);
      expect(await store.openersOf(PAGE, user(3))).toEqual([]);
      expect((await store.summary('c1')).counts).toMatchObject({ sent: 1, unknown: 1 });
      expect(await optedOutAt(store, user(2))).toBeNull();
      expect((await store.campaigns()).map(({ id }) => id)).toEqual(['c1']);
      expect(await store.deadLetters(0, 9)).toEqual([]);
      // Without the broken one, all of it can still be heard.
      expect(await store.hear(heard.slice(0, 1), NOW)).toMatchObject([{ openersMoved: 1, rowsSettled: 1 }]);
      expect(await store.nextSingles(PAGE, 9, NOW)).toHaveLength(1);
    });

    it('leave the same windows and opt-outs in whatever order, how often and in how many pieces they come', async () => {
      const people = fc.constantFrom(user(1), user(2));
      const at = fc.integer({ min: NOW, max: NOW + 3 });
      const account = fc.constantFrom(PAGE, OTHER);
      const content = fc.oneof(
        fc
          .record({
            account,
            userId: people,
            openedAt: at,
            opener: fc.constantFrom<Opener>('message', 'reaction', 'comment'),
          })
          .map((event): Heard => ({ events: [userEvent(event)] })),
        fc
          .record({
            account,
            userId: people,
            at,
            out: fc.boolean(),
            source: fc.constantFrom('keyword', 'platform', 'person'),
          })
          .map((change): Heard => ({ optOuts: [change as OptOutChange] })),
      );
      const shuffled = fc.array(content, { maxLength: 12 }).chain((all) =>
        fc.record({
          all: fc.constant(all),
          often: fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length }),
          pieces: fc.integer({ min: 1, max: 5 }),
        }),
      );
      const left = async (store: Store) => {
        const known = [];
        for (const page of [PAGE, OTHER]) {
          const standings = await store.standings(page, [user(1), user(2)], exactWindow);
          known.push(standings.map(({ last, optedOutAt }) => [last?.openedAt, optedOutAt]));
          known.push(await collect(store.optOuts(page)));
          for (const person of [user(1), user(2)]) {
            const openers = await store.openersOf(page, person);
            known.push(openers.sort((one, another) => one.opener.localeCompare(another.opener)));
          }
        }
        return known;
      };
      await fc.assert(
        fc.asyncProperty(shuffled, async ({ all, often, pieces }) => {
          const [ordered, mixed] = [(await open()).store, (await open()).store];
          await ordered.hear(await heardDeliveries(ordered, all), NOW);
          const size = Math.max(1, Math.ceil(often.length / pieces));
          for (let from = 0; from < often.length; from += size) {
            await mixed.hear(await heardDeliveries(mixed, often.slice(from, from + size)), NOW);
          }
          expect(await left(mixed)).toEqual(await left(ordered));
        }),
        { numRuns: 25 },
      );
    });
  });

  describe(`${name}: messages by Twilio`, () => {
    /** What somebody wrote; the service does not tell when, so it counts from when it was received. */
    interface Written {
      sid: string;
      out: boolean;
      account?: string;
    }
    const hearAt = async (store: Store, at: number, { sid, out, account = PAGE }: Written, change: Heard = {}) => {
      await store.receive([newDelivery(`MessageSid=${sid}`, { service: 'twilio', receivedAt: at })]);
      const [delivery] = await store.received(1);
      const [result] = await store.hear(
        [
          heardDelivery(delivery!, {
            events: [userEvent({ id: sid, openedAt: at, account })],
            optOuts: [optOut(user(1), { at, out, account })],
            ...change,
          }),
        ],
        at,
      );
      return result;
    };

    it('do nothing when they come again, but for receipts', async () => {
      const { store } = await withUnknown();
      const start = { sid: 'SM1', out: false };
      const told = { account: PAGE, messageId: 'm_first', userId: user(1), row: null, at: NOW, error: null } as const;
      await hearAt(store, NOW, start, { singles: [newSingle('SM1')] });
      await hearAt(store, NOW + 1, { sid: 'SM2', out: true });
      const again: Heard = {
        singles: [newSingle('SM1'), newSingle('another')],
        confirmations: [newSingle('bye')],
        receipts: [{ ...told, kind: 'read' }],
      };
      const answered = { kind: 'not_queued', because: 'occasion' };
      expect(await hearAt(store, NOW + 2, start, again)).toMatchObject({
        openersMoved: 0,
        receiptsMatched: 1,
        singles: [answered, answered],
      });
      expect(await optedOutAt(store)).toBe(NOW + 1);
      expect(await store.openersOf(PAGE, user(1))).toMatchObject([{ openedAt: NOW + 1 }]);
      expect(await store.nextSingles(PAGE, 9, NOW + 2)).toHaveLength(1);
      expect(await store.backlog()).toBe(0);
      // Another account's message is another one.
      expect(await hearAt(store, NOW + 3, { ...start, account: OTHER })).toMatchObject({ openersMoved: 1 });
    });

    it('are known for 90 days', async () => {
      const { store } = await open();
      const message = { sid: 'SM1', out: false };
      await hearAt(store, NOW, message);
      expect(await hearAt(store, NOW + 90 * DAY, message)).toMatchObject({ openersMoved: 0 });
      expect(await hearAt(store, NOW + 90 * DAY + 1, message)).toMatchObject({ openersMoved: 1 });
    });

    it('are of no service that tells the time', async () => {
      const { store } = await open();
      expect(await hear(store, { events: [userEvent({ id: 'm_1' })] })).toMatchObject({ openersMoved: 1 });
      expect(await hear(store, { events: [userEvent({ id: 'm_1', openedAt: NOW + 1 })] })).toMatchObject({
        openersMoved: 1,
      });
    });

    it('leave what the first delivery of each leaves, whenever and how often they are repeated', async () => {
      const written = fc
        .array(fc.boolean(), { minLength: 1, maxLength: 6 })
        .chain((outs) =>
          fc
            .array(fc.nat(outs.length - 1), { maxLength: 20 })
            .map((order) => order.map((index): Written => ({ sid: `SM${index}`, out: outs[index]! }))),
        );
      await fc.assert(
        fc.asyncProperty(written, async (deliveries) => {
          const [once, often] = [(await open()).store, (await open()).store];
          const heard = new Set<string>();
          for (const [index, delivery] of deliveries.entries()) {
            await hearAt(often, NOW + index, delivery);
            if (!heard.has(delivery.sid)) await hearAt(once, NOW + index, delivery);
            heard.add(delivery.sid);
          }
          const left = async (store: Store) => [await optedOutAt(store), await store.openersOf(PAGE, user(1))];
          expect(await left(often)).toEqual(await left(once));
        }),
        { numRuns: 25 },
      );
    });
  });

  describe(`${name}: dead letters`, () => {
    it('keep the beginning of what could not be used, and why, the newest first', async () => {
      const { store } = await open();
      const bodies = ['<html>', '{', 'é'.repeat(5000)];
      const reasons: DeadReason[] = ['not_json', 'malformed', 'over_limit'];
      await store.receive(bodies.map((body, index) => newDelivery(body, { service: 'cams', receivedAt: NOW + index })));
      const heard = (await store.received(9)).map((delivery, index) =>
        heardDelivery(delivery, { events: [userEvent({ userId: user(index) })], dead: reasons[index]! }),
      );
      // What is right in them counts all the same.
      expect(await store.hear(heard, NOW)).toMatchObject(bodies.map(() => ({ openersMoved: 1 })));
      const letters = await store.deadLetters(0, 9);
      expect(letters).toEqual([
        { receivedAt: NOW + 2, service: 'cams', reason: 'over_limit', body: 'é'.repeat(2048) },
        { receivedAt: NOW + 1, service: 'cams', reason: 'malformed', body: '{' },
        { receivedAt: NOW, service: 'cams', reason: 'not_json', body: '<html>' },
      ]);
      expect(await store.deadLetters(0, 1)).toEqual(letters.slice(0, 1));
      expect(await store.deadLetterCounts(0)).toEqual({ not_json: 1, malformed: 1, over_limit: 1 });
    });

    it('end with a whole character', async () => {
      const { store } = await open();
      await store.receive([newDelivery(`x${'🎉'.repeat(2000)}`)]);
      const [delivery] = await store.received(1);
      await store.hear([heardDelivery(delivery!, { dead: 'malformed' })], NOW);
      expect((await store.deadLetters(0, 1))[0]!.body).toBe(`x${'🎉'.repeat(1023)}`);
    });

    it('are the newest thousand, and of each reason the newest 250, however many there were', async () => {
      const { store } = await open();
      const dead = (reason: DeadReason, count: number): Heard[] =>
        Array.from({ length: count }, () => ({ dead: reason }));
      const bury = async (reason: DeadReason, count: number): Promise<object> => {
        await store.hear(await heardDeliveries(store, dead(reason, count)), NOW);
        return store.deadLetterCounts(0);
      };
      expect(await bury('not_json', 100)).toEqual({ not_json: 100 });
      expect(await bury('unknown_account', 1500)).toEqual({ not_json: 100, unknown_account: 250 });
      expect((await store.deadLetters(0, 1))[0]).toMatchObject({ body: 'delivery 1499' });
      await bury('malformed', 250);
      await bury('too_deep', 250);
      expect(await bury('over_limit', 200)).toEqual({
        not_json: 50,
        unknown_account: 250,
        malformed: 250,
        too_deep: 250,
        over_limit: 200,
      });
    });

    it('are told of those that came since an instant', async () => {
      const { store } = await open();
      const reasons: DeadReason[] = ['not_json', 'malformed', 'failed', 'failed'];
      await store.receive(reasons.map((_, day) => newDelivery(`day ${day}`, { receivedAt: NOW + day * DAY })));
      const received = await store.received(9);
      const heard = received.map((delivery, day) => heardDelivery(delivery, { dead: reasons[day]! }));
      await store.hear(heard, NOW + 3 * DAY);
      const bodies = async (since: number, limit: number): Promise<string[]> =>
        (await store.deadLetters(since, limit)).map(({ body }) => body);
      expect(await bodies(NOW + DAY, 9)).toEqual(['day 3', 'day 2', 'day 1']);
      expect(await bodies(NOW + DAY, 2)).toEqual(['day 3', 'day 2']);
      expect(await bodies(NOW + DAY + 1, 9)).toEqual(['day 3', 'day 2']);
      expect(await store.deadLetterCounts(NOW + DAY)).toEqual({ malformed: 1, failed: 2 });
      expect(await store.deadLetterCounts(NOW + 3 * DAY + 1)).toEqual({});
    });

    it('are kept for thirty days, until another one comes', async () => {
      const { store } = await open();
      const later = NOW + 30 * DAY + 1;
      await store.hear(await heardDeliveries(store, [{ dead: 'not_json' }]), NOW);
      await store.receive([newDelivery('a millisecond younger', { receivedAt: NOW + 1 })]);
      const [younger] = await store.received(1);
      await store.hear([heardDelivery(younger!, { dead: 'malformed' })], NOW + 1);
      await hear(store, {}, later);
      expect(await store.deadLetterCounts(0)).toEqual({ not_json: 1, malformed: 1 });
      await store.receive([newDelivery('new', { receivedAt: later })]);
      const [newest] = await store.received(1);
      await store.hear([heardDelivery(newest!, { dead: 'too_deep' })], later);
      expect(await store.deadLetterCounts(0)).toEqual({ malformed: 1, too_deep: 1 });
    });

    it('are none where there are none', async () => {
      const { store } = await open();
      await hear(store, {});
      expect([await store.deadLetters(0, 9), await store.deadLetterCounts(0)]).toEqual([[], {}]);
    });
  });

  describe(`${name}: opt-outs`, () => {
    const out = (at: number, change: Partial<OptOutChange> = {}) => optOut(user(1), { at, ...change });
    const back = (at: number) => optOut(user(1), { at, out: false });

    it.each<[string, OptOutChange[], { since: number; source: OptOutChange['source'] } | null, number]>([
      ['nothing', [], null, 0],
      ['out', [out(5)], { since: 5, source: 'keyword' }, 1],
      ['out twice', [out(5), out(5)], { since: 5, source: 'keyword' }, 1],
      ['out again later', [out(5), out(9, { source: 'person' })], { since: 9, source: 'person' }, 1],
      ['out again, told late', [out(9, { source: 'person' }), out(5)], { since: 9, source: 'person' }, 1],
      ['out, told of by two', [out(5, { source: 'platform' }), out(5)], { since: 5, source: 'keyword' }, 1],
      ['out, told of by the same two', [out(5), out(5, { source: 'platform' })], { since: 5, source: 'keyword' }, 1],
      ['back', [out(5), back(6)], null, 2],
      ['back, told late', [back(6), out(5)], null, 0],
      ['back and out in one instant', [out(5), back(5)], { since: 5, source: 'keyword' }, 1],
      ['back without ever having been out', [back(5)], null, 0],
      ['out once more', [out(5), back(6), out(7)], { since: 7, source: 'keyword' }, 3],
      ['back once more, mixed', [out(7), back(8), back(6), out(5)], null, 2],
    ])('of somebody who is %s', async (_, changes, expected, flips) => {
      const { store } = await open();
      expect(await store.changeOptOuts(changes)).toBe(flips);
      expect(await optedOutAt(store)).toBe(expected?.since ?? null);
      expect(await collect(store.optOuts(PAGE))).toEqual(expected ? [{ userId: user(1), ...expected }] : []);
      expect([await optedOutAt(store, user(2)), await optedOutAt(store, user(1), OTHER)]).toEqual([null, null]);
    });

    it('are listed by account, however many there are', async () => {
      const { store } = await open();
      const ids = Array.from({ length: 10_005 }, (_, index) => user(index));
      expect(await store.changeOptOuts(ids.map((id) => optOut(id)))).toBe(ids.length);
      await store.changeOptOuts([
        optOut(user(3), { out: false, at: NOW + 1 }),
        optOut(user(99_999), { account: OTHER }),
      ]);
      const listed = (await collect(store.optOuts(PAGE))).map(({ userId }) => userId);
      expect(listed).toEqual(ids.filter((id) => id !== user(3)).sort());
    });

    it('that a service tells of with its answer count from then on', async () => {
      const { store, engine } = await withUnknown();
      const lease = (await engine.own(OTHER, NOW))!;
      await readyCampaign(store, rows(1), { id: 'c2', account: OTHER });
      await store.start(lease, 'c2', NOW);
      await store.record(lease, 'c2', { settled: [], skipped: [], started: starting(1) }, NOW);
      await store.changeOptOuts([out(NOW - HOUR, { account: OTHER }), optOut(user(1), { account: OTHER, out: false })]);
      const error = { code: 'twilio:21610', message: '' };
      const settled = [{ seq: 1, state: 'failed', error, optedOut: true }] as const;
      await store.record(lease, 'c2', { settled, skipped: [], started: [] }, NOW + 7);
      expect(await collect(store.optOuts(OTHER))).toEqual([{ userId: user(1), since: NOW + 7, source: 'service' }]);
      expect(await collect(store.optOuts(PAGE))).toEqual([]);
    });
  });

  describe(`${name}: confirmations of opt-outs`, () => {
    const bye = (userId: string, account = PAGE) =>
      newSingle('bye', { userId, campaign: { account, mode: 'auto-reply', flow: OPT_OUT_FLOW } });
    const told = (change: OptOutChange) => [change];

    it.each<[string, OptOutChange[], OptOutChange[], string[]]>([
      ['has just opted out', [], told(optOut(user(1))), [user(1)]],
      ['had opted out before', [optOut(user(1), { at: NOW - 5 })], told(optOut(user(1))), []],
      ['is opted out by another account', [optOut(user(1), { account: OTHER })], told(optOut(user(1))), [user(1)]],
      [
        'opts out after having been back',
        [optOut(user(1), { at: 1 }), optOut(user(1), { at: 2, out: false })],
        told(optOut(user(1))),
        [user(1)],
      ],
      ['has opted back in since', [optOut(user(1), { at: NOW + 1, out: false })], told(optOut(user(1))), []],
      ['opts out and back in', [], [optOut(user(1)), optOut(user(1), { at: NOW + 1, out: false })], []],
      ['opts out twice', [], [optOut(user(1)), optOut(user(1), { at: NOW + 1 })], [user(1)]],
      ['opts back in', [optOut(user(1), { at: NOW - 5 })], told(optOut(user(1), { out: false })), []],
      ['is not the one who opts out', [], told(optOut(user(2))), [user(2)]],
      ['opts out of another account', [], told(optOut(user(1), { account: OTHER })), []],
      [
        'opts out as others do',
        [optOut(user(2), { at: 1 })],
        [optOut(user(1)), optOut(user(2)), optOut(user(3))],
        [user(1), user(3)],
      ],
    ])('are queued for whoever was not out before: somebody who %s', async (_, before, now, confirmed) => {
      const { store } = await open();
      await store.changeOptOuts(before);
      const content = { optOuts: now, confirmations: [1, 2, 3].map((person) => bye(user(person))) };
      const { singles } = await hear(store, content);
      expect(singles.map(({ kind }) => kind)).toEqual(confirmed.map(() => 'queued'));
      expect((await store.nextSingles(PAGE, 9, NOW)).map(({ userId }) => userId)).toEqual(confirmed);
    });

    it('come after the answers of the same delivery, and only once', async () => {
      const { store } = await open();
      const content = {
        optOuts: [optOut(user(1))],
        singles: [newSingle('answer'), newSingle('answer')],
        confirmations: [bye(user(1)), bye(user(1))],
      };
      const { singles } = await hear(store, content);
      expect(singles.map((one) => (one.kind === 'queued' ? 'queued' : one.because))).toEqual([
        'queued',
        'occasion',
        'queued',
        'occasion',
      ]);
    });
  });

  describe(`${name}: recent people`, () => {
    const event = (person: number, openedAt: number, opener: Opener = 'message'): UserEvent =>
      userEvent({ userId: user(person), openedAt, opener });

    it('are those who did something last, with the last that counts', async () => {
      const { store } = await open();
      await store.recordOpeners(PAGE, [
        event(1, NOW - DAY),
        event(2, NOW, 'comment'),
        event(2, NOW - HOUR),
        event(3, NOW - 2 * HOUR, 'reaction'),
        event(3, NOW - 3 * HOUR),
        event(4, NOW + 1, 'comment'),
      ]);
      await store.recordOpeners(OTHER, [event(9, NOW)]);
      const openers = { ...DEFAULT_WINDOW.openers, comment: false };
      expect(await store.recentPeople(PAGE, { ...exactWindow, openers }, 9)).toEqual([
        { userId: user(2), openedAt: NOW - HOUR, opener: 'message' },
        { userId: user(3), openedAt: NOW - 2 * HOUR, opener: 'reaction' },
        { userId: user(1), openedAt: NOW - DAY, opener: 'message' },
      ]);
      expect((await store.recentPeople(PAGE, exactWindow, 2)).map(({ userId }) => userId)).toEqual([user(4), user(2)]);
      expect(await store.recentPeople('nobody', exactWindow, 2)).toEqual([]);
    });
  });
}
