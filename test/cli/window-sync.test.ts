/** `window sync` through the whole program: against a sandbox, and against a platform with a script. */
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startSandbox } from '../../src/sandbox/server.js';
import type { SeedInput } from '../../src/sandbox/seed.js';
import { inside } from '../support/process-inside.js';
import { machineClock, ReplyServer, type CannedReply } from '../support/provider-contract.js';
import { seededRandom } from '../support/sandbox-harness.js';
import { accountsAt, personId, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const PAGE = '102938475601928';
const MINUTE = 60_000;
const begun = Date.now();

interface Synced {
  account: string;
  conversations: number;
  inside: number;
  closed: number;
  hidden: number;
  moved: number;
  pages: number;
  calls: number;
  resumed: boolean;
  anew: string | null;
  readUntil: number | null;
  end: string;
  stop: { cause: string; error: { code: string; message: string } } | null;
}

const sync = (workspace: TestWorkspace, ...more: string[]): ReturnType<typeof inside<Synced>> =>
  inside<Synced>(workspace, ['window', 'sync', '--account', 'acme', ...more]);

describe('against a sandbox', () => {
  /** A workspace whose account is a sandbox's. */
  async function beside(seed: SeedInput): Promise<TestWorkspace> {
    const sandbox = await startSandbox({ seed, clock: machineClock, random: seededRandom(1) });
    onTestFinished(() => sandbox.close());
    return testWorkspace(accountsAt({ acme: sandbox.url }));
  }

  it('opens the windows of those who wrote, and the next sync has nothing to do', async () => {
    const workspace = await beside({
      users: [
        { id: personId(0), opened_at: '-1h' },
        { id: personId(1), opened_at: '-23h' },
        { id: personId(2), opened_at: '-2d' },
        { id: personId(3) },
      ],
    });
    const first = await sync(workspace);
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining('Only messages are seen this way')]);
    expect(first.stdout).toMatch(/^3 conversations of acme read \(\d calls?\), \d windows opened or moved forward\.\n/);
    expect(first.stdout).toContain('Of these people, 2 wrote within the last 24 hours and 1 did not.\n');
    expect((await sync(workspace)).stdout).toBe('Nothing new in the conversations of acme (1 call).\n');

    const again = await sync(workspace, '--json');
    expect([again.status, again.stderr]).toEqual([0, '']);
    expect(again.json).toMatchObject({
      ...{ account: 'acme', conversations: 0, inside: 0, closed: 0, hidden: 0, moved: 0, pages: 1 },
      ...{ resumed: false, anew: null, readUntil: expect.any(Number) as number, end: 'finished', stop: null },
    });
    const state = async (index: number): Promise<unknown> =>
      (await inside(workspace, ['window', 'show', personId(index), '--account', 'acme', '--json'])).json;
    expect(await state(1)).toMatchObject({ state: 'open', openers: [{ opener: 'message' }] });
    expect(await state(3)).toMatchObject({ state: 'unknown' });
  });

  it('is refused the token as a run is', async () => {
    const workspace = await beside({ page: { refuses: '190/463' } });
    const { status, json } = await sync(workspace, '--json');
    expect(status).toBe(4);
    expect(json).toMatchObject({
      end: 'stopped',
      stop: { cause: 'token', error: { code: '190/463' } },
      readUntil: null,
    });
    const { stdout, stderr } = await sync(workspace);
    expect(stdout).toMatch(/^0 conversations of acme/);
    expect(stderr).toContain('Ended early (token): error 190/463');
    expect(stderr).toContain('Go on with: pagecast window sync --account acme');
  });
});

describe('against a platform with a script', () => {
  let workspace: TestWorkspace;
  let platform: ReplyServer;

  beforeEach(async () => {
    platform = await ReplyServer.start();
    onTestFinished(() => platform.close());
    workspace = await testWorkspace(accountsAt({ acme: platform.url }));
  });

  /** A page with one conversation, in which one person wrote so many minutes ago. */
  function page(person: number, minutesAgo: number, next?: string): CannedReply {
    const at = new Date(begun - minutesAgo * MINUTE).toISOString().replace(/\.\d+Z$/, '+0000');
    const from = { id: personId(person) };
    const listed = {
      id: `t_${person}`,
      updated_time: at,
      participants: { data: [from, { id: PAGE }] },
      messages: { data: [{ id: `m_${person}`, created_time: at, from }] },
    };
    const paging = next === undefined ? {} : { cursors: { after: next }, next: 'https://elsewhere.example/' };
    return { body: { data: [listed], paging } };
  }

  /** A reply that is made while somebody presses Ctrl-C. */
  const atCtrlC = ({ body = '' }: CannedReply): CannedReply => ({
    get body() {
      process.emit('SIGINT', 'SIGINT');
      return body;
    },
  });

  const places = (): (string | null)[] =>
    platform.seen.map(({ path }) => new URL(path, platform.url).searchParams.get('after'));

  it('keeps what was read at Ctrl-C, says how to go on, and goes on there', async () => {
    platform.replies.push(page(0, 60, 'second'), atCtrlC(page(1, 90, 'third')));
    const { status, stdout, stderr } = await sync(workspace);
    expect(status).toBe(130);
    expect(stdout).toMatch(/^2 conversations of acme read \(2 calls\), 2 windows opened/);
    expect(stderr).toContain('Stopping after this page.');
    expect(stderr).toContain('What was read is kept. Go on with: pagecast window sync --account acme');

    platform.replies.push(page(2, 120), page(0, 60));
    const rest = await sync(workspace, '--json');
    expect([rest.status, rest.json]).toMatchObject([0, { end: 'finished', resumed: true, conversations: 1, moved: 1 }]);
    expect(places()).toEqual([null, 'second', 'third', null]);
  });

  it('begins at the top with --restart, or when the platform has forgotten the place', async () => {
    const gone = { status: 400, body: { error: { message: 'Invalid cursor', code: 100 } } };
    const refused = { status: 400, body: { error: { message: 'expired', code: 190 } } };
    platform.replies.push(page(0, 60, 'second'), refused);
    expect((await sync(workspace)).status).toBe(4);
    platform.replies.push(gone, page(0, 60));
    const { status, stderr } = await sync(workspace);
    expect([status, stderr]).toEqual([0, expect.stringContaining('no longer knew the place')]);

    platform.replies.push(page(0, 60, 'second'), page(1, 600), page(0, 60));
    const again = await sync(workspace, '--restart', '--json');
    expect([again.status, again.json]).toMatchObject([0, { conversations: 2, moved: 1, resumed: false, anew: null }]);
    expect(places()).toEqual([null, 'second', 'second', null, null, 'second', null]);
  });

  it('tells nobody about anybody', async () => {
    const words = `${personId(0)} has no conversation`;
    platform.replies.push({ status: 400, body: { error: { message: words, code: 200 } } });
    const { status, stdout, stderr } = await sync(workspace);
    expect(status).toBe(4);
    expect(stdout + stderr).not.toContain(personId(0));
    expect(stderr).toContain('Ended early (permission): error 200:');
  });
});
