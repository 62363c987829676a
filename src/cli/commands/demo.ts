/**
 * `pagecast demo`: the main job from beginning to end on the embedded sandbox. It types the commands that a person would
 * type, in a workspace of its own; only the people, and what happens to them, are made up.
 */
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { EXIT, Failure, type ExitStatus } from '../../core/failure.js';
import type { Context } from '../context.js';
import type { Launch } from '../launch.js';

const PEOPLE = 200;
const HOUR_MS = 3_600_000;

export function register(program: Command, launch: Launch): void {
  program
    .command('demo')
    .description(
      'show the whole job on the sandbox, in a temporary workspace: needs no token, sends nothing to anybody',
    )
    .option('--folder <folder>', 'where to put the workspace (default: a temporary folder)')
    .addHelpText('after', '\nExample:\n  $ pagecast demo')
    .action(launch((context: Context, options: { folder?: string }) => demo(context, options)));
}

interface Person {
  id: string;
  name: string;
  order: string;
  /** When this person last wrote; null: never. */
  wroteAt: number | null;
  /** What the sandbox does with a message to this person. */
  behaviour: 'normal' | 'unavailable' | 'no_match';
}

async function demo(context: Context, options: { folder?: string }): Promise<ExitStatus> {
  const { terminal } = context;
  const folder = await makeFolder(context, options.folder);
  const people = makePeople(context.clock.now());
  const { main } = await import('../main.js');
  const pagecast = async (line: string, expected: readonly ExitStatus[] = [EXIT.done]): Promise<void> => {
    terminal.note(`\n${terminal.tint.bold.cyan(`$ pagecast ${line}`)}`);
    const status = await main(['node', 'pagecast', ...line.split(' ')], folder);
    if (!expected.includes(status))
      throw new Error(`the demo expected status ${expected.join(' or ')}, and got ${status}`);
  };
  const say = (text: string): void => terminal.note(`\n${terminal.tint.bold(text)}`);

  say('1. A workspace, and a workbook made from a template.');
  await pagecast('init');
  await pagecast('sheet new --template order_update --lang en_US -o empty.xlsx');

  say(`2. Somebody fills it in for ${PEOPLE} people, and makes a few mistakes.`);
  await fillSheet(context, join(folder, 'orders.xlsx'), people, true);
  await pagecast('sheet check orders.xlsx --template order_update --lang en_US --mark faults.xlsx', [EXIT.invalid]);

  say('3. The mistakes are mended.');
  await fillSheet(context, join(folder, 'orders.xlsx'), people, false);
  await pagecast('sheet check orders.xlsx --template order_update --lang en_US');

  say('4. Who wrote when? From a log, pagecast learns whose 24-hour window is open.');
  await writeWorld(folder, people);
  await pagecast('window import windows.csv');
  await pagecast('window forecast --sheet orders.xlsx');

  say('5. The plan, and the sending. The sandbox refuses a few, as the platform would.');
  await pagecast('plan --template order_update --lang en_US --from sandbox --sheet orders.xlsx');
  const open = people.filter(({ wroteAt }) => wroteAt !== null && context.clock.now() - wroteAt < 23 * HOUR_MS).length;
  const consent = `--accept-policy --confirm-count ${open}`;
  await pagecast(`send --template order_update --lang en_US --from sandbox --sheet orders.xlsx ${consent}`, [
    EXIT.someFailed,
  ]);

  say('6. What became of it.');
  await pagecast('campaign list');
  await pagecast('message list --state failed');
  await pagecast('message list --xlsx result.xlsx');

  say(`The workspace is ${folder}. It holds:`);
  for (const [file, what] of Object.entries(FILES)) terminal.note(`  ${file.padEnd(24)} ${what}`);
  terminal.data(folder);
  return EXIT.done;
}

const FILES = {
  'pagecast.yaml': 'the accounts: here the sandbox, with its people in sandbox.json',
  'templates/': 'your own message templates',
  'empty.xlsx': 'the workbook as pagecast makes it',
  'orders.xlsx': 'the workbook filled in',
  'faults.xlsx': 'the faulty one, with every fault beside its row',
  'windows.csv': 'who wrote when',
  'result.xlsx': 'what became of every message',
  '.pagecast/pagecast.db': 'the ledger',
};

async function makeFolder(context: Context, given: string | undefined): Promise<string> {
  if (given === undefined) return mkdtemp(join(tmpdir(), 'pagecast-demo-'));
  const folder = context.path(given);
  const { writing } = await context.scaffolds();
  await writing(folder, () => mkdir(folder, { recursive: true }));
  if ((await readdir(folder)).length > 0)
    throw new Failure('FILE_EXISTS', `${folder} is not empty.`, 'Choose another folder.');
  return folder;
}

const NAMES = ['Ann', 'Björn', 'Chidi', 'Dolores', 'Émile', 'Fatima', 'Giulia', 'Hồng', 'Ivo', '小明', 'Kofi', 'Léa'];

/** The same people every time; ids of 16 and 17 digits, as the platform gives them. */
function makePeople(now: number): Person[] {
  return Array.from({ length: PEOPLE }, (_, index) => {
    const id = String(7_642_925_849_050_001n + BigInt(index) * 37_199_501_237n);
    const never = index % 29 === 28;
    // From a few minutes to a day and a half ago, most of them inside the window.
    const hoursAgo = index % 9 === 8 ? 25 + (index % 10) : 0.2 + ((index * 7) % 22);
    return {
      id,
      name: NAMES[index % NAMES.length] ?? 'Ann',
      order: `A-${1000 + index}`,
      wroteAt: never ? null : Math.round(now - hoursAgo * HOUR_MS),
      behaviour: index % 41 === 40 ? 'unavailable' : index === 77 ? 'no_match' : 'normal',
    };
  });
}

async function fillSheet(
  context: Context,
  path: string,
  people: readonly Person[],
  withFaults: boolean,
): Promise<void> {
  const rows = people.map((person, index) => {
    const row = [person.id, person.name, person.order, '1 Dec'];
    if (!withFaults) return row;
    if (index === 4) row[0] = '7.64293E+15';
    if (index === 9) row[1] = '';
    if (index === 14) row[0] = '';
    if (index === 19) row[0] = people[2]?.id ?? '';
    if (index === 24) row[1] = 'Bartholomew '.repeat(6);
    return row;
  });
  async function* stream(): AsyncIterable<readonly string[]> {
    yield* rows;
    await Promise.resolve();
  }
  await (await context.sheets()).exportTable(path, ['User ID', 'name', 'order_no', 'date'], stream(), true);
}

/** What the sandbox knows of its people, and what the log says about them. */
async function writeWorld(folder: string, people: readonly Person[]): Promise<void> {
  const wrote = people.flatMap(({ id, wroteAt }) =>
    wroteAt === null ? [] : [`${id},${new Date(wroteAt).toISOString()}`],
  );
  await writeFile(join(folder, 'windows.csv'), `user_id,opened_at\n${wrote.join('\n')}\n`);
  const users = people.map(({ id, wroteAt, behaviour }) => ({
    id,
    behaviour,
    ...(wroteAt !== null && { opened_at: wroteAt }),
  }));
  await writeFile(join(folder, 'sandbox.json'), JSON.stringify({ unseeded: 'unknown', users }, null, 2));
  await writeFile(
    join(folder, 'pagecast.yaml'),
    `store: sqlite:.pagecast/pagecast.db
accounts:
  sandbox: { provider: sandbox, channel: messenger, id: "100000000000001", seed: sandbox.json }
`,
  );
}
