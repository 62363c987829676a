/** What was found out about an account, for people. */
import type { ChalkInstance } from 'chalk';
import type { Verdict, VerdictCheck } from '../app/verify-accounts.js';
import type { Account } from '../ports.js';

/** As wide as one another. */
export const MARKS: Record<VerdictCheck['state'], (paint: ChalkInstance) => string> = {
  ok: (paint) => paint.green('ok  '),
  failed: (paint) => paint.red('FAIL'),
  unknown: (paint) => paint.yellow('?   '),
};

export function verdictText(
  { name, provider, channel, id }: Account,
  { checks }: Verdict,
  paint: ChalkInstance,
): string {
  const lines = checks.map(
    ({ about, state, detail, hint }) =>
      `  ${MARKS[state](paint)} ${about}: ${detail}${hint === '' ? '' : `\n       ${hint}`}`,
  );
  return [`${paint.bold(name)} (${provider}, ${channel}, ${id})`, ...lines].join('\n');
}
