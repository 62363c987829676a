/**
 * Plans campaigns: every row is checked, joined with what is known of its person, and staged in the ledger in batches;
 * then turns are given out in the order of sending. Nothing can be sent from a plan until it is approved.
 */
import { createHash } from 'node:crypto';
import { campaignContent, type CampaignContent } from '../core/campaign-content.js';
import { isError, type Finding, type FindingCode, type SheetLimits } from '../core/finding.js';
import { Failure } from '../core/failure.js';
import {
  admit,
  everybodyInTime,
  finishTime,
  latestStart,
  PLAN_REASONS,
  servedFrom,
  TurnTaker,
  type PlanReason,
} from '../core/plan.js';
import { paceOf } from '../core/pacing.js';
import { reachOf, templateBlock, type Reach } from '../core/policy.js';
import type { Timing } from '../core/schedule.js';
import { senderKey } from '../core/sender.js';
import { SmsTally, type SmsTotals } from '../core/sms.js';
import { hashTexts, type RowResult, type SheetDemands } from '../core/sheet.js';
import {
  checkTemplate,
  compileTemplate,
  registeredMismatch,
  type Channel,
  type Message,
  type Template,
} from '../core/template.js';
import type { WindowSettings } from '../core/window.js';
import type { Account, Clock, Random, Sheets, StagedRow, Store } from '../ports.js';
import { checkSheet, checkTypedIn, type CheckRequest, type SheetReport } from './check-sheet.js';
import { sheetOrigin } from './make-sheet.js';

export type RecipientSource =
  | { kind: 'sheet'; path: string; limits: SheetLimits }
  /** Values by variable; every person gets the same. */
  | { kind: 'ids'; ids: readonly string[]; values: Readonly<Record<string, string>> };

export interface PlanRequest {
  account: Account;
  template: Template;
  /** The registered template for people whose window is shut; null when they are left out. */
  outside: Template | null;
  source: RecipientSource;
  window: WindowSettings;
  /** Messages a second. */
  pace: number;
  skipInvalid: boolean;
  /** When it is to be sent; null for at once. */
  timing: Timing | null;
}

/** One of the accounts that the people of a source are sent to from. */
export interface PlanSender {
  account: Account;
  /** Messages a second. */
  pace: number;
  /** Whose rows leave from it, for a sheet with record owners; without it the sheet has none. */
  owners?: ReadonlySet<string>;
}

export interface Plan {
  /** The staged campaign; null when nothing could be staged because of errors. */
  campaign: string | null;
  account: string;
  template: string;
  language: string;
  /** How many of those who are sent to get a registered template because their window is shut, and which; null without. */
  outside: { template: string; send: number } | null;
  /** What `row` counts in findings and samples: a sheet's rows, or the ids as they were typed in. */
  source: RecipientSource['kind'];
  /** The path of the sheet; null for ids that were typed in. */
  sheet: string | null;
  rows: number;
  /** Rows without a fault. */
  recipients: number;
  send: number;
  skip: Record<PlanReason, number>;
  pace: number;
  timing: Timing | null;
  startAt: number;
  finishAt: number;
  /** For a timed send that loses people: later ones lose more, so what an earlier start would keep, the latest first. */
  earlier: { at: number; send: number }[];
  digest: string;
  findings: Finding[];
  counts: Partial<Record<FindingCode, number>>;
  truncated: boolean;
  /** Names of the values, in their order. */
  variables: string[];
  /** The values of the first row without a fault, whoever it is for; null when there is none. */
  example: readonly string[] | null;
  /** How many text messages these people's messages are, as networks count them; null on other channels. */
  sms: SmsTotals | null;
  /** Messages of the first people who are sent to, as they will get them. */
  samples: { row: number; userId: string; values: readonly string[]; message: Message; outside: boolean }[];
}

export interface PlanWorld {
  store: Store;
  sheets: Sheets;
  clock: Clock;
  random: Random;
}

/** How many messages are shown of each of a campaign's templates. */
export const SAMPLES = 3;

export async function planCampaign(world: PlanWorld, { account, pace, ...request }: PlanRequest): Promise<Plan> {
  const [plan] = await planCampaigns(world, request, [{ account, pace }]);
  return plan;
}

/**
 * Plans a campaign for each sender, in one reading of the source: whatever happens to the file meanwhile, every row is in
 * one of the plans, and in one only. Rows of nobody who is known as an owner are kept with a plan that has people.
 * @returns a plan for each sender, in their order, also for those without rows; findings and their counts are those of the
 * whole source. There is a campaign for each plan with rows, or for none of them.
 */
export async function planCampaigns(
  world: PlanWorld,
  request: Omit<PlanRequest, 'account' | 'pace'>,
  senders: readonly [PlanSender, ...PlanSender[]],
): Promise<[Plan, ...Plan[]]> {
  const { template, outside } = request;
  for (const { account } of senders) {
    requireUsable(template, account);
    if (outside !== null) requireMatch(template, outside, account);
  }
  const now = world.clock.now();
  const [firstSender, ...otherSenders] = senders;
  const first = new PlanDraft(world, request, firstSender, now);
  const others = otherSenders.map((sender) => new PlanDraft(world, request, sender, now));
  const drafts = [first, ...others];
  const ofOwner = new Map(drafts.flatMap((draft) => [...(draft.sender.owners ?? [])].map((owner) => [owner, draft])));
  /** Rows whose person stands in a later row with other values: neither of the two is known to be right. */
  const contradicted = new Set<number>();
  let home: PlanDraft | undefined;

  const stage = async (checked: readonly CheckedRow[]): Promise<void> => {
    const strays: CheckedRow[] = [];
    const shares = new Map<PlanDraft, CheckedRow[]>();
    for (const result of checked) {
      const duplicate = result.findings.find((one) => one.code === 'ID_DUPLICATE');
      if (duplicate && !duplicate.args.sameValues) contradicted.add(duplicate.args.firstRow);
      const draft = drafts.length === 1 ? first : ofOwner.get(ownerOf(result) ?? '');
      const share = draft === undefined ? strays : (shares.get(draft) ?? []);
      share.push(result);
      if (draft !== undefined) shares.set(draft, share);
    }
    for (const [draft, share] of shares) await draft.stage(share);
    home ??= drafts.find((draft) => draft.hasPeople);
    if (strays.length > 0) await (home ?? first).stage(strays);
  };

  try {
    for (const draft of drafts) await draft.open();
    const report = await check(world.sheets, request, senders, stage);
    const usable = report.recipients > 0 && (report.ok || (request.skipInvalid && !report.findings.some(concernsFile)));
    const plans: Plan[] = [];
    for (const draft of others) plans.push(await draft.conclude(report, usable, contradicted));
    return [await first.conclude(report, usable, contradicted), ...plans];
  } catch (error) {
    for (const draft of drafts) await world.store.discard(draft.id).catch(() => undefined);
    throw error;
  }
}

type CheckedRow = Exclude<RowResult, { kind: 'blank' }>;

/** The rows of one sender, as they come. */
class PlanDraft {
  readonly id: string;
  readonly sender: PlanSender;
  readonly #world: PlanWorld;
  readonly #request: Omit<PlanRequest, 'account' | 'pace'>;
  readonly #now: number;
  readonly #startAt: number;
  readonly #pace: number;
  readonly #reach: Reach;
  readonly #variables: readonly string[];
  readonly #skip: Plan['skip'];
  readonly #digest: ContentDigest;
  #queue: QueueFigures;
  /** When the windows close of those whose window is open now and shut by the time of a timed send. */
  readonly #lost: number[] = [];
  #rows = 0;
  #recipients = 0;
  #example: readonly string[] | null = null;

  constructor(world: PlanWorld, request: Omit<PlanRequest, 'account' | 'pace'>, sender: PlanSender, now: number) {
    const { template, outside, timing } = request;
    this.id = shortId('c', now, world.random);
    this.sender = sender;
    this.#world = world;
    this.#request = request;
    this.#now = now;
    this.#startAt = timing?.sendAt ?? now;
    this.#pace = paceOf(template, sender.pace);
    this.#reach = reachOf(request, sender.account.channel);
    this.#variables = compileTemplate(template).variables.map((variable) => variable.name);
    this.#skip = Object.fromEntries(PLAN_REASONS.map((reason) => [reason, 0])) as Plan['skip'];
    this.#digest = new ContentDigest(sender.account, template, outside);
    this.#queue = this.#noFigures();
  }

  /** Whether anybody is to be sent to, as far as the rows have come. */
  get hasPeople(): boolean {
    return this.#queue.closings.length > 0;
  }

  open(): Promise<void> {
    const { template, outside, source, timing } = this.#request;
    const { account } = this.sender;
    return this.#world.store.draft({
      id: this.id,
      account: senderKey(account),
      accountName: account.name,
      template,
      source: source.kind === 'sheet' ? source.path : 'typed in',
      pace: this.#pace,
      variables: this.#variables,
      timing,
      outside,
    });
  }

  async stage(results: readonly CheckedRow[]): Promise<void> {
    const { store } = this.#world;
    const { window } = this.#request;
    const people = results.flatMap((result) => (result.kind === 'recipient' ? [result.recipient.userId] : []));
    this.#rows += results.length;
    this.#recipients += people.length;
    const standings = await store.standings(senderKey(this.sender.account), people, window);
    let person = 0;
    const staged = results.map((result): StagedRow => {
      if (result.kind === 'invalid') {
        const reason = result.findings.some((one) => one.code === 'ID_DUPLICATE') ? 'duplicate' : 'invalid';
        this.#skip[reason] += 1;
        return {
          seq: result.row,
          userId: result.userId,
          values: result.values,
          reason,
          closesAt: null,
          opener: null,
          outside: false,
        };
      }
      const { row, userId, values } = result.recipient;
      const standing = standings[person] ?? { last: null, optedOutAt: null };
      person += 1;
      this.#digest.add(userId, values);
      this.#example ??= values;
      const admission = admit(standing, this.#startAt, window, this.#reach);
      const admitted = { seq: row, userId, values, opener: standing.last?.opener ?? null, ...admission };
      if (admission.reason === null) this.#queue.add(admitted);
      else {
        const today = this.#startAt > this.#now ? admit(standing, this.#now, window, this.#reach) : admission;
        if (today.reason === null) this.#lost.push(today.closesAt ?? Infinity);
        this.#skip[admission.reason] += 1;
      }
      return admitted;
    });
    await store.stage(this.id, staged);
  }

  async conclude(report: SheetReport, isSourceUsable: boolean, contradicted: ReadonlySet<number>): Promise<Plan> {
    const { store } = this.#world;
    const { template, outside, source, timing } = this.#request;
    const { account } = this.sender;
    const usable = isSourceUsable && this.#rows > 0;
    if (!usable) await store.discard(this.id);
    else if (contradicted.size > 0) await this.#leaveOut(contradicted);
    const { closings } = this.#queue;
    let { sendOutside } = this.#queue;
    const pace = this.#pace;
    const startAt = this.#startAt;
    if (usable && !everybodyInTime(Float64Array.from(closings).sort(), startAt, pace)) {
      const late = await passWhoIsTooLate(store, this.id, new TurnTaker(startAt, pace), this.#reach);
      if (this.#reach === 'both') sendOutside += late;
      else this.#skip.window_closes_before_turn = late;
    }
    const send = usable ? closings.length - this.#skip.window_closes_before_turn : 0;
    const reachable = Float64Array.from([...this.#lost, ...closings]).sort();
    return {
      campaign: usable ? this.id : null,
      account: account.name,
      template: template.name,
      language: template.language,
      outside: outside && { template: outside.name, send: usable ? sendOutside : 0 },
      source: source.kind,
      sheet: source.kind === 'sheet' ? source.path : null,
      rows: this.#rows,
      send,
      skip: this.#skip,
      pace,
      timing,
      startAt,
      earlier: usable && startAt > this.#now ? earlierStarts(reachable, { from: this.#now, until: startAt, pace }) : [],
      finishAt: finishTime(startAt, send, pace),
      digest: this.#digest.value(),
      findings: report.findings,
      counts: report.counts,
      truncated: report.truncated,
      recipients: this.#recipients,
      sms: account.channel === 'sms' ? this.#queue.sms.result() : null,
      variables: [...this.#variables],
      example: this.#example,
      samples: this.#queue.samples,
    };
  }

  /** What was told of these rows goes with them, so the figures are made anew of those that are left. */
  async #leaveOut(contradicted: ReadonlySet<number>): Promise<void> {
    const { store } = this.#world;
    const left = await store.leaveOut(this.id, [...contradicted], 'duplicate');
    if (left === 0) return;
    this.#skip.duplicate += left;
    this.#queue = this.#noFigures();
    for await (const rows of store.stagedQueue(this.id)) for (const row of rows) this.#queue.add(row);
  }

  #noFigures(): QueueFigures {
    return new QueueFigures(campaignContent(this.#request), this.sender.account.channel);
  }
}

/** What is told of the queued rows of a plan. */
class QueueFigures {
  // Beside the set of ids the only thing that grows with the rows: eight bytes for each.
  readonly closings: number[] = [];
  readonly samples: Plan['samples'] = [];
  readonly sms = new SmsTally();
  sendOutside = 0;
  readonly #content: CampaignContent;
  readonly #channel: Channel;

  constructor(content: CampaignContent, channel: Channel) {
    this.#content = content;
    this.#channel = channel;
  }

  add({ seq, userId, values, closesAt, outside }: StagedRow): void {
    this.closings.push(closesAt ?? Infinity);
    if (outside) this.sendOutside += 1;
    if (this.#channel === 'sms') this.sms.add(this.#content.render(values, outside).text ?? '');
    if (this.samples.filter((sample) => sample.outside === outside).length === SAMPLES) return;
    this.samples.push({ row: seq, userId, values, message: this.#content.render(values, outside), outside });
  }
}

/** How much of what a start now would keep an earlier start should keep to be worth telling. */
const KEPT_SHARES = [0.9, 1];

function earlierStarts(
  closings: Float64Array,
  { from, until, pace }: { from: number; until: number; pace: number },
): Plan['earlier'] {
  const most = servedFrom(closings, from, pace);
  const kept = servedFrom(closings, until, pace);
  const starts = new Map<number, number>();
  for (const share of KEPT_SHARES) {
    const wanted = Math.ceil(most * share);
    if (wanted <= kept) continue;
    const at = latestStart(closings, { from, until, wanted, pace });
    if (at !== null) starts.set(at, servedFrom(closings, at, pace));
  }
  return [...starts].map(([at, send]) => ({ at, send }));
}

function check(
  sheets: Sheets,
  { source, template, outside }: Omit<PlanRequest, 'account' | 'pace'>,
  senders: readonly [PlanSender, ...PlanSender[]],
  onRows: (results: CheckedRow[]) => Promise<void>,
): Promise<SheetReport> {
  const content = campaignContent({ template, outside });
  const owners = senders.flatMap((sender) => [...(sender.owners ?? [])]);
  const demands: SheetDemands = {
    ...(owners.length > 0 && { owners: new Set(owners) }),
    ...(outside && { outside: (values) => content.render(values, true) }),
  };
  // All of them are on the channel of the sheet's ids.
  const { channel } = senders[0].account;
  if (source.kind === 'sheet') {
    const { path, limits } = source;
    return checkSheet(sheets, { path, limits, template, channel, demands, onRows });
  }
  return checkIds({ template, channel, demands, onRows }, source);
}

/**
 * Checks recipients that were typed in, who all get the same values.
 * @throws Failure VARIABLE_UNKNOWN, USAGE when values are missing
 */
export async function checkIds(
  { template, ...request }: Pick<CheckRequest, 'template' | 'channel' | 'demands' | 'onRows'>,
  { ids, values: given }: Pick<Extract<RecipientSource, { kind: 'ids' }>, 'ids' | 'values'>,
): Promise<SheetReport> {
  const { variables } = compileTemplate(template);
  const known = new Set(variables.map((variable) => variable.name));
  for (const name of Object.keys(given)) {
    if (known.has(name)) continue;
    const names = known.size > 0 ? `It has: ${[...known].join(', ')}.` : 'It has none.';
    throw new Failure('VARIABLE_UNKNOWN', `The template ${template.name} has no variable ${name}.`, names);
  }
  const missing = variables.filter((variable) => given[variable.name] === undefined);
  if (missing.length > 0) {
    throw new Failure(
      'USAGE',
      `The template ${template.name} needs ${missing.map((variable) => variable.name).join(', ')}.`,
      `Add ${missing.map((variable) => `--var ${variable.name}=…`).join(' ')}, or use a sheet.`,
    );
  }
  const values = variables.map((variable) => given[variable.name] ?? '');
  return checkTypedIn({ ...request, template, ids, values });
}

/** Leaves out whoever's turn would come too late, or gives them the registered template. @returns how many they are */
async function passWhoIsTooLate(store: Store, campaign: string, turns: TurnTaker, reach: Reach): Promise<number> {
  let late = 0;
  for await (const places of store.order(campaign)) {
    const tooLate = places.filter((place) => !turns.take(place.closesAt)).map((place) => place.seq);
    if (tooLate.length > 0 && reach === 'both') await store.moveOutside(campaign, tooLate);
    else if (tooLate.length > 0) await store.leaveOut(campaign, tooLate, 'window_closes_before_turn');
    late += tooLate.length;
  }
  return late;
}

/** @throws Failure CHANNEL_DIFFERS, POLICY_FORBIDS, TEMPLATE_INVALID */
export function requireUsable(template: Template, account: Account): void {
  const block = templateBlock(template, account.channel);
  if (block) {
    const code = block.code === 'CHANNEL' ? 'CHANNEL_DIFFERS' : 'POLICY_FORBIDS';
    throw new Failure(code, `${template.name} cannot be sent with ${account.name}. ${block.reason}`, block.instead);
  }
  if (checkTemplate(template).some(isError)) {
    throw new Failure(
      'TEMPLATE_INVALID',
      `The template ${template.name} (${template.language}) has faults.`,
      `See them: pagecast template check ${template.name} --lang ${template.language}`,
    );
  }
}

/** @throws Failure, also when the sheet of the one does not hold what the other needs */
function requireMatch(template: Template, outside: Template, account: Account): void {
  requireUsable(outside, account);
  if (outside.kind !== 'registered') {
    throw new Failure(
      'POLICY_FORBIDS',
      `${outside.name} is no registered template, and only those may go to people outside their window.`,
      'Name one that is registered: pagecast template list',
    );
  }
  const missing = registeredMismatch(template, outside);
  if (missing.length === 0) return;
  throw new Failure(
    'TEMPLATE_INVALID',
    `The registered template ${outside.name} needs ${missing.join(', ')}, which the sheet of ${template.name} does not have.`,
    `Use the same variables in both, or name another registered template.`,
  );
}

function ownerOf(result: CheckedRow): string | null {
  return result.kind === 'recipient' ? result.recipient.owner : result.owner;
}

/** Faults of the file or of a whole column cannot be passed over by leaving rows out. */
function concernsFile(found: Finding): boolean {
  return isError(found) && found.row === null;
}

/** An id that people can read out: a letter, the day in UTC, and five characters that tell those of a day apart. */
export function shortId(letter: string, now: number, random: Random): string {
  const day = new Date(now).toISOString().slice(0, 10).replaceAll('-', '');
  const tail = Math.floor(random.next() * 36 ** 5)
    .toString(36)
    .padStart(5, '0');
  return `${letter}${day}-${tail}`;
}

/**
 * What a campaign says to whom, in one value: the same for the same people and values in any order and under any file
 * name, so that a renamed or re-sorted sheet is still known.
 */
class ContentDigest {
  readonly #start: string;
  #count = 0;
  #low = 0;
  #high = 0;

  constructor(account: Account, template: Template, outside: Template | null) {
    const templates = outside === null ? [template] : [template, outside];
    this.#start = [senderKey(account), ...templates.map((one) => sheetOrigin(one).fingerprint)].join('\n');
  }

  add(userId: string, values: readonly string[]): void {
    const hash = hashTexts([userId, ...values]);
    this.#count += 1;
    this.#low = (this.#low + (hash % 4294967296)) % 4294967296;
    this.#high = (this.#high + Math.floor(hash / 4294967296)) % 4294967296;
  }

  value(): string {
    const content = `${this.#start}\n${this.#count}\n${this.#low}\n${this.#high}`;
    return createHash('sha256').update(content).digest('hex').slice(0, 32);
  }
}
