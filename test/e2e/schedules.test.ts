/** Timed sends, workers and keys, as processes on a real store. */
import { rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  pagecast,
  pagecastJson,
  pause,
  sandboxProcess,
  start,
  until,
  type CampaignJson,
  type Finished,
} from '../support/process.js';
import { inside } from '../support/process-inside.js';
import { accountsAt, orderSheet, personId, testWorkspace } from '../support/workspace.js';
import { SEND, Trial } from '../support/workspace-trial.js';

const CONSENT = (people: number) => ['--accept-policy', '--confirm-count', String(people)];

describe('a timed send', () => {
  it('waits for a worker, goes out once, and tells what it came to', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '35/s', 20);
    const at = new Date(Date.now() + 4000).toISOString();
    const made = await pagecastJson<CampaignJson>(trial.workspace, [...SEND, ...CONSENT(20), '--at', at]);
    expect(made).toMatchObject({ status: 0, json: { state: 'scheduled', queued: 20 } });
    const early = await pagecastJson(trial.workspace, ['run', '--once']);
    expect(early).toMatchObject({ status: 0, json: { campaigns: [], putOff: [] } });
    await until('its time has come', () => Date.now() > Date.parse(at));
    const both = await Promise.all([
      pagecastJson<{ campaigns: CampaignJson[] }>(trial.workspace, ['run', '--once']),
      pagecastJson<{ campaigns: CampaignJson[] }>(trial.workspace, ['run', '--once']),
    ]);
    const campaigns = both.flatMap((one) => one.json.campaigns);
    expect(campaigns).toMatchObject([{ campaign: made.json.campaign, state: 'finished', sent: 20 }]);
    expect(both.map((one) => one.status)).toContain(0);
    await trial.judge(sandbox);
  });

  it('that no worker was there for expires, and can be sent all the same', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '35/s', 3);
    const timing = ['--at', 'in 1s', '--expires-after', '1s'];
    const { json } = await pagecastJson<CampaignJson>(trial.workspace, [...SEND, ...CONSENT(3), ...timing]);
    // What was planned at the latest now has expired when these two seconds are over.
    await pause(2000);
    const pass = await pagecast(trial.workspace, ['run', '--once']);
    expect(pass.status).toBe(6);
    expect(pass.stderr).toContain('expired');
    expect(await sandbox.received()).toEqual([]);
    const retried = await pagecastJson(trial.workspace, [
      'campaign',
      'retry',
      json.campaign,
      '--skipped',
      ...CONSENT(3),
    ]);
    expect(retried).toMatchObject({ status: 0, json: { state: 'finished', sent: 3 } });
  });

  it.each([
    ['an unknown zone', ['--at', '2099-01-01 09:00', '--zone', 'Mars/Olympus'], 'ZONE_UNKNOWN'],
    ['a local time and no zone', ['--at', 'tomorrow 09:00'], 'ZONE_NEEDED'],
    ['a time that has passed', ['--at', '2020-01-01T09:00Z'], 'TIME_INVALID'],
    ['a cron that never comes', ['--every', '0 0 30 2 *', '--zone', 'UTC'], 'CRON_INVALID'],
    ['a cron without a zone', ['--every', '0 9 * * *'], 'ZONE_NEEDED'],
    ['a zone without a time', ['--zone', 'UTC'], 'USAGE'],
    ['a length of time that is none', ['--at', 'in 2h', '--expires-after', 'soon'], 'USAGE'],
    ['a time and a cron', ['--at', 'in 2h', '--every', '@daily', '--zone', 'UTC'], 'USAGE'],
  ])('with %s is refused, and nothing is kept', async (_, flags, code) => {
    const workspace = await testWorkspace(accountsAt({ page: 'http://127.0.0.1:9' }));
    await workspace.write('orders.csv', orderSheet(1));
    const { status, error } = await inside(workspace, [...SEND, ...CONSENT(1), ...flags, '--json']);
    expect({ status, code: error?.code }).toEqual({ status: 2, code });
    expect(error?.hint).not.toBe('');
    expect((await inside(workspace, ['campaign', 'list', '--json'])).json).toEqual([]);
  });
});

describe('a key', () => {
  it('makes two jobs at the same moment one campaign, and a job that is run again a report of it', async () => {
    const sandbox = await sandboxProcess(await testWorkspace(), { faults: [{ kind: 'late', ms: 50 }] });
    const trial = await Trial.make(sandbox, '35/s', 40);
    const job = () =>
      pagecastJson<CampaignJson>(trial.workspace, [...SEND, ...CONSENT(40), '--campaign-key', 'nightly 7']);
    const both = await Promise.all([job(), job(), job()]);
    for (const { status, stderr } of both) expect([0, 7], stderr).toContain(status);
    expect(both.filter((one) => one.status === 0).length).toBeGreaterThan(0);
    const again = await job();
    expect(again).toMatchObject({ status: 0, json: { state: 'finished', sent: 40 } });
    expect(trial.ledger.campaigns()).toHaveLength(1);
    await trial.judge(sandbox);
    expect(await sandbox.received()).toHaveLength(40);
  });

  it('is refused for another sheet, and shows both', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '35/s', 3);
    const key = ['--campaign-key', 'k'];
    await pagecast(trial.workspace, [...SEND, ...CONSENT(3), ...key]);
    await trial.workspace.write('orders.csv', orderSheet(2));
    const { status, error } = await pagecastJson(trial.workspace, [...SEND, ...CONSENT(2), ...key]);
    expect({ status, code: error?.code }).toEqual({ status: 2, code: 'KEY_USED' });
    expect(error?.message).toMatch(
      /The key k belongs to campaign c\S+: order_update \(en_US\) from page, recipients: .*orders\.csv/,
    );
    expect(await sandbox.received()).toHaveLength(3);
  });

  it('reports a timed campaign when its job is run again after its time', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '35/s', 3);
    const at = new Date(Date.now() + 3000).toISOString();
    const job = () => pagecastJson(trial.workspace, [...SEND, ...CONSENT(3), '--campaign-key', 'k', '--at', at]);
    expect(await job()).toMatchObject({ status: 0, json: { state: 'scheduled' } });
    await until('its time has come', () => Date.now() > Date.parse(at));
    // Nobody else was there to send it, so the job does.
    expect(await job()).toMatchObject({ status: 0, json: { state: 'finished', sent: 3 } });
    expect(await job()).toMatchObject({ status: 0, json: { state: 'finished', sent: 3 } });
    expect(await sandbox.received()).toHaveLength(3);
  });

  it('does not overrule somebody who has paused the campaign', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '35/s', 3);
    const job = () => pagecastJson(trial.workspace, [...SEND, ...CONSENT(3), '--campaign-key', 'k', '--at', 'in 1h']);
    await job();
    const { id } = trial.ledger.campaign()!;
    await pagecast(trial.workspace, ['campaign', 'pause', id]);
    expect(await job()).toMatchObject({ status: 6, json: { campaign: id, state: 'paused', queued: 3 } });
    expect((await pagecast(trial.workspace, ['campaign', 'resume', id])).status).toBe(0);
    expect(trial.ledger.campaign()).toMatchObject({ state: 'scheduled' });
    expect(await sandbox.received()).toEqual([]);
  });

  it('must say something', async () => {
    const workspace = await testWorkspace(accountsAt({ page: 'http://127.0.0.1:9' }));
    await workspace.write('orders.csv', orderSheet(1));
    const { status, error } = await inside(workspace, [...SEND, ...CONSENT(1), '--campaign-key', ' ', '--json']);
    expect({ status, code: error?.code }).toEqual({ status: 2, code: 'USAGE' });
  });

  it('goes on with what a killed job has left', async () => {
    const sandbox = await sandboxProcess(await testWorkspace());
    const trial = await Trial.make(sandbox, '20/s', 40);
    const args = [...SEND, ...CONSENT(40), '--pace', '20/s', '--campaign-key', 'k'];
    const first = start(trial.workspace, args);
    await trial.underWay(first);
    first.kill('SIGKILL');
    await first.ended;
    const { status, stderr } = await pagecast(trial.workspace, args);
    expect([0, 8], stderr).toContain(status);
    expect(trial.ledger.campaigns()).toHaveLength(1);
    await trial.judge(sandbox);
  });
});

describe('a worker', () => {
  const working = async (seed: Parameters<typeof sandboxProcess>[1], args: string[] = [], pace = '10/s') => {
    const sandbox = await sandboxProcess(await testWorkspace(), seed);
    const trial = await Trial.make(sandbox, pace, 30);
    const timed = await pagecast(trial.workspace, [...SEND, ...CONSENT(30), '--pace', pace, '--at', 'in 1s']);
    expect(timed.status, timed.stderr).toBe(0);
    const worker = start(trial.workspace, ['run', '--log-format', 'json', ...args]);
    await trial.underWay(worker);
    return { sandbox, trial, worker };
  };
  const events = ({ stderr }: Finished): string[] =>
    stderr
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: string }).event);

  it('that is told to stop leaves the campaign to the next one', async () => {
    const { sandbox, trial, worker } = await working({}, [], '20/s');
    worker.kill('SIGTERM');
    const ended = await worker.ended;
    expect(ended.status).toBe(0);
    expect(events(ended)).toEqual(expect.arrayContaining(['ready', 'campaign_started', 'stopping', 'campaign_ended']));
    expect(trial.ledger.campaign()).toMatchObject({ state: 'running' });
    expect((await pagecast(trial.workspace, ['run', '--once'])).status).toBe(0);
    await trial.judge(sandbox);
    expect(trial.ledger.campaign()?.rows).toEqual({ sent: 30 });
  });

  it('does not wait for ever for a platform that hangs', async () => {
    const { trial, worker } = await working({ faults: [{ kind: 'hang' }] }, ['--drain', '1s']);
    worker.kill('SIGTERM');
    expect((await worker.ended).status).toBe(7);
    expect(trial.started).toBeGreaterThan(0);
  });

  it('stops when the store is taken away, rather than write where nobody will ever read', async () => {
    const { sandbox, trial, worker } = await working({});
    const store = trial.workspace.path('.pagecast/pagecast.db');
    await rename(store, `${store}.away`);
    await until('the worker has noticed', () => worker.stderr().includes('STORE_UNREADABLE'), 15_000);
    const receivedThen = (await sandbox.received()).length;
    await pause(700);
    expect((await sandbox.received()).length).toBe(receivedThen);
    worker.kill('SIGTERM');
    await worker.ended;
  });

  it('is paused, resumed and cancelled by other processes', async () => {
    const { sandbox, trial, worker } = await working({});
    const { id } = trial.ledger.campaign()!;
    const paused = await pagecast(trial.workspace, ['campaign', 'pause', id]);
    expect(paused.stderr).toContain(`Pausing ${id}`);
    await pause(1000);
    const then = (await sandbox.received()).length;
    await pause(600);
    expect((await sandbox.received()).length).toBe(then);
    expect(then).toBeLessThan(30);
    const cancelled = await pagecast(trial.workspace, ['campaign', 'cancel', id]);
    expect(cancelled.stderr).toMatch(new RegExp(`Cancelling ${id}: \\d+ messages? will not be sent`));
    expect((await pagecast(trial.workspace, ['campaign', 'resume', id])).status).toBe(2);
    expect(trial.ledger.campaign()).toMatchObject({ state: 'cancelled', total: 30 });
    expect((await sandbox.received()).map((one) => one.user)).not.toContain(personId(29));
    worker.kill('SIGTERM');
    expect((await worker.ended).status).toBe(0);
  });
});
