/** Moves windows forward by what a log says that users did. */
import { senderKey } from '../core/sender.js';
import type { Account, OpenerEvent, Store } from '../ports.js';

/** One batch of a log as it was read. */
export interface WindowLogBatch {
  events: OpenerEvent[];
  problems: { line: number; code: string; text: string }[];
  /** Things that open no window, by kind. */
  ignored: Readonly<Record<string, number>>;
}

export interface ImportReport {
  events: number;
  /** Windows that were opened or moved forward. */
  moved: number;
  problems: number;
  listed: WindowLogBatch['problems'];
  ignored: Record<string, number>;
}

const LISTED_PROBLEMS = 20;

export async function importWindows(
  store: Store,
  account: Account,
  batches: AsyncIterable<WindowLogBatch>,
): Promise<ImportReport> {
  const report: ImportReport = { events: 0, moved: 0, problems: 0, listed: [], ignored: {} };
  for await (const { events, problems, ignored } of batches) {
    report.events += events.length;
    report.moved += await store.recordOpeners(senderKey(account), events);
    report.problems += problems.length;
    report.listed.push(...problems.slice(0, LISTED_PROBLEMS - report.listed.length));
    for (const [kind, count] of Object.entries(ignored)) report.ignored[kind] = (report.ignored[kind] ?? 0) + count;
  }
  return report;
}
