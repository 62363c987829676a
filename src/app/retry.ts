/** Puts rows of a campaign back into the queue, at a person's wish: those that failed, were left out, or are unknown. */
import { hasEnded } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { admit } from '../core/plan.js';
import { reachOf } from '../core/policy.js';
import { channelOf } from '../core/sender.js';
import type { WindowSettings } from '../core/window.js';
import type { Campaign, RequeuedRow, Store } from '../ports.js';

export type RetryableState = RequeuedRow['from'];

export interface RetryPlan {
  state: RetryableState;
  /** Rows that would be sent to again. */
  rows: RequeuedRow[];
  /** Rows that stay as they are, because the person's window is shut or they are opted out, duplicate or invalid. */
  staying: number;
}

/** What a retry would do; nothing is changed. */
export async function planRetry(
  store: Store,
  campaign: Campaign,
  state: RetryableState,
  window: WindowSettings,
  now: number,
): Promise<RetryPlan> {
  if (campaign.state === 'continuous') {
    throw new Failure(
      'CAMPAIGN_STATE',
      `Campaign ${campaign.id} is of single messages, which are not sent again once it is too late for them.`,
      'Write to the person anew: pagecast message send',
    );
  }
  // What is still queued would go out with the rows that are put back, and nobody has confirmed that here.
  if (!hasEnded(campaign.state)) {
    throw new Failure(
      'CAMPAIGN_STATE',
      `Campaign ${campaign.id} is ${campaign.state}, and must have ended before anything of it is sent again.`,
      `Go on with it first: pagecast campaign resume ${campaign.id}`,
    );
  }
  const reach = reachOf(campaign, channelOf(campaign.account));
  const requeued: RequeuedRow[] = [];
  let staying = 0;
  for await (const rows of store.messages({ campaign: campaign.id, state })) {
    const candidates = rows.filter((row) => row.reason !== 'invalid' && row.reason !== 'duplicate');
    const ids = candidates.map((row) => row.userId);
    const standings = await store.standings(campaign.account, ids, window);
    staying += rows.length - candidates.length;
    candidates.forEach((row, index) => {
      const standing = standings[index] ?? { last: null, optedOutAt: null };
      const admission = admit(standing, now, window, reach);
      if (admission.reason === null) requeued.push({ seq: row.seq, closesAt: admission.closesAt, from: state });
      else staying += 1;
    });
  }
  return { state, rows: requeued, staying };
}
