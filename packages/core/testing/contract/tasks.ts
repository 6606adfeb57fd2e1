/**
 * Tasks of the contract that every task runner keeps, as contract-tasks.ts. What a test must know of runs that it cannot
 * ask is left in files: a worker shares no memory with the test.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Cancelled,
  Completed,
  concurrency,
  Failed,
  type Flow,
  flow,
  getRunContext,
  rateLimit,
  SequentialTaskRunner,
  tags,
  task,
  taskInputHash,
} from "@millrace/core";

/** Adds a run to those that the file counts. */
function count(file: string): number {
  appendFileSync(file, "x");
  return readFileSync(file).length;
}

async function untilExists(file: string): Promise<void> {
  while (!existsSync(file)) await sleep(2);
}

export const add = task({ name: "add" }, (a: number, b: number) => a + b);

export const fail = task({ name: "fail" }, (message: string): number => {
  throw new Error(message);
});

/** Gives how often it has run with this file. */
export const counted = task({ name: "counted" }, (file: string, _label?: unknown) => count(file));

/** Fails in its first runs with this file. */
export const failFirst = task({ name: "fail-first" }, (file: string, failures: number) => {
  const run = count(file);
  if (run <= failures) throw new Error(`run ${run} failed`);
  return run;
});

/** Runs until the file `<name>.open` is there; says with `<name>.started` that it does. */
export const hold = task({ name: "hold" }, async (name: string) => {
  writeFileSync(`${name}.started`, "");
  await untilExists(`${name}.open`);
  return name;
});

/** Runs until its signal fires; leaves the reason in `<name>.reason`. */
export const heed = task({ name: "heed" }, async (name: string) => {
  const { signal } = getRunContext();
  count(`${name}.runs`);
  writeFileSync(`${name}.started`, "");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  writeFileSync(`${name}.reason`, (signal.reason as Error).name);
});

/** Computes for ever: no event loop ever hears of anything. */
export const busy = task({ name: "busy" }, (name: string) => {
  writeFileSync(`${name}.started`, "");
  for (;;);
});

export const ownTimeout = task({ name: "own-timeout" }, () => {
  throw new DOMException("the server did not answer", "TimeoutError");
});

// ---- Caching -----------------------------------------------------------------------------------------------------

export const cachedByName = task(
  { name: "cached-by-name", cacheKeyFn: (_, [file, key]) => key && `${file} ${key}` },
  async (file: string, _key: string | undefined, value?: unknown) => {
    const runs = count(file);
    await sleep(5); // Equal calls meet.
    return value === undefined ? runs : value;
  },
);

export const cachedByInput = task(
  { name: "cached-by-input", cacheKeyFn: taskInputHash },
  (file: string, _value: unknown) => count(file),
);

export const cachedFailure = task(
  { name: "cached-failure", cacheKeyFn: (_, [file]) => file },
  (file: string) => {
    if (count(file) < 3) throw new Error("not yet");
    return "at last";
  },
);

export const callCached = task({ name: "call-cached" }, (file: string, key: string) =>
  cachedByName(file, key),
);

// ---- Limits ------------------------------------------------------------------------------------------------------

/** Leaves a line when it begins and one when it ends. */
async function occupy(file: string, label: string): Promise<void> {
  appendFileSync(file, `+${label}\n`);
  await sleep(3);
  appendFileSync(file, `-${label}\n`);
}

export const limited = task({ name: "limited", tags: ["db"] }, (file: string, label: string) =>
  occupy(file, label),
);

export const limitedFailing = task({ name: "limited-failing", tags: ["db"] }, () => {
  throw new Error("in the slot");
});

export const limitedDying = task({ name: "limited-dying", tags: ["db"], crashRetries: 0 }, () => {
  process.exit(3);
});

export const limitedHeed = task({ name: "limited-heed", tags: ["db"] }, (name: string) => heed(name));

/** Holds a slot, and calls a task that needs one of the same. */
export const limitedNesting = task({ name: "limited-nesting", tags: ["db"] }, (file: string) =>
  limited(file, "inner"),
);

export const nestingLimited = task({ name: "nesting-limited" }, (file: string, labels: string[]) =>
  limited
    .map(
      labels.map(() => file),
      labels,
    )
    .results(),
);

export const inConcurrency = task({ name: "in-concurrency" }, (file: string, label: string) =>
  concurrency("db", () => occupy(file, label)),
);

export const inConcurrencyFailing = task({ name: "in-concurrency-failing" }, () =>
  concurrency("db", () => {
    throw new Error("in the slot");
  }),
);

export const passRate = task({ name: "pass-rate" }, () => rateLimit("api"));

export const cachedLimited = cachedByName.withOptions({ tags: ["db"] });

// ---- Tasks and flows inside tasks --------------------------------------------------------------------------------

export const deep = task(
  { name: "deep" },
  async (depth: number): Promise<number> => (depth === 0 ? 0 : 1 + (await deep(depth - 1))),
);

/** Each waits until the other has started: they must run at the same time. */
export const meet = task({ name: "meet" }, async (own: string, other: string) => {
  writeFileSync(own, "");
  await untilExists(other);
});

export const meetInside = task({ name: "meet-inside" }, async (one: string, other: string) => {
  await Promise.all([meet.submit(one, other), meet.submit(other, one)]);
  return "met";
});

export const addMany = task({ name: "add-many" }, async (to: number) => {
  const numbers = Array.from({ length: to }, (_, n) => n);
  return (await add.map(numbers, numbers).results()).reduce((a, b) => a + b, 0);
});

export const contextInside = task({ name: "context-inside" }, () =>
  tags("of-scope", async () => {
    const { taskRunId, tags: own } = getRunContext();
    const inner = await contextOf();
    return { outer: { taskRunId, tags: own }, inner };
  }),
);

export const contextOf = task({ name: "context-of", tags: ["of-task"] }, () => getRunContext());

export const statesInside = task({ name: "states-inside" }, async (file: string) => {
  const failed = fail.submit("inside");
  const behind = add.submit(failed, 1);
  const retried = failFirst.withOptions({ retries: 2 }).submit(file, 2);
  const states = await Promise.all([failed.wait(), behind.wait(), retried.wait()]);
  return states.map((state) => `${state?.type} ${state?.name}`);
});

export const heedInside = task({ name: "heed-inside" }, async (name: string) => {
  await heed(name);
});

export const failInside = task({ name: "fail-inside" }, () => fail("deep inside"));

const inner: Flow<{ file: string }, number> = flow(
  { name: "inner", taskRunner: new SequentialTaskRunner() },
  async ({ file }: { file: string }) => (await counted(file)) + (await add(10, 20)),
);

export const flowInside = task({ name: "flow-inside" }, (file: string) => inner({ file }));

// ---- What a return value makes of a run --------------------------------------------------------------------------

export const returning = task({ name: "returning" }, async (what: ReturnKind) => RETURNS[what]());

const RETURNS = {
  nothing: () => void fail.submit("unseen"),
  completed: () => Completed({ message: "by hand", data: 7, name: "Done" }),
  failed: () => Failed({ message: "no rows" }),
  cancelled: () => Cancelled({ message: "holiday" }),
  futures: () => [add.submit(1, 1), add.submit(2, 2)],
  failedFutures: () => [add.submit(1, 1), fail.submit("one of them")],
  nested: () => ({ rows: new Map([["sum", add.submit(1, 1)]]) }),
  states: async () => [await fail.submit("seen").wait(), "and a word"].length,
  exception: () => {
    add.submit(1, 1);
    throw new RangeError("wins");
  },
};

export type ReturnKind = keyof typeof RETURNS;

/** What a task gets for a failure that is let pass. */
export const describeInput = task({ name: "describe-input" }, (input: unknown) =>
  String(input).replace(":", ""),
);
