/** A campaign's report as text and as JSON. */
import type { ChalkInstance } from 'chalk';
import { ROW_STATES } from '../core/delivery.js';
import type { CampaignReport } from '../app/report.js';
import { campaignJson, iso } from './campaign-run.js';
import { campaignText, duration, plural, skipLines, SKIP_TEXT, table } from './render.js';

export function reportText(report: CampaignReport, paint: ChalkInstance): string {
  const { campaign, summary, openers } = report;
  // The table of openers below says more.
  const lines = [campaignText(campaign, { ...summary, refusedByOpener: {} }, paint)];
  lines.push(...timingLines(report));
  if (Object.keys(summary.changed.out).length > 0) {
    lines.push('Of those left out, the approved plan had meant to send to:', ...skipLines(summary.changed.out));
  }
  lines.push(...changeLines(report));
  if (openers.some(({ opener }) => opener !== null)) {
    const states = ROW_STATES.filter((state) => summary.counts[state] > 0);
    lines.push(
      'By what had opened the window:',
      table(
        ['OPENER', ...states.map((state) => state.toUpperCase()), 'TOTAL'],
        openers.map(({ opener, counts }) => [
          opener ?? 'not known',
          ...[...states, 'total' as const].map((state) => counts[state].toLocaleString('en')),
        ]),
        paint,
      ),
    );
  }
  return lines.join('\n');
}

/** When it was to be sent, how late it was, and how fast it went: one sentence each. */
export function timingLines({ campaign, lateMs, rate }: CampaignReport): string[] {
  const lines: string[] = [];
  if (campaign.timing) {
    const { sendAt, expiresAt, zone } = campaign.timing;
    const there = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone: zone });
    const late =
      lateMs === null ? '' : lateMs < 1000 ? '; it started in time' : `; it started ${duration(lateMs)} late`;
    lines.push(
      `To be sent at ${there.format(sendAt)}, and not after ${there.format(expiresAt)}, as the clocks show in ${zone}${late}.`,
    );
  }
  if (rate.average !== null) {
    const average = rate.average.toLocaleString('en', { maximumSignificantDigits: 3 });
    lines.push(`Outcomes came in at ${average}/s on average, at most ${rate.top} in one second.`);
  }
  return lines;
}

/** Whose window closed too early, and who came in since the approval: one sentence each. */
export function changeLines({ summary: { changed }, windowsClosed }: CampaignReport): string[] {
  const lines: string[] = [];
  if (changed.in > 0) lines.push(`${plural(changed.in, 'row')} came in that the approved plan had left out.`);
  if (windowsClosed.beforeTurn > 0) {
    lines.push(
      `${plural(windowsClosed.beforeTurn, 'window')} would have closed before their turn; an earlier start or a higher pace reaches more.`,
    );
  }
  if (windowsClosed.afterApproval > 0) {
    lines.push(`${plural(windowsClosed.afterApproval, 'window')} closed between the approval and the sending.`);
  }
  return lines;
}

/** A report in JSON: everything that `campaignJson` says, and what was made of it. Instants are ISO 8601 in UTC. */
export function reportJson(report: CampaignReport): object {
  const { campaign, summary, leftOut, problems, receipts, openers, windowsClosed, lateMs, rate, stop } = report;
  return {
    ...campaignJson(campaign, summary),
    lateMs,
    stopExplained: stop && { at: iso(stop.at), meaning: stop.meaning, advice: stop.advice },
    leftOut: leftOut.map((one) => ({ ...one, meaning: SKIP_TEXT[one.reason] })),
    windowsClosed,
    problems,
    received: receipts,
    openers: openers.map(({ opener, counts }) => ({ opener, ...counts })),
    rate: {
      average: rate.average,
      top: rate.top,
      spanMs: rate.spanMs,
      spans: rate.spans.map((span) => ({ ...span, from: iso(span.from) })),
    },
  };
}
