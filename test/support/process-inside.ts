/** A command line run inside the test's own process: for the many cases in which starting another would only take time. */
import { vi } from 'vitest';
import { main } from '../../src/cli/main.js';
import type { ReportedError } from './process.js';
import type { TestWorkspace } from './workspace.js';

export interface Inside<T> {
  status: number;
  stdout: string;
  stderr: string;
  /** The document of a command with `--json`; null when there is none. */
  json: T;
  error: ReportedError | null;
}

/** What is written and the environment belong to the whole process, so only one may run at a time. */
export async function inside<T = Record<string, unknown>>(
  { folder, home }: TestWorkspace,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Inside<T>> {
  let stdout = '';
  let stderr = '';
  const take = (keep: (text: string) => void) => (chunk: unknown) => {
    keep(String(chunk));
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(take((text) => (stdout += text))),
    vi.spyOn(process.stderr, 'write').mockImplementation(take((text) => (stderr += text))),
  ];
  // The tests may themselves be a job of GitHub's, where commands annotate their log and say less.
  const around = { XDG_STATE_HOME: home, NO_COLOR: '1', GITHUB_ACTIONS: '', ...env };
  for (const [name, value] of Object.entries(around)) vi.stubEnv(name, value);
  try {
    const status = await main(['node', 'pagecast', ...args], folder);
    const json = args.includes('--json') && stdout !== '' ? (JSON.parse(stdout) as T) : (null as T);
    const error = stderr.startsWith('{') ? (JSON.parse(stderr) as { error: ReportedError }).error : null;
    return { status, stdout, stderr, json, error };
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}
