import { afterEach, beforeEach, expect, test } from "vitest";
import { batchOf, type CallOf, Execution, FIXTURES, run, waiting } from "../../testing/batches.ts";
import { executorContract } from "../../testing/executor.contract.ts";
import { FileGate } from "../../testing/file-gate.ts";
import { ThreadExecutor } from "./thread-executor.ts";

executorContract("ThreadExecutor", (options) => new ThreadExecutor({ threads: 2, ...options }));

let gate: FileGate;

beforeEach(async () => {
  gate = await FileGate.make();
});

afterEach(() => gate.remove());

test("calls behind one that is longer than known are done by a thread that is idle", async () => {
  const executor = new ThreadExecutor({ threads: 2, root: FIXTURES });
  await executor.start("worker");
  try {
    const short = Array.from({ length: 100 }, (): CallOf => ["blockOn"]);
    await run(executor, batchOf("tasks.js", ...short)); // Now it is known for a short one.
    const path = gate.path("a");
    const execution = new Execution(executor, batchOf("tasks.js", ["blockOn", path], ...short));
    await execution.until(() => execution.ended === short.length);
    expect(execution.order).not.toContain(0);
    gate.open(path);
    expect((await execution.outcomes)[0]).toEqual({ kind: "returned", value: "blocked" });
    expect(execution.problems).toEqual([]);
  } finally {
    await executor.close();
  }
});

test("a thread that starts nothing for long gets calls back once, and loses none when it goes on", async () => {
  const executor = new ThreadExecutor({ threads: 2, root: FIXTURES });
  await executor.start("worker");
  try {
    const short = batchOf("tasks.js", ...Array.from({ length: 300 }, (): CallOf => ["add", 1, 1]));
    const rounds = async (count: number) => {
      for (let round = 0; round < count; round++) {
        const ended = await run(executor, { ...short, id: `short.${round}` });
        expect(ended.every(({ value }) => value === 2)).toBe(true);
      }
    };
    await rounds(3); // Now it is known for a short one.
    const path = gate.path("a");
    expect(await run(executor, batchOf("tasks.js", ["blockAfterEnd", path]))).toMatchObject([
      { value: "ended" },
    ]);
    await gate.started([path]);
    await rounds(60); // The other thread does them. A thread has 16,384 claims, and these are 18,000 calls.
    gate.open(path);
    await rounds(60);
  } finally {
    await executor.close();
  }
});

test("a call that waits for one that has failed ends when it is taken back before its turn, and is not waited for", async () => {
  const executor = new ThreadExecutor({ threads: 1, root: FIXTURES });
  await executor.start("worker");
  try {
    await run(executor, batchOf("tasks.js", ["fail"], ["computeInSteps", 0], ["echo", 1])); // Now they are known for short ones.
    const path = gate.path("a");
    const calls = batchOf("tasks.js", ["fail"], ["computeInSteps", path], ["echo"], ["echo"]);
    const batch = waiting(calls, { 2: { inputs: [0] }, 3: { inputs: [2] } });
    const execution = new Execution(executor, batch);
    await execution.until(() => execution.ended === 1);
    executor.handBack(batch.id);
    await execution.until(() => execution.ended === 3);
    gate.open(path);
    expect(await execution.kinds).toEqual(["threw", "returned", "unstarted", "unstarted"]);
    expect(execution.problems).toEqual([]);
  } finally {
    await executor.close();
  }
});
