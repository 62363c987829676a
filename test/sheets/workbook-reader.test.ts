import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../src/core/sheet.js';
import { SheetFault } from '../../src/ports.js';
import { DEFAULT_LIMITS, createSheets } from '../../src/sheets/index.js';
import {
  MAIN,
  OFFICE,
  escaped,
  faultOf,
  findingOf,
  parts,
  patched,
  read,
  readPath,
  relation,
  relationsXml,
  sheetXml,
  stoppedClock,
  textRow,
  workbook,
  zip,
  type Parts,
  type WorkbookPlan,
} from '../support/workbooks.js';

const ID = '76429258490539471';
const number = (text: string): Cell => ({ kind: 'number', text });
const date = (text: string): Cell => ({ kind: 'date', text });
const formula = (text: string): Cell => ({ kind: 'formula', text });

/** The cells of the only row after the header. */
async function cellsOf(cells: string, plan: WorkbookPlan = {}): Promise<readonly Cell[]> {
  const { rows } = await read(await workbook({ ...plan, rows: `${textRow(1, 'User ID')}<row r="2">${cells}</row>` }));
  expect(rows.length).toBeLessThan(2);
  return rows[0]?.cells ?? [];
}

async function withParts(changes: Parts, plan: WorkbookPlan = {}): Promise<Buffer> {
  return zip({ ...parts({ rows: textRow(1, 'User ID') + textRow(2, ID), ...plan }), ...changes });
}

const good = { header: ['User ID'], rows: [{ row: 2, cells: [ID] }] };

describe('cells', () => {
  it.each<[string, string, readonly Cell[], WorkbookPlan?]>([
    ['inline strings', '<c r="A2" t="inlineStr"><is><t>Ann</t></is></c>', ['Ann']],
    ['shared strings', '<c r="A2" t="s"><v>1</v></c>', ['b'], { strings: ['<si><t>a</t></si>', '<si><t>b</t></si>'] }],
    [
      'shared strings with spaces around the index',
      '<c r="A2" t="s"><v> 0 </v></c>',
      ['a'],
      { strings: ['<si><t>a</t></si>'] },
    ],
    [
      'rich text',
      '<c r="A2" t="s"><v>0</v></c>',
      ['An drea'],
      { strings: ['<si><r><rPr><b/></rPr><t>An</t></r><r><t xml:space="preserve"> drea</t></r></si>'] },
    ],
    ['rich text inline', '<c r="A2" t="inlineStr"><is><r><t>An</t></r><r><t>drea</t></r></is></c>', ['Andrea']],
    [
      'phonetic runs left out',
      '<c r="A2" t="s"><v>0</v></c>',
      ['課きく'],
      { strings: ['<si><t>課きく</t><rPh sb="0" eb="1"><t>カ</t></rPh><phoneticPr fontId="1"/></si>'] },
    ],
    [
      'phonetic runs left out inline',
      '<c r="A2" t="inlineStr"><is><t>課</t><rPh sb="0" eb="1"><t>カ</t></rPh></is></c>',
      ['課'],
    ],
    ['escapes', '<c r="A2" t="inlineStr"><is><t>a_x000D_b_x0009_</t></is></c>', ['a\rb\t']],
    ['an escaped escape', '<c r="A2" t="s"><v>0</v></c>', ['_x000D_'], { strings: ['<si><t>_x005F_x000D_</t></si>'] }],
    [
      'an escaped pair of surrogates',
      '<c r="A2" t="s"><v>0</v></c>',
      ['😀'],
      { strings: ['<si><t>_xD83D__xDE00_</t></si>'] },
    ],
    [
      'what only looks like an escape',
      '<c r="A2" t="s"><v>0</v></c>',
      ['_xyz_ _x00_'],
      { strings: ['<si><t>_xyz_ _x00_</t></si>'] },
    ],
    ['entities', '<c r="A2" t="inlineStr"><is><t>&lt;&amp;&gt;&quot;&apos;&#65;&#x1F600;</t></is></c>', ['<&>"\'A😀']],
    ['CDATA', '<c r="A2" t="inlineStr"><is><t><![CDATA[a<b]]>&amp;<!-- no -->c</t></is></c>', ['a<b&c']],
    ['spaces', '<c r="A2" t="inlineStr"><is><t xml:space="preserve"> a  b </t></is></c>', [' a  b ']],
    ['line breaks', '<c r="A2" t="inlineStr"><is><t>a\r\nb&#10;c</t></is></c>', ['a\nb\nc']],
    ['other scripts', '<c r="A2" t="inlineStr"><is><t>Grüße 你好 مرحبا 😀</t></is></c>', ['Grüße 你好 مرحبا 😀']],
    [
      'text written as a formula result, without a formula',
      '<c r="A2" t="str"><v>Ann &amp; Bob</v></c>',
      ['Ann & Bob'],
    ],
    ['a number', '<c r="A2"><v>42</v></c>', [number('42')]],
    ['a number with a type', '<c r="A2" t="n"><v>-1.5</v></c>', [number('-1.5')]],
    ['an id that Excel has damaged', '<c r="A2"><v>7.6429258490539472E+16</v></c>', [number('76429258490539470')]],
    ['a float that is not what it shows', '<c r="A2"><v>0.30000000000000004</v></c>', [number('0.30000000000000004')]],
    ['a huge number', '<c r="A2"><v>1E+25</v></c>', [number('1e+25')]],
    [
      'booleans',
      '<c r="A2" t="b"><v>1</v></c><c r="B2" t="b"><v>0</v></c>',
      [
        { kind: 'boolean', text: 'TRUE' },
        { kind: 'boolean', text: 'FALSE' },
      ],
    ],
    ['errors', '<c r="A2" t="e"><v>#N/A</v></c>', [{ kind: 'error', text: '#N/A' }]],
    ['a formula of a number', '<c r="A2"><f>1+1</f><v>2</v></c>', [formula('2')]],
    ['a formula of a text', '<c r="A2" t="str"><f>A1&amp;"x"</f><v>x_x000D_</v></c>', [formula('x\r')]],
    ['a formula of an error', '<c r="A2" t="e"><f>NA()</f><v>#N/A</v></c>', [formula('#N/A')]],
    ['a formula never computed', '<c r="A2"><f>A1</f></c>', [formula('')]],
    ['a shared formula', '<c r="A2"><f t="shared" si="0"/><v>7</v></c>', [formula('7')]],
    [
      'an array formula over several cells',
      '<c r="A2"><f t="array" ref="A2:B2">X</f><v>7</v></c><c r="B2" t="str"><v>8</v></c><c r="C2" t="str"><v>9</v></c>',
      [formula('7'), formula('8'), '9'],
    ],
    [
      'a blank cell between',
      '<c r="A2" t="inlineStr"><is><t>a</t></is></c><c r="C2" t="inlineStr"><is><t>c</t></is></c>',
      ['a', null, 'c'],
    ],
    [
      'styled blank cells',
      '<c r="A2" s="1"/><c r="B2" s="1"><v></v></c><c r="C2" t="s"><v/></c><c r="D2" t="inlineStr"><is><t></t></is></c>',
      [],
    ],
    [
      'cells without r',
      '<c t="inlineStr"><is><t>a</t></is></c><c/><c t="inlineStr"><is><t>c</t></is></c>',
      ['a', null, 'c'],
    ],
    ['cells with and without r', '<c r="B2"><v>1</v></c><c><v>2</v></c>', [null, number('1'), number('2')]],
    [
      'comments and extensions between',
      '<c r="A2"><v>1</v><!-- x --><extLst><ext><v>9</v></ext></extLst></c>',
      [number('1')],
    ],
    ['a value split by a comment', '<c r="A2"><v>1<!-- x -->2</v></c>', [number('12')]],
  ])('%s', async (_, cells, expected, plan) => {
    expect(await cellsOf(cells, plan)).toEqual(expected);
  });

  it.each<[string, number | string, string, Cell]>([
    ['General', 0, '5', number('5')],
    ['whole', 1, '5', number('5')],
    ['whole, rounded for the eye', 1, '5.4', number('5.4 (shown with 0 decimals)')],
    ['two decimals', 2, '5.25', number('5.25')],
    ['text format on a number', 49, '5', number('5')],
    ['no format of that number', 23, '5', number('5')],
    ['thousands', 3, '1234', number('1234 (#,##0)')],
    ['percent', 9, '0.5', number('0.5 (0%)')],
    ['scientific', 11, '5', number('5 (0.00E+00)')],
    ['fraction', 12, '0.5', number('0.5 (# ?/?)')],
    ['leading zeros', '00000', '123', number('123 (00000)')],
    ['currency', '[$€-2] #,##0.00', '5', number('5 ([$€-2] #,##0.00)')],
    ['unit', '0" kg"', '5', number('5 (0" kg")')],
    ['letters that are only quoted', '0" days"', '5', number('5 (0" days")')],
    ['the short date', 14, '45627', date('2024-12-01')],
    ['a date with time of day', 14, '45627.75', date('2024-12-01 18:00:00')],
    ['a time', 20, '0.4375', date('10:30:00')],
    ['date and time', 22, '45627.4375', date('2024-12-01 10:30:00')],
    ['hours beyond a day', 46, '2.5', date('60:00:00')],
    ['an East Asian date', 31, '45627', date('2024-12-01')],
    ['a date format of its own', 'dd/mm/yyyy', '45627', date('2024-12-01')],
    ['a date format with a language', '[$-409]mmmm d, yyyy;@', '45627', date('2024-12-01')],
    ['a month', 'mmm', '45627', date('2024-12-01')],
    ['a Chinese date', 'yyyy"年"m"月"d"日"', '45627', date('2024-12-01')],
    ['escaped letters', '\\d\\a\\y 0', '5', number('5 (\\d\\a\\y 0)')],
    ['a colour', '[Red]0', '5', number('5 ([Red]0)')],
    ['the first day', 14, '1', date('1900-01-01')],
    ['the last day before the leap day that never was', 14, '59', date('1900-02-28')],
    ['the leap day that never was', 14, '60', date('1900-02-29')],
    ['the day after', 14, '61', date('1900-03-01')],
    ['day zero', 14, '0', date('1900-01-00')],
    ['the last day', 14, '2958465', date('9999-12-31')],
    ['no day any more', 14, '2958466', date('2958466 (yyyy-mm-dd)')],
    ['a day before all days', 14, '-1', date('-1 (yyyy-mm-dd)')],
  ])('a number with the format of %s', async (_, format, stored, expected) => {
    expect(await cellsOf(`<c r="A2" s="1"><v>${stored}</v></c>`, { formats: [0, format] })).toEqual([expected]);
  });

  it('reads dates of the 1904 system', async () => {
    const properties = '<workbookPr date1904="1"/>';
    const cells = '<c r="A2" s="0"><v>0</v></c><c r="B2" s="0"><v>44165</v></c>';
    expect(await cellsOf(cells, { formats: [14], properties })).toEqual([date('1904-01-01'), date('2024-12-01')]);
  });

  it('reads ISO dates of strict workbooks', async () => {
    expect(await cellsOf('<c r="A2" t="d"><v>2024-12-01T10:30:00</v></c>')).toEqual([date('2024-12-01T10:30:00')]);
  });

  it('treats a style that does not exist as General', async () => {
    expect(await cellsOf('<c r="A2" s="99"><v>5</v></c>', { formats: [14] })).toEqual([number('5')]);
  });
});

describe('rows', () => {
  it('numbers rows as the spreadsheet does, over gaps and without r', async () => {
    const rows = `${textRow(1, 'User ID')}<row/><row><c t="inlineStr"><is><t>three</t></is></c></row>${textRow(7, 'seven')}<row hidden="1"><c><v>8</v></c></row>`;
    expect((await read(await workbook({ rows }))).rows).toEqual([
      { row: 3, cells: ['three'] },
      { row: 7, cells: ['seven'] },
      { row: 8, cells: [number('8')] },
    ]);
  });

  it('has an empty header when row 1 is blank', async () => {
    const reading = await read(await workbook({ rows: textRow(2, 'User ID') }));
    expect(reading).toEqual({ origin: null, header: [], rows: [{ row: 2, cells: ['User ID'] }] });
  });

  it('reads a sheet without any cell, and one without rows', async () => {
    expect(await read(await workbook())).toEqual({ origin: null, header: [], rows: [] });
    const bytes = await withParts({
      'xl/worksheets/sheet1.xml': `<worksheet xmlns="${MAIN}"><sheetData/></worksheet>`,
    });
    expect((await read(bytes)).rows).toEqual([]);
  });

  it('passes over a million styled blank rows without counting or keeping them', async () => {
    const blank = Array.from({ length: 1_048_574 }, (_, index) => `<row r="${index + 3}" s="1" customFormat="1"/>`);
    const columns = `<dimension ref="A1:XFD1048576"/><cols><col min="1" max="16384" style="1"/></cols>`;
    const sheet = sheetXml(textRow(1, 'User ID') + textRow(2, ID) + blank.join('')).replace(
      '<sheetData>',
      `${columns}<sheetData>`,
    );
    const bytes = await withParts({ 'xl/worksheets/sheet1.xml': sheet });
    expect(await read(bytes, { rows: 1 })).toMatchObject(good);
  });

  it('gives many rows in batches, in order', async () => {
    const rows = Array.from({ length: 5000 }, (_, index) => textRow(index + 1, `${index}`)).join('');
    const reading = await read(await workbook({ rows }));
    expect(reading.rows.map((row) => row.cells[0])).toEqual(Array.from({ length: 4999 }, (_, index) => `${index + 1}`));
  });
});

describe('workbooks of other programs', () => {
  const prefixed = (xml: string) =>
    xml.replace(`xmlns="${MAIN}"`, `xmlns:x="${MAIN}"`).replace(/<(\/?)(?=[a-zA-Z])/g, '<$1x:');
  const strict = (xml: string) =>
    xml
      .replaceAll(MAIN, 'http://purl.oclc.org/ooxml/spreadsheetml/main')
      .replaceAll(OFFICE, 'http://purl.oclc.org/ooxml/officeDocument/relationships');
  const rows = `${textRow(1, 'User ID')}<row r="2"><c r="A2" t="s"><v>0</v></c></row>`;
  const shared = { rows, strings: [`<si><t>${ID}</t></si>`], formats: [0, 14] };
  const all = (change: (xml: string, name: string) => string | Buffer): Parts =>
    Object.fromEntries(Object.entries(parts(shared)).map(([name, xml]) => [name, change(xml.toString(), name)]));

  it.each<[string, () => Parts]>([
    ['the plain one', () => parts(shared)],
    [
      'namespace prefixes (Open XML SDK)',
      () => all((xml, name) => (name.startsWith('xl/') && !name.endsWith('.rels') ? prefixed(xml) : xml)),
    ],
    ['strict namespaces', () => all(strict)],
    [
      'no namespace at all',
      () => all((xml, name) => (name.includes('sheet1') ? xml.replace(/ xmlns="[^"]*"/, '') : xml)),
    ],
    [
      'UTF-16',
      () =>
        all((xml, name) =>
          name.startsWith('xl/') ? Buffer.from('\ufeff' + xml.replace('encoding="UTF-8" ', ''), 'utf16le') : xml,
        ),
    ],
    ['a UTF-8 byte order mark', () => all((xml) => '\ufeff' + xml)],
    ['single quotes', () => all((xml) => xml.replace(/="([^"<>]*)"/g, "='$1'"))],
    [
      'absolute targets (WPS, Google Sheets)',
      () =>
        all((xml, name) =>
          name.endsWith('.rels')
            ? xml.replaceAll('Target="', name === '_rels/.rels' ? 'Target="/' : 'Target="/xl/')
            : xml,
        ),
    ],
    [
      'parts elsewhere',
      () => ({
        ...all((xml) => xml.replaceAll('xl/workbook.xml', 'book/b.xml')),
        'xl/workbook.xml': '',
        'book/b.xml': parts()['xl/workbook.xml'] ?? '',
        'book/_rels/b.xml.rels': relationsXml(
          relation('rId1', 'worksheet', '../xl/./worksheets/sheet1.xml'),
          relation('rId2', 'sharedStrings', '/xl/sharedStrings.xml'),
        ),
      }),
    ],
    ['other case in part names', () => all((xml) => xml.replaceAll('worksheets/sheet1.xml', 'Worksheets/Sheet1.XML'))],
    [
      'parts found by content type only',
      () => ({
        ...parts(shared),
        '_rels/.rels': relationsXml(),
        '[Content_Types].xml':
          '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
      }),
    ],
    ['macros (xlsm)', () => ({ ...parts(shared), 'xl/vbaProject.bin': 'code' })],
    [
      'no styles although they are named',
      () => {
        const made = parts(shared);
        delete made['xl/styles.xml'];
        return made;
      },
    ],
    [
      'a comment with markup in it',
      () => all((xml) => xml.replace('<sheetData>', '<!-- <sheetData><row r="9"/> --><sheetData>')),
    ],
    [
      'rows of another namespace around',
      () =>
        all((xml) =>
          xml.replace(
            '</sheetData>',
            '</sheetData><extLst><ext xmlns:x14="urn:x14"><x14:sheetData><x14:row r="1"/></x14:sheetData></ext></extLst>',
          ),
        ),
    ],
  ])('%s', async (_, made) => {
    expect(await read(await zip(made()))).toMatchObject(good);
  });

  it.each([
    ['zip64', { zip64: true }],
    ['stored without compression', { stored: true }],
  ])('%s', async (_, options) => {
    expect(await read(await zip(parts(shared), options))).toMatchObject(good);
  });

  it('reads part names with backslashes', async () => {
    const bytes = patched(await zip(parts(shared)), 'xl/worksheets/sheet1.xml', 'xl\\worksheets\\sheet1.xml');
    // The relation inside is compressed, so only the names in the zip's own tables have changed.
    expect(await read(bytes)).toMatchObject(good);
  });
});

describe('sheets', () => {
  const sheets = (...listed: string[]) => ({
    'xl/workbook.xml': `<workbook xmlns="${MAIN}" xmlns:r="${OFFICE}"><sheets>${listed.join('')}</sheets></workbook>`,
    'xl/_rels/workbook.xml.rels': relationsXml(
      relation('rId1', 'worksheet', 'worksheets/sheet1.xml'),
      relation('rId2', 'worksheet', 'worksheets/sheet2.xml'),
      relation('rId3', 'chartsheet', 'chartsheets/sheet1.xml'),
    ),
    'xl/worksheets/sheet2.xml': sheetXml(textRow(1, 'User ID') + textRow(2, 'second')),
  });
  const sheet = (name: string, id: number, more = '') =>
    `<sheet name="${name}" sheetId="${id}" ${more} r:id="rId${id}"/>`;

  it.each<[string, string[], string]>([
    ['Recipients wherever it stands', [sheet('Other', 1), sheet('Recipients', 2)], 'second'],
    ['Recipients in any case', [sheet('Other', 1), sheet('RECIPIENTS', 2)], 'second'],
    ['Recipients even when hidden', [sheet('Other', 1), sheet('Recipients', 2, 'state="hidden"')], 'second'],
    ['else the first', [sheet('One', 1), sheet('Two', 2)], ID],
    [
      'else the first that is visible',
      [sheet('One', 1, 'state="hidden"'), sheet('Two', 2, 'state="visible"')],
      'second',
    ],
    ['no chart sheets', [sheet('Chart', 3), sheet('Two', 2)], 'second'],
    ['not our own hidden one, even when shown', [sheet('_pagecast', 1), sheet('Two', 2)], 'second'],
  ])('reads %s', async (_, listed, expected) => {
    expect((await read(await withParts(sheets(...listed)))).rows[0]?.cells).toEqual([expected]);
  });

  it('says which sheets there are when none can be read', async () => {
    const bytes = await withParts(sheets(sheet('Chart &amp; Co', 3), sheet('Two', 2, 'state="veryHidden"')));
    expect(await findingOf(bytes)).toMatchObject({
      code: 'SHEET_MISSING',
      args: { wanted: 'Recipients', found: ['Chart & Co', 'Two'] },
    });
  });

  it('reads what the workbook says it was made from, and only a format it knows', async () => {
    const origin = (...pairs: [string, string][]) => ({
      ...sheets(sheet('Recipients', 1), sheet('_pagecast', 2, 'state="veryHidden"')),
      'xl/worksheets/sheet2.xml': sheetXml(pairs.map(([key, value], index) => textRow(index + 1, key, value)).join('')),
    });
    const full: [string, string][] = [
      ['format', '1'],
      ['template', 'order_update'],
      ['language', 'en_US'],
      ['fingerprint', 'abc'],
    ];
    const found = async (...pairs: [string, string][]) => (await read(await withParts(origin(...pairs)))).origin;
    expect(await found(...full)).toEqual({ template: 'order_update', language: 'en_US', fingerprint: 'abc' });
    expect(await found(['format', '2'], ...full.slice(1))).toBeNull();
    expect(await found(...full.slice(0, 3))).toBeNull();
    expect(await found()).toBeNull();
  });
});

describe('files that are refused', () => {
  const sheet1 = 'xl/worksheets/sheet1.xml';
  const dtd = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>';
  const row = (cells: string) => workbook({ rows: `<row r="1">${cells}</row>` });

  it.each<[string, () => Promise<Buffer | string> | Buffer | string, string]>([
    ['an empty file', () => '', 'FILE_TRUNCATED'],
    ['an old .xls', () => ole('Workbook'), 'FILE_NOT_WORKBOOK old_excel'],
    ['a workbook with a password', () => ole('EncryptedPackage'), 'FILE_ENCRYPTED'],
    [
      'an old .xls whose text names the stream',
      () => ole('Workbook', 'xEncryptedPackage'),
      'FILE_NOT_WORKBOOK old_excel',
    ],
    ['encrypted parts', async () => encrypted(await workbook()), 'FILE_ENCRYPTED'],
    ['a picture', () => Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['a PDF', () => '%PDF-1.7\nabc', 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['a web page', () => '<!DOCTYPE html><html></html>', 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['random bytes', () => Buffer.from([1, 2, 3, 250, 0, 7, 9, 200, 100]), 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['an empty zip', () => zip({}), 'FILE_NOT_WORKBOOK not_a_workbook'],
    ['another zip', () => zip({ 'readme.txt': 'hello' }), 'FILE_NOT_WORKBOOK not_a_workbook'],
    [
      'a Word document',
      () =>
        zip({
          '_rels/.rels': relationsXml(relation('r', 'officeDocument', 'word/document.xml')),
          'word/document.xml': '<w:document xmlns:w="urn:w"/>',
        }),
      'FILE_NOT_WORKBOOK not_a_workbook',
    ],
    [
      'an OpenDocument sheet',
      () => zip({ mimetype: 'application/vnd.oasis.opendocument.spreadsheet', 'content.xml': '' }),
      'FILE_NOT_WORKBOOK unsupported',
    ],
    [
      'a binary workbook',
      () =>
        zip({
          '_rels/.rels': relationsXml(relation('r', 'officeDocument', 'xl/workbook.bin')),
          'xl/workbook.bin': 'x',
        }),
      'FILE_NOT_WORKBOOK unsupported',
    ],
    [
      'a workbook without its workbook',
      async () => {
        const made = parts();
        delete made['xl/workbook.xml'];
        return zip(made);
      },
      'FILE_NOT_WORKBOOK damaged',
    ],
    [
      'a workbook without its sheet',
      async () => {
        const made = parts();
        delete made['xl/worksheets/sheet1.xml'];
        return zip(made);
      },
      'FILE_NOT_WORKBOOK damaged',
    ],
    [
      'two parts of one name',
      async () =>
        patched(
          await zip({ ...parts(), 'xl/worksheets/sheet2.xml': sheetXml('') }),
          'xl/worksheets/sheet2.xml',
          'xl/worksheets/SHEET1.xml',
        ),
      'FILE_NOT_WORKBOOK damaged',
    ],
    ['a wrong checksum', async () => flippedChecksum(await workbook()), 'FILE_NOT_WORKBOOK damaged'],
    ['another compression', async () => otherCompression(await workbook()), 'FILE_NOT_WORKBOOK unsupported'],
    [
      'a document type in the sheet',
      () => withParts({ [sheet1]: dtd + sheetXml('') }),
      'FILE_NOT_WORKBOOK forbidden_xml',
    ],
    [
      'a billion laughs',
      () =>
        withParts(
          { 'xl/sharedStrings.xml': `<?xml version="1.0"?>${dtd}<sst xmlns="${MAIN}"><si><t>&b;</t></si></sst>` },
          { strings: [] },
        ),
      'FILE_NOT_WORKBOOK forbidden_xml',
    ],
    [
      'an external entity',
      () =>
        withParts({
          'xl/workbook.xml': '<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]><workbook>&x;</workbook>',
        }),
      'FILE_NOT_WORKBOOK forbidden_xml',
    ],
    ['malformed XML', () => withParts({ [sheet1]: sheetXml('<row></sheetData>') }), 'FILE_NOT_WORKBOOK damaged'],
    [
      'XML that breaks off',
      () => withParts({ [sheet1]: sheetXml(textRow(1, 'a')).slice(0, -30) }),
      'FILE_NOT_WORKBOOK damaged',
    ],
    [
      'a sheet that is no sheet',
      () => withParts({ [sheet1]: `<chartsheet xmlns="${MAIN}"/>` }),
      'FILE_NOT_WORKBOOK damaged',
    ],
    [
      'a shared string out of range',
      () => workbook({ rows: '<row r="1"><c r="A1" t="s"><v>1</v></c></row>', strings: ['<si><t>a</t></si>'] }),
      'FILE_NOT_WORKBOOK damaged',
    ],
    ['a shared string without a table', () => row('<c r="A1" t="s"><v>0</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a negative shared string', () => row('<c r="A1" t="s"><v>-1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a number that is none', () => row('<c r="A1"><v>12x</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a number in hexadecimal', () => row('<c r="A1"><v>0x10</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['an infinite number', () => row('<c r="A1"><v>1e999</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['an unknown type of cell', () => row('<c r="A1" t="q"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['inline text without any', () => row('<c r="A1" t="inlineStr"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a column beyond the last', () => row('<c r="XFE1"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a column far beyond', () => row('<c r="AAAAAAA1"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a cell of another row', () => row('<c r="A2"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a cell without a number', () => row('<c r="A"><v>1</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['cells going backwards', () => row('<c r="B1"><v>1</v></c><c r="A1"><v>2</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['a cell given twice', () => row('<c r="A1"><v>1</v></c><c r="A1"><v>2</v></c>'), 'FILE_NOT_WORKBOOK damaged'],
    ['rows going backwards', () => workbook({ rows: textRow(2, 'a') + textRow(1, 'b') }), 'FILE_NOT_WORKBOOK damaged'],
    ['a row beyond the last', () => workbook({ rows: '<row r="1048577"/>' }), 'FILE_NOT_WORKBOOK damaged'],
    ['row zero', () => workbook({ rows: '<row r="0"/>' }), 'FILE_NOT_WORKBOOK damaged'],
    ['a row number with a sign', () => workbook({ rows: '<row r="+1"/>' }), 'FILE_NOT_WORKBOOK damaged'],
    ['an attribute without end', () => row(`<c r="A1" t="${'s'.repeat(2_000_000)}"/>`), 'FILE_NOT_WORKBOOK damaged'],
    [
      'a text without end',
      () => row(`<c r="A1" t="inlineStr"><is><t>${'x'.repeat(40_000)}</t></is></c>`),
      'FILE_TOO_LARGE cellCharacters',
    ],
    [
      'a text in very many runs',
      () => row(`<c r="A1" t="inlineStr"><is>${'<r><t>xxxxxxxx</t></r>'.repeat(40_000)}</is></c>`),
      'FILE_TOO_LARGE cellCharacters',
    ],
    ['a zip bomb', () => workbook({ rows: ' '.repeat(30_000_000) }), 'FILE_TOO_LARGE ratio'],
  ])('%s', async (_, bytes, expected) => {
    expect(await faultOf(await bytes())).toBe(expected);
  });

  it('keeps to the limits it is given', async () => {
    const rows = textRow(1, 'User ID') + textRow(2, 'a', 'b', 'c') + textRow(3, 'd');
    const bytes = await workbook({ rows, strings: Array.from({ length: 10 }, () => '<si><t>äö</t></si>') });
    expect(await faultOf(bytes)).toBeNull();
    expect(await faultOf(bytes, { bytes: 100 })).toBe('FILE_TOO_LARGE bytes');
    expect(await faultOf(bytes, { unzippedBytes: 1000 })).toBe('FILE_TOO_LARGE unzippedBytes');
    expect(await faultOf(bytes, { rows: 1 })).toBe('TOO_MANY_ROWS');
    expect(await faultOf(bytes, { rows: 2, columns: 3, strings: 10, cellCharacters: 7 })).toBeNull();
    expect(await faultOf(bytes, { columns: 2 })).toBe('FILE_TOO_LARGE columns');
    expect(await faultOf(bytes, { strings: 9 })).toBe('FILE_TOO_LARGE strings');
    expect(await faultOf(bytes, { cellCharacters: 6 })).toBe('FILE_TOO_LARGE cellCharacters');
  });

  it('lets a cell hold as much as Excel lets it, in characters and not in bytes', async () => {
    const cells = await cellsOf(`<c r="A2" t="inlineStr"><is><t>${'文'.repeat(32_767)}</t></is></c>`);
    expect(cells[0]).toHaveLength(32_767);
    const long = `<c r="A1" t="inlineStr"><is><t>${'文'.repeat(32_768)}</t></is></c>`;
    expect(await faultOf(await workbook({ rows: `<row r="1">${long}</row>` }))).toBe('FILE_TOO_LARGE cellCharacters');
    const escapes = await cellsOf(`<c r="A2" t="inlineStr"><is><t>${'_x000D_'.repeat(32_767)}</t></is></c>`);
    expect(escapes[0]).toBe('\r'.repeat(32_767));
  });

  it('stops after the time it is given, not counting the time its caller takes', async () => {
    let now = 0;
    const ticking = { ...stoppedClock, now: () => (now += 1000) };
    const bytes = await workbook({ rows: textRow(1, 'User ID') + textRow(2, ID) });
    expect(await faultOf(bytes, { seconds: 5 }, ticking)).toBe('FILE_TOO_LARGE seconds');

    const rows = Array.from({ length: 5000 }, (_, index) => textRow(index + 1, `${index}${'x'.repeat(100)}`)).join('');
    const folder = await mkdtemp(join(tmpdir(), 'pagecast-test-'));
    try {
      await writeFile(join(folder, 'f'), await workbook({ rows }));
      now = 0;
      const sheet = await createSheets({ ...stoppedClock, now: () => now }).open(join(folder, 'f'), {
        ...DEFAULT_LIMITS,
        seconds: 5,
      });
      let batches = 0;
      for await (const batch of sheet.rows()) {
        batches += Math.sign(batch.length);
        now += 60_000;
      }
      await sheet.close();
      expect(batches).toBeGreaterThan(2);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('never takes a part name for a path', async () => {
    for (const evil of ['../../../tmp/evil-pagecast', '/tmp/evil-pagecast', 'C:\\evil-pagecast']) {
      const placeholder = 'x'.repeat(evil.length);
      const bytes = patched(
        await zip({ ...parts({ rows: textRow(1, 'User ID') + textRow(2, ID) }), [placeholder]: 'evil' }),
        placeholder,
        evil,
      );
      expect(await read(bytes)).toMatchObject(good);
    }
    const outside = relationsXml(relation('rId1', 'worksheet', '../../../../../../etc/passwd'));
    expect(await faultOf(await withParts({ 'xl/_rels/workbook.xml.rels': outside }))).toBe('FILE_NOT_WORKBOOK damaged');
  });

  it('knows files that are not there, folders and pipes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pagecast-test-'));
    const missing = join(folder, 'no.xlsx');
    await expect(readPath(missing)).rejects.toMatchObject({
      finding: { code: 'FILE_NOT_FOUND', args: { path: missing } },
    });
    await expect(readPath(folder)).rejects.toMatchObject({ finding: { code: 'FILE_NOT_WORKBOOK' } });
    await expect(readPath('/dev/zero')).rejects.toMatchObject({ finding: { code: 'FILE_NOT_WORKBOOK' } });
    await rm(folder, { recursive: true });
  });
});

describe('any workbook', () => {
  /** Any text that XML can hold as it is. */
  const text = fc
    .string({ unit: 'grapheme', maxLength: 12 })
    // eslint-disable-next-line no-control-regex -- these are what XML cannot hold
    .map((one) => one.replace(/[\u0000-\u001f\u007f\ufffe\uffff]/gu, '').replaceAll('_x', '_'));
  const table = fc.array(fc.array(text, { maxLength: 5 }), { maxLength: 8 });

  it('gives back the texts it was made of, shared or inline', async () => {
    await fc.assert(
      fc.asyncProperty(table, fc.boolean(), async (rows, shared) => {
        const strings: string[] = [];
        const cell = (value: string) => {
          if (!shared) return `<c t="inlineStr"><is><t>${escaped(value)}</t></is></c>`;
          return `<c t="s"><v>${strings.push(`<si><t>${escaped(value)}</t></si>`) - 1}</v></c>`;
        };
        const xml = [['User ID'], ...rows].map((values) => `<row>${values.map(cell).join('')}</row>`).join('');
        const { rows: found } = await read(await workbook({ rows: xml, strings }));
        expect(found).toEqual(
          rows
            .map((values, index) => ({ row: index + 2, cells: trimmed(values) }))
            .filter(({ cells }) => cells.length > 0),
        );
      }),
      { numRuns: 100 },
    );
  });

  it('is refused or read right, never wrong, when it is cut off anywhere', async () => {
    const rows = Array.from({ length: 20 }, (_, index) =>
      textRow(index + 1, `${10_000_000_000_000_000 + index}`, 'Ann'),
    ).join('');
    const whole = await workbook({ rows });
    const expected = await read(whole);
    const every = Array.from({ length: whole.length }, (_, length) => length);
    let readable = 0;
    for (const length of every) {
      try {
        expect(await read(whole.subarray(0, length))).toEqual(expected);
        readable += 1;
      } catch (error) {
        if (!(error instanceof SheetFault)) throw error;
        expect(['FILE_TRUNCATED', 'FILE_NOT_WORKBOOK']).toContain(error.finding.code);
      }
    }
    expect(readable).toBe(0);
    expect(await faultOf(whole.subarray(0, whole.length - 30))).toBe('FILE_TRUNCATED');
  });

  it('is refused or read right when bytes of it are changed', async () => {
    const rows = Array.from({ length: 20 }, (_, index) =>
      textRow(index + 1, `${10_000_000_000_000_000 + index}`, 'Ann'),
    ).join('');
    const whole = await workbook({ rows });
    const expected = await read(whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ change;
        try {
          expect(await read(changed)).toEqual(expected);
        } catch (error) {
          if (!(error instanceof SheetFault)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});

function trimmed(values: readonly string[]): Cell[] {
  const cells: Cell[] = values.map((value) => (value === '' ? null : value));
  while (cells.length > 0 && cells.at(-1) === null) cells.pop();
  return cells;
}

/** An OLE file with one stream, as its directory names it. */
function ole(stream: string, content = ''): Buffer {
  const bytes = Buffer.alloc(4096);
  Buffer.from('d0cf11e0a1b11ae1', 'hex').copy(bytes);
  bytes.write('Root Entry\0', 1024, 'utf16le');
  bytes.write(stream + '\0', 1024 + 128, 'utf16le');
  bytes.write(content + '\0', 2048, 'utf16le');
  return bytes;
}

/** Sets a bit in every entry's flags, in both places where a zip keeps them. */
function flagged(bytes: Buffer, change: (copy: Buffer, flags: number) => void): Buffer {
  const copy = Buffer.from(bytes);
  for (const [signature, flags] of [
    ['504b0304', 6],
    ['504b0102', 8],
  ] as const) {
    const mark = Buffer.from(signature, 'hex');
    for (let at = copy.indexOf(mark); at !== -1; at = copy.indexOf(mark, at + 1)) change(copy, at + flags);
  }
  return copy;
}

function encrypted(bytes: Buffer): Buffer {
  return flagged(bytes, (copy, flags) => copy.writeUInt16LE(copy.readUInt16LE(flags) | 1, flags));
}

function otherCompression(bytes: Buffer): Buffer {
  return flagged(bytes, (copy, flags) => copy.writeUInt16LE(12, flags + 2));
}

function flippedChecksum(bytes: Buffer): Buffer {
  return flagged(bytes, (copy, flags) => copy.writeUInt32LE((copy.readUInt32LE(flags + 8) ^ 1) >>> 0, flags + 8));
}
