/**
 * What an error 100 without a subcode means before anything was sent. The platform gives it both for a message that it does
 * not take and for a proof of the app secret that is missing or wrong (graph-api/guides/secure-requests), and only its words,
 * which are never looked at, tell them apart. So it is asked for something that has no content: a proof that it does not
 * take is refused there, too.
 */
import type { Outcome } from '../core/delivery.js';
import type { GraphCalls } from './graph-calls.js';

const UNCLEAR = '100';

/** Not the platform's own: a row of core/platform-errors.ts. */
const PROOF_REFUSED = '100/appsecret';

export class ProofDoubt {
  readonly #calls: GraphCalls;
  /** Something was sent, or was read: the proof is accepted. */
  #isAccepted = false;
  /** Calls that meet the same error together ask once. */
  #asking: Promise<'accepted' | 'refused' | 'unknown'> | null = null;

  constructor(calls: GraphCalls) {
    this.#calls = calls;
  }

  /** @param outcomes of one call @returns the same, or with the proof as their cause */
  async resolve(outcomes: Outcome[]): Promise<Outcome[]> {
    if (this.#isAccepted) return outcomes;
    this.#isAccepted = outcomes.some(({ kind }) => kind === 'sent');
    if (this.#isAccepted || !outcomes.some(isUnclear)) return outcomes;
    this.#asking ??= this.#ask();
    const answer = await this.#asking;
    this.#asking = null;
    this.#isAccepted ||= answer === 'accepted';
    return answer === 'refused' ? outcomes.map((one) => (isUnclear(one) ? withProof(one) : one)) : outcomes;
  }

  async #ask(): Promise<'accepted' | 'refused' | 'unknown'> {
    const answer = await this.#calls.get('me', { fields: 'id' });
    if (!('error' in answer)) return 'accepted';
    return answer.error.code === UNCLEAR ? 'refused' : 'unknown';
  }
}

type Stopped = Extract<Outcome, { kind: 'stopped' }>;

function isUnclear(outcome: Outcome): outcome is Stopped {
  return outcome.kind === 'stopped' && outcome.error.code === UNCLEAR;
}

function withProof(outcome: Stopped): Stopped {
  return { ...outcome, stop: 'token', error: { ...outcome.error, code: PROOF_REFUSED } };
}
