import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  readWindowLog,
  type LineCode,
  type WindowLogBatch,
  type WindowLogOptions,
} from '../../src/inbound/window-log.js';

const NOW = Date.UTC(2026, 10, 21, 12);
const ID = '7642925849053901';
const AT = Date.UTC(2026, 10, 21, 9, 30);
const ISO = '2026-11-21T09:30:00Z';

async function read(source: string | Uint8Array | Uint8Array[], options: Partial<WindowLogOptions> = {}) {
  const chunks = Array.isArray(source) ? source : [typeof source === 'string' ? Buffer.from(source) : source];
  return collect(readWindowLog(Readable.from(chunks), { now: NOW, ...options }));
}

async function collect(batches: AsyncIterable<WindowLogBatch>): Promise<WindowLogBatch> {
  const all: WindowLogBatch = { lines: 0, events: [], echoes: [], problems: [], ignored: {}, otherAccounts: [] };
  for await (const { lines, events, echoes, problems, ignored, otherAccounts } of batches) {
    all.echoes.push(...echoes);
    all.lines += lines;
    all.events.push(...events);
    all.problems.push(...problems);
    all.otherAccounts.push(...otherAccounts);
    for (const [kind, count] of Object.entries(ignored) as [keyof typeof ignored, number][]) {
      all.ignored[kind] = (all.ignored[kind] ?? 0) + count;
    }
  }
  return all;
}

const codes = ({ problems }: WindowLogBatch): [number, LineCode][] => problems.map(({ line, code }) => [line, code]);
const event = { userId: ID, openedAt: AT, opener: 'message' };

describe('CSV', () => {
  it.each<[string, string | Uint8Array]>([
    ['plain', `user_id,opened_at\n${ID},${ISO}\n`],
    ['no line break at the end', `user_id,opened_at\n${ID},${ISO}`],
    ['CRLF and blank lines', `\r\nuser_id,opened_at\r\n\r\n${ID},${ISO}\r\n\r\n`],
    ['semicolons', `user_id;opened_at\n${ID};${ISO}`],
    ['tabs', `user_id\topened_at\n${ID}\t${ISO}`],
    ['another order', `opened_at,user_id\n${ISO},${ID}`],
    ['more columns', `name,opened_at,note,user_id\nAnn,${ISO},,${ID}`],
    ['capitals and spaces', `User_ID , Opened_At\n ${ID} , ${ISO} `],
    ['quotes', `"user_id","opened_at","opener"\n"${ID}","${ISO}","message"`],
    ['an empty opener', `user_id,opened_at,opener\n${ID},${ISO},`],
    ['no opener field', `user_id,opened_at,opener\n${ID},${ISO}`],
    ['the separator line of Excel', `sep=;\nuser_id;opened_at\n${ID};${ISO}`],
    ['UTF-8 with a mark', `\uFEFFuser_id,opened_at\n${ID},${ISO}`],
    ['UTF-16 little endian', Buffer.from(`\uFEFFuser_id,opened_at\n${ID},${ISO}`, 'utf16le')],
    ['UTF-16 big endian', Buffer.from(`\uFEFFuser_id,opened_at\n${ID},${ISO}`, 'utf16le').swap16()],
    ['UTF-16 without a mark', Buffer.from(`user_id,opened_at\n${ID},${ISO}`, 'utf16le')],
    ['trailing separators', `user_id,opened_at,,\n${ID},${ISO},,`],
    [
      'text with separators, quotes and line breaks',
      `note,user_id,opened_at\n"a, ""b""\nc\n99999,${ISO}",${ID},${ISO}`,
    ],
  ])('%s', async (_, source) => {
    const { events, problems, lines } = await read(source);
    expect(problems).toEqual([]);
    expect(events).toEqual([event]);
    expect(lines).toBeGreaterThanOrEqual(1);
  });

  it('takes every opener', async () => {
    const openers = ['message', 'button', 'ad', 'm_me', 'ig_me', 'reaction', 'comment', 'visitor_post'];
    const { events } = await read(
      `user_id,opened_at,opener\n${openers.map((one) => `${ID},${ISO},${one}`).join('\n')}`,
    );
    expect(events.map(({ opener }) => opener)).toEqual(openers);
  });

  it.each<[what: string, row: string, code: LineCode]>([
    ['no id', `,${ISO}`, 'ID_MISSING'],
    ['spaces for an id', `  ,${ISO}`, 'ID_MISSING'],
    ['letters', `ann,${ISO}`, 'ID_MALFORMED'],
    ['four digits', `1234,${ISO}`, 'ID_MALFORMED'],
    ['twenty-one digits', `${'1'.repeat(21)},${ISO}`, 'ID_MALFORMED'],
    ['a leading zero', `0${ID},${ISO}`, 'ID_MALFORMED'],
    ['what Excel leaves of an id', `7.64E+15,${ISO}`, 'ID_NOT_TEXT'],
    ['what a German Excel leaves of it', `"7,64E+15",${ISO}`, 'ID_NOT_TEXT'],
    ['no time', `${ID},`, 'TIME_MISSING'],
    ['no zone', `${ID},2026-11-21T09:30:00`, 'TIME_WITHOUT_ZONE'],
    ['no zone, with a space', `${ID},2026-11-21 09:30`, 'TIME_WITHOUT_ZONE'],
    ['a day alone', `${ID},2026-11-21`, 'TIME_WITHOUT_ZONE'],
    ['another notation', `${ID},21.11.2026 09:30`, 'TIME_INVALID'],
    ['an American notation', `${ID},11/21/2026 9:30 AM`, 'TIME_INVALID'],
    ['a day that does not exist', `${ID},2026-02-30T00:00:00Z`, 'TIME_INVALID'],
    ['an hour that does not exist', `${ID},2026-02-20T24:30:00Z`, 'TIME_INVALID'],
    ['an offset that does not exist', `${ID},2026-02-20T10:30:00+25:00`, 'TIME_INVALID'],
    ['a number of days', `${ID},46000.4`, 'TIME_INVALID'],
    ['microseconds', `${ID},${AT}000`, 'TIME_INVALID'],
    ['the future', `${ID},2026-11-21T12:06:00Z`, 'TIME_IN_FUTURE'],
    ['the future by an offset', `${ID},2026-11-21T12:00:00-01:00`, 'TIME_IN_FUTURE'],
    ['an unknown opener', `${ID},${ISO},carrier_pigeon`, 'OPENER_UNKNOWN'],
    ['a field too few', ID, 'NOT_A_RECORD'],
    ['a field too many', `${ID},${ISO},message,x`, 'NOT_A_RECORD'],
  ])('refuses a row with %s', async (_, row, code) => {
    const all = await read(`user_id,opened_at,opener\n${row}\n${ID},${ISO},\n`);
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.events).toEqual([event]);
    expect(all.lines).toBe(2);
    expect(all.problems[0]?.text).not.toContain(ID);
  });

  it.each<[string, number]>([
    ['2026-11-21T09:30:00Z', AT],
    ['2026-11-21t09:30:00z', AT],
    ['2026-11-21 09:30Z', AT],
    ['2026-11-21T10:30:00+01:00', AT],
    ['2026-11-21T10:30:00+0100', AT],
    ['2026-11-21T04:00:00-0530', AT],
    ['2026-11-21T10:30:00+01', AT],
    ['2026-11-21T09:30:00.123456Z', AT + 123],
    ['2026-11-21 09:30:00 +00:00', AT],
    [String(AT), AT],
    [String(AT / 1000), AT],
    ['2026-11-21T12:05:00Z', NOW + 300_000],
  ])('reads the time %s', async (time, expected) => {
    const { events, problems } = await read(`user_id,opened_at\n${ID},"${time}"`);
    expect(problems).toEqual([]);
    expect(events[0]?.openedAt).toBe(expected);
  });

  it('agrees with Date on every instant', async () => {
    const dates = fc.date({ min: new Date('2002-01-01'), max: new Date(NOW), noInvalidDate: true });
    await fc.assert(
      fc.asyncProperty(fc.array(dates, { minLength: 1 }), async (times) => {
        const rows = times.map((time) => `${ID},${time.toISOString()}`).join('\n');
        const { events } = await read(`user_id,opened_at\n${rows}`);
        expect(events.map(({ openedAt }) => openedAt)).toEqual(times.map((time) => time.getTime()));
      }),
      { numRuns: 50 },
    );
  });

  it('numbers records that run over several lines by their first', async () => {
    const all = await read(`note,user_id,opened_at\n"a\nb\nc",x,${ISO}\n,y,${ISO}\n`);
    expect(codes(all)).toEqual([
      [2, 'ID_MALFORMED'],
      [5, 'ID_MALFORMED'],
    ]);
  });

  it('tells of a quote that is never closed', async () => {
    const all = await read(`user_id,opened_at\n${ID},${ISO}\n"${ID},${ISO}\n${ID},${ISO}\n`);
    expect(codes(all)).toEqual([[3, 'NOT_A_RECORD']]);
    expect(all.events).toHaveLength(1);
  });

  it('gets over a stray quote after 1 MB', async () => {
    const rows = `${ID},${ISO}\n`.repeat(40_000);
    const all = await read(`user_id,opened_at\n"${rows}`);
    expect(codes(all)).toEqual([[2, 'LINE_TOO_LONG']]);
    expect(all.events.length).toBeGreaterThan(10_000);
  });
});

describe('a first line that is no header', () => {
  it.each([
    ['no header', `${ID},${ISO}\n${ID},${ISO}`],
    ['a column missing', `user_id,time\n${ID},${ISO}`],
    ['a column twice', `user_id,opened_at,user_id\n${ID},${ISO},12345`],
    ['a log prefix', `2026-11-21 INFO {"object":"page","entry":[]}\n`],
    ['prose', 'Dear all,\nplease find attached'],
  ])('ends the reading: %s', async (_, text) => {
    const all = await read(text);
    expect(codes(all)).toEqual([[1, 'HEADER_UNKNOWN']]);
    expect(all.events).toEqual([]);
  });

  it('says what to do about a log prefix', async () => {
    const { problems } = await read('INFO {"object":"page"}');
    expect(problems[0]?.text).toContain('without the log prefix');
  });
});

describe('JSON lines', () => {
  it('reads records', async () => {
    const lines = [
      { user_id: ID, opened_at: ISO },
      { user_id: ID, opened_at: AT, opener: 'comment', more: [1] },
      { opener: null, opened_at: AT / 1000, user_id: '+4915112345678' },
    ];
    const { events, problems } = await read(lines.map((line) => JSON.stringify(line)).join('\n'));
    expect(problems).toEqual([]);
    expect(events).toEqual([event, { ...event, opener: 'comment' }, { ...event, userId: '+4915112345678' }]);
  });

  it('reads records that a formatter printed', async () => {
    const record = { user_id: ID, opened_at: ISO };
    for (const text of [JSON.stringify([record, record], null, 2), `${JSON.stringify(record, null, 2)}\n`.repeat(2)])
      expect((await read(text)).events).toEqual([event, event]);
  });

  it.each<[what: string, line: string, code: LineCode]>([
    ['an id as number', `{"user_id": ${ID}, "opened_at": "${ISO}"}`, 'ID_NOT_TEXT'],
    ['an id as list', `{"user_id": ["${ID}"], "opened_at": "${ISO}"}`, 'ID_MALFORMED'],
    ['no id', `{"opened_at": "${ISO}"}`, 'ID_MISSING'],
    ['no time', `{"user_id": "${ID}"}`, 'TIME_MISSING'],
    ['a time that is a list', `{"user_id": "${ID}", "opened_at": []}`, 'TIME_INVALID'],
    ['an opener that is a number', `{"user_id": "${ID}", "opened_at": "${ISO}", "opener": 1}`, 'OPENER_UNKNOWN'],
    ['half an object', `{"user_id": "${ID}"`, 'NOT_JSON'],
    ['a prefix', `INFO {"user_id": "${ID}"}`, 'NOT_JSON'],
    ['a list', '[]', 'NOT_A_RECORD'],
    ['a list of numbers', '[7]', 'NOT_A_RECORD'],
    [
      'a time nested deeply',
      `{"user_id":"${ID}","opened_at":${'['.repeat(90_000)}${']'.repeat(90_000)}}`,
      'TIME_INVALID',
    ],
    ['a number', '7', 'NOT_A_RECORD'],
    ['deep nesting', '['.repeat(500_000) + ']'.repeat(500_000), 'NOT_A_RECORD'],
    ['deep nesting without an end', '{"a":'.repeat(200_000), 'NOT_JSON'],
    ['more than 1 MB', `{"user_id": "${ID}", "note": "${'x'.repeat(1_100_000)}"}`, 'LINE_TOO_LONG'],
  ])('refuses a line with %s, and goes on', async (_, line, code) => {
    const good = JSON.stringify({ user_id: ID, opened_at: ISO });
    const all = await read(`${good}\n${line}\n${good}\n`);
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.events).toHaveLength(2);
  });

  it('keeps control characters out of its sentences', async () => {
    const line = JSON.stringify({ user_id: ID, opened_at: `\u001b[31m${'x'.repeat(100)}` });
    const { problems } = await read(line);
    expect(problems[0]?.text).toContain('\\u001b');
    expect(problems[0]?.text.length).toBeLessThan(200);
  });
});

describe('webhook bodies', () => {
  const item = { sender: { id: ID }, recipient: { id: '99999' }, timestamp: AT, message: { text: 'x' } };
  const body = (account = '99999', ...items: object[]): string =>
    JSON.stringify({ object: 'page', entry: [{ id: account, time: AT, messaging: items.length ? items : [item] }] });

  it('reads one body a line and counts what opens nothing', async () => {
    const { sender, timestamp } = item;
    const all = await read(`${body()}\n${body('99999', item, { sender, timestamp, read: {} })}\n`);
    expect(all.events).toEqual([event, event]);
    expect(all.ignored).toEqual({ read: 1 });
  });

  it('leaves out other accounts', async () => {
    const all = await read(`${body()}\n${body('88888')}\n`, { accountId: '99999' });
    expect(all.events).toEqual([event]);
    expect(all.ignored).toEqual({ other_account: 1 });
    const several = [body('88888'), body('88888'), body('77777'), body()].join('\n');
    expect((await read(several, { accountId: '99999' })).otherAccounts).toEqual(['88888', '77777']);
  });

  it('takes the Instagram account that is linked to a Page for the account itself', async () => {
    const echo = { sender: { id: '77777' }, message: { is_echo: true, mid: 'm_1', metadata: 'pagecast/c1/1' } };
    const log = [body('77777'), body('77777', echo), body('88888'), body()].join('\n');
    const ids = { accountId: '99999', instagramId: '77777' };
    expect(await read(log, ids)).toMatchObject({ events: [event, event], otherAccounts: ['88888'] });
    expect((await read(log, ids)).echoes).toEqual([{ campaign: 'c1', seq: 1, messageId: 'm_1' }]);
    expect((await read(log, { accountId: '99999' })).echoes).toEqual([]);
  });

  it('gives the echoes of the account that was asked for, and of no other', async () => {
    const echo = (account: string, seq: number): string =>
      body(account, {
        sender: { id: account },
        message: { is_echo: true, mid: `m_${seq}`, metadata: `pagecast/c1/${seq}` },
      });
    const log = [echo('99999', 1), echo('88888', 2), echo('99999', 3)].join('\n');
    const all = await read(log, { accountId: '99999' });
    expect(all).toMatchObject({ events: [], problems: [], ignored: { echo: 3 } });
    expect(all.echoes).toEqual([
      { campaign: 'c1', seq: 1, messageId: 'm_1' },
      { campaign: 'c1', seq: 3, messageId: 'm_3' },
    ]);
  });

  it('refuses the future', async () => {
    const all = await read(body('99999', { ...item, timestamp: NOW + 300_001 }));
    expect(codes(all)).toEqual([[1, 'TIME_IN_FUTURE']]);
    expect(all.events).toEqual([]);
  });

  it('may be mixed with records, unless a format is asked for', async () => {
    const record = JSON.stringify({ user_id: ID, opened_at: ISO });
    const text = `${record}\n${body()}\n`;
    expect((await read(text)).events).toHaveLength(2);
    expect(codes(await read(text, { format: 'jsonl' }))).toEqual([[2, 'NOT_A_RECORD']]);
    expect(codes(await read(text, { format: 'webhook' }))).toEqual([[1, 'NOT_A_WEBHOOK']]);
    expect(codes(await read(text, { format: 'csv' }))).toEqual([[1, 'HEADER_UNKNOWN']]);
  });
});

describe('what CAMS pushes', () => {
  const PAGE = '99999';
  const inbound = (change: Record<string, unknown> = {}): Record<string, unknown> => ({
    MessageId: '890000010002',
    From: ID,
    To: PAGE,
    DisplayName: 'Ann',
    Type: 'TEXT',
    Message: 'hello',
    Timestamp: AT,
    Name: 'Ann',
    ...change,
  });
  const line = JSON.stringify(inbound());

  it.each<[string, string, number]>([
    ['a list, as it is pushed over HTTP', `[${line},${line}]`, 2],
    ['a list printed over many lines', JSON.stringify([inbound(), inbound()], null, 2), 2],
    [
      'an object, as it comes from a queue',
      JSON.stringify(inbound({ CustSpaceId: 'cams-8c8', FromUserName: 'ann' })),
      1,
    ],
    ['a key with a space after it', JSON.stringify(inbound({ Timestamp: undefined, 'Timestamp ': AT })), 1],
    ['a time as text', JSON.stringify(inbound({ Timestamp: String(AT) })), 1],
    ['a medium', JSON.stringify(inbound({ Type: 'IMAGE', NoticeType: 'inbound', Message: '{"id":"1"}' })), 1],
    ['no type', JSON.stringify(inbound({ Type: undefined })), 1],
  ])('opens windows from %s', async (_, text, count) => {
    for (const format of [undefined, 'webhook'] as const) {
      const all = await read(text, { accountId: PAGE, ...(format && { format }) });
      expect(all.problems).toEqual([]);
      expect(all.events).toEqual(Array(count).fill(event));
    }
  });

  it('passes over what no person wrote, receipts and other accounts', async () => {
    const others = [
      inbound({ Type: 'SYSTEM' }),
      inbound({ Type: 'system ' }),
      inbound({ From: PAGE, To: ID, Status: 'Delivered', TaskId: 'x' }),
      inbound({ To: '88888' }),
      inbound(),
    ];
    const all = await read(JSON.stringify(others), { accountId: PAGE });
    expect(all).toMatchObject({ events: [event], problems: [], otherAccounts: ['88888'] });
    expect(all.ignored).toEqual({ system: 2, receipt: 1, other_account: 1 });
  });

  it.each<[string, Record<string, unknown>, LineCode]>([
    ['no person', { From: undefined }, 'ID_MISSING'],
    ['a person as number', { From: 7642925849053901 }, 'ID_NOT_TEXT'],
    ['no account', { To: undefined }, 'ID_MISSING'],
    ['no time', { Timestamp: undefined }, 'TIME_MISSING'],
    ['a time that is none', { Timestamp: { a: 1 } }, 'TIME_INVALID'],
    ['a time in the future', { Timestamp: NOW + 300_001 }, 'TIME_IN_FUTURE'],
    ['nothing of a notice', { MessageId: undefined }, 'ID_MISSING'],
  ])('refuses an item with %s by its place, and takes the others', async (_, change, code) => {
    const all = await read(`\n[${line},${JSON.stringify(inbound(change))}]\n`, { accountId: PAGE });
    expect(codes(all)).toEqual([[2, code]]);
    expect(all.problems[0]?.text).toMatch(/^item 2: /);
    expect(all.problems[0]?.text).not.toContain(ID);
    expect(all.events).toEqual([event]);
  });

  it('may stand beside records and bodies of Meta, unless records alone are asked for', async () => {
    const record = JSON.stringify({ user_id: ID, opened_at: ISO });
    const text = `${record}\n${line}\n`;
    expect((await read(text, { accountId: PAGE })).events).toEqual([event, event]);
    expect(codes(await read(text, { accountId: PAGE, format: 'jsonl' }))).toEqual([[2, 'NOT_A_RECORD']]);
  });
});

describe('files', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pagecast-log-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('reads a path', async () => {
    const path = join(folder, 'log.csv');
    await writeFile(path, `user_id,opened_at\n${ID},${ISO}\n`);
    expect((await collect(readWindowLog(path, { now: NOW }))).events).toEqual([event]);
  });

  it('says what cannot be read', async () => {
    for (const path of [join(folder, 'absent.csv'), folder]) {
      await expect(collect(readWindowLog(path, { now: NOW }))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    }
  });

  it.each<[string, string | Uint8Array, LineCode]>([
    ['nothing', '', 'EMPTY'],
    ['a mark alone', '\uFEFF', 'EMPTY'],
    ['blank lines', '\n \n\n', 'EMPTY'],
    ['a header alone', 'user_id,opened_at\n', 'EMPTY'],
    ['a workbook', Buffer.from([0x50, 0x4b, 3, 4, 0, 0]), 'NOT_TEXT'],
    ['a compressed file', Buffer.from([0x1f, 0x8b, 8, 0, 0]), 'NOT_TEXT'],
    ['zeros', Buffer.alloc(100), 'NOT_TEXT'],
  ])('tells of a file with %s', async (_, source, code) => {
    const all = await read(source);
    expect(codes(all)).toEqual([[0, code]]);
    expect(all.events).toEqual([]);
    expect(all.lines).toBe(0);
  });

  it('does not depend on how the bytes are cut', async () => {
    const text = `note,user_id,opened_at\nä€😀,${ID},${ISO}\n"x\ny",${ID},${ISO}\n,bad,${ISO}\n`;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(Buffer.from(text), Buffer.from(`\uFEFF${text}`, 'utf16le')),
        fc.array(fc.nat(400), { maxLength: 30 }),
        async (bytes, cuts) => {
          const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
          const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
          expect(await read(chunks)).toEqual(await read(bytes));
        },
      ),
    );
  });

  it('keeps batches small and memory flat', async () => {
    const rows = 200_000;
    function* chunks(): Generator<Buffer> {
      yield Buffer.from('user_id,opened_at\n');
      for (let index = 0; index < rows; index += 1000) {
        let text = '';
        for (let row = index; row < index + 1000; row += 1) text += `${10_000_000 + row},${row % 10 ? ISO : 'never'}\n`;
        yield Buffer.from(text);
      }
    }
    let events = 0;
    let problems = 0;
    for await (const batch of readWindowLog(Readable.from(chunks()), { now: NOW })) {
      expect(batch.events.length).toBeLessThanOrEqual(1000);
      expect(batch.problems.length).toBeLessThanOrEqual(1000);
      events += batch.events.length;
      problems += batch.problems.length;
    }
    expect([events, problems]).toEqual([rows * 0.9, rows * 0.1]);
  });
});
