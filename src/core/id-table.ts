/**
 * A table from ids to small numbers, for a million ids and more. An id is at most 20 digits, so it is kept exactly, as two
 * numbers in typed arrays (open addressing, linear probing). A Map of strings takes four times the memory and ten times
 * the time: it keeps every string alive, and the garbage collector busy with them.
 */

/** An id is cut into its last digits, which fit in 30 bits, and those before them, which a double holds exactly. */
const LOW_DIGITS = 9;
const LOW_SPAN = 2 ** 30;

export class IdTable {
  #size = 0;
  #slots = 1024;
  /**
   * Two numbers for each slot, side by side, so that a look-up waits for the memory once: the first digits, and the last
   * digits together with the entry plus one (0 for a free slot). Good for four million ids.
   */
  #table = new Float64Array(2 * this.#slots);

  /** Finds an id, or adds it with the next entry: 0, 1, 2, … @param id digits without leading zero, or such digits after a `+` */
  entryOf(id: string): { entry: number; isNew: boolean } {
    const first = id.startsWith('+') ? 1 : 0;
    const split = Math.max(first, id.length - LOW_DIGITS);
    const high = digits(id, first, split);
    const low = digits(id, split, id.length);
    const slot = this.#slotOf(this.#table, high, low);
    const found = this.#table[slot + 1] ?? 0;
    if (found > 0) return { entry: Math.floor(found / LOW_SPAN) - 1, isNew: false };
    this.#size += 1;
    this.#table[slot] = high;
    this.#table[slot + 1] = this.#size * LOW_SPAN + low;
    if (this.#size * 2 > this.#slots) this.#grow();
    return { entry: this.#size - 1, isNew: true };
  }

  /** @returns where in the table the id is, or where there is room for it */
  #slotOf(table: Float64Array, high: number, low: number): number {
    // Neighbouring ids must not land side by side, or probing gets slow.
    let hash = Math.imul(low ^ Math.imul(high | 0, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = 2 * ((hash >>> 0) & (this.#slots - 1));
    for (;;) {
      const found = table[slot + 1] ?? 0;
      if (found === 0 || (table[slot] === high && found % LOW_SPAN === low)) return slot;
      slot = (slot + 2) & (2 * this.#slots - 1);
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#slots *= 2;
    const table = new Float64Array(2 * this.#slots);
    for (let from = 0; from < old.length; from += 2) {
      const found = old[from + 1] ?? 0;
      if (found === 0) continue;
      const high = old[from] ?? 0;
      const slot = this.#slotOf(table, high, found % LOW_SPAN);
      table[slot] = high;
      table[slot + 1] = found;
    }
    this.#table = table;
  }
}

/** The number that stands in a part of a text, read digit by digit, because cutting the part out makes a string each time. */
function digits(text: string, from: number, to: number): number {
  let number = 0;
  for (let index = from; index < to; index += 1) number = number * 10 + text.charCodeAt(index) - 48;
  return number;
}
