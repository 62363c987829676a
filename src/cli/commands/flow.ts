/** `pagecast flow`: messages that are sent by themselves; which there are, whether the rules allow them, and starting one. */
import type { Command } from 'commander';
import { ROW_STATES, type RowState } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Flow, QuietHours, Trigger } from '../../core/flow.js';
import type { SkipReason } from '../../core/plan.js';
import type { Store } from '../../ports.js';
import type { Context } from '../context.js';
import { checkedFlows, faultLines, type CheckedFlows } from '../flows.js';
import type { Launch } from '../launch.js';
import { clip } from '../messages.js';
import { collect } from '../options.js';
import { table } from '../render.js';
import type { TriggerOptions } from './flow-trigger.js';

export function register(program: Command, launch: Launch): void {
  const flow = program.command('flow').description('messages that are sent by themselves: flows/*.yaml');
  flow
    .command('list')
    .description('list the flows, and what became of their messages')
    .addHelpText('after', '\nExamples:\n  $ pagecast flow list\n  $ pagecast flow list --json')
    .action(launch((context: Context) => list(context)));
  flow
    .command('check')
    .description('check flows against the rules; one with a fault is never run')
    .argument('[name]', 'only this one')
    .addHelpText('after', '\nExamples:\n  $ pagecast flow check\n  $ pagecast flow check opening_hours --json')
    .action(launch((context: Context, name: string | undefined) => check(context, name)));
  flow
    .command('trigger')
    .description('have a flow with trigger: { call: true } send its message to one person')
    .argument('<name>', 'the flow')
    .requiredOption('--to <id>', "the person's user ID, or phone number")
    .option('--var <name=value>', "a variable's value (repeatable)", collect)
    .option('--owner <name>', 'for a flow that is sent from record-owner: whose number it leaves from')
    .option('--key <key>', 'names this call: the person gets one message of the flow for it, however often it is made')
    .option('--dry-run', 'show the message, and queue and send nothing')
    .addHelpText(
      'after',
      `
It is sent at once, unless the flow has quiet hours now or another process works for the account; then that one, a
listener or a worker sends it. A listener takes the same over HTTP: POST /flows/NAME (docs/listen.md).

Examples:
  $ pagecast flow trigger order_shipped --to 7642925849053947 --var order_no=A-1042 --key order-1042-shipped
  $ pagecast flow trigger pickup_ready --to +4915112345678 --owner alice --var name=Ann --dry-run`,
    )
    .action(
      launch(async (context: Context, name: string, options: TriggerOptions) => {
        const { trigger } = await import('./flow-trigger.js');
        return trigger(context, name, options);
      }),
    );
}

// ---------------------------------------------------------------------------------------------------- list

/** What became of a flow's messages. */
interface Fared {
  counts: Record<RowState, number>;
  skip: Partial<Record<SkipReason, number>>;
}

async function list(context: Context): Promise<ExitStatus> {
  const { terminal } = context;
  const { flows, broken } = await checkedFlows(context);
  const { store } = await context.store();
  const fared = await faredByFlow(store);
  if (terminal.json) {
    terminal.document({
      flows: flows.map(({ flow, file, ok }) => {
        const { counts, skip } = fared.get(flow.name) ?? nothing();
        return { ...flowJson(flow), file, ok, messages: counts, skip };
      }),
      broken: broken.map(brokenJson),
    });
  } else {
    if (flows.length === 0) terminal.note('There are no flows. They are files such as flows/opening_hours.yaml.');
    else {
      const rows = flows.map(({ flow, ok }) => {
        const { counts, skip } = fared.get(flow.name) ?? nothing();
        return [
          ok ? flow.name : `${flow.name} (faulty)`,
          flow.type,
          triggerText(flow.trigger),
          flow.from,
          contentText(flow),
          (counts.queued + counts.started).toLocaleString('en'),
          counts.sent.toLocaleString('en'),
          counts.failed.toLocaleString('en'),
          counts.unknown.toLocaleString('en'),
          skippedText(counts.skipped, skip),
        ];
      });
      const header = ['FLOW', 'TYPE', 'TRIGGER', 'FROM', 'CONTENT', 'WAITING', 'SENT', 'FAILED', 'UNKNOWN', 'SKIPPED'];
      terminal.data(table(header, rows, terminal.paint));
    }
    if (flows.some(({ ok }) => !ok)) terminal.note('What is wrong with the faulty ones: pagecast flow check');
    for (const { failure } of broken) terminal.note(`${failure.message}\n${failure.hint}`.trimEnd());
  }
  return broken.length > 0 ? EXIT.invalid : EXIT.done;
}

function nothing(): Fared {
  return { counts: Object.fromEntries(ROW_STATES.map((state) => [state, 0])) as Fared['counts'], skip: {} };
}

/** By the name of the flow. A flow has a continuous campaign for each account and each version of its content. */
async function faredByFlow(store: Store): Promise<Map<string, Fared>> {
  const fared = new Map<string, Fared>();
  for (const { id, flow } of await store.campaigns()) {
    if (flow === null) continue;
    const sum = fared.get(flow) ?? nothing();
    const { counts, skip } = await store.summary(id);
    for (const state of ROW_STATES) sum.counts[state] += counts[state];
    for (const [reason, count] of Object.entries(skip) as [SkipReason, number][]) {
      sum.skip[reason] = (sum.skip[reason] ?? 0) + count;
    }
    fared.set(flow, sum);
  }
  return fared;
}

function triggerText(trigger: Trigger): string {
  switch (trigger.on) {
    case 'keyword':
      return `keyword: ${clip(trigger.words.join(', '), 40)}`;
    case 'payload':
      return `payload: ${clip(trigger.payloads.join(', '), 40)}`;
    case 'opener':
      return `opener: ${trigger.openers.join(', ')}`;
    case 'first_message':
      return 'first message';
    case 'call':
      return 'call';
  }
}

function contentText({ content }: Flow): string {
  if (content.kind === 'free-text') return `"${clip(content.text, 40)}"`;
  return content.language === null ? content.name : `${content.name} (${content.language})`;
}

function skippedText(skipped: number, skip: Fared['skip']): string {
  const reasons = Object.entries(skip).map(([reason, count]) => `${reason} ${count.toLocaleString('en')}`);
  return reasons.length === 0 ? '0' : `${skipped.toLocaleString('en')} (${reasons.join(', ')})`;
}

function flowJson({ quietHours, ...flow }: Flow): object {
  return { ...flow, quietHours: quietHours && quietHoursJson(quietHours) };
}

function quietHoursJson({ from, to, zone }: QuietHours): object {
  return { from: timeOfDay(from), to: timeOfDay(to), zone };
}

/** Minutes since midnight → `22:30` */
function timeOfDay(minutes: number): string {
  const two = (part: number): string => String(part).padStart(2, '0');
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function brokenJson({ file, failure }: CheckedFlows['broken'][number]): object {
  return { file, code: failure.code, message: failure.message, hint: failure.hint };
}

// ---------------------------------------------------------------------------------------------------- check

async function check(context: Context, name: string | undefined): Promise<ExitStatus> {
  const { terminal } = context;
  if ((await context.workspace()).root === null) {
    throw new Failure(
      'WORKSPACE_MISSING',
      'There is no workspace here or above, and so no flows.',
      'Make one: pagecast init',
    );
  }
  // What is missing or broken is explained by the look-up.
  const only = name === undefined ? null : await context.flow(name);
  const all = await checkedFlows(context);
  const flows = all.flows.filter(({ flow }) => only === null || flow.name === only.name);
  const broken = only === null ? all.broken : [];
  const ok = broken.length === 0 && flows.every((one) => one.ok);
  if (terminal.json) {
    terminal.document({
      ok,
      flows: flows.map(({ flow, file, faults, ok }) => ({ name: flow.name, file, ok, faults })),
      broken: broken.map(brokenJson),
    });
    return ok ? EXIT.done : EXIT.invalid;
  }
  const { paint } = terminal;
  if (flows.length + broken.length === 0) terminal.note('There are no flows to check.');
  for (const { flow, faults, ok } of flows) {
    terminal.data(`${ok ? paint.green('ok  ') : paint.red('FAIL')} ${flow.name}`);
    for (const fault of faults) {
      const [line, hint] = faultLines(flow.name, fault);
      terminal.data(`     ${fault.severity === 'warning' ? 'warning: ' : ''}${line}\n       ${hint}`.trimEnd());
    }
  }
  for (const { file, failure } of broken) {
    const message = failure.message.replaceAll('\n', '\n     ');
    terminal.data(`${paint.red('FAIL')} ${file}\n     ${message}\n       ${failure.hint}`.trimEnd());
  }
  return ok ? EXIT.done : EXIT.invalid;
}
