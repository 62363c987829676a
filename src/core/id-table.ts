/**
 * A table from ids to small numbers, for a million ids and more. An id is at most 20 digits, so it is kept exactly, as two
 * numbers in typed arrays (open addressing, linear probing). A Map of strings takes four times the memory and ten times
 * the time: it keeps every string alive, and the garbage collector busy with them.
 */

/** An id is cut into its last digits, which fit in 30 bits, and those before them, which a double holds exactly. */
const LOW_DIGITS = 9;
/** A slot is a number of 32 bits: the entry plus one (0 for a free slot), and above it a part of the id's hash. */
const ENTRY_BITS = 24;
const MAX_ENTRIES = 2 ** ENTRY_BITS - 2;
const ENTRY_MASK = 2 ** ENTRY_BITS - 1;

export class IdTable {
  #size = 0;
  #slots = new Uint32Array(1024);
  /** By entry, in the order they came. Kept apart from the slots, because a search that jumps about must stay in the cache. */
  #highs = new Float64Array(512);
  #lows = new Uint32Array(512);

  /** Finds an id, or adds it with the next entry: 0, 1, 2, … @param id digits without leading zero, or such digits after a `+` */
  entryOf(id: string): { entry: number; isNew: boolean } {
    const first = id.startsWith('+') ? 1 : 0;
    const split = Math.max(first, id.length - LOW_DIGITS);
    const high = digits(id, first, split);
    const low = digits(id, split, id.length);
    const hash = hashOf(high, low);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const found = this.#slots[slot] ?? 0;
      if (found === 0) break;
      const entry = (found & ENTRY_MASK) - 1;
      if ((found ^ hash) >>> ENTRY_BITS === 0 && this.#lows[entry] === low && this.#highs[entry] === high)
        return { entry, isNew: false };
      slot = (slot + 1) & mask;
    }
    const entry = this.#size;
    if (entry > MAX_ENTRIES) throw new RangeError(`more than ${MAX_ENTRIES} different ids`);
    this.#slots[slot] = slotOf(hash, entry);
    this.#highs[entry] = high;
    this.#lows[entry] = low;
    this.#size += 1;
    if (this.#size * 2 === this.#slots.length) this.#grow();
    return { entry, isNew: true };
  }

  #grow(): void {
    const highs = new Float64Array(this.#size * 2);
    const lows = new Uint32Array(this.#size * 2);
    highs.set(this.#highs);
    lows.set(this.#lows);
    this.#highs = highs;
    this.#lows = lows;
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let entry = 0; entry < this.#size; entry += 1) {
      const hash = hashOf(highs[entry] ?? 0, lows[entry] ?? 0);
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = slotOf(hash, entry);
    }
    this.#slots = slots;
  }
}

/** Neighbouring ids must not land side by side, or probing gets slow. */
function hashOf(high: number, low: number): number {
  const hash = Math.imul(low ^ Math.imul(high | 0, 0x9e3779b1), 0x85ebca6b);
  return hash ^ (hash >>> 15);
}

function slotOf(hash: number, entry: number): number {
  return (hash & ~ENTRY_MASK) | (entry + 1);
}

/** The number that stands in a part of a text, read digit by digit, because cutting the part out makes a string each time. */
function digits(text: string, from: number, to: number): number {
  let number = 0;
  for (let index = from; index < to; index += 1) number = number * 10 + text.charCodeAt(index) - 48;
  return number;
}
