/** Turns a plan into a campaign that may be sent: somebody has accepted the policy and confirmed how many people get it. */
import { Failure } from '../core/failure.js';
import { BULK_POLICY } from '../core/policy.js';
import type { Clock, Store } from '../ports.js';
import type { Plan } from './plan.js';

export interface Consent {
  policyAccepted: boolean;
  /** The number of people that the sender expects to write to. */
  confirmedCount: number;
  /** Whether the same content may go out a second time within 24 hours. */
  again: boolean;
}

/**
 * @param campaign the plan's staged campaign
 * @throws Failure NOBODY_TO_SEND_TO, POLICY_NOT_ACCEPTED, COUNT_DIFFERS, ALREADY_SENT; the plan is then thrown away
 */
export async function approvePlan(
  { store, clock }: { store: Store; clock: Clock },
  campaign: string,
  plan: Pick<Plan, 'send' | 'digest'>,
  consent: Consent,
): Promise<void> {
  try {
    requireConsent(plan.send, consent);
    const approval = { digest: plan.digest, policy: BULK_POLICY.version, again: consent.again, now: clock.now() };
    const { sentBefore } = await store.approve(campaign, approval);
    if (sentBefore) {
      throw new Failure(
        'ALREADY_SENT',
        `The same messages were sent to the same people less than 24 hours ago, by campaign ${sentBefore.id}.`,
        `Look at it: pagecast campaign show ${sentBefore.id}. To send once more all the same, pass --again.`,
      );
    }
  } catch (error) {
    await store.discard(campaign);
    throw error;
  }
}

function requireConsent(send: number, consent: Consent): void {
  if (send === 0) {
    throw new Failure('NOBODY_TO_SEND_TO', 'Nobody is left to send to.', 'The plan says who was left out and why.');
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
      `${consent.confirmedCount} was confirmed, but the plan sends to ${send}; nothing was sent.`,
      'Look at the plan: windows open and close as time goes by.',
    );
  }
}
