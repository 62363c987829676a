/** Receipts: what a service says of a message after it has accepted it, and which of several stands. */
import type { DeliveryError, ReceiptKind, RowState } from './delivery.js';
import { explainError } from './platform-errors.js';

/** A receipt as a row keeps it. */
export interface KeptReceipt {
  kind: ReceiptKind;
  /** Milliseconds since 1970, UTC, by the service's clock. */
  at: number;
  /** Why it was not delivered. */
  error: DeliveryError | null;
}

/**
 * Whoever has read a message has got it, and whoever has got it has not missed it: a failure that is told as well is that of
 * another attempt, or is late.
 */
const RANK: Record<ReceiptKind, number> = { undelivered: 0, delivered: 1, read: 2 };

/**
 * Receipts come late, twice and in any order; the one that stands must not depend on that. Of two that say the same the
 * earlier one stands, since it tells when it happened.
 */
export function standsAgainst(found: KeptReceipt, kept: KeptReceipt | null): boolean {
  if (kept === null) return true;
  if (found.kind !== kept.kind) return RANK[found.kind] > RANK[kept.kind];
  if (found.at !== kept.at) return found.at < kept.at;
  return reason(found) < reason(kept);
}

/**
 * Whether a row that was attempted is `sent` by a receipt that names it: the service had accepted the message, also one that it
 * could not deliver. A row that failed, or waits to be sent again, is taken for sent only when something better is told of
 * it: a service may also push the failure that it had answered with, and nobody has got the message twice by that.
 * @param kind null where the receipt says only that the message was accepted
 */
export function settlesRow(kind: ReceiptKind | null, state: RowState): boolean {
  if (state === 'unknown') return true;
  return kind !== 'undelivered' && (state === 'failed' || state === 'queued' || state === 'skipped');
}

/** Whether the reason is that the person does not wish to be written to by this account any more. */
export function tellsOptOut(error: DeliveryError | null): boolean {
  if (error === null) return false;
  const met = explainError(error.code).class;
  return met.kind === 'rejected' && met.optedOut === true;
}

/** What it means that a message was not delivered. @param code as in DeliveryError; empty where no reason was given */
export function explainUndelivered(code: string): { meaning: string; advice: string } {
  if (code === '') return { meaning: 'The service gave no reason.', advice: 'Look at the message in its console.' };
  const { meaning, advice } = explainError(code);
  return { meaning, advice };
}

function reason({ error }: KeptReceipt): string {
  return error === null ? '' : `${error.code} ${error.message}`;
}
