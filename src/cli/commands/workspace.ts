/** `pagecast init` and `pagecast doctor`: the workspace and whether everything in it works. */
import { access, appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { verifyAccounts, type Verdict, type VerdictCheck } from '../../app/verify-accounts.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { checkTemplate } from '../../core/template.js';
import { isError } from '../../core/finding.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { MARKS } from '../verdict-text.js';

export function register(program: Command, launch: Launch): void {
  program
    .command('init')
    .description('make a workspace: pagecast.yaml and templates/')
    .argument('[folder]', 'where', '.')
    .addHelpText('after', '\nExamples:\n  $ pagecast init\n  $ pagecast init campaigns/spring')
    .action(launch((context: Context, folder: string) => init(context, folder)));

  program
    .command('doctor')
    .description('check the configuration, the templates, the secrets, the store, and whether the accounts work')
    .option('--offline', 'do not ask the services whether the accounts work')
    .addHelpText('after', '\nExamples:\n  $ pagecast doctor\n  $ pagecast doctor --offline --json')
    .action(launch((context: Context, options: { offline?: boolean }) => doctor(context, options.offline === true)));
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
  state: VerdictCheck['state'];
  detail: string;
  hint: string;
}

async function doctor(context: Context, isOffline: boolean): Promise<ExitStatus> {
  const found: Examination[] = [];
  const examine = async (name: string, work: () => Promise<string>): Promise<boolean> => {
    try {
      found.push({ name, state: 'ok', detail: await work(), hint: '' });
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      found.push({ name, state: 'failed', detail: error.message, hint: error.hint });
      return false;
    }
  };

  const isReadable = await examine(
    'workspace',
    async () => (await context.workspace()).file ?? 'none here or above; the sandbox account works without one',
  );
  let verdicts: Verdict[] = [];
  if (isReadable) {
    const { accounts } = await context.workspace();
    const askable: AccountConfig[] = [];
    for (const account of accounts.values()) {
      const isReady = await examine(`account ${account.name}`, async () => {
        await context.requireSecrets(account);
        return `${account.provider}, ${account.channel}, ${account.id}`;
      });
      // The built-in sandbox always answers; starting it only to ask it would take longer than everything else.
      if (account.provider === 'sandbox' && account.url === undefined) continue;
      if (isReady && !isOffline) askable.push(account);
      else {
        const detail = isOffline ? 'Not asked (--offline).' : 'Not asked: it needs the secret first.';
        found.push({ name: `account ${account.name}, reachable`, state: 'unknown', detail, hint: '' });
      }
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
    verdicts = await verifyAccounts(askable, { open: (account) => context.provider(account), clock: context.clock });
  }

  const isConfigured = found.every((one) => one.state !== 'failed');
  for (const { account, checks } of verdicts) {
    for (const { about, ...check } of checks) found.push({ name: `account ${account}, ${about}`, ...check });
  }
  const ok = found.every((one) => one.state !== 'failed');
  const { terminal } = context;
  if (terminal.json) {
    terminal.document({ ok, checks: found.map((one) => ({ ...one, ok: one.state !== 'failed' })) });
  } else {
    for (const { name, state, detail, hint } of found) {
      terminal.data(`${MARKS[state](terminal.paint)} ${name}: ${detail}${hint === '' ? '' : `\n     ${hint}`}`);
    }
  }
  return isConfigured ? gravest(verdicts.map((verdict) => verdict.status)) : EXIT.usage;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
