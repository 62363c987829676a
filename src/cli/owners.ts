/** The sender "record-owner" (row V2): messages that leave by SMS from the number of whoever a record belongs to. */
import { Failure } from '../core/failure.js';
import type { AccountConfig } from '../workspace/config.js';
import type { Context } from './context.js';

/** Stands where an account's name would. */
export const RECORD_OWNER = 'record-owner';

/** The accounts of record owners, each with the owners whose number it is. @throws Failure CONFIG_INVALID */
export async function ownerAccounts(context: Context): Promise<{ account: AccountConfig; owners: Set<string> }[]> {
  const { owners } = await context.workspace();
  if (owners.size === 0) {
    throw new Failure(
      'CONFIG_INVALID',
      'There are no record owners to send for.',
      'Name them in pagecast.yaml, each with their SMS account: owners: { alice: alice-sms }',
    );
  }
  const byAccount = new Map<string, Set<string>>();
  for (const [owner, account] of owners) byAccount.set(account, (byAccount.get(account) ?? new Set()).add(owner));
  return Promise.all(
    [...byAccount].map(async ([name, names]) => ({ account: await context.account(name), owners: names })),
  );
}
