/**
 * Sends for an account that is owned: single messages that are due, and after them the rows of a campaign where there is one.
 * It takes the next of them, looks at each person's window and opt-out again, writes `started` durably, makes a call for each
 * (or for several rows, where the provider has such calls), and writes down what came of it. Only what the ledger has as
 * `started` under this lease is ever put on the wire.
 *
 * One loop makes all writes. Each round of it settles what has been answered and starts as many rows as there are free slots
 * and turns, so a crash leaves no more rows `started` than messages were under way.
 */
import { campaignContent, type CampaignContent } from '../core/campaign-content.js';
import {
  DEFAULT_BUDGET,
  MAX_BACKOFF_MS,
  type Counts,
  type DeliveryError,
  type FailureBudget,
  type Outcome,
  type RowState,
} from '../core/delivery.js';
import { rowMetadata } from '../core/metadata.js';
import { MAX_UNDER_WAY, paceShare, type Paces } from '../core/pacing.js';
import { admit, type Standing } from '../core/plan.js';
import { reachOf } from '../core/policy.js';
import { channelOf } from '../core/sender.js';
import { isAnswer, reasonAgainst } from '../core/single.js';
import type { WindowSettings } from '../core/window.js';
import {
  RENEW_EVERY_MS,
  type Campaign,
  type Clock,
  type Engine,
  type Lease,
  type Provider,
  type QueuedRow,
  type Random,
  type RunStep,
  type Settlement,
  type SingleRow,
  type Store,
} from '../ports.js';
import { Outcomes } from './outcomes.js';
import { quietUntil } from './quiet-hours.js';

/**
 * A person who pauses a campaign must not see another message leave a second later, however slow its pace; and whoever has
 * written must not wait behind it for an answer.
 */
const LOOK_EVERY_MS = 400;
/** Every durable step waits for the disk. At full speed the answers of so long share one. */
const STEP_EVERY_MS = 6;
/** A process that was suspended in the middle of a step knows nothing about windows and leases any more. */
const STALLED_MS = 2000;

export interface RunWorld {
  store: Store;
  engine: Engine;
  provider: Provider;
  clock: Clock;
  random: Random;
  /** Told of each single message that came to an outcome: its campaign, and the state of its row. */
  onSingle?: (campaign: Campaign, state: RowState) => void;
}

export interface Progress {
  /** Of the campaign's rows; single messages are none of them. */
  counts: Counts;
  /** Waiting for so long because the platform asked for it, or could not be reached; 0 while sending. */
  waitingMs: number;
}

/** The campaign whose rows are sent; it is `running`. */
export interface Bulk {
  campaign: Campaign;
  counts: Counts;
  budget: FailureBudget;
  /** How many messages one call carries at most. */
  batch: number;
  /** What an abort means for it: `paused`, or `running` for a campaign that is left to the next worker. */
  onAbort: 'paused' | 'running';
  onProgress?: (progress: Progress) => void;
}

export interface SendingRequest {
  lease: Lease;
  paces: Paces;
  window: WindowSettings;
  /** Null to send single messages only, until none is due. */
  bulk: Bulk | null;
  /** Aborted: nothing more is started, and what is under way is waited for. */
  signal: AbortSignal;
}

/** How it came to an end: of the campaign, or of the single messages when there is none. */
export type End = Parameters<Store['conclude']>[2];

/** Single messages, or the rows of the campaign. */
interface Lane {
  /** Messages without an answer so far. */
  underWay: number;
  /** The first of its kind goes alone: a token or a template that is refused is then refused once. */
  isFirstAnswered: boolean;
}

/** A campaign that rows belong to: that in bulk, or a continuous one. */
interface Source {
  campaign: Campaign;
  content: CampaignContent;
  lane: Lane;
  /** Why none of its messages can be sent for the account; null when they can. */
  refusal: DeliveryError | null;
}

/** What a step does with rows of one campaign. */
interface Part {
  start: Starting[];
  skip: RunStep['skipped'][number][];
  postpone: NonNullable<RunStep['postponed']>[number][];
}

/** `outside`: it goes out as the campaign's registered template, because the person's window is shut. */
type Starting = { outside: boolean } & ({ kind: 'row'; row: QueuedRow } | { kind: 'single'; row: SingleRow });

/** An answer that is not in the ledger yet. */
interface Answer {
  source: Source;
  settlement: Settlement;
}

interface Round {
  now: number;
  tick: number;
  /** Nothing more is started. */
  draining: boolean;
  /** How many answers it has written down. */
  settled: number;
  /** How many rows it has left out. */
  skipped: number;
}

/** What a round has looked for among the rows of the campaign. */
interface Take {
  wanted: number;
  found: number;
}

export class Sending {
  readonly #world: RunWorld;
  readonly #request: SendingRequest;
  readonly #bulk: (Bulk & { source: Source }) | null;
  readonly #outcomes: Outcomes;
  /** Continuous campaigns by their ids. */
  readonly #continuous = new Map<string, Source>();
  readonly #singles: Lane = { underWay: 0, isFirstAnswered: false };
  readonly #rows: Lane = { underWay: 0, isFirstAnswered: false };
  /** How many rows the next call carries: fewer after one was refused as a whole, until those who are at fault stand alone. */
  #callSize: number;
  #answered: Answer[] = [];
  /** Whether single messages may be due: they come while nobody looks. */
  #mayBeSingles = true;
  /** The paces of those that were not looked up because they had no turn. */
  #heldPaces: readonly number[] = [];
  #singlesSettled = 0;
  /** Instants of the monotonic clock. */
  #rowsWaitUntil = -Infinity;
  #steppedAt = -Infinity;
  /** By how much the clock was surely set back since rows were told to wait: no attempt waits longer than the longest backoff. */
  #setBack = 0;
  #wake: () => void = () => undefined;
  /** Somebody else has paused or cancelled the campaign. */
  #isHalted = false;
  /** Nothing of the campaign is left. */
  #isDone = false;

  constructor(world: RunWorld, request: SendingRequest) {
    const { bulk, paces } = request;
    const batch = bulk?.batch ?? 1;
    this.#world = world;
    this.#request = request;
    this.#bulk = bulk && { ...bulk, source: toSource(bulk.campaign, this.#rows, world.provider) };
    this.#outcomes = new Outcomes(world, {
      budget: bulk?.budget ?? DEFAULT_BUDGET,
      isAnySent: bulk === null || bulk.counts.sent > 0,
      singlesOnly: bulk === null,
    });
    this.#callSize = batch;
    if (bulk !== null) paces.add(bulk.campaign.pace, world.clock.monotonic(), batch);
  }

  /** How many messages may be under way: enough for answers that take two seconds, in whole batches. */
  get #slots(): number {
    const batch = this.#bulk?.batch ?? 1;
    const enough = Math.max(4, Math.min(MAX_UNDER_WAY, Math.ceil(this.#request.paces.greatest * 2)), 2 * batch);
    return Math.ceil(enough / batch) * batch;
  }

  /** How many single messages have been sent or left out, or could not be sent. */
  get singlesSettled(): number {
    return this.#singlesSettled;
  }

  async toEnd(): Promise<End> {
    const { signal } = this.#request;
    const over = new AbortController();
    const wake = (): void => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    void this.#heartbeat(over.signal);
    try {
      return await this.#loop();
    } catch (error) {
      await this.#saveWhatCameBack();
      throw error;
    } finally {
      over.abort();
      signal.removeEventListener('abort', wake);
    }
  }

  async #loop(): Promise<End> {
    const { engine, clock } = this.#world;
    let renewAt = clock.monotonic() + RENEW_EVERY_MS;
    this.#tellProgress();
    for (;;) {
      const draining = this.#isDraining();
      const round: Round = {
        now: clock.now(),
        tick: clock.monotonic(),
        draining,
        settled: 0,
        skipped: 0,
      };
      if (round.tick >= renewAt) {
        await engine.renew(this.#request.lease, round.now);
        renewAt = round.tick + RENEW_EVERY_MS;
      }
      await this.#takeSingles(round);
      const rows = await this.#takeRows(round);
      for (const { source } of [...this.#answered]) if (!this.#isBulk(source)) await this.#step(source, NOTHING, round);
      const end = await this.#end(round, rows);
      if (end !== null) return end;
      if (this.#answered.length === 0 && round.skipped === 0) await this.#wait(round, rows);
    }
  }

  #isDraining(): boolean {
    return this.#request.signal.aborted || this.#outcomes.stop !== null || this.#isHalted || this.#isDone;
  }

  #isBulk(source: Source): boolean {
    return source === this.#bulk?.source;
  }

  // -------------------------------------------------------------------------------------------------- who is sent to

  async #takeSingles(round: Round): Promise<void> {
    const { now, tick, draining } = round;
    const free = this.#freeSlots(this.#singles);
    if (draining || free <= 0 || tick < this.#singlesAt()) return;
    const { store } = this.#world;
    const { lease, paces } = this.#request;
    // Those that have no turn must not stand before the others; of what pace those of an unknown campaign are is seen only
    // when one is looked up.
    const held = [...this.#continuous.values()].filter(({ campaign }) => this.#turns(campaign.pace, tick, 1, 1) === 0);
    const wanted = Math.max(1, paces.available(paces.greatest, tick, free, 1));
    // Before the look, so that what is queued during it is not missed.
    this.#mayBeSingles = false;
    this.#heldPaces = held.map(({ campaign }) => campaign.pace);
    const ids = held.map(({ campaign }) => campaign.id);
    const rows = await store.nextSingles(lease.account, wanted, now, ids);
    for (const [source, part] of await this.#partsOf(rows, now)) {
      const { pace } = source.campaign;
      const turns = this.#turns(pace, tick, part.start.length, 1);
      if (turns < part.start.length) this.#heldPaces = [...this.#heldPaces, pace];
      await this.#step(source, { ...part, start: part.start.slice(0, turns) }, round);
    }
    if (rows.length === wanted) this.#mayBeSingles = true;
  }

  /** Looks at each person's window and opt-out, and at the quiet hours, once more. */
  async #partsOf(rows: readonly SingleRow[], now: number): Promise<Map<Source, Part>> {
    const { window, lease } = this.#request;
    const standings = await this.#standings(rows);
    const parts = new Map<Source, Part>();
    for (const [index, row] of rows.entries()) {
      const source = await this.#continuousSource(row.campaign);
      const part = parts.get(source) ?? { start: [], skip: [], postpone: [] };
      parts.set(source, part);
      const { mode, flow, template, quiet } = source.campaign;
      const { seq, answersAt, expiresAt } = row;
      const single = { mode, flow, template, answersAt, expiresAt };
      const reason = reasonAgainst(single, standings[index] ?? UNKNOWN, now, window, channelOf(lease.account));
      const quietEnd = quiet === null ? null : quietUntil(now, quiet.hours);
      if (reason !== null) part.skip.push({ seq, reason });
      else if (quietEnd === null) part.start.push({ kind: 'single', row, outside: false });
      else if (quiet?.then === 'wait' && quietEnd < expiresAt) part.postpone.push({ seq, notBefore: quietEnd });
      else part.skip.push({ seq, reason: 'expired' });
    }
    return parts;
  }

  /** When single messages are to be looked for, as far as is known now. */
  #singlesAt(): number {
    const { restUntil, singlesRestUntil } = this.#outcomes;
    const turns = this.#heldPaces.map((pace) => this.#request.paces.nextAt(pace, 1));
    return Math.max(this.#mayBeSingles ? -Infinity : Math.min(...turns), restUntil, singlesRestUntil);
  }

  async #takeRows(round: Round): Promise<Take> {
    if (this.#bulk === null) return { wanted: 0, found: 0 };
    const { source } = this.#bulk;
    const { now, tick, draining } = round;
    const wanted = draining ? 0 : this.#rowTurns(this.#bulk, tick);
    const rows = wanted > 0 ? await this.#world.store.next(source.campaign.id, wanted, now + this.#setBack) : [];
    const standings = await this.#standings(rows);
    const reach = reachOf(source.campaign, channelOf(source.campaign.account));
    const part: Part = { start: [], skip: [], postpone: [] };
    rows.forEach((row, index) => {
      const { reason, outside } = admit(standings[index] ?? UNKNOWN, now, this.#request.window, reach);
      if (reason === null) part.start.push({ kind: 'row', row, outside });
      else part.skip.push({ seq: row.seq, reason });
    });
    await this.#step(source, part, round);
    return { wanted, found: rows.length };
  }

  #standings(rows: readonly QueuedRow[]): Promise<Standing[]> {
    if (rows.length === 0) return Promise.resolve([]);
    const { lease, window } = this.#request;
    return this.#world.store.standings(
      lease.account,
      rows.map(({ userId }) => userId),
      window,
    );
  }

  async #continuousSource(id: string): Promise<Source> {
    const known = this.#continuous.get(id);
    if (known) return known;
    const campaign = await this.#world.store.campaign(id);
    if (campaign === null) throw new Error(`A single message of campaign ${id}, which there is not`);
    const source = toSource(campaign, this.#singles, this.#world.provider);
    this.#request.paces.add(campaign.pace, this.#world.clock.monotonic());
    this.#continuous.set(id, source);
    return source;
  }

  /** @param together none before so many may leave; a whole batch unless given */
  #turns(pace: number, tick: number, most: number, together?: number): number {
    if (tick < this.#outcomes.restUntil || most <= 0) return 0;
    return this.#request.paces.available(pace, tick, most, together);
  }

  #rowTurns({ campaign: { pace }, batch }: Bulk, tick: number): number {
    if (tick < this.#rowsWaitUntil) return 0;
    const free = this.#freeSlots(this.#rows);
    if (free < this.#smallestCall()) return 0;
    // Whoever is at fault is looked for one call after another.
    const isDivided = this.#callSize < batch;
    return this.#turns(pace, tick, isDivided ? Math.min(free, this.#callSize) : free);
  }

  /** What has been answered is settled in the same round, so its slot is free. */
  #freeSlots(lane: Lane): number {
    const free = this.#slots - this.#singles.underWay - this.#rows.underWay;
    return lane.isFirstAnswered ? free : Math.min(free, 1 - lane.underWay);
  }

  /** What is left of the slots must not make a call of its own for a part of a batch. */
  #smallestCall(): number {
    return this.#rows.isFirstAnswered ? (this.#bulk?.batch ?? 1) : 1;
  }

  // -------------------------------------------------------------------------------------------------- steps and calls

  /** Writes down what has been answered of a campaign and what is started of it, durably, and only then sends that. */
  async #step(source: Source, { start, skip, postpone }: Part, round: Round): Promise<void> {
    const { now, tick } = round;
    const answers = this.#answered.filter((answer) => answer.source === source);
    if (answers.length + start.length + skip.length + postpone.length === 0) return;
    const settled = answers.map(({ settlement }) => settlement);
    const started = start.map(({ row, outside }) => ({ seq: row.seq, outside }));
    const step = { settled, started, skipped: skip, postponed: postpone };
    this.#steppedAt = tick;
    const result = await this.#world.store.record(this.#request.lease, source.campaign.id, step, now);
    const isDone = result === 'done';
    // They stay answers until they are written: after an error they are saved once more.
    const written = new Set(answers);
    this.#answered = this.#answered.filter((answer) => !written.has(answer));
    round.settled += settled.length;
    round.skipped += skip.length;
    if (this.#isBulk(source)) {
      this.#isHalted ||= result === 'halted';
      this.#count(settled, isDone ? skip.length : 0, isDone ? start.length : 0);
    } else {
      const outcomes: RowState[] = settled.map(({ state }) => state).filter((state) => state !== 'queued');
      if (isDone) outcomes.push(...skip.map(() => 'skipped' as const));
      this.#singlesSettled += outcomes.length;
      for (const state of outcomes) this.#world.onSingle?.(source.campaign, state);
    }
    if (isDone) this.#launch(source, start, clockStalled(this.#world.clock, now));
    if (this.#isBulk(source)) this.#tellProgress(tick);
  }

  /** Sends rows that are durably `started`; after a stall they go back instead, since nothing is known of this moment. */
  #launch(source: Source, rows: readonly Starting[], stalled: boolean): void {
    if (stalled) {
      for (const { row } of rows) {
        this.#answered.push({ source, settlement: { seq: row.seq, state: 'queued', uncounted: true } });
      }
      return;
    }
    if (source.refusal !== null) {
      for (const { row } of rows) {
        this.#answered.push({ source, settlement: { seq: row.seq, state: 'failed', error: source.refusal } });
      }
      return;
    }
    const size = source.lane === this.#rows ? this.#callSize : 1;
    for (let from = 0; from < rows.length; from += size) this.#send(source, rows.slice(from, from + size));
  }

  #send(source: Source, rows: readonly Starting[]): void {
    const { clock, provider } = this.#world;
    const { paces } = this.#request;
    const { campaign, content, lane } = source;
    lane.underWay += rows.length;
    const turns = rows.map(() => paces.leave(campaign.pace, clock.monotonic()));
    const onWire = (): void => {
      const isAwaited = paces.isHeldUp;
      for (const turn of turns) paces.onWire(turn, clock.monotonic());
      if (isAwaited) this.#wake();
    };
    const messages = rows.map(({ row, outside }) => ({
      userId: row.userId,
      message: content.render(row.values, outside),
      metadata: rowMetadata({ campaign: campaign.id, seq: row.seq }),
      isReply: isAnswer(campaign.mode),
    }));
    void provider
      .send(messages, onWire)
      // A provider must not throw; if one does, the messages may be out.
      .catch((error: unknown): Outcome[] => {
        const name = error instanceof Error ? error.name : 'Error';
        return rows.map(() => unknownOutcome(name));
      })
      .then((outcomes) => {
        for (const turn of turns) paces.answered(turn, clock.monotonic());
        lane.underWay -= rows.length;
        // After a refusal of the account as well, the next of its kind goes alone.
        lane.isFirstAnswered = !outcomes.some((outcome) => outcome.kind === 'stopped' && outcome.stop !== 'content');
        if (lane === this.#rows) {
          const isDivided = outcomes.some((outcome) => outcome.kind === 'retryable' && outcome.inSmallerCalls);
          const batch = this.#bulk?.batch ?? 1;
          this.#callSize = isDivided ? Math.ceil(rows.length / 2) : Math.min(batch, 2 * this.#callSize);
        }
        rows.forEach((one, index) => {
          const outcome = outcomes[index] ?? unknownOutcome('The provider gave no outcome.');
          if (outcome.load !== undefined) paces.slowTo(paceShare(outcome.load));
          const settlement =
            one.kind === 'single'
              ? this.#outcomes.settleSingle(one.row, outcome)
              : this.#outcomes.settleRow(one.row, outcome, this.#setBack);
          this.#answered.push({ source, settlement });
        });
        this.#wake();
      });
  }

  #count(settled: readonly Settlement[], skipped: number, started: number): void {
    const counts = this.#bulk?.counts;
    if (counts === undefined) return;
    for (const { state } of settled) counts[state] += 1;
    counts.started += started - settled.length;
    counts.skipped += skipped;
    counts.queued -= started + skipped;
  }

  #tellProgress(tick = this.#world.clock.monotonic()): void {
    this.#bulk?.onProgress?.({
      counts: this.#bulk.counts,
      waitingMs: Math.max(0, this.#outcomes.restUntil - tick),
    });
  }

  // -------------------------------------------------------------------------------------------------- the end, and waiting

  /** @returns null while there is something to do or to wait for */
  async #end(round: Round, rows: Take): Promise<End | null> {
    const { signal } = this.#request;
    const { stop } = this.#outcomes;
    if (this.#bulk !== null && stop === null && !this.#isHalted && this.#isCampaignIdle()) {
      this.#isDone ||= await this.#isCampaignDone(this.#bulk, round, rows);
    }
    if (this.#singles.underWay + this.#rows.underWay + this.#answered.length > 0) return null;
    if (this.#isDone) return { state: 'finished' };
    if (stop !== null) return { state: 'stopped', stop };
    if (this.#isHalted) return { state: 'paused' };
    if (this.#bulk === null) return this.#endOfSingles();
    // What is aborted during this round is looked at once more.
    return signal.aborted && round.draining ? { state: this.#bulk.onAbort } : null;
  }

  async #endOfSingles(): Promise<End | null> {
    const { store, clock } = this.#world;
    const { signal, lease } = this.#request;
    if (signal.aborted) {
      const { resting } = this.#outcomes;
      return resting === null ? { state: 'paused' } : { state: 'stopped', stop: resting };
    }
    const dueAt = await store.singlesDueAt(lease.account);
    if (dueAt === null || dueAt > clock.now()) return { state: 'finished' };
    this.#mayBeSingles ||= this.#heldPaces.length === 0;
    return null;
  }

  #isCampaignIdle(): boolean {
    return this.#rows.underWay === 0 && !this.#answered.some(({ source }) => this.#isBulk(source));
  }

  /** Whether nothing of the campaign is left; if something is that has to wait, when it may be tried is noted. */
  async #isCampaignDone(
    { campaign: { id } }: Bulk,
    { now, tick, draining, settled }: Round,
    { wanted, found }: Take,
  ): Promise<boolean> {
    const { store } = this.#world;
    if (draining || (wanted === 0 && settled > 0)) {
      // The last one need not wait for a turn that nobody takes; and an interrupt after it has nothing to interrupt.
      return (await store.next(id, 1, Number.MAX_SAFE_INTEGER)).length === 0;
    }
    if (wanted === 0 || found > 0) return false;
    const nextAttempt = await store.nextAttemptAt(id);
    if (nextAttempt === null) return true;
    const rest = nextAttempt - now - this.#setBack;
    this.#setBack += Math.max(0, rest - MAX_BACKOFF_MS);
    this.#rowsWaitUntil = tick + Math.min(rest, MAX_BACKOFF_MS);
    return false;
  }

  /** Until an answer comes, somebody interrupts, single messages come, or the next message may leave. */
  async #wait({ draining }: Round, rows: Take): Promise<void> {
    const { clock } = this.#world;
    if (this.#isDraining() && !draining) return;
    const tick = clock.monotonic();
    const until = draining ? Infinity : this.#nextDeparture(rows);
    if (until < Infinity) {
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

  /** The first instant at which anything may leave; Infinity when only an answer can tell. */
  #nextDeparture(rows: Take): number {
    const { restUntil } = this.#outcomes;
    const mayTakeSingles = this.#freeSlots(this.#singles) > 0;
    // With nothing more in the queue than what is under way, only an answer can change anything.
    const isShort = rows.found < rows.wanted && this.#rows.underWay > 0;
    const mayTakeRows = !isShort && this.#freeSlots(this.#rows) >= this.#smallestCall();
    const turn = this.#bulk === null ? Infinity : this.#request.paces.nextAt(this.#bulk.campaign.pace);
    return Math.min(
      mayTakeSingles ? this.#singlesAt() : Infinity,
      mayTakeRows ? Math.max(turn, restUntil, this.#rowsWaitUntil) : Infinity,
    );
  }

  /**
   * Looks whether the campaign may go on and whether single messages are due, and wakes the loop to renew the lease, while
   * the loop waits or every call hangs.
   */
  async #heartbeat(over: AbortSignal): Promise<void> {
    const { clock } = this.#world;
    let wakeAt = clock.monotonic() + RENEW_EVERY_MS;
    for (;;) {
      await clock.sleep(LOOK_EVERY_MS, over);
      if (over.aborted) return;
      // A store that fails makes the loop fail, which tells of it.
      const hasChanged = await this.#look().catch(() => false);
      if (!hasChanged && clock.monotonic() < wakeAt) continue;
      wakeAt = clock.monotonic() + RENEW_EVERY_MS;
      this.#wake();
    }
  }

  /** @returns whether there is something new to be done */
  async #look(): Promise<boolean> {
    const { store, clock } = this.#world;
    if (this.#bulk !== null) {
      const campaign = await store.campaign(this.#bulk.campaign.id);
      if (campaign !== null && campaign.state !== 'running') this.#isHalted = true;
    }
    const dueAt = await store.singlesDueAt(this.#request.lease.account);
    if (dueAt !== null && dueAt <= clock.now()) this.#mayBeSingles = true;
    return this.#isHalted || this.#mayBeSingles;
  }

  /** After an error: waits for the calls under way and tries once more to write their outcomes down. */
  async #saveWhatCameBack(): Promise<void> {
    while (this.#singles.underWay + this.#rows.underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const { store, clock } = this.#world;
    for (const source of new Set(this.#answered.map((answer) => answer.source))) {
      const answers = this.#answered.filter((answer) => answer.source === source);
      const step = { settled: answers.map(({ settlement }) => settlement), started: [], skipped: [] };
      // If this fails as well, the rows stay `started` and the next owner makes them `unknown`.
      await store.record(this.#request.lease, source.campaign.id, step, clock.now()).catch(() => undefined);
    }
  }
}

const UNKNOWN: Standing = { last: null, optedOutAt: null };

const NOTHING: Part = { start: [], skip: [], postpone: [] };

function toSource(campaign: Campaign, lane: Lane, { capabilities }: Provider): Source {
  const isUnsupported = campaign.template.kind === 'registered' && !capabilities.registeredTemplates;
  const refusal = isUnsupported ? { code: 'TEMPLATE_UNSUPPORTED', message: 'Nothing was sent.' } : null;
  return { campaign, content: campaignContent(campaign), lane, refusal };
}

function clockStalled(clock: Clock, since: number): boolean {
  return clock.now() - since > STALLED_MS;
}

function unknownOutcome(message: string): Outcome {
  return { kind: 'unknown', error: { code: 'REPLY_UNREADABLE', message } };
}
