/**
 * The ledger, the windows and the opt-outs in one SQLite file. Every write of a run checks the lease in the same
 * transaction, so whoever has lost an account can no longer change its rows.
 */
import type Database from 'better-sqlite3';
import {
  hasEnded,
  ROW_STATES,
  type CampaignMode,
  type CampaignState,
  type Counts,
  type FailureBudget,
  type ReceiptKind,
  type RowState,
} from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { SkipReason, Standing } from '../core/plan.js';
import { RESEND_AFTER_MS } from '../core/policy.js';
import { settlesRow, standsAgainst, tellsOptOut, type KeptReceipt } from '../core/receipt.js';
import type { Template } from '../core/template.js';
import { enabledOpeners, type LastOpener, type Opener, type WindowSettings } from '../core/window.js';
import type {
  Approval,
  Campaign,
  CampaignSummary,
  Echo,
  Lease,
  MessageFilter,
  MessageRow,
  NewCampaign,
  Occurrence,
  OpenerEvent,
  QueuePlace,
  QueuedRow,
  Receipt,
  Recurrence,
  Refusal,
  ReplannedRow,
  RequeuedRow,
  Resolution,
  RunStep,
  StagedRow,
  Store,
  TimelineSpan,
  WindowSync,
} from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';

/** Stands for "no window needed" in the queue's index, after every real closing time. */
const NO_CLOSING = Number.MAX_SAFE_INTEGER;
const BATCH = 10_000;

interface CampaignRecord {
  number: number;
  id: string;
  account: string;
  account_name: string;
  template: string;
  variables: string;
  source: string;
  pace: number | null;
  state: CampaignState;
  stop: string | null;
  digest: string;
  budget: string;
  key: string | null;
  recurrence: string | null;
  occurs_at: number | null;
  send_at: number | null;
  expires_at: number | null;
  zone: string | null;
  mode: CampaignMode;
  outside: string | null;
  approved_at: number;
  started_at: number | null;
  active_at: number;
  finished_at: number | null;
}

interface RecurrenceRecord {
  id: string;
  account: string;
  settings: string;
  created_at: number;
  next_at: number | null;
  last: string | null;
}

interface MessageRecord {
  number: number;
  campaign: string;
  seq: number;
  user_id: string;
  values: string;
  state: RowState;
  reason: SkipReason | null;
  opener: Opener | null;
  closes_at: number | null;
  attempts: number;
  started_at: number | null;
  settled_at: number | null;
  message_id: string | null;
  error: string | null;
  outside: 0 | 1;
  receipt: ReceiptKind | null;
  receipt_at: number | null;
  receipt_error: string | null;
}

/** A plan that is not approved yet: its rows are in a temporary table of this connection. */
interface Planned {
  table: string;
  campaign: NewCampaign;
}

export class SqliteStore implements Store {
  readonly #file: SqliteDatabase;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #numbers = new Map<string, number>();
  readonly #plans = new Map<string, Planned>();

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  recordOpeners(account: string, events: readonly OpenerEvent[]): Promise<number> {
    return this.#file.write(() => {
      const upsert = this.#sql(
        `INSERT INTO windows (account, user_id, opener, opened_at) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET opened_at = excluded.opened_at WHERE excluded.opened_at > opened_at`,
      );
      let moved = 0;
      for (const event of events) moved += upsert.run(account, event.userId, event.opener, event.openedAt).changes;
      return moved;
    });
  }

  openersOf(account: string, userId: string): Promise<LastOpener[]> {
    return this.#file.run(
      () =>
        this.#sql(
          `SELECT opener, opened_at AS openedAt FROM windows WHERE account = ? AND user_id = ? ORDER BY opened_at DESC`,
        ).all(account, userId) as LastOpener[],
    );
  }

  async *people(account: string): AsyncIterable<string[]> {
    let after = '';
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#sql(
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

  windowSync(account: string): Promise<WindowSync | null> {
    return this.#file.run(() => {
      const sync = this.#sql(
        `SELECT started_at AS startedAt, cursor, read_until AS readUntil FROM window_syncs WHERE account = ?`,
      ).get(account) as WindowSync | undefined;
      return sync ?? null;
    });
  }

  keepWindowSync(account: string, { startedAt, cursor, readUntil }: WindowSync): Promise<void> {
    return this.#file.write(() => {
      this.#sql(
        `INSERT INTO window_syncs (account, started_at, cursor, read_until) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET started_at = excluded.started_at, cursor = excluded.cursor, read_until = excluded.read_until`,
      ).run(account, startedAt, cursor, readUntil);
    });
  }

  standings(account: string, userIds: readonly string[], window: WindowSettings): Promise<Standing[]> {
    return this.#file.run(() => {
      const enabled = new Set<Opener>(enabledOpeners(window));
      const standings = userIds.map((): Standing => ({ last: null, optedOut: false }));
      const ids = JSON.stringify(userIds);
      // One statement for all of them: a call for each would take twice as long, and a list of openers in it six times.
      const windows = this.#sql(
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
      const optOuts = this.#sql(
        `SELECT j.key FROM json_each(?) j CROSS JOIN opt_outs o ON o.account = ? AND o.user_id = j.value`,
      );
      const anyOptOut = this.#sql(`SELECT 1 FROM opt_outs WHERE account = ? LIMIT 1`).get(account) !== undefined;
      for (const index of anyOptOut ? (optOuts.pluck().all(ids, account) as number[]) : []) {
        const standing = standings[index];
        if (standing) standing.optedOut = true;
      }
      return standings;
    });
  }

  // A plan is kept in temporary tables: nobody else can see it, a crash leaves nothing of it, and however large it is, it
  // holds up no other process.

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
      const insert = this.#sql(
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
          this.#sql(
            `SELECT seq, closes_at AS closesAt FROM ${table}_order WHERE place > ? ORDER BY place LIMIT ${BATCH}`,
          ).all(from) as QueuePlace[],
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
          this.#sql(
            `SELECT seq, user_id AS userId, "values", reason, opener, closes_at AS closesAt, outside FROM ${table}
             WHERE seq > ? AND reason IS NULL ORDER BY seq LIMIT ${BATCH}`,
          ).all(from) as (Omit<StagedRow, 'values' | 'outside'> & { values: string; outside: 0 | 1 })[],
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
      const skip = this.#sql(
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
      const move = this.#sql(`UPDATE ${this.#plan(plan).table} SET outside = 1, closes_at = NULL WHERE seq = ?`);
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
      for (const text of this.#statements.keys()) if (text.includes(table)) this.#statements.delete(text);
      this.#file.connection.exec(`DROP TABLE IF EXISTS temp.${table}_order; DROP TABLE temp.${table}`);
    });
  }

  sentBefore(account: string, digest: string, since: number): Promise<Campaign | null> {
    return this.#file.run(() => this.#sentBefore(account, digest, since));
  }

  campaignOf({ recurrence, at }: Occurrence): Promise<Campaign | null> {
    return this.#file.run(() =>
      this.#one(`SELECT * FROM campaigns WHERE recurrence = ? AND occurs_at = ?`, recurrence, at),
    );
  }

  campaignWithKey(key: string): Promise<Campaign | null> {
    return this.#file.run(() => this.#one(`SELECT * FROM campaigns WHERE key = ?`, key));
  }

  async approve(plan: string, approval: Approval): Promise<Refusal | null> {
    const { table, campaign } = this.#plan(plan);
    const refusal = await this.#file.write(() => {
      const standing = this.#standingFor(campaign, approval);
      if (standing) return standing;
      const { id, account, accountName, template, variables, source, pace, timing, mode, outside } = campaign;
      const { lastInsertRowid } = this.#sql(
        `INSERT INTO campaigns (id, account, account_name, template, variables, source, pace, state, digest, policy, budget,
           key, recurrence, occurs_at, send_at, expires_at, zone, mode, outside, approved_at, active_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ).run(
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
        mode,
        outside && JSON.stringify(outside),
        approval.now,
        approval.now,
      );
      this.#sql(
        `INSERT INTO messages (campaign, seq, user_id, "values", state, reason, planned, opener, closes_at, outside)
         SELECT ?, seq, user_id, "values", iif(reason IS NULL, 'queued', 'skipped'), reason, reason, opener,
           iif(reason IS NULL, coalesce(closes_at, ${NO_CLOSING}), closes_at), outside
         FROM ${table} ORDER BY seq`,
      ).run(lastInsertRowid);
      return null;
    });
    if (refusal === null) await this.discard(plan);
    return refusal;
  }

  /** The campaign that stands in the way of a new one. */
  #standingFor({ account }: NewCampaign, approval: Approval): Refusal | null {
    const { key, occurrence, digest, again, now } = approval;
    const withKey = key === undefined ? null : this.#one(`SELECT * FROM campaigns WHERE key = ?`, key);
    if (withKey) return { because: 'key', campaign: withKey };
    const planned =
      occurrence &&
      this.#one(`SELECT * FROM campaigns WHERE recurrence = ? AND occurs_at = ?`, occurrence.recurrence, occurrence.at);
    if (planned) return { because: 'occurrence', campaign: planned };
    if (occurrence) this.#requireRecurrence(occurrence.recurrence, occurrence.at);
    const before = again ? null : this.#sentBefore(account, digest, now - RESEND_AFTER_MS);
    return before && { because: 'sent_before', campaign: before };
  }

  /** Planning takes a while, and somebody may have ended the recurrence meanwhile. */
  #requireRecurrence(id: string, at: number): void {
    const next = this.#sql(`SELECT next_at FROM recurrences WHERE id = ?`).pluck().get(id) as number | null | undefined;
    if (next === null || next === undefined || next > at)
      throw new Failure('RECURRENCE_UNKNOWN', `The schedule ${id} has ended; nothing was sent.`);
  }

  replan(lease: Lease, campaign: string, rows: readonly ReplannedRow[]): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      this.#require(campaign, ['scheduled']);
      const number = this.#number(campaign);
      const update = this.#sql(
        `UPDATE messages SET state = iif(@reason IS NULL, 'queued', 'skipped'), reason = @reason, opener = coalesce(@opener, opener),
           closes_at = iif(@reason IS NULL, coalesce(@closesAt, ${NO_CLOSING}), NULL), outside = @outside
         WHERE campaign = @number AND seq = @seq AND state IN ('queued', 'skipped')`,
      );
      for (const row of rows) update.run({ ...row, number, outside: Number(row.outside) });
    });
  }

  async *queue(campaign: string): AsyncIterable<QueuePlace[]> {
    let after: [number, number] = [-1, -1];
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#sql(
            `SELECT seq, closes_at AS closesAt FROM messages
             WHERE campaign = ? AND state = 'queued' AND (closes_at, seq) > (?, ?) ORDER BY closes_at, seq LIMIT ${BATCH}`,
          ).all(this.#number(campaign), ...from) as { seq: number; closesAt: number }[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = [last.closesAt, last.seq];
      yield page.map(({ seq, closesAt }) => ({ seq, closesAt: closing(closesAt) }));
    }
  }

  expire(lease: Lease, campaign: string, now: number): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      this.#require(campaign, ['scheduled']);
      this.#end(campaign, 'expired', now);
    });
  }

  pause(campaign: string, now: number): Promise<void> {
    return this.#file.write(() => {
      this.#require(campaign, ['scheduled', 'ready', 'running', 'paused', 'stopped']);
      const stop: Campaign['stop'] = { cause: 'person', error: null, at: now };
      this.#sql(`UPDATE campaigns SET state = 'paused', stop = ? WHERE id = ?`).run(JSON.stringify(stop), campaign);
    });
  }

  reschedule(campaign: string): Promise<void> {
    return this.#file.write(() => {
      const { started_at, send_at } = this.#require(campaign, ['paused']);
      if (started_at !== null || send_at === null) throw wrongState(this.#record(campaign));
      this.#sql(`UPDATE campaigns SET state = 'scheduled', stop = NULL WHERE id = ?`).run(campaign);
    });
  }

  cancel(campaign: string, now: number): Promise<number> {
    return this.#file.write(() => {
      this.#require(campaign, ['scheduled', 'ready', 'running', 'paused', 'stopped']);
      return this.#end(campaign, 'cancelled', now);
    });
  }

  /** @returns how many rows were left out by that */
  #end(campaign: string, state: 'expired' | 'cancelled', now: number): number {
    const number = this.#number(campaign);
    this.#sql(`UPDATE campaigns SET state = ?, stop = NULL, finished_at = ? WHERE number = ?`).run(state, now, number);
    return this.#leaveOutQueued(number, state, now);
  }

  #leaveOutQueued(number: number, reason: 'expired' | 'cancelled', now: number): number {
    return this.#sql(
      `UPDATE messages SET state = 'skipped', reason = ?, settled_at = ? WHERE campaign = ? AND state = 'queued'`,
    ).run(reason, now, number).changes;
  }

  start(lease: Lease, campaign: string, now: number, seen?: Pick<Campaign, 'state' | 'stop'>): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const record = this.#record(campaign);
      const stop = seen?.stop ? JSON.stringify(seen.stop) : null;
      if (seen && (record.state !== seen.state || record.stop !== stop)) throw wrongState(record);
      const { changes } = this.#sql(
        // A worker that tries a stopped one again and again does not make it any younger.
        `UPDATE campaigns SET state = 'running', stop = NULL, started_at = coalesce(started_at, @now),
           active_at = iif(state = 'stopped', active_at, @now)
         WHERE id = @campaign AND account = @account AND state IN ('scheduled', 'ready', 'running', 'paused', 'stopped')`,
      ).run({ now, campaign, account: lease.account });
      if (changes === 0) throw wrongState(this.#record(campaign));
    });
  }

  next(campaign: string, limit: number, now: number): Promise<QueuedRow[]> {
    return this.#file.run(() => {
      const rows = this.#sql(
        `SELECT seq, user_id, "values", attempts FROM messages
         WHERE campaign = ? AND state = 'queued' AND (not_before IS NULL OR not_before <= ?)
         ORDER BY closes_at, seq LIMIT ?`,
      )
        .raw()
        .all(this.#number(campaign), now, limit) as [number, string, string, number][];
      return rows.map(([seq, userId, values, attempts]) => ({
        seq,
        userId,
        values: JSON.parse(values) as string[],
        attempts,
      }));
    });
  }

  nextAttemptAt(campaign: string): Promise<number | null> {
    return this.#file.run(
      () =>
        this.#sql(
          `SELECT min(coalesce(not_before, 0)) FROM messages INDEXED BY messages_queue WHERE campaign = ? AND state = 'queued'`,
        )
          .pluck()
          .get(this.#number(campaign)) as number | null,
    );
  }

  record(lease: Lease, campaign: string, step: RunStep, now: number): Promise<boolean> {
    return this.#file.write(() => {
      this.#fence(lease);
      const number = this.#number(campaign);
      const settled = this.#sql(
        `UPDATE messages SET state = ?, settled_at = ?, message_id = ?, error = ?, not_before = ?, attempts = attempts - ?
         WHERE campaign = ? AND seq = ? AND state = 'started' AND fence = ?`,
      );
      const started = this.#sql(
        `UPDATE messages SET state = 'started', fence = ?, started_at = ?, attempts = attempts + 1, outside = ?
         WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const skipped = this.#sql(
        `UPDATE messages SET state = 'skipped', reason = ?, settled_at = ? WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const optOut = this.#sql(
        `INSERT INTO opt_outs (account, user_id, since) SELECT ?, user_id, ? FROM messages WHERE campaign = ? AND seq = ?
         ON CONFLICT DO NOTHING`,
      );
      const expect = (changes: number): void => {
        // A row that is not as this run left it has been touched by somebody else: never send it.
        if (changes === 0) throw leaseLost(lease);
      };

      for (const { seq, state, messageId, error, notBefore, uncounted, optedOut } of step.settled) {
        const echoed = state === 'sent' ? undefined : this.#echoOf(number, seq);
        const { changes } = settled.run(
          echoed === undefined ? state : 'sent',
          now,
          echoed ?? messageId ?? null,
          error && echoed === undefined ? JSON.stringify(error) : null,
          notBefore ?? null,
          uncounted === true ? 1 : 0,
          number,
          seq,
          lease.fence,
        );
        expect(changes);
        if (optedOut === true) optOut.run(lease.account, now, number, seq);
      }
      if (step.settled.some((one) => one.state === 'sent'))
        this.#sql(`UPDATE campaigns SET active_at = ? WHERE number = ? AND active_at < ?`).run(
          now,
          number,
          now - 60_000,
        );
      const state = this.#sql(`SELECT state FROM campaigns WHERE number = ?`).pluck().get(number) as CampaignState;
      if (state !== 'running') {
        // What came back for another attempt comes back to a campaign that makes none any more.
        if (state === 'cancelled') this.#leaveOutQueued(number, state, now);
        return false;
      }
      for (const { seq, reason } of step.skipped) skipped.run(reason, now, number, seq);
      for (const { seq, outside } of step.started)
        expect(started.run(lease.fence, now, Number(outside), number, seq).changes);
      return true;
    });
  }

  conclude(
    lease: Lease,
    campaign: string,
    end: { state: 'finished' | 'paused' | 'running' } | { state: 'stopped'; stop: NonNullable<Campaign['stop']> },
    now: number,
  ): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      if (end.state === 'finished') {
        const open = this.#sql(`SELECT 1 FROM messages WHERE campaign = ? AND state IN ('queued', 'started') LIMIT 1`);
        if (open.get(this.#number(campaign)) !== undefined) {
          throw new Failure('CAMPAIGN_STATE', `Campaign ${campaign} has messages left and cannot be finished.`);
        }
      }
      this.#sql(`UPDATE campaigns SET state = ?, stop = ?, finished_at = ? WHERE id = ? AND state = 'running'`).run(
        end.state,
        end.state === 'stopped' ? JSON.stringify(end.stop) : null,
        end.state === 'finished' ? now : null,
        campaign,
      );
    });
  }

  requeue(lease: Lease, campaign: string, rows: readonly RequeuedRow[]): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const number = this.#number(campaign);
      const back = this.#sql(
        `UPDATE messages SET state = 'queued', reason = NULL, closes_at = ?, not_before = NULL, attempts = 0,
           settled_at = NULL, error = NULL
         WHERE campaign = ? AND seq = ? AND state = ?`,
      );
      for (const { seq, closesAt, from } of rows) {
        if (this.#echoOf(number, seq) === undefined && back.run(closesAt ?? NO_CLOSING, number, seq, from).changes > 0)
          continue;
        throw new Failure(
          'COUNT_DIFFERS',
          `Row ${seq} of campaign ${campaign} is no longer ${from}; nothing was sent.`,
          'Somebody else has sent it again. Look at the campaign, then retry what is left.',
        );
      }
      // From now on it goes out when a person says so, whatever time it had been given.
      this.#sql(
        `UPDATE campaigns SET state = 'ready', started_at = coalesce(started_at, finished_at), finished_at = NULL
         WHERE number = ?`,
      ).run(number);
    });
  }

  recordEchoes(account: string, echoes: readonly Echo[], now: number): Promise<number> {
    return this.#file.write(() => {
      const keep = this.#sql(
        `INSERT INTO echoes (campaign, seq, message_id, at)
         SELECT c.number, m.seq, ?, ? FROM campaigns c JOIN messages m ON m.campaign = c.number AND m.seq = ?
         WHERE c.id = ? AND c.account = ? AND m.state = 'started' ON CONFLICT DO NOTHING`,
      );
      const settle = this.#sql(
        `UPDATE messages SET state = 'sent', reason = NULL, message_id = ?, error = NULL, settled_at = ?
         WHERE campaign = (SELECT number FROM campaigns WHERE id = ? AND account = ?) AND seq = ?
           AND started_at IS NOT NULL AND state IN ('unknown', 'queued', 'failed', 'skipped')`,
      );
      let settled = 0;
      for (const { campaign, seq, messageId } of echoes) {
        keep.run(messageId, now, seq, campaign, account);
        settled += settle.run(messageId, now, campaign, account, seq).changes;
      }
      return settled;
    });
  }

  async recordReceipts(
    account: string,
    receipts: readonly Receipt[],
    now: number,
  ): Promise<{ matched: number; settled: number }> {
    const rows = await this.#file.run(() => this.#rowsOfReceipts(account, receipts));
    return this.#file.write(() => {
      const read = this.#sql(
        `SELECT user_id, state, started_at, receipt, receipt_at, receipt_error FROM messages WHERE campaign = ? AND seq = ?`,
      );
      const settle = this.#sql(
        `UPDATE messages SET state = 'sent', reason = NULL, message_id = ?, error = NULL, settled_at = ?
         WHERE campaign = ? AND seq = ?`,
      );
      const echo = this.#sql(
        `INSERT INTO echoes (campaign, seq, message_id, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      );
      const keep = this.#sql(
        `UPDATE messages SET receipt = ?, receipt_at = ?, receipt_error = ? WHERE campaign = ? AND seq = ?`,
      );
      const optOut = this.#sql(
        `INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
      );
      let matched = 0;
      let settled = 0;
      for (const [index, { messageId, campaign, kind, at, error }] of receipts.entries()) {
        const place = rows.get(index);
        if (place === undefined) continue;
        const [number, seq] = place;
        const row = read.get(number, seq) as Pick<
          MessageRecord,
          'user_id' | 'state' | 'started_at' | 'receipt' | 'receipt_at' | 'receipt_error'
        >;
        if (row.state !== 'sent' && (campaign === null || row.started_at === null)) continue;
        if (tellsOptOut(error)) optOut.run(account, row.user_id, now);
        if (row.state === 'started') {
          // One that was not delivered may be of an earlier attempt, and must not stand for the answer to this one.
          if (kind !== 'undelivered') echo.run(number, seq, messageId, now);
        } else if (settlesRow(kind, row.state)) settled += settle.run(messageId, now, number, seq).changes;
        matched += 1;
        if (kind !== null && standsAgainst({ kind, at, error }, toReceipt(row)))
          keep.run(kind, at, error && JSON.stringify(error), number, seq);
      }
      return { matched, settled };
    });
  }

  /**
   * The row that each receipt is about, by the receipt's place among them. Message ids have no index, since it would slow
   * down every sending: whoever is named is looked up, and the others are found in one pass over the account's messages.
   */
  #rowsOfReceipts(account: string, receipts: readonly Receipt[]): Map<number, [campaign: number, seq: number]> {
    const rows = new Map<number, [number, number]>();
    const ambiguous = new Set<number>();
    const found = (index: number, campaign: number, seq: number): void => {
      // An id that a whole batch shares names nobody.
      if (rows.has(index)) ambiguous.add(index);
      rows.set(index, [campaign, seq]);
    };
    const those = (wanted: (receipt: Receipt) => boolean): string =>
      JSON.stringify(
        receipts.flatMap((one, index) => (wanted(one) ? [[index, one.campaign, one.userId, one.messageId]] : [])),
      );

    const byCampaign = this.#sql(
      `SELECT r.value ->> 0, m.campaign, m.seq FROM json_each(?) r
       CROSS JOIN campaigns c ON c.id = r.value ->> 1 AND c.account = ?
       CROSS JOIN messages m INDEXED BY messages_one_per_person
         ON m.user_id = r.value ->> 2 AND m.campaign = c.number
         AND (m.reason IS NULL OR m.reason NOT IN ('duplicate', 'invalid'))`,
    );
    const byPerson = this.#sql(
      `SELECT r.value ->> 0, m.campaign, m.seq FROM json_each(?) r
       CROSS JOIN messages m INDEXED BY messages_one_per_person
         ON m.user_id = r.value ->> 2 AND m.reason IS NULL AND m.message_id = r.value ->> 3
       CROSS JOIN campaigns c ON c.number = m.campaign AND c.account = ?`,
    );
    for (const [statement, chosen] of [
      [byCampaign, those(({ userId, campaign }) => userId !== null && campaign !== null)],
      [byPerson, those(({ userId, campaign }) => userId !== null && campaign === null)],
    ] as const) {
      for (const row of statement.raw().all(chosen, account) as [number, number, number][]) found(...row);
    }

    const indexes = new Map<string, number[]>();
    receipts.forEach(({ userId, messageId }, index) => {
      if (userId !== null) return;
      const same = indexes.get(messageId);
      if (same) same.push(index);
      else indexes.set(messageId, [index]);
    });
    if (indexes.size > 0) {
      const scan = this.#sql(
        `SELECT m.message_id, m.campaign, m.seq FROM campaigns c CROSS JOIN messages m ON m.campaign = c.number
         WHERE c.account = ? AND m.message_id IN (SELECT value FROM json_each(?))`,
      );
      const ids = JSON.stringify([...indexes.keys()]);
      for (const [id, campaign, seq] of scan.raw().all(account, ids) as [string, number, number][]) {
        for (const index of indexes.get(id) ?? []) found(index, campaign, seq);
      }
    }
    for (const index of ambiguous) rows.delete(index);
    return rows;
  }

  /** The message id that came back of a row's message; undefined when none has. */
  #echoOf(number: number, seq: number): string | undefined {
    return this.#sql(`SELECT message_id FROM echoes WHERE campaign = ? AND seq = ?`).pluck().get(number, seq) as
      string | undefined;
  }

  echoes(campaign: string): Promise<Echo[]> {
    return this.#file.run(() => {
      const found = this.#sql(
        `SELECT e.seq, e.message_id AS messageId FROM echoes e JOIN messages m USING (campaign, seq)
         WHERE e.campaign = ? AND m.state = 'unknown' ORDER BY e.seq`,
      ).all(this.#number(campaign)) as { seq: number; messageId: string }[];
      return found.map((echo) => ({ campaign, ...echo }));
    });
  }

  resolve(lease: Lease, campaign: string, rows: readonly Resolution[], now: number): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const number = this.#number(campaign);
      const { state } = this.#record(campaign);
      const sent = this.#sql(
        `UPDATE messages SET state = 'sent', message_id = ?, error = NULL, settled_at = ?
         WHERE campaign = ? AND seq = ? AND state = 'unknown'`,
      );
      const queued = this.#sql(
        `UPDATE messages SET state = 'queued', error = NULL, settled_at = NULL, not_before = NULL, closes_at = ?
         WHERE campaign = ? AND seq = ? AND state = 'unknown'`,
      );
      let back = 0;
      for (const row of rows) {
        if (row.to === 'sent') sent.run(row.messageId, now, number, row.seq);
        else if (this.#echoOf(number, row.seq) === undefined)
          back += queued.run(row.closesAt ?? NO_CLOSING, number, row.seq).changes;
      }
      if (back === 0) return;
      if (state === 'cancelled' || state === 'expired') this.#leaveOutQueued(number, state, now);
      else if (state === 'finished')
        this.#sql(`UPDATE campaigns SET state = 'paused', finished_at = NULL WHERE number = ?`).run(number);
    });
  }

  addRecurrence({ id, account, createdAt, nextAt, last, ...settings }: Recurrence): Promise<void> {
    return this.#file.write(() => {
      this.#sql(
        `INSERT INTO recurrences (id, account, settings, created_at, next_at, last) VALUES (?, ?, ?, ?, ?, ?)`,
      ).run(id, account, toJson(settings), createdAt, nextAt, last && JSON.stringify(last));
    });
  }

  recurrences(): Promise<Recurrence[]> {
    return this.#file.run(() =>
      (this.#sql(`SELECT * FROM recurrences ORDER BY created_at, id`).all() as RecurrenceRecord[]).map(toRecurrence),
    );
  }

  passOccurrence(
    id: string,
    from: number,
    last: NonNullable<Recurrence['last']>,
    nextAt: number | null,
  ): Promise<void> {
    return this.#file.write(() => {
      this.#sql(`UPDATE recurrences SET next_at = ?, last = ? WHERE id = ? AND next_at = ?`).run(
        nextAt,
        JSON.stringify(last),
        id,
        from,
      );
    });
  }

  endRecurrence(id: string): Promise<boolean> {
    return this.#file.write(
      () => this.#sql(`UPDATE recurrences SET next_at = NULL WHERE id = ? AND next_at IS NOT NULL`).run(id).changes > 0,
    );
  }

  campaign(id: string): Promise<Campaign | null> {
    return this.#file.run(() => this.#one(`SELECT * FROM campaigns WHERE id = ?`, id));
  }

  openCampaigns(account?: string): Promise<Campaign[]> {
    return this.#file.run(() => {
      const found = this.#sql(
        `SELECT * FROM campaigns WHERE finished_at IS NULL AND account = coalesce(?, account) ORDER BY number`,
      ).all(account ?? null) as CampaignRecord[];
      return found.map(toCampaign).filter((campaign) => !hasEnded(campaign.state));
    });
  }

  campaigns(): Promise<Campaign[]> {
    return this.#file.run(() =>
      (this.#sql(`SELECT * FROM campaigns ORDER BY number DESC`).all() as CampaignRecord[]).map(toCampaign),
    );
  }

  summary(campaign: string): Promise<CampaignSummary> {
    return this.#file.run(() => {
      const number = this.#number(campaign);
      const counts = Object.fromEntries([...ROW_STATES, 'total'].map((state) => [state, 0])) as Counts;
      const skip: CampaignSummary['skip'] = {};
      const errors: Record<string, number> = {};
      const refusedByOpener: Record<string, number> = {};
      const byOpener: CampaignSummary['byOpener'] = {};
      const changed: CampaignSummary['changed'] = { out: {}, in: 0 };
      const receipts: CampaignSummary['receipts'] = {};
      const undelivered: Record<string, number> = {};
      const groups = this.#sql(
        `SELECT state, reason, planned, error ->> 'code', opener, receipt, receipt_error ->> 'code', count(*), sum(outside)
         FROM messages WHERE campaign = ? GROUP BY 1, 2, 3, 4, 5, 6, 7`,
      )
        .raw()
        .all(number) as [
        RowState,
        SkipReason | null,
        SkipReason | null,
        string | null,
        Opener | null,
        ReceiptKind | null,
        string | null,
        number,
        number,
      ][];
      let outside = 0;
      for (const [state, reason, planned, code, opener, receipt, why, count, ofThemOutside] of groups) {
        if (receipt !== null && state === 'sent') {
          receipts[receipt] = (receipts[receipt] ?? 0) + count;
          if (receipt === 'undelivered') undelivered[why ?? ''] = (undelivered[why ?? ''] ?? 0) + count;
        }
        if (state !== 'skipped') outside += ofThemOutside;
        counts[state] += count;
        counts.total += count;
        const fared = (byOpener[opener ?? ''] ??= {});
        fared[state] = (fared[state] ?? 0) + count;
        if (reason !== null && planned === null) changed.out[reason] = (changed.out[reason] ?? 0) + count;
        if (reason === null && planned !== null) changed.in += count;
        if (reason !== null) skip[reason] = (skip[reason] ?? 0) + count;
        if (code !== null && (state === 'failed' || state === 'unknown')) {
          errors[code] = (errors[code] ?? 0) + count;
          if (opener !== null) refusedByOpener[opener] = (refusedByOpener[opener] ?? 0) + count;
        }
      }
      return { counts, skip, errors, refusedByOpener, byOpener, receipts, undelivered, outside, changed };
    });
  }

  timeline(campaign: string, spanMs: number): Promise<TimelineSpan[]> {
    return this.#file.run(
      () =>
        this.#sql(
          `SELECT CAST(settled_at / @spanMs AS INTEGER) * @spanMs AS "from", sum(state = 'sent') AS sent, sum(state = 'failed') AS failed,
             sum(state = 'unknown') AS unknown
           FROM messages WHERE campaign = @number AND state IN ('sent', 'failed', 'unknown') AND settled_at IS NOT NULL
           GROUP BY 1 ORDER BY 1`,
        ).all({ spanMs, number: this.#number(campaign) }) as TimelineSpan[],
    );
  }

  async *messages(filter: MessageFilter): AsyncIterable<MessageRow[]> {
    const conditions = [`(m.campaign, m.seq) > (?, ?)`];
    const bound: string[] = [];
    const require = (condition: string, value: string | undefined): void => {
      if (value === undefined) return;
      conditions.push(condition);
      bound.push(value);
    };
    require('c.id = ?', filter.campaign);
    require('m.state = ?', filter.state);
    require('m.user_id = ?', filter.userId);
    require('m.receipt = ?', filter.receipt);
    let after: [number, number] = [-1, -1];
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#sql(
            `SELECT m.campaign AS number, c.id AS campaign, m.seq, m.user_id, m."values", m.state, m.reason, m.opener,
               m.closes_at, m.attempts, m.started_at, m.settled_at, m.message_id, m.error, m.outside,
               m.receipt, m.receipt_at, m.receipt_error
             FROM messages m JOIN campaigns c ON c.number = m.campaign
             WHERE ${conditions.join(' AND ')} ORDER BY m.campaign, m.seq LIMIT 1000`,
          ).all(...from, ...bound) as MessageRecord[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = [last.number, last.seq];
      yield page.map(toMessage);
    }
  }

  close(): Promise<void> {
    return this.#file.run(() => {
      this.#file.connection.close();
    });
  }

  #sql(text: string): Database.Statement {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.#file.connection.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  #sentBefore(account: string, digest: string, since: number): Campaign | null {
    const found = this.#sql(
      // One that has ended counts only for what it had sent.
      `SELECT * FROM campaigns c WHERE account = ? AND digest = ?
         AND max(iif(state IN ('finished', 'expired', 'cancelled'), 0, approved_at), (SELECT coalesce(max(started_at), 0) FROM messages WHERE campaign = c.number)) > ?
       ORDER BY approved_at DESC LIMIT 1`,
    ).get(account, digest, since) as CampaignRecord | undefined;
    return found ? toCampaign(found) : null;
  }

  #plan(id: string): Planned {
    const planned = this.#plans.get(id);
    if (!planned) throw new Failure('CAMPAIGN_UNKNOWN', `There is no plan ${id}.`);
    return planned;
  }

  #one(sql: string, ...bound: unknown[]): Campaign | null {
    const found = this.#sql(sql).get(...bound) as CampaignRecord | undefined;
    return found ? toCampaign(found) : null;
  }

  #require(campaign: string, states: readonly CampaignState[]): CampaignRecord {
    const record = this.#record(campaign);
    if (!states.includes(record.state)) throw wrongState(record);
    return record;
  }

  #record(campaign: string): CampaignRecord {
    const record = this.#sql(`SELECT * FROM campaigns WHERE id = ?`).get(campaign) as CampaignRecord | undefined;
    if (!record)
      throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${campaign}.`, 'List them: pagecast campaign list');
    return record;
  }

  #number(campaign: string): number {
    let number = this.#numbers.get(campaign);
    if (number === undefined) {
      number = this.#record(campaign).number;
      this.#numbers.set(campaign, number);
    }
    return number;
  }

  #fence(lease: Lease): void {
    const held = this.#sql(`SELECT 1 FROM leases WHERE account = ? AND fence = ? AND holder IS NOT NULL`);
    if (held.get(lease.account, lease.fence) === undefined) throw leaseLost(lease);
  }
}

function closing(stored: number): number | null {
  return stored === NO_CLOSING ? null : stored;
}

function toCampaign(record: CampaignRecord): Campaign {
  return {
    id: record.id,
    account: record.account,
    accountName: record.account_name,
    template: JSON.parse(record.template) as Campaign['template'],
    source: record.source,
    variables: JSON.parse(record.variables) as string[],
    pace: record.pace ?? Infinity,
    timing:
      record.send_at === null || record.expires_at === null
        ? null
        : { sendAt: record.send_at, expiresAt: record.expires_at, zone: record.zone ?? 'UTC' },
    key: record.key,
    occurrence:
      record.recurrence === null || record.occurs_at === null
        ? null
        : { recurrence: record.recurrence, at: record.occurs_at },
    budget: JSON.parse(record.budget) as FailureBudget,
    state: record.state,
    stop: record.stop === null ? null : (JSON.parse(record.stop) as NonNullable<Campaign['stop']>),
    digest: record.digest,
    approvedAt: record.approved_at,
    startedAt: record.started_at,
    activeAt: record.active_at,
    mode: record.mode,
    outside: record.outside === null ? null : (JSON.parse(record.outside) as Template),
    finishedAt: record.finished_at,
  };
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

function toMessage(record: MessageRecord): MessageRow {
  return {
    campaign: record.campaign,
    seq: record.seq,
    userId: record.user_id,
    values: JSON.parse(record.values) as string[],
    state: record.state,
    reason: record.reason,
    opener: record.opener,
    closesAt: record.closes_at === null ? null : closing(record.closes_at),
    attempts: record.attempts,
    startedAt: record.started_at,
    settledAt: record.settled_at,
    messageId: record.message_id,
    error: record.error === null ? null : (JSON.parse(record.error) as MessageRow['error']),
    outside: record.outside === 1,
    receipt: toReceipt(record),
  };
}

function toReceipt(record: Pick<MessageRecord, 'receipt' | 'receipt_at' | 'receipt_error'>): KeptReceipt | null {
  const { receipt, receipt_at, receipt_error } = record;
  if (receipt === null) return null;
  const error = receipt_error === null ? null : (JSON.parse(receipt_error) as KeptReceipt['error']);
  return { kind: receipt, at: receipt_at ?? 0, error };
}

function wrongState(campaign: CampaignRecord): Failure {
  return new Failure(
    'CAMPAIGN_STATE',
    `Campaign ${campaign.id} is ${campaign.state}.`,
    `Look at it: pagecast campaign show ${campaign.id}`,
  );
}

function leaseLost(lease: Lease): Failure {
  return new Failure(
    'LEASE_LOST',
    `Another process has taken over the account ${lease.account}.`,
    'Nothing more is sent from here. Look at the other process, or resume the campaign later.',
  );
}
