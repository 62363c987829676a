/** `pagecast schedule`: the sends that take place again and again. */
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { OccurrenceResult, Recurrence } from '../../ports.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { clip } from '../messages.js';
import { table, time } from '../render.js';

export function register(program: Command, launch: Launch): void {
  const schedule = program.command('schedule').description('the sends that take place again and again');
  schedule
    .command('list')
    .description('list them: when each comes next, and what became of it the last time')
    .addHelpText('after', '\nExample:\n  $ pagecast schedule list')
    .action(launch((context: Context) => list(context)));
  schedule
    .command('remove')
    .description('end one; campaigns that it has made already stay as they are')
    .argument('<schedule>')
    .addHelpText('after', '\nExample:\n  $ pagecast schedule remove r20261121-4f9ak')
    .action(launch((context: Context, id: string) => remove(context, id)));
}

async function list(context: Context): Promise<ExitStatus> {
  const { store } = await context.store();
  const { terminal } = context;
  const recurrences = await store.recurrences();
  if (terminal.json) terminal.document(recurrences.map(recurrenceJson));
  else if (recurrences.length === 0)
    terminal.note('There are none yet. Start one with: pagecast send --every "0 9 * * 1-5"');
  else {
    const rows = recurrences.map(({ id, cron, zone, template, accountName, nextAt, last }) => [
      id,
      `${cron} ${zone}`,
      `${template.name} (${template.language}) from ${accountName}`,
      nextAt === null ? 'ended' : time(nextAt),
      last === null ? '' : `${time(last.at)}: ${resultText(last.result)}`,
    ]);
    terminal.data(table(['SCHEDULE', 'WHEN', 'WHAT', 'NEXT', 'LAST'], rows, terminal.paint));
  }
  return EXIT.done;
}

async function remove(context: Context, id: string): Promise<ExitStatus> {
  const { store } = await context.store();
  if (!(await store.endRecurrence(id))) {
    throw new Failure(
      'RECURRENCE_UNKNOWN',
      `There is no schedule ${id} that still goes on.`,
      'List them: pagecast schedule list',
    );
  }
  if (context.terminal.json) context.terminal.document({ schedule: id, nextAt: null });
  else context.terminal.note(`${id} has ended; nothing more is sent by it.`);
  return EXIT.done;
}

export function resultText(result: OccurrenceResult): string {
  switch (result.kind) {
    case 'campaign':
      return `campaign ${result.campaign}`;
    case 'missed':
      return 'missed: no worker could start it in time';
    case 'refused':
      return `not sent: ${clip(result.message, 200)}`;
  }
}

/** A recurrence as it stands in JSON. Instants are ISO 8601 in UTC. */
export function recurrenceJson({ id, accountName, createdAt, nextAt, last, ...rest }: Recurrence): object {
  return {
    ...rest,
    schedule: id,
    account: accountName,
    createdAt: iso(createdAt),
    nextAt: iso(nextAt),
    last: last && { at: iso(last.at), ...last.result },
  };
}
