/**
 * What may be sent to whom: the rules of the two vendor pages in one table, what is never sent, and the text that a sender of
 * messages in bulk accepts. Sources: Messenger Platform policy and message tags (developers.facebook.com/docs/messenger-platform/policy),
 * Converse's page on interactive, automated and bulk messaging, row V6 of the two vendor pages.
 */
import { CHANNELS, type Channel, type Template } from './template.js';

/** What occasions a message. The last three are flows, which answer or act by themselves. */
export const SEND_MODES = ['interactive', 'bulk', 'auto-reply', 'automation', 'notification'] as const;
export type SendMode = (typeof SEND_MODES)[number];

/** `record-owner`: the number of whoever a record belongs to. `auto`: whatever the keyword came in on. */
export const SENDER_KINDS = ['account', 'record-owner', 'auto'] as const;
export type SenderKind = (typeof SENDER_KINDS)[number];

export const CONTENT_KINDS = ['free-text', 'session', 'registered'] as const;
export type ContentKind = (typeof CONTENT_KINDS)[number];

/** One way to send something to somebody. */
export interface Situation {
  mode: SendMode;
  sender: SenderKind;
  channel: Channel;
  content: ContentKind;
  /** The channels that the template is tagged with; none for free text. */
  tagged: readonly Channel[];
  /** Whether the person's 24-hour window is open; SMS has none. */
  inside: boolean;
}

/** A refusal names the row of the vendors' pages that it comes from, and what would be allowed instead. */
export type Verdict = { allowed: true } | { allowed: false; row: RuleRow; reason: string; instead: string };

/** C: "Send Messenger messages" of CAMS. V: Converse's page on interactive, automated and bulk messaging. */
export type RuleRow = 'C1' | 'C5' | 'V1' | 'V2' | 'V4' | 'V5' | 'V6';

interface Rule {
  row: RuleRow;
  refuses: (situation: Situation) => boolean;
  reason: string;
  instead: string;
}

const isFlow = ({ mode }: Situation): boolean => mode !== 'interactive' && mode !== 'bulk';
const isTagged = ({ content, tagged, channel }: Situation): boolean =>
  content === 'free-text' || tagged.includes(channel);
/** SMS knows no window and no templates that a platform approves. */
const isMeta = ({ channel }: Situation): boolean => channel !== 'sms';
const isTooLate = (situation: Situation): boolean =>
  isMeta(situation) && !situation.inside && situation.content !== 'registered';

/** The first that refuses decides. */
const RULES: readonly Rule[] = [
  {
    row: 'V5',
    refuses: (one) => one.sender === 'auto' && !isFlow(one),
    reason: 'The sender "auto" answers on the channel on which a keyword came in, so only flows can use it.',
    instead: 'Choose an account.',
  },
  {
    row: 'V5',
    refuses: ({ sender, content, tagged }) =>
      sender === 'auto' && (content === 'free-text' || !CHANNELS.every((channel) => tagged.includes(channel))),
    reason: 'The sender "auto" may have to answer on any channel, so it takes only templates that are for all of them.',
    instead: `Tag the template with ${CHANNELS.join(', ')}, or choose an account.`,
  },
  {
    row: 'V2',
    refuses: (one) => one.sender === 'record-owner' && isMeta(one),
    reason: 'A record owner sends from their own number, by SMS only.',
    instead: 'Choose an account of this channel, or phone numbers and a template that is for sms.',
  },
  {
    row: 'V2',
    refuses: (one) => one.sender === 'record-owner' && (one.content === 'free-text' || !isTagged(one)),
    reason: 'The sender "record-owner" takes only templates that are for sms.',
    instead: "Choose such a template, or add sms to the template's channels and check it again.",
  },
  {
    row: 'C1',
    refuses: (one) => one.mode === 'bulk' && !isTagged(one),
    reason: 'The template is not for the channel of the account.',
    instead: "Choose another account, or add the channel to the template's channels and check it again.",
  },
  {
    row: 'V1',
    refuses: (one) => one.mode === 'interactive' && !isTagged(one),
    reason: 'The template is not for the channel of the account.',
    instead: "Choose another account, or add the channel to the template's channels and check it again.",
  },
  {
    row: 'V4',
    refuses: (one) => !isTagged(one),
    reason: 'The template is not for the channel that the flow sends on.',
    instead: "Choose another sender, or add the channel to the template's channels and check it again.",
  },
  {
    row: 'V1',
    // Utility templates are documented for PSIDs only (utility-messages, 13 March 2026).
    refuses: ({ content, channel }) => content === 'registered' && channel !== 'messenger',
    reason: 'Registered templates exist on Messenger only.',
    instead: 'Use a session template: on Instagram inside the window, by SMS at any time.',
  },
  {
    row: 'V6',
    refuses: ({ mode, content }) => mode === 'bulk' && content === 'free-text',
    reason: 'A message to many people is made of a template.',
    instead: 'Write a template: pagecast template new NAME.',
  },
  {
    row: 'V4',
    refuses: (one) =>
      (one.mode === 'automation' || one.mode === 'notification') &&
      (isMeta(one) ? one.content !== 'registered' : one.content === 'free-text'),
    reason: 'Automations and notifications may use registered templates only (by SMS any template that is for sms).',
    instead: 'Use a registered template that is APPROVED, or make it an auto-reply, which answers what somebody wrote.',
  },
  {
    row: 'C5',
    refuses: (one) => one.mode === 'bulk' && isTooLate(one),
    reason: 'This person has not written to the account within 24 hours, and a session template needs that.',
    instead: 'Wait until they write, or give those outside a registered template: --outside-window registered.',
  },
  {
    row: 'V1',
    refuses: (one) => one.mode === 'interactive' && isTooLate(one),
    reason:
      "This person's 24-hour window is shut, and outside it only registered templates may be sent: no free text and no session template.",
    instead: 'Send a registered template that is APPROVED, or wait until they write.',
  },
  {
    row: 'V4',
    refuses: (one) => isFlow(one) && isTooLate(one),
    reason: 'An automatic answer comes within 24 hours of what it answers, or is a registered template.',
    instead: 'Use a registered template that is APPROVED.',
  },
];

/** What the rows of the two vendor pages say about sending something. */
export function judge(situation: Situation): Verdict {
  const rule = RULES.find((one) => one.refuses(situation));
  return rule === undefined
    ? { allowed: true }
    : { allowed: false, row: rule.row, reason: rule.reason, instead: rule.instead };
}

export interface PolicyBlock {
  code: 'HUMAN_AGENT' | 'DEAD_TAG' | 'TAG' | 'NOT_APPROVED' | 'CHANNEL';
  reason: string;
  instead: string;
}

/** Since 2026-04-27 every request with one of these is refused with error code 100 (changelog of 2026-03-27). */
export const DEAD_TAGS = ['CONFIRMED_EVENT_UPDATE', 'ACCOUNT_UPDATE', 'POST_PURCHASE_UPDATE'];

/** Why a template may not be sent at all on a channel, or null. */
export function templateBlock(template: Template, channel: Channel): PolicyBlock | null {
  if (template.tag === 'HUMAN_AGENT') {
    return {
      code: 'HUMAN_AGENT',
      reason:
        'HUMAN_AGENT is for answers that a person writes to one user, in an app that Meta has approved for it; on automated messages it puts the Page at risk, so pagecast never sends it.',
      instead:
        'Remove the tag, and the message goes to everybody whose window is open; for those outside, use a registered (utility) template.',
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
      instead:
        'Wait until the platform has approved it, then bring its status up to date: pagecast template pull --from ACCOUNT',
    };
  }
  return null;
}

/**
 * Whom a bulk message can reach: only people whose window is open, everybody, or `both`: those inside with one template and
 * those outside with another one.
 */
export type Reach = 'inside' | 'everybody' | 'both';

/** @param outside the registered template for people whose window is shut; null when they are left out */
export function reachOf(
  { template, outside }: { template: Template; outside: Template | null },
  channel: Channel,
): Reach {
  const mayGoOutside = ({ kind: content, channels: tagged }: Template): boolean =>
    judge({ mode: 'bulk', sender: 'account', channel, content, tagged, inside: false }).allowed;
  if (mayGoOutside(template)) return 'everybody';
  return outside !== null && mayGoOutside(outside) ? 'both' : 'inside';
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
