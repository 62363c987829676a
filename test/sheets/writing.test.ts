import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import yauzl from 'yauzl';
import type { SheetOrigin } from '../../src/core/finding.js';
import { MARK_HEADER, headerMatches, type Cell } from '../../src/core/sheet.js';
import type { SheetDraft } from '../../src/ports.js';
import { DEFAULT_LIMITS, createSheets } from '../../src/sheets/index.js';
import { readPath, stoppedClock } from '../support/workbooks.js';

const ID = '76429258490539471';
const origin: SheetOrigin = { template: 'order_update', language: 'en_US', fingerprint: 'f00d' };
const draft: SheetDraft = {
  template: {
    name: 'order_update',
    language: 'en_US',
    channels: ['messenger'],
    kind: 'session',
    body: 'Hi {{name}}, order {{order_no}} leaves on {{date}}.',
    variables: {},
  } as unknown as SheetDraft['template'],
  channel: 'messenger',
  header: ['User ID', 'name', 'order_no', 'date'],
  origin,
  help: [
    { text: 'The page-scoped user id.', example: ID },
    { text: 'First name. At most 60 characters.', example: 'Ann' },
    { text: 'Order number.', example: 'A-1042' },
    { text: 'Ship date, as it is to be read.', example: '1 Dec' },
  ],
};

let folder = '';
const sheets = createSheets(stoppedClock);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pagecast-test-'));
});
afterEach(async () => {
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true });
});

async function part(path: string, name: string): Promise<string> {
  const zip = await yauzl.openPromise(path);
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName !== name) continue;
    const chunks: Buffer[] = [];
    for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }
  throw new Error(`no part ${name}`);
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T, void, undefined> {
  for (const value of values) yield await Promise.resolve(value);
}

describe('the empty sheet', () => {
  it('reads back as what it was made from', async () => {
    const path = join(folder, 'r.xlsx');
    await sheets.create(path, draft, false);
    const { header, rows, origin: found } = await readPath(path);
    expect({ header, rows, found }).toEqual({ header: draft.header, rows: [], found: origin });
    expect(headerMatches(draft.header, header)).toBe(true);
    expect((await stat(path)).size).toBeLessThan(12_000);
    expect(await readdir(folder)).toEqual(['r.xlsx']);
  });

  it('keeps ids as text, locks only the header, and explains each column', async () => {
    const path = join(folder, 'r.xlsx');
    await sheets.create(path, draft, false);
    const sheet = await part(path, 'xl/worksheets/sheet1.xml');
    const styles = await part(path, 'xl/styles.xml');
    const xfs = [...(/<cellXfs.*<\/cellXfs>/.exec(styles)?.[0] ?? '').matchAll(/<xf .*?(?:\/>|<\/xf>)/g)].map(
      ([xf]) => xf,
    );
    const columns = [...sheet.matchAll(/<col min="(\d+)" max="(\d+)"[^>]*style="(\d+)"/g)].map(
      ([, min, max, style]) => ({
        min: Number(min),
        max: Number(max),
        xf: xfs[Number(style)] ?? '',
      }),
    );
    for (let column = 1; column <= 4; column += 1) {
      const xf = columns.find(({ min, max }) => min <= column && column <= max)?.xf ?? '';
      expect(xf).toContain('numFmtId="49"');
      expect(xf).toContain('<protection locked="0"');
    }
    expect(columns.at(-1)).toMatchObject({
      max: 16_384,
      xf: expect.stringContaining('<protection locked="0"') as string,
    });
    expect(/<row r="1"[^>]*customFormat="1"/.test(sheet)).toBe(true);
    expect(/<sheetProtection [^>]*>/.exec(sheet)?.[0]).toBe(
      '<sheetProtection sheet="1" formatCells="0" formatColumns="0" formatRows="0" insertRows="0" insertHyperlinks="0" deleteRows="0" sort="0" autoFilter="0"/>',
    );
    expect([...sheet.matchAll(/sqref="([^"]*)"/g)].map(([, range]) => range)).toEqual(
      expect.arrayContaining(['A2:A1000', 'B2:B1000', 'C2:C1000', 'D2:D1000']),
    );
    expect(/<pane [^>]*ySplit="1"[^>]*state="frozen"/.test(sheet)).toBe(true);
    expect(await part(path, 'xl/comments1.xml')).toContain('Example: A-1042');
    expect(await part(path, 'xl/workbook.xml')).toMatch(/name="_pagecast"[^>]*state="veryHidden"/);
  });

  it('is the same to the byte each time', async () => {
    await sheets.create(join(folder, 'a.xlsx'), draft, false);
    await new Promise((resolve) => setImmediate(resolve));
    await sheets.create(join(folder, 'b.xlsx'), draft, false);
    expect((await readFile(join(folder, 'a.xlsx'))).equals(await readFile(join(folder, 'b.xlsx')))).toBe(true);
    expect(await part(join(folder, 'a.xlsx'), 'docProps/core.xml')).toContain('2020-01-01T00:00:00Z');
  });

  it('bears texts that XML and Excel would stumble over', async () => {
    const path = join(folder, 'r.xlsx');
    const wild = { text: `<&">${'long '.repeat(200)}\u0001`, example: '=1+1' };
    await sheets.create(
      path,
      { ...draft, help: draft.help.map(() => wild), header: ['User ID', '_x000D_', 'ü', 'a<b'] },
      false,
    );
    expect((await readPath(path)).header).toEqual(['User ID', '_x000D_', 'ü', 'a<b']);
    const prompts = [...(await part(path, 'xl/worksheets/sheet1.xml')).matchAll(/ prompt="([^"]*)"/g)];
    expect(prompts).toHaveLength(4);
    for (const [, prompt = ''] of prompts) expect(prompt.replace(/&\w+;/g, 'x').length).toBeLessThanOrEqual(255 + 6);
  });

  it('does not overwrite unless asked, and leaves nothing behind when it fails', async () => {
    const path = join(folder, 'r.xlsx');
    await writeFile(path, 'mine');
    await expect(sheets.create(path, draft, false)).rejects.toMatchObject({
      code: 'FILE_EXISTS',
      hint: expect.stringContaining('--force') as string,
    });
    expect(await readFile(path, 'utf8')).toBe('mine');
    await sheets.create(path, draft, true);
    expect((await readPath(path)).header).toEqual(draft.header);
    expect(await readdir(folder)).toEqual(['r.xlsx']);
  });

  it('says why it cannot be written', async () => {
    await expect(sheets.create(join(folder, 'no', 'r.xlsx'), draft, false)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      hint: `Make the folder first: ${join(folder, 'no')}`,
    });
    await writeFile(join(folder, 'file'), '');
    await expect(sheets.create(join(folder, 'file', 'r.xlsx'), draft, false)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
    await mkdir(join(folder, 'dir.xlsx'));
    await expect(sheets.create(join(folder, 'dir.xlsx'), draft, true)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
    await expect(sheets.create(join(folder, `${'n'.repeat(300)}.xlsx`), draft, true)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
    expect((await readdir(folder)).sort()).toEqual(['dir.xlsx', 'file']);
  });

  it.skipIf(process.getuid?.() === 0)('says when the folder may not be written to', async () => {
    await chmod(folder, 0o500);
    await expect(sheets.create(join(folder, 'r.xlsx'), draft, false)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
  });
});

describe('a marked copy', () => {
  async function mark(path: string, header: readonly Cell[], from: SheetOrigin | null = origin) {
    return sheets.mark(path, header, from, false);
  }

  it('holds the same rows as text, with what is wrong beside them', async () => {
    const path = join(folder, 'marked.xlsx');
    const copy = await mark(path, ['User ID', 'name', null]);
    await copy.add({ row: 2, cells: [ID, 'Ann'] }, []);
    await copy.add({ row: 5, cells: [{ kind: 'number', text: '76429258490539470' }, null] }, [
      { column: 0, text: 'This id was rounded.' },
      { column: 1, text: 'The name is missing.' },
    ]);
    await copy.add({ row: 6, cells: [ID, { kind: 'formula', text: '7' }, { kind: 'date', text: '2024-12-01' }] }, [
      { column: null, text: 'The message is too long.' },
    ]);
    await copy.finish();
    const { header, rows, origin: found } = await readPath(path);
    expect(found).toEqual(origin);
    expect(header).toEqual(['User ID', 'name', MARK_HEADER]);
    expect(headerMatches(['User ID', 'name'], header)).toBe(true);
    expect(rows).toEqual([
      { row: 2, cells: [ID, 'Ann'] },
      { row: 5, cells: ['76429258490539470', null, 'This id was rounded.\nThe name is missing.'] },
      { row: 6, cells: [ID, '7', 'The message is too long.', '2024-12-01'] },
    ]);
    const sheet = await part(path, 'xl/worksheets/sheet1.xml');
    const style = (cell: string) => new RegExp(`<c r="${cell}" s="(\\d+)"`).exec(sheet)?.[1];
    expect(style('A5')).toBeDefined();
    expect(style('A5')).toBe(style('B5'));
    expect(style('A5')).not.toBe(style('A2'));
    expect(sheet).toContain('state="frozen"');
    expect(sheet).toContain('<sheetProtection');
    expect(await readdir(folder)).toEqual(['marked.xlsx']);
  });

  it('is marked anew when it comes back still with faults', async () => {
    const path = join(folder, 'again.xlsx');
    const copy = await mark(path, ['User ID', 'name', MARK_HEADER], null);
    await copy.add({ row: 2, cells: [ID, null, 'The name is missing.'] }, [{ column: 1, text: 'Still missing.' }]);
    await copy.add({ row: 3, cells: [ID, 'Ann', 'The name is missing.', 'outside'] }, []);
    await copy.finish();
    const { header, rows, origin: found } = await readPath(path);
    expect(found).toBeNull();
    expect(header).toEqual(['User ID', 'name', MARK_HEADER]);
    expect(rows).toEqual([
      { row: 2, cells: [ID, null, 'Still missing.'] },
      { row: 3, cells: [ID, 'Ann', null, 'outside'] },
    ]);
  });

  it('keeps row numbers over a gap as large as a sheet', async () => {
    const path = join(folder, 'gap.xlsx');
    const copy = await mark(path, ['User ID']);
    await copy.add({ row: 2, cells: ['a'] }, []);
    await copy.add({ row: 200_000, cells: ['b'] }, []);
    await copy.finish();
    expect((await readPath(path)).rows.map(({ row }) => row)).toEqual([2, 200_000]);
  });

  it('leaves nothing behind when it is abandoned, and does not overwrite', async () => {
    const path = join(folder, 'marked.xlsx');
    const copy = await mark(path, ['User ID']);
    await copy.add({ row: 2, cells: [ID] }, []);
    await copy.abandon();
    expect(await readdir(folder)).toEqual([]);
    await writeFile(path, 'mine');
    await expect(mark(path, ['User ID'])).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    const over = await sheets.mark(path, ['User ID'], null, true);
    await over.finish();
    expect((await readPath(path)).header).toEqual(['User ID', MARK_HEADER]);
  });

  it('gives back any text', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 10 }).map((one) => one.replace(/\p{Surrogate}/gu, ''));
    const awkward = fc.constantFrom(
      '_x000D_',
      '_x005F_x000D_',
      '\r',
      '\r\n',
      '\n',
      '\t',
      '\u0000',
      '\u001f',
      '\ufffe',
      '=1+1',
      "'x",
      ' x ',
      '_x',
      '😀',
    );
    const cell = fc.oneof(
      text,
      awkward,
      fc.tuple(awkward, text).map(([one, other]) => one + other),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { maxLength: 6 }), async (rows) => {
        const path = join(folder, 'any.xlsx');
        const copy = await sheets.mark(path, ['User ID', 'name'], null, true);
        for (const [index, cells] of rows.entries()) await copy.add({ row: index + 2, cells: [...cells, 'end'] }, []);
        await copy.finish();
        // The third cell stands right of the header, where the marks are, and moves one to the right.
        const expected = rows.map(([a, b], index) => ({ row: index + 2, cells: [a || null, b || null, null, 'end'] }));
        expect((await readPath(path)).rows).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});

describe('a table', () => {
  const header = ['user', 'state', 'error'];
  const rows = [
    [ID, 'sent', ''],
    ['+15550001111', 'failed', '=HYPERLINK("http://x")'],
    ['007', '-', 'a "b", c\nd'],
    ['@x', '\tx', '+1-2'],
  ];

  it('goes to .xlsx as text', async () => {
    const path = join(folder, 't.xlsx');
    expect(await sheets.exportTable(path, header, each(rows))).toBe(4);
    const found = await readPath(path);
    expect(found.header).toEqual(header);
    expect(found.rows.map(({ cells }) => cells)).toEqual(rows.map((row) => (row[2] === '' ? row.slice(0, 2) : row)));
    const sheet = await part(path, 'xl/worksheets/sheet1.xml');
    expect(sheet).not.toContain('<f>');
    expect(sheet).toContain('<pane');
  });

  it('goes to .csv so that Excel shows it and computes nothing', async () => {
    const path = join(folder, 't.CSV');
    expect(await sheets.exportTable(path, header, each(rows))).toBe(4);
    expect(await readFile(path, 'utf8')).toBe(
      '\ufeffuser,state,error\r\n' +
        `${ID},sent,\r\n` +
        `+15550001111,failed,"'=HYPERLINK(""http://x"")"\r\n` +
        `007,'-,"a ""b"", c\nd"\r\n` +
        `'@x,'\tx,'+1-2\r\n`,
    );
    const found = await readPath(path);
    expect(found.header).toEqual(header);
    expect(found.rows[2]?.cells[2]).toBe('a "b", c\nd');
  });

  it.each(['t.xlsx', 't.csv'])('appears complete or not at all (%s)', async (name) => {
    const path = join(folder, name);
    async function* failing(): AsyncGenerator<string[], void, undefined> {
      yield* each([['a']]);
      throw new Error('the store is gone');
    }
    await expect(sheets.exportTable(path, ['x'], failing())).rejects.toThrow('the store is gone');
    expect(await readdir(folder)).toEqual([]);
    await sheets.exportTable(path, ['x'], each([['a']]));
    await expect(sheets.exportTable(path, ['x'], each([['b']]))).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await sheets.exportTable(path, ['x'], each([['b']]), true);
    expect((await readPath(path)).rows).toEqual([{ row: 2, cells: ['b'] }]);
  });

  it.skipIf(process.platform !== 'linux')('says when a file system takes no files', async () => {
    await expect(sheets.exportTable('/proc/t.csv', ['x'], each([]))).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    await expect(sheets.exportTable('/proc/t.xlsx', ['x'], each([]))).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
  });

  it('knows two kinds of files', async () => {
    await expect(sheets.exportTable(join(folder, 't.ods'), ['x'], each([]))).rejects.toMatchObject({ code: 'USAGE' });
    await expect(sheets.exportTable(join(folder, '-'), ['x'], each([]))).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('cuts a text that no Excel cell can hold', async () => {
    const path = join(folder, 'long.xlsx');
    await sheets.exportTable(path, ['x'], each([['😀'.repeat(20_000)], ['x'.repeat(DEFAULT_LIMITS.cellCharacters)]]));
    const [long, exact] = (await readPath(path)).rows.map(({ cells }) => cells[0]);
    expect(long).toBe('😀'.repeat(16_383) + '…');
    expect(exact).toBe('x'.repeat(DEFAULT_LIMITS.cellCharacters));
  });
});
