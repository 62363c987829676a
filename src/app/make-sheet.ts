/** Makes the recipient workbook of a template, and says what a sheet made from a template must claim to be made from. */
import { createHash } from 'node:crypto';
import type { SheetOrigin } from '../core/finding.js';
import { sheetHeader } from '../core/sheet.js';
import { compileTemplate, fingerprintText, LIMITS, type Channel, type Template } from '../core/template.js';
import type { Sheets } from '../ports.js';

const EXAMPLE_ID: Record<Channel, string> = {
  messenger: '7642925849053947',
  instagram: '17841400455970123',
  sms: '+15550001111',
};

const ID_HELP: Record<Channel, string> = {
  messenger: 'The Page-scoped user ID (PSID) of one person who wrote to the Page. Digits only, kept as text.',
  instagram: 'The Instagram-scoped user ID (IGSID) of one person who wrote to the account. Digits only, kept as text.',
  sms: 'The phone number with + and country code. Kept as text.',
};

export function sheetOrigin(template: Template): SheetOrigin {
  const fingerprint = createHash('sha256').update(fingerprintText(template)).digest('hex').slice(0, 16);
  return { template: template.name, language: template.language, fingerprint };
}

export async function makeSheet(
  sheets: Sheets,
  request: {
    template: Template;
    channel: Channel;
    path: string;
    overwrite: boolean;
    /** Those in whose names the messages leave: the sheet gets a column for them. */
    owners?: readonly string[];
  },
): Promise<{ file: string; header: string[] }> {
  const { template, channel, path, overwrite, owners } = request;
  const compiled = compileTemplate(template);
  const header = sheetHeader(compiled, channel, owners !== undefined);
  const textLimit = LIMITS[channel].text.max;
  const help = [
    { text: ID_HELP[channel], example: EXAMPLE_ID[channel] },
    ...compiled.variables.map(({ description, example, maxLength }) => ({
      text: [
        description ?? 'Goes into the message as it stands here.',
        `At most ${maxLength ?? textLimit} characters.`,
      ].join('\n'),
      example,
    })),
    ...(owners === undefined
      ? []
      : [{ text: `From whose number the message leaves: ${owners.join(', ')}.`, example: owners[0] ?? '' }]),
  ];
  await sheets.create(path, { template, channel, header, origin: sheetOrigin(template), help }, overwrite);
  return { file: path, header };
}
