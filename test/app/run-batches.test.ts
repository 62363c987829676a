/** Calls that carry several messages, and a pace that gives way before the platform's limit. */
import { describe, expect, it } from 'vitest';
import { mostWithin, type Script } from '../support/fake-provider.js';
import { run, stage, type Stage } from '../support/fixtures-run.js';
import { collect, NOW } from '../support/fixtures.js';

async function batching(people: number, pace: number, maxBatch: number, script?: Script): Promise<Stage> {
  const world = await stage(people, script, { pace });
  world.provider.capabilities.maxBatch = () => maxBatch;
  return world;
}

describe('batches', () => {
  it.each([
    ['fifty at a time, at 35 a second', 35, 50, 35],
    ['ten at a time, at 35 a second', 35, 10, 10],
    ['a thousand at a time, at 200 a second', 200, 1000, 200],
    ['one at a time, when fewer than one a second may leave', 0.5, 50, 1],
  ])('%s: everybody once, and the pace holds', async (_, pace, maxBatch, batch) => {
    const people = Math.max(5, Math.ceil(pace * 6));
    const world = await batching(people, pace, maxBatch);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: people } });
    const { batches, departures } = world.provider;
    expect(new Set(departures.map((one) => one.userId)).size).toBe(people);
    expect(departures).toHaveLength(people);
    expect(Math.max(...batches)).toBe(batch);
    // The first message goes alone; after it only the last call is not full.
    expect(batches.slice(1, -1).every((size) => size === batch)).toBe(true);
    const arrivals = departures.map((one) => one.arrivedAt);
    expect(mostWithin(arrivals, 1000 * Math.max(1, 1 / pace))).toBeLessThanOrEqual(Math.max(1, pace));
    const took = (arrivals.at(-1)! - arrivals[0]!) / 1000;
    expect(people / took).toBeGreaterThan(0.75 * pace);
  });

  it('without a limit are as large as they may be, and few are under way', async () => {
    const world = await batching(5000, Infinity, 1000);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 5000 } });
    expect(world.provider.batches).toEqual([1, 1000, 1000, 1000, 1000, 999]);
    expect(world.provider.mostUnderWay).toBeLessThanOrEqual(2000);
  });

  it('settle each row by its own outcome; one that got none is unknown', async () => {
    const world = await batching(21, 1000, 20, (message) => {
      const n = Number(message.metadata.split('/').at(-1));
      if (n === 5) return { outcome: { kind: 'rejected', error: { code: '551', message: '' } } };
      return n === 21 ? { outcome: 'nothing' } : {};
    });
    const result = await run(world, { budget: { count: 99, share: 0 } });
    expect(result).toMatchObject({ end: 'finished', counts: { sent: 19, failed: 1, unknown: 1 } });
    const rows = await collect(world.store.messages({ campaign: 'c1' }));
    expect(rows.find((one) => one.state === 'failed')?.seq).toBe(5);
    expect(rows.find((one) => one.state === 'unknown')?.seq).toBe(21);
  });

  it('are wholly unknown when the provider breaks', async () => {
    const world = await batching(21, 1000, 20, (message) =>
      message.metadata.endsWith('/7') ? { outcome: 'throws' } : {},
    );
    const result = await run(world, { budget: { count: 99, share: 0 } });
    expect(result).toMatchObject({ end: 'finished', counts: { sent: 1, unknown: 20 } });
  });
});

describe('a call that is refused as a whole', () => {
  const rejecting =
    (faulty: readonly number[]): Script =>
    ({ metadata }) =>
      faulty.includes(Number(metadata.split('/').at(-1)))
        ? { outcome: { kind: 'rejected', error: { code: 'cams:X', message: '' } } }
        : {};

  /** Refuses each call for several that one of the faulty is in, as a service does that looks at all before it begins. */
  function choosy(world: Stage, faulty: readonly number[]): void {
    const send = world.provider.send.bind(world.provider);
    const refused = { kind: 'retryable', error: { code: 'cams:X', message: '' }, inSmallerCalls: true } as const;
    world.provider.send = async (batch, onWire) => {
      const isRefused = batch.some(({ metadata }) => faulty.includes(Number(metadata.split('/').at(-1))));
      if (batch.length === 1 || !isRefused) return send(batch, onWire);
      await world.clock.sleep(30);
      return batch.map(() => refused);
    };
  }

  it.each([
    ['one in a thousand', 2000, 1000, [700]],
    ['the first', 300, 100, [2]],
    ['several', 1000, 250, [3, 4, 400, 401, 402, 999]],
    ['everybody', 40, 20, Array.from({ length: 40 }, (_, index) => index + 1)],
  ])('is divided until those at fault stand alone: %s', async (_, people, maxBatch, faulty) => {
    const world = await batching(people, Infinity, maxBatch, rejecting(faulty));
    choosy(world, faulty);
    const result = await run(world, { budget: { count: 9999, share: 1 } });
    expect(result).toMatchObject({ end: 'finished', counts: { sent: people - faulty.length, failed: faulty.length } });
    const rows = await collect(world.store.messages({ campaign: 'c1', state: 'failed' }));
    expect(rows.map((row) => row.seq)).toEqual(faulty);
    const reached = world.provider.departures.map((one) => one.userId);
    expect(new Set(reached).size).toBe(reached.length);
  });

  it('is divided by the run, so a pause and a shut window count in between', async () => {
    const world = await batching(300, Infinity, 100);
    choosy(world, [150]);
    const stop = new AbortController();
    const send = world.provider.send.bind(world.provider);
    world.provider.send = async (batch, onWire) => {
      if (batch.some(({ metadata }) => metadata.endsWith('/150'))) stop.abort();
      return send(batch, onWire);
    };
    const { counts } = await run(world, { signal: stop.signal });
    expect(counts).toMatchObject({ failed: 0, unknown: 0 });
    expect(counts.queued).toBeGreaterThanOrEqual(100);
  });
});

describe('a platform whose limit is near', () => {
  const loaded =
    (load: (sent: number) => number | undefined): Script =>
    ({ metadata }) => {
      const sent = Number(metadata.split('/').at(-1));
      const told = load(sent);
      return { outcome: { kind: 'sent', messageId: `m${sent}`, ...(told !== undefined && { load: told }) } };
    };
  const secondsFor = async (script: Script): Promise<number> => {
    const world = await stage(200, script, { pace: 20 });
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 200 } });
    return (world.provider.departures.at(-1)!.leftAt - NOW) / 1000;
  };

  it.each([
    ['nothing is told', undefined, 10],
    ['half is used up', 0.5, 10],
    ['three quarters are used up', 0.75, 20],
    ['nine tenths are used up', 0.9, 40],
    ['all is used up', 1.1, 100],
  ])('%s', async (_, load, seconds) => {
    expect(await secondsFor(loaded(() => load))).toBeCloseTo(seconds, -1);
  });

  it('is sent to at full pace again when there is room', async () => {
    const half = await secondsFor(loaded((sent) => (sent <= 100 ? 0.95 : 0.2)));
    expect(half).toBeGreaterThan(18);
    expect(half).toBeLessThan(30);
  });
});
