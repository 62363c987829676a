/** Owns an account for a moment, to send the single messages that are due. */
import type { Campaign } from '../ports.js';
import type { WindowSettings } from '../core/window.js';
import { sendAtPace } from './own-account.js';
import { Sending, type RunWorld } from './sending.js';

export interface SinglesWorld extends RunWorld {
  window: WindowSettings;
}

export type SinglesResult =
  /** Somebody else has the account; a campaign's run takes single messages before its own rows. */
  | { kind: 'busy' }
  | {
      kind: 'done';
      /** How many messages were sent, left out, or could not be sent. */
      settled: number;
      /** What stands in the way of sending more for the account; those that are left stay queued. */
      stop: NonNullable<Campaign['stop']> | null;
    };

/**
 * Sends until no single message of the account is due; one that is to be tried again is due later. Taking the account also
 * settles what a dead owner has left under way.
 * @param account its `senderKey`
 * @param signal aborted: nothing more is started, and what is under way is waited for
 * @throws Failure LEASE_LOST, STORE_…
 */
export async function sendSingles(world: SinglesWorld, account: string, signal: AbortSignal): Promise<SinglesResult> {
  const { store, engine, clock, window } = world;
  const [first] = await store.nextSingles(account, 1, clock.now());
  const lease = await engine.own(account, clock.now());
  if (!lease) return { kind: 'busy' };
  return sendAtPace(world, lease, async (paces) => {
    if (first === undefined) return { kind: 'done', settled: 0, stop: null };
    const sending = new Sending(world, { lease, paces, window, bulk: null, signal });
    const end = await sending.toEnd();
    return { kind: 'done', settled: sending.singlesSettled, stop: end.state === 'stopped' ? end.stop : null };
  });
}
