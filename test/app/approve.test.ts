import { describe, expect, it } from 'vitest';
import { approvePlan, type Consent } from '../../src/app/approve.js';
import { BULK_POLICY } from '../../src/core/policy.js';
import { FakeClock } from '../support/fake-clock.js';
import { collect, DAY, failureOf, newCampaign, NOW, openLedger, rows } from '../support/fixtures.js';

const consent: Consent = { policyAccepted: true, confirmedCount: 2, again: false };
const plan = { send: 2, digest: 'content' };

async function drafted(...ids: string[]) {
  const { store, file } = openLedger();
  for (const id of ids) {
    await store.draft(newCampaign(id));
    await store.stage(id, rows(2));
  }
  return { store, clock: new FakeClock(NOW), file };
}

describe('approvePlan', () => {
  it('makes a campaign, and keeps which policy was accepted', async () => {
    const world = await drafted('c1');
    await approvePlan(world, 'c1', plan, consent);
    expect(await world.store.campaign('c1')).toMatchObject({ state: 'ready', approvedAt: NOW, digest: 'content' });
    expect(world.file.connection.prepare('SELECT policy FROM campaigns').pluck().get()).toBe(BULK_POLICY.version);
  });

  it.each<[string, typeof plan, Partial<Consent>]>([
    ['NOBODY_TO_SEND_TO', { ...plan, send: 0 }, { confirmedCount: 0 }],
    ['POLICY_NOT_ACCEPTED', plan, { policyAccepted: false }],
    ['COUNT_DIFFERS', plan, { confirmedCount: 3 }],
  ])('%s makes none, and throws the plan away', async (code, some, change) => {
    const world = await drafted('c1');
    expect(await failureOf(approvePlan(world, 'c1', some, { ...consent, ...change }))).toBe(code);
    expect(await world.store.campaigns()).toEqual([]);
    expect(await failureOf(collect(world.store.order('c1')))).toBe('CAMPAIGN_UNKNOWN');
  });

  it('refuses the same content within 24 hours, unless it is to go out again', async () => {
    const world = await drafted('c1', 'c2', 'c3', 'c4');
    await approvePlan(world, 'c1', plan, consent);
    const refused = approvePlan(world, 'c2', plan, consent);
    await expect(refused).rejects.toThrow(/by campaign c1\./);
    expect(await failureOf(refused)).toBe('ALREADY_SENT');
    await approvePlan(world, 'c3', plan, { ...consent, again: true });
    world.clock.advance(DAY);
    await approvePlan(world, 'c4', plan, consent);
    expect((await world.store.campaigns()).map((one) => one.id)).toEqual(['c4', 'c3', 'c1']);
  });
});
