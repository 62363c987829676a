import { mkdir, readFile } from 'node:fs/promises';
import { Chalk } from 'chalk';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CampaignReport } from '../../src/app/report.js';
import { escapeHtml, reportPage } from '../../src/cli/report-page.js';
import { reportJson, reportText } from '../../src/cli/report-text.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { XmlReader } from '../../src/sheets/xml.js';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteEngine } from '../../src/stores/sqlite-engine.js';
import { SqliteStore } from '../../src/stores/sqlite.js';
import {
  accountKey,
  HOUR,
  living,
  NOW,
  readyCampaign,
  row,
  rows,
  starting,
  template,
  user,
} from '../support/fixtures.js';
import { inside } from '../support/process-inside.js';
import { readPath } from '../support/workbooks.js';
import { sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const XHTML = { 'http://www.w3.org/2000/svg': 'svg' };
const none = { queued: 0, started: 0, sent: 0, failed: 0, skipped: 0, unknown: 0 };

function sample(change: Partial<CampaignReport> = {}, source = 'people.xlsx'): CampaignReport {
  return {
    campaign: {
      id: 'c20261121-4f9ak',
      account: 'messenger/102938475601928',
      accountName: 'acme-page',
      template,
      source,
      variables: ['name', 'order_no'],
      pace: 35,
      state: 'finished',
      timing: { sendAt: NOW, expiresAt: NOW + HOUR, zone: 'Europe/Berlin' },
      mode: 'bulk',
      flow: null,
      quiet: null,
      outside: null,
      key: null,
      occurrence: null,
      budget: DEFAULT_BUDGET,
      stop: null,
      digest: 'd',
      approvedAt: NOW - HOUR,
      activeAt: NOW,
      startedAt: NOW + 90_000,
      finishedAt: NOW + 95_000,
    },
    summary: {
      counts: { ...none, sent: 2000, failed: 3, skipped: 40, unknown: 1, total: 2044 },
      skip: { window_closed: 40 },
      errors: { '551/1545041': 3, TIMEOUT: 1 },
      refusedByOpener: { comment: 3 },
      byOpener: { message: { sent: 2000, unknown: 1, skipped: 40 }, comment: { failed: 3 } },
      receipts: {},
      undelivered: {},
      outside: 0,
      changed: { out: { window_closed: 4 }, in: 2 },
    },
    leftOut: [{ reason: 'window_closed', count: 40, sinceApproval: 4 }],
    problems: [{ code: '551/1545041', count: 3, meaning: 'This person is not available.', advice: 'Leave them out.' }],
    receipts: null,
    openers: [
      { opener: 'message', counts: { ...none, sent: 2000, unknown: 1, skipped: 40, total: 2041 } },
      { opener: 'comment', counts: { ...none, failed: 3, total: 3 } },
    ],
    windowsClosed: { beforeTurn: 0, afterApproval: 4 },
    lateMs: 90_000,
    rate: {
      spanMs: 1000,
      spans: [
        { from: NOW + 90_000, sent: 1000, failed: 3, unknown: 1 },
        { from: NOW + 91_000, sent: 1000, failed: 0, unknown: 0 },
      ],
      average: 1002,
      top: 1004,
    },
    stop: null,
    ...change,
  };
}

/** What every outside text of a report may hold. */
function hostile(text: string): CampaignReport {
  const reason = { code: text, count: 3, meaning: text, advice: text };
  const report = sample({
    problems: [reason],
    receipts: { delivered: 0, read: 0, undelivered: 3, none: 1997, reasons: [reason] },
    stop: { at: NOW, meaning: text, advice: text, error: { code: text, message: text } },
  });
  report.campaign = {
    ...report.campaign,
    accountName: text,
    source: text,
    template: { ...template, name: text, language: text },
  };
  return report;
}

interface Page {
  elements: string[];
  attributes: { element: string; name: string; value: string }[];
  texts: string[];
}

/** The page as a strict XML reader sees it. @throws XmlFault where it is not well-formed */
function parsed(page: string): Page {
  const found: Page = { elements: [], attributes: [], texts: [] };
  const flush = (xml: XmlReader): void => {
    if (xml.textLength > 0) found.texts.push(xml.textString());
    xml.clearText();
  };
  const xml = new XmlReader(
    {
      open(key, reader) {
        flush(reader);
        reader.collecting = true;
        const element = key.replace(/^svg:/, '');
        found.elements.push(element);
        for (let index = 0; index < reader.attributeCount; index += 1) {
          found.attributes.push({ element, name: reader.attributeKey(index), value: reader.attributeText(index) });
        }
      },
      close: (_, reader) => flush(reader),
    },
    XHTML,
    1_000_000,
  );
  expect(page.startsWith('<!doctype html>\n')).toBe(true);
  xml.write(Buffer.from(page.slice(page.indexOf('\n') + 1)));
  xml.end();
  return found;
}

const ELEMENTS =
  'html head meta title style body main header p h1 h2 bdi span time dl div dt dd section table caption thead tbody tr th td code strong details summary svg rect path text g'.split(
    ' ',
  );

function expectHarmless(page: string): Page {
  const { elements, attributes, texts } = parsed(page);
  expect(elements.filter((element) => !ELEMENTS.includes(element))).toEqual([]);
  for (const { name, value } of attributes) {
    expect(name).not.toMatch(/^on|^style$|^href$|^src$|:href$/i);
    expect(value).not.toMatch(/javascript:/i);
  }
  expect(page).not.toMatch(/<script/i);
  return { elements, attributes, texts };
}

const HOSTILE: readonly [what: string, text: string][] = [
  ['a script', '<script>alert(1)</script>'],
  ['an image', '"><img src=x onerror=alert(1)>'],
  ['an attribute', "' onclick='alert(1)"],
  ['the end of other elements', '</style></title><svg/onload=alert(1)>'],
  ['the end of CDATA, and a comment', ']]><!--'],
  ['what is escaped already', '&lt;script&gt; &#60; &amp;'],
  ['what XML cannot hold', '\u0000\u0007\u001b[31m\ud800\ufffe'],
  ['overrides of direction', '\u202egnp.exe\u2066'],
  ['other scripts and emoji', '😀👩‍👩‍👧 שלום مرحبا 你好'],
  ['a very long word', 'W'.repeat(5000)],
  ['an address', 'javascript:alert(1)'],
  ['what templates look like', '${1} {{x}} `'],
  ['nothing', ''],
];

describe('the page of a report', () => {
  it('holds what the report says, and a table under each chart', async () => {
    const { elements, attributes, texts } = expectHarmless(await reportPage(sample(), NOW + HOUR));
    const text = texts.join(' ');
    for (const part of ['c20261121-4f9ak', '2,000', '2,044', 'order_update', 'their window is shut', '551/1545041'])
      expect(text).toContain(part);
    expect(text).toContain('To be sent at 2026-11-21 13:00');
    expect(text).toContain('1 min 30 s late');
    expect(text).toContain('4 windows closed between the approval and the sending.');
    const count = (name: string): number => elements.filter((element) => element === name).length;
    // Four charts, each for wide and for narrow screens; one table more for the errors.
    expect(count('svg')).toBe(8);
    expect(count('table')).toBe(5);
    expect(count('caption')).toBe(5);
    expect(attributes).toContainEqual({ element: 'html', name: 'lang', value: 'en' });
    expect(attributes.filter(({ element, name }) => element === 'svg' && name === 'aria-label')).toHaveLength(8);
  });

  it('lets nothing be loaded or run, and knows its one style by its hash', async () => {
    const { attributes } = parsed(await reportPage(sample(), NOW));
    const policy = attributes.find(({ value }) => value.startsWith('default-src'));
    expect(policy?.value).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri 'none'; form-action 'none'$/,
    );
    expect(attributes.filter(({ name }) => name === 'class').every(({ value }) => !value.startsWith('zr'))).toBe(true);
  });

  it.each(HOSTILE)('keeps a text a text: %s', async (_, text) => {
    const { texts } = expectHarmless(await reportPage(hostile(text), NOW));
    expect(texts.join('')).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
  });

  it('shows a text from outside as it is, in its own direction', async () => {
    const { texts, attributes } = parsed(await reportPage(sample({}, '<b>חנות</b> & "co"'), NOW));
    expect(texts).toContain('<b>חנות</b> & "co"');
    expect(attributes).toContainEqual({ element: 'bdi', name: 'dir', value: 'auto' });
  });

  it('masks ids in what the platform said', async () => {
    const page = await reportPage(hostile('user 76429258490539471 and +4915112345678'), NOW);
    const shown = parsed(page).texts.filter((text) => text.includes('and'));
    expect(shown).toContain('user …9471 and …5678');
  });

  it('says what was told of messages later, with its own table of reasons', async () => {
    const receipts = {
      ...{ delivered: 1200, read: 300, undelivered: 20, none: 780 },
      reasons: [{ code: 'cams:131026', count: 20, meaning: 'Not reachable.', advice: 'Leave them out.' }],
    };
    const { elements, texts } = expectHarmless(await reportPage(sample({ receipts }), NOW));
    const text = texts.join(' ');
    for (const part of ['Delivered and read', '1,200', '60 %', '300', '780', 'cams:131026', 'Not reachable.'])
      expect(text).toContain(part);
    expect(elements.filter((element) => element === 'table')).toHaveLength(7);
  });

  it('says little of a campaign that has not begun', async () => {
    const report = sample({ leftOut: [], problems: [], openers: [], lateMs: null });
    report.windowsClosed = { beforeTurn: 0, afterApproval: 0 };
    report.rate = { spanMs: 1000, spans: [], average: null, top: 0 };
    report.summary = { ...report.summary, counts: { ...none, queued: 1, total: 1 }, changed: { out: {}, in: 0 } };
    report.campaign = { ...report.campaign, state: 'scheduled', startedAt: null, finishedAt: null };
    const { elements, texts } = expectHarmless(await reportPage(report, NOW));
    expect(elements.filter((element) => element === 'section')).toHaveLength(1);
    expect(texts.join(' ')).not.toMatch(/NaN|undefined|null|Infinity/);
  });
});

const REPLACED =
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff]|\p{Surrogate}/gu;

describe('escaping', () => {
  it('gives back the same text when it is read, whatever it is', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'binary' }),
      fc.constantFrom(...HOSTILE.map(([, text]) => text)),
    );
    fc.assert(
      fc.property(texts, texts, (inside, around) => {
        const document = `<!doctype html>\n<p class="${escapeHtml(around)}">${escapeHtml(inside)}</p>`;
        const { elements, attributes, texts: read } = parsed(document);
        // Line breaks are one character, and blanks in attributes are spaces.
        const legal = (text: string): string => text.replace(REPLACED, '\ufffd');
        expect(elements).toEqual(['p']);
        expect(read.join('')).toBe(legal(inside).replace(/\r\n?/g, '\n'));
        expect(attributes[0]?.value).toBe(
          legal(around)
            .replace(/\r\n?/g, '\n')
            .replace(/[\t\n]/g, ' '),
        );
      }),
    );
  });

  it('leaves no page open to any text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        expectHarmless(await reportPage(hostile(text), NOW));
      }),
      { numRuns: 20 },
    );
  });
});

describe('the report as text and as JSON', () => {
  it('tells what the page tells', () => {
    const lines = reportText(sample(), new Chalk({ level: 0 })).split('\n');
    expect(lines).toContain('OPENER   SENT   FAILED  SKIPPED  UNKNOWN  TOTAL');
    expect(lines).toContain('comment  0      3       0        0        3');
    expect(lines).toContain('Of those left out, the approved plan had meant to send to:');
    expect(lines).toContain('2 rows came in that the approved plan had left out.');
    expect(lines).toContain('Outcomes came in at 1,000/s on average, at most 1004 in one second.');
  });

  it('keeps what JSON had before, and adds to it', () => {
    const stop = { at: NOW, meaning: 'm', advice: 'a', error: null };
    expect(reportJson(sample({ stop }))).toMatchObject({
      campaign: 'c20261121-4f9ak',
      state: 'finished',
      sent: 2000,
      skip: { window_closed: 40 },
      refusedByOpener: { comment: 3 },
      startedAt: '2026-11-21T12:01:30.000Z',
      lateMs: 90_000,
      leftOut: [{ reason: 'window_closed', count: 40, sinceApproval: 4, meaning: 'their window is shut' }],
      problems: [{ code: '551/1545041', count: 3 }],
      openers: [{ opener: 'message', sent: 2000, total: 2041 }, { opener: 'comment' }],
      rate: { average: 1002, top: 1004, spanMs: 1000, spans: [{ from: '2026-11-21T12:01:30.000Z', sent: 1000 }, {}] },
      stopExplained: { at: '2026-11-21T12:00:00.000Z', meaning: 'm', advice: 'a' },
    });
  });
});

describe('pagecast campaign report', () => {
  let workspace: TestWorkspace;

  /** Row 1 was sent, 2 failed, 3 was left out, 4 repeats 1, 5 has lost its name. */
  const atEnd = sharedEnd();
  beforeAll(async () => {
    workspace = await testWorkspace('accounts: {}\n', atEnd);
    await mkdir(workspace.path('.pagecast'));
    const file = new SqliteDatabase(workspace.path('.pagecast/pagecast.db'));
    const [store, engine] = [new SqliteStore(file), new SqliteEngine(file, living)];
    const leftOut = { closesAt: null, opener: null };
    await readyCampaign(store, [
      ...rows(2),
      row(3, { ...leftOut, reason: 'window_closed' }),
      row(4, { ...leftOut, reason: 'duplicate', userId: user(1) }),
      row(5, { ...leftOut, reason: 'invalid', values: ['', 'A-5'] }),
    ]);
    const lease = (await engine.own(accountKey, NOW))!;
    const error = { code: '551/1545041', message: 'This person is not available' };
    await store.start(lease, 'c1', NOW);
    await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1, 2) }, NOW);
    const settled = [
      { seq: 1, state: 'sent', messageId: 'm1' },
      { seq: 2, state: 'failed', error },
    ] as const;
    await store.record(lease, 'c1', { settled, skipped: [], started: [] }, NOW);
    await store.conclude(lease, 'c1', { state: 'finished' }, NOW + 1000);
    await store.close();
  });

  it('writes the page and the workbook, and says so', async () => {
    const { status, stdout, stderr } = await inside(workspace, [
      ...['campaign', 'report', 'c1'],
      ...['--html', 'r.html', '--xlsx', 'r.xlsx'],
    ]);
    expect(status, stderr).toBe(0);
    expect(stdout).toContain('1 sent, 1 failed, 3 skipped of 5');
    expect(stderr).toContain('r.html');
    expect(stderr).toContain('with 5 rows. Its sheet "Recipients" has 3 rows');
    const page = await readFile(workspace.path('r.html'), 'utf8');
    expectHarmless(page);
    for (const seq of [1, 2, 3, 4, 5]) expect(page).not.toContain(user(seq));
    const { rows: read } = await readPath(workspace.path('r.xlsx'));
    expect(read.map(({ cells }) => cells)).toEqual([
      [
        user(2),
        'Ann',
        'A-2',
        'In the campaign row 2, failed: This person is not available (some pages of the platform say: window closed). [551/1545041: This person is not available]\nLeave this person out.',
      ],
      [
        user(3),
        'Ann',
        'A-3',
        'In the campaign row 3, skipped: their window is shut (window_closed)\nWait until they write again.',
      ],
      [user(5), null, 'A-5', 'In the campaign row 5, skipped: their row has a fault (invalid)\nname: name is empty.'],
    ]);
  });

  it('prints one document, with the files that it wrote', async () => {
    const { json } = await inside(workspace, ['campaign', 'report', 'c1', '--json', '--xlsx', 'j.xlsx']);
    expect(json).toMatchObject({ campaign: 'c1', sent: 1, xlsx: { rows: 5, recipients: 3 } });
    expect((json['xlsx'] as { file: string }).file).toBe(workspace.path('j.xlsx'));
    expect(json).not.toHaveProperty('html');
  });

  it.each([
    ['--html', 'o.html'],
    ['--xlsx', 'o.xlsx'],
  ])('overwrites with %s only when told to', async (option, file) => {
    await workspace.write(file, 'mine');
    const args = ['campaign', 'report', 'c1', option, file, '--json'];
    expect((await inside(workspace, args)).error).toMatchObject({ code: 'FILE_EXISTS' });
    expect(await readFile(workspace.path(file), 'utf8')).toBe('mine');
    expect((await inside(workspace, [...args, '--force'])).status).toBe(0);
    expect(await readFile(workspace.path(file), 'latin1')).not.toBe('mine');
  });

  it.each([
    ['an unknown campaign', ['c9'], 'CAMPAIGN_UNKNOWN'],
    ['a page of another name', ['c1', '--html', 'r.xlsx'], 'USAGE'],
    ['a folder that is not there', ['c1', '--html', 'no/r.html'], 'FILE_UNWRITABLE'],
  ])('refuses %s', async (_, args, code) => {
    const { status, error } = await inside(workspace, ['campaign', 'report', ...args, '--json']);
    expect({ status, code: error?.code }).toEqual({ status: 2, code });
  });
});
