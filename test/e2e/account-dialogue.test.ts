/** The guided `pagecast account add` in a real terminal: what is typed as a secret is never shown. */
import { readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { sandboxProcess } from '../support/process.js';
import { chooses, HAS_TMUX, terminal } from '../support/terminal.js';
import { testWorkspace } from '../support/workspace.js';

const TOKEN = 'EAABsbCS1iHgBAExample0secret';
const NEW_TOKEN = 'EAABsbCS1iHgBAExample0newer';
const PAGE_ID = '102938475601928';

describe.skipIf(!HAS_TMUX)('account add', () => {
  it('asks for what is missing, hides what is secret, and asks the service; later a new token is typed in', async () => {
    const sandbox = await sandboxProcess(await testWorkspace(), { page: { id: PAGE_ID, token: TOKEN } });
    const workspace = await testWorkspace('# mine\naccounts:\n');
    const yaml = (): Promise<string> => readFile(workspace.path('pagecast.yaml'), 'utf8');
    const screen = terminal(workspace, ['account', 'add', '--url', sandbox.url]);
    await screen.sees('What is the account to be called?');
    screen.answers('auto');
    await screen.sees('It must not be called auto or record-owner');
    screen.presses('C-u');
    screen.answers('acme');
    await chooses(screen, 'Who carries the messages?', 'Meta');
    await chooses(screen, 'On which channel?', 'Messenger');
    await screen.sees('The id of the Page:');
    screen.answers('1');
    await screen.sees('It must be the id of the account');
    screen.presses('C-u');
    screen.answers(PAGE_ID);
    await chooses(screen, 'Where are its secrets kept', 'In the keyring of this system');
    await screen.sees('The system keyring cannot be used');
    await chooses(screen, 'Where are its secrets kept', 'In files that only you can read');
    await screen.sees('The access token:');
    screen.answers(TOKEN);
    await screen.sees('The app secret (empty: there is none):');
    screen.presses('Enter');
    await screen.sees('Ask the service whether the account works?');
    screen.answers('y');
    await screen.sees('ok   token: The token is accepted.');
    expect(await screen.status()).toBe(0);
    expect(screen.screen()).not.toContain(TOKEN);
    const file = workspace.path('.pagecast/secrets/acme.token');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toBe(`${TOKEN}\n`);
    const written = await yaml();
    expect(written).toBe(
      `# mine\naccounts:\n  acme:\n    provider: graph\n    channel: messenger\n    id: "${PAGE_ID}"\n    token: file:.pagecast/secrets/acme.token\n    url: ${sandbox.url}\n`,
    );
    screen.closes();

    const change = terminal(workspace, ['account', 'add', 'acme', '--replace', '--no-verify']);
    await change.sees('A new access token (empty: the one that is stored stays):');
    change.answers(NEW_TOKEN);
    expect(await change.status()).toBe(0);
    expect(change.screen()).not.toContain(NEW_TOKEN);
    expect(await readFile(file, 'utf8')).toBe(`${NEW_TOKEN}\n`);
    expect(await yaml()).toBe(written);
  });

  it('asks for the own id of an Instagram account that is linked to a Page, which may wait', async () => {
    for (const [answer, line] of [
      ['17841400455970123', '    instagramId: "17841400455970123"\n'],
      ['', ''],
    ] as const) {
      const workspace = await testWorkspace('# mine\n');
      const args = ['account', 'add', 'insta', '--provider', 'graph', '--token', 'env:T', '--no-verify'];
      const screen = terminal(workspace, args);
      await chooses(screen, 'On which channel?', 'Instagram');
      await chooses(screen, 'How does the Instagram account sign in?', 'Through the Facebook Page');
      await screen.sees('The id of the Page that the Instagram account is linked to:');
      screen.answers(PAGE_ID);
      await screen.sees('The own id of the Instagram account');
      if (answer === '') screen.presses('Enter');
      else screen.answers(answer);
      expect(await screen.status()).toBe(0);
      expect(await readFile(workspace.path('pagecast.yaml'), 'utf8')).toBe(
        `# mine\naccounts:\n  insta:\n    provider: graph\n    channel: instagram\n    id: "${PAGE_ID}"\n${line}    token: env:T\n`,
      );
      screen.closes();
    }
  });

  it('writes nothing when it is left, and removes only what a person has confirmed', async () => {
    const before = 'accounts:\n  acme: { provider: sandbox, channel: messenger, id: "10001" }\n';
    const workspace = await testWorkspace(before);
    const screen = terminal(workspace, ['account', 'add', 'sms', '--provider', 'twilio', '--id', '+15550001111']);
    await chooses(screen, 'Where are its secrets kept', 'In environment variables');
    await screen.sees('Environment variable with the account SID: (SMS_ACCOUNT_SID)');
    screen.presses('C-c');
    expect(await screen.status()).toBe(130);
    expect(screen.screen()).toContain('Nothing was written.');
    screen.closes();
    for (const [answer, left] of [
      ['n', before],
      ['y', 'accounts:\n'],
    ] as const) {
      const removal = terminal(workspace, ['account', 'remove', 'acme']);
      await removal.sees('Take acme out of');
      removal.answers(answer);
      expect(await removal.status()).toBe(answer === 'y' ? 0 : 130);
      expect(await readFile(workspace.path('pagecast.yaml'), 'utf8')).toBe(left);
      removal.closes();
    }
  });
});
