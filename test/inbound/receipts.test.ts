import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readReceiptLog, type ReceiptLogBatch, type ReceiptProblemCode } from '../../src/inbound/receipts.js';
import type { Receipt } from '../../src/ports.js';

const NOW = Date.UTC(2026, 10, 21, 12);
const AT = Date.UTC(2026, 10, 21, 9, 30);
const PAGE = '102938475601928';
const NUMBER = '+15550001111';
const USER = '7642925849053901';
const PHONE = '+4915112345678';
const TASK = 'pagecast-c20261121-4f9ak-17-m8x2k1ab';

async function read(source: string | Uint8Array | Uint8Array[], accountId = PAGE): Promise<ReceiptLogBatch> {
  const chunks = Array.isArray(source) ? source : [Buffer.from(source)];
  return collect(readReceiptLog(Readable.from(chunks), { now: NOW, accountId }));
}

async function collect(batches: AsyncIterable<ReceiptLogBatch>): Promise<ReceiptLogBatch> {
  const all: ReceiptLogBatch = { receipts: [], problems: [], ignored: {}, otherAccounts: [] };
  for await (const { receipts, problems, ignored, otherAccounts } of batches) {
    all.receipts.push(...receipts);
    all.problems.push(...problems);
    all.otherAccounts.push(...otherAccounts);
    for (const [kind, count] of Object.entries(ignored) as [keyof typeof ignored, number][])
      all.ignored[kind] = (all.ignored[kind] ?? 0) + count;
  }
  return all;
}

const codes = ({ problems }: ReceiptLogBatch): [number, ReceiptProblemCode][] =>
  problems.map(({ line, code }) => [line, code]);

/** A ChatAppStatus, with the fields that the documentation shows. */
function status(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    MessageId: '890000010002',
    From: PAGE,
    To: USER,
    Timestamp: AT,
    Status: 'Delivered',
    ConversationType: 'service',
    MsgFrameType: 'message',
    TaskId: TASK,
    ...change,
  };
}

const delivered: Receipt = {
  messageId: TASK,
  userId: USER,
  row: { campaign: 'c20261121-4f9ak', seq: 17 },
  kind: 'delivered',
  at: AT,
  error: null,
};

describe('receipts of CAMS', () => {
  const one = JSON.stringify(status());
  const printed = JSON.stringify([status(), status({ Status: 'Read' })], null, 2);
  it.each<[string, string, number]>([
    ['an object', one, 1],
    ['objects, one a line', `${one}\n\n${one}\r\n`, 2],
    ['a list', `[${one},${one}]`, 2],
    ['lists, one a line', `[${one}]\n[${one},${one}]\n`, 3],
    ['a list printed over many lines', printed, 2],
    ['an object printed over many lines', JSON.stringify(status(), null, '\t'), 1],
    ['objects printed one after the other', `${JSON.stringify(status(), null, 2)}\n`.repeat(3), 3],
    ['a list with one object a line', `[\n${one},\n${one}\n]\n${one}`, 3],
    ['a list that begins with a brace', `[{\n${one.slice(1, -1)}\n}, {\n${one.slice(1, -1)}\n}]`, 2],
    ['a list of lists beside objects', `[\n  ${one},\n  ${one}\n]`, 2],
    ['brackets and quotes within texts', JSON.stringify([status({ Name: 'a]}"\\{[' })], null, 2), 1],
  ])('are read from %s', async (_, text, count) => {
    const { receipts, problems } = await read(text);
    expect(problems).toEqual([]);
    expect(receipts).toHaveLength(count);
    expect(receipts[0]).toEqual(delivered);
  });

  it.each<[string, Receipt['kind']]>([
    ['Sent', null],
    ['Delivered', 'delivered'],
    ['Read', 'read'],
    ['Failed', 'undelivered'],
    [' delivered ', 'delivered'],
  ])('say %s', async (said, kind) => {
    expect((await read(JSON.stringify(status({ Status: said })))).receipts).toEqual([{ ...delivered, kind }]);
  });

  it.each<[string, Record<string, unknown>, Partial<Receipt>]>([
    ['keys with spaces around them', { Timestamp: undefined, 'Timestamp ': AT }, {}],
    ['a time as text', { Timestamp: String(AT) }, {}],
    ['the task id of another program', { TaskId: 'newsletter-17' }, { messageId: '890000010002', row: null }],
    ['no task id', { TaskId: undefined }, { messageId: '890000010002', row: null }],
    ['what is almost a task id of ours', { TaskId: `${TASK}\n` }, { messageId: '890000010002', row: null }],
    ['no error where there is none', { ErrorCode: '0', ErrorDescription: 'success' }, {}],
  ])('may have %s', async (_, change, expected) => {
    expect((await read(JSON.stringify(status(change)))).receipts).toEqual([{ ...delivered, ...expected }]);
  });

  it.each<[string, Record<string, unknown>, Receipt['error']]>([
    [
      'a code and words',
      { ErrorCode: '131026', ErrorDescription: 'Undeliverable' },
      { code: 'cams:131026', message: 'Undeliverable' },
    ],
    ['a code as number', { ErrorCode: 131026 }, { code: 'cams:131026', message: '' }],
    ['words alone', { StatusDescription: 'blocked' }, { code: 'cams:UNSPECIFIED', message: 'blocked' }],
    ['what is no code', { ErrorCode: '\u001b[31mred' }, { code: 'cams:UNSPECIFIED', message: '' }],
    ['nothing', { ErrorCode: '', ErrorDescription: '' }, null],
    [
      'words with an id',
      { ErrorCode: 'x.y', ErrorDescription: `no user ${USER}` },
      { code: 'cams:x.y', message: 'no user …3901' },
    ],
  ])('give as reason for a failure %s', async (_, change, error) => {
    const { receipts } = await read(JSON.stringify(status({ Status: 'Failed', ...change })));
    expect(receipts).toEqual([{ ...delivered, kind: 'undelivered', error }]);
  });

  it.each<[string, Record<string, unknown>, ReceiptProblemCode]>([
    ['without a person', { To: undefined }, 'ID_MISSING'],
    ['whose person is a number', { To: 7642925849053901 }, 'ID_NOT_TEXT'],
    ['whose person is no id', { To: 'ann' }, 'ID_MALFORMED'],
    ['without an account', { From: undefined }, 'ID_MISSING'],
    ['without a time', { Timestamp: undefined }, 'TIME_MISSING'],
    ['with a time that is none', { Timestamp: 'yesterday' }, 'TIME_INVALID'],
    ['with a time that is a list', { Timestamp: [] }, 'TIME_INVALID'],
    ['from the future', { Timestamp: NOW + 300_001 }, 'TIME_IN_FUTURE'],
    ['with an unknown status', { Status: 'Pondered' }, 'STATUS_UNKNOWN'],
    ['whose status is a name of every object', { Status: 'constructor' }, 'STATUS_UNKNOWN'],
    ['whose status is a number', { Status: 3 }, 'STATUS_UNKNOWN'],
    ['without a usable message id', { MessageId: 'x'.repeat(501), TaskId: '' }, 'MESSAGE_ID_MISSING'],
    [
      'without the fields of a receipt',
      { Status: undefined, MessageId: undefined, TaskId: undefined },
      'NOT_A_RECEIPT',
    ],
  ])('%s are told with their place, and the others count', async (_, change, code) => {
    const all = await read(`${one}\n[${one},${JSON.stringify(status(change))},${one}]\n`);
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.problems[0]?.text).toMatch(/^item 2: /);
    expect(all.problems[0]?.text).not.toContain(USER);
    expect(all.receipts).toHaveLength(3);
  });

  it('of other accounts are left out, counted and named', async () => {
    const all = await read(
      `[${one},${JSON.stringify(status({ From: '99999' }))}]\n${JSON.stringify(status({ From: '88888' }))}`,
    );
    expect(all.receipts).toEqual([delivered]);
    expect(all).toMatchObject({ ignored: { other_account: 2 }, otherAccounts: ['99999', '88888'], problems: [] });
  });

  it('stand beside other things in a log, which are counted by kind', async () => {
    const inbound = { MessageId: 'x', From: USER, To: PAGE, Type: 'TEXT', Message: 'hello', Timestamp: AT };
    const log = [status({ Status: 'Deleted' }), inbound, inbound, { object: 'page', entry: [] }, status()];
    const all = await read(log.map((line) => JSON.stringify(line)).join('\n'));
    expect(all).toMatchObject({ ignored: { deleted: 1, inbound: 2, meta_webhook: 1 }, problems: [] });
    expect(all.receipts).toEqual([delivered]);
  });
});

describe('status callbacks of Twilio', () => {
  const SID = 'SM0123456789abcdef0123456789abcdef';
  const callback = (change: Record<string, string> = {}): Record<string, string> => ({
    SmsSid: SID,
    SmsStatus: 'delivered',
    MessageStatus: 'delivered',
    To: PHONE,
    MessageSid: SID,
    AccountSid: 'AC0123456789abcdef0123456789abcdef',
    From: NUMBER,
    ApiVersion: '2010-04-01',
    ...change,
  });
  const form = (change?: Record<string, string>): string => new URLSearchParams(callback(change)).toString();
  const json = (change?: Record<string, string>): string => JSON.stringify(callback(change));
  const arrived: Receipt = { messageId: SID, userId: PHONE, row: null, kind: 'delivered', at: NOW, error: null };

  it.each([
    ['form bodies', `${form()}\n${form()}\r\n`],
    ['JSON objects', `${json()}\n${json()}\n`],
    ['both', `${form()}\n${json()}\n`],
    ['a list', `[${json()},${json()}]`],
  ])('are read from %s', async (_, text) => {
    const all = await read(text, NUMBER);
    expect(all.problems).toEqual([]);
    expect(all.receipts).toEqual([arrived, arrived]);
  });

  it.each<[string, Receipt['kind']]>([
    ['accepted', null],
    ['queued', null],
    ['sending', null],
    ['sent', null],
    ['delivered', 'delivered'],
    ['read', 'read'],
    ['undelivered', 'undelivered'],
    ['failed', 'undelivered'],
    ['canceled', 'undelivered'],
  ])('say %s', async (MessageStatus, kind) => {
    expect((await read(form({ MessageStatus }), NUMBER)).receipts).toEqual([{ ...arrived, kind }]);
  });

  const event = (type: string, change: Record<string, unknown> = {}): object => ({
    ...{ specversion: '1.0', id: 'EZ01', type: `com.twilio.messaging.message.${type}` },
    data: {
      ...{ messageSid: SID, accountSid: 'AC01', from: NUMBER, to: PHONE, timestamp: '2026-11-21T09:30:00.000Z' },
      ...{ messageStatus: type.toUpperCase(), ...change },
    },
  });

  it('are read from Event Streams, which tell the time as well', async () => {
    const failed = event('undelivered', { errorCode: 30003 });
    const all = await read(`${JSON.stringify([event('delivered'), failed])}\n${JSON.stringify(event('sent'))}`, NUMBER);
    expect(all.problems).toEqual([]);
    expect(all.receipts).toEqual([
      { ...arrived, at: AT },
      { ...arrived, at: AT, kind: 'undelivered', error: { code: 'twilio:30003', message: '' } },
      { ...arrived, at: AT, kind: null },
    ]);
  });

  it('give the code of an error', async () => {
    const failed = { MessageStatus: 'undelivered', ErrorCode: '30003' };
    const error = { code: 'twilio:30003', message: '' };
    const expected = { ...arrived, kind: 'undelivered', error };
    expect((await read(`${form(failed)}\n${json(failed)}`, NUMBER)).receipts).toEqual([expected, expected]);
  });

  it.each<[string, Record<string, string>, Partial<Receipt>]>([
    ['a channel before the number', { To: `sms:${PHONE}`, From: `sms:${NUMBER}` }, {}],
    ['a number that is none', { To: 'ann' }, { userId: null }],
    ['no sender', { From: '' }, {}],
  ])('may have %s', async (_, change, expected) => {
    expect((await read(form(change), NUMBER)).receipts).toEqual([{ ...arrived, ...expected }]);
  });

  it('lose a number whose + was not encoded, but not the message', async () => {
    const raw = `MessageSid=${SID}&MessageStatus=read&To=${PHONE}&From=${NUMBER}`;
    expect((await read(raw, NUMBER)).receipts).toEqual([{ ...arrived, userId: null, kind: 'read' }]);
  });

  const ROW = 'campaign=c20261121-4f9ak&seq=17';
  const ofRow: Receipt = { ...arrived, row: { campaign: 'c20261121-4f9ak', seq: 17 } };
  const MARK = { campaign: 'c20261121-4f9ak', seq: '17' };

  it.each<[string, string]>([
    ['a path before the form', `/twilio?${ROW} ${form()}`],
    ['an address before the form', `https://example.com/twilio?${ROW}\t${form()}\r`],
    ['an address that had a query of its own', `/twilio?campaign=spring&seq=x&${ROW} ${form()}`],
    ['query and form in one', `${ROW}&${form()}`],
    ['query and form in an object', json(MARK)],
    ['a number as row', JSON.stringify({ ...callback(), ...MARK, seq: 17 })],
  ])('name their row by %s', async (_, line) => {
    const all = await read(`${line}\n${line}\n`, NUMBER);
    expect(all.problems).toEqual([]);
    expect(all.receipts).toEqual([ofRow, ofRow]);
  });

  it.each<[string, string]>([
    ['a path without a query', `/twilio ${form()}`],
    ['a campaign without a row', `/twilio?campaign=c1 ${form()}`],
    ['a row without a campaign', `/twilio?seq=1 ${form()}`],
    ['what is no campaign id', json({ ...MARK, campaign: 'c1/2' })],
    ['a campaign id that is too long', json({ ...MARK, campaign: 'c'.repeat(65) })],
    ['a line break in a campaign id', json({ ...MARK, campaign: 'c1\n' })],
    ['no campaign id', json({ ...MARK, campaign: '' })],
    ['row 0', json({ ...MARK, seq: '0' })],
    ['a row below 0', JSON.stringify({ ...callback(), ...MARK, seq: -1 })],
    ['half a row', JSON.stringify({ ...callback(), ...MARK, seq: 1.5 })],
    ['more rows than there are', json({ ...MARK, seq: '1'.repeat(10) })],
    ['a list of campaigns', JSON.stringify({ ...callback(), ...MARK, campaign: ['c1'] })],
    ['an object as row', JSON.stringify({ ...callback(), ...MARK, seq: { toString: '17' } })],
    ['a campaign in the prototype', json().replace('{', '{"__proto__":{"campaign":"c1","seq":"1"},')],
  ])('count without a row for %s', async (_, line) => {
    expect(await read(line, NUMBER)).toMatchObject({ problems: [], receipts: [arrived] });
  });

  it('name no row where they do not name the person', async () => {
    const nobody = { ...arrived, userId: null };
    expect((await read(`/twilio?${ROW} ${form({ To: 'ann' })}`, NUMBER)).receipts).toEqual([nobody]);
  });

  it('take nothing else from the address that stands in the form', async () => {
    const address = '/twilio?MessageStatus=read&To=%2B4915100000000&MessageSid=SM9';
    expect((await read(`${address} ${form()}`, NUMBER)).receipts).toEqual([arrived]);
  });

  it('of another number are left out, and what people wrote is no receipt', async () => {
    const all = await read(`${form({ From: '+15559999999' })}\n${form({ MessageStatus: 'received' })}`, NUMBER);
    expect(all).toMatchObject({ receipts: [], problems: [], ignored: { other_account: 1, inbound: 1 } });
    expect(all.otherAccounts).toEqual(['+15559999999']);
  });

  it.each<[string, string, ReceiptProblemCode]>([
    ['a prefix before the form', `2026-11-21 INFO ${form()}`, 'NOT_JSON'],
    ['a method before the address', `POST /twilio?${ROW} ${form()}`, 'NOT_JSON'],
    ['something after the form', `/twilio?${ROW} ${form()} 200`, 'NOT_JSON'],
    ['very many question marks', `/${'?'.repeat(500_000)} ${' '.repeat(400_000)}x y`, 'NOT_JSON'],
    ['an unknown status', form({ MessageStatus: 'pondered' }), 'STATUS_UNKNOWN'],
    ['no status', `MessageSid=${SID}&To=x`, 'STATUS_UNKNOWN'],
    ['no message', form({ MessageSid: '' }), 'MESSAGE_ID_MISSING'],
    ['an event without data', '{"type":"com.twilio.messaging.message.sent"}', 'STATUS_UNKNOWN'],
    ['an event at no time', JSON.stringify(event('sent', { timestamp: 'now' })), 'TIME_INVALID'],
    ['an object as message', `{"MessageSid":{"a":1},"MessageStatus":"sent"}`, 'MESSAGE_ID_MISSING'],
  ])('refuses a line with %s, and goes on', async (_, line, code) => {
    const all = await read(`${form()}\n${line}\n${form()}\n`, NUMBER);
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.receipts).toEqual([arrived, arrived]);
  });
});

describe('a hostile or broken file', () => {
  const good = JSON.stringify(status());

  it.each<[what: string, line: string, code: ReceiptProblemCode]>([
    ['half an object', good.slice(0, 40), 'NOT_JSON'],
    ['half a list', `[${good},`, 'NOT_JSON'],
    ['prose', 'Dear all,', 'NOT_JSON'],
    ['more than 1 MB', JSON.stringify(status({ Note: 'x'.repeat(1_100_000) })), 'LINE_TOO_LONG'],
    ['deep nesting', '['.repeat(500_000) + ']'.repeat(500_000), 'NOT_A_RECEIPT'],
    [
      'deep nesting in a field',
      JSON.stringify(status()).replace(String(AT), `${'['.repeat(90_000)}${']'.repeat(90_000)}`),
      'TIME_INVALID',
    ],
    ['an empty list', '[]', 'NOT_A_RECEIPT'],
    ['a number', '7', 'NOT_A_RECEIPT'],
    ['null', 'null', 'NOT_A_RECEIPT'],
    ['a list of numbers', '[7]', 'NOT_A_RECEIPT'],
    ['a prototype', '{"__proto__":{"MessageId":"x","From":"1","To":"2","Status":"Read"}}', 'NOT_A_RECEIPT'],
  ])('refuses a line with %s, and goes on', async (_, line, code) => {
    const all = await read(`${good}\n${line}\n${good}\n`);
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.receipts).toEqual([delivered, delivered]);
  });

  it('reads the first of very many items, and says that there are more', async () => {
    const all = await read(`${good}\n[${Array(10_001).fill('{}').join(',')}]\n${good}\n`);
    expect(all.problems).toHaveLength(10_001);
    expect(all.problems.at(-1)).toMatchObject({ line: 2, code: 'LIST_TOO_LONG' });
    expect(all.receipts).toHaveLength(2);
  });

  it.each<[what: string, text: string, problems: [number, ReceiptProblemCode][], receipts: number]>([
    ['a list without an end', `[\n${good},\n${good}\n`, [[1, 'NOT_JSON']], 2],
    ['an object without an end', `${good}\n{\n"MessageId": "x",\n`, [[2, 'NOT_JSON']], 1],
    ['something else in a list', `[\n${good},\n7, "x", true,\n${good}\n]\n${good}`, [[3, 'NOT_JSON']], 3],
    ['a broken object in a list', `[\n${good},\n{"MessageId" "x"},\n${good}\n]`, [[3, 'NOT_JSON']], 2],
    ['brackets of two kinds', `[\n{"MessageId": [}},\n${good}\n]`, [[2, 'NOT_JSON']], 1],
    ['something after the end', `[\n${good}\n] ${good}\n${good}`, [[3, 'NOT_JSON']], 2],
    [
      'a line too long in a list',
      `[\n${good},\n{"x":"${'x'.repeat(1_100_000)}"},\n${good}\n`,
      [[3, 'LINE_TOO_LONG']],
      2,
    ],
    [
      'an object too long over lines',
      `{\n${`"x": "${'x'.repeat(600_000)}",\n`.repeat(2)}"y": 1\n}\n${good}`,
      [
        [1, 'LINE_TOO_LONG'],
        [4, 'NOT_JSON'],
        [5, 'NOT_JSON'],
      ],
      1,
    ],
  ])('%s costs what cannot be read', async (_, text, problems, receipts) => {
    const all = await read(text);
    expect(codes(all)).toEqual(problems);
    expect(all.receipts).toHaveLength(receipts);
  });

  it('reads no more of a line of a printed list than of another line', async () => {
    const all = await read(`[\n${Array(10_002).fill('{}').join(',')}\n]\n`);
    expect(all.problems.filter(({ code }) => code === 'LIST_TOO_LONG')).toHaveLength(1);
    expect(all.problems.filter(({ code }) => code === 'NOT_A_RECEIPT')).toHaveLength(10_000);
  });

  it.each<[string, string | Uint8Array, ReceiptProblemCode]>([
    ['nothing', '', 'EMPTY'],
    ['blank lines', '\n \n', 'EMPTY'],
    ['a workbook', Buffer.from([0x50, 0x4b, 3, 4, 0, 0]), 'NOT_TEXT'],
    ['zeros', Buffer.alloc(100), 'NOT_TEXT'],
  ])('tells of a file with %s', async (_, source, code) => {
    expect(await read(source)).toMatchObject({ receipts: [], problems: [{ line: 0, code }] });
  });

  it('says what cannot be read', async () => {
    await expect(
      collect(readReceiptLog(join(tmpdir(), 'no-such-receipts.jsonl'), { now: NOW, accountId: PAGE })),
    ).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('drops nothing in silence, whatever JSON comes', async () => {
    const field = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(USER, PAGE, AT, 'Read', 'Failed', TASK));
    const nearly = fc.dictionary(
      fc.constantFrom(
        'MessageId',
        'From',
        'To',
        'Timestamp',
        'Status',
        'TaskId',
        'ErrorCode',
        'MessageSid',
        'MessageStatus',
        'entry',
        ' From',
      ),
      field,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(nearly, fc.jsonValue()), { maxLength: 8 }), async (values) => {
        const text = values.map((value) => JSON.stringify(value)).join('\n');
        const all = await read(text);
        const told =
          all.receipts.length + all.problems.length + Object.values(all.ignored).reduce((sum, n) => sum + n, 0);
        const items = values.map((value) => (Array.isArray(value) && value.length > 0 ? value.length : 1));
        expect(told).toBe(
          Math.max(
            1,
            items.reduce((sum, n) => sum + n, 0),
          ),
        );
      }),
    );
  });
});

describe('reading', () => {
  it('takes a path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pagecast-receipts-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'receipts.json');
    await writeFile(path, JSON.stringify([status()]));
    expect((await collect(readReceiptLog(path, { now: NOW, accountId: PAGE }))).receipts).toEqual([delivered]);
  });

  it('does not depend on how the bytes are cut', async () => {
    const text = `${JSON.stringify([status({ Name: 'ä€😀' }), status({ To: 'x' })], null, 1)}\n${JSON.stringify(status())}\n`;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(Buffer.from(text), Buffer.from(`\uFEFF${text}`, 'utf16le')),
        fc.array(fc.nat(900), { maxLength: 30 }),
        async (bytes, cuts) => {
          const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
          const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
          expect(await read(chunks)).toEqual(await read(bytes));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('keeps batches small', async () => {
    const line = `${JSON.stringify(status())}\n{}\n`;
    let receipts = 0;
    let problems = 0;
    for await (const batch of readReceiptLog(Readable.from(Array(5000).fill(Buffer.from(line))), {
      now: NOW,
      accountId: PAGE,
    })) {
      expect(Math.max(batch.receipts.length, batch.problems.length)).toBeLessThanOrEqual(1000);
      receipts += batch.receipts.length;
      problems += batch.problems.length;
    }
    expect([receipts, problems]).toEqual([5000, 5000]);
  });
});
