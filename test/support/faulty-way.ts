/**
 * A way to a service on loopback that loses things: a real HTTP server that hands requests on to another one and now and then
 * meets them with a trouble, before or after the service has done its part. It keeps who was in a request whose answer was
 * lost, and who was sent again after that.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Random } from '../../src/ports.js';
import { giveReply, type CannedReply } from './provider-contract.js';

/** What meets a request instead of nothing. */
export interface Trouble {
  label: string;
  /** Whether the service hears of the request. */
  reaches: boolean;
  /** What is different about the answer. */
  reply?: CannedReply;
  /** How much later the answer comes, in real milliseconds. */
  lateMs?: number;
  /** Whether the sender cannot know what became of the request; `of several`: if it names more than one person. */
  hides?: true | 'of several';
  /** How many requests in a row it meets; 1 unless told. */
  spell?: number;
}

interface Weather {
  /** Each comes once, in random order, before any of them comes again. */
  troubles: readonly Trouble[];
  /** One request in so many meets a trouble, on average; the first never does. */
  oneIn: number;
  random: Random;
}

/** What belongs to one hop alone. */
const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date']);

export class FaultyWay {
  /** How often each trouble was met. */
  readonly met = new Map<string, number>();
  /** The most people that one request named. */
  mostPeople = 0;
  /** Who was in a request of which its sender cannot know what became. */
  readonly hidden = new Set<string>();
  /** Who of these was in another request later. */
  readonly again: string[] = [];
  readonly #server: Server;
  readonly #service: Pool;
  readonly #weather: Weather;
  readonly #people: RegExp;
  #deck: Trouble[] = [];
  #clearFor: number;
  #spell: { trouble: Trouble; left: number } | null = null;

  private constructor(server: Server, url: string, weather: Weather, people: RegExp) {
    this.#server = server;
    this.#service = new Pool(url);
    this.#weather = weather;
    this.#people = people;
    this.#clearFor = this.#gap();
  }

  /** @param people finds everybody who is named in a request's address or body */
  static async start(url: string, weather: Weather, people: RegExp): Promise<FaultyWay> {
    const server = createServer({ keepAliveTimeout: 60_000, maxHeaderSize: 256 * 1024 });
    const self = new FaultyWay(server, url, weather, people);
    server.on('request', (request, response) => void self.#carry(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#service.close();
  }

  async #carry(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    const trouble = this.#next();
    const people = new Set(`${request.url ?? ''} ${body}`.match(this.#people));
    this.mostPeople = Math.max(this.mostPeople, people.size);
    const hides = trouble?.hides === true || (trouble?.hides === 'of several' && people.size > 1);
    for (const person of people) {
      if (this.hidden.has(person)) this.again.push(person);
      if (hides) this.hidden.add(person);
    }
    const answer = trouble === null || trouble.reaches ? await this.#handOn(request, body) : {};
    if (trouble?.lateMs !== undefined) await pause(trouble.lateMs);
    giveReply({ ...answer, ...trouble?.reply }, response);
  }

  async #handOn(request: IncomingMessage, body: string): Promise<CannedReply> {
    const answer = await this.#service.request({
      method: request.method as 'GET' | 'POST',
      path: request.url ?? '/',
      headers: withoutHop(request.headers),
      body,
    });
    return { status: answer.statusCode, headers: withoutHop(answer.headers), body: await answer.body.text() };
  }

  #next(): Trouble | null {
    if (this.#spell === null) {
      if (this.#clearFor > 0) {
        this.#clearFor -= 1;
        return null;
      }
      if (this.#deck.length === 0) this.#deck = shuffled(this.#weather.troubles, this.#weather.random);
      const trouble = this.#deck.pop()!;
      this.#spell = { trouble, left: trouble.spell ?? 1 };
    }
    const { trouble } = this.#spell;
    this.#spell.left -= 1;
    if (this.#spell.left === 0) {
      this.#spell = null;
      this.#clearFor = this.#gap();
    }
    this.met.set(trouble.label, (this.met.get(trouble.label) ?? 0) + 1);
    return trouble;
  }

  #gap(): number {
    const { oneIn, random } = this.#weather;
    return 1 + Math.floor(random.next() * (2 * oneIn - 3));
  }
}

function withoutHop(headers: IncomingMessage['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (HOP.has(name) ? [] : [[name, String(value)]])),
  );
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  return items.map(() => left.splice(Math.floor(random.next() * left.length), 1)[0]!);
}
