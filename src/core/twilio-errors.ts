/**
 * What each error code of Twilio means, how it is met and what a person can do. Codes are Twilio's numbers; a few words stand
 * for what Twilio has no number for. Source: Twilio's error and warning dictionary (twilio.com/docs/api/errors, read in
 * November 2026). Twilio makes new, finer codes of old ones now and then, so a code that is missing here means little.
 */
import type { ErrorRow } from './platform-errors.js';

const rejected = (meaning: string, advice = 'Leave this person out.'): ErrorRow => ({
  class: { kind: 'rejected' },
  meaning,
  advice,
});
const pause = (meaning: string, advice = 'The run waits and goes on by itself; a lower pace avoids it.'): ErrorRow => ({
  class: { kind: 'pause' },
  meaning,
  advice,
});
const content = (meaning: string, advice = 'Look at the template and at its values.'): ErrorRow => ({
  class: { kind: 'stop', cause: 'content' },
  meaning,
  advice,
});
const permission = (meaning: string, advice: string): ErrorRow => ({
  class: { kind: 'stop', cause: 'permission' },
  meaning,
  advice,
});
const inactive = (meaning: string): ErrorRow => ({
  class: { kind: 'stop', cause: 'restricted' },
  meaning,
  advice:
    'See why in the Twilio Console, often the balance is used up; resume the campaign when the account is active.',
});

const CHECK_NUMBER = 'Correct the number: + and country code, then the number without its leading zero.';
const CHECK_SENDER =
  'Set `id:` of the account in pagecast.yaml to an SMS number that belongs to its account SID, then resume the campaign.';
const VERIFY_OR_UPGRADE =
  'Verify the number in the Twilio Console, or upgrade the account and have its primary compliance profile approved.';
const REGISTER = 'Register the number in the Twilio Console, under Regulatory Compliance, before you send again.';
const TOMORROW = 'Wait until the next day, or ask Twilio for a higher limit; then resume the campaign.';

const ROWS: Record<string, ErrorRow> = {
  // The account
  20003: {
    class: { kind: 'stop', cause: 'token' },
    meaning: 'The account SID or the auth token is wrong, or the account is suspended or closed.',
    advice: 'Put both, as the Twilio Console shows them, where pagecast.yaml says, then resume the campaign.',
  },
  20005: inactive('The account is not active.'),
  10001: inactive('The account is not active.'),
  20008: permission(
    'These are test credentials, which may not do this.',
    'Put the live account SID and auth token where pagecast.yaml says, then resume the campaign.',
  ),
  20403: permission(
    'The account may not do this; it may be suspended or closed.',
    'Look at the account in the Twilio Console, then resume the campaign.',
  ),
  20404: permission(
    'Twilio does not know the account, or `url:` of the account leads elsewhere.',
    'Check the account SID and `url:`, then resume the campaign.',
  ),
  30002: inactive('The account was suspended while the message was queued.'),

  // The sender
  21212: permission('The number that sends is not valid.', CHECK_SENDER),
  21601: permission('The number that sends is none of the account, or cannot send SMS.', CHECK_SENDER),
  21603: permission('There is no number to send from.', CHECK_SENDER),
  21606: permission('The number that sends is none of the account, or cannot send SMS there.', CHECK_SENDER),
  21659: permission('The number that sends is none of Twilio.', CHECK_SENDER),
  21660: permission('The number that sends belongs to another account.', CHECK_SENDER),
  21661: permission('The number that sends cannot send SMS.', CHECK_SENDER),
  21609: permission(
    'Twilio does not take the address under `statusCallback:`.',
    'Correct `statusCallback:` of the account in pagecast.yaml, then resume the campaign.',
  ),

  // The recipient
  21211: rejected('This is no valid phone number.', CHECK_NUMBER),
  21214: rejected('This number cannot be reached.'),
  21217: rejected('This does not seem to be a valid phone number.', CHECK_NUMBER),
  21265: rejected('This is a short code, which cannot receive SMS.'),
  21266: rejected('This is the number that sends.'),
  21268: rejected('This is a premium or information service number.'),
  21401: rejected('This is no valid phone number.', CHECK_NUMBER),
  21408: rejected(
    'The account may not send SMS to the country of this number.',
    'Switch the country on in the Twilio Console, under Messaging geographic permissions, then retry.',
  ),
  21604: rejected('There is no number to send to.', CHECK_NUMBER),
  21608: rejected('The account may send to verified numbers only, and this is none.', VERIFY_OR_UPGRADE),
  572002: rejected(
    'A trial account has to write to this number from another one.',
    'See in the Twilio Console which trial number belongs to it, or upgrade the account.',
  ),
  572005: rejected('This number has not been verified to the end, and this is a trial account.', VERIFY_OR_UPGRADE),
  21610: {
    class: { kind: 'rejected', optedOut: true },
    meaning: 'This person has opted out of SMS from this number.',
    advice: 'Nothing to do: this person is left out from now on, also when they text START to the number later.',
  },
  21612: rejected('There is no way for SMS from the number that sends to this one.'),
  21614: rejected('This is no mobile number.'),
  21635: rejected('This is a landline.'),

  // The text
  21602: content('The message has no text.'),
  21605: content('The text is longer than Twilio takes.'),
  21617: content('The text is longer than the 1600 characters that Twilio takes.'),
  21619: content('The message has no text.'),
  21620: content('A link to media is not valid.'),
  21658: content('The text is longer than Twilio takes.'),
  TEXT_ONLY: content(
    'An SMS is text alone.',
    'Take buttons, quick replies, cards and media out of the template, or send it on another channel.',
  ),

  // Limits
  14107: pause('Too many messages in too short a time.'),
  20429: pause('Too many calls to Twilio at a time.'),
  21611: pause('The queue of the number that sends is full: it holds what leaves in ten hours.'),
  21730: pause('Twilio is under maintenance.', 'The run waits and goes on by itself.'),
  30001: pause('The queue of the number that sends was full.'),
  63017: pause('The account sends too many messages a second.'),
  63018: pause('The account sends too many messages a second.'),
  30454: pause('The account has reached its limit of messages.', TOMORROW),
  63038: pause('The account has reached its limit of messages for 24 hours.', TOMORROW),

  // What became of a message after Twilio had taken it
  30003: rejected('The phone could not be reached: switched off, or without a network.', 'Try this person later.'),
  30004: rejected('The message was blocked: by the person, or by rules of the carrier.'),
  30005: rejected('The phone is not known to its carrier; the number may not exist any more.'),
  30006: rejected('This is a landline, or its carrier does not take SMS.'),
  30007: rejected(
    'A carrier or Twilio filtered the message, as unwanted or against the rules.',
    'Look at the text, above all at shortened links, and at whether people agreed to get it.',
  ),
  30008: rejected('The carrier gave no reason.', 'Try this person later.'),
  30010: rejected('The message costs more than the highest price that is set.'),
  30022: rejected('Carriers of the USA refused it: too many messages for the registered campaign.', 'Lower the pace.'),
  30023: rejected("The brand's limit of messages a day is reached (USA).", 'Try this person on the next day.'),
  30027: rejected("T-Mobile's limit of messages a day is reached.", 'Try this person on the next day.'),
  30032: rejected('The toll-free number that sends has not been verified.', REGISTER),
  30034: rejected('The number that sends is not registered for the USA (A2P 10DLC).', REGISTER),
  30036: rejected('The message waited in the queue for longer than it was good for.', 'Lower the pace.'),
  30044: rejected(
    'A trial account cannot send a text of so many segments.',
    'Shorten the text, or upgrade the account.',
  ),
  30450: rejected("Twilio's protection against fraud blocked the message."),
  UNSPECIFIED: rejected(
    'Twilio did not send the message and gives no reason.',
    'Look at the message in the Twilio Console.',
  ),
};

/** @param code such as `21610` */
export function explainTwilioError(code: string): ErrorRow {
  const row = Object.hasOwn(ROWS, code) ? ROWS[code] : undefined;
  // Codes come from outside, and this one becomes part of an address.
  const page = /^\d{1,6}$/.test(code) ? `/${code}` : '';
  return (
    row ??
    content(
      'Twilio gave an error that pagecast does not know.',
      `Look the code up at twilio.com/docs/api/errors${page} before you resume.`,
    )
  );
}
