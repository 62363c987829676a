/** The names by which a recipient workbook's writer and its reader find each other. */

/** The sheet that holds the recipients. A workbook without it is read from its first visible sheet. */
export const RECIPIENTS_SHEET = 'Recipients';
/** The very hidden sheet that says what the workbook was made from: keys in column A, values in column B. */
export const ORIGIN_SHEET = '_pagecast';
/** The value of its key `format`; a workbook with another one says nothing that this version understands. */
export const ORIGIN_FORMAT = '1';
