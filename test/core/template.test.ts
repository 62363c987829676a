import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FindingCode } from '../../src/core/finding.js';
import {
  badLinks,
  buttonPlace,
  checkTemplate,
  compileTemplate,
  exceededLimits,
  fingerprintText,
  LIMITS,
  outsideFaults,
  parseText,
  registeredMismatch,
  usedVariables,
  utf8Length,
  type Button,
  type Card,
  type Channel,
  type Message,
  type Template,
} from '../../src/core/template.js';

function template(parts: Partial<Template> = {}): Template {
  const base = { name: 't', language: 'en_US', channels: ['messenger'], kind: 'session', body: 'Hello' } as const;
  return { ...base, buttons: [], quickReplies: [], variables: [], ...parts };
}

function message(parts: Partial<Message>): Message {
  return { buttons: [], quickReplies: [], ...parts };
}

/** A template without a body. */
function bodiless(parts: Partial<Template>): Template {
  const rest = template(parts);
  delete rest.body;
  return rest;
}

function registered(parts: Partial<Template> = {}, status = 'PENDING'): Template {
  return template({ kind: 'registered', registration: { name: 'r', status, parameters: 'named' }, ...parts });
}

function card(parts: Partial<Card> = {}): Card {
  return { title: 'x', subtitle: 'x', buttons: [], ...parts };
}

function many<T>(count: number, one: T): T[] {
  return Array.from({ length: count }, () => one);
}

const postback: Button = { type: 'postback', title: 'x', payload: 'x' };
const link: Button = { type: 'web_url', title: 'x', url: 'https://x.org' };

describe('parseText', () => {
  it.each<[string, unknown]>([
    ['', []],
    ['Hi', [{ literal: 'Hi' }]],
    ['{{a}}', [{ variable: 'a' }]],
    ['Hi {{ name }}!', [{ literal: 'Hi ' }, { variable: 'name' }, { literal: '!' }]],
    ['{{a}}{{b}}', [{ variable: 'a' }, { variable: 'b' }]],
    ['{{1}}', [{ literal: '{{1}}' }]],
    ['{{a-b}} {{}} {a} {{a}', [{ literal: '{{a-b}} {{}} {a} {{a}' }]],
    ['{{{a}}}', [{ literal: '{' }, { variable: 'a' }, { literal: '}' }]],
  ])('%j', (text, pieces) => {
    expect(parseText(text)).toEqual(pieces);
  });

  it('loses nothing', () => {
    const piece = fc.oneof(fc.string(), fc.constantFrom('{{a}}', '{{ b }}', '{{', '}}', '{{c'));
    fc.assert(
      fc.property(fc.array(piece), (parts) => {
        const text = parts.join('');
        const again = parseText(text).map((one) => ('literal' in one ? one.literal : `{{${one.variable}}}`));
        expect(again.join('')).toBe(text.replace(/\{\{\s*([A-Za-z_]\w*)\s*\}\}/g, '{{$1}}'));
      }),
    );
  });
});

describe('usedVariables', () => {
  it('are in order of first use through all parts', () => {
    const full = template({
      body: '{{b}} {{a}} {{b}}',
      buttons: [
        { type: 'web_url', title: '{{c}}', url: 'https://x.org/{{d}}' },
        { type: 'postback', title: 'x', payload: '{{e}}' },
      ],
      quickReplies: [{ title: '{{f}}', payload: '{{g}}' }],
      variables: [{ name: 'a', example: 'A', maxLength: 3 }],
    });
    expect(usedVariables(full).map(({ name }) => name)).toEqual(['b', 'a', 'c', 'd', 'e', 'f', 'g']);
    expect(usedVariables(full)[1]).toEqual({ name: 'a', example: 'A', maxLength: 3 });
    expect(usedVariables(full)[0]).toEqual({ name: 'b', example: '' });
    const media = bodiless({ media: { type: 'image', url: 'https://x.org/{{m}}' } });
    expect(usedVariables(media).map(({ name }) => name)).toEqual(['m']);
  });

  it('are those of header and cards as well', () => {
    const cards = [
      card({ title: '{{b}}', subtitle: '{{c}}', image: 'https://x.org/{{d}}' }),
      card({ title: '{{a}}', buttons: [{ type: 'postback', title: '{{e}}', payload: '{{f}}' }] }),
    ];
    expect(usedVariables(bodiless({ cards })).map(({ name }) => name)).toEqual(['b', 'c', 'd', 'a', 'e', 'f']);
    const withHeader = registered({ header: '{{h}}', body: 'x {{b}} {{h}} x' });
    expect(usedVariables(withHeader).map(({ name }) => name)).toEqual(['h', 'b']);
  });
});

describe('compileTemplate', () => {
  it('puts the values into every part', () => {
    const compiled = compileTemplate(
      template({
        body: 'Hi {{a}}, {{b}} {{a}}',
        buttons: [
          { type: 'web_url', title: 'T{{a}}', url: 'https://x.org/{{b}}' },
          { type: 'postback', title: 'P', payload: '{{b}}' },
        ],
        quickReplies: [{ title: 'Q', payload: 'Q {{a}}' }],
      }),
    );
    expect(compiled.render(['1', '2'])).toEqual({
      text: 'Hi 1, 2 1',
      buttons: [
        { type: 'web_url', title: 'T1', url: 'https://x.org/2' },
        { type: 'postback', title: 'P', payload: '2' },
      ],
      quickReplies: [{ title: 'Q', payload: 'Q 1' }],
    });
  });

  it('sends values as they are, whatever they look like', () => {
    const compiled = compileTemplate(template({ body: '[{{a}}|{{b}}]' }));
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('{{b}}', '{{a}}', '$1', '$&', '\\', '\u0000'),
    );
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(compiled.render([a, b]).text).toBe(`[${a}|${b}]`);
      }),
    );
  });

  it('fills cards', () => {
    const cards = [
      card({ title: 'T {{a}}', subtitle: 'S {{b}}', image: 'https://x.org/{{a}}.png' }),
      {
        title: '{{b}}',
        buttons: [
          { ...postback, payload: 'P {{a}}' },
          { ...link, url: 'https://x.org/{{b}}' },
        ],
      },
    ];
    expect(compileTemplate(bodiless({ cards })).render(['1', '2'])).toEqual(
      message({
        cards: [
          { title: 'T 1', subtitle: 'S 2', image: 'https://x.org/1.png', buttons: [] },
          {
            title: '2',
            buttons: [
              { ...postback, payload: 'P 1' },
              { ...link, url: 'https://x.org/2' },
            ],
          },
        ],
      }),
    );
  });

  it('gives CAMS every value by its name', () => {
    const compiled = compileTemplate(template({ body: '{{b}} {{a}}', cams: { code: '1119' } }));
    expect(compiled.render(['1', '2'])).toEqual(
      message({ text: '1 2', cams: { code: '1119', language: 'en_US', parameters: { b: '1', a: '2' } } }),
    );
  });

  describe('of a registered template', () => {
    const whole = registered({
      header: 'Order {{no}}',
      body: 'Hi {{name}}, {{no}} comes on {{date}}. Bye {{name}}!',
      buttons: [
        { type: 'web_url', title: 'Shop', url: 'https://x.org' },
        { type: 'web_url', title: 'Track', url: 'https://x.org/t/{{no}}/{{name}}?x=1' },
        { type: 'postback', title: 'Help', payload: 'HELP' },
        { type: 'postback', title: 'Move', payload: '{"move":"{{no}}"}' },
      ],
    });
    // no, name, date
    const values = ['A-1', 'Ann', '1 Dec'];

    it('gives each component its own parameters, by name', () => {
      expect(compileTemplate(whole).render(values).registered).toEqual({
        name: 'r',
        language: 'en_US',
        header: [{ name: 'no', text: 'A-1' }],
        parameters: [
          { name: 'name', text: 'Ann' },
          { name: 'no', text: 'A-1' },
          { name: 'date', text: '1 Dec' },
        ],
        buttons: [
          { type: 'URL', url: 'A-1/Ann?x=1' },
          { type: 'POSTBACK', payload: 'A-1' },
        ],
      });
    });

    it('or in the order of the places, each component from 1 on', () => {
      const registration = { name: 'r', status: 'APPROVED', parameters: 'positional' } as const;
      const message = compileTemplate({ ...whole, registration }).render(values).registered;
      expect(message?.header).toEqual([{ name: null, text: 'A-1' }]);
      expect(message?.parameters.map(({ name, text }) => [name, text])).toEqual([
        [null, 'Ann'],
        [null, 'A-1'],
        [null, '1 Dec'],
      ]);
    });

    it('shows what the person will see', () => {
      const message = compileTemplate(whole).render(values);
      expect(message.header).toBe('Order A-1');
      expect(message.text).toBe('Hi Ann, A-1 comes on 1 Dec. Bye Ann!');
    });

    it('comes to the same whether the platform fills it or we do', () => {
      const word = fc.constantFrom('{{a}}', '{{b}}', '{{c}}', ' x ', '{{', '}', '');
      const text = fc.array(word, { maxLength: 6 }).map((words) => words.join(''));
      const value = fc.oneof(fc.string(), fc.constantFrom('{{a}}', '$&', '{{1}}'));
      const parameters = fc.constantFrom('named' as const, 'positional' as const);
      fc.assert(
        fc.property(text, text, text, text, fc.array(value), parameters, (header, body, url, payload, values, kind) => {
          const one = registered({
            header,
            body,
            registration: { name: 'r', status: 'APPROVED', parameters: kind },
            buttons: [
              { ...link, url },
              { ...postback, payload },
            ],
          });
          const message = compileTemplate(one).render(values);
          expect(platformFills(header, message.registered?.header ?? [])).toBe(message.header);
          expect(platformFills(body, message.registered?.parameters ?? [])).toBe(message.text);
          const sent = [...(message.registered?.buttons ?? [])];
          const shown = one.buttons.map((button) => {
            const place = buttonPlace(button);
            if (place === null) return button.type === 'web_url' ? button.url : button.payload;
            const parameter = sent.shift();
            const filled = parameter?.type === 'URL' ? parameter.url : parameter?.payload;
            return `${place.before}${filled}${place.after}`;
          });
          expect(sent).toEqual([]);
          expect(shown).toEqual(
            message.buttons.map((button) => (button.type === 'web_url' ? button.url : button.payload)),
          );
        }),
      );
    });
  });

  it('keeps media', () => {
    const media = bodiless({ media: { type: 'video', url: 'https://x.org/{{m}}.mp4' } });
    expect(compileTemplate(media).render(['a'])).toEqual(
      message({ media: { type: 'video', url: 'https://x.org/a.mp4' } }),
    );
  });
});

describe('utf8Length', () => {
  it('agrees with the encoder, also for lone surrogates', () => {
    const encoder = new TextEncoder();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
        ),
        (text) => {
          expect(utf8Length(text)).toBe(encoder.encode(text).length);
        },
      ),
    );
  });
});

describe('exceededLimits', () => {
  const reference = { name: 'r', language: 'en_US', header: [], parameters: [], buttons: [] };
  it.each<[what: string, channel: Channel, ok: Message, over: Message, part: string]>([
    ['Messenger text', 'messenger', message({ text: 'x'.repeat(1999) }), message({ text: 'x'.repeat(2000) }), 'body'],
    ['Instagram text', 'instagram', message({ text: 'x'.repeat(1000) }), message({ text: 'x'.repeat(1001) }), 'body'],
    ['Instagram bytes', 'instagram', message({ text: '订'.repeat(333) }), message({ text: '订'.repeat(334) }), 'body'],
    ['SMS', 'sms', message({ text: 'x'.repeat(1600) }), message({ text: 'x'.repeat(1601) }), 'body'],
    [
      'registered text above buttons',
      'messenger',
      { ...buttoned('x'.repeat(1999)), registered: reference },
      { ...buttoned('x'.repeat(2000)), registered: reference },
      'body',
    ],
    ['text above buttons', 'messenger', buttoned('x'.repeat(640)), buttoned('x'.repeat(641)), 'body'],
    ['button title', 'messenger', buttoned('x', 'x'.repeat(20)), buttoned('x', 'x'.repeat(21)), 'buttons[0].title'],
    [
      'button payload',
      'messenger',
      buttoned('x', 'x', 'x'.repeat(1000)),
      buttoned('x', 'x', 'x'.repeat(1001)),
      'buttons[0].payload',
    ],
    [
      'quick reply title',
      'instagram',
      replied('x'.repeat(20), 'x'),
      replied('x'.repeat(21), 'x'),
      'quickReplies[0].title',
    ],
    [
      'quick reply payload',
      'instagram',
      replied('x', 'x'.repeat(1000)),
      replied('x', 'x'.repeat(1001)),
      'quickReplies[0].payload',
    ],
    ['a title of a card', 'messenger', carded({ title: long(80) }), carded({ title: long(81) }), 'cards[1].title'],
    [
      'a subtitle of a card',
      'instagram',
      carded({ subtitle: long(80) }),
      carded({ subtitle: long(81) }),
      'cards[1].subtitle',
    ],
    [
      'a title on a card',
      'messenger',
      carded({ buttons: [{ ...link, title: long(20) }] }),
      carded({ buttons: [{ ...link, title: long(21) }] }),
      'cards[1].buttons[0].title',
    ],
    [
      'a payload on a card',
      'instagram',
      carded({ buttons: [{ ...postback, payload: long(1000) }] }),
      carded({ buttons: [{ ...postback, payload: long(1001) }] }),
      'cards[1].buttons[0].payload',
    ],
  ])('%s', (_, channel, ok, over, part) => {
    expect(exceededLimits(ok, channel)).toEqual([]);
    expect(exceededLimits(over, channel).map((limit) => limit.part)).toEqual([part]);
  });

  it('tells length and limit in its unit', () => {
    expect(exceededLimits(message({ text: '订'.repeat(334) }), 'instagram')).toEqual([
      { part: 'body', length: 1002, max: 1000, unit: 'bytes', channel: 'instagram' },
    ]);
  });
});

/** How the platform fills the places of a text: by their names, or in the order in which they first stand there. */
function platformFills(text: string, parameters: readonly { name: string | null; text: string }[]): string {
  const names: string[] = [];
  return parseText(text)
    .map((piece) => {
      if ('literal' in piece) return piece.literal;
      if (!names.includes(piece.variable)) names.push(piece.variable);
      const byName = parameters.find(({ name }) => name === piece.variable);
      return (byName ?? parameters[names.indexOf(piece.variable)])?.text;
    })
    .join('');
}

function buttoned(text: string, title = 'x', payload = 'x'): Message {
  return message({ text, buttons: [{ type: 'postback', title, payload }] });
}

function long(length: number): string {
  return 'x'.repeat(length);
}

/** The second of two cards is the one to look at. */
function carded(parts: Partial<Card>): Message {
  return message({ cards: [card(), card(parts)] });
}

function replied(title: string, payload: string): Message {
  return message({ text: 'x', quickReplies: [{ title, payload }] });
}

describe('badLinks', () => {
  it.each([
    ['https://example.com', true],
    ['HTTP://example.com/a?b=c', true],
    ['example.com', false],
    ['javascript:alert(1)', false],
    ['https://', false],
    ['', false],
    ['ftp://example.com', false],
  ])('%s', (url, good) => {
    const places: [part: string, message: Message][] = [
      ['buttons[0].url', message({ buttons: [{ ...link, url }] })],
      ['media.url', message({ media: { type: 'image', url } })],
      ['cards[1].image', carded({ image: url })],
      ['cards[1].buttons[1].url', carded({ buttons: [postback, { ...link, url }] })],
    ];
    for (const [part, one] of places) expect(badLinks(one)).toEqual(good ? [] : [{ part, found: url }]);
  });

  it.each([
    ['https://www.facebook.com/acme/videos/1', true],
    ['https://business.facebook.com/acme/photos/1', true],
    ['https://facebook.com/photo.php?fbid=1', true],
    ['https://example.com/facebook.com', false],
    ['https://facebook.com.example.com/1', false],
    ['https://notfacebook.com/1', false],
  ])('media with buttons must be on Facebook: %s', (url, good) => {
    const media = { type: 'video', url } as const;
    const bad = [{ part: 'media.url', found: url, site: 'facebook.com' }];
    expect(badLinks(message({ media, buttons: [postback] }))).toEqual(good ? [] : bad);
    expect(badLinks(message({ media }))).toEqual([]);
  });
});

describe('checkTemplate', () => {
  const x = { name: 'x', example: 'X' };
  const picture = { type: 'image', url: 'https://www.facebook.com/acme/photos/1' } as const;
  const edges: FindingCode[] = ['VARIABLE_AT_EDGE', 'VARIABLE_AT_EDGE'];
  it.each<[what: string, template: Template, codes: FindingCode[]]>([
    ['nothing wrong', template({ body: 'Hi {{x}}', variables: [x] }), []],
    ['a number in braces', template({ body: 'Hi {{1}}' }), ['VARIABLE_SYNTAX']],
    ['braces left open', template({ body: 'Hi {{x', variables: [] }), ['VARIABLE_SYNTAX']],
    ['braces that are closed only', template({ body: 'Hi x}}' }), ['VARIABLE_SYNTAX']],
    ['braces around a space', template({ body: '{{x}} {{ }}', variables: [x] }), ['VARIABLE_SYNTAX']],
    ['an undeclared variable', template({ body: '{{y}}' }), ['VARIABLE_UNDECLARED']],
    ['an unused variable', template({ variables: [x] }), ['VARIABLE_UNUSED']],
    [
      'names that differ by case',
      template({ body: '{{x}} {{X}}', variables: [x, { name: 'X', example: 'X' }] }),
      ['VARIABLE_AMBIGUOUS'],
    ],
    [
      'an example above its own limit',
      template({ body: '{{x}}', variables: [{ ...x, example: 'long', maxLength: 3 }] }),
      ['VARIABLE_TOO_LONG'],
    ],
    ['no content', bodiless({}), ['CONTENT_MISSING']],
    ['text and media', template({ media: picture }), ['CONTENT_CONFLICT']],
    ['text, media and buttons', template({ media: picture, buttons: [link] }), ['CONTENT_CONFLICT']],
    ['a picture with buttons', bodiless({ media: picture, buttons: many(3, link) }), []],
    ['a video with a button', bodiless({ media: { ...picture, type: 'video' }, buttons: [postback] }), []],
    ['a sound with buttons', bodiless({ media: { ...picture, type: 'audio' }, buttons: [link] }), ['CONTENT_CONFLICT']],
    ['a file with buttons', bodiless({ media: { ...picture, type: 'file' }, buttons: [link] }), ['CONTENT_CONFLICT']],
    ['a picture with four buttons', bodiless({ media: picture, buttons: many(4, link) }), ['TOO_MANY']],
    [
      'a picture with buttons that is not on Facebook',
      bodiless({ media: { type: 'image', url: 'https://x.org' }, buttons: [link] }),
      ['MESSAGE_URL_INVALID'],
    ],
    [
      'a picture with buttons on Instagram',
      bodiless({ channels: ['instagram'], media: picture, buttons: [link] }),
      ['PART_UNSUPPORTED'],
    ],
    [
      'a picture with quick replies',
      bodiless({ media: picture, buttons: [link], quickReplies: [{ title: 'x', payload: 'x' }] }),
      [],
    ],
    ['cards', bodiless({ cards: [card()], quickReplies: [{ title: 'x', payload: 'x' }] }), []],
    ['no card at all', bodiless({ cards: [] }), ['CONTENT_MISSING']],
    ['cards with text', template({ cards: [card()] }), ['CONTENT_CONFLICT']],
    [
      'cards with media and buttons',
      bodiless({ cards: [card()], media: picture, buttons: [link] }),
      ['CONTENT_CONFLICT'],
    ],
    ['a card with a title only', bodiless({ cards: [{ title: 'x', buttons: [] }] }), ['CARD_INCOMPLETE']],
    ['a card with an image', bodiless({ cards: [{ title: 'x', image: 'https://x.org', buttons: [] }] }), []],
    ['a card with a button', bodiless({ cards: [{ title: 'x', buttons: [link] }] }), []],
    ['ten cards with three buttons', bodiless({ cards: many(10, card({ buttons: many(3, link) })) }), []],
    ['eleven cards', bodiless({ cards: many(11, card()) }), ['TOO_MANY']],
    ['four buttons on a card', bodiless({ cards: [card({ buttons: many(4, link) })] }), ['TOO_MANY']],
    ['a picture of a card that is none', bodiless({ cards: [card({ image: 'x.png' })] }), ['MESSAGE_URL_INVALID']],
    ['a header', template({ header: 'x' }), ['PART_NOT_OF_KIND']],
    [
      'a registered template with all it may have',
      registered({ header: '{{x}}', buttons: [link], variables: [x] }),
      [],
    ],
    ['a registered template without a body', { ...bodiless({}), kind: 'registered' }, ['CONTENT_MISSING']],
    [
      'a registered template with parts that it cannot have',
      registered({
        media: picture,
        cards: [card()],
        quickReplies: [{ title: 'x', payload: 'x' }],
        cams: { code: '1' },
        outsideWindow: 'r',
      }),
      many(5, 'PART_NOT_OF_KIND' as const),
    ],
    [
      'a variable in the title of a registered button',
      registered({ buttons: [{ ...link, title: '{{x}}' }], variables: [x] }),
      ['PART_FIXED'],
    ],
    ['a registered body between variables', registered({ body: '{{x}} x {{x}}', variables: [x] }), edges],
    ['the same once it is approved', registered({ body: '{{x}} x {{x}}', variables: [x] }, 'APPROVED'), []],
    [
      'a registered link that is only a variable',
      registered({ buttons: [{ ...link, url: '{{x}}' }], variables: [{ name: 'x', example: 'https://x.org' }] }),
      ['LINK_WITHOUT_START'],
    ],
    ...['https://{{x}}.org/', 'https://x.org{{x}}'].map((url): [string, Template, FindingCode[]] => [
      `a variable in the site of a registered link: ${url}`,
      registered({ buttons: [{ ...link, url }], variables: [x] }),
      ['LINK_WITHOUT_START'],
    ]),
    ...['https://x.org/{{x}}', 'https://x.org/a/{{x}}/{{x}}?b', 'HTTPS://x.org?a={{x}}'].map(
      (url): [string, Template, FindingCode[]] => [
        `a registered link with a fixed site: ${url}`,
        registered({ buttons: [{ ...link, url }], variables: [x] }),
        [],
      ],
    ),
    ['a tag', template({ tag: 'HUMAN_AGENT' }), ['TAG_FORBIDDEN']],
    ['four buttons', template({ buttons: many(4, postback) }), ['TOO_MANY']],
    ['fourteen quick replies', template({ quickReplies: many(14, { title: 'x', payload: 'x' }) }), ['TOO_MANY']],
    [
      'buttons in an SMS',
      template({ channels: ['sms'], buttons: [{ type: 'postback', title: 'x', payload: 'x' }] }),
      ['PART_UNSUPPORTED'],
    ],
    [
      'media in an SMS',
      bodiless({ channels: ['sms'], media: { type: 'image', url: 'https://x.org' } }),
      ['PART_UNSUPPORTED'],
    ],
    [
      'cards in an SMS',
      bodiless({ channels: ['sms'], cards: [{ title: '', image: 'https://x.org', buttons: [] }] }),
      ['PART_UNSUPPORTED'],
    ],
    [
      'a registered template on Instagram',
      template({ channels: ['instagram'], kind: 'registered' }),
      ['PART_UNSUPPORTED'],
    ],
    [
      'a text too long for one of two channels',
      template({ channels: ['messenger', 'instagram'], body: 'x'.repeat(1500) }),
      ['LIMIT_EXCEEDED'],
    ],
    [
      'an example that makes it too long',
      template({ body: '{{x}}', variables: [{ name: 'x', example: 'x'.repeat(2000) }] }),
      ['LIMIT_EXCEEDED'],
    ],
    [
      'a link that is none',
      template({ buttons: [{ type: 'web_url', title: 'x', url: 'example.com' }] }),
      ['MESSAGE_URL_INVALID'],
    ],
    [
      'a link that is none with its example',
      template({ buttons: [{ type: 'web_url', title: 'x', url: '{{x}}' }], variables: [x] }),
      ['MESSAGE_URL_INVALID'],
    ],
  ])('%s', (_, one, codes) => {
    expect(checkTemplate(one).map(({ code }) => code)).toEqual(codes);
  });

  it('names what cannot be together', () => {
    const conflict = checkTemplate(template({ cards: [card()], buttons: [link] }))[0];
    expect(conflict?.args).toEqual({ parts: ['cards', 'body', 'buttons'] });
    const file = checkTemplate(template({ media: { type: 'file', url: 'https://x.org' }, buttons: [link] }))[0];
    expect(file?.args).toEqual({ parts: ['media', 'body', 'buttons'] });
  });

  it('says at which edge of a registered body a variable stands', () => {
    const faults = checkTemplate(registered({ body: '{{x}} x {{y}}', variables: [x, { ...x, name: 'y' }] }));
    expect(faults.map((one) => one.args)).toEqual([
      { variable: 'x', edge: 'start' },
      { variable: 'y', edge: 'end' },
    ]);
  });

  it('only warns of an unused variable', () => {
    expect(checkTemplate(template({ variables: [x] }))[0]).toMatchObject({ severity: 'warning', column: 'variables' });
  });
});

describe('fingerprintText', () => {
  it('changes with what people receive, and not with what only describes it', () => {
    const one = template({ body: 'Hi {{x}}', variables: [{ name: 'x', example: 'X' }] });
    const same = {
      ...one,
      variables: [{ name: 'x', example: 'Y', description: 'd', maxLength: 9 }],
      channels: ['sms' as const],
    };
    expect(fingerprintText(same)).toBe(fingerprintText(one));
    const others: Partial<Template>[] = [
      { body: 'Ho {{x}}' },
      { language: 'de_DE' },
      { name: 'u' },
      { quickReplies: [{ title: 'a', payload: 'b' }] },
      { kind: 'registered' },
    ];
    for (const other of others) expect(fingerprintText({ ...one, ...other })).not.toBe(fingerprintText(one));
  });

  it('stays as it was for templates without the parts that came later', () => {
    expect(fingerprintText(template({ body: 'Hi {{x}}' }))).toBe(
      '["t","en_US","session",null,null,"Hi {{x}}",null,[],[],["x"]]',
    );
  });

  it.each<[string, Partial<Template>]>([
    ['a header', { header: 'x' }],
    ['cards', { cards: [card()] }],
    ['the code of CAMS', { cams: { code: '1' } }],
  ])('changes with %s', (_, parts) => {
    expect(fingerprintText(template(parts))).not.toBe(fingerprintText(template()));
  });

  it('does not change with the template for people outside their window', () => {
    expect(fingerprintText(template({ outsideWindow: 'r' }))).toBe(fingerprintText(template()));
  });
});

describe('surelyFits', () => {
  const body = fc.array(fc.constantFrom('{{a}}', '{{b}}', 'x', '订'), { maxLength: 4 }).map((words) => words.join(''));
  const shapes: ((body: string) => Template)[] = [
    (text) => template({ body: text }),
    (text) => template({ body: text, buttons: [postback] }),
    (text) => bodiless({ cards: [card({ title: text || 'x' })] }),
    (text) => bodiless({ media: { type: 'image', url: `https://x.org/${text}` } }),
    (text) => registered({ header: text, body: `x ${text} x` }),
    (text) => registered({ buttons: [{ ...link, url: `https://x.org/${text}` }] }),
  ];

  it.each(Object.keys(LIMITS) as Channel[])('never takes for fitting what does not fit: %s', (channel) => {
    const length = fc.constantFrom(0, 1, 75, 330, 640, 660, 1000, 1990, 2500);
    const value = fc.tuple(length, fc.constantFrom('y', 'ä', '订')).map(([times, letter]) => letter.repeat(times));
    fc.assert(
      fc.property(fc.constantFrom(...shapes), body, value, value, (shape, text, a, b) => {
        const compiled = compileTemplate(shape(text));
        const values = [a, b].slice(0, compiled.variables.length);
        if (!compiled.surelyFits(values, channel)) return;
        const message = compiled.render(values);
        expect(exceededLimits(message, channel).filter(({ part }) => part === 'body')).toEqual([]);
        expect(badLinks(message)).toEqual([]);
      }),
    );
  });
});

describe('buttonPlace', () => {
  it.each<[button: Button, place: unknown]>([
    [link, null],
    [postback, null],
    [
      { ...link, url: 'https://x.org/{{ a }}' },
      { before: 'https://x.org/', value: '{{a}}', after: '' },
    ],
    [
      { ...link, url: 'https://x.org/{{a}}/b' },
      { before: 'https://x.org/', value: '{{a}}/b', after: '' },
    ],
    [
      { ...postback, payload: '{{a}}' },
      { before: '', value: '{{a}}', after: '' },
    ],
    [
      { ...postback, payload: 'P {{a}}-{{b}}.' },
      { before: 'P ', value: '{{a}}-{{b}}', after: '.' },
    ],
  ])('%j', (button, place) => {
    expect(buttonPlace(button)).toEqual(place);
  });
});

describe('a session template and the one for people outside their window', () => {
  const session = template({ body: '{{a}} {{b}}', outsideWindow: 'r' });

  it('share one sheet', () => {
    expect(registeredMismatch(session, registered({ body: 'x {{b}} {{a}} x' }))).toEqual([]);
    const more = registered({ header: '{{c}}', body: 'x {{a}} x', buttons: [{ ...link, url: 'https://x.org/{{d}}' }] });
    expect(registeredMismatch(session, more)).toEqual(['c', 'd']);
  });

  it.each<[what: string, outside: Template | null, codes: FindingCode[]]>([
    ['that fits', registered({ body: 'x {{b}} x' }), []],
    ['that is not there', null, ['OUTSIDE_UNKNOWN']],
    ['that is not registered', template({ body: '{{a}}' }), ['OUTSIDE_NOT_REGISTERED']],
    ['that needs more', registered({ body: 'x {{c}} x' }), ['OUTSIDE_VARIABLES']],
  ])('%s', (_, outside, codes) => {
    expect(outsideFaults(session, outside).map(({ code }) => code)).toEqual(codes);
    expect(outsideFaults(template(), outside)).toEqual([]);
  });
});
