import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUsTenDigit, smsCapacity, smsSize, SmsTally } from '../../src/core/sms.js';

/** The GSM alphabet as code points, row by row as Unicode's mapping file GSM0338 lists it; written apart from core's. */
const BASIC = `
  40 a3 24 a5 e8 e9 f9 ec f2 c7 0a d8 f8 0d c5 e5  394 5f 3a6 393 39b 3a9 3a0 3a8 3a3 398 39e c6 e6 df c9
  20 21 22 23 a4 25 26 27 28 29 2a 2b 2c 2d 2e 2f  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f
  a1 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  50 51 52 53 54 55 56 57 58 59 5a c4 d6 d1 dc a7
  bf 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f  70 71 72 73 74 75 76 77 78 79 7a e4 f6 f1 fc e0`;
const EXTENSION = '0c 5e 7b 7d 5c 5b 7e 5d 7c 20ac';
const characters = (hex: string): string[] =>
  hex
    .trim()
    .split(/\s+/)
    .map((code) => String.fromCodePoint(parseInt(code, 16)));
const basic = characters(BASIC);
const extension = characters(EXTENSION);

/** The slow way: what the text costs as a list, cut into pieces of at most so many. */
function slowSize(text: string): object {
  const points = Array.from(text);
  const offender = points.find((point) => !basic.includes(point) && !extension.includes(point));
  const [encoding, whole, segment] = offender === undefined ? ['GSM-7', 160, 153] : ['UCS-2', 70, 67];
  let widths = points.map((point) =>
    offender === undefined ? (basic.includes(point) ? 1 : 2) : Buffer.from(point, 'utf16le').length / 2,
  );
  const units = widths.reduce((sum, width) => sum + width, 0);
  let segments = units === 0 ? 0 : 1;
  if (units > whole) {
    for (segments = 0; widths.length > 0; segments += 1) {
      let fitting = widths.length;
      while (widths.slice(0, fitting).reduce((sum, width) => sum + width, 0) > segment) fitting -= 1;
      widths = widths.slice(fitting);
    }
  }
  return { encoding, units, segments, ...(offender !== undefined && { offender }) };
}

const text = (...pools: string[][]): fc.Arbitrary<string> =>
  fc
    .array(fc.oneof(...pools.map((pool) => fc.constantFrom(...pool))), { maxLength: 700 })
    .map((points) => points.join(''));

describe('smsSize', () => {
  it('has the whole alphabet, and nothing else', () => {
    expect(basic).toHaveLength(127);
    for (const character of basic) expect(smsSize(character)).toMatchObject({ encoding: 'GSM-7', units: 1 });
    for (const character of extension) expect(smsSize(character)).toMatchObject({ encoding: 'GSM-7', units: 2 });
    let known = 0;
    for (let unit = 0; unit < 0x10000; unit += 1) {
      if (smsSize(String.fromCharCode(unit)).encoding === 'GSM-7') known += 1;
    }
    expect(known).toBe(127 + 10);
  });

  it.each([
    ['nothing', '', 'GSM-7', 0, 0],
    ['160 letters', 'a'.repeat(160), 'GSM-7', 160, 1],
    ['161 letters', 'a'.repeat(161), 'GSM-7', 161, 2],
    ['306 letters', 'a'.repeat(306), 'GSM-7', 306, 2],
    ['307 letters', 'a'.repeat(307), 'GSM-7', 307, 3],
    ['80 euros', '€'.repeat(80), 'GSM-7', 160, 1],
    ['a euro too many', `${'€'.repeat(80)}a`, 'GSM-7', 161, 2],
    ['a euro that does not fit at the end of a segment', `${'a'.repeat(152)}€${'a'.repeat(152)}`, 'GSM-7', 306, 3],
    ['70 letters of Greek', 'ά'.repeat(70), 'UCS-2', 70, 1],
    ['71 letters of Greek', 'ά'.repeat(71), 'UCS-2', 71, 2],
    ['134 letters of Greek', 'ά'.repeat(134), 'UCS-2', 134, 2],
    ['135 letters of Greek', 'ά'.repeat(135), 'UCS-2', 135, 3],
    ['35 emoji', '😀'.repeat(35), 'UCS-2', 70, 1],
    ['an emoji that does not fit at the end of a segment', `${'é'.repeat(66)}😀${'é'.repeat(66)}`, 'UCS-2', 134, 3],
    ['half an emoji', '\ud83d', 'UCS-2', 1, 1],
    ['Twilio’s limit, plain', 'a'.repeat(1600), 'GSM-7', 1600, 11],
    ['Twilio’s limit, with one quote of a word processor', `’${'a'.repeat(1599)}`, 'UCS-2', 1600, 24],
  ])('%s', (_label, given, encoding, units, segments) => {
    expect(smsSize(given)).toMatchObject({ encoding, units, segments });
  });

  it.each([
    ['It’s here', '’'],
    ['ça va', 'ç'],
    ['Hi 👋 – bye', '👋'],
    ['a\ttab', '\t'],
    ['half \ud83d an emoji', '\ud83d'],
  ])('names the first character of %j that is not in the alphabet', (given, offender) => {
    expect(smsSize(given).offender).toBe(offender);
  });

  it('names nobody where all are in it', () => {
    expect(smsSize('Hi {name} [1] ~ 5 €')).not.toHaveProperty('offender');
  });

  it('agrees with the slow way', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          text(basic),
          text(basic, extension),
          text(extension),
          text(basic, ['😀', '👩‍👩‍👧', 'ç', '\ud83d', '\ude00']),
          text(['😀', '’']),
          fc.string({ unit: 'binary', maxLength: 300 }),
        ),
        (given) => {
          expect(smsSize(given)).toEqual(slowSize(given));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('smsCapacity', () => {
  it.each([
    ['', 160],
    ['a', 160],
    ['a'.repeat(161), 306],
    ['ά', 70],
    ['ά'.repeat(135), 201],
  ])('of %j', (given, capacity) => {
    expect(smsCapacity(smsSize(given))).toBe(capacity);
  });
});

describe('SmsTally', () => {
  it('adds up', () => {
    const tally = new SmsTally();
    expect(tally.result()).toEqual({ segments: 0, gsm7: 0, ucs2: 0, longest: 0 });
    for (const given of ['Hi Ann', 'Hi Zoë', 'a'.repeat(400), 'Hi']) tally.add(given);
    expect(tally.result()).toEqual({ segments: 6, gsm7: 3, ucs2: 1, longest: 3 });
  });
});

describe('isUsTenDigit', () => {
  it.each(['+12125550123', '+15005550006', '+14165550123'])('%s is one', (number) => {
    expect(isUsTenDigit(number)).toBe(true);
  });

  it.each(['800', '833', '844', '855', '866', '877', '888'])('a number of the toll-free area %s is none', (area) => {
    expect(isUsTenDigit(`+1${area}5550123`)).toBe(false);
  });

  it.each([
    '+4915112345678',
    '12345',
    '+12345',
    '2125550123',
    '12125550123',
    '+1212555012',
    '+121255501234',
    '+11125550123',
  ])('%s is none', (number) => {
    expect(isUsTenDigit(number)).toBe(false);
  });
});
