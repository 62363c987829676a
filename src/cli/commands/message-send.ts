/** `pagecast message send`: one message to one person, by the rules of row V1. */
import type { Command } from 'commander';
import { judgeOne, sendOne, type Content, type SingleMessage, type SingleResult } from '../../app/send-one.js';
import { STOP_STATUS } from '../../core/delivery.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { templateBlock, type Verdict } from '../../core/policy.js';
import { usableId } from '../../core/sheet.js';
import { maskId } from '../../core/user-id.js';
import type { WindowState } from '../../core/window.js';
import type { AccountConfig } from '../../workspace/config.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { findingJson } from '../messages.js';
import { collect, parsePairs } from '../options.js';
import { RECORD_OWNER } from '../owners.js';
import { ProgressLine } from '../progress.js';
import { findingWords } from '../plan-preview.js';
import { findingsText, resultLines } from '../render.js';

interface SingleOptions {
  from?: string;
  to?: string;
  owner?: string;
  text?: string;
  template?: string;
  lang?: string;
  var?: string[];
}

export function register(message: Command, launch: Launch): void {
  message
    .command('send')
    .description('send one message to one person: free text or a template inside the window, a registered one outside')
    .option('--from <account>', 'the account to send from, or record-owner')
    .option('--to <id>', "the person's user ID, or phone number")
    .option('--owner <name>', 'with --from record-owner: whose number it leaves from')
    .option('--text <text>', 'free text')
    .option('--template <name>', 'a template instead of free text')
    .option('--lang <language>', 'its language')
    .option('--var <name=value>', "a variable's value (repeatable)", collect)
    .addHelpText(
      'after',
      `
Examples:
  $ pagecast message send --from acme-page --to 7642925849053947 --text "Your parcel is at the front desk."
  $ pagecast message send --from acme-page --to 7642925849053947 --template order_shipped --lang en_US --var order_no=A-7 …
  $ pagecast message send --from record-owner --owner alice --to +4915112345678 --template pickup_ready --lang en_US --var name=Ann …`,
    )
    .action(launch((context: Context, options: SingleOptions) => send(context, options)));
}

async function send(context: Context, options: SingleOptions): Promise<ExitStatus> {
  const { terminal, clock, random } = context;
  const { account, sender } = await chosenSender(context, options);
  const { window } = await context.workspace();
  const given = need(options.to, '--to').trim();
  const usable = usableId(given, account.channel);
  const userId = usable ?? given;
  const message: SingleMessage = { account, sender, userId, content: await chosenContent(context, options), window };
  if (message.content.kind === 'template') {
    const block = templateBlock(message.content.template, account.channel);
    if (block && block.code !== 'CHANNEL') {
      throw new Failure('POLICY_FORBIDS', `${message.content.template.name}: ${block.reason}`, block.instead);
    }
  }
  const { store, engine } = await context.store();
  // What is no id of the channel (row V3) is nobody's, so nothing is known of a window: `sendOne` says what is wrong with it.
  if (usable !== null) {
    const { verdict, window: state, optedOut } = await judgeOne({ store, clock }, message);
    if (!verdict.allowed) throw await refusal(context, verdict, account, state);
    if (optedOut) {
      throw new Failure(
        'POLICY_FORBIDS',
        `${maskId(userId)} asked not to be written to by ${account.name}, and has not written since; nothing was sent.`,
      );
    }
  }
  const provider = await context.provider(account);
  const progress = await ProgressLine.start(terminal, clock, 'Sending');
  const interruption = context.interruptible(() => {
    progress.stop();
    terminal.note('Stopping: waiting for the answer.');
  });
  try {
    const result = await sendOne({ store, engine, provider, clock, random }, message, interruption.signal);
    progress.stop();
    return await tell(context, message, result);
  } finally {
    progress.stop();
    interruption.dispose();
  }
}

function need(value: string | undefined, flag: string): string {
  if (value !== undefined && value.trim() !== '') return value;
  throw new Failure(
    'ANSWER_NEEDED',
    `${flag} is ${value === undefined ? 'missing' : 'empty'}.`,
    'pagecast message send --help shows examples.',
  );
}

async function chosenSender(
  context: Context,
  { from, owner }: SingleOptions,
): Promise<{ account: AccountConfig; sender: SingleMessage['sender'] }> {
  const name = need(from, '--from');
  if (name !== RECORD_OWNER) {
    if (owner === undefined) return { account: await context.account(name), sender: 'account' };
    throw new Failure('USAGE', '--owner goes with --from record-owner.');
  }
  const { owners } = await context.workspace();
  const account = owners.get(need(owner, '--owner'));
  if (account === undefined) {
    throw new Failure(
      'ACCOUNT_UNKNOWN',
      `There is no record owner "${owner ?? ''}" in pagecast.yaml.`,
      owners.size > 0 ? `There is: ${[...owners.keys()].join(', ')}.` : 'Name them under owners: in pagecast.yaml.',
    );
  }
  return { account: await context.account(account), sender: RECORD_OWNER };
}

async function chosenContent(context: Context, options: SingleOptions): Promise<Content> {
  const { text, template, lang } = options;
  if ((text === undefined) === (template === undefined))
    throw new Failure('USAGE', 'A message is either --text or --template.', 'Pass one of them.');
  if (template !== undefined) {
    const found = await context.template(template, lang);
    return { kind: 'template', template: found.template, values: parsePairs(options.var ?? []) };
  }
  if (options.var !== undefined || lang !== undefined)
    throw new Failure('USAGE', '--var and --lang go with --template.', 'Free text is sent as it stands.');
  return { kind: 'free-text', text: need(text, '--text') };
}

/** The reason, and what would be allowed instead, by name. */
async function refusal(
  context: Context,
  { row, reason, instead }: Extract<Verdict, { allowed: false }>,
  { name, channel, provider }: AccountConfig,
  window: WindowState,
): Promise<Failure> {
  const { entries } = await context.templates();
  const usable = entries
    .map((entry) => entry.template)
    .filter(
      (template) => template.kind === 'registered' && templateBlock(template, channel) === null && provider !== 'cams',
    )
    .map(({ name, language }) => `${name} (${language})`);
  const isOutside = instead.includes('registered');
  const offered = usable.length > 0 && isOutside ? ` There is: ${usable.join(', ')}.` : '';
  // Somebody of whom nothing is known may have written all the same.
  const learn =
    window === 'unknown' && isOutside
      ? ` Nothing is known of this person, so their window counts as shut; if they have written: pagecast window import, or window sync --account ${name}.`
      : '';
  return new Failure('POLICY_FORBIDS', `${reason} Nothing was sent. (${row})`, `${instead}${offered}${learn}`);
}

async function tell(context: Context, { userId }: SingleMessage, result: SingleResult): Promise<ExitStatus> {
  const { terminal } = context;
  if (result.kind === 'invalid') {
    if (terminal.json) terminal.document({ ok: false, findings: result.findings.map(findingJson) });
    else {
      const words = await findingWords(context);
      terminal.data(findingsText(result.findings, result.findings.length, terminal.paint, 20, 'ID', words));
    }
    return EXIT.invalid;
  }
  if (result.kind === 'left_out') {
    const why = result.reason === 'opted_out' ? 'asked not to be written to' : 'is outside their window by now';
    throw new Failure('POLICY_FORBIDS', `${maskId(userId)} ${why}; nothing was sent.`);
  }
  const { campaign, state, messageId, error, stop } = result;
  if (terminal.json) terminal.document({ campaign, to: userId, state, messageId, error });
  else {
    if (messageId !== null) terminal.data(messageId);
    for (const line of resultLines(userId, result)) terminal.note(line);
  }
  if (stop !== null) return STOP_STATUS[stop];
  return { sent: EXIT.done, failed: EXIT.someFailed, unknown: EXIT.unknownOutcomes, skipped: EXIT.interrupted }[state];
}
