/** Writes the workbook about a campaign: what became of each recipient, who may be sent to again, and the counts. */
import { createWriteStream } from 'node:fs';
import { setImmediate as yieldToWriter } from 'node:timers/promises';
import type ExcelJS from 'exceljs';
import { Failure } from '../core/failure.js';
import { MARK_HEADER } from '../core/sheet.js';
import type { Sheets } from '../ports.js';
import { NewFile } from './new-file.js';
import { ORIGIN_FORMAT, ORIGIN_SHEET, RECIPIENTS_SHEET } from './workbook-names.js';

type Book = Parameters<Sheets['exportReport']>[1];

const LAST_ROW = 1_048_576;
/** With 200 rows at a time exceljs writes faster than the zip library packs, and a million rows wait in 500 MB. */
const YIELD_ROWS = 20;
/** What an Excel cell can hold; a longer text would make Excel call the file damaged. */
const CELL_CHARACTERS = 32_767;
/** The format that keeps Excel from reading digits as a number, which would cut an id to 15 of them. */
const TEXT = '@';
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
  const { default: exceljs } = await import('exceljs');
  const file = await NewFile.begin(path, overwrite);
  const stream = createWriteStream(file.temporary, { flush: true });
  const closed = new Promise<void>((resolve) => stream.once('close', resolve));
  // exceljs does not listen for errors before its last step, and a full disk may be met at the first.
  const failed = new Promise<never>((_, reject) => stream.once('error', reject));
  failed.catch(() => undefined);
  try {
    const workbook = new exceljs.stream.xlsx.WorkbookWriter({ stream, useStyles: true, useSharedStrings: false });
    workbook.creator = 'pagecast';
    workbook.lastModifiedBy = 'pagecast';
    const pace = async (count: number): Promise<void> => {
      if (count >= LAST_ROW) throw tooLong(path);
      if (count % YIELD_ROWS !== 0) return;
      await yieldToWriter();
      if (stream.errored) throw stream.errored;
    };
    // One sheet after the other: exceljs would keep all of a second one in memory while the first is being written.
    const work = async () => {
      const rows = await addTable(workbook, 'Report', report, pace);
      const people = await addTable(
        workbook,
        RECIPIENTS_SHEET,
        { header: [...recipients.header, MARK_HEADER], rows: recipients.rows },
        pace,
        recipients.header.length,
      );
      addTexts(workbook.addWorksheet('Summary'), summary);
      addTexts(workbook.addWorksheet(ORIGIN_SHEET, { state: 'veryHidden' }), [
        ['format', ORIGIN_FORMAT],
        ...Object.entries(recipients.origin as unknown as Record<string, string>),
      ]);
      await workbook.commit();
      await closed;
      return { rows, recipients: people };
    };
    const written = await Promise.race([work(), failed]);
    await file.keep();
    return written;
  } catch (error) {
    stream.destroy();
    await file.discard();
    throw file.failure(error);
  }
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

// ------------------------------------------------------------------------------------------------ as in workbook-writer.ts

function setText(cell: ExcelJS.Cell, text: string): void {
  cell.value = escapeText(cut(text, CELL_CHARACTERS));
}

/** At most so many UTF-16 units, without leaving half a surrogate pair. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '') + '…';
}

/**
 * What XML cannot hold, or would change, in the spelling of workbooks: control characters, and the line breaks that XML
 * turns into others. A text that already looks like that spelling is kept apart from it.
 */
function escapeText(text: string): string {
  return (
    text
      .replace(/\p{Surrogate}/gu, '\ufffd')
      .replace(/_(?=x[0-9A-Fa-f]{4}_)/g, '_x005F_')
      // eslint-disable-next-line no-control-regex -- control characters are what this is about
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f\ufffe\uffff]/g, (character) => {
        return `_x${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}_`;
      })
  );
}

function solid(argb: string): ExcelJS.FillPattern {
  return { type: 'pattern', pattern: 'solid', fgColor: { argb } };
}
