/** `pagecast init` and `pagecast doctor`: the workspace and whether everything in it works. */
import { access, appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { checkTemplate } from '../../core/template.js';
import { isError } from '../../core/finding.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';

export function register(program: Command, launch: Launch): void {
  program
    .command('init')
    .description('make a workspace: pagecast.yaml and templates/')
    .argument('[folder]', 'where', '.')
    .addHelpText('after', '\nExamples:\n  $ pagecast init\n  $ pagecast init campaigns/spring')
    .action(launch((context: Context, folder: string) => init(context, folder)));

  program
    .command('doctor')
    .description('check the configuration, the templates, the secrets and the store')
    .addHelpText('after', '\nExamples:\n  $ pagecast doctor\n  $ pagecast doctor --json')
    .action(launch((context: Context) => doctor(context)));
}

async function init(context: Context, folder: string): Promise<ExitStatus> {
  const root = context.path(folder);
  const { scaffoldWorkspace, writing } = await context.scaffolds();
  const { files, ignoreLine } = scaffoldWorkspace();
  if (await exists(join(root, 'pagecast.yaml'))) {
    throw new Failure('WORKSPACE_EXISTS', `${root} is a workspace already.`, 'Look at it: pagecast doctor');
  }
  const made: string[] = [];
  for (const { path, text } of files) {
    const file = join(root, path);
    if (await exists(file)) continue;
    await writing(dirname(file), () => mkdir(dirname(file), { recursive: true }));
    await writing(file, () => writeFile(file, text, { flag: 'wx' }));
    made.push(path);
  }
  const ignored = join(root, '.gitignore');
  await writing(ignored, () => ignore(ignored, ignoreLine));
  if (context.terminal.json) context.terminal.document({ folder: root, files: made });
  else {
    context.terminal.data(root);
    context.terminal.note(`Made ${made.join(' and ')}.`);
    context.terminal.note(
      `Next: ${folder === '.' ? '' : `cd ${folder}, then `}pagecast template list, and pagecast sheet new --template hello -o hello.xlsx`,
    );
  }
  return EXIT.done;
}

async function ignore(file: string, line: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => '');
  if (text.split(/\r?\n/).includes(line)) return;
  await appendFile(file, `${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`);
}

interface Examination {
  name: string;
  ok: boolean;
  detail: string;
  hint: string;
}

async function doctor(context: Context): Promise<ExitStatus> {
  const found: Examination[] = [];
  const examine = async (name: string, work: () => Promise<string>): Promise<void> => {
    try {
      found.push({ name, ok: true, detail: await work(), hint: '' });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      found.push({ name, ok: false, detail: error.message, hint: error.hint });
    }
  };

  await examine(
    'workspace',
    async () => (await context.workspace()).file ?? 'none here or above; the sandbox account works without one',
  );
  if (found.every((one) => one.ok)) {
    const { accounts } = await context.workspace();
    for (const account of accounts.values()) {
      await examine(`account ${account.name}`, () => {
        const missing = context.missingSecrets(account);
        if (missing.length > 0) {
          const names = missing.join(' and ');
          const said = missing.length === 1 ? `variable ${names} is` : `variables ${names} are`;
          throw new Failure('SECRET_MISSING', `The environment ${said} not set.`, `Set ${names}.`);
        }
        return Promise.resolve(`${account.provider}, ${account.channel}, ${account.id}`);
      });
    }
    await examine('templates', async () => {
      const { entries, broken } = await context.templates();
      const [first] = broken;
      if (first) throw first.failure;
      const faulty = entries.filter(({ template }) => checkTemplate(template).some(isError));
      const [bad] = faulty;
      if (bad) {
        throw new Failure(
          'TEMPLATE_INVALID',
          `${bad.file} has faults.`,
          `See them: pagecast template check ${bad.template.name} --lang ${bad.template.language}`,
        );
      }
      return `${entries.length} usable`;
    });
    await examine('store', async () => {
      const url = (await context.storeUrl()).replace(/\/\/[^@/]*@/, '//…@');
      await context.store();
      return url;
    });
  }

  const ok = found.every((one) => one.ok);
  if (context.terminal.json) context.terminal.document({ ok, checks: found });
  else {
    const { paint } = context.terminal;
    for (const { name, ok: well, detail, hint } of found) {
      context.terminal.data(
        `${well ? paint.green('ok  ') : paint.red('FAIL')} ${name}: ${detail}${hint === '' ? '' : `\n     ${hint}`}`,
      );
    }
  }
  return ok ? EXIT.done : EXIT.usage;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
