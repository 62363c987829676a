/** Single messages: those that answer a person, and those of flows. What holds for them at the moment of sending. */
import { mayAnswer, OPT_OUT_FLOW } from './opt-out.js';
import type { SkipReason, Standing } from './plan.js';
import { judge, type SendMode, type Situation } from './policy.js';
import type { Channel, Template } from './template.js';
import { windowState, type WindowSettings } from './window.js';

export interface Single {
  mode: SendMode;
  /** Its flow, or OPT_OUT_FLOW; null for one that a person writes. */
  flow: string | null;
  template: Template;
  /** When the person wrote what it answers; null when it answers nothing that they wrote. */
  answersAt: number | null;
  /** From this instant on it is too late. */
  expiresAt: number;
}

/** Whether messages of a mode answer people, rather than go out of the account's own accord. */
export function isAnswer(mode: SendMode): boolean {
  return mode === 'interactive' || mode === 'auto-reply';
}

/** Whether somebody has asked for no messages, and this is not the answer to what they wrote later, nor its confirmation. */
export function isUnwanted(
  { mode, flow, answersAt }: Pick<Single, 'mode' | 'flow' | 'answersAt'>,
  { optedOutAt }: Standing,
): boolean {
  return !mayAnswer(optedOutAt, isAnswer(mode) ? answersAt : null, flow === OPT_OUT_FLOW);
}

/** @returns why a single message must not go on the wire now; null when it may */
export function reasonAgainst(
  single: Single,
  standing: Standing,
  now: number,
  window: WindowSettings,
  channel: Channel,
): SkipReason | null {
  if (single.expiresAt <= now) return 'expired';
  if (isUnwanted(single, standing)) return 'opted_out';
  const state = windowState(standing.last, now, window);
  const situation: Situation = {
    mode: single.mode,
    sender: 'account',
    channel,
    content: single.template.kind,
    tagged: single.template.channels,
    inside: state === 'open',
  };
  if (judge(situation).allowed) return null;
  if (!judge({ ...situation, inside: true }).allowed) return 'invalid';
  return state === 'unknown' ? 'window_unknown' : 'window_closed';
}
