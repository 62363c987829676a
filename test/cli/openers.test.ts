/**
 * What opens a window and what does not (C6), from the act at the platform to `window show`: sandboxes post their webhooks
 * to one listener, which has an account at each.
 */
import { describe, expect, it } from 'vitest';
import type { Opener } from '../../src/core/window.js';
import { APP_SECRET, listenerInside } from '../support/listener.js';
import { inside } from '../support/process-inside.js';
import { testSandbox, type TestSandbox } from '../support/sandbox-harness.js';
import { personId, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const PAGES = { messenger: '102938475601928', instagram: '17841400000000001' };
type Channel = keyof typeof PAGES;

/** What somebody does, as the sandbox takes it, and the opener that it is; null for what opens no window. */
type Act = [what: string, act: object, opener: Opener | null];

const ON_BOTH: Act[] = [
  ['a message', { text: 'Hello' }, 'message'],
  ['a quick reply', { text: 'Yes', payload: 'YES' }, 'message'],
  ['a reply to a story', { act: 'story_reply' }, 'message'],
  ['a message while another app answers', { text: 'Hello', standby: true }, 'message'],
  ['a button', { opener: 'button' }, 'button'],
  ['a message from an ad', { opener: 'ad' }, 'ad'],
  ['a reaction', { opener: 'reaction' }, 'reaction'],
  ['a comment', { opener: 'comment' }, 'comment'],
  ['a click on an ad', { act: 'ad_click' }, null],
  ['a reaction taken back', { act: 'unreact' }, null],
  ['a message taken back', { act: 'unsend' }, null],
  ['a stop of notifications', { act: 'stop_notifications' }, null],
];
const ACTS: Record<Channel, Act[]> = {
  messenger: [
    ...ON_BOTH,
    ['an m.me link', { opener: 'm_me' }, 'm_me'],
    ['a post', { opener: 'visitor_post' }, 'visitor_post'],
  ],
  instagram: [...ON_BOTH, ['an ig.me link', { opener: 'ig_me' }, 'ig_me']],
};
/** Gets a message of ours, and reads it. */
const READER = personId(1000);
const [WRITER, COMMENTER] = [personId(1), personId(2)];
const HOUR = 3_600_000;
const MARGIN = 2 * 60_000;

interface Shown {
  state: string;
  opener: Opener | null;
  openedAt: number | null;
  closesAt: number | null;
}

/** An account at each sandbox, called like its channel. */
function configuration(platforms: readonly TestSandbox[], window = '{}'): string {
  const accounts = platforms.map(
    ({ sandbox: { page, url } }) =>
      `  ${page.channel}: { provider: sandbox, channel: ${page.channel}, id: "${page.id}", url: "${url}", appSecret: env:APP }`,
  );
  return `accounts:\n${accounts.join('\n')}\nwindow: ${window}\n`;
}

async function shown(workspace: TestWorkspace, account: Channel, user: string): Promise<Shown> {
  const { json, stderr } = await inside<Shown>(workspace, ['window', 'show', user, '--account', account, '--json']);
  expect(stderr).toBe('');
  return json;
}

describe('a listener', () => {
  it('knows every opener on each channel, and what only looks like one', async () => {
    const platforms = {
      messenger: await testSandbox({ page: { id: PAGES.messenger } }),
      instagram: await testSandbox({ page: { id: PAGES.instagram, channel: 'instagram' } }),
    };
    const workspace = await testWorkspace(configuration(Object.values(platforms)));
    const listening = await listenerInside(workspace, { APP: APP_SECRET });
    // In whole seconds, because comments and posts on a Page have no finer time.
    const began = Math.floor(Date.now() / 1000) * 1000 - HOUR;
    for (const [channel, acts] of Object.entries(ACTS) as [Channel, Act[]][]) {
      const { sandbox, clock, send } = platforms[channel];
      sandbox.state.setWebhook({ url: `${listening.url}/webhooks/meta`, secret: APP_SECRET });
      for (const [index, [, act]] of acts.entries()) {
        clock.at = began + index * 1000;
        sandbox.state.changeUsers({ id: personId(index), ...act });
        // Each by itself: on Instagram the time of a comment is that of the post that tells of it.
        await sandbox.state.webhooksDone();
      }
      await send(READER);
      sandbox.state.changeUsers({ id: READER, act: 'read' });
      await sandbox.state.webhooksDone();
      // Of the reader it told twice: an echo, and that they read.
      expect(sandbox.state.stats().webhooks).toEqual({ posted: acts.length + 2, failed: 0, dropped: 0 });
    }
    expect(await listening.stop()).toBe(0);
    expect(listening.lines().filter(({ event }) => event === 'dead_letters')).toEqual([]);

    const { store } = await listening.store();
    for (const [channel, acts] of Object.entries(ACTS) as [Channel, Act[]][]) {
      const account = `sandbox:${channel}/${PAGES[channel]}`;
      for (const [index, [what, , opener]] of acts.entries()) {
        const user = personId(index);
        const openedAt = began + index * 1000;
        expect([what, await store.openersOf(account, user)]).toEqual([
          what,
          opener === null ? [] : [{ opener, openedAt }],
        ]);
        expect([what, await shown(workspace, channel, user)]).toMatchObject([
          what,
          opener === null
            ? { state: 'unknown', opener: null, openedAt: null, closesAt: null }
            : { state: 'open', opener, openedAt, closesAt: openedAt + 24 * HOUR - MARGIN },
        ]);
      }
      expect(await store.openersOf(account, READER)).toEqual([]);
    }
  });

  it.each(['messenger', 'instagram'] as const)(
    'does not count comments on %s where they are turned off',
    async (channel) => {
      const platform = await testSandbox({ page: { id: PAGES[channel], channel } });
      const workspace = await testWorkspace(configuration([platform], '{ openers: { comment: false } }'));
      const listening = await listenerInside(workspace, { APP: APP_SECRET });
      const { sandbox, clock } = platform;
      sandbox.state.setWebhook({ url: `${listening.url}/webhooks/meta`, secret: APP_SECRET });
      const began = Math.floor(Date.now() / 1000) * 1000 - HOUR;
      const acts = [
        [WRITER, 'message'],
        [WRITER, 'comment'],
        [COMMENTER, 'comment'],
      ] as const;
      for (const [index, [id, opener]] of acts.entries()) {
        clock.at = began + index * 1000;
        sandbox.state.changeUsers({ id, opener });
        await sandbox.state.webhooksDone();
      }
      expect(await listening.stop()).toBe(0);
      expect(await shown(workspace, channel, COMMENTER)).toMatchObject({
        state: 'unknown',
        opener: null,
        closesAt: null,
      });
      expect(await shown(workspace, channel, WRITER)).toMatchObject({
        state: 'open',
        opener: 'message',
        openedAt: began,
      });
    },
  );
});
