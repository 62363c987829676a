/** What the dialogue of `pagecast send` offers; how it goes on a real terminal is in test/e2e/dialogue.test.ts. */
import { describe, expect, it, vi } from 'vitest';
import { Context } from '../../src/cli/context.js';
import { askForMissing } from '../../src/cli/dialogue.js';
import type { SendOptions } from '../../src/cli/options.js';
import type { Questions } from '../../src/cli/terminal.js';
import { testWorkspace } from '../support/workspace.js';

class Asked extends Error {
  readonly question: string;
  readonly choices: readonly string[];

  constructor(question: string, choices: readonly string[]) {
    super(question);
    this.question = question;
    this.choices = choices;
  }
}

/** The first question where one of several things is to be chosen. */
async function firstChoice(given: SendOptions): Promise<Asked> {
  const { folder } = await testWorkspace(
    'accounts:\n  insta: { provider: sandbox, channel: instagram, id: "17841400455970123" }\n',
  );
  const context = new Context({}, folder);
  const choose: Questions['choose'] = (question, choices) =>
    Promise.reject(
      new Asked(
        question,
        choices.map(({ name }) => name),
      ),
    );
  vi.spyOn(context.terminal, 'questions').mockResolvedValue({ choose } as Questions);
  const ended: unknown = await askForMissing(context, given).catch((error: unknown) => error);
  if (ended instanceof Asked) return ended;
  throw new Error('Nothing was asked', { cause: ended });
}

describe('the templates that are offered (C1)', () => {
  it.each<[given: string, from: string | undefined, offered: string[], left: string[]]>([
    ['an Instagram account', 'insta', ['story_thanks', 'order_update'], ['delivery_news', 'order_shipped']],
    ['a Messenger account', 'sandbox', ['delivery_news', 'order_update'], ['story_thanks']],
    ['no account', undefined, ['delivery_news', 'story_thanks'], []],
  ])('with %s', async (_, from, offered, left) => {
    const { question, choices } = await firstChoice({ lang: 'en_US', ...(from !== undefined && { from }) });
    expect(question).toBe('Which template?');
    expect(choices).toEqual(expect.arrayContaining(offered));
    for (const name of left) expect(choices).not.toContain(name);
  });

  it('are of the language that is chosen', async () => {
    const { choices } = await firstChoice({ lang: 'zh_CN', from: 'sandbox' });
    expect([...choices].sort()).toEqual(['order_update', 'pickup_ready']);
  });

  it('leave no language to choose that has none of them', async () => {
    const { question, choices } = await firstChoice({ from: 'insta' });
    expect(question).toBe('In which language?');
    expect(choices).toContain('zh_CN');
  });
});

describe('people outside their window', () => {
  it.each([
    ['names a registered one', 'delivery_news', 'What about people whose 24-hour window is shut?'],
    ['names none', 'order_update', 'Where do the recipients come from?'],
  ])('are asked about when the template %s', async (_, template, question) => {
    const asked = await firstChoice({ template, lang: 'en_US', from: 'sandbox' });
    expect(asked.question).toBe(question);
  });
});
