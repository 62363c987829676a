/** Phone numbers as people write them: which signs between the digits may go, and what is wrong with what is no number. */
import { PHONE } from './user-id.js';

/** 15 digits and the signs between them; nothing longer is looked at. */
const LONGEST = 40;

/** Where leaving a sign out would make another number: `…4567/68` is two of them, and `.0` is what is left of a fraction. */
const TELLING_SIGNS = [/\(0/, /\/(?:\D*\d){0,4}\D*$/, /^[^.]*\.\d{1,2}$/];

/**
 * A number that begins with +, without the signs between its digits: `+1(555)000-1111` → `+15550001111`. No digit is added,
 * left out or changed.
 * @param text without white space
 * @returns the text as it is where that makes no number, or maybe another one
 */
export function withoutSeparators(text: string): string {
  if (!text.startsWith('+') || text.length > LONGEST || TELLING_SIGNS.some((sign) => sign.test(text))) return text;
  const plain = text.replace(/[-.()/]/g, '');
  return PHONE.test(plain) ? plain : text;
}

/** Why a text is no phone number with + and country code. */
export type PhoneFault =
  | 'other_digits'
  /** `tel:+15550001111` */
  | 'address'
  /** `+49 (0)151 1234567`: whether the 0 is dialled from abroad differs from country to country. */
  | 'zero_in_brackets'
  | 'double_zero'
  /** `0151 1234567` */
  | 'leading_zero'
  | 'no_plus'
  | 'length'
  | 'other';

/** @param text that has been refused as a phone number */
export function phoneFault(text: string): PhoneFault {
  const signs = text.slice(0, 100).replace(/[^\p{L}\p{N}+(:]/gu, '');
  if (/(?!\d)\p{Nd}/u.test(signs)) return 'other_digits';
  if (/^[a-z]+:/i.test(signs)) return 'address';
  if (/^\+\d*\(0/.test(signs)) return 'zero_in_brackets';
  const number = signs.replaceAll('(', '');
  if (!/^\+?\d+$/.test(number)) return 'other';
  if (number.startsWith('00')) return 'double_zero';
  if (/^\+?0/.test(number)) return 'leading_zero';
  const hasPlus = number.startsWith('+');
  const digits = hasPlus ? number.length - 1 : number.length;
  if (digits > 15 || (hasPlus && digits < 7)) return 'length';
  return hasPlus ? 'other' : 'no_plus';
}
