/** Has a flow send its message to somebody because another program asks for it: `flow trigger`, and POST /flows/NAME. */
import { Failure } from '../core/failure.js';
import type { Finding } from '../core/finding.js';
import type { AutomationSettings, Flow } from '../core/flow.js';
import type { RowMark } from '../core/metadata.js';
import { senderKey } from '../core/sender.js';
import { usableId } from '../core/sheet.js';
import { maskId } from '../core/user-id.js';
import type { Account, Clock, NewSingle, Random, Store } from '../ports.js';
import { flowMessage, type FlowConfiguration, type FlowMessage } from './flow-message.js';
import { shortId } from './plan.js';

export interface FlowCall {
  flow: string;
  /** A user ID or a phone number, as it was given. */
  to: string;
  /** By variable. */
  values: Readonly<Record<string, string>>;
  /** Whose number it leaves from, for a flow that is sent from record owners; null otherwise. */
  owner: string | null;
  /** Names the call: the person gets one message of the flow for it, however often it is made. Null for one that has no name. */
  key: string | null;
}

export type TriggerResult =
  /** The id or the values have faults. */
  | { kind: 'invalid'; findings: Finding[] }
  /** It waits to be sent, from `notBefore` on where that is not null. */
  | {
      kind: 'queued';
      row: RowMark;
      account: Account;
      notBefore: number | null;
      expiresAt: number;
      isUndisclosed: boolean;
    }
  /** A call with this key has queued it before. */
  | { kind: 'duplicate'; row: RowMark; account: Account }
  /** The person has had the flow's message as often as its `oncePer` allows. */
  | { kind: 'not_queued'; because: 'limit' }
  | { kind: 'not_queued'; because: 'guard'; guard: AutomationSettings['guard'] }
  /** `until`: when they are over. */
  | { kind: 'not_queued'; because: 'quiet_hours'; until: number };

/** What a call comes to before anything is queued. */
export type ComposedCall =
  | Extract<TriggerResult, { kind: 'invalid' | 'not_queued' }>
  | { kind: 'composed'; account: Account; single: NewSingle; isUndisclosed: boolean };

export interface TriggerWorld {
  store: Store;
  clock: Clock;
  random: Random;
  configuration: FlowConfiguration;
}

/** Nothing that tells calls apart is longer. */
const MAX_KEY = 200;

/** Nothing is sent here; the message waits for whoever works for the account. @throws Failure as `composeCall` */
export async function triggerFlow(world: TriggerWorld, call: FlowCall): Promise<TriggerResult> {
  const composed = await composeCall(world, call);
  return composed.kind === 'composed' ? queue(world, composed) : composed;
}

/**
 * The message of a call as it would be queued. What the store alone can tell (limits, the guard, a key that is known) is found
 * out only when it is.
 * @throws Failure FLOW_UNKNOWN, FLOW_INVALID, USAGE, ACCOUNT_UNKNOWN, TEMPLATE_UNKNOWN, TEMPLATE_INVALID, VARIABLE_UNKNOWN,
 *   VARIABLE_MISSING, POLICY_FORBIDS, OPTED_OUT, STORE_…; nothing was queued then
 */
export async function composeCall(world: TriggerWorld, call: FlowCall): Promise<ComposedCall> {
  const { store, clock, configuration } = world;
  const now = clock.now();
  const flow = calledFlow(configuration, call.flow);
  const account = senderOf(configuration, flow, call.owner);
  if (call.key !== null && (call.key === '' || call.key.length > MAX_KEY))
    throw new Failure('USAGE', `A key has 1 to ${MAX_KEY} characters.`);
  // What is no id of the channel (row V3) is nobody's; what is wrong with it is told below.
  const userId = usableId(call.to, account.channel) ?? call.to;
  const [standing] = await store.standings(senderKey(account), [userId], configuration.window);
  if (standing && standing.optedOutAt !== null) {
    const whom = maskId(userId);
    throw new Failure(
      'OPTED_OUT',
      `${whom} asked not to be written to by ${account.name}; nothing was queued.`,
      'Flows that are called reach them again once they have opted back in.',
    );
  }
  const message = await flowMessage(world, {
    flow,
    account,
    userId,
    values: call.values,
    occasion: call.key === null ? shortId('c', now, world.random) : `call/${flow.name}/${call.key}`,
    event: null,
    last: standing?.last ?? null,
    now,
  });
  if (message.kind === 'message') {
    return { kind: 'composed', account, single: message.single, isUndisclosed: message.isUndisclosed };
  }
  if (message.kind === 'invalid') return message;
  if (message.kind === 'quiet_hours') return { kind: 'not_queued', because: 'quiet_hours', until: message.until };
  throw failureOf(flow, message);
}

async function queue(
  { store, clock, configuration }: TriggerWorld,
  { account, single, isUndisclosed }: Extract<ComposedCall, { kind: 'composed' }>,
): Promise<TriggerResult> {
  const [queued] = await store.queueSingles([single], clock.now());
  if (queued === undefined) throw new Error('The store has not told what came of a message.');
  const { notBefore, expiresAt } = single;
  if (queued.kind === 'queued') {
    const { campaign, seq } = queued;
    return { kind: 'queued', row: { campaign, seq }, account, notBefore, expiresAt, isUndisclosed };
  }
  if (queued.because === 'limit') return { kind: 'not_queued', because: 'limit' };
  if (queued.because === 'guard') {
    return { kind: 'not_queued', because: 'guard', guard: configuration.automation.guard };
  }
  if (queued.row === null) throw new Error('The store has not told which message there is for an occasion.');
  return { kind: 'duplicate', row: queued.row, account };
}

/** @throws Failure FLOW_UNKNOWN, USAGE */
function calledFlow({ flows }: FlowConfiguration, name: string): Flow {
  const callable = flows.filter(({ trigger }) => trigger.on === 'call').map((flow) => flow.name);
  const hint =
    callable.length > 0
      ? `These can be called: ${callable.join(', ')}.`
      : 'A flow that can be called has trigger: { call: true } in its file.';
  const flow = flows.find((one) => one.name === name);
  if (flow === undefined) throw new Failure('FLOW_UNKNOWN', `There is no flow ${name} that can be used.`, hint);
  if (flow.trigger.on === 'call') return flow;
  throw new Failure('USAGE', `The flow ${name} waits for what people do, and cannot be called.`, hint);
}

/** @throws Failure FLOW_INVALID, USAGE, ACCOUNT_UNKNOWN */
function senderOf({ accounts, owners }: FlowConfiguration, { name, from }: Flow, owner: string | null): Account {
  if (from === 'auto') {
    throw new Failure(
      'FLOW_INVALID',
      `The flow ${name} answers on the channel on which somebody wrote, and nobody has written when it is called.`,
      'Name an account as its sender.',
    );
  }
  if (from !== 'record-owner') {
    if (owner !== null)
      throw new Failure(
        'USAGE',
        `The flow ${name} is sent from ${from}, not from a record owner.`,
        'Leave the owner out.',
      );
    return named(accounts, from, `The flow ${name} is sent from`);
  }
  const known =
    owners.size > 0 ? `There is: ${[...owners.keys()].join(', ')}.` : 'Name them under owners: in pagecast.yaml.';
  if (owner === null)
    throw new Failure('USAGE', `The flow ${name} is sent from a record owner, and none is named.`, known);
  const account = owners.get(owner);
  if (account === undefined) throw new Failure('ACCOUNT_UNKNOWN', `There is no record owner "${owner}".`, known);
  return named(accounts, account, `The record owner ${owner} has`);
}

/** @throws Failure ACCOUNT_UNKNOWN */
function named(accounts: readonly Account[], name: string, who: string): Account {
  const account = accounts.find((one) => one.name === name);
  if (account) return account;
  throw new Failure(
    'ACCOUNT_UNKNOWN',
    `${who} the account ${name}, which is not there.`,
    'See them: pagecast account list',
  );
}

function failureOf({ name }: Flow, why: Exclude<FlowMessage, { kind: 'message' | 'invalid' | 'quiet_hours' }>): Error {
  switch (why.kind) {
    case 'late':
      return new Error('A message that answers nothing cannot be late.');
    case 'no_template':
      return new Failure(
        'TEMPLATE_UNKNOWN',
        `The template of the flow ${name} is not there in its language.`,
        `See what is wrong: pagecast flow check ${name}`,
      );
    case 'faulty_template':
      return new Failure(
        'TEMPLATE_INVALID',
        `The template ${why.template.name} (${why.template.language}) has faults.`,
        `See them: pagecast template check ${why.template.name} --lang ${why.template.language}`,
      );
    case 'values':
      return valuesFailure(name, why);
    case 'forbidden': {
      const { reason, row, instead } = why.verdict;
      return new Failure('POLICY_FORBIDS', `${reason} Nothing was queued. (${row})`, instead);
    }
    case 'blocked':
      return new Failure('POLICY_FORBIDS', `${why.template.name}: ${why.block.reason}`, why.block.instead);
  }
}

/** Those who call by a program and those at a terminal give values in ways of their own, so none is named. */
function valuesFailure(flow: string, { missing, unknown }: Extract<FlowMessage, { kind: 'values' }>): Failure {
  if (unknown.length > 0) {
    return new Failure(
      'VARIABLE_UNKNOWN',
      `The flow ${flow} takes no value for ${unknown.join(', ')}.`,
      missing.length > 0
        ? `It needs a value for ${missing.join(', ')}.`
        : 'It has all the values that it needs without it.',
    );
  }
  return new Failure('VARIABLE_MISSING', `The flow ${flow} needs a value for ${missing.join(', ')}.`);
}
