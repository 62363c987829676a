/**
 * What bad input gets: a code, a sentence that names the place and a way out, the exit status, and nothing sent. Each case
 * goes through `send` with everything else in order, so that only the fault under test stands between it and the people.
 */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { pagecast, pagecastJson, sandboxProcess, type CampaignJson, type SandboxProcess } from '../support/process.js';
import { Ledger } from '../support/workspace-ledger.js';
import {
  entityBomb,
  fillIn,
  HEADER,
  oldOffice,
  orderRow,
  rawText,
  rawWorkbook,
  styledBlankRows,
  textWorkbook,
  zipBomb,
} from '../support/workspace-sheets.js';
import {
  accountsAt,
  orderSheet,
  personId,
  sharedEnd,
  testWorkspace,
  windowLog,
  type TestWorkspace,
} from '../support/workspace.js';

const TEMPLATE = ['--template', 'order_update', '--lang', 'en_US'];
const TO = ['--to', personId(0), '--var', 'name=Ann', '--var', 'order_no=A-1', '--var', 'date=1 Dec'];
const CONSENT = ['--accept-policy', '--confirm-count', '1'];
const PEOPLE = 20;

let sandbox: SandboxProcess;
let workspace: TestWorkspace;

async function prepared(configuration: string, atEnd?: TestWorkspace['atEnd']): Promise<TestWorkspace> {
  const made = await testWorkspace(configuration, atEnd);
  await made.write('orders.csv', orderSheet(PEOPLE));
  await made.write('windows.csv', windowLog(PEOPLE));
  return made;
}

const atEnd = sharedEnd();

beforeAll(async () => {
  sandbox = await sandboxProcess(await testWorkspace(undefined, atEnd));
  workspace = await prepared(accountsAt({ page: sandbox.url }), atEnd);
  expect((await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'page'])).status).toBe(0);
});

/** Begun first, because it waits for as long as a writer could be expected to take. */
let busy: ReturnType<typeof pagecastJson>;

beforeAll(async () => {
  const own = await prepared(accountsAt({ page: sandbox.url }), atEnd);
  await inside(own, ['window', 'import', 'windows.csv', '--account', 'page']);
  const writer = new Database(own.path('.pagecast/pagecast.db'));
  atEnd(() => void writer.close());
  writer.exec('BEGIN IMMEDIATE');
  const args = ['--sheet', 'orders.csv', '--accept-policy', '--confirm-count', String(PEOPLE)];
  busy = pagecastJson(own, ['send', ...TEMPLATE, '--from', 'page', ...args]);
});

async function expectNothingSent(): Promise<void> {
  const { accepted, refused } = await sandbox.stats();
  expect({ accepted, refused }).toEqual({ accepted: 0, refused: 0 });
}

/** The error on stderr is one line of JSON with a code, a sentence and a hint. */
function expectError(
  result: Pick<Inside<unknown>, 'stdout' | 'stderr' | 'error' | 'status'>,
  code: string,
  status: number,
): void {
  expect({ code: result.error?.code, status: result.status }, result.stderr + result.stdout).toEqual({ code, status });
  expect(`${result.error?.message} ${result.error?.hint}`).not.toMatch(/undefined|\[object|NaN/);
}

describe('a command line', () => {
  const send = (...args: string[]): string[] => ['send', ...args, ...CONSENT, '--json'];
  const page = ['--from', 'page'];
  it.each<[what: string, args: string[], code: string, status: number, names: RegExp]>([
    [
      'an unknown account',
      send(...TEMPLATE, ...TO, '--from', 'pgae'),
      'ACCOUNT_UNKNOWN',
      2,
      /"pgae".*did you mean "page".*There is: page, sandbox/,
    ],
    [
      'an unknown template',
      send('--template', 'order_updat', ...page, ...TO),
      'TEMPLATE_UNKNOWN',
      2,
      /"order_updat".*order_update/,
    ],
    [
      'an unknown language',
      send('--template', 'order_update', '--lang', 'fr_FR', ...page, ...TO),
      'LANGUAGE_UNKNOWN',
      2,
      /fr_FR.*en_US/,
    ],
    [
      'no language where there are several',
      send('--template', 'order_update', ...page, ...TO),
      'LANGUAGE_UNKNOWN',
      2,
      /several languages.*de_DE, en_US/,
    ],
    [
      'an unknown variable',
      send(...TEMPLATE, ...page, ...TO, '--var', 'nmae=Ann'),
      'VARIABLE_UNKNOWN',
      2,
      /nmae.*It has: name, order_no, date/,
    ],
    [
      'a missing variable',
      send(...TEMPLATE, ...page, '--to', personId(0), '--var', 'name=Ann'),
      'USAGE',
      2,
      /order_no, date.*--var order_no=/,
    ],
    [
      'a variable without a value',
      send(...TEMPLATE, ...page, ...TO, '--var', 'name'),
      'USAGE',
      2,
      /"name".*--var name=Ann/,
    ],
    ['no template', send(...page, ...TO), 'ANSWER_NEEDED', 2, /--template/],
    ['no account', send(...TEMPLATE, ...TO), 'ANSWER_NEEDED', 2, /--from/],
    ['no recipients', send(...TEMPLATE, ...page), 'ANSWER_NEEDED', 2, /--sheet or --to/],
    [
      'a sheet and typed-in ids',
      send(...TEMPLATE, ...page, ...TO, '--sheet', 'orders.csv'),
      'USAGE',
      2,
      /--sheet and --to/,
    ],
    ['a pace that is none', send(...TEMPLATE, ...page, ...TO, '--pace', 'fast'), 'USAGE', 2, /"fast".*20\/s/],
    [
      'a limit that is none',
      send(...TEMPLATE, ...page, ...TO, '--max-failures', 'few'),
      'USAGE',
      2,
      /"few".*--max-failures/,
    ],
    [
      'a count that is none',
      ['send', ...TEMPLATE, ...page, ...TO, '--accept-policy', '--confirm-count', 'all', '--json'],
      'USAGE',
      2,
      /--confirm-count.*"all"/,
    ],
    [
      'a template of another channel',
      send('--template', 'story_thanks', '--lang', 'en_US', ...page, ...TO),
      'CHANNEL_DIFFERS',
      2,
      /story_thanks/,
    ],
    [
      'the policy not accepted',
      ['send', ...TEMPLATE, ...page, ...TO, '--confirm-count', '1', '--json'],
      'ANSWER_NEEDED',
      2,
      /--accept-policy/,
    ],
    [
      'the count not confirmed',
      ['send', ...TEMPLATE, ...page, ...TO, '--accept-policy', '--json'],
      'ANSWER_NEEDED',
      2,
      /--confirm-count 1/,
    ],
    [
      'another count',
      ['send', ...TEMPLATE, ...page, ...TO, '--accept-policy', '--confirm-count', '2', '--json'],
      'COUNT_DIFFERS',
      6,
      /2 .*1/,
    ],
    [
      'nobody inside the window',
      send(...TEMPLATE, ...page, '--to', personId(99), ...TO.slice(2)),
      'NOBODY_TO_SEND_TO',
      3,
      /Nobody/,
    ],
    [
      'an unknown campaign',
      ['campaign', 'resume', 'c20261121-nope1', '--json'],
      'CAMPAIGN_UNKNOWN',
      2,
      /c20261121-nope1.*campaign list/,
    ],
    [
      'a retry of nothing',
      ['campaign', 'retry', 'c20261121-nope1', '--failed', '--json'],
      'CAMPAIGN_UNKNOWN',
      2,
      /c20261121-nope1/,
    ],
    [
      'a window log that is none',
      ['window', 'import', 'orders.csv', '--account', 'page', '--json'],
      'IMPORT_INVALID',
      3,
      /user_id,opened_at/,
    ],
    [
      'a window log that is not there',
      ['window', 'import', 'no.csv', '--account', 'page', '--json'],
      'FILE_UNREADABLE',
      2,
      /no\.csv/,
    ],
    [
      'a sandbox seed that is not there',
      ['sandbox', '--port', '0', '--seed', 'no.json', '--json'],
      'FILE_UNREADABLE',
      2,
      /no\.json/,
    ],
    ['no account among several', ['window', 'import', 'windows.csv', '--json'], 'ANSWER_NEEDED', 2, /page, .*sandbox/],
    ['a new workspace where a file is', ['init', 'orders.csv', '--json'], 'FILE_UNWRITABLE', 2, /orders\.csv.*folder/],
    ['a sandbox port that is none', ['sandbox', '--port', '99999', '--json'], 'USAGE', 2, /99999/],
  ])('with %s', async (_what, args, code, status, names) => {
    const result = await inside(workspace, args);
    expectError(result, code, status);
    expect(`${result.error?.message} ${result.error?.hint}`).toMatch(names);
    await expectNothingSent();
    expect(new Ledger(workspace).campaigns()).toEqual([]);
  });

  it.each([
    [['send', '--tempalte', 'x'], /unknown option '--tempalte'.*--template/s],
    [['sned'], /unknown command 'sned'.*send/s],
    [['campaign', 'show'], /missing required argument 'campaign'/],
    [['message', 'list', '--state', 'lost'], /'lost' is invalid.*queued, started, sent/s],
    [['sheet', 'new', '--template', 'order_update'], /'-o, --output <file>' not specified/],
    [['window', 'import', 'windows.csv', '--format', 'xml'], /'xml' is invalid.*csv/s],
  ])('that is mistyped: %j', async (args, says) => {
    const { status, stdout, stderr } = await inside(workspace, args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(says);
  });
});

describe('a sheet', () => {
  const good = orderRow(0);
  const nameOf = 'sheet.xlsx';
  interface Shown {
    ok: boolean;
    send: number;
    counts: Record<string, number>;
    findings: { code: string; severity: string; row: number | null; column: string | null; message: string }[];
  }

  async function send(content: Buffer | string | null, name = nameOf, more: string[] = []): Promise<Inside<Shown>> {
    if (content !== null) await workspace.write(name, content);
    const args = [
      'send',
      ...TEMPLATE,
      '--from',
      'page',
      '--sheet',
      name,
      '--pace',
      'unlimited',
      ...CONSENT,
      ...more,
      '--json',
    ];
    return inside<Shown>(workspace, args);
  }

  it.each<
    [
      what: string,
      content: () => Promise<Buffer | string> | Buffer | string | null,
      code: string,
      row: number | null,
      column: string | null,
      says: RegExp,
    ]
  >([
    ['that is not there', () => null, 'FILE_NOT_FOUND', null, null, /nothing-here\.xlsx/],
    [
      'with a renamed header',
      () => textWorkbook(['User ID', 'first name', 'order_no', 'date'], good),
      'HEADER_CHANGED',
      1,
      null,
      /Expected: User ID, name.*Found: User ID, first name/,
    ],
    [
      'with a moved header',
      () => textWorkbook(['User ID', 'order_no', 'name', 'date'], good),
      'HEADER_CHANGED',
      1,
      null,
      /Found: User ID, order_no, name/,
    ],
    ['with an added header', () => textWorkbook([...HEADER, 'remarks'], good), 'HEADER_CHANGED', 1, null, /remarks/],
    [
      'with a missing header',
      () => textWorkbook(HEADER.slice(0, 3), good),
      'HEADER_CHANGED',
      1,
      null,
      /Found: User ID, name, order_no\./,
    ],
    [
      'with a numeric id',
      () =>
        rawWorkbook(
          `<c r="A3"><v>7.6429258490539469E+16</v></c>${rawText('B3', 'Bo')}${rawText('C3', 'A')}${rawText('D3', 'x')}`,
        ),
      'ID_NOT_TEXT',
      3,
      'User ID',
      /number.*Format the column as Text/,
    ],
    [
      'with ids that have lost digits',
      () =>
        textWorkbook(
          HEADER,
          ...Array.from({ length: 30 }, (_, n) => orderRow(n, { id: `7642925849053${String(n).padStart(2, '0')}00` })),
        ),
      'IDS_ROUNDED',
      null,
      'User ID',
      /rounded/,
    ],
    [
      'with a blank id',
      () => textWorkbook(HEADER, good, orderRow(1, { id: '' })),
      'ID_MISSING',
      3,
      'User ID',
      /missing/,
    ],
    [
      'with an id that has letters',
      () => textWorkbook(HEADER, good, orderRow(1, { id: 'ann.smith' })),
      'ID_MALFORMED',
      3,
      'User ID',
      /"ann\.smith"/,
    ],
    [
      'with a phone number',
      () => textWorkbook(HEADER, good, orderRow(1, { id: '+15550001111' })),
      'CHANNEL_MISMATCH',
      3,
      'User ID',
      /phone number/,
    ],
    [
      'with an empty cell',
      () => textWorkbook(HEADER, good, orderRow(1, { name: '' })),
      'VARIABLE_MISSING',
      3,
      'name',
      /name is empty/,
    ],
    [
      'with too long a cell',
      () => textWorkbook(HEADER, good, orderRow(1, { name: 'A'.repeat(61) })),
      'VARIABLE_TOO_LONG',
      3,
      'name',
      /61 characters; at most 60/,
    ],
    [
      'with a formula',
      () =>
        rawWorkbook(
          `${rawText('A3', personId(1))}<c r="B3" t="str"><f>A1</f><v>Bo</v></c>${rawText('C3', 'A')}${rawText('D3', 'x')}`,
        ),
      'CELL_FORMULA',
      3,
      'name',
      /formula/,
    ],
    [
      'with an error in a cell',
      () =>
        rawWorkbook(
          `${rawText('A3', personId(1))}<c r="B3" t="e"><v>#N/A</v></c>${rawText('C3', 'A')}${rawText('D3', 'x')}`,
        ),
      'CELL_ERROR',
      3,
      'name',
      /#N\/A/,
    ],
    [
      'with a date that is no text',
      () =>
        rawWorkbook(
          `${rawText('A3', personId(1))}${rawText('B3', 'Bo')}${rawText('C3', 'A')}<c r="D3" s="1"><v>46357</v></c>`,
        ),
      'CELL_NOT_TEXT',
      3,
      'date',
      /date/,
    ],
    [
      'with something outside the columns',
      () => textWorkbook(HEADER, good, [...orderRow(1), 'note']),
      'CELL_OUTSIDE',
      3,
      'E',
      /column without a header/,
    ],
    [
      'with the same id twice, and other values',
      () => textWorkbook(HEADER, good, orderRow(0, { name: 'Bo' })),
      'ID_DUPLICATE',
      3,
      'User ID',
      /row 2 already, with other values/,
    ],
    ['with 0 rows', () => textWorkbook(HEADER), 'NO_ROWS', null, null, /no recipients/],
    ['that is an old .xls', () => oldOffice('Workbook'), 'FILE_NOT_WORKBOOK', null, null, /\.xls .*save it as \.xlsx/],
    ['that is encrypted', () => oldOffice('EncryptedPackage'), 'FILE_ENCRYPTED', null, null, /password/],
    [
      'that is cut off',
      async () => (await textWorkbook(HEADER, good)).subarray(0, 700),
      'FILE_TRUNCATED',
      null,
      null,
      /ends too early/,
    ],
    ['that is empty', () => '', 'FILE_TRUNCATED', null, null, /empty/],
    ['that is a web page', () => '<!DOCTYPE html><p>Sign in', 'FILE_NOT_WORKBOOK', null, null, /web page/],
    ['that is a zip bomb', () => zipBomb(), 'FILE_TOO_LARGE', null, null, /unpacks to more than/],
    [
      'that is an entity bomb',
      () => entityBomb(),
      'FILE_NOT_WORKBOOK',
      null,
      null,
      /XML that no spreadsheet program writes/,
    ],
  ])('%s', async (what, content, code, row, column, says) => {
    const name = what === 'that is not there' ? 'nothing-here.xlsx' : nameOf;
    const { status, json, stderr } = await send(await content(), name);
    expect(status, stderr).toBe(3);
    expect(json).toMatchObject({ ok: false, send: 0 });
    expect(json.counts).toHaveProperty(code);
    const found = json.findings.find((one) => one.code === code)!;
    expect(found).toMatchObject({ severity: 'error', row, column });
    expect(found.message).toMatch(says);
    await expectNothingSent();
    expect(new Ledger(workspace).campaigns()).toEqual([]);
  });

  it.each([
    [
      'another template',
      ['--template', 'feedback_request', '--lang', 'en_US'],
      /made for feedback_request \(en_US\), not for order_update/,
    ],
    [
      'another language',
      ['--template', 'order_update', '--lang', 'es_ES'],
      /made for order_update \(es_ES\), not for order_update \(en_US\)/,
    ],
  ])('made for %s', async (_what, template, says) => {
    await inside(workspace, ['sheet', 'new', ...template, '-o', nameOf, '--force']);
    await fillIn(workspace.path(nameOf), orderRow(0).slice(0, template[1] === 'feedback_request' ? 3 : 4));
    const { status, json } = await send(null);
    expect(status).toBe(3);
    expect(json.findings[0]).toMatchObject({
      code: 'TEMPLATE_MISMATCH',
      message: expect.stringMatching(says) as string,
    });
    await expectNothingSent();
  });

  it.each([
    ['is not there', null, 'nothing-here.xlsx', 'FILE_NOT_FOUND'],
    ['is empty', '', nameOf, 'FILE_TRUNCATED'],
    ['is a PDF', '%PDF-1.7', nameOf, 'FILE_NOT_WORKBOOK'],
  ])('that %s is told as such also where no template is named', async (_what, content, name, code) => {
    if (content !== null) await workspace.write(name, content);
    const { status, json } = await inside<Shown>(workspace, ['sheet', 'check', name, '--json']);
    expect(status).toBe(3);
    expect(json).toMatchObject({ ok: false, counts: { [code]: 1 }, findings: [{ code }] });
    const shown = await inside(workspace, ['sheet', 'check', name]);
    expect([shown.status, shown.stderr]).toEqual([3, '']);
    expect(shown.stdout).toMatch(/has faults\n {2}error {3}/);
  });

  it('is never replaced by its own marked copy', async () => {
    const own = await testWorkspace();
    const bytes = await textWorkbook(HEADER, good, orderRow(1, { name: '' }));
    await own.write(nameOf, bytes);
    await symlink(own.path(nameOf), own.path('link.xlsx'));
    for (const mark of [nameOf, `./${nameOf}`, 'link.xlsx', own.path(nameOf)]) {
      const result = await inside(own, ['sheet', 'check', nameOf, ...TEMPLATE, '--mark', mark, '--force', '--json']);
      expectError(result, 'USAGE', 2);
      expect(result.error?.message).toContain('would replace the file');
      expect((await readFile(own.path(nameOf))).equals(bytes)).toBe(true);
    }
  });

  it('made for an earlier version of the template', async () => {
    const own = await prepared(accountsAt({ page: sandbox.url }));
    await inside(own, ['sheet', 'new', ...TEMPLATE, '-o', nameOf]);
    await fillIn(own.path(nameOf), good);
    await mkdir(own.path('templates'));
    const starter = await readFile(new URL('../../templates/order_update.en_US.yaml', import.meta.url), 'utf8');
    await own.write('templates/order_update.en_US.yaml', starter.replace('Hi {{name}}', 'Dear {{name}}'));
    const { status, json } = await inside<Shown>(own, ['sheet', 'check', nameOf, '--json']);
    expect(status).toBe(3);
    expect(json.findings[0]).toMatchObject({ code: 'TEMPLATE_MISMATCH' });
    expect(json.findings[0]?.message).toMatch(/has changed since this sheet was made/);
  });

  it('with 1,048,576 styled rows, all of them blank', { timeout: 60_000 }, async () => {
    const { status, json } = await send(await styledBlankRows([]));
    expect(status).toBe(3);
    expect(json.findings[0]).toMatchObject({ code: 'NO_ROWS' });
    await expectNothingSent();
  });

  it('with 1,048,576 styled rows, all but one of them blank: the one is planned', { timeout: 60_000 }, async () => {
    const { status, json } = await send(await styledBlankRows([good]), nameOf, ['--dry-run']);
    expect(status).toBe(0);
    expect(json).toMatchObject({ ok: true, rows: 1, send: 1 });
    await expectNothingSent();
  });

  it('with faults goes out without the faulty rows only when that is asked for', async () => {
    const own = await prepared(accountsAt({ page: sandbox.url }));
    await inside(own, ['window', 'import', 'windows.csv', '--account', 'page']);
    await own.write(nameOf, await textWorkbook(HEADER, good, orderRow(1, { name: '' }), orderRow(2)));
    const { status, json } = await inside<Shown & { skip: object }>(own, [
      'send',
      ...TEMPLATE,
      '--from',
      'page',
      '--sheet',
      nameOf,
      '--skip-invalid',
      '--dry-run',
      '--json',
    ]);
    expect(status).toBe(0);
    expect(json).toMatchObject({ ok: true, rows: 3, send: 2, skip: { invalid: 1 } });
    await expectNothingSent();
  });
});

describe('the configuration', () => {
  const account = (text: string): string => `accounts:\n  page: ${text}\n`;
  it.each([
    [
      'a key that is mistyped',
      account('{ provider: graph, channel: messenger, id: "102938475601928", tokn: env:T }'),
      /pagecast\.yaml.*line 2.*tokn.*token/s,
    ],
    [
      'a secret in the file',
      account('{ provider: graph, channel: messenger, id: "102938475601928", token: EAABsbCS1iHgBA }'),
      /line 2.*token.*env:NAME/s,
    ],
    [
      'an id that YAML has read as a number',
      account('{ provider: sandbox, channel: messenger, id: 102938475601928 }'),
      /line 2.*id/s,
    ],
    [
      'a pace at which a Page is cut off',
      account('{ provider: graph, channel: messenger, id: "102938475601928", token: env:T, pace: 60/s }'),
      /line 2.*pace.*40/s,
    ],
    ['no YAML', 'accounts: [', /pagecast\.yaml.*line 1/s],
  ])('with %s', async (_what, configuration, says) => {
    const own = await prepared(configuration);
    const result = await inside(own, ['send', ...TEMPLATE, '--from', 'page', ...TO, ...CONSENT, '--json']);
    expectError(result, 'CONFIG_INVALID', 2);
    expect(`${result.error?.message} ${result.error?.hint}`).toMatch(says);
    expect(result.stderr).not.toContain('EAABsbCS1iHgBA');
  });
});

describe('the token', () => {
  const TOKEN = 'EAABwrongTokenThatMustNotShow1234567890';
  async function graph(seedOfPage: object): Promise<{
    judge: SandboxProcess;
    own: TestWorkspace;
    send: (
      env: Record<string, string>,
    ) => ReturnType<typeof pagecastJson<CampaignJson & { stop: { cause: string } | null }>>;
  }> {
    const judge = await sandboxProcess(await testWorkspace(), { page: { id: '102938475601928', ...seedOfPage } });
    const own = await prepared(
      `accounts:\n  page: { provider: graph, channel: messenger, id: "102938475601928", token: env:PAGE_TOKEN, url: "${judge.url}" }\n`,
    );
    await inside(own, ['window', 'import', 'windows.csv', '--account', 'page']);
    const args = [
      'send',
      ...TEMPLATE,
      '--from',
      'page',
      '--sheet',
      'orders.csv',
      '--accept-policy',
      '--confirm-count',
      String(PEOPLE),
    ];
    return { judge, own, send: (env) => pagecastJson(own, args, { env }) };
  }

  it('that is missing stops everything before a campaign is made', async () => {
    const { judge, own, send } = await graph({ token: 'right' });
    const result = await send({});
    expectError(result, 'SECRET_MISSING', 2);
    expect(result.error?.message).toContain('PAGE_TOKEN');
    const { accepted, refused } = await judge.stats();
    expect({ accepted, refused }).toEqual({ accepted: 0, refused: 0 });
    expect(new Ledger(own).campaigns()).toEqual([]);
  });

  it('that is wrong ends the run at once and keeps the campaign; with a right one it goes on', async () => {
    const { judge, own, send } = await graph({ token: 'right' });
    const { status, json, stderr, stdout } = await send({ PAGE_TOKEN: TOKEN });
    expect(status, stderr).toBe(4);
    expect(json).toMatchObject({
      state: 'stopped',
      queued: PEOPLE,
      sent: 0,
      failed: 0,
      unknown: 0,
      stop: { cause: 'token' },
    });
    expect(stdout + stderr).not.toContain(TOKEN);
    const { accepted, byCode } = await judge.stats();
    expect(accepted).toBe(0);
    // Those under way when the first answer came, and not everybody.
    expect(byCode['190']).toBeLessThan(PEOPLE);
    const shown = await pagecast(own, ['campaign', 'report', json.campaign]);
    expect(shown.stdout).toContain('The access token is expired, revoked or wrong. [190]');

    const resumed = await pagecastJson<CampaignJson>(own, ['campaign', 'resume', json.campaign], {
      env: { PAGE_TOKEN: 'right' },
    });
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(resumed.json).toMatchObject({ state: 'finished', sent: PEOPLE });
  });

  it.each([
    ['lacks a permission', '200', 4, 'permission'],
    ['is of a Page that is blocked', '368', 6, 'restricted'],
  ])('that %s ends the run with the rest still queued', async (_what, refuses, expected, cause) => {
    const { judge, send } = await graph({ token: 'right', refuses });
    const { status, json, stderr } = await send({ PAGE_TOKEN: 'right' });
    expect(status, stderr).toBe(expected);
    expect(json).toMatchObject({ state: 'stopped', queued: PEOPLE, stop: { cause } });
    expect((await judge.stats()).accepted).toBe(0);
  });
});

describe('the store', () => {
  const path = '.pagecast/pagecast.db';
  const args = [
    'send',
    ...TEMPLATE,
    '--from',
    'page',
    '--sheet',
    'orders.csv',
    '--accept-policy',
    '--confirm-count',
    String(PEOPLE),
    '--json',
  ];

  async function storeWith(make: (file: string) => unknown, store = path): Promise<TestWorkspace> {
    const own = await prepared(`store: "sqlite:${store}"\n${accountsAt({ page: sandbox.url })}`);
    await mkdir(own.path('.pagecast'));
    await make(own.path(path));
    return own;
  }
  const change = (file: string, sql: string): void => {
    const database = new Database(file);
    database.exec(sql);
    database.close();
  };

  it.each<[what: string, make: (file: string) => unknown, code: string, says: RegExp]>([
    [
      'of a newer version',
      (file) =>
        change(
          file,
          'PRAGMA journal_mode = WAL; PRAGMA application_id = 1885431653; PRAGMA user_version = 99; CREATE TABLE t (a)',
        ),
      'STORE_NEWER',
      /newer pagecast \(schema 99.*Update pagecast/,
    ],
    [
      'of another program',
      (file) => change(file, 'CREATE TABLE invoices (a)'),
      'STORE_UNREADABLE',
      /another program.*store:/,
    ],
    [
      'that is no database',
      (file) => writeFile(file, 'just some text, longer than a database header would be, '.repeat(40)),
      'STORE_UNREADABLE',
      /no SQLite database/,
    ],
  ])('%s is left alone', async (_what, make, code, says) => {
    const own = await storeWith(make);
    const before = await readFile(own.path(path));
    const result = await inside(own, args);
    expectError(result, code, 2);
    expect(`${result.error?.message} ${result.error?.hint}`).toMatch(says);
    expect(result.error?.message).toContain('pagecast.db');
    expect((await readFile(own.path(path))).equals(before)).toBe(true);
    await expectNothingSent();
  });

  it.each([['below something that is no folder', '/dev/null/pagecast.db']])('%s', async (_what, place) => {
    const own = await storeWith(() => undefined, place);
    const result = await inside(own, args);
    expectError(result, 'STORE_READ_ONLY', 2);
    expect(result.error?.message).toContain(place);
    await expectNothingSent();
  });

  // Root may write everywhere, so the command then runs as nobody: if setpriv is there, and nobody may enter the checkout.
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid', '65534', '--clear-groups'] : [];
  const program = fileURLToPath(new URL('../../bin/pagecast.js', import.meta.url));
  const [runner, ...given] = [...asNobody, process.execPath, program, '--version'];
  it.skipIf(spawnSync(runner, given).status !== 0)('that may only be read', async () => {
    const own = await storeWith(() => undefined);
    expect((await inside(own, ['window', 'import', 'windows.csv', '--account', 'page'])).status).toBe(0);
    await chmod(own.path(path), 0o444);
    await chmod(own.path('.pagecast'), 0o555);
    await chmod(join(own.folder, '..'), 0o755);
    const result = await pagecastJson(own, args.slice(0, -1), { through: asNobody });
    expectError(result, 'STORE_READ_ONLY', 2);
    expect(result.error?.hint).toMatch(/permissions/);
    await chmod(own.path('.pagecast'), 0o755);
    await expectNothingSent();
  });

  it('in use by another writer: says so after a while, and that it may be run again', async () => {
    const result = await busy;
    expectError(result, 'STORE_BUSY', 7);
    expect(result.error?.message).toMatch(/another process is writing to it/);
    await expectNothingSent();
  });

  it('on a disk that fills up in mid-run: stops, and goes on when there is room', async () => {
    const judge = await sandboxProcess(await testWorkspace(), { limits: { perSecond: null } });
    const own = await prepared(accountsAt({ page: judge.url }));
    const many = 3000;
    await own.write('orders.csv', orderSheet(many));
    await own.write('windows.csv', windowLog(many));
    await inside(own, ['window', 'import', 'windows.csv', '--account', 'page']);
    const send = [
      'send',
      ...TEMPLATE,
      '--from',
      'page',
      '--sheet',
      'orders.csv',
      '--pace',
      'unlimited',
      '--accept-policy',
      '--confirm-count',
      String(many),
    ];
    // Blocks of 1024 bytes; no file of the run may grow beyond that, which the write-ahead log soon would.
    const limited = ['bash', '-c', 'ulimit -f 700; exec "$@"', '-'];
    const full = await pagecastJson<CampaignJson>(own, send, { through: limited });
    expectError(full, 'STORE_FULL', 7);
    expect(full.error?.hint).toMatch(/pagecast campaign resume c\d{8}-\w{5}$/);
    const ledger = new Ledger(own);
    const campaign = ledger.campaign()!;
    ledger.close();
    expect(campaign.rows['queued']).toBeGreaterThan(0);
    const rest = await pagecastJson<CampaignJson>(own, ['campaign', 'resume', campaign.id]);
    expect([0, 8], rest.stderr).toContain(rest.status);
    expect(rest.json).toMatchObject({ state: 'finished', total: many, queued: 0, started: 0 });
    expect(rest.json.sent + rest.json.unknown).toBe(many);
    expect((await judge.stats()).duplicates).toEqual([]);
  });
});

describe('the same messages', () => {
  it('go out a second time within a day only with --again, whatever the file is called', async () => {
    const judge = await sandboxProcess(await testWorkspace(), {});
    const own = await prepared(accountsAt({ page: judge.url }));
    await inside(own, ['window', 'import', 'windows.csv', '--account', 'page']);
    const send = (sheet: string, ...more: string[]): Promise<Inside<CampaignJson>> =>
      inside<CampaignJson>(own, [
        'send',
        ...TEMPLATE,
        '--from',
        'page',
        '--sheet',
        sheet,
        '--accept-policy',
        '--confirm-count',
        String(PEOPLE),
        ...more,
        '--json',
      ]);
    const first = await send('orders.csv');
    expect(first.status, first.stderr).toBe(0);

    const rows = orderSheet(PEOPLE).trimEnd().split('\n');
    await own.write('renamed.csv', [rows[0], ...rows.slice(1).reverse(), ''].join('\n'));
    const second = await send('renamed.csv');
    expectError(second, 'ALREADY_SENT', 6);
    expect(`${second.error?.message} ${second.error?.hint}`).toMatch(new RegExp(`${first.json.campaign}.*--again`));
    expect((await judge.stats()).accepted).toBe(PEOPLE);

    expect((await send('renamed.csv', '--again')).status).toBe(0);
    expect((await judge.stats()).accepted).toBe(2 * PEOPLE);
  });
});

describe('without a terminal', () => {
  it('says which flags would answer, in words and in JSON', async () => {
    const args = ['send', ...TEMPLATE, '--from', 'page', '--sheet', 'orders.csv'];
    const words = await pagecast(workspace, args);
    expect(words.status).toBe(2);
    expect(words.stdout).toBe('');
    expect(words.stderr).toMatch(/Error ANSWER_NEEDED .*\nPass --accept-policy, and --confirm-count/);
    await expectNothingSent();
  });
});
