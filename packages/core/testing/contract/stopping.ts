/** Time-outs and cancellation, on every runner. */
import { writeFile } from "node:fs/promises";
import { FlowRunEndedError, flow, RunTimeoutError, type State, type TaskFuture } from "@millrace/core";
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function stoppingContract(runner: RunnerUnderTest): void {
  const { name, exceptions = {} } = runner;
  const { path, read, exists, inFlow, start } = useWorkshop(runner);
  const quick = { timeoutSeconds: 0.05 };
  /** A state as data: a state that a flow returned would be its own. */
  const facts = (state: State | undefined) => ({ ...state }) as Partial<State>;

  describe(`the ${name} task runner: time-outs`, () => {
    test("a task whose time is over is FAILED with the name TimedOut, and its signal says why", async () => {
      const state = await inFlow(async () =>
        facts(await tasks.heed.withOptions(quick).submit(path("a")).wait()),
      );
      expect(state).toMatchObject({
        type: "FAILED",
        name: "TimedOut",
        message: "Task run exceeded timeout of 0.05 seconds",
        data: { code: "ERR_RUN_TIMEOUT" },
      });
      await exists("a.reason");
      expect(await read("a.reason")).toBe("RunTimeoutError");
    });

    test("whoever asks for its value gets a RunTimeoutError", async () => {
      await expect(inFlow(() => tasks.heed.withOptions(quick)(path("a")))).rejects.toThrow(RunTimeoutError);
    });

    test("it is tried again as any failure is", async () => {
      const twice = tasks.heed.withOptions({ ...quick, retries: 1 });
      expect(await inFlow(async () => (await twice.submit(path("a")).wait())?.name)).toBe("TimedOut");
      expect(await read("a.runs")).toBe("xx");
    });

    test("a time limit that is not reached, or 0, changes nothing", async () => {
      const limits = [60, 0].map((timeoutSeconds) => tasks.add.withOptions({ timeoutSeconds }));
      expect(await inFlow(() => limits.map((add) => add.submit(1, 2)))).toEqual([3, 3]);
    });

    test("a TimeoutError of the user's own is an ordinary failure", async () => {
      const state = await inFlow(async () => facts(await tasks.ownTimeout.submit().wait()));
      expect(state).toMatchObject({ type: "FAILED", name: "Failed", data: { name: "TimeoutError" } });
    });

    test.skipIf(exceptions.sharesTheEventLoop)(
      "a task that computes for ever is ended, and calls beside it run",
      async () => {
        const seen = await inFlow(async () => {
          const endless = tasks.busy.withOptions({ timeoutSeconds: 0.1 }).submit(path("a"));
          const sums = tasks.add.map([1, 2, 3, 4], [1, 2, 3, 4]);
          return { name: (await endless.wait())?.name, sums: await sums.results() };
        });
        expect(seen).toEqual({ name: "TimedOut", sums: [2, 4, 6, 8] });
      },
    );

    test("a flow whose time is over is TimedOut; its tasks and subflows are cancelled, and it can call no more", async () => {
      const children: State[] = [];
      const futures: TaskFuture<unknown>[] = [];
      let late: unknown;
      let lateIsKnown!: () => void;
      const lateIs = new Promise<void>((resolve) => {
        lateIsKnown = resolve;
      });
      const child = flow({ name: "child", taskRunner: runner.makeRunner() }, () => tasks.heed(path("b")));
      const run = start(
        async () => {
          futures.push(tasks.heed.submit(path("a")));
          const childRun = child.start();
          void childRun.wait().then((state) => children.push(state));
          await childRun.result().catch(() => {});
          try {
            tasks.add.submit(1, 2);
          } catch (error) {
            late = error;
          }
          lateIsKnown();
        },
        { timeoutSeconds: 0.3 },
      );
      expect(await run.wait()).toMatchObject({
        type: "FAILED",
        name: "TimedOut",
        message: "Flow run exceeded timeout of 0.3 seconds",
      });
      expect(futures[0]?.state.name).toBe("Cancelled");
      expect(children.map((state) => state.name)).toEqual(["Cancelled"]);
      await lateIs;
      expect(late).toBeInstanceOf(FlowRunEndedError);
    });
  });

  describe(`the ${name} task runner: cancellation`, () => {
    test("a run that waits is CANCELLED and never runs; what needs it is NotReady", async () => {
      const seen = await inFlow(async () => {
        const held = tasks.hold.submit(path("a"));
        const waiting = tasks.counted.submit(path("b"), held);
        const behind = tasks.add.submit(waiting, 1);
        const states = [await waiting.cancel(), await behind.wait()];
        await writeFile(path("a.open"), "");
        await held;
        return states.map((state) => state?.name);
      });
      expect(seen).toEqual(["Cancelled", "NotReady"]);
      expect(await read("b")).toBe("");
    });

    test("a run that runs gets its signal, is CANCELLED, and is not tried again", async () => {
      const seen = await inFlow(async () => {
        const running = tasks.heed.withOptions({ retries: 3 }).submit(path("a"));
        await exists("a.started");
        return facts(await running.cancel());
      });
      expect(seen).toMatchObject({ type: "CANCELLED", message: "The task run was cancelled." });
      await exists("a.reason");
      expect(await read("a.reason")).toBe("CancelledRunError");
      expect(await read("a.runs")).toBe("x");
    });

    test("many that wait for a turn are cancelled at once", async () => {
      const names = await inFlow(async () => {
        const held = tasks.hold.submit(path("a"));
        await exists("a.started");
        const waiting = tasks.counted.map(new Array<string>(300).fill(path("b")));
        const states = await Promise.all(waiting.map((future) => future.cancel()));
        await writeFile(path("a.open"), "");
        await held;
        return new Set(states.filter((state) => state.isFinal()).map((state) => state.type));
      });
      // One that began before it was cancelled may have completed.
      expect([...(names as Set<string>)].filter((type) => type !== "COMPLETED")).toEqual(["CANCELLED"]);
    });

    test("cancelling a final run changes nothing", async () => {
      const seen = await inFlow(async () => {
        const done = tasks.add.submit(1, 2);
        await done;
        return [(await done.cancel()).name, await done];
      });
      expect(seen).toEqual(["Completed", 3]);
    });

    test("a cancelled flow is CANCELLED, and so is everything in it; only onCancellation is called", async () => {
      const called: string[] = [];
      const states: State[] = [];
      const futures: TaskFuture<unknown>[] = [];
      const child = flow({ name: "child", taskRunner: runner.makeRunner() }, () => tasks.heed(path("b")));
      const run = start(
        async () => {
          const running = tasks.heed.submit(path("a"));
          futures.push(running, tasks.add.submit(running as never, 1));
          const childRun = child.start();
          void childRun.wait().then((state) => states.push(state));
          await Promise.all([running, childRun.result()]);
        },
        {
          retries: 3,
          onCancellation: [(_, state) => called.push(`cancelled ${state.name}`)],
          onFailure: [() => called.push("failed")],
          onCrashed: [() => called.push("crashed")],
        },
      );
      await exists("a.started");
      expect(await run.cancel()).toMatchObject({ type: "CANCELLED", message: "The flow run was cancelled." });
      expect([...futures.map(({ state }) => state), ...states].map((state) => state.name)).toEqual([
        "Cancelled",
        "Cancelled",
        "Cancelled",
      ]);
      expect(called).toEqual(["cancelled Cancelled"]);
      await expect(run.result()).rejects.toMatchObject({ code: "ERR_CANCELLED_RUN" });
    });

    test.skipIf(exceptions.sharesTheEventLoop)("a task that computes for ever is ended", async () => {
      const seen = await inFlow(async () => {
        const endless = tasks.busy.submit(path("a"));
        await exists("a.started");
        return [(await endless.cancel()).name, await tasks.add(1, 2)];
      });
      expect(seen).toEqual(["Cancelled", 3]);
    });
  });
}
