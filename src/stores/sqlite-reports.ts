/** What became of messages: counted, over time, and one by one. */
import { ROW_STATES, type Counts, type ReceiptKind, type RowState } from '../core/delivery.js';
import type { RowMark } from '../core/metadata.js';
import type { SkipReason } from '../core/plan.js';
import type { Opener } from '../core/window.js';
import type { CampaignSummary, MessageFilter, MessageRow, TimelineSpan } from '../ports.js';
import type { SqliteCampaigns } from './sqlite-campaigns.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { MESSAGES, toMessage, type MessageRecord } from './sqlite-records.js';

export class SqliteReports {
  readonly #file: SqliteDatabase;
  readonly #campaigns: SqliteCampaigns;

  constructor(file: SqliteDatabase, campaigns: SqliteCampaigns) {
    this.#file = file;
    this.#campaigns = campaigns;
  }

  summary(campaign: string): Promise<CampaignSummary> {
    return this.#file.run(() => {
      const number = this.#campaigns.number(campaign);
      const counts = Object.fromEntries([...ROW_STATES, 'total'].map((state) => [state, 0])) as Counts;
      const skip: CampaignSummary['skip'] = {};
      const errors: Record<string, number> = {};
      const refusedByOpener: Record<string, number> = {};
      const byOpener: CampaignSummary['byOpener'] = {};
      const changed: CampaignSummary['changed'] = { out: {}, in: 0 };
      const receipts: CampaignSummary['receipts'] = {};
      const undelivered: Record<string, number> = {};
      const groups = this.#file
        .sql(
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
        this.#file
          .sql(
            `SELECT CAST(settled_at / @spanMs AS INTEGER) * @spanMs AS "from", sum(state = 'sent') AS sent, sum(state = 'failed') AS failed,
             sum(state = 'unknown') AS unknown
           FROM messages WHERE campaign = @number AND state IN ('sent', 'failed', 'unknown') AND settled_at IS NOT NULL
           GROUP BY 1 ORDER BY 1`,
          )
          .all({ spanMs, number: this.#campaigns.number(campaign) }) as TimelineSpan[],
    );
  }

  message({ campaign, seq }: RowMark): MessageRow | null {
    const found = this.#file.sql(`${MESSAGES} WHERE c.id = ? AND m.seq = ?`).get(campaign, seq);
    return found === undefined ? null : toMessage(found as MessageRecord);
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
          this.#file
            .sql(`${MESSAGES} WHERE ${conditions.join(' AND ')} ORDER BY m.campaign, m.seq LIMIT 1000`)
            .all(...from, ...bound) as MessageRecord[],
      );
      const last = page.at(-1);
      if (last === undefined) return;
      after = [last.number, last.seq];
      yield page.map(toMessage);
    }
  }
}
