/** `pagecast sheet`: makes recipient workbooks and checks those that come back. */
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { checkSheet, readOrigin, type SheetReport } from '../../app/check-sheet.js';
import { makeSheet } from '../../app/make-sheet.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { isError, type Finding } from '../../core/finding.js';
import { checkTemplate, CHANNELS, type Channel, type Template } from '../../core/template.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { findingJson, findingNote, publicSentence, sentence } from '../messages.js';
import { ownerAccounts, RECORD_OWNER } from '../owners.js';
import { findingsText, plural } from '../render.js';

interface SheetOptions {
  template?: string;
  lang?: string;
  output?: string;
  channel?: string;
  from?: string;
  force?: boolean;
  mark?: string;
}

export function register(program: Command, launch: Launch): void {
  const sheet = program.command('sheet').description('recipient workbooks');
  sheet
    .command('new')
    .description('make an empty recipient workbook for a template')
    .requiredOption('--template <name>', 'the template')
    .option('--lang <language>', 'where the template exists in several languages')
    .requiredOption('-o, --output <file>', 'the .xlsx file to make')
    .option('--from <account>', 'the account it is for; record-owner adds the column Owner')
    .option('--channel <channel>', 'whose ids the first column holds (default: the first channel of the template)')
    .option('--force', 'overwrite the file')
    .addHelpText('after', '\nExample:\n  $ pagecast sheet new --template order_update --lang en_US -o orders.xlsx')
    .action(launch((context: Context, options: SheetOptions) => make(context, options)));
  sheet
    .command('check')
    .description('check a filled-in workbook or CSV file; nothing is sent')
    .argument('<file>')
    .option('--template <name>', 'the template (default: the one the workbook was made for)')
    .option('--lang <language>', 'its language')
    .option(
      '--from <account>',
      'the account it will be sent from, or record-owner: for the kind of ids and the columns',
    )
    .option('--mark <file>', 'write a copy with every fault beside its row')
    .option('--force', 'overwrite the marked copy')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast sheet check orders.xlsx\n  $ pagecast sheet check orders.csv --template order_update --lang en_US --mark faults.xlsx',
    )
    .action(launch((context: Context, file: string, options: SheetOptions) => check(context, file, options)));
}

async function make(context: Context, options: SheetOptions): Promise<ExitStatus> {
  const { template } = await context.template(options.template ?? '', options.lang);
  const file = context.path(options.output ?? '');
  if (!file.toLowerCase().endsWith('.xlsx')) {
    throw new Failure(
      'USAGE',
      'The workbook needs a name that ends in .xlsx.',
      'Spreadsheet programs damage ids in CSV files.',
    );
  }
  const { owners, ...sender } = await senderOf(context, options);
  const channel = chooseChannel(template, sender.channel ?? options.channel);
  if (checkTemplate(template).some(isError)) {
    throw new Failure(
      'TEMPLATE_INVALID',
      `The template ${template.name} (${template.language}) has faults, so a sheet for it would be of no use.`,
      `See them: pagecast template check ${template.name} --lang ${template.language}`,
    );
  }
  const request = { template, channel, path: file, overwrite: options.force === true, ...(owners && { owners }) };
  const made = await makeSheet(await context.sheets(), request);
  if (context.terminal.json)
    context.terminal.document({ ...made, template: template.name, language: template.language });
  else {
    // A workbook does not say for which kind of account it is.
    const from = options.from === undefined ? '' : ` --from ${options.from}`;
    context.terminal.data(file);
    context.terminal.note(
      `Columns: ${made.header.join(', ')}. Fill it in, then: pagecast sheet check ${options.output ?? ''}${from}`,
    );
  }
  return EXIT.done;
}

/** What the chosen sender says about a sheet's columns; nothing where none is chosen. */
async function senderOf(
  context: Context,
  { from }: SheetOptions,
): Promise<{ channel?: Channel; owners?: readonly string[] }> {
  if (from === undefined) return {};
  if (from !== RECORD_OWNER) return { channel: (await context.account(from)).channel };
  const senders = await ownerAccounts(context);
  return { channel: 'sms', owners: senders.flatMap(({ owners }) => [...owners]) };
}

async function check(context: Context, file: string, options: SheetOptions): Promise<ExitStatus> {
  const path = context.path(file);
  const sheets = await context.sheets();
  const limits = await context.sheetLimits();
  const { origin, fault } =
    options.template === undefined ? await readOrigin(sheets, path, limits) : { origin: null, fault: null };
  if (fault !== null) return printFault(context, path, fault);
  const name = options.template ?? origin?.template;
  if (name === undefined) {
    throw new Failure('USAGE', `${file} does not say which template it is for.`, 'Pass --template and --lang.');
  }
  const { template } = await context.template(
    name,
    options.lang ?? (options.template === undefined ? origin?.language : undefined),
  );
  const { owners, ...sender } = await senderOf(context, options);
  const channel = sender.channel ?? chooseChannel(template, undefined);
  const mark = options.mark === undefined ? undefined : context.path(options.mark);
  if (mark !== undefined && !mark.toLowerCase().endsWith('.xlsx')) {
    throw new Failure('USAGE', 'The marked copy needs a name that ends in .xlsx.');
  }
  if (mark !== undefined && (await isSameFile(path, mark))) {
    throw new Failure(
      'USAGE',
      'The marked copy would replace the file that is checked.',
      'Choose another name for it.',
    );
  }
  const report = await checkSheet(sheets, {
    path,
    template,
    channel,
    limits,
    ...(owners && { demands: { owners: new Set(owners) } }),
    ...(mark !== undefined && { mark: { path: mark, overwrite: options.force === true, describe: findingNote } }),
  });
  const github = await context.githubActions();
  github?.findings(path, report.findings, totalOf(report));
  if (context.terminal.json) context.terminal.document({ ...report, findings: report.findings.map(findingJson) });
  else {
    printSheetReport(context, report, github === null ? sentence : publicSentence);
    if (mark !== undefined && report.rows > 0) context.terminal.note(`Every fault stands beside its row in ${mark}.`);
    else if (!report.ok && report.rows > 0)
      context.terminal.note(`To see every fault beside its row: pagecast sheet check ${file} --mark faults.xlsx`);
  }
  return report.ok ? EXIT.done : EXIT.invalid;
}

/** A file that cannot be read: nobody knows which template it is for, and it does not matter. */
function printFault({ terminal }: Context, file: string, fault: Finding): ExitStatus {
  if (terminal.json) {
    terminal.document({
      ok: false,
      file,
      template: null,
      language: null,
      rows: 0,
      recipients: 0,
      counts: { [fault.code]: 1 },
      findings: [findingJson(fault)],
      truncated: false,
    });
  } else {
    terminal.data(`${file}: ${terminal.paint.red('has faults')}`);
    terminal.data(findingsText([fault], 1, terminal.paint));
  }
  return EXIT.invalid;
}

/** Whether two paths lead to one file, also by links and other spellings. */
async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(() => null)));
  return a !== null && a !== undefined && a.dev === b?.dev && a.ino === b.ino;
}

/** @param words `publicSentence` where others may read it */
export function printSheetReport({ terminal }: Context, report: SheetReport, words = sentence): void {
  const { paint } = terminal;
  const total = totalOf(report);
  const verdict = report.ok ? paint.green('ok') : paint.red('has faults');
  terminal.data(`${report.file} for ${report.template} (${report.language}): ${verdict}`);
  if (report.rows > 0) terminal.data(`  ${plural(report.rows, 'row')}, ${plural(report.recipients, 'recipient')}`);
  if (total > 1) {
    terminal.data(
      `  ${Object.entries(report.counts)
        .map(([code, count]) => `${code} ${count}`)
        .join(', ')}`,
    );
  }
  if (total > 0) terminal.data(findingsText(report.findings, total, paint, 20, 'row', words));
}

function totalOf({ counts }: SheetReport): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function chooseChannel(template: Template, wanted: string | undefined): Channel {
  const [first] = template.channels;
  if (wanted === undefined && first !== undefined) return first;
  const channel = CHANNELS.find((one) => one === wanted);
  if (channel === undefined || !template.channels.includes(channel)) {
    throw new Failure(
      'CHANNEL_DIFFERS',
      `The template ${template.name} does not go to ${wanted ?? 'any channel'}.`,
      `It goes to ${template.channels.join(', ')}.`,
    );
  }
  return channel;
}
