/** Lists of people who have opted out, as other programs write them. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Channel } from '../../src/core/template.js';
import { readOptOutLog, type OptOutLogBatch } from '../../src/inbound/opt-out-log.js';
import { NOW, user } from '../support/fixtures.js';

async function read(text: string, channel: Channel = 'messenger'): Promise<OptOutLogBatch & { batches: number }> {
  const all: OptOutLogBatch & { batches: number } = { people: [], problems: [], batches: 0 };
  for await (const batch of readOptOutLog(Readable.from([Buffer.from(text)]), { now: NOW, channel })) {
    all.people.push(...batch.people);
    all.problems.push(...batch.problems);
    all.batches += 1;
  }
  return all;
}

const [ann, ben] = [user(1), user(2)];
const AT = Date.UTC(2026, 10, 20, 9);

describe('a list of people who have opted out', () => {
  it.each<[string, string, OptOutLogBatch['people']]>([
    [
      'one id a line',
      `${ann}\n\n ${ben} \r\n`,
      [
        { userId: ann, at: null },
        { userId: ben, at: null },
      ],
    ],
    ['a CSV with ids alone', `user_id\n${ann}\n`, [{ userId: ann, at: null }]],
    ['a CSV with times', `user_id,opted_out_at\n${ann},2026-11-20T09:00:00Z\n`, [{ userId: ann, at: AT }]],
    ['a CSV in which a time is missing', `user_id,opted_out_at\n${ann},\n`, [{ userId: ann, at: null }]],
    ['other columns, in any order', `name;Opted_Out_At;User_ID\n"A;n";${AT};'${ann}\n`, [{ userId: ann, at: AT }]],
    ['a mark of where columns end', `sep=,\nuser_id\n${ann}\n`, [{ userId: ann, at: null }]],
  ])('reads %s', async (_, text, people) => {
    expect(await read(text)).toMatchObject({ people, problems: [] });
  });

  it('reads phone numbers for SMS, also as people write them', async () => {
    const { people, problems } = await read('+4915112345678\n+1 (555) 000-1111\n', 'sms');
    expect(people.map(({ userId }) => userId)).toEqual(['+4915112345678', '+15550001111']);
    expect(problems).toEqual([]);
  });

  it.each<[string, string, object[], number]>([
    ['nothing', '\n\n', [{ line: 0, code: 'EMPTY' }], 0],
    ['a header that is none', `id,date\n${ann}\n`, [{ line: 1, code: 'HEADER_UNKNOWN' }], 0],
    ['one column twice', `user_id,user_id\n${ann},${ben}\n`, [{ line: 1, code: 'HEADER_UNKNOWN' }], 0],
    ['a workbook', 'PK\u0003\u0004', [{ line: 0, code: 'NOT_TEXT' }], 0],
    ['a field too many', `user_id\n${ann},x\n${ben}\n`, [{ line: 2, code: 'NOT_A_RECORD' }], 1],
    ['an id that is missing', `user_id,name\n,Ann\n${ben},Ben\n`, [{ line: 2, code: 'ID_MISSING' }], 1],
    ['a rounded id', `${ann}\n7.64E+16\n`, [{ line: 2, code: 'ID_NOT_TEXT' }], 1],
    ['an id that is none', `${ann}\nAnn\n`, [{ line: 2, code: 'ID_MALFORMED' }], 1],
    ['an id of another channel', `${ann}\n+4915112345678\n`, [{ line: 2, code: 'ID_OF_ANOTHER_CHANNEL' }], 1],
    [
      'a time without a zone',
      `user_id,opted_out_at\n${ann},2026-11-20 09:00\n`,
      [{ line: 2, code: 'TIME_WITHOUT_ZONE' }],
      0,
    ],
    ['a time to come', `user_id,opted_out_at\n${ann},2027-01-01T00:00:00Z\n`, [{ line: 2, code: 'TIME_IN_FUTURE' }], 0],
    ['a quote without an end', `user_id\n"${ann}\n${ben}\n`, [{ line: 2, code: 'NOT_A_RECORD' }], 0],
    ['a line without an end', `${ann}\n${'1'.repeat(2 ** 20 + 1)}\n${ben}\n`, [{ line: 2, code: 'LINE_TOO_LONG' }], 2],
  ])('tells of %s, and goes on where it can', async (_, text, problems, people) => {
    const found = await read(text);
    expect(found.problems).toEqual(problems.map((one) => expect.objectContaining(one) as object));
    expect(found.people).toHaveLength(people);
    for (const { text: words } of found.problems) expect(words).not.toContain(ann);
  });

  it('comes in batches, however long it is', async () => {
    const ids = Array.from({ length: 2500 }, (_, index) => user(index));
    const { people, batches } = await read(ids.join('\n'));
    expect(people.map(({ userId }) => userId)).toEqual(ids);
    expect(batches).toBeGreaterThan(2);
  });
});
