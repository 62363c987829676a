/** What a sending identity is known by, whatever it is called in a configuration. */
import { CHANNELS, type Channel } from './template.js';

/**
 * Windows, opt-outs, pace and the memory of what was sent belong to the Page, the Instagram account or the number, not to
 * the name that a configuration gives it: two names for one Page share all of them, and a name that is given to another
 * Page takes none of them along. What happens in a sandbox stays there.
 */
export function senderKey(sender: { provider: string; channel: Channel; id: string }): string {
  return `${sender.provider === 'sandbox' ? 'sandbox:' : ''}${sender.channel}/${sender.id}`;
}

/** The channel of the account that a key names. */
export function channelOf(key: string): Channel {
  const channel = CHANNELS.find((one) => key.replace(/^sandbox:/, '').startsWith(`${one}/`));
  if (channel === undefined) throw new Error(`No channel in ${key}`);
  return channel;
}
