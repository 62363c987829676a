/** Asking several services at a time whether accounts work: nobody waits for ever, and nobody's trouble is another's. */
import { describe, expect, it } from 'vitest';
import { verifyAccounts, VERIFY_LIMIT_MS } from '../../src/app/verify-accounts.js';
import { Failure } from '../../src/core/failure.js';
import type { AccountCheck, Provider } from '../../src/ports.js';
import { FakeClock } from '../support/fake-clock.js';

const FINE: AccountCheck = { about: 'token', state: 'ok', detail: 'The token is accepted.', hint: '' };
const UNTOLD: AccountCheck = { about: 'rate', state: 'unknown', detail: 'Not told.', hint: '' };

function failed(stop?: AccountCheck['stop']): AccountCheck {
  return { about: 'sending', state: 'failed', detail: 'No.', hint: 'Do this.', ...(stop && { stop }) };
}

type Verify = Provider['verify'];

function provider(verify: Verify): Provider {
  return {
    capabilities: { registeredTemplates: false, lookup: false, maxBatch: () => 1 },
    send: () => Promise.reject(new Error('a check sends nothing')),
    verify,
    close: () => Promise.resolve(),
  };
}

/** Accounts by their names, each with what its provider says or why there is none. */
function verify(
  accounts: Record<string, Verify | Failure>,
  clock = new FakeClock(0),
): ReturnType<typeof verifyAccounts> {
  const names = Object.keys(accounts).map((name) => ({ name }));
  const open = ({ name }: { name: string }): Promise<Provider> => {
    const one = accounts[name];
    return typeof one === 'function' ? Promise.resolve(provider(one)) : Promise.reject(one ?? new Error(name));
  };
  return verifyAccounts(names, { open, clock });
}

const says =
  (...checks: AccountCheck[]): Verify =>
  () =>
    Promise.resolve(checks);

describe('the exit status of one account', () => {
  it.each<[checks: AccountCheck[], status: number]>([
    [[FINE, UNTOLD], 0],
    [[failed('token')], 4],
    [[failed('permission')], 4],
    [[failed('restricted')], 6],
    [[failed('content')], 6],
    [[failed('rate_limit')], 7],
    [[failed('network')], 7],
    [[failed()], 2],
    [[failed('network'), FINE, failed('restricted'), failed('token')], 4],
    [[failed('network'), failed('restricted')], 6],
  ])('%j', async (checks, status) => {
    const [verdict] = await verify({ a: says(...checks) });
    expect(verdict).toMatchObject({ account: 'a', status, ok: status === 0 });
    expect(verdict?.checks).toEqual(checks.map(({ about, state, detail, hint }) => ({ about, state, detail, hint })));
  });
});

it('goes on with the others when one cannot be asked, and keeps their order', async () => {
  const verdicts = await verify({
    a: new Failure('SECRET_MISSING', 'T is not set.', 'Set T.'),
    b: says(FINE),
    c: says(UNTOLD),
  });
  expect(verdicts).toEqual([
    {
      account: 'a',
      ok: false,
      status: 2,
      checks: [{ about: 'configuration', state: 'failed', detail: 'T is not set.', hint: 'Set T.' }],
    },
    { account: 'b', ok: true, status: 0, checks: [FINE] },
    { account: 'c', ok: true, status: 0, checks: [UNTOLD] },
  ]);
});

it('waits so long for a service that does not answer, and for all of them at a time', async () => {
  const clock = new FakeClock(0);
  const silent = (): Promise<AccountCheck[]> => new Promise(() => undefined);
  const verdicts = await verify({ a: silent, b: says(FINE), c: silent }, clock);
  expect(clock.now()).toBe(VERIFY_LIMIT_MS);
  expect(verdicts.map(({ status }) => status)).toEqual([7, 0, 7]);
  expect(verdicts[0]?.checks).toEqual([expect.objectContaining({ about: 'reachable', state: 'failed' })]);
});

it('leaves no timer running when the answers are there', async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const clock = new FakeClock(0);
  clock.sleep = (_, signal) => {
    signals.push(signal);
    return new Promise(() => undefined);
  };
  await verify({ a: says(FINE), b: new Failure('USAGE', 'x') }, clock);
  expect(signals.map((signal) => signal?.aborted)).toEqual([true, true]);
});

it('asks a few at a time', async () => {
  const clock = new FakeClock(0);
  let most = 0;
  let now = 0;
  const slow = async (): Promise<AccountCheck[]> => {
    most = Math.max(most, (now += 1));
    await clock.sleep(100);
    now -= 1;
    return [FINE];
  };
  await verify(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`a${index}`, slow])), clock);
  expect(most).toBe(8);
});

it('does not call a fault of pagecast a fault of the account', async () => {
  await expect(verify({ a: () => Promise.reject(new TypeError('a bug')) })).rejects.toThrow('a bug');
});
