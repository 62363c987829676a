/**
 * A streaming XML reader over bytes, made for sheets of hundreds of megabytes: it allocates nothing for a tag whose names
 * it has met before, and text is collected only where somebody asks for it. (saxes, which makes a string of every name,
 * value and text, takes three times as long; the tests hold this reader against it.)
 *
 * It takes every well-formed XML 1.0 document with namespaces in UTF-8 or UTF-16, cut into chunks anywhere, and refuses
 * everything else. A document type declaration is refused at sight, so no entity is ever expanded but the five of XML.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';

export class XmlFault extends Error {
  /** `forbidden`: a document type declaration · `text`: more text in one piece than the reader was told to collect. */
  readonly kind: 'malformed' | 'forbidden' | 'text';

  constructor(kind: XmlFault['kind'], message: string) {
    super(message);
    this.name = 'XmlFault';
    this.kind = kind;
  }
}

/**
 * Called with each element; while `open` runs, the reader shows the element's attributes.
 *
 * Elements and attributes go by a key. In one of the reader's main namespaces, or in none, it is the local name (`row`); in
 * a namespace that has an alias it is alias and local name (`rel:id`); in any other it is `{uri}local`.
 */
export interface XmlHandler {
  open(key: string, xml: XmlReader): void;
  close(key: string, xml: XmlReader): void;
}

/** A name as it stands in the document, met before. */
interface InternedName {
  readonly qualified: string;
  readonly bytes: Uint8Array;
  readonly prefix: string;
  readonly local: string;
  /** Which set of namespace declarations the two keys were resolved with. */
  scope: number;
  elementKey: string;
  attributeKey: string;
  /** The last tag that had this attribute; tells duplicates. */
  usedIn: number;
  /** As an attribute's name stands in nearly every tag, up to its value: ` name="`. */
  readonly lead: Uint8Array;
  /** As an element: the attributes it had last time, by place. The cells of a sheet are all alike. */
  readonly shape: InternedName[];
}

interface Scope {
  depth: number;
  prefixes: Map<string, string>;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const BANG = 33;
const QUOTE = 34;
const HASH = 35;
const AMP = 38;
const APOSTROPHE = 39;
const DASH = 45;
const SLASH = 47;
const SEMICOLON = 59;
const LESS = 60;
const EQUALS = 61;
const GREATER = 62;
const QUESTION = 63;
const BRACKET = 93;

const PLAIN = 0;
const STOP = 1;

/**
 * Bytes that end a run of plain text: markup, references, what must be normalised, what must not be there. The inner loops
 * compare the usual bytes, letters and digits, themselves, and look up only the rest: a look-up for each byte costs a tenth
 * of the whole reading.
 */
const IN_TEXT = table((byte) => byte < SPACE && byte !== TAB && byte !== LF, [AMP, LESS, GREATER, BRACKET]);
const IN_VALUE = table((byte) => byte < SPACE, [AMP, LESS, QUOTE, APOSTROPHE]);
const NOT_NAME = table((byte) => byte < 128 && !/[\w.:-]/.test(String.fromCharCode(byte)), []);
/** XML's NameStartChar and NameChar, without the colon, which separates prefix and local name. */
const NAME_START =
  'A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c-\\u200d\\u2070-\\u218f\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd\\u{10000}-\\u{effff}';
const NAME = `[${NAME_START}][\\-.0-9\\u00b7\\u0300-\\u036f\\u203f-\\u2040${NAME_START}]*`;
// eslint-disable-next-line no-misleading-character-class -- combining characters are listed, not combined
const QUALIFIED_NAME = new RegExp(`^(?:(${NAME}):)?(${NAME})$`, 'u');

/** Real tags have a few hundred bytes; the list of namespaces of a worksheet has about two thousand. */
const MAX_TAG = 1_000_000;
const MAX_ATTRIBUTES = 1_000;
/** A workbook uses a few hundred names and nests about ten deep. */
const MAX_NAMES = 10_000;
const MAX_DEPTH = 1_000;
const BUCKETS = 512;

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/';

const EMPTY: Buffer = Buffer.alloc(0);

type State = 'start' | 'text' | 'comment' | 'instruction' | 'cdata';

export class XmlReader {
  /** How many elements are open, the one just opened or being closed included. */
  depth = 0;
  /** Whether text is collected; the handler sets and clears it. */
  collecting = false;
  /** The text collected since `clearText`, as UTF-8: the first `textLength` bytes count. */
  text: Buffer = Buffer.allocUnsafe(4096);
  textLength = 0;
  /** Attributes of the tag just opened, and where the value of each stands in its bytes. */
  attributeCount = 0;
  readonly attributeStarts: number[] = [];
  readonly attributeEnds: number[] = [];

  readonly #handler: XmlHandler;
  readonly #namespaces: Readonly<Record<string, string>>;
  readonly #maxText: number;
  readonly #buckets: InternedName[][] = Array.from({ length: BUCKETS }, () => []);
  /** Names of one character, by its byte. */
  readonly #singles = new Array<InternedName | undefined>(256).fill(undefined);
  readonly #open: InternedName[] = [];
  readonly #attributeNames: InternedName[] = [];
  /** Values of the tag just opened that do not stand in the document as they are; sparse. */
  #decodedValues: Buffer[] = [];
  #tagBytes: Buffer = EMPTY;
  readonly #scopes: Scope[] = [{ depth: 0, prefixes: new Map([['xml', XML_NAMESPACE]]) }];
  #nameCount = 0;
  #scope = 1;
  /** A number that no tag and no set of declarations has had before. */
  #tag = 1;
  #tagEnd = 0;
  #state: State = 'start';
  /** How many of the closing `]]`, `--` or `?` have just been met, across chunks. */
  #run = 0;
  #afterReturn = false;
  #rootClosed = false;
  #rest: Buffer = Buffer.alloc(0);
  #tail: Buffer = Buffer.alloc(0);
  #encodingKnown = false;
  #utf16: TextDecoder | null = null;

  /**
   * @param namespaces by namespace its alias; '' for the main ones
   * @param maxText how many bytes of text may be collected at once
   */
  constructor(handler: XmlHandler, namespaces: Readonly<Record<string, string>>, maxText: number) {
    this.#handler = handler;
    this.#namespaces = namespaces;
    this.#maxText = maxText;
  }

  clearText(): void {
    this.textLength = 0;
  }

  textString(): string {
    return this.text.toString('utf8', 0, this.textLength);
  }

  /** The value of an attribute of the tag just opened, by its key. */
  attribute(key: string): string | undefined {
    for (let index = 0; index < this.attributeCount; index += 1)
      if (this.attributeKey(index) === key) return this.attributeText(index);
    return undefined;
  }

  attributeKey(index: number): string {
    return this.#attributeNames[index]?.attributeKey ?? '';
  }

  attributeBytes(index: number): Buffer {
    return this.#decodedValues.length === 0 ? this.#tagBytes : (this.#decodedValues[index] ?? this.#tagBytes);
  }

  attributeText(index: number): string {
    return this.attributeBytes(index).toString('utf8', this.attributeStarts[index], this.attributeEnds[index]);
  }

  /** Reads on. The chunk is kept in part and must not be changed. @throws XmlFault, and what the handler throws */
  write(chunk: Buffer): void {
    let bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    if (!this.#encodingKnown) {
      if (bytes.length < 4) {
        this.#tail = bytes;
        return;
      }
      bytes = this.#detectEncoding(bytes);
    } else if (this.#utf16 !== null) bytes = this.#fromUtf16(bytes);
    const whole = this.#utf16 === null ? bytes.length - incompleteTail(bytes) : bytes.length;
    this.#tail = bytes.subarray(whole);
    this.#scan(whole === bytes.length ? bytes : bytes.subarray(0, whole));
  }

  /** Says that the document is complete. @throws XmlFault when it is not */
  end(): void {
    if (this.#utf16 !== null) decodeUtf16(this.#utf16, EMPTY, false);
    if (this.#tail.length > 0 || this.#rest.length > 0 || !this.#rootClosed || this.#state !== 'text')
      throw malformed('the document ends too early');
  }

  #detectEncoding(bytes: Buffer): Buffer {
    this.#encodingKnown = true;
    const [a, b, c] = bytes;
    if (a === 0xef && b === 0xbb && c === 0xbf) return bytes.subarray(3);
    // A document starts with an ASCII character, so in UTF-16 one of its first two bytes is zero; in UTF-8 none ever is.
    if ((a === 0xfe && b === 0xff) || a === 0) this.#utf16 = new TextDecoder('utf-16be', { fatal: true });
    else if ((a === 0xff && b === 0xfe) || b === 0) this.#utf16 = new TextDecoder('utf-16le', { fatal: true });
    return this.#utf16 === null ? bytes : this.#fromUtf16(bytes);
  }

  #fromUtf16(bytes: Buffer): Buffer {
    return this.#utf16 === null ? bytes : Buffer.from(decodeUtf16(this.#utf16, bytes, true), 'utf8');
  }

  #scan(fresh: Buffer): void {
    if (!isAscii(fresh)) {
      if (!isUtf8(fresh)) throw malformed('a byte sequence is not UTF-8');
      // U+FFFE and U+FFFF, which no XML document may hold.
      if (fresh.includes('\ufffe') || fresh.includes('\uffff')) throw malformed('a character is not allowed');
    }
    const bytes = this.#rest.length === 0 ? fresh : Buffer.concat([this.#rest, fresh]);
    const end = bytes.length;
    let at = 0;
    while (at < end) {
      const before = at;
      switch (this.#state) {
        case 'start':
          at = this.#declaration(bytes);
          break;
        case 'text':
          at = this.#text(bytes, at);
          break;
        case 'comment':
          at = this.#comment(bytes, at);
          break;
        case 'instruction':
          at = this.#instruction(bytes, at);
          break;
        case 'cdata':
          at = this.#cdata(bytes, at);
          break;
      }
      // A piece of markup goes on in the next chunk. ('start' also returns 0 when there is no declaration.)
      if (at === before && this.#waiting) {
        this.#waiting = false;
        if (end - at > MAX_TAG) throw malformed('a tag is too long');
        break;
      }
    }
    this.#rest = at === end ? EMPTY : bytes.subarray(at);
  }

  #waiting = false;

  #wait(at: number): number {
    this.#waiting = true;
    return at;
  }

  /** `<?xml version="1.0" encoding="…"?>`, which may stand at the very beginning only. */
  #declaration(bytes: Buffer): number {
    const opening = bytes.toString('latin1', 0, 6);
    if (bytes.length < 6 && '<?xml '.startsWith(opening)) return this.#wait(0);
    if (!/^<\?xml\s/.test(opening)) {
      this.#state = 'text';
      return 0;
    }
    const close = bytes.indexOf('?>');
    if (close === -1) return this.#wait(0);
    const declared =
      /^<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')(?:\s+encoding\s*=\s*(?:"([\w.-]+)"|'([\w.-]+)'))?(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*$/.exec(
        bytes.toString('latin1', 0, close),
      );
    if (declared === null) throw malformed('the XML declaration cannot be read');
    const encoding = (declared[1] ?? declared[2] ?? 'utf-8').toLowerCase();
    if (!['utf-8', 'utf8', 'utf-16', 'us-ascii', 'ascii'].includes(encoding))
      throw malformed(`the encoding ${encoding} is not used in workbooks`);
    this.#state = 'text';
    return close + 2;
  }

  #text(bytes: Buffer, from: number): number {
    const end = bytes.length;
    let at = from;
    while (at < end) {
      const byte = bytes[at] ?? 0;
      if (byte === LESS) {
        this.#run = 0;
        this.#afterReturn = false;
        return this.#markup(bytes, at);
      }
      if (this.depth === 0) {
        if (byte !== SPACE && byte !== LF && byte !== CR && byte !== TAB)
          throw malformed('there is text outside the root');
        at += 1;
        continue;
      }
      if (IN_TEXT[byte] === PLAIN) {
        let stop = at + 1;
        for (; stop < end; stop += 1) {
          const inside = bytes[stop] ?? 0;
          if (inside > AMP ? inside === LESS || inside === GREATER || inside === BRACKET : IN_TEXT[inside] === STOP)
            break;
        }
        if (this.collecting) this.#collect(bytes, this.#afterReturn && byte === LF ? at + 1 : at, stop);
        this.#afterReturn = false;
        this.#run = 0;
        at = stop;
        continue;
      }
      this.#afterReturn = false;
      if (byte === AMP) {
        const close = referenceEnd(bytes, at);
        if (close === -1) return this.#wait(at);
        if (this.collecting) {
          const decoded = Buffer.from(decodeReference(bytes, at, close), 'utf8');
          this.#collect(decoded, 0, decoded.length);
        } else decodeReference(bytes, at, close);
        this.#run = 0;
        at = close + 1;
        continue;
      }
      if (byte === CR) {
        if (this.collecting) this.#collect(LINE_FEED, 0, 1);
        this.#afterReturn = true;
        this.#run = 0;
      } else if (byte === BRACKET) {
        if (this.collecting) this.#collect(bytes, at, at + 1);
        this.#run += 1;
      } else if (byte === GREATER) {
        if (this.#run >= 2) throw malformed(']]> stands in text');
        if (this.collecting) this.#collect(bytes, at, at + 1);
        this.#run = 0;
      } else throw malformed('a control character stands in text');
      at += 1;
    }
    return at;
  }

  #collect(bytes: Buffer, from: number, to: number): void {
    const length = this.textLength + to - from;
    if (length > this.#maxText) throw new XmlFault('text', 'a text is too long');
    if (length > this.text.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.text.length * 2));
      larger.set(this.text.subarray(0, this.textLength));
      this.text = larger;
    }
    if (to - from > 64) this.text.set(bytes.subarray(from, to), this.textLength);
    else {
      // Below some 64 bytes a loop beats the call into `set`, and nearly every text is shorter.
      const text = this.text;
      let into = this.textLength;
      for (let at = from; at < to; at += 1) text[into++] = bytes[at] ?? 0;
    }
    this.textLength = length;
  }

  #markup(bytes: Buffer, at: number): number {
    if (at + 1 >= bytes.length) return this.#wait(at);
    const next = bytes[at + 1];
    if (next === SLASH) return this.#closeTag(bytes, at);
    if (next === BANG) return this.#declared(bytes, at);
    if (next === QUESTION) return this.#openInstruction(bytes, at);
    return this.#openTag(bytes, at);
  }

  /** `<!--`, `<![CDATA[`, and what is refused. */
  #declared(bytes: Buffer, at: number): number {
    const opening = bytes.toString('latin1', at, at + 9);
    if (opening.startsWith('<!--')) {
      this.#state = 'comment';
      this.#run = 0;
      return at + 4;
    }
    if (opening === '<![CDATA[') {
      if (this.depth === 0) throw malformed('there is text outside the root');
      this.#state = 'cdata';
      this.#run = 0;
      return at + 9;
    }
    if (opening.startsWith('<!DOCTYPE')) throw new XmlFault('forbidden', 'a document type declaration');
    if ('<!--'.startsWith(opening) || '<![CDATA['.startsWith(opening) || '<!DOCTYPE'.startsWith(opening))
      return this.#wait(at);
    throw malformed('a declaration cannot be read');
  }

  #comment(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (this.#run === 2) {
        if (byte !== GREATER) throw malformed('-- stands in a comment');
        this.#state = 'text';
        this.#run = 0;
        return at + 1;
      }
      this.#run = byte === DASH ? this.#run + 1 : 0;
      refuseControl(byte);
    }
    return bytes.length;
  }

  #openInstruction(bytes: Buffer, at: number): number {
    let stop = at + 2;
    while (stop < bytes.length && NOT_NAME[bytes[stop] ?? 0] === PLAIN) stop += 1;
    if (stop === bytes.length) return this.#wait(at);
    const target = bytes.toString('utf8', at + 2, stop);
    const byte = bytes[stop] ?? 0;
    if (!QUALIFIED_NAME.test(target) || target.includes(':') || target.toLowerCase() === 'xml')
      throw malformed('a processing instruction cannot be read');
    if (!isSpace(byte)) {
      if (byte !== QUESTION) throw malformed('a processing instruction cannot be read');
      if (stop + 1 === bytes.length) return this.#wait(at);
      if (bytes[stop + 1] !== GREATER) throw malformed('a processing instruction cannot be read');
    }
    this.#state = 'instruction';
    this.#run = 0;
    return stop;
  }

  #instruction(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === GREATER && this.#run === 1) {
        this.#state = 'text';
        this.#run = 0;
        return at + 1;
      }
      this.#run = byte === QUESTION ? 1 : 0;
      refuseControl(byte);
    }
    return bytes.length;
  }

  #cdata(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      const afterReturn = this.#afterReturn;
      this.#afterReturn = false;
      if (byte === BRACKET) {
        // The last two brackets may belong to the end; what came before them surely is text.
        if (this.#run === 2) {
          if (this.collecting) this.#collect(BRACKETS, 0, 1);
        } else this.#run += 1;
        continue;
      }
      if (byte === GREATER && this.#run === 2) {
        this.#state = 'text';
        this.#run = 0;
        return at + 1;
      }
      if (this.#run > 0 && this.collecting) this.#collect(BRACKETS, 0, this.#run);
      this.#run = 0;
      refuseControl(byte);
      if (byte === CR) {
        this.#afterReturn = true;
        if (this.collecting) this.#collect(LINE_FEED, 0, 1);
      } else if (this.collecting && !(afterReturn && byte === LF)) this.#collect(bytes, at, at + 1);
    }
    return bytes.length;
  }

  #closeTag(bytes: Buffer, start: number): number {
    const top = this.#open[this.depth - 1];
    if (top === undefined) throw malformed('a tag is closed that is not open');
    const name = top.bytes;
    const length = name.length;
    if (start + 2 + length >= bytes.length) return this.#wait(start);
    let at = start + 2;
    for (let index = 0; index < length; index += 1, at += 1)
      if (bytes[at] !== name[index]) throw malformed(`</${top.qualified}> is missing`);
    while (at < bytes.length && isSpace(bytes[at] ?? 0)) at += 1;
    if (at === bytes.length) return this.#wait(start);
    if (bytes[at] !== GREATER) throw malformed(`</${top.qualified}> is missing`);
    this.#close(top);
    return at + 1;
  }

  #close(name: InternedName): void {
    if (name.scope !== this.#scope) this.#resolve(name);
    this.#handler.close(name.elementKey, this);
    this.#open.pop();
    if (this.#scopes.at(-1)?.depth === this.depth) {
      this.#scopes.pop();
      this.#tag += 1;
      this.#scope = this.#tag;
    }
    this.depth -= 1;
    if (this.depth === 0) this.#rootClosed = true;
  }

  #openTag(bytes: Buffer, start: number): number {
    const end = bytes.length;
    this.#tag += 1;
    this.attributeCount = 0;
    this.#tagBytes = bytes;
    if (this.#decodedValues.length > 0) this.#decodedValues = [];
    const name = this.#name(bytes, start + 1);
    if (name === null) return this.#wait(start);
    let at = this.#tagEnd;
    let declares = false;
    const { shape } = name;
    for (;;) {
      const place = this.attributeCount;
      let attribute: InternedName | null = place < shape.length ? (shape[place] ?? null) : null;
      let quote = QUOTE;
      if (attribute !== null && startsWith(bytes, at, attribute.lead)) at += attribute.lead.length;
      else {
        const afterName = at;
        while (at < end && isSpace(bytes[at] ?? 0)) at += 1;
        if (at === end) return this.#wait(start);
        const byte = bytes[at];
        if (byte === GREATER) {
          this.#opened(name, declares);
          return at + 1;
        }
        if (byte === SLASH) {
          if (at + 1 === end) return this.#wait(start);
          if (bytes[at + 1] !== GREATER) throw malformed('a tag cannot be read');
          this.#opened(name, declares);
          this.#close(name);
          return at + 2;
        }
        if (at === afterName) throw malformed('a tag cannot be read');
        attribute = this.#name(bytes, at);
        if (attribute === null) return this.#wait(start);
        shape[place] = attribute;
        at = this.#tagEnd;
        while (at < end && isSpace(bytes[at] ?? 0)) at += 1;
        if (at === end) return this.#wait(start);
        if (bytes[at] !== EQUALS) throw malformed(`the attribute ${attribute.qualified} has no value`);
        at += 1;
        while (at < end && isSpace(bytes[at] ?? 0)) at += 1;
        if (at === end) return this.#wait(start);
        quote = bytes[at] ?? 0;
        if (quote !== QUOTE && quote !== APOSTROPHE)
          throw malformed(`the attribute ${attribute.qualified} has no value`);
        at += 1;
      }
      const from = at;
      let plain = true;
      for (; at < end; at += 1) {
        const inside = bytes[at] ?? 0;
        if (inside > APOSTROPHE ? inside !== LESS : IN_VALUE[inside] === PLAIN) continue;
        if (inside === quote) break;
        if (inside === LESS) throw malformed('< stands in an attribute');
        if (inside === AMP || inside === TAB || inside === LF || inside === CR) plain = false;
        else if (inside < SPACE) throw malformed('a control character stands in an attribute');
      }
      if (at === end) return this.#wait(start);
      // The tag number goes up each time the tag is looked at again, so that an attribute met twice is met twice in one go.
      if (attribute.usedIn === this.#tag) throw malformed(`the attribute ${attribute.qualified} is given twice`);
      attribute.usedIn = this.#tag;
      if (attribute.prefix === 'xmlns' || attribute.qualified === 'xmlns') declares = true;
      this.#addAttribute(attribute, bytes, from, at, plain);
      at += 1;
    }
  }

  #addAttribute(name: InternedName, bytes: Buffer, from: number, to: number, plain: boolean): void {
    const index = this.attributeCount;
    if (index >= MAX_ATTRIBUTES) throw malformed('a tag has too many attributes');
    this.#attributeNames[index] = name;
    this.attributeCount = index + 1;
    this.attributeStarts[index] = from;
    this.attributeEnds[index] = to;
    if (plain) return;
    const value = Buffer.from(decodeValue(bytes, from, to), 'utf8');
    this.#decodedValues[index] = value;
    this.attributeStarts[index] = 0;
    this.attributeEnds[index] = value.length;
  }

  #opened(name: InternedName, declares: boolean): void {
    if (this.#rootClosed) throw malformed('there is more than one root');
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw malformed('elements are nested too deeply');
    this.#open.push(name);
    if (declares) this.#declareNamespaces();
    if (name.scope !== this.#scope) this.#resolve(name);
    if (name.elementKey === '') throw malformed(`the prefix of ${name.qualified} is not declared`);
    for (let index = 0; index < this.attributeCount; index += 1) {
      const attribute = this.#attributeNames[index];
      if (attribute === undefined) continue;
      if (attribute.scope !== this.#scope) this.#resolve(attribute);
      if (attribute.attributeKey === '') throw malformed(`the prefix of ${attribute.qualified} is not declared`);
    }
    this.#handler.open(name.elementKey, this);
  }

  #declareNamespaces(): void {
    const prefixes = new Map(this.#scopes.at(-1)?.prefixes);
    for (let index = 0; index < this.attributeCount; index += 1) {
      const attribute = this.#attributeNames[index];
      if (attribute?.qualified === 'xmlns') prefixes.set('', this.attributeText(index));
      else if (attribute?.prefix === 'xmlns') {
        const uri = this.attributeText(index);
        const allowed = attribute.local === 'xml' ? uri === XML_NAMESPACE : uri !== '' && uri !== XML_NAMESPACE;
        if (!allowed || attribute.local === 'xmlns' || uri === XMLNS_NAMESPACE)
          throw malformed(`the prefix ${attribute.local} cannot be declared so`);
        prefixes.set(attribute.local, uri);
      }
    }
    this.#scopes.push({ depth: this.depth, prefixes });
    this.#scope = this.#tag;
  }

  #resolve(name: InternedName): void {
    name.scope = this.#scope;
    const prefixes = this.#scopes.at(-1)?.prefixes;
    if (name.prefix === 'xmlns' || name.qualified === 'xmlns') {
      name.attributeKey = name.qualified;
      name.elementKey = name.prefix === 'xmlns' ? '' : this.#keyOf(prefixes?.get(''), name.local);
      return;
    }
    if (name.prefix === '') {
      name.attributeKey = name.local;
      name.elementKey = this.#keyOf(prefixes?.get(''), name.local);
      return;
    }
    const uri = prefixes?.get(name.prefix);
    name.elementKey = uri === undefined ? '' : this.#keyOf(uri, name.local);
    name.attributeKey = name.elementKey;
  }

  #keyOf(uri: string | undefined, local: string): string {
    if (uri === undefined || uri === '') return local;
    const alias = this.#namespaces[uri];
    if (alias === undefined) return `{${uri}}${local}`;
    return alias === '' ? local : `${alias}:${local}`;
  }

  /** The name that starts at `from`, ending before `#tagEnd`; null when it may go on in the next chunk. */
  #name(bytes: Buffer, from: number): InternedName | null {
    // Nearly every name in a sheet has one letter: c, r, s, t, v.
    const single = NOT_NAME[bytes[from + 1] ?? 0] === STOP ? this.#singles[bytes[from] ?? 0] : undefined;
    if (single !== undefined && from + 1 < bytes.length) {
      this.#tagEnd = from + 1;
      return single;
    }
    let at = from;
    let hash = 0;
    for (; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (NOT_NAME[byte] === STOP) break;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    if (at === bytes.length) return null;
    this.#tagEnd = at;
    const bucket = this.#buckets[(hash ^ (hash >>> 9)) & (BUCKETS - 1)] ?? [];
    search: for (const known of bucket) {
      const name = known.bytes;
      if (name.length !== at - from) continue;
      for (let index = 0; index < name.length; index += 1) if (name[index] !== bytes[from + index]) continue search;
      return known;
    }
    return this.#intern(bytes.subarray(from, at), bucket);
  }

  #intern(bytes: Buffer, bucket: InternedName[]): InternedName {
    const qualified = bytes.toString('utf8');
    const parts = QUALIFIED_NAME.exec(qualified);
    if (parts === null) throw malformed('a name cannot be read');
    this.#nameCount += 1;
    if (this.#nameCount > MAX_NAMES) throw malformed('too many different names');
    const name: InternedName = {
      // A copy: the chunk these bytes are cut from must not stay alive for a name's sake.
      bytes: Uint8Array.from(bytes),
      qualified,
      prefix: parts[1] ?? '',
      local: parts[2] ?? '',
      scope: 0,
      elementKey: '',
      attributeKey: '',
      usedIn: 0,
      lead: Uint8Array.from([SPACE, ...bytes, EQUALS, QUOTE]),
      shape: [],
    };
    bucket.push(name);
    if (bytes.length === 1) this.#singles[bytes[0] ?? 0] = name;
    return name;
  }
}

const LINE_FEED: Buffer = Buffer.from('\n');
const BRACKETS: Buffer = Buffer.from(']]');

function table(stops: (byte: number) => boolean, more: readonly number[]): Uint8Array {
  const entries = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte += 1) entries[byte] = stops(byte) || more.includes(byte) ? STOP : PLAIN;
  return entries;
}

function malformed(message: string): XmlFault {
  return new XmlFault('malformed', message);
}

function startsWith(bytes: Buffer, from: number, start: Uint8Array): boolean {
  if (from + start.length > bytes.length) return false;
  for (let index = 0; index < start.length; index += 1) if (bytes[from + index] !== start[index]) return false;
  return true;
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === LF || byte === CR || byte === TAB;
}

function refuseControl(byte: number): void {
  if (byte < SPACE && byte !== TAB && byte !== LF && byte !== CR) throw malformed('a control character is not allowed');
}

/** How many bytes at the end begin a character that the next chunk completes. */
function incompleteTail(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needs > back ? back : 0;
    }
  }
  return 0;
}

function decodeUtf16(decoder: TextDecoder, bytes: Buffer, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream });
  } catch {
    throw malformed('a byte sequence is not UTF-16');
  }
}

/** Where the reference that starts at `from` has its semicolon; -1 when that may be in the next chunk. */
function referenceEnd(bytes: Buffer, from: number): number {
  // `&#x10FFFF;` has ten characters; leading zeros are allowed, but not without end.
  const last = Math.min(bytes.length, from + 40);
  for (let at = from + 1; at < last; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === SEMICOLON) return at;
    if (NOT_NAME[byte] === STOP && byte !== HASH) throw malformed('& stands alone');
  }
  if (last < bytes.length || last === from + 40) throw malformed('a reference cannot be read');
  return -1;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decodeReference(bytes: Buffer, from: number, semicolon: number): string {
  const name = bytes.toString('latin1', from + 1, semicolon);
  const entity = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined;
  if (entity !== undefined) return entity;
  const number = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name);
  if (number === null) throw malformed('an entity is not known');
  const code = number[1] === undefined ? Number(number[2]) : Number.parseInt(number[1], 16);
  const allowed =
    code === TAB ||
    code === LF ||
    code === CR ||
    (code >= SPACE && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff);
  if (!allowed) throw malformed('a character is not allowed');
  return String.fromCodePoint(code);
}

/** An attribute's value with its references resolved and its line breaks and tabs turned into spaces, as XML asks. */
function decodeValue(bytes: Buffer, from: number, to: number): string {
  let value = '';
  let plain = from;
  for (let at = from; at < to; at += 1) {
    if (bytes[at] !== AMP) continue;
    const semicolon = referenceEnd(bytes.subarray(0, to), at);
    if (semicolon === -1) throw malformed('& stands alone');
    value += spaced(bytes, plain, at) + decodeReference(bytes, at, semicolon);
    plain = semicolon + 1;
    at = semicolon;
  }
  return value + spaced(bytes, plain, to);
}

function spaced(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('utf8', from, to).replace(/\r\n|[\r\n\t]/g, ' ');
}
