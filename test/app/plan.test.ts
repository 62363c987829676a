import { renameSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  planCampaign,
  planCampaigns,
  type Plan,
  type PlanRequest,
  type PlanSender,
  type PlanWorld,
} from '../../src/app/plan.js';
import type { Template } from '../../src/core/template.js';
import type { Store } from '../../src/ports.js';
import { createSheets, DEFAULT_LIMITS } from '../../src/sheets/index.js';
import { FakeClock } from '../support/fake-clock.js';
import {
  account,
  accountKey,
  approval,
  collect,
  DAY,
  exactWindow,
  failureOf,
  fixedRandom,
  HOUR,
  NOW,
  openLedger,
  registeredTemplate,
  template,
  temporaryFolder,
  user,
  type OpenLedger,
} from '../support/fixtures.js';

interface World extends PlanWorld {
  ledger: OpenLedger;
}

/** @param opened hours since each person (from 1) wrote; null for never */
async function world(opened: readonly (number | null)[] = []): Promise<World> {
  const ledger = openLedger();
  await ledger.store.recordOpeners(
    accountKey,
    opened.flatMap((hours, index) =>
      hours === null ? [] : [{ userId: user(index + 1), openedAt: NOW - hours * HOUR, opener: 'message' as const }],
    ),
  );
  const clock = new FakeClock(NOW);
  return { ledger, store: ledger.store, sheets: createSheets(clock), clock, random: fixedRandom() };
}

async function csv(lines: readonly string[], header = 'User ID,name,order_no'): Promise<string> {
  const path = join(temporaryFolder(), 'people.csv');
  await writeFile(path, [header, ...lines, ''].join('\r\n'));
  return path;
}

const line = (n: number, name = 'Ann'): string => `${user(n)},${name},A-${n}`;

function request(source: string | PlanRequest['source'], change: Partial<PlanRequest> = {}): PlanRequest {
  return {
    account,
    template,
    outside: null,
    source: typeof source === 'string' ? { kind: 'sheet', path: source, limits: DEFAULT_LIMITS } : source,
    window: exactWindow,
    pace: 35,
    skipInvalid: false,
    timing: null,
    ...change,
  };
}

const typedIn = (...ids: string[]): PlanRequest['source'] => ({
  kind: 'ids',
  ids,
  values: { order_no: 'A-7', name: 'Ann' },
});

async function planned(store: Store, plan: Plan): Promise<number[]> {
  return (await collect(store.order(plan.campaign!))).map((one) => one.seq);
}

const everybodySkipped = (plan: Plan): number => Object.values(plan.skip).reduce((sum, count) => sum + count, 0);

describe('planCampaign', () => {
  it('names everybody who is left out, and why; the counts add up to the rows', async () => {
    const here = await world([1, 24, null, 2, 23, 3]);
    here.ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', accountKey, user(4));
    const path = await csv([line(1), line(2), line(3), line(4), '', line(5), line(1), '12,Ann,A-12', line(6)]);
    const plan = await planCampaign(here, request(path, { skipInvalid: true }));
    expect(plan).toMatchObject({
      account: 'acme-page',
      template: 'order_update',
      language: 'en_US',
      rows: 8,
      send: 3,
      skip: {
        window_closed: 1,
        window_unknown: 1,
        window_closes_before_turn: 0,
        opted_out: 1,
        duplicate: 1,
        invalid: 1,
      },
      startAt: NOW,
      finishAt: NOW + Math.ceil((3 * 1000) / 35),
      recipients: 6,
      variables: ['name', 'order_no'],
      example: ['Ann', 'A-1'],
    });
    expect(plan.send + everybodySkipped(plan)).toBe(plan.rows);
    // Rows are named as the sheet numbers them, and whose window closes first goes first.
    expect(await planned(here.store, plan)).toEqual([7, 10, 2]);
    expect(plan.samples.map(({ row, message }) => [row, message.text])).toEqual([
      [2, 'Hi Ann, order A-1 leaves today.'],
      [7, 'Hi Ann, order A-5 leaves today.'],
      [10, 'Hi Ann, order A-6 leaves today.'],
    ]);
  });

  it('leaves out whoever would be too late, and keeps every row in the ledger', async () => {
    const here = await world([23.9999, 23.9999, 23.9999, 1]);
    const plan = await planCampaign(here, request(await csv([1, 2, 3, 4].map((n) => line(n))), { pace: 5 }));
    expect(plan).toMatchObject({ send: 3, skip: { window_closes_before_turn: 1 }, finishAt: NOW + 600 });
    expect(await planned(here.store, plan)).toEqual([2, 3, 5]);
    await here.store.approve(plan.campaign!, approval({ digest: plan.digest }));
    expect((await here.store.summary(plan.campaign!)).counts).toMatchObject({ queued: 3, skipped: 1, total: 4 });
  });

  it('judges a timed send by the windows of its time, and says which earlier start would reach more', async () => {
    // One window shuts in an hour, nine in five hours, ten in twenty.
    const hours = [23, ...Array.from({ length: 9 }, () => 19), ...Array.from({ length: 10 }, () => 4)];
    const here = await world(hours);
    const path = await csv(hours.map((_, index) => line(index + 1)));
    const timing = { sendAt: NOW + 6 * HOUR, expiresAt: NOW + 7 * HOUR, zone: 'UTC' };
    const plan = await planCampaign(here, request(path, { timing }));
    expect(plan).toMatchObject({ rows: 20, send: 10, startAt: NOW + 6 * HOUR, skip: { window_closed: 10 } });
    // At 35 a second the last turn comes half a second after the start, so the minute before the window shuts is the last.
    expect(plan.earlier).toEqual([
      { at: NOW + 5 * HOUR - 60_000, send: 19 },
      { at: NOW + HOUR - 60_000, send: 20 },
    ]);
    const now = await planCampaign(here, request(path, { timing: { ...timing, sendAt: NOW + HOUR / 2 } }));
    expect(now).toMatchObject({ send: 20, earlier: [] });
  });

  it('stages more rows than a batch holds', async () => {
    const count = 2500;
    const here = await world(Array.from({ length: count }, (_, index) => (index % 5 === 0 ? 30 : 1)));
    const plan = await planCampaign(here, request(await csv(Array.from({ length: count }, (_, n) => line(n + 1)))));
    expect(plan).toMatchObject({ rows: count, send: 2000, skip: { window_closed: 500 } });
    expect(await planned(here.store, plan)).toHaveLength(2000);
  });

  it('on request leaves out both of two rows for one person with different values', async () => {
    const here = await world([1, 2, 3, 30]);
    const path = await csv([line(1), line(2), line(1, 'Bob'), line(3), line(3), line(4), line(4, 'Bob')]);
    const plan = await planCampaign(here, request(path, { skipInvalid: true }));
    // 1: both of them; 3: only the repetition; 4: the first is left out for its window already.
    expect(plan).toMatchObject({ rows: 7, send: 2, skip: { duplicate: 4, window_closed: 1 } });
    expect(plan.send + everybodySkipped(plan)).toBe(plan.rows);
    expect((await planned(here.store, plan)).sort()).toEqual([3, 5]);
    expect(plan.samples.map(({ row }) => row)).toEqual([3, 5]);
    await here.store.approve(plan.campaign!, approval({ digest: plan.digest }));
    expect((await here.store.summary(plan.campaign!)).counts).toMatchObject({ queued: 2, skipped: 5, total: 7 });
  });

  it('does not count those who contradict themselves among those outside their window', async () => {
    const here = await world([null, null, 1, 1]);
    const path = await csv([line(1), line(2), line(1, 'Eve'), line(3), line(4), line(4, 'Eve')]);
    const outside = { ...registeredTemplate, name: 'order_notice' };
    const plan = await planCampaign(here, request(path, { outside, skipInvalid: true }));
    expect(plan).toMatchObject({ send: 2, outside: { send: 1 }, skip: { duplicate: 4 } });
    expect(plan.samples.map(({ row, outside: isOutside }) => [row, isOutside])).toEqual([
      [3, true],
      [5, false],
    ]);
  });

  it('does not count their SMS either, and shows other messages instead', async () => {
    const phone = (n: number): string => `+491511234500${n}`;
    const lines = [1, 2, 3, 4, 5].map((n) => `${phone(n)},${n === 1 ? 'Zoë🎉' : 'Ann'},A-${n}`);
    const path = await csv([...lines, `${phone(1)},Eve,A-9`], 'Phone,name,order_no');
    const change: Partial<PlanRequest> = {
      account: { ...account, provider: 'twilio', channel: 'sms', id: '+15005550006' },
      template: { ...template, channels: ['sms'] },
      skipInvalid: true,
    };
    const plan = await planCampaign(await world(), request(path, change));
    expect(plan).toMatchObject({ send: 4, sms: { segments: 4, gsm7: 4, ucs2: 0, longest: 1 } });
    expect(plan.samples.map(({ row }) => row)).toEqual([3, 4, 5]);
  });

  it('has nobody left when everybody contradicts themselves', async () => {
    const path = await csv([line(1), line(1, 'Bob'), line(1, 'Cy')]);
    const plan = await planCampaign(await world([1]), request(path, { skipInvalid: true }));
    expect(plan).toMatchObject({ send: 0, skip: { duplicate: 3 }, finishAt: NOW });
  });

  it('gives as example the first row without a fault, whether it is sent to or not', async () => {
    const path = await csv(['12,Eve,A-0', line(1, 'Bob'), line(2)]);
    expect(await planCampaign(await world([30, 1]), request(path))).toMatchObject({
      recipients: 2,
      example: ['Bob', 'A-1'],
    });
    expect(await planCampaign(await world([1]), request(await csv(['12,Ann,A'])))).toMatchObject({
      recipients: 0,
      example: null,
    });
  });

  it('takes ids that are typed in, and the same values for all', async () => {
    const here = await world([1, 2]);
    const plan = await planCampaign(here, request(typedIn(user(1), user(2))));
    expect(plan).toMatchObject({ rows: 2, send: 2 });
    expect(plan.samples[1]).toMatchObject({ userId: user(2), values: ['Ann', 'A-7'] });
  });

  it('needs no window for a registered template', async () => {
    const plan = await planCampaign(
      await world([30]),
      request(typedIn(user(1), user(2)), { template: registeredTemplate }),
    );
    expect(plan).toMatchObject({ send: 2 });
  });

  it('gives every plan a name of its own, with its day', async () => {
    const here = await world([1]);
    const plans = [
      await planCampaign(here, request(typedIn(user(1)))),
      await planCampaign(here, request(typedIn(user(1)))),
    ];
    expect(plans[0]?.campaign).toMatch(/^c20261121-[0-9a-z]{5}$/);
    expect(plans[0]?.campaign).not.toBe(plans[1]?.campaign);
  });

  it.each<[string, string[], boolean, Partial<Plan>]>([
    ['a row with an error blocks', [line(1), '12,Ann,A-12'], false, { send: 0, counts: { ID_MALFORMED: 1 } }],
    ['a row with an error is left out on request', [line(1), '12,Ann,A-12'], true, { send: 1 }],
    ['a repeated row with the same values does not block', [line(1), line(1)], false, { send: 1 }],
    ['a repeated row with other values blocks', [line(1), line(1, 'Bob')], false, { counts: { ID_DUPLICATE: 1 } }],
    ['a sheet without rows has nobody', [], true, { send: 0, counts: { NO_ROWS: 1 } }],
    ['a sheet with nothing but errors has nobody', ['12,Ann,A'], true, { send: 0 }],
  ])('%s', async (_, lines, skipInvalid, expected) => {
    const here = await world([1]);
    const plan = await planCampaign(here, request(await csv(lines), { skipInvalid }));
    expect(plan).toMatchObject(expected);
    expect(plan.campaign !== null).toBe(plan.send > 0);
  });

  it('does not pass over faults of the whole file on request', async () => {
    const here = await world([1]);
    const rounded = Array.from({ length: 5 }, (_, n) => `76429258490${n}39400,Ann,A-${n}`);
    for (const path of [await csv([line(1)], 'User ID,name,order'), await csv(rounded)]) {
      const plan = await planCampaign(here, request(path, { skipInvalid: true }));
      expect(plan).toMatchObject({ campaign: null, send: 0 });
      expect(plan.findings.some((one) => one.row === null || one.code === 'HEADER_CHANGED')).toBe(true);
    }
  });

  it('leaves nothing of a plan that is given up', async () => {
    const here = await world([1]);
    const drafted: string[] = [];
    const discarded: string[] = [];
    const store = new Proxy(here.store, {
      get(target, name) {
        const member = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          if (name === 'draft') drafted.push((args[0] as { id: string }).id);
          if (name === 'discard') discarded.push(args[0] as string);
          if (name === 'standings') return Promise.reject(new Error('the disk is gone'));
          return Reflect.apply(member, target, args);
        };
      },
    });
    await expect(planCampaign({ ...here, store }, request(typedIn(user(1))))).rejects.toThrow('the disk is gone');
    await planCampaign({ ...here, store: here.store }, request(await csv(['12,Ann,A'])));
    expect(drafted).toHaveLength(1);
    expect(discarded).toEqual(drafted);
    expect(await here.store.campaigns()).toEqual([]);
  });

  it.each<[string, Partial<Template>, string]>([
    ['a template for other channels', { channels: ['instagram'] }, 'CHANNEL_DIFFERS'],
    ['a tag for answers of people', { tag: 'HUMAN_AGENT' }, 'POLICY_FORBIDS'],
    ['a tag that is refused by now', { tag: 'ACCOUNT_UPDATE' }, 'POLICY_FORBIDS'],
    [
      'a registered template that is not approved',
      { ...registeredTemplate, registration: { name: 'x', status: 'PENDING', parameters: 'named' } },
      'POLICY_FORBIDS',
    ],
    ['a template with faults', { variables: [] }, 'TEMPLATE_INVALID'],
  ])('refuses %s', async (_, change, code) => {
    const here = await world([1]);
    expect(
      await failureOf(planCampaign(here, request(typedIn(user(1)), { template: { ...template, ...change } }))),
    ).toBe(code);
  });

  it.each([
    [
      'a value that the template has no variable for',
      { name: 'Ann', order_no: 'A', date: 'today' },
      'VARIABLE_UNKNOWN',
    ],
    ['a missing value', { name: 'Ann' }, 'USAGE'],
  ])('refuses %s for ids that are typed in', async (_, values, code) => {
    expect(await failureOf(planCampaign(await world([1]), request({ kind: 'ids', ids: [user(1)], values })))).toBe(
      code,
    );
  });
});

describe('planCampaigns', () => {
  const header = 'Phone,name,order_no,Owner';
  const phone = (n: number): string => `+4915112345${String(n).padStart(3, '0')}`;
  const row = (n: number, owner: string, name = 'Ann'): string => `${phone(n)},${name},A-${n},${owner}`;
  const number = (owners: string[], id: string): PlanSender => ({
    account: { ...account, name: `${owners[0] ?? ''}-sms`, provider: 'twilio', channel: 'sms', id },
    pace: 35,
    owners: new Set(owners),
  });
  const senders = [
    number(['alice', 'anna'], '+15005550006'),
    number(['bob'], '+15005550007'),
    number(['dave'], '+15005550008'),
  ] as const;
  const plansOf = async (here: World, lines: readonly string[], skipInvalid = true): Promise<Plan[]> =>
    planCampaigns(
      here,
      request(await csv(lines, header), { template: { ...template, channels: ['sms'] }, skipInvalid }),
      [...senders],
    );

  it("reads the sheet once, and has every row in its owner's plan", async () => {
    const here = await world();
    let opened = 0;
    const { sheets } = here;
    here.sheets = {
      open: (...args) => {
        opened += 1;
        return sheets.open(...args);
      },
      mark: (...args) => sheets.mark(...args),
    } as typeof sheets;
    const plans = await plansOf(here, [row(1, 'alice'), row(2, 'bob'), row(3, 'anna'), '', row(4, 'bob')], false);
    expect(opened).toBe(1);
    expect(plans).toMatchObject([
      { account: 'alice-sms', rows: 2, send: 2, recipients: 2 },
      { account: 'bob-sms', rows: 2, send: 2 },
      { account: 'dave-sms', rows: 0, send: 0, campaign: null },
    ]);
    expect(await Promise.all(plans.slice(0, 2).map((plan) => planned(here.store, plan)))).toEqual([
      [2, 4],
      [3, 6],
    ]);
  });

  it('keeps rows of nobody with people, and the rows of a number that has none', async () => {
    const here = await world();
    here.ledger.sql('INSERT INTO opt_outs (account, user_id, since) VALUES (?, ?, 0)', 'sms/+15005550006', phone(1));
    const plans = await plansOf(here, [row(9, 'carol'), row(8, ''), row(1, 'alice'), row(2, 'bob'), row(2, 'dave')]);
    expect(plans).toMatchObject([
      { rows: 1, send: 0, skip: { opted_out: 1 }, campaign: expect.any(String) as string },
      { rows: 3, send: 1, skip: { invalid: 2 } },
      { rows: 1, send: 0, skip: { duplicate: 1 }, campaign: expect.any(String) as string },
    ]);
  });

  it('leaves out both of two rows that contradict each other, whosever they are', async () => {
    const plans = await plansOf(await world(), [row(1, 'alice'), row(2, 'alice'), row(1, 'bob', 'Eve')]);
    expect(plans).toMatchObject([
      { rows: 2, send: 1, skip: { duplicate: 1 }, sms: { segments: 1 } },
      { rows: 1, send: 0, skip: { duplicate: 1 } },
      { rows: 0 },
    ]);
  });

  it('keeps none of them when one row blocks', async () => {
    const plans = await plansOf(await world(), [row(1, 'alice'), row(2, 'carol')], false);
    expect(plans.map(({ campaign, counts }) => [campaign, counts])).toEqual(
      senders.map(() => [null, { OWNER_UNKNOWN: 1 }]),
    );
  });
});

describe("a plan's digest", () => {
  const lines = [1, 2, 3, 4].map((n) => line(n));
  const digestOf = async (source: string | PlanRequest['source'], change: Partial<PlanRequest> = {}): Promise<string> =>
    (await planCampaign(await world([1, 2]), request(source, change))).digest;

  it('is the same for the same content in another order, under another name, at another time', async () => {
    const digest = await digestOf(await csv(lines));
    const renamed = await csv([...lines].reverse());
    renameSync(renamed, `${renamed}.txt`);
    expect(await digestOf(`${renamed}.txt`)).toBe(digest);
    const later = await world([30, 30, 30, 1]);
    later.clock = new FakeClock(NOW + DAY);
    expect((await planCampaign(later, request(await csv(lines), { pace: 1 }))).digest).toBe(digest);
    expect(await digestOf(await csv(lines), { account: { ...account, name: 'another name for it' } })).toBe(digest);
    // A row that cannot be sent to, or that is there twice, changes nothing that anybody gets.
    expect(await digestOf(await csv([...lines, '12,Ann,A', line(1)]), { skipInvalid: true })).toBe(digest);
  });

  it('differs with people, values, wording and account', async () => {
    const others = [
      digestOf(await csv(lines)),
      digestOf(await csv(lines.slice(1))),
      digestOf(await csv([...lines.slice(1), line(5)])),
      digestOf(await csv([...lines.slice(1), line(1, 'Bob')])),
      digestOf(await csv([`${user(1)},A-1,Ann`, ...lines.slice(1)])),
      digestOf(await csv([`${user(1)},Ann,A-2`, `${user(2)},Ann,A-1`, ...lines.slice(2)])),
      digestOf(await csv(lines), { template: { ...template, body: `${template.body ?? ''} Bye.` } }),
      digestOf(await csv(lines), { account: { ...account, id: '111111' } }),
      digestOf(await csv(lines), { account: { ...account, provider: 'graph' } }),
    ];
    expect(new Set(await Promise.all(others)).size).toBe(others.length);
  });
});
