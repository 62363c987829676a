/** `pagecast message`: what became of every message. */
import { Option, type Command } from 'commander';
import { importReceipts } from '../../app/import-receipts.js';
import { RECEIPT_KINDS, ROW_STATES, type ReceiptKind, type RowState } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Campaign, MessageFilter, MessageRow, Store } from '../../ports.js';
import { iso, kindOf } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { register as registerSend } from './message-send.js';
import { accountOption, chosenAccount, noting, ofOthersLine, problemLines } from '../log-import.js';
import { clip } from '../messages.js';
import { plural, table, time } from '../render.js';

interface ListOptions {
  campaign?: string;
  state?: RowState;
  user?: string;
  receipt?: ReceiptKind;
  csv?: string;
  xlsx?: string;
  force?: boolean;
}

export function register(program: Command, launch: Launch): void {
  const message = program.command('message').description('single messages');
  registerSend(message, launch);
  message
    .command('list')
    .description('list messages, of campaigns and single ones, and what became of them')
    .option('--campaign <id>', 'only those of this campaign')
    .addOption(new Option('--state <state>', 'only those in this state').choices(ROW_STATES))
    .option('--user <id>', 'only those to this user')
    .addOption(
      new Option('--receipt <kind>', 'only those for which this receipt came, and none that says more').choices(
        RECEIPT_KINDS,
      ),
    )
    .option('--csv <file>', 'write them to a CSV file')
    .option('--xlsx <file>', 'write them to a workbook')
    .option('--force', 'overwrite the file')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast message list --campaign c20261121-4f9ak --state failed\n  $ pagecast message list --campaign c20261121-4f9ak --xlsx result.xlsx',
    )
    .action(launch((context: Context, options: ListOptions) => list(context, options)));
  message
    .command('import-receipts')
    .description('learn from a file what became of messages: receipts of CAMS, events or status callbacks of Twilio')
    .argument('<file>', 'the file, or - for standard input')
    .addOption(accountOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast message import-receipts receipts.jsonl --account acme-cams\n  $ pagecast message import-receipts - --account alice-sms < events.jsonl',
    )
    .action(
      launch((context: Context, file: string, options: { account?: string }) => importFile(context, file, options)),
    );
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
    ...(options.receipt !== undefined && { receipt: options.receipt }),
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
  'receipt',
  'receipt_at',
  'receipt_error',
  'receipt_error_text',
  'outside',
  'opener',
  'window_closes',
  'attempts',
  'started',
  'settled',
  'mode',
  'flow',
  'expires',
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
  const occasions = new Occasions(store);
  async function* rows(): AsyncIterable<readonly string[]> {
    for await (const page of store.messages(filter)) {
      for (const row of page) {
        const fields: Fields = { ...toJson(row, await occasions.of(row)), ...receiptCells(row) };
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
  const occasions = new Occasions(store);
  let before = '[';
  for await (const page of store.messages(filter)) {
    for (const row of page) {
      const more = { receipt: receiptJson(row), values: row.values };
      const fields = { ...toJson(row, await occasions.of(row)), ...more };
      await context.terminal.write(`${before}\n  ${JSON.stringify(fields)}`);
      before = ',';
    }
  }
  await context.terminal.write(before === '[' ? '[]\n' : '\n]\n');
  return EXIT.done;
}

async function printTable(context: Context, store: Store, filter: MessageFilter): Promise<ExitStatus> {
  const { terminal } = context;
  const occasions = new Occasions(store);
  let count = 0;
  for await (const page of store.messages(filter)) {
    const rows: string[][] = [];
    for (const row of page) {
      const error = row.receipt?.error ?? row.error;
      rows.push([
        row.campaign,
        kindOf(await occasions.of(row)),
        String(row.seq),
        row.userId,
        row.state,
        row.receipt?.kind ?? '',
        row.reason ?? (error ? `${error.code} ${clip(error.message, 50)}`.trimEnd() : (row.messageId ?? '')),
        row.settledAt === null ? '' : time(row.settledAt),
      ]);
    }
    const header = ['CAMPAIGN', 'KIND', 'ROW', 'USER', 'STATE', 'RECEIPT', 'DETAIL', 'WHEN'];
    terminal.data(table(header, rows, terminal.paint));
    count += page.length;
  }
  terminal.note(count === 0 ? 'No messages match.' : `${plural(count, 'message')}.`);
  return EXIT.done;
}

interface Occasion extends Pick<Campaign, 'mode' | 'flow'> {
  /** Whether it is a single message, which has an expiry of its own. */
  isSingle: boolean;
}

/** What occasioned messages, which their campaigns know. */
class Occasions {
  readonly #store: Store;
  readonly #known = new Map<string, Promise<Occasion>>();

  constructor(store: Store) {
    this.#store = store;
  }

  of({ campaign: id }: MessageRow): Promise<Occasion> {
    const known =
      this.#known.get(id) ??
      this.#store.campaign(id).then((campaign) => ({
        mode: campaign?.mode ?? 'bulk',
        flow: campaign?.flow ?? null,
        isSingle: campaign?.state === 'continuous',
      }));
    this.#known.set(id, known);
    return known;
  }
}

type Fields = Record<string, string | number | boolean | null>;

function toJson(row: MessageRow, { mode, flow, isSingle }: Occasion): Fields {
  return {
    campaign: row.campaign,
    row: row.seq,
    user_id: row.userId,
    state: row.state,
    reason: row.reason,
    error: row.error?.code ?? null,
    error_text: row.error?.message ?? null,
    message_id: row.messageId,
    outside: row.outside,
    opener: row.opener,
    window_closes: isSingle ? null : iso(row.closesAt),
    attempts: row.attempts,
    started: iso(row.startedAt),
    settled: iso(row.settledAt),
    mode,
    flow,
    expires: isSingle ? iso(row.closesAt) : null,
  };
}

function receiptJson({ receipt }: MessageRow): object | null {
  return receipt && { ...receipt, at: iso(receipt.at) };
}

/** The same for a table, which knows no values within values. */
function receiptCells({ receipt }: MessageRow): Record<string, string | null> {
  return {
    receipt: receipt?.kind ?? null,
    receipt_at: receipt && iso(receipt.at),
    receipt_error: receipt?.error?.code ?? null,
    receipt_error_text: receipt?.error?.message ?? null,
  };
}

// ---------------------------------------------------------------------------------------------------- receipts

async function importFile(context: Context, file: string, options: { account?: string }): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const account = await chosenAccount(context, options.account);
  const { store } = await context.store();
  const { readReceiptLog } = await context.receiptLog();
  const source = file === '-' ? terminal.input : context.path(file);
  const others = new Set<string>();
  const batches = noting(readReceiptLog(source, { now: clock.now(), accountId: account.id }), others);
  const report = await importReceipts({ store, clock }, account, batches);
  const ok = report.problems === 0;
  const { other_account: ofOthers = 0, ...noReceipts } = report.ignored;
  if (terminal.json) {
    terminal.document({ file, account: account.name, ok, ...report, otherAccounts: [...others] });
  } else {
    terminal.data(
      `${plural(report.receipts, 'receipt')} read, ${report.matched.toLocaleString('en')} of them of messages from ${account.name}.`,
    );
    if (report.settled > 0) {
      terminal.data(`${plural(report.settled, 'message was', 'messages were')} settled by that: accepted, so sent.`);
    }
    if (report.unmatched > 0) {
      terminal.data(
        `${plural(report.unmatched, 'receipt belongs', 'receipts belong')} to no message that was sent from here.`,
      );
    }
    if (ofOthers > 0) terminal.data(ofOthersLine(ofOthers, others, account));
    const passedOver = Object.entries(noReceipts).map(([kind, count]) => `${count} ${kind}`);
    if (passedOver.length > 0) terminal.data(`Passed over, because they are no receipts: ${passedOver.join(', ')}.`);
    for (const line of problemLines(report, report.receipts > 0)) terminal.note(line);
  }
  if (report.receipts === 0) {
    throw new Failure(
      'IMPORT_INVALID',
      `${file} holds no receipts for ${account.name}.`,
      noReceiptsHint(report.ignored),
    );
  }
  return ok ? EXIT.done : EXIT.invalid;
}

function noReceiptsHint({ other_account: ofOthers = 0, inbound = 0 }: Record<string, number>): string {
  if (ofOthers > 0) return 'It is the log of another account: pass the name of that one with --account.';
  if (inbound > 0) return 'What people wrote opens their windows: pagecast window import reads that.';
  return 'It needs ChatAppStatus bodies of CAMS as JSON, or events or status callbacks of Twilio, one a line.';
}
