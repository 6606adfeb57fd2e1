import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { builtFileOf, compare, comparisonTable, parseTuning } from "./comparison.ts";
import type { Figure } from "./figure.ts";
import { initialize, load, rewriteConstant } from "./tune-hook.js";

/** Each run is a few seconds on two cores that are idle; here other tests run beside them. */
const TIMEOUT_MS = 300_000;

const PLAN = "packages/broker/src/dispatch/batch-plan.ts";

test("arguments say what to vary, and what to measure", () => {
  const args = [`${PLAN}:WINDOW_BATCHES`, "1", "2.5", "--only", "latency", "--rounds", "5", "--quick"];
  expect(
    parseTuning([...args, "--only", "start", "--system", "Millrace, Redis", "--measure", "one"]),
  ).toEqual({
    file: PLAN,
    constant: "WINDOW_BATCHES",
    values: ["1", "2.5"],
    rounds: 5,
    isJson: false,
    benchFlags: [
      ...["--only", "latency", "--only", "start", "--system", "Millrace, Redis", "--measure", "one"],
      "--quick",
    ],
  });
  expect(builtFileOf(PLAN)).toBe("packages/broker/dist/dispatch/batch-plan.js");
});

test.each([
  {
    args: ["WINDOW_BATCHES", "1", "--only", "start"],
    error: /file of a constant and its name, got `WINDOW_BATCHES`/,
  },
  { args: [`${PLAN}:WINDOW_BATCHES`, "--only", "start"], error: /the values to compare, got none/ },
  { args: [`${PLAN}:WINDOW_BATCHES`, "1", "two", "--only", "start"], error: /numbers for values, got `two`/ },
  { args: [`${PLAN}:WINDOW_BATCHES`, "1"], error: /--only with a group/ },
  {
    args: [`${PLAN}:WINDOW_BATCHES`, "1", "--only", "start", "--rounds", "0"],
    error: /--rounds: .* got `0`/,
  },
])("arguments that are refused: $args", ({ args, error }) => {
  expect(() => parseTuning(args)).toThrow(error);
});

test("a constant at the top level is rewritten, exported or not, and nothing else is", () => {
  const source =
    "const FEW = 2;\nexport const MANY = 4 * FEW; // WHY\nfunction f() {\n  const INNER = 1;\n  return FEW;\n}\n";
  expect(rewriteConstant(source, "FEW", "3")).toEqual({
    source: source.replace("const FEW = 2;", "const FEW = 3;"),
    before: "2",
  });
  expect(rewriteConstant(source, "MANY", "1e3")).toEqual({
    source: source.replace("4 * FEW;", "1e3;"),
    before: "4 * FEW",
  });
  expect(() => rewriteConstant(source, "INNER", "3")).toThrow("Expected a `const INNER = …;`");
  expect(() => rewriteConstant(source, "MAN", "3")).toThrow("Expected a `const MAN = …;`");
});

test("the hooks rewrite the one file, and tell that it was loaded", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-tune-test-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const loadedFile = join(directory, "loaded");
  initialize({ url: "file:///a.js", constant: "FEW", value: "3", loadedFile });
  const nextLoad = async () => ({ source: Buffer.from("const FEW = 2;") });
  expect(await load("file:///b.js", {}, nextLoad)).toEqual(await nextLoad());
  await expect(readFile(loadedFile)).rejects.toThrow("ENOENT");
  expect(await load("file:///a.js", {}, nextLoad)).toEqual({ source: "const FEW = 3;" });
  expect(await readFile(loadedFile, "utf8")).toBe(`${process.pid}\n`);
});

test("figures are medians over the rounds, with the ratio to the peer of each run", () => {
  const figure = (system: string, value: number, at?: number): Figure => ({
    group: "throughput",
    measure: "no-ops",
    unit: "1/s",
    system,
    value,
    ...(at !== undefined && { at }),
  });
  const run = (value: string, peer: number, redis: number) => ({
    value,
    figures: [
      figure("piscina", 1),
      figure("BullMQ + piscina", peer),
      figure("Millrace, Redis", redis, undefined),
    ],
  });
  const runs = [run("1", 10, 20), run("64", 20, 20), run("1", 100, 500), run("64", 40, 80), run("1", 10, 40)];
  const comparisons = compare([
    ...runs,
    run("64", 10, 90),
    { value: "1", figures: [figure("Other", 7, 1_000)] },
  ]);
  expect(comparisons.find(({ system }) => system === "Millrace, Redis ÷ BullMQ + piscina")).toEqual({
    group: "throughput",
    measure: "no-ops",
    system: "Millrace, Redis ÷ BullMQ + piscina",
    unit: "",
    values: { 1: { value: 4, rounds: [2, 5, 4] }, 64: { value: 2, rounds: [1, 2, 9] } },
  });
  expect(comparisonTable({ constant: "FEW", values: ["1", "64"] }, "8 * 8", comparisons)).toEqual({
    title: "FEW, in the source 8 * 8",
    head: ["measure", "1", "64 (source)"],
    rows: [
      ["no-ops (1/s), piscina", "1", "1"],
      ["no-ops (1/s), BullMQ + piscina", "10", "20"],
      ["no-ops (1/s), Millrace, Redis", "40", "80"],
      ["no-ops, Millrace, Redis ÷ BullMQ + piscina", "4", "2"],
      ["no-ops at 1,000 (1/s), Other", "7", ""],
    ],
  });
});

test("threads of the flow's process and of worker processes have the value", {
  timeout: TIMEOUT_MS,
}, async () => {
  // Only threads load this file.
  const { stdout, stderr } = await tune(
    ...["packages/worker/src/in-thread/log-lines.ts:LOG_FLUSH_MS", "50", "100", "--only", "throughput"],
    ...["--system", "Millrace, embedded", "--system", "Millrace, Redis", "--measure", "chain"],
    ...["--quick", "--rounds", "1", "--json"],
  );
  const lines = stdout.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    ["Millrace, embedded", "Millrace, Redis"].map((system) => ({
      file: "packages/worker/src/in-thread/log-lines.ts",
      constant: "LOG_FLUSH_MS",
      inSource: "50",
      group: "throughput",
      measure: "chain of 500 tasks, tasks per second",
      system,
      unit: "1/s",
      values: { 50: expect.anything(), 100: expect.anything() },
    })),
  );
  expect(stderr.match(/LOG_FLUSH_MS = .*/g)).toEqual([
    "LOG_FLUSH_MS = 50; processes that had it: 2",
    "LOG_FLUSH_MS = 100; processes that had it: 2",
  ]);
});

test.each([
  ["a file that is not there", "packages/worker/src/nothing.ts:FAREWELL_MS", /nothing\.js cannot be read/],
  [
    "a constant that is not there",
    "packages/worker/src/process/worker-process-entry.ts:NOTHING",
    /`const NOTHING = …;`/,
  ],
  [
    "a file that no process loaded",
    "packages/worker/src/process/worker-process-entry.ts:FAREWELL_MS",
    /no process of them did/,
  ],
])("%s is refused", { timeout: TIMEOUT_MS }, async (_, what, error) => {
  await expect(tune(what, "1", "--only", "engine", "--quick")).rejects.toThrow(error);
});

test("a measure that no group has is refused", { timeout: TIMEOUT_MS }, async () => {
  const what = [`${PLAN}:WINDOW_BATCHES`, "2", "--only", "engine", "--quick", "--rounds", "1"];
  await expect(tune(...what, "--measure", "nothing")).rejects.toThrow("Expected figures, got none");
});

function tune(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const main = fileURLToPath(new URL("tune.ts", import.meta.url));
  return promisify(execFile)(process.execPath, ["--import", "tsx", main, ...args]);
}
