/** A campaign of an account whose app secret is wrong or missing, through the whole program and a sandbox that asks for it. */
import { describe, expect, it } from 'vitest';
import { inside } from '../support/process-inside.js';
import { testSandbox } from '../support/sandbox-harness.js';
import { orderSheet, personId, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

const PAGE_ID = '102938475601928';
const PEOPLE = 20;
const SEND = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
const CONSENT = ['--accept-policy', '--confirm-count', String(PEOPLE), '--json'];

/** @param settings of the account */
async function stage(settings: string): Promise<{ workspace: TestWorkspace; received: () => number }> {
  const { sandbox } = await testSandbox({ page: { id: PAGE_ID, token: 'right', secret: 'shhh' } });
  const workspace = await testWorkspace(
    `accounts:\n  page: { provider: graph, channel: messenger, id: "${PAGE_ID}", token: env:T, pace: 40/s, ${settings}url: "${sandbox.url}" }\n`,
  );
  await workspace.write('orders.csv', orderSheet(PEOPLE));
  await workspace.write('windows.csv', windowLog(PEOPLE));
  await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'page']);
  return { workspace, received: () => sandbox.state.received().length };
}

describe('an app secret that does not fit', () => {
  it.each([
    ['wrong', 'appSecret: env:S, '],
    ['missing', ''],
    ['wrong, with messages in batches', 'appSecret: env:S, batch: 20, '],
  ])('is %s: nobody has failed, and the campaign goes on with the right one', async (_, settings) => {
    const { workspace, received } = await stage(settings);
    const sent = await inside(workspace, [...SEND, ...CONSENT], { T: 'right', S: 'another' });
    expect(sent.status, sent.stderr).toBe(4);
    expect(sent.json).toMatchObject({
      state: 'stopped',
      queued: PEOPLE,
      failed: 0,
      stop: { cause: 'token', error: { code: '100/appsecret' } },
    });
    const campaign = String(sent.json['campaign']);
    const report = await inside(workspace, ['campaign', 'report', campaign]);
    expect(report.stdout + report.stderr).toContain('The app secret of the account is missing, or does not fit');
    const reply = ['message', 'send', '--from', 'page', '--to', personId(0), '--text', 'Hello', '--json'];
    expect((await inside(workspace, reply, { T: 'right', S: 'another' })).status).toBe(4);
    if (settings === '') return;
    const resumed = await inside(workspace, ['campaign', 'resume', campaign, '--json'], { T: 'right', S: 'shhh' });
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(received()).toBe(PEOPLE);
  });
});
