import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/app/plan.js';
import { planText, smsText, smsTotalsLines } from '../../src/cli/render.js';
import { smsSize, type SmsTotals } from '../../src/core/sms.js';

describe('smsText', () => {
  it.each([
    ['Hi Ann', '1 SMS: 6 of 160 GSM-7 characters.'],
    ['€'.repeat(81), '2 SMS segments: 162 of 306 GSM-7 characters.'],
    ['a'.repeat(1600), '11 SMS segments: 1,600 of 1,683 GSM-7 characters.'],
    ['It’s here', '1 SMS: 9 of 70 UCS-2 characters, because of "’" (U+2019).'],
    ['Hi 👋', '1 SMS: 5 of 70 UCS-2 characters, because of "👋" (U+1F44B).'],
    ['Hi\u200bAnn', '1 SMS: 6 of 70 UCS-2 characters, because of U+200B.'],
    ['Jose\u0301', '1 SMS: 5 of 70 UCS-2 characters, because of U+0301.'],
    ['\ud83d', '1 SMS: 1 of 70 UCS-2 characters, because of U+D83D.'],
    ['', '0 SMS segments: 0 of 160 GSM-7 characters.'],
  ])('of %j', (text, expected) => {
    expect(smsText(smsSize(text))).toBe(expected);
  });
});

const totals = { segments: 0, gsm7: 0, ucs2: 0, longest: 1 };
const MINUTE = 60_000;

describe('smsTotalsLines', () => {
  it.each<[SmsTotals, number, string[]]>([
    [
      { ...totals, segments: 2000, gsm7: 2000 },
      2_000_000,
      ['As SMS that is 2,000 segments; each segment is charged for.'],
    ],
    [
      { ...totals, segments: 2, gsm7: 1, longest: 2 },
      1000,
      ['As SMS that is 2 segments, at most 2 for one message; each segment is charged for.'],
    ],
    [
      { segments: 4, gsm7: 1, ucs2: 1, longest: 3 },
      2000,
      [
        'As SMS that is 4 segments, at most 3 for one message; each segment is charged for.',
        '1 message holds characters outside GSM-7: 70 characters make one SMS there instead of 160.',
      ],
    ],
    [
      { segments: 412, gsm7: 188, ucs2: 1012, longest: 3 },
      200_000,
      [
        'As SMS that is 412 segments, at most 3 for one message; each segment is charged for.',
        '1,012 messages hold characters outside GSM-7: 70 characters make one SMS there instead of 160.',
        'What comes faster than the number can send waits at the service: at one segment a second, as from a US long number, all have left after 6 min 52 s.',
      ],
    ],
  ])('of %j, handed over in %i ms', (some, handoverMs, expected) => {
    expect(smsTotalsLines(some, handoverMs)).toEqual(expected);
  });

  it.each([
    [61, 0, true],
    [61, 1.02 * MINUTE, false],
    [60, 0, false],
  ])(
    'tell of the queue when it is longer than the handing over, and than a minute: %i in %i ms',
    (segments, ms, tells) => {
      const lines = smsTotalsLines({ ...totals, segments, gsm7: segments }, ms);
      expect(lines.some((line) => line.includes('waits at the service'))).toBe(tells);
    },
  );
});

describe('planText', () => {
  const plan = (change: Partial<Plan>): Plan => ({
    campaign: 'c1',
    account: 'alice-sms',
    template: 'pickup_ready',
    language: 'en_US',
    outside: null,
    source: 'sheet',
    sheet: '/x/orders.xlsx',
    rows: 3,
    recipients: 3,
    send: 3,
    skip: {
      window_closed: 0,
      window_unknown: 0,
      window_closes_before_turn: 0,
      opted_out: 0,
      duplicate: 0,
      invalid: 0,
    },
    pace: 1,
    timing: null,
    startAt: 0,
    finishAt: 3000,
    earlier: [],
    digest: '',
    findings: [],
    counts: {},
    truncated: false,
    variables: [],
    example: null,
    sms: { segments: 9, gsm7: 3, ucs2: 0, longest: 3 },
    samples: [],
    ...change,
  });
  const linesOf = (change: Partial<Plan>): string[] => planText(plan(change), new Chalk({ level: 0 })).split('\n');
  const isOfSms = (line: string): boolean => line.startsWith('As SMS');

  it('says once what the messages are as SMS', () => {
    expect(linesOf({}).filter(isOfSms)).toEqual([
      'As SMS that is 9 segments, at most 3 for one message; each segment is charged for.',
    ]);
  });

  it('says nothing of SMS on another channel, or where nothing is sent', () => {
    expect(linesOf({ sms: null }).filter(isOfSms)).toEqual([]);
    expect(linesOf({ send: 0, sms: totals }).filter(isOfSms)).toEqual([]);
  });
});
