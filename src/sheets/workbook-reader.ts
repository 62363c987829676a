/**
 * Reads a workbook (.xlsx, .xlsm) as rows. Nothing in the file is trusted: parts are found by the package's relations, every
 * size is counted while reading, and what cannot be read right is refused, never guessed.
 */
import type { FindingArguments, SheetOrigin } from '../core/finding.js';
import type { Cell, SheetRow } from '../core/sheet.js';
import type { OpenSheet, SheetFault } from '../ports.js';
import { damaged, fault, type ReadBudget } from './limits.js';
import { builtInFormat, numberCell, numberFormat, type NumberFormat } from './number-format.js';
import { BATCH, openOnePass, type Batches } from './one-pass.js';
import { ORIGIN_FORMAT, ORIGIN_SHEET, RECIPIENTS_SHEET } from './workbook-names.js';
import { XmlFault, XmlReader, type XmlHandler } from './xml.js';
import { ZipPackage } from './zip-package.js';

/** Excel's own bounds; a place beyond them is damage, not a big sheet. */
const LAST_ROW = 1_048_576;
const LAST_COLUMN = 16_384;
/** Of anything that a workbook lists beside its cells. Excel stops at 65,490 cell formats. */
const MAX_LISTED = 100_000;
/** Ranges that wait for their cells at one time; spreadsheets with array formulas have a handful. */
const MAX_ARRAYS = 1_000;

const TRANSITIONAL = 'http://schemas.openxmlformats.org/';
const STRICT = 'http://purl.oclc.org/ooxml/';
const NAMESPACES: Readonly<Record<string, string>> = {
  [`${TRANSITIONAL}spreadsheetml/2006/main`]: '',
  [`${STRICT}spreadsheetml/main`]: '',
  [`${TRANSITIONAL}package/2006/relationships`]: '',
  [`${TRANSITIONAL}package/2006/content-types`]: '',
  [`${TRANSITIONAL}officeDocument/2006/relationships`]: 'rel',
  [`${STRICT}officeDocument/relationships`]: 'rel',
};

type Relation = 'officeDocument' | 'worksheet' | 'styles' | 'sharedStrings';

interface ListedSheet {
  name: string;
  visible: boolean;
  relation: string;
}

interface Workbook {
  sheets: ListedSheet[];
  date1904: boolean;
}

interface Related {
  type: string;
  target: string;
}

/** What the cells of every sheet refer to. */
interface Shared {
  strings: SharedStrings;
  formats: readonly NumberFormat[];
  date1904: boolean;
}

/** Opens the workbook up to its header. @throws SheetFault */
export async function openWorkbook(path: string, budget: ReadBudget): Promise<OpenSheet> {
  const zip = await ZipPackage.open(path, budget);
  try {
    return await openPackage(zip, budget);
  } catch (error) {
    await zip.close();
    throw error;
  }
}

async function openPackage(zip: ZipPackage, budget: ReadBudget): Promise<OpenSheet> {
  const workbookPart = await findWorkbook(zip, budget);
  const workbook = await readWorkbook(zip, workbookPart, budget);
  const related = await readRelations(zip, workbookPart, budget);

  const worksheets = workbook.sheets.filter((sheet) => related.get(sheet.relation)?.type === 'worksheet');
  const named = (name: string) => worksheets.find((sheet) => sheet.name.toLowerCase() === name.toLowerCase());
  const originSheet = named(ORIGIN_SHEET);
  const chosen = named(RECIPIENTS_SHEET) ?? worksheets.find((sheet) => sheet.visible && sheet !== originSheet);
  if (chosen === undefined) {
    const found = workbook.sheets.map((sheet) => sheet.name);
    throw fault('SHEET_MISSING', { wanted: RECIPIENTS_SHEET, found });
  }

  const target = (type: Relation) => [...related.values()].find((one) => one.type === type)?.target;
  const stylesPart = target('styles');
  const stringsPart = target('sharedStrings');
  const shared: Shared = {
    strings: new SharedStrings(budget),
    formats: stylesPart === undefined || !zip.has(stylesPart) ? [] : await readStyles(zip, stylesPart, budget),
    date1904: workbook.date1904,
  };
  if (stringsPart !== undefined && zip.has(stringsPart))
    await readPart(zip, stringsPart, new SharedStringsHandler(shared.strings, budget), budget);

  const partOf = (sheet: ListedSheet) => related.get(sheet.relation)?.target ?? '';
  const origin = originSheet === undefined ? null : await readOrigin(zip, partOf(originSheet), shared, budget);
  return openOnePass(readRows(zip, partOf(chosen), shared, budget), origin, budget, () => zip.close());
}

// ------------------------------------------------------------------------------------------------ the package's own parts

/** The part that is the workbook, by the package's first relation; its name is nobody's promise. */
async function findWorkbook(zip: ZipPackage, budget: ReadBudget): Promise<string> {
  if (zip.has('mimetype') && zip.has('content.xml')) throw unsupported('an OpenDocument file; save it as .xlsx');
  if (zip.has('Index/Document.iwa')) throw unsupported('an Apple Numbers or Pages file; export it as .xlsx');
  let part: string | undefined;
  if (zip.has('_rels/.rels')) {
    const relations = await readRelations(zip, '', budget);
    part = [...relations.values()].find((one) => one.type === 'officeDocument')?.target;
  }
  part ??= await workbookByContentType(zip, budget);
  if (part === undefined) throw notAWorkbook('it is a zip file without a workbook in it');
  if (part.toLowerCase().endsWith('.bin')) throw unsupported('a binary workbook (.xlsb); save it as .xlsx');
  if (!zip.has(part)) throw damaged(`the part ${part} is missing`);
  return part;
}

async function workbookByContentType(zip: ZipPackage, budget: ReadBudget): Promise<string | undefined> {
  const part = '[Content_Types].xml';
  if (!zip.has(part)) return undefined;
  let found: string | undefined;
  const handler: XmlHandler = {
    open(key, xml) {
      const type = key === 'Override' ? (xml.attribute('ContentType') ?? '') : '';
      if (/(?:sheet|template)\.(?:main|macroEnabled\.main|binary\.macroEnabled\.main)/.test(type))
        found ??= xml.attribute('PartName')?.replace(/^\//, '');
    },
    close: () => undefined,
  };
  await readPart(zip, part, handler, budget);
  return found;
}

/** What a part refers to inside the package, by relation id. @param part '' for the package itself */
async function readRelations(zip: ZipPackage, part: string, budget: ReadBudget): Promise<Map<string, Related>> {
  const slash = part.lastIndexOf('/');
  const folder = part.slice(0, slash + 1);
  const relationsPart = `${folder}_rels/${part.slice(slash + 1)}.rels`;
  const relations = new Map<string, Related>();
  if (!zip.has(relationsPart)) return relations;
  await readPart(
    zip,
    relationsPart,
    {
      open(key, xml) {
        if (key !== 'Relationship' || xml.attribute('TargetMode') === 'External') return;
        const type = /\/([^/]*)$/.exec(xml.attribute('Type') ?? '')?.[1] ?? '';
        const target = xml.attribute('Target') ?? '';
        limitListed(relations.size);
        relations.set(xml.attribute('Id') ?? '', { type, target: resolveTarget(folder, target) });
      },
      close: () => undefined,
    },
    budget,
  );
  return relations;
}

/** Targets are relative to the part's folder, or start at the package's root. */
function resolveTarget(folder: string, target: string): string {
  const path = target.replaceAll('\\', '/');
  const segments: string[] = [];
  for (const segment of (path.startsWith('/') ? path : folder + path).split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return segments.join('/');
}

async function readWorkbook(zip: ZipPackage, part: string, budget: ReadBudget): Promise<Workbook> {
  const workbook: Workbook = { sheets: [], date1904: false };
  let inSheets = false;
  await readPart(
    zip,
    part,
    {
      open(key, xml) {
        if (xml.depth === 1 && key !== 'workbook') throw notAWorkbook('it is an Office document, but no workbook');
        if (xml.depth === 2) {
          inSheets = key === 'sheets';
          if (key === 'workbookPr') workbook.date1904 = isTrue(xml.attribute('date1904'));
        }
        if (xml.depth === 3 && inSheets && key === 'sheet') {
          limitListed(workbook.sheets.length);
          workbook.sheets.push({
            name: unescapeText(xml.attribute('name') ?? ''),
            visible: (xml.attribute('state') ?? 'visible') === 'visible',
            relation: xml.attribute('rel:id') ?? '',
          });
        }
      },
      close: () => undefined,
    },
    budget,
  );
  return workbook;
}

/** The number format of each cell format, by its index. */
async function readStyles(zip: ZipPackage, part: string, budget: ReadBudget): Promise<NumberFormat[]> {
  const custom = new Map<number, NumberFormat>();
  const ids: number[] = [];
  let section = '';
  await readPart(
    zip,
    part,
    {
      open(key, xml) {
        if (xml.depth === 2) section = key;
        if (xml.depth !== 3) return;
        if (section === 'numFmts' && key === 'numFmt') {
          limitListed(custom.size);
          custom.set(Number(xml.attribute('numFmtId')), numberFormat(xml.attribute('formatCode') ?? ''));
        } else if (section === 'cellXfs' && key === 'xf') {
          limitListed(ids.length);
          ids.push(Number(xml.attribute('numFmtId') ?? '0'));
        }
      },
      close: () => undefined,
    },
    budget,
  );
  // Files may redefine the built-in ids, and then mean their own format.
  return ids.map((id) => custom.get(id) ?? builtInFormat(id));
}

async function readOrigin(
  zip: ZipPackage,
  part: string,
  shared: Shared,
  budget: ReadBudget,
): Promise<SheetOrigin | null> {
  const values = new Map<string, string>();
  for await (const batch of readRows(zip, part, shared, budget)) {
    for (const { cells } of batch) {
      const [key, value] = cells;
      if (typeof key === 'string' && typeof value === 'string') values.set(key, value);
    }
    // Whatever else somebody put there is no business of ours.
    if (values.size > 0) break;
  }
  const template = values.get('template');
  const language = values.get('language');
  const fingerprint = values.get('fingerprint');
  if (values.get('format') !== ORIGIN_FORMAT) return null;
  if (template === undefined || language === undefined || fingerprint === undefined) return null;
  return { template, language, fingerprint };
}

/** Reads one part from end to end. @throws SheetFault */
async function readPart(zip: ZipPackage, part: string, handler: XmlHandler, budget: ReadBudget): Promise<void> {
  const xml = newReader(handler, budget);
  try {
    for await (const chunk of zip.read(part)) xml.write(chunk);
    xml.end();
  } catch (error) {
    throw xmlFault(error, part, budget);
  }
}

function newReader(handler: XmlHandler, budget: ReadBudget): XmlReader {
  // A character takes at most three bytes of UTF-8 for each UTF-16 unit, but seven where it is written as `_x000D_`.
  return new XmlReader(handler, NAMESPACES, budget.limits.cellCharacters * 7);
}

function xmlFault(error: unknown, part: string, budget: ReadBudget): unknown {
  if (!(error instanceof XmlFault)) return error;
  const detail = `${part}: ${error.message}`;
  if (error.kind === 'forbidden') return fault('FILE_NOT_WORKBOOK', { reason: 'forbidden_xml', detail });
  if (error.kind === 'text') {
    return fault('FILE_TOO_LARGE', { limit: 'cellCharacters', max: budget.limits.cellCharacters });
  }
  return damaged(detail);
}

// ------------------------------------------------------------------------------------------------ shared strings

/**
 * The workbook's table of texts. As many as five million short strings would keep the garbage collector busy for as long as
 * the file is read, so they are kept as UTF-8 in a few large blocks and become strings when a cell asks.
 */
class SharedStrings {
  readonly #budget: ReadBudget;
  readonly #blocks: Buffer[] = [];
  #block: Buffer = Buffer.alloc(0);
  #used = 0;
  /** For each text its place, counted through all blocks, and its length in bytes with a flag for plain ASCII. */
  #places = new Float64Array(1024);
  #lengths = new Uint32Array(1024);
  #count = 0;

  constructor(budget: ReadBudget) {
    this.#budget = budget;
  }

  add(bytes: Buffer, length: number): void {
    this.#budget.checkStrings(this.#count + 1);
    if (this.#used + length > this.#block.length) {
      // No text is longer than a block: the reader collects at most seven bytes for each of 32,767 characters.
      this.#block = Buffer.allocUnsafe(Math.max(BLOCK, length));
      this.#blocks.push(this.#block);
      this.#used = 0;
    }
    if (this.#count === this.#lengths.length) {
      const places = new Float64Array(this.#count * 2);
      places.set(this.#places);
      this.#places = places;
      const lengths = new Uint32Array(this.#count * 2);
      lengths.set(this.#lengths);
      this.#lengths = lengths;
    }
    const block = this.#block;
    let into = this.#used;
    let all = 0;
    for (let at = 0; at < length; at += 1) {
      const byte = bytes[at] ?? 0;
      block[into++] = byte;
      all |= byte;
    }
    this.#places[this.#count] = (this.#blocks.length - 1) * PLACE + this.#used;
    this.#lengths[this.#count] = length * 2 + (all < 0x80 ? 1 : 0);
    this.#count += 1;
    this.#used = into;
  }

  /** The text with this index; undefined when there is none. */
  get(index: number): string | undefined {
    if (index >= this.#count) return undefined;
    const place = this.#places[index] ?? 0;
    const packed = this.#lengths[index] ?? 0;
    const blockIndex = Math.floor(place / PLACE);
    const from = place - blockIndex * PLACE;
    const block = this.#blocks[blockIndex];
    const to = from + (packed >>> 1);
    return block?.toString((packed & 1) === 1 ? 'latin1' : 'utf8', from, to);
  }
}

const BLOCK = 1 << 20;
/** Blocks are numbered in steps of this; larger than any block. */
const PLACE = 2 ** 32;

class SharedStringsHandler implements XmlHandler {
  readonly #strings: SharedStrings;
  readonly #budget: ReadBudget;
  readonly #text = new RichText();
  #inItem = false;

  constructor(strings: SharedStrings, budget: ReadBudget) {
    this.#strings = strings;
    this.#budget = budget;
  }

  open(key: string, xml: XmlReader): void {
    if (xml.depth === 2) {
      this.#inItem = key === 'si';
      if (this.#inItem) this.#text.begin(2, xml);
    } else if (this.#inItem) this.#text.open(key, xml);
  }

  close(_key: string, xml: XmlReader): void {
    if (!this.#inItem || xml.depth < 2) return;
    if (xml.depth > 2) {
      this.#text.close(xml);
      return;
    }
    finishText(xml, this.#budget);
    this.#strings.add(xml.text, xml.textLength);
  }
}

/** Collects the text of `<si>` or `<is>`: a plain `<t>`, or the runs of rich text. Phonetic runs (`rPh`) do not belong to it. */
class RichText {
  #depth = 0;
  #inRun = false;

  /** @param depth of the element whose text is collected */
  begin(depth: number, xml: XmlReader): void {
    this.#depth = depth;
    this.#inRun = false;
    xml.clearText();
  }

  open(key: string, xml: XmlReader): void {
    if (xml.depth === this.#depth + 1) this.#inRun = key === 'r';
    if (key === 't' && (xml.depth === this.#depth + 1 || (xml.depth === this.#depth + 2 && this.#inRun)))
      xml.collecting = true;
  }

  close(xml: XmlReader): void {
    xml.collecting = false;
  }
}

/** Resolves `_x000D_` and its like in the collected text, and holds it against the limit. */
function finishText(xml: XmlReader, budget: ReadBudget): void {
  const { text, textLength } = xml;
  let at = 0;
  while (at < textLength && text[at] !== UNDERSCORE) at += 1;
  if (at < textLength) {
    const escaped = xml.textString();
    const plain = unescapeText(escaped);
    if (plain !== escaped) xml.textLength = text.write(plain, 'utf8');
  }
  // Fewer bytes than the limit has characters cannot be too many characters.
  if (xml.textLength > budget.limits.cellCharacters) budget.checkCharacters(xml.textString().length);
}

const UNDERSCORE = 95;

/** What XML cannot hold is written as `_xHHHH_`, and a text that looks like that has its first `_` written as `_x005F_`. */
function unescapeText(text: string): string {
  return text.includes('_x')
    ? text.replace(/_x([0-9A-Fa-f]{4})_/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    : text;
}

// ------------------------------------------------------------------------------------------------ rows

async function* readRows(zip: ZipPackage, part: string, shared: Shared, budget: ReadBudget): Batches {
  const handler = new RowsHandler(shared, budget);
  const xml = newReader(handler, budget);
  try {
    for await (const chunk of zip.read(part)) {
      xml.write(chunk);
      if (handler.rows.length >= BATCH) {
        const { rows } = handler;
        handler.rows = [];
        yield rows;
      }
    }
    xml.end();
  } catch (error) {
    throw xmlFault(error, part, budget);
  }
  if (handler.rows.length > 0) yield handler.rows;
}

type CellType = 'n' | 's' | 'b' | 'e' | 'str' | 'inlineStr' | 'd';
const CELL_TYPES: readonly CellType[] = ['n', 's', 'b', 'e', 'str', 'inlineStr', 'd'];

const SHEET_DATA = 2;
const ROW = 3;
const CELL = 4;
const IN_CELL = 5;

/** A range whose first cell holds the formula of all: the other cells show values without saying that they are computed. */
interface FormulaRange {
  firstColumn: number;
  lastColumn: number;
  lastRow: number;
}

class RowsHandler implements XmlHandler {
  /** Rows that hold anything, read so far. */
  rows: SheetRow[] = [];

  readonly #shared: Shared;
  readonly #budget: ReadBudget;
  readonly #inline = new RichText();
  #inData = false;
  #inRow = false;
  #row = 0;
  #column = -1;
  /** The cells of this row: the first `#filled` of an array that all rows share, as one that grows takes much more room. */
  readonly #cells: Cell[] = [];
  #filled = 0;
  #ranges: FormulaRange[] = [];

  #inCell = false;
  #type: CellType = 'n';
  #style = 0;
  #child = '';
  #hasFormula = false;
  #inlineText: string | null = null;
  #value: string | null = null;
  #stringIndex = -1;

  constructor(shared: Shared, budget: ReadBudget) {
    this.#shared = shared;
    this.#budget = budget;
  }

  open(key: string, xml: XmlReader): void {
    switch (xml.depth) {
      case 1:
        if (key !== 'worksheet') throw damaged('a sheet is no worksheet');
        break;
      case SHEET_DATA:
        this.#inData = key === 'sheetData';
        break;
      case ROW:
        this.#inRow = this.#inData && key === 'row';
        if (this.#inRow) this.#openRow(xml);
        break;
      case CELL:
        this.#inCell = this.#inRow && key === 'c';
        if (this.#inCell) this.#openCell(xml);
        break;
      case IN_CELL:
        if (this.#inCell) this.#openInCell(key, xml);
        break;
      default:
        if (this.#inCell && this.#child === 'is') this.#inline.open(key, xml);
    }
  }

  close(_key: string, xml: XmlReader): void {
    switch (xml.depth) {
      case SHEET_DATA:
        this.#inData = false;
        break;
      case ROW:
        if (this.#inRow) this.#closeRow();
        break;
      case CELL:
        if (this.#inCell) this.#closeCell();
        this.#inCell = false;
        break;
      case IN_CELL:
        if (this.#inCell) this.#closeInCell(xml);
        break;
      default:
        if (this.#inCell && this.#child === 'is') this.#inline.close(xml);
    }
  }

  #openRow(xml: XmlReader): void {
    let row = this.#row + 1;
    for (let index = 0; index < xml.attributeCount; index += 1)
      if (xml.attributeKey(index) === 'r') row = wholeNumber(xml, index);
    if (row <= this.#row || row > LAST_ROW) throw damaged(`row ${row} stands after row ${this.#row}`);
    this.#row = row;
    this.#column = -1;
  }

  #closeRow(): void {
    if (this.#filled === 0) return;
    this.rows.push({ row: this.#row, cells: this.#cells.slice(0, this.#filled) });
    this.#filled = 0;
  }

  #openCell(xml: XmlReader): void {
    let column = this.#column + 1;
    this.#type = 'n';
    this.#style = 0;
    this.#child = '';
    this.#hasFormula = false;
    this.#inlineText = null;
    this.#value = null;
    this.#stringIndex = -1;
    for (let index = 0; index < xml.attributeCount; index += 1) {
      const key = xml.attributeKey(index);
      if (key === 'r') column = this.#columnOf(xml, index);
      else if (key === 's') this.#style = wholeNumber(xml, index);
      else if (key === 't') this.#type = cellType(xml, index);
    }
    if (column <= this.#column || column >= LAST_COLUMN)
      throw damaged(`row ${this.#row} has its cells in a wrong order`);
    this.#column = column;
  }

  /** The column of a reference such as `AB12`, counted from 0. The row must be this one. */
  #columnOf(xml: XmlReader, index: number): number {
    const bytes = xml.attributeBytes(index);
    const from = xml.attributeStarts[index] ?? 0;
    const to = xml.attributeEnds[index] ?? 0;
    let at = from;
    let column = 0;
    let row = 0;
    for (; at < to; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte < 65 || byte > 90) break;
      column = column * 26 + byte - 64;
    }
    const letters = at - from;
    for (; at < to; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte < 48 || byte > 57) break;
      row = row * 10 + byte - 48;
    }
    if (at !== to || letters === 0 || letters > 3 || row !== this.#row)
      throw damaged(`row ${this.#row} has a cell named ${xml.attributeText(index).slice(0, 20)}`);
    return column - 1;
  }

  #openInCell(key: string, xml: XmlReader): void {
    this.#child = key;
    if (key === 'v') {
      xml.clearText();
      xml.collecting = true;
    } else if (key === 'f') {
      this.#hasFormula = true;
      const range = xml.attribute('ref');
      const type = xml.attribute('t');
      if (range !== undefined && (type === 'array' || type === 'dataTable')) this.#addRange(range);
    } else if (key === 'is') this.#inline.begin(IN_CELL, xml);
  }

  #closeInCell(xml: XmlReader): void {
    xml.collecting = false;
    if (this.#child === 'v') {
      if (this.#type === 's') this.#stringIndex = stringIndex(xml);
      else {
        finishText(xml, this.#budget);
        this.#value = xml.textString();
      }
    } else if (this.#child === 'is') {
      finishText(xml, this.#budget);
      this.#inlineText = xml.textString();
    }
    this.#child = '';
  }

  #closeCell(): void {
    const cell = this.#cell();
    if (cell === null) return;
    this.#budget.checkColumn(this.#column);
    while (this.#filled < this.#column) this.#cells[this.#filled++] = null;
    this.#cells[this.#filled++] = cell;
  }

  #cell(): Cell {
    let cell: Cell;
    if (this.#stringIndex !== -1) {
      const text = this.#shared.strings.get(this.#stringIndex);
      if (text === undefined) throw damaged(`${this.#place()} names a text that is not there`);
      cell = text;
    } else if (this.#inlineText !== null) cell = this.#inlineText;
    else if (this.#value !== null) cell = this.#valueCell(this.#value);
    else cell = null;
    if (cell === '') cell = null;
    if (this.#hasFormula || (cell !== null && this.#inFormulaRange())) {
      const text = cell === null ? '' : typeof cell === 'string' ? cell : cell.text;
      return { kind: 'formula', text };
    }
    return cell;
  }

  #valueCell(value: string): Cell {
    switch (this.#type) {
      // Some programs write their texts so, without any formula; where there is one, it makes the cell a formula.
      case 'str':
        return value;
      case 'n': {
        const digits = value.trim();
        if (digits === '') return null;
        if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(digits) || !Number.isFinite(Number(digits)))
          throw damaged(`${this.#place()} holds a number that cannot be read`);
        return numberCell(Number(digits), this.#shared.formats[this.#style] ?? builtInFormat(0), this.#shared.date1904);
      }
      case 'b':
        return value.trim() === '' ? null : { kind: 'boolean', text: isTrue(value.trim()) ? 'TRUE' : 'FALSE' };
      case 'e':
        return { kind: 'error', text: value };
      case 'd':
        return value.trim() === '' ? null : { kind: 'date', text: value.trim() };
      case 's':
      case 'inlineStr':
        throw damaged(`${this.#place()} holds no text where it says so`);
    }
  }

  #addRange(reference: string): void {
    const parts = /^\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?$/.exec(reference);
    if (parts === null) throw damaged(`${this.#place()} has a formula for ${reference.slice(0, 20)}`);
    const [, first = '', , last] = parts;
    if (last === undefined) return;
    this.#ranges = this.#ranges.filter((range) => range.lastRow >= this.#row);
    if (this.#ranges.length >= MAX_ARRAYS) throw unsupported('it has too many array formulas');
    this.#ranges.push({
      firstColumn: columnIndex(first),
      lastColumn: columnIndex(last),
      lastRow: Number(parts[4]),
    });
  }

  #inFormulaRange(): boolean {
    if (this.#ranges.length === 0) return false;
    const column = this.#column;
    return this.#ranges.some(
      (range) => range.lastRow >= this.#row && column >= range.firstColumn && column <= range.lastColumn,
    );
  }

  #place(): string {
    return `row ${this.#row}, column ${this.#column + 1}`;
  }
}

function columnIndex(letters: string): number {
  let index = 0;
  for (const letter of letters) index = index * 26 + letter.charCodeAt(0) - 64;
  return index - 1;
}

function cellType(xml: XmlReader, index: number): CellType {
  const from = xml.attributeStarts[index] ?? 0;
  const length = (xml.attributeEnds[index] ?? 0) - from;
  if (length === 1 && xml.attributeBytes(index)[from] === 115) return 's';
  const text = xml.attributeText(index);
  const type = CELL_TYPES.find((known) => known === text);
  if (type === undefined) throw damaged(`a cell is of the unknown type ${text.slice(0, 20)}`);
  return type;
}

/** An attribute that is a number of at most nine digits. */
function wholeNumber(xml: XmlReader, index: number): number {
  const from = xml.attributeStarts[index] ?? 0;
  return digits(xml.attributeBytes(index), from, xml.attributeEnds[index] ?? 0);
}

function stringIndex(xml: XmlReader): number {
  let from = 0;
  let to = xml.textLength;
  while (from < to && (xml.text[from] ?? 0) <= 32) from += 1;
  while (to > from && (xml.text[to - 1] ?? 0) <= 32) to -= 1;
  return from === to ? -1 : digits(xml.text, from, to);
}

function digits(bytes: Buffer, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at += 1) {
    const digit = (bytes[at] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw damaged('a whole number cannot be read');
    number = number * 10 + digit;
  }
  if (to === from || to - from > 9) throw damaged('a whole number cannot be read');
  return number;
}

function isTrue(text: string | undefined): boolean {
  return text === '1' || text?.toLowerCase() === 'true' || text === 'on';
}

function limitListed(count: number): void {
  if (count >= MAX_LISTED) throw damaged('it lists too much');
}

function notAWorkbook(detail: string): SheetFault {
  return faultOf('not_a_workbook', detail);
}

function unsupported(detail: string): SheetFault {
  return faultOf('unsupported', detail);
}

function faultOf(reason: FindingArguments['FILE_NOT_WORKBOOK']['reason'], detail: string): SheetFault {
  return fault('FILE_NOT_WORKBOOK', { reason, detail });
}
