import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import { dueAt } from '../../src/core/schedule.js';
import { DEFAULT_WINDOW } from '../../src/core/window.js';
import { startWebhookServer } from '../../src/inbound/webhook-server.js';
import { SqliteDatabase } from '../../src/stores/sqlite-database.js';
import { SqliteEngine } from '../../src/stores/sqlite-engine.js';
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
import { heardDelivery, newDelivery, newSingle, queueSingle, userEvent } from '../support/fixtures-inbound.js';
import { machineClock } from '../support/provider-contract.js';

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

/** The store while another process writes to it, until it is told to let go. */
async function heldByAnother(path: string): Promise<{ letGo: () => Promise<void> }> {
  const program = `
    const db = new (require('better-sqlite3'))(process.argv[1]);
    db.exec('BEGIN IMMEDIATE');
    process.once('message', () => { db.exec('COMMIT'); db.close(); process.disconnect(); });
    process.send('held');`;
  const child = spawn(process.execPath, ['-e', program, path], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill());
  const exit = once(child, 'exit');
  await once(child, 'message');
  return {
    letGo: async () => {
      child.send('let go');
      await exit;
    },
  };
}

describe('using', () => {
  it('says that another process is writing, and goes on when it is done', async () => {
    const { path } = openLedger();
    const store = new SqliteStore(new SqliteDatabase(path, 200));
    onTestFinished(() => store.close());
    const other = new Database(path);
    onTestFinished(() => void other.close());
    other.exec('BEGIN IMMEDIATE');
    const write = () => failureOf(store.recordOpeners('page', []));
    expect(await write()).toBe('STORE_BUSY');
    other.exec('COMMIT');
    expect(await write()).toEqual({ notAFailure: 0 });
  });

  it('lets a plan be made while another process is writing', async () => {
    const { store, path } = openLedger();
    const other = new Database(path);
    onTestFinished(() => void other.close());
    other.exec('BEGIN IMMEDIATE');
    await store.draft(newCampaign('c1'));
    await store.stage('c1', rows(3));
    expect(await collect(store.order('c1'))).toHaveLength(3);
  });

  it('waits for another process while all else goes on, and then writes in the order in which it was told to', async () => {
    const { store, path } = openLedger();
    const { letGo } = await heldByAnother(path);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await pause(20);
    const bodies = Array.from({ length: 20 }, (_, index) => `${index}`);
    const writes = bodies.map((body) => store.receive([newDelivery(body)]));
    expect(await Promise.race([pause(600, 'waiting'), ...writes])).toBe('waiting');
    expect(await store.backlog()).toBe(0);
    delay.disable();
    // Nanoseconds. Without anything else to do it is 5 ms and what the machine takes.
    expect(delay.max / 1e6).toBeLessThan(200);
    await letGo();
    await Promise.all(writes);
    expect((await store.received(99)).map(({ body }) => body)).toEqual(bodies);
  });

  it('has whoever calls back told in time that another process writes', async () => {
    const { store, path } = openLedger();
    const { letGo } = await heldByAnother(path);
    const server = await startWebhookServer({
      host: '127.0.0.1',
      port: 0,
      clock: machineClock,
      credentials: {
        verifyTokens: [],
        meta: [],
        cams: [{ token: 'cams-token', accounts: ['page'] }],
        twilio: [],
        flowToken: null,
        url: null,
      },
      receive: (deliveries) => store.receive(deliveries),
      onReceived: () => undefined,
      backlog: () => 0,
      call: null,
      page: () => Promise.resolve({ status: 200, type: 'text/plain', body: '' }),
      count: () => undefined,
    });
    onTestFinished(() => server.close());
    const post = async (): Promise<number> =>
      (await fetch(`${server.url}/webhooks/cams/cams-token`, { method: 'POST', body: '{}' })).status;
    const startedAt = performance.now();
    expect(await post()).toBe(503);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    await letGo();
    await expect.poll(post).toBe(200);
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

  describe('leaves nothing of what people wrote once it is heard', () => {
    const words = 'please call me at home';
    const MINUTE = 60_000;

    /** A store that another process has open too. */
    function shared() {
      const { store, file, path, as } = openLedger();
      as(living);
      const isThere = (part: '' | '-wal'): boolean => readFileSync(path + part, 'latin1').includes(words);
      return {
        store,
        file,
        path,
        isThere,
        isAnywhere: () => isThere('') || isThere('-wal'),
        receive: () => store.receive(Array.from({ length: 50 }, () => newDelivery(words.repeat(200)))),
        hear: async (now: number, limit = 50) => {
          const received = await store.received(limit);
          const events = [userEvent({ text: words })];
          await store.hear(
            received.map((delivery) => heardDelivery(delivery, { events })),
            now,
          );
        },
      };
    }

    it('in the file and in the log of recent writes, once a minute', async () => {
      const { file, isThere, isAnywhere, receive, hear } = shared();
      await receive();
      expect(isThere('-wal')).toBe(true);
      file.connection.pragma('wal_checkpoint(TRUNCATE)');
      expect(isThere('')).toBe(true);
      await hear(0, 49);
      expect(isAnywhere()).toBe(true);
      await hear(0);
      expect(isAnywhere()).toBe(false);
      await receive();
      await hear(MINUTE - 1);
      expect(isThere('-wal')).toBe(true);
      await receive();
      await hear(MINUTE);
      expect(isAnywhere()).toBe(false);
    });

    it('as soon as it is quiet', async () => {
      const { store, isAnywhere, receive, hear } = shared();
      await hear(0);
      await receive();
      await hear(1);
      await store.received(9);
      expect(isAnywhere()).toBe(true);
      await store.received(9);
      expect(isAnywhere()).toBe(false);
    });

    it('when the store closes', async () => {
      const { path, isAnywhere, receive } = shared();
      const { store } = await openStore(`sqlite:${path}`, '.', living);
      await store.hear([], 0);
      await receive();
      const received = await store.received(50);
      await store.hear(
        received.map((delivery) => heardDelivery(delivery, {})),
        1,
      );
      expect(isAnywhere()).toBe(true);
      await store.close();
      expect(isAnywhere()).toBe(false);
    });

    it('as soon as nobody else stands in the way', async () => {
      const { store, path, isAnywhere, receive, hear } = shared();
      await receive();
      const reader = new Database(path);
      onTestFinished(() => void reader.close());
      reader.exec('BEGIN; SELECT count(*) FROM deliveries');
      await hear(0);
      for (let looks = 0; looks < 3; looks += 1) expect(await store.received(9)).toEqual([]);
      expect(isAnywhere()).toBe(true);
      reader.exec('COMMIT');
      await store.received(9);
      expect(isAnywhere()).toBe(false);
    });
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

/** A store as an earlier version left it. */
function oldStore(version: number): { path: string; old: Database.Database } {
  const path = join(temporaryFolder(), 'pagecast.db');
  const old = new Database(path);
  old.pragma('synchronous = OFF');
  const folder = new URL('../../src/stores/migrations/', import.meta.url);
  const files = readdirSync(folder).sort().slice(0, version);
  for (const file of files) old.exec(readFileSync(new URL(file, folder), 'utf8'));
  old.pragma('application_id = 1885431653');
  old.pragma(`user_version = ${version}`);
  return { path, old };
}

describe('a store from before there were schedules', () => {
  it('keeps every campaign and row, and lets nothing go on by itself', async () => {
    const { path, old } = oldStore(1);
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

describe('a store from before anything came in', () => {
  const MODES = ['bulk', 'interactive'];
  const STATES = ['scheduled', 'ready', 'running', 'paused', 'stopped', 'finished', 'expired', 'cancelled'];
  const ROWS = ['queued', 'started', 'sent', 'failed', 'skipped', 'unknown'];

  /** A campaign of each mode and state with a row of each state, in each column something, and the rest of a ledger. */
  function filled(): string {
    const { path, old } = oldStore(3);
    const campaign = old.prepare(
      `INSERT INTO campaigns (id, account, account_name, template, variables, source, pace, state, stop, digest, policy, budget,
         key, recurrence, occurs_at, send_at, expires_at, zone, approved_at, started_at, active_at, finished_at, mode, outside)
       VALUES (@id, 'page', 'acme', '{}', '["name"]', 'people.csv', 2.5, @state, @stop, 'd', 'p', '{"count":1,"share":1}',
         @id, 'r', @number, 5, 6, 'UTC', 7, 8, 9, @finished, @mode, @outside)`,
    );
    const message = old.prepare(
      `INSERT INTO messages (campaign, seq, user_id, "values", state, reason, opener, closes_at, not_before, attempts, fence,
         started_at, settled_at, message_id, error, planned, outside, receipt, receipt_at, receipt_error)
       VALUES (?, ?, ?, '["Ann"]', ?, ?, 'ad', 10, 11, 12, 13, 14, 15, 'm', '{"code":"1"}', 'opted_out', 1, 'read', 16, '{}')`,
    );
    let number = 0;
    for (const mode of MODES) {
      for (const state of STATES) {
        number += 1;
        const finished = STATES.indexOf(state) >= STATES.indexOf('finished') ? 17 : null;
        const stop = state === 'stopped' ? '{"cause":"network","error":null,"at":1}' : null;
        campaign.run({
          id: `${mode} ${state}`,
          number,
          mode,
          state,
          stop,
          finished,
          outside: mode === 'bulk' ? '{}' : null,
        });
        ROWS.forEach((row, index) =>
          message.run(number, index + 1, user(index), row, row === 'skipped' ? 'window_closed' : null),
        );
        message.run(number, 99, user(0), 'skipped', 'duplicate');
        old.prepare('INSERT INTO echoes VALUES (?, 3, ?, 18)').run(number, `m_${number}`);
      }
    }
    old.exec(`INSERT INTO opt_outs VALUES ('page', '1', 19), ('other', '2', 20);
              INSERT INTO leases VALUES ('page', 21, NULL, 22, 23);
              INSERT INTO windows VALUES ('page', '1', 'ad', 24)`);
    old.close();
    return path;
  }

  const read = (path: string, sql: string): Record<string, unknown>[] => {
    let found: Record<string, unknown>[] = [];
    raw(path, (db) => (found = db.prepare(sql).all() as Record<string, unknown>[]));
    return found;
  };
  const migrated = (change = ''): { path: string; before: (sql: string) => Record<string, unknown>[] } => {
    const path = filled();
    raw(path, (db) => db.exec(change));
    const copy = `${path}.before`;
    copyFileSync(path, copy);
    const { connection } = new SqliteDatabase(path);
    expect(connection.pragma('foreign_key_check')).toEqual([]);
    connection.close();
    return { path, before: (sql) => read(copy, sql) };
  };

  it('keeps everything but the single messages that had not ended', () => {
    const { path, before } = migrated();
    const added = { flow: null, quiet: null, continuous: null };
    const campaigns = `SELECT * FROM campaigns WHERE mode = 'bulk' OR state IN ('finished', 'expired')
      OR (state = 'cancelled' AND finished_at = 17) ORDER BY number`;
    const kept = before(campaigns);
    expect(kept).toHaveLength(STATES.length + 3);
    expect(read(path, campaigns)).toEqual(kept.map((campaign) => ({ ...campaign, ...added })));
    const messages = (ids: string) => `SELECT * FROM messages WHERE campaign IN (${ids}) ORDER BY campaign, seq`;
    const ids = kept.map(({ number }) => number).join();
    expect(read(path, messages(ids))).toEqual(
      before(messages(ids)).map((row) => ({ ...row, occasion: '', answers_at: null, added_at: null })),
    );
    for (const table of ['echoes', 'windows']) {
      expect(read(path, `SELECT * FROM ${table}`)).toEqual(before(`SELECT * FROM ${table}`));
    }
    expect(read(path, 'SELECT * FROM leases')).toEqual([{ ...before('SELECT * FROM leases')[0], taken: null }]);
    expect(read(path, 'SELECT * FROM opt_outs ORDER BY since')).toEqual([
      { account: 'page', user_id: '1', since: 19, source: 'service', back_at: null },
      { account: 'other', user_id: '2', since: 20, source: 'service', back_at: null },
    ]);
  });

  it('cancels single messages that had not ended: what waits is left out, what is under way stays so', () => {
    const { path } = migrated();
    const cancelled = read(
      path,
      `SELECT id, stop, finished_at FROM campaigns WHERE state = 'cancelled' AND mode = 'interactive' AND finished_at <> 17`,
    );
    expect(cancelled.map(({ id }) => id)).toEqual(STATES.slice(0, 5).map((state) => `interactive ${state}`));
    for (const { id, stop, finished_at: finishedAt } of cancelled) {
      expect(stop).toBeNull();
      expect(Math.abs(Number(finishedAt) - Date.now())).toBeLessThan(60_000);
      const rows = read(
        path,
        `SELECT m.state, m.reason FROM messages m
         JOIN campaigns c ON c.number = m.campaign WHERE c.id = '${String(id)}' AND seq < 99 ORDER BY seq`,
      );
      expect(rows.map(({ state, reason }) => `${String(state)} ${String(reason)}`)).toEqual([
        'skipped cancelled',
        ...ROWS.slice(1).map((state) => `${state} ${state === 'skipped' ? 'window_closed' : 'null'}`),
      ]);
    }
  });

  it('settles what was unknown though its echo had come', () => {
    const { path, before } = migrated(`INSERT INTO echoes VALUES (1, 6, 'm_echo', 18), (2, 2, 'm_started', 18)`);
    const changed = `SELECT * FROM messages WHERE state = 'unknown' OR message_id = 'm_echo' ORDER BY campaign, seq`;
    const [settled, ...unknown] = read(path, changed);
    const [was, ...others] = before(changed);
    expect(settled).toMatchObject({
      ...was,
      state: 'sent',
      message_id: 'm_echo',
      error: null,
      settled_at: expect.any(Number) as unknown,
    });
    expect(Math.abs(Number(settled!['settled_at']) - Date.now())).toBeLessThan(60_000);
    expect(unknown).toMatchObject(others);
    // What is under way is settled by whoever takes the account.
    expect(read(path, 'SELECT state FROM messages WHERE campaign = 2 AND seq = 2')).toEqual([{ state: 'started' }]);
  });

  it('goes on as any other', async () => {
    const { path } = migrated();
    const file = new SqliteDatabase(path);
    const store = new SqliteStore(file);
    onTestFinished(() => store.close());
    const open = (await store.openCampaigns('page')).map(({ id }) => id);
    expect(open).toEqual(STATES.slice(0, 5).map((state) => `bulk ${state}`));
    expect(await store.standings('page', ['1'], DEFAULT_WINDOW)).toMatchObject([{ optedOutAt: 19 }]);
    expect(await queueSingle(store, newSingle('e1', { campaign: { account: 'page' } }))).toMatchObject({ seq: 1 });
    // Whoever had the account last may have been of the version before, which did not tell.
    const engine = new SqliteEngine(file, living);
    expect(await engine.own('page', 22)).toMatchObject({ freeAt: 23, taken: Infinity });
  });
});
