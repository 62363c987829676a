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
