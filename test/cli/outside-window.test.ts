/** `send --outside-window`, through the whole program and the embedded sandbox. */
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { personId, sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const TEMPLATE = ['--template', 'delivery_news', '--lang', 'en_US'];
const CONSENT = ['--accept-policy', '--confirm-count'];

let workspace: TestWorkspace;
const atEnd = sharedEnd();
beforeAll(async () => {
  workspace = await testWorkspace(
    `accounts:
  insta: { provider: sandbox, channel: instagram, id: "17841400455970123" }
`,
    atEnd,
  );
  const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();
  const rows = [1, 30, 2].map((hours, index) => `${personId(index)},${hoursAgo(hours)}`);
  await workspace.write('windows.csv', ['user_id,opened_at', ...rows, ''].join('\n'));
  await inside(workspace, ['window', 'import', 'windows.csv', '--account', 'sandbox']);
  const { json } = await inside<{ variables: { name: string; example: string }[] }>(workspace, [
    ...['template', 'show', 'delivery_news', '--lang', 'en_US', '--json'],
  ]);
  const header = ['User ID', ...json.variables.map(({ name }) => name)];
  const people = [0, 1, 2, 3].map((n) => [personId(n), ...json.variables.map(({ example }) => example)].join(','));
  await workspace.write('people.csv', [header.join(','), ...people, ''].join('\n'));
});

function run<T = Record<string, unknown>>(...args: string[]): Promise<Inside<T>> {
  return inside<T>(workspace, [...args, '--json']);
}

describe('--outside-window', () => {
  it('without it people outside are left out', async () => {
    const { json } = await run('plan', ...TEMPLATE, '--from', 'sandbox', '--sheet', 'people.csv');
    expect(json).toMatchObject({ send: 2, outside: null, skip: { window_closed: 1, window_unknown: 1 } });
  });

  it('registered: the template names its counterpart, and the plan says who gets which', async () => {
    const args = [...TEMPLATE, '--from', 'sandbox', '--sheet', 'people.csv', '--outside-window', 'registered'];
    const plan = await run('plan', ...args);
    expect(plan.json).toMatchObject({ send: 4, outside: { template: 'delivery_update', send: 2 } });
    const words = await inside(workspace, ['plan', ...args]);
    expect(words.stdout).toContain('2  inside their window get delivery_news');
    expect(words.stdout).toContain('2  outside it get the registered template delivery_update');
    const sent = await run('send', ...args, ...CONSENT, '4');
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.json).toMatchObject({ sent: 4, total: 4, outside: { template: 'delivery_update', messages: 2 } });
    const list = await run<{ outside: boolean }[]>('message', 'list', '--campaign', String(sent.json['campaign']));
    expect(list.json.map(({ outside }) => outside)).toEqual([false, true, false, true]);
  });

  it.each([
    ['a name that is no template', 'registered:nothing_here', [], 'TEMPLATE_UNKNOWN', 2],
    ['a session template', 'registered:pickup_ready', [], 'POLICY_FORBIDS', 6],
    ['a registered template with other variables', 'registered:order_shipped', [], 'TEMPLATE_INVALID', 3],
    ['a dead tag', 'ACCOUNT_UPDATE', [], 'POLICY_FORBIDS', 6],
    ['HUMAN_AGENT', 'human_agent', [], 'POLICY_FORBIDS', 6],
    ['anything else', 'please', [], 'USAGE', 2],
    ['a template without a counterpart', 'registered', ['--template', 'order_update'], 'USAGE', 2],
  ])('refuses %s', async (_, how, args, code, status) => {
    const all = ['plan', ...TEMPLATE, '--from', 'sandbox', '--sheet', 'people.csv', ...args, '--outside-window', how];
    const result = await run(...all);
    expect([result.error?.code, result.status]).toEqual([code, status]);
  });

  it('refuses an account whose channel has no registered templates', async () => {
    const { error } = await run(
      'plan',
      ...TEMPLATE,
      '--from',
      'insta',
      '--sheet',
      'people.csv',
      '--outside-window',
      'registered',
    );
    expect(error?.code).toBe('CHANNEL_DIFFERS');
  });
});
