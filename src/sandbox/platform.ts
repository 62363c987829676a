/**
 * The rules of the emulated Messenger Platform: a call and the time make an answer. No network here; `server.ts` carries
 * calls in and answers out, and a Graph batch runs through the same door as a single call.
 */
import { createHmac } from 'node:crypto';
import type { Random } from '../ports.js';
import { Conversations, isWriting, writtenMid } from './conversations.js';
import { actEvent, deliveryEvent, echoEvent, type PlatformEvent } from './events.js';
import { formParams, isVersion, record, textOf, type GraphCall } from './graph-call.js';
import { Journal, RateWindow, type Entry, type Received, type Repeated } from './journal.js';
import { faultOfMessage } from './message-rules.js';
import { MessageTemplates } from './message-templates.js';
import { missingPermission, pageNode, tokenInfo } from './page-node.js';
import { Refusals, type Found, type GraphAnswer } from './refusals.js';
import type { SandboxUser, Seed, TemplateChange, UserAct, UserChange } from './seed.js';

export interface PlatformStats {
  /** Messages that were delivered, whatever the sender was told. */
  accepted: number;
  /** Sends that were refused. */
  refused: number;
  /** Refusals by `code` or `code/subcode`. */
  byCode: Record<string, number>;
  /** How many users received more than one message. */
  duplicateUsers: number;
  /** The first thousand of them. */
  duplicates: Repeated[];
  /** The most sends that arrived within any one second, refused ones included. */
  maxPerSecond: number;
}

const HOUR_MS = 3_600_000;
const WINDOW_MS = 24 * HOUR_MS;
/** HUMAN_AGENT reaches seven days back (send-messages). */
const HUMAN_AGENT_MS = 7 * WINDOW_MS;
/** How long a Page stays cut off after the last send above the limit. */
const CUT_OFF_MS = 1000;
const WELL_FORMED_ID = /^[1-9]\d{4,19}$/;
const SHOWN_DUPLICATES = 1000;
const BATCH_LIMIT = 50;
export const USAGE_HEADER = 'X-Business-Use-Case-Usage';

export class Platform {
  readonly #seed: Seed;
  readonly #refusals = new Refusals();
  readonly #journal: Journal;
  readonly #sends = new RateWindow();
  readonly #readings = new RateWindow();
  readonly #proof: string | null;
  #users = new Map<string, SandboxUser>();
  #templates = new MessageTemplates([]);
  #conversations: Conversations;
  /** Value of the usage header that answers carry while no limit is met. */
  #usage: string | undefined;
  #cutOffUntil = -Infinity;
  #byCode: Record<string, number> = {};
  #refused = 0;
  /** How much users have done; not set back, so that no two things that they do have the same id. */
  #acts = 0;
  /** Set by the server while there is somebody to tell. */
  onEvent: ((event: PlatformEvent) => void) | null = null;

  constructor(seed: Seed, random: Random) {
    this.#seed = seed;
    const run = Math.floor(random.next() * 36 ** 6)
      .toString(36)
      .padStart(6, '0');
    this.#journal = new Journal(run);
    const { secret, token } = seed.page;
    this.#proof = secret === undefined ? null : createHmac('sha256', secret).update(token).digest('hex');
    this.#conversations = new Conversations(seed.page, this.#journal, this.#users);
    this.reset();
  }

  /** Back to the seed: nothing received, nothing counted. Faults are not the platform's and stay. */
  reset(): void {
    this.#users = new Map(this.#seed.users.map((user) => [user.id, { ...user }]));
    this.#templates = new MessageTemplates(this.#seed.templates);
    this.#conversations = new Conversations(this.#seed.page, this.#journal, this.#users);
    this.setUsage(this.#seed.limits.usage);
    this.#cutOffUntil = -Infinity;
    this.#byCode = {};
    this.#refused = 0;
    this.#journal.clear();
    this.#sends.clear();
    this.#readings.clear();
  }

  /** @param percent of the allowance, as answers tell from now on; null for answers that say nothing */
  setUsage(percent: number | null): void {
    const { limits } = this.#seed;
    this.#usage = percent === null ? undefined : this.#usageHeader(percent, percent < 100 ? 0 : limits.regainMinutes);
  }

  answer(call: GraphCall, now: number): GraphAnswer {
    const { path, method } = call;
    const [node = '', edge] = path;
    if (path.length === 0 && method === 'POST') return this.#batch(call, now);
    const denied = this.#authorize(call, now);
    // A send counts however it ends: going on while limited makes it worse (overview/rate-limiting).
    if (edge === 'messages' && method === 'POST' && path.length === 2) {
      const answer = denied ?? this.#overRate(now) ?? this.#send(node, call, now);
      if (answer.code !== null) this.#count(answer.code);
      return answer;
    }
    return denied ?? this.#told(this.#other(call, now));
  }

  /** Everything but a send. */
  #other(call: GraphCall, now: number): GraphAnswer {
    const { path, method, params } = call;
    const [node = '', edge] = path;
    if (method === 'GET' && path.length === 1) return this.#read(node, call, now);
    if (!this.#isPage(node, call)) return this.#refusals.refuse('100/33');
    if (method === 'GET' && edge === 'conversations') {
      return this.#reading(now, params['user_id'] === undefined, () => this.#conversations.list(params));
    }
    // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
    if (edge === 'message_templates' && this.#seed.page.channel === 'messenger') {
      const lacking = missingPermission(this.#seed.page, 'templates');
      if (lacking !== null) return this.#lacks(lacking);
      return this.#outcome(method === 'GET' ? this.#templates.list(params) : this.#templates.create(params));
    }
    return this.#refusals.refuse('2500');
  }

  /** Refuses a send with an error of the caller's choice, and counts it like one of the platform's own. */
  refuseSend(code: string, now: number): GraphAnswer {
    const answer = this.#overRate(now) ?? this.#withUsage(this.#refusals.refuse(code));
    this.#count(answer.code ?? code);
    return answer;
  }

  received(user?: string): Generator<Received> {
    return this.#journal.received(user);
  }

  stats(): PlatformStats {
    const duplicates: Repeated[] = [];
    let duplicateUsers = 0;
    for (const repeated of this.#journal.repeated()) {
      duplicateUsers += 1;
      if (duplicates.length < SHOWN_DUPLICATES) duplicates.push(repeated);
    }
    return {
      accepted: this.#journal.size,
      refused: this.#refused,
      byCode: { ...this.#byCode },
      duplicateUsers,
      duplicates,
      maxPerSecond: this.#sends.max,
    };
  }

  /** @returns how many templates the changes have met */
  changeTemplates(changes: readonly TemplateChange[]): number {
    return changes.reduce((met, change) => met + this.#templates.change(change), 0);
  }

  changeUsers(changes: readonly UserChange[]): void {
    for (const { id, openedAt, opener, behaviour, act } of changes) {
      const user = this.#users.get(id) ?? { id, openedAt: null, opener: 'message', behaviour: 'normal' };
      if (openedAt !== undefined) user.openedAt = openedAt;
      if (opener !== undefined) user.opener = opener;
      if (behaviour !== undefined) user.behaviour = behaviour;
      this.#users.set(id, user);
      if (act) this.#userActs(id, act);
    }
  }

  // ----------------------------------------------------------------------------------------------- who may call at all

  #authorize({ token, params }: GraphCall, now: number): GraphAnswer | null {
    const { page } = this.#seed;
    const given = token ?? params['access_token'];
    if (given === undefined) {
      return this.#refusals.refuse('104', 'An access token is required to request this resource.');
    }
    if (given !== page.token) return this.#refusals.refuse('190');
    if (page.tokenExpiresAt !== null && now >= page.tokenExpiresAt) return this.#refusals.refuse('190/463');
    if (this.#proof !== null && params['appsecret_proof'] !== this.#proof) {
      const what = params['appsecret_proof'] === undefined ? 'API calls from the server require an' : 'Invalid';
      return this.#refusals.refuse('100', `${what} appsecret_proof argument`);
    }
    return page.refuses === undefined ? null : this.#withUsage(this.#refusals.refuse(page.refuses));
  }

  /** Without a Page, an account goes by its own id. */
  #isPage(node: string, { instagramLogin }: GraphCall): boolean {
    const { id, instagram } = this.#seed.page;
    return node === 'me' || node === (instagramLogin ? instagram.id : id);
  }

  #lacks(permission: string): GraphAnswer {
    return this.#refusals.refuse('200', `(#200) Requires ${permission} permission to manage the object`);
  }

  /**
   * A Page that sends more than 40 messages in a second can send nothing until its volume drops (overview/rate-limiting, 23
   * March 2026). "Drops" is not defined; here it is one second without a send above the limit. Refused sends count.
   */
  #overRate(now: number): GraphAnswer | null {
    const count = this.#sends.add(now);
    const { perSecond } = this.#seed.limits;
    if (perSecond === null) return null;
    if (count > perSecond) this.#cutOffUntil = now + CUT_OFF_MS;
    return now < this.#cutOffUntil ? this.#limited() : null;
  }

  #limited(): GraphAnswer {
    return this.#withUsage(this.#refusals.refuse(this.#seed.page.channel === 'instagram' ? '80002' : '80006'));
  }

  /** Adds the usage header to a refusal that is a limit of the account. */
  #withUsage(answer: GraphAnswer): GraphAnswer {
    if (answer.code === null || !/^(80001|80002|80006)(\/|$)/.test(answer.code)) return answer;
    const type = { '80001': 'pages', '80002': 'instagram' }[answer.code] ?? 'messenger';
    return { ...answer, usage: this.#usageHeader(100, this.#seed.limits.regainMinutes, type) };
  }

  #usageHeader(percent: number, regainMinutes: number, type: string = this.#seed.page.channel): string {
    const usage = {
      type,
      call_count: percent,
      total_cputime: 25,
      total_time: 25,
      estimated_time_to_regain_access: regainMinutes,
    };
    return JSON.stringify({ [this.#seed.page.id]: [usage] });
  }

  /** Tells the usage with an answer that is no refusal, when it is to be told. */
  #told(answer: GraphAnswer): GraphAnswer {
    return this.#usage === undefined || answer.code !== null ? answer : { ...answer, usage: this.#usage };
  }

  #count(code: string): void {
    this.#refused += 1;
    this.#byCode[code] = (this.#byCode[code] ?? 0) + 1;
  }

  // ----------------------------------------------------------------------------------------------- Send API

  #send(node: string, call: GraphCall, now: number): GraphAnswer {
    if (!this.#isPage(node, call)) return this.#refusals.refuse('100/33');
    const { params } = call;
    const lacking = missingPermission(this.#seed.page, 'send');
    if (lacking !== null) return this.#lacks(lacking);
    const recipient = record(params['recipient']);
    const id = recipient?.['id'];
    if (typeof id !== 'string') {
      return this.#invalid('Param recipient[id] must be a string: as a number, a long id loses its last digits');
    }
    const type = params['messaging_type'] ?? 'RESPONSE';
    if (typeof type !== 'string' || !['RESPONSE', 'UPDATE', 'MESSAGE_TAG', 'UTILITY'].includes(type)) {
      return this.#invalid('Param messaging_type must be one of {RESPONSE, UPDATE, MESSAGE_TAG, UTILITY}');
    }

    const user = this.#user(id, now);
    if (user === null) return this.#noSuchUser();
    if (user.behaviour !== 'normal') {
      return user.behaviour === 'no_match' ? this.#noSuchUser() : this.#refusals.refuse(user.behaviour);
    }
    if (params['sender_action'] !== undefined && params['message'] === undefined) {
      return { status: 200, body: JSON.stringify({ recipient_id: id }), code: null };
    }

    const message = record(params['message']);
    if (message === null) return this.#invalid('Param message is required');
    const fault = faultOfMessage(message, this.#seed.page.channel);
    if (fault !== null) return this.#invalid(fault);

    let text = typeof message['text'] === 'string' ? message['text'] : null;
    let buttons: readonly object[] = [];
    if (type === 'UTILITY') {
      const needed = missingPermission(this.#seed.page, 'templates');
      if (needed !== null) return this.#lacks(needed);
      const filled = this.#templates.fill(message);
      if (!('text' in filled)) return this.#outcome(filled);
      ({ text, buttons } = filled);
    } else {
      if (message['template'] !== undefined) return this.#invalid('Param template needs messaging_type UTILITY');
      const reach = this.#reach(type, params['tag']);
      if (typeof reach !== 'number') return reach;
      if (!this.#within(user, reach, now)) {
        return this.#refusals.refuse(this.#seed.page.channel === 'instagram' ? '10/2534022' : '10/2018278');
      }
    }

    const mid = this.#journal.add(entryOf(id, buttons.length > 0 ? { ...message, buttons } : message, type, text, now));
    if (this.onEvent) this.#tellOf(this.onEvent, id, mid, message, now);
    // Ids are digits and letters here, so nothing needs escaping: this is the line that runs for every message.
    return this.#told({ status: 200, body: `{"recipient_id":"${id}","message_id":"${mid}"}`, code: null });
  }

  #user(id: string, now: number): SandboxUser | null {
    const known = this.#users.get(id);
    if (known) return known;
    if (this.#seed.unseeded === 'unknown' || !WELL_FORMED_ID.test(id)) return null;
    return { id, openedAt: now, opener: 'message', behaviour: 'normal' };
  }

  #noSuchUser(): GraphAnswer {
    return this.#refusals.refuse(this.#seed.page.channel === 'instagram' ? '100/2534014' : '100/2018001');
  }

  #invalid(what: string): GraphAnswer {
    return this.#refusals.refuse('100', `(#100) ${what}`);
  }

  /** How long after the last opener a message of this type may go out. */
  #reach(type: string, tag: unknown): number | GraphAnswer {
    if (type !== 'MESSAGE_TAG') return WINDOW_MS;
    if (tag === 'HUMAN_AGENT') return HUMAN_AGENT_MS;
    // The other tags are dead since 27 April 2026: every request with one gets code 100 (changelog, 27 March 2026).
    return this.#invalid('Param tag is not valid for this request');
  }

  /** Exactly 24 hours after the opener the window is shut. */
  #within({ openedAt, opener }: SandboxUser, reachMs: number, now: number): boolean {
    return openedAt !== null && !this.#seed.closedOpeners.includes(opener) && now - openedAt < reachMs;
  }

  // ----------------------------------------------------------------------------------------------- reading

  #read(node: string, call: GraphCall, now: number): GraphAnswer {
    const { params, instagramLogin } = call;
    const fields = textOf(params['fields']);
    if (node === 'debug_token' && !instagramLogin) return ok(tokenInfo(this.#seed.page, params['input_token']));
    if (this.#isPage(node, call)) return this.#outcome(pageNode(this.#seed.page, fields, instagramLogin));
    if (node.startsWith('t_')) return this.#reading(now, false, () => this.#conversations.conversation(node, fields));
    if (node.startsWith('m_')) return this.#reading(now, false, () => this.#conversations.message(node, fields));
    return this.#refusals.refuse('100/33');
  }

  /**
   * A call of the Conversations API: there may be two a second, whatever they read. Where a Page sends too much, listing all of
   * them fails too, and reading one still works (overview/rate-limiting).
   */
  #reading(now: number, ofAll: boolean, find: () => Found): GraphAnswer {
    const lacking = missingPermission(this.#seed.page, 'read');
    if (lacking !== null) return this.#lacks(lacking);
    const { conversationsPerSecond } = this.#seed.limits;
    const tooMany = this.#readings.add(now) > (conversationsPerSecond ?? Infinity);
    if (tooMany || (ofAll && now < this.#cutOffUntil)) return this.#limited();
    return this.#outcome(find());
  }

  #outcome(found: Found): GraphAnswer {
    if ('code' in found) return this.#refusals.refuse(found.code);
    return 'fault' in found ? this.#invalid(found.fault) : ok(found.body);
  }

  // ----------------------------------------------------------------------------------------------- batch

  /** graph-api/batch-requests: at most 50, answers in the order of the requests, each body as text. */
  #batch({ params, token, instagramLogin }: GraphCall, now: number): GraphAnswer {
    const batch = params['batch'];
    if (!Array.isArray(batch)) return this.#invalid('Param batch must be an array');
    if (batch.length > BATCH_LIMIT) return this.#refusals.batchTooLarge();
    const withHeaders = String(params['include_headers']) !== 'false';
    const inherited = token ?? (typeof params['access_token'] === 'string' ? params['access_token'] : undefined);
    const answers = batch.map((item: unknown) => {
      const part = record(item);
      const [path = '', query = ''] = textOf(part?.['relative_url']).split('?', 2);
      const parameters = { ...formParams(query), ...formParams(textOf(part?.['body'])) };
      const own = parameters['access_token'];
      // The proof of the whole batch covers its token; a part with a token of its own brings its own proof.
      if (own === undefined && params['appsecret_proof'] !== undefined) {
        parameters['appsecret_proof'] ??= params['appsecret_proof'];
      }
      const answer = this.answer(
        {
          method: part?.['method'] === 'GET' ? 'GET' : 'POST',
          path: path.split('/').filter((segment, index) => segment !== '' && !(index === 0 && isVersion(segment))),
          params: parameters,
          token: typeof own === 'string' ? own : inherited,
          instagramLogin,
        },
        now,
      );
      const usage = answer.usage === undefined ? [] : [{ name: USAGE_HEADER, value: answer.usage }];
      return { code: answer.status, ...(withHeaders && { headers: usage }), body: answer.body };
    });
    return ok(answers);
  }

  // ----------------------------------------------------------------------------------------------- events

  #tellOf(
    tell: (event: PlatformEvent) => void,
    user: string,
    mid: string,
    message: Record<string, unknown>,
    now: number,
  ): void {
    const { page, receipts } = this.#seed;
    tell(echoEvent(page, user, mid, message, now));
    // Instagram tells only when a message is seen.
    if (receipts && page.channel === 'messenger') tell(deliveryEvent(page, user, mid, now));
  }

  #userActs(user: string, act: UserAct): void {
    this.#acts += 1;
    // Unlike those of another start, too: who keeps what it has heard must not take one for the other.
    const unique = `${act.at}${this.#acts}`;
    const mid = writtenMid(user, unique);
    const written = this.#conversations.lastWrittenMid(user);
    if (isWriting(act.kind)) this.#conversations.write(user, { id: mid, at: act.at, text: act.text });
    const received = this.#journal.lastMid(user);
    const event = actEvent(this.#seed.page, user, act, { unique, mid, written, received });
    if (event) this.onEvent?.(event);
  }
}

function ok(body: object): GraphAnswer {
  return { status: 200, body: JSON.stringify(body), code: null };
}

function entryOf(
  user: string,
  message: Record<string, unknown>,
  messaging_type: string,
  text: string | null,
  at: number,
): Entry {
  const content: Record<string, unknown> = {};
  for (const part of ['attachment', 'attachments', 'template', 'buttons', 'sticker_id', 'quick_replies']) {
    if (message[part] !== undefined) content[part] = message[part];
  }
  const { metadata } = message;
  return {
    user,
    at,
    messaging_type,
    text,
    content: Object.keys(content).length === 0 ? null : content,
    metadata: typeof metadata === 'string' ? metadata : null,
  };
}
