/**
 * Webhooks as Meta posts them: signed over the raw body, several events to a post, tried a few times at once and then
 * given up (webhooks, September 2026).
 */
import { createHmac } from 'node:crypto';
import type { Clock } from '../ports.js';
import type { PlatformEvent } from './platform.js';
import type { SandboxPage } from './seed.js';

export interface WebhookCounts {
  /** Events that the callback answered with 200. */
  posted: number;
  /** Events given up after the last try. */
  failed: number;
  /** Events that found the queue full. */
  dropped: number;
}

export interface WebhookSender {
  add(event: PlatformEvent): void;
  counts(): WebhookCounts;
  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void>;
  /** Gives up what is queued. */
  close(): Promise<void>;
}

/** How many events one post may hold is not stated for these; real posts hold a few. */
const EVENTS_IN_A_POST = 20;
/** A callback that does not answer must not fill the memory. */
const QUEUE_LIMIT = 10_000;
const TRIES = 3;
/** A callback has five seconds to answer. */
const ANSWER_MS = 5000;

export function createWebhookSender(
  target: { url: string; secret: string },
  page: SandboxPage,
  clock: Clock,
): WebhookSender {
  const counts: WebhookCounts = { posted: 0, failed: 0, dropped: 0 };
  const closing = new AbortController();
  let queue: PlatformEvent[] = [];
  let pumping: Promise<void> | null = null;

  const post = async (events: readonly PlatformEvent[]): Promise<boolean> => {
    const { request } = await import('undici');
    const object = page.channel === 'instagram' ? 'instagram' : 'page';
    const body = escaped(JSON.stringify({ object, entry: [{ id: page.id, time: clock.now(), messaging: events }] }));
    const signature = createHmac('sha256', target.secret).update(body).digest('hex');
    try {
      const answer = await request(target.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-hub-signature-256': `sha256=${signature}` },
        body,
        headersTimeout: ANSWER_MS,
        bodyTimeout: ANSWER_MS,
        signal: closing.signal,
        // A connection that stays open would keep the callback's server from closing.
        reset: true,
      });
      await answer.body.dump();
      return answer.statusCode === 200;
    } catch {
      // Refused, reset or too late: all the same to the platform, which tries again.
      return false;
    }
  };

  const pump = async (): Promise<void> => {
    while (queue.length > 0) {
      const events = queue.splice(0, EVENTS_IN_A_POST);
      let done = false;
      for (let tries = 0; tries < TRIES && !done && !closing.signal.aborted; tries += 1) done = await post(events);
      counts[done ? 'posted' : 'failed'] += events.length;
    }
    pumping = null;
  };

  return {
    add(event) {
      if (closing.signal.aborted) return;
      if (queue.length >= QUEUE_LIMIT) {
        counts.dropped += 1;
        return;
      }
      queue.push(event);
      pumping ??= Promise.resolve().then(pump);
    },
    counts: () => ({ ...counts }),
    idle: () => pumping ?? Promise.resolve(),
    async close() {
      queue = [];
      closing.abort();
      await pumping;
    },
  };
}

/** Meta signs the text with everything beyond ASCII escaped, so a receiver that re-serialises the body finds it wrong. */
function escaped(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
