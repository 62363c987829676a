/** Time to plan, against a bare insert of the same rows: plan.js plan|insert FOLDER ROWS. Reading the sheet is not part of it. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { account, clock, holder, random, template, userId, values } from './people.js';

const [what, folder, count] = process.argv.slice(2);
const rows = Number(count);
const BATCH = 10_000;
const result = what === 'plan' ? await plan() : insert();
console.log(JSON.stringify(result));

function insert() {
  const database = new Database(join(folder, 'bare.db'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec('CREATE TABLE messages (campaign INTEGER, seq INTEGER, user_id TEXT, vars TEXT, state TEXT)');
  const statement = database.prepare('INSERT INTO messages VALUES (1, ?, ?, ?, ?)');
  const startedAt = performance.now();
  for (let from = 0; from < rows; from += BATCH) {
    database.transaction(() => {
      for (let index = from; index < Math.min(rows, from + BATCH); index += 1) {
        statement.run(index, userId(index), JSON.stringify(values(index)), 'queued');
      }
    })();
  }
  return { ms: Math.round(performance.now() - startedAt) };
}

async function plan() {
  const { planCampaign } = await import('../dist/app/plan.js');
  const { openStore } = await import('../dist/stores/open.js');
  const { senderKey } = await import('../dist/core/sender.js');
  const { DEFAULT_WINDOW } = await import('../dist/core/window.js');
  const { store } = await openStore(`sqlite:${join(folder, 'plan.db')}`, '/', holder);
  const now = Date.now();
  // Spread over the last 20 hours, in no order, so that the queue really has to be sorted.
  for (let from = 0; from < rows; from += BATCH) {
    const length = Math.min(BATCH, rows - from);
    const events = Array.from({ length }, (_, offset) => {
      const index = from + offset;
      return { userId: userId(index), openedAt: now - ((index * 7_919) % 72_000) * 1000, opener: 'message' };
    });
    await store.recordOpeners(senderKey(account), events);
  }
  const sheets = {
    open: () =>
      Promise.resolve({
        origin: null,
        header: ['User ID', 'name', 'order_no'],
        async *rows() {
          for (let from = 0; from < rows; from += 1000) {
            yield Array.from({ length: Math.min(1000, rows - from) }, (_, offset) => ({
              row: from + offset + 2,
              cells: [userId(from + offset), ...values(from + offset)],
            }));
          }
        },
        close: () => Promise.resolve(),
      }),
  };
  const startedAt = performance.now();
  const made = await planCampaign(
    { store, sheets, clock, random },
    {
      account,
      template,
      source: { kind: 'sheet', path: 'generated', limits: {} },
      window: DEFAULT_WINDOW,
      pace: 35,
      skipInvalid: false,
      timing: null,
      mode: 'bulk',
      outside: null,
    },
  );
  const ms = Math.round(performance.now() - startedAt);
  await store.close();
  if (made.rows !== rows) throw new Error(`planned ${made.rows}`);
  return { ms, send: made.send, mb: Math.round(process.resourceUsage().maxRSS / 1024) };
}
