/** The list of providers. A name that is added to `ProviderName` does not compile until it stands here. */
import { Failure } from '../core/failure.js';
import type { Channel } from '../core/template.js';
import type { Clock, Provider, ProviderName } from '../ports.js';
import { createCamsProvider } from './cams.js';
import type { Login } from './graph-message.js';
import { createGraphProvider } from './graph.js';
import type { ProxySettings } from './http.js';
import { createTwilioProvider } from './twilio.js';

/** One account's settings; secrets are their values, already resolved. */
export interface ProviderSettings {
  channel: Channel;
  /** Page id, Instagram account id or phone number. */
  id: string;
  /** The access token. The sandbox provider needs the sandbox's. */
  token?: string;
  appSecret?: string;
  /** What CAMS needs: its CustSpaceId and an AccessKey pair of Alibaba Cloud. */
  spaceId?: string;
  accessKeyId?: string;
  accessKeySecret?: string;
  /** Twilio's two. */
  accountSid?: string;
  authToken?: string;
  /** Where Twilio tells what became of each message. */
  statusCallback?: string;
  /** Where the platform is; the sandbox provider needs the sandbox's URL. */
  baseUrl?: string;
  /** Graph API version. */
  version?: string;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
  /** What HTTP_PROXY, HTTPS_PROXY and NO_PROXY say. */
  proxy?: ProxySettings;
  /** The most messages in one request, where the provider can send several; 1 unless given. */
  batch?: number;
  /** Whose login the token of a graph account comes from; the base URL tells it unless given, or is the login's own. */
  login?: Login;
  /** The Instagram account's own id, where `id` is that of its Page. */
  instagramId?: string;
}

const GRAPH_URL: Record<Login, string> = {
  facebook: 'https://graph.facebook.com',
  instagram: 'https://graph.instagram.com',
};
/** The newest known, of 29 July 2026 (graph-api changelog). */
const GRAPH_VERSION = 'v26.0';
/** The only endpoint that is documented. */
const CAMS_URL = 'https://cams.ap-southeast-1.aliyuncs.com';
const TWILIO_URL = 'https://api.twilio.com';

type Opener = (settings: ProviderSettings, clock: Clock) => Provider;

const graph: Opener = ({ channel, id, token, ...rest }, clock) => {
  if (token === undefined || token === '') {
    throw new Failure(
      'SECRET_MISSING',
      'The account has no access token.',
      'Set the variable that its `token:` names.',
    );
  }
  const baseUrl = GRAPH_URL[rest.login ?? 'facebook'];
  return createGraphProvider({ baseUrl, version: GRAPH_VERSION, ...rest, pageId: id, channel, token }, clock);
};

const sandbox: Opener = (settings, clock) => {
  if (settings.baseUrl === undefined) {
    throw new Failure('CONFIG_INVALID', 'The sandbox account does not say where the sandbox is.');
  }
  return graph(settings, clock);
};

const twilio: Opener = ({ id, accountSid, authToken, ...rest }, clock) => {
  if (accountSid === undefined || authToken === undefined) {
    throw new Failure(
      'SECRET_MISSING',
      'The account has no account SID or no auth token.',
      'Set the variables that its `accountSid:` and `authToken:` name.',
    );
  }
  return createTwilioProvider({ baseUrl: TWILIO_URL, ...rest, number: id, accountSid, authToken }, clock);
};

const cams: Opener = ({ id, spaceId, accessKeyId, accessKeySecret, ...rest }, clock) => {
  if (spaceId === undefined) throw new Failure('CONFIG_INVALID', 'The account does not name its space of CAMS.');
  if (accessKeyId === undefined || accessKeySecret === undefined) {
    throw new Failure(
      'SECRET_MISSING',
      'The account has no AccessKey id or no AccessKey secret.',
      'Set the variables that its `accessKeyId:` and `accessKeySecret:` name.',
    );
  }
  return createCamsProvider(
    { baseUrl: CAMS_URL, ...rest, accountId: id, spaceId, accessKeyId, accessKeySecret },
    clock,
  );
};

const PROVIDERS = {
  graph,
  sandbox,
  cams,
  twilio,
} satisfies Record<ProviderName, Opener>;

/**
 * Opens the provider of an account. Connects to nothing until the first message.
 * @throws Failure SECRET_MISSING, CONFIG_INVALID, PROVIDER_UNAVAILABLE
 */
export function openProvider(name: ProviderName, settings: ProviderSettings, clock: Clock): Provider {
  return PROVIDERS[name](settings, clock);
}
