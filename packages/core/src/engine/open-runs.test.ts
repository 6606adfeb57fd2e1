import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { type Signal, signal } from "../../testing/signal.ts";
import { type Flow, flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { MemoryResultStore } from "../results/memory-result-store.ts";
import { ConcurrentSession, ConcurrentTaskRunner } from "../runners/concurrent-task-runner.ts";
import { SequentialTaskRunner } from "../runners/sequential-task-runner.ts";
import type { Call, TaskRunner } from "../runners/task-runner.ts";
import type { FlowRun } from "./flow-run.ts";
import type { OpenRun } from "./open-runs.ts";

keepLogs();

const hold = task({ name: "hold" }, async (running: Signal, end: Signal) => {
  running.send();
  await end;
});
const ok = task({ name: "ok" }, (...values: unknown[]) => values.length);

/** What is open while the body's run holds, by name. */
async function openIn(of: Flow<{ running: Signal; end: Signal }, unknown>): Promise<OpenRun[]> {
  const signals = { running: signal(), end: signal() };
  const run = of.start(signals);
  await signals.running;
  await turn();
  const open = await run.openRuns();
  signals.end.send();
  expect(await run.wait()).toMatchObject({ type: "COMPLETED" });
  expect(await run.openRuns()).toEqual([]);
  return [...open];
}

/** What was submitted has begun, as far as it could. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

const reasons = (open: readonly OpenRun[]) => open.map(({ taskRunName, why }) => [taskRunName, why]);

describe("openRuns gives of a run that is not final who holds it or what it waits for", () => {
  test("it runs here; others wait for it, and for one another", async () => {
    const open = await openIn(
      flow({ name: "chain" }, ({ running, end }) => {
        const held = hold.submit(running, end);
        return ok.submit(ok.submit(held, held));
      }),
    );
    const [held, first] = open.map(({ taskRunId }) => taskRunId);
    expect(reasons(open)).toEqual([
      ["hold-0", { type: "runs-here" }],
      ["ok-1", { type: "awaits-runs", taskRunIds: [held] }],
      ["ok-2", { type: "awaits-runs", taskRunIds: [first] }],
    ]);
    expect(open[0]).toMatchObject({ state: "Running", reason: "Runs in this process." });
    expect(open[1]?.reason).toBe(`Waits for task run ${held}.`);
    expect(open[0]?.since).toBeLessThanOrEqual(Date.now());
  });

  test.each([new ConcurrentTaskRunner({ maxConcurrency: 1 }), new SequentialTaskRunner()])(
    "it waits for its turn",
    async (taskRunner) => {
      const open = await openIn(
        flow({ name: "turns", taskRunner }, async ({ running, end }) => {
          hold.submit(running, end);
          for (let n = 0; n < 2; n++) ok.submit();
        }),
      );
      expect(reasons(open)).toEqual([
        ["hold-0", { type: "runs-here" }],
        ["ok-1", { type: "awaits-turn", ahead: 0 }],
        ["ok-2", { type: "awaits-turn", ahead: 1 }],
      ]);
    },
  );

  test("it waits for a slot, and for its retry", async () => {
    let failedAt = 0;
    const failsOnce = task({ name: "once", retries: 1, retryDelaySeconds: 1 }, async () => {
      if (failedAt > 0) return;
      failedAt = Date.now();
      throw new Error("too early");
    });
    const open = await openIn(
      flow({ name: "slots", concurrencyLimits: { db: 1 } }, async ({ running, end }) => {
        const tagged = { tags: ["db", "other"] };
        hold.withOptions(tagged).submit(running, end);
        await running;
        ok.withOptions(tagged).submit();
        failsOnce.submit();
      }),
    );
    expect(reasons(open)).toEqual([
      ["hold-0", { type: "runs-here" }],
      ["ok-1", { type: "awaits-slot", limits: ["db"] }],
      ["once-2", { type: "awaits-retry", until: expect.any(Number) }],
    ]);
    const { until } = open[2]!.why as { until: number };
    expect(until).toBeGreaterThanOrEqual(failedAt + 1_000);
    expect(until).toBeLessThanOrEqual(Date.now() + 1_000);
    expect(open[1]?.state).toBe("AwaitingConcurrencySlot");
  });

  test("another computes the same result", async () => {
    const cached = { cacheKeyFn: () => "same" };
    const open = await openIn(
      flow({ name: "cached", resultStore: new MemoryResultStore() }, async ({ running, end }) => {
        hold.withOptions(cached).submit(running, end);
        await running;
        hold.withOptions(cached).submit(running, end);
      }),
    );
    expect(reasons(open)).toEqual([
      ["hold-0", { type: "runs-here" }],
      ["hold-1", { type: "awaits-cached-result" }],
    ]);
  });

  test("runs that a task run or a subflow has made are among them", async () => {
    const inner = flow({ name: "inner" }, async (to: { running: Signal; end: Signal }) => {
      await hold(to.running, to.end);
    });
    const outer = task({ name: "outer" }, async (to: { running: Signal; end: Signal }) => {
      await hold(to.running, to.end);
    });
    const both = signal();
    const open = await openIn(
      flow({ name: "nested" }, async ({ running, end }) => {
        const innerRuns = signal();
        const runs = [outer.submit({ running: both, end }), inner({ running: innerRuns, end })] as const;
        await Promise.all([both, innerRuns]);
        running.send();
        await Promise.all(runs);
      }),
    );
    expect(open.map(({ taskRunName, why }) => [taskRunName, why.type])).toEqual([
      ["outer-0", "runs-here"],
      ["inner-1", "subflow"],
      ["hold-0", "runs-here"],
      ["hold-0", "runs-here"],
    ]);
    expect(open[1]?.reason).toMatch(/^Stands for flow run [\w-]+, which is Running\.$/);
  });

  test("a runner that does not say where its calls are has them", async () => {
    const session = new ConcurrentSession();
    const silent = {
      submit: (call: Call) => session.submit(call),
      cancel: (call: Call) => session.cancel(call),
      close: () => session.close(),
    };
    const taskRunner: TaskRunner = { name: "silent", open: async () => silent };
    const body = ({ running, end }: { running: Signal; end: Signal }) => hold.submit(running, end);
    expect(reasons(await openIn(flow({ name: "silent", taskRunner }, body)))).toEqual([
      ["hold-0", { type: "with-runner" }],
    ]);
  });
});

/** Drops what it is given, as a runner with a bug does. */
class ForgetfulSession extends ConcurrentSession {
  readonly forgotten: Call[] = [];
  override submit(call: Call): void {
    this.forgotten.push(call);
  }
}

test("a run that nobody holds is found, and one that only just changes hands is not", async () => {
  const session = new ForgetfulSession();
  const taskRunner: TaskRunner = { name: "forgetful", open: async () => session };
  const run: FlowRun<unknown> = flow({ name: "lost", taskRunner }, () => ok.map([1, 2]).results()).start();
  while (session.forgotten.length < 2) await turn();
  const looking = run.openRuns();
  session.forgotten[1]?.settle({ type: "returned", value: 1 });
  const open = await looking;
  expect(reasons(open)).toEqual([["ok-0", { type: "unknown" }]]);
  expect(open[0]?.reason).toMatch(/^Nobody holds it .* bug of Millrace/);
  session.forgotten[0]?.settle({ type: "returned", value: 1 });
  expect(await run.result()).toEqual([1, 1]);
});
