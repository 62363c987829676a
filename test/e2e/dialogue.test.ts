/** The guided `pagecast send` in a real terminal, from the first question to the report; and the same through flags in a pipe. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  pagecast,
  pagecastJson,
  sandboxProcess,
  until,
  type CampaignJson,
  type SandboxProcess,
} from '../support/process.js';
import { chooses, HAS_TMUX, terminal } from '../support/terminal.js';
import { Ledger } from '../support/workspace-ledger.js';
import {
  accountsAt,
  orderSheet,
  personId,
  testWorkspace,
  windowLog,
  type TestWorkspace,
} from '../support/workspace.js';

if (!HAS_TMUX) console.warn('The dialogue is not tested: there is no tmux here. On Debian: apt-get install tmux.');

const PEOPLE = 30;
/** The last two have not written. */
const OPEN = 28;

async function ready(): Promise<{ sandbox: SandboxProcess; workspace: TestWorkspace }> {
  const sandbox = await sandboxProcess(await testWorkspace());
  const workspace = await testWorkspace(accountsAt({ page: sandbox.url }));
  await workspace.write('orders.csv', orderSheet(PEOPLE));
  await workspace.write('windows.csv', windowLog(OPEN));
  await pagecast(workspace, ['window', 'import', 'windows.csv', '--account', 'page']);
  return { sandbox, workspace };
}

describe.skipIf(!HAS_TMUX)('the dialogue', () => {
  it('walks from the language to the report', async () => {
    const { sandbox, workspace } = await ready();
    const screen = terminal(workspace, ['send']);
    await chooses(screen, 'In which language?', 'en_US');
    await chooses(screen, 'Which template?', 'order_update');
    await screen.sees('Hi Ann, order A-1042 leaves on 1 Dec.');
    await chooses(screen, 'From which account?', 'page');
    await chooses(screen, 'When should it be sent?', 'Immediately');
    await chooses(screen, 'Where do the recipients come from?', 'A workbook that is filled in');
    await screen.sees('The filled-in workbook');
    screen.answers('orders.csv');
    await screen.sees('30 rows, 30 recipients.');
    await screen.sees('Before you send to many people at once');
    await screen.sees('Hi Ann 0, order A-0 leaves on 1 Dec.');
    await screen.sees('not known to have written');
    await screen.sees('do you accept the policy?');
    expect((await sandbox.stats()).accepted).toBe(0);
    screen.answers('y');
    await screen.sees('To send to 28 people, type the number:');
    screen.answers('28');
    await screen.sees(/Campaign \S+ is finished: 28 sent, 2 skipped of 30\./);
    expect(await screen.status()).toBe(0);
    expect(screen.screen()).not.toMatch(/undefined|\[object|NaN/);
    const { accepted, duplicates } = await sandbox.stats();
    expect({ accepted, duplicates }).toEqual({ accepted: 28, duplicates: [] });
  });

  it('sets a time, refuses one that has passed, and has a worker send it', async () => {
    const { sandbox, workspace } = await ready();
    const screen = terminal(workspace, ['send', '--lang', 'en_US', '--from', 'page']);
    await chooses(screen, 'Which template?', 'order_update');
    await chooses(screen, 'When should it be sent?', 'At a set time');
    await screen.sees('In which time zone?');
    screen.presses('Enter');
    await screen.sees('At what time?');
    screen.answers('2020-01-01 09:00');
    await screen.sees(/not in the future|has passed|in the past/);
    screen.presses('C-u');
    screen.answers('in 12 seconds');
    await screen.sees('Is that right?');
    screen.answers('y');
    await chooses(screen, 'Where do the recipients come from?', 'A workbook that is filled in');
    await screen.sees('The filled-in workbook');
    screen.answers('orders.csv');
    await screen.sees('do you accept the policy?');
    screen.answers('y');
    // Everybody of the sheet may get it, if they write until then.
    await screen.sees('To send to up to 30 people, type the number:');
    screen.answers('30');
    await screen.sees(/Campaign \S+ goes out at/);
    expect(await screen.status()).toBe(0);
    expect((await sandbox.stats()).accepted).toBe(0);
    const ledger = new Ledger(workspace);
    expect(ledger.campaign()).toMatchObject({ state: 'scheduled', total: 30 });
    await until(
      'the worker has sent it',
      async () => {
        await pagecast(workspace, ['run', '--once']);
        return ledger.campaign()?.state === 'finished';
      },
      40_000,
    );
    ledger.close();
    expect((await sandbox.stats()).accepted).toBe(28);
  });

  it('makes a workbook, takes typed-in ids, and shows one language at a time', async () => {
    const { sandbox, workspace } = await ready();
    const screen = terminal(workspace, ['send', '--lang', 'en_US', '--from', 'page']);
    await chooses(screen, 'Which template?', 'order_update');
    await chooses(screen, 'When should it be sent?', 'Immediately');
    await chooses(screen, 'Where do the recipients come from?', 'A few user IDs');
    await screen.sees('User IDs');
    screen.answers(`${personId(0)}, ${personId(1)}`);
    for (const value of ['Ann', 'A-1', '1 Dec']) {
      await screen.sees('for all of them:');
      screen.answers(value);
      await screen.sees(value);
    }
    await screen.sees('do you accept the policy?');
    screen.answers('y');
    await screen.sees('type the number:');
    screen.answers('2');
    expect(await screen.status()).toBe(0);
    const texts = (await sandbox.received()).map(({ user, text }) => [user, text]);
    expect(texts.sort()).toEqual([0, 1].map((one) => [personId(one), 'Hi Ann, order A-1 leaves on 1 Dec.']));
  });

  it('sends nothing when Ctrl-C is pressed inside a question, at any of them', async () => {
    const { sandbox, workspace } = await ready();
    const given = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const places: [string[], string][] = [
      [['send'], 'In which language?'],
      [given, 'do you accept the policy?'],
      [[...given, '--accept-policy'], 'type the number:'],
    ];
    for (const [args, question] of places) {
      const screen = terminal(workspace, args);
      await screen.sees(question);
      screen.presses('C-c');
      expect(await screen.status()).toBe(130);
      expect(screen.screen()).toContain('Nothing was sent.');
      screen.closes();
    }
    expect((await sandbox.stats()).accepted).toBe(0);
    const ledger = new Ledger(workspace);
    expect(ledger.campaigns()).toEqual([]);
    ledger.close();
  });

  it('sends nothing when the policy is not accepted or the count differs', async () => {
    const { sandbox, workspace } = await ready();
    const given = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const first = terminal(workspace, given);
    await first.sees('do you accept the policy?');
    first.answers('n');
    expect(await first.status()).toBe(6);
    expect(first.screen()).toContain('POLICY_NOT_ACCEPTED');
    first.closes();
    expect((await sandbox.stats()).accepted).toBe(0);
  });

  it('asks again for a file that is not there, marks copies under names of their own, and can be stopped', async () => {
    const { sandbox, workspace } = await ready();
    const lines = orderSheet(2).trimEnd().split('\n');
    await workspace.write('people.csv', [...lines, `${personId(2)},,A-2,1 Dec`].join('\n'));
    await workspace.write('people.faults.xlsx', 'mine');
    const screen = terminal(workspace, ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page']);
    await chooses(screen, 'Where do the recipients come from?', 'A workbook that is filled in');
    await screen.sees('The filled-in workbook');
    screen.answers('people');
    await screen.sees('There is no file');
    await screen.sees('Tab to edit');
    expect(screen.screen()).not.toContain('has faults');
    screen.presses('Tab');
    await screen.sees(/Tab to edit\): people/);
    screen.answers('.csv');
    await screen.sees('3 rows, 2 recipients.');
    await chooses(screen, 'The sheet has faults. What now?', 'Write .*people.faults-2.xlsx');
    await screen.sees('Wrote ');
    await screen.sees('Tab to edit');
    screen.presses('Enter');
    await screen.sees('3 rows, 2 recipients.');
    await chooses(screen, 'The sheet has faults. What now?', 'Stop here');
    expect(await screen.status()).toBe(130);
    expect(screen.screen()).toContain('Nothing was sent.');
    expect(await readFile(workspace.path('people.faults.xlsx'), 'utf8')).toBe('mine');
    expect((await sandbox.stats()).accepted).toBe(0);
  });

  it('says at once what is wrong with a typed-in id', async () => {
    const { workspace } = await ready();
    const screen = terminal(workspace, ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page']);
    await chooses(screen, 'Where do the recipients come from?', 'A few user IDs');
    await screen.sees('User IDs');
    screen.answers(`${personId(0)} ann`);
    await screen.sees('ID 2, User ID: "ann" is no user ID.');
    screen.presses('C-c');
    expect(await screen.status()).toBe(130);
  });

  it('shows how the sending gets on; Ctrl-C pauses it and resume goes on', async () => {
    const { sandbox, workspace } = await ready();
    const given = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const screen = terminal(workspace, [...given, '--accept-policy', '--confirm-count', '28', '--pace', '10/s']);
    await screen.sees(/\d+ sent, 2 skipped, \d+ to go, [\d.]+\/s/);
    screen.presses('C-c');
    await screen.sees('Stopping: waiting for the messages that are under way.');
    expect(await screen.status()).toBe(130);
    const [, id = ''] = /pagecast campaign resume (\S+)/.exec(screen.screen()) ?? [];
    screen.closes();
    const resumed = await pagecastJson<CampaignJson>(workspace, ['campaign', 'resume', id]);
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(resumed.json).toMatchObject({ state: 'finished', sent: 28, skipped: 2, unknown: 0, total: 30 });
    expect((await sandbox.stats()).duplicates).toEqual([]);
  });

  it('pauses the campaign when its window is closed', async () => {
    const { sandbox, workspace } = await ready();
    const given = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const screen = terminal(workspace, [...given, '--accept-policy', '--confirm-count', '28', '--pace', '10/s']);
    await screen.sees(/\d+ sent, 2 skipped, \d+ to go, [\d.]+\/s/);
    screen.closes();
    const ledger = new Ledger(workspace);
    await until('the campaign is paused', () => ledger.campaign()?.state === 'paused');
    const { rows, id } = ledger.campaign()!;
    expect(rows['started'] ?? 0).toBe(0);
    expect(rows['unknown'] ?? 0).toBe(0);
    ledger.close();
    // The process says it is paused a moment before it gives the account back.
    await until(
      'the account is free',
      async () => (await pagecast(workspace, ['campaign', 'resume', id])).status === 0,
    );
    const { accepted, duplicates } = await sandbox.stats();
    expect({ accepted, duplicates }).toEqual({ accepted: 28, duplicates: [] });
  });
});

describe.skipIf(!HAS_TMUX)('a terminal beside a file', () => {
  it('keeps its colours to itself', async () => {
    const { workspace } = await ready();
    const given = ['--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const screen = terminal(workspace, ['plan', ...given], 'plan.txt');
    expect(await screen.status()).toBe(0);
    const text = await readFile(workspace.path('plan.txt'), 'utf8');
    expect(text).toContain('Hi Ann 0, order A-0 leaves on 1 Dec.');
    expect(text).not.toContain('\u001b');
  });
});

describe('the same through flags in a pipe', () => {
  it('prints one JSON document and asks nothing', async () => {
    const { sandbox, workspace } = await ready();
    const given = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
    const { status, json, stderr } = await pagecastJson<CampaignJson>(workspace, [
      ...given,
      '--accept-policy',
      '--confirm-count',
      '28',
    ]);
    expect(status, stderr).toBe(0);
    expect(stderr).toBe('');
    expect(json).toMatchObject({
      state: 'finished',
      total: 30,
      sent: 28,
      skipped: 2,
      failed: 0,
      unknown: 0,
      queued: 0,
    });
    expect((await sandbox.stats()).accepted).toBe(28);
  });
});
