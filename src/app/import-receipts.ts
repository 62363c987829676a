/** Adds to messages what their service said of them later, and makes those sent that were not known to be. */
import { senderKey } from '../core/sender.js';
import type { Account, Clock, Receipt, Store } from '../ports.js';

/** One batch of a log as it was read. */
export interface ReceiptLogBatch {
  receipts: Receipt[];
  problems: { line: number; code: string; text: string }[];
  /** What is no receipt for a message of this account, by kind. */
  ignored: Readonly<Record<string, number>>;
}

export interface ReceiptImportReport {
  receipts: number;
  /** How many of them belong to a message of the account. */
  matched: number;
  /** How many messages are sent by that which were not before: unknown, to be sent again, failed or left out. */
  settled: number;
  /** How many of them belong to no message that was sent from here. */
  unmatched: number;
  problems: number;
  listed: ReceiptLogBatch['problems'];
  ignored: Record<string, number>;
}

const LISTED_PROBLEMS = 20;

export async function importReceipts(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  batches: AsyncIterable<ReceiptLogBatch>,
): Promise<ReceiptImportReport> {
  const report: ReceiptImportReport = {
    receipts: 0,
    matched: 0,
    settled: 0,
    unmatched: 0,
    problems: 0,
    listed: [],
    ignored: {},
  };
  const sender = senderKey(account);
  for await (const { receipts, problems, ignored } of batches) {
    if (receipts.length > 0) {
      const { matched, settled } = await store.recordReceipts(sender, receipts, clock.now());
      report.receipts += receipts.length;
      report.matched += matched;
      report.settled += settled;
      report.unmatched += receipts.length - matched;
    }
    report.problems += problems.length;
    report.listed.push(...problems.slice(0, LISTED_PROBLEMS - report.listed.length));
    for (const [kind, count] of Object.entries(ignored)) report.ignored[kind] = (report.ignored[kind] ?? 0) + count;
  }
  return report;
}
