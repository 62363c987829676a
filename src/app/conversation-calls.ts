/** What all reading of conversations keeps to, whichever of them it is after. */
import type { DeliveryError } from '../core/delivery.js';
import type { Clock } from '../ports.js';

/**
 * A rest before each call keeps them at two in any one second (Conversations API: 2 calls a second for each Page,
 * overview/rate-limiting, 23 March 2026), as the platform counts them: a call leaves only after the answer to the one before.
 */
export const CALL_EVERY_MS = 500;

/** To be waited for before each call; calls are made one after the other. */
export async function conversationTurn(clock: Clock): Promise<void> {
  const until = clock.monotonic() + CALL_EVERY_MS;
  // A timer may wake a moment early. An interrupt does not cut this short: the call that is to come would be one too many.
  for (let rest = CALL_EVERY_MS; rest > 0; rest = until - clock.monotonic()) await clock.sleep(Math.ceil(rest));
}

const UNANSWERED = ['TIMEOUT', 'CONNECTION_LOST', 'SERVER_ERROR'];

/** Whether a call failed for want of an answer, which has nothing to do with what was asked. */
export function isUnanswered({ code }: DeliveryError): boolean {
  return UNANSWERED.includes(code);
}
