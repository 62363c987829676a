/** The flows of the workspace with what they are checked against: for those who list them, trigger them and run them. */
import type { FlowConfiguration } from '../app/flow-message.js';
import type { TriggerResult } from '../app/trigger-flow.js';
import { checkFlow, rivalFaults, type Flow, type FlowFault } from '../core/flow.js';
import { Failure } from '../core/failure.js';
import type { FlowListing } from '../ports.js';
import type { Context } from './context.js';
import { duration } from './render.js';

export interface CheckedFlow {
  file: string;
  flow: Flow;
  faults: FlowFault[];
  /** Whether it may run: no fault of it is an error. */
  ok: boolean;
}

export interface CheckedFlows {
  /** By name. */
  flows: CheckedFlow[];
  /** Files that hold no flow that could be checked. */
  broken: FlowListing['broken'];
}

export async function checkedFlows(context: Context): Promise<CheckedFlows> {
  const { accounts, owners, optOut, automation } = await context.workspace();
  const { entries, broken } = await context.flows();
  const templates = await context.templates();
  const known = {
    accounts: [...accounts.values()],
    owners,
    templates: templates.entries.map(({ template }) => template),
    broken: templates.broken.flatMap(({ name }) => (name === null ? [] : [name])),
    optOut,
    automation,
  };
  const flows = entries.map(({ file, flow }) => {
    const faults = checkFlow(flow, known);
    return { file, flow, faults, ok: faults.every(({ severity }) => severity !== 'error') };
  });
  const running = flows.filter(({ ok }) => ok);
  for (const one of running) {
    const rivals = running.filter((other) => other.flow.name < one.flow.name).map(({ flow }) => flow);
    one.faults.push(...rivalFaults(one.flow, rivals, known));
  }
  return { flows, broken };
}

/** Everything by which messages are sent by themselves; faulty flows are left out. */
export async function flowConfiguration(context: Context, { flows }: CheckedFlows): Promise<FlowConfiguration> {
  const { accounts, owners, window, optOut, automation } = await context.workspace();
  const { entries } = await context.templates();
  return {
    accounts: [...accounts.values()],
    owners,
    flows: flows.filter(({ ok }) => ok).map(({ flow }) => flow),
    templates: entries.map(({ template }) => template),
    window,
    optOut,
    automation,
  };
}

/** What a fault is, and what would be allowed instead. */
export function faultLines(name: string, { row, reason, instead }: FlowFault): [line: string, hint: string] {
  return [`${name}: ${reason}${row === null ? '' : ` (${row})`}`, instead];
}

type NotQueued = Extract<TriggerResult, { kind: 'not_queued' }>;

/** Why a call that is right queues nothing. */
export function notQueued(result: NotQueued): Failure {
  const { code, message } = NOT_QUEUED[result.because];
  return new Failure(code, `${message} Nothing was queued.`, notQueuedHint(result));
}

function notQueuedHint(result: NotQueued): string {
  switch (result.because) {
    case 'limit':
      return '';
    case 'guard': {
      const { most, withinMs } = result.guard;
      return `It allows ${most} within ${duration(withinMs)}; it is automation.guard in pagecast.yaml.`;
    }
    case 'quiet_hours':
      return `They end at ${new Date(result.until).toISOString()}.`;
  }
}

const NOT_QUEUED: Record<NotQueued['because'], { code: 'LIMIT' | 'GUARD' | 'QUIET_HOURS'; message: string }> = {
  limit: {
    code: 'LIMIT',
    message: 'This person has had, or is about to get, the message of this flow as often as its limit allows.',
  },
  guard: {
    code: 'GUARD',
    message: 'As many automatic messages were queued for this person as the guard allows for now.',
  },
  quiet_hours: { code: 'QUIET_HOURS', message: 'These are the quiet hours of the flow, in which it sends nothing.' },
};
