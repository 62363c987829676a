/**
 * What a worker does for one account when it is woken: it makes campaigns of the occurrences that are due, then sends the
 * single messages and the campaigns that are due, the earliest first. Everything it needs is in the store, so that any worker
 * can take an account up at any time.
 */
import type { SheetLimits } from '../core/finding.js';
import { EXIT, Failure } from '../core/failure.js';
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
import { approvePlan, countToConfirm, type Terms } from './approve.js';
import { lastOccurrence, nextOccurrence } from './cron.js';
import { settleAbandoned } from './own-account.js';
import { planCampaign } from './plan.js';
import { runCampaign, type Progress, type RunResult } from './run.js';
import { sendSingles } from './send-singles.js';
import type { RunWorld } from './sending.js';

export interface AttendWorld {
  store: Store;
  engine: Engine;
  sheets: Sheets;
  clock: Clock;
  random: Random;
  /** The provider of the account that a campaign was planned for. @throws Failure */
  providerFor(campaign: Campaign): Promise<Provider>;
  /** What a recurrence names, as it is configured now. @throws Failure */
  namedBy(recurrence: Recurrence): Promise<{ account: Account; template: Template; outside: Template | null }>;
  /** As in RunWorld. */
  onSingle?: NonNullable<RunWorld['onSingle']>;
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
  /** It could not be planned now, and will be looked at again. */
  | { kind: 'occurrence_put_off'; recurrence: Recurrence; error: unknown }
  /** From this occurrence on some came by while nobody looked, and are not caught up. */
  | { kind: 'missed'; recurrence: Recurrence; from: number }
  /** Single messages were sent, or could not be sent for what stands in `stop`; those that are left will be looked at again. */
  | { kind: 'singles'; account: string; settled: number; stop: NonNullable<Campaign['stop']> | null }
  /** The account, or its single messages, could not be looked at, and will be looked at again. */
  | { kind: 'failed'; account: string; error: unknown };

/** When an account that somebody else is at, or a campaign that could not be run, is looked at again. */
const BUSY_MS = 5000;
const PUT_OFF_MS = 60_000;

/**
 * Never rejects: what goes wrong with one account must not end the work on the others.
 * @returns when the account is to be looked at again; null when nothing of it waits
 */
export async function attend(world: AttendWorld, account: string, request: AttendRequest): Promise<number | null> {
  try {
    return await work(world, account, request);
  } catch (error) {
    request.onEvent({ kind: 'failed', account, error });
    return world.clock.now() + PUT_OFF_MS;
  }
}

async function work(world: AttendWorld, account: string, request: AttendRequest): Promise<number | null> {
  const { store, clock } = world;
  const { signal } = request;
  const putOff = new Set<string>();
  let singles: Awaited<ReturnType<typeof sendDueSingles>> = 'done';
  for (;;) {
    // Before each campaign, so that no occurrence is missed behind a long one.
    await holdOccurrences(world, account, request, putOff);
    if (singles !== 'put off' && !signal.aborted) singles = await sendDueSingles(world, account, request);
    if (signal.aborted) return clock.now();
    const campaign = await nextDue(store, account, clock.now(), putOff);
    if (campaign === null) break;
    const busy = await send(world, campaign, request);
    if (busy === 'busy') return clock.now() + BUSY_MS;
    if (busy === 'put off') putOff.add(campaign.id);
  }
  // There may be rows that a dead run of a campaign that has ended meanwhile has left under way.
  await settleAbandoned(world, account);
  return singles === 'busy' ? clock.now() + BUSY_MS : wakeAt(store, account, clock.now());
}

/** @returns `busy`: somebody else has the account, and sends them; `put off`: they cannot be sent now */
async function sendDueSingles(
  world: AttendWorld,
  account: string,
  { window, signal, onEvent }: AttendRequest,
): Promise<'done' | 'busy' | 'put off'> {
  const { store, clock } = world;
  const [first] = await store.nextSingles(account, 1, clock.now());
  const campaign = first && (await store.campaign(first.campaign));
  if (!campaign) return 'done';
  try {
    const provider = await world.providerFor(campaign);
    const result = await sendSingles({ ...world, provider, window }, account, signal);
    if (result.kind === 'busy') return 'busy';
    const { settled, stop } = result;
    if (settled > 0 || stop !== null) onEvent({ kind: 'singles', account, settled, stop });
    return stop === null ? 'done' : 'put off';
  } catch (error) {
    onEvent({ kind: 'failed', account, error });
    return 'put off';
  }
}

async function send(
  world: AttendWorld,
  campaign: Campaign,
  { window, signal, onEvent }: AttendRequest,
): Promise<'done' | 'busy' | 'put off'> {
  let started = false;
  const onProgress = (progress: Progress): void => {
    if (!started) onEvent({ kind: 'started', campaign });
    started = true;
    onEvent({ kind: 'progress', campaign, progress });
  };
  try {
    const expired = await expireIfLate(world, campaign);
    if (expired) onEvent({ kind: 'ended', result: expired });
    if (expired) return 'done';
    const provider = await world.providerFor(campaign);
    const { budget, id } = campaign;
    const request = { campaign: id, seen: campaign, window, budget, signal, onAbort: 'leave', onProgress } as const;
    onEvent({ kind: 'ended', result: await runCampaign({ ...world, provider }, request) });
    return 'done';
  } catch (error) {
    const isBusy = error instanceof Failure && error.code === 'ACCOUNT_BUSY';
    // A campaign that another process is running is in good hands.
    if (!(isBusy && campaign.state === 'running')) onEvent({ kind: 'put_off', campaign, error });
    return isBusy ? 'busy' : 'put off';
  }
}

/** Also a campaign whose account is no longer there, so that no provider can be made, ends at its time. */
async function expireIfLate({ store, engine, clock }: AttendWorld, campaign: Campaign): Promise<RunResult | null> {
  const { id, account, state, timing } = campaign;
  if (state !== 'scheduled' || timing === null || clock.now() < timing.expiresAt) return null;
  const lease = await engine.own(account, clock.now());
  if (!lease) throw new Failure('ACCOUNT_BUSY', `Another process is sending for the account ${campaign.accountName}.`);
  try {
    await store.expire(lease, id, clock.now());
  } finally {
    await engine.release(lease, lease.freeAt, lease.taken);
  }
  return { ...(await store.summary(id)), campaign: (await store.campaign(id)) ?? campaign, end: 'expired' };
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
  const open = await store.openCampaigns(account);
  const due = open.filter((one) => !except.has(one.id) && isDue(dueAt(one, now), now));
  due.sort((a, b) => (dueAt(a, now) ?? 0) - (dueAt(b, now) ?? 0));
  return due[0] ?? null;
}

/** What is due already could not be done now. */
async function wakeAt(store: Store, account: string, now: number): Promise<number | null> {
  const times = (await store.openCampaigns(account)).map((one) => dueAt(one, now));
  times.push(await store.singlesDueAt(account));
  for (const one of await store.recurrences()) if (one.account === account) times.push(one.nextAt);
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known.map((at) => (at <= now ? now + PUT_OFF_MS : at)));
}

/** @param putOff schedules whose occurrence could not be held at this look; added to */
async function holdOccurrences(
  world: AttendWorld,
  account: string,
  request: AttendRequest,
  putOff: Set<string>,
): Promise<void> {
  for (;;) {
    // Read anew each time: planning takes a while, and somebody may end a schedule meanwhile.
    const due = (await world.store.recurrences()).find(
      (one) => one.account === account && !putOff.has(one.id) && isDue(one.nextAt, world.clock.now()),
    );
    if (due === undefined || request.signal.aborted) return;
    try {
      await holdOccurrence(world, due, request);
    } catch (error) {
      request.onEvent({ kind: 'occurrence_put_off', recurrence: due, error });
      putOff.add(due.id);
    }
  }
}

/**
 * Makes a campaign of the occurrence that is due, if it is not too late for it, and moves on to the next one.
 * @throws what may pass by itself; the occurrence stays due
 */
async function holdOccurrence(world: AttendWorld, recurrence: Recurrence, request: AttendRequest): Promise<void> {
  const { store, clock } = world;
  const { id, cron, zone, expiryMs, nextAt } = recurrence;
  if (nextAt === null) return;
  const now = clock.now();
  // Made by a worker that died before it could write that down.
  const made = await store.campaignOf({ recurrence: id, at: nextAt });
  if (made) {
    const last = { at: nextAt, result: { kind: 'campaign', campaign: made.id } } as const;
    await store.passOccurrence(id, nextAt, last, nextOccurrence(cron, zone, nextAt));
    return;
  }
  // Of occurrences that have come by unnoticed only the last may still be held; nothing is caught up.
  const at = Math.max(nextAt, lastOccurrence(cron, zone, now) ?? nextAt);
  if (at > nextAt) request.onEvent({ kind: 'missed', recurrence, from: nextAt });
  const result: OccurrenceResult =
    now >= at + expiryMs ? { kind: 'missed' } : await makeCampaignOrSayWhyNot(world, recurrence, at, request);
  await store.passOccurrence(id, nextAt, { at, result }, nextOccurrence(cron, zone, Math.max(at, now)));
  request.onEvent({ kind: 'occurrence', recurrence, at, result });
}

async function makeCampaignOrSayWhyNot(
  world: AttendWorld,
  recurrence: Recurrence,
  at: number,
  request: AttendRequest,
): Promise<OccurrenceResult> {
  try {
    return { kind: 'campaign', campaign: await makeCampaign(world, recurrence, at, request) };
  } catch (error) {
    // A busy store or a full disk may pass before the occurrence expires; what a person has to mend does not.
    if (!(error instanceof Failure) || error.status === EXIT.tryAgain) throw error;
    return { kind: 'refused', code: error.code, message: error.message };
  }
}

async function makeCampaign(
  world: AttendWorld,
  recurrence: Recurrence,
  at: number,
  { window, limits }: AttendRequest,
): Promise<string> {
  const { account, template, outside } = await world.namedBy(recurrence);
  const { source, pace, skipInvalid, zone, expiryMs, maxPeople, budget, policy, id } = recurrence;
  const plan = await planCampaign(world, {
    account,
    template,
    outside,
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
  const consent = { policyAccepted: policy === BULK_POLICY.version, confirmedCount: Math.min(people, maxPeople) };
  const terms: Terms = { again: true, budget, occurrence: { recurrence: id, at } };
  return approvePlan(world, account, { ...plan, campaign }, consent, terms);
}
