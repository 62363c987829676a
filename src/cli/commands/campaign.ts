/** `pagecast campaign`: what was sent, what is left, and how to go on. */
import { Option, type Command } from 'commander';
import { requireConsent } from '../../app/approve.js';
import { planRetry, type RetryableState } from '../../app/retry.js';
import { hasEnded, type Counts } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { BULK_POLICY } from '../../core/policy.js';
import type { Campaign } from '../../ports.js';
import { campaignJson, failureBudget, findBulkCampaign, findCampaign, runAndReport } from '../campaign-run.js';
import { askForConsent, type ConsentOptions } from '../consent.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import type { RunOptions } from '../options.js';
import { countsLine, plural, policyText, receiptsLine, table, time } from '../render.js';
import { registerReconcile } from './campaign-reconcile.js';
import { registerReport } from './campaign-report.js';
import { registerWatch } from './campaign-watch.js';

interface RetryOptions extends RunOptions, ConsentOptions {
  failed?: boolean;
  skipped?: boolean;
  unknown?: boolean;
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
  registerReport(campaign, launch);
  registerReconcile(campaign, launch);
  registerWatch(campaign, launch);
  campaign
    .command('pause')
    .description('let a campaign stand still, whichever process runs it; nothing more leaves within a second')
    .argument('<campaign>')
    .addHelpText('after', '\nExample:\n  $ pagecast campaign pause c20261121-4f9ak')
    .action(launch((context: Context, id: string) => pause(context, id)));
  campaign
    .command('cancel')
    .description('end a campaign, whichever process runs it; who has not got the message is left out')
    .argument('<campaign>')
    .addHelpText('after', '\nExample:\n  $ pagecast campaign cancel c20261121-4f9ak')
    .action(launch((context: Context, id: string) => cancel(context, id)));
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
    .option('--unknown', 'those whose outcome is not known; they may get the message a second time')
    .addOption(new Option('--include-unknown', 'the same as --unknown').implies({ unknown: true }).hideHelp())
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
  const all = await store.campaigns();
  // Single messages would hide the campaigns; `message list` has them.
  const campaigns = context.terminal.json ? all : all.filter((campaign) => campaign.mode === 'bulk');
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
      campaign.state === 'scheduled' && campaign.timing ? `scheduled: ${time(campaign.timing.sendAt)}` : campaign.state,
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
  const campaign = await findCampaign(context, id);
  const { store } = await context.store();
  const summary = await store.summary(id);
  const { terminal } = context;
  if (terminal.json) {
    terminal.document(campaignJson(campaign, summary));
    return EXIT.done;
  }
  terminal.data(`${id} is ${campaign.state}: ${countsLine(summary.counts)}.`);
  const received = receiptsLine(summary);
  if (received !== null) terminal.data(received);
  const { state, timing } = campaign;
  if (state === 'scheduled' && timing !== null) {
    const { timeLines } = await import('../timing.js');
    terminal.data(['It goes out at', ...timeLines(timing.sendAt, timing.zone)].join('\n'));
  } else if (state === 'continuous') {
    terminal.note(`It takes up single messages as they come. See them: pagecast message list --campaign ${id}`);
  } else if (!hasEnded(state)) {
    const doubt = state === 'running' || state === 'ready' ? 'If no other process is at it, go on with' : 'Go on with';
    terminal.note(`${doubt}: pagecast campaign resume ${id}`);
  }
  return EXIT.done;
}

/** What is about to happen, by counts, before it does. */
async function announce(context: Context, campaign: Campaign, what: (counts: Counts) => string): Promise<void> {
  const { store } = await context.store();
  const { counts } = await store.summary(campaign.id);
  if (!context.terminal.json) context.terminal.note(what(counts));
}

/** Messages that are already under way come to an outcome all the same. */
function underWay(counts: Counts): string {
  return counts.started > 0
    ? ` ${plural(counts.started, 'message is', 'messages are')} under way and will arrive.`
    : '';
}

function ended({ id, state }: Campaign): Failure {
  return new Failure(
    'CAMPAIGN_STATE',
    `Campaign ${id} is ${state}; nothing of it is left to send.`,
    `To send again to some: pagecast campaign retry ${id} ${state === 'finished' ? '--failed' : '--skipped'}`,
  );
}

async function pause(context: Context, id: string): Promise<ExitStatus> {
  const campaign = await findBulkCampaign(context, id);
  if (hasEnded(campaign.state)) throw ended(campaign);
  await announce(context, campaign, (counts) => `Pausing ${id}: ${countsLine(counts)}.${underWay(counts)}`);
  const { store } = await context.store();
  await store.pause(id, context.clock.now());
  return tellState(context, id, `${id} is paused. Go on with: pagecast campaign resume ${id}`);
}

async function cancel(context: Context, id: string): Promise<ExitStatus> {
  const campaign = await findBulkCampaign(context, id);
  if (hasEnded(campaign.state)) throw ended(campaign);
  await announce(
    context,
    campaign,
    (counts) => `Cancelling ${id}: ${plural(counts.queued, 'message')} will not be sent.${underWay(counts)}`,
  );
  const { store } = await context.store();
  await store.cancel(id, context.clock.now());
  return tellState(context, id, `${id} is cancelled.`);
}

async function tellState(context: Context, id: string, sentence: string): Promise<ExitStatus> {
  const { store } = await context.store();
  const [campaign, summary] = [await findCampaign(context, id), await store.summary(id)];
  if (context.terminal.json) context.terminal.document(campaignJson(campaign, summary));
  else context.terminal.note(sentence);
  return EXIT.done;
}

async function resume(context: Context, id: string, options: RunOptions): Promise<ExitStatus> {
  const campaign = await findBulkCampaign(context, id);
  if (hasEnded(campaign.state)) throw ended(campaign);
  const { timing } = campaign;
  const now = context.clock.now();
  if (timing === null || campaign.startedAt !== null) {
    await announce(context, campaign, (counts) => `Going on with ${id}: ${plural(counts.queued, 'message')} to go.`);
    return runAndReport(context, campaign, options);
  }
  const { store, engine } = await context.store();
  if (campaign.state === 'paused') await store.reschedule(id);
  if (now < timing.sendAt) {
    await engine.wake(campaign.account, timing.sendAt);
    return tellState(context, id, `${id} waits for ${time(timing.sendAt)}. A worker has to be there: pagecast run`);
  }
  await announce(context, campaign, (counts) =>
    now < timing.expiresAt
      ? `Planning ${id} again, and sending: at most ${plural(counts.total, 'message')}.`
      : `${id} could not start by ${time(timing.expiresAt)}: ${plural(counts.queued, 'person', 'people')} will be left out.`,
  );
  return runAndReport(context, await findCampaign(context, id), options);
}

async function retry(context: Context, id: string, options: RetryOptions): Promise<ExitStatus> {
  failureBudget(options);
  const campaign = await findBulkCampaign(context, id);
  const states: RetryableState[] = [];
  if (options.failed === true) states.push('failed');
  if (options.skipped === true) states.push('skipped');
  if (options.unknown === true) states.push('unknown');
  if (states.length === 0) {
    throw new Failure('USAGE', 'Nothing was chosen.', 'Pass --failed, --skipped or --unknown.');
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
