/**
 * What each error code of Alibaba Cloud CAMS means, how it is met and what a person can do. Source: the page "api-error-codes"
 * of CAMS, the common errors of Alibaba Cloud's APIs, and Alibaba's own examples for CAMS (less sure). Of most codes the pages
 * list only some endings, so a code is looked up by its beginning, too.
 */
import type { ErrorRow } from './platform-errors.js';

const stop = (cause: 'token' | 'permission' | 'content', meaning: string, advice: string): ErrorRow => ({
  class: { kind: 'stop', cause },
  meaning,
  advice,
});
const rejected = (meaning: string, advice = 'Leave this person out.'): ErrorRow => ({
  class: { kind: 'rejected' },
  meaning,
  advice,
});
const unknown = (meaning: string): ErrorRow => ({
  class: { kind: 'unknown' },
  meaning,
  advice: 'Do not send again; import the receipts, which tell what became of the message.',
});

const CHECK_KEY =
  'Put an AccessKey pair that is in use where pagecast.yaml says, both halves of one pair, then resume the campaign.';
const CHECK_RIGHTS =
  'Give the RAM user cams:SendChatappMessage and cams:SendChatappMassMessage, then resume the campaign.';
const CHECK_TEMPLATE = 'Compare the code, the language and the variables with the template in the console of CAMS.';
const CHECK_VALUES = 'Look at the template and at its values.';

const ROWS: Record<string, ErrorRow> = {
  InvalidAccessKeyId: stop('token', 'Alibaba Cloud does not know the AccessKey id, or it is disabled.', CHECK_KEY),
  SignatureDoesNotMatch: stop('token', 'The AccessKey secret does not belong to the AccessKey id.', CHECK_KEY),
  IncompleteSignature: stop('token', 'Alibaba Cloud could not check the signature of the request.', CHECK_KEY),
  InvalidTimeStamp: stop(
    'token',
    'The clock of this machine differs from that of Alibaba Cloud by more than a signature allows.',
    'Set the clock of this machine, then resume the campaign.',
  ),
  Forbidden: stop('permission', 'The AccessKey may not make this call.', CHECK_RIGHTS),
  NoPermission: stop('permission', 'The AccessKey may not make this call.', CHECK_RIGHTS),
  'Authentication.NoAuth': stop('permission', 'The account may not use CAMS, or not this space.', CHECK_RIGHTS),
  Throttling: {
    class: { kind: 'pause' },
    meaning: 'Too many calls in a second; CAMS refused this one.',
    advice: 'The run waits and goes on by itself; a lower pace avoids it.',
  },
  InternalError: unknown('CAMS had an error of its own; the message may have been sent.'),
  ServiceUnavailable: unknown('CAMS was temporarily unable; the message may have been sent.'),
  'InvalidParameter.To': rejected('CAMS does not take the user id.'),
  InvalidParameter: stop('content', 'CAMS does not take a part of the message.', CHECK_VALUES),
  TemplateNotFound: stop('content', 'CAMS has no such template in this language.', CHECK_TEMPLATE),
  'DetailError.TemplateNotExist': stop('content', 'CAMS has no such template in this language.', CHECK_TEMPLATE),
  TemplateParamInvalid: stop('content', 'The values do not fit the variables of the template.', CHECK_TEMPLATE),
  SessionWindowExpired: rejected('Outside the 24-hour window.', 'Wait until the person writes again.'),
  PhoneNumberNotRegistered: rejected('The recipient is not known on this channel.'),
  // Ours: nothing was handed over.
  NoForm: stop(
    'content',
    'CAMS documents no form for this message.',
    'Make the template in the console of CAMS and put its code under `cams:` in the template file.',
  ),
  NotWritten: stop(
    'content',
    "Alibaba Cloud's SDK could not make a request of this message; nothing was sent.",
    'Install the optional packages of CAMS again, then resume the campaign.',
  ),
  // In receipts CAMS hands on the codes of Meta.
  UNSPECIFIED: rejected(
    'CAMS did not deliver the message and gives no reason.',
    'Look at the message in the console of CAMS.',
  ),
  '131026': rejected('The message could not be delivered to this person.'),
};

/** @param code without `cams:`, such as `InvalidParameter.ToOnlyNumeric`. @returns undefined for an unknown one */
export function explainCamsError(code: string): ErrorRow | undefined {
  // Word by word from the end: InvalidParameter.ToOnlyNumeric, InvalidParameter.ToOnly, InvalidParameter.To.
  for (let beginning = code; beginning !== ''; beginning = beginning.replace(/(?:\.|[A-Z\d]|^)[^.A-Z\d]*$/, '')) {
    // Codes come from outside: `toString` is none of the table's.
    if (Object.hasOwn(ROWS, beginning)) return ROWS[beginning];
  }
  return undefined;
}
