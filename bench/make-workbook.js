/** Writes a workbook as Excel would: make-workbook.js FILE ROWS shared|inline */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import yazl from 'yazl';
import { userId, values } from './people.js';

const [file, count, strings] = process.argv.slice(2);
const rows = Number(count);
const HEADER = ['User ID', 'name', 'order_no'];
const NAMES = 1000;
const MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"';
const XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';
const RELS = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';

/** Shared table: the header, the names, then id and order number of each row. */
function* sharedStrings() {
  yield `${XML}<sst ${MAIN} count="${3 * (rows + 1)}" uniqueCount="${3 + NAMES + 2 * rows}">`;
  for (const text of HEADER) yield `<si><t>${text}</t></si>`;
  for (let name = 0; name < NAMES; name += 1) yield `<si><t>Name ${name}</t></si>`;
  for (let index = 0; index < rows; index += 1)
    yield `<si><t>${userId(index)}</t></si><si><t>${values(index)[1]}</t></si>`;
  yield '</sst>';
}

function* sheet() {
  yield `${XML}<worksheet ${MAIN} xmlns:x14ac="http://schemas.microsoft.com/office/spreadsheetml/2009/9/ac"><sheetData>`;
  const shared = (reference, index) => `<c r="${reference}" s="1" t="s"><v>${index}</v></c>`;
  const inline = (reference, text) => `<c r="${reference}" s="1" t="inlineStr"><is><t>${text}</t></is></c>`;
  const cells = (row, [a, b, c], [ia, ib, ic]) =>
    strings === 'shared'
      ? shared(`A${row}`, ia) + shared(`B${row}`, ib) + shared(`C${row}`, ic)
      : inline(`A${row}`, a) + inline(`B${row}`, b) + inline(`C${row}`, c);
  yield `<row r="1" spans="1:3" x14ac:dyDescent="0.25">${cells(1, HEADER, [0, 1, 2])}</row>`;
  for (let index = 0; index < rows; index += 1) {
    const table = 3 + NAMES + 2 * index;
    const row = index + 2;
    yield `<row r="${row}" spans="1:3" x14ac:dyDescent="0.25">${cells(row, [userId(index), ...values(index)], [table, 3 + (index % NAMES), table + 1])}</row>`;
  }
  yield '</sheetData></worksheet>';
}

/** Joins small pieces, because a stream chunk for each row would take minutes. */
function* blocks(pieces) {
  let block = '';
  for (const piece of pieces) {
    block += piece;
    if (block.length > 65_536) {
      yield Buffer.from(block);
      block = '';
    }
  }
  yield Buffer.from(block);
}

const zip = new yazl.ZipFile();
const text = (name, content) => zip.addBuffer(Buffer.from(XML + content), name);
text(
  '[Content_Types].xml',
  '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/><Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
);
const PACKAGE = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"';
text(
  '_rels/.rels',
  `<Relationships ${PACKAGE}><Relationship Id="rId1" Type="${RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
);
text(
  'xl/workbook.xml',
  `<workbook ${MAIN} xmlns:r="${RELS}"><sheets><sheet name="Recipients" sheetId="1" r:id="rId1"/></sheets></workbook>`,
);
text(
  'xl/_rels/workbook.xml.rels',
  `<Relationships ${PACKAGE}><Relationship Id="rId1" Type="${RELS}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="${RELS}/sharedStrings" Target="sharedStrings.xml"/><Relationship Id="rId3" Type="${RELS}/styles" Target="styles.xml"/></Relationships>`,
);
// Style 1 is text, as in the workbooks that pagecast makes.
text(
  'xl/styles.xml',
  `<styleSheet ${MAIN}><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="49"/></cellXfs></styleSheet>`,
);
zip.addReadStream(Readable.from(blocks(sheet())), 'xl/worksheets/sheet1.xml');
zip.addReadStream(
  Readable.from(blocks(strings === 'shared' ? sharedStrings() : [`${XML}<sst ${MAIN}/>`])),
  'xl/sharedStrings.xml',
);
zip.end();
await pipeline(zip.outputStream, createWriteStream(file));
console.log(JSON.stringify({ rows }));
