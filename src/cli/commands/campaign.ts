/** `pagecast campaign`: what was sent, what is left, and how to go on. */
import type { Command } from 'commander';
import { requireConsent } from '../../app/approve.js';
import { planRetry, type RetryableState } from '../../app/retry.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { BULK_POLICY } from '../../core/policy.js';
import type { Campaign, CampaignSummary } from '../../ports.js';
import { campaignJson, failureBudget, runAndReport } from '../campaign-run.js';
import { askForConsent, type ConsentOptions } from '../consent.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import type { RunOptions } from '../options.js';
import { campaignText, countsLine, plural, policyText, table, time } from '../render.js';

interface RetryOptions extends RunOptions, ConsentOptions {
  failed?: boolean;
  skipped?: boolean;
  includeUnknown?: boolean;
}

export function register(program: Command, launch: Launch): void {
  const campaign = program.command('campaign').description('the campaigns in the ledger');
  campaign
    .command('list')
    .description('list the campaigns, newest first')
    .addHelpText('after', '\nExample:\n  $ pagecast campaign list')
    .action(launch((context: Context) => list(context)));
  campaign
    .command('show')
    .description("show a campaign's counts")
    .argument('<campaign>')
    .addHelpText('after', '\nExample:\n  $ pagecast campaign show c20261121-4f9ak --json')
    .action(launch((context: Context, id: string) => show(context, id)));
  campaign
    .command('report')
    .description('report on a campaign: who was left out, what failed, what it means and what to do')
    .argument('<campaign>')
    .addHelpText('after', '\nExample:\n  $ pagecast campaign report c20261121-4f9ak')
    .action(launch((context: Context, id: string) => report(context, id)));
  limits(
    campaign
      .command('resume')
      .description('go on with a campaign that was paused, stopped or cut off')
      .argument('<campaign>'),
  )
    .addHelpText('after', '\nExample:\n  $ pagecast campaign resume c20261121-4f9ak')
    .action(launch((context: Context, id: string, options: RunOptions) => resume(context, id, options)));
  limits(
    campaign.command('retry').description('send again to those that failed or were left out').argument('<campaign>'),
  )
    .option('--failed', 'those that the platform refused')
    .option('--skipped', 'those that were left out and whose window is open now')
    .option('--include-unknown', 'those whose outcome is not known; they may get the message a second time')
    .option('--accept-policy', 'accept what the platform says about bulk messages')
    .option('--confirm-count <n>', 'how many people you expect to write to')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pagecast campaign retry c20261121-4f9ak --failed\n  $ pagecast campaign retry c20261121-4f9ak --skipped --accept-policy --confirm-count 12',
    )
    .action(launch((context: Context, id: string, options: RetryOptions) => retry(context, id, options)));
}

function limits(command: Command): Command {
  return command
    .option('--max-failures <limit>', 'stop when so many fail: 25, 10% or 25,10%')
    .option('--strict', 'exit with 5 when people were left out');
}

async function list(context: Context): Promise<ExitStatus> {
  const { store } = await context.store();
  const campaigns = await store.campaigns();
  const summaries = await Promise.all(campaigns.map((campaign) => store.summary(campaign.id)));
  const pairs = campaigns.flatMap((campaign, index) => {
    const summary = summaries[index];
    return summary ? [{ campaign, summary }] : [];
  });
  const { terminal } = context;
  if (terminal.json) terminal.document(pairs.map(({ campaign, summary }) => campaignJson(campaign, summary)));
  else if (pairs.length === 0) terminal.note('There are no campaigns yet. Start one with: pagecast send');
  else {
    const rows = pairs.map(({ campaign, summary }) => [
      campaign.id,
      campaign.state,
      campaign.accountName,
      `${campaign.template.name} (${campaign.template.language})`,
      time(campaign.approvedAt),
      countsLine(summary.counts),
    ]);
    terminal.data(table(['CAMPAIGN', 'STATE', 'ACCOUNT', 'TEMPLATE', 'APPROVED', 'MESSAGES'], rows, terminal.paint));
  }
  return EXIT.done;
}

async function show(context: Context, id: string): Promise<ExitStatus> {
  return tell(context, id, ({ terminal }, campaign, summary) => {
    terminal.data(`${campaign.id} is ${campaign.state}: ${countsLine(summary.counts)}.`);
    if (campaign.state !== 'finished') {
      terminal.note(`If no other process is at it, go on with: pagecast campaign resume ${id}`);
    }
  });
}

async function report(context: Context, id: string): Promise<ExitStatus> {
  return tell(context, id, ({ terminal }, campaign, summary) =>
    terminal.data(campaignText(campaign, summary, terminal.paint)),
  );
}

async function tell(
  context: Context,
  id: string,
  print: (context: Context, campaign: Campaign, summary: CampaignSummary) => void,
): Promise<ExitStatus> {
  const campaign = await find(context, id);
  const { store } = await context.store();
  const summary = await store.summary(id);
  if (context.terminal.json) context.terminal.document(campaignJson(campaign, summary));
  else print(context, campaign, summary);
  return EXIT.done;
}

async function resume(context: Context, id: string, options: RunOptions): Promise<ExitStatus> {
  const campaign = await find(context, id);
  if (campaign.state === 'finished') {
    throw new Failure(
      'CAMPAIGN_STATE',
      `Campaign ${id} is finished; nothing is left to send.`,
      `To send again to some: pagecast campaign retry ${id} --failed`,
    );
  }
  return runAndReport(context, campaign, options);
}

async function retry(context: Context, id: string, options: RetryOptions): Promise<ExitStatus> {
  failureBudget(options);
  const campaign = await find(context, id);
  const states: RetryableState[] = [];
  if (options.failed === true) states.push('failed');
  if (options.skipped === true) states.push('skipped');
  if (options.includeUnknown === true) states.push('unknown');
  if (states.length === 0) {
    throw new Failure('USAGE', 'Nothing was chosen.', 'Pass --failed, --skipped or --include-unknown.');
  }

  const { store } = await context.store();
  const { window } = await context.workspace();
  const { terminal, clock } = context;
  const plans = [];
  for (const state of states) plans.push(await planRetry(store, campaign, state, window, clock.now()));
  const requeue = plans.flatMap((plan) => plan.rows);
  if (!terminal.json) {
    terminal.note(`${policyText(BULK_POLICY, terminal.width, terminal.tint)}\n`);
    for (const { state, rows, staying } of plans) {
      const rest = staying > 0 ? `; ${staying} stay as they are, because they still cannot be sent to` : '';
      terminal.note(`${plural(rows.length, `${state} message`)} to send again${rest}.`);
    }
  }
  requireConsent(requeue.length, await askForConsent(context, requeue.length, options));
  return runAndReport(context, campaign, { ...options, requeue });
}

async function find(context: Context, id: string): Promise<Campaign> {
  const { store } = await context.store();
  const campaign = await store.campaign(id);
  if (campaign) return campaign;
  throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`, 'List them: pagecast campaign list');
}
