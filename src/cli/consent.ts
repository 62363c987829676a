/** Has the policy accepted and the number of people confirmed: by flags, or by somebody at the terminal. */
import type { Consent } from '../app/approve.js';
import type { Context } from './context.js';
import { parseCount } from './options.js';
import { plural } from './render.js';

export interface ConsentOptions {
  acceptPolicy?: boolean;
  confirmCount?: string;
}

/**
 * @param send how many people get the message; of a timed send, how many may
 * @throws Failure ANSWER_NEEDED where nobody can be asked
 */
export async function askForConsent(
  { terminal }: Context,
  send: number,
  options: ConsentOptions,
  isTimed = false,
): Promise<Consent> {
  let policyAccepted = options.acceptPolicy === true;
  const confirmed = options.confirmCount === undefined ? null : parseCount('--confirm-count', options.confirmCount);
  if (send === 0) return { policyAccepted, confirmedCount: 0 };
  if (!policyAccepted) {
    const ask = await terminal.questions('--accept-policy, and --confirm-count with the number of people');
    policyAccepted = await ask.confirm('Do these people expect this message, and do you accept the policy?', false);
    if (!policyAccepted) return { policyAccepted, confirmedCount: 0 };
  }
  if (confirmed !== null) return { policyAccepted, confirmedCount: confirmed };
  const ask = await terminal.questions(`--confirm-count ${send}, if that is how many people you expect to write to`);
  const typed = (answer: string): number => Number(answer.replace(/[\s,.]/g, '') || NaN);
  const people = `${isTimed ? 'up to ' : ''}${plural(send, 'person', 'people')}`;
  const answer = await ask.type(`To send to ${people}, type the number:`, {
    validate: (text) =>
      typed(text) === send ||
      `${isTimed ? 'The sheet has' : 'The plan is for'} ${send}. Type that number, or press Ctrl-C to leave.`,
  });
  return { policyAccepted, confirmedCount: typed(answer) };
}
