import { describe, expect, it } from 'vitest';
import { nearest } from '../../src/workspace/nearest.js';

describe('nearest', () => {
  it.each<[string, string[], string | null]>([
    ['tokn', ['token', 'pace'], 'token'],
    ['TOKEN', ['token', 'pace'], 'token'],
    ['apcE', ['token', 'pace'], 'pace'],
    ['order-update', ['order_update', 'order_shipped'], 'order_update'],
    ['oder_updaet', ['order_update', 'order_shipped'], 'order_update'],
    ['en', ['en_US', 'de_DE'], null],
    ['en_us', ['de_DE', 'en_US'], 'en_US'],
    ['xy', ['ab', 'cd'], null],
    ['completely_else', ['order_update'], null],
    ['', ['ab'], null],
    ['a', [], null],
  ])('%s among %j is %s', (name, known, expected) => {
    expect(nearest(name, known)).toBe(expected);
  });

  it('takes little time over long names', () => {
    expect(nearest('x'.repeat(1_000_000), ['y'.repeat(1_000_000)])).toBeNull();
  });
});
