/**
 * The JSON values of a log: one a line, lists of them on a line, or printed over many lines as a formatter does. Each value
 * is kept apart, so that one that is broken does not take the others with it.
 */
import { MAX_LINE, TOO_LONG, type Line } from './lines.js';

/** `line`: where the value begins, from 1. `item`: its place in the list that stands on that line, from 1; null when it stands alone. */
export type JsonValue = { line: number; item: number | null } & (
  | { kind: 'value'; value: unknown }
  | { kind: 'broken'; code: 'NOT_JSON' | 'LINE_TOO_LONG' | 'LIST_TOO_LONG'; text: string }
);

/** Items of one line; services push far fewer at once, and a line that is full of receipts holds no more. */
export const MAX_ITEMS = 10_000;
const MORE_ITEMS = 'The line holds a list of more than 10,000 items; those after them were not read.';

/** A formatter begins with a line that holds nothing but the opening brackets. */
const OPENS_DOCUMENT = /^\s*(?:\[\s*\{?|\{)\s*$/;

export class JsonValues {
  #document: SpreadDocument | null = null;

  /** Whether what has begun goes on in the next line. */
  get isOpen(): boolean {
    return this.#document !== null;
  }

  /** @returns the values that this line holds or ends */
  read(line: Line, number: number): JsonValue[] {
    if (line === null) {
      this.#document = null;
      return [broken(number, 'LINE_TOO_LONG', TOO_LONG)];
    }
    if (this.#document === null && OPENS_DOCUMENT.test(line)) this.#document = new SpreadDocument(number);
    if (this.#document === null) return onOneLine(line, number);
    const found = this.#document.push(line, number);
    if (this.#document.isOver) this.#document = null;
    return found;
  }

  /** @returns what began and has no end */
  finish(): JsonValue[] {
    return this.#document === null
      ? []
      : [broken(this.#document.startedAt, 'NOT_JSON', 'What begins here has no end.')];
  }
}

function onOneLine(line: string, number: number): JsonValue[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    const text = /^\s*[{[]/.test(line)
      ? 'The line is no complete JSON. Each object, or list of objects, must stand on one line.'
      : 'The line does not begin with {. Give one JSON object a line, without a prefix.';
    return [broken(number, 'NOT_JSON', text)];
  }
  // An empty list says nothing, which its reader is to say.
  if (!Array.isArray(value) || value.length === 0) return [{ kind: 'value', line: number, item: null, value }];
  const items = value.slice(0, MAX_ITEMS).map((item: unknown, index): JsonValue => {
    return { kind: 'value', line: number, item: index + 1, value: item };
  });
  return value.length > MAX_ITEMS ? [...items, broken(number, 'LIST_TOO_LONG', MORE_ITEMS)] : items;
}

function broken(line: number, code: 'NOT_JSON' | 'LINE_TOO_LONG' | 'LIST_TOO_LONG', text: string): JsonValue {
  return { kind: 'broken', line, item: null, code, text };
}

/**
 * One object, or a list of objects, over several lines. Only brackets and quotes are looked at here; whether what stands
 * between them is JSON is for the parser to say, one object after the other.
 */
class SpreadDocument {
  readonly startedAt: number;
  isOver = false;
  #depth = 0;
  /** The depth at which objects stand: 1 in a list. */
  #level = 0;
  #inString = false;
  #escaped = false;
  /** Whether it has been told that something stands among the objects. */
  #holdsMore = false;
  #object: { line: number; parts: string[]; length: number } | null = null;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  push(line: string, number: number): JsonValue[] {
    const found: JsonValue[] = [];
    let from = 0;
    for (let index = 0; index < line.length && !this.isOver; index += 1) {
      const character = line.charAt(index);
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === '\\') this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === '{' || character === '[') {
        if (this.#depth === 0 && character === '[') this.#level = 1;
        else if (this.#depth === this.#level) {
          this.#object = { line: number, parts: [], length: 0 };
          from = index;
        }
        this.#depth += 1;
      } else if (character === '}' || character === ']') {
        this.#depth -= 1;
        if (this.#object !== null && this.#depth === this.#level) {
          this.#keep(line.slice(from, index + 1));
          found.push(this.#ended(this.#object));
          this.#object = null;
          if (found.length === MAX_ITEMS) {
            this.isOver = true;
            return [...found, broken(number, 'LIST_TOO_LONG', MORE_ITEMS)];
          }
        }
        if (this.#depth === 0) {
          this.isOver = true;
          if (line.slice(index + 1).trim() !== '') found.push(broken(number, 'NOT_JSON', AFTER_END));
        }
      }
      if (this.#object === null && !this.#holdsMore && !/[\s,[\]{}]/.test(character)) {
        this.#holdsMore = true;
        found.push(broken(number, 'NOT_JSON', NO_OBJECT));
      }
    }
    if (this.#object === null) return found;
    this.#keep(`${line.slice(from)}\n`);
    if (this.#object.length <= MAX_LINE) return found;
    this.isOver = true;
    return [...found, broken(this.#object.line, 'LINE_TOO_LONG', 'The object that begins here is longer than 1 MB.')];
  }

  #keep(part: string): void {
    this.#object?.parts.push(part);
    if (this.#object) this.#object.length += part.length;
  }

  #ended({ line, parts }: { line: number; parts: string[] }): JsonValue {
    try {
      return { kind: 'value', line, item: null, value: JSON.parse(parts.join('')) as unknown };
    } catch {
      return broken(line, 'NOT_JSON', 'The object that begins here is no JSON.');
    }
  }
}

const NO_OBJECT = 'The list that stands here holds something that is no object.';
const AFTER_END =
  'Something stands after the end of what was read here, and was not read. Put it on a line of its own.';
