/** The line that shows how a run is getting on: on stderr, where that is a terminal; elsewhere only the pauses are told. */
import type { Ora } from 'ora';
import type { Progress } from '../app/run.js';
import type { Clock } from '../ports.js';
import { duration } from './render.js';
import type { Terminal } from './terminal.js';

const REDRAW_MS = 100;
/** The rate shown is that of the last seconds, so that a pause shows. */
const RATE_SPAN_MS = 5000;

export class ProgressLine {
  readonly #clock: Clock;
  readonly #terminal: Terminal;
  readonly #spinner: Ora | null;
  #isWaiting = false;
  readonly #history: { at: number; done: number }[] = [];
  #drawnAt = -Infinity;

  private constructor(terminal: Terminal, clock: Clock, spinner: Ora | null) {
    this.#terminal = terminal;
    this.#clock = clock;
    this.#spinner = spinner;
  }

  static async start(terminal: Terminal, clock: Clock, text: string): Promise<ProgressLine> {
    if (!terminal.animated) return new ProgressLine(terminal, clock, null);
    const { default: ora } = await import('ora');
    // Without this, ora swallows Ctrl-C and what is typed.
    const spinner = ora({ text, stream: terminal.drawing, discardStdin: false });
    return new ProgressLine(terminal, clock, spinner.start());
  }

  update({ counts, waitingMs }: Progress): void {
    if (!this.#spinner) {
      this.#tellPause(waitingMs);
      return;
    }
    const now = this.#clock.monotonic();
    const done = counts.total - counts.queued - counts.started;
    this.#history.push({ at: now, done });
    while ((this.#history[0]?.at ?? now) < now - RATE_SPAN_MS) this.#history.shift();
    if (now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const first = this.#history[0] ?? { at: now, done };
    const rate = now === first.at ? 0 : ((done - first.done) * 1000) / (now - first.at);
    const parts = [
      `${counts.sent.toLocaleString('en')} sent`,
      ...(['failed', 'unknown', 'skipped'] as const)
        .filter((state) => counts[state] > 0)
        .map((state) => `${counts[state].toLocaleString('en')} ${state}`),
      `${(counts.queued + counts.started).toLocaleString('en')} to go`,
    ];
    if (waitingMs > 0) parts.push(`waiting ${duration(waitingMs)} for the platform`);
    else if (rate > 0) parts.push(`${rate.toFixed(1)}/s`, `${duration((counts.queued / rate) * 1000)} left`);
    this.#spinner.text = parts.join(', ');
  }

  /** Minutes may go by, and a log should say why. */
  #tellPause(waitingMs: number): void {
    const isWaiting = waitingMs > 0;
    if (isWaiting && !this.#isWaiting && !this.#terminal.json) {
      this.#terminal.note(`Waiting ${duration(waitingMs)}: the platform cannot be reached, or asks for a rest.`);
    }
    this.#isWaiting = isWaiting;
  }

  stop(): void {
    this.#spinner?.stop();
  }
}
