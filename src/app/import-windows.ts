/** Moves windows forward by what a log says that users did, and settles messages that it says came back. */
import { senderKey } from '../core/sender.js';
import type { Account, Clock, Echo, OpenerEvent, Store } from '../ports.js';

/** One batch of a log as it was read. */
export interface WindowLogBatch {
  events: OpenerEvent[];
  echoes: Echo[];
  problems: { line: number; code: string; text: string }[];
  /** Things that open no window, by kind. */
  ignored: Readonly<Record<string, number>>;
}

export interface ImportReport {
  events: number;
  /** Windows that were opened or moved forward. */
  moved: number;
  /** Messages of ours that came back. */
  echoes: number;
  /** How many of them had an unknown outcome, and are sent by that. */
  settled: number;
  problems: number;
  listed: WindowLogBatch['problems'];
  ignored: Record<string, number>;
}

const LISTED_PROBLEMS = 20;

export async function importWindows(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  batches: AsyncIterable<WindowLogBatch>,
): Promise<ImportReport> {
  const report: ImportReport = { events: 0, moved: 0, echoes: 0, settled: 0, problems: 0, listed: [], ignored: {} };
  const sender = senderKey(account);
  for await (const { events, echoes, problems, ignored } of batches) {
    report.events += events.length;
    report.moved += await store.recordOpeners(sender, events);
    report.echoes += echoes.length;
    if (echoes.length > 0) report.settled += await store.recordEchoes(sender, echoes, clock.now());
    report.problems += problems.length;
    report.listed.push(...problems.slice(0, LISTED_PROBLEMS - report.listed.length));
    for (const [kind, count] of Object.entries(ignored)) report.ignored[kind] = (report.ignored[kind] ?? 0) + count;
  }
  return report;
}
