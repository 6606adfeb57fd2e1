/** What a flow does is the same on every runner. See also runner-values.test.ts and runner-logs.test.ts. */
import { flow, type TaskRunner, tags, UnfinishedRunError, unmapped } from "millrace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

keepLogs();

describe.each(RUNNER_KINDS)("on the $name runner", ({ start }) => {
  let started: StartedRunner;
  let taskRunner: TaskRunner;

  beforeAll(async () => {
    started = await start();
    taskRunner = started.taskRunner;
  });

  afterAll(() => started?.close());

  /** Runs the body as a flow and gives what it returns. */
  function inFlow<R>(body: () => Promise<R>, options = {}) {
    return flow({ name: "suite", taskRunner, ...options }, body)();
  }

  test("a call gives the value, a submit the future of it", async () => {
    const [called, submitted] = await inFlow(async () => [
      await tasks.add(1, 2),
      await tasks.add.submit(3, 4),
    ]);
    expect([called, submitted]).toEqual([3, 7]);
  });

  test("5,000 mapped tasks give their values in order", async () => {
    const numbers = Array.from({ length: 5000 }, (_, index) => index);
    const results = await inFlow(() => tasks.add.map(numbers, unmapped(1)).results());
    expect(results).toEqual(numbers.map((number) => number + 1));
  });

  test("map takes iterables apart, in step, but for unmapped ones", async () => {
    const results = await inFlow(async () => {
      const sums = await tasks.sum.map([[1, 2], new Set([3, 4])]).results();
      const whole = await tasks.sumFrom.map(unmapped([1, 2]), [0, 10]).results();
      const ofFuture = await (await tasks.add.map(tasks.identity.submit([10, 20]) as never, 1)).results();
      return { sums, whole, ofFuture };
    });
    expect(results).toEqual({ sums: [3, 7], whole: [3, 13], ofFuture: [11, 21] });
  });

  test("futures stand for their values at any depth of the arguments", async () => {
    const value = await inFlow(async () => {
      const [one, two] = [tasks.add.submit(0, 1), tasks.add.submit(1, 1)];
      return tasks.identity.submit({
        rows: [{ one }, new Map([["two", two]])],
        both: new Set([one, two]),
        one,
      });
    });
    expect(value).toEqual({ rows: [{ one: 1 }, new Map([["two", 2]])], both: new Set([1, 2]), one: 1 });
  });

  test("a tree of 511 dependent tasks comes to its root", async () => {
    const root = await inFlow(async () => {
      let level = Array.from({ length: 256 }, (_, index) => tasks.add.submit(index, 0));
      while (level.length > 1) {
        level = level
          .filter((_, index) => index % 2 === 0)
          .map((left, index) => tasks.add.submit(left, level[2 * index + 1]!));
      }
      return level[0]!;
    });
    expect(root).toBe((255 * 256) / 2);
  });

  test("a chain of 200 dependent tasks comes to its end", async () => {
    const end = await inFlow(async () => {
      let link = tasks.add.submit(0, 0);
      for (let index = 0; index < 200; index++) link = tasks.add.submit(link, 1);
      return link;
    });
    expect(end).toBe(200);
  });

  test("tasks call tasks, as deep as they like", async () => {
    const results = await inFlow(async () => [await tasks.fibonacci(7), await tasks.sumOfSquares(10)]);
    expect(results).toEqual([13, 385]);
  });

  test("waitFor starts a run after the others have ended", async () => {
    await using gate = await Gate.make();
    const file = gate.path("marked");
    const isMarked = await inFlow(async () => {
      const marking = tasks.mark.submit(file);
      return await tasks.isMarked.withOptions({ waitFor: [marking] }).submit(file);
    });
    expect(isMarked).toBe(true);
  });

  test("a failed attempt is tried again, as often as retries says", async () => {
    const retried = tasks.failBelowAttempt.withOptions({ retries: 2, retryDelaySeconds: [0, 0.01] });
    expect(await inFlow(() => retried(3))).toBe(3);
    await expect(inFlow(() => retried(4))).rejects.toMatchObject({
      name: "RangeError",
      message: "attempt 3",
    });
  });

  test("a run whose input failed is NotReady, and so is what depends on it", async () => {
    const seen = await inFlow(async () => {
      const failed = tasks.failOrder.submit(1);
      const first = tasks.add.submit(failed, 1);
      const second = tasks.add.submit(first, 1);
      const direct = await tasks.add(failed, 1).catch((error: unknown) => error);
      return { states: [(await first.wait())!.name, (await second.wait())!.name], direct };
    });
    expect(seen.states).toEqual(["NotReady", "NotReady"]);
    expect(seen.direct).toBeInstanceOf(UnfinishedRunError);
  });

  test("a flow that returns nothing takes its state from its runs", async () => {
    const body = async () => {
      tasks.add.submit(1, 1);
      tasks.failOrder.submit(7);
    };
    const state = await flow({ name: "aggregate", taskRunner }, body).start().wait();
    expect(state).toMatchObject({ type: "FAILED", message: "1/2 states failed." });
    expect(state.data).toMatchObject({ message: "order 7 is late" });
  });

  test("a run knows its ids, its attempt, and the tags of flow, scope and task", async () => {
    const body = async () => {
      const future = tags("of-scope", () => tasks.context.submit());
      return { future: await future, taskRunId: future.taskRunId };
    };
    const run = flow({ name: "contexts", taskRunner, tags: ["of-flow"] }, body).start();
    const { future, taskRunId } = await run.result();
    expect(future).toEqual({
      flowRunId: run.id,
      flowName: "contexts",
      flowRunName: run.flowRunName,
      taskRunId,
      taskName: "context",
      taskRunName: "context-0",
      parameters: [],
      attempt: 1,
      tags: ["of-flow", "of-scope", "of-task"],
      logConsole: false,
    });
  });

  test("ten flow runs at once do not mix", async () => {
    const sums = flow({ name: "sums", taskRunner }, async (offset: number) => {
      const parts = await tasks.add.map([1, 2, 3], unmapped(offset)).results();
      return await tasks.sum(parts);
    });
    const results = await Promise.all(Array.from({ length: 10 }, (_, index) => sums(index)));
    expect(results).toEqual(Array.from({ length: 10 }, (_, index) => 6 + 3 * index));
  });
});

test.each(RUNNER_KINDS.filter(({ isDistributed }) => isDistributed))(
  "on the $name runner, tasks run in another thread than the flow",
  async ({ start }) => {
    const { taskRunner, close } = await start();
    try {
      const { pid, threadId } = await flow({ name: "places", taskRunner }, () => tasks.place())();
      expect(`${pid}.${threadId}`).not.toBe(`${process.pid}.0`);
    } finally {
      await close();
    }
  },
);
