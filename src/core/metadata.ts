/** What every message carries to say which row it is. The platform gives it back in echoes, and shows it to nobody else. */

/** The row of a campaign that a message is. */
export interface RowMark {
  campaign: string;
  seq: number;
}

const MARK = /^pagecast\/([\w-]{1,64})\/([1-9]\d{0,8})$/;

/** @returns text for `message.metadata`, which may have at most 999 characters (reference/send-api) */
export function rowMetadata({ campaign, seq }: RowMark): string {
  return `pagecast/${campaign}/${seq}`;
}

/** @param metadata as it came from outside; whoever sends through the same Page may write there what they like */
export function readRowMetadata(metadata: unknown): RowMark | null {
  const match = typeof metadata === 'string' ? MARK.exec(metadata) : null;
  return match ? { campaign: match[1] ?? '', seq: Number(match[2]) } : null;
}

const TASK = /^pagecast-([\w-]{1,64})-([1-9]\d{0,8})-[\da-z]{1,11}$/;

/**
 * The task id of a call to CAMS, which sends no metadata along but gives this back in its receipts. Two calls never share
 * one, because no row is sent twice in the same millisecond.
 * @param row the row of the call's one message, or of the first of several
 * @param at milliseconds since 1970
 */
export function camsTaskId({ campaign, seq }: RowMark, at: number): string {
  return `pagecast-${campaign}-${seq}-${Math.floor(at).toString(36)}`;
}

/** @param taskId as it came from outside. @returns the row that `camsTaskId` was given; null for what is no task id of ours */
export function readCamsTaskId(taskId: unknown): RowMark | null {
  const match = typeof taskId === 'string' ? TASK.exec(taskId) : null;
  return match ? { campaign: match[1] ?? '', seq: Number(match[2]) } : null;
}
