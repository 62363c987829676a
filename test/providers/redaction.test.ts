import { describe, expect, it } from 'vitest';
import type { OutgoingMessage } from '../../src/ports.js';
import { createRedactor, privateParts } from '../../src/providers/redaction.js';

describe('words that are shown', () => {
  it('are searched for every text of a message', () => {
    const button = (name: string): { type: 'postback'; title: string; payload: string } => ({
      type: 'postback',
      title: `${name} title`,
      payload: `${name} payload`,
    });
    const outgoing: OutgoingMessage = {
      userId: '6400000000000001',
      metadata: 'the row',
      isReply: false,
      message: {
        header: 'header',
        text: 'text',
        media: { type: 'image', url: 'https://x.org/media' },
        cards: [{ title: 'card', subtitle: 'subtitle', image: 'https://x.org/card', buttons: [button('card')] }],
        buttons: [button('first'), { type: 'web_url', title: 'link', url: 'https://x.org/link' }],
        quickReplies: [{ title: 'reply', payload: 'reply payload' }],
        registered: {
          name: 'order_update',
          language: 'en',
          header: [{ name: null, text: 'header value' }],
          parameters: [{ name: 'a', text: 'value' }],
          buttons: [
            { type: 'URL', url: 'suffix' },
            { type: 'POSTBACK', payload: 'place' },
          ],
        },
        cams: { code: 'c0de', language: 'en', parameters: { a: 'kept value' } },
      },
    };
    const { userId, texts } = privateParts(outgoing);
    expect(userId).toBe('6400000000000001');
    expect([...texts].sort()).toEqual(
      [
        ...['header', 'text', 'https://x.org/media', 'the row', 'card', 'subtitle', 'https://x.org/card'],
        ...['card title', 'card payload', 'first title', 'first payload', 'link', 'https://x.org/link'],
        ...['reply', 'reply payload', 'header value', 'value', 'suffix', 'place', 'kept value'],
      ].sort(),
    );
  });

  it('say nothing of anybody who was in the same request', () => {
    const redact = createRedactor(['s3cret']);
    const shown = redact(
      'Ann 6400000000000001: Hi Ann; 71002: Hi Ann, dear; s3cret',
      { userId: '6400000000000001', texts: ['Hi Ann'] },
      { userId: '71002', texts: ['Hi Ann, dear'] },
    );
    expect(shown).toBe('Ann …0001: [text]; …1002: [text]; [secret]');
  });
});
