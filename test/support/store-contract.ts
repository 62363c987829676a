/**
 * What every store promises, whatever the database: `ports.ts` as tests. A file of test/stores opens real databases and runs
 * this suite on them.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_BUDGET, ROW_STATES, type Counts, type RowState } from '../../src/core/delivery.js';
import { SKIP_REASONS, type PlanReason } from '../../src/core/plan.js';
import { DEFAULT_WINDOW, type Opener } from '../../src/core/window.js';
import type { Engine, Lease, MessageRow, RequeuedRow, RunStep, Settlement, StagedRow, Store } from '../../src/ports.js';
import {
  account,
  accountKey,
  approval,
  collect,
  DAY,
  exactWindow,
  failureOf,
  HOUR,
  newCampaign,
  NOW,
  readyCampaign,
  registeredTemplate,
  row,
  rows,
  starting,
  user,
} from './fixtures.js';

export interface Ledger {
  store: Store;
  engine: Engine;
}

export interface StoreUnderTest extends Ledger {
  /** The same database for another process. `gone`: it knows that whoever else holds an account is dead. */
  other: (about: 'all alive' | 'others gone') => Promise<Ledger>;
  /** What no operation does: it forgets who has paused it. */
  pause: (campaign: string) => Promise<void>;
}

const PAGE = accountKey;
const LEASE_MS = 15_000;

const seqs = (found: readonly { seq: number }[]): number[] => found.map((one) => one.seq);

/** @param open a fresh, empty store that goes away with the test */
export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name}: windows`, () => {
    const event = (openedAt: number, opener: Opener = 'message', userId = user(1)) => ({ userId, openedAt, opener });

    it('only ever moves a window forward', async () => {
      const { store } = await open();
      expect(await store.recordOpeners(PAGE, [event(NOW), event(NOW - HOUR), event(NOW)])).toBe(1);
      expect(await store.recordOpeners(PAGE, [event(NOW + 1)])).toBe(1);
      expect(await store.openersOf(PAGE, user(1))).toEqual([{ openedAt: NOW + 1, opener: 'message' }]);
    });

    it('keeps the last event of each opener, whatever order they come in', async () => {
      const events = fc.array(
        fc.record({
          userId: fc.constantFrom(user(1), user(2)),
          openedAt: fc.integer({ min: NOW - 5, max: NOW }),
          opener: fc.constantFrom<Opener>('message', 'comment', 'reaction'),
        }),
        { maxLength: 20 },
      );
      const { store } = await open();
      let page = 0;
      await fc.assert(
        fc.asyncProperty(events, async (some) => {
          page += 1;
          await store.recordOpeners(`page ${page}`, some);
          const last = new Map<string, number>();
          for (const { userId, opener, openedAt } of some) {
            const key = `${userId} ${opener}`;
            last.set(key, Math.max(openedAt, last.get(key) ?? 0));
          }
          for (const userId of [user(1), user(2)]) {
            for (const { opener, openedAt } of await store.openersOf(`page ${page}`, userId)) {
              expect(last.get(`${userId} ${opener}`)).toBe(openedAt);
              last.delete(`${userId} ${opener}`);
            }
          }
          expect(last.size).toBe(0);
        }),
        { numRuns: 40 },
      );
    });

    it('says of each person what is known, in their order, and for this account alone', async () => {
      const { store } = await open();
      await store.recordOpeners(PAGE, [event(NOW), event(NOW - HOUR, 'ad', user(2))]);
      await store.recordOpeners('other-page', [event(NOW, 'button', user(3))]);
      const out = { at: NOW - 5, out: true, source: 'keyword' } as const;
      await store.changeOptOuts([
        { ...out, account: PAGE, userId: user(2) },
        { ...out, account: 'other-page', userId: user(1) },
      ]);
      expect(await store.standings(PAGE, [user(3), user(2), user(1), user(2)], exactWindow)).toEqual([
        { last: null, optedOutAt: null },
        { last: { openedAt: NOW - HOUR, opener: 'ad' }, optedOutAt: NOW - 5 },
        { last: { openedAt: NOW, opener: 'message' }, optedOutAt: null },
        { last: { openedAt: NOW - HOUR, opener: 'ad' }, optedOutAt: NOW - 5 },
      ]);
      expect(await store.standings(PAGE, [], exactWindow)).toEqual([]);
    });

    it('goes back to the last opener that counts when one is turned off', async () => {
      const { store } = await open();
      await store.recordOpeners(PAGE, [event(NOW, 'comment'), event(NOW - 3 * HOUR), event(NOW - HOUR, 'reaction')]);
      const lastWithout = async (...off: Opener[]) => {
        const openers = { ...DEFAULT_WINDOW.openers };
        for (const opener of off) openers[opener] = false;
        return (await store.standings(PAGE, [user(1)], { ...exactWindow, openers }))[0]?.last?.opener ?? null;
      };
      expect(await lastWithout()).toBe('comment');
      expect(await lastWithout('comment')).toBe('reaction');
      expect(await lastWithout('comment', 'reaction')).toBe('message');
      expect(await lastWithout(...(Object.keys(DEFAULT_WINDOW.openers) as Opener[]))).toBeNull();
    });

    it('lists everybody once, however many they are', async () => {
      const { store } = await open();
      const ids = Array.from({ length: 10_001 }, (_, index) => user(index));
      await store.recordOpeners(
        PAGE,
        ids.flatMap((id) => [event(NOW, 'message', id), event(NOW, 'ad', id)]),
      );
      await store.recordOpeners('other-page', [event(NOW, 'message', user(99_999))]);
      expect((await collect(store.people(PAGE))).sort()).toEqual(ids.sort());
      expect(await collect(store.people('nobody'))).toEqual([]);
    });

    it('knows how far the windows of each account were read, as it was kept last', async () => {
      const { store, other } = await open();
      const sync = { startedAt: NOW, cursor: 'c1', readUntil: null };
      await store.keepWindowSync(PAGE, sync);
      await store.keepWindowSync('other-page', { startedAt: NOW + 1, cursor: null, readUntil: NOW + 1 });
      expect(await store.windowSync(PAGE)).toEqual(sync);
      await store.keepWindowSync(PAGE, { startedAt: NOW + 2, cursor: null, readUntil: NOW });
      const { store: elsewhere } = await other('all alive');
      expect(await elsewhere.windowSync(PAGE)).toEqual({ startedAt: NOW + 2, cursor: null, readUntil: NOW });
      expect(await elsewhere.windowSync('other-page')).toMatchObject({ startedAt: NOW + 1 });
      expect(await elsewhere.windowSync('nobody')).toBeNull();
    });
  });

  describe(`${name}: plans`, () => {
    it('orders by closing time, then by row; whoever needs no window comes last', async () => {
      const closing = fc.option(fc.integer({ min: NOW, max: NOW + 3 }));
      const { store } = await open();
      let count = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(closing, { maxLength: 12 }), async (closings) => {
          count += 1;
          const id = `c${count}`;
          await store.draft(newCampaign(id));
          const staged = closings.map((closesAt, index) => row(index + 1, { closesAt })).reverse();
          await store.stage(id, staged.slice(0, 3));
          await store.stage(id, staged.slice(3));
          const expected = closings
            .map((closesAt, index) => ({ seq: index + 1, closesAt }))
            .sort((a, b) => (a.closesAt ?? Infinity) - (b.closesAt ?? Infinity) || a.seq - b.seq);
          expect(await collect(store.order(id))).toEqual(expected);
          await store.approve(id, approval({ digest: id }));
          expect(seqs(await store.next(id, 99, NOW))).toEqual(seqs(expected));
        }),
        { numRuns: 40 },
      );
    });

    it('gives the order of more rows than a batch holds, while they are left out', async () => {
      const { store } = await open();
      await store.draft(newCampaign('c1'));
      // Many rows close together, so that batches end between equal closing times.
      await store.stage(
        'c1',
        rows(10_003, (seq) => ({ closesAt: NOW + (seq % 3) })),
      );
      const seen: number[] = [];
      for await (const places of store.order('c1')) {
        seen.push(...seqs(places));
        await store.leaveOut(
          'c1',
          seqs(places).filter((seq) => seq % 2 === 0),
          'window_closed',
        );
      }
      expect(seen).toHaveLength(10_003);
      expect(new Set(seen).size).toBe(10_003);
      expect(seqs(await collect(store.order('c1')))).toEqual(seen.filter((seq) => seq % 2 === 1));
      await store.approve('c1', approval());
      expect((await store.summary('c1')).counts).toMatchObject({ queued: 5002, skipped: 5001, total: 10_003 });
    });

    it.each<[string, Partial<StagedRow>]>([
      ['sent to', {}],
      ['left out for another reason', { reason: 'window_closed', closesAt: null }],
    ])('has nobody in a campaign twice who is also %s', async (_, change) => {
      const { store } = await open();
      const twice = readyCampaign(store, [row(1), row(2, { userId: user(1), ...change })]);
      await expect(twice).rejects.toThrow();
      expect(await store.campaigns()).toEqual([]);
    });

    it('keeps every row that repeats an id and is left out for it', async () => {
      const { store } = await open();
      const again = (seq: number, reason: PlanReason): StagedRow =>
        row(seq, { userId: user(1), reason, closesAt: null });
      await readyCampaign(store, [again(3, 'invalid'), row(1), again(2, 'duplicate'), again(4, 'duplicate')]);
      expect((await store.summary('c1')).skip).toEqual({ duplicate: 2, invalid: 1 });
    });

    it('leaves out only rows that are queued', async () => {
      const { store } = await open();
      await store.draft(newCampaign('c1'));
      await store.stage('c1', [row(1), row(2, { reason: 'opted_out', closesAt: null })]);
      expect(await store.leaveOut('c1', [1, 2, 77], 'window_closes_before_turn')).toBe(1);
      await store.approve('c1', approval());
      expect((await store.summary('c1')).skip).toEqual({ opted_out: 1, window_closes_before_turn: 1 });
    });

    it('reads the queued rows of a plan back as they were staged', async () => {
      const { store } = await open();
      await store.draft(newCampaign('c1'));
      const staged = rows(2500).map((one, index) => ({
        ...one,
        values: ['Zoë 🎉', String(index)],
        outside: index % 2 === 0,
      }));
      await store.stage('c1', [...staged].reverse());
      await store.leaveOut('c1', [1, 2, 3], 'duplicate');
      expect(await collect(store.stagedQueue('c1'))).toEqual(staged.slice(3));
    });

    it('makes a campaign that is as the plan was drafted', async () => {
      const { store } = await open();
      const values = ['', 'Zoë 🎉', "'; DROP TABLE x; --", 'a\u0000b', '007'];
      const outside = { ...registeredTemplate, name: 'order_notice' };
      const change = { template: registeredTemplate, pace: Infinity, outside } as const;
      await readyCampaign(store, [row(1, { values, opener: null, closesAt: null })], change);
      expect(await store.campaign('c1')).toEqual({
        id: 'c1',
        account: PAGE,
        accountName: account.name,
        template: registeredTemplate,
        source: 'people.csv',
        variables: ['name', 'order_no'],
        pace: Infinity,
        timing: null,
        mode: 'bulk',
        flow: null,
        quiet: null,
        outside,
        key: null,
        occurrence: null,
        budget: DEFAULT_BUDGET,
        state: 'ready',
        stop: null,
        digest: 'of c1',
        approvedAt: NOW,
        startedAt: null,
        activeAt: NOW,
        finishedAt: null,
      });
      expect(await collect(store.messages({ campaign: 'c1' }))).toEqual([
        {
          campaign: 'c1',
          seq: 1,
          userId: user(1),
          values,
          state: 'queued',
          reason: null,
          opener: null,
          closesAt: null,
          notBefore: null,
          attempts: 0,
          startedAt: null,
          settledAt: null,
          messageId: null,
          error: null,
          outside: false,
          receipt: null,
        } satisfies MessageRow,
      ]);
      expect(await store.campaign('c2')).toBeNull();
    });

    it('lets nobody see a plan, and nothing be done with it, before it is approved', async () => {
      const here = await open();
      const there = await here.other('all alive');
      await here.store.draft(newCampaign('c1'));
      await here.store.stage('c1', rows(2));
      const lease = (await here.engine.own(PAGE, NOW))!;
      for (const { store } of [here, there]) {
        expect([await store.campaigns(), await store.campaign('c1'), await collect(store.messages({}))]).toEqual([
          [],
          null,
          [],
        ]);
        expect(await failureOf(store.start(lease, 'c1', NOW))).toBe('CAMPAIGN_UNKNOWN');
      }
    });

    it('keeps plans apart, and forgets those that are thrown away', async () => {
      const { store } = await open();
      for (const [id, count] of [
        ['c1', 2],
        ['c2', 3],
      ] as const) {
        await store.draft(newCampaign(id));
        await store.stage(id, rows(count));
      }
      await store.discard('c1');
      expect(await failureOf(collect(store.order('c1')))).toBe('CAMPAIGN_UNKNOWN');
      // Its name is free again, and nothing of its rows is left.
      await store.draft(newCampaign('c1'));
      expect(await collect(store.order('c1'))).toEqual([]);
      expect(await collect(store.order('c2'))).toHaveLength(3);
    });

    it('throws away no campaign', async () => {
      const { store } = await open();
      await readyCampaign(store, rows(2));
      await store.discard('c1').catch(() => undefined);
      expect((await store.summary('c1')).counts.queued).toBe(2);
    });

    it('shows campaigns newest first, their messages oldest first', async () => {
      const { store } = await open();
      for (const id of ['c1', 'c2']) await readyCampaign(store, rows(1), { id });
      expect((await store.campaigns()).map((one) => one.id)).toEqual(['c2', 'c1']);
      expect((await collect(store.messages({}))).map((one) => one.campaign)).toEqual(['c1', 'c2']);
    });
  });

  describe(`${name}: approval`, () => {
    it.each([
      ['at once', {}, 'first'],
      ['a moment before 24 hours', { now: NOW + DAY - 1 }, 'first'],
      ['after 24 hours', { now: NOW + DAY }, null],
      ['at once, with --again', { again: true }, null],
      ['other content', { digest: 'other' }, null],
    ])('of the same content %s', async (_, change, sentBefore) => {
      const { store } = await open();
      for (const id of ['first', 'second']) await store.draft(newCampaign(id));
      expect(await store.approve('first', approval())).toBeNull();
      expect((await store.approve('second', approval(change)))?.campaign.id ?? null).toBe(sentBefore);
      expect((await store.campaign('second'))?.state ?? null).toBe(sentBefore === null ? 'ready' : null);
    });

    it('of the same content on another account', async () => {
      const { store } = await open();
      await store.draft(newCampaign('first'));
      await store.draft(newCampaign('second', { account: 'other-page' }));
      await store.approve('first', approval());
      expect(await store.approve('second', approval())).toBeNull();
    });

    it('counts 24 hours from the last message that left, not from the approval alone', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(3), { id: 'first' });
      await store.draft(newCampaign('second'));
      const lease = (await engine.own(PAGE, NOW))!;
      const before = async (now: number) => (await store.sentBefore(PAGE, 'of first', now - DAY))?.id ?? null;
      // Resumed after 20 hours, and once more after 30.
      for (const [seq, hours] of [
        [2, 20],
        [1, 30],
      ] as const) {
        await store.start(lease, 'first', NOW + hours * HOUR);
        await store.record(lease, 'first', { settled: [], skipped: [], started: starting(seq) }, NOW + hours * HOUR);
      }
      expect([await before(NOW + DAY), await before(NOW + 54 * HOUR - 1)]).toEqual(['first', 'first']);
      const again = (now: number) => store.approve('second', approval({ digest: 'of first', now }));
      expect((await again(NOW + 54 * HOUR - 1))?.campaign.id).toBe('first');
      expect(await before(NOW + 54 * HOUR)).toBeNull();
      expect(await again(NOW + 54 * HOUR)).toBeNull();
      expect(await before(NOW + 54 * HOUR)).toBe('second');
      expect(await store.sentBefore('other-page', 'of first', 0)).toBeNull();
      expect(await store.sentBefore(PAGE, 'something else', 0)).toBeNull();
    });

    it('lets one of two that race win', async () => {
      const here = await open();
      const there = await here.other('all alive');
      await here.store.draft(newCampaign('first'));
      await there.store.draft(newCampaign('second'));
      const both = await Promise.all([
        here.store.approve('first', approval()),
        there.store.approve('second', approval()),
      ]);
      expect(both.filter((refusal) => refusal === null)).toHaveLength(1);
      expect(await here.store.campaigns()).toHaveLength(1);
    });

    it('makes a campaign of a plan only once', async () => {
      const { store } = await open();
      await store.draft(newCampaign('c1'));
      await store.approve('c1', approval());
      expect(await failureOf(store.approve('c1', approval({ again: true })))).toBe('CAMPAIGN_UNKNOWN');
      expect(await store.campaigns()).toHaveLength(1);
    });

    it('can be tried again after a refusal', async () => {
      const { store } = await open();
      await readyCampaign(store, rows(1), { id: 'first' });
      await store.draft(newCampaign('second'));
      await store.stage('second', rows(3));
      expect((await store.approve('second', approval({ digest: 'of first' })))?.campaign.id).toBe('first');
      await store.approve('second', approval({ digest: 'of first', again: true }));
      expect((await store.summary('second')).counts.queued).toBe(3);
    });
  });

  /** A campaign that this process runs. */
  async function running(staged = rows(3)): Promise<StoreUnderTest & { lease: Lease }> {
    const ledger = await open();
    await readyCampaign(ledger.store, staged);
    const lease = (await ledger.engine.own(PAGE, NOW))!;
    await ledger.store.start(lease, 'c1', NOW);
    return { ...ledger, lease };
  }

  const step = (some: Partial<RunStep>): RunStep => ({ settled: [], skipped: [], started: [], ...some });
  const error = { code: '551', message: 'This person is not available.', traceId: 'abc' };
  const settledAs = (seq: number, state: Settlement['state']): Settlement => ({
    seq,
    state,
    ...(state === 'sent' ? { messageId: `m${seq}` } : { error }),
  });

  async function states(store: Store): Promise<string> {
    const all = await collect(store.messages({ campaign: 'c1' }));
    return all.map((one) => `${one.seq}:${one.state}`).join(' ');
  }

  describe(`${name}: a run`, () => {
    it('gives the next rows in the order of closing, as many as are asked for', async () => {
      const { store, lease } = await running(rows(4, (seq) => ({ closesAt: NOW + DAY - (seq % 2) })));
      expect(await store.next('c1', 3, NOW)).toEqual([
        { seq: 1, userId: user(1), values: ['Ann', 'A-1'], attempts: 0 },
        { seq: 3, userId: user(3), values: ['Ann', 'A-3'], attempts: 0 },
        { seq: 2, userId: user(2), values: ['Ann', 'A-2'], attempts: 0 },
      ]);
      await store.record(
        lease,
        'c1',
        step({ started: starting(1, 2), skipped: [{ seq: 3, reason: 'opted_out' }] }),
        NOW,
      );
      expect(seqs(await store.next('c1', 9, NOW))).toEqual([4]);
    });

    it('writes down what became of each row', async () => {
      const { store, lease } = await running(rows(5));
      const skipped = [{ seq: 5, reason: 'window_closed' as const }];
      await store.record(lease, 'c1', step({ started: starting(1, 2, 3, 4), skipped }), NOW + 1);
      const settled = [settledAs(1, 'sent'), settledAs(2, 'failed'), settledAs(3, 'unknown'), settledAs(4, 'queued')];
      expect(await store.record(lease, 'c1', step({ settled }), NOW + 2)).toBe('done');
      const shown = (await collect(store.messages({ campaign: 'c1' }))).map((one) => ({
        state: one.state,
        reason: one.reason,
        attempts: one.attempts,
        startedAt: one.startedAt,
        messageId: one.messageId,
        error: one.error,
      }));
      const started = { reason: null, attempts: 1, startedAt: NOW + 1, messageId: null };
      expect(shown).toEqual([
        { ...started, state: 'sent', messageId: 'm1', error: null },
        { ...started, state: 'failed', error },
        { ...started, state: 'unknown', error },
        { ...started, state: 'queued', error },
        { ...started, state: 'skipped', reason: 'window_closed', attempts: 0, startedAt: null, error: null },
      ]);
      expect(await store.summary('c1')).toEqual({
        counts: { queued: 1, started: 0, sent: 1, failed: 1, skipped: 1, unknown: 1, total: 5 },
        skip: { window_closed: 1 },
        errors: { 551: 2 },
        refusedByOpener: { message: 2 },
        byOpener: { message: { queued: 1, sent: 1, failed: 1, skipped: 1, unknown: 1 } },
        receipts: {},
        undelivered: {},
        outside: 0,
        changed: { out: { window_closed: 1 }, in: 0 },
      });
    });

    it('keeps a row back until its next attempt', async () => {
      const { store, lease } = await running(rows(2));
      expect(await store.nextAttemptAt('c1')).toBeLessThanOrEqual(NOW);
      await store.record(lease, 'c1', step({ started: starting(1, 2) }), NOW);
      expect(await store.nextAttemptAt('c1')).toBeNull();
      const wait = (seq: number, ms: number): Settlement => ({ ...settledAs(seq, 'queued'), notBefore: NOW + ms });
      await store.record(lease, 'c1', step({ settled: [wait(1, 2000), wait(2, 1000)] }), NOW);
      expect(await store.nextAttemptAt('c1')).toBe(NOW + 1000);
      const waiting = async (ms: number) => seqs(await store.next('c1', 9, NOW + ms));
      expect([await waiting(999), await waiting(1000), await waiting(2000)]).toEqual([[], [2], [1, 2]]);
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW + 2000);
      expect(await store.next('c1', 9, NOW + 2000)).toMatchObject([{ seq: 2, attempts: 1 }]);
    });

    it.each([
      ['started twice', step({ started: starting(1) })],
      ['settled twice', step({ settled: [settledAs(2, 'failed')] })],
      ['settled before it was started', step({ settled: [settledAs(3, 'sent')] })],
      ['started when there is no such row', step({ started: starting(77) })],
    ])('lets no row be %s, and keeps nothing of the attempt', async (_, wrong) => {
      const { store, lease } = await running();
      await store.record(lease, 'c1', step({ started: starting(1, 2) }), NOW);
      await store.record(lease, 'c1', step({ settled: [settledAs(2, 'sent')] }), NOW);
      const mixed: RunStep = {
        settled: [settledAs(1, 'failed'), ...wrong.settled],
        started: [...starting(3), ...wrong.started],
        skipped: [],
      };
      if (wrong.started.some(({ seq }) => seq === 1)) mixed.settled = [];
      expect(await failureOf(store.record(lease, 'c1', mixed, NOW))).toBe('LEASE_LOST');
      expect(await states(store)).toBe('1:started 2:sent 3:queued');
    });

    it('may settle a row and start it again in one step', async () => {
      const { store, lease } = await running(rows(1));
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      const again = step({ settled: [settledAs(1, 'queued')], started: starting(1) });
      expect(await store.record(lease, 'c1', again, NOW)).toBe('done');
      expect(await collect(store.messages({}))).toMatchObject([{ state: 'started', attempts: 2 }]);
    });

    it('does not touch a row that is no longer queued when it is to be left out', async () => {
      const { store, lease } = await running();
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      await store.record(lease, 'c1', step({ skipped: [{ seq: 1, reason: 'opted_out' }] }), NOW);
      expect(await states(store)).toBe('1:started 2:queued 3:queued');
    });

    it('settles, but starts and leaves out nobody, when a row has been settled since it was looked up', async () => {
      const { store, lease } = await running(rows(4));
      await store.record(lease, 'c1', step({ started: starting(1, 2) }), NOW);
      await store.record(lease, 'c1', step({ settled: [settledAs(1, 'queued')] }), NOW);
      const found = seqs(await store.next('c1', 2, NOW));
      await store.recordEchoes(PAGE, [{ campaign: 'c1', seq: 1, messageId: 'm_1' }], NOW);
      const outdated: RunStep = {
        settled: [settledAs(2, 'sent')],
        started: starting(...found),
        skipped: [{ seq: 4, reason: 'window_closed' }],
      };
      expect(await store.record(lease, 'c1', outdated, NOW)).toBe('outdated');
      expect(await states(store)).toBe('1:sent 2:sent 3:queued 4:queued');
      expect(await store.record(lease, 'c1', step({ started: starting(3) }), NOW)).toBe('done');
    });

    it('settles, but starts and leaves out nobody, once the campaign is paused from elsewhere', async () => {
      const { store, lease, pause } = await running();
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      await pause('c1');
      const last: RunStep = {
        settled: [settledAs(1, 'sent')],
        started: starting(2),
        skipped: [{ seq: 3, reason: 'window_closed' }],
      };
      expect(await store.record(lease, 'c1', last, NOW)).toBe('halted');
      expect(await states(store)).toBe('1:sent 2:queued 3:queued');
    });

    it.each([
      ['ready', true],
      ['running', true],
      ['paused', true],
      ['stopped', true],
      ['finished', false],
    ])('starts a campaign that is %s: %s', async (state, allowed) => {
      const { store, engine } = await open();
      const lease = (await engine.own(PAGE, NOW))!;
      await readyCampaign(store, []);
      const stop = { cause: 'token', error, at: NOW } as const;
      if (state !== 'ready') await store.start(lease, 'c1', NOW);
      if (state === 'paused' || state === 'finished') await store.conclude(lease, 'c1', { state }, NOW);
      if (state === 'stopped') await store.conclude(lease, 'c1', { state, stop }, NOW);
      expect(await store.campaign('c1')).toMatchObject({ state, stop: state === 'stopped' ? stop : null });
      const started = await failureOf(store.start(lease, 'c1', NOW + 5));
      expect(started).toEqual(allowed ? { notAFailure: undefined } : 'CAMPAIGN_STATE');
      if (allowed) {
        const startedAt = state === 'ready' ? NOW + 5 : NOW;
        expect(await store.campaign('c1')).toMatchObject({ state: 'running', stop: null, startedAt });
      }
    });

    it("starts no campaign of another account than the lease's", async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(1));
      const elsewhere = (await engine.own('other-page', NOW))!;
      expect(await failureOf(store.start(elsewhere, 'c1', NOW))).toBe('CAMPAIGN_STATE');
      expect(await store.campaign('c1')).toMatchObject({ state: 'ready', startedAt: null });
    });

    it('finishes a campaign only when nothing is queued or started', async () => {
      const { store, lease } = await running(rows(1));
      const finish = () => failureOf(store.conclude(lease, 'c1', { state: 'finished' }, NOW + 9));
      expect(await finish()).toBe('CAMPAIGN_STATE');
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      expect(await finish()).toBe('CAMPAIGN_STATE');
      await store.record(lease, 'c1', step({ settled: [settledAs(1, 'unknown')] }), NOW);
      expect(await finish()).toEqual({ notAFailure: undefined });
      expect(await store.campaign('c1')).toMatchObject({ state: 'finished', finishedAt: NOW + 9 });
    });

    it('keeps the counts adding up to the total, whatever happens', async () => {
      const steps = fc.array(
        fc.record({
          start: fc.nat(3),
          skip: fc.option(fc.constantFrom(...SKIP_REASONS)),
          settle: fc.array(fc.constantFrom<Settlement['state']>('sent', 'failed', 'unknown', 'queued'), {
            maxLength: 3,
          }),
          requeue: fc.boolean(),
        }),
        { maxLength: 8 },
      );
      const { store, lease } = await running(rows(8));
      await fc.assert(
        fc.asyncProperty(steps, async (some) => {
          for (const { start, skip, settle, requeue } of some) {
            const under = await collect(store.messages({ campaign: 'c1', state: 'started' }));
            const settled = settle.slice(0, under.length).map((state, index) => settledAs(under[index]!.seq, state));
            const queued = await store.next('c1', start + 1, NOW);
            const started = starting(...seqs(queued.slice(0, start)));
            const skipped = skip === null ? [] : seqs(queued.slice(start)).map((seq) => ({ seq, reason: skip }));
            await store.record(lease, 'c1', { settled, started, skipped }, NOW);
            if (requeue) {
              const [failed] = await collect(store.messages({ campaign: 'c1', state: 'failed' }));
              const back = failed ? [{ seq: failed.seq, closesAt: NOW + DAY, from: 'failed' as const }] : [];
              await store.requeue(lease, 'c1', back);
              await store.start(lease, 'c1', NOW);
            }
            const summary = await store.summary('c1');
            expectSum(summary.counts, 8);
            expect(sum(Object.values(summary.skip))).toBe(summary.counts.skipped);
            expect(sum(Object.values(summary.errors))).toBe(summary.counts.failed + summary.counts.unknown);
            for (const state of ROW_STATES) {
              expect(await collect(store.messages({ campaign: 'c1', state }))).toHaveLength(summary.counts[state]);
            }
          }
        }),
        { numRuns: 25 },
      );
    });
  });

  describe(`${name}: ownership`, () => {
    it('gives an account to one owner at a time, and other accounts to anybody', async () => {
      const { engine, other } = await open();
      const rival = (await other('all alive')).engine;
      expect(await engine.own(PAGE, NOW)).toEqual({ account: PAGE, fence: 1, freeAt: 0, taken: 0 });
      expect(await rival.own(PAGE, NOW)).toBeNull();
      expect(await engine.own(PAGE, NOW)).toBeNull();
      expect(await rival.own('other-page', NOW)).toMatchObject({ account: 'other-page' });
    });

    it('lets one of several that race win', async () => {
      const here = await open();
      const rivals = [here, await here.other('all alive'), await here.other('all alive')];
      const won = await Promise.all(rivals.map(({ engine }) => engine.own(PAGE, NOW)));
      expect(won.filter((lease) => lease !== null)).toHaveLength(1);
    });

    it('passes an account on when its lease has run out, unless it was renewed', async () => {
      const { engine, other } = await open();
      const rival = (await other('all alive')).engine;
      const lease = (await engine.own(PAGE, NOW))!;
      await engine.renew(lease, NOW + 10_000);
      expect(await rival.own(PAGE, NOW + LEASE_MS)).toBeNull();
      expect(await rival.own(PAGE, NOW + 10_000 + LEASE_MS)).toMatchObject({ fence: 2 });
      expect(await failureOf(engine.renew(lease, NOW + 10_000 + LEASE_MS))).toBe('LEASE_LOST');
    });

    it('passes it on at once when its holder is dead, or has let go of it', async () => {
      const { engine, other } = await open();
      const heir = (await other('others gone')).engine;
      await engine.own(PAGE, NOW);
      const lease = (await heir.own(PAGE, NOW))!;
      expect(lease.fence).toBe(2);
      await heir.release(lease, NOW, 0);
      expect(await failureOf(heir.renew(lease, NOW))).toBe('LEASE_LOST');
      expect(await engine.own(PAGE, NOW)).toMatchObject({ fence: 3 });
    });

    it('makes the rows that a dead owner left under way unknown, on this account alone', async () => {
      const { store, engine, other, lease } = await running();
      const elsewhere = (await engine.own('other-page', NOW))!;
      await readyCampaign(store, rows(1), { id: 'c2', account: 'other-page' });
      await store.start(elsewhere, 'c2', NOW);
      await store.record(elsewhere, 'c2', step({ started: starting(1) }), NOW);
      await store.record(lease, 'c1', step({ started: starting(1, 2) }), NOW);
      await store.record(lease, 'c1', step({ settled: [settledAs(1, 'sent')] }), NOW);

      await (await other('others gone')).engine.own(PAGE, NOW + 7);
      expect(await states(store)).toBe('1:sent 2:unknown 3:queued');
      expect(await collect(store.messages({ state: 'unknown' }))).toMatchObject([
        { campaign: 'c1', seq: 2, settledAt: NOW + 7, error: { code: 'RUN_DIED' } },
      ]);
      expect((await store.summary('c2')).counts.started).toBe(1);
    });

    it('does nothing to rows while somebody else lives', async () => {
      const { store, other, lease } = await running();
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      expect(await (await other('all alive')).engine.own(PAGE, NOW)).toBeNull();
      expect(await states(store)).toBe('1:started 2:queued 3:queued');
    });

    it('refuses every write of a former owner, and changes nothing', async () => {
      const { store, engine, other, lease } = await running();
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      const heir = await other('others gone');
      const theirs = (await heir.engine.own(PAGE, NOW))!;
      await heir.store.record(theirs, 'c1', step({ started: starting(2) }), NOW);
      const writes: Promise<unknown>[] = [
        store.start(lease, 'c1', NOW),
        store.record(lease, 'c1', step({ settled: [settledAs(1, 'sent')] }), NOW),
        store.record(lease, 'c1', step({ settled: [settledAs(2, 'sent')] }), NOW),
        store.record(lease, 'c1', step({ started: starting(3) }), NOW),
        store.record(lease, 'c1', step({ skipped: [{ seq: 3, reason: 'opted_out' }] }), NOW),
        store.conclude(lease, 'c1', { state: 'paused' }, NOW),
        store.requeue(lease, 'c1', [{ seq: 1, closesAt: null, from: 'unknown' }]),
        store.requeue(lease, 'c1', []),
        engine.renew(lease, NOW),
      ];
      expect(await Promise.all(writes.map(failureOf))).toEqual(writes.map(() => 'LEASE_LOST'));
      await engine.release(lease, NOW + DAY, 0);
      expect(await states(store)).toBe('1:unknown 2:started 3:queued');
      expect((await store.campaign('c1'))?.state).toBe('running');
      // The release of a former owner does not let go for the present one either.
      await heir.engine.renew(theirs, NOW);
    });

    it('lets no late answer change a row that a new lease found under way', async () => {
      const { store, engine, lease } = await running();
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      await engine.release(lease, NOW, 0);
      const next = (await engine.own(PAGE, NOW))!;
      const late = () => failureOf(store.record(next, 'c1', step({ settled: [settledAs(1, 'sent')] }), NOW));
      expect([await late(), await states(store)]).toEqual(['LEASE_LOST', '1:unknown 2:queued 3:queued']);
      await store.requeue(next, 'c1', [{ seq: 1, closesAt: NOW + DAY, from: 'unknown' }]);
      expect([await late(), await states(store)]).toEqual(['LEASE_LOST', '1:queued 2:queued 3:queued']);
    });

    describe('tells the next owner what the messages of former ones still take up', () => {
      /** What owners hand over, one after the other, and what the next one, who comes at NOW, is given. */
      it.each<[string, [freeAt: number, taken: number][], [freeAt: number, taken: number]]>([
        ['as it was handed over', [[NOW + 900, 7]], [NOW + 900, 7]],
        ['as nobody knows how many it is', [[NOW + 900, Infinity]], [NOW + 900, Infinity]],
        ['in whole numbers, rather too much than too little', [[NOW + 899.5, 6.5]], [NOW + 900, 7]],
        ['nothing once that time is over', [[NOW, 7]], [NOW, 0]],
        ['for no more than a minute, as the clock may have been set back', [[NOW + DAY, 7]], [NOW + 60_000, 7]],
        // An owner that sent nothing has nothing to add, and takes nothing away.
        [
          'as an owner that sent nothing passes it on',
          [
            [NOW + 900, 7],
            [NOW + 900, 7],
          ],
          [NOW + 900, 7],
        ],
        [
          'as it was, when the owner after that claims less',
          [
            [NOW + 900, 7],
            [NOW + 1, 0],
          ],
          [NOW + 900, 7],
        ],
        [
          'the most of two that end together',
          [
            [NOW + 900, 7],
            [NOW + 900, 9],
          ],
          [NOW + 900, 9],
        ],
        [
          'as nobody knows, when one of two that end together does not',
          [
            [NOW + 900, Infinity],
            [NOW + 900, 9],
          ],
          [NOW + 900, Infinity],
        ],
        [
          'by the later of two, which counts the earlier one in',
          [
            [NOW + 900, 9],
            [NOW + 1200, 8],
          ],
          [NOW + 1200, 8],
        ],
      ])('%s', async (_, handedOver, given) => {
        const { engine } = await open();
        for (const [freeAt, taken] of handedOver)
          await engine.release((await engine.own(PAGE, NOW - 500))!, freeAt, taken);
        const next = (await engine.own(PAGE, NOW))!;
        expect([next.freeAt, next.taken]).toEqual(given);
      });

      it('nothing of an account that nobody ever had', async () => {
        const { engine } = await open();
        expect(await engine.own(PAGE, NOW)).toMatchObject({ freeAt: 0, taken: 0 });
      });

      it('of a dead owner that nobody knows, until it surely is over', async () => {
        const { engine, other } = await open();
        await engine.own(PAGE, NOW - 500);
        const heir = (await other('others gone')).engine;
        const lease = (await heir.own(PAGE, NOW))!;
        expect(lease.taken).toBe(Infinity);
        expect(lease.freeAt).toBeGreaterThanOrEqual(NOW + 1000);
        await heir.release(lease, lease.freeAt, lease.taken);
        expect(await heir.own(PAGE, lease.freeAt - 1)).toMatchObject({ freeAt: lease.freeAt, taken: Infinity });
        await engine.own('other-page', NOW);
        const another = (await heir.own('other-page', NOW))!;
        await heir.release(another, 0, 0);
        expect(await heir.own('other-page', another.freeAt)).toMatchObject({ taken: 0 });
      });
    });
  });

  describe(`${name}: requeue`, () => {
    const FROM = ['failed', 'skipped', 'unknown'] as const;
    const cases = ROW_STATES.flatMap((state) => FROM.map((from): [RowState, typeof from] => [state, from]));

    it.each(cases)('of a row that is %s, as it was %s when it was seen', async (state, from) => {
      const { store, lease } = await running(rows(1));
      if (state === 'skipped') {
        await store.record(lease, 'c1', step({ skipped: [{ seq: 1, reason: 'window_closed' }] }), NOW);
      } else if (state !== 'queued') {
        await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
        if (state !== 'started') await store.record(lease, 'c1', step({ settled: [settledAs(1, state)] }), NOW);
      }
      const before = await collect(store.messages({}));
      const requeued = await failureOf(store.requeue(lease, 'c1', [{ seq: 1, closesAt: NOW + 2 * DAY, from }]));
      const allowed = state === from;
      expect(requeued).toEqual(allowed ? { notAFailure: undefined } : 'COUNT_DIFFERS');
      const back = {
        state: 'queued',
        reason: null,
        attempts: 0,
        error: null,
        settledAt: null,
        closesAt: NOW + 2 * DAY,
      };
      expect(await collect(store.messages({}))).toEqual(allowed ? [{ ...before[0], ...back }] : before);
    });

    it.each<[string, RequeuedRow]>([
      ['is sent by now', { seq: 3, closesAt: null, from: 'failed' }],
      ['became unknown meanwhile', { seq: 2, closesAt: null, from: 'failed' }],
      ['does not exist', { seq: 9, closesAt: null, from: 'failed' }],
    ])('changes nothing at all when one of the rows %s', async (_, wrong) => {
      const { store, lease } = await running(rows(3));
      await store.record(lease, 'c1', step({ started: starting(1, 2, 3) }), NOW);
      const settled = [settledAs(1, 'failed'), settledAs(2, 'unknown'), settledAs(3, 'sent')];
      await store.record(lease, 'c1', step({ settled }), NOW);
      await store.conclude(lease, 'c1', { state: 'finished' }, NOW);
      const before = await collect(store.messages({}));
      const right: RequeuedRow = { seq: 1, closesAt: null, from: 'failed' };
      expect(await failureOf(store.requeue(lease, 'c1', [right, wrong]))).toBe('COUNT_DIFFERS');
      expect(await collect(store.messages({}))).toEqual(before);
      expect(await store.campaign('c1')).toMatchObject({ state: 'finished', finishedAt: NOW });
    });

    it('makes a finished campaign ready again', async () => {
      const { store, lease } = await running(rows(2));
      await store.record(lease, 'c1', step({ started: starting(1, 2) }), NOW);
      await store.record(lease, 'c1', step({ settled: [settledAs(1, 'sent'), settledAs(2, 'failed')] }), NOW);
      await store.conclude(lease, 'c1', { state: 'finished' }, NOW);
      await store.requeue(lease, 'c1', [{ seq: 2, closesAt: null, from: 'failed' }]);
      expect(await store.campaign('c1')).toMatchObject({ state: 'ready', finishedAt: null });
      await store.start(lease, 'c1', NOW);
      expect(seqs(await store.next('c1', 9, NOW))).toEqual([2]);
    });
  });

  describe(`${name}: messages`, () => {
    it('filters by campaign, state and person, alone and together', async () => {
      const { store, lease } = await running(rows(3));
      await readyCampaign(store, rows(2), { id: 'c2' });
      await store.record(lease, 'c1', step({ started: starting(2) }), NOW);
      const found = async (filter: Parameters<Store['messages']>[0]) =>
        (await collect(store.messages(filter))).map((one) => `${one.campaign}/${one.seq}`);
      expect(await found({ campaign: 'c2' })).toEqual(['c2/1', 'c2/2']);
      expect(await found({ state: 'started' })).toEqual(['c1/2']);
      expect(await found({ userId: user(2) })).toEqual(['c1/2', 'c2/2']);
      expect(await found({ userId: user(2), state: 'queued' })).toEqual(['c2/2']);
      expect(await found({ campaign: 'c1', state: 'queued', userId: user(3) })).toEqual(['c1/3']);
      expect(await found({ campaign: 'nothing' })).toEqual([]);
      expect(await found({ userId: `${user(2)}' OR 1=1 --` })).toEqual([]);
    });

    it('gives each of many once, in order, while they change', async () => {
      const { store, lease } = await running(rows(2500));
      await store.record(lease, 'c1', step({ started: starting(1) }), NOW);
      await readyCampaign(store, rows(600), { id: 'c2' });
      const places: string[] = [];
      for await (const batch of store.messages({})) {
        places.push(...batch.map((one) => `${one.campaign}/${one.seq}`));
        // The row goes to and fro.
        const [first] = await collect(store.messages({ campaign: 'c1', state: 'started' }));
        await store.record(
          lease,
          'c1',
          step(first ? { settled: [settledAs(1, 'queued')] } : { started: starting(1) }),
          NOW,
        );
      }
      expect(places).toEqual([...rows(2500).map(({ seq }) => `c1/${seq}`), ...rows(600).map(({ seq }) => `c2/${seq}`)]);
    });
  });

  describe(`${name}: a campaign that there is none of`, () => {
    it.each<[string, (store: Store, lease: Lease) => Promise<unknown>]>([
      ['start', (store, lease) => store.start(lease, 'nothing', NOW)],
      ['next', (store) => store.next('nothing', 1, NOW)],
      ['record', (store, lease) => store.record(lease, 'nothing', step({ started: starting(1) }), NOW)],
      ['requeue', (store, lease) => store.requeue(lease, 'nothing', [])],
      ['summary', (store) => store.summary('nothing')],
    ])('%s says so', async (_, use) => {
      const { store, engine } = await open();
      const lease = (await engine.own(PAGE, NOW))!;
      expect(await failureOf(use(store, lease))).toBe('CAMPAIGN_UNKNOWN');
    });
  });
}

export function expectSum(counts: Counts, total: number): void {
  expect(counts.total).toBe(total);
  expect(sum(ROW_STATES.map((state) => counts[state]))).toBe(total);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
