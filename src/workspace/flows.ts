/**
 * Flows as YAML files of the workspace, `flows/NAME.yaml`. What is checked here is what a file says; whether the rules, the
 * accounts and the templates allow it is `checkFlow`'s business.
 */
import { readdir } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { z } from 'zod';
import { Failure } from '../core/failure.js';
import {
  DEFAULT_LIMITS,
  FLOW_TYPES,
  type Flow,
  type FlowContent,
  type QuietHours,
  type Trigger,
} from '../core/flow.js';
import { OPT_OUT_FLOW } from '../core/opt-out.js';
import { OPENERS } from '../core/window.js';
import type { FlowListing } from '../ports.js';
import { suggestion } from './nearest.js';
import {
  checkYaml,
  expecting,
  LANGUAGE,
  LANGUAGE_CODE,
  list,
  oneOf,
  parseYaml,
  readText,
  span,
  strict,
  text,
  VARIABLE,
} from './yaml-file.js';

/** Below the workspace. */
const FLOW_FOLDER = 'flows';
const FLOW_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const NAME = 'letters, digits, hyphens and underscores (at most 64)';

// ---------------------------------------------------------------------------------------------------- the file's shape

const always = (what: string): z.ZodType<true> => z.literal(true, { error: expecting(`true: ${what}`) });

const triggerShape = strict({
  keyword: list(text('a word, or a few', 100), 'words').min(1, 'must name at least one word').optional(),
  firstMessage: always('the first that a person writes').optional(),
  payload: list(text('the payload of a button or quick reply', 1000), 'payloads')
    .min(1, 'must name at least one payload')
    .optional(),
  opener: list(oneOf(OPENERS), 'openers').min(1, 'must name at least one opener').optional(),
  call: always('another program asks for it').optional(),
}).transform(({ keyword, payload, opener, firstMessage, call }, context): Trigger => {
  const triggers: Trigger[] = [
    ...(keyword ? [{ on: 'keyword', words: keyword } as const] : []),
    ...(firstMessage ? [{ on: 'first_message' } as const] : []),
    ...(payload ? [{ on: 'payload', payloads: payload } as const] : []),
    ...(opener ? [{ on: 'opener', openers: opener } as const] : []),
    ...(call ? [{ on: 'call' } as const] : []),
  ];
  const [trigger] = triggers;
  if (trigger && triggers.length === 1) return trigger;
  const written = { keyword, firstMessage, payload, opener, call };
  const given = Object.entries(written).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  const has = given.length === 0 ? '' : `; it has ${given.join(' and ')}, so make a flow for each`;
  const keys = 'keyword, firstMessage, payload, opener and call';
  context.addIssue({
    code: 'custom',
    message: `must have ${given.length === 0 ? '' : 'exactly '}one of ${keys}${has}`,
  });
  return z.NEVER;
});

const TIME = 'a time of day in quotes, such as "22:00"';
const time = z.string({ error: expecting(TIME) }).transform((written, context): number => {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(written);
  if (match) return Number(match[1]) * 60 + Number(match[2]);
  context.addIssue({ code: 'custom', message: `must be ${TIME}` });
  return z.NEVER;
});

const ZONE = 'a time zone such as Europe/Berlin';
const zone = z
  .string({ error: expecting(ZONE) })
  .refine(isZone, { error: `must be ${ZONE}, as the IANA database names it` });

function isZone(name: string): boolean {
  // Distances from UTC, such as +02:00, are taken as well, but know no daylight saving.
  if (!/^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+){0,2}$/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const limitsShape = strict({
  oncePer: span.optional(),
  quietHours: strict({ from: time, to: time, zone, then: oneOf(['wait', 'skip'] as const).optional() })
    .refine(({ from, to }) => from !== to, { path: ['to'], error: 'must differ from "from"' })
    .optional(),
  expires: span.optional(),
});

const flowShape = strict({
  name: text('the name of the file without .yaml', 100).optional(),
  type: oneOf(FLOW_TYPES),
  trigger: triggerShape,
  from: text('the name of an account, record-owner or auto', 100),
  text: text('the text of the message').optional(),
  template: text('the name of a template', 100).optional(),
  language: text(LANGUAGE_CODE)
    .refine((code) => LANGUAGE.test(code), { error: `must be ${LANGUAGE_CODE}, with an underscore` })
    .optional(),
  values: z
    .record(z.string().regex(VARIABLE, 'must be the name of a variable'), text('the value of the variable'), {
      error: expecting('a mapping of variable names to values'),
    })
    .optional(),
  limits: limitsShape.optional(),
}).superRefine(({ text, template, language, values }, context) => {
  const fault = (key: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [key], message });
  };
  if ((text === undefined) === (template === undefined)) {
    context.addIssue({ code: 'custom', message: 'must have either text or template' });
  }
  if (template !== undefined) return;
  if (language !== undefined) fault('language', 'belongs to a template');
  if (values !== undefined) fault('values', 'belongs to a template: free text has no variables');
});

// ---------------------------------------------------------------------------------------------------- reading

/** @param root the workspace; null outside one, where there are no flows @throws Failure FILE_UNREADABLE for the folder */
export async function readFlows(root: string | null): Promise<FlowListing> {
  const listing: FlowListing = { entries: [], broken: [] };
  const files = root === null ? [] : await flowFiles(join(root, FLOW_FOLDER));
  for (const file of files) {
    try {
      refuseRivals(file, files);
      listing.entries.push({ file, flow: parseFlow(file, await readText(file, 'FLOW_INVALID')) });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      listing.broken.push({ file, failure: error });
    }
  }
  return listing;
}

/**
 * @param file where the text stands; it gives the flow its name
 * @throws Failure FLOW_INVALID with file, line and key
 */
export function parseFlow(file: string, source: string): Flow {
  const name = stem(file);
  if (!FLOW_NAME.test(name)) {
    throw new Failure('FLOW_INVALID', `${file}: a flow is called as its file is, with ${NAME}.`, 'Rename the file.');
  }
  if (name === OPT_OUT_FLOW) {
    const message = `${file}: no flow can be called ${OPT_OUT_FLOW}: so pagecast calls its own answers to those who opt out.`;
    throw new Failure('FLOW_INVALID', message, 'Rename the file.');
  }
  const shape = flowShape.refine((flow) => flow.name === undefined || flow.name === name, {
    path: ['name'],
    error: `must be ${name}, as the file is called; or leave it out`,
  });
  return toFlow(name, checkYaml(parseYaml(file, source, 'FLOW_INVALID'), shape, 'FLOW_INVALID'));
}

function toFlow(name: string, { type, trigger, from, limits, ...content }: z.output<typeof flowShape>): Flow {
  const quiet = limits?.quietHours;
  const quietHours: QuietHours | null = quiet ? { from: quiet.from, to: quiet.to, zone: quiet.zone } : null;
  return {
    name,
    type,
    trigger,
    from,
    content: toContent(content),
    oncePerMs: limits?.oncePer ?? null,
    quietHours,
    inQuietHours: quiet?.then ?? DEFAULT_LIMITS[type].inQuietHours,
    expiryMs: limits?.expires ?? DEFAULT_LIMITS[type].expiryMs,
  };
}

function toContent({ text = '', template, language, values = {} }: Partial<z.output<typeof flowShape>>): FlowContent {
  if (template !== undefined) return { kind: 'template', name: template, language: language ?? null, values };
  // A block text (`text: |`) ends in a line break that nobody means to send.
  return { kind: 'free-text', text: text.replace(/\s+$/, '') };
}

/** Which of `hours.yaml` and `hours.yml` is meant cannot be known. */
function refuseRivals(file: string, files: readonly string[]): void {
  const rivals = files.filter((one) => stem(one) === stem(file));
  if (rivals.length === 1) return;
  const message = `The flow "${stem(file)}" stands in more than one file: ${rivals.join(' and ')}.`;
  throw new Failure('FLOW_INVALID', message, 'Remove one of them, or give it another name.');
}

function stem(file: string): string {
  return basename(file, extname(file));
}

/** In the order of the flows' names. */
async function flowFiles(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter((name) => /^[^.].*\.ya?ml$/i.test(name))
      .sort((a, b) => (stem(a) < stem(b) ? -1 : 1))
      .map((name) => join(folder, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    const hint = code === 'ENOTDIR' ? 'Flows belong into a folder of that name.' : 'Check its permissions.';
    throw new Failure('FILE_UNREADABLE', `${folder} cannot be read (${code ?? 'unknown error'}).`, hint, error);
  }
}

// ---------------------------------------------------------------------------------------------------- finding

/** @throws Failure FLOW_UNKNOWN, or what is wrong with the file that was meant */
export function findFlow(listing: FlowListing, name: string): Flow {
  const entry = listing.entries.find(({ flow }) => flow.name === name);
  if (entry) return entry.flow;
  const culprit = listing.broken.find(({ file }) => stem(file) === name);
  if (culprit) throw culprit.failure;
  const names = listing.entries.map(({ flow }) => flow.name);
  throw new Failure(
    'FLOW_UNKNOWN',
    `There is no flow "${name}"${suggestion(name, names)}.`,
    names.length === 0 ? `There are no flows yet; they stand in ${FLOW_FOLDER}/.` : `There is: ${names.join(', ')}.`,
  );
}
