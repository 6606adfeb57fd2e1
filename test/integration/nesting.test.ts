/** Tasks that call tasks and flows, where calls run in workers. See also the contract of task runners. */
import {
  DistributedTaskRunner,
  flow,
  LocalCluster,
  observeRuns,
  type TaskRunner,
  type TaskRunStateEvent,
} from "millrace";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import * as nesting from "../fixtures/nesting-tasks.ts";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { startWorker, terminate } from "../support/processes.ts";
import { forgetNamespace } from "../support/redis-keys.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

keepLogs();

describe.each(RUNNER_KINDS.filter(({ isDistributed }) => isDistributed))(
  "on the $name runner",
  ({ start }) => {
    let started: StartedRunner;
    let taskRunner: TaskRunner;

    beforeAll(async () => {
      started = await start();
      taskRunner = started.taskRunner;
    });

    afterAll(() => started?.close());

    const inFlow = <R>(body: () => R, options = {}) =>
      flow({ name: "suite", taskRunner, ...options }, body)();

    test("calls of a call run at the same time, in different threads", async () => {
      await using gate = await Gate.make();
      const held = inFlow(() => nesting.holdMany(gate.directory, ["a", "b"]));
      await gate.waitFor("both had started", (starts) => starts.length === 2);
      await gate.open();
      expect((await held).map(({ name }) => name)).toEqual(["a", "b"]);
    });

    test("three flows at once on two threads, each with calls of calls, do not wait for each other", async () => {
      const all = Array.from({ length: 3 }, () => inFlow(() => tasks.fibonacci(8)));
      expect(await Promise.all(all)).toEqual([21, 21, 21]);
    });

    test("a call of a call that ends its thread crashes, and nobody else does", async () => {
      expect(await inFlow(() => nesting.exitInside())).toEqual(["CRASHED", "COMPLETED"]);
    });

    test("a flow in a task uses the cluster that runs the task", async () => {
      const calls = Array.from({ length: 4 }, (_, n) => n);
      const results = await inFlow(() => Promise.all(calls.map((n) => nesting.callFlowOn({}, n))));
      expect(results).toEqual(calls.map((n) => ({ sum: 2 * n + 1, isChild: true })));
    });

    test("cancelling a flow reaches the calls of its calls", async () => {
      await using gate = await Gate.make();
      const run = flow({ name: "suite", taskRunner }, () =>
        nesting.holdMany(gate.directory, ["a", "b"]),
      ).start();
      await gate.waitFor("both had started", (starts) => starts.length === 2);
      expect((await run.cancel()).type).toBe("CANCELLED");
      await gate.open();
      expect(await inFlow(() => tasks.add(1, 2))).toBe(3);
    });

    test("limits of the flow hold for calls of calls", async () => {
      const spans = await inFlow(
        async () => (await Promise.all([nesting.insideMany(4), nesting.insideMany(4)])).flat(),
        { concurrencyLimits: { narrow: 1 } },
      );
      const inOrder = spans.sort(([a], [b]) => a - b);
      for (const [index, [startedAt]] of inOrder.entries())
        if (index > 0) expect(startedAt).toBeGreaterThanOrEqual(inOrder[index - 1]![1]);
    });

    test("the flow's process hears of the runs that calls make", async () => {
      const events: TaskRunStateEvent[] = [];
      const end = observeRuns({ "task-run-state": (event) => void events.push(event) });
      try {
        await inFlow(() => nesting.descend(1));
      } finally {
        end();
      }
      const [outer] = events;
      const inner = events.filter(({ parentTaskRunId }) => parentTaskRunId === outer!.taskRunId);
      expect(inner.map(({ state }) => state.type)).toEqual(["PENDING", "RUNNING", "COMPLETED"]);
      expect(new Set(events.map(({ flowRunId }) => flowRunId)).size).toBe(1);
    });
  },
);

describe("on one worker with one thread", () => {
  test.each(["memory", "redis"] as const)("calls of calls of any depth end (%s)", async (broker) => {
    const redis = broker === "redis" ? { redis: inject("redisUrl") } : {};
    await using cluster = new LocalCluster({ broker, ...redis, workers: 1, threads: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const inFlow = <R>(body: () => R) => flow({ name: "suite", taskRunner }, body)();
    expect(await inFlow(() => nesting.descend(50))).toBe(50);
    expect(await inFlow(() => tasks.fibonacci(12))).toBe(144);
    expect(await inFlow(() => nesting.exitInside())).toEqual(["CRASHED", "COMPLETED"]);
    expect(await inFlow(() => nesting.callFlowOn({}, 3))).toEqual({ sum: 7, isChild: true });
  });

  test("a call of a call that ends the worker's process crashes, and the one that made it does not", async () => {
    await using cluster = new LocalCluster({
      ...{ broker: "redis", redis: inject("redisUrl") },
      ...{ workers: 1, threads: 1 },
    });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const run = flow({ name: "suite", taskRunner }, () => nesting.killInside());
    expect(await run()).toBe("CRASHED");
  });

  test("a flow in a task that names the cluster of its worker uses it as any other does", async () => {
    const namespace = uniqueNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    try {
      const standing = { redis: inject("redisUrl"), namespace };
      const taskRunner = new DistributedTaskRunner(standing);
      const run = flow({ name: "suite", taskRunner }, () => nesting.callFlowOn(standing, 3));
      expect(await run()).toEqual({ sum: 7, isChild: true });
    } finally {
      await terminate(worker);
      await forgetNamespace(namespace);
    }
  });
});
