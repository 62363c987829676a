/** Finding campaigns in the ledger. */
import { hasEnded, type CampaignState } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Campaign, Occurrence } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { toCampaign, wrongState, type CampaignRecord } from './sqlite-records.js';

export class SqliteCampaigns {
  readonly #file: SqliteDatabase;
  readonly #numbers = new Map<string, number>();

  constructor(file: SqliteDatabase) {
    this.#file = file;
  }

  one(id: string): Campaign | null {
    return this.#find(`id = ?`, id);
  }

  withKey(key: string): Campaign | null {
    return this.#find(`key = ?`, key);
  }

  of({ recurrence, at }: Occurrence): Campaign | null {
    return this.#find(`recurrence = ? AND occurs_at = ?`, recurrence, at);
  }

  sentBefore(account: string, digest: string, since: number): Campaign | null {
    return this.#find(
      // One that has ended counts only for what it had sent.
      `account = ? AND digest = ? AND state <> 'continuous'
         AND max(iif(state IN ('finished', 'expired', 'cancelled'), 0, approved_at),
           (SELECT coalesce(max(started_at), 0) FROM messages WHERE campaign = campaigns.number)) > ?
       ORDER BY approved_at DESC LIMIT 1`,
      account,
      digest,
      since,
    );
  }

  all(): Campaign[] {
    return (this.#file.sql(`SELECT * FROM campaigns ORDER BY number DESC`).all() as CampaignRecord[]).map(toCampaign);
  }

  open(account?: string): Campaign[] {
    const open = `SELECT * FROM campaigns INDEXED BY campaigns_open WHERE finished_at IS NULL AND state <> 'continuous'`;
    const found =
      account === undefined
        ? this.#file.sql(`${open} ORDER BY number`).all()
        : this.#file.sql(`${open} AND account = ? ORDER BY number`).all(account);
    return (found as CampaignRecord[]).map(toCampaign).filter((campaign) => !hasEnded(campaign.state));
  }

  /** @throws Failure CAMPAIGN_STATE, CAMPAIGN_UNKNOWN */
  require(id: string, states: readonly CampaignState[]): CampaignRecord {
    const record = this.record(id);
    if (!states.includes(record.state)) throw wrongState(record);
    return record;
  }

  /** @throws Failure CAMPAIGN_UNKNOWN */
  record(id: string): CampaignRecord {
    const record = this.#file.sql(`SELECT * FROM campaigns WHERE id = ?`).get(id) as CampaignRecord | undefined;
    if (!record)
      throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`, 'List them: pagecast campaign list');
    return record;
  }

  /** What the campaign's rows are kept under. @throws Failure CAMPAIGN_UNKNOWN */
  number(id: string): number {
    let number = this.#numbers.get(id);
    if (number === undefined) {
      number = this.record(id).number;
      this.#numbers.set(id, number);
    }
    return number;
  }

  #find(condition: string, ...bound: unknown[]): Campaign | null {
    const found = this.#file.sql(`SELECT * FROM campaigns WHERE ${condition}`).get(...bound) as
      CampaignRecord | undefined;
    return found ? toCampaign(found) : null;
  }
}
