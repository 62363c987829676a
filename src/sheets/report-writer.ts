/** Writes the workbook about a campaign: what became of each recipient, who may be sent to again, and the counts. */
import type ExcelJS from 'exceljs';
import { Failure } from '../core/failure.js';
import { MARK_HEADER } from '../core/sheet.js';
import type { Sheets } from '../ports.js';
import { addOriginSheet, escapeText, LAST_ROW, setText, solid, StreamedWorkbook, TEXT } from './streamed-workbook.js';
import { RECIPIENTS_SHEET } from './workbook-names.js';

type Book = Parameters<Sheets['exportReport']>[1];

const HEADER_STYLE: Partial<ExcelJS.Style> = { numFmt: TEXT, font: { bold: true }, fill: solid('FFDDE7F3') };
const MARK_STYLE: Partial<ExcelJS.Style> = {
  numFmt: TEXT,
  fill: solid('FFFFF3C4'),
  alignment: { wrapText: true, vertical: 'top' },
};

/** @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
export async function exportReport(
  path: string,
  { report, recipients, summary }: Book,
  overwrite: boolean,
): Promise<{ rows: number; recipients: number }> {
  const stream = await StreamedWorkbook.begin(path, overwrite);
  const { workbook } = stream;
  const pace = async (count: number): Promise<void> => {
    if (count >= LAST_ROW) throw tooLong(path);
    await stream.pace();
  };
  let written: { rows: number; recipients: number };
  try {
    // One sheet after the other: exceljs would keep all of a second one in memory while the first is being written.
    const rows = await addTable(workbook, 'Report', report, pace);
    const people = await addTable(
      workbook,
      RECIPIENTS_SHEET,
      { header: [...recipients.header, MARK_HEADER], rows: recipients.rows },
      pace,
      recipients.header.length,
    );
    addTexts(workbook.addWorksheet('Summary'), summary);
    addOriginSheet(workbook, recipients.origin);
    written = { rows, recipients: people };
  } catch (error) {
    await stream.abandon();
    throw error;
  }
  await stream.finish();
  return written;
}

function tooLong(path: string): Failure {
  return new Failure(
    'FILE_UNWRITABLE',
    `${path} cannot be written: Excel knows only ${LAST_ROW} rows.`,
    'Write the messages to a .csv file instead: pagecast message list --csv FILE',
  );
}

/**
 * Adds a sheet with a header that stays in sight and can be filtered by.
 * @param pace is awaited after each row: lets what is written so far reach the disk, as exceljs would queue it without bounds
 * @param mark the column from 0 that says what to mend
 * @returns how many rows there are below the header
 */
async function addTable(
  workbook: ExcelJS.stream.xlsx.WorkbookWriter,
  name: string,
  { header, rows }: Book['report'],
  pace: (count: number) => Promise<void>,
  mark?: number,
): Promise<number> {
  const sheet = workbook.addWorksheet(name, { views: [{ state: 'frozen', ySplit: 1 }] });
  header.forEach((title, index) => {
    const column = sheet.getColumn(index + 1);
    column.width = index === mark ? 60 : Math.min(Math.max(title.length + 4, index < 2 ? 20 : 14), 50);
    // To the last row, so that what is pasted below stays text, too.
    column.style = { numFmt: TEXT };
  });
  const first = sheet.getRow(1);
  header.forEach((title, index) => {
    const cell = first.getCell(index + 1);
    cell.value = escapeText(title);
    cell.style = HEADER_STYLE;
  });
  first.commit();
  let count = 0;
  for await (const texts of rows) {
    count += 1;
    const row = sheet.getRow(count + 1);
    texts.forEach((text, index) => {
      if (text === '') return;
      const cell = row.getCell(index + 1);
      setText(cell, text);
      if (index === mark) cell.style = MARK_STYLE;
    });
    row.commit();
    await pace(count);
  }
  sheet.autoFilter = { from: { row: 1, column: 1 }, to: { row: count + 1, column: header.length } };
  sheet.commit();
  return count;
}

function addTexts(sheet: ExcelJS.Worksheet, rows: readonly (readonly string[])[]): void {
  sheet.getColumn(1).width = 40;
  sheet.getColumn(2).width = 24;
  rows.forEach((texts, index) => {
    const row = sheet.getRow(index + 1);
    texts.forEach((text, column) => {
      const cell = row.getCell(column + 1);
      setText(cell, text);
      cell.numFmt = TEXT;
    });
    row.commit();
  });
  (sheet as unknown as { commit(): void }).commit();
}
