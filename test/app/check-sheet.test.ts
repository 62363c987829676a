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
import { readPath } from '../support/workbooks.js';

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
    expect(await readOrigin(sheets, await made(), DEFAULT_LIMITS)).toEqual(sheetOrigin(template));
    for (const path of [await write(`${HEADER}\n`), '/nowhere/people.csv', await write('\u0000', 'x.xlsx')]) {
      expect(await readOrigin(sheets, path, DEFAULT_LIMITS)).toBeNull();
    }
  });
});
