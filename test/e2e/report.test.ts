/** The page of a report in a real browser: nothing is loaded, nothing runs, and it can be read on a telephone and on a wide screen. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportCampaign } from '../../src/app/report.js';
import { reportPage } from '../../src/cli/report-page.js';
import type { Opener } from '../../src/core/window.js';
import type { StagedRow, Store } from '../../src/ports.js';
import {
  accountKey,
  NOW,
  openLedger,
  readyCampaign,
  rows,
  template,
  temporaryFolder,
  starting,
} from '../support/fixtures.js';

const CHROMIUM = [
  process.env['PAGECAST_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== '' && existsSync(path));
/** Where the pictures are kept, for whoever wants to look at them. */
const PICTURES = process.env['PAGECAST_PICTURES'];

if (CHROMIUM === undefined) {
  console.warn(
    'The page of a report is not opened in a browser: there is no Chromium here. On Debian: apt-get install chromium; elsewhere name one in PAGECAST_CHROMIUM.',
  );
}

const WIDTHS = [400, 1200];
const SCHEMES = ['light', 'dark'] as const;

/** Texts as nobody should send them, and one that only reads from right to left. */
const SOURCE = `"><img src="https://example.com/x.png" onerror="document.title='run'"> \u202egnp.exe ${'W'.repeat(150)}`;
const ACCOUNT = `<script src="https://example.com/x.js"></script><script>document.title='run'</script> חנות 😀`;

/** A stopped campaign of 400 rows with every outcome, every opener and five reasons to be left out. */
async function campaign(): Promise<Store> {
  const { store, engine } = openLedger();
  const openers: Opener[] = ['message', 'message', 'message', 'ad', 'comment', 'visitor_post'];
  const reasons: StagedRow['reason'][] = [
    'window_closed',
    'window_unknown',
    'window_closes_before_turn',
    'opted_out',
    'invalid',
  ];
  const staged = rows(400, (seq) =>
    seq > 330
      ? { reason: reasons[seq % 5] ?? null, closesAt: null, opener: null }
      : { opener: openers[seq % 6] ?? 'message' },
  );
  const change = { accountName: ACCOUNT, source: SOURCE, template: { ...template, name: `${'x'.repeat(80)}<b>` } };
  const timing = { sendAt: NOW - 90_000, expiresAt: NOW + 3_600_000, zone: 'Asia/Kathmandu' };
  await readyCampaign(store, staged, { ...change, timing });
  const lease = (await engine.own(accountKey, NOW))!;
  await store.start(lease, 'c1', NOW);
  const error = { code: '551/1545041', message: `<script>document.title='run'</script> 76429258490539471` };
  for (let seq = 1; seq <= 300; seq += 1) {
    const at = NOW + seq * 1000;
    await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(seq) }, at);
    const outcome =
      seq % 6 > 3 && seq % 7 === 0
        ? ({ state: 'failed', error } as const)
        : seq % 50 === 0
          ? ({ state: 'unknown', error: { code: 'TIMEOUT', message: 'no answer' } } as const)
          : ({ state: 'sent', messageId: `m${seq}` } as const);
    await store.record(lease, 'c1', { settled: [{ seq, ...outcome }], skipped: [], started: [] }, at);
  }
  const skipped = [301, 302].map((seq) => ({ seq, reason: 'window_closed' as const }));
  await store.record(lease, 'c1', { settled: [], skipped, started: [] }, NOW + 301_000);
  const stop = { cause: 'too_many_failures', error, at: NOW + 301_000 } as const;
  await store.conclude(lease, 'c1', { state: 'stopped', stop }, NOW + 301_000);
  return store;
}

describe.skipIf(CHROMIUM === undefined)('the page of a report in a browser', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({
      ...(CHROMIUM !== undefined && { executablePath: CHROMIUM }),
      args: ['--no-sandbox'],
    });
  });
  afterAll(async () => {
    await browser.close();
  });

  /** Opens a page that takes note of everything it asks for and complains about. */
  async function open(html: string, width: number, scheme: 'light' | 'dark'): Promise<{ page: Page; noted: string[] }> {
    const file = join(temporaryFolder(), 'report.html');
    await writeFile(file, html);
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    const noted: string[] = [];
    page.on('request', (request) => {
      if (request.url() !== pathToFileURL(file).href) noted.push(`request ${request.url()}`);
    });
    page.on('console', (message) => noted.push(`console ${message.text()}`));
    page.on('pageerror', (error) => noted.push(`error ${error.message}`));
    page.on('dialog', (dialog) => noted.push(`dialog ${dialog.message()}`));
    await page.goto(pathToFileURL(file).href);
    return { page, noted };
  }

  const cases = SCHEMES.flatMap((scheme) => WIDTHS.map((width) => [scheme, width] as const));
  it.each(cases)('is whole and quiet in %s, %i pixels wide', async (scheme, width) => {
    const html = await reportPage(await reportCampaign(await campaign(), 'c1'), NOW + 400_000);
    const { page, noted } = await open(html, width, scheme);
    expect(noted).toEqual([]);
    expect(await page.title()).toBe('Campaign c1: report');
    expect(await page.locator('script, img, iframe, object, embed, link').count()).toBe(0);
    expect(await page.locator('main').textContent()).toContain(`<script src="https://example.com/x.js"></script>`);

    // In this browser's own measure: nothing sticks out, not even with the table of times laid open.
    await page.locator('summary').click();
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await page.locator('summary').click();
    // Of the two drawings of each chart one is shown, and it has a size.
    const shown = page.locator('svg:visible');
    expect(await shown.count()).toBe(4);
    for (const svg of await shown.all()) expect((await svg.boundingBox())?.height).toBeGreaterThan(50);
    // The style was accepted by its hash, and the bars have the colours of their states.
    const dark = 'rgb(20, 25, 31)';
    const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(background).toBe(scheme === 'dark' ? dark : 'rgb(255, 255, 255)');
    const fills = await page.evaluate(
      `[...new Set([...document.querySelectorAll('svg path')].map((path) => getComputedStyle(path).fill))]`,
    );
    expect(fills).toContain(scheme === 'dark' ? 'rgb(63, 191, 127)' : 'rgb(26, 127, 75)');
    // No name runs into its bar: texts of a chart stay apart from what is drawn beside them.
    expect(await page.evaluate(OVERLAPS)).toEqual([]);

    const picture = await page.screenshot({ fullPage: true });
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
    expect(picture.length).toBeGreaterThan(20_000);
    if (PICTURES !== undefined) {
      await mkdir(PICTURES, { recursive: true });
      await writeFile(join(PICTURES, `report-${scheme}-${width}.png`), picture);
    }
    await page.close();
  });

  it('is black on white on paper, whatever the screen', async () => {
    const html = await reportPage(await reportCampaign(await campaign(), 'c1'), NOW + 400_000);
    const { page, noted } = await open(html, 1200, 'dark');
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
    const file = join(temporaryFolder(), 'report.pdf');
    await page.pdf({ path: file, format: 'A4' });
    expect((await readFile(file)).subarray(0, 5).toString()).toBe('%PDF-');
    expect(noted).toEqual([]);
    await page.close();
  });

  it('would notice a script and a picture', async () => {
    const { page, noted } = await open(
      '<script>console.log("ran")</script><img src="http://127.0.0.1:9/x">',
      400,
      'light',
    );
    await expect
      .poll(() => noted.join())
      .toMatch(/console ran.*request http:\/\/127\.0\.0\.1:9\/x|request.*console ran/);
    await page.close();
  });
});

/** Texts of charts that lie on a bar or stick out of their drawing. */
const OVERLAPS = `[...document.querySelectorAll('svg')].filter((svg) => svg.checkVisibility()).flatMap((svg) => {
  const around = svg.getBoundingClientRect();
  const filled = (path) => getComputedStyle(path).fill !== 'none';
  const bars = [...svg.querySelectorAll('path')].filter(filled).map((path) => path.getBoundingClientRect());
  return [...svg.querySelectorAll('text')].filter((text) => {
    const box = text.getBoundingClientRect();
    const out = box.left < around.left - 1 || box.right > around.right + 1;
    const on = bars.some((bar) => box.left < bar.right - 1 && bar.left < box.right - 1 && box.top < bar.bottom - 1 && bar.top < box.bottom - 1);
    return out || on;
  }).map((text) => text.textContent);
})`;
