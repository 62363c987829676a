/**
 * What a callback says, whichever service it came from: a body whose signature was right, sorted by what is to be done about
 * it. The body is foreign all the same: whatever is wrong with a part of it costs that part, and nothing here throws.
 */
import type { OptOutChange } from '../core/opt-out.js';
import { CLOCK_SKEW_MS } from '../core/window.js';
import type { DeadReason, Delivery, DeliveryContent, InboundAccount, Receipt, UserEvent } from '../ports.js';
import { camsNotice, readCamsInbound, readCamsStatus } from './cams-events.js';
import { isMetaBody, readMetaBody, type IgnoredKind, type MetaEntry } from './meta-events.js';
import { readTwilioInbound, readTwilioStatus, twilioForm, type TwilioParameters } from './twilio-status.js';

/** Items of a list that CAMS pushes; it is not said how many there may be, and real ones hold a few. */
const MAX_ITEMS = 1000;
/** Lists and objects within each other; real bodies have about fifteen at most. */
const MAX_DEPTH = 64;

const GRAVEST_FIRST: readonly DeadReason[] = [
  'too_deep',
  'not_json',
  'not_a_webhook',
  'unknown_account',
  'malformed',
  'from_the_future',
  'over_limit',
];

/** Kinds of Meta's events that mean that something of the body was lost. */
const LOST: Partial<Record<IgnoredKind, DeadReason>> = {
  malformed: 'malformed',
  no_time: 'malformed',
  opt_out: 'malformed',
  over_limit: 'over_limit',
};

/**
 * @param accounts only those that the delivery may speak for count
 * @param now milliseconds since 1970. What is later by more than our clock may be behind is no event: a window that it
 *   opened would never move again
 */
export function readDelivery(delivery: Delivery, accounts: readonly InboundAccount[], now: number): DeliveryContent {
  const reader = new DeliveryReader(delivery, accounts, now);
  if (delivery.service === 'twilio') reader.twilio(delivery.body);
  else if (isTooDeep(delivery.body)) reader.dead('too_deep');
  else {
    let body: unknown;
    try {
      body = JSON.parse(delivery.body);
    } catch {
      reader.dead('not_json');
      return reader.content;
    }
    if (delivery.service === 'meta') reader.meta(body);
    else reader.cams(body);
  }
  return reader.content;
}

/** Looks at the text alone: to parse what is nested a million deep takes a hundred times as long, and much memory. */
function isTooDeep(text: string): boolean {
  if (!holdsMore(text, MAX_DEPTH)) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at + 1);
    else if (code === LIST || code === OBJECT) depth += 1;
    else if (code === LIST_END || code === OBJECT_END) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** Whether more lists and objects begin in it, texts included. Of nearly every body that is all there is to look at. */
function holdsMore(text: string, count: number): boolean {
  let found = 0;
  for (const bracket of '[{') {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      found += 1;
      if (found > count) return true;
    }
  }
  return false;
}

/** Where the quote stands that ends it. */
function endOfString(text: string, from: number): number {
  let at = from;
  for (let code = text.charCodeAt(at); code !== QUOTE && at < text.length; code = text.charCodeAt(at)) {
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

const [QUOTE, BACKSLASH, LIST, LIST_END, OBJECT, OBJECT_END] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

class DeliveryReader {
  readonly content: DeliveryContent = { events: [], echoes: [], receipts: [], optOuts: [], ignored: {}, dead: null };
  readonly #delivery: Delivery;
  readonly #accounts: readonly InboundAccount[];
  readonly #latest: number;

  constructor(delivery: Delivery, accounts: readonly InboundAccount[], now: number) {
    this.#delivery = delivery;
    this.#accounts = accounts;
    this.#latest = now + CLOCK_SKEW_MS;
  }

  dead(reason: DeadReason): void {
    const { dead } = this.content;
    if (dead === null || GRAVEST_FIRST.indexOf(reason) < GRAVEST_FIRST.indexOf(dead)) this.content.dead = reason;
  }

  meta(body: unknown): void {
    if (!isMetaBody(body)) {
      this.dead('not_a_webhook');
      return;
    }
    const { entries, ignored } = readMetaBody(body);
    for (const [kind, count] of Object.entries(ignored) as [IgnoredKind, number][]) {
      this.#ignore(kind, count);
      const reason = LOST[kind];
      if (reason !== undefined) this.dead(reason);
    }
    for (const entry of entries) this.#entry(entry);
  }

  #entry({ accountId, channel, events }: MetaEntry): void {
    const account = this.#account(accountId, (one) => one.channel === channel);
    if (account === null) {
      this.#ignore('other_account', events.length);
      return;
    }
    for (const event of events) {
      if (event.kind === 'opener') {
        const { userId, openedAt, opener, id, text, payload, standby } = event;
        const heard = { account: account.key, userId, openedAt, opener, id, text, payload };
        this.#event(account, standby ? { ...heard, standby } : heard);
      } else if (event.kind === 'echo') {
        const { campaign, seq, messageId } = event;
        this.content.echoes.push({ account: account.key, campaign, seq, messageId });
      } else if (event.kind === 'opt_out') {
        const { userId, at } = event;
        this.#optOut({ account: account.key, userId, at, out: true, source: 'platform' });
      } else for (const receipt of event.receipts) this.#receipt(account, receipt);
    }
  }

  cams(body: unknown): void {
    const items: unknown[] = Array.isArray(body) ? body : [body];
    if (items.length > MAX_ITEMS) {
      this.dead('over_limit');
      this.#ignore('over_limit', items.length - MAX_ITEMS);
    }
    const notices = items.slice(0, MAX_ITEMS).map(camsNotice);
    if (notices.length > 0 && notices.every((notice) => notice === null)) {
      this.dead('not_a_webhook');
      return;
    }
    for (const notice of notices) {
      const reading =
        notice === null ? null : notice.kind === 'inbound' ? readCamsInbound(notice) : readCamsStatus(notice);
      if (typeof reading === 'string') this.#ignore(reading);
      else if (reading === null || 'code' in reading) this.#malformed();
      else {
        const account = this.#account(reading.accountId);
        if (account === null) this.#ignore('other_account');
        else if ('receipt' in reading) this.#receipt(account, reading.receipt);
        else {
          const { userId, openedAt, messageId, text } = reading;
          const id = messageId ?? `message:${userId}:${openedAt}:`;
          const event = { account: account.key, userId, openedAt, opener: 'message', id, text, payload: null } as const;
          this.#event(account, event);
        }
      }
    }
  }

  /** @param request the path and query that it came to, a space, and the form */
  twilio(request: string): void {
    const parameter = twilioForm(request);
    if (parameter === null) {
      this.dead('not_a_webhook');
      return;
    }
    const reading = readTwilioStatus(parameter, this.#delivery.receivedAt);
    if (reading === 'inbound') this.#twilioInbound(parameter);
    else if ('code' in reading) this.#malformed();
    else {
      const account = this.#account(reading.accountId);
      if (account === null) this.#ignore('other_account');
      else this.#receipt(account, reading.receipt);
    }
  }

  #twilioInbound(parameter: TwilioParameters): void {
    const reading = readTwilioInbound(parameter);
    if (typeof reading === 'string') {
      this.#ignore(reading);
      return;
    }
    const account = this.#account(reading.accountId);
    if (account === null) {
      this.#ignore('other_account');
      return;
    }
    const { userId, messageId, text, optOut } = reading;
    const at = this.#delivery.receivedAt;
    const id = messageId ?? `message:${userId}:${at}:`;
    this.#event(account, { account: account.key, userId, openedAt: at, opener: 'message', id, text, payload: null });
    if (optOut !== null) {
      this.#optOut({ account: account.key, userId, at, out: optOut === 'out', source: 'platform' });
    }
  }

  /** Null, and told, for an account that is none of ours or for which the signature does not speak. */
  #account(id: string | null, fits: (account: InboundAccount) => boolean = () => true): InboundAccount | null {
    const speaksFor = this.#delivery.accounts;
    const found = this.#accounts.find(
      (one) => id !== null && one.ids.includes(id) && fits(one) && speaksFor.includes(one.key),
    );
    if (found === undefined) this.dead('unknown_account');
    return found ?? null;
  }

  #event(account: InboundAccount, event: UserEvent): void {
    // An account with two ids may go by one of them where it writes, and by the other where it is told.
    if (account.ids.includes(event.userId)) this.#ignore('own_activity');
    else if (this.#hasHappened(event.openedAt)) this.content.events.push(event);
  }

  #optOut(change: OptOutChange): void {
    if (this.#hasHappened(change.at)) this.content.optOuts.push(change);
  }

  #receipt({ key }: InboundAccount, receipt: Receipt): void {
    if (this.#hasHappened(receipt.at)) this.content.receipts.push({ ...receipt, account: key });
  }

  #hasHappened(at: number): boolean {
    if (at <= this.#latest) return true;
    this.dead('from_the_future');
    this.#ignore('from_the_future');
    return false;
  }

  #malformed(): void {
    this.dead('malformed');
    this.#ignore('malformed');
  }

  #ignore(kind: string, count = 1): void {
    if (count > 0) this.content.ignored[kind] = (this.content.ignored[kind] ?? 0) + count;
  }
}
