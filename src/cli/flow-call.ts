/** POST /flows/NAME: another program has a flow send its message to somebody; what it is answered. */
import type { FlowConfiguration } from '../app/flow-message.js';
import { triggerFlow, type FlowCall, type TriggerResult } from '../app/trigger-flow.js';
import { EXIT, Failure, type FailureCode } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { Clock, Random, Store } from '../ports.js';
import { iso } from './campaign-run.js';
import { notQueued } from './flows.js';
import { publicSentence } from './messages.js';

export interface FlowAnswer {
  status: number;
  body: object;
}

export interface FlowCallWorld {
  store: Store;
  clock: Clock;
  random: Random;
  configuration: FlowConfiguration;
  /** The names of flows that are there and are not run, for their faults. */
  faulty: ReadonlySet<string>;
  /** A message waits to be sent. @param account the `senderKey` */
  onQueued: (account: string) => void;
  /** Something went wrong of which the caller is told nothing. */
  onError: (error: unknown) => void;
}

/** Never throws. @param body as it came, parsed */
export async function answerFlowCall(world: FlowCallWorld, name: string, body: unknown): Promise<FlowAnswer> {
  const call = readCall(name, body);
  if (typeof call === 'string') return refused(400, 'USAGE', call, SHAPE);
  try {
    return await answerTo(world, await triggerFlow(world, call));
  } catch (error) {
    if (error instanceof Failure) return failed(withFaults(world, name, error));
    world.onError(error);
    return refused(500, 'INTERNAL', 'Something went wrong here; nothing is known to have been queued.', '');
  }
}

const SHAPE =
  'Post {"to": "7642925849053947", "values": {"name": "Ann"}, "key": "order-17"} as JSON; only "to" is needed.';
const KEYS = ['to', 'values', 'owner', 'key'];
/** The longest value that a message could hold is far below it. */
const MAX_VALUE = 10_000;
const MAX_VALUES = 100;

/** @returns a sentence for what is no call */
function readCall(name: string, body: unknown): FlowCall | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'The body is no JSON object.';
  const { to, values = {}, owner = null, key = null, ...others } = body as Record<string, unknown>;
  if (Object.keys(others).length > 0) return `The body has a key that is none of ${KEYS.join(', ')}.`;
  if (typeof to !== 'string' || to.length > 100) return '"to" must be a user ID or a phone number, as text.';
  if (typeof values !== 'object' || values === null || Array.isArray(values)) return '"values" must be an object.';
  const pairs = Object.entries(values as Record<string, unknown>);
  const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_VALUE;
  if (pairs.length > MAX_VALUES || !pairs.every(([, value]) => isText(value))) {
    return 'Each of "values" must be a text; numbers are written in quotes, as they are to read.';
  }
  if ((owner !== null && typeof owner !== 'string') || (key !== null && typeof key !== 'string')) {
    return '"owner" and "key" must be texts.';
  }
  return { flow: name, to: to.trim(), values: Object.fromEntries(pairs) as Record<string, string>, owner, key };
}

async function answerTo({ store, onQueued }: FlowCallWorld, result: TriggerResult): Promise<FlowAnswer> {
  switch (result.kind) {
    case 'queued': {
      onQueued(senderKey(result.account));
      const { campaign, seq } = result.row;
      return { status: 202, body: { campaign, row: seq, state: 'queued', notBefore: iso(result.notBefore) } };
    }
    case 'duplicate': {
      const { campaign, seq } = result.row;
      const row = await store.message(result.row);
      return {
        status: 200,
        body: { campaign, row: seq, state: row?.state ?? null, notBefore: iso(row?.notBefore ?? null) },
      };
    }
    case 'not_queued':
      return failed(notQueued(result));
    case 'invalid': {
      const [first] = result.findings;
      return refused(422, first?.code ?? 'INVALID', result.findings.map(publicSentence).join(' '), '');
    }
  }
}

/** Whoever calls a flow that has faults should not look for a mistake in its name. */
function withFaults({ faulty }: FlowCallWorld, name: string, error: Failure): Failure {
  if (error.code !== 'FLOW_UNKNOWN' || !faulty.has(name)) return error;
  const hint = `See them: pagecast flow check ${name}. Then start the listener again.`;
  return new Failure('FLOW_UNKNOWN', `The flow ${name} has faults and is not run.`, hint, error);
}

/** Where the status does not follow from the exit status. */
const HTTP_STATUS: Partial<Record<FailureCode, number>> = {
  OPTED_OUT: 403,
  FLOW_UNKNOWN: 404,
  LIMIT: 409,
  GUARD: 409,
  QUIET_HOURS: 409,
};

function failed({ code, message, hint, status }: Failure): FlowAnswer {
  // What may pass is worth another call.
  return refused(HTTP_STATUS[code] ?? (status === EXIT.tryAgain ? 503 : 422), code, message, hint);
}

function refused(status: number, code: string, message: string, hint: string): FlowAnswer {
  return { status, body: { error: { code, message, hint } } };
}
