import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { type Flow, flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { BrokerUnavailableError, FlowRunEndedError } from "../errors/errors.ts";
import { ConcurrentSession } from "../runners/concurrent-task-runner.ts";
import type { TaskRunner } from "../runners/task-runner.ts";

keepLogs();

const ok = task({ name: "ok" }, <T>(value: T) => value);

describe("start", () => {
  test("gives a run with an id and a name at once; it is pending, then running, then final", async () => {
    const isRunning = signal();
    const mayEnd = signal();
    const run = flow({ name: "slow" }, async () => {
      isRunning.send();
      await mayEnd;
      return "value";
    }).start();
    expect(run.id).toMatch(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
    expect(run.flowName).toBe("slow");
    expect(run.flowRunName).toMatch(/^[a-z]+-[a-z]+$/);
    expect(run.state).toMatchObject({ type: "PENDING", runId: run.id });
    await isRunning;
    expect(run.state).toMatchObject({ type: "RUNNING", runId: run.id });
    mayEnd.send();
    expect(await run.wait()).toMatchObject({
      type: "COMPLETED",
      name: "Completed",
      data: "value",
      runId: run.id,
    });
    expect(run.state).toBe(await run.wait());
    expect(await run.result()).toBe("value");
  });

  test("of one flow several times makes runs of their own", async () => {
    const echo = flow({ name: "echo" }, async (n: number) => ok(n));
    const runs = [1, 2, 3].map((n) => echo.start(n));
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([1, 2, 3]);
    expect(new Set(runs.map((run) => run.id)).size).toBe(3);
  });

  test("wait() never rejects, result() does", async () => {
    const error = new Error("boom");
    const run = flow({ name: "failing" }, () => Promise.reject(error)).start();
    expect(await run.wait()).toMatchObject({
      type: "FAILED",
      message: "Flow run encountered an exception: Error: boom",
      data: error,
    });
    await expect(run.result()).rejects.toBe(error);
  });

  test("a run's times only go forward", async () => {
    const run = flow({ name: "f" }, () => ok(1)).start();
    const pending = run.state.timestamp;
    expect((await run.wait()).timestamp).toBeGreaterThanOrEqual(pending);
  });
});

describe("every task ends before its flow", () => {
  test.each([
    ["returns a value", () => "value"],
    ["returns nothing", () => undefined],
    ["throws", () => Promise.reject(new Error("boom"))],
  ])("when the function %s", async (_, end) => {
    const mayEnd = signal();
    const isRunning = signal();
    const slow = task({ name: "slow" }, async () => {
      isRunning.send();
      await mayEnd;
    });
    const futures: { readonly state: { isFinal(): boolean } }[] = [];
    const run = flow({ name: "f" }, () => {
      futures.push(slow.submit(), slow.submit());
      return end();
    }).start();
    await isRunning;
    expect(run.state.isFinal()).toBe(false);
    mayEnd.send();
    await run.wait();
    expect(futures.map((future) => future.state.isFinal())).toEqual([true, true]);
  });

  test("also a task that a task submitted and did not wait for", async () => {
    let hasEnded = false;
    const inner = task({ name: "inner" }, async () => {
      await new Promise(setImmediate);
      hasEnded = true;
    });
    const outer = task({ name: "outer" }, () => {
      inner.submit();
    });
    await flow({ name: "f" }, () => {
      outer.submit();
    })();
    expect(hasEnded).toBe(true);
  });

  test("a task submitted by a loose end of the function counts, or is refused", async () => {
    let accepted = 0;
    let ended = 0;
    const count = task({ name: "count" }, async () => {
      await new Promise(setImmediate);
      ended++;
    });
    const loop = signal<unknown>();
    await flow({ name: "f" }, () => {
      const submitAtEachTick = async () => {
        for (let n = 0; n < 100; n++) {
          await undefined;
          count.submit();
          accepted++;
        }
      };
      submitAtEachTick().then(loop.send, loop.send);
    })();
    const endedWithTheFlow = ended;
    expect(await loop).toSatisfy((end) => end === undefined || end instanceof FlowRunEndedError);
    expect(endedWithTheFlow).toBe(accepted);
  });

  test("a submit after the end is an error that names the task and the run", async () => {
    const hasEnded = signal();
    let late: Promise<unknown> | undefined;
    const run = flow({ name: "f" }, () => {
      late = hasEnded.then(() => ok.submit(1));
    }).start();
    await run.wait();
    hasEnded.send();
    await expect(late).rejects.toThrow(FlowRunEndedError);
    await expect(late).rejects.toThrow(
      `Expected flow run ${run.id} to be running when task "ok" was submitted`,
    );
  });
});

describe("the task runner", () => {
  class CountingRunner implements TaskRunner {
    readonly name = "counting";
    opened = 0;
    closed = 0;
    async open() {
      this.opened++;
      const session = new ConcurrentSession();
      session.close = async () => {
        this.closed++;
      };
      return session;
    }
  }

  test.each([
    ["completed", (f: Flow<undefined, unknown>) => f(), () => ok(1)],
    ["failed", (f: Flow<undefined, unknown>) => f(), () => Promise.reject(new Error("boom"))],
  ])("is opened once and closed once for a run that %s", async (_, call, fn) => {
    const runner = new CountingRunner();
    await call(flow({ name: "f", taskRunner: runner }, fn)).catch(() => {});
    expect(runner).toMatchObject({ opened: 1, closed: 1 });
  });

  test.each([
    ["an error of Millrace", new BrokerUnavailableError("redis://queue:6379", "connection refused")],
    ["another error", new Error("no license")],
  ])("that cannot open crashes the run: %s", async (_, error) => {
    let wasCalled = false;
    const taskRunner: TaskRunner = { name: "broken", open: () => Promise.reject(error) };
    const run = flow({ name: "f", taskRunner }, () => {
      wasCalled = true;
    }).start();
    expect(await run.wait()).toMatchObject({ type: "CRASHED", data: error });
    await expect(run.result()).rejects.toBe(error);
    expect(wasCalled).toBe(false);
  });
});
