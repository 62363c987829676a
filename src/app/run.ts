/**
 * Runs a campaign: takes its account, plans a timed one again, sends what it has queued (app/sending.ts), with the account's
 * single messages before its own, and writes down how it ended. Only one owner works for an account at a time.
 */
import { hasEnded, type FailureBudget } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import type { WindowSettings } from '../core/window.js';
import type { Campaign, CampaignSummary, Lease, RequeuedRow, Store } from '../ports.js';
import { ownAccount, sendAtPace } from './own-account.js';
import { registeredRefusal } from './registered-status.js';
import { replan } from './replan.js';
import { Sending, type Bulk, type End, type Progress, type RunWorld } from './sending.js';

export type { Progress, RunWorld };

export interface RunRequest {
  campaign: string;
  window: WindowSettings;
  budget: FailureBudget;
  /** How the campaign was when it was decided to run it; as it is now unless given. What somebody has done since counts more. */
  seen?: Pick<Campaign, 'state' | 'stop'>;
  /** Aborted: nothing more is started, and what is under way is waited for. */
  signal: AbortSignal;
  /** What that means for the campaign: a person pauses it; a worker leaves it `running`, to the next worker. */
  onAbort?: 'pause' | 'leave';
  /** Rows to put back into the queue first, at a person's wish. */
  requeue?: readonly RequeuedRow[];
  onProgress?: (progress: Progress) => void;
}

export interface RunResult extends CampaignSummary {
  campaign: Campaign;
  /** `running`: left to the next worker. */
  end: 'finished' | 'paused' | 'stopped' | 'running' | 'expired';
}

/** @throws Failure ACCOUNT_BUSY, CAMPAIGN_UNKNOWN, CAMPAIGN_STATE, COUNT_DIFFERS, PROVIDER_UNAVAILABLE, LEASE_LOST, STORE_… */
export async function runCampaign(world: RunWorld, request: RunRequest): Promise<RunResult> {
  const { store } = world;
  const campaign = await store.campaign(request.campaign);
  if (!campaign) throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${request.campaign}.`);
  const needsRegistered = campaign.template.kind === 'registered' || campaign.outside !== null;
  if (needsRegistered && !world.provider.capabilities.registeredTemplates) {
    throw new Failure('PROVIDER_UNAVAILABLE', `${campaign.accountName} cannot send registered templates.`);
  }
  // The platform may take longer to say so than a lease lasts.
  const refusal = await registeredRefusal(world.provider, [campaign.template, campaign.outside]);
  const lease = await ownAccount(world, campaign, request.signal);
  const most = world.provider.capabilities.maxBatch(campaign.template);
  const batch = Math.min(most, Math.max(1, Math.floor(campaign.pace)));
  return sendAtPace(world, lease, async (paces) => {
    const { engine, clock } = world;
    const ended = async (end: RunResult['end']): Promise<RunResult> => {
      const summary = await store.summary(campaign.id);
      return { ...summary, campaign: (await store.campaign(campaign.id)) ?? campaign, end };
    };
    if (request.requeue) await putBack(store, lease, campaign.id, request.requeue);
    const seen = request.requeue ? { state: 'ready' as const, stop: null } : (request.seen ?? campaign);
    if (await isTooLate(world, lease, campaign, request.window)) return ended('expired');
    await store.start(lease, campaign.id, clock.now(), seen);
    // If this process dies, a worker finds the campaign.
    await engine.wake(campaign.account, clock.now());
    const { counts } = await store.summary(campaign.id);
    const { window, budget, signal, onAbort = 'pause', onProgress } = request;
    const bulk: Bulk = {
      campaign,
      counts,
      budget,
      batch,
      onAbort: onAbort === 'pause' ? 'paused' : 'running',
      ...(onProgress && { onProgress }),
    };
    const end: End =
      refusal === null
        ? await new Sending(world, { lease, paces, window, bulk, signal }).toEnd()
        : { state: 'stopped', stop: { cause: 'content', error: refusal, at: clock.now() } };
    await store.conclude(lease, campaign.id, end, clock.now());
    return ended(end.state);
  });
}

/**
 * Plans a campaign that has waited for its time again; or ends it, when it could not start in time.
 * @returns whether it has expired
 */
async function isTooLate(world: RunWorld, lease: Lease, { id }: Campaign, window: WindowSettings): Promise<boolean> {
  const { store, clock } = world;
  // Looked at only now: with the account owned, nobody else starts it.
  const campaign = await store.campaign(id);
  if (!campaign?.timing || campaign.startedAt !== null) return false;
  if (campaign.state !== 'scheduled' && campaign.state !== 'paused') return false;
  const { sendAt, expiresAt } = campaign.timing;
  const now = clock.now();
  if (now < sendAt || campaign.state === 'paused') {
    throw new Failure(
      'CAMPAIGN_STATE',
      campaign.state === 'paused'
        ? `Campaign ${id} was paused before its time.`
        : `Campaign ${id} waits for ${new Date(sendAt).toISOString()}.`,
      campaign.state === 'paused'
        ? `Go on with: pagecast campaign resume ${id}`
        : 'A worker sends it then: pagecast run',
    );
  }
  if (now >= expiresAt) {
    await store.expire(lease, id, now);
    return true;
  }
  await replan(world, lease, campaign, window);
  // Planning a large sheet takes a while.
  if (clock.now() < expiresAt) return false;
  await store.expire(lease, id, clock.now());
  return true;
}

async function putBack(store: Store, lease: Lease, id: string, rows: readonly RequeuedRow[]): Promise<void> {
  // Only now, with the account owned, can nobody else change it any more. What another retry has left in the queue would
  // go out as well, and nobody has confirmed that.
  const state = (await store.campaign(id))?.state;
  if (state === undefined || !hasEnded(state)) {
    throw new Failure(
      'CAMPAIGN_STATE',
      `Campaign ${id} is ${state ?? 'gone'} by now; nothing was sent.`,
      'Look at it again.',
    );
  }
  await store.requeue(lease, id, rows);
}
