/** `campaign watch` on a real ledger, with a clock of its own: what it shows, when it looks, and how it ends. */
import { Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { watchCampaign, type WatchWorld } from '../../src/cli/commands/campaign-watch.js';
import { Terminal } from '../../src/cli/terminal.js';
import { STOP_STATUS, type StopCause } from '../../src/core/delivery.js';
import type { Settlement, StagedRow } from '../../src/ports.js';
import { FakeClock } from '../support/fake-clock.js';
import { failure } from '../support/fake-provider.js';
import {
  accountKey,
  failureOf,
  HOUR,
  MINUTE,
  NOW,
  openLedger,
  readyCampaign,
  rows,
  starting,
} from '../support/fixtures.js';
import { inside } from '../support/process-inside.js';
import { testWorkspace } from '../support/workspace.js';

/** A terminal whose two streams are kept. */
function screen(
  kind: 'pipe' | 'tty' | 'json',
  columns = 80,
): { terminal: Terminal; out: () => string; err: () => string } {
  const sink = (): { stream: Writable & { isTTY?: boolean; columns?: number }; text: () => string } => {
    let text = '';
    const stream = new Writable({
      write: (chunk: Buffer, _, done) => {
        text += chunk.toString();
        done();
      },
    });
    return { stream: kind === 'tty' ? Object.assign(stream, { isTTY: true, columns }) : stream, text: () => text };
  };
  const [out, err] = [sink(), sink()];
  const stdin = Readable.from([]);
  const streams = { stdin, stdout: out.stream, stderr: err.stream, env: { NO_COLOR: '1' } };
  return { terminal: new Terminal(streams, kind === 'json'), out: out.text, err: err.text };
}

/** What a screen shows after everything that was written to it; of the sequences it knows those that the block uses. */
function shown(written: string): string[] {
  const lines = [''];
  // eslint-disable-next-line no-control-regex -- the sequences that move the cursor
  for (const part of written.split(/(\u001b\[\d+[AJ]|\r|\n)/)) {
    const up = /\[(\d+)A/.exec(part);
    if (up) lines.splice(lines.length - 1 - Number(up[1]), Infinity, '');
    else if (part === '\n') lines.push('');
    else if (part !== '\r' && !part.startsWith('\u001b')) lines.push((lines.pop() ?? '') + part);
  }
  return lines;
}

interface Scene extends WatchWorld {
  out: () => string;
  err: () => string;
  watch: (everyMs?: number, signal?: AbortSignal) => Promise<number>;
  /** Lets somebody send the campaign, from this instant on: so many rows at each of the seconds after it. */
  sends: (from: number, each: readonly number[], end?: 'finished' | StopCause | 'gone') => void;
  ledger: ReturnType<typeof openLedger>;
  clock: FakeClock;
}

async function scene(
  people: number,
  kind: Parameters<typeof screen>[0] = 'pipe',
  timing: { sendAt: number; expiresAt: number; zone: string } | null = null,
  staged: StagedRow[] = rows(people),
): Promise<Scene> {
  const ledger = openLedger();
  const { store, engine } = ledger;
  const clock = new FakeClock(NOW);
  await readyCampaign(store, staged, { timing });
  const { terminal, out, err } = screen(kind);
  const watch: Scene['watch'] = (everyMs = 1000, signal = new AbortController().signal) =>
    watchCampaign({ store, clock, terminal }, 'c1', { everyMs, signal });
  const sends: Scene['sends'] = (from, each, end = 'finished') => {
    let next = 1;
    const settle = async (count: number): Promise<void> => {
      const lease = (await engine.own(accountKey, clock.now()))!;
      await store.start(lease, 'c1', clock.now());
      const seqs = Array.from({ length: count }, (_, index) => next + index);
      next += count;
      await store.record(lease, 'c1', { settled: [], skipped: [], started: starting(...seqs) }, clock.now());
      const settled = seqs.map((seq): Settlement => ({ seq, state: 'sent', messageId: `m${seq}` }));
      await store.record(lease, 'c1', { settled, skipped: [], started: [] }, clock.now());
      await engine.release(lease, 0, 0);
    };
    each.forEach((count, second) => clock.at(from + second * 1000, () => settle(count)));
    if (end === 'gone') return;
    clock.at(from + (each.length - 1) * 1000 + 1, async () => {
      const lease = (await engine.own(accountKey, clock.now()))!;
      const stop = { cause: end as StopCause, error: failure('190'), at: clock.now() };
      await store.conclude(lease, 'c1', end === 'finished' ? { state: end } : { state: 'stopped', stop }, clock.now());
      await engine.release(lease, 0, 0);
    });
  };
  return { ledger, store, clock, terminal, out, err, watch, sends };
}

/** The lines without their times. */
function told(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ {2}/, ''));
}

describe('in a pipe', () => {
  it('there is a line for each change, with rate and time left, until the campaign has ended', async () => {
    const { watch, sends, out, err } = await scene(100);
    sends(NOW + 2500, [10, 20, 20, 50]);
    expect(await watch()).toBe(0);
    expect(told(out())).toEqual([
      'c1 is ready: 100 queued, 0 sent of 100',
      'c1 is running: 90 queued, 10 sent of 100',
      'c1 is running: 70 queued, 30 sent of 100, 20.0/s, 4 s left',
      'c1 is running: 50 queued, 50 sent of 100, 20.0/s, 3 s left',
      'c1 is finished: 100 sent of 100',
    ]);
    expect(err()).toBe('');
  });

  it('nothing is said while nothing changes, and changes are told at most so often', async () => {
    const { watch, sends, out, clock } = await scene(100);
    sends(
      NOW + 500,
      Array.from({ length: 50 }, () => 2),
    );
    expect(await watch(20_000)).toBe(0);
    expect(told(out()).map((line) => line.replace(/,.*/, ''))).toEqual([
      'c1 is ready: 100 queued',
      'c1 is running: 60 queued',
      'c1 is running: 20 queued',
      'c1 is finished: 100 sent of 100',
    ]);
    expect(clock.now()).toBe(NOW + 60_000);
  });

  it('a campaign that waits says when it starts, and that nobody starts it', async () => {
    const sendAt = NOW + 2 * HOUR;
    const { watch, sends, out, err } = await scene(4, 'pipe', { sendAt, expiresAt: sendAt + HOUR, zone: 'UTC' });
    sends(sendAt + MINUTE + 500, [4]);
    expect(await watch()).toBe(0);
    const [first, ...others] = told(out());
    expect(first).toMatch(/^c1 is scheduled: 4 queued, 0 sent of 4, starts in 2 h 00 min, \d{4}-/);
    expect(others).toEqual(['c1 is finished: 4 sent of 4']);
    expect(told(err())).toEqual(['Its time was 21 s ago. A worker must be running to send it: pagecast run']);
  });

  it('one that could not start in time says so', async () => {
    const { watch, clock, err, ledger } = await scene(4, 'pipe', { sendAt: NOW, expiresAt: NOW + 5000, zone: 'UTC' });
    clock.at(NOW + MINUTE, async () => {
      const lease = (await ledger.engine.own(accountKey, clock.now()))!;
      await ledger.store.expire(lease, 'c1', clock.now());
    });
    expect(await watch()).toBe(6);
    expect(err()).toContain('will not be sent any more');
  });

  it('a run that is gone is told once, with the way on, and so is one that comes back', async () => {
    const { watch, sends, err, clock, ledger, out } = await scene(100);
    sends(NOW, [10, 10], 'gone');
    clock.at(NOW + 5 * MINUTE, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    expect(await watch()).toBe(6);
    expect(told(err())).toEqual([expect.stringMatching(/^Nothing has changed for 2\d s\..*campaign resume c1$/)]);
    expect(told(out()).at(-1)).toBe('c1 is cancelled: 20 sent, 80 skipped of 100');
  });

  it('a slow pace is no silence', async () => {
    const ledger = openLedger();
    const clock = new FakeClock(NOW);
    await readyCampaign(ledger.store, rows(2), { pace: 1 / 60 });
    const { terminal, err } = screen('pipe');
    clock.at(NOW + 2 * MINUTE, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    const signal = new AbortController().signal;
    await watchCampaign({ store: ledger.store, clock, terminal }, 'c1', { everyMs: 1000, signal });
    expect(err()).toBe('');
  });

  it('a campaign that was paused says how to go on', async () => {
    const { watch, ledger, clock, err } = await scene(4);
    await ledger.store.pause('c1', NOW);
    clock.at(NOW + MINUTE, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    expect(await watch()).toBe(6);
    expect(told(err())).toEqual(['It is paused. Go on with: pagecast campaign resume c1']);
  });

  it.each(['token', 'restricted', 'rate_limit'] as const)(
    'a stop for %s ends it with the status of the stop',
    async (cause) => {
      const { watch, sends, err } = await scene(4);
      sends(NOW, [1], cause);
      expect(await watch()).toBe(STOP_STATUS[cause]);
      expect(err()).toContain('pagecast campaign report c1');
    },
  );

  it('Ctrl-C ends only the watching', async () => {
    const { watch, clock, ledger, err } = await scene(4);
    const ctrlC = new AbortController();
    clock.at(NOW + 1500, () => ctrlC.abort());
    const before = await ledger.store.campaign('c1');
    expect(await watch(MINUTE, ctrlC.signal)).toBe(130);
    expect(clock.now()).toBe(NOW + 1500);
    expect(await ledger.store.campaign('c1')).toEqual(before);
    expect(err()).toContain('Stopped watching');
  });
});

describe('the ledger', () => {
  it('is looked at less often, the longer a look takes', async () => {
    const { store, clock, terminal, ledger } = await scene(4);
    const looks: number[] = [];
    const slow: WatchWorld['store'] = {
      campaign: (id) => store.campaign(id),
      summary: (id) => {
        looks.push(clock.now());
        clock.advance(700);
        return store.summary(id);
      },
    };
    clock.at(NOW + MINUTE, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    const signal = new AbortController().signal;
    await watchCampaign({ store: slow, clock, terminal }, 'c1', { everyMs: 1000, signal });
    const gaps = looks.slice(1).map((at, index) => at - looks[index]!);
    expect(gaps.length).toBeGreaterThan(5);
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(7000);
  });
});

describe('with --json', () => {
  it('each change is one document on one line', async () => {
    const { watch, sends, out, err } = await scene(40, 'json');
    sends(NOW + 500, [10, 10, 20]);
    expect(await watch()).toBe(0);
    const documents = told(out()).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents.map(({ state, sent, perSecond, secondsLeft }) => [state, sent, perSecond, secondsLeft])).toEqual([
      ['ready', 0, null, null],
      ['running', 10, null, null],
      ['running', 20, 10, 2],
      ['finished', 40, null, null],
    ]);
    expect(documents[0]).toMatchObject({ at: '2026-11-21T12:00:00.000Z', campaign: 'c1', total: 40, quietSeconds: 0 });
    expect(err()).toBe('');
  });

  it('silence is a change, and a pace without limit is a word', async () => {
    const ledger = openLedger();
    const clock = new FakeClock(NOW);
    await readyCampaign(ledger.store, rows(2), { pace: Infinity });
    const { terminal, out } = screen('json');
    clock.at(NOW + MINUTE, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    const signal = new AbortController().signal;
    await watchCampaign({ store: ledger.store, clock, terminal }, 'c1', { everyMs: 1000, signal });
    const documents = told(out()).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents.map(({ state, quietSeconds, pace }) => [state, quietSeconds, pace])).toEqual([
      ['ready', 0, 'unlimited'],
      ['ready', 20, 'unlimited'],
      ['cancelled', 0, 'unlimited'],
    ]);
  });
});

describe('on a terminal', () => {
  it('one block is drawn in place, and the end goes to stdout', async () => {
    const { watch, sends, clock, out, err } = await scene(100, 'tty');
    sends(NOW + 500, [10, 20, 70]);
    let block: string[] = [];
    clock.at(NOW + 2200, () => {
      block = shown(err());
    });
    expect(await watch()).toBe(0);
    expect(block).toEqual([
      'c1 is running: order_update (en_US) from acme-page',
      `${'█'.repeat(16)}${'░'.repeat(38)}  30 %`,
      '70 queued, 30 sent of 100, 20.0/s, 4 s left',
      '',
    ]);
    expect(shown(err())).toEqual(['']);
    expect(out()).toBe('c1 is finished: 100 sent of 100.\n');
  });

  it('the bar is full only at the end', async () => {
    const { watch, sends, clock, err } = await scene(1000, 'tty');
    sends(NOW + 500, [999], 'gone');
    const ctrlC = new AbortController();
    clock.at(NOW + 1500, () => ctrlC.abort());
    expect(await watch(1000, ctrlC.signal)).toBe(130);
    expect(shown(err())[1]).toBe(`${'█'.repeat(53)}░  99 %`);
  });

  it('the block counts down to its start', async () => {
    const timing = { sendAt: NOW + 90_000, expiresAt: NOW + HOUR, zone: 'UTC' };
    const { watch, clock, err } = await scene(4, 'tty', timing);
    const ctrlC = new AbortController();
    clock.at(NOW + 30_500, () => ctrlC.abort());
    await watch(1000, ctrlC.signal);
    expect(shown(err())[2]).toMatch(/^4 queued, 0 sent of 4, starts in 1 min 00 s, 20/);
  });

  it('no line is wider than the terminal, so that none is left behind', async () => {
    const ledger = openLedger();
    const clock = new FakeClock(NOW);
    await readyCampaign(ledger.store, rows(100), { accountName: '一'.repeat(60) });
    const { terminal, err } = screen('tty', 30);
    clock.at(NOW + 30_000, () => ledger.store.cancel('c1', clock.now()).then(() => undefined));
    const signal = new AbortController().signal;
    let block: string[] = [];
    clock.at(NOW + 29_500, () => {
      block = shown(err());
    });
    await watchCampaign({ store: ledger.store, clock, terminal }, 'c1', { everyMs: 1000, signal });
    expect(block.length).toBeGreaterThan(6);
    const { default: stringWidth } = await import('string-width');
    for (const line of block) expect(stringWidth(line)).toBeLessThan(30);
    expect(shown(err())).toEqual(['']);
  });
});

describe('the command', () => {
  it('knows its campaign and its interval', async () => {
    const workspace = await testWorkspace('accounts: {}\n');
    expect((await inside(workspace, ['campaign', 'watch', 'c9', '--json'])).error).toMatchObject({
      code: 'CAMPAIGN_UNKNOWN',
    });
    const { status, error } = await inside(workspace, ['campaign', 'watch', 'c9', '--every', 'often', '--json']);
    expect([status, error?.code]).toEqual([2, 'USAGE']);
  });

  it('fails for a campaign that is not there', async () => {
    const { store, clock, terminal } = await scene(1);
    const signal = new AbortController().signal;
    expect(await failureOf(watchCampaign({ store, clock, terminal }, 'c9', { everyMs: 1000, signal }))).toBe(
      'CAMPAIGN_UNKNOWN',
    );
  });
});
