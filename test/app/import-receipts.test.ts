import { describe, expect, it } from 'vitest';
import { importReceipts, type ReceiptLogBatch } from '../../src/app/import-receipts.js';
import { planRetry } from '../../src/app/retry.js';
import type { Receipt, Store } from '../../src/ports.js';
import { FakeClock } from '../support/fake-clock.js';
import { failure } from '../support/fake-provider.js';
import { account, accountKey, collect, exactWindow, NOW, openLedger, user } from '../support/fixtures.js';
import { run, stage } from '../support/fixtures-run.js';

const problem = (line: number) => ({ line, code: 'STATUS_UNKNOWN', text: 'Status is "Pondered".' });
const batch = (some: Partial<ReceiptLogBatch>): ReceiptLogBatch => ({
  receipts: [],
  problems: [],
  ignored: {},
  ...some,
});
const receipt = (seq: number, change: Partial<Receipt> = {}): Receipt => ({
  messageId: `t_${seq}`,
  userId: user(seq),
  row: { campaign: 'c1', seq },
  kind: 'delivered',
  at: NOW,
  error: null,
  ...change,
});

async function imported(store: Store, ...batches: ReceiptLogBatch[]) {
  // eslint-disable-next-line @typescript-eslint/require-await -- a log is read as it comes
  async function* log(): AsyncGenerator<ReceiptLogBatch> {
    yield* batches;
  }
  return importReceipts({ store, clock: new FakeClock(NOW) }, account, log());
}

/** A campaign of three, of whom the first two have an unknown outcome. */
async function attempted() {
  const world = await stage(3, ({ userId }) =>
    userId === user(3) ? {} : { outcome: { kind: 'unknown', error: failure('TIMEOUT') } },
  );
  await run(world);
  return world;
}

async function ledger(): Promise<Store> {
  return (await attempted()).store;
}

describe('importReceipts', () => {
  it('settles unknown outcomes, adds receipts to messages, and counts each receipt once', async () => {
    const store = await ledger();
    const report = await imported(
      store,
      batch({ receipts: [receipt(1, { kind: null }), receipt(3, { kind: 'read' })], ignored: { inbound: 2 } }),
      batch({
        receipts: [receipt(1), receipt(9), receipt(2, { row: { campaign: 'c9', seq: 2 } })],
        problems: [problem(4)],
      }),
      batch({ ignored: { inbound: 1, other_account: 3 } }),
    );
    expect(report).toEqual({
      receipts: 5,
      matched: 3,
      settled: 1,
      unmatched: 2,
      problems: 1,
      listed: [problem(4)],
      ignored: { inbound: 3, other_account: 3 },
    });
    const rows = await collect(store.messages({}));
    expect(rows.map(({ state, messageId, receipt: kept }) => [state, messageId, kept?.kind ?? null])).toEqual([
      ['sent', 't_1', 'delivered'],
      ['unknown', null, null],
      ['sent', 'm_pagecast/c1/3', 'read'],
    ]);
  });

  it('takes what has arrived out of the queue, so that a campaign that goes on sends it to nobody twice', async () => {
    const world = await attempted();
    const campaign = (await world.store.campaign('c1'))!;
    const { rows } = await planRetry(world.store, campaign, 'unknown', exactWindow, NOW);
    await run(world, { requeue: rows, signal: AbortSignal.abort() });
    expect((await world.store.summary('c1')).counts).toMatchObject({ queued: 2, sent: 1 });
    const error = { code: 'cams:131026', message: '' };
    const log = batch({ receipts: [receipt(1), receipt(2, { kind: 'undelivered', error })] });
    expect(await imported(world.store, log)).toMatchObject({ matched: 2, settled: 1 });
    await run(world);
    expect((await world.store.summary('c1')).counts).toMatchObject({ queued: 0 });
    // What was not delivered goes out again, as somebody wished.
    expect(world.provider.departures).toHaveLength(4);
  });

  it('leaves out from then on whoever has opted out', async () => {
    const store = await ledger();
    const error = { code: 'twilio:21610', message: '' };
    const sent = { messageId: 'm_pagecast/c1/3', row: null };
    await imported(store, batch({ receipts: [receipt(3, { ...sent, kind: 'undelivered', error })] }));
    const startedAt = (await store.message({ campaign: 'c1', seq: 3 }))!.startedAt;
    expect(await store.standings(accountKey, [user(2), user(3)], exactWindow)).toMatchObject([
      { optedOutAt: null },
      { optedOutAt: startedAt },
    ]);
  });

  it('of the same log again settles nothing and changes nothing', async () => {
    const store = await ledger();
    const log = batch({ receipts: [receipt(1), receipt(3)] });
    expect(await imported(store, log)).toMatchObject({ matched: 2, settled: 1 });
    const before = await collect(store.messages({}));
    expect(await imported(store, log)).toMatchObject({ matched: 2, settled: 0 });
    expect(await collect(store.messages({}))).toEqual(before);
  });

  it('counts every problem and lists the first of them', async () => {
    const problems = Array.from({ length: 15 }, (_, index) => problem(index + 1));
    const report = await imported(openLedger().store, batch({ problems }), batch({ problems }), batch({ problems }));
    expect(report.problems).toBe(45);
    expect(report.listed).toEqual([...problems, ...problems.slice(0, 5)]);
  });

  it('of an empty log changes nothing', async () => {
    expect(await imported(openLedger().store)).toEqual({
      receipts: 0,
      matched: 0,
      settled: 0,
      unmatched: 0,
      problems: 0,
      listed: [],
      ignored: {},
    });
  });
});
