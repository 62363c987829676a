/** How ids, instants and reasons are written in logs: what is not surely an id or an instant is told, never guessed at. */
import type { DeliveryError } from '../core/delivery.js';
import { maskId, PHONE, PLATFORM_ID, SCIENTIFIC } from '../core/user-id.js';

export type FieldCode =
  | 'ID_MISSING'
  | 'ID_NOT_TEXT'
  | 'ID_MALFORMED'
  | 'TIME_MISSING'
  | 'TIME_INVALID'
  | 'TIME_WITHOUT_ZONE'
  | 'TIME_IN_FUTURE';

export interface Misread<Code extends string = FieldCode> {
  code: Code;
  /** A sentence for people; holds no user id. */
  text: string;
}

/** @param name what the log calls the field */
export function readId(value: unknown, name: string): string | Misread {
  if (typeof value === 'number') {
    const text = `${name} is a JSON number, and digits get lost in those. Write it as text, in quotes.`;
    return { code: 'ID_NOT_TEXT', text };
  }
  if (value === undefined || value === null || value === '') return { code: 'ID_MISSING', text: `${name} is missing.` };
  const id = typeof value === 'string' ? value.trim() : '';
  if (PLATFORM_ID.test(id) || PHONE.test(id)) return id;
  if (SCIENTIFIC.test(id)) {
    const text = `A spreadsheet program has turned ${name} into a rounded number. Export the file again from its source.`;
    return { code: 'ID_NOT_TEXT', text };
  }
  return id === '' && typeof value === 'string'
    ? { code: 'ID_MISSING', text: `${name} is missing.` }
    : { code: 'ID_MALFORMED', text: `${name} must be 5 to 20 digits, or a phone number such as +4915112345678.` };
}

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(?:(Z)|([+-])(\d\d):?(\d\d)?)?)?$/i;

/**
 * ISO 8601 with Z or an offset, or seconds or milliseconds since 1970.
 * @param name what the log calls the field
 * @returns milliseconds since 1970, UTC
 */
export function readTime(value: unknown, name: string): number | Misread {
  const text = typeof value === 'string' ? value.trim() : value;
  if (text === undefined || text === null || text === '') return { code: 'TIME_MISSING', text: `${name} is missing.` };
  const epoch = epochMs(text);
  if (epoch !== null) return epoch;
  const match = typeof text === 'string' ? ISO.exec(text) : null;
  if (!match) {
    const wrong = `${name} is ${shown(value)}; expected a time such as 2026-11-21T09:30:00Z, or seconds since 1970.`;
    return { code: 'TIME_INVALID', text: wrong };
  }
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part || 0)) as Six;
  const milliseconds = Math.floor(Number(`0.${match[7] ?? '0'}`) * 1000);
  const utc = Date.UTC(year, month - 1, day, hour, minute, second, milliseconds);
  const offset = Number(match[10] ?? 0) * 60 + Number(match[11] ?? 0);
  const back = new Date(utc);
  // Date.UTC turns the 31st of February into the 3rd of March.
  const exists = back.getUTCMonth() === month - 1 && back.getUTCDate() === day && back.getUTCHours() === hour;
  if (!exists || minute > 59 || second > 59 || offset > 14 * 60 || Number(match[11] ?? 0) > 59) {
    return { code: 'TIME_INVALID', text: `${name} is ${shown(value)}, which is no time that exists.` };
  }
  if (match[8] === undefined && match[9] === undefined) {
    const zone = `${name} is ${shown(value)}, without a zone. Add Z, or an offset such as +01:00.`;
    return { code: 'TIME_WITHOUT_ZONE', text: zone };
  }
  return utc - (match[9] === '-' ? -1 : 1) * offset * 60_000;
}

type Six = [number, number, number, number, number, number];

/** From here on a number can only be milliseconds: as seconds it would be the year 5138. */
const FIRST_MS = 100_000_000_000;
/** 2001-09-09; there was no Messenger then, so a smaller number counts something else (such as Excel's days). */
const FIRST_SECONDS = 1_000_000_000;
/** The year 5138 in milliseconds; beyond it stand microseconds. */
const LAST_MS = FIRST_MS * 1000;

/**
 * An instant as services write it: milliseconds or seconds since 1970, as number or text (the events of Meta mix them).
 * @returns milliseconds, or null for anything else
 */
export function epochMs(value: unknown): number | null {
  let number: number;
  if (typeof value === 'number') number = value;
  else if (typeof value === 'string' && /^\d{10,15}(\.\d{1,9})?$/.test(value)) number = Number(value);
  else return null;
  if (!(number >= FIRST_SECONDS && number < LAST_MS)) return null;
  return Math.floor(number < FIRST_MS ? number * 1000 : number);
}

/** A found value for a message: short, and with control characters written out. */
export function shown(value: unknown): string {
  // What is nested may be so as deep as a line is long, which is too deep to be written out.
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/** Those of Meta have up to about two hundred characters, others fewer. */
export const MAX_MESSAGE_ID = 500;

/** A service's id of a message, or null when that is no usable one. */
export function readMessageId(value: unknown): string | null {
  const id = typeof value === 'string' ? value.trim() : '';
  return id === '' || id.length > MAX_MESSAGE_ID ? null : id;
}

const ERROR_CODE = /^[\w.-]{1,64}$/;
const MOST_WORDS = 500;

/**
 * Why a service says that a message was not delivered; null when it gives no reason.
 * @param service stands before the code, since each service counts its own
 */
export function readReason(service: 'cams' | 'twilio', code: unknown, words: unknown): DeliveryError | null {
  const named = typeof code === 'number' ? String(code) : typeof code === 'string' ? code.trim() : '';
  const said = typeof words === 'string' ? words.trim() : '';
  if (named === '' && said === '') return null;
  return {
    code: `${service}:${ERROR_CODE.test(named) ? named : 'UNSPECIFIED'}`,
    message: said.slice(0, MOST_WORDS).replace(/\d{10,}/g, maskId),
  };
}
