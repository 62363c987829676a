/**
 * Message templates: their parts, their variables, rendering, and the limits of each channel. Limits are checked on the
 * template with its examples, and again on every rendered message, because a recipient's values decide the length.
 */
import { finding, type Finding, type LimitExceeded } from './finding.js';

export const CHANNELS = ['messenger', 'instagram', 'sms'] as const;
export type Channel = (typeof CHANNELS)[number];

export interface TemplateVariable {
  name: string;
  /** What belongs in the column, for the person who fills the sheet. */
  description?: string;
  example: string;
  /** In UTF-16 units. */
  maxLength?: number;
}

export interface QuickReply {
  title: string;
  payload: string;
}

export type Button =
  { type: 'web_url'; title: string; url: string } | { type: 'postback'; title: string; payload: string };

export interface Media {
  type: 'image' | 'video' | 'audio' | 'file';
  url: string;
}

/** How a registered template is known to the platform, and whether it may be used. */
export interface Registration {
  name: string;
  status: string;
  parameters: 'named' | 'positional';
}

export interface Template {
  name: string;
  /** Such as `en_US`. */
  language: string;
  channels: readonly Channel[];
  kind: 'session' | 'registered';
  registration?: Registration;
  /** A Messenger message tag. None may be used in bulk; see `policy.ts`. */
  tag?: string;
  body?: string;
  media?: Media;
  buttons: readonly Button[];
  quickReplies: readonly QuickReply[];
  /** In the order in which they are declared. */
  variables: readonly TemplateVariable[];
}

/** What one person gets: every part of the template with that person's values in place. */
export interface Message {
  text?: string;
  media?: Media;
  buttons: readonly Button[];
  quickReplies: readonly QuickReply[];
  /** Sent by reference to the platform's own copy of the template. */
  registered?: { name: string; language: string; parameters: { name: string | null; text: string }[] };
}

/** Template text cut into literal text and variable names. */
type Piece = { literal: string } | { variable: string };

const PLACEHOLDER = /\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/** Cuts `Hi {{name}}` into its pieces. What stands between pieces and is not a well-formed placeholder stays literal. */
export function parseText(text: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(PLACEHOLDER)) {
    if (match.index > end) pieces.push({ literal: text.slice(end, match.index) });
    pieces.push({ variable: match[1] ?? '' });
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push({ literal: text.slice(end) });
  return pieces;
}

/** Every text of a template that may hold variables, with the name of its part, in the order a reader meets them. */
function texts(template: Template): { part: string; text: string }[] {
  const found: { part: string; text: string }[] = [];
  if (template.body !== undefined) found.push({ part: 'body', text: template.body });
  if (template.media) found.push({ part: 'media.url', text: template.media.url });
  template.buttons.forEach((button, index) => {
    found.push({ part: `buttons[${index}].title`, text: button.title });
    found.push(
      button.type === 'web_url'
        ? { part: `buttons[${index}].url`, text: button.url }
        : { part: `buttons[${index}].payload`, text: button.payload },
    );
  });
  template.quickReplies.forEach((reply, index) => {
    found.push({ part: `quickReplies[${index}].title`, text: reply.title });
    found.push({ part: `quickReplies[${index}].payload`, text: reply.payload });
  });
  return found;
}

/** The variables a template uses, in order of first use: the columns of its sheet. */
export function usedVariables(template: Template): TemplateVariable[] {
  const declared = new Map(template.variables.map((variable) => [variable.name, variable]));
  const used = new Map<string, TemplateVariable>();
  for (const { text } of texts(template)) {
    for (const piece of parseText(text)) {
      if ('variable' in piece && !used.has(piece.variable)) {
        used.set(piece.variable, declared.get(piece.variable) ?? { name: piece.variable, example: '' });
      }
    }
  }
  return [...used.values()];
}

/**
 * The text that a sheet's fingerprint is the hash of: everything that decides which columns the sheet has and what the
 * people in it would receive.
 */
export function fingerprintText(template: Template): string {
  const { name, language, kind, registration, tag, body, media, buttons, quickReplies } = template;
  const columns = usedVariables(template).map((variable) => variable.name);
  return JSON.stringify([name, language, kind, registration, tag, body, media, buttons, quickReplies, columns]);
}

/** A template made ready to be rendered many times. */
export interface CompiledTemplate {
  variables: TemplateVariable[];
  /** @param values one for each of `variables`, in their order */
  render(values: readonly string[]): Message;
  /** A quick test that spares rendering: true only if no limit can be exceeded and no link can be wrong. */
  surelyFits(values: readonly string[], channel: Channel): boolean;
}

export function compileTemplate(template: Template): CompiledTemplate {
  const variables = usedVariables(template);
  const position = new Map(variables.map((variable, index) => [variable.name, index]));

  const filler = (text: string): ((values: readonly string[]) => string) => {
    const pieces = parseText(text).map((piece) =>
      'literal' in piece ? piece.literal : (position.get(piece.variable) ?? -1),
    );
    return (values) => {
      let filled = '';
      for (const piece of pieces) filled += typeof piece === 'string' ? piece : (values[piece] ?? '');
      return filled;
    };
  };

  const parsedBody = template.body === undefined ? [] : parseText(template.body);
  const body = template.body === undefined ? undefined : filler(template.body);
  const media = template.media && { type: template.media.type, url: filler(template.media.url) };
  const buttons = template.buttons.map((button) => {
    const title = filler(button.title);
    if (button.type === 'web_url') {
      const url = filler(button.url);
      return (values: readonly string[]): Button => ({ type: 'web_url', title: title(values), url: url(values) });
    }
    const payload = filler(button.payload);
    return (values: readonly string[]): Button => ({
      type: 'postback',
      title: title(values),
      payload: payload(values),
    });
  });
  const quickReplies = template.quickReplies.map((reply) => {
    const title = filler(reply.title);
    const payload = filler(reply.payload);
    return (values: readonly string[]): QuickReply => ({ title: title(values), payload: payload(values) });
  });
  const registration = template.kind === 'registered' ? template.registration : undefined;
  const filled = texts(template).filter(({ text }) => parseText(text).some((piece) => 'variable' in piece));
  const onlyBodyVaries = filled.every(({ part }) => part === 'body');

  return {
    variables,
    surelyFits(values, channel) {
      if (!onlyBodyVaries) return false;
      const { text, textWithButtons } = LIMITS[channel];
      let length = 0;
      for (const piece of parsedBody)
        length += 'literal' in piece ? piece.literal.length : (values[position.get(piece.variable) ?? -1] ?? '').length;
      const bound = template.buttons.length > 0 ? textWithButtons : text.max;
      return (text.unit === 'bytes' ? 3 * length : length) <= bound;
    },
    render(values) {
      return {
        ...(body && { text: body(values) }),
        ...(media && { media: { type: media.type, url: media.url(values) } }),
        buttons: buttons.map((button) => button(values)),
        quickReplies: quickReplies.map((reply) => reply(values)),
        ...(registration && {
          registered: {
            name: registration.name,
            language: template.language,
            parameters: variables.map((variable, index) => ({
              name: registration.parameters === 'named' ? variable.name : null,
              text: values[index] ?? '',
            })),
          },
        }),
      };
    },
  };
}

/** The limits of one channel. Sources: Messenger Platform's Send API, button template, quick replies and Instagram pages. */
interface ChannelLimits {
  text: { max: number; unit: 'characters' | 'bytes' };
  /** Text above buttons is bounded more tightly than text alone. */
  textWithButtons: number;
  buttons: number;
  quickReplies: number;
  title: number;
  payload: number;
  media: boolean;
}

export const LIMITS: Record<Channel, ChannelLimits> = {
  // "less than 2000 characters"; which characters is not said, so the stricter count (UTF-16 units) is used.
  messenger: {
    text: { max: 1999, unit: 'characters' },
    textWithButtons: 640,
    buttons: 3,
    quickReplies: 13,
    title: 20,
    payload: 1000,
    media: true,
  },
  instagram: {
    text: { max: 1000, unit: 'bytes' },
    textWithButtons: 640,
    buttons: 3,
    quickReplies: 13,
    title: 20,
    payload: 1000,
    media: true,
  },
  sms: {
    text: { max: 1600, unit: 'characters' },
    textWithButtons: 0,
    buttons: 0,
    quickReplies: 0,
    title: 0,
    payload: 0,
    media: false,
  },
};

/** Length in bytes as UTF-8; a lone surrogate counts as its replacement character, 3. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00) {
      bytes += 4;
      index += 1;
    } else bytes += 3;
  }
  return bytes;
}

/** The limits that a rendered message breaks on a channel. */
export function exceededLimits(message: Message, channel: Channel): LimitExceeded[] {
  const limits = LIMITS[channel];
  const exceeded: LimitExceeded[] = [];
  const measure = (part: string, text: string, max: number, unit: 'characters' | 'bytes' = 'characters'): void => {
    const length = unit === 'characters' || text.length * 3 <= max ? text.length : utf8Length(text);
    if (length > max) exceeded.push({ part, length, max, unit, channel });
  };
  if (message.text !== undefined) {
    if (message.buttons.length > 0) measure('body', message.text, limits.textWithButtons);
    else measure('body', message.text, limits.text.max, limits.text.unit);
  }
  message.buttons.forEach((button, index) => {
    measure(`buttons[${index}].title`, button.title, limits.title);
    if (button.type === 'postback') measure(`buttons[${index}].payload`, button.payload, limits.payload);
  });
  message.quickReplies.forEach((reply, index) => {
    measure(`quickReplies[${index}].title`, reply.title, limits.title);
    measure(`quickReplies[${index}].payload`, reply.payload, limits.payload);
  });
  return exceeded;
}

/** The links of a rendered message that are no web address. */
export function badLinks(message: Message): { part: string; found: string }[] {
  const links = message.buttons.map((button, index) =>
    button.type === 'web_url' ? { part: `buttons[${index}].url`, found: button.url } : null,
  );
  links.push(message.media ? { part: 'media.url', found: message.media.url } : null);
  return links.filter((link) => link !== null && !(/^https?:\/\//i.test(link.found) && URL.canParse(link.found))) as {
    part: string;
    found: string;
  }[];
}

/** Everything that is wrong with a template before any recipient is known. */
export function checkTemplate(template: Template): Finding[] {
  const findings: Finding[] = [];
  const used = usedVariables(template);

  for (const { part, text } of texts(template)) {
    // A brace that stays beside a variable (`{{{name}}}`) would be sent, so it counts as well; no text holds an asterism.
    const literal = parseText(text)
      .map((piece) => ('literal' in piece ? piece.literal : '⁂'))
      .join('');
    if (/\{\{|\}\}|\{⁂|⁂\}/.test(literal)) {
      findings.push(finding('VARIABLE_SYNTAX', { text }, { column: part }));
    }
  }
  const declared = new Set(template.variables.map((variable) => variable.name));
  for (const { name } of used) {
    if (!declared.has(name)) findings.push(finding('VARIABLE_UNDECLARED', { variable: name }, { column: 'variables' }));
  }
  const usedNames = new Set(used.map((variable) => variable.name));
  const seen = new Map<string, string>(template.channels.includes('sms') ? [['phone', 'Phone']] : []);
  for (const { name, example, maxLength } of template.variables) {
    if (!usedNames.has(name)) findings.push(finding('VARIABLE_UNUSED', { variable: name }, { column: 'variables' }));
    // Two headers that differ only by case would be taken for one another by everybody who fills the sheet.
    const other = seen.get(name.toLowerCase());
    if (other !== undefined) {
      findings.push(finding('VARIABLE_AMBIGUOUS', { variable: name, other }, { column: 'variables' }));
    }
    seen.set(name.toLowerCase(), name);
    if (maxLength !== undefined && example.length > maxLength) {
      findings.push(
        finding(
          'VARIABLE_TOO_LONG',
          { variable: name, length: example.length, max: maxLength },
          { column: 'variables' },
        ),
      );
    }
  }

  if (template.body === undefined && !template.media) findings.push(finding('CONTENT_MISSING', {}));
  // The Send API takes text or an attachment, never both (reference/send-api, `message`).
  if (template.media && (template.body !== undefined || template.buttons.length > 0)) {
    const parts = [
      'media',
      ...(template.body === undefined ? [] : ['body']),
      ...(template.buttons.length > 0 ? ['buttons'] : []),
    ];
    findings.push(finding('CONTENT_CONFLICT', { parts }));
  }
  if (template.tag !== undefined) findings.push(finding('TAG_FORBIDDEN', { tag: template.tag }, { column: 'tag' }));

  const example = compileTemplate(template).render(used.map((variable) => variable.example));
  for (const channel of template.channels) {
    const limits = LIMITS[channel];
    const unsupported = (part: string): void => {
      findings.push(finding('PART_UNSUPPORTED', { part, channel }, { column: part }));
    };
    const count = (part: 'buttons' | 'quickReplies', max: number): void => {
      const items = template[part].length;
      if (items > 0 && max === 0) unsupported(part);
      else if (items > max) findings.push(finding('TOO_MANY', { part, count: items, max }, { column: part }));
    };
    count('buttons', limits.buttons);
    count('quickReplies', limits.quickReplies);
    if (template.media && !limits.media) unsupported('media');
    // Utility templates are documented for PSIDs only.
    if (template.kind === 'registered' && channel !== 'messenger') unsupported('kind');
    for (const limit of exceededLimits(example, channel)) {
      findings.push(finding('LIMIT_EXCEEDED', limit, { column: limit.part }));
    }
  }
  for (const link of badLinks(example)) findings.push(finding('MESSAGE_URL_INVALID', link, { column: link.part }));
  return findings;
}
