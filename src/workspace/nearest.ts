/** "Did you mean …?": the known name that a mistyped one most likely stands for. */
import { distance } from 'fastest-levenshtein';

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
