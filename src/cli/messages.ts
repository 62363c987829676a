/** The sentence for each finding: what is wrong, and what to do about it. Everything before this is data. */
import type { Finding, SheetLimits } from '../core/finding.js';
import { phoneFault, type PhoneFault } from '../core/phone.js';

const NOT_WORKBOOK: Record<string, string> = {
  old_excel: 'is in the old .xls format. Open it in a spreadsheet program and save it as .xlsx',
  not_a_workbook: 'is neither a workbook nor a table of text. Send it as .xlsx or .csv',
  encoding: 'is text in an encoding that cannot be read safely. Save it as .xlsx, or as CSV in UTF-8',
  damaged: 'is damaged inside. Open it in a spreadsheet program and save it again as .xlsx',
  forbidden_xml:
    'holds XML that no spreadsheet program writes. It was not opened; make a new one with "pagecast sheet new"',
  unsupported: 'is a workbook of a kind that is not read. Save it as .xlsx',
};

const LIMIT: Record<keyof SheetLimits, (max: number) => string> = {
  bytes: (max) => `it is larger than ${max / 1e6} MB`,
  unzippedBytes: (max) => `it unpacks to more than ${max / 1e6} MB`,
  ratio: (max) => `it unpacks to more than ${max} times its size, as files made to do harm do`,
  rows: (max) => `it has more than ${max} rows`,
  columns: (max) => `it has more than ${max} columns`,
  strings: (max) => `it has more than ${max} different texts`,
  cellCharacters: (max) => `one of its cells has more than ${max} characters`,
  seconds: (max) => `reading it took longer than ${max} seconds`,
};

const PHONE_FAULT: Record<PhoneFault, string> = {
  other_digits: 'has digits of another script. Write it with the digits 0 to 9, such as +15550001111.',
  address: 'has something before the number. Write the number alone, such as +15550001111.',
  zero_in_brackets:
    'has a 0 in brackets, which in most countries is not dialled from abroad. Write it as it is dialled from abroad, such as +4915112345678.',
  double_zero: 'begins with 00. Write + instead, such as +4915112345678.',
  leading_zero:
    'has no country code. Write + and the country code instead of the 0 at its beginning, such as +4915112345678.',
  no_plus: 'does not begin with + and the country code. Write it with both, such as +15550001111.',
  length: 'has too few or too many digits. With its country code a number has 7 to 15, such as +15550001111.',
  other: 'is no phone number as it stands. Write one number, with + and country code, such as +15550001111.',
};

/** @param subject how the sentence begins */
function phoneSentence(subject: string, found: string): string {
  return `${subject} ${PHONE_FAULT[phoneFault(found)]}`;
}

function phoneAsNumber(shown: string): string {
  return `This was typed as a number${shown}, and spreadsheet programs take the + of a number away. Format the column as Text, then write it with + and country code, such as +15550001111.`;
}

/** @returns one or two sentences, without the place */
export function sentence(found: Finding): string {
  switch (found.code) {
    case 'FILE_NOT_FOUND':
      return `There is no file ${found.args.path}.`;
    case 'FILE_NOT_WORKBOOK': {
      const { reason, detail } = found.args;
      return `The file ${NOT_WORKBOOK[reason] ?? 'cannot be read'}.${detail ? ` (${clip(detail, 200)})` : ''}`;
    }
    case 'FILE_ENCRYPTED':
      return 'The file is protected by a password. Remove the password and save it again.';
    case 'FILE_TRUNCATED':
      return `The file ends too early; the download or copy was cut off. Get it again. (${clip(found.args.detail, 200)})`;
    case 'FILE_TOO_LARGE':
      return `The file was not read: ${LIMIT[found.args.limit](found.args.max)}. Split it.`;
    case 'SHEET_MISSING':
      return `The workbook has no sheet to read (looked for ${found.args.wanted}; found ${list(found.args.found)}).`;
    case 'HEADER_CHANGED':
      return `The header was changed. Expected: ${list(found.args.expected)}. Found: ${list(found.args.found)}. Put it back, or make a new sheet with "pagecast sheet new".`;
    case 'TEMPLATE_MISMATCH': {
      const { expected, found: other } = found.args;
      if (expected.template === other.template && expected.language === other.language) {
        return `The template ${expected.template} (${expected.language}) has changed since this sheet was made. Make a new sheet and copy the rows over.`;
      }
      return `This sheet was made for ${clip(other.template)} (${clip(other.language)}), not for ${expected.template} (${expected.language}). Choose that template, or make a sheet for this one with "pagecast sheet new".`;
    }
    case 'NO_ROWS':
      return 'The sheet has no recipients: there is nothing below the header.';
    case 'TOO_MANY_ROWS':
      return `The sheet has more than ${found.args.max} rows. Split it.`;
    case 'IDS_ROUNDED':
      return `A spreadsheet program has rounded these ids: ${found.args.rounded} of ${found.args.long} long ones end in zeros from the 16th digit on. The lost digits cannot be brought back: take the ids from their source again, into a column that is formatted as Text first.`;
    case 'ID_MISSING':
      return 'The id is missing.';
    case 'ID_NOT_TEXT':
      if (found.args.channel === 'sms') return phoneAsNumber(` (${clip(found.args.found)})`);
      return `The id is a number (${clip(found.args.found)}), and spreadsheet programs keep only 15 digits of a number. Format the column as Text, then paste the ids again from their source, as values.`;
    case 'ID_MALFORMED':
      return found.args.channel === 'sms'
        ? phoneSentence(`"${clip(found.args.found)}"`, found.args.found)
        : `"${clip(found.args.found)}" is no user ID. A user ID has 5 to 20 digits, such as 7642925849053947.`;
    case 'OWNER_MISSING':
      return 'The owner, whose number the message leaves from, is missing.';
    case 'OWNER_UNKNOWN':
      return `"${clip(found.args.found)}" is none of the owners in pagecast.yaml: ${found.args.known.join(', ')}.`;
    case 'ID_DUPLICATE':
      return found.args.sameValues
        ? `This person is in row ${found.args.firstRow} already, with the same values. One message is sent.`
        : `This person is in row ${found.args.firstRow} already, with other values. Remove one of the two rows.`;
    case 'ID_CLEANED':
      // Only phone numbers have a +.
      return found.args.found.includes('+')
        ? 'Spaces, punctuation and invisible characters in the number are left out.'
        : 'The id had spaces, an apostrophe or invisible characters around it; they are left out.';
    case 'CHANNEL_MISMATCH':
      return found.args.found === 'sms'
        ? `This is a phone number, and the account sends on ${found.args.expected}. Use user IDs, or an SMS account.`
        : 'This is a user ID, and the account sends SMS. Use phone numbers, or a Page account.';
    case 'VARIABLE_MISSING':
      return `${found.args.variable} is empty.`;
    case 'VARIABLE_TOO_LONG':
      return `${found.args.variable} has ${found.args.length} characters; at most ${found.args.max} are allowed.`;
    case 'CELL_FORMULA':
      return 'The cell holds a formula. Copy it and paste it back as values.';
    case 'CELL_ERROR':
      return `The cell holds the error ${clip(found.args.error)}.`;
    case 'CELL_NOT_TEXT':
      return `The cell holds a ${found.args.kind} (${clip(found.args.found)}), which looks different from country to country. Format it as Text and type it as it should read.`;
    case 'CELL_NUMBER':
      return `The cell holds a number; it will read ${clip(found.args.text)}.`;
    case 'CELL_OUTSIDE':
      return 'There is something in a column without a header. Remove it.';
    case 'MESSAGE_TOO_LONG':
      return `With these values the ${found.args.part} has ${found.args.length} ${found.args.unit}; ${found.args.channel} allows ${found.args.max}.`;
    case 'MESSAGE_URL_INVALID':
      return found.args.site === undefined
        ? `The ${found.args.part} becomes "${clip(found.args.found)}", which is no web address.`
        : `The ${found.args.part} becomes "${clip(found.args.found)}", which is not on ${found.args.site}: with buttons, Messenger takes only what is published there.`;
    case 'VARIABLE_SYNTAX':
      return `There are braces that are no variable: "${clip(found.args.text)}". A variable is written {{name}}, with letters, digits and _.`;
    case 'VARIABLE_UNDECLARED':
      return `{{${found.args.variable}}} is used but not declared. Add it under variables:, with an example.`;
    case 'VARIABLE_UNUSED':
      return `${found.args.variable} is declared but not used.`;
    case 'VARIABLE_AMBIGUOUS':
      return `${found.args.variable} and ${found.args.other} differ only in capital letters. Rename one.`;
    case 'CONTENT_MISSING':
      return 'The template is empty: a session template needs a body, media or cards, a registered one a body.';
    case 'CONTENT_CONFLICT':
      return `${list(found.args.parts)} cannot be in one message: it is a text, a file or cards, and buttons stand under a text, a picture or a video. Make two templates.`;
    case 'LIMIT_EXCEEDED':
      return `With the examples, ${found.args.part} has ${found.args.length} ${found.args.unit}; ${found.args.channel} allows ${found.args.max}.`;
    case 'TOO_MANY':
      return `There are ${found.args.count} ${found.args.part}; at most ${found.args.max} are allowed.`;
    case 'PART_UNSUPPORTED':
      return `${found.args.channel} has no ${found.args.part === 'kind' ? 'registered templates' : found.args.part}. Remove it, or take ${found.args.channel} out of channels.`;
    case 'TAG_FORBIDDEN':
      return `The message tag ${found.args.tag} may not be used here: the three update tags are dead since 27 April 2026, and HUMAN_AGENT is for answers that a person writes.`;
    case 'PART_NOT_OF_KIND':
      return found.args.kind === 'session'
        ? `Only registered templates have a ${found.args.part}. Remove it, or put it into the body.`
        : `A registered template has a header, a body and buttons, and no ${found.args.part}. Remove it.`;
    case 'PART_FIXED':
      return `${found.args.part} of a registered template is the same for everybody. Take the variables out of it.`;
    case 'CARD_INCOMPLETE':
      return `${found.args.part} has nothing but a title. Add a subtitle, an image or a button.`;
    case 'VARIABLE_AT_EDGE':
      return `The body of a registered template may not ${found.args.edge} with a variable, such as {{${found.args.variable}}}. Put words ${found.args.edge === 'start' ? 'before' : 'after'} it.`;
    case 'LINK_WITHOUT_START':
      return `${found.args.part} begins with a variable, or has one in the name of its site. In a registered template that part is fixed, such as https://example.com/{{code}}.`;
    case 'OUTSIDE_UNKNOWN':
      return `For people outside their window there is no template ${clip(found.args.name)} in ${found.args.language}.`;
    case 'OUTSIDE_NOT_REGISTERED':
      return `${found.args.name} is no registered template, and only those may go to people outside their window.`;
    case 'OUTSIDE_VARIABLES':
      return `${found.args.name} needs ${list(found.args.missing)}, which this template does not use: both are filled from one sheet.`;
  }
}

/**
 * The sentence without anything that stood in the file, for logs that others may read: the log of a CI job can be public,
 * and a cell holds what concerns one person. There is no default, so that whoever adds a finding decides.
 */
export function publicSentence(found: Finding): string {
  switch (found.code) {
    case 'OWNER_UNKNOWN':
      return 'This is none of the owners in pagecast.yaml.';
    case 'FILE_NOT_FOUND':
      return 'There is no such file.';
    case 'FILE_NOT_WORKBOOK':
      return `The file ${NOT_WORKBOOK[found.args.reason] ?? 'cannot be read'}.`;
    case 'FILE_TRUNCATED':
      return 'The file ends too early; the download or copy was cut off. Get it again.';
    case 'SHEET_MISSING':
      return `The workbook has no sheet to read (looked for ${found.args.wanted}).`;
    case 'HEADER_CHANGED':
      return `The header was changed. Expected: ${list(found.args.expected)}. Put it back, or make a new sheet with "pagecast sheet new".`;
    case 'TEMPLATE_MISMATCH': {
      const { expected, found: other } = found.args;
      if (expected.template === other.template && expected.language === other.language) return sentence(found);
      return `This sheet was made for another template than ${expected.template} (${expected.language}). Choose that template, or make a sheet for this one with "pagecast sheet new".`;
    }
    case 'ID_NOT_TEXT':
      if (found.args.channel === 'sms') return phoneAsNumber('');
      return 'The id is a number, and spreadsheet programs keep only 15 digits of a number. Format the column as Text, then paste the ids again from their source, as values.';
    case 'ID_MALFORMED':
      return found.args.channel === 'sms'
        ? phoneSentence('This', found.args.found)
        : 'This is no user ID. A user ID has 5 to 20 digits.';
    case 'CELL_ERROR':
      return 'The cell holds an error of the spreadsheet program.';
    case 'CELL_NOT_TEXT':
      return `The cell holds a ${found.args.kind}, which looks different from country to country. Format it as Text and type it as it should read.`;
    case 'CELL_NUMBER':
      return 'The cell holds a number; look at how it will read.';
    case 'MESSAGE_URL_INVALID':
      return `The ${found.args.part} becomes something that is no web address${found.args.site === undefined ? '' : ` on ${found.args.site}`}.`;
    case 'VARIABLE_SYNTAX':
      return 'There are braces that are no variable. A variable is written {{name}}, with letters, digits and _.';
    // These quote only the template, lengths, numbers of rows and names of channels.
    case 'FILE_ENCRYPTED':
    case 'FILE_TOO_LARGE':
    case 'NO_ROWS':
    case 'TOO_MANY_ROWS':
    case 'IDS_ROUNDED':
    case 'ID_MISSING':
    case 'OWNER_MISSING':
    case 'ID_DUPLICATE':
    case 'ID_CLEANED':
    case 'CHANNEL_MISMATCH':
    case 'VARIABLE_MISSING':
    case 'VARIABLE_TOO_LONG':
    case 'CELL_FORMULA':
    case 'CELL_OUTSIDE':
    case 'MESSAGE_TOO_LONG':
    case 'VARIABLE_UNDECLARED':
    case 'VARIABLE_UNUSED':
    case 'VARIABLE_AMBIGUOUS':
    case 'CONTENT_MISSING':
    case 'CONTENT_CONFLICT':
    case 'LIMIT_EXCEEDED':
    case 'TOO_MANY':
    case 'PART_UNSUPPORTED':
    case 'TAG_FORBIDDEN':
    case 'PART_NOT_OF_KIND':
    case 'PART_FIXED':
    case 'CARD_INCOMPLETE':
    case 'VARIABLE_AT_EDGE':
    case 'LINK_WITHOUT_START':
    case 'OUTSIDE_UNKNOWN':
    case 'OUTSIDE_NOT_REGISTERED':
    case 'OUTSIDE_VARIABLES':
      return sentence(found);
  }
}

/**
 * The place and the sentence, as one line.
 * @param rowName what a row is to the reader: `ID` for ids that were typed in
 * @param words `publicSentence` where others may read it
 */
export function findingLine(found: Finding, rowName = 'row', words = sentence): string {
  const place = [found.row === null ? '' : `${rowName} ${found.row}`, found.column ?? '']
    .filter((part) => part !== '')
    .join(', ');
  return place === '' ? words(found) : `${place}: ${words(found)}`;
}

/** A finding as it stands in a marked copy, with what stood in the cell when the copy leaves it empty. */
export function findingNote(found: Finding, emptied: string | null): string {
  const line = findingLine(found);
  return emptied === null || emptied === '' || line.includes(clip(emptied))
    ? line
    : `${line} It held: ${clip(emptied, 200)}`;
}

/** A finding as it stands in JSON: the data, and the sentence. */
export function findingJson(found: Finding): Finding & { message: string } {
  return { ...found, message: sentence(found) };
}

function list(items: readonly string[]): string {
  return items.length === 0 ? 'nothing' : items.map((item) => clip(item)).join(', ');
}

/** Text from a file, short and without control characters, so that it cannot disturb the terminal. */
export function clip(text: string, most = 60): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not reach the terminal
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return plain.length > most ? `${plain.slice(0, most - 1)}…` : plain;
}
