/**
 * The Messenger Platform: Send API of graph.facebook.com for Pages, and for Instagram accounts that are linked to one.
 * Sources are the pages named in each comment; DeliveryError codes and their classes are in core/delivery.ts.
 */
import { createHmac } from 'node:crypto';
import { explainError, type Outcome } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Channel, Message } from '../core/template.js';
import type { Clock, OutgoingMessage, Provider } from '../ports.js';
import { createRedactor, createTransport, type Fault, type PrivateParts, type Reply } from './http.js';

export interface GraphConfig {
  /** Such as `https://graph.facebook.com`. Plain http is taken for loopback only, because the token travels with it. */
  baseUrl: string;
  /** Such as `v26.0`; a version lives for about two years. */
  version: string;
  /** The Page's id; for Instagram, the id of the Page (or account) the token is for. */
  pageId: string;
  channel: Channel;
  token: string;
  /** When given, every request carries an `appsecret_proof`. */
  appSecret?: string;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** At 35 messages a second, answers may take almost a second each before requests wait for one another. */
const DEFAULT_CONNECTIONS = 32;
/** When the platform limits the account and does not say for how long. */
const DEFAULT_PAUSE_MS = 30_000;
const UNREACHABLE_PAUSE_MS = 10_000;

/** @throws Failure CONFIG_INVALID */
export function createGraphProvider(config: GraphConfig, clock: Clock): Provider {
  const { origin, path } = endpoint(config);
  const timeoutMs = config.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = createTransport(origin, config.connections ?? DEFAULT_CONNECTIONS, clock);
  const headers = { authorization: `Bearer ${config.token}`, 'content-type': 'application/json' };
  const proof = config.appSecret === undefined ? undefined : appsecretProof(config.appSecret, config.token);
  const redact = createRedactor([config.token, config.appSecret ?? '', proof ?? '']);

  const sendOne = async (outgoing: OutgoingMessage, onWire?: () => void): Promise<Outcome> => {
    const body = requestBody(outgoing, proof);
    if (body === null) {
      return {
        kind: 'stopped',
        stop: 'content',
        error: { code: '100', message: 'Nothing was sent: a message holds either text or one attachment.' },
      };
    }
    const result = await transport.post(path, { headers, body: JSON.stringify(body), timeoutMs, onWire });
    if ('fault' in result) return faultOutcome(result);
    return replyOutcome(result, (words) => redact(words, privateParts(outgoing)));
  };

  return {
    capabilities: {
      // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
      registeredTemplates: config.channel === 'messenger',
    },
    send: (batch, onWire) => Promise.all(batch.map((outgoing) => sendOne(outgoing, onWire))),
    close: () => transport.close(),
  };
}

/** Lower-hex HMAC-SHA256 of the token, keyed with the app secret (graph-api/guides/secure-requests). */
function appsecretProof(appSecret: string, token: string): string {
  return createHmac('sha256', appSecret).update(token).digest('hex');
}

function endpoint({ baseUrl, version, pageId, token, channel }: GraphConfig): { origin: string; path: string } {
  const invalid = (what: string, hint = ''): Failure => new Failure('CONFIG_INVALID', what, hint);
  if (!URL.canParse(baseUrl)) throw invalid('The base URL of the account is not a web address.');
  const { protocol, hostname, origin, pathname } = new URL(baseUrl);
  const loopback = /^(localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/.test(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback)) {
    throw invalid(
      'The base URL of the account must begin with https://.',
      'Plain http is taken for this machine only: the access token would travel in the open.',
    );
  }
  if (!/^v\d{1,3}\.\d{1,2}$/.test(version)) throw invalid(`"${version}" is not a Graph API version such as v26.0.`);
  if (!/^\w+$/.test(pageId)) throw invalid('The id of the account is not an id of the platform.');
  if (channel === 'sms') throw invalid('The graph provider sends on messenger and instagram, not on sms.');
  // Anything else cannot stand in a header; a line break at the end is the usual case.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw invalid('The access token holds white space or other characters that no token has.');
  }
  return { origin, path: `${pathname.replace(/\/+$/, '')}/${version}/${pageId}/messages` };
}

// ------------------------------------------------------------------------------------------------- a message → a request

/** The body of one Send API request (reference/send-api); null for a message that the API has no form for. */
function requestBody(outgoing: OutgoingMessage, proof: string | undefined): object | null {
  const { userId, message, metadata } = outgoing;
  const content = message.registered ? registeredContent(message.registered) : sessionContent(message);
  if (content === null) return null;
  return {
    // Always a string: as a number, an id of 17 digits would lose its last one.
    recipient: { id: userId },
    // UPDATE is "proactive, inside the window"; only UTILITY may go out when the window is shut.
    messaging_type: message.registered ? 'UTILITY' : 'UPDATE',
    message: { ...content, metadata },
    ...(proof !== undefined && { appsecret_proof: proof }),
  };
}

/** utility-messages, 13 March 2026. */
function registeredContent({ name, language, parameters }: NonNullable<Message['registered']>): object {
  const body = parameters.map((parameter) => ({
    type: 'text',
    ...(parameter.name !== null && { parameter_name: parameter.name }),
    text: parameter.text,
  }));
  return {
    template: {
      name,
      language: { code: language },
      ...(body.length > 0 && { components: [{ type: 'body', parameters: body }] }),
    },
  };
}

function sessionContent({ text, media, buttons, quickReplies }: Message): object | null {
  let content: object;
  if (media) {
    if (text !== undefined || buttons.length > 0) return null;
    content = { attachment: { type: media.type, payload: { url: media.url } } };
  } else {
    if (text === undefined) return null;
    content =
      buttons.length === 0
        ? { text }
        : { attachment: { type: 'template', payload: { template_type: 'button', text, buttons } } };
  }
  if (quickReplies.length === 0) return content;
  return {
    ...content,
    quick_replies: quickReplies.map(({ title, payload }) => ({ content_type: 'text', title, payload })),
  };
}

// ------------------------------------------------------------------------------------------------- a reply → an outcome

function faultOutcome({ fault, detail }: Fault): Outcome {
  const error = { code: fault, message: detail };
  return fault === 'CONNECTION_REFUSED'
    ? { kind: 'retryable', error, pauseMs: UNREACHABLE_PAUSE_MS }
    : { kind: 'unknown', error };
}

/** What a Graph error envelope says (guides/error-handling). */
interface GraphError {
  /** `10/2018278`, or `190` without a subcode. */
  code: string;
  message: string;
  traceId: string | undefined;
}

/**
 * Statuses by which a server says that it did not take the request up. Without a Graph envelope they come from something on
 * the way (a proxy, a wrong address, the platform's edge), and nothing was sent. Every other status without an envelope is
 * taken for unknown: a filter that swaps a reply it dislikes for its own 403 does so after the platform has acted.
 */
const NOT_TAKEN_UP = new Set([301, 307, 308, 404, 405, 407, 421, 429]);

function replyOutcome(reply: Reply, redact: (words: string) => string): Outcome {
  const { status } = reply;
  const body = parseObject(reply.body);
  const error = body === null ? null : graphError(body);

  if (status >= 500) {
    // The platform may have sent the message before it fell over, whatever it says now. Only limits and blocks are told
    // before anything is done.
    const outcome = error && isListed(error.code) ? errorOutcome(error, reply, redact) : null;
    if (outcome && (outcome.kind === 'stopped' || (outcome.kind === 'retryable' && outcome.pauseMs !== undefined))) {
      return outcome;
    }
    return unknown('SERVER_ERROR', `The platform answered with HTTP status ${status}.`, error, redact);
  }
  // The status is looked at last: a 200 with an error in it has been seen (courier's tests), and which status belongs to
  // which code is not documented.
  if (error) return errorOutcome(error, reply, redact);
  if (status >= 200 && status < 300) {
    const messageId = body === null ? null : idText(body['message_id'], reply.body);
    if (messageId !== null) return { kind: 'sent', messageId };
    return unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) holds no message id.`, null, redact);
  }
  if (NOT_TAKEN_UP.has(status)) {
    const message = `HTTP status ${status} came from something other than the platform; nothing was sent.`;
    const pauseMs = status === 429 ? DEFAULT_PAUSE_MS : UNREACHABLE_PAUSE_MS;
    return { kind: 'retryable', error: { code: 'CONNECTION_REFUSED', message }, pauseMs };
  }
  return unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) is not the platform's.`, null, redact);
}

function unknown(code: string, what: string, error: GraphError | null, redact: (words: string) => string): Outcome {
  const words = error === null ? what : `${what} ${redact(error.message)}`;
  return {
    kind: 'unknown',
    error: { code, message: words, ...(error?.traceId !== undefined && { traceId: error.traceId }) },
  };
}

function errorOutcome(graph: GraphError, reply: Reply, redact: (words: string) => string): Outcome {
  const error = {
    code: graph.code,
    message: redact(graph.message),
    ...(graph.traceId !== undefined && { traceId: graph.traceId }),
  };
  const { class: met } = explainError(graph.code);
  switch (met.kind) {
    case 'rejected':
    case 'retryable':
    case 'unknown':
      return { kind: met.kind, error };
    case 'pause':
      return { kind: 'retryable', error, pauseMs: regainMs(reply.headers) ?? DEFAULT_PAUSE_MS };
    case 'stop':
      return { kind: 'stopped', error, stop: met.cause };
  }
}

/** Whether core's table has a row for a code; for the others `explainError` gives one and the same answer. */
function isListed(code: string): boolean {
  return explainError(code) !== explainError('');
}

function graphError(body: Record<string, unknown>): GraphError | null {
  const error = body['error'];
  if (!isRecord(error)) return null;
  const code = wholeNumber(error['code']);
  // GraphBatchException comes without a code, and then nothing says what became of the message.
  if (code === null) return null;
  const subcode = wholeNumber(error['error_subcode']);
  const trace = error['fbtrace_id'];
  return {
    code: subcode === null || subcode === '0' ? code : `${code}/${subcode}`,
    message: typeof error['message'] === 'string' ? error['message'] : '',
    traceId: typeof trace === 'string' && /^[\w+/=-]{1,64}$/.test(trace) ? trace : undefined,
  };
}

/**
 * The longest time until the account may send again, from `X-Business-Use-Case-Usage`, which gives it in minutes
 * (graph-api/overview/rate-limiting); null where it gives none.
 */
function regainMs(headers: Reply['headers']): number | null {
  const header = headers['x-business-use-case-usage'];
  const usage = parseObject(typeof header === 'string' ? header : '');
  if (usage === null) return null;
  let minutes = 0;
  for (const entry of Object.values(usage).flat()) {
    // A Page's header may also tell of its advertisements, which do not hold messages up.
    if (!isRecord(entry) || !['messenger', 'instagram', 'pages'].includes(String(entry['type']))) continue;
    const given = entry['estimated_time_to_regain_access'];
    if (typeof given === 'number' && Number.isFinite(given)) minutes = Math.max(minutes, given);
  }
  return minutes > 0 ? Math.ceil(minutes * 60_000) : null;
}

/** An id as text. One that came as a number is cut from the raw reply, because parsing has rounded it. */
function idText(value: unknown, raw: string): string | null {
  if (typeof value === 'string') return value === '' ? null : value;
  if (typeof value !== 'number') return null;
  return /"message_id"\s*:\s*(\d+)/.exec(raw)?.[1] ?? null;
}

function wholeNumber(value: unknown): string | null {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : '';
  return /^\d{1,10}$/.test(text) ? text : null;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Everything of a message that its recipient alone should read. */
function privateParts({ userId, message, metadata }: OutgoingMessage): PrivateParts {
  const texts = [message.text ?? '', message.media?.url ?? '', metadata];
  for (const button of message.buttons)
    texts.push(button.title, button.type === 'web_url' ? button.url : button.payload);
  for (const { title, payload } of message.quickReplies) texts.push(title, payload);
  for (const { text } of message.registered?.parameters ?? []) texts.push(text);
  return { userId, texts };
}
