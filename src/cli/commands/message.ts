/** `pagecast message`: what became of every message. */
import { Option, type Command } from 'commander';
import { ROW_STATES, type RowState } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Campaign, MessageFilter, MessageRow, Store } from '../../ports.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { clip } from '../messages.js';
import { plural, table, time } from '../render.js';

interface ListOptions {
  campaign?: string;
  state?: RowState;
  user?: string;
  csv?: string;
  xlsx?: string;
  force?: boolean;
}

export function register(program: Command, launch: Launch): void {
  const message = program.command('message').description('single messages');
  message
    .command('list')
    .description('list messages and what became of them')
    .option('--campaign <id>', 'only those of this campaign')
    .addOption(new Option('--state <state>', 'only those in this state').choices(ROW_STATES))
    .option('--user <id>', 'only those to this user')
    .option('--csv <file>', 'write them to a CSV file')
    .option('--xlsx <file>', 'write them to a workbook')
    .option('--force', 'overwrite the file')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast message list --campaign c20261121-4f9ak --state failed\n  $ pagecast message list --campaign c20261121-4f9ak --xlsx result.xlsx',
    )
    .action(launch((context: Context, options: ListOptions) => list(context, options)));
}

async function list(context: Context, options: ListOptions): Promise<ExitStatus> {
  const { store } = await context.store();
  const campaign = options.campaign === undefined ? null : await store.campaign(options.campaign);
  if (options.campaign !== undefined && campaign === null) {
    throw new Failure(
      'CAMPAIGN_UNKNOWN',
      `There is no campaign ${options.campaign}.`,
      'List them: pagecast campaign list',
    );
  }
  const filter: MessageFilter = {
    ...(options.campaign !== undefined && { campaign: options.campaign }),
    ...(options.state !== undefined && { state: options.state }),
    ...(options.user !== undefined && { userId: options.user }),
  };
  const file = options.csv ?? options.xlsx;
  if (options.csv !== undefined && options.xlsx !== undefined)
    throw new Failure('USAGE', '--csv and --xlsx exclude one another.');
  if (file !== undefined) return writeTable(context, store, filter, file, options, campaign);
  if (context.terminal.json) return printJson(context, store, filter);
  return printTable(context, store, filter);
}

const COLUMNS = [
  'campaign',
  'row',
  'user_id',
  'state',
  'reason',
  'error',
  'error_text',
  'message_id',
  'opener',
  'window_closes',
  'attempts',
  'started',
  'settled',
];

async function writeTable(
  context: Context,
  store: Store,
  filter: MessageFilter,
  file: string,
  options: ListOptions,
  campaign: Campaign | null,
): Promise<ExitStatus> {
  const path = context.path(file);
  const ending = options.csv === undefined ? '.xlsx' : '.csv';
  if (!path.toLowerCase().endsWith(ending)) throw new Failure('USAGE', `The file needs a name that ends in ${ending}.`);
  const valuesOf = (row: MessageRow): readonly string[] =>
    campaign === null ? [row.values.join(' | ')] : campaign.variables.map((_, index) => row.values[index] ?? '');
  async function* rows(): AsyncIterable<readonly string[]> {
    for await (const page of store.messages(filter)) {
      for (const row of page) {
        const fields = toJson(row);
        yield [...COLUMNS.map((column) => String(fields[column] ?? '')), ...valuesOf(row)];
      }
    }
  }
  // Several campaigns need not have the same variables.
  const header = [...COLUMNS, ...(campaign === null ? ['values'] : campaign.variables)];
  const count = await (await context.sheets()).exportTable(path, header, rows(), options.force === true);
  if (context.terminal.json) context.terminal.document({ file: path, messages: count });
  else {
    context.terminal.data(path);
    context.terminal.note(`${plural(count, 'message')} written.`);
  }
  return EXIT.done;
}

/** One JSON array, written as it is read, so that a million messages need no memory. */
async function printJson(context: Context, store: Store, filter: MessageFilter): Promise<ExitStatus> {
  let before = '[';
  for await (const page of store.messages(filter)) {
    for (const row of page) {
      await context.terminal.write(`${before}\n  ${JSON.stringify({ ...toJson(row), values: row.values })}`);
      before = ',';
    }
  }
  await context.terminal.write(before === '[' ? '[]\n' : '\n]\n');
  return EXIT.done;
}

async function printTable(context: Context, store: Store, filter: MessageFilter): Promise<ExitStatus> {
  const { terminal } = context;
  let count = 0;
  for await (const page of store.messages(filter)) {
    const rows = page.map((row) => [
      row.campaign,
      String(row.seq),
      row.userId,
      row.state,
      row.reason ?? (row.error ? `${row.error.code} ${clip(row.error.message, 50)}` : (row.messageId ?? '')),
      row.settledAt === null ? '' : time(row.settledAt),
    ]);
    terminal.data(table(['CAMPAIGN', 'ROW', 'USER', 'STATE', 'DETAIL', 'WHEN'], rows, terminal.paint));
    count += page.length;
  }
  terminal.note(count === 0 ? 'No messages match.' : `${plural(count, 'message')}.`);
  return EXIT.done;
}

function toJson(row: MessageRow): Record<string, string | number | null> {
  return {
    campaign: row.campaign,
    row: row.seq,
    user_id: row.userId,
    state: row.state,
    reason: row.reason,
    error: row.error?.code ?? null,
    error_text: row.error?.message ?? null,
    message_id: row.messageId,
    opener: row.opener,
    window_closes: iso(row.closesAt),
    attempts: row.attempts,
    started: iso(row.startedAt),
    settled: iso(row.settledAt),
  };
}
