/** Asks the platform, right before anything is sent, whether registered templates may still be used: one may be paused any day. */
import type { DeliveryError } from '../core/delivery.js';
import type { Template } from '../core/template.js';
import type { Provider } from '../ports.js';

/**
 * What the platform now has against a registered template of these; null when it has nothing, or cannot be asked: then its
 * answer to the first message tells.
 */
export async function registeredRefusal(
  provider: Provider,
  templates: readonly (Template | null)[],
): Promise<DeliveryError | null> {
  for (const template of templates) {
    const registration = template?.kind === 'registered' ? template.registration : undefined;
    if (!template || !registration || !provider.templates) continue;
    const read = await provider.templates(registration.name);
    if (read.kind === 'failed') continue;
    const there = read.templates.find(
      ({ name, language }) => name === registration.name && language === template.language,
    );
    if (there === undefined || there.status === 'APPROVED') continue;
    return {
      code: 'TEMPLATE_NOT_APPROVED',
      message: `The registered template ${template.name} (${template.language}) is ${there.status} at the platform by now.`,
    };
  }
  return null;
}
