/** What is told of what happens all the time: few lines, and every count. */
import { describe, expect, it } from 'vitest';
import type { Log } from '../../src/cli/log.js';
import { countsText, Tally, type TallyKind } from '../../src/cli/tally.js';
import { FakeClock } from '../support/fake-clock.js';
import { NOW } from '../support/fixtures.js';

const SEEN: TallyKind = { event: 'seen', level: 'info', text: (counts) => `Seen: ${countsText(counts)}.` };
const LOST: TallyKind = { event: 'lost', level: 'warn', text: (counts) => `Lost: ${countsText(counts)}.` };

function tally(gatherMs?: number) {
  const clock = new FakeClock(NOW);
  const told: string[] = [];
  const log: Log = {
    info: (event, text) => void told.push(`${event} ${text}`),
    warn: (event, text) => void told.push(`${event}! ${text}`),
  };
  return { clock, told, tally: new Tally(log, clock, gatherMs) };
}

describe('a tally', () => {
  it('waits a little after the first, where that is asked for', async () => {
    const { clock, told, tally: here } = tally(1000);
    here.add(SEEN, { dog: 0 });
    here.add(LOST, { key: 1 });
    await clock.sleep(900);
    here.add(LOST, { key: 1 });
    here.add(SEEN, { cat: 1 });
    expect(told).toEqual([]);
    await clock.sleep(100);
    here.tell();
    expect(told.splice(0)).toEqual(['lost! Lost: 2 key.']);
    await clock.sleep(900);
    here.tell();
    expect(told).toEqual(['seen Seen: 1 cat.']);
  });

  it('tells at once what is new, and what follows together, most first', async () => {
    const { clock, told, tally: here } = tally();
    here.add(SEEN, { cat: 1, dog: 0 });
    here.add(LOST, { key: 2 });
    expect(told.splice(0)).toEqual(['seen Seen: 1 cat.', 'lost! Lost: 2 key.']);
    for (let times = 0; times < 1500; times += 1) here.add(SEEN, { cat: 1, dog: 2 });
    expect(told).toEqual([]);
    await clock.sleep(10_000);
    here.tell();
    expect(told.splice(0)).toEqual(['seen Seen: 3,000 dog, 1,500 cat.']);
    here.tell(true);
    expect(told).toEqual([]);
  });

  it('tells the rest at the end, and of many names only the most frequent', () => {
    const { told, tally: here } = tally();
    here.add(SEEN, { first: 1 });
    here.add(SEEN, Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`n${index}`, index + 1])));
    here.tell(true);
    expect(told[1]).toMatch(/^seen Seen: 50 n49, 49 n48, .*39 n38\.$/);
  });
});
