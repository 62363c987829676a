import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pacer } from '../../src/core/pacing.js';
import { mostWithin } from '../support/fake-provider.js';
import { fixedRandom, NOW } from '../support/fixtures.js';

interface Trip {
  /** How much later than it should the sender wakes up for it. */
  late: number;
  /** How long it takes to connect, after its turn was taken and before its first byte is written. */
  connecting: number;
  /** How long it is held up on its way, beyond the usual time. */
  heldUp: number;
  /** How long the answer is held up on its way back. */
  answerHeldUp: number;
}

const USUAL_MS = 40;

/** Sends as the run does: as many at once as may leave, or later. @returns when each took its turn and when it arrived */
function send(pacer: Pacer, start: number, trips: readonly Trip[]): { left: number[]; arrived: number[]; end: number } {
  const left: number[] = [];
  const arrived: number[] = [];
  let events: { at: number; tell: () => void }[] = [];
  let now = start;
  while (left.length < trips.length) {
    now += trips[left.length]!.late;
    const due = events.filter((one) => one.at <= now).sort((a, b) => a.at - b.at);
    for (const { tell } of due) tell();
    events = events.filter((one) => one.at > now);
    const turns = pacer.available(now, Math.min(64, trips.length - left.length));
    for (const { connecting, heldUp, answerHeldUp } of trips.slice(left.length, left.length + turns)) {
      const ticket = pacer.leave(now);
      const wire = now + connecting;
      const answer = wire + 2 * USUAL_MS + heldUp + answerHeldUp;
      left.push(now);
      arrived.push(wire + USUAL_MS + heldUp);
      if (connecting === 0) pacer.onWire(ticket, wire);
      else events.push({ at: wire, tell: () => pacer.onWire(ticket, wire) });
      events.push({ at: answer, tell: () => pacer.answered(ticket, answer) });
    }
    if (turns === 0) now = Math.max(now, Math.min(Math.ceil(pacer.nextAt()), ...events.map((one) => one.at)));
  }
  return { left, arrived, end: Math.max(now, ...events.map((one) => one.at)) };
}

const trip = fc.record({
  late: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    fc.integer({ min: 0, max: 30 }),
    fc.integer({ min: 0, max: 2000 }),
  ),
  connecting: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    fc.integer({ min: 0, max: 200 }),
    fc.integer({ min: 0, max: 20_000 }),
  ),
  heldUp: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 250 })),
  answerHeldUp: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 3000 })),
});
const onTime: Trip = { late: 0, connecting: 0, heldUp: 0, answerHeldUp: 0 };
/** The first answer comes in the usual time: how much a message is held up is measured against the fastest so far. */
const trips = (most: number) => fc.array(trip, { minLength: 2, maxLength: most }).map((some) => [onTime, ...some]);
const pace = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constantFrom(35, 40));
const steady = (count: number): Trip[] => Array.from({ length: count }, () => onTime);

describe('Pacer', () => {
  it('lets no second hold more arrivals than the pace, however long messages take to connect or are held up', () => {
    fc.assert(
      fc.property(pace, trips(250), (limit, some) => {
        const { arrived } = send(new Pacer(limit, NOW), NOW, some);
        expect(mostWithin(arrived, 1000)).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 300 },
    );
  });

  it('holds the pace from one run to the next', () => {
    fc.assert(
      fc.property(pace, trips(80), trips(80), (limit, some, others) => {
        const before = new Pacer(limit, NOW);
        const first = send(before, NOW, some);
        const second = send(new Pacer(limit, before.freeAt(first.end)), first.end, others);
        expect(mostWithin([...first.arrived, ...second.arrived], 1000)).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it.each([
    [0.5, 2000, 1],
    [0.1, 10_000, 1],
    [1.5, 1000, 2],
    [2.5, 1000, 3],
  ])('at %d/s, %i ms hold at most %i', (limit, span, most) => {
    fc.assert(
      fc.property(trips(20), (some) => {
        expect(mostWithin(send(new Pacer(limit, NOW), NOW, some).arrived, span)).toBeLessThanOrEqual(most);
      }),
    );
  });

  it.each([0.5, 1, 3, 35, 40, 100])('keeps at least 98 % of %d/s, whatever the usual latency', (limit) => {
    const count = Math.max(20, Math.ceil(limit * 300));
    const { left } = send(new Pacer(limit, NOW), NOW, steady(count));
    expect(((count - 1) * 1000) / (left.at(-1)! - left[0]!)).toBeGreaterThanOrEqual(limit * 0.98);
  });

  it('makes up for a sender that is late by a few milliseconds each time', () => {
    const random = fixedRandom();
    const jittery = steady(35 * 120).map((one) => ({ ...one, late: Math.floor(random.next() * 20) }));
    const { left } = send(new Pacer(35, NOW), NOW, jittery);
    expect(((left.length - 1) * 1000) / (left.at(-1)! - left[0]!)).toBeGreaterThanOrEqual(35 * 0.98);
  });

  it('lets nothing leave one lap after a message that is not on the wire yet', () => {
    const pacer = new Pacer(2, NOW);
    const [first, second] = [pacer.leave(NOW), pacer.leave(NOW + 500)];
    pacer.onWire(second, NOW + 500);
    expect(pacer.nextAt()).toBe(Infinity);
    expect(pacer.available(NOW + 60_000, 9)).toBe(0);
    pacer.onWire(first, NOW + 60_000);
    expect(pacer.nextAt()).toBeGreaterThanOrEqual(NOW + 61_000);
    expect(pacer.nextAt()).toBeLessThanOrEqual(NOW + 61_300);
  });

  it('takes an answer without a departure for a departure', () => {
    const pacer = new Pacer(1, NOW);
    pacer.answered(pacer.leave(NOW), NOW + 700);
    expect(pacer.nextAt()).toBeGreaterThanOrEqual(NOW + 1700);
    expect(pacer.nextAt()).toBeLessThanOrEqual(NOW + 1710);
  });

  it('is not put out by what it is told of messages of earlier laps', () => {
    const pacer = new Pacer(1, NOW);
    const old = pacer.leave(NOW);
    pacer.onWire(old, NOW);
    pacer.onWire(pacer.leave(NOW + 2000), NOW + 2000);
    const nextAt = pacer.nextAt();
    pacer.onWire(old, NOW + 9000);
    pacer.answered(old, NOW + 9000);
    expect(pacer.nextAt()).toBe(nextAt);
  });

  it('sends no burst after a long rest', () => {
    const pacer = new Pacer(35, NOW);
    send(pacer, NOW, steady(3));
    expect(pacer.available(NOW + 60_000, 100)).toBeLessThanOrEqual(4);
  });

  it('starts with one message, not before its start', () => {
    const pacer = new Pacer(35, NOW);
    expect([NOW - 1, NOW].map((now) => pacer.available(now, 100))).toEqual([0, 1]);
    expect(pacer.nextAt()).toBe(NOW);
  });

  it('lets everything through without a limit', () => {
    const pacer = new Pacer(Infinity, NOW);
    pacer.leave(NOW);
    expect(pacer.available(NOW, 64)).toBe(64);
    expect(pacer.nextAt()).toBeLessThanOrEqual(NOW);
    expect(pacer.freeAt(NOW)).toBe(NOW);
  });

  it('asks nothing of the next run when nothing was sent', () => {
    expect(new Pacer(35, NOW).freeAt(NOW)).toBe(NOW);
  });
});
