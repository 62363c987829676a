/**
 * Listening end to end: the sandbox posts signed webhooks to `pagecast listen`, beside campaigns that are sent, killed and
 * resumed by other processes on the same store. The sandbox is the judge of who received what, and when.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  listener,
  listeningWorkspace,
  post,
  relay,
  signedMessage,
  tellTo,
  type Listener,
} from '../support/listener.js';
import {
  pagecast,
  pagecastJson,
  pause,
  sandboxProcess,
  start,
  until,
  type CampaignJson,
  type SandboxProcess,
} from '../support/process.js';
import { seededRandom } from '../support/sandbox-harness.js';
import { Ledger } from '../support/workspace-ledger.js';
import { orderSheet, personId, testWorkspace, windowLog, type TestWorkspace } from '../support/workspace.js';

const HOURS = `type: auto-reply
trigger: { keyword: [hours] }
from: page
text: We are open until six.
`;
const REPLY = 'We are open until six.';
const CONFIRMATION = 'You will get no more messages from us. To get them again, write START.';
const SEND = ['send', '--template', 'order_update', '--lang', 'en_US', '--from', 'page', '--sheet', 'orders.csv'];
/** A reply should take a second; the machine may have other things to do. */
const REPLY_MS = 2000;
/** States of a row of which it is not known yet what became of it. */
const WAITS = ['queued', 'started'];

interface Shown {
  state: string;
  opener: string | null;
  optedOutAt: string | null;
}

async function shown(workspace: TestWorkspace, user: string): Promise<Shown> {
  return (await pagecastJson<Shown>(workspace, ['window', 'show', user, '--account', 'page'])).json;
}

async function textsTo(sandbox: SandboxProcess, user: string): Promise<(string | null)[]> {
  return (await sandbox.received()).filter((one) => one.user === user).map(({ text }) => text);
}

/** Writes a sheet for so many people, all of whom wrote an hour ago except the last ones. */
async function withPeople(workspace: TestWorkspace, people: number, strangers = 0): Promise<void> {
  await workspace.write('orders.csv', orderSheet(people));
  await workspace.write('windows.csv', windowLog(people - strangers));
  const { status, stderr } = await pagecast(workspace, ['window', 'import', 'windows.csv', '--account', 'page']);
  expect(status, stderr).toBe(0);
}

describe('a listener', () => {
  it('opens windows, answers within a second, and heeds those who opt out', async () => {
    const sandbox = await sandboxProcess(await testWorkspace(), { unseeded: 'unknown', users: [{ id: personId(0) }] });
    const workspace = await listeningWorkspace(sandbox, { hours: HOURS }, '35/s');
    const listening = await listener(workspace);
    await tellTo(sandbox, listening.webhook, { duplicate: true });
    const user = personId(0);
    expect(await shown(workspace, user)).toMatchObject({ state: 'unknown' });

    const askedAt = Date.now();
    await sandbox.change('users', { id: user, text: 'Hours?' });
    await until('the reply', async () => (await sandbox.received()).length > 0);
    const [reply] = await sandbox.received();
    expect(reply).toMatchObject({ user, text: REPLY });
    expect(reply!.at - askedAt).toBeLessThan(REPLY_MS);
    expect(await shown(workspace, user)).toMatchObject({ state: 'open', opener: 'message', optedOutAt: null });

    await sandbox.change('users', { id: user, text: 'STOP' });
    await until('the confirmation', async () => (await textsTo(sandbox, user)).length > 1);
    expect((await shown(workspace, user)).optedOutAt).not.toBeNull();
    // What they ask for themselves is answered all the same.
    await sandbox.change('users', { id: user, text: 'hours' });
    await until('another reply', async () => (await textsTo(sandbox, user)).length > 2);
    listening.kill('SIGTERM');
    expect((await listening.ended).status).toBe(0);
    expect(await textsTo(sandbox, user)).toEqual([REPLY, CONFIRMATION, REPLY]);
    // Neither what they wrote nor whole ids.
    expect(listening.stderr()).not.toMatch(new RegExp(`${user}|Hours\\?|STOP`));
  });

  it('has a campaign reach who writes in time, leave out who opts out, and wait for a reply', async () => {
    const PEOPLE = 32;
    const [asking, leaving] = [personId(0), personId(1)];
    const [quitting, missing, late] = [personId(PEOPLE - 3), personId(PEOPLE - 2), personId(PEOPLE - 1)];
    const sandbox = await sandboxProcess(await testWorkspace());
    const workspace = await listeningWorkspace(sandbox, { hours: HOURS }, '10/s');
    // The last two have not written.
    await withPeople(workspace, PEOPLE, 2);
    const listening = await listener(workspace);
    await tellTo(sandbox, listening.webhook);

    const consent = ['--accept-policy', '--confirm-count', String(PEOPLE), '--at', 'in 4 seconds', '--zone', 'UTC'];
    const planned = await pagecastJson<CampaignJson>(workspace, [...SEND, ...consent]);
    expect(planned.status, planned.stderr).toBe(0);
    expect(planned.json.state).toBe('scheduled');
    await sandbox.change('users', {
      users: [
        { id: late, text: 'Hello?' },
        { id: leaving, text: 'stop' },
      ],
    });
    await until('both are heard', async () => {
      const [one, other] = await Promise.all([shown(workspace, late), shown(workspace, leaving)]);
      return one.state === 'open' && other.optedOutAt !== null;
    });

    const worker = start(workspace, ['run']);
    await until('the campaign is under way', async () => (await sandbox.stats()).accepted > 5);
    const askedAt = Date.now();
    await sandbox.change('users', {
      users: [
        { id: asking, text: 'hours' },
        { id: quitting, text: 'Unsubscribe' },
      ],
    });
    const replyTo = async (): Promise<{ at: number } | undefined> =>
      (await sandbox.received()).find(({ text }) => text === REPLY);
    await until('the reply', async () => (await replyTo()) !== undefined);
    expect((await replyTo())!.at - askedAt).toBeLessThan(REPLY_MS);

    const ledger = new Ledger(workspace);
    const bulk = (): string | undefined => ledger.campaigns().find(({ id }) => id === planned.json.campaign)?.state;
    await until('the campaign is finished', () => bulk() === 'finished');
    ledger.close();
    worker.kill('SIGTERM');
    expect((await worker.ended).status).toBe(0);
    const { json } = await pagecastJson<CampaignJson & { skip: object; changed: object }>(workspace, [
      ...['campaign', 'show', planned.json.campaign],
    ]);
    expect(json).toMatchObject({ sent: PEOPLE - 3, skipped: 3, failed: 0, unknown: 0 });
    expect(json.skip).toEqual({ opted_out: 2, window_unknown: 1 });
    // The reply did not wait for the end of the campaign.
    expect((await sandbox.received()).at(-1)?.text).not.toBe(REPLY);
    for (const user of [leaving, quitting]) expect(await textsTo(sandbox, user)).toEqual([CONFIRMATION]);
    expect(await textsTo(sandbox, late)).toHaveLength(1);
    expect(await textsTo(sandbox, missing)).toEqual([]);
    const { duplicates, maxPerSecond } = await sandbox.stats();
    // The campaign and the reply, which shared one pace.
    expect(duplicates).toMatchObject([{ user: asking, messages: 2, sameMetadata: 0 }]);
    expect(maxPerSecond).toBeLessThanOrEqual(10);
  });

  it('settles by echoes what a run left unknown that was killed', async () => {
    const PEOPLE = 40;
    const sandbox = await sandboxProcess(await testWorkspace(), { faults: [{ kind: 'late', ms: 400 }] });
    const workspace = await listeningWorkspace(sandbox, {}, '30/s');
    await withPeople(workspace, PEOPLE);
    const between = await relay(workspace);
    await tellTo(sandbox, between.url);
    const run = start(workspace, [...SEND, '--accept-policy', '--confirm-count', String(PEOPLE)]);
    await until('messages are under way', async () => (await sandbox.stats()).accepted > 10);
    run.kill('SIGKILL');
    await run.ended;
    const ledger = new Ledger(workspace);
    const { id } = ledger.campaign()!;
    const resumed = await pagecastJson<CampaignJson>(workspace, ['campaign', 'resume', id]);
    expect(resumed.status, resumed.stderr).toBe(8);
    expect(resumed.json).toMatchObject({ state: 'finished', sent: PEOPLE - resumed.json.unknown });
    const received = new Map((await sandbox.received()).map(({ user, mid }) => [user, mid]));
    const lost = ledger.rows(id).filter(({ state, user }) => state === 'unknown' && received.has(user));
    // Otherwise there would be nothing to settle.
    expect(lost.length).toBeGreaterThan(0);

    const listening = await listener(workspace);
    await between.passTo(listening.webhook);
    const sent = (): (readonly [string, string | null])[] =>
      ledger.rows(id).flatMap(({ user, state, messageId }) => (state === 'sent' ? [[user, messageId] as const] : []));
    await until('the echoes are heard', () => sent().length === received.size);
    expect(new Map(sent())).toEqual(received);
    ledger.close();
    expect((await sandbox.stats()).duplicateUsers).toBe(0);
  });
});

describe('listeners', () => {
  it('that are killed lose nothing that they answered with 200, and answer nobody twice', async () => {
    const KILLS = 5;
    const seed = Number(process.env['PAGECAST_LISTEN_SEED'] ?? randomInt(1_000_000_000));
    const random = seededRandom(seed);
    const sandbox = await sandboxProcess(await testWorkspace(), { limits: { perSecond: null } });
    const workspace = await listeningWorkspace(sandbox, { hours: HOURS });
    let current: Listener = await listener(workspace);
    const { port, webhook } = current;
    const accepted = new Set<string>();
    let next = 0;
    let over = false;
    const flood = async (): Promise<void> => {
      while (!over) {
        const user = personId(next);
        next += 1;
        if ((await post(webhook, signedMessage(user, 'hours', Date.now()))) === 200) accepted.add(user);
        await pause(10);
      }
    };
    const floods = Array.from({ length: 4 }, flood);
    const moreTaken = (count: number): Promise<void> => {
      const before = accepted.size;
      return until('some more were taken', () => accepted.size >= before + count);
    };
    try {
      for (let kills = 0; kills < KILLS; kills += 1) {
        await moreTaken(40);
        await pause(random.next() * 100);
        current.kill('SIGKILL');
        await current.ended;
        current = await listener(workspace, port);
      }
      await moreTaken(1);
      over = true;
      await Promise.all(floods);
      const ledger = new Ledger(workspace);
      const settled = (): Map<string, string> =>
        new Map(ledger.singles().flatMap(({ user, state }) => (WAITS.includes(state) ? [] : [[user, state]])));
      await until('everybody has been answered', () => {
        const done = settled();
        return [...accepted].every((user) => done.has(user));
      });
      const states = new Set(settled().values());
      // What was under way at a kill is unknown, and nobody sends it again.
      expect([...states].filter((state) => state !== 'sent' && state !== 'unknown')).toEqual([]);
      expect(new Set(ledger.singles().map(({ user }) => user)).size).toBe(ledger.singles().length);
      ledger.close();
      expect((await sandbox.stats()).duplicateUsers).toBe(0);
      expect(accepted.size).toBeGreaterThan(KILLS * 40);
    } catch (error) {
      over = true;
      throw new Error(`with PAGECAST_LISTEN_SEED=${seed}, ${accepted.size} accepted`, { cause: error });
    }
  });

  it('on one store answer each message once, however often and to whom it comes', async () => {
    const PEOPLE = 60;
    const sandbox = await sandboxProcess(await testWorkspace(), { limits: { perSecond: null } });
    const workspace = await listeningWorkspace(sandbox, { hours: HOURS });
    const [one, other] = await Promise.all([listener(workspace), listener(workspace)]);
    const between = await relay(workspace);
    await between.passTo(one.webhook, other.webhook);
    await tellTo(sandbox, between.url, { duplicate: true, reorder: true });
    const people = Array.from({ length: PEOPLE }, (_, index) => ({ id: personId(index), text: 'hours' }));
    for (let at = 0; at < PEOPLE; at += 20) await sandbox.change('users', { users: people.slice(at, at + 20) });
    await until('everybody has a reply', async () => (await sandbox.stats()).accepted >= PEOPLE);
    for (const listening of [one, other]) listening.kill('SIGTERM');
    // They hear what has come in before they end.
    expect((await Promise.all([one.ended, other.ended])).map(({ status }) => status)).toEqual([0, 0]);
    expect(await sandbox.stats()).toMatchObject({ accepted: PEOPLE, duplicateUsers: 0 });
  });
});
