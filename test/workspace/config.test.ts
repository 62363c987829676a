import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import { DEFAULT_AUTOMATION } from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT } from '../../src/core/opt-out.js';
import { DEFAULT_WINDOW } from '../../src/core/window.js';
import {
  findAccount,
  findWorkspaceFile,
  noWorkspace,
  openWorkspace,
  readWorkspace,
  resolveStoreUrl,
  secretRefs,
  type Workspace,
} from '../../src/workspace/config.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pagecast-config-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function read(text: string | Uint8Array): Promise<Workspace> {
  const file = join(root, 'pagecast.yaml');
  await writeFile(file, text);
  return readWorkspace(file);
}

async function refused(text: string | Uint8Array): Promise<Failure> {
  const failure = await read(text).then(
    () => null,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Failure);
  return failure as Failure;
}

const FULL = `# a comment
store: sqlite:.pagecast/pagecast.db
accounts:
  acme-page:  { provider: graph, channel: messenger, id: "102938475601928", token: env:ACME_PAGE_TOKEN, appSecret: env:ACME_APP_SECRET, pace: 30/s, batch: 50, login: facebook }
  acme-insta: { provider: graph, channel: instagram, id: "178414000000000", token: file:keys/insta.token, version: v26.0, url: https://graph.instagram.com }
  acme-shop:  { provider: graph, channel: instagram, id: "178414000000001", token: env:SHOP, url: https://proxy.example/meta, login: instagram, batch: 1 }
  acme-cams:  { provider: cams, channel: messenger, id: "102938475601928", spaceId: cams-8c8x, accessKeyId: env:AK, accessKeySecret: keyring:acme-cams.secret, callbackToken: file:keys/cams.token }
  alice-sms:  { provider: twilio, channel: sms, id: "+15550001111", accountSid: env:SID, authToken: env:AUTH, pace: 30/m, statusCallback: "https://acme.example/twilio?key=1" }
  play:       { provider: sandbox, channel: messenger, id: "100000000000002", pace: unlimited, url: "http://sandbox:8080", seed: data/seed.json, appSecret: env:PLAY_SECRET }
owners: { alice: alice-sms }
window: { hours: 20, margin: 90s, openers: { comment: false } }
`;

/** What is heard and answered where the file says nothing of it. */
const HEARING_DEFAULTS = {
  listen: { verifyToken: null, flowToken: null, url: null },
  optOut: DEFAULT_OPT_OUT,
  automation: DEFAULT_AUTOMATION,
};

describe('a full configuration', () => {
  it('gives every account its settings, with secrets by name only', async () => {
    const workspace = await read(FULL);
    expect(workspace.root).toBe(root);
    expect(workspace.storeUrl).toBe(`sqlite:${join(root, '.pagecast/pagecast.db')}`);
    expect([...workspace.accounts.keys()]).toEqual([
      'acme-page',
      'acme-insta',
      'acme-shop',
      'acme-cams',
      'alice-sms',
      'play',
      'sandbox',
    ]);
    expect(workspace.accounts.get('acme-page')).toEqual({
      name: 'acme-page',
      provider: 'graph',
      channel: 'messenger',
      id: '102938475601928',
      token: { env: 'ACME_PAGE_TOKEN' },
      appSecret: { env: 'ACME_APP_SECRET' },
      pace: 30,
      batch: 50,
      login: 'facebook',
    });
    expect(workspace.accounts.get('acme-insta')).toMatchObject({
      pace: 35,
      version: 'v26.0',
      token: { file: join(root, 'keys/insta.token') },
    });
    expect(workspace.accounts.get('acme-shop')).toMatchObject({ login: 'instagram', batch: 1 });
    expect(workspace.accounts.get('acme-cams')).toMatchObject({
      accessKeyId: { env: 'AK' },
      accessKeySecret: { keyring: 'acme-cams.secret' },
      callbackToken: { file: join(root, 'keys/cams.token') },
    });
    expect(workspace.accounts.get('alice-sms')).toMatchObject({
      id: '+15550001111',
      pace: 0.5,
      statusCallback: 'https://acme.example/twilio?key=1',
    });
    expect(workspace.accounts.get('play')).toMatchObject({ pace: Infinity, seed: join(root, 'data/seed.json') });
    expect(workspace.accounts.get('sandbox')).toMatchObject({ provider: 'sandbox', id: '100000000000001', pace: 35 });
    expect([...workspace.owners]).toEqual([['alice', 'alice-sms']]);
    expect(workspace.window).toEqual({
      hours: 20,
      marginMs: 90_000,
      openers: { ...DEFAULT_WINDOW.openers, comment: false },
    });
  });

  it('keeps an account called sandbox as the file describes it', async () => {
    const workspace = await read('accounts: { sandbox: { provider: sandbox, channel: instagram, id: "17841400000" } }');
    expect(workspace.accounts.get('sandbox')).toMatchObject({ channel: 'instagram', id: '17841400000' });
    expect(workspace.accounts.size).toBe(1);
  });

  it.each([
    '',
    '# nothing but comments\n',
    'accounts:\n# my-page:\n',
    '\uFEFFwindow:\noptOut:\nautomation:\nlisten:\n',
  ])('takes defaults where the file says nothing: %j', async (text) => {
    const workspace = await read(text);
    expect([...workspace.accounts.keys()]).toEqual(['sandbox']);
    expect(workspace.window).toEqual(DEFAULT_WINDOW);
    expect(workspace).toMatchObject(HEARING_DEFAULTS);
    expect(workspace.storeUrl).toBe(`sqlite:${join(root, '.pagecast/pagecast.db')}`);
  });
});

describe('what is heard and answered', () => {
  it('goes by the file where it says something', async () => {
    const { listen, optOut, automation } = await read(`
listen: { verifyToken: file:keys/verify.token, flowToken: file:keys/flow.token, url: "https://acme.example/pagecast/" }
optOut:
  keywords: { de: [aus, "keine Post"] }
  startKeywords: { de: [ein], de_AT: [einschalten] }
  confirmation: { de: Sie sind ausgetragen. }
automation:
  disclosure: { en: This is automatic., de: Das ist automatisch. }
  discloseAgain: 7d
  guard: { most: 3, within: 10m }
`);
    expect(listen).toEqual({
      verifyToken: { file: join(root, 'keys/verify.token') },
      flowToken: { file: join(root, 'keys/flow.token') },
      url: 'https://acme.example/pagecast',
    });
    expect(optOut).toEqual({
      out: { ...DEFAULT_OPT_OUT.out, de: ['aus', 'keine Post'] },
      in: { ...DEFAULT_OPT_OUT.in, de: ['ein'], de_AT: ['einschalten'] },
      confirmation: { ...DEFAULT_OPT_OUT.confirmation, de: 'Sie sind ausgetragen.' },
    });
    expect(automation).toEqual({
      disclosure: { en: 'This is automatic.', de: 'Das ist automatisch.' },
      discloseAgainMs: 7 * 86_400_000,
      guard: { most: 3, withinMs: 600_000 },
    });
  });

  it('may be as little as one sentence, and no confirmation', async () => {
    const text = 'optOut: { confirmation: false }\nautomation: { disclosure: I am a bot., guard: { most: 5 } }\n';
    const { optOut, automation } = await read(text);
    expect(optOut).toEqual({ ...DEFAULT_OPT_OUT, confirmation: null });
    expect(automation).toEqual({
      ...DEFAULT_AUTOMATION,
      disclosure: { en: 'I am a bot.' },
      guard: { ...DEFAULT_AUTOMATION.guard, most: 5 },
    });
  });

  it('tells which secrets only callbacks are checked with', async () => {
    const { accounts } = await read(FULL);
    const forCallbacks = [...accounts.values()].flatMap((account) =>
      secretRefs(account).flatMap(({ key, isForCallbacks }) => (isForCallbacks ? [`${account.name} ${key}`] : [])),
    );
    expect(forCallbacks).toEqual(['acme-cams callbackToken', 'play appSecret']);
  });
});

const page = (fields: string): string =>
  `accounts:\n  acme:\n    provider: graph\n    channel: messenger\n    id: "102938475601928"\n    token: env:T\n${fields}`;

describe('what is refused, with its line and what is expected', () => {
  it.each<[what: string, text: string, line: number, says: RegExp]>([
    [
      'an unknown key',
      page('    tokn: env:X\n'),
      7,
      /accounts\.acme has the unknown key "tokn" \(did you mean "token"\?\)/,
    ],
    ['an unknown key at the top', 'acounts: {}\n', 1, /unknown key "acounts" \(did you mean "accounts"\?\)/],
    [
      'a number as id',
      page('').replace('"102938475601928"', '102938475601928'),
      5,
      /accounts\.acme\.id .*digits get lost/,
    ],
    [
      'a phone number without quotes',
      'accounts: { a: { provider: twilio, channel: sms, id: +15550001111, accountSid: env:A, authToken: env:B } }',
      1,
      /id .*in quotes/,
    ],
    ['an id of another channel', page('').replace('"102938475601928"', '"+15550001111"'), 5, /digits of the Page id/],
    [
      'a provider that is misspelt',
      page('').replace('graph', 'grpah'),
      3,
      /accounts\.acme\.provider must be one of .*did you mean "graph"/,
    ],
    ['no provider', 'accounts:\n  acme: { channel: messenger }\n', 2, /accounts\.acme\.provider is missing/],
    ['an account that is a text', 'accounts:\n  acme: graph\n', 2, /accounts\.acme must be a mapping/],
    [
      'a channel that the provider has not',
      page('').replace('messenger', 'sms'),
      4,
      /channel must be one of messenger, instagram/,
    ],
    ['no token', page('').replace('    token: env:T\n', ''), 2, /accounts\.acme\.token is missing/],
    ['a pace that Messenger punishes', page('    pace: 41/s\n'), 7, /pace must be at most 40\/s/],
    ['no pace limit on a Page', page('    pace: unlimited\n'), 7, /pace must be at most 40\/s/],
    ['a pace that is none', page('    pace: fast\n'), 7, /pace must be a pace such as 35\/s/],
    ['a pace of nothing', page('    pace: 0\n'), 7, /pace must be a pace such as/],
    [
      'plain http for a real platform',
      page('    url: http://graph.example.com\n'),
      7,
      /url must be a URL that begins with https/,
    ],
    ['a batch that is too large', page('    batch: 51\n'), 7, /batch must be a whole number .*, from 1 to 50/],
    ['a batch of nothing', page('    batch: 0\n'), 7, /batch must be a whole number/],
    ['a batch that is a text', page('    batch: "20"\n'), 7, /batch must be a whole number/],
    [
      'the id of an Instagram account at a Page on Messenger',
      page('    instagramId: "17841400455970123"\n'),
      7,
      /instagramId must not be given without the channel instagram/,
    ],
    [
      'the id of an Instagram account as a number',
      page('    instagramId: 17841400455970123\n').replace('messenger', 'instagram'),
      7,
      /instagramId .*digits get lost/,
    ],
    ['a login of somebody else', page('    login: insta\n'), 7, /login must be one of facebook, instagram/],
    ['Messenger by Instagram Login', page('    login: instagram\n'), 7, /login must be facebook: /],
    ['Messenger at the host of Instagram', page('    url: https://graph.instagram.com\n'), 7, /url must be that of /],
    ...['login: instagram', 'url: https://graph.instagram.com'].map((by): [string, string, number, RegExp] => [
      `a batch with ${by}`,
      page(`    batch: 2\n    ${by}\n`).replace('messenger', 'instagram'),
      7,
      /batch must be 1 with Instagram Login/,
    ]),
    ['a version without v', page('    version: "26.0"\n'), 7, /version must be a version such as v26\.0/],
    ['a reserved account name', page('').replace('acme', 'record-owner'), 2, /must not be called auto or record-owner/],
    ['an account name with a space', page('').replace('acme', '"my page"'), 2, /must be an account name/],
    ['a store that is an address', 'store: postgres://bob:hunter2@db/x\n', 1, /store must be sqlite:PATH or env:NAME/],
    ['an owner of no account', 'owners:\n  alice: alice-sm\n', 2, /owners\.alice must name one of the accounts/],
    [
      'an owner of a Page',
      page('owners:\n  alice: acme\n'),
      8,
      /owners\.alice must name an account on the channel sms/,
    ],
    [
      'a window above 24 hours',
      'window:\n  hours: 25\n',
      2,
      /window\.hours must be a number of hours above 0 and at most 24/,
    ],
    ['a margin without a unit', 'window:\n  margin: 2\n', 2, /window\.margin must be a duration such as/],
    ['a margin longer than the window', 'window:\n  hours: 1\n  margin: 1h\n', 3, /window\.margin must be shorter/],
    ['an unknown opener', 'window:\n  openers: { coment: true }\n', 2, /"coment" \(did you mean "comment"\?\)/],
    [
      'an opener that is a word',
      'window:\n  openers: { comment: maybe }\n',
      2,
      /openers\.comment must be true or false/,
    ],
    [
      'an address that anybody can read',
      'listen:\n  url: http://acme.example\n',
      2,
      /listen\.url must be a URL that begins/,
    ],
    ['a verify token itself', 'listen:\n  verifyToken: hunter2\n', 2, /listen\.verifyToken must be env:NAME/],
    ['no words', 'optOut:\n  keywords: { de: [] }\n', 2, /optOut\.keywords\.de must name at least one word/],
    ['a word that is no list', 'optOut:\n  keywords: { de: stopp }\n', 2, /keywords\.de must be a list of words/],
    ['a word that is a sign', 'optOut:\n  keywords: { de: ["\\u200b"] }\n', 2, /keywords\.de\[0\] must be a word/],
    [
      'words of no language',
      'optOut:\n  keywords: { german: [stopp] }\n',
      2,
      /keywords\.german must be a language code/,
    ],
    [
      'a word that means both',
      'optOut:\n  startKeywords: { fr: [oui, Cancel!] }\n',
      1,
      /optOut has a word both among keywords, .* startKeywords, .* \(fr;/,
    ],
    ['a confirmation by itself', 'optOut:\n  confirmation: true\n', 2, /confirmation must be false, or a mapping/],
    [
      'a confirmation that is too long',
      `optOut:\n  confirmation: { th: "${'ก'.repeat(334)}" }\n`,
      2,
      /confirmation\.th must be at most 1000 bytes/,
    ],
    ['a disclosure with a variable', 'automation:\n  disclosure: "I, {{name}}"\n', 2, /disclosure must not hold \{\{/],
    ['a disclosure of no language', 'automation:\n  disclosure: {}\n', 2, /disclosure must name at least one language/],
    [
      'a guard that lets nothing through',
      'automation:\n  guard: { most: 0 }\n',
      2,
      /guard\.most must be a whole number/,
    ],
    ['a guard for no time', 'automation:\n  guard: { within: 0s }\n', 2, /guard\.within must be longer than nothing/],
    ['the same key twice', 'store: sqlite:a\nstore: sqlite:b\n', 2, /the same key stands twice/],
    ['a tab', 'accounts:\n\tacme: {}\n', 2, /a tab indents this line/],
    ['an open bracket', 'accounts: {\nstore: sqlite:x\n', 2, /./],
    ['two documents', 'store: sqlite:a\n---\nstore: sqlite:b\n', 2, /one file holds one document/],
    ['a list at the top', '- a\n', 1, /the file must be a mapping/],
  ])('%s', async (_, text, line, says) => {
    const failure = await refused(text);
    expect(failure.code).toBe('CONFIG_INVALID');
    expect(failure.message).toMatch(says);
    expect(failure.message).toContain(`${join(root, 'pagecast.yaml')}, line ${line}: `);
    expect(failure.status).toBe(2);
  });

  it.each([
    'http://acme.example/twilio',
    'http://localhost/twilio',
    'https://bob:hunter2@acme.example/',
    'https://bob@acme.example/',
    'https://acme.example/#top',
    'acme.example/twilio',
    `https://acme.example/${'x'.repeat(4000)}`,
    '12',
  ])('a status callback that Twilio could not use: %s', async (url) => {
    const text = `accounts:\n  a: { provider: twilio, channel: sms, id: "+15550001111", accountSid: env:A, authToken: env:B, statusCallback: "${url}" }\n`;
    const failure = await refused(text);
    expect(failure.message).toMatch(
      /line 2: accounts\.a\.statusCallback must (be a URL that begins with https|have at most)/,
    );
    expect(failure.message).not.toContain('hunter2');
  });

  it.each(['token', 'appSecret'])('a literal secret as %s, without ever repeating it', async (key) => {
    const secret = 'EAABsbCS1iHgBAExample0secret';
    const base = page('').replace('    token: env:T\n', key === 'token' ? '' : '    token: env:T\n');
    const places = ['env', 'file', 'keyring'].map((place) => `${place}:${secret}`);
    const shapes = [`env:${secret}-with-hyphen`, `"${secret}"`, `[${secret}]`, `{${secret}: 1}`, `file:keys/${secret}`];
    for (const written of [secret, ...places, ...shapes]) {
      const failure = await refused(`${base}    ${key}: ${written}\n`);
      expect(failure.message).toMatch(new RegExp(`accounts\\.acme\\.${key} must be env:NAME`));
      expect(`${failure.message} ${failure.hint} ${String(failure.stack)}`).not.toContain(secret);
    }
  });

  it.each([
    'token: "EAABsecretsecret" EAABsecretsecret',
    'EAABsecretsecretEAABsecretsecretEAABsecretsecret: 1',
    'store: *EAABsecretsecret',
    'accounts: { acme: EAABsecretsecret }',
    'store: EAABsecretsecret',
    '"EAABsecretsecret',
  ])('a secret in a wrong place is not repeated either: %s', async (text) => {
    const failure = await refused(text);
    expect(failure.code).toBe('CONFIG_INVALID');
    expect(`${failure.message} ${failure.hint}`).not.toContain('EAABsecretsecret');
  });

  it('lists several faults in the order of the file', async () => {
    const failure = await refused('store: x\naccounts: { a: { provider: nope } }\nwindow: { hours: 99 }\n');
    expect(failure.message.split('\n').map((line) => /line (\d)/.exec(line)?.[1])).toEqual(['1', '2', '3']);
  });
});

describe('a hostile file', () => {
  it.each<[string, string]>([
    ['brackets', 'a: ' + '['.repeat(200_000)],
    ['braces', 'a: ' + '{a: '.repeat(50_000)],
    ['compact lists', '- '.repeat(100_000)],
    ['explicit keys', '? '.repeat(100_000)],
    ['values', ': '.repeat(100_000)],
    ['many keys', Array.from({ length: 30_000 }, (_, index) => `k${index}:`).join('\n')],
    ['too large', `# ${'x'.repeat(300_000)}`],
    ['multiplying aliases', bomb()],
    ['an alias of itself', 'a: &a [*a]'],
  ])(
    'ends in CONFIG_INVALID, quickly: %s',
    async (_, text) => {
      expect((await refused(text)).code).toBe('CONFIG_INVALID');
    },
    3000,
  );

  it('is refused when it is not UTF-8', async () => {
    expect((await refused(Buffer.from([0x61, 0x3a, 0xff, 0xfe]))).code).toBe('CONFIG_INVALID');
  });

  it('cannot reach prototypes', async () => {
    const failure = await refused('__proto__: { storeUrl: x }\n');
    expect(failure.code).toBe('CONFIG_INVALID');
    expect(({} as Record<string, unknown>)['storeUrl']).toBeUndefined();
  });
});

function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 12; level += 1) {
    lines.push(
      `a${level}: &a${level} [${Array<string>(9)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
    );
  }
  return lines.join('\n');
}

describe('finding the workspace', () => {
  it('walks up from the folder', async () => {
    await writeFile(join(root, 'pagecast.yaml'), '');
    const deep = join(root, 'a', 'b');
    await mkdir(deep, { recursive: true });
    expect(await findWorkspaceFile(deep)).toBe(join(root, 'pagecast.yaml'));
    expect((await openWorkspace(deep)).root).toBe(root);
  });

  it('takes the nearest', async () => {
    await writeFile(join(root, 'pagecast.yaml'), '');
    await mkdir(join(root, 'a'));
    await writeFile(join(root, 'a', 'pagecast.yaml'), '');
    expect((await openWorkspace(join(root, 'a'))).root).toBe(join(root, 'a'));
  });

  it('works without one', async () => {
    expect(await openWorkspace(root)).toEqual(noWorkspace());
    expect(noWorkspace()).toMatchObject({ root: null, file: null, storeUrl: null });
  });

  it('does not pass over a misnamed file', async () => {
    await writeFile(join(root, 'pagecast.yml'), '');
    await expect(openWorkspace(root)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('says what cannot be read', async () => {
    await expect(readWorkspace(join(root, 'absent.yaml'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    await mkdir(join(root, 'pagecast.yaml'));
    await expect(openWorkspace(root)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });
});

describe('accounts and the store', () => {
  it('names what there is when an account is unknown', async () => {
    const workspace = await read(FULL);
    expect(findAccount(workspace, 'acme-page').id).toBe('102938475601928');
    const failure = catching(() => findAccount(workspace, 'acme-pge'));
    expect(failure.code).toBe('ACCOUNT_UNKNOWN');
    expect(failure.message).toContain('did you mean "acme-page"?');
    expect(failure.hint).toContain('acme-page, acme-insta, acme-shop, acme-cams, alice-sms, play, sandbox');
    expect(catching(() => findAccount(noWorkspace(), '__proto__')).hint).toContain('There is: sandbox');
  });

  it('resolves the store', async () => {
    const workspace = await read('store: env:DATABASE_URL');
    const at = (value: string): string | null => resolveStoreUrl(workspace, { DATABASE_URL: value });
    expect(at('postgres://u:p@h/d')).toBe('postgres://u:p@h/d');
    expect(at('sqlite:x.db')).toBe(`sqlite:${join(root, 'x.db')}`);
    expect(catching(() => at('mysql://u:hunter2@h')).message).not.toContain('hunter2');
    expect(catching(() => resolveStoreUrl(workspace, {})).code).toBe('SECRET_MISSING');
    expect(resolveStoreUrl(noWorkspace(), {})).toBeNull();
    expect((await read('store: sqlite:/var/lib/p.db')).storeUrl).toBe('sqlite:/var/lib/p.db');
    expect((await read('store: "sqlite::memory:"')).storeUrl).toBe('sqlite::memory:');
  });
});

function catching(action: () => unknown): Failure {
  try {
    action();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
