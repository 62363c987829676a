/**
 * What each user really received, and how fast messages came in: the judge of crash and pace tests. A run may bring a
 * million messages, so an entry is one flat object and whatever can be worked out later is not kept.
 */

/** One message as a user received it. */
export interface Received {
  /** The message id that the sender was, or would have been, told. */
  mid: string;
  user: string;
  /** Milliseconds since 1970 at the sandbox. */
  at: number;
  messaging_type: string;
  /** For a registered template, its text with the parameters in place. */
  text: string | null;
  /**
   * The rest of the message as it came: `attachment`, `quick_replies`, `template`; null when there is only text. With a
   * `template` also its `buttons`, with the parameters in place.
   */
  content: Record<string, unknown> | null;
  metadata: string | null;
}

/** A user who received more than one message. */
export interface Repeated {
  user: string;
  messages: number;
  /** How many of them carried metadata that this user had received before: the same row of the same campaign again. */
  sameMetadata: number;
}

export type Entry = Omit<Received, 'mid'>;

export class Journal {
  readonly #prefix: string;
  #entries: Entry[] = [];
  /** Places of a user's messages. Most users get one, so most values are a plain number. */
  #ofUser = new Map<string, number | number[]>();

  /** @param run makes the message ids of this start differ from those of another */
  constructor(run: string) {
    this.#prefix = `m_${run}`;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** @returns the message id */
  add(entry: Entry): string {
    const place = this.#entries.push(entry) - 1;
    const before = this.#ofUser.get(entry.user);
    if (before === undefined) this.#ofUser.set(entry.user, place);
    else if (typeof before === 'number') this.#ofUser.set(entry.user, [before, place]);
    else before.push(place);
    return this.#midOf(place);
  }

  users(): IterableIterator<string> {
    return this.#ofUser.keys();
  }

  /** Oldest first. */
  *received(user?: string): Generator<Received> {
    const places = user === undefined ? this.#entries.keys() : this.#placesOf(user);
    for (const place of places) {
      const entry = this.#entries[place];
      if (entry) yield { mid: this.#midOf(place), ...entry };
    }
  }

  lastAt(user: string): number | null {
    const place = this.#placesOf(user).at(-1);
    return place === undefined ? null : (this.#entries[place]?.at ?? null);
  }

  /** The id of the last message that a user received; null when there is none. */
  lastMid(user: string): string | null {
    const place = this.#placesOf(user).at(-1);
    return place === undefined ? null : this.#midOf(place);
  }

  byMid(mid: string): Received | null {
    if (!mid.startsWith(this.#prefix)) return null;
    const entry = this.#entries[Number.parseInt(mid.slice(this.#prefix.length), 36)];
    return entry ? { mid, ...entry } : null;
  }

  *repeated(): Generator<Repeated> {
    for (const [user, places] of this.#ofUser) {
      if (typeof places === 'number') continue;
      const metadata = places.map((place) => this.#entries[place]?.metadata ?? null).filter((value) => value !== null);
      yield { user, messages: places.length, sameMetadata: metadata.length - new Set(metadata).size };
    }
  }

  clear(): void {
    this.#entries = [];
    this.#ofUser = new Map();
  }

  #midOf(place: number): string {
    return `${this.#prefix}${place.toString(36)}`;
  }

  #placesOf(user: string): readonly number[] {
    const places = this.#ofUser.get(user);
    if (places === undefined) return [];
    return typeof places === 'number' ? [places] : places;
  }
}

/** Counts arrivals over any sliding window of one second. Exactly one second apart is not within one second. */
export class RateWindow {
  /** The arrivals of the last second: a ring that grows as needed and whose length is a power of two. */
  #arrivals = new Float64Array(64);
  #first = 0;
  #count = 0;
  /** The most that were seen within one second. */
  max = 0;

  /** @returns how many arrived within the second that ends now, this one included */
  add(now: number): number {
    while (this.#count > 0 && (this.#arrivals[this.#first] ?? 0) <= now - 1000) {
      this.#first = (this.#first + 1) % this.#arrivals.length;
      this.#count -= 1;
    }
    if (this.#count === this.#arrivals.length) this.#grow();
    this.#arrivals[(this.#first + this.#count) % this.#arrivals.length] = now;
    this.#count += 1;
    if (this.#count > this.max) this.max = this.#count;
    return this.#count;
  }

  clear(): void {
    this.#first = 0;
    this.#count = 0;
    this.max = 0;
  }

  #grow(): void {
    const length = this.#arrivals.length;
    const larger = new Float64Array(length * 2);
    for (let index = 0; index < length; index += 1) {
      larger[index] = this.#arrivals[(this.#first + index) % length] ?? 0;
    }
    this.#arrivals = larger;
    this.#first = 0;
  }
}
