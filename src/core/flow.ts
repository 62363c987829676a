/**
 * Flows: messages that are sent by themselves, because a person did something (`auto-reply`) or because another program asks
 * for it (`automation`, `notification`). Rows V4 and V5 of Converse's page say what they may send.
 */
import { isError } from './finding.js';
import { freeTextTemplate } from './free-text.js';
import { inLanguage, isAmong, normalWord, optOutWord, type OptOutSettings } from './opt-out.js';
import { judge, templateBlock, type RuleRow, type Situation } from './policy.js';
import {
  badLinks,
  CHANNELS,
  checkTemplate,
  compileTemplate,
  exceededLimits,
  parseText,
  usedVariables,
  type Channel,
  type Template,
} from './template.js';
import { isWritten, type Opener } from './window.js';

export const FLOW_TYPES = ['auto-reply', 'automation', 'notification'] as const;
type FlowType = (typeof FLOW_TYPES)[number];

export type Trigger =
  /** The whole message is one of these words, whatever its case. */
  | { on: 'keyword'; words: readonly string[] }
  /** The first that a person writes. */
  | { on: 'first_message' }
  /** A button or quick reply with one of these payloads was tapped. */
  | { on: 'payload'; payloads: readonly string[] }
  | { on: 'opener'; openers: readonly Opener[] }
  /** `pagecast flow trigger`, or POST /flows/NAME. */
  | { on: 'call' };

export type FlowContent =
  | { kind: 'free-text'; text: string }
  | {
      kind: 'template';
      name: string;
      /** Null for the only language of that template, or that of the person's last message. */
      language: string | null;
      /** By variable; a call gives the others. */
      values: Readonly<Record<string, string>>;
    };

/** A part of the day in which nothing is sent. */
export interface QuietHours {
  /** Minutes since midnight; where `from` is after `to`, it goes past midnight. */
  from: number;
  to: number;
  /** IANA. */
  zone: string;
}

export interface Flow {
  name: string;
  type: FlowType;
  trigger: Trigger;
  /** An account's name, `record-owner` or `auto`. */
  from: string;
  content: FlowContent;
  /** Nobody gets it twice within such a time; null without this limit. */
  oncePerMs: number | null;
  quietHours: QuietHours | null;
  /** What becomes of a message in quiet hours: it is not sent, or it waits for their end. */
  inQuietHours: 'skip' | 'wait';
  /** How long after what it answers, or after the call, a message may still be sent. */
  expiryMs: number;
}

/** What holds for everything that is sent by itself. */
export interface AutomationSettings {
  /** Says that a message is automatic, by language; null where nothing asks for it. */
  disclosure: Readonly<Record<string, string>> | null;
  /** It is said again after so long a time without an automatic message to the person. */
  discloseAgainMs: number;
  /** Nobody gets more automatic messages from one account within such a time: two programs might answer each other for ever. */
  guard: { most: number; withinMs: number };
}

const DAY_MS = 86_400_000;

export const DEFAULT_AUTOMATION: AutomationSettings = {
  disclosure: null,
  discloseAgainMs: DAY_MS,
  guard: { most: 10, withinMs: 3_600_000 },
};

/** An answer that comes late answers nothing; what another program asks for may wait for the morning. */
export const DEFAULT_LIMITS: Readonly<Record<FlowType, Pick<Flow, 'inQuietHours' | 'expiryMs'>>> = {
  'auto-reply': { inQuietHours: 'skip', expiryMs: 10 * 60_000 },
  automation: { inQuietHours: 'wait', expiryMs: DAY_MS },
  notification: { inQuietHours: 'wait', expiryMs: DAY_MS },
};

/** What a flow is checked against. */
export interface FlowSurroundings {
  accounts: readonly { name: string; channel: Channel }[];
  /** Record owner → the name of their SMS account. */
  owners: ReadonlyMap<string, string>;
  /** All that can be used. */
  templates: readonly Template[];
  /** Names of templates whose files are broken. */
  broken: readonly string[];
  optOut: OptOutSettings;
  automation: AutomationSettings;
}

/** What is wrong with a flow. With an error it is never run; a warning is only told. */
export interface FlowFault {
  severity: 'error' | 'warning';
  /** The part of the flow, as its file names it: `trigger`, `from`, `text`, `template`, `language`, `values`, `limits`. */
  part: string;
  /** The row of the vendors' pages that refuses it; null where it is none of them. */
  row: RuleRow | null;
  /** A sentence. */
  reason: string;
  /** What to do instead, as a sentence. */
  instead: string;
}

/** Everything that is wrong with a flow before it has run. */
export function checkFlow(flow: Flow, known: FlowSurroundings): FlowFault[] {
  const channels = channelsOf(flow, known);
  const faults = [
    ...senderFaults(flow, known),
    ...triggerFaults(flow, channels, known),
    ...(flow.content.kind === 'free-text'
      ? freeTextFaults(flow, flow.content, channels, known)
      : templateFaults(flow, flow.content, channels, known)),
    ...quietFaults(flow),
  ];
  // Several channels and languages have much to say alike.
  const told = new Map(faults.map((fault) => [`${fault.part} ${fault.reason}`, fault]));
  return [...told.values()];
}

function error(part: string, reason: string, instead: string, row: RuleRow | null = null): FlowFault {
  return { severity: 'error', part, row, reason, instead };
}

function warning(part: string, reason: string, instead: string): FlowFault {
  return { severity: 'warning', part, row: null, reason, instead };
}

/** Those on which a flow may have to send. */
function channelsOf({ from }: Flow, { accounts }: FlowSurroundings): Channel[] {
  if (from === 'record-owner') return ['sms'];
  const senders = accounts.filter(({ name }) => from === 'auto' || from === name);
  return CHANNELS.filter((channel) => senders.some((account) => account.channel === channel));
}

function senderFaults({ from }: Flow, { accounts, owners }: FlowSurroundings): FlowFault[] {
  if (from === 'auto') return [];
  if (from === 'record-owner') {
    if (owners.size > 0) return [];
    return [error('from', 'There are no record owners.', 'Name them in pagecast.yaml: owners: { alice: alice-sms }')];
  }
  if (accounts.some(({ name }) => name === from)) return [];
  const names = accounts.map(({ name }) => name).join(', ');
  return [error('from', `There is no account "${from}".`, `There is: ${names}; or take record-owner or auto.`)];
}

function triggerFaults(flow: Flow, channels: readonly Channel[], known: FlowSurroundings): FlowFault[] {
  const { type, trigger, from, content } = flow;
  const faults: FlowFault[] = [];
  if (trigger.on === 'call' && type === 'auto-reply') {
    const reason = 'An auto-reply answers what somebody did, so another program cannot ask for it.';
    const instead = 'Have it wait for a keyword, firstMessage, payload or opener, or make it a notification.';
    faults.push(error('trigger', reason, instead, 'V4'));
  }
  if (trigger.on === 'call' && from === 'auto') {
    const reason = 'The sender "auto" answers on the channel on which a keyword came in, and a call comes in on none.';
    faults.push(error('trigger', reason, 'Choose an account, or have the flow wait for what people do.', 'V5'));
  }
  const isTextOnly = channels.length > 0 && channels.every((channel) => channel === 'sms');
  const isNeverSeen = trigger.on === 'payload' || (trigger.on === 'opener' && !trigger.openers.includes('message'));
  if (isTextOnly && isNeverSeen) {
    const reason = 'By SMS people only write: there are no buttons, reactions or comments.';
    faults.push(warning('trigger', reason, 'Have the flow wait for a keyword.'));
  }
  if (trigger.on === 'keyword') faults.push(...keywordFaults(trigger.words, content, known));
  return faults;
}

/** Words by which people opt out, or back in, are no flow's. */
function keywordFaults(
  words: readonly string[],
  content: FlowContent,
  { optOut, templates }: FlowSurroundings,
): FlowFault[] {
  const own = flowTemplates(content, templates).map(({ language }) => language);
  const all = Object.keys({ ...optOut.out, ...optOut.in });
  return words.flatMap((word) => {
    const inOwn = optOutWord(word, optOut, own);
    const meaning = inOwn ?? optOutWord(word, optOut, all);
    if (meaning === null) return [];
    const says = `By "${word}" people opt ${meaning.out ? 'out' : 'back in'}`;
    const instead = 'Choose another word, or take it out of optOut in pagecast.yaml.';
    if (inOwn !== null) return [error('trigger', `${says}, so no flow answers it.`, instead)];
    return [warning('trigger', `${says} in ${meaning.language}, so flows do not always answer it.`, instead)];
  });
}

/** What the vendors' rows say of a content on each channel. */
function ruleFaults(
  flow: Flow,
  part: string,
  { content, tagged }: Pick<Situation, 'content' | 'tagged'>,
  channels: readonly Channel[],
): FlowFault[] {
  const { type: mode, from, expiryMs } = flow;
  const sender = from === 'auto' || from === 'record-owner' ? from : 'account';
  return channels.flatMap((channel) => {
    const situation = { mode, sender, channel, content, tagged } as const;
    const verdict = judge({ ...situation, inside: true });
    if (!verdict.allowed) return [error(part, verdict.reason, verdict.instead, verdict.row)];
    const late = judge({ ...situation, inside: false });
    if (late.allowed || expiryMs <= DAY_MS) return [];
    const instead = `Have it expire within 24 hours (limits: expires). ${late.instead}`;
    return [error('limits', late.reason, instead, late.row)];
  });
}

function freeTextFaults(
  flow: Flow,
  { text }: Extract<FlowContent, { kind: 'free-text' }>,
  channels: readonly Channel[],
  { automation }: FlowSurroundings,
): FlowFault[] {
  const faults = ruleFaults(flow, 'text', { content: 'free-text', tagged: [] }, channels);
  if (parseText(text).some((piece) => 'variable' in piece)) {
    const reason = 'Free text has no variables: what stands in braces would be sent as it is.';
    faults.push(error('text', reason, 'Use a template.'));
  }
  for (const channel of channels) {
    const template = freeTextTemplate(channel);
    faults.push(...lengthFaults('text', 'The text', template, [text], channel));
    faults.push(...disclosureFaults('text', template, [text], channel, automation));
  }
  return faults;
}

function templateFaults(
  flow: Flow,
  content: Extract<FlowContent, { kind: 'template' }>,
  channels: readonly Channel[],
  known: FlowSurroundings,
): FlowFault[] {
  const candidates = flowTemplates(content, known.templates);
  if (candidates.length === 0) return [absence(content, known)];
  return candidates.flatMap((template) => {
    const { kind, channels: tagged } = template;
    const faults = [
      ...ruleFaults(flow, 'template', { content: kind, tagged }, channels),
      ...channels.flatMap((channel) => blockFaults(flow, template, channel)),
    ];
    if (faults.length === 0 && checkTemplate(template).some(isError)) {
      const instead = `pagecast template check ${template.name} tells them.`;
      faults.push(error('template', `${called(template)} has faults.`, instead));
    }
    return [...faults, ...valueFaults(flow, content, template, channels, known)];
  });
}

/** How a template is named to people. */
function called({ name, language }: Template): string {
  return `The template "${name}" (${language})`;
}

function absence({ name, language }: Extract<FlowContent, { kind: 'template' }>, known: FlowSurroundings): FlowFault {
  if (known.broken.includes(name)) {
    const instead = `pagecast template check ${name} tells what is wrong with it.`;
    return error('template', `A file of the template "${name}" cannot be read.`, instead);
  }
  const languages = known.templates.filter((one) => one.name === name).map((one) => one.language);
  if (language !== null && languages.length > 0) {
    const reason = `The template "${name}" does not exist in ${language}.`;
    return error('language', reason, `It exists in ${languages.join(', ')}.`);
  }
  return error('template', `There is no template "${name}".`, 'pagecast template list shows those that there are.');
}

function blockFaults({ type }: Flow, template: Template, channel: Channel): FlowFault[] {
  const block = templateBlock(template, channel);
  // A template of another channel is a matter of the rows.
  if (block === null || block.code === 'CHANNEL') return [];
  const isAsked = block.code === 'NOT_APPROVED' && type !== 'auto-reply';
  return [error('template', block.reason, block.instead, isAsked ? 'V4' : null)];
}

function valueFaults(
  { trigger }: Flow,
  content: Extract<FlowContent, { kind: 'template' }>,
  template: Template,
  channels: readonly Channel[],
  { automation }: FlowSurroundings,
): FlowFault[] {
  const variables = usedVariables(template);
  const given = new Map(Object.entries(content.values));
  const names = variables.map(({ name }) => name);
  const faults: FlowFault[] = [];
  for (const name of given.keys()) {
    if (names.includes(name)) continue;
    const instead = names.length === 0 ? 'It has none.' : `It has: ${names.join(', ')}.`;
    faults.push(error('values', `${called(template)} has no variable "${name}".`, instead));
  }
  const missing = names.filter((name) => !given.has(name));
  if (missing.length > 0 && trigger.on !== 'call') {
    const reason = `${called(template)} needs ${missing.join(', ')}, and what people do gives no values.`;
    faults.push(error('values', reason, 'Give them under values, or have the flow wait for a call, which gives them.'));
  }
  for (const { name, maxLength } of variables) {
    const length = given.get(name)?.length ?? 0;
    if (maxLength === undefined || length <= maxLength) continue;
    const reason = `The value of "${name}" has ${length} characters, and ${called(template).toLowerCase()} takes ${maxLength}.`;
    faults.push(error('values', reason, 'Shorten it.'));
  }
  if (faults.length > 0) return faults;
  const values = variables.map(({ name, example }) => given.get(name) ?? example);
  return channels.flatMap((channel) => [
    ...lengthFaults('values', called(template), template, values, channel),
    ...disclosureFaults('template', template, values, channel, automation),
  ]);
}

/** What a channel, or the web, does not take of a message with these values. */
function lengthFaults(
  part: string,
  subject: string,
  template: Template,
  values: readonly string[],
  channel: Channel,
): FlowFault[] {
  const message = compileTemplate(template).render(values);
  return [
    ...exceededLimits(message, channel)
      // Parts that the channel does not have at all are the template's own faults.
      .filter(({ max }) => max > 0)
      .map(({ part: where, length, max, unit }) =>
        error(part, `${subject} has a ${where} of ${length} ${unit} on ${channel}, which takes ${max}.`, 'Shorten it.'),
      ),
    ...badLinks(message).map(({ part: where }) =>
      error(part, `${subject} has no web address that can be sent at ${where}.`, 'It begins with https://.'),
    ),
  ];
}

function disclosureFaults(
  part: string,
  template: Template,
  values: readonly string[],
  channel: Channel,
  { disclosure }: AutomationSettings,
): FlowFault[] {
  const sentence = disclosure === null ? null : inLanguage(disclosure, template.language);
  if (sentence === null || withDisclosure(template, sentence, { channel, values }) !== null) return [];
  const reason = 'The sentence that says that a message is automatic has no place in this one.';
  return [warning(part, reason, 'Say so in the text itself, or use one with a body that is short enough.')];
}

function quietFaults({ trigger, quietHours, inQuietHours, expiryMs }: Flow): FlowFault[] {
  if (quietHours === null || inQuietHours === 'skip' || trigger.on === 'call') return [];
  const minutes = (quietHours.to - quietHours.from + 1440) % 1440;
  if (expiryMs >= minutes * 60_000) return [];
  const reason = 'An answer expires before quiet hours are over, so most of those that wait for it are not sent.';
  return [warning('limits', reason, 'Have it expire later (expires), or skip it (then: skip).')];
}

/** The templates that a flow may send: one, or that of each language where it leaves the language open. */
export function flowTemplates(content: FlowContent, templates: readonly Template[]): Template[] {
  if (content.kind === 'free-text') return [];
  const { name, language } = content;
  return templates.filter((one) => one.name === name && (language === null || one.language === language));
}

/**
 * Whether a flow hears what happens to an account: one that answers from it, because an answer leaves on the account to
 * which the person has written.
 * @param account its name
 * @param owners record owner → the name of their SMS account
 */
export function listensOn({ from }: Flow, account: string, owners: ReadonlyMap<string, string>): boolean {
  if (from === 'record-owner') return [...owners.values()].includes(account);
  return from === 'auto' || from === account;
}

/**
 * Tells of keywords and payloads that another flow, which comes first by its name, answers instead.
 * @param earlier the flows with names before its own
 */
export function rivalFaults(
  flow: Flow,
  earlier: readonly Flow[],
  { accounts, owners }: Pick<FlowSurroundings, 'accounts' | 'owners'>,
): FlowFault[] {
  const waited = waitedFor(flow);
  return earlier.flatMap((other) => {
    const both = other.trigger.on === flow.trigger.on ? waited.filter((one) => waitedFor(other).includes(one)) : [];
    const shared = accounts.find(({ name }) => listensOn(flow, name, owners) && listensOn(other, name, owners));
    if (both.length === 0 || shared === undefined) return [];
    const words = both.map((one) => `"${one}"`).join(', ');
    const reason = `The flow "${other.name}" waits for ${words}, too, and comes first by its name, so it answers on ${shared.name}.`;
    return [warning('trigger', reason, 'Let one flow alone wait for it.')];
  });
}

/** Keywords, as they are compared, or payloads. */
function waitedFor({ trigger }: Flow): string[] {
  if (trigger.on === 'keyword') return trigger.words.map(normalWord);
  return trigger.on === 'payload' ? [...trigger.payloads] : [];
}

/** What a person did, as far as flows are concerned. */
export interface FlowEvent {
  opener: Opener;
  text: string | null;
  payload: string | null;
}

/** The first of these that a flow waits for decides; among flows that wait for the same, the order of their names. */
const PRECEDENCE = ['keyword', 'payload', 'first_message', 'opener'] as const;

/**
 * The one flow that answers what a person did. What is written where everybody can read it is no message to the account.
 * @param flows those that listen on the account (`listensOn`)
 * @param isFirst whether the person has written nothing before
 */
export function flowFor(flows: readonly Flow[], event: FlowEvent, isFirst: boolean): Flow | null {
  const word = isWritten(event.opener) ? normalWord(event.text ?? '') : '';
  const waitsForIt = ({ trigger }: Flow): boolean => {
    if (trigger.on === 'keyword') return isAmong(word, trigger.words);
    if (trigger.on === 'payload') return event.payload !== null && trigger.payloads.includes(event.payload);
    if (trigger.on === 'opener') return trigger.openers.includes(event.opener);
    return trigger.on === 'first_message' && isFirst && isWritten(event.opener);
  };
  const waiting = flows.filter(waitsForIt).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const on of PRECEDENCE) {
    const flow = waiting.find(({ trigger }) => trigger.on === on);
    if (flow) return flow;
  }
  return null;
}

/**
 * A template with the sentence that says that it is automatic, as the last paragraph of its body.
 * @param filled where it goes, and the values of its used variables in their order
 * @returns null where the sentence has no place: a template that a platform keeps, one without a body, or one that is too
 *   long with it
 */
export function withDisclosure(
  template: Template,
  sentence: string,
  { channel, values }: { channel: Channel; values: readonly string[] },
): Template | null {
  if (template.kind === 'registered' || template.cams !== undefined || template.body === undefined) return null;
  const disclosed = { ...template, body: `${template.body}\n\n${sentence}` };
  const message = compileTemplate(disclosed).render(values);
  return exceededLimits(message, channel).length > 0 ? null : disclosed;
}
