/** Where a service is, by the base URL of an account. */
import { Failure } from '../core/failure.js';
import type { ProxySettings } from './http.js';

export interface ServiceUrl {
  /** Such as `https://graph.facebook.com`. */
  origin: string;
  hostname: string;
  /** The name with the port, where that is not the usual one. */
  host: string;
  /** What every path begins with; empty mostly, and without a slash at its end. */
  path: string;
  /** The account's proxy, where the way leads through it. */
  proxy: ProxySettings | undefined;
}

/**
 * @param exposed what plain http would show to whoever listens, such as `the access token`
 * @throws Failure CONFIG_INVALID
 */
export function serviceUrl(baseUrl: string, proxy: ProxySettings | undefined, exposed: string): ServiceUrl {
  if (!URL.canParse(baseUrl)) {
    throw new Failure('CONFIG_INVALID', 'The base URL of the account is not a web address.');
  }
  const { protocol, hostname, host, origin, pathname } = new URL(baseUrl);
  const isLoopback = /^(localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/.test(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback)) {
    throw new Failure(
      'CONFIG_INVALID',
      'The base URL of the account must begin with https://.',
      `Plain http is taken for this machine only: ${exposed} would travel in the open.`,
    );
  }
  // Plain http goes to this machine only, where a proxy has no business.
  return {
    origin,
    hostname,
    host,
    path: pathname.replace(/\/+$/, ''),
    proxy: protocol === 'https:' ? proxy : undefined,
  };
}

/** Whether a secret can stand in a header; a line break at its end is the usual reason why not. */
export function fitsHeader(secret: string): boolean {
  return /^[\x21-\x7e]+$/.test(secret);
}
