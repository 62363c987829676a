import { describe, expect, it } from 'vitest';
import { finding, isError } from '../../src/core/finding.js';

describe('finding', () => {
  it('has its place, or none', () => {
    expect(finding('NO_ROWS', {})).toEqual({ code: 'NO_ROWS', severity: 'error', row: null, column: null, args: {} });
    expect(finding('ID_MISSING', {}, { row: 7, column: 'User ID' })).toMatchObject({ row: 7, column: 'User ID' });
  });

  it('takes its severity from its code', () => {
    expect(finding('ID_CLEANED', { found: ' 1' }).severity).toBe('note');
    expect(finding('CELL_NUMBER', { text: '1.5' }).severity).toBe('warning');
    expect(finding('VARIABLE_UNUSED', { variable: 'x' }).severity).toBe('warning');
    expect(finding('CELL_FORMULA', {}).severity).toBe('error');
  });

  it('is a warning for a duplicate with the same values only', () => {
    const same = finding('ID_DUPLICATE', { firstRow: 2, sameValues: true });
    const different = finding('ID_DUPLICATE', { firstRow: 2, sameValues: false });
    expect([isError(same), isError(different)]).toEqual([false, true]);
  });
});
