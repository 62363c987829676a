/**
 * Lines of a text file, and the JSON values in them. Streams: memory is bounded by the longest line that is kept, whatever
 * the file holds.
 */
import { createReadStream } from 'node:fs';
import { Failure } from '../core/failure.js';

/** Characters of a line that is kept; the largest webhook bodies are far below it. */
export const MAX_LINE = 1024 * 1024;
export const TOO_LONG = 'The line is longer than 1 MB.';

/** A line, or null in place of one that is too long to be kept. */
export type Line = string | null;

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'There is no such file: check its name.',
  ENOTDIR: 'There is no such file: check its name.',
  EISDIR: 'It is a folder: give a file.',
  EACCES: 'Check the permissions of the file.',
  EPERM: 'Check the permissions of the file.',
};

/** Makes batches of the lines of a log. */
export interface BatchReader<Batch> {
  read(line: Line): void;
  problem(line: number, code: 'NOT_TEXT', text: string): void;
  readonly isFull: boolean;
  /** Whether nothing that is still to come can be used. */
  readonly isOver?: boolean;
  take(): Batch;
  /** No more lines come. */
  finish(): void;
}

/**
 * Reads a log from a path or a stream of bytes; the last batch may be empty. A file that is no text gives one problem.
 * @throws Failure FILE_UNREADABLE
 */
export async function* readBatches<Batch>(
  source: string | AsyncIterable<Uint8Array | string>,
  reader: BatchReader<Batch>,
): AsyncGenerator<Batch, void, undefined> {
  const name = typeof source === 'string' ? source : 'The log';
  for await (const lines of readLines(typeof source === 'string' ? createReadStream(source) : source, name)) {
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

/**
 * Lines of a text file, some at a time; or a sentence that says why it is no text, and nothing after it.
 * @throws Failure FILE_UNREADABLE
 */
async function* readLines(source: AsyncIterable<Uint8Array | string>, name: string): AsyncGenerator<Line[] | string> {
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
    const hint = UNREADABLE[reason] ?? 'Copy it to another place and try again.';
    throw new Failure('FILE_UNREADABLE', `${name} cannot be read (${reason}).`, hint, error);
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
