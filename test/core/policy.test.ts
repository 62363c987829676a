import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BULK_POLICY,
  CONTENT_KINDS,
  DEAD_TAGS,
  judge,
  reachOf,
  SEND_MODES,
  SENDER_KINDS,
  templateBlock,
  type PolicyBlock,
  type Reach,
  type Situation,
} from '../../src/core/policy.js';
import { CHANNELS, type Channel, type Registration, type Template } from '../../src/core/template.js';

const session: Template = {
  name: 't',
  language: 'en_US',
  channels: ['messenger', 'instagram'],
  kind: 'session',
  body: 'Hello',
  buttons: [],
  quickReplies: [],
  variables: [],
};
const registration: Registration = { name: 't', status: 'APPROVED', parameters: 'named' };
const registered: Template = { ...session, kind: 'registered', channels: ['messenger'], registration };

describe('judge', () => {
  const ALL = [...CHANNELS];
  /** Mode, sender, channel, content, the template's channels, inside the window → the row that refuses. */
  type Row = [
    Situation['mode'],
    Situation['sender'],
    Channel,
    Situation['content'],
    readonly Channel[],
    'inside' | 'outside',
    string,
  ];

  it.each<Row>([
    // V1: inside the window free text or any template tagged with the channel, outside only registered templates.
    ['interactive', 'account', 'messenger', 'free-text', [], 'inside', 'allowed'],
    ['interactive', 'account', 'messenger', 'session', ['messenger'], 'inside', 'allowed'],
    ['interactive', 'account', 'messenger', 'registered', ['messenger'], 'inside', 'allowed'],
    ['interactive', 'account', 'instagram', 'session', ['messenger', 'instagram'], 'inside', 'allowed'],
    ['interactive', 'account', 'messenger', 'session', ['instagram', 'sms'], 'inside', 'V1'],
    ['interactive', 'account', 'messenger', 'free-text', [], 'outside', 'V1'],
    ['interactive', 'account', 'messenger', 'session', ['messenger'], 'outside', 'V1'],
    ['interactive', 'account', 'messenger', 'registered', ['messenger'], 'outside', 'allowed'],
    ['interactive', 'account', 'instagram', 'registered', ['instagram'], 'outside', 'V1'],
    // SMS has no window.
    ['interactive', 'account', 'sms', 'free-text', [], 'outside', 'allowed'],
    ['interactive', 'account', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    // V2: the record owner's number takes only templates tagged sms, and only on the SMS channel.
    ['interactive', 'record-owner', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    ['interactive', 'record-owner', 'sms', 'free-text', [], 'inside', 'V2'],
    ['interactive', 'record-owner', 'messenger', 'session', ['messenger', 'sms'], 'inside', 'V2'],
    ['bulk', 'record-owner', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    ['bulk', 'record-owner', 'sms', 'session', ['messenger'], 'outside', 'V2'],
    ['bulk', 'record-owner', 'instagram', 'session', ['instagram'], 'inside', 'V2'],
    ['notification', 'record-owner', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    // V4: an auto-reply may use free text or any template tagged with the channel; the other flows only registered ones.
    ['auto-reply', 'account', 'messenger', 'free-text', [], 'inside', 'allowed'],
    ['auto-reply', 'account', 'instagram', 'session', ['instagram'], 'inside', 'allowed'],
    ['auto-reply', 'account', 'messenger', 'session', ['sms'], 'inside', 'V4'],
    ['auto-reply', 'account', 'messenger', 'free-text', [], 'outside', 'V4'],
    ['auto-reply', 'account', 'messenger', 'registered', ['messenger'], 'outside', 'allowed'],
    ['automation', 'account', 'messenger', 'free-text', [], 'inside', 'V4'],
    ['automation', 'account', 'messenger', 'session', ['messenger'], 'inside', 'V4'],
    ['automation', 'account', 'messenger', 'registered', ['messenger'], 'inside', 'allowed'],
    ['automation', 'account', 'messenger', 'registered', ['messenger'], 'outside', 'allowed'],
    ['notification', 'account', 'messenger', 'session', ['messenger'], 'inside', 'V4'],
    ['notification', 'account', 'messenger', 'registered', ['messenger'], 'outside', 'allowed'],
    ['notification', 'account', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    ['notification', 'account', 'sms', 'free-text', [], 'outside', 'V4'],
    // V5: "auto" belongs to flows and takes templates of every channel.
    ['auto-reply', 'auto', 'messenger', 'session', ALL, 'inside', 'allowed'],
    ['auto-reply', 'auto', 'sms', 'session', ALL, 'inside', 'allowed'],
    ['auto-reply', 'auto', 'messenger', 'session', ['messenger', 'sms'], 'inside', 'V5'],
    ['auto-reply', 'auto', 'messenger', 'free-text', [], 'inside', 'V5'],
    ['bulk', 'auto', 'messenger', 'session', ALL, 'inside', 'V5'],
    ['interactive', 'auto', 'messenger', 'session', ALL, 'inside', 'V5'],
    // C1, C5, V6: in bulk, templates of the account's channel, to people inside their window; outside only registered ones.
    ['bulk', 'account', 'messenger', 'session', ['messenger'], 'inside', 'allowed'],
    ['bulk', 'account', 'messenger', 'session', ['messenger'], 'outside', 'C5'],
    ['bulk', 'account', 'instagram', 'session', ['instagram'], 'outside', 'C5'],
    ['bulk', 'account', 'messenger', 'registered', ['messenger'], 'outside', 'allowed'],
    ['bulk', 'account', 'messenger', 'session', ['instagram'], 'inside', 'C1'],
    ['bulk', 'account', 'sms', 'session', ['sms'], 'outside', 'allowed'],
    ['bulk', 'account', 'messenger', 'free-text', [], 'inside', 'V6'],
  ])('%s from %s on %s: %s for %j, %s → %s', (mode, sender, channel, content, tagged, where, expected) => {
    const verdict = judge({ mode, sender, channel, content, tagged, inside: where === 'inside' });
    expect(verdict.allowed ? 'allowed' : verdict.row).toBe(expected);
    if (!verdict.allowed) {
      expect(verdict.reason).toMatch(/\.$/);
      expect(verdict.instead).toMatch(/\.$/);
    }
  });

  const situations = fc.record<Situation>({
    mode: fc.constantFrom(...SEND_MODES),
    sender: fc.constantFrom(...SENDER_KINDS),
    channel: fc.constantFrom(...CHANNELS),
    content: fc.constantFrom(...CONTENT_KINDS),
    tagged: fc.subarray([...CHANNELS]),
    inside: fc.boolean(),
  });

  it('never lets anything but a registered template out of the window, nor a template on a channel it is not for', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        fc.pre(judge(situation).allowed);
        const { channel, content, tagged, inside } = situation;
        expect(inside || channel === 'sms' || content === 'registered').toBe(true);
        expect(content === 'free-text' || tagged.includes(channel)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('never refuses inside the window what it allows outside', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        fc.pre(judge({ ...situation, inside: false }).allowed);
        expect(judge({ ...situation, inside: true }).allowed).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('templateBlock', () => {
  it.each<[what: string, template: Template, code: PolicyBlock['code'] | undefined]>([
    ['a session template', session, undefined],
    ['an approved template', registered, undefined],
    ['HUMAN_AGENT', { ...session, tag: 'HUMAN_AGENT' }, 'HUMAN_AGENT'],
    ...DEAD_TAGS.map((tag): [string, Template, 'DEAD_TAG'] => [tag, { ...session, tag }, 'DEAD_TAG']),
    ['another tag', { ...session, tag: 'CUSTOMER_FEEDBACK' }, 'TAG'],
    ['another channel', { ...session, channels: ['sms'] }, 'CHANNEL'],
    ['a pending template', { ...registered, registration: { ...registration, status: 'PENDING' } }, 'NOT_APPROVED'],
    ['a paused template', { ...registered, registration: { ...registration, status: 'PAUSED' } }, 'NOT_APPROVED'],
    [
      'a template in small letters',
      { ...registered, registration: { ...registration, status: 'approved' } },
      'NOT_APPROVED',
    ],
    ['a template that the platform does not know', { ...session, kind: 'registered' }, 'NOT_APPROVED'],
    ['HUMAN_AGENT on an approved template', { ...registered, tag: 'HUMAN_AGENT' }, 'HUMAN_AGENT'],
  ])('%s', (_, template, code) => {
    const block = templateBlock(template, 'messenger');
    expect(block?.code).toBe(code);
    if (block) {
      expect(block.reason).toMatch(/\.$/);
      expect(block.instead).toMatch(/[.A-Z]$/);
    }
  });
});

describe('reachOf', () => {
  it.each<[what: string, template: Template, outside: Template | null, channel: Channel, reach: Reach]>([
    ['a session template', session, null, 'messenger', 'inside'],
    ['a registered template', registered, null, 'messenger', 'everybody'],
    ['both', session, registered, 'messenger', 'both'],
    ['a session template for those outside', session, session, 'messenger', 'inside'],
    ['a registered template on Instagram', session, { ...registered, channels: ['instagram'] }, 'instagram', 'inside'],
    ['SMS', { ...session, channels: ['sms'] }, null, 'sms', 'everybody'],
  ])('%s', (_, template, outside, channel, reach) => {
    expect(reachOf({ template, outside }, channel)).toBe(reach);
  });
});

describe('BULK_POLICY', () => {
  it('says what row V6 asks for, with sources', () => {
    expect(BULK_POLICY.points.join(' ')).toMatch(/unwanted, impersonal and bulk messages/);
    expect(BULK_POLICY.version).toMatch(/^\d{4}-\d{2}$/);
    for (const { url } of BULK_POLICY.links) expect(new URL(url).protocol).toBe('https:');
  });
});
