/**
 * Plans a campaign: every row is checked, joined with what is known of its person, and staged in the ledger in batches;
 * then turns are given out in the order of sending. Nothing can be sent from a plan until it is approved.
 */
import { createHash } from 'node:crypto';
import { campaignContent } from '../core/campaign-content.js';
import type { CampaignMode } from '../core/delivery.js';
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
import { checkTemplate, compileTemplate, registeredMismatch, type Message, type Template } from '../core/template.js';
import type { WindowSettings } from '../core/window.js';
import type { Account, Clock, Random, Sheets, StagedRow, Store } from '../ports.js';
import { checkSheet, checkTypedIn, type SheetReport } from './check-sheet.js';
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
  mode: CampaignMode;
  source: RecipientSource;
  /** For a sheet with record owners: all of them, and whose rows this plan is for (null: no owner that is known). */
  owners?: { all: ReadonlySet<string>; isMine: (owner: string | null) => boolean };
  window: WindowSettings;
  /** Messages a second. */
  pace: number;
  skipInvalid: boolean;
  /** When it is to be sent; null for at once. */
  timing: Timing | null;
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

/** Of each of a campaign's templates. */
const SAMPLES = 3;

export async function planCampaign(world: PlanWorld, request: PlanRequest): Promise<Plan> {
  const { store, clock } = world;
  const { account, template, outside, mode, owners } = request;
  requireUsable(template, account);
  if (outside !== null) requireMatch(template, outside, account);
  const now = clock.now();
  const startAt = request.timing?.sendAt ?? now;
  const pace = paceOf(template, request.pace);
  const campaign = shortId('c', now, world.random);
  const compiled = compileTemplate(template);
  const variables = compiled.variables.map((variable) => variable.name);
  await store.draft({
    id: campaign,
    account: senderKey(account),
    accountName: account.name,
    template,
    source: request.source.kind === 'sheet' ? request.source.path : 'typed in',
    pace,
    variables,
    timing: request.timing,
    mode,
    outside,
  });
  try {
    const skip = Object.fromEntries(PLAN_REASONS.map((reason) => [reason, 0])) as Plan['skip'];
    const digest = new ContentDigest(account, template, outside);
    const content = campaignContent(request);
    const reach = reachOf(request, account.channel);
    let sendOutside = 0;
    let rows = 0;
    let recipients = 0;
    const sms = new SmsTally();
    const samples: Plan['samples'] = [];
    // Beside the set of ids the only thing that grows with the rows: eight bytes for each.
    const closings: number[] = [];
    /** Of those whose window is open now and shut by the time of a timed send. */
    const lost: number[] = [];
    /** Rows whose person stands in a later row with other values: neither of the two is known to be right. */
    const contradicted: number[] = [];
    let example: readonly string[] | null = null;

    const stage = async (checked: Exclude<RowResult, { kind: 'blank' }>[]): Promise<void> => {
      for (const { findings } of checked) {
        const duplicate = findings.find((one) => one.code === 'ID_DUPLICATE');
        if (duplicate && !duplicate.args.sameValues) contradicted.push(duplicate.args.firstRow);
      }
      const results = owners ? checked.filter((result) => owners.isMine(ownerOf(result))) : checked;
      rows += results.length;
      recipients += results.filter((result) => result.kind === 'recipient').length;
      const people = results.flatMap((result) => (result.kind === 'recipient' ? [result.recipient.userId] : []));
      const standings = await store.standings(senderKey(account), people, request.window);
      let person = 0;
      const staged = results.map((result): StagedRow => {
        if (result.kind === 'invalid') {
          const reason = result.findings.some((one) => one.code === 'ID_DUPLICATE') ? 'duplicate' : 'invalid';
          skip[reason] += 1;
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
        const standing = standings[person] ?? { last: null, optedOut: false };
        person += 1;
        digest.add(userId, values);
        example ??= values;
        const admission = admit(standing, startAt, request.window, reach);
        const opener = standing.last?.opener ?? null;
        if (admission.reason !== null) {
          const today = startAt > now ? admit(standing, now, request.window, reach) : admission;
          if (today.reason === null) lost.push(today.closesAt ?? Infinity);
          skip[admission.reason] += 1;
        } else {
          closings.push(admission.closesAt ?? Infinity);
          if (admission.outside) sendOutside += 1;
          if (account.channel === 'sms') sms.add(content.render(values, false).text ?? '');
          const alike = samples.filter((sample) => sample.outside === admission.outside);
          if (alike.length < SAMPLES) {
            const message = content.render(values, admission.outside);
            samples.push({ row, userId, values, message, outside: admission.outside });
          }
        }
        return { seq: row, userId, values, opener, ...admission };
      });
      await store.stage(campaign, staged);
    };

    const report = await check(world.sheets, request, stage);
    const usable = recipients > 0 && (report.ok || (request.skipInvalid && !report.findings.some(concernsFile)));
    let queued = closings.length;
    if (!usable) await store.discard(campaign);
    else if (contradicted.length > 0) {
      const left = await store.leaveOut(campaign, contradicted, 'duplicate');
      skip.duplicate += left;
      queued -= left;
    }
    const sorted = Float64Array.from(closings).sort();
    if (usable && !everybodyInTime(sorted, startAt, pace)) {
      const late = await passWhoIsTooLate(store, campaign, new TurnTaker(startAt, pace), reach);
      if (reach === 'both') sendOutside += late;
      else skip.window_closes_before_turn = late;
    }
    const send = usable ? queued - skip.window_closes_before_turn : 0;
    const reachable = Float64Array.from([...lost, ...closings]).sort();
    return {
      campaign: usable ? campaign : null,
      account: account.name,
      template: template.name,
      language: template.language,
      outside: outside && { template: outside.name, send: usable ? sendOutside : 0 },
      source: request.source.kind,
      sheet: request.source.kind === 'sheet' ? request.source.path : null,
      rows,
      send,
      skip,
      pace,
      timing: request.timing,
      startAt,
      earlier: usable && startAt > now ? earlierStarts(reachable, { from: now, until: startAt, pace }) : [],
      finishAt: finishTime(startAt, send, pace),
      digest: digest.value(),
      findings: report.findings,
      counts: report.counts,
      truncated: report.truncated,
      recipients,
      sms: account.channel === 'sms' ? sms.result() : null,
      variables,
      example,
      samples: samples.filter(({ row }) => !contradicted.includes(row)),
    };
  } catch (error) {
    await store.discard(campaign).catch(() => undefined);
    throw error;
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
  { source, template, outside, account, owners }: PlanRequest,
  onRows: (results: Exclude<RowResult, { kind: 'blank' }>[]) => Promise<void>,
): Promise<SheetReport> {
  const content = campaignContent({ template, outside });
  const demands: SheetDemands = {
    ...(owners && { owners: owners.all }),
    ...(outside && { outside: (values) => content.render(values, true) }),
  };
  if (source.kind === 'sheet') {
    const { path, limits } = source;
    return checkSheet(sheets, { path, limits, template, channel: account.channel, demands, onRows });
  }
  const { variables } = compileTemplate(template);
  const known = new Set(variables.map((variable) => variable.name));
  for (const name of Object.keys(source.values)) {
    if (known.has(name)) continue;
    const names = known.size > 0 ? `It has: ${[...known].join(', ')}.` : 'It has none.';
    throw new Failure('VARIABLE_UNKNOWN', `The template ${template.name} has no variable ${name}.`, names);
  }
  const missing = variables.filter((variable) => source.values[variable.name] === undefined);
  if (missing.length > 0) {
    throw new Failure(
      'USAGE',
      `The template ${template.name} needs ${missing.map((variable) => variable.name).join(', ')}.`,
      `Add ${missing.map((variable) => `--var ${variable.name}=…`).join(' ')}, or use a sheet.`,
    );
  }
  const values = variables.map((variable) => source.values[variable.name] ?? '');
  return checkTypedIn({ template, channel: account.channel, demands, ids: source.ids, values, onRows });
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
function requireUsable(template: Template, account: Account): void {
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

function ownerOf(result: Exclude<RowResult, { kind: 'blank' }>): string | null {
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
