/** The command line: which commands there are, how one is launched, and the exit status that comes of it. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, EXIT_MEANING, type ExitStatus } from '../core/failure.js';
import { registerAccount } from './commands/account.js';
import { registerCampaign } from './commands/campaign.js';
import { registerDemo } from './commands/demo.js';
import { registerMessage } from './commands/message.js';
import { registerSandbox } from './commands/sandbox.js';
import { registerSend } from './commands/send.js';
import { registerSheet } from './commands/sheet.js';
import { registerTemplate } from './commands/template.js';
import { registerWindow } from './commands/window.js';
import { registerWorkspace } from './commands/workspace.js';
import type { Launch } from './launch.js';

/** In the order in which the help lists them. */
const REGISTER = [
  registerWorkspace,
  registerAccount,
  registerTemplate,
  registerSheet,
  registerWindow,
  registerSend,
  registerCampaign,
  registerMessage,
  registerSandbox,
  registerDemo,
];

/**
 * Runs one command line.
 * @param cwd another folder to run it in
 * @returns the exit status
 */
export async function main(argv: readonly string[], cwd?: string): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.done;
  const launch: Launch =
    (work) =>
    async (...args) => {
      // Loaded here, so that --help and --version start as fast as can be.
      const { launched } = await import('./launch.js');
      status = await launched(work, args, cwd);
    };

  const program = buildProgram(launch);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the help, the version or what is wrong with the command line.
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
  return status;
}

export function buildProgram(launch: Launch): Command {
  const program = new Command('pagecast')
    .description('Send one message template to many people who wrote to your Page, inside the 24-hour window.')
    .version(version())
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', () => `\nExit status:\n${exitStatusTable()}\n`)
    .addHelpText('after', 'Start here: pagecast demo, then pagecast init');
  for (const register of REGISTER) register(program, launch);
  settleSubcommands(program);
  return program;
}

/** What all commands share: exceptions instead of exits, and --json. */
function settleSubcommands(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) settleSubcommands(child);
  if (command.commands.length === 0) command.option('--json', 'print one JSON document; never ask');
}

export function exitStatusTable(): string {
  return Object.entries(EXIT_MEANING)
    .map(([status, meaning]) => `  ${status.padEnd(4)} ${meaning}`)
    .join('\n');
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
