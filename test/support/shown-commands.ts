/**
 * Documents whose commands are run: Markdown with the files that the commands need and, in `console` blocks, the commands
 * with what they come to.
 */

/** A fenced block with a name after its language: a file of that name. */
interface ShownFile {
  kind: 'file';
  name: string;
  content: string;
}

/** `# 2 hours later` */
interface ShownWait {
  kind: 'wait';
  hours: number;
}

export interface ShownCommand {
  kind: 'command';
  /** Where it stands in the document, counted from 1. */
  line: number;
  /** Without `pagecast`. */
  args: string[];
  /** From `[exit 6]`. */
  status: number;
  /** Lines that the output must have; `…` in them stands for anything. */
  output: string[];
}

type ShownStep = ShownFile | ShownWait | ShownCommand;

/** @returns by heading of the second level, what is done under it */
export function shownSteps(markdown: string): Map<string, ShownStep[]> {
  const sections = new Map<string, ShownStep[]>();
  let steps: ShownStep[] = [];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const heading = /^## (.+)$/.exec(lines[at] ?? '');
    if (heading) sections.set(heading[1] ?? '', (steps = []));
    const fence = /^```(\w*)(?: (\S+))?$/.exec(lines[at] ?? '');
    if (!fence) continue;
    const end = lines.indexOf('```', at + 1);
    if (end === -1) throw new Error(`Line ${at + 1}: a block without an end`);
    const block = lines.slice(at + 1, end);
    const [, language, name] = fence;
    if (name !== undefined) steps.push({ kind: 'file', name, content: `${block.join('\n')}\n` });
    else if (language === 'console') steps.push(...session(block, at + 2));
    else throw new Error(`Line ${at + 1}: a block that is neither a file nor a session`);
    at = end;
  }
  return sections;
}

/** @param first where the block's first line stands in the document */
function session(block: readonly string[], first: number): ShownStep[] {
  const steps: ShownStep[] = [];
  let open: ShownCommand | null = null;
  for (let at = 0; at < block.length; at += 1) {
    const line = block[at] ?? '';
    const where = `Line ${first + at}: ${line}`;
    const exit = /^\[exit (\d+)\]$/.exec(line);
    const wait = /^# (\d+) hours? later$/.exec(line);
    if (open && exit) {
      steps.push({ ...open, status: Number(exit[1]) });
      open = null;
    } else if (open && line.startsWith('$ ')) throw new Error(`${where}\nThe command before has no [exit N]`);
    else if (open) open.output.push(line);
    else if (wait) steps.push({ kind: 'wait', hours: Number(wait[1]) });
    else if (line.startsWith('$ pagecast')) {
      let typed = line.slice('$ pagecast'.length);
      const shownAt = first + at;
      while (typed.endsWith('\\')) {
        at += 1;
        typed = typed.slice(0, -1) + (block[at] ?? '');
      }
      open = { kind: 'command', line: shownAt, args: words(typed), status: 0, output: [] };
    } else throw new Error(`${where}\nThis belongs to no command`);
  }
  if (open) throw new Error(`Line ${open.line}: no [exit N]`);
  return steps;
}

/** Cuts at white space outside of double quotes; a shell does no more with what stands in such a document. */
function words(typed: string): string[] {
  return (typed.match(/(?:[^\s"]|"[^"]*")+/g) ?? []).map((word) => word.replaceAll('"', ''));
}

/** Whether a line of output is the one that is shown; runs of spaces, as in tables, count as one. */
export function isShown(shown: string, line: string): boolean {
  const parts = squeezed(shown)
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'u').test(squeezed(line));
}

function squeezed(line: string): string {
  return line.replace(/\s+/g, ' ').trim();
}
