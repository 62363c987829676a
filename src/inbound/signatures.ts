/**
 * Who may speak for which accounts: how each service signs its callbacks, or what token it shows instead. Everything secret is
 * compared in a time that does not depend on where it differs, and against all that are known. An empty secret is none, since
 * everybody can sign with it.
 * Source: Meta, "Webhooks" (validating payloads); Twilio, "Webhooks security". CAMS documents no signature.
 */
import { createHash, createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import type * as webhooks from 'twilio/lib/webhooks/webhooks.js';
import { Failure } from '../core/failure.js';

export interface Credentials {
  /** Any of these is right in Meta's verification of the address. */
  verifyTokens: string[];
  /** App secrets, and the `senderKey` of each account that the app of one may tell of; as in the other two. */
  meta: { secret: string; accounts: string[] }[];
  /** Tokens that stand in the path. */
  cams: { token: string; accounts: string[] }[];
  twilio: { authToken: string; accounts: string[] }[];
  /** For calls of flows; null where there are none. */
  flowToken: string | null;
  /** Where Twilio finds the listener, such as `https://example.com`, without the path; null where it does not. */
  url: string | null;
}

/** Gives the accounts that a right signature or token speaks for; null for a wrong one. */
export type Check<Signed> = (given: string, signed: Signed) => string[] | null;

/** A header that is not of this shape is refused before anything is read. */
export const META_SIGNATURE = /^sha256=[\da-f]{64}$/;
export const TWILIO_SIGNATURE = /^[A-Za-z\d+/]{27}=$/;

export function metaCheck(apps: Credentials['meta']): Check<Buffer> {
  const keys = apps
    .filter(({ secret }) => secret !== '')
    .map(({ secret, accounts }) => ({ key: createSecretKey(secret, 'utf8'), accounts }));
  const isRight = (key: KeyObject, signature: Buffer, body: Buffer): boolean =>
    timingSafeEqual(createHmac('sha256', key).update(body).digest(), signature);
  return (header, body) => {
    const signature = Buffer.from(header.slice('sha256='.length), 'hex');
    return accountsOf(keys.filter(({ key }) => isRight(key, signature, body)));
  };
}

/** For what shows a secret as it is. */
export function tokenCheck(known: readonly { token: string; accounts: string[] }[]): Check<void> {
  const digests = known
    .filter(({ token }) => token !== '')
    .map(({ token, accounts }) => ({ digest: digestOf(token), accounts }));
  return (token) => {
    const given = digestOf(token);
    return accountsOf(digests.filter(({ digest }) => timingSafeEqual(digest, given)));
  };
}

/** Of the same length for all. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function accountsOf(right: readonly { accounts: string[] }[]): string[] | null {
  const [first, ...others] = right;
  if (first === undefined) return null;
  return others.length === 0 ? first.accounts : [...new Set(right.flatMap(({ accounts }) => accounts))];
}

/** What Twilio signs: the path and query that it came to, and the form. */
export interface SignedForm {
  path: string;
  form: string;
}

/** Parameters of a form; those of Twilio have a few dozen. */
const MAX_PARAMETERS = 1000;

/**
 * @param base the address to which the path belongs
 * @throws Failure PROVIDER_UNAVAILABLE when Twilio's library, which is optional, is not there
 */
export async function twilioCheck(known: Credentials['twilio'], base: string): Promise<Check<SignedForm>> {
  const { validateRequest } = await twilioLibrary();
  const root = base.replace(/\/+$/, '');
  return (signature, { path, form }) => {
    const parameters = formParameters(form);
    if (parameters === null || !path.startsWith('/')) return null;
    const isRight = (token: string): boolean => validateRequest(token, signature, `${root}${path}`, parameters);
    return accountsOf(known.filter(({ authToken }) => authToken !== '' && isRight(authToken)));
  };
}

/** Null for too many. */
function formParameters(form: string): Record<string, string[]> | null {
  const parameters = Object.create(null) as Record<string, string[]>;
  let count = 0;
  for (let at = form.indexOf('&'); at !== -1; at = form.indexOf('&', at + 1)) count += 1;
  if (count >= MAX_PARAMETERS) return null;
  for (const [name, value] of new URLSearchParams(form)) (parameters[name] ??= []).push(value);
  return parameters;
}

/** Only the part that checks signatures: the library as a whole takes long to load. */
async function twilioLibrary(): Promise<typeof webhooks> {
  try {
    return await import('twilio/lib/webhooks/webhooks.js');
  } catch (error) {
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      'Callbacks of Twilio need the library "twilio" to check their signatures, which cannot be loaded.',
      'Install it beside pagecast: npm install twilio@6.2.0 (npm install --global twilio@6.2.0 where pagecast is installed so).',
      error,
    );
  }
}
