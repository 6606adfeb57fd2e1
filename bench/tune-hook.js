/**
 * Module hooks that give a constant of a built file another value where the file is loaded: see tune.ts. JavaScript,
 * since every process and thread of a measure loads it.
 */
import { appendFileSync } from "node:fs";

let override;

export function initialize(told) {
  override = told;
}

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context);
  if (url !== override.url) return loaded;
  appendFileSync(override.loadedFile, `${process.pid}\n`);
  const { source } = rewriteConstant(
    Buffer.from(loaded.source).toString(),
    override.constant,
    override.value,
  );
  return { ...loaded, source };
}

/**
 * Gives a constant at the top level of a module another value.
 *
 * @throws Error when the module has no such constant
 */
export function rewriteConstant(source, constant, value) {
  const declaration = new RegExp(`^((?:export )?const ${constant} = )([^;]+);`, "m");
  const before = declaration.exec(source)?.[2];
  if (before === undefined)
    throw new Error(`Expected a \`const ${constant} = …;\` at the top level; got none.`);
  return { source: source.replace(declaration, (_, start) => `${start}${value};`), before };
}
