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
  QueuedSingle,
  Receipt,
} from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';
import type { SqlitePeople } from './sqlite-people.js';
import type { SqliteReceipts } from './sqlite-receipts.js';
import type { SqliteSingles } from './sqlite-singles.js';

const DEAD_LETTERS_KEPT = 1000;
/** So that what strangers send to no account of ours does not push out the rest. */
const DEAD_LETTERS_OF_A_REASON = 250;
const DEAD_LETTERS_KEPT_MS = 30 * 24 * 60 * 60 * 1000;
const DEAD_LETTER_BYTES = 4096;
/** A body may have a megabyte, and hundreds of them are asked for at once. */
const RECEIVED_CHARACTERS = 8 * 1024 * 1024;
const RECEIVED_AT_ONCE = 50;
const REPEATS_KNOWN_MS = 90 * 24 * 60 * 60 * 1000;
const EMPTY_LOG_EVERY_MS = 60_000;

/** What a repeated event adds. */
const NO_EVENT = { events: [], optOuts: [], singles: [], confirmations: [] };
const ANSWERED: QueuedSingle = { kind: 'not_queued', because: 'occasion', row: null };

export class SqliteInbound {
  readonly #file: SqliteDatabase;
  readonly #people: SqlitePeople;
  readonly #receipts: SqliteReceipts;
  readonly #singles: SqliteSingles;
  readonly #accountLists = new Map<string, string[]>();
  /** Whether bodies of deliveries that were heard here may still stand in the log of recent writes. */
  #isLogFull = false;
  #logEmptiedAt = -Infinity;
  /** Whether the last that was heard has left nothing waiting, and nobody has looked after the log for a while. */
  #isLogDue = false;
  /** Whether the last look found nothing to be heard. */
  #isQuiet = false;

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
    this.#file.sql(`DELETE FROM heard_messages WHERE at < ?`).run(now - REPEATS_KNOWN_MS);
    // Each of them is heard once, also where it is given twice.
    const results = heard.map((one) => (waited.delete(one.delivery.number) ? this.#hear(one, now) : null));
    const reasons = new Set(heard.flatMap(({ dead }) => dead ?? []));
    for (const reason of reasons) {
      this.#file
        .sql(
          `DELETE FROM dead_letters WHERE reason = @reason AND delivery <=
             (SELECT delivery FROM dead_letters WHERE reason = @reason
              ORDER BY delivery DESC LIMIT 1 OFFSET ${DEAD_LETTERS_OF_A_REASON})`,
        )
        .run({ reason });
    }
    if (reasons.size > 0) {
      this.#file
        .sql(
          `DELETE FROM dead_letters WHERE received_at < ? OR delivery <=
             (SELECT delivery FROM dead_letters ORDER BY delivery DESC LIMIT 1 OFFSET ${DEAD_LETTERS_KEPT})`,
        )
        .run(now - DEAD_LETTERS_KEPT_MS);
    }
    const isTimeToEmptyLog = Math.abs(now - this.#logEmptiedAt) >= EMPTY_LOG_EVERY_MS;
    const waiting = this.#file.sql(`SELECT 1 FROM deliveries LIMIT 1`);
    this.#isLogDue = isTimeToEmptyLog && waiting.get() === undefined;
    return results;
  }

  /** After `received`, outside of a write: what people wrote is to be gone soon also where nothing more comes in. */
  looked(found: number): void {
    if (found === 0 && this.#isQuiet && this.#isLogFull) this.#isLogFull = !this.#file.emptyLog();
    this.#isQuiet = found === 0;
  }

  /** After `hear`, outside of a write. */
  wasHeard(now: number): void {
    this.#isLogFull = true;
    if (!this.#isLogDue) return;
    this.#logEmptiedAt = now;
    this.#isLogFull = !this.#file.emptyLog();
  }

  /** Before the store closes. */
  leave(): void {
    if (this.#isLogFull) this.#file.emptyLog();
  }

  deadLetters(since: number, limit: number): DeadLetter[] {
    return this.#file
      .sql(
        `SELECT received_at AS receivedAt, service, reason, body FROM dead_letters WHERE received_at >= ?
         ORDER BY delivery DESC LIMIT ?`,
      )
      .all(since, limit) as DeadLetter[];
  }

  deadLetterCounts(since: number): Partial<Record<DeadReason, number>> {
    const counts = this.#file
      .sql(`SELECT reason, count(*) FROM dead_letters WHERE received_at >= ? GROUP BY reason`)
      .raw()
      .all(since);
    return Object.fromEntries(counts as [DeadReason, number][]);
  }

  #hear(heard: HeardDelivery, now: number): HeardResult {
    const { delivery, echoes, receipts, dead } = heard;
    const isRepeated = this.#isRepeated(heard, now);
    const { events, optOuts, singles, confirmations } = isRepeated ? NO_EVENT : heard;
    const result: HeardResult = { openersMoved: 0, rowsSettled: 0, receiptsMatched: 0, singles: [] };
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
      if (!outBefore.has(person)) outBefore.set(person, was);
      if (is) outNow.add(person);
      else outNow.delete(person);
    }
    const confirmed = confirmations.filter((one) => {
      const person = personKey({ account: one.campaign.account, userId: one.userId });
      return outNow.has(person) && outBefore.get(person) === false;
    });
    const queue = (single: NewSingle): void => void result.singles.push(this.#singles.queue(single, now));
    singles.forEach(queue);
    if (isRepeated) result.singles = heard.singles.map(() => ANSWERED);
    confirmed.forEach(queue);
    if (dead !== null) this.#bury(delivery, dead);
    return result;
  }

  /**
   * Whether its event was heard before. Twilio does not tell when something was written, so a repeated START would count as
   * a later one, and undo the STOP that came between. Others tell the time, and for them a repeated event changes nothing.
   */
  #isRepeated({ delivery, events }: HeardDelivery, now: number): boolean {
    if (delivery.service !== 'twilio' || events.length === 0) return false;
    const remember = this.#file.sql(
      `INSERT INTO heard_messages (account, id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
    );
    const fresh = events.filter(({ account, id }) => remember.run(account, id, now).changes > 0);
    return fresh.length === 0;
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
