/**
 * The transport that every provider shares: one request over kept-alive connections that comes back as a reply or as a
 * fault. A fault says whether the request may have reached the platform. It never sends anything twice: the Send API has no
 * idempotency key, so only a caller who knows that nothing was sent may try again.
 */
import type { Dispatcher } from 'undici';
import { Failure } from '../core/failure.js';
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

/**
 * The proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name: web addresses, with a name and password where one is asked for,
 * and the hosts that are reached without. The one for http serves https too, where that has none of its own.
 */
export interface ProxySettings {
  http?: string;
  https?: string;
  no?: string;
}

interface TransportOptions {
  /** At most so many at a time; further requests wait for a free one. */
  connections: number;
  proxy?: ProxySettings | undefined;
  /** For each of: the connection, the proxy's consent, the TLS handshake. */
  connectTimeoutMs?: number;
}

/** A reply of the Send API has some hundred bytes, twenty messages of a conversation some ten thousand. */
const REPLY_LIMIT = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * @param origin such as `https://graph.facebook.com`
 * @throws Failure CONFIG_INVALID for a proxy that is no web address
 */
export function createTransport(origin: string, options: TransportOptions, clock: Clock): Transport {
  const { connections, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  const proxy = { http: proxyAddress(options.proxy?.http), https: proxyAddress(options.proxy?.https) };
  // undici takes longer to load than the rest of a provider: commands that send nothing do not pay for it.
  let opening: Promise<Dispatcher> | null = null;
  let pool: Dispatcher | null = null;
  const open = async (): Promise<Dispatcher> => {
    const undici = await import('undici');
    // One request at a time on a connection: a broken one then makes one outcome unknown, not several.
    const limits = { connections, pipelining: 1, connect: { timeout: connectTimeoutMs } };
    pool =
      proxy.http === '' && proxy.https === ''
        ? new undici.Pool(origin, limits)
        : new undici.EnvHttpProxyAgent({
            ...limits,
            // What is not given here it would take from the environment.
            httpProxy: proxy.http,
            httpsProxy: proxy.https,
            noProxy: options.proxy?.no ?? '',
            requestTls: limits.connect,
            proxyTls: limits.connect,
            clientFactory: (address, settings) =>
              refusingClearly(new undici.Pool(address, { ...settings, headersTimeout: connectTimeoutMs })),
          });
    return pool;
  };
  const dispatch = (
    through: Dispatcher,
    request: { method: 'GET' | 'POST'; path: string; body?: string },
    { headers, timeoutMs, onWire }: RequestOptions,
  ): Promise<Reply | Fault> =>
    new Promise((resolve) => {
      through.dispatch(
        { origin, ...request, headers, headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
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

/** @returns empty without a proxy. @throws Failure CONFIG_INVALID, which says nothing of the address: it may hold a password. */
function proxyAddress(setting: string | undefined): string {
  if (setting === undefined || setting === '') return '';
  // The variables often hold `host:port` alone, which stands for http.
  const address = /^[a-z][a-z\d+.-]*:\/\//i.test(setting) ? setting : `http://${setting}`;
  const fault = new Failure(
    'CONFIG_INVALID',
    'The proxy is not the web address of one.',
    'HTTPS_PROXY and HTTP_PROXY are written like http://proxy.example:8080.',
  );
  if (!URL.canParse(address)) throw fault;
  const { protocol, username, password } = new URL(address);
  if (protocol !== 'http:' && protocol !== 'https:') throw fault;
  try {
    decodeURIComponent(username + password);
  } catch {
    throw fault;
  }
  return address;
}

/** Why a proxy opened no way to the platform; its message is made of our own words. */
class ProxyFault extends Error {}

/**
 * Gives the errors of the connections to a proxy a shape of their own. undici would take a proxy that hangs up for a
 * kept-alive connection that has ended, and try again for ever.
 */
function refusingClearly(proxy: Dispatcher): Dispatcher {
  const open: (request: Dispatcher.ConnectOptions) => Promise<Dispatcher.ConnectData> = proxy.connect.bind(proxy);
  const connect = async (request: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> => {
    const answer = await open(request).catch((error: unknown) => {
      throw new ProxyFault(noConnection(error, 'the proxy'));
    });
    const { statusCode, socket } = answer;
    if (statusCode === 200) return answer;
    socket.on('error', () => undefined).destroy();
    const why = statusCode === 407 ? 'it asks for a name and password' : 'it refused';
    throw new ProxyFault(`The proxy opened no way to the platform: ${why} (HTTP status ${statusCode}).`);
  };
  return Object.assign(proxy, { connect });
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
    this.#deadline = this.#clock.monotonic() + this.#timeoutMs;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > REPLY_LIMIT) {
      this.#broken = { fault: 'REPLY_UNREADABLE', detail: `The reply is longer than ${REPLY_LIMIT} bytes.` };
    } else if (this.#clock.monotonic() > this.#deadline) {
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
  // Before the request starts there is only name lookup, connecting, a proxy's consent and the TLS handshake: none of them
  // carries a message.
  if (!started) return { fault: 'CONNECTION_REFUSED', detail: noConnection(error, 'the platform') };
  const code = codeOf(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return { fault: 'TIMEOUT', detail: `No answer came within ${timeoutMs} ms.` };
  }
  if (error.name === 'HTTPParserError') return { fault: 'REPLY_UNREADABLE', detail: 'The reply is not HTTP.' };
  return { fault: 'CONNECTION_LOST', detail: `The connection broke before the answer was complete (${code}).` };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** In plain words, made of a system code alone. @param where such as `the platform` */
function noConnection(error: unknown, where: string): string {
  if (error instanceof ProxyFault) return error.message;
  const code = codeOf(error);
  if (/CERT|LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH/.test(code)) {
    return `The certificate of ${where} is not trusted (${code}). Where something on the way opens TLS, NODE_EXTRA_CA_CERTS names the file with its authority.`;
  }
  if (/^(EPROTO|ERR_SSL)/.test(code)) return `The TLS handshake with ${where} failed (${code}).`;
  if (/^(ENOTFOUND|EAI_)/.test(code)) return `The name of ${where} could not be looked up (${code}).`;
  if (/TIMEOUT|ETIMEDOUT/.test(code)) return `No connection to ${where} came about in time (${code}).`;
  return `No connection to ${where} could be made (${code}).`;
}
