import { describe, expect, it } from 'vitest';
import { BULK_POLICY, bulkBlock, DEAD_TAGS, needsOpenWindow, type PolicyBlock } from '../../src/core/policy.js';
import type { Registration, Template } from '../../src/core/template.js';

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
const registered: Template = { ...session, kind: 'registered', registration };

describe('bulkBlock', () => {
  it.each<[what: string, template: Template, code: PolicyBlock['code'] | undefined]>([
    ['a session template', session, undefined],
    ['an approved template', registered, undefined],
    ['HUMAN_AGENT', { ...session, tag: 'HUMAN_AGENT' }, 'HUMAN_AGENT'],
    ...DEAD_TAGS.map((tag): [string, Template, 'DEAD_TAG'] => [tag, { ...session, tag }, 'DEAD_TAG']),
    ['another tag', { ...session, tag: 'CUSTOMER_FEEDBACK' }, 'TAG'],
    ['another channel', { ...session, channels: ['sms'] }, 'CHANNEL'],
    ['a pending template', { ...registered, registration: { ...registration, status: 'PENDING' } }, 'NOT_APPROVED'],
    [
      'a template in small letters',
      { ...registered, registration: { ...registration, status: 'approved' } },
      'NOT_APPROVED',
    ],
    ['a template that the platform does not know', { ...session, kind: 'registered' }, 'NOT_APPROVED'],
    ['HUMAN_AGENT on an approved template', { ...registered, tag: 'HUMAN_AGENT' }, 'HUMAN_AGENT'],
  ])('%s', (_, template, code) => {
    const block = bulkBlock(template, 'messenger');
    expect(block?.code).toBe(code);
    if (block) {
      expect(block.reason).toMatch(/\.$/);
      expect(block.instead).toMatch(/\.$/);
    }
  });
});

describe('needsOpenWindow', () => {
  it('is what sets session and registered templates apart', () => {
    expect(needsOpenWindow(session)).toBe(true);
    expect(needsOpenWindow(registered)).toBe(false);
  });
});

describe('BULK_POLICY', () => {
  it('says what row V6 asks for, with sources', () => {
    expect(BULK_POLICY.points.join(' ')).toMatch(/unwanted, impersonal and bulk messages/);
    expect(BULK_POLICY.version).toMatch(/^\d{4}-\d{2}$/);
    for (const { url } of BULK_POLICY.links) expect(new URL(url).protocol).toBe('https:');
  });
});
