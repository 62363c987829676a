/**
 * Lists of people who have opted out elsewhere: CSV with the columns user_id[,opted_out_at], or one id a line. Streams; a line
 * that cannot be used is told and passed over, never guessed at.
 */
import { usableId } from '../core/sheet.js';
import type { Channel } from '../core/template.js';
import { CLOCK_SKEW_MS } from '../core/window.js';
import { CsvRecord } from './csv-record.js';
import { readBatches, TOO_LONG, type Line } from './lines.js';
import { readId, readTime, type FieldCode } from './log-fields.js';

export type OptOutLineCode =
  'EMPTY' | 'NOT_TEXT' | 'LINE_TOO_LONG' | 'HEADER_UNKNOWN' | 'NOT_A_RECORD' | 'ID_OF_ANOTHER_CHANNEL' | FieldCode;

export interface OptOutLogBatch {
  /** `at` is null where the list does not say when. */
  people: { userId: string; at: number | null }[];
  /** `line` from 1; 0 for the file as a whole. `text` is a sentence that holds no user id. */
  problems: { line: number; code: OptOutLineCode; text: string }[];
}

export interface OptOutLogOptions {
  /** Milliseconds since 1970; times after it are refused. */
  now: number;
  /** What ids of the account look like. */
  channel: Channel;
}

/** People and problems of one batch. */
const BATCH = 1000;

/**
 * Reads a list from a path or a stream of bytes. An unusable file gives one problem and nobody.
 * @throws Failure FILE_UNREADABLE
 */
export function readOptOutLog(
  source: string | AsyncIterable<Uint8Array | string>,
  options: OptOutLogOptions,
): AsyncGenerator<OptOutLogBatch, void, undefined> {
  return readBatches(source, new ListReader(options));
}

interface Columns {
  record: CsvRecord;
  id: number;
  /** -1 where there is none. */
  at: number;
  /** Columns of the header. */
  width: number;
}

class ListReader {
  /** The first line was not understood: nothing after it can be either. */
  isOver = false;
  readonly #options: OptOutLogOptions;
  #batch: OptOutLogBatch = { people: [], problems: [] };
  #line = 0;
  #total = 0;
  /** Null for one id a line. */
  #columns: Columns | null = null;
  #isBegun = false;

  constructor(options: OptOutLogOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return Math.max(this.#batch.people.length, this.#batch.problems.length) >= BATCH;
  }

  take(): OptOutLogBatch {
    const batch = this.#batch;
    this.#batch = { people: [], problems: [] };
    return batch;
  }

  problem(line: number, code: OptOutLineCode, text: string): void {
    this.#batch.problems.push({ line, code, text });
  }

  read(line: Line): void {
    this.#line += 1;
    if (this.isOver) return;
    if (this.#columns?.record.isOpen) {
      this.#record(line, this.#columns);
      return;
    }
    if (line?.trim() === '') return;
    if (!this.#isBegun && !this.#begin(line)) return;
    this.#total += 1;
    if (this.#columns) this.#record(line, this.#columns);
    else if (line === null) this.problem(this.#line, 'LINE_TOO_LONG', TOO_LONG);
    else this.#person(line, undefined, this.#line);
  }

  finish(): void {
    if (this.#columns?.record.isOpen) {
      const text = 'A quote is opened and never closed; everything after it was taken for one field.';
      this.problem(this.#columns.record.startedAt, 'NOT_A_RECORD', text);
    }
    if (this.#total === 0 && !this.isOver && this.#batch.problems.length === 0) {
      this.problem(0, 'EMPTY', 'There is nothing to import: the file names nobody.');
    }
  }

  /** Looks at the first line that holds anything. @returns whether it names somebody */
  #begin(line: Line): boolean {
    // Excel writes and reads such a line to say which separator the file has.
    if (line !== null && /^"?sep=.?"?$/i.test(line)) return false;
    this.#isBegun = true;
    for (const delimiter of [',', ';', '\t']) {
      const record = new CsvRecord(delimiter);
      const fields = line === null ? null : record.push(line, this.#line);
      const names = Array.isArray(fields) ? fields.map((name) => name.trim().toLowerCase()) : [];
      const [id, at] = [names.indexOf('user_id'), names.indexOf('opted_out_at')];
      // Of two columns with one name nobody knows which is meant.
      if (id === -1 || names.lastIndexOf('user_id') !== id || names.lastIndexOf('opted_out_at') !== at) continue;
      this.#columns = { record, id, at, width: names.length };
      return false;
    }
    if (line === null || /^[^,;\t]*\d[^,;\t]*$/.test(line)) return true;
    const text = 'The first line must be an id, or the header user_id,opted_out_at (opted_out_at may be left out).';
    this.problem(this.#line, 'HEADER_UNKNOWN', text);
    this.isOver = true;
    return false;
  }

  #record(line: Line, { record, id, at, width }: Columns): void {
    const fields = line === null ? 'too long' : record.push(line, this.#line);
    if (fields === null) return;
    if (fields === 'too long') {
      this.problem(record.isOpen ? record.startedAt : this.#line, 'LINE_TOO_LONG', TOO_LONG);
      record.reset();
      return;
    }
    // With a separator too many or too few, what stands in a column is not what the column says.
    if (fields.length <= id || fields.slice(width).some((field) => field !== '')) {
      this.problem(record.startedAt, 'NOT_A_RECORD', 'The line has more or fewer fields than the header.');
      return;
    }
    this.#person(fields[id] ?? '', fields[at], record.startedAt);
  }

  #person(id: string, time: string | undefined, line: number): void {
    const { channel, now } = this.#options;
    const userId = usableId(id, channel);
    if (userId === null) {
      const misread = readId(id, 'user_id');
      if (typeof misread !== 'string') this.problem(line, misread.code, misread.text);
      else this.problem(line, 'ID_OF_ANOTHER_CHANNEL', `user_id is none of the channel ${channel}.`);
      return;
    }
    const at = time === undefined || time.trim() === '' ? null : readTime(time, 'opted_out_at');
    if (at === null || typeof at === 'number') {
      if (at !== null && at > now + CLOCK_SKEW_MS) {
        const text = 'opted_out_at lies in the future. Check its time zone, and the clock of this machine.';
        this.problem(line, 'TIME_IN_FUTURE', text);
      } else this.#batch.people.push({ userId, at });
      return;
    }
    this.problem(line, at.code, at.text);
  }
}
