/** SMS from one account, through the whole program and a Twilio on loopback. */
import { beforeAll, describe, expect, it } from 'vitest';
import { inside, type Inside } from '../support/process-inside.js';
import { TwilioServer } from '../support/twilio-server.js';
import { sharedEnd, testWorkspace, type TestWorkspace } from '../support/workspace.js';

const US = '+15005550006';
const GERMAN = '+4915112340000';

let twilio: TwilioServer;
let workspace: TestWorkspace;
const atEnd = sharedEnd();

beforeAll(async () => {
  twilio = await TwilioServer.start();
  atEnd(() => twilio.close());
  const [own] = twilio.numbers;
  twilio.numbers = [US, GERMAN].map((phone_number) => ({ ...own!, phone_number }));
  const account = (id: string): string =>
    `{ provider: twilio, channel: sms, id: "${id}", accountSid: env:SID, authToken: env:TOKEN, pace: unlimited, url: "${twilio.url}", statusCallback: "https://acme.example/t" }`;
  workspace = await testWorkspace(`accounts:\n  us-sms: ${account(US)}\n  de-sms: ${account(GERMAN)}\n`, atEnd);
});

function pagecast<T = Record<string, unknown>>(...args: string[]): Promise<Inside<T>> {
  return inside<T>(workspace, args, { SID: twilio.accountSid, TOKEN: twilio.authToken });
}

async function request(phones: readonly string[]): Promise<string[]> {
  const rows = phones.map((phone) => `${phone},Ann,7,Main`);
  const file = await workspace.write('people.csv', ['Phone,name,code,shop', ...rows, ''].join('\n'));
  return ['--template', 'pickup_ready', '--lang', 'en_US', '--sheet', file];
}

describe('SMS from an account', () => {
  it('go to numbers as people write them, and ask for the status of each row', async () => {
    const options = await request(['+1 (555) 000-1111', '+49 151/12345678']);
    const consent = ['--accept-policy', '--confirm-count', '2'];
    const sent = await pagecast('send', '--from', 'us-sms', ...options, ...consent, '--json');
    expect(sent.status, sent.stderr).toBe(0);
    expect(sent.json).toMatchObject({ sent: 2, total: 2 });
    expect([...twilio.received.keys()].sort()).toEqual(['+15550001111', '+4915112345678']);
    const campaign = String(sent.json['campaign']);
    expect([...twilio.callbacks].sort()).toEqual(
      [2, 3].map((row) => `https://acme.example/t?campaign=${campaign}&seq=${row}`),
    );
  });

  it('are refused with what is wrong with each number', async () => {
    const options = await request(['0049 151 12345678', '0151 12345678', '5550001111']);
    const { status, stdout } = await pagecast('plan', '--from', 'us-sms', ...options);
    expect(status).toBe(3);
    expect(stdout).toMatch(/row 2, Phone: .* begins with 00\./);
    expect(stdout).toMatch(/row 3, Phone: .* has no country code\./);
    expect(stdout).toMatch(/row 4, Phone: .* does not begin with \+/);
  });

  it('tell that a US number must be registered, before anything is sent', async () => {
    const options = await request(['+15550002222']);
    const notice = 'us-sms is a US 10-digit number';
    expect((await pagecast('plan', '--from', 'us-sms', ...options)).stdout).toContain(notice);
    expect((await pagecast('send', '--from', 'us-sms', ...options)).stderr).toContain(notice);
    expect((await pagecast('plan', '--from', 'de-sms', ...options)).stdout).not.toContain('10-digit');
    expect(twilio.received.has('+15550002222')).toBe(false);
  });
});
