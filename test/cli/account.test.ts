/** `pagecast account`, through the whole program: real files and modes, and sandboxes that answer like the platform. */
import { chmod, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { inside, type Inside } from '../support/process-inside.js';
import { testSandbox } from '../support/sandbox-harness.js';
import { personId, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

const TOKEN = 'EAABsbCS1iHgBAExample0secret';
const SECRET = '0123456789abcdef0123456789abcdef';
const PAGE_ID = '102938475601928';
const START = '# mine\nwindow:   { hours: 20 }\n';

let workspace: TestWorkspace;
beforeEach(async () => {
  workspace = await testWorkspace(START);
});

const account = <T = Record<string, unknown>>(args: string[], env: Record<string, string> = {}): Promise<Inside<T>> =>
  inside<T>(workspace, ['account', ...args], env);

/** With something piped in. @param first done before any of it comes */
async function piped<T = Record<string, unknown>>(
  input: string,
  args: string[],
  first: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Inside<T>> {
  const chunks = async function* (): AsyncGenerator<Buffer> {
    await first();
    yield Buffer.from(input);
  };
  const stdin = vi.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from(chunks()) as never);
  try {
    return await account<T>(args);
  } finally {
    stdin.mockRestore();
  }
}

const yaml = (): Promise<string> => readFile(workspace.path('pagecast.yaml'), 'utf8');
const stored = (name: string): string => workspace.path(`.pagecast/secrets/${name}`);

/** A sandbox that a graph account of this workspace sends to. */
async function platform(page: NonNullable<SeedInput['page']> = {}): Promise<string> {
  const { sandbox } = await testSandbox({ page: { id: PAGE_ID, token: TOKEN, ...page } });
  return sandbox.url;
}

function page(url: string, token = 'env:T'): string {
  return `  acme: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: ${token}, url: "${url}" }\n`;
}

const SMS = '{ provider: twilio, channel: sms, id: "+15550001111", accountSid: env:SID, authToken: env:AUTH }';
const GRAPH = ['--provider', 'graph', '--channel', 'messenger', '--id', PAGE_ID];

describe('account add, from flags', () => {
  it.each<[provider: string, flags: string[], entry: string]>([
    [
      'graph',
      [
        '--channel',
        'instagram',
        '--id',
        PAGE_ID,
        '--instagram-id',
        '17841400455970123',
        '--token',
        'file:keys/t',
        '--app-secret',
        'keyring:acme',
        '--version',
        'v26.0',
        '--batch',
        '20',
        '--pace',
        '20/s',
        '--url',
        'https://graph.facebook.com',
      ],
      `channel: instagram\n    id: "${PAGE_ID}"\n    instagramId: "17841400455970123"\n    token: file:keys/t\n    appSecret: keyring:acme\n    url: https://graph.facebook.com\n    version: v26.0\n    batch: 20\n    pace: 20/s`,
    ],
    [
      'cams',
      [
        '--channel',
        'messenger',
        '--id',
        PAGE_ID,
        '--space-id',
        'cams-8c8x',
        '--access-key-id',
        'env:A',
        '--access-key-secret',
        'env:B',
        '--callback-token',
        'env:C',
      ],
      `channel: messenger\n    id: "${PAGE_ID}"\n    spaceId: cams-8c8x\n    accessKeyId: env:A\n    accessKeySecret: env:B\n    callbackToken: env:C`,
    ],
    [
      'twilio',
      ['--id', '+15550001111', '--account-sid', 'env:A', '--auth-token', 'env:B'],
      `channel: sms\n    id: "+15550001111"\n    accountSid: env:A\n    authToken: env:B`,
    ],
    [
      'sandbox',
      ['--channel', 'messenger', '--id', PAGE_ID, '--app-secret', 'env:S'],
      `channel: messenger\n    id: "${PAGE_ID}"\n    appSecret: env:S`,
    ],
  ])('%s', async (provider, flags, entry) => {
    const { status, stdout, stderr } = await account(['add', 'acme', '--provider', provider, ...flags]);
    expect(status, stderr).toBe(0);
    expect(stdout).toBe('acme\n');
    expect(await yaml()).toBe(`${START}accounts:\n  acme:\n    provider: ${provider}\n    ${entry}\n`);
    expect((await inside(workspace, ['account', 'list'])).stdout).toContain('acme');
  });

  it('says in one document what was done', async () => {
    const { json } = await account(['add', 'acme', ...GRAPH, '--token', 'env:T', '--json']);
    expect(json).toEqual({
      account: 'acme',
      file: workspace.path('pagecast.yaml'),
      done: 'added',
      entry: { provider: 'graph', channel: 'messenger', id: PAGE_ID, token: 'env:T' },
      stored: [],
      missingSecrets: ['env:T'],
      verified: null,
    });
  });

  it.each<[what: string, args: string[], code: string, says: RegExp]>([
    ['nothing', [], 'ANSWER_NEEDED', /the name of the account, --provider, --channel, --id/],
    [
      'a provider',
      ['acme', '--provider', 'cams'],
      'ANSWER_NEEDED',
      /--channel, --id, --space-id, --access-key-id, --access-key-secret\./,
    ],
    ['all but the token', ['acme', ...GRAPH], 'ANSWER_NEEDED', /Pass --token\./],
    ['an id that is none', ['acme', ...GRAPH.slice(0, -1), '12', '--token', 'env:T'], 'USAGE', /--id must be/],
    [
      'an id of another channel',
      ['acme', ...GRAPH.slice(0, -1), '+15550001111', '--token', 'env:T'],
      'USAGE',
      /--id must be the digits of the Page/,
    ],
    [
      'an unknown provider',
      ['acme', '--provider', 'meta', '--channel', 'sms', '--id', '1'],
      'USAGE',
      /--provider must be one of graph, cams/,
    ],
    [
      'an option of another provider',
      ['acme', ...GRAPH, '--token', 'env:T', '--space-id', 'x'],
      'USAGE',
      /--space-id does not go with the provider graph/,
    ],
    [
      'the id of an Instagram account for Messenger',
      ['acme', ...GRAPH, '--token', 'env:T', '--instagram-id', '17841400455970123'],
      'USAGE',
      /--instagram-id must not be given without the channel instagram/,
    ],
    [
      'a batch that is too large',
      ['acme', ...GRAPH, '--token', 'env:T', '--batch', '51'],
      'USAGE',
      /--batch must be .* from 1 to 50/,
    ],
    [
      'a version that is none',
      ['acme', ...GRAPH, '--token', 'env:T', '--version', '26'],
      'USAGE',
      /--version must be a version/,
    ],
    [
      'a pace that Messenger punishes',
      ['acme', ...GRAPH, '--token', 'env:T', '--pace', '50/s'],
      'USAGE',
      /--pace must be at most 40/,
    ],
    [
      'a name that means something else',
      ['auto', ...GRAPH, '--token', 'env:T'],
      'USAGE',
      /The name of the account must not/,
    ],
  ])('refuses %s', async (_, args, code, says) => {
    const { status, error, stdout } = await account(['add', ...args, '--json']);
    expect({ status, code: error?.code }).toEqual({ status: 2, code });
    expect(`${error?.message} ${error?.hint}`).toMatch(says);
    expect(stdout).toBe('');
    expect(await yaml()).toBe(START);
  });

  it('refuses a name that is taken, and no workspace', async () => {
    await workspace.write('pagecast.yaml', `accounts:\n  acme: ${SMS}\n`);
    const taken = await account(['add', 'acme', ...GRAPH, '--token', 'env:T', '--json']);
    expect(taken.error).toMatchObject({ code: 'ACCOUNT_EXISTS', hint: expect.stringContaining('--replace') as string });
    const nowhere = await inside(await testWorkspace(), ['account', 'add', 'acme', '--json']);
    expect(nowhere.error).toMatchObject({ code: 'WORKSPACE_MISSING', hint: 'Make one: pagecast init' });
    expect(nowhere.status).toBe(2);
  });

  const places = ['--token', '--app-secret', '--access-key-id', '--access-key-secret', '--callback-token'];
  it.each([...places, '--account-sid', '--auth-token'])(
    'takes no secret as %s, and does not repeat it',
    async (flag) => {
      for (const given of [TOKEN, `env:${TOKEN}`, `file:${SECRET}`, SECRET, 'hunter2']) {
        const { status, stdout, stderr, error } = await account(['add', 'acme', flag, given, '--json']);
        expect({ status, code: error?.code }).toEqual({ status: 2, code: 'USAGE' });
        expect(error?.message).toContain(`${flag} takes the place of a secret`);
        expect(error?.hint).toContain('--secrets-stdin');
        expect(stdout + stderr).not.toContain(given);
      }
    },
  );
});

/** Every file of the workspace that holds one of the secrets. */
async function filesWithSecrets(): Promise<string[]> {
  const names = await readdir(workspace.folder, { recursive: true, withFileTypes: true });
  const found: string[] = [];
  for (const entry of names.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, 'latin1');
    if (text.includes(TOKEN) || text.includes(SECRET)) found.push(path);
  }
  return found.sort();
}

describe('account add, with secrets that are piped in', () => {
  it('stores them in files that only the owner can read, and nowhere else', async () => {
    const url = await platform({ secret: SECRET });
    const args = ['add', 'acme', ...GRAPH, '--url', url, '--secrets-stdin', '--verify'];
    const { status, stdout, stderr } = await piped(`token=${TOKEN}\r\n\napp-secret = ${SECRET}`, args);
    expect(status, stderr).toBe(0);
    expect(stdout + stderr).not.toMatch(new RegExp(`${TOKEN}|${SECRET}`));
    expect(stderr).toContain('ok   token: The token is accepted.');
    expect(await filesWithSecrets()).toEqual([stored('acme.app-secret'), stored('acme.token')]);
    for (const file of await filesWithSecrets()) expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await yaml()).toContain('token: file:.pagecast/secrets/acme.token\n');
    expect((await account(['verify', 'acme'])).status).toBe(0);
  });

  it('stores them where a flag says', async () => {
    await mkdir(workspace.path('keys'));
    const { json } = await piped(`token=${TOKEN}`, [
      'add',
      'acme',
      ...GRAPH,
      '--token',
      'file:keys/acme',
      '--secrets-stdin',
      '--json',
    ]);
    expect(json).toMatchObject({ stored: ['file:keys/acme'], missingSecrets: [] });
    expect(await filesWithSecrets()).toEqual([workspace.path('keys/acme')]);
  });

  it('keeps the account although its token is refused, and says so in the exit status', async () => {
    const args = [
      'add',
      'acme',
      ...GRAPH,
      '--url',
      await platform({ token: 'another' }),
      '--secrets-stdin',
      '--verify',
    ];
    const { status, stderr } = await piped(`token=${TOKEN}`, args);
    expect(status).toBe(4);
    expect(stderr).toContain('FAIL token:');
    expect(stderr).not.toContain(TOKEN);
    expect(await yaml()).toContain('  acme:\n');
  });

  it.each([
    ['nothing', ''],
    ['the secret alone', TOKEN],
    ['a secret that ends in =', `${TOKEN}==`],
    ['a secret that the provider does not have', `token=${TOKEN}\n${SECRET}=x`],
    ['the same twice', `token=${TOKEN}\ntoken=${SECRET}`],
    ['no secret', `token=${TOKEN} ${SECRET}`],
    ['far too much', `token=${TOKEN.repeat(4000)}`],
  ])('refuses %s, repeats nothing and writes nothing', async (_, input) => {
    const { status, stdout, stderr } = await piped(input, ['add', 'acme', ...GRAPH, '--secrets-stdin', '--json']);
    expect(status).toBe(2);
    expect(stdout + stderr).not.toMatch(new RegExp(`${TOKEN}|${SECRET}`));
    expect(await yaml()).toBe(START);
    expect(await filesWithSecrets()).toEqual([]);
  });

  it('refuses to store into a variable', async () => {
    const { error } = await piped(`token=${TOKEN}`, [
      'add',
      'acme',
      ...GRAPH,
      '--token',
      'env:T',
      '--secrets-stdin',
      '--json',
    ]);
    expect(error).toMatchObject({
      code: 'USAGE',
      hint: expect.stringContaining('--token with file:PATH or keyring:NAME') as string,
    });
  });

  it('overwrites a stored secret only when told, and takes back what it stored when the rest cannot be', async () => {
    await piped(`token=${TOKEN}`, ['add', 'acme', ...GRAPH, '--secrets-stdin']);
    await workspace.write('pagecast.yaml', START);
    const args = ['add', 'acme', ...GRAPH, '--secrets-stdin', '--json'];
    const again = await piped(`app-secret=${SECRET}\ntoken=${SECRET}`, args);
    expect(again.error?.code).toBe('SECRET_EXISTS');
    expect(await readFile(stored('acme.token'), 'utf8')).toBe(`${TOKEN}\n`);
    vi.stubEnv('DBUS_SESSION_BUS_ADDRESS', 'unix:path=/nonexistent');
    const other = ['add', 'other', ...args.slice(2), '--app-secret', 'keyring:other'];
    const halfway = await piped(`token=${TOKEN}\napp-secret=${SECRET}`, other);
    expect(halfway.error).toMatchObject({
      code: 'KEYRING_UNAVAILABLE',
      hint: expect.stringContaining('file:PATH') as string,
    });
    expect(halfway.stderr).not.toContain(SECRET);
    expect(await filesWithSecrets()).toEqual([stored('acme.token')]);
    expect(await yaml()).toBe(START);
  });
});

describe('account add --replace', () => {
  it('changes what is given and keeps the rest', async () => {
    const others = `  z:  ${SMS}   # Alice\n`;
    await workspace.write(
      'pagecast.yaml',
      `accounts:\n  acme: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: env:T, pace: 10/s }\n${others}`,
    );
    const { json, stderr } = await account([
      'add',
      'acme',
      '--replace',
      '--token',
      'env:NEW',
      '--batch',
      '10',
      '--json',
    ]);
    expect(json, stderr).toMatchObject({ done: 'replaced' });
    expect(await yaml()).toBe(
      `accounts:\n  acme: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: env:NEW, batch: 10, pace: 10/s }\n${others}`,
    );
  });

  it('stores a new token and leaves the file as it is', async () => {
    await piped(`token=${SECRET}`, ['add', 'acme', ...GRAPH, '--secrets-stdin']);
    const before = (await yaml()).replace('  acme:', '  acme: # mine');
    await workspace.write('pagecast.yaml', before);
    const { json } = await piped(`token=${TOKEN}`, ['add', 'acme', '--replace', '--secrets-stdin', '--json']);
    expect(json).toMatchObject({ done: 'unchanged', stored: ['file:.pagecast/secrets/acme.token'] });
    expect(await readFile(stored('acme.token'), 'utf8')).toBe(`${TOKEN}\n`);
    expect(await yaml()).toBe(before);
  });
});

describe('account add --replace, when the file cannot be saved', () => {
  it('puts back what was stored before, and takes away what is new', async () => {
    await piped(`token=${TOKEN}`, ['add', 'acme', ...GRAPH, '--secrets-stdin']);
    const changed = `${await yaml()}# by somebody else\n`;
    const args = ['add', 'acme', '--replace', '--pace', '10/s', '--secrets-stdin', '--json'];
    const { error } = await piped(`token=${SECRET}\napp-secret=${SECRET}`, args, () =>
      workspace.write('pagecast.yaml', changed),
    );
    expect(error?.code).toBe('CONFIG_INVALID');
    expect(await yaml()).toBe(changed);
    expect(await filesWithSecrets()).toEqual([stored('acme.token')]);
    expect(await readFile(stored('acme.token'), 'utf8')).toBe(`${TOKEN}\n`);
  });
});

describe('account verify', () => {
  const MEANINGS: [what: string, page: NonNullable<SeedInput['page']>, status: number, failed: string][] = [
    ['a good token', {}, 0, ''],
    ['a wrong token', { token: 'another' }, 4, 'token'],
    ['a token of another Page', { id: '998877665544332' }, 4, 'identity'],
    ['a token that may not send', { permissions: ['pages_read_engagement'] }, 4, 'permissions'],
    ['a Page that is restricted', { refuses: '368' }, 6, 'sending'],
    ['a Page that is over its limit', { refuses: '80006' }, 7, 'rate'],
  ];
  it.each(MEANINGS)('%s', async (_, seed, status, failed) => {
    await workspace.write('pagecast.yaml', `accounts:\n${page(await platform(seed))}`);
    const result = await account<{ ok: boolean; checks: Record<string, string>[] }[]>(['verify', 'acme', '--json'], {
      T: TOKEN,
    });
    expect(result.status, result.stdout).toBe(status);
    const [verdict] = result.json;
    expect(verdict).toMatchObject({ account: 'acme', ok: status === 0 });
    for (const check of verdict!.checks)
      expect(Object.keys(check).sort()).toEqual(['about', 'detail', 'hint', 'state']);
    const about = verdict!.checks.filter(({ state }) => state === 'failed').map((check) => check['about']);
    expect(about).toEqual(failed === '' ? [] : expect.arrayContaining([failed]));
    expect(result.stdout + result.stderr).not.toContain(TOKEN);
  });

  it('asks by the login that the account names', async () => {
    const url = await platform({ channel: 'instagram', instagram: { id: '17841400455970123', username: 'acme' } });
    const insta = `{ provider: graph, channel: instagram, id: "17841400455970123", token: env:T, url: "${url}/graph.instagram.com"`;
    await workspace.write('pagecast.yaml', `accounts:\n  byPage: ${insta} }\n  itself: ${insta}, login: instagram }\n`);
    expect((await account(['verify', 'itself'], { T: TOKEN })).stdout).toContain('The token is for "acme".');
    expect((await account(['verify', 'byPage'], { T: TOKEN })).status).toBe(4);
  });

  it('asks all accounts at once, the sandbox included, and ends with the gravest', async () => {
    const accounts = [
      page(await platform()),
      `  lost: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: env:LOST }\n`,
    ];
    await workspace.write(
      'pagecast.yaml',
      `accounts:\n${accounts.join('')}${page('http://127.0.0.1:1').replace('acme', 'gone')}`,
    );
    const { status, stdout } = await account(['verify'], { T: TOKEN });
    expect(status).toBe(2);
    expect(stdout).toMatch(/^acme \(graph, messenger, 102938475601928\)\n {2}ok {3}reachable: /m);
    expect(stdout).toMatch(
      /^lost .*\n {2}FAIL configuration: The environment variable LOST is not set\.\n {7}Set LOST/m,
    );
    expect(stdout).toMatch(/^gone .*\n {2}FAIL reachable: /m);
    expect(stdout).toMatch(/^sandbox \(sandbox, messenger, \d+\)\n {2}ok /m);
    expect((await account(['verify', 'gone', 'sandbox'], { T: TOKEN })).status).toBe(7);
  });

  it('knows the accounts there are', async () => {
    expect((await account(['verify', 'acme', '--json'])).error?.code).toBe('ACCOUNT_UNKNOWN');
  });

  it('goes through the proxy of the environment, and past it on this machine', async () => {
    const asked: string[] = [];
    const proxy = createServer((socket) => {
      socket.once('data', (head) => {
        asked.push(head.toString().split('\r\n')[0] ?? '');
        socket.end('HTTP/1.1 503 no\r\n\r\n');
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void proxy.close());
    const { port } = proxy.address() as { port: number };
    const env = { T: TOKEN, HTTPS_PROXY: `http://127.0.0.1:${port}`, HTTP_PROXY: `http://127.0.0.1:${port}` };
    await workspace.write('pagecast.yaml', `accounts:\n${page('https://graph.example')}`);
    expect((await account(['verify', 'acme'], env)).status).toBe(7);
    expect(asked[0]).toMatch(/^CONNECT graph\.example:443 /);
    const before = asked.length;
    expect((await account(['verify', 'sandbox'], env)).status).toBe(0);
    expect(asked).toHaveLength(before);
  });
});

describe('account list', () => {
  it('says which secrets cannot be had, and why', async () => {
    const file = await workspace.write('token', TOKEN);
    await chmod(file, 0o644);
    await workspace.write('pagecast.yaml', `accounts:\n${page('https://x.example', 'file:token')}  sms: ${SMS}\n`);
    const { json } = await account<Record<string, unknown>[]>(['list', '--json'], { SID: 'AC1' });
    expect(json.map(({ name, missingSecrets }) => [name, missingSecrets])).toEqual([
      ['acme', ['file:token']],
      ['sms', ['AUTH']],
      ['sandbox', []],
    ]);
    expect(json[0]?.['problems']).toEqual([
      {
        secret: 'file:token',
        code: 'SECRET_UNUSABLE',
        message: expect.stringContaining('0644') as string,
        hint: `chmod 600 ${file}`,
      },
    ]);
    const { stdout, stderr } = await account(['list'], { SID: 'AC1' });
    expect(stdout).toMatch(/^acme .* no: file:token$/m);
    expect(stdout).toMatch(/^sandbox .* yes$/m);
    expect(stderr).toContain(`chmod 600 ${file}`);
    expect(stderr).toContain('The environment variable AUTH is not set.');
  });
});

describe('account list, of accounts that share a secret', () => {
  it('says once what is wrong with it', async () => {
    const other = page('https://x.example').replace('acme', 'other');
    await workspace.write('pagecast.yaml', `accounts:\n${page('https://x.example')}${other}`);
    const { stdout, stderr } = await account(['list']);
    expect(stdout.match(/no: env:T$/gm)).toHaveLength(2);
    expect(stderr.match(/The environment variable T is not set/g)).toHaveLength(1);
  });
});

describe('account remove', () => {
  const TWO = `accounts:\n  # the first\n  acme: { provider: sandbox, channel: messenger, id: "10001" }   # A\n  z:    ${SMS}\n`;

  it('takes the account out, and nothing else', async () => {
    await workspace.write('pagecast.yaml', `${TWO}# end\n`);
    const { status, json } = await account(['remove', 'acme', '--yes', '--json']);
    expect(status).toBe(0);
    expect(json).toEqual({ account: 'acme', file: workspace.path('pagecast.yaml'), removedSecrets: [] });
    expect(await yaml()).toBe(`accounts:\n  # the first\n  z:    ${SMS}\n# end\n`);
  });

  it('deletes the secrets that it has stored and that nobody else uses', async () => {
    await mkdir(workspace.path('keys'));
    await piped(`token=${TOKEN}\napp-secret=${SECRET}`, ['add', 'acme', ...GRAPH, '--secrets-stdin']);
    await piped(`token=${TOKEN}`, [
      'add',
      'mine',
      ...GRAPH,
      '--token',
      'file:keys/t',
      '--app-secret',
      'file:.pagecast/secrets/acme.app-secret',
      '--secrets-stdin',
    ]);
    const first = await account(['remove', 'acme', '--yes', '--json']);
    expect(first.json).toMatchObject({ removedSecrets: ['file:.pagecast/secrets/acme.token'] });
    expect(await filesWithSecrets()).toEqual([stored('acme.app-secret'), workspace.path('keys/t')]);
    expect((await account(['remove', 'mine', '--yes', '--keep-secrets'])).status).toBe(0);
    expect(await filesWithSecrets()).toEqual([stored('acme.app-secret'), workspace.path('keys/t')]);
    expect(await yaml()).toBe(`${START}accounts:\n`);
  });

  it('leaves entries of the keyring that another workspace may use', async () => {
    vi.stubEnv('DBUS_SESSION_BUS_ADDRESS', 'unix:path=/nonexistent');
    await workspace.write('pagecast.yaml', `accounts:\n${page('https://x.example', 'keyring:shared.token')}`);
    const { status, json, stderr } = await account(['remove', 'acme', '--yes', '--json']);
    expect(status, stderr).toBe(0);
    expect(json).toMatchObject({ removedSecrets: [] });
    // Of the entry under the account's own name it tries to take away.
    await workspace.write('pagecast.yaml', `accounts:\n${page('https://x.example', 'keyring:acme.token')}`);
    expect((await account(['remove', 'acme', '--yes', '--json'])).error?.code).toBe('KEYRING_UNAVAILABLE');
  });

  it('refuses while owners, campaigns or schedules need it', async () => {
    await workspace.write('pagecast.yaml', `accounts:\n  z: ${SMS}\nowners: { alice: z }\n`);
    const owned = await account(['remove', 'z', '--yes', '--force', '--json']);
    expect(owned.error).toMatchObject({
      code: 'ACCOUNT_IN_USE',
      message: expect.stringContaining('record owner alice') as string,
    });

    await workspace.write('pagecast.yaml', TWO);
    await workspace.write('windows.csv', windowLog(1));
    await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'acme']);
    const values = ['name=Ann', 'order_no=A-1', 'date=1 Dec'].flatMap((pair) => ['--var', pair]);
    const to = ['--template', 'order_update', '--lang', 'en_US', '--from', 'acme', '--to', personId(0), ...values];
    const consent = ['--accept-policy', '--confirm-count', '1', '--json'];
    const timed = await inside<{ campaign: string }>(workspace, [
      'send',
      ...to,
      '--at',
      'in 2h',
      '--zone',
      'UTC',
      ...consent,
    ]);
    expect(timed.status, timed.stderr).toBe(0);
    const every = await inside<{ schedule: string }>(workspace, [
      'send',
      ...to,
      '--every',
      '0 9 * * *',
      '--zone',
      'UTC',
      ...consent,
    ]);
    const needed = await account(['remove', 'acme', '--yes', '--json']);
    expect(needed.status).toBe(2);
    expect(needed.error).toMatchObject({
      code: 'ACCOUNT_IN_USE',
      message: `acme is still needed by campaign ${timed.json.campaign}, schedule ${every.json.schedule}.`,
    });
    expect(await yaml()).toBe(TWO);
    expect((await account(['remove', 'acme', '--yes', '--force'])).status).toBe(0);
    const list = await inside<unknown[]>(workspace, ['campaign', 'list', '--json']);
    expect(list.json).toHaveLength(1);
  });

  it.each([
    ['asks, and needs an answer', ['acme'], 'ANSWER_NEEDED'],
    ['knows no such account', ['acmee', '--yes'], 'ACCOUNT_UNKNOWN'],
    ['cannot take away what is built in', ['sandbox', '--yes'], 'ACCOUNT_UNKNOWN'],
  ])('%s', async (_, args, code) => {
    await workspace.write('pagecast.yaml', TWO);
    expect((await account(['remove', ...args, '--json'])).error?.code).toBe(code);
    expect(await yaml()).toBe(TWO);
  });
});
