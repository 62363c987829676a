import { Chalk } from 'chalk';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import {
  bubble,
  duration,
  findingsText,
  forecastChart,
  maskId,
  pace,
  plural,
  table,
  wrap,
} from '../../src/cli/render.js';
import { finding } from '../../src/core/finding.js';
import type { Message } from '../../src/core/template.js';

const plain = new Chalk({ level: 0 });
const colours = new Chalk({ level: 1 });
const message = (parts: Partial<Message>): Message => ({ buttons: [], quickReplies: [], ...parts });

/** The columns that each line takes on a terminal. */
function widths(text: string): number[] {
  return text.split('\n').map((line) => stringWidth(line));
}

describe('a table', () => {
  it('keeps its columns in line under wide characters, accents and emoji', () => {
    const names = ['Ann', '小明', 'Jose\u0301', '👩‍👩‍👧', 'Hồng', ''];
    const lines = table(
      ['NAME', 'STATE'],
      names.map((name) => [name, 'sent']),
      plain,
    ).split('\n');
    expect(lines).toHaveLength(names.length + 1);
    const second = lines.map((line) => stringWidth(line.slice(0, line.search(/STATE|sent/))));
    expect(new Set(second)).toEqual(new Set([6]));
  });

  it('is only its header when there are no rows', () => {
    expect(table(['A', 'B'], [], plain)).toBe('A  B');
  });

  it('has no blanks at the ends of lines', () => {
    expect(
      table(
        ['A', 'B'],
        [
          ['x', ''],
          ['longer', 'y'],
        ],
        plain,
      ),
    ).toBe('A       B\nx\nlonger  y');
  });

  it('is as wide in colour as without', () => {
    const rows = [
      [colours.green('yes'), 'x'],
      ['no', 'y'],
    ];
    expect(widths(table(['OK', 'B'], rows, colours))).toEqual(
      widths(
        table(
          ['OK', 'B'],
          [
            ['yes', 'x'],
            ['no', 'y'],
          ],
          plain,
        ),
      ),
    );
  });
});

describe('a bubble', () => {
  const texts = [
    'Hi Ann, order A-1042 leaves on 1 Dec.',
    '你好小明，您的订单 A-1042 将于 12 月 1 日发出，请注意查收。感谢您的耐心等待，祝您生活愉快，期待再次为您服务！',
    `${'long '.repeat(60)}${'x'.repeat(200)}`,
    'two\nlines and 👩‍👩‍👧 a family',
    'cafe\u0301 Hồng',
  ];
  it.each(texts.flatMap((text) => [40, 80, 120].map((width) => [text.slice(0, 20), width, text] as const)))(
    '%s… is a closed box in %i columns',
    (_start, width, text) => {
      const lines = bubble(message({ text }), width, plain).split('\n');
      const box = widths(lines.join('\n'));
      expect(new Set(box).size, lines.join('\n')).toBe(1);
      expect(box[0]).toBeLessThanOrEqual(width);
      expect(lines[0]).toMatch(/^╭─+╮$/);
      for (const line of lines.slice(1, -1)) expect(line).toMatch(/^│ .* │$/);
      expect(lines.at(-1)).toMatch(/^╰─+╯$/);
    },
  );

  it('shows media, buttons and quick replies', () => {
    const shown = bubble(
      message({
        media: { type: 'image', url: 'https://example.com/a.png' },
        quickReplies: [{ title: 'Ja, bitte', payload: 'YES' }],
      }),
      80,
      plain,
    );
    expect(shown).toContain('[image] https://example.com/a.png');
    expect(shown).toContain('( Ja, bitte )');
  });

  it('shows the header of a registered template above its text', () => {
    const lines = bubble(message({ header: 'Order A-1', text: 'It comes.' }), 80, plain).split('\n');
    expect(lines.slice(1, 3)).toEqual(['│ Order A-1 │', '│ It comes. │']);
  });

  it('shows cards one below the other, each in a box of its own', () => {
    const cards = [
      { title: 'Mug', image: 'https://example.com/mug.png', buttons: [] },
      {
        title: 'A very long title '.repeat(4).trim(),
        subtitle: 'x',
        buttons: [{ type: 'postback' as const, title: 'Ask', payload: 'P' }],
      },
    ];
    const quickReplies = [{ title: 'More', payload: 'MORE' }];
    const shown = bubble(message({ cards, quickReplies }), 60, plain);
    expect(shown.match(/^╭─+╮$/gm)).toHaveLength(2);
    expect(shown.match(/^╰─+╯$/gm)).toHaveLength(2);
    for (const text of ['[image] https://example.com/mug.png', 'Mug', '[ Ask ]', '( More )'])
      expect(shown).toContain(text);
    expect(Math.max(...widths(shown))).toBeLessThanOrEqual(60);
    expect(shown.indexOf('Mug')).toBeLessThan(shown.indexOf('[ Ask ]'));
  });

  it('stays a closed box when a button is wider than the text', () => {
    const buttons = [{ type: 'web_url' as const, title: 'Open the website', url: 'https://example.com' }];
    const shown = bubble(message({ text: 'Hi', buttons }), 80, plain);
    expect(shown).toContain('[ Open the website ]');
    expect(new Set(widths(shown)).size, shown).toBe(1);
  });

  it('takes nothing from a sheet that a terminal would obey', () => {
    const evil = 'Hi \u001b[2J\u001b]0;owned\u0007 Ann\r!';
    const buttons = [{ type: 'postback' as const, title: evil, payload: 'P' }];
    const cards = [{ title: evil, subtitle: evil, image: evil, buttons }];
    for (const one of [message({ header: evil, text: evil, buttons }), message({ cards })]) {
      // eslint-disable-next-line no-control-regex -- these are what must not be there
      expect(bubble(one, 80, plain)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });
});

describe('wrapped text', () => {
  it.each(['words and words and words', '一二三四五六七八九十', 'x'.repeat(30)])(
    '%s stays within its columns',
    (text) => {
      for (const line of wrap(text, 8)) expect(stringWidth(line)).toBeLessThanOrEqual(8);
      expect(wrap(text, 8).join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''));
    },
  );
});

describe('the forecast', () => {
  const report = {
    account: 'page',
    at: 0,
    people: 200,
    inside: [200, 100, 1, 0],
    closed: 0,
    unknown: 0,
    unusable: 0,
    fault: null,
  };
  it('has one bar for each hour, in proportion and never wider than the terminal', () => {
    for (const width of [40, 80, 120]) {
      const lines = forecastChart(report, width, plain).split('\n');
      const bars = lines.map((line) => line.split('█').length - 1);
      expect(lines).toHaveLength(4);
      expect(bars[1]).toBe(Math.round(bars[0]! / 2));
      expect(bars.slice(2)).toEqual([1, 0]);
      for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(width);
    }
  });

  it('of nobody shows zeros', () => {
    expect(forecastChart({ ...report, people: 0, inside: [0, 0] }, 80, plain)).not.toMatch(/NaN|Infinity|█/);
  });
});

describe('findings', () => {
  it('are listed up to a number, and the rest is counted', () => {
    const findings = Array.from({ length: 5 }, (_, index) => finding('ID_MISSING', {}, { row: index + 2 }));
    const lines = findingsText(findings, 1234, plain, 3).split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe('  error   row 2: The id is missing.');
    expect(lines[3]).toBe('  … and 1,231 more');
    expect(findingsText(findings, 5, plain, 1, 'ID')).toContain('error   ID 2: The id is missing.');
  });
});

describe('small words', () => {
  it.each([
    [plural(1, 'row'), '1 row'],
    [plural(0, 'row'), '0 rows'],
    [plural(1234, 'person', 'people'), '1,234 people'],
    [duration(0), 'less than a second'],
    [duration(-5), 'less than a second'],
    [duration(999), 'less than a second'],
    [duration(1000), '1 s'],
    [duration(59_499), '59 s'],
    [duration(59_500), '1 min 00 s'],
    [duration(3_599_000), '59 min 59 s'],
    [duration(3_600_000), '1 h 00 min'],
    [duration(90_000_000), '25 h 00 min'],
    [pace(35), '35/s'],
    [pace(0.5), '0.5/s'],
    [pace(1 / 3), '0.33/s'],
    [pace(Infinity), 'unlimited'],
    [maskId('7642925849053947'), '…3947'],
  ])('%s', (shown, expected) => {
    expect(shown).toBe(expected);
  });
});
