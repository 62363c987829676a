/** `pagecast campaign report`: what became of a campaign, on the terminal, as a page and as a workbook. */
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { sheetOrigin } from '../../app/make-sheet.js';
import { reportCampaign, unreached, type CampaignReport, type Unreached } from '../../app/report.js';
import { ROW_STATES } from '../../core/delivery.js';
import { explainError } from '../../core/platform-errors.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { SkipReason } from '../../core/plan.js';
import { explainUndelivered } from '../../core/receipt.js';
import { idHeader } from '../../core/sheet.js';
import type { MessageRow, Sheets, Store } from '../../ports.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { clip, sentence } from '../messages.js';
import { pace, plural, SKIP_TEXT } from '../render.js';
import { reportJson, reportText } from '../report-text.js';

interface ReportOptions {
  xlsx?: string;
  html?: string;
  force?: boolean;
}

/** Adds `report` to `pagecast campaign`. */
export function registerReport(campaign: Command, launch: Launch): void {
  campaign
    .command('report')
    .description('report on a campaign: who was left out, what failed, what it means and what to do')
    .argument('<campaign>')
    .option('--xlsx <file>', 'write a workbook: every row, a new sheet of those who did not get it, the counts')
    .option('--html <file>', 'write a page with charts that needs nothing else')
    .option('--force', 'overwrite the files')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast campaign report c20261121-4f9ak\n  $ pagecast campaign report c20261121-4f9ak --html report.html --xlsx report.xlsx',
    )
    .action(launch((context: Context, id: string, options: ReportOptions) => report(context, id, options)));
}

async function report(context: Context, id: string, options: ReportOptions): Promise<ExitStatus> {
  const { store } = await context.store();
  const { terminal } = context;
  const found = await reportCampaign(store, id);
  const overwrite = options.force === true;
  const html = fileNamed(context, options.html, '.html');
  const xlsx = fileNamed(context, options.xlsx, '.xlsx');
  if (html !== null) {
    const { reportPage } = await import('../report-page.js');
    await writePage(html, await reportPage(found, context.clock.now()), overwrite);
  }
  const written = xlsx === null ? null : await writeBook(await context.sheets(), store, found, xlsx, overwrite);

  if (terminal.json) {
    terminal.document({
      ...reportJson(found),
      ...(html !== null && { html }),
      ...(written && { xlsx: { file: xlsx, ...written } }),
    });
    return EXIT.done;
  }
  terminal.data(reportText(found, terminal.paint));
  if (html !== null) terminal.note(`Written: ${html}`);
  if (written) {
    terminal.note(
      `Written: ${xlsx ?? ''}, with ${plural(written.rows, 'row')}. Its sheet "Recipients" has ${plural(written.recipients, 'row')} of people who failed or were left out, to be mended and sent again.`,
    );
  }
  return EXIT.done;
}

/** @returns the whole path; null when the option was not given. @throws Failure USAGE */
function fileNamed(context: Context, file: string | undefined, ending: '.html' | '.xlsx'): string | null {
  if (file === undefined) return null;
  if (file.toLowerCase().endsWith(ending)) return context.path(file);
  throw new Failure(
    'USAGE',
    `The file needs a name that ends in ${ending}.`,
    `Write ${ending.replace('.', '--')} report${ending}.`,
  );
}

/** @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
async function writePage(path: string, page: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(path, page, { flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new Failure('FILE_EXISTS', `${path} exists already.`, 'Pass --force, or choose another name.');
    throw new Failure('FILE_UNWRITABLE', `${path} cannot be written: ${message}`, 'Choose another place.', error);
  }
}

// ---------------------------------------------------------------------------------------------------- the workbook

/** @returns how many rows the sheets "Report" and "Recipients" have. @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
async function writeBook(
  sheets: Sheets,
  store: Store,
  found: CampaignReport,
  path: string,
  overwrite: boolean,
): Promise<{ rows: number; recipients: number }> {
  const { campaign } = found;
  const people = unreached(store, found);
  const header = [
    'Row',
    idHeader(people.channel),
    ...campaign.variables,
    'State',
    'Why',
    'What to do',
    'Window opened by',
    'Attempts',
    'Started',
    'Settled',
    'Message id',
    'Receipt',
    'Receipt at',
  ];
  async function* everybody(): AsyncIterable<readonly string[]> {
    for await (const page of store.messages({ campaign: campaign.id })) for (const row of page) yield reportRow(row);
  }
  async function* toMend(): AsyncIterable<readonly string[]> {
    for await (const one of people.rows) yield [...one.cells, mark(one)];
  }
  return sheets.exportReport(
    path,
    {
      report: { header, rows: everybody() },
      recipients: { header: people.header, rows: toMend(), origin: sheetOrigin(campaign.template) },
      summary: summaryRows(found),
    },
    overwrite,
  );
}

function reportRow(row: MessageRow): string[] {
  const { why, advice } = explainRow(row);
  return [
    String(row.seq),
    row.userId,
    ...row.values,
    row.state,
    why,
    advice,
    row.opener ?? '',
    String(row.attempts),
    iso(row.startedAt) ?? '',
    iso(row.settledAt) ?? '',
    row.messageId ?? '',
    row.receipt?.kind ?? '',
    iso(row.receipt?.at ?? null) ?? '',
  ];
}

const SKIP_ADVICE: Record<SkipReason, string> = {
  window_closed: 'Wait until they write again.',
  window_unknown: 'If they wrote, import it: pagecast window import.',
  window_closes_before_turn: 'Start earlier, or send faster.',
  opted_out: 'Leave them out.',
  duplicate: 'Keep one of the rows.',
  invalid: 'Mend the row.',
  expired: 'Send it again, to those whose window is open.',
  cancelled: 'Nothing, unless it is to be sent after all.',
};

function explainRow({ state, reason, error, receipt }: MessageRow): { why: string; advice: string } {
  if (reason !== null) return { why: `${SKIP_TEXT[reason]} (${reason})`, advice: SKIP_ADVICE[reason] };
  if (state === 'sent' && receipt?.kind === 'undelivered') {
    const { code = '', message = '' } = receipt.error ?? {};
    const { meaning, advice } = explainUndelivered(code);
    const said = code === '' ? '' : ` [${[code, clip(message, 200)].filter((part) => part !== '').join(': ')}]`;
    return { why: `Not delivered. ${meaning}${said}`, advice };
  }
  // Also a row that was sent may have an error: that of an earlier attempt.
  if (error === null || (state !== 'failed' && state !== 'unknown')) return { why: '', advice: '' };
  const { meaning, advice } = explainError(error.code);
  return { why: `${meaning} [${error.code}: ${clip(error.message, 200)}]`, advice };
}

/** Why a person is on the new sheet; the row is that of the campaign, which is another one here. */
function mark({ row, findings, withheldId }: Unreached): string {
  const { why, advice } = explainRow(row);
  const lines = [`In the campaign row ${row.seq}, ${row.state}: ${why}`];
  lines.push(...findings.map((found) => `${found.column ?? 'The row'}: ${sentence(found)}`));
  if (withheldId !== null) {
    const about =
      findings.length > 0
        ? 'A spreadsheet program may have rounded the id.'
        : 'Its fault cannot be seen in a text: a number, a date, a formula, or something beside the columns.';
    lines.push(`${about} Put in the id from its source. It held: ${clip(withheldId)}`);
  } else if (findings.length === 0) lines.push(advice);
  return lines.join('\n');
}

function summaryRows({ campaign, summary, leftOut, problems, receipts, openers }: CampaignReport): string[][] {
  const { counts } = summary;
  const used = ROW_STATES.filter((state) => counts[state] > 0);
  return [
    ['Campaign', campaign.id],
    ['State', campaign.state],
    ['Template', `${campaign.template.name} (${campaign.template.language})`],
    ['Account', campaign.accountName],
    ['Recipients', campaign.source],
    ['Pace', pace(campaign.pace)],
    ['Approved', iso(campaign.approvedAt) ?? ''],
    ['Started', iso(campaign.startedAt) ?? ''],
    ['Finished', iso(campaign.finishedAt) ?? ''],
    [],
    ['State', 'Rows'],
    ...ROW_STATES.map((state) => [state, String(counts[state])]),
    ['total', String(counts.total)],
    [],
    ['Left out because', 'Rows', 'After approval'],
    ...leftOut.map(({ reason, count, sinceApproval }) => [SKIP_TEXT[reason], String(count), String(sinceApproval)]),
    [],
    ['Failed or unknown', 'Rows', 'Meaning', 'What to do'],
    ...problems.map(({ code, count, meaning, advice }) => [code, String(count), meaning, advice]),
    ...(receipts === null
      ? []
      : [
          [],
          ['Of those sent', 'Rows'],
          ['delivered', String(receipts.delivered)],
          ['read, of those', String(receipts.read)],
          ['not delivered', String(receipts.undelivered)],
          ['nothing known', String(receipts.none)],
          [],
          ['Not delivered', 'Rows', 'Meaning', 'What to do'],
          ...receipts.reasons.map(({ code, count, meaning, advice }) => [code, String(count), meaning, advice]),
        ]),
    [],
    ['Window opened by', ...used, 'total'],
    ...openers.map((one) => [
      one.opener ?? 'not known',
      ...used.map((state) => String(one.counts[state])),
      String(one.counts.total),
    ]),
  ];
}
