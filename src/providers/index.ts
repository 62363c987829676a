/** The list of providers. A name that is added to `ProviderName` does not compile until it stands here. */
import { Failure } from '../core/failure.js';
import type { Channel } from '../core/template.js';
import type { Clock, Provider, ProviderName } from '../ports.js';
import { createGraphProvider } from './graph.js';

/** One account's settings; secrets are their values, already resolved. */
export interface ProviderSettings {
  channel: Channel;
  /** Page id, Instagram account id or phone number. */
  id: string;
  /** The access token. The sandbox provider needs the sandbox's. */
  token?: string;
  appSecret?: string;
  /** Where the platform is; the sandbox provider needs the sandbox's URL. */
  baseUrl?: string;
  /** Graph API version. */
  version?: string;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
}

const GRAPH_URL = 'https://graph.facebook.com';
/** The newest known, of 29 July 2026 (graph-api changelog). */
const GRAPH_VERSION = 'v26.0';

type Opener = (settings: ProviderSettings, clock: Clock) => Provider;

const graph: Opener = ({ channel, id, token, ...rest }, clock) => {
  if (token === undefined || token === '') {
    throw new Failure(
      'SECRET_MISSING',
      'The account has no access token.',
      'Set the variable that its `token:` names.',
    );
  }
  return createGraphProvider(
    { baseUrl: GRAPH_URL, version: GRAPH_VERSION, ...rest, pageId: id, channel, token },
    clock,
  );
};

const sandbox: Opener = (settings, clock) => {
  if (settings.baseUrl === undefined) {
    throw new Failure('CONFIG_INVALID', 'The sandbox account does not say where the sandbox is.');
  }
  return graph(settings, clock);
};

const planned =
  (name: string): Opener =>
  () => {
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      `This version of pagecast cannot send through ${name} yet.`,
      'Accounts of the providers graph and sandbox can send.',
    );
  };

const PROVIDERS = {
  graph,
  sandbox,
  cams: planned('Alibaba Cloud CAMS'),
  twilio: planned('Twilio'),
} satisfies Record<ProviderName, Opener>;

/**
 * Opens the provider of an account. Connects to nothing until the first message.
 * @throws Failure SECRET_MISSING, CONFIG_INVALID, PROVIDER_UNAVAILABLE
 */
export function openProvider(name: ProviderName, settings: ProviderSettings, clock: Clock): Provider {
  return PROVIDERS[name](settings, clock);
}
