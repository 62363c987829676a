/** Writes workbooks: the empty recipient sheet, its marked copy, and tables. Nothing else knows exceljs. */
import { writeFile } from 'node:fs/promises';
import type ExcelJS from 'exceljs';
import { Failure } from '../core/failure.js';
import type { SheetOrigin } from '../core/finding.js';
import { MARK_HEADER, columnName, type Cell, type SheetRow } from '../core/sheet.js';
import type { MarkedCopy, SheetDraft } from '../ports.js';
import { NewFile } from './new-file.js';
import {
  addOriginSheet,
  cut,
  escapeText,
  LAST_ROW,
  setText,
  solid,
  StreamedWorkbook,
  TEXT,
} from './streamed-workbook.js';
import { RECIPIENTS_SHEET } from './workbook-names.js';

const HELP_SHEET = 'How to fill in';
const LAST_COLUMN = 16_384;
const DEFAULT_WIDTH = 9;
/**
 * Input messages reach so far: for programs that keep a validation for each single cell (exceljs among them) a million rows
 * cost seconds and hundreds of megabytes.
 */
const PROMPTED_ROWS = 1000;
/** Excel cuts titles of input messages at 32 characters and their texts at 255, and calls longer ones damage. */
const PROMPT_TITLE = 32;
const PROMPT = 255;

const HEADER_FONT = { bold: true };
const HEADER_FILL = solid('FFDDE7F3');
const FAULT_FILL = solid('FFFFD6D6');
const NOTE_FILL = solid('FFFFF3C4');
/** Two sheets made from the same template are the same to the byte. */
const NO_DATE = new Date(Date.UTC(2020, 0, 1));

/**
 * The header is locked, everything else can be worked with. It guards against mistakes, not against people: there is no
 * password, and the header is checked again on reading.
 */
const PROTECTION: Partial<ExcelJS.WorksheetProtection> = {
  selectLockedCells: true,
  selectUnlockedCells: true,
  formatCells: true,
  formatColumns: true,
  formatRows: true,
  insertRows: true,
  deleteRows: true,
  insertHyperlinks: true,
  sort: true,
  autoFilter: true,
  // exceljs would spend 200 ms on hashing the password that there is not.
  spinCount: 1,
};

// ------------------------------------------------------------------------------------------------ the empty sheet

/** @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
export async function createSheet(path: string, draft: SheetDraft, overwrite: boolean): Promise<void> {
  const file = await NewFile.begin(path, overwrite);
  try {
    const bytes = await buildSheet(draft);
    await writeFile(file.temporary, bytes, { flush: true });
  } catch (error) {
    await file.discard();
    throw file.failure(error);
  }
  await file.keep();
}

async function buildSheet(draft: SheetDraft): Promise<Buffer> {
  const { default: exceljs } = await import('exceljs');
  const workbook = new exceljs.Workbook();
  workbook.creator = 'pagecast';
  workbook.lastModifiedBy = 'pagecast';
  workbook.created = NO_DATE;
  workbook.modified = NO_DATE;
  const sheet = workbook.addWorksheet(RECIPIENTS_SHEET, { views: [{ state: 'frozen', ySplit: 1 }] });
  layOutColumns(sheet, draft.header, (index) => draft.help[index]?.example ?? '');
  // Excel lets a row be deleted only when each of its cells is unlocked, to the last column.
  for (let index = draft.header.length + 1; index <= LAST_COLUMN; index += 1) {
    const column = sheet.getColumn(index);
    column.protection = { locked: false };
    // exceljs merges like columns into one entry only when their width is given; without it the file grows tenfold.
    column.width = DEFAULT_WIDTH;
  }
  const header = sheet.getRow(1);
  fillHeader(header, draft.header);
  draft.header.forEach((name, index) => {
    const help = draft.help[index];
    if (help === undefined) return;
    const lines = [help.text, help.example === '' ? '' : `Example: ${help.example}`].filter((line) => line !== '');
    header.getCell(index + 1).note = { texts: [{ text: escapeText(lines.join('\n')) }], editAs: 'oneCells' };
    const column = columnName(index);
    validations(sheet).add(`${column}2:${column}${PROMPTED_ROWS}`, {
      type: 'any',
      showInputMessage: true,
      promptTitle: escapeText(cut(name, PROMPT_TITLE)),
      // In an attribute XML would make a space of a line break.
      prompt: escapeText(cut(lines.join('\n'), PROMPT)).replaceAll('\n', '_x000A_'),
    });
  });
  await sheet.protect('', { ...PROTECTION });
  addHelpSheet(workbook, draft);
  addOriginSheet(workbook, draft.origin);
  return withoutDates(Buffer.from(await workbook.xlsx.writeBuffer()));
}

function addHelpSheet(workbook: ExcelJS.Workbook, draft: SheetDraft): void {
  const sheet = workbook.addWorksheet(HELP_SHEET);
  const id = draft.header[0] ?? '';
  sheet.getColumn(1).width = 28;
  sheet.getColumn(2).width = 60;
  for (let column = 3; column <= Math.max(3, draft.header.length); column += 1) sheet.getColumn(column).width = 28;
  const add = (values: string[], bold = false) => {
    const row = sheet.addRow(values.map(escapeText));
    row.eachCell((cell) => {
      cell.numFmt = TEXT;
      if (bold) cell.font = HEADER_FONT;
    });
    return row;
  };
  add([`Recipients of "${draft.template.name}" (${draft.template.language})`], true);
  add([]);
  add([`1. On the sheet "${RECIPIENTS_SHEET}", give each person one row below the header.`]);
  add(['2. Leave the header as it is: names and order of the columns must not change.']);
  add([`3. Paste as values or as text. "${id}" must stay text: as a number it would lose its last digits.`]);
  add(['4. Leave no cell of a row empty, and write no formulas.']);
  add(['5. Save the workbook as .xlsx and send it back.']);
  add([]);
  add(['Column', 'What goes there', 'Example'], true).eachCell((cell) => (cell.fill = HEADER_FILL));
  draft.header.forEach((name, index) => {
    const row = add([name, draft.help[index]?.text ?? '', draft.help[index]?.example ?? '']);
    row.getCell(2).alignment = { wrapText: true, vertical: 'top' };
  });
  add([]);
  add(['A filled row looks like this:'], true);
  add([...draft.header], true).eachCell((cell) => (cell.fill = HEADER_FILL));
  add(draft.header.map((_, index) => draft.help[index]?.example ?? ''));
}

// ------------------------------------------------------------------------------------------------ the marked copy

/** @throws Failure FILE_EXISTS, FILE_UNWRITABLE; so do its methods */
export async function startMarkedCopy(
  path: string,
  header: readonly Cell[],
  origin: SheetOrigin | null,
  overwrite: boolean,
): Promise<MarkedCopy> {
  const stream = await StreamedWorkbook.begin(path, overwrite);
  // A copy that is marked again gets its marks anew.
  const formerMark = header.findIndex((cell) => textOf(cell) === MARK_HEADER);
  const kept = without(header, formerMark).map(textOf);
  while (kept.at(-1) === '') kept.pop();
  const mark = kept.length;
  const sheet = stream.addSheet(RECIPIENTS_SHEET, true);
  layOutColumns(sheet, kept, () => '');
  const markColumn = sheet.getColumn(mark + 1);
  markColumn.width = 60;
  markColumn.style = { numFmt: TEXT, protection: { locked: false }, alignment: { wrapText: true, vertical: 'top' } };
  fillHeader(sheet.getRow(1), [...kept, MARK_HEADER]);
  sheet.getRow(1).commit();
  await sheet.protect('', { ...PROTECTION });
  let next = 2;

  return {
    add: async ({ row, cells }: SheetRow, notes) => {
      // Numbers of rows stay what they are in the original, as the sentences name them; exceljs wants them all in turn.
      for (; next < row; next += 1) sheet.getRow(next).commit();
      next = row + 1;
      const line = sheet.getRow(row);
      const place = (index: number) => placeBeside(index, formerMark, mark);
      cells.forEach((cell, index) => {
        const text = textOf(cell);
        if (index !== formerMark && text !== '') setText(line.getCell(place(index) + 1), text);
      });
      if (notes.length > 0) {
        const cell = line.getCell(mark + 1);
        setText(cell, notes.map((note) => note.text).join('\n'));
        cell.fill = NOTE_FILL;
      }
      for (const { column } of notes) {
        if (column === null) continue;
        const cell = line.getCell(place(column) + 1);
        // A cell without a value is written only if it has a value that is null.
        cell.value ??= null;
        cell.fill = FAULT_FILL;
      }
      line.commit();
      await stream.pace();
    },
    finish: async () => {
      if (origin !== null) addOriginSheet(stream.workbook, origin);
      await stream.finish();
    },
    abandon: () => stream.abandon(),
  };
}

/** Where a cell of the original stands in the copy: what stood right of the header makes room for the marks. */
function placeBeside(index: number, formerMark: number, mark: number): number {
  const place = formerMark !== -1 && index > formerMark ? index - 1 : index;
  return place >= mark ? place + 1 : place;
}

function without(cells: readonly Cell[], index: number): readonly Cell[] {
  return index === -1 ? cells : cells.filter((_, at) => at !== index);
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : (cell?.text ?? '');
}

// ------------------------------------------------------------------------------------------------ tables

/** @returns how many rows were written. @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
export async function exportWorkbook(
  path: string,
  header: readonly string[],
  rows: AsyncIterable<readonly string[]>,
  overwrite: boolean,
): Promise<number> {
  const stream = await StreamedWorkbook.begin(path, overwrite);
  let count = 0;
  try {
    const sheet = stream.addSheet('Table', true);
    layOutColumns(sheet, header, () => '');
    fillHeader(sheet.getRow(1), header);
    sheet.getRow(1).commit();
    for await (const values of rows) {
      count += 1;
      if (count >= LAST_ROW) {
        throw new Failure(
          'FILE_UNWRITABLE',
          `${path} cannot be written: Excel knows only ${LAST_ROW} rows.`,
          'Write a .csv file instead.',
        );
      }
      const row = sheet.getRow(count + 1);
      values.forEach((text, index) => {
        if (text !== '') setText(row.getCell(index + 1), text);
      });
      row.commit();
      await stream.pace();
    }
  } catch (error) {
    await stream.abandon();
    throw error;
  }
  await stream.finish();
  return count;
}

// ------------------------------------------------------------------------------------------------ what all have in common

/** Text to the last row, unlocked, and wide enough for what belongs there. */
function layOutColumns(sheet: ExcelJS.Worksheet, header: readonly string[], example: (index: number) => string): void {
  header.forEach((name, index) => {
    const column = sheet.getColumn(index + 1);
    const longest = Math.max(name.length, example(index).length, index === 0 ? 20 : 12);
    column.width = Math.min(longest + 4, 50);
    column.style = { numFmt: TEXT, protection: { locked: false } };
  });
}

function fillHeader(row: ExcelJS.Row, header: readonly string[]): void {
  // The row's own style locks the cells right of the header too.
  row.protection = { locked: true };
  header.forEach((name, index) => {
    const cell = row.getCell(index + 1);
    cell.value = escapeText(name);
    cell.style = { numFmt: TEXT, font: HEADER_FONT, fill: HEADER_FILL, protection: { locked: true } };
  });
}

interface Prompt {
  type: 'any';
  showInputMessage: true;
  promptTitle: string;
  prompt: string;
}

/** exceljs has validations for ranges, but its types do not say so; through single cells it would write a million. */
function validations(sheet: ExcelJS.Worksheet): { add(range: string, prompt: Prompt): void } {
  return (sheet as unknown as { dataValidations: { add(range: string, prompt: Prompt): void } }).dataValidations;
}

/** Overwrites the times that the zip library puts beside each part (DOS date and time: 1 January 2020, midnight). */
function withoutDates(zip: Buffer): Buffer {
  const TIME = Buffer.from([0, 0, 0x21, 0x50]);
  const end = zip.length - 22;
  let at = zip.readUInt32LE(end + 16);
  for (let entry = zip.readUInt16LE(end + 10); entry > 0; entry -= 1) {
    TIME.copy(zip, at + 12);
    TIME.copy(zip, zip.readUInt32LE(at + 42) + 10);
    at += 46 + zip.readUInt16LE(at + 28) + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return zip;
}
