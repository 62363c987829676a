/** What `pagecast listen` does: a server that takes callbacks, and the work that comes of them, until it is told to stop. */
import { Alerts, listen, type ListenEvent } from '../app/listen.js';
import type { RowState } from '../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../core/failure.js';
import { senderKey } from '../core/sender.js';
import type { CallbackResult } from '../inbound/webhook-server.js';
import type { CallbackService, Campaign, Clock, NewDelivery, Store } from '../ports.js';
import { accountCallbacks, callbackAddress, callbackCredentials, type AccountCallbacks } from './callbacks.js';
import type { Context } from './context.js';
import { answerFlowCall } from './flow-call.js';
import { answering, checkedFlows, faultLines, type CheckedFlows } from './flows.js';
import { Health } from './health.js';
import { ListenMetrics } from './listen-metrics.js';
import { ListenTeller } from './listen-teller.js';
import { createLog, type Log } from './log.js';
import { parseCount } from './options.js';

export interface ListenOptions {
  port: string;
  host: string;
  logFormat: string;
  drain: string;
}

/** How often it is looked what waits, and what is to be told. */
const LOOK_EVERY_MS = 1000;
/** For so long a listener that could not keep something counts as unwell, unless it can by then. */
const LOST_FOR_MS = 10_000;

/** @throws Failure USAGE, SECRET_MISSING, CONFIG_INVALID, PORT_IN_USE, … when it cannot begin */
export async function runListener(context: Context, options: ListenOptions): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { readDuration } = await import('./timing.js');
  const drainMs = readDuration('--drain', options.drain);
  const port = parseCount('--port', options.port);
  if (port > 65_535) throw new Failure('USAGE', `There is no port ${port}.`);
  if (terminal.json) throw new Failure('USAGE', 'A listener prints no document.', 'Pass --log-format json.');
  const log = createLog(options.logFormat, terminal, clock);

  const callbacks = await accountCallbacks(context);
  const credentials = await callbackCredentials(context, callbacks);
  const isAnyChecked = callbacks.some(({ secret }) => secret !== null);
  if (!isAnyChecked && credentials.flowToken === null) throw nothingToListenTo(callbacks);
  const flows = await checkedFlows(context);
  const { store, engine } = await context.store();
  const { accounts } = await context.workspace();
  const byKey = new Map([...accounts.values()].reverse().map((account) => [senderKey(account), account]));
  const alerts = new Alerts();
  const reception = new Reception(store, clock, log, (key) => byKey.get(key)?.name ?? key);
  const world = {
    ...{ store, engine, clock, random, answering: await answering(context, flows) },
    readDelivery: await context.deliveryReader(),
    providerFor: async (key: string) => context.provider(accountWith(byKey, key)),
    onSingle: (campaign: Campaign, state: RowState) => reception.single(campaign, state),
  };
  const calls = {
    ...world,
    onQueued: (account: string) => alerts.queued(account),
    onError: (error: unknown) => reception.failed('flow call', error),
  };
  const { startWebhookServer } = await context.webhookServer();
  const server = await startWebhookServer({
    ...{ host: options.host, port, clock, credentials },
    call: credentials.flowToken === null ? null : (name, body) => answerFlowCall(calls, name, body),
    receive: (deliveries) => reception.receive(deliveries),
    onReceived: () => alerts.received(),
    backlog: () => reception.waiting,
    page: (path) => reception.health.page(path),
    count: (service, result) => reception.callback(service, result),
  });

  const over = new AbortController();
  const stopped = new AbortController();
  const interruption = context.interruptible(() => {
    reception.health.drain();
    log.info('stopping', `Stopping: hearing what has come in, for up to ${options.drain}.`);
    void clock.sleep(drainMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      // What came in waits for the next listener; a message that is under way is unknown to whoever comes next.
      log.warn('drain_over', 'Not all was done in time; what has come in is kept for the next listener.');
      context.exit(EXIT.tryAgain);
    });
    void drain(store, clock, server, over.signal).then(() => stopped.abort());
  });
  try {
    // For whatever started it: with --port 0 nobody else knows the port.
    terminal.data(server.url);
    tellStart(log, { url: server.url, credentials, callbacks, flows });
    void reception.watch(over.signal);
    await listen(world, { signal: stopped.signal, alerts, onEvent: (event) => reception.event(event) });
  } finally {
    over.abort();
    interruption.dispose();
    await server.close();
    reception.tell();
  }
  return EXIT.done;
}

/** What a listener knows of itself: how it is, how much waits; and whom it tells of what happens. */
class Reception {
  readonly health = new Health();
  /** How many callbacks wait to be heard: what is known at once, and set right each second. */
  waiting = 0;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #metrics: ListenMetrics;
  readonly #teller: ListenTeller;
  /** When something last could not be kept, on the monotonic clock. */
  #lostAt = -Infinity;

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(store: Store, clock: Clock, log: Log, nameOf: (account: string) => string) {
    this.#store = store;
    this.#clock = clock;
    this.#metrics = new ListenMetrics(this.health, nameOf);
    this.#teller = new ListenTeller(log, clock, nameOf);
  }

  /** Keeps what came in. What cannot be kept is not answered for, so the service sends it again. @throws Failure STORE_… */
  async receive(deliveries: readonly NewDelivery[]): Promise<void> {
    try {
      await this.#store.receive(deliveries);
    } catch (error) {
      this.#lostAt = this.#clock.monotonic();
      this.health.seen(false);
      this.failed('store', error);
      throw error;
    }
    this.#lostAt = -Infinity;
    this.waiting += deliveries.length;
  }

  callback(service: CallbackService | 'flow', result: CallbackResult): void {
    this.#metrics.callback(service, result);
    this.#teller.callback(service, result);
  }

  event(event: ListenEvent): void {
    if (event.kind === 'heard') {
      this.waiting = Math.max(0, this.waiting - event.report.heard);
      this.#metrics.heard(event.report);
    }
    this.#teller.event(event);
  }

  single(campaign: Campaign, state: RowState): void {
    this.#metrics.single(campaign, state);
    this.#teller.single(campaign, state);
  }

  /** Something went wrong that is tried again. @param what an account, or a part of the listener */
  failed(what: string, error: unknown): void {
    this.#teller.failed(what, error);
  }

  /** Looks, until the signal, how much waits and whether the store can be used, and tells what has come together. */
  async watch(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      this.health.seen((await this.#look()) && this.#clock.monotonic() - this.#lostAt > LOST_FOR_MS);
      this.#metrics.backlog(this.waiting);
      this.#teller.tell();
      await this.#clock.sleep(LOOK_EVERY_MS, over);
    }
  }

  /** Nothing more comes: tells what has not been told yet. */
  tell(): void {
    this.#teller.tell(true);
  }

  async #look(): Promise<boolean> {
    try {
      this.waiting = await this.#store.backlog();
      return true;
    } catch {
      return false;
    }
  }
}

function accountWith<Found>(named: ReadonlyMap<string, Found>, key: string): Found {
  const account = named.get(key);
  if (account !== undefined) return account;
  throw new Failure('ACCOUNT_UNKNOWN', `${key} is none of the accounts in pagecast.yaml.`);
}

function nothingToListenTo(callbacks: readonly AccountCallbacks[]): Failure {
  const [first] = callbacks.flatMap(({ failure }) => failure ?? []);
  const message = 'Nothing that comes in could be checked, so there is nothing to listen to.';
  if (first === undefined) {
    return new Failure(
      'CONFIG_INVALID',
      message,
      'Add an account first: pagecast account add. docs/listen.md says what it needs.',
    );
  }
  return new Failure(first.code, `${message} ${first.message}`, first.hint, first);
}

/** Takes no more, and waits until what came in before has been heard. */
async function drain(store: Store, clock: Clock, server: { close(): Promise<void> }, over: AbortSignal): Promise<void> {
  await server.close();
  const closedAt = clock.now();
  while (!over.aborted) {
    // What came later has been taken in by another listener, and is in its hands.
    const [oldest] = await store.received(1).catch(() => [undefined]);
    if (oldest === undefined || oldest.receivedAt > closedAt) return;
    await clock.sleep(20, over);
  }
}

// ---------------------------------------------------------------------------------------------------- the start

interface Start {
  url: string;
  credentials: Awaited<ReturnType<typeof callbackCredentials>>;
  callbacks: readonly AccountCallbacks[];
  flows: CheckedFlows;
}

function tellStart(log: Log, { url, credentials, callbacks, flows }: Start): void {
  for (const { account, service, failure } of callbacks) {
    const fields = { account: account.name, service };
    if (failure === null)
      log.info('account', `${account.name}: callbacks of ${SERVICE_NAME[service]} can be checked.`, fields);
    else {
      const text = `${account.name}: its callbacks cannot be checked and are refused. ${failure.message} ${failure.hint}`;
      log.warn('account_unchecked', text.trim(), { ...fields, code: failure.code });
    }
  }
  for (const { flow, faults, ok } of flows.flows) {
    for (const fault of faults) {
      const [line, hint] = faultLines(flow.name, fault);
      log.warn('flow_fault', `${ok ? '' : 'Not run: '}${line} ${hint}`.trim(), { flow: flow.name, row: fault.row });
    }
  }
  for (const { file, failure } of flows.broken) {
    log.warn('flow_broken', `Not run: ${failure.message} ${failure.hint}`.trim(), { file });
  }
  const base = credentials.url ?? url;
  const services = new Set(callbacks.flatMap(({ service, secret }) => (secret === null ? [] : [service])));
  for (const service of services) {
    const address = callbackAddress(service, base);
    log.info('address', `${SERVICE_NAME[service]} is to call ${address}${WHERE[service]}`, { service, address });
  }
  if (services.has('meta') && credentials.verifyTokens.length === 0) {
    const hint = 'Name its place: listen: { verifyToken: env:NAME } in pagecast.yaml.';
    log.warn('no_verify_token', `Meta cannot verify the address, since there is no verify token. ${hint}`);
  }
  if (credentials.url === null && services.size > 0) {
    log.info(
      'no_url',
      'Services reach it from outside under another name; write that into pagecast.yaml: listen: { url: … }',
    );
  }
  if (credentials.flowToken !== null) {
    log.info('address', `Programs call flows at ${base}/flows/NAME.`, {
      service: 'flow',
      address: `${base}/flows/NAME`,
    });
  }
  const running = flows.flows.filter(({ ok }) => ok).length;
  log.info('ready', `Listening on ${url} with ${running} flow${running === 1 ? '' : 's'}. Stop with Ctrl-C.`, {
    url,
    flows: running,
  });
}

const SERVICE_NAME: Record<CallbackService, string> = { meta: 'Meta', cams: 'CAMS', twilio: 'Twilio' };

/** Where that is entered. */
const WHERE: Record<CallbackService, string> = {
  meta: ' (App Dashboard, Webhooks)',
  cams: ', with the token in place of <callbackToken> (console of CAMS, message receipts and inbound messages)',
  twilio: ' (the number\'s "A message comes in"; and statusCallback: of the account)',
};
