/**
 * What a constant does: runs benchmarks with several values of it, in every process and thread, and compares. The values take
 * turns in each round, so that what else the machine does hits all alike.
 *
 *     npm run bench:tune -- packages/broker/src/dispatch/batch-plan.ts:WINDOW_BATCHES 1 2 4 --only throughput
 *     --system <name>, --measure <start>, --quick   as in main.ts: what to measure
 *     --rounds <n>                                  how often with each value; 3 unless told
 *     --json                                        a line for each figure
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { builtFileOf, compare, comparisonTable, parseTuning, type Run } from "./comparison.ts";
import { type Figure, parseReport } from "./figure.ts";
import { asText } from "./table.ts";
import { type Override, rewriteConstant } from "./tune-hook.js";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const HOOK = new URL("tune-hook.js", import.meta.url).href;

const { file, constant, values, rounds, isJson, benchFlags } = parseTuning(process.argv.slice(2));
const builtFile = new URL(`../${builtFileOf(file)}`, import.meta.url);
const inSource = await readConstant();
const directory = await mkdtemp(join(tmpdir(), "millrace-tune-"));
try {
  const runs: Run[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const value of values) {
      const loadedFile = join(directory, String(runs.length));
      const figures = await bench({ url: builtFile.href, constant, value, loadedFile });
      const processes = await processesIn(loadedFile);
      console.error(`round ${round + 1}: ${constant} = ${value}; processes that had it: ${processes}`);
      runs.push({ value, figures });
    }
  }
  const comparisons = compare(runs);
  if (comparisons.length === 0) throw new Error("Expected figures, got none: see --system and --measure.");
  if (!isJson) console.log(`\n${asText(comparisonTable({ constant, values }, inSource, comparisons))}`);
  else for (const each of comparisons) console.log(JSON.stringify({ file, constant, inSource, ...each }));
} finally {
  await rm(directory, { recursive: true, force: true });
}

/** What the constant is now. @throws Error when there is no such file or constant */
async function readConstant(): Promise<string> {
  const source = await readFile(builtFile, "utf8").catch((cause: unknown) => {
    throw new Error(
      `Expected ${file} to be a source that has been built; ${builtFileOf(file)} cannot be read.`,
      {
        cause,
      },
    );
  });
  try {
    return rewriteConstant(source, constant, "0").before;
  } catch (cause) {
    throw new Error(`${builtFileOf(file)}: ${(cause as Error).message}`, { cause });
  }
}

/** One run of the benchmarks. Child processes and threads inherit the environment, and with it the hooks. */
async function bench(override: Override): Promise<readonly Figure[]> {
  const program = `import { register } from "node:module"; register(${JSON.stringify(HOOK)}, { data: ${JSON.stringify(override)} });`;
  const hooks = `--import=data:text/javascript,${encodeURIComponent(program)}`;
  const NODE_OPTIONS = [process.env.NODE_OPTIONS, hooks].filter(Boolean).join(" ");
  const args = ["--import", "tsx", MAIN, "--json", "--rounds", "1", ...benchFlags];
  const running = promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_OPTIONS } });
  running.child.stderr?.pipe(process.stderr);
  return parseReport((await running).stdout).figures;
}

/** How many processes had the value. */
async function processesIn(loadedFile: string): Promise<number> {
  const loaded = await readFile(loadedFile, "utf8").catch(() => {
    throw new Error(`Expected these benchmarks to load ${builtFileOf(file)}; no process of them did.`);
  });
  return new Set(loaded.trim().split("\n")).size;
}
