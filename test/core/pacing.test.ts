import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pacer, type Handover } from '../../src/core/pacing.js';
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
  for (const { tell } of events.sort((a, b) => a.at - b.at)) tell();
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

  describe('from one owner to the next', () => {
    /** How long after the owner before it one comes, what it sends, and whether it dies without a word. */
    const owner = fc.record({
      gap: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1500 })),
      sends: fc.oneof({ weight: 2, arbitrary: fc.constant([onTime]) }, fc.constant([]), trips(80)),
      dies: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
    });

    it.each<[string, (most: number, nth: number) => number]>([
      ['the same pace', (most) => most],
      ['another pace each time', (most, nth) => Math.max(1, Math.floor(most / (1 + (nth % 3))))],
    ])('lets no second hold more arrivals than the pace, whoever comes when, with %s', (_, paceOf) => {
      fc.assert(
        fc.property(pace, fc.array(owner, { minLength: 2, maxLength: 12 }), (limit, owners) => {
          let now = NOW;
          let before: Handover = { freeAt: -Infinity, taken: 0 };
          const all: number[] = [];
          owners.forEach(({ gap, sends, dies }, nth) => {
            now += gap;
            const pacer = new Pacer(paceOf(limit, nth), now, before);
            const { arrived, end } = send(pacer, now, sends);
            all.push(...arrived);
            now = end;
            before = dies ? { freeAt: now + 1250, taken: Infinity } : pacer.handover(now);
          });
          expect(mostWithin(all, 1000)).toBeLessThanOrEqual(limit);
        }),
        { numRuns: 200 },
      );
    });

    it('holds nobody up who sends the first message after another', () => {
      const first = new Pacer(35, NOW);
      const { end } = send(first, NOW, [onTime]);
      const second = new Pacer(35, end, first.handover(end));
      expect(second.available(end, 9)).toBe(1);
      expect(first.handover(end)).toEqual({ freeAt: end + 1000 + 4, taken: 1 });
    });

    it.each([
      ['as many as may be', 35, NOW + 1000],
      ['more than that', 900, NOW + 1000],
      ['nobody knows how many', Infinity, NOW + 1000],
      ['all but one', 34, NOW],
      ['none', 0, NOW],
    ])('waits when %s still count', (_, taken, at) => {
      const pacer = new Pacer(35, NOW, { freeAt: NOW + 1000, taken });
      const places = Math.max(0, Math.min(35, 35 - taken));
      const { left } = send(pacer, NOW, steady(places + 1));
      expect(left[0]).toBe(at);
      expect(left.at(-1)).toBeGreaterThanOrEqual(NOW + 1000);
    });

    it.each([35, Infinity])('hands on what was handed to it while it counts, at %d/s', (limit) => {
      const before = { freeAt: NOW + 1000, taken: 20 };
      const pacer = new Pacer(limit, NOW, before);
      expect(pacer.handover(NOW + 999)).toEqual(before);
      expect(pacer.handover(NOW + 1000)).toEqual({ freeAt: NOW + 1000, taken: 0 });
    });

    it('adds its own to them', () => {
      const pacer = new Pacer(35, NOW, { freeAt: NOW + 900, taken: Infinity });
      const { end } = send(pacer, NOW, steady(3));
      expect(end).toBeGreaterThanOrEqual(NOW + 900);
      expect(pacer.handover(end)).toMatchObject({ taken: 3 });
      const other = new Pacer(35, NOW, { freeAt: NOW + 900, taken: 4 });
      other.answered(other.leave(NOW), NOW);
      expect(other.handover(NOW)).toEqual({ freeAt: NOW + 1004, taken: 5 });
    });

    it('takes a message whose answer is missing for one that left just now', () => {
      const pacer = new Pacer(35, NOW);
      pacer.leave(NOW);
      expect(pacer.handover(NOW + 5000)).toEqual({ freeAt: NOW + 5000 + 1254, taken: 1 });
    });
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
    expect(pacer.handover(NOW)).toEqual({ freeAt: NOW, taken: 0 });
  });

  it('asks nothing of the next owner when nothing was sent', () => {
    expect(new Pacer(35, NOW).handover(NOW)).toEqual({ freeAt: NOW, taken: 0 });
  });

  it('lets a single message leave while a batch gathers its turns, and the batch after it', () => {
    const pacer = new Pacer(35, NOW, undefined, 10);
    expect(pacer.available(NOW, 10)).toBe(0);
    expect(pacer.available(NOW, 10, 1)).toBe(1);
    expect(pacer.nextAt(1)).toBe(NOW);
    const whole = pacer.nextAt();
    pacer.answered(pacer.leave(NOW), NOW);
    expect(pacer.nextAt() - whole).toBeCloseTo(1000 / 35, 2);
  });
});
