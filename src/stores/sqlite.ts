/**
 * The ledger, the windows and the opt-outs in one SQLite file. Every write of a run checks the lease in the same
 * transaction, so whoever has lost an account can no longer change its rows.
 */
import type Database from 'better-sqlite3';
import { ROW_STATES, type CampaignState, type Counts, type RowState } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { SkipReason, Standing } from '../core/plan.js';
import { RESEND_AFTER_MS } from '../core/policy.js';
import { enabledOpeners, type LastOpener, type Opener, type WindowSettings } from '../core/window.js';
import type {
  Approval,
  Campaign,
  CampaignSummary,
  Lease,
  MessageFilter,
  MessageRow,
  NewCampaign,
  OpenerEvent,
  QueuePlace,
  QueuedRow,
  RequeuedRow,
  RunStep,
  StagedRow,
  Store,
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
  approved_at: number;
  started_at: number | null;
  finished_at: number | null;
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
           seq INTEGER PRIMARY KEY, user_id TEXT, "values" TEXT, reason TEXT, opener TEXT, closes_at INTEGER
         )`,
      );
      this.#plans.set(plan.id, { table, campaign: plan });
    });
  }

  stage(plan: string, rows: readonly StagedRow[]): Promise<void> {
    return this.#file.run(() => {
      const insert = this.#sql(
        `INSERT INTO ${this.#plan(plan).table} (seq, user_id, "values", reason, opener, closes_at) VALUES (?, ?, ?, ?, ?, ?)`,
      );
      this.#file.connection.transaction(() => {
        for (const { seq, userId, values, reason, opener, closesAt } of rows) {
          insert.run(seq, userId, JSON.stringify(values), reason, opener, closesAt);
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

  async approve(plan: string, approval: Approval): Promise<{ sentBefore: Campaign | null }> {
    const { table, campaign } = this.#plan(plan);
    const sentBefore = await this.#file.write(() => {
      const { id, account, accountName, template, variables, source, pace } = campaign;
      const before = this.#sentBefore(account, approval.digest, approval.now - RESEND_AFTER_MS);
      if (before && !approval.again) return before;
      const { lastInsertRowid } = this.#sql(
        `INSERT INTO campaigns (id, account, account_name, template, variables, source, pace, state, digest, policy, approved_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?)`,
      ).run(
        id,
        account,
        accountName,
        JSON.stringify(template),
        JSON.stringify(variables),
        source,
        Number.isFinite(pace) ? pace : null,
        approval.digest,
        approval.policy,
        approval.now,
      );
      this.#sql(
        `INSERT INTO messages (campaign, seq, user_id, "values", state, reason, opener, closes_at)
         SELECT ?, seq, user_id, "values", iif(reason IS NULL, 'queued', 'skipped'), reason, opener,
           iif(reason IS NULL, coalesce(closes_at, ${NO_CLOSING}), closes_at)
         FROM ${table} ORDER BY seq`,
      ).run(lastInsertRowid);
      return null;
    });
    if (sentBefore === null) await this.discard(plan);
    return { sentBefore };
  }

  start(lease: Lease, campaign: string, now: number): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const { changes } = this.#sql(
        `UPDATE campaigns SET state = 'running', stop = NULL, started_at = coalesce(started_at, ?)
         WHERE id = ? AND account = ? AND state IN ('ready', 'running', 'paused', 'stopped')`,
      ).run(now, campaign, lease.account);
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
        `UPDATE messages SET state = 'started', fence = ?, started_at = ?, attempts = attempts + 1
         WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const skipped = this.#sql(
        `UPDATE messages SET state = 'skipped', reason = ?, settled_at = ? WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const expect = (changes: number): void => {
        // A row that is not as this run left it has been touched by somebody else: never send it.
        if (changes === 0) throw leaseLost(lease);
      };

      for (const { seq, state, messageId, error, notBefore, uncounted } of step.settled) {
        const { changes } = settled.run(
          state,
          now,
          messageId ?? null,
          error ? JSON.stringify(error) : null,
          notBefore ?? null,
          uncounted === true ? 1 : 0,
          number,
          seq,
          lease.fence,
        );
        expect(changes);
      }
      const running =
        this.#sql(`SELECT 1 FROM campaigns WHERE number = ? AND state = 'running'`).get(number) !== undefined;
      if (!running) return false;
      for (const { seq, reason } of step.skipped) skipped.run(reason, now, number, seq);
      for (const seq of step.started) expect(started.run(lease.fence, now, number, seq).changes);
      return true;
    });
  }

  conclude(
    lease: Lease,
    campaign: string,
    end: { state: 'finished' } | { state: 'paused' } | { state: 'stopped'; stop: NonNullable<Campaign['stop']> },
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
        if (back.run(closesAt ?? NO_CLOSING, number, seq, from).changes > 0) continue;
        throw new Failure(
          'COUNT_DIFFERS',
          `Row ${seq} of campaign ${campaign} is no longer ${from}; nothing was sent.`,
          'Somebody else has sent it again. Look at the campaign, then retry what is left.',
        );
      }
      this.#sql(`UPDATE campaigns SET state = 'ready', finished_at = NULL WHERE number = ?`).run(number);
    });
  }

  campaign(id: string): Promise<Campaign | null> {
    return this.#file.run(() => {
      const found = this.#sql(`SELECT * FROM campaigns WHERE id = ?`).get(id) as CampaignRecord | undefined;
      return found ? toCampaign(found) : null;
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
      const groups = this.#sql(
        `SELECT state, reason, error ->> 'code', opener, count(*) FROM messages WHERE campaign = ? GROUP BY 1, 2, 3, 4`,
      )
        .raw()
        .all(number) as [RowState, SkipReason | null, string | null, Opener | null, number][];
      for (const [state, reason, code, opener, count] of groups) {
        counts[state] += count;
        counts.total += count;
        if (reason !== null) skip[reason] = (skip[reason] ?? 0) + count;
        if (code !== null && (state === 'failed' || state === 'unknown')) {
          errors[code] = (errors[code] ?? 0) + count;
          if (opener !== null) refusedByOpener[opener] = (refusedByOpener[opener] ?? 0) + count;
        }
      }
      return { counts, skip, errors, refusedByOpener };
    });
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
    let after: [number, number] = [-1, -1];
    for (;;) {
      const from = after;
      const page = await this.#file.run(
        () =>
          this.#sql(
            `SELECT m.campaign AS number, c.id AS campaign, m.seq, m.user_id, m."values", m.state, m.reason, m.opener,
               m.closes_at, m.attempts, m.started_at, m.settled_at, m.message_id, m.error
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
      `SELECT * FROM campaigns c WHERE account = ? AND digest = ?
         AND max(approved_at, (SELECT coalesce(max(started_at), 0) FROM messages WHERE campaign = c.number)) > ?
       ORDER BY approved_at DESC LIMIT 1`,
    ).get(account, digest, since) as CampaignRecord | undefined;
    return found ? toCampaign(found) : null;
  }

  #plan(id: string): Planned {
    const planned = this.#plans.get(id);
    if (!planned) throw new Failure('CAMPAIGN_UNKNOWN', `There is no plan ${id}.`);
    return planned;
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
    state: record.state,
    stop: record.stop === null ? null : (JSON.parse(record.stop) as NonNullable<Campaign['stop']>),
    digest: record.digest,
    approvedAt: record.approved_at,
    startedAt: record.started_at,
    finishedAt: record.finished_at,
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
  };
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
