/** The pace that a run really has, as the sandbox receives it: pace.js FOLDER PER_SECOND SECONDS */
import { join } from 'node:path';
import { account, clock, holder, makeCampaign, random } from './people.js';
import { runCampaign } from '../dist/app/run.js';
import { DEFAULT_WINDOW } from '../dist/core/window.js';
import { openProvider } from '../dist/providers/index.js';
import { startSandbox } from '../dist/sandbox/server.js';
import { openStore } from '../dist/stores/open.js';

const [folder, perSecond, seconds] = process.argv.slice(2);
const pace = Number(perSecond);
const size = pace * Number(seconds);
const sandbox = await startSandbox({ clock, random, page: { id: account.id } });
const { store, engine } = await openStore(`sqlite:${join(folder, 'pace.db')}`, '/', holder);
const settings = { channel: 'messenger', id: account.id, token: sandbox.page.token, baseUrl: sandbox.url };
const provider = openProvider('sandbox', settings, clock);
await makeCampaign(store, 'pace', size, pace);
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
