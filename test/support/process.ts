/** pagecast as a process of its own: started, watched, killed; and the sandbox beside it, which judges what was sent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Received } from '../../src/sandbox/journal.js';
import type { SeedInput } from '../../src/sandbox/seed.js';
import type { SandboxStats } from '../../src/sandbox/server.js';
import type { TestWorkspace } from './workspace.js';

export const BIN = fileURLToPath(new URL('../../bin/pagecast.js', import.meta.url));

export interface StartOptions {
  env?: Record<string, string | undefined>;
  /** What is piped in; without it stdin is empty. */
  input?: string;
  /** A command to put before node, such as `['bash', '-c', 'ulimit -f 1; exec "$@"', '-']`. */
  through?: readonly string[];
}

export interface Finished {
  /** As a shell reports it: 128 and the signal's number when a signal ended the process. */
  status: number;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  pid: number;
  child: ChildProcess;
  /** So far. */
  stdout: () => string;
  stderr: () => string;
  kill: (signal: NodeJS.Signals) => void;
  ended: Promise<Finished>;
}

const SIGNAL_NUMBER: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** The environment of a child: nothing of the user's own state, no colours. */
export function childEnvironment(
  { home }: Pick<TestWorkspace, 'home'>,
  more: StartOptions['env'] = {},
): NodeJS.ProcessEnv {
  const { PATH, LANG } = process.env;
  return { PATH, LANG, TZ: 'UTC', HOME: home, XDG_STATE_HOME: home, NO_COLOR: '1', ...more };
}

export function start(workspace: TestWorkspace, args: readonly string[], options: StartOptions = {}): Running {
  const [command = '', ...rest] = [...(options.through ?? []), process.execPath, BIN, ...args];
  const child = spawn(command, rest, {
    cwd: workspace.folder,
    env: childEnvironment(workspace, options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A child that ends without reading what is piped in is no fault of the test.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const ended = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ status: code ?? 128 + (SIGNAL_NUMBER[signal!] ?? 0), signal, stdout, stderr });
    });
  });
  workspace.atEnd(() => void child.kill('SIGKILL'));
  return {
    pid: child.pid ?? 0,
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    ended,
  };
}

/** Runs one command line to its end. */
export async function pagecast(
  workspace: TestWorkspace,
  args: readonly string[],
  options: StartOptions = {},
): Promise<Finished> {
  return start(workspace, args, options).ended;
}

export interface JsonRun<T> extends Finished {
  /** The document; null when there is none. */
  json: T;
  error: ReportedError | null;
}

/** Runs a command with `--json`. */
export async function pagecastJson<T = Record<string, unknown>>(
  workspace: TestWorkspace,
  args: readonly string[],
  options: StartOptions = {},
): Promise<JsonRun<T>> {
  const finished = await pagecast(workspace, [...args, '--json'], options);
  return {
    ...finished,
    json: (finished.stdout === '' ? null : JSON.parse(finished.stdout)) as T,
    error: finished.stderr.startsWith('{') ? (JSON.parse(finished.stderr) as { error: ReportedError }).error : null,
  };
}

export interface ReportedError {
  code: string;
  message: string;
  hint: string;
}

/** What `send` and `campaign show` print with `--json`. */
export interface CampaignJson {
  campaign: string;
  state: string;
  total: number;
  queued: number;
  started: number;
  sent: number;
  failed: number;
  skipped: number;
  unknown: number;
}

export interface SandboxProcess {
  url: string;
  received: () => Promise<Received[]>;
  stats: () => Promise<SandboxStats>;
  /** Changes something: takes what `POST /_sandbox/…` takes, such as what users do. */
  change: (what: 'users' | 'webhook' | 'faults', change: object) => Promise<void>;
  stop: () => Promise<Finished>;
}

let sandboxes = 0;

/** Starts `pagecast sandbox`, as a user would; it ends with the test. */
export async function sandboxProcess(workspace: TestWorkspace, seed: SeedInput = {}): Promise<SandboxProcess> {
  const file = join(workspace.home, `sandbox-${(sandboxes += 1)}.json`);
  await writeFile(file, JSON.stringify(seed));
  const running = start(workspace, ['sandbox', '--port', '0', '--seed', file, '--json']);
  const url = await new Promise<string>((resolve, reject) => {
    running.child.stdout?.on('data', () => {
      const found = /"url": "([^"]+)"/.exec(running.stdout());
      if (found?.[1] !== undefined) resolve(found[1]);
    });
    void running.ended.then(({ stderr }) => reject(new Error(`the sandbox did not start: ${stderr}`)));
  });
  const ask = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`)).json();
  return {
    url,
    received: async () => ((await ask('/_sandbox/received')) as { messages: Received[] }).messages,
    stats: async () => (await ask('/_sandbox/stats')) as SandboxStats,
    change: async (what, change) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${url}/_sandbox/${what}`, { method: 'POST', headers, body: JSON.stringify(change) });
      if (answer.status !== 200) throw new Error(`the sandbox refused it: ${await answer.text()}`);
    },
    stop: () => {
      running.kill('SIGTERM');
      return running.ended;
    },
  };
}

/** Waits until something holds, looking often; for what another process does. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, mostMs = 20_000): Promise<void> {
  const end = Date.now() + mostMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited ${mostMs} ms in vain for: ${what}`);
    await pause(10);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
