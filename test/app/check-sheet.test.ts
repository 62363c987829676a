import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkSheet, checkTypedIn, LISTED_FINDINGS, readOrigin, type CheckRequest } from '../../src/app/check-sheet.js';
import { makeSheet, sheetOrigin } from '../../src/app/make-sheet.js';
import type { FindingCode } from '../../src/core/finding.js';
import { MARK_HEADER } from '../../src/core/sheet.js';
import type { Template } from '../../src/core/template.js';
import { createSheets, DEFAULT_LIMITS } from '../../src/sheets/index.js';
import { FakeClock } from '../support/fake-clock.js';
import { NOW, template, temporaryFolder, user } from '../support/fixtures.js';
import { escaped, readPath, textRow, workbook } from '../support/workbooks.js';

const sheets = createSheets(new FakeClock(NOW));
const HEADER = 'User ID,name,order_no';

async function write(content: string, name = 'people.csv'): Promise<string> {
  const path = join(temporaryFolder(), name);
  await writeFile(path, content);
  return path;
}

function check(path: string, change: Partial<CheckRequest> = {}) {
  return checkSheet(sheets, { path, template, channel: 'messenger', limits: DEFAULT_LIMITS, ...change });
}

function textCell(at: string, text: string): string {
  return `<c r="${at}" t="inlineStr"><is><t>${escaped(text)}</t></is></c>`;
}

async function made(from: Template = template): Promise<string> {
  const path = join(temporaryFolder(), 'people.xlsx');
  await makeSheet(sheets, { template: from, channel: 'messenger', path, overwrite: false });
  return path;
}

describe('checkSheet', () => {
  it('finds nothing wrong with a good sheet', async () => {
    const path = await write([HEADER, `${user(1)},Ann,A-1`, ',,', `${user(2)},Bob,A-2`].join('\n'));
    expect(await check(path)).toEqual({
      ok: true,
      file: path,
      template: 'order_update',
      language: 'en_US',
      rows: 2,
      recipients: 2,
      counts: {},
      findings: [],
      truncated: false,
    });
  });

  it.each<[string, string, FindingCode, object]>([
    ['a changed header', 'User ID,order_no,name\n', 'HEADER_CHANGED', { found: ['User ID', 'order_no', 'name'] }],
    ['a header with one column more', `${HEADER},note\n`, 'HEADER_CHANGED', {}],
    ['no rows', `${HEADER}\n`, 'NO_ROWS', {}],
    ['no rows that hold anything', `${HEADER}\n,,\n , ,\n`, 'NO_ROWS', {}],
    ['a file of another kind', '%PDF-1.7 \u0000\u0001', 'FILE_NOT_WORKBOOK', {}],
  ])('says one thing about a file with %s', async (_, content, code, args) => {
    const report = await check(await write(content));
    expect(report).toMatchObject({ ok: false, recipients: 0, counts: { [code]: 1 } });
    expect(report.findings).toMatchObject([{ code, args }]);
  });

  it('says that there is no such file', async () => {
    expect((await check('/nowhere/people.csv')).findings).toMatchObject([{ code: 'FILE_NOT_FOUND' }]);
  });

  it('says what is wrong with each row, and counts the good ones', async () => {
    const path = await write(
      [
        HEADER,
        `${user(1)},Ann,A-1`,
        `${user(1)},Ann,A-2`,
        'abc,Ann,A-3',
        `${user(4)},,A-4`,
        `' ${user(5)},Ann,A-5`,
      ].join('\n'),
    );
    const report = await check(path);
    expect(report).toMatchObject({ ok: false, rows: 5, recipients: 2 });
    expect(report.findings.map(({ row, column, code }) => [row, column, code])).toEqual([
      [3, 'User ID', 'ID_DUPLICATE'],
      [4, 'User ID', 'ID_MALFORMED'],
      [5, 'name', 'VARIABLE_MISSING'],
      [6, 'User ID', 'ID_CLEANED'],
    ]);
  });

  it('counts every finding, lists a hundred of rows, and always those of the whole file', async () => {
    const rounded = Array.from({ length: 130 }, (_, n) => `7642925849${100 + n}00000,,A-1`);
    const report = await check(await write([HEADER, ...rounded].join('\n')));
    expect(report).toMatchObject({ truncated: true, counts: { VARIABLE_MISSING: 130, IDS_ROUNDED: 1 } });
    expect(report.findings).toHaveLength(LISTED_FINDINGS + 1);
    expect(report.findings.at(-1)).toMatchObject({ code: 'IDS_ROUNDED', row: null });
  });

  it('hands on every row that holds anything, in order', async () => {
    const path = await write([HEADER, `${user(1)},Ann,A-1`, '', 'abc,Ann,A-2', `${user(3)},Bob,A-3`].join('\n'));
    const seen: unknown[] = [];
    await check(path, {
      onRows: (rows) => {
        seen.push(...rows.map((one) => (one.kind === 'recipient' ? one.recipient.row : `${one.row} ${one.userId}`)));
        return Promise.resolve();
      },
    });
    expect(seen).toEqual([2, '4 abc', 5]);
  });

  it('knows a workbook that was made from another template, or from an older wording', async () => {
    for (const other of [
      { ...template, name: 'other' },
      { ...template, body: 'Hello {{name}}, {{order_no}}' },
    ]) {
      const report = await check(await made(other));
      expect(report.findings).toMatchObject([
        { code: 'TEMPLATE_MISMATCH', args: { expected: sheetOrigin(template), found: sheetOrigin(other) } },
      ]);
    }
    expect((await check(await made())).findings).toMatchObject([{ code: 'NO_ROWS' }]);
  });

  it('marks a copy that can be mended and checked again', async () => {
    const path = await write([HEADER, `${user(1)},Ann,A-1`, `${user(2)},,A-2`].join('\n'));
    const copy = join(temporaryFolder(), 'marked.xlsx');
    const mark = { path: copy, overwrite: false, describe: ({ code }: { code: string }) => `fault: ${code}` };
    const report = await check(path, { mark });
    const marked = await readPath(copy);
    expect(marked.header).toContain(MARK_HEADER);
    expect(marked.rows.map(({ cells }) => cells.at(-1))).toEqual([
      expect.not.stringContaining('fault'),
      'fault: VARIABLE_MISSING',
    ]);
    const again = await check(copy);
    expect([again.rows, again.recipients, again.counts]).toEqual([report.rows, report.recipients, report.counts]);
  });

  it('writes no copy of a file that cannot be read', async () => {
    const copy = join(temporaryFolder(), 'marked.xlsx');
    await check(await write('nothing\n'), { mark: { path: copy, overwrite: false, describe: () => '' } });
    expect((await check(copy)).counts).toEqual({ FILE_NOT_FOUND: 1 });
  });
});

describe('a marked copy that comes back unmended', () => {
  const id = textCell('A3', user(1));
  const name = textCell('B3', 'Bo');
  const order = textCell('C3', 'A-1');
  it.each<[what: string, cells: string, code: FindingCode]>([
    ['an id that is a number', `<c r="A3"><v>7642925849053947</v></c>${name}${order}`, 'ID_NOT_TEXT'],
    ['an id that is a date', `<c r="A3" s="1"><v>46357</v></c>${name}${order}`, 'ID_NOT_TEXT'],
    ['an id that is an error', `<c r="A3" t="e"><v>#N/A</v></c>${name}${order}`, 'CELL_ERROR'],
    ['an id that is a formula', `<c r="A3" t="str"><f>Z1</f><v>${user(1)}</v></c>${name}${order}`, 'CELL_FORMULA'],
    ['nothing but an id that is a number', '<c r="A3"><v>7642925849053947</v></c>', 'ID_NOT_TEXT'],
    ['nothing but a date', '<c r="B3" s="1"><v>46357</v></c>', 'CELL_NOT_TEXT'],
    ['a value that is a date', `${id}<c r="B3" s="1"><v>46357</v></c>${order}`, 'CELL_NOT_TEXT'],
    ['a value that is true', `${id}<c r="B3" t="b"><v>1</v></c>${order}`, 'CELL_NOT_TEXT'],
    ['a value of too many digits', `${id}<c r="B3"><v>1.23E+40</v></c>${order}`, 'CELL_NOT_TEXT'],
    ['a value that is an error', `${id}<c r="B3" t="e"><v>#N/A</v></c>${order}`, 'CELL_ERROR'],
    ['a value that is a formula', `${id}<c r="B3" t="str"><f>Z1</f><v>Bo</v></c>${order}`, 'CELL_FORMULA'],
    ['a formula that was never computed', `${id}<c r="B3"><f>Z1</f></c>${order}`, 'CELL_FORMULA'],
    ['a formula outside', `${id}${name}${order}<c r="E3"><f>Z1</f></c>`, 'CELL_OUTSIDE'],
    ['a number outside', `${id}${name}${order}<c r="E3"><v>5</v></c>`, 'CELL_OUTSIDE'],
    ['text outside', `${id}${name}${order}${textCell('E3', 'note')}`, 'CELL_OUTSIDE'],
    ['no id', `${name}${order}`, 'ID_MISSING'],
    ['an id with letters', `${textCell('A3', 'ann')}${name}${order}`, 'ID_MALFORMED'],
    ['a rounded id', `${textCell('A3', '7.64E+16')}${name}${order}`, 'ID_NOT_TEXT'],
    ['a phone number', `${textCell('A3', '+15550001111')}${name}${order}`, 'CHANNEL_MISMATCH'],
    ['no value', `${id}${order}`, 'VARIABLE_MISSING'],
    ['the same id with other values', `${textCell('A3', user(0))}${name}${order}`, 'ID_DUPLICATE'],
  ])('still has a fault in a row with %s', async (_, cells, code) => {
    const rows = `${textRow(1, 'User ID', 'name', 'order_no')}${textRow(2, user(0), 'Ann', 'A-0')}<row r="3">${cells}</row>`;
    const path = join(temporaryFolder(), 'people.xlsx');
    await writeFile(path, await workbook({ rows, formats: [0, 14] }));
    const copy = join(temporaryFolder(), 'marked.xlsx');
    const report = await check(path, { mark: { path: copy, overwrite: false, describe: () => 'fault' } });
    expect(report.findings).toMatchObject([...report.findings.map(() => ({ row: 3 }))]);
    expect(report.counts).toHaveProperty(code);
    const again = await check(copy);
    expect(again).toMatchObject({ ok: false, rows: 2, recipients: 1 });
    expect(again.findings.filter(({ row, severity }) => row === 3 && severity === 'error')).not.toEqual([]);
  });

  it('keeps plain whole numbers, and tells what it leaves out', async () => {
    const cells = `${textCell('A3', user(1))}<c r="B3"><v>7</v></c><c r="C3" t="str"><f>Z1</f><v>A-1</v></c>`;
    const path = join(temporaryFolder(), 'people.xlsx');
    await writeFile(
      path,
      await workbook({ rows: `${textRow(1, 'User ID', 'name', 'order_no')}<row r="3">${cells}</row>` }),
    );
    const copy = join(temporaryFolder(), 'marked.xlsx');
    await check(path, { mark: { path: copy, overwrite: false, describe: ({ code }, held) => `${code} ${held}` } });
    expect((await readPath(copy)).rows).toEqual([{ row: 3, cells: [user(1), '7', null, 'CELL_FORMULA A-1'] }]);
  });
});

describe('checkTypedIn', () => {
  const typed = (...ids: string[]) => checkTypedIn({ template, channel: 'messenger', ids, values: ['Ann', 'A-1'] });

  it('applies the same rules, and counts rows from 1', async () => {
    const report = await typed(user(1), user(1), 'abc', '+15550001111');
    expect(report).toMatchObject({ ok: false, file: 'typed in', rows: 4, recipients: 1 });
    expect(report.findings.map(({ row, code }) => [row, code])).toEqual([
      [2, 'ID_DUPLICATE'],
      [3, 'ID_MALFORMED'],
      [4, 'CHANNEL_MISMATCH'],
    ]);
    expect(await typed(user(1), user(2))).toMatchObject({ ok: true, recipients: 2, findings: [] });
  });
});

describe('readOrigin', () => {
  it('tells what a workbook was made from, and nothing of anything else', async () => {
    const origin = sheetOrigin(template);
    expect(await readOrigin(sheets, await made(), DEFAULT_LIMITS)).toEqual({ origin, fault: null });
    const csv = await write(`${HEADER}\n`);
    expect(await readOrigin(sheets, csv, DEFAULT_LIMITS)).toEqual({ origin: null, fault: null });
  });

  it.each([
    ['a file that is not there', () => Promise.resolve('/nowhere/people.csv'), 'FILE_NOT_FOUND'],
    ['an empty file', () => write('', 'x.xlsx'), 'FILE_TRUNCATED'],
    ['a PDF with another name', () => write('%PDF-1.7', 'x.xlsx'), 'FILE_NOT_WORKBOOK'],
  ])('passes on what is wrong with %s', async (_, path, code) => {
    expect(await readOrigin(sheets, await path(), DEFAULT_LIMITS)).toMatchObject({ origin: null, fault: { code } });
  });
});
