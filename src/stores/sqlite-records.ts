/** What the tables of the ledger hold, and how it is read. */
import type { CampaignState, FailureBudget, ReceiptKind, RowState } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { SkipReason } from '../core/plan.js';
import type { SendMode } from '../core/policy.js';
import type { KeptReceipt } from '../core/receipt.js';
import type { Template } from '../core/template.js';
import type { Opener } from '../core/window.js';
import type { Campaign, MessageRow } from '../ports.js';

/** Stands for "no window needed" in the queue's index, after every real closing time. */
export const NO_CLOSING = Number.MAX_SAFE_INTEGER;
/** Long listings are read in pages of so many. */
export const BATCH = 10_000;

export interface CampaignRecord {
  number: number;
  id: string;
  account: string;
  account_name: string;
  template: string;
  variables: string;
  source: string;
  pace: number | null;
  state: CampaignState;
  stop: string | null;
  digest: string;
  budget: string;
  key: string | null;
  recurrence: string | null;
  occurs_at: number | null;
  send_at: number | null;
  expires_at: number | null;
  zone: string | null;
  mode: SendMode;
  outside: string | null;
  flow: string | null;
  quiet: string | null;
  approved_at: number;
  started_at: number | null;
  active_at: number;
  finished_at: number | null;
}

export interface MessageRecord {
  number: number;
  campaign: string;
  seq: number;
  user_id: string;
  values: string;
  state: RowState;
  reason: SkipReason | null;
  opener: Opener | null;
  closes_at: number | null;
  not_before: number | null;
  attempts: number;
  started_at: number | null;
  settled_at: number | null;
  message_id: string | null;
  error: string | null;
  outside: 0 | 1;
  receipt: ReceiptKind | null;
  receipt_at: number | null;
  receipt_error: string | null;
}

/** What `toMessage` reads. */
export const MESSAGES = `SELECT m.campaign AS number, c.id AS campaign, m.seq, m.user_id, m."values", m.state, m.reason,
  m.opener, m.closes_at, m.not_before, m.attempts, m.started_at, m.settled_at, m.message_id, m.error, m.outside, m.receipt,
  m.receipt_at, m.receipt_error FROM messages m JOIN campaigns c ON c.number = m.campaign`;

/** What `messages_one_per_person` covers; a query that is to go by that index has to say so. */
export const ONE_PER_PERSON = `(m.reason IS NULL OR m.reason NOT IN ('duplicate', 'invalid'))`;

export function closing(stored: number): number | null {
  return stored === NO_CLOSING ? null : stored;
}

export function toCampaign(record: CampaignRecord): Campaign {
  return {
    id: record.id,
    account: record.account,
    accountName: record.account_name,
    template: JSON.parse(record.template) as Campaign['template'],
    source: record.source,
    variables: JSON.parse(record.variables) as string[],
    pace: record.pace ?? Infinity,
    timing:
      record.send_at === null || record.expires_at === null
        ? null
        : { sendAt: record.send_at, expiresAt: record.expires_at, zone: record.zone ?? 'UTC' },
    key: record.key,
    occurrence:
      record.recurrence === null || record.occurs_at === null
        ? null
        : { recurrence: record.recurrence, at: record.occurs_at },
    budget: JSON.parse(record.budget) as FailureBudget,
    state: record.state,
    stop: record.stop === null ? null : (JSON.parse(record.stop) as NonNullable<Campaign['stop']>),
    digest: record.digest,
    approvedAt: record.approved_at,
    startedAt: record.started_at,
    activeAt: record.active_at,
    mode: record.mode,
    flow: record.flow,
    quiet: record.quiet === null ? null : (JSON.parse(record.quiet) as Campaign['quiet']),
    outside: record.outside === null ? null : (JSON.parse(record.outside) as Template),
    finishedAt: record.finished_at,
  };
}

export function toMessage(record: MessageRecord): MessageRow {
  return {
    campaign: record.campaign,
    seq: record.seq,
    userId: record.user_id,
    values: JSON.parse(record.values) as string[],
    state: record.state,
    reason: record.reason,
    opener: record.opener,
    closesAt: record.closes_at === null ? null : closing(record.closes_at),
    notBefore: record.not_before,
    attempts: record.attempts,
    startedAt: record.started_at,
    settledAt: record.settled_at,
    messageId: record.message_id,
    error: record.error === null ? null : (JSON.parse(record.error) as MessageRow['error']),
    outside: record.outside === 1,
    receipt: toReceipt(record),
  };
}

export function toReceipt(record: Pick<MessageRecord, 'receipt' | 'receipt_at' | 'receipt_error'>): KeptReceipt | null {
  const { receipt, receipt_at, receipt_error } = record;
  if (receipt === null) return null;
  const error = receipt_error === null ? null : (JSON.parse(receipt_error) as KeptReceipt['error']);
  return { kind: receipt, at: receipt_at ?? 0, error };
}

export function wrongState(campaign: CampaignRecord): Failure {
  return new Failure(
    'CAMPAIGN_STATE',
    `Campaign ${campaign.id} is ${campaign.state}.`,
    `Look at it: pagecast campaign show ${campaign.id}`,
  );
}
