/**
 * `pagecast send --from record-owner` (rows V2 and V6): each row of the sheet leaves by SMS from its owner's own number. Pace,
 * lease and memory belong to a number, so each number's rows are a campaign of their own; they are shown, confirmed and sent
 * together.
 */
import {
  approvePlan,
  countToConfirm,
  keepLeftOut,
  refuseIfSentBefore,
  requireConsent,
  sentBefore,
} from '../../app/approve.js';
import { planCampaigns, type Plan, type PlanSender } from '../../app/plan.js';
import { runCampaign } from '../../app/run.js';
import { hasEnded, NEEDS_A_PERSON, ROW_STATES, type Counts } from '../../core/delivery.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { judge, templateBlock } from '../../core/policy.js';
import type { Timing } from '../../core/schedule.js';
import type { Template } from '../../core/template.js';
import type { Campaign, Store } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import {
  campaignJson,
  endedStatus,
  failureBudget,
  findCampaign,
  runStatus,
  timingJson,
  whatNext,
  withWayOn,
} from '../campaign-run.js';
import { askForConsent } from '../consent.js';
import type { Context } from '../context.js';
import { reportError } from '../errors.js';
import { findingJson } from '../messages.js';
import { readPace, type SendOptions } from '../options.js';
import { ownerAccounts, RECORD_OWNER, type OwnersNumber } from '../owners.js';
import { printPlans, printPolicy, printPreview, type Plans } from '../plan-preview.js';
import { ProgressLine } from '../progress.js';
import { campaignText, time } from '../render.js';

/** Options that belong to one account or one campaign. */
const EXCLUDED = ['to', 'testTo', 'every', 'campaignKey', 'outsideWindow'] as const;

/** @param dryRun only shows the plans */
export async function sendAsOwners(context: Context, options: SendOptions, dryRun: boolean): Promise<ExitStatus> {
  const { terminal } = context;
  const budget = failureBudget(options);
  const template = await requireTemplate(context, options);
  const timing =
    options.at === undefined ? null : (await import('../timing.js')).readTiming(context, options.at, options);
  const { plans, planned } = await makePlans(context, options, template, timing);
  const { store, engine } = await context.store();
  if (planned.length === 0 || dryRun) {
    await discard(store, planned);
    if (options.dryRun === true && !terminal.json) printPolicy(context);
    return printPlans(context, plans, plansJson(plans));
  }

  const world = { store, engine, clock: context.clock };
  const approved: string[] = [];
  const shares: Share[] = [];
  try {
    for (const one of planned) {
      const before = options.again === true ? null : await campaignToGoOnWith(context, one);
      if (before === null || isToRun(before)) await context.provider(one.account);
      shares.push({ ...one, before });
    }
    const first = shares.find(({ before }) => before?.state === 'finished');
    // Where nothing is left of the whole sheet, this is the same send once more.
    if (first && shares.every(({ plan, before }) => before?.state === 'finished' || countToConfirm(plan) === 0))
      await refuseIfSentBefore(world, first.account, first.plan.digest);

    await printPreview(context, plans);
    if (!terminal.json) for (const line of shares.flatMap(beforeLines)) terminal.note(line);
    const people = shares.reduce((sum, { plan }) => sum + countToConfirm(plan), 0);
    const consent = await askForConsent(context, people, options, timing !== null);
    requireConsent(people, consent, timing !== null);
    for (const { account, plan, before } of shares) {
      if (before !== null) await store.discard(plan.campaign);
      else if (countToConfirm(plan) === 0) await keepLeftOut(world, plan, budget);
      else {
        const own = { ...consent, confirmedCount: countToConfirm(plan) };
        await approvePlan(world, account, plan, own, { again: options.again === true, budget });
      }
      if (before === null) approved.push(plan.campaign);
    }
  } catch (error) {
    await discard(store, planned);
    // All of them or none: nobody has confirmed a part of the sheet.
    for (const id of approved) await store.cancel(id, context.clock.now()).catch(() => undefined);
    throw error;
  }
  const campaigns = shares.map(({ plan, before }) => before?.id ?? plan.campaign);
  if (timing === null) return runAll(context, campaigns, options);
  await tell(context, campaigns);
  return EXIT.done;
}

/** The rows of one number's owners, where there are any. */
interface Planned {
  account: AccountConfig;
  plan: Plan & { campaign: string };
}

/** What one number has to send. */
interface Share extends Planned {
  /** The campaign that has just this already, because the same send was broken off; null when it is new. */
  before: Campaign | null;
}

/**
 * A send that died has perhaps approved, or even finished, some of its campaigns. Whoever sends the same again goes on with
 * them: a second campaign for them would write to people twice.
 * @throws Failure ALREADY_SENT where that is not what they ask for
 */
async function campaignToGoOnWith(context: Context, { account, plan }: Planned): Promise<Campaign | null> {
  // Rows without anybody in them are all alike.
  if (plan.recipients === 0) return null;
  const { store } = await context.store();
  const world = { store, clock: context.clock };
  const before = await sentBefore(world, account, plan.digest);
  if (before === null || before.state === 'finished') return before;
  const isTimed = before.state === 'scheduled';
  if (hasEnded(before.state) || isTimed !== (plan.timing !== null))
    await refuseIfSentBefore(world, account, plan.digest);
  return before;
}

/** Whether this command sends what is left of a campaign. Where something does not go away by itself, only `resume` does. */
function isToRun({ state, stop }: Campaign): boolean {
  return !hasEnded(state) && (stop === null || !NEEDS_A_PERSON.includes(stop.cause));
}

function beforeLines({ account, before }: Share): string[] {
  if (before === null) return [];
  const { id, state } = before;
  const what =
    state === 'finished'
      ? 'nobody of it is written to again'
      : isToRun(before)
        ? 'this goes on with it, at its own time and pace'
        : `it goes on only with: pagecast campaign resume ${id}`;
  return [`What leaves from ${account.name} is campaign ${id} already, which is ${state}: ${what}.`];
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

/** A plan for each number, also for those without rows; each knows of the faults of the whole sheet. */
async function makePlans(
  context: Context,
  options: SendOptions,
  template: Template,
  timing: Timing | null,
): Promise<{ plans: Plans; planned: Planned[] }> {
  const { store } = await context.store();
  const { window } = await context.workspace();
  const world = { store, sheets: await context.sheets(), clock: context.clock, random: context.random };
  const pace = options.pace === undefined ? null : readPace(options.pace);
  const withPace = (number: OwnersNumber): PlanSender => ({ ...number, pace: pace ?? number.account.pace });
  const [first, ...others] = await ownerAccounts(context);
  const limits = await context.sheetLimits();
  const progress = await ProgressLine.start(context.terminal, context.clock, 'Checking the recipients');
  try {
    const plans = await planCampaigns(
      world,
      {
        template,
        outside: null,
        source: { kind: 'sheet', path: context.path(options.sheet ?? ''), limits },
        window,
        skipInvalid: options.skipInvalid === true,
        timing,
      },
      [withPace(first), ...others.map(withPace)],
    );
    const planned = [first, ...others].flatMap(({ account }, index) => {
      const plan = plans[index];
      return plan && plan.campaign !== null ? [{ account, plan: { ...plan, campaign: plan.campaign } }] : [];
    });
    return { plans, planned };
  } finally {
    progress.stop();
  }
}

async function discard(store: Store, planned: readonly Planned[]): Promise<void> {
  for (const { plan } of planned) await store.discard(plan.campaign);
}

/** Findings and counts are those of the whole sheet. */
function plansJson(plans: Plans): object {
  const [{ counts, findings, truncated }] = plans;
  return {
    ok: plans.some(({ campaign }) => campaign !== null),
    sender: RECORD_OWNER,
    send: plans.reduce((sum, { send }) => sum + send, 0),
    counts,
    findings: findings.map(findingJson),
    truncated,
    plans: plans
      .filter(({ rows }) => rows > 0)
      .map(({ account, rows, send, skip, sms, timing }) => ({
        account,
        rows,
        send,
        skip,
        sms,
        timing: timingJson(timing),
      })),
  };
}

/** Sends all campaigns side by side: each number has a pace of its own. What one of them fails by does not stop the others. */
async function runAll(context: Context, ids: readonly string[], options: SendOptions): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { store, engine } = await context.store();
  const { window } = await context.workspace();
  const progress = await ProgressLine.start(terminal, clock, 'Sending');
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping: waiting for the messages that are under way. Press Ctrl-C again to leave at once.');
  });
  const strict = options.strict === true;
  const counts = new Map<string, Counts>();
  const hints: string[] = [];
  const send = async (id: string): Promise<ExitStatus> => {
    const campaign = await findCampaign(context, id);
    if (!isToRun(campaign)) {
      if (!hasEnded(campaign.state)) return EXIT.stopped;
      return endedStatus(campaign.state, (await store.summary(id)).counts, strict);
    }
    const provider = await context.provider(await context.accountOf(campaign));
    const result = await runCampaign(
      { store, engine, provider, clock, random },
      {
        campaign: id,
        seen: campaign,
        window,
        budget: options.maxFailures === undefined ? campaign.budget : failureBudget(options),
        signal: interruption.signal,
        onProgress: (now) => {
          counts.set(id, { ...now.counts });
          if (!interruption.signal.aborted) progress.update({ ...now, counts: sum([...counts.values()]) });
        },
      },
    );
    hints.push(...whatNext(result));
    return runStatus(result, strict);
  };
  let ended: PromiseSettledResult<ExitStatus>[];
  try {
    ended = await Promise.allSettled(ids.map(send));
  } finally {
    progress.stop();
    interruption.dispose();
  }
  // Told before anything else that could fail, because each says how its campaign goes on.
  const statuses: ExitStatus[] = [];
  for (const [index, one] of ended.entries())
    statuses.push(one.status === 'fulfilled' ? one.value : await reportFailure(context, ids[index] ?? '', one.reason));
  await tell(context, ids);
  if (!terminal.json) for (const hint of hints) terminal.note(hint);
  return gravest(statuses);
}

async function reportFailure(context: Context, id: string, reason: unknown): Promise<ExitStatus> {
  const error = withWayOn(reason, { id });
  if (error instanceof Failure) (await context.githubActions())?.failure(error.code, error.message, error.hint);
  else if (!context.terminal.json) context.terminal.note(`Campaign ${id} is kept: pagecast campaign resume ${id}`);
  return reportError(error, context.terminal);
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
  await (await context.githubActions())?.results(pairs);
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
