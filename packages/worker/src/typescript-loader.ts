import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TYPESCRIPT = /\.[cm]?tsx?$/;

let isRegistered = false;
let startedWith: string | undefined;

/** Names the package.json of the tsx that the flow's process was started with. */
export function useTsx(manifest: string | undefined): void {
  startedWith = manifest;
}

/**
 * Makes the import of a TypeScript module possible in this thread. Loader hooks are not inherited by threads on
 * Node 20, so each registers tsx for itself: both of its hooks, since a CommonJS project needs the other one. It costs
 * 110 to 150 ms, so threads of JavaScript projects do without.
 */
export async function prepareTypeScript(moduleUrl: string): Promise<void> {
  if (isRegistered || !TYPESCRIPT.test(moduleUrl)) return;
  isRegistered = true;
  const require = requireTsx([startedWith, fileURLToPath(moduleUrl), import.meta.url]);
  (require("tsx/cjs/api") as { register(): void }).register();
  (require("tsx/esm/api") as { register(): void }).register();
}

/** A `require` that finds tsx from the first place that has it: the flow's own, the user's project's, else ours. */
function requireTsx(places: readonly (string | undefined)[]): NodeJS.Require {
  for (const place of places) {
    if (place === undefined) continue;
    const require = createRequire(place);
    try {
      require.resolve("tsx/esm/api");
      return require;
    } catch {
      // Not there: the next place.
    }
  }
  return createRequire(import.meta.url);
}

/** The tsx that a process was started with: `npx tsx` leaves `--import file:///…/tsx/dist/loader.mjs` in its arguments. */
export function tsxOf(execArgv: readonly string[]): string | undefined {
  for (const argument of execArgv) {
    const file = /(?:^|=)((?:file:\/\/)?\/.*[\\/]tsx[\\/]dist[\\/].*)$/.exec(argument)?.[1];
    if (file === undefined) continue;
    const manifest = join(dirname(file.startsWith("file:") ? fileURLToPath(file) : file), "..", "package.json");
    if (existsSync(manifest)) return manifest;
  }
  return undefined;
}

/**
 * The Node arguments that threads and worker processes inherit: all but tsx, which would cost every one of them its
 * loading time, whether or not it runs TypeScript.
 */
export function withoutTsx(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < execArgv.length; index++) {
    const argument = execArgv[index] as string;
    const isFlag = /^(--import|--require|-r|--loader|--experimental-loader)$/.test(argument);
    const value = isFlag ? (execArgv[index + 1] ?? "") : argument;
    if (isFlag) index++;
    if (/(^|[\\/=])tsx([\\/]|$)/.test(value)) continue;
    if (isFlag) kept.push(argument, value);
    else kept.push(argument);
  }
  return kept;
}
