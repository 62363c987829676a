/**
 * Takes callbacks over HTTP. The order is always the same: the shape of the signature before the body is read, the signature
 * over the bytes as they came before anything is understood of them, the store before the answer. What a body says is for
 * later. Answers to what is refused say why in one word (to calls of flows, as those are answered otherwise), and nothing of a
 * request is logged or given back.
 * Source: Meta, "Webhooks": an answer within 5 seconds, or the event comes again. CAMS, "configure message receipts": within 3.
 */
import type { Socket } from 'node:net';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteShorthandOptions,
} from 'fastify';
import { Failure } from '../core/failure.js';
import type { CallbackService, Clock } from '../ports.js';
import { Intake, type IntakeLimits, type IntakeStore } from './intake.js';
import {
  META_SIGNATURE,
  metaCheck,
  tokenCheck,
  TWILIO_SIGNATURE,
  twilioCheck,
  type Credentials,
} from './signatures.js';

/**
 * What became of a request. `unsigned`: without a signature or token, or with one of the wrong shape. `overloaded`: it was not
 * kept, and may come again. `refused`: anything else.
 */
export type CallbackResult = 'accepted' | 'unsigned' | 'forged' | 'too_large' | 'overloaded' | 'refused';

export interface WebhookLimits extends IntakeLimits {
  /** Bytes of a callback of Meta or CAMS. */
  bodyBytes: number;
  /** From the first byte of a request to the end of its headers, and to its end. */
  headersMs: number;
  requestMs: number;
  /** How long a connection may stay silent between requests, and in the midst of anything. */
  keepAliveMs: number;
  silenceMs: number;
  connections: number;
  /** How long requests that are under way have when the server closes. */
  closeMs: number;
}

/** Connections times the largest body is what strangers can have held in memory. */
const DEFAULT_LIMITS: WebhookLimits = {
  bodyBytes: 1024 * 1024,
  headersMs: 10_000,
  requestMs: 10_000,
  keepAliveMs: 15_000,
  silenceMs: 30_000,
  connections: 256,
  closeMs: 5000,
  group: 500,
  waiting: 10_000,
  waitingLength: 64 * 1024 * 1024,
  backlog: 200_000,
  // Who comes while a write is under way waits for the next one as well, and CAMS waits for 3 seconds in all.
  writeMs: 1250,
};

/** `receive` keeps deliveries durably, and `onReceived` is told after it has. */
export interface WebhookServerOptions extends IntakeStore {
  host: string;
  /** 0 takes any free port. */
  port: number;
  credentials: Credentials;
  /** Calls a flow; null where none can be called. */
  call: ((name: string, body: unknown) => Promise<{ status: number; body: object }>) | null;
  page: (path: '/healthz' | '/metrics') => Promise<{ status: number; type: string; body: string }>;
  count: (service: CallbackService | 'flow', result: CallbackResult) => void;
  limits?: Partial<WebhookLimits>;
}

export interface WebhookServer {
  /** Such as `http://127.0.0.1:8443`. */
  url: string;
  /** Takes nothing more, and ends what is under way, if need be by cutting it off. */
  close(): Promise<void>;
}

/** Bytes of a form of Twilio, whose messages have at most 1,600 characters, and of a call of a flow. */
const FORM_BYTES = 64 * 1024;
const CALL_BYTES = 64 * 1024;
/** Those of Meta are numbers. */
const MAX_CHALLENGE = 200;
const MAX_TOKEN = 500;
const RETRY_AFTER_SECONDS = 5;

const PATHS = {
  meta: '/webhooks/meta',
  cams: '/webhooks/cams/:token',
  twilio: '/webhooks/twilio',
  flow: '/flows/:name',
} as const;
/** What the addresses of all flows begin with. */
const FLOWS = '/flows/';

/** @throws Failure PORT_IN_USE, USAGE; PROVIDER_UNAVAILABLE when Twilio's signatures cannot be checked */
export async function startWebhookServer(options: WebhookServerOptions): Promise<WebhookServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const app = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionTimeout: limits.silenceMs,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_TOKEN },
    http: {
      headersTimeout: limits.headersMs,
      // Time-outs hold only as often as somebody looks.
      connectionsCheckingInterval: Math.ceil(Math.min(limits.headersMs, limits.requestMs) / 10),
    },
    frameworkErrors: (_error, _request, reply) => {
      refuse(reply, 400, 'bad_request');
    },
    clientErrorHandler: onClientError,
  });
  app.server.maxConnections = limits.connections;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler(onError(() => undefined));
  app.setNotFoundHandler((_request, reply) => refuse(reply, 404, 'not_found'));

  const intake = new Intake(options, limits);
  for (const callback of await callbacks(options.credentials, limits)) addCallback(app, callback, intake, options);
  addHandshake(app, options);
  addCalls(app, options);
  addUnconfigured(app, options);
  for (const path of ['/healthz', '/metrics'] as const) {
    app.get(path, async (_request, reply) => {
      const { status, type, body } = await options.page(path);
      return answer(reply, status, type, body);
    });
  }

  const url = await listen(app, options);
  let closed: Promise<void> | null = null;
  return { url, close: () => (closed ??= close(app, options.clock, limits.closeMs)) };
}

async function listen(app: FastifyInstance, { host, port }: WebhookServerOptions): Promise<string> {
  try {
    // By this name fastify would open a second server, for which none of the bounds would hold.
    return await app.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port });
  } catch (error) {
    await app.close();
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    if (code === 'EADDRINUSE') {
      throw new Failure('PORT_IN_USE', `Port ${port} is in use by another program.`, 'Choose another port.', error);
    }
    const hint = 'Give a host of this machine, such as 127.0.0.1, and a port that is free.';
    throw new Failure('USAGE', `Nobody can listen on ${host}, port ${port} (${code}).`, hint, error);
  }
}

async function close(app: FastifyInstance, clock: Clock, graceMs: number): Promise<void> {
  const done = new AbortController();
  const cut = clock.sleep(graceMs, done.signal).then(() => app.server.closeAllConnections());
  await Promise.all([app.close().then(() => done.abort()), cut]);
}

// --------------------------------------------------------------------------------------------------- callbacks

/** How one service's callbacks come, and what shows that they are its own. */
interface Callback {
  service: CallbackService;
  bodyBytes: number;
  /** The signature or token; null for one of the wrong shape. */
  signature: (request: FastifyRequest) => string | null;
  /** Whether it is surely wrong, whatever the body is. */
  isWrong?: (signature: string) => boolean;
  /** The accounts for which it speaks; null when it is wrong. */
  accounts: (signature: string, request: FastifyRequest, body: Buffer) => string[] | null;
  /** What of the request is kept. */
  kept: (request: FastifyRequest, body: string) => string;
  /** What is answered once it is kept. */
  thanks: { type: string; body: string };
}

const THANKS = { type: 'text/plain; charset=utf-8', body: '' };

/** Of the services for which there are credentials. */
async function callbacks(credentials: Credentials, { bodyBytes }: WebhookLimits): Promise<Callback[]> {
  const { meta, cams, twilio, url } = credentials;
  const found: Callback[] = [];
  if (meta.length > 0) {
    const check = metaCheck(meta);
    found.push({
      service: 'meta',
      bodyBytes,
      signature: (request) => header(request, 'x-hub-signature-256', META_SIGNATURE),
      accounts: (signature, _request, body) => check(signature, body),
      kept: (_request, body) => body,
      thanks: THANKS,
    });
  }
  if (cams.length > 0) {
    const check = tokenCheck(cams);
    found.push({
      service: 'cams',
      bodyBytes,
      signature: ({ params }) => (params as { token: string }).token || null,
      isWrong: (token) => check(token) === null,
      accounts: (token) => check(token),
      kept: (_request, body) => body,
      thanks: THANKS,
    });
  }
  if (twilio.length > 0 && url !== null) {
    const check = await twilioCheck(twilio, url);
    found.push({
      service: 'twilio',
      bodyBytes: Math.min(bodyBytes, FORM_BYTES),
      signature: (request) => header(request, 'x-twilio-signature', TWILIO_SIGNATURE),
      accounts: (signature, { url: path }, body) => check(signature, { path, form: body.toString() }),
      kept: ({ url: path }, body) => `${path} ${body}`,
      thanks: { type: 'text/xml; charset=utf-8', body: '<?xml version="1.0" encoding="UTF-8"?><Response/>' },
    });
  }
  return found;
}

function header({ headers }: FastifyRequest, name: string, shape: RegExp): string | null {
  const value = headers[name];
  return typeof value === 'string' && shape.test(value) ? value : null;
}

function addCallback(
  app: FastifyInstance,
  { service, bodyBytes, signature, isWrong, accounts, kept, thanks }: Callback,
  intake: Intake,
  { clock, count }: WebhookServerOptions,
): void {
  const refused = (request: FastifyRequest, reply: FastifyReply, result: 'unsigned' | 'forged'): FastifyReply => {
    count(service, result);
    return refuseUnread(request, reply, 401, result, bodyBytes);
  };
  const options: RouteShorthandOptions = {
    bodyLimit: bodyBytes,
    errorHandler: onError((result) => count(service, result)),
    onRequest: (request, reply, next) => {
      const shown = signature(request);
      if (shown === null) refused(request, reply, 'unsigned');
      else if (isWrong?.(shown) === true) refused(request, reply, 'forged');
      else next();
    },
  };
  app.post(PATHS[service], options, async (request, reply) => {
    const body = bytesOf(request);
    const speaksFor = accounts(signature(request) ?? '', request, body);
    if (speaksFor === null) return refused(request, reply, 'forged');
    const delivery = { service, accounts: speaksFor, body: kept(request, body.toString()), receivedAt: clock.now() };
    const isKept = await intake.keep(delivery);
    count(service, isKept ? 'accepted' : 'overloaded');
    if (isKept) return answer(reply, 200, thanks.type, thanks.body);
    return refuse(reply.header('retry-after', RETRY_AFTER_SECONDS), 503, 'overloaded');
  });
}

/** Whoever has set an address at a service, but no secret here, sees that something arrives. */
function addUnconfigured(app: FastifyInstance, { count }: WebhookServerOptions): void {
  for (const [service, url] of Object.entries(PATHS) as [keyof typeof PATHS, string][]) {
    if (app.hasRoute({ method: 'POST', url })) continue;
    const onRequest: RouteShorthandOptions['onRequest'] = (request, reply) => {
      count(service, 'refused');
      refuseUnread(request, reply, 404, 'not_configured', 0);
    };
    app.post(url, { onRequest }, () => undefined);
  }
}

/** Meta asks once, when its address is set, whether it is ours. */
function addHandshake(app: FastifyInstance, { credentials, count }: WebhookServerOptions): void {
  const check = tokenCheck(credentials.verifyTokens.map((token) => ({ token, accounts: [] })));
  app.get('/webhooks/meta', (request, reply) => {
    const query = request.query as Record<string, unknown>;
    const [mode, token, challenge] = [query['hub.mode'], query['hub.verify_token'], query['hub.challenge']];
    const isRight = mode === 'subscribe' && typeof token === 'string' && check(token) !== null;
    if (!isRight || typeof challenge !== 'string' || challenge.length > MAX_CHALLENGE) {
      count('meta', isRight ? 'refused' : 'forged');
      return refuse(reply, 403, 'forbidden');
    }
    // What is given back came from outside; nobody is to take it for a page.
    return answer(reply.header('x-content-type-options', 'nosniff'), 200, 'text/plain; charset=utf-8', challenge);
  });
}

// --------------------------------------------------------------------------------------------------- calls of flows

function addCalls(app: FastifyInstance, { credentials: { flowToken }, call, count }: WebhookServerOptions): void {
  if (call === null || flowToken === null) return;
  const check = tokenCheck([{ token: flowToken, accounts: [] }]);
  const options: RouteShorthandOptions = {
    bodyLimit: CALL_BYTES,
    errorHandler: onError((result) => count('flow', result)),
    onRequest: (request, reply, next) => {
      const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
      if (token !== undefined && check(token) !== null) {
        next();
        return;
      }
      const result = token === undefined ? 'unsigned' : 'forged';
      count('flow', result);
      refuseUnread(request, reply.header('www-authenticate', 'Bearer'), 401, result, CALL_BYTES);
    },
  };
  app.post(PATHS.flow, options, async (request, reply) => {
    let given: unknown;
    try {
      given = JSON.parse(bytesOf(request).toString());
    } catch {
      count('flow', 'refused');
      return refuse(reply, 400, 'not_json');
    }
    const { status, body } = await call((request.params as { name: string }).name, given);
    count('flow', status < 400 ? 'accepted' : 'refused');
    return answer(reply, status, JSON_TYPE, JSON.stringify(body));
  });
}

// --------------------------------------------------------------------------------------------------- answers

const JSON_TYPE = 'application/json; charset=utf-8';

/** Nothing at all where there was no body. */
function bytesOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

function answer(reply: FastifyReply, status: number, type: string, body: string): FastifyReply {
  // A connection that stays open would keep the server from closing.
  if (!reply.server.server.listening) reply.header('connection', 'close');
  return reply.code(status).type(type).send(body);
}

/** @param word why; programs that call flows are answered as the flows themselves do */
function refuse(reply: FastifyReply, status: number, word: string): FastifyReply {
  const isCall = reply.request.url.startsWith(FLOWS);
  return answer(reply, status, JSON_TYPE, JSON.stringify({ error: (isCall ? CALL_REFUSALS[word] : null) ?? word }));
}

const TOKEN_HINT = 'Send the header Authorization: Bearer TOKEN, with the token that listen.flowToken names.';

const CALL_REFUSALS: Readonly<Record<string, { code: string; message: string; hint: string }>> = {
  unsigned: { code: 'UNAUTHORIZED', message: 'The request has no token.', hint: TOKEN_HINT },
  forged: { code: 'UNAUTHORIZED', message: 'The token is wrong.', hint: TOKEN_HINT },
  not_json: {
    code: 'USAGE',
    message: 'The body is no JSON.',
    hint: 'Post {"to": "7642925849053947"} and what else the flow needs, as JSON.',
  },
  bad_request: {
    code: 'USAGE',
    message: 'The request is not understood.',
    hint: 'Post JSON, of the length that the request says, to /flows/NAME.',
  },
  too_large: { code: 'TOO_LARGE', message: `The body is larger than ${CALL_BYTES / 1024} KB.`, hint: '' },
  not_configured: {
    code: 'NOT_CONFIGURED',
    message: 'No flow can be called here.',
    hint: 'Name a token: listen: { flowToken: env:NAME } in pagecast.yaml, and start the listener again.',
  },
  not_found: { code: 'NOT_FOUND', message: 'There is nothing at this address.', hint: 'POST to /flows/NAME.' },
  failed: {
    code: 'INTERNAL',
    message: 'Something went wrong here; nothing is known to have been queued.',
    hint: '',
  },
};

/** A body that has not been read is read to its end and thrown away if it is small; otherwise the connection ends. */
function refuseUnread(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  status: number,
  error: string,
  bodyBytes: number,
): FastifyReply {
  const length = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : Infinity;
  if (!(length <= bodyBytes)) reply.header('connection', 'close');
  return refuse(reply, status, error);
}

type ErrorHandler = (error: { code?: string; statusCode?: number }, request: unknown, reply: FastifyReply) => void;

function onError(count: (result: CallbackResult) => void): ErrorHandler {
  return ({ code, statusCode = 500 }, _request, reply) => {
    const isTooLarge = code === 'FST_ERR_CTP_BODY_TOO_LARGE';
    count(isTooLarge ? 'too_large' : 'refused');
    if (isTooLarge) refuse(reply, 413, 'too_large');
    else if (statusCode < 500) refuse(reply, 400, 'bad_request');
    else refuse(reply, 500, 'failed');
  };
}

/** For what is no HTTP, or comes too slowly. Unlike fastify's own, it also ends a connection whose other end does not. */
function onClientError({ code }: { code?: string }, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
  socket.write(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  socket.destroySoon();
}
