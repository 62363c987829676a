/** `pagecast account`: the sending identities one has. */
import type { Command } from 'commander';
import { EXIT, type ExitStatus } from '../../core/failure.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';

export function register(program: Command, launch: Launch): void {
  const account = program.command('account').description('the Pages, Instagram accounts and numbers you send from');
  account
    .command('list')
    .description('list the accounts of pagecast.yaml and the sandbox')
    .addHelpText('after', '\nExample:\n  $ pagecast account list')
    .action(launch((context: Context) => list(context)));
}

async function list(context: Context): Promise<ExitStatus> {
  const { accounts } = await context.workspace();
  const rows = [...accounts.values()].map((account) => ({
    name: account.name,
    provider: account.provider,
    channel: account.channel,
    id: account.id,
    pace: account.pace,
    missingSecrets: context.missingSecrets(account),
  }));
  if (context.terminal.json) {
    context.terminal.document(rows);
    return EXIT.done;
  }
  const { table, pace } = await import('../render.js');
  const { paint } = context.terminal;
  context.terminal.data(
    table(
      ['ACCOUNT', 'PROVIDER', 'CHANNEL', 'ID', 'PACE', 'READY'],
      rows.map((row) => [
        row.name,
        row.provider,
        row.channel,
        row.id,
        pace(row.pace),
        row.missingSecrets.length === 0 ? paint.green('yes') : paint.red(`${row.missingSecrets.join(', ')} not set`),
      ]),
      paint,
    ),
  );
  return EXIT.done;
}
