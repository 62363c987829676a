/** POST /flows/NAME: another program has a flow send its message to somebody; what it is answered. */
import type { Answering } from '../app/flow-message.js';
import { triggerFlow, type FlowCall, type TriggerResult } from '../app/trigger-flow.js';
import { EXIT, Failure, type FailureCode } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { Clock, Random, Store } from '../ports.js';
import { iso } from './campaign-run.js';
import { publicSentence } from './messages.js';

export interface FlowAnswer {
  status: number;
  body: object;
}

export interface FlowCallWorld {
  store: Store;
  clock: Clock;
  random: Random;
  answering: Answering;
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
    if (error instanceof Failure) return failed(error);
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
      return { status: 200, body: { campaign, row: seq, state: row?.state ?? null, notBefore: null } };
    }
    case 'not_queued': {
      const { code, message } = NOT_QUEUED[result.because];
      const until = result.until === null ? '' : ` They end at ${iso(result.until) ?? ''}.`;
      return refused(409, code, `${message}${until}`, '');
    }
    case 'invalid': {
      const [first] = result.findings;
      return refused(422, first?.code ?? 'INVALID', result.findings.map(publicSentence).join(' '), '');
    }
  }
}

/** Why a call that is right queues nothing. */
export const NOT_QUEUED: Record<
  Extract<TriggerResult, { kind: 'not_queued' }>['because'],
  { code: string; message: string }
> = {
  limit: {
    code: 'LIMIT',
    message: 'This person has had the message of this flow already, as often as its limit allows.',
  },
  guard: { code: 'GUARD', message: 'This person has had as many automatic messages as the guard allows for now.' },
  quiet_hours: { code: 'QUIET_HOURS', message: 'These are the quiet hours of the flow, in which it sends nothing.' },
};

/** Where the status does not follow from the exit status. */
const HTTP_STATUS: Partial<Record<FailureCode, number>> = { FLOW_UNKNOWN: 404, OPTED_OUT: 403 };

function failed({ code, message, hint, status }: Failure): FlowAnswer {
  // What may pass is worth another call.
  return refused(HTTP_STATUS[code] ?? (status === EXIT.tryAgain ? 503 : 422), code, message, hint);
}

function refused(status: number, code: string, message: string, hint: string): FlowAnswer {
  return { status, body: { error: { code, message, hint } } };
}
