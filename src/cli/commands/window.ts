/** `pagecast window`: who may be written to, and until when. */
import { Option, type Command } from 'commander';
import { forecastWindows } from '../../app/forecast.js';
import { importWindows } from '../../app/import-windows.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { senderKey } from '../../core/sender.js';
import { closesAt, enabledOpeners } from '../../core/window.js';
import type { WindowLogBatch } from '../../inbound/window-log.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { clip, findingJson, sentence } from '../messages.js';
import { duration, forecastChart, plural, table, time } from '../render.js';

interface WindowOptions {
  account?: string;
  format?: 'csv' | 'jsonl' | 'webhook';
  sheet?: string;
}

export function register(program: Command, launch: Launch): void {
  const window = program.command('window').description('the 24-hour messaging windows');
  const account = (): Option =>
    new Option('--account <name>', 'the account (default: sandbox, where there is no other)');
  window
    .command('import')
    .description(
      'learn from a file who wrote when: CSV (user_id,opened_at[,opener]), JSON lines, or logged webhook bodies',
    )
    .argument('<file>', 'the file, or - for standard input')
    .addOption(account())
    .addOption(
      new Option('--format <format>', 'what the file holds (default: seen from its contents)').choices([
        'csv',
        'jsonl',
        'webhook',
      ]),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast window import windows.csv --account acme-page\n  $ pagecast window import webhooks.jsonl --account acme-page',
    )
    .action(launch((context: Context, file: string, options: WindowOptions) => importFile(context, file, options)));
  window
    .command('show')
    .description("show one person's window")
    .argument('<id>', 'the user ID')
    .addOption(account())
    .addHelpText('after', '\nExample:\n  $ pagecast window show 7642925849053947 --account acme-page')
    .action(launch((context: Context, id: string, options: WindowOptions) => show(context, id, options)));
  window
    .command('forecast')
    .description('show how many are inside their window now and in each coming hour')
    .addOption(account())
    .option('--sheet <file>', 'only the people of this sheet')
    .addHelpText('after', '\nExample:\n  $ pagecast window forecast --account acme-page --sheet orders.xlsx')
    .action(launch((context: Context, options: WindowOptions) => forecast(context, options)));
}

/** Windows that are opened for the wrong account would be trusted, so a choice is never made for anybody. */
async function chosenAccount(context: Context, given: string | undefined): Promise<AccountConfig> {
  if (given !== undefined) return context.account(given);
  const names = [...(await context.workspace()).accounts.keys()];
  if (names.length > 1) {
    throw new Failure('ANSWER_NEEDED', '--account is missing.', `Pass --account with one of: ${names.join(', ')}.`);
  }
  return context.account(names[0] ?? 'sandbox');
}

/** How many ids of other accounts are named. */
const NAMED_ACCOUNTS = 3;

async function importFile(context: Context, file: string, options: WindowOptions): Promise<ExitStatus> {
  const account = await chosenAccount(context, options.account);
  const { name } = account;
  const { format } = options;
  const { store } = await context.store();
  const { readWindowLog } = await context.windowLog();
  const source = file === '-' ? context.terminal.input : context.path(file);
  const batches = readWindowLog(source, { now: context.clock.now(), accountId: account.id, ...(format && { format }) });
  const others = new Set<string>();
  const report = await importWindows({ store, clock: context.clock }, account, noting(batches, others));
  const ok = report.problems === 0;
  const { other_account: ofOthers = 0, ...passedOver } = report.ignored;
  if (context.terminal.json) {
    context.terminal.document({ file, account: name, ok, ...report, otherAccounts: [...others] });
  } else {
    context.terminal.data(
      `${plural(report.events, 'opener')} read, ${plural(report.moved, 'window')} opened or moved forward for ${name}.`,
    );
    if (report.echoes > 0) {
      context.terminal.data(
        `${plural(report.echoes, 'message')} of ours came back; ${plural(report.settled, 'unknown outcome was', 'unknown outcomes were')} settled by that.`,
      );
    }
    if (ofOthers > 0) {
      const ids = [...others].slice(0, NAMED_ACCOUNTS).map((id) => clip(id));
      const which = others.size === 1 ? 'another account (id' : 'other accounts (ids';
      const more = others.size > ids.length ? ', …' : '';
      context.terminal.data(
        `Passed over: ${ofOthers} of ${which} ${ids.join(', ')}${more}); ${name} is ${account.id}.`,
      );
    }
    const ignored = Object.entries(passedOver).map(([kind, count]) => `${count} ${kind}`);
    if (ignored.length > 0) context.terminal.data(`Passed over, because they open no window: ${ignored.join(', ')}.`);
    for (const problem of report.listed) {
      context.terminal.note(`  ${problem.line === 0 ? '' : `line ${problem.line}: `}${problem.text}`);
    }
    if (report.problems > report.listed.length)
      context.terminal.note(`  … and ${report.problems - report.listed.length} more`);
    if (report.problems > 0 && report.events > 0)
      context.terminal.note(`${plural(report.problems, 'line')} could not be used; the others were.`);
  }
  // A log of nothing but echoes has told something all the same.
  if (report.events === 0 && report.echoes === 0) {
    throw new Failure(
      'IMPORT_INVALID',
      `${file} holds nothing that opens a window.`,
      ofOthers > 0
        ? 'It is the log of another account: pass the name of that one with --account.'
        : 'A CSV needs the columns user_id,opened_at[,opener], with times such as 2026-11-21T10:00:00Z.',
    );
  }
  return ok ? EXIT.done : EXIT.invalid;
}

/** Passes batches on, and remembers whose events were left out. */
async function* noting(batches: AsyncIterable<WindowLogBatch>, others: Set<string>): AsyncIterable<WindowLogBatch> {
  for await (const batch of batches) {
    for (const id of batch.otherAccounts) if (others.size <= NAMED_ACCOUNTS) others.add(id);
    yield batch;
  }
}

async function show(context: Context, id: string, options: WindowOptions): Promise<ExitStatus> {
  const account = await chosenAccount(context, options.account);
  const { name } = account;
  const { window: settings } = await context.workspace();
  const { store } = await context.store();
  const now = context.clock.now();
  const enabled = enabledOpeners(settings);
  const openers = (await store.openersOf(senderKey(account), id)).map(({ opener, openedAt }) => ({
    opener,
    openedAt,
    counts: enabled.includes(opener),
    closesAt: closesAt(openedAt, settings),
  }));
  const last = openers.find((one) => one.counts);
  const state = last === undefined ? 'unknown' : now < last.closesAt ? 'open' : 'closed';
  if (context.terminal.json) {
    context.terminal.document({ account: name, userId: id, state, closesAt: last?.closesAt ?? null, openers });
    return EXIT.done;
  }
  const { paint } = context.terminal;
  if (last === undefined) context.terminal.data(`${id} is not known to have written to ${name}.`);
  else if (state === 'open')
    context.terminal.data(
      `${paint.green('open')} for another ${duration(last.closesAt - now)}, until ${time(last.closesAt)}`,
    );
  else context.terminal.data(`${paint.red('shut')} since ${time(last.closesAt)}`);
  if (openers.length > 0) {
    const rows = openers.map((one) => [
      one.opener,
      time(one.openedAt),
      one.counts ? time(one.closesAt) : 'turned off in pagecast.yaml',
    ]);
    context.terminal.data(table(['OPENER', 'LAST', 'WINDOW CLOSES'], rows, paint));
  }
  return EXIT.done;
}

async function forecast(context: Context, options: WindowOptions): Promise<ExitStatus> {
  const account = await chosenAccount(context, options.account);
  const { window } = await context.workspace();
  const { store } = await context.store();
  const sheets = await context.sheets();
  const limits = await context.sheetLimits();
  const audience = options.sheet === undefined ? 'everybody' : { sheet: context.path(options.sheet), limits };
  const report = await forecastWindows({ store, sheets }, account, audience, window, context.clock.now());
  if (report.fault) {
    if (context.terminal.json) context.terminal.document({ ...report, fault: findingJson(report.fault) });
    throw new Failure('SHEET_INVALID', sentence(report.fault));
  }
  if (context.terminal.json) context.terminal.document(report);
  else printForecast(context, report);
  return EXIT.done;
}

export function printForecast({ terminal }: Context, report: Awaited<ReturnType<typeof forecastWindows>>): void {
  const { inside, closed, unusable } = report;
  terminal.data(
    `${report.account}, ${plural(report.people, 'person', 'people')}: ${inside[0] ?? 0} inside their window now, ${closed} outside, ${report.unknown} not known to have written.`,
  );
  if (unusable > 0) terminal.data(`${plural(unusable, 'row has', 'rows have')} no usable id.`);
  const isAnyoneInside = inside.some((count) => count > 0);
  if (isAnyoneInside) terminal.data(forecastChart(report, terminal.width, terminal.paint));
  else if (closed === 0)
    terminal.note(`Tell pagecast who wrote when: pagecast window import FILE --account ${report.account}`);
}
