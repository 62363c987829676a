/**
 * Whether an account works, found out by asking and without sending anything: what the token is for, what it may do and until
 * when, and how much of its allowance is used. What the platform does not tell is no fault.
 */
import { explainError } from '../core/platform-errors.js';
import { PLATFORM_ID } from '../core/user-id.js';
import type { AccountCheck, CallFailure } from '../ports.js';
import { graphTime, pathPart, textId, type GraphAccess, type GraphCalls } from './graph-calls.js';
import { accountLoad, regainMs } from './graph-reply.js';
import type { Reply } from './http.js';
import { isRecord } from './service-reply.js';

const DAY_MS = 86_400_000;
/** A token that ends within a week is worth a word: a new one takes a person and a sign-in. */
const SOON_MS = 7 * DAY_MS;

/** Permissions by what needs them (send API, conversations and utility-messages pages). */
const SENDING = { messenger: 'pages_messaging', instagram: 'instagram_manage_messages' };
const READING = {
  messenger: ['pages_manage_metadata', 'pages_read_engagement'],
  instagram: ['instagram_basic', 'pages_manage_metadata', 'pages_read_engagement'],
};
const TEMPLATES = 'page_utility_messaging';

const NETWORK_HINT =
  'Check the network, the proxy and the `url:` of the account; a proxy or a sign-in page on the way may answer instead.';
const VERSION_HINT = 'Set `version:` of the account in pagecast.yaml to a version that is in use.';
const TOKEN_HINT = 'Make a new access token for the account and put it where pagecast.yaml says.';
const PROOF_HINT =
  'If the app requires a proof of its secret, set `appSecret:` of the account; else make a new access token for it.';

export async function checkAccount(calls: GraphCalls, access: GraphAccess): Promise<AccountCheck[]> {
  const inspection = new Inspection(calls, access);
  await inspection.run();
  return inspection.checks;
}

/** The checks of one account, in the order in which they can be made. */
class Inspection {
  readonly checks: AccountCheck[] = [];
  readonly #calls: GraphCalls;
  readonly #access: GraphAccess;
  /** Of every answer: the figures on usage come with any of them. */
  readonly #headers: Reply['headers'][] = [];

  constructor(calls: GraphCalls, access: GraphAccess) {
    this.#calls = calls;
    this.#access = access;
  }

  async run(): Promise<void> {
    const me = await this.#read('me', this.#access.login === 'instagram' ? 'user_id,username' : 'id,name');
    if ('error' in me) {
      this.#add(failedCheck(me, 'token'));
      return;
    }
    this.#add(this.#servedVersion());
    this.#add({ about: 'token', state: 'ok', detail: 'The token is accepted.', hint: '' });
    // A platform that limits the account counts further calls against it, and a stranger's token can read nothing here.
    if ((await this.#checkIdentity(me.node)) && (await this.#checkToken()) && (await this.#checkReading())) {
      this.#add(this.#rate());
    }
  }

  async #read(path: string, fields: string, more: Record<string, string> = {}): ReturnType<GraphCalls['get']> {
    const answer = await this.#calls.get(path, { fields, ...more });
    if ('node' in answer) this.#headers.push(answer.headers);
    return answer;
  }

  #add(check: AccountCheck): void {
    this.checks.push(check);
  }

  /** The platform serves the oldest version it still has to whoever asks for a retired one, and says so in a header. */
  #servedVersion(): AccountCheck {
    const { origin, root } = this.#access;
    const asked = root.split('/').at(-1) ?? '';
    const served = this.#headers[0]?.['facebook-api-version'];
    const answers = `${new URL(origin).host} answers`;
    if (typeof served !== 'string' || !/^v\d{1,3}\.\d{1,2}$/.test(served) || served === asked) {
      return { about: 'reachable', state: 'ok', detail: `${answers}.`, hint: '' };
    }
    const detail = `${answers} with version ${served} of its API instead of ${asked}.`;
    return { about: 'reachable', state: 'ok', detail, hint: VERSION_HINT };
  }

  /** @returns whether the token is for this account, as far as is known */
  async #checkIdentity(me: Record<string, unknown>): Promise<boolean> {
    const { pageId, channel } = this.#access;
    const about = 'identity';
    const ids = [textId(me['user_id']), textId(me['id'])].filter((id) => id !== null);
    if (ids.length === 0) {
      this.#add({ about, state: 'unknown', detail: 'The platform does not say whose the token is.', hint: '' });
      return true;
    }
    const owner = this.#shown(me['name'] ?? me['username']);
    const isLinked = channel === 'instagram' && this.#access.login === 'facebook';
    const linked = isLinked ? await this.#linkedAccount(ids[0] ?? '') : null;
    if (ids.includes(pageId)) {
      if (isLinked) this.#add(this.#linkCheck(owner, linked));
      else this.#add({ about, state: 'ok', detail: `The token is for ${owner}.`, hint: '' });
      return true;
    }
    if (linked === pageId) {
      this.#add({
        about,
        state: 'unknown',
        detail: `The token is for ${owner}, the Page that the Instagram account is linked to.`,
        hint: `On ${new URL(this.#access.origin).host} the account is documented by the id of its Page: use that as \`id:\`.`,
      });
      return true;
    }
    this.#add({
      about,
      state: 'failed',
      detail: `The token is for ${owner} (${this.#words(ids[0] ?? '')}), not for the id of the account.`,
      hint: 'Make an access token of this very Page or account, or correct `id:` of the account in pagecast.yaml.',
      stop: 'permission',
    });
    return false;
  }

  /** @param linked the Instagram account of the Page, whose own id no setting needs for sending */
  #linkCheck(owner: string, linked: string | null): AccountCheck {
    const about = 'identity';
    const { instagramId } = this.#access;
    if (linked === null) {
      return {
        about,
        state: 'unknown',
        detail: `The token is for ${owner}; which Instagram account is linked to it is not shown.`,
        hint: 'Link the Instagram account to the Page, and give the token instagram_basic.',
      };
    }
    const detail = `The token is for ${owner}, and the Instagram account that is linked to it is ${linked}`;
    const write = `Write \`instagramId: "${linked}"\` under the account in pagecast.yaml: webhooks of Instagram name it by that id.`;
    if (instagramId === undefined) return { about, state: 'ok', detail: `${detail}.`, hint: write };
    if (instagramId === linked) return { about, state: 'ok', detail: `${detail}.`, hint: '' };
    return { about, state: 'failed', detail: `${detail}, not ${instagramId}.`, hint: write };
  }

  /** The Instagram account of a Page; null where it is not shown. */
  async #linkedAccount(page: string): Promise<string | null> {
    const id = pathPart(page);
    const answer = id === null ? null : await this.#read(id, 'instagram_business_account');
    const linked = answer && 'node' in answer ? answer.node['instagram_business_account'] : null;
    const own = isRecord(linked) ? textId(linked['id']) : null;
    return own !== null && PLATFORM_ID.test(own) ? own : null;
  }

  /** @returns whether to go on */
  async #checkToken(): Promise<boolean> {
    const { token } = this.#access;
    const unknown = (why: string): AccountCheck => ({
      about: 'expiry',
      state: 'unknown',
      detail: `The platform does not tell when the token ends${why}`,
      hint: "Look at the token in the platform's access token debugger.",
    });
    if (this.#access.login === 'instagram') {
      this.#add(unknown('.'));
      return true;
    }
    const answer = await this.#calls.getInBody('debug_token', { input_token: token });
    if ('error' in answer) {
      const isLimit = answer.pauseMs !== undefined;
      this.#add(isLimit ? failedCheck(answer, 'expiry') : unknown(` (${answer.error.code}: ${answer.error.message})`));
      return !isLimit;
    }
    const data = isRecord(answer.node['data']) ? answer.node['data'] : {};
    if (data['is_valid'] === false) {
      this.#add({
        about: 'token',
        state: 'failed',
        detail: 'The platform calls the token invalid.',
        hint: TOKEN_HINT,
        stop: 'token',
      });
      return false;
    }
    this.#add(this.#ending('The token', data['expires_at']) ?? unknown('.'));
    const access = data['data_access_expires_at'];
    const accessEnds = access === 0 ? null : this.#ending("The app's access to the data", access);
    if (accessEnds) this.#add(accessEnds);
    if (Array.isArray(data['scopes'])) this.#add(this.#scopes(data['scopes']));
    return true;
  }

  /** @param value seconds since 1970; 0 for never. @returns null for what is no time */
  #ending(what: string, value: unknown): AccountCheck | null {
    const about = 'expiry';
    if (value === 0) return { about, state: 'ok', detail: `${what} does not end.`, hint: '' };
    const at = graphTime(value);
    if (at === null) return null;
    const left = at - this.#access.clock.now();
    const day = new Date(at).toISOString().slice(0, 16).replace('T', ' ');
    if (left <= 0) {
      return { about, state: 'failed', detail: `${what} ended at ${day} UTC.`, hint: TOKEN_HINT, stop: 'token' };
    }
    const hint = left < SOON_MS ? `Less than ${Math.ceil(left / DAY_MS)} days are left. ${TOKEN_HINT}` : '';
    return { about, state: 'ok', detail: `${what} ends at ${day} UTC.`, hint };
  }

  #scopes(scopes: readonly unknown[]): AccountCheck {
    const about = 'permissions';
    const channel = this.#access.channel === 'instagram' ? 'instagram' : 'messenger';
    const needed = SENDING[channel];
    const unread = READING[channel].filter((scope) => !scopes.includes(scope));
    if (!scopes.includes(needed)) {
      const hint = `Make a token that has ${needed}.`;
      return {
        about,
        state: 'failed',
        detail: `The token may not send: it lacks ${needed}.`,
        hint,
        stop: 'permission',
      };
    }
    const hint = unread.length === 0 ? '' : `For reading conversations it lacks ${unread.join(' and ')}.`;
    return { about, state: 'ok', detail: `The token may send (${needed}).`, hint };
  }

  /** @returns whether to go on */
  async #checkReading(): Promise<boolean> {
    const { pageId, channel } = this.#access;
    const about = 'permissions';
    const conversations = await this.#read(`${pageId}/conversations`, 'id', { platform: channel, limit: '1' });
    if ('error' in conversations) {
      const check = failedCheck(conversations, about);
      const needed = READING[channel === 'instagram' ? 'instagram' : 'messenger'].join(' and ');
      this.#add(check.stop === 'permission' ? { ...check, hint: `Reading conversations needs ${needed}.` } : check);
      if (check.state === 'failed' && check.about !== about) return false;
    } else this.#add({ about, state: 'ok', detail: 'Conversations can be read.', hint: '' });

    if (channel !== 'messenger') return true;
    const templates = await this.#read(`${pageId}/message_templates`, 'name', { limit: '1' });
    if ('node' in templates) {
      this.#add({ about, state: 'ok', detail: 'Registered templates can be read.', hint: '' });
      return true;
    }
    const check = failedCheck(templates, about);
    if (check.state === 'failed' && check.about !== about) {
      this.#add(check);
      return false;
    }
    // Only whoever writes to people whose window is shut needs them.
    const detail = `Registered templates cannot be read (${templates.error.code}: ${templates.error.message}).`;
    this.#add({ about, state: 'unknown', detail, hint: `Sending outside the 24-hour window needs ${TEMPLATES}.` });
    return true;
  }

  #rate(): AccountCheck {
    const about = 'rate';
    const loads = this.#headers.map(accountLoad).filter((load) => load !== null);
    if (loads.length === 0) {
      const detail = 'The platform says how much of the allowance is used only once enough calls have been made.';
      return { about, state: 'unknown', detail, hint: '' };
    }
    const load = Math.max(...loads);
    const wait = Math.max(...this.#headers.map((headers) => regainMs(headers) ?? 0));
    const used = `${Math.round(load * 100)} % of the allowance is used`;
    if (load < 1 && wait === 0) return { about, state: 'ok', detail: `${used}.`, hint: '' };
    const detail = wait === 0 ? `${used}.` : `${used}; it is free again in ${minutes(wait)}.`;
    return { about, state: 'failed', detail, hint: 'Wait, and lower the pace of the account.', stop: 'rate_limit' };
  }

  #shown(name: unknown): string {
    return typeof name === 'string' && name !== '' ? `"${this.#words(name)}"` : 'somebody';
  }

  #words(text: string): string {
    return this.#access.redact(text);
  }
}

/** Errors that no platform has told of: the way to it is at fault. */
const ON_THE_WAY = ['CONNECTION_REFUSED', 'CONNECTION_LOST', 'TIMEOUT', 'REPLY_UNREADABLE', 'SERVER_ERROR'];

/**
 * What a call that failed says of the account.
 * @param about what the call was to find out
 */
function failedCheck({ error, pauseMs, stop }: CallFailure, about: AccountCheck['about']): AccountCheck {
  const { code, message } = error;
  if (ON_THE_WAY.includes(code)) {
    return { about: 'reachable', state: 'failed', detail: message, hint: NETWORK_HINT, stop: 'network' };
  }
  const { meaning, class: met } = explainError(code);
  const detail = `${meaning} (${code}: ${message})`;
  if (pauseMs !== undefined) {
    const hint = `Ask again in ${minutes(pauseMs)}, and lower the pace of the account.`;
    return { about: 'rate', state: 'failed', detail, hint, stop: 'rate_limit' };
  }
  if (code === '2500' || code === '2635') {
    return { about: 'reachable', state: 'failed', detail, hint: VERSION_HINT, stop: stop ?? 'permission' };
  }
  switch (stop) {
    case 'token':
      return { about: 'token', state: 'failed', detail, hint: TOKEN_HINT, stop };
    case 'restricted':
      return {
        about: 'sending',
        state: 'failed',
        detail,
        hint: "Read the Page's Support Inbox, and send nothing until the restriction is lifted.",
        stop,
      };
    case 'permission':
      return {
        about: 'permissions',
        state: 'failed',
        detail,
        hint: "Check the app's permissions, its access level and the `id:` of the account.",
        stop,
      };
    default:
  }
  if (met.kind === 'retryable') {
    const hint = 'The platform may be temporarily unable; try again.';
    return { about: 'reachable', state: 'failed', detail, hint, stop: 'network' };
  }
  // Of `/me`, which knows no other parameters, 100 says that the proof is missing or wrong.
  if (about === 'token' && code.split('/')[0] === '100') {
    return {
      about,
      state: 'failed',
      detail: `The platform does not take the token (${code}: ${message}).`,
      hint: PROOF_HINT,
      stop: 'token',
    };
  }
  return { about, state: 'unknown', detail: `The platform does not tell (${code}: ${message}).`, hint: '' };
}

function minutes(ms: number): string {
  const count = Math.max(1, Math.ceil(ms / 60_000));
  return count === 1 ? 'a minute' : `${count} minutes`;
}
