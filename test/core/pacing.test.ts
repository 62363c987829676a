import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pacer, Paces, type Handover } from '../../src/core/pacing.js';
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
  });

  it('counts nothing without a limit, so nobody after it knows how many left in the last second', () => {
    const pacer = new Pacer(Infinity, NOW);
    expect(pacer.handover(NOW)).toEqual({ freeAt: NOW, taken: 0 });
    const ticket = pacer.leave(NOW);
    expect(pacer.handover(NOW + 5000)).toEqual({ freeAt: NOW + 5000 + 1254, taken: Infinity });
    pacer.answered(ticket, NOW + 80);
    expect(pacer.handover(NOW + 100)).toEqual({ freeAt: NOW + 1084, taken: Infinity });
    expect(pacer.handover(NOW + 1084)).toEqual({ freeAt: NOW + 1084, taken: 0 });
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

describe('Paces', () => {
  interface Sent {
    pace: number;
    left: number;
    arrived: number;
  }

  /** Sends in turn, as single messages and rows are sent: whichever pace has a turn first, and its messages in order. */
  function sendAll(
    paces: Paces,
    start: number,
    messages: readonly { pace: number; trip: Trip }[],
  ): { sent: Sent[]; end: number } {
    const sent: Sent[] = [];
    const waiting = [...messages];
    let events: { at: number; tell: () => void }[] = [];
    let now = start;
    while (waiting.length > 0) {
      // Those further back are not seen yet, so their paces come into play one after the other.
      const seen = waiting.slice(0, 8);
      for (const { pace } of seen) paces.add(pace, now);
      for (const { tell } of events.filter((one) => one.at <= now).sort((a, b) => a.at - b.at)) tell();
      events = events.filter((one) => one.at > now);
      const next = seen.find(({ pace }) => paces.available(pace, now, 1, 1) > 0);
      if (next === undefined) {
        const turns = seen.map(({ pace }) => Math.ceil(paces.nextAt(pace, 1)));
        now = Math.max(now + 1, Math.min(...turns, ...events.map((one) => one.at)));
        continue;
      }
      waiting.splice(waiting.indexOf(next), 1);
      const { late, connecting, heldUp, answerHeldUp } = next.trip;
      const turn = paces.leave(next.pace, now);
      const wire = now + connecting;
      const answer = wire + 2 * USUAL_MS + heldUp + answerHeldUp;
      sent.push({ pace: next.pace, left: now, arrived: wire + USUAL_MS + heldUp });
      if (connecting === 0) paces.onWire(turn, wire);
      else events.push({ at: wire, tell: () => paces.onWire(turn, wire) });
      events.push({ at: answer, tell: () => paces.answered(turn, answer) });
      now += late;
    }
    for (const { tell } of events.sort((a, b) => a.at - b.at)) tell();
    return { sent, end: Math.max(now, ...events.map((one) => one.at)) };
  }

  function expectPacesKept(sent: readonly Sent[], paces: readonly number[]): void {
    for (const most of paces) {
      const upTo = sent.filter(({ pace }) => pace <= most).map(({ arrived }) => arrived);
      expect(mostWithin(upTo, 1000)).toBeLessThanOrEqual(most);
    }
  }

  const CHOICE = [3, 10, 20, 35];
  /** Most at the greatest pace: a slow one among them takes long enough for all others to catch up. */
  const message = fc.record({
    pace: fc.oneof({ weight: 9, arbitrary: fc.constant(35) }, fc.constantFrom(...CHOICE)),
    trip: fc.oneof({ weight: 4, arbitrary: fc.constant(onTime) }, trip),
  });
  const mixed = (most: number) =>
    fc.array(message, { minLength: 1, maxLength: most }).map(([first, ...others]) => {
      return [{ pace: first!.pace, trip: onTime }, first!, ...others];
    });
  const owner = fc.record({
    gap: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1500 })),
    sends: fc.oneof(fc.constant([]), mixed(60)),
    dies: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
  });

  it('let no second hold more messages up to any pace than that pace, whoever comes when', () => {
    fc.assert(
      fc.property(fc.array(owner, { minLength: 1, maxLength: 6 }), (owners) => {
        let now = NOW;
        let before: Handover = { freeAt: -Infinity, taken: 0 };
        const all: Sent[] = [];
        for (const { gap, sends, dies } of owners) {
          now += gap;
          const paces = new Paces(before);
          const { sent, end } = sendAll(paces, now, sends);
          all.push(...sent);
          now = end;
          before = dies ? { freeAt: now + 1250, taken: Infinity } : paces.handover(now);
        }
        expectPacesKept(all, CHOICE);
      }),
      { numRuns: 300 },
    );
  });

  const burst = (pace: number, count: number) => Array.from({ length: count }, () => ({ pace, trip: onTime }));

  it.each([
    ['a slow campaign', 1 / 60, 35],
    ['audio', 10, 35],
    ['a limited pace', 35, Infinity],
  ])('do not hold messages up for %s', (_, slow, fast) => {
    const paces = new Paces();
    sendAll(paces, NOW, burst(slow, 1));
    const { sent } = sendAll(paces, NOW + 1, burst(fast, 30));
    expect(sent.at(-1)!.left - NOW).toBeLessThanOrEqual(1000);
  });

  it.each([
    ['a greater one comes into play', [10, 35]],
    ['a smaller one does', [35, 10]],
    ['one between them does', [10, 35, 20]],
  ])('keep what has left, and what is under way, when %s', (_, order) => {
    const paces = new Paces();
    const all: Sent[] = [];
    let now = NOW;
    for (const pace of order) {
      const slowly = burst(pace, pace).map((one) => ({ ...one, trip: { ...onTime, connecting: 300 } }));
      const { sent } = sendAll(paces, now, slowly);
      all.push(...sent);
      now = sent.at(-1)!.left;
    }
    expectPacesKept(all, order);
  });

  it('know of a message that is not on the wire yet when a greater pace comes into play', () => {
    const paces = new Paces();
    paces.add(1, NOW);
    const slow = paces.leave(1, NOW);
    paces.add(2, NOW + 10);
    paces.answered(paces.leave(2, NOW + 10), NOW + 10);
    expect(paces.nextAt(2)).toBe(Infinity);
    expect(paces.isHeldUp).toBe(true);
    paces.onWire(slow, NOW + 5000);
    expect(paces.nextAt(2)).toBeGreaterThan(NOW + 6000);
    expect(paces.isHeldUp).toBe(false);
  });

  it('hand on what left at any pace, and what was handed to them', () => {
    const before = { freeAt: NOW + 900, taken: 4 };
    expect(new Paces(before).handover(NOW)).toEqual(before);
    expect(new Paces(before).handover(NOW + 900)).toEqual({ freeAt: NOW + 900, taken: 0 });
    const paces = new Paces(before);
    for (const pace of [10, 35]) {
      paces.add(pace, NOW);
      paces.answered(paces.leave(pace, NOW), NOW);
    }
    expect(paces.handover(NOW)).toEqual({ freeAt: NOW + 1004, taken: 6 });
    expect(paces.greatest).toBe(35);
  });

  it('hand on that nobody knows how many left, when one of them has no limit', () => {
    const paces = new Paces();
    paces.add(35, NOW);
    const turn = paces.leave(35, NOW);
    paces.add(Infinity, NOW);
    expect(paces.handover(NOW)).toMatchObject({ taken: Infinity });
    paces.answered(turn, NOW + 100);
    expect(paces.handover(NOW + 100)).toEqual({ freeAt: NOW + 1254, taken: Infinity });
    const { sent } = sendAll(new Paces(paces.handover(NOW + 100)), NOW + 100, burst(35, 3));
    expect(sent[0]!.left).toBeGreaterThanOrEqual(NOW + 1100);
  });

  it('all slow down, also those that come into play later', () => {
    const paces = new Paces();
    paces.add(10, NOW);
    paces.slowTo(0.1);
    paces.add(35, NOW);
    paces.answered(paces.leave(10, NOW), NOW);
    expect(paces.nextAt(10)).toBe(NOW + 1000);
    expect(paces.nextAt(35)).toBeCloseTo(NOW + 10_000 / 35, 3);
  });

  it('let a single message leave while a batch gathers its turns, at whatever pace', () => {
    const paces = new Paces();
    paces.add(20, NOW, 10);
    paces.add(35, NOW);
    expect([paces.available(20, NOW, 10), paces.available(35, NOW, 9, 1), paces.available(20, NOW, 9, 1)]).toEqual([
      0, 1, 1,
    ]);
    expect(paces.available(20, NOW + 450, 10)).toBe(10);
  });
});
