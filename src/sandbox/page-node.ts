/** What the Page, or the Instagram account, says of itself and of its token (page, instagram_business_account, debug_token). */
import { parseFields } from './graph-call.js';
import type { Found } from './refusals.js';
import type { SandboxPage } from './seed.js';

/** Permissions by what they allow (send API, conversations and utility-messages pages). */
export const PERMISSIONS = {
  messenger: {
    send: ['pages_messaging'],
    read: ['pages_messaging', 'pages_manage_metadata', 'pages_read_engagement'],
    templates: ['page_utility_messaging'],
  },
  instagram: {
    send: ['instagram_manage_messages'],
    read: ['instagram_manage_messages', 'instagram_basic'],
    templates: ['page_utility_messaging'],
  },
} as const;

/** @returns the first permission that the token lacks for something; null when it has all */
export function missingPermission(page: SandboxPage, what: keyof (typeof PERMISSIONS)['messenger']): string | null {
  return PERMISSIONS[page.channel][what].find((permission) => !page.permissions.includes(permission)) ?? null;
}

/** The node with the fields that were asked for. */
export function pageNode(page: SandboxPage, fieldList: string, instagramLogin: boolean): Found {
  const { instagram, id, name } = page;
  const known: Record<string, unknown> = instagramLogin
    ? { id: `app_${instagram.id}`, user_id: instagram.id, username: instagram.username, name }
    : { name, id, ...(page.channel === 'instagram' && { instagram_business_account: { id: instagram.id } }) };
  const fields = parseFields(fieldList || (instagramLogin ? 'id' : 'name,id'));
  if (fields === null) return { fault: 'Syntax error in param fields' };
  const node: Record<string, unknown> = {};
  for (const field of fields) {
    if (!Object.hasOwn(known, field.name) && field.name !== 'instagram_business_account') {
      return { fault: `Tried accessing nonexisting field (${field.name})` };
    }
    // A Page without an Instagram account leaves the field out.
    if (Object.hasOwn(known, field.name)) node[field.name] = known[field.name];
  }
  return { body: { ...node, id: known['id'] } };
}

/** @param asked the token that is asked about */
export function tokenInfo(page: SandboxPage, asked: unknown): object {
  if (asked !== page.token) {
    const error = { code: 190, message: 'Invalid OAuth access token.' };
    return { data: { error, is_valid: false, scopes: [] } };
  }
  return {
    data: {
      app_id: '1517776481860111',
      type: 'PAGE',
      application: 'Sandbox',
      data_access_expires_at: seconds(page.dataAccessExpiresAt),
      expires_at: seconds(page.tokenExpiresAt),
      is_valid: true,
      profile_id: page.id,
      scopes: page.permissions,
    },
  };
}

/** 0 for never, as the platform has it. */
function seconds(at: number | null): number {
  return at === null ? 0 : Math.floor(at / 1000);
}
