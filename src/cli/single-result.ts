/** What became of one message to one person, in words. */
import type { SingleResult } from '../app/send-one.js';
import { explainError } from '../core/platform-errors.js';
import { maskId } from '../core/user-id.js';

/** Of a message that was tried, or at least queued. */
export function resultLines(
  userId: string,
  { campaign, state, error }: Pick<Extract<SingleResult, { kind: 'tried' }>, 'campaign' | 'state' | 'error'>,
): string[] {
  const what = { sent: 'Sent to', failed: 'Refused for', skipped: 'Not sent to', unknown: 'It is not known for' }[
    state
  ];
  const { meaning, advice } = explainError(error?.code ?? '');
  const why = error === null ? '' : `: ${meaning} [${error.code}]\n  ${advice}`;
  return [
    `${what} ${maskId(userId)}${state === 'unknown' ? ' whether it arrived' : ''}${why || '.'}`,
    ...(state === 'skipped' ? ['Nothing was sent, and nothing waits to be: when that is mended, send it again.'] : []),
    ...(state === 'unknown' && campaign !== null ? [`Find out: pagecast campaign reconcile ${campaign}`] : []),
  ];
}
