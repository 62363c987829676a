/**
 * What a worker does for one account when it is woken: it makes campaigns of the occurrences that are due, then sends what
 * is due, the earliest first. Everything it needs is in the store, so that any worker can take an account up at any time.
 */
import type { FailureBudget } from '../core/delivery.js';
import type { SheetLimits } from '../core/finding.js';
import { Failure } from '../core/failure.js';
import { BULK_POLICY } from '../core/policy.js';
import { dueAt } from '../core/schedule.js';
import type { Template } from '../core/template.js';
import type { WindowSettings } from '../core/window.js';
import type {
  Account,
  Campaign,
  Clock,
  Engine,
  OccurrenceResult,
  Provider,
  Random,
  Recurrence,
  Sheets,
  Store,
} from '../ports.js';
import { approvePlan, countToConfirm } from './approve.js';
import { nextOccurrence } from './cron.js';
import { planCampaign } from './plan.js';
import { runCampaign, type Progress, type RunResult } from './run.js';

export interface AttendWorld {
  store: Store;
  engine: Engine;
  sheets: Sheets;
  clock: Clock;
  random: Random;
  /** The provider of the account that a campaign was planned for. @throws Failure */
  providerFor(campaign: Campaign): Promise<Provider>;
  /** What a recurrence names, as it is configured now. @throws Failure */
  namedBy(recurrence: Recurrence): Promise<{ account: Account; template: Template }>;
}

export interface AttendRequest {
  window: WindowSettings;
  limits: SheetLimits;
  /** Aborted: nothing more is started, and a campaign under way is left to the next worker. */
  signal: AbortSignal;
  onEvent: (event: WorkEvent) => void;
}

export type WorkEvent =
  | { kind: 'started'; campaign: Campaign }
  | { kind: 'progress'; campaign: Campaign; progress: Progress }
  | { kind: 'ended'; result: RunResult }
  /** A campaign could not be run now, and will be looked at again. */
  | { kind: 'put_off'; campaign: Campaign; error: unknown }
  | { kind: 'occurrence'; recurrence: Recurrence; at: number; result: OccurrenceResult }
  /** So many occurrences came by while nobody looked, and are not caught up. */
  | { kind: 'missed'; recurrence: Recurrence; count: number };

/** When an account that somebody else is at, or a campaign that could not be run, is looked at again. */
const BUSY_MS = 5000;
const PUT_OFF_MS = 60_000;

/** @returns when the account is to be looked at again; null when nothing of it waits */
export async function attend(world: AttendWorld, account: string, request: AttendRequest): Promise<number | null> {
  const { store, clock } = world;
  const { signal, onEvent } = request;
  for (const recurrence of await store.recurrences()) {
    if (recurrence.account === account && isDue(recurrence.nextAt, clock.now()) && !signal.aborted)
      await holdOccurrence(world, recurrence, request);
  }
  const putOff = new Set<string>();
  for (;;) {
    if (signal.aborted) return clock.now();
    const campaign = await nextDue(store, account, clock.now(), putOff);
    if (campaign === null) break;
    let started = false;
    const onProgress = (progress: Progress): void => {
      if (!started) onEvent({ kind: 'started', campaign });
      started = true;
      onEvent({ kind: 'progress', campaign, progress });
    };
    try {
      const provider = await world.providerFor(campaign);
      const { budget, id } = campaign;
      const result = await runCampaign(
        { ...world, provider },
        { campaign: id, window: request.window, budget, signal, onAbort: 'leave', onProgress },
      );
      onEvent({ kind: 'ended', result });
    } catch (error) {
      onEvent({ kind: 'put_off', campaign, error });
      if (error instanceof Failure && error.code === 'ACCOUNT_BUSY') return clock.now() + BUSY_MS;
      putOff.add(campaign.id);
    }
  }
  return wakeAt(store, account, clock.now());
}

function isDue(at: number | null, now: number): boolean {
  return at !== null && at <= now;
}

async function nextDue(
  store: Store,
  account: string,
  now: number,
  except: ReadonlySet<string>,
): Promise<Campaign | null> {
  const due = (await store.openCampaigns(account)).filter((one) => !except.has(one.id) && isDue(dueAt(one), now));
  due.sort((a, b) => (dueAt(a) ?? 0) - (dueAt(b) ?? 0));
  return due[0] ?? null;
}

/** What is due already could not be done now. */
async function wakeAt(store: Store, account: string, now: number): Promise<number | null> {
  const times = (await store.openCampaigns(account)).map(dueAt);
  for (const one of await store.recurrences()) if (one.account === account) times.push(one.nextAt);
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known.map((at) => (at <= now ? now + PUT_OFF_MS : at)));
}

/** Makes a campaign of the occurrence that is due, if it is not too late for it, and moves on to the next one. */
async function holdOccurrence(world: AttendWorld, recurrence: Recurrence, request: AttendRequest): Promise<void> {
  const { store, clock } = world;
  const { id, cron, zone, expiryMs, nextAt } = recurrence;
  if (nextAt === null) return;
  const now = clock.now();
  // Of occurrences that have come by unnoticed only the last may still be held; nothing is caught up.
  let at = nextAt;
  let next = nextOccurrence(cron, zone, at);
  let missed = 0;
  for (; next !== null && next <= now; missed += 1) {
    at = next;
    next = nextOccurrence(cron, zone, at);
  }
  if (missed > 0) request.onEvent({ kind: 'missed', recurrence, count: missed });
  let result: OccurrenceResult;
  if (now >= at + expiryMs) result = { kind: 'missed' };
  else {
    try {
      result = { kind: 'campaign', campaign: await makeCampaign(world, recurrence, at, request) };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      result = { kind: 'refused', code: error.code, message: error.message };
    }
  }
  await store.passOccurrence(id, nextAt, { at, result }, next);
  request.onEvent({ kind: 'occurrence', recurrence, at, result });
}

async function makeCampaign(
  world: AttendWorld,
  recurrence: Recurrence,
  at: number,
  { window, limits }: AttendRequest,
): Promise<string> {
  const { account, template } = await world.namedBy(recurrence);
  const { source, pace, skipInvalid, zone, expiryMs, maxPeople, budget, policy, id } = recurrence;
  const plan = await planCampaign(world, {
    account,
    template,
    source: source.kind === 'sheet' ? { ...source, limits } : source,
    window,
    pace,
    skipInvalid,
    timing: { sendAt: at, expiresAt: at + expiryMs, zone },
  });
  const { campaign } = plan;
  if (campaign === null) {
    const codes = [...new Set(plan.findings.map((one) => one.code))].join(', ');
    throw new Failure('SHEET_INVALID', `The recipients have faults (${codes}); nothing was sent.`);
  }
  const people = countToConfirm(plan);
  // Each occurrence is a send of its own that somebody wished for, so what went out yesterday may go out today; what they
  // accepted and how many people they had in mind holds for all.
  const consent = {
    policyAccepted: policy === BULK_POLICY.version,
    confirmedCount: people <= maxPeople ? people : maxPeople,
  };
  const terms: { again: true; budget: FailureBudget; occurrence: { recurrence: string; at: number } } = {
    again: true,
    budget,
    occurrence: { recurrence: id, at },
  };
  return approvePlan(world, account, { ...plan, campaign }, consent, terms);
}
