/**
 * `pagecast account add`: from flags, from a dialogue, or from both. Nothing is written before all answers are there and
 * the configuration that comes of them has passed its check.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Readable } from 'node:stream';
import { verifyAccounts, type Verdict } from '../../app/verify-accounts.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { ProviderName } from '../../ports.js';
import type { AccountConfig, AccountEntry } from '../../workspace/config.js';
import type { AccountsFile } from '../../workspace/edit-accounts.js';
import type { SecretPlace, Secrets } from '../../workspace/secrets.js';
import type { Context } from '../context.js';
import type { Questions } from '../terminal.js';
import { verdictText } from '../verdict-text.js';

/** The options that are keys of the entry stand under the same names there. */
export interface AddOptions {
  provider?: string;
  channel?: string;
  id?: string;
  instagramId?: string;
  token?: string;
  appSecret?: string;
  spaceId?: string;
  accessKeyId?: string;
  accessKeySecret?: string;
  callbackToken?: string;
  accountSid?: string;
  authToken?: string;
  url?: string;
  version?: string;
  batch?: string;
  pace?: string;
  secretsStdin?: boolean;
  replace?: boolean;
  verify?: boolean;
}

interface SecretField {
  key: string;
  what: string;
  isOptional?: boolean;
}

/** What each provider keeps secret, in the order of asking. */
const SECRETS: Record<ProviderName, readonly SecretField[]> = {
  graph: [
    { key: 'token', what: 'access token' },
    { key: 'appSecret', what: 'app secret', isOptional: true },
  ],
  cams: [
    { key: 'accessKeyId', what: 'AccessKey id' },
    { key: 'accessKeySecret', what: 'AccessKey secret' },
    { key: 'callbackToken', what: 'token of the address that CAMS calls', isOptional: true },
  ],
  twilio: [
    { key: 'accountSid', what: 'account SID' },
    { key: 'authToken', what: 'auth token' },
  ],
  sandbox: [{ key: 'appSecret', what: 'app secret', isOptional: true }],
};
const SECRET_KEYS = [...new Set(Object.values(SECRETS).flatMap((fields) => fields.map(({ key }) => key)))];
const PROVIDERS = Object.keys(SECRETS) as ProviderName[];

/** In this order they are written. */
const ORDER: readonly string[] = [
  ...['provider', 'channel', 'id', 'instagramId', 'spaceId'],
  ...SECRET_KEYS,
  ...['url', 'version', 'batch', 'pace'],
];

const INSTAGRAM_URL = 'https://graph.instagram.com';

interface Answers {
  name: string;
  entry: AccountEntry;
  /** What is to be stored, and whether something that is there already may go. */
  stored: { place: SecretPlace; secret: string; what: string; overwrite: boolean }[];
}

export async function addAccount(context: Context, name: string | undefined, options: AddOptions): Promise<ExitStatus> {
  const { terminal } = context;
  const file = await context.accountsFile();
  const secrets = await context.secrets();
  const answers = await new Form(context, file, secrets, options).answers(name).catch((error: unknown) => {
    if (error instanceof Error && error.name === 'ExitPromptError') {
      throw new Failure('INTERRUPTED', 'Nothing was written.');
    }
    throw error;
  });
  const standing = file.entry(answers.name);
  const account = await write(file, secrets, answers);

  const missing = await context.missingSecrets(account);
  const places = answers.stored.map(({ place }) => secrets.show(place));
  const done = standing === null ? 'added' : isDeepStrictEqual(standing, answers.entry) ? 'unchanged' : 'replaced';
  if (!terminal.json) {
    terminal.data(account.name);
    const where = { added: 'is now in', replaced: 'is changed in', unchanged: 'stays as it is in' }[done];
    terminal.note(`${account.name} ${where} ${file.path}.`);
    answers.stored.forEach(({ what }, index) => terminal.note(`Stored the ${what}: ${places[index] ?? ''}`));
    for (const { failure } of missing) terminal.note(`${failure.message} ${failure.hint}`);
  }
  const verdict = await verified(context, account, options.verify, missing.length > 0);
  if (terminal.json) {
    terminal.document({
      account: account.name,
      file: file.path,
      done,
      entry: answers.entry,
      stored: places,
      missingSecrets: missing.map(({ secret }) => secret),
      verified: verdict && { ok: verdict.ok, checks: verdict.checks },
    });
  } else if (verdict) terminal.note(verdictText(account, verdict, terminal.tint));
  else terminal.note(`Whether it works: pagecast account verify ${account.name}`);
  return verdict?.status ?? EXIT.done;
}

/** Stores the secrets, then writes the file; when that fails, what was stored goes again, and what it has replaced comes back. */
async function write(file: AccountsFile, secrets: Secrets, { name, entry, stored }: Answers): Promise<AccountConfig> {
  const change = file.with(name, entry);
  const account = change.workspace.accounts.get(name);
  if (account === undefined) throw new TypeError(`the changed configuration has no account ${name}`);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    for (const { place, secret, overwrite } of stored) {
      const isNew = !(await secrets.holds(place));
      // What cannot be read as a secret, such as an empty file, could not be used either.
      const before = isNew ? null : await secrets.read(place).catch(() => null);
      await secrets.keep(place, secret, overwrite);
      if (isNew) undo.unshift(() => secrets.remove(place));
      else if (before !== null) undo.unshift(() => secrets.keep(place, before, true));
    }
    // A new secret for the same account is no reason to touch the file.
    if (!isDeepStrictEqual(file.entry(name), entry)) await change.save();
  } catch (error) {
    for (const step of undo) await step().catch(() => undefined);
    throw error;
  }
  return account;
}

/** @returns null when nobody wants to know */
async function verified(
  context: Context,
  account: AccountConfig,
  wanted: boolean | undefined,
  isIncomplete: boolean,
): Promise<Verdict | null> {
  const { terminal, clock } = context;
  if (wanted === undefined && terminal.interactive && !isIncomplete) {
    const ask = await terminal.questions('--verify or --no-verify');
    wanted = await ask.confirm('Ask the service whether the account works? Nothing is sent.', true);
  }
  if (wanted !== true) return null;
  const [verdict = null] = await verifyAccounts([account], { open: (one) => context.provider(one), clock });
  return verdict;
}

// ---------------------------------------------------------------------------------------------------- the answers

/** Collects the answers: from the flags, from what is piped in, from an account that is to be changed, from a person. */
class Form {
  readonly #context: Context;
  readonly #file: AccountsFile;
  readonly #secrets: Secrets;
  readonly #options: AddOptions;
  /** Whether a person has been asked for the kind of account, and so for everything else that matters. */
  #isGuided = false;

  constructor(context: Context, file: AccountsFile, secrets: Secrets, options: AddOptions) {
    this.#context = context;
    this.#file = file;
    this.#secrets = secrets;
    this.#options = options;
  }

  async answers(given: string | undefined): Promise<Answers> {
    const piped = this.#options.secretsStdin === true ? await readPiped(this.#context.terminal.input) : null;
    this.#refuseSecrets();
    this.#refuseIfMissing(given, piped);
    const name = await this.#name(given);
    const standing = this.#options.replace === true ? this.#file.entry(name) : null;
    const provider = await this.#provider(standing);
    const before = standing?.['provider'] === provider ? standing : {};
    const entry: Record<string, unknown> = { ...before, ...(await this.#flags(provider, before)), provider };
    await this.#plain(provider, entry);
    const stored = piped
      ? this.#placePiped(name, provider, entry, piped)
      : await this.#askForSecrets(name, provider, entry, standing !== null);
    const ordered = ORDER.filter((key) => entry[key] !== undefined);
    const others = Object.keys(entry).filter((key) => !ORDER.includes(key));
    return { name, entry: Object.fromEntries([...ordered, ...others].map((key) => [key, entry[key]])), stored };
  }

  /** @throws Failure ANSWER_NEEDED, which names everything that is missing, where nobody can be asked */
  #refuseIfMissing(given: string | undefined, piped: Map<string, string> | null): void {
    if (this.#context.terminal.interactive) return;
    const options: Readonly<Record<string, unknown>> = { ...this.#options };
    const standing = this.#options.replace === true && given !== undefined ? this.#file.entry(given) : null;
    const provider = PROVIDERS.find((one) => one === (options['provider'] ?? standing?.['provider']));
    const needed = [
      'provider',
      ...(provider === 'twilio' ? [] : ['channel']),
      'id',
      ...(provider === 'cams' ? ['spaceId'] : []),
      ...(provider ? SECRETS[provider] : []).filter((field) => !field.isOptional).map(({ key }) => key),
    ].filter((key) => (options[key] ?? standing?.[key]) === undefined && piped?.has(flagName(key)) !== true);
    const flags = [
      ...(given === undefined ? ['the name of the account'] : []),
      ...needed.map((key) => `--${flagName(key)}`),
    ];
    if (flags.length === 0) return;
    throw new Failure(
      'ANSWER_NEEDED',
      'This needs answers, and there is no terminal to ask on.',
      `Pass ${flags.join(', ')}.`,
    );
  }

  /** @throws Failure USAGE for an option that is no place of a secret, and so perhaps the secret itself */
  #refuseSecrets(): void {
    const options: Readonly<Record<string, unknown>> = { ...this.#options };
    for (const key of SECRET_KEYS) {
      const text = options[key];
      if (typeof text !== 'string' || this.#secrets.ref(text) !== null) continue;
      throw new Failure(
        'USAGE',
        `--${flagName(key)} takes the place of a secret, never the secret: env:NAME, file:PATH or keyring:NAME.`,
        'To store a secret, leave the option out and answer the question, or pipe it in with --secrets-stdin. If it was the secret, make a new one: it is in the history of your shell now.',
      );
    }
  }

  async #name(given: string | undefined): Promise<string> {
    const { accountNameFault } = await this.#context.configuration();
    const fault = (name: string): string | null =>
      accountNameFault(name) ??
      (this.#options.replace !== true && this.#file.entry(name) !== null ? 'is there already' : null);
    if (given === undefined) {
      const ask = await this.#ask();
      const typed = await ask.type('What is the account to be called? (such as acme-page)', {
        validate: (text) => sentenceOrTrue('It', fault(text.trim())),
      });
      return typed.trim();
    }
    const wrong = fault(given);
    if (wrong === null) return given;
    if (accountNameFault(given) !== null) throw new Failure('USAGE', `The name of the account ${wrong}.`);
    throw new Failure('ACCOUNT_EXISTS', `${given} ${wrong}.`, 'Choose another name, or pass --replace to change it.');
  }

  async #provider(standing: AccountEntry | null): Promise<ProviderName> {
    const given = this.#options.provider ?? standing?.['provider'];
    if (given === undefined) {
      const ask = await this.#ask();
      this.#isGuided = true;
      return ask.choose('Who carries the messages?', [
        { name: 'Meta (Graph API), with an access token of the Page or Instagram account', value: 'graph' },
        { name: 'Alibaba Cloud CAMS', value: 'cams' },
        { name: 'Twilio, by SMS', value: 'twilio' },
        { name: 'The sandbox: nothing leaves this machine', value: 'sandbox' },
      ]);
    }
    const provider = PROVIDERS.find((one) => one === given);
    if (provider) return provider;
    throw new Failure('USAGE', `--provider must be one of ${PROVIDERS.join(', ')}.`);
  }

  /**
   * What the flags say, as it stands in the file.
   * @param before what the account already has
   * @throws Failure USAGE
   */
  async #flags(provider: ProviderName, before: AccountEntry): Promise<Record<string, unknown>> {
    const { entryFault, entryKeys } = await this.#context.configuration();
    const options: Readonly<Record<string, unknown>> = { ...this.#options };
    const known = entryKeys(provider);
    const values: Record<string, unknown> = {};
    for (const key of ORDER) {
      const value = options[key];
      if (value === undefined) continue;
      if (!known.includes(key)) {
        throw new Failure('USAGE', `--${flagName(key)} does not go with the provider ${provider}.`);
      }
      values[key] = key === 'batch' && typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
    }
    for (const key of Object.keys(values)) {
      const fault = entryFault(provider, { ...before, ...values }, key);
      if (fault !== null) throw new Failure('USAGE', `--${flagName(key)} ${fault}.`);
    }
    return values;
  }

  /** Asks for what is missing and no secret, and puts it into the entry. */
  async #plain(provider: ProviderName, entry: Record<string, unknown>): Promise<void> {
    const { entryFault } = await this.#context.configuration();
    const type = async (key: string, question: string, isOptional = false): Promise<void> => {
      const ask = await this.#ask();
      const validate = (text: string): true | string =>
        (isOptional && text.trim() === '') ||
        sentenceOrTrue('It', entryFault(provider, { ...entry, [key]: text.trim() }, key));
      const typed = (await ask.type(question, { validate })).trim();
      if (typed !== '') entry[key] = typed;
    };
    if (provider === 'twilio') entry['channel'] ??= 'sms';
    if (entry['channel'] === undefined) {
      const ask = await this.#ask();
      this.#isGuided = true;
      entry['channel'] = await ask.choose('On which channel?', [
        { name: 'Messenger', value: 'messenger' },
        { name: 'Instagram', value: 'instagram' },
        ...(provider === 'sandbox' ? [{ name: 'SMS', value: 'sms' }] : []),
      ]);
    }
    const isInstagram = provider === 'graph' && entry['channel'] === 'instagram';
    if (isInstagram && this.#isGuided && entry['url'] === undefined) {
      const ask = await this.#ask();
      const login = await ask.choose('How does the Instagram account sign in?', [
        { name: 'Through the Facebook Page that it is linked to', value: 'page' as const },
        { name: 'With Instagram Login, without a Page', value: 'instagram' as const },
      ]);
      if (login === 'instagram') entry['url'] = INSTAGRAM_URL;
    }
    if (entry['id'] === undefined) await type('id', idQuestion(provider, entry));
    if (isInstagram && this.#isGuided && entry['url'] === undefined && entry['instagramId'] === undefined) {
      const question = 'The own id of the Instagram account, for importing its webhooks (empty: not now):';
      await type('instagramId', question, true);
    }
    if (provider === 'cams' && entry['spaceId'] === undefined) await type('spaceId', 'Its CustSpaceId:');
  }

  /** Where what is piped in goes: where a flag says, where the account has it already, or into pagecast's own folder. */
  #placePiped(
    name: string,
    provider: ProviderName,
    entry: Record<string, unknown>,
    piped: Map<string, string>,
  ): Answers['stored'] {
    const fields = SECRETS[provider];
    if ([...piped.keys()].some((one) => fields.every(({ key }) => flagName(key) !== one))) {
      const names = fields.map(({ key }) => flagName(key)).join(', ') || 'none';
      throw new Failure('USAGE', `What is piped in names a secret that ${provider} does not have; it has: ${names}.`);
    }
    return fields.flatMap(({ key, what }) => {
      const secret = piped.get(flagName(key));
      if (secret === undefined) return [];
      const text = entry[key];
      const place =
        typeof text === 'string' ? this.#secrets.ref(text) : this.#secrets.place('file', secretName(name, key));
      if (place === null || 'env' in place) {
        const hint = `Pass --${flagName(key)} with file:PATH or keyring:NAME.`;
        throw new Failure('USAGE', `The ${what} is in an environment variable, where nothing can be stored.`, hint);
      }
      entry[key] = this.#secrets.show(place);
      return [{ place, secret, what, overwrite: this.#options.replace === true }];
    });
  }

  async #askForSecrets(
    name: string,
    provider: ProviderName,
    entry: Record<string, unknown>,
    isChange: boolean,
  ): Promise<Answers['stored']> {
    const fields = SECRETS[provider];
    const isMissing = fields.some((field) => !field.isOptional && entry[field.key] === undefined);
    if (isMissing) {
      const missing = fields.filter(({ key }) => entry[key] === undefined);
      return this.#askForPlaces(name, entry, missing);
    }
    return isChange && this.#context.terminal.interactive ? this.#askForNewOnes(fields, entry) : [];
  }

  async #askForPlaces(
    name: string,
    entry: Record<string, unknown>,
    fields: readonly SecretField[],
  ): Promise<Answers['stored']> {
    const ask = await this.#ask();
    for (;;) {
      const kind = await ask.choose(`Where are its secrets kept (${fields.map(({ what }) => what).join(', ')})?`, [
        { name: 'In environment variables', value: 'env' as const },
        { name: 'In files that only you can read, in .pagecast/secrets', value: 'file' as const },
        { name: 'In the keyring of this system', value: 'keyring' as const },
      ]);
      if (kind === 'env') {
        await this.#askForVariables(name, entry, fields);
        return [];
      }
      try {
        return await this.#askForValues(name, kind, entry, fields);
      } catch (error) {
        if (!(error instanceof Failure) || error.code !== 'KEYRING_UNAVAILABLE') throw error;
        this.#context.terminal.note(`${error.message} ${error.hint}`);
      }
    }
  }

  async #askForVariables(name: string, entry: Record<string, unknown>, fields: readonly SecretField[]): Promise<void> {
    const ask = await this.#ask();
    for (const { key, what, isOptional = false } of fields) {
      const suggested = variableName(name, key);
      const typed = await ask.type(
        isOptional
          ? `Environment variable with the ${what}, such as ${suggested} (empty: there is none):`
          : `Environment variable with the ${what}:`,
        {
          ...(!isOptional && { default: suggested }),
          validate: (text) =>
            (isOptional && text.trim() === '') ||
            this.#secrets.ref(`env:${text.trim()}`) !== null ||
            'Type the name of the variable, of letters, digits and underscores; not the secret itself.',
        },
      );
      if (typed.trim() !== '') entry[key] = `env:${typed.trim()}`;
    }
  }

  async #askForValues(
    name: string,
    kind: 'file' | 'keyring',
    entry: Record<string, unknown>,
    fields: readonly SecretField[],
  ): Promise<Answers['stored']> {
    const ask = await this.#ask();
    const stored: Answers['stored'] = [];
    for (const { key, what, isOptional = false } of fields) {
      const place = this.#secrets.place(kind, secretName(name, key));
      const isThere = await this.#secrets.holds(place);
      const secret = await ask.typeHidden(`The ${what}${isOptional ? ' (empty: there is none)' : ''}:`, {
        validate: (text) => (isOptional && text.trim() === '') || (this.#secrets.fault(text) ?? true),
      });
      if (secret.trim() === '') continue;
      if (isThere && this.#options.replace !== true) {
        const isWanted = await ask.confirm(`${this.#secrets.show(place)} is there already. Overwrite it?`, false);
        if (!isWanted)
          throw new Failure('INTERRUPTED', 'Nothing was written.', `Pass --${flagName(key)} with a place.`);
      }
      entry[key] = this.#secrets.show(place);
      stored.push({ place, secret, what, overwrite: isThere });
    }
    return stored;
  }

  /** For an account that is there: new values for what pagecast has stored, such as a token that has run out. */
  async #askForNewOnes(fields: readonly SecretField[], entry: AccountEntry): Promise<Answers['stored']> {
    const options: Readonly<Record<string, unknown>> = { ...this.#options };
    const stored: Answers['stored'] = [];
    for (const { key, what } of fields) {
      const text = options[key] === undefined ? entry[key] : undefined;
      const place = typeof text === 'string' ? this.#secrets.ref(text) : null;
      if (place === null || !this.#secrets.isKept(place)) continue;
      const ask = await this.#ask();
      const secret = await ask.typeHidden(`A new ${what} (empty: the one that is stored stays):`, {
        validate: (typed) => typed.trim() === '' || (this.#secrets.fault(typed) ?? true),
      });
      if (secret.trim() !== '') stored.push({ place, secret, what, overwrite: true });
    }
    return stored;
  }

  #ask(): Promise<Questions> {
    return this.#context.terminal.questions('the options of pagecast account add --help');
  }
}

function idQuestion(provider: ProviderName, { channel, url }: AccountEntry): string {
  if (channel === 'sms') return 'The number it sends from, with + and country code:';
  if (channel === 'messenger') return 'The id of the Page:';
  if (provider === 'graph' && url === undefined) return 'The id of the Page that the Instagram account is linked to:';
  return 'The id of the Instagram account:';
}

/** Under which pagecast keeps a secret of an account by itself: `acme-page`, `appSecret` → `acme-page.app-secret` */
export function secretName(account: string, key: string): string {
  return `${account}.${flagName(key)}`;
}

/** `appSecret` → `app-secret` */
function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `acme-page`, `token` → `ACME_PAGE_TOKEN` */
function variableName(account: string, key: string): string {
  const name = `${account}-${flagName(key)}`.toUpperCase().replace(/[^A-Z0-9]+/g, '_');
  return /^\d/.test(name) ? `ACCOUNT_${name}` : name;
}

function sentenceOrTrue(subject: string, fault: string | null): true | string {
  return fault === null || `${subject} ${fault}.`;
}

const PIPED_LIMIT = 64 * 1024;

/** Reads lines of `name=value`, of which nothing is ever repeated. @throws Failure USAGE */
async function readPiped(input: Readable & { isTTY?: boolean }): Promise<Map<string, string>> {
  const refuse = (what: string): Failure =>
    new Failure('USAGE', what, `Such as: printf 'token=%s\\n' "$PAGE_TOKEN" | pagecast account add … --secrets-stdin`);
  if (input.isTTY === true) throw refuse('With --secrets-stdin the secrets are piped in.');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > PIPED_LIMIT) throw refuse('What is piped in is far longer than secrets are.');
  }
  const pairs = new Map<string, string>();
  for (const [index, line] of Buffer.concat(chunks).toString('utf8').split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    const name = line.slice(0, at).trim();
    if (at === -1 || pairs.has(name))
      throw refuse(`Line ${index + 1} of what is piped in is no name=secret of its own.`);
    pairs.set(name, line.slice(at + 1).trim());
  }
  if (pairs.size === 0) throw refuse('Nothing is piped in.');
  return pairs;
}
