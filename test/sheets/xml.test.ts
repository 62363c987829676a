import fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import { XmlFault, XmlReader } from '../../src/sheets/xml.js';

type Event = ['open', string, [string, string][]] | ['close', string] | ['text', string];

const NAMESPACES = { 'urn:main': '', 'urn:other': 'o' };

/** What the reader makes of a document cut at the given places. */
function eventsOf(document: Buffer, cuts: readonly number[] = []): Event[] {
  const events: Event[] = [];
  const flush = (xml: XmlReader) => {
    if (xml.textLength > 0) events.push(['text', xml.textString()]);
    xml.clearText();
  };
  const xml = new XmlReader(
    {
      open(key, reader) {
        flush(reader);
        const attributes = Array.from({ length: reader.attributeCount }, (_, index): [string, string] => [
          reader.attributeKey(index),
          reader.attributeText(index),
        ]);
        events.push(['open', key, attributes]);
        reader.collecting = true;
      },
      close(key, reader) {
        flush(reader);
        events.push(['close', key]);
      },
    },
    NAMESPACES,
    1_000_000,
  );
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    xml.write(document.subarray(from, cut));
    from = cut;
  }
  xml.write(document.subarray(from));
  xml.end();
  return events;
}

function saxesEventsOf(document: string): Event[] {
  const events: Event[] = [];
  let text = '';
  let depth = 0;
  const flush = () => {
    // Line breaks around the root are nobody's text.
    if (text !== '' && depth > 0) events.push(['text', text]);
    text = '';
  };
  const key = (uri: string, local: string, qualified: string) => {
    if (qualified === 'xmlns' || qualified.startsWith('xmlns:')) return qualified;
    if (uri === '' || uri === 'urn:main') return local;
    return uri === 'urn:other' ? `o:${local}` : `{${uri}}${local}`;
  };
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('doctype', () => {
    throw new Error('a document type declaration');
  });
  parser.on('opentag', (tag) => {
    flush();
    depth += 1;
    const attributes = Object.values(tag.attributes);
    events.push([
      'open',
      key(tag.uri, tag.local, tag.name),
      attributes.map((one) => [key(one.uri, one.local, one.name), one.value]),
    ]);
  });
  parser.on('closetag', (tag) => {
    flush();
    depth -= 1;
    events.push(['close', key(tag.uri, tag.local, tag.name)]);
  });
  parser.on('text', (part) => (text += part));
  parser.on('cdata', (part) => (text += part));
  parser.write(document).close();
  return events;
}

// ------------------------------------------------------------------------------------------------ random documents

const space = fc.constantFrom('', ' ', '\n', '\t', '\r\n', '  ');
const someSpace = fc.constantFrom(' ', '\n', '\t', '\r\n', '\r', '  ');
const localName = fc.constantFrom('row', 'c', 'v', 't', 'is', 'Grüße', '名前', 'a-b.c', '_x');
const name = fc.oneof(
  { weight: 4, arbitrary: localName },
  localName.map((one) => `p:${one}`),
  localName.map((one) => `o:${one}`),
);
const character = fc.oneof(
  fc.constantFrom(
    'a',
    '7',
    ' ',
    '\n',
    '\r',
    '\r\n',
    '\t',
    ']',
    ']]',
    '"',
    "'",
    '=',
    '/',
    'é',
    '文',
    '😀',
    '\u00a0',
    '\u007f',
    '\u0085',
  ),
  fc.constantFrom('&amp;', '&lt;', '&gt;', '&quot;', '&apos;', '&#65;', '&#x1F600;', '&#13;', '&#10;', '&#x000020;'),
);
const text = fc.array(character, { maxLength: 12 }).map((all) => all.join(''));
const value = fc
  .tuple(text, fc.constantFrom('"', "'"), fc.constantFrom('', '>', '/>', '>>'))
  .map(([content, quote, extra]) => {
    return quote + (content + extra).replaceAll(quote, '') + quote;
  });
const attributes = fc
  .uniqueArray(fc.tuple(name, space, space, value, someSpace), { selector: ([one]) => one, maxLength: 4 })
  .map((all) => all.map(([one, before, after, content, gap]) => `${gap}${one}${before}=${after}${content}`).join(''));
const comment = text.map((content) => `<!--${content.replaceAll('-', '')}-->`);
const instruction = text.map((content) => `<?target ${content.replaceAll('?', '')}?>`);
const cdata = fc
  .array(fc.constantFrom('a', ']', ']]', '>', '<', '&', '\r', '\r\n', '\n', '文', '<b>'), { maxLength: 8 })
  .map((all) => `<![CDATA[${all.join('').replaceAll(']]>', '')}]]>`);
const declarations = fc.constantFrom(
  '',
  '',
  ' xmlns="urn:main"',
  " xmlns='urn:else'",
  ' xmlns:p="urn:main"',
  ' xmlns=""',
);

const { element } = fc.letrec<{ element: string; content: string }>((tie) => ({
  element: fc
    .tuple(name, declarations, attributes, space, fc.boolean(), tie('content'))
    .map(([tag, declared, given, gap, empty, content]) =>
      empty ? `<${tag}${declared}${given}${gap}/>` : `<${tag}${declared}${given}${gap}>${content}</${tag}${gap}>`,
    ),
  content: fc
    .array(fc.oneof({ maxDepth: 4, depthSize: 'small' }, text, comment, instruction, cdata, tie('element')), {
      maxLength: 5,
    })
    .map((all) => all.join('')),
}));
const wellFormed = fc
  .tuple(
    fc.constantFrom('', '<?xml version="1.0"?>', "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n"),
    fc.array(fc.oneof(comment, instruction, someSpace), { maxLength: 2 }),
    fc.constantFrom(' xmlns="urn:main"', ''),
    attributes,
    element,
    fc.array(fc.oneof(comment, someSpace), { maxLength: 2 }),
  )
  .map(([head, before, main, given, inner, after]) => {
    return `${head}${before.join('')}<root${main} xmlns:p="urn:p" xmlns:o="urn:other"${given}>${inner}</root>${after.join('')}`;
  })
  // Two names of one namespace in one tag: well-formed XML, but not with namespaces; no sheet depends on it.
  .filter((document) => accepted(() => saxesEventsOf(document)) !== null);

function accepted(parse: () => Event[]): Event[] | null {
  try {
    return parse();
  } catch {
    return null;
  }
}

const cuts = fc.array(fc.nat(400), { maxLength: 8 });

describe('XmlReader', () => {
  it('reads every well-formed document as saxes does, cut anywhere', () => {
    fc.assert(
      fc.property(wellFormed, cuts, (document, places) => {
        const bytes = Buffer.from(document);
        const inside = places.map((place) => place % (bytes.length + 1));
        expect(eventsOf(bytes, inside)).toEqual(saxesEventsOf(document));
      }),
      { numRuns: 1500 },
    );
  });

  it('reads the same from UTF-16, with and without a byte order mark, and byte by byte', () => {
    fc.assert(
      fc.property(wellFormed, fc.boolean(), fc.boolean(), cuts, (document, bigEndian, mark, places) => {
        const plain = document.replace("encoding='UTF-8'", '');
        const bytes = Buffer.from((mark ? '\ufeff' : '') + plain, 'utf16le');
        if (bigEndian) bytes.swap16();
        const inside = places.map((place) => place % (bytes.length + 1));
        expect(eventsOf(bytes, inside)).toEqual(eventsOf(Buffer.from(plain)));
      }),
      { numRuns: 300 },
    );
    const bytes = Buffer.from('\ufeff<a b="文&#65;">😀<![CDATA[]]]]>é</a>');
    expect(eventsOf(bytes, [...bytes.keys()])).toEqual(eventsOf(bytes));
  });

  it('refuses what saxes refuses, when a document is damaged in one place', () => {
    const junk = fc.constantFrom(
      '<',
      '>',
      '&',
      '"',
      '/',
      '=',
      ' ',
      ']]>',
      '--',
      '\u0000',
      '\u0001',
      '<!',
      '<?xml?>',
      'x',
      '\ufffe',
      '&#0;',
      '&no;',
      '',
    );
    let refused = 0;
    fc.assert(
      fc.property(wellFormed, fc.nat(), junk, fc.nat(3), (document, place, inserted, removed) => {
        const at = place % document.length;
        // As a file would hold it: half a surrogate pair becomes a replacement character.
        const damaged = (document.slice(0, at) + inserted + document.slice(at + removed)).replace(
          /\p{Surrogate}/gu,
          '\ufffd',
        );
        // saxes takes any encoding that is declared.
        fc.pre(!/^<\?xml[^>]*encoding\s*=/.test(damaged) || damaged.includes("encoding='UTF-8'"));
        // saxes lets a local name start with what no name starts with.
        fc.pre(!/:[-.\d]/.test(damaged));
        // saxes trims the names of namespaces, which XML does not ask for.
        fc.pre(!/xmlns[:\w]*\s*=\s*(?:"(?:\s[^"]*|[^"]*\s)"|'(?:\s[^']*|[^']*\s)')/.test(damaged));
        const expected = accepted(() => saxesEventsOf(damaged));
        const found = accepted(() => eventsOf(Buffer.from(damaged)));
        if (expected === null) refused += 1;
        expect(found).toEqual(expected);
      }),
      { numRuns: 1500 },
    );
    expect(refused).toBeGreaterThan(250);
  });

  it.each([
    ['nothing at all', '', 'malformed'],
    ['only a byte order mark', '\ufeff', 'malformed'],
    ['a document that breaks off', '<a><b>text', 'malformed'],
    ['a document that breaks off in a tag', '<a><b', 'malformed'],
    ['two roots', '<a/><b/>', 'malformed'],
    ['text after the root', '<a/>text', 'malformed'],
    ['a wrong closing tag', '<a></b>', 'malformed'],
    ['an attribute given twice', '<a b="1" b="2"/>', 'malformed'],
    ['attributes without space', '<a b="1"c="2"/>', 'malformed'],
    ['an attribute without quotes', '<a b=1/>', 'malformed'],
    ['< in an attribute', '<a b="<"/>', 'malformed'],
    ['an unknown entity', '<a>&nbsp;</a>', 'malformed'],
    ['a name of Object.prototype as entity', '<a>&constructor;</a>', 'malformed'],
    ['an undeclared prefix', '<x:a/>', 'malformed'],
    ['a declaration in the middle', '<a><?xml version="1.0"?></a>', 'malformed'],
    ['XML 1.1', '<?xml version="1.1"?><a/>', 'malformed'],
    ['another encoding', '<?xml version="1.0" encoding="ISO-8859-1"?><a/>', 'malformed'],
    ['a document type', '<!DOCTYPE a><a/>', 'forbidden'],
    ['entities', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'forbidden'],
    ['too many levels', '<a>'.repeat(2000), 'malformed'],
    ['too many names', `<a>${Array.from({ length: 20_000 }, (_, index) => `<n${index}/>`).join('')}</a>`, 'malformed'],
    [
      'too many attributes',
      `<a ${Array.from({ length: 2000 }, (_, index) => `n${index}=""`).join(' ')}/>`,
      'malformed',
    ],
    ['a tag without end', `<a b="${'x'.repeat(3_000_000)}"/>`, 'malformed'],
    ['more text than asked for', `<a>${'x'.repeat(1_000_001)}</a>`, 'text'],
  ])('refuses %s', (_, document, kind) => {
    const bytes = Buffer.from(document);
    const pieces = Array.from({ length: Math.floor(bytes.length / 65_536) }, (__, index) => (index + 1) * 65_536);
    expect(() => eventsOf(bytes, pieces)).toThrow(XmlFault);
    try {
      eventsOf(bytes, pieces);
    } catch (error) {
      expect((error as XmlFault).kind).toBe(kind);
    }
  });

  it('refuses bytes that are not UTF-8 or UTF-16', () => {
    expect(() => eventsOf(Buffer.from('<a>\xe9</a>', 'latin1'))).toThrow(XmlFault);
    expect(() => eventsOf(Buffer.from('<a>\ud83d</a>', 'utf16le'))).toThrow(XmlFault);
    expect(() => eventsOf(Buffer.from([0x3c, 0x61, 0x2f, 0x3e, 0xc3]))).toThrow(XmlFault);
  });
});
