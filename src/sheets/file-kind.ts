/** What a file is, by its content: the ending of its name proves nothing. */
import type { FileHandle } from 'node:fs/promises';
import { fault } from './limits.js';

export type TextEncoding = 'utf-8' | 'utf-16le' | 'utf-16be';
export type FileKind = { kind: 'zip' } | { kind: 'text'; encoding: TextEncoding };

const LOOK_AT = 4096;
const ZIP = Buffer.from('PK\x03\x04', 'latin1');
const EMPTY_ZIP = Buffer.from('PK\x05\x06', 'latin1');
const OLE = Buffer.from('d0cf11e0a1b11ae1', 'hex');
/** The stream that holds a workbook with a password, as the directory of an OLE file spells its name. */
const ENCRYPTED_PACKAGE = Buffer.from('EncryptedPackage\0', 'utf16le');
const OLE_DIRECTORY_ENTRY = 128;

/** Files that people mix up with workbooks, by their first bytes, where a word about them helps more than "not text". */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^%PDF-/, 'it is a PDF'],
  [/^\{\\rtf/, 'it is an RTF document'],
  [/^\s*<!doctype html|^\s*<html/i, 'it is a web page; perhaps a login page was downloaded instead of the file'],
  [/^\s*<\?xml/, 'it is an XML file'],
  [/^\s*[[{]\s*["{[\]}]/, 'it is JSON'],
];

/** @throws SheetFault when it is neither a zip file nor text */
export async function recogniseFile(file: FileHandle, size: number): Promise<FileKind> {
  const start = Buffer.alloc(Math.min(LOOK_AT, size));
  await file.read(start, 0, start.length, 0);
  if (start.length === 0) throw fault('FILE_TRUNCATED', { detail: 'the file is empty' });
  if (start.subarray(0, 4).equals(ZIP)) return { kind: 'zip' };
  if (start.length < 4 && ZIP.subarray(0, start.length).equals(start))
    throw fault('FILE_TRUNCATED', { detail: 'only the first bytes of a workbook are there' });
  if (start.subarray(0, 4).equals(EMPTY_ZIP)) throw notAWorkbook('it is an empty zip file');
  if (start.subarray(0, 8).equals(OLE)) throw await oleFault(file);

  if (start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf) return { kind: 'text', encoding: 'utf-8' };
  if (start[0] === 0xff && start[1] === 0xfe) return { kind: 'text', encoding: 'utf-16le' };
  if (start[0] === 0xfe && start[1] === 0xff) return { kind: 'text', encoding: 'utf-16be' };
  const utf16 = utf16WithoutMark(start);
  if (utf16 !== null) return { kind: 'text', encoding: utf16 };
  const opening = start.toString('latin1', 0, 200);
  for (const [pattern, what] of OTHERS) if (pattern.test(opening)) throw notAWorkbook(what);
  if (start.some(isBinary)) throw notAWorkbook('it is neither a workbook nor text');
  return { kind: 'text', encoding: 'utf-8' };
}

function notAWorkbook(detail: string) {
  return fault('FILE_NOT_WORKBOOK', { reason: 'not_a_workbook', detail });
}

/** Control characters that no text holds; tab, line breaks, form feed and escape aside. */
function isBinary(byte: number): boolean {
  return byte < 32 && !(byte >= 9 && byte <= 13) && byte !== 27;
}

/** Letters, digits and separators in UTF-16 leave every other byte zero. */
function utf16WithoutMark(start: Buffer): TextEncoding | null {
  const zeros = [0, 0];
  const pairs = Math.floor(start.length / 2);
  for (let at = 0; at < pairs * 2; at += 1) if (start[at] === 0) zeros[at % 2] = (zeros[at % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (pairs < 2) return null;
  if (odd >= pairs * 0.7 && even === 0) return 'utf-16le';
  if (even >= pairs * 0.7 && odd === 0) return 'utf-16be';
  return null;
}

/** An OLE file holds an old .xls, or a workbook of today that has a password. */
async function oleFault(file: FileHandle) {
  const window = Buffer.alloc(1 << 20);
  // Windows overlap by one directory entry, so that no name is cut in two.
  for (let from = 0; ; from += window.length - OLE_DIRECTORY_ENTRY) {
    const { bytesRead } = await file.read(window, 0, window.length, from);
    const bytes = window.subarray(0, bytesRead);
    for (let at = bytes.indexOf(ENCRYPTED_PACKAGE); at !== -1; at = bytes.indexOf(ENCRYPTED_PACKAGE, at + 1))
      if ((from + at) % OLE_DIRECTORY_ENTRY === 0) return fault('FILE_ENCRYPTED', {});
    if (bytesRead < window.length) break;
  }
  return fault('FILE_NOT_WORKBOOK', { reason: 'old_excel', detail: 'an Excel file of the kind before 2007 (.xls)' });
}
