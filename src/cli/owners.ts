/** The sender "record-owner" (row V2): messages that leave by SMS from the number of whoever a record belongs to. */
import { Failure } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { AccountConfig } from '../workspace/config.js';
import type { Context } from './context.js';

/** Stands where an account's name would. */
export const RECORD_OWNER = 'record-owner';

/** A number that messages of record owners leave from. */
export interface OwnersNumber {
  account: AccountConfig;
  /** Whose number it is. */
  owners: Set<string>;
}

/**
 * The numbers of record owners. Two accounts with one number are one sender, with the settings of the first.
 * @throws Failure CONFIG_INVALID
 */
export async function ownerAccounts(context: Context): Promise<[OwnersNumber, ...OwnersNumber[]]> {
  const { owners } = await context.workspace();
  const numbers = new Map<string, OwnersNumber>();
  for (const [owner, name] of owners) {
    const account = await context.account(name);
    const known = numbers.get(senderKey(account));
    if (known) known.owners.add(owner);
    else numbers.set(senderKey(account), { account, owners: new Set([owner]) });
  }
  const [first, ...others] = numbers.values();
  if (first) return [first, ...others];
  throw new Failure(
    'CONFIG_INVALID',
    'There are no record owners to send for.',
    'Name them in pagecast.yaml, each with their SMS account: owners: { alice: alice-sms }',
  );
}
