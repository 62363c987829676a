import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { pullTemplates, type PulledTemplate } from '../../src/app/pull-templates.js';
import { pushTemplate } from '../../src/app/push-template.js';
import { checkTemplate, compileTemplate, parseText, type Template } from '../../src/core/template.js';
import type { Account, CallFailure, PlatformTemplate, Provider } from '../../src/ports.js';
import { templateFiles } from '../../src/workspace/template-files.js';
import { findTemplate, readTemplate, templateLibrary } from '../../src/workspace/templates.js';
import { account, failureOf, temporaryFolder } from '../support/fixtures.js';

let root: string;
beforeEach(async () => {
  root = temporaryFolder();
  await mkdir(join(root, 'templates'));
});

function platform(parts: Partial<PlatformTemplate> = {}): PlatformTemplate {
  return {
    name: 'order_news',
    language: 'en_US',
    status: 'APPROVED',
    category: 'UTILITY',
    parameters: 'named',
    header: null,
    body: 'Hi {{name}}, order {{no}} is on its way.',
    buttons: [],
    examples: { name: 'Ann', no: 'A-1042' },
    code: null,
    reason: null,
    unsupported: null,
    ...parts,
  };
}

/** A platform that has these templates, and approves what it is given unless told otherwise. */
function platformWith(templates: PlatformTemplate[], created = 'APPROVED'): Provider & { handedIn: Template[] } {
  const handedIn: Template[] = [];
  return {
    handedIn,
    capabilities: { registeredTemplates: true, lookup: false, maxBatch: () => 1 },
    send: () => Promise.reject(new Error('nothing is sent')),
    verify: () => Promise.resolve([]),
    close: () => Promise.resolve(),
    // It may give more than was asked for: some platforms look for the name as a part of names.
    templates: () => Promise.resolve({ kind: 'read', templates }),
    createTemplate: (template) => {
      handedIn.push(template);
      return Promise.resolve({ kind: 'created', id: '1045951', status: created });
    },
  };
}

interface PullOptions {
  name?: string;
  language?: string;
  overwrite?: boolean;
  isDryRun?: boolean;
  hasOthers?: boolean;
  from?: Account;
  /** Left out, those that come with pagecast. */
  starters?: string;
}

async function pull(templates: PlatformTemplate[], options: PullOptions = {}): Promise<PulledTemplate[]> {
  const { isDryRun = false, from = account, overwrite = false, hasOthers = false, starters, ...only } = options;
  const world = {
    provider: platformWith(templates),
    listing: await templateLibrary(root, starters).list(),
    files: templateFiles(root, isDryRun),
  };
  const result = await pullTemplates(world, { account: from, overwrite, hasOthers, ...only });
  if (result.kind === 'failed') throw new Error(result.error.message);
  return result.templates;
}

async function write(name: string, text: string): Promise<string> {
  const file = join(root, 'templates', name);
  await writeFile(file, text);
  return file;
}

const files = async (): Promise<string[]> => (await readdir(join(root, 'templates'))).sort();

const HANDMADE = `# Ours.
name: news_of_orders
language: en_US
channels: [messenger]
registered: { name: order_news, status: PENDING, parameters: named }  # since May
body: 'Hi {{name}}, order {{no}} is on its way.'
variables:
  name: { description: first name, example: Bob, maxLength: 60 }
  no: { description: order number, example: B-1 }
`;

describe('a template that is not here yet', () => {
  it('gets a file that can be used as it is', async () => {
    const [pulled] = await pull([
      platform({
        header: 'Order {{no}}',
        buttons: [{ type: 'web_url', title: 'Follow', url: 'https://example.com/{{button_1}}' }],
        examples: { name: 'Ann', no: 'A-1042' },
      }),
    ]);
    expect(pulled).toEqual<PulledTemplate>({
      name: 'order_news',
      language: 'en_US',
      state: 'new',
      status: 'APPROVED',
      statusBefore: null,
      template: 'order_news',
      file: join(root, 'templates', 'order_news.en_US.yaml'),
      differs: [],
      unusable: null,
      reason: null,
    });
    const template = await readTemplate(pulled!.file!);
    expect(template).toEqual<Template>({
      name: 'order_news',
      language: 'en_US',
      channels: ['messenger'],
      kind: 'registered',
      registration: { name: 'order_news', status: 'APPROVED', parameters: 'named' },
      header: 'Order {{no}}',
      body: 'Hi {{name}}, order {{no}} is on its way.',
      buttons: [{ type: 'web_url', title: 'Follow', url: 'https://example.com/{{button_1}}' }],
      quickReplies: [],
      variables: [
        { name: 'no', example: 'A-1042' },
        { name: 'name', example: 'Ann' },
        // The platform shows no example of it.
        { name: 'button_1', example: 'button_1' },
      ],
    });
    expect(checkTemplate(template)).toEqual([]);
    expect((await pull([platform({ header: 'Order {{no}}', buttons: template.buttons })]))[0]?.state).toBe('unchanged');
  });

  it('of CAMS becomes a session template with its code', async () => {
    const from: Account = { ...account, provider: 'cams', channel: 'instagram' };
    const cams = platform({ name: 'Order News!', code: '1119000000000001', header: 'News', category: null });
    const [pulled] = await pull([cams], { from });
    expect(pulled).toMatchObject({ name: 'Order News!', state: 'new', template: 'Order_News', statusBefore: null });
    expect(await readTemplate(pulled!.file!)).toMatchObject({
      kind: 'session',
      channels: ['instagram'],
      cams: { code: '1119000000000001' },
      body: 'News\nHi {{name}}, order {{no}} is on its way.',
    });
    expect((await pull([cams], { from }))[0]?.state).toBe('unchanged');
    expect(await files()).toEqual(['Order_News.en_US.yaml']);
  });

  it('keeps its name at the platform where that is no name here', async () => {
    const [pulled] = await pull([platform({ name: '_order.news/2' })]);
    expect(pulled?.template).toBe('order_news_2');
    expect((await readTemplate(pulled!.file!)).registration?.name).toBe('_order.news/2');
  });

  it('never takes the name of another one, in any language, and whether of the workspace or a starter', async () => {
    await write('mine.yaml', 'name: order_news\nlanguage: de_DE\nchannels: [messenger]\nbody: Hallo');
    const starter = 'order_update';
    const [mine, ours] = await pull([platform(), platform({ name: starter })]);
    expect([mine?.template, ours?.template]).toEqual(['order_news_registered', 'order_update_registered']);
    const listing = await templateLibrary(root).list();
    expect(findTemplate(listing, starter, 'en_US').template.kind).toBe('session');
  });

  it('has a name of its own among those that come with it', async () => {
    await write('mine.yaml', 'name: a_b_registered\nlanguage: en_US\nchannels: [messenger]\nbody: Hello');
    const rivals = ['a b', 'a-b', 'a.b'].map((name) => platform({ name }));
    expect((await pull(rivals)).map(({ state, template }) => [state, template])).toEqual([
      ['new', 'a_b'],
      ['new', 'a-b'],
      ['unusable', null],
    ]);
  });

  it('stands in for the starter that is the same', async () => {
    const [pulled] = await pull([platform({ name: 'order_shipped', status: 'PAUSED' })]);
    expect(pulled?.template).toBe('order_shipped');
    const entry = findTemplate(await templateLibrary(root).list(), 'order_shipped', 'en_US');
    expect([entry.starter, entry.template.registration?.status]).toEqual([false, 'PAUSED']);
  });

  it.each<[what: string, parts: Partial<PlatformTemplate>, because: string]>([
    ['an image in its header', { unsupported: 'a header of the format IMAGE' }, 'unsupported'],
    ['no body', { body: null }, 'unsupported'],
    ['deleted', { status: 'DELETED' }, 'status'],
    ['of CAMS, and not approved', { code: '11', status: 'PENDING' }, 'status'],
    ['a language code of another kind', { language: 'en-US' }, 'content'],
    ['a status of another kind', { status: 'ok' }, 'content'],
    ['a placeholder of another kind', { body: 'Hi {{first name}}.' }, 'content'],
    ['a body of more than Messenger takes', { body: 'x'.repeat(2000) }, 'content'],
    [
      'a button with a variable in its title',
      { buttons: [{ type: 'postback', title: '{{no}}', payload: 'x' }] },
      'content',
    ],
  ])('is passed over when it has faults: %s', async (_, parts, because) => {
    for (const isDryRun of [true, false]) {
      const [pulled] = await pull([platform(parts)], { isDryRun });
      expect(pulled).toMatchObject({ state: 'unusable', file: null, unusable: { because } });
    }
    expect(await files()).toEqual([]);
  });

  it('is not written over a broken file of its name', async () => {
    await write('order_news.en_US.yaml', 'name: order_news\nbody: [');
    const [pulled] = await pull([platform()]);
    expect(pulled).toMatchObject({ state: 'unusable', unusable: { because: 'broken' } });
    await write('a.en_US.yaml', 'name: other\nlanguage: en_US\nchannels: [messenger]\nbody: Hello');
    expect((await pull([platform({ name: 'a' })]))[0]).toMatchObject({
      state: 'unusable',
      unusable: { because: 'taken' },
    });
  });

  it('is only told of in a dry run', async () => {
    const [pulled] = await pull([platform()], { isDryRun: true });
    expect(pulled).toMatchObject({ state: 'new', file: join(root, 'templates', 'order_news.en_US.yaml') });
    expect(await files()).toEqual([]);
  });

  it('keeps what the platform says against it', async () => {
    const [pulled] = await pull([
      platform({ status: 'REJECTED', reason: 'INCORRECT_PARAMS', body: '{{name}} {{no}}' }),
    ]);
    expect(pulled).toMatchObject({ state: 'new', status: 'REJECTED', reason: 'INCORRECT_PARAMS' });
  });

  it('says the same through its file as at the platform', async () => {
    const word = fc.constantFrom('{{a}}', '{{b}}', '{{c}}', 'x: y', '"', "'", '#', '\n', '%', '- ', '日本', ' ');
    const text = fc.array(word, { maxLength: 8 }).map((words) => `x ${words.join('')}`);
    const parameters = fc.constantFrom('named' as const, 'positional' as const);
    const starters = join(root, 'none');
    await fc.assert(
      fc.asyncProperty(text, fc.option(text), parameters, async (body, header, format) => {
        const one = platform({ body, header, parameters: format, examples: { a: ' 1 ' } });
        const [pulled] = await pull([one], { starters });
        const template = await readTemplate(pulled!.file!);
        const compiled = compileTemplate(template);
        const message = compiled.render(compiled.variables.map((_, index) => `<${index}>`));
        expect(message.text).toBe(filled(body, message.registered!.parameters).trimEnd());
        expect(message.header ?? null).toBe(header && filled(header, message.registered!.header).trimEnd());
        const [again] = await pull([one], { starters });
        expect([again?.state, again?.differs]).toEqual(['unchanged', []]);
        await rm(pulled!.file!);
      }),
    );
  });
});

/** A text of the platform with the parameters of a message in it. */
function filled(text: string, parameters: readonly { name: string | null; text: string }[]): string {
  const order: string[] = [];
  return parseText(text)
    .map((piece) => {
      if ('literal' in piece) return piece.literal;
      if (!order.includes(piece.variable)) order.push(piece.variable);
      const parameter = parameters[order.indexOf(piece.variable)];
      expect([null, piece.variable]).toContain(parameter?.name);
      return parameter?.text;
    })
    .join('');
}

describe('a template that is here', () => {
  it('gets the status that it has now, and nothing else', async () => {
    const file = await write('mine.yaml', HANDMADE);
    const [dry] = await pull([platform()], { isDryRun: true });
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
    const [pulled] = await pull([platform()]);
    expect(pulled).toEqual(dry);
    expect(pulled).toMatchObject({
      ...{ name: 'order_news', template: 'news_of_orders', file },
      ...{ state: 'status_changed', statusBefore: 'PENDING', status: 'APPROVED', differs: [] },
    });
    expect(await readFile(file, 'utf8')).toBe(HANDMADE.replace('PENDING', 'APPROVED'));
    expect((await pull([platform()]))[0]?.state).toBe('unchanged');
    expect(await files()).toEqual(['mine.yaml']);
  });

  it('keeps words that differ, unless they are to be replaced', async () => {
    const file = await write('mine.yaml', HANDMADE);
    const other = platform({ body: 'Hello {{name}}, order {{no}} comes on {{date}}.', header: 'News' });
    const [left] = await pull([other]);
    expect(left).toMatchObject({ state: 'status_changed', differs: ['header', 'body'] });
    expect(await readTemplate(file)).toMatchObject({ body: 'Hi {{name}}, order {{no}} is on its way.' });
    const [replaced] = await pull([other], { overwrite: true });
    expect(replaced).toMatchObject({ state: 'overwritten', differs: ['header', 'body'] });
    expect(await readTemplate(file)).toMatchObject({
      name: 'news_of_orders',
      header: 'News',
      body: other.body,
      variables: [{ name: 'name', description: 'first name', example: 'Bob' }, { name: 'no' }, { name: 'date' }],
    });
    expect(await readFile(file, 'utf8')).toMatch(/^# Ours\.\n/);
  });

  it.each<[what: string, ours: string, theirs: Partial<PlatformTemplate>, differs: string[]]>([
    ['names of named parameters', HANDMADE.replaceAll('{{no}}', '{{number}}'), {}, ['body']],
    [
      'names of positional ones',
      HANDMADE.replace('named', 'positional'),
      { parameters: 'positional', body: 'Hi {{param_1}}, order {{param_2}} is on its way.' },
      [],
    ],
    [
      'the order of positional ones',
      HANDMADE.replace('named', 'positional'),
      { parameters: 'positional', body: 'Hi {{param_1}}, order {{param_1}} is on its way.' },
      ['body'],
    ],
    ['how parameters are known', HANDMADE, { parameters: 'positional' }, ['parameters']],
    [
      'the beginning of a link',
      `${HANDMADE}buttons: [{ title: Go, url: "https://example.com/{{no}}" }]\n`,
      { buttons: [{ type: 'web_url', title: 'Go', url: 'https://example.org/{{button_1}}' }] },
      ['buttons'],
    ],
    [
      'the name of what a link ends in',
      `${HANDMADE}buttons: [{ title: Go, url: "https://example.com/{{no}}" }]\n`,
      { buttons: [{ type: 'web_url', title: 'Go', url: 'https://example.com/{{button_1}}' }] },
      [],
    ],
    [
      'a payload that the platform does not tell',
      `${HANDMADE}buttons: [{ title: Help, payload: "HELP {{no}}" }]\n`,
      { buttons: [{ type: 'postback', title: 'Help', payload: 'Help' }] },
      [],
    ],
    [
      'a payload that it tells',
      `${HANDMADE}buttons: [{ title: Help, payload: "HELP {{no}}" }]\n`,
      { buttons: [{ type: 'postback', title: 'Help', payload: 'SOS {{button_1}}' }] },
      ['buttons'],
    ],
    [
      'a title',
      `${HANDMADE}buttons: [{ title: Help, payload: HELP }]\n`,
      { buttons: [{ type: 'postback', title: 'Help me', payload: 'HELP' }] },
      ['buttons'],
    ],
  ])('is compared by what the platform knows: %s', async (_, ours, theirs, differs) => {
    await write('mine.yaml', ours);
    expect((await pull([platform({ status: 'PENDING', ...theirs })]))[0]).toMatchObject({
      state: 'unchanged',
      differs,
    });
  });

  it('that can no longer be used gets its status all the same', async () => {
    const file = await write('mine.yaml', HANDMADE);
    const [pulled] = await pull([platform({ status: 'DELETED' })]);
    expect(pulled).toMatchObject({ state: 'unusable', statusBefore: 'PENDING', unusable: { because: 'status' } });
    expect(await readFile(file, 'utf8')).toBe(HANDMADE.replace('PENDING', 'DELETED'));
  });

  it('and not at the platform is told', async () => {
    const file = await write('mine.yaml', HANDMADE);
    expect(await pull([platform({ language: 'de_DE' })], { language: 'en_US' })).toMatchObject([
      { name: 'order_news', state: 'absent', status: null, statusBefore: 'PENDING', file },
    ]);
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
    expect(await pull([], { from: { ...account, provider: 'cams' } })).toEqual([]);
  });
});

describe('a template that the platform has no more', () => {
  const APPROVED = HANDMADE.replace('PENDING', 'APPROVED');
  const from: Account = { ...account, provider: 'graph' };
  const gone = { name: 'order_news', state: 'absent', status: 'ABSENT', statusBefore: 'APPROVED' };

  it('is ABSENT in its file, and APPROVED again when it is back', async () => {
    const file = await write('mine.yaml', APPROVED);
    expect(await pull([platform({ language: 'en' })], { from, language: 'en_US' })).toMatchObject([{ ...gone, file }]);
    expect(await readFile(file, 'utf8')).toBe(APPROVED.replace('APPROVED', 'ABSENT'));
    expect(await pull([], { from })).toMatchObject([{ ...gone, statusBefore: 'ABSENT' }]);
    expect(await pull([platform()], { from })).toMatchObject([{ state: 'status_changed', statusBefore: 'ABSENT' }]);
    expect(await readFile(file, 'utf8')).toBe(APPROVED);
  });

  it('is only told in a dry run', async () => {
    const file = await write('mine.yaml', APPROVED);
    expect(await pull([], { from, isDryRun: true })).toMatchObject([gone]);
    expect(await readFile(file, 'utf8')).toBe(APPROVED);
  });

  it.each<[what: string, text: string, options: PullOptions]>([
    ['when another Page may have it', APPROVED, { from, hasOthers: true }],
    ['when it may not have been handed in yet', HANDMADE, { from }],
    ['of a sandbox', APPROVED, { from: { ...account, provider: 'sandbox' } }],
  ])('keeps its status %s', async (_, text, options) => {
    const file = await write('mine.yaml', text);
    expect(await pull([], options)).toMatchObject([{ state: 'absent', status: null }]);
    expect(await readFile(file, 'utf8')).toBe(text);
  });
});

describe('what is pulled', () => {
  const all = [
    platform(),
    platform({ language: 'de_DE' }),
    platform({ name: 'order_news_2' }),
    platform({ name: 'other' }),
  ];
  const shown = async (options: PullOptions): Promise<string[]> =>
    (await pull(all, { ...options, isDryRun: true })).map(({ name, language }) => `${name} ${language}`);

  it('can be one name and one language', async () => {
    expect(await shown({})).toHaveLength(4);
    expect(await shown({ name: 'order_news' })).toEqual(['order_news en_US', 'order_news de_DE']);
    expect(await shown({ name: 'order_news', language: 'de_DE' })).toEqual(['order_news de_DE']);
    expect(await shown({ language: 'de_DE' })).toEqual(['order_news de_DE']);
  });

  it('can be named as it is called here', async () => {
    await write('mine.yaml', HANDMADE);
    expect(await shown({ name: 'news_of_orders' })).toEqual(['order_news en_US', 'order_news de_DE']);
  });

  it('is nothing when nobody knows the name', async () => {
    expect(await failureOf(pull(all, { name: 'order_new' }))).toBe('TEMPLATE_UNKNOWN');
    expect(await failureOf(pull(all, { name: 'other', language: 'de_DE' }))).toBe('TEMPLATE_UNKNOWN');
  });

  it('needs a platform that has templates', async () => {
    const provider: Provider = platformWith([]);
    delete provider.templates;
    const world = { provider, listing: { entries: [], broken: [] }, files: templateFiles(root) };
    expect(await failureOf(pullTemplates(world, { account, overwrite: false, hasOthers: false }))).toBe(
      'PROVIDER_UNAVAILABLE',
    );
  });

  it('is nothing when the platform refuses', async () => {
    const refusal: CallFailure = { kind: 'failed', error: { code: '190', message: 'x' }, stop: 'token' };
    const provider: Provider = { ...platformWith([]), templates: () => Promise.resolve(refusal) };
    await write('mine.yaml', HANDMADE);
    const world = { provider, listing: await templateLibrary(root).list(), files: templateFiles(root) };
    expect(await pullTemplates(world, { account, overwrite: true, hasOthers: false })).toEqual(refusal);
    expect(await readFile(join(root, 'templates', 'mine.yaml'), 'utf8')).toBe(HANDMADE);
  });
});

describe('handing a template in', () => {
  async function push(provider: Provider, name: string, from = account): ReturnType<typeof pushTemplate> {
    const entry = findTemplate(await templateLibrary(root).list(), name);
    return pushTemplate({ provider, files: templateFiles(root) }, from, entry);
  }

  it.each(['APPROVED', 'PENDING', 'REJECTED'])('notes what became of it: %s', async (status) => {
    const file = await write('mine.yaml', HANDMADE);
    const provider = platformWith([platform({ language: 'de_DE' })], status);
    expect(await push(provider, 'news_of_orders')).toEqual({ kind: 'pushed', id: '1045951', status, file });
    expect(provider.handedIn).toMatchObject([{ name: 'news_of_orders', registration: { name: 'order_news' } }]);
    expect(await readFile(file, 'utf8')).toBe(HANDMADE.replace('PENDING', status));
  });

  it('of a starter notes it in a copy', async () => {
    const result = await push(platformWith([], 'PENDING'), 'order_shipped');
    expect(result).toMatchObject({ kind: 'pushed', file: join(root, 'templates', 'order_shipped.en_US.yaml') });
    expect(findTemplate(await templateLibrary(root).list(), 'order_shipped').template.registration?.status).toBe(
      'PENDING',
    );
  });

  it.each<[what: string, text: string, code: string]>([
    ['a variable at the end', HANDMADE.replace('on its way.', '{{no}}'), 'VARIABLE_AT_EDGE'],
    [
      'also where the file says that it is approved',
      HANDMADE.replace('on its way.', '{{no}}').replace('PENDING', 'APPROVED'),
      'VARIABLE_AT_EDGE',
    ],
    ['a variable without an example', HANDMADE.replace('on its way.', 'due {{date}}.'), 'VARIABLE_UNDECLARED'],
    ['quick replies', `${HANDMADE}quickReplies: [{ title: x, payload: y }]\n`, 'PART_NOT_OF_KIND'],
  ])('is refused for what the platform would refuse: %s', async (_, text, code) => {
    await write('mine.yaml', text);
    const provider = platformWith([]);
    const result = await push(provider, 'news_of_orders');
    expect(result).toMatchObject({
      kind: 'faulty',
      findings: expect.arrayContaining([expect.objectContaining({ code })]) as unknown,
    });
    expect(provider.handedIn).toEqual([]);
    expect(await readFile(join(root, 'templates', 'mine.yaml'), 'utf8')).toBe(text);
  });

  it('is refused when the platform has it already', async () => {
    await write('mine.yaml', HANDMADE);
    const provider = platformWith([platform({ status: 'PAUSED' })]);
    await expect(push(provider, 'news_of_orders')).rejects.toMatchObject({
      code: 'TEMPLATE_EXISTS',
      message: expect.stringContaining('PAUSED') as string,
    });
    expect(provider.handedIn).toEqual([]);
  });

  it('is refused where it makes no sense', async () => {
    await write('mine.yaml', HANDMADE);
    expect(await failureOf(push(platformWith([]), 'pickup_ready_nowhere'))).toBe('TEMPLATE_UNKNOWN');
    await write('session.yaml', 'name: s\nlanguage: en_US\nchannels: [messenger]\nbody: Hello');
    expect(await failureOf(push(platformWith([]), 's'))).toBe('USAGE');
    const instagram: Account = { ...account, channel: 'instagram' };
    expect(await failureOf(push(platformWith([]), 'news_of_orders', instagram))).toBe('CHANNEL_DIFFERS');
    const readOnly: Provider = platformWith([]);
    delete readOnly.createTemplate;
    expect(await failureOf(push(readOnly, 'news_of_orders'))).toBe('PROVIDER_UNAVAILABLE');
  });

  it.each(['templates', 'createTemplate'] as const)(
    'leaves the file alone when the platform fails: %s',
    async (call) => {
      const file = await write('mine.yaml', HANDMADE);
      const failure: CallFailure = { kind: 'failed', error: { code: 'TIMEOUT', message: 'x' } };
      const provider = { ...platformWith([]), [call]: () => Promise.resolve(failure) };
      expect(await push(provider, 'news_of_orders')).toEqual(failure);
      expect(await readFile(file, 'utf8')).toBe(HANDMADE);
    },
  );
});
