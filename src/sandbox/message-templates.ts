/** The registered templates of a sandbox: listed, handed in, and filled when one is sent (utility-messages, 13 March 2026). */
import { createHmac } from 'node:crypto';
import { parseFields, record, records, textOf } from './graph-call.js';
import type { SandboxTemplate, TemplateChange } from './seed.js';

type Part = Record<string, unknown>;

const PARAMETER = /\{\{\s*(\w+)\s*\}\}/g;
const PAGE_SIZE = 25;
const LISTED_FIELDS = ['id', 'name', 'language', 'status', 'category', 'parameter_format', 'components'];

export class MessageTemplates {
  readonly #templates = new Map<string, SandboxTemplate>();

  constructor(templates: readonly SandboxTemplate[]) {
    for (const template of templates) this.#templates.set(keyOf(template), { ...template });
  }

  /** @returns how many templates the change has met */
  change({ name, language, status, reason }: TemplateChange): number {
    const met = [...this.#templates.values()].filter(
      (template) => template.name === name && (language === undefined || template.language === language),
    );
    for (const template of met) {
      if (status !== undefined) template.status = status;
      if (reason !== undefined) template.reason = reason;
    }
    return met.length;
  }

  /** @returns the answer's body, or what is wrong with the call */
  list(params: Record<string, unknown>): object | string {
    const { name, status, language } = params;
    const fields = parseFields(textOf(params['fields']))?.map((field) => field.name);
    if (fields === undefined) return 'Syntax error in param fields';
    const unknown = fields.find((field) => ![...LISTED_FIELDS, 'rejected_reason'].includes(field));
    if (unknown !== undefined) return `Tried accessing nonexisting field (${unknown})`;
    const found = [...this.#templates.values()].filter(
      (template) =>
        (name === undefined || template.name === name) &&
        (status === undefined || template.status === status) &&
        (language === undefined || template.language === language),
    );
    const start = Number.parseInt(textOf(params['after']), 10) || 0;
    const limit = Math.min(100, Math.max(1, Number(params['limit']) || PAGE_SIZE));
    const end = start + limit;
    const data = found.slice(start, end).map((template) => listed(template, fields));
    if (data.length === 0) return { data };
    const cursors = { before: String(start), after: String(end) };
    // The platform's address holds the caller's token; nobody should follow it.
    return { data, paging: { cursors, ...(end < found.length && { next: 'https://graph.facebook.com/next-page' }) } };
  }

  /** @returns the answer's body, or what is wrong with the call */
  create(params: Record<string, unknown>): object | string {
    const { name, language, category } = params;
    const components = records(params['components']);
    const body = components.find((component) => component?.['type'] === 'BODY')?.['text'];
    if (typeof name !== 'string' || typeof language !== 'string' || typeof body !== 'string') {
      return 'Params name, language and a BODY component are required';
    }
    if (category !== 'UTILITY') return 'Param category must be UTILITY';
    const format = params['parameter_format'] ?? 'POSITIONAL';
    if (format !== 'NAMED' && format !== 'POSITIONAL') return 'Param parameter_format must be NAMED or POSITIONAL';
    const fault = components.map(faultOfComponent).find((found) => found !== null);
    if (fault !== undefined) return fault;
    if (this.#templates.has(keyOf({ name, language }))) return 'A template of this name and language exists already';
    const isWrong = hasWrongParameters(components, format);
    const template: SandboxTemplate = {
      name,
      language,
      status: isWrong ? 'REJECTED' : 'APPROVED',
      category,
      parameter_format: format,
      components: components.map((component) => component ?? {}),
      reason: isWrong ? 'INCORRECT_PARAMS' : null,
    };
    this.#templates.set(keyOf(template), template);
    return { id: idOf(template), status: template.status, category };
  }

  /**
   * Puts the parameters of a sent message into its template.
   * @param message of the Send API, with a `template` in it
   * @returns the text of the body, or what is wrong; what the platform says then is not published
   */
  fill(message: Part): { text: string } | { fault: string } {
    const sent = record(message['template']);
    if (sent === null) return { fault: 'Param message[template] is required for messaging_type UTILITY' };
    const language = record(sent['language'])?.['code'];
    const template = this.#templates.get(keyOf({ name: textOf(sent['name']), language: textOf(language) }));
    if (!template) return { fault: 'Message template does not exist in this language' };
    if (template.status !== 'APPROVED') return { fault: `Message template is ${template.status}, not APPROVED` };
    const parts = records(sent['components']);
    if (parts.some((part) => !['header', 'body', 'buttons'].includes(textOf(part?.['type'])))) {
      return { fault: 'The type of a component must be header, body or buttons' };
    }
    const parametersOf = (type: string): (Part | null)[] =>
      records(parts.find((part) => part?.['type'] === type)?.['parameters']);
    const header = filled(textOfComponent(template, 'HEADER'), template.parameter_format, parametersOf('header'));
    const body = filled(textOfComponent(template, 'BODY'), template.parameter_format, parametersOf('body'));
    if (header === null || body === null || !fitsButtons(template, parametersOf('buttons'))) {
      return { fault: 'Template parameters do not match the template' };
    }
    return { text: body };
  }
}

function listed(template: SandboxTemplate, fields: readonly string[]): object {
  const { reason, ...shown } = template;
  const node: Part = { ...shown, id: idOf(template), rejected_reason: reason ?? 'NONE' };
  // An id comes whether it is asked for or not.
  const asked = fields.length === 0 ? LISTED_FIELDS : [...fields, 'id'];
  return Object.fromEntries(asked.map((field) => [field, node[field]]));
}

function textOfComponent({ components }: SandboxTemplate, type: string): string {
  return textOf(components.find((component) => component['type'] === type)?.['text']);
}

/** @returns null when the parameters are not those of the text */
function filled(text: string, format: 'NAMED' | 'POSITIONAL', parameters: readonly (Part | null)[]): string | null {
  const expected = [...new Set([...text.matchAll(PARAMETER)].map((match) => match[1] ?? ''))];
  // The platform numbers positional parameters; a seed may name them, and then their order in the text is their number.
  if (format === 'POSITIONAL') expected.sort((one, other) => Number(one) - Number(other) || 0);
  const values = new Map<string, string>();
  for (const [index, parameter] of parameters.entries()) {
    const key = format === 'NAMED' ? parameter?.['parameter_name'] : expected[index];
    if (typeof key !== 'string' || parameter?.['type'] !== 'text' || typeof parameter['text'] !== 'string') return null;
    values.set(key, parameter['text']);
  }
  if (expected.length !== parameters.length || expected.some((key) => !values.has(key))) return null;
  return text.replace(PARAMETER, (_placeholder, key: string) => values.get(key) ?? '');
}

/** Every web address with a parameter gets its end; a postback may get a payload of its own. */
function fitsButtons({ components }: SandboxTemplate, parameters: readonly (Part | null)[]): boolean {
  const buttons = records(components.find((component) => component['type'] === 'BUTTONS')?.['buttons']);
  const open = buttons.filter((button) => button?.['type'] === 'URL' && textOf(button['url']).includes('{{'));
  const postbacks = buttons.filter((button) => button?.['type'] === 'POSTBACK');
  const urls = parameters.filter((parameter) => parameter?.['type'] === 'URL' && typeof parameter['url'] === 'string');
  const payloads = parameters.filter(
    (parameter) => parameter?.['type'] === 'POSTBACK' && typeof parameter['payload'] === 'string',
  );
  return (
    urls.length === open.length &&
    payloads.length <= postbacks.length &&
    urls.length + payloads.length === parameters.length
  );
}

function faultOfComponent(component: Part | null): string | null {
  const type = component?.['type'];
  if (type === 'BODY') return null;
  if (type === 'HEADER') {
    const format = textOf(component?.['format']);
    if (format === 'TEXT') return typeof component?.['text'] === 'string' ? null : 'A TEXT header needs a text';
    return format === 'IMAGE' ? null : 'The format of a header must be TEXT or IMAGE';
  }
  if (type !== 'BUTTONS') return 'The type of a component must be HEADER, BODY or BUTTONS';
  const isKnown = records(component?.['buttons']).every(
    (button) =>
      typeof button?.['text'] === 'string' &&
      (button['type'] === 'POSTBACK' || (button['type'] === 'URL' && typeof button['url'] === 'string')),
  );
  return isKnown ? null : 'A button must be a URL or a POSTBACK with a text';
}

/**
 * Reasons for which the platform rejects: a parameter at either end, numbers that leave one out. One without an example counts
 * here as well: nobody could judge it.
 */
function hasWrongParameters(components: readonly (Part | null)[], format: 'NAMED' | 'POSITIONAL'): boolean {
  return components.some((component) => {
    const type = component?.['type'];
    if (type !== 'BODY' && type !== 'HEADER') return false;
    const text = textOf(component?.['text']);
    const keys = [...new Set([...text.matchAll(PARAMETER)].map((match) => match[1] ?? ''))];
    if (type === 'BODY' && /^\s*\{\{|\}\}\s*$/.test(text)) return true;
    if (format === 'POSITIONAL' && !keys.every((key) => Number(key) >= 1 && Number(key) <= keys.length)) return true;
    return examplesOf(component?.['example'], type.toLowerCase(), format) < keys.length;
  });
}

function examplesOf(example: unknown, part: string, format: 'NAMED' | 'POSITIONAL'): number {
  const given: unknown = record(example)?.[format === 'NAMED' ? `${part}_text_named_params` : `${part}_text`];
  const list: unknown = Array.isArray(given) && Array.isArray(given[0]) ? given[0] : given;
  return Array.isArray(list) ? list.length : 0;
}

function keyOf({ name, language }: { name: string; language: string }): string {
  return `${name}\n${language}`;
}

/** Made from the name, so that it is the same in every run. */
function idOf(template: { name: string; language: string }): string {
  return String(createHmac('sha256', 'template').update(keyOf(template)).digest().readUIntBE(0, 6));
}
