/**
 * What can be asked of CAMS without sending: the templates that it keeps, and whether the account works. Its pages document
 * templates of WhatsApp and Viber only; whether those of Messenger are listed as well is not said, so reading them may find
 * nothing though they are there. The type is left out of every request: no page names one for Messenger.
 */
import { explainError } from '../core/platform-errors.js';
import type { Button } from '../core/template.js';
import type { AccountCheck, CallFailure, PlatformTemplate, TemplatesRead } from '../ports.js';
import { accountCheck } from './account-check.js';
import type { CamsCall } from './cams-calls.js';
import type { Redactor } from './redaction.js';
import { callFailure, isRecord, unreadable, type NotSent } from './service-reply.js';

/** The only size of a page that is documented: what is given without one. */
const PAGE_SIZE = 10;
/** Five hundred templates: whoever has more is not served a part of them without a word. */
const MAX_PAGES = 50;

interface Place {
  spaceId: string;
  redact: Redactor;
}

/** @param name only those of this name */
export async function readTemplates(call: CamsCall, place: Place, name: string | undefined): Promise<TemplatesRead> {
  const templates: PlatformTemplate[] = [];
  for (let index = 1; index <= MAX_PAGES; index += 1) {
    const page = await call((client, { ListChatappTemplateRequest, ListChatappTemplateRequestPage }) =>
      client.listChatappTemplate(
        new ListChatappTemplateRequest({
          custSpaceId: place.spaceId,
          page: new ListChatappTemplateRequestPage({ index, size: PAGE_SIZE }),
          ...(name !== undefined && { name }),
        }),
      ),
    );
    if (!('body' in page)) return callFailure(page);
    const { ListTemplate: list = [], Total: total } = page.body;
    if (!Array.isArray(list)) return unreadable('The answer holds no list of templates.');
    for (const item of list as unknown[]) {
      const listed = isRecord(item) ? listedTemplate(item) : null;
      if (listed === null) return unreadable('A template is listed without its name, language or code.');
      // Whether CAMS takes the name as a whole or as a part of one is not said.
      if (name !== undefined && listed.name !== name) continue;
      const read = await readTemplate(call, place, listed);
      if ('kind' in read) return read;
      templates.push(read);
    }
    const isLast = typeof total === 'number' ? index * PAGE_SIZE >= total : list.length < PAGE_SIZE;
    if (isLast || list.length === 0) return { kind: 'read', templates };
  }
  return unreadable(`The space has more than ${MAX_PAGES * PAGE_SIZE} templates; only one name can be asked for.`);
}

/** A template as the list shows it: without its parts. */
interface Listed {
  name: string;
  language: string;
  code: string;
  type: string;
  node: Node;
}

type Node = Record<string, unknown>;

function listedTemplate(node: Node): Listed | null {
  const [name, language, code] = [word(node['TemplateName']), word(node['Language']), word(node['TemplateCode'])];
  if (name === '' || language === '' || code === '') return null;
  return { name, language, code, type: word(node['TemplateType']).toUpperCase(), node };
}

async function readTemplate(
  call: CamsCall,
  { spaceId, redact }: Place,
  { name, language, code, type, node }: Listed,
): Promise<PlatformTemplate | CallFailure> {
  const reason = typeof node['Reason'] === 'string' ? redact(node['Reason'].trim()) : '';
  const head = {
    name,
    language,
    code,
    status: statusOf(word(node['AuditStatus'])),
    category: word(node['Category']) || null,
    reason: reason === '' ? null : reason,
  };
  if (type === 'WHATSAPP' || type === 'VIBER') {
    return { ...head, ...finished(newDraft(`its type: it is a template for ${type}`)) };
  }
  const detail = await call((client, { GetChatappTemplateDetailRequest }) =>
    client.getChatappTemplateDetail(
      new GetChatappTemplateDetailRequest({ custSpaceId: spaceId, language, templateCode: code }),
    ),
  );
  if (!('body' in detail)) {
    const failure = callFailure(detail);
    // What is wrong with one template says nothing of the others.
    if (failure.stop !== undefined || failure.pauseMs !== undefined || detail.kind === 'unknown') return failure;
    return { ...head, ...finished(newDraft(`its parts, which CAMS does not show [${failure.error.code}]`)) };
  }
  const { Data: data } = detail.body;
  const { Components: components, Example: examples } = isRecord(data) ? data : {};
  const draft = newDraft(Array.isArray(components) ? null : 'its parts, which CAMS does not show');
  for (const component of Array.isArray(components) ? (components as unknown[]) : []) {
    readComponent(isRecord(component) ? component : {}, draft);
  }
  const { unsupported, ...parts } = finished(draft);
  return {
    ...head,
    ...parts,
    examples: readExamples(isRecord(examples) ? examples : {}),
    unsupported: unsupported === null ? null : redact(unsupported),
  };
}

const STATUSES: Readonly<Record<string, string>> = {
  pass: 'APPROVED',
  auditing: 'PENDING',
  unaudit: 'PENDING',
  fail: 'REJECTED',
};

function statusOf(audit: string): string {
  return (Object.hasOwn(STATUSES, audit) ? STATUSES[audit] : undefined) ?? (audit.toUpperCase() || 'UNKNOWN');
}

// ------------------------------------------------------------------------------------------------- theirs → ours

/** What is gathered of one template while its parts are read. */
interface Draft {
  hasNamed: boolean;
  hasNumbered: boolean;
  header: string | null;
  body: string | null;
  buttons: Button[];
  /** The first part that cannot be filled. */
  unsupported: string | null;
}

function newDraft(unsupported: string | null): Draft {
  return { hasNamed: false, hasNumbered: false, header: null, body: null, buttons: [], unsupported };
}

function finished({
  hasNamed,
  hasNumbered,
  header,
  body,
  buttons,
  unsupported,
}: Draft): Pick<PlatformTemplate, 'parameters' | 'header' | 'body' | 'buttons' | 'examples' | 'unsupported'> {
  return {
    parameters: hasNumbered && !hasNamed ? 'positional' : 'named',
    header,
    body,
    buttons,
    examples: {},
    unsupported: unsupported ?? (hasNamed && hasNumbered ? 'placeholders by name beside numbered ones' : null),
  };
}

function readComponent(component: Node, draft: Draft): void {
  const type = word(component['Type']).toUpperCase();
  const format = word(component['Format']).toUpperCase() || 'TEXT';
  const text = typeof component['Text'] === 'string' ? component['Text'] : null;
  if (type === 'HEADER') {
    if (format === 'TEXT' && text !== null) draft.header = ourText(text, draft);
    else refuse(draft, `a header of the format ${format}`);
  } else if (type === 'BODY' && text !== null) draft.body = ourText(text, draft);
  else if (type === 'BUTTONS') {
    const buttons = Array.isArray(component['Buttons']) ? (component['Buttons'] as unknown[]) : [];
    for (const button of buttons) readButton(isRecord(button) ? button : {}, draft);
  } else if (type !== 'FOOTER') refuse(draft, `a part of the type ${type}`);
}

function readButton(button: Node, draft: Draft): void {
  const type = word(button['Type']).toUpperCase();
  const [title, url] = [button['Text'], button['Url']];
  if (type === 'QUICK_REPLY' && typeof title === 'string') {
    draft.buttons.push({ type: 'postback', title: ourText(title, draft), payload: ourText(title, draft) });
  } else if (type === 'URL' && typeof title === 'string' && typeof url === 'string') {
    draft.buttons.push({ type: 'web_url', title: ourText(title, draft), url: ourText(url, draft) });
  } else refuse(draft, `a button of the type ${type}`);
}

/** `$(name)` is CAMS's own placeholder; `{{1}}` has been seen in Alibaba's examples. */
function ourText(text: string, draft: Draft): string {
  return text.replace(/\$\(([^()]*)\)|\{\{([^{}]*)\}\}/g, (whole, named: string | undefined, numbered = '') => {
    if (named !== undefined && /^[A-Za-z_]\w*$/.test(named)) {
      draft.hasNamed = true;
      return `{{${named}}}`;
    }
    const place = /^\s*([1-9]\d?)\s*$/.exec(numbered as string)?.[1];
    if (place === undefined) {
      refuse(draft, `the placeholder ${whole}`);
      return whole;
    }
    draft.hasNumbered = true;
    return `{{param_${place}}}`;
  });
}

function readExamples(examples: Node): Record<string, string> {
  const read: Record<string, string> = {};
  for (const [key, example] of Object.entries(examples)) {
    const name = /^[1-9]\d?$/.test(key) ? `param_${key}` : key;
    if (typeof example === 'string' && /^[A-Za-z_]\w*$/.test(name)) read[name] = example;
  }
  return read;
}

function refuse(draft: Draft, what: string): void {
  draft.unsupported ??= what;
}

/** A short text without control characters; empty for whatever is none. */
function word(value: unknown): string {
  return typeof value === 'string' && value.length <= 500 && !/\p{Cc}/u.test(value.trim()) ? value.trim() : '';
}

// ------------------------------------------------------------------------------------------------- does the account work

/** Lists one template: a call that changes nothing and needs a key, a right and the space. */
export async function verifyAccount(
  call: CamsCall,
  { accountId, spaceId }: { accountId: string; spaceId: string },
): Promise<AccountCheck[]> {
  const answer = await call((client, { ListChatappTemplateRequest, ListChatappTemplateRequestPage }) =>
    client.listChatappTemplate(
      new ListChatappTemplateRequest({
        custSpaceId: spaceId,
        page: new ListChatappTemplateRequestPage({ index: 1, size: 1 }),
      }),
    ),
  );
  if (!('body' in answer)) return refusedChecks(answer, spaceId);
  return [
    REACHED,
    KEY_KNOWN,
    accountCheck('permissions', 'ok', `The AccessKey may read the templates of ${spaceId}.`),
    accountCheck(
      'permissions',
      'unknown',
      'Whether it may send shows with the first message: it needs cams:SendChatappMessage and cams:SendChatappMassMessage.',
    ),
    accountCheck('identity', 'unknown', `CAMS does not tell whether ${accountId} is an account of ${spaceId}.`),
  ];
}

function refusedChecks(refused: NotSent, spaceId: string): AccountCheck[] {
  const { code, message } = refused.error;
  const { meaning, advice } = explainError(code);
  if (refused.kind !== 'stopped') {
    const isLimit = refused.kind === 'retryable' && code !== 'CONNECTION_REFUSED';
    const detail = `CAMS gave no answer of use: ${message} [${code}]`;
    const hint = isLimit ? advice : 'Check the network and `url:` of the account, and try again.';
    return [accountCheck('reachable', 'failed', detail, hint, isLimit ? 'rate_limit' : 'network')];
  }
  if (refused.stop === 'token') return [REACHED, accountCheck('token', 'failed', meaning, advice, 'token')];
  if (refused.stop === 'permission') {
    return [REACHED, KEY_KNOWN, accountCheck('permissions', 'failed', `${meaning} [${code}]`, advice, 'permission')];
  }
  const hint = 'Compare `spaceId:` of the account in pagecast.yaml with the console of CAMS.';
  return [
    REACHED,
    KEY_KNOWN,
    accountCheck('identity', 'failed', `CAMS does not show ${spaceId}: ${message} [${code}]`, hint, 'permission'),
  ];
}

const REACHED = accountCheck('reachable', 'ok', 'CAMS answers.');
const KEY_KNOWN = accountCheck('token', 'ok', 'The AccessKey is known, and its secret belongs to it.');
