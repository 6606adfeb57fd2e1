import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

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
  if (startedWith === undefined && stripsTypes()) return; // The flow's process loads TypeScript with Node alone, too.
  const manifest = findTsx([startedWith, fileURLToPath(moduleUrl), import.meta.url]);
  const { exports } = JSON.parse(readFileSync(manifest, "utf8")) as TsxManifest;
  for (const hook of ["./cjs/api", "./esm/api"] as const) {
    // By its ESM file: the CommonJS one of esm/api looks for its parts in the wrong place (tsx 4.23).
    const file = join(dirname(manifest), exports[hook].import.default);
    ((await import(pathToFileURL(file).href)) as { register(): void }).register();
  }
}

interface TsxManifest {
  readonly exports: Record<"./cjs/api" | "./esm/api", { readonly import: { readonly default: string } }>;
}

/** Node 22.18 and newer load TypeScript themselves, as far as it is only JavaScript with types. */
function stripsTypes(): boolean {
  return Boolean((process.features as { typescript?: unknown }).typescript);
}

/** The package.json of tsx, from the first place that has it: the flow's own, the user's project, else ours. */
function findTsx(places: readonly (string | undefined)[]): string {
  for (const place of places) {
    if (place === undefined) continue;
    try {
      return createRequire(place).resolve("tsx/package.json");
    } catch {
      // Not there: the next place.
    }
  }
  throw new Error(
    "tsx, a dependency of @millrace/worker, is not installed: reinstall the project's dependencies",
  );
}

/** The tsx that a process was started with: `npx tsx` leaves `--import file:///…/tsx/dist/loader.mjs` in its arguments. */
export function tsxOf(execArgv: readonly string[]): string | undefined {
  for (const argument of execArgv) {
    const file = /(?:^|=)((?:file:\/\/)?\/.*[\\/]tsx[\\/]dist[\\/].*)$/.exec(argument)?.[1];
    if (file === undefined) continue;
    const manifest = join(
      dirname(file.startsWith("file:") ? fileURLToPath(file) : file),
      "..",
      "package.json",
    );
    if (existsSync(manifest)) return manifest;
  }
  return undefined;
}

/**
 * The Node arguments that worker processes inherit: all but tsx, whose loading would cost each of them 0.1 s or more,
 * and but the program of `node --eval`, which they would run, each starting workers of its own.
 */
export function processArguments(execArgv: readonly string[]): string[] {
  return withValues(execArgv)
    .filter((argument) => !namesTsx(argument) && !PROGRAM.test(argument[0] as string))
    .flat();
}

/**
 * The Node arguments of threads, undefined when they can inherit those of the process. When tsx is among these, the
 * others must be given one by one, and of those only what concerns the loading of modules: the rest holds for the
 * whole process, and a thread refuses it.
 */
export function threadArguments(execArgv: readonly string[]): string[] | undefined {
  const all = withValues(execArgv);
  if (!all.some(namesTsx)) return undefined;
  return all.filter((argument) => !namesTsx(argument) && FOR_THREADS.test(argument[0] as string)).flat();
}

const PROGRAM = /^(--eval|-e|--print|-p|-pe|--input-type)(=|$)/;
const LOADS = /^(--import|--require|-r|--loader|--experimental-loader)(=|$)/;
const FOR_THREADS =
  /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--enable-source-maps|--preserve-symlinks|--no-warnings|--no-deprecation)(=|$)/;

const WITH_VALUE =
  /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--eval|-e|--print|-p|-pe|--input-type)$/;

/** An argument of Node, with its value when that is an argument of its own. */
type Argument = readonly string[];

function withValues(execArgv: readonly string[]): Argument[] {
  const list: Argument[] = [];
  for (let index = 0; index < execArgv.length; index++) {
    const hasValue = WITH_VALUE.test(execArgv[index] as string);
    list.push(execArgv.slice(index, hasValue ? ++index + 1 : index + 1));
  }
  return list;
}

/** Does it load tsx: by its bare name, or a file of it by path or URL? */
function namesTsx([name = "", value = name.replace(/^[^=]*=/, "")]: Argument): boolean {
  return LOADS.test(name) && /^tsx(\/|$)|[\\/]tsx[\\/]dist[\\/]/.test(value);
}
