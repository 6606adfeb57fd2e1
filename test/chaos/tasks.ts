/** The tasks of the chaos suite. Workers import this module, so it defines tasks and does nothing else. */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import { getRunContext, type TaskRunInfo, task } from "millrace";
import { type Death, noteDeath } from "./deaths.ts";
import { nodeValue } from "./graphs.ts";
import { JOURNAL_VARIABLE, noteExecution } from "./journal.ts";

const journals = () => process.env[JOURNAL_VARIABLE] as string;

/** The function, and a line in the journal before it begins and when it has ended, however it did. */
function journaled<Args extends unknown[], R>(body: (...args: Args) => R): (...args: Args) => R {
  return (...args) => {
    const { taskRunId, attempt } = getRunContext();
    const end = noteExecution(journals(), taskRunId as string, attempt, `${process.pid}/${threadId}`);
    let result: R;
    try {
      result = body(...args);
    } catch (error) {
      end();
      throw error;
    }
    if (result instanceof Promise) return result.finally(end) as R;
    end();
    return result;
  };
}

// ---- Numbers -----------------------------------------------------------------------------------------------------

export const square = task(
  { name: "square" },
  journaled((n: number, effortMs: number) => {
    const until = performance.now() + effortMs;
    while (performance.now() < until);
    return n * n;
  }),
);

export const plus = task(
  { name: "plus" },
  journaled((a: number, b: number) => a + b),
);

const nodeOf = (fails: boolean, effortMs: number, inputs: readonly number[]) => {
  const until = performance.now() + effortMs;
  while (performance.now() < until);
  if (fails) throw new RangeError("a node that fails");
  return nodeValue(inputs);
};

export const node = task({ name: "node" }, journaled(nodeOf));

export const nodeLater = task(
  { name: "nodeLater" },
  journaled(async (...args: Parameters<typeof nodeOf>) => {
    await sleep(1);
    return nodeOf(...args);
  }),
);

export const nap = task(
  { name: "nap" },
  journaled(async (ms: number, value: number) => {
    await sleep(ms, undefined, { signal: getRunContext().signal });
    return value;
  }),
);

// ---- Failures ----------------------------------------------------------------------------------------------------

export const flaky = task(
  { name: "flaky", retries: 3, retryDelaySeconds: 0.05 },
  journaled((failures: number, value: number) => {
    if (getRunContext().attempt <= failures) throw new RangeError(`not before attempt ${failures + 1}`);
    return value;
  }),
);

export const endless = task(
  { name: "endless", timeoutSeconds: 0.5 },
  journaled((): number => {
    noteDeath(journals(), "endless", process.pid, threadId);
    for (;;);
  }),
);

export type Deadly = Exclude<Death, "endless">;

/** Ends its thread or its process the first time: what is in the mark's file tells it that it has. */
export const deadly = task(
  { name: "deadly" },
  journaled((how: Deadly, mark: string, value: number) => {
    try {
      writeFileSync(mark, "", { flag: "wx" });
    } catch {
      return value;
    }
    return die(how);
  }),
);

/** Ends its thread each time. */
export const poison = task(
  { name: "poison", crashRetries: 1 },
  journaled((how: Deadly) => die(how)),
);

function die(how: Deadly): never {
  noteDeath(journals(), how, process.pid, threadId);
  if (how === "exit") process.exit(3);
  // A thread cannot call process.abort(); a library that it uses can.
  if (how === "abort") process.kill(process.pid, "SIGABRT");
  const hoard: unknown[] = [];
  for (;;) hoard.push(new Array(100_000).fill(hoard.length));
}

// ---- Calls in calls ----------------------------------------------------------------------------------------------

export const fibonacci = task(
  { name: "fibonacci" },
  journaled(async (n: number): Promise<number> => {
    if (n < 2) return n;
    return await plus(fibonacci.submit(n - 1), fibonacci.submit(n - 2));
  }),
);

// ---- The cache ---------------------------------------------------------------------------------------------------

/** Long enough to be found by other flows, and gone before the end of the suite looks for keys that are left. */
export const CACHE_SECONDS = 20;

export const remembered = task(
  {
    name: "remembered",
    cacheKeyFn: (_: TaskRunInfo, [n]: readonly unknown[]) => `remembered ${n}`,
    cacheExpirationSeconds: CACHE_SECONDS,
  },
  journaled((n: number) => n * 3),
);

// ---- Large values ------------------------------------------------------------------------------------------------

export const bytes = task(
  { name: "bytes" },
  journaled((length: number, fill: number) => new Uint8Array(length).fill(fill)),
);

export const increased = task(
  { name: "increased" },
  journaled((values: Uint8Array) => values.map((value) => value + 1)),
);

/** Of all values in all arrays: what is cut off or mixed up changes it. */
export const checksum = task(
  { name: "checksum" },
  journaled((arrays: Uint8Array[]) => {
    let sum = 0;
    for (const array of arrays) for (const value of array) sum += value;
    return sum;
  }),
);
