/**
 * The Messenger Platform: the Send API of graph.facebook.com for Pages and for Instagram accounts that are linked to one, and
 * of graph.instagram.com for Instagram accounts by themselves. Sources are the pages named in each comment; what each error
 * means is in core/platform-errors.ts.
 */
import { createHmac } from 'node:crypto';
import type { Outcome } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Channel } from '../core/template.js';
import type { Clock, OutgoingMessage, Provider } from '../ports.js';
import { createGraphCalls, type GraphAccess } from './graph-calls.js';
import { sendBody, type Login, type SendBody } from './graph-message.js';
import { ProofDoubt } from './graph-proof.js';
import { createGraphReading } from './graph-reading.js';
import { accountLoad, graphError, graphOutcome, type GraphError } from './graph-reply.js';
import { createTransport, type ProxySettings, type Reply } from './http.js';
import { createRedactor, privateParts } from './redaction.js';
import { faultOutcome, isListed, isRecord, notTakenUp, parseList, parseObject } from './service-reply.js';
import { fitsHeader, serviceUrl } from './service-url.js';

export interface GraphConfig {
  /** Such as `https://graph.facebook.com`. Plain http is taken for loopback only, because the token travels with it. */
  baseUrl: string;
  /** Such as `v26.0`; a version lives for about two years. */
  version: string;
  /** The Page's id, also for an Instagram account that is linked to one; else the Instagram account's. */
  pageId: string;
  channel: Channel;
  token: string;
  /** When given, every request carries an `appsecret_proof`. */
  appSecret?: string;
  /** Which login the token comes from. `instagram` where the base URL is graph.instagram.com, else `facebook`. */
  login?: Login;
  /** The most messages in one request, 1 (the default) to 50. */
  batch?: number;
  /** The Instagram account that is linked to the Page, to be compared with what the platform says. */
  instagramId?: string;
  proxy?: ProxySettings;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** At 35 messages a second, answers may take almost a second each before requests wait for one another. */
const DEFAULT_CONNECTIONS = 32;
/** graph-api/batch-requests. */
const MOST_IN_BATCH = 50;

/** A message that the API has a form for. */
interface SendRequest {
  outgoing: OutgoingMessage;
  body: SendBody;
}

/** @throws Failure CONFIG_INVALID */
export function createGraphProvider(config: GraphConfig, clock: Clock): Provider {
  const { origin, root, login, proxy } = endpoint(config);
  const { token, appSecret, timeoutMs = DEFAULT_TIMEOUT_MS, connections = DEFAULT_CONNECTIONS } = config;
  const maxBatch = batchSize(config.batch, login);
  const transport = createTransport(origin, { connections, proxy }, clock);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const proof = appSecret === undefined ? undefined : appsecretProof(appSecret, token);
  const signature = proof === undefined ? {} : { appsecret_proof: proof };
  const redact = createRedactor([token, appSecret ?? '', proof ?? '']);
  const { pageId, channel, instagramId } = config;
  const access: GraphAccess = {
    ...{ origin, root, pageId, channel, instagramId, transport, timeoutMs },
    ...{ token, login, proof, redact, clock },
  };
  const doubt = new ProofDoubt(createGraphCalls(access));

  const sendOne = async ({ outgoing, body }: SendRequest, onWire?: () => void): Promise<Outcome> => {
    const path = `${root}/${pageId}/messages`;
    const call = { headers, body: JSON.stringify({ ...body, ...signature }), timeoutMs, onWire };
    const result = await transport.post(path, call);
    if ('fault' in result) return faultOutcome(result);
    return replyOutcome(result, (words) => redact(words, privateParts(outgoing)));
  };

  const sendBatch = async (requests: readonly SendRequest[], onWire?: () => void): Promise<Outcome[]> => {
    const batch = requests.map(({ body }) => ({
      method: 'POST',
      relative_url: `${pageId}/messages`,
      body: formOf(body),
    }));
    // Whether usage is told in the headers of the whole answer or in those of its parts is not documented.
    const body = JSON.stringify({ batch, include_headers: true, ...signature });
    const result = await transport.post(`${root}/`, { headers, body, timeoutMs, onWire });
    if ('fault' in result) return requests.map(() => faultOutcome(result));
    const everybody = requests.map(({ outgoing }) => outgoing);
    return batchOutcomes(result, everybody, (words) => redact(words, ...everybody.map(privateParts)));
  };

  const sendSome = async (messages: readonly OutgoingMessage[], onWire?: () => void): Promise<Outcome[]> => {
    const bodies = messages.map((outgoing) => sendBody(outgoing, login));
    const requests = messages.flatMap((outgoing, index): SendRequest[] => {
      const body = bodies[index] ?? null;
      return body === null ? [] : [{ outgoing, body }];
    });
    const answers =
      requests.length > 1
        ? await sendBatch(requests, onWire)
        : await Promise.all(requests.map((request) => sendOne(request, onWire)));
    const resolved = await doubt.resolve(answers);
    return bodies.map((body) => (body === null ? WITHOUT_FORM : (resolved.shift() ?? UNANSWERED)));
  };

  return {
    capabilities: {
      // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
      registeredTemplates: channel === 'messenger',
      lookup: true,
      maxBatch: () => maxBatch,
    },
    async send(messages, onWire) {
      const calls: Promise<Outcome[]>[] = [];
      for (let from = 0; from < messages.length; from += maxBatch) {
        calls.push(sendSome(messages.slice(from, from + maxBatch), onWire));
      }
      return (await Promise.all(calls)).flat();
    },
    ...createGraphReading(access),
    close: () => transport.close(),
  };
}

/** Lower-hex HMAC-SHA256 of the token, keyed with the app secret (graph-api/guides/secure-requests). */
function appsecretProof(appSecret: string, token: string): string {
  return createHmac('sha256', appSecret).update(token).digest('hex');
}

const invalid = (what: string, hint = ''): Failure => new Failure('CONFIG_INVALID', what, hint);

interface Endpoint {
  origin: string;
  /** What every path begins with. */
  root: string;
  login: Login;
  proxy: ProxySettings | undefined;
}

function endpoint({ baseUrl, version, pageId, token, channel, login, proxy }: GraphConfig): Endpoint {
  const { origin, hostname, path, ...service } = serviceUrl(baseUrl, proxy, 'the access token');
  if (!/^v\d{1,3}\.\d{1,2}$/.test(version)) throw invalid(`"${version}" is not a Graph API version such as v26.0.`);
  if (!/^\w+$/.test(pageId)) throw invalid('The id of the account is not an id of the platform.');
  if (channel === 'sms') throw invalid('The graph provider sends on messenger and instagram, not on sms.');
  const host = login ?? (hostname === 'graph.instagram.com' ? 'instagram' : 'facebook');
  if (host === 'instagram' && channel !== 'instagram') {
    throw invalid('graph.instagram.com sends on instagram, not on messenger.');
  }
  if (!fitsHeader(token)) throw invalid('The access token holds white space or other characters that no token has.');
  return { origin, root: `${path}/${version}`, login: host, proxy: service.proxy };
}

function batchSize(batch: number | undefined, login: Login): number {
  if (batch === undefined || batch === 1) return 1;
  if (!Number.isInteger(batch) || batch < 1 || batch > MOST_IN_BATCH) {
    throw invalid(`A batch holds 1 to ${MOST_IN_BATCH} messages.`);
  }
  if (login === 'instagram') throw invalid('Batches are documented for graph.facebook.com only.');
  return batch;
}

/** As a form, with JSON for the values that are no texts: the way in which a batch holds the bodies of its parts. */
function formOf(body: SendBody): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(body)) {
    form.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  }
  return form.toString();
}

// ------------------------------------------------------------------------------------------------- a reply → an outcome

const WITHOUT_FORM: Outcome = {
  kind: 'stopped',
  stop: 'content',
  error: { code: '100', message: 'Nothing was sent: a message holds one of text, a media file or cards.' },
};

const UNANSWERED: Outcome = {
  kind: 'unknown',
  error: { code: 'REPLY_UNREADABLE', message: 'The platform gave no answer to this part of a batch.' },
};

type Redact = (words: string) => string;

function replyOutcome(reply: Reply, redact: Redact): Outcome {
  const outcome = replyMeaning(reply, redact);
  const load = accountLoad(reply.headers);
  return load === null ? outcome : { ...outcome, load };
}

function replyMeaning(reply: Reply, redact: Redact): Outcome {
  const { status } = reply;
  const body = parseObject(reply.body);
  const error = body === null ? null : graphError(body);

  if (status >= 500) {
    // The platform may have sent the message before it fell over, whatever it says now.
    const outcome = error && isListed(error.code) ? graphOutcome(error, reply, redact) : null;
    if (outcome && isToldFirst(outcome)) return outcome;
    return unknown('SERVER_ERROR', `The platform answered with HTTP status ${status}.`, error, redact);
  }
  // The status is looked at last: a 200 with an error in it has been seen (courier's tests), and which status belongs to
  // which code is not documented.
  if (error) return graphOutcome(error, reply, redact);
  if (status >= 200 && status < 300) {
    const messageId = body === null ? null : idText('message_id', body, reply.body);
    if (messageId !== null) return { kind: 'sent', messageId };
    return unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) holds no message id.`, null, redact);
  }
  return (
    notTakenUp(status, 'the platform') ??
    unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) is not the platform's.`, null, redact)
  );
}

/** Limits and faults of the account are told before anything is done. */
function isToldFirst(outcome: Outcome): boolean {
  return outcome.kind === 'stopped' || (outcome.kind === 'retryable' && outcome.pauseMs !== undefined);
}

/**
 * The outcomes of a batch (graph-api/batch-requests): its answer is a list in the order of its parts, each with a body as
 * text, or null for a part that was not finished.
 */
function batchOutcomes(reply: Reply, messages: readonly OutgoingMessage[], redact: Redact): Outcome[] {
  const answers = reply.status >= 200 && reply.status < 300 ? parseList(reply.body) : null;
  if (answers === null) {
    const outcome = wholeBatchOutcome(reply, redact);
    return messages.map(() => outcome);
  }
  return messages.map(({ userId }, place) => {
    const part = partOf(answers[place], reply);
    const outcome = part === null ? null : replyOutcome(part, redact);
    // Where answers are missing, nothing tells which ones; only one that names the person is surely theirs.
    const isTheirs = answers.length === messages.length || (outcome?.kind === 'sent' && recipientOf(part) === userId);
    return outcome !== null && isTheirs ? outcome : UNANSWERED;
  });
}

/** One answer to all parts: after most errors some of them may have been carried out, and of 1/1357046 Meta says so. */
function wholeBatchOutcome(reply: Reply, redact: Redact): Outcome {
  const outcome = replyOutcome(reply, redact);
  if (isToldFirst(outcome)) return outcome;
  if (outcome.kind === 'sent') {
    return unknown('REPLY_UNREADABLE', 'The answer to a batch is that to one message.', null, redact);
  }
  return { kind: 'unknown', error: outcome.error, ...(outcome.load !== undefined && { load: outcome.load }) };
}

function partOf(answer: unknown, whole: Reply): Reply | null {
  if (!isRecord(answer)) return null;
  const { code, body, headers: list } = answer;
  if (typeof code !== 'number' || typeof body !== 'string') return null;
  const headers = { ...whole.headers };
  for (const header of Array.isArray(list) ? list.filter(isRecord) : []) {
    const { name, value } = header;
    if (typeof name === 'string' && typeof value === 'string') headers[name.toLowerCase()] = value;
  }
  return { status: code, headers, body };
}

function recipientOf(part: Reply | null): string | null {
  const body = part === null ? null : parseObject(part.body);
  return part === null || body === null ? null : idText('recipient_id', body, part.body);
}

function unknown(code: string, what: string, error: GraphError | null, redact: Redact): Outcome {
  const words = error === null ? what : `${what} ${redact(error.message)}`;
  return {
    kind: 'unknown',
    error: { code, message: words, ...(error?.traceId !== undefined && { traceId: error.traceId }) },
  };
}

/** An id as text. One that came as a number is cut from the raw reply, because parsing has rounded it. */
function idText(field: 'message_id' | 'recipient_id', body: Record<string, unknown>, raw: string): string | null {
  const value = body[field];
  if (typeof value === 'string') return value === '' ? null : value;
  if (typeof value !== 'number') return null;
  return new RegExp(`"${field}"\\s*:\\s*(\\d+)`).exec(raw)?.[1] ?? null;
}
