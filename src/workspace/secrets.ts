/**
 * Where secrets are kept, and how they are read: in an environment variable, in a file that only its owner can read, or in
 * the system keyring. The configuration names the place and never holds the secret. No message here repeats a secret, or
 * what might be one.
 */
import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { Failure, type FailureCode } from '../core/failure.js';
import type { Clock } from '../ports.js';
import { replaceFile } from './replace-file.js';
import { writing } from './templates.js';

/** Where a secret is; a file by its absolute path. */
export type SecretRef = { env: string } | { file: string } | { keyring: string };

/** Variables of the environment, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the entries of the system keyring are filed under. */
const KEYRING_SERVICE = 'pagecast';
/** Where pagecast itself puts the files of secrets, within a workspace. */
const SECRETS_FOLDER = '.pagecast/secrets';
/** The longest tokens that Meta gives have some 250 characters. */
const MAX_BYTES = 4096;
/** Somebody may have to type the password of their keyring. */
const KEYRING_LIMIT_MS = 60_000;

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const KEYRING_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/;
const FILE_PATH = /^[^\p{Cc}]{1,1024}$/u;
/**
 * Secrets that slipped in where a name belongs: access tokens of Meta, keys of Alibaba Cloud, and the 32 hexadecimal digits of
 * Meta's app secrets and of Twilio.
 */
const SECRET_ITSELF = /^(?:EAA|IGA|LTAI)[A-Za-z0-9]{12,}|^(?:AC|SK)?[0-9a-f]{32}$/;
/** Goes into a header or a signature as it is. */
const USABLE = /^[\x21-\x7e]+$/;

export const HOW_TO_NAME_A_SECRET =
  'env:NAME (an environment variable), file:PATH (a file that only you can read) or keyring:NAME (the system keyring); ' +
  'a secret itself does not belong there';

/** Reads `env:NAME`, `file:PATH` (the path as it is written) or `keyring:NAME`; null for everything else. */
export function parseSecretRef(text: string): SecretRef | null {
  const [, kind, name = ''] = /^(env|file|keyring):(.*)$/s.exec(text) ?? [];
  if (SECRET_ITSELF.test(basename(name))) return null;
  if (kind === 'env' && ENV_NAME.test(name)) return { env: name };
  if (kind === 'keyring' && KEYRING_NAME.test(name)) return { keyring: name };
  if (kind === 'file' && FILE_PATH.test(name)) return { file: name };
  return null;
}

/** With the path of a file made absolute, from a folder. */
export function anchorSecretRef(ref: SecretRef, folder: string): SecretRef {
  return 'file' in ref ? { file: resolve(folder, ref.file) } : ref;
}

/** As it stands in the configuration of a folder. */
export function showSecretRef(ref: SecretRef, folder: string): string {
  if ('env' in ref) return `env:${ref.env}`;
  if ('keyring' in ref) return `keyring:${ref.keyring}`;
  const path = relative(folder, ref.file);
  return `file:${path.startsWith('..') || isAbsolute(path) ? ref.file : path}`;
}

/** A variable's value, without spaces around it. @throws Failure SECRET_MISSING when it is not set, or empty */
export function requireVariable(name: string, env: Environment): string {
  const value = env[name]?.trim();
  if (value) return value;
  throw new Failure(
    'SECRET_MISSING',
    `The environment variable ${name} is ${value === undefined ? 'not set' : 'empty'}.`,
    `Set ${name}; in CI, pass it from the secret store.`,
  );
}

/** @throws Failure SECRET_MISSING when it is empty; SECRET_UNUSABLE when it cannot be a secret */
function usable(text: string, subject: string, hint: string): string {
  const secret = text.trim();
  if (secret === '') throw new Failure('SECRET_MISSING', `${subject} is empty.`, hint);
  if (secret.length <= MAX_BYTES && USABLE.test(secret)) return secret;
  throw new Failure(
    'SECRET_UNUSABLE',
    `${subject} holds no secret: one is a single line of letters, digits and signs, without spaces.`,
    hint,
  );
}

/** The part of @napi-rs/keyring that is used. */
export interface KeyringModule {
  AsyncEntry: new (
    service: string,
    name: string,
    options: { linux: { store: 'secret-service' } },
  ) => {
    getPassword(signal: AbortSignal): Promise<string | null>;
    setPassword(secret: string, signal: AbortSignal): Promise<void>;
    deleteCredential(signal: AbortSignal): Promise<boolean>;
  };
}

export interface SecretSources {
  env: Environment;
  /** The user's number; undefined where there are none, and then files have no modes either. */
  uid: number | undefined;
  clock: Clock;
  /** The folder of the workspace; null outside of one. */
  root: string | null;
  /** Loads @napi-rs/keyring, which need not be installed. */
  keyring?: () => Promise<KeyringModule>;
}

/** A place where pagecast can keep a secret. */
export type SecretPlace = Exclude<SecretRef, { env: string }>;

/** Reads, keeps and removes secrets. */
export class Secrets {
  readonly #sources: SecretSources;
  /** Where pagecast itself puts files. */
  readonly #folder: string | null;

  constructor(sources: SecretSources) {
    this.#sources = sources;
    this.#folder = sources.root === null ? null : join(sources.root, SECRETS_FOLDER);
  }

  /** What a reference of the configuration means, with an absolute path; null when it is none. */
  ref(text: string): SecretRef | null {
    const ref = parseSecretRef(text);
    return ref && anchorSecretRef(ref, this.#sources.root ?? '.');
  }

  /** A reference as it stands in the configuration. */
  show(ref: SecretRef): string {
    return showSecretRef(ref, this.#sources.root ?? '.');
  }

  /** Where pagecast keeps a secret unless told otherwise. @param name such as `acme-page.token` */
  place(kind: 'file' | 'keyring', name: string): SecretPlace {
    return kind === 'keyring' ? { keyring: name } : { file: join(this.#folder ?? SECRETS_FOLDER, name) };
  }

  /** What is wrong with a text that is to be kept as a secret; null when nothing is. */
  fault(text: string): string | null {
    try {
      usable(text, 'This', '');
      return null;
    } catch (error) {
      return (error as Failure).message;
    }
  }

  /** @throws Failure SECRET_MISSING, SECRET_UNUSABLE, KEYRING_UNAVAILABLE */
  async read(ref: SecretRef): Promise<string> {
    if ('env' in ref) {
      const value = requireVariable(ref.env, this.#sources.env);
      return usable(value, `The environment variable ${ref.env}`, 'Set it to the secret alone.');
    }
    if ('file' in ref) return this.#readFile(ref.file);
    const subject = `The entry ${ref.keyring} of the system keyring`;
    const hint = 'Store it: pagecast account add NAME --replace, with the name of the account.';
    const secret = await this.#keyring(ref.keyring, (entry, signal) => entry.getPassword(signal));
    if (secret === null) throw new Failure('SECRET_MISSING', `${subject} is not there.`, hint);
    return usable(secret, subject, hint);
  }

  /** Whether something is kept there already. @throws Failure KEYRING_UNAVAILABLE */
  async holds(ref: SecretRef): Promise<boolean> {
    if ('env' in ref) return this.#sources.env[ref.env] !== undefined;
    if ('file' in ref) return (await status(ref.file)) !== null;
    return (await this.#keyring(ref.keyring, (entry, signal) => entry.getPassword(signal))) !== null;
  }

  /**
   * Keeps a secret: a file with mode 0600, or an entry of the keyring.
   * @throws Failure SECRET_EXISTS unless `replace`, SECRET_UNUSABLE, FILE_UNWRITABLE, KEYRING_UNAVAILABLE
   */
  async keep(ref: SecretPlace, text: string, replace: boolean): Promise<void> {
    const secret = usable(text, 'What is to be kept as a secret', 'Give the secret alone.');
    if (!replace && (await this.holds(ref))) {
      const what = 'file' in ref ? `The file ${ref.file}` : `The entry ${ref.keyring} of the system keyring`;
      const hint = 'Choose another place, or pass --replace to overwrite it.';
      throw new Failure('SECRET_EXISTS', `${what} is there already.`, hint);
    }
    if ('file' in ref) await this.#keepFile(ref.file, secret);
    else await this.#keyring(ref.keyring, (entry, signal) => entry.setPassword(secret, signal));
  }

  /** Whether pagecast can have put it there, and may put another in its place. */
  isKept(ref: SecretRef): ref is SecretPlace {
    return 'keyring' in ref || ('file' in ref && dirname(ref.file) === this.#folder);
  }

  /**
   * Whether pagecast put it there for this workspace, as far as its place tells. The keyring belongs to all workspaces of a
   * user: an entry under another name than pagecast gives by itself may be somebody else's as well.
   * @param name as for `place`
   */
  isOwn(ref: SecretRef, name: string): ref is SecretPlace {
    return this.isKept(ref) && (!('keyring' in ref) || ref.keyring === name);
  }

  /** @returns whether there was one @throws Failure FILE_UNWRITABLE, KEYRING_UNAVAILABLE */
  async remove(ref: SecretPlace): Promise<boolean> {
    if ('keyring' in ref) return this.#keyring(ref.keyring, (entry, signal) => entry.deleteCredential(signal));
    if ((await status(ref.file)) === null) return false;
    await writing(ref.file, () => rm(ref.file));
    return true;
  }

  async #readFile(path: string): Promise<string> {
    const unusable = (what: string, hint: string, code: FailureCode = 'SECRET_UNUSABLE'): Failure =>
      new Failure(code, `The secret file ${path} ${what}.`, hint);
    const elsewhere = 'Keep the secret in a file of your own, or in an environment variable (env:NAME).';
    let file;
    try {
      // Without O_NONBLOCK a pipe would keep the command waiting for ever. Windows has no such flag.
      file = await open(path, constants.O_RDONLY | ((constants.O_NONBLOCK as number | undefined) ?? 0));
    } catch (error) {
      const { code = 'unknown error' } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw unusable(`cannot be read (${code})`, elsewhere);
      const write = `(umask 077; mkdir -p ${quoted(dirname(path))}; cat > ${quoted(path)}), then paste the secret and press Enter and Ctrl-D.`;
      throw unusable('is not there', `Write it: ${write}`, 'SECRET_MISSING');
    }
    try {
      const { uid } = this.#sources;
      const stats = await file.stat();
      if (!stats.isFile()) throw unusable('is not a regular file', elsewhere);
      if (uid !== undefined && stats.uid !== uid) throw unusable('belongs to another user', elsewhere);
      if (uid !== undefined && (stats.mode & 0o077) !== 0) {
        const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
        throw unusable(`can be reached by other users (mode ${mode})`, `chmod 600 ${quoted(path)}`);
      }
      if (stats.size > MAX_BYTES) throw unusable(`is larger than ${MAX_BYTES} bytes`, elsewhere);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
      return usable(
        buffer.toString('utf8', 0, bytesRead),
        `The secret file ${path}`,
        'Write the secret alone into it.',
      );
    } finally {
      await file.close();
    }
  }

  async #keepFile(path: string, secret: string): Promise<void> {
    const folder = dirname(path);
    if (folder === this.#folder) {
      await writing(folder, async () => {
        await mkdir(dirname(folder), { recursive: true });
        // The mode is for the last folder of a path only where that is made alone.
        if ((await status(folder)) === null) await mkdir(folder, { mode: 0o700 });
      });
      // The workspace may have been made by hand, without the line in its .gitignore.
      const ignore = join(folder, '.gitignore');
      if ((await status(ignore)) === null) await replaceFile(ignore, '*\n', 0o600);
    }
    await replaceFile(path, `${secret}\n`, 0o600);
  }

  /** @throws Failure KEYRING_UNAVAILABLE */
  async #keyring<T>(
    name: string,
    work: (entry: InstanceType<KeyringModule['AsyncEntry']>, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const unavailable = (what: string, cause?: unknown): Failure =>
      new Failure(
        'KEYRING_UNAVAILABLE',
        `The system keyring cannot be used: ${what}.`,
        'Unlock it if there is one. On a machine without a desktop keep the secret in a file (file:PATH) or in an environment variable (env:NAME).',
        cause,
      );
    const module = await (this.#sources.keyring ?? loadKeyring)().catch((error: unknown) => {
      throw unavailable('the package @napi-rs/keyring is not installed for this machine', error);
    });
    const over = new AbortController();
    const late = this.#sources.clock.sleep(KEYRING_LIMIT_MS, over.signal).then(() => {
      throw unavailable(`it has not answered for ${KEYRING_LIMIT_MS / 1000} seconds`);
    });
    try {
      // Only a Secret Service keeps entries: the kernel's keyring, which would be taken next, forgets them within days.
      const entry = new module.AsyncEntry(KEYRING_SERVICE, name, { linux: { store: 'secret-service' } });
      return await Promise.race([work(entry, over.signal), late]);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw unavailable(keyringWords(error), error);
    } finally {
      over.abort();
      late.catch(() => undefined);
    }
  }
}

async function loadKeyring(): Promise<KeyringModule> {
  return import('@napi-rs/keyring');
}

/** The words of the keyring hold the name of the service that failed, and nothing of the entry. */
function keyringWords(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return words
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
    .replace(/[.\s]+$/, '')
    .slice(0, 200);
}

async function status(path: string): Promise<Stats | null> {
  return lstat(path).catch(() => null);
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
