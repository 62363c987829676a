/** Options that several commands share, and how their values are read. */
import { Failure } from '../core/failure.js';
import { parsePace } from '../core/pacing.js';

export interface RunOptions {
  maxFailures?: string;
  strict?: boolean;
}

export interface SendOptions extends RunOptions {
  template?: string;
  lang?: string;
  from?: string;
  sheet?: string;
  to?: string[];
  var?: string[];
  pace?: string;
  skipInvalid?: boolean;
  dryRun?: boolean;
  testTo?: string;
  acceptPolicy?: boolean;
  confirmCount?: string;
  again?: boolean;
  at?: string;
  every?: string;
  zone?: string;
  expiresAfter?: string;
  campaignKey?: string;
  outsideWindow?: string;
}

/** Collects a repeatable option. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Reads `name=value` pairs; a value may hold further `=`. */
export function parsePairs(pairs: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new Failure('USAGE', `"${pair}" is no name=value pair.`, 'Write --var name=Ann.');
    values[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return values;
}

/** @returns messages a second */
export function readPace(text: string): number {
  const pace = parsePace(text);
  if (pace !== null) return pace;
  throw new Failure('USAGE', `"${text}" is no pace.`, 'Write --pace 20/s, 30/m or unlimited.');
}

export function parseCount(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Failure('USAGE', `${option} needs a whole number, not "${text}".`);
}
