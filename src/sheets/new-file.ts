/** A file that appears complete or not at all: written beside its place under another name, then moved there. */
import { access, link, mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Failure } from '../core/failure.js';

export class NewFile {
  /** Where to write until `keep`. */
  readonly temporary: string;
  readonly #path: string;
  readonly #folder: string;
  readonly #overwrite: boolean;

  private constructor(path: string, folder: string, overwrite: boolean) {
    this.#path = path;
    this.#folder = folder;
    this.#overwrite = overwrite;
    this.temporary = join(folder, basename(path));
  }

  /** @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
  static async begin(path: string, overwrite: boolean): Promise<NewFile> {
    if (!overwrite && (await exists(path))) throw fileExists(path);
    try {
      // A folder of its own, as only making a folder gives a name that nobody else has.
      return new NewFile(path, await mkdtemp(join(dirname(path), '.pagecast-')), overwrite);
    } catch (error) {
      throw writeFailure(path, error);
    }
  }

  /** Moves the file to its place. @throws Failure FILE_EXISTS, FILE_UNWRITABLE */
  async keep(): Promise<void> {
    try {
      if (this.#overwrite) await rename(this.temporary, this.#path);
      else await this.#moveWithoutOverwriting();
    } catch (error) {
      throw writeFailure(this.#path, error);
    } finally {
      await this.discard();
    }
  }

  /** Throws away what was written; does nothing after `keep`. */
  async discard(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** What to throw for an error met while writing. */
  failure(error: unknown): unknown {
    return writeFailure(this.#path, error);
  }

  async #moveWithoutOverwriting(): Promise<void> {
    try {
      // A link fails where somebody has made the file meanwhile; a rename would silently replace it.
      await link(this.temporary, this.#path);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw fileExists(this.#path);
      // Some file systems (FAT, network shares) know no links.
      await rename(this.temporary, this.#path);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR' && errorCode(error) !== 'EACCES';
  }
}

function fileExists(path: string): Failure {
  return new Failure('FILE_EXISTS', `${path} exists already.`, 'Pass --force to overwrite it, or choose another name.');
}

const OTHER_FOLDER = 'Choose another folder.';
const OTHER_NAME = 'Choose another name.';
const MAKE_ROOM = 'Make room there, or choose another folder.';

/** What is wrong, and what to do about it. */
const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOTDIR: ['its folder is not a folder', OTHER_FOLDER],
  EACCES: ['you may not write there', OTHER_FOLDER],
  EPERM: ['you may not write there', OTHER_FOLDER],
  EROFS: ['the disk can only be read', OTHER_FOLDER],
  ENOSPC: ['the disk is full', MAKE_ROOM],
  EDQUOT: ['your share of the disk is used up', MAKE_ROOM],
  EISDIR: ['a folder of that name is there', OTHER_NAME],
  ENOTEMPTY: ['a folder of that name is there', OTHER_NAME],
  EEXIST: ['a folder of that name is there', OTHER_NAME],
  ENAMETOOLONG: ['its name is too long', OTHER_NAME],
  EFBIG: ['it would be larger than the disk allows', OTHER_FOLDER],
  EIO: ['the disk reports an error', OTHER_FOLDER],
  EBUSY: ['another program is using it', 'Close it there, or choose another name.'],
};

function writeFailure(path: string, error: unknown): unknown {
  if (error instanceof Failure) return error;
  const code = errorCode(error);
  const [reason, hint] =
    code === 'ENOENT'
      ? ['its folder does not exist', `Make the folder first: ${dirname(path)}`]
      : (REASONS[code] ?? []);
  if (reason === undefined) return error;
  return new Failure('FILE_UNWRITABLE', `${path} cannot be written: ${reason}.`, hint, error);
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
