import { Chalk } from 'chalk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CampaignReport } from '../../src/app/report.js';
import { escapeHtml, reportPage } from '../../src/cli/report-page.js';
import { reportJson, reportText } from '../../src/cli/report-text.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import { XmlReader } from '../../src/sheets/xml.js';
import { HOUR, NOW, template } from '../support/fixtures.js';

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
      key: null,
      occurrence: null,
      budget: DEFAULT_BUDGET,
      stop: null,
      digest: 'd',
      approvedAt: NOW - HOUR,
      startedAt: NOW + 90_000,
      finishedAt: NOW + 95_000,
    },
    summary: {
      counts: { ...none, sent: 2000, failed: 3, skipped: 40, unknown: 1, total: 2044 },
      skip: { window_closed: 40 },
      errors: { '551/1545041': 3, TIMEOUT: 1 },
      refusedByOpener: { comment: 3 },
      byOpener: { message: { sent: 2000, unknown: 1, skipped: 40 }, comment: { failed: 3 } },
      changed: { out: { window_closed: 4 }, in: 2 },
    },
    leftOut: [{ reason: 'window_closed', count: 40, sinceApproval: 4 }],
    problems: [{ code: '551/1545041', count: 3, meaning: 'This person is not available.', advice: 'Leave them out.' }],
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
  const report = sample({
    problems: [{ code: text, count: 3, meaning: text, advice: text }],
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
  expect(new Set(elements).difference(new Set(ELEMENTS))).toEqual(new Set());
  for (const { name, value } of attributes) {
    expect(name).not.toMatch(/^on|^style$|^href$|^src$|:href$/i);
    expect(value).not.toMatch(/javascript:/i);
  }
  expect(page).not.toMatch(/<script/i);
  return { elements, attributes, texts };
}

const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onclick='alert(1)",
  '</style></title><svg/onload=alert(1)>',
  ']]><!--',
  '&lt;script&gt; &#60; &amp;',
  '\u202egnp.exe\u2066\u0000\u0007\u001b[31m\ud800\ufffe',
  '😀👩‍👩‍👧 שלום مرحبا 你好',
  'W'.repeat(5000),
  'javascript:alert(1)',
  '${1} {{x}} `',
  '',
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

  it.each(HOSTILE)('keeps a hostile text a text: %j', async (text) => {
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

describe('escaping', () => {
  it('gives back the same text when it is read, whatever it is', () => {
    const texts = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), fc.constantFrom(...HOSTILE));
    fc.assert(
      fc.property(texts, texts, (inside, around) => {
        const document = `<!doctype html>\n<p class="${escapeHtml(around)}">${escapeHtml(inside)}</p>`;
        const { elements, attributes, texts: read } = parsed(document);
        // What no XML can hold is replaced; line breaks are one character, and blanks in attributes are spaces.
        const legal = (text: string): string =>
          // eslint-disable-next-line no-control-regex -- control characters are what this is about
          text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd');
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
    expect(lines).toContain('1,000 messages a second on average, at most 1004 in one second.');
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
