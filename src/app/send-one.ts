/**
 * One message that a person writes to one other (row V1 of the vendors' pages). It is a campaign of one row, so the ledger
 * knows of it and an answer that is lost makes it `unknown`; but nobody goes on with it later: what could not be sent now is
 * cancelled.
 */
import { DEFAULT_BUDGET, hasEnded, type DeliveryError, type RowState, type StopCause } from '../core/delivery.js';
import type { Finding } from '../core/finding.js';
import type { SkipReason } from '../core/plan.js';
import { judge, type SenderKind, type Verdict } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import type { Template } from '../core/template.js';
import { windowState, type LastOpener, type WindowSettings, type WindowState } from '../core/window.js';
import type { Account, Campaign, Clock, Engine, Provider, Random, Sheets, Store } from '../ports.js';
import { approvePlan } from './approve.js';
import { planCampaign } from './plan.js';
import { runCampaign, type Progress } from './run.js';

export type Content =
  | { kind: 'free-text'; text: string }
  /** Values by variable. */
  | { kind: 'template'; template: Template; values: Readonly<Record<string, string>> };

export interface SingleMessage {
  account: Account;
  sender: Exclude<SenderKind, 'auto'>;
  userId: string;
  content: Content;
  window: WindowSettings;
}

/** What is known of a person before anything is sent to them. */
export interface Prospect {
  verdict: Verdict;
  window: WindowState;
  last: LastOpener | null;
  optedOut: boolean;
}

/** Says what the rules say; nothing is sent. */
export async function judgeOne(
  { store, clock }: { store: Store; clock: Clock },
  { account, sender, userId, content, window }: SingleMessage,
): Promise<Prospect> {
  const [standing] = await store.standings(senderKey(account), [userId], window);
  const { last, optedOut } = standing ?? { last: null, optedOut: false };
  const state = windowState(last, clock.now(), window);
  const verdict = judge({
    mode: 'interactive',
    sender,
    channel: account.channel,
    content: content.kind === 'free-text' ? 'free-text' : content.template.kind,
    tagged: content.kind === 'free-text' ? [] : content.template.channels,
    inside: state === 'open',
  });
  return { verdict, window: state, last, optedOut };
}

export type SingleResult =
  /** The id or the values have faults. */
  | { kind: 'invalid'; findings: Finding[] }
  /** Between the look and the sending the window has closed, or the person has opted out. */
  | { kind: 'left_out'; reason: SkipReason }
  | {
      kind: 'tried';
      campaign: string;
      state: Extract<RowState, 'sent' | 'failed' | 'unknown' | 'skipped'>;
      messageId: string | null;
      error: DeliveryError | null;
      /** What stood in the way of sending anything for the account. */
      stop: StopCause | null;
    };

/**
 * @param message one that `judgeOne` allows, or one whose id is none of the channel's
 * @throws Failure ACCOUNT_BUSY, POLICY_FORBIDS, VARIABLE_UNKNOWN, STORE_…; nothing was sent then
 */
export async function sendOne(
  world: { store: Store; engine: Engine; provider: Provider; sheets: Sheets; clock: Clock; random: Random },
  { account, userId, content, window }: SingleMessage,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<SingleResult> {
  const { store } = world;
  const { template, values } = content.kind === 'template' ? content : freeText(content.text, account);
  const plan = await planCampaign(world, {
    account,
    template,
    outside: null,
    mode: 'interactive',
    source: { kind: 'ids', ids: [userId], values },
    window,
    pace: account.pace,
    skipInvalid: false,
    timing: null,
  });
  const { campaign } = plan;
  if (campaign === null) return { kind: 'invalid', findings: plan.findings };
  if (plan.send === 0) {
    await store.discard(campaign);
    return { kind: 'left_out', reason: plan.skip.opted_out > 0 ? 'opted_out' : 'window_closed' };
  }
  // One message to one person is no bulk message: its sender has them before their eyes.
  const consent = { policyAccepted: true, confirmedCount: 1 };
  await approvePlan(world, account, { ...plan, campaign }, consent, { again: true, budget: DEFAULT_BUDGET });
  let stop: Campaign['stop'];
  try {
    stop = (await runCampaign(world, { campaign, window, budget: DEFAULT_BUDGET, signal, onProgress })).campaign.stop;
  } finally {
    await cancelUnlessEnded(world, campaign);
  }
  for await (const [row] of store.messages({ campaign })) {
    if (row === undefined || row.state === 'queued' || row.state === 'started') break;
    const { state, reason, messageId, error } = row;
    if (state === 'skipped' && reason !== null && reason !== 'cancelled') return { kind: 'left_out', reason };
    return { kind: 'tried', campaign, state, messageId, error: stop?.error ?? error, stop: stop?.cause ?? null };
  }
  throw new Error(`Campaign ${campaign} has no row that is settled`);
}

async function cancelUnlessEnded({ store, clock }: { store: Store; clock: Clock }, id: string): Promise<void> {
  const campaign = await store.campaign(id);
  if (campaign && !hasEnded(campaign.state)) await store.cancel(id, clock.now());
}

/** A template whose only variable is the whole text, so that braces in it stay what they are. */
function freeText(text: string, { channel }: Account): { template: Template; values: Record<string, string> } {
  const template: Template = {
    name: 'free_text',
    language: 'und',
    channels: [channel],
    kind: 'session',
    body: '{{text}}',
    buttons: [],
    quickReplies: [],
    variables: [{ name: 'text', example: 'Hello' }],
  };
  return { template, values: { text } };
}
