/** The pace that a run really has, as the sandbox receives it: pace.js FOLDER PER_SECOND SECONDS */
import { join } from 'node:path';
import { account, clock, holder, random, template, userId, values } from './people.js';
import { runCampaign } from '../dist/app/run.js';
import { DEFAULT_WINDOW } from '../dist/core/window.js';
import { openProvider } from '../dist/providers/index.js';
import { startSandbox } from '../dist/sandbox/server.js';
import { openStore } from '../dist/stores/open.js';

const [folder, perSecond, seconds] = process.argv.slice(2);
const pace = Number(perSecond);
const size = pace * Number(seconds);
const now = Date.now();
const sandbox = await startSandbox({ clock, random, page: { id: account.id } });
const { store, engine } = await openStore(`sqlite:${join(folder, 'pace.db')}`, '/', holder);
const settings = { channel: 'messenger', id: account.id, token: sandbox.page.token, baseUrl: sandbox.url };
const provider = openProvider('sandbox', settings, clock);
const indexes = Array.from({ length: size }, (_, index) => index);
await store.recordOpeners(
  account.name,
  indexes.map((index) => ({ userId: userId(index), openedAt: now, opener: 'message' })),
);
await store.draft({
  id: 'pace',
  account: account.name,
  template,
  source: '',
  pace,
  variables: ['name', 'order_no'],
});
const row = (index) => ({
  seq: index,
  userId: userId(index),
  values: values(index),
  reason: null,
  closesAt: now + 86_000_000,
  opener: 'message',
});
await store.stage('pace', indexes.map(row));
await store.approve('pace', { digest: 'pace', policy: '', again: true, now });
const request = {
  campaign: 'pace',
  window: DEFAULT_WINDOW,
  budget: { count: 10, share: 0.1 },
  signal: new AbortController().signal,
};
const { counts } = await runCampaign({ store, engine, provider, clock, random }, request);
if (counts.sent !== size) throw new Error(JSON.stringify(counts));
const times = sandbox.state.received().map((one) => one.at);
// Between the first and the last there are size - 1 intervals.
const mean = ((size - 1) * 1000) / (times.at(-1) - times[0]);
console.log(JSON.stringify({ mean, most: sandbox.state.stats().maxPerSecond }));
await provider.close();
await sandbox.close();
await store.close();
