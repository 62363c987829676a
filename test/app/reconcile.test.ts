/** Unknown outcomes: what settles them, what leaves them as they are, and that nobody who got a message gets it again. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  DEFAULT_MIN_AGE_MS,
  reconcile,
  type Outlook,
  type ReconcileRequest,
  type ReconcileResult,
  type ReconcileWorld,
  type Unsettled,
} from '../../src/app/reconcile.js';
import { sendSingles } from '../../src/app/send-singles.js';
import type { Template } from '../../src/core/template.js';
import type { Clock, Echo, Lookup, NewCampaign, ShownMessage } from '../../src/ports.js';
import { openProvider } from '../../src/providers/index.js';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { startSandbox } from '../../src/sandbox/server.js';
import {
  FakeProvider,
  failure,
  mostWithin,
  sent,
  type Reply,
  type Script,
  type Show,
} from '../support/fake-provider.js';
import {
  accountKey,
  collect,
  DAY,
  exactWindow,
  failureOf,
  HOUR,
  MINUTE,
  NOW,
  openLedger,
  readyCampaign,
  registeredTemplate,
  rows,
  starting,
  successor,
  template,
  user,
} from '../support/fixtures.js';
import { newSingle, queueSingle } from '../support/fixtures-inbound.js';
import { run, stage, wrote, type Stage } from '../support/fixtures-run.js';
import { machineClock } from '../support/provider-contract.js';
import { seededRandom } from '../support/sandbox-harness.js';

const unknown: Reply['outcome'] = { kind: 'unknown', error: failure('TIMEOUT') };
/** The answer was lost, and the message had arrived. */
const arrived: Reply = { outcome: unknown, delivered: true };
/** The answer was lost, and the message, too. */
const lost: Reply = { outcome: unknown };
const budget = { count: 1000, share: 1 };

/** A campaign of so many people that has been run, an hour ago. */
async function after(people: number, script: Script, change: Partial<NewCampaign> = {}): Promise<Stage> {
  const world = await stage(people, script, change);
  await run(world, { budget });
  world.clock.advance(HOUR);
  return world;
}

/** A campaign of so many people whose process died an hour ago, with all messages under way. */
async function leftUnderWay(people: number): Promise<Stage> {
  const world = await stage(people);
  const lease = (await world.engine.own(accountKey, NOW))!;
  await world.store.start(lease, 'c1', NOW);
  const started = starting(...rows(people).map(({ seq }) => seq));
  await world.store.record(lease, 'c1', { settled: [], skipped: [], started }, NOW);
  world.clock.advance(HOUR);
  return { ...world, ...world.ledger.as(successor) };
}

const echo = (seq: number): Echo => ({ campaign: 'c1', seq, messageId: `m_echo${seq}` });

function look(world: ReconcileWorld, change: Partial<ReconcileRequest> = {}): Promise<ReconcileResult> {
  return reconcile(world, {
    campaign: 'c1',
    window: exactWindow,
    minAgeMs: DEFAULT_MIN_AGE_MS,
    signal: new AbortController().signal,
    ...change,
  });
}

async function states(world: Stage, campaign = 'c1'): Promise<string[]> {
  return (await collect(world.store.messages({ campaign }))).map(({ state }) => state);
}

const textFor = (seq: number): string => `Hi Ann, order A-${seq} leaves today.`;
const message = (seq: number, change: Partial<ShownMessage> = {}): ShownMessage => ({
  messageId: `m_${seq}`,
  text: textFor(seq),
  at: NOW,
  fromAccount: true,
  ...change,
});
const shows =
  (...messages: ShownMessage[]): Show =>
  () => ({ kind: 'read', messages, complete: true });
const fails =
  (code: string, more: Partial<Extract<Lookup, { kind: 'failed' }>> = {}): Show =>
  () => ({ kind: 'failed', error: failure(code), ...more });

describe('reconcile', () => {
  it('makes sent what is there, queues what is not, and a run then reaches everybody once', async () => {
    const world = await after(4, ({ userId }, nth) => {
      if (nth > 1) return {};
      return userId === user(1) ? {} : userId === user(3) ? lost : arrived;
    });
    let outlook: Outlook | null = null;
    const result = await look(world, { onBegin: (told) => (outlook = told) });
    expect(outlook).toEqual({ unknown: 3, echoed: 0, lookups: 3, lookupsMs: 3000 });
    expect(result).toMatchObject({
      unknown: 3,
      sent: { echo: 0, conversation: 2 },
      queued: 1,
      stays: {},
      left: 0,
      end: null,
      campaign: { state: 'paused' },
    });
    expect(await collect(world.store.messages({ campaign: 'c1' }))).toMatchObject([
      { state: 'sent', messageId: 'm_pagecast/c1/1' },
      { state: 'sent', messageId: 'm_pagecast/c1/2', error: null },
      { state: 'queued', messageId: null, closesAt: NOW + 23 * HOUR },
      { state: 'sent', messageId: 'm_pagecast/c1/4' },
    ]);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 4 } });
    for (const shown of world.provider.threads.values()) expect(shown).toHaveLength(1);
  });

  it('looks from a little before the attempt on, at nobody but those whose outcome is unknown', async () => {
    const world = await after(3, ({ userId }) => (userId === user(2) ? arrived : {}));
    await look(world);
    const [row] = await collect(world.store.messages({ userId: user(2) }));
    expect(world.provider.looks).toMatchObject([{ userId: user(2), since: row!.startedAt! - 5 * MINUTE }]);
  });

  it('tells what a dead run left under way and its echo settles, and looks for the others only', async () => {
    const heir = await leftUnderWay(3);
    await heir.store.recordEchoes(accountKey, [echo(1)], NOW);
    let outlook: Outlook | null = null;
    const result = await look(heir, { minAgeMs: 0, onBegin: (told) => (outlook = told) });
    expect(outlook).toEqual({ unknown: 3, echoed: 1, lookups: 2, lookupsMs: 2000 });
    expect(result).toMatchObject({ unknown: 3, sent: { echo: 1, conversation: 0 }, queued: 2, stays: {}, left: 0 });
    expect(heir.provider.looks.map(({ userId }) => userId)).toEqual([user(2), user(3)]);
    expect(await collect(heir.store.messages({ userId: user(1) }))).toMatchObject([{ messageId: 'm_echo1' }]);
  });

  it('looks for nobody whose echo comes meanwhile, and tells them as well', async () => {
    const world = await after(4, () => lost);
    world.provider.show = (shown, userId, since, nth) => {
      if (nth === 2) void world.store.recordEchoes(accountKey, [echo(3), echo(4)], world.clock.now());
      return shows()(shown, userId, since, nth);
    };
    const result = await look(world);
    expect(result).toMatchObject({ unknown: 4, sent: { echo: 2, conversation: 0 }, queued: 2, stays: {}, left: 0 });
    expect(world.provider.looks).toHaveLength(2);
    expect(await states(world)).toEqual(['queued', 'queued', 'sent', 'sent']);
  });

  it('tells those whose echo came before their turn from those that never had one', async () => {
    const world = await after(4, () => lost);
    const interrupt = new AbortController();
    world.provider.show = (shown, userId, since, nth) => {
      void world.store.recordEchoes(accountKey, [echo(4)], world.clock.now());
      interrupt.abort();
      return shows()(shown, userId, since, nth);
    };
    expect(await look(world, { signal: interrupt.signal })).toMatchObject({
      ...{ unknown: 4, sent: { echo: 1, conversation: 0 }, queued: 1, stays: { not_reached: 2 }, left: 2 },
      end: { kind: 'interrupted' },
    });
  });

  it('counts as settled by echoes nothing that somebody settled before the account was free', async () => {
    const world = await stage(2, () => ({ back: 60_000 }));
    const other = world.ledger.as({ name: 'host/3', mayBeAlive: () => true });
    await world.store.recordOpeners(accountKey, [wrote(user(1), NOW)]);
    const { campaign, seq } = await queueSingle(world.store, newSingle('e1'));
    const lease = (await other.engine.own(accountKey, NOW))!;
    await other.store.record(lease, campaign, { settled: [], skipped: [], started: starting(seq) }, NOW);
    world.clock.at(NOW + 5000, async () => {
      const settled = [{ seq, state: 'sent', messageId: 'm_1' }] as const;
      await other.store.record(lease, campaign, { settled, skipped: [], started: [] }, NOW);
      await other.engine.release(lease, NOW, 0);
    });
    expect(await look(world, { campaign })).toMatchObject({ unknown: 0, sent: { echo: 0 }, left: 0 });
  });

  it('has nothing to do where nothing is unknown', async () => {
    const world = await after(2, () => ({}));
    expect(await look(world)).toMatchObject({ unknown: 0, left: 0, stays: {}, campaign: { state: 'finished' } });
    expect(await failureOf(look(world, { campaign: 'c9' }))).toBe('CAMPAIGN_UNKNOWN');
  });

  it.each([
    ['one call that is answered at once', { calls: 1, ms: 1 }],
    ['two calls', { calls: 2, ms: 40 }],
    ['many slow calls', { calls: 5, ms: 700 }],
  ])('makes at most two calls in any second: %s for each', async (_, each) => {
    const world = await after(8, () => lost);
    world.provider.look = each;
    await look(world);
    const calls = world.provider.looks.flatMap((one) => one.calls);
    expect(calls).toHaveLength(8 * each.calls);
    expect(mostWithin(calls, 1000)).toBeLessThanOrEqual(2);
    // And not much slower than that.
    expect(calls.at(-1)! - calls[0]!).toBeLessThanOrEqual((calls.length - 1) * (500 + each.ms + 1));
  });
});

describe('what stays unknown', () => {
  it.each<[string, Unsettled | null, Show, number?]>([
    ['is not shown a moment later', 'too_recent', shows(), 1000],
    ['is not shown, and not everything is', 'incomplete', () => ({ kind: 'read', messages: [], complete: false })],
    ['cannot be looked for', 'not_readable', fails('100/33')],
    ['may be a message that the platform shows nothing of', 'ambiguous', shows(message(7, { text: null }))],
    ['may be one from before the attempt', 'ambiguous', shows(message(1, { at: NOW - HOUR }))],
    [
      'was found, though not everything was shown',
      null,
      () => ({ kind: 'read', messages: [message(1)], complete: false }),
    ],
    ['was found a moment later', null, shows(message(1)), 1000],
    [
      'was found with its white space trimmed and its accents composed',
      null,
      shows(message(1, { text: `${textFor(1)}\n ` })),
    ],
    ['was found as early as clocks may differ', null, shows(message(1, { at: NOW - 4 * MINUTE }))],
  ])('a row whose message %s: %s', async (_, reason, show, age = HOUR) => {
    const world = await stage(1, () => lost);
    await run(world);
    world.clock.advance(age);
    world.provider.show = show;
    const result = await look(world);
    expect(result).toMatchObject(reason === null ? { left: 0, queued: 0 } : { stays: { [reason]: 1 }, left: 1 });
    expect(await states(world)).toEqual([reason === null ? 'sent' : 'unknown']);
  });

  it.each<[string, Show]>([
    ['nothing of the account', shows(message(1, { fromAccount: false }))],
    ['only other texts', shows(message(2), message(3, { text: '' }), message(4, { text: `${textFor(1)}!` }))],
  ])('is no row whose conversation shows %s', async (_, show) => {
    const world = await after(1, () => lost);
    world.provider.show = show;
    expect(await look(world)).toMatchObject({ queued: 1, left: 0 });
  });

  it('is every row where conversations cannot be read, but for those with echoes', async () => {
    const heir = await leftUnderWay(3);
    await heir.store.recordEchoes(accountKey, [echo(2)], NOW);
    const provider = new FakeProvider(heir.clock);
    Object.assign(provider, { capabilities: { registeredTemplates: true, lookup: false } });
    const result = await look({ ...heir, provider });
    expect(result).toMatchObject({ sent: { echo: 1 }, stays: { no_lookup: 2 }, left: 2, end: null });
    expect(provider.looks).toEqual([]);
  });

  it('is told with the errors of the platform', async () => {
    const world = await after(4, () => arrived);
    world.provider.show = (shown, userId) =>
      userId === user(2)
        ? { kind: 'read', messages: [...shown], complete: true }
        : fails('100/33')(shown, userId, 0, 1);
    const result = await look(world);
    expect(result.errors).toEqual({ '100/33': { count: 3, error: failure('100/33') } });
    expect(result).toMatchObject({ sent: { conversation: 1 }, stays: { not_readable: 3 }, left: 3, end: null });
  });

  it('counts its age from when it became unknown: until then the message could still leave', async () => {
    // Its row is an hour old.
    const heir = await leftUnderWay(1);
    expect(await look(heir)).toMatchObject({ unknown: 1, stays: { too_recent: 1 } });
    expect(await look(heir, { minAgeMs: 0 })).toMatchObject({ unknown: 1, queued: 1 });
  });
});

describe('one message and several rows that may have sent it', () => {
  /** Two campaigns with the same words for the same person. */
  async function twice(first: Reply, second: Reply, apart = HOUR): Promise<Stage> {
    const world = await stage(1, (_, nth) => (nth === 1 ? first : second));
    await run(world);
    world.clock.advance(apart);
    await readyCampaign(world.store, rows(1), { id: 'c2' }, world.clock.now());
    await run(world, { campaign: 'c2' });
    world.clock.advance(HOUR);
    return world;
  }

  it('does not give a row what another row is known to have sent', async () => {
    const world = await twice(lost, {});
    expect(await look(world)).toMatchObject({ queued: 1 });
    expect(await look(await twice({}, lost), { campaign: 'c2' })).toMatchObject({ queued: 1 });
  });

  it('leaves both unknown when there is one message for two', async () => {
    const world = await twice(lost, arrived);
    expect(await look(world)).toMatchObject({ stays: { ambiguous: 1 } });
    expect(await look(world, { campaign: 'c2' })).toMatchObject({ stays: { ambiguous: 1 } });
    expect([...(await states(world)), ...(await states(world, 'c2'))]).toEqual(['unknown', 'unknown']);
  });

  it('gives the message to the row that alone can have sent it', async () => {
    const world = await twice(arrived, lost);
    expect(await look(world)).toMatchObject({ sent: { conversation: 1 } });
    expect(await look(world, { campaign: 'c2' })).toMatchObject({ queued: 1 });
  });

  it('gives each of two rows one of two messages', async () => {
    const world = await twice(arrived, arrived, MINUTE);
    expect(await look(world)).toMatchObject({ sent: { conversation: 1 } });
    expect(await look(world, { campaign: 'c2' })).toMatchObject({ sent: { conversation: 1 } });
    const all = await collect(world.store.messages({}));
    expect(new Set(all.map(({ messageId }) => messageId)).size).toBe(2);
  });

  it('knows an id of another account to be another person', async () => {
    const world = await twice(lost, arrived);
    world.ledger.sql(`UPDATE campaigns SET account = 'messenger/999999' WHERE id = 'c2'`);
    expect(await look(world)).toMatchObject({ sent: { conversation: 1 } });
  });
});

describe('messages that are more than text', () => {
  const buttons: Template = { ...template, buttons: [{ type: 'postback', title: 'Track', payload: 'TRACK' }] };
  const image: Template = { ...template, media: { type: 'image', url: 'https://shop.example/{{order_no}}.png' } };
  delete image.body;
  const replies: Template = { ...template, quickReplies: [{ title: 'Track', payload: 'TRACK' }] };

  it.each<[string, Template, Partial<ShownMessage> | null, 'sent' | 'queued' | 'unknown']>([
    ['buttons, shown with their text', buttons, {}, 'sent'],
    ['buttons, shown without', buttons, { text: '' }, 'unknown'],
    ['buttons, beside another message', buttons, { text: 'How are you?' }, 'unknown'],
    ['buttons, beside an older message', buttons, { text: '', at: NOW - HOUR }, 'queued'],
    ['buttons, not shown', buttons, null, 'queued'],
    ['an image, shown', image, { text: '' }, 'unknown'],
    ['an image, not shown', image, null, 'queued'],
    ['a registered template, shown as the copy here', registeredTemplate, {}, 'sent'],
    ['a registered template, shown in other words', registeredTemplate, { text: 'Hello Ann' }, 'unknown'],
    ['a registered template, not shown', registeredTemplate, null, 'queued'],
    ['quick replies, shown as their text', replies, {}, 'sent'],
    ['quick replies, beside another message', replies, { text: 'How are you?' }, 'queued'],
  ])('%s', async (_label, changed, shown, state) => {
    const variables = changed === image ? ['order_no'] : ['name', 'order_no'];
    const world = await after(1, () => lost, { template: changed, variables });
    world.provider.show = shown === null ? shows() : shows(message(1, shown));
    await look(world);
    expect(await states(world)).toEqual([state]);
  });
});

describe('windows', () => {
  it('that are shut by now: the row is queued all the same, and the run leaves it out with its reason', async () => {
    const world = await after(2, () => lost);
    world.clock.advance(DAY);
    const reopened = world.clock.now() - HOUR;
    await world.store.recordOpeners(accountKey, [wrote(user(2), reopened)]);
    expect(await look(world)).toMatchObject({ queued: 2, left: 0 });
    const [shut, open] = await collect(world.store.messages({}));
    expect(shut).toMatchObject({ state: 'queued', closesAt: NOW + 23 * HOUR });
    expect(open).toMatchObject({ state: 'queued', closesAt: reopened + DAY });
    const result = await run(world);
    expect(result).toMatchObject({ skip: { window_closed: 1 }, counts: { skipped: 1, unknown: 1 } });
  });

  it('do not matter to a campaign that was cancelled: what was not sent is left out', async () => {
    const world = await stage(2, () => lost);
    const running = run(world, { budget });
    world.clock.at(NOW + 10, () => world.store.cancel('c1', NOW).then(() => undefined));
    await running;
    world.clock.advance(HOUR);
    expect(await look(world)).toMatchObject({ unknown: 1, queued: 1, left: 0, campaign: { state: 'cancelled' } });
    expect(await states(world)).toEqual(['skipped', 'skipped']);
  });
});

describe('an end before the end', () => {
  it.each<[string, Show, number, object]>([
    ['a limit', fails('80006', { pauseMs: 60_000 }), 1, { cause: 'rate_limit' }],
    ['a token', fails('190', { stop: 'token' }), 1, { cause: 'token' }],
    ['no connection', fails('CONNECTION_REFUSED', { pauseMs: 10_000 }), 1, { cause: 'network' }],
    ['no answers at all', fails('TIMEOUT'), 3, { cause: 'network' }],
  ])('comes with %s, and what was settled stays settled', async (_, failing, failed, end) => {
    const world = await after(6, () => arrived);
    world.provider.show = (shown, userId, since, nth) =>
      nth <= 2 ? { kind: 'read', messages: [...shown], complete: true } : failing(shown, userId, since, nth);
    const result = await look(world);
    expect(result).toMatchObject({
      sent: { conversation: 2 },
      stays: { not_readable: failed, not_reached: 4 - failed },
      left: 4,
      end: { kind: 'stopped', ...end },
    });
    expect(world.provider.looks).toHaveLength(2 + failed);
    world.provider.show = (shown) => ({ kind: 'read', messages: [...shown], complete: true });
    expect(await look(world)).toMatchObject({ unknown: 4, sent: { conversation: 4 }, left: 0 });
  });

  it('does not come with one answer that is missing now and then', async () => {
    const world = await after(6, () => arrived);
    world.provider.show = (shown, userId, since, nth) =>
      nth % 3 === 0
        ? { kind: 'read', messages: [...shown], complete: true }
        : fails('TIMEOUT')(shown, userId, since, nth);
    expect(await look(world)).toMatchObject({ stays: { not_readable: 4 }, end: null });
  });

  it('comes with an interrupt, after the conversation that is being read', async () => {
    const world = await after(5, () => arrived);
    const interrupt = new AbortController();
    const result = await look(world, {
      signal: interrupt.signal,
      onProgress: ({ sent: { conversation } }) => conversation === 2 && interrupt.abort(),
    });
    expect(result).toMatchObject({
      sent: { conversation: 2 },
      stays: { not_reached: 3 },
      end: { kind: 'interrupted' },
    });
    expect(world.provider.looks).toHaveLength(2);
  });

  it('does not come with a provider that throws', async () => {
    const world = await after(2, () => arrived);
    world.provider.show = () => {
      throw new TypeError('a fault in the provider');
    };
    expect(await look(world)).toMatchObject({ stays: { not_readable: 2 }, end: null });
  });

  it('loses nothing when its process is killed, at whatever conversation', async () => {
    const world = await after(6, ({ userId }, nth) => (nth > 1 ? {} : Number(userId) % 2 === 0 ? arrived : lost));
    for (let nth = 1; nth <= 6; nth += 1) {
      const here = { ...world, ...world.ledger.as({ ...successor, name: `host/${nth}` }) };
      // It hangs in its second look, and is never heard of again.
      let looks = 0;
      const dying = {
        ...here,
        provider: Object.assign(new FakeProvider(world.clock), {
          conversation: (...given: Parameters<FakeProvider['conversation']>) =>
            (looks += 1) > 1 ? new Promise<Lookup>(() => undefined) : world.provider.conversation(...given),
        }),
      };
      const settled = (await states(world)).filter((state) => state !== 'unknown').length;
      void look(dying);
      await expect.poll(() => looks).toBe(nth === 6 ? 1 : 2);
      expect((await states(world)).filter((state) => state !== 'unknown')).toHaveLength(Math.min(6, settled + 1));
    }
    const heir = { ...world, ...world.ledger.as(successor) };
    expect(await look(heir)).toMatchObject({ unknown: 0 });
    await run(heir, { budget });
    for (let seq = 1; seq <= 6; seq += 1) expect(world.provider.threads.get(user(seq))).toHaveLength(1);
  });
});

describe('single messages', () => {
  const OTHER = 'Hi Bob, order B-1 leaves today.';

  /** Three whose answers were lost, of which the second and third are for one person. */
  async function lostAnswers(): Promise<{ world: Stage; campaign: string }> {
    const world = await stage(0, ({ userId }) => (userId === user(1) ? lost : arrived));
    await world.store.recordOpeners(accountKey, [wrote(user(1), NOW), wrote(user(2), NOW)]);
    const marks = [
      await queueSingle(world.store, newSingle('e1')),
      await queueSingle(world.store, newSingle('e2', { userId: user(2) })),
      await queueSingle(world.store, newSingle('e3', { userId: user(2), values: ['Bob', 'B-1'] })),
    ];
    await sendSingles({ ...world, window: exactWindow }, accountKey, new AbortController().signal);
    world.clock.advance(HOUR);
    return { world, campaign: marks[0]!.campaign };
  }

  it('are settled by their conversations; what was surely not sent is left out, as nobody waits for it', async () => {
    const { world, campaign } = await lostAnswers();
    expect(await states(world, campaign)).toEqual(['unknown', 'unknown', 'unknown']);
    expect(await look(world, { campaign })).toMatchObject({
      unknown: 3,
      sent: { echo: 0, conversation: 2 },
      queued: 1,
      left: 0,
      campaign: { state: 'continuous' },
    });
    expect(await collect(world.store.messages({ campaign }))).toMatchObject([
      { state: 'skipped', reason: 'cancelled' },
      { state: 'sent', messageId: `m_pagecast/${campaign}/2` },
      { state: 'sent', messageId: `m_pagecast/${campaign}/3` },
    ]);
    expect(world.provider.threads.get(user(2))).toMatchObject([{}, { text: OTHER }]);
    expect(await world.store.singlesDueAt(accountKey)).toBeNull();
  });

  it('are settled by their echoes', async () => {
    const { world, campaign } = await lostAnswers();
    await world.store.recordEchoes(accountKey, [{ campaign, seq: 3, messageId: 'm3' }], world.clock.now());
    expect(await states(world, campaign)).toEqual(['unknown', 'unknown', 'sent']);
    expect(await look(world, { campaign })).toMatchObject({ unknown: 2, sent: { conversation: 1 }, queued: 1 });
  });
});

describe('the account', () => {
  it('is owned meanwhile, is let go of at the end, and rests as long as the last run asked for', async () => {
    const world = await after(2, () => arrived);
    const before = (await world.engine.own(accountKey, world.clock.now()))!;
    await readyCampaign(world.store, rows(1), { id: 'c2' });
    await world.store.start(before, 'c2', world.clock.now());
    expect(await failureOf(look(world))).toBe('ACCOUNT_BUSY');
    const freeAt = world.clock.now() + 5000;
    await world.engine.release(before, freeAt, 7);
    await look(world);
    expect(await world.engine.own(accountKey, world.clock.now())).toMatchObject({ freeAt, taken: 7 });
  });

  it('stays owned while a call hangs for longer than a lease lasts', async () => {
    const world = await after(2, () => arrived);
    world.provider.look = { calls: 1, ms: 120_000 };
    const rival = world.ledger.as({ name: 'host/3', mayBeAlive: () => true });
    const start = world.clock.now();
    const tried: (object | null)[] = [];
    for (const ms of [20_000, 60_000, 110_000, 200_000]) {
      world.clock.at(start + ms, async () => void tried.push(await rival.engine.own(accountKey, world.clock.now())));
    }
    expect(await look(world)).toMatchObject({ sent: { conversation: 2 } });
    expect(tried).toEqual([null, null, null, null]);
  });

  it('that somebody else has taken over: nothing more is written', async () => {
    const world = await after(3, () => lost);
    world.provider.show = (shown, userId, since, nth) => {
      if (nth === 2) void world.ledger.as(successor).engine.own(accountKey, world.clock.now());
      return shows()(shown, userId, since, nth);
    };
    expect(await failureOf(look(world))).toBe('LEASE_LOST');
    expect(await states(world)).toEqual(['queued', 'unknown', 'unknown']);
  });

  it('that somebody else has taken over: nobody else is looked at, even with nothing to write', async () => {
    const world = await after(30, () => lost);
    world.provider.show = (_shown, _userId, _since, nth) => {
      if (nth === 2) void world.ledger.as(successor).engine.own(accountKey, world.clock.now());
      return { kind: 'read', messages: [], complete: false };
    };
    expect(await failureOf(look(world))).toBe('LEASE_LOST');
    // As soon as the lease was to be renewed.
    expect(world.provider.looks.length).toBeLessThan(15);
  });
});

describe('whatever the platform shows', () => {
  const person = fc.record({
    came: fc.constantFrom<'arrived' | 'lost' | 'sent'>('arrived', 'lost', 'sent'),
    shown: fc.constantFrom<'all' | 'nothing yet' | 'some' | 'trimmed' | 'blank' | 'fails' | 'limits'>(
      ...(['all', 'nothing yet', 'some', 'trimmed', 'blank', 'fails', 'limits'] as const),
    ),
    /** What else stands in the conversation, by minutes from now. */
    beside: fc.array(
      fc.record({
        minutes: fc.integer({ min: -30, max: 30 }),
        text: fc.constantFrom(textFor(1), textFor(2), 'Hello', '', null),
        fromAccount: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    kind: fc.nat(3),
  });

  it('no row that was delivered is ever queued, if it is shown where all is said to be shown', async () => {
    const kinds = [
      template,
      registeredTemplate,
      { ...template, buttons: [{ type: 'postback', title: 'a', payload: 'b' }] },
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(person, { minLength: 1, maxLength: 4 }),
        fc.array(person, { maxLength: 4 }),
        fc.nat(2),
        async (first, second, kind) => {
          const replies = { arrived, lost, sent: {} };
          const of = new Map<string, (typeof first)[number]>();
          const world = await stage(
            first.length,
            ({ userId }) => {
              const reply: Reply = replies[of.get(userId)!.came];
              return reply.outcome === undefined ? { outcome: sent(`m_${userId}_${of.size}`) } : reply;
            },
            { template: kinds[kind] as Template },
          );
          first.forEach((one, index) => of.set(user(index + 1), one));
          await run(world, { budget });
          world.clock.advance(HOUR);
          if (second.length > 0) {
            await readyCampaign(world.store, rows(second.length), { id: 'c2' }, world.clock.now());
            await world.store.recordOpeners(
              accountKey,
              second.map((_, index) => wrote(user(index + 1), NOW)),
            );
            second.forEach((one, index) => of.set(user(index + 1), one));
            await run(world, { campaign: 'c2', budget });
            world.clock.advance(HOUR);
          }
          const delivered = new Map([...world.provider.threads].map(([userId, shown]) => [userId, shown.length]));
          for (const [userId, { beside }] of of) {
            beside.forEach(({ minutes, ...written }, index) =>
              world.provider.put(userId, { messageId: `m_x${index}`, at: NOW + minutes * MINUTE, ...written }),
            );
          }
          world.provider.show = (shown, userId) => {
            const all: Lookup = { kind: 'read', messages: [...shown].reverse(), complete: true };
            switch (of.get(userId)!.shown) {
              case 'all':
                return all;
              case 'nothing yet':
                return { kind: 'read', messages: [], complete: false };
              case 'some':
                return { kind: 'read', messages: shown.slice(1), complete: false };
              case 'trimmed':
                return { ...all, messages: shown.map((one) => ({ ...one, text: one.text && ` ${one.text}\u200b ` })) };
              case 'blank':
                return { ...all, messages: shown.map((one) => ({ ...one, text: null })) };
              case 'fails':
                return { kind: 'failed', error: failure('100') };
              case 'limits':
                return { kind: 'failed', error: failure('613'), pauseMs: 30_000 };
            }
          };
          for (const campaign of second.length > 0 ? ['c1', 'c2'] : ['c1']) await look(world, { campaign });
          // As many as arrived are sent or still unknown: what is queued is not among them.
          for (const [userId] of of) {
            const mine = await collect(world.store.messages({ userId }));
            const kept = mine.filter(({ state }) => state !== 'queued').length;
            expect(kept).toBeGreaterThanOrEqual(delivered.get(userId) ?? 0);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** Real time, so many times as fast: what waits for sockets cannot run on a clock that jumps. */
class FastClock implements Clock {
  readonly #factor = 20;
  #skipped = 0;

  now(): number {
    return Math.floor(NOW + this.monotonic());
  }

  monotonic(): number {
    return this.#skipped + machineClock.monotonic() * this.#factor;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return machineClock.sleep(ms / this.#factor, signal);
  }

  skip(ms: number): void {
    this.#skipped += ms;
  }
}

describe('over HTTP, against the sandbox', () => {
  it('finds of every connection that dropped what the person really got, at a rate that is taken', async () => {
    const PEOPLE = 36;
    const clock = new FastClock();
    const people = rows(PEOPLE, () => ({ closesAt: NOW + 23 * HOUR }));
    const dropped = (rest: number): string[] => people.filter(({ seq }) => seq % 3 === rest).map((one) => one.userId);
    const seed: SeedInput = {
      users: people.map(({ userId: id }) => ({ id, opened_at: '-1h' })),
      faults: [
        { kind: 'drop', when: 'before', users: dropped(1), times: 1 },
        { kind: 'drop', when: 'after', users: dropped(2), times: 1 },
      ],
      // The sandbox's clock runs as fast as the sender's; the way between them does not.
      limits: { perSecond: null, conversationsPerSecond: 2 },
    };
    const sandbox = await startSandbox({ seed, clock, random: seededRandom(1) });
    onTestFinished(() => sandbox.close());
    const { page, url } = sandbox;
    const provider = openProvider(
      'sandbox',
      { channel: 'messenger', id: page.id, token: page.token, baseUrl: url },
      machineClock,
    );
    onTestFinished(() => provider.close());
    const ledger = openLedger();
    const { store, engine } = ledger;
    await store.recordOpeners(
      accountKey,
      people.map(({ userId }) => wrote(userId, clock.now() - HOUR)),
    );
    await readyCampaign(store, people, {}, clock.now());
    const world = { store, engine, provider, clock, random: seededRandom(2) };

    await run(world, { budget });
    const before = await collect(store.messages({ state: 'unknown' }));
    expect(before).toHaveLength((PEOPLE * 2) / 3);
    clock.skip(DEFAULT_MIN_AGE_MS);

    const result = await look(world);
    expect(result).toMatchObject({
      sent: { echo: 0, conversation: PEOPLE / 3 },
      queued: PEOPLE / 3,
      left: 0,
      end: null,
    });
    for (const row of await collect(store.messages({}))) {
      const [got] = sandbox.state.received(row.userId);
      expect(row).toMatchObject(
        got === undefined ? { state: 'queued', messageId: null } : { state: 'sent', messageId: got.mid },
      );
    }

    expect(await run(world, { budget })).toMatchObject({ end: 'finished', counts: { sent: PEOPLE } });
    for (const { userId } of people) expect(sandbox.state.received(userId)).toHaveLength(1);
    expect(sandbox.state.stats()).toMatchObject({ accepted: PEOPLE, duplicateUsers: 0, byCode: {} });
  });
});
