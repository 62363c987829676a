/**
 * What the Send API takes of a message (reference/send-api and the pages on templates). The limits stand here once more, apart
 * from core/template.ts, because a judge that shared the sender's table would share its mistakes.
 */
import { record, records } from './graph-call.js';

const MOST = { text: 1999, instagramBytes: 1000, metadata: 999, quickReplies: 13, title: 20, payload: 1000 };
const MOST_BUTTON_TEXT = 640;
const MOST_BUTTONS = 3;
const MOST_CARDS = 10;
const MOST_CARD_TEXT = 80;

/** What the Send API would not take about a message; null if nothing. */
export function faultOfMessage(message: Record<string, unknown>, channel: 'messenger' | 'instagram'): string | null {
  const { text, metadata } = message;
  const kinds = ['text', 'attachment', 'attachments', 'template', 'sticker_id'].filter(
    (key) => message[key] !== undefined,
  );
  if (kinds.length !== 1) return 'Param message must hold exactly one of text, attachment or template';
  if (text !== undefined) {
    if (typeof text !== 'string' || text === '') return 'Param message[text] must be a non-empty string';
    if (channel === 'messenger' && text.length > MOST.text)
      return 'Length of param message[text] must be less than 2000';
    if (channel === 'instagram' && Buffer.byteLength(text) > MOST.instagramBytes) {
      return 'Length of param message[text] must be less than or equal to 1000 bytes';
    }
  }
  if (metadata !== undefined && (typeof metadata !== 'string' || metadata.length > MOST.metadata)) {
    return 'Length of param message[metadata] must be less than 1000';
  }
  return faultOfQuickReplies(message['quick_replies']) ?? faultOfAttachment(message['attachment']);
}

function faultOfQuickReplies(replies: unknown): string | null {
  if (replies === undefined) return null;
  if (!Array.isArray(replies) || replies.length > MOST.quickReplies) return 'Param quick_replies holds more than 13';
  for (const reply of replies.map(record)) {
    if (reply?.['content_type'] !== 'text') return 'Param quick_replies[content_type] must be text';
    if (!shorter(reply['title'], MOST.title)) return 'Param quick_replies[title] must have 1 to 20 characters';
    if (!shorter(reply['payload'], MOST.payload)) return 'Param quick_replies[payload] must have 1 to 1000 characters';
  }
  return null;
}

function faultOfAttachment(attachment: unknown): string | null {
  if (attachment === undefined) return null;
  const type = record(attachment)?.['type'];
  const payload = record(record(attachment)?.['payload']);
  if (type === 'template') return faultOfTemplate(payload ?? {});
  if (!['image', 'video', 'audio', 'file'].includes(String(type)))
    return 'Param message[attachment][type] is not known';
  const url = payload?.['url'] ?? payload?.['attachment_id'];
  return typeof url === 'string' && url !== '' ? null : 'Param message[attachment][payload] needs a url';
}

function faultOfTemplate(payload: Record<string, unknown>): string | null {
  const elements = records(payload['elements']);
  switch (payload['template_type']) {
    case 'button':
      if (!shorter(payload['text'], MOST_BUTTON_TEXT))
        return 'Param text of a button template must have 1 to 640 characters';
      return records(payload['buttons']).length < 1
        ? 'A button template must have 1 to 3 buttons'
        : faultOfButtons(payload['buttons']);
    case 'generic':
      if (elements.length < 1 || elements.length > MOST_CARDS) return 'A generic template must have 1 to 10 elements';
      return firstOf(elements, faultOfCard);
    case 'media':
      if (elements.length !== 1) return 'A media template must have exactly 1 element';
      return firstOf(elements, faultOfMedia);
    default:
      return 'Param template_type is not one that the sandbox knows';
  }
}

/** A card has a title and at least one property more. */
function faultOfCard(card: Record<string, unknown> | null): string | null {
  if (!shorter(card?.['title'], MOST_CARD_TEXT)) return 'The title of an element must have 1 to 80 characters';
  const { subtitle, image_url, buttons, default_action } = card ?? {};
  if ([subtitle, image_url, buttons, default_action].every((part) => part === undefined)) {
    return 'An element must have a property besides its title';
  }
  if (subtitle !== undefined && !shorter(subtitle, MOST_CARD_TEXT))
    return 'The subtitle of an element must have 1 to 80 characters';
  if (image_url !== undefined && !isWebAddress(image_url)) return 'Param image_url must be a web address';
  return faultOfButtons(buttons);
}

function faultOfMedia(element: Record<string, unknown> | null): string | null {
  if (!['image', 'video'].includes(String(element?.['media_type']))) return 'Param media_type must be image or video';
  const given = [element?.['url'], element?.['attachment_id']].filter((part) => part !== undefined);
  if (given.length !== 1 || given[0] === '') return 'An element of a media template needs a url or an attachment_id';
  return faultOfButtons(element?.['buttons']);
}

export function faultOfButtons(buttons: unknown): string | null {
  if (buttons === undefined) return null;
  const list = records(buttons);
  if (list.length < 1 || list.length > MOST_BUTTONS) return 'There must be 1 to 3 buttons';
  return firstOf(list, (button) => {
    if (!shorter(button?.['title'], MOST.title)) return 'A button title must have 1 to 20 characters';
    if (button?.['type'] === 'postback') {
      return shorter(button['payload'], MOST.payload) ? null : 'A button payload must have 1 to 1000 characters';
    }
    if (button?.['type'] !== 'web_url') return 'A button must be of the type web_url or postback';
    return isWebAddress(button['url']) ? null : 'A web_url button needs a web address';
  });
}

function firstOf<T>(items: readonly T[], fault: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = fault(item);
    if (found !== null) return found;
  }
  return null;
}

function shorter(value: unknown, most: number): boolean {
  return typeof value === 'string' && value !== '' && value.length <= most;
}

function isWebAddress(value: unknown): boolean {
  return typeof value === 'string' && /^https?:\/\//i.test(value) && URL.canParse(value);
}
