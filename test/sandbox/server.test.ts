import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { FaultRule, SeedInput } from '../../src/sandbox/seed.js';
import { parseSeed } from '../../src/sandbox/seed.js';
import { startSandbox } from '../../src/sandbox/server.js';
import { machineClock } from '../support/provider-contract.js';
import { NOON, seededRandom, StandingClock, testSandbox } from '../support/sandbox-harness.js';

const ANN = '7642925849053947';
const BEN = '7642925849053948';

describe('what was received', () => {
  it('is kept for each user, oldest first', async () => {
    const { send, call, sandbox, clock } = await testSandbox();
    const outcome = await send(ANN, 'Hello Ann', 'c1:1');
    clock.at += 5;
    const buttons = [{ type: 'postback', title: 'Go', payload: 'GO' } as const];
    await send(BEN, { text: 'Hello Ben', buttons }, 'c1:2');
    const { body } = await call('GET', '/_sandbox/received', { token: null });
    expect(body).toEqual({
      messages: [
        {
          mid: (outcome as { messageId: string }).messageId,
          user: ANN,
          at: NOON,
          messaging_type: 'UPDATE',
          text: 'Hello Ann',
          content: null,
          metadata: 'c1:1',
        },
        {
          mid: expect.stringMatching(/^m_/) as string,
          user: BEN,
          at: NOON + 5,
          messaging_type: 'UPDATE',
          text: null,
          content: {
            attachment: { type: 'template', payload: { template_type: 'button', text: 'Hello Ben', buttons } },
          },
          metadata: 'c1:2',
        },
      ],
    });
    const one = await call('GET', `/_sandbox/received?user=${BEN}`);
    expect(one.body).toEqual({ messages: sandbox.state.received(BEN) });
    expect((await call('GET', '/_sandbox/received?user=1')).body).toEqual({ messages: [] });
  });

  it('tells who received more than one message, and the same row twice', async () => {
    const { send, call } = await testSandbox();
    await send(ANN, 'Hello', 'c1:1');
    await send(BEN, 'Hello', 'c1:2');
    await send(BEN, 'Hello', 'c2:1');
    await send(ANN, 'Hello', 'c1:1');
    const { body } = await call('GET', '/_sandbox/stats');
    expect(body).toEqual({
      accepted: 4,
      refused: 0,
      byCode: {},
      duplicateUsers: 2,
      duplicates: [
        { user: ANN, messages: 2, sameMetadata: 1 },
        { user: BEN, messages: 2, sameMetadata: 0 },
      ],
      maxPerSecond: 4,
      faults: {},
      webhooks: { posted: 0, failed: 0, dropped: 0 },
    });
  });

  it('is forgotten on reset, and the seed is back', async () => {
    const { send, call, sandbox } = await testSandbox({
      users: [{ id: ANN, opened_at: '-2d' }],
      faults: [{ kind: 'garbage', times: 1 }],
    });
    expect(await send(BEN)).toMatchObject({ kind: 'unknown' });
    await call('POST', '/_sandbox/users', { body: { users: [{ id: ANN, opened_at: '-1h', behaviour: 'normal' }] } });
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
    expect((await call('POST', '/_sandbox/reset')).body).toEqual({ ok: true });
    expect(sandbox.state.stats()).toMatchObject({ accepted: 0, maxPerSecond: 0, faults: {} });
    expect(await send(BEN)).toMatchObject({ kind: 'unknown' });
    expect(await send(ANN)).toMatchObject({ error: { code: '10/2018278' } });
  });

  it('is streamed: many messages make no single piece', async () => {
    const { call, sandbox } = await testSandbox({ limits: { perSecond: null } });
    const text = 'x'.repeat(1500);
    const batch = Array.from({ length: 50 }, () => ({
      method: 'POST',
      relative_url: 'me/messages',
      body: new URLSearchParams({
        recipient: JSON.stringify({ id: ANN }),
        message: JSON.stringify({ text }),
      }).toString(),
    }));
    for (let n = 0; n < 20; n += 1) await call('POST', '/v26.0/', { body: { batch } });
    const { body } = await call('GET', '/_sandbox/received');
    expect((body['messages'] as unknown[]).length).toBe(1000);
    expect(sandbox.state.stats().accepted).toBe(1000);
  });
});

describe('faults', () => {
  const strikes: [string, FaultRule, Partial<Outcome>, string | null, boolean][] = [
    ['drop after accepting', { kind: 'drop', when: 'after' }, { kind: 'unknown' }, 'CONNECTION_LOST', true],
    ['drop before accepting', { kind: 'drop', when: 'before' }, { kind: 'unknown' }, 'CONNECTION_LOST', false],
    ['reset after accepting', { kind: 'reset' }, { kind: 'unknown' }, 'CONNECTION_LOST', true],
    ['reset before accepting', { kind: 'reset', when: 'before' }, { kind: 'unknown' }, 'CONNECTION_LOST', false],
    ['cut in the answer', { kind: 'cut' }, { kind: 'unknown' }, 'CONNECTION_LOST', true],
    ['5xx after accepting', { kind: 'error' }, { kind: 'unknown' }, 'SERVER_ERROR', true],
    [
      '5xx before accepting',
      { kind: 'error', when: 'before', status: 503 },
      { kind: 'unknown' },
      'SERVER_ERROR',
      false,
    ],
    ['5xx in HTML', { kind: 'error', body: '<h1>Oops</h1>' }, { kind: 'unknown' }, 'SERVER_ERROR', true],
    ['garbage', { kind: 'garbage' }, { kind: 'unknown' }, 'REPLY_UNREADABLE', true],
    ['hang after accepting', { kind: 'hang' }, { kind: 'unknown' }, 'TIMEOUT', true],
    ['refuse', { kind: 'refuse', code: '10/1893063' }, { kind: 'stopped' }, '10/1893063', false],
    ['refuse with a limit', { kind: 'refuse', code: '80006' }, { kind: 'retryable', pauseMs: 60_000 }, '80006', false],
    ['late', { kind: 'late', ms: 700 }, { kind: 'sent' }, null, true],
  ];
  it.each(strikes)('%s', async (_label, fault, outcome, code, received) => {
    const { provider, sandbox, clock } = await testSandbox({ faults: [fault] });
    const [found] = await provider({ timeoutMs: fault.kind === 'hang' ? 20 : 5000 }).send([
      { userId: ANN, metadata: 'c1:1', isReply: false, message: { text: 'Hello', buttons: [], quickReplies: [] } },
    ]);
    expect(found).toMatchObject({ ...outcome, ...(code !== null && { error: { code } }) });
    expect(sandbox.state.received(ANN).length).toBe(received ? 1 : 0);
    expect(sandbox.state.stats().faults).toEqual({ [fault.kind]: 1 });
    if (fault.ms !== undefined) expect(clock.slept).toEqual([fault.ms]);
  });

  it('strike only whom and as often as they are told', async () => {
    const { send, call } = await testSandbox();
    const faults = [
      { kind: 'refuse', code: '2', users: [ANN, BEN], times: 2 },
      { kind: 'refuse', code: '4', times: 1 },
    ];
    await call('POST', '/_sandbox/faults', { body: { faults } });
    const codes: (string | undefined)[] = [];
    for (const user of [ANN, ANN, BEN, ANN, BEN, ANN]) {
      const outcome = await send(user);
      codes.push(outcome.kind === 'sent' ? 'sent' : outcome.error.code);
    }
    expect(codes).toEqual(['2', '2', '2', '4', '2', 'sent']);
  });

  it('strike the same requests again in a run with the same seed', async () => {
    const run = async (randomSeed: number): Promise<string> => {
      const { send } = await testSandbox(
        { faults: [{ kind: 'error', when: 'after', rate: 0.3 }], limits: { perSecond: null } },
        randomSeed,
      );
      let kinds = '';
      for (let n = 0; n < 60; n += 1) kinds += (await send(ANN, 'Hello', `c:${n}`)).kind === 'sent' ? '.' : 'x';
      return kinds;
    };
    const first = await run(7);
    expect(await run(7)).toBe(first);
    expect(await run(8)).not.toBe(first);
    expect(first.split('x').length - 1).toBeGreaterThan(8);
    expect(first.split('x').length - 1).toBeLessThan(30);
  });

  it('never make the provider send twice, or say something untrue', async () => {
    const kinds = ['drop', 'reset', 'cut', 'error', 'garbage'] as const;
    const faults: FaultRule[] = kinds.flatMap((kind) => [
      { kind, when: 'before', rate: 0.04 },
      { kind, when: 'after', rate: 0.04 },
    ]);
    faults.push({ kind: 'refuse', code: '2', rate: 0.04 }, { kind: 'refuse', code: '551/1545041', rate: 0.04 });
    const { provider, sandbox } = await testSandbox({ faults, limits: { perSecond: null } });
    const graph = provider();
    const outcomes = new Map<string, Outcome['kind']>();
    let next = 0;
    const work = async (): Promise<void> => {
      for (let n = next++; n < 2000; n = next++) {
        const metadata = `c1:${n}`;
        const userId = String(7642925849000000 + n);
        const [outcome] = await graph.send([
          { userId, metadata, isReply: false, message: { text: 'Hello', buttons: [], quickReplies: [] } },
        ]);
        outcomes.set(metadata, outcome!.kind);
      }
    };
    await Promise.all(Array.from({ length: 32 }, work));
    const received = sandbox.state.received().map(({ metadata }) => metadata ?? '');
    expect(new Set(received).size).toBe(received.length);
    const kindsOf = (whose: (metadata: string) => boolean): Set<string> =>
      new Set([...outcomes].filter(([metadata]) => whose(metadata)).map(([, kind]) => kind));
    const reached = new Set(received);
    expect(outcomes.size).toBe(2000);
    expect(kindsOf((metadata) => reached.has(metadata))).toEqual(new Set(['sent', 'unknown']));
    expect(kindsOf((metadata) => !reached.has(metadata))).toEqual(new Set(['unknown', 'retryable', 'rejected']));
  });

  it('of a wrong kind are refused with their place', async () => {
    const { call } = await testSandbox();
    const wrong = await call('POST', '/_sandbox/faults', { body: { faults: [{ kind: 'refuse' }] } });
    expect(wrong.status).toBe(400);
    expect(wrong.body).toEqual({
      error: { code: 'CONFIG_INVALID', message: 'The faults: faults[0]: needs the code to refuse with' },
    });
  });

  it.each([
    [{ id: 5 }, 'The user: id: '],
    [{ id: ANN, act: 'unreact', opener: 'reaction' }, 'The user: act: goes with neither'],
    [{ users: [{ id: ANN }, { id: BEN, payload: 'X', opener: 'reaction' }] }, 'The users: users[1].payload: goes with'],
    [{ id: ANN, act: 'dance' }, 'The user: act: '],
  ])('%j, as what a user does, is refused with its place', async (body, place) => {
    const { call } = await testSandbox();
    const wrong = await call('POST', '/_sandbox/users', { body });
    expect(wrong.status).toBe(400);
    expect((wrong.body['error'] as { message: string }).message).toContain(place);
  });
});

describe('webhooks', () => {
  /** A callback that keeps what it is sent, and answers with the given statuses first. */
  const callback = async (
    ...statuses: number[]
  ): Promise<{ url: string; posts: { body: string; signature: string }[] }> => {
    const posts: { body: string; signature: string }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        posts.push({ body, signature: String(request.headers['x-hub-signature-256']) });
        response.writeHead(statuses.shift() ?? 200).end();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
    });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhook`, posts };
  };

  it('bring an echo of each message, signed over the escaped body', async () => {
    const { url, posts } = await callback();
    const { send, sandbox } = await testSandbox({ webhook: { url, secret: 'app-secret' } });
    const outcome = await send(ANN, 'Zoë 👋', 'c1:1');
    await sandbox.state.webhooksDone();
    expect(posts.length).toBe(1);
    const { body, signature } = posts[0]!;
    expect(signature).toBe(`sha256=${createHmac('sha256', 'app-secret').update(body).digest('hex')}`);
    expect(body).toContain('Zo\\u00eb \\ud83d\\udc4b');
    expect(JSON.parse(body)).toEqual({
      object: 'page',
      entry: [
        {
          id: sandbox.page.id,
          time: NOON,
          messaging: [
            {
              sender: { id: sandbox.page.id },
              recipient: { id: ANN },
              timestamp: NOON,
              message: {
                mid: (outcome as { messageId: string }).messageId,
                is_echo: true,
                app_id: expect.any(Number) as number,
                text: 'Zoë 👋',
                metadata: 'c1:1',
              },
            },
          ],
        },
      ],
    });
  });

  interface Entry {
    id: string;
    time: number;
    messaging?: Record<string, unknown>[];
    standby?: Record<string, unknown>[];
    changes?: Record<string, unknown>[];
  }
  const entriesOf = (posts: { body: string }[]): Entry[] =>
    posts.flatMap(({ body }) => (JSON.parse(body) as { entry: Entry[] }).entry);
  /** What the sandbox tells when somebody who has got a message does these things. */
  const told = async (channel: 'messenger' | 'instagram', acts: Record<string, unknown>[]): Promise<Entry[]> => {
    const { url, posts } = await callback();
    const { call, send, sandbox } = await testSandbox({ page: { channel }, webhook: { url, secret: 's' } });
    await send(ANN);
    await sandbox.state.webhooksDone();
    posts.length = 0;
    await call('POST', '/_sandbox/users', { body: { users: acts.map((act) => ({ id: ANN, ...act })) } });
    await sandbox.state.webhooksDone();
    return entriesOf(posts);
  };
  const AD = { ref: 'sandbox', ad_id: '6045246247433', source: 'ADS', type: 'OPEN_THREAD' };
  const MID = expect.stringMatching(/^m_u7642925849053947_\d+$/) as string;
  const OURS = expect.stringMatching(/^m_[0-9a-z]{7}$/) as string;

  it.each<[what: string, channel: 'messenger' | 'instagram', act: Record<string, unknown>, item: object]>([
    ['a message', 'messenger', { text: 'Hi' }, { message: { mid: MID, text: 'Hi' } }],
    [
      'a quick reply',
      'messenger',
      { text: 'Yes', payload: 'YES' },
      { message: { mid: MID, text: 'Yes', quick_reply: { payload: 'YES' } } },
    ],
    ['a message after an ad', 'messenger', { opener: 'ad' }, { message: { mid: MID, text: 'Hello', referral: AD } }],
    [
      'a button',
      'messenger',
      { opener: 'button', text: 'Help', payload: 'HELP' },
      { postback: { mid: MID, title: 'Help', payload: 'HELP' } },
    ],
    [
      'a button of no name',
      'messenger',
      { opener: 'button' },
      { postback: { title: 'Hello', payload: 'GET_STARTED' } },
    ],
    ['an m.me link', 'messenger', { opener: 'm_me' }, { referral: { source: 'SHORTLINK', type: 'OPEN_THREAD' } }],
    ['an ig.me link', 'instagram', { opener: 'ig_me' }, { referral: { source: 'IGME-SOURCE-LINK' } }],
    ['a reaction', 'instagram', { opener: 'reaction' }, { reaction: { action: 'react', emoji: '❤', mid: OURS } }],
    ['a click on an ad alone', 'messenger', { act: 'ad_click' }, { referral: AD }],
    [
      'a reply to a story',
      'instagram',
      { act: 'story_reply', text: 'Nice' },
      { message: { mid: MID, text: 'Nice', reply_to: { story: { id: expect.any(String) as string } } } },
    ],
    ['a reaction taken back', 'messenger', { act: 'unreact' }, { reaction: { action: 'unreact', mid: OURS } }],
    [
      'no more marketing messages',
      'messenger',
      { act: 'stop_notifications' },
      { optin: { type: 'notification_messages', notification_messages_status: 'STOP NOTIFICATIONS' } },
    ],
    ['reading, on Messenger', 'messenger', { act: 'read' }, { read: { watermark: NOON } }],
    ['reading, on Instagram', 'instagram', { act: 'read' }, { read: { mid: OURS } }],
  ])('tell of %s', async (_what, channel, act, item) => {
    const entries = await told(channel, [act]);
    const messaging = entries.flatMap((entry) => entry.messaging ?? []);
    const base = { sender: { id: ANN }, recipient: { id: '102938475601928' }, timestamp: NOON };
    expect(messaging).toMatchObject([{ ...base, ...item }]);
  });

  it('tell of a message that was taken back by its id', async () => {
    const [entry] = await told('instagram', [{ text: 'Oh no' }, { act: 'unsend' }]);
    const [written, unsent] = (entry?.messaging ?? []).map(({ message }) => message as Record<string, unknown>);
    expect(unsent).toEqual({ mid: written?.['mid'], is_deleted: true });
  });

  it.each([
    [
      'a comment on Messenger',
      'messenger',
      { opener: 'comment', text: 'How much?' },
      {
        field: 'feed',
        value: {
          item: 'comment',
          verb: 'add',
          comment_id: expect.stringMatching(/^102938475601928_100_\d+$/) as string,
          post_id: '102938475601928_100',
          from: { id: ANN },
          message: 'How much?',
          created_time: NOON / 1000,
        },
      },
    ],
    [
      'a visitor post',
      'messenger',
      { opener: 'visitor_post' },
      { field: 'feed', value: { item: 'post', verb: 'add', from: { id: ANN }, created_time: NOON / 1000 } },
    ],
    [
      'a comment on Instagram',
      'instagram',
      { opener: 'comment', text: 'How much?' },
      { field: 'comments', value: { from: { id: ANN }, text: 'How much?', media: { media_product_type: 'FEED' } } },
    ],
  ] as const)('tell of %s as a change, in one entry with messages', async (_what, channel, act, change) => {
    const entries = await told(channel, [act, { text: 'Hi' }]);
    expect(entries).toMatchObject([
      { id: '102938475601928', time: NOON, changes: [change], messaging: [{ message: { text: 'Hi' } }] },
    ]);
  });

  it('tell of nothing where there is nothing to tell', async () => {
    const past = { opened_at: '-1h', opener: 'reaction' };
    expect(await told('instagram', [past, { behaviour: 'unavailable' }, { opener: 'visitor_post' }])).toEqual([]);
    const { url, posts } = await callback();
    const { call, sandbox } = await testSandbox({ webhook: { url, secret: 's' } });
    // Nothing was sent that could be read.
    await call('POST', '/_sandbox/users', { body: { id: ANN, act: 'read' } });
    await sandbox.state.webhooksDone();
    expect(posts).toEqual([]);
  });

  it('tell on standby of what users do while another app answers them', async () => {
    const [entry] = await told('messenger', [{ text: 'Hi', standby: true }]);
    expect(entry).toEqual({
      id: '102938475601928',
      time: NOON,
      standby: [expect.objectContaining({ sender: { id: ANN }, message: { mid: MID, text: 'Hi' } })],
    });
  });

  it.each(['messenger', 'instagram'] as const)('tell of deliveries when they are to: %s', async (channel) => {
    const { url, posts } = await callback();
    const seed = { page: { channel }, webhook: { url, secret: 's' }, receipts: true };
    const { send, sandbox } = await testSandbox(seed);
    const { messageId } = (await send(ANN)) as { messageId: string };
    await sandbox.state.webhooksDone();
    const deliveries = entriesOf(posts)
      .flatMap(({ messaging }) => messaging ?? [])
      .filter(({ delivery }) => delivery !== undefined);
    // Instagram tells only of messages that were seen.
    const expected = { sender: { id: ANN }, timestamp: NOON, delivery: { mids: [messageId], watermark: NOON } };
    expect(deliveries).toMatchObject(channel === 'instagram' ? [] : [expected]);
  });

  it('have an id of its own for everything that is done', async () => {
    const acts = ['message', 'button', 'message', 'button', 'comment', 'comment'].map((opener) => ({ opener }));
    const entries = await told('messenger', acts);
    const ids = entries.flatMap(({ messaging = [], changes = [] }) => [
      ...messaging.map(({ message, postback }) => (message ?? postback) as { mid: string }).map(({ mid }) => mid),
      ...changes.map(({ value }) => (value as { comment_id: string }).comment_id),
    ]);
    expect(new Set(ids).size).toBe(6);
  });

  it.each([
    ['message', true],
    ['story_reply', true],
    ['reaction', true],
    ['ad_click', false],
    ['unreact', false],
    ['unsend', false],
    ['stop_notifications', false],
    ['read', false],
  ])('%s: whether it opens a window is %s', async (kind, opens) => {
    const { call, send } = await testSandbox({ users: [{ id: ANN, opened_at: '-2d' }] });
    const act = ['message', 'reaction'].includes(kind) ? { opener: kind } : { act: kind };
    await call('POST', '/_sandbox/users', { body: { id: ANN, ...act } });
    expect((await send(ANN)).kind).toBe(opens ? 'sent' : 'rejected');
  });

  it('hold so many events, come twice, and in any order, when they are to', async () => {
    const { url, posts } = await callback();
    const { call, sandbox, clock } = await testSandbox({
      webhook: { url, secret: 's', batch: 7, duplicate: true, reorder: true },
    });
    const texts = Array.from({ length: 20 }, (_, index) => String(index));
    await call('POST', '/_sandbox/users', { body: { users: texts.map((text) => ({ id: ANN, text })) } });
    await sandbox.state.webhooksDone();
    const told = entriesOf(posts).map((entry) =>
      (entry.messaging ?? []).map(({ message }) => (message as { text: string }).text),
    );
    expect(told.map((events) => events.length)).toEqual([7, 7, 7, 7, 7, 5]);
    const twice = texts.flatMap((text) => [text, text]);
    expect(told.flat().sort()).toEqual([...twice].sort());
    expect(told.flat()).not.toEqual(twice);
    expect(clock.slept.length).toBeGreaterThan(0);
  });

  it('go elsewhere when told to, and after a reset where the seed has them go', async () => {
    const [first, second] = [await callback(), await callback()];
    const { call, sandbox } = await testSandbox();
    const act = async (): Promise<void> => {
      await call('POST', '/_sandbox/users', { body: { id: ANN, text: 'Hi' } });
      await sandbox.state.webhooksDone();
    };
    await act();
    for (const { url } of [first, second]) {
      expect((await call('POST', '/_sandbox/webhook', { body: { url, secret: 's' } })).status).toBe(200);
      await act();
    }
    await call('POST', '/_sandbox/reset');
    await act();
    expect([first.posts.length, second.posts.length]).toEqual([1, 1]);
    expect((await call('POST', '/_sandbox/webhook', { body: { url: first.url } })).body).toMatchObject({
      error: { code: 'CONFIG_INVALID', message: expect.stringContaining('The webhook: secret: ') as string },
    });
  });

  it('are tried three times and then given up', async () => {
    const { url, posts } = await callback(500, 500, 200, 500, 500, 500);
    const { send, sandbox } = await testSandbox({ webhook: { url, secret: 's' } });
    await send(ANN);
    await sandbox.state.webhooksDone();
    await send(BEN);
    await sandbox.state.webhooksDone();
    expect(posts.length).toBe(6);
    expect(sandbox.state.stats().webhooks).toEqual({ posted: 1, failed: 1, dropped: 0 });
  });

  it('do not hold a closing sandbox up', async () => {
    const { url } = await callback();
    const { send, sandbox } = await testSandbox({ webhook: { url, secret: 's' } });
    for (let n = 0; n < 30; n += 1) await send(ANN, 'Hello', `c:${n}`);
    await sandbox.close();
  });
});

describe('starting and ending', () => {
  const options = { clock: new StandingClock(NOON), random: seededRandom(1) };

  it('listens on loopback only, on a port of its own choice or of ours', async () => {
    const first = await startSandbox(options);
    onTestFinished(() => first.close());
    expect(first.url).toBe(`http://127.0.0.1:${first.port}`);
    await expect(startSandbox({ ...options, port: first.port })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  it('ends at once, whatever connections are open, and leaves nothing behind', async () => {
    const sandbox = await startSandbox({
      clock: machineClock,
      random: seededRandom(1),
      seed: {
        faults: [
          { kind: 'hang', users: [ANN] },
          { kind: 'late', ms: 60_000, users: [BEN] },
        ],
      },
    });
    const send = (id: string): Promise<number | string> =>
      fetch(`${sandbox.url}/v26.0/me/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${sandbox.page.token}` },
        body: JSON.stringify({ recipient: { id }, message: { text: 'Hello' } }),
      }).then(
        ({ status }) => status,
        () => 'lost',
      );
    expect(await send('7642925849053949')).toBe(200);
    const idle = connect(sandbox.port, '127.0.0.1');
    idle.on('error', () => undefined);
    await once(idle, 'connect');
    const waiting = [send(ANN), send(BEN)];
    await expect.poll(() => sandbox.state.received().length).toBe(3);
    const started = Date.now();
    await sandbox.close();
    expect(Date.now() - started).toBeLessThan(1000);
    expect(await waiting[0]).toBe('lost');
    await waiting[1];
    const late = connect(sandbox.port, '127.0.0.1');
    const [refused] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    expect(refused.code).toBe('ECONNREFUSED');
  });

  it('lets the caller set the Page', async () => {
    const sandbox = await startSandbox({
      ...options,
      seed: { page: { name: 'Seeded' } },
      page: { id: '555', token: 't' },
    });
    onTestFinished(() => sandbox.close());
    expect(sandbox.page).toMatchObject({ id: '555', token: 't', name: 'Seeded', channel: 'messenger' });
  });
});

describe('seed', () => {
  it('reads times of every form', () => {
    const users = [
      { id: '10001', opened_at: '2026-11-21T10:00:00Z' },
      { id: '10002', opened_at: '2026-11-21T11:00:00+01:00' },
      { id: '10003', opened_at: NOON - 7_200_000 },
      { id: '10004', opened_at: '-2h' },
      { id: '10005', opened_at: '-0.5d' },
      { id: '10006' },
      { id: '10007', opened_at: '+30m' },
    ];
    expect(
      parseSeed({ users }, NOON).users.map(({ openedAt }) => (openedAt === null ? null : NOON - openedAt)),
    ).toEqual([7_200_000, 7_200_000, 7_200_000, 7_200_000, 43_200_000, null, -1_800_000]);
  });

  it.each([
    [{ users: [{ id: ANN }, { id: BEN, opened_at: 'yesterday' }] }, 'users[1].opened_at: must be a time'],
    [{ users: [{ id: ANN, opened_at: '2026-11-21T10:00:00' }] }, 'users[0].opened_at: must be a time'],
    [{ users: [{ id: 7642925849053947 }] }, 'users[0].id: '],
    [{ users: [{ id: ANN }, { id: ANN }] }, 'users[1].id: stands there twice'],
    [{ users: [{ id: ANN, behaviour: 'rude' }] }, 'users[0].behaviour: '],
    [{ faults: [{ kind: 'late' }] }, 'faults[0]: needs how late, in ms'],
    [{ faults: [{ kind: 'drop', rate: 2 }] }, 'faults[0].rate: '],
    [{ pgae: {} }, 'pgae'],
    [{ page: { tokenExpiresAt: 'soon' } }, 'page.tokenExpiresAt: must be a time'],
    [{ templates: [{ name: 'a', language: 'en' }] }, 'templates[0]: needs a body or components'],
    [{ templates: [{ name: 'a', language: 'en', body: 'x', components: [] }] }, 'templates[0]: needs a body or'],
    [{ limits: { usage: -1 } }, 'limits.usage: '],
    [{ webhook: { url: 'file:///etc/passwd', secret: 's' } }, 'webhook.url: '],
    [{ webhook: { url: 'http://127.0.0.1/', secret: 's', batch: 0 } }, 'webhook.batch: '],
    [[], 'The sandbox seed: '],
  ])('complains about %j', (seed, place) => {
    expect(() => parseSeed(seed, NOON)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(place) as string }),
    );
  });

  it('has a type for those who write one in code', () => {
    const seed: SeedInput = { users: [{ id: ANN, opened_at: '-3h', opener: 'ad', behaviour: 'unavailable' }] };
    expect(parseSeed(seed, NOON)).toMatchObject({
      page: { channel: 'messenger' },
      users: [{ id: ANN, opener: 'ad', behaviour: '551/1545041' }],
      unseeded: 'open',
      limits: { perSecond: 40, regainMinutes: 1, conversationsPerSecond: 2 },
      webhook: null,
    });
  });
});
