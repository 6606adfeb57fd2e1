import { InvalidOptionError } from "../errors/errors.ts";
import { text } from "./options.ts";

/**
 * Fills a template such as `load {month}`: each pair of braces holds a path into the values, such as `month`,
 * `rows.0.id`, or `0` for a task's first argument.
 *
 * @param option the option that the template came from, for the error
 * @throws InvalidOptionError when a path leads nowhere
 */
export function fillTemplate(option: string, template: string, values: unknown): string {
  return template.replaceAll(/\{([^{}]*)\}/g, (_, path: string) => {
    const value = path
      .split(".")
      .reduce<unknown>((part, key) => (Object(part) as Record<string, unknown>)[key], values);
    if (value === undefined) {
      const known = Object.keys(Object(values)).map((key) => `{${key}}`);
      const expected = `a template whose names are in what the run was called with (${known.join(", ") || "nothing"})`;
      throw new InvalidOptionError(option, expected, template);
    }
    return String(value);
  });
}

const ADJECTIVES =
  "amber brisk calm clear dapper eager fleet fond gentle glad grand keen kind lively lucid mellow merry neat nimble noble plain proud quick quiet rapid ready rustic sage shy silver sleek sly snug solid spry stout sunny swift tidy true vivid warm wise witty young zesty".split(
    " ",
  ); // prettier-ignore
const NOUNS =
  "alder badger beaver birch bison brook cedar crane curlew dipper eel egret elm falcon fern finch fox hare hawk hazel heron ibex iris kestrel lark lynx maple marten mink moss newt oak osprey otter owl perch pike plover reed robin sedge shrew stoat swan teal thrush trout vole willow wren".split(
    " ",
  );

/** Two words that a person can remember: the name of a flow run that has no other. @param random uniform in [0, 1) */
export function randomName(random: () => number): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] as string;
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}`;
}

/** What a function gave for a name. @throws InvalidOptionError unless it is one */
export function checkedName(option: string, name: unknown): string {
  if (text.accepts(name)) return name as string;
  throw new InvalidOptionError(`what ${option} gives`, text.expected, name);
}
