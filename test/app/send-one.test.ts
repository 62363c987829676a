/** One message that a person writes to one other, on a real ledger, with and without somebody else at the account. */
import { describe, expect, it } from 'vitest';
import { judgeOne, sendOne, type SingleMessage, type SingleResult } from '../../src/app/send-one.js';
import type { Outcome } from '../../src/core/delivery.js';
import type { Opener } from '../../src/core/window.js';
import type { MessageRow } from '../../src/ports.js';
import { failure, mostWithin, type Script } from '../support/fake-provider.js';
import { newSingle, optOut, queueSingle } from '../support/fixtures-inbound.js';
import { run, stageRows, wrote, type Stage } from '../support/fixtures-run.js';
import {
  account,
  accountKey,
  collect,
  DAY,
  exactWindow,
  failureOf,
  HOUR,
  NOW,
  registeredTemplate,
  rows,
  starting,
  template,
  user,
} from '../support/fixtures.js';

const ANN = user(900);
const BOB = user(901);
const CID = user(902);
const EXPIRY_MS = 60_000;
const limited: Outcome = { kind: 'retryable', error: failure('613'), pauseMs: 100_000 };
const tokenGone: Outcome = { kind: 'stopped', error: failure('190'), stop: 'token' };

/** Ann wrote an hour ago, Bob two days ago, Cid never; and there is a campaign `c1` for so many people. */
function ready(inBulk = 0, script?: Script): Promise<Stage> {
  const staged = rows(inBulk, () => ({ closesAt: NOW + 23 * HOUR }));
  const events = [wrote(ANN, NOW - HOUR), wrote(BOB, NOW - 2 * DAY)];
  return stageRows(staged, [...staged.map(({ userId }) => wrote(userId, NOW - HOUR)), ...events], script);
}

function message(change: Partial<SingleMessage> = {}): SingleMessage {
  return {
    account,
    sender: 'account',
    userId: ANN,
    content: { kind: 'free-text', text: 'Your {{parcel}} is here.' },
    window: exactWindow,
    ...change,
  };
}

const registered: SingleMessage['content'] = {
  kind: 'template',
  template: registeredTemplate,
  values: { order_no: 'A-7', name: 'Bob' },
};

function send(
  world: Stage,
  change: Partial<SingleMessage> = {},
  signal = new AbortController().signal,
): Promise<SingleResult> {
  return sendOne(world, message(change), signal);
}

/** The only row of all continuous campaigns. */
async function onlySingle({ store }: Stage): Promise<MessageRow> {
  const campaigns = (await store.campaigns()).filter(({ state }) => state === 'continuous');
  const found = await Promise.all(campaigns.map(({ id }) => collect(store.messages({ campaign: id }))));
  expect(found.flat()).toHaveLength(1);
  return found.flat()[0]!;
}

describe('one message', () => {
  it.each<[string, string, SingleMessage['content'], object]>([
    [
      'free text',
      ANN,
      { kind: 'free-text', text: 'Your {{parcel}} is here.' },
      { text: 'Your {{parcel}} is here.', registered: null },
    ],
    [
      'a template',
      ANN,
      { kind: 'template', template, values: { order_no: 'A-7', name: 'Ann' } },
      { text: 'Hi Ann, order A-7 leaves today.' },
    ],
    ['a registered one outside the window', BOB, registered, { registered: 'order_update' }],
    ['a registered one to somebody of whom nothing is known', CID, registered, { registered: 'order_update' }],
  ])('goes out at once: %s', async (_, userId, content, departure) => {
    const world = await ready();
    const result = await send(world, { userId, content });
    expect(result).toMatchObject({ kind: 'tried', state: 'sent', error: null, stop: null });
    expect(world.provider.departures).toMatchObject([{ userId, isReply: true, ...departure }]);
    expect(world.clock.now() - NOW).toBeLessThan(1000);
    const row = await onlySingle(world);
    expect(result).toMatchObject({ campaign: row.campaign, messageId: row.messageId });
    expect(await world.store.campaign(row.campaign)).toMatchObject({ mode: 'interactive', flow: null, pace: 35 });
  });

  it('goes out in the middle of a campaign of the account', async () => {
    const world = await ready(200);
    const other = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    const running = run(other);
    await world.clock.sleep(1500);
    expect(await send(world)).toMatchObject({ kind: 'tried', state: 'sent' });
    expect(world.clock.now() - NOW).toBeLessThan(1500 + 700);
    expect(await running).toMatchObject({ end: 'finished', counts: { sent: 200, total: 200 } });
    const arrivals = world.provider.departures.map((one) => one.arrivedAt);
    expect(arrivals).toHaveLength(201);
    expect(mostWithin(arrivals, 1000)).toBeLessThanOrEqual(35);
  });

  it('goes out once for each who writes, also when two write at once', async () => {
    const world = await ready();
    const other = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    const both = await Promise.all([send(world), send(other), send(other), send(world)]);
    expect(both.map((one) => one.kind === 'tried' && one.state)).toEqual(['sent', 'sent', 'sent', 'sent']);
    expect(world.provider.departures).toHaveLength(4);
    expect(new Set(both.map((one) => one.kind === 'tried' && one.messageId)).size).toBe(4);
  });

  it('is not kept waiting by messages that came after it', async () => {
    const world = await ready(300);
    const sending = send(world);
    world.clock.at(NOW + 1, async () => {
      for (let n = 1; n <= 300; n += 1)
        await queueSingle(world.store, newSingle(`e${n}`, { userId: user(n) }), NOW + 1);
    });
    expect(await sending).toMatchObject({ kind: 'tried', state: 'sent' });
    expect(world.clock.now() - NOW).toBeLessThan(1000);
    expect((await world.store.nextSingles(accountKey, 999, world.clock.now())).length).toBeGreaterThan(200);
  });

  it('is tried again by itself when it was surely not accepted', async () => {
    const world = await ready(0, (_, nth) => (nth < 3 ? { outcome: { kind: 'retryable', error: failure('2') } } : {}));
    expect(await send(world)).toMatchObject({ kind: 'tried', state: 'sent', error: null });
    expect(world.provider.departures).toHaveLength(3);
  });

  it.each<[string, Outcome, object]>([
    ['refused', { kind: 'rejected', error: failure('551') }, { state: 'failed', error: { code: '551' } }],
    ['refused for its content', { kind: 'stopped', error: failure('100'), stop: 'content' }, { state: 'failed' }],
    ['lost on its way', { kind: 'unknown', error: failure('TIMEOUT') }, { state: 'unknown' }],
  ])('says that it was %s', async (_, outcome, result) => {
    const world = await ready(0, () => ({ outcome }));
    expect(await send(world)).toMatchObject({ kind: 'tried', stop: null, ...result });
  });
});

describe('a message that cannot be sent', () => {
  it.each<[string, Partial<SingleMessage>, object | string]>([
    ['an id that is none', { userId: '12' }, { kind: 'invalid', findings: [{ code: 'ID_MALFORMED' }] }],
    ['too long a text', { content: { kind: 'free-text', text: 'x'.repeat(2001) } }, { kind: 'invalid' }],
    ['a value that is missing', { content: { kind: 'template', template, values: {} } }, 'USAGE'],
    [
      'a value that there is not',
      { content: { kind: 'template', template, values: { name: '', order_no: '', x: '' } } },
      'VARIABLE_UNKNOWN',
    ],
    [
      'a template of another channel',
      { content: { kind: 'template', template: { ...template, channels: ['sms'] }, values: {} } },
      'CHANNEL_DIFFERS',
    ],
  ])('leaves nothing behind: %s', async (_, change, expected) => {
    const world = await ready();
    if (typeof expected === 'string') expect(await failureOf(send(world, change))).toBe(expected);
    else expect(await send(world, change)).toMatchObject(expected);
    expect(await world.store.campaigns()).toHaveLength(1);
    expect(world.provider.departures).toEqual([]);
  });

  it('is not even queued when the platform has paused its template', async () => {
    const world = await ready();
    const provider = Object.assign(world.provider, {
      templates: () => Promise.resolve({ kind: 'read' as const, templates: [] }),
    });
    expect(await send({ ...world, provider }, { content: registered })).toMatchObject({
      ...{ kind: 'tried', campaign: null, state: 'skipped', stop: 'content', error: { code: 'TEMPLATE_NOT_APPROVED' } },
    });
    expect(await world.store.campaigns()).toHaveLength(1);
  });

  it('is refused when the provider knows no registered templates', async () => {
    const world = await ready();
    world.provider.capabilities.registeredTemplates = false;
    expect(await failureOf(send(world, { content: registered }))).toBe('PROVIDER_UNAVAILABLE');
  });

  it('is left out when the window has shut meanwhile', async () => {
    expect(await send(await ready(), { userId: BOB })).toEqual({ kind: 'left_out', reason: 'window_closed' });
  });

  it('is withdrawn with what stands in the way of the account', async () => {
    const world = await ready(0, () => ({ outcome: tokenGone }));
    const result = await send(world);
    expect(result).toMatchObject({ kind: 'tried', state: 'skipped', stop: 'token', error: { code: '190' } });
    expect(await onlySingle(world)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
    expect(world.provider.departures).toHaveLength(1);
  });

  it('is withdrawn when the platform asks for too long a rest', async () => {
    const world = await ready(0, () => ({ outcome: limited }));
    expect(await send(world)).toMatchObject({
      kind: 'tried',
      state: 'skipped',
      stop: 'rate_limit',
      error: { code: '613' },
    });
    expect(world.clock.now() - NOW).toBeGreaterThanOrEqual(EXPIRY_MS);
    expect(world.clock.now() - NOW).toBeLessThan(EXPIRY_MS + 1000);
    expect(await onlySingle(world)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
  });

  it('is withdrawn when somebody has the account for too long', async () => {
    const world = await ready(2, () => ({ outcome: limited }));
    const other = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    const controller = new AbortController();
    const running = run(other, { signal: controller.signal });
    // The run is at rest by then, for longer than anybody waits.
    await world.clock.sleep(200);
    expect(await failureOf(send(world))).toBe('ACCOUNT_BUSY');
    expect(world.clock.now() - NOW).toBeLessThan(EXPIRY_MS + 1000);
    expect(await onlySingle(world)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
    controller.abort();
    await running;
  });

  it.each<[string, Outcome, object]>([
    ['the platform asks for too long a rest', limited, { stop: 'rate_limit', error: { code: '613' } }],
    ['the account may not send it', tokenGone, { stop: 'token', error: { code: '190' } }],
  ])('says why, when a run has tried it and %s', async (_, outcome, why) => {
    const world = await ready(2, ({ userId }) => (userId === ANN ? { outcome } : { back: 900 }));
    const other = { ...world, ...world.ledger.as({ name: 'host/77', mayBeAlive: () => true }) };
    const controller = new AbortController();
    const running = run(other, { signal: controller.signal });
    await world.clock.sleep(200);
    expect(await send(world)).toMatchObject({ state: 'skipped', ...why });
    controller.abort();
    await running;
  });

  it.each([
    ['during a rest', limited],
    ['between two attempts', { kind: 'retryable', error: failure('2') } satisfies Outcome],
  ])('is withdrawn when its writer gives up %s', async (_, outcome) => {
    const world = await ready(0, () => ({ outcome }));
    const controller = new AbortController();
    world.clock.at(NOW + 400, () => controller.abort());
    expect(await send(world, {}, controller.signal)).toMatchObject({ kind: 'tried', state: 'skipped', stop: null });
    expect(world.clock.now() - NOW).toBeLessThan(600);
    expect(await onlySingle(world)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
  });

  it('is waited for when its writer gives up while it is under way', async () => {
    const world = await ready(0, () => ({ back: 2000 }));
    const controller = new AbortController();
    world.clock.at(NOW + 400, () => controller.abort());
    expect(await send(world, {}, controller.signal)).toMatchObject({ kind: 'tried', state: 'sent' });
  });

  it('is unknown when whoever took it has died', async () => {
    const world = await ready();
    const other = world.ledger.as({ name: 'host/77', mayBeAlive: () => true });
    const lease = (await other.engine.own(accountKey, NOW))!;
    world.clock.at(NOW + 50, async () => {
      const [row] = await other.store.nextSingles(accountKey, 1, NOW + 50);
      const step = { settled: [], skipped: [], started: starting(row!.seq) };
      await other.store.record(lease, row!.campaign, step, NOW + 50);
    });
    expect(await send(world)).toMatchObject({ kind: 'tried', state: 'unknown', error: { code: 'RUN_DIED' } });
    expect(world.clock.now() - NOW).toBeLessThan(20_000);
    expect(world.provider.departures).toEqual([]);
  });

  it('is withdrawn when the store fails, as far as it can be', async () => {
    const world = await ready();
    const store = new Proxy(world.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        return name === 'nextSingles' ? () => Promise.reject(new Error('the disk is gone')) : member.bind(target);
      },
    });
    await expect(send({ ...world, store })).rejects.toThrow('the disk is gone');
    expect(await onlySingle(world)).toMatchObject({ state: 'skipped', reason: 'cancelled' });
  });
});

describe('somebody who has opted out', () => {
  it.each<[string, Opener, number, boolean]>([
    ['and has written since', 'message', NOW - HOUR - 1, true],
    ['and has tapped a button since', 'button', NOW - HOUR - 1, true],
    ['and has come by an ad since', 'ad', NOW - HOUR - 1, true],
    ['with what they wrote last', 'message', NOW - HOUR, false],
    ['after they wrote', 'message', NOW - HOUR + 1, false],
    ['and has reacted since', 'reaction', NOW - HOUR - 1, false],
  ])('%s: by %s', async (_, opener, at, isAnswered) => {
    const world = await ready();
    await world.store.recordOpeners(accountKey, [{ ...wrote(CID, NOW - HOUR), opener }]);
    await world.store.changeOptOuts([optOut(CID, { at })]);
    const prospect = await judgeOne(world, message({ userId: CID }));
    expect(prospect).toMatchObject({ verdict: { allowed: true }, window: 'open', optedOut: !isAnswered });
    expect(await send(world, { userId: CID })).toMatchObject(
      isAnswered ? { kind: 'tried', state: 'sent' } : { kind: 'left_out', reason: 'opted_out' },
    );
    expect(world.provider.departures).toHaveLength(isAnswered ? 1 : 0);
  });
});
