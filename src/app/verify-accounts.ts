/**
 * Whether accounts work, found out by asking their services without sending anything. One account's trouble never keeps the
 * others from being asked, and nobody is waited for without end.
 */
import pLimit from 'p-limit';
import { STOP_STATUS } from '../core/delivery.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../core/failure.js';
import type { Account, AccountCheck, Clock, Provider } from '../ports.js';

/** What was found out about one account. */
export interface Verdict {
  account: string;
  /** Nothing failed; what the service does not tell counts as well. */
  ok: boolean;
  checks: VerdictCheck[];
  /** Of a command that asks for this account only. */
  status: ExitStatus;
}

/** `configuration`: the account cannot even be asked, because of a secret that is missing or a setting. */
export type VerdictCheck = Omit<AccountCheck, 'about' | 'stop'> & { about: AccountCheck['about'] | 'configuration' };

export interface VerifyWorld<A> {
  /** @throws Failure when the account is not in order, as far as is known without asking */
  open: (account: A) => Promise<Provider>;
  clock: Clock;
}

/** A check takes a few calls, each of which is bounded by the provider. */
export const VERIFY_LIMIT_MS = 30_000;
const AT_A_TIME = 8;

/** @returns the verdicts in the order of the accounts */
export async function verifyAccounts<A extends Pick<Account, 'name'>>(
  accounts: readonly A[],
  world: VerifyWorld<A>,
): Promise<Verdict[]> {
  const limit = pLimit(AT_A_TIME);
  return Promise.all(accounts.map((account) => limit(() => verify(account, world))));
}

async function verify<A extends Pick<Account, 'name'>>(account: A, { open, clock }: VerifyWorld<A>): Promise<Verdict> {
  const over = new AbortController();
  const late = clock.sleep(VERIFY_LIMIT_MS, over.signal).then((): AccountCheck[] => [UNANSWERED]);
  try {
    const asked = open(account).then((provider) => provider.verify());
    const checks = await Promise.race([asked, late]);
    const failed = checks.filter((check) => check.state === 'failed');
    return {
      account: account.name,
      ok: failed.length === 0,
      checks: checks.map(({ about, state, detail, hint }) => ({ about, state, detail, hint })),
      // What no run would meet as an error of its own is a fault of the configuration, such as the id of another Page.
      status: gravest(failed.map(({ stop }) => (stop === undefined ? EXIT.usage : STOP_STATUS[stop]))),
    };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { message, hint, status } = error;
    const check: VerdictCheck = { about: 'configuration', state: 'failed', detail: message, hint };
    return { account: account.name, ok: false, checks: [check], status };
  } finally {
    over.abort();
  }
}

const UNANSWERED: AccountCheck = {
  about: 'reachable',
  state: 'failed',
  detail: `The service has not answered for ${VERIFY_LIMIT_MS / 1000} seconds.`,
  hint: 'Check the network and the proxy, and try again.',
  stop: 'network',
};
