/** Turns a plan into a campaign that may be sent: somebody has accepted the policy and confirmed how many people get it. */
import { Failure } from '../core/failure.js';
import { BULK_POLICY, RESEND_AFTER_MS } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import type { Account, Campaign, Clock, Store } from '../ports.js';
import type { Plan } from './plan.js';

export interface Consent {
  policyAccepted: boolean;
  /** The number of people that the sender expects to write to. */
  confirmedCount: number;
}

/**
 * Says early, before anybody is asked anything, what `approvePlan` would say in the end.
 * @throws Failure ALREADY_SENT
 */
export async function refuseIfSentBefore(
  { store, clock }: { store: Store; clock: Clock },
  account: Account,
  digest: string,
): Promise<void> {
  const before = await store.sentBefore(senderKey(account), digest, clock.now() - RESEND_AFTER_MS);
  if (before) throw alreadySent(before);
}

/**
 * @param campaign the plan's staged campaign
 * @param again whether the same content may go out a second time within 24 hours
 * @throws Failure NOBODY_TO_SEND_TO, POLICY_NOT_ACCEPTED, COUNT_DIFFERS, ALREADY_SENT; the plan is then thrown away
 */
export async function approvePlan(
  { store, clock }: { store: Store; clock: Clock },
  campaign: string,
  plan: Pick<Plan, 'send' | 'digest'>,
  consent: Consent,
  again: boolean,
): Promise<void> {
  try {
    requireConsent(plan.send, consent);
    const approval = { digest: plan.digest, policy: BULK_POLICY.version, again, now: clock.now() };
    const { sentBefore } = await store.approve(campaign, approval);
    if (sentBefore) throw alreadySent(sentBefore);
  } catch (error) {
    await store.discard(campaign);
    throw error;
  }
}

/** @throws Failure NOBODY_TO_SEND_TO, POLICY_NOT_ACCEPTED, COUNT_DIFFERS */
export function requireConsent(send: number, consent: Consent): void {
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
      `${consent.confirmedCount} was confirmed, but ${send} would be sent to; nothing was sent.`,
      'Look at the plan again: windows open and close as time goes by.',
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
        `Go on with it: pagecast campaign resume ${id}. (A new one, with --again, would write to some people twice.)`,
      );
}
