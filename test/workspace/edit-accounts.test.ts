/** Accounts go into pagecast.yaml and out of it, and the rest of the file stays as somebody wrote it. */
import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccountsFile } from '../../src/workspace/edit-accounts.js';
import { readWorkspace } from '../../src/workspace/config.js';
import { scaffoldWorkspace } from '../../src/workspace/templates.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pagecast-edit-'));
  file = join(folder, 'pagecast.yaml');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ENTRY = { provider: 'graph', channel: 'messenger', id: '102938475601928', token: 'env:T' };
const BLOCK = `  new:
    provider: graph
    channel: messenger
    id: "102938475601928"
    token: env:T
`;
const INLINE = 'new: { provider: graph, channel: messenger, id: "102938475601928", token: env:T }';
const SMS = '{ provider: twilio, channel: sms, id: "+15550001111", accountSid: env:SID, authToken: env:AUTH }';

async function added(text: string): Promise<string> {
  await writeFile(file, text);
  await (await AccountsFile.open(file)).with('new', ENTRY).save();
  return readFile(file, 'utf8');
}

async function removed(text: string, name = 'new'): Promise<string> {
  await writeFile(file, text);
  await (await AccountsFile.open(file)).without(name).save();
  return readFile(file, 'utf8');
}

describe('an account is added', () => {
  const OTHER = '  b:   { provider: sandbox,   channel: messenger, id: "10001" } # mine';
  it.each<[where: string, before: string, after: string]>([
    ['an empty file', '', `accounts:\n${BLOCK}`],
    ['a file of comments', '# only\n', `# only\naccounts:\n${BLOCK}`],
    ['no accounts', 'store:  sqlite:x # here', `store:  sqlite:x # here\naccounts:\n${BLOCK}`],
    [
      'no accounts, and a mapping and comments at the end',
      'window:\n  hours:   20\n  # within\n# after\n',
      `window:\n  hours:   20\n  # within\naccounts:\n${BLOCK}# after\n`,
    ],
    ['accounts: without any', '\naccounts:   # c\n\nwindow: {}\n', `\naccounts:   # c\n${BLOCK}\nwindow: {}\n`],
    ['accounts: {}', 'accounts: {} # none yet\nstore: sqlite:x\n', `accounts: # none yet\n${BLOCK}store: sqlite:x\n`],
    ['accounts: ~ at the end', 'accounts: ~', `accounts:\n${BLOCK}`],
    ['one in the same style', `accounts:\n${OTHER}\n`, `accounts:\n${OTHER}\n  ${INLINE}\n`],
    [
      'one over several lines, with a comment of its own, and one that is commented out',
      `accounts:\n    b:\n        provider: sandbox\n        channel: messenger\n        id: "10001"\n        # pace: 3/s\n\n    # c:\n    #   provider: graph\n\nowners: {}\n`,
      `accounts:\n    b:\n        provider: sandbox\n        channel: messenger\n        id: "10001"\n        # pace: 3/s\n${BLOCK.replace(/^ {2}/gm, '    ')}\n    # c:\n    #   provider: graph\n\nowners: {}\n`,
    ],
    ['one without a line end', `accounts:\n${OTHER}`, `accounts:\n${OTHER}\n  ${INLINE}\n`],
    [
      'accounts in brackets',
      'accounts: { b: { provider: sandbox, channel: messenger, id: "10001" } } # x\n',
      `accounts: { b: { provider: sandbox, channel: messenger, id: "10001" }, ${INLINE} } # x\n`,
    ],
    [
      'accounts in brackets over lines, with a comma at the end',
      `accounts: {\n  a-sms:  ${SMS},  # Alice\n}\n`,
      `accounts: {\n  a-sms:  ${SMS},\n  ${INLINE}  # Alice\n}\n`,
    ],
    ['a file in brackets', '{store: sqlite:x}', `{store: sqlite:x, accounts: { ${INLINE} }}`],
    ['a file in brackets, with accounts: {}', '{accounts: {}}', `{accounts: { ${INLINE} }}`],
    ['lines that end as on Windows', 'accounts:\r\n# x\r\n', `accounts:\r\n${BLOCK.replaceAll('\n', '\r\n')}# x\r\n`],
    ['a byte order mark', '\uFEFFaccounts:\n', `\uFEFFaccounts:\n${BLOCK}`],
  ])('to %s', async (_, before, after) => {
    expect(await added(before)).toBe(after);
    expect((await readWorkspace(file)).accounts.get('new')).toMatchObject({ id: ENTRY.id, token: { env: 'T' } });
  });

  it('to a new workspace, in which the examples stay', async () => {
    const text = scaffoldWorkspace().files.find(({ path }) => path === 'pagecast.yaml')?.text ?? '';
    expect(await added(text)).toBe(text.replace('\naccounts:\n', `\naccounts:\n${BLOCK}`));
  });

  it('in the place of another of its name', async () => {
    const others = ['  a:  { provider: sandbox, channel: messenger, id: "10001" }  # x\n', `  z: ${SMS}\n`];
    const before = `accounts:\n${others[0]}  # here\n  new: { provider: sandbox, channel: instagram, id: "10002" }\n${others[1]}`;
    expect(await added(before)).toBe(`accounts:\n${others[0]}  # here\n  ${INLINE}\n${others[1]}`);
    expect(await added(`accounts: {new: ${SMS}, z: ${SMS}}`)).toBe(`accounts: {${INLINE}, z: ${SMS}}`);
  });
});

describe('an account is removed', () => {
  const A = '  a:   { provider: sandbox, channel: messenger, id: "10001" } # A\n';
  it.each<[where: string, before: string, after: string]>([
    ['the only one', `# x\naccounts:\n${BLOCK}\nwindow: {}\n`, `# x\naccounts:\n\nwindow: {}\n`],
    ['the first', `accounts:\n${BLOCK}    # token: env:OLD\n\n  # A\n${A}`, `accounts:\n\n  # A\n${A}`],
    ['the last', `accounts:\n${A}${BLOCK}`, `accounts:\n${A}`],
    ['one on a line', `accounts:\n  ${INLINE} # N\n${A}`, `accounts:\n${A}`],
    ['the only one in brackets', `accounts: {${INLINE},}\n`, 'accounts: {}\n'],
    ['the first in brackets', `accounts: {${INLINE}, s: ${SMS}}`, `accounts: {s: ${SMS}}`],
    ['the last in brackets', `accounts: {s: ${SMS}, ${INLINE}, }`, `accounts: {s: ${SMS}, }`],
  ])('%s', async (_, before, after) => {
    expect(await removed(before)).toBe(after);
  });
});

describe('what is not written', () => {
  it.each([
    ['accounts that come from elsewhere', 'window: &w {}\naccounts: *w\n'],
    ['an account that another one repeats', `accounts:\n  new: &n ${SMS}\n  z: *n\n`],
  ])('%s', async (_, text) => {
    await writeFile(file, text);
    const accounts = await AccountsFile.open(file);
    const edit = (): unknown => (text.includes('new') ? accounts.without('new') : accounts.with('new', ENTRY));
    expect(edit).toThrow(/written in a way in which no account can be/);
    expect(await readFile(file, 'utf8')).toBe(text);
  });

  it('an account that would not pass the check', async () => {
    await writeFile(file, 'accounts:\n');
    const accounts = await AccountsFile.open(file);
    expect(() => accounts.with('new', { ...ENTRY, id: '12' })).toThrow(/line 5: accounts\.new\.id must be/);
    expect(() => accounts.with('auto', ENTRY)).toThrow(/must not be called auto/);
  });

  it('a file that owners would be wrong in', async () => {
    await writeFile(file, `accounts:\n  new: ${SMS}\nowners: { alice: new }\n`);
    const accounts = await AccountsFile.open(file);
    expect(() => accounts.without('new')).toThrow(/owners\.alice must name one of the accounts/);
  });

  it('what somebody else has changed meanwhile', async () => {
    await writeFile(file, 'accounts:\n');
    const change = (await AccountsFile.open(file)).with('new', ENTRY);
    await writeFile(file, 'accounts:\n# mine\n');
    await expect(change.save()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(await readFile(file, 'utf8')).toBe('accounts:\n# mine\n');
  });
});

describe('the file itself', () => {
  it('keeps its mode and leaves nothing beside it', async () => {
    await writeFile(file, '');
    await chmod(file, 0o664);
    await (await AccountsFile.open(file)).with('new', ENTRY).save();
    expect((await stat(file)).mode & 0o777).toBe(0o664);
    expect(await readdir(folder)).toEqual(['pagecast.yaml']);
  });

  it('may be a link, and stays one', async () => {
    const target = join(folder, 'real.yaml');
    await writeFile(target, '');
    await symlink(target, file);
    await (await AccountsFile.open(file)).with('new', ENTRY).save();
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
    expect(await readFile(target, 'utf8')).toBe(`accounts:\n${BLOCK}`);
  });
});

it('what is added and removed again leaves the file byte for byte', async () => {
  const comment = fc.constantFrom('', '# c\n', '\n', '  # deep\n', '\n# a: b\n\n');
  const style = fc.constantFrom(
    (name: string, id: string) => `  ${name}: {provider: sandbox,   channel: messenger, id: '${id}'} # ${name}\n`,
    (name: string, id: string) =>
      `  ${name}:\n      channel:   instagram # c\n      # inner\n      provider: sandbox\n      id: "${id}"\n`,
  );
  const account = fc.tuple(fc.integer({ min: 10_000, max: 99_999 }), style, comment);
  const accounts = fc.uniqueArray(account, { minLength: 1, maxLength: 4, selector: ([id]) => id });
  const newline = fc.constantFrom('\n', '\r\n');
  await fc.assert(
    fc.asyncProperty(accounts, comment, comment, newline, async (list, before, after, eol) => {
      const entries = list.map(([id, write, more]) => write(`a${id}`, String(id)) + more).join('');
      const text = `${before}accounts:\n${entries}window:  { hours: 20 }\n${after}`.replaceAll('\n', eol);
      const grown = await added(text);
      expect([...(await readWorkspace(file)).accounts.keys()]).toEqual([
        ...list.map(([id]) => `a${id}`),
        'new',
        'sandbox',
      ]);
      expect(await removed(grown)).toBe(text);
    }),
    { numRuns: 25 },
  );
});
