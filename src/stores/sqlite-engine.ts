/**
 * Who may send for an account, kept in the SQLite file beside the ledger. One owner for each account, because the
 * platform's limits are per Page. An owner renews its lease; a dead one's lease runs out, or is taken at once when its
 * process is known to be gone.
 */
import { EXIT, Failure } from '../core/failure.js';
import type { Clock, Engine, Lease } from '../ports.js';
import type { SqliteDatabase } from './sqlite-database.js';

/** Three missed renewals. Too short, and a stalled but living run loses its account; too long, and a crash holds it up. */
export const LEASE_MS = 15_000;
/** How often the file is looked at for accounts that are due: what is due starts this much late. */
const POLL_MS = 1000;
/** Messages of a dead owner may have left up to the moment of its death, and may still be on their way. */
const SILENCE_AFTER_DEATH_MS = 1250;
/** No pace asks for more. A clock that was set back would have one owner after the other wait until it has caught up. */
const MAX_SILENCE_MS = 60_000;
const DIED = { code: 'RUN_DIED', message: 'The run ended before the answer came.' };

export interface Holder {
  /** Names this process to people and to other processes. */
  name: string;
  /** Whether the process behind a name may still be running; true when that cannot be known. */
  mayBeAlive(name: string): boolean;
}

interface LeaseRecord {
  fence: number;
  holder: string | null;
  expiresAt: number;
  freeAt: number;
  /** Null when nobody knows. */
  taken: number | null;
}

export class SqliteEngine implements Engine {
  readonly #file: SqliteDatabase;
  readonly #holder: Holder;

  constructor(file: SqliteDatabase, holder: Holder) {
    this.#file = file;
    this.#holder = holder;
  }

  own(account: string, now: number): Promise<Lease | null> {
    return this.#file.write(() => {
      const { connection } = this.#file;
      const lease = connection
        .prepare(
          `SELECT fence, holder, expires_at AS expiresAt, free_at AS freeAt, taken FROM leases WHERE account = ?`,
        )
        .get(account) as LeaseRecord | undefined;
      const held = lease !== undefined && lease.holder !== null;
      if (held && lease.expiresAt > now && this.#holder.mayBeAlive(lease.holder ?? '')) return null;

      const fence = (lease?.fence ?? 0) + 1;
      const handedOver = Math.min(lease?.freeAt ?? 0, now + MAX_SILENCE_MS);
      const freeAt = Math.max(handedOver, held ? now + SILENCE_AFTER_DEATH_MS : 0);
      // Of a dead owner nobody knows how many messages it sent last.
      const taken = held ? null : freeAt <= now ? 0 : (lease?.taken ?? null);
      connection
        .prepare(
          `INSERT INTO leases (account, fence, holder, expires_at, free_at, taken) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET fence = excluded.fence, holder = excluded.holder, expires_at = excluded.expires_at,
             free_at = excluded.free_at, taken = excluded.taken`,
        )
        .run(account, fence, this.#holder.name, now + LEASE_MS, freeAt, taken);
      connection
        .prepare(
          // A row has one echo at most; counting gives an answer also where there is none.
          `UPDATE messages INDEXED BY messages_started SET settled_at = @now, (state, message_id, error) =
             (SELECT iif(count(*) > 0, 'sent', 'unknown'), max(e.message_id), iif(count(*) > 0, NULL, @died)
              FROM echoes e WHERE e.campaign = messages.campaign AND e.seq = messages.seq)
           WHERE state = 'started' AND campaign IN (SELECT number FROM campaigns WHERE account = @account)`,
        )
        .run({ now, account, died: JSON.stringify(DIED) });
      return { account, fence, freeAt, taken: taken ?? Infinity };
    });
  }

  renew(lease: Lease, now: number): Promise<void> {
    return this.#file.write(() => {
      const { changes } = this.#file.connection
        .prepare(`UPDATE leases SET expires_at = ? WHERE account = ? AND fence = ? AND holder IS NOT NULL`)
        .run(now + LEASE_MS, lease.account, lease.fence);
      if (changes === 0) {
        throw new Failure(
          'LEASE_LOST',
          `Another process has taken over the account ${lease.account}.`,
          'Nothing more is sent from here.',
        );
      }
    });
  }

  release({ account, fence }: Lease, freeAt: number, taken: number): Promise<void> {
    return this.#file.write(() => {
      this.#file.connection
        // An owner that sent nothing must not shorten the rest that the owner before it asked for. NULL is more than any number.
        .prepare(
          `UPDATE leases SET holder = NULL, free_at = max(free_at, @freeAt),
             taken = iif(@freeAt > free_at, @taken, max(taken, @taken))
           WHERE account = @account AND fence = @fence`,
        )
        .run({ account, fence, freeAt: Math.ceil(freeAt), taken: Number.isFinite(taken) ? Math.ceil(taken) : null });
    });
  }

  wake(account: string, at: number): Promise<void> {
    return this.#file.write(() => {
      const { connection } = this.#file;
      connection.prepare(`INSERT OR IGNORE INTO wakes (account, at) VALUES (?, ?)`).run(account, Math.ceil(at));
    });
  }

  async serve(
    attend: (account: string) => Promise<number | null>,
    { clock, signal, once }: { clock: Clock; signal: AbortSignal; once: boolean },
  ): Promise<void> {
    const busy = new Map<string, Promise<void>>();
    const errors: unknown[] = [];
    let look: () => void = () => undefined;
    const onAbort = (): void => look();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted && errors.length === 0) {
        for (const account of await this.#due(clock.now()).catch(noneYet)) {
          if (busy.has(account)) continue;
          const work = this.#attend(account, attend, clock.now())
            .catch((error: unknown) => {
              // It stays due, and is looked at again.
              if (!mayPass(error)) errors.push(error);
            })
            .finally(() => {
              busy.delete(account);
              look();
            });
          busy.set(account, work);
        }
        if (once && busy.size === 0) break;
        const looking = new AbortController();
        look = () => looking.abort();
        await clock.sleep(POLL_MS, looking.signal);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      await Promise.all(busy.values());
    }
    if (errors.length > 0) throw errors[0];
  }

  async #attend(account: string, attend: (account: string) => Promise<number | null>, taken: number): Promise<void> {
    const next = await attend(account);
    await this.#file.write(() => {
      // Whoever woke it meanwhile wants it looked at once more.
      this.#file.connection.prepare(`DELETE FROM wakes WHERE account = ? AND at <= ?`).run(account, taken);
    });
    if (next !== null) await this.wake(account, next);
  }

  #due(now: number): Promise<string[]> {
    return this.#file.run(() => {
      this.#file.refuseGone();
      return this.#file.connection
        .prepare(`SELECT DISTINCT account FROM wakes WHERE at <= ? ORDER BY account`)
        .pluck()
        .all(now) as string[];
    });
  }
}

/** A busy store, or a disk without room: what a worker should live through. */
function mayPass(error: unknown): boolean {
  return error instanceof Failure && error.status === EXIT.tryAgain;
}

function noneYet(error: unknown): string[] {
  if (mayPass(error)) return [];
  throw error;
}
