/**
 * What a number in a cell looks like to the person who sees the sheet. A cell holds only the number; that it is a date, a
 * percentage or a price is its format's doing.
 */
import type { Cell } from '../core/sheet.js';

/** What a format makes of a number. `decimals`: shown as it is, rounded so (null: not rounded). */
export type NumberFormat =
  | { kind: 'plain'; decimals: number | null }
  | { kind: 'date'; date: boolean; time: boolean; elapsed: boolean; code: string }
  | { kind: 'other'; code: string };

const GENERAL: NumberFormat = { kind: 'plain', decimals: null };

/** The formats that files name by number only (ECMA-376 part 1, 18.8.30), with those that East Asian Excels add. */
const BUILT_IN: Readonly<Record<number, string>> = {
  0: 'General',
  1: '0',
  2: '0.00',
  3: '#,##0',
  4: '#,##0.00',
  5: '$#,##0;-$#,##0',
  6: '$#,##0;[Red]-$#,##0',
  7: '$#,##0.00;-$#,##0.00',
  8: '$#,##0.00;[Red]-$#,##0.00',
  9: '0%',
  10: '0.00%',
  11: '0.00E+00',
  12: '# ?/?',
  13: '# ??/??',
  14: 'yyyy-mm-dd',
  15: 'd-mmm-yy',
  16: 'd-mmm',
  17: 'mmm-yy',
  18: 'h:mm AM/PM',
  19: 'h:mm:ss AM/PM',
  20: 'h:mm',
  21: 'h:mm:ss',
  22: 'yyyy-mm-dd h:mm',
  37: '#,##0;(#,##0)',
  38: '#,##0;[Red](#,##0)',
  39: '#,##0.00;(#,##0.00)',
  40: '#,##0.00;[Red](#,##0.00)',
  41: '_(* #,##0_)',
  42: '_($* #,##0_)',
  43: '_(* #,##0.00_)',
  44: '_($* #,##0.00_)',
  45: 'mm:ss',
  46: '[h]:mm:ss',
  47: 'mm:ss.0',
  48: '##0.0E+0',
  49: '@',
};
const EAST_ASIAN_TIMES = [32, 33, 34, 35, 55, 56];

export function builtInFormat(id: number): NumberFormat {
  const code = BUILT_IN[id];
  if (code !== undefined) return numberFormat(code);
  // 27-36 and 50-58 are dates whose order depends on the country; 59-81 are Thai, numbers and dates mixed.
  if ((id >= 27 && id <= 36) || (id >= 50 && id <= 58))
    return numberFormat(EAST_ASIAN_TIMES.includes(id) ? 'h:mm:ss' : 'yyyy-mm-dd');
  if (id >= 71 && id <= 81) return numberFormat(id >= 76 ? 'h:mm:ss' : 'yyyy-mm-dd');
  // An id that nobody has defined shows as General, as Excel does.
  return id >= 59 && id <= 70 ? { kind: 'other', code: `built-in format ${id}` } : GENERAL;
}

export function numberFormat(code: string): NumberFormat {
  const trimmed = code.trim();
  if (trimmed === '' || /^(?:general|@)$/i.test(trimmed)) return GENERAL;
  const decimals = /^(?:0|#|#0)(?:\.(0+))?$/.exec(trimmed);
  if (decimals !== null) return { kind: 'plain', decimals: decimals[1]?.length ?? 0 };

  // What is quoted, escaped, padded with or repeated is shown as it stands, and means nothing.
  const symbols = trimmed.replace(/"[^"]*"|\\.|_.|\*./gu, '');
  const section = (symbols.split(';')[0] ?? '').toLowerCase();
  const elapsed = /\[(?:h+|m+|s+)\]/.test(section);
  const letters = section.replace(/\[[^\]]*\]/g, '').replace(/general/g, '');
  if (elapsed || (/[ymdhsgeb]/.test(letters) && !/[#?]|e[+-]/.test(letters))) {
    const clock = elapsed || /[hs]/.test(letters);
    const date = /[ydgb]/.test(letters) || (!clock && /[me]/.test(letters));
    return { kind: 'date', date, time: clock, elapsed, code: trimmed };
  }
  return { kind: 'other', code: trimmed };
}

/**
 * The cell for a stored number. Only where what is shown is what is stored is the text plain digits; otherwise it says how
 * the number is shown, so that nobody takes `0.5` for the `50%` that the sheet's owner sees.
 */
export function numberCell(value: number, format: NumberFormat, date1904: boolean): Cell {
  const plain = String(value);
  if (format.kind === 'date') return { kind: 'date', text: dateText(value, format, date1904) };
  if (format.kind === 'other') return { kind: 'number', text: `${plain} (${format.code})` };
  if (format.decimals !== null && Number(value.toFixed(Math.min(format.decimals, 100))) !== value)
    return { kind: 'number', text: `${plain} (shown with ${format.decimals} decimals)` };
  return { kind: 'number', text: plain };
}

const DAY = 86_400_000;
/** 9999-12-31; Excel shows no later date, and none before the first. */
const LAST_SERIAL = 2_958_465;

function dateText(serial: number, format: Extract<NumberFormat, { kind: 'date' }>, date1904: boolean): string {
  if (serial < 0 || serial >= LAST_SERIAL + 1 - (date1904 ? 1462 : 0)) return `${serial} (${format.code})`;
  // Rounded, as a time such as 10:30 is no exact fraction of a day.
  const milliseconds = Math.round(serial * DAY);
  const days = Math.floor(milliseconds / DAY);
  const clock = clockText(milliseconds - days * DAY);
  if (format.elapsed) {
    const [, minutes = '', seconds = ''] = clock.split(':');
    return `${Math.floor(milliseconds / 3_600_000)}:${minutes}:${seconds}`;
  }
  if (!format.date) return clock;
  const date = date1904 ? isoDate(Date.UTC(1904, 0, 1) + days * DAY) : dateOf1900(days);
  return format.time || milliseconds !== days * DAY ? `${date} ${clock}` : date;
}

/** The 1900 system counts a 29 February 1900 that never was, and calls day 0 the 0th of January. */
function dateOf1900(days: number): string {
  if (days === 0) return '1900-01-00';
  if (days === 60) return '1900-02-29';
  return isoDate(Date.UTC(1899, 11, days < 60 ? 31 : 30) + days * DAY);
}

function isoDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}

function clockText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(11, milliseconds % 1000 === 0 ? 19 : 23);
}
