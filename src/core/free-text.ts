/** Free text, which goes the way of a template's message. */
import type { Channel, Template } from './template.js';

/** ISO 639-2: undetermined. Nobody says in which language they write. */
const NO_LANGUAGE = 'und';

/** A template whose only variable is the whole text, so that braces in it stay what they are. */
export function freeTextTemplate(channel: Channel): Template {
  return {
    name: 'free_text',
    language: NO_LANGUAGE,
    channels: [channel],
    kind: 'session',
    body: '{{text}}',
    buttons: [],
    quickReplies: [],
    variables: [{ name: 'text', example: 'Hello' }],
  };
}
