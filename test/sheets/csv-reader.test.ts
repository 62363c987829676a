import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../src/core/sheet.js';
import { faultOf, findingOf, read } from '../support/workbooks.js';

const ID = '76429258490539471';

function utf16(text: string, mark: boolean, bigEndian: boolean): Buffer {
  const bytes = Buffer.from((mark ? '\ufeff' : '') + text, 'utf16le');
  return bigEndian ? bytes.swap16() : bytes;
}

describe('CSV', () => {
  const plain = `User ID,name\n${ID},Änne\n`;
  const expected = { origin: null, header: ['User ID', 'name'], rows: [{ row: 2, cells: [ID, 'Änne'] }] };

  it.each<[string, string | Buffer]>([
    ['commas', plain],
    ['semicolons, as Excel writes in most of Europe', plain.replaceAll(',', ';')],
    ['tabs', plain.replaceAll(',', '\t')],
    ['the separator that Excel is told', `sep=|\r\n${plain.replaceAll(',', '|')}`],
    ['the separator in quotes', `"sep=;"\n${plain.replaceAll(',', ';')}`],
    ['CRLF', plain.replaceAll('\n', '\r\n')],
    ['CR', plain.replaceAll('\n', '\r')],
    ['line ends mixed', plain.replace('\n', '\r\n')],
    ['no line end at the end', plain.trimEnd()],
    ['quotes', `"User ID","name"\n"${ID}","Änne"\n`],
    ['a byte order mark', '\ufeff' + plain],
    ['a byte order mark before quotes', `\ufeff"User ID",name\n${ID},Änne`],
    ['UTF-16, little-endian', utf16(plain, true, false)],
    ['UTF-16, big-endian', utf16(plain, true, true)],
    ['UTF-16 without mark', utf16(plain, false, false)],
    ['UTF-16 without mark, big-endian', utf16(plain, false, true)],
    [
      'UTF-16 with tabs, as Excel saves "Unicode text"',
      utf16(plain.replaceAll(',', '\t').replaceAll('\n', '\r\n'), true, false),
    ],
    ['empty cells at the end', plain.replaceAll('\n', ',,\n')],
  ])('reads %s', async (_, bytes) => {
    expect(await read(bytes)).toEqual(expected);
  });

  it.each<[string, string, (readonly Cell[])[]]>([
    ['doubled quotes', 'a\n"x ""y"" z"\n', [['x "y" z']]],
    ['line breaks in a cell', 'a,b\n"1\r\n2",x\n', [['1\r\n2', 'x']]],
    [
      'cells that are empty',
      'a,b,c\n,x,\n"",,y\n',
      [
        [null, 'x'],
        [null, null, 'y'],
      ],
    ],
    ['rows shorter and longer than the header', 'a,b\n1\n1,2,3\n', [['1'], ['1', '2', '3']]],
    ['spaces as they are', 'a,b\n x , y\n', [[' x ', ' y']]],
    ['what looks like a formula', 'a\n=1+1\n', [['=1+1']]],
    ['what is left of an id that Excel has saved', 'a\n7.64E+16\n', [['7.64E+16']]],
    ['as text whatever looks like a number', 'a,b,c\n007,1e3,TRUE\n', [['007', '1e3', 'TRUE']]],
    ['a header with quoted separators', '"a;b;c",d\n1,2\n', [['1', '2']]],
    ['one column', 'a\n1\n', [['1']]],
  ])('reads %s', async (_, text, rows) => {
    expect((await read(text)).rows.map((row) => row.cells)).toEqual(rows);
  });

  it('numbers rows as a spreadsheet program does: blank lines count, lines inside a cell do not', async () => {
    const text = 'a,b\n"1\n2\n3",x\n\n\n,\n4,y\n';
    expect((await read(text)).rows).toEqual([
      { row: 2, cells: ['1\n2\n3', 'x'] },
      { row: 6, cells: ['4', 'y'] },
    ]);
  });

  it('has an empty header when the first line is blank', async () => {
    expect(await read('\na,b\n')).toEqual({ origin: null, header: [], rows: [{ row: 2, cells: ['a', 'b'] }] });
    expect(await read('\ufeff')).toEqual({ origin: null, header: [], rows: [] });
  });

  it.each<[string, string | Buffer, string]>([
    ['bytes of an old encoding', Buffer.from('User ID,name\n1,Änne\n', 'latin1'), 'FILE_NOT_WORKBOOK encoding'],
    [
      'half a character at the end',
      Buffer.concat([Buffer.from('a\n'), Buffer.from([0xe6, 0x96])]),
      'FILE_NOT_WORKBOOK encoding',
    ],
    [
      'half a UTF-16 character',
      Buffer.concat([utf16('a\nb', true, false), Buffer.from([0x61])]),
      'FILE_NOT_WORKBOOK encoding',
    ],
    ['a zero byte far inside', Buffer.from(`a\n${'x\n'.repeat(5000)}\0`), 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['a quotation mark that is never closed', 'a,b\n1,"2\n3,4\n', 'FILE_NOT_WORKBOOK damaged'],
    ['a quotation mark inside a cell', 'a,b\n1,5" pipe\n', 'FILE_NOT_WORKBOOK damaged'],
    ['text after a closing quotation mark', 'a,b\n1,"2"3\n', 'FILE_NOT_WORKBOOK damaged'],
  ])('refuses %s', async (_, bytes, fault) => {
    expect(await faultOf(bytes)).toBe(fault);
  });

  it.each([
    ['a,b\n"1\n2",x\n3,"4\n5,6\n', 'line 4:'],
    ['sep=;\na;b\n3;"4\n', 'line 3:'],
    ['a,b\r\n1,2\r\n3,"4"x\r\n', 'line 3:'],
  ])('says on which line a quotation mark is wrong', async (text, start) => {
    const finding = await findingOf(text);
    expect(finding?.code === 'FILE_NOT_WORKBOOK' && finding.args.detail).toContain(start);
  });

  it('keeps to the limits it is given', async () => {
    const text = 'User ID\na,b,c\nd\n';
    expect(await faultOf(text, { rows: 2, columns: 3, cellCharacters: 7 })).toBeNull();
    expect(await faultOf(text, { bytes: 10 })).toBe('FILE_TOO_LARGE bytes');
    expect(await faultOf(text, { rows: 1 })).toBe('TOO_MANY_ROWS');
    expect(await faultOf(text, { columns: 2 })).toBe('FILE_TOO_LARGE columns');
    expect(await faultOf(text, { cellCharacters: 6 })).toBe('FILE_TOO_LARGE cellCharacters');
    let now = 0;
    const tick = (): number => (now += 1000);
    const ticking = { now: tick, monotonic: tick, sleep: () => Promise.resolve() };
    expect(await faultOf(text, { seconds: 0 }, ticking)).toBe('FILE_TOO_LARGE seconds');
    expect(await faultOf(`a\n"${'x\n'.repeat(100_000)}`, { cellCharacters: 100, columns: 10 })).toBe(
      'FILE_NOT_WORKBOOK damaged',
    );
  });

  it('gives back the texts it was made of, in every encoding', async () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '7', ',', ';', '"', '\n', '\r', '\t', ' ', 'é', '文', '😀', "'"),
      maxLength: 8,
    });
    const table = fc.array(fc.array(text, { minLength: 1, maxLength: 4 }), { maxLength: 8 });
    const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
    const encode = fc.constantFrom(
      (one: string) => Buffer.from(one),
      (one: string) => Buffer.from('\ufeff' + one),
      (one: string) => utf16(one, true, false),
      (one: string) => utf16(one, true, true),
    );
    await fc.assert(
      fc.asyncProperty(
        table,
        lineEnd,
        fc.constantFrom(',', ';', '\t'),
        encode,
        async (rows, end, separator, bytesOf) => {
          const quoted = (cells: string[]) =>
            cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(separator) + end;
          const { header, rows: found } = await read(bytesOf([['User ID', 'name'], ...rows].map(quoted).join('')));
          expect(header).toEqual(['User ID', 'name']);
          expect(found).toEqual(
            rows
              .map((cells, index) => ({ row: index + 2, cells: trimmed(cells) }))
              .filter(({ cells }) => cells.length > 0),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it('reads the same however the file comes in pieces', async () => {
    // Longer than one read of the disk, with multibyte characters and CRLF at every offset.
    const rows = Array.from(
      { length: 12_000 },
      (_, index) => `${index},"${'é文😀'.slice(index % 3)}\r\n${'x'.repeat(index % 7)}"\r\n`,
    );
    const { rows: found } = await read(`a,b\r\n${rows.join('')}`);
    expect(found).toHaveLength(12_000);
    found.forEach(({ row, cells }, index) => {
      expect([row, ...cells]).toEqual([
        index + 2,
        `${index}`,
        `${'é文😀'.slice(index % 3)}\r\n${'x'.repeat(index % 7)}`,
      ]);
    });
  });
});

function trimmed(values: readonly string[]): Cell[] {
  const cells: Cell[] = values.map((value) => (value === '' ? null : value));
  while (cells.length > 0 && cells.at(-1) === null) cells.pop();
  return cells;
}
