/**
 * The terminal as commands see it: data goes to stdout, everything else to stderr; questions are asked only when somebody
 * is there to answer them.
 */
import type { Readable, Writable } from 'node:stream';
import { Chalk, type ChalkInstance } from 'chalk';
import { Failure } from '../core/failure.js';

export interface Streams {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: Readonly<Record<string, string | undefined>>;
}

export class Terminal {
  /** Somebody can answer questions: stdin and stderr are both a terminal, and no JSON is asked for. */
  readonly interactive: boolean;
  /** Whether progress may be drawn on stderr. */
  readonly animated: boolean;
  readonly width: number;
  /** Colours for stdout. */
  readonly paint: ChalkInstance;
  /** Colours for stderr. */
  readonly tint: ChalkInstance;
  readonly json: boolean;
  readonly #streams: Streams;

  constructor(streams: Streams, json: boolean) {
    const { stdin, stdout, stderr, env } = streams;
    this.#streams = streams;
    this.json = json;
    this.interactive = !json && stdin.isTTY === true && stderr.isTTY === true;
    // Some terminals say that they are 0 columns wide; a spinner there would wrap for ever.
    this.animated = !json && stderr.isTTY === true && (stderr.columns ?? 0) > 0 && env['TERM'] !== 'dumb';
    this.width = Math.max(
      40,
      Math.min([stdout.columns, stderr.columns].find((columns) => columns !== undefined && columns > 0) ?? 80, 120),
    );
    this.paint = new Chalk({ level: json ? 0 : colourLevel(stdout, env) });
    this.tint = new Chalk({ level: json ? 0 : colourLevel(stderr, env) });
  }

  /** A line of data. */
  data(text: string): void {
    this.#streams.stdout.write(`${text}\n`);
  }

  /** Raw data, waiting when the reader is slow. */
  async write(text: string): Promise<void> {
    const { stdout } = this.#streams;
    if (!stdout.write(text) && !stdout.destroyed) {
      await new Promise<void>((resolve) => {
        stdout.once('drain', resolve);
        stdout.once('close', resolve);
      });
    }
  }

  /** The one JSON document of a command. */
  document(value: unknown): void {
    this.data(JSON.stringify(value, (_, item: unknown) => (item === Infinity ? 'unlimited' : item), 2));
  }

  /** A line for the person at the terminal. */
  note(text: string): void {
    this.#streams.stderr.write(`${text}\n`);
  }

  /**
   * The questions of a dialogue.
   * @param flags what to pass instead where nobody can answer, such as `--confirm-count N`
   * @throws Failure ANSWER_NEEDED
   */
  async questions(flags: string): Promise<Questions> {
    if (!this.interactive) {
      throw new Failure('ANSWER_NEEDED', 'This needs an answer, and there is no terminal to ask on.', `Pass ${flags}.`);
    }
    const { default: inquirer } = await import('inquirer');
    const streams = { input: this.#streams.stdin, output: this.#streams.stderr };
    const prompt = inquirer.createPromptModule(streams);
    const one = async <T>(question: Record<string, unknown>): Promise<T> => {
      const answers: Record<string, unknown> = await prompt([{ ...question, name: 'answer' }] as never);
      return answers['answer'] as T;
    };
    return {
      choose: (message, choices) => one({ type: 'select', message, choices, loop: false }),
      type: (message, options) => one({ type: 'input', message, ...options }),
      typeHidden: (message, options) => one({ type: 'password', message, mask: '*', ...options }),
      confirm: (message, byDefault) => one({ type: 'confirm', message, default: byDefault }),
    };
  }

  /** What is piped into the command. */
  get input(): Readable {
    return this.#streams.stdin;
  }

  /** The stream that a spinner draws on. */
  get drawing(): NodeJS.WritableStream {
    return this.#streams.stderr;
  }
}

export interface Questions {
  choose<T>(message: string, choices: readonly { name: string; value: T; description?: string }[]): Promise<T>;
  type(
    message: string,
    options?: { default?: string; validate?: (answer: string) => true | string | Promise<true | string> },
  ): Promise<string>;
  /** What is typed is not shown. */
  typeHidden(message: string, options: { validate: (answer: string) => true | string }): Promise<string>;
  confirm(message: string, byDefault: boolean): Promise<boolean>;
}

/** NO_COLOR, then FORCE_COLOR, then whether it is a terminal that can show colours. */
function colourLevel(stream: { isTTY?: boolean }, env: Streams['env']): 0 | 1 | 2 | 3 {
  if (env['NO_COLOR']) return 0;
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined && forced !== '0' && forced !== 'false') return forced === '3' ? 3 : forced === '2' ? 2 : 1;
  if (!stream.isTTY || env['TERM'] === 'dumb' || forced !== undefined) return 0;
  return env['COLORTERM'] === 'truecolor' ? 3 : 1;
}
