/** Runs a campaign for a person or a script: progress, Ctrl-C, the report, and the exit status. */
import { runCampaign, type RunResult } from '../app/run.js';
import { DEFAULT_BUDGET, finishedStatus, parseBudget, STOP_STATUS, type FailureBudget } from '../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { Campaign, CampaignSummary, RequeuedRow } from '../ports.js';
import type { AccountConfig } from '../workspace/config.js';
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
  if (terminal.json) terminal.document(campaignJson(result.campaign, result));
  else {
    terminal.data(campaign.id);
    terminal.note(campaignText(result.campaign, result, terminal.tint));
    for (const line of whatNext(result)) terminal.note(line);
  }
  return runStatus(result, options.strict === true);
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
  const budget = failureBudget(options);
  const { store, engine } = await context.store();
  const provider = await context.provider(await sameAccount(context, campaign));
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
    throw error instanceof Failure && error.code !== 'CAMPAIGN_STATE' && error.code !== 'COUNT_DIFFERS'
      ? withWayOn(error, campaign)
      : error;
  } finally {
    progress.stop();
    interruption.dispose();
  }
}

/** The account that the campaign was planned for. User IDs belong to one Page: with another, they are other people or nobody. */
async function sameAccount(context: Context, { id, account: planned, accountName }: Campaign): Promise<AccountConfig> {
  const account = await context.account(accountName);
  if (senderKey(account) === planned) return account;
  throw new Failure(
    'CAMPAIGN_STATE',
    `Campaign ${id} was planned for ${planned}, and ${accountName} is ${senderKey(account)} now.`,
    `Put ${accountName} back in pagecast.yaml as it was, or make a new campaign.`,
  );
}

/** The campaign is in the ledger by now, so the same `send` again would be refused as sent before. */
function withWayOn({ code, message, hint, cause }: Failure, { id }: Campaign): Failure {
  const way = `Campaign ${id} is kept. Go on with: pagecast campaign resume ${id}`;
  return new Failure(code, message, hint === '' ? way : `${hint}\n${way}`, cause);
}

function runStatus(result: RunResult, strict: boolean): ExitStatus {
  if (result.end === 'paused') return EXIT.interrupted;
  if (result.campaign.stop) return STOP_STATUS[result.campaign.stop.cause];
  return finishedStatus(result.counts, strict);
}

function whatNext({ campaign, counts, end }: RunResult): string[] {
  const lines: string[] = [];
  if (end !== 'finished') lines.push(`Go on with: pagecast campaign resume ${campaign.id}`);
  if (counts.failed + counts.unknown > 0)
    lines.push(`One line for each message: pagecast message list --campaign ${campaign.id}`);
  if (counts.unknown > 0) {
    lines.push(
      'Unknown messages may have arrived and are not sent again by themselves. Look into the conversations first.',
    );
  }
  return lines;
}

/** A campaign as it stands in JSON. Instants are ISO 8601 in UTC. */
export function campaignJson(campaign: Campaign, summary: CampaignSummary): object {
  const { counts, skip, errors, refusedByOpener } = summary;
  return {
    campaign: campaign.id,
    state: campaign.state,
    account: campaign.accountName,
    template: campaign.template.name,
    language: campaign.template.language,
    source: campaign.source,
    pace: campaign.pace,
    ...counts,
    skip,
    errors,
    refusedByOpener,
    stop: campaign.stop,
    approvedAt: iso(campaign.approvedAt),
    startedAt: iso(campaign.startedAt),
    finishedAt: iso(campaign.finishedAt),
  };
}

export function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
