/** Callbacks from the moment they are accepted: kept until they are heard, and then all that they say takes effect at once. */
import type {
  CallbackService,
  DeadLetter,
  DeadReason,
  Delivery,
  HeardDelivery,
  HeardResult,
  NewDelivery,
  NewSingle,
  Receipt,
} from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import type { SqlitePeople } from './sqlite-people.js';
import type { SqliteReceipts } from './sqlite-receipts.js';
import type { SqliteSingles } from './sqlite-singles.js';

const DEAD_LETTERS_KEPT = 1000;
const DEAD_LETTER_BYTES = 4096;
/** A body may have a megabyte, and hundreds of them are asked for at once. */
const RECEIVED_CHARACTERS = 8 * 1024 * 1024;
const RECEIVED_AT_ONCE = 50;

export class SqliteInbound {
  readonly #file: SqliteDatabase;
  readonly #people: SqlitePeople;
  readonly #receipts: SqliteReceipts;
  readonly #singles: SqliteSingles;
  readonly #accountLists = new Map<string, string[]>();

  constructor(file: SqliteDatabase, people: SqlitePeople, receipts: SqliteReceipts, singles: SqliteSingles) {
    this.#file = file;
    this.#people = people;
    this.#receipts = receipts;
    this.#singles = singles;
  }

  /** Inside a write. */
  receive(deliveries: readonly NewDelivery[]): void {
    const insert = this.#file.sql(`INSERT INTO deliveries (service, accounts, body, received_at) VALUES (?, ?, ?, ?)`);
    for (const { service, accounts, body, receivedAt } of deliveries)
      insert.run(service, JSON.stringify(accounts), body, receivedAt);
  }

  received(limit: number): Delivery[] {
    const page = this.#file
      .sql(
        `SELECT number, service, accounts, body, received_at FROM deliveries
         WHERE number > ? ORDER BY number LIMIT ${RECEIVED_AT_ONCE}`,
      )
      .raw();
    const found: Delivery[] = [];
    let size = 0;
    while (found.length < limit && size < RECEIVED_CHARACTERS) {
      type Row = [number: number, service: CallbackService, accounts: string, body: string, receivedAt: number];
      const rows = page.all(found.at(-1)?.number ?? -1) as Row[];
      for (const [number, service, accounts, body, receivedAt] of rows.slice(0, limit - found.length)) {
        found.push({ number, service, accounts: this.#accounts(accounts), body, receivedAt });
        size += body.length;
      }
      if (rows.length < RECEIVED_AT_ONCE) break;
    }
    return found;
  }

  /** There are a few of these lists, and very many deliveries. */
  #accounts(json: string): string[] {
    let accounts = this.#accountLists.get(json);
    if (accounts === undefined) {
      accounts = JSON.parse(json) as string[];
      this.#accountLists.set(json, accounts);
    }
    return accounts;
  }

  backlog(): number {
    return this.#file.sql(`SELECT count(*) FROM deliveries`).pluck().get() as number;
  }

  /** Inside a write. */
  hear(heard: readonly HeardDelivery[], now: number): (HeardResult | null)[] {
    const numbers = JSON.stringify(heard.map(({ delivery }) => delivery.number));
    const waited = new Set(
      this.#file
        .sql(`DELETE FROM deliveries WHERE number IN (SELECT value FROM json_each(?)) RETURNING number`)
        .pluck()
        .all(numbers) as number[],
    );
    // Each of them is heard once, also where it is given twice.
    const results = heard.map((one) => (waited.delete(one.delivery.number) ? this.#hear(one, now) : null));
    if (heard.some(({ dead }) => dead !== null)) {
      this.#file
        .sql(
          `DELETE FROM dead_letters WHERE delivery <=
             (SELECT delivery FROM dead_letters ORDER BY delivery DESC LIMIT 1 OFFSET ${DEAD_LETTERS_KEPT})`,
        )
        .run();
    }
    return results;
  }

  deadLetters(limit: number): DeadLetter[] {
    return this.#file
      .sql(`SELECT received_at AS receivedAt, service, reason, body FROM dead_letters ORDER BY delivery DESC LIMIT ?`)
      .all(limit) as DeadLetter[];
  }

  deadLetterCounts(): Partial<Record<DeadReason, number>> {
    const counts = this.#file.sql(`SELECT reason, count(*) FROM dead_letters GROUP BY reason`).raw().all();
    return Object.fromEntries(counts as [DeadReason, number][]);
  }

  #hear(heard: HeardDelivery, now: number): HeardResult {
    const { delivery, events, echoes, receipts, optOuts, singles, dead } = heard;
    const result: HeardResult = { openersMoved: 0, rowsSettled: 0, receiptsMatched: 0, optOutsChanged: 0, singles: [] };
    for (const event of events) if (this.#people.opened(event.account, event)) result.openersMoved += 1;
    for (const echo of echoes) if (this.#receipts.echo(echo.account, echo, now)) result.rowsSettled += 1;
    for (const [account, some] of byAccount(receipts)) {
      const places = this.#receipts.placesByMessage(account, some);
      const { matched, settled } = this.#receipts.receipts(account, some, places, now);
      result.receiptsMatched += matched;
      result.rowsSettled += settled;
    }
    const outBefore = new Map<string, boolean>();
    const outNow = new Set<string>();
    for (const change of optOuts) {
      const person = personKey(change);
      const { was, is } = this.#people.changeOptOut(change);
      if (was !== is) result.optOutsChanged += 1;
      if (!outBefore.has(person)) outBefore.set(person, was);
      if (is) outNow.add(person);
      else outNow.delete(person);
    }
    const confirmed = heard.confirmations.filter((one) => {
      const person = personKey({ account: one.campaign.account, userId: one.userId });
      return outNow.has(person) && outBefore.get(person) === false;
    });
    const queue = (single: NewSingle): void => void result.singles.push(this.#singles.queue(single, now));
    singles.forEach(queue);
    confirmed.forEach(queue);
    if (dead !== null) this.#bury(delivery, dead);
    return result;
  }

  #bury({ number, service, receivedAt, body }: Delivery, reason: DeadReason): void {
    this.#file
      .sql(`INSERT INTO dead_letters (delivery, service, received_at, reason, body) VALUES (?, ?, ?, ?, ?)`)
      .run(number, service, receivedAt, reason, beginning(body));
  }
}

/** At most so many bytes, and no broken character at their end. */
function beginning(body: string): string {
  const bytes = new TextEncoder().encode(body.slice(0, DEAD_LETTER_BYTES)).subarray(0, DEAD_LETTER_BYTES);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true });
}

function byAccount(receipts: HeardDelivery['receipts']): Map<string, Receipt[]> {
  const found = new Map<string, Receipt[]>();
  for (const receipt of receipts) {
    const some = found.get(receipt.account);
    if (some) some.push(receipt);
    else found.set(receipt.account, [receipt]);
  }
  return found;
}

/** No user id has a space in it. */
function personKey({ account, userId }: { account: string; userId: string }): string {
  return `${userId} ${account}`;
}
