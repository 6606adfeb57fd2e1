import { ConcurrentTaskRunner } from "@millrace/core";
import { describe, expect, test } from "vitest";
import * as tasks from "../../testing/contract-tasks.ts";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { taskRunnerContract } from "../../testing/task-runner.contract.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";

taskRunnerContract("concurrent", () => new ConcurrentTaskRunner(), { tasks });

describe("only the concurrent task runner", () => {
  keepLogs();

  test("runs tasks at the same time while they wait", async () => {
    const allAreThere = signal();
    let there = 0;
    const meet = task({ name: "meet" }, async (_: number) => {
      if (++there === 100) allAreThere.send();
      await allAreThere;
    });
    await flow({ name: "f" }, () => meet.map(new Array(100).fill(0)))();
    expect(there).toBe(100);
  });

  test("lets timers and sockets have their turn between many tasks that compute", async () => {
    let turns = 0;
    const compute = task({ name: "compute" }, (_: number) => {
      for (const end = performance.now() + 0.5; performance.now() < end; );
      return turns;
    });
    const seen = flow({ name: "f" }, async () => {
      const turn = setInterval(() => turns++, 0);
      const results = await compute.map(new Array(100).fill(0)).results();
      clearInterval(turn);
      return results;
    });
    expect(Math.max(...(await seen()))).toBeGreaterThan(0);
  });
});
