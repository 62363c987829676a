/** What became of a campaign, put in order for people: pure shaping of what the store knows. */
import {
  explainStop,
  ROW_STATES,
  type Counts,
  type DeliveryError,
  type ReceiptKind,
  type RowState,
} from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import { Failure } from '../core/failure.js';
import { isError, type Finding } from '../core/finding.js';
import { IdTable } from '../core/id-table.js';
import type { SkipReason } from '../core/plan.js';
import { explainUndelivered } from '../core/receipt.js';
import { RowChecker, sheetHeader, usableId } from '../core/sheet.js';
import { CHANNELS, compileTemplate, type Channel } from '../core/template.js';
import type { Opener } from '../core/window.js';
import type { Campaign, CampaignSummary, MessageRow, Store, TimelineSpan } from '../ports.js';

export interface CampaignReport {
  campaign: Campaign;
  summary: CampaignSummary;
  /** Why rows were left out, most first. `sinceApproval`: how many of them the approved plan had not left out. */
  leftOut: { reason: SkipReason; count: number; sinceApproval: number }[];
  /** Failed and unknown rows by error, most first. */
  problems: { code: string; count: number; meaning: string; advice: string }[];
  /** What was told of sent messages later; null when nothing was. */
  receipts: ReceiptReport | null;
  /** How rows fared by what had opened their window, most first; `opener` is null where nothing is known. */
  openers: { opener: Opener | null; counts: Counts }[];
  /** Windows that closed too early: before the turn that the plan gave them, and after approval but before they were sent to. */
  windowsClosed: { beforeTurn: number; afterApproval: number };
  /** How late a timed campaign started, in milliseconds; null without a time, or before the start. */
  lateMs: number | null;
  rate: RateReport;
  /** Why it stands still and what to do; null unless stopped. */
  stop: { at: number; meaning: string; advice: string; error: DeliveryError | null } | null;
}

export interface ReceiptReport extends Record<ReceiptKind, number> {
  /** Also those that were read. */
  delivered: number;
  /** Sent messages without a receipt. */
  none: number;
  /** Why messages were not delivered, most first; `code` is empty where no reason was given. */
  reasons: { code: string; count: number; meaning: string; advice: string }[];
}

/** Outcomes over time. All counts are by the moment at which the answer was written down. */
export interface RateReport {
  /** Length of a span. */
  spanMs: number;
  /** At most 120, one after another without gaps; empty before the first outcome. */
  spans: TimelineSpan[];
  /** Outcomes a second; rests of more than a minute do not count as time. Null before the first outcome. */
  average: number | null;
  /** The most outcomes in one second of the clock. */
  top: number;
}

/** @throws Failure CAMPAIGN_UNKNOWN */
export async function reportCampaign(store: Store, id: string): Promise<CampaignReport> {
  const campaign = await store.campaign(id);
  if (campaign === null) {
    throw new Failure('CAMPAIGN_UNKNOWN', `There is no campaign ${id}.`, 'List them: pagecast campaign list');
  }
  const summary = await store.summary(id);
  const { skip, errors, byOpener, changed } = summary;
  const { timing, startedAt } = campaign;
  return {
    campaign,
    summary,
    leftOut: mostFirst(skip).map(([reason, count]) => {
      return { reason: reason as SkipReason, count, sinceApproval: changed.out[reason as SkipReason] ?? 0 };
    }),
    problems: mostFirst(errors).map(([code, count]) => {
      const { meaning, advice } = explainError(code);
      return { code, count, meaning, advice };
    }),
    receipts: receiptReport(summary),
    openers: Object.entries(byOpener)
      .map(([opener, fared]) => ({ opener: opener === '' ? null : (opener as Opener), counts: withTotal(fared) }))
      .sort((a, b) => b.counts.total - a.counts.total),
    windowsClosed: { beforeTurn: skip.window_closes_before_turn ?? 0, afterApproval: changed.out.window_closed ?? 0 },
    lateMs: timing === null || startedAt === null ? null : Math.max(0, startedAt - timing.sendAt),
    rate: rateReport(await store.timeline(id, 1000), campaign.pace),
    stop: campaign.stop && { at: campaign.stop.at, error: campaign.stop.error, ...explainStop(campaign.stop) },
  };
}

function receiptReport({ counts, receipts, undelivered: codes }: CampaignSummary): ReceiptReport | null {
  const { delivered = 0, read = 0, undelivered = 0 } = receipts;
  if (delivered + read + undelivered === 0) return null;
  return {
    delivered: delivered + read,
    read,
    undelivered,
    none: counts.sent - delivered - read - undelivered,
    reasons: mostFirst(codes).map(([code, count]) => ({ code, count, ...explainUndelivered(code) })),
  };
}

function mostFirst(counts: Record<string, number>): [string, number][] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a);
}

function withTotal(fared: Partial<Record<RowState, number>>): Counts {
  const counts = Object.fromEntries(ROW_STATES.map((state) => [state, fared[state] ?? 0])) as Record<RowState, number>;
  return { ...counts, total: ROW_STATES.reduce((sum, state) => sum + counts[state], 0) };
}

// ---------------------------------------------------------------------------------------------------- rate

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const SPANS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400].map((s) => s * SECOND);
const MOST_SPANS = 120;
const REST = 60 * SECOND;

/** @param seconds outcomes by the second, ascending */
function rateReport(seconds: readonly TimelineSpan[], pace: number): RateReport {
  const [first, last] = [seconds[0]?.from, seconds.at(-1)?.from];
  if (first === undefined || last === undefined) return { spanMs: SECOND, spans: [], average: null, top: 0 };

  const spansOf = (span: number): number => Math.floor(last / span) - Math.floor(first / span) + 1;
  const days = Math.ceil((last - first) / DAY / (MOST_SPANS - 1));
  const spanMs = SPANS.find((span) => spansOf(span) <= MOST_SPANS) ?? days * DAY;
  const start = Math.floor(first / spanMs) * spanMs;
  const spans = Array.from({ length: spansOf(spanMs) }, (_, index) => {
    return { from: start + index * spanMs, sent: 0, failed: 0, unknown: 0 };
  });

  // Between the messages of a slow campaign there is nothing to rest from.
  const rest = Math.max(REST, (3 * SECOND) / pace);
  let outcomes = 0;
  let top = 0;
  let time = 0;
  seconds.forEach(({ from, sent, failed, unknown }, index) => {
    const span = spans[Math.floor((from - start) / spanMs)];
    if (span) {
      span.sent += sent;
      span.failed += failed;
      span.unknown += unknown;
    }
    const count = sent + failed + unknown;
    outcomes += count;
    top = Math.max(top, count);
    const gap = (seconds[index + 1]?.from ?? from + SECOND) - from;
    time += gap > rest ? SECOND : gap;
  });
  return { spanMs, spans, average: (outcomes * SECOND) / time, top };
}

// ---------------------------------------------------------------------------------------------------- who did not get it

/** Somebody who surely did not get the message, as a row of a new recipient sheet. */
export interface Unreached {
  row: MessageRow;
  /** One for each column of `header`. */
  cells: readonly string[];
  /** For an invalid row: what is wrong with it, as far as its text still shows. */
  findings: readonly Finding[];
  /** The id that stands in the ledger, where it must not be taken over as it is. */
  withheldId: string | null;
}

export interface UnreachedSheet {
  channel: Channel;
  /** As `sheet new` writes it. */
  header: readonly string[];
  /** In sheet order. Memory grows by the ids of who was reached, and only if there are duplicate or invalid rows. */
  rows: AsyncIterable<Unreached>;
}

/**
 * Those of a campaign to whom the message may go again without reaching anybody twice: failed and left out. Nobody who is in
 * another row that was sent, may have been sent or is still to be sent.
 */
export function unreached(store: Store, { campaign, summary }: CampaignReport): UnreachedSheet {
  const channel = channelOf(campaign);
  const compiled = compileTemplate(campaign.template);
  const header = sheetHeader(compiled, channel);
  const places = header.slice(1).map((name) => campaign.variables.indexOf(name));

  async function* rows(): AsyncIterable<Unreached> {
    const mayRepeat = (summary.skip.duplicate ?? 0) + (summary.skip.invalid ?? 0) > 0;
    const reached = mayRepeat ? await reachedIds(store, campaign.id) : () => false;
    for await (const page of store.messages({ campaign: campaign.id })) {
      for (const row of page) {
        if (row.state !== 'failed' && row.state !== 'skipped') continue;
        const id = usableId(row.userId, channel);
        if (id !== null && reached(id)) continue;
        const cells = [row.userId, ...places.map((place) => row.values[place] ?? '')];
        if (row.reason !== 'invalid') yield { row, cells, findings: [], withheldId: null };
        else yield { row, ...mendable(new RowChecker(compiled, channel, header), row, cells) };
      }
    }
  }
  return { channel, header, rows: rows() };
}

/** @returns whether somebody was sent to, may have been, or is still to be */
async function reachedIds(store: Store, campaign: string): Promise<(id: string) => boolean> {
  const ids = new IdTable();
  let count = 0;
  for await (const page of store.messages({ campaign })) {
    for (const { state, userId } of page) {
      if (state !== 'failed' && state !== 'skipped' && ids.entryOf(userId).isNew) count += 1;
    }
  }
  // Asking for an id adds it, after those that were reached.
  return (id) => ids.entryOf(id).entry < count;
}

/** No id: the check of a sheet refuses it, so the row cannot be sent to before somebody has looked at it. */
const WITHHELD = '?';

/** Whether digits may be what a number has left of an id: Excel keeps 15 of them, other programs those of a double. */
function mayBeDamaged(id: string): boolean {
  if (!/^\d{16,20}$/.test(id)) return false;
  const value = Number(id);
  return (
    /^\d{15}0+$/.test(id) || (value > Number.MAX_SAFE_INTEGER && (String(value) === id || BigInt(value) === BigInt(id)))
  );
}

/**
 * The ledger has texts. What was a number, a date or a formula in the sheet would pass as text now, so the id is withheld
 * where the fault cannot be seen any more, or where it may be the id that a number has damaged.
 */
function mendable(checker: RowChecker, row: MessageRow, cells: readonly string[]): Omit<Unreached, 'row'> {
  const result = checker.check({ row: row.seq, cells });
  const findings = result.kind === 'blank' ? [] : result.findings.filter(isError);
  if (findings.length > 0 && !mayBeDamaged(row.userId)) return { cells, findings, withheldId: null };
  return { cells: [WITHHELD, ...cells.slice(1)], findings, withheldId: row.userId };
}

/** The account is named by its `senderKey`: `messenger/…`, or `sandbox:messenger/…`. */
function channelOf({ account }: Campaign): Channel {
  const named = account.slice(account.indexOf(':') + 1).split('/')[0];
  return CHANNELS.find((channel) => channel === named) ?? 'messenger';
}
