/**
 * Hears what came in: reads the deliveries that wait, decides what is to be said to whom, and hands all of it to the store,
 * which does it in one step. So whatever happens, and however many listen, everything is done once. Nothing is sent here.
 */
import { Failure } from '../core/failure.js';
import { flowFor, listensOn, type Flow } from '../core/flow.js';
import { freeTextTemplate } from '../core/free-text.js';
import { inLanguage, normalWord, optOutWord, OPT_OUT_FLOW } from '../core/opt-out.js';
import type { RuleRow } from '../core/policy.js';
import { senderKey } from '../core/sender.js';
import { isWritten, windowState, type LastOpener, type Opener } from '../core/window.js';
import type {
  Account,
  Clock,
  DeadReason,
  Delivery,
  DeliveryContent,
  HeardDelivery,
  HeardResult,
  NewSingle,
  Store,
  UserEvent,
} from '../ports.js';
import { campaignOf, flowMessage, type FlowConfiguration, type FlowMessage } from './flow-message.js';

export interface HearWorld {
  store: Store;
  clock: Clock;
  readDelivery: (delivery: Delivery) => DeliveryContent;
  configuration: FlowConfiguration;
}

/** What came of an event that a flow waits for. A row of the vendors' pages: that row refuses the answer. */
export type AnswerResult =
  | 'queued'
  /** Counted beside `queued`: the sentence that says that it is automatic is called for, and has no place in it. */
  | 'undisclosed'
  /** The event was too old when it was heard. */
  | 'late'
  | 'quiet_hours'
  /** The flow has had its message to the person, or the loop guard holds; or the event was answered already. */
  | 'limit'
  | 'guard'
  | 'occasion'
  /** The template, or what the flow puts into it, cannot be sent. */
  | 'template'
  | RuleRow;

/** What was heard of an account. */
export interface AccountReport {
  events: Partial<Record<Opener, number>>;
  echoes: number;
  receipts: number;
  /** Told by the service or written by people, opting back in as well. */
  optOuts: number;
  /** By flow. */
  answers: Map<string, Partial<Record<AnswerResult, number>>>;
}

export interface HearReport {
  /** How many deliveries were read; 0 when none waits. */
  read: number;
  /** How many of them were heard or put aside here, rather than by somebody else meanwhile. All else is about these. */
  heard: number;
  /** By `senderKey`. */
  accounts: Map<string, AccountReport>;
  /** The accounts that have messages to send now, or later. */
  queuedFor: Set<string>;
  openersMoved: number;
  rowsSettled: number;
  receiptsMatched: number;
  /** How many opt-outs are confirmed to whoever opted out. */
  confirmations: number;
  /** Dead letters. */
  dead: Partial<Record<DeadReason, number>>;
  /** What deliveries tell that is nobody's concern here, by kind. */
  ignored: Partial<Record<string, number>>;
  /** What kept deliveries from being heard, one for each that was put aside for it. */
  failures: unknown[];
}

/** Deliveries that tell of so many things are a step of their own: while the store takes one, nobody else can write to it. */
const MOST_THINGS = 2000;
/** Whoever gets a confirmation later than that has long seen that there are no more messages. */
const CONFIRM_WITHIN_MS = 10 * 60_000;
/** A program that opts out and in for ever is not told each time. */
const CONFIRM_AGAIN_MS = 60_000;

/** @throws Failure STORE_…; nothing was done then */
export async function hearReceived(world: HearWorld, limit: number): Promise<HearReport> {
  const { store, clock } = world;
  const hearing = new Hearing(world, clock.now());
  const decisions: Decision[] = [];
  let things = 0;
  for (const delivery of await store.received(limit)) {
    if (things >= MOST_THINGS) break;
    const decision = await hearing.decide(delivery).catch((error: unknown) => putAside(delivery, error));
    const { events, echoes, receipts } = decision.heard;
    things += events.length + echoes.length + receipts.length;
    decisions.push(decision);
  }
  if (decisions.length === 0) return newReport();
  return reportOn(await hearAll(store, decisions, clock.now()));
}

/**
 * A delivery that comes to an error each time would keep all that come after it waiting for ever, so it becomes a dead letter.
 * @throws the error where it is no delivery's fault: a busy store, or a full disk
 */
function putAside(delivery: Delivery, error: unknown): Decision {
  if (error instanceof Failure) throw error;
  const nothing = { events: [], echoes: [], receipts: [], optOuts: [], singles: [], confirmations: [] };
  const heard = { delivery, ...nothing, dead: 'failed' as const };
  return { heard, ignored: {}, unanswered: [], undisclosed: new Set(), failures: [error] };
}

/** A decision that was carried out. */
interface Done {
  decision: Decision;
  /** Null where somebody else has heard the delivery. */
  result: HeardResult | null;
}

/** Hears all of them in one step. One that the store cannot take is looked for and put aside. */
async function hearAll(store: Store, decisions: readonly Decision[], now: number): Promise<Done[]> {
  try {
    return await carryOut(store, decisions, now);
  } catch (error) {
    const [one] = decisions;
    if (one !== undefined && decisions.length === 1) {
      return carryOut(store, [putAside(one.heard.delivery, error)], now);
    }
    if (error instanceof Failure) throw error;
    const middle = Math.ceil(decisions.length / 2);
    const first = await hearAll(store, decisions.slice(0, middle), now);
    return [...first, ...(await hearAll(store, decisions.slice(middle), now))];
  }
}

async function carryOut(store: Store, decisions: readonly Decision[], now: number): Promise<Done[]> {
  const heard = decisions.map((decision) => decision.heard);
  const results = await store.hear(heard, now);
  return decisions.map((decision, index) => ({ decision, result: results[index] ?? null }));
}

/** What is to be done about a delivery, and what is told of it once that is done. */
interface Decision {
  heard: HeardDelivery;
  ignored: DeliveryContent['ignored'];
  /** Events that a flow waits for and does not answer. */
  unanswered: { account: string; flow: string; because: AnswerResult }[];
  /** Answers without the sentence that says that they are automatic, although it is called for. */
  undisclosed: ReadonlySet<NewSingle>;
  /** What kept it from being heard, where it is put aside. */
  failures: readonly unknown[];
}

/** What an account's flows wait for. */
interface Ear {
  /** Whichever of its names comes first. */
  account: Account;
  flows: Flow[];
  /** The name that a flow sends from. */
  senders: Map<Flow, Account>;
  /** As `normalWord` gives them. */
  keywords: Set<string>;
  payloads: Set<string>;
  waitsForFirst: boolean;
}

/** Decides about deliveries that are heard together. */
class Hearing {
  readonly #world: HearWorld;
  readonly #now: number;
  readonly #ears: ReadonlyMap<string, Ear>;
  readonly #optOutWords: ReadonlySet<string>;
  /** Those who have written by these deliveries, where that matters; the store need not know of it yet. */
  readonly #haveWritten = new Set<string>();

  constructor(world: HearWorld, now: number) {
    this.#world = world;
    this.#now = now;
    const { ears, optOutWords } = listening(world.configuration);
    this.#ears = ears;
    this.#optOutWords = optOutWords;
  }

  async decide(delivery: Delivery): Promise<Decision> {
    const { events, echoes, receipts, optOuts: told, dead, ignored } = this.#world.readDelivery(delivery);
    const singles: NewSingle[] = [];
    const confirmations: NewSingle[] = [];
    const optOuts = [...told];
    const unanswered: Decision['unanswered'] = [];
    const undisclosed = new Set<NewSingle>();
    for (const event of events) {
      const { account, userId, openedAt: at } = event;
      const ear = this.#ears.get(account);
      const isWriting = isWritten(event.opener);
      const isFirstHere = isWriting && ear?.waitsForFirst === true && this.#isFirstHere(event);
      const word = isWriting ? normalWord(event.text ?? '') : '';
      const mayBeWish = this.#optOutWords.has(word) && !this.#isOffered(event, ear);
      const wish = mayBeWish ? await this.#wish(event) : null;
      if (wish !== null) {
        optOuts.push({ account, userId, at, out: wish.out, source: 'keyword' });
        const isConfirmed = wish.out && event.standby !== true;
        const confirmation = isConfirmed && ear ? this.#confirmation(event, ear.account, wish.language) : null;
        if (confirmation !== null) confirmations.push(confirmation);
        continue;
      }
      // Two programs would talk at once, and the platform refuses the one that does not have the conversation.
      if (ear === undefined || ear.flows.length === 0 || event.standby === true) continue;
      const flow = await this.#answeringFlow(event, ear, ear.keywords.has(word), isFirstHere);
      if (flow === null) continue;
      const answer = await this.#answer(event, flow, ear.senders.get(flow) ?? ear.account);
      if (answer.kind !== 'message') unanswered.push({ account, flow: flow.name, because: whyNot(answer) });
      else {
        singles.push(answer.single);
        if (answer.isUndisclosed) undisclosed.add(answer.single);
      }
    }
    const heard = { delivery, events, echoes, receipts, optOuts, dead, singles, confirmations };
    return { heard, ignored, unanswered, undisclosed, failures: [] };
  }

  /** Whether these deliveries have told of nothing else that the person wrote. */
  #isFirstHere({ account, userId }: UserEvent): boolean {
    const before = this.#haveWritten.size;
    return this.#haveWritten.add(`${account} ${userId}`).size > before;
  }

  /** Whether a reply was tapped that a flow waits for: one called "Cancel" may cancel an order, and is no opt-out. */
  #isOffered({ payload }: UserEvent, ear: Ear | undefined): boolean {
    return payload !== null && ear?.payloads.has(payload) === true && !this.#optOutWords.has(normalWord(payload));
  }

  /** Whether a person opts out, or back in, and in which language they are to be told; null when the word is of another language. */
  async #wish(event: UserEvent): Promise<{ out: boolean; language: string } | null> {
    const { optOut, templates } = this.#world.configuration;
    const last = await this.#world.store.lastLanguage(event.account, event.userId);
    // Where nothing is known of the person, a word that is also English is: "stop" stands in half of the lists.
    const languages = last === null ? ['en', ...new Set(templates.map((template) => template.language))] : [last];
    const word = optOutWord(event.text ?? '', optOut, languages);
    return word && { out: word.out, language: last ?? word.language };
  }

  #confirmation(event: UserEvent, account: Account, language: string): NewSingle | null {
    const { confirmation } = this.#world.configuration.optOut;
    const text = confirmation && inLanguage(confirmation, language);
    const expiresAt = event.openedAt + CONFIRM_WITHIN_MS;
    // Twilio answers such words itself, and refuses whatever we send from then on (21610).
    if (text === null || account.provider === 'twilio' || this.#now >= expiresAt) return null;
    return {
      campaign: campaignOf(account, 'auto-reply', OPT_OUT_FLOW, freeTextTemplate(account.channel)),
      userId: event.userId,
      values: [text],
      occasion: event.id,
      answersAt: event.openedAt,
      notBefore: null,
      expiresAt,
      onceSince: this.#now - CONFIRM_AGAIN_MS,
      guard: null,
    };
  }

  /** @param isFirstHere as `#isFirstHere` */
  async #answeringFlow(event: UserEvent, ear: Ear, isKeyword: boolean, isFirstHere: boolean): Promise<Flow | null> {
    const { opener, text, payload } = event;
    const told = { opener, text: isKeyword ? text : null, payload };
    const flow = flowFor(ear.flows, told, false);
    const mayBeFirst = isFirstHere && (flow === null || flow.trigger.on === 'opener');
    if (!mayBeFirst) return flow;
    const known = await this.#world.store.openersOf(event.account, event.userId);
    return flowFor(ear.flows, told, !known.some((one) => isWritten(one.opener)));
  }

  async #answer(event: UserEvent, flow: Flow, account: Account): Promise<FlowMessage> {
    return flowMessage(this.#world, {
      flow,
      account,
      userId: event.userId,
      values: {},
      occasion: event.id,
      event,
      last: await this.#lastOpener(event),
      now: this.#now,
    });
  }

  async #lastOpener(event: UserEvent): Promise<LastOpener | null> {
    const { store, configuration } = this.#world;
    const counts = configuration.window.openers[event.opener];
    if (counts && windowState(event, this.#now, configuration.window) === 'open') return event;
    const [standing] = await store.standings(event.account, [event.userId], configuration.window);
    return standing?.last ?? null;
  }
}

interface Listening {
  /** By `senderKey`. */
  ears: ReadonlyMap<string, Ear>;
  /** In any language, as `normalWord` gives them. */
  optOutWords: ReadonlySet<string>;
}

/** The same for every delivery, as long as nobody changes the configuration. */
const listenings = new WeakMap<FlowConfiguration, Listening>();

function listening(configuration: FlowConfiguration): Listening {
  const known = listenings.get(configuration);
  if (known) return known;
  const { accounts, owners, flows, optOut } = configuration;
  const ears = new Map<string, Ear>();
  for (const account of accounts) {
    const key = senderKey(account);
    const ear = ears.get(key) ?? newEar(account);
    ears.set(key, ear);
    for (const flow of flows) {
      if (ear.senders.has(flow) || !listensOn(flow, account.name, owners)) continue;
      ear.flows.push(flow);
      ear.senders.set(flow, account);
      if (flow.trigger.on === 'keyword') for (const word of flow.trigger.words) ear.keywords.add(normalWord(word));
      if (flow.trigger.on === 'payload') for (const payload of flow.trigger.payloads) ear.payloads.add(payload);
      ear.waitsForFirst ||= flow.trigger.on === 'first_message';
    }
  }
  const words = [...Object.values(optOut.out), ...Object.values(optOut.in)].flat();
  const made = { ears, optOutWords: new Set(words.map(normalWord).filter((word) => word !== '')) };
  listenings.set(configuration, made);
  return made;
}

function newEar(account: Account): Ear {
  return { account, flows: [], senders: new Map(), keywords: new Set(), payloads: new Set(), waitsForFirst: false };
}

function whyNot(answer: Exclude<FlowMessage, { kind: 'message' }>): AnswerResult {
  switch (answer.kind) {
    case 'late':
    case 'quiet_hours':
      return answer.kind;
    case 'forbidden':
      return answer.verdict.row;
    case 'no_template':
    case 'values':
    case 'blocked':
    case 'faulty_template':
    case 'invalid':
      return 'template';
  }
}

function newReport(): HearReport {
  return {
    read: 0,
    heard: 0,
    accounts: new Map(),
    queuedFor: new Set(),
    openersMoved: 0,
    rowsSettled: 0,
    receiptsMatched: 0,
    confirmations: 0,
    dead: {},
    ignored: {},
    failures: [],
  };
}

function reportOn(done: readonly Done[]): HearReport {
  const report = newReport();
  report.read = done.length;
  for (const { decision, result } of done) if (result !== null) addTo(report, decision, result);
  return report;
}

function addTo(report: HearReport, decision: Decision, result: HeardResult): void {
  const { heard, ignored, unanswered, undisclosed, failures } = decision;
  const accountReport = (account: string): AccountReport => {
    const made = report.accounts.get(account) ?? { events: {}, echoes: 0, receipts: 0, optOuts: 0, answers: new Map() };
    report.accounts.set(account, made);
    return made;
  };
  const addAnswer = (account: string, flow: string, what: AnswerResult): void => {
    const { answers } = accountReport(account);
    const tally = answers.get(flow) ?? {};
    answers.set(flow, tally);
    count(tally, what);
  };
  report.heard += 1;
  report.openersMoved += result.openersMoved;
  report.rowsSettled += result.rowsSettled;
  report.receiptsMatched += result.receiptsMatched;
  report.failures.push(...failures);
  if (heard.dead !== null) count(report.dead, heard.dead);
  for (const [kind, times = 0] of Object.entries(ignored)) count(report.ignored, kind, times);
  for (const { account, opener } of heard.events) count(accountReport(account).events, opener);
  for (const { account } of heard.echoes) accountReport(account).echoes += 1;
  for (const { account } of heard.receipts) accountReport(account).receipts += 1;
  for (const { account } of heard.optOuts) accountReport(account).optOuts += 1;
  for (const { account, flow, because } of unanswered) addAnswer(account, flow, because);
  heard.singles.forEach((single, index) => {
    const { account, flow } = single.campaign;
    const queued = result.singles[index];
    if (queued?.kind === 'queued') {
      report.queuedFor.add(account);
      if (undisclosed.has(single)) addAnswer(account, flow ?? '', 'undisclosed');
    }
    if (queued) addAnswer(account, flow ?? '', queued.kind === 'queued' ? 'queued' : queued.because);
  });
  const confirmed = result.singles.slice(heard.singles.length).filter(({ kind }) => kind === 'queued').length;
  report.confirmations += confirmed;
  // Which of them were called for is not told; to look at an account in vain does no harm.
  if (confirmed > 0) for (const { campaign } of heard.confirmations) report.queuedFor.add(campaign.account);
}

function count<Key extends string>(counts: Partial<Record<Key, number>>, key: Key, times = 1): void {
  counts[key] = (counts[key] ?? 0) + times;
}
