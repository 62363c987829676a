/** `pagecast template pull` and `push`: the templates that a platform has for an account, and those it is to approve. */
import { pullTemplates, type PlatformPart, type PulledTemplate, type Unusable } from '../../app/pull-templates.js';
import { pushTemplate } from '../../app/push-template.js';
import { STOP_STATUS, type StopCause } from '../../core/delivery.js';
import { explainError } from '../../core/platform-errors.js';
import { EXIT, type ExitStatus } from '../../core/failure.js';
import type { CallFailure } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import { clip, findingJson, findingLine } from '../messages.js';
import { plural } from '../render.js';

export interface PullOptions {
  from: string;
  name?: string;
  lang?: string;
  dryRun?: boolean;
  overwrite?: boolean;
}

export interface PushOptions {
  from: string;
  lang?: string;
}

export async function pull(context: Context, options: PullOptions): Promise<ExitStatus> {
  const { terminal } = context;
  const { name, lang: language, dryRun = false, overwrite = false } = options;
  const account = await context.account(options.from);
  const world = {
    files: await context.templateFiles(dryRun),
    listing: await context.templates(),
    provider: await context.provider(account),
  };
  const request = {
    account,
    overwrite,
    hasOthers: [...(await context.workspace()).accounts.values()].some(
      ({ provider, channel, id }) => provider === 'graph' && channel === 'messenger' && id !== account.id,
    ),
    ...(name !== undefined && { name }),
    ...(language !== undefined && { language }),
  };
  const result = await pullTemplates(world, request);
  const shown = { account: account.name, dryRun };
  if (result.kind === 'failed') {
    const cause = causeOf(result);
    if (terminal.json) terminal.document({ ...shown, templates: [], stop: { cause, error: result.error } });
    else for (const line of failureText(account, result, 'No file was changed.')) terminal.note(line);
    return STOP_STATUS[cause];
  }
  if (terminal.json) {
    terminal.document({ ...shown, templates: result.templates, stop: null });
    return EXIT.done;
  }
  if (result.templates.length === 0) terminal.note(`${account.name} has no templates.`);
  for (const template of result.templates) for (const line of pulledText(template)) terminal.data(line);
  const changed = result.templates.filter(hasChanged).length;
  if (dryRun && changed > 0)
    terminal.note(`Nothing was written; without --dry-run ${plural(changed, 'file')} would be.`);
  if (result.templates.some(({ state, differs }) => differs.length > 0 && state !== 'overwritten')) {
    terminal.note(
      "The platform sends its own words, whatever a file says. --overwrite puts the platform's into the files.",
    );
  }
  return EXIT.done;
}

/** Whether its file is, or would be, written. */
function hasChanged({ state, status, statusBefore }: PulledTemplate): boolean {
  // One that can no longer be used keeps its file, and that says so.
  if (state === 'unusable' || state === 'absent') {
    return status !== null && statusBefore !== null && statusBefore !== status;
  }
  return state === 'new' || state === 'status_changed' || state === 'overwritten';
}

const STATE: Record<Exclude<PulledTemplate['state'], 'status_changed'>, string> = {
  new: 'new',
  overwritten: 'overwritten',
  unchanged: 'unchanged',
  unusable: 'not usable',
  absent: 'not at the platform',
};

const UNUSABLE: Record<Unusable, (detail: string) => string> = {
  unsupported: (detail) => `pagecast cannot fill all of it: ${detail}`,
  content: (detail) => `it breaks a rule for templates: ${detail}`,
  status: (detail) => `it is ${detail}`,
  taken: (detail) => `another template has its name: ${detail}`,
  broken: (detail) => `its file has faults; mend it first: ${detail}`,
};

const PART: Record<PlatformPart, string> = {
  header: 'header',
  body: 'body',
  buttons: 'buttons',
  parameters: 'naming of parameters',
};

function pulledText(pulled: PulledTemplate): string[] {
  const { state, status, statusBefore, template, file, differs, unusable, reason } = pulled;
  const name = clip(pulled.name, 100);
  const change = status === null ? '' : ` (${clip(status)})`;
  const word =
    state === 'status_changed'
      ? `status changed: ${statusBefore ?? '-'} → ${clip(status ?? '-')}`
      : STATE[state] + change;
  const lines = [`${name} ${clip(pulled.language)}: ${word}`];
  const add = (text: string): void => void lines.push(`    ${text}`);
  if (unusable) add(`because ${UNUSABLE[unusable.because](clip(unusable.detail, 400))}`);
  if (template !== null && template !== pulled.name) add(`here it is called ${template}`);
  if (file !== null && state !== 'unchanged') add(file);
  if (differs.length > 0 && state !== 'overwritten') {
    add(`differs from the file: ${differs.map((part) => PART[part]).join(', ')}`);
  }
  if (reason !== null) add(`the platform says: ${clip(reason, 400)}`);
  return lines;
}

export async function push(context: Context, name: string, options: PushOptions): Promise<ExitStatus> {
  const { terminal } = context;
  const account = await context.account(options.from);
  const entry = await context.template(name, options.lang);
  const world = { files: await context.templateFiles(false), provider: await context.provider(account) };
  const result = await pushTemplate(world, account, entry);
  const { name: template, language } = entry.template;
  const document = (ok: boolean, more: object): void => {
    const nothing = { findings: [], id: null, status: null, file: null, stop: null };
    terminal.document({ account: account.name, name: template, language, ok, ...nothing, ...more });
  };
  if (result.kind === 'failed') {
    const cause = causeOf(result);
    const look = `pagecast template pull --from ${account.name} --name ${template}`;
    const next = `See whether the platform has it all the same: ${look}`;
    if (terminal.json) document(false, { stop: { cause, error: result.error } });
    else for (const line of failureText(account, result, next)) terminal.note(line);
    return STOP_STATUS[cause];
  }
  if (result.kind === 'faulty') {
    if (terminal.json) document(false, { findings: result.findings.map(findingJson) });
    else {
      terminal.note(`${template} (${language}) was not handed in:`);
      for (const one of result.findings) terminal.data(`     ${one.severity}: ${findingLine(one)}`);
    }
    return EXIT.invalid;
  }
  const { id, status, file } = result;
  if (terminal.json) document(true, { id, status, file });
  else {
    terminal.data(`${template} (${language}) is ${clip(status)} at ${account.name}.`);
    terminal.note(
      status === 'APPROVED'
        ? `It may be sent, also to people outside their window. ${file} says so now.`
        : `${file} says so now. Bring it up to date later: pagecast template pull --from ${account.name} --name ${template}`,
    );
  }
  return EXIT.done;
}

/** Why the platform refused, or could not be asked. */
function causeOf({ error, stop, pauseMs }: CallFailure): StopCause {
  const { class: met } = explainError(error.code);
  const isLimited = pauseMs !== undefined && error.code !== 'CONNECTION_REFUSED';
  return stop ?? (met.kind === 'stop' ? met.cause : isLimited ? 'rate_limit' : 'network');
}

function failureText({ name }: AccountConfig, failure: CallFailure, next: string): string[] {
  const { code, message } = failure.error;
  const cause = causeOf(failure);
  // What the table says of a lost answer is about messages.
  const what = cause === 'network' ? `${name} could not be asked, or did not answer.` : explainError(code).meaning;
  return [`Stopped (${cause}): ${what} [${code}] ${clip(message, 400)}`, next];
}
