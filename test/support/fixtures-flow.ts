/** What the tests of hearing, of flows and of listening start from: an account that flows answer from, and what people do. */
import { hearReceived, type AnswerResult, type HearReport, type HearWorld } from '../../src/app/hear.js';
import type { FlowConfiguration } from '../../src/app/flow-message.js';
import { DEFAULT_AUTOMATION, type Flow } from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT } from '../../src/core/opt-out.js';
import { senderKey } from '../../src/core/sender.js';
import type { Template } from '../../src/core/template.js';
import type { Account, DeliveryContent, MessageRow, SingleRow, Store, UserEvent } from '../../src/ports.js';
import { FakeClock } from './fake-clock.js';
import {
  account,
  accountKey,
  collect,
  exactWindow,
  HOUR,
  MINUTE,
  NOW,
  openLedger,
  readyCampaign,
  row,
  starting,
  template,
  user,
  type OpenLedger,
} from './fixtures.js';

export const sms: Account = { name: 'alice-sms', channel: 'sms', provider: 'twilio', id: '+15550001111', pace: 10 };
export const smsKey = senderKey(sms);
export const insta: Account = { ...account, name: 'acme-insta', channel: 'instagram', id: '178414000000000' };

/** Answers "Price" with free text; nothing else is asked of it. */
export function flow(change: Partial<Flow> = {}): Flow {
  return {
    name: 'price',
    type: 'auto-reply',
    trigger: { on: 'keyword', words: ['Price'] },
    from: account.name,
    content: { kind: 'free-text', text: 'It is 5 {{euros}}.' },
    oncePerMs: null,
    quietHours: null,
    inQuietHours: 'skip',
    expiryMs: 10 * MINUTE,
    ...change,
  };
}

export function configurationWith(flows: readonly Flow[], change: Partial<FlowConfiguration> = {}): FlowConfiguration {
  return {
    accounts: [account, insta, sms],
    owners: new Map([['alice', sms.name]]),
    flows,
    templates: [],
    window: exactWindow,
    optOut: DEFAULT_OPT_OUT,
    automation: DEFAULT_AUTOMATION,
    ...change,
  };
}

/** A template without variables, in a language. */
export function worded(language: string, change: Partial<Template> = {}): Template {
  return { ...template, name: 'welcome', language, body: `Welcome in ${language}.`, variables: [], ...change };
}

/** The nth person writes a minute ago. Each event has an id of its own unless told. */
export function wroteText(text: string | null, n = 1, change: Partial<UserEvent> = {}): UserEvent {
  const event = {
    account: accountKey,
    userId: user(n),
    openedAt: NOW - MINUTE,
    opener: 'message' as const,
    text,
    payload: null,
    ...change,
  };
  return { id: `m_${n}_${event.openedAt}_${event.text ?? event.payload ?? event.opener}`, ...event };
}

export interface HearStage extends HearWorld {
  ledger: OpenLedger;
  clock: FakeClock;
  engine: OpenLedger['engine'];
}

export function hearStage(configuration: FlowConfiguration, ledger = openLedger()): HearStage {
  const { store, engine } = ledger;
  // How callbacks are read is another matter: here a body is what was read of it.
  const readDelivery = ({ body }: { body: string }): DeliveryContent => JSON.parse(body) as DeliveryContent;
  return { ledger, store, engine, clock: new FakeClock(NOW), readDelivery, configuration };
}

/** Each of them comes in a delivery of its own. */
export async function receive(store: Store, ...contents: (UserEvent | Partial<DeliveryContent>)[]): Promise<void> {
  const deliveries = contents.map((one) => ({
    service: 'meta' as const,
    accounts: [accountKey],
    body: JSON.stringify(contentOf('id' in one ? { events: [one] } : one)),
    receivedAt: NOW,
  }));
  await store.receive(deliveries);
}

function contentOf(change: Partial<DeliveryContent>): DeliveryContent {
  return { events: [], echoes: [], receipts: [], optOuts: [], ignored: {}, dead: null, ...change };
}

/** Hears what these people do, one after the other. */
export async function hear(stage: HearStage, ...events: UserEvent[]): Promise<HearReport> {
  await receive(stage.store, ...events);
  return hearReceived(stage, 100);
}

/** What flows made of what was heard of an account: `price queued 1`. */
export function answersOf(report: HearReport, key = accountKey): string[] {
  const answers = [...(report.accounts.get(key)?.answers ?? [])];
  return answers.flatMap(([name, results]) =>
    (Object.entries(results) as [AnswerResult, number][]).map(([result, times]) => `${name} ${result} ${times}`),
  );
}

/** The single messages of an account that wait, as they will be sent. */
export async function waiting(store: Store, key = accountKey, now = NOW): Promise<(SingleRow & { text: string })[]> {
  const singles = await store.nextSingles(key, 1000, now);
  return Promise.all(
    singles.map(async (single) => {
      const campaign = await store.campaign(single.campaign);
      const filled = campaign?.variables.reduce(
        (body, name, index) => body.replace(`{{${name}}}`, () => single.values[index] ?? ''),
        campaign.template.body ?? '',
      );
      return { ...single, text: filled ?? '' };
    }),
  );
}

export async function waitingTexts(store: Store, key = accountKey, now = NOW): Promise<string[]> {
  return (await waiting(store, key, now)).map(({ text }) => text);
}

/** All single messages, whatever became of them. */
export async function singles(store: Store, key = accountKey): Promise<MessageRow[]> {
  const found: MessageRow[] = [];
  for (const campaign of await store.campaigns()) {
    if (campaign.state !== 'continuous' || campaign.account !== key) continue;
    found.push(...(await collect(store.messages({ campaign: campaign.id }))));
  }
  return found;
}

/** The nth person was sent a message in bulk, in a language, a day ago. */
export async function wasSent({ store, engine }: HearStage, language: string, n = 1): Promise<void> {
  const id = `bulk-${language}-${n}`;
  const at = NOW - 24 * HOUR;
  await readyCampaign(store, [row(1, { userId: user(n) })], { id, template: { ...template, language } }, at);
  const lease = await engine.own(accountKey, at);
  if (!lease) throw new Error('somebody else has the account');
  await store.start(lease, id, at);
  await store.record(lease, id, { settled: [], skipped: [], started: starting(1) }, at);
  await store.record(
    lease,
    id,
    { settled: [{ seq: 1, state: 'sent', messageId: `m_${id}` }], skipped: [], started: [] },
    at,
  );
  await store.conclude(lease, id, { state: 'finished' }, at);
  await engine.release(lease, at, 0);
}
