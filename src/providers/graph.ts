/**
 * The Messenger Platform: Send API and Conversations API of graph.facebook.com for Pages, and for Instagram accounts that
 * are linked to one. Sources are the pages named in each comment; DeliveryError codes and their classes are in core/delivery.ts.
 */
import { createHmac } from 'node:crypto';
import { explainError, type Outcome } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Channel, Message } from '../core/template.js';
import type { Clock, Lookup, OutgoingMessage, Provider, ShownMessage } from '../ports.js';
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
  const { origin, root } = endpoint(config);
  const page = `${root}/${config.pageId}`;
  const timeoutMs = config.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = createTransport(origin, config.connections ?? DEFAULT_CONNECTIONS, clock);
  const authorization = `Bearer ${config.token}`;
  const headers = { authorization, 'content-type': 'application/json' };
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
    const result = await transport.post(`${page}/messages`, { headers, body: JSON.stringify(body), timeoutMs, onWire });
    if ('fault' in result) return faultOutcome(result);
    return replyOutcome(result, (words) => redact(words, privateParts(outgoing)));
  };

  return {
    capabilities: {
      // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
      registeredTemplates: config.channel === 'messenger',
      lookup: true,
    },
    send: (batch, onWire) => Promise.all(batch.map((outgoing) => sendOne(outgoing, onWire))),
    conversation: (userId, since, turn) => {
      const read: Read = async (path, parameters) => {
        const query = new URLSearchParams(parameters);
        // A GET has no other place for it. Without the token it opens nothing.
        if (proof !== undefined) query.set('appsecret_proof', proof);
        await turn();
        const result = await transport.get(`${path}?${query.toString()}`, { headers: { authorization }, timeoutMs });
        if ('fault' in result) return lookupFailure(faultOutcome(result));
        return readReply(result, (words) => redact(words, { userId, texts: [] }));
      };
      return readConversation(read, { root, page, channel: config.channel }, userId, since);
    },
    close: () => transport.close(),
  };
}

/** Lower-hex HMAC-SHA256 of the token, keyed with the app secret (graph-api/guides/secure-requests). */
function appsecretProof(appSecret: string, token: string): string {
  return createHmac('sha256', appSecret).update(token).digest('hex');
}

/** @returns where the platform is, and what every path begins with */
function endpoint({ baseUrl, version, pageId, token, channel }: GraphConfig): { origin: string; root: string } {
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
  return { origin, root: `${pathname.replace(/\/+$/, '')}/${version}` };
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

type NotSent = Exclude<Outcome, { kind: 'sent' }>;

function faultOutcome({ fault, detail }: Fault): NotSent {
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

function errorOutcome(graph: GraphError, reply: Reply, redact: (words: string) => string): NotSent {
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

// ------------------------------------------------------------------------------------------------- a conversation

/**
 * Details are given for the newest twenty messages of a conversation; of older ones only that they are there (conversations,
 * 11 February 2026).
 */
const READABLE_MESSAGES = 20;
/** Graph may give a page fewer items than were asked for. */
const MAX_PAGES = 3;
const MESSAGE_FIELDS = 'id,created_time,from,message';

type Failed = Extract<Lookup, { kind: 'failed' }>;
/** What a GET came to: an object of the graph, or why there is none. */
type Answer = { node: Record<string, unknown> } | Failed;
type Read = (path: string, parameters: Record<string, string>) => Promise<Answer>;

/** A message as it is listed; `shown` when the platform has also said who wrote it, and what. */
interface Listed {
  id: string;
  at: number;
  shown: ShownMessage | null;
}

/**
 * Reads the newest messages of one person's conversation: its id first, then its messages with their details, which the
 * platform's pages get one by one. Field expansion (`messages{from}`) is ordinary Graph syntax and saves nearly all of these
 * calls, but is not shown there, so each message whose details did not come with the list is asked for by itself.
 */
async function readConversation(
  read: Read,
  { root, page, channel }: { root: string; page: string; channel: Channel },
  userId: string,
  since: number,
): Promise<Lookup> {
  const found = await read(`${page}/conversations`, {
    platform: channel,
    user_id: userId,
    fields: `id,${expansion()}`,
  });
  if ('error' in found) return found;
  const threads = Array.isArray(found.node['data']) ? found.node['data'].filter(isRecord) : [];
  const [thread] = threads;
  // Whoever may be written to has a conversation. One that is not shown (Instagram hides old requests) proves nothing.
  if (thread === undefined) return { kind: 'read', messages: [], complete: false };
  const id = pathPart(thread['id']);
  if (id === null) return unreadable('The conversation has no id.');
  // The times that come back are cut to a whole second.
  const from = Math.floor(since / 1000) * 1000;
  const list = await listMessages((fields) => read(`${root}/${id}`, { fields }), thread, userId, from);
  if ('error' in list) return forOne(list);

  for (const message of list.messages.slice(0, READABLE_MESSAGES)) {
    const part = pathPart(message.id);
    if (message.shown !== null || message.at < from || part === null) continue;
    const detail = await read(`${root}/${part}`, { fields: MESSAGE_FIELDS });
    if ('node' in detail) message.shown = listedMessage(detail.node, userId)?.shown ?? null;
    // One that has been deleted, or is too old by now, only leaves a gap.
    else if (detail.pauseMs !== undefined || forOne(detail).stop !== undefined) return detail;
  }
  return {
    kind: 'read',
    messages: list.messages.flatMap(({ shown }) => shown ?? []),
    complete:
      threads.length === 1 && list.isWhole && list.messages.every(({ at, shown }) => shown !== null || at < from),
  };
}

/**
 * Lists the newest messages of a conversation back to an instant, or as far as the platform gives their details.
 * @param more reads fields of the conversation
 * @param thread what is known of it already
 * @returns `isWhole`: whether nothing since then is missing
 */
async function listMessages(
  more: (fields: string) => Promise<Answer>,
  thread: Record<string, unknown>,
  userId: string,
  from: number,
): Promise<{ messages: Listed[]; isWhole: boolean } | Failed> {
  const messages: Listed[] = [];
  let isSound = true;
  let answer = thread;
  for (let pages = 1; ; pages += 1) {
    if (!isRecord(answer['messages'])) {
      const first = await more(expansion());
      if ('error' in first) return first;
      answer = first.node;
    }
    const { data, paging } = isRecord(answer['messages']) ? answer['messages'] : {};
    if (!Array.isArray(data)) return unreadable('The conversation has no messages.');
    for (const node of data) {
      const message = listedMessage(node, userId);
      // Newest first, says the page on conversations. Where that does not hold, nothing tells where a list may end.
      if (message === null || message.at > (messages.at(-1)?.at ?? Infinity)) isSound = false;
      if (message !== null) messages.push(message);
    }
    const last = messages.at(-1);
    // A conversation without any message is not what anybody had.
    if (last === undefined) return { messages, isWhole: false };
    if (last.at < from) return { messages, isWhole: isSound };
    if (messages.length >= READABLE_MESSAGES) return { messages, isWhole: false };
    if (!isRecord(paging) || paging['next'] === undefined) return { messages, isWhole: isSound };
    // Never `next` itself: it is an address that came from outside, with a token in it.
    const after = isRecord(paging['cursors']) ? paging['cursors']['after'] : undefined;
    if (pages >= MAX_PAGES || typeof after !== 'string' || !/^[\w=-]{1,500}$/.test(after)) {
      return { messages, isWhole: false };
    }
    const next = await more(expansion(after));
    if ('error' in next) return next;
    answer = next.node;
  }
}

/** @param after the cursor of the page before */
function expansion(after?: string): string {
  const place = after === undefined ? '' : `.after(${after})`;
  return `messages.limit(${READABLE_MESSAGES})${place}{${MESSAGE_FIELDS}}`;
}

/** @returns null for what is no message with an id and a time */
function listedMessage(node: unknown, userId: string): Listed | null {
  if (!isRecord(node)) return null;
  const messageId = textId(node['id']);
  const at = graphTime(node['created_time']);
  if (messageId === null || at === null) return null;
  const author = isRecord(node['from']) ? textId(node['from']['id']) : null;
  const text = typeof node['message'] === 'string' ? node['message'] : null;
  // Two take part. On Instagram the account's own id differs from the Page's, so only the person's tells who wrote.
  return { id: messageId, at, shown: author === null ? null : { messageId, text, at, fromAccount: author !== userId } };
}

function readReply(reply: Reply, redact: (words: string) => string): Answer {
  const { status } = reply;
  const body = parseObject(quoteLongNumbers(reply.body));
  const error = body === null ? null : graphError(body);
  if (error && (status < 500 || isListed(error.code))) return lookupFailure(errorOutcome(error, reply, redact));
  if (error === null && body !== null && body['error'] === undefined && status >= 200 && status < 300) {
    return { node: body };
  }
  if (status === 429) {
    const words = { code: '429', message: 'Something on the way to the platform asks for fewer calls.' };
    return { kind: 'failed', error: words, pauseMs: DEFAULT_PAUSE_MS };
  }
  if (status >= 500) return unreadable(`The platform answered with HTTP status ${status}.`, 'SERVER_ERROR');
  return unreadable(`The answer (HTTP status ${status}) is not the platform's.`);
}

/** What is wrong with a message's content is nothing that concerns the account. */
function lookupFailure(outcome: NotSent): Failed {
  const { error } = outcome;
  if (outcome.kind === 'retryable' && outcome.pauseMs !== undefined) {
    return { kind: 'failed', error, pauseMs: outcome.pauseMs };
  }
  if (outcome.kind === 'stopped' && outcome.stop !== 'content') return { kind: 'failed', error, stop: outcome.stop };
  return { kind: 'failed', error };
}

/** 100/33 says that something is not known to the token: the Page, where it was asked for, else this one conversation. */
function forOne(failed: Failed): Failed {
  return failed.error.code === '100/33' ? { kind: 'failed', error: failed.error } : failed;
}

function unreadable(message: string, code = 'REPLY_UNREADABLE'): Failed {
  return { kind: 'failed', error: { code, message } };
}

/** The pages of the platform show both: seconds since 1970, and `2022-07-12T19:11:07+0000`. */
function graphTime(value: unknown): number | null {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return null;
  if (/^\d{9,11}$/.test(text)) return Number(text) * 1000;
  if (/^\d{12,14}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)$/.test(text)) return null;
  const at = Date.parse(text.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isFinite(at) ? at : null;
}

/** Puts whole numbers into quotes that parsing would round; what stands inside texts stays as it is. */
function quoteLongNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (found) =>
    /^\d{16,}$/.test(found) ? `"${found}"` : found,
  );
}

function textId(value: unknown): string | null {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  return typeof text === 'string' && text !== '' && text.length <= 500 ? text : null;
}

/** An id as a part of a path; null for what would lead elsewhere. */
function pathPart(value: unknown): string | null {
  const id = textId(value);
  return id === null || !/^[\w.$:=-]+$/.test(id) || /^\.+$/.test(id) ? null : encodeURIComponent(id);
}

// ------------------------------------------------------------------------------------------------- reading JSON

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
