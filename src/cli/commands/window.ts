/** `pagecast window`: who may be written to, and until when. */
import { Option, type Command } from 'commander';
import { forecastWindows } from '../../app/forecast.js';
import { importWindows } from '../../app/import-windows.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { closesAt, enabledOpeners } from '../../core/window.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { findingJson, sentence } from '../messages.js';
import { duration, forecastChart, plural, table, time } from '../render.js';

interface WindowOptions {
  account: string;
  format?: 'csv' | 'jsonl' | 'webhook';
  sheet?: string;
}

export function register(program: Command, launch: Launch): void {
  const window = program.command('window').description('the 24-hour messaging windows');
  const account = (): Option => new Option('--account <name>', 'the account').default('sandbox');
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

async function importFile(
  context: Context,
  file: string,
  { account: name, format }: WindowOptions,
): Promise<ExitStatus> {
  const account = await context.account(name);
  const { store } = await context.store();
  const { readWindowLog } = await context.windowLog();
  const source = file === '-' ? context.terminal.input : context.path(file);
  const batches = readWindowLog(source, { now: context.clock.now(), accountId: account.id, ...(format && { format }) });
  const report = await importWindows(store, account, batches);
  const ok = report.problems === 0;
  if (context.terminal.json) context.terminal.document({ file, account: name, ok, ...report });
  else {
    context.terminal.data(
      `${plural(report.events, 'opener')} read, ${plural(report.moved, 'window')} opened or moved forward.`,
    );
    const ignored = Object.entries(report.ignored).map(([kind, count]) => `${count} ${kind}`);
    if (ignored.length > 0) context.terminal.data(`Passed over, because they open no window: ${ignored.join(', ')}.`);
    for (const problem of report.listed) context.terminal.note(`  line ${problem.line}: ${problem.text}`);
    if (report.problems > report.listed.length)
      context.terminal.note(`  … and ${report.problems - report.listed.length} more`);
    if (report.problems > 0)
      context.terminal.note(`${plural(report.problems, 'line')} could not be used; the others were.`);
  }
  if (report.events === 0) {
    throw new Failure(
      'IMPORT_INVALID',
      `${file} holds nothing that opens a window.`,
      'A CSV needs the columns user_id,opened_at[,opener], with times such as 2026-11-21T10:00:00Z.',
    );
  }
  return ok ? EXIT.done : EXIT.invalid;
}

async function show(context: Context, id: string, { account: name }: WindowOptions): Promise<ExitStatus> {
  const account = await context.account(name);
  const { window: settings } = await context.workspace();
  const { store } = await context.store();
  const now = context.clock.now();
  const enabled = enabledOpeners(settings);
  const openers = (await store.openersOf(account.name, id)).map(({ opener, openedAt }) => ({
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
  const account = await context.account(options.account);
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
  terminal.data(
    `${plural(report.people, 'person', 'people')}: ${report.inside[0] ?? 0} inside their window now, ${report.closed} outside, ${report.unknown} not known to have written.`,
  );
  terminal.data(forecastChart(report, terminal.width, terminal.paint));
}
