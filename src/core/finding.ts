/**
 * Findings: what is wrong with a template, a recipient sheet or one of its rows, as data.
 * A finding carries a stable code and typed arguments; the sentence is made in `cli/messages.ts`.
 */

/** `error` blocks a send, `warning` and `note` are only told. */
export type Severity = 'error' | 'warning' | 'note';

/** The arguments of each finding, by code. Codes and argument names are part of the JSON output: added to, never renamed. */
export interface FindingArguments {
  // The file as a whole. These come first and one at a time: after one of them nothing else about the file can be said.
  FILE_NOT_FOUND: { path: string };
  FILE_NOT_WORKBOOK: {
    /**
     * `old_excel`: a binary .xls · `not_a_workbook`: neither a workbook nor text · `encoding`: text that is not UTF-8 or
     * UTF-16 · `damaged`: a workbook whose insides cannot be read · `forbidden_xml`: a DTD or entity, which no
     * spreadsheet program writes · `unsupported`: a workbook of a kind that is not read (such as .xlsb).
     */
    reason: 'old_excel' | 'not_a_workbook' | 'encoding' | 'damaged' | 'forbidden_xml' | 'unsupported';
    detail: string;
  };
  FILE_ENCRYPTED: Record<string, never>;
  FILE_TRUNCATED: { detail: string };
  FILE_TOO_LARGE: { limit: keyof SheetLimits; max: number };
  SHEET_MISSING: { wanted: string; found: string[] };
  HEADER_CHANGED: { expected: string[]; found: string[] };
  TEMPLATE_MISMATCH: { expected: SheetOrigin; found: SheetOrigin };
  NO_ROWS: Record<string, never>;
  TOO_MANY_ROWS: { max: number };
  /** Most long ids of the column end in zeros from the 16th digit on: a spreadsheet program has rounded them. */
  IDS_ROUNDED: { rounded: number; long: number };

  // One row, or one cell of it.
  ID_MISSING: Record<string, never>;
  ID_NOT_TEXT: { found: string; channel: string };
  ID_MALFORMED: { found: string; channel: string };
  OWNER_MISSING: Record<string, never>;
  OWNER_UNKNOWN: { found: string; known: readonly string[] };
  ID_DUPLICATE: { firstRow: number; sameValues: boolean };
  ID_CLEANED: { found: string };
  CHANNEL_MISMATCH: { expected: string; found: string };
  VARIABLE_MISSING: { variable: string };
  VARIABLE_TOO_LONG: { variable: string; length: number; max: number };
  CELL_FORMULA: Record<string, never>;
  CELL_ERROR: { error: string };
  CELL_NOT_TEXT: { kind: 'number' | 'date' | 'boolean'; found: string };
  CELL_NUMBER: { text: string };
  CELL_OUTSIDE: Record<string, never>;
  MESSAGE_TOO_LONG: LimitExceeded;
  /** `site`: it is a web address, but only those of this site can stand there. */
  MESSAGE_URL_INVALID: { part: string; found: string; site?: 'facebook.com' };

  // A message template. The place is `column`, the part of the template.
  VARIABLE_SYNTAX: { text: string };
  VARIABLE_UNDECLARED: { variable: string };
  VARIABLE_UNUSED: { variable: string };
  VARIABLE_AMBIGUOUS: { variable: string; other: string };
  CONTENT_MISSING: Record<string, never>;
  CONTENT_CONFLICT: { parts: string[] };
  LIMIT_EXCEEDED: LimitExceeded;
  TOO_MANY: { part: string; count: number; max: number };
  PART_UNSUPPORTED: { part: string; channel: string };
  TAG_FORBIDDEN: { tag: string };
  PART_NOT_OF_KIND: { part: string; kind: 'session' | 'registered' };
  /** A part of a registered template that is the same for everybody holds variables. */
  PART_FIXED: { part: string };
  CARD_INCOMPLETE: { part: string };
  // What the platform does not approve in a registered template.
  VARIABLE_AT_EDGE: { variable: string; edge: 'start' | 'end' };
  LINK_WITHOUT_START: { part: string };
  // The template that a session template names for people outside their window.
  OUTSIDE_UNKNOWN: { name: string; language: string };
  OUTSIDE_NOT_REGISTERED: { name: string };
  OUTSIDE_VARIABLES: { name: string; missing: string[] };
}

export interface LimitExceeded {
  part: string;
  length: number;
  max: number;
  unit: 'characters' | 'bytes';
  channel: string;
}

/** The bounds within which a recipient sheet is read; `sheets/limits.ts` has the defaults. */
export interface SheetLimits {
  /** Size of the file. */
  bytes: number;
  /** Size of everything in the workbook that is read, unpacked. */
  unzippedBytes: number;
  /** Unpacked size over packed size of one part, looked at once a part is past 10 MB. */
  ratio: number;
  rows: number;
  columns: number;
  /** Entries of a workbook's table of shared strings. */
  strings: number;
  /** Characters in one cell. */
  cellCharacters: number;
  seconds: number;
}

/** What a sheet says it was made from. */
export interface SheetOrigin {
  template: string;
  language: string;
  /** Changes whenever the template's variables or wording do. */
  fingerprint: string;
}

export type FindingCode = keyof FindingArguments;

const SEVERITIES: Partial<Record<FindingCode, Severity>> = {
  ID_CLEANED: 'note',
  CELL_NUMBER: 'warning',
  VARIABLE_UNUSED: 'warning',
};

export type Finding = {
  [C in FindingCode]: {
    code: C;
    severity: Severity;
    /** The row's number as the spreadsheet program shows it, from 1; null for the file as a whole. */
    row: number | null;
    /** The header of the column, or the part of a template; null where the finding is about more than one. */
    column: string | null;
    args: FindingArguments[C];
  };
}[FindingCode];

/** Makes a finding; its severity follows from its code (and, for a duplicate, from whether the values agree). */
export function finding<C extends FindingCode>(
  code: C,
  args: FindingArguments[C],
  place: { row?: number; column?: string } = {},
): Finding {
  const harmlessDuplicate = code === 'ID_DUPLICATE' && (args as FindingArguments['ID_DUPLICATE']).sameValues;
  const severity = harmlessDuplicate ? 'warning' : (SEVERITIES[code] ?? 'error');
  return { code, severity, row: place.row ?? null, column: place.column ?? null, args } as Finding;
}

export function isError(found: Finding): boolean {
  return found.severity === 'error';
}
