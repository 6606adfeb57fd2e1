import { RunTimeoutError } from "@millrace/core";
import { describe, expect, test } from "vitest";
import type { Executor } from "../src/executor.ts";
import { batchOf, type CallOf, Execution, limited, run } from "./batches.ts";
import type { FileGate } from "./file-gate.ts";

/** What the parts of the executors' contract work with; both are new for each test. */
export interface ExecutorHarness {
  readonly executor: () => Executor;
  readonly gate: () => FileGate;
}

const CANCELLED = { kind: "cancelled", value: undefined };

/** The part of the executors' contract that is about ending calls early. */
export function describeEarlyEndings({ executor, gate }: ExecutorHarness): void {
  const execute = (...calls: CallOf[]) => new Execution(executor(), batchOf("tasks.js", ...calls));

  describe("a call that is cancelled", () => {
    test("before it has started is dropped, at once, and only that one", async () => {
      const { threads } = executor();
      const paths = Array.from({ length: threads + 2 }, (_, index) => gate().path(`${index}`));
      const execution = execute(...paths.map((path): CallOf => ["hold", path]));
      await gate().started(paths.slice(0, threads));
      execution.cancel(threads);
      await execution.until(() => execution.ended === 1);
      expect(execution.order).toEqual([threads]);
      gate().open(...paths);
      const outcomes = await execution.outcomes;
      expect(outcomes[threads]).toEqual(CANCELLED);
      expect(outcomes.filter(({ value }) => value === "held")).toHaveLength(threads + 1);
      await executor().idle();
    });

    test("while it runs has its signal fired, and is reported as cancelled", async () => {
      const execution = execute(["heed", gate().path("a")]);
      await gate().started([gate().path("a")]);
      execution.cancel(0);
      expect(await execution.outcomes).toEqual([CANCELLED]);
      await executor().idle();
      expect(executor().hasRoom()).toBe(true);
    });

    test("together with all others leaves nothing to do", async () => {
      const paths = Array.from({ length: 50 }, (_, index) => gate().path(`${index}`));
      const execution = execute(...paths.map((path): CallOf => ["heed", path]));
      await gate().started([paths[0]!]);
      execution.cancel(...paths.keys());
      execution.cancel(...paths.keys());
      expect(new Set(await execution.kinds)).toEqual(new Set(["cancelled"]));
      expect(execution.problems).toEqual([]);
      expect(await run(executor(), batchOf("tasks.js", ["add", 1, 1]))).toMatchObject([{ value: 2 }]);
    });

    test("before its module is there does not wait for it", async () => {
      const execution = new Execution(executor(), batchOf("never-ends.js", ["below"], ["below"]));
      execution.cancel(0, 1);
      expect(await execution.kinds).toEqual(["cancelled", "cancelled"]);
    });

    test("after it has ended, or that there never was, changes nothing", async () => {
      const execution = execute(["add", 1, 1], ["hold", gate().path("a")]);
      await execution.until(() => execution.ended === 1);
      execution.cancel(0, 4711);
      executor().cancel("unknown", [0]);
      gate().open(gate().path("a"));
      expect(await execution.kinds).toEqual(["returned", "returned"]);
      execution.cancel(0, 1);
      expect(execution.problems).toEqual([]);
    });
  });

  describe("a call with a time limit", () => {
    test("is reported as timed out when it awaits longer", async () => {
      const batch = limited(batchOf("tasks.js", ["heed", gate().path("a")]), 0.05);
      const [ended] = await run(executor(), batch);
      expect(ended!.kind).toBe("timed-out");
      expect(ended!.value).toBeInstanceOf(RunTimeoutError);
    });

    test("is none the worse when it is in time", async () => {
      const calls = Array.from({ length: 100 }, (_, index): CallOf => ["echoLater", index]);
      const ended = await run(executor(), limited(batchOf("tasks.js", ...calls), 1000));
      expect(ended.map(({ value }) => value)).toEqual([...calls.keys()]);
    });
  });
}
