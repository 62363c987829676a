/** The made-up people and the template that the measurements share. */

import { setTimeout } from 'node:timers/promises';

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
  sleep: (ms, signal) => setTimeout(ms, undefined, { signal }).catch(() => undefined),
};
export const random = { next: () => Math.random() };
export const holder = { name: `bench/${process.pid}`, mayBeAlive: () => true };
