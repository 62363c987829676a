/**
 * Alibaba Cloud CAMS (Chat App Message Service, API 2020-06-06) for Messenger and Instagram: templates that CAMS keeps, up to
 * a thousand people with one call, and plain messages one by one. CAMS has no idempotency key and no message tags, and its
 * answer to a call for many names none of them: receipts tell later, by the call's task id. Sources: the comments of the SDK
 * and the API pages of CAMS; error codes and their classes are in core/cams-errors.ts.
 */
import { randomUUID } from 'node:crypto';
import type { DeliveryError, Outcome } from '../core/delivery.js';
import { Failure } from '../core/failure.js';
import { camsTaskId, readRowMetadata } from '../core/metadata.js';
import type { Channel, Message } from '../core/template.js';
import { PLATFORM_ID } from '../core/user-id.js';
import type { Clock, OutgoingMessage, Provider } from '../ports.js';
import { createCamsCall, installedSdk, openSdk, type CamsCall, type CamsSdk } from './cams-calls.js';
import { readTemplates, verifyAccount } from './cams-reading.js';
import { createTransport, type ProxySettings } from './http.js';
import { createRedactor, privateParts } from './redaction.js';
import { fitsHeader, serviceUrl, type ServiceUrl } from './service-url.js';

export interface CamsConfig {
  /** Such as `https://cams.ap-southeast-1.aliyuncs.com`. Plain http is taken for loopback only. */
  baseUrl: string;
  channel: Channel;
  /** The Page's id; for Instagram the id of the professional account. */
  accountId: string;
  /** CAMS calls it CustSpaceId, or the id of the channel's instance. */
  spaceId: string;
  accessKeyId: string;
  accessKeySecret: string;
  timeoutMs?: number;
  /** Requests under way at a time. */
  connections?: number;
  proxy?: ProxySettings;
}

/** Recipients of one call of SendChatappMassMessage. */
const MAX_BATCH = 1000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONNECTIONS = 32;

/**
 * @param load gives the SDK, which is an optional dependency
 * @throws Failure CONFIG_INVALID, PROVIDER_UNAVAILABLE
 */
export function createCamsProvider(config: CamsConfig, clock: Clock, load: () => CamsSdk = installedSdk): Provider {
  const { origin, host, proxy } = endpoint(config);
  const { accountId, spaceId, accessKeyId, accessKeySecret, timeoutMs = DEFAULT_TIMEOUT_MS } = config;
  const { connections = DEFAULT_CONNECTIONS } = config;
  const sdk = openSdk(load);
  const transport = createTransport(origin, { connections, proxy }, clock);
  const redact = createRedactor([accessKeySecret, accessKeyId]);
  const call = createCamsCall(sdk, { host, accessKeyId, accessKeySecret, transport, timeoutMs, redact, clock });
  const sender = { channelType: config.channel, from: accountId, custSpaceId: spaceId };
  const senders = { call, sender, clock };

  return {
    // Only templates that CAMS keeps can go to several in one call.
    capabilities: { registeredTemplates: false, lookup: false, maxBatch: ({ cams }) => (cams ? MAX_BATCH : 1) },
    async send(batch, onWire) {
      const template = sharedTemplate(batch);
      if (template !== null && batch.length > 1) return sendMany(senders, template, batch, onWire);
      return Promise.all(batch.map((outgoing) => sendOne(senders, outgoing, onWire)));
    },
    templates: (name) => readTemplates(call, { spaceId, redact }, name),
    verify: () => verifyAccount(call, config),
    close: () => transport.close(),
  };
}

function endpoint(config: CamsConfig): ServiceUrl {
  const invalid = (what: string): Failure => new Failure('CONFIG_INVALID', what);
  const service = serviceUrl(config.baseUrl, config.proxy, 'messages');
  // The path is a part of what is signed.
  if (service.path !== '') throw invalid('The base URL of the account must not have a path.');
  if (config.channel === 'sms') throw invalid('The cams provider sends on messenger and instagram, not on sms.');
  if (!PLATFORM_ID.test(config.accountId)) throw invalid('The id of the account is not an id of the platform.');
  for (const [what, key] of [
    ['id', config.accessKeyId],
    ['secret', config.accessKeySecret],
  ] as const) {
    if (!fitsHeader(key)) {
      throw invalid(`The AccessKey ${what} is empty or holds white space or other characters that none has.`);
    }
  }
  return service;
}

// ------------------------------------------------------------------------------------------------- messages → a call

/** What every message of the account is sent with. */
interface Senders {
  call: CamsCall;
  sender: { channelType: string; from: string; custSpaceId: string };
  clock: Clock;
}

type KeptTemplate = NonNullable<Message['cams']>;

/** The one template of CAMS that all of the batch are sent as; null when there is none such. */
function sharedTemplate(batch: readonly OutgoingMessage[]): KeptTemplate | null {
  const first = batch[0]?.message.cams;
  const isShared = batch.every(
    ({ message: { cams } }) => cams?.code === first?.code && cams?.language === first?.language,
  );
  return first && isShared ? first : null;
}

/** What is wrong with the template as such is wrong for everybody. */
const OF_THE_TEMPLATE = ['cams:TemplateNotFound', 'cams:DetailError.TemplateNotExist'];

async function sendMany(
  { call, sender, clock }: Senders,
  { code, language }: KeptTemplate,
  batch: readonly OutgoingMessage[],
  onWire: (() => void) | undefined,
): Promise<Outcome[]> {
  const taskId = taskIdOf(batch[0], clock);
  const answer = await call(
    (client, { SendChatappMassMessageRequest, SendChatappMassMessageRequestSenderList }) =>
      client.sendChatappMassMessage(
        new SendChatappMassMessageRequest({
          ...sender,
          taskId,
          templateCode: code,
          language,
          senderList: batch.map(
            ({ userId, message }) =>
              new SendChatappMassMessageRequestSenderList({ to: userId, ...templateValues(message) }),
          ),
        }),
      ),
    { people: batch.map(privateParts), onWire },
  );
  // The answer names no recipient. Receipts carry the task id and the recipient.
  if ('body' in answer) return batch.map(() => ({ kind: 'sent', messageId: taskId }));
  const error: DeliveryError = {
    ...answer.error,
    message: `A call for ${batch.length} people: ${answer.error.message}`,
  };
  const isRefused = answer.kind === 'rejected' || (answer.kind === 'stopped' && answer.stop === 'content');
  // Nothing of it was done, and whom of them it is about is not said: in a call of their own each has an answer of their own.
  if (isRefused && !OF_THE_TEMPLATE.includes(answer.error.code)) {
    return batch.map(() => ({ kind: 'retryable', error, inSmallerCalls: true }));
  }
  return batch.map(() => ({ ...answer, error }));
}

async function sendOne(
  { call, sender, clock }: Senders,
  outgoing: OutgoingMessage,
  onWire: (() => void) | undefined,
): Promise<Outcome> {
  const { userId, message } = outgoing;
  const content = message.cams
    ? { type: 'template', templateCode: message.cams.code, language: message.cams.language, ...templateValues(message) }
    : plainContent(message, sender.channelType);
  if (typeof content === 'string') {
    return {
      kind: 'stopped',
      stop: 'content',
      error: { code: 'cams:NoForm', message: `Nothing was sent: ${content}` },
    };
  }
  const taskId = taskIdOf(outgoing, clock);
  const answer = await call(
    (client, { SendChatappMessageRequest }) =>
      client.sendChatappMessage(new SendChatappMessageRequest({ ...sender, to: userId, taskId, ...content })),
    { people: [privateParts(outgoing)], onWire },
  );
  if (!('body' in answer)) return answer;
  // The SDK has the id at the top, an example of Alibaba's own below `Data`. `OK` alone means accepted.
  const { MessageId: id, Data: data } = answer.body;
  const shown = id ?? (data as { MessageId?: unknown } | null | undefined)?.MessageId;
  return { kind: 'sent', messageId: typeof shown === 'string' && /^[\w.$:=+/-]{1,200}$/.test(shown) ? shown : taskId };
}

function taskIdOf(first: OutgoingMessage | undefined, clock: Clock): string {
  const row = readRowMetadata(first?.metadata);
  return row === null ? randomUUID() : camsTaskId(row, clock.now());
}

/** What fills a template: the values, and what comes back when a button is pressed. */
function templateValues({ cams, buttons, quickReplies }: Message): {
  templateParams?: Record<string, string>;
  payload?: string[];
} {
  // `{{1}}` of a template of CAMS is `{{param_1}}` here, because a variable has a name.
  const values = Object.entries(cams?.parameters ?? {}).map(
    ([name, value]) => [/^param_([1-9]\d?)$/.exec(name)?.[1] ?? name, value] as const,
  );
  const payload = [
    ...buttons.flatMap((button) => (button.type === 'postback' ? [button.payload] : [])),
    ...quickReplies.map((reply) => reply.payload),
  ];
  return {
    ...(values.length > 0 && { templateParams: Object.fromEntries(values) }),
    ...(payload.length > 0 && { payload }),
  };
}

/**
 * A message that is no template of CAMS. Of buttons, cards and quick replies the names are documented (`buttonTemplate`,
 * `quickReply` …), but not the shape of their content.
 * @returns why there is no form for it, as the rest of a sentence
 */
function plainContent(
  { text, media, buttons, quickReplies, cards, registered }: Message,
  channelType: string,
): { type: 'message'; messageType: string; content: string } | string {
  const foreign: [isThere: boolean, what: string][] = [
    [
      registered !== undefined,
      'a template that is registered with Meta; CAMS sends its own, by the code under `cams:`',
    ],
    [cards !== undefined, 'cards'],
    [buttons.length > 0, 'buttons'],
    [quickReplies.length > 0, 'quick replies'],
    [media?.type === 'file' && channelType === 'instagram', 'a file on Instagram'],
  ];
  const found = foreign.find(([isThere]) => isThere);
  if (found) return `CAMS documents no form for ${found[1]}.`;
  if ((text === undefined) === (media === undefined)) return 'CAMS takes either text or one media file.';
  if (media === undefined) return { type: 'message', messageType: 'text', content: JSON.stringify({ text }) };
  return {
    type: 'message',
    messageType: media.type === 'file' ? 'document' : media.type,
    content: JSON.stringify({ link: media.url }),
  };
}
