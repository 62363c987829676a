/**
 * Registered templates as the platform keeps them: read into pagecast's own form, and handed in for approval (utility-messages,
 * 13 March 2026; page/message_templates). A placeholder is a name in the one and may be a number in the other.
 */
import { buttonPlace, parseText, type Button, type Template, type TemplateVariable } from '../core/template.js';
import type { CallFailure, PlatformTemplate, TemplateCreated, TemplatesRead } from '../ports.js';
import { cursorAfter, textId, type GraphAccess, type GraphCalls } from './graph-calls.js';
import { isRecord, unreadable } from './service-reply.js';

const FIELDS = 'name,language,status,category,parameter_format,components,rejected_reason';
const PAGE_SIZE = 100;
/** Two thousand templates: whoever has more is not served a part of them without a word. */
const MAX_PAGES = 20;

type Component = Record<string, unknown>;

/** @param name only those of this name */
export async function readTemplates(
  calls: GraphCalls,
  { pageId, redact }: GraphAccess,
  name: string | undefined,
): Promise<TemplatesRead> {
  const templates: PlatformTemplate[] = [];
  let after: string | null = null;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const answer = await calls.get(`${pageId}/message_templates`, {
      fields: FIELDS,
      limit: String(PAGE_SIZE),
      ...(name !== undefined && { name }),
      ...(after !== null && { after }),
    });
    if ('error' in answer) return answer;
    const { data, paging } = answer.node;
    if (!Array.isArray(data)) return unreadable('The answer holds no list of templates.');
    for (const node of data as unknown[]) {
      const template = readTemplate(node, redact);
      if (template === null) return unreadable('A template is listed without its name, language or status.');
      // Whether the platform takes the name as a whole or as a part of one is not said.
      if (name === undefined || template.name === name) templates.push(template);
    }
    const next = cursorAfter(paging);
    if (next === null) return { kind: 'read', templates };
    if (next === undefined || next === after) {
      return unreadable('The platform does not say where its listing of templates goes on.');
    }
    after = next;
  }
  return unreadable(`The account has more than ${MAX_PAGES * PAGE_SIZE} templates; only one name can be asked for.`);
}

// ------------------------------------------------------------------------------------------------- theirs → ours

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What is gathered of one template while its parts are read. */
interface Draft {
  parameters: 'named' | 'positional';
  header: string | null;
  body: string | null;
  buttons: Button[];
  examples: Record<string, string>;
  /** The first part that cannot be filled. */
  unsupported: string | null;
}

function readTemplate(node: unknown, redact: (words: string) => string): PlatformTemplate | null {
  if (!isRecord(node)) return null;
  const [name, language, status] = [textId(node['name']), textId(node['language']), textId(node['status'])];
  if (name === null || language === null || status === null) return null;
  const draft: Draft = {
    parameters: node['parameter_format'] === 'NAMED' ? 'named' : 'positional',
    header: null,
    body: null,
    buttons: [],
    examples: {},
    unsupported: null,
  };
  const components = Array.isArray(node['components']) ? node['components'].filter(isRecord) : [];
  for (const component of components) readComponent(component, draft);
  const reason = node['rejected_reason'];
  const unsupported = draft.unsupported === null ? null : redact(draft.unsupported);
  return {
    name,
    language,
    status,
    category: textId(node['category']),
    ...draft,
    unsupported,
    code: null,
    reason: typeof reason === 'string' && reason !== '' && reason !== 'NONE' ? redact(reason) : null,
  };
}

function readComponent(component: Component, draft: Draft): void {
  const type = word(component['type']);
  if (type === 'HEADER') {
    const format = word(component['format'] ?? 'TEXT');
    if (format !== 'TEXT') refuse(draft, `a header of the format ${format}`);
    else draft.header = readText(component, 'header', draft);
  } else if (type === 'BODY') draft.body = readText(component, 'body', draft);
  else if (type === 'BUTTONS') {
    const buttons = Array.isArray(component['buttons']) ? component['buttons'] : [];
    for (const button of buttons as unknown[]) readButton(isRecord(button) ? button : {}, draft);
  } else refuse(draft, `a part of the type ${type}`);
}

function readText(component: Component, part: 'header' | 'body', draft: Draft): string | null {
  const { text, example } = component;
  if (typeof text !== 'string') {
    refuse(draft, `a ${part} without a text`);
    return null;
  }
  const keys: string[] = [];
  const filled = text.replace(/\{\{([^{}]*)\}\}/g, (whole, inner: string) => {
    const key = inner.trim();
    if (!(draft.parameters === 'named' ? NAME : /^[1-9]\d?$/).test(key)) {
      refuse(draft, `the placeholder ${whole}`);
      return whole;
    }
    if (!keys.includes(key)) keys.push(key);
    return `{{${nameOf(key, part, draft)}}}`;
  });
  // By then a message is filled in the order of use, so that has to be the order of the numbers.
  if (draft.parameters === 'positional' && keys.some((key, index) => Number(key) !== index + 1)) {
    refuse(draft, `parameters of the ${part} that are not numbered in the order of their use`);
  }
  const given = isRecord(example) ? example : {};
  for (const [index, key] of keys.entries()) {
    const value = exampleOf(given, part, draft.parameters === 'named' ? key : index);
    if (value !== null) draft.examples[nameOf(key, part, draft)] = value;
  }
  return filled;
}

/** What a placeholder is called here: its own name, or the part with its number. */
function nameOf(key: string, part: 'header' | 'body', { parameters }: Draft): string {
  if (parameters === 'named') return key;
  return `${part === 'body' ? 'param' : 'header'}_${key}`;
}

/** `body_text_named_params: [{param_name, example}]`, `body_text: [["…"]]`, and for a header `header_text: ["…"]`. */
function exampleOf(given: Record<string, unknown>, part: 'header' | 'body', key: string | number): string | null {
  if (typeof key === 'string') {
    const named = given[`${part}_text_named_params`];
    const found = Array.isArray(named) ? named.filter(isRecord).find((each) => each['param_name'] === key) : undefined;
    return typeof found?.['example'] === 'string' ? found['example'] : null;
  }
  const list = given[`${part}_text`];
  const values: unknown = Array.isArray(list) && Array.isArray(list[0]) ? list[0] : list;
  const value: unknown = Array.isArray(values) ? values[key] : null;
  return typeof value === 'string' ? value : null;
}

function readButton(button: Component, draft: Draft): void {
  const type = word(button['type']);
  const { text: title, url, payload, example } = button;
  if (typeof title !== 'string') refuse(draft, 'a button without a title');
  else if (type === 'POSTBACK') {
    // Where the platform keeps no payload of its own, the title says what was pressed.
    const place = typeof payload === 'string' ? readPlace(payload, 'a payload', draft) : { text: title };
    draft.buttons.push({ type: 'postback', title, payload: place.text });
  } else if (type === 'URL' && typeof url === 'string') {
    const { text, name, before, after } = readPlace(url, 'a web address', draft);
    if (after) refuse(draft, 'a web address with a placeholder that is not its end');
    draft.buttons.push({ type: 'web_url', title, url: text });
    const value = name === undefined ? null : suffixOf(example, before);
    if (name !== undefined && value !== null) draft.examples[name] = value;
  } else refuse(draft, `a button of the type ${type}`);
}

interface Place {
  /** With the placeholder as ours. */
  text: string;
  /** The variable; undefined in a text without a placeholder, as is what stands around it. */
  name?: string;
  before?: string;
  after?: string;
}

/** What a button does, such as `order_id_{{2}}`. Each has one place at most, and numbers there count nothing: samples differ. */
function readPlace(text: string, what: string, draft: Draft): Place {
  const [before = '', inner, after = '', ...more] = text.split(/\{\{([^{}]*)\}\}/);
  if (inner === undefined) return { text };
  const key = inner.trim();
  if (more.length > 0) refuse(draft, `${what} with more than one placeholder`);
  const isNumber = /^[1-9]\d?$/.test(key);
  if (!isNumber && !NAME.test(key)) refuse(draft, `the placeholder {{${key}}}`);
  const name = isNumber ? `button_${draft.buttons.length + 1}` : key;
  return { text: `${before}{{${name}}}${after}`, name, before, after };
}

/**
 * The value in the example of a link: `{url_suffix_example: "https://…/1234"}` in the sample of utility-messages, where the
 * two addresses do not even begin alike, and a list elsewhere; seen both as the whole address and as its end.
 */
function suffixOf(example: unknown, before = ''): string | null {
  const given = isRecord(example) ? example['url_suffix_example'] : example;
  const shown: unknown = Array.isArray(given) ? given[0] : given;
  if (typeof shown !== 'string') return null;
  const [whole, start] = [shown, before].map((address) => address.replace(/^https?:/i, '')) as [string, string];
  if (whole.startsWith(start)) return whole.slice(start.length);
  return whole === shown ? shown : null;
}

function refuse(draft: Draft, what: string): void {
  draft.unsupported ??= what;
}

/** A word of the platform's such as BODY, in capitals. */
function word(value: unknown): string {
  return typeof value === 'string' && /^\w{1,40}$/.test(value) ? value.toUpperCase() : 'UNKNOWN';
}

// ------------------------------------------------------------------------------------------------- ours → theirs

/** Hands a template in under the name by which it is registered; never sends it. */
export async function createTemplate(calls: GraphCalls, pageId: string, template: Template): Promise<TemplateCreated> {
  const content = platformContent(template);
  if (typeof content === 'string') return refused(content);
  const answer = await calls.post(`${pageId}/message_templates`, content);
  if ('error' in answer) return answer;
  const id = textId(answer.node['id']);
  const status = textId(answer.node['status']);
  if (id === null || status === null) return unreadable('The answer does not say what became of the template.');
  return { kind: 'created', id, status };
}

function refused(why: string): CallFailure {
  return { kind: 'failed', error: { code: '100', message: `Nothing was handed in: ${why}` } };
}

/** A template as it is handed in. @returns why the platform has no form for it, as a sentence */
export function platformContent(template: Template): object | string {
  const { name, language, registration, header, body, media, cards, buttons, quickReplies } = template;
  if (body === undefined) return 'a registered template has a body.';
  if (media || cards || quickReplies.length > 0)
    return 'a registered template holds a header, a body and buttons only.';
  const format = registration?.parameters ?? 'named';
  const examples = new Map(template.variables.map((variable) => [variable.name, variable]));
  const platformButtons: object[] = [];
  for (const button of buttons) {
    const made = platformButton(button, examples);
    if (typeof made === 'string') return made;
    platformButtons.push(made);
  }
  return {
    name: registration?.name ?? name,
    language,
    category: 'UTILITY',
    parameter_format: format.toUpperCase(),
    components: [
      ...(header === undefined
        ? []
        : [{ type: 'HEADER', format: 'TEXT', ...platformText(header, 'header', format, examples) }]),
      { type: 'BODY', ...platformText(body, 'body', format, examples) },
      ...(platformButtons.length === 0 ? [] : [{ type: 'BUTTONS', buttons: platformButtons }]),
    ],
  };
}

type Examples = ReadonlyMap<string, TemplateVariable>;

/** A text with its placeholders as the platform writes them, and an example for each. */
function platformText(
  text: string,
  part: 'header' | 'body',
  format: 'named' | 'positional',
  examples: Examples,
): { text: string; example?: object } {
  const pieces = parseText(text);
  const names = [...new Set(pieces.flatMap((piece) => ('variable' in piece ? [piece.variable] : [])))];
  const place = (name: string): string => (format === 'named' ? name : String(names.indexOf(name) + 1));
  const filled = pieces.map((piece) => ('literal' in piece ? piece.literal : `{{${place(piece.variable)}}}`)).join('');
  if (names.length === 0) return { text: filled };
  const values = names.map((name) => examples.get(name)?.example ?? '');
  if (format === 'positional') {
    return { text: filled, example: { [`${part}_text`]: part === 'body' ? [values] : values } };
  }
  const named = names.map((name, index) => ({ param_name: name, example: values[index] }));
  return { text: filled, example: { [`${part}_text_named_params`]: named } };
}

/** @returns why the platform has no form for it */
function platformButton(button: Button, examples: Examples): object | string {
  const { type, title } = button;
  if (parseText(title).some((piece) => 'variable' in piece)) {
    return 'the title of a button of a registered template is the same for everybody.';
  }
  const place = buttonPlace(button);
  const kept = place === null ? null : `${place.before}{{1}}${place.after}`;
  if (type === 'postback') {
    // Without an example: with one, a public project got 100/2388051, "unexpected field(s)".
    return { type: 'POSTBACK', text: title, payload: kept ?? button.payload };
  }
  if (kept === null) return { type: 'URL', text: title, url: button.url };
  const example = parseText(button.url)
    .map((piece) => ('literal' in piece ? piece.literal : (examples.get(piece.variable)?.example ?? '')))
    .join('');
  // The form of Meta's sample (utility-messages, 13 March 2026). WhatsApp's pages have a list.
  return { type: 'URL', text: title, url: kept, example: { url_suffix_example: example } };
}
