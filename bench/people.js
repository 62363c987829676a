/** The made-up people and the template that the measurements share. */
import { setTimeout } from 'node:timers/promises';
import { senderKey } from '../dist/core/sender.js';

/** A 17-digit id, different for each number. */
export const userId = (index) => String(10_000_000_000_000_003n + BigInt(index) * 7_919_113n);
export const values = (index) => [`Name ${index % 1000}`, `A-${index}`];

export const template = {
  name: 'bench',
  language: 'en_US',
  channels: ['messenger'],
  kind: 'session',
  body: 'Hi {{name}}, order {{order_no}} leaves today.',
  buttons: [],
  quickReplies: [],
  variables: [
    { name: 'name', example: 'Ann', maxLength: 60 },
    { name: 'order_no', example: 'A-1', maxLength: 40 },
  ],
};

export const account = { name: 'bench', channel: 'messenger', provider: 'sandbox', id: '100000000000001', pace: 35 };

export const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => setTimeout(ms, undefined, { signal }).catch(() => undefined),
};
export const random = { next: () => Math.random() };
/** What the store knows the account by. */
export const accountKey = senderKey(account);
export const holder = { name: `bench/${process.pid}`, mayBeAlive: () => true };

/** Puts a campaign for so many people, all inside their window, into the ledger. */
export async function makeCampaign(store, id, size, pace) {
  const now = clock.now();
  const indexes = Array.from({ length: size }, (_, index) => index);
  const openers = indexes.map((index) => ({ userId: userId(index), openedAt: now, opener: 'message' }));
  await store.recordOpeners(accountKey, openers);
  await store.draft({
    id,
    account: accountKey,
    accountName: account.name,
    template,
    source: '',
    pace,
    variables: ['name', 'order_no'],
    timing: null,
    outside: null,
  });
  const row = { reason: null, closesAt: now + 86_000_000, opener: 'message', outside: false };
  await store.stage(
    id,
    indexes.map((index) => ({ ...row, seq: index, userId: userId(index), values: values(index) })),
  );
  await store.approve(id, { digest: id, policy: '', again: true, budget: { count: 10, share: 0.1 }, now });
}
