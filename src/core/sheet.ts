/**
 * Recipient sheets: which columns a template's sheet has, and what is wrong with one row. Values in, findings out; how a
 * file becomes rows is the business of `sheets/`.
 */
import { finding, type Finding } from './finding.js';
import { IdTable } from './id-table.js';
import { withoutSeparators } from './phone.js';
import { badLinks, exceededLimits, type Channel, type CompiledTemplate, type Message } from './template.js';
import { PHONE, PLATFORM_ID, SCIENTIFIC } from './user-id.js';

/**
 * One cell. Text is its string, an empty cell is null, and everything that a spreadsheet keeps as something else than text
 * says what it is. `text` is how the value would read if written out: for a number its digits as Excel stores them
 * (`7.6429258490539e+16` for a damaged id), for an error its name, for a formula its cached value.
 */
export type Cell = string | null | { kind: 'number' | 'date' | 'boolean' | 'error' | 'formula'; text: string };

export interface SheetRow {
  /** As the spreadsheet program numbers it; the header is row 1. */
  row: number;
  /** From column A on; shorter than the header when the last cells are empty. */
  cells: readonly Cell[];
}

/** A row that may be sent to. */
export interface Recipient {
  row: number;
  userId: string;
  /** One for each of the template's variables, in the order of its columns. */
  values: readonly string[];
  /** Whose number the message leaves from; null in a sheet without that column. */
  owner: string | null;
}

/** The last column of a marked copy; it is ignored when the copy comes back, so faults can be mended in place. */
export const MARK_HEADER = 'pagecast: to mend';

export function idHeader(channel: Channel): string {
  return channel === 'sms' ? 'Phone' : 'User ID';
}

/** The last column of a sheet whose messages leave in the names of record owners. */
const OWNER_HEADER = 'Owner';

export function sheetHeader(compiled: CompiledTemplate, channel: Channel, hasOwners = false): string[] {
  const header = [idHeader(channel), ...compiled.variables.map((variable) => variable.name)];
  return hasOwners ? [...header, OWNER_HEADER] : header;
}

/** Spaces of every width, zero-width characters, soft hyphens, direction marks and byte order marks. */
const INVISIBLE = /[\s\u00a0\u00ad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff]+/gu;

/** Excel keeps 15 significant digits, so an id that went through a number cell ends in zeros from the 16th on. */
const KEPT_DIGITS = 15;

export function headerMatches(expected: readonly string[], header: readonly Cell[]): boolean {
  const found = headerTexts(header);
  return found.length === expected.length && expected.every((name, index) => name === found[index]);
}

/** The header's texts as found, without trailing empty cells and without the column that a marked copy adds. */
export function headerTexts(header: readonly Cell[]): string[] {
  const found = header.map((cell) => (typeof cell === 'string' ? cell.trim() : (cell?.text ?? '')));
  while (found.length > 0 && found.at(-1) === '') found.pop();
  if (found.at(-1) === MARK_HEADER) found.pop();
  while (found.length > 0 && found.at(-1) === '') found.pop();
  return found;
}

/** Whether a text shows nothing on screen. */
function isInvisible(text: string): boolean {
  const first = text.charCodeAt(0);
  // Nearly every text begins with a visible ASCII character, and a million regular expressions take a second.
  return !(first > 0x20 && first < 0x7f) && text.replace(INVISIBLE, '') === '';
}

/** Whether a row holds anything at all outside the column that a marked copy adds. */
function isBlank(cells: readonly Cell[], markColumn: number): boolean {
  return cells.every(
    (cell, index) => index === markColumn || cell === null || (typeof cell === 'string' && isInvisible(cell)),
  );
}

function idPattern(channel: Channel): RegExp {
  return channel === 'sms' ? PHONE : PLATFORM_ID;
}

/** Without what spreadsheets and messengers put around an id, and what people write between the digits of a phone number. */
function cleanId(text: string, channel: Channel): string {
  const bare = text.replace(INVISIBLE, '').replace(/^'/, '');
  return channel === 'sms' ? withoutSeparators(bare) : bare;
}

/** The id in a cell as it would be sent to; null where the check of a sheet would refuse it. */
export function usableId(cell: Cell, channel: Channel): string | null {
  if (typeof cell !== 'string') return null;
  const id = idPattern(channel).test(cell) ? cell : cleanId(cell, channel);
  return idPattern(channel).test(id) ? id : null;
}

export type RowResult =
  | { kind: 'blank' }
  | { kind: 'recipient'; recipient: Recipient; findings: Finding[] }
  /** `userId` and `values` as far as they could be read, so that the report can show the row to its owner. */
  | {
      kind: 'invalid';
      row: number;
      userId: string;
      values: readonly string[];
      owner: string | null;
      findings: Finding[];
    };

/** What a sheet has to serve beside its template. */
export interface SheetDemands {
  /** Those who may stand in the column for them; without it the sheet has none. */
  owners?: ReadonlySet<string>;
  /** The message that people outside their window get of the same values. */
  outside?: (values: readonly string[]) => Message;
}

/** Checks the rows of one sheet, one after another. Memory grows by one entry for each different id. */
export class RowChecker {
  readonly #compiled: CompiledTemplate;
  readonly #channel: Channel;
  readonly #header: readonly string[];
  readonly #owners: ReadonlySet<string> | null;
  readonly #outside: ((values: readonly string[]) => Message) | null;
  readonly #markColumn: number;
  readonly #seen = new IdTable();
  /** By the entries of `#seen`. */
  readonly #firstRows: number[] = [];
  readonly #hashes: number[] = [];
  #longIds = 0;
  #roundedIds = 0;

  constructor(compiled: CompiledTemplate, channel: Channel, header: readonly Cell[], demands: SheetDemands = {}) {
    const { owners = null, outside = null } = demands;
    this.#outside = outside;
    this.#compiled = compiled;
    this.#channel = channel;
    this.#owners = owners;
    this.#header = sheetHeader(compiled, channel, owners !== null);
    this.#markColumn = header.lastIndexOf(MARK_HEADER);
  }

  check({ row, cells }: SheetRow): RowResult {
    if (isBlank(cells, this.#markColumn)) return { kind: 'blank' };
    const findings: Finding[] = [];
    const userId = this.#id(row, cells[0] ?? null, findings);
    const values = this.#values(row, cells, findings);
    const owner = this.#owners && this.#owner(row, cells[this.#header.length - 1] ?? null, this.#owners, findings);

    for (let index = this.#header.length; index < cells.length; index += 1) {
      const cell = cells[index] ?? null;
      if (index === this.#markColumn || cell === null || (typeof cell === 'string' && cell.trim() === '')) continue;
      findings.push(finding('CELL_OUTSIDE', {}, { row, column: columnName(index) }));
    }
    if (!findings.some(isBlocking)) {
      this.#message(row, values, findings);
      this.#duplicate(row, userId, values, findings);
    }
    const duplicate = findings.some((one) => one.code === 'ID_DUPLICATE');
    return duplicate || findings.some(isBlocking)
      ? { kind: 'invalid', row, userId, values, owner, findings }
      : { kind: 'recipient', recipient: { row, userId, values, owner }, findings };
  }

  /** @returns null for one who is not among the owners */
  #owner(row: number, cell: Cell, owners: ReadonlySet<string>, findings: Finding[]): string | null {
    const place = { row, column: OWNER_HEADER };
    const name = (typeof cell === 'string' ? cell : (cell?.text ?? '')).trim();
    if (owners.has(name)) return name;
    if (name === '') findings.push(finding('OWNER_MISSING', {}, place));
    else findings.push(finding('OWNER_UNKNOWN', { found: name, known: [...owners] }, place));
    return null;
  }

  /** What can be said only of the whole column. */
  conclude(): Finding[] {
    // One natural 17-digit id in a hundred ends in two zeros; four in five of at least four do not.
    const rounded = this.#roundedIds >= 4 && this.#roundedIds >= this.#longIds * 0.8;
    if (!rounded) return [];
    const args = { rounded: this.#roundedIds, long: this.#longIds };
    return [finding('IDS_ROUNDED', args, { column: idHeader(this.#channel) })];
  }

  #id(row: number, cell: Cell, findings: Finding[]): string {
    const column = idHeader(this.#channel);
    const place = { row, column };
    if (cell === null) {
      findings.push(finding('ID_MISSING', {}, place));
      return '';
    }
    if (typeof cell !== 'string') {
      if (cell.kind === 'formula') findings.push(finding('CELL_FORMULA', {}, place));
      else if (cell.kind === 'error') findings.push(finding('CELL_ERROR', { error: cell.text }, place));
      else findings.push(finding('ID_NOT_TEXT', { found: cell.text, channel: this.#channel }, place));
      return cell.text;
    }
    const wellFormed = idPattern(this.#channel);
    const clean = wellFormed.test(cell);
    const id = clean ? cell : cleanId(cell, this.#channel);
    if (id === '') {
      findings.push(finding('ID_MISSING', {}, place));
      return '';
    }
    if (!clean && !wellFormed.test(id)) {
      if (SCIENTIFIC.test(id)) {
        findings.push(finding('ID_NOT_TEXT', { found: cell, channel: this.#channel }, place));
      } else if (this.#channel === 'sms' && /^[1-9]\d{14,16}$/.test(id)) {
        findings.push(finding('CHANNEL_MISMATCH', { expected: 'sms', found: 'messenger' }, place));
      } else if (this.#channel !== 'sms' && PHONE.test(id)) {
        findings.push(finding('CHANNEL_MISMATCH', { expected: this.#channel, found: 'sms' }, place));
      } else findings.push(finding('ID_MALFORMED', { found: cell, channel: this.#channel }, place));
      return cell;
    }
    if (id !== cell) findings.push(finding('ID_CLEANED', { found: cell }, place));
    if (this.#channel !== 'sms' && id.length > KEPT_DIGITS) {
      this.#longIds += 1;
      if (endsInZeros(id, KEPT_DIGITS)) this.#roundedIds += 1;
    }
    return id;
  }

  #values(row: number, cells: readonly Cell[], findings: Finding[]): string[] {
    return this.#compiled.variables.map(({ name, maxLength }, index) => {
      const cell = cells[index + 1] ?? null;
      const place = { row, column: name };
      let text = '';
      if (typeof cell === 'string') text = cell;
      else if (cell !== null) {
        text = cell.text;
        if (cell.kind === 'formula') findings.push(finding('CELL_FORMULA', {}, place));
        else if (cell.kind === 'error') findings.push(finding('CELL_ERROR', { error: text }, place));
        // How a date, a percentage or a long number looks depends on formats and on the reader's country: text that
        // nobody has seen must not be sent. Plain numbers are told, not refused.
        else if (cell.kind !== 'number' || !/^-?\d{1,15}(\.\d{1,10})?$/.test(text)) {
          findings.push(finding('CELL_NOT_TEXT', { kind: cell.kind, found: text }, place));
        } else if (text.includes('.')) findings.push(finding('CELL_NUMBER', { text }, place));
      }
      // A formula that was never computed has no value yet: that it is a formula says it all.
      const isUncomputed = text === '' && cell !== null && typeof cell !== 'string';
      if (isInvisible(text) && !isUncomputed) {
        findings.push(finding('VARIABLE_MISSING', { variable: name }, place));
      } else if (maxLength !== undefined && text.length > maxLength) {
        findings.push(finding('VARIABLE_TOO_LONG', { variable: name, length: text.length, max: maxLength }, place));
      }
      return text;
    });
  }

  #message(row: number, values: readonly string[], findings: Finding[]): void {
    const messages = this.#compiled.surelyFits(values, this.#channel) ? [] : [this.#compiled.render(values)];
    if (this.#outside) messages.push(this.#outside(values));
    for (const message of messages) {
      for (const limit of exceededLimits(message, this.#channel))
        findings.push(finding('MESSAGE_TOO_LONG', limit, { row }));
      for (const link of badLinks(message)) findings.push(finding('MESSAGE_URL_INVALID', link, { row }));
    }
  }

  #duplicate(row: number, userId: string, values: readonly string[], findings: Finding[]): void {
    const hash = hashTexts(values);
    const { entry, isNew } = this.#seen.entryOf(userId);
    if (isNew) {
      this.#firstRows.push(row);
      this.#hashes.push(hash);
      return;
    }
    const args = { firstRow: this.#firstRows[entry] ?? 0, sameValues: this.#hashes[entry] === hash };
    findings.push(finding('ID_DUPLICATE', args, { row, column: idHeader(this.#channel) }));
  }
}

function isBlocking(one: Finding): boolean {
  return one.severity === 'error';
}

function endsInZeros(digits: string, from: number): boolean {
  for (let index = from; index < digits.length; index += 1) if (digits.charCodeAt(index) !== 48) return false;
  return true;
}

/** `0` → `A`, `26` → `AA`. */
export function columnName(index: number): string {
  let name = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1)
    name = String.fromCharCode(65 + (rest % 26)) + name;
  return name;
}

/**
 * A 53-bit hash of a list of texts (two FNV-1a-like 32-bit lanes, mixed as in MurmurHash3's finalizer). Good enough to tell
 * equal rows from different ones; not for anything an attacker may gain from.
 */
export function hashTexts(texts: readonly string[]): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const text of texts) {
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      a = Math.imul(a ^ unit, 2654435761);
      b = Math.imul(b ^ unit, 1597334677);
    }
    // The end of each text counts, so that ['ab', 'c'] and ['a', 'bc'] differ.
    a = Math.imul(a ^ 0x1ffff, 2654435761);
    b = Math.imul(b ^ 0x1ffff, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
