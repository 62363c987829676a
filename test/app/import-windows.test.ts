import { describe, expect, it } from 'vitest';
import { importWindows, type WindowLogBatch } from '../../src/app/import-windows.js';
import type { Store } from '../../src/ports.js';
import { FakeClock } from '../support/fake-clock.js';
import { run, stage, wrote } from '../support/fixtures-run.js';
import { failure } from '../support/fake-provider.js';
import { account, accountKey, collect, HOUR, NOW, openLedger, user } from '../support/fixtures.js';

const problem = (line: number) => ({ line, code: 'TIME_UNREADABLE', text: 'yesterday' });
const batch = (some: Partial<WindowLogBatch>): WindowLogBatch => ({
  events: [],
  echoes: [],
  problems: [],
  ignored: {},
  ...some,
});

async function imported(...batches: WindowLogBatch[]) {
  return importedInto(openLedger().store, ...batches);
}

async function importedInto(store: Store, ...batches: WindowLogBatch[]) {
  // eslint-disable-next-line @typescript-eslint/require-await -- a log is read as it comes
  async function* log(): AsyncGenerator<WindowLogBatch> {
    yield* batches;
  }
  return { report: await importWindows({ store, clock: new FakeClock(NOW) }, account, log()), store };
}

describe('importWindows', () => {
  it('moves windows, and counts what moved, what was ignored and what could not be read', async () => {
    const { report, store } = await imported(
      batch({ events: [wrote(user(1), NOW), wrote(user(1), NOW - HOUR)], ignored: { read: 2 } }),
      batch({ events: [wrote(user(2), NOW)], problems: [problem(4)], ignored: { read: 1, delivery: 3 } }),
    );
    expect(report).toEqual({
      events: 3,
      moved: 2,
      echoes: 0,
      settled: 0,
      problems: 1,
      listed: [problem(4)],
      ignored: { read: 3, delivery: 3 },
    });
    expect((await collect(store.people(accountKey))).sort()).toEqual([user(1), user(2)]);
  });

  it('counts every problem and lists the first of them', async () => {
    const problems = Array.from({ length: 15 }, (_, index) => problem(index + 1));
    const { report } = await imported(batch({ problems }), batch({ problems }), batch({ problems }));
    expect(report.problems).toBe(45);
    expect(report.listed).toEqual([...problems, ...problems.slice(0, 5)]);
  });

  it('settles unknown outcomes by the echoes of this account, each once', async () => {
    const { store, ...world } = await stage(3, ({ userId }) =>
      userId === user(3) ? {} : { outcome: { kind: 'unknown', error: failure('TIMEOUT') } },
    );
    await run({ store, ...world });
    const echo = (seq: number, campaign = 'c1') => ({ campaign, seq, messageId: `m_${seq}` });
    const echoes = [echo(1), echo(1), echo(3), echo(9), echo(2, 'c9')];
    const { report } = await importedInto(store, batch({ echoes }), batch({ echoes: [echo(1)] }));
    expect(report).toMatchObject({ echoes: 6, settled: 1 });
    expect((await collect(store.messages({}))).map((row) => [row.state, row.messageId])).toEqual([
      ['sent', 'm_1'],
      ['unknown', null],
      ['sent', 'm_pagecast/c1/3'],
    ]);
  });

  it('of an empty log changes nothing', async () => {
    expect((await imported()).report).toEqual({
      events: 0,
      moved: 0,
      echoes: 0,
      settled: 0,
      problems: 0,
      listed: [],
      ignored: {},
    });
  });
});
