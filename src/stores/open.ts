/** From a store's URL to the store and the engine that live there. */
import { resolve } from 'node:path';
import { Failure } from '../core/failure.js';
import type { Engine, Store } from '../ports.js';
import type { Holder } from './sqlite-engine.js';

export interface OpenedStore {
  store: Store;
  engine: Engine;
}

/** @param url `sqlite:PATH`, the path relative to `folder` */
export async function openStore(url: string, folder: string, holder: Holder): Promise<OpenedStore> {
  const [scheme, rest] = url.split(/:(.*)/s) as [string, string | undefined];
  if (scheme !== 'sqlite' || !rest) {
    throw new Failure('CONFIG_INVALID', `The store "${scheme}:…" is of no known kind.`, 'Use sqlite:PATH.');
  }
  const { SqliteDatabase } = await import('./sqlite-database.js');
  const { SqliteStore } = await import('./sqlite.js');
  const { SqliteEngine } = await import('./sqlite-engine.js');
  const file = new SqliteDatabase(rest === ':memory:' ? rest : resolve(folder, rest));
  return { store: new SqliteStore(file), engine: new SqliteEngine(file, holder) };
}
