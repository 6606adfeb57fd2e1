import { RunTimeoutError, WorkerLostError } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../../test/support/leaks.ts";
import { batchOf, type CallOf, Execution, FIXTURES, limited } from "../../testing/batches.ts";
import { FileGate } from "../../testing/file-gate.ts";
import { ThreadExecutor } from "./thread-executor.ts";

let executor: ThreadExecutor;
let gate: FileGate;
let resources: ResourceSnapshot;

beforeEach(async () => {
  resources = await snapshotResources();
  gate = await FileGate.make();
});

afterEach(async () => {
  await executor.close();
  await gate.remove();
  await expectReleased(resources);
});

async function start(threads: number): Promise<void> {
  executor = new ThreadExecutor({ threads, callsPerThread: 1, root: FIXTURES });
  await executor.start("worker", ["tasks.js"]);
}

const execute = (...calls: CallOf[]) => new Execution(executor, batchOf("tasks.js", ...calls));

const executeLimited = (timeoutSeconds: number, ...calls: CallOf[]) =>
  new Execution(executor, limited(batchOf("tasks.js", ...calls), timeoutSeconds));

/** The thread in which the next call runs. */
async function thread(): Promise<unknown> {
  const [ended] = await execute(["thread"]).outcomes;
  return ended!.value;
}

describe("a call that never lets its thread go", () => {
  test("is ended with its thread some time after its time is over, and another thread goes on", async () => {
    await start(1);
    const before = await thread();
    const execution = executeLimited(0.05, ["spin", gate.path("a")]);
    const behind = execute(["add", 1, 1]);
    const [ended] = await execution.outcomes;
    expect(ended!.kind).toBe("timed-out");
    expect(ended!.value).toBeInstanceOf(RunTimeoutError);
    expect((ended!.value as Error).message).toContain("0.05");
    expect(await behind.outcomes).toEqual([{ kind: "returned", value: 2 }]);
    expect(await thread()).not.toBe(before);
    await executor.idle();
  });

  test("is ended also behind a call with a limit that is far away", async () => {
    await start(1);
    const [held, spins] = [gate.path("a"), gate.path("b")];
    const far = executeLimited(60, ["block", held]);
    await gate.started([held]);
    // Longer than the grace: the watch over the thread has seen the far limit.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    const near = executeLimited(0.05, ["spin", spins]);
    gate.open(held);
    expect(await far.kinds).toEqual(["returned"]);
    expect(await near.kinds).toEqual(["timed-out"]);
  });

  test("is ended with its thread when it is cancelled", async () => {
    await start(1);
    const execution = execute(["spin", gate.path("a")]);
    await gate.started([gate.path("a")]);
    execution.cancel(0);
    expect(await execution.kinds).toEqual(["cancelled"]);
    expect(await execute(["add", 1, 1]).outcomes).toEqual([{ kind: "returned", value: 2 }]);
  });

  test("takes along those behind it that are cancelled as well, and no others", async () => {
    await start(1);
    // One that is known to be short travels with others of its kind.
    const path = gate.path("a");
    gate.mark(path, "started");
    await execute(["spinOnce", path]).outcomes;
    gate.unmark(path, "started");
    const execution = execute(["spinOnce", path], ["spinOnce", gate.path("b")], ["spinOnce", gate.path("c")]);
    await gate.started([path]);
    gate.mark(gate.path("c"), "started");
    execution.cancel(0, 1);
    expect(await execution.outcomes).toEqual([
      { kind: "cancelled", value: undefined },
      { kind: "cancelled", value: undefined },
      { kind: "returned", value: "second time" },
    ]);
    expect(gate.isMarked(gate.path("b"), "started")).toBe(false);
  });

  test("and is cancelled only behind another that computes, is ended all the same", async () => {
    await start(1);
    const [first, second] = [gate.path("a"), gate.path("b")];
    gate.open(first);
    await execute(["block", first]).outcomes;
    gate.mark(second, "started");
    await execute(["spinOnce", second]).outcomes;
    for (const [path, mark] of [
      [first, "open"],
      [first, "started"],
      [second, "started"],
    ] as const)
      gate.unmark(path, mark);
    const execution = execute(["block", first], ["spinOnce", second]);
    await gate.started([first]);
    execution.cancel(1);
    // Longer than the grace: the request to end the second is not forgotten meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    gate.open(first);
    expect(await execution.kinds).toEqual(["returned", "cancelled"]);
  });
});

describe("a function that goes on after its call was ended", () => {
  test.each(["cancelled", "timed-out"] as const)(
    "has its thread replaced when the call was %s, also when that has nothing else",
    async (how) => {
      await start(1);
      const before = await thread();
      const path = gate.path("a");
      const execution =
        how === "cancelled" ? execute(["ignore", path]) : executeLimited(0.05, ["ignore", path]);
      await gate.started([path]);
      if (how === "cancelled") execution.cancel(0);
      expect(await execution.kinds).toEqual([how]);
      while ((await thread()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
      gate.open(path);
      expect(await execute(["add", 1, 1]).outcomes).toEqual([{ kind: "returned", value: 2 }]);
      // It went with its thread.
      expect(gate.isMarked(path, "ended")).toBe(false);
    },
  );

  test("keeps its thread when it ends within the grace", async () => {
    await start(1);
    const before = await thread();
    const path = gate.path("a");
    const execution = execute(["ignore", path]);
    await gate.started([path]);
    execution.cancel(0);
    expect(await execution.kinds).toEqual(["cancelled"]);
    gate.open(path);
    await gate.marked(path, "ended");
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(await thread()).toBe(before);
  });

  test("lets the calls that wait in its thread end there, while others run in a new one", async () => {
    await start(1);
    const before = await thread();
    const parent = execute(["nest", 1]);
    await parent.until(() => parent.requests.length === 1);
    const path = gate.path("a");
    const execution = execute(["ignore", path]);
    await gate.started([path]);
    execution.cancel(0);
    while ((await thread()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
    parent.answer(parent.requests[0]!, "in the old thread");
    expect(await parent.outcomes).toEqual([{ kind: "returned", value: ["in the old thread"] }]);
    expect(parent.requests).toHaveLength(1);
    await executor.idle();
  });

  test("gives back the calls that wait behind others in its thread, and they run in the new one", async () => {
    await start(1);
    await execute(["computeInSteps", 0], ["add", 1, 1]).outcomes; // What is known to be short is sent to a thread that is busy.
    const path = gate.path("a");
    const leak = execute(["ignore", path]);
    await gate.started([path]);
    leak.cancel(0);
    expect(await leak.kinds).toEqual(["cancelled"]);
    const end = gate.path("end");
    const computing = execute(["computeInSteps", end]);
    expect(await execute(["add", 1, 1]).kinds).toEqual(["returned"]);
    gate.open(end);
    expect(await computing.kinds).toEqual(["returned"]);
  });

  test("does not hide what still computes in its thread: the executor is not quiet", async () => {
    await start(1);
    const before = await thread();
    const path = gate.path("a");
    const leak = execute(["ignore", path]);
    await gate.started([path]);
    leak.cancel(0);
    const end = gate.path("end");
    const computing = execute(["computeInSteps", end]).outcomes.then(() => "ended");
    while ((await thread()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
    const quiet = executor.quiet().then(() => "quiet");
    await thread(); // Were it quiet, it would be so by now.
    gate.open(end);
    expect(await Promise.race([quiet, computing])).toBe("ended");
  });

  test("and then never lets its thread go, is ended with it, and calls sent there run elsewhere", async () => {
    await start(1);
    const path = gate.path("a");
    const execution = execute(["spinLater", path]);
    await gate.started([path]);
    execution.cancel(0);
    expect(await execution.kinds).toEqual(["cancelled"]);
    gate.open(path);
    await gate.marked(path, "spins");
    expect(await execute(["add", 1, 1]).outcomes).toEqual([{ kind: "returned", value: 2 }]);
  });
});

describe("when a thread dies in which calls wait for their own,", () => {
  test("the one that ended it is blamed, and the others are reported as lost", async () => {
    await start(1);
    const parents = execute(["nest", 1], ["nest", 2]);
    await parents.until(() => parents.requests.length === 2);
    const [guilty] = await execute(["exit", 3]).outcomes;
    expect(guilty!.kind).toBe("crashed");
    expect(guilty!.value).toBeInstanceOf(WorkerLostError);
    expect(await parents.kinds).toEqual(["lost", "lost"]);
    expect(await execute(["add", 1, 1]).outcomes).toEqual([{ kind: "returned", value: 2 }]);
  });

  test("the same when it never lets its thread go", async () => {
    await start(1);
    const parent = execute(["nest", 1]);
    await parent.until(() => parent.requests.length === 1);
    const [stuck] = await executeLimited(0.05, ["spin", gate.path("a")]).outcomes;
    expect(stuck!.kind).toBe("timed-out");
    expect(await parent.kinds).toEqual(["lost"]);
  });

  test("several that may have ended it are suspects", async () => {
    await start(1);
    const parent = execute(["nestAndHold", gate.path("a")]);
    await parent.until(() => parent.requests.length === 1);
    const other = execute(["exitWhenOpen", gate.path("b")]);
    await gate.started([gate.path("b")]);
    parent.answer(parent.requests[0]!, 1); // From now on it runs beside the other.
    gate.open(gate.path("b"));
    expect([...(await parent.kinds), ...(await other.kinds)]).toEqual(["suspected", "suspected"]);
  });

  test("a call that waits and is out of time is ended, and the one that computes is not", async () => {
    await start(1);
    const parent = executeLimited(0.1, ["nest", 1]);
    await parent.until(() => parent.requests.length === 1);
    const computing = execute(["block", gate.path("a")]);
    await gate.started([gate.path("a")]);
    expect(await parent.kinds).toEqual(["timed-out"]);
    gate.open(gate.path("a"));
    expect(await computing.outcomes).toEqual([{ kind: "returned", value: "blocked" }]);
    expect(parent.problems).toEqual([]);
  });
});

test("what a call logs after an answer goes with its own batch, also when another ran meanwhile", async () => {
  await start(1);
  const execution = execute(["nestAndLog", gate.path("a")]);
  await execution.until(() => execution.requests.length === 1);
  await execute(["log", "of another"]).outcomes;
  execution.answer(execution.requests[0]!, 1);
  await execution.until(() => execution.lines.length > 0);
  expect(execution.lines).toMatchObject([{ msg: "after the answer", taskRunId: "scope-100" }]);
  gate.open(gate.path("a"));
  await execution.outcomes;
});
