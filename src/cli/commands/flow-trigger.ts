/** `pagecast flow trigger`: has a flow send its message to one person, as another program would. */
import {
  composeCall,
  triggerFlow,
  type FlowCall,
  type TriggerResult,
  type TriggerWorld,
} from '../../app/trigger-flow.js';
import { campaignContent } from '../../core/campaign-content.js';
import { STOP_STATUS } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Finding } from '../../core/finding.js';
import { senderKey } from '../../core/sender.js';
import { maskId } from '../../core/user-id.js';
import type { Campaign, MessageRow } from '../../ports.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import { checkedFlows, flowConfiguration, notQueued } from '../flows.js';
import { findingJson } from '../messages.js';
import { parsePairs } from '../options.js';
import { findingWords } from '../plan-preview.js';
import { bubble, findingsText, resultLines, SKIP_TEXT, stopSentence, time } from '../render.js';

export interface TriggerOptions {
  to: string;
  var?: string[];
  owner?: string;
  key?: string;
  dryRun?: boolean;
}

/** @throws Failure FLOW_UNKNOWN, FLOW_INVALID, POLICY_FORBIDS, OPTED_OUT, … as `composeCall` */
export async function trigger(context: Context, name: string, options: TriggerOptions): Promise<ExitStatus> {
  const call: FlowCall = {
    flow: name,
    to: options.to.trim(),
    values: parsePairs(options.var ?? []),
    owner: options.owner ?? null,
    key: options.key ?? null,
  };
  // What is missing or broken is explained by the look-up.
  await context.flow(name);
  const flows = await checkedFlows(context);
  if (flows.flows.some(({ flow, ok }) => flow.name === name && !ok)) {
    throw new Failure(
      'FLOW_INVALID',
      `The flow ${name} has faults and is not run.`,
      `See them: pagecast flow check ${name}`,
    );
  }
  const { store } = await context.store();
  const { clock, random } = context;
  const world: TriggerWorld = { store, clock, random, configuration: await flowConfiguration(context, flows) };
  if (options.dryRun === true) return rehearse(context, world, call);

  const result = await triggerFlow(world, call).catch(sayHow);
  if (result.kind === 'invalid') return tellFaults(context, result.findings);
  if (result.kind === 'not_queued') throw notQueued(result);
  if (result.kind === 'queued' && result.isUndisclosed && !context.terminal.json) {
    context.terminal.note('It does not say that it is automatic: the sentence for that has no place in it.');
  }
  const sending = result.kind === 'queued' && result.notBefore === null ? await sendNow(context, result) : null;
  const row = await store.message(result.row);
  if (row === null) throw new Error(`There is no row ${result.row.seq} in campaign ${result.row.campaign}`);
  // Whoever looks next sends what is left.
  if (row.state === 'queued') {
    const { engine } = await context.store();
    await engine.wake(senderKey(result.account), row.notBefore ?? clock.now());
  }
  return tell(context, call, result, row, sending);
}

/** Who calls over HTTP gives values in another way. */
function sayHow(error: unknown): never {
  if (!(error instanceof Failure) || error.code !== 'VARIABLE_MISSING') throw error;
  throw new Failure(error.code, error.message, 'Give each of them with --var name=value.', error);
}

/** Shows what would be sent. */
async function rehearse(context: Context, world: TriggerWorld, call: FlowCall): Promise<ExitStatus> {
  const { terminal } = context;
  const composed = await composeCall(world, call).catch(sayHow);
  if (composed.kind === 'invalid') return tellFaults(context, composed.findings);
  if (composed.kind === 'not_queued') throw notQueued(composed);
  const { account, single } = composed;
  const { template } = single.campaign;
  const message = campaignContent({ template, outside: null }).render(single.values, false);
  const { notBefore, expiresAt } = single;
  if (terminal.json) {
    terminal.document({
      ...{
        flow: call.flow,
        account: account.name,
        to: single.userId,
        template: template.name,
        language: template.language,
      },
      ...{ message, notBefore: iso(notBefore), expiresAt: iso(expiresAt), dryRun: true },
    });
    return EXIT.done;
  }
  terminal.data(bubble(message, terminal.width, terminal.paint));
  const when = notBefore === null ? 'at once' : `not before ${time(notBefore)}, when quiet hours are over`;
  terminal.note(`This would go from ${account.name} to ${maskId(single.userId)}, ${when}. Nothing was queued.`);
  const unchecked = [
    ...(single.onceSince === null ? [] : ['how often the flow may send it']),
    ...(single.guard === null ? [] : ['the guard of all flows']),
    ...(call.key === null ? [] : ['whether the key is known']),
  ];
  if (unchecked.length > 0) terminal.note(`Looked at only when it is sent: ${unchecked.join(', ')}.`);
  return EXIT.done;
}

/** What stood in the way of sending, if anything did. */
type Sending = 'busy' | 'interrupted' | NonNullable<Campaign['stop']> | null;

/** A run that has the account looks for single messages several times a second, and sends them before its own. */
const WAIT_MS = 3000;
const LOOK_EVERY_MS = 100;

/**
 * Has the account's single messages sent by this process; while another one has the account, waits a little for that one.
 * @throws Failure when this process cannot send; the message stays queued
 */
async function sendNow(
  context: Context,
  { account: { name }, row }: Extract<TriggerResult, { kind: 'queued' }>,
): Promise<Sending> {
  const { terminal, clock, random } = context;
  const { sendSingles } = await import('../../app/send-singles.js');
  const account = await context.account(name);
  const { store, engine } = await context.store();
  const { window } = await context.workspace();
  const provider = await context.provider(account).catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    const way = 'The message is queued all the same: a listener or a worker that can send from the account sends it.';
    throw new Failure(error.code, error.message, `${error.hint} ${way}`.trim(), error);
  });
  const interruption = context.interruptible(() => terminal.note('Stopping: waiting for the answer.'));
  try {
    const world = { store, engine, provider, clock, random, window };
    const { signal } = interruption;
    const deadline = clock.monotonic() + WAIT_MS;
    for (;;) {
      const result = await sendSingles(world, senderKey(account), signal);
      if (result.kind === 'done') return result.stop ?? (signal.aborted ? 'interrupted' : null);
      const state = (await store.message(row))?.state;
      if (state !== 'queued' && state !== 'started') return null;
      if (signal.aborted) return 'interrupted';
      if (clock.monotonic() >= deadline) return 'busy';
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  } finally {
    interruption.dispose();
  }
}

async function tellFaults(context: Context, findings: readonly Finding[]): Promise<ExitStatus> {
  const { terminal } = context;
  if (terminal.json) terminal.document({ ok: false, findings: findings.map(findingJson) });
  else {
    const words = await findingWords(context);
    terminal.data(findingsText(findings, findings.length, terminal.paint, 20, 'ID', words));
  }
  return EXIT.invalid;
}

type Made = Extract<TriggerResult, { kind: 'queued' | 'duplicate' }>;

function tell(context: Context, { flow }: FlowCall, result: Made, row: MessageRow, sending: Sending): ExitStatus {
  const { terminal } = context;
  const { campaign, seq, userId, state, reason, messageId, error, notBefore, closesAt } = row;
  if (terminal.json) {
    terminal.document({
      ...{ flow, campaign, row: seq, to: userId, state, reason, messageId, error },
      ...{ notBefore: iso(notBefore), expiresAt: iso(closesAt) },
    });
  } else {
    if (messageId !== null) terminal.data(messageId);
    else if (state === 'queued' || state === 'started') terminal.data(`${campaign}/${seq}`);
    if (result.kind === 'duplicate')
      terminal.note('A call with this key has had it queued before; nothing was queued now.');
    for (const line of stateLines(row, sending)) terminal.note(line);
  }
  if (typeof sending === 'object' && sending !== null && state === 'queued') return STOP_STATUS[sending.cause];
  switch (state) {
    case 'sent':
    case 'started':
      return EXIT.done;
    case 'queued':
      return sending === 'interrupted' ? EXIT.interrupted : error === null ? EXIT.done : EXIT.tryAgain;
    case 'failed':
      return EXIT.someFailed;
    case 'unknown':
      return EXIT.unknownOutcomes;
    case 'skipped':
      return EXIT.stopped;
  }
}

function stateLines(row: MessageRow, sending: Sending): string[] {
  const { campaign, seq, userId, state, reason, error } = row;
  const whom = maskId(userId);
  const lookUp = `What becomes of it: pagecast message list --campaign ${campaign} (row ${seq})`;
  switch (state) {
    case 'sent':
    case 'failed':
    case 'unknown':
      return resultLines(userId, { campaign, state, error });
    case 'started':
      return [`On its way to ${whom}.`, lookUp];
    case 'skipped':
      return [`Not sent to ${whom}: ${reason === null ? 'left out' : SKIP_TEXT[reason]}.`];
    case 'queued':
      return [waitsText(row, sending), lookUp];
  }
}

function waitsText({ notBefore, closesAt, error }: MessageRow, sending: Sending): string {
  const late = closesAt === null ? '' : ` It is too late for it from ${time(closesAt)} on.`;
  if (sending === 'busy') return `It waits: another process works for the account, and sends it in its turn.${late}`;
  const who = 'A listener or a worker sends it: pagecast listen, or pagecast run.';
  if (typeof sending === 'object' && sending !== null) return `It waits: ${stopSentence(sending)}${late} ${who}`;
  if (notBefore === null) return `It waits.${late} ${who}`;
  const until = error === null ? 'when quiet hours are over' : 'and is tried again then';
  return `It waits until ${time(notBefore)}, ${until}.${late} ${who}`;
}
