/** A store and an engine that fail in the middle of things. */
import type { RunWorld } from '../../src/app/run.js';
import { Failure } from '../../src/core/failure.js';
import type { Engine, Store } from '../../src/ports.js';

export const gone = new Error('the machine is gone');

/** Every operation of a store and an engine, counted, with something to do at each. */
function watched<T extends object>(port: T, around: (work: () => Promise<unknown>) => Promise<unknown>): T {
  return new Proxy(port, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      const call = (...args: unknown[]): unknown => Reflect.apply(member, target, args);
      return name === 'messages' ? call : (...args: unknown[]) => around(() => call(...args) as Promise<unknown>);
    },
  });
}

/** From the kth operation on nothing works any more; that one still reaches the disk if it dies `after`. */
export function dyingAfter(world: RunWorld, k: number, moment: 'before' | 'after'): RunWorld {
  let count = 0;
  const around = async (work: () => Promise<unknown>): Promise<unknown> => {
    count += 1;
    if (count < k) return work();
    if (count === k && moment === 'after') await work();
    throw gone;
  };
  return { ...world, store: watched<Store>(world.store, around), engine: watched<Engine>(world.engine, around) };
}

/** The kth operation fails, and only that one: a disk that is full for a moment. */
export function failingAt(world: RunWorld, k: number, moment: 'before' | 'after'): RunWorld {
  let count = 0;
  const around = async (work: () => Promise<unknown>): Promise<unknown> => {
    count += 1;
    if (count !== k) return work();
    if (moment === 'after') await work();
    throw new Failure('STORE_FULL', 'the disk is full');
  };
  return { ...world, store: watched<Store>(world.store, around), engine: watched<Engine>(world.engine, around) };
}
