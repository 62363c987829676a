/**
 * Brings the templates that a platform has for an account into the workspace: a file for each that is new, and the status of
 * those that are there. The platform owns a template's name, status and words; descriptions, limits of length and everything
 * else in a file are its author's, and the words are replaced only when somebody says so.
 */
import { isError } from '../core/finding.js';
import { Failure } from '../core/failure.js';
import { buttonPlace, checkTemplate, parseText, usedVariables, type Button, type Template } from '../core/template.js';
import type {
  Account,
  CallFailure,
  PlatformTemplate,
  Provider,
  TemplateChange,
  TemplateEntry,
  TemplateFiles,
  TemplateListing,
} from '../ports.js';

export interface PullWorld {
  provider: Provider;
  /** What is there already. */
  listing: TemplateListing;
  files: TemplateFiles;
}

export interface PullRequest {
  account: Account;
  /** Only the template of this name, at the platform or here. */
  name?: string;
  language?: string;
  /** Whether words that differ from the platform's are replaced by them. */
  overwrite: boolean;
  /** Whether other accounts here have registered templates of their own, and so may have one that this account lacks. */
  hasOthers: boolean;
}

/** A part in which a file may differ from what the platform has. */
export type PlatformPart = 'header' | 'body' | 'buttons' | 'parameters';

/**
 * Why a template of the platform cannot be used. `unsupported`: it has a part that cannot be filled · `content`: it breaks a
 * rule for templates here · `status`: it was deleted, or is at CAMS and not approved · `taken`: another template has its
 * name · `broken`: the file that should hold it cannot be read.
 */
export type Unusable = 'unsupported' | 'content' | 'status' | 'taken' | 'broken';

/** What became of one template. */
export interface PulledTemplate {
  /** At the platform. */
  name: string;
  language: string;
  /** `absent`: a file says that it is registered, and the platform has none of that name and language. */
  state: 'new' | 'status_changed' | 'overwritten' | 'unchanged' | 'unusable' | 'absent';
  /** Of one that the platform does not have: `ABSENT` where its file says so now, else null. */
  status: string | null;
  /** What the file said before; null without a file, and for CAMS, which approves templates in its own console. */
  statusBefore: string | null;
  /** What it is called here; null for one that is not here. */
  template: string | null;
  file: string | null;
  /** Parts that differ from the platform's, and were left or, when it was overwritten, replaced. */
  differs: PlatformPart[];
  unusable: { because: Unusable; detail: string } | null;
  /** Why it was rejected or paused, in the platform's words. */
  reason: string | null;
}

export type Pulled = { kind: 'pulled'; templates: PulledTemplate[] } | CallFailure;

/** @throws Failure PROVIDER_UNAVAILABLE; TEMPLATE_UNKNOWN for a name that is neither there nor here; FILE_… */
export async function pullTemplates(world: PullWorld, request: PullRequest): Promise<Pulled> {
  const { provider, listing } = world;
  const { account, name, language } = request;
  if (!provider.templates) throw withoutTemplates(account);
  const own = listing.entries.filter(({ starter }) => !starter);
  const wanted = name === undefined ? null : namesOf(name, own);
  const read = await provider.templates(wanted?.length === 1 ? wanted[0] : undefined);
  if (read.kind === 'failed') return read;
  const isWanted = (one: { name: string; language: string }): boolean =>
    (wanted === null || wanted.includes(one.name)) && (language === undefined || one.language === language);

  const puller = new Puller(world.files, request, listing);
  const templates: PulledTemplate[] = [];
  const there = read.templates.filter(isWanted);
  for (const platform of there) templates.push(await puller.pull(platform));
  // Registered templates are the Page's, and whether CAMS lists all of its own is not said.
  if (account.provider !== 'cams') {
    for (const entry of absent(own, read.templates, isWanted)) templates.push(await puller.miss(entry));
  }
  if (name !== undefined && templates.length === 0) {
    throw new Failure(
      'TEMPLATE_UNKNOWN',
      `${account.name} has no template "${name}"${language === undefined ? '' : ` in ${language}`}.`,
      `See what it has: pagecast template pull --from ${account.name} --dry-run`,
    );
  }
  return { kind: 'pulled', templates };
}

export function withoutTemplates({ name }: Account): Failure {
  return new Failure(
    'PROVIDER_UNAVAILABLE',
    `${name} has no templates that could be read or handed in.`,
    'Registered templates belong to Messenger Pages, and templates with a code to CAMS.',
  );
}

/** The names at the platform that somebody may mean: a template can have another name here. */
function namesOf(name: string, own: readonly TemplateEntry[]): string[] {
  const registered = own.flatMap(({ template }) =>
    template.name === name && template.registration ? [template.registration.name] : [],
  );
  return [...new Set([...registered, name])];
}

type Registered = TemplateEntry & { template: { registration: NonNullable<Template['registration']> } };

/** Those that are registered, and not among what the platform has. */
function absent(
  own: readonly TemplateEntry[],
  there: readonly PlatformTemplate[],
  isWanted: (one: { name: string; language: string }) => boolean,
): Registered[] {
  return own.filter((entry): entry is Registered => {
    const { language, registration } = entry.template;
    if (!registration || !isWanted({ name: registration.name, language })) return false;
    return !there.some((one) => one.name === registration.name && one.language === language);
  });
}

class Puller {
  readonly #files: TemplateFiles;
  readonly #request: PullRequest;
  readonly #listing: TemplateListing;
  /** Names that were given out, with what they stand for at the platform. */
  readonly #given = new Map<string, string>();

  constructor(files: TemplateFiles, request: PullRequest, listing: TemplateListing) {
    this.#files = files;
    this.#request = request;
    this.#listing = listing;
  }

  async pull(platform: PlatformTemplate): Promise<PulledTemplate> {
    const known = this.#listing.entries.find(({ starter, template }) => !starter && isCopy(template, platform));
    const { name, language, status, reason } = platform;
    const pulled: PulledTemplate = {
      ...{ name, language, status, reason },
      state: 'unusable',
      statusBefore: known?.template.registration?.status ?? null,
      template: known?.template.name ?? null,
      file: known?.file ?? null,
      differs: [],
      unusable: null,
    };
    const starter = known ? undefined : this.#starterOf(platform);
    if (starter) return { ...pulled, state: 'unchanged', template: starter.template.name, file: starter.file };
    try {
      return known ? await this.#bringUpToDate(pulled, platform, known) : await this.#add(pulled, platform);
    } catch (error) {
      if (!(error instanceof Failure) || (error.code !== 'TEMPLATE_INVALID' && error.code !== 'FILE_EXISTS'))
        throw error;
      const because = error.code === 'FILE_EXISTS' ? 'taken' : 'content';
      return { ...pulled, state: 'unusable', unusable: { because, detail: error.message } };
    }
  }

  /** The starter that says just what the platform's template says: a file of its own would only hide its descriptions. */
  #starterOf(platform: PlatformTemplate): TemplateEntry | undefined {
    return this.#listing.entries.find(
      ({ starter, template }) =>
        starter &&
        isCopy(template, platform) &&
        template.registration?.status === platform.status &&
        differences(template, asTemplate(platform, template.name, this.#request.account)).length === 0,
    );
  }

  /**
   * A template that the platform does not have. Its file says so from then on, unless another account may have it; one that
   * is PENDING may not have been handed in yet. A sandbox knows nothing of the templates of Pages.
   */
  async miss(entry: Registered): Promise<PulledTemplate> {
    const { file, template } = entry;
    const { account, hasOthers } = this.#request;
    const { name, status: statusBefore } = template.registration;
    const isGone = account.provider === 'graph' && !hasOthers && statusBefore !== 'PENDING';
    if (isGone && statusBefore !== ABSENT) await this.#files.update(entry, { status: ABSENT });
    return {
      ...{ name, language: template.language, file, statusBefore },
      state: 'absent',
      status: isGone ? ABSENT : null,
      template: template.name,
      differs: [],
      unusable: null,
      reason: null,
    };
  }

  async #bringUpToDate(
    pulled: PulledTemplate,
    platform: PlatformTemplate,
    entry: TemplateEntry,
  ): Promise<PulledTemplate> {
    const { template } = entry;
    const unusable = unusableBecause(platform);
    const theirs = asTemplate(platform, template.name, this.#request.account);
    const differs = unusable === null ? differences(template, theirs) : [];
    const isOverwritten = this.#request.overwrite && differs.length > 0;
    const hasNewStatus = template.registration !== undefined && template.registration.status !== platform.status;
    const change: TemplateChange = {
      ...(hasNewStatus && { status: platform.status }),
      ...(isOverwritten && replacement(theirs, differs)),
    };
    if (Object.keys(change).length > 0) await this.#files.update(entry, change);
    const state = isOverwritten ? 'overwritten' : hasNewStatus ? 'status_changed' : 'unchanged';
    return { ...pulled, state: unusable === null ? state : 'unusable', differs, unusable };
  }

  async #add(pulled: PulledTemplate, platform: PlatformTemplate): Promise<PulledTemplate> {
    const { account } = this.#request;
    const name = this.#nameFor(platform);
    const template = asTemplate(platform, name ?? platform.name, account);
    const unusable = unusableBecause(platform) ?? this.#obstacle(platform, name) ?? faultOf(template);
    if (unusable !== null || name === null) return { ...pulled, unusable };
    this.#given.set(name, platform.name);
    const file = await this.#files.create(template, commentOn(platform, account));
    return { ...pulled, state: 'new', template: name, file };
  }

  /** What a template of the platform is called here; null when its name stands for something else already. */
  #nameFor(platform: PlatformTemplate): string | null {
    const own = localName(platform.name);
    const kind = platform.code === null ? 'registered' : 'cams';
    return [own, `${own}_${kind}`].find((name) => this.#isFree(name, platform)) ?? null;
  }

  /**
   * In every language, as the template for people outside their window is found by its name. Starters count as well: a file
   * of the workspace stands in for them, and a session template must not turn into a registered one unseen.
   */
  #isFree(name: string, platform: PlatformTemplate): boolean {
    const standsFor = this.#given.get(name);
    if (standsFor !== undefined && standsFor !== platform.name) return false;
    return this.#listing.entries.every(({ template }) => template.name !== name || isSameName(template, platform));
  }

  #obstacle(platform: PlatformTemplate, name: string | null): PulledTemplate['unusable'] {
    if (name === null) return { because: 'taken', detail: localName(platform.name) };
    const broken = this.#listing.broken.find(
      (one) => one.name === name && (one.language === platform.language || one.language === null),
    );
    return broken ? { because: 'broken', detail: broken.file } : null;
  }
}

/** Whether a template of the workspace is the copy of one of the platform. */
function isCopy(template: Template, platform: PlatformTemplate): boolean {
  if (template.language !== platform.language) return false;
  return platform.code === null ? template.registration?.name === platform.name : template.cams?.code === platform.code;
}

/** Whether it is that, perhaps in another language. */
function isSameName(template: Template, platform: PlatformTemplate): boolean {
  return platform.code === null ? template.registration?.name === platform.name : template.cams !== undefined;
}

/** `templates/` takes letters, digits, hyphens and underscores. */
function localName(name: string): string {
  const cleaned = name.replace(/[^A-Za-z0-9_-]+/g, '_').replace(/^[_-]+|_+$/g, '');
  return cleaned.slice(0, 80) || 'template';
}

/** Pagecast's own word, beside those of the platform. */
const ABSENT = 'ABSENT';
const GONE = ['DELETED', 'PENDING_DELETION'];

function unusableBecause(platform: PlatformTemplate): PulledTemplate['unusable'] {
  const { unsupported, status, code, body } = platform;
  if (unsupported !== null) return { because: 'unsupported', detail: unsupported };
  if (body === null) return { because: 'unsupported', detail: 'no body' };
  if (GONE.includes(status) || (code !== null && status !== 'APPROVED')) return { because: 'status', detail: status };
  return null;
}

/** Rules of approval are the platform's to judge by; it has seen the template. */
function faultOf(template: Template): PulledTemplate['unusable'] {
  const judged = template.registration && {
    registration: { ...template.registration, status: 'APPROVED' },
  };
  const fault = checkTemplate({ ...template, ...judged }).find(isError);
  return fault
    ? { because: 'content', detail: `${fault.code}${fault.column === null ? '' : ` (${fault.column})`}` }
    : null;
}

function asTemplate(platform: PlatformTemplate, name: string, account: Account): Template {
  const { language, code, header, body, buttons, parameters, status } = platform;
  const isRegistered = code === null;
  // CAMS sends its own copy; here its words serve the preview, the sheet and the check.
  const text = isRegistered || header === null ? body : [header, body ?? ''].join('\n');
  const template: Template = {
    name,
    language,
    channels: [account.channel],
    kind: isRegistered ? 'registered' : 'session',
    ...(isRegistered && { registration: { name: platform.name, status, parameters } }),
    ...(isRegistered && header !== null && { header: header.trimEnd() }),
    ...(text !== null && { body: text.trimEnd() }),
    buttons,
    quickReplies: [],
    variables: [],
    ...(!isRegistered && { cams: { code } }),
  };
  const example = (variable: string): string =>
    (Object.hasOwn(platform.examples, variable) ? platform.examples[variable]?.trim() : undefined) || variable;
  const variables = usedVariables(template).map((variable) => ({
    name: variable.name,
    example: example(variable.name),
  }));
  return { ...template, variables };
}

function commentOn({ code }: PlatformTemplate, { name }: Account): string {
  return code === null
    ? `From ${name}, with "pagecast template pull". Name, status and words are the platform's; what the variables are
for, their limits (maxLength) and the name of this template are yours.`
    : `From ${name}, with "pagecast template pull". CAMS sends its own copy, by the code; the words here are for the sheet and
the preview. What the variables are for, their limits (maxLength) and the name of this template are yours.`;
}

// ---------------------------------------------------------------------------------------------------- differences

function differences(ours: Template, theirs: Template): PlatformPart[] {
  const isNamed = theirs.registration?.parameters !== 'positional';
  const same = (one: string | undefined, other: string | undefined): boolean =>
    one === other || (one !== undefined && other !== undefined && shape(one, isNamed) === shape(other, isNamed));
  const differs: PlatformPart[] = [];
  if (!same(ours.header, theirs.header)) differs.push('header');
  if (!same(ours.body, theirs.body)) differs.push('body');
  if (haveChanged(ours.buttons, theirs.buttons)) differs.push('buttons');
  if (ours.registration?.parameters !== theirs.registration?.parameters) differs.push('parameters');
  return differs;
}

/** A text without the names of its variables where only their places count. */
function shape(text: string, isNamed: boolean): string {
  const names: string[] = [];
  const pieces = parseText(text).map((piece) => {
    if ('literal' in piece) return piece.literal;
    if (!names.includes(piece.variable)) names.push(piece.variable);
    return `{{${isNamed ? piece.variable : names.indexOf(piece.variable)}}}`;
  });
  return pieces.join('');
}

function haveChanged(ours: readonly Button[], theirs: readonly Button[]): boolean {
  return (
    ours.length !== theirs.length ||
    theirs.some((button, index) => {
      const other = ours[index];
      if (other?.type !== button.type || other.title !== button.title) return true;
      // Where the platform does not tell the payload, its place is taken by the title.
      const isTold = button.type === 'web_url' || button.payload !== button.title;
      return isTold && answerShape(other) !== answerShape(button);
    })
  );
}

/** What a tap does. A value's place has no name at the platform. */
function answerShape(button: Button): string {
  const place = buttonPlace(button);
  if (place !== null) return JSON.stringify([place.before, place.after]);
  return button.type === 'web_url' ? button.url : button.payload;
}

function replacement(theirs: Template, differs: readonly PlatformPart[]): TemplateChange {
  const { header, body, buttons, registration } = theirs;
  return {
    ...(differs.includes('header') && { header: header ?? null }),
    ...(differs.includes('body') && body !== undefined && { body }),
    ...(differs.includes('buttons') && { buttons }),
    ...(differs.includes('parameters') && registration && { parameters: registration.parameters }),
    variables: theirs.variables,
  };
}
