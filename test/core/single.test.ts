import { describe, expect, it } from 'vitest';
import { OPT_OUT_FLOW } from '../../src/core/opt-out.js';
import type { SkipReason, Standing } from '../../src/core/plan.js';
import type { SendMode } from '../../src/core/policy.js';
import { isAnswer, reasonAgainst, type Single } from '../../src/core/single.js';
import type { Channel, Template } from '../../src/core/template.js';
import { DAY, exactWindow, HOUR, NOW, registeredTemplate, template } from '../support/fixtures.js';

const open: Standing = { last: { openedAt: NOW - HOUR, opener: 'message' }, optedOutAt: null };
const shut: Standing = { last: { openedAt: NOW - DAY, opener: 'message' }, optedOutAt: null };
const stranger: Standing = { last: null, optedOutAt: null };
const forSms: Template = { ...template, channels: ['sms'] };

const single = (mode: SendMode, change: Partial<Single> = {}): Single => ({
  mode,
  flow: mode === 'interactive' ? null : 'greeting',
  template: mode === 'automation' || mode === 'notification' ? registeredTemplate : template,
  answersAt: null,
  expiresAt: NOW + HOUR,
  ...change,
});

describe('a single message', () => {
  it.each<[SendMode, Partial<Single>, Channel, Standing, SkipReason | null]>([
    ['interactive', {}, 'messenger', open, null],
    ['interactive', {}, 'messenger', shut, 'window_closed'],
    ['interactive', {}, 'messenger', stranger, 'window_unknown'],
    ['interactive', { template: registeredTemplate }, 'messenger', shut, null],
    ['interactive', { template: forSms }, 'sms', stranger, null],
    ['auto-reply', {}, 'messenger', open, null],
    ['auto-reply', {}, 'instagram', shut, 'window_closed'],
    ['auto-reply', { template: registeredTemplate }, 'messenger', stranger, null],
    ['auto-reply', { template: forSms }, 'sms', shut, null],
    ['automation', {}, 'messenger', shut, null],
    ['automation', { template }, 'messenger', open, 'invalid'],
    ['automation', { template: forSms }, 'sms', stranger, null],
    ['notification', {}, 'messenger', stranger, null],
    ['notification', { template }, 'messenger', shut, 'invalid'],
    ['notification', {}, 'instagram', open, 'invalid'],
  ])('%s, %o, on %s, %o: %s', (mode, change, channel, standing, reason) => {
    expect(reasonAgainst(single(mode, change), standing, NOW, exactWindow, channel)).toBe(reason);
  });

  it.each([
    [NOW + 1, null],
    [NOW, 'expired'],
    [NOW - 1, 'expired'],
  ])('that is too late from %i on is sent before and not then', (expiresAt, reason) => {
    expect(reasonAgainst(single('interactive', { expiresAt }), open, NOW, exactWindow, 'messenger')).toBe(reason);
  });

  const OUT = NOW - 1000;
  it.each<[SendMode, string | null, { before: boolean; then: boolean; later: boolean; nothing: boolean }]>([
    ['interactive', null, { before: false, then: false, later: true, nothing: false }],
    ['auto-reply', 'greeting', { before: false, then: false, later: true, nothing: false }],
    ['auto-reply', OPT_OUT_FLOW, { before: false, then: true, later: true, nothing: false }],
    ['automation', 'reminder', { before: false, then: false, later: false, nothing: false }],
    ['notification', 'news', { before: false, then: false, later: false, nothing: false }],
  ])('%s of %s reaches who has opted out only as an answer: %o', (mode, flow, allowed) => {
    const answering = (answersAt: number | null): boolean =>
      reasonAgainst(single(mode, { flow, answersAt }), { ...open, optedOutAt: OUT }, NOW, exactWindow, 'messenger') ===
      null;
    expect({
      before: answering(OUT - 1),
      then: answering(OUT),
      later: answering(OUT + 1),
      nothing: answering(null),
    }).toEqual(allowed);
  });

  it.each<[SendMode, boolean]>([
    ['interactive', true],
    ['auto-reply', true],
    ['automation', false],
    ['notification', false],
    ['bulk', false],
  ])('%s is an answer: %s', (mode, answers) => {
    expect(isAnswer(mode)).toBe(answers);
  });
});
