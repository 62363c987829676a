/** When a campaign is to be taken up by a worker. Values in, values out; how a time is written is the business of `app/when.ts`. */
import type { CampaignState, StopCause } from './delivery.js';

/** A campaign that waits for its time. Instants are milliseconds since 1970, UTC. */
export interface Timing {
  sendAt: number;
  /** One that could not start before this instant is not sent any more. */
  expiresAt: number;
  /** The IANA zone in which the time was given. */
  zone: string;
}

/** How late a timed campaign may start, unless told otherwise. */
export const DEFAULT_EXPIRY_MS = 3_600_000;

/** A command that has approved a campaign starts it itself; only when it did not, for so long, is it taken to be dead. */
export const OWN_START_MS = 60_000;
/** A rest for an account that the platform could not be reached for, or had limited. */
const REST_MS = 5 * 60_000;
/** After a day nobody remembers what they wanted sent, and every window of then is shut. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** What passes by itself. Everything else that stops a run needs a person. */
const PASSING: readonly StopCause[] = ['rate_limit', 'network'];

/** @returns from when on a worker should go on with the campaign by itself; null when only a person may */
export function dueAt(
  campaign: {
    state: CampaignState;
    timing: Timing | null;
    approvedAt: number;
    activeAt: number;
    stop: { cause: StopCause; at: number } | null;
  },
  now: number,
): number | null {
  if (campaign.state !== 'scheduled' && now - campaign.activeAt > FORGOTTEN_MS) return null;
  switch (campaign.state) {
    case 'scheduled':
      return campaign.timing?.sendAt ?? campaign.approvedAt;
    // Either somebody is at it, and has the account, or its process died.
    case 'running':
      return campaign.approvedAt;
    case 'ready':
      return campaign.approvedAt + OWN_START_MS;
    case 'stopped':
      return campaign.stop !== null && PASSING.includes(campaign.stop.cause) ? campaign.stop.at + REST_MS : null;
    case 'paused':
    case 'finished':
    case 'expired':
    case 'cancelled':
    case 'continuous':
      return null;
  }
}
