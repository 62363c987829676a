/** Taking an account to work for it, and handing it on together with what its pace has to remember. */
import { Failure } from '../core/failure.js';
import { Paces } from '../core/pacing.js';
import type { Clock, Engine, Lease, Store } from '../ports.js';

/** Single messages take an account for a moment only; but the platform may ask for a rest in the middle of it. */
const MOMENT_MS = 30_000;
const LOOK_EVERY_MS = 250;
/** No pace needs a longer silence between two owners of an account: more than that is asked for by a clock that was set back. */
const MAX_SILENCE_MS = 60_000;

/**
 * Waits while somebody is at single messages, but not while a campaign of the account runs.
 * @param beforeTrying called each time before the account is tried
 * @throws Failure ACCOUNT_BUSY
 */
export async function ownAccount(
  { store, engine, clock }: { store: Store; engine: Engine; clock: Clock },
  { account, accountName }: { account: string; accountName: string },
  signal: AbortSignal,
  beforeTrying: () => Promise<void> = () => Promise.resolve(),
): Promise<Lease> {
  const until = clock.monotonic() + MOMENT_MS;
  for (;;) {
    await beforeTrying();
    const lease = await engine.own(account, clock.now());
    if (lease) return lease;
    const open = await store.openCampaigns(account);
    if (open.some(({ state }) => state === 'running') || signal.aborted || clock.monotonic() >= until) {
      throw new Failure(
        'ACCOUNT_BUSY',
        `Another process is working for the account ${accountName}.`,
        'Wait until it is done.',
      );
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/** Takes an account where nobody has it, and lets it go at once: that settles what a dead owner has left under way. */
export async function settleAbandoned(
  { engine, clock }: { engine: Engine; clock: Clock },
  account: string,
): Promise<void> {
  const lease = await engine.own(account, clock.now());
  if (lease) await engine.release(lease, lease.freeAt, lease.taken);
}

/** Sends at paces that also count what the owners before have sent, and lets the account go. */
export async function sendAtPace<T>(
  { engine, clock }: { engine: Engine; clock: Clock },
  lease: Lease,
  send: (paces: Paces) => Promise<T>,
): Promise<T> {
  const start = clock.monotonic();
  const silence = Math.min(Math.max(0, lease.freeAt - clock.now()), MAX_SILENCE_MS);
  const paces = new Paces({ freeAt: start + silence, taken: lease.taken });
  try {
    return await send(paces);
  } finally {
    const end = clock.monotonic();
    const { freeAt, taken } = paces.handover(end);
    // A lease that was lost, or a store that cannot be written to, must not hide the reason for it.
    await engine.release(lease, clock.now() + freeAt - end, taken).catch(() => undefined);
  }
}
