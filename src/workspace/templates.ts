/**
 * Message templates as YAML files: those of the workspace, then the starters that come with pagecast. A file of the
 * workspace stands in for the starter of the same name and language, also while the file is broken: what somebody has
 * written must never be replaced by other words without their knowledge.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Failure } from '../core/failure.js';
import { CHANNELS, type Button, type Card, type Channel, type Template } from '../core/template.js';
import type { BrokenTemplate, TemplateEntry, TemplateLibrary, TemplateListing } from '../ports.js';
import { suggestion } from './nearest.js';
import {
  checkYaml,
  expecting,
  LANGUAGE,
  LANGUAGE_CODE,
  list,
  LONG,
  MANY,
  oneOf,
  parseYaml,
  readText,
  strict,
  text,
  VARIABLE,
} from './yaml-file.js';

/** Below the workspace. */
export const TEMPLATE_FOLDER = 'templates';
/** `templates/` beside both `src/` and `dist/`. */
const STARTERS = fileURLToPath(new URL('../../templates/', import.meta.url));

const TEMPLATE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/;

// ---------------------------------------------------------------------------------------------------- the file's shape

const NAME = 'a name of letters, digits, hyphens and underscores (at most 100)';

const variable = strict({
  description: text('a text: what belongs in the column', 500).optional(),
  example: text('an example of the value'),
  maxLength: z
    .number({ error: expecting('a number of characters') })
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(LONG, `must be at most ${LONG}`)
    .optional(),
});

const button = strict({
  type: oneOf(['web_url', 'postback'] as const).optional(),
  title: text('the text on the button'),
  url: text('a web address').optional(),
  payload: text('the text that comes back when somebody taps the button').optional(),
}).transform(({ type, title, url, payload }, context): Button => {
  if (url !== undefined && payload === undefined && type !== 'postback') return { type: 'web_url', title, url };
  if (payload !== undefined && url === undefined && type !== 'web_url') return { type: 'postback', title, payload };
  const message =
    type === undefined
      ? 'must have either url or payload'
      : `must have ${type === 'web_url' ? 'url' : 'payload'} and not ${type === 'web_url' ? 'payload' : 'url'}`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const card = strict({
  title: text('the title of the card'),
  subtitle: text('the text below the title').optional(),
  image: text('the web address of a picture').optional(),
  buttons: list(button, 'buttons').optional(),
}).transform(({ title, subtitle, image, buttons }): Card => ({
  title,
  ...(subtitle !== undefined && { subtitle }),
  ...(image !== undefined && { image }),
  buttons: buttons ?? [],
}));

const templateName = text(NAME).refine((name) => TEMPLATE_NAME.test(name), { error: `must be ${NAME}` });

const templateShape = strict({
  name: templateName,
  language: text(LANGUAGE_CODE).refine((code) => LANGUAGE.test(code), {
    error: `must be ${LANGUAGE_CODE}, with an underscore`,
  }),
  channels: list(oneOf(CHANNELS), 'channels')
    .min(1, 'must name at least one channel')
    .refine((channels) => new Set(channels).size === channels.length, { error: 'must not name a channel twice' }),
  kind: oneOf(['session', 'registered'] as const).optional(),
  registered: strict({
    name: text('the name under which the platform knows the template', 512),
    status: z
      .string({ error: expecting('a status such as APPROVED or PENDING') })
      .regex(/^[A-Z][A-Z_]{1,39}$/, 'must be a status in capitals, such as APPROVED or PENDING'),
    parameters: oneOf(['named', 'positional'] as const),
  }).optional(),
  tag: z
    .string({ error: expecting('a message tag in capitals') })
    .regex(/^[A-Z][A-Z_]{1,63}$/, 'must be a message tag in capitals')
    .optional(),
  header: text('the text above the body').optional(),
  body: text('the text of the message').optional(),
  media: strict({
    type: oneOf(['image', 'video', 'audio', 'file'] as const),
    url: text('the web address of the file'),
  }).optional(),
  cards: list(card, 'cards').min(1, 'must have at least one card').optional(),
  buttons: list(button, 'buttons').optional(),
  quickReplies: list(
    strict({
      title: text('the text of the quick reply'),
      payload: text('the text that comes back when somebody taps the quick reply'),
    }),
    'quick replies',
  ).optional(),
  cams: strict({ code: text('the code of the template at CAMS, in quotes', 64) }).optional(),
  outsideWindow: templateName.optional(),
  variables: z
    .record(
      z
        .string()
        .regex(VARIABLE, 'must be a variable name: letters, digits and underscores, not beginning with a digit'),
      variable,
      { error: expecting('a mapping of variable names to their descriptions') },
    )
    .refine((variables) => Object.keys(variables).length <= MANY, { error: `must be at most ${MANY} variables` })
    .optional(),
}).superRefine(({ kind, registered }, context) => {
  if (kind === 'registered' && !registered) {
    const message = 'is registered, so the key "registered" must give its name, status and parameters';
    context.addIssue({ code: 'custom', path: ['kind'], message });
  }
  if (kind === 'session' && registered) {
    const message = 'must not be there when kind is session';
    context.addIssue({ code: 'custom', path: ['registered'], message });
  }
});

function toTemplate(checked: z.output<typeof templateShape>): Template {
  const { registered, tag, header, body, media, cards, cams, outsideWindow } = checked;
  return {
    name: checked.name,
    language: checked.language,
    channels: checked.channels,
    kind: checked.kind ?? (registered ? 'registered' : 'session'),
    ...(registered && { registration: registered }),
    ...(tag !== undefined && { tag }),
    // A block text (`body: |`) ends in a line break that nobody means to send.
    ...(header !== undefined && { header: header.replace(/\s+$/, '') }),
    ...(body !== undefined && { body: body.replace(/\s+$/, '') }),
    ...(media && { media }),
    ...(cards && { cards }),
    buttons: checked.buttons ?? [],
    quickReplies: checked.quickReplies ?? [],
    variables: Object.entries(checked.variables ?? {}).map(([name, { description, example, maxLength }]) => ({
      name,
      ...(description !== undefined && { description }),
      example,
      ...(maxLength !== undefined && { maxLength }),
    })),
    ...(cams && { cams }),
    ...(outsideWindow !== undefined && { outsideWindow }),
  };
}

// ---------------------------------------------------------------------------------------------------- reading

/** @throws Failure TEMPLATE_INVALID with file, line and key; FILE_UNREADABLE */
export async function readTemplate(file: string): Promise<Template> {
  return parseTemplate(file, await readText(file, 'TEMPLATE_INVALID'));
}

/** @param file where the text stands, for messages @throws Failure TEMPLATE_INVALID with file, line and key */
export function parseTemplate(file: string, text: string): Template {
  return toTemplate(checkYaml(parseYaml(file, text, 'TEMPLATE_INVALID'), templateShape, 'TEMPLATE_INVALID'));
}

/**
 * @param root the workspace, or null for the starters alone
 * @param starters where the starters are; only tests need another folder
 */
export function templateLibrary(root: string | null, starters = STARTERS): TemplateLibrary {
  return {
    async list() {
      const own: TemplateListing =
        root === null ? { entries: [], broken: [] } : await readFolder(join(root, TEMPLATE_FOLDER), false);
      const shipped = await readFolder(starters, true);
      const isTaken = ({ name, language }: Template): boolean =>
        own.entries.some(({ template }) => template.name === name && template.language === language) ||
        own.broken.some((one) => one.name === name && (one.language === language || one.language === null));
      return {
        entries: [...own.entries, ...shipped.entries.filter(({ template }) => !isTaken(template))],
        broken: [...own.broken, ...shipped.broken],
      };
    },
  };
}

async function readFolder(folder: string, starter: boolean): Promise<TemplateListing> {
  const entries: TemplateEntry[] = [];
  const broken: BrokenTemplate[] = [];
  for (const file of await templateFiles(folder)) {
    try {
      entries.push({ file, template: await readTemplate(file), starter });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      broken.push({ file, failure: error, ...(await namesOf(file)) });
    }
  }
  const groups = new Map<string, TemplateEntry[]>();
  for (const entry of entries) {
    const key = `${entry.template.name} ${entry.template.language}`;
    const group = groups.get(key);
    if (group) group.push(entry);
    else groups.set(key, [entry]);
  }
  const unique: TemplateEntry[] = [];
  for (const group of groups.values()) {
    if (group.length === 1) unique.push(...group);
    else broken.push(...rivalry(group));
  }
  return { entries: unique, broken };
}

/** Which of two files is meant cannot be known, so neither is used. */
function rivalry(group: readonly TemplateEntry[]): BrokenTemplate[] {
  return group.map(({ file, template: { name, language } }) => {
    const files = group.map((entry) => entry.file).join(' and ');
    const failure = new Failure(
      'TEMPLATE_INVALID',
      `The template "${name}" in ${language} stands in more than one file: ${files}.`,
      'Remove one of them, or give it another name or language.',
    );
    return { file, failure, name, language };
  });
}

async function templateFiles(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter((name) => /^[^.].*\.ya?ml$/i.test(name))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    const hint = code === 'ENOTDIR' ? 'Templates belong into a folder of that name.' : 'Check its permissions.';
    throw new Failure('FILE_UNREADABLE', `${folder} cannot be read (${code ?? 'unknown error'}).`, hint, error);
  }
}

/** What a broken file would have been: by its text as far as it can be read, else by a name like `hello.en_US.yaml`. */
async function namesOf(file: string): Promise<{ name: string | null; language: string | null }> {
  let source = '';
  try {
    source = await readText(file, 'TEMPLATE_INVALID');
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
  const [name = null, language = null] = basename(file).split('.').slice(0, -1);
  return {
    name: /^name:\s*["']?([A-Za-z0-9_-]+)/m.exec(source)?.[1] ?? name,
    language: /^language:\s*["']?([A-Za-z0-9_-]+)/m.exec(source)?.[1] ?? language,
  };
}

// ---------------------------------------------------------------------------------------------------- finding

/**
 * @param language may be left out where the template exists in one language only
 * @throws Failure TEMPLATE_UNKNOWN, LANGUAGE_UNKNOWN, or what is wrong with the file that was meant
 */
export function findTemplate(listing: TemplateListing, name: string, language?: string): TemplateEntry {
  const named = listing.entries.filter(({ template }) => template.name === name);
  const broken = listing.broken.filter((one) => one.name === name);
  const languages = [
    ...new Set([
      ...named.map(({ template }) => template.language),
      ...broken.flatMap((one) => (one.language === null ? [] : [one.language])),
    ]),
  ];
  if (named.length === 0 && broken.length === 0) {
    const names = [...new Set(listing.entries.map(({ template }) => template.name))];
    throw new Failure(
      'TEMPLATE_UNKNOWN',
      `There is no template "${name}"${suggestion(name, names)}.`,
      names.length === 0 ? 'There are no templates yet.' : `There is: ${names.join(', ')}.`,
    );
  }
  if (language === undefined && languages.length > 1) {
    throw new Failure(
      'LANGUAGE_UNKNOWN',
      `The template "${name}" exists in several languages.`,
      `Choose one of them: ${languages.join(', ')}.`,
    );
  }
  const wanted = language ?? languages[0] ?? null;
  const entry = named.find(({ template }) => template.language === wanted);
  if (entry) return entry;
  // A broken file that does not tell its language may be the one that was meant.
  const culprit = broken.find((one) => one.language === wanted) ?? broken.find((one) => one.language === null);
  if (culprit) throw culprit.failure;
  throw new Failure(
    'LANGUAGE_UNKNOWN',
    `The template "${name}" does not exist in ${wanted ?? 'any language'}${suggestion(wanted ?? '', languages)}.`,
    `It exists in ${languages.join(', ')}.`,
  );
}

// ---------------------------------------------------------------------------------------------------- new files

/**
 * The text of a new template file, which passes its check as it stands.
 * @throws Failure USAGE when the name, the language or the channels are none
 */
export function scaffoldTemplate(name: string, language: string, channels: readonly Channel[]): string {
  if (!TEMPLATE_NAME.test(name)) throw new Failure('USAGE', `A template has ${NAME}.`);
  if (!LANGUAGE.test(language)) throw new Failure('USAGE', `The language must be ${LANGUAGE_CODE}.`);
  if (channels.length === 0) throw new Failure('USAGE', `A template needs a channel: ${CHANNELS.join(', ')}.`);
  return `# A message template. "pagecast template check ${name}" says whether it fits its channels.
# Quotes keep names that YAML would read as something else (such as "no" or "123") what they are.
name: "${name}"
language: "${language}"
channels: [${channels.join(', ')}]   # of ${CHANNELS.join(', ')}

# session: for people whose 24-hour window is open. registered: approved by the platform, also outside the window;
# then add  registered: { name: …, status: PENDING, parameters: named }  and hand it in with "pagecast template push ${name}"
kind: session
# The registered template, in the same language and with variables of this one, for people whose window is shut:
# outsideWindow: …

# Each {{variable}} becomes a column of the recipient sheet.
body: |
  Hello {{name}}, thank you for your message.
  {{answer}}

variables:
  name:
    description: first name            # shown to the person who fills the sheet
    example: Ann                       # used for the preview and for the check of the limits
    maxLength: 60
  answer:
    description: what you want to tell this person
    example: Your parcel is ready at the front desk.
    maxLength: 300

# Up to 13 replies to tap, or up to 3 buttons, on Messenger and Instagram:
# quickReplies:
#   - { title: "Yes, please", payload: "YES" }
# buttons:
#   - { title: "Open website", url: "https://example.com" }
#   - { title: "Talk to us", payload: "HELP" }

# Instead of body and buttons, a picture or another file (buttons may stand under pictures and videos on facebook.com):
# media: { type: image, url: "https://example.com/picture.png" }

# Or up to 10 cards side by side:
# cards:
#   - title: Mug
#     subtitle: "12 EUR"
#     image: "https://example.com/mug.png"
#     buttons:
#       - { title: "Look at it", url: "https://example.com/mug" }
`;
}

const UNWRITABLE: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'a file of that name is there',
  EISDIR: 'a folder of that name is there',
  EACCES: 'you may not write there',
  EPERM: 'you may not write there',
  EROFS: 'the disk can only be read',
  ENOSPC: 'the disk is full',
  EDQUOT: 'your share of the disk is used up',
  ENAMETOOLONG: 'its name is too long',
};

/**
 * Does what makes a file or a folder.
 * @throws Failure FILE_UNWRITABLE, which names the path, for every error of the file system
 */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && !(error instanceof Failure) && 'code' in error ? String(error.code) : null;
    if (code === null) throw error;
    const reason = UNWRITABLE[code] ?? `the system says ${code}`;
    throw new Failure('FILE_UNWRITABLE', `${path} cannot be made: ${reason}.`, 'Choose another folder or name.', error);
  }
}

export interface WorkspaceScaffold {
  /** Paths relative to the workspace. */
  files: { path: string; text: string }[];
  /** The line that belongs in the workspace's .gitignore. */
  ignoreLine: string;
}

/** What a new workspace consists of. */
export function scaffoldWorkspace(): WorkspaceScaffold {
  return {
    files: [
      { path: 'pagecast.yaml', text: WORKSPACE_TEXT },
      {
        path: `${TEMPLATE_FOLDER}/hello.en_US.yaml`,
        text: scaffoldTemplate('hello', 'en_US', ['messenger', 'instagram']),
      },
    ],
    ignoreLine: '.pagecast/',
  };
}

const WORKSPACE_TEXT = `# pagecast.yaml: safe to commit. It holds no secret, only the places where secrets are kept (env:, file: or keyring:).

# Where the record of every message is kept.
store: sqlite:.pagecast/pagecast.db

# The accounts you send from. "sandbox" is always there: it behaves like the platform, and nothing leaves this machine.
# Ids go in quotes: without them YAML reads a number, and digits get lost.
accounts:
#  my-page:
#    provider: graph                  # graph (Meta's Graph API), cams, twilio or sandbox
#    channel: messenger               # messenger or instagram; sms for twilio
#    id: "102938475601928"            # the id of the Page, or of the Instagram account
#    token: env:MY_PAGE_TOKEN
#    appSecret: env:MY_APP_SECRET
#    pace: 35/s                       # Messenger cuts off a Page above 40 messages a second
#  rehearsal:
#    provider: sandbox
#    channel: messenger
#    id: "100000000000002"
# "pagecast account add" asks for what each kind needs and writes it here.

# For --from record-owner: whose SMS account a row's owner has.
# owners: { alice: alice-sms }

# When somebody may be written to: 24 hours from their last action, less a margin for messages under way.
# The platform's pages disagree on comments and visitor posts; "false" stops counting them.
window:
  hours: 24
  margin: 2m
  openers: { comment: true, visitor_post: true }

# Messages that are sent by themselves stand in flows/, one file each: "pagecast flow check" says whether the rules allow
# them, and "pagecast listen" sends them.
`;
