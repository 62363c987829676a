/** What GitHub's runner and GitHub's pages make of what pagecast tells them, read back by their own rules. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { GithubActions, type CampaignResult } from '../../src/cli/github-actions.js';
import { findingLine, publicSentence } from '../../src/cli/messages.js';
import { ROW_STATES, type Counts } from '../../src/core/delivery.js';
import { finding, type Finding } from '../../src/core/finding.js';
import type { Campaign } from '../../src/ports.js';
import { newCampaign, NOW, template } from '../support/fixtures.js';

// ---------------------------------------------------------------------------------------------------- GitHub's rules

interface WorkflowCommand {
  name: string;
  properties: Record<string, string>;
  data: string;
}

const DATA: [string, string][] = [
  ['%0D', '\r'],
  ['%0A', '\n'],
  ['%25', '%'],
];
const PROPERTY: [string, string][] = [['%3A', ':'], ['%2C', ','], ...DATA];
const unescape = (text: string, escapes: [string, string][]): string =>
  escapes.reduce((rest, [written, meant]) => rest.replaceAll(written, meant), text);

/** As the runner's ActionCommand.TryParseV2 does it. */
function parseCommand(line: string): WorkflowCommand | null {
  const text = line.trimStart();
  const end = text.startsWith('::') ? text.indexOf('::', 2) : -1;
  if (end < 0) return null;
  const info = text.slice(2, end);
  const space = info.indexOf(' ');
  const properties: Record<string, string> = {};
  for (const pair of space < 0
    ? []
    : info
        .slice(space + 1)
        .trim()
        .split(',')) {
    const at = pair.indexOf('=');
    // Of several "=" in a row the runner keeps none.
    const value = pair.slice(at + 1).replace(/^=+/, '');
    if (at > 0 && value !== '') properties[pair.slice(0, at)] = unescape(value, PROPERTY);
  }
  return { name: space < 0 ? info : info.slice(0, space), properties, data: unescape(text.slice(end + 2), DATA) };
}

/** As the runner's process reader splits what is written to it. */
function linesOf(text: string): string[] {
  return text.split(/\r\n|\r|\n/);
}

/** As the runner's FileCommandManager reads the file of the outputs. */
function parseOutputs(text: string): Record<string, string> {
  const outputs: Record<string, string> = {};
  const lines = text.split('\n');
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    if (line === '') continue;
    const heredoc = line.indexOf('<<');
    const equals = line.indexOf('=');
    if (equals >= 0 && (heredoc < 0 || equals < heredoc)) {
      outputs[line.slice(0, equals)] = line.slice(equals + 1);
      continue;
    }
    if (heredoc < 1) throw new Error(`no output: ${line}`);
    const end = lines.indexOf(line.slice(heredoc + 2));
    if (end < 0) throw new Error(`no end of ${line}`);
    outputs[line.slice(0, heredoc)] = lines
      .splice(0, end + 1)
      .slice(0, -1)
      .join('\n');
  }
  return outputs;
}

/** The cells of a Markdown table's row, by GFM: bars that no backslash escapes. Character references are read last. */
function cellsOf(row: string): string[] {
  return row
    .replace(/^\| | \|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => decoded(cell.trim()));
}

function decoded(text: string): string {
  return text.replace(/<\/?code>/g, '').replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
}

// ---------------------------------------------------------------------------------------------------- what is told

function told(work: (github: GithubActions) => void, env: Record<string, string> = {}): WorkflowCommand[] {
  const written: string[] = [];
  const github = GithubActions.from({ GITHUB_ACTIONS: 'true', ...env }, (line) => written.push(line));
  work(github!);
  return linesOf(written.join('\n'))
    .filter((line) => written.length > 0 || line !== '')
    .map((line) => {
      const parsed = parseCommand(line);
      if (parsed === null) throw new Error(`no command: ${line}`);
      return parsed;
    });
}

/** The two files after a run, and what was told. */
async function written(results: readonly CampaignResult[], before = ''): Promise<{ summary: string; outputs: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'pagecast-github-'));
  try {
    const env = { GITHUB_STEP_SUMMARY: join(folder, 'summary'), GITHUB_OUTPUT: join(folder, 'outputs') };
    await writeFile(env.GITHUB_OUTPUT, before);
    await GithubActions.from({ GITHUB_ACTIONS: 'true', ...env }, (line) => {
      throw new Error(line);
    })!.results(results);
    return {
      summary: await readFile(env.GITHUB_STEP_SUMMARY, 'utf8'),
      outputs: await readFile(env.GITHUB_OUTPUT, 'utf8'),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function result(
  change: Partial<Campaign> = {},
  counts: Partial<Counts> = {},
  more: Partial<CampaignResult['summary']> = {},
): CampaignResult {
  const none = Object.fromEntries(ROW_STATES.map((state) => [state, 0])) as Counts;
  const all = { ...none, ...counts };
  all.total = ROW_STATES.reduce((sum, state) => sum + all[state], 0);
  const campaign: Campaign = {
    ...newCampaign('c20261121-4f9ak'),
    state: 'finished',
    mode: 'bulk',
    flow: null,
    quiet: null,
    key: null,
    occurrence: null,
    budget: { count: 10, share: 0.1 },
    stop: null,
    digest: 'd',
    approvedAt: NOW,
    activeAt: NOW,
    startedAt: NOW,
    finishedAt: NOW,
    ...change,
  };
  const summary = {
    counts: all,
    skip: {},
    errors: {},
    refusedByOpener: {},
    byOpener: {},
    receipts: {},
    undelivered: {},
    outside: 0,
    changed: { out: {}, in: 0 },
  };
  return { campaign, summary: { ...summary, ...more } };
}

const HOSTILE = [
  '::error::owned',
  '::error file=a::b',
  '%0A::error::owned',
  '%250A',
  'a\n::stop-commands::x',
  'a\r\n::warning::b',
  'C:\\data, old.xlsx',
  '=b=c',
  'a|b`c`<b>d</b>',
  '"],["',
  'END_OF_VALUE',
  '\nEND_OF_VALUE\nx=1\nEND_OF_VALUE_',
  '##[add-mask]all',
  '# heading',
  '@somebody #1 https://example.com',
  '%%{init: {}}%%',
  '```\nend',
  '\u202eright to left',
];
const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.constantFrom('::', ':', ',', '%', '0A', '=', '\n', '\r', '|', '`', '<', '"', '#', ';', ' ', 'a', '\\'))
    .map((parts) => parts.join('')),
);

describe('outside of GitHub Actions', () => {
  it.each([{}, { GITHUB_ACTIONS: '' }, { GITHUB_ACTIONS: 'false' }, { CI: 'true' }])(
    '%j there is nobody to tell',
    (env) => {
      expect(GithubActions.from(env, () => undefined)).toBeNull();
    },
  );
});

describe('findings', () => {
  const missing = (row: number): Finding => finding('VARIABLE_MISSING', { variable: 'name' }, { row, column: 'name' });
  const workspace = { GITHUB_WORKSPACE: '/home/runner/work/shop/shop' };

  it('become annotations by their severity, at their row, and link a file of the checkout', () => {
    const findings = [
      missing(11),
      finding('CELL_NUMBER', { text: '42' }, { row: 12, column: 'code' }),
      finding('ID_CLEANED', { found: ' 1 ' }, { row: 13, column: 'User ID' }),
    ];
    const file = `${workspace.GITHUB_WORKSPACE}/sheets/orders.xlsx`;
    const at = { file: 'sheets/orders.xlsx' };
    expect(told((github) => github.findings(file, findings, 3), workspace)).toEqual([
      {
        name: 'error',
        properties: { ...at, line: '11', title: 'VARIABLE_MISSING' },
        data: 'row 11, name: name is empty.',
      },
      {
        name: 'warning',
        properties: { ...at, line: '12', title: 'CELL_NUMBER' },
        data: 'row 12, code: The cell holds a number; look at how it will read.',
      },
      {
        name: 'notice',
        properties: { ...at, line: '13', title: 'ID_CLEANED' },
        data: expect.stringContaining('row 13, User ID: The id had spaces') as string,
      },
    ]);
  });

  it.each([
    ['/home/runner/work/shop/shop/orders.xlsx', 'orders.xlsx'],
    ['/home/runner/work/shop/shop/..orders.xlsx', '..orders.xlsx'],
    ['/home/runner/work/shop/shop-2/orders.xlsx', '/home/runner/work/shop/shop-2/orders.xlsx'],
    ['/data/orders.xlsx', '/data/orders.xlsx'],
    ['/home/runner/work/shop/shop/=a.xlsx', './=a.xlsx'],
    ['/home/runner/work/shop/shop/a, b: 50%.csv', 'a, b: 50%.csv'],
    ['/home/runner/work/shop/shop/::error::x.csv', '::error::x.csv'],
    ['/home/runner/work/shop/shop/%0A::error::x.csv', '%0A::error::x.csv'],
    ['/home/runner/work/shop/shop/a\n::error::x.csv', 'a\n::error::x.csv'],
  ])('of %j are annotations of %j', (file, shown) => {
    const [one, ...others] = told((github) => github.findings(file, [missing(2)], 1), workspace);
    expect(one?.properties).toEqual({ file: shown, line: '2', title: 'VARIABLE_MISSING' });
    expect(others).toEqual([]);
  });

  it('of typed-in ids have no file', () => {
    const [one] = told((github) => github.findings(null, [missing(2)], 1));
    expect(one).toMatchObject({ properties: { title: 'VARIABLE_MISSING' }, data: 'ID 2, name: name is empty.' });
  });

  it('are told as far as GitHub shows them, and the others are counted', () => {
    const warnings = Array.from({ length: 12 }, (_, row) => finding('CELL_NUMBER', { text: '1' }, { row }));
    const notes = Array.from({ length: 12 }, (_, row) => finding('ID_CLEANED', { found: '1' }, { row }));
    const errors = Array.from({ length: 12 }, (_, row) => missing(row));
    const all = told((github) => github.findings(null, [...errors, ...warnings, ...notes], 1036));
    const count = (name: string): number => all.filter((one) => one.name === name).length;
    expect([count('error'), count('warning'), count('notice')]).toEqual([10, 10, 10]);
    expect(all.at(-1)?.data).toMatch(/^1,007 more findings not shown here/);
    expect(told((github) => github.findings(null, errors.slice(0, 10), 10))).toHaveLength(10);
  });

  it('quote nothing that stood in the file', () => {
    const value = 'SECRET 7642925849053947';
    const origin = { template: value, language: value, fingerprint: value };
    const findings = [
      finding('FILE_NOT_FOUND', { path: value }),
      finding('FILE_NOT_WORKBOOK', { reason: 'damaged', detail: value }),
      finding('FILE_TRUNCATED', { detail: value }),
      finding('SHEET_MISSING', { wanted: 'Recipients', found: [value] }),
      finding('HEADER_CHANGED', { expected: ['User ID'], found: [value] }),
      finding('TEMPLATE_MISMATCH', { expected: { ...origin, template: 'a', language: 'en_US' }, found: origin }),
      finding('ID_NOT_TEXT', { found: value, channel: 'messenger' }),
      finding('ID_NOT_TEXT', { found: value, channel: 'sms' }),
      finding('ID_MALFORMED', { found: value, channel: 'messenger' }),
      finding('ID_MALFORMED', { found: value, channel: 'sms' }),
      finding('ID_CLEANED', { found: value }),
      finding('CELL_ERROR', { error: value }),
      finding('CELL_NOT_TEXT', { kind: 'date', found: value }),
      finding('CELL_NUMBER', { text: value }),
      finding('MESSAGE_URL_INVALID', { part: 'button', found: value }),
      finding('VARIABLE_SYNTAX', { text: value }),
    ];
    for (const found of findings) {
      expect(findingLine(found, 'row', publicSentence), found.code).not.toMatch(/SECRET|3947/);
      expect(publicSentence(found), found.code).toMatch(/[.)]$/);
    }
  });

  it('are one command each, whatever stands in a file or its name', () => {
    fc.assert(
      fc.property(text, text, text, (file, found, column) => {
        const findings = [
          finding('ID_MALFORMED', { found, channel: 'messenger' }, { row: 2, column }),
          finding('FILE_TRUNCATED', { detail: found }, { column }),
        ];
        const all = told((github) => github.findings(`/data/${file}`, findings, 5));
        expect(all.map(({ name }) => name)).toEqual(['error', 'error', 'notice']);
        for (const one of all) expect(one.properties['file']).toBe(`/data/${file}`);
      }),
    );
  });
});

describe('a failure', () => {
  it('is one error with its code, sentence and hint, and masks ids', () => {
    expect(told((github) => github.failure('COUNT_DIFFERS', 'No: 7642925849053947.', 'Look.\nThen again.'))).toEqual([
      { name: 'error', properties: { title: 'COUNT_DIFFERS' }, data: 'No: …3947.\nLook.\nThen again.' },
    ]);
    expect(told((github) => github.failure('STORE_BUSY', 'Busy.', ''))[0]?.data).toBe('Busy.');
  });

  it('is one command whatever its words are', () => {
    fc.assert(
      fc.property(text, text, text, (code, message, hint) => {
        const all = told((github) => github.failure(code, message, hint));
        expect(all).toHaveLength(1);
        expect(all[0]?.name).toBe('error');
        expect(all[0]?.data.length).toBeLessThan(4096);
      }),
    );
  });
});

describe('the outputs', () => {
  it('are those of one campaign', async () => {
    const { outputs } = await written([result({}, { sent: 167, failed: 5, skipped: 28 })]);
    expect(parseOutputs(outputs)).toEqual({
      campaign: 'c20261121-4f9ak',
      state: 'finished',
      total: '200',
      sent: '167',
      failed: '5',
      skipped: '28',
      unknown: '0',
    });
  });

  it('of several are joined and added up; of none they are there all the same', async () => {
    const two = [result({ id: 'c1' }, { sent: 1200 }), result({ id: 'c2', state: 'stopped' }, { sent: 34, queued: 6 })];
    expect(parseOutputs((await written(two)).outputs)).toMatchObject({
      campaign: 'c1,c2',
      state: 'finished,stopped',
      total: '1240',
      sent: '1234',
    });
    expect(parseOutputs((await written([])).outputs)).toMatchObject({ campaign: '', state: '', total: '0' });
  });

  it('leave what is in the file, even without an end of its line', async () => {
    const { outputs } = await written([result()], 'mine=1');
    expect(parseOutputs(outputs)).toMatchObject({ mine: '1', campaign: 'c20261121-4f9ak' });
  });

  it.each(HOSTILE)('come back as they are: %j', async (id) => {
    expect(parseOutputs((await written([result({ id })])).outputs)).toMatchObject({ campaign: id, state: 'finished' });
  });

  it('come back as they are, whatever they hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('END_OF_VALUE', '_', '\n', '=', '<<', 'campaign', 'x')).map((parts) => parts.join('')),
        async (id) => {
          const { outputs } = await written([result({ id })]);
          expect(Object.keys(parseOutputs(outputs))).toHaveLength(7);
          expect(parseOutputs(outputs)['campaign']).toBe(id);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('the summary', () => {
  it('shows counts, a chart, who was left out, what failed and what to do', async () => {
    const { summary } = await written([
      result(
        {
          state: 'stopped',
          stop: { cause: 'rate_limit', error: { code: '613', message: 'SECRET' }, at: NOW },
          key: 'k',
        },
        { sent: 1167, failed: 4, unknown: 1, skipped: 28, queued: 10 },
        { skip: { window_closed: 22, window_unknown: 6, expired: 0 }, errors: { '551': 4, TIMEOUT: 1 } },
      ),
    ]);
    const rows = summary.split('\n').filter((line) => line.startsWith('| '));
    expect(rows.map(cellsOf)).toEqual([
      ['campaign', 'state', 'rows', 'sent', 'failed', 'left out', 'unknown', 'to go'],
      ['---', '---', '--:', '--:', '--:', '--:', '--:', '--:'],
      ['c20261121-4f9ak', 'stopped', '1,210', '1,167', '4', '28', '1', '10'],
      ['rows', 'why', 'reason'],
      ['--:', '---', '---'],
      ['22', 'their window is shut', 'window_closed'],
      ['6', 'they are not known to have written', 'window_unknown'],
      ['messages', 'error', 'meaning', 'advice'],
      ['--:', '---', '---', '---'],
      ['4', '551', 'This person is not available.', 'Leave this person out.'],
      ['1', 'TIMEOUT', expect.stringContaining('No answer'), expect.stringContaining('Do not send again')],
    ]);
    expect(summary).toContain(
      [
        '```mermaid',
        'pie showData',
        '  title order#95;update (en#95;US), 1,210 rows',
        '  "sent" : 1167',
        '  "failed" : 4',
        '  "left out" : 28',
        '  "unknown" : 1',
        '  "to go" : 10',
        '```',
      ].join('\n'),
    );
    const steps = decoded(summary.slice(summary.indexOf('What to do next:')));
    expect(steps).toContain('- It stands still (rate_limit): The rate limit of the API is reached. (613)');
    expect(steps).toContain('- This passes: it is safe to run the same command again.');
    expect(steps).toContain('- Go on with pagecast campaign resume c20261121-4f9ak, or by running this job again');
    expect(steps).toContain('pagecast campaign retry c20261121-4f9ak --failed');
    expect(steps).toContain('pagecast campaign reconcile c20261121-4f9ak');
    expect(summary).not.toContain('SECRET');
  });

  it.each([
    ['finished', {}, '- Nothing.\n'],
    ['paused', {}, '- Go on with pagecast campaign resume c20261121-4f9ak.\n'],
    ['cancelled', {}, '--skipped\n'],
    [
      'scheduled',
      { timing: { sendAt: NOW, expiresAt: NOW + 1, zone: 'UTC' } },
      '- It waits for 2026-11-21T12:00:00.000Z. A worker sends it then: pagecast run --once\n',
    ],
  ] as const)('of a campaign that is %s says what to do next', async (state, change, ending) => {
    const { summary } = await written([result({ state, ...change }, { sent: 3 })]);
    expect(decoded(summary).endsWith(ending), decoded(summary)).toBe(true);
  });

  it('of nothing says so', async () => {
    expect((await written([])).summary).toContain('No campaign was due.');
    expect((await written([result()])).summary).not.toContain('mermaid');
  });

  it('of many campaigns stays small enough to be shown', async () => {
    const errors = Object.fromEntries(Array.from({ length: 300 }, (_, code) => [`${code}/${'|'.repeat(300)}`, 1]));
    const name = '|'.repeat(300);
    const change = { accountName: name, source: name, template: { ...template, name } };
    const many = Array.from({ length: 1000 }, (_, index) =>
      result({ ...change, id: `c${index}` }, { sent: 1 }, { errors }),
    );
    const { summary } = await written(many);
    expect(Buffer.byteLength(summary)).toBeLessThan(1024 * 1024);
    expect(summary).toContain('980 more campaigns not shown here');
    expect(summary).toMatch(/\| all \| {2}\| 1,000 \|/);
  });

  it.each(HOSTILE)('is not misled by %j', async (evil) => {
    const change = { accountName: evil, source: evil, template: { ...template, name: evil, language: evil } };
    const plain = (await written([result({}, { failed: 1 }, { errors: { x: 1 } })])).summary;
    const { summary } = await written([result({ ...change, id: evil }, { failed: 1 }, { errors: { [evil]: 1 } })]);
    expect(summary.split('\n').map(shape)).toEqual(plain.split('\n').map(shape));
    const shown = evil.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
    expect(decoded(summary)).toContain(`from ${shown}, recipients: `);
  });

  it('keeps its shape whatever stands in a campaign', async () => {
    await fc.assert(
      fc.asyncProperty(text, text, async (one, other) => {
        const change = { accountName: one, source: other, template: { ...template, name: other, language: one } };
        const { summary } = await written([result({ ...change, id: one }, { failed: 1 }, { errors: { [other]: 1 } })]);
        const lines = summary.split(/\r\n|[\r\n\u0085\u2028\u2029]/);
        const plain = (await written([result({}, { failed: 1 }, { errors: { x: 1 } })])).summary.split('\n');
        expect(lines.map(shape)).toEqual(plain.map(shape));
      }),
      { numRuns: 100 },
    );
  });

  it('shows no id, and of a path only the name', async () => {
    const { summary } = await written([result({ source: '/home/ann/7642925849053947.csv' }, { sent: 1 })]);
    expect(decoded(summary)).toContain('recipients: …3947.csv\n');
    expect(summary).not.toContain('7642925849053947');
  });
});

/** A line of the summary without what comes from outside, which may be only letters, digits and references; a row by its bars. */
function shape(line: string): string {
  const outside = String.raw`(?:[^\x21-\x2b\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]|&#\d+;)*`;
  const known = line
    .replace(new RegExp(`<code>${outside}</code>`, 'gu'), '<code/>')
    .replace(/^ {2}title (?:[\p{L}\p{N} ,.()-]|#\d+;)*$/u, '  title');
  return known.startsWith('|') ? known.replace(/[^|]/g, '') : known;
}

describe.each(['docs/ci.md', 'docs/examples/github-actions.yml', 'docs/examples/gitlab-ci.yml'])('%s', (file) => {
  it('names only commands and options that there are', async () => {
    const { buildProgram } = await import('../../src/cli/main.js');
    const program = await buildProgram(() => () => Promise.resolve());
    const content = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
    // A command goes on over lines that end with a backslash, or that are folded in YAML.
    const lines = content.replace(/\\?\n +(?=--)/g, ' ');
    const commands = [...lines.matchAll(/(?<=^ *(?:- |run: )?|exec |`)pagecast ([a-z][^`\n>|]*)/gm)].map(
      ([, words = '']) => words,
    );
    expect(commands.length).toBeGreaterThan(2);
    for (const words of commands) {
      let found = program;
      for (const word of words.split(' ')) found = found.commands.find((one) => one.name() === word) ?? found;
      expect(found.commands, words).toEqual([]);
      const options = found.options.map((option) => option.long);
      for (const [option] of words.matchAll(/(?<= )--[a-z-]+/g)) expect(options, words).toContain(option);
    }
  });
});

describe('a file that cannot be written', () => {
  it.each(['GITHUB_STEP_SUMMARY', 'GITHUB_OUTPUT'])('(%s) is told, and no failure', async (name) => {
    const folder = await mkdtemp(join(tmpdir(), 'pagecast-github-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const lines: string[] = [];
    const env = { GITHUB_ACTIONS: 'true', [name]: join(folder, 'no\nsuch', 'file') };
    await GithubActions.from(env, (line) => lines.push(line))!.results([result()]);
    expect(lines.map(parseCommand)).toEqual([
      { name: 'warning', properties: { title: name }, data: expect.stringContaining('(ENOENT)') as string },
    ]);
  });

  it('is not missed where the runner gives none', async () => {
    const lines: string[] = [];
    await GithubActions.from({ GITHUB_ACTIONS: 'true' }, (line) => lines.push(line))!.results([result()]);
    expect(lines).toEqual([]);
  });
});
