import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

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

/** Replaces sections of a page of this repository. */
export async function rewritePage(page: string, sections: Readonly<Record<string, string>>): Promise<void> {
  const path = fileURLToPath(new URL(`../${page}`, import.meta.url));
  let text = await readFile(path, "utf8");
  for (const [name, content] of Object.entries(sections)) text = replaceSection(text, name, content);
  await writeFile(path, text);
}
