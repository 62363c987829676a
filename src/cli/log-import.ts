/** What the imports of logs share: which account a log is for, and what is told of that which could not be used. */
import { Option } from 'commander';
import { Failure } from '../core/failure.js';
import type { AccountConfig } from '../workspace/config.js';
import type { Context } from './context.js';
import { clip } from './messages.js';
import { plural } from './render.js';

export function accountOption(): Option {
  return new Option('--account <name>', 'the account (default: sandbox, where there is no other)');
}

/**
 * What is told of the wrong account would be trusted, so a choice is never made for anybody.
 * @throws Failure ANSWER_NEEDED, ACCOUNT_UNKNOWN
 */
export async function chosenAccount(context: Context, given: string | undefined): Promise<AccountConfig> {
  if (given !== undefined) return context.account(given);
  const names = [...(await context.workspace()).accounts.keys()];
  if (names.length > 1) {
    throw new Failure('ANSWER_NEEDED', '--account is missing.', `Pass --account with one of: ${names.join(', ')}.`);
  }
  return context.account(names[0] ?? 'sandbox');
}

/** How many ids of other accounts are named. */
const NAMED_ACCOUNTS = 3;

/** Passes batches on, and remembers whose events were left out. */
export async function* noting<Batch extends { otherAccounts: readonly string[] }>(
  batches: AsyncIterable<Batch>,
  others: Set<string>,
): AsyncIterable<Batch> {
  for await (const batch of batches) {
    for (const id of batch.otherAccounts) if (others.size <= NAMED_ACCOUNTS) others.add(id);
    yield batch;
  }
}

/** One sentence about what was left out because it is another account's. */
export function ofOthersLine(count: number, others: ReadonlySet<string>, { name, id }: AccountConfig): string {
  const ids = [...others].slice(0, NAMED_ACCOUNTS).map((other) => clip(other));
  const which = others.size === 1 ? 'another account (id' : 'other accounts (ids';
  const more = others.size > ids.length ? ', …' : '';
  return `Passed over: ${count} of ${which} ${ids.join(', ')}${more}); ${name} is ${id}.`;
}

/** @param used whether the rest of the log was of use */
export function problemLines(
  { problems, listed }: { problems: number; listed: readonly { line: number; text: string }[] },
  used: boolean,
): string[] {
  const lines = listed.map(({ line, text }) => `  ${line === 0 ? '' : `line ${line}: `}${text}`);
  if (problems > listed.length) lines.push(`  … and ${problems - listed.length} more`);
  if (problems > 0 && used) lines.push(`${plural(problems, 'line')} could not be used; the others were.`);
  return lines;
}
