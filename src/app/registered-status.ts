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
    if (there?.status === 'APPROVED') continue;
    const what = `The registered template ${template.name} (${template.language})`;
    const others = read.templates.filter(({ name }) => name === registration.name).map(({ language }) => language);
    return {
      code: 'TEMPLATE_NOT_APPROVED',
      message: there
        ? `${what} is ${there.status} at the platform by now.`
        : `${what} is not known to the platform${others.length === 0 ? '' : `, which has it in ${shown(others)}`}.`,
    };
  }
  return null;
}

const MOST_SHOWN = 5;

/** Languages as the platform writes them. */
function shown(languages: readonly string[]): string {
  const some = languages.slice(0, MOST_SHOWN).map((language) => language.slice(0, 20));
  return `${some.join(', ')}${languages.length > some.length ? ', …' : ''}`;
}
