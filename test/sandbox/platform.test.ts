import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/core/template.js';
import { NOON, testSandbox } from '../support/sandbox-harness.js';

const ANN = '7642925849053947';
const BEN = '7642925849053948';
const HOUR = 3_600_000;

const codeOf = (body: Record<string, unknown>): string => {
  const error = body['error'] as { code: number; error_subcode?: number };
  return error.error_subcode === undefined ? String(error.code) : `${error.code}/${error.error_subcode}`;
};
const BUTTON = { type: 'postback', title: 'Go', payload: 'GO' };
const card = (more: object = {}): object => ({ title: 'Shoes', subtitle: 'Red ones', ...more });
const medium = (more: object = {}): object => ({ media_type: 'image', url: 'https://shop.example/a.png', ...more });
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
      { userId: BEN, metadata: 'm', isReply: false, message: { text: 'Hello', buttons: [], quickReplies: [] } },
    ]);
    expect(outcome).toMatchObject({ kind: 'stopped', error: { code: '100/appsecret' } });
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
    ...(
      [
        ['no cards', { template_type: 'generic', elements: [] }],
        ['eleven cards', { template_type: 'generic', elements: Array(11).fill(card()) }],
        ['a card without a title', { template_type: 'generic', elements: [{ subtitle: 'x' }] }],
        ['a card with nothing but a title', { template_type: 'generic', elements: [{ title: 'x' }] }],
        ['a long title', { template_type: 'generic', elements: [card({ title: 'x'.repeat(81) })] }],
        ['a long subtitle', { template_type: 'generic', elements: [card({ subtitle: 'x'.repeat(81) })] }],
        ['a picture without an address', { template_type: 'generic', elements: [card({ image_url: 'picture' })] }],
        ['four buttons', { template_type: 'generic', elements: [card({ buttons: Array(4).fill(BUTTON) })] }],
        ['no button', { template_type: 'generic', elements: [card({ buttons: [] })] }],
        [
          'an unknown button',
          { template_type: 'generic', elements: [card({ buttons: [{ type: 'buy', title: 'x' }] })] },
        ],
        [
          'a button without a payload',
          { template_type: 'generic', elements: [card({ buttons: [{ ...BUTTON, payload: '' }] })] },
        ],
        ['two media', { template_type: 'media', elements: [medium(), medium()] }],
        ['media of another type', { template_type: 'media', elements: [medium({ media_type: 'audio' })] }],
        ['media from nowhere', { template_type: 'media', elements: [{ media_type: 'image' }] }],
        ['media from two places', { template_type: 'media', elements: [medium({ attachment_id: '1' })] }],
        ['an unknown template', { template_type: 'airline', elements: [] }],
      ] as const
    ).map(([what, payload]): [string, object] => [
      `a template with ${what}`,
      hello(ANN, { message: { attachment: { type: 'template', payload } } }),
    ]),
    ['media without an address', hello(ANN, { message: { attachment: { type: 'image', payload: {} } } })],
    ['a template outside UTILITY', hello(ANN, { message: { template: { name: 'order_update' } } })],
  ])('refuses %s with code 100', async (_label, body) => {
    const { call, sandbox } = await testSandbox();
    const answer = await call('POST', '/v26.0/me/messages', { body });
    expect(answer.status).toBe(400);
    expect(codeOf(answer.body)).toBe('100');
    expect(sandbox.state.received()).toEqual([]);
  });

  it.each([
    ['ten cards', { template_type: 'generic', elements: Array(10).fill(card({ buttons: Array(3).fill(BUTTON) })) }],
    [
      'a card with a picture and the longest texts',
      {
        template_type: 'generic',
        elements: [{ title: 'x'.repeat(80), subtitle: 'x'.repeat(80), image_url: 'https://shop.example/a.png' }],
      },
    ],
    ['a picture with buttons', { template_type: 'media', elements: [medium({ buttons: [BUTTON] })] }],
    ['an uploaded video', { template_type: 'media', elements: [{ media_type: 'video', attachment_id: '1' }] }],
  ])('takes a template with %s', async (_label, payload) => {
    const { call, sandbox } = await testSandbox();
    const attachment = { type: 'template', payload };
    expect((await call('POST', '/v26.0/me/messages', { body: hello(ANN, { message: { attachment } }) })).status).toBe(
      200,
    );
    expect(sandbox.state.received(ANN)).toMatchObject([{ text: null, content: { attachment } }]);
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
  const components = [
    { type: 'HEADER', format: 'TEXT', text: 'Order {{1}}' },
    { type: 'BODY', text: 'It leaves on {{1}}.' },
    {
      type: 'BUTTONS',
      buttons: [
        {
          type: 'URL',
          text: 'Track it',
          url: 'https://shop.example/{{1}}',
          example: { url_suffix_example: 'https://shop.example/A-1' },
        },
        { type: 'POSTBACK', text: 'Stop', payload: 'STOP_{{2}}' },
        { type: 'POSTBACK', text: 'Help' },
      ],
    },
  ];
  const templates = [
    { name: 'order_update', language: 'en', body: 'Order {{1}} leaves on {{2}} today' },
    { name: 'named', language: 'en', body: 'Hi {{name}}!', parameter_format: 'NAMED' as const },
    { name: 'worded', language: 'en', body: 'Hi {{name}}, order {{order}}.' },
    { name: 'waiting', language: 'en', body: 'x', status: 'PENDING' },
    { name: 'full', language: 'en', components, reason: 'LOW_QUALITY', category: 'UTILITY' },
    { name: 'full', language: 'de', components },
  ];
  type Registered = NonNullable<Message['registered']>;
  const registered = (name: string, ...parameters: (string | [string, string])[]): { registered: Registered } => ({
    registered: {
      name,
      language: 'en',
      header: [],
      parameters: parameters.map((parameter) =>
        typeof parameter === 'string' ? { name: null, text: parameter } : { name: parameter[0], text: parameter[1] },
      ),
      buttons: [],
    },
  });
  const full = (more: Partial<Registered> = {}): { registered: Registered } => ({
    registered: {
      ...registered('full', '1 Dec').registered,
      header: [{ name: null, text: 'A-1' }],
      buttons: [TRACK, STOP],
      ...more,
    },
  });
  const TRACK = { type: 'URL', url: 'A-1' } as const;
  const STOP = { type: 'POSTBACK', payload: 'A-$&' } as const;

  it('go out when the window is shut, with their parameters in place', async () => {
    const { send, sandbox } = await testSandbox({ templates, users: [{ id: ANN, opened_at: '-9d' }] });
    expect(await send(ANN, registered('order_update', 'A-1', '1 Dec'))).toMatchObject({ kind: 'sent' });
    expect(await send(ANN, registered('named', ['name', 'Ann']))).toMatchObject({ kind: 'sent' });
    expect(await send(ANN, registered('worded', 'Ann', 'A-1'))).toMatchObject({ kind: 'sent' });
    expect(await send(ANN, full())).toMatchObject({ kind: 'sent' });
    expect(sandbox.state.received(ANN).map(({ text }) => text)).toEqual([
      'Order A-1 leaves on 1 Dec today',
      'Hi Ann!',
      'Hi Ann, order A-1.',
      'It leaves on 1 Dec.',
    ]);
    const [first, , , last] = sandbox.state.received(ANN);
    expect(first?.content).not.toHaveProperty('buttons');
    expect(last?.content).toMatchObject({
      buttons: [
        { type: 'web_url', title: 'Track it', url: 'https://shop.example/A-1' },
        { type: 'postback', title: 'Stop', payload: 'STOP_A-$&' },
        { type: 'postback', title: 'Help', payload: 'Help' },
      ],
    });
  });

  it.each([
    ['not approved', registered('waiting')],
    ['unknown', registered('nothing')],
    ['a parameter short', registered('order_update', 'A-1')],
    ['a parameter too many', registered('order_update', 'A-1', 'x', 'y')],
    ['named without a name', registered('named', 'Ann')],
    ['without the header', full({ header: [] })],
    ['without the end of an address', full({ buttons: [STOP] })],
    ['with an address too many', full({ buttons: [TRACK, STOP, TRACK] })],
    ['with a payload too many', full({ buttons: [TRACK, STOP, STOP] })],
    ['with buttons in another order', full({ buttons: [STOP, TRACK] })],
    ['with a payload that gets too long', full({ buttons: [TRACK, { ...STOP, payload: 'x'.repeat(996) }] })],
    ['without a payload', full({ buttons: [TRACK] }), '100/1893029'],
  ])('are refused when they are %s', async (_label, message, code = '100') => {
    const { send } = await testSandbox({ templates });
    expect(await send(ANN, message)).toMatchObject({ kind: 'stopped', stop: 'content', error: { code } });
  });

  it('can be paused while the sandbox runs, in one language or in all', async () => {
    const { call, send, sandbox } = await testSandbox({ templates });
    await call('POST', '/_sandbox/templates', { body: { name: 'full', language: 'de', status: 'PAUSED' } });
    expect(await send(ANN, full())).toMatchObject({ kind: 'sent' });
    await call('POST', '/_sandbox/templates', {
      body: {
        templates: [
          { name: 'full', status: 'PAUSED', reason: 'BAD' },
          { name: 'waiting', status: 'APPROVED' },
        ],
      },
    });
    expect(await send(ANN, full())).toMatchObject({ error: { code: '100' } });
    expect(await send(ANN, registered('waiting'))).toMatchObject({ kind: 'sent' });
    const { body } = await call('GET', '/v26.0/me/message_templates?status=PAUSED&fields=status,rejected_reason');
    expect(body['data']).toMatchObject(Array(2).fill({ status: 'PAUSED', rejected_reason: 'BAD' }));
    const unknown = await call('POST', '/_sandbox/templates', { body: { name: 'nothing', status: 'PAUSED' } });
    expect(unknown).toMatchObject({ status: 400, body: { error: { code: 'CONFIG_INVALID' } } });
    expect((await call('POST', '/_sandbox/templates', { body: { status: 'PAUSED' } })).status).toBe(400);
    sandbox.state.reset();
    expect(await send(ANN, full())).toMatchObject({ kind: 'sent' });
  });

  const path = '/v26.0/me/message_templates';
  const made = { name: 'good', language: 'en', category: 'UTILITY' };
  const body = (text: string, ...examples: string[]): object => ({
    type: 'BODY',
    text,
    ...(examples.length > 0 && { example: { body_text: [examples] } }),
  });
  const example = { url_suffix_example: 'https://shop.example/A-1' };
  const withButton = (button: object): object[] => [
    body('x'),
    { type: 'BUTTONS', buttons: [{ text: 'Go', ...button }] },
  ];

  it('are made, listed and sent', async () => {
    const { call, send } = await testSandbox();
    const parts = [body('Order {{1}} left', 'A-1'), components[2]];
    const answer = await call('POST', path, { body: { ...made, components: parts } });
    expect(answer.body).toEqual({
      id: expect.stringMatching(/^\d+$/) as string,
      status: 'APPROVED',
      category: 'UTILITY',
    });
    expect((await call('GET', `${path}?name=good`)).body['data']).toEqual([
      { ...made, id: answer.body['id'], status: 'APPROVED', parameter_format: 'POSITIONAL', components: parts },
    ]);
    const message = full({ name: 'good', header: [], parameters: [{ name: null, text: 'A-1' }] });
    expect(await send(ANN, message)).toMatchObject({ kind: 'sent' });
    expect(codeOf((await call('POST', path, { body: { ...made, components: parts } })).body)).toBe('100');
  });

  it.each([
    ['a parameter at the end', [body('Order {{1}}', 'A-1')]],
    ['a parameter at the start', [body('{{1}} left', 'A-1')]],
    ['a number left out', [body('Order {{2}} left', 'A-1')]],
    ['a parameter without an example', [body('Order {{1}} left')]],
    ['a header without an example', [body('It left'), components[0]]],
    ...(
      [
        ['a link that is a parameter', { type: 'URL', url: '{{1}}', example }],
        ['a parameter in the middle of a link', { type: 'URL', url: 'https://shop.example/{{1}}/x', example }],
        ['a link without an example', { type: 'URL', url: 'https://shop.example/{{1}}' }],
        ['two parameters in a payload', { type: 'POSTBACK', payload: '{{1}} {{2}}' }],
      ] as const
    ).map(([what, button]): [string, object[]] => [what, withButton(button)]),
  ])('are rejected with %s', async (_label, parts) => {
    const { call } = await testSandbox();
    expect((await call('POST', path, { body: { ...made, components: parts } })).body).toMatchObject({
      status: 'REJECTED',
    });
    const { body: list } = await call('GET', `${path}?fields=rejected_reason`);
    expect(list['data']).toMatchObject([{ rejected_reason: 'INCORRECT_PARAMS' }]);
  });

  it.each([
    ['no body', { components: [components[0]] }],
    ['another category', { category: 'MARKETING', components: [body('x')] }],
    ['another format', { parameter_format: 'WORDS', components: [body('x')] }],
    ['another component', { components: [body('x'), { type: 'FOOTER', text: 'x' }] }],
    ['a header of another format', { components: [body('x'), { type: 'HEADER', format: 'AUDIO' }] }],
    ['a header without a text', { components: [body('x'), { type: 'HEADER', format: 'TEXT' }] }],
    ['another button', { components: withButton({ type: 'PHONE_NUMBER' }) }],
    ['a quick reply', { components: withButton({ type: 'QUICK_REPLY' }) }, '100/2018416'],
    ['an example of a payload', { components: withButton({ type: 'POSTBACK', example: ['x'] }) }, '100/2388051'],
  ])('are refused with %s', async (_label, more, code = '100') => {
    const { call } = await testSandbox();
    expect(codeOf((await call('POST', path, { body: { ...made, ...more } })).body)).toBe(code);
  });

  it('are listed in pages, with the fields that are asked for', async () => {
    const many = Array.from({ length: 30 }, (_, n) => ({ name: `t${n}`, language: 'en', body: 'x' }));
    const { call } = await testSandbox({ templates: many });
    interface Page {
      data: { name: string }[];
      paging: { cursors: { after: string }; next?: string };
    }
    const first = (await call('GET', `${path}?fields=name`)).body as unknown as Page;
    expect(first.data.length).toBe(25);
    expect(Object.keys(first.data[0]!)).toEqual(['name', 'id']);
    expect(first.paging.next).toBeDefined();
    const rest = (await call('GET', `${path}?fields=name&after=${first.paging.cursors.after}`)).body as unknown as Page;
    expect(rest.data.map(({ name }) => name)).toEqual(['t25', 't26', 't27', 't28', 't29']);
    expect(rest.paging.next).toBeUndefined();
    expect(codeOf((await call('GET', `${path}?fields=colour`)).body)).toBe('100');
    expect(codeOf((await call('GET', `${path}?fields=name{`)).body)).toBe('100');
  });

  it('are not there on Instagram', async () => {
    const { call } = await testSandbox({ page: { channel: 'instagram' }, templates });
    expect(codeOf((await call('GET', path)).body)).toBe('2500');
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

  it('tells the usage with each part, unless headers are not wanted', async () => {
    const { call } = await testSandbox({ limits: { usage: 85 } });
    const batch = [part(ANN, 'Hello')];
    const usage = [{ name: 'X-Business-Use-Case-Usage', value: expect.stringContaining('"call_count":85') as string }];
    expect((await call('POST', '/v26.0/', { body: { batch } })).body).toMatchObject([{ headers: usage }]);
    const bare = (await call('POST', '/v26.0/', { body: { batch, include_headers: false } })).body;
    expect((bare as unknown as object[])[0]).not.toHaveProperty('headers');
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
  const user = (n: number): string => String(7642925849000000 + n);
  const users = Array.from({ length: 30 }, (_, n) => ({ id: user(n), opened_at: `-${n + 1}m` }));
  interface Listing {
    data: { id: string; updated_time: string }[];
    paging: { cursors: { after: string }; next?: string };
  }

  it('are listed newest first, in pages that do not shift', async () => {
    const { call, clock, send } = await testSandbox({ users });
    expect(await send(user(29))).toMatchObject({ kind: 'sent' });
    const first = (await call('GET', '/v26.0/me/conversations?platform=messenger')).body as unknown as Listing;
    expect(first.data.length).toBe(25);
    expect(first.data[0]).toEqual({ id: `t_${user(29)}`, updated_time: '2026-11-21T12:00:00+0000' });
    expect(first.data[1]!.id).toBe(`t_${user(0)}`);
    clock.at += 1000;
    await send(user(28));
    const next = `/v26.0/me/conversations?after=${first.paging.cursors.after}`;
    const rest = (await call('GET', next)).body as unknown as Listing;
    expect(rest.data.map(({ id }) => id)).toEqual([24, 25, 26, 27, 28].map((n) => `t_${user(n)}`));
    expect([first.paging.next, rest.paging.next].map((address) => typeof address)).toEqual(['string', 'undefined']);
    expect(codeOf((await call('GET', '/v26.0/me/conversations?after=MQ')).body)).toBe('100');
  });

  it('of one person are found, and of another platform there are none', async () => {
    const { call } = await testSandbox({ users, limits: { conversationsPerSecond: null } });
    const one = await call('GET', `/v26.0/me/conversations?user_id=${user(3)}`);
    expect(one.body).toEqual({ data: [{ id: `t_${user(3)}`, updated_time: '2026-11-21T11:56:00+0000' }] });
    expect((await call('GET', '/v26.0/me/conversations?user_id=1')).body).toEqual({ data: [] });
    expect((await call('GET', '/v26.0/me/conversations?platform=instagram')).body).toEqual({ data: [] });
  });

  it('are read at two calls a second, each part of a batch counted', async () => {
    const { call, clock } = await testSandbox({ users });
    const paths = ['me/conversations', `t_${user(0)}`, `m_u${user(0)}_0`];
    const batch = paths.map((path) => ({ method: 'GET', relative_url: path }));
    const answers = (await call('POST', '/v26.0/', { body: { batch } })).body as unknown as { body: string }[];
    const codes = answers.map(({ body }) => /"code":(\d+)/.exec(body)?.[1]);
    expect(codes).toEqual([undefined, undefined, '80006']);
    for (const path of paths) expect(codeOf((await call('GET', `/v26.0/${path}`)).body)).toBe('80006');
    clock.at += 1000;
    expect((await call('GET', '/v26.0/me/conversations')).status).toBe(200);
  });

  it('cannot be listed while the Page sends too much, but each can be read', async () => {
    const { call, send } = await testSandbox({ users, limits: { perSecond: 1, conversationsPerSecond: null } });
    await send(user(0));
    await send(user(1));
    expect(codeOf((await call('GET', '/v26.0/me/conversations')).body)).toBe('80006');
    expect((await call('GET', `/v26.0/me/conversations?user_id=${user(0)}`)).status).toBe(200);
    expect((await call('GET', `/v26.0/t_${user(0)}`)).status).toBe(200);
  });

  it('show both sides, with details of the newest twenty messages', async () => {
    const { call, send, clock, sandbox } = await testSandbox({
      users: [{ id: ANN, opened_at: '-1h' }],
      limits: { conversationsPerSecond: null },
    });
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
    const expanded = await call('GET', `/v26.0/t_${ANN}?fields=updated_time,messages.limit(30){from,message}`);
    const shown = (expanded.body['messages'] as { data: object[] }).data;
    expect(shown[0]).toMatchObject({ message: 'Message 20' });
    expect([shown[19], shown[20]].map((node) => Object.keys(node!).sort())).toEqual([
      ['from', 'id', 'message'],
      ['created_time', 'id'],
    ]);
    clock.at += 1000;
    await call('POST', '/_sandbox/users', { body: { id: ANN, text: 'Stop it' } });
    const later = await call('GET', `/v26.0/t_${ANN}?fields=messages{from,message}`);
    expect((later.body['messages'] as { data: object[] }).data[0]).toMatchObject({
      message: 'Stop it',
      from: { id: ANN },
    });
    expect(codeOf((await call('GET', '/v26.0/t_123')).body)).toBe('100/33');
    expect(codeOf((await call('GET', `/v26.0/t_${ANN}?fields=secrets`)).body)).toBe('100');
    expect(codeOf((await call('GET', `/v26.0/t_${ANN}?fields=messages{`)).body)).toBe('100');
  });

  it('expand their participants and messages, in a listing too', async () => {
    const { call, send, clock, sandbox } = await testSandbox({ users: [{ id: ANN, opened_at: '-1h' }] });
    const outcome = await send(ANN);
    clock.at += 1000;
    const fields = 'participants,updated_time,messages.limit(1){from,created_time}';
    const listing = (await call('GET', `/v26.0/me/conversations?fields=${fields}`)).body;
    const { id, name } = sandbox.page;
    expect(listing['data']).toEqual([
      {
        id: `t_${ANN}`,
        updated_time: '2026-11-21T12:00:00+0000',
        participants: {
          data: [
            { id: ANN, name: 'User 3947' },
            { id, name },
          ],
        },
        messages: {
          data: [
            {
              id: (outcome as { messageId: string }).messageId,
              created_time: '2026-11-21T12:00:00+0000',
              from: { id, name },
            },
          ],
          paging: { cursors: { before: '0', after: '1' }, next: expect.any(String) as string },
        },
      },
    ]);
    const more = (await call('GET', `/v26.0/t_${ANN}?fields=messages.limit(1).after(1){from}`)).body;
    expect(more['messages']).toMatchObject({ data: [{ from: { id: ANN } }], paging: { cursors: { after: '2' } } });
    expect((more['messages'] as Listing).paging.next).toBeUndefined();
  });

  it('have an id of the account of its own on Instagram', async () => {
    const instagram = { id: '17841400000000777', username: 'shop' };
    const { call } = await testSandbox({ page: { channel: 'instagram', instagram }, users });
    const path = '/v26.0/me/conversations?platform=instagram&limit=1&fields=participants';
    expect((await call('GET', path)).body['data']).toEqual([
      { id: `t_${user(0)}`, participants: { data: [{ id: user(0), username: 'User 0000' }, instagram] } },
    ]);
  });

  it('of ten thousand people are all listed, each once', async () => {
    const many = Array.from({ length: 10_000 }, (_, n) => ({ id: user(n), opened_at: `-${n + 1}s` }));
    const { call } = await testSandbox({ users: many, limits: { conversationsPerSecond: null } });
    const seen = new Set<string>();
    let after = '';
    for (let pages = 0; pages < 100; pages += 1) {
      const path = `/v26.0/me/conversations?limit=100&fields=participants,messages.limit(5){from}${after}`;
      const page = (await call('GET', path)).body as unknown as Listing;
      for (const { id } of page.data) seen.add(id);
      if (page.paging.next === undefined) break;
      after = `&after=${page.paging.cursors.after}`;
    }
    expect(seen.size).toBe(10_000);
  });
});

describe('the Page and its token', () => {
  const debug = (token: string): object => ({
    batch: [{ method: 'GET', relative_url: `debug_token?input_token=${token}` }],
  });
  const told = (answer: { body: unknown }): { data: Record<string, unknown> } =>
    JSON.parse((answer.body as { body: string }[])[0]!.body) as { data: Record<string, unknown> };

  it('tells who it is', async () => {
    const { call, sandbox } = await testSandbox();
    const { id, name } = sandbox.page;
    expect((await call('GET', '/v26.0/me')).body).toEqual({ name, id });
    expect((await call('GET', `/v26.0/${id}?fields=id`)).body).toEqual({ id });
    expect((await call('GET', `/v26.0/me?fields=instagram_business_account`)).body).toEqual({ id });
    expect(codeOf((await call('GET', '/v26.0/me?fields=password')).body)).toBe('100');
    expect(codeOf((await call('GET', '/v26.0/me?fields=id,')).body)).toBe('100');
    const linked = await testSandbox({ page: { channel: 'instagram' } });
    expect((await linked.call('GET', '/v26.0/me?fields=instagram_business_account')).body).toEqual({
      id,
      instagram_business_account: { id: linked.sandbox.page.instagram.id },
    });
  });

  it('tells what the token may do, and until when', async () => {
    const { call, sandbox } = await testSandbox({
      page: { permissions: ['pages_messaging'], tokenExpiresAt: '+5d', dataAccessExpiresAt: '+90d' },
    });
    const { token, id } = sandbox.page;
    expect(told(await call('POST', '/v26.0/', { body: debug(token) }))).toMatchObject({
      data: {
        is_valid: true,
        profile_id: id,
        scopes: ['pages_messaging'],
        expires_at: NOON / 1000 + 5 * 86_400,
        data_access_expires_at: NOON / 1000 + 90 * 86_400,
      },
    });
    expect(told(await call('POST', '/v26.0/', { body: debug('another') }))).toMatchObject({
      data: { is_valid: false },
    });
    const lasting = await testSandbox();
    expect(told(await lasting.call('POST', '/v26.0/', { body: debug(token) })).data).toMatchObject({ expires_at: 0 });
  });

  it('refuses a token that has ended, and what its permissions do not cover', async () => {
    const { call, send, clock } = await testSandbox({ page: { tokenExpiresAt: '+1h' } });
    expect(await send(ANN)).toMatchObject({ kind: 'sent' });
    clock.at += HOUR;
    expect(await send(ANN)).toMatchObject({ kind: 'stopped', stop: 'token', error: { code: '190/463' } });
    expect(codeOf((await call('GET', '/v26.0/me')).body)).toBe('190/463');
    const poor = await testSandbox({ page: { permissions: ['pages_messaging'] } });
    expect(await poor.send(ANN)).toMatchObject({ kind: 'sent' });
    expect(codeOf((await poor.call('GET', '/v26.0/me/conversations')).body)).toBe('200');
    expect(codeOf((await poor.call('GET', '/v26.0/me/message_templates')).body)).toBe('200');
    const mute = await testSandbox({ page: { permissions: [] } });
    expect(await mute.send(ANN)).toMatchObject({ kind: 'stopped', stop: 'permission', error: { code: '200' } });
  });

  it('tells how much of the allowance is used, when asked to', async () => {
    const { call, sandbox } = await testSandbox({ limits: { usage: 85, regainMinutes: 3 } });
    const usage = async (path = '/v26.0/me'): Promise<unknown> => {
      const header = (await call('GET', path)).headers.get('x-business-use-case-usage');
      return header === null ? null : (JSON.parse(header) as Record<string, unknown[]>)[sandbox.page.id]![0];
    };
    const sent = await call('POST', '/v26.0/me/messages', { body: hello(ANN) });
    expect(sent.headers.get('x-business-use-case-usage')).toContain('"call_count":85');
    expect(await usage()).toMatchObject({ type: 'messenger', call_count: 85, estimated_time_to_regain_access: 0 });
    await call('POST', '/_sandbox/usage', { body: { percent: 100 } });
    expect(await usage()).toMatchObject({ call_count: 100, estimated_time_to_regain_access: 3 });
    await call('POST', '/_sandbox/usage', { body: { percent: null } });
    expect(await usage()).toBeNull();
    sandbox.state.reset();
    expect(await usage()).toMatchObject({ call_count: 85 });
    expect((await call('POST', '/_sandbox/usage', { body: { percent: -1 } })).status).toBe(400);
  });

  it('stands under graph.instagram.com for an account that signed in with Instagram', async () => {
    const { call, sandbox } = await testSandbox({ page: { channel: 'instagram' } });
    const { instagram, id } = sandbox.page;
    const root = '/graph.instagram.com/v26.0';
    expect((await call('GET', `${root}/me?fields=user_id,username`)).body).toEqual({
      user_id: instagram.id,
      username: instagram.username,
      id: `app_${instagram.id}`,
    });
    expect((await call('POST', `${root}/${instagram.id}/messages`, { body: hello(ANN) })).status).toBe(200);
    expect(codeOf((await call('POST', `${root}/${id}/messages`, { body: hello(BEN) })).body)).toBe('100/33');
    expect(codeOf((await call('POST', `/v26.0/${instagram.id}/messages`, { body: hello(BEN) })).body)).toBe('100/33');
    expect(codeOf((await call('GET', `${root}/debug_token?input_token=x`)).body)).toBe('100/33');
    const listed = await call('GET', `${root}/me/conversations?platform=instagram`);
    expect(listed.body['data']).toMatchObject([{ id: `t_${ANN}` }]);
    expect(sandbox.state.received().map(({ user }) => user)).toEqual([ANN]);
  });
});
