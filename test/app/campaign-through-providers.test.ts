/**
 * The same campaign through every provider: a real ledger, the real provider, real HTTP on loopback, and on the way to the
 * platform everything that goes wrong there. The judge is what the platform's own record says each person received.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunRequest, RunResult, RunWorld } from '../../src/app/run.js';
import { senderKey } from '../../src/core/sender.js';
import type { Template } from '../../src/core/template.js';
import type { Account, Clock, MessageRow, Provider, Random, RunStep } from '../../src/ports.js';
import { openProvider } from '../../src/providers/index.js';
import { SANDBOX_PAGE } from '../../src/sandbox/seed.js';
import { CAMS_KEY, CAMS_SPACE, CamsServer } from '../support/cams-server.js';
import { FaultyWay, type Trouble } from '../support/faulty-way.js';
import { run, wrote } from '../support/fixtures-run.js';
import {
  collect,
  exactWindow,
  HOUR,
  NOW,
  openLedger,
  readyCampaign,
  rows,
  successor,
  template,
  type OpenLedger,
} from '../support/fixtures.js';
import { machineClock, type CannedReply } from '../support/provider-contract.js';
import { seededRandom, testSandbox } from '../support/sandbox-harness.js';
import { expectSum } from '../support/store-contract.js';
import { TwilioServer } from '../support/twilio-server.js';

const PEOPLE = 2000;
/** Of a campaign that is interrupted. */
const FEWER = 500;

/** Real time, but no sleep takes longer than so long: what is left of it passes at once. */
class HastyClock implements Clock {
  readonly #longestMs: number;
  readonly #origin = performance.now();
  #passed = 0;

  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  now(): number {
    return NOW + Math.trunc(this.monotonic());
  }

  monotonic(): number {
    return performance.now() - this.#origin + this.#passed;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until = this.monotonic() + ms;
    if (this.#longestMs > 0) await pause(Math.min(ms, this.#longestMs), undefined, { signal }).catch(() => undefined);
    if (signal?.aborted !== true) this.#passed += Math.max(0, until - this.monotonic());
  }
}

// ------------------------------------------------------------------------------------------------- what goes wrong

/** Whatever the service, and whether or not it has heard of the request. */
const ON_THE_WAY: readonly Trouble[] = [
  { label: 'an answer that comes late', reaches: true, lateMs: 15 },
  { label: 'dropped before it arrives', reaches: false, reply: { fault: 'drop' }, hides: true },
  { label: 'dropped after it arrived', reaches: true, reply: { fault: 'drop' }, hides: true },
  { label: 'reset after it arrived', reaches: true, reply: { fault: 'reset' }, hides: true },
  { label: 'an answer that is cut off', reaches: true, reply: { fault: 'cut' }, hides: true },
  { label: 'a server error before anything is done', reaches: false, reply: { status: 502, body: '' }, hides: true },
  { label: 'a server error after it is done', reaches: true, reply: { status: 503, body: {} }, hides: true },
  { label: 'an answer that is none', reaches: true, reply: { status: 200, body: '{"recipient_id":"10' }, hides: true },
  { label: 'not taken up', reaches: false, reply: { status: 404, body: '<html>no such page</html>' } },
];

const refusing = (label: string, reply: CannedReply, spell = 1): Trouble => ({ label, reaches: false, reply, spell });

function graphLimit(code: number, type: string, spell?: number): Trouble {
  const usage = { [SANDBOX_PAGE.id]: [{ type, call_count: 100, estimated_time_to_regain_access: 1 }] };
  const headers = { 'x-business-use-case-usage': JSON.stringify(usage) };
  const error = { message: 'too many calls', type: 'OAuthException', code };
  return refusing('a limit', { status: 400, headers, body: { error } }, spell);
}

const GRAPH_BUSY = '1200';
const graphBusy = refusing('a temporary failure', {
  status: 400,
  body: { error: { message: 'try again', type: 'OAuthException', code: Number(GRAPH_BUSY) } },
});
/** Of a whole batch it does not say that nothing of it was done. */
const graphBatchBusy: Trouble = { ...graphBusy, hides: 'of several' };
const camsLimit = (spell: number): Trouble =>
  refusing('a limit', { status: 400, body: { Code: 'Throttling.User', Message: 'flow control' } }, spell);
const twilioLimit = refusing(
  'a limit',
  { status: 429, headers: { 'retry-after': '20' }, body: { code: 20429, message: 'Too Many Requests', status: 429 } },
  3,
);

// ------------------------------------------------------------------------------------------------- the services

interface Delivery {
  userId: string;
  /** What the platform calls the message; null where it keeps nothing of that. */
  messageId: string | null;
  /** All that it keeps of it. */
  content: unknown;
}

interface Service {
  label: string;
  account: Pick<Account, 'provider' | 'channel' | 'id'>;
  template: Template;
  /** Of the nth person. */
  idOf: (n: number) => string;
  /** Finds people in a request. */
  people: RegExp;
  /** Whom the service refuses: the code of it by the person's id. */
  refused: ReadonlyMap<string, string>;
  /** The code with which somebody is refused who has opted out. */
  optedOut: string | null;
  troubles: readonly Trouble[];
  /** One request in so many meets a trouble. */
  oneIn: number;
  /** So many kinds of trouble a campaign meets at least. */
  kinds: number;
  /** The most people that one call carries. */
  perCall: number;
  /** At which a run takes many steps to send to some hundred people. */
  slowPace: number;
  start: (refused: ReadonlyMap<string, string>) => Promise<{
    url: string;
    /** @param baseUrl where the service is for the provider */
    open: (baseUrl: string) => Provider;
    received: () => Delivery[];
  }>;
}

const platformId = (n: number): string => `7600${String(n).padStart(12, '0')}`;
const PLATFORM_IDS = /7600\d{12}/g;
const phone = (n: number): string => `+49151${String(n).padStart(8, '0')}`;
const PHONES = /49151\d{8}/g;

/** Ten people for each code, all over the campaign. */
function refusedWith(codes: readonly string[], idOf: (n: number) => string): Map<string, string> {
  return new Map(
    codes.flatMap((code, place) =>
      Array.from({ length: 10 }, (_, index) => [idOf(200 * index + 30 * (place + 1)), code] as const),
    ),
  );
}

const SECRET = 'the-app-secret';
const INSTAGRAM = '17841400000000001';

function graph(
  label: string,
  channel: 'messenger' | 'instagram',
  settings: { batch?: number; login?: 'instagram' } = {},
): Service {
  const [absent, limit] = channel === 'messenger' ? ['100/2018001', 80006] : ['100/2534014', 80002];
  const id = settings.login === 'instagram' ? INSTAGRAM : SANDBOX_PAGE.id;
  const { batch: perCall = 1 } = settings;
  const optedOut = '10/1893015';
  return {
    label,
    account: { provider: 'sandbox', channel, id },
    template,
    idOf: platformId,
    people: PLATFORM_IDS,
    refused: refusedWith(['551/1545041', absent, optedOut, '10/2018108'], platformId),
    optedOut,
    perCall,
    ...(perCall > 1
      ? { troubles: [...ON_THE_WAY, graphLimit(limit, channel), graphBatchBusy], oneIn: 3, kinds: 8, slowPace: 50 }
      : { troubles: [...ON_THE_WAY, graphLimit(limit, channel, 3), graphBusy], oneIn: 25, kinds: 11, slowPace: 2000 }),
    async start(refused) {
      const { sandbox } = await testSandbox({
        page: { channel, secret: SECRET, instagram: { id: INSTAGRAM } },
        unseeded: 'unknown',
        limits: { perSecond: null },
        users: Array.from({ length: PEOPLE }, (_, index) => {
          const code = refused.get(platformId(index + 1));
          const behaviour = code === absent ? 'no_match' : code;
          return { id: platformId(index + 1), opened_at: '-1h', ...(behaviour !== undefined && { behaviour }) };
        }),
      });
      const { token } = sandbox.page;
      const root = settings.login === 'instagram' ? '/graph.instagram.com' : '';
      return {
        url: sandbox.url,
        open: (baseUrl) =>
          openProvider(
            'sandbox',
            { channel, id, token, appSecret: SECRET, baseUrl: `${baseUrl}${root}`, ...settings },
            machineClock,
          ),
        received: () =>
          sandbox.state.received().map(({ user, mid, ...content }) => ({ userId: user, messageId: mid, content })),
      };
    },
  };
}

function cams(
  label: string,
  own: Pick<Service, 'template' | 'idOf' | 'refused' | 'troubles' | 'oneIn' | 'kinds' | 'perCall'>,
): Service {
  const account = { provider: 'cams', channel: 'messenger', id: SANDBOX_PAGE.id } as const;
  return {
    label,
    account,
    people: PLATFORM_IDS,
    optedOut: null,
    slowPace: 50,
    ...own,
    async start(refused) {
      // It lets 200 calls through in a second, and ten of those that carry many messages.
      const clock = new HastyClock(0);
      const server = await CamsServer.start(() => clock.now());
      onTestFinished(() => server.close());
      for (const [userId, code] of refused) server.refusals.set(userId, code.replace('cams:', ''));
      return {
        url: server.url,
        open: (baseUrl) => openProvider('cams', { ...account, ...CAMS_KEY, spaceId: CAMS_SPACE, baseUrl }, clock),
        received: () =>
          [...server.received].flatMap(([userId, deliveries]) =>
            deliveries.map((content) => ({ userId, messageId: null, content })),
          ),
      };
    },
  };
}

const camsTemplate = { ...template, cams: { code: '744c4b5c79c9432497a075bdfca36bf5' } };
/** Some have ids that CAMS does not take. */
const ODD = [2, 222, 500, 1400, 2000];
const oddId = (n: number): string => (ODD.includes(n) ? `${platformId(n)}x` : platformId(n));

const NUMBER = '+15005550006';
const TWILIO_BEHAVIOURS = {
  'twilio:21610': 'opted_out',
  'twilio:21635': 'landline',
  'twilio:21408': 'country_off',
  'twilio:30005': 'fails',
} as const;

const services: readonly Service[] = [
  graph('Messenger, one by one', 'messenger'),
  graph('Messenger, fifty with a call', 'messenger', { batch: 50 }),
  graph('Instagram, linked to a Page', 'instagram'),
  graph('Instagram by itself', 'instagram', { login: 'instagram' }),
  cams('CAMS, a thousand with a call', {
    template: camsTemplate,
    idOf: oddId,
    refused: new Map(ODD.map((n) => [oddId(n), 'cams:InvalidParameter.ToOnlyNumeric'])),
    troubles: [...ON_THE_WAY, camsLimit(1)],
    oneIn: 8,
    kinds: 1,
    perCall: 1000,
  }),
  cams('CAMS, plain text', {
    template,
    idOf: platformId,
    refused: refusedWith(['cams:SessionWindowExpired', 'cams:PhoneNumberNotRegistered'], platformId),
    troubles: [...ON_THE_WAY, camsLimit(3)],
    oneIn: 25,
    kinds: 10,
    perCall: 1,
  }),
  {
    label: 'Twilio',
    account: { provider: 'twilio', channel: 'sms', id: NUMBER },
    template: { ...template, channels: ['sms'] },
    idOf: phone,
    people: PHONES,
    refused: refusedWith(Object.keys(TWILIO_BEHAVIOURS), phone),
    optedOut: 'twilio:21610',
    troubles: [...ON_THE_WAY, twilioLimit],
    oneIn: 25,
    kinds: 10,
    perCall: 1,
    slowPace: 2000,
    async start(refused) {
      const server = await TwilioServer.start();
      onTestFinished(() => server.close());
      for (const [userId, code] of refused) {
        server.behaviours.set(userId, TWILIO_BEHAVIOURS[code as keyof typeof TWILIO_BEHAVIOURS]);
      }
      const { accountSid, authToken } = server;
      return {
        url: server.url,
        open: (baseUrl) =>
          openProvider('twilio', { channel: 'sms', id: NUMBER, accountSid, authToken, baseUrl }, machineClock),
        received: () =>
          [...server.received].flatMap(([userId, texts]) =>
            texts.map(({ sid, body }) => ({ userId, messageId: sid, content: body })),
          ),
      };
    },
  },
];

// ------------------------------------------------------------------------------------------------- a campaign

type Ports = Pick<RunWorld, 'store' | 'engine'>;

interface Trial {
  service: Service;
  people: number;
  ledger: OpenLedger;
  account: string;
  way: FaultyWay;
  received: () => Delivery[];
  /** Runs the campaign, or goes on with it. */
  run: (ports?: Ports, change?: Partial<RunRequest>) => Promise<RunResult>;
}

async function trial(service: Service, people: number, pace: number, random: Random): Promise<Trial> {
  const ledger = openLedger();
  const account = senderKey(service.account);
  const staged = rows(people, (n) => ({ userId: service.idOf(n), closesAt: NOW + 23 * HOUR }));
  await ledger.store.recordOpeners(
    account,
    staged.map(({ userId }) => wrote(userId, NOW - HOUR)),
  );
  await readyCampaign(ledger.store, staged, { account, template: service.template, pace });

  const { url, open, received } = await service.start(service.refused);
  const way = await FaultyWay.start(url, { ...service, random }, service.people);
  onTestFinished(() => way.close());
  const provider = open(way.url);
  onTestFinished(() => provider.close());
  const clock = new HastyClock(10);
  return {
    service,
    people,
    ledger,
    account,
    way,
    received,
    run: ({ store, engine } = ledger, change = {}) =>
      run({ store, engine, provider, clock, random }, { budget: { count: Infinity, share: 1 }, ...change }),
  };
}

/** What must hold when a campaign is finished, by what the platform says. */
async function judge({ service, people, ledger, account, way, received }: Trial): Promise<void> {
  const { store } = ledger;
  expect(await store.campaign('c1')).toMatchObject({ state: 'finished', stop: null });
  const { counts } = await store.summary('c1');
  expect(counts).toMatchObject({ queued: 0, started: 0, total: people });
  expectSum(counts, people);

  const got = new Map<string, Delivery[]>();
  for (const one of received()) got.set(one.userId, [...(got.get(one.userId) ?? []), one]);
  const all = await collect(store.messages({ campaign: 'c1' }));
  const ids = all.map((one) => one.userId);
  // One comparison for all: as many expectations as people would take longer than the campaign.
  expect(all.flatMap((one) => contradictions(one, got.get(one.userId) ?? [], service, way))).toEqual([]);
  expect(way.again, 'sent again after an answer was lost').toEqual([]);
  for (const userId of ids) got.delete(userId);
  expect([...got.keys()], 'strangers').toEqual([]);

  const standings = await store.standings(account, ids, exactWindow);
  const saidSo = all.filter((one) => one.state === 'failed' && one.error?.code === service.optedOut);
  expect(ids.filter((_, index) => standings[index]!.optedOutAt !== null)).toEqual(saidSo.map((one) => one.userId));
}

/** What of a row does not fit what its person received. */
function contradictions(row: MessageRow, got: readonly Delivery[], service: Service, way: FaultyWay): string[] {
  const { seq, userId, state, messageId, error, reason } = row;
  const [only, ...more] = got;
  const code = error?.code;
  const refusal = service.refused.get(userId);
  const isHidden = way.hidden.has(userId.replace(/\D/g, ''));
  const wrong: [boolean, string][] = [
    [more.length > 0, 'came more than once'],
    [only !== undefined && !new RegExp(`\\bA-${seq}\\b`).test(JSON.stringify(only.content)), 'is somebody else’s'],
    [only !== undefined && refusal !== undefined, 'came to somebody who is refused'],
    [only !== undefined && state !== 'sent' && state !== 'unknown', 'came all the same'],
    [only === undefined && state === 'sent', 'never came'],
    [only?.messageId != null && state === 'sent' && only.messageId !== messageId, 'has another id'],
    [state === 'failed' && code !== (refusal ?? GRAPH_BUSY), `failed with ${code}`],
    [state === 'skipped', `was left out: ${reason}`],
    [isHidden && state !== 'unknown', 'is told for certain'],
    [!isHidden && state === 'unknown' && code !== 'RUN_DIED', `was answered, with ${code}`],
  ];
  return wrong.flatMap(([is, what]) => (is ? [`row ${seq} (${state}) ${what}`] : []));
}

// ------------------------------------------------------------------------------------------------- interruptions

const broken = new Error('broken');

type Work = () => Promise<unknown>;

/**
 * A ledger that is as it should be until a run has started some people, how many is chance.
 * @param disturb does each operation from then on, and is told which is the first
 */
function disturbed(
  { store, engine }: Ports,
  random: Random,
  disturb: (work: Work, isFirst: boolean) => Promise<unknown>,
): Ports {
  let left = Math.ceil(random.next() * 120);
  const watched = <T extends object>(port: T): T =>
    new Proxy(port, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
        return (...args: unknown[]) => {
          const work: Work = () => Reflect.apply(member, target, args);
          const wasDue = left <= 0;
          if (name === 'record') left -= (args[2] as RunStep).started.length;
          return left > 0 ? work() : disturb(work, !wasDue);
        };
      },
    });
  return { store: watched(store), engine: watched(engine) };
}

/** @returns whether it came to the end of the queue, rather than being interrupted */
async function finishes(running: Promise<RunResult>): Promise<boolean> {
  try {
    return (await running).end === 'finished';
  } catch (error) {
    if (error !== broken) throw error;
    return false;
  }
}

/** Somebody presses Ctrl-C; later a write fails; later the machine is gone. @returns how many of these came before the end */
async function interrupt({ ledger, run }: Trial, random: Random): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  const pressing = disturbed(ledger, random, (work, isFirst) => {
    if (isFirst) controller.abort();
    return work();
  });
  if (await finishes(run(pressing, { signal }))) return 0;

  const isWritten = [random.next() < 0.5, random.next() < 0.5];
  const failing = disturbed(ledger, random, async (work, isFirst) => {
    if (!isFirst) return work();
    if (isWritten[0]) await work();
    throw broken;
  });
  if (await finishes(run(failing))) return 1;

  const dying = disturbed(ledger, random, async (work, isFirst) => {
    if (isFirst && isWritten[1]) await work();
    throw broken;
  });
  return (await finishes(run(dying))) ? 2 : 3;
}

// ------------------------------------------------------------------------------------------------- the tests

/** Gives each test chance of its own; one that failed can be repeated. */
async function seeded(work: (random: Random) => Promise<void>): Promise<void> {
  const seed = Number(process.env['PAGECAST_PROVIDERS_SEED'] ?? randomInt(1_000_000_000));
  try {
    await work(seededRandom(seed));
  } catch (error) {
    throw new Error(`with PAGECAST_PROVIDERS_SEED=${seed}`, { cause: error });
  }
}

describe.each(services)('$label', (service) => {
  it(`to ${PEOPLE} people, with all that goes wrong: nobody is sent to twice, and what is said of each is true`, () =>
    seeded(async (random) => {
      const one = await trial(service, PEOPLE, Infinity, random);
      const { end, counts } = await one.run();
      expect(end).toBe('finished');
      await judge(one);
      expect(counts.sent).toBeGreaterThan(0);
      expect(one.way.met.size).toBeGreaterThanOrEqual(service.kinds);
      expect(one.way.mostPeople).toBe(service.perCall);
    }));

  it('interrupted three times, and gone on with: the same', () =>
    seeded(async (random) => {
      const one = await trial(service, FEWER, service.slowPace, random);
      expect(await interrupt(one, random)).toBeGreaterThanOrEqual(2);
      const heir = one.ledger.as(successor);
      if ((await heir.store.campaign('c1'))?.state !== 'finished') {
        expect((await one.run(heir)).end).toBe('finished');
      }
      await judge(one);
    }));
});
