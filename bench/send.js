/** Messages a second through ledger and provider, against a bare undici loop to the same server: send.js pagecast|undici FOLDER N */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clock, holder, makeCampaign, random, userId, values } from './people.js';

const CONNECTIONS = 64;
const [what, folder, count] = process.argv.slice(2);
const messages = Number(count);
const server = fork(fileURLToPath(new URL('server.js', import.meta.url)));
const port = await new Promise((resolve) => server.once('message', resolve));
const url = `http://127.0.0.1:${port}`;
const ms = what === 'pagecast' ? await throughLedger() : await bare();
console.log(JSON.stringify({ perSecond: Math.round((messages * 1000) / ms) }));
server.kill();

async function bare() {
  const { Pool } = await import('undici');
  const pool = new Pool(url, { connections: CONNECTIONS });
  let next = 0;
  const worker = async (until) => {
    while (next < until) {
      const index = next++;
      const body = JSON.stringify({
        recipient: { id: userId(index) },
        messaging_type: 'UPDATE',
        message: {
          text: `Hi ${values(index)[0]}, order ${values(index)[1]} leaves today.`,
          metadata: `pagecast/x/${index}`,
        },
      });
      const reply = await pool.request({
        method: 'POST',
        path: '/v26.0/1/messages',
        headers: { 'content-type': 'application/json', authorization: 'Bearer token' },
        body,
      });
      const { message_id: id } = JSON.parse(await reply.body.text());
      if (!id) throw new Error('no message id');
    }
  };
  const run = (until) => Promise.all(Array.from({ length: CONNECTIONS }, () => worker(until)));
  await run(2000);
  next = 0;
  const startedAt = performance.now();
  await run(messages);
  const took = performance.now() - startedAt;
  await pool.close();
  return took;
}

async function throughLedger() {
  const { runCampaign } = await import('../dist/app/run.js');
  const { openStore } = await import('../dist/stores/open.js');
  const { openProvider } = await import('../dist/providers/index.js');
  const { DEFAULT_WINDOW } = await import('../dist/core/window.js');
  const { store, engine } = await openStore(`sqlite:${join(folder, 'send.db')}`, '/', holder);
  const settings = { channel: 'messenger', id: '1', token: 'token', baseUrl: url, connections: CONNECTIONS };
  const provider = openProvider('graph', settings, clock);
  const campaign = async (id, size) => {
    await makeCampaign(store, id, size, Infinity);
    const startedAt = performance.now();
    const budget = { count: 10, share: 0.1 };
    const signal = new AbortController().signal;
    const { counts } = await runCampaign(
      { store, engine, provider, clock, random },
      { campaign: id, window: DEFAULT_WINDOW, budget, signal },
    );
    if (counts.sent !== size) throw new Error(JSON.stringify(counts));
    return performance.now() - startedAt;
  };
  await campaign('warm-up', 2000);
  const took = await campaign('measured', messages);
  await provider.close();
  await store.close();
  return took;
}
