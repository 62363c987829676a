/** One message to one person (row V1), through the whole program and the embedded sandbox. */
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { personId, sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const INSIDE = personId(0);
const OUTSIDE = personId(1);
const STRANGER = personId(2);

let workspace: TestWorkspace;
const atEnd = sharedEnd();
beforeAll(async () => {
  workspace = await testWorkspace(
    'accounts:\n  sandbox: { provider: sandbox, channel: messenger, id: "100000000000001" }\n',
    atEnd,
  );
  const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();
  await workspace.write('windows.csv', `user_id,opened_at\n${INSIDE},${hoursAgo(1)}\n${OUTSIDE},${hoursAgo(30)}\n`);
  await inside(workspace, ['window', 'import', 'windows.csv']);
});

function send<T = Record<string, unknown>>(to: string, ...args: string[]): Promise<Inside<T>> {
  return inside<T>(workspace, ['message', 'send', '--from', 'sandbox', '--to', to, '--json', ...args]);
}

const values = (pairs: Record<string, string>): string[] =>
  Object.entries(pairs).flatMap(([name, value]) => ['--var', `${name}=${value}`]);
const ORDER = [
  '--template',
  'order_update',
  '--lang',
  'en_US',
  ...values({ name: 'Ann', order_no: 'A-1', date: '1 Dec' }),
];
const SHIPPED = [
  ...['--template', 'order_shipped', '--lang', 'en_US'],
  ...values({ order_no: 'A-1', carrier: 'Blue Van', date: '4 Dec', name: 'Ann' }),
];

describe('message send', () => {
  it.each([
    ['free text, inside', INSIDE, ['--text', 'Your parcel is here. {{braces}} stay.']],
    ['a template, inside', INSIDE, ORDER],
    ['a registered template, inside', INSIDE, SHIPPED],
    ['a registered template, outside', OUTSIDE, SHIPPED],
    ['a registered template, to somebody of whom nothing is known', STRANGER, SHIPPED],
  ])('sends %s', async (_, to, args) => {
    const { status, json, stderr } = await send(to, ...args);
    expect(status, stderr).toBe(0);
    expect(json).toMatchObject({ to, state: 'sent', messageId: expect.stringMatching(/^m_/) as unknown, error: null });
  });

  it.each([
    ['free text, outside', OUTSIDE, ['--text', 'Hello']],
    ['a session template, outside', OUTSIDE, ORDER],
    ['free text to somebody of whom nothing is known', STRANGER, ['--text', 'Hello']],
  ])('refuses %s, with the reason and what would be allowed', async (_, to, args) => {
    const { status, error } = await send(to, ...args);
    expect([status, error?.code]).toEqual([6, 'POLICY_FORBIDS']);
    expect(error?.message).toContain('24-hour window is shut');
    expect(error?.message).toContain('(V1)');
    expect(error?.hint).toContain('order_shipped (en_US)');
  });

  it.each([
    ['a template of another channel', INSIDE, ['--template', 'story_thanks', '--lang', 'en_US'], 6, 'POLICY_FORBIDS'],
    ['both text and template', INSIDE, ['--text', 'Hello', ...ORDER], 2, 'USAGE'],
    ['neither', INSIDE, [], 2, 'USAGE'],
    ['an empty text', INSIDE, ['--text', ' '], 2, 'ANSWER_NEEDED', '--text is empty.'],
    ['a variable that is missing', INSIDE, ['--template', 'order_update', '--lang', 'en_US'], 2, 'USAGE'],
    ['a variable that there is not', INSIDE, [...ORDER, '--var', 'x=1'], 2, 'VARIABLE_UNKNOWN'],
  ])('refuses %s', async (_, to, args, status, code, says = '') => {
    const result = await send(to, ...args);
    expect([result.status, result.error?.code]).toEqual([status, code]);
    expect(result.error?.message).toContain(says);
  });

  it.each([
    ['is none', '12', 'ID_MALFORMED'],
    ['is a phone number (V3)', '+4915112345678', 'CHANNEL_MISMATCH'],
  ])('refuses an id that %s, whatever is sent to it', async (_, id, code) => {
    for (const content of [['--text', 'Hello'], SHIPPED]) {
      expect(await send(id, ...content)).toMatchObject({ status: 3, json: { ok: false, findings: [{ code }] } });
    }
  });

  it('looks for the window of the id as it is sent to', async () => {
    const { status, json, stderr } = await send(`'${INSIDE}`, '--text', 'Hello');
    expect([status, json], stderr).toMatchObject([0, { to: INSIDE, state: 'sent' }]);
  });

  it('refuses text that is too long for the channel', async () => {
    const { status, json } = await send<{ findings: { code: string }[] }>(INSIDE, '--text', 'x'.repeat(2000));
    expect([status, json.findings[0]?.code]).toEqual([3, 'MESSAGE_TOO_LONG']);
  });

  it('keeps what it did in the list of messages, and out of that of campaigns', async () => {
    const { json } = await send<{ campaign: string; messageId: string }>(INSIDE, '--text', 'Hello again');
    const list = await inside<{ message_id: string }[]>(workspace, [
      ...['message', 'list', '--campaign', json.campaign, '--json'],
    ]);
    const listed = list.json.filter((one) => one.message_id === json.messageId);
    expect(listed).toMatchObject([{ state: 'sent', user_id: INSIDE, mode: 'interactive' }]);
    expect((await inside(workspace, ['campaign', 'list'])).stdout).not.toContain(json.campaign);
  });

  it('refuses who has opted out, until they write again', async () => {
    const person = personId(3);
    const wroteNow = async (): Promise<void> => {
      await workspace.write('wrote.csv', `user_id,opened_at\n${person},${new Date().toISOString()}\n`);
      await inside(workspace, ['window', 'import', 'wrote.csv']);
    };
    await wroteNow();
    await inside(workspace, ['optout', 'add', person, '--account', 'sandbox']);
    expect(await send(person, '--text', 'Hello')).toMatchObject({ status: 6, error: { code: 'POLICY_FORBIDS' } });
    await wroteNow();
    expect(await send(person, '--text', 'Hello')).toMatchObject({ status: 0, json: { to: person, state: 'sent' } });
  });

  it('says it in words', async () => {
    const sent = await inside(workspace, ['message', 'send', '--from', 'sandbox', '--to', INSIDE, '--text', 'Hi']);
    expect(sent.stdout).toMatch(/^m_\S+\n$/);
    expect(sent.stderr).toContain(`Sent to …${INSIDE.slice(-4)}.`);
  });
});
