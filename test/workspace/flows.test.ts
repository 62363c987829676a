import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../src/core/failure.js';
import { checkFlow, type Flow } from '../../src/core/flow.js';
import { DEFAULT_OPT_OUT } from '../../src/core/opt-out.js';
import { noWorkspace, parseWorkspace } from '../../src/workspace/config.js';
import { findFlow, parseFlow, readFlows } from '../../src/workspace/flows.js';
import { templateLibrary } from '../../src/workspace/templates.js';

const FULL = `# an answer
type: auto-reply
trigger: { keyword: [hours, "opening times"] }
from: acme-page
text: |
  We are open
  from 9 to 5.
limits: { oncePer: 24h, quietHours: { from: "22:00", to: "08:30", zone: Europe/Berlin }, expires: 30m }
`;

const NOTICE = `type: notification
trigger: { call: true }
from: record-owner
template: order_shipped
`;

function refusal(text: string, file = '/w/flows/hours.yaml'): Failure {
  try {
    parseFlow(file, text);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('a flow', () => {
  it('is what its file says, and called as its file is', () => {
    expect(parseFlow('/w/flows/opening_hours.yaml', FULL)).toEqual<Flow>({
      name: 'opening_hours',
      type: 'auto-reply',
      trigger: { on: 'keyword', words: ['hours', 'opening times'] },
      from: 'acme-page',
      content: { kind: 'free-text', text: 'We are open\nfrom 9 to 5.' },
      oncePerMs: 86_400_000,
      quietHours: { from: 1320, to: 510, zone: 'Europe/Berlin' },
      inQuietHours: 'skip',
      expiryMs: 1_800_000,
    });
  });

  it('takes defaults where the file says nothing', () => {
    expect(parseFlow('/w/flows/shipped.yml', `name: shipped\n${NOTICE}`)).toEqual<Flow>({
      name: 'shipped',
      type: 'notification',
      trigger: { on: 'call' },
      from: 'record-owner',
      content: { kind: 'template', name: 'order_shipped', language: null, values: {} },
      oncePerMs: null,
      quietHours: null,
      inQuietHours: 'wait',
      expiryMs: 86_400_000,
    });
    const { expiryMs, inQuietHours } = parseFlow(
      'a.yaml',
      'type: auto-reply\ntrigger: { firstMessage: true }\nfrom: auto\ntext: Hi',
    );
    expect({ expiryMs, inQuietHours }).toEqual({ expiryMs: 600_000, inQuietHours: 'skip' });
  });

  it.each<[trigger: string, is: Flow['trigger']]>([
    ['{ firstMessage: true }', { on: 'first_message' }],
    ['{ payload: [GET_STARTED, "1"] }', { on: 'payload', payloads: ['GET_STARTED', '1'] }],
    ['{ opener: [comment, m_me] }', { on: 'opener', openers: ['comment', 'm_me'] }],
  ])('may wait for %s', (trigger, is) => {
    expect(parseFlow('a.yaml', NOTICE.replace('{ call: true }', trigger)).trigger).toEqual(is);
  });

  it('may name the language and values of its template', () => {
    const text = `${NOTICE}language: de_DE\nvalues: { name: "{{x}}", no: "7" }\n`;
    const values = { name: '{{x}}', no: '7' };
    expect(parseFlow('a.yaml', text).content).toEqual({
      kind: 'template',
      name: 'order_shipped',
      language: 'de_DE',
      values,
    });
  });

  const limits = (text: string): string => `${NOTICE}limits: ${text}\n`;
  const quiet = (text: string): string => limits(`{ quietHours: { from: "22:00", to: "08:00", zone: UTC, ${text} } }`);
  it.each<[what: string, text: string, line: number, says: RegExp]>([
    ['an unknown key', `${NOTICE}templat: x\n`, 5, /unknown key "templat" \(did you mean "template"\?\)/],
    ['an unknown type', NOTICE.replace('notification', 'notfication'), 1, /type must be one of .*mean "notification"/],
    ['no type', NOTICE.replace('type: notification\n', ''), 1, /type is missing/],
    ['no trigger', NOTICE.replace('trigger: { call: true }\n', ''), 1, /trigger is missing/],
    ['no sender', NOTICE.replace('from: record-owner\n', ''), 1, /from is missing/],
    ['an empty trigger', NOTICE.replace('call: true', ''), 2, /trigger must have one of keyword, firstMessage/],
    [
      'two triggers',
      NOTICE.replace('call: true', 'call: true, keyword: [a]'),
      2,
      /exactly one of .*has keyword and call,/,
    ],
    ['an unknown trigger', NOTICE.replace('call', 'calls'), 2, /unknown key "calls" \(did you mean "call"\?\)/],
    ['a call that is none', NOTICE.replace('true', 'false'), 2, /trigger\.call must be true/],
    ['a keyword that is no list', NOTICE.replace('call: true', 'keyword: hours'), 2, /keyword must be a list of words/],
    ['no keywords', NOTICE.replace('call: true', 'keyword: []'), 2, /keyword must name at least one word/],
    ['a keyword that is a number', NOTICE.replace('call: true', 'keyword: [24]'), 2, /keyword\[0\] .*in quotes/],
    ['an unknown opener', NOTICE.replace('call: true', 'opener: [coment]'), 2, /opener\[0\] .*mean "comment"/],
    ['text and template', `${NOTICE}text: Hi\n`, 1, /must have either text or template/],
    ['neither', NOTICE.replace('template: order_shipped\n', ''), 1, /must have either text or template/],
    ['an empty text', 'type: auto-reply\ntrigger: { call: true }\nfrom: a\ntext: " "\n', 4, /text must not be empty/],
    ['values of a text', FULL.replace('limits:', 'values: { a: b }\nlimits:'), 8, /values belongs to a template/],
    ['a language of a text', FULL.replace('limits:', 'language: de_DE\nlimits:'), 8, /language belongs to a template/],
    ['a language with a hyphen', `${NOTICE}language: de-DE\n`, 5, /language must be a language code .*underscore/],
    ['a value that is a number', `${NOTICE}values: { no: 7 }\n`, 5, /values\.no must be .*in quotes/],
    ['a value of no variable', `${NOTICE}values: { "a b": x }\n`, 5, /values\.a b must be the name of a variable/],
    ['a duration without unit', limits('{ oncePer: "24" }'), 5, /limits\.oncePer must be a duration such as/],
    ['no time at all', limits('{ expires: 0m }'), 5, /limits\.expires must be longer than nothing/],
    ['more than a year', limits('{ expires: 9000d }'), 5, /limits\.expires must be .* at most 366d/],
    ['a limit that is unknown', limits('{ oncePr: 1h }'), 5, /"oncePr" \(did you mean "oncePer"\?\)/],
    ['half a night', limits('{ quietHours: { from: "22:00", zone: UTC } }'), 5, /quietHours\.to is missing/],
    ['an hour that is none', quiet('').replace('08:00', '24:00'), 5, /quietHours\.to must be a time of day/],
    ['a time with seconds', quiet('').replace('08:00', '08:00:00'), 5, /quietHours\.to must be a time of day/],
    ['a night of nothing', quiet('').replace('08:00', '22:00'), 5, /quietHours\.to must differ/],
    [
      'an unknown zone',
      quiet('').replace('UTC', 'Europe/Berlim'),
      5,
      /zone must be a time zone such as Europe\/Berlin/,
    ],
    ['a distance from UTC', quiet('').replace('UTC', '"+02:00"'), 5, /zone must be a time zone/],
    ['what to do then', quiet('then: queue'), 5, /quietHours\.then must be one of wait, skip/],
    ['another name than its file', `name: ours\n${NOTICE}`, 1, /name must be hours, as the file is called/],
    ['a list', '- a\n', 1, /the file must be a mapping/],
    ['no YAML', 'type: [\n', 2, /./],
  ])('is refused with %s', (_, text, line, says) => {
    const failure = refusal(text);
    expect(failure.code).toBe('FLOW_INVALID');
    expect(failure.message).toMatch(says);
    expect(failure.message).toContain(`/w/flows/hours.yaml, line ${line}: `);
    expect(failure.status).toBe(3);
  });

  it.each(['then: wait', 'then: skip'])('may say what becomes of it in quiet hours: %s', (then) => {
    expect(`then: ${parseFlow('a.yaml', quiet(then)).inQuietHours}`).toBe(then);
  });

  it.each<[file: string, says: RegExp]>([
    ['opt-out.yaml', /no flow can be called opt-out/],
    ['my flow.yaml', /a flow is called as its file is/],
    ['hours.en.yaml', /a flow is called as its file is/],
    [`${'x'.repeat(65)}.yaml`, /a flow is called as its file is/],
  ])('cannot stand in %s', (file, says) => {
    expect(refusal(NOTICE, `/w/flows/${file}`)).toMatchObject({ code: 'FLOW_INVALID', hint: 'Rename the file.' });
    expect(refusal(NOTICE, `/w/flows/${file}`).message).toMatch(says);
  });
});

describe('the folder of flows', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'pagecast-flows-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function write(files: Record<string, string | Uint8Array>): Promise<void> {
    await mkdir(join(root, 'flows'), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, 'flows', name), text);
  }

  it('is read by name, and one broken file takes no other with it', async () => {
    await write({
      'b.yaml': NOTICE,
      'a-b.yml': NOTICE,
      'a.yaml': FULL,
      'broken.yaml': 'type: x\n',
      'binary.yaml': Buffer.from([0x61, 0xff]),
      '.hidden.yaml': 'x',
      'notes.txt': 'x',
    });
    await symlink('/dev/zero', join(root, 'flows', 'zero.yaml'));
    await mkdir(join(root, 'flows', 'folder.yaml'));
    const { entries, broken } = await readFlows(root);
    expect(entries.map(({ flow, file }) => [flow.name, file])).toEqual([
      ['a', join(root, 'flows', 'a.yaml')],
      ['a-b', join(root, 'flows', 'a-b.yml')],
      ['b', join(root, 'flows', 'b.yaml')],
    ]);
    expect(broken.map(({ file, failure }) => [file.slice(root.length), failure.code])).toEqual([
      ['/flows/binary.yaml', 'FLOW_INVALID'],
      ['/flows/broken.yaml', 'FLOW_INVALID'],
      ['/flows/folder.yaml', 'FILE_UNREADABLE'],
      ['/flows/zero.yaml', 'FILE_UNREADABLE'],
    ]);
  });

  it('holds no flow twice', async () => {
    await write({ 'hours.yaml': FULL, 'hours.yml': FULL });
    const { entries, broken } = await readFlows(root);
    expect(entries).toEqual([]);
    expect(broken.map(({ failure }) => failure.message)).toEqual(
      Array(2).fill(expect.stringMatching(/"hours" stands in more than one file: .*hours\.yaml and .*hours\.yml/)),
    );
  });

  it('may be missing, but not be a file', async () => {
    expect(await readFlows(root)).toEqual({ entries: [], broken: [] });
    expect(await readFlows(null)).toEqual({ entries: [], broken: [] });
    await writeFile(join(root, 'flows'), '');
    await expect(readFlows(root)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('is searched by name', async () => {
    await write({ 'hours.yaml': FULL, 'broken.yaml': 'type: x\n' });
    const listing = await readFlows(root);
    expect(findFlow(listing, 'hours').type).toBe('auto-reply');
    expect(() => findFlow(listing, 'broken')).toThrow(/line 1: type must be one of/);
    expect(() => findFlow(listing, 'houers')).toThrow('There is no flow "houers" (did you mean "hours"?).');
  });
});

describe('what the documents show', () => {
  const document = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  const shown = ['flows.md', 'opt-outs.md'].flatMap((name) =>
    [...document(name).matchAll(/```yaml\n# (\S+)\n(.*?)```/gs)].map(([, file = '', text = '']) => ({ file, text })),
  );

  it.each(shown)('$file can be used', ({ file, text }) => {
    if (file === 'pagecast.yaml') expect(parseWorkspace('/w/pagecast.yaml', text).file).toBe('/w/pagecast.yaml');
    else expect(file).toBe(`flows/${parseFlow(file, text).name}.yaml`);
  });

  it('the flows are allowed', async () => {
    const { entries } = await templateLibrary(null).list();
    const { accounts, ...known } = noWorkspace();
    const surroundings = {
      ...known,
      accounts: [...accounts.values(), { name: 'acme-page', channel: 'messenger' as const }],
      templates: entries.map(({ template }) => template),
      broken: [],
    };
    const flows = shown.filter(({ file }) => file !== 'pagecast.yaml');
    expect(flows).toHaveLength(2);
    expect(flows.flatMap(({ file, text }) => checkFlow(parseFlow(file, text), surroundings))).toEqual([]);
  });

  it('names the opt-out words that there are', () => {
    const text = document('opt-outs.md');
    const rows = [...text.matchAll(/^\| `([a-z]+)` \| (.*) \| (.*) \|$/gm)];
    expect(rows.map(([, language = '', out, back]) => [language, out, back])).toEqual(
      rows.map(([, language = '']) => [
        language,
        DEFAULT_OPT_OUT.out[language]?.join(', '),
        DEFAULT_OPT_OUT.in[language]?.join(', '),
      ]),
    );
    const languages = /There are lists for ([^.]+)\./.exec(text)?.[1]?.split(/, | and /);
    expect(languages?.sort()).toEqual(Object.keys(DEFAULT_OPT_OUT.out).sort());
  });
});
