/**
 * Reading a YAML file that somebody else may have written: bounded in size, depth and references, checked against a
 * schema, and every fault told with file, line and key. No message ever repeats a value from the file, because the value
 * may be a secret that somebody put in the wrong place.
 */
import { open, stat } from 'node:fs/promises';
import { CST, isMap, isScalar, Lexer, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { Failure, type FailureCode } from '../core/failure.js';
import { suggestion } from './nearest.js';

/** Bytes; a template of a few hundred characters and a configuration of a hundred accounts are far below it. */
const MAX_BYTES = 256 * 1024;
/**
 * The parser works by recursion and compares every key of a mapping with every other: thousands of brackets in a row end
 * the process (not merely the call), and fifty thousand keys take minutes.
 */
const MAX_DEPTH = 32;
const MAX_TOKENS = 40_000;
/** How often the aliases of a file may repeat what they stand for. */
const MAX_ALIASES = 100;
/** Faults listed at once. */
const MAX_FAULTS = 8;

export interface YamlFile {
  path: string;
  /** Plain data, not checked yet. */
  data: unknown;
  /** The line, from 1, on which the deepest part of a path that exists in the file begins. */
  lineOf(path: readonly PropertyKey[], key?: string): number;
}

/**
 * @param path where the text stands, or will stand, for messages
 * @param code the failure to report when the text is at fault
 * @throws Failure `code`
 */
export function parseYaml(path: string, text: string, code: FailureCode): YamlFile {
  const fault = (line: number, what: string): Failure => new Failure(code, `${path}, line ${line}: ${what}`);
  const tooDeep = boundaryFault(text);
  if (tooDeep !== null) throw fault(tooDeep.line, tooDeep.what);

  const lines = new LineCounter();
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  let document: Document.Parsed;
  let data: unknown;
  try {
    // Pretty errors quote the line at fault, which may hold a secret.
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
    const [error] = document.errors;
    if (error) throw fault(lineAt(error.pos[0]), YAML_FAULTS[error.code] ?? `is not valid YAML (${error.code})`);
    data = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(code, `${path}: an alias (*name) has no anchor (&name), or aliases repeat too much of the file`);
  }

  return {
    path,
    data,
    lineOf(parts, key) {
      let node: unknown = document.contents;
      let offset = 0;
      for (const part of key === undefined ? parts : [...parts, key]) {
        const inner = step(node, part);
        if (inner === null) break;
        ({ node, offset } = inner);
      }
      return lineAt(offset);
    },
  };
}

/** One step into the tree: where the key or the item begins, and what it holds. */
function step(node: unknown, part: PropertyKey): { node: unknown; offset: number } | null {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && item.key.value === String(part));
    if (pair && isScalar(pair.key)) return { node: pair.value, offset: pair.key.range?.[0] ?? 0 };
    return null;
  }
  const item: unknown = (node as { items?: unknown[] } | null)?.items?.[Number(part)];
  const range = (item as { range?: [number, number, number] } | null | undefined)?.range;
  return range ? { node: item, offset: range[0] } : null;
}

/** What people meet, in words; the rest is named by its code. */
const YAML_FAULTS: Record<string, string> = {
  BAD_INDENT: 'the indentation is wrong, or a bracket is not closed',
  TAB_AS_INDENT: 'a tab indents this line; YAML takes spaces only',
  DUPLICATE_KEY: 'the same key stands twice in one place',
  MISSING_CHAR: 'a quote, bracket, comma or the space after a colon is missing',
  BLOCK_AS_IMPLICIT_KEY: 'a colon stands inside a text; put the text in double quotes',
  MULTILINE_IMPLICIT_KEY: 'a key has no colon after it, or a text runs over several lines without quotes',
  UNEXPECTED_TOKEN: 'something unexpected follows; put texts with special characters in double quotes',
  BAD_SCALAR_START: 'a text begins with a special character; put it in double quotes',
  BAD_DQ_ESCAPE: 'a backslash in double quotes has a special meaning; write two, or use single quotes',
  MULTIPLE_DOCS: 'a second document begins here (---); one file holds one document',
  NON_STRING_KEY: 'a key must be a plain text',
};

/** Looks at the tokens before anything recursive does. */
function boundaryFault(text: string): { line: number; what: string } | null {
  let line = 1;
  let depth = 0;
  let indicators = 0;
  let tokens = 0;
  let isContent = false;
  for (const lexeme of new Lexer().lex(text)) {
    tokens += 1;
    // The lexer announces the contents of a scalar with a mark of its own; contents are no structure.
    const type = isContent ? 'scalar' : CST.tokenType(lexeme);
    isContent = !isContent && lexeme === CST.SCALAR;
    if (type === 'flow-seq-start' || type === 'flow-map-start') depth += 1;
    else if (type === 'flow-seq-end' || type === 'flow-map-end') depth -= 1;
    else if (type === 'newline') indicators = 0;
    else if (type === 'seq-item-ind' || type === 'explicit-key-ind' || (type === 'map-value-ind' && depth === 0)) {
      indicators += 1;
    }
    if (depth > MAX_DEPTH || indicators > MAX_DEPTH) return { line, what: `is nested more than ${MAX_DEPTH} deep` };
    if (tokens > MAX_TOKENS) return { line, what: 'holds far more entries than such a file ever needs' };
    for (let at = lexeme.indexOf('\n'); at !== -1; at = lexeme.indexOf('\n', at + 1)) line += 1;
  }
  return null;
}

/** A file's text, within MAX_BYTES. @throws Failure `code`, FILE_UNREADABLE */
export async function readText(path: string, code: FailureCode): Promise<string> {
  let bytes: Buffer;
  try {
    // A pipe or a device would keep the command waiting for ever.
    if (!(await stat(path)).isFile()) {
      throw new Failure('FILE_UNREADABLE', `${path} is not a file.`, 'Rename or remove what stands there.');
    }
    const file = await open(path, 'r');
    try {
      bytes = Buffer.alloc(MAX_BYTES + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length);
        length += bytesRead;
        if (bytesRead === 0 || length === bytes.length) break;
      }
      bytes = bytes.subarray(0, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Failure(
      'FILE_UNREADABLE',
      `${path} cannot be read (${reason}).`,
      'Check the permissions of the file.',
      error,
    );
  }
  if (bytes.length > MAX_BYTES) throw new Failure(code, `${path} is larger than ${MAX_BYTES / 1024} KB.`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Failure(code, `${path} is not UTF-8 text.`, 'Save it as UTF-8.');
  }
}

/**
 * Checks a file against a schema.
 * @throws Failure `code`: one line for each fault, with file, line, key and what is expected there
 */
export function checkYaml<T>(file: YamlFile, schema: z.ZodType<T>, code: FailureCode, hint = ''): T {
  const result = schema.safeParse(file.data);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
    const line = file.lineOf(issue.path, unknown);
    return { line, text: `${file.path}, line ${line}: ${keyPath(issue.path)} ${message}` };
  });
  faults.sort((a, b) => a.line - b.line);
  const shown = faults.slice(0, MAX_FAULTS).map((fault) => fault.text);
  if (faults.length > shown.length) shown.push(`… and ${faults.length - shown.length} more`);
  throw new Failure(code, shown.join('\n'), hint);
}

function keyPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${keyName(String(part))}`;
  }
  return text === '' ? 'the file' : text;
}

/** No key is this long, but a token that slipped into the wrong place is. */
function keyName(key: string): string {
  return key.length <= 40 ? key : `(a key of ${key.length} characters)`;
}

/** The error of a schema whose value is missing or wrong: what is expected, never what was found. */
export function expecting(what: string): (issue: { input?: unknown }) => string {
  return ({ input }) => (input === undefined ? `is missing; expected ${what}` : `must be ${what}`);
}

/** A mapping with these keys and no others. */
export function strict<S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return expecting(`a mapping with the keys ${known.join(', ')}`)(issue);
      const keys = issue.keys.map((key) => `"${keyName(key)}"${suggestion(key, known)}`);
      return `has the unknown key ${keys.join(', ')}; known are ${known.join(', ')}`;
    },
  });
}

/** One word of a list. */
export function oneOf<const T extends readonly [string, ...string[]]>(words: T): z.ZodType<T[number]> {
  return z.enum(words, {
    error: ({ input }) =>
      expecting(`one of ${words.join(', ')}`)({ input }) + (typeof input === 'string' ? suggestion(input, words) : ''),
  });
}

/** A text that looks like a number to YAML, so that it is easily written without the quotes that keep its digits. */
export function quotedText(what: string, pattern: RegExp): z.ZodType<string> {
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number' || typeof input === 'bigint'
          ? `must be ${what} in quotes: without them YAML reads a number, and digits get lost`
          : expecting(`${what}, in quotes`)({ input }),
    })
    .regex(pattern, `must be ${what}`);
}

/** The longest text of a file, far above the limits of every channel; those limits are the rules' business. */
export const LONG = 10_000;
/** The longest list. */
export const MANY = 100;

/** A text that says something. @param what it is, such as "the title of the card" */
export function text(what: string, max = LONG): z.ZodType<string> {
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number' || typeof input === 'boolean'
          ? `must be ${what}; put it in quotes, so that it stays as written`
          : expecting(what)({ input }),
    })
    .max(max, `must be at most ${max} characters`)
    .refine((value) => value.trim() !== '', { error: 'must not be empty' });
}

/** @param what they are, in the plural */
export function list<T extends z.ZodType>(item: T, what: string): z.ZodArray<T> {
  return z.array(item, { error: expecting(`a list of ${what}`) }).max(MANY, `must be at most ${MANY} ${what}`);
}

const DURATION = 'a duration such as 90s, 10m, 24h or 7d';
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** In milliseconds; may be nothing, such as `0s`. */
export const duration = z.string({ error: expecting(DURATION) }).transform((written, context): number => {
  const match = /^(\d{1,5})([smhd])$/.exec(written);
  if (match) return Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
  context.addIssue({ code: 'custom', message: `must be ${DURATION}` });
  return z.NEVER;
});

/** A duration that lasts, though not for more than a year. */
export const span = duration.refine((ms) => ms > 0 && ms <= 366 * 86_400_000, {
  error: 'must be longer than nothing and at most 366d',
});

/** Such as `en_US`. */
export const LANGUAGE = /^[a-z]{2,3}(?:_(?:[A-Z]{2}|[A-Z][a-z]{3}|\d{3}))?$/;
export const LANGUAGE_CODE = 'a language code such as en_US, de_DE or zh_CN';
/** Of a template, and so of a value for it. */
export const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
