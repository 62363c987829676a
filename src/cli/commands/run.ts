/** `pagecast run`: the worker that sends what is due, or with --once one pass for cron and CI. */
import type { Command } from 'commander';
import { attend, type WorkEvent } from '../../app/attend.js';
import type { RunResult } from '../../app/run.js';
import { STOP_STATUS, type RowState } from '../../core/delivery.js';
import { EXIT, Failure, gravest, type ExitStatus } from '../../core/failure.js';
import { dueAt } from '../../core/schedule.js';
import { senderKey } from '../../core/sender.js';
import type { Template } from '../../core/template.js';
import type { Campaign, Clock, OccurrenceResult, Recurrence } from '../../ports.js';
import { campaignJson, iso, runStatus } from '../campaign-run.js';
import type { Context } from '../context.js';
import { described } from '../errors.js';
import type { Launch } from '../launch.js';
import { createLog, type Log } from '../log.js';
import { countsLine } from '../render.js';
import { Tally, tallySingle, tellStopped } from '../tally.js';
import { resultText } from './schedule.js';

interface WorkOptions {
  once?: boolean;
  logFormat: string;
  listen?: string;
  drain: string;
  strict?: boolean;
}

/** How often a campaign under way is told of. */
const TELL_EVERY_MS = 10_000;
const SWEEP_EVERY_MS = 60_000;

export function register(program: Command, launch: Launch): void {
  program
    .command('run')
    .description('send what is due: timed and recurring campaigns, and those whose process died')
    .option('--once', 'do what is due now, then exit with the status that it came to')
    .option('--log-format <format>', 'text or json (one object a line), on stderr', 'text')
    .option('--listen <address>', 'serve /healthz and /metrics on this port or host:port')
    .option('--drain <time>', 'when told to stop, wait at most so long for messages under way', '30s')
    .option('--strict', 'with --once: exit with 5 when people were left out')
    .addHelpText(
      'after',
      `
Examples:
  $ pagecast run
  $ pagecast run --log-format json --listen 9464
  $ pagecast run --once                       # every minute from cron; docs/schedules.md has the line`,
    )
    .action(launch((context: Context, options: WorkOptions) => work(context, options)));
}

async function work(context: Context, options: WorkOptions): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const { readDuration } = await import('../timing.js');
  const drainMs = readDuration('--drain', options.drain);
  const once = options.once === true;
  if (options.strict === true && !once)
    throw new Failure('USAGE', '--strict goes with --once.', 'A worker does not end with a status of its own.');
  if (terminal.json && !once)
    throw new Failure('USAGE', '--json goes with --once.', 'For a worker, pass --log-format json.');
  const log = createLog(options.logFormat, terminal, clock);
  const { store, engine } = await context.store();
  const { window, accounts } = await context.workspace();
  const names = new Map([...accounts.values()].reverse().map((account) => [senderKey(account), account.name]));
  const nameOf = (account: string): string => names.get(account) ?? account;
  const sheets = await context.sheets();
  const limits = await context.sheetLimits();
  const watched = options.listen === undefined ? null : await serveWork(options.listen);
  const pass = new Pass(options.strict === true, nameOf);
  const over = new AbortController();
  const interruption = context.interruptible(() => {
    watched?.health.drain();
    log.info('stopping', `Stopping: waiting up to ${options.drain} for the messages that are under way.`);
    void clock.sleep(drainMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      // What is under way stays `started` in the ledger, and is unknown to whoever comes next.
      log.warn('drain_over', 'Messages are still under way; their outcome will be unknown.');
      context.exit(EXIT.tryAgain);
    });
  });
  const teller = new Teller(log, clock, nameOf);
  const onEvent = (event: WorkEvent): void => {
    watched?.metrics.record(event);
    pass.record(event);
    teller.event(event);
  };

  // Somebody may have died between writing down a campaign and having a worker woken for it.
  const sweep = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(SWEEP_EVERY_MS, over.signal);
      if (over.signal.aborted) return;
      const isWell = await wakeAll(context).then(
        () => true,
        () => false,
      );
      watched?.health.seen(isWell);
      teller.tell();
    }
  };
  try {
    await wakeAll(context);
    void sweep();
    if (!once)
      log.info('ready', `Waiting for what is due${watched ? `; ${watched.url}/metrics` : ''}. Stop with Ctrl-C.`);
    const world = {
      store,
      engine,
      sheets,
      clock,
      random: context.random,
      providerFor: async (campaign: Campaign) => context.provider(await context.accountOf(campaign)),
      onSingle: (campaign: Campaign, state: RowState) => {
        watched?.metrics.single(campaign, state);
        pass.single(campaign, state);
        teller.single(campaign, state);
      },
      namedBy: async (recurrence: Recurrence) => {
        const { template, outside } = recurrence;
        const named = async (name: string): Promise<Template> =>
          (await context.template(name, template.language)).template;
        return {
          account: await context.accountOf(recurrence),
          template: await named(template.name),
          outside: outside === null ? null : await named(outside),
        };
      },
    };
    const request = { window, limits, signal: interruption.signal, onEvent };
    await engine.serve((account) => attend(world, account, request), { clock, signal: interruption.signal, once });
  } finally {
    over.abort();
    interruption.dispose();
    teller.tell(true);
    await watched?.close();
  }
  if (once) {
    const results = pass.results.map((summary) => ({ campaign: summary.campaign, summary }));
    await (await context.githubActions())?.results(results);
  }
  if (terminal.json) terminal.document(pass.json());
  else if (once) for (const { campaign } of pass.results) terminal.data(campaign.id);
  if (!once) return EXIT.done;
  return interruption.signal.aborted ? EXIT.interrupted : pass.status();
}

/** Tells of a worker on an address of its own. @throws Failure USAGE, PORT_IN_USE */
async function serveWork(address: string) {
  const { Health, serveHealth, WorkMetrics } = await import('../health.js');
  const health = new Health();
  const metrics = new WorkMetrics(health);
  return { health, metrics, ...(await serveHealth(address, health)) };
}

/** Has an account woken for each campaign, schedule and single message that the store knows of, whoever has been told of them. */
async function wakeAll(context: Context): Promise<void> {
  const { store, engine } = await context.store();
  const { clock } = context;
  for (const campaign of await store.openCampaigns()) {
    const at = dueAt(campaign, clock.now());
    if (at !== null) await engine.wake(campaign.account, at);
  }
  for (const { account, nextAt } of await store.recurrences()) if (nextAt !== null) await engine.wake(account, nextAt);
  for (const account of new Set([...(await context.workspace()).accounts.values()].map(senderKey))) {
    const at = await store.singlesDueAt(account);
    if (at !== null) await engine.wake(account, at);
  }
}

/** Everything that one pass came to. */
class Pass {
  readonly results: RunResult[] = [];
  readonly #strict: boolean;
  /** By the campaign, the schedule or the account that could not be done. */
  readonly #putOff = new Map<string, unknown>();
  readonly #occurrences: { schedule: string; at: number; result: OccurrenceResult }[] = [];
  /** Single messages by account, mode, flow and state. */
  readonly #singles = new Map<
    string,
    { account: string; mode: string; flow: string | null; state: RowState; count: number }
  >();
  /** Why the single messages of an account are left. */
  readonly #singlesStop = new Map<string, NonNullable<Campaign['stop']>>();

  readonly #nameOf: (account: string) => string;

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(strict: boolean, nameOf: (account: string) => string) {
    this.#strict = strict;
    this.#nameOf = nameOf;
  }

  record(event: WorkEvent): void {
    if (event.kind === 'ended') {
      this.results.push(event.result);
      this.#putOff.delete(event.result.campaign.id);
    }
    if (event.kind === 'singles') {
      if (event.stop === null) this.#singlesStop.delete(event.account);
      else this.#singlesStop.set(event.account, event.stop);
    }
    if (event.kind === 'put_off') this.#putOff.set(event.campaign.id, event.error);
    if (event.kind === 'failed') this.#putOff.set(this.#nameOf(event.account), event.error);
    if (event.kind === 'occurrence_put_off') this.#putOff.set(event.recurrence.id, event.error);
    if (event.kind === 'occurrence') {
      this.#occurrences.push({ schedule: event.recurrence.id, at: event.at, result: event.result });
      this.#putOff.delete(event.recurrence.id);
    }
  }

  single({ accountName: account, mode, flow }: Campaign, state: RowState): void {
    const key = JSON.stringify([account, mode, flow, state]);
    const known = this.#singles.get(key) ?? { account, mode, flow, state, count: 0 };
    this.#singles.set(key, { ...known, count: known.count + 1 });
  }

  json(): object {
    return {
      campaigns: this.results.map((result) => campaignJson(result.campaign, result)),
      putOff: [...this.#putOff].map(([what, error]) => ({ what, ...described(error) })),
      occurrences: this.#occurrences.map(({ schedule, at, result }) => ({ schedule, at: iso(at), ...result })),
      singles: [...this.#singles.values()],
      singlesStop: [...this.#singlesStop].map(([account, { cause, error }]) => ({
        account: this.#nameOf(account),
        cause,
        error,
      })),
    };
  }

  /** The gravest of all. */
  status(): ExitStatus {
    const statuses = [
      ...this.results.map((result) => runStatus(result, this.#strict)),
      ...[...this.#putOff.values()].map((error) => (error instanceof Failure ? error.status : EXIT.internal)),
      ...this.#occurrences.map(({ result }) => OCCURRENCE_STATUS[result.kind]),
      ...[...this.#singles.values()].map(({ state }) => SINGLE_STATUS[state]),
      ...[...this.#singlesStop.values()].map(({ cause }) => STOP_STATUS[cause]),
    ];
    return gravest(statuses);
  }
}

const OCCURRENCE_STATUS: Record<OccurrenceResult['kind'], ExitStatus> = {
  campaign: EXIT.done,
  refused: EXIT.invalid,
  missed: EXIT.stopped,
};

/** Who is left out is a result, as in a campaign. */
const SINGLE_STATUS: Record<RowState, ExitStatus> = {
  queued: EXIT.done,
  started: EXIT.done,
  sent: EXIT.done,
  skipped: EXIT.done,
  failed: EXIT.someFailed,
  unknown: EXIT.unknownOutcomes,
};

/** Turns what happens into log lines. */
class Teller {
  readonly #log: Log;
  readonly #tick: () => number;
  readonly #tally: Tally;
  readonly #toldAt = new Map<string, number>();
  /** Why a campaign was put off, which is told once: it is tried again every few seconds. */
  readonly #putOff = new Map<string, string>();

  readonly #nameOf: (account: string) => string;

  /** @param nameOf what an account is called, by its `senderKey` */
  constructor(log: Log, clock: Clock, nameOf: (account: string) => string) {
    this.#log = log;
    this.#nameOf = nameOf;
    this.#tick = () => clock.monotonic();
    this.#tally = new Tally(log, clock);
  }

  single(campaign: Campaign, state: RowState): void {
    tallySingle(this.#tally, campaign, state);
  }

  /** Tells what has come together. @param all also what was told of only just now */
  tell(all = false): void {
    this.#tally.tell(all);
  }

  event(event: WorkEvent): void {
    const log = this.#log;
    switch (event.kind) {
      case 'started': {
        const { id, accountName, template } = event.campaign;
        this.#toldAt.set(id, this.#tick());
        this.#putOff.delete(id);
        log.info('campaign_started', `${id}: sending ${template.name} (${template.language}) from ${accountName}`, {
          campaign: id,
          account: accountName,
        });
        return;
      }
      case 'progress': {
        const { id, accountName } = event.campaign;
        if (this.#tick() - (this.#toldAt.get(id) ?? -Infinity) < TELL_EVERY_MS) return;
        this.#toldAt.set(id, this.#tick());
        const { counts, waitingMs } = event.progress;
        const waiting = waitingMs > 0 ? ', waiting for the platform' : '';
        log.info('campaign_progress', `${id}: ${countsLine(counts)}${waiting}`, {
          campaign: id,
          account: accountName,
          ...counts,
          waitingMs: Math.round(waitingMs),
        });
        return;
      }
      case 'ended': {
        const { campaign, counts, end } = event.result;
        this.#toldAt.delete(campaign.id);
        const fields = { campaign: campaign.id, account: campaign.accountName, end, ...counts, stop: campaign.stop };
        const way = end === 'running' ? 'left to the next worker' : campaign.state;
        const text = `${campaign.id}: ${way}, ${countsLine(counts)}`;
        if (campaign.state === 'stopped') {
          log.warn(
            'campaign_ended',
            `${text}. Stopped (${campaign.stop?.cause ?? ''}): ${campaign.stop?.error?.code ?? ''}`,
            fields,
          );
        } else log.info('campaign_ended', text, fields);
        return;
      }
      case 'put_off': {
        const { id, accountName } = event.campaign;
        const { code, message, hint } = described(event.error);
        if (this.#putOff.get(id) === code) return;
        this.#putOff.set(id, code);
        log.warn('campaign_put_off', `${id}: not now. ${message} ${hint}`.trim(), {
          campaign: id,
          account: accountName,
          code,
        });
        return;
      }
      case 'singles': {
        const { account, stop } = event;
        const what = `${account}, single messages`;
        if (stop === null) this.#putOff.delete(what);
        if (stop === null || this.#putOff.get(what) === stop.cause) return;
        this.#putOff.set(what, stop.cause);
        tellStopped(log, this.#nameOf(account), stop, '');
        return;
      }
      case 'missed':
        log.warn(
          'occurrences_missed',
          `${event.recurrence.id}: from ${iso(event.from) ?? ''} on occurrences came by that nobody could start in time; they are not caught up`,
          { schedule: event.recurrence.id, from: iso(event.from) },
        );
        return;
      case 'occurrence_put_off':
      case 'failed': {
        const what = event.kind === 'failed' ? this.#nameOf(event.account) : event.recurrence.id;
        const { code, message, hint } = described(event.error);
        if (this.#putOff.get(what) === code) return;
        this.#putOff.set(what, code);
        log.warn(event.kind, `${what}: not now. ${message} ${hint}`.trim(), { what, code });
        return;
      }
      case 'occurrence': {
        const { recurrence, at, result } = event;
        const fields = { schedule: recurrence.id, at: iso(at), result };
        const text = `${recurrence.id}: ${resultText(result)}`;
        if (result.kind === 'campaign') log.info('occurrence', text, fields);
        else log.warn('occurrence', text, fields);
      }
    }
  }
}
