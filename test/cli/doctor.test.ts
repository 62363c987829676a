/** `pagecast doctor`: one look at everything, and the services asked where they can be. */
import { mkdir } from 'node:fs/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { heardDelivery } from '../support/fixtures-inbound.js';
import { storeOf } from '../support/listener.js';
import { inside, type Inside } from '../support/process-inside.js';
import { testSandbox } from '../support/sandbox-harness.js';
import { testWorkspace, type TestWorkspace } from '../support/workspace.js';

const TOKEN = 'EAABsbCS1iHgBAExample0secret';
const PAGE_ID = '102938475601928';

interface Report {
  ok: boolean;
  checks: { name: string; ok: boolean; state: string; detail: string; hint: string }[];
}

let workspace: TestWorkspace;
beforeEach(async () => {
  workspace = await testWorkspace('accounts: {}\n');
});

const doctor = (...args: string[]): Promise<Inside<Report>> =>
  inside<Report>(workspace, ['doctor', '--json', ...args], { T: TOKEN });

async function pageAt(token: string, url: string): Promise<void> {
  await workspace.write(
    'pagecast.yaml',
    `accounts:\n  acme: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: ${token}, url: "${url}" }\n`,
  );
}

async function platform(token = TOKEN): Promise<string> {
  return (await testSandbox({ page: { id: PAGE_ID, token } })).sandbox.url;
}

const states = ({ json }: Inside<Report>): Record<string, string> =>
  Object.fromEntries(json.checks.map(({ name, state }) => [name, state]));

const check = ({ json }: Inside<Report>, name: string): Report['checks'][number] | undefined =>
  json.checks.find((one) => one.name === name);

describe('doctor', () => {
  it('finds nothing wrong with a new workspace, and starts no sandbox for it', async () => {
    const result = await doctor();
    expect(result.status).toBe(0);
    expect(result.json.ok).toBe(true);
    expect(states(result)).toEqual({ workspace: 'ok', 'account sandbox': 'ok', templates: 'ok', store: 'ok' });
  });

  it('asks the services of accounts whose secrets are there', async () => {
    await pageAt('env:T', await platform());
    const result = await doctor();
    expect(result.status, result.stdout).toBe(0);
    expect(states(result)).toMatchObject({
      'account acme': 'ok',
      'account acme, token': 'ok',
      'account acme, rate': 'unknown',
    });
    // What a service does not tell is no fault.
    expect(result.json.checks.find(({ state }) => state === 'unknown')).toMatchObject({ ok: true });
  });

  it('ends with what the services say when everything else is in order', async () => {
    await pageAt('env:T', await platform('another'));
    const result = await doctor();
    expect(result.status).toBe(4);
    expect(result.json.ok).toBe(false);
    expect(states(result)).toMatchObject({ 'account acme': 'ok', 'account acme, token': 'failed', store: 'ok' });
    expect(result.stdout + result.stderr).not.toContain(TOKEN);
  });

  it('asks nobody with --offline, and says so', async () => {
    await pageAt('env:T', await platform('another'));
    const result = await doctor('--offline');
    expect(result.status).toBe(0);
    expect(states(result)).toMatchObject({ 'account acme': 'ok', 'account acme, reachable': 'unknown' });
    expect(result.stdout).toContain('--offline');
  });

  it('asks nobody for an account without its secret, and ends with 2 whatever services say of others', async () => {
    const { url } = (await testSandbox({ page: { id: PAGE_ID, token: 'another' } })).sandbox;
    const account = (token: string): string =>
      `{ provider: graph, channel: messenger, id: "${PAGE_ID}", token: ${token}, url: "${url}" }`;
    await workspace.write('pagecast.yaml', `accounts:\n  lost: ${account('file:none')}\n  acme: ${account('env:T')}\n`);
    const result = await doctor();
    expect(result.status).toBe(2);
    expect(states(result)).toMatchObject({
      'account lost': 'failed',
      'account lost, reachable': 'unknown',
      'account acme, token': 'failed',
    });
    expect(result.json.checks.find(({ name }) => name === 'account lost')?.detail).toContain(workspace.path('none'));
  });

  it('shows the same to people', async () => {
    await pageAt('env:T', await platform('another'));
    const { stdout, status } = await inside(workspace, ['doctor'], { T: TOKEN });
    expect(status).toBe(4);
    expect(stdout).toMatch(/^ok {3}workspace: /m);
    expect(stdout).toMatch(/^FAIL account acme, token: .*\n {5}Make a new access token/m);
  });

  it('tells of flows that are not run', async () => {
    await mkdir(workspace.path('flows'));
    await workspace.write(
      'flows/hi.yaml',
      'type: auto-reply\ntrigger: { keyword: [hi] }\nfrom: sandbox\ntext: Hello\n',
    );
    const usable = await doctor();
    expect([usable.status, states(usable)['flows'], check(usable, 'flows')?.detail]).toEqual([0, 'ok', '1 usable']);
    await workspace.write(
      'flows/hi.yaml',
      'type: automation\ntrigger: { keyword: [hi] }\nfrom: sandbox\ntext: Hello\n',
    );
    const faulty = await doctor();
    expect(faulty.status).toBe(2);
    expect(check(faulty, 'flows')).toMatchObject({
      state: 'failed',
      detail: 'hi has faults and is not run.',
      hint: 'See them: pagecast flow check',
    });
    await workspace.write('flows/broken.yaml', 'type: nothing\n');
    expect(check(await doctor(), 'flows')).toMatchObject({
      detail: expect.stringContaining('broken.yaml, line 1') as string,
      hint: 'And 1 more: pagecast flow check',
    });
  });

  it('says what callbacks need, but only where something is listened to', async () => {
    const account = `accounts:\n  acme: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: env:T }\n`;
    await workspace.write('pagecast.yaml', account);
    expect(states(await doctor('--offline'))).not.toHaveProperty('account acme, callbacks');
    await workspace.write('pagecast.yaml', `${account}listen: { verifyToken: env:V }\n`);
    const open = await doctor('--offline');
    expect([open.status, states(open)]).toMatchObject([
      2,
      { 'account acme': 'ok', 'account acme, callbacks': 'failed' },
    ]);
    expect(check(open, 'account acme, callbacks')?.hint).toContain('--app-secret env:NAME');
  });

  it('tells of callbacks that nobody hears, and ends with 7 when they have waited for long', async () => {
    await doctor();
    const { store } = await storeOf(workspace);
    const delivery = { service: 'meta' as const, accounts: [], body: '{}' };
    await store.receive([{ ...delivery, receivedAt: Date.now() }]);
    const fresh = await doctor();
    expect([fresh.status, states(fresh)['callbacks that wait']]).toEqual([0, 'unknown']);
    await store.hear(
      (await store.received(1)).map((one) => heardDelivery(one, {})),
      Date.now(),
    );
    await store.receive([
      { ...delivery, receivedAt: Date.now() - 120_000 },
      { ...delivery, receivedAt: Date.now() },
    ]);
    const late = await doctor();
    expect([late.status, late.json.ok]).toEqual([7, false]);
    expect(check(late, 'callbacks that wait')).toMatchObject({
      state: 'failed',
      detail: expect.stringMatching(/^2 callbacks wait to be heard; the oldest came 20/) as string,
      hint: expect.stringContaining('pagecast listen') as string,
    });
  });

  it('shows dead letters, harmless to a terminal, and tells by itself only of those of seven days', async () => {
    await doctor();
    const { store } = await storeOf(workspace);
    const letter = async (daysAgo: number, body: string, dead: 'failed' | 'too_deep'): Promise<void> => {
      const receivedAt = Date.now() - daysAgo * 24 * 3600_000;
      await store.receive([{ service: 'cams', accounts: [], body, receivedAt }]);
      await store.hear(
        (await store.received(1)).map((one) => heardDelivery(one, { dead })),
        receivedAt,
      );
    };
    await letter(8, 'old', 'too_deep');
    expect(states(await doctor())).not.toHaveProperty('dead letters');
    await letter(6, `new \u001b[31m\u202e${'x'.repeat(600)}`, 'failed');
    const found = check(await doctor(), 'dead letters');
    expect(found?.detail).toMatch(/^In 7 days 1 callback could not .*: failed 1;/);
    expect(found?.hint).toMatch(/^failed: .*Please report it[^\n]* See them: pagecast doctor --dead-letters$/);

    const { stdout, stderr, status } = await inside(workspace, ['doctor', '--dead-letters']);
    expect(stdout).toMatch(/ {2}cams {2}failed\n {2}new {2}\[31m x{300,499}…\n.* {2}cams {2}too_deep\n {2}old\n$/);
    expect([status, stderr]).toEqual([0, expect.stringContaining('what people wrote')]);
    const { json } = await inside<object[]>(workspace, ['doctor', '--dead-letters', '--json']);
    expect(json).toMatchObject([
      { service: 'cams', reason: 'failed', receivedAt: expect.stringMatching(/Z$/) as string },
      { reason: 'too_deep', body: 'old' },
    ]);
  });

  it('looks no further when the configuration cannot be read', async () => {
    await workspace.write('pagecast.yaml', 'acounts: {}\n');
    const result = await doctor();
    expect(result.status).toBe(2);
    expect(states(result)).toEqual({ workspace: 'failed' });
  });
});
