/** What every store promises of single messages: one for each occasion, within the limits, in campaigns that never end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_STATES } from '../../src/core/delivery.js';
import { OPT_OUT_FLOW } from '../../src/core/opt-out.js';
import type { ContinuousCampaign, Lease, NewSingle, Receipt, RunStep, Settlement, Store } from '../../src/ports.js';
import {
  account,
  accountKey as PAGE,
  collect,
  DAY,
  failureOf,
  HOUR,
  MINUTE,
  NOW,
  readyCampaign,
  registeredTemplate,
  rows,
  starting,
  template,
  user,
} from './fixtures.js';
import { newSingle, queueSingle, rowOf } from './fixtures-inbound.js';
import { expectSum, type StoreUnderTest } from './store-contract.js';

const OTHER = 'messenger/other-page';
const TIMEOUT = { code: 'TIMEOUT', message: '' };

/** @param open a fresh, empty store that goes away with the test */
export function singlesContract(name: string, open: () => Promise<StoreUnderTest>): void {
  const step = (some: Partial<RunStep>): RunStep => ({ settled: [], skipped: [], started: [], ...some });

  const outcomes = async (store: Store, singles: readonly NewSingle[], now = NOW): Promise<string[]> =>
    (await store.queueSingles(singles, now)).map((one) => (one.kind === 'queued' ? 'queued' : one.because));

  const occasions = async (store: Store, now = NOW, limit = 99): Promise<string[]> =>
    (await store.nextSingles(PAGE, limit, now)).map(({ values }) => values[0]!);
  /** One that tells by its first value which it is. */
  const named = (occasion: string, change: Parameters<typeof newSingle>[1] = {}): NewSingle =>
    newSingle(occasion, { values: [occasion, ''], ...change });

  /** Settles one single message, as a run does. */
  async function settle(
    { store, lease }: { store: Store; lease: Lease },
    single: NewSingle,
    settlement: Omit<Settlement, 'seq'>,
    now = NOW,
  ): Promise<{ campaign: string; seq: number }> {
    const row = await queueSingle(store, single, now);
    await store.record(lease, row.campaign, step({ started: starting(row.seq) }), now);
    await store.record(lease, row.campaign, step({ settled: [{ seq: row.seq, ...settlement }] }), now);
    return row;
  }

  async function owned(): Promise<StoreUnderTest & { lease: Lease }> {
    const ledger = await open();
    return { ...ledger, lease: (await ledger.engine.own(PAGE, NOW - HOUR))! };
  }

  describe(`${name}: continuous campaigns`, () => {
    it('are made with their first message, and hold those of their kind', async () => {
      const { store } = await open();
      const row = await queueSingle(store, newSingle('e1', { expiresAt: NOW + 5, answersAt: NOW - 5 }));
      const another = await queueSingle(store, newSingle('e2', { userId: user(2) }), NOW + 1);
      expect([row.seq, another]).toEqual([1, { campaign: row.campaign, seq: 2 }]);
      const campaign = await store.campaign(row.campaign);
      expect(campaign).toEqual({
        id: row.campaign,
        account: PAGE,
        accountName: account.name,
        template,
        source: expect.any(String) as string,
        variables: ['name', 'order_no'],
        pace: 35,
        timing: null,
        mode: 'auto-reply',
        flow: 'hello',
        quiet: null,
        outside: null,
        key: null,
        occurrence: null,
        budget: expect.any(Object) as object,
        state: 'continuous',
        stop: null,
        digest: expect.any(String) as string,
        approvedAt: NOW,
        startedAt: NOW,
        activeAt: NOW,
        finishedAt: null,
      });
      expect(row.campaign).toMatch(/^[\w-]{1,64}$/);
      expect(await store.message(row)).toEqual({
        campaign: row.campaign,
        seq: 1,
        userId: user(1),
        values: ['Ann', 'A-1'],
        state: 'queued',
        reason: null,
        opener: null,
        closesAt: NOW + 5,
        notBefore: null,
        attempts: 0,
        startedAt: null,
        settledAt: null,
        messageId: null,
        error: null,
        outside: false,
        receipt: null,
      });
      expect(await store.message({ ...row, seq: 3 })).toBeNull();
      expect(await store.message({ campaign: 'nothing', seq: 1 })).toBeNull();
    });

    it('are seen among all, but are not among those that are to end, and stand in the way of nobody', async () => {
      const { store } = await open();
      const { campaign } = await queueSingle(store, newSingle('e1'));
      await readyCampaign(store, rows(1));
      expect((await store.campaigns()).map(({ id }) => id)).toEqual(['c1', campaign]);
      expect([await store.openCampaigns(PAGE), await store.openCampaigns()]).toMatchObject([
        [{ id: 'c1' }],
        [{ id: 'c1' }],
      ]);
      const { digest } = (await store.campaign(campaign))!;
      expect(await store.sentBefore(PAGE, digest, 0)).toBeNull();
    });

    it.each<[string, Partial<ContinuousCampaign>, boolean]>([
      ['the same', {}, true],
      ['the account is called otherwise', { accountName: 'acme' }, true],
      ['the account is another', { account: OTHER }, false],
      ['the mode is another', { mode: 'notification' }, false],
      ['the flow is another', { flow: 'bye' }, false],
      ['a person writes them', { mode: 'interactive', flow: null }, false],
      ['the pace is another', { pace: Infinity }, false],
      ['they have quiet hours', { quiet: { hours: { from: 1320, to: 480, zone: 'UTC' }, then: 'wait' } }, false],
      ['the template is another', { template: registeredTemplate }, false],
      ['the template says something else', { template: { ...template, body: 'Hi {{name}} {{order_no}}' } }, false],
    ])('are one when %s: %s', async (_, change, same) => {
      const { store } = await open();
      const one = await queueSingle(store, newSingle('e1'));
      const another = await queueSingle(store, newSingle('e2', { campaign: change }));
      expect(one.campaign === another.campaign).toBe(same);
      expect(await store.campaigns()).toHaveLength(same ? 1 : 2);
      // What an account was called first is what its campaign says.
      const expected = same ? { ...change, accountName: account.name } : change;
      expect(await store.campaign(another.campaign)).toMatchObject(expected);
    });

    it('are one for two that race, and those of two stores have different names', async () => {
      const here = await open();
      const there = await here.other('all alive');
      const both = await Promise.all([
        here.store.queueSingles([newSingle('e1')], NOW),
        there.store.queueSingles([newSingle('e2')], NOW),
      ]);
      const [one, another] = both.map(([queued]) => rowOf(queued));
      expect(one!.campaign).toBe(another!.campaign);
      const { store: elsewhere } = await open();
      // An echo comes to every store that listens for the account, and must find nothing in the wrong one.
      expect((await queueSingle(elsewhere, newSingle('e1'))).campaign).not.toBe(one!.campaign);
    });

    it.each<[string, (store: Store, lease: Lease, campaign: string) => Promise<unknown>]>([
      ['started', (store, lease, campaign) => store.start(lease, campaign, NOW)],
      ['finished', (store, lease, campaign) => store.conclude(lease, campaign, { state: 'finished' }, NOW)],
      ['paused by a run', (store, lease, campaign) => store.conclude(lease, campaign, { state: 'paused' }, NOW)],
      ['paused', (store, _, campaign) => store.pause(campaign, NOW)],
      ['cancelled', (store, _, campaign) => store.cancel(campaign, NOW)],
      ['given a time', (store, _, campaign) => store.reschedule(campaign)],
      ['planned again', (store, lease, campaign) => store.replan(lease, campaign, [])],
      ['ended for its age', (store, lease, campaign) => store.expire(lease, campaign, NOW)],
      [
        'sent again',
        (store, lease, campaign) => store.requeue(lease, campaign, [{ seq: 1, closesAt: null, from: 'failed' }]),
      ],
    ])('cannot be %s', async (_, change) => {
      const world = await owned();
      const { store, lease } = world;
      const { campaign } = await settle(world, newSingle('e1'), { state: 'failed', error: TIMEOUT });
      await queueSingle(store, newSingle('e2'));
      const before = [await store.campaign(campaign), await collect(store.messages({}))];
      expect(await failureOf(change(store, lease, campaign))).toBe('CAMPAIGN_STATE');
      expect([await store.campaign(campaign), await collect(store.messages({}))]).toEqual(before);
    });
  });

  describe(`${name}: queueing single messages`, () => {
    it.each<[string, Parameters<typeof newSingle>[1], string]>([
      ['once more', {}, 'occasion'],
      ['with other content', { values: ['Bob', 'B-1'], campaign: { template: registeredTemplate } }, 'occasion'],
      ['by another flow', { campaign: { flow: 'bye' } }, 'occasion'],
      ['by a person', { campaign: { flow: null, mode: 'interactive' } }, 'occasion'],
      ['to somebody else', { userId: user(2) }, 'queued'],
      ['from another account', { campaign: { account: OTHER } }, 'queued'],
    ])('for one occasion %s', async (_, change, expected) => {
      const { store } = await open();
      const row = await queueSingle(store, newSingle('e1'));
      const [again] = await store.queueSingles([newSingle('e1', change)], NOW + DAY);
      if (expected === 'queued') expect(again).toMatchObject({ kind: 'queued' });
      else expect(again).toEqual({ kind: 'not_queued', because: expected, row });
    });

    it('for an occasion that has had its message, whatever became of it', async () => {
      const world = await owned();
      const { store } = world;
      const first = await settle(world, newSingle('sent'), { state: 'sent', messageId: 'm_1' });
      await settle(world, newSingle('failed'), { state: 'failed', error: TIMEOUT });
      await store.withdrawSingle(await queueSingle(store, newSingle('withdrawn')), NOW);
      const again = ['sent', 'failed', 'withdrawn'].map((occasion) => newSingle(occasion));
      expect(await outcomes(store, again)).toEqual(['occasion', 'occasion', 'occasion']);
      expect(await store.queueSingles(again.slice(0, 1), NOW)).toMatchObject([{ row: first }]);
    });

    it('is no matter of campaigns in bulk', async () => {
      const { store } = await open();
      await readyCampaign(store, rows(1));
      const limits = { onceSince: NOW - DAY, guard: { since: NOW - DAY, most: 1 } };
      expect(await outcomes(store, [newSingle('e1', limits)])).toEqual(['queued']);
    });

    it('takes several in one step, in their order, or none', async () => {
      const { store } = await open();
      const some = [newSingle('e1'), newSingle('e1'), newSingle('e2', { onceSince: NOW - 1 }), newSingle('e3')];
      expect(await outcomes(store, some)).toEqual(['queued', 'occasion', 'limit', 'queued']);
      const broken = newSingle('e5', { values: [1n] as unknown as string[] });
      await expect(store.queueSingles([newSingle('e4', { campaign: { flow: 'bye' } }), broken], NOW)).rejects.toThrow();
      expect(await store.campaigns()).toHaveLength(1);
      expect(await outcomes(store, [newSingle('e4', { campaign: { flow: 'bye' } })])).toEqual(['queued']);
    });

    const since = NOW - HOUR;

    it.each<[string, NewSingle[], string, number?]>([
      ['nothing went before', [], 'queued'],
      ['there was one within the time', [newSingle('e1')], 'limit'],
      ['there was one exactly so long ago', [newSingle('e1')], 'queued', since],
      ['there was one a moment later than that', [newSingle('e1')], 'limit', since + 1],
      ['it said something else', [newSingle('e1', { campaign: { template: registeredTemplate } })], 'limit'],
      ['it was to somebody else', [newSingle('e1', { userId: user(2) })], 'queued'],
      ['it was of another flow', [newSingle('e1', { campaign: { flow: 'bye' } })], 'queued'],
      ['it was from another account', [newSingle('e1', { campaign: { account: OTHER } })], 'queued'],
      ['a person wrote it', [newSingle('e1', { campaign: { flow: null, mode: 'interactive' } })], 'queued'],
    ])('of a flow that sends once in a while, when %s', async (_, before, expected, at = NOW) => {
      const { store } = await open();
      await store.queueSingles(before, at);
      expect(await outcomes(store, [newSingle('new', { onceSince: since })])).toEqual([expected]);
      expect(await outcomes(store, [newSingle('unlimited')])).toEqual(['queued']);
    });

    it('counts only what was not left out against such a limit', async () => {
      const world = await owned();
      const { store, lease } = world;
      const left = await queueSingle(store, newSingle('e1'));
      await store.record(lease, left.campaign, step({ skipped: [{ seq: left.seq, reason: 'expired' }] }), NOW);
      const limited = (occasion: string) => newSingle(occasion, { onceSince: since });
      await settle(world, limited('e2'), { state: 'failed', error: TIMEOUT });
      expect(await outcomes(store, [limited('e3')])).toEqual(['limit']);
    });

    const guard = { since, most: 2 };
    const bye = { flow: 'bye', mode: 'notification' } as const;

    it.each<[string, NewSingle[], string, number?]>([
      ['fewer', [newSingle('e1')], 'queued'],
      ['as many, of whatever flows', [newSingle('e1'), newSingle('e2', { campaign: bye })], 'guard'],
      ['as many, but too long ago', [newSingle('e1'), newSingle('e2')], 'queued', since],
      ['as many, a moment later', [newSingle('e1'), newSingle('e2')], 'guard', since + 1],
      ['as many, but some to somebody else', [newSingle('e1'), newSingle('e2', { userId: user(2) })], 'queued'],
      [
        'as many, but some from another account',
        [newSingle('e1'), newSingle('e2', { campaign: { account: OTHER } })],
        'queued',
      ],
      [
        'as many, but some that a person wrote',
        [newSingle('e1'), newSingle('e2', { campaign: { flow: null, mode: 'interactive' } })],
        'queued',
      ],
      [
        'as many, but some were confirmations',
        [newSingle('e1'), newSingle('e2', { campaign: { flow: OPT_OUT_FLOW } })],
        'queued',
      ],
    ])('under a guard, when there were %s', async (_, before, expected, at = NOW) => {
      const { store } = await open();
      await store.queueSingles(before, at);
      expect(await outcomes(store, [newSingle('new', { guard })])).toEqual([expected]);
      expect(await outcomes(store, [newSingle('unguarded')])).toEqual(['queued']);
    });

    it('holds under the guard also what was left out, so that a flood of messages ends', async () => {
      const { store } = await open();
      for (const occasion of ['e1', 'e2'])
        await store.withdrawSingle(await queueSingle(store, newSingle(occasion)), NOW);
      expect(await outcomes(store, [newSingle('e3', { guard })])).toEqual(['guard']);
    });

    it('says first that there is one for the occasion', async () => {
      const { store } = await open();
      await queueSingle(store, newSingle('e1'));
      const all = { onceSince: since, guard: { since, most: 1 } };
      expect(await outcomes(store, [newSingle('e1', all), newSingle('e2', all)])).toEqual(['occasion', 'limit']);
    });

    it('queues no more than there are occasions and the guard allows, in whatever order they race', async () => {
      const some = fc.array(
        fc.record({
          occasion: fc.constantFrom('e1', 'e2', 'e3', 'e4', 'e5'),
          person: fc.integer({ min: 1, max: 2 }),
          flow: fc.constantFrom('hello', 'bye'),
          here: fc.boolean(),
        }),
        { maxLength: 15 },
      );
      await fc.assert(
        fc.asyncProperty(some, async (singles) => {
          const here = await open();
          const there = await here.other('all alive');
          await Promise.all(
            singles.map(({ occasion, person, flow, here: isHere }) => {
              const single = newSingle(occasion, {
                userId: user(person),
                campaign: { flow },
                guard: { since, most: 3 },
              });
              return (isHere ? here : there).store.queueSingles([single], NOW);
            }),
          );
          for (const person of [1, 2]) {
            const wanted = new Set(singles.filter((one) => one.person === person).map(({ occasion }) => occasion));
            const queued = await collect(here.store.messages({ userId: user(person) }));
            expect(queued).toHaveLength(Math.min(3, wanted.size));
          }
        }),
        { numRuns: 20 },
      );
    });
  });

  describe(`${name}: the next single messages`, () => {
    it('are those of the account that have waited longest, whatever campaign they are of', async () => {
      const { store } = await open();
      await store.queueSingles([named('b', { campaign: { flow: 'bye' } })], NOW + 2);
      await store.queueSingles([named('a'), named('elsewhere', { campaign: { account: OTHER } })], NOW + 1);
      await store.queueSingles([named('c'), named('d', { userId: user(2) })], NOW + 3);
      await readyCampaign(store, rows(2));
      expect(await occasions(store, NOW + 3)).toEqual(['a', 'b', 'c', 'd']);
      for (const limit of [1, 2]) expect(await occasions(store, NOW + 3, limit)).toEqual(['a', 'b'].slice(0, limit));
      expect(await store.nextSingles('nobody', 9, NOW)).toEqual([]);
    });

    it('come with all that a run needs to know', async () => {
      const { store } = await open();
      const answer = await queueSingle(store, newSingle('e1', { answersAt: NOW - 5, expiresAt: NOW + 5 }));
      const call = await queueSingle(store, newSingle('e2', { answersAt: null, userId: user(2), values: ['Zoë', ''] }));
      expect(await store.nextSingles(PAGE, 9, NOW)).toEqual([
        { ...answer, userId: user(1), values: ['Ann', 'A-1'], attempts: 0, answersAt: NOW - 5, expiresAt: NOW + 5 },
        { ...call, userId: user(2), values: ['Zoë', ''], attempts: 0, answersAt: null, expiresAt: NOW + DAY },
      ]);
    });

    it('are not those whose time has not come, but those for which it is too late', async () => {
      const { store } = await open();
      await store.queueSingles([named('waits', { notBefore: NOW + 10 }), named('late', { expiresAt: NOW - 10 })], NOW);
      expect([await occasions(store, NOW + 9), await occasions(store, NOW + 10)]).toEqual([
        ['late'],
        ['late', 'waits'],
      ]);
    });

    it('come after those that have been due for longer, when they were put off', async () => {
      const { store, lease } = await owned();
      const first = await queueSingle(store, named('first'));
      const postponed = [{ seq: first.seq, notBefore: NOW + MINUTE }];
      expect(await store.record(lease, first.campaign, step({ postponed }), NOW)).toBe('done');
      expect(await store.message(first)).toMatchObject({ state: 'queued', attempts: 0, settledAt: null });
      await store.queueSingles([named('second')], NOW + MINUTE - 1);
      expect(await occasions(store, NOW + MINUTE - 1)).toEqual(['second']);
      await store.queueSingles([named('third')], NOW + MINUTE + 1);
      expect(await occasions(store, NOW + MINUTE + 1)).toEqual(['second', 'first', 'third']);
    });

    it('are none of the campaigns that are not asked for', async () => {
      const { store } = await open();
      const { campaign } = await queueSingle(store, named('hello'));
      const bye = await queueSingle(store, named('bye', { campaign: { flow: 'bye' } }), NOW + 1);
      const one = async (...except: string[]): Promise<string[]> =>
        (await store.nextSingles(PAGE, 1, NOW + 1, except)).map(({ values }) => values[0]!);
      expect([await one(), await one(campaign), await one(campaign, bye.campaign)]).toEqual([['hello'], ['bye'], []]);
    });

    it('are due when the first of them may be sent', async () => {
      const { store } = await open();
      const dueAt = () => store.singlesDueAt(PAGE);
      expect(await dueAt()).toBeNull();
      await readyCampaign(store, rows(1));
      await queueSingle(store, newSingle('elsewhere', { campaign: { account: OTHER } }));
      expect(await dueAt()).toBeNull();
      await queueSingle(store, newSingle('e1', { notBefore: NOW + HOUR }));
      await queueSingle(store, newSingle('e2', { notBefore: NOW + MINUTE, campaign: { flow: 'bye' } }));
      expect(await dueAt()).toBe(NOW + MINUTE);
      const row = await queueSingle(store, newSingle('e3'));
      expect(await dueAt()).toBeLessThanOrEqual(NOW);
      await store.withdrawSingle(row, NOW);
      expect(await dueAt()).toBe(NOW + MINUTE);
    });

    it('can be withdrawn until they are started', async () => {
      const { store, lease } = await owned();
      const [first, second] = [await queueSingle(store, named('a')), await queueSingle(store, named('b'))];
      await store.record(lease, first.campaign, step({ started: starting(first.seq) }), NOW);
      expect([await store.withdrawSingle(first, NOW), await store.withdrawSingle(second, NOW + 5)]).toEqual([
        false,
        true,
      ]);
      expect(await store.withdrawSingle(second, NOW + 6)).toBe(false);
      expect(await store.message(first)).toMatchObject({ state: 'started' });
      expect(await store.message(second)).toMatchObject({ state: 'skipped', reason: 'cancelled', settledAt: NOW + 5 });
      expect(await occasions(store)).toEqual([]);
      await readyCampaign(store, rows(1));
      expect(await store.withdrawSingle({ campaign: 'c1', seq: 1 }, NOW)).toBe(false);
    });
  });

  describe(`${name}: sending single messages`, () => {
    it('goes as a run goes', async () => {
      const { store, lease } = await owned();
      const queued = [];
      for (const occasion of ['sent', 'again', 'late', 'under way'])
        queued.push(await queueSingle(store, named(occasion)));
      const [sent, again, late, underWay] = queued.map(({ seq }) => seq);
      const { campaign } = queued[0]!;
      const first = step({ started: starting(sent!, again!), skipped: [{ seq: late!, reason: 'expired' }] });
      expect(await store.record(lease, campaign, first, NOW + 1)).toBe('done');
      expect(await occasions(store)).toEqual(['under way']);
      const settled: Settlement[] = [
        { seq: sent!, state: 'sent', messageId: 'm_1' },
        { seq: again!, state: 'queued', error: TIMEOUT, notBefore: NOW + 1000 },
      ];
      const last = step({ settled, started: starting(underWay!) });
      expect(await store.record(lease, campaign, last, NOW + 100_000)).toBe('done');
      expect([await occasions(store, NOW + 999), await occasions(store, NOW + 1000)]).toEqual([[], ['again']]);
      expect(await store.nextSingles(PAGE, 9, NOW + 1000)).toMatchObject([{ attempts: 1 }]);
      expect((await store.summary(campaign)).counts).toMatchObject({
        sent: 1,
        queued: 1,
        skipped: 1,
        started: 1,
        total: 4,
      });
      expect(await store.campaign(campaign)).toMatchObject({ state: 'continuous', activeAt: NOW + 100_000 });
    });

    it('is refused to a former owner', async () => {
      const { store, lease, other } = await owned();
      const row = await queueSingle(store, newSingle('e1'));
      await (await other('others gone')).engine.own(PAGE, NOW);
      const late = store.record(lease, row.campaign, step({ started: starting(row.seq) }), NOW);
      expect(await failureOf(late)).toBe('LEASE_LOST');
      expect(await store.message(row)).toMatchObject({ state: 'queued' });
    });

    it('that a dead owner left under way is unknown, until its echo comes', async () => {
      const { store, lease, other } = await owned();
      const row = await queueSingle(store, newSingle('e1'));
      await store.record(lease, row.campaign, step({ started: starting(row.seq) }), NOW);
      await (await other('others gone')).engine.own(PAGE, NOW + 1);
      expect(await store.message(row)).toMatchObject({ state: 'unknown', error: { code: 'RUN_DIED' } });
      expect(await store.nextSingles(PAGE, 9, NOW + DAY)).toEqual([]);
      expect(await store.recordEchoes(PAGE, [{ ...row, messageId: 'm_1' }], NOW + 2)).toBe(1);
      expect(await store.message(row)).toMatchObject({ state: 'sent', messageId: 'm_1' });
    });

    it('that provably was not sent is left out, because nobody waits for it any more', async () => {
      const world = await owned();
      const { store, lease } = world;
      const unknown = { state: 'unknown', error: TIMEOUT } as const;
      const lost = await settle(world, newSingle('e1'), unknown);
      const found = await settle(world, newSingle('e2'), unknown);
      const waiting = await queueSingle(store, named('waits'));
      await store.resolve(
        lease,
        lost.campaign,
        [
          { seq: lost.seq, to: 'queued', closesAt: NOW + DAY },
          { seq: found.seq, to: 'sent', messageId: 'm_2' },
          { seq: waiting.seq, to: 'queued', closesAt: null },
        ],
        NOW + 5,
      );
      expect(await store.message(lost)).toMatchObject({
        state: 'skipped',
        reason: 'cancelled',
        settledAt: NOW + 5,
        error: null,
      });
      expect(await store.message(found)).toMatchObject({ state: 'sent', messageId: 'm_2' });
      expect(await occasions(store)).toEqual(['waits']);
      expect(await store.campaign(lost.campaign)).toMatchObject({ state: 'continuous' });
    });

    it('keeps the counts adding up to the total, whatever happens', async () => {
      const action = fc.oneof(
        fc.record({
          do: fc.constant('queue'),
          person: fc.integer({ min: 1, max: 3 }),
          occasion: fc.integer({ min: 1, max: 9 }),
        }),
        fc.record({ do: fc.constantFrom('start', 'skip', 'withdraw') }),
        fc.record({
          do: fc.constant('settle'),
          as: fc.constantFrom<Settlement['state']>('sent', 'failed', 'unknown', 'queued'),
        }),
        fc.record({ do: fc.constant('resolve'), as: fc.constantFrom('sent', 'queued') }),
        fc.record({ do: fc.constant('echo') }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
          const { store, lease } = await owned();
          const { campaign } = await queueSingle(store, newSingle('first'));
          let total = 1;
          for (const one of actions as { do: string; person?: number; occasion?: number; as?: string }[]) {
            const [next] = await store.nextSingles(PAGE, 1, NOW);
            const [underWay] = await collect(store.messages({ campaign, state: 'started' }));
            const [unknown] = await collect(store.messages({ campaign, state: 'unknown' }));
            if (one.do === 'queue') {
              const [queued] = await store.queueSingles(
                [newSingle(`e${one.occasion}`, { userId: user(one.person!) })],
                NOW,
              );
              if (queued!.kind === 'queued') total += 1;
            }
            if (one.do === 'start' && next)
              await store.record(lease, campaign, step({ started: starting(next.seq) }), NOW);
            if (one.do === 'skip' && next)
              await store.record(lease, campaign, step({ skipped: [{ seq: next.seq, reason: 'expired' }] }), NOW);
            if (one.do === 'withdraw' && next) await store.withdrawSingle(next, NOW);
            if (one.do === 'settle' && underWay) {
              const settled = [{ seq: underWay.seq, state: one.as as Settlement['state'], error: TIMEOUT }];
              await store.record(lease, campaign, step({ settled }), NOW);
            }
            if (one.do === 'resolve' && unknown) {
              const to =
                one.as === 'sent'
                  ? ({ to: 'sent', messageId: 'm' } as const)
                  : ({ to: 'queued', closesAt: null } as const);
              await store.resolve(lease, campaign, [{ seq: unknown.seq, ...to }], NOW);
            }
            if (one.do === 'echo' && unknown)
              await store.recordEchoes(PAGE, [{ campaign, seq: unknown.seq, messageId: 'm' }], NOW);
            const { counts, skip } = await store.summary(campaign);
            expectSum(counts, total);
            expect((skip.cancelled ?? 0) + (skip.expired ?? 0)).toBe(counts.skipped);
            for (const state of ROW_STATES) {
              expect(await collect(store.messages({ campaign, state }))).toHaveLength(counts[state]);
            }
          }
        }),
        { numRuns: 25 },
      );
    });
  });

  describe(`${name}: receipts of single messages`, () => {
    const receipt = (change: Partial<Receipt>): Receipt => ({
      messageId: 'm_1',
      userId: user(1),
      row: null,
      kind: 'delivered',
      at: NOW + MINUTE,
      error: null,
      ...change,
    });

    it('find the row that they name, and no other of the same person', async () => {
      const world = await owned();
      const { store } = world;
      const unknown = { state: 'unknown', error: TIMEOUT } as const;
      const [one, another] = [
        await settle(world, newSingle('e1'), unknown),
        await settle(world, newSingle('e2'), unknown),
      ];
      const missing = { ...one, seq: 99 };
      const found = [receipt({ row: missing }), receipt({ row: one, userId: user(2) })];
      expect(await store.recordReceipts(PAGE, found, NOW)).toEqual({ matched: 0, settled: 0 });
      expect(await store.recordReceipts(PAGE, [receipt({ row: another })], NOW)).toEqual({ matched: 1, settled: 1 });
      const unnamed = receipt({ row: one, userId: null, messageId: 'm_2' });
      expect(await store.recordReceipts(PAGE, [unnamed], NOW)).toEqual({ matched: 1, settled: 1 });
      expect([(await store.message(one))?.messageId, (await store.message(another))?.messageId]).toEqual([
        'm_2',
        'm_1',
      ]);
    });
  });

  describe(`${name}: what a person was sent last`, () => {
    it('was in a language, unless it was free text or a confirmation', async () => {
      const world = await owned();
      const { store } = world;
      const inLanguage = (language: string, change: Partial<ContinuousCampaign> = {}) => ({
        campaign: { template: { ...template, language }, ...change },
      });
      const sent = { state: 'sent', messageId: 'm' } as const;
      const last = () => store.lastLanguage(PAGE, user(1));
      expect(await last()).toBeNull();
      await queueSingle(store, newSingle('queued', inLanguage('fr')));
      expect(await last()).toBeNull();
      await settle(world, newSingle('e1', inLanguage('de')), sent, NOW + 1);
      expect(await last()).toBe('de');
      await settle(world, newSingle('e2', inLanguage('es')), { state: 'failed', error: TIMEOUT }, NOW + 2);
      expect(await last()).toBe('es');
      await settle(world, newSingle('e3', inLanguage('und', { flow: null, mode: 'interactive' })), sent, NOW + 3);
      await settle(world, newSingle('e4', inLanguage('it', { flow: OPT_OUT_FLOW })), sent, NOW + 4);
      await settle(world, newSingle('e5', { ...inLanguage('pt'), userId: user(2) }), sent, NOW + 5);
      expect(await last()).toBe('es');
      expect(await store.lastLanguage(OTHER, user(1))).toBeNull();
    });

    it('was in the language of the registered template, if it went out as that', async () => {
      const { store, lease } = await owned();
      await readyCampaign(store, rows(2), { outside: { ...registeredTemplate, language: 'nl' } });
      await store.start(lease, 'c1', NOW);
      await store.record(
        lease,
        'c1',
        step({
          started: [
            { seq: 1, outside: true },
            { seq: 2, outside: false },
          ],
        }),
        NOW,
      );
      expect([await store.lastLanguage(PAGE, user(1)), await store.lastLanguage(PAGE, user(2))]).toEqual([
        'nl',
        'en_US',
      ]);
    });

    it('by a flow was queued at some time, unless it was left out', async () => {
      const { store } = await open();
      const last = () => store.lastAutomatic(PAGE, user(1));
      await readyCampaign(store, rows(1));
      await queueSingle(store, newSingle('e1', { campaign: { flow: null, mode: 'interactive' } }));
      await queueSingle(store, newSingle('e2', { campaign: { flow: OPT_OUT_FLOW } }));
      await queueSingle(store, newSingle('e3', { userId: user(2) }));
      await queueSingle(store, newSingle('e4', { campaign: { account: OTHER } }));
      expect(await last()).toBeNull();
      await queueSingle(store, newSingle('e5', { campaign: { flow: 'bye' } }), NOW + 1);
      const left = await queueSingle(store, newSingle('e6'), NOW + 2);
      expect(await last()).toBe(NOW + 2);
      await store.withdrawSingle(left, NOW + 3);
      expect(await last()).toBe(NOW + 1);
    });
  });
}
