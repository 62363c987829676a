/**
 * Time and memory to check a workbook, against reading it with exceljs's stream reader, and against saxes only finding the
 * tags and texts of its two large parts: check.js pagecast|exceljs|saxes FILE
 */
import { clock, template } from './people.js';

const [what, file] = process.argv.slice(2);
const startedAt = performance.now();
let rows = 0;
if (what === 'pagecast') {
  const { checkSheet } = await import('../dist/app/check-sheet.js');
  const { createSheets } = await import('../dist/sheets/index.js');
  const { DEFAULT_LIMITS } = await import('../dist/sheets/limits.js');
  const limits = { ...DEFAULT_LIMITS, rows: 2_000_000 };
  const report = await checkSheet(createSheets(clock), { path: file, template, channel: 'messenger', limits });
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
  rows = report.recipients;
} else if (what === 'saxes') {
  rows = await countWithSaxes(file);
} else {
  const { default: exceljs } = await import('exceljs');
  // 'cache' for shared strings: without it the ids are not resolved. Given the path, because streams fail now and then.
  const reader = new exceljs.stream.xlsx.WorkbookReader(file, {
    sharedStrings: 'cache',
    worksheets: 'emit',
    styles: 'ignore',
    hyperlinks: 'ignore',
  });
  for await (const sheet of reader) {
    for await (const row of sheet) {
      const texts = [1, 2, 3].map((column) => row.getCell(column).value);
      if (texts.every((text) => typeof text === 'string')) rows += 1;
    }
  }
}
const ms = Math.round(performance.now() - startedAt);
console.log(JSON.stringify({ rows, ms, mb: Math.round(process.resourceUsage().maxRSS / 1024) }));

async function countWithSaxes(path) {
  const { SaxesParser } = await import('saxes');
  const { openPromise } = await import('yauzl');
  const zip = await openPromise(path);
  let count = -1;
  for await (const entry of zip.eachEntry()) {
    if (!/sharedStrings|sheet1/.test(entry.fileName)) continue;
    const parser = new SaxesParser();
    parser.on('opentag', (tag) => (count += tag.name === 'row' ? 1 : 0));
    parser.on('text', () => undefined);
    const decoder = new TextDecoder();
    for await (const chunk of await zip.openReadStreamPromise(entry))
      parser.write(decoder.decode(chunk, { stream: true }));
    parser.close();
  }
  zip.close();
  return count;
}
