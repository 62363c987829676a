/** `pagecast template`: the message templates, what they look like and whether they fit their channels. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { isError } from '../../core/finding.js';
import { checkTemplate, compileTemplate, CHANNELS, type Channel } from '../../core/template.js';
import type { TemplateEntry } from '../../ports.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { collect, parsePairs } from '../options.js';

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
      template.kind,
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
    context.terminal.document({ ...toJson(entry), preview: message });
    return EXIT.done;
  }
  const { bubble, table } = await import('../render.js');
  const { paint, width } = context.terminal;
  context.terminal.data(
    `${paint.bold(template.name)} ${template.language}, ${template.kind}, for ${template.channels.join(', ')}`,
  );
  context.terminal.data(paint.dim(entry.file));
  context.terminal.data(bubble(message, width, paint));
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

  const results = entries.map((entry) => ({ entry, findings: checkTemplate(entry.template) }));
  const broken = name === undefined ? listing.broken : [];
  const ok = broken.length === 0 && results.every(({ findings }) => !findings.some(isError));
  if (context.terminal.json) {
    context.terminal.document({
      ok,
      templates: results.map(({ entry, findings }) => ({
        name: entry.template.name,
        language: entry.template.language,
        file: entry.file,
        ok: !findings.some(isError),
        findings: findings.map(findingJson),
      })),
      broken: broken.map(({ file, failure }) => ({ file, message: failure.message, hint: failure.hint })),
    });
    return ok ? EXIT.done : EXIT.invalid;
  }
  const { paint } = context.terminal;
  for (const { entry, findings } of results) {
    const verdict = findings.some(isError) ? paint.red('FAIL') : paint.green('ok  ');
    context.terminal.data(`${verdict} ${entry.template.name} ${entry.template.language}`);
    for (const one of findings) context.terminal.data(`     ${one.severity}: ${findingLine(one)}`);
  }
  for (const { file, failure } of broken)
    context.terminal.data(`${paint.red('FAIL')} ${file}\n     ${failure.message}`);
  return ok ? EXIT.done : EXIT.invalid;
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
