import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { WorkerLostError } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../../test/support/leaks.ts";
import { batchOf, type CallOf, type Ended, Execution, FIXTURES, waiting } from "../../testing/batches.ts";
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

function expectCrashed(ended: Ended | undefined, sentence: string): void {
  expect(ended!.kind).toBe("crashed");
  expect(ended!.value).toBeInstanceOf(WorkerLostError);
  expect((ended!.value as Error).message).toContain(sentence);
}

/** Lets the executor learn that calls of these tasks are short, so that several travel in one message. */
async function learn(...names: CallOf[]): Promise<void> {
  await execute(...names).outcomes;
}

describe.each([1, 2])("process.exit in a call, with %i threads,", (threads) => {
  test("crashes that call with a sentence that says why; its batch mates all run, once", async () => {
    await start(threads);
    await learn(["add", 0, 0]);
    const mates = Array.from({ length: 50 }, (_, index): CallOf => ["add", index, 1]);
    const execution = execute(...mates, ["exit", 3], ...mates);
    const outcomes = await execution.outcomes;
    expectCrashed(outcomes[50], "The worker thread that ran the call died. It called process.exit(3)");
    const others = outcomes.filter((_, index) => index !== 50);
    expect(others.map(({ value }) => value)).toEqual(
      [...mates, ...mates].map(([, index]) => (index as number) + 1),
    );
    expect(execution.problems).toEqual([]);
  });

  test("leaves no call behind that waits for one which had failed before", async () => {
    await start(threads);
    gate.mark(gate.path("known"), "there");
    await learn(["fail"], ["exitOnce", `${gate.path("known")}.there`], ["echo", 1]);
    const calls = batchOf("tasks.js", ["fail"], ["exitOnce", gate.path("exit")], ["echo"], ["echo"]);
    const execution = new Execution(executor, waiting(calls, { 2: { inputs: [0] }, 3: { after: [0] } }));
    expect(await execution.kinds).toEqual(["threw", "crashed", "unstarted", "unstarted"]);
  });

  test("crashes each call that does so", async () => {
    await start(threads);
    const outcomes = await execute(["exit", 3], ["add", 1, 1], ["exit", 0], ["exit", 7], ["add", 2, 2])
      .outcomes;
    expectCrashed(outcomes[0], "process.exit(3)");
    expectCrashed(outcomes[2], "The worker thread that ran the call died.");
    expectCrashed(outcomes[3], "process.exit(7)");
    expect([outcomes[1]!.value, outcomes[4]!.value]).toEqual([2, 4]);
  });

  test("leaves the executor as fit as before", async () => {
    await start(threads);
    await execute(["exitOnce", gate.path("exit")]).outcomes;
    const [again] = await execute(["exitOnce", gate.path("exit")]).outcomes;
    expect(again).toEqual({ kind: "returned", value: "second time" });
    const paths = Array.from({ length: threads }, (_, index) => gate.path(`${index}`));
    const execution = execute(...paths.map((path): CallOf => ["hold", path]));
    await gate.started(paths);
    gate.open(...paths);
    await execution.outcomes;
    await executor.idle();
    expect(executor.hasRoom()).toBe(true);
  });

  test("does not take along the call that ended just before it", async () => {
    await start(threads);
    await learn(["add", 0, 0]);
    for (let round = 0; round < 5; round++) {
      const outcomes = await execute(["add", round, 1], ["exit", 3]).outcomes;
      expect(outcomes.map(({ kind }) => kind)).toEqual(["returned", "crashed"]);
    }
  });
});

test("what a call logged before it ended its thread arrives, before its outcome", async () => {
  await start(1);
  for (let round = 0; round < 5; round++) {
    const execution = execute(["log", "first"], ["logAndExit", `last words ${round}`]);
    const outcomes = await execution.outcomes;
    expect(outcomes.map(({ kind }) => kind)).toEqual(["returned", "crashed"]);
    expect(execution.lines.map(({ msg }) => msg)).toEqual(["first", `last words ${round}`]);
    expect(execution.lines[1]).toMatchObject({ taskName: "logAndExit", taskRunId: "scope-101" });
  }
});

describe("an error that a call leaves floating", () => {
  test.each([
    ["rejectInBackground", "left floating"],
    ["throwInTimer", "thrown in a timer"],
  ])("fails that call, as %s does, not its thread, and is logged", async (name, message) => {
    await start(1);
    const [before] = await execute(["thread"]).outcomes;
    const execution = execute([name], ["add", 1, 1]);
    const [failed, mate] = await execution.outcomes;
    expect(failed).toEqual({ kind: "threw", value: new Error(message) });
    expect(mate!.value).toBe(2);
    expect(execution.lines).toContainEqual(
      expect.objectContaining({ msg: "an error was left unhandled in a worker", taskRunId: "scope-100" }),
    );
    const [after] = await execute(["thread"]).outcomes;
    expect(after!.value).toBe(before!.value);
  });

  test("is not blamed on the call that runs when it comes", async () => {
    await start(1);
    const execution = execute(["rejectAfterEnd", gate.path("x")], ["hold", gate.path("x")]);
    await execution.until(() => execution.lines.some(({ taskRunId }) => taskRunId === "scope-100"));
    gate.open(gate.path("x"));
    expect(await execution.outcomes).toEqual([
      { kind: "returned", value: "ended" },
      { kind: "returned", value: "held" },
    ]);
  });
});

describe("a call that does not let its thread go", () => {
  test("does not hold up calls that another thread can run", async () => {
    await start(2);
    const blocked = execute(["block", gate.path("x")]);
    await gate.started([gate.path("x")]);
    const others = Array.from({ length: 20 }, () => execute(["add", 1, 1]).outcomes);
    expect((await Promise.all(others)).flat().every(({ value }) => value === 2)).toBe(true);
    gate.open(gate.path("x"));
    expect(await blocked.outcomes).toEqual([{ kind: "returned", value: "blocked" }]);
  });

  test("is ended with its thread when the executor closes, and reported as lost", async () => {
    await start(1);
    const execution = execute(["block", gate.path("x")]);
    await gate.started([gate.path("x")]);
    await executor.close();
    expect(await execution.kinds).toEqual(["lost"]);
  });
});

// Node aborted the whole process, the user's in the embedded mode, when a thread was ended while it loaded its modules.
test("closing while threads still start harms nobody, whenever", async () => {
  const script = `
    const { ThreadExecutor } = await import(process.argv[1]);
    for (let delay = 0; delay < 150; delay += 10) {
      const executor = new ThreadExecutor({ threads: 4, root: process.argv[2] });
      const started = executor.start("worker", ["tasks.js"]).catch(() => {});
      await (delay % 20 === 0 ? started : new Promise((resolve) => setTimeout(resolve, delay)));
      await executor.close();
    }
    console.log("unharmed");
  `;
  const built = new URL("../../dist/index.js", import.meta.url).href;
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--input-type=module",
    "--eval",
    script,
    built,
    FIXTURES,
  ]);
  expect(stdout).toBe("unharmed\n");
});

test("log lines come before the outcome of their call, in the order in which they were written", async () => {
  await start(2);
  const calls = Array.from({ length: 100 }, (_, index): CallOf => ["log", `${index} a`, `${index} b`]);
  const execution = execute(...calls, ["logLater", "later"]);
  let seen = "";
  const linesAtOutcome = new Map<number, string>();
  await execution.outcomes;
  for (const { logs, outcomes } of execution.reports) {
    seen += logs;
    for (const { sequence } of outcomes) linesAtOutcome.set(sequence, seen);
  }
  for (const index of calls.keys()) {
    const lines = linesAtOutcome.get(index)!;
    expect(lines).toContain(`"${index} a"`);
    expect(lines.indexOf(`"${index} b"`)).toBeGreaterThan(lines.indexOf(`"${index} a"`));
  }
  expect(linesAtOutcome.get(100)).toContain('"later"');
});
