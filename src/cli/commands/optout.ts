/** `pagecast optout`: who does not wish to be written to any more. */
import type { Command } from 'commander';
import { importOptOuts } from '../../app/import-opt-outs.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { maskId } from '../../core/user-id.js';
import { senderKey } from '../../core/sender.js';
import { usableId } from '../../core/sheet.js';
import type { OptOut } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { accountOption, chosenAccount, problemLines } from '../log-import.js';
import { plural, table, time } from '../render.js';

interface OptOutOptions {
  account?: string;
  csv?: string;
  force?: boolean;
}

export function register(program: Command, launch: Launch): void {
  const optout = program.command('optout').description('people who asked not to be written to');
  optout
    .command('add')
    .description('leave people out of everything that an account sends from now on')
    .argument('<ids...>', 'their user IDs, or phone numbers')
    .addOption(accountOption())
    .addHelpText(
      'after',
      `
What they write themselves afterwards may still be answered.

Examples:
  $ pagecast optout add 7642925849053947 --account acme-page
  $ pagecast optout add +4915112345678 +15550001111 --account alice-sms`,
    )
    .action(
      launch((context: Context, ids: string[], options: OptOutOptions) => change(context, ids, options.account, true)),
    );
  optout
    .command('remove')
    .description('let an account write to people again who have asked for that')
    .argument('<ids...>', 'their user IDs, or phone numbers')
    .addOption(accountOption())
    .addHelpText('after', '\nExample:\n  $ pagecast optout remove 7642925849053947 --account acme-page')
    .action(
      launch((context: Context, ids: string[], options: OptOutOptions) => change(context, ids, options.account, false)),
    );
  optout
    .command('list')
    .description('list who has opted out of an account, since when, and how that is known')
    .addOption(accountOption())
    .option('--csv <file>', 'write them to a CSV file, which optout import takes')
    .option('--force', 'overwrite the file')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast optout list --account acme-page\n  $ pagecast optout list --account acme-page --csv optouts.csv',
    )
    .action(launch((context: Context, options: OptOutOptions) => list(context, options)));
  optout
    .command('import')
    .description('leave people out by a list from elsewhere: CSV (user_id[,opted_out_at]), or one id a line')
    .argument('<file>', 'the file, or - for standard input')
    .addOption(accountOption())
    .addHelpText('after', '\nExample:\n  $ pagecast optout import optouts.csv --account acme-page')
    .action(launch((context: Context, file: string, options: OptOutOptions) => importFile(context, file, options)));
}

async function change(
  context: Context,
  given: readonly string[],
  accountName: string | undefined,
  out: boolean,
): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const account = await chosenAccount(context, accountName);
  const ids = [...new Set(given.map((id, index) => checkedId(id, index, account)))];
  const { store } = await context.store();
  const { window } = await context.workspace();
  const sender = senderKey(account);
  const now = clock.now();
  const before = await store.standings(sender, ids, window);
  const changed = await store.changeOptOuts(
    ids.map((userId, index) => {
      // What they did may be dated by a clock that is ahead of ours.
      const at = out ? now : Math.max(now, (before[index]?.optedOutAt ?? 0) + 1);
      return { account: sender, userId, at, out, source: 'person' };
    }),
  );
  const after = await store.standings(sender, ids, window);
  const people = ids.map((userId, index) => ({ userId, optedOutAt: after[index]?.optedOutAt ?? null }));
  if (terminal.json) {
    terminal.document({
      account: account.name,
      changed,
      people: people.map(({ userId, optedOutAt }) => ({
        userId,
        optedOut: optedOutAt !== null,
        since: iso(optedOutAt),
      })),
    });
    return EXIT.done;
  }
  const all = plural(ids.length, 'person', 'people');
  const already = before.filter(({ optedOutAt }) => (optedOutAt !== null) === out).length;
  const has = ids.length === 1 ? 'has' : 'have';
  if (already === ids.length) {
    const who = ids.length === 1 ? 'This person' : `All ${all}`;
    terminal.data(
      out
        ? `${who} had opted out of ${account.name} before; nothing was changed.`
        : `${who} could be written to by ${account.name} before; nothing was changed.`,
    );
    return EXIT.done;
  }
  terminal.data(
    out
      ? `${all} ${has} opted out of ${account.name}${already > 0 ? `; ${already} of them had already` : ''}.`
      : `${all} may be written to by ${account.name} again${already > 0 ? `; ${already} of them had not opted out` : ''}.`,
  );
  return EXIT.done;
}

/** @throws Failure CHANNEL_DIFFERS for an id of another channel, USAGE for what is none at all */
function checkedId(given: string, index: number, { name, channel }: AccountConfig): string {
  const id = usableId(given.trim(), channel);
  if (id !== null) return id;
  const [what, how] =
    channel === 'sms'
      ? ['phone number', 'Write it with + and country code, such as +15550001111.']
      : ['user ID', 'A user ID has 5 to 20 digits, such as 7642925849053947.'];
  const isOthers = usableId(given.trim(), channel === 'sms' ? 'messenger' : 'sms') !== null;
  throw new Failure(
    isOthers ? 'CHANNEL_DIFFERS' : 'USAGE',
    `ID ${index + 1} (${maskId(given)}) is no ${what}${isOthers ? `, and ${name} sends on ${channel}` : ''}; nothing was changed.`,
    how,
  );
}

async function list(context: Context, options: OptOutOptions): Promise<ExitStatus> {
  const { terminal } = context;
  const account = await chosenAccount(context, options.account);
  const { store } = await context.store();
  const people = store.optOuts(senderKey(account));
  if (options.csv !== undefined) return writeTable(context, people, options.csv, options.force === true);
  if (terminal.json) return printJson(context, people);
  let count = 0;
  for await (const page of people) {
    const rows = page.map(({ userId, since, source }) => [userId, time(since), SOURCE_TEXT[source]]);
    terminal.data(table(['USER', 'SINCE', 'BY'], rows, terminal.paint));
    count += page.length;
  }
  terminal.note(count === 0 ? `Nobody has opted out of ${account.name}.` : `${plural(count, 'person', 'people')}.`);
  return EXIT.done;
}

/** How it is known that somebody has opted out. */
const SOURCE_TEXT: Record<OptOut['source'], string> = {
  keyword: 'what they wrote',
  platform: 'the platform said so',
  service: 'a message was refused for it',
  person: 'optout add',
  import: 'optout import',
};

async function writeTable(
  context: Context,
  people: AsyncIterable<OptOut[]>,
  file: string,
  overwrite: boolean,
): Promise<ExitStatus> {
  const { terminal } = context;
  const path = context.path(file);
  if (!path.toLowerCase().endsWith('.csv')) throw new Failure('USAGE', 'The file needs a name that ends in .csv.');
  async function* rows(): AsyncIterable<readonly string[]> {
    for await (const page of people) {
      for (const { userId, since, source } of page) yield [userId, iso(since) ?? '', source];
    }
  }
  const header = ['user_id', 'opted_out_at', 'source'];
  const count = await (await context.sheets()).exportTable(path, header, rows(), overwrite);
  if (terminal.json) terminal.document({ file: path, people: count });
  else {
    terminal.data(path);
    terminal.note(`${plural(count, 'person', 'people')} written.`);
  }
  return EXIT.done;
}

/** One JSON array, written as it is read, so that it needs no memory however many there are. */
async function printJson({ terminal }: Context, people: AsyncIterable<OptOut[]>): Promise<ExitStatus> {
  let before = '[';
  for await (const page of people) {
    for (const { userId, since, source } of page) {
      await terminal.write(`${before}\n  ${JSON.stringify({ userId, since: iso(since), source })}`);
      before = ',';
    }
  }
  await terminal.write(before === '[' ? '[]\n' : '\n]\n');
  return EXIT.done;
}

async function importFile(context: Context, file: string, options: OptOutOptions): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const account = await chosenAccount(context, options.account);
  const { store } = await context.store();
  const { readOptOutLog } = await context.optOutLog();
  const source = file === '-' ? terminal.input : context.path(file);
  const batches = readOptOutLog(source, { now: clock.now(), channel: account.channel });
  const report = await importOptOuts({ store, clock }, account, batches);
  const ok = report.problems === 0;
  if (terminal.json) terminal.document({ file, account: account.name, ok, ...report });
  else {
    terminal.data(
      `${plural(report.people, 'person', 'people')} read, ${report.changed.toLocaleString('en')} of them had not opted out of ${account.name} before.`,
    );
    for (const line of problemLines(report, report.people > 0)) terminal.note(line);
  }
  if (report.people === 0) {
    const hint =
      'It needs the column user_id, and opted_out_at with times such as 2026-11-21T10:00:00Z; or one id a line.';
    throw new Failure('IMPORT_INVALID', `${file} names nobody who could opt out of ${account.name}.`, hint);
  }
  return ok ? EXIT.done : EXIT.invalid;
}
