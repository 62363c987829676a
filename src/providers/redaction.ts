/** What of a message, and of what a service says about it, may be shown to others than its recipient: nothing of it. */
import type { OutgoingMessage } from '../ports.js';

/** What may not be shown of one message: whose it is and what it says. */
export interface PrivateParts {
  userId: string;
  texts: readonly string[];
}

/** Everything of a message that its recipient alone should read. */
export function privateParts({ userId, message, metadata }: OutgoingMessage): PrivateParts {
  const { header, text, media, cards = [], buttons, quickReplies, registered, cams } = message;
  const texts = [header, text, media?.url, metadata];
  for (const card of cards) texts.push(card.title, card.subtitle, card.image);
  for (const button of [...buttons, ...cards.flatMap((card) => card.buttons)]) {
    texts.push(button.title, button.type === 'web_url' ? button.url : button.payload);
  }
  for (const { title, payload } of quickReplies) texts.push(title, payload);
  for (const value of [...(registered?.header ?? []), ...(registered?.parameters ?? [])]) texts.push(value.text);
  for (const button of registered?.buttons ?? []) texts.push(button.type === 'URL' ? button.url : button.payload);
  texts.push(...Object.values(cams?.parameters ?? {}));
  return { userId, texts: texts.filter((each) => each !== undefined) };
}

/** @param people whoever the words may be about: the one recipient, or all of a batch */
export type Redactor = (words: string, ...people: PrivateParts[]) => string;

const SHOWN_LENGTH = 300;

/**
 * Makes a platform's own words fit to be shown and logged: no secret, no user id beyond its last four digits, nothing of
 * the message, no control characters (they could rewrite a terminal), and not too long.
 * @param secrets tokens and the like, in every form in which they go on the wire
 */
export function createRedactor(secrets: readonly string[]): Redactor {
  const hidden = secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]).filter((secret) => secret !== '');
  return (words, ...people) => {
    let shown = words;
    for (const secret of hidden) shown = shown.replaceAll(secret, '[secret]');
    // Longest first: a text may hold another one.
    const texts = people.flatMap((parts) => parts.texts).sort((one, other) => other.length - one.length);
    for (const text of texts) {
      // A text of one or two characters says nothing about anybody, and taking it out would leave the words unreadable.
      if (text.length > 2) shown = shown.replaceAll(text, '[text]');
    }
    for (const { userId } of people) if (userId !== '') shown = shown.replaceAll(userId, maskId(userId));
    return (
      shown
        // Meta's tokens begin with EAA (Facebook) or IGA (Instagram login); one that is not ours is no less a secret.
        .replace(/\b(?:EAA|IGA)[A-Za-z0-9_-]{16,}/g, '[secret]')
        .replace(/\d{10,}/g, maskId)
        .replace(/[\p{Cc}\p{Cf}\p{Cs}]+/gu, ' ')
        .slice(0, SHOWN_LENGTH)
    );
  };
}

function maskId(id: string): string {
  return id.length > 4 ? `…${id.slice(-4)}` : '…';
}
