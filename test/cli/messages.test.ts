import { describe, expect, it } from 'vitest';
import { clip, findingJson, findingLine, findingNote, publicSentence, sentence } from '../../src/cli/messages.js';
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
  ID_NOT_TEXT: [
    { found: '7.64E+16', channel: 'messenger' },
    { found: '15550001111', channel: 'sms' },
  ],
  ID_MALFORMED: [
    { found: '1234', channel: 'messenger' },
    ...['0555', '0049151', '(555) 000-1111', '+49 (0)151', '+1555', 'tel:+15550001111', '٠١٥١', 'ann'].map((found) => ({
      found,
      channel: 'sms',
    })),
  ],
  OWNER_MISSING: [{}],
  OWNER_UNKNOWN: [{ found: 'bob', known: ['alice'] }],
  ID_DUPLICATE: [
    { firstRow: 2, sameValues: true },
    { firstRow: 2, sameValues: false },
  ],
  ID_CLEANED: [{ found: ' 1 ' }, { found: '+1 (555) 000-1111' }],
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
  MESSAGE_URL_INVALID: [
    { part: 'button', found: 'htp:/x' },
    { part: 'media.url', found: 'https://example.com/a.png', site: 'facebook.com' },
  ],
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
  PART_NOT_OF_KIND: [
    { part: 'header', kind: 'session' },
    { part: 'media', kind: 'registered' },
  ],
  PART_FIXED: [{ part: 'buttons[0].title' }],
  CARD_INCOMPLETE: [{ part: 'cards[0]' }],
  VARIABLE_AT_EDGE: [
    { variable: 'name', edge: 'start' },
    { variable: 'name', edge: 'end' },
  ],
  LINK_WITHOUT_START: [{ part: 'buttons[0].url' }],
  OUTSIDE_UNKNOWN: [{ name: 'order_news', language: 'en_US' }],
  OUTSIDE_NOT_REGISTERED: [{ name: 'order_news' }],
  OUTSIDE_VARIABLES: [{ name: 'order_news', missing: ['name', 'date'] }],
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
      finding('ID_NOT_TEXT', { found: evil, channel: 'messenger' }),
      finding('ID_NOT_TEXT', { found: evil, channel: 'sms' }),
      finding('ID_MALFORMED', { found: evil, channel: 'sms' }),
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

describe('the sentence of a phone number that is none', () => {
  it.each([
    ['00491511234567', /begins with 00\. Write \+ instead/],
    ['0151 1234567', /no country code\. .* instead of the 0/],
    ['(555) 000-1111', /does not begin with \+ and the country code/],
    ['１５５５０００１１１１', /digits of another script/],
    ['tel:+15550001111', /something before the number/],
    ['+49 (0)151 1234567', /0 in brackets/],
    ['+4915', /too few or too many digits/],
    ['+1 555 000 1111 or +1 555 000 2222', /Write one number/],
  ])('%s', (found, says) => {
    const malformed = finding('ID_MALFORMED', { found, channel: 'sms' });
    expect(sentence(malformed)).toMatch(says);
    expect(sentence(malformed)).toContain(`"${found}" `);
    expect(publicSentence(malformed)).toMatch(says);
    expect(publicSentence(malformed)).not.toContain(found);
  });

  it('is its own for what a spreadsheet program has made a number', () => {
    const typed = finding('ID_NOT_TEXT', { found: '15550009999', channel: 'sms' });
    expect(sentence(typed)).toMatch(/typed as a number \(15550009999\).* take the \+ of a number away/);
    expect(publicSentence(typed)).toMatch(/typed as a number, .* take the \+ of a number away/);
    for (const words of [sentence(typed), publicSentence(typed)]) expect(words).not.toContain('15 digits');
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
