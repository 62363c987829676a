/** Keeps who has opted out by a list from elsewhere. */
import { senderKey } from '../core/sender.js';
import { DEFAULT_WINDOW } from '../core/window.js';
import type { Account, Clock, Store } from '../ports.js';

/** One batch of a list as it was read. */
export interface OptOutLogBatch {
  /** `at` is null where the list does not say when. */
  people: { userId: string; at: number | null }[];
  problems: { line: number; code: string; text: string }[];
}

export interface OptOutImportReport {
  /** People who were read, each as often as they are in the list. */
  people: number;
  /** How many have opted out by that who had not before. */
  changed: number;
  problems: number;
  listed: OptOutLogBatch['problems'];
}

const LISTED_PROBLEMS = 20;

export async function importOptOuts(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  batches: AsyncIterable<OptOutLogBatch>,
): Promise<OptOutImportReport> {
  const report: OptOutImportReport = { people: 0, changed: 0, problems: 0, listed: [] };
  const sender = senderKey(account);
  const now = clock.now();
  for await (const { people, problems } of batches) {
    report.people += people.length;
    report.problems += problems.length;
    report.listed.push(...problems.slice(0, LISTED_PROBLEMS - report.listed.length));
    const ids = people.map(({ userId }) => userId);
    const standings = ids.length === 0 ? [] : await store.standings(sender, ids, DEFAULT_WINDOW);
    const changes = people.map(({ userId, at }, index) => {
      // A list without dates, imported again, must not take away the answers to what they have written since.
      const since = at ?? standings[index]?.optedOutAt ?? now;
      return { account: sender, userId, at: since, out: true, source: 'import' as const };
    });
    if (changes.length > 0) report.changed += await store.changeOptOuts(changes);
  }
  return report;
}
