/**
 * One message that a person writes to one other (row V1 of the vendors' pages). It is queued as a single message, so the
 * ledger knows of it and an answer that is lost makes it `unknown`. Whoever has the account sends it: a run that is under
 * way, or else this process. Nobody goes on with it later: what could not be sent soon is withdrawn.
 */
import type { DeliveryError, RowState, StopCause } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { Finding } from '../core/finding.js';
import { freeTextTemplate } from '../core/free-text.js';
import type { RowMark } from '../core/metadata.js';
import { paceOf } from '../core/pacing.js';
import type { SkipReason } from '../core/plan.js';
import { judge, type SenderKind, type Verdict } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import { isUnwanted } from '../core/single.js';
import type { Template } from '../core/template.js';
import { isWritten, windowState, type LastOpener, type WindowSettings, type WindowState } from '../core/window.js';
import type { Account, Campaign, Clock, MessageRow, Store } from '../ports.js';
import { restCause } from './outcomes.js';
import { checkIds, requireUsable } from './plan.js';
import { registeredRefusal } from './registered-status.js';
import type { RunWorld } from './run.js';
import { sendSingles } from './send-singles.js';

/** Whoever writes to somebody waits for it no longer, and may write it again. */
const EXPIRY_MS = 60_000;
const LOOK_EVERY_MS = 100;

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
  /** They have asked not to be written to, and have not written since. */
  optedOut: boolean;
}

/** Says what the rules say; nothing is sent. */
export async function judgeOne(
  { store, clock }: { store: Store; clock: Clock },
  { account, sender, userId, content, window }: SingleMessage,
): Promise<Prospect> {
  const [standing = { last: null, optedOutAt: null }] = await store.standings(senderKey(account), [userId], window);
  const answersAt = await lastWrittenAt(store, account, userId);
  const state = windowState(standing.last, clock.now(), window);
  const verdict = judge({
    mode: 'interactive',
    sender,
    channel: account.channel,
    content: content.kind === 'free-text' ? 'free-text' : content.template.kind,
    tagged: content.kind === 'free-text' ? [] : content.template.channels,
    inside: state === 'open',
  });
  const optedOut = isUnwanted({ mode: 'interactive', flow: null, answersAt }, standing);
  return { verdict, window: state, last: standing.last, optedOut };
}

/** When the person last wrote, which is what a message to them answers; null when they are not known to have. */
async function lastWrittenAt(store: Store, account: Account, userId: string): Promise<number | null> {
  const openers = await store.openersOf(senderKey(account), userId);
  const times = openers.filter(({ opener }) => isWritten(opener)).map(({ openedAt }) => openedAt);
  return times.length === 0 ? null : Math.max(...times);
}

export type SingleResult =
  /** The id or the values have faults. */
  | { kind: 'invalid'; findings: Finding[] }
  /** Between the look and the sending the window has closed, or the person has opted out. */
  | { kind: 'left_out'; reason: SkipReason }
  | {
      kind: 'tried';
      /** Null when it was not even queued. */
      campaign: string | null;
      state: Extract<RowState, 'sent' | 'failed' | 'unknown' | 'skipped'>;
      messageId: string | null;
      error: DeliveryError | null;
      /** What stood in the way of sending anything for the account. */
      stop: StopCause | null;
    };

/**
 * @param message one that `judgeOne` allows, or one whose id is none of the channel's
 * @param signal aborted: it is withdrawn unless it is under way
 * @throws Failure ACCOUNT_BUSY, POLICY_FORBIDS, PROVIDER_UNAVAILABLE, VARIABLE_UNKNOWN, STORE_…; nothing was sent then
 */
export async function sendOne(
  world: RunWorld,
  { account, userId, content, window }: SingleMessage,
  signal: AbortSignal,
): Promise<SingleResult> {
  const { store, provider, clock, random } = world;
  const { template, values } =
    content.kind === 'template'
      ? content
      : { template: freeTextTemplate(account.channel), values: { text: content.text } };
  requireUsable(template, account);
  if (template.kind === 'registered' && !provider.capabilities.registeredTemplates) {
    throw new Failure('PROVIDER_UNAVAILABLE', `${account.name} cannot send registered templates.`);
  }
  const recipients: { userId: string; values: readonly string[] }[] = [];
  const onRows: Parameters<typeof checkIds>[0]['onRows'] = (rows) => {
    for (const row of rows) if (row.kind === 'recipient') recipients.push(row.recipient);
    return Promise.resolve();
  };
  const report = await checkIds({ template, channel: account.channel, onRows }, { ids: [userId], values });
  const [recipient] = recipients;
  if (!report.ok || recipient === undefined) return { kind: 'invalid', findings: report.findings };
  const refusal = await registeredRefusal(provider, [template]);
  if (refusal !== null) return notSent(null, refusal, 'content');

  const now = clock.now();
  const [queued] = await store.queueSingles(
    [
      {
        campaign: {
          account: senderKey(account),
          accountName: account.name,
          mode: 'interactive',
          flow: null,
          template,
          pace: paceOf(template, account.pace),
          quiet: null,
        },
        userId: recipient.userId,
        values: recipient.values,
        occasion: `by hand ${now.toString(36)} ${random.next().toString(36).slice(2)}`,
        answersAt: await lastWrittenAt(store, account, recipient.userId),
        notBefore: null,
        expiresAt: now + EXPIRY_MS,
        onceSince: null,
        guard: null,
      },
    ],
    now,
  );
  if (queued?.kind !== 'queued') throw new Error('A message with an occasion of its own was not queued');
  const row = { campaign: queued.campaign, seq: queued.seq };
  try {
    const stop = await haveSent({ ...world, window }, account, row, signal);
    return await result({ ...world, window }, account, row, stop, signal);
  } catch (error) {
    await store.withdrawSingle(row, clock.now()).catch(() => undefined);
    throw error;
  }
}

type Stop = NonNullable<Campaign['stop']>;

/**
 * Sees to it that a queued message is sent, by whoever has the account.
 * @returns what stands in the way, as soon as that is known; null when the row is settled, or it is too late
 */
async function haveSent(
  world: RunWorld & { window: WindowSettings },
  account: Account,
  mark: RowMark,
  signal: AbortSignal,
): Promise<Stop | null> {
  const { store, clock } = world;
  const key = senderKey(account);
  const over = new AbortController();
  const end = AbortSignal.any([signal, over.signal]);
  const deadline = clock.monotonic() + EXPIRY_MS;
  // Beside the sending, which goes on to the messages of others.
  const watch = async (): Promise<void> => {
    while (!end.aborted && clock.monotonic() < deadline && !isSettled(await store.message(mark))) {
      await clock.sleep(LOOK_EVERY_MS, end);
    }
  };
  // A store that fails makes whoever reads it next fail, which tells of it.
  const watching = watch()
    .catch(() => undefined)
    .finally(() => over.abort());
  try {
    while (!end.aborted) {
      const dueAt = await store.singlesDueAt(key);
      // When nothing is queued, it is under way: if whoever is at it has died, taking the account settles it as unknown.
      const sending = dueAt === null || dueAt <= clock.now() ? await sendSingles(world, key, end) : null;
      if (sending?.kind === 'done' && sending.stop !== null && !signal.aborted) return sending.stop;
      await clock.sleep(LOOK_EVERY_MS, end);
    }
    return null;
  } finally {
    over.abort();
    await watching;
  }
}

/** What became of the row, which is withdrawn if it still waits. @throws Failure ACCOUNT_BUSY when nobody could send it */
async function result(
  world: RunWorld & { window: WindowSettings },
  account: Account,
  mark: RowMark,
  stop: Stop | null,
  signal: AbortSignal,
): Promise<SingleResult> {
  const { store, clock } = world;
  for (;;) {
    const row = await store.message(mark);
    if (row === null) throw new Error(`There is no row ${mark.seq} in campaign ${mark.campaign}`);
    const { campaign, state, reason, messageId, error } = row;
    if (state === 'sent' || state === 'failed' || state === 'unknown') {
      return { kind: 'tried', campaign, state, messageId, error, stop: null };
    }
    if (state === 'skipped' && reason !== null && reason !== 'cancelled' && reason !== 'expired') {
      return { kind: 'left_out', reason };
    }
    if (state === 'skipped' || (state === 'queued' && (await store.withdrawSingle(mark, clock.now())))) {
      if (stop !== null) return notSent(campaign, stop.error, stop.cause);
      if (signal.aborted) return notSent(campaign, error, null);
      // It was tried, and still waits for a rest to end.
      if (error !== null) return notSent(campaign, error, restCause(error));
      throw new Failure(
        'ACCOUNT_BUSY',
        `Another process had the account ${account.name} for too long; nothing was sent.`,
        'Wait until it is done, then run the command again.',
      );
    }
    // It is under way, as above.
    await sendSingles(world, senderKey(account), AbortSignal.abort());
    await clock.sleep(LOOK_EVERY_MS);
  }
}

function notSent(campaign: string | null, error: DeliveryError | null, stop: StopCause | null): SingleResult {
  return { kind: 'tried', campaign, state: 'skipped', messageId: null, error, stop };
}

function isSettled(row: MessageRow | null): boolean {
  return row !== null && row.state !== 'queued' && row.state !== 'started';
}
