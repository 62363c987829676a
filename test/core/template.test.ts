import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FindingCode } from '../../src/core/finding.js';
import {
  badLinks,
  checkTemplate,
  compileTemplate,
  exceededLimits,
  fingerprintText,
  parseText,
  usedVariables,
  utf8Length,
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

function withoutBody(whole: Template): Template {
  const rest = { ...whole };
  delete rest.body;
  return rest;
}

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
    const media = withoutBody(template({ media: { type: 'image', url: 'https://x.org/{{m}}' } }));
    expect(usedVariables(media).map(({ name }) => name)).toEqual(['m']);
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

  it('names the parameters of a registered template, or only orders them', () => {
    const registered = (parameters: 'named' | 'positional') =>
      compileTemplate(
        template({
          kind: 'registered',
          registration: { name: 'r', status: 'APPROVED', parameters },
          body: 'a {{x}} b {{y}} c {{x}}',
        }),
      ).render(['1', '2']).registered;
    expect(registered('named')).toEqual({
      name: 'r',
      language: 'en_US',
      parameters: [
        { name: 'x', text: '1' },
        { name: 'y', text: '2' },
      ],
    });
    expect(registered('positional')?.parameters).toEqual([
      { name: null, text: '1' },
      { name: null, text: '2' },
    ]);
  });

  it('keeps media', () => {
    const media = withoutBody(template({ media: { type: 'video', url: 'https://x.org/{{m}}.mp4' } }));
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
  it.each<[what: string, channel: 'messenger' | 'instagram' | 'sms', ok: Message, over: Message, part: string]>([
    ['Messenger text', 'messenger', message({ text: 'x'.repeat(1999) }), message({ text: 'x'.repeat(2000) }), 'body'],
    ['Instagram text', 'instagram', message({ text: 'x'.repeat(1000) }), message({ text: 'x'.repeat(1001) }), 'body'],
    ['Instagram bytes', 'instagram', message({ text: '订'.repeat(333) }), message({ text: '订'.repeat(334) }), 'body'],
    ['SMS', 'sms', message({ text: 'x'.repeat(1600) }), message({ text: 'x'.repeat(1601) }), 'body'],
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

function buttoned(text: string, title = 'x', payload = 'x'): Message {
  return message({ text, buttons: [{ type: 'postback', title, payload }] });
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
    const found = badLinks(message({ buttons: [{ type: 'web_url', title: 'x', url }], media: { type: 'image', url } }));
    expect(found).toEqual(
      good
        ? []
        : [
            { part: 'buttons[0].url', found: url },
            { part: 'media.url', found: url },
          ],
    );
  });
});

describe('checkTemplate', () => {
  const x = { name: 'x', example: 'X' };
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
    ['no content', withoutBody(template()), ['CONTENT_MISSING']],
    ['text and media', template({ media: { type: 'image', url: 'https://x.org' } }), ['CONTENT_CONFLICT']],
    [
      'buttons and media',
      withoutBody(
        template({
          media: { type: 'image', url: 'https://x.org' },
          buttons: [{ type: 'postback', title: 'x', payload: 'x' }],
        }),
      ),
      ['CONTENT_CONFLICT'],
    ],
    ['a tag', template({ tag: 'HUMAN_AGENT' }), ['TAG_FORBIDDEN']],
    [
      'four buttons',
      template({ buttons: Array(4).fill({ type: 'postback', title: 'x', payload: 'x' }) as Template['buttons'] }),
      ['TOO_MANY'],
    ],
    [
      'fourteen quick replies',
      template({ quickReplies: Array(14).fill({ title: 'x', payload: 'x' }) as Template['quickReplies'] }),
      ['TOO_MANY'],
    ],
    [
      'buttons in an SMS',
      template({ channels: ['sms'], buttons: [{ type: 'postback', title: '', payload: '' }] }),
      ['PART_UNSUPPORTED', 'LIMIT_EXCEEDED'],
    ],
    [
      'media in an SMS',
      withoutBody(template({ channels: ['sms'], media: { type: 'image', url: 'https://x.org' } })),
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
});
