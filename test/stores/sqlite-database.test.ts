import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import { dueAt } from '../../src/core/schedule.js';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteStore } from '../../src/stores/sqlite.js';
import { openStore } from '../../src/stores/open.js';
import {
  approval,
  collect,
  failureOf,
  living,
  newCampaign,
  openLedger,
  readyCampaign,
  rows,
  temporaryFolder,
  user,
} from '../support/fixtures.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

function raw(path: string, work: (connection: Database.Database) => void): void {
  const connection = new Database(path);
  try {
    work(connection);
  } finally {
    connection.close();
  }
}

/** A store's file that was closed properly. */
function closedStore(rowCount = 0): string {
  const path = join(temporaryFolder(), 'pagecast.db');
  const file = new SqliteDatabase(path);
  file.connection.exec(`CREATE TABLE filler (text TEXT)`);
  const insert = file.connection.prepare(`INSERT INTO filler VALUES (?)`);
  for (let count = 0; count < rowCount; count += 1) insert.run('x'.repeat(500));
  file.connection.close();
  return path;
}

function opening(path: string): () => string {
  return () => {
    new SqliteDatabase(path).connection.close();
    return 'opened';
  };
}

/** Root may write anywhere, so it steps down while it tries. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid!(65534);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

describe('opening', () => {
  it('makes the folders and the file, and finds them again', async () => {
    const folder = temporaryFolder();
    for (const made of [false, true]) {
      const { store } = await openStore('sqlite:deep/down/pagecast.db', folder, living);
      if (!made) await store.recordOpeners('page', [{ userId: user(1), openedAt: 1, opener: 'ad' }]);
      expect(await collect(store.people('page'))).toEqual([user(1)]);
      await store.close();
    }
  });

  it('writes to the disk before it says that something is written', () => {
    const file = new SqliteDatabase(join(temporaryFolder(), 'pagecast.db'));
    onTestFinished(() => void file.connection.close());
    const setting = (name: string): unknown => file.connection.pragma(name, { simple: true });
    expect(setting('journal_mode')).toBe('wal');
    expect(setting('synchronous')).toBe(2);
    expect(setting('foreign_keys')).toBe(1);
  });

  it.each(['postgres://localhost/pagecast', 'sqlite:', 'sqlite', ''])('knows no store %j', async (url) => {
    expect(await failureOf(openStore(url, temporaryFolder(), living))).toBe('CONFIG_INVALID');
  });

  it.each<[string, string, (path: string) => void]>([
    ['of a newer pagecast', 'STORE_NEWER', (path) => raw(path, (db) => db.pragma('user_version = 9999'))],
    ['of another program', 'STORE_UNREADABLE', (path) => raw(path, (db) => db.pragma('application_id = 7'))],
    ['that is no database', 'STORE_UNREADABLE', (path) => writeFileSync(path, 'user_id,opened_at\n'.repeat(99))],
    [
      'with a damaged schema',
      'STORE_UNREADABLE',
      (path) => {
        const bytes = readFileSync(path);
        writeFileSync(path, bytes.fill(0xa5, 100, 4096));
      },
    ],
  ])('refuses a file %s and leaves it as it is', async (_, code, change) => {
    const path = closedStore();
    change(path);
    const before = readFileSync(path);
    expect(await failureOf(opening(path))).toBe(code);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it.each([
    ['tables', 'CREATE TABLE customers (id)'],
    ['a version', 'PRAGMA user_version = 3'],
  ])('refuses a database that has %s and is not marked as its own', async (_, sql) => {
    const path = join(temporaryFolder(), 'other.db');
    raw(path, (db) => db.exec(sql));
    expect(await failureOf(opening(path))).toBe('STORE_UNREADABLE');
  });

  it('says of a file that was cut off that it is damaged', async () => {
    const path = closedStore(200);
    truncateSync(path, statSync(path).size / 2);
    const use = (): unknown => {
      const file = new SqliteDatabase(path);
      try {
        return file.guard(() => file.connection.prepare('SELECT count(*), max(text) FROM filler').get());
      } finally {
        file.connection.close();
      }
    };
    expect(await failureOf(use)).toBe('STORE_UNREADABLE');
  });

  it.each([
    ['the file may not be written to', 0o444, 0o777],
    ['the folder may not be written to', 0o666, 0o555],
    ['the file may not be read', 0o000, 0o777],
  ])('says that %s', async (_, fileMode, folderMode) => {
    const path = closedStore();
    chmodSync(path, fileMode);
    chmodSync(dirname(path), folderMode);
    const write = async (): Promise<void> => {
      const { store } = await openStore(`sqlite:${path}`, '.', living);
      onTestFinished(() => store.close());
      await store.recordOpeners('page', [{ userId: user(1), openedAt: 1, opener: 'ad' }]);
    };
    expect(await asNobody(() => failureOf(write))).toBe('STORE_READ_ONLY');
  });

  it.each([
    ['stands where a folder should be', (folder: string) => join(folder, 'file', 'pagecast.db')],
    ['is a folder itself', (folder: string) => folder],
  ])('says so when something %s', async (_, path) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    expect(await failureOf(opening(path(folder)))).toBe('STORE_READ_ONLY');
  });

  it('names the file, says what to do, and keeps the cause', () => {
    const path = closedStore();
    writeFileSync(path, 'no database at all'.repeat(9));
    const failure = (() => {
      try {
        opening(path)();
      } catch (error) {
        if (error instanceof Failure) return error;
      }
      throw new Error('a Failure was to be thrown');
    })();
    expect(failure.message).toContain(path);
    expect(failure.hint).not.toBe('');
    expect(failure.cause).toMatchObject({ code: 'SQLITE_NOTADB' });
  });

  it('works when several processes open the same new file at once', async () => {
    const folder = temporaryFolder();
    const program = compiledOpener(folder);
    const path = join(folder, 'pagecast.db');
    const results = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const child = fork(program, [path], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
        const exit = once(child, 'exit') as Promise<[number]>;
        await once(child, 'message');
        // All have started; now all go at once.
        return { go: () => child.send('go'), exit };
      }),
    );
    for (const { go } of results) go();
    const codes = await Promise.all(results.map(async ({ exit }) => (await exit)[0]));
    expect(codes).toEqual(results.map(() => 0));
    const { store } = await openStore(`sqlite:${path}`, folder, living);
    expect(await collect(store.people('page'))).toHaveLength(results.length);
    await store.close();
  });
});

/** A program that opens a store when it is told to and writes to it; compiled here, so that no build needs to come first. */
function compiledOpener(folder: string): string {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 };
  const source = ['core', 'stores'].flatMap((part) =>
    readdirSync(join(ROOT, 'src', part))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(part, name)),
  );
  for (const file of source) {
    const target = join(folder, 'dist', file.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(ROOT, 'src', file), 'utf8'), { compilerOptions });
    writeFileSync(target, outputText);
  }
  for (const linked of ['src', 'node_modules']) symlinkSync(join(ROOT, linked), join(folder, linked));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const program = join(folder, 'opener.js');
  writeFileSync(
    program,
    `import { openStore } from './dist/stores/open.js';
     await import('better-sqlite3');
     process.once('message', async () => {
       const { store } = await openStore('sqlite:' + process.argv[2], '.', { name: 'x', mayBeAlive: () => true });
       await store.recordOpeners('page', [{ userId: String(process.pid), openedAt: 1, opener: 'ad' }]);
       await store.close();
       process.disconnect();
     });
     process.send('ready');`,
  );
  return program;
}

describe('using', () => {
  it('says that another process is writing, and goes on when it is done', async () => {
    const { store, file, path } = openLedger();
    file.connection.pragma('busy_timeout = 10');
    const other = new Database(path);
    onTestFinished(() => void other.close());
    other.exec('BEGIN IMMEDIATE');
    const write = () => failureOf(store.recordOpeners('page', []));
    expect(await write()).toBe('STORE_BUSY');
    other.exec('COMMIT');
    expect(await write()).toEqual({ notAFailure: 0 });
  });

  it('lets a plan be made while another process is writing', async () => {
    const { store, path, file } = openLedger();
    file.connection.pragma('busy_timeout = 10');
    const other = new Database(path);
    onTestFinished(() => void other.close());
    other.exec('BEGIN IMMEDIATE');
    await store.draft(newCampaign('c1'));
    await store.stage('c1', rows(3));
    expect(await collect(store.order('c1'))).toHaveLength(3);
  });

  it('waits for a while before it says so', () => {
    const { connection } = new SqliteDatabase(join(temporaryFolder(), 'pagecast.db'));
    onTestFinished(() => void connection.close());
    expect(connection.pragma('busy_timeout', { simple: true })).toBeGreaterThanOrEqual(1000);
  });

  it('says that the disk is full, keeps what was written, and goes on when there is room', async () => {
    const { store, file } = openLedger();
    await readyCampaign(store, rows(10));
    const pages = file.connection.pragma('page_count', { simple: true }) as number;
    file.connection.pragma(`max_page_count = ${pages + 1}`);
    await store.draft(newCampaign('c2'));
    await store.stage('c2', rows(2000));
    const approve = () => failureOf(store.approve('c2', approval({ digest: 'c2' })));
    expect(await approve()).toBe('STORE_FULL');
    expect((await store.campaigns()).map((one) => one.id)).toEqual(['c1']);
    expect((await store.summary('c1')).counts.total).toBe(10);
    file.connection.pragma('max_page_count = 100000');
    expect(await approve()).toEqual({ notAFailure: null });
    expect((await store.summary('c2')).counts.total).toBe(2000);
  });

  it('lets errors that are not of the database through as they are', () => {
    const { file } = openLedger();
    const mine = new TypeError('a fault in pagecast');
    expect(() =>
      file.guard(() => {
        throw mine;
      }),
    ).toThrow(mine);
  });

  it('keeps nothing of a write that throws', async () => {
    const { file, store } = openLedger();
    const write = file.write(() => {
      file.connection.exec(`INSERT INTO windows VALUES ('page', 'x', 'ad', 1)`);
      throw new RangeError('half way');
    });
    await expect(write).rejects.toThrow(RangeError);
    expect(await collect(store.people('page'))).toEqual([]);
  });

  it('works in memory as well', async () => {
    const file = new SqliteDatabase(':memory:');
    const store = new SqliteStore(file);
    await readyCampaign(store, rows(1));
    expect((await store.campaign('c1'))?.id).toBe('c1');
    await store.close();
  });
});

describe('the schema', () => {
  it('is the one that is written down', async () => {
    const { file } = openLedger();
    const version = file.connection.pragma('user_version', { simple: true }) as number;
    const statements = file.connection
      .prepare(`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name`)
      .pluck()
      .all() as string[];
    const schema = [`-- version ${version}`, ...statements.map((sql) => `${sql};`)].join('\n\n');
    await expect(`${schema}\n`).toMatchFileSnapshot('schema.sql');
  });
});

describe('a store from before there were schedules', () => {
  it('keeps every campaign and row, and lets nothing go on by itself', async () => {
    const path = join(temporaryFolder(), 'pagecast.db');
    const old = new Database(path);
    old.exec(readFileSync(new URL('../../src/stores/migrations/0001_ledger.sql', import.meta.url), 'utf8'));
    old.pragma('application_id = 1885431653');
    old.pragma('user_version = 1');
    const campaign = old.prepare(
      `INSERT INTO campaigns (id, account, account_name, template, variables, source, state, stop, digest, policy, approved_at)
       VALUES (?, 'page', 'page', '{}', '[]', '', ?, ?, ?, '', 5)`,
    );
    const stop = JSON.stringify({ cause: 'network', error: null });
    for (const [id, state] of [
      ['c1', 'finished'],
      ['c2', 'running'],
      ['c3', 'stopped'],
      ['c4', 'ready'],
    ] as const) {
      const { lastInsertRowid } = campaign.run(id, state, state === 'stopped' ? stop : null, id);
      old
        .prepare(`INSERT INTO messages (campaign, seq, user_id, "values", state, reason) VALUES (?, ?, ?, '[]', ?, ?)`)
        .run(lastInsertRowid, 1, user(1), 'skipped', 'window_closed');
    }
    old.close();

    const file = new SqliteDatabase(path);
    const store = new SqliteStore(file);
    const campaigns = await store.campaigns();
    expect(campaigns.map(({ id, state }) => `${id} ${state}`)).toEqual([
      'c4 paused',
      'c3 stopped',
      'c2 paused',
      'c1 finished',
    ]);
    expect(campaigns.map((one) => dueAt(one, Date.now()))).toEqual([null, null, null, null]);
    expect(await collect(store.messages({}))).toHaveLength(4);
    expect((await store.summary('c2')).changed).toEqual({ out: {}, in: 0 });
    expect(file.connection.pragma('foreign_key_check')).toEqual([]);
    expect(file.connection.pragma('foreign_keys', { simple: true })).toBe(1);
    await store.close();
  });
});
