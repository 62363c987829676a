/**
 * What a reply says of a request whatever the service is, and what it says that none came: whether the request was taken up,
 * and what an error of core's tables makes of it. Shared by all that send and all that read.
 */
import type { DeliveryError, Outcome } from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import type { CallFailure } from '../ports.js';
import type { Fault } from './http.js';

export type NotSent = Exclude<Outcome, { kind: 'sent' }>;

/** When a service limits the account and does not say for how long. */
export const DEFAULT_PAUSE_MS = 30_000;
const UNREACHABLE_PAUSE_MS = 10_000;

export function faultOutcome({ fault, detail }: Fault): NotSent {
  const error = { code: fault, message: detail };
  return fault === 'CONNECTION_REFUSED'
    ? { kind: 'retryable', error, pauseMs: UNREACHABLE_PAUSE_MS }
    : { kind: 'unknown', error };
}

/**
 * Statuses by which a server says that it did not take the request up. Without an error of the service they come from
 * something on the way (a proxy, a wrong address, the service's edge), and nothing was sent. Every other status without one
 * is taken for unknown: a filter that swaps a reply it dislikes for its own 403 does so after the service has acted.
 */
const NOT_TAKEN_UP = new Set([301, 307, 308, 404, 405, 407, 414, 421, 429, 431]);

/**
 * What a reply without an error of the service comes to by its status alone.
 * @param service such as `Twilio`. @returns null where the status does not say that nothing was sent
 */
export function notTakenUp(status: number, service: string): NotSent | null {
  if (!NOT_TAKEN_UP.has(status)) return null;
  const message = `HTTP status ${status} came from something other than ${service}; nothing was sent.`;
  const pauseMs = status === 429 ? DEFAULT_PAUSE_MS : UNREACHABLE_PAUSE_MS;
  return { kind: 'retryable', error: { code: 'CONNECTION_REFUSED', message }, pauseMs };
}

/** Whether core's tables have a row for a code; for the others `explainError` gives one and the same answer. */
export function isListed(code: string): boolean {
  return explainError(code) !== explainError('');
}

/** @param pauseMs how long to wait where the error is a limit of the account */
export function errorOutcome(error: DeliveryError, pauseMs: number): NotSent {
  const { class: met } = explainError(error.code);
  switch (met.kind) {
    case 'rejected':
      return { kind: 'rejected', error, ...(met.optedOut && { optedOut: true }) };
    case 'retryable':
    case 'unknown':
      return { kind: met.kind, error };
    case 'pause':
      return { kind: 'retryable', error, pauseMs };
    case 'stop':
      return { kind: 'stopped', error, stop: met.cause };
  }
}

/** What the outcome of a call that sends nothing means; what is wrong with its content is nothing that concerns the account. */
export function callFailure(outcome: NotSent): CallFailure {
  const { error } = outcome;
  if (outcome.kind === 'retryable' && outcome.pauseMs !== undefined) {
    return { kind: 'failed', error, pauseMs: outcome.pauseMs };
  }
  if (outcome.kind === 'stopped' && outcome.stop !== 'content') return { kind: 'failed', error, stop: outcome.stop };
  return { kind: 'failed', error };
}

export function unreadable(message: string, code = 'REPLY_UNREADABLE'): CallFailure {
  return { kind: 'failed', error: { code, message } };
}

export function parseObject(text: string): Record<string, unknown> | null {
  const value = parseJson(text);
  return isRecord(value) ? value : null;
}

export function parseList(text: string): unknown[] | null {
  const value = parseJson(text);
  return Array.isArray(value) ? value : null;
}

/** @returns null for what is no JSON */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
