/**
 * What became of a message, as Twilio tells it: to a status callback, as the parameters of a form body or a log of them as
 * JSON, or through Event Streams. And what somebody wrote, as its webhook for incoming messages tells it. A callback does
 * not say when it happened.
 * Source: Twilio, "Track the message status of outbound messages", "Outbound Message" of its event types, "Twilio's request to
 * your incoming message webhook", and "Advanced Opt-Out".
 */
import type { ReceiptKind } from '../core/delivery.js';
import { readRowMetadata, type RowMark } from '../core/metadata.js';
import { PHONE, PLATFORM_ID } from '../core/user-id.js';
import type { Receipt } from '../ports.js';
import { readMessageId, readReason, readTime, shown, type Misread } from './log-fields.js';

/** Gives the value of a parameter; undefined where there is none. */
export type TwilioParameters = (name: string) => unknown;

const FORM_LINE = /^(?:(?:https?:\/)?\/[^\s?]*(?:\?(\S*))?\s+)?(\S+)$/;

/**
 * The parameters of a callback's form body, and those of the address that it came to where this stands before it:
 * `/twilio?campaign=…&seq=… MessageSid=…`. Null for a line that is none.
 */
export function twilioForm(line: string): TwilioParameters | null {
  const [, query = '', body = ''] = FORM_LINE.exec(line.trim()) ?? [];
  if (!/(?:^|&)(?:Message|Sms)Sid=/.test(body)) return null;
  const form = new URLSearchParams(`${query}&${body}`);
  // The body comes after the query, and what was added to the query after what stood there.
  return (name) => form.getAll(name).at(-1);
}

/** What a parameter of a callback is called in an event. */
const EVENT_FIELDS: Readonly<Record<string, string>> = {
  MessageSid: 'messageSid',
  MessageStatus: 'messageStatus',
  From: 'from',
  To: 'to',
  ErrorCode: 'errorCode',
  Timestamp: 'timestamp',
};

/** The parameters of a callback that was logged as JSON, or of an event; null for a value that is none. */
export function twilioObject(value: unknown): TwilioParameters | null {
  if (typeof value !== 'object' || value === null) return null;
  const record = value as Readonly<Record<string, unknown>>;
  const { type, data } = record;
  if (typeof type === 'string' && type.startsWith('com.twilio.messaging.message.')) {
    const event = new Map<string, unknown>(Object.entries(typeof data === 'object' && data !== null ? data : {}));
    return (name) => event.get(EVENT_FIELDS[name] ?? '');
  }
  if (!Object.hasOwn(record, 'MessageSid') && !Object.hasOwn(record, 'SmsSid')) return null;
  return (name) => (Object.hasOwn(record, name) ? record[name] : undefined);
}

const STATUSES: Readonly<Record<string, ReceiptKind | 'accepted' | 'inbound'>> = {
  accepted: 'accepted',
  queued: 'accepted',
  sending: 'accepted',
  sent: 'accepted',
  delivered: 'delivered',
  read: 'read',
  undelivered: 'undelivered',
  failed: 'undelivered',
  canceled: 'undelivered',
  receiving: 'inbound',
  received: 'inbound',
};

export interface TwilioStatus {
  /** Null where the callback does not say who sent it. */
  accountId: string | null;
  receipt: Receipt;
}

/**
 * @param now stands for the moment of a receipt that does not tell it
 * @returns `inbound` for what somebody wrote to us
 */
export function readTwilioStatus(
  parameter: TwilioParameters,
  now: number,
): TwilioStatus | 'inbound' | Misread<Misread['code'] | 'MESSAGE_ID_MISSING' | 'STATUS_UNKNOWN'> {
  const said = parameter('MessageStatus') ?? parameter('SmsStatus');
  if (said === undefined && parameter('Body') !== undefined) return 'inbound';
  const status = typeof said === 'string' ? said.trim().toLowerCase() : '';
  const kind = Object.hasOwn(STATUSES, status) ? STATUSES[status] : undefined;
  if (kind === undefined) {
    const text =
      said === undefined ? 'MessageStatus is missing.' : `MessageStatus is ${shown(said)}, which is not known.`;
    return { code: 'STATUS_UNKNOWN', text };
  }
  if (kind === 'inbound') return kind;
  const messageId = readMessageId(parameter('MessageSid') ?? parameter('SmsSid'));
  if (messageId === null) return { code: 'MESSAGE_ID_MISSING', text: 'MessageSid is missing.' };
  const time = parameter('Timestamp');
  const at = time === undefined ? now : readTime(time, 'timestamp');
  if (typeof at !== 'number') return at;
  const to = address(parameter('To'));
  // The message id alone says enough.
  const userId = to !== null && (PHONE.test(to) || PLATFORM_ID.test(to)) ? to : null;
  return {
    accountId: address(parameter('From')),
    receipt: {
      messageId,
      userId,
      row: userId === null ? null : rowOf(parameter),
      kind: kind === 'accepted' ? null : kind,
      at,
      error: kind === 'undelivered' ? readReason('twilio', parameter('ErrorCode'), parameter('ErrorMessage')) : null,
    },
  };
}

/** Something that a person wrote to a number. */
export interface TwilioInbound {
  /** The number, as Twilio has it; null when it cannot be told. */
  accountId: string | null;
  userId: string;
  messageId: string | null;
  text: string | null;
  /** What Twilio itself took it for; it has answered then, and refuses messages to whoever is out. */
  optOut: 'out' | 'in' | null;
}

/**
 * @param parameter of a callback for which `readTwilioStatus` has given `inbound`
 * @returns `other_channel` for what is no SMS, and `no_user` for what comes from no phone number, such as that of a program
 */
export function readTwilioInbound(parameter: TwilioParameters): TwilioInbound | 'other_channel' | 'no_user' {
  const [from, to, body, told] = [parameter('From'), parameter('To'), parameter('Body'), parameter('OptOutType')];
  if (typeof from === 'string' && /^(?!sms:)[a-z]+:/i.test(from)) return 'other_channel';
  const userId = address(from);
  if (userId === null || !PHONE.test(userId)) return 'no_user';
  return {
    accountId: address(to),
    userId,
    messageId: readMessageId(parameter('MessageSid') ?? parameter('SmsSid')),
    text: typeof body === 'string' && body !== '' ? body : null,
    optOut: told === 'STOP' ? 'out' : told === 'START' ? 'in' : null,
  };
}

/** The row that the address of the callback names, as `statusCallback` was given it. */
function rowOf(parameter: TwilioParameters): RowMark | null {
  const [campaign, seq] = [parameter('campaign'), parameter('seq')];
  if (typeof campaign !== 'string' || (typeof seq !== 'string' && typeof seq !== 'number')) return null;
  return readRowMetadata(`pagecast/${campaign}/${seq}`);
}

/** A number as it is, or without the channel that stands before it: `messenger:7642925849053947`. */
function address(value: unknown): string | null {
  // A + that was not encoded in the form reads as a space; what is left of such a number says nothing.
  if (typeof value !== 'string' || /^(?:\s|$)/.test(value)) return null;
  return value.replace(/^[a-z]+:/i, '');
}
