/**
 * The zip file that a workbook is: its parts by name, each as a stream of bounded size. Names are only ever looked up in
 * memory and never become paths, so what they say (`..`, drive letters, backslashes) can do no harm.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import type { Entry, ZipFile } from 'yauzl';
import { damaged, fault, type ReadBudget } from './limits.js';

/** A workbook has tens of parts; one with many pictures some thousands. */
const MAX_PARTS = 50_000;
/** Large enough that handing over a chunk costs little beside unpacking it, small enough to stay in a processor's cache. */
const CHUNK = 128 * 1024;
/** `highWaterMark` is how far unpacking, on its own thread, may run ahead of reading; the types of zlib leave it out. */
const INFLATE: zlib.ZlibOptions & { highWaterMark: number } = { chunkSize: CHUNK, highWaterMark: 8 * CHUNK };
/** How much of the file is read at once. yauzl's own streams read 16 kB, and each reading costs the main thread some 40 µs. */
const READ_SIZE = 512 * 1024;
const STORED = 0;
const DEFLATED = 8;

export class ZipPackage {
  readonly #file: FileHandle;
  readonly #zip: ZipFile;
  readonly #entries: Map<string, Entry>;
  readonly #budget: ReadBudget;

  private constructor(file: FileHandle, zip: ZipFile, entries: Map<string, Entry>, budget: ReadBudget) {
    this.#file = file;
    this.#zip = zip;
    this.#entries = entries;
    this.#budget = budget;
  }

  /** Reads the zip's table of contents. @throws SheetFault */
  static async open(path: string, budget: ReadBudget): Promise<ZipPackage> {
    const { default: yauzl } = await import('yauzl');
    const file = await open(path);
    try {
      const zip = await yauzl.fromFdPromise(file.fd, { autoClose: false, lazyEntries: true, decodeStrings: false });
      const entries = new Map<string, Entry>();
      for await (const entry of zip.eachEntry()) {
        budget.checkTime();
        if (entries.size >= MAX_PARTS) throw damaged('it has too many parts');
        const name = partName(entry.fileNameRaw.toString('utf8'));
        // Two parts of one name would let two programs read two different workbooks.
        if (entries.has(name)) throw damaged(`it has two parts named ${name}`);
        entries.set(name, entry);
      }
      if ([...entries.values()].some((entry) => entry.isEncrypted())) throw fault('FILE_ENCRYPTED', {});
      return new ZipPackage(file, zip, entries, budget);
    } catch (error) {
      await file.close();
      throw zipFault(error);
    }
  }

  has(name: string): boolean {
    return this.#entries.has(partName(name));
  }

  /** The bytes of a part, unpacked and checked against the zip's checksum. @throws SheetFault */
  async *read(name: string): AsyncGenerator<Buffer, void, undefined> {
    const entry = this.#entries.get(partName(name));
    if (entry === undefined) throw damaged(`the part ${name} is missing`);
    if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
      const detail = `the part ${name} is compressed in an unusual way`;
      throw fault('FILE_NOT_WORKBOOK', { reason: 'unsupported', detail });
    }
    const budget = this.#budget;
    let unpacked = 0;
    let checksum = 0;
    try {
      const { fileDataStart } = await this.#zip.readLocalFileHeaderPromise(entry, { minimal: true });
      const packed = this.#packed(fileDataStart, entry.compressedSize);
      const inflate = entry.compressionMethod === DEFLATED ? zlib.createInflateRaw(INFLATE) : null;
      // Errors of either stream surface in the loop below, which destroys both when it is left early.
      const stream = inflate === null ? packed : pipeline(packed, inflate, () => undefined);
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        budget.checkTime();
        unpacked += chunk.length;
        budget.addUnzipped(chunk.length);
        budget.checkRatio(inflate?.bytesWritten ?? unpacked, unpacked);
        checksum = zlib.crc32(chunk, checksum);
        yield chunk;
      }
    } catch (error) {
      throw zipFault(error);
    }
    if (unpacked !== entry.uncompressedSize || checksum !== entry.crc32)
      throw damaged(`the part ${name} does not match its checksum`);
  }

  #packed(start: number, size: number): Readable {
    if (size === 0) return Readable.from([]);
    return this.#file.createReadStream({ start, end: start + size - 1, autoClose: false, highWaterMark: READ_SIZE });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Part names ignore case; some writers use backslashes or a leading slash. */
function partName(name: string): string {
  return name.replaceAll('\\', '/').replace(/^\/+/, '').toLowerCase();
}

/** What an error of the zip or inflate library says about the file; any other error as it is. */
function zipFault(error: unknown): unknown {
  if (!(error instanceof Error) || error.name === 'SheetFault' || error.name === 'XmlFault') return error;
  const { message } = error;
  const code = 'code' in error ? String(error.code) : '';
  if (message.includes('strong encryption')) return fault('FILE_ENCRYPTED', {});
  const cutOff =
    /^End of central directory|unexpected EOF|unexpected end of file|overflows file bounds|not enough bytes/.test(
      message,
    );
  if (cutOff || code.startsWith('Z_')) return fault('FILE_TRUNCATED', { detail: message });
  if (/^E[A-Z]+$/.test(code)) return error;
  return damaged(message);
}
