import { describe, expect, it } from 'vitest';
import { answersFor, readConversation, recentConversations, type Conversation } from '../../src/app/inbox.js';
import { senderKey } from '../../src/core/sender.js';
import type { Template } from '../../src/core/template.js';
import type { OptOutChange } from '../../src/core/opt-out.js';
import type { Account, CallFailure, Provider } from '../../src/ports.js';
import { failure, FakeProvider } from '../support/fake-provider.js';
import { FakeClock } from '../support/fake-clock.js';
import { run, stageRows, wrote } from '../support/fixtures-run.js';
import {
  account,
  accountKey,
  DAY,
  exactWindow,
  HOUR,
  NOW,
  openLedger,
  registeredTemplate,
  row,
  template,
  user,
} from '../support/fixtures.js';

const sms: Account = { name: 'alice-sms', channel: 'sms', provider: 'twilio', id: '+15550001111', pace: 1 };

describe('recent conversations', () => {
  const out = (userId: string, at: number): OptOutChange => {
    return { account: accountKey, userId, at, out: true, source: 'keyword' };
  };

  it('stand with the latest first, each with its window and whether it may be answered', async () => {
    const { store } = openLedger();
    const clock = new FakeClock(NOW);
    await store.recordOpeners(accountKey, [
      wrote(user(1), NOW - 2 * HOUR),
      { ...wrote(user(2), NOW - HOUR), opener: 'reaction' },
      wrote(user(3), NOW - DAY),
      wrote(user(4), NOW - 3 * HOUR),
      wrote(user(5), NOW - 4 * HOUR),
      { ...wrote(user(6), NOW - 5 * HOUR), opener: 'reaction' },
    ]);
    // By the last thing that they wrote, before it, and before something that asks for no answer.
    await store.changeOptOuts([
      out(user(4), NOW - 3 * HOUR),
      out(user(5), NOW - 5 * HOUR),
      out(user(6), NOW - 6 * HOUR),
    ]);
    const list = await recentConversations({ store, clock }, account, exactWindow, 5);
    const shape = ({ userId, last, window, optedOutAt, isAnswerable }: Conversation): unknown[] => {
      return [userId, last.opener, window?.state, window && window.closesAt - NOW, optedOutAt, isAnswerable];
    };
    expect(list.map(shape)).toEqual([
      [user(2), 'reaction', 'open', 23 * HOUR, null, true],
      [user(1), 'message', 'open', 22 * HOUR, null, true],
      [user(4), 'message', 'open', 21 * HOUR, NOW - 3 * HOUR, false],
      [user(5), 'message', 'open', 20 * HOUR, NOW - 5 * HOUR, true],
      [user(6), 'reaction', 'open', 19 * HOUR, NOW - 6 * HOUR, false],
    ]);
    const [, , , , , last] = await recentConversations({ store, clock }, account, exactWindow, 9);
    expect([last?.userId, last?.window?.state]).toEqual([user(3), 'closed']);
  });

  it('have no window by SMS', async () => {
    const { store } = openLedger();
    const number = '+4915112345678';
    await store.recordOpeners(senderKey(sms), [wrote(number, NOW - 3 * DAY)]);
    const list = await recentConversations({ store, clock: new FakeClock(NOW) }, sms, exactWindow, 9);
    expect(list).toMatchObject([{ userId: number, window: null, isAnswerable: true }]);
  });
});

describe('a conversation', () => {
  it('is what the platform shows of it, oldest first and the newest twenty only, read with rests', async () => {
    const { store } = openLedger();
    const clock = new FakeClock(NOW);
    const provider = new FakeProvider(clock);
    for (let n = 24; n >= 0; n -= 1) {
      // A question and its answer within one second.
      const at = NOW - 1000 * Math.ceil((25 - n) / 2);
      provider.put(user(1), { messageId: `m${n}`, text: `text ${n}`, at, fromAccount: n % 2 === 0 });
    }
    provider.look = { calls: 3, ms: 1 };
    const view = await readConversation({ store, clock, provider }, account, user(1), NOW - DAY);
    expect(view).toMatchObject({ source: 'platform', error: null });
    const shown = Array.from({ length: 20 }, (_, index) => index + 5);
    expect(view.lines.map(({ text, fromAccount, state }) => [text, fromAccount, state])).toEqual(
      shown.map((n) => [`text ${n}`, n % 2 === 0, null]),
    );
    const [look] = provider.looks;
    expect([look?.userId, look?.since]).toEqual([user(1), NOW - DAY]);
    const [first = 0, second = 0, third = 0] = look?.calls ?? [];
    expect(Math.min(first - NOW, second - first, third - second)).toBeGreaterThanOrEqual(500);
  });

  it.each<[what: string, change: Partial<Provider>, code: string | null]>([
    ['nobody shows it', { capabilities: { registeredTemplates: true, lookup: false, maxBatch: () => 1 } }, null],
    [
      'the platform fails',
      { conversation: () => Promise.resolve<CallFailure>({ kind: 'failed', error: failure('10/1893063') }) },
      '10/1893063',
    ],
  ])('is what was sent from here, with what became of it, where %s', async (_what, change, code) => {
    const stage = await stageRows(
      [row(1), row(2), row(3, { closesAt: null, outside: true })],
      [wrote(user(1), NOW - HOUR), wrote(user(2), NOW - HOUR)],
      ({ userId }) => (userId === user(2) ? { outcome: { kind: 'unknown', error: failure('TIMEOUT') } } : {}),
      { outside: { ...registeredTemplate, body: 'Order {{order_no}} is ready.' } },
    );
    const { store, clock, provider } = stage;
    // The same person of another account is another person.
    await store.recordOpeners(senderKey(sms), [wrote(user(1), NOW)]);
    await run(stage);
    const reader = Object.assign(provider, change);
    const view = (userId: string, whose = account): ReturnType<typeof readConversation> =>
      readConversation({ store, clock, provider: reader }, whose, userId, NOW - DAY);
    const said = async (userId: string, whose = account): Promise<unknown[]> =>
      (await view(userId, whose)).lines.map(({ text, state, fromAccount }) => [text, state, fromAccount]);
    expect((await view(user(1))).source).toBe('ledger');
    expect((await view(user(1))).error?.code ?? null).toBe(code);
    expect(await said(user(1))).toEqual([['Hi Ann, order A-1 leaves today.', 'sent', true]]);
    expect(await said(user(2))).toEqual([['Hi Ann, order A-2 leaves today.', 'unknown', true]]);
    expect(await said(user(3))).toEqual([['Order A-3 is ready.', 'sent', true]]);
    expect(await said(user(1), sms)).toEqual([]);
  });
});

describe('what may be answered', () => {
  const story: Template = { ...template, name: 'story_thanks', channels: ['instagram'] };
  const pending: Template = {
    ...registeredTemplate,
    name: 'late',
    registration: { name: 'late', status: 'PENDING', parameters: 'named' },
  };
  const notice: Template = { ...registeredTemplate, name: 'notice' };
  const capable = { registeredTemplates: true, lookup: true, maxBatch: () => 1 };
  const open = { window: { state: 'open', closesAt: NOW + HOUR } } as const;
  const shut = { window: { state: 'closed', closesAt: NOW - HOUR } } as const;
  const stranger = { window: { state: 'unknown', closesAt: NOW } } as const;
  const textMessage: Template = { ...template, name: 'pickup', channels: ['sms'] };

  it.each([
    ['inside the window', account, capable, open, true, ['order_update', 'notice'], ['story_thanks', 'late', 'pickup']],
    ['outside', account, capable, shut, false, ['notice'], ['order_update', 'story_thanks', 'late', 'pickup']],
    ['unknown', account, capable, stranger, false, ['notice'], ['order_update', 'story_thanks', 'late', 'pickup']],
    [
      'by a provider without registered templates',
      account,
      { ...capable, registeredTemplates: false },
      open,
      true,
      ['order_update'],
      ['story_thanks', 'late', 'notice', 'pickup'],
    ],
    ['by SMS', sms, capable, { window: null }, true, ['pickup'], ['order_update', 'story_thanks', 'late', 'notice']],
  ])('%s', (_what, whose, capabilities, standing, freeText, possible, impossible) => {
    const all = [template, story, pending, notice, textMessage];
    const answers = answersFor(whose, capabilities, all, standing);
    expect(answers.freeText === null).toBe(freeText);
    expect(answers.templates.map(({ name }) => name)).toEqual(possible);
    expect(answers.impossible.map((one) => one.template.name)).toEqual(impossible);
    for (const { reason, instead } of answers.impossible) expect(`${reason}${instead}`).not.toBe('');
  });
});
