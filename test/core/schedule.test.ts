import { describe, expect, it } from 'vitest';
import type { CampaignState, StopCause } from '../../src/core/delivery.js';
import { dueAt } from '../../src/core/schedule.js';
import { DAY, HOUR, NOW } from '../support/fixtures.js';

const MINUTE = 60_000;
const timing = { sendAt: NOW + HOUR, expiresAt: NOW + 2 * HOUR, zone: 'UTC' };
const campaign = (state: CampaignState, cause?: StopCause) => ({
  state,
  timing: state === 'scheduled' ? timing : null,
  approvedAt: NOW,
  activeAt: NOW,
  stop: cause === undefined ? null : { cause, at: NOW + HOUR },
});

describe('dueAt', () => {
  it.each<[string, ReturnType<typeof campaign>, number | null]>([
    ['scheduled: at its time', campaign('scheduled'), NOW + HOUR],
    ['running: at once, as its process may have died', campaign('running'), NOW],
    ['ready: when the command that approved it has not started it', campaign('ready'), NOW + MINUTE],
    ['stopped by a limit: after a rest', campaign('stopped', 'rate_limit'), NOW + HOUR + 5 * MINUTE],
    ['stopped by the network: after a rest', campaign('stopped', 'network'), NOW + HOUR + 5 * MINUTE],
    ['stopped for its token: not by itself', campaign('stopped', 'token'), null],
    ['stopped for too many failures: not by itself', campaign('stopped', 'too_many_failures'), null],
    ['paused by Ctrl-C: not by itself', campaign('paused'), null],
    ['paused by somebody: not by itself', campaign('paused', 'person'), null],
    ['finished: never', campaign('finished'), null],
    ['expired: never', campaign('expired'), null],
    ['cancelled: never', campaign('cancelled'), null],
    ['continuous: never, as its messages are due one by one', campaign('continuous'), null],
  ])('%s', (_, found, at) => {
    expect(dueAt(found, NOW)).toBe(at);
  });

  it('leaves what nobody has gone on with for a day to a person; but a timed campaign is to expire', () => {
    for (const found of [campaign('ready'), campaign('running'), campaign('stopped', 'network')]) {
      expect(dueAt(found, NOW + DAY)).not.toBeNull();
      expect(dueAt(found, NOW + DAY + 1)).toBeNull();
    }
    expect(dueAt({ ...campaign('running'), activeAt: NOW + DAY }, NOW + DAY + HOUR)).toBe(NOW);
    expect(dueAt(campaign('scheduled'), NOW + 90 * DAY)).toBe(NOW + HOUR);
  });
});
