import { SequentialTaskRunner } from "@millrace/core";
import { describe, expect, test } from "vitest";
import * as tasks from "../../testing/contract-tasks.ts";
import { keepLogs } from "../../testing/logs.ts";
import { taskRunnerContract } from "../../testing/task-runner.contract.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { SequentialTaskRunner as OwnSequentialTaskRunner } from "./sequential-task-runner.ts";

taskRunnerContract("sequential", () => new SequentialTaskRunner(), { tasks });

describe("only the sequential task runner", () => {
  keepLogs();
  const inFlow = <R>(fn: () => R) => flow({ name: "f", taskRunner: new OwnSequentialTaskRunner() }, fn)();

  test("runs one task after the other, in the order of submission", async () => {
    const events: string[] = [];
    const step = task({ name: "step" }, async (n: number) => {
      events.push(`start ${n}`);
      await new Promise(setImmediate);
      events.push(`end ${n}`);
    });
    await inFlow(() => step.map([1, 2, 3]));
    expect(events).toEqual(["start 1", "end 1", "start 2", "end 2", "start 3", "end 3"]);
  });

  test("runs a task that waits for inputs when they are there", async () => {
    const order: string[] = [];
    const note = task({ name: "note" }, (name: string, _input?: unknown) => {
      order.push(name);
    });
    await inFlow(() => {
      const first = note.submit("first");
      note.submit("behind first", first);
      note.submit("second");
    });
    expect(order).toEqual(["first", "second", "behind first"]);
  });

  test("goes on after a task that failed", async () => {
    const order: number[] = [];
    const odd = task({ name: "odd" }, (n: number) => {
      order.push(n);
      if (n === 1) throw new Error("boom");
    });
    await inFlow(() => odd.map([1, 2])).catch(() => {});
    expect(order).toEqual([1, 2]);
  });

  test("keeps only the tasks of one scope in line: one that waits for a task of its own does not block it", async () => {
    const inner = task({ name: "inner" }, (n: number) => n + 1);
    const outer = task({ name: "outer" }, async (n: number) => inner(await inner(n)));
    expect(await inFlow(() => outer.map([1, 2]))).toEqual([3, 4]);
  });
});
