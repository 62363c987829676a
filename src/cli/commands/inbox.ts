/** `pagecast inbox`: the conversations of one account, to be read and answered one by one, by the rules of row V1. */
import type { Command } from 'commander';
import {
  answersFor,
  readConversation,
  recentConversations,
  standingNow,
  type Answers,
  type Conversation,
  type ConversationView,
} from '../../app/inbox.js';
import { judgeOne, sendOne, type Content, type SingleMessage, type SingleResult } from '../../app/send-one.js';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import { explainError } from '../../core/platform-errors.js';
import { compileTemplate, type Template } from '../../core/template.js';
import type { WindowSettings } from '../../core/window.js';
import type { Provider } from '../../ports.js';
import type { AccountConfig } from '../../workspace/config.js';
import { iso } from '../campaign-run.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';
import { accountOption, chosenAccount } from '../log-import.js';
import { clip, findingLine } from '../messages.js';
import { parseCount } from '../options.js';
import { ProgressLine } from '../progress.js';
import { bubble, duration, plural, resultLines, SKIP_TEXT, time, wrap } from '../render.js';
import type { Questions } from '../terminal.js';

interface InboxOptions {
  account?: string;
  limit: string;
}

const MOST = 500;
const HOUR_MS = 3_600_000;
/** What is older than a window can no longer be answered freely, and reading takes half a second a call. */
const SHOWN_MS = 24 * HOUR_MS;
/** In UTF-16 units; what is longer is cut. */
const LONGEST_LINE = 2000;

export function register(program: Command, launch: Launch): void {
  program
    .command('inbox')
    .description('see who did something last, read their conversations and answer them, one by one')
    .addOption(accountOption())
    .option('--limit <n>', `list so many conversations, at most ${MOST}`, '20')
    .addHelpText(
      'after',
      `
It needs a terminal. Elsewhere, --json prints the list, and pagecast message send answers.

Examples:
  $ pagecast inbox --account acme-page
  $ pagecast inbox --account acme-page --limit 50 --json`,
    )
    .action(launch((context: Context, options: InboxOptions) => open(context, options)));
}

async function open(context: Context, options: InboxOptions): Promise<ExitStatus> {
  const { terminal, clock } = context;
  const limit = parseCount('--limit', options.limit);
  if (limit < 1 || limit > MOST) throw new Failure('USAGE', `--limit is a number from 1 to ${MOST}.`);
  if (!terminal.json && !terminal.interactive) {
    throw new Failure(
      'ANSWER_NEEDED',
      'The inbox is a dialogue, and there is no terminal for it.',
      'pagecast inbox --json prints the list, and pagecast message send answers somebody.',
    );
  }
  const { store } = await context.store();
  const { window } = await context.workspace();
  if (terminal.json) {
    const account = await chosenAccount(context, options.account);
    const conversations = await recentConversations({ store, clock }, account, window, limit);
    terminal.document({ account: account.name, conversations: conversations.map(conversationJson) });
    return EXIT.done;
  }
  const ask = await terminal.questions('--json');
  const account = await askedAccount(context, ask, options.account);
  return new Inbox(context, ask, account, window, limit).run();
}

async function askedAccount(context: Context, ask: Questions, given: string | undefined): Promise<AccountConfig> {
  const { accounts } = await context.workspace();
  if (given !== undefined || accounts.size <= 1) return chosenAccount(context, given);
  return ask.choose(
    'The inbox of which account?',
    [...accounts.values()].map((account) => ({
      name: `${account.name} (${account.provider}, ${account.channel}, ${account.id})`,
      value: account,
    })),
  );
}

function conversationJson({ userId, last, window, optedOutAt, isAnswerable }: Conversation): object {
  return {
    userId,
    opener: last.opener,
    openedAt: iso(last.openedAt),
    window: window && { state: window.state, closesAt: iso(window.closesAt) },
    optedOutAt: iso(optedOutAt),
    answerable: isAnswerable,
  };
}

// ---------------------------------------------------------------------------------------------------- the dialogue

type Next = 'list' | 'quit';

class Inbox {
  readonly #context: Context;
  readonly #ask: Questions;
  readonly #account: AccountConfig;
  readonly #window: WindowSettings;
  readonly #limit: number;
  /** Answers that were handed over, whatever became of them. */
  #handedOver = 0;

  constructor(context: Context, ask: Questions, account: AccountConfig, window: WindowSettings, limit: number) {
    this.#context = context;
    this.#ask = ask;
    this.#account = account;
    this.#window = window;
    this.#limit = limit;
  }

  async run(): Promise<ExitStatus> {
    try {
      let next: Next = 'list';
      while (next === 'list') next = await this.#list();
      return EXIT.done;
    } catch (error) {
      // Somebody who leaves a question, here or while something is read or sent.
      if (!isInterruption(error)) throw error;
      const before = `${plural(this.#handedOver, 'answer was', 'answers were')} handed over before that.`;
      throw new Failure('INTERRUPTED', this.#handedOver === 0 ? 'Nothing was sent.' : before, '', error);
    }
  }

  async #list(): Promise<Next> {
    const { clock, terminal } = this.#context;
    const { store } = await this.#context.store();
    const conversations = await recentConversations({ store, clock }, this.#account, this.#window, this.#limit);
    if (conversations.length === 0) {
      const { name } = this.#account;
      terminal.note(
        `Nobody is known to have written to ${name}. pagecast listen hears of it; so do pagecast window import and window sync --account ${name}.`,
      );
      return 'quit';
    }
    const chosen = await this.#ask.choose<Conversation | 'again' | 'quit'>(
      `${this.#account.name}: whose conversation?`,
      [
        ...conversations.map((one) => ({ name: this.#line(one), value: one })),
        { name: 'Look again', value: 'again' as const },
        { name: 'Quit', value: 'quit' as const },
      ],
    );
    if (chosen === 'again') return 'list';
    if (chosen === 'quit') return 'quit';
    try {
      return await this.#open(chosen.userId);
    } catch (error) {
      // What stands in the way of one answer is no reason to leave.
      if (!(error instanceof Failure) || isInterruption(error)) throw error;
      terminal.note(`${terminal.tint.red(error.code)} ${error.message}${error.hint === '' ? '' : `\n${error.hint}`}`);
      return 'list';
    }
  }

  /** One line for each: the whole id, because whoever answers needs it. */
  #line(conversation: Conversation): string {
    const { userId, last } = conversation;
    const { clock, terminal } = this.#context;
    const ago = `${duration(clock.now() - last.openedAt)} ago`;
    const parts = [userId.padEnd(20), last.opener.padEnd(12), ago.padEnd(17), this.#standing(conversation)];
    const { tint } = terminal;
    const since = conversation.isAnswerable ? tint.yellow('  opted out, wrote since') : tint.red('  opted out');
    return parts.join('  ').trimEnd() + (conversation.optedOutAt === null ? '' : since);
  }

  #standing({ window }: Conversation): string {
    if (window === null) return '';
    const { tint } = this.#context.terminal;
    if (window.state !== 'open') return tint.red('shut');
    const left = window.closesAt - this.#context.clock.now();
    return (left < HOUR_MS ? tint.yellow : tint.green)(`open for another ${duration(left)}`);
  }

  async #open(userId: string): Promise<Next> {
    const { clock, terminal } = this.#context;
    const { view, provider } = await this.#withProgress('Reading the conversation', 'Stopping.', (signal) =>
      Promise.race([this.#read(userId), interrupted(signal)]),
    );
    // The reading may have taken its time.
    const { store } = await this.#context.store();
    const [conversation] = await standingNow({ store, clock }, this.#account, this.#window, [userId]);
    if (conversation === undefined) return 'list';
    this.#show(view);
    if (!conversation.isAnswerable) {
      terminal.note('They asked not to be written to, and have not written since.');
    }
    const { entries } = await this.#context.templates();
    const templates = entries.map((entry) => entry.template);
    const answers = answersFor(this.#account, provider.capabilities, templates, conversation);
    return this.#answer(conversation, answers, provider);
  }

  async #read(userId: string): Promise<{ view: ConversationView; provider: Provider }> {
    const { clock } = this.#context;
    const { store } = await this.#context.store();
    const provider = await this.#context.provider(this.#account);
    const world = { store, clock, provider };
    return { view: await readConversation(world, this.#account, userId, clock.now() - SHOWN_MS), provider };
  }

  #show({ source, lines, error }: ConversationView): void {
    const { terminal } = this.#context;
    const { tint, width } = terminal;
    if (error !== null) {
      terminal.note(
        tint.yellow(`The platform does not show the conversation: ${explainError(error.code).meaning} [${error.code}]`),
      );
    }
    if (lines.length === 0) {
      terminal.note(source === 'platform' ? 'The platform shows no message.' : 'Nothing was sent to them from here.');
    } else if (source === 'ledger') terminal.note('What was sent to them from here:');
    for (const { at, fromAccount, text, state } of lines) {
      const became = state === null || state === 'sent' ? '' : ` (${state})`;
      terminal.note(`${tint.dim(time(at))}  ${fromAccount ? 'we' : tint.cyan('they')}${became}`);
      for (const line of shownText(text).flatMap((one) => wrap(one, width - 4))) terminal.note(`    ${line}`);
    }
  }

  async #answer(conversation: Conversation, answers: Answers, provider: Provider): Promise<Next> {
    const { terminal } = this.#context;
    const { freeText, templates } = answers;
    const isAnswerable = conversation.isAnswerable;
    if (isAnswerable && freeText !== null) terminal.note(`${freeText.reason} ${freeText.instead}`);
    const choice = await this.#ask.choose<'text' | 'template' | Next>('What now?', [
      ...(isAnswerable && freeText === null ? [{ name: 'Write free text', value: 'text' as const }] : []),
      ...(isAnswerable && templates.length > 0 ? [{ name: 'Send a template', value: 'template' as const }] : []),
      { name: 'Back to the list', value: 'list' as const },
      { name: 'Quit', value: 'quit' as const },
    ]);
    if (choice === 'list' || choice === 'quit') return choice;
    const content = choice === 'text' ? await this.#askText() : await this.#askTemplate(answers);
    if (content !== null) await this.#send(conversation, content, provider);
    return 'list';
  }

  /** @returns null for nothing after all */
  async #askText(): Promise<Content | null> {
    const text = await this.#ask.type('Your message (nothing: back to the list):');
    return text.trim() === '' ? null : { kind: 'free-text', text };
  }

  async #askTemplate({ templates, impossible }: Answers): Promise<Content | null> {
    const { terminal } = this.#context;
    for (const line of impossibleLines(impossible)) terminal.note(line);
    const template = await this.#ask.choose<Template | null>('Which template?', [
      ...templates.map((one) => ({ name: nameOf(one), value: one, description: clip(one.body ?? '', 100) })),
      { name: 'None: back to the list', value: null },
    ]);
    if (template === null) return null;
    const compiled = compileTemplate(template);
    const values: Record<string, string> = {};
    for (const { name, description, example } of compiled.variables) {
      values[name] = await this.#ask.type(`${name}${description === undefined ? '' : ` (${description})`}:`, {
        validate: (text) => text.trim() !== '' || `Type a value, such as ${example}.`,
      });
    }
    const message = compiled.render(compiled.variables.map(({ name }) => values[name] ?? ''));
    terminal.note(bubble(message, terminal.width, terminal.tint));
    return (await this.#ask.confirm('Send this?', true)) ? { kind: 'template', template, values } : null;
  }

  async #send({ userId }: Conversation, content: Content, provider: Provider): Promise<void> {
    const { clock, random, terminal } = this.#context;
    const message: SingleMessage = { account: this.#account, sender: 'account', userId, content, window: this.#window };
    await this.#withProgress('Sending', 'Stopping: waiting for the answer.', async (signal, progress) => {
      const { store, engine } = await this.#context.store();
      // Their window may have shut while the answer was written.
      const { verdict } = await judgeOne({ store, clock }, message);
      if (!verdict.allowed) throw new Failure('POLICY_FORBIDS', `${verdict.reason} Nothing was sent.`, verdict.instead);
      const world = { store, engine, provider, clock, random };
      const result = await sendOne(world, message, signal);
      progress.stop();
      if (result.kind === 'tried') this.#handedOver += 1;
      for (const line of linesOf(userId, result)) terminal.note(line);
      if (signal.aborted) throw new Failure('INTERRUPTED', '');
    });
  }

  /**
   * Does work that asks nothing, with a line that says so.
   * @param note what Ctrl-C is answered with
   */
  async #withProgress<T>(
    text: string,
    note: string,
    work: (signal: AbortSignal, progress: ProgressLine) => Promise<T>,
  ): Promise<T> {
    const { terminal, clock } = this.#context;
    const interruption = this.#context.interruptible(() => terminal.note(note));
    const progress = await ProgressLine.start(terminal, clock, text);
    try {
      return await work(interruption.signal, progress);
    } finally {
      progress.stop();
      interruption.dispose();
    }
  }
}

function interrupted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Failure('INTERRUPTED', '')), { once: true });
  });
}

function isInterruption(error: unknown): boolean {
  return error instanceof Failure
    ? error.code === 'INTERRUPTED'
    : error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError');
}

function nameOf({ name, language }: Template): string {
  return `${name} (${language})`;
}

/** Templates that cannot be sent now, by the reason. */
function impossibleLines(impossible: Answers['impossible']): string[] {
  const byReason = new Map<string, string[]>();
  for (const { template, reason } of impossible) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), nameOf(template)]);
  }
  return [...byReason].map(([reason, names]) => `Not possible now: ${names.join(', ')}. ${reason}`);
}

/** What others wrote, as lines that cannot disturb the terminal. */
function shownText(text: string | null): string[] {
  if (text === null) return ['(the platform does not show it)'];
  if (text === '') return ['(no text)'];
  return text.split('\n').map((line) => clip(line, LONGEST_LINE));
}

function linesOf(userId: string, result: SingleResult): string[] {
  switch (result.kind) {
    case 'invalid':
      return ['Nothing was sent:', ...result.findings.map((one) => `  ${findingLine(one, 'ID')}`)];
    case 'left_out':
      return [`Nothing was sent: ${SKIP_TEXT[result.reason]}.`];
    case 'tried':
      return resultLines(userId, result);
  }
}
