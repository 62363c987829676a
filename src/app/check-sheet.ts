/**
 * Checks a recipient sheet against its template: the file, then the header, then every row, in one pass. Rows come out in
 * batches for whoever wants them; memory grows only by the set of ids.
 */
import {
  finding,
  isError,
  type Finding,
  type FindingCode,
  type SheetLimits,
  type SheetOrigin,
} from '../core/finding.js';
import {
  headerMatches,
  headerTexts,
  RowChecker,
  sheetHeader,
  type Cell,
  type RowResult,
  type SheetDemands,
  type SheetRow,
} from '../core/sheet.js';
import { compileTemplate, type Channel, type Template } from '../core/template.js';
import { SheetFault, type OpenSheet, type Sheets } from '../ports.js';
import { sheetOrigin } from './make-sheet.js';

/** Row findings are counted in full and listed up to this many. */
export const LISTED_FINDINGS = 100;

export interface SheetReport {
  ok: boolean;
  file: string;
  template: string;
  language: string;
  /** Rows that hold anything. */
  rows: number;
  /** Rows that can be sent to. */
  recipients: number;
  counts: Partial<Record<FindingCode, number>>;
  findings: Finding[];
  /** Whether there are more findings than are listed. */
  truncated: boolean;
}

export interface CheckRequest {
  path: string;
  template: Template;
  channel: Channel;
  limits: SheetLimits;
  demands?: SheetDemands;
  /**
   * Writes a copy of the sheet with every fault beside its row. `describe` also gets what stood in a cell that the copy
   * leaves empty.
   */
  mark?: { path: string; overwrite: boolean; describe: (found: Finding, emptied: string | null) => string };
  /** Gets every row that holds anything, in sheet order. */
  onRows?: (rows: Exclude<RowResult, { kind: 'blank' }>[]) => Promise<void>;
}

export async function checkSheet(sheets: Sheets, request: CheckRequest): Promise<SheetReport> {
  const report = emptyReport(request);
  let sheet: OpenSheet | undefined;
  try {
    sheet = await sheets.open(request.path, request.limits);
    const fault = fileFault(sheet, request);
    if (fault) addFinding(report, fault);
    else await checkRows(sheets, sheet, request, report);
  } catch (error) {
    if (!(error instanceof SheetFault)) throw error;
    addFinding(report, error.finding);
  } finally {
    await sheet?.close();
  }
  return report;
}

/** Checks recipients that were typed in: the same rules, without a file. Row numbers count from 1. */
export async function checkTypedIn(
  request: Omit<CheckRequest, 'path' | 'limits' | 'mark'> & { ids: readonly string[]; values: readonly string[] },
): Promise<SheetReport> {
  const report = emptyReport({ ...request, path: 'typed in' });
  const compiled = compileTemplate(request.template);
  const checker = new RowChecker(compiled, request.channel, sheetHeader(compiled, request.channel), request.demands);
  const rows = request.ids.map((id, index) => ({ row: index + 1, cells: [id, ...request.values] }));
  const results = checkBatch(checker, rows, report);
  await request.onRows?.(results.map(({ result }) => result));
  conclude(checker, report);
  return report;
}

/** What a sheet says it was made from, null when it says nothing; and why it could not be read, null when it could. */
export async function readOrigin(
  sheets: Sheets,
  path: string,
  limits: SheetLimits,
): Promise<{ origin: SheetOrigin | null; fault: Finding | null }> {
  try {
    const sheet = await sheets.open(path, limits);
    await sheet.close();
    return { origin: sheet.origin, fault: null };
  } catch (error) {
    if (error instanceof SheetFault) return { origin: null, fault: error.finding };
    throw error;
  }
}

function emptyReport(request: { path: string; template: Template }): SheetReport {
  const { name, language } = request.template;
  return {
    ok: true,
    file: request.path,
    template: name,
    language,
    rows: 0,
    recipients: 0,
    counts: {},
    findings: [],
    truncated: false,
  };
}

function fileFault(sheet: OpenSheet, { template, channel, demands }: CheckRequest): Finding | null {
  const expected = sheetOrigin(template);
  const found = sheet.origin;
  if (
    found &&
    (found.template !== expected.template ||
      found.language !== expected.language ||
      found.fingerprint !== expected.fingerprint)
  ) {
    return finding('TEMPLATE_MISMATCH', { expected, found });
  }
  const header = sheetHeader(compileTemplate(template), channel, demands?.owners !== undefined);
  if (!headerMatches(header, sheet.header)) {
    return finding('HEADER_CHANGED', { expected: header, found: headerTexts(sheet.header) }, { row: 1 });
  }
  return null;
}

async function checkRows(sheets: Sheets, sheet: OpenSheet, request: CheckRequest, report: SheetReport): Promise<void> {
  const compiled = compileTemplate(request.template);
  const checker = new RowChecker(compiled, request.channel, sheet.header, request.demands);
  const header = sheetHeader(compiled, request.channel, request.demands?.owners !== undefined);
  const copy =
    request.mark && (await sheets.mark(request.mark.path, sheet.header, sheet.origin, request.mark.overwrite));
  try {
    for await (const rows of sheet.rows()) {
      const results = checkBatch(checker, rows, report);
      await request.onRows?.(results.map(({ result }) => result));
      if (copy && request.mark) {
        for (const { row, result } of results) {
          const { cells, emptied } = withoutDamage(row.cells, result.findings, header);
          await copy.add(
            { row: row.row, cells },
            result.findings.map((one) => {
              const column = columnOf(one, header);
              return { column, text: request.mark?.describe(one, emptied.get(column ?? -1) ?? null) ?? '' };
            }),
          );
        }
      }
    }
    conclude(checker, report);
    if (report.rows === 0) addFinding(report, finding('NO_ROWS', {}));
    await copy?.finish();
  } catch (error) {
    await copy?.abandon();
    throw error;
  }
}

/** No id and no message: where it stands alone in a row, the row stays one with a fault. */
const PLACEHOLDER = '?';
const VISIBLE = /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u;

/**
 * Every cell of a marked copy is text, so what was damaged as a number, a date or a formula would pass as text when the
 * copy comes back unmended. It is left out; and the row must not become blank by that, or a person would be lost silently.
 */
function withoutDamage(
  cells: readonly Cell[],
  findings: readonly Finding[],
  header: readonly string[],
): { cells: Cell[]; emptied: Map<number, string> } {
  const faulty = new Set(findings.filter(isError).map((one) => columnOf(one, header)));
  const emptied = new Map<number, string>();
  const kept = cells.map((cell, index): Cell => {
    if (cell === null || typeof cell === 'string') return cell;
    if (faulty.has(index)) {
      emptied.set(index, cell.text);
      return null;
    }
    return index >= header.length && !VISIBLE.test(cell.text) ? PLACEHOLDER : cell;
  });
  const isBlank = kept.slice(0, header.length).every((cell) => !VISIBLE.test(textOf(cell)));
  if (emptied.size > 0 && isBlank) kept[0] = PLACEHOLDER;
  return { cells: kept, emptied };
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : (cell?.text ?? '');
}

/** The place of the column that a finding is about; null for the row as a whole and for cells right of the header. */
function columnOf(found: Finding, header: readonly string[]): number | null {
  const at = found.column === null || found.code === 'CELL_OUTSIDE' ? -1 : header.indexOf(found.column);
  return at === -1 ? null : at;
}

function checkBatch(
  checker: RowChecker,
  rows: readonly SheetRow[],
  report: SheetReport,
): { row: SheetRow; result: Exclude<RowResult, { kind: 'blank' }> }[] {
  const results: { row: SheetRow; result: Exclude<RowResult, { kind: 'blank' }> }[] = [];
  for (const row of rows) {
    const result = checker.check(row);
    if (result.kind === 'blank') continue;
    report.rows += 1;
    if (result.kind === 'recipient') report.recipients += 1;
    for (const one of result.findings) addFinding(report, one);
    results.push({ row, result });
  }
  return results;
}

function conclude(checker: RowChecker, report: SheetReport): void {
  for (const one of checker.conclude()) addFinding(report, one);
}

function addFinding(report: SheetReport, found: Finding): void {
  if (isError(found)) report.ok = false;
  report.counts[found.code] = (report.counts[found.code] ?? 0) + 1;
  // What concerns the whole file is always listed: it must not be lost behind the faults of rows.
  if (report.findings.length < LISTED_FINDINGS || found.row === null) report.findings.push(found);
  else report.truncated = true;
}
