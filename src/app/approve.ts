/** Turns a plan into a campaign that may be sent: somebody has accepted the policy and confirmed how many people get it. */
import type { FailureBudget } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { BULK_POLICY, RESEND_AFTER_MS } from '../core/policy.js';
import { OWN_START_MS } from '../core/schedule.js';
import { senderKey } from '../core/sender.js';
import type { Account, Campaign, Clock, Engine, Occurrence, Refusal, Store } from '../ports.js';
import type { Plan } from './plan.js';

export interface Consent {
  policyAccepted: boolean;
  /** The number of people that the sender expects to write to. */
  confirmedCount: number;
}

/** The campaign in which an account has sent, or is about to send, the same to the same people; null when there is none. */
export function sentBefore(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  digest: string,
): Promise<Campaign | null> {
  return store.sentBefore(senderKey(account), digest, clock.now() - RESEND_AFTER_MS);
}

/**
 * Says early, before anybody is asked anything, what `approvePlan` would say in the end.
 * @throws Failure ALREADY_SENT
 */
export async function refuseIfSentBefore(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  digest: string,
  key?: string,
): Promise<void> {
  const before = await sentBefore({ store, clock }, account, digest);
  // One with the same key, made by another job a moment ago, is to be gone on with.
  if (before && (key === undefined || before.key !== key)) throw alreadySent(before);
}

export interface Terms {
  /** Whether the same content may go out a second time within 24 hours. */
  again: boolean;
  /** When a run of it stops for safety. */
  budget: FailureBudget;
  /** Under which no other campaign can be made: whoever comes with it again goes on with this one. */
  key?: string;
  occurrence?: Occurrence;
}

/**
 * @param plan one whose `campaign` is staged; thrown away when it is not approved
 * @returns the campaign's id: the plan's, or that of the one that was made before with the same key or for the same occurrence
 * @throws Failure NOBODY_TO_SEND_TO, POLICY_NOT_ACCEPTED, COUNT_DIFFERS, ALREADY_SENT, KEY_USED
 */
export async function approvePlan(
  { store, engine, clock }: { store: Store; engine: Engine; clock: Clock },
  account: Account,
  plan: Pick<Plan, 'rows' | 'send' | 'skip' | 'digest' | 'timing' | 'template' | 'language' | 'sheet'> & {
    campaign: string;
  },
  consent: Consent,
  terms: Terms,
): Promise<string> {
  const { campaign, digest, timing } = plan;
  let refusal: Refusal | null;
  const now = clock.now();
  try {
    requireConsent(countToConfirm(plan), consent, timing !== null);
    refusal = await store.approve(campaign, { ...terms, digest, policy: BULK_POLICY.version, now });
  } catch (error) {
    await store.discard(campaign);
    throw error;
  }
  if (refusal === null) {
    // If the process dies before it has sent, a worker finds the campaign. One that is there looks for open campaigns now and
    // then as well, so the campaign stands even where this fails.
    const at = timing?.sendAt ?? now + OWN_START_MS;
    await engine.wake(senderKey(account), at).catch(() => undefined);
    return campaign;
  }
  await store.discard(campaign);
  if (refusal.because === 'sent_before') throw alreadySent(refusal.campaign);
  if (refusal.because === 'key') requireSameContent(refusal.campaign, account, plan);
  return refusal.campaign.id;
}

/**
 * Keeps the rows of a plan that may go to nobody, so that the ledger has every row of the sheet. Nobody has to confirm it,
 * and its campaign finishes as soon as it is run.
 */
export async function keepLeftOut(
  { store, clock }: { store: Store; clock: Clock },
  { campaign, digest }: { campaign: string; digest: string },
  budget: FailureBudget,
): Promise<void> {
  await store.approve(campaign, { again: true, budget, digest, policy: BULK_POLICY.version, now: clock.now() });
}

/**
 * How many people a plan may go to at most. A timed one is planned again when its time comes: it then goes to whoever of the
 * sheet's people has an open window.
 */
export function countToConfirm({ timing, send, rows, skip }: Pick<Plan, 'timing' | 'send' | 'rows' | 'skip'>): number {
  return timing === null ? send : rows - skip.duplicate - skip.invalid;
}

/** @throws Failure KEY_USED when a campaign with somebody's key is not what they want to send now */
export function requireSameContent(
  campaign: Campaign,
  account: Account,
  plan: Pick<Plan, 'digest' | 'template' | 'language' | 'sheet' | 'rows'>,
): void {
  if (campaign.digest === plan.digest) return;
  const { id, key, template, accountName, source } = campaign;
  const now = `${plan.template} (${plan.language}) from ${account.name}, recipients: ${plan.sheet ?? 'typed in'}`;
  throw new Failure(
    'KEY_USED',
    `The key ${key ?? ''} belongs to campaign ${id}: ${template.name} (${template.language}) from ${accountName}, recipients: ${source}. You are sending ${now} (${plan.rows} rows), which is not the same content.`,
    'Take another key for another template, account or sheet; or send again what that campaign was made of.',
  );
}

/** @throws Failure NOBODY_TO_SEND_TO, POLICY_NOT_ACCEPTED, COUNT_DIFFERS */
export function requireConsent(send: number, consent: Consent, isTimed = false): void {
  if (send === 0) {
    throw new Failure(
      'NOBODY_TO_SEND_TO',
      'Nobody is left to send to.',
      'What stands above says who was left out and why.',
    );
  }
  if (!consent.policyAccepted) {
    throw new Failure(
      'POLICY_NOT_ACCEPTED',
      'The policy was not accepted; nothing was sent.',
      'Pass --accept-policy to accept it.',
    );
  }
  if (consent.confirmedCount !== send) {
    throw new Failure(
      'COUNT_DIFFERS',
      isTimed
        ? `${consent.confirmedCount} was confirmed, but the sheet has ${send} people who may get it; nothing was kept.`
        : `${consent.confirmedCount} was confirmed, but ${send} would be sent to; nothing was sent.`,
      isTimed
        ? 'A timed send goes to whoever of the sheet has an open window at its time, so all of them are to be confirmed.'
        : 'Look at the plan again: windows open and close as time goes by.',
    );
  }
}

function alreadySent({ id, state }: Campaign): Failure {
  return state === 'finished'
    ? new Failure(
        'ALREADY_SENT',
        `The same messages went to the same people less than 24 hours ago, with campaign ${id}.`,
        `Look at it: pagecast campaign show ${id}. To send once more all the same, pass --again.`,
      )
    : new Failure(
        'ALREADY_SENT',
        `Campaign ${id} has the same messages for the same people, and is ${state}.`,
        state === 'scheduled'
          ? `See when it goes out: pagecast campaign show ${id}. To send at another time, cancel it first: pagecast campaign cancel ${id}`
          : `Go on with it: pagecast campaign resume ${id}. (A new one, with --again, would write to some people twice.)`,
      );
}
