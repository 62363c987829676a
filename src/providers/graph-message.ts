/**
 * A message as the Send API takes it (reference/send-api, May 2026; the pages on templates, April 2026; utility-messages, 13
 * March 2026).
 */
import type { Button, Message, Parameter } from '../core/template.js';
import type { OutgoingMessage } from '../ports.js';

/** Whose login the token of an account comes from: it decides which host takes its messages. */
export type Login = 'facebook' | 'instagram';

/** Names and values as they stand in a JSON body; in a form, the values that are no texts are JSON. */
export type SendBody = Record<string, string | object>;

/** @returns null for a message that the API has no form for */
export function sendBody({ userId, message, metadata, isReply }: OutgoingMessage, login: Login): SendBody | null {
  const content = message.registered ? registeredContent(message.registered) : sessionContent(message);
  if (content === null) return null;
  // Always a string: as a number, an id of 17 digits would lose its last one.
  const recipient = { id: userId };
  // Meta's samples for graph.instagram.com show nothing else, and Graph refuses a message with a key that it does not know.
  if (login === 'instagram') return { recipient, message: content };
  return { recipient, messaging_type: messagingType(message, isReply), message: { ...content, metadata } };
}

/** UPDATE is "proactive, inside the window"; only UTILITY may go out when the window is shut. */
function messagingType({ registered }: Message, isReply: boolean): string {
  if (registered) return 'UTILITY';
  return isReply ? 'RESPONSE' : 'UPDATE';
}

function registeredContent(template: NonNullable<Message['registered']>): object {
  const { name, language, header, parameters, buttons } = template;
  const components = [
    { type: 'header', parameters: header.map(textParameter) },
    { type: 'body', parameters: parameters.map(textParameter) },
    { type: 'buttons', parameters: buttons },
  ].filter((component) => component.parameters.length > 0);
  return { template: { name, language: { code: language }, ...(components.length > 0 && { components }) } };
}

function textParameter({ name, text }: Parameter): object {
  return { type: 'text', ...(name !== null && { parameter_name: name }), text };
}

function sessionContent({ text, media, cards, buttons, quickReplies }: Message): object | null {
  if ([text, media, cards].filter((part) => part !== undefined).length !== 1) return null;
  let content: object | null;
  if (text !== undefined) {
    content = buttons.length === 0 ? { text } : template('button', { text, buttons });
  } else if (media) {
    content = mediaContent(media, buttons);
  } else {
    content = buttons.length === 0 ? template('generic', { elements: (cards ?? []).map(cardElement) }) : null;
  }
  if (content === null || quickReplies.length === 0) return content;
  return {
    ...content,
    quick_replies: quickReplies.map(({ title, payload }) => ({ content_type: 'text', title, payload })),
  };
}

/** Only pictures and videos can carry buttons: as a media template, which has one element. */
function mediaContent({ type, url }: NonNullable<Message['media']>, buttons: readonly Button[]): object | null {
  if (buttons.length === 0) return { attachment: { type, payload: { url } } };
  if (type !== 'image' && type !== 'video') return null;
  return template('media', { elements: [{ media_type: type, url, buttons }] });
}

function cardElement({ title, subtitle, image, buttons }: NonNullable<Message['cards']>[number]): object {
  return {
    title,
    ...(subtitle !== undefined && { subtitle }),
    ...(image !== undefined && { image_url: image }),
    ...(buttons.length > 0 && { buttons }),
  };
}

function template(template_type: 'button' | 'generic' | 'media', parts: object): object {
  return { attachment: { type: 'template', payload: { template_type, ...parts } } };
}
