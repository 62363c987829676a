/** Recipient workbooks in the hands of other programs. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import type { SheetDraft } from '../../src/ports.js';
import { createSheets } from '../../src/sheets/index.js';
import { readPath, stoppedClock } from '../support/workbooks.js';

const run = promisify(execFile);
/** The python that the distribution's packages (python3-uno, python3-openpyxl) belong to, not one from elsewhere. */
const PYTHON = '/usr/bin/python3';
const EXCEL = 'Calc MS Excel 2007 XML';

const header = ['User ID', 'name', 'order_no'];
const rows = [
  ['76429258490539471', 'Ann', '0042'],
  ['10000000000000001', 'Grüße 😀', '1-2'],
  ['99999999999999999', '=1+1', '3.10'],
];
const draft: SheetDraft = {
  template: { name: 'order_update', language: 'en_US' } as SheetDraft['template'],
  channel: 'messenger',
  header,
  origin: { template: 'order_update', language: 'en_US', fingerprint: 'f00d' },
  help: [
    { text: 'The page-scoped user id.', example: '76429258490539471' },
    { text: 'First name.', example: 'Ann' },
    { text: 'Order number.', example: 'A-1042' },
  ],
};
const filledIn = {
  origin: draft.origin,
  header,
  rows: rows.map((cells, index) => ({ row: index + 2, cells })),
};

async function missing(command: string, ...args: string[]): Promise<boolean> {
  return run(command, args).then(
    () => false,
    () => true,
  );
}

const noOffice =
  (await missing('soffice', '--version')) || (await missing(PYTHON, '-c', 'import uno'))
    ? `needs LibreOffice (soffice) and ${PYTHON} with the module uno: apt-get install libreoffice-calc python3-uno`
    : null;
const noOpenpyxl = (await missing(PYTHON, '-c', 'import openpyxl'))
  ? `needs ${PYTHON} with the module openpyxl: apt-get install python3-openpyxl`
  : null;

function needs(context: TestContext, lacking: string | null): void {
  if (lacking !== null) context.skip(lacking);
}

let folder = '';
let empty = '';
const file = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pagecast-interop-'));
  empty = file('empty.xlsx');
  await createSheets(stoppedClock).create(empty, draft, false);
});
afterAll(() => rm(folder, { recursive: true }));

async function office(...args: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await run(PYTHON, [join(import.meta.dirname, 'office.py'), ...args]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('LibreOffice', () => {
  it('lets a person fill in the sheet but not change its header, and saves what was typed', async (context) => {
    needs(context, noOffice);
    const result = await office('fill', empty, file('filled.xlsx'), JSON.stringify(rows));
    expect(result).toEqual({
      headerKept: true,
      typed: rows,
      lastRow: '76429258490539471',
      visible: ['Recipients', 'How to fill in'],
    });
    expect(await readPath(file('filled.xlsx'))).toEqual(filledIn);
  });

  it('makes numbers of the ids in a CSV file, which are read as such', async (context) => {
    needs(context, noOffice);
    await writeFile(file('ids.csv'), 'User ID,name\n76429258490539471,Ann\n');
    await office('convert', file('ids.csv'), file('ids.xlsx'), EXCEL);
    const read = await readPath(file('ids.xlsx'));
    expect(read.header).toEqual(['User ID', 'name']);
    expect(read.rows).toEqual([
      { row: 2, cells: [{ kind: 'number', text: expect.stringMatching(/^76429258490539\d{3}$/) as string }, 'Ann'] },
    ]);
  });

  it('makes dates of what looks like one, which are read as such', async (context) => {
    needs(context, noOffice);
    await writeFile(file('dates.csv'), 'User ID,date\nx,2024-12-01\n');
    await office('convert', file('dates.csv'), file('dates.xlsx'), EXCEL);
    const [row] = (await readPath(file('dates.xlsx'))).rows;
    expect(row?.cells).toEqual(['x', { kind: 'date', text: '2024-12-01' }]);
  });

  it.for<[string, string, string, string[], object]>([
    ['an .xls', 'old.xls', 'MS Excel 97', [], { code: 'FILE_NOT_WORKBOOK', args: { reason: 'old_excel' } }],
    ['a workbook with a password', 'secret.xlsx', EXCEL, ['geheim'], { code: 'FILE_ENCRYPTED' }],
    ['an .ods', 'open.ods', 'calc8', [], { code: 'FILE_NOT_WORKBOOK', args: { reason: 'unsupported' } }],
  ])('saves %s, which is refused', async ([, name, filter, password, finding], context) => {
    needs(context, noOffice);
    await office('convert', empty, file(name), filter, ...password);
    await expect(readPath(file(name))).rejects.toMatchObject({ finding });
  });
});

describe('openpyxl', () => {
  it('fills in the sheet, which reads back right', async (context) => {
    needs(context, noOpenpyxl);
    await run(PYTHON, [
      join(import.meta.dirname, 'fill_openpyxl.py'),
      empty,
      file('openpyxl.xlsx'),
      JSON.stringify(rows),
    ]);
    const { rows: read, ...rest } = await readPath(file('openpyxl.xlsx'));
    expect(rest).toEqual({ origin: draft.origin, header });
    // openpyxl itself makes a formula of a text that starts with =.
    const expected = filledIn.rows.map(({ row, cells }) => ({
      row,
      cells: cells.map((text) => (text.startsWith('=') ? { kind: 'formula', text: '' } : text)),
    }));
    expect(read).toEqual(expected);
  });
});
