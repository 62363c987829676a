/** Puts rows of a campaign back into the queue, at a person's wish: those that failed, were left out, or are unknown. */
import { Failure } from '../core/failure.js';
import { admit } from '../core/plan.js';
import { needsOpenWindow } from '../core/policy.js';
import type { WindowSettings } from '../core/window.js';
import type { QueuePlace, Store } from '../ports.js';

export type RetryableState = 'failed' | 'skipped' | 'unknown';

export interface RetryPlan {
  campaign: string;
  state: RetryableState;
  /** Rows that would be sent to again. */
  places: QueuePlace[];
  /** Rows that stay as they are, because the person's window is shut or they are opted out, duplicate or invalid. */
  staying: number;
}

/** What a retry would do; nothing is changed. */
export async function planRetry(
  store: Store,
  campaignId: string,
  state: RetryableState,
  window: WindowSettings,
  now: number,
): Promise<RetryPlan> {
  const campaign = await store.campaign(campaignId);
  if (!campaign) {
    throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${campaignId}.`, 'List them: pagecast campaign list');
  }
  const places: QueuePlace[] = [];
  let staying = 0;
  for await (const rows of store.messages({ campaign: campaignId, state })) {
    const candidates = rows.filter((row) => row.reason !== 'invalid' && row.reason !== 'duplicate');
    const ids = candidates.map((row) => row.userId);
    const standings = await store.standings(campaign.account, ids, window);
    staying += rows.length - candidates.length;
    candidates.forEach((row, index) => {
      const standing = standings[index] ?? { last: null, optedOut: false };
      const admission = admit(standing, now, window, needsOpenWindow(campaign.template));
      if (admission.reason === null) places.push({ seq: row.seq, closesAt: admission.closesAt });
      else staying += 1;
    });
  }
  return { campaign: campaignId, state, places, staying };
}
