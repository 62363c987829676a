/** `pagecast init` and `pagecast doctor`: the workspace and whether everything in it works. */
import { access, appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { verifyAccounts, type Verdict, type VerdictCheck } from '../../app/verify-accounts.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { checkTemplate } from '../../core/template.js';
import { isError } from '../../core/finding.js';
import type { AccountConfig } from '../../workspace/config.js';
import { accountCallbacks } from '../callbacks.js';
import type { Context } from '../context.js';
import { deadLettersText, showDeadLetters } from '../dead-letters.js';
import { checkedFlows } from '../flows.js';
import type { Launch } from '../launch.js';
import { plural, time } from '../render.js';
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
    .description(
      'check the configuration, the templates, the flows, the secrets, the store, and whether the accounts work',
    )
    .option('--offline', 'do not ask the services whether the accounts work')
    .option('--dead-letters', 'show instead the newest 20 of what came in and could not be used in full')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast doctor\n  $ pagecast doctor --offline --json\n  $ pagecast doctor --dead-letters',
    )
    .action(
      launch(async (context: Context, { offline, deadLetters }: { offline?: boolean; deadLetters?: boolean }) => {
        if (deadLetters !== true) return doctor(context, offline === true);
        return showDeadLetters(context);
      }),
    );
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
  let isStoreUsable = false;
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
    await examineFlows(context, examine);
    await examineCallbacks(context, examine);
    isStoreUsable = await examine('store', async () => {
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
  const inbound = isStoreUsable ? await examineInbound(context) : [];
  found.push(...inbound);
  const ok = found.every((one) => one.state !== 'failed');
  const { terminal } = context;
  if (terminal.json) {
    terminal.document({
      ok,
      checks: found.map((one) => ({ ...one, hint: one.hint.replaceAll('\n', ' '), ok: one.state !== 'failed' })),
    });
  } else {
    for (const { name, state, detail, hint } of found) {
      terminal.data(
        `${MARKS[state](terminal.paint)} ${name}: ${detail}${hint === '' ? '' : `\n     ${hint.replaceAll('\n', '\n     ')}`}`,
      );
    }
  }
  if (!isConfigured) return EXIT.usage;
  const isHeard = inbound.every(({ state }) => state !== 'failed');
  return gravest([...verdicts.map((verdict) => verdict.status), isHeard ? EXIT.done : EXIT.tryAgain]);
}

type Examine = (name: string, work: () => Promise<string>) => Promise<boolean>;

async function examineFlows(context: Context, examine: Examine): Promise<void> {
  const listing = await checkedFlows(context).catch((error: unknown) => {
    if (error instanceof Failure) return error;
    throw error;
  });
  if (!(listing instanceof Failure) && listing.flows.length + listing.broken.length === 0) return;
  await examine('flows', () => {
    if (listing instanceof Failure) throw listing;
    const { flows, broken } = listing;
    const faulty = [
      ...broken.map(({ failure: { message, hint } }) => ({ message, hint })),
      ...flows
        .filter(({ ok }) => !ok)
        .map(({ flow }) => ({
          message: `${flow.name} has faults and is not run.`,
          hint: 'See them: pagecast flow check',
        })),
    ];
    const [first] = faulty;
    if (first === undefined) return Promise.resolve(`${flows.length} usable`);
    const others = faulty.length === 1 ? first.hint : `And ${faulty.length - 1} more: pagecast flow check`;
    throw new Failure('FLOW_INVALID', first.message, others);
  });
}

/** Only where something is to be listened to: others send without it. */
async function examineCallbacks(context: Context, examine: Examine): Promise<void> {
  const { listen } = await context.workspace();
  if (Object.values(listen).every((setting) => setting === null)) return;
  for (const { account, failure } of await accountCallbacks(context)) {
    await examine(`account ${account.name}, callbacks`, () => {
      if (failure) throw failure;
      return Promise.resolve('can be checked');
    });
  }
}

/** What came in and was not, or could not be, heard. */
async function examineInbound(context: Context): Promise<Examination[]> {
  const { store } = await context.store();
  const now = context.clock.now();
  const found: Examination[] = [];
  const [oldest] = await store.received(1);
  if (oldest) {
    const isLate = now - oldest.receivedAt > HEARD_WITHIN_MS;
    found.push({
      name: 'callbacks that wait',
      state: isLate ? 'failed' : 'unknown',
      detail: `${plural(await store.backlog(), 'callback waits', 'callbacks wait')} to be heard; the oldest came ${time(oldest.receivedAt)}.`,
      hint: 'What is accepted is heard within a second while a listener runs. Start one: pagecast listen',
    });
  }
  const dead = await deadLettersText(store, now);
  if (dead !== null) found.push({ name: 'dead letters', state: 'unknown', ...dead });
  return found;
}

/** A listener looks for what waits each second, also for what one that died has left. */
const HEARD_WITHIN_MS = 60_000;

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
