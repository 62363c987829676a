import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Template } from '../../src/core/template.js';
import type { TemplateEntry } from '../../src/ports.js';
import { templateFiles } from '../../src/workspace/template-files.js';
import { readTemplate } from '../../src/workspace/templates.js';
import { failureOf, temporaryFolder } from '../support/fixtures.js';

let root: string;
beforeEach(() => {
  root = temporaryFolder();
});

const template: Template = {
  name: 'order_news',
  language: 'en_US',
  channels: ['messenger'],
  kind: 'registered',
  registration: { name: 'order.news', status: 'PENDING', parameters: 'named' },
  header: 'Order {{no}}',
  body: 'Hi {{name}},\nyour order "{{no}}" is on its way: #1 of 2.',
  buttons: [
    { type: 'web_url', title: 'no', url: 'https://example.com/{{no}}' },
    { type: 'postback', title: 'Help', payload: '123' },
  ],
  quickReplies: [],
  variables: [
    { name: 'no', example: '007' },
    { name: 'name', example: 'yes' },
  ],
};

const HANDMADE = `# Our own words on top.
name: order_news   # shown in lists
language: en_US
channels: [messenger]
registered: { name: order_news, status: PENDING, parameters: named }   # pushed in May
body: 'Hi {{name}}, it comes.'
variables:
  # Please no nicknames.
  name: { description: first name, example: Ann, maxLength: 60 }
`;

async function write(text: string, name = 'mine.yaml'): Promise<string> {
  await mkdir(join(root, 'templates'), { recursive: true });
  const file = join(root, 'templates', name);
  await writeFile(file, text);
  return file;
}

const entryOf = async (file: string): Promise<TemplateEntry> => ({
  file,
  template: await readTemplate(file),
  starter: false,
});

describe('a new file', () => {
  it.each<[string, Template]>([
    ['registered', template],
    ['of CAMS', { ...template, kind: 'session', cams: { code: '1119000000000001' } }],
  ])('reads as what was written: %s', async (_, whole) => {
    const written = { ...whole };
    if (whole.cams) {
      delete written.registration;
      delete written.header;
    }
    const file = await templateFiles(root).create(written, 'Where it is from\nand whose it is');
    expect(file).toBe(join(root, 'templates', 'order_news.en_US.yaml'));
    expect(await readTemplate(file)).toEqual(written);
    expect(await readFile(file, 'utf8')).toMatch(/^# Where it is from\n# and whose it is\nname: order_news\n/);
  });

  it('never replaces one that is there', async () => {
    const file = await write(HANDMADE, 'order_news.en_US.yaml');
    for (const isDryRun of [true, false]) {
      expect(await failureOf(templateFiles(root, isDryRun).create(template, 'x'))).toBe('FILE_EXISTS');
    }
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
  });

  it('is not made when it could not be read again', async () => {
    const wrong = { ...template, language: 'en-US' };
    for (const isDryRun of [true, false]) {
      expect(await failureOf(templateFiles(root, isDryRun).create(wrong, 'x'))).toBe('TEMPLATE_INVALID');
    }
    expect(await readdir(root)).toEqual([]);
  });

  it('is not made in a dry run', async () => {
    expect(await templateFiles(root, true).create(template, 'x')).toContain('order_news.en_US.yaml');
    expect(await readdir(root)).toEqual([]);
  });
});

describe('a new status', () => {
  it.each<[what: string, before: string, after: string]>([
    ['in one line', HANDMADE, HANDMADE.replace('PENDING', 'APPROVED')],
    [
      'in lines of its own',
      HANDMADE.replace(
        /registered:.*\n/,
        'registered:\n  name: order_news\n  status: "PENDING" # soon\n  parameters: named\n',
      ),
      HANDMADE.replace(
        /registered:.*\n/,
        'registered:\n  name: order_news\n  status: APPROVED # soon\n  parameters: named\n',
      ),
    ],
    [
      'with the line ends of Windows',
      HANDMADE.replaceAll('\n', '\r\n'),
      HANDMADE.replace('PENDING', 'APPROVED').replaceAll('\n', '\r\n'),
    ],
  ])('is the only change of the file: %s', async (_, before, after) => {
    const file = await write(before);
    expect(await templateFiles(root).update(await entryOf(file), { status: 'APPROVED' })).toBe(file);
    expect(await readFile(file, 'utf8')).toBe(after);
    expect(await readdir(join(root, 'templates'))).toEqual(['mine.yaml']);
  });

  it('is found behind an anchor', async () => {
    const file = await write(`tag: &word PENDING\n${HANDMADE.replace('status: PENDING', 'status: *word')}`);
    await templateFiles(root).update(await entryOf(file), { status: 'APPROVED' });
    expect(await readTemplate(file)).toMatchObject({ tag: 'PENDING', registration: { status: 'APPROVED' } });
  });

  it.each(['approved', 'APPROVED }\nname: other', 'A'.repeat(50)])('is refused when it is none: %s', async (status) => {
    const file = await write(HANDMADE);
    expect(await failureOf(templateFiles(root).update(await entryOf(file), { status }))).toBe('TEMPLATE_INVALID');
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
  });

  it('is not written in a dry run', async () => {
    const file = await write(HANDMADE);
    await templateFiles(root, true).update(await entryOf(file), { status: 'APPROVED' });
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
  });

  it('of a starter goes into a copy', async () => {
    const file = await write(HANDMADE, '../order_news.en_US.yaml');
    const entry = { ...(await entryOf(file)), starter: true };
    const copy = await templateFiles(root).update(entry, { status: 'REJECTED' });
    expect(copy).toBe(join(root, 'templates', 'order_news.en_US.yaml'));
    expect(await readFile(copy, 'utf8')).toBe(HANDMADE.replace('PENDING', 'REJECTED'));
    expect(await readFile(file, 'utf8')).toBe(HANDMADE);
  });

  it('leaves a link a link', async () => {
    await write(HANDMADE, '../elsewhere.yaml');
    const link = join(root, 'templates', 'linked.yaml');
    await symlink('../elsewhere.yaml', link);
    await templateFiles(root).update(await entryOf(link), { status: 'PAUSED' });
    expect(await readFile(join(root, 'elsewhere.yaml'), 'utf8')).toContain('PAUSED');
  });
});

describe('new words', () => {
  it('come with their variables, and leave what is the author’s', async () => {
    const file = await write(HANDMADE);
    const buttons = [{ type: 'web_url', title: 'Follow', url: 'https://example.com/{{no}}' }] as const;
    await templateFiles(root).update(await entryOf(file), {
      status: 'APPROVED',
      parameters: 'positional',
      header: 'News',
      body: 'Hello {{name}}, {{no}} is here.',
      buttons,
      variables: [
        { name: 'name', example: 'John' },
        { name: 'no', example: 'A-1' },
      ],
    });
    const text = await readFile(file, 'utf8');
    for (const kept of ['# Our own words on top.', '# shown in lists', '# pushed in May', '# Please no nicknames.']) {
      expect(text).toContain(kept);
    }
    expect(await readTemplate(file)).toMatchObject({
      registration: { status: 'APPROVED', parameters: 'positional' },
      header: 'News',
      body: 'Hello {{name}}, {{no}} is here.',
      buttons,
      variables: [
        { name: 'name', description: 'first name', example: 'Ann', maxLength: 60 },
        { name: 'no', example: 'A-1' },
      ],
    });
  });

  it('may take parts away', async () => {
    const file = await write(`${HANDMADE}header: Old\nbuttons: [{ title: x, payload: y }]\n`);
    await templateFiles(root).update(await entryOf(file), { header: null, buttons: [] });
    const changed = await readTemplate(file);
    expect(changed).not.toHaveProperty('header');
    expect(changed.buttons).toEqual([]);
    expect(changed.body).toBe('Hi {{name}}, it comes.');
  });
});
