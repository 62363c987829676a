/** The flows of the workspace with what they are checked against: for those who list them, trigger them and run them. */
import type { Answering } from '../app/flow-message.js';
import { checkFlow, type Flow, type FlowFault } from '../core/flow.js';
import type { FlowListing } from '../ports.js';
import type { Context } from './context.js';

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
  return { flows, broken };
}

/** Everything by which messages are sent by themselves; faulty flows are left out. */
export async function answering(context: Context, { flows }: CheckedFlows): Promise<Answering> {
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
