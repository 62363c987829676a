/**
 * What a reply of the Graph API says of the request: its error, what the error means, and how much of its allowance the
 * account has used. Shared by what sends and what reads.
 */
import { explainError, type Outcome } from '../core/delivery.js';
import type { Fault, Reply } from './http.js';

/** When the platform limits the account and does not say for how long. */
export const DEFAULT_PAUSE_MS = 30_000;
export const UNREACHABLE_PAUSE_MS = 10_000;

export type NotSent = Exclude<Outcome, { kind: 'sent' }>;

export function faultOutcome({ fault, detail }: Fault): NotSent {
  const error = { code: fault, message: detail };
  return fault === 'CONNECTION_REFUSED'
    ? { kind: 'retryable', error, pauseMs: UNREACHABLE_PAUSE_MS }
    : { kind: 'unknown', error };
}

/** What a Graph error envelope says (guides/error-handling). */
export interface GraphError {
  /** `10/2018278`, `190` without a subcode, or `GraphBatchException`, which has no number. */
  code: string;
  message: string;
  traceId: string | undefined;
}

/** The type of an error that has no code: a batch was not taken as a whole. */
const BATCH_ERROR = 'GraphBatchException';

export function graphError(body: Record<string, unknown>): GraphError | null {
  const error = body['error'];
  if (!isRecord(error)) return null;
  const code = wholeNumber(error['code']) ?? (error['type'] === BATCH_ERROR ? BATCH_ERROR : null);
  if (code === null) return null;
  const subcode = wholeNumber(error['error_subcode']);
  const trace = error['fbtrace_id'];
  return {
    code: subcode === null || subcode === '0' ? code : `${code}/${subcode}`,
    message: typeof error['message'] === 'string' ? error['message'] : '',
    traceId: typeof trace === 'string' && /^[\w+/=-]{1,64}$/.test(trace) ? trace : undefined,
  };
}

/** Whether core's table has a row for a code; for the others `explainError` gives one and the same answer. */
export function isListed(code: string): boolean {
  return explainError(code) !== explainError('');
}

export function errorOutcome(graph: GraphError, reply: Reply, redact: (words: string) => string): NotSent {
  const error = {
    code: graph.code,
    message: redact(graph.message),
    ...(graph.traceId !== undefined && { traceId: graph.traceId }),
  };
  const { class: met } = explainError(graph.code);
  switch (met.kind) {
    case 'rejected':
      return { kind: 'rejected', error, ...(met.optedOut && { optedOut: true }) };
    case 'retryable':
    case 'unknown':
      return { kind: met.kind, error };
    case 'pause':
      return { kind: 'retryable', error, pauseMs: regainMs(reply.headers) ?? DEFAULT_PAUSE_MS };
    case 'stop':
      return { kind: 'stopped', error, stop: met.cause };
  }
}

/** The longest time until the account may send again; null where the platform gives none. */
export function regainMs(headers: Reply['headers']): number | null {
  // It is given in minutes.
  const longest = highest(headers, ['estimated_time_to_regain_access']);
  return longest > 0 ? Math.ceil(longest * 60_000) : null;
}

/**
 * How much of what the platform allows is used up: 0 to 1, or above; null where it says nothing, as it does until enough calls
 * have been made.
 */
export function accountLoad(headers: Reply['headers']): number | null {
  const percent = highest(headers, ['call_count', 'total_time', 'total_cputime']);
  return percent < 0 ? null : percent / 100;
}

/** A Page's header may also tell of its advertisements, which do not hold messages up. */
const MESSAGING = ['messenger', 'instagram', 'pages'];

/**
 * The highest of some figures in the two headers on usage (graph-api/overview/rate-limiting); -1 when there is none.
 * `X-Business-Use-Case-Usage` has lists of figures by business, `X-App-Usage` is one set of figures.
 */
function highest(headers: Reply['headers'], names: readonly string[]): number {
  const business = headerObject(headers['x-business-use-case-usage']);
  const app = headerObject(headers['x-app-usage']);
  if (business === null && app === null) return -1;
  const uses: unknown[] = Object.values(business ?? {})
    .flat()
    .filter((use) => isRecord(use) && MESSAGING.includes(String(use['type'])));
  const figures = [...uses, app].flatMap((use) => (isRecord(use) ? names.map((name) => use[name]) : []));
  return Math.max(-1, ...figures.filter((figure): figure is number => Number.isFinite(figure)));
}

function headerObject(header: string | string[] | undefined): Record<string, unknown> | null {
  return typeof header === 'string' ? parseObject(header) : null;
}

function wholeNumber(value: unknown): string | null {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : '';
  return /^\d{1,10}$/.test(text) ? text : null;
}

export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
