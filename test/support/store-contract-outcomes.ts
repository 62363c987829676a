/** What every store promises of what is told after an outcome: echoes, receipts, and how unknown rows are settled. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_STATES, type CampaignState } from '../../src/core/delivery.js';
import type { Echo, Lease, MessageRow, Receipt, Resolution, Settlement, Store } from '../../src/ports.js';
import {
  accountKey as PAGE,
  collect,
  DAY,
  exactWindow,
  failureOf,
  NOW,
  readyCampaign,
  row,
  rows,
  starting,
  user,
} from './fixtures.js';
import { expectSum, type StoreUnderTest } from './store-contract.js';

const TIMEOUT = { code: 'TIMEOUT', message: 'No answer came within 30000 ms.' };
const LATER = NOW + 5000;

const echo = (seq: number, change: Partial<Echo> = {}): Echo => ({
  campaign: 'c1',
  seq,
  messageId: `m_${seq}`,
  ...change,
});
/** A receipt that names its row, as CAMS gives them. */
const receipt = (seq: number, change: Partial<Receipt> = {}): Receipt => ({
  messageId: `t_${seq}`,
  userId: user(seq),
  row: { campaign: 'c1', seq },
  kind: 'delivered',
  at: NOW + seq,
  error: null,
  ...change,
});
/** One that names only the message, as events of Twilio do. */
const receiptById = (messageId: string, change: Partial<Receipt> = {}): Receipt =>
  receipt(1, { messageId, userId: null, row: null, ...change });
const UNDELIVERED = { kind: 'undelivered', error: { code: 'cams:131026', message: 'not reachable' } } as const;
const OPTED_OUT = { kind: 'undelivered', error: { code: 'twilio:21610', message: '' } } as const;
const WHAT_THEY_SAY: [string, Partial<Receipt>][] = [
  ['that it was delivered', {}],
  ['that it was read', { kind: 'read' }],
  ['that it was not delivered', UNDELIVERED],
  ['only that it was accepted', { kind: null }],
];

const sent = (seq: number): Resolution => ({ seq, to: 'sent', messageId: `m_${seq}` });
const queued = (seq: number, closesAt: number | null = NOW + DAY): Resolution => ({ seq, to: 'queued', closesAt });

/** @param open a fresh, empty store that goes away with the test */
export function outcomesContract(name: string, open: () => Promise<StoreUnderTest>): void {
  /** A campaign of which the first row is sent, the second failed, the last is queued, and those between are unknown. */
  async function withUnknown(people = 5): Promise<StoreUnderTest & { lease: Lease }> {
    const ledger = await open();
    const { store, engine } = ledger;
    await readyCampaign(store, rows(people));
    const lease = (await engine.own(PAGE, NOW))!;
    await store.start(lease, 'c1', NOW);
    const attempted = rows(people - 1).map(({ seq }) => seq);
    await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(...attempted) }, NOW);
    const settled = attempted.map((seq): Settlement => {
      if (seq === 1) return { seq, state: 'sent', messageId: 'm_first' };
      return { seq, state: seq === 2 ? 'failed' : 'unknown', error: TIMEOUT };
    });
    await store.record(lease, 'c1', { settled, skipped: [], started: [] }, NOW);
    return { ...ledger, lease };
  }

  async function states(store: Store): Promise<string> {
    const all = await collect(store.messages({ campaign: 'c1' }));
    return all.map(({ seq, state, messageId }) => `${seq}:${state}${messageId ? `(${messageId})` : ''}`).join(' ');
  }

  async function one(store: Store, seq: number): Promise<MessageRow> {
    return (await collect(store.messages({ campaign: 'c1' }))).find((row) => row.seq === seq)!;
  }

  const BEFORE = '1:sent(m_first) 2:failed 3:unknown 4:unknown 5:queued';

  describe(`${name}: echoes`, () => {
    it('make unknown rows sent, tell how many, and count each once', async () => {
      const { store } = await withUnknown();
      expect(await store.recordEchoes(PAGE, [echo(3), echo(3), echo(4)], LATER)).toBe(2);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:sent(m_3) 4:sent(m_4) 5:queued');
      expect(await one(store, 3)).toMatchObject({ error: null, settledAt: LATER });
      expect(await store.recordEchoes(PAGE, [echo(3, { messageId: 'm_other' })], LATER)).toBe(0);
      expect(await one(store, 3)).toMatchObject({ messageId: 'm_3' });
    });

    it('make every row sent that was attempted and has its answer, whatever that was', async () => {
      const { store, lease } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(5) }, NOW);
      expect(await store.recordEchoes(PAGE, [echo(1), echo(2), echo(5)], LATER)).toBe(1);
      expect(await states(store)).toBe('1:sent(m_first) 2:sent(m_2) 3:unknown 4:unknown 5:started');
    });

    it('that came while the message was under way count more than an answer that says otherwise', async () => {
      const { store, lease } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(5) }, NOW);
      await store.recordEchoes(PAGE, [echo(5)], NOW);
      const settled: Settlement[] = [{ seq: 5, state: 'unknown', error: TIMEOUT }];
      await store.record(lease, 'c1', { settled, skipped: [], started: [] }, LATER);
      expect(await one(store, 5)).toMatchObject({ state: 'sent', messageId: 'm_5', error: null });
    });

    it('keep a row from being sent again, by whatever way', async () => {
      const { store, lease, other } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(5) }, NOW);
      await store.recordEchoes(PAGE, [echo(5)], NOW);
      const next = (await (await other('others gone')).engine.own(PAGE, LATER))!;
      await store.resolve(next, 'c1', [queued(5), queued(3)], LATER);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:queued 4:unknown 5:sent(m_5)');
      for (const from of ['unknown', 'failed', 'skipped'] as const) {
        const requeued = store.requeue(next, 'c1', [{ seq: 5, closesAt: null, from }]);
        expect(await failureOf(requeued)).toBe('COUNT_DIFFERS');
      }
      expect(await store.recordEchoes(PAGE, [echo(3)], LATER)).toBe(1);
      expect(await one(store, 3)).toMatchObject({ state: 'sent', messageId: 'm_3' });
      expect(await store.next('c1', 9, LATER)).toEqual([]);
    });

    it.each<[string, Echo[], string]>([
      ['of another account', [echo(3), echo(5)], 'other-page'],
      ['of a campaign that there is none of', [echo(3, { campaign: 'c9' }), echo(5, { campaign: 'c9' })], PAGE],
      ['of a row that there is none of', [echo(9)], PAGE],
    ])('%s change nothing and are not kept', async (_, found, account) => {
      const { store, other, lease } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(5) }, NOW);
      expect(await store.recordEchoes(account, found, LATER)).toBe(0);
      expect(await states(store)).toBe(BEFORE.replace('5:queued', '5:started'));
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await states(store)).toBe(BEFORE.replace('5:queued', '5:unknown'));
    });

    it('settle, of what a dead owner has left under way, what they have come of', async () => {
      const { store, other, lease } = await withUnknown();
      await store.resolve(lease, 'c1', [queued(4)], NOW);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(4, 5) }, NOW);
      expect(await store.recordEchoes(PAGE, [echo(5), echo(1)], NOW + 1)).toBe(0);
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:unknown 4:unknown 5:sent(m_5)');
      expect(await one(store, 5)).toMatchObject({ error: null, reason: null, settledAt: LATER });
      expect(await one(store, 4)).toMatchObject({ error: { code: 'RUN_DIED' }, settledAt: LATER });
    });

    it('are kept as they came first', async () => {
      const { store, other, lease } = await withUnknown(7);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(7) }, NOW);
      await store.recordEchoes(PAGE, [echo(7, { messageId: 'first' })], NOW);
      await store.recordEchoes(PAGE, [echo(7, { messageId: 'second' })], NOW);
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await one(store, 7)).toMatchObject({ state: 'sent', messageId: 'first' });
    });

    it('need no lease: they come in while somebody else sends', async () => {
      const { other, store } = await withUnknown();
      expect(await (await other('all alive')).store.recordEchoes(PAGE, [echo(4)], LATER)).toBe(1);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:unknown 4:sent(m_4) 5:queued');
    });
  });

  describe(`${name}: receipts`, () => {
    const kept = async (store: Store, seq: number) => (await one(store, seq)).receipt;

    it('are kept by rows that were sent, and change nothing else of them', async () => {
      const { store } = await withUnknown();
      const before = await one(store, 1);
      expect(await store.recordReceipts(PAGE, [receipt(1)], LATER)).toEqual({ matched: 1, settled: 0 });
      const delivered = { kind: 'delivered', at: NOW + 1, error: null };
      expect(await one(store, 1)).toEqual({ ...before, receipt: delivered });
      expect(await states(store)).toBe(BEFORE);
    });

    it.each(WHAT_THEY_SAY)('that name the row make an unknown one sent, when they say %s', async (_, change) => {
      const { store } = await withUnknown();
      expect(await store.recordReceipts(PAGE, [receipt(3, change), receipt(3, change)], LATER)).toEqual({
        matched: 2,
        settled: 1,
      });
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:sent(t_3) 4:unknown 5:queued');
      const { error, settledAt, receipt: found } = await one(store, 3);
      expect({ error, settledAt, kind: found?.kind ?? null }).toEqual({
        error: null,
        settledAt: LATER,
        kind: change.kind === undefined ? 'delivered' : change.kind,
      });
      expect((await store.summary('c1')).counts).toMatchObject({ sent: 2, unknown: 1 });
    });

    const ARRIVED = WHAT_THEY_SAY.filter(([, change]) => change.kind !== 'undelivered');

    it.each(ARRIVED)('keep a row from being sent again that is back in the queue: %s', async (_, change) => {
      const { store, lease } = await withUnknown();
      await store.requeue(lease, 'c1', [{ seq: 3, closesAt: null, from: 'unknown' }]);
      const found = [receipt(3, change), receipt(3, change)];
      expect(await store.recordReceipts(PAGE, found, LATER)).toEqual({ matched: 2, settled: 1 });
      const { state, messageId, error, settledAt, receipt: stands } = await one(store, 3);
      expect({ state, messageId, error, settledAt }).toEqual({
        state: 'sent',
        messageId: 't_3',
        error: null,
        settledAt: LATER,
      });
      expect(stands?.kind ?? null).toBe(found[0]!.kind);
      expect((await store.next('c1', 9, LATER)).map(({ seq }) => seq)).toEqual([5]);
    });

    it('leave a row in the queue that was not delivered: it waits to be sent again', async () => {
      const { store, lease } = await withUnknown();
      await store.requeue(lease, 'c1', [{ seq: 3, closesAt: null, from: 'unknown' }]);
      expect(await store.recordReceipts(PAGE, [receipt(3, UNDELIVERED)], LATER)).toEqual({ matched: 1, settled: 0 });
      expect((await store.next('c1', 9, LATER)).map(({ seq }) => seq).sort()).toEqual([3, 5]);
    });

    it.each(ARRIVED)('make a row sent that was attempted and then left out: %s', async (_, change) => {
      const { store, lease } = await withUnknown();
      await store.requeue(lease, 'c1', [{ seq: 3, closesAt: null, from: 'unknown' }]);
      await store.cancel('c1', NOW);
      const found = [receipt(3, change), receipt(5, change)];
      expect(await store.recordReceipts(PAGE, found, LATER)).toEqual({ matched: 1, settled: 1 });
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:sent(t_3) 4:unknown 5:skipped');
      expect(await one(store, 3)).toMatchObject({ reason: null });
    });

    it('make a row sent that was taken for failed, unless they tell of a failure too', async () => {
      const { store } = await withUnknown();
      expect(await store.recordReceipts(PAGE, [receipt(2, UNDELIVERED)], LATER)).toEqual({ matched: 1, settled: 0 });
      expect(await one(store, 2)).toMatchObject({ state: 'failed', error: TIMEOUT, receipt: UNDELIVERED });
      expect((await store.summary('c1')).receipts).toEqual({});
      expect(await store.recordReceipts(PAGE, [receipt(2)], LATER)).toEqual({ matched: 1, settled: 1 });
      expect(await one(store, 2)).toMatchObject({ state: 'sent', error: null, receipt: { kind: 'delivered' } });
    });

    it.each<[string, Receipt]>([
      ['names its row', receipt(1, OPTED_OUT)],
      ['names the message alone', receiptById('m_first', OPTED_OUT)],
      ['is not the one that stands', receipt(3, OPTED_OUT)],
      ['is about a row that failed', receipt(2, OPTED_OUT)],
    ])('tell that somebody has opted out, also one that %s', async (_, found) => {
      const { store } = await withUnknown();
      await store.recordReceipts(PAGE, [receipt(3, { kind: 'read' }), receipt(4, UNDELIVERED), found, found], LATER);
      const optedOut = async (account: string) =>
        (
          await store.standings(
            account,
            rows(5).map(({ userId }) => userId),
            exactWindow,
          )
        ).flatMap((standing, index) => (standing.optedOutAt === NOW ? [user(index + 1)] : []));
      expect(await optedOut(PAGE)).toEqual([found.userId ?? user(1)]);
      expect(await optedOut('other-page')).toEqual([]);
    });

    it('tell that somebody had opted out when the message was sent, and undo no opting in since', async () => {
      const { store } = await withUnknown();
      const back = { account: PAGE, userId: user(1), out: false, source: 'keyword' } as const;
      // A service that does not say when it happened is taken to mean now, each time.
      const tell = (at: number) => store.recordReceipts(PAGE, [receipt(1, { ...OPTED_OUT, at })], at);
      const optedOutAt = async () => (await store.standings(PAGE, [user(1)], exactWindow))[0]!.optedOutAt;
      await store.changeOptOuts([{ ...back, at: NOW - 1 }]);
      await tell(LATER);
      expect(await optedOutAt()).toBe(NOW);
      await store.changeOptOuts([{ ...back, at: NOW + 1 }]);
      for (const at of [LATER, LATER + DAY]) await tell(at);
      expect(await optedOutAt()).toBeNull();
    });

    it('tell of nobody else that they have opted out', async () => {
      const { store } = await withUnknown();
      await store.recordReceipts('other-page', [receipt(1, OPTED_OUT)], LATER);
      await store.recordReceipts(PAGE, [receiptById('m_other', { ...OPTED_OUT, userId: user(1) })], LATER);
      expect(await store.standings(PAGE, [user(1)], exactWindow)).toMatchObject([{ optedOutAt: null }]);
    });

    it.each<[string, Receipt, string?]>([
      ['about a row that failed, without naming it', receiptById('t_2', { userId: user(2) })],
      ['about a row that has not been sent', receipt(5)],
      ['about somebody who is not in the campaign', receipt(9)],
      ['about a campaign that there is none of', receipt(3, { row: { campaign: 'c9', seq: 3 } })],
      ['for another account', receipt(1), 'other-page'],
      ['for another account, by message', receiptById('m_first'), 'other-page'],
      ['for another account, by message and person', receiptById('m_first', { userId: user(1) }), 'other-page'],
      ['about a message that was never sent', receiptById('m_other')],
      ["about somebody else's message", receiptById('m_first', { userId: user(2) })],
      ['about an unknown row, without naming it', receiptById('t_3', { userId: user(3) })],
    ])('%s change nothing and are told', async (_, found, account = PAGE) => {
      const { store } = await withUnknown();
      expect(await store.recordReceipts(account, [found], LATER)).toEqual({ matched: 0, settled: 0 });
      expect(await states(store)).toBe(BEFORE);
      expect((await store.summary('c1')).receipts).toEqual({});
    });

    it('find their row by the message alone, or by message and person', async () => {
      const { store } = await withUnknown();
      const found = [receiptById('m_first'), receiptById('m_first', { userId: user(1), kind: 'read' })];
      expect(await store.recordReceipts(PAGE, found, LATER)).toEqual({ matched: 2, settled: 0 });
      expect(await kept(store, 1)).toMatchObject({ kind: 'read' });
    });

    it('of a batch that shares one message id belong to nobody, unless they say to whom', async () => {
      const { store, lease } = await withUnknown();
      await store.resolve(
        lease,
        'c1',
        [3, 4].map((seq) => ({ seq, to: 'sent', messageId: 'batch' })),
        NOW,
      );
      expect(await store.recordReceipts(PAGE, [receiptById('batch')], LATER)).toEqual({ matched: 0, settled: 0 });
      const forOne = receiptById('batch', { userId: user(4) });
      expect(await store.recordReceipts(PAGE, [forOne], LATER)).toEqual({ matched: 1, settled: 0 });
      expect([await kept(store, 3), (await kept(store, 4))?.kind]).toEqual([null, 'delivered']);
    });

    it.each<[string, Partial<Receipt>, number | null]>([
      ['a row and the person who is in it', {}, 3],
      ['a row and nobody', { userId: null }, 3],
      ['the first row of a batch and another person of its campaign', { userId: user(4) }, 4],
      ['a row that there is none of, and a person of its campaign', { row: { campaign: 'c1', seq: 77 } }, 3],
      ['a row and somebody who is not in its campaign', { userId: user(99) }, null],
      ['a row that there is none of, and nobody', { row: { campaign: 'c1', seq: 77 }, userId: null }, null],
    ])('name %s', async (_, change, settled) => {
      const { store } = await withUnknown();
      const counts = settled === null ? { matched: 0, settled: 0 } : { matched: 1, settled: 1 };
      expect(await store.recordReceipts(PAGE, [receipt(3, change)], LATER)).toEqual(counts);
      const found = await collect(store.messages({ campaign: 'c1', receipt: 'delivered' }));
      expect(found.map(({ seq, state }) => [seq, state])).toEqual(settled === null ? [] : [[settled, 'sent']]);
    });

    describe('about everything that a person was sent until then', () => {
      /** Three campaigns with two people; the first was sent at NOW, the others at NOW + 10. */
      async function threeTimes(): Promise<StoreUnderTest> {
        const ledger = await open();
        const { store, engine } = ledger;
        for (const [index, account] of [PAGE, PAGE, 'other-page'].entries()) {
          const id = `c${index + 1}`;
          const at = index === 0 ? NOW : NOW + 10;
          await readyCampaign(store, rows(2), { id, account });
          const lease = (await engine.own(account, NOW))!;
          await store.start(lease, id, at);
          await store.record(lease, id, { settled: [], skipped: [], started: starting(1, 2) }, at);
          const settled = [1, 2].map((seq): Settlement => ({ seq, state: 'sent', messageId: `${id}_${seq}` }));
          await store.record(lease, id, { settled, skipped: [], started: [] }, at);
          await engine.release(lease, 0, 0);
        }
        return ledger;
      }
      const until = (at: number, change: Partial<Receipt> = {}): Receipt =>
        receipt(1, { messageId: null, row: null, kind: 'read', at, ...change });
      const told = async (store: Store) =>
        (await collect(store.messages({})))
          .filter((one) => one.receipt !== null)
          .map((one) => `${one.campaign}/${one.seq} ${one.receipt!.kind}`);

      it.each<[string, Receipt, string[]]>([
        ['before the first', until(NOW - 1), []],
        ['the instant of the first', until(NOW), ['c1/1 read']],
        ['before the second', until(NOW + 9), ['c1/1 read']],
        ['the instant of the second', until(NOW + 10), ['c1/1 read', 'c2/1 read']],
        ['later, for delivery', until(NOW + 99, { kind: 'delivered' }), ['c1/1 delivered', 'c2/1 delivered']],
        ['later, for somebody else', until(NOW + 99, { userId: user(9) }), []],
        ['later, for nobody', until(NOW + 99, { userId: null }), []],
      ])('add to rows until %s', async (_, found, expected) => {
        const { store } = await threeTimes();
        expect(await store.recordReceipts(PAGE, [found], LATER)).toEqual({ matched: expected.length, settled: 0 });
        expect(await told(store)).toEqual(expected);
      });

      it('settle nothing, and leave what says more', async () => {
        const { store } = await withUnknown();
        await store.recordReceipts(PAGE, [receipt(1, { kind: 'read' })], LATER);
        const found = rows(5).map(({ userId }) => until(NOW + DAY, { userId, kind: 'delivered' }));
        expect(await store.recordReceipts(PAGE, found, LATER)).toEqual({ matched: 1, settled: 0 });
        expect(await states(store)).toBe(BEFORE);
        expect(await told(store)).toEqual(['c1/1 read']);
      });
    });

    it('about a message that is under way count as its echo, and stand when it is sent', async () => {
      const { store, other, lease } = await withUnknown(6);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(6) }, NOW);
      expect(await store.recordReceipts(PAGE, [receipt(6)], NOW)).toEqual({ matched: 1, settled: 0 });
      expect(await one(store, 6)).toMatchObject({ state: 'started', receipt: { kind: 'delivered' } });
      expect((await store.summary('c1')).receipts).toEqual({});
      // The run dies before its answer comes.
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await one(store, 6)).toMatchObject({ state: 'sent', messageId: 't_6', receipt: { kind: 'delivered' } });
      expect((await store.summary('c1')).receipts).toEqual({ delivered: 1 });
    });

    it('do not settle for somebody who stands in the sheet twice more than one row', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, [...rows(1), row(2, { userId: user(1), reason: 'duplicate', closesAt: null })]);
      const lease = (await engine.own(PAGE, NOW))!;
      await store.start(lease, 'c1', NOW);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1) }, NOW);
      const settled: Settlement[] = [{ seq: 1, state: 'unknown', error: TIMEOUT }];
      await store.record(lease, 'c1', { settled, skipped: [], started: [] }, NOW);
      expect(await store.recordReceipts(PAGE, [receipt(1)], LATER)).toEqual({ matched: 1, settled: 1 });
      expect(await states(store)).toBe('1:sent(t_1) 2:skipped');
    });

    it('are counted in the summary by the one that stands, and why messages were not delivered', async () => {
      const { store } = await withUnknown(9);
      const found = [
        receipt(1),
        receipt(1, { kind: 'read' }),
        receipt(3),
        receipt(4),
        receipt(5, UNDELIVERED),
        receipt(6, UNDELIVERED),
        receipt(7, { kind: 'undelivered' }),
        receipt(8, { kind: null }),
      ];
      await store.recordReceipts(PAGE, found, LATER);
      const { counts, receipts, undelivered, errors } = await store.summary('c1');
      expect(receipts).toEqual({ read: 1, delivered: 2, undelivered: 3 });
      expect(undelivered).toEqual({ 'cams:131026': 2, '': 1 });
      expect(errors).toEqual({ TIMEOUT: 1 });
      expectSum(counts, 9);
    });

    it('can be asked for', async () => {
      const { store } = await withUnknown();
      await store.recordReceipts(PAGE, [receipt(1), receipt(3, { kind: 'read' })], LATER);
      const found = await collect(store.messages({ campaign: 'c1', receipt: 'read' }));
      expect(found.map(({ seq }) => seq)).toEqual([3]);
    });

    it('need no lease: they come in while somebody else sends', async () => {
      const { other } = await withUnknown();
      const { store } = await other('all alive');
      expect(await store.recordReceipts(PAGE, [receipt(4)], LATER)).toEqual({ matched: 1, settled: 1 });
    });

    it('leave the same rows in whatever order, how often and in how many pieces they come', async () => {
      const some = fc.record({
        seq: fc.integer({ min: 1, max: 6 }),
        kind: fc.constantFrom(null, 'delivered', 'read', 'undelivered'),
        at: fc.integer({ min: NOW, max: NOW + 3 }),
        code: fc.constantFrom('1', 'twilio:21610'),
      });
      const shuffled = fc.array(some, { maxLength: 12 }).chain((all) =>
        fc.record({
          all: fc.constant(all),
          often: fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length }),
          pieces: fc.integer({ min: 1, max: 4 }),
        }),
      );
      /** A row of every state but `started`, and of those that are queued one that was attempted. */
      const withRequeued = async () => {
        const ledger = await withUnknown(6);
        const back = { account: PAGE, out: false, source: 'keyword' } as const;
        await ledger.store.changeOptOuts([
          { ...back, userId: user(1), at: NOW - 1 },
          { ...back, userId: user(2), at: NOW + 1 },
        ]);
        await ledger.store.requeue(ledger.lease, 'c1', [{ seq: 3, closesAt: null, from: 'unknown' }]);
        return ledger;
      };
      const toReceipt = ({ seq, kind, at, code }: { seq: number; kind: Receipt['kind']; at: number; code: string }) =>
        receipt(seq, { kind, at, error: kind === 'undelivered' ? { code, message: '' } : null });
      await fc.assert(
        fc.asyncProperty(shuffled, async ({ all, often, pieces }) => {
          const ordered = await withRequeued();
          await ordered.store.recordReceipts(PAGE, all.map(toReceipt), LATER);
          const mixed = await withRequeued();
          const size = Math.max(1, Math.ceil(often.length / pieces));
          for (let from = 0; from < often.length; from += size)
            await mixed.store.recordReceipts(PAGE, often.slice(from, from + size).map(toReceipt), LATER);
          const left = async ({ store }: { store: Store }) => [
            await collect(store.messages({ campaign: 'c1' })),
            await store.summary('c1'),
            await collect(store.optOuts(PAGE)),
          ];
          expect(await left(mixed)).toEqual(await left(ordered));
        }),
        { numRuns: 15 },
      );
    });

    it('may be about thousands of people at once', async () => {
      const { store } = await withUnknown(2000);
      const found = rows(1999).map(({ seq }) => receipt(seq, { kind: 'read' }));
      const byPerson = receiptById('m_first', { userId: user(1) });
      expect(await store.recordReceipts(PAGE, [...found, byPerson], LATER)).toEqual({ matched: 2000, settled: 1998 });
    });
  });

  describe(`${name}: settling unknown outcomes`, () => {
    it('makes them sent, or puts them back with the closing time of now', async () => {
      const { store, lease } = await withUnknown(6);
      await store.resolve(lease, 'c1', [sent(3), queued(4, NOW + 9), queued(5, null)], LATER);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:sent(m_3) 4:queued 5:queued 6:queued');
      expect(await one(store, 3)).toMatchObject({ error: null, settledAt: LATER });
      const back = { error: null, settledAt: null, messageId: null };
      expect(await one(store, 4)).toMatchObject({ ...back, closesAt: NOW + 9 });
      expect(await one(store, 5)).toMatchObject({ ...back, closesAt: null });
      // Who needs no window comes last.
      expect((await store.next('c1', 9, NOW)).map((row) => row.seq)).toEqual([4, 6, 5]);
    });

    it('leaves every other row as it is', async () => {
      const { store, lease } = await withUnknown();
      await store.resolve(lease, 'c1', [sent(1), queued(1), sent(2), queued(2), sent(5), sent(9), queued(9)], LATER);
      expect(await states(store)).toBe(BEFORE);
    });

    it('lets the first finding about a row stand', async () => {
      const { store, lease } = await withUnknown();
      await store.resolve(lease, 'c1', [sent(3), queued(3), queued(4), sent(4)], LATER);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:sent(m_3) 4:queued 5:queued');
      expect(await store.recordEchoes(PAGE, [echo(4)], LATER)).toBe(1);
      expect(await one(store, 4)).toMatchObject({ state: 'sent' });
    });

    it('is refused to a former owner, and changes nothing', async () => {
      const { store, other, lease } = await withUnknown();
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await failureOf(store.resolve(lease, 'c1', [sent(3)], LATER))).toBe('LEASE_LOST');
      expect(await states(store)).toBe(BEFORE);
    });

    it('of no campaign says so', async () => {
      const { store, lease } = await withUnknown();
      expect(await failureOf(store.resolve(lease, 'c9', [], NOW))).toBe('CAMPAIGN_UNKNOWN');
    });

    /** Ends the campaign in a state in which rows can be unknown. */
    async function end(store: Store, lease: Lease, state: CampaignState): Promise<void> {
      if (state === 'cancelled') await store.cancel('c1', NOW);
      if (state === 'paused' || state === 'finished') {
        await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(5) }, NOW);
        const settled: Settlement[] = [{ seq: 5, state: 'sent', messageId: 'm_last' }];
        await store.record(lease, 'c1', { settled, skipped: [], started: [] }, NOW);
        await store.conclude(lease, 'c1', { state }, NOW);
      }
      if (state === 'stopped') {
        await store.conclude(lease, 'c1', { state, stop: { cause: 'token', error: TIMEOUT, at: NOW } }, NOW);
      }
    }

    it.each<[CampaignState, CampaignState, string]>([
      ['running', 'running', 'queued'],
      ['paused', 'paused', 'queued'],
      ['stopped', 'stopped', 'queued'],
      ['finished', 'paused', 'queued'],
      ['cancelled', 'cancelled', 'skipped'],
    ])('of a campaign that is %s leaves it %s, and the rows that were not sent %s', async (before, after, state) => {
      const { store, lease } = await withUnknown();
      await end(store, lease, before);
      await store.resolve(lease, 'c1', [sent(3)], LATER);
      expect((await store.campaign('c1'))?.state).toBe(before);
      await store.resolve(lease, 'c1', [queued(4)], LATER);
      const campaign = (await store.campaign('c1'))!;
      expect(campaign.state).toBe(after);
      expect(campaign.finishedAt === null).toBe(after !== 'cancelled');
      expect(await one(store, 4)).toMatchObject({ state, reason: state === 'skipped' ? 'cancelled' : null });
      if (state === 'queued') {
        await store.start(lease, 'c1', LATER);
        expect((await store.next('c1', 9, LATER)).map((row) => row.seq)).toContain(4);
      }
    });

    it('keeps the counts adding up, and no row is ever settled twice', async () => {
      const step = fc.record({
        by: fc.constantFrom('echo', 'sent', 'queued'),
        seqs: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
          const { store, lease } = await withUnknown(9);
          const settled = new Map<number, string>();
          for (const { by, seqs } of steps) {
            // An echo also settles what was taken for failed, or was put back.
            const open = (seq: number): boolean =>
              by === 'echo' ? seq >= 2 && settled.get(seq) !== 'sent' : seq >= 3 && !settled.has(seq);
            const fresh = seqs.filter((seq) => seq <= 8 && open(seq));
            if (by === 'echo') {
              expect(
                await store.recordEchoes(
                  PAGE,
                  seqs.map((seq) => echo(seq)),
                  LATER,
                ),
              ).toBe(fresh.length);
            } else
              await store.resolve(
                lease,
                'c1',
                seqs.map((seq) => (by === 'sent' ? sent(seq) : queued(seq))),
                LATER,
              );
            for (const seq of fresh) settled.set(seq, by === 'queued' ? 'queued' : 'sent');
            expectSum((await store.summary('c1')).counts, 9);
          }
          for (const { seq, userId, state } of await collect(store.messages({ campaign: 'c1' }))) {
            expect(userId).toBe(user(seq));
            expect(ROW_STATES).toContain(state);
            if (seq >= 2 && seq <= 8) expect(state).toBe(settled.get(seq) ?? (seq === 2 ? 'failed' : 'unknown'));
          }
        }),
        { numRuns: 15 },
      );
    });
  });
}
