/** Recipient sheets for the starter `order_update`, good and bad, as they come back from people and programs. */
import { readFile, writeFile } from 'node:fs/promises';
import yauzl from 'yauzl';
import { MAIN, parts, relation, relationsXml, sheetXml, textRow, workbook, zip } from './workbooks.js';
import { personId } from './workspace.js';

export const HEADER = ['User ID', 'name', 'order_no', 'date'];

/** A row of `order_update`; what is given replaces the good value. */
export function orderRow(
  index: number,
  given: { id?: string; name?: string; order?: string; date?: string } = {},
): string[] {
  const { id = personId(index), name = 'Ann', order = `A-${index}`, date = '1 Dec' } = given;
  return [id, name, order, date];
}

/** A workbook of texts, as another program writes it; rows begin at 1. */
export function textWorkbook(...rows: string[][]): Promise<Buffer> {
  return workbook({ rows: rows.map((row, index) => textRow(index + 1, ...row)).join('') });
}

/** A workbook with one good row and one made of raw cells, which stands in row 3. */
export function rawWorkbook(cells: string): Promise<Buffer> {
  const rows = `${textRow(1, ...HEADER)}${textRow(2, ...orderRow(0))}<row r="3">${cells}</row>`;
  return workbook({ rows, formats: [0, 14] });
}

export function rawText(place: string, text: string): string {
  return `<c r="${place}" t="inlineStr"><is><t>${text}</t></is></c>`;
}

/** A file of the kind that Office used before 2007, with one stream. */
export function oldOffice(stream: string): Buffer {
  const file = Buffer.alloc(4096);
  Buffer.from('d0cf11e0a1b11ae1', 'hex').copy(file);
  Buffer.from(`${stream}\0`, 'utf16le').copy(file, 1024);
  return file;
}

/** Two gigabytes of spaces in a few kilobytes could be had as well; 60 MB are enough to be caught. */
export function zipBomb(): Promise<Buffer> {
  return zip({ ...parts(), 'xl/worksheets/sheet1.xml': Buffer.alloc(60_000_000, 32) }, { level: 9 });
}

export function entityBomb(): Promise<Buffer> {
  const lol = Array.from({ length: 9 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`).join('');
  const bomb = `<?xml version="1.0"?><!DOCTYPE worksheet [<!ENTITY l0 "lol">${lol}]><worksheet xmlns="${MAIN}"><sheetData><row r="1">${rawText('A1', '&l9;')}</row></sheetData></worksheet>`;
  return zip({ ...parts(), 'xl/worksheets/sheet1.xml': bomb });
}

/** What a spreadsheet program writes when somebody has formatted whole columns: every row there is, all but a few blank. */
export function styledBlankRows(filled: readonly string[][]): Promise<Buffer> {
  const made = parts({ formats: [0, 49] });
  const rows = [HEADER, ...filled].map((row, index) => textRow(index + 1, ...row));
  for (let row = filled.length + 2; row <= 1_048_576; row += 1)
    rows.push(`<row r="${row}" s="1"><c r="A${row}" s="1"/></row>`);
  return zip({
    ...made,
    'xl/_rels/workbook.xml.rels': relationsXml(
      relation('rId1', 'worksheet', 'worksheets/sheet1.xml'),
      relation('rId3', 'styles', 'styles.xml'),
    ),
    'xl/worksheets/sheet1.xml': sheetXml(rows.join('')),
  });
}

/** Fills in a workbook that pagecast has made, as a spreadsheet program would: only the cells of its rows change. */
export async function fillIn(file: string, ...rows: string[][]): Promise<void> {
  const made = await unzip(await readFile(file));
  const name = 'xl/worksheets/sheet1.xml';
  const sheet = made[name]?.toString() ?? '';
  const filled = rows.map((row, index) => textRow(index + 2, ...row)).join('');
  const changed = sheet.replace('</sheetData>', `${filled}</sheetData>`);
  if (changed === sheet) throw new Error(`there are no rows in ${Object.keys(made).join(', ')}`);
  await writeFile(file, await zip({ ...made, [name]: changed }));
}

async function unzip(bytes: Buffer): Promise<Record<string, Buffer>> {
  const file = await yauzl.fromBufferPromise(bytes, {});
  const made: Record<string, Buffer> = {};
  for await (const entry of file.eachEntry()) {
    if (entry.fileName.endsWith('/')) continue;
    const chunks: Buffer[] = [];
    for await (const chunk of await file.openReadStreamPromise(entry)) chunks.push(chunk as Buffer);
    made[entry.fileName] = Buffer.concat(chunks);
  }
  return made;
}
