/** Workbooks of any length, written row by row, and texts as they can stand in a cell. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { setImmediate as yieldToWriter } from 'node:timers/promises';
import type ExcelJS from 'exceljs';
import type { SheetOrigin } from '../core/finding.js';
import { NewFile } from './new-file.js';
import { ORIGIN_FORMAT, ORIGIN_SHEET } from './workbook-names.js';

/** Excel's own bound. */
export const LAST_ROW = 1_048_576;
/** With 200 rows at a time exceljs writes faster than the zip library packs, and a million rows wait in 500 MB. */
const YIELD_ROWS = 20;
/** What an Excel cell can hold; a longer text would make Excel call the file damaged. */
const CELL_CHARACTERS = 32_767;
/** The format that keeps Excel from reading digits as a number, which would cut an id to 15 of them. */
export const TEXT = '@';

/** A workbook of any length, written row by row to a file that appears when it is finished. */
export class StreamedWorkbook {
  readonly workbook: ExcelJS.stream.xlsx.WorkbookWriter;
  readonly #file: NewFile;
  readonly #stream: WriteStream;
  readonly #failed: Promise<never>;
  #error: unknown = null;
  #rows = 0;

  private constructor(workbook: ExcelJS.stream.xlsx.WorkbookWriter, file: NewFile, stream: WriteStream) {
    this.workbook = workbook;
    this.#file = file;
    this.#stream = stream;
    // exceljs does not listen for errors before its last step, and a full disk may be met at the first.
    this.#failed = new Promise((_, reject) => {
      stream.once('error', (error) => {
        this.#error = error;
        reject(error);
      });
    });
    this.#failed.catch(() => undefined);
  }

  static async begin(path: string, overwrite: boolean): Promise<StreamedWorkbook> {
    const { default: exceljs } = await import('exceljs');
    const file = await NewFile.begin(path, overwrite);
    const stream = createWriteStream(file.temporary, { flush: true });
    const workbook = new exceljs.stream.xlsx.WorkbookWriter({ stream, useStyles: true, useSharedStrings: false });
    workbook.creator = 'pagecast';
    workbook.lastModifiedBy = 'pagecast';
    return new StreamedWorkbook(workbook, file, stream);
  }

  addSheet(name: string, frozenHeader: boolean): ExcelJS.Worksheet {
    return this.workbook.addWorksheet(name, frozenHeader ? { views: [{ state: 'frozen', ySplit: 1 }] } : {});
  }

  /** To be awaited after each row: lets what is written so far reach the disk, as exceljs would queue it without bounds. */
  async pace(): Promise<void> {
    this.#rows += 1;
    if (this.#rows % YIELD_ROWS !== 0) return;
    await yieldToWriter();
    if (this.#error !== null) throw this.#file.failure(this.#error);
  }

  async finish(): Promise<void> {
    try {
      const closed = new Promise<void>((resolve) => this.#stream.once('close', resolve));
      await Promise.race([this.workbook.commit().then(() => closed), this.#failed]);
    } catch (error) {
      await this.abandon();
      throw this.#file.failure(error);
    }
    await this.#file.keep();
  }

  async abandon(): Promise<void> {
    this.#stream.destroy();
    await this.#file.discard();
  }
}

export function addOriginSheet(workbook: ExcelJS.Workbook, origin: SheetOrigin): void {
  const sheet = workbook.addWorksheet(ORIGIN_SHEET, { state: 'veryHidden' });
  const entries = { format: ORIGIN_FORMAT, ...origin };
  for (const [key, value] of Object.entries(entries)) sheet.addRow([key, escapeText(value)]).commit();
}

export function setText(cell: ExcelJS.Cell, text: string): void {
  cell.value = escapeText(cut(text, CELL_CHARACTERS));
}

/** At most so many UTF-16 units, without leaving half a surrogate pair. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '') + '…';
}

/**
 * What XML cannot hold, or would change, in the spelling of workbooks: control characters, and the line breaks that XML
 * turns into others. A text that already looks like that spelling is kept apart from it.
 */
export function escapeText(text: string): string {
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

export function solid(argb: string): ExcelJS.FillPattern {
  return { type: 'pattern', pattern: 'solid', fgColor: { argb } };
}
