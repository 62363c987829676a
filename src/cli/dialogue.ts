/**
 * The guided form of `send`: language → template → account → send type → import method → recipients. It only fills in the
 * options that were not given; what follows (policy, preview, count) is the same with and without it.
 */
import { access } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { checkSheet, checkTypedIn, type SheetReport } from '../app/check-sheet.js';
import { makeSheet } from '../app/make-sheet.js';
import { Failure } from '../core/failure.js';
import { isError } from '../core/finding.js';
import { templateBlock } from '../core/policy.js';
import { idHeader } from '../core/sheet.js';
import { compileTemplate, type Template } from '../core/template.js';
import type { AccountConfig } from '../workspace/config.js';
import type { Context } from './context.js';
import { clip, findingLine, findingNote } from './messages.js';
import type { SendOptions } from './options.js';
import { bubble, findingsText, plural } from './render.js';
import type { Questions } from './terminal.js';

export async function askForMissing(context: Context, given: SendOptions): Promise<SendOptions> {
  const complete =
    given.template !== undefined && given.from !== undefined && (given.sheet !== undefined || given.to !== undefined);
  if (complete) return given;
  const ask = await context.terminal.questions('--template, --from, and --sheet or --to');
  const template = await askForTemplate(context, ask, given);
  const account = await askForAccount(context, ask, template, given);
  const timing = given.template === undefined && given.at === undefined ? await askForTime(context, ask, given) : {};
  const options: SendOptions = {
    ...given,
    ...timing,
    ...(await askForOutside(ask, template, account, given)),
    template: template.name,
    lang: template.language,
    from: account.name,
  };
  if (given.sheet !== undefined || given.to !== undefined) return options;
  return { ...options, ...(await askForRecipients(context, ask, template, account)) };
}

async function askForTemplate(context: Context, ask: Questions, given: SendOptions): Promise<Template> {
  if (given.template !== undefined) return (await context.template(given.template, given.lang)).template;
  const { entries } = await context.templates();
  const { accounts } = await context.workspace();
  const senders = given.from === undefined ? [...accounts.values()] : [await context.account(given.from)];
  // Row C1: what none of them could send is no choice.
  const templates = entries
    .map((entry) => entry.template)
    .filter(({ channels }) => senders.some(({ channel }) => channels.includes(channel)));
  const languages = [...new Set(templates.map((template) => template.language))].sort();
  const language =
    given.lang ??
    (await ask.choose(
      'In which language?',
      languages.map((one) => ({ name: one, value: one })),
    ));
  const offered = templates.filter((template) => template.language === language);
  if (offered.length === 0)
    throw new Failure('LANGUAGE_UNKNOWN', `There is no template in ${language}.`, `There is: ${languages.join(', ')}.`);
  const template = await ask.choose(
    'Which template?',
    offered.map((one) => ({
      name: one.name,
      value: one,
      description: `${one.kind}, for ${one.channels.join(', ')}: ${clip(one.body ?? one.media?.url ?? one.cards?.[0]?.title ?? '', 100)}`,
    })),
  );
  const compiled = compileTemplate(template);
  const { terminal } = context;
  terminal.note(
    bubble(compiled.render(compiled.variables.map((variable) => variable.example)), terminal.width, terminal.tint),
  );
  return template;
}

async function askForAccount(
  context: Context,
  ask: Questions,
  template: Template,
  given: SendOptions,
): Promise<AccountConfig> {
  if (given.from !== undefined) return context.account(given.from);
  const { accounts } = await context.workspace();
  const usable = [...accounts.values()].filter((account) => templateBlock(template, account.channel) === null);
  const all = [...accounts.values()];
  const first = all.find(({ channel }) => template.channels.includes(channel)) ?? all[0];
  const block = usable.length === 0 && first ? templateBlock(template, first.channel) : null;
  if (block) throw new Failure('POLICY_FORBIDS', `${template.name} cannot be sent. ${block.reason}`, block.instead);
  return ask.choose(
    'From which account?',
    usable.map((account) => ({
      name: `${account.name} (${account.provider}, ${account.channel}, ${account.id})`,
      value: account,
    })),
  );
}

/** Asks only where there is a choice: the template names a registered one, and the account can send it. */
async function askForOutside(
  ask: Questions,
  { outsideWindow }: Template,
  { channel, provider }: AccountConfig,
  given: SendOptions,
): Promise<Pick<SendOptions, 'outsideWindow'>> {
  const canSendIt = channel === 'messenger' && provider !== 'cams';
  if (given.outsideWindow !== undefined || outsideWindow === undefined || !canSendIt) return {};
  const isWanted = await ask.choose('What about people whose 24-hour window is shut?', [
    { name: 'Leave them out', value: false },
    { name: `Give them the registered template ${outsideWindow}`, value: true },
  ]);
  return isWanted ? { outsideWindow: 'registered' } : {};
}

async function askForTime(
  context: Context,
  ask: Questions,
  given: SendOptions,
): Promise<Pick<SendOptions, 'at' | 'zone'>> {
  const type = await ask.choose('When should it be sent?', [
    { name: 'Immediately', value: 'immediately' as const },
    { name: 'At a set time', value: 'timed' as const },
  ]);
  if (type === 'immediately') return {};
  const { offeredZone, readTiming, timeLines } = await import('./timing.js');
  const { requireZone } = await import('../app/when.js');
  const zoneGiven =
    given.zone ??
    (await ask.type('In which time zone?', {
      default: offeredZone(),
      validate: (text) => orWhyNot(() => requireZone(text.trim())),
    }));
  for (;;) {
    const options = { ...given, zone: zoneGiven.trim() };
    const at = await ask.type('At what time? (such as tomorrow 09:00, in 2h, 2026-12-01 09:00)', {
      validate: (text) => orWhyNot(() => readTiming(context, text, options)),
    });
    const { sendAt, zone } = readTiming(context, at, options);
    for (const line of timeLines(sendAt, zone)) context.terminal.note(line);
    // As an instant: what "in 2h" means must not move while the other questions are answered.
    if (await ask.confirm('Is that right?', true)) return { at: new Date(sendAt).toISOString(), zone };
  }
}

function orWhyNot(read: () => unknown): true | string {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof Failure) return `${error.message} ${error.hint}`.trim();
    throw error;
  }
}

async function askForRecipients(
  context: Context,
  ask: Questions,
  template: Template,
  account: AccountConfig,
): Promise<Pick<SendOptions, 'sheet' | 'to' | 'var' | 'skipInvalid'>> {
  const method = await ask.choose('Where do the recipients come from?', [
    { name: 'A workbook that is filled in', value: 'workbook' as const },
    { name: 'Make me a workbook to fill in first', value: 'new' as const },
    { name: 'A few user IDs that I type', value: 'ids' as const },
  ]);
  if (method === 'ids') return askForIds(ask, template, account);
  if (method === 'new') await makeWorkbook(context, ask, template, account);
  return askForWorkbook(context, ask, template, account);
}

async function askForIds(
  ask: Questions,
  template: Template,
  { channel }: AccountConfig,
): Promise<Pick<SendOptions, 'to' | 'var'>> {
  const { variables } = compileTemplate(template);
  const idsIn = (text: string): string[] => text.split(/[\s,;]+/).filter((id) => id !== '');
  const typed = await ask.type('User IDs, with spaces or commas between them:', {
    validate: async (text) => {
      const ids = idsIn(text);
      if (ids.length === 0) return 'Type at least one user ID.';
      // The values are asked for afterwards; until then the examples stand in for them.
      const values = variables.map((variable) => variable.example);
      const { findings } = await checkTypedIn({ template, channel, ids, values });
      const fault = findings.find((one) => isError(one) && one.column === idHeader(channel));
      return fault === undefined || findingLine(fault, 'ID');
    },
  });
  const pairs: string[] = [];
  for (const { name, description, example } of variables) {
    const value = await ask.type(`${name}${description === undefined ? '' : ` (${description})`}, for all of them:`, {
      validate: (text) => text.trim() !== '' || `Type a value, such as ${example}.`,
    });
    pairs.push(`${name}=${value}`);
  }
  return { to: idsIn(typed), var: pairs };
}

async function makeWorkbook(
  context: Context,
  ask: Questions,
  template: Template,
  account: AccountConfig,
): Promise<void> {
  const file = await ask.type('File to make:', {
    default: `${template.name}.${template.language}.xlsx`,
    validate: async (text) => {
      if (!text.toLowerCase().endsWith('.xlsx')) return 'The name must end in .xlsx.';
      return !(await exists(context.path(text))) || 'This file is there already.';
    },
  });
  await makeSheet(await context.sheets(), {
    template,
    channel: account.channel,
    path: context.path(file),
    overwrite: false,
  });
  context.terminal.note(`Made ${file}. Fill it in and save it, then go on here.`);
}

async function askForWorkbook(
  context: Context,
  ask: Questions,
  template: Template,
  account: AccountConfig,
): Promise<Pick<SendOptions, 'sheet' | 'skipInvalid'>> {
  const sheets = await context.sheets();
  const limits = await context.sheetLimits();
  const { terminal } = context;
  let typed: string | undefined;
  for (;;) {
    const before = typed;
    typed = await ask.type(`The filled-in workbook (.xlsx or .csv${before === undefined ? '' : '; Tab to edit'}):`, {
      ...(before !== undefined && { default: before }),
      validate: (text) => text.trim() !== '' || 'Type the name of the file.',
    });
    const path = context.path(typed.trim());
    const report = await checkSheet(sheets, { path, template, channel: account.channel, limits });
    const total = Object.values(report.counts).reduce((sum, count) => sum + count, 0);
    if (total > 0) terminal.note(findingsText(report.findings, total, terminal.tint, 10));
    if (isUnusable(report)) continue;
    terminal.note(`${plural(report.rows, 'row')}, ${plural(report.recipients, 'recipient')}.`);
    if (report.ok) return { sheet: path };
    const mark = await freeName(path);
    const next = await ask.choose('The sheet has faults. What now?', [
      { name: 'Mend it and check again', value: 'again' as const },
      { name: `Write ${mark} with every fault beside its row`, value: 'mark' as const },
      ...(report.recipients > 0 ? [{ name: 'Leave the rows with faults out', value: 'skip' as const }] : []),
      { name: 'Stop here', value: 'stop' as const },
    ]);
    if (next === 'stop') throw new Failure('INTERRUPTED', 'Nothing was sent.');
    if (next === 'skip') return { sheet: path, skipInvalid: true };
    if (next === 'mark') {
      await checkSheet(sheets, {
        path,
        template,
        channel: account.channel,
        limits,
        mark: { path: mark, overwrite: false, describe: findingNote },
      });
      terminal.note(`Wrote ${mark}.`);
    }
  }
}

/** Whether the fault is the file's, so that there are no rows to mark or to leave out. */
function isUnusable({ rows, findings }: SheetReport): boolean {
  return rows === 0 || findings.some((one) => isError(one) && one.row === null && one.code !== 'IDS_ROUNDED');
}

/** A name for the marked copy that nothing has yet: somebody may be mending the last one. */
async function freeName(path: string): Promise<string> {
  const { dir, name } = parse(path);
  for (let number = 1; ; number += 1) {
    const candidate = join(dir, `${name}.faults${number === 1 ? '' : `-${number}`}.xlsx`);
    if (!(await exists(candidate))) return candidate;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
