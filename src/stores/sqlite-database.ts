/**
 * One SQLite file: opening it durably, bringing its schema up to date, and turning SQLite's errors into Failures.
 */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { Failure, type FailureCode } from '../core/failure.js';

/** Marks the file as ours ("page"), so that another program's database is never migrated. */
const APPLICATION_ID = 0x70616765;
/** The same from src/stores and from dist/stores: the SQL files are shipped as they are. */
const MIGRATIONS = fileURLToPath(new URL('../../src/stores/migrations/', import.meta.url));
/** Approving a million rows holds the file for seconds; another account's run waits for that long. */
const BUSY_MS = 15_000;
/**
 * SQLite waits by standing still, and nothing else is done meanwhile: no call is answered and no lease renewed. So it waits
 * only for writes as they are all the time, and for longer ones the waiting is done here.
 */
const STILL_MS = 20;
const PAUSE_MS = 25;

const FAILURES: Record<string, { code: FailureCode; what: string; hint: string }> = {
  SQLITE_BUSY: {
    code: 'STORE_BUSY',
    what: 'another process is writing to it',
    hint: 'Wait until that process is done, then run the same command again.',
  },
  SQLITE_READONLY: {
    code: 'STORE_READ_ONLY',
    what: 'it cannot be written to',
    hint: 'Check the owner and permissions of the file and its folder.',
  },
  SQLITE_CANTOPEN: {
    code: 'STORE_READ_ONLY',
    what: 'it cannot be opened or created',
    hint: 'Check that the folder exists and may be written to.',
  },
  SQLITE_FULL: {
    code: 'STORE_FULL',
    what: 'the disk is full',
    hint: 'Free some space, then resume the campaign: nothing that was written is lost.',
  },
  SQLITE_IOERR: {
    code: 'STORE_FULL',
    what: 'the disk refused to read or write',
    hint: 'Check the disk, then resume the campaign: nothing that was written is lost.',
  },
  SQLITE_NOTADB: {
    code: 'STORE_UNREADABLE',
    what: 'it is no SQLite database',
    hint: 'Point store: in pagecast.yaml to another file.',
  },
  SQLITE_CORRUPT: {
    code: 'STORE_UNREADABLE',
    what: 'it is damaged',
    hint: 'Restore it from a backup. Do not start over with an empty one: it is what keeps people from getting a message twice.',
  },
};

export class SqliteDatabase {
  readonly connection: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #path: string;
  /** Which file it is, whatever else gets its name; null for one in memory. */
  readonly #file: bigint | null;
  /** What waits for another process to be done, in the order in which it came. Each tells whether it has come to its end. */
  readonly #waiting: (() => boolean)[] = [];
  readonly #mostPauses: number;
  /** How many there have been. */
  #pauses = 0;

  /**
   * @param busyMs how long it waits for other processes
   * @throws Failure STORE_NEWER, STORE_READ_ONLY, STORE_UNREADABLE, STORE_BUSY
   */
  constructor(path: string, busyMs = BUSY_MS) {
    this.#path = path;
    this.#mostPauses = busyMs / (STILL_MS + PAUSE_MS);
    this.connection = this.guard(() => {
      if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
      return new Database(path, { timeout: busyMs });
    });
    try {
      this.guard(() => {
        this.#refuseForeign();
        this.connection.pragma('journal_mode = WAL');
        // A row that says `started` must survive a power cut, or its message could be sent again.
        this.connection.pragma('synchronous = FULL');
        // What people wrote must be gone from the file once it is heard. (Not for plans, which are in temporary tables.)
        this.connection.pragma('main.secure_delete = ON');
        // A million windows are about 60 MB; they should be looked up in memory.
        this.connection.pragma('cache_size = -131072');
        // A migration that makes a table anew must not take what refers to it along.
        this.connection.pragma('foreign_keys = OFF');
        this.#migrate();
        this.connection.pragma('foreign_keys = ON');
        this.connection.pragma(`busy_timeout = ${Math.min(STILL_MS, busyMs)}`);
      });
    } catch (error) {
      this.connection.close();
      throw error;
    }
    this.#file = this.#inode();
  }

  #inode(): bigint | null {
    return this.#path === ':memory:'
      ? null
      : (statSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino ?? -1n);
  }

  /** A file that was removed can still be written to, but nobody will ever read it. @throws Failure STORE_UNREADABLE */
  refuseGone(): void {
    if (this.#inode() === this.#file) return;
    throw new Failure(
      'STORE_UNREADABLE',
      `The store ${this.#path} is not usable: it was removed or replaced while it was in use.`,
      'Put it back before anything else is sent: it is what keeps people from getting a message twice.',
    );
  }

  /** Runs work on the database; SQLite's errors come out as Failures that name the file. */
  guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (typeof code !== 'string') throw error;
      const known = FAILURES[code] ?? FAILURES[code.split('_').slice(0, 2).join('_')];
      if (known)
        throw new Failure(known.code, `The store ${this.#path} is not usable: ${known.what}.`, known.hint, error);
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || code === 'ENOTDIR' || code === 'EEXIST') {
        throw new Failure(
          'STORE_READ_ONLY',
          `The folder of the store ${this.#path} cannot be made (${code}).`,
          'Choose another place with store: in pagecast.yaml.',
          error,
        );
      }
      throw error;
    }
  }

  /** A statement, prepared once. Whoever takes it with `raw` or `pluck` must do so each time. */
  sql(text: string): Database.Statement {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.connection.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** Drops the prepared statements about a table that is going away. */
  forget(table: string): void {
    for (const text of this.#statements.keys()) if (text.includes(table)) this.#statements.delete(text);
  }

  /**
   * Runs work as one durable step; nothing of it remains if it throws. It may be run again, when another process writes:
   * then it waits, and whatever comes after it waits behind it.
   */
  write<T>(work: () => T): Promise<T> {
    const step = (): T => {
      this.refuseGone();
      return this.connection.transaction(work).immediate();
    };
    return this.#attempt(step, this.#waiting.length === 0);
  }

  /** Runs work that reads, or that writes to temporary tables. It, too, may be run again. */
  run<T>(work: () => T): Promise<T> {
    return this.#attempt(work, true);
  }

  #attempt<T>(work: () => T, atOnce: boolean): Promise<T> {
    return new Promise((resolve, reject: (error: Error) => void) => {
      const last = this.#pauses + this.#mostPauses;
      const attempt = (): boolean => {
        try {
          resolve(this.guard(work));
        } catch (error) {
          if (error instanceof Failure && error.code === 'STORE_BUSY' && this.#pauses < last) return false;
          reject(error as Error);
        }
        return true;
      };
      if (atOnce && attempt()) return;
      this.#waiting.push(attempt);
      if (this.#waiting.length === 1) void this.#tryAgain();
    });
  }

  async #tryAgain(): Promise<void> {
    while (this.#waiting.length > 0) {
      await pause(PAUSE_MS);
      this.#pauses += 1;
      while (this.#waiting[0]?.() === true) this.#waiting.shift();
    }
  }

  /** Leaves nothing in the file of recent writes (`-wal`). @returns false when others who use the store stand in the way */
  emptyLog(): boolean {
    try {
      return this.connection.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0;
    } catch {
      // Whatever is wrong with the disk, the next write tells of it.
      return false;
    }
  }

  #version(): number {
    return this.connection.pragma('user_version', { simple: true }) as number;
  }

  #refuseForeign(): void {
    // One snapshot: another process may be making the schema at this very moment.
    const [version, id, tables] = this.connection.transaction(() => [
      this.#version(),
      this.connection.pragma('application_id', { simple: true }) as number,
      this.connection.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() as number,
    ])() as [number, number, number];
    if (id !== APPLICATION_ID && (id !== 0 || version !== 0 || tables > 0)) {
      throw new Failure(
        'STORE_UNREADABLE',
        `${this.#path} is the database of another program.`,
        'Point store: in pagecast.yaml to another file.',
      );
    }
  }

  #migrate(): void {
    const files = readdirSync(MIGRATIONS)
      .filter((file) => /^\d{4}_.*\.sql$/.test(file))
      .sort();
    const newest = files.length;
    const apply = this.connection.transaction(() => {
      // Read again inside: two processes may have come this far together.
      const version = this.#version();
      if (version > newest) {
        throw new Failure(
          'STORE_NEWER',
          `The store ${this.#path} was made by a newer pagecast (schema ${version}; this one knows ${newest}).`,
          'Update pagecast. An older one could send to people twice.',
        );
      }
      for (const file of files.slice(version)) {
        this.connection.exec(readFileSync(MIGRATIONS + file, 'utf8'));
      }
      this.connection.pragma(`application_id = ${APPLICATION_ID}`);
      this.connection.pragma(`user_version = ${newest}`);
    });
    if (this.#version() !== newest) apply.immediate();
  }
}
