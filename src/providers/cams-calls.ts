/**
 * One call to the API of CAMS (version 2020-06-06), for whatever sends or reads. Alibaba Cloud's SDK writes the parameters of
 * a request and makes its signature; on the wire it goes through the transport of all providers. The SDK's own cannot be used
 * for messages: it takes a late answer for a connection that never came about, reads a reply of any size, knows nothing of a
 * proxy though it has settings for one, and puts the whole address into its errors.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as cams from '@alicloud/cams20200606';
import type * as openApi from '@alicloud/openapi-client';
import type * as openApiUtil from '@alicloud/openapi-util';
import type { DeliveryError } from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import { Failure } from '../core/failure.js';
import type { Clock } from '../ports.js';
import type { Reply, Transport } from './http.js';
import type { PrivateParts, Redactor } from './redaction.js';
import {
  DEFAULT_PAUSE_MS,
  errorOutcome,
  faultOutcome,
  isListed,
  isRecord,
  notTakenUp,
  parseObject,
  type NotSent,
} from './service-reply.js';

/** The three packages of the SDK, as CommonJS gives them. */
export interface CamsSdk {
  cams: (typeof cams)['default'];
  openApi: Pick<typeof openApi, 'Config'>;
  openApiUtil: (typeof openApiUtil)['default'];
}
export type CamsClient = InstanceType<CamsSdk['cams']['default']>;
type Params = Parameters<CamsClient['callApi']>[0];
type OpenApiRequest = Parameters<CamsClient['callApi']>[1];

/** What the SDK is installed as, beside pagecast. */
const PACKAGES = '@alicloud/cams20200606@1.4.2 @alicloud/openapi-client@0.4.15 @alicloud/openapi-util@0.3.3';

/** Loads the SDK, which is an optional dependency. */
export function installedSdk(): CamsSdk {
  const load = createRequire(import.meta.url);
  return {
    cams: load('@alicloud/cams20200606') as CamsSdk['cams'],
    openApi: load('@alicloud/openapi-client') as CamsSdk['openApi'],
    openApiUtil: load('@alicloud/openapi-util') as CamsSdk['openApiUtil'],
  };
}

/** @throws Failure PROVIDER_UNAVAILABLE */
export function openSdk(load: () => CamsSdk): CamsSdk {
  try {
    return load();
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    throw new Failure(
      'PROVIDER_UNAVAILABLE',
      `Alibaba Cloud CAMS needs its SDK, which ${isAbsent ? 'is not installed' : 'cannot be loaded'}.`,
      `Install it beside pagecast: npm install ${PACKAGES} (npm install --global ${PACKAGES} where pagecast is installed so).`,
      error,
    );
  }
}

export interface CamsAccess {
  /** Such as `cams.ap-southeast-1.aliyuncs.com`; with its port where that is not the usual one. */
  host: string;
  accessKeyId: string;
  accessKeySecret: string;
  transport: Transport;
  timeoutMs: number;
  redact: Redactor;
  clock: Clock;
}

/** What a call came to: the body of a reply that says `OK`, or why there is none. */
export type Answer = { body: Record<string, unknown> } | NotSent;

interface CallOptions {
  /** Whoever the call is about, for errors that repeat it. */
  people?: readonly PrivateParts[];
  /** Called when the first byte is about to be written. */
  onWire?: (() => void) | undefined;
}

/** Never rejects. @param write makes one request of the SDK; its answer is not to be used */
export type CamsCall = (
  write: (client: CamsClient, models: CamsSdk['cams']) => Promise<unknown>,
  options?: CallOptions,
) => Promise<Answer>;

/** Calls a second for each account, by the comments of the SDK. A newer one says 250 for single messages. */
const CALLS_PER_SECOND: Record<string, number> = {
  SendChatappMassMessage: 10,
  SendChatappMessage: 200,
  ListChatappTemplate: 5,
  GetChatappTemplateDetail: 5,
};
const FEWEST_CALLS_PER_SECOND = 5;

const ALGORITHM = 'ACS3-HMAC-SHA256';

export function createCamsCall(sdk: CamsSdk, access: CamsAccess): CamsCall {
  const { host, transport, timeoutMs, redact, clock } = access;
  // It makes no connection and needs no key, because no request of it is ever sent by itself.
  const client = new sdk.cams.default(new sdk.openApi.Config({ endpoint: host }));
  const gates = new Map<string, Gate>();
  const gateOf = (action: string): Gate => {
    const gate = gates.get(action) ?? new Gate(CALLS_PER_SECOND[action] ?? FEWEST_CALLS_PER_SECOND, clock);
    gates.set(action, gate);
    return gate;
  };

  const encode = (text: string): string => sdk.openApiUtil.default.getEncodeParam(text);

  return async (write, { people = [], onWire } = {}) => {
    let request: WireRequest;
    try {
      const written = await writtenBy(client, (writer) => write(writer, sdk.cams));
      await gateOf(written.params.action).turn();
      request = signed(written, sdk, access);
    } catch (error) {
      const why = error instanceof Error ? error.name : 'unknown';
      const message = `Nothing was sent: the SDK made no request of it (${why}).`;
      return { kind: 'stopped', stop: 'content', error: { code: 'cams:NotWritten', message } };
    }
    const { path, headers, body } = request;
    const reply = await transport.post(path, { headers, body, timeoutMs, onWire });
    if ('fault' in reply) return faultOutcome(reply);
    return answerOf(reply, (words) =>
      words.length > LONGEST_WORDS
        ? `(${words.length} characters, which are not shown)`
        : redact(words, ...people.map((parts) => inEveryForm(parts, encode))),
    );
  };
}

/** Lets calls through at a steady beat, so that the other end does not count too many in any second. */
class Gate {
  readonly #interval: number;
  readonly #clock: Clock;
  #last = Promise.resolve();
  #freeAt = -Infinity;

  constructor(perSecond: number, clock: Clock) {
    // A little slower than allowed: calls that were held up on their way arrive closer together than they left.
    this.#interval = 1050 / perSecond;
    this.#clock = clock;
  }

  turn(): Promise<void> {
    const clock = this.#clock;
    this.#last = this.#last.then(async () => {
      for (let now = clock.monotonic(); now < this.#freeAt; now = clock.monotonic()) {
        await clock.sleep(Math.ceil(this.#freeAt - now));
      }
      this.#freeAt = clock.monotonic() + this.#interval;
    });
    return this.#last;
  }
}

// ------------------------------------------------------------------------------------------------- a call → a request

interface Written {
  params: Params;
  request: OpenApiRequest;
}

interface WireRequest {
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** Has the SDK write a request, and takes it where the SDK would send it. */
async function writtenBy(client: CamsClient, write: (writer: CamsClient) => Promise<unknown>): Promise<Written> {
  const written: Written[] = [];
  // A writer of its own for each call, because a request does not say which call it belongs to.
  const writer = Object.create(client) as CamsClient;
  writer.callApi = (params, request) => {
    written.push({ params, request });
    return Promise.resolve({});
  };
  await write(writer);
  const [first] = written;
  if (first === undefined) throw new Error('The SDK made no request.');
  return first;
}

/** The request with the headers and the signature that the SDK would give it (signature version 3, ACS3-HMAC-SHA256). */
function signed(
  { params, request }: Written,
  { openApiUtil: { default: util } }: CamsSdk,
  { host, accessKeyId, accessKeySecret, clock }: CamsAccess,
): WireRequest {
  const query = (request.query ?? {}) as Record<string, string>;
  const body = isRecord(request.body) ? util.toForm(request.body) : '';
  const digest = createHash('sha256').update(body).digest('hex');
  const { action, version, pathname } = params;
  const headers: Record<string, string> = {
    host,
    accept: 'application/json',
    'user-agent': 'pagecast',
    'x-acs-action': action,
    'x-acs-version': version,
    'x-acs-date': new Date(clock.now()).toISOString().replace(/\.\d+/, ''),
    'x-acs-signature-nonce': randomUUID(),
    'x-acs-content-sha256': digest,
    ...(body !== '' && { 'content-type': 'application/x-www-form-urlencoded' }),
  };
  const signable = { method: 'POST', pathname, query, headers } as unknown as Parameters<
    typeof util.getAuthorization
  >[0];
  headers['authorization'] = util.getAuthorization(signable, ALGORITHM, digest, accessKeyId, accessKeySecret);
  const parameters = Object.entries(query).map(([name, value]) => `${name}=${util.getEncodeParam(value)}`);
  return { path: parameters.length === 0 ? pathname : `${pathname}?${parameters.join('&')}`, headers, body };
}

// ------------------------------------------------------------------------------------------------- a reply → an answer

/** Longer words would take too long to be searched for what is private: a reply may be about some hundred thousand texts. */
const LONGEST_WORDS = 4000;

/** A reply may repeat what was sent as it was on the wire. */
function inEveryForm({ userId, texts }: PrivateParts, encode: (text: string) => string): PrivateParts {
  const forms = texts.flatMap((text) =>
    [text, JSON.stringify(text).slice(1, -1)].flatMap((form) => {
      // Neither way of encoding takes a lone surrogate.
      const whole = Buffer.from(form).toString();
      return [form, encode(whole), encodeURIComponent(whole)];
    }),
  );
  return { userId, texts: [...new Set(forms)] };
}

/** @param redact makes the service's words fit to be shown */
function answerOf(reply: Reply, redact: (words: string) => string): Answer {
  const { status } = reply;
  const body = parseObject(reply.body) ?? {};
  const code = errorCode(body['Code'] ?? body['code']);
  const refusal = code === null || code === 'OK' ? null : errorOf(code, body, redact);
  if (status >= 500) {
    // The messages may be out before a server falls over, whatever it says. Only limits and keys are looked at before.
    const outcome = refusal && isListed(refusal.code) ? errorOutcome(refusal, DEFAULT_PAUSE_MS) : null;
    if (outcome && (outcome.kind === 'stopped' || outcome.kind === 'retryable')) return outcome;
    return unknown('SERVER_ERROR', `CAMS answered with HTTP status ${status}.`, refusal);
  }
  if (refusal) return errorOutcome(refusal, DEFAULT_PAUSE_MS);
  if (code === 'OK' && status >= 200 && status < 300) return { body };
  return (
    (code === null ? notTakenUp(status, 'CAMS') : null) ??
    unknown('REPLY_UNREADABLE', `The answer (HTTP status ${status}) is not that of CAMS.`, null)
  );
}

function unknown(code: string, what: string, refusal: DeliveryError | null): NotSent {
  const message = refusal === null ? what : `${what} ${refusal.message} [${refusal.code}]`;
  return {
    kind: 'unknown',
    error: { code, message, ...(refusal?.traceId !== undefined && { traceId: refusal.traceId }) },
  };
}

function errorCode(value: unknown): string | null {
  return typeof value === 'string' && /^[A-Za-z][\w.-]{0,99}$/.test(value) ? value : null;
}

function errorOf(code: string, body: Record<string, unknown>, redact: (words: string) => string): DeliveryError {
  const words = body['Message'] ?? body['message'];
  const trace = body['RequestId'] ?? body['requestId'];
  const { class: met, meaning } = explainError(`cams:${code}`);
  // What is wrong with a signature is told by repeating the whole request.
  const isAboutKey = met.kind === 'stop' && met.cause === 'token';
  return {
    code: `cams:${code}`,
    message: isAboutKey ? meaning : redact(typeof words === 'string' ? words : ''),
    ...(typeof trace === 'string' && /^[\w-]{1,64}$/.test(trace) && { traceId: trace }),
  };
}
