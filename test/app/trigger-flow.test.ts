import { describe, expect, it } from 'vitest';
import type { FlowConfiguration } from '../../src/app/flow-message.js';
import { triggerFlow, type FlowCall, type TriggerResult } from '../../src/app/trigger-flow.js';
import type { FailureCode } from '../../src/core/failure.js';
import { DEFAULT_AUTOMATION, type Flow } from '../../src/core/flow.js';
import type { Template } from '../../src/core/template.js';
import {
  configurationWith,
  flow,
  hearStage,
  insta,
  sms,
  smsKey,
  waiting,
  worded,
  type HearStage,
} from '../support/fixtures-flow.js';
import {
  account,
  accountKey,
  DAY,
  failureOf,
  fixedRandom,
  HOUR,
  MINUTE,
  NOW,
  registeredTemplate,
  user,
} from '../support/fixtures.js';

const PHONE = '+4915112345678';

/** Tells people of their order with a registered template, when a shop asks for it. */
function shipped(change: Partial<Flow> = {}): Flow {
  return flow({
    name: 'shipped',
    type: 'notification',
    trigger: { on: 'call' },
    content: { kind: 'template', name: 'order_update', language: 'en_US', values: { name: 'Ann' } },
    expiryMs: HOUR,
    ...change,
  });
}

/** Reminds people by text message. */
function reminder(change: Partial<Flow> = {}): Flow {
  return shipped({
    name: 'reminder',
    type: 'automation',
    from: sms.name,
    content: { kind: 'template', name: 'reminder', language: null, values: {} },
    ...change,
  });
}

const reminding: Template = worded('en', { name: 'reminder', channels: ['sms'], body: 'See you tomorrow.' });

function stageWith(flows: Flow[], change: Partial<FlowConfiguration> = {}): HearStage {
  return hearStage(configurationWith(flows, { templates: [registeredTemplate, reminding], ...change }));
}

async function trigger(stage: HearStage, change: Partial<FlowCall> = {}): Promise<TriggerResult> {
  const call = { flow: 'shipped', to: user(1), values: { order_no: 'A-7' }, owner: null, key: null, ...change };
  return triggerFlow({ ...stage, random: fixedRandom(stage.clock.now()) }, call);
}

const toPhone: Partial<FlowCall> = { flow: 'reminder', to: PHONE, values: {} };

describe('a flow that is called', () => {
  it('queues its message', async () => {
    const stage = stageWith([shipped()]);
    const result = await trigger(stage);
    expect(result).toMatchObject({
      kind: 'queued',
      account: { name: account.name },
      notBefore: null,
      expiresAt: NOW + HOUR,
      isUndisclosed: false,
    });
    const [single] = await waiting(stage.store);
    expect(single).toMatchObject({
      userId: user(1),
      values: ['Ann', 'A-7'],
      answersAt: null,
      expiresAt: NOW + HOUR,
    });
    expect(result).toMatchObject({ row: { campaign: single!.campaign, seq: single!.seq } });
    expect(await stage.store.campaign(single!.campaign)).toMatchObject({ mode: 'notification', flow: 'shipped' });
  });

  it('sends text messages from its number, to numbers as people write them', async () => {
    const stage = stageWith([reminder()]);
    await trigger(stage, { ...toPhone, to: '+49 (151) 123-45678' });
    expect(await waiting(stage.store, smsKey)).toMatchObject([{ userId: PHONE, text: 'See you tomorrow.' }]);
  });

  it('leaves from the number of a record owner', async () => {
    const stage = stageWith([reminder({ from: 'record-owner' })]);
    expect(await trigger(stage, { ...toPhone, owner: 'alice' })).toMatchObject({ account: { name: sms.name } });
    expect(await waiting(stage.store, smsKey)).toHaveLength(1);
  });

  it('may go to people whose window is shut, or of whom nothing is known', async () => {
    const stage = stageWith([shipped()]);
    await stage.store.recordOpeners(accountKey, [{ userId: user(1), openedAt: NOW - 9 * DAY, opener: 'message' }]);
    expect(await trigger(stage)).toMatchObject({ kind: 'queued' });
    expect(await trigger(stage, { to: user(2) })).toMatchObject({ kind: 'queued' });
  });

  it('goes out once for each key and person', async () => {
    const stage = stageWith([shipped(), shipped({ name: 'other' })]);
    const first = await trigger(stage, { key: 'order-7' });
    stage.clock.advance(MINUTE);
    const again = await trigger(stage, { key: 'order-7', values: { order_no: 'A-8' } });
    expect(again).toEqual({ kind: 'duplicate', row: first.kind === 'queued' ? first.row : null, account });
    await trigger(stage, { key: 'order-8' });
    await trigger(stage, { key: 'order-7', to: user(2) });
    await trigger(stage, { key: 'order-7', flow: 'other' });
    expect(await waiting(stage.store, accountKey, NOW + DAY)).toHaveLength(4);
  });

  it('goes out each time without a key', async () => {
    const stage = stageWith([shipped()]);
    await trigger(stage);
    stage.clock.advance(1);
    await trigger(stage);
    expect(await waiting(stage.store, accountKey, NOW + DAY)).toHaveLength(2);
  });

  // It is 12:00 in London and 7:00 in New York.
  const quietHours = { from: 20 * 60, to: 9 * 60, zone: 'America/New_York' };
  it.each<[string, Partial<Flow>, object]>([
    [
      'is left out in quiet hours',
      { quietHours },
      { kind: 'not_queued', because: 'quiet_hours', until: NOW + 2 * HOUR },
    ],
    [
      'waits for the end of quiet hours, and expires after it',
      { quietHours, inQuietHours: 'wait' },
      { kind: 'queued', notBefore: NOW + 2 * HOUR, expiresAt: NOW + 3 * HOUR },
    ],
    ['goes out in other hours', { quietHours: { ...quietHours, to: 7 * 60 } }, { kind: 'queued', notBefore: null }],
  ])('%s', async (_, change, expected) => {
    const stage = stageWith([shipped(change)]);
    const result = await trigger(stage);
    expect(result).toMatchObject(expected);
    expect(await stage.store.singlesDueAt(accountKey)).toBe(result.kind === 'queued' ? (result.notBefore ?? 0) : null);
  });

  const guard = { most: 1, withinMs: DAY };
  it.each<[string, Partial<Flow>, Partial<FlowConfiguration>, object]>([
    ['than its own limit allows', { oncePerMs: DAY }, {}, { because: 'limit' }],
    [
      'than the loop guard allows, which is told',
      {},
      { automation: { ...DEFAULT_AUTOMATION, guard } },
      { because: 'guard', guard },
    ],
  ])('goes to nobody more often %s', async (_, change, surroundings, why) => {
    const stage = stageWith([shipped(change)], surroundings);
    expect(await trigger(stage)).toMatchObject({ kind: 'queued' });
    stage.clock.advance(DAY - 1);
    expect(await trigger(stage)).toEqual({ kind: 'not_queued', ...why });
    stage.clock.advance(1);
    expect(await trigger(stage)).toMatchObject({ kind: 'queued' });
  });

  it('says that it is automatic where the settings ask for it', async () => {
    const automation = { ...DEFAULT_AUTOMATION, disclosure: { en: 'Automatic.' } };
    const stage = stageWith([reminder(), shipped()], { automation });
    expect(await trigger(stage, toPhone)).toMatchObject({ isUndisclosed: false });
    expect(await waiting(stage.store, smsKey)).toMatchObject([{ text: 'See you tomorrow.\n\nAutomatic.' }]);
    // The platform keeps the words of a registered template.
    expect(await trigger(stage)).toMatchObject({ kind: 'queued', isUndisclosed: true });
  });

  it('does not go to people who have opted out, until they opt back in', async () => {
    const stage = stageWith([shipped()]);
    const optOut = { account: accountKey, userId: user(1), source: 'person' as const };
    await stage.store.changeOptOuts([{ ...optOut, at: NOW - DAY, out: true }]);
    // They have written since, but this answers nothing.
    await stage.store.recordOpeners(accountKey, [{ userId: user(1), openedAt: NOW - HOUR, opener: 'message' }]);
    const refused = trigger(stage);
    await expect(refused).rejects.toThrow(`…${user(1).slice(-4)} asked not to be written to`);
    expect(await failureOf(refused)).toBe('OPTED_OUT');
    expect(await waiting(stage.store)).toEqual([]);
    await stage.store.changeOptOuts([{ ...optOut, at: NOW, out: false }]);
    expect(await trigger(stage)).toMatchObject({ kind: 'queued' });
  });

  const owned = reminder({ from: 'record-owner' });
  it.each<[string, Flow[], Partial<FlowCall>, Partial<FlowConfiguration>, FailureCode, RegExp]>([
    ['there is no such flow', [shipped()], { flow: 'shiped' }, {}, 'FLOW_UNKNOWN', /no flow shiped/],
    ['it waits for what people do', [flow()], { flow: 'price' }, {}, 'USAGE', /cannot be called/],
    ['it is sent from "auto"', [shipped({ from: 'auto' })], {}, {}, 'FLOW_INVALID', /channel/],
    ['its account is gone', [shipped({ from: 'gone' })], {}, {}, 'ACCOUNT_UNKNOWN', /the account gone/],
    ['no record owner is named', [owned], toPhone, {}, 'USAGE', /none is named/],
    ['the record owner is not known', [owned], { ...toPhone, owner: 'bob' }, {}, 'ACCOUNT_UNKNOWN', /"bob"/],
    ['a record owner is named in vain', [shipped()], { owner: 'alice' }, {}, 'USAGE', /not from a record owner/],
    ['the key is empty', [shipped()], { key: '' }, {}, 'USAGE', /1 to 200/],
    ['the key is too long', [shipped()], { key: 'k'.repeat(201) }, {}, 'USAGE', /1 to 200/],
    ['a value is missing', [shipped()], { values: {} }, {}, 'VARIABLE_MISSING', /needs a value for order_no/],
    [
      'values have no variable',
      [shipped()],
      { values: { order_no: '1', no: '1', date: '2' } },
      {},
      'VARIABLE_UNKNOWN',
      /for no, date\./,
    ],
    [
      "a value is the flow's own",
      [shipped()],
      { values: { order_no: '1', name: 'Bo' } },
      {},
      'VARIABLE_UNKNOWN',
      /for name/,
    ],
    ['its template is gone', [shipped()], {}, { templates: [] }, 'TEMPLATE_UNKNOWN', /not there/],
    [
      'its template has faults',
      [shipped()],
      {},
      { templates: [{ ...registeredTemplate, body: 'Hi {{name}}, {{order_no}} }}.' }] },
      'TEMPLATE_INVALID',
      /has faults/,
    ],
    [
      'its template is not approved any more',
      [shipped()],
      {},
      {
        templates: [{ ...registeredTemplate, registration: { ...registeredTemplate.registration!, status: 'PAUSED' } }],
      },
      'POLICY_FORBIDS',
      /PAUSED/,
    ],
    [
      'its template is none that is registered',
      [shipped()],
      {},
      { templates: [{ ...registeredTemplate, kind: 'session' }] },
      'POLICY_FORBIDS',
      /\(V4\)/,
    ],
    [
      'it has free text',
      [reminder({ content: { kind: 'free-text', text: 'Hi' } })],
      toPhone,
      {},
      'POLICY_FORBIDS',
      /\(V4\)/,
    ],
    [
      'it leaves on Instagram, which knows no registered templates',
      [shipped({ from: insta.name })],
      {},
      { templates: [{ ...registeredTemplate, channels: ['messenger', 'instagram'] }] },
      'POLICY_FORBIDS',
      /\(V1\)/,
    ],
    [
      'it is an auto-reply, and nobody has written',
      [shipped({ type: 'auto-reply', content: { kind: 'free-text', text: 'Hi' } })],
      { values: {} },
      {},
      'POLICY_FORBIDS',
      /\(V4\)/,
    ],
  ])('is refused when %s', async (_, flows, call, surroundings, code, words) => {
    const stage = stageWith(flows, surroundings);
    const refused = trigger(stage, call);
    await expect(refused).rejects.toThrow(words);
    expect(await failureOf(refused)).toBe(code);
    expect(await stage.store.campaigns()).toEqual([]);
  });

  it.each<[string, Flow, Partial<FlowCall>, string]>([
    ['an id of Messenger for a text message', reminder(), { ...toPhone, to: user(1) }, 'CHANNEL_MISMATCH'],
    ['a phone number for Messenger', shipped(), { to: PHONE }, 'CHANNEL_MISMATCH'],
    ['no id at all', shipped(), { to: 'Ann' }, 'ID_MALFORMED'],
    ['a value that is too long', shipped(), { values: { order_no: 'A'.repeat(2000) } }, 'MESSAGE_TOO_LONG'],
    ['an empty value', shipped(), { values: { order_no: ' ' } }, 'VARIABLE_MISSING'],
  ])('tells what is wrong with %s', async (_, called, call, code) => {
    const stage = stageWith([called]);
    expect(await trigger(stage, call)).toMatchObject({ kind: 'invalid', findings: [{ code }] });
    expect(await stage.store.campaigns()).toEqual([]);
  });
});
