/**
 * What the platform's rules say about messages in bulk: what is never sent, and the text a sender accepts.
 * Sources: Messenger Platform policy and message tags (developers.facebook.com/docs/messenger-platform/policy),
 * Converse's page on interactive, automated and bulk messaging, row V6 of the two vendor pages.
 */
import type { Channel, Template } from './template.js';

export interface PolicyBlock {
  code: 'HUMAN_AGENT' | 'DEAD_TAG' | 'TAG' | 'NOT_APPROVED' | 'CHANNEL';
  reason: string;
  instead: string;
}

/** Since 2026-04-27 every request with one of these is refused with error code 100 (changelog of 2026-03-27). */
export const DEAD_TAGS = ['CONFIRMED_EVENT_UPDATE', 'ACCOUNT_UPDATE', 'POST_PURCHASE_UPDATE'];

/** Why a template may never be sent in bulk, or null. */
export function bulkBlock(template: Template, channel: Channel): PolicyBlock | null {
  if (template.tag === 'HUMAN_AGENT') {
    return {
      code: 'HUMAN_AGENT',
      reason:
        'HUMAN_AGENT is for answers that a person writes to one user; on automated messages it puts the Page at risk.',
      instead: 'Remove the tag: the message then goes to everybody whose window is open.',
    };
  }
  if (template.tag !== undefined && DEAD_TAGS.includes(template.tag)) {
    return {
      code: 'DEAD_TAG',
      reason: `Messenger has refused the tag ${template.tag} with error 100 since 27 April 2026.`,
      instead: 'Use a registered (utility) template outside the window, or remove the tag and send inside it.',
    };
  }
  if (template.tag !== undefined) {
    return {
      code: 'TAG',
      reason: `The tag ${template.tag} is not for messages in bulk.`,
      instead: 'Remove the tag.',
    };
  }
  if (!template.channels.includes(channel)) {
    return {
      code: 'CHANNEL',
      reason: `The template is for ${template.channels.join(', ')}, and the account sends on ${channel}.`,
      instead: `Choose an account of one of those channels, or add ${channel} to the template's channels and check it again.`,
    };
  }
  if (template.kind === 'registered' && template.registration?.status !== 'APPROVED') {
    return {
      code: 'NOT_APPROVED',
      reason: `The registered template is ${template.registration?.status ?? 'not known to the platform'}, not APPROVED.`,
      instead: 'Wait until the platform has approved it, then bring its status up to date.',
    };
  }
  return null;
}

/** A registered template may go to people whose window is shut; a session template never. */
export function needsOpenWindow(template: Template): boolean {
  return template.kind === 'session';
}

/** The same content goes out again within this time only if a person says so. */
export const RESEND_AFTER_MS = 86_400_000;

export interface PolicyStatement {
  title: string;
  points: readonly string[];
  links: readonly { label: string; url: string }[];
}

/** What is accepted before a bulk send. Changing its meaning changes `version`, which the ledger keeps with the campaign. */
export const BULK_POLICY: PolicyStatement & { version: string } = {
  version: '2026-11',
  title: 'Before you send to many people at once',
  points: [
    'Meta counts unwanted, impersonal and bulk messages as violations of its policy. It can warn, restrict or block the Page.',
    'Only people who wrote to this account may be written to, and a session message only within 24 hours of their last action.',
    'Everybody who asked not to be written to must be left out, and whoever blocks the Page counts against it.',
    'The message must be what these people expect from you; where the law asks for it, it must say that it is automated.',
  ],
  links: [
    { label: 'Messenger Platform policy', url: 'https://developers.facebook.com/docs/messenger-platform/policy' },
    {
      label: 'Sending messages and the 24-hour window',
      url: 'https://developers.facebook.com/docs/messenger-platform/send-messages',
    },
    {
      label: 'CAMS: send Messenger messages',
      url: 'https://www.alibabacloud.com/help/en/chatapp/user-guide/message-sending',
    },
  ],
};
