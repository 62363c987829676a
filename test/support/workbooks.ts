/** Workbooks of every kind, made of parts that a test can read; and what reading a file comes to. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import yazl from 'yazl';
import type { Finding, SheetLimits, SheetOrigin } from '../../src/core/finding.js';
import type { Cell, SheetRow } from '../../src/core/sheet.js';
import { SheetFault, type Clock } from '../../src/ports.js';
import { DEFAULT_LIMITS, createSheets } from '../../src/sheets/index.js';

export type Parts = Record<string, string | Buffer>;

export const MAIN = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main';
export const OFFICE = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
const PACKAGE = 'http://schemas.openxmlformats.org/package/2006';
const HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';

export interface WorkbookPlan {
  /** What stands in `<sheetData>`. */
  rows?: string;
  /** `<si>` elements. */
  strings?: string[];
  /** Number formats of the styles 0, 1, …: built-in ids, or codes of their own. */
  formats?: (number | string)[];
  /** Stands in `<workbook>` before `<sheets>`. */
  properties?: string;
}

/** The parts of a small workbook with one sheet, `Recipients`. */
export function parts({ rows = '', strings, formats, properties = '' }: WorkbookPlan = {}): Parts {
  const relations = [relation('rId1', 'worksheet', 'worksheets/sheet1.xml')];
  const made: Parts = {
    '[Content_Types].xml': `${HEAD}<Types xmlns="${PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>`,
    '_rels/.rels': relationsXml(relation('rId1', 'officeDocument', 'xl/workbook.xml')),
    'xl/workbook.xml': `${HEAD}<workbook xmlns="${MAIN}" xmlns:r="${OFFICE}">${properties}<sheets><sheet name="Recipients" sheetId="1" r:id="rId1"/></sheets></workbook>`,
    'xl/worksheets/sheet1.xml': sheetXml(rows),
  };
  if (strings !== undefined) {
    relations.push(relation('rId2', 'sharedStrings', 'sharedStrings.xml'));
    made['xl/sharedStrings.xml'] = `${HEAD}<sst xmlns="${MAIN}">${strings.join('')}</sst>`;
  }
  if (formats !== undefined) {
    relations.push(relation('rId3', 'styles', 'styles.xml'));
    const custom = formats.map((format, index) =>
      typeof format === 'string' ? `<numFmt numFmtId="${164 + index}" formatCode="${attribute(format)}"/>` : '',
    );
    const xfs = formats.map((format, index) => `<xf numFmtId="${typeof format === 'string' ? 164 + index : format}"/>`);
    made['xl/styles.xml'] =
      `${HEAD}<styleSheet xmlns="${MAIN}"><numFmts>${custom.join('')}</numFmts><cellStyleXfs><xf numFmtId="9"/></cellStyleXfs><cellXfs>${xfs.join('')}</cellXfs></styleSheet>`;
  }
  made['xl/_rels/workbook.xml.rels'] = relationsXml(...relations);
  return made;
}

export function sheetXml(rows: string): string {
  return `${HEAD}<worksheet xmlns="${MAIN}"><sheetData>${rows}</sheetData></worksheet>`;
}

export function relation(id: string, type: string, target: string): string {
  return `<Relationship Id="${id}" Type="${OFFICE}/${type}" Target="${target}"/>`;
}

export function relationsXml(...relations: string[]): string {
  return `${HEAD}<Relationships xmlns="${PACKAGE}/relationships">${relations.join('')}</Relationships>`;
}

/** A row of inline strings, as the writers that know no shared strings make it. */
export function textRow(row: number, ...texts: string[]): string {
  const cells = texts.map((text, index) => {
    const at = `${String.fromCharCode(65 + index)}${row}`;
    return `<c r="${at}" t="inlineStr"><is><t xml:space="preserve">${escaped(text)}</t></is></c>`;
  });
  return `<row r="${row}">${cells.join('')}</row>`;
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#13;');
}

function attribute(text: string): string {
  return escaped(text).replaceAll('"', '&quot;');
}

/** Zips parts, in their order. */
export async function zip(
  made: Parts,
  options: { zip64?: boolean; stored?: boolean; level?: number } = {},
): Promise<Buffer> {
  const file = new yazl.ZipFile();
  for (const [name, content] of Object.entries(made)) {
    file.addBuffer(typeof content === 'string' ? Buffer.from(content) : content, name, {
      mtime: new Date(0),
      compress: options.stored !== true,
      ...(options.level !== undefined && { compressionLevel: options.level }),
      ...(options.zip64 === true && { forceZip64Format: true }),
    });
  }
  file.end({ forceZip64Format: options.zip64 === true, comment: '' });
  const chunks: Buffer[] = [];
  for await (const chunk of file.outputStream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function workbook(plan: WorkbookPlan = {}): Promise<Buffer> {
  return zip(parts(plan));
}

/** Writes other bytes of the same length over every occurrence: for zip files that no library would write. */
export function patched(bytes: Buffer, from: string | Buffer, to: string | Buffer): Buffer {
  const [old, fresh] = [Buffer.from(from as string, 'latin1'), Buffer.from(to as string, 'latin1')];
  if (old.length !== fresh.length) throw new Error('a patch must keep the length');
  const copy = Buffer.from(bytes);
  for (let at = copy.indexOf(old); at !== -1; at = copy.indexOf(old, at + 1)) fresh.copy(copy, at);
  return copy;
}

export const stoppedClock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };

export interface Reading {
  origin: SheetOrigin | null;
  header: readonly Cell[];
  rows: SheetRow[];
}

/** Reads a file's bytes to the end. */
export async function read(
  bytes: Buffer | string,
  limits: Partial<SheetLimits> = {},
  clock: Clock = stoppedClock,
): Promise<Reading> {
  const folder = await mkdtemp(join(tmpdir(), 'pagecast-test-'));
  try {
    // The name says nothing on purpose: a file is known by what it holds.
    const path = join(folder, 'upload');
    await writeFile(path, bytes);
    return await readPath(path, limits, clock);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function readPath(
  path: string,
  limits: Partial<SheetLimits> = {},
  clock: Clock = stoppedClock,
): Promise<Reading> {
  const sheet = await createSheets(clock).open(path, { ...DEFAULT_LIMITS, ...limits });
  try {
    const rows: SheetRow[] = [];
    for await (const batch of sheet.rows()) rows.push(...batch);
    return { origin: sheet.origin, header: sheet.header, rows };
  } finally {
    await sheet.close();
  }
}

/** What is wrong with a file as a whole, as `CODE` or `CODE reason`; null when it can be read. */
export async function faultOf(
  bytes: Buffer | string,
  limits: Partial<SheetLimits> = {},
  clock: Clock = stoppedClock,
): Promise<string | null> {
  const finding = await findingOf(bytes, limits, clock);
  if (finding === null) return null;
  if (finding.code === 'FILE_NOT_WORKBOOK') return `${finding.code} ${finding.args.reason}`;
  if (finding.code === 'FILE_TOO_LARGE') return `${finding.code} ${finding.args.limit}`;
  return finding.code;
}

export async function findingOf(
  bytes: Buffer | string,
  limits: Partial<SheetLimits> = {},
  clock: Clock = stoppedClock,
): Promise<Finding | null> {
  try {
    await read(bytes, limits, clock);
    return null;
  } catch (error) {
    if (error instanceof SheetFault) return error.finding;
    throw error;
  }
}
