/** What comes back of our messages: echoes, and receipts. Both settle rows whose outcome is not known. */
import { settlesRow, standsAgainst, tellsOptOut } from '../core/receipt.js';
import type { Echo, Receipt } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import type { SqlitePeople } from './sqlite-people.js';
import { ONE_PER_PERSON, toReceipt, type MessageRecord } from './sqlite-records.js';

/** A row, by its campaign's number. */
type Place = [campaign: number, seq: number];

export class SqliteReceipts {
  readonly #file: SqliteDatabase;
  readonly #people: SqlitePeople;

  constructor(file: SqliteDatabase, people: SqlitePeople) {
    this.#file = file;
    this.#people = people;
  }

  /** Inside a write. @returns whether a row was settled by it */
  echo(account: string, { campaign, seq, messageId }: Echo, now: number): boolean {
    this.#file
      .sql(
        `INSERT INTO echoes (campaign, seq, message_id, at)
         SELECT c.number, m.seq, ?, ? FROM campaigns c JOIN messages m ON m.campaign = c.number AND m.seq = ?
         WHERE c.id = ? AND c.account = ? AND m.state = 'started' ON CONFLICT DO NOTHING`,
      )
      .run(messageId, now, seq, campaign, account);
    const settle = this.#file.sql(
      `UPDATE messages SET state = 'sent', reason = NULL, message_id = ?, error = NULL, settled_at = ?
       WHERE campaign = (SELECT number FROM campaigns WHERE id = ? AND account = ?) AND seq = ?
         AND started_at IS NOT NULL AND state IN ('unknown', 'queued', 'failed', 'skipped')`,
    );
    return settle.run(messageId, now, campaign, account, seq).changes > 0;
  }

  /**
   * The message id that came back while a row's message was under way; undefined when none did. Whoever settles such a row
   * makes it `sent`, so none has an echo that is to be sent again.
   */
  echoOf(number: number, seq: number): string | undefined {
    return this.#file.sql(`SELECT message_id FROM echoes WHERE campaign = ? AND seq = ?`).pluck().get(number, seq) as
      string | undefined;
  }

  /**
   * Inside a write.
   * @param byMessage the rows of those that name nothing but a message: `placesByMessage`
   */
  receipts(
    account: string,
    receipts: readonly Receipt[],
    byMessage: ReadonlyMap<string, Place>,
    now: number,
  ): { matched: number; settled: number } {
    let matched = 0;
    let settled = 0;
    for (const receipt of receipts) {
      for (const place of this.#places(account, receipt, byMessage)) {
        const { belongs, settles } = this.#receipt(account, receipt, place, now);
        if (belongs) matched += 1;
        if (settles) settled += 1;
      }
    }
    return { matched, settled };
  }

  /**
   * The rows of receipts that name nothing but a message. Message ids have no index, since it would slow down every
   * sending: these are found in one pass over the account's messages. An id that a whole batch shares names nobody.
   */
  placesByMessage(account: string, receipts: readonly Receipt[]): Map<string, Place> {
    const ids = receipts.flatMap(({ messageId, userId, row }) =>
      messageId !== null && userId === null && row === null ? [messageId] : [],
    );
    const places = new Map<string, Place>();
    if (ids.length === 0) return places;
    const scan = this.#file.sql(
      `SELECT m.message_id, m.campaign, m.seq FROM campaigns c CROSS JOIN messages m ON m.campaign = c.number
       WHERE c.account = ? AND m.message_id IN (SELECT value FROM json_each(?))`,
    );
    const shared = new Set<string>();
    for (const [id, campaign, seq] of scan.raw().all(account, JSON.stringify(ids)) as [string, number, number][]) {
      if (places.has(id)) shared.add(id);
      places.set(id, [campaign, seq]);
    }
    for (const id of shared) places.delete(id);
    return places;
  }

  /** The rows that a receipt is about: at most one, unless it is about everything that a person was sent. */
  #places(account: string, receipt: Receipt, byMessage: ReadonlyMap<string, Place>): Place[] {
    const { messageId, userId, row, at } = receipt;
    if (messageId === null) {
      const until = this.#file.sql(
        `SELECT m.campaign, m.seq FROM messages m INDEXED BY messages_one_per_person
         CROSS JOIN campaigns c ON c.number = m.campaign AND c.account = ?
         WHERE m.user_id = ? AND m.reason IS NULL AND m.state = 'sent' AND m.started_at <= ?`,
      );
      return until.raw().all(account, userId, at) as Place[];
    }
    if (row !== null) {
      const marked = this.#file.sql(
        `SELECT m.campaign, m.seq FROM campaigns c JOIN messages m ON m.campaign = c.number AND m.seq = ?
         WHERE c.id = ? AND c.account = ? AND m.user_id = coalesce(?, m.user_id)`,
      );
      const place = marked.raw().get(row.seq, row.campaign, account, userId) as Place | undefined;
      if (place !== undefined) return [place];
      // A batch names its first row. Somebody may be in a continuous campaign many times, so there the person tells nothing.
      const ofBatch = this.#file.sql(
        `SELECT m.campaign, m.seq FROM campaigns c CROSS JOIN messages m INDEXED BY messages_one_per_person
           ON m.user_id = ? AND m.campaign = c.number AND ${ONE_PER_PERSON}
         WHERE c.id = ? AND c.account = ? AND c.state <> 'continuous'`,
      );
      return ofBatch.raw().all(userId, row.campaign, account) as Place[];
    }
    if (userId === null) {
      const place = byMessage.get(messageId);
      return place === undefined ? [] : [place];
    }
    const byPerson = this.#file.sql(
      `SELECT m.campaign, m.seq FROM messages m INDEXED BY messages_one_per_person
       CROSS JOIN campaigns c ON c.number = m.campaign AND c.account = ?
       WHERE m.user_id = ? AND m.reason IS NULL AND m.message_id = ?`,
    );
    const found = byPerson.raw().all(account, userId, messageId) as Place[];
    return found.length === 1 ? found : [];
  }

  #receipt(
    account: string,
    { messageId, row: named, kind, at, error }: Receipt,
    [number, seq]: Place,
    now: number,
  ): { belongs: boolean; settles: boolean } {
    const row = this.#file
      .sql(
        `SELECT user_id, state, started_at, receipt, receipt_at, receipt_error FROM messages WHERE campaign = ? AND seq = ?`,
      )
      .get(number, seq) as Pick<
      MessageRecord,
      'user_id' | 'state' | 'started_at' | 'receipt' | 'receipt_at' | 'receipt_error'
    >;
    if (row.state !== 'sent' && (named === null || row.started_at === null)) return { belongs: false, settles: false };
    if (tellsOptOut(error)) {
      // They were out when the message was sent. A receipt that is late, or comes again, must not undo what they did since.
      const since = row.started_at ?? at;
      this.#people.changeOptOut({ account, userId: row.user_id, at: since, out: true, source: 'service' });
    }
    let settles = false;
    if (row.state === 'started') {
      // One that was not delivered may be of an earlier attempt, and must not stand for the answer to this one.
      if (kind !== 'undelivered') {
        this.#file
          .sql(`INSERT INTO echoes (campaign, seq, message_id, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`)
          .run(number, seq, messageId, now);
      }
    } else if (settlesRow(kind, row.state)) {
      const settle = this.#file.sql(
        `UPDATE messages SET state = 'sent', reason = NULL, message_id = ?, error = NULL, settled_at = ?
         WHERE campaign = ? AND seq = ?`,
      );
      settles = settle.run(messageId, now, number, seq).changes > 0;
    }
    if (kind !== null && standsAgainst({ kind, at, error }, toReceipt(row))) {
      this.#file
        .sql(`UPDATE messages SET receipt = ?, receipt_at = ?, receipt_error = ? WHERE campaign = ? AND seq = ?`)
        .run(kind, at, error && JSON.stringify(error), number, seq);
    }
    return { belongs: true, settles };
  }
}
