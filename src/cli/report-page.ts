/** A campaign's report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. */
import { createHash } from 'node:crypto';
import type { EChartsCoreOption } from 'echarts/core';
import { ROW_STATES, type RowState } from '../core/delivery.js';
import { maskId } from '../core/user-id.js';
import type { CampaignReport, RateReport } from '../app/report.js';
import { countsLine, duration, pace, plural, SKIP_TEXT, time } from './render.js';
import { changeLines, timingLines } from './report-text.js';

/**
 * @param madeAt the moment that the report tells of
 * @returns a whole document, which is well-formed XML below its first line
 */
export async function reportPage(report: CampaignReport, madeAt: number): Promise<string> {
  const { campaign } = report;
  const draw = await chartist();
  const page = markup`<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="${POLICY}" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="referrer" content="no-referrer" />
<meta name="color-scheme" content="light dark" />
<title>Campaign ${campaign.id}: report</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
${heading(report, madeAt)}
${stopNotice(report)}
${outcomes(report, draw)}
${overTime(report, draw)}
${leftOut(report, draw)}
${problems(report)}
${receipts(report)}
${byOpener(report, draw)}
</main>
</body>
</html>
`;
  return `<!doctype html>\n${page.text}`;
}

// ---------------------------------------------------------------------------------------------------- markup

/** Text that is HTML already. */
class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Markup | readonly Markup[];

/** Makes HTML. Everything that is put in is text and is escaped, unless it is markup itself. */
function markup(pieces: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const made = parts.map((part) => {
    if (typeof part === 'string') return escapeHtml(part);
    if (typeof part === 'number') return part.toLocaleString('en');
    return part instanceof Markup ? part.text : part.map(({ text }) => text).join('\n');
  });
  return new Markup(String.raw({ raw: pieces }, ...made));
}

const NOTHING = new Markup('');
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** They turn the order of letters about, so that `gnp.exe` looks like `exe.png`; no language needs them. */
const OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g;

/** For element content and quoted attributes. What HTML and XML cannot hold, or nobody should see, is replaced. */
export function escapeHtml(text: string): string {
  return (
    text
      // eslint-disable-next-line no-control-regex -- control characters are what this is about
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
      .replace(OVERRIDES, '\ufffd')
      .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
  );
}

/**
 * Text from outside: it keeps to itself whatever its direction, and ids in it are masked.
 * @param most how many characters are shown
 */
function foreign(text: string, most = 120): Markup {
  const masked = text.replace(/\+?\d{10,}/g, maskId);
  const shown = masked.length > most ? `${masked.slice(0, most - 1)}…` : masked;
  return markup`<bdi dir="auto">${shown}</bdi>`;
}

function instant(at: number): Markup {
  return markup`<time datetime="${new Date(at).toISOString()}">${time(at)}</time>`;
}

/** A table whose first column names the row; columns after it that hold numbers stand at the right. */
function dataTable(caption: string, header: readonly string[], rows: readonly (readonly Part[])[]): Markup {
  const cell = (part: Part, index: number): Markup => {
    if (index === 0) return markup`<th scope="row">${part}</th>`;
    if (typeof part === 'number') return markup`<td class="number">${part}</td>`;
    return typeof part === 'string' ? markup`<td class="text">${part}</td>` : markup`<td>${part}</td>`;
  };
  const isNumber = (index: number): boolean => index > 0 && rows.some((row) => typeof row[index] === 'number');
  return markup`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<caption>${caption}</caption>
<thead><tr>${header.map((name, index) => (isNumber(index) ? markup`<th scope="col" class="number">${name}</th>` : markup`<th scope="col">${name}</th>`))}</tr></thead>
<tbody>
${rows.map((row) => markup`<tr>${row.map(cell)}</tr>`)}
</tbody>
</table></div>`;
}

// ---------------------------------------------------------------------------------------------------- sections

function heading(report: CampaignReport, madeAt: number): Markup {
  const { campaign, summary } = report;
  const { counts } = summary;
  const facts: [string, Part][] = [
    ['Template', markup`${foreign(campaign.template.name)} (${foreign(campaign.template.language)})`],
    ['Account', foreign(campaign.accountName)],
    ['Recipients', markup`${foreign(campaign.source)}, ${plural(counts.total, 'row')}`],
    ['Pace', pace(campaign.pace)],
    ['Approved', instant(campaign.approvedAt)],
    ['Started', campaign.startedAt === null ? 'not yet' : instant(campaign.startedAt)],
    ['Finished', campaign.finishedAt === null ? 'not yet' : instant(campaign.finishedAt)],
  ];
  if (campaign.startedAt !== null && campaign.finishedAt !== null)
    facts.push(['Took', duration(campaign.finishedAt - campaign.startedAt)]);
  return markup`<header>
<p class="kind">Campaign report</p>
<h1><bdi>${campaign.id}</bdi> <span class="state ${campaign.state}">${campaign.state}</span></h1>
<p class="lead">${countsLine(counts)} rows.</p>
<p class="note">As of ${instant(madeAt)}.</p>
</header>
<dl>
${facts.map(([name, fact]) => markup`<div><dt>${name}</dt><dd>${fact}</dd></div>`)}
</dl>
${timingLines(report).map((line) => markup`<p>${line}</p>`)}`;
}

function stopNotice({ stop }: CampaignReport): Markup {
  if (stop === null) return NOTHING;
  const { at, meaning, advice, error } = stop;
  return markup`<section class="notice" aria-labelledby="stopped">
<h2 id="stopped">Stopped</h2>
<p>${meaning}</p>
<p><strong>What to do:</strong> ${advice}</p>
<p class="note">At ${instant(at)}. ${error ? markup`The platform said: ${foreign(error.message, 300)} (<code>${foreign(error.code)}</code>)` : NOTHING}</p>
</section>`;
}

const STATE_MEANING: Record<RowState, string> = {
  queued: 'still to be sent',
  started: 'under way',
  sent: 'accepted by the platform',
  failed: 'refused by the platform',
  skipped: 'left out; nothing was sent',
  unknown: 'may have arrived; look into the conversations',
};

function outcomes({ summary: { counts } }: CampaignReport, draw: Draw): Markup {
  const states = ROW_STATES.filter((state) => counts[state] > 0);
  const bars = states.map((state) => ({ name: state, value: counts[state], colour: state }));
  const rows = states.map((state): Part[] => [
    swatch(state),
    counts[state],
    share(counts[state], counts.total),
    STATE_MEANING[state],
  ]);
  return section(
    'outcomes',
    'What became of the rows',
    draw(barChart(bars), bars.length, 'Bars: how many rows are in each state.'),
    dataTable(
      'Rows by state; together they are all rows of the sheet that hold anything',
      ['State', 'Rows', 'Share', 'Meaning'],
      [...rows, ['total', counts.total, share(counts.total, counts.total), '']],
    ),
  );
}

function overTime({ rate }: CampaignReport, draw: Draw): Markup {
  if (rate.spans.length === 0) return NOTHING;
  const label = spanLabels(rate);
  const length = duration(rate.spanMs);
  const shown = OUTCOMES.filter((state) => rate.spans.some((span) => span[state] > 0));
  return section(
    'over-time',
    'Over time',
    markup`<p>Outcomes in each ${length}. ${shown.map(swatch)}</p>
${draw(timeChart(rate, label, shown), 'time', `Stacked columns: outcomes in each ${length}.`)}`,
    markup`<details><summary>The same as a table</summary>
${dataTable(
  `Outcomes in each ${length}`,
  ['From', ...shown],
  rate.spans.map((span) => [instant(span.from), ...shown.map((state) => span[state])]),
)}
</details>`,
  );
}

function leftOut(report: CampaignReport, draw: Draw): Markup {
  const reasons = report.leftOut;
  const changes = changeLines(report);
  if (reasons.length === 0 && changes.length === 0) return NOTHING;
  const bars = reasons.map(({ reason, count }) => ({
    name: SKIP_TEXT[reason],
    value: count,
    colour: 'skipped' as const,
  }));
  return section(
    'left-out',
    'Left out, and why',
    reasons.length === 0
      ? NOTHING
      : draw(barChart(bars), bars.length, 'Bars: how many rows were left out for each reason.'),
    markup`${
      reasons.length === 0
        ? NOTHING
        : dataTable(
            'Rows that were left out; "after approval" are those that the approved plan had meant to send',
            ['Because', 'Rows', 'After approval', 'Code'],
            reasons.map(({ reason, count, sinceApproval }) => [
              SKIP_TEXT[reason],
              count,
              sinceApproval,
              markup`<code>${reason}</code>`,
            ]),
          )
    }
${changes.map((line) => markup`<p>${line}</p>`)}`,
  );
}

function problems({ problems: found }: CampaignReport): Markup {
  if (found.length === 0) return NOTHING;
  const rows = found.map(({ code, count, meaning, advice }): Part[] => [foreign(code), count, meaning, advice]);
  return section(
    'problems',
    'Failed or unknown',
    NOTHING,
    dataTable('Failed and unknown rows by error code', ['Code', 'Rows', 'Meaning', 'What to do'], rows),
  );
}

function receipts({ receipts: found, summary }: CampaignReport): Markup {
  if (found === null) return NOTHING;
  const { sent } = summary.counts;
  const kinds: [string, number][] = [
    ['delivered', found.delivered],
    ['read, of those', found.read],
    ['not delivered', found.undelivered],
    ['nothing known', found.none],
  ];
  return section(
    'receipts',
    'Delivered and read',
    dataTable(
      'Sent messages by what the service said of them later',
      ['Receipt', 'Messages', 'Share of those sent'],
      kinds.map(([name, count]) => [name, count, share(count, sent)]),
    ),
    found.reasons.length === 0
      ? NOTHING
      : dataTable(
          'Sent messages that were not delivered, by error code',
          ['Code', 'Messages', 'Meaning', 'What to do'],
          found.reasons.map(({ code, count, meaning, advice }) => [foreign(code), count, meaning, advice]),
        ),
  );
}

function byOpener({ openers, summary }: CampaignReport, draw: Draw): Markup {
  if (!openers.some(({ opener }) => opener !== null)) return NOTHING;
  const states = ROW_STATES.filter((state) => summary.counts[state] > 0);
  const names = openers.map(({ opener }) => opener ?? 'not known');
  return section(
    'by-opener',
    'By what had opened the window',
    markup`<p>How the platform treats each opener. ${states.map(swatch)}</p>
${draw(
  stackChart(
    names,
    states.map((state) => ({ state, values: openers.map(({ counts }) => counts[state]) })),
  ),
  names.length,
  'Stacked bars: for each opener, how many rows are in each state.',
)}`,
    dataTable(
      'Rows by opener and state',
      ['Opener', ...states, 'total'],
      openers.map(({ counts }, index) => [names[index] ?? '', ...states.map((state) => counts[state]), counts.total]),
    ),
  );
}

function section(id: string, title: string, chart: Markup, table: Markup): Markup {
  return markup`<section aria-labelledby="${id}">
<h2 id="${id}">${title}</h2>
${chart}
${table}
</section>`;
}

function swatch(state: RowState): Markup {
  return markup`<span class="swatch ${state}">${state}</span>`;
}

function share(count: number, total: number): Markup {
  const percent = total === 0 ? 0 : (100 * count) / total;
  // A few of very many are not none.
  const text = count > 0 && percent < 0.1 ? 'under 0.1 %' : `${Number(percent.toFixed(1))} %`;
  return markup`<span class="percent">${text}</span>`;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const DATE: Intl.DateTimeFormatOptions = { month: '2-digit', day: '2-digit' };
const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
const SECONDS: Intl.DateTimeFormatOptions = { second: '2-digit' };

/** Times of day, with the date where the spans cover more than one day, with seconds where they are shorter than a minute. */
function spanLabels({ spanMs, spans }: RateReport): (at: number) => string {
  const length = (spans.at(-1)?.from ?? 0) - (spans[0]?.from ?? 0);
  const format = new Intl.DateTimeFormat('sv-SE', {
    ...(length >= DAY_MS && DATE),
    ...(spanMs < DAY_MS && CLOCK),
    ...(spanMs < MINUTE_MS && SECONDS),
  });
  return (at) => format.format(at);
}

// ---------------------------------------------------------------------------------------------------- charts

const OUTCOMES = ['sent', 'failed', 'unknown'] as const;
/**
 * ECharts cannot see fonts here and reckons with narrow letters; so it is told of larger ones than the page then shows, or
 * wide system fonts would not fit into the room it leaves them.
 */
const INK = { color: 'var(--ink)', fontSize: 15 } as const;
const FONT = 13;
/** The width that a letter may take. */
const LETTER = 0.62 * FONT;
const FAINT = { color: 'var(--line)' } as const;
/** The colours are variables of the page's style, so that one drawing serves light, dark and paper. */
const fill = (state: RowState): { color: string } => ({ color: `var(--${state})` });
const HIDDEN_AXIS = { type: 'value', show: false, max: 'dataMax' } as const;

/** @param wide whether there is room for long names beside the bars */
type Chart = (wide: boolean) => EChartsCoreOption;
/** @param rows how many bars stand below one another. @returns a drawing for wide and one for narrow screens */
type Draw = (chart: Chart, rows: number | 'time', label: string) => Markup;

function barChart(bars: readonly { name: string; value: number; colour: RowState }[]): Chart {
  return (wide) => ({
    ...names(
      bars.map(({ name }) => name),
      wide,
    ),
    xAxis: HIDDEN_AXIS,
    series: [
      {
        ...BAR,
        data: bars.map(({ value, colour }) => ({ value, itemStyle: fill(colour) })),
        label: { show: true, position: 'right', ...INK, formatter: ({ value }: { value: number }) => english(value) },
      },
    ],
  });
}

function stackChart(
  rowNames: readonly string[],
  stacks: readonly { state: RowState; values: readonly number[] }[],
): Chart {
  return (wide) => ({
    ...names(rowNames, wide),
    xAxis: HIDDEN_AXIS,
    series: stacks.map(({ state, values }) => ({
      ...BAR,
      stack: 'all',
      itemStyle: fill(state),
      data: values.map(noZero),
    })),
  });
}

function timeChart(
  { spans }: RateReport,
  label: (at: number) => string,
  shown: readonly (typeof OUTCOMES)[number][],
): Chart {
  return () => ({
    grid: { left: 4, right: 12, top: 10, bottom: 4, outerBoundsMode: 'same' },
    xAxis: {
      type: 'category',
      data: spans.map(({ from }) => label(from)),
      axisLine: { lineStyle: FAINT },
      axisTick: { show: false },
      axisLabel: { ...INK, hideOverlap: true },
    },
    yAxis: {
      type: 'value',
      minInterval: 1,
      splitNumber: 4,
      splitLine: { lineStyle: FAINT },
      axisLabel: { ...INK, formatter: english },
    },
    series: shown.map((state) => ({
      ...BAR,
      barMaxWidth: 40,
      barCategoryGap: '10%',
      stack: 'all',
      itemStyle: fill(state),
      data: spans.map((span) => noZero(span[state])),
    })),
  });
}

/** Without `silent` every bar would bring a style for the pointer along. A single failure among many must be seen, too. */
const BAR = { type: 'bar', silent: true, barMinHeight: 2, barMaxWidth: 22 } as const;

/** Names at the left edge, in a column as wide as they are or as there is room. */
function names(data: readonly string[], wide: boolean): EChartsCoreOption {
  const longest = Math.max(...data.map((name) => name.length));
  const left = Math.min(longest * LETTER + 16, wide ? 320 : 145);
  return {
    grid: { left, right: 76, top: 0, bottom: 0, outerBoundsMode: 'none' },
    yAxis: {
      type: 'category',
      inverse: true,
      data: [...data],
      axisLine: { lineStyle: FAINT },
      axisTick: { show: false },
      axisLabel: { ...INK, align: 'left', margin: left, width: left - 8, overflow: 'break' },
    },
  };
}

/** A bar of nothing would get the least height, too; this is how ECharts writes "no value". */
function noZero(value: number): number | '-' {
  return value === 0 ? '-' : value;
}

function english(value: number): string {
  return value.toLocaleString('en');
}

const WIDE = 820;
const NARROW = 340;
const TIME_HEIGHT = 220;

/** Loads the charts: a third of a second, so only where they are drawn. */
async function chartist(): Promise<Draw> {
  const [{ init, use }, { BarChart }, { GridComponent }, { SVGRenderer }] = await Promise.all([
    import('echarts/core'),
    import('echarts/charts'),
    import('echarts/components'),
    import('echarts/renderers'),
  ]);
  use([BarChart, GridComponent, SVGRenderer]);
  const svg = (option: EChartsCoreOption, width: number, height: number): string => {
    const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
    try {
      chart.setOption({ animation: false, ...option });
      return chart.renderToSVGString();
    } finally {
      chart.dispose();
    }
  };
  return (chart, rows, label) => {
    const one = (kind: 'wide' | 'narrow', width: number, rowHeight: number): Markup => {
      const height = rows === 'time' ? TIME_HEIGHT : rows * rowHeight;
      const drawn = svg(chart(kind === 'wide'), width, height);
      // The page's policy allows no style but its own; classes and the other extras serve scripts that there are not.
      const content = drawn
        .slice(drawn.indexOf('>') + 1)
        .replace(/<style[\s\S]*?<\/style>/g, '')
        .replace(/ (?:style|class|ecmeta_\w+|xml:space)="[^"]*"/g, '');
      return new Markup(
        `<svg xmlns="http://www.w3.org/2000/svg" class="${kind}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">${content}`,
      );
    };
    return markup`<div class="chart">${one('wide', WIDE, 34)}${one('narrow', NARROW, 44)}</div>`;
  };
}

// ---------------------------------------------------------------------------------------------------- style

const LIGHT = `--page:#fff;--ink:#1c2733;--soft:#52606d;--line:#d5dbe1;--panel:#f4f6f8;--warn:#fff4e5;--edge:#b45309;
--sent:#1a7f4b;--failed:#c62f2f;--unknown:#7a3fc0;--skipped:#7b8794;--queued:#2b6cb0;--started:#0f8b8d;`;
const DARK = `--page:#14191f;--ink:#e6eaee;--soft:#a3afba;--line:#3a4653;--panel:#1d242c;--warn:#33260f;--edge:#f0a742;
--sent:#3fbf7f;--failed:#f26d6d;--unknown:#bd93f5;--skipped:#8d99a6;--queued:#63a4e8;--started:#3dbfc1;`;

const STYLE = `
:root{color-scheme:light dark;${LIGHT}}
@media screen and (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{margin:0;font-size:1.7rem;line-height:1.25;overflow-wrap:anywhere}
h2{margin:0 0 .5rem;font-size:1.2rem}
section{margin-top:2.25rem}
bdi,p,dd{overflow-wrap:anywhere}
p{margin:.6rem 0}
th bdi{display:inline-block;min-width:7rem}
.text{min-width:9rem}
.kind{margin:0;color:var(--soft);font-weight:600}
.lead{margin:.5rem 0 0;font-size:1.15rem}
.note,caption{color:var(--soft);font-size:.9rem}
.note{margin:.25rem 0}
.state{display:inline-block;padding:.05rem .6rem;border:1px solid currentColor;border-radius:1rem;font-size:.95rem;
font-weight:600;vertical-align:.2em;color:var(--edge)}
.state.finished{color:var(--sent)}
.state.stopped,.state.cancelled,.state.expired{color:var(--failed)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.75rem 1.5rem;margin:1.25rem 0;padding:1rem;
background:var(--panel);border-radius:.5rem}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0}
.notice{padding:1rem;background:var(--warn);border-left:.3rem solid var(--edge);border-radius:.25rem}
.notice p{margin:.25rem 0}
.swatch{display:inline-block;margin-right:.8rem;white-space:nowrap}
p .swatch{margin:0 .2rem 0 .6rem}
.swatch::before{content:"";display:inline-block;width:.75em;height:.75em;margin-right:.4em;border-radius:.15em;background:var(--ink);
-webkit-print-color-adjust:exact;print-color-adjust:exact}
${ROW_STATES.map((state) => `.swatch.${state}::before{background:var(--${state})}`).join('\n')}
svg{display:block;width:100%;height:auto}
svg text{font:${FONT}px system-ui,sans-serif}
.narrow{display:none}
.scroll{overflow-x:auto}
table{width:100%;margin-top:.75rem;border-collapse:collapse;font-size:.95rem}
caption{max-width:calc(100vw - 2rem);padding-bottom:.35rem;text-align:left}
th,td{padding:.35rem 1.25rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{color:var(--soft);font-size:.9rem}
tbody th{min-width:6.5rem;font-weight:400}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.percent{white-space:nowrap}
summary{cursor:pointer;color:var(--soft)}
@media screen and (max-width:46rem){th,td{padding-right:.7rem}dl{grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}.wide{display:none}.narrow{display:block;max-width:30rem}}
@media print{main{max-width:none;padding:0}body{font-size:11pt}section,tr,svg{break-inside:avoid}h2{break-after:avoid}
details{display:none}.scroll{overflow:visible}}
`;

/** Nothing may be loaded or run; the one style is known by what it is. */
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'`;
