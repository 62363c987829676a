/** `pagecast listen` as a process of its own, and the ways on which webhooks come to it. */
import { createHmac } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { start, until, type Running, type SandboxProcess } from './process.js';
import { testWorkspace, type TestWorkspace } from './workspace.js';

/** The app secret of every sandbox here, from which webhooks are signed. */
const APP_SECRET = 'sandbox-app-secret';
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
  return { body, signature: `sha256=${createHmac('sha256', APP_SECRET).update(body).digest('hex')}` };
}

export interface SignedPost {
  body: string;
  signature: string;
}

/** @returns the status; null when there was no answer */
export async function post(url: string, { body, signature }: SignedPost): Promise<number | null> {
  const headers = { 'content-type': 'application/json', 'x-hub-signature-256': signature };
  return fetch(url, { method: 'POST', headers, body }).then(
    ({ status }) => status,
    () => null,
  );
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
