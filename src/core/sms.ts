/**
 * What an SMS is to those who carry and charge for it. A text whose characters are all in the GSM 7-bit alphabet is counted
 * in septets; one other character, and the whole text is counted in UTF-16 units, of which far fewer fit. A text that is too
 * long for one SMS is cut into segments, each of which is sent and charged for. Sources: 3GPP TS 23.038 (alphabet and its
 * extension table), TS 23.040 (the 6 octets in each segment that put them together again).
 */

/** TS 23.038, 6.2.1, in the order of the table, without the escape to the extension table. */
const BASIC =
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?' +
  '¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';
/** TS 23.038, 6.2.1.1: an escape and a second septet each. */
const EXTENSION = '\f^{}\\[~]|€';

/** How many units fit where a text is one SMS, and where it is cut: 140 octets, or 134 beside the header. */
const CAPACITY = { 'GSM-7': { whole: 160, segment: 153 }, 'UCS-2': { whole: 70, segment: 67 } } as const;

export type SmsEncoding = keyof typeof CAPACITY;

export interface SmsSize {
  encoding: SmsEncoding;
  /** Septets (GSM-7) or UTF-16 units (UCS-2). */
  units: number;
  /** How many are sent and charged for; 0 for an empty text. */
  segments: number;
  /** The first character that is not in the GSM alphabet; there with UCS-2. */
  offender?: string;
}

/** Septets by UTF-16 unit; 0 for what the alphabet does not have. Texts are counted by the million. */
const SEPTETS = new Uint8Array(0x10000);
for (const character of BASIC) SEPTETS[character.charCodeAt(0)] = 1;
for (const character of EXTENSION) SEPTETS[character.charCodeAt(0)] = 2;

export function smsSize(text: string): SmsSize {
  const packing = new Packing('GSM-7');
  for (let index = 0; index < text.length; index += 1) {
    const septets = SEPTETS[text.charCodeAt(index)] ?? 0;
    if (septets === 0) return ucs2Size(text, index);
    packing.add(septets);
  }
  return packing.size();
}

function ucs2Size(text: string, offender: number): SmsSize {
  const packing = new Packing('UCS-2');
  for (let index = 0; index < text.length;) {
    const units = isPair(text, index) ? 2 : 1;
    packing.add(units);
    index += units;
  }
  return { ...packing.size(), offender: text.slice(offender, offender + (isPair(text, offender) ? 2 : 1)) };
}

function isPair(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xd800 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00;
}

/** Fills segments one after the other; a character that takes two units is never cut in two. */
class Packing {
  readonly #encoding: SmsEncoding;
  readonly #capacity: number;
  #units = 0;
  #segments = 0;
  #room = 0;

  constructor(encoding: SmsEncoding) {
    this.#encoding = encoding;
    this.#capacity = CAPACITY[encoding].segment;
  }

  add(units: number): void {
    this.#units += units;
    if (units > this.#room) {
      this.#segments += 1;
      this.#room = this.#capacity;
    }
    this.#room -= units;
  }

  size(): SmsSize {
    const isWhole = this.#units <= CAPACITY[this.#encoding].whole;
    return {
      encoding: this.#encoding,
      units: this.#units,
      segments: isWhole ? Math.min(this.#segments, 1) : this.#segments,
    };
  }
}

/** How many units one SMS of so many segments has room for. */
export function smsCapacity({ encoding, segments }: SmsSize): number {
  const { whole, segment } = CAPACITY[encoding];
  return segments <= 1 ? whole : segments * segment;
}

export interface SmsTotals {
  segments: number;
  /** Messages by their encoding. */
  gsm7: number;
  ucs2: number;
  /** The segments of the longest message. */
  longest: number;
}

/** Adds up what the messages of a campaign come to. */
export class SmsTally {
  readonly #totals: SmsTotals = { segments: 0, gsm7: 0, ucs2: 0, longest: 0 };

  add(text: string): void {
    const { encoding, segments } = smsSize(text);
    this.#totals.segments += segments;
    this.#totals.longest = Math.max(this.#totals.longest, segments);
    if (encoding === 'GSM-7') this.#totals.gsm7 += 1;
    else this.#totals.ucs2 += 1;
  }

  result(): SmsTotals {
    return { ...this.#totals };
  }
}

/** Area codes of toll-free numbers, which carriers let through after a check of another kind. */
const TOLL_FREE = /^\+1(?:800|833|844|855|866|877|888)/;

/**
 * Whether a number is a ten-digit long code of the North American plan. Carriers of the USA take messages of programs from
 * such a number only when brand and campaign are registered (A2P 10DLC), whichever of the plan's countries it belongs to.
 */
export function isUsTenDigit(number: string): boolean {
  return /^\+1[2-9]\d{9}$/.test(number) && !TOLL_FREE.test(number);
}
