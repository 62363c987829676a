/**
 * The sandbox as a server on loopback: carries HTTP to `platform.ts` and back, strikes with faults, posts webhooks, and
 * answers those who want to look into it (`/_sandbox/…`).
 */
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Failure } from '../core/failure.js';
import type { Clock, Random } from '../ports.js';
import { FaultPlan } from './faults.js';
import type { Received } from './journal.js';
import { formParams, isVersion, type GraphCall } from './graph-call.js';
import { Platform, USAGE_HEADER, type PlatformStats } from './platform.js';
import type { GraphAnswer } from './refusals.js';
import {
  parseFaults,
  parseSeed,
  parseTemplateChanges,
  parseUsage,
  parseUserChanges,
  parseWebhook,
  type FaultRule,
  type SandboxPage,
  type SeedInput,
  type WebhookTarget,
} from './seed.js';
import { WebhookSender, type WebhookCounts } from './webhooks.js';

export interface SandboxOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  /** As read from JSON; checked here. */
  seed?: unknown;
  /** Replaces parts of the seed's Page. */
  page?: NonNullable<SeedInput['page']>;
  clock: Clock;
  /** Decides which requests a fault with a rate strikes; a seeded one makes a run repeatable. */
  random: Random;
}

export interface SandboxStats extends PlatformStats {
  /** How often each kind of fault has struck. */
  faults: Record<string, number>;
  webhooks: WebhookCounts;
}

/** What `/_sandbox/…` gives and takes, for tests in the same process. */
interface SandboxState {
  /** Oldest first. */
  received(user?: string): Received[];
  stats(): SandboxStats;
  /** @throws Failure CONFIG_INVALID */
  setFaults(faults: readonly FaultRule[]): void;
  /** Takes what `POST /_sandbox/users` takes. @throws Failure CONFIG_INVALID */
  changeUsers(change: unknown): void;
  /** Takes what `POST /_sandbox/templates` takes. @throws Failure CONFIG_INVALID, also for a template that is not there */
  changeTemplates(change: unknown): void;
  /** How much of the allowance is used up, as answers tell from now on; null for answers that say nothing. */
  setUsage(percent: number | null): void;
  /** Where webhooks go from now on. Takes what `POST /_sandbox/webhook` takes. @throws Failure CONFIG_INVALID */
  setWebhook(target: unknown): void;
  /** Back to the seed, faults and webhook included. */
  reset(): void;
  /** Resolves when every webhook that is due has been posted or given up. */
  webhooksDone(): Promise<void>;
}

export interface Sandbox {
  /** Such as `http://127.0.0.1:4801`: the base URL for the graph provider. */
  url: string;
  port: number;
  page: SandboxPage;
  state: SandboxState;
  /** Ends every connection, also those that wait for an answer. */
  close(): Promise<void>;
}

const JSON_TYPE = 'application/json; charset=UTF-8';
/** The longest message, fully escaped, stays well below this. */
const SEND_BODY_LIMIT = 64 * 1024;
/** A change of a million users at once. */
const CONTROL_BODY_LIMIT = 256 * 1024 * 1024;

/**
 * Starts a sandbox on 127.0.0.1. Sets no signal handlers.
 * @throws Failure CONFIG_INVALID for a seed that is wrong, PORT_IN_USE
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { clock, random } = options;
  const seed = parseSeed(withPage(options.seed, options.page), clock.now());
  const platform = new Platform(seed, random);
  const faults = new FaultPlan(seed.faults, random);
  const closing = new AbortController();
  const webhooks = new WebhookSender(seed.page, clock, random);
  const aim = (target: WebhookTarget | null): void => {
    webhooks.aim(target);
    // An event that nobody hears is not even made: runs of a million messages are.
    platform.onEvent = target && ((event) => webhooks.add(event));
  };
  aim(seed.webhook);

  const state: SandboxState = {
    received: (user) => [...platform.received(user)],
    stats: () => ({
      ...platform.stats(),
      faults: { ...faults.struck },
      webhooks: webhooks.counts(),
    }),
    setFaults: (rules) => faults.replace(parseFaults({ faults: rules })),
    changeUsers: (change) => platform.changeUsers(parseUserChanges(change, clock.now())),
    changeTemplates(change) {
      const met = platform.changeTemplates(parseTemplateChanges(change));
      if (met === 0) throw new Failure('CONFIG_INVALID', 'The sandbox has no template of this name and language.');
    },
    setUsage: (percent) => platform.setUsage(percent),
    setWebhook: (target) => aim(parseWebhook(target)),
    reset() {
      platform.reset();
      aim(seed.webhook);
      faults.struck = {};
      faults.replace(seed.faults);
    },
    webhooksDone: () => webhooks.idle(),
  };

  const app = fastify({
    // Without it, close() would wait for every kept-alive connection of a client that is not going to close it.
    forceCloseConnections: true,
    bodyLimit: CONTROL_BODY_LIMIT,
    routerOptions: { ignoreTrailingSlash: true },
  });
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, formParams(String(body)));
  });
  app.setErrorHandler((error: unknown, _request, reply) => {
    if (error instanceof Failure) return reply.code(400).send({ error: { code: error.code, message: error.message } });
    const message = error instanceof Error ? error.message : 'Invalid request';
    return reply.code(400).send({ error: { message, type: 'GraphMethodException', code: 100 } });
  });
  app.setNotFoundHandler((_request, reply) => answerWith(reply, UNKNOWN_PATH));
  addGraphRoutes(app, platform, faults, clock, closing.signal);
  addControlRoutes(app, platform, state);

  const url = await listen(app, options.port ?? 0);
  return {
    url,
    port: Number(new URL(url).port),
    page: seed.page,
    state,
    async close() {
      closing.abort();
      await webhooks.close();
      await app.close();
    },
  };
}

function withPage(seed: unknown, page: SandboxOptions['page']): unknown {
  if (page === undefined) return seed;
  const given = typeof seed === 'object' && seed !== null ? (seed as { page?: object }) : {};
  return { ...given, page: { ...given.page, ...page } };
}

async function listen(app: FastifyInstance, port: number): Promise<string> {
  try {
    // Never anything but loopback: a sandbox answers whoever knows a token that stands in a file.
    return await app.listen({ host: '127.0.0.1', port });
  } catch (error) {
    await app.close();
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      throw new Failure('PORT_IN_USE', `Port ${port} is in use by another program.`, 'Choose another port.', error);
    }
    throw error;
  }
}

// --------------------------------------------------------------------------------------------------- the Graph API

interface GraphRoute {
  Params: { version: string; node?: string; edge?: string };
  Querystring: Record<string, string>;
}
type GraphRequest = FastifyRequest<GraphRoute>;

const UNKNOWN_PATH: GraphAnswer = {
  status: 404,
  body: JSON.stringify({ error: { message: 'Unknown path components', type: 'OAuthException', code: 2500 } }),
  code: '2500',
};

function addGraphRoutes(
  app: FastifyInstance,
  platform: Platform,
  faults: FaultPlan,
  clock: Clock,
  closing: AbortSignal,
): void {
  for (const [prefix, instagramLogin] of HOSTS) {
    const plain = (request: GraphRequest, reply: FastifyReply): FastifyReply => {
      if (!isVersion(request.params.version)) return answerWith(reply, UNKNOWN_PATH);
      return answerWith(reply, platform.answer(callOf(request, instagramLogin), clock.now()));
    };
    app.post<GraphRoute>(`${prefix}/:version/:node/messages`, { bodyLimit: SEND_BODY_LIMIT }, (request, reply) => {
      if (!isVersion(request.params.version)) return answerWith(reply, UNKNOWN_PATH);
      const call = callOf(request, instagramLogin, 'messages');
      const fault = faults.pick(recipientOf(call));
      if (fault) return strike(fault, call, reply, platform, clock, closing);
      return answerWith(reply, platform.answer(call, clock.now()));
    });
    app.post<GraphRoute>(`${prefix}/:version`, plain);
    app.get<GraphRoute>(`${prefix}/:version/:node`, plain);
    app.get<GraphRoute>(`${prefix}/:version/:node/:edge`, plain);
    app.post<GraphRoute>(`${prefix}/:version/:node/:edge`, plain);
  }
}

/** Where each host of the platform stands here: graph.facebook.com at the root, the other one under its name. */
const HOSTS = [
  ['', false],
  ['/graph.instagram.com', true],
] as const;

function callOf(
  { method, params, query, body, headers }: GraphRequest,
  instagramLogin: boolean,
  edge = params.edge,
): GraphCall {
  const path: string[] = [];
  if (params.node !== undefined) path.push(params.node);
  if (edge !== undefined) path.push(edge);
  let all = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  // Most calls have no query, and copying their parameters would be felt at ten thousand calls a second.
  if (Object.keys(query).length > 0) all = { ...formParams(query), ...all };
  const { authorization } = headers;
  const token = authorization?.startsWith('Bearer ') ? authorization.slice(7) : undefined;
  return { method: method === 'GET' ? 'GET' : 'POST', path, params: all, token, instagramLogin };
}

function recipientOf(call: GraphCall): string {
  const recipient = call.params['recipient'];
  const id = typeof recipient === 'object' && recipient !== null && 'id' in recipient ? recipient.id : '';
  return typeof id === 'string' ? id : '';
}

function answerWith(reply: FastifyReply, answer: GraphAnswer): FastifyReply {
  if (answer.usage !== undefined) reply.header(USAGE_HEADER, answer.usage);
  return reply.code(answer.status).header('content-type', JSON_TYPE).send(answer.body);
}

/** Lets a fault loose on a send. `before`: the platform never hears of it; `after`: it has done what it does with a send. */
async function strike(
  fault: FaultRule,
  call: GraphCall,
  reply: FastifyReply,
  platform: Platform,
  clock: Clock,
  closing: AbortSignal,
): Promise<unknown> {
  if (fault.kind === 'refuse') {
    if (fault.ms !== undefined) await clock.sleep(fault.ms, closing);
    return answerWith(reply, platform.refuseSend(fault.code ?? '1', clock.now()));
  }
  const acted = fault.when === 'before' ? null : platform.answer(call, clock.now());
  if (fault.ms !== undefined) await clock.sleep(fault.ms, closing);
  if (fault.kind === 'late') return answerWith(reply, acted ?? platform.answer(call, clock.now()));
  if (fault.kind === 'error') {
    const body = fault.body ?? SERVER_ERROR;
    return reply
      .code(fault.status ?? 500)
      .header('content-type', body.startsWith('{') ? JSON_TYPE : 'text/html')
      .send(body);
  }
  if (fault.kind === 'garbage') {
    return reply
      .code(fault.status ?? 200)
      .header('content-type', JSON_TYPE)
      .send(fault.body ?? '{"recipient_id":"10');
  }
  reply.hijack();
  const { socket } = reply.raw;
  switch (fault.kind) {
    case 'drop':
      socket?.destroy();
      break;
    case 'reset':
      socket?.resetAndDestroy();
      break;
    case 'cut': {
      const body = acted?.body ?? SERVER_ERROR;
      reply.raw.writeHead(acted?.status ?? 200, {
        'content-type': JSON_TYPE,
        'content-length': Buffer.byteLength(body),
      });
      reply.raw.write(body.slice(0, body.length >> 1), () => socket?.destroy());
      break;
    }
    case 'hang':
      // Nothing more: the connection stays until one of the two ends closes it.
      break;
  }
  return reply;
}

/** As the platform words most of its server errors: an envelope that says nothing about the message. */
const SERVER_ERROR = JSON.stringify({
  error: {
    message: 'An unexpected error has occurred. Please retry your request later.',
    type: 'OAuthException',
    is_transient: true,
    code: 2,
    fbtrace_id: 'SandboxFault',
  },
});

// --------------------------------------------------------------------------------------------------- looking into it

function addControlRoutes(app: FastifyInstance, platform: Platform, state: SandboxState): void {
  app.get<{ Querystring: { user?: string } }>('/_sandbox/received', (request, reply) => {
    const messages = platform.received(request.query.user);
    return reply.header('content-type', JSON_TYPE).send(Readable.from(jsonList(messages)));
  });
  app.get('/_sandbox/stats', () => state.stats());
  app.post('/_sandbox/faults', (request) => {
    state.setFaults(parseFaults(request.body));
    return { ok: true };
  });
  app.post('/_sandbox/users', (request) => {
    state.changeUsers(request.body);
    return { ok: true };
  });
  app.post('/_sandbox/templates', (request) => {
    state.changeTemplates(request.body);
    return { ok: true };
  });
  app.post('/_sandbox/usage', (request) => {
    state.setUsage(parseUsage(request.body));
    return { ok: true };
  });
  app.post('/_sandbox/webhook', (request) => {
    state.setWebhook(request.body);
    return { ok: true };
  });
  app.post('/_sandbox/reset', () => {
    state.reset();
    return { ok: true };
  });
}

/** `{"messages":[…]}` in pieces: a million messages as one text would not fit into a string. */
function* jsonList(messages: Iterable<Received>): Generator<string> {
  let piece = '{"messages":[';
  let separator = '';
  for (const message of messages) {
    piece += `${separator}\n${JSON.stringify(message)}`;
    separator = ',';
    if (piece.length > 65_536) {
      yield piece;
      piece = '';
    }
  }
  yield `${piece}\n]}\n`;
}
