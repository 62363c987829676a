/**
 * What a reply of the Graph API says of the request: its error, what the error means, and how much of its allowance the
 * account has used. Shared by what sends and what reads.
 */
import type { Reply } from './http.js';
import { DEFAULT_PAUSE_MS, errorOutcome, isRecord, parseObject, type NotSent } from './service-reply.js';

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

/** @param redact makes the platform's words fit to be shown */
export function graphOutcome(graph: GraphError, reply: Reply, redact: (words: string) => string): NotSent {
  const error = {
    code: graph.code,
    message: redact(graph.message),
    ...(graph.traceId !== undefined && { traceId: graph.traceId }),
  };
  return errorOutcome(error, regainMs(reply.headers) ?? DEFAULT_PAUSE_MS);
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
