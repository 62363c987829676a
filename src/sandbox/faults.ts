/** Which request a fault strikes. Chance comes from the sandbox's seeded random, so that a run can be repeated. */
import type { Random } from '../ports.js';
import type { FaultRule } from './seed.js';

export class FaultPlan {
  readonly #random: Random;
  #rules: { rule: FaultRule; users: Set<string> | null; struck: Map<string, number> }[] = [];
  /** How often each kind has struck. */
  struck: Record<string, number> = {};

  constructor(rules: readonly FaultRule[], random: Random) {
    this.#random = random;
    this.replace(rules);
  }

  replace(rules: readonly FaultRule[]): void {
    this.#rules = rules.map((rule) => ({
      rule,
      users: rule.users === undefined ? null : new Set(rule.users),
      struck: new Map(),
    }));
  }

  /** The first rule, in their order, that strikes a request for this user; null for most. */
  pick(user: string): FaultRule | null {
    if (this.#rules.length === 0) return null;
    for (const { rule, users, struck } of this.#rules) {
      if (users && !users.has(user)) continue;
      const counted = users ? user : '';
      const times = struck.get(counted) ?? 0;
      if (rule.times !== undefined && times >= rule.times) continue;
      if (rule.rate !== undefined && this.#random.next() >= rule.rate) continue;
      if (rule.times !== undefined) struck.set(counted, times + 1);
      this.struck[rule.kind] = (this.struck[rule.kind] ?? 0) + 1;
      return rule;
    }
    return null;
  }
}
