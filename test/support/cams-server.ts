/**
 * The API of CAMS on loopback: it checks every signature by the published recipe (signature version 3, ACS3-HMAC-SHA256),
 * without any code of the SDK; takes messages by the documented rules; keeps what each person received; and gives faults on
 * request. Its bodies are those of the documentation and of Alibaba Cloud's common errors.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export const CAMS_KEY = { accessKeyId: 'LTAI5tTestKeyId0000001', accessKeySecret: 'r8TestSecretOfTheAccessKey01' };
export const CAMS_SPACE = 'cams-8c8test';
const VERSION = '2020-06-06';
const MOST_RECIPIENTS = 1000;
/** By how much `x-acs-date` may differ from the time of the server. */
const CLOCK_SKEW_MS = 15 * 60_000;

/** What one person received. */
export interface CamsDelivery {
  taskId: string;
  channel: string;
  from: string;
  /** Of a template. */
  template?: { code: string; language: string; parameters: Record<string, string>; payload: string[] };
  /** Of every other message. */
  plain?: { type: string; content: unknown };
}

/** A call whose signature was right. */
export interface CamsRequest {
  action: string;
  /** `x-acs-date`, in milliseconds since 1970. */
  at: number;
  /** From the address and from the form alike. */
  parameters: Record<string, string>;
  /** The address as it came. */
  url: string;
}

/**
 * What the next call meets. `throttled`, `refused`: a code of CAMS, before anything is done; `dropped`: it is done, and the
 * connection closed without an answer; `hanging`: the same without closing; `failing`: it is done, and answered with a 503.
 */
export type CamsFault =
  | { kind: 'throttled' }
  | { kind: 'refused'; status: number; code: string; message?: string }
  | { kind: 'dropped' | 'hanging' | 'failing' }
  | { kind: 'body'; status: number; body: string };

/** A template as GetChatappTemplateDetail shows it; the list shows it without `Components` and `Example`. */
export interface CamsTemplate {
  TemplateName: string;
  TemplateCode: string;
  Language: string;
  AuditStatus: string;
  TemplateType?: string;
  Category?: string;
  Reason?: string;
  Components?: readonly object[];
  Example?: Record<string, string>;
}

export class CamsServer {
  readonly requests: CamsRequest[] = [];
  readonly received = new Map<string, CamsDelivery[]>();
  readonly faults: CamsFault[] = [];
  /** People to whom no message is taken: the code that a call with one of them gets. */
  readonly refusals = new Map<string, string>();
  templates: readonly CamsTemplate[] = [];
  readonly #server: Server;
  readonly #now: () => number;
  readonly #nonces = new Set<string>();
  #messages = 0;

  private constructor(server: Server, now: () => number) {
    this.#server = server;
    this.#now = now;
  }

  /** @param now milliseconds since 1970, by which signatures are checked */
  static async start(now: () => number = () => Date.now()): Promise<CamsServer> {
    const server = createServer({ maxHeaderSize: 256 * 1024 });
    const self = new CamsServer(server, now);
    server.on('request', (request, response) => void self.#answer(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Forgets everything that happened. */
  reset(): void {
    this.requests.length = 0;
    this.faults.length = 0;
    this.refusals.clear();
    this.received.clear();
    this.templates = [];
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bytesOf(request);
    const refusal = this.#checkSignature(request, body);
    if (refusal !== null) {
      reply(response, 400, refusal);
      return;
    }
    const url = request.url ?? '';
    const parameters = {
      ...Object.fromEntries(new URL(url, 'http://cams').searchParams),
      ...Object.fromEntries(new URLSearchParams(body.toString('utf8'))),
    };
    const { 'x-acs-action': action, 'x-acs-date': date } = request.headers as Record<string, string>;
    this.requests.push({ action: action!, at: Date.parse(date!), parameters, url });

    const fault = this.faults.shift();
    switch (fault?.kind) {
      case 'throttled':
        reply(response, 400, failed('Throttling.User', 'Request was denied due to user flow control.'));
        return;
      case 'refused':
        reply(response, fault.status, failed(fault.code, fault.message ?? 'Refused.'));
        return;
      case 'body':
        response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.body);
        return;
      case 'dropped':
      case 'hanging':
      case 'failing':
      case undefined: {
        const done = this.#act(action!, parameters);
        if (fault === undefined) reply(response, 200, done);
        else if (fault.kind === 'failing') reply(response, 503, failed('ServiceUnavailable', 'Try again later.'));
        else if (fault.kind === 'dropped') response.socket?.destroy();
      }
    }
  }

  #act(action: string, parameters: Record<string, string>): object {
    switch (action) {
      case 'SendChatappMessage':
        return this.#takeOne(parameters);
      case 'SendChatappMassMessage':
        return this.#takeMany(parameters);
      case 'ListChatappTemplate':
        return this.#listTemplates(parameters);
      case 'GetChatappTemplateDetail':
        return this.#showTemplate(parameters);
      default:
        return failed('InvalidAction.NotFound', 'Specified api is not found.');
    }
  }

  #takeOne(given: Record<string, string>): object {
    const fault = senderFault(given) ?? this.#recipientFault(given['To']);
    if (fault !== null) return fault;
    if (given['Type'] === 'template') {
      const template = keptTemplate(given, record(given['TemplateParams']), list(given['Payload']));
      if ('Code' in template) return template;
      this.#deliver(given['To']!, { ...head(given), template });
    } else {
      if (given['Type'] !== 'message') return failed('InvalidParameter.TypeError', 'Type');
      if (!given['MessageType']) return failed('InvalidParameter.MessageTypeNotEmpty', 'MessageType');
      const content = record(given['Content']);
      const key = given['MessageType'] === 'text' ? 'text' : 'link';
      if (typeof content[key] !== 'string') return failed('InvalidParameter.ContentError', 'Content');
      this.#deliver(given['To']!, { ...head(given), plain: { type: given['MessageType'], content } });
    }
    return succeeded({ MessageId: this.#newId() });
  }

  #takeMany(given: Record<string, string>): object {
    const recipients = list<{ To?: string; TemplateParams?: Record<string, string>; Payload?: string[] }>(
      given['SenderList'],
    );
    if (recipients.length === 0 || recipients.length > MOST_RECIPIENTS) {
      return failed('InvalidParameter.SenderListError', `${recipients.length} recipients`);
    }
    const fault =
      senderFault(given) ?? recipients.map(({ To }) => this.#recipientFault(To)).find((each) => each !== null);
    if (fault) return fault;
    const deliveries = recipients.map(({ To, TemplateParams = {}, Payload = [] }) => ({
      to: To!,
      template: keptTemplate(given, TemplateParams, Payload),
    }));
    const wrong = deliveries.find(({ template }) => 'Code' in template);
    if (wrong) return wrong.template;
    for (const { to, template } of deliveries)
      if (!('Code' in template)) this.#deliver(to, { ...head(given), template });
    return succeeded({ GroupMessageId: this.#newId() });
  }

  #recipientFault(to = ''): object | null {
    if (!/^\d+$/.test(to)) return failed('InvalidParameter.ToOnlyNumeric', 'To');
    const code = this.refusals.get(to);
    return code === undefined ? null : failed(code, 'To');
  }

  #deliver(to: string, delivery: CamsDelivery): void {
    this.received.set(to, [...(this.received.get(to) ?? []), delivery]);
  }

  #newId(): string {
    this.#messages += 1;
    return `890000010002${String(this.#messages).padStart(4, '0')}`;
  }

  #listTemplates({ CustSpaceId, Page, Name, TemplateType }: Record<string, string>): object {
    if (CustSpaceId !== CAMS_SPACE) return failed('InvalidParameter.CustSpaceIdError', 'The space is unknown.');
    const { Index = 1, Size = 10 } = record<number>(Page);
    const found = this.templates.filter(
      (each) =>
        (Name === undefined || each.TemplateName.includes(Name)) &&
        (TemplateType === undefined || each.TemplateType === TemplateType),
    );
    const shown = found.slice((Index - 1) * Size, Index * Size);
    return succeeded({
      Total: found.length,
      ListTemplate: shown.map(listed),
    });
  }

  #showTemplate({ TemplateCode, Language }: Record<string, string>): object {
    const found = this.templates.find((each) => each.TemplateCode === TemplateCode && each.Language === Language);
    if (!found) return failed('DetailError.TemplateNotExist', 'The template does not exist.');
    const { TemplateName: Name, ...detail } = found;
    return succeeded({ Data: { Name, ...detail } });
  }

  // ----------------------------------------------------------------------------------------------- the signature

  /** @returns what the real service says of a request that it does not trust; null for one that is right */
  #checkSignature(request: IncomingMessage, body: Buffer): object | null {
    const { headers, method = '', url = '' } = request;
    const given = /^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([\w;-]+),Signature=([\da-f]{64})$/.exec(
      headers.authorization ?? '',
    );
    if (!given) return failed('IncompleteSignature', 'The request signature does not conform to the standard.');
    const [, keyId, names = '', signature = ''] = given;
    const signedNames = names.split(';');
    const mustBeSigned = Object.keys(headers).filter(
      (name) => name === 'host' || name === 'content-type' || (name.startsWith('x-acs-') && headers[name] !== ''),
    );
    const required = [
      'host',
      'x-acs-action',
      'x-acs-content-sha256',
      'x-acs-date',
      'x-acs-signature-nonce',
      'x-acs-version',
    ];
    if (![...mustBeSigned, ...required].every((name) => signedNames.includes(name))) {
      return failed('IncompleteSignature', `Not all headers are signed: ${names}`);
    }
    if (headers['x-acs-version'] !== VERSION)
      return failed('InvalidVersion', 'Specified parameter Version is not valid.');
    if (keyId !== CAMS_KEY.accessKeyId) {
      return failed('InvalidAccessKeyId.NotFound', 'Specified access key is not found.');
    }
    const date = String(headers['x-acs-date']);
    const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(date) ? Date.parse(date) : NaN;
    if (!(Math.abs(at - this.#now()) <= CLOCK_SKEW_MS)) {
      return failed('InvalidTimeStamp.Expired', 'Specified time stamp or date value is expired.');
    }
    const nonce = String(headers['x-acs-signature-nonce']);
    if (this.#nonces.has(nonce)) return failed('SignatureNonceUsed', 'Specified signature nonce was used already.');
    this.#nonces.add(nonce);

    const digest = createHash('sha256').update(body).digest('hex');
    const canonical = canonicalRequest(method, url, headers, [...signedNames].sort(), digest);
    const text = `ACS3-HMAC-SHA256\n${createHash('sha256').update(canonical).digest('hex')}`;
    const expected = createHmac('sha256', CAMS_KEY.accessKeySecret).update(text).digest();
    const isRight =
      headers['x-acs-content-sha256'] === digest && timingSafeEqual(expected, Buffer.from(signature, 'hex'));
    return isRight
      ? null
      : failed(
          'SignatureDoesNotMatch',
          `Specified signature does not match our calculation. server StringToSign is [${text}] server CanonicalRequest is [${canonical}]`,
        );
  }
}

/** Method, path, sorted query, signed headers, their names, and the hash of the body, joined by line feeds. */
function canonicalRequest(
  method: string,
  url: string,
  headers: IncomingHttpHeaders,
  names: readonly string[],
  digest: string,
): string {
  const { pathname, searchParams } = new URL(url, 'http://cams');
  const query = [...searchParams]
    .map(([name, value]) => `${percentEncoded(name)}=${percentEncoded(value)}`)
    .sort()
    .join('&');
  const lines = names.map((name) => `${name}:${String(headers[name]).trim()}\n`).join('');
  return [method, pathname, query, lines, names.join(';'), digest].join('\n');
}

/** RFC 3986: every byte but letters, digits and -_.~ */
function percentEncoded(text: string): string {
  return [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[\w.~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

// ------------------------------------------------------------------------------------------------- bodies

const REQUEST_ID = '90E63D28-E31D-1EB2-8939-A9486641****'.replaceAll('*', '0');

function succeeded(parts: object): object {
  return { Code: 'OK', Message: 'OK', RequestId: REQUEST_ID, ...parts };
}

function failed(code: string, message: string): { Code: string } {
  const body = { RequestId: REQUEST_ID, HostId: 'cams.ap-southeast-1.aliyuncs.com', Code: code, Message: message };
  return body;
}

function reply(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': 'application/json;charset=utf-8', 'content-length': Buffer.byteLength(text) })
    .end(text);
}

function listed({
  TemplateName,
  TemplateCode,
  Language,
  AuditStatus,
  TemplateType,
  Category,
  Reason,
}: CamsTemplate): object {
  return { TemplateName, TemplateCode, Language, AuditStatus, TemplateType, Category, Reason };
}

function head(given: Record<string, string>): Pick<CamsDelivery, 'taskId' | 'channel' | 'from'> {
  return { taskId: given['TaskId'] ?? '', channel: given['ChannelType'] ?? '', from: given['From'] ?? '' };
}

function senderFault(given: Record<string, string>): object | null {
  if (!['messenger', 'instagram'].includes(given['ChannelType'] ?? '')) {
    return failed('InvalidParameter.ChannelTypeNotSupport', 'ChannelType');
  }
  if (!/^\d+$/.test(given['From'] ?? '')) return failed('InvalidParameter.FromOnlyNumeric', 'From');
  return given['CustSpaceId'] === CAMS_SPACE ? null : failed('Authentication.NoAuth', 'CustSpaceId');
}

function keptTemplate(
  given: Record<string, string>,
  parameters: Record<string, unknown>,
  payload: string[],
): NonNullable<CamsDelivery['template']> | { Code: string } {
  const { TemplateCode: code, Language: language } = given;
  if (!code) return failed('InvalidParameter.TemplateCodeNotEmpty', 'TemplateCode');
  if (!language) return failed('InvalidParameter.LanguageNotEmpty', 'Language');
  return { code, language, parameters: parameters as Record<string, string>, payload };
}

function record<T = string>(json: string | undefined): Record<string, T> {
  return (json === undefined ? {} : JSON.parse(json)) as Record<string, T>;
}

function list<T = string>(json: string | undefined): T[] {
  return (json === undefined ? [] : JSON.parse(json)) as T[];
}
