/** `pagecast campaign reconcile`: finds out what became of messages whose outcome is unknown. */
import type { Command } from 'commander';
import type { Ora } from 'ora';
import {
  DEFAULT_MIN_AGE_MS,
  reconcile,
  UNSETTLED,
  type Outlook,
  type ReconcileCounts,
  type ReconcileResult,
  type Unsettled,
} from '../../app/reconcile.js';
import { hasEnded, STOP_STATUS } from '../../core/delivery.js';
import { EXIT, type ExitStatus } from '../../core/failure.js';
import { findCampaign } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { duration, plural } from '../render.js';
import type { Terminal } from '../terminal.js';

interface ReconcileOptions {
  minAge?: string;
}

export function registerReconcile(campaign: Command, launch: Launch): void {
  campaign
    .command('reconcile')
    .description('find out what became of messages whose outcome is unknown: from echoes, and from the conversations')
    .argument('<campaign>')
    .option(
      '--min-age <length>',
      'how long an outcome must have been unknown before a message that is not shown counts as not sent (default: 2m)',
    )
    .addHelpText(
      'after',
      `
Reads the conversation of each person whose message is unknown, at two calls a second. A message that is there becomes
sent; one that surely is not there is queued again, and campaign resume sends it. What cannot be told stays unknown.

Examples:
  $ pagecast campaign reconcile c20261121-4f9ak
  $ pagecast campaign reconcile c20261121-4f9ak --min-age 10m --json`,
    )
    .action(launch((context: Context, id: string, options: ReconcileOptions) => run(context, id, options)));
}

async function run(context: Context, id: string, options: ReconcileOptions): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const minAgeMs = await minAge(options);
  const campaign = await findCampaign(context, id);
  const { store, engine } = await context.store();
  const provider = await context.provider(await context.accountOf(campaign));
  const { window } = await context.workspace();
  const progress = await LookProgress.start(terminal);
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping after this conversation. Press Ctrl-C again to leave at once.');
  });
  let result: ReconcileResult;
  try {
    result = await reconcile(
      { store, engine, provider, clock },
      {
        campaign: id,
        window,
        minAgeMs,
        signal: interruption.signal,
        onBegin: (outlook) => {
          if (!terminal.json && outlook.unknown > 0) progress.note(outlookText(outlook));
        },
        onProgress: (counts) => {
          if (!interruption.signal.aborted) progress.update(counts);
        },
      },
    );
  } finally {
    progress.stop();
    interruption.dispose();
  }
  if (terminal.json) terminal.document(resultJson(result));
  else {
    terminal.data(resultText(result));
    for (const line of [...whyUnknown(result, minAgeMs), ...whatNext(result)]) terminal.note(line);
  }
  if (result.left === 0) return EXIT.done;
  if (result.end === null) return EXIT.unknownOutcomes;
  return result.end.kind === 'interrupted' ? EXIT.interrupted : STOP_STATUS[result.end.cause];
}

/** @returns milliseconds @throws Failure USAGE */
async function minAge({ minAge: given }: ReconcileOptions): Promise<number> {
  if (given === undefined) return DEFAULT_MIN_AGE_MS;
  // It comes with the reading of times and zones, which is only loaded where one was given.
  const { readDuration } = await import('../timing.js');
  return readDuration('--min-age', given);
}

function outlookText({ unknown, echoed, lookups, lookupsMs }: Outlook): string {
  const parts = [`${plural(unknown, 'message')} with an unknown outcome`];
  if (echoed > 0) parts.push(`${echoed.toLocaleString('en')} came back as echoes and were sent`);
  if (lookups > 0) {
    parts.push(`${plural(lookups, 'conversation')} to read, which takes up to about ${duration(lookupsMs)}`);
  }
  return `${parts.join('; ')}.`;
}

function resultText({ campaign, unknown, sent, queued, left }: ReconcileResult): string {
  if (unknown === 0) return `${campaign.id} has no message with an unknown outcome.`;
  const found = sent.echo + sent.conversation;
  return `${campaign.id}: of ${plural(unknown, 'unknown message')}, ${found.toLocaleString('en')} had been sent, ${queued.toLocaleString('en')} had not, and ${left.toLocaleString('en')} ${left === 1 ? 'stays' : 'stay'} unknown.`;
}

function whyUnknown({ stays, errors, campaign }: ReconcileResult, minAgeMs: number): string[] {
  const why: Record<Unsettled, string> = {
    too_recent: `not shown, but unknown for less than ${duration(minAgeMs)}; look again later`,
    not_readable: 'the conversation could not be read',
    incomplete: 'the platform does not show enough of the conversation (details only of its newest 20 messages)',
    ambiguous: 'there is a message that may be this one, or may be another',
    no_lookup: `conversations cannot be read through the provider of ${campaign.accountName}; echoes from logged webhooks settle them: pagecast window import`,
    not_reached: 'not looked at yet',
  };
  const lines: string[] = [];
  for (const reason of UNSETTLED) {
    const count = stays[reason] ?? 0;
    if (count === 0) continue;
    lines.push(`  ${count.toLocaleString('en')} ${reason}: ${why[reason]}`);
    if (reason !== 'not_readable') continue;
    for (const [code, met] of Object.entries(errors)) {
      lines.push(`    ${met.count.toLocaleString('en')} with error ${code}: ${met.error.message}`);
    }
  }
  return lines;
}

function whatNext({ campaign, queued, left, end }: ReconcileResult): string[] {
  const { id } = campaign;
  const lines: string[] = [];
  if (end?.kind === 'stopped') {
    lines.push(`Ended early (${end.cause}): error ${end.error.code}: ${end.error.message}`);
  }
  if (end !== null) lines.push(`What was found is kept. Go on with: pagecast campaign reconcile ${id}`);
  if (queued > 0) {
    if (hasEnded(campaign.state)) lines.push(`Campaign ${id} is ${campaign.state}, so what was not sent is left out.`);
    else if (campaign.state === 'continuous')
      lines.push('What was not sent is left out: nobody waits for a single message any more.');
    else if (campaign.state === 'paused') lines.push(`Send what was not sent: pagecast campaign resume ${id}`);
    else lines.push(`What was not sent is queued again: pagecast campaign resume ${id}`);
  }
  if (left > 0 && end === null) {
    lines.push(
      `Unknown messages may have arrived. Look into the conversations yourself: pagecast message list --campaign ${id} --state unknown`,
    );
  }
  return lines;
}

function resultJson({ campaign, unknown, sent, queued, stays, left, errors, end }: ReconcileResult): object {
  return {
    campaign: campaign.id,
    state: campaign.state,
    account: campaign.accountName,
    unknown,
    sent,
    queued,
    left,
    stays,
    errors: Object.fromEntries(
      Object.entries(errors).map(([code, { count, error }]) => [code, { count, message: error.message }]),
    ),
    end: end?.kind ?? null,
    stop: end?.kind === 'stopped' ? { cause: end.cause, error: end.error } : null,
  };
}

/** The line that shows how far it has come: on stderr, where that is a terminal. */
class LookProgress {
  readonly #terminal: Terminal;
  readonly #spinner: Ora | null;

  private constructor(terminal: Terminal, spinner: Ora | null) {
    this.#terminal = terminal;
    this.#spinner = spinner;
  }

  static async start(terminal: Terminal): Promise<LookProgress> {
    if (!terminal.animated) return new LookProgress(terminal, null);
    const { default: ora } = await import('ora');
    // Without this, ora swallows Ctrl-C and what is typed.
    const spinner = ora({ text: 'Looking', stream: terminal.drawing, discardStdin: false });
    return new LookProgress(terminal, spinner.start());
  }

  /** Says something above the line. */
  note(text: string): void {
    this.#spinner?.clear();
    this.#terminal.note(text);
  }

  update({ unknown, sent, queued, stays }: ReconcileCounts): void {
    if (!this.#spinner) return;
    const found = sent.echo + sent.conversation;
    const open = Object.values(stays).reduce((sum, count) => sum + count, 0);
    const done = found + queued + open;
    this.#spinner.text = `${done.toLocaleString('en')} of ${plural(unknown, 'message')}: ${found.toLocaleString('en')} had been sent, ${queued.toLocaleString('en')} had not, ${open.toLocaleString('en')} cannot be told`;
  }

  stop(): void {
    this.#spinner?.stop();
  }
}
