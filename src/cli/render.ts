/** How things look on a terminal: tables, message bubbles, charts, plans and reports. Pure: data in, text out. */
import type { ChalkInstance } from 'chalk';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import { explainStop, ROW_STATES, type Counts, type DeliveryError } from '../core/delivery.js';
import { explainError } from '../core/platform-errors.js';
import type { Finding } from '../core/finding.js';
import type { SkipReason } from '../core/plan.js';
import type { PolicyStatement } from '../core/policy.js';
import { smsCapacity, type SmsSize, type SmsTotals } from '../core/sms.js';
import { explainUndelivered } from '../core/receipt.js';
import type { Button, Message } from '../core/template.js';
import type { ForecastReport } from '../app/forecast.js';
import type { Plan } from '../app/plan.js';
import type { SingleResult } from '../app/send-one.js';
import type { Campaign, CampaignSummary } from '../ports.js';
import { maskId } from '../core/user-id.js';
import { clip, findingLine, sentence } from './messages.js';

export { maskId };

// ---------------------------------------------------------------------------------------------------- text and tables

function pad(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - stringWidth(text)));
}

/** A table without lines; the last column is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], paint: ChalkInstance): string {
  const widths = header.map((name, index) =>
    Math.max(stringWidth(name), ...rows.map((row) => stringWidth(row[index] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (index === cells.length - 1 ? cell : pad(cell, widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  return [paint.dim(line(header)), ...rows.map(line)].join('\n');
}

/** Breaks text into lines of at most so many columns, at spaces where there are some. */
export function wrap(text: string, columns: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = wrapAnsi(paragraph, columns, { hard: true, trim: false }).split('\n');
    // The space at which a line was broken stands at one of the two ends.
    return lines.map((line, index) =>
      (index === 0 ? line : line.replace(/^ /, '')).replace(/ $/, index < lines.length - 1 ? '' : '$&'),
    );
  });
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

export function duration(ms: number): string {
  if (ms < 1000) return 'less than a second';
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** An instant in local time, with its offset. */
export function time(at: number): string {
  const parts = new Intl.DateTimeFormat('sv-SE', {
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(at);
  const zone = new Intl.DateTimeFormat('en', { timeZoneName: 'shortOffset' })
    .formatToParts(at)
    .find((part) => part.type === 'timeZoneName')?.value;
  return `${parts} ${zone ?? ''}`.trim();
}

export function pace(perSecond: number): string {
  return Number.isFinite(perSecond) ? `${Number(perSecond.toFixed(2))}/s` : 'unlimited';
}

// ---------------------------------------------------------------------------------------------------- messages

/** A message as the person will see it; cards stand one below the other. */
export function bubble(message: Message, width: number, paint: ChalkInstance): string {
  const inner = Math.min(width - 4, 56);
  const { header, text, media, cards, buttons } = message;
  const boxes = (cards ?? []).map((card) =>
    box(
      [
        ...(card.image === undefined ? [] : wrap(`[image] ${shown(card.image)}`, inner)),
        ...wrap(shown(card.title), inner).map((line) => paint.bold(line)),
        ...(card.subtitle === undefined ? [] : wrap(shown(card.subtitle), inner)),
      ],
      card.buttons,
      paint,
    ),
  );
  if (boxes.length === 0) {
    const lines = [
      ...(header === undefined ? [] : wrap(shown(header), inner).map((line) => paint.bold(line))),
      ...(media ? wrap(`[${media.type}] ${shown(media.url)}`, inner) : []),
      ...(text === undefined ? [] : wrap(shown(text), inner)),
    ];
    boxes.push(box(lines, buttons, paint));
  }
  const replies = message.quickReplies.map((reply) => `( ${shown(reply.title)} )`).join(' ');
  const below = replies === '' ? [] : wrap(replies, inner).map((line) => paint.cyan(` ${line}`));
  return [...boxes, ...below].join('\n');
}

function shown(text: string): string {
  return text
    .split('\n')
    .map((line) => clip(line, 5000))
    .join('\n');
}

function box(lines: readonly string[], buttons: readonly Button[], paint: ChalkInstance): string {
  const titles = buttons.map((button) => `[ ${shown(button.title)} ]`);
  const columns = Math.max(0, ...[...lines, ...titles].map((line) => stringWidth(line)));
  return [
    `╭${'─'.repeat(columns + 2)}╮`,
    ...lines.map((line) => `│ ${pad(line, columns)} │`),
    ...titles.map((title) => `│ ${pad(paint.cyan(title), columns)} │`),
    `╰${'─'.repeat(columns + 2)}╯`,
  ].join('\n');
}

/** How a text leaves as SMS: in how many segments, and what makes them many. */
export function smsText(size: SmsSize): string {
  const { encoding, units, segments, offender } = size;
  const count = segments === 1 ? '1 SMS' : plural(segments, 'SMS segment');
  const because = offender === undefined ? '' : `, because of ${characterName(offender)}`;
  return `${count}: ${units.toLocaleString('en')} of ${smsCapacity(size).toLocaleString('en')} ${encoding} characters${because}.`;
}

const MINUTE_MS = 60_000;

/**
 * What the SMS of a plan come to, line by line.
 * @param handoverMs how long it takes to hand them all over to the service
 */
export function smsTotalsLines({ segments, ucs2, longest }: SmsTotals, handoverMs: number): string[] {
  const most = longest > 1 ? `, at most ${longest} for one message` : '';
  const lines = [`As SMS that is ${plural(segments, 'segment')}${most}; each segment is charged for.`];
  if (ucs2 > 0) {
    const hold = ucs2 === 1 ? '1 message holds' : `${ucs2.toLocaleString('en')} messages hold`;
    lines.push(`${hold} characters outside GSM-7: 70 characters make one SMS there instead of 160.`);
  }
  // Only the service knows how fast a number sends: it depends on the number, its registration and the country.
  const leaveMs = segments * 1000;
  if (leaveMs > Math.max(handoverMs, MINUTE_MS)) {
    lines.push(
      `What comes faster than the number can send waits at the service: at one segment a second, as from a US long number, all have left after ${duration(leaveMs)}.`,
    );
  }
  return lines;
}

function characterName(character: string): string {
  const code = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  // What cannot be seen, or would join the quotation mark before it, is named by its code alone.
  return /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character) ? `"${character}" (${code})` : code;
}

/**
 * @param rowName what a row is to the reader: `ID` for ids that were typed in
 * @param words `publicSentence` where others may read it
 */
export function findingsText(
  findings: readonly Finding[],
  total: number,
  paint: ChalkInstance,
  most = 20,
  rowName = 'row',
  words = sentence,
): string {
  const mark = { error: paint.red('error  '), warning: paint.yellow('warning'), note: paint.blue('note   ') };
  const lines = findings.slice(0, most).map((one) => `  ${mark[one.severity]} ${findingLine(one, rowName, words)}`);
  const more = total - lines.length;
  if (more > 0) lines.push(paint.dim(`  … and ${more.toLocaleString('en')} more`));
  return lines.join('\n');
}

// ---------------------------------------------------------------------------------------------------- windows

/** Bars of how many are inside their window now and in each coming hour. */
export function forecastChart(report: ForecastReport, width: number, paint: ChalkInstance): string {
  const most = Math.max(1, ...report.inside);
  const label = (hour: number): string => (hour === 0 ? 'now' : `+${hour} h`);
  const bar = Math.max(10, width - 24);
  return report.inside
    .map((count, hour) => {
      const length = count === 0 ? 0 : Math.max(1, Math.round((count / most) * bar));
      const share = report.people === 0 ? 0 : Math.round((100 * count) / report.people);
      return `${label(hour).padStart(6)} ${paint.green('█'.repeat(length))} ${count.toLocaleString('en')} (${share} %)`;
    })
    .join('\n');
}

// ---------------------------------------------------------------------------------------------------- plans and reports

export const SKIP_TEXT: Record<SkipReason, string> = {
  window_closed: 'their window is shut',
  window_unknown: 'they are not known to have written',
  window_closes_before_turn: 'their window shuts before their turn',
  opted_out: 'they asked not to be written to',
  duplicate: 'they are in the sheet twice',
  invalid: 'their row has a fault',
  expired: 'it had become too late for it',
  cancelled: 'the campaign was cancelled',
};

export function skipLines(skip: Partial<Record<SkipReason, number>>): string[] {
  return Object.entries(skip)
    .filter(([, count]) => count > 0)
    .map(
      ([reason, count]) => `${count.toLocaleString('en').padStart(9)}  ${SKIP_TEXT[reason as SkipReason]} (${reason})`,
    );
}

/** Carriers of the USA drop what programs send from an unregistered long number; whether one is registered only they know. */
export function unregisteredNotice(account: string): string {
  return `${account} is a US 10-digit number: unless it is registered for programs (A2P 10DLC), carriers filter its messages (error 30034).`;
}

export function planText(plan: Plan, paint: ChalkInstance): string {
  const left = plan.rows - plan.send;
  const lines = [
    `${plan.template} (${plan.language}) would go from ${plan.account} to ${paint.bold(plan.send.toLocaleString('en'))} of ${plural(plan.rows, 'row')}.`,
  ];
  if (plan.outside) {
    const { send, template } = plan.outside;
    lines.push(
      `${(plan.send - send).toLocaleString('en').padStart(9)}  inside their window get ${plan.template}`,
      `${send.toLocaleString('en').padStart(9)}  outside it get the registered template ${template}`,
    );
  }
  if (left > 0) lines.push(`${plural(left, 'row')} left out:`, ...skipLines(plan.skip));
  if (plan.skip.window_unknown > 0 && plan.send === 0) {
    lines.push(`Tell pagecast who wrote when: pagecast window import FILE --account ${plan.account}`);
  }
  if (plan.timing) {
    const people = plan.rows - plan.skip.duplicate - plan.skip.invalid;
    lines.push(
      `That is what is known now. The plan is made again at its time: whoever of all ${plural(people, 'person', 'people')} has an open window then gets the message.`,
    );
    for (const { at, send } of plan.earlier)
      lines.push(paint.yellow(`A start at ${time(at)} would still reach ${plural(send, 'person', 'people')}.`));
  }
  if (plan.send > 0) {
    lines.push(
      `At ${pace(plan.pace)} this takes ${duration(plan.finishAt - plan.startAt)}: from ${time(plan.startAt)} to ${time(plan.finishAt)}.`,
    );
    if (plan.sms) lines.push(...smsTotalsLines(plan.sms, plan.finishAt - plan.startAt));
  }
  return lines.join('\n');
}

export function policyText(policy: PolicyStatement, width: number, paint: ChalkInstance): string {
  return [
    paint.bold.yellow(policy.title),
    ...policy.points.flatMap((point) =>
      wrap(point, width - 4).map((line, index) => `${index === 0 ? '  • ' : '    '}${line}`),
    ),
    ...policy.links.map((link) => paint.dim(`    ${link.label}: ${link.url}`)),
  ].join('\n');
}

export function countsLine(counts: Counts): string {
  const parts = ROW_STATES.filter((state) => counts[state] > 0 || state === 'sent').map(
    (state) => `${counts[state].toLocaleString('en')} ${state}`,
  );
  return `${parts.join(', ')} of ${counts.total.toLocaleString('en')}`;
}

/** What was told of sent messages later, as one sentence; null when nothing was. */
export function receiptsLine({ counts, receipts }: CampaignSummary): string | null {
  const { delivered = 0, read = 0, undelivered = 0 } = receipts;
  const none = counts.sent - delivered - read - undelivered;
  if (none === counts.sent) return null;
  const shown = (count: number): string => count.toLocaleString('en');
  return `Receipts: ${shown(delivered + read)} delivered (${shown(read)} read), ${shown(undelivered)} not delivered, none for ${shown(none)}.`;
}

export function campaignText(campaign: Campaign, summary: CampaignSummary, paint: ChalkInstance): string {
  const { counts, skip, errors, undelivered, refusedByOpener } = summary;
  const state = { finished: paint.green, stopped: paint.red }[campaign.state as string] ?? paint.yellow;
  const lines = [
    `Campaign ${paint.bold(campaign.id)} is ${state(campaign.state)}: ${countsLine(counts)}.`,
    `  ${campaign.template.name} (${campaign.template.language}) from ${campaign.accountName}, ${pace(campaign.pace)}, recipients: ${clip(campaign.source, 200)}`,
  ];
  if (campaign.outside)
    lines.push(`  ${plural(summary.outside, 'row')} outside their window: ${campaign.outside.name}`);
  if (campaign.startedAt !== null) {
    const end = campaign.finishedAt === null ? '' : `, finished ${time(campaign.finishedAt)}`;
    lines.push(`  started ${time(campaign.startedAt)}${end}`);
  }
  if (campaign.stop) lines.push(...stopLines(campaign.stop, paint));
  const skipped = skipLines(skip);
  if (skipped.length > 0) lines.push('Left out:', ...skipped);
  const received = receiptsLine(summary);
  if (received !== null) lines.push(received);
  const errorLines = (
    codes: Record<string, number>,
    explain: (code: string) => { meaning: string; advice: string },
  ) => {
    for (const [code, count] of Object.entries(codes).sort(([, a], [, b]) => b - a)) {
      const { meaning, advice } = explain(code);
      const named = code === '' ? '' : ` [${code}]`;
      lines.push(`${count.toLocaleString('en').padStart(9)}  ${meaning}${named}`, paint.dim(`           ${advice}`));
    }
  };
  if (Object.keys(undelivered).length > 0) {
    lines.push('Sent, but not delivered:');
    errorLines(undelivered, explainUndelivered);
  }
  if (Object.keys(errors).length > 0) {
    lines.push('Failed or unknown:');
    errorLines(errors, explainError);
    const openers = Object.entries(refusedByOpener);
    if (openers.length > 0) {
      lines.push(
        'Failed or unknown, by what had opened the window:',
        ...openers.map(([opener, count]) => `${count.toLocaleString('en').padStart(9)}  ${opener}`),
      );
    }
  }
  return lines.join('\n');
}

function stopLines(stop: NonNullable<Campaign['stop']>, paint: ChalkInstance): string[] {
  const { cause, error } = stop;
  const { meaning, advice } = explainStop(stop);
  const last = error ? ` [${error.code}] ${clip(error.message, 200)}` : '';
  const stopped = cause === 'person' ? '' : `${paint.red('Stopped')} (${cause}): `;
  return [`${stopped}${meaning}${last}`, `  ${advice}`];
}

/** What became of one message to one person that was tried, or at least queued. */
export function resultLines(
  userId: string,
  { campaign, state, error }: Pick<Extract<SingleResult, { kind: 'tried' }>, 'campaign' | 'state' | 'error'>,
): string[] {
  const what = { sent: 'Sent to', failed: 'Refused for', skipped: 'Not sent to', unknown: 'It is not known for' }[
    state
  ];
  const { meaning, advice } = explainError(error?.code ?? '');
  const why = error === null ? '' : `: ${meaning} [${error.code}]${platformWords(error)}\n  ${advice}`;
  return [
    `${what} ${maskId(userId)}${state === 'unknown' ? ' whether it arrived' : ''}${why || '.'}`,
    ...(state === 'skipped' ? ['Nothing was sent, and nothing waits to be: when that is mended, send it again.'] : []),
    ...(state === 'unknown' && campaign !== null ? [`Find out: pagecast campaign reconcile ${campaign}`] : []),
  ];
}

/** What the service itself has said, which is often more than its code tells; nothing where the error was found here. */
function platformWords({ code, message }: DeliveryError): string {
  const isTheirs = /^(?:\d|cams:|twilio:)/.test(code);
  return isTheirs && message !== '' ? ` It says: "${clip(message, 200)}"` : '';
}

/** Why nothing can be sent for an account at the moment, and what to do about it. */
export function stopSentence(stop: NonNullable<Campaign['stop']>): string {
  const { meaning, advice } = explainStop(stop);
  const code = stop.error === null ? '' : ` [${stop.error.code}]${platformWords(stop.error)}`;
  return `nothing can be sent for the account (${stop.cause}): ${meaning}${code} ${advice}`;
}
