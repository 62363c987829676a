/** What `pagecast window sync` does and says: reads from the platform who wrote when. */
import type { Ora } from 'ora';
import { syncWindows, type SyncProgress, type SyncResult } from '../../app/sync-windows.js';
import { STOP_STATUS } from '../../core/delivery.js';
import { EXIT, type ExitStatus } from '../../core/failure.js';
import type { WindowSettings } from '../../core/window.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import { duration, plural, time } from '../render.js';
import type { Terminal } from '../terminal.js';

export async function sync(context: Context, account: AccountConfig, restart: boolean): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { window } = await context.workspace();
  const { store } = await context.store();
  const provider = await context.provider(account);
  const progress = await SyncProgressLine.start(terminal);
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping after this page. Press Ctrl-C again to leave at once.');
  });
  let result: SyncResult;
  try {
    result = await syncWindows(
      { store, provider, clock, random },
      {
        account,
        window,
        restart,
        signal: interruption.signal,
        onProgress: (now) => {
          if (!interruption.signal.aborted) progress.update(now);
        },
      },
    );
  } finally {
    progress.stop();
    interruption.dispose();
  }
  if (terminal.json) terminal.document(resultJson(account, result));
  else {
    for (const line of resultText(account, window, result)) terminal.data(line);
    for (const line of whatNext(account, result)) terminal.note(line);
  }
  const { end } = result;
  if (end.kind === 'finished') return EXIT.done;
  return end.kind === 'interrupted' ? EXIT.interrupted : STOP_STATUS[end.cause];
}

function resultText({ name }: AccountConfig, { hours }: WindowSettings, result: SyncResult): string[] {
  const { conversations, inside, closed, hidden, moved, calls, end } = result;
  const cost = plural(calls, 'call');
  if (conversations === 0 && end.kind === 'finished') return [`Nothing new in the conversations of ${name} (${cost}).`];
  const told = `${inside.toLocaleString('en')} wrote within the last ${plural(hours, 'hour')} and ${closed.toLocaleString('en')} did not`;
  return [
    `${plural(conversations, 'conversation')} of ${name} read (${cost}), ${plural(moved, 'window')} opened or moved forward.`,
    `Of these people, ${told}${hidden > 0 ? `; of ${hidden.toLocaleString('en')} it cannot be told` : ''}.`,
  ];
}

const ANEW: Record<NonNullable<SyncResult['anew']>, string> = {
  too_old: 'The last sync was interrupted more than a window ago, so this one began at the top.',
  stale_cursor:
    'The platform no longer knew the place where the last page had ended, so this one began at the top again.',
};

function whatNext({ name, channel }: AccountConfig, { end, resumed, anew, readUntil, hidden }: SyncResult): string[] {
  const lines: string[] = [];
  if (resumed) lines.push('This went on where the last sync had stopped.');
  if (anew !== null) lines.push(ANEW[anew]);
  if (end.kind === 'finished') {
    if (readUntil !== null) lines.push(`Whatever was written since ${time(readUntil)} is for the next sync.`);
  } else {
    if (end.kind === 'stopped') {
      lines.push(`Ended early (${end.cause}): error ${end.error.code}: ${end.error.message}`);
    }
    lines.push(`What was read is kept. Go on with: pagecast window sync --account ${name}`);
  }
  if (hidden > 0) {
    lines.push(
      'It cannot be told where the account has written the newest 20 messages, or the platform does not say who a conversation is with.',
    );
  }
  const requests = channel === 'instagram' ? '; nor requests that were quiet for 30 days' : '';
  lines.push(
    `Only messages are seen this way: no reactions, no clicks on buttons, ads, m.me or ig.me links, no comments, no posts of visitors${requests}. Those come from logged webhooks: pagecast window import FILE --account ${name}`,
  );
  return lines;
}

function resultJson({ name }: AccountConfig, result: SyncResult): object {
  const { conversations, inside, closed, hidden, moved, pages, calls, resumed, anew, readUntil, end } = result;
  return {
    account: name,
    ...{ conversations, inside, closed, hidden, moved, pages, calls, resumed, anew, readUntil },
    end: end.kind,
    stop: end.kind === 'stopped' ? { cause: end.cause, error: end.error } : null,
  };
}

/** The line that shows how far it has come: on stderr, where that is a terminal; elsewhere only the rests are told. */
class SyncProgressLine {
  readonly #terminal: Terminal;
  readonly #spinner: Ora | null;

  private constructor(terminal: Terminal, spinner: Ora | null) {
    this.#terminal = terminal;
    this.#spinner = spinner;
  }

  static async start(terminal: Terminal): Promise<SyncProgressLine> {
    if (!terminal.animated) return new SyncProgressLine(terminal, null);
    const { default: ora } = await import('ora');
    // Without this, ora swallows Ctrl-C and what is typed.
    const spinner = ora({ text: 'Reading conversations', stream: terminal.drawing, discardStdin: false });
    return new SyncProgressLine(terminal, spinner.start());
  }

  update({ conversations, inside, moved, leftMs, waitingMs }: SyncProgress): void {
    if (!this.#spinner) {
      if (waitingMs > 0 && !this.#terminal.json) {
        this.#terminal.note(`Waiting ${duration(waitingMs)}: the platform cannot be read now, or asks for a rest.`);
      }
      return;
    }
    const parts = [
      plural(conversations, 'conversation'),
      `${inside.toLocaleString('en')} inside their window`,
      `${moved.toLocaleString('en')} new`,
    ];
    if (waitingMs > 0) parts.push(`waiting ${duration(waitingMs)} for the platform`);
    else if (leftMs !== null && leftMs > 0) parts.push(`about ${duration(leftMs)} left`);
    this.#spinner.text = parts.join(', ');
  }

  stop(): void {
    this.#spinner?.stop();
  }
}
