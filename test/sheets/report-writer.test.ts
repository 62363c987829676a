import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import ExcelJS from 'exceljs';
import { describe, expect, it } from 'vitest';
import { checkSheet } from '../../src/app/check-sheet.js';
import { sheetOrigin } from '../../src/app/make-sheet.js';
import { reportCampaign, unreached } from '../../src/app/report.js';
import { MARK_HEADER } from '../../src/core/sheet.js';
import { SheetFault, type Sheets } from '../../src/ports.js';
import { createSheets, DEFAULT_LIMITS } from '../../src/sheets/index.js';
import {
  accountKey,
  failureOf,
  NOW,
  openLedger,
  readyCampaign,
  row,
  rows,
  starting,
  template,
  temporaryFolder,
} from '../support/fixtures.js';
import { readPath, stoppedClock } from '../support/workbooks.js';

type Book = Parameters<Sheets['exportReport']>[1];

const sheets = createSheets(stoppedClock);
const ID = '76429258490539471';
const HEADER = ['User ID', 'name', 'order_no'];

async function* each<T>(values: Iterable<T>): AsyncGenerator<T, void, undefined> {
  for (const value of values) yield await Promise.resolve(value);
}

function book(change: Partial<Book> = {}): Book {
  return {
    report: { header: ['Row', ...HEADER, 'State'], rows: each([['2', ID, 'Ann', 'A-1', 'sent']]) },
    recipients: {
      header: HEADER,
      rows: each([[ID, 'Ann', 'A-1', 'row 2 failed']]),
      origin: sheetOrigin(template),
    },
    summary: [['State', 'Rows'], ['sent', '1'], [], ['total', '1']],
    ...change,
  };
}

function target(): string {
  return join(temporaryFolder(), 'report.xlsx');
}

function check(path: string) {
  return checkSheet(sheets, { path, template, channel: 'messenger', limits: DEFAULT_LIMITS });
}

async function opened(path: string): Promise<ExcelJS.Workbook> {
  const workbook = new ExcelJS.Workbook();
  await workbook.xlsx.readFile(path);
  return workbook;
}

describe('the workbook about a campaign', () => {
  it('has three sheets of texts, and says what its recipients are made for', async () => {
    const path = target();
    expect(await sheets.exportReport(path, book(), false)).toEqual({ rows: 1, recipients: 1 });
    const workbook = await opened(path);
    expect(workbook.worksheets.map(({ name, state }) => [name, state])).toEqual([
      ['Report', 'visible'],
      ['Recipients', 'visible'],
      ['Summary', 'visible'],
      ['_pagecast', 'veryHidden'],
    ]);
    const report = workbook.getWorksheet('Report')!;
    expect(report.views[0]).toMatchObject({ state: 'frozen', ySplit: 1 });
    expect(report.autoFilter).toBe('A1:E2');
    expect((report.getRow(2).values as string[]).slice(1)).toEqual(['2', ID, 'Ann', 'A-1', 'sent']);
    workbook.eachSheet((sheet) => {
      sheet.eachRow((line) => {
        line.eachCell((cell) => {
          expect(cell.type).toBe(ExcelJS.ValueType.String);
          if (sheet.state === 'visible') expect(cell.numFmt).toBe('@');
        });
      });
    });
    const { header, origin, rows: read } = await readPath(path);
    expect(header).toEqual([...HEADER, MARK_HEADER]);
    expect(origin).toEqual(sheetOrigin(template));
    expect(read).toEqual([{ row: 2, cells: [ID, 'Ann', 'A-1', 'row 2 failed'] }]);
  });

  it('bears texts that XML and Excel would stumble over', async () => {
    const path = target();
    const wild = ['=1+1', '_x000D_', 'a\r\nb\u0001', '<&">]]>\u202e😀\ud800'];
    await sheets.exportReport(path, book({ recipients: { ...book().recipients, rows: each([wild]) } }), false);
    const { rows: read } = await readPath(path);
    expect(read[0]?.cells).toEqual(['=1+1', '_x000D_', 'a\r\nb\u0001', '<&">]]>\u202e😀\ufffd']);
  });

  it('has a sheet of recipients even when everybody got the message', async () => {
    const path = target();
    const none = { ...book().recipients, rows: each<string[]>([]) };
    expect(await sheets.exportReport(path, book({ recipients: none }), false)).toEqual({ rows: 1, recipients: 0 });
    expect((await check(path)).counts).toEqual({ NO_ROWS: 1 });
  });

  it('takes the place of a file only when told to', async () => {
    const path = target();
    await sheets.exportReport(path, book(), false);
    expect(await failureOf(sheets.exportReport(path, book(), false))).toBe('FILE_EXISTS');
    await sheets.exportReport(path, book(), true);
    expect(await failureOf(sheets.exportReport(join(path, 'no', 'r.xlsx'), book(), false))).toBe('FILE_UNWRITABLE');
  });

  it('leaves nothing behind when the rows cannot be read to their end', async () => {
    const path = target();
    async function* broken(): AsyncGenerator<string[], void, undefined> {
      yield await Promise.resolve(['2']);
      throw new SheetFault({ code: 'NO_ROWS', severity: 'error', row: null, column: null, args: {} });
    }
    const work = sheets.exportReport(path, book({ report: { header: ['Row'], rows: broken() } }), false);
    await expect(work).rejects.toBeInstanceOf(SheetFault);
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  it('stops at the last row that Excel knows', async () => {
    function* endless(): Generator<string[]> {
      for (;;) yield [];
    }
    const path = target();
    const work = sheets.exportReport(path, book({ report: { header: ['Row'], rows: each(endless()) } }), false);
    expect(await failureOf(work)).toBe('FILE_UNWRITABLE');
  }, 60_000);
});

describe('the recipients of the workbook about a campaign', () => {
  it('pass the check again, with every digit, and without anybody who got the message', async () => {
    const { store, engine } = openLedger();
    const id = (seq: number): string => String(76_429_258_490_539_471n + BigInt(seq) * 10n);
    const staged = [
      ...rows(6, (seq) => ({ userId: id(seq) })),
      row(7, { userId: id(7), reason: 'window_closed', closesAt: null }),
      row(8, { userId: id(1), reason: 'duplicate', closesAt: null }),
    ];
    await readyCampaign(store, staged);
    const lease = (await engine.own(accountKey, NOW))!;
    const error = { code: '551/1545041', message: 'not available' };
    await store.start(lease, 'c1', NOW);
    await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1, 2, 3, 4, 5) }, NOW);
    await store.record(
      lease,
      'c1',
      {
        settled: [
          { seq: 1, state: 'sent', messageId: 'm1' },
          { seq: 2, state: 'failed', error },
          { seq: 3, state: 'unknown', error: { code: 'TIMEOUT', message: 'no answer' } },
          { seq: 4, state: 'failed', error },
        ],
        skipped: [],
        started: [],
      },
      NOW,
    );
    const path = target();
    const people = unreached(store, await reportCampaign(store, 'c1'));
    async function* marked(): AsyncGenerator<string[], void, undefined> {
      for await (const one of people.rows) yield [...one.cells, `row ${one.row.seq}`];
    }
    const recipients = { header: people.header, rows: marked(), origin: sheetOrigin(template) };
    await sheets.exportReport(path, book({ recipients }), false);

    const report = await check(path);
    expect(report).toMatchObject({ ok: true, rows: 3, recipients: 3, findings: [] });
    const { rows: read } = await readPath(path);
    expect(read.map(({ cells }) => cells)).toEqual([
      [id(2), 'Ann', 'A-2', 'row 2'],
      [id(4), 'Ann', 'A-4', 'row 4'],
      [id(7), 'Ann', 'A-7', 'row 7'],
    ]);
  });
});
