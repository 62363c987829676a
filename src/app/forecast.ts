/** How many of an audience are inside their window now and in each coming hour. */
import { finding, type Finding, type SheetLimits } from '../core/finding.js';
import { senderKey } from '../core/sender.js';
import { headerTexts, usableId } from '../core/sheet.js';
import type { Channel } from '../core/template.js';
import { Forecast, type WindowSettings } from '../core/window.js';
import { SheetFault, type Account, type Sheets, type Store } from '../ports.js';

export interface ForecastReport {
  account: string;
  at: number;
  people: number;
  /** `inside[h]`: people whose window is open h hours from `at`. */
  inside: number[];
  closed: number;
  unknown: number;
  /** Rows of the sheet that hold something, but no id that could be written to. */
  unusable: number;
  /** Why the sheet could not be read; null when it could. */
  fault: Finding | null;
}

const BATCH = 1000;

/**
 * @param audience the ids in a sheet's first column, whatever the template, or everybody the store knows
 */
export async function forecastWindows(
  world: { store: Store; sheets: Sheets },
  account: Account,
  audience: { sheet: string; limits: SheetLimits } | 'everybody',
  window: WindowSettings,
  now: number,
): Promise<ForecastReport> {
  const forecast = new Forecast(now, window);
  const key = senderKey(account);
  let people = 0;
  let unusable = 0;
  let fault: Finding | null = null;
  const add = async (userIds: readonly string[]): Promise<void> => {
    people += userIds.length;
    for (const { last } of await world.store.standings(key, userIds, window)) forecast.add(last);
  };
  try {
    if (audience === 'everybody') for await (const ids of world.store.people(key)) await add(ids);
    else unusable = await readIds(world.sheets, audience, account.channel, add);
  } catch (error) {
    if (!(error instanceof SheetFault)) throw error;
    fault = error.finding;
  }
  const { inside, closed, unknown } = forecast;
  return { account: account.name, at: now, people, inside, closed, unknown, unusable, fault };
}

/** @returns how many rows have no usable id */
async function readIds(
  sheets: Sheets,
  audience: { sheet: string; limits: SheetLimits },
  channel: Channel,
  add: (userIds: readonly string[]) => Promise<void>,
): Promise<number> {
  const sheet = await sheets.open(audience.sheet, audience.limits);
  try {
    const [first = ''] = headerTexts(sheet.header);
    if (first !== 'User ID' && first !== 'Phone') {
      throw new SheetFault(finding('HEADER_CHANGED', { expected: ['User ID'], found: [first] }, { row: 1 }));
    }
    const seen = new Set<string>();
    let batch: string[] = [];
    let unusable = 0;
    for await (const rows of sheet.rows()) {
      for (const { cells } of rows) {
        const id = usableId(cells[0] ?? null, channel);
        if (id === null && cells.some((cell) => (typeof cell === 'string' ? cell.trim() !== '' : cell !== null)))
          unusable += 1;
        if (id === null || seen.has(id)) continue;
        seen.add(id);
        batch.push(id);
      }
      if (batch.length >= BATCH) {
        await add(batch);
        batch = [];
      }
    }
    await add(batch);
    return unusable;
  } finally {
    await sheet.close();
  }
}
