/**
 * `pagecast campaign watch`: a live view of a campaign that another process runs, or that waits for its time. It only reads
 * the ledger, so it can be started and ended at any moment, as often as one likes.
 */
import type { Command } from 'commander';
import { hasEnded, STOP_STATUS, type Counts } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Campaign, CampaignSummary, Clock, Store } from '../../ports.js';
import { campaignJson, endedStatus, findCampaign, iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { countsLine, duration, time, wrap } from '../render.js';
import type { Terminal } from '../terminal.js';

const DEFAULT_EVERY_MS = 1000;
const LEAST_EVERY_MS = 100;
/** A summary of a million rows takes a while, and whoever watches must not keep the run from its ledger. */
const REST_FACTOR = 10;
/** The rate shown is that of the last seconds, so that a pause shows. */
const RATE_SPAN_MS = 10_000;
/**
 * When nothing happens for so long, beside what the pace allows, the process may be gone. A lease outlives its owner by
 * 15 s, so earlier nobody could take over. It may also only be resting at the platform's wish: the ledger does not tell.
 */
const QUIET_MS = 20_000;

interface WatchOptions {
  every?: string;
}

export function registerWatch(campaign: Command, launch: Launch): void {
  campaign
    .command('watch')
    .description('watch a campaign that another process runs, or that waits for its time, until it ends')
    .argument('<campaign>')
    .option('--every <time>', 'look at it at most so often: 5s, 1m (default: 1s)')
    .addHelpText(
      'after',
      `
With --json it prints JSON lines: one document on each line, for each change.
Ctrl-C ends only the watching. The exit status is 0 when the campaign has ended, and that of the stop when it is stopped.

Examples:
  $ pagecast campaign watch c20261121-4f9ak
  $ pagecast campaign watch c20261121-4f9ak --every 10s --json`,
    )
    .action(launch((context: Context, id: string, options: WatchOptions) => watch(context, id, options)));
}

async function watch(context: Context, id: string, { every }: WatchOptions): Promise<ExitStatus> {
  const everyMs = every === undefined ? DEFAULT_EVERY_MS : await readInterval(every);
  await findCampaign(context, id);
  const { store } = await context.store();
  const { terminal, clock } = context;
  const interruption = context.interruptible(() => undefined);
  try {
    return await watchCampaign({ store, clock, terminal }, id, { everyMs, signal: interruption.signal });
  } finally {
    interruption.dispose();
  }
}

/** @returns milliseconds @throws Failure USAGE */
async function readInterval(text: string): Promise<number> {
  // Brings the calendar with it.
  const { readDuration } = await import('../timing.js');
  return Math.max(LEAST_EVERY_MS, readDuration('--every', text));
}

export interface WatchWorld {
  store: Pick<Store, 'campaign' | 'summary'>;
  clock: Clock;
  terminal: Terminal;
}

/**
 * Shows a campaign until it has ended or is stopped, or until the signal.
 * @throws Failure CAMPAIGN_UNKNOWN, STORE_…
 */
export async function watchCampaign(
  { store, clock, terminal }: WatchWorld,
  id: string,
  { everyMs, signal }: { everyMs: number; signal: AbortSignal },
): Promise<ExitStatus> {
  const view: View = terminal.json
    ? new JsonLines(terminal)
    : terminal.animated
      ? new Block(terminal)
      : new Lines(terminal);
  const course = new Course(clock);
  for (;;) {
    const lookedAt = clock.monotonic();
    // In this order: what is counted after a campaign has ended is its end.
    const campaign = await store.campaign(id);
    if (!campaign) throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`);
    const summary = await store.summary(id);
    const tookMs = clock.monotonic() - lookedAt;

    const status = endStatus(campaign, summary);
    view.show(course.look(campaign, summary), status !== null);
    if (status !== null) {
      if (campaign.state === 'stopped' && !terminal.json)
        terminal.note(`What stopped it, and what to do: pagecast campaign report ${id}`);
      return status;
    }
    await clock.sleep(Math.max(everyMs, tookMs * REST_FACTOR), signal);
    if (signal.aborted) {
      if (!terminal.json)
        terminal.note(`Stopped watching. The campaign is as it was; look again: pagecast campaign watch ${id}`);
      return EXIT.interrupted;
    }
  }
}

/** @returns null while there is something to wait for */
function endStatus({ state, stop }: Campaign, { counts }: CampaignSummary): ExitStatus | null {
  if (hasEnded(state)) return endedStatus(state, counts, false);
  if (state !== 'stopped') return null;
  return stop === null ? EXIT.stopped : STOP_STATUS[stop.cause];
}

// ---------------------------------------------------------------------------------------------------- what is seen

/** A campaign at one moment of the watching. */
interface Sight {
  /** Milliseconds since 1970, UTC. */
  at: number;
  campaign: Campaign;
  summary: CampaignSummary;
  /** Settled messages a second over the last seconds; null before two looks. */
  perSecond: number | null;
  /** How long what is to go takes at that rate; null where that cannot be said. */
  leftMs: number | null;
  /** How long nothing has changed though something should have; 0 while all is as it should be. */
  quietMs: number;
}

/** Remembers what was seen before, as far as the next sight needs it. */
class Course {
  readonly #clock: Clock;
  readonly #history: { at: number; settled: number }[] = [];
  #seen = '';
  #changedAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  look(campaign: Campaign, summary: CampaignSummary): Sight {
    const tick = this.#clock.monotonic();
    const at = this.#clock.now();
    const { counts } = summary;
    const seen = JSON.stringify([campaign.state, counts]);
    if (seen !== this.#seen) this.#changedAt = tick;
    this.#seen = seen;
    const perSecond = campaign.state === 'running' ? this.#rate(tick, counts) : null;
    const leftMs = perSecond === null || perSecond === 0 ? null : (toGo(counts) / perSecond) * 1000;
    return { at, campaign, summary, perSecond, leftMs, quietMs: this.#quietMs(campaign, at, tick) };
  }

  #rate(tick: number, counts: Counts): number | null {
    const history = this.#history;
    const settled = counts.total - toGo(counts);
    // Rows that a person has sent again are to go once more.
    if (settled < (history.at(-1)?.settled ?? 0)) history.length = 0;
    history.push({ at: tick, settled });
    // Two are kept however far apart they are: looks at a large campaign are.
    while (history.length > 2 && (history[1]?.at ?? tick) <= tick - RATE_SPAN_MS) history.shift();
    const [first] = history;
    return first === undefined || first.at === tick ? null : ((settled - first.settled) * 1000) / (tick - first.at);
  }

  #quietMs({ state, timing, pace }: Campaign, at: number, tick: number): number {
    const quietMs =
      state === 'scheduled'
        ? at - (timing?.sendAt ?? at)
        : state === 'running' || state === 'ready'
          ? tick - this.#changedAt
          : 0;
    return quietMs >= QUIET_MS + 2000 / pace ? quietMs : 0;
  }
}

function toGo({ queued, started }: Counts): number {
  return queued + started;
}

/** What somebody should know or do, if anything. */
function advice({ campaign, quietMs, at }: Sight): string | null {
  const { id, state, timing } = campaign;
  if (state === 'paused') return `It is paused. Go on with: pagecast campaign resume ${id}`;
  if (quietMs === 0) return null;
  const quiet = duration(quietMs);
  if (state === 'scheduled') {
    return timing !== null && at >= timing.expiresAt
      ? 'It could not start in time and will not be sent any more. The next worker ends it: pagecast run --once'
      : `Its time was ${quiet} ago. A worker must be running to send it: pagecast run`;
  }
  return `Nothing has changed for ${quiet}. The platform may have asked for a rest; if no process is at it, go on with: pagecast run, or pagecast campaign resume ${id}`;
}

/** One sentence without what only passes. */
function headline({ campaign, summary }: Sight): string {
  return `${campaign.id} is ${campaign.state}: ${countsLine(summary.counts)}`;
}

/** What only passes: how fast it goes, and when it starts or ends. */
function passing({ at, campaign, perSecond, leftMs }: Sight): string[] {
  const { state, timing } = campaign;
  if (state === 'scheduled' && timing !== null && timing.sendAt > at) {
    return [`starts in ${duration(timing.sendAt - at)}, ${time(timing.sendAt)}`];
  }
  if (perSecond === null) return [];
  return [`${perSecond.toFixed(1)}/s`, ...(leftMs === null ? [] : [`${duration(leftMs)} left`])];
}

// ---------------------------------------------------------------------------------------------------- how it is shown

interface View {
  show(sight: Sight, isLast: boolean): void;
}

/** One JSON document a line: the campaign as in `campaign show --json`, and how it is getting on. */
class JsonLines implements View {
  readonly #terminal: Terminal;
  #shown = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show({ at, campaign, summary, perSecond, leftMs, quietMs }: Sight): void {
    const seen = JSON.stringify([campaign.state, campaign.timing, summary, quietMs > 0]);
    if (seen === this.#shown) return;
    this.#shown = seen;
    const document = {
      at: iso(at),
      ...campaignJson(campaign, summary),
      perSecond: perSecond === null ? null : Number(perSecond.toFixed(2)),
      secondsLeft: leftMs === null ? null : Math.ceil(leftMs / 1000),
      quietSeconds: Math.floor(quietMs / 1000),
    };
    this.#terminal.data(JSON.stringify(document, (_, item: unknown) => (item === Infinity ? 'unlimited' : item)));
  }
}

/** A line for each change, for logs and pipes. */
class Lines implements View {
  readonly #terminal: Terminal;
  #shown = '';
  #isAdvised = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(sight: Sight): void {
    const seen = headline(sight);
    if (seen !== this.#shown) this.#terminal.data(`${time(sight.at)}  ${[seen, ...passing(sight)].join(', ')}`);
    this.#shown = seen;
    const advised = advice(sight);
    if (advised !== null && !this.#isAdvised) this.#terminal.note(advised);
    this.#isAdvised = advised !== null;
  }
}

/** A few lines that are drawn over and over on stderr; the last sight goes to stdout, as `campaign show` has it. */
class Block implements View {
  readonly #terminal: Terminal;
  #drawn = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(sight: Sight, isLast: boolean): void {
    const stream = this.#terminal.drawing as NodeJS.WritableStream & { columns?: number };
    // Asked for each time, since people resize windows. A line that wrapped would be two, and the next drawing off by one.
    const columns = Math.max(10, (stream.columns ?? this.#terminal.width) - 1);
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\r\u001b[0J`;
    const lines = isLast ? [] : this.#lines(sight, columns).flatMap((line) => wrap(line, columns));
    stream.write(up + lines.map((line) => `${line}\n`).join(''));
    this.#drawn = lines.length;
    if (isLast) this.#terminal.data(`${headline(sight)}.`);
  }

  #lines(sight: Sight, columns: number): string[] {
    const { tint } = this.#terminal;
    const { campaign, summary } = sight;
    const { counts } = summary;
    const bars = counts.total === 0 ? [] : [bar(counts.total - toGo(counts), counts.total, Math.min(columns, 60))];
    const advised = advice(sight);
    return [
      `${tint.bold(campaign.id)} is ${tint.bold(campaign.state)}: ${campaign.template.name} (${campaign.template.language}) from ${campaign.accountName}`,
      ...bars,
      [countsLine(counts), ...passing(sight)].join(', '),
      ...(advised === null ? [] : [tint.yellow(advised)]),
    ];
  }
}

/** Full only when all is done. */
function bar(done: number, total: number, columns: number): string {
  const percent = `${Math.floor((done * 100) / total)} %`.padStart(6);
  const room = Math.max(1, columns - percent.length);
  const full = Math.floor((done * room) / total);
  return `${'█'.repeat(full)}${'░'.repeat(room - full)}${percent}`;
}
