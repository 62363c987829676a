/** What the ids of people look like, and how they are shown where they must not be read. */

/** Page-scoped and Instagram-scoped ids. */
export const PLATFORM_ID = /^[1-9]\d{4,19}$/;
export const PHONE = /^\+[1-9]\d{6,14}$/;
/** `7.64E+16`, `7,64E+16`: what is left of an id in a CSV file that Excel has saved. */
export const SCIENTIFIC = /^\d(?:[.,]\d+)?E\+?\d+$/i;

/** A user id as it may stand in progress and logs. */
export function maskId(userId: string): string {
  return `…${userId.slice(-4)}`;
}
