/**
 * What CAMS pushes or queues: what a person wrote (ChatAppInbound), and what became of a message (ChatAppStatus). One parsed
 * object in, one reading out. Its bodies are foreign: each field is read by its own shape, to a fixed depth. Keys are trimmed,
 * because documented samples have a space after some of them.
 * Source: CAMS, "configure message receipts" (doc 421545 and those below it). They are worded for WhatsApp; that on Messenger
 * a person's id stands in `From` of what they wrote and in `To` of a status follows from the same words.
 */
import type { ReceiptKind } from '../core/delivery.js';
import { readCamsTaskId } from '../core/metadata.js';
import type { Receipt } from '../ports.js';
import { readId, readMessageId, readReason, readTime, shown, type Misread } from './log-fields.js';

export interface CamsNotice {
  kind: 'inbound' | 'status';
  fields: ReadonlyMap<string, unknown>;
}

/** @returns null for what is no notice of CAMS */
export function camsNotice(value: unknown): CamsNotice | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const fields = new Map<string, unknown>();
  for (const [key, field] of Object.entries(value)) {
    const name = key.trim();
    if (name === key || !fields.has(name)) fields.set(name, field);
  }
  if (!fields.has('MessageId') || !(fields.has('From') || fields.has('To'))) return null;
  return { kind: fields.has('Status') ? 'status' : 'inbound', fields };
}

/** Something that a person wrote to an account. */
export interface CamsInbound {
  accountId: string;
  userId: string;
  /** Milliseconds since 1970, UTC. */
  openedAt: number;
  messageId: string | null;
  /** Null for whatever is not a text, such as an image. */
  text: string | null;
}

/** @returns `system` for what no person wrote */
export function readCamsInbound({ fields }: CamsNotice): CamsInbound | 'system' | Misread {
  const said = fields.get('Type');
  const type = typeof said === 'string' ? said.trim().toUpperCase() : '';
  if (type === 'SYSTEM') return 'system';
  const userId = readId(fields.get('From'), 'From');
  if (typeof userId !== 'string') return userId;
  const accountId = readId(fields.get('To'), 'To');
  if (typeof accountId !== 'string') return accountId;
  const openedAt = readTime(fields.get('Timestamp'), 'Timestamp');
  if (typeof openedAt !== 'number') return openedAt;
  const message = fields.get('Message');
  return {
    accountId,
    userId,
    openedAt,
    messageId: readMessageId(fields.get('MessageId')),
    text: type === 'TEXT' && typeof message === 'string' && message !== '' ? message : null,
  };
}

/** `sent` says only that the message was accepted. */
const STATUSES: Readonly<Record<string, ReceiptKind | 'accepted' | 'deleted'>> = {
  sent: 'accepted',
  delivered: 'delivered',
  read: 'read',
  failed: 'undelivered',
  deleted: 'deleted',
};

/** A receipt, and the account that it is for. */
export interface CamsStatus {
  accountId: string;
  receipt: Receipt;
}

/** @returns `deleted` for what says nothing of the delivery */
export function readCamsStatus({
  fields,
}: CamsNotice): CamsStatus | 'deleted' | Misread<Misread['code'] | 'MESSAGE_ID_MISSING' | 'STATUS_UNKNOWN'> {
  const said = fields.get('Status');
  const status = typeof said === 'string' ? said.trim().toLowerCase() : '';
  const kind = Object.hasOwn(STATUSES, status) ? STATUSES[status] : undefined;
  if (kind === undefined) return { code: 'STATUS_UNKNOWN', text: `Status is ${shown(said)}, which is not known.` };
  if (kind === 'deleted') return kind;
  const accountId = readId(fields.get('From'), 'From');
  if (typeof accountId !== 'string') return accountId;
  const userId = readId(fields.get('To'), 'To');
  if (typeof userId !== 'string') return userId;
  const at = readTime(fields.get('Timestamp'), 'Timestamp');
  if (typeof at !== 'number') return at;
  // Without a task id of the sender's, CAMS puts the message id there.
  const taskId = fields.get('TaskId');
  const row = readCamsTaskId(taskId);
  const messageId = readMessageId(row === null ? fields.get('MessageId') : taskId);
  if (messageId === null) return { code: 'MESSAGE_ID_MISSING', text: 'MessageId is missing.' };
  const error =
    kind === 'undelivered'
      ? readReason('cams', fields.get('ErrorCode'), fields.get('ErrorDescription') ?? fields.get('StatusDescription'))
      : null;
  return {
    accountId,
    receipt: {
      messageId,
      userId,
      row,
      kind: kind === 'accepted' ? null : kind,
      at,
      error,
    },
  };
}
