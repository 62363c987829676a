/**
 * What a sandbox starts with: its Page, its users and their windows, the faults it shows. Written by hand as JSON, so it is
 * checked here and every complaint names the place.
 */
import { z } from 'zod';
import { Failure } from '../core/failure.js';
import { OPENERS, type Opener } from '../core/window.js';
import { PERMISSIONS } from './page-node.js';

/** `10/2018278`, or `190` for an error without a subcode. */
const errorCode = z.string().regex(/^\d{1,9}(\/\d{1,9})?$/, 'must be a code such as "368" or "10/2018108"');
const platformId = z.string().regex(/^\w{1,40}$/, 'must be an id, as text');
const FROM_NOW = /^([+-]\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const instant = z.union([
  z.number().int().nonnegative(),
  z
    .string()
    .refine(
      (text) =>
        FROM_NOW.test(text) || (/^\d{4}-.*(Z|[+-]\d{2}:?\d{2})$/.test(text) && Number.isFinite(Date.parse(text))),
      'must be a time with its zone ("2026-11-21T10:00:00Z"), milliseconds since 1970, or one from now such as "-3h"',
    ),
]);

const page = z.strictObject({
  id: platformId.optional(),
  /** The Page access token; requests with another one get error 190. */
  token: z.string().min(1).optional(),
  /** The app secret. When given, every call must carry an `appsecret_proof`. */
  secret: z.string().min(1).optional(),
  name: z.string().optional(),
  channel: z.enum(['messenger', 'instagram']).optional(),
  /** The Instagram account that is linked to the Page: under this id it takes part in conversations. */
  instagram: z.strictObject({ id: platformId.optional(), username: z.string().optional() }).optional(),
  /** What the token may do; without it, everything. */
  permissions: z.array(z.string()).optional(),
  /** When the token ends; without it, never. */
  tokenExpiresAt: instant.optional(),
  /** When the app's access to the data ends, as the token's debug information tells. */
  dataAccessExpiresAt: instant.optional(),
  /** Every call to the Page is refused with this error, such as `190/463` or `10/1893063`. */
  refuses: errorCode.optional(),
});

const user = z.strictObject({
  id: platformId,
  /** When the window was opened last; without it the user exists, and has never written. */
  opened_at: instant.optional(),
  opener: z.enum(OPENERS).optional(),
  /** Or the code of any error that messages to this user shall get. */
  behaviour: z.union([z.enum(['normal', 'unavailable', 'no_match']), errorCode]).optional(),
});

/** What goes wrong with sends that come alone; a Graph batch is never struck. */
const fault = z
  .strictObject({
    /**
     * `late` answers after `ms`; `drop` closes the connection without an answer; `reset` resets it; `cut` breaks it in the
     * middle of the answer; `hang` never answers; `error` answers with `status` (500) and no Graph error of use; `garbage`
     * answers 200 with what is no JSON; `refuse` refuses with the platform's error `code`.
     */
    kind: z.enum(['late', 'drop', 'reset', 'cut', 'hang', 'error', 'garbage', 'refuse']),
    /** Whether the message has been dealt with (and delivered, where nothing else forbids it) when the fault strikes. */
    when: z.enum(['before', 'after']).optional(),
    /** The share of requests it strikes, 0 to 1. */
    rate: z.number().min(0).max(1).optional(),
    /** Strikes only requests to these users. */
    users: z.array(platformId).optional(),
    /** Strikes so many times: for each user when `users` is given, else in all. */
    times: z.number().int().positive().optional(),
    /** Waits so long first; for any kind. */
    ms: z.number().int().nonnegative().optional(),
    status: z.number().int().min(200).max(599).optional(),
    /** The answer's text, for `error` and `garbage`. */
    body: z.string().optional(),
    code: errorCode.optional(),
  })
  .refine((given) => given.kind !== 'refuse' || given.code !== undefined, 'needs the code to refuse with')
  .refine((given) => given.kind !== 'late' || given.ms !== undefined, 'needs how late, in ms');

const template = z
  .strictObject({
    name: z.string().min(1),
    language: z.string().min(1),
    status: z.string().optional(),
    category: z.string().optional(),
    parameter_format: z.enum(['NAMED', 'POSITIONAL']).optional(),
    /** With `{{1}}` or `{{name}}` for its parameters. */
    body: z.string().min(1).optional(),
    /** Instead of the body alone, all components as the Graph API has them. */
    components: z.array(z.record(z.string(), z.unknown())).optional(),
    /** Why it was rejected or paused. */
    reason: z.string().optional(),
  })
  .refine((given) => (given.body === undefined) !== (given.components === undefined), 'needs a body or components');

const webhook = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  /** The app secret that posts are signed with. */
  secret: z.string().min(1),
  /** The most events of one post. */
  batch: z.number().int().min(1).max(1000).optional(),
  /** Every event comes twice, as after an answer that was lost. */
  duplicate: z.boolean().optional(),
  /** What happens within a tenth of a second comes in any order. */
  reorder: z.boolean().optional(),
});

const seed = z.strictObject({
  page: page.optional(),
  users: z.array(user).optional(),
  /** What a well-formed id is that the seed does not name: somebody who wrote just now, or nobody. */
  unseeded: z.enum(['open', 'unknown']).optional(),
  faults: z.array(fault).optional(),
  limits: z
    .strictObject({
      /** Sends in any one second above which the Page is cut off; null for no limit. */
      perSecond: z.number().int().positive().nullable().optional(),
      /** What the usage header gives as the time to regain access. */
      regainMinutes: z.number().nonnegative().optional(),
      /** Calls that read conversations; null for no limit. */
      conversationsPerSecond: z.number().int().positive().nullable().optional(),
      /** How much of the allowance is used up, in percent, by the usage header of every answer; without it, none has one. */
      usage: z.number().nonnegative().nullable().optional(),
    })
    .optional(),
  templates: z.array(template).optional(),
  /** Openers that do not open the window here: the platform's own pages disagree on `comment` and `visitor_post`. */
  closed_openers: z.array(z.enum(OPENERS)).optional(),
  /** Where echoes and what users do are posted. */
  webhook: webhook.optional(),
  /** Whether the webhook also tells of each message that it was delivered; on Messenger only, as in life. */
  receipts: z.boolean().optional(),
});

/** A seed as it is written. */
export type SeedInput = z.input<typeof seed>;
export type FaultRule = z.output<typeof fault>;

export interface SandboxTemplate {
  name: string;
  language: string;
  status: string;
  category: string;
  parameter_format: 'NAMED' | 'POSITIONAL';
  components: Record<string, unknown>[];
  reason: string | null;
}

export interface SandboxPage {
  id: string;
  token: string;
  secret?: string;
  name: string;
  channel: 'messenger' | 'instagram';
  instagram: { id: string; username: string };
  permissions: readonly string[];
  /** null: never. */
  tokenExpiresAt: number | null;
  dataAccessExpiresAt: number | null;
  refuses?: string;
}

export interface WebhookTarget {
  url: string;
  secret: string;
  batch: number;
  duplicate: boolean;
  reorder: boolean;
}

export interface SandboxUser {
  id: string;
  /** null: has never written. */
  openedAt: number | null;
  opener: Opener;
  /** `normal`, or the code of the error that messages to this user get. */
  behaviour: string;
}

export interface Seed {
  page: SandboxPage;
  users: SandboxUser[];
  unseeded: 'open' | 'unknown';
  faults: FaultRule[];
  limits: {
    perSecond: number | null;
    regainMinutes: number;
    conversationsPerSecond: number | null;
    usage: number | null;
  };
  templates: SandboxTemplate[];
  closedOpeners: Opener[];
  webhook: WebhookTarget | null;
  receipts: boolean;
}

/** The Page of a seed that names none, so that a sandbox needs no preparation. */
export const SANDBOX_PAGE = { id: '102938475601928', token: 'sandbox-page-token', name: 'Sandbox Page' } as const;
const SANDBOX_INSTAGRAM = { id: '17841400000000001', username: 'sandbox' } as const;
const ALL_PERMISSIONS = [
  ...new Set(Object.values(PERMISSIONS).flatMap(({ send, read, templates }) => [...send, ...read, ...templates])),
];

/**
 * @param value as read from JSON; `undefined` for a sandbox with nothing in it
 * @param now what times such as "-3h" count from
 * @throws Failure CONFIG_INVALID
 */
export function parseSeed(value: unknown, now: number): Seed {
  const given = check(seed, value ?? {}, 'The sandbox seed');
  const users = (given.users ?? []).map((written) => resolveUser(written, now));
  const seen = new Set<string>();
  users.forEach(({ id }, index) => {
    if (seen.has(id)) throw new Failure('CONFIG_INVALID', `The sandbox seed: users[${index}].id: stands there twice`);
    seen.add(id);
  });
  const { id, token, secret, name, channel, instagram, permissions, tokenExpiresAt, dataAccessExpiresAt, refuses } =
    given.page ?? {};
  return {
    page: {
      id: id ?? SANDBOX_PAGE.id,
      token: token ?? SANDBOX_PAGE.token,
      name: name ?? SANDBOX_PAGE.name,
      channel: channel ?? 'messenger',
      instagram: {
        id: instagram?.id ?? SANDBOX_INSTAGRAM.id,
        username: instagram?.username ?? SANDBOX_INSTAGRAM.username,
      },
      permissions: permissions ?? ALL_PERMISSIONS,
      tokenExpiresAt: tokenExpiresAt === undefined ? null : resolveInstant(tokenExpiresAt, now),
      dataAccessExpiresAt: dataAccessExpiresAt === undefined ? null : resolveInstant(dataAccessExpiresAt, now),
      ...(secret !== undefined && { secret }),
      ...(refuses !== undefined && { refuses }),
    },
    users,
    unseeded: given.unseeded ?? 'open',
    faults: given.faults ?? [],
    limits: {
      perSecond: given.limits?.perSecond === undefined ? 40 : given.limits.perSecond,
      regainMinutes: given.limits?.regainMinutes ?? 1,
      conversationsPerSecond:
        given.limits?.conversationsPerSecond === undefined ? 2 : given.limits.conversationsPerSecond,
      usage: given.limits?.usage ?? null,
    },
    templates: (given.templates ?? []).map(({ body, components, ...written }) => ({
      ...written,
      status: written.status ?? 'APPROVED',
      category: written.category ?? 'UTILITY',
      parameter_format: written.parameter_format ?? 'POSITIONAL',
      components: components ?? [{ type: 'BODY', text: body }],
      reason: written.reason ?? null,
    })),
    closedOpeners: given.closed_openers ?? [],
    webhook: given.webhook === undefined ? null : resolveWebhook(given.webhook),
    receipts: given.receipts ?? false,
  };
}

/** @throws Failure CONFIG_INVALID */
export function parseFaults(value: unknown): FaultRule[] {
  return check(z.strictObject({ faults: z.array(fault) }), value, 'The faults').faults;
}

/** A change to the templates of a name while the sandbox runs. */
export interface TemplateChange {
  name: string;
  /** Undefined: in every language. */
  language?: string | undefined;
  status?: string | undefined;
  reason?: string | undefined;
}

/** Reads `{templates: [{name, language?, status?, reason?}]}`, or one template alone. @throws Failure CONFIG_INVALID */
export function parseTemplateChanges(value: unknown): TemplateChange[] {
  const change = z.strictObject({
    name: z.string().min(1),
    language: z.string().optional(),
    status: z.string().optional(),
    reason: z.string().optional(),
  });
  const list = z.strictObject({ templates: z.array(change) });
  const many = typeof value === 'object' && value !== null && 'templates' in value;
  return many ? check(list, value, 'The templates').templates : [check(change, value, 'The template')];
}

/** Reads `{percent}`. @throws Failure CONFIG_INVALID */
export function parseUsage(value: unknown): number | null {
  return check(z.strictObject({ percent: z.number().nonnegative().nullable() }), value, 'The usage').percent;
}

/** Reads where webhooks go from now on. @throws Failure CONFIG_INVALID */
export function parseWebhook(value: unknown): WebhookTarget {
  return resolveWebhook(check(webhook, value, 'The webhook'));
}

/** Real posts hold a few events; how many there may be is not stated for them. */
const EVENTS_IN_A_POST = 20;

function resolveWebhook({ url, secret, batch, duplicate, reorder }: z.output<typeof webhook>): WebhookTarget {
  return {
    url,
    secret,
    batch: batch ?? EVENTS_IN_A_POST,
    duplicate: duplicate ?? false,
    reorder: reorder ?? false,
  };
}

/**
 * What users do besides the openers. A reply to a story is a message; the others open no window. `unsend` takes their last
 * message back, `read` opens the conversation with all that was sent to them.
 */
const OTHER_ACTS = ['story_reply', 'ad_click', 'unreact', 'unsend', 'stop_notifications', 'read'] as const;
export type ActKind = Opener | (typeof OTHER_ACTS)[number];

/** Something that a user does, of which the app hears by webhook. */
export interface UserAct {
  kind: ActKind;
  /** Milliseconds since 1970, UTC. */
  at: number;
  /** What they write, or the title of the button. */
  text: string;
  /** Of the button or quick reply; null where there is none. */
  payload: string | null;
  /** Whether another app answers this user at the moment, so that this one only listens. */
  isStandby: boolean;
}

/** A change to some users while the sandbox runs. */
export interface UserChange {
  id: string;
  /** Undefined: the window stays as it is. */
  openedAt?: number;
  opener?: Opener;
  behaviour?: string;
  act?: UserAct;
}

/**
 * Reads `{users: [{id, opened_at?, opener?, behaviour?, text?, payload?, act?, standby?}]}`, or one user alone. Without
 * `opened_at`, an `opener`, a `text`, a `payload` or an `act` is something that the user does now.
 * @throws Failure CONFIG_INVALID
 */
export function parseUserChanges(value: unknown, now: number): UserChange[] {
  const change = user
    .extend({
      text: z.string().optional(),
      payload: z.string().optional(),
      act: z.enum(OTHER_ACTS).optional(),
      standby: z.boolean().optional(),
    })
    .refine(({ act, opener, opened_at }) => act === undefined || (opener ?? opened_at) === undefined, {
      path: ['act'],
      error: 'goes with neither opener nor opened_at',
    })
    .refine(
      ({ payload, act, opener }) =>
        payload === undefined || (act === undefined && ['message', 'button'].includes(opener ?? 'message')),
      { path: ['payload'], error: 'goes with a message or a button only' },
    );
  const list = z.strictObject({ users: z.array(change) });
  const many = typeof value === 'object' && value !== null && 'users' in value;
  const written = many ? check(list, value, 'The users').users : [check(change, value, 'The user')];
  return written.map(({ id, opened_at, behaviour, ...does }) => ({
    id,
    ...(behaviour !== undefined && { behaviour: BEHAVIOUR_CODE[behaviour] ?? behaviour }),
    ...(opened_at === undefined
      ? actNow(does, now)
      : { openedAt: resolveInstant(opened_at, now), ...(does.opener !== undefined && { opener: does.opener }) }),
  }));
}

function actNow(
  {
    opener,
    text,
    payload,
    act,
    standby,
  }: {
    opener?: Opener | undefined;
    text?: string | undefined;
    payload?: string | undefined;
    act?: (typeof OTHER_ACTS)[number] | undefined;
    standby?: boolean | undefined;
  },
  now: number,
): Pick<UserChange, 'act' | 'opener' | 'openedAt'> {
  if ((opener ?? text ?? payload ?? act) === undefined) return {};
  const kind = act ?? opener ?? 'message';
  const done: UserAct = {
    kind,
    at: now,
    text: text ?? 'Hello',
    payload: payload ?? null,
    isStandby: standby ?? false,
  };
  const opens = kind === 'story_reply' ? 'message' : isOpener(kind) ? kind : null;
  return opens === null ? { act: done } : { act: done, opener: opens, openedAt: now };
}

function isOpener(kind: ActKind): kind is Opener {
  return (OPENERS as readonly string[]).includes(kind);
}

/** What is meant by a behaviour's name; `no_match` depends on the channel and stays a name. */
const BEHAVIOUR_CODE: Record<string, string> = { unavailable: '551/1545041' };

function resolveUser({ id, opened_at, opener, behaviour }: z.output<typeof user>, now: number): SandboxUser {
  return {
    id,
    openedAt: opened_at === undefined ? null : resolveInstant(opened_at, now),
    opener: opener ?? 'message',
    behaviour: BEHAVIOUR_CODE[behaviour ?? ''] ?? behaviour ?? 'normal',
  };
}

function resolveInstant(value: string | number, now: number): number {
  if (typeof value === 'number') return value;
  const away = FROM_NOW.exec(value);
  if (!away) return Date.parse(value);
  return Math.round(now + Number(away[1]) * UNIT_MS[away[2] as keyof typeof UNIT_MS]);
}

function check<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const places = result.error.issues.slice(0, 5).map((issue) => `${placeOf(issue.path)}${issue.message}`);
  throw new Failure('CONFIG_INVALID', `${what}: ${places.join('; ')}`);
}

function placeOf(path: readonly PropertyKey[]): string {
  let place = '';
  for (const key of path) {
    if (typeof key === 'number') place += `[${key}]`;
    else place += `${place === '' ? '' : '.'}${String(key)}`;
  }
  return place === '' ? '' : `${place}: `;
}
