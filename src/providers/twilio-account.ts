/** Whether an account of Twilio works, found out without sending: the account itself, the number that sends, the balance. */
import { explainError } from '../core/platform-errors.js';
import { isUsTenDigit } from '../core/sms.js';
import type { AccountCheck } from '../ports.js';
import { accountCheck } from './account-check.js';
import type { Redactor } from './redaction.js';
import type { NotSent } from './service-reply.js';
import type { AccountResource } from './twilio.js';

/** Asks one thing of the account. @returns what the library read, or why it read nothing */
type Ask = <T>(question: (account: AccountResource) => Promise<T>) => Promise<{ value: T } | NotSent>;

/** The library passes on whatever stood in the reply. */
type Shown<Name extends string> = Record<Name, unknown>;

export async function verifyAccount(number: string, redact: Redactor, ask: Ask): Promise<AccountCheck[]> {
  const account = await ask((resource) => resource.fetch());
  if (!('value' in account)) return refusedChecks(account);
  const [owned, balance] = await Promise.all([numberCheck(number, ask), balanceCheck(ask)]);
  return [
    accountCheck('reachable', 'ok', 'Twilio answers.'),
    accountCheck('token', 'ok', 'The account SID and the auth token belong together.'),
    ...accountChecks(account.value, redact),
    ...balance,
    ...owned,
    ...registrationChecks(number),
  ];
}

function refusedChecks(refused: NotSent): AccountCheck[] {
  const { code, message } = refused.error;
  const { meaning, advice } = explainError(code);
  if (refused.kind !== 'stopped') {
    const isLimit = refused.kind === 'retryable' && code !== 'CONNECTION_REFUSED';
    const hint = 'Check the network and `url:` of the account, and try again.';
    return [
      accountCheck(
        'reachable',
        'failed',
        `Twilio gave no answer of use. (${message})`,
        hint,
        isLimit ? 'rate_limit' : 'network',
      ),
    ];
  }
  const answers = accountCheck('reachable', 'ok', 'Twilio answers.');
  if (code === 'twilio:20008') {
    const what = 'These are test credentials: with them Twilio takes messages and sends none.';
    return [
      answers,
      accountCheck('token', 'unknown', what, 'Put the live account SID and auth token where pagecast.yaml says.'),
    ];
  }
  if (refused.stop === 'content') {
    return [
      answers,
      accountCheck('token', 'unknown', `Twilio does not show the account: ${message} [${code}]`, advice),
    ];
  }
  return [
    answers,
    accountCheck(refused.stop === 'token' ? 'token' : 'permissions', 'failed', meaning, advice, refused.stop),
  ];
}

function accountChecks(
  { friendlyName, status, type }: Shown<'friendlyName' | 'status' | 'type'>,
  redact: Redactor,
): AccountCheck[] {
  const name = typeof friendlyName === 'string' && friendlyName !== '' ? ` "${redact(friendlyName)}"` : '';
  const checks: AccountCheck[] = [];
  if (status === 'active') checks.push(accountCheck('sending', 'ok', `The account${name} is active.`));
  else if (status === 'suspended' || status === 'closed') {
    const hint = 'See why in the Twilio Console; often the balance is used up.';
    checks.push(
      accountCheck('sending', 'failed', `The account${name} is ${status}: it sends nothing.`, hint, 'restricted'),
    );
  } else checks.push(accountCheck('sending', 'unknown', 'Twilio does not say whether the account is active.'));
  if (type === 'Trial') {
    checks.push(
      accountCheck(
        'sending',
        'unknown',
        'This is a trial account: it sends to verified numbers only, puts a note before each text, and takes short texts only.',
        'Verify the numbers in the Twilio Console, or upgrade the account.',
      ),
    );
  }
  return checks;
}

async function numberCheck(number: string, ask: Ask): Promise<AccountCheck[]> {
  // One page: the filter takes parts of numbers, too, and a whole one has few others that hold it.
  const page = await ask((resource) => resource.incomingPhoneNumbers.page({ phoneNumber: number, pageSize: 20 }));
  if (!('value' in page)) {
    return [
      accountCheck(
        'identity',
        'unknown',
        `Whether ${number} belongs to the account could not be read: ${page.error.message}`,
      ),
    ];
  }
  const owned = (page.value.instances as unknown as Shown<'phoneNumber' | 'capabilities'>[]).find(
    ({ phoneNumber }) => phoneNumber === number,
  );
  if (!owned) {
    const hint = 'Set `id:` of the account to one of its numbers, as the Twilio Console lists them.';
    return [accountCheck('identity', 'failed', `${number} is no number of this account.`, hint, 'permission')];
  }
  const sms = (owned.capabilities as Shown<'sms'> | null | undefined)?.sms;
  if (sms === false) {
    const hint = 'Take a number that can send SMS.';
    return [
      accountCheck('identity', 'failed', `${number} belongs to the account, but cannot send SMS.`, hint, 'permission'),
    ];
  }
  return sms === true
    ? [accountCheck('identity', 'ok', `${number} belongs to the account and can send SMS.`)]
    : [accountCheck('identity', 'unknown', `${number} belongs to the account; whether it can send SMS is not told.`)];
}

/** Nothing for a subaccount, whose balance is that of its parent. */
async function balanceCheck(ask: Ask): Promise<AccountCheck[]> {
  const read = await ask((resource) => resource.balance.fetch());
  if (!('value' in read)) return [];
  const { balance, currency } = read.value as unknown as Shown<'balance' | 'currency'>;
  if (!/^-?\d{1,12}(\.\d{1,8})?$/.test(String(balance)) || !/^[A-Z]{3}$/.test(String(currency))) return [];
  const amount = `The balance is ${Number(balance).toFixed(2)} ${String(currency)}.`;
  return Number(balance) > 0
    ? [accountCheck('sending', 'ok', amount)]
    : [
        accountCheck(
          'sending',
          'unknown',
          amount,
          'Add funds, unless the account is paid by invoice: messages may be refused.',
        ),
      ];
}

/** What Twilio tells of no single number, and what carriers of the USA ask for. */
function registrationChecks(number: string): AccountCheck[] {
  const where = 'Look in the Twilio Console, under Regulatory Compliance.';
  if (isUsTenDigit(number)) {
    return [
      accountCheck(
        'permissions',
        'unknown',
        `Whether ${number} is registered for the USA (A2P 10DLC) cannot be asked. Carriers there drop what comes from one that is not (30034).`,
        where,
      ),
    ];
  }
  if (!number.startsWith('+1')) return [];
  return [
    accountCheck(
      'permissions',
      'unknown',
      `Whether the toll-free number ${number} is verified cannot be asked. Carriers drop what comes from one that is not (30032).`,
      where,
    ),
  ];
}
