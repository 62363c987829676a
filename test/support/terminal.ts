/** A real terminal (tmux) with pagecast in it: what is typed goes in, what a person would see comes out. */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { BIN, childEnvironment, until } from './process.js';
import type { TestWorkspace } from './workspace.js';

export const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0;

export interface Terminal {
  /** Everything that was shown so far, as plain text; long lines are not cut. */
  screen: () => string;
  /** Waits until a text is shown below what the last wait found. */
  sees: (text: string | RegExp, mostMs?: number) => Promise<void>;
  /** Types text as it is. */
  types: (text: string) => void;
  /** Presses a key by tmux's name for it, such as `Enter`, `Down` or `C-c`. */
  presses: (...keys: string[]) => void;
  /** Types a line and ends it. */
  answers: (text: string) => void;
  /** Waits for the command's end. @returns its exit status */
  status: () => Promise<number>;
  /** Closes the terminal as a person closes a window, while the command may be running. */
  closes: () => void;
}

/**
 * Runs pagecast in a terminal of its own, which shows colours.
 * @param stdout a file of the workspace that stdout goes to
 */
export function terminal(workspace: TestWorkspace, args: readonly string[], stdout?: string): Terminal {
  const socket = join(workspace.home, `tmux-${Math.floor(performance.now() * 1000)}`);
  const tmux = (...given: string[]): string =>
    execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...given]).toString();
  const variables = Object.entries(childEnvironment(workspace, { TERM: 'screen-256color', NO_COLOR: '' })).flatMap(
    ([name, value]) => (value === undefined || value === '' ? [] : [`${name}=${value}`]),
  );
  const command = ['env', '-i', ...variables, process.execPath, BIN, ...args].map(quoted).join(' ');
  tmux(
    'new-session',
    '-d',
    '-x',
    '120',
    '-y',
    '50',
    '-c',
    workspace.folder,
    `${command}${stdout === undefined ? '' : ` > ${quoted(workspace.path(stdout))}`}; echo "[status $?]"; cat`,
  );
  let open = true;
  const closes = (): void => {
    if (open) tmux('kill-server');
    open = false;
  };
  workspace.atEnd(closes);

  // -J joins what was broken at the right edge, so that a test need not know where.
  const screen = (): string => tmux('capture-pane', '-p', '-J', '-S', '-2000').replace(/[ \n]+$/, '');
  let seen = 0;
  const find = (text: string | RegExp): boolean => {
    const shown = screen().slice(seen);
    const at = typeof text === 'string' ? shown.indexOf(text) : shown.search(text);
    if (at === -1) return false;
    // A line that is redrawn may give way to the next thing to be seen.
    seen += shown.lastIndexOf('\n', at) + 1;
    return true;
  };
  const sees = async (text: string | RegExp, mostMs = 20_000): Promise<void> => {
    try {
      await until(String(text), () => find(text), mostMs);
    } catch (error) {
      throw new Error(`the terminal never showed ${String(text)}; it shows:\n${screen()}`, { cause: error });
    }
  };
  const types = (text: string): void => void tmux('send-keys', '-l', '--', text);
  const presses = (...keys: string[]): void => void tmux('send-keys', ...keys);
  return {
    screen,
    sees,
    types,
    presses,
    answers: (text) => {
      types(text);
      presses('Enter');
    },
    status: async () => {
      await sees(/\[status \d+\]/);
      return Number(/\[status (\d+)\]/.exec(screen())?.[1]);
    },
    closes,
  };
}

/** Moves down a list until the cursor stands at a choice, and takes it. */
export async function chooses(screen: Terminal, question: string, choice: string): Promise<void> {
  await screen.sees(question);
  const at = new RegExp(`❯ ${choice}`);
  for (let moves = 0; moves < 30; moves += 1) {
    const list = screen.screen().slice(screen.screen().lastIndexOf(question));
    if (at.test(list)) {
      screen.presses('Enter');
      return;
    }
    const before = screen.screen();
    screen.presses('Down');
    await until('the cursor moves', () => screen.screen() !== before);
  }
  throw new Error(`"${choice}" is not offered:\n${screen.screen()}`);
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
