/** The help and the documents say what the program does, no more and no less. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram, exitStatusTable } from '../../src/cli/main.js';
import { EXIT, EXIT_MEANING } from '../../src/core/failure.js';
import { inside } from '../support/process-inside.js';
import { testWorkspace } from '../support/workspace.js';

const program = await buildProgram(() => () => Promise.resolve());

function leaves(command: Command, path: string[] = []): { name: string; command: Command }[] {
  return command.commands.flatMap((child) => {
    const to = [...path, child.name()];
    return child.commands.length > 0 ? leaves(child, to) : [{ name: to.join(' '), command: child }];
  });
}

/** What a command prints after its options. */
function afterHelp(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (more) => (text += more) });
  command.outputHelp();
  return text;
}

describe('the exit statuses', () => {
  const table = Object.entries(EXIT_MEANING);

  it('each have a meaning, and each meaning a status', () => {
    expect(table.map(([status]) => Number(status)).sort((a, b) => a - b)).toEqual(
      Object.values(EXIT).sort((a, b) => a - b),
    );
  });

  it('stand in docs/exit-codes.md as in the program', async () => {
    const text = await readFile(new URL('../../docs/exit-codes.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map((row) => [row[1], row[2]]);
    expect(rows).toEqual(table);
  });

  it('stand in the help as in the program', async () => {
    const { stdout, status } = await inside(await testWorkspace(), ['--help']);
    expect(status).toBe(0);
    const rows = [...stdout.matchAll(/^ {2}(\d+) +(.*)$/gm)].map((row) => [row[1], row[2]]);
    expect(rows).toEqual(table);
    expect(stdout).toContain(exitStatusTable());
  });
});

describe.each(leaves(program).map(({ name, command }) => [name, command] as const))('pagecast %s', (name, command) => {
  it('has a description, --json, and an example of itself', () => {
    expect(command.description()).not.toBe('');
    expect(command.options.map((option) => option.long)).toContain('--json');
    expect(afterHelp(command)).toMatch(new RegExp(`\\n {2}\\$ pagecast ${name}( |\\n|$)`));
  });

  it('shows only options in its examples that it has', () => {
    const [, examples = ''] = afterHelp(command).split(/Examples?:/);
    const known = command.options.flatMap((option) => [option.long, option.short]);
    for (const [option] of examples.matchAll(/(?<=\s)--?[a-z][a-z-]*/g)) expect(known).toContain(option);
  });

  it('describes each of its options', () => {
    for (const option of command.options) expect(option.description, option.long).not.toBe('');
  });
});
