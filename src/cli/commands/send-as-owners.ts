/**
 * `pagecast send --from record-owner` (rows V2 and V6): each row of the sheet leaves by SMS from its owner's own number. Pace,
 * lease and memory belong to a number, so each number's rows are a campaign of their own; they are shown, confirmed and sent
 * together.
 */
import type { ChalkInstance } from 'chalk';
import { approvePlan, countToConfirm, refuseIfSentBefore, requireConsent } from '../../app/approve.js';
import { planCampaign, type Plan } from '../../app/plan.js';
import { runCampaign } from '../../app/run.js';
import { ROW_STATES, type Counts } from '../../core/delivery.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { BULK_POLICY, judge, templateBlock } from '../../core/policy.js';
import { isError } from '../../core/finding.js';
import { isUsTenDigit } from '../../core/sms.js';
import type { Timing } from '../../core/schedule.js';
import type { Template } from '../../core/template.js';
import type { Store } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import { campaignJson, failureBudget, findCampaign, runStatus, timingJson } from '../campaign-run.js';
import { askForConsent } from '../consent.js';
import type { Context } from '../context.js';
import { findingJson } from '../messages.js';
import { readPace, type SendOptions } from '../options.js';
import { ownerAccounts, RECORD_OWNER } from '../owners.js';
import { ProgressLine } from '../progress.js';
import { campaignText, findingsText, planText, policyText, time, unregisteredNotice } from '../render.js';

/** Options that belong to one account or one campaign. */
const EXCLUDED = ['to', 'testTo', 'every', 'campaignKey', 'outsideWindow'] as const;

/** @param dryRun only shows the plans */
export async function sendAsOwners(context: Context, options: SendOptions, dryRun: boolean): Promise<ExitStatus> {
  const { terminal } = context;
  const template = await requireTemplate(context, options);
  const timing =
    options.at === undefined ? null : (await import('../timing.js')).readTiming(context, options.at, options);
  const all = await makePlans(context, options, template, timing);
  const { store, engine } = await context.store();
  const blocked = all.find(({ plan }) => isBlocked(plan, options.skipInvalid === true));
  if (blocked) {
    await discard(store, all);
    return printFaults(context, blocked.plan);
  }
  if (dryRun) {
    await discard(store, all);
    if (terminal.json) terminal.document(plansJson(all));
    else for (const line of plansText(all, terminal.paint)) terminal.data(line);
    return EXIT.done;
  }
  const plans = all.flatMap(({ account, plan: { campaign, ...plan } }) =>
    campaign !== null && plan.send > 0 ? [{ account, plan: { ...plan, campaign } }] : [],
  );
  if (plans.length === 0) {
    await discard(store, all);
    throw new Failure('NOBODY_TO_SEND_TO', 'Nobody is left to send to.', 'Look at the plan with --dry-run.');
  }

  const approved: string[] = [];
  try {
    for (const { account, plan } of plans) {
      const world = { store, clock: context.clock };
      if (options.again !== true) await refuseIfSentBefore(world, account, plan.digest);
      await context.provider(account);
    }
    if (!terminal.json) {
      terminal.note(`${policyText(BULK_POLICY, terminal.width, terminal.tint)}\n`);
      for (const line of plansText(all, terminal.tint)) terminal.note(line);
    }
    const people = plans.reduce((sum, { plan }) => sum + countToConfirm(plan), 0);
    const consent = await askForConsent(context, people, options, timing !== null);
    requireConsent(people, consent, timing !== null);
    for (const { account, plan } of plans) {
      const own = { ...consent, confirmedCount: countToConfirm(plan) };
      const terms = { again: options.again === true, budget: failureBudget(options) };
      approved.push(await approvePlan({ store, engine, clock: context.clock }, account, plan, own, terms));
    }
  } catch (error) {
    await discard(store, all);
    // All of them or none: nobody has confirmed a part of the sheet.
    for (const id of approved) await store.cancel(id, context.clock.now());
    throw error;
  }
  if (timing === null) return runAll(context, approved, options);
  await tell(context, approved);
  return EXIT.done;
}

/** The plan for the rows of one account's owners. */
interface OwnersPlan {
  account: AccountConfig;
  plan: Plan;
}

async function requireTemplate(context: Context, options: SendOptions): Promise<Template> {
  const excluded = EXCLUDED.filter((name) => options[name] !== undefined);
  if (excluded.length > 0) {
    const flags = excluded.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    throw new Failure(
      'USAGE',
      `--from ${RECORD_OWNER} does not go with ${flags.join(' and ')}.`,
      'It takes a sheet with a column Owner: pagecast sheet new --from record-owner. One message to one person: pagecast message send.',
    );
  }
  for (const [flag, value] of [
    ['--template', options.template],
    ['--sheet', options.sheet],
  ] as const) {
    if (value === undefined) throw new Failure('ANSWER_NEEDED', `${flag} is missing.`, 'pagecast send --help');
  }
  const { template } = await context.template(options.template ?? '', options.lang);
  const { kind: content, channels: tagged } = template;
  const verdict = judge({ mode: 'bulk', sender: RECORD_OWNER, channel: 'sms', content, tagged, inside: false });
  if (!verdict.allowed) {
    throw new Failure(
      'CHANNEL_DIFFERS',
      `${template.name} cannot be sent from ${RECORD_OWNER}. ${verdict.reason} (${verdict.row})`,
      verdict.instead,
    );
  }
  const block = templateBlock(template, 'sms');
  if (block) throw new Failure('POLICY_FORBIDS', `${template.name}: ${block.reason}`, block.instead);
  return template;
}

/** One plan for each account, also for those without rows; each knows of the faults of the whole sheet. */
async function makePlans(
  context: Context,
  options: SendOptions,
  template: Template,
  timing: Timing | null,
): Promise<OwnersPlan[]> {
  const { store } = await context.store();
  const { owners, window } = await context.workspace();
  const world = { store, sheets: await context.sheets(), clock: context.clock, random: context.random };
  const senders = await ownerAccounts(context);
  const limits = await context.sheetLimits();
  const plans: OwnersPlan[] = [];
  const progress = await ProgressLine.start(context.terminal, context.clock, 'Checking the recipients');
  try {
    for (const [index, { account, owners: own }] of senders.entries()) {
      const plan = await planCampaign(world, {
        account,
        template,
        outside: null,
        mode: 'bulk',
        source: { kind: 'sheet', path: context.path(options.sheet ?? ''), limits },
        owners: {
          all: new Set(owners.keys()),
          // Rows of nobody in particular are told of, and kept, with the first.
          isMine: (owner) => (owner === null ? index === 0 : own.has(owner)),
        },
        window,
        pace: options.pace === undefined ? account.pace : readPace(options.pace),
        skipInvalid: options.skipInvalid === true,
        timing,
      });
      plans.push({ account, plan });
    }
  } finally {
    progress.stop();
  }
  return plans;
}

function isBlocked({ campaign, findings }: Plan, skipInvalid: boolean): boolean {
  return campaign === null && findings.some((one) => isError(one) && (!skipInvalid || one.row === null));
}

async function discard(store: Store, plans: readonly OwnersPlan[]): Promise<void> {
  for (const { plan } of plans) if (plan.campaign !== null) await store.discard(plan.campaign);
}

function printFaults({ terminal }: Context, plan: Plan): ExitStatus {
  const total = Object.values(plan.counts).reduce((sum, count) => sum + count, 0);
  if (terminal.json) terminal.document({ ok: false, counts: plan.counts, findings: plan.findings.map(findingJson) });
  else {
    terminal.data(findingsText(plan.findings, total, terminal.paint));
    terminal.data(
      `${terminal.paint.red('Nothing can be sent')} until these faults are mended${plan.recipients > 0 ? ', or with --skip-invalid' : ''}.`,
    );
  }
  return EXIT.invalid;
}

function plansText(plans: readonly OwnersPlan[], paint: ChalkInstance): string[] {
  const [first] = plans;
  const total = Object.values(first?.plan.counts ?? {}).reduce((sum, count) => sum + count, 0);
  const findings = first && total > 0 ? [findingsText(first.plan.findings, total, paint, 5)] : [];
  const notices = plans
    .filter(({ account, plan }) => plan.send > 0 && isUsTenDigit(account.id))
    .map(({ account }) => unregisteredNotice(account.name));
  return [
    ...findings,
    ...plans.filter(({ plan }) => plan.rows > 0).map(({ plan }) => planText(plan, paint)),
    ...notices,
  ];
}

function plansJson(plans: readonly OwnersPlan[]): object {
  return {
    sender: RECORD_OWNER,
    send: plans.reduce((sum, { plan }) => sum + plan.send, 0),
    plans: plans
      .filter(({ plan }) => plan.rows > 0)
      .map(({ plan }) => ({
        account: plan.account,
        rows: plan.rows,
        send: plan.send,
        skip: plan.skip,
        sms: plan.sms,
        timing: timingJson(plan.timing),
      })),
  };
}

/** Sends all campaigns side by side: each number has a pace of its own. */
async function runAll(context: Context, ids: readonly string[], options: SendOptions): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { store, engine } = await context.store();
  const { window } = await context.workspace();
  const progress = await ProgressLine.start(terminal, clock, 'Sending');
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping: waiting for the messages that are under way. Press Ctrl-C again to leave at once.');
  });
  const counts = new Map<string, Counts>();
  const send = async (id: string): Promise<ExitStatus> => {
    const campaign = await findCampaign(context, id);
    const provider = await context.provider(await context.accountOf(campaign));
    const result = await runCampaign(
      { store, engine, provider, clock, random },
      {
        campaign: id,
        window,
        budget: campaign.budget,
        signal: interruption.signal,
        onProgress: (now) => {
          counts.set(id, { ...now.counts });
          if (!interruption.signal.aborted) progress.update({ ...now, counts: sum([...counts.values()]) });
        },
      },
    );
    return runStatus(result, options.strict === true);
  };
  let ended: PromiseSettledResult<ExitStatus>[];
  try {
    ended = await Promise.allSettled(ids.map(send));
  } finally {
    progress.stop();
    interruption.dispose();
  }
  await tell(context, ids);
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  const status = gravest(ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])));
  if (status === EXIT.interrupted && !terminal.json)
    terminal.note(`Go on with each: ${ids.map((id) => `pagecast campaign resume ${id}`).join('; ')}`);
  return status;
}

function sum(all: readonly Counts[]): Counts {
  const total = Object.fromEntries([...ROW_STATES, 'total'].map((state) => [state, 0])) as Counts;
  for (const one of all) for (const state of [...ROW_STATES, 'total'] as const) total[state] += one[state];
  return total;
}

/** What became of the campaigns, or when they will be sent. */
async function tell(context: Context, ids: readonly string[]): Promise<void> {
  const { terminal } = context;
  const { store } = await context.store();
  const pairs = await Promise.all(
    ids.map(async (id) => ({ campaign: await findCampaign(context, id), summary: await store.summary(id) })),
  );
  if (terminal.json) {
    const campaigns = pairs.map(({ campaign, summary }) => campaignJson(campaign, summary));
    terminal.document({ sender: RECORD_OWNER, campaigns });
    return;
  }
  for (const { campaign, summary } of pairs) {
    terminal.data(campaign.id);
    terminal.note(campaignText(campaign, summary, terminal.tint));
    if (campaign.timing !== null) terminal.note(`It goes out at ${time(campaign.timing.sendAt)}: pagecast run`);
  }
}
