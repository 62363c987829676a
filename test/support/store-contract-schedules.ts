/** What every store and engine promise about campaigns that wait, recur, are paused or are cancelled; see store-contract.ts. */
import { describe, expect, it } from 'vitest';
import type { Occurrence, Recurrence } from '../../src/ports.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { FakeClock } from './fake-clock.js';
import {
  account,
  accountKey,
  approval,
  collect,
  DAY,
  failureOf,
  HOUR,
  newCampaign,
  NOW,
  readyCampaign,
  row,
  rows,
  starting,
  user,
} from './fixtures.js';
import type { StoreUnderTest } from './store-contract.js';

const PAGE = accountKey;
const timing = { sendAt: NOW + HOUR, expiresAt: NOW + 2 * HOUR, zone: 'Europe/Berlin' };

const recurrence: Recurrence = {
  id: 'r1',
  account: PAGE,
  accountName: account.name,
  template: { name: 'order_update', language: 'en_US' },
  outside: 'order_notice',
  source: { kind: 'ids', ids: [user(1)], values: { name: 'Zoë 🎉', order_no: '007' } },
  pace: Infinity,
  skipInvalid: true,
  budget: { count: 5, share: 0.5 },
  policy: 'test',
  maxPeople: 10,
  cron: '0 9 * * 1-5',
  zone: 'America/New_York',
  expiryMs: HOUR,
  createdAt: NOW,
  nextAt: NOW + HOUR,
  last: null,
};

export function scheduleContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name}: a timed campaign`, () => {
    const scheduled = async () => {
      const here = await open();
      await readyCampaign(here.store, [...rows(3), row(4, { reason: 'window_closed', closesAt: null })], { timing });
      const lease = (await here.engine.own(PAGE, NOW))!;
      return { ...here, lease };
    };

    it('waits, and keeps its time', async () => {
      const { store } = await scheduled();
      expect(await store.campaign('c1')).toMatchObject({ state: 'scheduled', timing });
    });

    it('takes people in and leaves them out when it is planned again, and tells what changed', async () => {
      const { store, lease } = await scheduled();
      await store.replan(lease, 'c1', [
        { seq: 1, reason: 'opted_out', closesAt: null, opener: null, outside: false },
        { seq: 2, reason: null, closesAt: NOW + 5, opener: 'ad', outside: false },
        { seq: 4, reason: null, closesAt: NOW + 3, opener: 'button', outside: false },
      ]);
      expect(await collect(store.queue('c1'))).toEqual([
        { seq: 4, closesAt: NOW + 3 },
        { seq: 2, closesAt: NOW + 5 },
        { seq: 3, closesAt: NOW + DAY },
      ]);
      const { counts, changed, skip } = await store.summary('c1');
      expect({ counts, changed, skip }).toMatchObject({
        counts: { queued: 3, skipped: 1, total: 4 },
        changed: { out: { opted_out: 1 }, in: 1 },
        skip: { opted_out: 1 },
      });
      await store.start(lease, 'c1', NOW);
      expect(await failureOf(store.replan(lease, 'c1', []))).toBe('CAMPAIGN_STATE');
    });

    it('leaves everybody out when it expires, and can be retried', async () => {
      const { store, lease } = await scheduled();
      await store.expire(lease, 'c1', NOW + DAY);
      expect(await store.campaign('c1')).toMatchObject({ state: 'expired', finishedAt: NOW + DAY });
      expect((await store.summary('c1')).skip).toEqual({ expired: 3, window_closed: 1 });
      expect(await failureOf(store.start(lease, 'c1', NOW))).toBe('CAMPAIGN_STATE');
      await store.requeue(lease, 'c1', [{ seq: 2, closesAt: null, from: 'skipped' }]);
      expect(await store.campaign('c1')).toMatchObject({ state: 'ready', finishedAt: null });
    });

    it('is not in the way of the same content once it has ended unsent', async () => {
      const { store, lease } = await scheduled();
      await store.expire(lease, 'c1', NOW);
      await store.draft(newCampaign('c2'));
      expect(await store.approve('c2', approval({ digest: 'of c1' }))).toBeNull();
    });

    it('goes back to waiting after a pause', async () => {
      const { store, lease } = await scheduled();
      await store.pause('c1', NOW);
      expect((await store.campaign('c1'))?.state).toBe('paused');
      await store.reschedule('c1');
      expect((await store.campaign('c1'))?.state).toBe('scheduled');
      await store.start(lease, 'c1', NOW);
      await store.pause('c1', NOW);
      expect(await failureOf(store.reschedule('c1'))).toBe('CAMPAIGN_STATE');
    });

    it('gives the queue of more rows than a batch holds, while rows are left out of it', async () => {
      const { store, engine } = await open();
      await readyCampaign(
        store,
        rows(10_050, (seq) => ({ closesAt: NOW + (seq % 7) })),
        { timing },
      );
      const lease = (await engine.own(PAGE, NOW))!;
      let seen = 0;
      for await (const places of store.queue('c1')) {
        seen += places.length;
        const out = places.filter(({ seq }) => seq % 2 === 0);
        await store.replan(
          lease,
          'c1',
          out.map(({ seq }) => ({
            seq,
            reason: 'window_closes_before_turn',
            closesAt: null,
            opener: null,
            outside: false,
          })),
        );
      }
      expect(seen).toBe(10_050);
      expect((await store.summary('c1')).counts).toMatchObject({ queued: 5025, skipped: 5025 });
    });
  });

  describe(`${name}: pausing and cancelling from elsewhere`, () => {
    it('cancels a campaign under way: what is under way settles, nothing else is sent', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(4));
      const lease = (await engine.own(PAGE, NOW))!;
      await store.start(lease, 'c1', NOW);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1, 2) }, NOW);
      expect(await store.cancel('c1', NOW + 1)).toBe(2);
      const settled = [
        { seq: 1, state: 'sent', messageId: 'm1' },
        { seq: 2, state: 'queued', uncounted: true },
      ] as const;
      expect(await store.record(lease, 'c1', { settled, skipped: [], started: starting(3) }, NOW + 2)).toBe('halted');
      expect((await store.summary('c1')).counts).toMatchObject({ sent: 1, skipped: 3, queued: 0, started: 0 });
      await store.conclude(lease, 'c1', { state: 'paused' }, NOW + 3);
      expect(await store.campaign('c1')).toMatchObject({ state: 'cancelled', finishedAt: NOW + 1 });
    });

    it('does not start what somebody has paused or stopped since it was looked at', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(1));
      const lease = (await engine.own(PAGE, NOW))!;
      const seen = (await store.campaign('c1'))!;
      await store.pause('c1', NOW);
      expect(await failureOf(store.start(lease, 'c1', NOW, seen))).toBe('CAMPAIGN_STATE');
      const paused = (await store.campaign('c1'))!;
      expect(paused).toMatchObject({ state: 'paused', stop: { cause: 'person' } });
      await store.start(lease, 'c1', NOW, paused);
      expect(await store.campaign('c1')).toMatchObject({ state: 'running', stop: null });
    });

    it('pauses also what stands still for a while', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(1));
      const lease = (await engine.own(PAGE, NOW))!;
      await store.start(lease, 'c1', NOW);
      const stop = { cause: 'network', error: null, at: NOW } as const;
      await store.conclude(lease, 'c1', { state: 'stopped', stop }, NOW);
      await store.pause('c1', NOW + 1);
      expect(await store.campaign('c1')).toMatchObject({ state: 'paused', stop: { cause: 'person', at: NOW + 1 } });
    });

    it.each(['pause', 'cancel'] as const)('refuses to %s what has ended, and what is not there', async (what) => {
      const { store, engine } = await open();
      await readyCampaign(store, []);
      const lease = (await engine.own(PAGE, NOW))!;
      await store.start(lease, 'c1', NOW);
      await store.conclude(lease, 'c1', { state: 'finished' }, NOW);
      expect(await failureOf(store[what]('c1', NOW))).toBe('CAMPAIGN_STATE');
      expect(await failureOf(store[what]('nothing', NOW))).toBe('CAMPAIGN_UNKNOWN');
    });

    it('lists what has not ended, oldest first, of one account or of all', async () => {
      const { store } = await open();
      for (const id of ['c1', 'c2', 'c3']) await readyCampaign(store, rows(1), { id });
      await readyCampaign(store, rows(1), { id: 'c4', account: 'other-page' });
      await store.cancel('c2', NOW);
      const ids = async (page?: string) => (await store.openCampaigns(page)).map((one) => one.id);
      expect([await ids(PAGE), await ids('nobody'), await ids()]).toEqual([['c1', 'c3'], [], ['c1', 'c3', 'c4']]);
    });
  });

  describe(`${name}: keys and occurrences`, () => {
    const occurrence: Occurrence = { recurrence: 'r1', at: NOW };

    it.each([
      ['key', { key: 'nightly' }],
      ['occurrence', { occurrence }],
    ] as const)('make one campaign for one %s, even in a race', async (because, change) => {
      const here = await open();
      const there = await here.other('all alive');
      await here.store.draft(newCampaign('first'));
      await there.store.draft(newCampaign('second'));
      await here.store.addRecurrence({ ...recurrence, nextAt: NOW });
      const again = approval({ again: true, ...change });
      const both = await Promise.all([here.store.approve('first', again), there.store.approve('second', again)]);
      expect(both.filter((one) => one === null)).toHaveLength(1);
      const refusal = both.find((one) => one !== null);
      const [winner] = await here.store.campaigns();
      expect(refusal).toMatchObject({ because, campaign: { id: winner?.id } });
      expect(winner).toMatchObject({ key: null, occurrence: null, ...change });
      expect((await here.store.campaignOf(occurrence))?.id).toBe(because === 'occurrence' ? winner?.id : undefined);
    });

    it('make none of a recurrence that has ended while it was planned', async () => {
      const { store } = await open();
      await store.addRecurrence({ ...recurrence, nextAt: NOW });
      await store.draft(newCampaign('c1'));
      await store.endRecurrence('r1');
      expect(await failureOf(store.approve('c1', approval({ again: true, occurrence })))).toBe('RECURRENCE_UNKNOWN');
      expect(await store.campaigns()).toEqual([]);
    });

    it('finds a campaign by its key', async () => {
      const { store } = await open();
      await store.draft(newCampaign('c1'));
      await store.approve('c1', approval({ key: 'nightly' }));
      expect((await store.campaignWithKey('nightly'))?.id).toBe('c1');
      expect(await store.campaignWithKey('other')).toBeNull();
    });
  });

  describe(`${name}: recurrences`, () => {
    it('come back as they were kept', async () => {
      const { store } = await open();
      await store.addRecurrence(recurrence);
      await store.addRecurrence({
        ...recurrence,
        id: 'r2',
        pace: 20,
        source: { kind: 'sheet', path: '/tmp/a b.xlsx' },
      });
      expect(await store.recurrences()).toEqual([
        recurrence,
        { ...recurrence, id: 'r2', pace: 20, source: { kind: 'sheet', path: '/tmp/a b.xlsx' } },
      ]);
    });

    it('pass an occurrence once, whoever writes it down', async () => {
      const { store } = await open();
      await store.addRecurrence(recurrence);
      const last = { at: NOW + HOUR, result: { kind: 'campaign', campaign: 'c1' } } as const;
      await store.passOccurrence('r1', NOW + HOUR, last, NOW + DAY);
      await store.passOccurrence('r1', NOW + HOUR, { at: NOW, result: { kind: 'missed' } }, NOW + 2 * DAY);
      expect(await store.recurrences()).toMatchObject([{ nextAt: NOW + DAY, last }]);
    });

    it('end once', async () => {
      const { store } = await open();
      await store.addRecurrence(recurrence);
      expect([
        await store.endRecurrence('r1'),
        await store.endRecurrence('r1'),
        await store.endRecurrence('r2'),
      ]).toEqual([true, false, false]);
      expect(await store.recurrences()).toMatchObject([{ nextAt: null }]);
    });
  });

  describe(`${name}: reports`, () => {
    it('tells outcomes over time, without those that have none', async () => {
      const { store, engine } = await open();
      await readyCampaign(store, rows(5));
      const lease = (await engine.own(PAGE, NOW))!;
      await store.start(lease, 'c1', NOW);
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1, 2, 3) }, NOW);
      const error = { code: '551', message: '' };
      const settle = (seq: number, state: 'sent' | 'failed' | 'unknown', at: number) =>
        store.record(lease, 'c1', { settled: [{ seq, state, error }], skipped: [], started: [] }, at);
      const base = Math.floor(NOW / 1000) * 1000;
      await settle(1, 'sent', base + 100);
      await settle(2, 'failed', base + 999);
      await settle(3, 'unknown', base + 5000);
      expect(await store.timeline('c1', 1000)).toEqual([
        { from: base, sent: 1, failed: 1, unknown: 0 },
        { from: base + 5000, sent: 0, failed: 0, unknown: 1 },
      ]);
      expect(DEFAULT_BUDGET).toEqual((await store.campaign('c1'))?.budget);
    });
  });

  describe(`${name}: waking`, () => {
    const never = new AbortController().signal;
    const attended = async (
      { engine }: Pick<StoreUnderTest, 'engine'>,
      clock: FakeClock,
      next: (account: string) => number | null = () => null,
    ): Promise<string[]> => {
      const seen: string[] = [];
      const attend = (page: string) => {
        seen.push(page);
        return Promise.resolve(next(page));
      };
      await engine.serve(attend, { clock, signal: never, once: true });
      return seen.sort();
    };

    it('looks at each account that is due, once, however often it was woken', async () => {
      const here = await open();
      const clock = new FakeClock(NOW);
      for (const [page, at] of [
        ['a', NOW - 5],
        ['a', NOW],
        ['b', NOW],
        ['c', NOW + 1],
      ] as const) {
        await here.engine.wake(page, at);
      }
      expect(await attended(here, clock)).toEqual(['a', 'b']);
      expect(await attended(here, clock)).toEqual([]);
      clock.advance(1);
      expect(await attended(here, clock)).toEqual(['c']);
    });

    it('forgets no wake for another', async () => {
      const here = await open();
      const clock = new FakeClock(NOW);
      for (const at of [NOW, NOW + 30 * DAY, NOW + DAY]) await here.engine.wake('a', at);
      const seen: number[] = [];
      for (const days of [0, 1, 29]) {
        clock.advance(days * DAY);
        if ((await attended(here, clock)).length > 0) seen.push(clock.now());
      }
      expect(seen).toEqual([NOW, NOW + DAY, NOW + 30 * DAY]);
    });

    it('looks again when it was told to', async () => {
      const here = await open();
      const clock = new FakeClock(NOW);
      await here.engine.wake('a', NOW);
      expect(await attended(here, clock, () => NOW + HOUR)).toEqual(['a']);
      clock.advance(HOUR - 1);
      expect(await attended(here, clock)).toEqual([]);
      clock.advance(1);
      expect(await attended(here, clock)).toEqual(['a']);
    });

    it('leaves an account due when the worker died over it', async () => {
      const here = await open();
      const there = await here.other('others gone');
      const clock = new FakeClock(NOW);
      await here.engine.wake('a', NOW);
      const died = here.engine.serve(() => Promise.reject(new Error('died')), { clock, signal: never, once: true });
      await expect(died).rejects.toThrow('died');
      expect(await attended(there as StoreUnderTest, clock)).toEqual(['a']);
    });

    it('looks at accounts side by side, at each only once at a time, until it is told to stop', async () => {
      const { engine } = await open();
      const clock = new FakeClock(NOW);
      const stop = new AbortController();
      let now = { a: 0, b: 0 };
      let together = 0;
      let visits = 0;
      for (const page of ['a', 'b']) await engine.wake(page, NOW);
      await engine.serve(
        async (page) => {
          now[page as 'a' | 'b'] += 1;
          expect(now[page as 'a' | 'b']).toBe(1);
          if (now.a + now.b === 2) together += 1;
          await engine.wake(page, clock.now());
          await clock.sleep(5000);
          now = { ...now, [page]: now[page as 'a' | 'b'] - 1 };
          visits += 1;
          if (visits === 4) stop.abort();
          return clock.now();
        },
        { clock, signal: stop.signal, once: false },
      );
      expect(visits).toBeGreaterThanOrEqual(4);
      expect(together).toBeGreaterThan(0);
    });
  });
}
