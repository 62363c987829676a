/** What every store promises of outcomes that were unknown: echoes, and how such rows are settled. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_STATES, type CampaignState } from '../../src/core/delivery.js';
import type { Echo, Lease, MessageRow, Resolution, Settlement, Store } from '../../src/ports.js';
import { accountKey as PAGE, collect, DAY, failureOf, NOW, readyCampaign, rows, user } from './fixtures.js';
import { expectSum, type StoreUnderTest } from './store-contract.js';

const TIMEOUT = { code: 'TIMEOUT', message: 'No answer came within 30000 ms.' };
const LATER = NOW + 5000;

const echo = (seq: number, change: Partial<Echo> = {}): Echo => ({
  campaign: 'c1',
  seq,
  messageId: `m_${seq}`,
  ...change,
});
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
    const started = rows(people - 1).map(({ seq }) => seq);
    await store.record(lease, 'c1', { settled: [], skipped: [], started }, NOW);
    const settled = started.map((seq): Settlement => {
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
      await store.record(lease, 'c1', { settled: [], skipped: [], started: [5] }, NOW);
      expect(await store.recordEchoes(PAGE, [echo(1), echo(2), echo(5)], LATER)).toBe(1);
      expect(await states(store)).toBe('1:sent(m_first) 2:sent(m_2) 3:unknown 4:unknown 5:started');
    });

    it('that came while the message was under way count more than an answer that says otherwise', async () => {
      const { store, lease } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: [5] }, NOW);
      await store.recordEchoes(PAGE, [echo(5)], NOW);
      const settled: Settlement[] = [{ seq: 5, state: 'unknown', error: TIMEOUT }];
      await store.record(lease, 'c1', { settled, skipped: [], started: [] }, LATER);
      expect(await one(store, 5)).toMatchObject({ state: 'sent', messageId: 'm_5', error: null });
    });

    it('keep a row from being sent again, by whatever way', async () => {
      const { store, lease, other } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: [5] }, NOW);
      await store.recordEchoes(PAGE, [echo(5)], NOW);
      const next = (await (await other('others gone')).engine.own(PAGE, LATER))!;
      await store.resolve(next, 'c1', [queued(5), queued(3)], LATER);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:queued 4:unknown 5:unknown');
      expect(await failureOf(store.requeue(next, 'c1', [{ seq: 5, closesAt: null, from: 'unknown' }]))).toBe(
        'COUNT_DIFFERS',
      );
      expect(await store.recordEchoes(PAGE, [echo(3)], LATER)).toBe(1);
      expect(await one(store, 3)).toMatchObject({ state: 'sent', messageId: 'm_3' });
      expect(await store.next('c1', 9, LATER)).toEqual([]);
    });

    it.each<[string, Echo, string]>([
      ['of another account', echo(3), 'other-page'],
      ['of a campaign that there is none of', echo(3, { campaign: 'c9' }), PAGE],
      ['of a row that there is none of', echo(9), PAGE],
    ])('%s change nothing and are not kept', async (_, found, account) => {
      const { store } = await withUnknown();
      expect(await store.recordEchoes(account, [found], LATER)).toBe(0);
      expect(await states(store)).toBe(BEFORE);
      expect(await store.echoes('c1')).toEqual([]);
    });

    it('that came before the outcome became unknown are given for the rows that are unknown now', async () => {
      const { store, other, lease } = await withUnknown();
      await store.record(lease, 'c1', { settled: [], skipped: [], started: [5] }, NOW);
      await store.recordEchoes(PAGE, [echo(5), echo(1)], LATER);
      expect(await store.echoes('c1')).toEqual([]);
      // The run dies before its answer comes.
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await store.echoes('c1')).toEqual([echo(5)]);
      expect(await one(store, 5)).toMatchObject({ state: 'unknown' });
    });

    it('are kept as they came first, in the order of the rows', async () => {
      const { store, other, lease } = await withUnknown(7);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: [7] }, NOW);
      await store.recordEchoes(PAGE, [echo(7, { messageId: 'first' })], NOW);
      await store.recordEchoes(PAGE, [echo(7, { messageId: 'second' })], NOW);
      await (await other('others gone')).engine.own(PAGE, LATER);
      expect(await store.echoes('c1')).toEqual([echo(7, { messageId: 'first' })]);
    });

    it('need no lease: they come in while somebody else sends', async () => {
      const { other, store } = await withUnknown();
      expect(await (await other('all alive')).store.recordEchoes(PAGE, [echo(4)], LATER)).toBe(1);
      expect(await states(store)).toBe('1:sent(m_first) 2:failed 3:unknown 4:sent(m_4) 5:queued');
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
      expect(await failureOf(store.echoes('c9'))).toBe('CAMPAIGN_UNKNOWN');
    });

    /** Ends the campaign in a state in which rows can be unknown. */
    async function end(store: Store, lease: Lease, state: CampaignState): Promise<void> {
      if (state === 'cancelled') await store.cancel('c1', NOW);
      if (state === 'paused' || state === 'finished') {
        await store.record(lease, 'c1', { settled: [], skipped: [], started: [5] }, NOW);
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
