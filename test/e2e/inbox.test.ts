/** The inbox in a real terminal: conversations are listed, read and answered. */
import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { inside } from '../support/process-inside.js';
import { sandboxProcess, type SandboxProcess } from '../support/process.js';
import { chooses, HAS_TMUX, terminal, type Terminal } from '../support/terminal.js';
import { accountsAt, personId, sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

if (!HAS_TMUX) console.warn('The inbox is not tested: there is no tmux here. On Debian: apt-get install tmux.');

const [ANN, BEN, CLEO, DAN] = [0, 1, 2, 3].map(personId) as [string, string, string, string];
const QUESTION = 'page: whose conversation?';
const SHIPPED =
  'Your order {{order_no}} was handed to {{carrier}} today and should reach you by {{date}}, {{name}}. Thank you!';

/** Gives the variables of a template their values. */
async function fills(screen: Terminal, values: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    await screen.sees(`? ${name} (`);
    screen.answers(value);
  }
}

describe.skipIf(!HAS_TMUX)('the inbox', () => {
  let sandbox: SandboxProcess;
  let workspace: TestWorkspace;
  const atEnd = sharedEnd();
  const minutesAgo = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

  beforeAll(async () => {
    sandbox = await sandboxProcess(await testWorkspace(undefined, atEnd), {
      users: [
        { id: BEN, opened_at: '-30h' },
        { id: CLEO, opened_at: '-2h' },
      ],
      templates: [{ name: 'order_shipped', language: 'en_US', parameter_format: 'NAMED', body: SHIPPED }],
      limits: { conversationsPerSecond: 2 },
    });
    workspace = await testWorkspace(accountsAt({ page: sandbox.url }).replace('35/s', 'unlimited'), atEnd);
    // What somebody writes must not reach the terminal as orders to it, such as one that sets the title.
    await sandbox.change('users', {
      id: ANN,
      text: 'Is it \u001b[31mopen\u001b]0;mine\u0007 today?\nThe shop, I mean.',
    });
    const people = [
      [ANN, minutesAgo(1)],
      [BEN, minutesAgo(30 * 60)],
      [CLEO, minutesAgo(120)],
      [DAN, minutesAgo(23 * 60 + 30)],
    ];
    await workspace.write('windows.csv', ['user_id,opened_at', ...people, ''].join('\n'));
    await workspace.write('out.csv', `user_id,opted_out_at\n${CLEO},${minutesAgo(60)}\n`);
    for (const args of [
      ['window', 'import', 'windows.csv'],
      ['optout', 'import', 'out.csv'],
    ]) {
      const { status, stderr } = await inside(workspace, [...args, '--account', 'page']);
      expect(status, stderr).toBe(0);
    }
  });

  const inbox = (): Terminal => terminal(workspace, ['inbox', '--account', 'page']);
  const gotBy = async (user: string): Promise<(string | null)[]> =>
    (await sandbox.received()).filter((one) => one.user === user).map(({ text }) => text);

  it('lists who did something last, with what is left of their windows, and can be left while it reads', async () => {
    const screen = terminal(workspace, ['inbox']);
    await chooses(screen, 'The inbox of which account?', 'page');
    await screen.sees(QUESTION);
    const lines = screen.screen().split('\n');
    const lineOf = (user: string): string => lines.find((line) => line.includes(user)) ?? '';
    expect(lineOf(ANN)).toMatch(/message +1 min \d\d s ago +open for another 23 h 5\d min$/);
    expect(lineOf(BEN)).toMatch(/message +30 h 00 min ago +shut$/);
    expect(lineOf(CLEO)).toMatch(/open for another 21 h 5\d min +opted out$/);
    expect(lineOf(DAN)).toMatch(/open for another 2\d min \d\d s$/);
    await chooses(screen, QUESTION, ANN);
    await screen.sees('Reading the conversation');
    screen.presses('C-c');
    expect(await screen.status()).toBe(130);
    expect(screen.screen()).toContain('Nothing was sent.');
  });

  it('shows what was written, and answers with free text', async () => {
    const screen = inbox();
    await chooses(screen, QUESTION, ANN);
    await screen.sees('they');
    await screen.sees('Is it  [31mopen ]0;mine  today?');
    await screen.sees('The shop, I mean.');
    await chooses(screen, 'What now?', 'Write free text');
    await screen.sees('Your message');
    screen.answers('Until six. {{braces}} stay.');
    await screen.sees(`Sent to …${ANN.slice(-4)}.`);
    await screen.sees(QUESTION);
    expect(await gotBy(ANN)).toEqual(['Until six. {{braces}} stay.']);
    // And again: what was sent is part of the conversation now.
    await chooses(screen, QUESTION, ANN);
    await screen.sees('Until six. {{braces}} stay.');
    await chooses(screen, 'What now?', 'Send a template');
    await chooses(screen, 'Which template?', 'order_update \\(en_US\\)');
    await fills(screen, { name: 'Ann', order_no: 'A-7', date: '4 Dec' });
    await screen.sees('Hi Ann, order A-7 leaves on 4 Dec.');
    await screen.sees('Send this?');
    screen.answers('n');
    await screen.sees(QUESTION);
    screen.presses('C-c');
    expect(await screen.status()).toBe(130);
    expect(screen.screen()).toContain('1 answer was handed over before that.');
    expect(screen.screen()).not.toMatch(/undefined|\[object|NaN/);
    expect(await gotBy(ANN)).toHaveLength(1);
  });

  it('offers only registered templates outside the window, and says why', async () => {
    const screen = inbox();
    await chooses(screen, QUESTION, BEN);
    await screen.sees('window is shut');
    await screen.sees('What now?');
    expect(screen.screen()).not.toContain('Write free text');
    await chooses(screen, 'What now?', 'Send a template');
    await screen.sees(/Not possible now: .*order_update \(en_US\)/);
    await chooses(screen, 'Which template?', 'order_shipped \\(en_US\\)');
    await fills(screen, { order_no: 'A-9', carrier: 'Blue Van', date: '4 Dec', name: 'Ben' });
    await screen.sees('Send this?');
    screen.answers('y');
    await screen.sees(`Sent to …${BEN.slice(-4)}.`);
    expect(await gotBy(BEN)).toEqual([
      'Your order A-9 was handed to Blue Van today and should reach you by 4 Dec, Ben. Thank you!',
    ]);
    await chooses(screen, QUESTION, 'Quit');
    expect(await screen.status()).toBe(0);
  });

  it('does not answer somebody who opted out, until they have written', async () => {
    const screen = inbox();
    await chooses(screen, QUESTION, CLEO);
    await screen.sees('They asked not to be written to');
    await screen.sees('What now?');
    expect(screen.screen()).not.toMatch(/Write free text|Send a template/);
    await workspace.write('later.csv', `user_id,opened_at\n${CLEO},${minutesAgo(5)}\n`);
    expect((await inside(workspace, ['window', 'import', 'later.csv', '--account', 'page'])).status).toBe(0);
    await chooses(screen, 'What now?', 'Back to the list');
    await chooses(screen, QUESTION, `${CLEO}.*opted out, wrote since`);
    await chooses(screen, 'What now?', 'Write free text');
    await screen.sees('Your message');
    screen.answers('Gladly.');
    await screen.sees(`Sent to …${CLEO.slice(-4)}.`);
    expect(await gotBy(CLEO)).toEqual(['Gladly.']);
    screen.presses('C-c');
    expect(await screen.status()).toBe(130);
  });

  it('says what stands in the way of an answer, and goes on', async () => {
    const screen = inbox();
    await chooses(screen, QUESTION, DAN);
    await chooses(screen, 'What now?', 'Write free text');
    await screen.sees('Your message');
    screen.presses('Enter');
    await chooses(screen, QUESTION, DAN);
    await chooses(screen, 'What now?', 'Send a template');
    await chooses(screen, 'Which template?', 'order_update \\(en_US\\)');
    await fills(screen, { name: 'D'.repeat(61), order_no: 'A-7', date: '4 Dec' });
    await screen.sees('Send this?');
    screen.answers('y');
    await screen.sees('Nothing was sent:');
    await screen.sees('name: ');
    await sandbox.change('users', { id: DAN, opened_at: '-23.5h', behaviour: 'unavailable' });
    await chooses(screen, QUESTION, DAN);
    await chooses(screen, 'What now?', 'Write free text');
    await screen.sees('Your message');
    screen.answers('Hello?');
    await screen.sees(`Refused for …${DAN.slice(-4)}`);
    await screen.sees('551/1545041');
    await chooses(screen, QUESTION, 'Quit');
    expect(await screen.status()).toBe(0);
    expect(await gotBy(DAN)).toEqual([]);
  });

  it('keeps nothing of what people wrote', async () => {
    const kept = await Promise.all(
      (await readdir(workspace.path('.pagecast'))).map((name) =>
        readFile(workspace.path(`.pagecast/${name}`), 'latin1'),
      ),
    );
    expect(kept.join('')).toContain('Until six.');
    expect(kept.join('')).not.toContain('The shop, I mean.');
  });
});
