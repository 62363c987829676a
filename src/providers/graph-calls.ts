/**
 * Calls of the Graph API that send no message, and what can be told from their replies. Each comes back as a node of the
 * graph or as the reason why there is none; none of them throws.
 */
import type { Channel } from '../core/template.js';
import type { CallFailure, Clock } from '../ports.js';
import type { Login } from './graph-message.js';
import { graphError, graphOutcome } from './graph-reply.js';
import type { Fault, Reply, Transport } from './http.js';
import type { Redactor } from './redaction.js';
import {
  callFailure,
  DEFAULT_PAUSE_MS,
  faultOutcome,
  isListed,
  isRecord,
  parseList,
  parseObject,
  unreadable,
} from './service-reply.js';

/** What the calls take over from the provider that makes them. */
export interface GraphAccess {
  origin: string;
  /** What every path begins with: the version, after whatever the base URL ends in. */
  root: string;
  pageId: string;
  channel: Channel;
  /** The Instagram account that the settings name as linked to the Page. */
  instagramId: string | undefined;
  transport: Transport;
  timeoutMs: number;
  token: string;
  login: Login;
  proof: string | undefined;
  redact: Redactor;
  clock: Clock;
}

type Node = Record<string, unknown>;

export type Answer = { node: Node; headers: Reply['headers'] } | CallFailure;

export interface GraphCalls {
  /** @param path after the version. @param userId whom it is about, for errors that repeat the id */
  get(path: string, parameters: Record<string, string>, userId?: string): Promise<Answer>;
  post(path: string, body: object): Promise<Answer>;
  /**
   * A GET whose parameters must not stand in an address, where every log on the way would keep them: as the only part of a
   * batch (graph-api/batch-requests).
   */
  getInBody(path: string, parameters: Record<string, string>): Promise<Answer>;
}

export function createGraphCalls({ root, transport, timeoutMs, token, proof, redact }: GraphAccess): GraphCalls {
  const authorization = `Bearer ${token}`;
  const answer = (result: Reply | Fault, userId = ''): Answer =>
    'fault' in result
      ? callFailure(faultOutcome(result))
      : readReply(result, (words) => redact(words, { userId, texts: [] }));

  return {
    async get(path, parameters, userId) {
      const query = new URLSearchParams(parameters);
      // A GET has no other place for it. Without the token it opens nothing.
      if (proof !== undefined) query.set('appsecret_proof', proof);
      const whole = `${root}/${path}?${query.toString()}`;
      return answer(await transport.get(whole, { headers: { authorization }, timeoutMs }), userId);
    },
    async post(path, content) {
      const body = JSON.stringify({ ...content, ...(proof !== undefined && { appsecret_proof: proof }) });
      const headers = { authorization, 'content-type': 'application/json' };
      return answer(await transport.post(`${root}/${path}`, { headers, body, timeoutMs }));
    },
    async getInBody(path, parameters) {
      const part = { method: 'GET', relative_url: `${path}?${new URLSearchParams(parameters).toString()}` };
      const form = new URLSearchParams({ batch: JSON.stringify([part]), include_headers: 'false' });
      // The proof of the whole batch covers its parts.
      if (proof !== undefined) form.set('appsecret_proof', proof);
      const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
      const result = await transport.post(`${root}/`, { headers, body: form.toString(), timeoutMs });
      const whole = answer(result);
      if ('fault' in result || ('error' in whole && whole.error.code !== 'REPLY_UNREADABLE')) return whole;
      const [entry] = parseList(result.body) ?? [];
      if (!isRecord(entry) || typeof entry['code'] !== 'number' || typeof entry['body'] !== 'string') {
        return unreadable('The platform did not finish the only part of a batch.');
      }
      return answer({ status: entry['code'], headers: result.headers, body: entry['body'] });
    },
  };
}

function readReply(reply: Reply, redact: (words: string) => string): Answer {
  const { status, headers } = reply;
  // Only what is JSON: in anything else an open quote would be searched for its end again and again.
  const body = parseObject(reply.body) && parseObject(quoteLongNumbers(reply.body));
  const error = body === null ? null : graphError(body);
  if (error && (status < 500 || isListed(error.code))) return callFailure(graphOutcome(error, reply, redact));
  if (error === null && body !== null && body['error'] === undefined && status >= 200 && status < 300) {
    return { node: body, headers };
  }
  if (status === 429) {
    const words = { code: '429', message: 'Something on the way to the platform asks for fewer calls.' };
    return { kind: 'failed', error: words, pauseMs: DEFAULT_PAUSE_MS };
  }
  if (status >= 500) return unreadable(`The platform answered with HTTP status ${status}.`, 'SERVER_ERROR');
  return unreadable(`The answer (HTTP status ${status}) is not the platform's.`);
}

/** 100/33 says that something is not known to the token: the Page, where it was asked for, else the one thing asked for. */
export function forOne(failed: CallFailure): CallFailure {
  return failed.error.code === '100/33' ? { kind: 'failed', error: failed.error } : failed;
}

/** Whether a failure that met one thing ends the reading of the others, too: it concerns the account, or the way to it. */
export function endsAll(failed: CallFailure): boolean {
  const isLost = failed.error.code === 'CONNECTION_LOST' || failed.error.code === 'TIMEOUT';
  return isLost || failed.pauseMs !== undefined || forOne(failed).stop !== undefined;
}

// ------------------------------------------------------------------------------------------------- what a node holds

const CURSOR = /^[\w=-]{1,500}$/;

/**
 * Where a list goes on: null after its last page, undefined when the platform says that it goes on but not where. Never
 * `next` itself: it is an address that came from outside, with a token in it.
 */
export function cursorAfter(paging: unknown): string | null | undefined {
  if (!isRecord(paging) || paging['next'] === undefined) return null;
  const after = isRecord(paging['cursors']) ? paging['cursors']['after'] : undefined;
  return isCursor(after) ? after : undefined;
}

export function isCursor(value: unknown): value is string {
  return typeof value === 'string' && CURSOR.test(value);
}

/** The pages of the platform show both: seconds since 1970, and `2022-07-12T19:11:07+0000`. */
export function graphTime(value: unknown): number | null {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return null;
  if (/^\d{9,11}$/.test(text)) return Number(text) * 1000;
  if (/^\d{12,14}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)$/.test(text)) return null;
  const at = Date.parse(text.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isFinite(at) ? at : null;
}

/** An id as text; null for what is none, as with a control character in it. */
export function textId(value: unknown): string | null {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  return typeof text === 'string' && text !== '' && text.length <= 500 && !/\p{Cc}/u.test(text) ? text : null;
}

/** An id as a part of a path; null for what would lead elsewhere. */
export function pathPart(value: unknown): string | null {
  const id = textId(value);
  return id === null || !/^[\w.$:=-]+$/.test(id) || /^\.+$/.test(id) ? null : encodeURIComponent(id);
}

/** Puts whole numbers of a JSON text into quotes that parsing would round; what stands inside texts stays as it is. */
function quoteLongNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (found) =>
    /^\d{16,}$/.test(found) ? `"${found}"` : found,
  );
}
