/**
 * Receipt logs: what services said of messages after they had accepted them, as CAMS pushes it (ChatAppStatus) or as a
 * server logged Twilio's events or status callbacks. Streams, so that memory does not grow with the file; what is not
 * understood is told with its place, and the rest counts.
 */
import { CLOCK_SKEW_MS } from '../core/window.js';
import type { Receipt } from '../ports.js';
import { camsNotice, readCamsStatus, type CamsStatus } from './cams-events.js';
import { JsonValues, type JsonValue } from './json-values.js';
import { readBatches, type Line } from './lines.js';
import type { FieldCode, Misread } from './log-fields.js';
import { isMetaBody } from './meta-events.js';
import { readTwilioStatus, twilioForm, twilioObject, type TwilioStatus } from './twilio-status.js';

export interface ReceiptLogOptions {
  /** Milliseconds since 1970. Times after it are refused; it stands for the time of a receipt that tells none. */
  now: number;
  /** Page id, Instagram account id or phone number: receipts of other accounts are left out (and counted). */
  accountId: string;
}

export type ReceiptProblemCode =
  | 'EMPTY'
  | 'NOT_TEXT'
  | 'LINE_TOO_LONG'
  | 'LIST_TOO_LONG'
  | 'NOT_JSON'
  | 'NOT_A_RECEIPT'
  | 'MESSAGE_ID_MISSING'
  | 'STATUS_UNKNOWN'
  | FieldCode;

export interface ReceiptProblem {
  /** From 1; 0 for the file as a whole. */
  line: number;
  code: ReceiptProblemCode;
  /** A sentence for people; holds no user id. */
  text: string;
}

/** What says nothing of a delivery. */
export type NoReceipt =
  /** What somebody wrote to the account. */
  | 'inbound'
  | 'deleted'
  /** A body of Meta's webhooks. */
  | 'meta_webhook'
  | 'other_account';

export interface ReceiptLogBatch {
  receipts: Receipt[];
  problems: ReceiptProblem[];
  /** Told apart by kind. */
  ignored: Partial<Record<NoReceipt, number>>;
  /** The ids of the accounts behind `other_account`, each once, and not all of them where there are many. */
  otherAccounts: string[];
}

/** Receipts and problems of one batch; a line more is read to its end. */
const BATCH = 1000;
/** Other accounts that one batch names. */
const MANY_ACCOUNTS = 10;

/**
 * Reads a receipt log from a path or a stream of bytes. An unusable file gives one problem and no receipt.
 * @throws Failure FILE_UNREADABLE
 */
export function readReceiptLog(
  source: string | AsyncIterable<Uint8Array | string>,
  options: ReceiptLogOptions,
): AsyncGenerator<ReceiptLogBatch, void, undefined> {
  return readBatches(source, new ReceiptReader(options));
}

function emptyBatch(): ReceiptLogBatch {
  return { receipts: [], problems: [], ignored: {}, otherAccounts: [] };
}

class ReceiptReader {
  readonly #options: ReceiptLogOptions;
  readonly #json = new JsonValues();
  #batch = emptyBatch();
  #line = 0;
  #isEmpty = true;

  constructor(options: ReceiptLogOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return Math.max(this.#batch.receipts.length, this.#batch.problems.length) >= BATCH;
  }

  take(): ReceiptLogBatch {
    const batch = this.#batch;
    this.#batch = emptyBatch();
    return batch;
  }

  problem(line: number, code: ReceiptProblemCode, text: string): void {
    this.#isEmpty = false;
    this.#batch.problems.push({ line, code, text });
  }

  read(line: Line): void {
    this.#line += 1;
    if (line?.trim() === '') return;
    this.#isEmpty = false;
    const form = line === null || this.#json.isOpen ? null : twilioForm(line);
    if (form) this.#take(readTwilioStatus(form, this.#options.now), this.#line, null);
    else for (const found of this.#json.read(line, this.#line)) this.#found(found);
  }

  finish(): void {
    for (const found of this.#json.finish()) this.#found(found);
    if (this.#isEmpty) this.problem(0, 'EMPTY', 'There is nothing to import: the file has no receipts.');
  }

  #found(found: JsonValue): void {
    if (found.kind === 'broken') {
      this.problem(found.line, found.code, found.text);
      return;
    }
    const { value, line, item } = found;
    const twilio = twilioObject(value);
    const cams = twilio === null ? camsNotice(value) : null;
    if (twilio) this.#take(readTwilioStatus(twilio, this.#options.now), line, item);
    else if (cams) this.#take(cams.kind === 'inbound' ? 'inbound' : readCamsStatus(cams), line, item);
    else if (isMetaBody(value)) this.#ignore('meta_webhook');
    else {
      const text = 'This is neither a ChatAppStatus of CAMS nor an event or status callback of Twilio.';
      this.#take({ code: 'NOT_A_RECEIPT', text }, line, item);
    }
  }

  #take(
    reading: CamsStatus | TwilioStatus | 'inbound' | 'deleted' | Misread<ReceiptProblemCode>,
    line: number,
    item: number | null,
  ): void {
    if (typeof reading === 'string') {
      this.#ignore(reading);
      return;
    }
    if ('code' in reading) {
      this.problem(line, reading.code, item === null ? reading.text : `item ${item}: ${reading.text}`);
      return;
    }
    const { accountId, receipt } = reading;
    if (accountId !== null && accountId !== this.#options.accountId) {
      this.#ignore('other_account');
      const others = this.#batch.otherAccounts;
      if (others.length < MANY_ACCOUNTS && !others.includes(accountId)) others.push(accountId);
    } else if (receipt.at > this.#options.now + CLOCK_SKEW_MS) {
      const text = 'Timestamp lies in the future. Check the clock of this machine.';
      this.#take({ code: 'TIME_IN_FUTURE', text }, line, item);
    } else this.#batch.receipts.push(receipt);
  }

  #ignore(kind: NoReceipt): void {
    this.#batch.ignored[kind] = (this.#batch.ignored[kind] ?? 0) + 1;
  }
}
