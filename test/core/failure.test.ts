import { describe, expect, it } from 'vitest';
import { EXIT, EXIT_MEANING, Failure, gravest, type ExitStatus, type FailureCode } from '../../src/core/failure.js';

describe('Failure', () => {
  it.each<[FailureCode, number]>([
    ['USAGE', 2],
    ['STORE_NEWER', 2],
    ['SHEET_INVALID', 3],
    ['COUNT_DIFFERS', 6],
    ['ALREADY_SENT', 6],
    ['ACCOUNT_BUSY', 7],
    ['LEASE_LOST', 7],
    ['STORE_FULL', 7],
    ['INTERRUPTED', 130],
  ])('%s ends a command with %i', (code, status) => {
    expect(new Failure(code, 'words').status).toBe(status);
  });

  it('keeps its cause, and has none of its own making', () => {
    const cause = new Error('below');
    expect(new Failure('USAGE', 'words', 'do this', cause)).toMatchObject({ message: 'words', hint: 'do this', cause });
    expect('cause' in new Failure('USAGE', 'words')).toBe(false);
  });

  it('has one meaning for each exit status', () => {
    expect(Object.keys(EXIT_MEANING).map(Number).sort()).toEqual(Object.values(EXIT).sort());
  });
});

describe('the status of several things', () => {
  it.each<[statuses: ExitStatus[], status: ExitStatus]>([
    [[], EXIT.done],
    [[EXIT.done, EXIT.tryAgain], EXIT.tryAgain],
    [[EXIT.tryAgain, EXIT.usage, EXIT.done], EXIT.usage],
    [[EXIT.usage, EXIT.stopped], EXIT.stopped],
    [[EXIT.stopped, EXIT.unauthorized], EXIT.unauthorized],
    [[EXIT.unauthorized, EXIT.internal], EXIT.internal],
  ])('%j come to %i', (statuses, status) => {
    expect(gravest(statuses)).toBe(status);
  });

  it('leaves none of them out', () => {
    for (const status of Object.values(EXIT)) expect(gravest([EXIT.done, status])).toBe(status);
  });
});
