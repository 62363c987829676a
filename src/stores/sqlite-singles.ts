/** Single messages: rows of continuous campaigns, which are made with the first message of their kind. */
import { createHash } from 'node:crypto';
import { DEFAULT_BUDGET } from '../core/delivery.js';
import type { RowMark } from '../core/metadata.js';
import { OPT_OUT_FLOW } from '../core/opt-out.js';
import { compileTemplate } from '../core/template.js';
import type { ContinuousCampaign, NewSingle, QueuedSingle, SingleRow } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { ONE_PER_PERSON } from './sqlite-records.js';

/** The single messages of one person, with the campaigns of one account that they belong to. */
const OF_PERSON = `FROM messages m INDEXED BY messages_one_per_person
  CROSS JOIN campaigns c ON c.number = m.campaign AND c.account = ? AND c.state = 'continuous'
  WHERE m.user_id = ? AND ${ONE_PER_PERSON}`;

export class SqliteSingles {
  readonly #file: SqliteDatabase;

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  /** Inside a write: what is checked must still hold when the row is added. */
  queue(single: NewSingle, now: number): QueuedSingle {
    const { campaign, userId, occasion, onceSince, guard } = single;
    const { account, flow } = campaign;
    const earlier = this.#file
      .sql(`SELECT c.id AS campaign, m.seq ${OF_PERSON} AND m.occasion = ?`)
      .get(account, userId, occasion) as RowMark | undefined;
    if (earlier) return { kind: 'not_queued', because: 'occasion', row: earlier };
    if (onceSince !== null) {
      const had = this.#file.sql(
        `SELECT 1 ${OF_PERSON} AND c.flow = ? AND m.added_at > ? AND m.state <> 'skipped' LIMIT 1`,
      );
      if (had.get(account, userId, flow, onceSince) !== undefined)
        return { kind: 'not_queued', because: 'limit', row: null };
    }
    if (guard !== null) {
      const count = this.#file.sql(
        `SELECT count(*) ${OF_PERSON} AND c.flow IS NOT NULL AND c.flow <> '${OPT_OUT_FLOW}' AND m.added_at > ?`,
      );
      const queued = count.pluck().get(account, userId, guard.since) as number;
      if (queued >= guard.most) return { kind: 'not_queued', because: 'guard', row: null };
    }
    const { number, id } = this.#campaign(campaign, now);
    const seq = this.#file
      .sql(
        `INSERT INTO messages (campaign, seq, user_id, "values", state, closes_at, not_before, occasion, answers_at, added_at)
         VALUES (@number, 1 + (SELECT coalesce(max(seq), 0) FROM messages WHERE campaign = @number), @userId, @values, 'queued',
           @expiresAt, @notBefore, @occasion, @answersAt, @now)
         RETURNING seq`,
      )
      .pluck()
      .get({
        number,
        userId,
        values: JSON.stringify(single.values),
        expiresAt: single.expiresAt,
        notBefore: single.notBefore,
        occasion,
        answersAt: single.answersAt,
        now,
      }) as number;
    return { kind: 'queued', campaign: id, seq };
  }

  next(account: string, limit: number, now: number, except: readonly string[]): SingleRow[] {
    type Found = Omit<SingleRow, 'values'> & { values: string };
    const rows = this.#file
      .sql(
        // Which rows they are is in the index; only those are read.
        `SELECT n.id AS campaign, m.seq, m.user_id AS userId, m."values", m.attempts, m.answers_at AS answersAt,
           m.closes_at AS expiresAt
         FROM (SELECT c.number, c.id, m.seq, max(m.added_at, coalesce(m.not_before, 0)) AS due_at FROM campaigns c INDEXED BY campaigns_continuous
                 CROSS JOIN messages m INDEXED BY messages_singles ON m.campaign = c.number AND m.state = 'queued'
                   AND m.added_at IS NOT NULL AND coalesce(m.not_before, 0) <= ?
               WHERE c.account = ? AND c.state = 'continuous' AND c.id NOT IN (SELECT value FROM json_each(?))
               ORDER BY due_at, c.number, m.seq LIMIT ?) n
         CROSS JOIN messages m ON m.campaign = n.number AND m.seq = n.seq
         ORDER BY n.due_at, n.number, n.seq`,
      )
      .all(now, account, JSON.stringify(except), limit) as Found[];
    return rows.map((row) => ({ ...row, values: JSON.parse(row.values) as string[] }));
  }

  dueAt(account: string): number | null {
    return this.#file
      .sql(
        `SELECT min((SELECT min(coalesce(m.not_before, 0)) FROM messages m INDEXED BY messages_singles
                     WHERE m.campaign = c.number AND m.state = 'queued' AND m.added_at IS NOT NULL))
         FROM campaigns c INDEXED BY campaigns_continuous WHERE c.account = ? AND c.state = 'continuous'`,
      )
      .pluck()
      .get(account) as number | null;
  }

  /** Inside a write. @returns false when the message is no longer queued */
  withdraw({ campaign, seq }: RowMark, now: number): boolean {
    const withdraw = this.#file.sql(
      `UPDATE messages SET state = 'skipped', reason = 'cancelled', settled_at = ?
       WHERE campaign = (SELECT number FROM campaigns WHERE id = ? AND state = 'continuous') AND seq = ? AND state = 'queued'`,
    );
    return withdraw.run(now, campaign, seq).changes > 0;
  }

  lastLanguage(account: string, userId: string): string | null {
    const language = this.#file
      .sql(
        `SELECT iif(m.outside = 1, c.outside, c.template) ->> 'language' AS language
         FROM messages m INDEXED BY messages_one_per_person CROSS JOIN campaigns c ON c.number = m.campaign AND c.account = ?
         WHERE m.user_id = ? AND ${ONE_PER_PERSON} AND m.started_at IS NOT NULL AND c.flow IS NOT '${OPT_OUT_FLOW}'
           AND language <> 'und'
         ORDER BY m.started_at DESC LIMIT 1`,
      )
      .pluck()
      .get(account, userId) as string | undefined;
    return language ?? null;
  }

  lastAutomatic(account: string, userId: string): number | null {
    return this.#file
      .sql(
        `SELECT max(m.added_at) ${OF_PERSON} AND c.flow IS NOT NULL AND c.flow <> '${OPT_OUT_FLOW}' AND m.state <> 'skipped'`,
      )
      .pluck()
      .get(account, userId) as number | null;
  }

  /** The campaign of a message; made when there is none yet. */
  #campaign(campaign: ContinuousCampaign, now: number): { number: number; id: string } {
    const { account, accountName, mode, flow, template, pace } = campaign;
    const text = JSON.stringify(template);
    const quiet = campaign.quiet && JSON.stringify(campaign.quiet);
    const hash = createHash('sha256')
      .update(JSON.stringify([account, mode, flow, text, pace, quiet]))
      .digest('base64url');
    const found = this.#file.sql(`SELECT number, id FROM campaigns WHERE continuous = ?`).get(hash);
    if (found !== undefined) return found as { number: number; id: string };
    return this.#file
      .sql(
        // The id is in echoes, which come to every store that listens for the account: it must be that of no other store's.
        `INSERT INTO campaigns (id, account, account_name, template, variables, source, pace, state, digest, policy, budget,
           mode, flow, quiet, continuous, approved_at, started_at, active_at)
         VALUES ('s' || strftime('%Y%m%d', @now / 1000, 'unixepoch') || '-' || lower(hex(randomblob(4))), @account, @accountName,
           @text, @variables, @source, @pace, 'continuous', '', '', @budget, @mode, @flow, @quiet, @hash, @now, @now, @now)
         RETURNING number, id`,
      )
      .get({
        now,
        account,
        accountName,
        text,
        variables: JSON.stringify(compileTemplate(template).variables.map(({ name }) => name)),
        source: flow === null ? 'one at a time' : `flow ${flow}`,
        pace: Number.isFinite(pace) ? pace : null,
        budget: JSON.stringify(DEFAULT_BUDGET),
        mode,
        flow,
        quiet,
        hash,
      }) as { number: number; id: string };
  }
}
