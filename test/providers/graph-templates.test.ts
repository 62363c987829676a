import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileTemplate, type Template } from '../../src/core/template.js';
import type { PlatformTemplate } from '../../src/ports.js';
import { Asking, envelope, errorOf, listing, PAGE } from '../support/graph-asking.js';
import type { CannedReply } from '../support/provider-contract.js';
import { testSandbox } from '../support/sandbox-harness.js';

let asking: Asking;
beforeAll(async () => {
  asking = await Asking.start();
});
afterAll(() => asking.close());

const node = (components: object[], more: object = {}): object => ({
  id: '1',
  name: 'order_update',
  language: 'en_US',
  status: 'APPROVED',
  category: 'UTILITY',
  components,
  ...more,
});
const ours = (more: Partial<PlatformTemplate> = {}): PlatformTemplate => ({
  name: 'order_update',
  language: 'en_US',
  status: 'APPROVED',
  category: 'UTILITY',
  parameters: 'positional',
  header: null,
  body: null,
  buttons: [],
  examples: {},
  code: null,
  reason: null,
  unsupported: null,
  ...more,
});
const bodyOf = (text: string, example?: object): object => ({ type: 'BODY', text, ...(example && { example }) });
const buttonsOf = (...buttons: object[]): object => ({ type: 'BUTTONS', buttons });
const NAMED = { parameter_format: 'NAMED' };

const templateCases: [string, object, PlatformTemplate][] = [
  ['text alone', node([bodyOf('Your order left.')]), ours({ body: 'Your order left.' })],
  [
    'numbers in every part',
    node([
      {
        type: 'HEADER',
        format: 'TEXT',
        text: 'Order {{1}}',
        example: { header_text: ['A-1042'] },
      },
      bodyOf('{{1}}, it left {{ 2 }}. Thanks, {{1}}', { body_text: [['Ann', 'today']] }),
      buttonsOf(
        { type: 'POSTBACK', text: 'Stop', payload: 'STOP' },
        { type: 'POSTBACK', text: 'Yes', payload: '{"value":"yes","ref":"{{3}}"}' },
        { type: 'URL', text: 'Track', url: 'https://shop.example/t/{{1}}' },
      ),
    ]),
    ours({
      header: 'Order {{header_1}}',
      body: '{{param_1}}, it left {{param_2}}. Thanks, {{param_1}}',
      buttons: [
        { type: 'postback', title: 'Stop', payload: 'STOP' },
        { type: 'postback', title: 'Yes', payload: '{"value":"yes","ref":"{{button_2}}"}' },
        { type: 'web_url', title: 'Track', url: 'https://shop.example/t/{{button_3}}' },
      ],
      examples: { header_1: 'A-1042', param_1: 'Ann', param_2: 'today' },
    }),
  ],
  ...(
    [
      ["of Meta's sample", { url_suffix_example: 'https://shop.example/t/A-1042' }, 'A-1042'],
      ['that is a list', ['http://shop.example/t/A-1042'], 'A-1042'],
      ['that is the end alone', 'A-1042', 'A-1042'],
      ['of another address', 'https://elsewhere.example/A-1042', null],
      ['that is none', { url_suffix_example: 7 }, null],
    ] as const
  ).map(([what, example, value]): [string, object, PlatformTemplate] => [
    `an example of a link ${what}`,
    node([buttonsOf({ type: 'URL', text: 'Track', url: 'http://shop.example/t/{{1}}', example })]),
    ours({
      buttons: [{ type: 'web_url', title: 'Track', url: 'http://shop.example/t/{{button_1}}' }],
      examples: value === null ? {} : { button_1: value },
    }),
  ]),
  [
    'names',
    node(
      [
        {
          type: 'HEADER',
          text: 'Order {{order_no}}',
          example: { header_text_named_params: [{ param_name: 'order_no', example: 'A-1042' }] },
        },
        bodyOf('Hi {{name}}', { body_text_named_params: [{ param_name: 'name', example: 'Ann' }, 'x', {}] }),
        buttonsOf(
          { type: 'URL', text: 'Track', url: 'https://shop.example/{{order_no}}' },
          { type: 'POSTBACK', text: 'Stop' },
          { type: 'POSTBACK', text: 'Order', payload: 'order_id_{{ number }}' },
        ),
      ],
      NAMED,
    ),
    ours({
      parameters: 'named',
      header: 'Order {{order_no}}',
      body: 'Hi {{name}}',
      buttons: [
        { type: 'web_url', title: 'Track', url: 'https://shop.example/{{order_no}}' },
        { type: 'postback', title: 'Stop', payload: 'Stop' },
        { type: 'postback', title: 'Order', payload: 'order_id_{{number}}' },
      ],
      examples: { order_no: 'A-1042', name: 'Ann' },
    }),
  ],
  [
    'examples of another shape',
    node([bodyOf('a {{1}} b {{2}} c', { body_text: ['Ann'] })]),
    ours({ body: 'a {{param_1}} b {{param_2}} c', examples: { param_1: 'Ann' } }),
  ],
  ['examples that are none', node([bodyOf('a {{1}} b', { body_text: 'Ann' })]), ours({ body: 'a {{param_1}} b' })],
  [
    'a reason',
    node([bodyOf('x')], { status: 'REJECTED', rejected_reason: 'INCORRECT_PARAMS\u001b[2J', category: undefined }),
    ours({ body: 'x', status: 'REJECTED', reason: 'INCORRECT_PARAMS [2J', category: null }),
  ],
  ['a reason that is none', node([bodyOf('x')], { rejected_reason: 'NONE' }), ours({ body: 'x' })],
  [
    'braces that stay open',
    node([buttonsOf({ type: 'POSTBACK', text: 'Stop', payload: `{{${' '.repeat(100_000)}` })]),
    ours({ buttons: [{ type: 'postback', title: 'Stop', payload: `{{${' '.repeat(100_000)}` }] }),
  ],
  ['nothing of its parts', node([], { components: 'x' }), ours()],
];

const unsupportedCases: [string, object[], object, string][] = [
  ['a picture above', [{ type: 'HEADER', format: 'IMAGE' }], {}, 'a header of the format IMAGE'],
  ['a video above', [{ type: 'HEADER', format: 'video' }], {}, 'a header of the format VIDEO'],
  ['a header of nonsense', [{ type: 'HEADER', format: { a: 1 } }], {}, 'a header of the format UNKNOWN'],
  ['a footer', [{ type: 'FOOTER', text: 'x' }], {}, 'a part of the type FOOTER'],
  ['a part of nonsense', [{ type: 5 }], {}, 'a part of the type UNKNOWN'],
  ['a body without a text', [{ type: 'BODY' }], {}, 'a body without a text'],
  ['a call', [buttonsOf({ type: 'PHONE_NUMBER', text: 'Call' })], {}, 'a button of the type PHONE_NUMBER'],
  ['a button without a title', [buttonsOf({ type: 'POSTBACK' })], {}, 'a button without a title'],
  [
    'a placeholder in the middle of an address',
    [buttonsOf({ type: 'URL', text: 'x', url: 'https://{{1}}.example/' })],
    {},
    'a web address with a placeholder that is not its end',
  ],
  [
    'two placeholders in an address',
    [buttonsOf({ type: 'URL', text: 'x', url: 'https://shop.example/{{1}}/{{2}}' })],
    {},
    'a web address with more than one placeholder',
  ],
  [
    'two placeholders in a payload',
    [buttonsOf({ type: 'POSTBACK', text: 'x', payload: '{{1}} {{2}}' })],
    {},
    'a payload with more than one placeholder',
  ],
  [
    'a name that is none in a payload',
    [buttonsOf({ type: 'POSTBACK', text: 'x', payload: 'X {{order-no}}' })],
    {},
    'the placeholder {{order-no}}',
  ],
  ['a name that is none', [bodyOf('a {{order-no}} b')], NAMED, 'the placeholder {{order-no}}'],
  ['a number among names', [bodyOf('a {{1}} b')], NAMED, 'the placeholder {{1}}'],
  ['a name among numbers', [bodyOf('a {{name}} b')], {}, 'the placeholder {{name}}'],
  ['the number 0', [bodyOf('a {{0}} b')], {}, 'the placeholder {{0}}'],
  [
    'numbers out of order',
    [bodyOf('a {{2}} b {{1}} c')],
    {},
    'parameters of the body that are not numbered in the order of their use',
  ],
  [
    'a number left out',
    [bodyOf('a {{1}} b {{3}} c')],
    {},
    'parameters of the body that are not numbered in the order of their use',
  ],
];

const session = (more: Partial<Template>): Template => ({
  name: 'order',
  language: 'en_US',
  channels: ['messenger'],
  kind: 'registered',
  registration: { name: 'order_update', status: 'DRAFT', parameters: 'named' },
  header: 'Order {{order_no}}',
  body: 'Hi {{ name }}, order {{order_no}} is there, {{name}}.',
  buttons: [
    { type: 'web_url', title: 'Track', url: 'https://shop.example/t/{{order_no}}' },
    { type: 'web_url', title: 'Shop', url: 'https://shop.example/' },
    { type: 'postback', title: 'Stop', payload: 'STOP {{order_no}}' },
  ],
  quickReplies: [],
  variables: [
    { name: 'order_no', example: 'A-1042' },
    { name: 'name', example: 'Ann' },
  ],
  ...more,
});
const positional = { registration: { name: 'order_update', status: 'DRAFT', parameters: 'positional' as const } };
const buttonsSent = buttonsOf(
  {
    type: 'URL',
    text: 'Track',
    url: 'https://shop.example/t/{{1}}',
    example: { url_suffix_example: 'https://shop.example/t/A-1042' },
  },
  { type: 'URL', text: 'Shop', url: 'https://shop.example/' },
  { type: 'POSTBACK', text: 'Stop', payload: 'STOP {{1}}' },
);

describe('graph: registered templates', () => {
  const read = (replies: readonly CannedReply[], name?: string): ReturnType<typeof asking.ask<unknown>> =>
    asking.ask<unknown>(replies, (provider) => provider.templates?.(name));
  const path = `${PAGE}/message_templates`;
  const fields = 'name,language,status,category,parameter_format,components,rejected_reason';

  it.each(templateCases)('with %s', async (_label, given, expected) => {
    const { result, requests } = await read([listing([given])]);
    expect(result).toEqual({ kind: 'read', templates: [expected] });
    expect(requests).toEqual([{ path, query: { fields, limit: '100' } }]);
  });

  it.each(unsupportedCases)('that cannot be filled: %s', async (_label, components, more, unsupported) => {
    const { result } = await read([listing([node(components, more)])]);
    expect(result).toMatchObject({ templates: [{ name: 'order_update', unsupported }] });
  });

  it('of one name alone, whatever else the platform lists', async () => {
    const { result, requests } = await read(
      [listing([node([]), node([], { name: 'order_update_2' })])],
      'order_update',
    );
    expect(result).toEqual({ kind: 'read', templates: [ours()] });
    expect(requests).toEqual([{ path, query: { fields, limit: '100', name: 'order_update' } }]);
  });

  it('of all pages', async () => {
    const paging = { cursors: { after: 'b-1' }, next: 'https://elsewhere.example/' };
    const { result, requests } = await read([listing([node([])], paging), listing([node([], { name: 'another' })])]);
    expect(result).toMatchObject({ templates: [{ name: 'order_update' }, { name: 'another' }] });
    expect(requests[1]).toEqual({ path, query: { fields, limit: '100', after: 'b-1' } });
  });

  it('of more pages than anybody has are not served in part', async () => {
    const pages = Array.from({ length: 20 }, (_, n) => listing([], { cursors: { after: `c${n}` }, next: 'x' }));
    expect((await read(pages)).result).toMatchObject({
      kind: 'failed',
      error: { message: 'The account has more than 2000 templates; only one name can be asked for.' },
    });
  });

  it.each([
    ['no list', [{ body: { data: 'x' } }]],
    ['no name', [listing([node([], { name: '' })])]],
    ['no status', [listing([node([], { status: null })])]],
    ['a name that rewrites the terminal', [listing([node([], { name: 'order\u001b[2J' })])]],
    ['a text that never ends', [{ body: `{"data":"${'\\"'.repeat(200_000)}` }]],
    ['no template', [{ body: { data: ['x'] } }]],
    [
      'no end',
      [listing([], { cursors: { after: 'a' }, next: 'x' }), listing([], { cursors: { after: 'a' }, next: 'x' })],
    ],
    ['a page from elsewhere', [{ body: '<html>' }]],
  ])('are not taken from %s', async (_label, replies) => {
    expect((await read(replies)).result).toMatchObject({ kind: 'failed', error: { code: 'REPLY_UNREADABLE' } });
  });

  it.each([
    [200, { stop: 'permission' }],
    [190, { stop: 'token' }],
    [80006, { pauseMs: 30_000 }],
    [100, {}],
  ])('error %s: %j', async (code, meant) => {
    expect((await read([envelope(code)])).result).toEqual({ kind: 'failed', error: errorOf(String(code)), ...meant });
    const handed = await asking.ask([envelope(code)], (provider) => provider.createTemplate?.(session({})));
    expect(handed.result).toEqual({ kind: 'failed', error: errorOf(String(code)), ...meant });
  });

  it('are there on messenger only', async () => {
    for (const channel of ['messenger', 'instagram'] as const) {
      const { result } = await asking.ask([], (provider) => Promise.resolve(Object.keys(provider)), { channel });
      const methods = channel === 'messenger' ? ['templates', 'createTemplate'] : [];
      expect(result.filter((name) => /template/i.test(name))).toEqual(methods);
    }
  });

  it.each([
    [
      'names',
      session({}),
      {
        parameter_format: 'NAMED',
        components: [
          {
            type: 'HEADER',
            format: 'TEXT',
            text: 'Order {{order_no}}',
            example: { header_text_named_params: [{ param_name: 'order_no', example: 'A-1042' }] },
          },
          {
            type: 'BODY',
            text: 'Hi {{name}}, order {{order_no}} is there, {{name}}.',
            example: {
              body_text_named_params: [
                { param_name: 'name', example: 'Ann' },
                { param_name: 'order_no', example: 'A-1042' },
              ],
            },
          },
          buttonsSent,
        ],
      },
    ],
    [
      'numbers, counted in each part',
      session(positional),
      {
        parameter_format: 'POSITIONAL',
        components: [
          { type: 'HEADER', format: 'TEXT', text: 'Order {{1}}', example: { header_text: ['A-1042'] } },
          {
            type: 'BODY',
            text: 'Hi {{1}}, order {{2}} is there, {{1}}.',
            example: { body_text: [['Ann', 'A-1042']] },
          },
          buttonsSent,
        ],
      },
    ],
    [
      'text alone, under the name that it has here',
      session({ registration: undefined as never, header: undefined as never, body: 'Your order left.', buttons: [] }),
      { name: 'order', parameter_format: 'NAMED', components: [{ type: 'BODY', text: 'Your order left.' }] },
    ],
    [
      'one place for all variables of a button',
      session({
        header: undefined as never,
        body: 'Your order left.',
        buttons: [
          { type: 'web_url', title: 'Track', url: 'https://shop.example/{{name}}/{{order_no}}#top' },
          { type: 'postback', title: 'Stop', payload: '{"of":"{{name}} {{order_no}}","do":"stop"}' },
        ],
      }),
      {
        parameter_format: 'NAMED',
        components: [
          { type: 'BODY', text: 'Your order left.' },
          buttonsOf(
            {
              type: 'URL',
              text: 'Track',
              url: 'https://shop.example/{{1}}',
              example: { url_suffix_example: 'https://shop.example/Ann/A-1042#top' },
            },
            { type: 'POSTBACK', text: 'Stop', payload: '{"of":"{{1}}","do":"stop"}' },
          ),
        ],
      },
    ],
  ])('are handed in with %s', async (_label, template, content) => {
    const reply = { body: { id: 1234567890123456, status: 'PENDING', category: 'UTILITY' } };
    const { result, requests } = await asking.ask([reply], (provider) => provider.createTemplate?.(template));
    expect(result).toEqual({ kind: 'created', id: '1234567890123456', status: 'PENDING' });
    expect(requests).toEqual([
      { path, body: { name: 'order_update', language: 'en_US', category: 'UTILITY', ...content } },
    ]);
  });

  it.each([
    ['without a body', { body: undefined as never }],
    ['with media', { media: { type: 'image', url: 'https://shop.example/a.png' } as const }],
    ['with cards', { cards: [] }],
    ['with quick replies', { quickReplies: [{ title: 'x', payload: 'x' }] }],
    ['with a title that varies', { buttons: [{ type: 'postback', title: '{{name}}', payload: 'x' }] as const }],
  ])('%s are not handed in', async (_label, more) => {
    const { result } = await asking.ask([], (provider) => provider.createTemplate?.(session(more)));
    expect(result).toMatchObject({
      kind: 'failed',
      error: { code: '100', message: expect.stringMatching(/^Nothing was handed in: .+\.$/) as string },
    });
  });

  it.each([
    ['says nothing of the template', { body: { success: true } }, 'REPLY_UNREADABLE'],
    ['is lost', { fault: 'drop' as const }, 'CONNECTION_LOST'],
  ])('are not known to be handed in when the answer %s', async (_label, reply, code) => {
    const { result } = await asking.ask([reply], (provider) => provider.createTemplate?.(session({})));
    expect(result).toMatchObject({ kind: 'failed', error: { code } });
  });

  it.each(['named', 'positional'] as const)(
    'with %s parameters come back from a sandbox as they were',
    async (parameters) => {
      const { provider, sandbox } = await testSandbox();
      const graph = provider();
      const template = session({ registration: { name: 'order_update', status: 'DRAFT', parameters } });
      expect(await graph.createTemplate?.(template)).toMatchObject({ kind: 'created', status: 'APPROVED' });
      const written = {
        named: { header: 'Order {{order_no}}', body: 'Hi {{name}}, order {{order_no}} is there, {{name}}.' },
        positional: { header: 'Order {{header_1}}', body: 'Hi {{param_1}}, order {{param_2}} is there, {{param_1}}.' },
      };
      const read = await graph.templates?.('order_update');
      expect(read).toMatchObject({
        kind: 'read',
        templates: [
          {
            ...written[parameters],
            parameters,
            status: 'APPROVED',
            reason: null,
            unsupported: null,
            buttons: [{ url: 'https://shop.example/t/{{button_1}}' }, {}, { payload: 'STOP {{button_3}}' }],
            examples: {
              ...(parameters === 'named'
                ? { name: 'Ann', order_no: 'A-1042' }
                : { header_1: 'A-1042', param_1: 'Ann', param_2: 'A-1042' }),
              button_1: 'A-1042',
            },
          },
        ],
      });
      sandbox.state.changeTemplates({ name: 'order_update', status: 'PAUSED', reason: 'LOW_QUALITY' });
      expect(await graph.templates?.()).toMatchObject({ templates: [{ status: 'PAUSED', reason: 'LOW_QUALITY' }] });
    },
  );

  it('arrive with the values in their buttons, as they are shown here', async () => {
    const { provider, sandbox } = await testSandbox();
    const graph = provider();
    const template = session({
      buttons: [
        { type: 'web_url', title: 'Track', url: 'https://shop.example/{{name}}/{{order_no}}' },
        { type: 'postback', title: 'Stop', payload: 'STOP {{order_no}}, {{name}}!' },
        { type: 'postback', title: 'Help', payload: 'HELP' },
      ],
    });
    await graph.createTemplate?.(template);
    const message = compileTemplate(template).render(['A-7', 'Ben']);
    const [outcome] = await graph.send([{ userId: '7642925849053947', message, metadata: 'm', isReply: false }]);
    expect(outcome).toMatchObject({ kind: 'sent' });
    const [received] = sandbox.state.received();
    expect(received?.content).toMatchObject({
      buttons: [
        { type: 'web_url', title: 'Track', url: 'https://shop.example/Ben/A-7' },
        { type: 'postback', title: 'Stop', payload: 'STOP A-7, Ben!' },
        { type: 'postback', title: 'Help', payload: 'HELP' },
      ],
    });
    expect(received?.content?.['buttons']).toEqual(message.buttons);
  });

  it('that a sandbox rejects say why, and of many none is left out', async () => {
    const templates = Array.from({ length: 250 }, (_, n) => ({ name: `t${n}`, language: 'en', body: 'x' }));
    const { provider } = await testSandbox({ templates });
    const graph = provider();
    expect(await graph.createTemplate?.(session({ body: '{{name}}' }))).toMatchObject({ status: 'REJECTED' });
    expect(await graph.createTemplate?.(session({}))).toMatchObject({ kind: 'failed', error: { code: '100' } });
    const read = await graph.templates?.();
    expect(read).toMatchObject({ kind: 'read' });
    const found = read?.kind === 'read' ? read.templates : [];
    expect(found.length).toBe(251);
    expect(found.at(-1)).toMatchObject({ reason: 'INCORRECT_PARAMS' });
  });
});
