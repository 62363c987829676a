import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdTable } from '../../src/core/id-table.js';

const id = fc.oneof(
  fc.bigInt({ min: 10_000n, max: 10n ** 20n - 1n }).map(String),
  fc.bigInt({ min: 1_000_000n, max: 10n ** 15n - 1n }).map((phone) => `+${phone}`),
);
// Ids that differ in one half only, in one digit, or in length, as a coarse key would confuse them.
const close = fc.tuple(id, fc.nat(9)).map(([one, digit]) => one.slice(0, -1) + String(digit));

describe('IdTable', () => {
  it('agrees with a map, also while it grows', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(id, close), { maxLength: 3000 }), (ids) => {
        // Phones and user IDs are never in one table.
        const kind = ids.filter((one) => one.startsWith('+') === ids[0]?.startsWith('+'));
        const table = new IdTable();
        const map = new Map<string, number>();
        for (const one of kind) {
          const known = map.get(one);
          expect(table.entryOf(one)).toEqual({ entry: known ?? map.size, isNew: known === undefined });
          if (known === undefined) map.set(one, map.size);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('keeps neighbouring ids of 20 digits apart', () => {
    const table = new IdTable();
    for (let index = 0; index < 5000; index += 1) {
      expect(table.entryOf(String(99_999_999_999_999_990_000n + BigInt(index))).entry).toBe(index);
    }
    expect(table.entryOf('99999999999999990000')).toEqual({ entry: 0, isNew: false });
  });
});
