/**
 * Runs a campaign: takes the next rows, checks each person's window and opt-out again, writes `started` durably, makes a call
 * for each (or for several, where the provider has such calls), and writes down what came of it. Only one run works for an account at a time, and only a row that the
 * ledger has as `started` under this run's lease is ever put on the wire.
 *
 * One loop makes all writes. Each turn of it is one durable step: it settles what has been answered and starts as many
 * rows as there are free slots and turns, so a crash leaves no more rows `started` than messages were under way.
 */
import { campaignContent, type CampaignContent } from '../core/campaign-content.js';
import {
  backoffMs,
  FailureWatch,
  hasEnded,
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_PAUSE_MS,
  MAX_PAUSES,
  type Counts,
  type DeliveryError,
  type FailureBudget,
  type Outcome,
  type StopCause,
} from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { rowMetadata } from '../core/metadata.js';
import { MAX_UNDER_WAY, Pacer, paceShare } from '../core/pacing.js';
import { admit, type SkipReason } from '../core/plan.js';
import { reachOf, type Reach } from '../core/policy.js';
import { channelOf } from '../core/sender.js';
import type { WindowSettings } from '../core/window.js';
import {
  RENEW_EVERY_MS,
  type Campaign,
  type CampaignSummary,
  type Clock,
  type Engine,
  type Lease,
  type Provider,
  type QueuedRow,
  type Random,
  type RequeuedRow,
  type Settlement,
  type Store,
} from '../ports.js';
import { registeredRefusal } from './registered-status.js';
import { replan } from './replan.js';

/** A person who pauses a campaign must not see another message leave a second later, however slow its pace. */
const LOOK_EVERY_MS = 400;
/** Every durable step waits for the disk. At full speed the answers of so long share one. */
const STEP_EVERY_MS = 6;
/** No pace needs a longer silence between two runs of an account. */
const MAX_SILENCE_MS = 60_000;
/** A process that was suspended in the middle of a step knows nothing about windows and leases any more. */
const STALLED_MS = 2000;

export interface RunWorld {
  store: Store;
  engine: Engine;
  provider: Provider;
  clock: Clock;
  random: Random;
}

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

export interface Progress {
  counts: Counts;
  /** Waiting for so long because the platform asked for it, or could not be reached; 0 while sending. */
  waitingMs: number;
}

export interface RunResult extends CampaignSummary {
  campaign: Campaign;
  /** `running`: left to the next worker. */
  end: 'finished' | 'paused' | 'stopped' | 'running' | 'expired';
}

/** @throws Failure ACCOUNT_BUSY, CAMPAIGN_UNKNOWN, CAMPAIGN_STATE, COUNT_DIFFERS, PROVIDER_UNAVAILABLE, LEASE_LOST, STORE_… */
export async function runCampaign(world: RunWorld, request: RunRequest): Promise<RunResult> {
  const { store, engine, clock } = world;
  const campaign = await store.campaign(request.campaign);
  if (!campaign) throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${request.campaign}.`);
  const needsRegistered = campaign.template.kind === 'registered' || campaign.outside !== null;
  if (needsRegistered && !world.provider.capabilities.registeredTemplates) {
    throw new Failure('PROVIDER_UNAVAILABLE', `${campaign.accountName} cannot send registered templates.`);
  }
  // The platform may take longer to say so than a lease lasts.
  const refusal = await registeredRefusal(world.provider, [campaign.template, campaign.outside]);
  const lease = await engine.own(campaign.account, clock.now());
  if (!lease) {
    throw new Failure(
      'ACCOUNT_BUSY',
      `Another process is sending for the account ${campaign.accountName}.`,
      'Wait until it is done.',
    );
  }
  // A clock that was set back must not keep the run waiting for more than the pace asks for.
  const silence = Math.min(Math.max(0, lease.freeAt - clock.now()), MAX_SILENCE_MS);
  const most = world.provider.capabilities.maxBatch(campaign.template);
  const batch = Math.min(most, Math.max(1, Math.floor(campaign.pace)));
  const pacer = new Pacer(campaign.pace, clock.monotonic() + silence, batch);
  try {
    if (request.requeue) await putBack(store, lease, campaign.id, request.requeue);
    const seen = request.requeue ? { state: 'ready' as const, stop: null } : (request.seen ?? campaign);
    if (await isTooLate(world, lease, campaign, request.window)) {
      const summary = await store.summary(campaign.id);
      return { ...summary, campaign: (await store.campaign(campaign.id)) ?? campaign, end: 'expired' };
    }
    await store.start(lease, campaign.id, clock.now(), seen);
    // If this process dies, a worker finds the campaign.
    await engine.wake(campaign.account, clock.now());
    const { counts } = await store.summary(campaign.id);
    const end: End =
      refusal === null
        ? await new Run(world, request, campaign, lease, pacer, counts, batch).toEnd()
        : { state: 'stopped', stop: { cause: 'content', error: refusal, at: clock.now() } };
    await store.conclude(lease, campaign.id, end, clock.now());
    const summary = await store.summary(campaign.id);
    return { ...summary, campaign: (await store.campaign(campaign.id)) ?? campaign, end: end.state };
  } finally {
    // A lease that was lost, or a store that cannot be written to, must not hide the reason for it.
    const tick = clock.monotonic();
    await engine.release(lease, clock.now() + pacer.freeAt(tick) - tick).catch(() => undefined);
  }
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

type End = Parameters<Store['conclude']>[2];

/** `outside`: it goes out as the campaign's registered template, because the person's window is shut. */
interface StartingRow {
  row: QueuedRow;
  outside: boolean;
}

class Run {
  readonly #world: RunWorld;
  readonly #request: RunRequest;
  readonly #campaign: Campaign;
  readonly #lease: Lease;
  readonly #pacer: Pacer;
  readonly #content: CampaignContent;
  readonly #reach: Reach;
  /** How many messages one call carries at most. */
  readonly #batch: number;
  /** How many the next one carries: fewer after a call was refused as a whole, until those who are at fault stand alone. */
  #callSize: number;
  readonly #watch: FailureWatch;
  /** How many messages may be under way. */
  readonly #slots: number;
  readonly #counts: Counts;
  /** Answers that are not yet in the ledger. Their rows still take up slots, so that a crash leaves few rows unknown. */
  #answered: Settlement[] = [];
  #underWay = 0;
  /** The first message goes alone: a token or a template that is refused is then refused once. */
  #isFirstAnswered = false;
  #stop: Extract<End, { state: 'stopped' }> | null = null;
  // Instants of the monotonic clock.
  #waitUntil = -Infinity;
  #steppedAt = -Infinity;
  /** By how much the clock was surely set back since rows were told to wait: no attempt waits longer than the longest backoff. */
  #setBack = 0;
  /** Pauses in a row that no success has ended. */
  #pauses = 0;
  #wake: () => void = () => undefined;
  /** Somebody else has paused or cancelled the campaign. */
  #isHalted = false;

  constructor(
    world: RunWorld,
    request: RunRequest,
    campaign: Campaign,
    lease: Lease,
    pacer: Pacer,
    counts: Counts,
    batch: number,
  ) {
    this.#world = world;
    this.#request = request;
    this.#campaign = campaign;
    this.#lease = lease;
    this.#pacer = pacer;
    this.#counts = counts;
    this.#content = campaignContent(campaign);
    this.#reach = reachOf(campaign, channelOf(campaign.account));
    this.#batch = batch;
    this.#callSize = batch;
    this.#watch = new FailureWatch(request.budget);
    // Enough messages under way for answers that take two seconds, in whole batches.
    const enough = Math.max(4, Math.min(MAX_UNDER_WAY, Math.ceil(campaign.pace * 2)), 2 * batch);
    this.#slots = Math.ceil(enough / batch) * batch;
  }

  async toEnd(): Promise<End> {
    const over = new AbortController();
    const wake = (): void => this.#wake();
    this.#request.signal.addEventListener('abort', wake, { once: true });
    void this.#heartbeat(over.signal);
    try {
      return await this.#loop();
    } catch (error) {
      await this.#saveWhatCameBack();
      throw error;
    } finally {
      over.abort();
      this.#request.signal.removeEventListener('abort', wake);
    }
  }

  async #loop(): Promise<End> {
    const { store, engine, clock } = this.#world;
    const { onAbort = 'pause' } = this.#request;
    let renewAt = clock.monotonic() + RENEW_EVERY_MS;
    this.#request.onProgress?.({ counts: this.#counts, waitingMs: 0 });
    for (;;) {
      const now = clock.now();
      const tick = clock.monotonic();
      if (tick >= renewAt) {
        await engine.renew(this.#lease, now);
        renewAt = tick + RENEW_EVERY_MS;
      }
      // They stay answers until they are written: after an error they are saved once more.
      const settled = this.#answered.slice();
      const draining = this.#request.signal.aborted || this.#stop !== null || this.#isHalted;
      const wanted = draining ? 0 : this.#freeTurns(tick, settled.length);
      const rows = wanted > 0 ? await store.next(this.#campaign.id, wanted, now + this.#setBack) : [];
      const { start, skip } = await this.#recheck(rows, now);

      if (settled.length + start.length + skip.length > 0) {
        const started = start.map(({ row, outside }) => ({ seq: row.seq, outside }));
        const step = { settled, started, skipped: skip };
        this.#steppedAt = tick;
        const isOn = await store.record(this.#lease, this.#campaign.id, step, now);
        this.#isHalted ||= !isOn;
        this.#answered.splice(0, settled.length);
        this.#underWay -= settled.length;
        this.#count(settled, isOn ? skip : [], isOn ? start.length : 0);
        if (isOn) this.#launch(start, clock.now() - now > STALLED_MS);
        this.#request.onProgress?.({ counts: this.#counts, waitingMs: Math.max(0, this.#waitUntil - tick) });
      }
      if (this.#underWay === 0 && this.#answered.length === 0) {
        if (this.#stop) return this.#stop;
        if (this.#isHalted) return { state: 'paused' };
        if (draining || (wanted === 0 && settled.length > 0)) {
          // The last one need not wait for a turn that nobody takes; and an interrupt after it has nothing to interrupt.
          const left = await store.next(this.#campaign.id, 1, Number.MAX_SAFE_INTEGER);
          if (left.length === 0) return { state: 'finished' };
          if (draining) return { state: onAbort === 'pause' ? 'paused' : 'running' };
        }
        if (wanted > 0 && rows.length === 0) {
          const nextAttempt = await store.nextAttemptAt(this.#campaign.id);
          if (nextAttempt === null) return { state: 'finished' };
          const rest = nextAttempt - now - this.#setBack;
          this.#setBack += Math.max(0, rest - MAX_BACKOFF_MS);
          this.#waitUntil = Math.max(this.#waitUntil, tick + Math.min(rest, MAX_BACKOFF_MS));
        }
      }
      if (this.#answered.length === 0 && skip.length === 0) await this.#wait(draining, rows.length < wanted);
    }
  }

  #freeTurns(tick: number, beingSettled: number): number {
    if (tick < this.#waitUntil) return 0;
    const free = this.#freeSlots() + beingSettled;
    if (free < this.#smallestCall()) return 0;
    // Whoever is at fault is looked for one call after another.
    const most = this.#callSize < this.#batch ? Math.min(free, this.#callSize) : free;
    return this.#pacer.available(tick, most);
  }

  #freeSlots(): number {
    return (this.#isFirstAnswered ? this.#slots : 1) - this.#underWay;
  }

  /** What is left of the slots must not make a call of its own for a part of a batch. */
  #smallestCall(): number {
    return this.#isFirstAnswered ? this.#batch : 1;
  }

  async #recheck(
    rows: readonly QueuedRow[],
    now: number,
  ): Promise<{ start: StartingRow[]; skip: { seq: number; reason: SkipReason }[] }> {
    if (rows.length === 0) return { start: [], skip: [] };
    const { window } = this.#request;
    const ids = rows.map((row) => row.userId);
    const standings = await this.#world.store.standings(this.#campaign.account, ids, window);
    const start: StartingRow[] = [];
    const skip: { seq: number; reason: SkipReason }[] = [];
    rows.forEach((row, index) => {
      const standing = standings[index] ?? { last: null, optedOut: false };
      const { reason, outside } = admit(standing, now, window, this.#reach);
      if (reason === null) start.push({ row, outside });
      else skip.push({ seq: row.seq, reason });
    });
    return { start, skip };
  }

  /** Sends rows that are durably `started`; after a stall they go back instead, since nothing is known of this moment. */
  #launch(rows: readonly StartingRow[], stalled: boolean): void {
    this.#underWay += rows.length;
    if (stalled) {
      for (const { row } of rows) this.#answered.push({ seq: row.seq, state: 'queued', uncounted: true });
      return;
    }
    for (let from = 0; from < rows.length; from += this.#callSize) this.#send(rows.slice(from, from + this.#callSize));
  }

  #send(rows: readonly StartingRow[]): void {
    const { clock, provider } = this.#world;
    const { id, mode } = this.#campaign;
    const tickets = rows.map(() => this.#pacer.leave(clock.monotonic()));
    const onWire = (): void => {
      const isAwaited = this.#pacer.nextAt() === Infinity;
      for (const ticket of tickets) this.#pacer.onWire(ticket, clock.monotonic());
      if (isAwaited) this.#wake();
    };
    const messages = rows.map(({ row, outside }) => ({
      userId: row.userId,
      message: this.#content.render(row.values, outside),
      metadata: rowMetadata({ campaign: id, seq: row.seq }),
      isReply: mode === 'interactive',
    }));
    void provider
      .send(messages, onWire)
      // A provider must not throw; if one does, the messages may be out.
      .catch((error: unknown): Outcome[] => {
        const name = error instanceof Error ? error.name : 'Error';
        return rows.map(() => unknownOutcome(name));
      })
      .then((outcomes) => {
        for (const ticket of tickets) this.#pacer.answered(ticket, clock.monotonic());
        this.#isFirstAnswered = true;
        const isDivided = outcomes.some((outcome) => outcome.kind === 'retryable' && outcome.inSmallerCalls);
        this.#callSize = isDivided ? Math.ceil(rows.length / 2) : Math.min(this.#batch, 2 * this.#callSize);
        rows.forEach(({ row }, index) => {
          const outcome = outcomes[index] ?? unknownOutcome('The provider gave no outcome.');
          if (outcome.load !== undefined) this.#pacer.slowTo(paceShare(outcome.load));
          this.#answered.push(this.#settlement(row, outcome));
        });
        this.#wake();
      });
  }

  #settlement({ seq, attempts }: QueuedRow, outcome: Outcome): Settlement {
    switch (outcome.kind) {
      case 'sent':
        this.#pauses = 0;
        this.#watch.add(false);
        return { seq, state: 'sent', messageId: outcome.messageId };
      case 'rejected':
      case 'unknown':
        this.#tooMany(outcome.error);
        return {
          seq,
          state: outcome.kind === 'unknown' ? 'unknown' : 'failed',
          error: outcome.error,
          ...(outcome.kind === 'rejected' && outcome.optedOut && { optedOut: true }),
        };
      case 'stopped':
        // A message that is refused for what it says is this person's own: their values are in it. Only while nobody has
        // got the template yet is it taken for the template's fault, and the run stops to have it looked at.
        if (outcome.stop === 'content') {
          this.#tooMany(outcome.error);
          if (this.#counts.sent === 0)
            this.#stop ??= { state: 'stopped', stop: this.#stopFor('content', outcome.error) };
          return { seq, state: 'failed', error: outcome.error };
        }
        this.#stop ??= { state: 'stopped', stop: this.#stopFor(outcome.stop, outcome.error) };
        return { seq, state: 'queued', error: outcome.error, uncounted: true };
      case 'retryable':
        if (outcome.inSmallerCalls) return { seq, state: 'queued', error: outcome.error, uncounted: true };
        if (outcome.pauseMs !== undefined) {
          this.#pause(outcome.pauseMs, outcome.error);
          return { seq, state: 'queued', error: outcome.error, uncounted: true };
        }
        if (attempts + 1 >= MAX_ATTEMPTS) {
          this.#tooMany(outcome.error);
          return { seq, state: 'failed', error: outcome.error };
        }
        return {
          seq,
          state: 'queued',
          error: outcome.error,
          notBefore: this.#world.clock.now() + this.#setBack + backoffMs(attempts + 1, this.#world.random.next()),
        };
    }
  }

  #stopFor(cause: StopCause, error: DeliveryError): NonNullable<Campaign['stop']> {
    return { cause, error, at: this.#world.clock.now() };
  }

  #tooMany(error: NonNullable<Settlement['error']>): void {
    if (this.#watch.add(true)) this.#stop ??= { state: 'stopped', stop: this.#stopFor('too_many_failures', error) };
  }

  /** The platform asks for a rest, or cannot be reached: nobody is sent to for a while. */
  #pause(pauseMs: number, error: NonNullable<Settlement['error']>): void {
    const tick = this.#world.clock.monotonic();
    // Calls that were under way together report the same rest; it counts once.
    if (tick < this.#waitUntil) return;
    const rest = Math.max(pauseMs, backoffMs(this.#pauses + 1, this.#world.random.next()));
    this.#pauses += 1;
    if (rest > MAX_PAUSE_MS || this.#pauses > MAX_PAUSES) {
      const cause = error.code === 'CONNECTION_REFUSED' ? 'network' : 'rate_limit';
      this.#stop ??= { state: 'stopped', stop: this.#stopFor(cause, error) };
    } else this.#waitUntil = tick + rest;
  }

  #count(settled: readonly Settlement[], skipped: readonly unknown[], started: number): void {
    for (const { state } of settled) this.#counts[state] += 1;
    this.#counts.started += started - settled.length;
    this.#counts.skipped += skipped.length;
    this.#counts.queued -= started + skipped.length;
  }

  /** Until an answer comes, the run is interrupted, or the next message may leave. */
  async #wait(draining: boolean, queueIsShort: boolean): Promise<void> {
    const { clock } = this.#world;
    if ((this.#request.signal.aborted || this.#isHalted) && !draining) return;
    const tick = clock.monotonic();
    const slotsFree = this.#freeSlots() >= this.#smallestCall() && !draining;
    const until = Math.max(this.#pacer.nextAt(), this.#waitUntil);
    // With nothing more in the queue than what is under way, only an answer can change anything.
    const nothingElse = queueIsShort && this.#underWay > 0 && tick >= this.#waitUntil;
    if (slotsFree && !nothingElse && until < Infinity) {
      if (until <= tick) return;
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await clock.sleep(until - tick, woken.signal);
    } else {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const rest = this.#steppedAt + STEP_EVERY_MS - clock.monotonic();
      if (rest > 0) await clock.sleep(rest);
    }
    this.#wake = () => undefined;
  }

  /** Looks whether the campaign may go on, and wakes the loop to renew the lease, while the loop waits or every call hangs. */
  async #heartbeat(over: AbortSignal): Promise<void> {
    const { store, clock } = this.#world;
    let wakeAt = clock.monotonic() + RENEW_EVERY_MS;
    for (;;) {
      await clock.sleep(LOOK_EVERY_MS, over);
      if (over.aborted) return;
      // A store that fails makes the loop fail, which tells of it.
      const campaign = await store.campaign(this.#campaign.id).catch(() => null);
      if (campaign !== null && campaign.state !== 'running') this.#isHalted = true;
      else if (clock.monotonic() < wakeAt) continue;
      wakeAt = clock.monotonic() + RENEW_EVERY_MS;
      this.#wake();
    }
  }

  /** After an error: waits for the calls under way and tries once more to write their outcomes down. */
  async #saveWhatCameBack(): Promise<void> {
    while (this.#underWay > this.#answered.length) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const step = { settled: this.#answered.splice(0), started: [], skipped: [] };
    if (step.settled.length === 0) return;
    // If this fails as well, the rows stay `started` and the next run makes them `unknown`.
    await this.#world.store
      .record(this.#lease, this.#campaign.id, step, this.#world.clock.now())
      .catch(() => undefined);
  }
}

function unknownOutcome(message: string): Outcome {
  return { kind: 'unknown', error: { code: 'REPLY_UNREADABLE', message } };
}
