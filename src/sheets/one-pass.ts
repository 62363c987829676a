/** A reading of a sheet's rows, made of any reader's batches: the header apart, the rest counted, one pass. */
import type { SheetOrigin } from '../core/finding.js';
import type { Cell, SheetRow } from '../core/sheet.js';
import type { OpenSheet } from '../ports.js';
import type { ReadBudget } from './limits.js';

/** Rows that hold anything, each batch about a thousand. */
export type Batches = AsyncGenerator<SheetRow[], void, undefined>;

export const BATCH = 1000;

/**
 * Reads as far as the header, which is row 1 and nothing else: a sheet whose first row is blank has an empty header.
 * @throws SheetFault
 */
export async function openOnePass(
  batches: Batches,
  origin: SheetOrigin | null,
  budget: ReadBudget,
  release: () => Promise<void>,
): Promise<OpenSheet> {
  const first = await batches.next();
  let pending = first.done === true ? [] : first.value;
  let header: readonly Cell[] = [];
  if (pending[0]?.row === 1) {
    header = pending[0].cells;
    pending = pending.slice(1);
  }
  budget.pause();

  async function* rows(): Batches {
    for (let batch = pending; ;) {
      budget.addRows(batch.length);
      if (batch.length > 0) yield batch;
      budget.resume();
      const next = await batches.next();
      budget.pause();
      if (next.done === true) return;
      batch = next.value;
    }
  }
  return {
    origin,
    header,
    rows,
    close: async () => {
      await batches.return();
      await release();
    },
  };
}
