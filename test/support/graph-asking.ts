/** What tests of the reading side of the graph provider share: canned replies of the platform, and who asks for them. */
import { createHmac } from 'node:crypto';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import type { Provider } from '../../src/ports.js';
import { createGraphProvider, type GraphConfig } from '../../src/providers/graph.js';
import { machineClock, ReplyServer, type CannedReply, type SeenRequest } from './provider-contract.js';

export const PAGE = '102938475601928';
export const INSTAGRAM = '17841400000000777';
export const TOKEN = 'EAAGm0PX4ZCpsBAKZCtokenForTests0123456789';
const APP_SECRET = '0123456789abcdef0123456789abcdef';
const PROOF = createHmac('sha256', APP_SECRET).update(TOKEN).digest('hex');
export const SINCE = Date.UTC(2026, 10, 21, 12);
const VERSION = '/v26.0';

/** A request as it is compared: a GET with its query, that of the only part of a batch, or a POST with its JSON. */
export type Request = { path: string; query: Record<string, string>; hidden?: true } | { path: string; body: unknown };

function taken(url: string): { path: string; query: Record<string, string> } {
  const [path = '', query] = url.split('?');
  const { appsecret_proof, ...asked } = Object.fromEntries(new URLSearchParams(query)) as Record<string, string>;
  expect(appsecret_proof).toBe(PROOF);
  return { path, query: asked };
}

function readRequest({ method, path, body, headers }: SeenRequest): Request {
  expect(headers.authorization).toBe(`Bearer ${TOKEN}`);
  // No secret in an address, whatever is in the body.
  for (const secret of [TOKEN, APP_SECRET]) expect(path).not.toContain(secret);
  expect(path.startsWith(`${VERSION}/`)).toBe(true);
  const after = path.slice(VERSION.length + 1);
  if (method === 'GET') return taken(after);
  if (after !== '') {
    const { appsecret_proof, ...rest } = JSON.parse(body) as Record<string, unknown>;
    expect(appsecret_proof).toBe(PROOF);
    return { path: after, body: rest };
  }
  const form = new URLSearchParams(body);
  expect([form.get('include_headers'), form.get('appsecret_proof')]).toEqual(['false', PROOF]);
  const batch = JSON.parse(form.get('batch') ?? '') as { method: string; relative_url: string }[];
  expect(batch).toEqual([{ method: 'GET', relative_url: expect.any(String) as string }]);
  const [part, query] = batch[0]!.relative_url.split('?');
  return { path: part!, query: Object.fromEntries(new URLSearchParams(query)), hidden: true };
}

/** A graph provider against a server on loopback that gives each request the next canned reply. */
export class Asking {
  readonly #server: ReplyServer;

  private constructor(server: ReplyServer) {
    this.#server = server;
  }

  static async start(): Promise<Asking> {
    return new Asking(await ReplyServer.start());
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  /**
   * Asks a provider with these replies waiting; all of them must be used, and nothing secret may be in what it comes to.
   * @param now by the provider's clock
   * @returns what it came to, the requests, and how many turns were waited for
   */
  async ask<T>(
    replies: readonly CannedReply[],
    act: (provider: Provider, turn: () => Promise<void>) => Promise<T> | undefined,
    more: Partial<GraphConfig> = {},
    now = SINCE,
  ): Promise<Asked<T>> {
    const { seen, replies: waiting, url: baseUrl } = this.#server;
    seen.length = 0;
    waiting.splice(0, Infinity, ...replies);
    const clock = { ...machineClock, now: () => now };
    const account = {
      version: 'v26.0',
      pageId: PAGE,
      channel: 'messenger',
      token: TOKEN,
      appSecret: APP_SECRET,
    } as const;
    const provider = createGraphProvider({ baseUrl, ...account, ...more }, clock);
    let turns = 0;
    try {
      const result = (await act(provider, () => {
        turns += 1;
        return Promise.resolve();
      })) as T;
      expect(waiting, 'replies that no request asked for').toEqual([]);
      const shown = inspect(result, { depth: 10, maxStringLength: null });
      for (const secret of [TOKEN, APP_SECRET, PROOF]) expect(shown).not.toContain(secret);
      return { result, requests: seen.map(readRequest), turns };
    } finally {
      await provider.close();
    }
  }
}

export interface Asked<T> {
  result: T;
  requests: Request[];
  turns: number;
}

export const envelope = (code: number, message = 'words', error_subcode?: number): CannedReply => ({
  status: 400,
  body: { error: { message, type: 'OAuthException', code, error_subcode, fbtrace_id: 'Az9' } },
});
export const errorOf = (code: string, message = 'words'): object => ({ code, message, traceId: 'Az9' });

export const listing = (data: object[], paging?: object): CannedReply => ({
  body: { data, ...(paging && { paging }) },
});
