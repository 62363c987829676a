/** The bounds within which a file from outside is read, and the account that is kept while reading it. */
import { finding, type FindingArguments, type FindingCode, type SheetLimits } from '../core/finding.js';
import { SheetFault, type Clock } from '../ports.js';

export const DEFAULT_LIMITS: SheetLimits = {
  // Five times the largest honest sheet: a million rows of three columns take 26-32 MB.
  bytes: 200_000_000,
  // The same sheet is 230 MB of XML; a bomb of 200 MB could unpack to 200 GB.
  unzippedBytes: 2_000_000_000,
  // Deflate reaches 1,000 at most, and real sheets stay below 40 even where every row is alike.
  ratio: 200,
  // Excel ends at 1,048,576 rows. At the default pace a million messages take eight hours, a third of a window.
  rows: 1_000_000,
  // No template has as many variables; Excel's 16,384 columns would only make wide rows costly.
  columns: 200,
  // Five texts for each of a million rows; the table is the one thing kept in memory, at about 10 bytes beside each text.
  strings: 5_000_000,
  // What an Excel cell can hold.
  cellCharacters: 32_767,
  // The largest sheet takes seconds; a file that needs minutes was made to.
  seconds: 300,
};

export function fault<C extends FindingCode>(code: C, args: FindingArguments[C]): SheetFault {
  return new SheetFault(finding(code, args));
}

export function damaged(detail: string): SheetFault {
  return fault('FILE_NOT_WORKBOOK', { reason: 'damaged', detail });
}

/** One reading of one file: what it has used up of its limits. */
export class ReadBudget {
  readonly limits: SheetLimits;
  readonly #clock: Clock;
  #resumedAt: number;
  #spent = 0;
  #unzipped = 0;
  #rows = 0;

  constructor(limits: SheetLimits, clock: Clock) {
    this.limits = limits;
    this.#clock = clock;
    this.#resumedAt = clock.now();
  }

  /** @throws SheetFault when reading has taken too long */
  checkTime(): void {
    const spent = this.#spent + this.#clock.now() - this.#resumedAt;
    if (spent > this.limits.seconds * 1000) throw this.#tooLarge('seconds');
  }

  /** Stops the watch while somebody else works: a slow reader of the rows must not make the file look hostile. */
  pause(): void {
    this.#spent += this.#clock.now() - this.#resumedAt;
  }

  resume(): void {
    this.#resumedAt = this.#clock.now();
  }

  /** @throws SheetFault when everything unpacked so far is too much */
  addUnzipped(bytes: number): void {
    this.#unzipped += bytes;
    if (this.#unzipped > this.limits.unzippedBytes) throw this.#tooLarge('unzippedBytes');
  }

  /** @throws SheetFault when a part of `unpacked` bytes came out of too few `packed` ones */
  checkRatio(packed: number, unpacked: number): void {
    if (unpacked > 10_000_000 && unpacked > packed * this.limits.ratio) throw this.#tooLarge('ratio');
  }

  /** @throws SheetFault when the file is too big */
  checkBytes(bytes: number): void {
    if (bytes > this.limits.bytes) throw this.#tooLarge('bytes');
  }

  /** Counts rows after the header. @throws SheetFault */
  addRows(count: number): void {
    this.#rows += count;
    if (this.#rows > this.limits.rows) throw fault('TOO_MANY_ROWS', { max: this.limits.rows });
  }

  /** @throws SheetFault for a filled cell too far to the right; `index` counts from 0 */
  checkColumn(index: number): void {
    if (index >= this.limits.columns) throw this.#tooLarge('columns');
  }

  /** @throws SheetFault */
  checkStrings(count: number): void {
    if (count > this.limits.strings) throw this.#tooLarge('strings');
  }

  /** @throws SheetFault */
  checkCharacters(count: number): void {
    if (count > this.limits.cellCharacters) throw this.#tooLarge('cellCharacters');
  }

  #tooLarge(limit: keyof SheetLimits): SheetFault {
    return fault('FILE_TOO_LARGE', { limit, max: this.limits[limit] });
  }
}
