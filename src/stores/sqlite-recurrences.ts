/** Sends that take place again and again. */
import { Failure } from '../core/failure.js';
import type { Recurrence } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';

interface RecurrenceRecord {
  id: string;
  account: string;
  settings: string;
  created_at: number;
  next_at: number | null;
  last: string | null;
}

export class SqliteRecurrences {
  readonly #file: SqliteDatabase;

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  /** Inside a write. */
  add({ id, account, createdAt, nextAt, last, ...settings }: Recurrence): void {
    this.#file
      .sql(`INSERT INTO recurrences (id, account, settings, created_at, next_at, last) VALUES (?, ?, ?, ?, ?, ?)`)
      .run(id, account, toJson(settings), createdAt, nextAt, last && JSON.stringify(last));
  }

  all(): Recurrence[] {
    const found = this.#file.sql(`SELECT * FROM recurrences ORDER BY created_at, id`).all() as RecurrenceRecord[];
    return found.map(toRecurrence);
  }

  /** Inside a write. */
  pass(id: string, from: number, last: NonNullable<Recurrence['last']>, nextAt: number | null): void {
    this.#file
      .sql(`UPDATE recurrences SET next_at = ?, last = ? WHERE id = ? AND next_at = ?`)
      .run(nextAt, JSON.stringify(last), id, from);
  }

  /** Inside a write. @returns whether it was there and had not ended */
  end(id: string): boolean {
    const end = this.#file.sql(`UPDATE recurrences SET next_at = NULL WHERE id = ? AND next_at IS NOT NULL`);
    return end.run(id).changes > 0;
  }

  /** Planning takes a while, and somebody may have ended the recurrence meanwhile. @throws Failure RECURRENCE_UNKNOWN */
  require(id: string, at: number): void {
    const next = this.#file.sql(`SELECT next_at FROM recurrences WHERE id = ?`).pluck().get(id) as
      number | null | undefined;
    if (next === null || next === undefined || next > at)
      throw new Failure('RECURRENCE_UNKNOWN', `The schedule ${id} has ended; nothing was sent.`);
  }
}

/** JSON has no Infinity, which is the pace without a limit. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (item === Infinity ? 'unlimited' : item));
}

function toRecurrence({ id, account, settings, created_at, next_at, last }: RecurrenceRecord): Recurrence {
  type Settings = Omit<Recurrence, 'id' | 'account' | 'createdAt' | 'nextAt' | 'last'>;
  const kept = JSON.parse(settings, (key, item: unknown) =>
    key === 'pace' && item === 'unlimited' ? Infinity : item,
  ) as Omit<Settings, 'outside'> & Partial<Settings>;
  return {
    ...kept,
    // A schedule of an earlier version leaves out who is outside the window.
    outside: kept.outside ?? null,
    id,
    account,
    createdAt: created_at,
    nextAt: next_at,
    last: last === null ? null : (JSON.parse(last) as Recurrence['last']),
  };
}
