/**
 * Plans a timed campaign again when its time has come: the windows and opt-outs of that moment, from the rows in the ledger.
 * Each batch can be written twice, so a run that dies in the middle is simply begun again by the next.
 */
import { admit, TurnTaker } from '../core/plan.js';
import { reachOf } from '../core/policy.js';
import { channelOf } from '../core/sender.js';
import type { WindowSettings } from '../core/window.js';
import {
  RENEW_EVERY_MS,
  type Campaign,
  type Clock,
  type Engine,
  type Lease,
  type ReplannedRow,
  type Store,
} from '../ports.js';

export async function replan(
  { store, engine, clock }: { store: Store; engine: Engine; clock: Clock },
  lease: Lease,
  campaign: Campaign,
  window: WindowSettings,
): Promise<void> {
  const now = clock.now();
  const reach = reachOf(campaign, channelOf(campaign.account));
  let renewAt = clock.monotonic() + RENEW_EVERY_MS;
  const write = async (rows: readonly ReplannedRow[]): Promise<void> => {
    if (clock.monotonic() >= renewAt) {
      await engine.renew(lease, clock.now());
      renewAt = clock.monotonic() + RENEW_EVERY_MS;
    }
    if (rows.length > 0) await store.replan(lease, campaign.id, rows);
  };

  for await (const rows of store.messages({ campaign: campaign.id })) {
    // What is wrong with the sheet does not mend itself.
    const people = rows.filter((row) => row.reason !== 'duplicate' && row.reason !== 'invalid');
    const ids = people.map((row) => row.userId);
    const standings = await store.standings(campaign.account, ids, window);
    await write(
      people.map(({ seq }, index) => {
        const standing = standings[index] ?? { last: null, optedOutAt: null };
        const admission = admit(standing, now, window, reach);
        const opener = standing.last?.opener ?? null;
        return { seq, opener, ...admission };
      }),
    );
  }
  const turns = new TurnTaker(now, campaign.pace);
  for await (const places of store.queue(campaign.id)) {
    const tooLate = places.filter((place) => !turns.take(place.closesAt));
    const reason = reach === 'both' ? null : 'window_closes_before_turn';
    await write(tooLate.map(({ seq }) => ({ seq, opener: null, reason, closesAt: null, outside: reach === 'both' })));
  }
}
