/** What comes in for the accounts: which callbacks can be checked and with what, and the addresses to enter at each service. */
import { Failure } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { CallbackService, ProviderName } from '../ports.js';
import type { Credentials } from '../inbound/signatures.js';
import type { AccountConfig } from '../workspace/config.js';
import type { SecretRef } from '../workspace/secrets.js';
import type { Context } from './context.js';

/** Whether what a service tells of an account can be checked. */
export interface AccountCallbacks {
  account: AccountConfig;
  service: CallbackService;
  /** What it is checked with; null when that cannot be had. */
  secret: string | null;
  /** Why not. */
  failure: Failure | null;
}

const SERVICE: Record<ProviderName, CallbackService> = {
  graph: 'meta',
  sandbox: 'meta',
  cams: 'cams',
  twilio: 'twilio',
};

/** The key of the configuration that names what callbacks are checked with, and what to do where it is missing. */
const KEY: Record<CallbackService, { key: 'appSecret' | 'callbackToken' | 'authToken'; why: string }> = {
  meta: { key: 'appSecret', why: 'Meta signs its webhooks with the secret of the app' },
  cams: { key: 'callbackToken', why: 'CAMS signs nothing, so the address that it calls must hold a token' },
  twilio: { key: 'authToken', why: 'Twilio signs what it tells with the auth token' },
};

/** Of each account of which anything can come in, in the order of the configuration. */
export async function accountCallbacks(context: Context): Promise<AccountCallbacks[]> {
  const { accounts, listen } = await context.workspace();
  const secrets = await context.secrets();
  const found: AccountCallbacks[] = [];
  for (const account of accounts.values()) {
    const service = SERVICE[account.provider];
    const { key, why } = KEY[service];
    const ref = (account as Partial<Record<typeof key, SecretRef>>)[key];
    // The embedded sandbox ends with each command, and calls nobody.
    if (account.provider === 'sandbox' && account.url === undefined && ref === undefined) continue;
    if (ref === undefined) {
      const hint = `Name its place: pagecast account add ${account.name} --replace --${flag(key)} env:NAME`;
      const failure = new Failure('SECRET_MISSING', `${account.name} has no ${key}: ${why}.`, hint);
      found.push({ account, service, secret: null, failure });
      continue;
    }
    if (service === 'twilio' && listen.url === null) {
      const failure = new Failure(
        'CONFIG_INVALID',
        'listen: has no url, and Twilio signs the address that it calls.',
        'Write into pagecast.yaml where the listener is reached from outside: listen: { url: https://… }',
      );
      found.push({ account, service, secret: null, failure });
      continue;
    }
    try {
      found.push({ account, service, secret: await secrets.read(ref), failure: null });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      found.push({ account, service, secret: null, failure: error });
    }
  }
  return found;
}

function flag(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * What callbacks are checked with. Accounts that share a secret belong to one app, whose signature speaks for all of them.
 * @throws Failure SECRET_MISSING, SECRET_UNUSABLE for a token that `listen:` names
 */
export async function callbackCredentials(
  context: Context,
  callbacks: readonly AccountCallbacks[],
): Promise<Credentials> {
  const { listen } = await context.workspace();
  const secrets = await context.secrets();
  const by = (service: CallbackService): [secret: string, accounts: string[]][] => {
    const accounts = new Map<string, Set<string>>();
    for (const one of callbacks) {
      if (one.service !== service || one.secret === null) continue;
      accounts.set(one.secret, (accounts.get(one.secret) ?? new Set()).add(senderKey(one.account)));
    }
    return [...accounts].map(([secret, keys]) => [secret, [...keys]]);
  };
  return {
    verifyTokens: listen.verifyToken === null ? [] : [await secrets.read(listen.verifyToken)],
    meta: by('meta').map(([secret, accounts]) => ({ secret, accounts })),
    cams: by('cams').map(([token, accounts]) => ({ token, accounts })),
    twilio: by('twilio').map(([authToken, accounts]) => ({ authToken, accounts })),
    flowToken: listen.flowToken === null ? null : await secrets.read(listen.flowToken),
    url: listen.url,
  };
}

/** Where a service is to call; the token of CAMS is a secret and is not told. */
export function callbackAddress(service: CallbackService, url: string): string {
  return `${url}/webhooks/${service}${service === 'cams' ? '/<callbackToken>' : ''}`;
}
