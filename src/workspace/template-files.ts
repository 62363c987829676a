/**
 * Writing template files: new ones, and changes to those that somebody keeps. Whatever is written is read back first, as
 * text, so that no file is left that could not be used.
 */
import { existsSync } from 'node:fs';
import { mkdir, realpath, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isScalar, parseDocument, stringify } from 'yaml';
import { Failure } from '../core/failure.js';
import type { Template, TemplateVariable } from '../core/template.js';
import type { TemplateChange, TemplateFiles } from '../ports.js';
import { replaceFile } from './replace-file.js';
import { parseTemplate, TEMPLATE_FOLDER, writing } from './templates.js';
import { readText } from './yaml-file.js';

/** Texts stay on one line each, as a break that the writer put in would look as if it were the author's. */
const STYLE = { lineWidth: 0 } as const;

/**
 * @param root the workspace
 * @param isDryRun everything is done but the writing
 */
export function templateFiles(root: string, isDryRun = false): TemplateFiles {
  const folder = join(root, TEMPLATE_FOLDER);
  const make = async (name: string, text: string): Promise<string> => {
    const file = join(folder, name);
    parseTemplate(file, text);
    if (existsSync(file)) throw new Failure('FILE_EXISTS', `${file} is there already.`, 'Rename or remove it.');
    if (!isDryRun) {
      await writing(folder, () => mkdir(folder, { recursive: true }));
      // Never over a file that came into being meanwhile.
      await writing(file, () => writeFile(file, text, { flag: 'wx' }));
    }
    return file;
  };
  return {
    create: (template, comment) => make(`${template.name}.${template.language}.yaml`, templateText(template, comment)),
    async update({ file, starter }, change) {
      const text = changedText(await readText(file, 'TEMPLATE_INVALID'), change);
      if (starter) return make(basename(file), text);
      parseTemplate(file, text);
      if (isDryRun) return file;
      // Where the file is kept elsewhere, the link to it must stay one.
      const kept = await realpath(file);
      const { mode } = await stat(kept);
      await replaceFile(kept, text, mode & 0o777);
      return file;
    },
  };
}

/** A template as YAML; what it does not have is left out. */
function templateText(template: Template, comment: string): string {
  const { name, language, channels, kind, registration, header, body, buttons, cams } = template;
  const parts = {
    name,
    language,
    channels,
    kind,
    ...(registration && { registered: registration }),
    ...(cams && { cams }),
    ...(header !== undefined && { header }),
    ...(body !== undefined && { body }),
    ...(template.variables.length > 0 && { variables: keyed(template.variables) }),
    ...(buttons.length > 0 && { buttons }),
  };
  const lines = comment.split('\n').map((line) => `# ${line}\n`);
  return `${lines.join('')}${stringify(parts, STYLE)}`;
}

function keyed(variables: readonly TemplateVariable[]): object {
  return Object.fromEntries(variables.map(({ name, ...rest }) => [name, rest]));
}

function changedText(text: string, { status, ...content }: TemplateChange): string {
  const withContent = Object.keys(content).length === 0 ? text : changedContent(text, content);
  return status === undefined ? withContent : changedStatus(withContent, status);
}

/** Only the word itself is replaced: writing the file anew would move comments that somebody has lined up. */
function changedStatus(text: string, status: string): string {
  const document = parseDocument(text);
  const node = document.getIn(['registered', 'status'], true);
  if (isScalar(node) && node.range && /^[A-Z_]+$/.test(status)) {
    return `${text.slice(0, node.range[0])}${status}${text.slice(node.range[1])}`;
  }
  document.setIn(['registered', 'status'], status);
  return document.toString(STYLE);
}

function changedContent(text: string, change: Omit<TemplateChange, 'status'>): string {
  const document = parseDocument(text);
  const { header, parameters, variables = [] } = change;
  if (header === null) document.delete('header');
  const parts = { header: header ?? undefined, body: change.body, buttons: change.buttons };
  for (const [key, value] of Object.entries(parts)) {
    if (value !== undefined) document.set(key, document.createNode(value));
  }
  if (parameters !== undefined) document.setIn(['registered', 'parameters'], parameters);
  for (const { name, ...rest } of variables) {
    if (!document.hasIn(['variables', name])) document.setIn(['variables', name], document.createNode(rest));
  }
  return document.toString(STYLE);
}
