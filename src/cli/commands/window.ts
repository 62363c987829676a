/** `pagecast window`: who may be written to, and until when. */
import { Option, type Command } from 'commander';
import { forecastWindows } from '../../app/forecast.js';
import { importWindows } from '../../app/import-windows.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { senderKey } from '../../core/sender.js';
import { closesAt, enabledOpeners } from '../../core/window.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { accountOption, chosenAccount, noting, ofOthersLine, problemLines } from '../log-import.js';
import { findingJson, sentence } from '../messages.js';
import { duration, forecastChart, plural, table, time } from '../render.js';
import { sync } from './window-sync.js';

interface WindowOptions {
  account?: string;
  format?: 'csv' | 'jsonl' | 'webhook';
  sheet?: string;
  restart?: boolean;
}

export function register(program: Command, launch: Launch): void {
  const window = program.command('window').description('the 24-hour messaging windows');
  window
    .command('import')
    .description(
      'learn from a file who wrote when: CSV (user_id,opened_at[,opener]), JSON lines, or logged webhook bodies of Meta or CAMS',
    )
    .argument('<file>', 'the file, or - for standard input')
    .addOption(accountOption())
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
    .command('sync')
    .description('ask the platform who wrote when: reads the conversations of a Page or an Instagram account')
    .addOption(accountOption())
    .option('--restart', 'read everything of the last 24 hours again, also what was read before')
    .addHelpText(
      'after',
      `
Two calls a second at most. Ctrl-C keeps what was read; the next sync goes on there. One that has finished leaves only
what is newer to the next. Reactions, clicks and comments are not seen this way: import webhooks for those.

Examples:
  $ pagecast window sync --account acme-page
  $ pagecast window sync --account acme-page --json`,
    )
    .action(
      launch(async (context: Context, options: WindowOptions) =>
        sync(context, await chosenAccount(context, options.account), options.restart === true),
      ),
    );
  window
    .command('show')
    .description("show one person's window: what opened it, when it shuts, and whether they have opted out")
    .argument('<id>', 'the user ID')
    .addOption(accountOption())
    .addHelpText('after', '\nExample:\n  $ pagecast window show 7642925849053947 --account acme-page')
    .action(launch((context: Context, id: string, options: WindowOptions) => show(context, id, options)));
  window
    .command('forecast')
    .description('show how many are inside their window now and in each coming hour')
    .addOption(accountOption())
    .option('--sheet <file>', 'only the people of this sheet')
    .addHelpText('after', '\nExample:\n  $ pagecast window forecast --account acme-page --sheet orders.xlsx')
    .action(launch((context: Context, options: WindowOptions) => forecast(context, options)));
}

async function importFile(context: Context, file: string, options: WindowOptions): Promise<ExitStatus> {
  const account = await chosenAccount(context, options.account);
  const { name } = account;
  const { format } = options;
  const { store } = await context.store();
  const { readWindowLog } = await context.windowLog();
  const source = file === '-' ? context.terminal.input : context.path(file);
  const isLinked = account.provider === 'graph' && account.channel === 'instagram';
  const instagramId = isLinked ? account.instagramId : undefined;
  const ofInstagram =
    isLinked && instagramId === undefined
      ? ` If it is that of the Instagram account that is linked to the Page, write its id as \`instagramId:\` of ${name} into pagecast.yaml.`
      : '';
  const batches = readWindowLog(source, {
    now: context.clock.now(),
    accountId: account.id,
    ...(instagramId !== undefined && { instagramId }),
    ...(format && { format }),
  });
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
    if (ofOthers > 0) context.terminal.data(ofOthersLine(ofOthers, others, account));
    const ignored = Object.entries(passedOver).map(([kind, count]) => `${count} ${kind}`);
    if (ignored.length > 0) context.terminal.data(`Passed over, because they open no window: ${ignored.join(', ')}.`);
    for (const line of problemLines(report, report.events > 0)) context.terminal.note(line);
  }
  // A log of nothing but echoes has told something all the same.
  if (report.events === 0 && report.echoes === 0) {
    throw new Failure(
      'IMPORT_INVALID',
      `${file} holds nothing that opens a window.`,
      ofOthers > 0
        ? `It is the log of another account: pass the name of that one with --account.${ofInstagram}`
        : (report.ignored['receipt'] ?? 0) > 0
          ? `Receipts are for another command: pagecast message import-receipts ${file} --account ${name}`
          : 'A CSV needs the columns user_id,opened_at[,opener], with times such as 2026-11-21T10:00:00Z.',
    );
  }
  return ok ? EXIT.done : EXIT.invalid;
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
  const [standing] = await store.standings(senderKey(account), [id], settings);
  const optedOutAt = standing?.optedOutAt ?? null;
  const last = openers.find((one) => one.counts);
  const state = last === undefined ? 'unknown' : now < last.closesAt ? 'open' : 'closed';
  if (context.terminal.json) {
    const { opener = null, openedAt = null, closesAt = null } = last ?? {};
    context.terminal.document({ account: name, userId: id, state, opener, openedAt, closesAt, optedOutAt, openers });
    return EXIT.done;
  }
  const { paint } = context.terminal;
  if (last === undefined) context.terminal.data(`${id} is not known to have written to ${name}.`);
  else {
    const by = `opened by ${last.opener} at ${time(last.openedAt)}`;
    context.terminal.data(
      state === 'open'
        ? `${paint.green('open')} for another ${duration(last.closesAt - now)}, until ${time(last.closesAt)}; ${by}`
        : `${paint.red('shut')} since ${time(last.closesAt)}; ${by}`,
    );
  }
  if (optedOutAt !== null) {
    context.terminal.data(
      `${paint.red('opted out')} since ${time(optedOutAt)}: only what they have written since then may be answered`,
    );
  }
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
    terminal.note(
      `Tell pagecast who wrote when: pagecast window import FILE --account ${report.account}, or pagecast window sync --account ${report.account}`,
    );
}
