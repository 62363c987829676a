/** Writes a table of texts as .xlsx or .csv. */
import { open } from 'node:fs/promises';
import { Failure } from '../core/failure.js';
import { NewFile } from './new-file.js';

/** How much CSV is put together before it is written. */
const BLOCK_CHARACTERS = 256 * 1024;

/** @returns how many rows were written. @throws Failure USAGE, FILE_EXISTS, FILE_UNWRITABLE */
export async function exportTable(
  path: string,
  header: readonly string[],
  rows: AsyncIterable<readonly string[]>,
  overwrite: boolean,
): Promise<number> {
  if (/\.xlsx$/i.test(path)) {
    const { exportWorkbook } = await import('./workbook-writer.js');
    return exportWorkbook(path, header, rows, overwrite);
  }
  if (/\.csv$/i.test(path)) return exportCsv(path, header, rows, overwrite);
  throw new Failure('USAGE', `${path} is neither a .xlsx nor a .csv file.`, 'End the name with .xlsx or .csv.');
}

async function exportCsv(
  path: string,
  header: readonly string[],
  rows: AsyncIterable<readonly string[]>,
  overwrite: boolean,
): Promise<number> {
  const file = await NewFile.begin(path, overwrite);
  let count = 0;
  try {
    const output = await open(file.temporary, 'wx');
    try {
      // Without the mark Excel would read UTF-8 as the country's old encoding.
      let block = '\ufeff' + csvLine(header);
      for await (const row of rows) {
        count += 1;
        block += csvLine(row);
        if (block.length >= BLOCK_CHARACTERS) {
          await output.appendFile(block);
          block = '';
        }
      }
      await output.appendFile(block);
      await output.sync();
    } finally {
      await output.close();
    }
  } catch (error) {
    await file.discard();
    throw file.failure(error);
  }
  await file.keep();
  return count;
}

function csvLine(texts: readonly string[]): string {
  return texts.map(csvCell).join(',') + '\r\n';
}

function csvCell(text: string): string {
  const safe = isFormula(text) ? `'${text}` : text;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** What a spreadsheet program would compute or run when it opens the file. A phone number is nothing of the kind. */
function isFormula(text: string): boolean {
  return /^[=+\-@\t\r]/.test(text) && !/^\+\d+$/.test(text);
}
