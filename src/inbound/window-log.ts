/**
 * Window logs: who did what when, as a CSV file, as JSON lines or as recorded webhook bodies. Streams, so that memory does
 * not grow with the file; a line that cannot be used is told and passed over, never guessed at, because a wrong time opens
 * a window that is shut.
 */
import { createReadStream } from 'node:fs';
import { Failure } from '../core/failure.js';
import { PHONE, PLATFORM_ID, SCIENTIFIC } from '../core/user-id.js';
import { CLOCK_SKEW_MS, OPENERS, type Opener } from '../core/window.js';
import type { Echo, OpenerEvent } from '../ports.js';
import { epochMs, isMetaBody, readMetaEvents, type IgnoredCounts, type IgnoredKind } from './meta-events.js';

export type WindowLogFormat = 'csv' | 'jsonl' | 'webhook';

export interface WindowLogOptions {
  /** Left out: told from the contents; then JSON records and webhook bodies may also stand in one file. */
  format?: WindowLogFormat;
  /** Milliseconds since 1970; times after it are refused. */
  now: number;
  /** Page or Instagram account id: webhook events of other accounts are left out (and counted). */
  accountId?: string;
}

export type LineCode =
  | 'EMPTY'
  | 'NOT_TEXT'
  | 'LINE_TOO_LONG'
  | 'HEADER_UNKNOWN'
  | 'NOT_JSON'
  | 'NOT_A_RECORD'
  | 'NOT_A_WEBHOOK'
  | 'ID_MISSING'
  | 'ID_NOT_TEXT'
  | 'ID_MALFORMED'
  | 'TIME_MISSING'
  | 'TIME_INVALID'
  | 'TIME_WITHOUT_ZONE'
  | 'TIME_IN_FUTURE'
  | 'OPENER_UNKNOWN';

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
  ignored: IgnoredCounts;
  /** The ids of the accounts behind `other_account`, each once, and not all of them where there are many. */
  otherAccounts: string[];
}

/** Events, echoes and problems of one batch. */
const BATCH = 1000;
/** Other accounts that one batch names. */
const MANY_ACCOUNTS = 10;
/** Characters; the largest webhook bodies are far below it. */
const MAX_LINE = 1024 * 1024;

/**
 * Reads a window log from a path or a stream of bytes. An unusable file gives one problem and no event.
 * @throws Failure FILE_UNREADABLE
 */
export async function* readWindowLog(
  source: string | AsyncIterable<Uint8Array | string>,
  options: WindowLogOptions,
): AsyncGenerator<WindowLogBatch, void, undefined> {
  const reader = new LogReader(options);
  for await (const lines of readLines(typeof source === 'string' ? createReadStream(source) : source)) {
    if (typeof lines === 'string') {
      reader.problem(0, 'NOT_TEXT', lines);
      break;
    }
    for (const line of lines) {
      reader.read(line);
      if (reader.isFull) yield reader.take();
    }
    if (reader.isOver) break;
  }
  reader.finish();
  yield reader.take();
}

/** A line, or null in place of one that is too long to be kept. */
type Line = string | null;
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
    else if (line === null) this.problem(this.#line, 'LINE_TOO_LONG', TOO_LONG);
    else this.#jsonLine(line);
  }

  finish(): void {
    if (this.#csv?.record.isOpen) {
      const text = 'A quote is opened and never closed; everything after it was taken for one field.';
      this.problem(this.#csv.record.startedAt, 'NOT_A_RECORD', text);
    }
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
    this.#event(start, fields[column.user_id], fields[column.opened_at], fields[column.opener]);
  }

  #jsonLine(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      const text = line.trimStart().startsWith('{')
        ? 'The line is no complete JSON object. Each object must stand on one line.'
        : 'The line does not begin with {. Give one JSON object a line, without a prefix.';
      this.problem(this.#line, 'NOT_JSON', text);
      return;
    }
    const { format } = this.#options;
    if (isMetaBody(value)) {
      if (format === 'jsonl') this.problem(this.#line, 'NOT_A_RECORD', 'The line is a webhook body, not a record.');
      else this.#webhook(value);
    } else if (format === 'webhook') {
      this.problem(this.#line, 'NOT_A_WEBHOOK', 'The line is no webhook body: it has no "entry" list.');
    } else if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problem(this.#line, 'NOT_A_RECORD', 'The line is no JSON object with user_id and opened_at.');
    } else {
      const record = value as Partial<Record<Field, unknown>>;
      this.#event(this.#line, record.user_id, record.opened_at, record.opener);
    }
  }

  #webhook(body: unknown): void {
    const { openers, echoes, ignored } = readMetaEvents(body);
    const ignore = (kind: IgnoredKind, count: number): void => {
      this.#batch.ignored[kind] = (this.#batch.ignored[kind] ?? 0) + count;
    };
    for (const [kind, count] of Object.entries(ignored) as [IgnoredKind, number][]) ignore(kind, count);
    const { accountId } = this.#options;
    for (const { accountId: account, ...echo } of echoes) {
      if (accountId === undefined || account === accountId) this.#batch.echoes.push(echo);
    }
    for (const { accountId: account, userId, openedAt, opener } of openers) {
      if (accountId !== undefined && account !== accountId) {
        ignore('other_account', 1);
        const others = this.#batch.otherAccounts;
        if (others.length < MANY_ACCOUNTS && !others.includes(account)) others.push(account);
      } else if (this.#isFuture(openedAt)) this.problem(this.#line, 'TIME_IN_FUTURE', IN_FUTURE);
      else this.#batch.events.push({ userId, openedAt, opener });
    }
  }

  #event(line: number, id: unknown, time: unknown, kind: unknown): void {
    const userId = readId(id);
    if (typeof userId !== 'string') {
      this.problem(line, userId.code, userId.text);
      return;
    }
    const openedAt = readTime(time);
    if (typeof openedAt !== 'number') {
      this.problem(line, openedAt.code, openedAt.text);
      return;
    }
    if (this.#isFuture(openedAt)) {
      this.problem(line, 'TIME_IN_FUTURE', IN_FUTURE);
      return;
    }
    const opener = readOpener(kind);
    if (opener === null) {
      const text = `opener is ${shown(kind)}; expected one of ${OPENERS.join(', ')}.`;
      this.problem(line, 'OPENER_UNKNOWN', text);
      return;
    }
    this.#batch.events.push({ userId, openedAt, opener });
  }

  #isFuture(openedAt: number): boolean {
    return openedAt > this.#options.now + CLOCK_SKEW_MS;
  }
}

const TOO_LONG = 'The line is longer than 1 MB.';
const IN_FUTURE = 'opened_at lies in the future. Check its time zone, and the clock of this machine.';

function isField(name: string): name is Field {
  return name === 'user_id' || name === 'opened_at' || name === 'opener';
}

interface Misread {
  code: LineCode;
  text: string;
}

function readId(value: unknown): string | Misread {
  if (typeof value === 'number') {
    const text = 'user_id is a JSON number, and digits get lost in those. Write it as text, in quotes.';
    return { code: 'ID_NOT_TEXT', text };
  }
  if (value === undefined || value === null || value === '') return { code: 'ID_MISSING', text: 'user_id is missing.' };
  const id = typeof value === 'string' ? value.trim() : '';
  if (PLATFORM_ID.test(id) || PHONE.test(id)) return id;
  if (SCIENTIFIC.test(id)) {
    const text =
      'A spreadsheet program has turned user_id into a rounded number. Export the file again from its source.';
    return { code: 'ID_NOT_TEXT', text };
  }
  return id === '' && typeof value === 'string'
    ? { code: 'ID_MISSING', text: 'user_id is missing.' }
    : { code: 'ID_MALFORMED', text: 'user_id must be 5 to 20 digits, or a phone number such as +4915112345678.' };
}

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(?:(Z)|([+-])(\d\d):?(\d\d)?)?)?$/i;

/** ISO 8601 with Z or an offset, or seconds or milliseconds since 1970. */
function readTime(value: unknown): number | Misread {
  const text = typeof value === 'string' ? value.trim() : value;
  if (text === undefined || text === null || text === '')
    return { code: 'TIME_MISSING', text: 'opened_at is missing.' };
  const epoch = epochMs(text);
  if (epoch !== null) return epoch;
  const match = typeof text === 'string' ? ISO.exec(text) : null;
  if (!match) {
    const wrong = `opened_at is ${shown(value)}; expected a time such as 2026-11-21T09:30:00Z, or seconds since 1970.`;
    return { code: 'TIME_INVALID', text: wrong };
  }
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part || 0)) as Six;
  const milliseconds = Math.floor(Number(`0.${match[7] ?? '0'}`) * 1000);
  const utc = Date.UTC(year, month - 1, day, hour, minute, second, milliseconds);
  const offset = Number(match[10] ?? 0) * 60 + Number(match[11] ?? 0);
  const back = new Date(utc);
  // Date.UTC turns the 31st of February into the 3rd of March.
  const exists = back.getUTCMonth() === month - 1 && back.getUTCDate() === day && back.getUTCHours() === hour;
  if (!exists || minute > 59 || second > 59 || offset > 14 * 60 || Number(match[11] ?? 0) > 59) {
    return { code: 'TIME_INVALID', text: `opened_at is ${shown(value)}, which is no time that exists.` };
  }
  if (match[8] === undefined && match[9] === undefined) {
    const zone = `opened_at is ${shown(value)}, without a zone. Add Z, or an offset such as +01:00.`;
    return { code: 'TIME_WITHOUT_ZONE', text: zone };
  }
  return utc - (match[9] === '-' ? -1 : 1) * offset * 60_000;
}

type Six = [number, number, number, number, number, number];

function readOpener(value: unknown): Opener | null {
  if (value === undefined || value === null) return 'message';
  const name = typeof value === 'string' ? value.trim().toLowerCase() : null;
  return name === '' ? 'message' : (OPENERS.find((opener) => opener === name) ?? null);
}

/** A found value for a message: short, and with control characters written out. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/**
 * Cuts lines into fields, also when a quoted field holds separators, quotes or line breaks. A library's parser keeps a
 * record until it ends, and one stray quote makes the rest of a file one record; this one gives up after MAX_LINE.
 */
class CsvRecord {
  /** Whether a quoted field goes on in the next line. */
  isOpen = false;
  startedAt = 0;
  readonly #delimiter: string;
  #fields: string[] = [];
  #field = '';
  #length = 0;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  reset(): void {
    this.isOpen = false;
    this.#fields = [];
    this.#field = '';
    this.#length = 0;
  }

  /** @returns the fields, or null when the record goes on in the next line */
  push(line: string, number: number): string[] | 'too long' | null {
    if (!this.isOpen) {
      this.startedAt = number;
      if (!line.includes('"')) return line.split(this.#delimiter);
    }
    this.#length += line.length + 1;
    if (this.#length > MAX_LINE) return 'too long';
    for (let index = 0; index < line.length; index += 1) {
      const character = line.charAt(index);
      if (this.isOpen) {
        if (character !== '"') this.#field += character;
        else if (line.charAt(index + 1) === '"') {
          this.#field += '"';
          index += 1;
        } else this.isOpen = false;
      } else if (character === this.#delimiter) {
        this.#fields.push(this.#field);
        this.#field = '';
      } else if (character === '"' && this.#field === '') this.isOpen = true;
      else this.#field += character;
    }
    if (this.isOpen) {
      this.#field += '\n';
      return null;
    }
    const fields = [...this.#fields, this.#field];
    this.reset();
    return fields;
  }
}

// ---------------------------------------------------------------------------------------------------- bytes to lines

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'There is no such file: check its name.',
  ENOTDIR: 'There is no such file: check its name.',
  EISDIR: 'It is a folder: give a file.',
  EACCES: 'Check the permissions of the file.',
  EPERM: 'Check the permissions of the file.',
};

/** Lines of a text file, some at a time; or a sentence that says why it is no text. */
async function* readLines(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<Line[] | string> {
  let decoder: InstanceType<typeof TextDecoder> | null = null;
  let head = Buffer.alloc(0);
  const splitter = new LineSplitter();
  try {
    for await (const chunk of source) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      if (decoder) {
        yield splitter.push(decoder.decode(bytes, { stream: true }));
        continue;
      }
      head = Buffer.concat([head, bytes]);
      if (head.length < 4) continue;
      const encoding = encodingOf(head);
      if (encoding.endsWith('.')) {
        yield encoding;
        return;
      }
      decoder = new TextDecoder(encoding);
      yield splitter.push(decoder.decode(head, { stream: true }));
    }
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const path = (error as NodeJS.ErrnoException).path ?? 'The log';
    const hint = UNREADABLE[reason] ?? 'Copy it to another place and try again.';
    throw new Failure('FILE_UNREADABLE', `${path} cannot be read (${reason}).`, hint, error);
  }
  yield splitter.push(decoder ? decoder.decode() : new TextDecoder().decode(head));
  yield splitter.end();
}

/** The name of an encoding; or a sentence (it ends in a full stop) when the bytes are no text. */
function encodingOf(head: Uint8Array): string {
  const [a = 0, b = 0, c = 0, d = 0] = head;
  if (a === 0x50 && b === 0x4b && c === 3 && d === 4) return 'This is a workbook or a zip file. Save it as CSV.';
  if (a === 0x1f && b === 0x8b) return 'The file is compressed. Unpack it first.';
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  // Without a mark at the beginning: the first characters of every log are ASCII.
  if (a !== 0 && b === 0 && c !== 0 && d === 0) return 'utf-16le';
  if (a === 0 && b !== 0 && c === 0 && d !== 0) return 'utf-16be';
  if (a === 0 || b === 0 || c === 0 || d === 0) return 'The file is no text.';
  return 'utf-8';
}

class LineSplitter {
  #parts: string[] = [];
  #length = 0;

  push(text: string): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      this.#keep(text.slice(start, end));
      lines.push(this.#finished());
      start = end + 1;
    }
    this.#keep(text.slice(start));
    return lines;
  }

  end(): Line[] {
    return this.#length === 0 ? [] : [this.#finished()];
  }

  #keep(part: string): void {
    this.#length += part.length;
    if (this.#length > MAX_LINE) this.#parts = [];
    else this.#parts.push(part);
  }

  #finished(): Line {
    const line = this.#length > MAX_LINE ? null : this.#parts.join('').replace(/\r$/, '');
    this.#parts = [];
    this.#length = 0;
    return line;
  }
}
