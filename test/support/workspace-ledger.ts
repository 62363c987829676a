/** The ledger as it stands on the disk, read past pagecast's own code: what a crash has really left. */
import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { TestWorkspace } from './workspace.js';

export interface LedgerCampaign {
  id: string;
  state: string;
  /** Rows by state; states without rows are missing. */
  rows: Record<string, number>;
  total: number;
}

export interface LedgerRow {
  user: string;
  state: string;
  messageId: string | null;
  code: string | null;
}

export class Ledger {
  readonly #path: string;
  #file: Database.Database | null = null;

  constructor(workspace: TestWorkspace) {
    this.#path = workspace.path('.pagecast/pagecast.db');
  }

  /** Those in bulk, newest first. */
  campaigns(): LedgerCampaign[] {
    const records = this.#all<{ number: number; id: string; state: string }>(
      `SELECT number, id, state FROM campaigns WHERE state <> 'continuous' ORDER BY number DESC`,
    );
    return records.map(({ number, id, state }) => {
      const counts = this.#all<{ state: string; rows: number }>(
        'SELECT state, count(*) AS rows FROM messages WHERE campaign = ? GROUP BY state',
        number,
      );
      return {
        id,
        state,
        rows: Object.fromEntries(counts.map((count) => [count.state, count.rows])),
        total: counts.reduce((sum, count) => sum + count.rows, 0),
      };
    });
  }

  /** The only campaign in bulk; null when none has been approved yet. */
  campaign(): LedgerCampaign | null {
    return this.campaigns()[0] ?? null;
  }

  rows(campaign: string): LedgerRow[] {
    return this.#all<LedgerRow>(
      `SELECT user_id AS user, m.state, message_id AS messageId, error ->> 'code' AS code
       FROM messages m JOIN campaigns c ON c.number = m.campaign WHERE c.id = ?`,
      campaign,
    );
  }

  /** Single messages: those that people write, and those of flows. */
  singles(): LedgerRow[] {
    return this.#all<LedgerRow>(
      `SELECT user_id AS user, m.state, message_id AS messageId, error ->> 'code' AS code
       FROM messages m JOIN campaigns c ON c.number = m.campaign WHERE c.state = 'continuous' ORDER BY added_at, m.campaign, seq`,
    );
  }

  /** Rows that have been put on the wire, in all campaigns. */
  tried(): number {
    return this.#all<{ tried: number }>('SELECT count(*) AS tried FROM messages WHERE attempts > 0')[0]?.tried ?? 0;
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #all<T>(sql: string, ...bound: unknown[]): T[] {
    if (this.#file === null) {
      if (!existsSync(this.#path)) return [];
      this.#file = new Database(this.#path, { timeout: 5000 });
    }
    try {
      return this.#file.prepare(sql).all(...bound) as T[];
    } catch (error) {
      // The file is there before its tables are.
      if (error instanceof Error && error.message.startsWith('no such table')) return [];
      throw error;
    }
  }
}
