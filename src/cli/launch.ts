/** How a command's work is run: with a context, which is closed afterwards, and errors turned into an exit status. */
import type { Command } from 'commander';
import { Failure, type ExitStatus } from '../core/failure.js';
import { Context, type GlobalOptions } from './context.js';
import { reportError } from './errors.js';

/** The work of a command: a function of the context, the command's arguments and its options. */
export type Work<Args extends unknown[]> = (context: Context, ...args: Args) => Promise<ExitStatus>;

/** Turns work into an action for commander. */
export type Launch = <Args extends unknown[]>(work: Work<Args>) => (...args: [...Args, Command]) => Promise<void>;

export async function launched<Args extends unknown[]>(
  work: Work<Args>,
  args: [...Args, Command],
  cwd?: string,
): Promise<ExitStatus> {
  const command = args.at(-1) as Command;
  const context = new Context(command.opts<GlobalOptions>(), cwd);
  let status: ExitStatus;
  try {
    status = await work(context, ...(args.slice(0, -1) as Args));
  } catch (error) {
    status = reportError(error, context.terminal);
    if (error instanceof Failure) (await context.githubActions())?.failure(error.code, error.message, error.hint);
  }
  try {
    await context.close();
  } catch (error) {
    status = reportError(error, context.terminal);
  }
  return status;
}

/** Tells as JSON what is wrong with a command line. */
export function usageError(message: string): void {
  const hint = 'pagecast --help lists the commands, and --help after a command its options.';
  reportError(new Failure('USAGE', message, hint), new Context({ json: true }).terminal);
}
