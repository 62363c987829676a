/** `pagecast account`: the sending identities one has, and whether they work. */
import type { Command } from 'commander';
import { verifyAccounts } from '../../app/verify-accounts.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { senderKey } from '../../core/sender.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { pace, table } from '../render.js';
import { verdictText } from '../verdict-text.js';
import { addAccount, secretName, type AddOptions } from './account-add.js';

export function register(program: Command, launch: Launch): void {
  const account = program.command('account').description('the Pages, Instagram accounts and numbers you send from');
  account
    .command('list')
    .description('list the accounts of pagecast.yaml and the sandbox')
    .addHelpText('after', '\nExample:\n  $ pagecast account list')
    .action(launch((context: Context) => list(context)));

  account
    .command('add')
    .description('add an account to pagecast.yaml; asks for what is missing')
    .argument('[name]', 'what to call it')
    .option('--provider <provider>', 'graph (Meta), cams (Alibaba Cloud), twilio or sandbox')
    .option('--channel <channel>', 'messenger, instagram or sms')
    .option('--id <id>', 'the id of the Page or Instagram account, or the number with + and country code')
    .option('--instagram-id <id>', "graph: the Instagram account's own id, where --id is that of its Page")
    .option('--token <place>', 'graph: where the access token is: env:NAME, file:PATH or keyring:NAME')
    .option('--app-secret <place>', "graph, sandbox: where the app's secret is; it also checks webhooks")
    .option('--space-id <id>', 'cams: the CustSpaceId')
    .option('--access-key-id <place>', 'cams: where the AccessKey id is')
    .option('--access-key-secret <place>', 'cams: where the AccessKey secret is')
    .option('--callback-token <place>', 'cams: where the token is that the address of its callbacks ends in')
    .option('--account-sid <place>', 'twilio: where the account SID is')
    .option('--auth-token <place>', 'twilio: where the auth token is')
    .option('--url <url>', 'where the service is, if not at its usual address')
    .option('--version <version>', 'graph: the version of the API, such as v26.0')
    .option('--batch <n>', 'graph: how many messages one call carries, 1 to 50 (default: 1)')
    .option('--pace <pace>', 'at most so many messages: 20/s, 30/m')
    .option('--secrets-stdin', 'store the secrets that are piped in, as lines such as token=…')
    .option('--replace', 'change an account that is there already; what is not given stays')
    .option('--verify', 'ask the service afterwards whether the account works')
    .option('--no-verify', 'do not ask the service')
    .addHelpText(
      'after',
      `
A secret itself is never an option: others can see a command line, and shells keep it. Options name its place.

Examples:
  $ pagecast account add
  $ pagecast account add acme-page --provider graph --channel messenger --id 102938475601928 \\
      --token env:ACME_PAGE_TOKEN --app-secret env:ACME_APP_SECRET
  $ printf 'token=%s\\n' "$PAGE_TOKEN" | pagecast account add acme-page --provider graph --channel messenger \\
      --id 102938475601928 --secrets-stdin --verify
  $ pagecast account add acme-page --replace`,
    )
    .action(
      launch((context: Context, name: string | undefined, options: AddOptions) => addAccount(context, name, options)),
    );

  account
    .command('verify')
    .description('ask the services whether accounts work; nothing is sent')
    .argument('[names...]', 'which accounts (default: all)')
    .addHelpText('after', '\nExamples:\n  $ pagecast account verify\n  $ pagecast account verify acme-page --json')
    .action(launch((context: Context, names: string[]) => verify(context, names)));

  account
    .command('remove')
    .description('take an account out of pagecast.yaml, and the secrets that pagecast has stored for it')
    .argument('<name>', 'the account')
    .option('-y, --yes', 'do not ask')
    .option('--force', 'although campaigns or schedules still need it')
    .option('--keep-secrets', 'leave stored secrets where they are')
    .addHelpText(
      'after',
      '\nWhat was sent stays in the ledger.\n\nExamples:\n  $ pagecast account remove acme-page\n  $ pagecast account remove acme-page --yes --keep-secrets',
    )
    .action(launch((context: Context, name: string, options: RemoveOptions) => remove(context, name, options)));
}

async function list(context: Context): Promise<ExitStatus> {
  const { terminal } = context;
  const { accounts } = await context.workspace();
  const rows = [];
  for (const account of accounts.values()) {
    const { name, provider, channel, id, pace: perSecond } = account;
    rows.push({ name, provider, channel, id, pace: perSecond, missing: await context.missingSecrets(account) });
  }
  if (terminal.json) {
    terminal.document(
      rows.map(({ missing, ...row }) => ({
        ...row,
        // A variable stood here by its name alone before there were other places.
        missingSecrets: missing.map(({ secret }) => secret.replace(/^env:/, '')),
        problems: missing.map(({ secret, failure: { code, message, hint } }) => ({ secret, code, message, hint })),
      })),
    );
    return EXIT.done;
  }
  const { paint, tint } = terminal;
  terminal.data(
    table(
      ['ACCOUNT', 'PROVIDER', 'CHANNEL', 'ID', 'PACE', 'READY'],
      rows.map((row) => [
        row.name,
        row.provider,
        row.channel,
        row.id,
        pace(row.pace),
        row.missing.length === 0
          ? paint.green('yes')
          : paint.red(`no: ${row.missing.map(({ secret }) => secret).join(', ')}`),
      ]),
      paint,
    ),
  );
  const lines = rows.flatMap((row) => row.missing.map(({ failure }) => `${failure.message} ${tint.dim(failure.hint)}`));
  // Accounts may share a secret.
  for (const line of new Set(lines)) terminal.note(line);
  return EXIT.done;
}

async function verify(context: Context, names: readonly string[]): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const { accounts } = await context.workspace();
  const chosen: AccountConfig[] = [];
  for (const name of new Set(names)) chosen.push(await context.account(name));
  const asked = names.length === 0 ? [...accounts.values()] : chosen;
  const verdicts = await verifyAccounts(asked, { open: (account) => context.provider(account), clock });
  if (terminal.json) terminal.document(verdicts.map(({ account, ok, checks }) => ({ account, ok, checks })));
  else {
    asked.forEach((account, index) => {
      const verdict = verdicts[index];
      if (verdict) terminal.data(verdictText(account, verdict, terminal.paint));
    });
  }
  return gravest(verdicts.map((verdict) => verdict.status));
}

interface RemoveOptions {
  yes?: boolean;
  force?: boolean;
  keepSecrets?: boolean;
}

async function remove(context: Context, name: string, options: RemoveOptions): Promise<ExitStatus> {
  const { terminal } = context;
  const file = await context.accountsFile();
  const account = await context.account(name);
  if (file.entry(name) === null) {
    throw new Failure('ACCOUNT_UNKNOWN', `${name} is built in and does not stand in ${file.path}.`);
  }
  await refuseWhileNeeded(context, account, options.force === true);
  const stored = options.keepSecrets === true ? [] : await ownSecrets(context, account);
  const secrets = await context.secrets();
  const shown = stored.map((ref) => secrets.show(ref));
  if (options.yes !== true) {
    const ask = await terminal.questions('--yes');
    const also = shown.length === 0 ? '' : `, and delete ${shown.join(' and ')}`;
    const isSure = await ask.confirm(`Take ${name} out of ${file.path}${also}?`, false);
    if (!isSure) throw new Failure('INTERRUPTED', 'Nothing was removed.');
  }
  await file.without(name).save();
  // Afterwards: an account without its secrets would be worse than secrets without an account.
  for (const ref of stored) await secrets.remove(ref);
  if (terminal.json) terminal.document({ account: name, file: file.path, removedSecrets: shown });
  else terminal.note([`Took ${name} out of ${file.path}.`, ...shown.map((one) => `Deleted ${one}.`)].join('\n'));
  return EXIT.done;
}

/** @throws Failure ACCOUNT_IN_USE */
async function refuseWhileNeeded(context: Context, account: AccountConfig, isForced: boolean): Promise<void> {
  const { name } = account;
  const { owners } = await context.workspace();
  const owner = [...owners].find(([, owned]) => owned === name)?.[0];
  if (owner !== undefined) {
    const hint = 'Take the owner out of pagecast.yaml first.';
    throw new Failure('ACCOUNT_IN_USE', `${name} is the account of the record owner ${owner}.`, hint);
  }
  if (isForced) return;
  const { store } = await context.store();
  const campaigns = (await store.openCampaigns(senderKey(account))).filter((one) => one.accountName === name);
  const schedules = (await store.recurrences()).filter((one) => one.accountName === name && one.nextAt !== null);
  const needed = [...campaigns.map(({ id }) => `campaign ${id}`), ...schedules.map(({ id }) => `schedule ${id}`)];
  if (needed.length === 0) return;
  throw new Failure(
    'ACCOUNT_IN_USE',
    `${name} is still needed by ${needed.slice(0, 5).join(', ')}${needed.length > 5 ? ` and ${needed.length - 5} more` : ''}.`,
    'End them first (pagecast campaign cancel, pagecast schedule remove), or pass --force: they stay and cannot go on.',
  );
}

/** The secrets that pagecast has stored for this account and no other one of the workspace uses. */
async function ownSecrets(context: Context, account: AccountConfig) {
  const { secretRefs } = await context.configuration();
  const secrets = await context.secrets();
  const { accounts } = await context.workspace();
  const others = [...accounts.values()].filter((one) => one.name !== account.name);
  const needed = new Set(others.flatMap((one) => secretRefs(one).map(({ ref }) => secrets.show(ref))));
  return secretRefs(account)
    .map(({ key, ref }) => (secrets.isOwn(ref, secretName(account.name, key)) ? ref : null))
    .filter((ref) => ref !== null)
    .filter((ref) => !needed.has(secrets.show(ref)));
}
