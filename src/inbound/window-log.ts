/**
 * Window logs: who did what when, as a CSV file, as JSON or as recorded webhook bodies of Meta or CAMS. Streams, so that memory does
 * not grow with the file; a line that cannot be used is told and passed over, never guessed at, because a wrong time opens
 * a window that is shut.
 */
import { CLOCK_SKEW_MS, OPENERS, type Opener } from '../core/window.js';
import type { Echo, OpenerEvent } from '../ports.js';
import { camsNotice, readCamsInbound, type CamsNotice } from './cams-events.js';
import { CsvRecord } from './csv-record.js';
import { JsonValues, type JsonValue } from './json-values.js';
import { readBatches, TOO_LONG, type Line } from './lines.js';
import { readId, readTime, shown, type FieldCode } from './log-fields.js';
import { isMetaBody, readMetaBody, type IgnoredKind } from './meta-events.js';

export type WindowLogFormat = 'csv' | 'jsonl' | 'webhook';

export interface WindowLogOptions {
  /** Left out: told from the contents; then JSON records and webhook bodies may also stand in one file. */
  format?: WindowLogFormat;
  /** Milliseconds since 1970; times after it are refused. */
  now: number;
  /** Page or Instagram account id: webhook events of other accounts are left out (and counted). */
  accountId?: string;
  /** Under which Instagram's webhooks name an account that itself goes by the id of its Page. */
  instagramId?: string;
}

export type LineCode =
  | 'EMPTY'
  | 'NOT_TEXT'
  | 'LINE_TOO_LONG'
  | 'LIST_TOO_LONG'
  | 'HEADER_UNKNOWN'
  | 'NOT_JSON'
  | 'NOT_A_RECORD'
  | 'NOT_A_WEBHOOK'
  | 'OPENER_UNKNOWN'
  | FieldCode;

/** What opens no window; of CAMS its `system` messages, which no person writes, and its receipts. */
export type PassedOver = IgnoredKind | 'system' | 'receipt';

export interface LineProblem {
  /** From 1; 0 for the file as a whole. A CSV record over several lines has the number of its first. */
  line: number;
  code: LineCode;
  /** A sentence for people; holds no user id. */
  text: string;
}

export interface WindowLogBatch {
  /** Lines read since the last batch that were not blank, without a CSV header. */
  lines: number;
  events: OpenerEvent[];
  /** The account's own messages that came back in webhook bodies. */
  echoes: Echo[];
  problems: LineProblem[];
  /** Webhook events that open no window, by kind. */
  ignored: Partial<Record<PassedOver, number>>;
  /** The ids of the accounts behind `other_account`, each once, and not all of them where there are many. */
  otherAccounts: string[];
}

/** Events, echoes and problems of one batch. */
const BATCH = 1000;
/** Other accounts that one batch names. */
const MANY_ACCOUNTS = 10;

/**
 * Reads a window log from a path or a stream of bytes. An unusable file gives one problem and no event.
 * @throws Failure FILE_UNREADABLE
 */
export function readWindowLog(
  source: string | AsyncIterable<Uint8Array | string>,
  options: WindowLogOptions,
): AsyncGenerator<WindowLogBatch, void, undefined> {
  return readBatches(source, new LogReader(options));
}

type Field = 'user_id' | 'opened_at' | 'opener';

interface CsvTable {
  record: CsvRecord;
  /** Places of the columns; -1 for an opener column that is not there. */
  column: Record<Field, number>;
  /** Columns of the header. */
  width: number;
}

function emptyBatch(): WindowLogBatch {
  return { lines: 0, events: [], echoes: [], problems: [], ignored: {}, otherAccounts: [] };
}

class LogReader {
  /** The header was not understood: nothing after it can be either. */
  isOver = false;
  readonly #options: WindowLogOptions;
  #batch = emptyBatch();
  #line = 0;
  #total = 0;
  #format: 'csv' | 'json' | null = null;
  #csv: CsvTable | null = null;
  readonly #json = new JsonValues();

  constructor(options: WindowLogOptions) {
    this.#options = options;
    if (options.format !== undefined) this.#format = options.format === 'csv' ? 'csv' : 'json';
  }

  get isFull(): boolean {
    const { events, echoes, problems } = this.#batch;
    return Math.max(events.length, echoes.length, problems.length) >= BATCH;
  }

  take(): WindowLogBatch {
    const batch = this.#batch;
    this.#batch = emptyBatch();
    return batch;
  }

  problem(line: number, code: LineCode, text: string): void {
    this.#batch.problems.push({ line, code, text });
  }

  read(line: Line): void {
    this.#line += 1;
    if (this.isOver) return;
    if (this.#csv?.record.isOpen) {
      this.#csvLine(line, this.#csv);
      return;
    }
    if (line?.trim() === '') return;
    this.#format ??= line !== null && /^\s*[{[]/.test(line) ? 'json' : 'csv';
    if (this.#format === 'csv' && this.#csv === null) {
      this.#header(line);
      return;
    }
    this.#batch.lines += 1;
    this.#total += 1;
    if (this.#csv) this.#csvLine(line, this.#csv);
    else for (const found of this.#json.read(line, this.#line)) this.#value(found);
  }

  finish(): void {
    if (this.#csv?.record.isOpen) {
      const text = 'A quote is opened and never closed; everything after it was taken for one field.';
      this.problem(this.#csv.record.startedAt, 'NOT_A_RECORD', text);
    }
    for (const found of this.#json.finish()) this.#value(found);
    if (this.#total === 0 && !this.isOver && this.#batch.problems.length === 0) {
      this.problem(0, 'EMPTY', 'There is nothing to import: the file has no records.');
    }
  }

  #header(line: Line): void {
    // Excel writes and reads such a line to say which separator the file has.
    if (line !== null && /^"?sep=.?"?$/i.test(line)) return;
    for (const delimiter of [',', ';', '\t']) {
      const record = new CsvRecord(delimiter);
      const fields = line === null ? null : record.push(line, this.#line);
      const names = Array.isArray(fields) ? fields.map((name) => name.trim().toLowerCase()) : [];
      const at = (name: Field): number => names.indexOf(name);
      if (at('user_id') === -1 || at('opened_at') === -1) continue;
      // Of two columns with one name nobody knows which is meant.
      const twice = names.find((name, index) => isField(name) && names.indexOf(name) !== index);
      if (twice !== undefined) break;
      const column = { user_id: at('user_id'), opened_at: at('opened_at'), opener: at('opener') };
      this.#csv = { record, column, width: names.length };
      return;
    }
    const prefixed = line?.includes('{"') === true;
    this.problem(
      this.#line,
      'HEADER_UNKNOWN',
      prefixed
        ? 'Something stands before the JSON of this line. Give one JSON object a line, without the log prefix.'
        : 'The first line must be the header user_id,opened_at,opener (opener may be left out), each name once.',
    );
    this.isOver = true;
  }

  #csvLine(line: Line, { record, column, width }: CsvTable): void {
    const fields = line === null ? 'too long' : record.push(line, this.#line);
    if (fields === null) return;
    if (fields === 'too long') {
      this.problem(record.isOpen ? record.startedAt : this.#line, 'LINE_TOO_LONG', TOO_LONG);
      record.reset();
      return;
    }
    const start = record.startedAt;
    // With a separator too many or too few, what stands in a column is not what the column says.
    if (
      fields.length <= Math.max(column.user_id, column.opened_at) ||
      fields.slice(width).some((field) => field !== '')
    ) {
      this.problem(start, 'NOT_A_RECORD', 'The line has more or fewer fields than the header.');
      return;
    }
    this.#event(fields[column.user_id], fields[column.opened_at], fields[column.opener], (code, text) =>
      this.problem(start, code, text),
    );
  }

  #value(found: JsonValue): void {
    if (found.kind === 'broken') {
      this.problem(found.line, found.code, found.text);
      return;
    }
    const { value, line } = found;
    const { format } = this.#options;
    const problem = (code: LineCode, text: string): void => {
      this.problem(line, code, found.item === null ? text : `item ${found.item}: ${text}`);
    };
    const isMeta = isMetaBody(value);
    const cams = isMeta ? null : camsNotice(value);
    if (isMeta || cams) {
      if (format === 'jsonl') problem('NOT_A_RECORD', 'This is a webhook body, not a record.');
      else if (cams) this.#cams(cams, problem);
      else this.#webhook(value, problem);
    } else if (format === 'webhook') {
      problem('NOT_A_WEBHOOK', 'This is no webhook body: neither with the "entry" list of Meta nor of CAMS.');
    } else if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      problem('NOT_A_RECORD', 'This is no JSON object with user_id and opened_at.');
    } else {
      const record = value as Partial<Record<Field, unknown>>;
      this.#event(record.user_id, record.opened_at, record.opener, problem);
    }
  }

  #webhook(body: unknown, problem: Tell): void {
    const { entries, ignored } = readMetaBody(body);
    for (const [kind, count] of Object.entries(ignored) as [IgnoredKind, number][]) this.#ignore(kind, count);
    for (const { accountId, events } of entries) {
      for (const event of events) {
        if (event.kind === 'opener') {
          const { userId, openedAt, opener } = event;
          this.#ofAccount(accountId, { userId, openedAt, opener }, problem);
          continue;
        }
        this.#ignore(event.kind, 1);
        if (event.kind !== 'echo' || !this.#isOwn(accountId)) continue;
        const { campaign, seq, messageId } = event;
        this.#batch.echoes.push({ campaign, seq, messageId });
      }
    }
  }

  #cams(notice: CamsNotice, problem: Tell): void {
    const reading = notice.kind === 'status' ? 'receipt' : readCamsInbound(notice);
    if (typeof reading === 'string') this.#ignore(reading, 1);
    else if ('code' in reading) problem(reading.code, reading.text);
    else {
      const { accountId, userId, openedAt } = reading;
      this.#ofAccount(accountId, { userId, openedAt, opener: 'message' }, problem);
    }
  }

  #ofAccount(account: string, event: OpenerEvent, problem: Tell): void {
    if (!this.#isOwn(account)) {
      this.#ignore('other_account', 1);
      const others = this.#batch.otherAccounts;
      if (others.length < MANY_ACCOUNTS && !others.includes(account)) others.push(account);
    } else if (this.#isFuture(event.openedAt)) problem('TIME_IN_FUTURE', IN_FUTURE);
    else this.#batch.events.push(event);
  }

  #isOwn(account: string): boolean {
    const { accountId, instagramId } = this.#options;
    return accountId === undefined || account === accountId || account === instagramId;
  }

  #ignore(kind: PassedOver, count: number): void {
    this.#batch.ignored[kind] = (this.#batch.ignored[kind] ?? 0) + count;
  }

  #event(id: unknown, time: unknown, kind: unknown, problem: Tell): void {
    const userId = readId(id, 'user_id');
    if (typeof userId !== 'string') {
      problem(userId.code, userId.text);
      return;
    }
    const openedAt = readTime(time, 'opened_at');
    if (typeof openedAt !== 'number') {
      problem(openedAt.code, openedAt.text);
      return;
    }
    if (this.#isFuture(openedAt)) {
      problem('TIME_IN_FUTURE', IN_FUTURE);
      return;
    }
    const opener = readOpener(kind);
    if (opener === null) {
      problem('OPENER_UNKNOWN', `opener is ${shown(kind)}; expected one of ${OPENERS.join(', ')}.`);
      return;
    }
    this.#batch.events.push({ userId, openedAt, opener });
  }

  #isFuture(openedAt: number): boolean {
    return openedAt > this.#options.now + CLOCK_SKEW_MS;
  }
}

/** Tells a problem with its place. */
type Tell = (code: LineCode, text: string) => void;

const IN_FUTURE = 'The time lies in the future. Check its time zone, and the clock of this machine.';

function isField(name: string): name is Field {
  return name === 'user_id' || name === 'opened_at' || name === 'opener';
}

function readOpener(value: unknown): Opener | null {
  if (value === undefined || value === null) return 'message';
  const name = typeof value === 'string' ? value.trim().toLowerCase() : null;
  return name === '' ? 'message' : (OPENERS.find((opener) => opener === name) ?? null);
}
