/**
 * Power loss: after each write the store's files are copied as the disk has them, because every write waits for the disk
 * (`synchronous=FULL`). At random moments, while messages leave, everything since the last copy is lost.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runCampaign } from '../../src/app/run.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteEngine, type Holder } from '../../src/stores/sqlite-engine.js';
import { SqliteStore } from '../../src/stores/sqlite.js';
import { FakeClock } from '../support/fake-clock.js';
import { FakeProvider } from '../support/fake-provider.js';
import {
  accountKey,
  collect,
  exactWindow,
  fixedRandom,
  HOUR,
  NOW,
  readyCampaign,
  rows,
  temporaryFolder,
} from '../support/fixtures.js';

const PEOPLE = 120;
const CUTS = 25;
const budget = { ...DEFAULT_BUDGET, count: 10_000 };

/** What the disk holds of a store. */
function copy(from: string, to: string): string {
  for (const suffix of ['', '-wal']) if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix);
  return to;
}

/** A machine that runs on a disk until its power is cut. */
function boot(
  path: string,
  number: number,
): { file: SqliteDatabase; store: SqliteStore; engine: SqliteEngine; onDisk: string } {
  const file = new SqliteDatabase(path);
  expect(file.connection.pragma('synchronous', { simple: true })).toBe(2);
  const onDisk = join(temporaryFolder(), 'pagecast.db');
  const write = file.write.bind(file);
  vi.spyOn(file, 'write').mockImplementation(async (work) => {
    const result = await write(work);
    copy(path, onDisk);
    return result;
  });
  copy(path, onDisk);
  // Whoever held an account before the power was cut is gone.
  const holder: Holder = { name: `boot ${number}`, mayBeAlive: (name) => name === `boot ${number}` };
  return { file, store: new SqliteStore(file), engine: new SqliteEngine(file, holder), onDisk };
}

describe('a power cut', () => {
  it.each([20, 60])('sends to nobody twice, at a pace of %s', async (pace) => {
    const random = fixedRandom(7);
    let path = join(temporaryFolder(), 'pagecast.db');
    const first = boot(path, 0);
    const staged = rows(PEOPLE, () => ({ closesAt: NOW + 23 * HOUR }));
    const wrote = staged.map(({ userId }) => ({ userId, openedAt: NOW - HOUR, opener: 'message' as const }));
    await first.store.recordOpeners(accountKey, wrote);
    await readyCampaign(first.store, staged, { pace });
    first.file.connection.close();
    path = first.onDisk;

    const received: string[] = [];
    let cuts = 0;
    for (let number = 1; ; number += 1) {
      const machine = boot(path, number);
      const clock = new FakeClock(NOW + number * 60_000);
      const power = new AbortController();
      let disk = '';
      const provider = new FakeProvider(clock, ({ userId }) => {
        if (power.signal.aborted) return {};
        received.push(userId);
        if (cuts < CUTS && random.next() < 0.1) {
          cuts += 1;
          disk = copy(machine.onDisk, join(temporaryFolder(), 'pagecast.db'));
          power.abort();
        }
        return { back: 10 + Math.floor(random.next() * 200) };
      });
      const world = { store: machine.store, engine: machine.engine, provider, clock, random };
      const result = await runCampaign(world, { campaign: 'c1', window: exactWindow, budget, signal: power.signal });
      if (!power.signal.aborted) {
        expect(result).toMatchObject({ end: 'finished', counts: { queued: 0, started: 0, total: PEOPLE } });
        const messages = await collect(machine.store.messages({ campaign: 'c1' }));
        machine.file.connection.close();
        expect(new Set(received).size).toBe(received.length);
        // Nobody is lost: whoever has not received anything is unknown, never "sent".
        const got = new Set(received);
        for (const { userId, state } of messages) expect(got.has(userId) || state === 'unknown').toBe(true);
        break;
      }
      machine.file.connection.close();
      path = disk;
    }
    expect(cuts).toBeGreaterThan(3);
  });
});
