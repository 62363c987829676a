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

/** One card of a generic template: a title and at least one other part. */
export interface Card {
  title: string;
  subtitle?: string;
  /** Web address of a picture. */
  image?: string;
  buttons: readonly Button[];
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
  /** Above the text; registered templates only. */
  header?: string;
  body?: string;
  /** With buttons, a media template. */
  media?: Media;
  /** A generic template: cards side by side, instead of body, media and buttons. */
  cards?: readonly Card[];
  buttons: readonly Button[];
  quickReplies: readonly QuickReply[];
  /** In the order in which they are declared. */
  variables: readonly TemplateVariable[];
  /** The copy that CAMS keeps: an account of that provider sends it by its code instead of the parts above. */
  cams?: { code: string };
  /** The name of the registered template, in the same language, that may go to people whose window is shut. */
  outsideWindow?: string;
}

/** A value for one place of a registered template; without a name, the places are filled in their order. */
export interface Parameter {
  name: string | null;
  text: string;
}

/** What one person gets: every part of the template with that person's values in place. */
export interface Message {
  /** Above the text; registered templates only. */
  header?: string;
  text?: string;
  media?: Media;
  buttons: readonly Button[];
  quickReplies: readonly QuickReply[];
  cards?: readonly Card[];
  /** Sent by reference to the platform's own copy of the template. */
  registered?: {
    name: string;
    language: string;
    header: readonly Parameter[];
    /** Of the body. */
    parameters: readonly Parameter[];
    /** The values of those buttons that take one, in their order: what stands at their `buttonPlace`. */
    buttons: readonly ({ type: 'POSTBACK'; payload: string } | { type: 'URL'; url: string })[];
  };
  /** Sent by reference to the copy that CAMS keeps, with each variable's value by its name. */
  cams?: { code: string; language: string; parameters: Readonly<Record<string, string>> };
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

/** A text of a template that may hold variables. */
interface PartText {
  /** Such as `buttons[0].title`. */
  part: string;
  text: string;
}

/** Every such text, in the order a reader meets them. */
function texts(template: Template): PartText[] {
  const found: PartText[] = [];
  const add = (part: string, text: string | undefined): void => {
    if (text !== undefined) found.push({ part, text });
  };
  add('header', template.header);
  add('body', template.body);
  add('media.url', template.media?.url);
  template.cards?.forEach((card, index) => {
    add(`cards[${index}].title`, card.title);
    add(`cards[${index}].subtitle`, card.subtitle);
    add(`cards[${index}].image`, card.image);
    found.push(...buttonTexts(card.buttons, `cards[${index}].`));
  });
  found.push(...buttonTexts(template.buttons, ''));
  template.quickReplies.forEach((reply, index) => {
    add(`quickReplies[${index}].title`, reply.title);
    add(`quickReplies[${index}].payload`, reply.payload);
  });
  return found;
}

function buttonTexts(buttons: readonly Button[], within: string): PartText[] {
  return buttons.flatMap((button, index) => {
    const part = `${within}buttons[${index}]`;
    const answer =
      button.type === 'web_url'
        ? { part: `${part}.url`, text: button.url }
        : { part: `${part}.payload`, text: button.payload };
    return [{ part: `${part}.title`, text: button.title }, answer];
  });
}

/** The variables a template uses, in order of first use: the columns of its sheet. */
export function usedVariables(template: Template): TemplateVariable[] {
  const declared = new Map(template.variables.map((variable) => [variable.name, variable]));
  const names = variableNames(texts(template).map(({ text }) => text));
  return names.map((name) => declared.get(name) ?? { name, example: '' });
}

/** In order of first use. */
function variableNames(all: readonly string[]): string[] {
  const pieces = all.flatMap(parseText);
  return [...new Set(pieces.flatMap((piece) => ('variable' in piece ? [piece.variable] : [])))];
}

/** Names of the variables of a registered template that the sheet of a session template does not hold. */
export function registeredMismatch(session: Template, registered: Template): string[] {
  const held = new Set(usedVariables(session).map(({ name }) => name));
  return usedVariables(registered).flatMap(({ name }) => (held.has(name) ? [] : [name]));
}

/**
 * A button of a registered template that takes a value: two fixed texts, and what is sent to stand between them. The platform
 * keeps the fixed texts with one placeholder between, so several variables are sent as one value, with what stands between.
 */
export interface ButtonPlace {
  before: string;
  /** Template text: one variable, or from the first one to the last. */
  value: string;
  /** Empty for a web address: a value is only ever added to its end (utility-messages, 13 March 2026). */
  after: string;
}

/** @returns null for a button that takes no value */
export function buttonPlace(button: Button): ButtonPlace | null {
  const pieces = parseText(button.type === 'web_url' ? button.url : button.payload);
  const first = pieces.findIndex((piece) => 'variable' in piece);
  if (first === -1) return null;
  const end = button.type === 'web_url' ? pieces.length : pieces.findLastIndex((piece) => 'variable' in piece) + 1;
  return {
    before: pieceText(pieces.slice(0, first)),
    value: pieceText(pieces.slice(first, end)),
    after: pieceText(pieces.slice(end)),
  };
}

function pieceText(pieces: readonly Piece[]): string {
  return pieces.map((piece) => ('literal' in piece ? piece.literal : `{{${piece.variable}}}`)).join('');
}

/**
 * The text that a sheet's fingerprint is the hash of: everything that decides which columns the sheet has and what the
 * people in it would receive.
 */
export function fingerprintText(template: Template): string {
  const { name, language, kind, registration, tag, body, media, buttons, quickReplies } = template;
  const columns = usedVariables(template).map((variable) => variable.name);
  const parts: unknown[] = [name, language, kind, registration, tag, body, media, buttons, quickReplies, columns];
  // Templates from before these parts were there keep their fingerprints, and so their sheets.
  const { header, cards, cams } = template;
  if (header !== undefined || cards !== undefined || cams !== undefined) parts.push({ header, cards, cams });
  return JSON.stringify(parts);
}

/** A template made ready to be rendered many times. */
export interface CompiledTemplate {
  variables: TemplateVariable[];
  /** @param values one for each of `variables`, in their order */
  render(values: readonly string[]): Message;
  /** A quick test that spares rendering: true only if no limit can be exceeded and no link can be wrong. */
  surelyFits(values: readonly string[], channel: Channel): boolean;
}

/** A text with the values in their places. */
type Filler = (values: readonly string[]) => string;

export function compileTemplate(template: Template): CompiledTemplate {
  const variables = usedVariables(template);
  const position = new Map(variables.map((variable, index) => [variable.name, index]));

  const filler = (text: string): Filler => {
    const pieces = parseText(text).map((piece) =>
      'literal' in piece ? piece.literal : (position.get(piece.variable) ?? -1),
    );
    return (values) => {
      let filled = '';
      for (const piece of pieces) filled += typeof piece === 'string' ? piece : (values[piece] ?? '');
      return filled;
    };
  };
  const optional = (text: string | undefined): Filler | undefined => (text === undefined ? undefined : filler(text));
  const compileButton = (button: Button): ((values: readonly string[]) => Button) => {
    const title = filler(button.title);
    if (button.type === 'web_url') {
      const url = filler(button.url);
      return (values) => ({ type: 'web_url', title: title(values), url: url(values) });
    }
    const payload = filler(button.payload);
    return (values) => ({ type: 'postback', title: title(values), payload: payload(values) });
  };

  const header = optional(template.header);
  const parsedBody = template.body === undefined ? [] : parseText(template.body);
  const body = optional(template.body);
  const media = template.media && { type: template.media.type, url: filler(template.media.url) };
  const cards = template.cards?.map((card) => {
    const title = filler(card.title);
    const subtitle = optional(card.subtitle);
    const image = optional(card.image);
    const cardButtons = card.buttons.map(compileButton);
    return (values: readonly string[]): Card => ({
      title: title(values),
      ...(subtitle && { subtitle: subtitle(values) }),
      ...(image && { image: image(values) }),
      buttons: cardButtons.map((button) => button(values)),
    });
  });
  const buttons = template.buttons.map(compileButton);
  const quickReplies = template.quickReplies.map((reply) => {
    const title = filler(reply.title);
    const payload = filler(reply.payload);
    return (values: readonly string[]): QuickReply => ({ title: title(values), payload: payload(values) });
  });
  const registered = compileRegistered(template, filler, position);
  const { cams } = template;
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
      const bound = template.buttons.length > 0 && !registered ? textWithButtons : text.max;
      return (text.unit === 'bytes' ? 3 * length : length) <= bound;
    },
    render(values) {
      return {
        ...(header && { header: header(values) }),
        ...(body && { text: body(values) }),
        ...(media && { media: { type: media.type, url: media.url(values) } }),
        ...(cards && { cards: cards.map((card) => card(values)) }),
        buttons: buttons.map((button) => button(values)),
        quickReplies: quickReplies.map((reply) => reply(values)),
        ...(registered && { registered: registered(values) }),
        ...(cams && {
          cams: {
            code: cams.code,
            language: template.language,
            parameters: Object.fromEntries(variables.map(({ name }, index) => [name, values[index] ?? ''])),
          },
        }),
      };
    },
  };
}

/** What is sent of a registered template: its name and the values, each component with its own (utility-messages). */
function compileRegistered(
  template: Template,
  filler: (text: string) => Filler,
  position: ReadonlyMap<string, number>,
): ((values: readonly string[]) => NonNullable<Message['registered']>) | null {
  const { registration } = template;
  if (template.kind !== 'registered' || !registration) return null;
  const isNamed = registration.parameters === 'named';
  const compileParameters = (text: string | undefined): ((values: readonly string[]) => Parameter[]) => {
    const places = variableNames(text === undefined ? [] : [text]).map((name) => ({
      name: isNamed ? name : null,
      place: position.get(name) ?? -1,
    }));
    return (values) => places.map(({ name, place }) => ({ name, text: values[place] ?? '' }));
  };
  const header = compileParameters(template.header);
  const body = compileParameters(template.body);
  const buttons = template.buttons.flatMap((button) => {
    const place = buttonPlace(button);
    return place === null ? [] : [{ type: button.type, value: filler(place.value) }];
  });
  return (values) => ({
    name: registration.name,
    language: template.language,
    header: header(values),
    parameters: body(values),
    buttons: buttons.map(({ type, value }) =>
      type === 'web_url' ? { type: 'URL', url: value(values) } : { type: 'POSTBACK', payload: value(values) },
    ),
  });
}

/**
 * The limits of one channel; 0 where it has no such part. Sources: Messenger Platform's Send API, button template, generic
 * template, media template, quick replies, and the pages of Instagram on these.
 */
interface ChannelLimits {
  text: { max: number; unit: 'characters' | 'bytes' };
  /** Text above buttons is bounded more tightly than text alone; of a registered template that is not said. */
  textWithButtons: number;
  /** Under a text, and in one card. */
  buttons: number;
  /** Under a picture or a video. */
  mediaButtons: number;
  quickReplies: number;
  /** Of a button or a quick reply. */
  title: number;
  payload: number;
  cards: number;
  /** A card's title, and its subtitle. */
  cardText: number;
  media: boolean;
}

export const LIMITS: Record<Channel, ChannelLimits> = {
  // "less than 2000 characters"; which characters is not said, so the stricter count (UTF-16 units) is used.
  messenger: {
    text: { max: 1999, unit: 'characters' },
    textWithButtons: 640,
    buttons: 3,
    mediaButtons: 3,
    quickReplies: 13,
    title: 20,
    payload: 1000,
    cards: 10,
    cardText: 80,
    media: true,
  },
  instagram: {
    text: { max: 1000, unit: 'bytes' },
    textWithButtons: 640,
    buttons: 3,
    // Instagram's pages know a button template and a generic template, and no media template.
    mediaButtons: 0,
    quickReplies: 13,
    title: 20,
    payload: 1000,
    cards: 10,
    cardText: 80,
    media: true,
  },
  sms: {
    text: { max: 1600, unit: 'characters' },
    textWithButtons: 0,
    buttons: 0,
    mediaButtons: 0,
    quickReplies: 0,
    title: 0,
    payload: 0,
    cards: 0,
    cardText: 0,
    media: false,
  },
};

/** Media that a media template takes, and so buttons under it. */
const TAKES_BUTTONS: readonly Media['type'][] = ['image', 'video'];

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
  const measureButtons = (buttons: readonly Button[], within: string): void => {
    buttons.forEach((button, index) => {
      measure(`${within}buttons[${index}].title`, button.title, limits.title);
      if (button.type === 'postback') measure(`${within}buttons[${index}].payload`, button.payload, limits.payload);
    });
  };
  if (message.text !== undefined) {
    if (message.buttons.length > 0 && !message.registered) measure('body', message.text, limits.textWithButtons);
    else measure('body', message.text, limits.text.max, limits.text.unit);
  }
  message.cards?.forEach((card, index) => {
    const within = `cards[${index}].`;
    measure(`${within}title`, card.title, limits.cardText);
    if (card.subtitle !== undefined) measure(`${within}subtitle`, card.subtitle, limits.cardText);
    measureButtons(card.buttons, within);
  });
  measureButtons(message.buttons, '');
  message.quickReplies.forEach((reply, index) => {
    measure(`quickReplies[${index}].title`, reply.title, limits.title);
    measure(`quickReplies[${index}].payload`, reply.payload, limits.payload);
  });
  return exceeded;
}

/** A link of a rendered message that cannot be sent. */
export interface BadLink {
  part: string;
  found: string;
  /** There where the link is a web address, but none of this site. */
  site?: 'facebook.com';
}

/** The links of a rendered message that cannot be sent. */
export function badLinks(message: Message): BadLink[] {
  const bad: BadLink[] = [];
  const check = (part: string, found: string): void => {
    if (!isWebAddress(found)) bad.push({ part, found });
  };
  const checkButtons = (buttons: readonly Button[], within: string): void => {
    buttons.forEach((button, index) => {
      if (button.type === 'web_url') check(`${within}buttons[${index}].url`, button.url);
    });
  };
  message.cards?.forEach((card, index) => {
    if (card.image !== undefined) check(`cards[${index}].image`, card.image);
    checkButtons(card.buttons, `cards[${index}].`);
  });
  checkButtons(message.buttons, '');
  if (message.media) {
    const { url } = message.media;
    check('media.url', url);
    // "Facebook URLs only" (send-messages/template/media, 22 April 2026): a picture from elsewhere has no buttons.
    if (message.buttons.length > 0 && isWebAddress(url) && !/^(?:.+\.)?facebook\.com$/.test(new URL(url).hostname)) {
      bad.push({ part: 'media.url', found: url, site: 'facebook.com' });
    }
  }
  return bad;
}

function isWebAddress(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

/** Everything that is wrong with a template before any recipient is known. */
export function checkTemplate(template: Template): Finding[] {
  const example = compileTemplate(template).render(usedVariables(template).map((variable) => variable.example));
  return [
    ...variableFaults(template),
    ...contentFaults(template),
    ...(template.kind === 'registered' && template.registration?.status !== 'APPROVED' ? approvalFaults(template) : []),
    ...template.channels.flatMap((channel) => channelFaults(template, example, channel)),
    ...badLinks(example).map((link) => finding('MESSAGE_URL_INVALID', link, { column: link.part })),
  ];
}

function variableFaults(template: Template): Finding[] {
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
  return findings;
}

/** Which parts may stand together in a message of the template's kind. */
function contentFaults(template: Template): Finding[] {
  const findings: Finding[] = [];
  const { kind, body, media, cards, buttons } = template;
  const isThere = {
    header: template.header !== undefined,
    body: body !== undefined,
    media: media !== undefined,
    cards: cards !== undefined,
    buttons: buttons.length > 0,
    quickReplies: template.quickReplies.length > 0,
    cams: template.cams !== undefined,
    outsideWindow: template.outsideWindow !== undefined,
  };
  const foreign =
    kind === 'session' ? (['header'] as const) : (['media', 'cards', 'quickReplies', 'cams', 'outsideWindow'] as const);
  for (const part of foreign) {
    if (isThere[part]) findings.push(finding('PART_NOT_OF_KIND', { part, kind }, { column: part }));
  }
  if (kind === 'registered') {
    if (body === undefined) findings.push(finding('CONTENT_MISSING', {}));
    buttons.forEach(({ title }, index) => {
      const part = `buttons[${index}].title`;
      if (variableNames([title]).length > 0) findings.push(finding('PART_FIXED', { part }, { column: part }));
    });
  } else {
    // The Send API takes text or one attachment, which is a file or a template (reference/send-api, `message`).
    const others = cards
      ? (['body', 'media', 'buttons'] as const)
      : media && (body !== undefined || !TAKES_BUTTONS.includes(media.type))
        ? (['body', 'buttons'] as const)
        : [];
    const parts = others.filter((part) => isThere[part]);
    if (parts.length > 0) findings.push(finding('CONTENT_CONFLICT', { parts: [cards ? 'cards' : 'media', ...parts] }));
    if (body === undefined && !media && !(cards && cards.length > 0)) findings.push(finding('CONTENT_MISSING', {}));
  }
  cards?.forEach((card, index) => {
    if (card.subtitle === undefined && card.image === undefined && card.buttons.length === 0) {
      const part = `cards[${index}]`;
      findings.push(finding('CARD_INCOMPLETE', { part }, { column: part }));
    }
  });
  if (template.tag !== undefined) findings.push(finding('TAG_FORBIDDEN', { tag: template.tag }, { column: 'tag' }));
  return findings;
}

/** The beginning of a web address up to where the name of its site has ended. */
const WITH_WHOLE_SITE = /^https?:\/\/[^/?#]+[/?#]/i;

/**
 * Why the platform would not approve a registered template (utility-messages, "Common Template Rejection Reasons"). How
 * many variables a text may have for its length is not said there.
 */
function approvalFaults(template: Template): Finding[] {
  const findings: Finding[] = [];
  const pieces = parseText(template.body ?? '');
  for (const [piece, edge] of [[pieces[0], 'start'] as const, [pieces.at(-1), 'end'] as const]) {
    if (piece && 'variable' in piece) {
      findings.push(finding('VARIABLE_AT_EDGE', { variable: piece.variable, edge }, { column: 'body' }));
    }
  }
  template.buttons.forEach((button, index) => {
    const place = button.type === 'web_url' ? buttonPlace(button) : null;
    if (place === null || WITH_WHOLE_SITE.test(place.before)) return;
    const part = `buttons[${index}].url`;
    findings.push(finding('LINK_WITHOUT_START', { part }, { column: part }));
  });
  return findings;
}

/** What of a template a channel does not have, or has less of. @param example the message with the examples for values */
function channelFaults(template: Template, example: Message, channel: Channel): Finding[] {
  const limits = LIMITS[channel];
  const findings: Finding[] = [];
  const unsupported = (part: string, column = part): void => {
    findings.push(finding('PART_UNSUPPORTED', { part, channel }, { column }));
  };
  const count = (part: string, items: readonly unknown[], max: number): void => {
    if (items.length > 0 && max === 0) unsupported(part);
    else if (items.length > max) {
      findings.push(finding('TOO_MANY', { part, count: items.length, max }, { column: part }));
    }
  };
  const { media, cards, buttons } = template;
  const isMediaTemplate = media !== undefined && buttons.length > 0;
  if (isMediaTemplate && limits.mediaButtons === 0 && limits.buttons > 0) unsupported('media with buttons', 'buttons');
  else count('buttons', buttons, isMediaTemplate ? limits.mediaButtons : limits.buttons);
  count('quickReplies', template.quickReplies, limits.quickReplies);
  if (cards) {
    count('cards', cards, limits.cards);
    if (limits.cards > 0) {
      cards.forEach((card, index) => {
        count(`cards[${index}].buttons`, card.buttons, limits.buttons);
      });
    }
  }
  if (media && !limits.media) unsupported('media');
  // Utility templates are documented for PSIDs only.
  if (template.kind === 'registered' && channel !== 'messenger') unsupported('kind');
  for (const limit of exceededLimits(example, channel)) {
    // Parts that the channel does not have are told above.
    if (limit.max > 0) findings.push(finding('LIMIT_EXCEEDED', limit, { column: limit.part }));
  }
  return findings;
}

/**
 * Why a session template cannot be joined with the template that it names for people outside their window.
 * @param outside the template of that name in the same language; null when there is none
 */
export function outsideFaults(session: Template, outside: Template | null): Finding[] {
  const { outsideWindow: name, language } = session;
  if (name === undefined) return [];
  const place = { column: 'outsideWindow' };
  if (outside === null) return [finding('OUTSIDE_UNKNOWN', { name, language }, place)];
  if (outside.kind !== 'registered') return [finding('OUTSIDE_NOT_REGISTERED', { name }, place)];
  const missing = registeredMismatch(session, outside);
  return missing.length === 0 ? [] : [finding('OUTSIDE_VARIABLES', { name, missing }, place)];
}
