import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { NOON, testSandbox } from '../support/sandbox-harness.js';

const ANN = '7642925849053947';
const BEN = '7642925849053948';
const HOUR = 3_600_000;

const codeOf = (body: Record<string, unknown>): string => {
  const error = body['error'] as { code: number; error_subcode?: number };
  return error.error_subcode === undefined ? String(error.code) : `${error.code}/${error.error_subcode}`;
};
const hello = (id: unknown, more: object = {}): object => ({
  recipient: { id },
  messaging_type: 'UPDATE',
  message: { text: 'Hello' },
  ...more,
});

describe('windows', () => {
  it('is open until, and shut from, exactly 24 hours after the opener', async () => {
    const { send, clock } = await testSandbox({ users: [{ id: ANN, opened_at: '-23h' }] });
    clock.at = NOON + HOUR - 1;
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
    clock.at = NOON + HOUR;
    expect(await send(ANN)).toMatchObject({ kind: 'rejected', error: { code: '10/2018278' } });
  });

  it('has another subcode on Instagram', async () => {
    const { send } = await testSandbox({ page: { channel: 'instagram' }, users: [{ id: ANN, opened_at: '-2d' }] });
    expect(await send(ANN)).toMatchObject({ kind: 'rejected', error: { code: '10/2534022' } });
  });

  it('is shut for a user who has never written, and opens when the user acts', async () => {
    const { send, call } = await testSandbox({ users: [{ id: ANN }] });
    expect(await send(ANN)).toMatchObject({ error: { code: '10/2018278' } });
    await call('POST', '/_sandbox/users', { body: { id: ANN, text: 'Hi there' } });
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
  });

  it('can leave out the openers on which the platform contradicts itself', async () => {
    const users = [{ id: ANN, opened_at: '-1h', opener: 'comment' } as const];
    const usual = await testSandbox({ users });
    expect(await usual.send(ANN)).toMatchObject({ kind: 'sent' });
    const strict = await testSandbox({ users, closed_openers: ['comment', 'visitor_post'] });
    expect(await strict.send(ANN)).toMatchObject({ error: { code: '10/2018278' } });
  });

  it('takes an id that the seed does not name as somebody who wrote just now, or as nobody', async () => {
    const open = await testSandbox();
    expect(await open.send(ANN)).toMatchObject({ kind: 'sent' });
    expect(await open.send('0123')).toMatchObject({ error: { code: '100/2018001' } });
    const strict = await testSandbox({ unseeded: 'unknown' });
    expect(await strict.send(ANN)).toMatchObject({ error: { code: '100/2018001' } });
    const instagram = await testSandbox({ unseeded: 'unknown', page: { channel: 'instagram' } });
    expect(await instagram.send(ANN)).toMatchObject({ error: { code: '100/2534014' } });
  });

  it('reaches seven days with HUMAN_AGENT, and nowhere with a dead tag', async () => {
    const { call } = await testSandbox({ users: [{ id: ANN, opened_at: '-6d' }] });
    const tagged = (tag: string): Promise<{ status: number; body: Record<string, unknown> }> =>
      call('POST', '/v26.0/me/messages', { body: hello(ANN, { messaging_type: 'MESSAGE_TAG', tag }) });
    expect((await tagged('HUMAN_AGENT')).status).toBe(200);
    expect(codeOf((await tagged('ACCOUNT_UPDATE')).body)).toBe('100');
  });
});

describe('refusals', () => {
  it.each([
    ['unavailable', 'rejected', '551/1545041'],
    ['no_match', 'rejected', '100/2018001'],
    ['10/2018108', 'rejected', '10/2018108'],
    ['200/1545041', 'rejected', '200/1545041'],
  ])('user whose behaviour is %s', async (behaviour, kind, code) => {
    const { send } = await testSandbox({ users: [{ id: ANN, opened_at: '-1h', behaviour }] });
    expect(await send(ANN)).toMatchObject({ kind, error: { code } });
    expect(await send(BEN)).toMatchObject({ kind: 'sent' });
  });

  it.each([
    ['190/463', 'stopped'],
    ['4', 'retryable'],
    ['613', 'retryable'],
    ['368', 'stopped'],
    ['10/1893063', 'stopped'],
    ['100/2534029', 'stopped'],
  ])('Page that refuses with %s', async (refuses, kind) => {
    const { send, sandbox } = await testSandbox({ page: { refuses } });
    expect(await send(ANN)).toMatchObject({ kind, error: { code: refuses } });
    expect(sandbox.state.stats()).toMatchObject({ accepted: 0, refused: 1, byCode: { [refuses]: 1 } });
  });

  it('has the real words of the bodies that are known', async () => {
    const { call } = await testSandbox({ users: [{ id: ANN, opened_at: '-2d' }] });
    const { status, body } = await call('POST', '/v26.0/me/messages', { body: hello(ANN) });
    expect(status).toBe(400);
    expect(body).toEqual({
      error: {
        message:
          '(#10) This message is sent outside of allowed window. Learn more about the new policy here: https://developers.facebook.com/docs/messenger-platform/policy-overview',
        type: 'OAuthException',
        code: 10,
        error_subcode: 2018278,
        fbtrace_id: expect.any(String) as string,
      },
    });
  });

  it('wants the right token, in the header or as a parameter', async () => {
    const { call, sandbox } = await testSandbox();
    const path = `/v25.0/${sandbox.page.id}/messages`;
    const token = sandbox.page.token;
    expect(codeOf((await call('POST', path, { body: hello(ANN), token: null })).body)).toBe('104');
    expect(codeOf((await call('POST', path, { body: hello(ANN), token: 'wrong' })).body)).toBe('190');
    expect((await call('POST', `${path}?access_token=${token}`, { body: hello(ANN), token: null })).status).toBe(200);
    expect((await call('POST', path, { body: hello(ANN, { access_token: token }), token: null })).status).toBe(200);
  });

  it('wants the proof of the app secret when the Page has one', async () => {
    const { call, send, sandbox, provider } = await testSandbox({ page: { secret: 'shhh' } });
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
    const [outcome] = await provider({ appSecret: 'another' }).send([
      { userId: BEN, metadata: 'm', message: { text: 'Hello', buttons: [], quickReplies: [] } },
    ]);
    expect(outcome).toMatchObject({ kind: 'stopped', error: { code: '100' } });
    expect(codeOf((await call('GET', '/v26.0/me')).body)).toBe('100');
    const proof = createHmac('sha256', 'shhh').update(sandbox.page.token).digest('hex');
    expect((await call('GET', `/v26.0/me?appsecret_proof=${proof}`)).body).toEqual({
      name: 'Sandbox Page',
      id: sandbox.page.id,
    });
  });

  it.each([
    ['an id that is a number', hello(7642925849053947)],
    ['no recipient', { message: { text: 'Hello' } }],
    ['no message', { recipient: { id: ANN } }],
    ['an unknown messaging_type', hello(ANN, { messaging_type: 'PROMO' })],
    ['no content', hello(ANN, { message: { metadata: 'm' } })],
    [
      'text and attachment',
      hello(ANN, { message: { text: 'x', attachment: { type: 'image', payload: { url: 'u' } } } }),
    ],
    ['a long text', hello(ANN, { message: { text: 'x'.repeat(2000) } })],
    ['long metadata', hello(ANN, { message: { text: 'x', metadata: 'x'.repeat(1000) } })],
    [
      'too many quick replies',
      hello(ANN, {
        message: { text: 'x', quick_replies: Array(14).fill({ content_type: 'text', title: 'a', payload: 'b' }) },
      }),
    ],
    [
      'a long button title',
      hello(ANN, {
        message: {
          attachment: {
            type: 'template',
            payload: {
              template_type: 'button',
              text: 'x',
              buttons: [{ type: 'postback', title: 'x'.repeat(21), payload: 'p' }],
            },
          },
        },
      }),
    ],
    ['media without an address', hello(ANN, { message: { attachment: { type: 'image', payload: {} } } })],
    ['a template outside UTILITY', hello(ANN, { message: { template: { name: 'order_update' } } })],
  ])('refuses %s with code 100', async (_label, body) => {
    const { call, sandbox } = await testSandbox();
    const answer = await call('POST', '/v26.0/me/messages', { body });
    expect(answer.status).toBe(400);
    expect(codeOf(answer.body)).toBe('100');
    expect(sandbox.state.received()).toEqual([]);
  });

  it('takes the longest text, and on Instagram counts bytes', async () => {
    const messenger = await testSandbox();
    expect(await messenger.send(ANN, 'x'.repeat(1999))).toMatchObject({ kind: 'sent' });
    const instagram = await testSandbox({ page: { channel: 'instagram' } });
    expect(await instagram.send(ANN, 'é'.repeat(500))).toMatchObject({ kind: 'sent' });
    expect(await instagram.send(ANN, 'é'.repeat(501))).toMatchObject({ error: { code: '100' } });
  });

  it('knows neither other Pages, nor versions that are none, nor other paths', async () => {
    const { call } = await testSandbox();
    expect(codeOf((await call('POST', '/v26.0/999/messages', { body: hello(ANN) })).body)).toBe('100/33');
    for (const path of [
      '/26.0/me/messages',
      '/v26/me/messages',
      '/vx.y/me/messages',
      '/v26.0/me/nothing',
      '/nothing',
    ]) {
      expect(codeOf((await call('POST', path, { body: hello(ANN) })).body)).toBe('2500');
    }
    expect((await call('POST', '/v3.1/me/messages', { body: hello(ANN) })).status).toBe(200);
  });

  it('answers a body that is no JSON, or far too long, with an envelope', async () => {
    const { sandbox, call } = await testSandbox();
    const answer = await fetch(`${sandbox.url}/v26.0/me/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${sandbox.page.token}` },
      body: '{"recipient":',
    });
    expect(codeOf((await answer.json()) as Record<string, unknown>)).toBe('100');
    const long = await call('POST', '/v26.0/me/messages', { body: hello(ANN, { padding: 'x'.repeat(70_000) }) });
    expect(codeOf(long.body)).toBe('100');
  });
});

describe('rate', () => {
  it('cuts the Page off above 40 in any one second, until a second passes without a send too many', async () => {
    const { send, sandbox, clock } = await testSandbox({ limits: { regainMinutes: 2 } });
    for (let n = 0; n < 40; n += 1) {
      clock.at += 20;
      expect(await send(ANN, 'Hello', `m:${n}`)).toMatchObject({ kind: 'sent' });
    }
    const limited = { kind: 'retryable', error: { code: '80006' }, pauseMs: 120_000 };
    clock.at += 20;
    expect(await send(ANN)).toMatchObject(limited);
    // 999 ms later few sends are left in the last second, but it is not over yet.
    clock.at += 999;
    expect(await send(ANN)).toMatchObject(limited);
    clock.at += 1;
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
    expect(sandbox.state.stats()).toMatchObject({ accepted: 41, refused: 2, byCode: { '80006': 2 }, maxPerSecond: 41 });
  });

  it('stays cut off for as long as sends go on too fast', async () => {
    const { send, sandbox, clock } = await testSandbox();
    for (let n = 0; n < 150; n += 1) {
      clock.at += 20;
      await send(ANN, 'Hello', `m:${n}`);
    }
    expect(sandbox.state.stats()).toMatchObject({ accepted: 40, refused: 110 });
  });

  it('takes 40 a second for ever, counted over every window of a second', async () => {
    const { send, sandbox, clock } = await testSandbox();
    for (let n = 0; n < 200; n += 1) {
      if (n % 40 === 0) clock.at += 1000;
      await send(ANN, 'Hello', `m:${n}`);
    }
    expect(sandbox.state.stats()).toMatchObject({ accepted: 200, refused: 0, maxPerSecond: 40 });
  });

  it('has no limit when told so, and another code on Instagram', async () => {
    const free = await testSandbox({ limits: { perSecond: null } });
    for (let n = 0; n < 100; n += 1) await free.send(ANN, 'Hello', `m:${n}`);
    expect(free.sandbox.state.stats()).toMatchObject({ accepted: 100, maxPerSecond: 100 });
    const instagram = await testSandbox({ page: { channel: 'instagram' }, limits: { perSecond: 1 } });
    await instagram.send(ANN);
    expect(await instagram.send(BEN)).toMatchObject({ kind: 'retryable', error: { code: '80002' }, pauseMs: 60_000 });
  });
});

describe('registered templates', () => {
  const templates = [
    { name: 'order_update', language: 'en', body: 'Order {{1}} leaves on {{2}} today' },
    { name: 'named', language: 'en', body: 'Hi {{name}}!', parameter_format: 'NAMED' as const },
    { name: 'worded', language: 'en', body: 'Hi {{name}}, order {{order}}.' },
    { name: 'waiting', language: 'en', body: 'x', status: 'PENDING' },
  ];
  const registered = (name: string, ...parameters: (string | [string, string])[]): object => ({
    registered: {
      name,
      language: 'en',
      parameters: parameters.map((parameter) =>
        typeof parameter === 'string' ? { name: null, text: parameter } : { name: parameter[0], text: parameter[1] },
      ),
    },
  });

  it('go out when the window is shut, with their parameters in place', async () => {
    const { send, sandbox } = await testSandbox({ templates, users: [{ id: ANN, opened_at: '-9d' }] });
    expect(await send(ANN, registered('order_update', 'A-1', '1 Dec'))).toMatchObject({ kind: 'sent' });
    expect(await send(ANN, registered('named', ['name', 'Ann']))).toMatchObject({ kind: 'sent' });
    expect(await send(ANN, registered('worded', 'Ann', 'A-1'))).toMatchObject({ kind: 'sent' });
    expect(sandbox.state.received(ANN).map(({ text }) => text)).toEqual([
      'Order A-1 leaves on 1 Dec today',
      'Hi Ann!',
      'Hi Ann, order A-1.',
    ]);
  });

  it.each([
    ['not approved', registered('waiting')],
    ['unknown', registered('nothing')],
    ['a parameter short', registered('order_update', 'A-1')],
    ['a parameter too many', registered('order_update', 'A-1', 'x', 'y')],
    ['named without a name', registered('named', 'Ann')],
  ])('are refused when they are %s', async (_label, message) => {
    const { send } = await testSandbox({ templates });
    expect(await send(ANN, message)).toMatchObject({ kind: 'stopped', stop: 'content', error: { code: '100' } });
  });

  it('are made and listed', async () => {
    const { call, send } = await testSandbox();
    const make = (name: string, text: string): Promise<{ body: Record<string, unknown> }> =>
      call('POST', '/v26.0/me/message_templates', {
        body: { name, language: 'en', category: 'UTILITY', components: [{ type: 'BODY', text }] },
      });
    expect((await make('good', 'Order {{1}} left')).body).toMatchObject({ status: 'APPROVED', category: 'UTILITY' });
    expect((await make('bad', '{{1}}')).body).toMatchObject({ status: 'REJECTED' });
    const { body } = await call('GET', '/v26.0/me/message_templates?name=good');
    expect(body).toMatchObject({ data: [{ name: 'good', language: 'en', status: 'APPROVED' }] });
    expect(await send(ANN, registered('good', 'A-1'))).toMatchObject({ kind: 'sent' });
  });
});

describe('batch', () => {
  const part = (id: string, text: string): object => ({
    method: 'POST',
    relative_url: 'me/messages',
    body: new URLSearchParams({
      messaging_type: 'UPDATE',
      recipient: JSON.stringify({ id }),
      message: JSON.stringify({ text }),
    }).toString(),
  });

  it('answers each part in its place, with its body as text', async () => {
    const { call, sandbox } = await testSandbox({ users: [{ id: BEN, opened_at: '-2d' }] });
    const batch = [
      part(ANN, 'Fish & chips = 100 %'),
      part(BEN, 'Hello'),
      { method: 'GET', relative_url: 'v26.0/me?fields=id' },
    ];
    const { body, status } = await call('POST', '/v26.0/', {
      form: { batch: JSON.stringify(batch), include_headers: 'false' },
    });
    expect(status).toBe(200);
    const answers = body as unknown as { code: number; body: string }[];
    expect(answers.map(({ code }) => code)).toEqual([200, 400, 200]);
    expect(JSON.parse(answers[0]!.body)).toMatchObject({ recipient_id: ANN });
    expect(codeOf(JSON.parse(answers[1]!.body) as Record<string, unknown>)).toBe('10/2018278');
    expect(sandbox.state.received(ANN)).toMatchObject([{ text: 'Fish & chips = 100 %' }]);
  });

  it('takes fifty and refuses fifty-one, and counts each', async () => {
    const { call, sandbox } = await testSandbox();
    const fifty = Array.from({ length: 50 }, (_, n) => part(String(7642925849000000 + n), 'Hello'));
    const { body } = await call('POST', '/v26.0', { body: { batch: fifty } });
    expect((body as unknown as { code: number }[]).filter(({ code }) => code === 200).length).toBe(40);
    expect(sandbox.state.stats().maxPerSecond).toBe(50);
    const refused = await call('POST', '/v26.0', { body: { batch: [...fifty, part(ANN, 'x')] } });
    expect(refused.body).toMatchObject({ error: { type: 'GraphBatchException' } });
    expect(refused.body['error']).not.toHaveProperty('code');
  });

  it('takes one proof for all', async () => {
    const { call, sandbox } = await testSandbox({ page: { secret: 'shhh' } });
    const proof = createHmac('sha256', 'shhh').update(sandbox.page.token).digest('hex');
    const body = { batch: [part(ANN, 'Hello')], access_token: sandbox.page.token, appsecret_proof: proof };
    const answers = (await call('POST', '/v26.0/', { body, token: null })).body as unknown as { code: number }[];
    expect(answers).toMatchObject([{ code: 200 }]);
  });
});

describe('conversations', () => {
  it('are listed newest first, in pages, at two calls a second', async () => {
    const users = Array.from({ length: 30 }, (_, n) => ({ id: String(7642925849000000 + n), opened_at: `-${n + 1}m` }));
    const { call, clock, send } = await testSandbox({ users });
    expect(await send(users[29]!.id)).toMatchObject({ kind: 'sent' });
    const first = await call('GET', '/v26.0/me/conversations?platform=messenger');
    const list = first.body as { data: { id: string; updated_time: string }[]; paging: { cursors: { after: string } } };
    expect(list.data.length).toBe(25);
    expect(list.data[0]).toEqual({ id: `t_${users[29]!.id}`, updated_time: '2026-11-21T12:00:00+0000' });
    expect(list.data[1]!.id).toBe(`t_${users[0]!.id}`);
    const rest = await call('GET', `/v26.0/me/conversations?after=${list.paging.cursors.after}`);
    expect((rest.body['data'] as unknown[]).length).toBe(5);
    expect(codeOf((await call('GET', '/v26.0/me/conversations')).body)).toBe('80006');
    clock.at += 1000;
    const one = await call('GET', `/v26.0/me/conversations?user_id=${users[3]!.id}`);
    expect(one.body).toEqual({ data: [{ id: `t_${users[3]!.id}`, updated_time: '2026-11-21T11:56:00+0000' }] });
    expect((await call('GET', '/v26.0/me/conversations?user_id=1')).body).toEqual({ data: [] });
  });

  it('show both sides, with details of the newest twenty messages', async () => {
    const { call, send, clock, sandbox } = await testSandbox({ users: [{ id: ANN, opened_at: '-1h' }] });
    for (let n = 0; n < 21; n += 1) {
      clock.at += 1000;
      await send(ANN, `Message ${n}`);
    }
    const { body } = await call('GET', `/v26.0/t_${ANN}?fields=messages`);
    const { data } = body['messages'] as { data: { id: string; created_time: string; message?: string }[] };
    expect(data.length).toBe(22);
    expect(data[0]).not.toHaveProperty('message');
    const detail = (id: string): Promise<{ body: Record<string, unknown> }> =>
      call('GET', `/v26.0/${id}?fields=from,message`);
    expect((await detail(data[0]!.id)).body).toMatchObject({ message: 'Message 20', from: { id: sandbox.page.id } });
    expect(codeOf((await detail(data[20]!.id)).body)).toBe('9000001');
    expect(codeOf((await detail(data[21]!.id)).body)).toBe('9000001');
    expect(codeOf((await detail('m_nothing')).body)).toBe('100/33');
    const expanded = await call('GET', `/v26.0/t_${ANN}?fields=updated_time,messages.limit(20){from,message}`);
    expect((expanded.body['messages'] as { data: object[] }).data[0]).toMatchObject({ message: 'Message 20' });
    clock.at += 1000;
    await call('POST', '/_sandbox/users', { body: { id: ANN, text: 'Stop it' } });
    const later = await call('GET', `/v26.0/t_${ANN}?fields=messages{from,message}`);
    expect((later.body['messages'] as { data: object[] }).data[0]).toMatchObject({
      message: 'Stop it',
      from: { id: ANN },
    });
    expect(codeOf((await call('GET', '/v26.0/t_123')).body)).toBe('100/33');
  });
});
