/**
 * Twilio on loopback, as far as pagecast talks to it: a real HTTP server with one account, its numbers and its balance, and
 * the Messages resource. It keeps what each number has received: the judge of whether anybody got a message twice. Error
 * bodies and their codes are those of Twilio's documentation.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { smsSize } from '../../src/core/sms.js';
import { giveReply, type CannedReply } from './provider-contract.js';

/** What becomes of messages to a number. `fails`: Twilio takes the message and says at once that it failed. */
export type Behaviour = 'opted_out' | 'landline' | 'country_off' | 'no_route' | 'fails';

const REFUSALS: Record<Exclude<Behaviour, 'fails'>, [code: number, message: (to: string) => string]> = {
  opted_out: [21610, () => 'Attempt to send to unsubscribed recipient'],
  landline: [21635, (to) => `'To' number ${to} cannot be a landline`],
  country_off: [
    21408,
    (to) => `Permission to send an SMS has not been enabled for the region indicated by the 'To' number: ${to}`,
  ],
  no_route: [
    21612,
    (to) => `Message cannot be sent with the current combination of 'To' (${to}) and/or 'From' parameters`,
  ],
};

/** An answer instead of Twilio's own; with `accepts` the message has been taken all the same. */
export type ScriptedAnswer = CannedReply & { accepts?: boolean };

export interface ReceivedSms {
  sid: string;
  from: string;
  body: string;
}

export class TwilioServer {
  readonly accountSid = `AC${'0123456789abcdef'.repeat(2)}`;
  readonly authToken = 'f00dfacef00dfacef00dfacef00dface';
  /** What the account owns. */
  numbers = [{ phone_number: '+15005550006', capabilities: { voice: true, sms: true, mms: false, fax: false } }];
  account: { friendly_name: unknown; status: unknown; type: unknown } = {
    friendly_name: 'Acme',
    status: 'active',
    type: 'Full',
  };
  balance: object = { balance: '12.3400', currency: 'USD' };
  /** Whom a trial account may write to. */
  readonly verified = new Set<string>();
  readonly behaviours = new Map<string, Behaviour>();
  /** The next requests get these answers, in their order. */
  readonly script: ScriptedAnswer[] = [];
  /** By number: what Twilio has taken for it. */
  readonly received = new Map<string, ReceivedSms[]>();
  /** Where each message wants to be told of, by the order in which they came; null for those that do not. */
  readonly callbacks: (string | null)[] = [];
  /** `POST /2010-04-01/…` of every request. */
  readonly requests: string[] = [];
  readonly #server: Server;
  #messages = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<TwilioServer> {
    const server = createServer();
    const self = new TwilioServer(server);
    server.on('request', (request, response) => void self.#serve(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The texts that a number has received. */
  textsOf(number: string): string[] {
    return (this.received.get(number) ?? []).map(({ body }) => body);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
    const { pathname, searchParams } = new URL(request.url ?? '', this.url);
    this.requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    const form = new URLSearchParams(text);
    const scripted = this.script.shift();
    if (scripted) {
      if (scripted.accepts === true) this.#take(form, 'queued');
      giveReply(scripted, response);
      return;
    }
    const answer = this.#answer(request, pathname, searchParams, form);
    giveReply(
      { ...answer, headers: { 'twilio-request-id': `RQ${String(this.requests.length).padStart(32, '0')}` } },
      response,
    );
  }

  #answer(request: IncomingMessage, path: string, query: URLSearchParams, form: URLSearchParams): CannedReply {
    const credentials = Buffer.from(`${this.accountSid}:${this.authToken}`).toString('base64');
    if (request.headers.authorization !== `Basic ${credentials}`) return refusal(401, 20003, 'Authenticate');
    const account = `/2010-04-01/Accounts/${this.accountSid}`;
    switch (`${request.method ?? ''} ${path}`) {
      case `POST ${account}/Messages.json`:
        return request.headers['content-type'] === 'application/x-www-form-urlencoded'
          ? this.#create(form)
          : refusal(415, 20415, 'Unsupported Media Type');
      case `GET ${account}.json`:
        return { body: { sid: this.accountSid, ...this.account } };
      case `GET ${account}/Balance.json`:
        return { body: { account_sid: this.accountSid, ...this.balance } };
      case `GET ${account}/IncomingPhoneNumbers.json`: {
        const asked = query.get('PhoneNumber') ?? '';
        const found = this.numbers.filter(({ phone_number }) => phone_number.includes(asked));
        return { body: { incoming_phone_numbers: found, page: 0, page_size: 20, next_page_uri: null } };
      }
      default:
        return refusal(404, 20404, `The requested resource ${path} was not found`);
    }
  }

  #create(form: URLSearchParams): CannedReply {
    const [to, from, body] = ['To', 'From', 'Body'].map((name) => form.get(name) ?? '') as [string, string, string];
    this.callbacks.push(form.get('StatusCallback'));
    const behaviour = this.behaviours.get(to);
    if (this.account.status !== 'active') return refusal(401, 20003, 'Authenticate');
    if (to === '') return refusal(400, 21604, "A 'To' phone number is required.");
    if (body === '') return refusal(400, 21602, 'Message body is required.');
    if (body.length > 1600)
      return refusal(400, 21617, 'The concatenated message body exceeds the 1600 character limit.');
    if (!/^\+[1-9]\d{6,14}$/.test(to)) return refusal(400, 21211, `Invalid 'To' Phone Number: ${to}`);
    if (to === from) return refusal(400, 21266, "'To' and 'From' number cannot be the same");
    if (!this.numbers.some(({ phone_number }) => phone_number === from)) {
      return refusal(400, 21660, `Mismatch between the 'From' number ${from} and the account ${this.accountSid}`);
    }
    if (this.account.type === 'Trial' && !this.verified.has(to)) {
      return refusal(
        400,
        21608,
        `The number ${to} is unverified. Trial accounts cannot send messages to unverified numbers.`,
      );
    }
    if (behaviour !== undefined && behaviour !== 'fails') {
      const [code, message] = REFUSALS[behaviour];
      return refusal(400, code, message(to));
    }
    if (behaviour === 'fails') return { status: 201, body: this.#message(form, 'failed', 30005) };
    return { status: 201, body: this.#take(form, 'queued') };
  }

  #take(form: URLSearchParams, status: string): object {
    const message = this.#message(form, status, null);
    const { to, sid, from, body } = message;
    this.received.set(to, [...(this.received.get(to) ?? []), { sid, from, body }]);
    return message;
  }

  #message(form: URLSearchParams, status: string, errorCode: number | null) {
    this.#messages += 1;
    const sid = `SM${String(this.#messages).padStart(32, '0')}`;
    const body = form.get('Body') ?? '';
    return {
      account_sid: this.accountSid,
      api_version: '2010-04-01',
      body,
      date_created: 'Sat, 21 Nov 2026 12:00:00 +0000',
      date_sent: null,
      date_updated: 'Sat, 21 Nov 2026 12:00:00 +0000',
      direction: 'outbound-api',
      error_code: errorCode,
      error_message: errorCode === null ? null : 'Unknown destination handset',
      from: form.get('From') ?? '',
      messaging_service_sid: null,
      num_media: '0',
      num_segments: String(smsSize(body).segments),
      price: null,
      price_unit: 'USD',
      sid,
      status,
      subresource_uris: { media: `/2010-04-01/Accounts/${this.accountSid}/Messages/${sid}/Media.json` },
      to: form.get('To') ?? '',
      uri: `/2010-04-01/Accounts/${this.accountSid}/Messages/${sid}.json`,
    };
  }
}

function refusal(status: number, code: number, message: string): CannedReply {
  return { status, body: { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status } };
}
