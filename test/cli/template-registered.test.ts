/** `template pull` and `push`, and how the others show what they bring, through the whole program and a sandbox. */
import { mkdir, readFile } from 'node:fs/promises';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { PulledTemplate } from '../../src/app/pull-templates.js';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { startSandbox, type Sandbox } from '../../src/sandbox/server.js';
import { inside } from '../support/process-inside.js';
import { machineClock } from '../support/provider-contract.js';
import { seededRandom } from '../support/sandbox-harness.js';
import { accountsAt, testWorkspace, type TestWorkspace } from '../support/workspace.js';

interface Pulled {
  account: string;
  dryRun: boolean;
  templates: PulledTemplate[];
  stop: { cause: string; error: { code: string } } | null;
}

interface Pushed {
  ok: boolean;
  status: string | null;
  file: string | null;
  findings: { code: string; message: string }[];
  stop: { cause: string } | null;
}

const PARCEL = {
  name: 'parcel.here',
  language: 'en_US',
  parameter_format: 'POSITIONAL' as const,
  components: [
    { type: 'HEADER', format: 'TEXT', text: 'Order {{1}}', example: { header_text: ['A-1042'] } },
    {
      type: 'BODY',
      text: 'Hi {{1}}, it comes on {{2}}.',
      example: { body_text: [['Ann', 'Friday']] },
    },
    {
      type: 'BUTTONS',
      buttons: [
        { type: 'URL', text: 'Follow it', url: 'https://example.com/{{1}}', example: ['https://example.com/7'] },
      ],
    },
  ],
};
const PICTURE = {
  name: 'with_picture',
  language: 'en_US',
  components: [
    { type: 'HEADER', format: 'IMAGE' },
    { type: 'BODY', text: 'Look.' },
  ],
};

let workspace: TestWorkspace;

async function sandboxWith(templates: SeedInput['templates'], more: SeedInput = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ seed: { templates, ...more }, clock: machineClock, random: seededRandom(1) });
  onTestFinished(() => sandbox.close());
  workspace = await testWorkspace(accountsAt({ acme: sandbox.url }));
  return sandbox;
}

/** Writes a template of the workspace. @returns its path */
async function template(name: string, text: string): Promise<string> {
  await mkdir(workspace.path('templates'), { recursive: true });
  return workspace.write(`templates/${name}.yaml`, text);
}

const pull = (...more: string[]): ReturnType<typeof inside<Pulled>> =>
  inside<Pulled>(workspace, ['template', 'pull', '--from', 'acme', ...more]);

describe('template pull', () => {
  it('brings what the platform has, and says what cannot be used', async () => {
    await sandboxWith([PARCEL, PICTURE]);
    const dry = await pull('--dry-run');
    expect(dry.status, dry.stderr).toBe(0);
    expect(dry.stdout).toContain('parcel.here en_US: new (APPROVED)\n    here it is called parcel_here\n');
    expect(dry.stdout).toContain(
      'with_picture en_US: not usable (APPROVED)\n    because pagecast cannot fill all of it: ',
    );
    expect(dry.stderr).toContain('Nothing was written; without --dry-run 1 file would be.');

    const pulled = await pull('--json');
    expect(pulled.json).toMatchObject({ account: 'acme', dryRun: false, stop: null });
    const [delivery, picture] = pulled.json.templates;
    expect(delivery).toMatchObject({ state: 'new', template: 'parcel_here', differs: [], unusable: null });
    expect(picture).toMatchObject({ state: 'unusable', unusable: { because: 'unsupported' } });

    const check = await inside(workspace, ['template', 'check', 'parcel_here']);
    expect([check.status, check.stdout]).toEqual([0, 'ok   parcel_here en_US, registered (APPROVED)\n']);
    const show = await inside(workspace, ['template', 'show', 'parcel_here']);
    expect(show.stdout).toContain('parcel_here en_US, registered (APPROVED), for messenger');
    expect(show.stdout).toContain('At the platform: parcel.here');
    for (const line of ['Order A-1042', 'Hi Ann, it comes on Friday.', '[ Follow it ]']) {
      expect(show.stdout).toContain(line);
    }
    expect((await pull()).stdout).toContain('parcel.here en_US: unchanged (APPROVED)');
  });

  it('follows the status', async () => {
    const { state } = await sandboxWith([PARCEL]);
    await pull();
    state.changeTemplates({ name: 'parcel.here', status: 'PAUSED', reason: 'LOW_QUALITY' });
    const { stdout } = await pull('--name', 'parcel_here');
    expect(stdout).toContain('parcel.here en_US: status changed: APPROVED → PAUSED');
    expect(stdout).toContain('the platform says: LOW_QUALITY');
    const list = await inside(workspace, ['template', 'list']);
    expect(list.stdout).toMatch(/parcel_here +en_US +registered \(PAUSED\)/);
  });

  it('tells words that differ, and takes them on request', async () => {
    await sandboxWith([PARCEL]);
    const file = (await pull('--json')).json.templates[0]!.file!;
    const text = await readFile(file, 'utf8');
    await template('parcel_here.en_US', text.replace('it comes', 'it will come'));
    const told = await pull();
    expect(told.stdout).toContain('differs from the file: body');
    expect(told.stderr).toContain('--overwrite');
    expect((await pull('--overwrite')).stdout).toContain('parcel.here en_US: overwritten (APPROVED)');
    expect((await pull('--json')).json.templates[0]).toMatchObject({ state: 'unchanged', differs: [] });
  });

  it('says so when there is nothing of that name', async () => {
    await sandboxWith([PARCEL]);
    const { status, error } = await pull('--name', 'delivery', '--json');
    expect([status, error?.code]).toEqual([2, 'TEMPLATE_UNKNOWN']);
  });

  it('needs a workspace', async () => {
    workspace = await testWorkspace();
    const { status, stderr } = await inside(workspace, ['template', 'pull', '--from', 'sandbox']);
    expect(status).toBe(2);
    expect(stderr).toContain('pagecast init');
  });

  it.each<[what: string, refuses: string, status: number, cause: string]>([
    ['a token that has expired', '190/463', 4, 'token'],
    ['a permission that is missing', '10', 4, 'permission'],
    ['a limit', '613', 7, 'rate_limit'],
    ['a restricted Page', '368', 6, 'restricted'],
  ])('ends as a run would: %s', async (_, refuses, status, cause) => {
    await sandboxWith([PARCEL], { page: { refuses } });
    const json = await pull('--json');
    expect([json.status, json.json.stop]).toMatchObject([status, { cause, error: { code: refuses } }]);
    const text = await pull();
    expect([text.status, text.stdout]).toEqual([status, '']);
    expect(text.stderr).toContain(`Stopped (${cause}): `);
  });

  it('ends as a run would: nobody listens', async () => {
    const sandbox = await sandboxWith([PARCEL]);
    await sandbox.close();
    const { status, json } = await pull('--json');
    expect([status, json.stop?.cause]).toEqual([7, 'network']);
    const pushed = await inside<Pushed>(workspace, ['template', 'push', 'order_shipped', '--from', 'acme', '--json']);
    expect([pushed.status, pushed.json]).toMatchObject([7, { ok: false, status: null, stop: { cause: 'network' } }]);
  });

  it('is not for accounts that have no templates', async () => {
    workspace = await testWorkspace(
      'accounts:\n  sms: { provider: twilio, channel: sms, id: "+15550001111", accountSid: env:SID, authToken: env:TOKEN }\n',
    );
    const env = { SID: `AC${'0'.repeat(32)}`, TOKEN: '0'.repeat(32) };
    const { status, error } = await inside(workspace, ['template', 'pull', '--from', 'sms', '--json'], env);
    expect([status, error?.code]).toEqual([2, 'PROVIDER_UNAVAILABLE']);
  });
});

const PENDING = `# Our own.
name: parcel_news
language: en_US
channels: [messenger]
registered: { name: parcel_news, status: PENDING, parameters: named }
header: News
body: 'Hi {{name}}, your parcel is on its way.'
variables:
  name: { example: Ann }
`;

describe('template push', () => {
  const push = (...more: string[]): ReturnType<typeof inside<Pushed>> =>
    inside<Pushed>(workspace, ['template', 'push', 'parcel_news', '--from', 'acme', ...more]);

  beforeEach(async () => {
    await sandboxWith([]);
  });

  const write = (text: string): Promise<string> => template('parcel_news.en_US', text);

  it('hands a template in, notes its status, and refuses to do so again', async () => {
    const file = await write(PENDING);
    const first = await push();
    expect([first.status, first.stdout]).toEqual([0, 'parcel_news (en_US) is APPROVED at acme.\n']);
    expect(await readFile(file, 'utf8')).toBe(PENDING.replace('PENDING', 'APPROVED'));
    expect((await pull('--json')).json.templates).toMatchObject([{ state: 'unchanged', template: 'parcel_news' }]);

    const again = await push('--json');
    expect([again.status, again.error?.code]).toEqual([2, 'TEMPLATE_EXISTS']);
  });

  it('shows what the platform would refuse, and does not ask it', async () => {
    const text = PENDING.replace("on its way.'", "from {{name}}'");
    const file = await write(text);
    const json = await push('--json');
    expect([json.status, json.json]).toMatchObject([3, { ok: false, status: null }]);
    expect(json.json.findings.map(({ code }) => code)).toEqual(['VARIABLE_AT_EDGE']);
    const { status, stdout, stderr } = await push();
    expect([status, stderr]).toEqual([3, 'parcel_news (en_US) was not handed in:\n']);
    expect(stdout).toContain('error: body: The body of a registered template may not end with a variable');
    expect(await readFile(file, 'utf8')).toBe(text);
    expect((await pull('--json')).json.templates).toMatchObject([{ state: 'absent' }]);
  });

  it('works with the embedded sandbox, which then has it', async () => {
    await write(PENDING);
    const sandbox = ['--from', 'sandbox', '--json'];
    const pushed = await inside<Pushed>(workspace, ['template', 'push', 'parcel_news', ...sandbox]);
    expect([pushed.status, pushed.json.status]).toEqual([0, 'APPROVED']);
    const pulled = await inside<Pulled>(workspace, ['template', 'pull', '--name', 'parcel_news', ...sandbox]);
    expect(pulled.json.templates).toMatchObject([{ state: 'unchanged', status: 'APPROVED' }]);
  });
});

describe('a template that the platform has no more', () => {
  const approved = PENDING.replace('PENDING', 'APPROVED');

  it('is written down as ABSENT, unless another Page of the workspace may have it', async () => {
    const { page, url } = await sandboxWith([]);
    const yaml = (name: string, id: string): string =>
      `  ${name}: { provider: graph, channel: messenger, id: "${id}", token: env:T, url: "${url}" }\n`;
    const one = `accounts:\n${yaml('acme', page.id)}`;
    const gone = (...more: string[]): ReturnType<typeof inside<Pulled>> =>
      inside<Pulled>(workspace, ['template', 'pull', '--from', 'acme', ...more], { T: page.token });
    const file = await template('parcel_news.en_US', approved);

    await workspace.write('pagecast.yaml', one);
    const dry = await gone('--dry-run');
    expect(dry.stdout).toContain('not at the platform (ABSENT)');
    expect(dry.stderr).toContain('without --dry-run 1 file would be');
    await workspace.write('pagecast.yaml', one + yaml('other', '555555555'));
    expect((await gone('--json')).json.templates).toMatchObject([{ state: 'absent', status: null }]);
    expect(await readFile(file, 'utf8')).toBe(approved);
    await workspace.write('pagecast.yaml', one + yaml('same', page.id));
    expect((await gone('--json')).json.templates).toMatchObject([{ state: 'absent', status: 'ABSENT' }]);
    expect(await readFile(file, 'utf8')).toBe(approved.replace('APPROVED', 'ABSENT'));
  });
});

describe('a template for people outside their window', () => {
  it('is shown and checked together with the one that names it', async () => {
    workspace = await testWorkspace('accounts: {}\n');
    const shown = await inside(workspace, ['template', 'show', 'delivery_news']);
    expect(shown.stdout).toContain('Outside the window: delivery_update, registered (APPROVED)');
    const session = 'name: a\nlanguage: en_US\nchannels: [messenger]\nbody: Hello\noutsideWindow: ';
    await template('a', `${session}delivery_update\n`);
    const check = await inside(workspace, ['template', 'check', 'a']);
    expect(check.status).toBe(3);
    expect(check.stdout).toContain(
      'delivery_update needs order_no, name, date, parcel, which this template does not use',
    );
    await template('a', `${session}nothing\n`);
    expect((await inside(workspace, ['template', 'check', 'a'])).stdout).toContain(
      'there is no template nothing in en_US',
    );
    expect((await inside(workspace, ['template', 'show', 'a'])).stdout).toContain('nothing, which does not exist');
  });
});

describe('the starters', () => {
  it.each(['delivery_update', 'order_shipped'])('are in the embedded sandbox as they are here: %s', async (name) => {
    workspace = await testWorkspace('accounts: {}\n');
    const args = ['template', 'pull', '--from', 'sandbox', '--name', name, '--json'];
    const unchanged = [{ state: 'unchanged', template: name, differs: [] }];
    expect((await inside<Pulled>(workspace, args)).json.templates).toMatchObject(unchanged);
    // No file of the workspace takes the place of one that says the same, with descriptions.
    const list = await inside<{ name: string; starter: boolean }[]>(workspace, ['template', 'list', '--json']);
    expect(list.json.find((one) => one.name === name)).toMatchObject({ starter: true });
  });

  it('show cards and media with buttons', async () => {
    workspace = await testWorkspace('accounts: {}\n');
    const cards = await inside(workspace, ['template', 'show', 'new_arrivals', '--var', 'second=Blue vase']);
    expect(cards.stdout.match(/╭/g)).toHaveLength(2);
    expect(cards.stdout).toContain('Blue vase');
    const video = await inside(workspace, ['template', 'show', 'video_of_the_week']);
    expect(video.stdout).toMatch(/\[video\][^╰]*facebook\.com[^╰]*\[ Book a place \]/);
  });
});

describe('a template for SMS', () => {
  it('is shown and checked with what it comes to', async () => {
    workspace = await testWorkspace('accounts: {}\n');
    await template('a', 'name: a\nlanguage: en_US\nchannels: [sms]\nbody: Hello 小明\n');
    const ucs2 = '1 SMS: 8 of 70 UCS-2 characters, because of "小" (U+5C0F).';
    const show = await inside(workspace, ['template', 'show', 'pickup_ready', '--lang', 'en_US']);
    expect(show.stdout).toContain('\n1 SMS: 80 of 160 GSM-7 characters.\n');
    expect((await inside(workspace, ['template', 'show', 'order_shipped'])).stdout).not.toContain('SMS');
    const check = await inside(workspace, ['template', 'check', 'a']);
    expect(check.stdout).toBe(`ok   a en_US\n     with the examples ${ucs2}\n`);
    const json = await inside<{ sms: unknown }>(workspace, ['template', 'show', 'a', '--json']);
    expect(json.json.sms).toEqual({ encoding: 'UCS-2', units: 8, segments: 1, offender: '小' });
  });
});
