/** `pagecast listen`: takes callbacks of the services, hears what they say, and sends what flows answer, until it is told to stop. */
import { parse } from 'node:path';
import type { Command } from 'commander';
import { Alerts, listen, type ListenEvent } from '../../app/listen.js';
import type { RowState } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { senderKey } from '../../core/sender.js';
import type { CallbackService, Campaign, Clock, Store } from '../../ports.js';
import { accountCallbacks, callbackAddress, callbackCredentials, type AccountCallbacks } from '../callbacks.js';
import type { Context } from '../context.js';
import { answerFlowCall } from '../flow-call.js';
import { checkedFlows, faultLines, flowConfiguration, type CheckedFlows } from '../flows.js';
import type { Launch } from '../launch.js';
import { ListenTeller } from '../listen-teller.js';
import { createLog, type Log } from '../log.js';
import { parseCount } from '../options.js';

interface ListenOptions {
  port: string;
  host: string;
  logFormat: string;
  drain: string;
}

export function register(program: Command, launch: Launch): void {
  program
    .command('listen')
    .description('take webhooks of Meta, CAMS and Twilio: windows, receipts, opt-outs, and the answers of flows')
    .option('--port <n>', 'the port; 0 takes a free one', '8080')
    .option('--host <host>', 'the address of this machine on which it listens', '127.0.0.1')
    .option('--log-format <format>', 'text or json (one object a line), on stderr', 'text')
    .option('--drain <time>', 'when told to stop, wait at most so long for what has come in to be heard', '30s')
    .addHelpText(
      'after',
      `
It also serves /healthz and /metrics, and POST /flows/NAME for other programs. docs/listen.md tells how to set it up.
Changed flows, templates and a changed pagecast.yaml are read when it starts.

Examples:
  $ pagecast listen
  $ pagecast listen --port 9000 --log-format json`,
    )
    .action(launch((context: Context, options: ListenOptions) => runListener(context, options)));
}

/** @throws Failure USAGE, SECRET_MISSING, CONFIG_INVALID, PORT_IN_USE, … when it cannot begin */
async function runListener(context: Context, options: ListenOptions): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { readDuration } = await import('../timing.js');
  const drainMs = readDuration('--drain', options.drain);
  const port = parseCount('--port', options.port);
  if (port > 65_535)
    throw new Failure('USAGE', `There is no port ${port}.`, 'Ports go from 1 to 65535; 0 takes a free one.');
  if (terminal.json) {
    const hint = 'Its address is on stdout, and its log on stderr: pass --log-format json.';
    throw new Failure('USAGE', 'A listener prints no document.', hint);
  }
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
  const nameOf = (key: string): string => byKey.get(key)?.name ?? key;
  const { ListenMetrics, ListenerState } = await import('../listener-state.js');
  const state = new ListenerState(store, clock);
  const metrics = new ListenMetrics(state.health, nameOf);
  const teller = new ListenTeller(log, clock, nameOf);
  const world = {
    ...{ store, engine, clock, random, configuration: await flowConfiguration(context, flows) },
    readDelivery: await context.deliveryReader(),
    providerFor: async (key: string) => context.provider(accountWith(byKey, key)),
    onSingle: (campaign: Campaign, end: RowState) => {
      metrics.single(campaign, end);
      teller.single(campaign, end);
    },
  };
  const calls = {
    ...world,
    faulty: notRun(flows),
    onQueued: (account: string) => alerts.queued(account),
    onError: (error: unknown) => teller.callFailed(error),
  };
  const { startWebhookServer } = await context.webhookServer();
  const server = await startWebhookServer({
    ...{ host: options.host, port, clock, credentials },
    call: credentials.flowToken === null ? null : (name, body) => answerFlowCall(calls, name, body),
    receive: (deliveries) =>
      state.keep(deliveries).catch((error: unknown) => {
        teller.notKept(error);
        throw error;
      }),
    onReceived: () => alerts.received(),
    backlog: () => state.waiting,
    page: (path) => state.health.page(path),
    count: (service, result) => {
      metrics.callback(service, result);
      teller.callback(service, result);
    },
  });

  const over = new AbortController();
  const stopped = new AbortController();
  const interruption = context.interruptible(() => {
    state.health.drain();
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
    tellStart(log, { url: server.url, host: options.host, credentials, callbacks, flows });
    const onLook = (): void => {
      metrics.backlog(state.waiting);
      teller.tell();
    };
    const onEvent = (event: ListenEvent): void => {
      if (event.kind === 'heard') {
        state.heard(event.report.heard);
        metrics.heard(event.report);
      }
      teller.event(event);
    };
    void state.watch(over.signal, onLook);
    await listen(world, { signal: stopped.signal, alerts, onEvent });
  } finally {
    over.abort();
    interruption.dispose();
    await server.close();
    // Nothing more comes.
    teller.tell(true);
  }
  return EXIT.done;
}

/** The names of the flows that are there and are not run. */
function notRun({ flows, broken }: CheckedFlows): ReadonlySet<string> {
  const faulty = flows.filter(({ ok }) => !ok).map(({ flow }) => flow.name);
  return new Set([...faulty, ...broken.map(({ file }) => parse(file).name)]);
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
  host: string;
  credentials: Awaited<ReturnType<typeof callbackCredentials>>;
  callbacks: readonly AccountCallbacks[];
  flows: CheckedFlows;
}

function tellStart(log: Log, { url, host, credentials, callbacks, flows }: Start): void {
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
  if (!LOOPBACK.test(host)) {
    log.warn(
      'open_to_others',
      `Whoever reaches ${host} reaches /healthz and /metrics too. Have the proxy before it pass on /webhooks/ and /flows/ alone, and let nobody else in.`,
      { host },
    );
  }
  const running = flows.flows.filter(({ ok }) => ok).length;
  log.info('ready', `Listening on ${url} with ${running} flow${running === 1 ? '' : 's'}. Stop with Ctrl-C.`, {
    url,
    flows: running,
  });
}

const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/i;

const SERVICE_NAME: Record<CallbackService, string> = { meta: 'Meta', cams: 'CAMS', twilio: 'Twilio' };

/** Where that is entered. */
const WHERE: Record<CallbackService, string> = {
  meta: ' (App Dashboard, Webhooks)',
  cams: ', with the token in place of <callbackToken> (console of CAMS, message receipts and inbound messages)',
  twilio: ' (the number\'s "A message comes in"; and statusCallback: of the account)',
};
