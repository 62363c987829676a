import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FindingCode } from '../../src/core/finding.js';
import {
  columnName,
  hashTexts,
  headerMatches,
  headerTexts,
  idHeader,
  MARK_HEADER,
  RowChecker,
  sheetHeader,
  usableId,
  type Cell,
  type RowResult,
} from '../../src/core/sheet.js';
import { compileTemplate, type Channel, type Template } from '../../src/core/template.js';

const ID = '7642925849053901';
const PHONE = '+4915112345678';
const template: Template = {
  name: 't',
  language: 'en_US',
  channels: ['messenger', 'instagram', 'sms'],
  kind: 'session',
  body: 'Hi {{name}}, {{order_no}}',
  buttons: [],
  quickReplies: [],
  variables: [
    { name: 'order_no', example: 'A-1' },
    { name: 'name', example: 'Ann', maxLength: 5 },
  ],
};
const compiled = compileTemplate(template);
const HEADER = ['User ID', 'name', 'order_no'];

function checker(channel: Channel = 'messenger', header: readonly Cell[] = sheetHeader(compiled, channel)): RowChecker {
  return new RowChecker(compiled, channel, header);
}

function check(cells: readonly Cell[], channel: Channel = 'messenger', header?: readonly Cell[]): RowResult {
  return checker(channel, header).check({ row: 2, cells });
}

function codes(result: RowResult): FindingCode[] {
  return result.kind === 'blank' ? [] : result.findings.map(({ code }) => code);
}

describe('the header', () => {
  it('is the id and the variables in order of first use', () => {
    expect(sheetHeader(compiled, 'messenger')).toEqual(HEADER);
    expect(sheetHeader(compiled, 'instagram')).toEqual(HEADER);
    expect(sheetHeader(compiled, 'sms')).toEqual(['Phone', 'name', 'order_no']);
    expect(idHeader('sms')).toBe('Phone');
  });

  it.each<[what: string, header: Cell[], matches: boolean]>([
    ['itself', HEADER, true],
    ['spaces around names', [' User ID ', 'name', 'order_no\n'], true],
    ['empty cells after it', [...HEADER, null, '', ' '], true],
    ['the column of a marked copy', [...HEADER, MARK_HEADER], true],
    ['empty cells before and after that column', [...HEADER, null, MARK_HEADER, null], true],
    ['a formula with the same text', ['User ID', { kind: 'formula', text: 'name' }, 'order_no'], true],
    ['another order', ['User ID', 'order_no', 'name'], false],
    ['another spelling', ['User ID', 'Name', 'order_no'], false],
    ['another channel', ['Phone', 'name', 'order_no'], false],
    ['a column more', [...HEADER, 'note'], false],
    ['a column less', ['User ID', 'name'], false],
    ['a gap', ['User ID', null, 'name', 'order_no'], false],
    ['an invisible character', ['User ID', 'na\u200bme', 'order_no'], false],
    ['nothing', [], false],
  ])('against %s', (_, header, matches) => {
    expect(headerMatches(HEADER, header)).toBe(matches);
  });

  it('always matches itself, with whatever is empty around it', () => {
    const name = fc.stringMatching(/^[A-Za-z_]\w{0,20}$/);
    const nothing = fc.array(fc.constantFrom(null, '', ' ', '\t'), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), nothing, fc.boolean(), (names, blanks, marked) => {
        const header = [...names.map((one) => ` ${one} `), ...blanks, ...(marked ? [MARK_HEADER] : []), ...blanks];
        expect(headerTexts(header)).toEqual(names);
        expect(headerMatches(names, header)).toBe(true);
        expect(headerMatches([...names, 'more'], header)).toBe(false);
      }),
    );
  });
});

describe('a good row', () => {
  it.each<[Channel, string]>([
    ['messenger', ID],
    ['instagram', '17841400000000000'],
    ['messenger', '12345'],
    ['messenger', '12345678901234567890'],
    ['sms', PHONE],
  ])('on %s with %s', (channel, id) => {
    expect(check([id, 'Ann', 'A-1'], channel)).toEqual({
      kind: 'recipient',
      recipient: { row: 2, userId: id, values: ['Ann', 'A-1'], owner: null },
      findings: [],
    });
  });

  it('keeps values to the letter', () => {
    const value = fc.string({ minLength: 1, maxLength: 5 }).filter((text) => /[^\s\u00ad\u2000-\u206f]/.test(text));
    fc.assert(
      fc.property(value, (text) => {
        const result = check([ID, text, 'x']);
        if (result.kind === 'recipient') expect(result.recipient.values[0]).toBe(text);
        else expect(codes(result)).toEqual(['VARIABLE_MISSING']);
      }),
    );
  });
});

describe('a blank row', () => {
  it.each<[string, Cell[]]>([
    ['no cells', []],
    ['empty cells', [null, '', ' ']],
    ['invisible characters', ['\u200b', '\u00a0\ufeff', '\u2060']],
    ['a mark alone', [null, null, null, 'ID missing']],
  ])('is passed over: %s', (_, cells) => {
    expect(check(cells, 'messenger', [...HEADER, MARK_HEADER])).toEqual({ kind: 'blank' });
  });

  it('is not blank with a number or a note in it', () => {
    expect(check([null, { kind: 'number', text: '1' }]).kind).toBe('invalid');
    expect(codes(check([null, null, null, 'note']))).toContain('CELL_OUTSIDE');
  });
});

describe('the id', () => {
  it.each<[what: string, cell: Cell, channel: Channel, code: FindingCode]>([
    ['nothing', null, 'messenger', 'ID_MISSING'],
    ['spaces', '  ', 'messenger', 'ID_MISSING'],
    ['an apostrophe alone', "'", 'messenger', 'ID_MISSING'],
    ['a number', { kind: 'number', text: '7642925849053900' }, 'messenger', 'ID_NOT_TEXT'],
    ['a date', { kind: 'date', text: '2026-01-01' }, 'messenger', 'ID_NOT_TEXT'],
    ['a boolean', { kind: 'boolean', text: 'TRUE' }, 'messenger', 'ID_NOT_TEXT'],
    ['scientific notation', '7.64E+15', 'messenger', 'ID_NOT_TEXT'],
    ['scientific notation with a comma', '7,64292584905390E+15', 'messenger', 'ID_NOT_TEXT'],
    ['a formula', { kind: 'formula', text: ID }, 'messenger', 'CELL_FORMULA'],
    ['an error', { kind: 'error', text: '#REF!' }, 'messenger', 'CELL_ERROR'],
    ['letters', 'ann', 'messenger', 'ID_MALFORMED'],
    ['a leading zero', `0${ID}`, 'messenger', 'ID_MALFORMED'],
    ['four digits', '1234', 'messenger', 'ID_MALFORMED'],
    ['twenty-one digits', '1'.repeat(21), 'messenger', 'ID_MALFORMED'],
    ['digits of another script', '７６４２９２５８４９', 'messenger', 'ID_MALFORMED'],
    ['two ids', `${ID},${ID}`, 'messenger', 'ID_MALFORMED'],
    ['a phone number', PHONE, 'messenger', 'CHANNEL_MISMATCH'],
    ['a phone number', PHONE, 'instagram', 'CHANNEL_MISMATCH'],
    ['a Page-scoped id', ID, 'sms', 'CHANNEL_MISMATCH'],
    ['a phone number without country code', '015112345678', 'sms', 'ID_MALFORMED'],
    ['a phone number with 00', '004915112345678', 'sms', 'ID_MALFORMED'],
    ['a phone number with a 0 in brackets', '+49 (0)151 12345678', 'sms', 'ID_MALFORMED'],
    ['a phone number without +', '(555) 000-1111', 'sms', 'ID_MALFORMED'],
    ['a phone number that went through a number cell', { kind: 'number', text: '15550001111' }, 'sms', 'ID_NOT_TEXT'],
    ['a phone number in scientific notation', '1.5555E+10', 'sms', 'ID_NOT_TEXT'],
    ['a Page-scoped id with separators', '7642925849-053901', 'messenger', 'ID_MALFORMED'],
  ])('%s (%j on %s)', (_, cell, channel, code) => {
    const result = check([cell, 'Ann', 'A-1'], channel);
    expect(result.kind).toBe('invalid');
    expect(codes(result)).toEqual([code]);
    expect(result).toMatchObject({ findings: [{ row: 2, column: idHeader(channel) }] });
  });

  it('tells channels and found values', () => {
    expect(check([PHONE, 'a', 'b'])).toMatchObject({ findings: [{ args: { expected: 'messenger', found: 'sms' } }] });
    const number = check([{ kind: 'number', text: '7.6429258490539e+15' }, 'a', 'b']);
    expect(number).toMatchObject({
      userId: '7.6429258490539e+15',
      findings: [{ args: { found: '7.6429258490539e+15', channel: 'messenger' } }],
    });
    for (const cell of ['1.5555E+10', { kind: 'number', text: '1.5555E+10' } as const]) {
      const phone = check([cell, 'a', 'b'], 'sms');
      expect(phone).toMatchObject({ findings: [{ args: { found: '1.5555E+10', channel: 'sms' } }] });
    }
  });

  it('is freed from what nobody sees, with a note, and never changed otherwise', () => {
    const unseen = fc.constantFrom(
      ' ',
      '\t',
      '\n',
      '\u00a0',
      '\u00ad',
      '\u061c',
      '\u200b',
      '\u200e',
      '\u202a',
      '\u202f',
      '\u2060',
      '\u2069',
      '\u3000',
      '\ufeff',
    );
    const digits = fc.stringMatching(/^[1-9]\d{4,19}$/);
    const around = fc.array(unseen, { maxLength: 3 }).map((some) => some.join(''));
    fc.assert(
      fc.property(digits, around, around, fc.boolean(), (id, before, after, apostrophe) => {
        const found = `${before}${apostrophe ? "'" : ''}${id}${after}`;
        const result = check([found, 'Ann', 'A-1']);
        expect(result).toMatchObject({ kind: 'recipient', recipient: { userId: id } });
        expect(codes(result)).toEqual(found === id ? [] : ['ID_CLEANED']);
      }),
    );
  });

  it.each([
    ' +1 555 000 1111',
    "'+15550001111",
    '+1-555-000-1111',
    '+1.555.000.1111',
    '+1 (555) 000-1111',
    '+1/555/0001111',
  ])('as a phone number is freed from separators as well: %s', (cell) => {
    const result = check([cell, 'Ann', 'A-1'], 'sms');
    expect(result).toMatchObject({ kind: 'recipient', recipient: { userId: '+15550001111' } });
    expect(codes(result)).toEqual(['ID_CLEANED']);
    expect(usableId(cell, 'sms')).toBe('+15550001111');
    expect(usableId(cell, 'messenger')).toBeNull();
  });

  it('that is refused is told as it was found', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const result = check([text, 'Ann', 'A-1']);
        if (result.kind === 'recipient') expect(result.recipient.userId).toMatch(/^[1-9]\d{4,19}$/);
        else if (result.kind === 'invalid' && !codes(result).includes('ID_MISSING')) expect(result.userId).toBe(text);
      }),
    );
  });
});

describe('the values', () => {
  it.each<[what: string, cell: Cell, codes: FindingCode[]]>([
    ['nothing', null, ['VARIABLE_MISSING']],
    ['a space', ' ', ['VARIABLE_MISSING']],
    ['a zero-width space', '\u200b', ['VARIABLE_MISSING']],
    ['a text above its limit', 'Annabel', ['VARIABLE_TOO_LONG']],
    ['a formula', { kind: 'formula', text: 'Ann' }, ['CELL_FORMULA']],
    ['a formula that was never computed', { kind: 'formula', text: '' }, ['CELL_FORMULA']],
    ['an error', { kind: 'error', text: '#N/A' }, ['CELL_ERROR']],
    ['a date', { kind: 'date', text: '1' }, ['CELL_NOT_TEXT']],
    ['a boolean', { kind: 'boolean', text: 'TRUE' }, ['CELL_NOT_TEXT']],
    ['a number as Excel stores large ones', { kind: 'number', text: '1e+21' }, ['CELL_NOT_TEXT']],
    ['a decimal number', { kind: 'number', text: '1.5' }, ['CELL_NUMBER']],
    ['a whole number', { kind: 'number', text: '42' }, []],
    ['a negative number', { kind: 'number', text: '-42' }, []],
    ['zero', { kind: 'number', text: '0' }, []],
  ])('%s', (_, cell, expected) => {
    const result = check([ID, cell, 'A-1']);
    expect(codes(result)).toEqual(expected);
    const mayBeSent = expected.every((code) => code === 'CELL_NUMBER');
    expect(result.kind).toBe(mayBeSent ? 'recipient' : 'invalid');
    for (const one of result.kind === 'blank' ? [] : result.findings)
      expect(one).toMatchObject({ row: 2, column: 'name' });
  });

  it('lists the faults of a whole row', () => {
    expect(codes(check(['x']))).toEqual(['ID_MALFORMED', 'VARIABLE_MISSING', 'VARIABLE_MISSING']);
  });

  it('refuses a number of more than 15 digits', () => {
    expect(codes(check([ID, 'Ann', { kind: 'number', text: '1234567890123456' }]))).toEqual(['CELL_NOT_TEXT']);
  });

  it('checks the rendered message', () => {
    const long = check([ID, 'Ann', 'x'.repeat(2000)]);
    expect(codes(long)).toEqual(['MESSAGE_TOO_LONG']);
    expect(long).toMatchObject({ findings: [{ row: 2, column: null, args: { part: 'body', max: 1999 } }] });
    expect(codes(check([ID, 'Ann', '订'.repeat(400)], 'instagram'))).toEqual(['MESSAGE_TOO_LONG']);

    const linked = compileTemplate({
      ...template,
      buttons: [{ type: 'web_url', title: 'x', url: 'https://{{host}}' }],
    });
    const header = sheetHeader(linked, 'messenger');
    const result = new RowChecker(linked, 'messenger', header).check({ row: 2, cells: [ID, 'Ann', 'A-1', 'a b'] });
    expect(codes(result)).toEqual(['MESSAGE_URL_INVALID']);
  });
});

describe('cells outside the columns', () => {
  it('are told, by their column', () => {
    const result = check([ID, 'Ann', 'A-1', null, ' ', 'note', { kind: 'formula', text: '' }]);
    expect(result).toMatchObject({
      kind: 'invalid',
      findings: [
        { code: 'CELL_OUTSIDE', column: 'F' },
        { code: 'CELL_OUTSIDE', column: 'G' },
      ],
    });
  });

  it('do not include the marks of a marked copy', () => {
    const header = [...HEADER, null, MARK_HEADER];
    expect(check([ID, 'Ann', 'A-1', null, 'was wrong'], 'messenger', header).kind).toBe('recipient');
    expect(codes(check([ID, 'Ann', 'A-1', 'note', 'was wrong'], 'messenger', header))).toEqual(['CELL_OUTSIDE']);
  });
});

describe('duplicates', () => {
  it('with the same values are a warning, with others an error; both name the first row', () => {
    const rows = checker();
    expect(rows.check({ row: 2, cells: [ID, 'Ann', 'A-1'] }).kind).toBe('recipient');
    const same = rows.check({ row: 3, cells: [` ${ID}`, 'Ann', 'A-1'] });
    expect(same).toMatchObject({
      kind: 'invalid',
      findings: [
        { code: 'ID_CLEANED' },
        { code: 'ID_DUPLICATE', severity: 'warning', args: { firstRow: 2, sameValues: true } },
      ],
    });
    const different = rows.check({ row: 4, cells: [ID, 'Bob', 'A-1'] });
    expect(different).toMatchObject({
      findings: [{ code: 'ID_DUPLICATE', severity: 'error', args: { firstRow: 2, sameValues: false } }],
    });
  });

  it('count from the first good row', () => {
    const rows = checker();
    rows.check({ row: 2, cells: [ID, null, 'A-1'] });
    expect(rows.check({ row: 3, cells: [ID, 'Ann', 'A-1'] }).kind).toBe('recipient');
  });

  it('leave each id once', () => {
    const ids = fc.array(fc.integer({ min: 10_000, max: 10_020 }).map(String), { maxLength: 50 });
    fc.assert(
      fc.property(ids, (some) => {
        const rows = checker();
        const kept = some
          .map((id, index) => rows.check({ row: index + 2, cells: [id, 'Ann', 'A-1'] }))
          .flatMap((result) => (result.kind === 'recipient' ? [result.recipient.userId] : []));
        expect(kept).toEqual([...new Set(some)]);
      }),
    );
  });
});

describe('rounded ids', () => {
  const conclude = (ids: string[], channel: Channel = 'messenger') => {
    const rows = checker(channel);
    ids.forEach((id, index) => rows.check({ row: index + 2, cells: [id, 'Ann', 'A-1'] }));
    return rows.conclude();
  };
  const rounded = (n: number): string[] => Array.from({ length: n }, (_, i) => `${100_000_000_000_001 + i}00`);
  const natural = (n: number): string[] => Array.from({ length: n }, (_, i) => `${100_000_000_000_001 + i}37`);

  it('are told when four in five of at least four end in zeros', () => {
    expect(conclude(rounded(4))).toMatchObject([
      { code: 'IDS_ROUNDED', severity: 'error', row: null, column: 'User ID', args: { rounded: 4, long: 4 } },
    ]);
    expect(conclude([...rounded(8), ...natural(2)])).toMatchObject([{ args: { rounded: 8, long: 10 } }]);
    expect(conclude([...rounded(7), ...natural(3)])).toEqual([]);
    expect(conclude(rounded(3))).toEqual([]);
    expect(conclude([])).toEqual([]);
  });

  it('are not looked for among short ids', () => {
    expect(conclude(['100000', '200000', '300000', '400000', '500000'])).toEqual([]);
    expect(conclude([...rounded(4), '100000', '200001', '300002'])).toHaveLength(1);
  });
});

describe('columnName', () => {
  it.each([
    [0, 'A'],
    [25, 'Z'],
    [26, 'AA'],
    [51, 'AZ'],
    [52, 'BA'],
    [701, 'ZZ'],
    [702, 'AAA'],
    [16_383, 'XFD'],
  ])('%i is %s', (index, name) => {
    expect(columnName(index)).toBe(name);
  });

  it('counts in base 26 without a zero', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), (index) => {
        const value = Array.from(columnName(index)).reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0);
        expect(value - 1).toBe(index);
      }),
    );
  });
});

describe('hashTexts', () => {
  it('is the same for the same texts and, as good as always, different for others', () => {
    const texts = fc.array(fc.string(), { maxLength: 5 });
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(hashTexts([...a])).toBe(hashTexts(a));
        expect(Number.isSafeInteger(hashTexts(a)) && hashTexts(a) >= 0).toBe(true);
        if (JSON.stringify(a) !== JSON.stringify(b)) expect(hashTexts(a)).not.toBe(hashTexts(b));
      }),
    );
  });

  it('knows where a text ends and what comes first', () => {
    const variants = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['', 'abc'], ['c', 'ab'], []];
    expect(new Set(variants.map(hashTexts)).size).toBe(variants.length);
  });

  it('does not collide on many values that are alike', () => {
    const seen = new Set<number>();
    for (let index = 0; index < 200_000; index += 1) seen.add(hashTexts(['Ann', `A-${index}`]));
    expect(seen.size).toBe(200_000);
  });
});
