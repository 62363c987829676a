import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explainUndelivered, standsAgainst, type KeptReceipt } from '../../src/core/receipt.js';

const at = (kind: KeptReceipt['kind'], when = 5, code: string | null = null): KeptReceipt => ({
  kind,
  at: when,
  error: code === null ? null : { code, message: 'why' },
});

describe('of two receipts for one message', () => {
  it.each<[string, KeptReceipt, KeptReceipt | null, boolean]>([
    ['the first stands', at('undelivered'), null, true],
    ['read says more than delivered', at('read'), at('delivered'), true],
    ['delivered does not take back that it was read', at('delivered', 9), at('read', 1), false],
    ['a failure that is told later does not take back the delivery', at('undelivered', 9), at('delivered', 1), false],
    ['a delivery that is told after a failure counts', at('delivered', 1), at('undelivered', 9), true],
    ['the earlier of two equal ones stands', at('read', 4), at('read', 5), true],
    ['the later of two equal ones does not', at('read', 6), at('read', 5), false],
    ['the same one again changes nothing', at('undelivered', 5, 'a'), at('undelivered', 5, 'a'), false],
  ])('%s', (_, found, kept, expected) => {
    expect(standsAgainst(found, kept)).toBe(expected);
  });

  it('the same one stands, whichever comes first', () => {
    const some = fc.record({
      kind: fc.constantFrom('delivered' as const, 'read' as const, 'undelivered' as const),
      at: fc.integer({ min: 1, max: 3 }),
      error: fc.constantFrom(null, { code: 'a', message: '' }, { code: 'a', message: 'b' }, { code: 'b', message: '' }),
    });
    const last = (receipts: readonly KeptReceipt[]): KeptReceipt | null =>
      receipts.reduce<KeptReceipt | null>((kept, found) => (standsAgainst(found, kept) ? found : kept), null);
    fc.assert(
      fc.property(
        fc
          .array(some, { maxLength: 8 })
          .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        ([all, shuffled]) => {
          expect(last(shuffled)).toEqual(last(all));
        },
      ),
    );
  });
});

describe('why a message was not delivered', () => {
  it.each([
    ['cams:131026', 'The message could not be delivered to this person.'],
    ['twilio:30003', 'The phone could not be reached: switched off, or without a network.'],
    ['', 'The service gave no reason.'],
  ])('is explained for %s', (code, meaning) => {
    expect(explainUndelivered(code).meaning).toBe(meaning);
  });
});
