import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { camsTaskId, readCamsTaskId } from '../../src/core/metadata.js';

const AT = Date.UTC(2026, 10, 22, 4, 20);

describe('the task id of a call to CAMS', () => {
  it('names the campaign, the row and the time', () => {
    const id = camsTaskId({ campaign: 'c20261122-ab12c', seq: 17 }, AT);
    expect(id).toBe(`pagecast-c20261122-ab12c-17-${AT.toString(36)}`);
    expect(readCamsTaskId(id)).toEqual({ campaign: 'c20261122-ab12c', seq: 17 });
  });

  it('gives back every row that it can name, and is another one a millisecond later', () => {
    const row = fc.record({
      campaign: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      seq: fc.integer({ min: 1, max: 999_999_999 }),
    });
    fc.assert(
      fc.property(row, fc.integer({ min: 0, max: 2 ** 45 }), (one, at) => {
        expect(readCamsTaskId(camsTaskId(one, at))).toEqual(one);
        expect(camsTaskId(one, at + 1)).not.toBe(camsTaskId(one, at));
      }),
    );
  });

  it.each([
    ['a message id of CAMS', '8900000100020001'],
    ['another program', 'campaign-7'],
    ['no row', 'pagecast-c1-0-mab'],
    ['more behind it', 'pagecast-c1-1-mab\n'],
    ['strange letters in the campaign', 'pagecast-c1;-1-mab'],
    ['no time', 'pagecast-c1-1-'],
    ['no text', ['pagecast-c1-1-mab']],
    ['nothing', undefined],
  ])('is none of ours with %s', (_label, other) => {
    expect(readCamsTaskId(other)).toBeNull();
  });
});
