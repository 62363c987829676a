/** What workers and listeners tell people: every line stands by itself. */
import { Chalk } from 'chalk';
import { expect, it } from 'vitest';
import { createLog } from '../../src/cli/log.js';
import type { Terminal } from '../../src/cli/terminal.js';
import { FakeClock } from '../support/fake-clock.js';
import { NOW } from '../support/fixtures.js';

it('begins each line with its time, and shows without colours what is a warning', () => {
  const lines: string[] = [];
  const terminal = { note: (line: string) => lines.push(line), tint: new Chalk({ level: 0 }) };
  const log = createLog('text', terminal as unknown as Terminal, new FakeClock(NOW));
  log.info('ready', 'Ready.');
  log.warn('flow_broken', 'Not run: one\ntwo');
  const at = `${new Date(NOW).toISOString().slice(0, 19)}Z`;
  expect(lines).toEqual([`${at} Ready.`, `${at} warning: Not run: one`, `${at} warning: two`]);
});
