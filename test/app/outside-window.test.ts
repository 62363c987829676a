/** Messages to people outside their window: a registered template goes to them, and the session template to all others. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planCampaign, type PlanRequest } from '../../src/app/plan.js';
import { planRetry } from '../../src/app/retry.js';
import type { NewCampaign, PlatformTemplate } from '../../src/ports.js';
import { createSheets } from '../../src/sheets/index.js';
import { DEFAULT_LIMITS } from '../../src/sheets/limits.js';
import { failure, type Script } from '../support/fake-provider.js';
import { run, stageRows, wrote, type Stage } from '../support/fixtures-run.js';
import {
  account,
  accountKey,
  collect,
  DAY,
  exactWindow,
  failureOf,
  HOUR,
  NOW,
  registeredTemplate,
  row,
  template,
  temporaryFolder,
  user,
} from '../support/fixtures.js';

const notice = { ...registeredTemplate, name: 'order_notice', body: 'Order {{order_no}} is on its way to you.' };
const atPlatform = (status: string): PlatformTemplate => ({
  name: 'order_update',
  language: 'en_US',
  status,
  category: 'UTILITY',
  parameters: 'named',
  header: null,
  body: notice.body,
  buttons: [],
  examples: {},
  code: null,
  reason: null,
  unsupported: null,
});

/** Row 1 is inside, row 2 outside, of row 3 nothing is known; row 4 has opted out. */
async function fourPeople(change: Partial<NewCampaign> = {}, script?: Script): Promise<Stage> {
  const staged = [
    row(1, { closesAt: NOW + 23 * HOUR }),
    row(2, { closesAt: null, outside: true }),
    row(3, { closesAt: null, outside: true }),
    row(4, { closesAt: null, outside: true }),
  ];
  const world = await stageRows(staged, [wrote(user(1), NOW - HOUR), wrote(user(2), NOW - DAY)], script, {
    outside: notice,
    ...change,
  });
  world.ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', accountKey, user(4));
  return world;
}

const sentAs = ({ provider }: Stage): Record<string, string | null> =>
  Object.fromEntries(provider.departures.map((one) => [one.userId, one.registered]));

describe('a run with a registered template for those outside', () => {
  it('gives each the one that their window asks for at that moment, and nobody two', async () => {
    const world = await fourPeople();
    expect(await run(world)).toMatchObject({
      end: 'finished',
      counts: { sent: 3, skipped: 1 },
      skip: { opted_out: 1 },
      outside: 2,
    });
    expect(sentAs(world)).toEqual({ [user(1)]: null, [user(2)]: 'order_update', [user(3)]: 'order_update' });
    expect(world.provider.departures).toHaveLength(3);
    const rows = await collect(world.store.messages({ campaign: 'c1' }));
    expect(rows.map((one) => one.outside)).toEqual([false, true, true, true]);
  });

  it('goes by the windows of now, not by those of the plan', async () => {
    const world = await fourPeople();
    await world.store.recordOpeners(accountKey, [wrote(user(2), NOW + HOUR)]);
    world.clock.advance(23 * HOUR);
    await run(world);
    expect(sentAs(world)).toEqual({ [user(1)]: 'order_update', [user(2)]: null, [user(3)]: 'order_update' });
    const rows = await collect(world.store.messages({ campaign: 'c1' }));
    expect(rows.map((one) => one.outside)).toEqual([true, false, true, true]);
  });

  it('fills the registered template with the values it names, whatever its order', async () => {
    const world = await fourPeople();
    await run(world);
    expect(world.provider.departures.find((one) => one.userId === user(2))?.text).toBe(
      'Order A-2 is on its way to you.',
    );
  });

  it('is planned again at its time: whoever is outside by then gets the registered one', async () => {
    const timing = { sendAt: NOW + 23 * HOUR, expiresAt: NOW + DAY, zone: 'UTC' };
    const world = await fourPeople({ timing });
    await world.store.recordOpeners(accountKey, [wrote(user(3), NOW + HOUR)]);
    world.clock.advance(23 * HOUR);
    expect(await run(world)).toMatchObject({ end: 'finished', counts: { sent: 3, skipped: 1 } });
    expect(sentAs(world)).toEqual({ [user(1)]: 'order_update', [user(2)]: 'order_update', [user(3)]: null });
  });

  it('tries those again who were outside', async () => {
    const world = await fourPeople({}, () => ({ outcome: { kind: 'rejected', error: failure('551') } }));
    await run(world, { budget: { count: 99, share: 0 } });
    const campaign = (await world.store.campaign('c1'))!;
    const again = await planRetry(world.store, campaign, 'failed', exactWindow, world.clock.now());
    expect(again.rows.map((one) => one.seq)).toEqual([1, 2, 3]);
  });

  it.each<[what: string, templates: PlatformTemplate[], says: string]>([
    ['at all', [], 'is not known to the platform.'],
    [
      'in this language',
      [{ ...atPlatform('APPROVED'), language: 'en' }],
      'not known to the platform, which has it in en.',
    ],
    ['under this name', [{ ...atPlatform('APPROVED'), name: 'order_update_2' }], 'is not known to the platform.'],
  ])('stops before the first message when the platform does not have the template %s', async (_, templates, says) => {
    const world = await fourPeople();
    const provider = Object.assign(world.provider, {
      templates: () => Promise.resolve({ kind: 'read' as const, templates }),
    });
    const result = await run({ ...world, provider });
    expect(result).toMatchObject({ end: 'stopped', counts: { queued: 4, sent: 0 } });
    expect(result.campaign.stop).toMatchObject({
      cause: 'content',
      error: { code: 'TEMPLATE_NOT_APPROVED', message: expect.stringContaining(says) as string },
    });
    expect(provider.departures).toEqual([]);
  });

  it.each(['PAUSED', 'DISABLED', 'REJECTED', 'PENDING'])(
    'stops before the first message when the platform has the template as %s by now',
    async (status) => {
      const world = await fourPeople();
      const provider = Object.assign(world.provider, {
        templates: () => Promise.resolve({ kind: 'read' as const, templates: [atPlatform(status)] }),
      });
      const result = await run({ ...world, provider });
      expect(result).toMatchObject({ end: 'stopped', counts: { queued: 4, sent: 0 } });
      expect(result.campaign.stop).toMatchObject({ cause: 'content', error: { code: 'TEMPLATE_NOT_APPROVED' } });
      expect(provider.departures).toEqual([]);
    },
  );

  it.each([
    ['approved', { kind: 'read' as const, templates: [atPlatform('APPROVED')] }],
    ['not to be read', { kind: 'failed' as const, error: { code: '10', message: 'no permission' } }],
  ])('goes on when it is %s', async (_, read) => {
    const world = await fourPeople();
    const provider = Object.assign(world.provider, { templates: () => Promise.resolve(read) });
    expect(await run({ ...world, provider })).toMatchObject({ end: 'finished', counts: { sent: 3 } });
  });

  it('does not begin with a provider that has no registered templates', async () => {
    const world = await fourPeople();
    const provider = Object.assign(world.provider, {
      capabilities: { ...world.provider.capabilities, registeredTemplates: false },
    });
    expect(await failureOf(run({ ...world, provider }))).toBe('PROVIDER_UNAVAILABLE');
  });
});

describe('a plan with a registered template for those outside', () => {
  /** @param alsoInside people who wrote an hour ago, beside the first */
  async function planned(change: Partial<PlanRequest> = {}, alsoInside: readonly number[] = []) {
    const openers = [wrote(user(2), NOW - DAY), ...[1, ...alsoInside].map((n) => wrote(user(n), NOW - HOUR))];
    const world = await stageRows([], openers);
    world.ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', accountKey, user(4));
    const path = join(temporaryFolder(), 'people.csv');
    const line = (n: number): string => `${user(n)},Ann,A-${n}`;
    await writeFile(path, ['User ID,name,order_no', ...[1, 2, 3, 4].map(line), ''].join('\n'));
    const plan = planCampaign(
      { ...world, sheets: createSheets(world.clock) },
      {
        account,
        template,
        outside: notice,
        source: { kind: 'sheet', path, limits: DEFAULT_LIMITS },
        window: exactWindow,
        pace: 35,
        skipInvalid: false,
        timing: null,
        ...change,
      },
    );
    return { world, plan };
  }

  it('says who gets which, with a message of each kind', async () => {
    const { plan } = await planned();
    expect(await plan).toMatchObject({
      rows: 4,
      send: 3,
      outside: { template: 'order_notice', send: 2 },
      skip: { opted_out: 1, window_closed: 0, window_unknown: 0 },
      samples: [
        { row: 2, outside: false, message: { text: 'Hi Ann, order A-1 leaves today.' } },
        { row: 3, outside: true, message: { text: 'Order A-2 is on its way to you.' } },
        { row: 4, outside: true },
      ],
    });
  });

  it('gives the registered one to whoever would have their turn too late', async () => {
    const { plan } = await planned({ pace: 1 / (48 * 3600) }, [3]);
    expect(await plan).toMatchObject({
      send: 3,
      skip: { window_closes_before_turn: 0 },
      outside: { send: 2 },
    });
  });

  it('is another content than one without', async () => {
    const { digest } = await (await planned()).plan;
    expect((await (await planned({ outside: null })).plan).digest).not.toBe(digest);
  });

  it('checks the registered message of every row as well', async () => {
    const frame = 'Order  is on its way.';
    const body = `Order {{order_no}}${'x'.repeat(1999 - frame.length - 1)} is on its way.`;
    const long = { ...notice, body, variables: [{ name: 'order_no', example: '7' }] };
    const plan = await (await planned({ outside: long })).plan;
    expect(plan).toMatchObject({ campaign: null, counts: { MESSAGE_TOO_LONG: 4 } });
  });

  it.each<[string, Partial<PlanRequest>, string]>([
    [
      'is not approved',
      { outside: { ...notice, registration: { ...notice.registration!, status: 'PAUSED' } } },
      'POLICY_FORBIDS',
    ],
    ['is not registered', { outside: { ...template, name: 'other' } }, 'POLICY_FORBIDS'],
    ['has a dead tag', { outside: { ...notice, tag: 'ACCOUNT_UPDATE' } }, 'POLICY_FORBIDS'],
    [
      'needs a value that the sheet does not have',
      {
        outside: {
          ...notice,
          body: 'The parcel {{parcel}} is on its way.',
          variables: [{ name: 'parcel', example: '7' }],
        },
      },
      'TEMPLATE_INVALID',
    ],
    ['is for another channel', { outside: { ...notice, channels: ['sms'] } }, 'CHANNEL_DIFFERS'],
  ])('is refused when the registered template %s', async (_, change, code) => {
    expect(await failureOf((await planned(change)).plan)).toBe(code);
  });
});
