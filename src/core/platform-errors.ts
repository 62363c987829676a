/**
 * What each error means, how it is met and what a person can do: those of the Messenger Platform by `code/subcode`, those of
 * the way to any service by a word; those of CAMS and Twilio have files of their own. Sources: Messenger Platform error codes
 * (25 June 2026), Graph API error handling and rate limits, and bodies seen in public issue threads.
 */
import type { StopCause } from './delivery.js';
import { explainCamsError } from './cams-errors.js';
import { explainTwilioError } from './twilio-errors.js';

/** How an error is met. `optedOut`: the person does not wish to be written to any more. */
export type ErrorClass =
  | { kind: 'rejected'; optedOut?: true }
  | { kind: 'retryable' }
  | { kind: 'pause' }
  | { kind: 'unknown' }
  | { kind: 'stop'; cause: StopCause };

export interface ErrorRow {
  class: ErrorClass;
  meaning: string;
  advice: string;
}

const unknown = (meaning: string, advice = 'Do not send again; look into the conversation.'): ErrorRow => ({
  class: { kind: 'unknown' },
  meaning,
  advice,
});
const retryable = (meaning: string): ErrorRow => ({
  class: { kind: 'retryable' },
  meaning,
  advice: 'Tried again a few times.',
});
const rejected = (meaning: string, advice = 'Leave this person out.'): ErrorRow => ({
  class: { kind: 'rejected' },
  meaning,
  advice,
});
const pause = (meaning: string): ErrorRow => ({
  class: { kind: 'pause' },
  meaning,
  advice: 'The run waits and goes on by itself; a lower pace avoids it.',
});
const stop = (cause: StopCause, meaning: string, advice: string): ErrorRow => ({
  class: { kind: 'stop', cause },
  meaning,
  advice,
});
const CHECK_TOKEN = 'Make a new token for the account and put it where pagecast.yaml says, then resume the campaign.';
const LONG_LIVED =
  'Make a new, long-lived token for the account and put it where pagecast.yaml says, then resume the campaign.';
const CHECK_VERSION = 'Set `version:` of the account in pagecast.yaml to one that is in use, then resume the campaign.';
const CHECK_PERMISSION = "Check the app's permissions and its access level for this Page, then resume the campaign.";
const CHECK_CONTENT = 'Look at the template and at its values.';
const CHECK_PAGE = "Read the Page's Support Inbox. Resume only when the restriction is lifted.";

/** By `code/subcode`, then by `code` alone. The text of an error is localised and is never looked at. */
const ERRORS: Record<string, ErrorRow> = {
  '1/1357046': unknown('The platform could not finish its reply, though the message may have been sent.'),
  '1/99': retryable('The platform had an unknown error, often for want of a permission.'),
  '1': retryable('The platform had an unknown error.'),
  '2': retryable('The platform was temporarily unable, or the person has blocked the Page.'),
  '3': stop('permission', 'The app lacks the capability or permission for this call.', CHECK_PERMISSION),
  '1200': retryable('Temporary failure to send.'),
  '4': pause("The app's request limit is reached."),
  '4/2018022': pause('Too many messages to phone numbers.'),
  '4/2018354': rejected('This person has had a marketing message too recently.'),
  '9/2018352': rejected('The limit of opt-in requests to this person is reached.'),
  '10/2018278': rejected('Outside the 24-hour window (Messenger).', 'Wait until the person writes again.'),
  '10/2018065': rejected('Outside the 24-hour window (older wording).', 'Wait until the person writes again.'),
  '10/2534022': rejected('Outside the 24-hour window (Instagram).', 'Wait until the person writes again.'),
  '10/2018108': rejected('This person cannot receive messages now.', 'Try this person in a later campaign.'),
  '10/2018336': rejected('This conversation is limited by regional rules.'),
  '10/1893015': {
    class: { kind: 'rejected', optedOut: true },
    meaning: 'This person has stopped these messages.',
    advice: 'Leave this person out from now on.',
  },
  '10/1893063': stop('restricted', 'The Page is temporarily restricted from sending.', CHECK_PAGE),
  '10/1404170': stop('restricted', 'The Page is restricted from sending opt-in requests.', CHECK_PAGE),
  '10/2534077': stop(
    'permission',
    'The link between Instagram account and Page is broken or needs two-factor login.',
    CHECK_PERMISSION,
  ),
  '10': stop('permission', 'The app may not send for this Page.', CHECK_PERMISSION),
  '100/33': stop('permission', 'The Page is not known to this token.', CHECK_PERMISSION),
  '100/2018001': rejected('No such user for this Page.'),
  '100/2534014': rejected('No such Instagram user for this account.'),
  '100/2534025': rejected('The comment cannot be answered privately.'),
  '100/2534037': rejected('Another app holds this conversation.', 'Try this person in a later campaign.'),
  '100/2534013': stop('permission', 'The Page is not linked to an Instagram account.', CHECK_PERMISSION),
  '100/2534029': stop('restricted', 'The business is blocked from sending on Instagram.', CHECK_PAGE),
  '100/2018008': stop('content', 'The media file could not be fetched.', 'Check that the link opens without a login.'),
  '100/2018047': stop('content', 'The media file is not of the type that the template says.', CHECK_CONTENT),
  '100/2018074': stop('content', 'The attachment belongs to somebody else.', CHECK_CONTENT),
  '100/2018109': stop('content', 'The attachment is too large.', CHECK_CONTENT),
  '100/2018294': stop('content', 'The video took too long to fetch.', CHECK_CONTENT),
  // Reported by a public project (vlab-research, utility messages, April 2026); on no page of Meta's.
  '100/1893029': stop(
    'content',
    'A postback button of the registered template lacks its payload.',
    'Compare the buttons with `pagecast template pull`. Where only some payloads of a template have a variable, hand it in under a new name with one in each.',
  ),
  // The same project met it when a template was handed in.
  '100/2018416': stop(
    'content',
    'A registered template has a button of the type QUICK_REPLY, which Messenger does not take.',
    'Make its buttons links or postbacks, and hand it in under a new name.',
  ),
  '100/2534015': stop('content', 'Instagram does not take this message.', CHECK_CONTENT),
  '100': stop(
    'content',
    'The platform does not take this message (a retired message tag or an expired notification token gives this error, too).',
    CHECK_CONTENT,
  ),
  // Not the platform's own code: the provider has found out what its 100 without a subcode is about.
  '100/appsecret': stop(
    'token',
    'The app secret of the account is missing, or does not fit its access token.',
    "Set `appSecret:` of the account in pagecast.yaml to the secret of the token's app, see `pagecast account verify`, then resume the campaign.",
  ),
  '102': stop('token', 'The session of the access token has ended.', CHECK_TOKEN),
  '104': stop('token', 'The platform has not been shown an access token.', CHECK_TOKEN),
  '190/458': stop('token', 'The owner of the access token has removed the app.', CHECK_TOKEN),
  '190/459': stop(
    'token',
    'The platform wants to check the owner of the access token first.',
    'That person logs in on facebook.com and does what it asks; then resume the campaign.',
  ),
  '190/460': stop('token', 'The access token ended when its owner changed the password or logged out.', CHECK_TOKEN),
  '190/463': stop('token', 'The access token has expired.', LONG_LIVED),
  '190/464': stop(
    'token',
    'The owner of the access token has not confirmed their account.',
    'That person confirms it on facebook.com; then resume the campaign.',
  ),
  '190/467': stop('token', 'The access token is invalid: it was revoked, or its owner logged out.', CHECK_TOKEN),
  '190/492': stop(
    'token',
    'The owner of the access token has no role on the Page any more.',
    'Make a new token as somebody who may write for the Page, then resume the campaign.',
  ),
  '190': stop('token', 'The access token is expired, revoked or wrong.', CHECK_TOKEN),
  '200/1545041': rejected('This person is not available (some pages of the platform say: window closed).'),
  '551/1545041': rejected('This person is not available (some pages of the platform say: window closed).'),
  '551': rejected('This person is not available.'),
  '200/2018028': stop(
    'permission',
    'The app is not live or not reviewed: it reaches only people with a role on it.',
    CHECK_PERMISSION,
  ),
  '200/2534041': stop('permission', 'The Instagram owner has turned message access off.', CHECK_PERMISSION),
  '200': stop('permission', 'The token lacks a permission.', CHECK_PERMISSION),
  '230': rejected('The permissions do not allow a message to this person.'),
  '368': stop('restricted', 'The Page is temporarily blocked for breaking the policy.', CHECK_PAGE),
  '2022': stop('restricted', 'A feature of the Page is limited after a breach of policy.', CHECK_PAGE),
  '613/1996': pause('The volume of requests has changed too abruptly.'),
  '613/2534040': pause('The rate limit of the API is reached.'),
  '613/2018338': stop('restricted', 'The platform warns of bothersome messages.', CHECK_PAGE),
  '613/1893016': rejected('This person has been asked to opt in already.'),
  '613': pause('The rate limit of the API is reached.'),
  '17': pause('The request limit of the token is reached.'),
  '32': pause("The Page's request limit is reached."),
  '341': pause('The application limit is reached.'),
  '80001': pause('Too many calls to this Page.'),
  '80002': pause('Too many calls to this Instagram account.'),
  '80006': pause('Too many messages from this Page.'),
  '10900': rejected('This has been answered already.'),
  '10903': rejected('This person cannot be answered.'),
  // A wrong version of the API in the path comes as this; seen in public issue threads.
  '2500': stop('permission', 'The platform does not know this address or this version of its API.', CHECK_VERSION),
  // Documented nowhere; seen for retired versions of the Marketing API, which share their numbers with the Graph API.
  '2635': stop('permission', 'This version of the API is retired.', CHECK_VERSION),
  '2018300': rejected('Another app holds this conversation.', 'Try this person in a later campaign.'),
  '2018321': rejected('A question flow is active in this conversation.', 'Try this person in a later campaign.'),
  '36000': stop('content', 'The image is too large.', CHECK_CONTENT),
  // Has no code. Nothing says whether a part of the batch was carried out before it was refused.
  GraphBatchException: unknown(
    'The platform did not take the batch; its messages may have been sent.',
    'Take `batch:` out of the account in pagecast.yaml, and look into the conversations.',
  ),
  TIMEOUT: unknown('No answer came in time; the message may have been sent.'),
  CONNECTION_LOST: unknown('The connection broke before the answer came; the message may have been sent.'),
  REPLY_UNREADABLE: unknown('The answer could not be understood; the message may have been sent.'),
  SERVER_ERROR: unknown('The platform answered with a server error; the message may have been sent.'),
  TEMPLATE_NOT_APPROVED: stop(
    'content',
    'The platform does not allow the registered template at the moment.',
    'See why with `pagecast template pull`; resume the campaign when it is APPROVED again.',
  ),
  TEMPLATE_UNSUPPORTED: rejected(
    'The account cannot send registered templates; nothing was sent.',
    'Have its flow send another template, or from an account that can.',
  ),
  RUN_DIED: unknown('The run ended while the message was under way; it may have been sent.'),
  CONNECTION_REFUSED: {
    class: { kind: 'pause' },
    meaning: 'The platform could not be reached; nothing was sent.',
    advice: 'Check the network, then resume the campaign.',
  },
};

const UNLISTED: ErrorRow = stop(
  'content',
  'The platform gave an error that pagecast does not know.',
  'Look the code up before you resume.',
);

/** @param code as in DeliveryError */
export function explainError(code: string): ErrorRow {
  if (code.startsWith('cams:')) return explainCamsError(code.slice('cams:'.length)) ?? UNLISTED;
  if (code.startsWith('twilio:')) return explainTwilioError(code.slice('twilio:'.length));
  const [main = '', subcode = ''] = code.split('/');
  // Of 2018300 and 2018321 the pages do not say whether they are codes or subcodes.
  const either = /^\d{6,}$/.test(subcode) ? subcode : '';
  // Graph's guide to errors gives 200 to 299 one meaning: a permission.
  const family = /^2\d\d$/.test(main) ? '200' : '';
  // Codes come from outside: `toString` is none of the table's.
  const known = [code, either, main, family].find((key) => Object.hasOwn(ERRORS, key));
  return (known === undefined ? undefined : ERRORS[known]) ?? UNLISTED;
}
