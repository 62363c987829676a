/** `pagecast listen` as a process of its own or inside the test's, and the ways on which webhooks come to it. */
import { createHmac } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished, vi } from 'vitest';
import { main } from '../../src/cli/main.js';
import { openStore, type OpenedStore } from '../../src/stores/open.js';
import { start, until, type Running, type SandboxProcess } from './process.js';
import { testWorkspace, type TestWorkspace } from './workspace.js';

/** The app secret of every sandbox here, from which webhooks are signed. */
export const APP_SECRET = 'sandbox-app-secret';
/** The Page of a sandbox whose seed names none. */
export const PAGE = '102938475601928';

/** A workspace with the account `page` at a sandbox, which may be listened to. @param flows YAML by name */
export async function listeningWorkspace(
  { url }: SandboxProcess,
  flows: Record<string, string> = {},
  pace = 'unlimited',
): Promise<TestWorkspace> {
  const workspace = await testWorkspace(
    `accounts:\n  page: { provider: sandbox, channel: messenger, id: "${PAGE}", pace: ${pace}, url: "${url}", appSecret: file:app.secret }\n`,
  );
  await chmod(await workspace.write('app.secret', APP_SECRET), 0o600);
  await mkdir(workspace.path('flows'));
  for (const [name, yaml] of Object.entries(flows)) await workspace.write(`flows/${name}.yaml`, yaml);
  return workspace;
}

export interface Listener extends Running {
  port: number;
  /** Where Meta's webhooks are posted. */
  webhook: string;
}

/** Starts a listener; it ends with the test. @param port 0 for any */
export async function listener(workspace: TestWorkspace, port = 0): Promise<Listener> {
  const running = start(workspace, ['listen', '--port', String(port), '--log-format', 'json']);
  const readyAt = (): string | undefined => /"event":"ready","url":"([^"]+)"/.exec(running.stderr())?.[1];
  let hasEnded = false;
  void running.ended.then(() => (hasEnded = true));
  await until('the listener is ready', () => hasEnded || readyAt() !== undefined);
  const url = readyAt();
  if (url === undefined) throw new Error(`the listener did not start: ${running.stderr()}`);
  return { ...running, port: Number(new URL(url).port), webhook: `${url}/webhooks/meta` };
}

interface LogLine {
  event: string;
  level: string;
  message: string;
  [field: string]: unknown;
}

export interface InsideListener {
  url: string;
  lines: () => LogLine[];
  /** The first line of an event, waited for. */
  line: (event: string) => Promise<LogLine>;
  /** What was written to stdout and stderr. */
  written: () => string;
  /** Has it stop. @returns its status */
  stop: () => Promise<number>;
  store: () => Promise<OpenedStore>;
}

/**
 * Starts a listener inside the test's own process; it ends with the test. What is written and the environment belong to the
 * whole process, so no other command may run until it has stopped.
 */
export async function listenerInside(
  workspace: TestWorkspace,
  env: Record<string, string>,
  args: readonly string[] = [],
): Promise<InsideListener> {
  let stdout = '';
  let stderr = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => Boolean((stdout += String(chunk)))),
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => Boolean((stderr += String(chunk)))),
  ];
  const around = { XDG_STATE_HOME: workspace.home, NO_COLOR: '1', GITHUB_ACTIONS: '', ...env };
  for (const [name, value] of Object.entries(around)) vi.stubEnv(name, value);
  const restore = (): void => {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  };
  const command = ['node', 'pagecast', 'listen', '--port', '0', '--log-format', 'json', ...args];
  let hasEnded = false;
  const ended = main(command, workspace.folder).finally(() => {
    hasEnded = true;
    restore();
  });
  const lines = (): LogLine[] =>
    stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine);
  const line = async (event: string): Promise<LogLine> => {
    const found = (): LogLine | undefined => lines().find((one) => one.event === event);
    await until(event, () => hasEnded || found() !== undefined, 5000);
    const first = found();
    if (first === undefined) throw new Error(`it never told of ${event}: ${stderr}`);
    return first;
  };
  const stop = async (): Promise<number> => {
    if (!hasEnded) process.emit('SIGTERM', 'SIGTERM');
    return ended;
  };
  onTestFinished(async () => {
    await stop();
  });
  return {
    url: String((await line('ready'))['url']),
    lines,
    line,
    written: () => stdout + stderr,
    stop,
    store: () => storeOf(workspace),
  };
}

/** Opens the store of a workspace beside those who work with it; it is closed with the test. */
export async function storeOf(workspace: TestWorkspace): Promise<OpenedStore> {
  const holder = { name: 'elsewhere/1', mayBeAlive: () => true };
  const opened = await openStore(`sqlite:${workspace.path('.pagecast/pagecast.db')}`, workspace.folder, holder);
  onTestFinished(() => opened.store.close());
  return opened;
}

/** Has the sandbox tell a listener of everything from now on. */
export async function tellTo(
  sandbox: SandboxProcess,
  url: string,
  how: { duplicate?: boolean; reorder?: boolean } = {},
): Promise<void> {
  await sandbox.change('webhook', { url, secret: APP_SECRET, ...how });
}

/** A message that somebody wrote, as a webhook tells of it, and its signature. */
export function signedMessage(user: string, text: string, at: number): SignedPost {
  const message = { mid: `m_u${user}_${at}`, text };
  const item = { sender: { id: user }, recipient: { id: PAGE }, timestamp: at, message };
  const body = JSON.stringify({ object: 'page', entry: [{ id: PAGE, time: at, messaging: [item] }] });
  return { body, signature: metaSignature(body, APP_SECRET) };
}

/** As in the header X-Hub-Signature-256. */
export function metaSignature(body: string, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}

export interface SignedPost {
  body: string;
  signature: string;
}

/** @returns the status; without an answer `refused` when nobody was there, and `cut` when somebody may have taken it */
export async function post(url: string, { body, signature }: SignedPost): Promise<number | 'refused' | 'cut'> {
  const headers = { 'content-type': 'application/json', 'x-hub-signature-256': signature };
  try {
    return (await fetch(url, { method: 'POST', headers, body })).status;
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return cause?.code === 'ECONNREFUSED' ? 'refused' : 'cut';
  }
}

export interface Relay {
  url: string;
  /** Passes on, to each of these, what has come and what will come. */
  passTo: (...urls: string[]) => Promise<void>;
}

/** Stands between the sandbox and listeners, takes everything, and keeps it until it is told where it goes. */
export async function relay(workspace: TestWorkspace): Promise<Relay> {
  const held: SignedPost[] = [];
  let targets: readonly string[] = [];
  const passOn = async (one: SignedPost): Promise<void> => {
    await Promise.all(targets.map((url) => post(url, one)));
  };
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const one = { body, signature: String(request.headers['x-hub-signature-256']) };
      if (targets.length === 0) held.push(one);
      else void passOn(one);
      response.writeHead(200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  workspace.atEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    passTo: async (...urls) => {
      targets = urls;
      for (const one of held.splice(0)) await passOn(one);
    },
  };
}
