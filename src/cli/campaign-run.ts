/** Runs a campaign for a person or a script: progress, Ctrl-C, the report, and the exit status. */
import { runCampaign, type RunResult } from '../app/run.js';
import {
  DEFAULT_BUDGET,
  finishedStatus,
  hasEnded,
  parseBudget,
  STOP_STATUS,
  type CampaignState,
  type Counts,
  type FailureBudget,
} from '../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../core/failure.js';
import type { Timing } from '../core/schedule.js';
import type { Campaign, CampaignSummary, RequeuedRow } from '../ports.js';
import type { Context } from './context.js';
import type { RunOptions } from './options.js';
import { ProgressLine } from './progress.js';
import { campaignText } from './render.js';

/** Sends what a campaign has queued, and reports. */
export async function runAndReport(
  context: Context,
  campaign: Campaign,
  options: RunOptions & { requeue?: readonly RequeuedRow[] },
): Promise<ExitStatus> {
  const { terminal } = context;
  const result = await runWithProgress(context, campaign, options);
  await tellResult(context, result.campaign, result);
  if (!terminal.json) for (const line of whatNext(result)) terminal.note(line);
  return runStatus(result, options.strict === true);
}

/** Reports on a campaign of which nothing is to be sent now. */
export async function reportEnded(context: Context, campaign: Campaign, options: RunOptions): Promise<ExitStatus> {
  const { store } = await context.store();
  const summary = await store.summary(campaign.id);
  await tellResult(context, campaign, summary);
  return endedStatus(campaign.state, summary.counts, options.strict === true);
}

async function tellResult(context: Context, campaign: Campaign, summary: CampaignSummary): Promise<void> {
  const { terminal } = context;
  await (await context.githubActions())?.results([{ campaign, summary }]);
  if (terminal.json) terminal.document(campaignJson(campaign, summary));
  else {
    terminal.data(campaign.id);
    terminal.note(campaignText(campaign, summary, terminal.tint));
  }
}

/** @throws Failure CAMPAIGN_UNKNOWN */
export async function findCampaign(context: Context, id: string): Promise<Campaign> {
  const { store } = await context.store();
  const campaign = await store.campaign(id);
  if (campaign) return campaign;
  throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`, 'List them: pagecast campaign list');
}

/**
 * A campaign that is sent as one, and can be paused, resumed and ended.
 * @throws Failure CAMPAIGN_UNKNOWN; CAMPAIGN_STATE for one that takes up single messages as they come
 */
export async function findBulkCampaign(context: Context, id: string): Promise<Campaign> {
  const campaign = await findCampaign(context, id);
  if (campaign.state !== 'continuous') return campaign;
  throw new Failure(
    'CAMPAIGN_STATE',
    `Campaign ${id} takes up single messages as they come (${kindOf(campaign)}); it has no beginning and no end.`,
    `See them: pagecast message list --campaign ${id}`,
  );
}

/** What occasions the messages of a campaign: the name of a flow, or else its mode. */
export function kindOf({ mode, flow }: Pick<Campaign, 'mode' | 'flow'>): string {
  return flow ?? mode;
}

/** Read before anything is approved or queued again, so that a mistyped limit leaves nothing behind. @throws Failure USAGE */
export function failureBudget({ maxFailures }: RunOptions): FailureBudget {
  const budget = maxFailures === undefined ? DEFAULT_BUDGET : parseBudget(maxFailures);
  if (budget) return budget;
  throw new Failure(
    'USAGE',
    `"${maxFailures ?? ''}" is no limit for failures.`,
    'Write --max-failures 25, 10% or 25,10%.',
  );
}

/** Sends what a campaign has queued, with a progress line; Ctrl-C pauses it. */
async function runWithProgress(
  context: Context,
  campaign: Campaign,
  options: RunOptions & { requeue?: readonly RequeuedRow[] },
): Promise<RunResult> {
  const { terminal, clock, random } = context;
  const budget = options.maxFailures === undefined ? campaign.budget : failureBudget(options);
  const { store, engine } = await context.store();
  const provider = await context.provider(await context.accountOf(campaign));
  const { window } = await context.workspace();
  const progress = await ProgressLine.start(terminal, clock, 'Sending');
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping: waiting for the messages that are under way. Press Ctrl-C again to leave at once.');
  });
  try {
    return await runCampaign(
      { store, engine, provider, clock, random },
      {
        campaign: campaign.id,
        seen: campaign,
        window,
        budget,
        signal: interruption.signal,
        ...(options.requeue && { requeue: options.requeue }),
        onProgress: (now) => {
          if (!interruption.signal.aborted) progress.update(now);
        },
      },
    );
  } catch (error) {
    progress.stop();
    throw withWayOn(error, campaign);
  } finally {
    progress.stop();
    interruption.dispose();
  }
}

/**
 * The campaign is in the ledger by now, so the same `send` again would be refused as sent before.
 * @param error what ended a run of it; the Failures about its state tell their own way
 */
export function withWayOn(error: unknown, { id }: Pick<Campaign, 'id'>): unknown {
  if (!(error instanceof Failure) || error.code === 'CAMPAIGN_STATE' || error.code === 'COUNT_DIFFERS') return error;
  const { code, message, hint, cause } = error;
  const way = `Campaign ${id} is kept. A worker that is running goes on with it; or: pagecast campaign resume ${id}`;
  return new Failure(code, message, hint === '' ? way : `${hint}\n${way}`, cause);
}

export function runStatus(result: RunResult, strict: boolean): ExitStatus {
  const { campaign, counts, end } = result;
  if (campaign.stop) return STOP_STATUS[campaign.stop.cause];
  // Somebody may have cancelled it meanwhile.
  if (hasEnded(campaign.state)) return endedStatus(campaign.state, counts, strict);
  return end === 'finished' ? finishedStatus(counts, strict) : EXIT.interrupted;
}

export function endedStatus(state: CampaignState, counts: Counts, strict: boolean): ExitStatus {
  return state === 'expired' || state === 'cancelled' ? EXIT.stopped : finishedStatus(counts, strict);
}

/** What a person may want to do after a run. */
export function whatNext({ campaign, counts, end }: RunResult): string[] {
  const lines: string[] = [];
  if (end === 'expired') lines.push(`To send it now all the same: pagecast campaign retry ${campaign.id} --skipped`);
  else if (!hasEnded(campaign.state)) lines.push(`Go on with: pagecast campaign resume ${campaign.id}`);
  if (counts.failed + counts.unknown > 0)
    lines.push(`One line for each message: pagecast message list --campaign ${campaign.id}`);
  if (counts.unknown > 0) {
    lines.push(
      `Unknown messages may have arrived and are not sent again by themselves. Look into the conversations: pagecast campaign reconcile ${campaign.id}`,
    );
  }
  return lines;
}

/** A campaign as it stands in JSON. Instants are ISO 8601 in UTC. */
export function campaignJson(campaign: Campaign, summary: CampaignSummary): object {
  const { counts, skip, errors, refusedByOpener, receipts, undelivered, changed, outside } = summary;
  return {
    campaign: campaign.id,
    state: campaign.state,
    account: campaign.accountName,
    template: campaign.template.name,
    language: campaign.template.language,
    mode: campaign.mode,
    flow: campaign.flow,
    outside: campaign.outside && { template: campaign.outside.name, messages: outside },
    source: campaign.source,
    pace: campaign.pace,
    key: campaign.key,
    timing: timingJson(campaign.timing),
    occurrence: campaign.occurrence && { ...campaign.occurrence, at: iso(campaign.occurrence.at) },
    ...counts,
    skip,
    errors,
    refusedByOpener,
    receipts,
    undelivered,
    changed,
    stop: campaign.stop && { ...campaign.stop, at: iso(campaign.stop.at) },
    approvedAt: iso(campaign.approvedAt),
    startedAt: iso(campaign.startedAt),
    finishedAt: iso(campaign.finishedAt),
  };
}

export function timingJson(timing: Timing | null): object | null {
  return timing && { sendAt: iso(timing.sendAt), expiresAt: iso(timing.expiresAt), zone: timing.zone };
}

export function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
