import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reportCampaign, unreached, type Unreached } from '../../src/app/report.js';
import { ROW_STATES, type ReceiptKind } from '../../src/core/delivery.js';
import type { NewCampaign, Receipt, RunStep, StagedRow, Store } from '../../src/ports.js';
import {
  accountKey,
  failureOf,
  HOUR,
  MINUTE,
  newCampaign,
  NOW,
  openLedger,
  readyCampaign,
  row,
  rows,
  starting,
  user,
} from '../support/fixtures.js';

const refused = { code: '551/1545041', message: 'This person is not available' };
const SECOND = 1000;

/** A campaign `c1` of which these steps have been run, each so many milliseconds after the start. */
async function ran(
  staged: readonly StagedRow[],
  steps: readonly [after: number, step: Partial<RunStep>][],
  change: Partial<NewCampaign> = {},
): Promise<Store> {
  const { store, engine } = openLedger();
  await readyCampaign(store, staged, change);
  const lease = (await engine.own(accountKey, NOW))!;
  await store.start(lease, 'c1', NOW);
  for (const [after, step] of steps) {
    await store.record(lease, 'c1', { settled: [], skipped: [], started: [], ...step }, NOW + after);
  }
  return store;
}

/** Rows that were sent at these times after the start. */
async function sentAt(times: readonly number[], change: Partial<NewCampaign> = {}): Promise<Store> {
  return ran(
    rows(times.length),
    [
      [0, { started: starting(...times.map((_, index) => index + 1)) }],
      ...times.map((time, index): [number, Partial<RunStep>] => [
        time,
        { settled: [{ seq: index + 1, state: 'sent', messageId: `m${index}` }] },
      ]),
    ],
    change,
  );
}

async function all(people: AsyncIterable<Unreached>): Promise<Unreached[]> {
  const found: Unreached[] = [];
  for await (const one of people) found.push(one);
  return found;
}

describe('the report of a campaign', () => {
  it('puts in order what the store knows', async () => {
    const staged = [
      row(1),
      row(2, { opener: 'comment' }),
      row(3, { opener: 'comment' }),
      row(4),
      row(5),
      row(6, { reason: 'window_unknown', closesAt: null, opener: null }),
      row(7, { reason: 'window_closes_before_turn', closesAt: null }),
    ];
    const store = await ran(staged, [
      [0, { started: starting(1, 2, 3, 4), skipped: [{ seq: 5, reason: 'window_closed' }] }],
      [
        500,
        {
          settled: [
            { seq: 1, state: 'sent', messageId: 'm1' },
            { seq: 2, state: 'failed', error: refused },
            { seq: 3, state: 'failed', error: refused },
            { seq: 4, state: 'unknown', error: { code: 'TIMEOUT', message: 'no answer' } },
          ],
        },
      ],
    ]);
    const report = await reportCampaign(store, 'c1');
    const { counts } = report.summary;
    expect(ROW_STATES.reduce((sum, state) => sum + counts[state], 0)).toBe(staged.length);
    expect(report.leftOut).toEqual([
      { reason: 'window_closed', count: 1, sinceApproval: 1 },
      { reason: 'window_closes_before_turn', count: 1, sinceApproval: 0 },
      { reason: 'window_unknown', count: 1, sinceApproval: 0 },
    ]);
    expect(report.windowsClosed).toEqual({ beforeTurn: 1, afterApproval: 1 });
    expect(report.problems).toMatchObject([
      { code: '551/1545041', count: 2, advice: 'Leave this person out.' },
      { code: 'TIMEOUT', count: 1 },
    ]);
    const none = { queued: 0, started: 0, sent: 0, failed: 0, skipped: 0, unknown: 0 };
    expect(report.openers).toEqual([
      { opener: 'message', counts: { ...none, sent: 1, unknown: 1, skipped: 2, total: 4 } },
      { opener: 'comment', counts: { ...none, failed: 2, total: 2 } },
      { opener: null, counts: { ...none, skipped: 1, total: 1 } },
    ]);
    expect(report.rate).toEqual({
      spanMs: SECOND,
      spans: [{ from: NOW, sent: 1, failed: 2, unknown: 1 }],
      average: 4,
      top: 4,
    });
    expect({ late: report.lateMs, stop: report.stop }).toEqual({ late: null, stop: null });
  });

  it('counts who has read a message among those to whom it was delivered, and explains who was not reached', async () => {
    const store = await sentAt([0, 0, 0, 0, 0, 0]);
    expect((await reportCampaign(store, 'c1')).receipts).toBeNull();
    const told = (seq: number, kind: ReceiptKind, code?: string): Receipt => ({
      ...{ messageId: 'any', userId: user(seq), row: { campaign: 'c1', seq }, kind, at: NOW },
      error: code === undefined ? null : { code, message: '' },
    });
    const receipts = [
      told(1, 'read'),
      told(2, 'delivered'),
      told(3, 'undelivered', 'twilio:30003'),
      told(4, 'undelivered'),
      told(5, 'undelivered', 'twilio:30003'),
    ];
    await store.recordReceipts(accountKey, receipts, NOW);
    expect((await reportCampaign(store, 'c1')).receipts).toMatchObject({
      ...{ delivered: 2, read: 1, undelivered: 3, none: 1 },
      reasons: [
        { code: 'twilio:30003', count: 2, meaning: expect.stringContaining('could not be reached') as string },
        { code: '', count: 1, meaning: 'The service gave no reason.' },
      ],
    });
  });

  it('says how late a timed campaign started', async () => {
    const { store, engine } = openLedger();
    const timing = { sendAt: NOW + HOUR, expiresAt: NOW + 2 * HOUR, zone: 'Europe/Berlin' };
    await store.draft(newCampaign('c1', { timing }));
    await readyCampaign(store, rows(1), { id: 'c2', timing });
    expect((await reportCampaign(store, 'c2')).lateMs).toBeNull();
    const lease = (await engine.own(accountKey, NOW))!;
    await store.start(lease, 'c2', NOW + HOUR + 90 * SECOND);
    expect((await reportCampaign(store, 'c2')).lateMs).toBe(90 * SECOND);
  });

  it('says of a stop what the error means, but not what to do about one person', async () => {
    const { store, engine } = openLedger();
    await readyCampaign(store, rows(1));
    const lease = (await engine.own(accountKey, NOW))!;
    const stop = async (cause: 'token' | 'too_many_failures', code: string): Promise<unknown> => {
      await store.start(lease, 'c1', NOW);
      const error = { code, message: 'as the platform says it' };
      await store.conclude(lease, 'c1', { state: 'stopped', stop: { cause, error, at: NOW } }, NOW);
      return (await reportCampaign(store, 'c1')).stop;
    };
    expect(await stop('token', '190')).toMatchObject({ meaning: 'The access token is expired, revoked or wrong.' });
    expect(await stop('too_many_failures', '551')).toMatchObject({
      meaning: 'Too many of the last messages failed.',
      error: { code: '551' },
    });
  });

  it('is refused for a campaign that there is not', async () => {
    expect(await failureOf(reportCampaign(openLedger().store, 'c9'))).toBe('CAMPAIGN_UNKNOWN');
  });
});

describe('the rate over time', () => {
  it('is empty before the first outcome', async () => {
    const store = await ran(rows(2), []);
    expect((await reportCampaign(store, 'c1')).rate).toEqual({ spanMs: SECOND, spans: [], average: null, top: 0 });
  });

  it.each([
    ['two minutes', 119 * SECOND, SECOND],
    ['a little more', 121 * SECOND, 2 * SECOND],
    ['an hour', HOUR - MINUTE, MINUTE / 2],
    ['a day', 24 * HOUR, 30 * MINUTE],
    ['half a year', 180 * 24 * HOUR, 2 * 24 * HOUR],
  ])('over %s has at most 120 spans', async (_, length, spanMs) => {
    const { rate } = await reportCampaign(await sentAt([0, length]), 'c1');
    expect(rate.spanMs).toBe(spanMs);
    expect(rate.spans.length).toBeLessThanOrEqual(120);
    expect([rate.spans[0]?.sent, rate.spans.at(-1)?.sent]).toEqual([1, 1]);
  });

  it('does not count rests as time, unless the pace is slow', async () => {
    const times = [0, 0, 1, 1, 3600, 3600].map((second) => second * SECOND);
    expect((await reportCampaign(await sentAt(times), 'c1')).rate).toMatchObject({ average: 2, top: 2 });
    const slow = await sentAt([0, 240 * SECOND], { pace: 1 / 240 });
    expect((await reportCampaign(slow, 'c1')).rate.average).toBeCloseTo(2 / 241);
  });

  it('loses no outcome and leaves no gap', async () => {
    const times = fc.array(fc.integer({ min: 0, max: 1e10 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(times, async (some) => {
        // Rows settle in the order of time.
        const { rate } = await reportCampaign(await sentAt([...some].sort((a, b) => a - b)), 'c1');
        expect(rate.spans.reduce((sum, { sent }) => sum + sent, 0)).toBe(some.length);
        expect(rate.spans.length).toBeLessThanOrEqual(120);
        rate.spans.forEach(({ from }, index) => expect(from).toBe(rate.spans[0]!.from + index * rate.spanMs));
      }),
      { numRuns: 25 },
    );
  });
});

describe('who did not get it', () => {
  const skippedAs = (reason: StagedRow['reason']): Partial<StagedRow> => ({ reason, closesAt: null, opener: null });

  it('is who failed or was left out, and nobody who was reached in another row', async () => {
    const staged = [
      row(1),
      row(2),
      row(3),
      row(4),
      row(5, skippedAs('window_closed')),
      row(6, { ...skippedAs('duplicate'), userId: user(1) }),
      row(7, { ...skippedAs('duplicate'), userId: user(2) }),
      row(8, { ...skippedAs('invalid'), userId: user(3), values: ['', 'A-8'] }),
      row(9, { ...skippedAs('invalid'), userId: user(4), values: ['', 'A-9'] }),
      row(10, { ...skippedAs('duplicate'), userId: user(5) }),
    ];
    const store = await ran(staged, [
      [0, { started: starting(1, 2, 3) }],
      [
        1,
        {
          settled: [
            { seq: 1, state: 'sent', messageId: 'm1' },
            { seq: 2, state: 'failed', error: refused },
            { seq: 3, state: 'unknown', error: { code: 'TIMEOUT', message: 'no answer' } },
          ],
        },
      ],
    ]);
    const { header, rows: people } = unreached(store, await reportCampaign(store, 'c1'));
    expect(header).toEqual(['User ID', 'name', 'order_no']);
    const found = await all(people);
    // 4 is still queued, so its other row 9 is out as well.
    expect(found.map((one) => one.row.seq)).toEqual([2, 5, 7, 10]);
    expect(found[0]?.cells).toEqual([user(2), 'Ann', 'A-2']);
  });

  it.each([
    ['a fault that is to be seen', user(1), ['', 'A-1'], user(1), ['VARIABLE_MISSING']],
    ['a fault that text does not show', user(1), ['46000', 'A-1'], '?', []],
    ['an id that Excel may have rounded', '7642925849053940', ['', 'A-1'], '?', ['VARIABLE_MISSING']],
    ['an id that a double may have rounded', '76429258490539472', ['', 'A-1'], '?', ['VARIABLE_MISSING']],
    ['the same as it is written in short', '76429258490539470', ['', 'A-1'], '?', ['VARIABLE_MISSING']],
    ['an id that no number can be', '76429258490539471', ['', 'A-1'], '76429258490539471', ['VARIABLE_MISSING']],
    ['an id that is none', '7.6429258490539e+16', ['Ann', 'A-1'], '7.6429258490539e+16', ['ID_NOT_TEXT']],
    ['nothing that could be read', '', ['', ''], '?', []],
  ])('keeps of an invalid row with %s what is safe', async (_, userId, values, cell, codes) => {
    const store = await ran([row(1, { ...skippedAs('invalid'), userId, values })], []);
    const [found] = await all(unreached(store, await reportCampaign(store, 'c1')).rows);
    expect(found?.cells).toEqual([cell, ...values]);
    expect(found?.findings.map(({ code }) => code)).toEqual(codes);
    expect(found?.withheldId).toBe(cell === '?' ? userId : null);
  });

  it('has the columns of the channel', async () => {
    const sms = openLedger().store;
    await readyCampaign(sms, rows(1), { account: 'sandbox:sms/+15550001111' });
    expect(unreached(sms, await reportCampaign(sms, 'c1')).header[0]).toBe('Phone');
  });
});
