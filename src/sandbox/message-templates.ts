/** The registered templates of a sandbox: listed, handed in, and filled when one is sent (utility-messages, 13 March 2026). */
import { createHmac } from 'node:crypto';
import { parseFields, record, records, textOf } from './graph-call.js';
import { faultOfButtons } from './message-rules.js';
import type { Found, Refused } from './refusals.js';
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

  list(params: Record<string, unknown>): Found {
    const { name, status, language } = params;
    const fields = parseFields(textOf(params['fields']))?.map((field) => field.name);
    if (fields === undefined) return { fault: 'Syntax error in param fields' };
    const unknown = fields.find((field) => ![...LISTED_FIELDS, 'rejected_reason'].includes(field));
    if (unknown !== undefined) return { fault: `Tried accessing nonexisting field (${unknown})` };
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
    if (data.length === 0) return { body: { data } };
    const cursors = { before: String(start), after: String(end) };
    // The platform's address holds the caller's token; nobody should follow it.
    const next = end < found.length ? { next: 'https://graph.facebook.com/next-page' } : {};
    return { body: { data, paging: { cursors, ...next } } };
  }

  create(params: Record<string, unknown>): Found {
    const { name, language, category } = params;
    const components = records(params['components']);
    const body = components.find((component) => component?.['type'] === 'BODY')?.['text'];
    if (typeof name !== 'string' || typeof language !== 'string' || typeof body !== 'string') {
      return { fault: 'Params name, language and a BODY component are required' };
    }
    if (category !== 'UTILITY') return { fault: 'Param category must be UTILITY' };
    const format = params['parameter_format'] ?? 'POSITIONAL';
    if (format !== 'NAMED' && format !== 'POSITIONAL') {
      return { fault: 'Param parameter_format must be NAMED or POSITIONAL' };
    }
    const fault = components.map(faultOfComponent).find((found) => found !== null);
    if (fault !== undefined) return fault;
    if (this.#templates.has(keyOf({ name, language }))) {
      return { fault: 'A template of this name and language exists already' };
    }
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
    return { body: { id: idOf(template), status: template.status, category } };
  }

  /**
   * Puts the parameters of a sent message into its template.
   * @param message of the Send API, with a `template` in it
   * @returns the text of the body, and the buttons as a button template has them; what the platform says to parameters that do
   * not fit is mostly not published
   */
  fill(message: Part): { text: string; buttons: object[] } | Refused {
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
    if (header === null || body === null) return MISMATCH;
    const buttons = filledButtons(template, parametersOf('buttons'));
    return Array.isArray(buttons) ? { text: body, buttons } : buttons;
  }
}

const MISMATCH: Refused = { fault: 'Template parameters do not match the template' };

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
  const expected = [...new Set(placesOf(text))];
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

/**
 * Each button with a place takes the next parameter, and the value goes where the place is: Meta's sample sends `12345` for
 * the payload `order_id_{{2}}`. What a place is called does not matter.
 */
function filledButtons(template: SandboxTemplate, parameters: readonly (Part | null)[]): object[] | Refused {
  const buttons = buttonsOf(template.components);
  const postbacks = (all: readonly (Part | null)[]): number => all.filter((one) => one?.['type'] === 'POSTBACK').length;
  if (postbacks(parameters) < postbacks(buttons.filter(hasPlace))) return { code: '100/1893029' };
  const waiting = [...parameters];
  const shown: object[] = [];
  for (const button of buttons) {
    const value = hasPlace(button) ? valueFor(button, waiting.shift()) : '';
    if (value === null) return MISMATCH;
    const title = textOf(button?.['text']);
    const answer = answerOf(button).replace(PARAMETER, () => value);
    const isLink = button?.['type'] === 'URL';
    shown.push(isLink ? { type: 'web_url', title, url: answer } : { type: 'postback', title, payload: answer });
  }
  if (waiting.length > 0) return MISMATCH;
  const fault = shown.length === 0 ? null : faultOfButtons(shown);
  return fault === null ? shown : { fault };
}

/** @returns null for a parameter that is not the button's */
function valueFor(button: Part | null, parameter: Part | null | undefined): string | null {
  const value = parameter?.[button?.['type'] === 'URL' ? 'url' : 'payload'];
  return parameter?.['type'] === button?.['type'] && typeof value === 'string' ? value : null;
}

function buttonsOf(components: readonly (Part | null)[]): (Part | null)[] {
  return records(components.find((component) => component?.['type'] === 'BUTTONS')?.['buttons']);
}

/** What a button does when it is pressed; without a payload, its title is one. */
function answerOf(button: Part | null): string {
  return textOf(button?.['type'] === 'URL' ? button['url'] : (button?.['payload'] ?? button?.['text']));
}

function hasPlace(button: Part | null): boolean {
  return placesOf(answerOf(button)).length > 0;
}

function placesOf(text: string): string[] {
  return [...text.matchAll(PARAMETER)].map((match) => match[1] ?? '');
}

function faultOfComponent(component: Part | null): Refused | null {
  const type = component?.['type'];
  if (type === 'BODY') return null;
  if (type === 'HEADER') {
    const format = textOf(component?.['format']);
    if (format === 'IMAGE') return null;
    if (format !== 'TEXT') return { fault: 'The format of a header must be TEXT or IMAGE' };
    return typeof component?.['text'] === 'string' ? null : { fault: 'A TEXT header needs a text' };
  }
  if (type !== 'BUTTONS') return { fault: 'The type of a component must be HEADER, BODY or BUTTONS' };
  return (
    records(component?.['buttons'])
      .map(faultOfButton)
      .find((found) => found !== null) ?? null
  );
}

/** Both codes are reported by a public project (vlab-research, April 2026); no page of Meta's has them. */
function faultOfButton(button: Part | null): Refused | null {
  const { type, text, url, example } = button ?? {};
  if (type === 'QUICK_REPLY') return { code: '100/2018416' };
  if (type === 'POSTBACK' && example !== undefined) return { code: '100/2388051' };
  const isKnown = type === 'POSTBACK' || (type === 'URL' && typeof url === 'string');
  return isKnown && typeof text === 'string' ? null : { fault: 'A button must be a URL or a POSTBACK with a text' };
}

/**
 * Reasons for which the platform rejects: a parameter at either end, numbers that leave one out. One without an example counts
 * here as well: nobody could judge it.
 */
function hasWrongParameters(components: readonly (Part | null)[], format: 'NAMED' | 'POSITIONAL'): boolean {
  const isWrong = components.some((component) => {
    const type = component?.['type'];
    if (type !== 'BODY' && type !== 'HEADER') return false;
    const text = textOf(component?.['text']);
    const keys = [...new Set(placesOf(text))];
    if (type === 'BODY' && /^\s*\{\{|\}\}\s*$/.test(text)) return true;
    if (format === 'POSITIONAL' && !keys.every((key) => Number(key) >= 1 && Number(key) <= keys.length)) return true;
    return examplesOf(component?.['example'], type.toLowerCase(), format) < keys.length;
  });
  return isWrong || buttonsOf(components).some(hasWrongPlace);
}

/** A button has one place at most: a payload anywhere, a link at its end and with an example. */
function hasWrongPlace(button: Part | null): boolean {
  const answer = answerOf(button);
  const places = placesOf(answer);
  if (button?.['type'] !== 'URL' || places.length === 0) return places.length > 1;
  const example = record(button['example'])?.['url_suffix_example'];
  return !/^https?:\/\/[^{}]+\{\{\w+\}\}$/.test(answer) || typeof example !== 'string';
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
