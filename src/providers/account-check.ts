import type { AccountCheck } from '../ports.js';

/** One thing that is known of an account, or not. @param hint what a person can do */
export function accountCheck(
  about: AccountCheck['about'],
  state: AccountCheck['state'],
  detail: string,
  hint = '',
  stop?: AccountCheck['stop'],
): AccountCheck {
  return { about, state, detail, hint, ...(stop !== undefined && { stop }) };
}
