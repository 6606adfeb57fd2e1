import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import type { FlowRun } from "../engine/flow-run.ts";
import type { TaskFuture } from "../futures/future.ts";
import { Failed } from "../futures/state.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";
import type { TaskOptions } from "./task-options.ts";

const logs = keepLogs();
const boom = new Error("boom");

let made = 0;

/** A task that fails `failures` times, and then gives "ok". */
function flaky(failures: number, options: TaskOptions, onAttempt: (attempt: number) => void = () => {}) {
  let attempts = 0;
  return task({ name: `flaky-${++made}`, ...options }, () => {
    onAttempt(++attempts);
    if (attempts <= failures) throw boom;
    return "ok";
  });
}

describe("attempts", () => {
  test.each([
    [0, 1, "FAILED"],
    [2, 3, "FAILED"],
    [5, 4, "COMPLETED"],
  ])(
    "with retries: %d, a task that fails three times is tried %d times and ends %s",
    async (retries, tries, type) => {
      let attempts = 0;
      const often = flaky(3, { retries }, () => attempts++);
      const state = await flow({ name: "f" }, async () => ({ state: await often.submit().wait() }))();
      expect(state.state).toMatchObject({ type });
      expect(attempts).toBe(tries);
    },
  );

  test("the last attempt's error is the run's", async () => {
    let attempt = 0;
    const often = task({ name: "often", retries: 1 }, () =>
      Promise.reject(new Error(`attempt ${++attempt}`)),
    );
    await expect(often()).rejects.toThrow("attempt 2");
  });

  test("a returned Failed state is tried again, too", async () => {
    let attempts = 0;
    const often = task({ name: "often", retries: 2 }, () =>
      ++attempts < 3 ? Failed({ message: "no rows" }) : attempts,
    );
    expect(await often()).toBe(3);
  });

  test("each failure but the last is a warning in the log, the last an error", async () => {
    await flaky(2, { retries: 1 })().catch(() => {});
    expect(logs().map(({ level, attempt, msg }) => ({ level, attempt, msg }))).toEqual([
      { level: 40, attempt: 1, msg: "task run failed, will be tried again" },
      { level: 50, attempt: 2, msg: "task run failed" },
    ]);
  });
});

describe("states on the way", () => {
  test("without a delay: Running, Retrying, Completed", async () => {
    const seen: string[] = [];
    let future: TaskFuture<string> | undefined;
    const often = flaky(2, { retries: 2 }, () => seen.push(future?.state.name ?? ""));
    await flow({ name: "f" }, () => {
      future = often.submit();
      seen.push(future.state.name);
    })();
    expect([...seen, future?.state.name]).toEqual([
      "Running",
      "Running",
      "Retrying",
      "Retrying",
      "Completed",
    ]);
  });

  describe("with a delay", () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    /** Lets the timers of a run end at once, one after the other. */
    async function passTime(run: FlowRun<unknown>): Promise<void> {
      while (!run.state.isFinal()) {
        await new Promise(setImmediate);
        vi.advanceTimersToNextTimer();
      }
    }

    test("AwaitingRetry until the time has come, then Retrying", async () => {
      const isRetrying = signal<string>();
      let future: TaskFuture<string> | undefined;
      const often = flaky(1, { retries: 1, retryDelaySeconds: 60 }, (attempt) => {
        if (attempt === 2) isRetrying.send(future?.state.name ?? "");
      });
      const run = flow({ name: "f" }, () => {
        future = often.submit();
        return future;
      }).start();
      while (vi.getTimerCount() === 0) await new Promise(setImmediate);
      expect(future?.state).toMatchObject({ type: "SCHEDULED", name: "AwaitingRetry" });
      vi.advanceTimersByTime(59_999);
      expect(future?.state.name).toBe("AwaitingRetry");
      vi.advanceTimersByTime(1);
      expect(await isRetrying).toBe("Retrying");
      expect(await run.result()).toBe("ok");
    });

    test.each([
      ["a number", 2, [2000, 2000, 2000]],
      ["a list", [1, 3], [1000, 3000, 3000]],
      [
        "a function of the retries",
        (retries: number) => Array.from({ length: retries }, (_, n) => 2 ** n),
        [1000, 2000, 4000],
      ],
    ] as const)("as %s says", async (_, retryDelaySeconds, expected) => {
      const timeouts = vi.spyOn(globalThis, "setTimeout");
      const fails = task({ name: `fails-${++made}`, retries: 3, retryDelaySeconds }, () =>
        Promise.reject(boom),
      );
      await passTime(flow({ name: "f" }, () => void fails.submit()).start());
      expect(timeouts.mock.calls.map(([, delayMs]) => delayMs)).toEqual(expected);
    });
  });
});
