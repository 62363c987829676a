/**
 * What a flow says to one person, if it may say anything: the same for one that answers what they did and for one that
 * another program asks for. Flows and templates on disk may have become wrong since they were checked, so every rule is
 * applied again.
 */
import { isError, type Finding } from '../core/finding.js';
import { flowTemplates, withDisclosure, type AutomationSettings, type Flow } from '../core/flow.js';
import { freeTextTemplate } from '../core/free-text.js';
import { inLanguage, type OptOutSettings } from '../core/opt-out.js';
import { paceOf } from '../core/pacing.js';
import { judge, templateBlock, type PolicyBlock, type SenderKind, type Verdict } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import { checkTemplate, usedVariables, type Template } from '../core/template.js';
import { isWritten, windowState, type LastOpener, type WindowSettings } from '../core/window.js';
import type { Account, ContinuousCampaign, NewSingle, Store } from '../ports.js';
import { checkTypedIn } from './check-sheet.js';
import { quietUntil } from './quiet-hours.js';

/** Everything by which messages are sent by themselves: the flows, and what they go by. */
export interface FlowConfiguration {
  accounts: readonly Account[];
  /** Record owner → the name of their account. */
  owners: ReadonlyMap<string, string>;
  /** Those without an error. */
  flows: readonly Flow[];
  templates: readonly Template[];
  window: WindowSettings;
  optOut: OptOutSettings;
  automation: AutomationSettings;
}

export interface FlowMessageRequest {
  flow: Flow;
  account: Account;
  userId: string;
  /** By variable, beside those that the flow itself has. */
  values: Readonly<Record<string, string>>;
  /** As in NewSingle. */
  occasion: string;
  /** What the person did that it answers; null when it answers nothing. */
  event: LastOpener | null;
  /** What last opened the person's window; null when nothing did. */
  last: LastOpener | null;
  now: number;
}

export type FlowMessage =
  /** `isUndisclosed`: the sentence that says that it is automatic is called for, and has no place in it. */
  | { kind: 'message'; single: NewSingle; isUndisclosed: boolean }
  /** What it answers is too long ago. */
  | { kind: 'late' }
  | { kind: 'quiet_hours'; until: number }
  /** The template is not there, or not in the language that the flow names. */
  | { kind: 'no_template' }
  /** Variables without a value, and values without a variable. */
  | { kind: 'values'; template: Template; missing: readonly string[]; unknown: readonly string[] }
  | { kind: 'forbidden'; verdict: Extract<Verdict, { allowed: false }> }
  | { kind: 'blocked'; template: Template; block: PolicyBlock }
  | { kind: 'faulty_template'; template: Template }
  /** The id or the values have faults. */
  | { kind: 'invalid'; findings: Finding[] };

export async function flowMessage(
  { store, configuration }: { store: Store; configuration: FlowConfiguration },
  request: FlowMessageRequest,
): Promise<FlowMessage> {
  const { flow, account, userId, event, now } = request;
  const { automation, window } = configuration;
  const { channel } = account;
  if (event !== null && now >= event.openedAt + flow.expiryMs) return { kind: 'late' };
  const until = flow.quietHours === null ? null : quietUntil(now, flow.quietHours);
  const expiresAt = (event?.openedAt ?? until ?? now) + flow.expiryMs;
  const language = await store.lastLanguage(senderKey(account), userId);
  const text = textOf(request, language, configuration.templates);
  if (text === null) return { kind: 'no_template' };
  const { template, given } = text;
  const variables = usedVariables(template);
  const missing = variables.flatMap(({ name }) => (given.has(name) ? [] : [name]));
  const unknown = Object.keys(request.values).filter((name) => !isCalledFor(name, flow, template));
  if (missing.length + unknown.length > 0) return { kind: 'values', template, missing, unknown };
  const values = variables.map(({ name }) => given.get(name) ?? '');
  const report = await checkTypedIn({ template, channel, ids: [userId], values });
  if (!report.ok) return { kind: 'invalid', findings: report.findings };

  const verdict = judge({
    mode: flow.type,
    sender: senderOf(flow),
    channel,
    content: flow.content.kind === 'free-text' ? 'free-text' : template.kind,
    tagged: flow.content.kind === 'free-text' ? [] : template.channels,
    inside: windowState(request.last, until ?? now, window) === 'open',
  });
  if (!verdict.allowed) return { kind: 'forbidden', verdict };
  const block = templateBlock(template, channel);
  if (block !== null) return { kind: 'blocked', template, block };
  if (checkTemplate(template).some(isError)) return { kind: 'faulty_template', template };

  if (until !== null && (flow.inQuietHours === 'skip' || until >= expiresAt)) return { kind: 'quiet_hours', until };
  const sentence = await disclosure(store, request, template, language, automation);
  const disclosed = sentence === null ? template : withDisclosure(template, sentence, { channel, values });
  const single: NewSingle = {
    campaign: campaignOf(account, flow.type, flow.name, disclosed ?? template, quietRuleOf(flow)),
    userId,
    values,
    occasion: request.occasion,
    answersAt: event !== null && isWritten(event.opener) ? event.openedAt : null,
    notBefore: until,
    expiresAt,
    onceSince: flow.oncePerMs === null ? null : now - flow.oncePerMs,
    guard: { since: now - automation.guard.withinMs, most: automation.guard.most },
  };
  return { kind: 'message', single, isUndisclosed: disclosed === null };
}

/** The continuous campaign that holds a flow's messages, or the confirmations of opt-outs, that leave from an account. */
export function campaignOf(
  account: Account,
  mode: ContinuousCampaign['mode'],
  flow: string,
  template: Template,
  quiet: ContinuousCampaign['quiet'] = null,
): ContinuousCampaign {
  const pace = paceOf(template, account.pace);
  return { account: senderKey(account), accountName: account.name, mode, flow, template, pace, quiet };
}

function quietRuleOf({ quietHours, inQuietHours }: Flow): ContinuousCampaign['quiet'] {
  return quietHours && { hours: quietHours, then: inQuietHours };
}

function senderOf({ from }: Flow): SenderKind {
  return from === 'record-owner' || from === 'auto' ? from : 'account';
}

/** @returns null when there is no such template */
function textOf(
  { flow: { content }, account, values }: FlowMessageRequest,
  language: string | null,
  templates: readonly Template[],
): { template: Template; given: ReadonlyMap<string, string> } | null {
  if (content.kind === 'free-text') {
    return { template: freeTextTemplate(account.channel), given: new Map([['text', content.text]]) };
  }
  const byLanguage = flowTemplates(content, templates).map((template) => [template.language, template] as const);
  const template = inLanguage(Object.fromEntries(byLanguage), language);
  if (template === null) return null;
  return { template, given: new Map([...Object.entries(values), ...Object.entries(content.values)]) };
}

/** Whether a value is the caller's to give: of a variable that the flow itself leaves open. */
function isCalledFor(name: string, { content }: Flow, template: Template): boolean {
  if (content.kind === 'free-text' || Object.hasOwn(content.values, name)) return false;
  return usedVariables(template).some((variable) => variable.name === name);
}

/**
 * What the message has to say of itself; null when nothing asks for it, or it was said a while ago. Messages that are
 * queued together all say it: better twice than not at all.
 */
async function disclosure(
  store: Store,
  { flow, account, userId, now }: FlowMessageRequest,
  template: Template,
  language: string | null,
  { disclosure: sentences, discloseAgainMs }: AutomationSettings,
): Promise<string | null> {
  if (sentences === null) return null;
  const lastAt = await store.lastAutomatic(senderKey(account), userId);
  if (lastAt !== null && now - lastAt < discloseAgainMs) return null;
  return inLanguage(sentences, flow.content.kind === 'template' ? template.language : language);
}
