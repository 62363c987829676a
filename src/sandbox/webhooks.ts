/**
 * Webhooks as Meta posts them: signed over the raw body, several events to a post, tried a few times at once and then
 * given up (webhooks, September 2026).
 */
import { createHmac } from 'node:crypto';
import type { Clock, Random } from '../ports.js';
import type { PlatformEvent } from './events.js';
import type { SandboxPage, WebhookTarget } from './seed.js';

export interface WebhookCounts {
  /** Events that the callback answered with 200. */
  posted: number;
  /** Events given up after the last try. */
  failed: number;
  /** Events that found the queue full. */
  dropped: number;
}

/** A callback that does not answer must not fill the memory. */
const QUEUE_LIMIT = 10_000;
const TRIES = 3;
/** A callback has five seconds to answer. */
const ANSWER_MS = 5000;
/** How long events wait for others to change places with. */
const REORDER_MS = 100;

export class WebhookSender {
  readonly #page: SandboxPage;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #counts: WebhookCounts = { posted: 0, failed: 0, dropped: 0 };
  readonly #closing = new AbortController();
  #target: WebhookTarget | null = null;
  #queue: PlatformEvent[] = [];
  #pumping: Promise<void> | null = null;

  constructor(page: SandboxPage, clock: Clock, random: Random) {
    this.#page = page;
    this.#clock = clock;
    this.#random = random;
  }

  /** @param target null: nobody is told of anything */
  aim(target: WebhookTarget | null): void {
    this.#target = target;
    if (target === null) this.#queue = [];
  }

  add(event: PlatformEvent): void {
    if (this.#closing.signal.aborted || this.#target === null) return;
    if (this.#queue.length >= QUEUE_LIMIT) {
      this.#counts.dropped += 1;
      return;
    }
    this.#queue.push(event);
    if (this.#target.duplicate) this.#queue.push(event);
    this.#pumping ??= Promise.resolve().then(() => this.#pump());
  }

  counts(): WebhookCounts {
    return { ...this.#counts };
  }

  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void> {
    return this.#pumping ?? Promise.resolve();
  }

  /** Gives up what is queued. */
  async close(): Promise<void> {
    this.#queue = [];
    this.#closing.abort();
    await this.#pumping;
  }

  async #pump(): Promise<void> {
    const { signal } = this.#closing;
    while (this.#queue.length > 0 && this.#target !== null) {
      const target = this.#target;
      if (target.reorder) {
        await this.#clock.sleep(REORDER_MS, signal);
        this.#shuffle();
      }
      const events = this.#queue.splice(0, target.batch);
      const body = this.#body(events);
      let done = false;
      for (let tries = 0; tries < TRIES && !done && !signal.aborted; tries += 1) done = await this.#post(target, body);
      this.#counts[done ? 'posted' : 'failed'] += events.length;
    }
    this.#pumping = null;
  }

  #shuffle(): void {
    const queue = this.#queue;
    for (let index = queue.length - 1; index > 0; index -= 1) {
      const other = Math.floor(this.#random.next() * (index + 1));
      const [here, there] = [queue[index], queue[other]];
      if (here && there) [queue[index], queue[other]] = [there, here];
    }
  }

  /** One entry with the lists that its events belong to. */
  #body(events: readonly PlatformEvent[]): string {
    const lists: Partial<Record<PlatformEvent['list'], object[]>> = {};
    for (const { list, item } of events) (lists[list] ??= []).push(item);
    const object = this.#page.channel === 'instagram' ? 'instagram' : 'page';
    return escaped(JSON.stringify({ object, entry: [{ id: this.#page.id, time: this.#clock.now(), ...lists }] }));
  }

  async #post({ url, secret }: WebhookTarget, body: string): Promise<boolean> {
    const { request } = await import('undici');
    const signature = createHmac('sha256', secret).update(body).digest('hex');
    try {
      const answer = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-hub-signature-256': `sha256=${signature}` },
        body,
        headersTimeout: ANSWER_MS,
        bodyTimeout: ANSWER_MS,
        signal: this.#closing.signal,
        // A connection that stays open would keep the callback's server from closing.
        reset: true,
      });
      await answer.body.dump();
      return answer.statusCode === 200;
    } catch {
      // Refused, reset or too late: all the same to the platform, which tries again.
      return false;
    }
  }
}

/** Meta signs the text with everything beyond ASCII escaped, so a receiver that re-serialises the body finds it wrong. */
function escaped(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
