/** A call of the Graph API as the sandbox takes it, and the parts of one: parameters, versions and expanded fields. */

/** One call, whether it came alone or in a batch. */
export interface GraphCall {
  method: 'GET' | 'POST';
  /** The path without its version: `['me', 'messages']`. */
  path: readonly string[];
  /** Query and body together. */
  params: Record<string, unknown>;
  /** From the Authorization header; a parameter `access_token` counts, too. */
  token: string | undefined;
  /** Whether it came to graph.instagram.com, which serves accounts that signed in with Instagram. */
  instagramLogin: boolean;
}

export function isVersion(segment: string): boolean {
  return /^v\d{1,3}\.\d{1,2}$/.test(segment);
}

/** A form body or a query as parameters; values that are JSON objects or arrays are read as such. */
export function formParams(text: string | Record<string, string>): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const [key, value] of new URLSearchParams(text)) params[key] = parsedParam(value);
  return params;
}

function parsedParam(value: string): unknown {
  if (!value.startsWith('{') && !value.startsWith('[')) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

export function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

export function records(value: unknown): (Record<string, unknown> | null)[] {
  return Array.isArray(value) ? value.map(record) : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

// ------------------------------------------------------------------------------------------------- fields

/** One of `fields`: `messages.limit(5){from}` (graph-api/guides/field-expansion). */
export interface Field {
  name: string;
  /** What stands in brackets after a dot: `limit`, `after`. */
  modifiers: Record<string, string>;
  /** What is asked for of each of its nodes; null when nothing is. */
  fields: Field[] | null;
}

const MAX_DEPTH = 5;

/** @returns null for what is not well formed */
export function parseFields(text: string): Field[] | null {
  let at = 0;
  const taken = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    at += found?.length ?? 0;
    return found;
  };
  const list = (depth: number): Field[] | null => {
    if (depth > MAX_DEPTH) return null;
    const fields: Field[] = [];
    do {
      const name = taken(/\s*\w+\s*/y)?.trim();
      if (name === undefined) return null;
      const field: Field = { name, modifiers: {}, fields: null };
      for (let given = taken(/\.\w+\([^(){}]*\)/y); given !== null; given = taken(/\.\w+\([^(){}]*\)/y)) {
        const [modifier = '', value = ''] = given.slice(1, -1).split('(');
        field.modifiers[modifier] = value;
      }
      if (taken(/\{/y) !== null) {
        field.fields = list(depth + 1);
        if (field.fields === null || taken(/\}\s*/y) === null) return null;
      }
      fields.push(field);
    } while (taken(/,/y) !== null);
    return fields;
  };
  const fields = text === '' ? [] : list(0);
  return at === text.length ? fields : null;
}
