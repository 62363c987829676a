import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phoneFault, withoutSeparators, type PhoneFault } from '../../src/core/phone.js';

describe('withoutSeparators', () => {
  it.each([
    ['+1-555-000-1111', '+15550001111'],
    ['+1.555.000.1111', '+15550001111'],
    ['+1(555)000-1111', '+15550001111'],
    ['+49151/12345678', '+4915112345678'],
    ['+41(79)/123.45.67', '+41791234567'],
    ['+33.6.12.34.56.78', '+33612345678'],
    ['+493012345-0', '+4930123450'],
  ])('%s is %s', (text, number) => {
    expect(withoutSeparators(text)).toBe(number);
  });

  it.each([
    ['a 0 in brackets', '+49(0)15112345678'],
    ['an area code with its 0 in brackets', '+49(0151)12345678'],
    ['another ending', '+4915112345678/79'],
    ['two numbers', '+15550001111/+15550002222'],
    ['two numbers, of which one has no +', '+15550001111/5550002222'],
    ['what is left of a fraction', '+4915112345678.0'],
    ['no +', '1-555-000-1111'],
    ['no + in front', '(+1)555-000-1111'],
    ['letters', '+1-555-CALL-NOW'],
    ['digits of another script', '+１-555-000-1111'],
    ['too few digits', '+1-555-0'],
    ['more signs than a number has', `+1555000${'-'.repeat(100_000)}1111`],
    ['many alternatives', `+1555000${'/'.repeat(100_000)}11111`],
  ])('leaves alone %s', (_, text) => {
    expect(withoutSeparators(text)).toBe(text);
  });

  it('never adds, leaves out or changes a digit', () => {
    const text = fc
      .string({ unit: fc.constantFrom(...Array.from('0123456789-.()/')), maxLength: 30 })
      .map((rest) => `+${rest}`);
    fc.assert(
      fc.property(text, (written) => {
        expect(withoutSeparators(written).replace(/\D/g, '')).toBe(written.replace(/\D/g, ''));
      }),
    );
  });
});

describe('phoneFault', () => {
  it.each<[string, PhoneFault]>([
    ['00491511234567', 'double_zero'],
    ['0049 (0)151 1234567', 'double_zero'],
    ['0151 1234567', 'leading_zero'],
    ['(0151) 1234567', 'leading_zero'],
    ['+0151 1234567', 'leading_zero'],
    ['(555) 000-1111', 'no_plus'],
    ['15550001111', 'no_plus'],
    ['15550001111.0', 'no_plus'],
    ['\u200e555 000 1111', 'no_plus'],
    ['+1555', 'length'],
    ['+1234567890123456', 'length'],
    ['15550001111, 15550002222', 'length'],
    ['１５５５０００１１１１', 'other_digits'],
    ['+٤٩١٥١١٢٣٤٥٦٧', 'other_digits'],
    ['tel:+15550001111', 'address'],
    ['Tel.: 0151 1234567', 'address'],
    ['+49 (0)151 1234567', 'zero_in_brackets'],
    ['+49 ( 0 ) 151 1234567', 'zero_in_brackets'],
    ['+49 (0151) 1234567', 'zero_in_brackets'],
    ['(+1) 555 000 1111', 'other'],
    ['+15550001111 +15550002222', 'other'],
    ['+49 151 1234567/68', 'other'],
    ['+1 555 CALL NOW', 'other'],
    ['ann', 'other'],
    ['+', 'other'],
  ])('of %s is %s', (text, fault) => {
    expect(phoneFault(text)).toBe(fault);
  });

  it('is found quickly, however long the text', () => {
    expect(phoneFault(`+49(0)${'1'.repeat(1_000_000)}`)).toBe('zero_in_brackets');
  });
});
