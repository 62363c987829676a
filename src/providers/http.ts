/**
 * The transport that every provider shares: one request over kept-alive connections that comes back as a reply or as a
 * fault. A fault says whether the request may have reached the platform. It never sends anything twice: the Send API has no
 * idempotency key, so only a caller who knows that nothing was sent may try again.
 */
import type { Dispatcher, Pool } from 'undici';
import type { Clock } from '../ports.js';

export interface Reply {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>;
  /** At most REPLY_LIMIT bytes, read as UTF-8. */
  body: string;
}

/** Why there is no reply. `CONNECTION_REFUSED`: surely nothing was sent; after every other the platform may have acted. */
export interface Fault {
  fault: 'CONNECTION_REFUSED' | 'CONNECTION_LOST' | 'TIMEOUT' | 'REPLY_UNREADABLE';
  /** Made of our own words and a system code, so it holds nothing private. */
  detail: string;
}

interface RequestOptions {
  headers: Record<string, string>;
  /** Longest silence of the server, and longest time for the whole reply once it has begun. */
  timeoutMs: number;
  /** Called when the first byte is about to be written. */
  onWire?: (() => void) | undefined;
}

export interface Transport {
  /** Never rejects. */
  post(path: string, options: RequestOptions & { body: string }): Promise<Reply | Fault>;
  /** Never rejects. After a fault nothing has changed at the other end, whatever it is. */
  get(path: string, options: RequestOptions): Promise<Reply | Fault>;
  /** Waits for the replies that are still under way, each of which is bounded by its time-out. */
  close(): Promise<void>;
}

/** A reply of the Send API has some hundred bytes, twenty messages of a conversation some ten thousand. */
const REPLY_LIMIT = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * @param origin such as `https://graph.facebook.com`
 * @param connections at most so many at a time; further requests wait for a free one
 */
export function createTransport(origin: string, connections: number, clock: Clock): Transport {
  // undici takes longer to load than the rest of a provider: commands that send nothing do not pay for it.
  let opening: Promise<Pool> | null = null;
  let pool: Pool | null = null;
  const open = async (): Promise<Pool> => {
    const undici = await import('undici');
    // One request at a time on a connection: a broken one then makes one outcome unknown, not several.
    pool = new undici.Pool(origin, { connections, pipelining: 1, connect: { timeout: CONNECT_TIMEOUT_MS } });
    return pool;
  };
  const dispatch = (
    through: Pool,
    request: { method: 'GET' | 'POST'; path: string; body?: string },
    { headers, timeoutMs, onWire }: RequestOptions,
  ): Promise<Reply | Fault> =>
    new Promise((resolve) => {
      through.dispatch(
        { ...request, headers, headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
        new Exchange(resolve, timeoutMs, clock, onWire),
      );
    });

  return {
    async post(path, options) {
      const request = { method: 'POST', path, body: options.body } as const;
      return dispatch(pool ?? (await (opening ??= open())), request, options);
    },
    async get(path, options) {
      return dispatch(pool ?? (await (opening ??= open())), { method: 'GET', path }, options);
    },
    async close() {
      if (opening) await (await opening).close();
    },
  };
}

/** One request and its reply, as undici's dispatcher reports them; its `request` costs a stream for each reply more. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #resolve: (result: Reply | Fault) => void;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #onWire: (() => void) | undefined;
  #started = false;
  #status = 0;
  #headers: Reply['headers'] = {};
  #chunks: Buffer[] = [];
  #size = 0;
  #deadline = Infinity;
  #broken: Fault | null = null;

  constructor(
    resolve: (result: Reply | Fault) => void,
    timeoutMs: number,
    clock: Clock,
    onWire: (() => void) | undefined,
  ) {
    this.#onWire = onWire;
    this.#resolve = resolve;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /** Called on a connected socket (TLS included) right before the first byte is written: the line between no and maybe. */
  onRequestStart(): void {
    this.#started = true;
    this.#onWire?.();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Reply['headers']): void {
    this.#status = status;
    this.#headers = headers;
    this.#deadline = this.#clock.now() + this.#timeoutMs;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > REPLY_LIMIT) {
      this.#broken = { fault: 'REPLY_UNREADABLE', detail: `The reply is longer than ${REPLY_LIMIT} bytes.` };
    } else if (this.#clock.now() > this.#deadline) {
      // undici bounds the silence between two pieces only; a server that drips would hold the run up for ever.
      this.#broken = { fault: 'TIMEOUT', detail: `The reply was not complete after ${this.#timeoutMs} ms.` };
    }
    if (this.#broken) {
      this.#chunks = [];
      controller.abort(new Error(this.#broken.detail));
    } else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [first] = this.#chunks;
    const bytes = this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, headers: this.#headers, body: bytes.toString('utf8') });
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#resolve(this.#broken ?? faultOf(error, this.#started, this.#timeoutMs));
  }
}

function faultOf(error: Error, started: boolean, timeoutMs: number): Fault {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  // Before the request starts there is only name lookup, connecting and the TLS handshake: none of them carries a message.
  if (!started) return { fault: 'CONNECTION_REFUSED', detail: `No connection could be made (${code}).` };
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return { fault: 'TIMEOUT', detail: `No answer came within ${timeoutMs} ms.` };
  }
  if (error.name === 'HTTPParserError') return { fault: 'REPLY_UNREADABLE', detail: 'The reply is not HTTP.' };
  return { fault: 'CONNECTION_LOST', detail: `The connection broke before the answer was complete (${code}).` };
}

/** What may not be shown of one message: whose it is and what it says. */
export interface PrivateParts {
  userId: string;
  texts: readonly string[];
}

const SHOWN_LENGTH = 300;

/**
 * Makes a platform's own words fit to be shown and logged: no secret, no user id beyond its last four digits, nothing of
 * the message, no control characters (they could rewrite a terminal), and not too long.
 * @param secrets tokens and the like, in every form in which they go on the wire
 */
export function createRedactor(secrets: readonly string[]): (words: string, parts: PrivateParts) => string {
  const hidden = secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]).filter((secret) => secret !== '');
  return (words, { userId, texts }) => {
    let shown = words;
    for (const secret of hidden) shown = shown.replaceAll(secret, '[secret]');
    // Longest first: a text may hold another one.
    for (const text of [...texts].sort((one, other) => other.length - one.length)) {
      // A text of one or two characters says nothing about anybody, and taking it out would leave the words unreadable.
      if (text.length > 2) shown = shown.replaceAll(text, '[text]');
    }
    if (userId !== '') shown = shown.replaceAll(userId, maskId(userId));
    return (
      shown
        // Meta's tokens begin with EAA (Facebook) or IGA (Instagram login); one that is not ours is no less a secret.
        .replace(/\b(?:EAA|IGA)[A-Za-z0-9_-]{16,}/g, '[secret]')
        .replace(/\d{10,}/g, maskId)
        .replace(/[\p{Cc}\p{Cf}\p{Cs}]+/gu, ' ')
        .slice(0, SHOWN_LENGTH)
    );
  };
}

function maskId(id: string): string {
  return id.length > 4 ? `…${id.slice(-4)}` : '…';
}
