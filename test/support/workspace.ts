/** A folder to run pagecast in: its own workspace, its own home, people with open windows, and a sheet that names them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

export interface TestWorkspace {
  folder: string;
  /** Where the user's own state would go, so that nothing of the user's is touched. */
  home: string;
  path: (name: string) => string;
  /** Writes a file of the workspace. @returns its path */
  write: (name: string, content: string | Buffer) => Promise<string>;
  /** Has something done when the folder's time is over. */
  atEnd: (work: () => void | Promise<void>) => void;
}

/**
 * Makes a folder that ends with the test; without `configuration` it is no workspace.
 * @param atEnd what `sharedEnd` gives, for one that many tests share
 */
export async function testWorkspace(
  configuration?: string,
  atEnd: TestWorkspace['atEnd'] = onTestFinished,
): Promise<TestWorkspace> {
  const base = await mkdtemp(join(tmpdir(), 'pagecast-e2e-'));
  atEnd(() => rm(base, { recursive: true, force: true }));
  const folder = join(base, 'work');
  const home = join(base, 'home');
  await mkdir(folder);
  await mkdir(home);
  const write = async (name: string, content: string | Buffer): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  if (configuration !== undefined) await write('pagecast.yaml', configuration);
  return { folder, home, path: (name) => join(folder, name), write, atEnd };
}

/** `pagecast.yaml` with accounts that send to a sandbox of their own. */
export function accountsAt(accounts: Record<string, string>): string {
  const lines = Object.entries(accounts).map(
    ([name, url]) =>
      `  ${name}: { provider: sandbox, channel: messenger, id: "102938475601928", pace: 35/s, url: "${url}" }`,
  );
  return `accounts:\n${lines.join('\n')}\n`;
}

/** Ids of 17 digits, as the platform gives them. */
export function personId(index: number): string {
  return String(70_000_000_000_000_001n + BigInt(index) * 1_000_003n);
}

/** A sheet for the starter `order_update`, as CSV, because it is quick to make. */
export function orderSheet(people: number, first = 0): string {
  const rows = Array.from(
    { length: people },
    (_, index) => `${personId(first + index)},Ann ${first + index},A-${first + index},1 Dec`,
  );
  return ['User ID,name,order_no,date', ...rows, ''].join('\n');
}

/** A log of openers: everybody wrote an hour ago. */
export function windowLog(people: number, first = 0): string {
  const at = new Date(Date.now() - 3_600_000).toISOString();
  const rows = Array.from({ length: people }, (_, index) => `${personId(first + index)},${at}`);
  return ['user_id,opened_at', ...rows, ''].join('\n');
}

/**
 * Where what all tests of a file share is put, to go away with the last of them. To be called outside of every hook: one
 * that a hook adds is never called.
 */
export function sharedEnd(): TestWorkspace['atEnd'] {
  const endings: (() => void | Promise<void>)[] = [];
  afterAll(async () => {
    for (const end of endings.reverse()) await end();
  });
  return (work) => void endings.push(work);
}
