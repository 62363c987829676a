/** What comes in, and the single messages that go out for it, as the tests of the store and of the use cases need them. */
import type { RowMark } from '../../src/core/metadata.js';
import type { OptOutChange } from '../../src/core/opt-out.js';
import type {
  ContinuousCampaign,
  Delivery,
  HeardDelivery,
  HeardResult,
  NewDelivery,
  NewSingle,
  QueuedSingle,
  Store,
  UserEvent,
} from '../../src/ports.js';
import { account, accountKey, DAY, NOW, template, user } from './fixtures.js';

/** That of a flow called `hello`. */
export function continuousCampaign(change: Partial<ContinuousCampaign> = {}): ContinuousCampaign {
  return {
    account: accountKey,
    accountName: account.name,
    mode: 'auto-reply',
    flow: 'hello',
    template,
    pace: 35,
    quiet: null,
    ...change,
  };
}

/** One to the first person that may be sent at once, without limits. */
export function newSingle(
  occasion: string,
  { campaign, ...change }: Partial<Omit<NewSingle, 'campaign'>> & { campaign?: Partial<ContinuousCampaign> } = {},
): NewSingle {
  return {
    campaign: continuousCampaign(campaign),
    userId: user(1),
    values: ['Ann', 'A-1'],
    occasion,
    answersAt: NOW,
    notBefore: null,
    expiresAt: NOW + DAY,
    onceSince: null,
    guard: null,
    ...change,
  };
}

/** The row of a message that was queued. */
export function rowOf(queued: QueuedSingle | undefined): RowMark {
  if (queued?.kind !== 'queued') throw new Error(`not queued: ${JSON.stringify(queued)}`);
  return { campaign: queued.campaign, seq: queued.seq };
}

export async function queueSingle(store: Store, single: NewSingle, now = NOW): Promise<RowMark> {
  const [queued] = await store.queueSingles([single], now);
  return rowOf(queued);
}

export function newDelivery(body: string, change: Partial<NewDelivery> = {}): NewDelivery {
  return { service: 'meta', accounts: [accountKey], body, receivedAt: NOW, ...change };
}

export function userEvent(change: Partial<UserEvent> = {}): UserEvent {
  return {
    account: accountKey,
    userId: user(1),
    openedAt: NOW,
    opener: 'message',
    id: 'm_1',
    text: 'hello',
    payload: null,
    ...change,
  };
}

export function optOut(userId: string, change: Partial<OptOutChange> = {}): OptOutChange {
  return { account: accountKey, userId, at: NOW, out: true, source: 'keyword', ...change };
}

export type Heard = Partial<Omit<HeardDelivery, 'delivery'>>;

export function heardDelivery(delivery: Delivery, content: Heard): HeardDelivery {
  const nothing = { events: [], echoes: [], receipts: [], optOuts: [], dead: null, singles: [], confirmations: [] };
  return { delivery, ...nothing, ...content };
}

/** Receives deliveries, each of which says so much. @returns what is to be done about them */
export async function heardDeliveries(store: Store, contents: readonly Heard[]): Promise<HeardDelivery[]> {
  await store.receive(contents.map((_, index) => newDelivery(`delivery ${index}`)));
  const received = (await store.received(Number.MAX_SAFE_INTEGER)).slice(-contents.length);
  return received.map((delivery, index) => heardDelivery(delivery, contents[index]!));
}

/** Receives one delivery that says so much, and hears it. */
export async function hear(store: Store, content: Heard, now = NOW): Promise<HeardResult> {
  const [result] = await store.hear(await heardDeliveries(store, [content]), now);
  if (!result) throw new Error('somebody else has heard it');
  return result;
}
