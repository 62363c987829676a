/**
 * Running campaigns. Every write of a run checks the lease in the same transaction, so whoever has lost an account can no
 * longer change its rows.
 */
import type { CampaignState } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type {
  Campaign,
  Lease,
  QueuePlace,
  QueuedRow,
  ReplannedRow,
  RequeuedRow,
  Resolution,
  RunStep,
  StepResult,
} from '../ports.js';
import type { SqliteCampaigns } from './sqlite-campaigns.js';
import type { SqliteDatabase } from './sqlite-database.js';
import type { SqlitePeople } from './sqlite-people.js';
import type { SqliteReceipts } from './sqlite-receipts.js';
import { BATCH, closing, NO_CLOSING, wrongState } from './sqlite-records.js';

export class SqliteRuns {
  readonly #file: SqliteDatabase;
  readonly #campaigns: SqliteCampaigns;
  readonly #people: SqlitePeople;
  readonly #receipts: SqliteReceipts;

  constructor(file: SqliteDatabase, campaigns: SqliteCampaigns, people: SqlitePeople, receipts: SqliteReceipts) {
    this.#file = file;
    this.#campaigns = campaigns;
    this.#people = people;
    this.#receipts = receipts;
  }

  replan(lease: Lease, campaign: string, rows: readonly ReplannedRow[]): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      this.#campaigns.require(campaign, ['scheduled']);
      const number = this.#campaigns.number(campaign);
      const update = this.#file.sql(
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
          this.#file
            .sql(
              `SELECT seq, closes_at AS closesAt FROM messages
             WHERE campaign = ? AND state = 'queued' AND (closes_at, seq) > (?, ?) ORDER BY closes_at, seq LIMIT ${BATCH}`,
            )
            .all(this.#campaigns.number(campaign), ...from) as { seq: number; closesAt: number }[],
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
      this.#campaigns.require(campaign, ['scheduled']);
      this.#end(campaign, 'expired', now);
    });
  }

  pause(campaign: string, now: number): Promise<void> {
    return this.#file.write(() => {
      this.#campaigns.require(campaign, ['scheduled', 'ready', 'running', 'paused', 'stopped']);
      const stop: Campaign['stop'] = { cause: 'person', error: null, at: now };
      this.#file
        .sql(`UPDATE campaigns SET state = 'paused', stop = ? WHERE id = ?`)
        .run(JSON.stringify(stop), campaign);
    });
  }

  reschedule(campaign: string): Promise<void> {
    return this.#file.write(() => {
      const { started_at, send_at } = this.#campaigns.require(campaign, ['paused']);
      if (started_at !== null || send_at === null) throw wrongState(this.#campaigns.record(campaign));
      this.#file.sql(`UPDATE campaigns SET state = 'scheduled', stop = NULL WHERE id = ?`).run(campaign);
    });
  }

  cancel(campaign: string, now: number): Promise<number> {
    return this.#file.write(() => {
      this.#campaigns.require(campaign, ['scheduled', 'ready', 'running', 'paused', 'stopped']);
      return this.#end(campaign, 'cancelled', now);
    });
  }

  /** @returns how many rows were left out by that */
  #end(campaign: string, state: 'expired' | 'cancelled', now: number): number {
    const number = this.#campaigns.number(campaign);
    this.#file
      .sql(`UPDATE campaigns SET state = ?, stop = NULL, finished_at = ? WHERE number = ?`)
      .run(state, now, number);
    return this.#leaveOutQueued(number, state, now);
  }

  #leaveOutQueued(number: number, reason: 'expired' | 'cancelled', now: number): number {
    return this.#file
      .sql(`UPDATE messages SET state = 'skipped', reason = ?, settled_at = ? WHERE campaign = ? AND state = 'queued'`)
      .run(reason, now, number).changes;
  }

  start(lease: Lease, campaign: string, now: number, seen?: Pick<Campaign, 'state' | 'stop'>): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const record = this.#campaigns.record(campaign);
      const stop = seen?.stop ? JSON.stringify(seen.stop) : null;
      if (seen && (record.state !== seen.state || record.stop !== stop)) throw wrongState(record);
      const { changes } = this.#file
        .sql(
          // A worker that tries a stopped one again and again does not make it any younger.
          `UPDATE campaigns SET state = 'running', stop = NULL, started_at = coalesce(started_at, @now),
           active_at = iif(state = 'stopped', active_at, @now)
         WHERE id = @campaign AND account = @account AND state IN ('scheduled', 'ready', 'running', 'paused', 'stopped')`,
        )
        .run({ now, campaign, account: lease.account });
      if (changes === 0) throw wrongState(this.#campaigns.record(campaign));
    });
  }

  next(campaign: string, limit: number, now: number): Promise<QueuedRow[]> {
    return this.#file.run(() => {
      const rows = this.#file
        .sql(
          `SELECT seq, user_id, "values", attempts FROM messages
         WHERE campaign = ? AND state = 'queued' AND (not_before IS NULL OR not_before <= ?)
         ORDER BY closes_at, seq LIMIT ?`,
        )
        .raw()
        .all(this.#campaigns.number(campaign), now, limit) as [number, string, string, number][];
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
        this.#file
          .sql(
            `SELECT min(coalesce(not_before, 0)) FROM messages INDEXED BY messages_queue WHERE campaign = ? AND state = 'queued'`,
          )
          .pluck()
          .get(this.#campaigns.number(campaign)) as number | null,
    );
  }

  record(lease: Lease, campaign: string, step: RunStep, now: number): Promise<StepResult> {
    return this.#file.write(() => {
      this.#fence(lease);
      const number = this.#campaigns.number(campaign);
      const settled = this.#file.sql(
        `UPDATE messages SET state = ?, settled_at = ?, message_id = ?, error = ?, not_before = ?, attempts = attempts - ?
         WHERE campaign = ? AND seq = ? AND state = 'started' AND fence = ?`,
      );
      const started = this.#file.sql(
        `UPDATE messages SET state = 'started', fence = ?, started_at = ?, attempts = attempts + 1, outside = ?
         WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const skipped = this.#file.sql(
        `UPDATE messages SET state = 'skipped', reason = ?, settled_at = ? WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      const person = this.#file.sql(`SELECT user_id FROM messages WHERE campaign = ? AND seq = ?`).pluck();
      const expect = (changes: number): void => {
        // A row that is not as this run left it has been touched by somebody else: never send it.
        if (changes === 0) throw leaseLost(lease);
      };

      for (const { seq, state, messageId, error, notBefore, uncounted, optedOut } of step.settled) {
        const echoed = state === 'sent' ? undefined : this.#receipts.echoOf(number, seq);
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
        if (optedOut !== true) continue;
        const userId = person.get(number, seq) as string;
        this.#people.changeOptOut({ account: lease.account, userId, at: now, out: true, source: 'service' });
      }
      if (step.settled.some((one) => one.state === 'sent'))
        this.#file
          .sql(`UPDATE campaigns SET active_at = ? WHERE number = ? AND active_at < ?`)
          .run(now, number, now - 60_000);
      const state = this.#file.sql(`SELECT state FROM campaigns WHERE number = ?`).pluck().get(number) as CampaignState;
      if (state !== 'running' && state !== 'continuous') {
        // What came back for another attempt comes back to a campaign that makes none any more.
        if (state === 'cancelled') this.#leaveOutQueued(number, state, now);
        return 'halted';
      }
      // Whoever withdraws a single message needs no lease, and neither does an echo of an earlier attempt.
      const settledElsewhere = this.#file.sql(
        `SELECT 1 FROM messages WHERE campaign = ? AND seq = ? AND state NOT IN ('queued', 'started')`,
      );
      if (step.started.some(({ seq }) => settledElsewhere.get(number, seq) !== undefined)) return 'outdated';
      for (const { seq, reason } of step.skipped) skipped.run(reason, now, number, seq);
      const postponed = this.#file.sql(
        `UPDATE messages SET not_before = ? WHERE campaign = ? AND seq = ? AND state = 'queued'`,
      );
      for (const { seq, notBefore } of step.postponed ?? []) postponed.run(notBefore, number, seq);
      for (const { seq, outside } of step.started)
        expect(started.run(lease.fence, now, Number(outside), number, seq).changes);
      return 'done';
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
      this.#refuseContinuous(campaign);
      if (end.state === 'finished') {
        const open = this.#file.sql(
          `SELECT 1 FROM messages WHERE campaign = ? AND state IN ('queued', 'started') LIMIT 1`,
        );
        if (open.get(this.#campaigns.number(campaign)) !== undefined) {
          throw new Failure('CAMPAIGN_STATE', `Campaign ${campaign} has messages left and cannot be finished.`);
        }
      }
      this.#file
        .sql(`UPDATE campaigns SET state = ?, stop = ?, finished_at = ? WHERE id = ? AND state = 'running'`)
        .run(
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
      this.#refuseContinuous(campaign);
      const number = this.#campaigns.number(campaign);
      const back = this.#file.sql(
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
      // From now on it goes out when a person says so, whatever time it had been given.
      this.#file
        .sql(
          `UPDATE campaigns SET state = 'ready', started_at = coalesce(started_at, finished_at), finished_at = NULL
         WHERE number = ?`,
        )
        .run(number);
    });
  }

  resolve(lease: Lease, campaign: string, rows: readonly Resolution[], now: number): Promise<void> {
    return this.#file.write(() => {
      this.#fence(lease);
      const { number, state } = this.#campaigns.record(campaign);
      const sent = this.#file.sql(
        `UPDATE messages SET state = 'sent', message_id = ?, error = NULL, settled_at = ?
         WHERE campaign = ? AND seq = ? AND state = 'unknown'`,
      );
      const queued = this.#file.sql(
        `UPDATE messages SET state = 'queued', error = NULL, settled_at = NULL, not_before = NULL, closes_at = ?
         WHERE campaign = ? AND seq = ? AND state = 'unknown'`,
      );
      const leftOut = this.#file.sql(
        `UPDATE messages SET state = 'skipped', reason = ?, error = NULL, settled_at = ?
         WHERE campaign = ? AND seq = ? AND state = 'unknown'`,
      );
      // Nobody waits any more for what a continuous campaign did not send at once.
      const instead =
        state === 'continuous' ? 'cancelled' : state === 'cancelled' || state === 'expired' ? state : null;
      let back = 0;
      for (const row of rows) {
        if (row.to === 'sent') sent.run(row.messageId, now, number, row.seq);
        else if (instead !== null) leftOut.run(instead, now, number, row.seq);
        else back += queued.run(row.closesAt ?? NO_CLOSING, number, row.seq).changes;
      }
      if (back > 0 && state === 'finished')
        this.#file.sql(`UPDATE campaigns SET state = 'paused', finished_at = NULL WHERE number = ?`).run(number);
    });
  }

  #refuseContinuous(campaign: string): void {
    const record = this.#campaigns.record(campaign);
    if (record.state === 'continuous') throw wrongState(record);
  }

  #fence(lease: Lease): void {
    const held = this.#file.sql(`SELECT 1 FROM leases WHERE account = ? AND fence = ? AND holder IS NOT NULL`);
    if (held.get(lease.account, lease.fence) === undefined) throw leaseLost(lease);
  }
}

function leaseLost(lease: Lease): Failure {
  return new Failure(
    'LEASE_LOST',
    `Another process has taken over the account ${lease.account}.`,
    'Nothing more is sent from here. Look at the other process, or resume the campaign later.',
  );
}
