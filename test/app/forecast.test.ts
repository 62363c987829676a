import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { forecastWindows } from '../../src/app/forecast.js';
import { senderKey } from '../../src/core/sender.js';
import { createSheets, DEFAULT_LIMITS } from '../../src/sheets/index.js';
import { FakeClock } from '../support/fake-clock.js';
import { wrote } from '../support/fixtures-run.js';
import { account, exactWindow, HOUR, NOW, openLedger, temporaryFolder, user } from '../support/fixtures.js';

async function forecast(sheet?: string) {
  const { store } = openLedger();
  await store.recordOpeners(
    senderKey(account),
    [0, 1, 20, 23.5, 24, 100].map((hours, index) => wrote(user(index), NOW - hours * HOUR)),
  );
  const world = { store, sheets: createSheets(new FakeClock(NOW)) };
  if (sheet === undefined) return forecastWindows(world, account, 'everybody', exactWindow, NOW);
  const path = join(temporaryFolder(), 'people.csv');
  await writeFile(path, sheet);
  return forecastWindows(world, account, { sheet: path, limits: DEFAULT_LIMITS }, exactWindow, NOW);
}

describe('forecastWindows', () => {
  it('counts everybody whose window is open now and in each coming hour', async () => {
    const found = await forecast();
    expect(found).toMatchObject({ account: account.name, at: NOW, people: 6, closed: 2, unknown: 0, fault: null });
    expect(found.inside).toHaveLength(25);
    expect([0, 1, 3, 4, 22, 23, 24].map((hour) => found.inside[hour])).toEqual([4, 3, 3, 2, 2, 1, 0]);
  });

  it('counts the people of a sheet once each, whatever its other columns', async () => {
    const lines = ['User ID,anything', user(0), `${user(0)},again`, user(4), ` ${user(1)} ,x`, ',', user(77)];
    expect(await forecast(lines.join('\n'))).toMatchObject({ people: 4, closed: 1, unknown: 1, fault: null });
  });

  it('counts the rows without a usable id, and leaves them out', async () => {
    const lines = ['User ID,name', `${user(0)},Ann`, ',Bob', '7.64E+16,Cem', 'ann,Dee', "'" + user(1) + ',Eve', ' , '];
    expect(await forecast(lines.join('\n'))).toMatchObject({ people: 2, unusable: 3, unknown: 0 });
    expect(await forecast()).toMatchObject({ unusable: 0 });
  });

  it('reads sheets that are larger than a batch', async () => {
    const ids = Array.from({ length: 2500 }, (_, n) => user(n));
    const found = await forecast(['User ID', ...ids].join('\n'));
    expect(found).toMatchObject({ people: 2500, unknown: 2494, closed: 2 });
  });

  it.each([
    ['another first column', 'name\nAnn\n', 'HEADER_CHANGED'],
    ['no workbook', '\u0000\u0001\u0002\u0003', 'FILE_NOT_WORKBOOK'],
  ])('says why a sheet cannot be read: %s', async (_, content, code) => {
    expect((await forecast(content)).fault?.code).toBe(code);
  });
});
