/** Shows plans, on demand and before somebody confirms them: findings, messages as people will get them, and who is sent to. */
import type { ChalkInstance } from 'chalk';
import { SAMPLES, type Plan } from '../app/plan.js';
import { EXIT, type ExitStatus } from '../core/failure.js';
import { BULK_POLICY } from '../core/policy.js';
import { isUsTenDigit } from '../core/sms.js';
import type { Context } from './context.js';
import { publicSentence, sentence } from './messages.js';
import { bubble, findingsText, maskId, planText, policyText, unregisteredNotice } from './render.js';

/** Plans that were made of one source, and so have the same findings. */
export type Plans = readonly [Plan, ...Plan[]];

/** Prints plans that were asked for, on stdout. @param json what is printed instead with --json */
export async function printPlans(context: Context, plans: Plans, json: object): Promise<ExitStatus> {
  const { terminal } = context;
  const isBlocked = plans.every(({ campaign }) => campaign === null);
  const findings = await findingsPart(context, plans[0], terminal.paint, 20);
  if (terminal.json) terminal.document(json);
  else {
    for (const text of findings) terminal.data(text);
    if (isBlocked) {
      const way = plans.some(({ recipients }) => recipients > 0) ? ', or with --skip-invalid' : '';
      terminal.data(`${terminal.paint.red('Nothing can be sent')} until these faults are mended${way}.`);
    } else {
      for (const line of await planLines(context, plans, terminal.paint)) terminal.data(line);
      for (const text of await samplesPart(context, plans, terminal.paint)) terminal.data(text);
    }
  }
  return isBlocked ? EXIT.invalid : EXIT.done;
}

/** Before sending: everything goes to stderr, so that stdout holds only ids of campaigns; nothing but annotations with --json. */
export async function printPreview(context: Context, plans: Plans): Promise<void> {
  const { terminal } = context;
  const findings = await findingsPart(context, plans[0], terminal.tint, 5);
  if (terminal.json) return;
  for (const text of findings) terminal.note(text);
  printPolicy(context);
  for (const text of await samplesPart(context, plans, terminal.tint)) terminal.note(text);
  for (const line of await planLines(context, plans, terminal.tint)) terminal.note(line);
}

export function printPolicy({ terminal }: Context): void {
  terminal.note(`${policyText(BULK_POLICY, terminal.width, terminal.tint)}\n`);
}

/** The words for findings in a log that others may or may not read. */
export async function findingWords(context: Context): Promise<typeof sentence> {
  return (await context.githubActions()) === null ? sentence : publicSentence;
}

/** Tells GitHub Actions of the findings as well. */
async function findingsPart(context: Context, plan: Plan, paint: ChalkInstance, most: number): Promise<string[]> {
  const { counts, findings, sheet } = plan;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  (await context.githubActions())?.findings(sheet, findings, total);
  const words = await findingWords(context);
  return total > 0 ? [findingsText(findings, total, paint, most, rowName(plan), words)] : [];
}

async function planLines(context: Context, plans: Plans, paint: ChalkInstance): Promise<string[]> {
  const shown = plans.filter(({ rows }) => rows > 0);
  const notices: string[] = [];
  for (const { account, send } of shown) {
    const { name, channel, id } = await context.account(account);
    if (send > 0 && channel === 'sms' && isUsTenDigit(id)) notices.push(unregisteredNotice(name));
  }
  return [...shown.map((plan) => planText(plan, paint)), ...notices, ...(await whenLines(plans[0]))];
}

/** When a timed send goes out, in every zone that matters. */
async function whenLines({ timing }: Plan): Promise<string[]> {
  if (timing === null) return [];
  const { timeLines } = await import('./timing.js');
  return ['It goes out at', ...timeLines(timing.sendAt, timing.zone)];
}

/** What the first people get, and the first of those outside their window. */
async function samplesPart(context: Context, plans: Plans, paint: ChalkInstance): Promise<string[]> {
  // What one person is told is nobody else's business.
  if ((await context.githubActions()) !== null) return [];
  const samples = plans.flatMap((plan) => plan.samples).sort((a, b) => a.row - b.row);
  const first = [false, true].flatMap((wanted) =>
    samples.filter(({ outside }) => outside === wanted).slice(0, SAMPLES),
  );
  const { terminal } = context;
  const [plan] = plans;
  return samples
    .filter((sample) => first.includes(sample))
    .flatMap(({ row, userId, message, outside }) => {
      const which = outside ? `, outside their window: ${plan.outside?.template ?? ''}` : '';
      return [
        paint.dim(`To ${maskId(userId)} (${rowName(plan)} ${row}${which}):`),
        bubble(message, terminal.width, paint),
      ];
    });
}

function rowName({ source }: Plan): string {
  return source === 'ids' ? 'ID' : 'row';
}
