import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/app/plan.js';
import {
  approvePlan,
  countToConfirm,
  refuseIfSentBefore,
  requireConsent,
  type Consent,
  type Terms,
} from '../../src/app/approve.js';
import { DEFAULT_BUDGET } from '../../src/core/delivery.js';
import type { Failure } from '../../src/core/failure.js';
import { PLAN_REASONS } from '../../src/core/plan.js';
import { BULK_POLICY } from '../../src/core/policy.js';
import { FakeClock } from '../support/fake-clock.js';
import {
  account,
  accountKey,
  collect,
  DAY,
  failureOf,
  HOUR,
  newCampaign,
  NOW,
  openLedger,
  rows,
  starting,
} from '../support/fixtures.js';

const consent: Consent = { policyAccepted: true, confirmedCount: 2 };
const nobody = Object.fromEntries(PLAN_REASONS.map((reason) => [reason, 0])) as Plan['skip'];
const plan = {
  rows: 2,
  send: 2,
  skip: nobody,
  digest: 'content',
  timing: null,
  template: 'order_update',
  language: 'en_US',
  sheet: 'people.csv',
};
const terms: Terms = { again: false, budget: DEFAULT_BUDGET };

async function drafted(...ids: string[]) {
  const { store, file, engine } = openLedger();
  for (const id of ids) {
    await store.draft(newCampaign(id));
    await store.stage(id, rows(2));
  }
  return { store, clock: new FakeClock(NOW), file, engine };
}

describe('approvePlan', () => {
  it('makes a campaign, and keeps which policy was accepted', async () => {
    const world = await drafted('c1');
    await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, terms);
    expect(await world.store.campaign('c1')).toMatchObject({ state: 'ready', approvedAt: NOW, digest: 'content' });
    expect(world.file.connection.prepare('SELECT policy FROM campaigns').pluck().get()).toBe(BULK_POLICY.version);
  });

  it.each<[string, typeof plan, Partial<Consent>]>([
    ['NOBODY_TO_SEND_TO', { ...plan, send: 0 }, { confirmedCount: 0 }],
    ['POLICY_NOT_ACCEPTED', plan, { policyAccepted: false }],
    ['COUNT_DIFFERS', plan, { confirmedCount: 3 }],
  ])('%s makes none, and throws the plan away', async (code, some, change) => {
    const world = await drafted('c1');
    expect(
      await failureOf(approvePlan(world, account, { ...some, campaign: 'c1' }, { ...consent, ...change }, terms)),
    ).toBe(code);
    expect(await world.store.campaigns()).toEqual([]);
    expect(await failureOf(collect(world.store.order('c1')))).toBe('CAMPAIGN_UNKNOWN');
  });

  it('refuses the same content within 24 hours, unless it is to go out again', async () => {
    const world = await drafted('c1', 'c2', 'c3', 'c4');
    await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, terms);
    const refused = approvePlan(world, account, { ...plan, campaign: 'c2' }, consent, terms);
    await expect(refused).rejects.toThrow(/^Campaign c1 has the same messages for the same people, and is ready\.$/);
    expect(await failureOf(refused)).toBe('ALREADY_SENT');
    await approvePlan(world, account, { ...plan, campaign: 'c3' }, consent, { ...terms, again: true });
    world.clock.advance(DAY);
    await approvePlan(world, account, { ...plan, campaign: 'c4' }, consent, terms);
    expect((await world.store.campaigns()).map((one) => one.id)).toEqual(['c4', 'c3', 'c1']);
  });

  it('counts the 24 hours from the last message that left, as of a campaign that was resumed late', async () => {
    const world = await drafted('c1', 'c2', 'c3');
    await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, terms);
    const lease = (await world.engine.own(accountKey, NOW))!;
    world.clock.advance(20 * HOUR);
    await world.store.start(lease, 'c1', world.clock.now());
    await world.store.record(lease, 'c1', { settled: [], skipped: [], started: starting(1) }, world.clock.now());
    world.clock.advance(DAY - 1);
    expect(await failureOf(refuseIfSentBefore(world, account, 'content'))).toBe('ALREADY_SENT');
    expect(await failureOf(approvePlan(world, account, { ...plan, campaign: 'c2' }, consent, terms))).toBe(
      'ALREADY_SENT',
    );
    world.clock.advance(1);
    await refuseIfSentBefore(world, account, 'content');
    await approvePlan(world, account, { ...plan, campaign: 'c3' }, consent, terms);
  });

  it('asks to confirm everybody of the sheet for a timed send, and has a worker woken for it', async () => {
    const world = await drafted('c1');
    const timing = { sendAt: NOW + HOUR, expiresAt: NOW + 2 * HOUR, zone: 'UTC' };
    const skip = { ...nobody, window_closed: 1, invalid: 1, duplicate: 2 };
    const timed = { ...plan, rows: 5, send: 1, skip, timing };
    expect(countToConfirm(timed)).toBe(2);
    expect(countToConfirm({ ...timed, timing: null })).toBe(1);
    await approvePlan(world, account, { ...timed, campaign: 'c1' }, consent, terms);
    world.clock.advance(HOUR);
    const woken: string[] = [];
    const attend = (page: string) => {
      woken.push(page);
      return Promise.resolve(null);
    };
    await world.engine.serve(attend, { clock: world.clock, signal: new AbortController().signal, once: true });
    expect(woken).toEqual([accountKey]);
  });

  it('goes on with the campaign of the same key, and refuses other content under it', async () => {
    const world = await drafted('c1', 'c2', 'c3');
    const keyed = { ...terms, key: 'nightly' };
    expect(await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, keyed)).toBe('c1');
    expect(await approvePlan(world, account, { ...plan, campaign: 'c2' }, consent, keyed)).toBe('c1');
    const other = approvePlan(world, account, { ...plan, digest: 'other', campaign: 'c3' }, consent, keyed);
    await expect(other).rejects.toThrow(/^The key nightly belongs to campaign c1: .* recipients: people\.csv\./);
    expect(await failureOf(other)).toBe('KEY_USED');
    expect(await world.store.campaigns()).toHaveLength(1);
  });

  it.each([
    ['finished', 'pagecast campaign show c1', true],
    ['paused', 'pagecast campaign resume c1', false],
  ])('says what to do about the same content in a campaign that is %s', async (state, first, offersAgain) => {
    const world = await drafted('c1');
    await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, terms);
    world.file.connection.exec(`UPDATE campaigns SET state = '${state}'; UPDATE messages SET started_at = ${NOW}`);
    const refused = refuseIfSentBefore(world, account, 'content');
    await expect(refused).rejects.toMatchObject({ code: 'ALREADY_SENT' });
    const { hint } = (await refused.catch((error: unknown) => error)) as Failure;
    expect(hint.split('. ')[0]).toContain(first);
    expect(hint.includes('pass --again')).toBe(offersAgain);
  });
});

describe('refuseIfSentBefore', () => {
  it('says nothing of other content, of another account, or after a day', async () => {
    const world = await drafted('c1');
    await approvePlan(world, account, { ...plan, campaign: 'c1' }, consent, terms);
    await refuseIfSentBefore(world, account, 'other');
    await refuseIfSentBefore(world, { ...account, id: '1' }, 'content');
    expect(await failureOf(refuseIfSentBefore(world, { ...account, name: 'x' }, 'content'))).toBe('ALREADY_SENT');
    world.clock.advance(DAY);
    await refuseIfSentBefore(world, account, 'content');
  });
});

describe('requireConsent', () => {
  it('is content with the policy accepted and the right number', () => {
    expect(() => requireConsent(2, consent)).not.toThrow();
    expect(() => requireConsent(2, { ...consent, confirmedCount: 1 })).toThrow(/^1 was confirmed, but 2 would be/);
  });
});
