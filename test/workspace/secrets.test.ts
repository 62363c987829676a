/** Secrets from the environment, from real files with real modes, and from a keyring. */
import { execFileSync, spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import {
  parseSecretRef,
  Secrets,
  type KeyringModule,
  type SecretRef,
  type SecretSources,
} from '../../src/workspace/secrets.js';
import { FakeClock } from '../support/fake-clock.js';
import { machineClock } from '../support/provider-contract.js';

const TOKEN = 'EAABsbCS1iHgBAExample0secret';
const OTHER = '0123456789abcdef0123456789abcdef';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pagecast-secrets-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function secrets(sources: Partial<SecretSources> = {}): Secrets {
  return new Secrets({ env: {}, uid: process.getuid?.(), clock: machineClock, root, ...sources });
}

async function refused(work: Promise<unknown>): Promise<Failure> {
  const failure = await work.then(
    () => null,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Failure);
  expect((failure as Failure).status).toBe(2);
  return failure as Failure;
}

describe('where a secret is', () => {
  it.each<[text: string, ref: SecretRef | null]>([
    ['env:ACME_TOKEN', { env: 'ACME_TOKEN' }],
    ['file:keys/acme token.txt', { file: 'keys/acme token.txt' }],
    ['file:/run/secrets/acme', { file: '/run/secrets/acme' }],
    ['keyring:acme-page.token', { keyring: 'acme-page.token' }],
    ['ACME_TOKEN', null],
    ['env:', null],
    ['env:1A', null],
    ['env:ACME-TOKEN', null],
    ['file:', null],
    ['file:a\nb', null],
    ['keyring:a/b', null],
    ['Env:A', null],
    // What is in the place of a name is the secret itself.
    [TOKEN, null],
    [`env:${TOKEN}`, null],
    [`file:keys/${TOKEN}`, null],
    [`keyring:${OTHER}`, null],
    [`env:AC${OTHER}`, null],
    ['env:LTAI5tExampleKeyId00', null],
  ])('%j', (text, ref) => {
    expect(parseSecretRef(text)).toEqual(ref);
    const absolute = secrets().ref(text);
    expect(absolute && secrets().show(absolute)).toBe(ref && text);
  });
});

describe('the environment', () => {
  it('gives the variable without spaces around it', async () => {
    expect(await secrets({ env: { T: ` ${TOKEN}\n` } }).read({ env: 'T' })).toBe(TOKEN);
  });

  it.each([
    ['is not set', {}, 'SECRET_MISSING'],
    ['is empty', { T: '' }, 'SECRET_MISSING'],
    ['is empty', { T: ' ' }, 'SECRET_MISSING'],
    ['holds no secret', { T: `${TOKEN} ${TOKEN}` }, 'SECRET_UNUSABLE'],
    ['holds no secret', { T: 'x'.repeat(5000) }, 'SECRET_UNUSABLE'],
  ])('%s: %#', async (says, env, code) => {
    const failure = await refused(secrets({ env }).read({ env: 'T' }));
    expect(failure).toMatchObject({ code, message: expect.stringContaining(says) as string });
    expect(failure.message).toContain('variable T');
    expect(`${failure.message} ${failure.hint}`).not.toContain(TOKEN);
  });
});

describe('a file', () => {
  async function file(content: string | Buffer, mode = 0o600): Promise<{ file: string }> {
    const path = join(root, 'token');
    await writeFile(path, content);
    await chmod(path, mode);
    return { file: path };
  }

  it.each([
    ['0600', `${TOKEN}\n`, 0o600],
    ['0400', TOKEN, 0o400],
    ['0600 with the line end of Windows', `${TOKEN}\r\n`, 0o600],
  ])('of mode %s is read', async (_, content, mode) => {
    expect(await secrets().read(await file(content, mode))).toBe(TOKEN);
  });

  it.each([0o640, 0o604, 0o660, 0o622, 0o644, 0o601])(
    'of mode %o is refused, with the way to mend it',
    async (mode) => {
      const ref = await file(TOKEN, mode);
      const failure = await refused(secrets().read(ref));
      expect(failure).toMatchObject({ code: 'SECRET_UNUSABLE', hint: `chmod 600 ${ref.file}` });
      expect(failure.message).toContain(`mode 0${mode.toString(8)}`);
      execFileSync('sh', ['-c', failure.hint]);
      expect(await secrets().read(ref)).toBe(TOKEN);
    },
  );

  it.each([
    ['is empty', '\n', 'SECRET_MISSING'],
    ['holds no secret', `token: ${TOKEN}\n`, 'SECRET_UNUSABLE'],
    ['holds no secret', `${TOKEN}\n${TOKEN}\n`, 'SECRET_UNUSABLE'],
    ['holds no secret', Buffer.from([0xff, 0xfe, 0x41, 0x00]), 'SECRET_UNUSABLE'],
    ['is larger than', TOKEN.repeat(200), 'SECRET_UNUSABLE'],
  ])('that %s is refused: %#', async (says, content, code) => {
    const failure = await refused(secrets().read(await file(content)));
    expect(failure).toMatchObject({ code, message: expect.stringContaining(says) as string });
    expect(`${failure.message} ${failure.hint}`).not.toContain(TOKEN);
  });

  it('that is not there is told with the way to write it', async () => {
    const path = join(root, "it's a token");
    const failure = await refused(secrets().read({ file: path }));
    expect(failure).toMatchObject({ code: 'SECRET_MISSING', message: expect.stringContaining(path) as string });
    const [command] = /\(umask .*?\)(?=,)/.exec(failure.hint) ?? [''];
    execFileSync('sh', ['-c', command], { input: `${TOKEN}\n` });
    expect(await secrets().read({ file: path })).toBe(TOKEN);
  });

  it('must be a regular one; a link to one is', async () => {
    expect((await refused(secrets().read({ file: root }))).message).toContain('is not a regular file');
    const pipe = join(root, 'pipe');
    execFileSync('mkfifo', ['-m', '600', pipe]);
    expect((await refused(secrets().read({ file: pipe }))).message).toContain('is not a regular file');
    const { file: path } = await file(TOKEN);
    await symlink(path, join(root, 'link'));
    expect(await secrets().read({ file: join(root, 'link') })).toBe(TOKEN);
    await chmod(path, 0o644);
    await refused(secrets().read({ file: join(root, 'link') }));
  });

  it.skipIf(process.getuid?.() !== 0)('must belong to whoever reads it', async () => {
    const ref = await file(TOKEN);
    await chown(ref.file, 65_534, 65_534);
    expect((await refused(secrets().read(ref))).message).toContain('belongs to another user');
  });
});

describe('keeping a secret in a file', () => {
  const folder = (): string => join(root, '.pagecast/secrets');
  const ref = (): { file: string } => ({ file: join(folder(), 'acme.token') });

  it('makes it 0600 in a folder that is 0700 and never committed, whatever the umask says', async () => {
    const before = process.umask(0);
    try {
      await secrets().keep(ref(), `${TOKEN}\n`, false);
    } finally {
      process.umask(before);
    }
    expect((await stat(ref().file)).mode & 0o777).toBe(0o600);
    expect((await stat(folder())).mode & 0o777).toBe(0o700);
    expect(await readFile(join(folder(), '.gitignore'), 'utf8')).toBe('*\n');
    expect((await readdir(folder())).sort()).toEqual(['.gitignore', 'acme.token']);
    expect(await secrets().read(ref())).toBe(TOKEN);
  });

  it('overwrites one only when told', async () => {
    await secrets().keep(ref(), TOKEN, false);
    const failure = await refused(secrets().keep(ref(), OTHER, false));
    expect(failure.code).toBe('SECRET_EXISTS');
    expect(await secrets().read(ref())).toBe(TOKEN);
    await secrets().keep(ref(), OTHER, true);
    expect(await secrets().read(ref())).toBe(OTHER);
  });

  it('goes to another folder only if it is there', async () => {
    await refused(secrets().keep({ file: join(root, 'keys', 'acme') }, TOKEN, false));
    await mkdir(join(root, 'keys'));
    await secrets().keep({ file: join(root, 'keys', 'acme') }, TOKEN, false);
    expect(await readdir(join(root, 'keys'))).toEqual(['acme']);
  });

  it('refuses what is no secret, and does not repeat it', async () => {
    const failure = await refused(secrets().keep(ref(), `${TOKEN} ${TOKEN}`, false));
    expect(failure.code).toBe('SECRET_UNUSABLE');
    expect(`${failure.message} ${String(failure.stack)}`).not.toContain(TOKEN);
  });

  it('is undone by removing it, and only what lies in that folder is pagecast’s own', async () => {
    await secrets().keep(ref(), TOKEN, false);
    expect(secrets().isOwn(ref(), 'acme.token')).toBe(true);
    expect(secrets().isOwn(ref(), 'other.token')).toBe(true);
    expect(secrets().isOwn({ file: join(root, 'acme.token') }, 'acme.token')).toBe(false);
    expect(secrets().isOwn({ env: 'T' }, 'T')).toBe(false);
    expect(secrets().isOwn({ keyring: 'acme.token' }, 'acme.token')).toBe(true);
    // The keyring is that of all workspaces of a user.
    expect(secrets().isOwn({ keyring: 'acme.token' }, 'other.token')).toBe(false);
    expect(await secrets().remove(ref())).toBe(true);
    expect(await secrets().remove(ref())).toBe(false);
  });
});

describe('the keyring, where there is none', () => {
  it.each<[what: string, keyring: () => Promise<KeyringModule>, says: RegExp]>([
    ['is not installed', () => Promise.reject(new Error('Cannot find module')), /package .* is not installed/],
    [
      'has no service',
      () => Promise.resolve({ AsyncEntry: FailingEntry }),
      /cannot be used: no result found for this session\.$/,
    ],
  ])('%s', async (_, keyring, says) => {
    const failure = await refused(secrets({ keyring }).read({ keyring: 'acme' }));
    expect(failure.code).toBe('KEYRING_UNAVAILABLE');
    expect(failure.message).toMatch(says);
    expect(failure.hint).toMatch(/file:PATH.*env:NAME/);
  });

  it('does not wait for ever for one that does not answer', async () => {
    const clock = new FakeClock(0);
    const failure = await refused(
      secrets({ clock, keyring: () => Promise.resolve({ AsyncEntry: SilentEntry }) }).read({ keyring: 'acme' }),
    );
    expect(failure.message).toContain('has not answered for 60 seconds');
  });
});

const HAS_KEYRING = ['dbus-daemon', 'gnome-keyring-daemon'].every(
  (program) => spawnSync(program, ['--version']).status === 0,
);

class SilentEntry {
  getPassword = (): Promise<string | null> => new Promise(() => undefined);
  setPassword = (): Promise<void> => new Promise(() => undefined);
  deleteCredential = (): Promise<boolean> => new Promise(() => undefined);
}

class FailingEntry extends SilentEntry {
  constructor() {
    super();
    throw new Error('no result found\n for this session.');
  }
}

describe('the real keyring', () => {
  it.skipIf(!HAS_KEYRING)('keeps, reads, replaces and removes an entry', async () => {
    await session();
    const ref = { keyring: 'acme.token' };
    const keyring = secrets();
    expect((await refused(keyring.read(ref))).code).toBe('SECRET_MISSING');
    await keyring.keep(ref, TOKEN, false);
    expect(await keyring.read(ref)).toBe(TOKEN);
    expect((await refused(keyring.keep(ref, OTHER, false))).code).toBe('SECRET_EXISTS');
    await keyring.keep(ref, OTHER, true);
    expect(await keyring.read(ref)).toBe(OTHER);
    expect(await keyring.remove(ref)).toBe(true);
    expect(await keyring.remove(ref)).toBe(false);
  });
});

/** Starts a session of its own, with an unlocked keyring that lives in a folder of the test. */
async function session(): Promise<void> {
  const env = { PATH: process.env['PATH'], HOME: root };
  const bus = spawn('dbus-daemon', ['--session', '--nofork', '--print-address'], { env });
  onTestFinished(() => void bus.kill());
  const address = await firstWords(bus);
  vi.stubEnv('DBUS_SESSION_BUS_ADDRESS', address);
  onTestFinished(() => void vi.unstubAllEnvs());
  const keyring = spawn('gnome-keyring-daemon', ['--unlock', '--foreground', '--components=secrets'], {
    env: { ...env, DBUS_SESSION_BUS_ADDRESS: address },
  });
  onTestFinished(() => void keyring.kill());
  keyring.stdin.end('password');
  await firstWords(keyring);
}

/** What a program says when it is ready. */
function firstWords(program: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve) => program.stdout.once('data', (words: Buffer) => resolve(words.toString().trim())));
}
