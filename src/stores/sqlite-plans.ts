/**
 * Plans that are not approved yet. They are kept in temporary tables: nobody else can see them, a crash leaves nothing of
 * them, and however large one is, it holds up no other process.
 */
import { Failure } from '../core/failure.js';
import type { SkipReason } from '../core/plan.js';
import { RESEND_AFTER_MS } from '../core/policy.js';
import type { Approval, NewCampaign, QueuePlace, Refusal, StagedRow } from '../ports.js';
import type { SqliteCampaigns } from './sqlite-campaigns.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { BATCH, NO_CLOSING } from './sqlite-records.js';
import type { SqliteRecurrences } from './sqlite-recurrences.js';

interface Planned {
  /** Holds its rows. */
  table: string;
  campaign: NewCampaign;
}

export class SqlitePlans {
  readonly #file: SqliteDatabase;
  readonly #campaigns: SqliteCampaigns;
  readonly #recurrences: SqliteRecurrences;
  readonly #plans = new Map<string, Planned>();

  constructor(file: SqliteDatabase, campaigns: SqliteCampaigns, recurrences: SqliteRecurrences) {
    this.#file = file;
    this.#campaigns = campaigns;
    this.#recurrences = recurrences;
  }

  draft(plan: NewCampaign): Promise<void> {
    return this.#file.run(() => {
      const table = `staged_${this.#plans.size + 1}_${plan.id.replace(/\W/g, '_')}`;
      this.#file.connection.exec(
        `CREATE TEMP TABLE ${table} (
           seq INTEGER PRIMARY KEY, user_id TEXT, "values" TEXT, reason TEXT, opener TEXT, closes_at INTEGER, outside INTEGER
         )`,
      );
      this.#plans.set(plan.id, { table, campaign: plan });
    });
  }

  stage(plan: string, rows: readonly StagedRow[]): Promise<void> {
    return this.#file.run(() => {
      const insert = this.#file.sql(
        `INSERT INTO ${this.#plan(plan).table} (seq, user_id, "values", reason, opener, closes_at, outside)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
      );
      this.#file.connection.transaction(() => {
        for (const { seq, userId, values, reason, opener, closesAt, outside } of rows) {
          insert.run(seq, userId, JSON.stringify(values), reason, opener, closesAt, Number(outside));
        }
      })();
    });
  }

  async *order(plan: string): AsyncIterable<QueuePlace[]> {
    const { table } = this.#plan(plan);
    await this.#file.run(() => {
      this.#file.connection.exec(
        `DROP TABLE IF EXISTS temp.${table}_order;
         CREATE TEMP TABLE ${table}_order (place INTEGER PRIMARY KEY, seq INTEGER, closes_at INTEGER);
         INSERT INTO ${table}_order (seq, closes_at)
         SELECT seq, closes_at FROM ${table} WHERE reason IS NULL ORDER BY closes_at NULLS LAST, seq`,
      );
    });
    let after = 0;
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#file
            .sql(`SELECT seq, closes_at AS closesAt FROM ${table}_order WHERE place > ? ORDER BY place LIMIT ${BATCH}`)
            .all(from) as QueuePlace[],
      );
      if (page.length === 0) return;
      after += page.length;
      yield page;
    }
  }

  async *stagedQueue(plan: string): AsyncIterable<StagedRow[]> {
    const { table } = this.#plan(plan);
    let after = -1;
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#file
            .sql(
              `SELECT seq, user_id AS userId, "values", reason, opener, closes_at AS closesAt, outside FROM ${table}
             WHERE seq > ? AND reason IS NULL ORDER BY seq LIMIT ${BATCH}`,
            )
            .all(from) as (Omit<StagedRow, 'values' | 'outside'> & { values: string; outside: 0 | 1 })[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.seq;
      yield page.map((row) => ({
        ...row,
        values: JSON.parse(row.values) as string[],
        outside: row.outside === 1,
      }));
    }
  }

  leaveOut(plan: string, seqs: readonly number[], reason: SkipReason): Promise<number> {
    return this.#file.run(() => {
      const skip = this.#file.sql(
        `UPDATE ${this.#plan(plan).table} SET reason = ?, closes_at = NULL WHERE seq = ? AND reason IS NULL`,
      );
      return this.#file.connection.transaction(() => {
        let left = 0;
        for (const seq of seqs) left += skip.run(reason, seq).changes;
        return left;
      })();
    });
  }

  moveOutside(plan: string, seqs: readonly number[]): Promise<void> {
    return this.#file.run(() => {
      const move = this.#file.sql(`UPDATE ${this.#plan(plan).table} SET outside = 1, closes_at = NULL WHERE seq = ?`);
      this.#file.connection.transaction(() => {
        for (const seq of seqs) move.run(seq);
      })();
    });
  }

  discard(plan: string): Promise<void> {
    return this.#file.run(() => {
      const planned = this.#plans.get(plan);
      if (!planned) return;
      this.#plans.delete(plan);
      const { table } = planned;
      this.#file.forget(table);
      this.#file.connection.exec(`DROP TABLE IF EXISTS temp.${table}_order; DROP TABLE temp.${table}`);
    });
  }

  async approve(plan: string, approval: Approval): Promise<Refusal | null> {
    const { table, campaign } = this.#plan(plan);
    const refusal = await this.#file.write(() => {
      const standing = this.#standingFor(campaign, approval);
      if (standing) return standing;
      const { id, account, accountName, template, variables, source, pace, timing, outside } = campaign;
      const { lastInsertRowid } = this.#file
        .sql(
          `INSERT INTO campaigns (id, account, account_name, template, variables, source, pace, state, digest, policy, budget,
           key, recurrence, occurs_at, send_at, expires_at, zone, outside, approved_at, active_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          id,
          account,
          accountName,
          JSON.stringify(template),
          JSON.stringify(variables),
          source,
          Number.isFinite(pace) ? pace : null,
          timing === null ? 'ready' : 'scheduled',
          approval.digest,
          approval.policy,
          JSON.stringify(approval.budget),
          approval.key ?? null,
          approval.occurrence?.recurrence ?? null,
          approval.occurrence?.at ?? null,
          timing?.sendAt ?? null,
          timing?.expiresAt ?? null,
          timing?.zone ?? null,
          outside && JSON.stringify(outside),
          approval.now,
          approval.now,
        );
      this.#file
        .sql(
          `INSERT INTO messages (campaign, seq, user_id, "values", state, reason, planned, opener, closes_at, outside)
         SELECT ?, seq, user_id, "values", iif(reason IS NULL, 'queued', 'skipped'), reason, reason, opener,
           iif(reason IS NULL, coalesce(closes_at, ${NO_CLOSING}), closes_at), outside
         FROM ${table} ORDER BY seq`,
        )
        .run(lastInsertRowid);
      return null;
    });
    if (refusal === null) await this.discard(plan);
    return refusal;
  }

  /** The campaign that stands in the way of a new one. */
  #standingFor({ account }: NewCampaign, approval: Approval): Refusal | null {
    const { key, occurrence, digest, again, now } = approval;
    const withKey = key === undefined ? null : this.#campaigns.withKey(key);
    if (withKey) return { because: 'key', campaign: withKey };
    const planned = occurrence && this.#campaigns.of(occurrence);
    if (planned) return { because: 'occurrence', campaign: planned };
    if (occurrence) this.#recurrences.require(occurrence.recurrence, occurrence.at);
    const before = again ? null : this.#campaigns.sentBefore(account, digest, now - RESEND_AFTER_MS);
    return before && { because: 'sent_before', campaign: before };
  }

  #plan(id: string): Planned {
    const planned = this.#plans.get(id);
    if (!planned) throw new Failure('CAMPAIGN_UNKNOWN', `There is no plan ${id}.`);
    return planned;
  }
}
