import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attend, type AttendRequest, type AttendWorld, type WorkEvent } from '../../src/app/attend.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { Failure } from '../../src/core/failure.js';
import { BULK_POLICY } from '../../src/core/policy.js';
import type { OpenerEvent, Recurrence } from '../../src/ports.js';
import { createSheets, DEFAULT_LIMITS } from '../../src/sheets/index.js';
import { FakeClock } from '../support/fake-clock.js';
import { failure, FakeProvider, type Script } from '../support/fake-provider.js';
import { newSingle, queueSingle } from '../support/fixtures-inbound.js';
import {
  account,
  accountKey,
  DAY,
  exactWindow,
  fixedRandom,
  HOUR,
  NOW,
  openLedger,
  readyCampaign,
  rows,
  successor,
  template,
  temporaryFolder,
  user,
} from '../support/fixtures.js';

const MINUTE = 60_000;

function wroteAll(people: number, at = NOW): OpenerEvent[] {
  return Array.from({ length: people }, (_, index) => ({ userId: user(index + 1), openedAt: at, opener: 'message' }));
}

/** A worker with one account, and the sheet of its people. */
async function worker(script?: Script) {
  const ledger = openLedger();
  const clock = new FakeClock(NOW);
  const provider = new FakeProvider(clock, script);
  const events: WorkEvent[] = [];
  const world: AttendWorld = {
    store: ledger.store,
    engine: ledger.engine,
    sheets: createSheets(clock),
    clock,
    random: fixedRandom(),
    providerFor: () => Promise.resolve(provider),
    namedBy: () => Promise.resolve({ account, template, outside: null }),
  };
  await ledger.store.recordOpeners(accountKey, wroteAll(3, NOW - HOUR));
  const sheet = join(temporaryFolder(), 'people.csv');
  await writeFile(sheet, `User ID,name,order_no\n${[1, 2, 3].map((n) => `${user(n)},Ann,A-${n}\n`).join('')}`);
  const look = (change: Partial<AttendRequest> = {}) =>
    attend(world, accountKey, {
      window: exactWindow,
      limits: DEFAULT_LIMITS,
      signal: new AbortController().signal,
      onEvent: (event) => events.push(event),
      ...change,
    });
  const kinds = () => events.map((event) => event.kind).filter((kind) => kind !== 'progress');
  return { ...world, ledger, clock, provider, sheet, look, events, kinds };
}

const hourly = (sheet: string, change: Partial<Recurrence> = {}): Recurrence => ({
  id: 'r1',
  account: accountKey,
  accountName: account.name,
  template: { name: template.name, language: template.language },
  outside: null,
  source: { kind: 'sheet', path: sheet },
  pace: 35,
  skipInvalid: false,
  budget: DEFAULT_BUDGET,
  policy: BULK_POLICY.version,
  maxPeople: 3,
  cron: '0 * * * *',
  zone: 'UTC',
  expiryMs: 10 * MINUTE,
  createdAt: NOW,
  nextAt: NOW + HOUR,
  last: null,
  ...change,
});

describe('attend', () => {
  it('sends what is due, the earliest first, and says when it is to be woken again', async () => {
    const here = await worker();
    const timed = (id: string, after: number) =>
      readyCampaign(here.store, rows(1), {
        id,
        timing: { sendAt: NOW + after, expiresAt: NOW + after + HOUR, zone: 'UTC' },
      });
    await timed('second', 2);
    await timed('later', 5 * HOUR);
    await timed('first', 1);
    await readyCampaign(here.store, rows(1), { id: 'just approved' }, NOW + 2);
    here.clock.advance(2);
    // A command that has just approved a campaign starts it itself.
    expect(await here.look()).toBe(NOW + 2 + MINUTE);
    expect(here.provider.departures.map((one) => one.metadata.split('/')[1])).toEqual(['first', 'second']);
    expect(here.kinds()).toEqual(['started', 'ended', 'started', 'ended']);
    here.clock.advance(MINUTE);
    expect(await here.look()).toBe(NOW + 5 * HOUR);
    expect((await here.store.campaign('just approved'))?.state).toBe('finished');
  });

  it('goes on with a campaign whose process died, and leaves those alone that a person has to look at', async () => {
    const here = await worker(() => ({ outcome: { kind: 'stopped', stop: 'token', error: failure('190') } }));
    const dead = here.ledger.as(successor);
    await readyCampaign(here.store, rows(2), { id: 'died' });
    const lease = (await dead.engine.own(accountKey, NOW))!;
    await here.store.start(lease, 'died', NOW);
    here.clock.advance(HOUR);
    expect(await here.look()).toBeNull();
    expect(await here.store.campaign('died')).toMatchObject({ state: 'stopped', stop: { cause: 'token' } });
    here.clock.advance(HOUR);
    expect(await here.look()).toBeNull();
    expect(here.kinds()).toEqual(['started', 'ended']);
  });

  it('tries again after a rest what the platform could not take', async () => {
    let reachable = false;
    const here = await worker(() =>
      reachable ? {} : { outcome: { kind: 'retryable', error: failure('CONNECTION_REFUSED'), pauseMs: 10_000_000 } },
    );
    await readyCampaign(here.store, rows(2));
    here.clock.advance(HOUR);
    const next = await here.look();
    expect(await here.store.campaign('c1')).toMatchObject({ state: 'stopped', stop: { cause: 'network' } });
    expect(next).toBeGreaterThan(here.clock.now());
    reachable = true;
    here.clock.advance((next ?? 0) - here.clock.now());
    expect(await here.look()).toBeNull();
    expect((await here.store.summary('c1')).counts.sent).toBe(2);
  });

  it('comes back soon to an account that somebody else is at', async () => {
    const here = await worker();
    await readyCampaign(here.store, rows(1));
    here.clock.advance(HOUR);
    const other = here.ledger.as({ name: 'host/77', mayBeAlive: () => true });
    const lease = (await other.engine.own(accountKey, here.clock.now()))!;
    await readyCampaign(here.store, rows(1), { id: 'under way' }, here.clock.now());
    await here.store.start(lease, 'under way', here.clock.now());
    expect(await here.look()).toBe(here.clock.now() + 5000);
    expect(here.events.at(-1)).toMatchObject({ kind: 'put_off', error: { code: 'ACCOUNT_BUSY' } });
  });

  it('does not let a campaign that cannot be run hold up the others', async () => {
    const here = await worker();
    await readyCampaign(here.store, rows(1), { id: 'broken' });
    await readyCampaign(here.store, rows(1), { id: 'sound' }, NOW + 1);
    here.clock.advance(HOUR);
    const { provider } = here;
    here.providerFor = (campaign) =>
      campaign.id === 'broken' ? Promise.reject(new Failure('SECRET_MISSING', 'no token')) : Promise.resolve(provider);
    const events: string[] = [];
    const next = await attend(here, accountKey, {
      window: exactWindow,
      limits: DEFAULT_LIMITS,
      signal: new AbortController().signal,
      onEvent: ({ kind }) => events.push(kind),
    });
    expect(events.filter((kind) => kind !== 'progress')).toEqual(['put_off', 'started', 'ended']);
    expect(next).toBe(here.clock.now() + MINUTE);
  });

  it.each([
    ['forward', 5 * HOUR],
    ['back', -5 * HOUR],
  ])('sends a timed campaign once when the clock jumps %s while it is sent', async (_, jump) => {
    const here = await worker();
    const timing = { sendAt: NOW + 1, expiresAt: NOW + HOUR, zone: 'UTC' };
    await here.store.recordOpeners(accountKey, wroteAll(20, NOW - HOUR));
    await readyCampaign(here.store, rows(20), { timing, pace: 10 });
    here.clock.advance(1);
    here.clock.at(NOW + 1000, () => here.clock.jump(jump));
    await here.look();
    for (let again = 0; again < 3; again += 1) await here.look();
    const users = here.provider.departures.map((one) => one.userId);
    expect(new Set(users).size).toBe(users.length);
    expect((await here.store.summary('c1')).counts).toMatchObject({ sent: users.length, queued: 0, started: 0 });
  });
});

describe('single messages', () => {
  it('are sent before and between the campaigns that are due', async () => {
    const here = await worker();
    await readyCampaign(here.store, rows(1), { id: 'first' });
    await readyCampaign(here.store, rows(1), { id: 'second' }, NOW + 1);
    here.clock.advance(HOUR);
    const queue = (n: number) =>
      queueSingle(here.store, newSingle(`e${n}`, { userId: user(n) }), here.clock.now()).then(() => undefined);
    await queue(3);
    await here.look({
      onEvent: (event) => {
        here.events.push(event);
        if (event.kind === 'ended' && event.result.campaign.id === 'first') void queue(2);
      },
    });
    expect(here.provider.departures.map((one) => one.userId)).toEqual([user(3), user(1), user(2), user(1)]);
    expect(here.kinds()).toEqual(['singles', 'started', 'ended', 'singles', 'started', 'ended']);
    expect(here.events[0]).toEqual({ kind: 'singles', account: accountKey, settled: 1, stop: null });
  });

  it('have the account looked at when they may be sent', async () => {
    const here = await worker();
    await queueSingle(here.store, newSingle('e1', { notBefore: NOW + 5000 }));
    expect(await here.look()).toBe(NOW + 5000);
    here.clock.advance(5000);
    expect(await here.look()).toBeNull();
    expect(here.provider.departures).toHaveLength(1);
  });

  it.each<[string, Script | 'no provider', WorkEvent['kind'][]]>([
    [
      'the account may not send',
      () => ({ outcome: { kind: 'stopped', stop: 'token', error: failure('190') } }),
      ['singles', 'started', 'ended'],
    ],
    ['there is no provider', 'no provider', ['failed', 'put_off']],
  ])('wait for the next look when %s, and hold up no campaign', async (_, script, kinds) => {
    const here = await worker(typeof script === 'string' ? undefined : script);
    if (typeof script === 'string') here.providerFor = () => Promise.reject(new Failure('SECRET_MISSING', 'no token'));
    await queueSingle(here.store, newSingle('e1', { userId: user(3) }));
    await readyCampaign(here.store, rows(1));
    here.clock.advance(HOUR);
    const next = await attend(here, accountKey, {
      window: exactWindow,
      limits: DEFAULT_LIMITS,
      signal: new AbortController().signal,
      onEvent: (event) => here.events.push(event),
    });
    expect(next! - here.clock.now()).toBeGreaterThan(MINUTE - 100);
    expect(next! - here.clock.now()).toBeLessThanOrEqual(MINUTE);
    expect(here.kinds()).toEqual(kinds);
    expect(await here.store.singlesDueAt(accountKey)).not.toBeNull();
  });

  it('are left to somebody who is at the account', async () => {
    const here = await worker();
    await queueSingle(here.store, newSingle('e1'));
    const other = here.ledger.as({ name: 'host/77', mayBeAlive: () => true });
    await other.engine.own(accountKey, here.clock.now());
    expect(await here.look()).toBe(here.clock.now() + 5000);
    expect(here.provider.departures).toEqual([]);
  });
});

describe('a recurring send', () => {
  it('is a campaign of its own each time, from the sheet of that moment', async () => {
    const here = await worker();
    await here.store.addRecurrence(hourly(here.sheet));
    expect(await here.look()).toBe(NOW + HOUR);
    here.clock.advance(HOUR);
    expect(await here.look()).toBe(NOW + 2 * HOUR);
    await writeFile(here.sheet, `User ID,name,order_no\n${user(2)},Bob,B-1\n`);
    here.clock.advance(HOUR);
    await here.look();
    expect(here.provider.departures.map((one) => one.userId)).toEqual([user(1), user(2), user(3), user(2)]);
    const campaigns = await here.store.campaigns();
    expect(campaigns.map((one) => [one.state, one.occurrence])).toEqual([
      ['finished', { recurrence: 'r1', at: NOW + 2 * HOUR }],
      ['finished', { recurrence: 'r1', at: NOW + HOUR }],
    ]);
    expect(await here.store.recurrences()).toMatchObject([
      {
        nextAt: NOW + 3 * HOUR,
        last: { at: NOW + 2 * HOUR, result: { kind: 'campaign', campaign: campaigns[0]?.id } },
      },
    ]);
  });

  it('is made once for each time, however many workers look', async () => {
    const here = await worker();
    await here.store.addRecurrence(hourly(here.sheet));
    here.clock.advance(HOUR);
    await Promise.all([here.look(), here.look(), here.look()]);
    expect(await here.store.campaigns()).toHaveLength(1);
  });

  it('catches nothing up: of those that came by, only the last may still be sent, if it is not too late', async () => {
    const here = await worker();
    await here.store.addRecurrence(hourly(here.sheet));
    here.clock.advance(4 * HOUR + 5 * MINUTE);
    await here.look();
    expect(here.events.filter((event) => event.kind === 'missed')).toMatchObject([{ from: NOW + HOUR }]);
    expect((await here.store.campaigns()).map((one) => one.occurrence?.at)).toEqual([NOW + 4 * HOUR]);
    here.clock.advance(2 * HOUR + 10 * MINUTE);
    expect(await here.look()).toBe(NOW + 7 * HOUR);
    expect(await here.store.campaigns()).toHaveLength(1);
    expect(await here.store.recurrences()).toMatchObject([
      { last: { at: NOW + 6 * HOUR, result: { kind: 'missed' } } },
    ]);
  });

  it.each<[string, Partial<Recurrence>, string, string]>([
    ['more people than were confirmed', { maxPeople: 2 }, '', 'COUNT_DIFFERS'],
    ['another policy than was accepted', { policy: 'older' }, '', 'POLICY_NOT_ACCEPTED'],
    ['a sheet with faults', {}, `User ID,name,order_no\n12,Ann,A-1\n`, 'SHEET_INVALID'],
    ['a sheet that is gone', {}, 'gone', 'SHEET_INVALID'],
  ])('is not sent to %s, and says so', async (_, change, content, code) => {
    const here = await worker();
    if (content === 'gone') await unlink(here.sheet);
    else if (content !== '') await writeFile(here.sheet, content);
    await here.store.addRecurrence(hourly(here.sheet, change));
    here.clock.advance(HOUR);
    expect(await here.look()).toBe(NOW + 2 * HOUR);
    expect(here.provider.departures).toEqual([]);
    expect(await here.store.recurrences()).toMatchObject([{ last: { result: { kind: 'refused', code } } }]);
  });

  it('goes out although the same went out less than a day ago', async () => {
    const here = await worker();
    await here.store.addRecurrence(hourly(here.sheet));
    for (let hour = 0; hour < 3; hour += 1) {
      here.clock.advance(HOUR);
      await here.look();
    }
    expect(here.provider.departures).toHaveLength(9);
    expect(here.clock.now()).toBeLessThan(NOW + DAY);
  });

  it('ends when it is removed', async () => {
    const here = await worker();
    await here.store.addRecurrence(hourly(here.sheet));
    await here.store.endRecurrence('r1');
    here.clock.advance(HOUR);
    expect(await here.look()).toBeNull();
    expect(await here.store.campaigns()).toEqual([]);
  });
});
