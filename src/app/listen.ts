/**
 * A listener: it hears what comes in and sends the single messages that are due for its accounts, until it is told to end.
 * Hearing never waits for sending, accounts do not wait for one another, and nothing that goes wrong ends it.
 */
import { backoffMs } from '../core/delivery.js';
import { senderKey } from '../core/sender.js';
import type { Campaign, Clock, Engine, Provider, Random } from '../ports.js';
import { hearReceived, type HearReport, type HearWorld } from './hear.js';
import { settleAbandoned } from './own-account.js';
import { sendSingles } from './send-singles.js';
import type { RunWorld } from './sending.js';

export interface ListenWorld extends HearWorld {
  engine: Engine;
  random: Random;
  /** @param account its `senderKey`. @throws Failure */
  providerFor: (account: string) => Promise<Provider>;
  /** As in RunWorld. */
  onSingle?: NonNullable<RunWorld['onSingle']>;
}

export interface ListenRequest {
  /** Aborted: nothing more is begun, and what is under way is waited for. */
  signal: AbortSignal;
  alerts: Alerts;
  onEvent: (event: ListenEvent) => void;
}

export type ListenEvent =
  | { kind: 'heard'; report: HearReport }
  /** `settled`: how many messages came to an outcome. */
  | { kind: 'sent'; account: string; settled: number }
  /** Nothing can be sent for the account at the moment; it is tried again after so long. */
  | { kind: 'stopped'; account: string; stop: NonNullable<Campaign['stop']>; restMs: number }
  /**
   * Something went wrong. `account`: null for hearing. It is tried again after `restMs`; null for what was received and is not
   * tried again, but has become a dead letter.
   */
  | { kind: 'failed'; account: string | null; error: unknown; restMs: number | null };

/** What another process has received or queued is found only by looking. */
const LOOK_EVERY_MS = 1000;
/** How many deliveries are heard in one step of the store; others wait to write for so long. */
const HEARD_AT_ONCE = 500;
const GATHER_MS = 25;
/** What a process that died has left under way is settled so soon, also where nothing is due. */
const TAKE_EVERY_MS = 60_000;
/** An account that may not send is tried again after so long, and no later after anything else that went wrong with it. */
const REST_MS = 60_000;
/** Windows should not be long behind when the store can be written to again. */
const HEARING_REST_MS = 5000;

/** Resolves when the signal is aborted and what was under way has ended. */
export async function listen(world: ListenWorld, request: ListenRequest): Promise<void> {
  const accounts = new Set(world.configuration.accounts.map(senderKey));
  await Promise.all([keepHearing(world, request), ...[...accounts].map((one) => keepSending(world, request, one))]);
}

async function keepHearing(world: ListenWorld, { signal, alerts, onEvent }: ListenRequest): Promise<void> {
  await keepOn(world, { signal, onEvent, account: null, mostRestMs: HEARING_REST_MS }, async () => {
    const report = await hearReceived(world, HEARD_AT_ONCE);
    for (const account of report.queuedFor) alerts.queued(account);
    if (report.heard > 0) onEvent({ kind: 'heard', report });
    for (const error of report.failures) onEvent({ kind: 'failed', account: null, error, restMs: null });
    // Between two steps whoever calls back is answered. What comes in meanwhile is heard together: each step waits for the disk.
    if (report.read > 0) await world.clock.sleep(report.read < HEARD_AT_ONCE ? GATHER_MS : 0, signal);
    else await alerts.hearing.wait(LOOK_EVERY_MS, world.clock, signal);
  });
}

async function keepSending(
  world: ListenWorld,
  { signal, alerts, onEvent }: ListenRequest,
  account: string,
): Promise<void> {
  const { store, clock } = world;
  const alert = alerts.of(account);
  let takenAt = -Infinity;
  await keepOn(world, { signal, onEvent, account, mostRestMs: REST_MS }, async () => {
    const rest = ((await store.singlesDueAt(account)) ?? Infinity) - clock.now();
    if (rest > 0) {
      if (clock.monotonic() - takenAt >= TAKE_EVERY_MS) {
        await settleAbandoned(world, account);
        takenAt = clock.monotonic();
      }
      await alert.wait(Math.min(rest, LOOK_EVERY_MS), clock, signal);
      return;
    }
    const provider = await world.providerFor(account);
    const { window } = world.configuration;
    const result = await sendSingles({ ...world, provider, window }, account, signal);
    if (result.kind === 'done' && result.settled > 0) onEvent({ kind: 'sent', account, settled: result.settled });
    if (result.kind === 'done' && result.stop !== null) {
      onEvent({ kind: 'stopped', account, stop: result.stop, restMs: REST_MS });
      await clock.sleep(REST_MS, signal);
    } else if (result.kind === 'busy' || result.settled === 0) {
      // A run that has the account sends them itself.
      await alert.wait(LOOK_EVERY_MS, clock, signal);
    }
  });
}

/** Takes one step after another until the signal is aborted; after one that fails, later. */
async function keepOn(
  { clock, random }: { clock: Clock; random: Random },
  {
    signal,
    onEvent,
    account,
    mostRestMs,
  }: Pick<ListenRequest, 'signal' | 'onEvent'> & { account: string | null; mostRestMs: number },
  step: () => Promise<void>,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await step();
      failures = 0;
    } catch (error) {
      failures += 1;
      const restMs = Math.min(backoffMs(failures, random.next()), mostRestMs);
      onEvent({ kind: 'failed', account, error, restMs });
      await clock.sleep(restMs, signal);
    }
  }
}

/** Has somebody look before the time. Each alert counts once, also one that comes while nobody waits. */
class Alert {
  #isGiven = false;
  #wake: () => void = () => undefined;

  give(): void {
    this.#isGiven = true;
    this.#wake();
  }

  /** At most so long; shorter when the alert is given, or the signal is aborted. */
  async wait(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    signal.addEventListener('abort', this.#wake);
    if (this.#isGiven || signal.aborted) this.#wake();
    await clock.sleep(ms, woken.signal);
    signal.removeEventListener('abort', this.#wake);
    this.#isGiven = false;
  }
}

/** What a listener is told by the same process, so that it need not wait for its next look. */
export class Alerts {
  readonly hearing = new Alert();
  readonly #sending = new Map<string, Alert>();

  /** A delivery waits to be heard. */
  received(): void {
    this.hearing.give();
  }

  /** A single message waits to be sent. @param account the `senderKey` */
  queued(account: string): void {
    this.of(account).give();
  }

  of(account: string): Alert {
    const alert = this.#sending.get(account) ?? new Alert();
    this.#sending.set(account, alert);
    return alert;
  }
}
