import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/core/delivery.js';
import type { Button, Message } from '../../src/core/template.js';
import type { OutgoingMessage } from '../../src/ports.js';
import { createGraphProvider, type GraphConfig } from '../../src/providers/graph.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import {
  describeProvider,
  expectNothingPrivate,
  machineClock,
  ReplyServer,
  type BatchCase,
  type CannedReply,
  type ExpectedRequest,
  type LookupCase,
  type ProviderCase,
} from '../support/provider-contract.js';
import { selfSigned, trustingAnybody } from '../support/self-signed.js';
import { template } from '../support/fixtures.js';

const PAGE = '102938475601928';
const TOKEN = 'EAAGm0PX4ZCpsBAKZCtokenForTests0123456789';
const APP_SECRET = '0123456789abcdef0123456789abcdef';
const PROOF = createHmac('sha256', APP_SECRET).update(TOKEN).digest('hex');
const SECRETS = [TOKEN, APP_SECRET, PROOF];
const USER = '6734019284750123';
const SENT = { recipient_id: USER, message_id: 'm_AG5Hz2U' };

const config = (baseUrl: string, more: Partial<GraphConfig> = {}): GraphConfig => ({
  baseUrl,
  version: 'v26.0',
  pageId: PAGE,
  channel: 'messenger',
  token: TOKEN,
  ...more,
});

const outgoing = (parts: Partial<Message>, userId = USER): OutgoingMessage => ({
  userId,
  metadata: 'pagecast:c7:1',
  isReply: false,
  message: { buttons: [], quickReplies: [], ...parts },
});
const registered = (parts: Partial<NonNullable<Message['registered']>>): OutgoingMessage =>
  outgoing({
    registered: { name: 'order_update', language: 'en_US', header: [], parameters: [], buttons: [], ...parts },
  });
const hello = outgoing({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' });

const request = (message: object, messaging_type = 'UPDATE'): ExpectedRequest => ({
  method: 'POST',
  path: `/v26.0/${PAGE}/messages`,
  headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
  body: {
    recipient: { id: USER },
    messaging_type,
    message: { ...message, metadata: 'pagecast:c7:1' },
    appsecret_proof: PROOF,
  },
});
const sent: Outcome = { kind: 'sent', messageId: 'm_AG5Hz2U' };

const open: Button = { type: 'web_url', title: 'Open', url: 'https://shop.example/A-1042' };
const cancel: Button = { type: 'postback', title: 'Cancel', payload: 'CANCEL A-1042' };
const nothingSent: Outcome = {
  kind: 'stopped',
  stop: 'content',
  error: { code: '100', message: 'Nothing was sent: a message holds one of text, a media file or cards.' },
};
const asTemplate = (payload: object): object => ({ attachment: { type: 'template', payload } });

/** Every form that a message can take. */
const forms: ProviderCase[] = [
  {
    label: 'text',
    message: hello,
    replies: [{ body: SENT }],
    requests: [request({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' })],
    outcome: sent,
  },
  {
    label: 'text of every script, with quotes and a lone surrogate',
    message: outgoing({ text: 'Zoë "你好" 👋 \n \ud800' }),
    replies: [{ body: SENT }],
    requests: [request({ text: 'Zoë "你好" 👋 \n \ud800' })],
    outcome: sent,
  },
  {
    label: 'text with quick replies',
    message: outgoing({ text: 'Choose', quickReplies: [{ title: 'Track it', payload: 'TRACK A-1042' }] }),
    replies: [{ body: SENT }],
    requests: [
      request({
        text: 'Choose',
        quick_replies: [{ content_type: 'text', title: 'Track it', payload: 'TRACK A-1042' }],
      }),
    ],
    outcome: sent,
  },
  {
    label: 'an answer to what the person wrote',
    message: { ...hello, isReply: true },
    replies: [{ body: SENT }],
    requests: [request({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' }, 'RESPONSE')],
    outcome: sent,
  },
  {
    label: 'text with buttons: a button template',
    message: outgoing({ text: 'Your order', buttons: [open, cancel] }),
    replies: [{ body: SENT }],
    requests: [request(asTemplate({ template_type: 'button', text: 'Your order', buttons: [open, cancel] }))],
    outcome: sent,
  },
  ...(['image', 'video', 'audio', 'file'] as const).map((type): ProviderCase => ({
    label: `${type} by its address, with quick replies`,
    message: outgoing({
      media: { type, url: 'https://shop.example/a' },
      quickReplies: [{ title: 'More', payload: 'MORE' }],
    }),
    replies: [{ body: SENT }],
    requests: [
      request({
        attachment: { type, payload: { url: 'https://shop.example/a' } },
        quick_replies: [{ content_type: 'text', title: 'More', payload: 'MORE' }],
      }),
    ],
    outcome: sent,
  })),
  ...(['image', 'video'] as const).map((type): ProviderCase => ({
    label: `${type} with buttons: a media template`,
    message: outgoing({ media: { type, url: 'https://www.facebook.com/acme/photos/1' }, buttons: [open] }),
    replies: [{ body: SENT }],
    requests: [
      request(
        asTemplate({
          template_type: 'media',
          elements: [{ media_type: type, url: 'https://www.facebook.com/acme/photos/1', buttons: [open] }],
        }),
      ),
    ],
    outcome: sent,
  })),
  {
    label: 'cards: a generic template, without the parts that a card does not have',
    message: outgoing({
      cards: [
        { title: 'Mug', subtitle: 'Blue', image: 'https://shop.example/mug.png', buttons: [open, cancel] },
        { title: 'Cup', subtitle: 'Red', buttons: [] },
      ],
      quickReplies: [{ title: 'More', payload: 'MORE' }],
    }),
    replies: [{ body: SENT }],
    requests: [
      request({
        ...asTemplate({
          template_type: 'generic',
          elements: [
            { title: 'Mug', subtitle: 'Blue', image_url: 'https://shop.example/mug.png', buttons: [open, cancel] },
            { title: 'Cup', subtitle: 'Red' },
          ],
        }),
        quick_replies: [{ content_type: 'text', title: 'More', payload: 'MORE' }],
      }),
    ],
    outcome: sent,
  },
  {
    label: 'registered template with named parameters, in header, body and buttons',
    message: registered({
      header: [{ name: 'shop', text: 'Acme' }],
      parameters: [
        { name: 'name', text: 'Ann' },
        { name: 'order_id', text: '566701' },
      ],
      buttons: [
        { type: 'POSTBACK', payload: '12345' },
        { type: 'URL', url: '566701' },
      ],
    }),
    replies: [{ body: SENT }],
    requests: [
      request(
        {
          template: {
            name: 'order_update',
            language: { code: 'en_US' },
            components: [
              { type: 'header', parameters: [{ type: 'text', parameter_name: 'shop', text: 'Acme' }] },
              {
                type: 'body',
                parameters: [
                  { type: 'text', parameter_name: 'name', text: 'Ann' },
                  { type: 'text', parameter_name: 'order_id', text: '566701' },
                ],
              },
              {
                type: 'buttons',
                parameters: [
                  { type: 'POSTBACK', payload: '12345' },
                  { type: 'URL', url: '566701' },
                ],
              },
            ],
          },
        },
        'UTILITY',
      ),
    ],
    outcome: sent,
  },
  {
    label: 'registered template with positional parameters, as an answer; the local copy of its text stays here',
    message: {
      ...outgoing({
        text: 'Your order 566701',
        ...registered({ parameters: [{ name: null, text: '566701' }] }).message,
      }),
      isReply: true,
    },
    replies: [{ body: SENT }],
    requests: [
      request(
        {
          template: {
            name: 'order_update',
            language: { code: 'en_US' },
            components: [{ type: 'body', parameters: [{ type: 'text', text: '566701' }] }],
          },
        },
        'UTILITY',
      ),
    ],
    outcome: sent,
  },
  {
    label: 'registered template without parameters',
    message: registered({ name: 'closed_today', language: 'de' }),
    replies: [{ body: SENT }],
    requests: [request({ template: { name: 'closed_today', language: { code: 'de' } } }, 'UTILITY')],
    outcome: sent,
  },
  ...(
    [
      ['no content', {}],
      ['buttons alone', { buttons: [open] }],
      ['text and a media file', { text: 'Look', media: { type: 'image', url: 'https://shop.example/a.png' } }],
      ['text and cards', { text: 'Look', cards: [{ title: 'Mug', subtitle: 'Blue', buttons: [] }] }],
      ['buttons beside cards', { buttons: [open], cards: [{ title: 'Mug', subtitle: 'Blue', buttons: [] }] }],
      ['a sound with buttons', { media: { type: 'audio', url: 'https://shop.example/a.mp3' }, buttons: [open] }],
      ['a file with buttons', { media: { type: 'file', url: 'https://shop.example/a.pdf' }, buttons: [open] }],
    ] satisfies [string, Partial<Message>][]
  ).map(([what, parts]): ProviderCase => ({
    label: `a message with ${what} is not put on the wire`,
    message: outgoing(parts),
    replies: [],
    outcome: nothingSent,
  })),
];

const envelope = (message: string, code: number | string, subcode?: number): object => ({
  error: {
    message,
    type: 'OAuthException',
    code,
    ...(subcode !== undefined && { error_subcode: subcode }),
    fbtrace_id: 'BLBz/WZt8dN',
  },
});
const traced = (code: string, message: string): { code: string; message: string; traceId: string } => ({
  code,
  message,
  traceId: 'BLBz/WZt8dN',
});

/**
 * What the fact base says of each error: `class code/subcode`. Written out here, apart from core's table. After 100 alone the
 * platform is asked about the app secret (graph-proof.test.ts).
 */
const ERROR_TABLE = `
  unknown 1/1357046
  retryable 1  1/99  2  1200
  pause 4  4/2018022  17  32  341  613  613/2534040  613/1996  80001  80002  80006
  rejected 4/2018354  9/2018352  10/2018278  10/2534022  10/2018065  10/2018108  10/2018336
  optedOut 10/1893015
  rejected 100/2018001  100/2534014  100/2534025  100/2534037  200/1545041  551/1545041  551  230  613/1893016
  rejected 2018300  2018321  10/2018300  100/2018321  10900  10903
  stop:permission 3  10  10/2534077  100/33  100/2534013  200  200/2018028  200/2534041  210  299  2500  2635
  stop:restricted 10/1893063  10/1404170  100/2534029  368  2022  613/2018338
  stop:content 100/2018008  100/2018047  100/2018074  100/2018109  100/2018294  100/2534015  36000
  stop:content 100/1893029  100/2018416  2300001  7/7
  stop:token 102  104  190  190/458  190/459  190/460  190/463  190/464  190/467  190/492  190/9
`;

const table: ProviderCase[] = ERROR_TABLE.trim()
  .split('\n')
  .flatMap((line) => {
    const [kind = '', ...codes] = line.trim().split(/\s+/);
    return codes.map((code): ProviderCase => {
      const [main, subcode] = code.split('/').map(Number);
      const error = traced(code, '(#1) 用户暂时收不到消息。');
      const [word, cause] = kind.split(':');
      let outcome: Outcome;
      if (word === 'stop') outcome = { kind: 'stopped', stop: cause as 'content', error };
      else if (word === 'optedOut') outcome = { kind: 'rejected', error, optedOut: true };
      else if (word === 'pause') outcome = { kind: 'retryable', error, pauseMs: 30_000 };
      else outcome = { kind: word as 'rejected', error };
      return {
        label: `error ${code}: ${kind}, whatever its words and its status say`,
        message: hello,
        replies: [{ status: main === 4 ? 403 : 400, body: envelope('(#1) 用户暂时收不到消息。', main ?? 0, subcode) }],
        outcome,
      };
    });
  });

const usage = (...entries: object[]): Record<string, string> => ({
  'x-business-use-case-usage': JSON.stringify({ [PAGE]: entries }),
});
const limitedBy = (code: number, headers: Record<string, string>): CannedReply => ({
  status: 400,
  headers,
  body: envelope('limit', code),
});

const replies: ProviderCase[] = [
  {
    label: '200 with an error in it',
    message: hello,
    replies: [{ status: 200, body: envelope('(#36000) The image size is too large.', 36000) }],
    outcome: { kind: 'stopped', stop: 'content', error: traced('36000', '(#36000) The image size is too large.') },
  },
  {
    label: 'codes that came as text',
    message: hello,
    replies: [{ status: 400, body: envelope('window', '10', 2018278) }],
    outcome: { kind: 'rejected', error: traced('10/2018278', 'window') },
  },
  {
    label: 'a message id that came as a number keeps its digits',
    message: hello,
    replies: [{ body: '{"recipient_id":6734019284750123,"message_id":98765432109876543210}' }],
    outcome: { kind: 'sent', messageId: '98765432109876543210' },
  },
  {
    label: '200 without a message id',
    message: hello,
    replies: [{ body: { recipient_id: USER } }],
    outcome: {
      kind: 'unknown',
      error: { code: 'REPLY_UNREADABLE', message: 'The answer (HTTP status 200) holds no message id.' },
    },
  },
  {
    label: 'GraphBatchException, an error without a code',
    message: hello,
    replies: [{ status: 400, body: { error: { message: 'Too many requests', type: 'GraphBatchException' } } }],
    outcome: { kind: 'unknown', error: { code: 'GraphBatchException', message: 'Too many requests' } },
  },
  {
    label: 'an error without a code, and of a type that has one',
    message: hello,
    replies: [{ status: 400, body: { error: { message: 'Too many requests', type: 'OAuthException' } } }],
    outcome: {
      kind: 'unknown',
      error: { code: 'REPLY_UNREADABLE', message: "The answer (HTTP status 400) is not the platform's." },
    },
  },
  ...(
    [
      ['of the business', usage({ type: 'messenger', call_count: 28, total_time: 90, total_cputime: 25 }), 0.9],
      ['of the app', { 'x-app-usage': '{"call_count":28,"total_time":25,"total_cputime":31}' }, 0.31],
      [
        'of both, the highest',
        { ...usage({ type: 'pages', call_count: 40 }), 'x-app-usage': '{"call_count":28}' },
        0.4,
      ],
      [
        'of several businesses and kinds of use, without advertisements',
        usage(
          { type: 'instagram', call_count: 7 },
          { type: 'ads_management', call_count: 99 },
          { type: 'messenger', total_time: 112 },
        ),
        1.12,
      ],
      ['of nothing at all', usage({ type: 'messenger', call_count: 0, total_time: 0, total_cputime: 0 }), 0],
    ] as const
  ).map(([label, headers, load]): ProviderCase => ({
    label: `a success tells the load ${label}`,
    message: hello,
    replies: [{ headers, body: SENT }],
    outcome: { ...sent, load },
  })),
  ...(
    [
      ['garbage', { 'x-app-usage': '{"call_count"' }],
      ['texts', { 'x-app-usage': '{"call_count":"28"}' }],
      ['more than any number', { 'x-app-usage': '{"call_count":1e999}' }],
      ['advertisements alone', usage({ type: 'ads_insights', call_count: 99 })],
    ] as const
  ).map(([label, headers]): ProviderCase => ({
    label: `a usage header with ${label} tells no load`,
    message: hello,
    replies: [{ headers, body: SENT }],
    outcome: sent,
  })),
  {
    label: 'a refusal tells the load, too',
    message: hello,
    replies: [{ status: 400, headers: usage({ type: 'messenger', call_count: 50 }), body: envelope('gone', 551) }],
    outcome: { kind: 'rejected', error: traced('551', 'gone'), load: 0.5 },
  },
  {
    label: 'the wait comes from the usage header: the longest, in minutes, of messaging alone',
    message: hello,
    replies: [
      limitedBy(
        80006,
        usage(
          { type: 'messenger', estimated_time_to_regain_access: 3 },
          { type: 'instagram', estimated_time_to_regain_access: 1 },
          { type: 'ads_management', estimated_time_to_regain_access: 600 },
        ),
      ),
    ],
    outcome: { kind: 'retryable', error: traced('80006', 'limit'), pauseMs: 180_000 },
  },
  ...[
    ['no time', usage({ type: 'messenger', call_count: 100 })],
    ['a time of 0', usage({ type: 'messenger', estimated_time_to_regain_access: 0 })],
    ['garbage', { 'x-business-use-case-usage': '{"1":' }],
    ['strange shapes', { 'x-business-use-case-usage': '{"1":null,"2":[7],"3":{"type":"messenger"}}' }],
  ].map(([label, headers]): ProviderCase => ({
    label: `a usage header with ${label as string}: the default wait`,
    message: hello,
    replies: [limitedBy(613, headers as Record<string, string>)],
    outcome: {
      kind: 'retryable',
      error: traced('613', 'limit'),
      pauseMs: 30_000,
      ...(label === 'no time' && { load: 1 }),
    },
  })),
  {
    label: '500 with a limit in an envelope: not sent',
    message: hello,
    replies: [{ status: 503, body: envelope('limit', 4) }],
    outcome: { kind: 'retryable', error: traced('4', 'limit'), pauseMs: 30_000 },
  },
  {
    label: '500 with a blocked Page in an envelope: not sent',
    message: hello,
    replies: [{ status: 500, body: envelope('blocked', 368) }],
    outcome: { kind: 'stopped', stop: 'restricted', error: traced('368', 'blocked') },
  },
  ...[1, 2, 551, 1200, 987654].map((code): ProviderCase => ({
    label: `500 with error ${code} in an envelope: unknown`,
    message: hello,
    replies: [{ status: 500, body: envelope('An unexpected error', code) }],
    outcome: {
      kind: 'unknown',
      error: traced('SERVER_ERROR', 'The platform answered with HTTP status 500. An unexpected error'),
    },
  })),
  ...[400, 401, 403, 408, 302, 204].map((status): ProviderCase => ({
    label: `${status} without an envelope: unknown`,
    message: hello,
    replies: [{ status, ...(status !== 204 && { body: '<html>Blocked by your organisation</html>' }) }],
    outcome: {
      kind: 'unknown',
      error: {
        code: 'REPLY_UNREADABLE',
        message:
          status === 204
            ? 'The answer (HTTP status 204) holds no message id.'
            : `The answer (HTTP status ${status}) is not the platform's.`,
      },
    },
  })),
  ...[301, 307, 308, 404, 405, 407, 414, 421, 429, 431].map((status): ProviderCase => ({
    label: `${status} without an envelope: nothing was taken up`,
    message: hello,
    replies: [{ status, headers: { location: 'https://elsewhere.example/' }, body: '<html>no</html>' }],
    outcome: {
      kind: 'retryable',
      error: {
        code: 'CONNECTION_REFUSED',
        message: `HTTP status ${status} came from something other than the platform; nothing was sent.`,
      },
      pauseMs: status === 429 ? 30_000 : 10_000,
    },
  })),
  {
    label: 'an error text that repeats everything private',
    message: outgoing({
      text: 'Hi Ann, order A-1042 leaves on 1 Dec.',
      quickReplies: [{ title: 'Track it', payload: 'TRACK A-1042' }],
    }),
    replies: [
      {
        status: 400,
        body: envelope(
          `No user ${USER} or 61234567890123 for ${TOKEN} ${encodeURIComponent(TOKEN)} (${PROOF}, ${APP_SECRET}), EAAB0therPageTokenOfSomebody: ` +
            'Hi Ann, order A-1042 leaves on 1 Dec. TRACK A-1042\u001b[2J\u0007\u202e',
          100,
          2018001,
        ),
      },
    ],
    outcome: {
      kind: 'rejected',
      error: traced(
        '100/2018001',
        'No user …0123 or …0123 for [secret] [secret] ([secret], [secret]), [secret]: [text] [text] [2J ',
      ),
    },
  },
  {
    label: 'a long error text and a strange trace id',
    message: hello,
    replies: [{ status: 400, body: { error: { message: 'x'.repeat(5000), code: 551, fbtrace_id: '\u001b[31m' } } }],
    outcome: { kind: 'rejected', error: { code: '551', message: 'x'.repeat(300) } },
  },
];

// ------------------------------------------------------------------------------------------------- batches

const ANN = '6400000000000001';
const BEN = '6400000000000002';
const ann = outgoing({ text: 'Hi Ann & Co, 1+1=2 👋' }, ANN);
const ben = outgoing({ text: 'Hi Ben, how are you' }, BEN);
const batchRequest = (...bodies: string[]): ExpectedRequest => ({
  method: 'POST',
  path: '/v26.0/',
  headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
  body: {
    batch: bodies.map((body) => ({ method: 'POST', relative_url: `${PAGE}/messages`, body })),
    include_headers: true,
    appsecret_proof: PROOF,
  },
});
const part = (body: object | string, code = 200, headers: unknown[] = []): object => ({
  code,
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});
const messageIdFor = (user: string): string => `m_AG5${user.slice(-4)}`;
const sentTo = (user: string): object => part({ recipient_id: user, message_id: messageIdFor(user) });
const refused = (code: number, subcode?: number): object => part(envelope('no', code, subcode), 400);
const wasSent = (user: string): Outcome => ({ kind: 'sent', messageId: messageIdFor(user) });
const unanswered: Outcome = {
  kind: 'unknown',
  error: { code: 'REPLY_UNREADABLE', message: 'The platform gave no answer to this part of a batch.' },
};
const both = (outcome: Outcome): Outcome[] => [outcome, outcome];

const batches: BatchCase[] = [
  {
    label: 'one POST, with each message as a form with JSON values, under one token and one proof',
    messages: [ann, { ...ben, isReply: true }],
    replies: [{ body: [sentTo(ANN), sentTo(BEN)] }],
    requests: [
      batchRequest(
        'recipient=%7B%22id%22%3A%226400000000000001%22%7D&messaging_type=UPDATE&message=%7B%22text%22%3A%22Hi+Ann+%26+Co%2C+1%2B1%3D2+%F0%9F%91%8B%22%2C%22metadata%22%3A%22pagecast%3Ac7%3A1%22%7D',
        'recipient=%7B%22id%22%3A%226400000000000002%22%7D&messaging_type=RESPONSE&message=%7B%22text%22%3A%22Hi+Ben%2C+how+are+you%22%2C%22metadata%22%3A%22pagecast%3Ac7%3A1%22%7D',
      ),
    ],
    outcomes: [wasSent(ANN), wasSent(BEN)],
  },
  {
    label: 'one message goes by itself',
    messages: [hello],
    replies: [{ body: SENT }],
    requests: [request({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' })],
    outcomes: [sent],
  },
  {
    label: 'a message that the API has no form for stays out; one that is left goes by itself',
    messages: [outgoing({}), hello],
    replies: [{ body: SENT }],
    requests: [request({ text: 'Hi Ann, order A-1042 leaves on 1 Dec.' })],
    outcomes: [nothingSent, sent],
  },
  {
    label: 'a message that the API has no form for, between two others',
    messages: [ann, outgoing({}), ben],
    replies: [{ body: [sentTo(ANN), refused(551)] }],
    outcomes: [wasSent(ANN), nothingSent, { kind: 'rejected', error: traced('551', 'no') }],
  },
  {
    label: 'none of them has a form',
    messages: [outgoing({}), outgoing({})],
    replies: [],
    outcomes: both(nothingSent),
  },
  ...(
    [
      ['refused: window', refused(10, 2018278), { kind: 'rejected', error: traced('10/2018278', 'no') }],
      [
        'refused: stopped',
        refused(10, 1893015),
        { kind: 'rejected', error: traced('10/1893015', 'no'), optedOut: true },
      ],
      ['refused: limit', refused(613), { kind: 'retryable', error: traced('613', 'no'), pauseMs: 30_000 }],
      ['refused: token', refused(190, 463), { kind: 'stopped', stop: 'token', error: traced('190/463', 'no') }],
      ['refused with status 200', part(envelope('no', 551)), { kind: 'rejected', error: traced('551', 'no') }],
      ['a temporary fault', refused(1200), { kind: 'retryable', error: traced('1200', 'no') }],
      ['1/1357046', refused(1, 1357046), { kind: 'unknown', error: traced('1/1357046', 'no') }],
      [
        'a server error',
        part(envelope('no', 2), 500),
        { kind: 'unknown', error: traced('SERVER_ERROR', 'The platform answered with HTTP status 500. no') },
      ],
      [
        'a success with the id as a number',
        part(`{"recipient_id":${BEN},"message_id":98765432109876543210}`),
        { kind: 'sent', messageId: '98765432109876543210' },
      ],
      [
        'no success after all',
        part({ recipient_id: BEN }),
        {
          kind: 'unknown',
          error: { code: 'REPLY_UNREADABLE', message: 'The answer (HTTP status 200) holds no message id.' },
        },
      ],
      ['null: not finished', null, unanswered],
      ['a text', 'ok', unanswered],
      ['without a status', { body: '{"message_id":"m_1"}' }, unanswered],
      ['with a body that is no text', { code: 200, body: { message_id: 'm_1' } }, unanswered],
    ] satisfies [string, unknown, Outcome][]
  ).map(([label, answer, outcome]): BatchCase => ({
    label: `a part: ${label}`,
    messages: [ann, ben],
    replies: [{ body: [sentTo(ANN), answer] }],
    outcomes: [wasSent(ANN), outcome],
  })),
  {
    label: 'usage in the headers of the whole answer, and in those of a part',
    messages: [ann, ben],
    replies: [
      {
        headers: usage({ type: 'messenger', call_count: 30 }),
        body: [
          sentTo(ANN),
          part(envelope('limit', 80006), 400, [
            { name: 'Content-Type', value: 'text/javascript' },
            {
              name: 'X-Business-Use-Case-Usage',
              value: usage({ type: 'messenger', call_count: 100, estimated_time_to_regain_access: 2 })[
                'x-business-use-case-usage'
              ],
            },
            'strange',
            { name: 7, value: [] },
          ]),
        ],
      },
    ],
    outcomes: [
      { ...wasSent(ANN), load: 0.3 },
      { kind: 'retryable', error: traced('80006', 'limit'), pauseMs: 120_000, load: 1 },
    ],
  },
  ...(
    [
      ['the last one is missing', [sentTo(ANN)], [wasSent(ANN), unanswered]],
      ['the first one is missing', [sentTo(BEN)], [unanswered, unanswered]],
      ['of a refusal, nothing tells whose it is', [refused(1200)], [unanswered, unanswered]],
      ['of a success that names nobody, neither', [part({ message_id: 'm_1' })], [unanswered, unanswered]],
      [
        'ids that came as numbers',
        [part(`{"recipient_id":${ANN},"message_id":"${messageIdFor(ANN)}"}`)],
        [wasSent(ANN), unanswered],
      ],
      ['one too many', [sentTo(ANN), sentTo(BEN), refused(551)], [wasSent(ANN), wasSent(BEN)]],
      ['one too many, in front', [refused(551), sentTo(ANN), sentTo(BEN)], [unanswered, unanswered]],
    ] satisfies [string, unknown[], Outcome[]][]
  ).map(([label, body, outcomes]): BatchCase => ({
    label: `an answer of the wrong length: ${label}`,
    messages: [ann, ben],
    replies: [{ body }],
    outcomes,
  })),
  ...(
    [
      ['190', envelope('no', 190), { kind: 'stopped', stop: 'token', error: traced('190', 'no') }],
      ['368', envelope('no', 368), { kind: 'stopped', stop: 'restricted', error: traced('368', 'no') }],
      ['4', envelope('no', 4), { kind: 'retryable', error: traced('4', 'no'), pauseMs: 30_000 }],
      // A part may have been carried out before: Meta says so of 1/1357046.
      ['1/1357046', envelope('no', 1, 1357046), { kind: 'unknown', error: traced('1/1357046', 'no') }],
      ['1', envelope('no', 1), { kind: 'unknown', error: traced('1', 'no') }],
      ['2', envelope('no', 2), { kind: 'unknown', error: traced('2', 'no') }],
      ['551', envelope('no', 551), { kind: 'unknown', error: traced('551', 'no') }],
      [
        'GraphBatchException',
        { error: { message: 'Maximum batch size is 50', type: 'GraphBatchException' } },
        { kind: 'unknown', error: { code: 'GraphBatchException', message: 'Maximum batch size is 50' } },
      ],
    ] satisfies [string, object, Outcome][]
  ).map(([code, body, outcome]): BatchCase => ({
    label: `error ${code} for the batch as a whole`,
    messages: [ann, ben],
    replies: [{ status: 400, headers: usage({ type: 'messenger', call_count: 50 }), body }],
    outcomes: both({ ...outcome, load: 0.5 }),
  })),
  {
    label: 'an error text that repeats what is private to somebody else',
    messages: [ann, ben],
    replies: [
      {
        body: [sentTo(ANN), part(envelope(`No ${BEN}, unlike ${ANN}: Hi Ann & Co, 1+1=2 👋 ${TOKEN}`, 551), 400)],
      },
    ],
    outcomes: [wasSent(ANN), { kind: 'rejected', error: traced('551', 'No …0002, unlike …0001: [text] [secret]') }],
  },
];

// ------------------------------------------------------------------------------------------------- conversations

const SINCE = Date.UTC(2026, 10, 21, 12);
const FIELDS = 'messages.limit(20){id,created_time,from,message}';
const PAGE_NODE = { id: PAGE, name: 'Acme' };
const USER_NODE = { id: USER, name: 'Ann' };

/** A message of the Page so many seconds after SINCE. */
const node = (seconds: number, change: object = {}): Record<string, unknown> => ({
  id: `m_${seconds}`,
  created_time: new Date(SINCE + seconds * 1000).toISOString().replace(/\.\d+Z$/, '+0000'),
  from: PAGE_NODE,
  message: 'Hi Ann',
  ...change,
});
const shown = (seconds: number, change: object = {}): object => ({
  messageId: `m_${seconds}`,
  text: 'Hi Ann',
  at: SINCE + seconds * 1000,
  fromAccount: true,
  ...change,
});
const thread = (data: object[], paging?: object): object => ({
  id: 't_1',
  messages: { data, ...(paging && { paging }) },
});
const found = (...threads: object[]): CannedReply => ({ body: { data: threads } });
const readAs = (complete: boolean, ...messages: object[]): LookupCase['result'] =>
  ({ kind: 'read', messages, complete }) as LookupCase['result'];
const without = (seconds: number): object => {
  const { id, created_time } = node(seconds);
  return { id, created_time };
};
const many = (count: number, from: number): number[] => Array.from({ length: count }, (_, index) => from - index);
const conversationsPath = `/v26.0/${PAGE}/conversations`;
const failedAs = (code: string, message: string, more: object = {}): LookupCase['result'] => ({
  kind: 'failed',
  error: traced(code, message),
  ...more,
});

const conversations: LookupCase[] = [
  {
    label: 'one call finds the conversation and reads it',
    replies: [found(thread([node(60), node(30, { from: USER_NODE, message: 'Hello' }), node(-600)]))],
    requests: [
      {
        path: conversationsPath,
        query: { platform: 'messenger', user_id: USER, fields: `id,${FIELDS}`, appsecret_proof: PROOF },
      },
    ],
    result: readAs(true, shown(60), shown(30, { fromAccount: false, text: 'Hello' }), shown(-600)),
  },
  {
    label: 'a platform that does not expand fields is asked for the conversation, then for each message since',
    replies: [
      found({ id: 't_1', updated_time: '2026-11-21T12:01:00+0000' }),
      { body: { id: 't_1', messages: { data: [without(60), without(30), without(-600)] } } },
      { body: node(60) },
      { body: node(30, { message: '' }) },
    ],
    requests: [
      { path: conversationsPath, query: { user_id: USER } },
      { path: '/v26.0/t_1', query: { fields: FIELDS, appsecret_proof: PROOF } },
      { path: '/v26.0/m_60', query: { fields: 'id,created_time,from,message' } },
      { path: '/v26.0/m_30', query: {} },
    ],
    result: readAs(true, shown(60), shown(30, { text: '' })),
  },
  {
    label: 'a message whose details are not given, because it is deleted or too old, leaves a gap',
    replies: [
      found(thread([node(60), without(30), node(-600)])),
      { status: 400, body: envelope('(#9000001) This message has been deleted.', 9000001) },
    ],
    result: readAs(false, shown(60), shown(-600)),
  },
  {
    label: 'a limit that is met on the way ends it',
    replies: [found(thread([without(60)])), { status: 400, body: envelope('limit', 613) }],
    result: failedAs('613', 'limit', { pauseMs: 30_000 }),
  },
  {
    label: 'a message of which nothing but its author is shown',
    replies: [found(thread([node(60, { message: undefined }), node(-600)]))],
    result: readAs(true, shown(60, { text: null }), shown(-600)),
  },
  {
    label: 'a conversation that begins after the time that was asked for, with no page after it, is all there is',
    replies: [found(thread([node(60)], { cursors: { before: 'a', after: 'b' } }))],
    result: readAs(true, shown(60)),
  },
  {
    label: 'a short page is followed by its cursor, and never by the address that the platform gives',
    replies: [
      found(thread([node(60)], { cursors: { after: 'QVFI_x-=' }, next: 'https://elsewhere.example/?access_token=x' })),
      { body: thread([node(30), node(-600)]) },
    ],
    requests: [
      { path: conversationsPath, query: {} },
      { path: '/v26.0/t_1', query: { fields: 'messages.limit(20).after(QVFI_x-=){id,created_time,from,message}' } },
    ],
    result: readAs(true, shown(60), shown(30), shown(-600)),
  },
  {
    label: 'three pages are enough',
    replies: [
      found(thread([node(60)], { cursors: { after: 'a' }, next: 'x' })),
      { body: thread([node(50)], { cursors: { after: 'b' }, next: 'x' }) },
      { body: thread([node(40)], { cursors: { after: 'c' }, next: 'x' }) },
    ],
    result: readAs(false, shown(60), shown(50), shown(40)),
  },
  {
    label: 'a cursor that is none is not followed',
    replies: [found(thread([node(60)], { cursors: { after: 'a){from}' }, next: 'x' }))],
    result: readAs(false, shown(60)),
  },
  {
    label: 'twenty messages since then: there may be more',
    replies: [found(thread(many(20, 60).map((seconds) => node(seconds))))],
    result: readAs(false, ...many(20, 60).map((seconds) => shown(seconds))),
  },
  {
    label: 'nineteen messages since then and one before: that is all',
    replies: [found(thread([...many(19, 60).map((seconds) => node(seconds)), node(-1)]))],
    result: readAs(true, ...many(19, 60).map((seconds) => shown(seconds)), shown(-1)),
  },
  {
    label: 'twenty-five at once, of which the last have no details',
    replies: [found(thread([...many(20, 60).map((seconds) => node(seconds)), ...many(5, 40).map(without), node(-1)]))],
    result: readAs(false, ...many(20, 60).map((seconds) => shown(seconds)), shown(-1)),
  },
  {
    label: 'messages that do not come newest first prove nothing',
    replies: [found(thread([node(30), node(60), node(-600)]))],
    result: readAs(false, shown(30), shown(60), shown(-600)),
  },
  {
    label: 'times as seconds and milliseconds, as numbers and texts',
    replies: [
      found(
        thread([
          node(4, { created_time: SINCE / 1000 + 4 }),
          node(3, { created_time: String(SINCE / 1000 + 3) }),
          node(2, { created_time: SINCE + 2000 }),
          node(1, { created_time: '2026-11-21T13:00:01+01:00' }),
          node(0, { created_time: '2026-11-21T12:00:00Z' }),
        ]),
      ),
    ],
    result: readAs(true, shown(4), shown(3), shown(2), shown(1), shown(0)),
  },
  ...[undefined, '2026-11-21T12:00:00', 'yesterday', 20261121, null].map((created_time): LookupCase => ({
    label: `a message with the time ${String(created_time)} cannot be placed`,
    replies: [found(thread([node(60, { created_time }), node(-600)]))],
    result: readAs(false, shown(-600)),
  })),
  {
    label: 'ids that came as numbers keep their digits, and texts theirs',
    replies: [
      {
        body:
          `{"data":[{"id":98765432109876543210,"messages":{"data":[{"id":12345678901234567890,"created_time":${SINCE / 1000},` +
          `"from":{"id":${USER}},"message":"\\"id\\": 12345678901234567890, \\\\"}]}}]}`,
      },
    ],
    result: readAs(true, {
      messageId: '12345678901234567890',
      text: '"id": 12345678901234567890, \\',
      at: SINCE,
      fromAccount: false,
    }),
  },
  { label: 'no conversation: nothing is proved', replies: [found()], result: readAs(false) },
  { label: 'a conversation without messages: nothing is proved', replies: [found(thread([]))], result: readAs(false) },
  {
    label: 'several conversations: not all is known',
    replies: [found(thread([node(60), node(-600)]), thread([]))],
    result: readAs(false, shown(60), shown(-600)),
  },
  ...['../me', '..', 't_1?fields=x', '', { a: 1 }].map((id): LookupCase => ({
    label: `a conversation of the id ${JSON.stringify(id)} is not asked for`,
    replies: [found({ id })],
    result: { kind: 'failed', error: { code: 'REPLY_UNREADABLE', message: 'The conversation has no id.' } },
  })),
  {
    label: 'a reply that takes the shape of our own',
    replies: [{ body: { kind: 'failed', data: 'x' } }],
    result: readAs(false),
  },
  {
    label: 'the Page is not known to the token',
    replies: [{ status: 400, body: envelope('Unsupported request', 100, 33) }],
    result: failedAs('100/33', 'Unsupported request', { stop: 'permission' }),
  },
  {
    label: 'the conversation is not known to the token: that concerns this one alone',
    replies: [found({ id: 't_1' }), { status: 400, body: envelope('Unsupported request', 100, 33) }],
    result: failedAs('100/33', 'Unsupported request'),
  },
  ...(
    [
      [190, { stop: 'token' }],
      [200, { stop: 'permission' }],
      [10, { stop: 'permission' }],
      [368, { stop: 'restricted' }],
      [80006, { pauseMs: 30_000 }],
      [4, { pauseMs: 30_000 }],
      [100, {}],
      [1, {}],
      [2, {}],
      [9000001, {}],
      [987654, {}],
    ] as const
  ).map(([code, more]): LookupCase => ({
    label: `error ${code}: ${JSON.stringify(more)}`,
    replies: [{ status: 400, body: envelope('words', code) }],
    result: failedAs(String(code), 'words', more),
  })),
  {
    label: 'the wait comes from the usage header',
    replies: [limitedBy(80006, usage({ type: 'messenger', estimated_time_to_regain_access: 3 }))],
    result: failedAs('80006', 'limit', { pauseMs: 180_000 }),
  },
  {
    label: 'something on the way asks for fewer calls',
    replies: [{ status: 429, body: '<html>slow down</html>' }],
    result: {
      kind: 'failed',
      error: { code: '429', message: 'Something on the way to the platform asks for fewer calls.' },
      pauseMs: 30_000,
    },
  },
  {
    label: 'an error text that repeats everything private',
    replies: [{ status: 400, body: envelope(`No ${USER} for ${TOKEN} (${PROOF}, ${APP_SECRET})\u001b[2J`, 551) }],
    result: failedAs('551', 'No …0123 for [secret] ([secret], [secret]) [2J'),
  },
];

describeProvider({
  name: 'graph',
  open: (baseUrl, timeoutMs) =>
    createGraphProvider(config(baseUrl, { appSecret: APP_SECRET, timeoutMs }), machineClock),
  secrets: SECRETS,
  cases: [...forms, ...table, ...replies],
  message: hello,
  success: { body: SENT },
  batch: {
    open: (baseUrl, timeoutMs) =>
      createGraphProvider(config(baseUrl, { appSecret: APP_SECRET, timeoutMs, batch: 50 }), machineClock),
    maxBatch: 50,
    success: (messages) => ({ body: messages.map(({ userId }) => sentTo(userId)) }),
    cases: batches,
  },
  proxied: (baseUrl, timeoutMs, proxy) =>
    createGraphProvider(config(baseUrl, { appSecret: APP_SECRET, timeoutMs, proxy }), machineClock),
  lookup: {
    userId: USER,
    since: SINCE,
    cases: conversations,
    success: found(thread([node(60), node(-600)])),
  },
});

describe('graph: configuration', () => {
  let server: ReplyServer;
  beforeAll(async () => {
    server = await ReplyServer.start();
  });
  afterAll(() => server.close());

  it('sends no appsecret_proof without an app secret, and keeps a path that the base URL has', async () => {
    const provider = createGraphProvider(config(`${server.url}/proxy/`), machineClock);
    server.replies.push({ body: SENT });
    expect(await provider.send([hello])).toEqual([sent]);
    expect(server.seen[0]?.path).toBe(`/proxy/v26.0/${PAGE}/messages`);
    expect(JSON.parse(server.seen[0]?.body ?? '')).not.toHaveProperty('appsecret_proof');
    await provider.close();
  });

  it('reads conversations of Instagram, and sends no proof without an app secret', async () => {
    const provider = createGraphProvider(config(server.url, { channel: 'instagram' }), machineClock);
    server.seen.length = 0;
    server.replies.push(
      found(thread([node(60, { from: { id: '178414000000000' } }), node(-600, { from: USER_NODE })])),
    );
    const result = await provider.conversation?.(USER, SINCE, () => Promise.resolve());
    // The account's own id on Instagram is not the Page's.
    expect(result).toMatchObject({ messages: [{ fromAccount: true }, { fromAccount: false }], complete: true });
    const query = new URLSearchParams(server.seen[0]?.path.split('?')[1]);
    expect(query.get('platform')).toBe('instagram');
    expect(query.has('appsecret_proof')).toBe(false);
    expect(server.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    await provider.close();
  });

  it('sends no more to an Instagram account by itself than samples show: no type and no metadata', async () => {
    const alone = { channel: 'instagram', login: 'instagram', appSecret: APP_SECRET } as const;
    const provider = createGraphProvider(config(server.url, alone), machineClock);
    server.seen.length = 0;
    server.replies.push({ body: SENT }, { body: SENT });
    const answer = { ...outgoing({ text: 'Choose', quickReplies: [{ title: 'A', payload: 'B' }] }), isReply: true };
    expect(await provider.send([hello, answer])).toEqual([sent, sent]);
    const { text } = hello.message;
    const quick_replies = [{ content_type: 'text', title: 'A', payload: 'B' }];
    expect(server.seen.map(({ body }) => JSON.parse(body) as unknown)).toEqual(
      [{ text }, { text: 'Choose', quick_replies }].map((message) => ({
        recipient: { id: USER },
        message,
        appsecret_proof: PROOF,
      })),
    );
    await provider.close();
  });

  it.each([
    ['https://graph.instagram.com', 'graph.instagram.com:443', false],
    ['https://graph.facebook.com', 'graph.facebook.com:443', true],
  ])('knows %s by its name', async (baseUrl, asked, hasType) => {
    const tls = await ReplyServer.start(selfSigned('graph'));
    const proxy = await ConnectProxy.start({ leadsTo: tls.port });
    const settings = { channel: 'instagram', proxy: { https: proxy.url } } as const;
    const provider = createGraphProvider(config(baseUrl, settings), machineClock);
    try {
      tls.replies.push({ body: SENT });
      expect(await trustingAnybody(() => provider.send([hello]))).toEqual([sent]);
      expect(proxy.asked).toEqual([asked]);
      expect('messaging_type' in (JSON.parse(tls.seen[0]?.body ?? '') as object)).toBe(hasType);
    } finally {
      await provider.close();
      await proxy.close();
      await tls.close();
    }
  });

  it('never goes through a proxy to this machine', async () => {
    const nowhere = { http: 'http://127.0.0.1:1', https: 'http://127.0.0.1:1' };
    const provider = createGraphProvider(config(server.url, { proxy: nowhere }), machineClock);
    server.replies.push({ body: SENT });
    expect(await provider.send([hello])).toEqual([sent]);
    await provider.close();
  });

  it('has registered templates on messenger only', () => {
    const messenger = createGraphProvider(config('https://graph.facebook.com'), machineClock);
    const instagram = createGraphProvider(config('https://graph.facebook.com', { channel: 'instagram' }), machineClock);
    expect(messenger.capabilities).toMatchObject({ registeredTemplates: true, lookup: true });
    expect(messenger.capabilities.maxBatch(template)).toBe(1);
    expect(instagram.capabilities.registeredTemplates).toBe(false);
  });

  it.each([
    ['no web address', { baseUrl: 'graph.facebook.com' }],
    ['a token that would travel in the open', { baseUrl: 'http://graph.facebook.com' }],
    ['a name that only looks like loopback', { baseUrl: 'http://127.0.0.1.example.com' }],
    ['another protocol', { baseUrl: 'ftp://127.0.0.1' }],
    ['no version', { version: '26' }],
    ['a version with a path in it', { version: 'v26.0/../me' }],
    ['no id', { pageId: '' }],
    ['an id with a path in it', { pageId: '1/../2' }],
    ['a channel of somebody else', { channel: 'sms' as const }],
    ['a token with a line break', { token: `${TOKEN}\n` }],
    ['no token', { token: '' }],
    ['a batch of none', { batch: 0 }],
    ['a batch of 51', { batch: 51 }],
    ['half a message in a batch', { batch: 1.5 }],
    ['a batch where none is documented', { channel: 'instagram' as const, login: 'instagram' as const, batch: 2 }],
    ['Messenger on the host of Instagram', { baseUrl: 'https://graph.instagram.com' }],
    ['a proxy that is no web address', { baseUrl: 'https://127.0.0.1:1', proxy: { https: 'socks5://127.0.0.1' } }],
  ])('refuses %s', (_label, wrong) => {
    const make = (): unknown => createGraphProvider(config('http://127.0.0.1:1', wrong), machineClock);
    expect(make).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    try {
      make();
    } catch (error) {
      expectNothingPrivate(error, hello, SECRETS);
    }
  });
});
