/** What is known of people: the events that open their windows, and whether they wish to be written to. */
import type { OptOutChange, OptOutSource } from '../core/opt-out.js';
import type { Standing } from '../core/plan.js';
import { enabledOpeners, type LastOpener, type Opener, type WindowSettings } from '../core/window.js';
import type { OpenerEvent, OptOut, WindowSync } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { BATCH } from './sqlite-records.js';

interface OptOutRecord {
  /** When they last opted out. */
  since: number | null;
  source: OptOutSource;
  /** When they last opted back in. */
  backAt: number | null;
}

const NEVER: OptOutRecord = { since: null, source: 'service', backAt: null };
/** Those of `opt_outs` who have not opted back in. */
const IS_OUT = `o.since >= coalesce(o.back_at, o.since)`;

export class SqlitePeople {
  readonly #file: SqliteDatabase;

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  /** Inside a write. @returns whether a window moved */
  opened(account: string, { userId, opener, openedAt }: OpenerEvent): boolean {
    const upsert = this.#file.sql(
      `INSERT INTO windows (account, user_id, opener, opened_at) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET opened_at = excluded.opened_at WHERE excluded.opened_at > opened_at`,
    );
    return upsert.run(account, userId, opener, openedAt).changes > 0;
  }

  openersOf(account: string, userId: string): LastOpener[] {
    return this.#file
      .sql(
        `SELECT opener, opened_at AS openedAt FROM windows WHERE account = ? AND user_id = ? ORDER BY opened_at DESC`,
      )
      .all(account, userId) as LastOpener[];
  }

  recent(account: string, window: WindowSettings, limit: number): ({ userId: string } & LastOpener)[] {
    return this.#file
      .sql(
        // The opener is that of the row with the maximum (SQLite, bare columns in an aggregate query).
        `SELECT user_id AS userId, opener, max(opened_at) AS openedAt FROM windows
         WHERE account = ? AND opener IN (SELECT value FROM json_each(?))
         GROUP BY user_id ORDER BY openedAt DESC, user_id LIMIT ?`,
      )
      .all(account, JSON.stringify(enabledOpeners(window)), limit) as ({ userId: string } & LastOpener)[];
  }

  async *everybody(account: string): AsyncIterable<string[]> {
    let after = '';
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#file
            .sql(
              `SELECT DISTINCT user_id FROM windows WHERE account = ? AND user_id > ? ORDER BY user_id LIMIT ${BATCH}`,
            )
            .pluck()
            .all(account, from) as string[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = last;
      yield page;
    }
  }

  sync(account: string): WindowSync | null {
    const sync = this.#file
      .sql(`SELECT started_at AS startedAt, cursor, read_until AS readUntil FROM window_syncs WHERE account = ?`)
      .get(account) as WindowSync | undefined;
    return sync ?? null;
  }

  keepSync(account: string, { startedAt, cursor, readUntil }: WindowSync): void {
    this.#file
      .sql(
        `INSERT INTO window_syncs (account, started_at, cursor, read_until) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET started_at = excluded.started_at, cursor = excluded.cursor, read_until = excluded.read_until`,
      )
      .run(account, startedAt, cursor, readUntil);
  }

  standings(account: string, userIds: readonly string[], window: WindowSettings): Standing[] {
    const enabled = new Set<Opener>(enabledOpeners(window));
    const standings = userIds.map((): Standing => ({ last: null, optedOutAt: null }));
    const ids = JSON.stringify(userIds);
    // One statement for all of them: a call for each would take twice as long, and a list of openers in it six times.
    const windows = this.#file
      .sql(
        `SELECT j.key, w.opened_at, w.opener FROM json_each(?) j CROSS JOIN windows w ON w.account = ? AND w.user_id = j.value`,
      )
      .raw()
      .all(ids, account) as [number, number, Opener][];
    for (const [index, openedAt, opener] of windows) {
      const standing = standings[index];
      if (standing && enabled.has(opener) && openedAt > (standing.last?.openedAt ?? -Infinity)) {
        standing.last = { openedAt, opener };
      }
    }
    const optOuts = this.#file.sql(
      `SELECT j.key, o.since FROM json_each(?) j CROSS JOIN opt_outs o ON o.account = ? AND o.user_id = j.value
       WHERE ${IS_OUT}`,
    );
    const anyOptOut = this.#file.sql(`SELECT 1 FROM opt_outs WHERE account = ? LIMIT 1`).get(account) !== undefined;
    for (const [index, since] of anyOptOut ? (optOuts.raw().all(ids, account) as [number, number][]) : []) {
      const standing = standings[index];
      if (standing) standing.optedOutAt = since;
    }
    return standings;
  }

  /**
   * Inside a write. Both instants only move forward, so the order in which changes are told does not matter.
   * @returns whether the person was, and is, opted out
   */
  changeOptOut({ account, userId, at, out, source }: OptOutChange): { was: boolean; is: boolean } {
    const kept =
      (this.#file
        .sql(`SELECT since, source, back_at AS backAt FROM opt_outs WHERE account = ? AND user_id = ?`)
        .get(account, userId) as OptOutRecord | undefined) ?? NEVER;
    const isLater = out
      ? // Of two that tell of the same instant one stands, in whatever order they came.
        kept.since === null || at > kept.since || (at === kept.since && source < kept.source)
      : kept.backAt === null || at > kept.backAt;
    if (!isLater) return { was: isOut(kept), is: isOut(kept) };
    const changed: OptOutRecord = out ? { ...kept, since: at, source } : { ...kept, backAt: at };
    this.#file
      .sql(
        `INSERT INTO opt_outs (account, user_id, since, source, back_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET since = excluded.since, source = excluded.source, back_at = excluded.back_at`,
      )
      .run(account, userId, changed.since, changed.source, changed.backAt);
    return { was: isOut(kept), is: isOut(changed) };
  }

  async *optOuts(account: string): AsyncIterable<OptOut[]> {
    let after = '';
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#file
            .sql(
              `SELECT user_id AS userId, since, source FROM opt_outs o
               WHERE account = ? AND user_id > ? AND ${IS_OUT} ORDER BY user_id LIMIT ${BATCH}`,
            )
            .all(account, from) as OptOut[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.userId;
      yield page;
    }
  }
}

function isOut({ since, backAt }: OptOutRecord): boolean {
  return since !== null && (backAt === null || since >= backAt);
}
