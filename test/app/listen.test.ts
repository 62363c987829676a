import { describe, expect, it } from 'vitest';
import type { FlowConfiguration } from '../../src/app/flow-message.js';
import { Alerts, listen, type ListenEvent, type ListenWorld } from '../../src/app/listen.js';
import { MAX_BACKOFF_MS } from '../../src/core/delivery.js';
import { Failure } from '../../src/core/failure.js';
import { DEFAULT_AUTOMATION } from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT } from '../../src/core/opt-out.js';
import { senderKey } from '../../src/core/sender.js';
import type { RowMark } from '../../src/core/metadata.js';
import type { Store, UserEvent } from '../../src/ports.js';
import { FakeProvider, failure, type Departure, type Script } from '../support/fake-provider.js';
import {
  configurationWith,
  flow,
  hearStage,
  insta,
  receive,
  singles,
  wroteText,
  type HearStage,
} from '../support/fixtures-flow.js';
import {
  account,
  accountKey,
  fixedRandom,
  HOUR,
  living,
  MINUTE,
  NOW,
  starting,
  successor,
  user,
  type OpenLedger,
} from '../support/fixtures.js';
import { newSingle, queueSingle } from '../support/fixtures-inbound.js';

const SECOND = 1000;
const instaKey = senderKey(insta);

interface ListenStage extends HearStage {
  /** By account. */
  providers: Record<string, FakeProvider>;
  alerts: Alerts;
  told: ListenEvent[];
  world: ListenWorld;
}

function listenStage(change: Partial<FlowConfiguration> = {}, script?: Script, ledger?: OpenLedger): ListenStage {
  const stage = hearStage(
    configurationWith([flow(), flow({ name: 'insta-price', from: insta.name })], {
      accounts: [account, insta],
      ...change,
    }),
    ledger,
  );
  const providers = {
    [accountKey]: new FakeProvider(stage.clock, script),
    [instaKey]: new FakeProvider(stage.clock),
  };
  const world: ListenWorld = {
    ...stage,
    random: fixedRandom(),
    providerFor: (key) => Promise.resolve(providers[key]!),
  };
  return { ...stage, providers, alerts: new Alerts(), told: [], world };
}

/** Listens until an instant; with more work at other instants. */
async function listenUntil(
  stage: ListenStage,
  until: number,
  plan: Record<number, () => void | Promise<void>> = {},
  change: Partial<ListenWorld> = {},
): Promise<void> {
  const ending = new AbortController();
  stage.clock.at(until, () => ending.abort());
  for (const [at, work] of Object.entries(plan)) stage.clock.at(Number(at), work);
  await listen(
    { ...stage.world, ...change },
    { signal: ending.signal, alerts: stage.alerts, onEvent: (event) => stage.told.push(event) },
  );
}

/** As the server does it. */
async function callBack({ store, alerts }: ListenStage, ...events: UserEvent[]): Promise<void> {
  await receive(store, ...events);
  alerts.received();
}

const asks = (n: number, change: Partial<UserEvent> = {}): UserEvent =>
  wroteText('price', n, { openedAt: NOW, ...change });

function departures(stage: ListenStage, key = accountKey): Departure[] {
  return stage.providers[key]!.departures;
}

/** A store of which one operation does something else. */
function storeWith(store: Store, name: keyof Store, operation: (...given: never[]) => Promise<unknown>): Store {
  return new Proxy(store, {
    get: (target, key, receiver) => (key === name ? operation : (Reflect.get(target, key, receiver) as unknown)),
  });
}

describe('a listener', () => {
  it('answers at once what its own process has received', async () => {
    const stage = listenStage();
    await listenUntil(stage, NOW + 10 * SECOND, { [NOW + 5100]: () => callBack(stage, asks(1)) });
    expect(departures(stage)).toMatchObject([{ userId: user(1), text: 'It is 5 {{euros}}.', isReply: true }]);
    expect(departures(stage)[0]!.leftAt - NOW).toBeLessThan(5100 + 50);
    expect(await singles(stage.store)).toMatchObject([{ state: 'sent' }]);
    expect(stage.told).toMatchObject([
      { kind: 'heard', report: { heard: 1, queuedFor: new Set([accountKey]) } },
      { kind: 'sent', account: accountKey, settled: 1 },
    ]);
  });

  it('finds within a second what another process has received, or queued', async () => {
    const stage = listenStage();
    const other = hearStage(stage.configuration, stage.ledger);
    await listenUntil(stage, NOW + 10 * SECOND, {
      [NOW + 2500]: () => receive(other.store, asks(1)),
      [NOW + 5500]: async () => {
        const [queued] = await singles(stage.store);
        const campaign = (await other.store.campaign(queued!.campaign))!;
        await other.store.queueSingles(
          [
            {
              campaign: { ...campaign, mode: 'auto-reply', flow: 'price' },
              ...{ userId: user(2), values: ['Hello'], occasion: 'x', answersAt: null, notBefore: NOW + 8200 },
              ...{ expiresAt: NOW + HOUR, onceSince: null, guard: null },
            },
          ],
          stage.clock.now(),
        );
        await other.store.recordOpeners(accountKey, [{ userId: user(2), openedAt: NOW, opener: 'message' }]);
      },
    });
    const left = departures(stage).map(({ leftAt }) => leftAt - NOW);
    expect(left).toHaveLength(2);
    expect(left[0]).toBeGreaterThan(2500);
    expect(left[0]).toBeLessThan(3600);
    // What has to wait leaves when its time has come.
    expect(left[1]).toBeGreaterThanOrEqual(8200);
    expect(left[1]).toBeLessThan(8300);
  });

  it('hears on while it sends, and lets no account wait for another', async () => {
    const stage = listenStage({}, () => ({ back: 20 * SECOND }));
    await listenUntil(stage, NOW + 15 * SECOND, {
      [NOW + 1000]: () => callBack(stage, asks(1)),
      [NOW + 2000]: () => callBack(stage, asks(2, { account: instaKey }), wroteText('hello', 3)),
    });
    expect(departures(stage, instaKey)[0]!.leftAt - NOW).toBeLessThan(2100);
    expect(await stage.store.openersOf(accountKey, user(3))).toHaveLength(1);
    expect(stage.told.map(({ kind }) => kind)).toEqual(['heard', 'heard', 'sent', 'sent']);
  });

  it('never works twice at a time for an account, whatever it is called', async () => {
    const twin = { ...account, name: 'acme-twin' };
    const stage = listenStage({ accounts: [account, twin] }, () => ({ back: 300 }));
    let holders = 0;
    let most = 0;
    let inVain = 0;
    const engine = new Proxy(stage.engine, {
      get: (target, key) => {
        if (key === 'own') {
          return async (...given: Parameters<typeof target.own>) => {
            const lease = await target.own(...given);
            if (lease === null) inVain += 1;
            else holders += 1;
            most = Math.max(most, holders);
            return lease;
          };
        }
        if (key === 'release') {
          return async (...given: Parameters<typeof target.release>) => {
            holders -= 1;
            await target.release(...given);
          };
        }
        return (Reflect.get(target, key) as (...given: never[]) => unknown).bind(target);
      },
    });
    const plan = Object.fromEntries(
      Array.from({ length: 20 }, (_, n) => [NOW + 1000 + n * 130, () => callBack(stage, asks(n))]),
    );
    await listenUntil(stage, NOW + 20 * SECOND, plan, { engine });
    expect(departures(stage)).toHaveLength(20);
    expect({ most, inVain }).toEqual({ most: 1, inVain: 0 });
  });

  it('leaves messages to whoever has the account, and looks again', async () => {
    const stage = listenStage();
    const other = stage.ledger.as(living);
    let lease: Awaited<ReturnType<typeof other.engine.own>>;
    await listenUntil(stage, NOW + 20 * SECOND, {
      [NOW + 900]: async () => {
        lease = await other.engine.own(accountKey, stage.clock.now());
      },
      [NOW + 1000]: () => callBack(stage, asks(1)),
      [NOW + 9000]: () => other.engine.release(lease!, NOW, 0),
    });
    const [left] = departures(stage).map(({ leftAt }) => leftAt - NOW);
    expect(left).toBeGreaterThanOrEqual(9000);
    expect(left).toBeLessThan(10_100);
    expect(stage.told.map(({ kind }) => kind)).toEqual(['heard', 'sent']);
  });

  describe('where nothing is due', () => {
    /** Has somebody begin a single message, and never be heard of again. */
    async function diesOf(stage: ListenStage, n: number): Promise<RowMark> {
      const dead = stage.ledger.as({ ...living, name: `host/dead${n}` });
      const mark = await queueSingle(dead.store, newSingle(`e${n}`));
      const lease = (await dead.engine.own(accountKey, stage.clock.now()))!;
      const step = { settled: [], skipped: [], started: starting(mark.seq) };
      expect(await dead.store.record(lease, mark.campaign, step, stage.clock.now())).toBe('done');
      return mark;
    }

    it('settles at its start, and then once a minute, what a dead process has left under way', async () => {
      const stage = listenStage();
      const states = async (): Promise<string[]> => (await singles(stage.store)).map(({ state }) => state);
      const engine = stage.ledger.as(successor).engine;
      const echoed = await diesOf(stage, 1);
      await stage.store.recordEchoes(accountKey, [{ ...echoed, messageId: 'm_1' }], NOW);
      const seen: string[][] = [];
      const look = async (): Promise<void> => void seen.push(await states());
      await listenUntil(
        stage,
        NOW + 61 * SECOND,
        {
          [NOW + 100]: look,
          [NOW + 10 * SECOND]: () => diesOf(stage, 2).then(() => undefined),
          [NOW + 59 * SECOND]: look,
        },
        { engine },
      );
      expect([...seen, await states()]).toEqual([['sent'], ['sent', 'started'], ['sent', 'unknown']]);
      expect(stage.told).toEqual([]);
      // Whoever comes next waits for what may still be on its way.
      expect(await engine.own(accountKey, stage.clock.now())).toMatchObject({ taken: Infinity });
    });

    it('leaves the account to a campaign that runs', async () => {
      const stage = listenStage();
      await diesOf(stage, 1);
      // The listener's own engine takes nobody for dead.
      const alive = stage.ledger.as(living);
      const renewing = Object.fromEntries(
        Array.from({ length: 23 }, (_, n) => [
          NOW + (n + 1) * 5 * SECOND,
          () => alive.engine.renew({ account: accountKey, fence: 1, freeAt: 0, taken: 0 }, stage.clock.now()),
        ]),
      );
      await listenUntil(stage, NOW + 2 * MINUTE, renewing);
      expect((await singles(stage.store)).map(({ state }) => state)).toEqual(['started']);
      expect(stage.told).toEqual([]);
    });

    it('has the account for no moment longer', async () => {
      const stage = listenStage();
      const other = stage.ledger.as(living).engine;
      const tries: boolean[] = [];
      const plan = Object.fromEntries(
        Array.from({ length: 24 }, (_, n) => [
          NOW + 100 + n * 5 * SECOND,
          async () => {
            const lease = await other.own(accountKey, stage.clock.now());
            tries.push(lease !== null);
            if (lease) await other.release(lease, lease.freeAt, lease.taken);
          },
        ]),
      );
      await listenUntil(stage, NOW + 2 * MINUTE, plan);
      expect(tries).toEqual(tries.map(() => true));
      expect(tries).toHaveLength(24);
    });
  });

  it('ends with what is under way, and begins nothing more', async () => {
    const stage = listenStage({}, () => ({ back: 30 * SECOND }));
    await listenUntil(stage, NOW + 5 * SECOND, {
      [NOW + 1000]: () => callBack(stage, asks(1)),
      [NOW + 4900]: () => callBack(stage, asks(2)),
      [NOW + 6000]: () => callBack(stage, asks(3)),
    });
    expect(departures(stage).map(({ userId }) => userId)).toEqual([user(1)]);
    expect((await singles(stage.store)).map(({ state }) => state)).toEqual(['sent', 'queued']);
    // The next listener hears it.
    expect(await stage.store.backlog()).toBe(1);
    expect(stage.clock.now()).toBeGreaterThanOrEqual(NOW + 31 * SECOND);
  });

  it('misses nothing that comes in while it looks', async () => {
    const stage = listenStage();
    const store = storeWith(stage.store, 'received', async (limit: number) => {
      const deliveries = await stage.store.received(limit);
      if (stage.clock.now() >= NOW + 4000 && departures(stage).length === 0) await callBack(stage, asks(1));
      return deliveries;
    });
    await listenUntil(stage, NOW + 10 * SECOND, {}, { store });
    expect(departures(stage)[0]!.leftAt - NOW).toBeLessThan(4500);
  });

  it('ends at once when it is told to while it looks', async () => {
    const stage = listenStage();
    const ending = new AbortController();
    const store = storeWith(stage.store, 'received', async (limit: number) => {
      if (stage.clock.now() >= NOW + 4000) ending.abort();
      return stage.store.received(limit);
    });
    const { alerts } = stage;
    await listen({ ...stage.world, store }, { signal: ending.signal, alerts, onEvent: () => undefined });
    expect(stage.clock.now()).toBeLessThan(NOW + 4100);
  });

  it('ends at once when nothing is under way', async () => {
    const stage = listenStage();
    await listenUntil(stage, NOW + 5500);
    expect(stage.clock.now()).toBe(NOW + 5500);
  });
});

describe('when something goes wrong', () => {
  const busy = new Failure('STORE_BUSY', 'another process is writing to it');

  it('with hearing, it is told and tried again, later each time but never much later', async () => {
    const stage = listenStage();
    const tries: number[] = [];
    const store = storeWith(stage.store, 'hear', (...given: Parameters<Store['hear']>) => {
      tries.push(stage.clock.now() - NOW);
      // The 7th goes well, and the 8th does not.
      return tries.length <= 6 || tries.length === 8 ? Promise.reject(busy) : stage.store.hear(...given);
    });
    const plan = { [NOW + 1000]: () => callBack(stage, asks(1)), [NOW + MINUTE]: () => callBack(stage, asks(2)) };
    await listenUntil(stage, NOW + 2 * MINUTE, plan, { store });
    const waits = tries.slice(1).map((at, index) => at - tries[index]!);
    expect(waits).toHaveLength(8);
    expect(waits.at(-1)).toBeLessThanOrEqual(SECOND + 1);
    const rests = waits.slice(0, 6);
    expect(rests[0]).toBeLessThanOrEqual(SECOND + 1);
    for (const rest of rests) expect(rest).toBeLessThanOrEqual(5 * SECOND + 1);
    expect(rests.at(-1)).toBeGreaterThan(4 * SECOND);
    const failures = stage.told.filter((event) => event.kind === 'failed');
    expect(failures).toHaveLength(7);
    expect(failures[0]).toMatchObject({ account: null, error: busy });
    expect(departures(stage)).toHaveLength(2);
  });

  it('with a callback, it is put aside and told once', async () => {
    const stage = listenStage();
    const fault = new TypeError('x is not a function');
    const readDelivery: ListenWorld['readDelivery'] = (delivery) => {
      if (delivery.body.includes(user(1))) throw fault;
      return stage.readDelivery(delivery);
    };
    const plan = { [NOW + 1000]: () => callBack(stage, asks(1), asks(2)) };
    await listenUntil(stage, NOW + MINUTE, plan, { readDelivery });
    expect(stage.told).toMatchObject([
      { kind: 'heard', report: { heard: 2, dead: { failed: 1 } } },
      { kind: 'failed', account: null, error: fault, restMs: null },
      { kind: 'sent', account: accountKey, settled: 1 },
    ]);
    expect(departures(stage).map(({ userId }) => userId)).toEqual([user(2)]);
  });

  it('with an account, the others go on', async () => {
    const stage = listenStage();
    let tries = 0;
    const providerFor: ListenWorld['providerFor'] = (key) => {
      if (key !== accountKey) return stage.world.providerFor(key);
      tries += 1;
      return Promise.reject(new Failure('SECRET_MISSING', 'The variable TOKEN is not set.'));
    };
    await listenUntil(
      stage,
      NOW + 9 * MINUTE,
      { [NOW + 1000]: () => callBack(stage, asks(1), asks(2, { account: instaKey })) },
      { providerFor },
    );
    expect(departures(stage, instaKey)).toHaveLength(1);
    expect(stage.told).toContainEqual(
      expect.objectContaining({ kind: 'failed', account: accountKey, error: expect.any(Failure) as unknown }),
    );
    // It grows to a minute.
    expect(tries).toBeGreaterThan(9);
    expect(tries).toBeLessThan(25);
    const rests = stage.told.flatMap((event) => (event.kind === 'failed' ? [event.restMs ?? 0] : []));
    expect(Math.max(...rests)).toBeLessThanOrEqual(MAX_BACKOFF_MS);
  });

  it('with the token, the account rests for a minute', async () => {
    const stage = listenStage({}, ({ userId }, nth) =>
      userId === user(1) && nth < 3 ? { outcome: { kind: 'stopped', error: failure('190'), stop: 'token' } } : {},
    );
    await listenUntil(stage, NOW + 5 * MINUTE, {
      [NOW]: () => callBack(stage, asks(1)),
      [NOW + 30 * SECOND]: () => callBack(stage, asks(2)),
      [NOW + 40 * SECOND]: () => callBack(stage, asks(3, { account: instaKey })),
    });
    const stops = stage.told.filter((event) => event.kind === 'stopped');
    expect(stops).toMatchObject([
      { account: accountKey, stop: { cause: 'token', error: { code: '190' } }, restMs: MINUTE },
      { account: accountKey, stop: { cause: 'token' } },
    ]);
    const left = departures(stage).map(({ userId, leftAt }) => [userId, Math.floor((leftAt - NOW) / MINUTE)]);
    expect(left).toEqual([
      [user(1), 0],
      // Whoever was refused comes after the others.
      [user(2), 1],
      [user(1), 1],
      [user(1), 2],
    ]);
    expect(departures(stage, instaKey)[0]!.leftAt - NOW).toBeLessThan(41 * SECOND);
  });
});

describe('what comes of it', () => {
  it('is done once when two listen on one store', async () => {
    const first = listenStage();
    const second = { ...listenStage({}, undefined, first.ledger), clock: first.clock };
    second.providers[accountKey] = first.providers[accountKey]!;
    const otherProcess = first.ledger.as(living);
    second.world = { ...second.world, ...otherProcess, clock: first.clock };
    const plan = Object.fromEntries(
      Array.from({ length: 30 }, (_, n) => [
        NOW + 1000 + n * 77,
        async () => {
          await callBack(n % 2 === 0 ? first : second, asks(n), asks(n));
          (n % 2 === 0 ? second : first).alerts.received();
        },
      ]),
    );
    await Promise.all([listenUntil(first, NOW + MINUTE, plan), listenUntil(second, NOW + MINUTE)]);
    const people = departures(first).map(({ userId }) => userId);
    expect(people).toHaveLength(30);
    expect(new Set(people).size).toBe(30);
    const heard = [...first.told, ...second.told].map((event) => (event.kind === 'heard' ? event.report.heard : 0));
    expect(heard.reduce((sum, one) => sum + one, 0)).toBe(60);
  });

  it('for somebody who has opted out: the confirmation, and answers to what they wrote afterwards', async () => {
    const stage = listenStage({ optOut: DEFAULT_OPT_OUT });
    const at = (seconds: number): { openedAt: number } => ({ openedAt: NOW + seconds * SECOND });
    await listenUntil(stage, NOW + MINUTE, {
      [NOW + 10 * SECOND]: () => callBack(stage, wroteText('stop', 1, at(5))),
      // Written before, and told only now.
      [NOW + 20 * SECOND]: () => callBack(stage, asks(1, at(4))),
      [NOW + 30 * SECOND]: () => callBack(stage, asks(1, at(29))),
    });
    expect(departures(stage).map(({ text, leftAt }) => [text, Math.floor((leftAt - NOW) / SECOND)])).toEqual([
      [DEFAULT_OPT_OUT.confirmation?.['en'], 10],
      ['It is 5 {{euros}}.', 30],
    ]);
    const left = (await singles(stage.store)).filter(({ state }) => state === 'skipped');
    expect(left).toMatchObject([{ reason: 'opted_out' }]);
  });

  it('for somebody who has opted out and reacts to something: no answer, until they write', async () => {
    const openers = ['reaction', 'message'] as const;
    const stage = listenStage({
      optOut: { ...DEFAULT_OPT_OUT, confirmation: null },
      flows: [flow({ trigger: { on: 'opener', openers } })],
    });
    const at = (seconds: number): { openedAt: number } => ({ openedAt: NOW + seconds * SECOND });
    await listenUntil(stage, NOW + MINUTE, {
      [NOW + 10 * SECOND]: () => callBack(stage, wroteText('stop', 1, at(5))),
      [NOW + 20 * SECOND]: () => callBack(stage, wroteText(null, 1, { ...at(19), opener: 'reaction' })),
      [NOW + 30 * SECOND]: () => callBack(stage, wroteText('hello', 1, at(29))),
    });
    expect((await singles(stage.store)).map(({ state, reason }) => [state, reason])).toEqual([
      ['skipped', 'opted_out'],
      ['sent', null],
    ]);
    expect(departures(stage).map(({ leftAt }) => Math.floor((leftAt - NOW) / SECOND))).toEqual([30]);
  });

  it('is no endless talk with a program that answers every answer', async () => {
    const automation = { ...DEFAULT_AUTOMATION, guard: { most: 5, withinMs: HOUR } };
    const stage: ListenStage = listenStage(
      { flows: [flow({ trigger: { on: 'opener', openers: ['message'] } })], automation },
      ({ userId }) => {
        const openedAt = stage.clock.now();
        stage.clock.at(openedAt + 200, () =>
          callBack(stage, wroteText('You get an answer soon.', 1, { userId, openedAt, id: `m_${openedAt}` })),
        );
        return {};
      },
    );
    await listenUntil(stage, NOW + 30 * MINUTE, {
      [NOW]: () => callBack(stage, wroteText('hi', 1, { openedAt: NOW })),
    });
    expect(departures(stage)).toHaveLength(5);
  });
});
