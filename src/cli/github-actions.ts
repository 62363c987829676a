/**
 * What a run in GitHub Actions shows there: annotations, the summary of the job, and outputs for later steps. The log and
 * the summary of a job can be public, so no user ID, message or cell stands in them.
 *
 * The rules are those of docs.github.com, "Workflow commands for GitHub Actions"; where that page is silent, of the runner's
 * own source (actions/runner, ActionCommand.cs and FileCommandManager.cs).
 */
import { appendFile } from 'node:fs/promises';
import { basename, isAbsolute, relative, sep } from 'node:path';
import { explainStop, hasEnded, NEEDS_A_PERSON, ROW_STATES, STOP_STATUS, type Counts } from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import { EXIT } from '../core/failure.js';
import type { Finding, Severity } from '../core/finding.js';
import type { SkipReason } from '../core/plan.js';
import type { Campaign, CampaignSummary } from '../ports.js';
import { clip, findingLine, publicSentence } from './messages.js';
import { maskId, plural, SKIP_TEXT } from './render.js';

type Level = 'error' | 'warning' | 'notice';
type Environment = Readonly<Record<string, string | undefined>>;

export interface CampaignResult {
  campaign: Campaign;
  summary: CampaignSummary;
}

const LEVEL: Record<Severity, Level> = { error: 'error', warning: 'warning', note: 'notice' };
/** GitHub keeps ten annotations of each level for a step and drops the rest. The tenth notice says how many more there are. */
const MOST_ANNOTATIONS: Record<Level, number> = { error: 10, warning: 10, notice: 9 };
/** A summary of more than 1 MiB is not shown at all. These bounds keep it below a third of that, whatever stands in it. */
const MOST_CAMPAIGNS = 200;
const MOST_DETAILED = 20;
const MOST_ERRORS = 10;

export class GithubActions {
  readonly #env: Environment;
  readonly #note: (line: string) => void;

  private constructor(env: Environment, note: (line: string) => void) {
    this.#env = env;
    this.#note = note;
  }

  /**
   * @param note writes a line to stderr: the runner reads both streams, and stdout is for data
   * @returns null elsewhere
   */
  static from(env: Environment, note: (line: string) => void): GithubActions | null {
    return env['GITHUB_ACTIONS'] === 'true' ? new GithubActions(env, note) : null;
  }

  /**
   * An annotation for each finding, as far as GitHub shows them, and how many more there are.
   * @param file absolute path of the sheet; null for ids that were typed in
   * @param total how many findings there are, listed or not
   */
  findings(file: string | null, findings: readonly Finding[], total: number): void {
    const told: Record<Level, number> = { error: 0, warning: 0, notice: 0 };
    const place = file === null ? {} : { file: this.#path(file) };
    for (const found of findings) {
      const level = LEVEL[found.severity];
      if (told[level] === MOST_ANNOTATIONS[level]) continue;
      told[level] += 1;
      const line = file === null || found.row === null ? {} : { line: String(found.row) };
      const text = findingLine(found, file === null ? 'ID' : 'row', publicSentence);
      this.#note(command(level, { ...place, ...line, title: found.code }, text));
    }
    const more = total - told.error - told.warning - told.notice;
    if (more > 0) {
      const text = `${plural(more, 'more finding')} not shown here. All of them, in a copy of the sheet: pagecast sheet check FILE --mark COPY`;
      this.#note(command('notice', { ...place, title: 'More findings' }, text));
    }
  }

  /** An annotation for what stopped the command. */
  failure(code: string, message: string, hint: string): void {
    this.#note(
      command(
        'error',
        { title: code },
        [message, hint]
          .filter((text) => text !== '')
          .map(shortened)
          .join('\n'),
      ),
    );
  }

  /** Writes the summary of the job, and the outputs. What cannot be written is told; what was sent is sent all the same. */
  async results(results: readonly CampaignResult[]): Promise<void> {
    await this.#append('GITHUB_STEP_SUMMARY', summaryText(results));
    await this.#append('GITHUB_OUTPUT', outputsText(results));
  }

  async #append(name: 'GITHUB_STEP_SUMMARY' | 'GITHUB_OUTPUT', text: string): Promise<void> {
    const path = this.#env[name];
    if (!path) return;
    try {
      // What another step's command wrote last may lack the end of its line; an empty line is nothing in either file.
      await appendFile(path, `\n${text}`);
    } catch (error) {
      const { code = 'error' } = error as NodeJS.ErrnoException;
      this.#note(
        command('warning', { title: name }, `${name} could not be written (${code}); the send is not affected.`),
      );
    }
  }

  /** Inside the checkout GitHub links a path with its file, if it is relative. */
  #path(file: string): string {
    const workspace = this.#env['GITHUB_WORKSPACE'];
    const inside = workspace ? relative(workspace, file) : '';
    const isOutside = inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside);
    return (isOutside ? file : inside).split(sep).join('/');
  }
}

// ---------------------------------------------------------------------------------------------------- workflow commands

/** One line that the runner takes as a command, whatever stands in the values. Properties without a value are left out. */
function command(level: Level, properties: Readonly<Record<string, string>>, data: string): string {
  const pairs = Object.entries(properties).flatMap(([name, value]) => {
    if (value === '') return [];
    // The runner drops the first "=" of a value; for a path this means the same.
    return [`${name}=${escapeProperty(value.startsWith('=') ? `./${value}` : value)}`];
  });
  return `::${level}${pairs.length === 0 ? '' : ` ${pairs.join(',')}`}::${escapeData(data)}`;
}

// As in the `core` package of actions/toolkit: percent signs first, or the others would be escaped twice.
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** A text of several lines, each of a bearable length: GitHub cuts an annotation at 4096 characters. */
function shortened(text: string): string {
  return masked(text)
    .split('\n')
    .slice(0, 5)
    .map((line) => clip(line, 300))
    .join('\n');
}

/** Whatever could be a user ID. */
function masked(text: string): string {
  return text.replace(/\d{10,}/g, maskId);
}

// ---------------------------------------------------------------------------------------------------- outputs

/** The counts are added up; ids and states stand in one order. */
function outputsText(results: readonly CampaignResult[]): string {
  const counts = sumOf(results);
  const outputs = {
    campaign: results.map(({ campaign }) => campaign.id).join(','),
    state: results.map(({ campaign }) => campaign.state).join(','),
    total: String(counts.total),
    sent: String(counts.sent),
    failed: String(counts.failed),
    skipped: String(counts.skipped),
    unknown: String(counts.unknown),
  };
  return Object.entries(outputs)
    .map(([name, value]) => outputText(name, value))
    .join('');
}

/** A name and its value between two delimiters. The value ends at the first line that is the delimiter, so it must hold none. */
function outputText(name: string, value: string): string {
  let delimiter = 'END_OF_VALUE';
  while (value.includes(delimiter)) delimiter += '_';
  return `${name}<<${delimiter}\n${value}\n${delimiter}\n`;
}

function sumOf(results: readonly CampaignResult[]): Counts {
  const sum = Object.fromEntries([...ROW_STATES, 'total'].map((name) => [name, 0])) as Counts;
  for (const { summary } of results) {
    for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += summary.counts[name];
  }
  return sum;
}

// ---------------------------------------------------------------------------------------------------- the job's summary

function summaryText(results: readonly CampaignResult[]): string {
  if (results.length === 0) return '## pagecast\n\nNo campaign was due.\n';
  const detailed = results.slice(0, MOST_DETAILED).flatMap(campaignPart);
  const rest = results.length - MOST_DETAILED;
  if (rest > 0) {
    detailed.push(`${plural(rest, 'more campaign')} not shown here: ${code('pagecast campaign report CAMPAIGN')}`);
  }
  return [`## pagecast`, overview(results), outcomesChart(results), ...detailed].join('\n\n') + '\n';
}

function overview(results: readonly CampaignResult[]): string {
  const line = (name: string, state: string, counts: Counts): string[] => [
    name,
    state,
    ...[counts.total, counts.sent, counts.failed, counts.skipped, counts.unknown, toGo(counts)].map(number),
  ];
  const rows = results
    .slice(0, MOST_CAMPAIGNS)
    .map(({ campaign, summary }) => line(code(campaign.id), campaign.state, summary.counts));
  if (results.length > 1) rows.push(line('all', '', sumOf(results)));
  return markdownTable(
    ['campaign', 'state', ...['rows', 'sent', 'failed', 'left out', 'unknown', 'to go'].map(right)],
    rows,
  );
}

/** Mermaid, which GitHub draws. A slice of nothing is an error there (mermaid.js.org, "Pie chart diagrams"). */
function outcomesChart(results: readonly CampaignResult[]): string {
  const counts = sumOf(results);
  const slices: [string, number][] = [
    ['sent', counts.sent],
    ['failed', counts.failed],
    ['left out', counts.skipped],
    ['unknown', counts.unknown],
    ['to go', toGo(counts)],
  ];
  const drawn = slices.filter(([, count]) => count > 0);
  if (drawn.length === 0) return '';
  const [first] = results;
  const what =
    results.length === 1 && first
      ? `${first.campaign.template.name} (${first.campaign.template.language})`
      : plural(results.length, 'campaign');
  return [
    '```mermaid',
    'pie showData',
    `  title ${mermaid(`${what}, ${plural(counts.total, 'row')}`)}`,
    ...drawn.map(([label, count]) => `  "${mermaid(label)}" : ${count}`),
    '```',
  ].join('\n');
}

function campaignPart({ campaign, summary }: CampaignResult): string[] {
  const { counts, skip, errors } = summary;
  const { template, accountName, source } = campaign;
  const parts = [
    `### ${code(campaign.id)} is ${campaign.state}`,
    `${code(template.name)} (${code(template.language)}) from ${code(accountName)}, recipients: ${code(basename(source))}`,
  ];
  const skipped = Object.entries(skip).filter(([, count]) => count > 0);
  if (skipped.length > 0) {
    const rows = skipped.map(([reason, count]) => [
      number(count),
      prose(SKIP_TEXT[reason as SkipReason]),
      code(reason),
    ]);
    parts.push('Left out:', markdownTable([right('rows'), 'why', 'reason'], rows));
  }
  const failures = Object.entries(errors).sort(([, a], [, b]) => b - a);
  if (failures.length > 0) {
    const rows = failures.slice(0, MOST_ERRORS).map(([error, count]) => {
      const { meaning, advice } = explainError(error);
      return [number(count), code(error), prose(meaning), prose(advice)];
    });
    parts.push('Failed or unknown:', markdownTable([right('messages'), 'error', 'meaning', 'advice'], rows));
    if (failures.length > MOST_ERRORS) parts.push(`And ${plural(failures.length - MOST_ERRORS, 'more error')}.`);
  }
  parts.push(
    'What to do next:',
    nextSteps(campaign, counts)
      .map((step) => `- ${step}`)
      .join('\n'),
  );
  return parts;
}

function nextSteps(campaign: Campaign, counts: Counts): string[] {
  const { id, state, stop, timing, key } = campaign;
  const steps: string[] = [];
  if (stop) {
    const { meaning, advice } = explainStop(stop);
    const last = stop.error ? ` (${code(stop.error.code)})` : '';
    steps.push(`It stands still (${code(stop.cause)}): ${prose(meaning)}${last} ${prose(advice)}`);
    if (STOP_STATUS[stop.cause] === EXIT.tryAgain) steps.push('This passes: it is safe to run the same command again.');
  }
  if (state === 'scheduled' && timing) {
    const due = new Date(timing.sendAt).toISOString();
    steps.push(`It waits for ${due}. A worker sends it then: ${code('pagecast run --once')}`);
  } else if (state === 'expired' || state === 'cancelled') {
    steps.push(
      `To send it all the same to those whose window is open: ${code(`pagecast campaign retry ${id} --skipped`)}`,
    );
  } else if (!hasEnded(state)) {
    const again =
      key === null || (stop && NEEDS_A_PERSON.includes(stop.cause))
        ? ''
        : `, or by running this job again, since it has a ${code('--campaign-key')}`;
    steps.push(`Go on with ${code(`pagecast campaign resume ${id}`)}${again}.`);
  }
  if (counts.failed > 0) {
    steps.push(
      `See what failed: ${code(`pagecast message list --campaign ${id} --state failed`)}. When the cause is mended: ${code(`pagecast campaign retry ${id} --failed`)}`,
    );
  }
  if (counts.unknown > 0) {
    steps.push(
      `Unknown messages may have arrived and are not sent again by themselves. Look into the conversations: ${code(`pagecast campaign reconcile ${id}`)}`,
    );
  }
  return steps.length === 0 ? ['Nothing.'] : steps;
}

function toGo({ queued, started }: Counts): number {
  return queued + started;
}

// ---------------------------------------------------------------------------------------------------- Markdown and Mermaid

interface Column {
  name: string;
  numeric: boolean;
}

function right(name: string): Column {
  return { name, numeric: true };
}

/** @param rows Markdown without line breaks and without bars */
function markdownTable(header: readonly (string | Column)[], rows: readonly (readonly string[])[]): string {
  const columns = header.map((column) => (typeof column === 'string' ? { name: column, numeric: false } : column));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(({ name }) => name)),
    line(columns.map(({ numeric }) => (numeric ? '--:' : '---'))),
    ...rows.map(line),
  ].join('\n');
}

function number(count: number): string {
  return count.toLocaleString('en');
}

/**
 * Text from outside, shown as it is. All its punctuation is written as character references, which never are Markdown, HTML
 * or the bar of a table (GFM 0.29, section 6.2); and within `<code>` GitHub looks for no links, mentions or emoji.
 */
function code(text: string): string {
  const plain = clip(masked(oneLine(text)), 100);
  return `<code>${plain.replace(/[!-+./:-@[-`{-~]/g, reference)}</code>`;
}

/** A sentence of our own. */
function prose(text: string): string {
  return oneLine(text).replace(/[|<>&`*_[\]\\]/g, reference);
}

function reference(character: string): string {
  return `&#${character.charCodeAt(0)};`;
}

/** A title or label of a Mermaid diagram: `#34;` is its way to write a character by its number. */
function mermaid(text: string): string {
  return clip(oneLine(text), 100).replace(
    /[^\p{L}\p{N} ,.()-]/gu,
    (character) => `#${character.codePointAt(0) ?? 32};`,
  );
}

/** Without what ends lines, and without what turns the direction of the text around it. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]+/gu, ' ');
}
