import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { MemoryResultStore } from "../results/memory-result-store.ts";
import { ConcurrentTaskRunner } from "../runners/concurrent-task-runner.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";

const logs = keepLogs();
const add = task({ name: "add" }, (a: number, b: number) => a + b);

describe("a flow run that is cancelled", () => {
  test("while it waits for its inputs, never runs", async () => {
    const mayEnd = signal();
    const slow = task({ name: "slow" }, async () => {
      await mayEnd;
      return 1;
    });
    let called = 0;
    const child = flow({ name: "child" }, (_: number) => ++called);
    const name = await flow({ name: "f" }, async () => {
      const input = slow.submit();
      const run = child.start(input);
      const state = await run.cancel("no longer wanted");
      mayEnd.send();
      await input;
      return [state.name, state.message];
    })();
    expect(name).toEqual(["Cancelled", "no longer wanted"]);
    expect(called).toBe(0);
  });

  test("before its runner is open, or between two attempts, runs no more", async () => {
    const isOpening = signal();
    const mayOpen = signal();
    const runner = new ConcurrentTaskRunner();
    const late = {
      name: "late",
      open: async () => {
        isOpening.send();
        await mayOpen;
        return runner.open();
      },
    };
    const run = flow({ name: "f", taskRunner: late }, () => add(1, 2)).start();
    await isOpening;
    const cancelled = run.cancel();
    mayOpen.send();
    expect(await cancelled).toMatchObject({ type: "CANCELLED" });

    let attempts = 0;
    const failing = flow({ name: "g", retries: 1, retryDelaySeconds: 3600 }, () => {
      attempts++;
      throw new Error("no");
    }).start();
    while (failing.state.name !== "AwaitingRetry") await new Promise(setImmediate);
    expect(await failing.cancel()).toMatchObject({ type: "CANCELLED" });
    expect(attempts).toBe(1);
    expect((await failing.cancel()).type).toBe("CANCELLED");
  });
});

describe("a flow run", () => {
  test("that retries waits as long as it is told", async () => {
    let attempts = 0;
    const run = flow({ name: "f", retries: 1, retryDelaySeconds: 0.001 }, () => {
      if (++attempts === 1) throw new Error("once");
      return attempts;
    });
    expect(await run()).toBe(2);
  });

  test("whose name is none fails before it runs", async () => {
    const named = (flowRunName: () => string) =>
      flow({ name: "f", flowRunName }, () => 1)
        .start()
        .wait();
    expect(await named(() => 7 as never)).toMatchObject({
      type: "FAILED",
      data: { code: "ERR_INVALID_OPTION" },
    });
    expect(await named(() => " ")).toMatchObject({ type: "FAILED" });
  });

  test("whose result cannot be kept is completed all the same, and says so in the log", async () => {
    const resultStore = new MemoryResultStore();
    resultStore.write = async () => {
      throw new Error("disk full");
    };
    expect(await flow({ name: "f", persistResult: true, resultStore }, () => 1)()).toBe(1);
    expect(logs()).toContainEqual(expect.objectContaining({ msg: "the result could not be kept" }));
  });

  test("of which a hook throws says so in the log", async () => {
    const onCompletion = [
      () => {
        throw new Error("in a hook");
      },
    ];
    expect(await flow({ name: "f", onCompletion }, () => 1)()).toBe(1);
    expect(logs()).toContainEqual(expect.objectContaining({ msg: "a hook of the flow failed" }));
  });

  test("behind a state that is not COMPLETED is NotReady, and says so to whoever asks for its result", async () => {
    const child = flow({ name: "child" }, (n: number) => n);
    const seen = await flow({ name: "f" }, async () => {
      const failing = task({ name: "failing" }, () => {
        throw new Error("no");
      });
      const state = await failing.submit().wait();
      const run = child.start(state as never);
      return [(await run.wait()).name, await run.result().catch((error: { code: string }) => error.code)];
    })();
    expect(seen).toEqual(["NotReady", "ERR_UNFINISHED_RUN"]);
  });
});

describe("ConcurrentTaskRunner({ maxConcurrency })", () => {
  test("runs so many calls at once, and all of them", async () => {
    let running = 0;
    let most = 0;
    const work = task({ name: "work" }, async (n: number) => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      return n;
    });
    const taskRunner = new ConcurrentTaskRunner({ maxConcurrency: 3 });
    const numbers = Array.from({ length: 20 }, (_, n) => n);
    expect(await flow({ name: "f", taskRunner }, () => work.map(numbers).results())()).toEqual(numbers);
    expect(most).toBe(3);
    expect(await flow({ name: "g", taskRunner }, () => add.map(numbers, numbers).results())()).toHaveLength(
      20,
    );
  });

  test("lets others run beside a call that waits for a slot", async () => {
    const taskRunner = new ConcurrentTaskRunner({ maxConcurrency: 1 });
    const limited = task({ name: "limited", tags: ["db"] }, (n: number) => n);
    const nesting = task({ name: "nesting" }, (n: number) => limited(n));
    const both = () => Promise.all([nesting(1), limited(2), nesting(3)]);
    expect(await flow({ name: "f", taskRunner, concurrencyLimits: { db: 1 } }, both)()).toEqual([1, 2, 3]);
  });

  test("refuses what is no number of calls", () => {
    expect(() => new ConcurrentTaskRunner({ maxConcurrency: 0 })).toThrow("maxConcurrency");
  });
});
