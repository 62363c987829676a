import { describe, expect, it } from 'vitest';
import { clip, findingJson, findingLine, findingNote, sentence } from '../../src/cli/messages.js';
import {
  finding,
  type Finding,
  type FindingArguments,
  type FindingCode,
  type SheetLimits,
} from '../../src/core/finding.js';
import { DEFAULT_LIMITS } from '../../src/sheets/limits.js';

const LIMIT = { part: 'text', length: 2100, max: 1999, unit: 'characters', channel: 'messenger' } as const;
const ORIGIN = { template: 'order_update', language: 'en_US', fingerprint: 'a' };
type NotWorkbook = FindingArguments['FILE_NOT_WORKBOOK']['reason'];

/** Arguments of each code, in each form that makes another sentence. */
const EXAMPLES: { [C in FindingCode]: FindingArguments[C][] } = {
  FILE_NOT_FOUND: [{ path: '/x/orders.xlsx' }],
  FILE_NOT_WORKBOOK: (
    ['old_excel', 'not_a_workbook', 'encoding', 'damaged', 'forbidden_xml', 'unsupported'] satisfies NotWorkbook[]
  ).flatMap((reason) => [
    { reason, detail: '' },
    { reason, detail: 'it is a PDF' },
  ]),
  FILE_ENCRYPTED: [{}],
  FILE_TRUNCATED: [{ detail: 'the file is empty' }],
  FILE_TOO_LARGE: (Object.keys(DEFAULT_LIMITS) as (keyof SheetLimits)[]).map((limit) => ({
    limit,
    max: DEFAULT_LIMITS[limit],
  })),
  SHEET_MISSING: [
    { wanted: 'Recipients', found: [] },
    { wanted: 'Recipients', found: ['Chart1'] },
  ],
  HEADER_CHANGED: [
    { expected: ['User ID', 'name'], found: ['User ID', 'first name'] },
    { expected: ['User ID'], found: [] },
  ],
  TEMPLATE_MISMATCH: [
    { expected: ORIGIN, found: { ...ORIGIN, fingerprint: 'b' } },
    { expected: ORIGIN, found: { ...ORIGIN, language: 'de_DE' } },
  ],
  NO_ROWS: [{}],
  TOO_MANY_ROWS: [{ max: 1_000_000 }],
  IDS_ROUNDED: [{ rounded: 95, long: 100 }],
  ID_MISSING: [{}],
  ID_NOT_TEXT: [{ found: '7.64E+16' }],
  ID_MALFORMED: [
    { found: '1234', channel: 'messenger' },
    { found: '0555', channel: 'sms' },
  ],
  ID_DUPLICATE: [
    { firstRow: 2, sameValues: true },
    { firstRow: 2, sameValues: false },
  ],
  ID_CLEANED: [{ found: ' 1 ' }],
  CHANNEL_MISMATCH: [
    { expected: 'messenger', found: 'sms' },
    { expected: 'sms', found: 'messenger' },
  ],
  VARIABLE_MISSING: [{ variable: 'name' }],
  VARIABLE_TOO_LONG: [{ variable: 'name', length: 61, max: 60 }],
  CELL_FORMULA: [{}],
  CELL_ERROR: [{ error: '#N/A' }],
  CELL_NOT_TEXT: [
    { kind: 'date', found: '2026-12-01' },
    { kind: 'number', found: '1.5' },
    { kind: 'boolean', found: 'TRUE' },
  ],
  CELL_NUMBER: [{ text: '42' }],
  CELL_OUTSIDE: [{}],
  MESSAGE_TOO_LONG: [LIMIT],
  MESSAGE_URL_INVALID: [{ part: 'button', found: 'htp:/x' }],
  VARIABLE_SYNTAX: [{ text: '{{first name}}' }],
  VARIABLE_UNDECLARED: [{ variable: 'nmae' }],
  VARIABLE_UNUSED: [{ variable: 'name' }],
  VARIABLE_AMBIGUOUS: [{ variable: 'Name', other: 'name' }],
  CONTENT_MISSING: [{}],
  CONTENT_CONFLICT: [{ parts: ['body', 'media'] }],
  LIMIT_EXCEEDED: [LIMIT],
  TOO_MANY: [{ part: 'buttons', count: 4, max: 3 }],
  PART_UNSUPPORTED: [
    { part: 'kind', channel: 'instagram' },
    { part: 'buttons', channel: 'sms' },
  ],
  TAG_FORBIDDEN: [{ tag: 'HUMAN_AGENT' }],
};

const FINDINGS: Finding[] = Object.entries(EXAMPLES).flatMap(([code, all]) =>
  all.map((args) => finding(code as FindingCode, args as never)),
);

describe('the sentence of a finding', () => {
  it.each(FINDINGS.map((found) => [`${found.code} ${JSON.stringify(found.args)}`, found] as const))(
    '%s is short and whole',
    (_what, found) => {
      const text = sentence(found);
      expect(text).not.toMatch(/undefined|null|NaN|\[object|\$\{|Infinity/);
      expect(text).toMatch(/[.)]$/);
      expect(text).not.toMatch(/\.\.|\s\s/);
      expect(text.length).toBeLessThanOrEqual(320);
    },
  );

  it('differs from code to code', () => {
    const of = new Map<string, Set<FindingCode>>();
    for (const found of FINDINGS) {
      const text = sentence(found);
      of.set(text, (of.get(text) ?? new Set()).add(found.code));
    }
    expect([...of.values()].filter((codes) => codes.size > 1)).toEqual([]);
  });

  it('stays short and harmless whatever a file holds', () => {
    const evil = `\u001b]0;owned\u0007${'x'.repeat(100_000)}`;
    const found = [
      finding('ID_MALFORMED', { found: evil, channel: 'messenger' }),
      finding('HEADER_CHANGED', { expected: ['User ID'], found: [evil, 'name'] }),
      finding('CELL_NOT_TEXT', { kind: 'number', found: evil }),
      finding('MESSAGE_URL_INVALID', { part: 'button', found: evil }),
      finding('VARIABLE_SYNTAX', { text: evil }),
      finding('CELL_ERROR', { error: evil }),
      finding('SHEET_MISSING', { wanted: 'Recipients', found: [evil] }),
      finding('TEMPLATE_MISMATCH', { expected: ORIGIN, found: { template: evil, language: evil, fingerprint: evil } }),
      finding('ID_NOT_TEXT', { found: evil }),
      finding('CELL_NUMBER', { text: evil }),
      finding('FILE_TRUNCATED', { detail: evil }),
      finding('FILE_NOT_WORKBOOK', { reason: 'damaged', detail: evil }),
    ];
    for (const one of found) {
      // eslint-disable-next-line no-control-regex -- these are what must not be there
      expect(sentence(one), one.code).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      expect(sentence(one).length, one.code).toBeLessThan(600);
    }
  });
});

describe('a finding as a line', () => {
  it.each([
    [{}, 'The id is missing.'],
    [{ row: 7 }, 'row 7: The id is missing.'],
    [{ row: 7, column: 'User ID' }, 'row 7, User ID: The id is missing.'],
    [{ column: 'User ID' }, 'User ID: The id is missing.'],
  ])('names its place %j', (place, line) => {
    expect(findingLine(finding('ID_MISSING', {}, place))).toBe(line);
  });

  it('can call a row what it is to the reader', () => {
    expect(findingLine(finding('ID_MISSING', {}, { row: 7 }), 'ID')).toBe('ID 7: The id is missing.');
  });

  it('says in a marked copy what stood there, unless the sentence does', () => {
    expect(findingNote(finding('CELL_FORMULA', {}, { row: 7 }), 'Bo')).toMatch(/^row 7: .* It held: Bo$/);
    expect(findingNote(finding('CELL_ERROR', { error: '#N/A' }), '#N/A')).toBe('The cell holds the error #N/A.');
    expect(findingNote(finding('CELL_FORMULA', {}), '')).toBe(findingLine(finding('CELL_FORMULA', {})));
    expect(findingNote(finding('ID_MISSING', {}), null)).toBe('The id is missing.');
  });

  it('is data and a sentence in JSON', () => {
    expect(findingJson(finding('ID_MISSING', {}, { row: 7 }))).toEqual({
      code: 'ID_MISSING',
      severity: 'error',
      row: 7,
      column: null,
      args: {},
      message: 'The id is missing.',
    });
  });
});

describe('clip', () => {
  it.each([
    ['short', 10, 'short'],
    ['exactly ten', 11, 'exactly ten'],
    ['a little too long', 10, 'a little …'],
    ['line\r\nbreak', 20, 'line break'],
    ['\u001b[31mred\u009b0m', 20, ' [31mred 0m'],
  ])('%j to %i', (text, most, clipped) => {
    expect(clip(text, most)).toBe(clipped);
  });
});
