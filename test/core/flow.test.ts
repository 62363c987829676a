import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkFlow,
  DEFAULT_AUTOMATION,
  flowFor,
  FLOW_TYPES,
  flowTemplates,
  listensOn,
  withDisclosure,
  type Flow,
  type FlowContent,
  type FlowEvent,
  type FlowFault,
  type FlowSurroundings,
  type Trigger,
} from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT } from '../../src/core/opt-out.js';
import type { RuleRow } from '../../src/core/policy.js';
import { CHANNELS, type Channel, type Template } from '../../src/core/template.js';

const HOUR = 3_600_000;

const FLOW: Flow = {
  name: 'hours',
  type: 'auto-reply',
  trigger: { on: 'keyword', words: ['hours'] },
  from: 'page',
  content: { kind: 'free-text', text: 'We are open from 9 to 5.' },
  oncePerMs: null,
  quietHours: null,
  inQuietHours: 'skip',
  expiryMs: 600_000,
};

function template(name: string, settings: Partial<Template> = {}): Template {
  return {
    name,
    language: 'en_US',
    channels: [...CHANNELS],
    kind: 'session',
    body: 'Hello',
    buttons: [],
    quickReplies: [],
    variables: [],
    ...settings,
  };
}

const registered = (name: string, status: string, channels: readonly Channel[] = ['messenger']): Template =>
  template(name, { kind: 'registered', channels, registration: { name, status, parameters: 'named' } });

const ACCOUNTS: FlowSurroundings['accounts'] = [
  { name: 'page', channel: 'messenger' },
  { name: 'insta', channel: 'instagram' },
  { name: 'alice-sms', channel: 'sms' },
];

const KNOWN: FlowSurroundings = {
  accounts: ACCOUNTS,
  owners: new Map([['alice', 'alice-sms']]),
  templates: [],
  broken: [],
  optOut: DEFAULT_OPT_OUT,
  automation: DEFAULT_AUTOMATION,
};

function errors(flow: Partial<Flow>, known: Partial<FlowSurroundings> = {}): FlowFault[] {
  return checkFlow({ ...FLOW, ...flow }, { ...KNOWN, ...known }).filter(({ severity }) => severity === 'error');
}

const send = (name: string, values: Record<string, string> = {}, language: string | null = null): FlowContent => ({
  kind: 'template',
  name,
  language,
  values,
});

describe('V4 and V5', () => {
  /** Who sends, and on which channels that may be. */
  const SENDERS: { from: string; accounts: FlowSurroundings['accounts']; channels: readonly Channel[] }[] = [
    { from: 'page', accounts: ACCOUNTS, channels: ['messenger'] },
    { from: 'insta', accounts: ACCOUNTS, channels: ['instagram'] },
    { from: 'alice-sms', accounts: ACCOUNTS, channels: ['sms'] },
    { from: 'record-owner', accounts: ACCOUNTS, channels: ['sms'] },
    { from: 'auto', accounts: ACCOUNTS, channels: CHANNELS },
    ...ACCOUNTS.map((account) => ({ from: 'auto', accounts: [account], channels: [account.channel] })),
  ];
  const TAGS: readonly (readonly Channel[])[] = [['messenger'], ['instagram'], ['sms'], ['messenger', 'sms'], CHANNELS];
  type Content = 'free text' | Template;
  const CONTENTS: readonly Content[] = [
    'free text',
    ...TAGS.flatMap((tags) => [
      template('t', { channels: tags }),
      registered('t', 'APPROVED', tags),
      registered('t', 'PENDING', tags),
    ]),
  ];
  const TRIGGERS: readonly Trigger[] = [
    { on: 'keyword', words: ['hours'] },
    { on: 'first_message' },
    { on: 'payload', payloads: ['GO'] },
    { on: 'opener', openers: ['message'] },
    { on: 'call' },
  ];

  interface Combination {
    type: Flow['type'];
    from: string;
    channels: readonly Channel[];
    content: Content;
    trigger: Trigger;
  }

  const isMtm = (content: Content): boolean => content !== 'free text' && content.kind === 'registered';
  const isFor = (content: Content, channels: readonly Channel[]): boolean =>
    content === 'free text' || channels.every((channel) => content.channels.includes(channel));
  const isApproved = (content: Content): boolean =>
    content === 'free text' || content.registration === undefined || content.registration.status === 'APPROVED';

  /** What the pages say, each sentence by itself; null for what is no row of theirs. */
  const STATEMENTS: {
    row: RuleRow | null;
    about: 'content' | 'trigger';
    says: string;
    holds: (one: Combination) => boolean;
  }[] = [
    {
      row: 'V4',
      about: 'content',
      says: 'Auto Reply: free text, or any template of the channel',
      holds: ({ type, from, content, channels }) =>
        type !== 'auto-reply' || ['auto', 'record-owner'].includes(from) || isFor(content, channels),
    },
    {
      row: 'V4',
      about: 'content',
      says: 'Automation, Notification: registered templates only, of the channel',
      holds: ({ type, from, content, channels }) =>
        type === 'auto-reply' ||
        from === 'record-owner' ||
        channels.every((channel) => (channel === 'sms' ? content !== 'free text' : isMtm(content))),
    },
    {
      row: 'V4',
      about: 'content',
      says: 'Automation, Notification: a template of the channel',
      holds: ({ type, from, content, channels }) =>
        type === 'auto-reply' || ['auto', 'record-owner'].includes(from) || isFor(content, channels),
    },
    {
      row: 'V4',
      about: 'trigger',
      says: 'Auto Reply answers',
      holds: ({ type, trigger }) => type !== 'auto-reply' || trigger.on !== 'call',
    },
    {
      row: 'V5',
      about: 'content',
      says: 'Auto: templates tagged with all channels',
      holds: ({ from, content }) => from !== 'auto' || (content !== 'free text' && isFor(content, CHANNELS)),
    },
    {
      row: 'V5',
      about: 'trigger',
      says: 'Auto: sent on the channel where the keyword came in',
      holds: ({ from, trigger }) => from !== 'auto' || trigger.on !== 'call',
    },
    {
      row: 'V2',
      about: 'content',
      says: "Record Owner's sender ID: only SMS-tagged templates",
      holds: ({ from, content }) => from !== 'record-owner' || (content !== 'free text' && isFor(content, ['sms'])),
    },
    {
      row: 'V1',
      about: 'content',
      says: 'The platform has registered templates on Messenger only',
      holds: ({ content, channels }) => !isMtm(content) || channels.every((channel) => channel === 'messenger'),
    },
    {
      row: 'V4',
      about: 'content',
      says: 'Automation, Notification: registered means approved',
      holds: ({ type, content }) => type === 'auto-reply' || isApproved(content),
    },
    {
      row: null,
      about: 'content',
      says: 'The platform sends only what it has approved',
      holds: ({ content }) => isApproved(content),
    },
    {
      row: null,
      about: 'content',
      says: 'A registered template that is for other channels, too, is faulty',
      holds: ({ content }) => content === 'free text' || !isMtm(content) || content.channels.join() === 'messenger',
    },
  ];

  const combinations = FLOW_TYPES.flatMap((type) =>
    SENDERS.flatMap(({ from, accounts, channels }) =>
      CONTENTS.flatMap((content) => TRIGGERS.map((trigger) => ({ type, from, accounts, channels, content, trigger }))),
    ),
  );

  it('are what flow check says of every combination', () => {
    const wrong: object[] = [];
    let allowed = 0;
    for (const one of combinations) {
      const { type, from, accounts, content, trigger } = one;
      const told = errors(
        { type, from, trigger, content: content === 'free text' ? FLOW.content : send('t') },
        { accounts, templates: content === 'free text' ? [] : [content] },
      );
      const broken = STATEMENTS.filter(({ holds }) => !holds(one));
      if (broken.length === 0) allowed += 1;
      const rows = (about: string): (RuleRow | null)[] =>
        broken.filter((statement) => statement.about === about).map(({ row }) => row);
      const toldOf = (isTrigger: boolean): (RuleRow | null)[] =>
        told.filter(({ part }) => (part === 'trigger') === isTrigger).map(({ row }) => row);
      // Where several rows refuse a content, the first of them is told.
      const isRight =
        toldOf(true).join() === rows('trigger').join() &&
        toldOf(false).length > 0 === rows('content').length > 0 &&
        toldOf(false).every((row) => rows('content').includes(row));
      if (!isRight) wrong.push({ one, told, broken: broken.map(({ says }) => says) });
    }
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(combinations).toHaveLength(3 * 8 * 16 * 5);
    expect(allowed).toBeGreaterThan(100);
  });

  it.each<[type: Flow['type'], from: string, content: Content, on: Trigger['on'], rows: (RuleRow | null)[]]>([
    ['auto-reply', 'page', 'free text', 'keyword', []],
    ['auto-reply', 'insta', 'free text', 'first_message', []],
    ['auto-reply', 'alice-sms', 'free text', 'keyword', []],
    ['auto-reply', 'page', template('t', { channels: ['messenger'] }), 'payload', []],
    ['auto-reply', 'page', registered('t', 'APPROVED'), 'opener', []],
    ['auto-reply', 'page', registered('t', 'PENDING'), 'opener', [null]],
    ['auto-reply', 'page', template('t', { channels: ['sms'] }), 'keyword', ['V4']],
    ['auto-reply', 'page', 'free text', 'call', ['V4']],
    ['auto-reply', 'record-owner', template('t', { channels: ['sms'] }), 'keyword', []],
    ['auto-reply', 'record-owner', 'free text', 'keyword', ['V2']],
    ['auto-reply', 'auto', template('t'), 'keyword', []],
    ['auto-reply', 'auto', template('t'), 'call', ['V4', 'V5']],
    ['auto-reply', 'auto', 'free text', 'keyword', ['V5']],
    ['auto-reply', 'auto', template('t', { channels: ['messenger', 'sms'] }), 'keyword', ['V5']],
    ['automation', 'page', 'free text', 'keyword', ['V4']],
    ['automation', 'page', template('t'), 'keyword', ['V4']],
    ['automation', 'page', registered('t', 'APPROVED'), 'call', []],
    ['automation', 'page', registered('t', 'APPROVED'), 'keyword', []],
    ['automation', 'page', registered('t', 'PAUSED'), 'call', ['V4']],
    ['notification', 'insta', template('t'), 'call', ['V4']],
    ['notification', 'insta', registered('t', 'APPROVED', ['instagram']), 'call', ['V1']],
    ['notification', 'alice-sms', template('t'), 'call', []],
    ['notification', 'alice-sms', 'free text', 'call', ['V4']],
    ['notification', 'record-owner', template('t', { channels: ['sms'] }), 'call', []],
    ['notification', 'record-owner', template('t', { channels: ['messenger'] }), 'call', ['V2']],
    ['notification', 'auto', template('t'), 'keyword', ['V4']],
    ['notification', 'auto', registered('t', 'APPROVED', CHANNELS), 'call', ['V1', 'V5']],
  ])('%s from %s with %o, %s → %j', (type, from, content, on, rows) => {
    const trigger = TRIGGERS.find((one) => one.on === on) ?? FLOW.trigger;
    const text = content === 'free text' ? FLOW.content : send('t');
    const told = errors(
      { type, from, trigger, content: text },
      { templates: content === 'free text' ? [] : [content] },
    );
    expect(told.map(({ row }) => row).sort()).toEqual([...rows].sort());
    for (const { reason, instead } of told) {
      expect(reason).toMatch(/^[A-Z].*\.$/);
      expect(instead).toMatch(/^[A-Za-z]./);
    }
  });
});

describe('what else is wrong with a flow', () => {
  const order = template('order', {
    body: 'Hi {{name}}, order {{no}} is ready.',
    variables: [
      { name: 'name', example: 'Ann', maxLength: 10 },
      { name: 'no', example: 'A-1042' },
    ],
  });
  const german = { ...order, language: 'de_DE' };
  const mixed = template('mixed', { language: 'de_DE' });
  const tagged = template('tagged', { tag: 'HUMAN_AGENT' });
  const faulty = template('faulty', { body: 'Hi {{name}' });
  const cards = template('cards', { cards: [{ title: 'Mug', subtitle: 'x', buttons: [] }], channels: ['messenger'] });
  delete cards.body;
  const link = template('link', {
    channels: ['messenger'],
    buttons: [{ type: 'web_url', title: 'Look', url: '{{where}}' }],
    variables: [{ name: 'where', example: 'https://example.com' }],
  });
  const buttons = template('buttons', { buttons: [{ type: 'postback', title: 'Go', payload: 'GO' }] });
  const templates = [buttons, order, german, mixed, tagged, faulty, cards, link];
  const call: Trigger = { on: 'call' };
  const said = { automation: { ...DEFAULT_AUTOMATION, disclosure: { en: 'This is automatic.' } } };
  const night = { from: 22 * 60, to: 8 * 60, zone: 'Europe/Berlin' };

  it.each<
    [
      what: string,
      flow: Partial<Flow>,
      known: Partial<FlowSurroundings>,
      tells: [severity: string, RegExp, RegExp] | null,
    ]
  >([
    ['nothing', {}, {}, null],
    [
      'an unknown account',
      { from: 'pge', trigger: { on: 'payload', payloads: ['GO'] } },
      {},
      ['error from', /no account "pge"/, /page, insta, alice-sms/],
    ],
    [
      'no record owners',
      { from: 'record-owner', content: send('order', { name: 'A', no: '1' }) },
      { owners: new Map() },
      ['error from', /no record owners/, /owners: \{/],
    ],
    ['an unknown template', { content: send('ordr') }, {}, ['error template', /no template "ordr"/, /template list/]],
    [
      'a broken template',
      { content: send('hi') },
      { broken: ['hi'] },
      ['error template', /cannot be read/, /check hi/],
    ],
    [
      'a language that is not there',
      { content: send('order', {}, 'fr_FR') },
      {},
      ['error language', /not exist in fr_FR/, /en_US, de_DE/],
    ],
    ['a language left open', { content: send('order', { name: 'Maximilian', no: '1' }) }, {}, null],
    ['a tag', { content: send('tagged') }, {}, ['error template', /HUMAN_AGENT/, /Remove the tag/]],
    [
      'a template with faults',
      { content: send('faulty') },
      {},
      ['error template', /"faulty" \(en_US\) has faults/, /check faulty/],
    ],
    [
      'values that nobody gives',
      { content: send('order', { name: 'A' }, 'en_US') },
      {},
      ['error values', /needs no,/, /call/],
    ],
    [
      'values that a call gives',
      { type: 'automation', from: 'alice-sms', trigger: call, content: send('order') },
      {},
      null,
    ],
    [
      'a value of no variable',
      { content: send('order', { name: 'A', no: '1', town: 'Ulm' }, 'en_US') },
      {},
      ['error values', /no variable "town"/, /name, no/],
    ],
    [
      'a value that is too long',
      { content: send('order', { name: 'Maximilian-A', no: '1' }, 'en_US') },
      {},
      ['error values', /12 characters.*takes 10/, /Shorten/],
    ],
    [
      'values that make it too long',
      { content: send('order', { name: 'A', no: 'x'.repeat(2000) }, 'en_US') },
      {},
      ['error values', /messenger, which takes 1999/, /Shorten/],
    ],
    [
      'a value that is no web address',
      { content: send('link', { where: 'example.com' }) },
      {},
      ['error values', /web address .* buttons\[0\]\.url/, /https/],
    ],
    [
      'text that is too long',
      { from: 'insta', content: { kind: 'free-text', text: 'ü'.repeat(501) } },
      {},
      ['error text', /1002 bytes on instagram, which takes 1000/, /Shorten/],
    ],
    [
      'text with a variable',
      { content: { kind: 'free-text', text: 'Hi {{name}}' } },
      {},
      ['error text', /no variables/, /template/],
    ],
    [
      'a keyword to opt out',
      { trigger: { on: 'keyword', words: ['hi', 'Stop!'] } },
      {},
      ['error trigger', /By "Stop!" people opt out, so no flow/, /another word/],
    ],
    [
      'a keyword to opt back in',
      { trigger: { on: 'keyword', words: ['start'] } },
      {},
      ['error trigger', /opt back in/, /another word/],
    ],
    [
      'a keyword to opt out in its language',
      { trigger: { on: 'keyword', words: ['Ende'] }, content: send('mixed') },
      {},
      ['error trigger', /opt out, so no flow/, /another word/],
    ],
    [
      'a keyword to opt out in another language',
      { trigger: { on: 'keyword', words: ['Ende'] } },
      {},
      ['warning trigger', /opt out in de/, /another word/],
    ],
    [
      'buttons by SMS',
      { from: 'alice-sms', trigger: { on: 'payload', payloads: ['GO'] } },
      {},
      ['warning trigger', /people only write/, /keyword/],
    ],
    [
      'comments by SMS',
      { from: 'alice-sms', trigger: { on: 'opener', openers: ['comment'] } },
      {},
      ['warning trigger', /people only write/, /keyword/],
    ],
    [
      'what is written by SMS',
      { from: 'alice-sms', trigger: { on: 'opener', openers: ['comment', 'message'] } },
      {},
      null,
    ],
    ['an answer that may come days later', { expiryMs: 25 * HOUR }, {}, ['error limits', /within 24 hours/, /expires/]],
    ['an answer that may come a day later', { expiryMs: 24 * HOUR }, {}, null],
    ['days by SMS', { from: 'alice-sms', expiryMs: 72 * HOUR }, {}, null],
    [
      'an answer that expires while it waits',
      { quietHours: night, inQuietHours: 'wait' },
      {},
      ['warning limits', /expires before quiet hours/, /skip/],
    ],
    ['an answer that waits long enough', { quietHours: night, inQuietHours: 'wait', expiryMs: 10 * HOUR }, {}, null],
    ['an answer that is skipped', { quietHours: night, inQuietHours: 'skip' }, {}, null],
    [
      'a call that waits',
      {
        type: 'notification',
        from: 'alice-sms',
        trigger: call,
        content: send('order'),
        quietHours: night,
        inQuietHours: 'wait',
      },
      {},
      null,
    ],
    [
      'cards that cannot say that they are automatic',
      { content: send('cards') },
      said,
      ['warning template', /has no place/, /body/],
    ],
    [
      'text without room to say so',
      { content: { kind: 'free-text', text: 'x'.repeat(1990) } },
      said,
      ['warning text', /has no place/, /body/],
    ],
    ['text with room to say so', {}, said, null],
  ])('%s', (_, flow, known, tells) => {
    const faults = checkFlow({ ...FLOW, ...flow }, { ...KNOWN, templates, ...known });
    const [place, reason, instead] = tells ?? ['', /^$/, /^$/];
    expect(faults.map(({ severity, part }) => `${severity} ${part}`)).toEqual(tells ? [place] : []);
    for (const fault of faults) {
      expect(fault.reason).toMatch(reason);
      expect(fault.instead).toMatch(instead);
    }
  });

  it('is told once for all languages and channels', () => {
    const told = errors({ from: 'auto', content: send('order', { name: 'A' }) }, { templates: [order] });
    expect(told).toHaveLength(1);
  });
});

describe('listensOn', () => {
  it.each<[from: string, account: string, listens: boolean]>([
    ['page', 'page', true],
    ['page', 'insta', false],
    ['auto', 'insta', true],
    ['record-owner', 'alice-sms', true],
    ['record-owner', 'page', false],
  ])('a flow from %s, on %s: %s', (from, account, listens) => {
    expect(listensOn({ ...FLOW, from }, account, KNOWN.owners)).toBe(listens);
  });
});

describe('flowFor', () => {
  const waiting = (name: string, trigger: Trigger): Flow => ({ ...FLOW, name, trigger });
  const FLOWS = [
    waiting('a_opener', { on: 'opener', openers: ['message', 'comment', 'button'] }),
    waiting('b_first', { on: 'first_message' }),
    waiting('c_payload', { on: 'payload', payloads: ['HOURS', 'hours'] }),
    waiting('d_keyword', { on: 'keyword', words: ['Opening Times', 'Öffnungszeiten', 'price'] }),
    waiting('e_keyword', { on: 'keyword', words: ['price', 'hours'] }),
    waiting('f_call', { on: 'call' }),
  ];
  const message: FlowEvent = { opener: 'message', text: null, payload: null };

  it.each<[what: string, event: Partial<FlowEvent>, isFirst: boolean, flow: string | null]>([
    ['a keyword', { text: ' opening  TIMES?' }, false, 'd_keyword'],
    ['a keyword with other letters', { text: 'OFFNUNGSZEITEN!' }, false, 'd_keyword'],
    ['a keyword of two flows', { text: 'price' }, false, 'd_keyword'],
    ['a keyword before all else', { text: 'hours', payload: 'HOURS' }, true, 'e_keyword'],
    ['a payload before the first message', { text: 'Our hours', payload: 'HOURS' }, true, 'c_payload'],
    ['a payload in other letters', { opener: 'button', payload: 'Hours' }, false, 'a_opener'],
    ['the first message', { text: 'hello' }, true, 'b_first'],
    ['a keyword among others', { text: 'hours please' }, false, 'a_opener'],
    ['a word in public', { opener: 'comment', text: 'hours' }, false, 'a_opener'],
    ['an opener that none waits for', { opener: 'reaction' }, false, null],
    ['a reaction of somebody who has written nothing', { opener: 'reaction' }, true, null],
    ['a comment of somebody who has written nothing', { opener: 'comment', text: 'hello' }, true, 'a_opener'],
    ['a first tap', { opener: 'button', payload: 'other' }, true, 'b_first'],
    ['a first message from an ad', { opener: 'ad', text: 'hello' }, true, 'b_first'],
    ['nothing written', { opener: 'm_me', text: '' }, false, null],
  ])('%s', (_, event, isFirst, flow) => {
    expect(flowFor(FLOWS, { ...message, ...event }, isFirst)?.name ?? null).toBe(flow);
  });

  it('does not depend on the order of the flows', () => {
    const events = fc.record({
      opener: fc.constantFrom('message', 'comment', 'reaction', 'button' as const),
      text: fc.constantFrom(null, 'hours', 'price', 'hello'),
      payload: fc.constantFrom(null, 'HOURS', 'other'),
    }) as fc.Arbitrary<FlowEvent>;
    const orders = fc.shuffledSubarray(FLOWS, { minLength: FLOWS.length });
    fc.assert(
      fc.property(orders, events, fc.boolean(), (flows, event, isFirst) => {
        expect(flowFor(flows, event, isFirst)).toBe(flowFor(FLOWS, event, isFirst));
      }),
    );
  });
});

describe('flowTemplates', () => {
  const templates = [template('a'), template('a', { language: 'de_DE' }), template('b')];
  it.each<[content: FlowContent, found: string[]]>([
    [send('a'), ['en_US', 'de_DE']],
    [send('a', {}, 'de_DE'), ['de_DE']],
    [send('a', {}, 'fr_FR'), []],
    [FLOW.content, []],
  ])('%j → %j', (content, found) => {
    expect(flowTemplates(content, templates).map(({ language }) => language)).toEqual(found);
  });
});

describe('withDisclosure', () => {
  const SENTENCE = "I'm the bot of Acme.";
  const SHORT = { channel: 'messenger', values: ['Ann'] } as const;
  const greeting = template('t', { body: 'Hi {{name}}', variables: [{ name: 'name', example: 'Ann' }] });

  it('adds the sentence as a paragraph of its own', () => {
    expect(withDisclosure(greeting, SENTENCE, SHORT)).toEqual({ ...greeting, body: `Hi {{name}}\n\n${SENTENCE}` });
  });

  it.each<[what: string, template: Template]>([
    ['a registered template', registered('t', 'APPROVED')],
    ['one that CAMS keeps', { ...greeting, cams: { code: '1' } }],
    ['a picture', { ...template('t'), body: undefined as never, media: { type: 'image', url: 'https://x.example/' } }],
    [
      'a long text above buttons',
      { ...greeting, body: 'x'.repeat(630), buttons: [{ type: 'postback', title: 'A', payload: 'A' }] },
    ],
    ['a long text', { ...greeting, body: 'x'.repeat(1990) }],
  ])('has no place in %s', (_, one) => {
    expect(withDisclosure(one, SENTENCE, SHORT)).toBeNull();
  });

  it('goes by the values and the channel', () => {
    const valued = (length: number): { channel: 'messenger'; values: string[] } => ({
      channel: 'messenger',
      values: ['x'.repeat(length)],
    });
    expect(withDisclosure(greeting, SENTENCE, valued(1980))).toBeNull();
    expect(withDisclosure(greeting, SENTENCE, valued(1900))).not.toBeNull();
    const long = { ...greeting, body: 'x'.repeat(990) };
    expect(withDisclosure(long, SENTENCE, { channel: 'messenger', values: [] })).not.toBeNull();
    expect(withDisclosure(long, SENTENCE, { channel: 'instagram', values: [] })).toBeNull();
  });
});
