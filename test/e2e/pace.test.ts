/** More than one process on one account: nobody receives twice, and the pace holds as the receiving end measures it. */
import { describe, expect, it } from 'vitest';
import type { Received } from '../../src/sandbox/journal.js';
import { pagecast, sandboxProcess, start, until, type SandboxProcess } from '../support/process.js';
import { orderSheet, testWorkspace, windowLog } from '../support/workspace.js';
import { SEND, Trial } from '../support/workspace-trial.js';

/** The pace of the account in these tests; the sandbox cuts the Page off above 40. */
const PACE = 35;

async function expectOrderly(sandbox: SandboxProcess, received: number): Promise<void> {
  const stats = await sandbox.stats();
  expect(stats.duplicates).toEqual([]);
  expect(stats.byCode).toEqual({});
  expect(stats.accepted).toBe(received);
  await expectPace(sandbox);
}

async function expectPace(sandbox: SandboxProcess): Promise<void> {
  const { maxPerSecond } = await sandbox.stats();
  const shown = maxPerSecond > PACE ? busiestSecond(await sandbox.received()) : '';
  expect(maxPerSecond, shown).toBeLessThanOrEqual(PACE);
}

/** When the messages of the busiest second arrived, in ms from the first of all, and from which campaign they came. */
function busiestSecond(messages: Received[]): string {
  const begins = messages.map((_, index) =>
    messages.filter((one, at) => at >= index && one.at < messages[index]!.at + 1000),
  );
  const busiest = begins.sort((one, other) => other.length - one.length)[0] ?? [];
  const campaigns = new Set(messages.map((one) => one.metadata?.split('/')[1]));
  return busiest
    .map(({ at, metadata }) => `${at - messages[0]!.at}:${[...campaigns].indexOf(metadata?.split('/')[1])}`)
    .join(' ');
}

describe('the pace of an account', () => {
  it('holds while two processes resume the same campaign at the same moment', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, `${PACE}/s`, 120);
    const first = trial.begin();
    await trial.underWay(first);
    first.kill('SIGINT');
    expect((await first.ended).status).toBe(130);

    const both = await Promise.all([trial.begin().ended, trial.begin().ended]);
    const [winner, loser] = both.sort((one, other) => one.status - other.status);
    expect(winner.status, winner.stderr).toBe(0);
    expect(loser.status, loser.stderr).toBe(7);
    expect(loser.stderr).toContain('ACCOUNT_BUSY');
    expect(loser.stderr).toContain('Another process is working for the account page.');

    await trial.judge(sandbox);
    expect(trial.ledger.campaign()?.rows).toEqual({ sent: 120 });
    await expectOrderly(sandbox, 120);
  });

  it('holds for two campaigns on one account: the second waits its turn', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, `${PACE}/s`, 90);
    const { workspace, ledger } = trial;
    await workspace.write('more.csv', orderSheet(60, 1000));
    await workspace.write('more-windows.csv', windowLog(60, 1000));
    await pagecast(workspace, ['window', 'import', 'more-windows.csv', '--account', 'page']);

    const first = trial.begin();
    await trial.underWay(first);
    const other = [...SEND.slice(0, -1), 'more.csv', '--accept-policy', '--confirm-count', '60'];
    const second = await pagecast(workspace, other);
    expect(second.status, second.stderr).toBe(7);
    expect(second.stderr).toContain('ACCOUNT_BUSY');
    const [waiting] = ledger.campaigns();
    expect(waiting).toMatchObject({ state: 'ready', rows: { queued: 60 } });
    expect(second.stderr).toContain(`pagecast campaign resume ${waiting!.id}`);

    // The next goes at it from the very moment on which the first is done.
    let status = 7;
    await until('the account is free', async () => {
      status = (await start(workspace, ['campaign', 'resume', waiting!.id]).ended).status;
      return status !== 7;
    });
    expect(status).toBe(0);
    expect((await first.ended).status).toBe(0);
    await expectOrderly(sandbox, 150);
  });

  it('holds from a killed run to the one that follows it', async () => {
    const sandbox = await sandboxProcess(await testWorkspace(), { faults: [{ kind: 'late', ms: 150, rate: 0.5 }] });
    const trial = await Trial.make(sandbox, `${PACE}/s`, 150);
    for (let kills = 0; kills < 2; kills += 1) {
      const running = trial.begin();
      const before = trial.ledger.tried();
      await until('a burst', () => trial.ledger.tried() > before + 30);
      running.kill('SIGKILL');
      await running.ended;
    }
    expect((await trial.begin().ended).status).toBe(8);
    await trial.judge(sandbox);
    const { duplicates, byCode } = await sandbox.stats();
    expect({ duplicates, byCode }).toEqual({ duplicates: [], byCode: {} });
    await expectPace(sandbox);
  });
});
