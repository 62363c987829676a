/** The command line: which commands there are, how one is launched, and the exit status that comes of it. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, EXIT_MEANING, type ExitStatus } from '../core/failure.js';
import type { Launch } from './launch.js';

interface CommandModule {
  register(program: Command, launch: Launch): void;
}

/** Which module has a command, in the order in which the help lists them. Only the one that is named is loaded. */
const MODULES: readonly (readonly [names: readonly string[], load: () => Promise<CommandModule>])[] = [
  [['init', 'doctor'], () => import('./commands/workspace.js')],
  [['account'], () => import('./commands/account.js')],
  [['template'], () => import('./commands/template.js')],
  [['sheet'], () => import('./commands/sheet.js')],
  [['window'], () => import('./commands/window.js')],
  [['plan', 'send'], () => import('./commands/send.js')],
  [['run'], () => import('./commands/run.js')],
  [['listen'], () => import('./commands/listen.js')],
  [['flow'], () => import('./commands/flow.js')],
  [['campaign'], () => import('./commands/campaign.js')],
  [['schedule'], () => import('./commands/schedule.js')],
  [['message'], () => import('./commands/message.js')],
  [['inbox'], () => import('./commands/inbox.js')],
  [['optout'], () => import('./commands/optout.js')],
  [['sandbox'], () => import('./commands/sandbox.js')],
  [['demo'], () => import('./commands/demo.js')],
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

  const program = await buildProgram(launch, argv[2]);
  if (argv.includes('--json')) silence(program);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the help, the version or, unless as JSON, what is wrong with the command line.
    if (error.exitCode === 0) return EXIT.done;
    if (argv.includes('--json')) {
      const { usageError } = await import('./launch.js');
      usageError(error.message.replace(/^error: /, ''));
    }
    return EXIT.usage;
  }
  return status;
}

/** @param first the first word of the command line; only the command that it names is loaded, or else all of them */
export async function buildProgram(launch: Launch, first?: string): Promise<Command> {
  const program = new Command('pagecast')
    .description('Send one message template to many people who wrote to your Page, inside the 24-hour window.')
    .version(version())
    // An option of a command may be called --version, too.
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', () => `\nExit status:\n${exitStatusTable()}\n`)
    .addHelpText('after', 'Start here: pagecast demo, then pagecast init');
  const named = MODULES.filter(([names]) => first !== undefined && names.includes(first));
  const wanted = named.length > 0 ? named : first === '--version' || first === '-V' ? [] : MODULES;
  for (const [, load] of wanted) (await load()).register(program, launch);
  settleSubcommands(program);
  return program;
}

/** What all commands share: exceptions instead of exits, and --json. */
function settleSubcommands(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) settleSubcommands(child);
  if (command.commands.length === 0) command.option('--json', 'print one JSON document; never ask');
}

/** With --json an error is one document on stderr, and commander must not write its own words there. */
function silence(command: Command): void {
  command.configureOutput({ writeErr: () => undefined });
  for (const child of command.commands) silence(child);
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
