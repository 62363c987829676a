/** A sandbox for one test: it ends with the test, its clock stands still until it is moved, its chance is repeatable. */
import { onTestFinished } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { Message } from '../../src/core/template.js';
import type { Clock, Provider, Random } from '../../src/ports.js';
import { openProvider, type ProviderSettings } from '../../src/providers/index.js';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { startSandbox, type Sandbox } from '../../src/sandbox/server.js';
import { machineClock } from './provider-contract.js';

/** A clock that stands where it is put; sleeping takes no time. */
export class StandingClock implements Clock {
  at: number;
  /** What was slept for. */
  readonly slept: number[] = [];

  constructor(at: number) {
    this.at = at;
  }

  now(): number {
    return this.at;
  }

  monotonic(): number {
    return this.at;
  }

  sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    return Promise.resolve();
  }
}

/** The same numbers for the same seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    next() {
      // mulberry32
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}

export const NOON = Date.UTC(2026, 10, 21, 12);

export interface TestSandbox {
  sandbox: Sandbox;
  clock: StandingClock;
  /** Opens a provider that ends with the test. */
  provider: (settings?: Partial<ProviderSettings>) => Provider;
  /** Sends a text (or another message) to one user. */
  send: (userId: string, message?: string | Partial<Message>, metadata?: string) => Promise<Outcome>;
  /** A raw call, with the Page's token unless `token` says otherwise. */
  call: (
    method: 'GET' | 'POST',
    path: string,
    options?: { body?: unknown; form?: Record<string, string>; token?: string | null },
  ) => Promise<{ status: number; headers: Headers; body: Record<string, unknown>; text: string }>;
}

export async function testSandbox(seed: SeedInput = {}, randomSeed = 1): Promise<TestSandbox> {
  const clock = new StandingClock(NOON);
  const sandbox = await startSandbox({ seed, clock, random: seededRandom(randomSeed) });
  onTestFinished(() => sandbox.close());
  const { page, url } = sandbox;
  let usual: Provider | null = null;

  const provider = (settings: Partial<ProviderSettings> = {}): Provider => {
    const opened = openProvider(
      'sandbox',
      {
        channel: page.channel,
        id: page.id,
        token: page.token,
        ...(page.secret !== undefined && { appSecret: page.secret }),
        baseUrl: url,
        ...settings,
      },
      machineClock,
    );
    onTestFinished(() => opened.close());
    return opened;
  };
  return {
    sandbox,
    clock,
    provider,
    async send(userId, message = 'Hello', metadata = `m:${userId}`) {
      usual ??= provider();
      const parts = typeof message === 'string' ? { text: message } : message;
      const [outcome] = await usual.send([
        { userId, metadata, isReply: false, message: { buttons: [], quickReplies: [], ...parts } },
      ]);
      return outcome!;
    },
    async call(method, path, { body, form, token = page.token } = {}) {
      const payload = form
        ? new URLSearchParams(form).toString()
        : body === undefined
          ? undefined
          : JSON.stringify(body);
      const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...(token !== null && { authorization: `Bearer ${token}` }),
          ...(payload !== undefined && { 'content-type': type }),
        },
        ...(payload !== undefined && { body: payload }),
      });
      const text = await answer.text();
      let json: unknown = {};
      try {
        json = JSON.parse(text);
      } catch {
        // Some answers are no JSON on purpose.
      }
      return { status: answer.status, headers: answer.headers, body: json as Record<string, unknown>, text };
    },
  };
}
