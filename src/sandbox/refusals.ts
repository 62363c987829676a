/**
 * How the emulated platform words its refusals. Texts marked "seen" are real bodies from public issue threads; the others
 * follow the meaning that Meta's error table gives (error-codes, 25 June 2026), whose exact words are not published.
 */

/** One answer of the platform, its body already as text. */
export interface GraphAnswer {
  status: number;
  body: string;
  /** Value of `X-Business-Use-Case-Usage`. */
  usage?: string;
  /** The error's `code` or `code/subcode`; null for success. */
  code: string | null;
}

/** What a call comes to: a node or a list of them, the code of a refusal, or what is wrong with the call. */
export type Found = { body: object } | Refused;
export type Refused = { code: string } | { fault: string };

const TEXTS: Record<string, string> = {
  // seen
  '10/2018278':
    '(#10) This message is sent outside of allowed window. Learn more about the new policy here: https://developers.facebook.com/docs/messenger-platform/policy-overview',
  '10/2018065':
    '(#10) This message is sent outside of allowed window. You need page_messaging_subscriptions permission to be able to do it.',
  '551/1545041': "(#551) This person isn't available right now.",
  // seen: the text's prefix and the code disagree
  '200/1545041': "(#551) This person isn't available right now.",
  '100/2018001': '(#100) No matching user found',
  '100/2018047': '(#100) Upload attachment failure.',
  '100/1893029': '(#100) User pass less payload than required for POSTBACK button',
  '100/2018416': 'Fatal',
  '190': 'Invalid OAuth access token.',
  '190/460': 'Error validating access token: The session is invalid because the user logged out.',
  '190/463': 'Error validating access token: Session has expired.',
  '200': '(#200) Permissions error',
  '32': '(#32) Page request limit reached',
  '80001':
    '(#80001) There have been too many calls to this Page account. Wait a bit and try again. For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.',
  // in the platform's manner
  '1': '(#1) An unknown error occurred',
  '2': '(#2) Service temporarily unavailable',
  '4': '(#4) Application request limit reached',
  '10': '(#10) Application does not have permission for this action',
  '10/2534022': '(#10) This message is sent outside of allowed window.',
  '10/2018108': '(#10) This person cannot receive messages from you right now.',
  '10/1893063': '(#10) Your Page is temporarily restricted from sending messages.',
  '100': '(#100) Invalid parameter',
  '100/33':
    'Unsupported request. Object does not exist, cannot be loaded due to missing permissions, or does not support this operation',
  '100/2388051': '(#100) A button has unexpected field(s) (example)',
  '100/2534014': '(#100) The requested user cannot be found.',
  '341': '(#341) Application limit reached',
  '368': '(#368) The action attempted has been deemed abusive or is otherwise disallowed',
  '613': '(#613) Calls to this api have exceeded the rate limit.',
  '1200': '(#1200) Temporary send message failure. Please try again later.',
  '2500': 'Unknown path components',
  '80002': '(#80002) There have been too many calls to this Instagram account. Wait a bit and try again.',
  '80006':
    '(#80006) There have been too many calls to this Messenger account. Wait a bit and try again. For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.',
  '9000001': '(#9000001) This message has been deleted.',
};

export class Refusals {
  #traces = 0;

  /**
   * @param code `code` or `code/subcode`; one that the table does not know is worded in general terms
   * @param text instead of the table's
   */
  refuse(code: string, text?: string): GraphAnswer {
    const [main = '', subcode] = code.split('/');
    const error = {
      message: text ?? TEXTS[code] ?? TEXTS[main] ?? `(#${main}) The request was refused.`,
      type: 'OAuthException',
      code: Number(main),
      ...(subcode !== undefined && { error_subcode: Number(subcode) }),
      fbtrace_id: this.#trace(),
    };
    // Which HTTP status belongs to which code is not documented; 400 is what was observed for codes 10 and 100.
    return { status: 400, body: JSON.stringify({ error }), code };
  }

  /** Seen: this one has a type of its own and no code. */
  batchTooLarge(): GraphAnswer {
    const message = 'Too many requests in batch message. Maximum batch size is 50';
    const error = { message, type: 'GraphBatchException', fbtrace_id: this.#trace() };
    return { status: 400, body: JSON.stringify({ error }), code: 'GraphBatchException' };
  }

  #trace(): string {
    this.#traces += 1;
    return `Sandbox${this.#traces.toString(36).padStart(6, '0')}`;
  }
}
