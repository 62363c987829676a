/** `pagecast plan` and `pagecast send`: who would be sent to, and the sending itself. */
import type { ChalkInstance } from 'chalk';
import type { Command } from 'commander';
import { approvePlan, refuseIfSentBefore } from '../../app/approve.js';
import { planCampaign, type Plan, type RecipientSource } from '../../app/plan.js';
import { DEFAULT_BUDGET } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { PAGE_LIMIT } from '../../core/pacing.js';
import { BULK_POLICY } from '../../core/policy.js';
import type { Template } from '../../core/template.js';
import type { AccountConfig } from '../../workspace/config.js';
import { failureBudget, iso, runAndReport } from '../campaign-run.js';
import { askForConsent } from '../consent.js';
import type { Context } from '../context.js';
import { askForMissing } from '../dialogue.js';
import type { Launch } from '../launch.js';
import { findingJson } from '../messages.js';
import { collect, parsePairs, readPace, type RunOptions, type SendOptions } from '../options.js';
import { ProgressLine } from '../progress.js';
import { bubble, findingsText, maskId, planText, policyText } from '../render.js';

export function register(program: Command, launch: Launch): void {
  const plan = program
    .command('plan')
    .description('show who would be sent to, in what order, and who is left out and why; nothing is sent');
  recipients(plan)
    .addHelpText(
      'after',
      '\nExample:\n  $ pagecast plan --template order_update --lang en_US --from acme-page --sheet orders.xlsx',
    )
    .action(launch((context: Context, options: SendOptions) => showPlan(context, options)));

  const send = program
    .command('send')
    .description('send a template to many people; without options, asks step by step');
  recipients(send)
    .option('-n, --dry-run', 'plan and show, but send nothing')
    .option('--test-to <id>', "send one message, with the first row's values, to this ID only")
    .option('--accept-policy', 'accept what the platform says about bulk messages (read it with --dry-run)')
    .option('--confirm-count <n>', 'how many people you expect to write to; anything else stops the send')
    .option('--again', 'send although the same went out less than 24 hours ago')
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
      --accept-policy --confirm-count 1250 --json`,
    )
    .action(launch((context: Context, options: SendOptions) => sendCampaign(context, options)));
}

function recipients(command: Command): Command {
  return command
    .option('--template <name>', 'the template')
    .option('--lang <language>', 'its language')
    .option('--from <account>', 'the account to send from')
    .option('--sheet <file>', 'the recipient sheet (.xlsx or .csv)')
    .option('--to <id...>', 'a few user IDs instead of a sheet')
    .option('--var <name=value>', "a variable's value for --to (repeatable)", collect)
    .option('--pace <pace>', "at most so many messages: 20/s, 30/m (default: the account's)")
    .option('--skip-invalid', 'leave rows with faults out instead of refusing the sheet');
}

interface Request {
  account: AccountConfig;
  template: Template;
  source: RecipientSource;
  pace: number;
  skipInvalid: boolean;
}

async function showPlan(context: Context, options: SendOptions): Promise<ExitStatus> {
  const plan = await makePlan(context, await resolveRequest(context, options));
  const { store } = await context.store();
  if (plan.campaign !== null) await store.discard(plan.campaign);
  return printPlan(context, plan);
}

async function sendCampaign(context: Context, given: SendOptions): Promise<ExitStatus> {
  const options = context.terminal.interactive ? await askForMissing(context, given) : given;
  failureBudget(options);
  const request = await resolveRequest(context, options);
  if (options.dryRun === true) {
    if (!context.terminal.json) printPolicy(context);
    return showPlan(context, options);
  }

  const missing = context.missingSecrets(request.account);
  if (missing.length > 0) {
    throw new Failure(
      'SECRET_MISSING',
      `The environment variable ${missing.join(' and ')} is not set.`,
      'Set it, then run the command again; nothing was sent.',
    );
  }
  const plan = await makePlan(context, request);
  if (plan.campaign === null) return printPlan(context, plan);
  if (options.testTo !== undefined) return sendTest(context, request, plan, options.testTo);

  const { store, engine } = await context.store();
  try {
    if (options.again !== true) await refuseIfSentBefore({ store, clock: context.clock }, request.account, plan.digest);
    // What is wrong with the account must come out now: once approved, the campaign would stand in the ledger.
    await context.provider(request.account);
    if (!context.terminal.json) printPreview(context, plan);
    const consent = await askForConsent(context, plan.send, options);
    const terms = { again: options.again === true, budget: failureBudget(options) };
    const { campaign } = plan;
    await approvePlan({ store, engine, clock: context.clock }, request.account, { ...plan, campaign }, consent, terms);
  } catch (error) {
    await store.discard(plan.campaign);
    throw error;
  }
  return run(context, plan.campaign, options);
}

async function run(context: Context, id: string, options: RunOptions): Promise<ExitStatus> {
  const { store } = await context.store();
  const campaign = await store.campaign(id);
  if (!campaign) throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`);
  return runAndReport(context, campaign, options);
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
  const test = await makePlan(context, { ...request, source: { kind: 'ids', ids: [userId], values } });
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
  return run(context, test.campaign, {});
}

async function resolveRequest(context: Context, options: SendOptions): Promise<Request> {
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
  if (account.provider === 'graph' && account.channel === 'messenger' && pace > PAGE_LIMIT) {
    throw new Failure(
      'USAGE',
      `A Page that sends more than ${PAGE_LIMIT} messages a second is cut off.`,
      `Choose a pace of at most ${PAGE_LIMIT}/s; 35/s leaves room.`,
    );
  }
  return { account, template, source, pace, skipInvalid: options.skipInvalid === true };
}

async function makePlan(context: Context, request: Request): Promise<Plan> {
  const { store } = await context.store();
  const { window } = await context.workspace();
  const sheets = await context.sheets();
  const progress = await ProgressLine.start(context.terminal, context.clock, 'Checking the recipients');
  try {
    return await planCampaign(
      { store, sheets, clock: context.clock, random: context.random },
      { ...request, window, timing: null },
    );
  } finally {
    progress.stop();
  }
}

function printPlan(context: Context, plan: Plan): ExitStatus {
  const { terminal } = context;
  const total = Object.values(plan.counts).reduce((sum, count) => sum + count, 0);
  if (terminal.json) {
    terminal.document(planJson(plan));
  } else {
    if (total > 0) terminal.data(findingsText(plan.findings, total, terminal.paint, 20, rowName(plan)));
    if (plan.campaign === null) {
      terminal.data(
        `${terminal.paint.red('Nothing can be sent')} until these faults are mended${plan.recipients > 0 ? ', or with --skip-invalid' : ''}.`,
      );
    } else {
      terminal.data(planText(plan, terminal.paint));
      printSamples(context, plan, terminal.paint, (text) => terminal.data(text));
    }
  }
  return plan.campaign === null ? EXIT.invalid : EXIT.done;
}

/** A plan as it stands in JSON. Instants are ISO 8601 in UTC. */
function planJson(plan: Plan): object {
  const { account, template, language, rows, send, skip, pace, digest, counts, truncated } = plan;
  return {
    ok: plan.campaign !== null,
    account,
    template,
    language,
    rows,
    send,
    skip,
    pace,
    startAt: iso(plan.startAt),
    finishAt: iso(plan.finishAt),
    digest,
    counts,
    findings: plan.findings.map(findingJson),
    truncated,
  };
}

/** Before sending: everything goes to stderr, so that stdout holds only the campaign's id. */
function printPreview(context: Context, plan: Plan): void {
  const { terminal } = context;
  const total = Object.values(plan.counts).reduce((sum, count) => sum + count, 0);
  if (total > 0) terminal.note(findingsText(plan.findings, total, terminal.tint, 5, rowName(plan)));
  printPolicy(context);
  printSamples(context, plan, terminal.tint, (text) => terminal.note(text));
  terminal.note(planText(plan, terminal.tint));
}

function printPolicy({ terminal }: Context): void {
  terminal.note(`${policyText(BULK_POLICY, terminal.width, terminal.tint)}\n`);
}

function rowName({ source }: Plan): string {
  return source === 'ids' ? 'ID' : 'row';
}

function printSamples({ terminal }: Context, plan: Plan, paint: ChalkInstance, print: (text: string) => void): void {
  for (const { row, userId, message } of plan.samples) {
    print(paint.dim(`To ${maskId(userId)} (${rowName(plan)} ${row}):`));
    print(bubble(message, terminal.width, paint));
  }
}
