/** "Did you mean …?": the known name that a mistyped one most likely stands for. */

/**
 * @returns the nearest of `known`, ignoring case, or null when none is near enough for a suggestion to help: one mistake
 * for every three characters, two for the shortest.
 */
export function nearest(name: string, known: Iterable<string>): string | null {
  const wanted = name.slice(0, 100).toLowerCase();
  let best: string | null = null;
  let fewest = Math.max(2, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const mistakes = distance(wanted, candidate.slice(0, 100).toLowerCase());
    // A name that shares nothing with the one typed is no suggestion, however short both are.
    if (mistakes < fewest && mistakes < candidate.length) {
      best = candidate;
      fewest = mistakes;
    }
  }
  return best;
}

/** ` (did you mean "token"?)`, or nothing. */
export function suggestion(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return near === null ? '' : ` (did you mean "${near}"?)`;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
