/** `pagecast flow trigger`: has a flow send its message to one person, as another program would. */
import {
  composeCall,
  triggerFlow,
  type FlowCall,
  type TriggerResult,
  type TriggerWorld,
} from '../../app/trigger-flow.js';
import { campaignContent } from '../../core/campaign-content.js';
import { explainStop, STOP_STATUS } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Finding } from '../../core/finding.js';
import { senderKey } from '../../core/sender.js';
import { maskId } from '../../core/user-id.js';
import type { Account, Campaign, MessageRow } from '../../ports.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import { NOT_QUEUED } from '../flow-call.js';
import { answering, checkedFlows } from '../flows.js';
import { findingJson } from '../messages.js';
import { parsePairs } from '../options.js';
import { findingWords } from '../plan-preview.js';
import { bubble, findingsText, SKIP_TEXT, time } from '../render.js';
import { resultLines } from '../single-result.js';

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
  const world: TriggerWorld = { store, clock, random, answering: await answering(context, flows) };
  if (options.dryRun === true) return rehearse(context, world, call);

  const result = await triggerFlow(world, call);
  if (result.kind === 'invalid') return tellFaults(context, result.findings);
  if (result.kind === 'not_queued') throw notQueued(result);
  if (result.kind === 'queued' && result.isUndisclosed && !context.terminal.json) {
    context.terminal.note('It does not say that it is automatic: the sentence for that has no place in it.');
  }
  const isNew = result.kind === 'queued';
  const isDue = isNew && result.notBefore === null;
  const sending = isDue ? await sendNow(context, result.account) : null;
  const row = await store.message(result.row);
  if (row === null) throw new Error(`There is no row ${result.row.seq} in campaign ${result.row.campaign}`);
  // Whoever looks next sends what is left.
  if (row.state === 'queued') {
    const { engine } = await context.store();
    await engine.wake(senderKey(result.account), isNew ? (result.notBefore ?? clock.now()) : clock.now());
  }
  return tell(context, call, result, row, sending);
}

/** Shows what would be sent. */
async function rehearse(context: Context, world: TriggerWorld, call: FlowCall): Promise<ExitStatus> {
  const { terminal } = context;
  const composed = await composeCall(world, call);
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
  return EXIT.done;
}

/** What stood in the way of sending, if anything did. */
type Sending = 'busy' | 'interrupted' | NonNullable<Campaign['stop']> | null;

/**
 * Has the account's single messages sent by this process, unless another one has the account.
 * @throws Failure when this process cannot send; the message stays queued
 */
async function sendNow(context: Context, { name }: Account): Promise<Sending> {
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
    const result = await sendSingles(world, senderKey(account), interruption.signal);
    if (result.kind === 'busy') return 'busy';
    return result.stop ?? (interruption.signal.aborted ? 'interrupted' : null);
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

function notQueued({ because, until }: Extract<TriggerResult, { kind: 'not_queued' }>): Failure {
  const hint = until === null ? '' : `They end at ${time(until)}.`;
  return new Failure('POLICY_FORBIDS', `${NOT_QUEUED[because].message} Nothing was queued.`, hint);
}

type Made = Extract<TriggerResult, { kind: 'queued' | 'duplicate' }>;

function tell(context: Context, { flow }: FlowCall, result: Made, row: MessageRow, sending: Sending): ExitStatus {
  const { terminal } = context;
  const { campaign, seq, userId, state, reason, messageId, error } = row;
  const [notBefore, expiresAt] = result.kind === 'queued' ? [result.notBefore, result.expiresAt] : [null, null];
  if (terminal.json) {
    terminal.document({
      ...{ flow, campaign, row: seq, to: userId, state, reason, messageId, error },
      ...{ notBefore: iso(notBefore), expiresAt: iso(expiresAt) },
    });
  } else {
    if (messageId !== null) terminal.data(messageId);
    if (result.kind === 'duplicate')
      terminal.note('A call with this key has had it queued before; nothing was queued now.');
    for (const line of stateLines(row, result, sending)) terminal.note(line);
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

function stateLines({ campaign, userId, state, reason, error }: MessageRow, result: Made, sending: Sending): string[] {
  const whom = maskId(userId);
  switch (state) {
    case 'sent':
    case 'failed':
    case 'unknown':
      return resultLines(userId, { campaign, state, error });
    case 'started':
      return [`On its way to ${whom}.`];
    case 'skipped':
      return [`Not sent to ${whom}: ${reason === null ? 'left out' : SKIP_TEXT[reason]}.`];
    case 'queued':
      return [`${waitsText(result, sending)} A listener or a worker sends it: pagecast listen, or pagecast run.`];
  }
}

function waitsText(result: Made, sending: Sending): string {
  const late = result.kind === 'queued' ? ` It is too late for it from ${time(result.expiresAt)} on.` : '';
  if (typeof sending === 'object' && sending !== null) {
    const { meaning, advice } = explainStop(sending);
    return `It waits, since nothing can be sent for the account (${sending.cause}): ${meaning} ${advice}${late}`;
  }
  if (sending === 'busy') return `It waits; another process works for the account, and sends it.${late}`;
  const { notBefore } = result.kind === 'queued' ? result : { notBefore: null };
  return notBefore === null
    ? `It waits.${late}`
    : `It waits until ${time(notBefore)}, when quiet hours are over.${late}`;
}
