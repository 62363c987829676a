import { describe, expect, it } from 'vitest';
import { failureBudget } from '../../src/cli/campaign-run.js';
import { collect, parseCount, parsePairs, readPace } from '../../src/cli/options.js';

describe('--pace', () => {
  it.each([
    ['35/s', 35],
    ['20', 20],
    ['0.5/s', 0.5],
    ['30/m', 0.5],
    ['unlimited', Infinity],
    ['999999', 999_999],
  ])('%s', (text, perSecond) => {
    expect(readPace(text)).toBe(perSecond);
  });

  it.each(['', '0', '0/s', '-1', 'fast', '35/h', '35 /s', '1e3', 'Infinity', '٣٥', '1000000000', '35/s/s', '.5'])(
    '%j is refused',
    (text) => {
      expect(() => readPace(text)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
    },
  );
});

describe('--var', () => {
  it.each<[string[], Record<string, string>]>([
    [[], {}],
    [['name=Ann'], { name: 'Ann' }],
    [['url=https://x.test/?a=b'], { url: 'https://x.test/?a=b' }],
    [['empty='], { empty: '' }],
    [['a=1', 'a=2'], { a: '2' }],
  ])('%j', (pairs, values) => {
    expect(parsePairs(pairs)).toEqual(values);
  });

  it.each(['name', '=Ann', ''])('%j is refused', (pair) => {
    expect(() => parsePairs([pair])).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  });

  it('may be given many times', () => {
    expect(['a=1', 'b=2'].reduce<string[] | undefined>((before, one) => collect(one, before), undefined)).toEqual([
      'a=1',
      'b=2',
    ]);
  });
});

describe('--confirm-count', () => {
  it.each([
    ['0', 0],
    ['1250', 1250],
    ['007', 7],
  ])('%s', (text, count) => {
    expect(parseCount('--confirm-count', text)).toBe(count);
  });

  it.each(['', '1.5', '-1', '1,250', '1 250', 'all', '1e3', '0x10', '10000000000'])('%j is refused by name', (text) => {
    expect(() => parseCount('--confirm-count', text)).toThrow(/--confirm-count/);
  });
});

describe('--max-failures', () => {
  it.each([
    [undefined, { count: 10, share: 0.1 }],
    ['25', { count: 25, share: 0 }],
    ['10%', { count: 10, share: 0.1 }],
    ['25,10%', { count: 25, share: 0.1 }],
    ['25, 10%', { count: 25, share: 0.1 }],
  ])('%s', (maxFailures, budget) => {
    expect(failureBudget(maxFailures === undefined ? {} : { maxFailures })).toEqual(budget);
  });

  it.each(['', 'few', '-5', '10%,25', '5/s', '%'])('%j is refused by name', (maxFailures) => {
    expect(() => failureBudget({ maxFailures })).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  });
});
