/**
 * Puts content between the markers of a section of a page: `<!-- bench:name -->` and `<!-- /bench:name -->`.
 *
 * @throws Error when the page has no such section
 */
export function replaceSection(page: string, name: string, content: string): string {
  const start = `<!-- bench:${name} -->`;
  const end = `<!-- /bench:${name} -->`;
  const from = page.indexOf(start);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`Expected the page to hold ${start} and then ${end}.`);
  return `${page.slice(0, from + start.length)}\n${content}\n${page.slice(to)}`;
}
