/** What the rows of a campaign say: most of them its template, and those for people outside their window its registered one. */
import { compileTemplate, type Message, type Template } from './template.js';

export interface CampaignContent {
  /** @param values of the campaign's own template, in its order; the registered one takes those it has by their names */
  render(values: readonly string[], outside: boolean): Message;
}

export function campaignContent({
  template,
  outside,
}: {
  template: Template;
  outside: Template | null;
}): CampaignContent {
  const own = compileTemplate(template);
  if (outside === null) return { render: (values) => own.render(values) };
  const registered = compileTemplate(outside);
  const places = registered.variables.map(({ name }) => own.variables.findIndex((variable) => variable.name === name));
  return {
    render: (values, isOutside) =>
      isOutside ? registered.render(places.map((place) => values[place] ?? '')) : own.render(values),
  };
}
