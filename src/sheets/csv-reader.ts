/** Reads text with separated values as rows, whatever its encoding and separator; every cell is text. */
import { createReadStream } from 'node:fs';
import { Readable, pipeline } from 'node:stream';
import type { Cell, SheetRow } from '../core/sheet.js';
import type { OpenSheet } from '../ports.js';
import type { TextEncoding } from './file-kind.js';
import { damaged, fault, type ReadBudget } from './limits.js';
import { BATCH, openOnePass, type Batches } from './one-pass.js';

/** The first line's end is looked for within so many characters, to learn the separator from it. */
const HEADER_CHARACTERS = 100_000;
/** In the order of preference where a header has as many of one as of another. */
const SEPARATORS = [',', ';', '\t'];
/** Excel writes and obeys this line, and does not count it. */
const SEPARATOR_LINE = /^"?sep=([^"\r\n])"?(?:\r\n|\r|\n)/i;

/** Opens the file up to its header. @throws SheetFault */
export async function openCsv(path: string, encoding: TextEncoding, budget: ReadBudget): Promise<OpenSheet> {
  return openOnePass(readRecords(path, encoding, budget), null, budget, () => Promise.resolve());
}

async function* readRecords(path: string, encoding: TextEncoding, budget: ReadBudget): Batches {
  const { parse } = await import('csv-parse');
  const texts = decode(path, encoding, budget);
  const { separator, skippedLines, start } = await readStart(texts);
  /** The line on which the record now being read starts. */
  let line = skippedLines + 1;
  const parser = parse({
    delimiter: separator,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    // A quotation mark that is never closed would otherwise swallow the whole file.
    max_record_size: budget.limits.cellCharacters * budget.limits.columns * 3,
    on_record: (record: string[], { lines }) => {
      line = skippedLines + lines + 1;
      return record;
    },
  });
  async function* all(): AsyncGenerator<string, void, undefined> {
    yield start;
    yield* texts;
  }

  let row = 0;
  let batch: SheetRow[] = [];
  try {
    const records = pipeline(Readable.from(all()), parser, () => undefined) as AsyncIterable<string[]>;
    for await (const record of records) {
      row += 1;
      const cells = toCells(record, budget);
      if (cells.length > 0) batch.push({ row, cells });
      if (batch.length >= BATCH) {
        yield batch;
        batch = [];
      }
    }
  } catch (error) {
    throw csvFault(error, line);
  }
  if (batch.length > 0) yield batch;
}

/** Blank cells are null, and those at the end are left off. */
function toCells(record: readonly string[], budget: ReadBudget): Cell[] {
  let length = record.length;
  while (length > 0 && record[length - 1] === '') length -= 1;
  if (length > 0) budget.checkColumn(length - 1);
  const cells: Cell[] = [];
  for (let index = 0; index < length; index += 1) {
    const text = record[index] ?? '';
    budget.checkCharacters(text.length);
    cells.push(text === '' ? null : text);
  }
  return cells;
}

async function* decode(
  path: string,
  encoding: TextEncoding,
  budget: ReadBudget,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder(encoding, { fatal: true });
  const decodeNext = (chunk: Uint8Array, stream: boolean) => {
    try {
      return decoder.decode(chunk, { stream });
    } catch {
      const detail = `it is not ${encoding === 'utf-8' ? 'UTF-8' : 'UTF-16'}; save it as "CSV UTF-8"`;
      throw fault('FILE_NOT_WORKBOOK', { reason: 'encoding', detail });
    }
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    budget.checkTime();
    const text = decodeNext(chunk, true);
    if (text.includes('\0')) {
      throw fault('FILE_NOT_WORKBOOK', { reason: 'not_a_workbook', detail: 'it is neither a workbook nor text' });
    }
    yield text;
  }
  yield decodeNext(new Uint8Array(), false);
}

/** Reads the header's line to see what separates its cells. */
async function readStart(
  texts: AsyncGenerator<string, void, undefined>,
): Promise<{ separator: string; skippedLines: number; start: string }> {
  let start = '';
  let line = firstLine(start);
  while (line === null && start.length < HEADER_CHARACTERS) {
    const next = await texts.next();
    if (next.done === true) break;
    start += next.value;
    line = firstLine(start);
  }
  const declared = SEPARATOR_LINE.exec(start);
  if (declared !== null)
    return { separator: declared[1] ?? ',', skippedLines: 1, start: start.slice(declared[0].length) };
  const header = (line ?? start).replace(/"[^"]*"?/g, '');
  let separator = ',';
  let most = 0;
  for (const candidate of SEPARATORS) {
    const count = header.split(candidate).length - 1;
    if (count > most) {
      most = count;
      separator = candidate;
    }
  }
  return { separator, skippedLines: 0, start };
}

/** The text up to the first line break outside quotes; null when there is none yet. */
function firstLine(text: string): string | null {
  let quoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === '\n' || character === '\r')) return text.slice(0, index);
  }
  return null;
}

function csvFault(error: unknown, line: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'CSV_QUOTE_NOT_CLOSED':
      return damaged(`line ${line}: a quotation mark is never closed`);
    case 'INVALID_OPENING_QUOTE':
    case 'CSV_INVALID_CLOSING_QUOTE':
      return damaged(`line ${line}: a quotation mark stands inside a cell and is not doubled`);
    case 'CSV_MAX_RECORD_SIZE':
      return damaged(`line ${line}: a row is too long; perhaps a quotation mark is never closed`);
    default:
      return error;
  }
}
