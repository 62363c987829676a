/**
 * SMS through Twilio: the Messages resource of its REST API (2010-04-01). Twilio's own library makes the requests and reads
 * the replies; in between they go through the transport of all providers, so that a fault means what it means everywhere, and
 * nothing is ever sent twice. Error codes and their classes are in core/twilio-errors.ts.
 */
import { createRequire } from 'node:module';
import type twilio from 'twilio';
import type { DeliveryError, Outcome } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { readRowMetadata } from '../core/metadata.js';
import type { Channel, Message } from '../core/template.js';
import { PHONE } from '../core/user-id.js';
import type { Clock, OutgoingMessage, Provider } from '../ports.js';
import { createTransport, type Fault, type ProxySettings, type Reply } from './http.js';
import { createRedactor } from './redaction.js';
import { DEFAULT_PAUSE_MS, errorOutcome, faultOutcome, notTakenUp, type NotSent } from './service-reply.js';
import { fitsHeader, serviceUrl, type ServiceUrl } from './service-url.js';
import { verifyAccount } from './twilio-account.js';

export interface TwilioConfig {
  /** Such as `https://api.twilio.com`, or that of a region. Plain http is taken for loopback only. */
  baseUrl: string;
  channel: Channel;
  /** The number that sends: `+15005550006`. */
  number: string;
  /** `AC` and 32 hexadecimal digits. */
  accountSid: string;
  authToken: string;
  /** Where Twilio tells what became of a message, with `campaign` and `seq` in the query: `https://example.com/twilio`. */
  statusCallback?: string;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
  proxy?: ProxySettings;
}

export type TwilioLibrary = typeof twilio;
/** The library's view of one account: everything that can be asked of it. */
export type AccountResource = ReturnType<twilio.Twilio['api']['v2010']['accounts']['get']>;
type LibraryRequest = Parameters<twilio.RequestClient['request']>[0];

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONNECTIONS = 32;
/** Longer than any run waits: it ends instead, and may be run again. */
const LONG_PAUSE_MS = 60 * 60_000;
const DAILY_LIMITS = ['twilio:30454', 'twilio:63038'];

/** What the library is installed as, beside pagecast. */
const LIBRARY = 'twilio@6.2.0';

/**
 * @param load gives the library, which is an optional dependency
 * @throws Failure CONFIG_INVALID, PROVIDER_UNAVAILABLE
 */
export function createTwilioProvider(
  config: TwilioConfig,
  clock: Clock,
  load: () => TwilioLibrary = installedLibrary,
): Provider {
  const { origin, path: root, proxy } = endpoint(config);
  const library = openLibrary(load);
  const { number, accountSid, authToken, statusCallback, timeoutMs = DEFAULT_TIMEOUT_MS } = config;
  const { connections = DEFAULT_CONNECTIONS } = config;
  const transport = createTransport(origin, { connections, proxy }, clock);
  const basic = Buffer.from(`${accountSid}:${authToken}`).toString('base64');
  const redact = createRedactor([authToken, basic, accountSid]);

  const carry = (
    { method, uri, headers, params, data }: LibraryRequest,
    onWire?: () => void,
  ): Promise<Reply | Fault> => {
    // Variables of the environment can make the library choose another host; only the account's `url` may do that.
    const path = `${root}${new URL(uri).pathname}`;
    const options = { headers: { ...headers, Authorization: `Basic ${basic}` }, timeoutMs };
    if (method === 'post') return transport.post(path, { ...options, body: formText(data as object), onWire });
    const query = formText(params);
    return transport.get(query === '' ? path : `${path}?${query}`, options);
  };

  const exchange = async <T>(
    ask: (account: AccountResource) => Promise<T>,
    onWire?: () => void,
  ): Promise<Exchange<T>> => {
    // Until the library makes a request, nothing has left.
    const seen: { wire: Reply | Fault } = {
      wire: { fault: 'CONNECTION_REFUSED', detail: 'The library made no request.' },
    };
    const httpClient = {
      request: async (request: LibraryRequest) => {
        seen.wire = await carry(request, onWire);
        if ('fault' in seen.wire) throw new Error(seen.wire.fault);
        return { statusCode: seen.wire.status, body: seen.wire.body, headers: seen.wire.headers };
      },
    };
    try {
      // A client of its own for each call, because a request does not say which call it belongs to.
      const client = new library.Twilio(accountSid, authToken, {
        autoRetry: false,
        httpClient: httpClient as unknown as twilio.RequestClient,
      });
      const value = await ask(client.api.v2010.accounts.get(accountSid));
      return { ...seen, read: { value } };
    } catch (error) {
      return { ...seen, read: null, refusal: refusalOf(error) };
    }
  };

  const sendOne = async (outgoing: OutgoingMessage, onWire?: () => void): Promise<Outcome> => {
    const { userId, message, metadata } = outgoing;
    const body = textAlone(message);
    if (body === null) {
      return {
        kind: 'stopped',
        stop: 'content',
        error: { code: 'twilio:TEXT_ONLY', message: 'Nothing was sent: an SMS holds text and nothing else.' },
      };
    }
    const callback = statusCallback === undefined ? null : callbackOf(statusCallback, metadata);
    const create = { from: number, to: userId, body, ...(callback !== null && { statusCallback: callback }) };
    const exchanged = await exchange((account) => account.messages.create(create), onWire);
    // What stands in the callback's query may let its bearer in there.
    const texts = [body, metadata, ...(callback === null ? [] : [callback])];
    return messageOutcome(exchanged, clock, (words) => redact(words, { userId, texts }));
  };

  return {
    capabilities: { registeredTemplates: false, lookup: false, maxBatch: () => 1 },
    send: (batch, onWire) => Promise.all(batch.map((outgoing) => sendOne(outgoing, onWire))),
    verify: () =>
      verifyAccount(number, redact, async (ask) => {
        const exchanged = await exchange(ask);
        return exchanged.read ?? refusedOutcome(exchanged, clock, (words) => redact(words));
      }),
    close: () => transport.close(),
  };
}

function installedLibrary(): TwilioLibrary {
  // The library is CommonJS. Loading it like this happens when the provider is opened, where it can still be said.
  return createRequire(import.meta.url)('twilio') as TwilioLibrary;
}

function openLibrary(load: () => TwilioLibrary): TwilioLibrary {
  try {
    return load();
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      `SMS through Twilio needs the library "twilio", which ${isAbsent ? 'is not installed' : 'cannot be loaded'}.`,
      `Install it beside pagecast: npm install ${LIBRARY} (npm install --global ${LIBRARY} where pagecast is installed so).`,
      error,
    );
  }
}

function endpoint(config: TwilioConfig): ServiceUrl {
  const { baseUrl, channel, number, accountSid, authToken, statusCallback, proxy } = config;
  const invalid = (what: string, hint = ''): Failure => new Failure('CONFIG_INVALID', what, hint);
  const service = serviceUrl(baseUrl, proxy, 'the auth token');
  if (channel !== 'sms') throw invalid(`The twilio provider sends on sms, not on ${channel}.`);
  if (!PHONE.test(number)) {
    throw invalid('The id of the account is no phone number.', 'It is written like +4915112345678.');
  }
  if (!/^AC[0-9a-fA-F]{32}$/.test(accountSid)) {
    throw invalid(
      'The account SID is not one of Twilio.',
      'It begins with AC and stands in the Twilio Console under Account Info; the SID of an API key is another one.',
    );
  }
  if (!fitsHeader(authToken)) {
    throw invalid('The auth token holds white space or other characters that no token has.');
  }
  if (
    statusCallback !== undefined &&
    !(URL.canParse(statusCallback) && new URL(statusCallback).protocol === 'https:')
  ) {
    throw invalid('The status callback of the account must begin with https://.');
  }
  return service;
}

// ------------------------------------------------------------------------------------------------- a message → a request

/** The text of a message that has nothing else; null for every other. */
function textAlone({ text, media, buttons, quickReplies, cards, registered, cams }: Message): string | null {
  const more = [media, cards, registered, cams, ...buttons, ...quickReplies].some((part) => part !== undefined);
  return text === undefined || text === '' || more ? null : text;
}

/** Names the row in the query of a callback, and leaves what stands there as it is written. */
function callbackOf(statusCallback: string, metadata: string): string {
  const row = readRowMetadata(metadata);
  if (row === null) return statusCallback;
  const callback = new URL(statusCallback);
  const mark = `campaign=${row.campaign}&seq=${row.seq}`;
  callback.search = callback.search === '' ? mark : `${callback.search}&${mark}`;
  return callback.href;
}

function formText(fields: object | undefined): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields ?? {})) form.append(name, String(value));
  return form.toString();
}

// ------------------------------------------------------------------------------------------------- a reply → an outcome

/** One call of the library: what went over the wire, and what the library read there. */
type Exchange<T> = { wire: Reply | Fault } & ({ read: { value: T } } | { read: null; refusal: Refusal });

/** Why the library did not take a reply for what was asked. */
interface Refusal {
  /** Twilio's number; null where the reply is none of Twilio's. */
  code: string | null;
  message: string;
}

function refusalOf(thrown: unknown): Refusal {
  if (!(thrown instanceof Error) || !('code' in thrown)) return { code: null, message: '' };
  return { code: wholeNumber(thrown.code), message: typeof thrown.message === 'string' ? thrown.message : '' };
}

/** The parts of a Message that say what became of it. The library passes on whatever stood in the reply. */
type ShownMessage = Record<'sid' | 'status' | 'errorCode' | 'errorMessage', unknown>;

function messageOutcome(exchanged: Exchange<object>, clock: Clock, redact: (words: string) => string): Outcome {
  const { wire, read } = exchanged;
  if (read === null || 'fault' in wire) return refusedOutcome(exchanged, clock, redact);
  const { sid, status, errorCode, errorMessage } = read.value as ShownMessage;
  if (typeof sid !== 'string' || !/^[A-Z]{2}[0-9a-f]{32}$/i.test(sid)) {
    return unknown('REPLY_UNREADABLE', `The answer (HTTP status ${wire.status}) holds no message id.`, wire);
  }
  if (status !== 'failed' && status !== 'undelivered' && status !== 'canceled') return { kind: 'sent', messageId: sid };
  const words = typeof errorMessage === 'string' ? redact(errorMessage) : '';
  const error = describe(wholeNumber(errorCode) ?? 'UNSPECIFIED', words, wire);
  const outcome = outcomeOf(error, wire, clock);
  // A code that is not known says nothing of the template here: this message was not sent, for whatever reason.
  return outcome.kind === 'stopped' && outcome.stop === 'content' ? { kind: 'rejected', error } : outcome;
}

function refusedOutcome(exchanged: Exchange<unknown>, clock: Clock, redact: (words: string) => string): NotSent {
  const { wire } = exchanged;
  if ('fault' in wire) return faultOutcome(wire);
  const { status } = wire;
  const { code, message } = 'refusal' in exchanged ? exchanged.refusal : { code: null, message: '' };
  const words = code === null ? '' : redact(message);
  if (status >= 500) {
    const what = `Twilio answered with HTTP status ${status}.`;
    return unknown('SERVER_ERROR', words === '' ? what : `${what} ${words}`, wire);
  }
  if (status === 429) {
    // "An API Request that receives an error 429 response is never processed" (docs/api/errors/20429), whatever its code.
    const error = describe(code ?? '20429', words === '' ? 'HTTP status 429: too many calls.' : words, wire);
    return { kind: 'retryable', error, pauseMs: pauseMs(error, wire, clock) };
  }
  if (code !== null && status >= 400) return outcomeOf(describe(code, words, wire), wire, clock);
  return (
    notTakenUp(status, 'Twilio') ??
    unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) is not Twilio's.`, wire)
  );
}

function outcomeOf(error: DeliveryError, reply: Reply, clock: Clock): NotSent {
  return errorOutcome(error, pauseMs(error, reply, clock));
}

function unknown(code: string, message: string, reply: Reply): NotSent {
  return { kind: 'unknown', error: { code, message, ...trace(reply) } };
}

/** @param code Twilio's, as a number or a word of core/twilio-errors.ts */
function describe(code: string, message: string, reply: Reply): DeliveryError {
  return { code: `twilio:${code}`, message, ...trace(reply) };
}

/** Twilio's id for the request, which its support asks for. */
function trace({ headers }: Reply): { traceId?: string } {
  const id = headers['twilio-request-id'];
  return typeof id === 'string' && /^[\w-]{1,64}$/.test(id) ? { traceId: id } : {};
}

function pauseMs({ code }: DeliveryError, { headers }: Reply, clock: Clock): number {
  const header = headers['retry-after'];
  const text = typeof header === 'string' ? header : '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  if (Number.isFinite(at)) return Math.max(0, at - clock.now());
  return DAILY_LIMITS.includes(code) ? LONG_PAUSE_MS : DEFAULT_PAUSE_MS;
}

function wholeNumber(value: unknown): string | null {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : '';
  return /^\d{1,6}$/.test(text) ? text : null;
}
