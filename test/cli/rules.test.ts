/**
 * docs/rules.md against the program: its tables against `judge`, and every command in it, in the order in which they stand
 * there, in one workspace.
 */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { CONTENT_KINDS, judge, SEND_MODES, SENDER_KINDS, type Situation } from '../../src/core/policy.js';
import { CHANNELS } from '../../src/core/template.js';
import { OPENERS } from '../../src/core/window.js';
import { inside } from '../support/process-inside.js';
import { isShown, shownSteps, type ShownCommand } from '../support/shown-commands.js';
import { TwilioServer } from '../support/twilio-server.js';
import { personId, sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const HOUR = 3_600_000;
const DOCUMENT = readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8');
const SECTIONS = shownSteps(DOCUMENT);
const ROWS = [...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `C${n}`), ...[1, 2, 3, 4, 5, 6].map((n) => `V${n}`)];

describe('the tables', () => {
  /**
   * What each cell of a table says: `bulk, account, sms, inside: session` → `yes`.
   * @param start how the table's header begins
   * @param keys how many columns say what a row is about; they may name several things at a time
   */
  function cells(start: string, keys: number): [about: string, says: string][] {
    const lines = DOCUMENT.split('\n');
    const first = lines.findIndex((line) => line.startsWith(start));
    const split = (line: string): string[] =>
      line
        .replaceAll('`', '')
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
    const header = split(lines[first] ?? '');
    return lines.slice(first + 2, lines.indexOf('', first)).flatMap((line) => {
      const row = split(line);
      const abouts = row
        .slice(0, keys)
        .reduce<string[]>(
          (so, cell) => so.flatMap((before) => cell.split(', ').map((name) => `${before}${name}, `)),
          [''],
        );
      return abouts.flatMap((about) =>
        row.slice(keys).map((says, index): [string, string] => [`${about}${header[keys + index] ?? ''}`, says]),
      );
    });
  }

  /** Every cell stands there once, and says what the program says. */
  function expectSame(shown: [about: string, says: string][], real: [about: string, says: string][]): void {
    expect(shown.map(([about]) => about).sort()).toEqual(real.map(([about]) => about).sort());
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(real));
  }

  const everyWay = SEND_MODES.flatMap((mode) =>
    SENDER_KINDS.flatMap((sender) =>
      CHANNELS.flatMap((channel) =>
        [true, false].flatMap((isInside) =>
          CONTENT_KINDS.map((content) => ({ mode, sender, channel, inside: isInside, content })),
        ),
      ),
    ),
  );

  function outcome(situation: Situation): string {
    const verdict = judge(situation);
    return verdict.allowed ? 'yes' : verdict.row;
  }

  it('say of everything that can be sent what the program says', () => {
    const real = everyWay.map((way): [string, string] => {
      const { mode, sender, channel, content } = way;
      const column = `${way.inside ? 'inside' : 'outside'}: ${content.replace('-', ' ')}`;
      return [[mode, sender, channel, column].join(', '), outcome({ ...way, tagged: CHANNELS })];
    });
    expectSame(cells('| mode | sender | channel |', 3), real);
  });

  it('say what refuses a template that is not for the channel', () => {
    const rows = new Map<string, Set<string>>();
    for (const way of everyWay.filter(({ content }) => content !== 'free-text')) {
      const about = `${way.mode}, ${way.sender}, refused by`;
      const tagged = CHANNELS.filter((one) => one !== way.channel);
      rows.set(about, new Set([...(rows.get(about) ?? []), outcome({ ...way, tagged })]));
    }
    const real = [...rows].map(([about, says]): [string, string] => [about, [...says].join(' or ')]);
    expectSame(cells('| mode | sender | refused by |', 2), real);
  });
});

describe('the commands', () => {
  const PEOPLE = ['INSIDE', 'CLOSING', 'OUTSIDE', 'STRANGER', ...OPENERS.map((opener) => `BY_${opener.toUpperCase()}`)];
  let workspace: TestWorkspace;
  let twilio: TwilioServer;
  let campaign = 'no campaign yet';
  /** How far the document's clock is ahead. */
  let ahead = 0;
  const atEnd = sharedEnd();

  beforeAll(async () => {
    twilio = await TwilioServer.start();
    atEnd(() => twilio.close());
    twilio.numbers = ['+15005550006', '+15005550007'].map((phone_number) => ({ ...twilio.numbers[0]!, phone_number }));
    workspace = await testWorkspace(undefined, atEnd);
    const now = Date.now.bind(Date);
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + ahead);
    atEnd(() => clock.mockRestore());
  });

  function filled(text: string): string {
    const ago = (_: string, hours: string): string => new Date(Date.now() - Number(hours) * HOUR).toISOString();
    return text.replace(/\b(\d+)_HOURS?_AGO\b/g, ago).replace(/\b[A-Z][A-Z_]+\b/g, (word) => {
      if (word === 'CAMPAIGN') return campaign;
      const index = PEOPLE.indexOf(word);
      return index === -1 ? word : personId(index);
    });
  }

  async function write(name: string, content: string): Promise<void> {
    await mkdir(dirname(workspace.path(name)), { recursive: true });
    const here = content.replaceAll('provider: twilio,', `provider: twilio, url: "${twilio.url}",`);
    await workspace.write(name, filled(here));
  }

  async function run({ args, status, output }: ShownCommand): Promise<void> {
    // Whoever types takes longer than the rest that an account needs between two runs.
    ahead += 2000;
    const env = { TWILIO_SID: twilio.accountSid, TWILIO_TOKEN: twilio.authToken };
    const came = await inside(workspace, args.map(filled), env);
    campaign = /^c\d{8}-\w+$/m.exec(came.stdout)?.[0] ?? campaign;
    const lines = [...came.stdout.split('\n'), ...came.stderr.split('\n')];
    const missing = output.filter((shown) => !lines.some((line) => isShown(filled(shown), line)));
    expect({ status: came.status, missing }, lines.join('\n')).toEqual({ status, missing: [] });
  }

  it('stand under every row', () => {
    const shown = ROWS.filter((row) =>
      [...SECTIONS].some(
        ([heading, steps]) => heading.startsWith(`${row}: `) && steps.some(({ kind }) => kind === 'command'),
      ),
    );
    expect(shown).toEqual(ROWS);
  });

  describe.each([...SECTIONS].filter(([, steps]) => steps.length > 0))('%s', (_, steps) => {
    for (const step of steps) {
      if (step.kind === 'command') it(`line ${step.line}: ${step.args.join(' ')}`, () => run(step));
      else if (step.kind === 'file') it(`${step.name} is written`, () => write(step.name, step.content));
      else it(`${step.hours} h go by`, () => void (ahead += step.hours * HOUR));
    }
  });
});
