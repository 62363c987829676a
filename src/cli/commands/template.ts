/** `pagecast template`: the message templates, what they look like and whether they fit their channels. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { isError } from '../../core/finding.js';
import { smsSize, type SmsSize } from '../../core/sms.js';
import {
  CHANNELS,
  checkTemplate,
  compileTemplate,
  outsideFaults,
  type Channel,
  type Message,
  type Template,
} from '../../core/template.js';
import type { TemplateEntry, TemplateListing } from '../../ports.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { collect, parsePairs } from '../options.js';
import type { PullOptions, PushOptions } from './template-registered.js';

interface TemplateOptions {
  lang?: string;
  var?: string[];
  channel?: string[];
}

export function register(program: Command, launch: Launch): void {
  const template = program.command('template').description('the message templates');
  template
    .command('list')
    .description('list the templates of the workspace and the starters')
    .option('--lang <language>', 'only those in this language')
    .option('--channel <channel>', 'only those for this channel (repeatable)', collect)
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast template list\n  $ pagecast template list --lang de_DE --channel messenger',
    )
    .action(launch((context: Context, options: TemplateOptions) => list(context, options)));
  template
    .command('show')
    .description('show a template and a preview of the message')
    .argument('<name>')
    .option('--lang <language>', 'where the template exists in several languages')
    .option('--var <name=value>', 'fill a variable in the preview (repeatable)', collect)
    .addHelpText('after', '\nExample:\n  $ pagecast template show order_update --lang en_US --var name=Ann')
    .action(launch((context: Context, name: string, options: TemplateOptions) => show(context, name, options)));
  template
    .command('check')
    .description('check templates against the limits of their channels; without a name, all of them')
    .argument('[name]')
    .option('--lang <language>', 'only this language')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast template check\n  $ pagecast template check order_update --lang en_US',
    )
    .action(
      launch((context: Context, name: string | undefined, options: TemplateOptions) => check(context, name, options)),
    );
  template
    .command('new')
    .description('make a template file in the workspace')
    .argument('<name>', 'such as spring_sale')
    .option('--lang <language>', 'its language', 'en_US')
    .option(
      '--channel <channel>',
      `a channel it may go to: ${CHANNELS.join(', ')} (repeatable; default messenger)`,
      collect,
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ pagecast template new spring_sale --lang de_DE --channel messenger --channel instagram',
    )
    .action(launch((context: Context, name: string, options: TemplateOptions) => make(context, name, options)));
  template
    .command('pull')
    .description('bring the templates that the platform has for an account, and their status, into the workspace')
    .requiredOption('--from <account>', 'the account of a Messenger Page, or of CAMS')
    .option('--name <name>', 'only the template of this name')
    .option('--lang <language>', 'only those in this language')
    .option('--overwrite', "replace words that differ from the platform's by them")
    .option('--dry-run', 'say what would be done, and write nothing')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast template pull --from acme-page\n  $ pagecast template pull --from acme-page --name order_shipped --lang en_US --dry-run',
    )
    .action(
      launch(async (context: Context, options: PullOptions) => {
        const { pull } = await import('./template-registered.js');
        return pull(context, options);
      }),
    );
  template
    .command('push')
    .description('hand a registered template in for approval, and note in its file what became of it')
    .argument('<name>')
    .requiredOption('--from <account>', 'the account of a Messenger Page')
    .option('--lang <language>', 'where the template exists in several languages')
    .addHelpText('after', '\nExample:\n  $ pagecast template push order_shipped --lang en_US --from acme-page')
    .action(
      launch(async (context: Context, name: string, options: PushOptions) => {
        const { push } = await import('./template-registered.js');
        return push(context, name, options);
      }),
    );
}

async function list(context: Context, { lang, channel }: TemplateOptions): Promise<ExitStatus> {
  const { entries, broken } = await context.templates();
  const channels = toChannels(channel ?? []);
  const shown = entries.filter(
    ({ template }) =>
      (lang === undefined || template.language === lang) &&
      (channels.length === 0 || channels.some((one) => template.channels.includes(one))),
  );
  if (context.terminal.json) {
    context.terminal.document(shown.map((entry) => toJson(entry)));
  } else {
    const { table } = await import('../render.js');
    const rows = shown.map(({ template, starter }) => [
      template.name,
      template.language,
      standing(template),
      template.channels.join(', '),
      compileTemplate(template)
        .variables.map((variable) => variable.name)
        .join(', ') || '-',
      starter ? 'starter' : 'workspace',
    ]);
    context.terminal.data(
      table(['TEMPLATE', 'LANGUAGE', 'KIND', 'CHANNELS', 'VARIABLES', 'FROM'], rows, context.terminal.paint),
    );
  }
  for (const { failure } of broken) context.terminal.note(`${failure.message}\n${failure.hint}`);
  return broken.length > 0 ? EXIT.invalid : EXIT.done;
}

async function show(context: Context, name: string, { lang, var: pairs }: TemplateOptions): Promise<ExitStatus> {
  const entry = await context.template(name, lang);
  const { template } = entry;
  const compiled = compileTemplate(template);
  const given = parsePairs(pairs ?? []);
  for (const key of Object.keys(given)) {
    if (!compiled.variables.some((variable) => variable.name === key)) {
      throw new Failure(
        'VARIABLE_UNKNOWN',
        `The template ${name} has no variable ${key}.`,
        `It has: ${compiled.variables.map((variable) => variable.name).join(', ') || 'none'}.`,
      );
    }
  }
  const message = compiled.render(compiled.variables.map((variable) => given[variable.name] ?? variable.example));
  if (context.terminal.json) {
    context.terminal.document({ ...toJson(entry), preview: message, sms: smsOf(template, message) });
    return EXIT.done;
  }
  const { bubble, smsText, table } = await import('../render.js');
  const { paint, width } = context.terminal;
  context.terminal.data(
    `${paint.bold(template.name)} ${template.language}, ${standing(template)}, for ${template.channels.join(', ')}`,
  );
  context.terminal.data(paint.dim(entry.file));
  for (const line of elsewhere(template, await outsideOf(context, template))) context.terminal.data(line);
  context.terminal.data(bubble(message, width, paint));
  const sms = smsOf(template, message);
  if (sms) context.terminal.data(smsText(sms));
  if (compiled.variables.length > 0) {
    const rows = compiled.variables.map(({ name: variable, example, maxLength, description }) => [
      variable,
      example,
      maxLength === undefined ? '-' : String(maxLength),
      description ?? '',
    ]);
    context.terminal.data(table(['VARIABLE', 'EXAMPLE', 'AT MOST', 'WHAT GOES HERE'], rows, paint));
  }
  return EXIT.done;
}

async function check(context: Context, name: string | undefined, { lang }: TemplateOptions): Promise<ExitStatus> {
  const { findingJson, findingLine } = await import('../messages.js');
  const listing = await context.templates();
  let entries = listing.entries;
  if (name !== undefined) {
    const named = listing.entries.filter(({ template }) => template.name === name);
    // Several languages are checked together; what is missing or broken is explained by the look-up.
    entries = lang === undefined && named.length > 1 ? named : [await context.template(name, lang)];
  } else if (lang !== undefined) entries = entries.filter(({ template }) => template.language === lang);

  const results = entries.map((entry) => {
    const { template } = entry;
    const compiled = compileTemplate(template);
    return {
      entry,
      findings: [
        ...checkTemplate(template),
        ...outsideFaults(template, named(listing, template.outsideWindow, template)),
      ],
      sms: smsOf(template, compiled.render(compiled.variables.map((variable) => variable.example))),
    };
  });
  const broken = name === undefined ? listing.broken : [];
  const ok = broken.length === 0 && results.every(({ findings }) => !findings.some(isError));
  if (context.terminal.json) {
    context.terminal.document({
      ok,
      templates: results.map(({ entry, findings, sms }) => ({
        name: entry.template.name,
        language: entry.template.language,
        file: entry.file,
        ok: !findings.some(isError),
        sms,
        findings: findings.map(findingJson),
      })),
      broken: broken.map(({ file, failure }) => ({ file, message: failure.message, hint: failure.hint })),
    });
    return ok ? EXIT.done : EXIT.invalid;
  }
  const { paint } = context.terminal;
  const { smsText } = await import('../render.js');
  for (const { entry, findings, sms } of results) {
    const verdict = findings.some(isError) ? paint.red('FAIL') : paint.green('ok  ');
    const { template } = entry;
    const status = template.kind === 'registered' ? `, ${standing(template)}` : '';
    context.terminal.data(`${verdict} ${template.name} ${template.language}${status}`);
    if (sms) context.terminal.data(`     with the examples ${smsText(sms)}`);
    for (const one of findings) context.terminal.data(`     ${one.severity}: ${findingLine(one)}`);
  }
  for (const { file, failure } of broken)
    context.terminal.data(`${paint.red('FAIL')} ${file}\n     ${failure.message}`);
  return ok ? EXIT.done : EXIT.invalid;
}

/** What its text comes to as an SMS; null for a template that is not for SMS. */
function smsOf({ channels }: Template, { text }: Message): SmsSize | null {
  return channels.includes('sms') && text !== undefined ? smsSize(text) : null;
}

/** The template of a name in the language of another; null when there is none. */
function named({ entries }: TemplateListing, name: string | undefined, { language }: Template): Template | null {
  return entries.find(({ template }) => template.name === name && template.language === language)?.template ?? null;
}

async function outsideOf(context: Context, template: Template): Promise<Template | null> {
  return template.outsideWindow === undefined
    ? null
    : named(await context.templates(), template.outsideWindow, template);
}

/** Its kind, and what the platform last said of it. */
function standing({ kind, registration, cams }: Template): string {
  if (kind === 'registered') return `registered (${registration?.status ?? 'not known to the platform'})`;
  return cams ? 'session (CAMS)' : 'session';
}

/** What a template is called elsewhere, and what others get instead. @param outside what it names for them */
function elsewhere(template: Template, outside: Template | null): string[] {
  const { registration, cams, outsideWindow } = template;
  const lines: string[] = [];
  if (registration && registration.name !== template.name) lines.push(`At the platform: ${registration.name}`);
  if (cams) lines.push(`CAMS sends its own copy, by the code ${cams.code}.`);
  if (outsideWindow !== undefined) {
    const what = outside === null ? 'which does not exist in this language' : standing(outside);
    lines.push(`Outside the window: ${outsideWindow}, ${what}`);
  }
  return lines;
}

async function make(context: Context, name: string, { lang = 'en_US', channel }: TemplateOptions): Promise<ExitStatus> {
  const { root } = await context.workspace();
  if (root === null)
    throw new Failure('USAGE', 'There is no workspace here to put the template in.', 'Make one first: pagecast init');
  const channels = channel === undefined ? (['messenger'] as const) : toChannels(channel);
  const { scaffoldTemplate, writing } = await context.scaffolds();
  const text = scaffoldTemplate(name, lang, channels);
  const folder = join(root, 'templates');
  const file = join(folder, `${name}.${lang}.yaml`);
  await writing(folder, () => mkdir(folder, { recursive: true }));
  await writing(file, async () => {
    try {
      await writeFile(file, text, { flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw new Failure('FILE_EXISTS', `${file} is there already.`, 'Edit it, or choose another name.');
    }
  });
  if (context.terminal.json) context.terminal.document({ file });
  else {
    context.terminal.data(file);
    context.terminal.note(`Edit it, then: pagecast template check ${name} --lang ${lang}`);
  }
  return EXIT.done;
}

function toChannels(names: readonly string[]): Channel[] {
  return names.map((name) => {
    const channel = CHANNELS.find((one) => one === name);
    if (!channel) throw new Failure('USAGE', `"${name}" is no channel.`, `There is: ${CHANNELS.join(', ')}.`);
    return channel;
  });
}

function toJson({ file, starter, template }: TemplateEntry): object {
  const variables = compileTemplate(template).variables;
  return { ...template, variables, file, starter };
}
