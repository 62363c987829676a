/** `pagecast plan` and `pagecast send`: who would be sent to, and the sending itself. */
import type { Command } from 'commander';
import {
  approvePlan,
  countToConfirm,
  refuseIfSentBefore,
  requireConsent,
  requireSameContent,
  type Terms,
} from '../../app/approve.js';
import { registeredRefusal } from '../../app/registered-status.js';
import { planCampaign, shortId, type Plan, type RecipientSource } from '../../app/plan.js';
import { DEFAULT_BUDGET, hasEnded, NEEDS_A_PERSON } from '../../core/delivery.js';
import { explainError } from '../../core/platform-errors.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { highestPace, PAGE_LIMIT } from '../../core/pacing.js';
import { BULK_POLICY, templateBlock } from '../../core/policy.js';
import type { Timing } from '../../core/schedule.js';
import { senderKey } from '../../core/sender.js';
import type { Template } from '../../core/template.js';
import type { Campaign, Recurrence } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import {
  campaignJson,
  failureBudget,
  findCampaign,
  iso,
  reportEnded,
  runAndReport,
  timingJson,
} from '../campaign-run.js';
import { askForConsent } from '../consent.js';
import type { Context } from '../context.js';
import { askForMissing } from '../dialogue.js';
import type { Launch } from '../launch.js';
import { findingJson } from '../messages.js';
import { collect, parsePairs, readPace, type RunOptions, type SendOptions } from '../options.js';
import { RECORD_OWNER } from '../owners.js';
import { printPlans, printPolicy, printPreview } from '../plan-preview.js';
import { ProgressLine } from '../progress.js';
import { recurrenceJson } from './schedule.js';
import { sendAsOwners } from './send-as-owners.js';
import { maskId, plural, time } from '../render.js';

export function register(program: Command, launch: Launch): void {
  const plan = program
    .command('plan')
    .description('show who would be sent to, in what order, and who is left out and why; nothing is sent');
  recipients(plan)
    .addHelpText(
      'after',
      '\nExample:\n  $ pagecast plan --template order_update --lang en_US --from acme-page --sheet orders.xlsx',
    )
    .action(
      launch(async (context: Context, options: SendOptions) =>
        options.from === RECORD_OWNER
          ? sendAsOwners(context, options, true)
          : showPlan(context, await resolveRequest(context, options)),
      ),
    );

  const send = program
    .command('send')
    .description('send a template to many people; without options, asks step by step');
  recipients(send)
    .option('-n, --dry-run', 'plan and show, but send nothing')
    .option('--test-to <id>', "send one message, with the first row's values, to this ID only")
    .option('--accept-policy', 'accept what the platform says about bulk messages (read it with --dry-run)')
    .option('--confirm-count <n>', 'how many people you expect to write to; anything else stops the send')
    .option('--again', 'send although the same went out less than 24 hours ago')
    .option('--every <cron>', 'send again and again, such as "0 9 * * 1-5"; --confirm-count is then the most at a time')
    .option('--campaign-key <key>', 'whoever comes with the same key goes on with the same campaign')
    .option('--max-failures <limit>', 'stop when so many fail: 25, 10% or 25,10% (default: 10 and 10% of the last 200)')
    .option('--strict', 'exit with 5 when people were left out')
    .addHelpText(
      'after',
      `
Examples:
  $ pagecast send
  $ pagecast send --template order_update --lang en_US --from acme-page --sheet orders.xlsx
  $ pagecast send --template order_update --lang en_US --from acme-page --sheet orders.xlsx --dry-run
  $ pagecast send --template hello --from sandbox --to 7642925849053947 --var name=Ann --var answer=Thanks
  $ pagecast send --template order_update --lang en_US --from acme-page --sheet orders.xlsx \\
      --accept-policy --confirm-count 1250 --json
  $ pagecast send --template order_update --lang en_US --from acme-page --sheet orders.xlsx \\
      --at "tomorrow 09:00" --zone Europe/Berlin
  $ pagecast send --template order_update --lang en_US --from acme-page --sheet orders.xlsx \\
      --every "0 9 * * 1-5" --zone Europe/Berlin --accept-policy --confirm-count 2000`,
    )
    .action(launch((context: Context, options: SendOptions) => sendCampaign(context, options)));
}

function recipients(command: Command): Command {
  return command
    .option('--template <name>', 'the template')
    .option('--lang <language>', 'its language')
    .option('--from <account>', "the account to send from, or record-owner: by SMS, each row from its owner's number")
    .option('--sheet <file>', 'the recipient sheet (.xlsx or .csv)')
    .option('--to <id...>', 'a few user IDs instead of a sheet')
    .option('--var <name=value>', "a variable's value for --to (repeatable)", collect)
    .option(
      '--outside-window <how>',
      'give people outside their window a registered template: "registered" for the one that the template names, or registered:NAME',
    )
    .option('--pace <pace>', "at most so many messages: 20/s, 30/m (default: the account's)")
    .option('--skip-invalid', 'leave rows with faults out instead of refusing the sheet')
    .option('--at <when>', 'send then: "2026-12-01 09:00", "tomorrow 9am", "in 2h" or an ISO time with its offset')
    .option('--zone <zone>', 'the zone of --at and --every, such as Europe/Berlin')
    .option('--expires-after <time>', 'if it could not start so long after its time, do not send it (default: 1h)');
}

interface Request {
  account: AccountConfig;
  template: Template;
  outside: Template | null;
  source: RecipientSource;
  pace: number;
  skipInvalid: boolean;
  timing: Timing | null;
}

async function showPlan(context: Context, request: Request): Promise<ExitStatus> {
  const plan = await makePlan(context, request);
  const { store } = await context.store();
  if (plan.campaign !== null) await store.discard(plan.campaign);
  return printPlan(context, plan);
}

async function sendCampaign(context: Context, given: SendOptions): Promise<ExitStatus> {
  if (given.from === RECORD_OWNER) return sendAsOwners(context, given, given.dryRun === true);
  const options = context.terminal.interactive ? await askForMissing(context, given) : given;
  failureBudget(options);
  const key = readKey(options.campaignKey);
  const { store, engine } = await context.store();
  const standing = key === undefined ? null : await store.campaignWithKey(key);
  const request = await resolveRequest(context, options, standing);
  if (options.every !== undefined) return sendAgainAndAgain(context, request, options, options.every);
  if (options.dryRun === true) {
    if (!context.terminal.json) printPolicy(context);
    return showPlan(context, request);
  }

  await context.requireSecrets(request.account);
  const plan = await makePlan(context, request);
  if (plan.campaign === null) return printPlan(context, plan);
  if (options.testTo !== undefined) return sendTest(context, request, plan, options.testTo);

  if (standing) {
    await store.discard(plan.campaign);
    requireSameContent(standing, request.account, plan);
    // Planning takes a while, and others may have gone on with it meanwhile.
    return goOn(context, await findCampaign(context, standing.id), options);
  }
  let approved: string;
  try {
    if (options.again !== true)
      await refuseIfSentBefore({ store, clock: context.clock }, request.account, plan.digest, key);
    await requireProviderFor(context, request);
    await printPreview(context, [plan]);
    const consent = await askForConsent(context, countToConfirm(plan), options, plan.timing !== null);
    const terms: Terms = {
      again: options.again === true,
      budget: failureBudget(options),
      ...(key !== undefined && { key }),
    };
    const { campaign } = plan;
    const world = { store, engine, clock: context.clock };
    approved = await approvePlan(world, request.account, { ...plan, campaign }, consent, terms);
  } catch (error) {
    await store.discard(plan.campaign);
    throw error;
  }
  const campaign = await findCampaign(context, approved);
  if (approved !== plan.campaign) return goOn(context, campaign, options);
  return campaign.timing === null ? runAndReport(context, campaign, options) : tellWhen(context, campaign);
}

/** Goes on with a campaign that was made with the same key, as a job that is run again does. */
async function goOn(context: Context, campaign: Campaign, options: RunOptions): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const { id, state, stop, timing } = campaign;
  if (!terminal.json)
    terminal.note(`This key belongs to campaign ${id}, which is ${state}; it keeps its own time, pace and limits.`);
  if (hasEnded(state)) return reportEnded(context, campaign, options);
  if (state === 'scheduled' && timing !== null && clock.now() < timing.sendAt) return tellWhen(context, campaign);
  if (stop !== null && NEEDS_A_PERSON.includes(stop.cause)) {
    await reportEnded(context, campaign, options);
    if (!terminal.json)
      terminal.note(`No job goes on with it. When you have looked into it: pagecast campaign resume ${id}`);
    return EXIT.stopped;
  }
  return runAndReport(context, campaign, options);
}

/** Says when a campaign will be sent, and what has to run then. */
async function tellWhen(context: Context, campaign: Campaign): Promise<ExitStatus> {
  const { terminal } = context;
  const { id, timing } = campaign;
  if (terminal.json || timing === null) {
    const { store } = await context.store();
    terminal.document(campaignJson(campaign, await store.summary(id)));
    return EXIT.done;
  }
  const { timeLines } = await import('../timing.js');
  terminal.data(id);
  terminal.note(`Campaign ${id} goes out at`);
  for (const line of timeLines(timing.sendAt, timing.zone)) terminal.note(line);
  terminal.note(
    [
      'to whoever of its people has an open window then. A worker has to be there: pagecast run (or, from cron, pagecast run --once).',
      `If it cannot start by ${time(timing.expiresAt)}, it is not sent.`,
      `Changed your mind? pagecast campaign cancel ${id}`,
    ].join('\n'),
  );
  return EXIT.done;
}

/** Keeps a send that takes place again and again. What it would do first is shown, and checked, like any send. */
async function sendAgainAndAgain(
  context: Context,
  request: Request,
  options: SendOptions,
  cron: string,
): Promise<ExitStatus> {
  const excluded = [
    options.at !== undefined && '--at',
    options.campaignKey !== undefined && '--campaign-key',
    options.testTo !== undefined && '--test-to',
  ].filter((flag) => flag !== false);
  if (excluded.length > 0) {
    const hint = 'Each time is a campaign of its own, at the times that the cron gives.';
    throw new Failure('USAGE', `--every does not go with ${excluded.join(' and ')}.`, hint);
  }
  const { readRepetition, timeLines } = await import('../timing.js');
  const { zone, expiryMs, next } = readRepetition(context, cron, options);
  const [first = context.clock.now()] = next;
  const plan = await makePlan(context, { ...request, timing: { sendAt: first, expiresAt: first + expiryMs, zone } });
  const { store, engine } = await context.store();
  if (plan.campaign !== null) await store.discard(plan.campaign);
  if (plan.campaign === null || options.dryRun === true) return printPlan(context, plan);

  const { terminal, clock, random } = context;
  await requireProviderFor(context, request);
  await printPreview(context, [plan]);
  if (!terminal.json) {
    terminal.note(`"${cron}" in ${zone} comes next at`);
    for (const at of next) terminal.note(timeLines(at, zone)[0] ?? '');
  }
  const people = countToConfirm(plan);
  const consent = await askForConsent(context, people, options, true);
  // Sheets grow: a larger number allows for that.
  requireConsent(people, { ...consent, confirmedCount: Math.min(people, consent.confirmedCount) }, true);
  const { account, template, source, pace, skipInvalid } = request;
  const recurrence: Recurrence = {
    id: shortId('r', clock.now(), random),
    account: senderKey(account),
    accountName: account.name,
    template: { name: template.name, language: template.language },
    outside: request.outside?.name ?? null,
    source:
      source.kind === 'sheet' ? { kind: 'sheet', path: source.path } : { ...source, values: { ...source.values } },
    pace,
    skipInvalid,
    budget: failureBudget(options),
    policy: BULK_POLICY.version,
    maxPeople: consent.confirmedCount,
    cron,
    zone,
    expiryMs,
    createdAt: clock.now(),
    nextAt: first,
    last: null,
  };
  await store.addRecurrence(recurrence);
  await engine.wake(recurrence.account, first);
  if (terminal.json) terminal.document(recurrenceJson(recurrence));
  else {
    terminal.data(recurrence.id);
    terminal.note(
      [
        `Each time it is planned and checked anew, for at most ${plural(recurrence.maxPeople, 'person', 'people')}. A worker has to be there: pagecast run`,
        `See it: pagecast schedule list. End it: pagecast schedule remove ${recurrence.id}`,
      ].join('\n'),
    );
  }
  return EXIT.done;
}

/** One message to the sender's own id, as a campaign of its own. */
async function sendTest(context: Context, request: Request, plan: Plan, userId: string): Promise<ExitStatus> {
  const { store, engine } = await context.store();
  if (plan.campaign !== null) await store.discard(plan.campaign);
  const { example } = plan;
  if (!example) {
    throw new Failure(
      'NOBODY_TO_SEND_TO',
      'There is no row without a fault to take the values of the test message from.',
    );
  }
  const values = Object.fromEntries(plan.variables.map((name, index) => [name, example[index] ?? '']));
  const test = await makePlan(context, { ...request, timing: null, source: { kind: 'ids', ids: [userId], values } });
  if (test.campaign === null) return printPlan(context, test);
  if (test.send === 0) {
    await store.discard(test.campaign);
    throw new Failure(
      'NOBODY_TO_SEND_TO',
      `The test message cannot go to ${maskId(userId)}: its window is not open.`,
      'Write to the account from that user first, then import the window.',
    );
  }
  await context.provider(request.account);
  const consent = { policyAccepted: true, confirmedCount: 1 };
  const { campaign } = test;
  const terms = { again: true, budget: DEFAULT_BUDGET };
  await approvePlan({ store, engine, clock: context.clock }, request.account, { ...test, campaign }, consent, terms);
  return runAndReport(context, await findCampaign(context, campaign), {});
}

/** An empty one, as an unset variable of a CI job gives it, would be shared by all jobs. @throws Failure USAGE */
function readKey(key: string | undefined): string | undefined {
  if (key === undefined || (key.trim() !== '' && key.length <= 200)) return key;
  throw new Failure('USAGE', 'The campaign key is empty or too long.', 'Pass --campaign-key with 1 to 200 characters.');
}

/** @param standing the campaign of the given key: its time counts, and may have passed when the job is run again */
async function resolveRequest(
  context: Context,
  options: SendOptions,
  standing: Campaign | null = null,
): Promise<Request> {
  const need = (value: string | undefined, flag: string): string => {
    if (value !== undefined) return value;
    throw new Failure(
      'ANSWER_NEEDED',
      `${flag} is missing.`,
      'pagecast send --help lists the options; at a terminal, pagecast send asks for them.',
    );
  };
  const { template } = await context.template(need(options.template, '--template'), options.lang);
  const account = await context.account(need(options.from, '--from'));
  if (options.sheet === undefined && options.to === undefined) need(undefined, '--sheet or --to');
  if (options.sheet !== undefined && options.to !== undefined)
    throw new Failure('USAGE', '--sheet and --to exclude one another.');
  const source: RecipientSource =
    options.sheet === undefined
      ? { kind: 'ids', ids: options.to ?? [], values: parsePairs(options.var ?? []) }
      : { kind: 'sheet', path: context.path(options.sheet), limits: await context.sheetLimits() };
  const pace = options.pace === undefined ? account.pace : readPace(options.pace);
  if (pace > highestPace(account)) {
    throw new Failure(
      'USAGE',
      `A Page that sends more than ${PAGE_LIMIT} messages a second is cut off.`,
      `Choose a pace of at most ${PAGE_LIMIT}/s; 35/s leaves room.`,
    );
  }
  if (account.provider === 'sandbox' && account.channel === 'messenger' && pace > PAGE_LIMIT && !context.terminal.json)
    context.terminal.note(
      `More than ${PAGE_LIMIT} messages a second would cut off a real Page, and the sandbox does the same.`,
    );
  if (options.at === undefined && options.every === undefined && (options.zone ?? options.expiresAfter) !== undefined)
    throw new Failure('USAGE', '--zone and --expires-after go with a time.', 'Pass --at or --every as well.');
  const timing =
    standing?.timing ??
    (options.at === undefined ? null : (await import('../timing.js')).readTiming(context, options.at, options));
  const outside = await outsideTemplate(context, template, options.outsideWindow);
  return { account, template, outside, source, pace, skipInvalid: options.skipInvalid === true, timing };
}

/** The registered template for people outside their window. @throws Failure USAGE, POLICY_FORBIDS, TEMPLATE_UNKNOWN */
async function outsideTemplate(
  context: Context,
  template: Template,
  how: string | undefined,
): Promise<Template | null> {
  if (how === undefined) return null;
  const [means, given, ...rest] = how.split(':');
  if (means !== 'registered' || rest.length > 0) {
    // Whoever asks for a message tag here deserves to hear why there is none.
    const block = templateBlock({ ...template, tag: how.toUpperCase() }, template.channels[0] ?? 'messenger');
    if (block?.code === 'HUMAN_AGENT' || block?.code === 'DEAD_TAG') {
      throw new Failure(
        'POLICY_FORBIDS',
        block.reason,
        'Pass --outside-window registered, with a registered template.',
      );
    }
    throw new Failure(
      'USAGE',
      `"${how}" is no way out of the window.`,
      'Write --outside-window registered, or registered:NAME.',
    );
  }
  // It goes to everybody as it is.
  if (template.kind === 'registered' && given === undefined) return null;
  const name = given ?? template.outsideWindow;
  if (name === undefined || name === '') {
    throw new Failure(
      'USAGE',
      `The template ${template.name} does not say which registered template is for people outside their window.`,
      'Pass --outside-window registered:NAME, or write `outsideWindow: NAME` into its file.',
    );
  }
  return (await context.template(name, template.language)).template;
}

/** What can only be known of the provider and the platform, before anybody is asked to confirm. */
async function requireProviderFor(context: Context, { account, template, outside }: Request): Promise<void> {
  // What is wrong with the account must come out now: once approved, the campaign would stand in the ledger.
  const provider = await context.provider(account);
  const registered = outside ?? (template.kind === 'registered' ? template : null);
  if (registered === null) return;
  if (!provider.capabilities.registeredTemplates) {
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      `${account.name} (${account.provider}, ${account.channel}) cannot send registered templates, so nobody outside their window can be reached with it.`,
      'Leave --outside-window out, or send from a Messenger account of the provider graph.',
    );
  }
  const refusal = await registeredRefusal(provider, [template, outside]);
  if (refusal) throw new Failure('POLICY_FORBIDS', refusal.message, explainError(refusal.code).advice);
}

async function makePlan(context: Context, request: Request): Promise<Plan> {
  const { store } = await context.store();
  const { window } = await context.workspace();
  const sheets = await context.sheets();
  const progress = await ProgressLine.start(context.terminal, context.clock, 'Checking the recipients');
  try {
    const world = { store, sheets, clock: context.clock, random: context.random };
    return await planCampaign(world, { ...request, window });
  } finally {
    progress.stop();
  }
}

async function printPlan(context: Context, plan: Plan): Promise<ExitStatus> {
  return printPlans(context, [plan], planJson(plan));
}

/** A plan as it stands in JSON. Instants are ISO 8601 in UTC. */
function planJson(plan: Plan): object {
  const { account, template, language, outside, sms, rows, send, skip, pace, digest, counts, truncated } = plan;
  return {
    ok: plan.campaign !== null,
    account,
    template,
    language,
    outside,
    sms,
    rows,
    send,
    skip,
    pace,
    timing: timingJson(plan.timing),
    earlier: plan.earlier.map(({ at, send: kept }) => ({ at: iso(at), send: kept })),
    startAt: iso(plan.startAt),
    finishAt: iso(plan.finishAt),
    digest,
    counts,
    findings: plan.findings.map(findingJson),
    truncated,
  };
}
