/** Hands a registered template in for approval, and notes in its file what became of it. */
import { isError, type Finding } from '../core/finding.js';
import { Failure } from '../core/failure.js';
import { checkTemplate, type Template } from '../core/template.js';
import type { Account, CallFailure, Provider, TemplateEntry, TemplateFiles } from '../ports.js';
import { withoutTemplates } from './pull-templates.js';

export interface PushWorld {
  provider: Provider;
  files: TemplateFiles;
}

export type Pushed =
  | {
      kind: 'pushed';
      /** By which the platform knows it. */
      id: string;
      status: string;
      file: string;
    }
  /** Nothing was handed in. */
  | { kind: 'faulty'; findings: Finding[] }
  | CallFailure;

/**
 * @throws Failure USAGE for a session template, CHANNEL_DIFFERS, PROVIDER_UNAVAILABLE; TEMPLATE_EXISTS when the platform has
 * one of that name and language; FILE_… when its status could not be noted
 */
export async function pushTemplate(world: PushWorld, account: Account, entry: TemplateEntry): Promise<Pushed> {
  const { provider } = world;
  const { template } = entry;
  const { registration, name, language } = template;
  if (template.kind !== 'registered' || !registration) {
    throw new Failure(
      'USAGE',
      `${name} is a session template, which needs no approval.`,
      'One for people outside their window has  registered: { name: …, status: PENDING, parameters: named }',
    );
  }
  if (!template.channels.includes(account.channel)) {
    throw new Failure(
      'CHANNEL_DIFFERS',
      `${name} is for ${template.channels.join(', ')}, and ${account.name} sends on ${account.channel}.`,
      'Choose the account of a Page.',
    );
  }
  if (!provider.templates || !provider.createTemplate) throw withoutTemplates(account);
  const findings = pushFaults(template);
  if (findings.some(isError)) return { kind: 'faulty', findings };

  const read = await provider.templates(registration.name);
  if (read.kind === 'failed') return read;
  const there = read.templates.find((one) => one.name === registration.name && one.language === language);
  if (there) {
    throw new Failure(
      'TEMPLATE_EXISTS',
      `${account.name} has a template ${there.name} in ${language} already; it is ${there.status}.`,
      `Its words cannot be changed there. Bring its status here: pagecast template pull --from ${account.name} --name ${name}`,
    );
  }
  const created = await provider.createTemplate(template);
  if (created.kind === 'failed') return created;
  const { id, status } = created;
  const file = await world.files.update(entry, { status });
  return { kind: 'pushed', id, status, file };
}

/** What the check finds, and what the platform refuses whatever the file says of its status. */
function pushFaults(template: Template): Finding[] {
  const { registration } = template;
  const pending = registration && { ...template, registration: { ...registration, status: 'PENDING' } };
  return checkTemplate(pending ?? template);
}
