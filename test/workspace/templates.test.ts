import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import {
  CHANNELS,
  checkTemplate,
  compileTemplate,
  outsideFaults,
  usedVariables,
  type Template,
} from '../../src/core/template.js';
import type { TemplateListing } from '../../src/ports.js';
import { readWorkspace } from '../../src/workspace/config.js';
import {
  findTemplate,
  readTemplate,
  scaffoldTemplate,
  scaffoldWorkspace,
  templateLibrary,
} from '../../src/workspace/templates.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pagecast-templates-'));
  await mkdir(join(root, 'templates'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<string> {
  const file = join(root, 'templates', name);
  await writeFile(file, text);
  return file;
}

const simple = (name: string, language: string, body = 'Hello'): string =>
  `name: ${name}\nlanguage: ${language}\nchannels: [messenger]\nbody: ${body}\n`;

describe('reading a template', () => {
  it('takes every part of the model', async () => {
    const file = await write(
      'full.yaml',
      `
name: order_update
language: en_US
channels: [messenger, instagram]
kind: session
body: |
  Hi {{name}},
  order {{order_no}}.
variables:
  order_no: { description: order number, example: A-1042 }
  name: { example: Ann, maxLength: 60 }
buttons:
  - { title: Open, url: "https://example.com/{{order_no}}" }
  - { type: postback, title: Help, payload: HELP }
quickReplies: [{ title: Track it, payload: "TRACK {{order_no}}" }]
tag: HUMAN_AGENT
`,
    );
    expect(await readTemplate(file)).toEqual<Template>({
      name: 'order_update',
      language: 'en_US',
      channels: ['messenger', 'instagram'],
      kind: 'session',
      tag: 'HUMAN_AGENT',
      body: 'Hi {{name}},\norder {{order_no}}.',
      variables: [
        { name: 'order_no', description: 'order number', example: 'A-1042' },
        { name: 'name', example: 'Ann', maxLength: 60 },
      ],
      buttons: [
        { type: 'web_url', title: 'Open', url: 'https://example.com/{{order_no}}' },
        { type: 'postback', title: 'Help', payload: 'HELP' },
      ],
      quickReplies: [{ title: 'Track it', payload: 'TRACK {{order_no}}' }],
    });
  });

  it('takes a registered template and media', async () => {
    const registered = await readTemplate(
      await write(
        'r.yaml',
        `${simple('r', 'en')}registered: { name: r_v2, status: PENDING, parameters: positional }\n`,
      ),
    );
    expect(registered).toMatchObject({
      kind: 'registered',
      registration: { name: 'r_v2', status: 'PENDING', parameters: 'positional' },
    });
    const media = await readTemplate(
      await write(
        'm.yaml',
        'name: m\nlanguage: en\nchannels: [messenger]\nmedia: { type: image, url: "https://x.org/a.png" }',
      ),
    );
    expect(media).toMatchObject({ kind: 'session', media: { type: 'image', url: 'https://x.org/a.png' } });
    expect(media).not.toHaveProperty('body');
  });

  it('takes cards', async () => {
    const file = await write(
      'cards.yaml',
      `
name: c
language: en
channels: [instagram]
cards:
  - title: "{{name}}"
    image: https://example.com/a.png
  - title: Mug
    subtitle: "12 EUR"
    buttons: [{ title: Buy, url: https://example.com/mug }, { title: Ask, payload: ASK }]
variables: { name: { example: Ann } }
`,
    );
    expect(await readTemplate(file)).toEqual<Template>({
      name: 'c',
      language: 'en',
      channels: ['instagram'],
      kind: 'session',
      cards: [
        { title: '{{name}}', image: 'https://example.com/a.png', buttons: [] },
        {
          title: 'Mug',
          subtitle: '12 EUR',
          buttons: [
            { type: 'web_url', title: 'Buy', url: 'https://example.com/mug' },
            { type: 'postback', title: 'Ask', payload: 'ASK' },
          ],
        },
      ],
      buttons: [],
      quickReplies: [],
      variables: [{ name: 'name', example: 'Ann' }],
    });
  });

  it('takes a header, the code of CAMS and the template for people outside their window', async () => {
    const more = 'header: |\n  Your order\ncams: { code: "1119000000000001" }\noutsideWindow: order_update_2\n';
    expect(await readTemplate(await write('more.yaml', `${simple('m', 'en')}${more}`))).toMatchObject({
      header: 'Your order',
      cams: { code: '1119000000000001' },
      outsideWindow: 'order_update_2',
    });
    const plain = await readTemplate(await write('plain.yaml', simple('p', 'en')));
    for (const key of ['header', 'cards', 'cams', 'outsideWindow']) expect(plain).not.toHaveProperty(key);
  });

  it.each<[what: string, text: string, line: number, says: RegExp]>([
    [
      'no body key known by that name',
      simple('a', 'en').replace('body', 'bdy'),
      4,
      /unknown key "bdy" \(did you mean "body"\?\)/,
    ],
    ['no name', 'language: en\nchannels: [sms]\n', 1, /name is missing/],
    ['a name with spaces', simple('"my name"', 'en'), 1, /name must be a name of letters/],
    ['a name that is a number', simple('123', 'en'), 1, /name must be .*quotes/],
    ['the Norway problem', simple('a', 'false'), 2, /language must be .*quotes/],
    ['a language with a hyphen', simple('a', 'en-US'), 2, /language must be .*underscore/],
    ['no channel', simple('a', 'en').replace('[messenger]', '[]'), 3, /channels must name at least one/],
    [
      'a misspelt channel',
      simple('a', 'en').replace('[messenger]', '[mesenger]'),
      3,
      /channels\[0\] must be one of .*did you mean "messenger"/,
    ],
    ['a channel twice', simple('a', 'en').replace('[messenger]', '[sms, sms]'), 3, /twice/],
    [
      'channels as text',
      simple('a', 'en').replace('[messenger]', 'messenger'),
      3,
      /channels must be a list of channels/,
    ],
    ['an empty body', simple('a', 'en', '"  "'), 4, /body must not be empty/],
    ['a body that is a number', simple('a', 'en', '42'), 4, /body must be .*quotes/],
    [
      'a number as example',
      `${simple('a', 'en', '"{{n}}"')}variables:\n  n: { example: 007 }\n`,
      6,
      /variables\.n\.example must be .*quotes/,
    ],
    [
      'no example',
      `${simple('a', 'en', '"{{n}}"')}variables:\n  n: { description: x }\n`,
      6,
      /variables\.n\.example is missing/,
    ],
    [
      'a variable name with a hyphen',
      `${simple('a', 'en')}variables:\n  order-no: { example: x }\n`,
      6,
      /variables\.order-no must be a variable name/,
    ],
    [
      'a length of nothing',
      `${simple('a', 'en')}variables:\n  n: { example: x, maxLength: 0 }\n`,
      6,
      /maxLength must be at least 1/,
    ],
    [
      'a button with both',
      `${simple('a', 'en')}buttons:\n  - { title: T, url: "https://x.org", payload: P }\n`,
      6,
      /buttons\[0\] must have either url or payload/,
    ],
    ['a button with neither', `${simple('a', 'en')}buttons:\n  - { title: T }\n`, 6, /buttons\[0\] must have either/],
    [
      'a button of the other type',
      `${simple('a', 'en')}buttons:\n  - { type: web_url, title: T, payload: P }\n`,
      6,
      /must have url and not payload/,
    ],
    [
      'a quick reply without payload',
      `${simple('a', 'en')}quickReplies:\n  - { title: T }\n`,
      6,
      /quickReplies\[0\]\.payload is missing/,
    ],
    [
      'media of no kind',
      `${simple('a', 'en')}media: { type: picture, url: "https://x.org" }\n`,
      5,
      /media\.type must be one of/,
    ],
    ['no card', `${simple('a', 'en')}cards: []\n`, 5, /cards must have at least one card/],
    [
      'a card without a title',
      `${simple('a', 'en')}cards:\n  - { subtitle: x }\n`,
      6,
      /cards\[0\]\.title is missing; expected the title of the card/,
    ],
    [
      'a misspelt key of a card',
      `${simple('a', 'en')}cards:\n  - { title: x, subtitel: x }\n`,
      6,
      /cards\[0\] has the unknown key "subtitel" \(did you mean "subtitle"\?\)/,
    ],
    [
      'a button on a card with both',
      `${simple('a', 'en')}cards:\n  - title: x\n    buttons:\n      - { title: T, url: "https://x.org", payload: P }\n`,
      8,
      /cards\[0\]\.buttons\[0\] must have either url or payload/,
    ],
    [
      'a card that is a text',
      `${simple('a', 'en')}cards: [x]\n`,
      5,
      /cards\[0\] must be a mapping with the keys title/,
    ],
    [
      'a code whose digits would get lost',
      `${simple('a', 'en')}cams: { code: 1119000000000000001 }\n`,
      5,
      /cams\.code must be .*quotes/,
    ],
    ['CAMS without a code', `${simple('a', 'en')}cams: {}\n`, 5, /cams\.code is missing/],
    [
      'a template outside the window that is more than a name',
      `${simple('a', 'en')}outsideWindow: order update\n`,
      5,
      /outsideWindow must be a name of letters/,
    ],
    [
      'the same misspelt',
      `${simple('a', 'en')}outside_window: order_update\n`,
      5,
      /unknown key "outside_window" \(did you mean "outsideWindow"\?\)/,
    ],
    ['a header that is a number', `${simple('a', 'en')}header: 42\n`, 5, /header must be .*quotes/],
    [
      'registered without its name',
      `${simple('a', 'en')}kind: registered\n`,
      5,
      /kind is registered, so the key "registered"/,
    ],
    [
      'session with a registration',
      `${simple('a', 'en')}kind: session\nregistered: { name: a, status: APPROVED, parameters: named }\n`,
      6,
      /registered must not be there/,
    ],
    [
      'a status in small letters',
      `${simple('a', 'en')}registered: { name: a, status: approved, parameters: named }\n`,
      5,
      /status must be a status in capitals/,
    ],
    ['nothing at all', '', 1, /the file must be a mapping/],
    ['text', 'Hello', 1, /the file must be a mapping/],
    ['broken YAML', 'name: a\nbody: "x\n', 2, /./],
  ])('refuses %s', async (_, text, line, says) => {
    const file = await write('bad.yaml', text);
    const failure = await readTemplate(file).then(
      () => null,
      (error: unknown) => error as Failure,
    );
    expect(failure).toBeInstanceOf(Failure);
    expect(failure?.code).toBe('TEMPLATE_INVALID');
    expect(failure?.message).toMatch(says);
    expect(failure?.message).toMatch(new RegExp(`bad\\.yaml, line (${line}|${line + 1}):`));
  });

  it('bounds size and references', async () => {
    const large = await write('large.yaml', `${simple('a', 'en')}# ${'x'.repeat(300 * 1024)}`);
    await expect(readTemplate(large)).rejects.toMatchObject({ code: 'TEMPLATE_INVALID' });
    const laugh = Array.from({ length: 12 }, (_, n) => `v${n}: &v${n} [${n ? `*v${n - 1}, `.repeat(9) : 'x'}]`);
    const aliases = await write('aliases.yaml', laugh.join('\n'));
    await expect(readTemplate(aliases)).rejects.toMatchObject({ code: 'TEMPLATE_INVALID' });
  });
});

describe('the library', () => {
  it('lists the workspace before the starters, and lets it stand in for them', async () => {
    await write('mine.en_US.yaml', simple('mine', 'en_US'));
    const own = await write('order_update.en_US.yml', simple('order_update', 'en_US', 'Mine'));
    await write('.hidden.yaml', 'x');
    await write('readme.md', 'x');
    const listing = await templateLibrary(root).list();
    expect(listing.broken).toEqual([]);
    expect(listing.entries.slice(0, 2).map(({ starter }) => starter)).toEqual([false, false]);
    expect(listing.entries.filter(({ starter }) => !starter)).toHaveLength(2);
    const entry = findTemplate(listing, 'order_update', 'en_US');
    expect(entry).toMatchObject({ file: own, starter: false, template: { body: 'Mine' } });
    expect(findTemplate(listing, 'order_update', 'de_DE').starter).toBe(true);
    expect(
      listing.entries.filter(({ template: t }) => t.name === 'order_update' && t.language === 'en_US'),
    ).toHaveLength(1);
  });

  it('works without a workspace and without its folder', async () => {
    await rm(join(root, 'templates'), { recursive: true });
    expect((await templateLibrary(root).list()).entries.every(({ starter }) => starter)).toBe(true);
    expect(await templateLibrary(root).list()).toEqual(await templateLibrary(null).list());
  });

  it('keeps the good templates when one is broken, and reports the broken one', async () => {
    await write('a.yaml', simple('good', 'en_US'));
    const file = await write('b.yaml', 'name: bad\nlanguage: en_US\nchannels: [');
    const listing = await templateLibrary(root).list();
    expect(findTemplate(listing, 'good').template.name).toBe('good');
    expect(listing.broken).toHaveLength(1);
    expect(listing.broken[0]).toMatchObject({ file, name: 'bad', language: 'en_US' });
    expect(() => findTemplate(listing, 'bad')).toThrow(listing.broken[0]!.failure);
  });

  it.each<[string, string, string]>([
    ['by its text', 'any.yaml', 'name: order_update\nlanguage: "en_US"\nchannels: ['],
    ['by its name', 'order_update.en_US.yaml', '{{{'],
    ['by a name without language', 'order_update.yaml', '{{{'],
  ])('never puts a starter in the place of a broken file, known %s', async (_, name, text) => {
    await write(name, text);
    const listing = await templateLibrary(root).list();
    const failure = failureOf(() => findTemplate(listing, 'order_update', 'en_US'));
    expect(failure.code).toBe('TEMPLATE_INVALID');
    expect(failure.message).toContain(name);
  });

  it('refuses two files for the same template, naming both', async () => {
    const files = [await write('a.yaml', simple('t', 'en')), await write('b.yaml', simple('t', 'en'))];
    await write('c.yaml', simple('t', 'de'));
    const listing = await templateLibrary(root).list();
    expect(
      listing.entries.filter(({ template }) => template.name === 't').map(({ template }) => template.language),
    ).toEqual(['de']);
    expect(listing.broken).toHaveLength(2);
    const failure = failureOf(() => findTemplate(listing, 't', 'en'));
    expect(failure.code).toBe('TEMPLATE_INVALID');
    for (const file of files) expect(failure.message).toContain(file);
  });
});

describe('finding a template', () => {
  let listing: TemplateListing;
  beforeEach(async () => {
    await write('a.yaml', simple('alone', 'fr_FR'));
    await write('b.yaml', simple('both', 'en_US'));
    await write('c.yaml', simple('both', 'de_DE'));
    listing = await templateLibrary(root, join(root, 'none')).list();
  });

  it('takes the only language when none is named', () => {
    expect(findTemplate(listing, 'alone').template.language).toBe('fr_FR');
    expect(findTemplate(listing, 'both', 'de_DE').template.language).toBe('de_DE');
  });

  it('says what there is', () => {
    const unknown = failureOf(() => findTemplate(listing, 'alon'));
    expect([unknown.code, unknown.message, unknown.hint]).toEqual([
      'TEMPLATE_UNKNOWN',
      'There is no template "alon" (did you mean "alone"?).',
      'There is: alone, both.',
    ]);
    const several = failureOf(() => findTemplate(listing, 'both'));
    expect([several.code, several.hint]).toEqual(['LANGUAGE_UNKNOWN', 'Choose one of them: en_US, de_DE.']);
    const language = failureOf(() => findTemplate(listing, 'both', 'en-US'));
    expect(language.code).toBe('LANGUAGE_UNKNOWN');
    expect(language.message).toContain('did you mean "en_US"?');
    expect(language.hint).toContain('en_US, de_DE');
    expect(failureOf(() => findTemplate({ entries: [], broken: [] }, 'x')).code).toBe('TEMPLATE_UNKNOWN');
  });
});

describe('new files', () => {
  it.each([
    ['hello', 'en_US'],
    ['no', 'no'],
    ['123', 'de_DE'],
    ['null', 'zh_CN'],
  ])('a new template passes its check: %s %s', async (name, language) => {
    for (const channels of [[...CHANNELS], ['sms'] as const, ['instagram'] as const]) {
      const template = await readTemplate(await write('new.yaml', scaffoldTemplate(name, language, channels)));
      expect(template).toMatchObject({ name, language, channels });
      expect(checkTemplate(template)).toEqual([]);
    }
  });

  it('holds examples of other parts that can be read', async () => {
    const text = scaffoldTemplate('hello', 'en_US', ['messenger']);
    // The comments in which keys are shown, as if somebody took the # away.
    const shown = text
      .slice(text.indexOf('# quickReplies:'))
      .split('\n')
      .filter((line) => /^# +(?:- |\w+:)/.test(line))
      .map((line) => line.slice(2));
    const template = await readTemplate(await write('shown.yaml', [simple('a', 'en'), ...shown].join('\n')));
    expect([template.quickReplies.length, template.buttons.length, template.cards?.length]).toEqual([1, 2, 1]);
    expect(template.media?.type).toBe('image');
  });

  it('refuses a name or language that is none', () => {
    expect(failureOf(() => scaffoldTemplate('../x', 'en', ['sms'])).code).toBe('USAGE');
    expect(failureOf(() => scaffoldTemplate('x', 'english', ['sms'])).code).toBe('USAGE');
    expect(failureOf(() => scaffoldTemplate('x', 'en', [])).code).toBe('USAGE');
  });

  it('a new workspace is valid, also with its example account', async () => {
    const { files, ignoreLine } = scaffoldWorkspace();
    expect(ignoreLine).toBe('.pagecast/');
    for (const { path, text } of files) await writeFile(join(root, path), text);
    const workspace = await readWorkspace(join(root, 'pagecast.yaml'));
    expect([...workspace.accounts.keys()]).toEqual(['sandbox']);
    const listing = await templateLibrary(root).list();
    expect(listing.broken).toEqual([]);
    expect(checkTemplate(findTemplate(listing, 'hello').template)).toEqual([]);

    const file = join(root, 'pagecast.yaml');
    const config = files.find(({ path }) => path === 'pagecast.yaml')!.text;
    await writeFile(
      file,
      config.replace(/^# {2}(?=( {2})?(my-page|rehearsal|provider|channel|id|token|appSecret|pace):)/gm, '  '),
    );
    expect([...(await readWorkspace(file)).accounts.keys()]).toEqual(['my-page', 'rehearsal', 'sandbox']);
    expect(config).not.toMatch(/postgres/i);
  });
});

describe('the starters', async () => {
  const { entries, broken } = await templateLibrary(null).list();

  it('can all be read, and nothing else is in the folder', async () => {
    expect(broken).toEqual([]);
    const files = await readdir(new URL('../../templates/', import.meta.url));
    expect(files.sort()).toEqual(entries.map(({ file }) => basename(file)).sort());
  });

  it.each(entries.map(({ file, template }) => [basename(file), template] as const))(
    '%s passes its check',
    (file, template) => {
      expect(file).toBe(`${template.name}.${template.language}.yaml`);
      expect(checkTemplate(template)).toEqual([]);
      const compiled = compileTemplate(template);
      const example = compiled.render(compiled.variables.map((variable) => variable.example));
      expect(JSON.stringify(example)).not.toContain('{{');
      expect(
        template.variables.every(({ description, maxLength }) => description !== undefined && maxLength !== undefined),
      ).toBe(true);
    },
  );

  it('agree on variables and channels across languages', () => {
    for (const { template } of entries) {
      const first = entries.find((entry) => entry.template.name === template.name)!.template;
      expect(
        usedVariables(template)
          .map(({ name }) => name)
          .sort(),
      ).toEqual(
        usedVariables(first)
          .map(({ name }) => name)
          .sort(),
      );
      expect(template.channels).toEqual(first.channels);
    }
  });

  it('show each kind of template', () => {
    const templates = entries.map(({ template }) => template);
    expect(new Set(templates.map(({ name }) => name)).size).toBeGreaterThanOrEqual(8);
    expect(new Set(templates.map(({ language }) => language)).size).toBeGreaterThanOrEqual(3);
    const shows: ((template: Template) => boolean)[] = [
      ({ registration }) => registration?.status === 'APPROVED',
      ({ buttons }) => buttons.length > 0,
      ({ media }) => media?.type === 'image',
      ({ quickReplies }) => quickReplies.length > 0,
      ({ channels }) => channels.length === 1 && channels[0] === 'instagram',
      (template) => usedVariables(template).length === 0,
      ({ channels }) => channels.includes('sms'),
      ({ cards }) => cards !== undefined && cards.length > 1,
      ({ media, buttons }) => media !== undefined && buttons.length > 0,
      ({ header, registration }) => header !== undefined && registration !== undefined,
      ({ outsideWindow }) => outsideWindow !== undefined,
    ];
    for (const show of shows) expect(templates.some(show)).toBe(true);
  });

  it('name only templates for people outside their window that fit', () => {
    for (const { template } of entries) {
      const outside = entries.find(
        (entry) => entry.template.name === template.outsideWindow && entry.template.language === template.language,
      );
      expect(outsideFaults(template, outside?.template ?? null)).toEqual([]);
    }
  });
});

function failureOf(action: () => unknown): Failure {
  try {
    action();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
