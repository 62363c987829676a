/** What the tests of the ledger and of the use cases start from: an account, a template, people, a store. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { onTestFinished } from 'vitest';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { Failure, type FailureCode } from '../../src/core/failure.js';
import { senderKey } from '../../src/core/sender.js';
import type { Template } from '../../src/core/template.js';
import { DEFAULT_WINDOW, type WindowSettings } from '../../src/core/window.js';
import type { Account, Approval, Engine, NewCampaign, Random, RunStep, StagedRow, Store } from '../../src/ports.js';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteEngine, type Holder } from '../../src/stores/sqlite-engine.js';
import { SqliteStore } from '../../src/stores/sqlite.js';

export const NOW = Date.UTC(2026, 10, 21, 12);
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Without a margin, so that tests can count in whole hours. */
export const exactWindow: WindowSettings = { ...DEFAULT_WINDOW, marginMs: 0 };

export const account: Account = {
  name: 'acme-page',
  channel: 'messenger',
  provider: 'sandbox',
  id: '102938475601928',
  pace: 35,
};

/** What the store calls it. */
export const accountKey = senderKey(account);

export const template: Template = {
  name: 'order_update',
  language: 'en_US',
  channels: ['messenger', 'instagram'],
  kind: 'session',
  body: 'Hi {{name}}, order {{order_no}} leaves today.',
  buttons: [],
  quickReplies: [],
  variables: [
    { name: 'name', example: 'Ann', maxLength: 20 },
    { name: 'order_no', example: 'A-1' },
  ],
};

/** A template that may go to people whose window is shut. */
export const registeredTemplate: Template = {
  ...template,
  kind: 'registered',
  channels: ['messenger'],
  registration: { name: 'order_update', status: 'APPROVED', parameters: 'named' },
};

/** The id of the nth person. */
export function user(n: number): string {
  return String(7_600_000_000_000_000 + n * 7 + 1);
}

export function row(seq: number, change: Partial<StagedRow> = {}): StagedRow {
  return {
    seq,
    userId: user(seq),
    values: ['Ann', `A-${seq}`],
    reason: null,
    closesAt: NOW + DAY,
    opener: 'message',
    outside: false,
    ...change,
  };
}

export function rows(count: number, change: (seq: number) => Partial<StagedRow> = () => ({})): StagedRow[] {
  return Array.from({ length: count }, (_, index) => row(index + 1, change(index + 1)));
}

/** Rows that a run starts, as its step has them. */
export function starting(...seqs: number[]): RunStep['started'] {
  return seqs.map((seq) => ({ seq, outside: false }));
}

export function newCampaign(id: string, change: Partial<NewCampaign> = {}): NewCampaign {
  return {
    id,
    account: accountKey,
    accountName: account.name,
    template,
    source: 'people.csv',
    pace: 35,
    variables: ['name', 'order_no'],
    timing: null,
    outside: null,
    ...change,
  };
}

export function approval(change: Partial<Approval> = {}): Approval {
  return { digest: 'd', policy: 'test', again: false, budget: DEFAULT_BUDGET, now: NOW, ...change };
}

/** Stages and approves a campaign that is ready to run. */
export async function readyCampaign(
  store: Store,
  staged: readonly StagedRow[],
  { id = 'c1', ...change }: Partial<NewCampaign> = {},
  now = NOW,
): Promise<string> {
  await store.draft(newCampaign(id, change));
  await store.stage(id, staged);
  await store.approve(id, approval({ digest: `of ${id}`, now }));
  return id;
}

export async function collect<T>(batches: AsyncIterable<T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

/** The code of the Failure that a promise ends with, or what it ended with instead. */
export async function failureOf(
  work: Promise<unknown> | (() => unknown),
): Promise<FailureCode | { notAFailure: unknown }> {
  try {
    return { notAFailure: await (typeof work === 'function' ? work() : work) };
  } catch (error) {
    if (error instanceof Failure) return error.code;
    return { notAFailure: error };
  }
}

/** A folder that goes away with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pagecast-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

export const living: Holder = { name: 'host/1', mayBeAlive: () => true };
/** Somebody else, who knows that whoever else held an account is gone. */
export const successor: Holder = { name: 'host/2', mayBeAlive: () => false };

export interface OpenLedger {
  path: string;
  file: SqliteDatabase;
  store: Store;
  engine: Engine;
  /** The same ledger for another process. */
  as: (holder: Holder) => { store: Store; engine: Engine };
  /** SQL behind the store's back, for what no operation does yet. */
  sql: (text: string, ...values: unknown[]) => void;
}

let migrated: Buffer | undefined;

/** What an empty store's file holds; made once, as making it waits for the disk. */
function emptyStore(): Buffer {
  if (migrated === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'pagecast-test-'));
    new SqliteDatabase(join(folder, 'pagecast.db')).connection.close();
    migrated = readFileSync(join(folder, 'pagecast.db'));
    rmSync(folder, { recursive: true });
  }
  return migrated;
}

/** A real SQLite file that goes away with the test. Nobody pulls the plug in these tests, so it need not wait for the disk. */
export function openLedger(): OpenLedger {
  const path = join(temporaryFolder(), 'pagecast.db');
  writeFileSync(path, emptyStore());
  const opened: SqliteDatabase[] = [];
  const open = (): SqliteDatabase => {
    const file = new SqliteDatabase(path);
    file.connection.pragma('synchronous = OFF');
    opened.push(file);
    return file;
  };
  const file = open();
  onTestFinished(() => {
    for (const one of opened) one.connection.close();
  });
  return {
    path,
    file,
    store: new SqliteStore(file),
    engine: new SqliteEngine(file, living),
    as: (holder) => {
      const another = open();
      return { store: new SqliteStore(another), engine: new SqliteEngine(another, holder) };
    },
    sql: (text, ...values) => {
      const raw = new Database(path);
      try {
        raw.prepare(text).run(...values);
      } finally {
        raw.close();
      }
    },
  };
}

/** Numbers that look random and are the same in every test run. */
export function fixedRandom(seed = 1): Random {
  let state = seed;
  return {
    next: () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    },
  };
}
