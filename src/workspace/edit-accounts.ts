/**
 * Changes to the accounts of `pagecast.yaml`. Somebody has written that file, with comments and in an order of their own, so
 * only the text of the one account is touched: the parser says where it stands, and everything else stays byte for byte. A
 * change that does not lead to exactly the data that is wanted is not written.
 */
import { readFile, realpath, stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  parseDocument,
  Scalar,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';
import { Failure } from '../core/failure.js';
import { parseWorkspace, type AccountEntry, type Workspace } from './config.js';
import { replaceFile } from './replace-file.js';
import { parseYaml, readText } from './yaml-file.js';

export interface AccountsChange {
  /** What the file will mean. */
  workspace: Workspace;
  /** @throws Failure FILE_UNWRITABLE; CONFIG_INVALID when somebody else has changed the file meanwhile */
  save(): Promise<void>;
}

export class AccountsFile {
  readonly path: string;
  readonly #text: string;
  readonly #accounts: Readonly<Record<string, AccountEntry>>;
  readonly #data: object;

  private constructor(path: string, text: string) {
    this.path = path;
    this.#text = text;
    this.#data = parseYaml(path, text, 'CONFIG_INVALID').data ?? {};
    this.#accounts = accountsIn(this.#data);
  }

  /** @param path of a `pagecast.yaml` that is right @throws Failure CONFIG_INVALID, FILE_UNREADABLE */
  static async open(path: string): Promise<AccountsFile> {
    const text = await readText(path, 'CONFIG_INVALID');
    parseWorkspace(path, text);
    return new AccountsFile(path, text);
  }

  /** An account as it stands there; null when there is none of that name. */
  entry(name: string): AccountEntry | null {
    return Object.hasOwn(this.#accounts, name) ? (this.#accounts[name] ?? null) : null;
  }

  /** Adds an account, or puts another in its place. @throws Failure CONFIG_INVALID */
  with(name: string, entry: AccountEntry): AccountsChange {
    const text = new AccountsText(this.#text).with(name, entry);
    return this.#change(text, { ...this.#accounts, [name]: entry }, 'added');
  }

  /** @throws Failure CONFIG_INVALID */
  without(name: string): AccountsChange {
    const others = Object.fromEntries(Object.entries(this.#accounts).filter(([one]) => one !== name));
    return this.#change(new AccountsText(this.#text).without(name), others, 'removed');
  }

  #change(text: string | null, accounts: Readonly<Record<string, AccountEntry>>, done: string): AccountsChange {
    const data = text === null ? null : parsedOrNull(this.path, text);
    const comesOut =
      data !== null && isDeepStrictEqual({ ...data, accounts: accountsIn(data) }, { ...this.#data, accounts });
    if (text === null || !comesOut) {
      throw new Failure(
        'CONFIG_INVALID',
        `${this.path} is written in a way in which no account can be ${done} without touching the rest of it.`,
        'Change the file by hand; pagecast doctor checks it.',
      );
    }
    return { workspace: parseWorkspace(this.path, text), save: () => this.#save(text) };
  }

  async #save(text: string): Promise<void> {
    const hint = 'Look at it, and run the command again.';
    if ((await readText(this.path, 'CONFIG_INVALID')) !== this.#text) {
      throw new Failure('CONFIG_INVALID', `Somebody else has just changed ${this.path}; nothing was written.`, hint);
    }
    // Behind a link the file itself is replaced, not the link.
    const file = await realpath(this.path);
    const mark = (await readFile(file)).subarray(0, 3).equals(BYTE_ORDER_MARK) ? '\uFEFF' : '';
    await replaceFile(file, mark + text, (await stat(file)).mode & 0o777);
  }
}

/** `readText` leaves it out. */
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

function accountsIn(data: object): Readonly<Record<string, AccountEntry>> {
  return (data as { accounts?: Record<string, AccountEntry> | null }).accounts ?? {};
}

function parsedOrNull(path: string, text: string): object | null {
  try {
    return parseYaml(path, text, 'CONFIG_INVALID').data ?? {};
  } catch {
    return null;
  }
}

type Item = Pair<Node, Node | null>;

/** The text of a configuration. Its answers are null where it is written in a way that is not understood here. */
class AccountsText {
  readonly #text: string;
  readonly #top: unknown;
  readonly #newline: string;

  constructor(text: string) {
    this.#text = text;
    this.#top = parseDocument(text, { prettyErrors: false, stringKeys: true }).contents;
    this.#newline = /\r?\n/.exec(text)?.[0] ?? '\n';
  }

  with(name: string, entry: AccountEntry): string | null {
    if (this.#top === null)
      return this.#splice(this.#text.length, this.#text.length, this.#lines({ accounts: { [name]: entry } }, 0));
    if (!isMap(this.#top)) return null;
    const accounts = itemOf(this.#top, 'accounts');
    if (accounts === null) return this.#insert(this.#top, 'accounts', { [name]: entry });
    const { value } = accounts;
    if (isMap(value) && value.items.length > 0) {
      const standing = itemOf(value, name);
      return standing === null ? this.#insert(value, name, entry) : this.#replace(value, standing, name, entry);
    }
    const isEmpty = isMap(value) || (isScalar(value) && value.value === null);
    return isEmpty ? this.#fill(this.#top, accounts, name, entry) : null;
  }

  without(name: string): string | null {
    const accounts = isMap(this.#top) ? itemOf(this.#top, 'accounts') : null;
    const map = accounts?.value;
    const item = isMap(map) ? itemOf(map, name) : null;
    if (!isMap(map) || item === null) return null;
    if (map.flow !== true) {
      const [from, to] = this.#linesOf(item);
      return this.#splice(from, to, '');
    }
    const items = map.items as Item[];
    const at = items.indexOf(item);
    const [before, after] = [items[at - 1], items[at + 1]];
    if (after) return this.#splice(startOf(item), startOf(after), '');
    if (before) return this.#splice(endOf(before), endOf(item), '');
    return this.#splice(startOf(item), endOf(item) + this.#commaAfter(endOf(item)), '');
  }

  /** Puts a key behind the last one of a mapping that has some. */
  #insert(map: YAMLMap, key: string, value: object): string {
    const items = map.items as Item[];
    const [first, last] = [items[0], items.at(-1)];
    if (first === undefined || last === undefined)
      return this.#splice(map.range?.[0] ?? 0, map.range?.[1] ?? 0, `{ ${inline(key, value)} }`);
    if (map.flow === true) {
      const end = endOf(last) + this.#commaAfter(endOf(last));
      const comma = end > endOf(last) ? '' : ',';
      const indent = /(?<=\n)[ ]*$/.exec(this.#text.slice(0, startOf(last)))?.[0];
      const space = indent === undefined ? ' ' : this.#newline + indent;
      return this.#splice(end, end, comma + space + inline(key, value));
    }
    const [, end] = this.#linesOf(last);
    const isInline = isMap(last.value) && last.value.flow === true && map !== this.#top;
    return this.#splice(end, end, this.#lines({ [key]: value }, this.#column(first), isInline));
  }

  #replace(map: YAMLMap, item: Item, name: string, entry: AccountEntry): string {
    if (map.flow === true) return this.#splice(startOf(item), endOf(item), inline(name, entry));
    const [from, to] = this.#linesOf(item);
    const isInline = isMap(item.value) && item.value.flow === true;
    return this.#splice(from, to, this.#lines({ [name]: entry }, this.#column(item), isInline));
  }

  /** Gives `accounts:` its first account. */
  #fill(top: YAMLMap, accounts: Item, name: string, entry: AccountEntry): string | null {
    const [from, to] = accounts.value?.range ?? [0, 0];
    if (top.flow === true) return from === to ? null : this.#splice(from, to, `{ ${inline(name, entry)} }`);
    const lines = this.#lines({ [name]: entry }, this.#column(accounts) + 2);
    const end = this.#lineEnd(from === to ? (accounts.key.range?.[1] ?? 0) : to);
    if (from === to) return this.#splice(end, end, lines);
    // `{}` and `~` go; what stands behind them on the line stays.
    const line = this.#text.slice(0, from).replace(/[ ]+$/, '') + this.#text.slice(to, end);
    return `${line}${line.endsWith('\n') ? '' : this.#newline}${lines}${this.#text.slice(end)}`;
  }

  #splice(from: number, to: number, text: string): string {
    const before = this.#text.slice(0, from);
    const isNewLine = before === '' || before.endsWith('\n') || !text.endsWith('\n');
    return before + (isNewLine ? '' : this.#newline) + text + this.#text.slice(to);
  }

  /** @param isInline with the innermost mapping on one line */
  #lines(value: object, column: number, isInline = false): string {
    const text = written(value, isInline);
    return text.replace(/^(?=.)/gm, ' '.repeat(column)).replaceAll('\n', this.#newline);
  }

  /** The whole lines of an item, with the comments below it that are indented further than it is. */
  #linesOf(item: Item): [from: number, to: number] {
    const column = this.#column(item);
    let end = this.#lineEnd(endOf(item));
    for (let from = end; from < this.#text.length; from = this.#lineEnd(from)) {
      const line = this.#text.slice(from, this.#lineEnd(from));
      const indent = line.search(/\S/);
      if (indent !== -1 && (line[indent] !== '#' || indent <= column)) break;
      if (indent !== -1) end = this.#lineEnd(from);
    }
    return [startOf(item) - column, end];
  }

  #column(item: Item): number {
    return startOf(item) - (this.#text.lastIndexOf('\n', startOf(item) - 1) + 1);
  }

  /** Where the next line begins. */
  #lineEnd(at: number): number {
    const end = this.#text.indexOf('\n', at);
    return end === -1 ? this.#text.length : end + 1;
  }

  /** How long the comma is that follows, with the space before it; 0 when there is none. */
  #commaAfter(at: number): number {
    return /^\s*,/.exec(this.#text.slice(at))?.[0].length ?? 0;
  }
}

function itemOf(map: YAMLMap, key: string): Item | null {
  const items = map.items as Item[];
  return items.find((item) => isScalar(item.key) && item.key.value === key) ?? null;
}

function startOf(item: Item): number {
  return item.key.range?.[0] ?? 0;
}

/** Where the last thing ends that an item says; comments may follow. */
function endOf(item: Item): number {
  const { value } = item;
  if ((isMap(value) || isSeq(value)) && value.flow !== true) {
    const last = value.items.at(-1);
    if (isPair(last)) return endOf(last as Item);
  }
  return (value ?? item.key).range?.[1] ?? 0;
}

function inline(key: string, value: object): string {
  return written({ [key]: value }, true).trimEnd();
}

/** As YAML, with ids in quotes: without them they would be numbers. */
function written(value: object, isInline: boolean): string {
  const document = new Document(value);
  const quote = (node: unknown): void => {
    if (!isMap(node)) return;
    for (const { key, value: inner } of node.items) {
      if (isScalar(key) && key.value === 'id' && isScalar(inner)) inner.type = Scalar.QUOTE_DOUBLE;
      else if (isMap(inner)) {
        inner.flow = isInline;
        quote(inner);
      }
    }
  };
  quote(document.contents);
  return document.toString({ lineWidth: 0 });
}
