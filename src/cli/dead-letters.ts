/** What came in and could not be used: what doctor says of it, and the letters themselves, for somebody to look into. */
import { EXIT, type ExitStatus } from '../core/failure.js';
import type { DeadReason, Store } from '../ports.js';
import type { Context } from './context.js';
import { plural, time } from './render.js';

/** What is older has been seen, or matters to nobody. */
const TOLD_FOR_MS = 7 * 24 * 3600_000;
const MOST_SHOWN = 20;
const BODY_SHOWN = 500;

/** Of the last seven days; null when there are none. */
export async function deadLettersText(store: Store, now: number): Promise<{ detail: string; hint: string } | null> {
  const since = now - TOLD_FOR_MS;
  const [newest] = await store.deadLetters(since, 1);
  if (newest === undefined) return null;
  const counts = Object.entries(await store.deadLetterCounts(since)) as [DeadReason, number][];
  const sum = counts.reduce((total, [, count]) => total + count, 0);
  const reasons = counts.map(([reason, count]) => `${reason} ${count.toLocaleString('en')}`);
  const advice = counts.map(([reason]) => `${reason}: ${ADVICE[reason]}`);
  return {
    detail: `In 7 days ${plural(sum, 'callback')} could not be used in full: ${reasons.join(', ')}; the newest came ${time(newest.receivedAt)}.`,
    hint: [...advice, 'See them: pagecast doctor --dead-letters'].join('\n'),
  };
}

const ADVICE: Record<DeadReason, string> = {
  not_json: 'What was signed was no JSON. Look at what stands between the service and the listener.',
  too_deep: 'It was nested deeper than anything that a service sends. Look at who else has the secret.',
  not_a_webhook: 'It was no callback of the service to whose address it came. Look at which address is entered where.',
  unknown_account:
    'It was about an account that pagecast.yaml does not have. Add it (for Instagram behind a Page: instagramId), or take the subscription away at the service.',
  malformed:
    'A part of it lacked what such a callback has. The service may have changed them: look for a newer pagecast.',
  from_the_future:
    'It tells of times to come: either the clock of this machine is behind (then set it), or the event is wrong.',
  over_limit: 'It held more than one callback may hold; what was above that is lost.',
  failed: 'It came to an error when it was heard, which is a fault in pagecast. Please report it, with the log.',
};

/** The newest, whenever they came. */
export async function showDeadLetters(context: Context): Promise<ExitStatus> {
  const { terminal } = context;
  const { store } = await context.store();
  const letters = await store.deadLetters(0, MOST_SHOWN);
  if (terminal.json) {
    terminal.document(
      letters.map(({ receivedAt, ...letter }) => ({ receivedAt: new Date(receivedAt).toISOString(), ...letter })),
    );
    return EXIT.done;
  }
  for (const { receivedAt, service, reason, body } of letters) {
    terminal.data(`${terminal.paint.bold(`${time(receivedAt)}  ${service}  ${reason}`)}\n  ${beginning(body)}`);
  }
  terminal.note(
    letters.length === 0
      ? 'There are no dead letters.'
      : 'They may hold what people wrote, and whole ids: pass them on to nobody who may not read that.',
  );
  return EXIT.done;
}

/** What somebody else wrote must not steer the terminal. */
function beginning(body: string): string {
  const plain = body.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]+/gu, ' ').trim();
  const characters = Array.from(plain.slice(0, 2 * BODY_SHOWN));
  return characters.length > BODY_SHOWN ? `${characters.slice(0, BODY_SHOWN).join('')}…` : plain;
}
