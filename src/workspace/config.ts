/**
 * The workspace: the folder with `pagecast.yaml`, and what that file says about the store, the accounts, the owners, the
 * window, and what is heard and answered. Secrets stay where they are; the file only names the places (`secrets.ts`).
 */
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '../core/failure.js';
import { DEFAULT_AUTOMATION, type AutomationSettings } from '../core/flow.js';
import { DEFAULT_OPT_OUT, isAmong, normalWord, type OptOutSettings } from '../core/opt-out.js';
import { highestPace, PAGE_LIMIT, parsePace } from '../core/pacing.js';
import { PHONE, PLATFORM_ID } from '../core/user-id.js';
import { LIMITS, utf8Length } from '../core/template.js';
import { DEFAULT_WINDOW, OPENERS, type Opener, type WindowSettings } from '../core/window.js';
import type { Account, ProviderName } from '../ports.js';
import { suggestion } from './nearest.js';
import {
  anchorSecretRef,
  HOW_TO_NAME_A_SECRET,
  parseSecretRef,
  requireVariable,
  type Environment,
  type SecretRef,
} from './secrets.js';
import {
  checkYaml,
  duration,
  expecting,
  LANGUAGE,
  LANGUAGE_CODE,
  list,
  oneOf,
  parseYaml,
  quotedText,
  readText,
  span,
  strict,
  text,
} from './yaml-file.js';

const WORKSPACE_FILE = 'pagecast.yaml';
/** Where the embedded store of a workspace is, unless `store:` says otherwise; relative to the workspace. */
const DEFAULT_STORE = '.pagecast/pagecast.db';

export interface GraphAccount extends Account {
  provider: 'graph';
  channel: 'messenger' | 'instagram';
  /** Access token of the Page or of the Instagram account. */
  token: SecretRef;
  /** Signs requests and checks webhooks. */
  appSecret?: SecretRef;
  /** Base URL of the Graph API without a version, such as `https://graph.instagram.com`. */
  url?: string;
  /** Such as `v26.0`. */
  version?: string;
  /** Whose login the token comes from; the URL tells it where nothing is said. */
  login?: 'facebook' | 'instagram';
  /** How many messages one call may carry, 1 to 50; one at a time without it. */
  batch?: number;
  /** The Instagram account's own id, by which webhooks name it, where `id` is that of its Page. */
  instagramId?: string;
}

export interface CamsAccount extends Account {
  provider: 'cams';
  channel: 'messenger' | 'instagram';
  /** CAMS calls it CustSpaceId. */
  spaceId: string;
  accessKeyId: SecretRef;
  accessKeySecret: SecretRef;
  /** Callbacks come to an address that holds it: CAMS does not sign them. */
  callbackToken?: SecretRef;
  url?: string;
}

export interface TwilioAccount extends Account {
  provider: 'twilio';
  channel: 'sms';
  accountSid: SecretRef;
  authToken: SecretRef;
  url?: string;
  /** Where Twilio tells what became of each message. */
  statusCallback?: string;
}

export interface SandboxAccount extends Account {
  provider: 'sandbox';
  /** It speaks as Meta's platform does, which has no text messages. */
  channel: 'messenger' | 'instagram';
  /** A sandbox that already runs; without it the embedded one is started. */
  url?: string;
  /** Absolute path of a file that says which users the sandbox starts with. */
  seed?: string;
  /** Checks the webhooks that the sandbox signs. */
  appSecret?: SecretRef;
}

export type AccountConfig = GraphAccount | CamsAccount | TwilioAccount | SandboxAccount;

export interface Workspace {
  /** Absolute path of the folder; null outside a workspace. */
  root: string | null;
  /** Absolute path of its `pagecast.yaml`. */
  file: string | null;
  /** `sqlite:/absolute/path` or `env:NAME` (see `resolveStoreUrl`); null outside a workspace, where the caller decides. */
  storeUrl: string | null;
  /** By name, in the order of the file; `sandbox` is always there. */
  accounts: Map<string, AccountConfig>;
  /** Record owner → the name of their SMS account. */
  owners: Map<string, string>;
  window: WindowSettings;
  /** How callbacks are taken in. */
  listen: ListenSettings;
  optOut: OptOutSettings;
  automation: AutomationSettings;
}

export interface ListenSettings {
  /** What Meta shows when it asks whether an address is meant to get its webhooks. */
  verifyToken: SecretRef | null;
  /** By which other programs may trigger flows. */
  flowToken: SecretRef | null;
  /** Where services reach the listener from outside, without a slash at its end; Twilio signs the address that it calls. */
  url: string | null;
}

const SANDBOX_ACCOUNT: SandboxAccount = {
  name: 'sandbox',
  provider: 'sandbox',
  channel: 'messenger',
  id: '100000000000001',
  pace: 35,
};

/** Messages a second where the file says nothing. SMS from an ordinary number leaves at one a second anyway. */
const DEFAULT_PACE: Record<ProviderName, number> = { graph: 35, cams: 35, sandbox: 35, twilio: 1 };

/** Sender IDs of the vendors that are not accounts; an account of that name could never be chosen. */
const RESERVED_NAMES = ['auto', 'record-owner'];
const ACCOUNT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const STORE_VARIABLE = /^env:[A-Za-z_][A-Za-z0-9_]{0,127}$/;

// ---------------------------------------------------------------------------------------------------- the file's shape

/** A path in it is relative to the workspace until `readWorkspace` makes it absolute. */
const secret = z.string({ error: expecting(HOW_TO_NAME_A_SECRET) }).transform((text, context): SecretRef => {
  const ref = parseSecretRef(text);
  if (ref !== null) return ref;
  context.addIssue({ code: 'custom', message: `must be ${HOW_TO_NAME_A_SECRET}` });
  return z.NEVER;
});

const PACE = 'a pace such as 35/s, 30/m, a number (messages a second) or unlimited';
const pace = z.union([z.string(), z.number()], { error: expecting(PACE) }).transform((value, context): number => {
  const perSecond = parsePace(String(value));
  if (perSecond !== null) return perSecond;
  context.addIssue({ code: 'custom', message: `must be ${PACE}` });
  return z.NEVER;
});

const URL_SHAPE = 'a URL that begins with https:// (http:// only on this machine), without name, password and query';
function baseUrl(plainHttpAnywhere: boolean): z.ZodType<string> {
  return z.string({ error: expecting(URL_SHAPE) }).refine(
    (text) => {
      if (!URL.canParse(text)) return false;
      const url = new URL(text);
      const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
      // Over plain http the token could be read on the way.
      const scheme = url.protocol === 'https:' || (url.protocol === 'http:' && (isLocal || plainHttpAnywhere));
      return scheme && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
    },
    { error: `must be ${URL_SHAPE}` },
  );
}

const CALLBACK = 'a URL that begins with https://, without name, password and anchor';
/** Twilio calls it from outside, so there is no http:// for this machine. The longest that Twilio takes has 4000 characters. */
const callbackUrl = z
  .string({ error: expecting(CALLBACK) })
  .max(3800, 'must have at most 3,800 characters')
  .refine(
    (text) => {
      if (!URL.canParse(text)) return false;
      const { protocol, username, password, hash } = new URL(text);
      return protocol === 'https:' && username === '' && password === '' && hash === '';
    },
    { error: `must be ${CALLBACK}` },
  );

/** The Graph API takes 50 requests in one (batch requests). */
const BATCH = 'a whole number of messages for each call, from 1 to 50';
const id = quotedText(
  'the id of the account: the digits of a Page or Instagram account, or +4915112345678',
  /^\+?\d{5,20}$/,
);
const platformChannel = oneOf(['messenger', 'instagram'] as const);
const common = { id, pace: pace.optional() };

const accountKinds = [
  strict({
    provider: z.literal('graph'),
    channel: platformChannel,
    ...common,
    token: secret,
    appSecret: secret.optional(),
    instagramId: quotedText('the digits of the Instagram account id', PLATFORM_ID).optional(),
    url: baseUrl(false).optional(),
    version: z
      .string({ error: expecting('a version such as v26.0') })
      .regex(/^v\d{1,3}\.\d{1,2}$/, 'must be a version such as v26.0')
      .optional(),
    login: oneOf(['facebook', 'instagram'] as const).optional(),
    batch: z
      .number({ error: expecting(BATCH) })
      .int(`must be ${BATCH}`)
      .min(1, `must be ${BATCH}`)
      .max(50, `must be ${BATCH}`)
      .optional(),
  }),
  strict({
    provider: z.literal('cams'),
    channel: platformChannel,
    ...common,
    spaceId: z
      .string({ error: expecting('the CustSpaceId, such as cams-8c8x') })
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be the CustSpaceId, such as cams-8c8x'),
    accessKeyId: secret,
    accessKeySecret: secret,
    callbackToken: secret.optional(),
    url: baseUrl(false).optional(),
  }),
  strict({
    provider: z.literal('twilio'),
    channel: oneOf(['sms'] as const),
    ...common,
    accountSid: secret,
    authToken: secret,
    url: baseUrl(false).optional(),
    statusCallback: callbackUrl.optional(),
  }),
  strict({
    provider: z.literal('sandbox'),
    channel: platformChannel,
    ...common,
    url: baseUrl(true).optional(),
    seed: z
      .string({ error: expecting('the path of a file') })
      .min(1, 'must be the path of a file')
      .optional(),
    appSecret: secret.optional(),
  }),
] as const;

/** Whose tokens the Graph API takes there. */
function loginAt(url: string | undefined): 'facebook' | 'instagram' {
  return url !== undefined && new URL(url).hostname === 'graph.instagram.com' ? 'instagram' : 'facebook';
}

const accountShape = z
  .discriminatedUnion('provider', accountKinds, {
    error: (issue) => {
      const providers = ['graph', 'cams', 'twilio', 'sandbox'];
      // The type says that only `invalid_union` comes here; a value that is no mapping does too.
      if ((issue.code as string) === 'invalid_type') return 'must be a mapping with provider, channel, id and so on';
      const found: unknown = (issue.input as Record<string, unknown> | null | undefined)?.['provider'];
      return (
        expecting(`one of ${providers.join(', ')}`)({ input: found }) +
        (typeof found === 'string' ? suggestion(found, providers) : '')
      );
    },
  })
  .superRefine((account, context) => {
    const isPhone = account.channel === 'sms';
    if (!(isPhone ? PHONE : PLATFORM_ID).test(account.id)) {
      const expected = isPhone
        ? 'must be a phone number with + and country code, because the channel is sms'
        : `must be the digits of the ${account.channel === 'messenger' ? 'Page' : 'Instagram account'} id`;
      context.addIssue({ code: 'custom', path: ['id'], message: expected });
    }
    const isByInstagram = account.provider === 'graph' && (account.login ?? loginAt(account.url)) === 'instagram';
    if (isByInstagram && account.channel === 'messenger') {
      const [key, expected] = account.login ? ['login', 'facebook'] : ['url', 'that of graph.facebook.com'];
      const message = `must be ${expected}: with Instagram Login there is no Messenger`;
      context.addIssue({ code: 'custom', path: [key], message });
    }
    if (isByInstagram && account.batch !== undefined && account.batch > 1) {
      const message = 'must be 1 with Instagram Login: batches are documented for graph.facebook.com only';
      context.addIssue({ code: 'custom', path: ['batch'], message });
    }
    if (account.provider === 'graph' && account.channel !== 'instagram' && account.instagramId !== undefined) {
      const message = 'must not be given without the channel instagram: webhooks of Messenger carry the id of the Page';
      context.addIssue({ code: 'custom', path: ['instagramId'], message });
    }
    if (account.pace !== undefined && account.pace > highestPace(account)) {
      context.addIssue({
        code: 'custom',
        path: ['pace'],
        message: `must be at most ${PAGE_LIMIT}/s: Messenger cuts off a Page that sends more than ${PAGE_LIMIT} messages a second`,
      });
    }
  });

/** What each provider needs at least, so that one answer can be checked before the others are known. */
const LEAST: Record<ProviderName, Readonly<Record<string, string>>> = {
  graph: { channel: 'messenger', id: '10000', token: 'env:X' },
  cams: { channel: 'messenger', id: '10000', spaceId: 'x', accessKeyId: 'env:X', accessKeySecret: 'env:X' },
  twilio: { channel: 'sms', id: '+15550000000', accountSid: 'env:X', authToken: 'env:X' },
  sandbox: { channel: 'messenger', id: '10000' },
};

/** An account as it stands in the file, not checked yet. */
export type AccountEntry = Readonly<Record<string, unknown>>;

/** What is wrong with one value of an entry that is not complete yet, such as "must be …"; null when it is right. */
export function entryFault(provider: ProviderName, entry: AccountEntry, key: string): string | null {
  const { error } = accountShape.safeParse({ ...LEAST[provider], ...entry, provider });
  return error?.issues.find((issue) => issue.path[0] === key)?.message ?? null;
}

/** The keys that an account of a provider may have. */
export function entryKeys(provider: ProviderName): string[] {
  const shape = accountKinds.find((kind) => kind.shape.provider.value === provider)?.shape ?? {};
  return Object.keys(shape);
}

/** What is wrong with the name of an account; null when it is right. */
export function accountNameFault(name: string): string | null {
  return accountName.safeParse(name).error?.issues[0]?.message ?? null;
}

const yesOrNo = z.boolean({ error: expecting('true or false') }).optional();
const openers = strict(
  Object.fromEntries(OPENERS.map((opener) => [opener, yesOrNo])) as Record<Opener, typeof yesOrNo>,
);
const HOURS = 'a number of hours above 0 and at most 24: the platform keeps no window open for longer';
const windowShape = strict({
  hours: z
    .number({ error: expecting(HOURS) })
    .gt(0, `must be ${HOURS}`)
    .max(24, `must be ${HOURS}`)
    .default(DEFAULT_WINDOW.hours),
  margin: duration.default(DEFAULT_WINDOW.marginMs),
  openers: openers.default({}),
}).refine((window) => window.margin < window.hours * 3_600_000, {
  path: ['margin'],
  error: 'must be shorter than the window itself',
});

/** Whatever it is sent on, it has to fit: Instagram's limit is the tightest. */
const MESSAGE_BYTES = LIMITS.instagram.text.max;
const wholeMessage = text('a text').refine((value) => utf8Length(value) <= MESSAGE_BYTES, {
  error: `must be at most ${MESSAGE_BYTES} bytes, so that it fits every channel`,
});
/** It is added to other texts. */
const sentence = text('a sentence', 300).refine((value) => !/\{\{|\}\}/.test(value), {
  error: 'must not hold {{ or }}: it has no variables',
});

function byLanguage<T extends z.ZodType>(item: T, what: string): z.ZodType<Record<string, z.output<T>>> {
  return z
    .record(z.string().regex(LANGUAGE, `must be ${LANGUAGE_CODE}`), item, {
      error: expecting(`a mapping of languages to ${what}`),
    })
    .refine((entries) => Object.keys(entries).length > 0, { error: 'must name at least one language' });
}

const optOutWords = byLanguage(
  list(
    text('a word', 40).refine((word) => normalWord(word) !== '', { error: 'must be a word' }),
    'words',
  ).min(1, 'must name at least one word'),
  'lists of words',
);
const CONFIRMATION = 'false, or a mapping of languages to texts';
const optOutShape = strict({
  keywords: optOutWords.default({}),
  startKeywords: optOutWords.default({}),
  confirmation: z
    .union([z.literal(false), byLanguage(wholeMessage, 'texts')], { error: expecting(CONFIRMATION) })
    .default({}),
})
  .transform(({ keywords, startKeywords, confirmation }) => ({
    out: { ...DEFAULT_OPT_OUT.out, ...keywords },
    in: { ...DEFAULT_OPT_OUT.in, ...startKeywords },
    confirmation: confirmation === false ? null : { ...DEFAULT_OPT_OUT.confirmation, ...confirmation },
  }))
  .superRefine((settings, context) => {
    // It would never be taken for the latter.
    for (const [language, words] of Object.entries(settings.in)) {
      const out = [...(settings.out[language] ?? []), ...(settings.out['en'] ?? [])];
      const both = words.find((word) => isAmong(normalWord(word), out));
      if (both === undefined) continue;
      const what =
        'has a word both among keywords, by which people opt out, and among startKeywords, by which they opt back in';
      const message = `${what} (${language}; built-in words count where no list of yours stands in for them)`;
      context.addIssue({ code: 'custom', path: [], message });
    }
  });

const MOST = 'a whole number of messages, from 1 to 1000';
const automationShape = strict({
  disclosure: z
    .union([sentence, byLanguage(sentence, 'sentences')], {
      error: expecting('a sentence, or a mapping of languages to sentences'),
    })
    .optional(),
  discloseAgain: duration.default(DEFAULT_AUTOMATION.discloseAgainMs),
  guard: strict({
    most: z
      .number({ error: expecting(MOST) })
      .int(`must be ${MOST}`)
      .min(1, `must be ${MOST}`)
      .max(1000, `must be ${MOST}`)
      .default(DEFAULT_AUTOMATION.guard.most),
    within: span.default(DEFAULT_AUTOMATION.guard.withinMs),
  }).default({ most: DEFAULT_AUTOMATION.guard.most, within: DEFAULT_AUTOMATION.guard.withinMs }),
});

const listenShape = strict({
  verifyToken: secret.optional(),
  flowToken: secret.optional(),
  url: baseUrl(false).optional(),
});

const STORE = 'sqlite:PATH or env:NAME (an address with a password belongs into an environment variable)';
const accountName = z
  .string()
  .regex(ACCOUNT_NAME, 'must be an account name of letters, digits, dots, hyphens and underscores (at most 64)')
  .refine((name) => !RESERVED_NAMES.includes(name), {
    error: `must not be called ${RESERVED_NAMES.join(' or ')}: those mean something else where an account is chosen`,
  });

const fileShape = strict({
  store: z
    .string({ error: expecting(STORE) })
    .refine((text) => /^sqlite:./.test(text) || STORE_VARIABLE.test(text), {
      error: `must be ${STORE}`,
    })
    .default(`sqlite:${DEFAULT_STORE}`),
  accounts: z
    .record(accountName, accountShape, { error: expecting('a mapping of account names to accounts') })
    .default({}),
  owners: z
    .record(
      z.string().regex(/^[^\s,]{1,64}$/, 'must be the name of a record owner without spaces and commas'),
      z.string({ error: expecting('the name of an account on the channel sms') }),
      { error: expecting('a mapping of record owners to account names') },
    )
    .default({}),
  window: windowShape.default({ hours: DEFAULT_WINDOW.hours, margin: DEFAULT_WINDOW.marginMs, openers: {} }),
  listen: listenShape.default({}),
  optOut: optOutShape.default(DEFAULT_OPT_OUT),
  automation: automationShape.prefault({}),
}).superRefine(({ accounts, owners }, context) => {
  const own = accounts[SANDBOX_ACCOUNT.name];
  if (own && own.provider !== 'sandbox') {
    // Every example sends from it, on the understanding that nothing leaves the machine.
    const message =
      'must have the provider sandbox: an account of this name is taken for the one where nothing is really sent';
    context.addIssue({ code: 'custom', path: ['accounts', SANDBOX_ACCOUNT.name], message });
  }
  for (const [owner, name] of Object.entries(owners)) {
    // V2: what leaves in a record owner's name leaves as SMS, from the owner's own number.
    if (accounts[name]?.channel === 'sms') continue;
    const message = accounts[name]
      ? 'must name an account on the channel sms'
      : `must name one of the accounts of this file${suggestion(name, Object.keys(accounts))}`;
    context.addIssue({ code: 'custom', path: ['owners', owner], message });
  }
});

// ---------------------------------------------------------------------------------------------------- use

/** The configuration that holds for a folder: that of the nearest workspace above it, or none. */
export async function openWorkspace(from: string): Promise<Workspace> {
  const file = await findWorkspaceFile(from);
  return file === null ? noWorkspace() : readWorkspace(file);
}

/** Walks up from a folder to the first `pagecast.yaml`. @returns its absolute path, or null */
export async function findWorkspaceFile(from: string): Promise<string | null> {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const file = join(folder, WORKSPACE_FILE);
    if (await exists(file)) return file;
    const misnamed = join(folder, 'pagecast.yml');
    // Passing over it would quietly use another configuration.
    if (await exists(misnamed)) {
      throw new Failure(
        'CONFIG_INVALID',
        `${misnamed} is not read: the file is called ${WORKSPACE_FILE}.`,
        'Rename it.',
      );
    }
    if (dirname(folder) === folder) return null;
  }
}

/** What holds without a workspace: the sandbox account alone. */
export function noWorkspace(): Workspace {
  return {
    root: null,
    file: null,
    storeUrl: null,
    accounts: new Map([[SANDBOX_ACCOUNT.name, SANDBOX_ACCOUNT]]),
    owners: new Map(),
    window: DEFAULT_WINDOW,
    listen: { verifyToken: null, flowToken: null, url: null },
    optOut: DEFAULT_OPT_OUT,
    automation: DEFAULT_AUTOMATION,
  };
}

/** @throws Failure CONFIG_INVALID with file, line and key; FILE_UNREADABLE */
export async function readWorkspace(path: string): Promise<Workspace> {
  const file = resolve(path);
  return parseWorkspace(file, await readText(file, 'CONFIG_INVALID'));
}

/**
 * What a text would mean as the `pagecast.yaml` of a folder.
 * @param file absolute path of that `pagecast.yaml`
 * @throws Failure CONFIG_INVALID with file, line and key
 */
export function parseWorkspace(file: string, text: string): Workspace {
  const root = dirname(file);
  const yaml = parseYaml(file, text, 'CONFIG_INVALID');
  const checked = checkYaml({ ...yaml, data: withoutEmptySections(yaml.data) }, fileShape, 'CONFIG_INVALID');

  const accounts = new Map<string, AccountConfig>();
  for (const [name, account] of Object.entries(checked.accounts)) {
    const described = { ...defined(account), name, pace: account.pace ?? DEFAULT_PACE[account.provider] };
    accounts.set(name, anchoredAccount(described, root));
  }
  if (!accounts.has(SANDBOX_ACCOUNT.name)) accounts.set(SANDBOX_ACCOUNT.name, SANDBOX_ACCOUNT);

  return {
    root,
    file,
    storeUrl: anchored(checked.store, root),
    accounts,
    owners: new Map(Object.entries(checked.owners)),
    window: {
      hours: checked.window.hours,
      marginMs: checked.window.margin,
      openers: { ...DEFAULT_WINDOW.openers, ...defined(checked.window.openers) },
    },
    listen: listenSettings(checked.listen, root),
    optOut: checked.optOut,
    automation: automationSettings(checked.automation),
  };
}

function listenSettings({ verifyToken, flowToken, url }: z.output<typeof listenShape>, root: string): ListenSettings {
  return {
    verifyToken: verifyToken ? anchorSecretRef(verifyToken, root) : null,
    flowToken: flowToken ? anchorSecretRef(flowToken, root) : null,
    url: url?.replace(/\/+$/, '') ?? null,
  };
}

function automationSettings(checked: z.output<typeof automationShape>): AutomationSettings {
  const { disclosure, discloseAgain, guard } = checked;
  return {
    // A sentence without a language is for all of them.
    disclosure: typeof disclosure === 'string' ? { en: disclosure } : (disclosure ?? null),
    discloseAgainMs: discloseAgain,
    guard: { most: guard.most, withinMs: guard.within },
  };
}

/** @throws Failure ACCOUNT_UNKNOWN, which says which accounts there are */
export function findAccount(workspace: Workspace, name: string): AccountConfig {
  const account = workspace.accounts.get(name);
  if (account) return account;
  const names = [...workspace.accounts.keys()];
  const where = workspace.file ?? `no ${WORKSPACE_FILE} here or above`;
  throw new Failure(
    'ACCOUNT_UNKNOWN',
    `There is no account "${name}"${suggestion(name, names)}.`,
    `There is: ${names.join(', ')} (${where}).`,
  );
}

/**
 * The store's address: `sqlite:/absolute/path` or `postgres://…`. The latter holds a password: never print it.
 * @returns null outside a workspace
 * @throws Failure SECRET_MISSING, CONFIG_INVALID when the variable holds no such address
 */
export function resolveStoreUrl(workspace: Workspace, env: Environment): string | null {
  const { storeUrl, root } = workspace;
  if (storeUrl === null || root === null || !storeUrl.startsWith('env:')) return storeUrl;
  const name = storeUrl.slice(4);
  const url = requireVariable(name, env);
  if (!/^(sqlite:.|postgres(ql)?:\/\/)/.test(url)) {
    throw new Failure('CONFIG_INVALID', `${name} holds no store address; expected sqlite:PATH or postgres://….`);
  }
  return anchored(url, root);
}

/** A secret that an account names. */
export interface NamedSecret {
  /** That of the configuration. */
  key: string;
  ref: SecretRef;
  /** Callbacks are checked with it and nothing is sent with it, so no provider gets it, and sending goes without it. */
  isForCallbacks: boolean;
}

/** What callbacks alone are checked with. An app secret is that for the sandbox, where calls need no proof of it. */
const CALLBACK_SECRETS: Partial<Record<ProviderName, readonly string[]>> = {
  cams: ['callbackToken'],
  sandbox: ['appSecret'],
};

export function secretRefs(account: AccountConfig): NamedSecret[] {
  const forCallbacks = CALLBACK_SECRETS[account.provider] ?? [];
  return Object.entries(account).flatMap(([key, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null
      ? [{ key, ref: value as SecretRef, isForCallbacks: forCallbacks.includes(key) }]
      : [],
  );
}

/** Makes an account's paths absolute. */
function anchoredAccount(account: AccountConfig, root: string): AccountConfig {
  const secrets = secretRefs(account).map(({ key, ref }) => [key, anchorSecretRef(ref, root)]);
  const anchored = { ...account, ...Object.fromEntries(secrets) } as AccountConfig;
  if (anchored.provider === 'sandbox' && anchored.seed !== undefined) anchored.seed = resolve(root, anchored.seed);
  return anchored;
}

/** Makes the path of a SQLite address absolute, so that it means the same from every folder. */
function anchored(url: string, root: string): string {
  const path = url.startsWith('sqlite:') ? url.slice('sqlite:'.length) : null;
  return path === null || path === ':memory:' || isAbsolute(path) ? url : `sqlite:${resolve(root, path)}`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    const hint = 'Check the permissions of its folder.';
    throw new Failure('FILE_UNREADABLE', `${path} cannot be read (${code ?? 'unknown error'}).`, hint, error);
  }
}

/** `accounts:` with nothing but comments below it is null to YAML; it means the same as no such key. */
function withoutEmptySections(data: unknown): unknown {
  if (data === null) return {};
  if (typeof data !== 'object' || Array.isArray(data)) return data;
  return Object.fromEntries(Object.entries(data).filter(([, section]) => section !== null));
}

/** A copy without the keys that are undefined. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}
