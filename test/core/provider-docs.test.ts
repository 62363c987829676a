/** Holds docs/providers.md against the program: the codes, what each is met with, and the tests that show it. */
import { existsSync, readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { explainError } from '../../src/core/platform-errors.js';
import type { ErrorClass } from '../../src/core/platform-errors.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const page = read('docs/providers.md');

/** One row of a table by the heads of its columns. */
type Row = Record<string, string>;

const cellsOf = (line: string): string[] =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

function tables(text: string): Row[][] {
  const blocks = text.match(/(?:^\|.*\|$\n?){3,}/gm) ?? [];
  return blocks.map((block) => {
    const [head = '', , ...rows] = block.trim().split('\n');
    const names = cellsOf(head);
    return rows.map((row) => Object.fromEntries(cellsOf(row).map((cell, index) => [names[index] ?? '', cell])));
  });
}

/** Each code of the page, with what the page says of it. */
const listed = tables(page)
  .flat()
  .filter((row) => 'code' in row)
  .flatMap((row) => codesIn(row['code'] ?? '').map((code) => [code, row] as const));

function codesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}

const WORDS: Record<Exclude<ErrorClass['kind'], 'stop'>, string> = {
  rejected: 'failed',
  retryable: 'retried',
  pause: 'rest',
  unknown: 'unknown',
};

function wordOf(met: ErrorClass): string {
  if (met.kind === 'stop') return `stop: ${met.cause}`;
  return met.kind === 'rejected' && met.optedOut ? 'opted out' : WORDS[met.kind];
}

/** The keys of a table in a source file. */
function keysOf(path: string, table: string): string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
  const declarations = source.statements
    .filter(ts.isVariableStatement)
    .flatMap((one) => one.declarationList.declarations);
  const value = declarations.find((one) => one.name.getText() === table)?.initializer;
  if (!value || !ts.isObjectLiteralExpression(value)) throw new Error(`${path} has no table ${table}`);
  return value.properties.map(({ name }) =>
    name && !ts.isComputedPropertyName(name) ? name.text : 'of an unknown form',
  );
}

describe('docs/providers.md', () => {
  it.each(listed)('says what %s is', (code, row) => {
    const { class: met, meaning } = explainError(code);
    expect([row['class'], row['meaning']]).toEqual([wordOf(met), meaning]);
  });

  it('lists every code that the program knows, once', () => {
    const known = [
      ...keysOf('src/core/platform-errors.ts', 'ERRORS'),
      ...keysOf('src/core/cams-errors.ts', 'ROWS').map((code) => `cams:${code}`),
      ...keysOf('src/core/twilio-errors.ts', 'ROWS').map((code) => `twilio:${code}`),
    ];
    const codes = listed.map(([code]) => code);
    expect(known.filter((code) => !codes.includes(code))).toEqual([]);
    expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
  });

  it('explains every class that it uses', () => {
    const explained = tables(page)
      .flat()
      .filter((row) => 'what the run does' in row)
      .flatMap((row) => row['class']?.split(', ') ?? []);
    expect(
      [...new Set(listed.map(([, row]) => row['class']))].filter((word) => !explained.includes(word ?? '')),
    ).toEqual([]);
  });

  const sections = page.split(/^(?=## )/m).map((text) => [text.split('\n')[0] ?? '', text] as const);

  it.each(sections)('names tests that are there: %s', (_, text) => {
    const files = [...text.matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = '']) => path);
    expect(files.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)))).toEqual([]);
    const sources = files.map(read).join('\n');
    const named = tables(text)
      .flat()
      .flatMap((row) => [...(row['test'] ?? '').matchAll(/"([^"]+)"/g)].map(([, name = '']) => name));
    expect(named.filter((name) => !sources.includes(name))).toEqual([]);
  });
});
