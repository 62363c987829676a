/**
 * What somebody who answers people by hand has before them: who did something last, what was said, and what may be answered
 * (row V1). Nothing that people wrote is kept.
 */
import { campaignContent, type CampaignContent } from '../core/campaign-content.js';
import type { DeliveryError, RowState } from '../core/delivery.js';
import { judge, templateBlock } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import type { Message, Template } from '../core/template.js';
import { closesAt, windowState, type LastOpener, type WindowSettings, type WindowState } from '../core/window.js';
import type { Account, Clock, Provider, Store } from '../ports.js';
import { conversationTurn } from './conversation-calls.js';
import { judgeOne } from './send-one.js';

/** A person who did something, and how they stand now. */
export interface Conversation {
  userId: string;
  /** What they did last of all that counts. */
  last: LastOpener;
  /** Null by SMS, which knows no window. */
  window: { state: WindowState; closesAt: number } | null;
  /** Since when they wish to get no messages; null when they do not say so. */
  optedOutAt: number | null;
  /** Whether they may be answered: not when they opted out and have not written since. */
  isAnswerable: boolean;
}

interface InboxWorld {
  store: Store;
  clock: Clock;
}

/** Those who did something last, the latest first. */
export async function recentConversations(
  { store, clock }: InboxWorld,
  account: Account,
  window: WindowSettings,
  limit: number,
): Promise<Conversation[]> {
  const people = await store.recentPeople(senderKey(account), window, limit);
  return standingNow(
    { store, clock },
    account,
    window,
    people.map(({ userId }) => userId),
  );
}

/** How these people stand now; those of whom nothing is known are left out. */
export async function standingNow(
  { store, clock }: InboxWorld,
  account: Account,
  window: WindowSettings,
  userIds: readonly string[],
): Promise<Conversation[]> {
  const standings = await store.standings(senderKey(account), userIds, window);
  const now = clock.now();
  const conversations: Conversation[] = [];
  for (const [index, userId] of userIds.entries()) {
    const { last, optedOutAt } = standings[index] ?? { last: null, optedOutAt: null };
    if (last === null) continue;
    const shuts = { state: windowState(last, now, window), closesAt: closesAt(last.openedAt, window) };
    const message = { account, sender: 'account', userId, content: ANY_TEXT, window } as const;
    conversations.push({
      userId,
      last,
      window: account.channel === 'sms' ? null : shuts,
      optedOutAt,
      isAnswerable: optedOutAt === null || !(await judgeOne({ store, clock }, message)).optedOut,
    });
  }
  return conversations;
}

const ANY_TEXT = { kind: 'free-text', text: '' } as const;

// ---------------------------------------------------------------------------------------------------- what was said

export interface ShownLine {
  /** Milliseconds since 1970, UTC. */
  at: number;
  fromAccount: boolean;
  /** Empty for a message without text; null where nothing of it is shown. Foreign text. */
  text: string | null;
  /** What became of it, where only the ledger knows of it. */
  state: RowState | null;
}

export interface ConversationView {
  /** `ledger`: only what was sent from here, because nobody shows the other side. */
  source: 'platform' | 'ledger';
  /** Oldest first. */
  lines: ShownLine[];
  /** Why the platform did not show it; null where it did, or cannot. */
  error: DeliveryError | null;
}

/** So many messages are shown at most, the newest. */
const MOST_LINES = 20;

/**
 * Reads what the platform shows of a conversation, or else what the ledger has of it.
 * @param since milliseconds since 1970; the platform may show some from before
 */
export async function readConversation(
  { store, clock, provider }: InboxWorld & { provider: Provider },
  account: Account,
  userId: string,
  since: number,
): Promise<ConversationView> {
  let error: DeliveryError | null = null;
  if (provider.capabilities.lookup && provider.conversation) {
    const shown = await provider.conversation(userId, since, () => conversationTurn(clock));
    if (shown.kind === 'read') {
      // Their times may be cut to whole seconds, and platforms show the newest first: an answer must not stand above its question.
      const oldestFirst = [...shown.messages].reverse();
      const lines = oldestFirst.map(({ at, fromAccount, text }) => ({ at, fromAccount, text, state: null }));
      return { source: 'platform', lines: newest(lines), error };
    }
    ({ error } = shown);
  }
  return { source: 'ledger', lines: await ownMessages(store, account, userId), error };
}

const TRIED: readonly RowState[] = ['started', 'sent', 'failed', 'unknown'];

/** What this account has sent to a person from here. */
async function ownMessages(store: Store, account: Account, userId: string): Promise<ShownLine[]> {
  const contents = new Map<string, CampaignContent | null>();
  const contentOf = async (id: string): Promise<CampaignContent | null> => {
    const campaign = await store.campaign(id);
    return campaign?.account === senderKey(account) ? campaignContent(campaign) : null;
  };
  let lines: ShownLine[] = [];
  for await (const rows of store.messages({ userId })) {
    for (const { campaign, state, values, outside, startedAt, settledAt } of rows) {
      const at = settledAt ?? startedAt;
      if (at === null || !TRIED.includes(state)) continue;
      const content = contents.has(campaign) ? contents.get(campaign) : await contentOf(campaign);
      contents.set(campaign, content ?? null);
      if (content) lines.push({ at, fromAccount: true, text: textOf(content.render(values, outside)), state });
    }
    lines = newest(lines);
  }
  return lines;
}

function newest(lines: readonly ShownLine[]): ShownLine[] {
  return [...lines].sort((one, other) => one.at - other.at).slice(-MOST_LINES);
}

function textOf({ text, media, cards }: Message): string {
  return text ?? media?.url ?? (cards ?? []).map(({ title }) => title).join('\n');
}

// ---------------------------------------------------------------------------------------------------- what may be answered

/** Why something cannot be sent to somebody now, in a sentence. */
export interface Impossible {
  reason: string;
  instead: string;
}

export interface Answers {
  /** Null when it may be sent. */
  freeText: Impossible | null;
  templates: Template[];
  impossible: (Impossible & { template: Template })[];
}

/** What a person may be answered with now. */
export function answersFor(
  { channel }: Account,
  { registeredTemplates }: Provider['capabilities'],
  templates: readonly Template[],
  { window }: Pick<Conversation, 'window'>,
): Answers {
  const inside = window?.state === 'open';
  const situation = { mode: 'interactive', sender: 'account', channel, inside } as const;
  const refusal = (template: Template): Impossible | null => {
    const verdict = judge({ ...situation, content: template.kind, tagged: template.channels });
    if (!verdict.allowed) return verdict;
    if (template.kind === 'registered' && !registeredTemplates) {
      return { reason: 'This account cannot send registered templates.', instead: 'Use a session template.' };
    }
    return templateBlock(template, channel);
  };
  const answers: Answers = { freeText: null, templates: [], impossible: [] };
  const freeText = judge({ ...situation, content: 'free-text', tagged: [] });
  if (!freeText.allowed) answers.freeText = freeText;
  for (const template of templates) {
    const refused = refusal(template);
    if (refused === null) answers.templates.push(template);
    else answers.impossible.push({ template, reason: refused.reason, instead: refused.instead });
  }
  return answers;
}
