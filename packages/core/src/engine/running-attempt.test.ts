import { expect, test } from "vitest";
import { signal } from "../../testing/signal.ts";
import type { TaskDefinition } from "../definitions/task-definition.ts";
import { ConcurrentSession } from "../runners/concurrent-task-runner.ts";
import { Abortable } from "./abortable.ts";
import { type AttemptInfo, runAttempt } from "./attempt.ts";
import { getRunContext } from "./context.ts";
import { defaultServices } from "./run-services.ts";
import type { RunningAttempt } from "./running-attempt.ts";

const host = { services: defaultServices(), openSession: () => new ConcurrentSession() };

function start(fn: () => unknown, timeoutSeconds?: number) {
  const info: AttemptInfo = {
    ...{
      flowRunId: "run",
      flowName: "f",
      flowRunName: "brisk-otter",
      taskRunId: "run-0",
      taskRunName: "t-0",
    },
    ...{ attempt: 1, tags: [], logConsole: false, timeoutSeconds, heldLimits: [] },
  };
  return runAttempt({ fn, name: "t" } as unknown as TaskDefinition, [], info, host);
}

/** Computes for so long. */
function compute(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

test("an attempt ends with what its function left floating, whatever that is, and its signal fires", async () => {
  for (const [error, reason] of [
    [new RangeError("floating"), "floating"],
    ["just text", "just text"],
  ] as const) {
    const mayEnd = signal();
    let context!: ReturnType<typeof getRunContext>;
    const attempt = start(async () => {
      context = getRunContext();
      await mayEnd;
    }) as RunningAttempt;
    attempt.fail(error);
    expect(await attempt.outcome).toEqual({ type: "threw", error, retriable: true });
    expect((context.signal.reason as Error).message).toBe(reason);
    mayEnd.send();
    await attempt.functionEnded;
  }
});

test("the first thing that ends an attempt is its outcome", async () => {
  const mayEnd = signal();
  const attempt = start(async () => {
    await mayEnd;
    return "too late";
  }, 60) as RunningAttempt;
  attempt.cancel("enough");
  attempt.fail(new Error("after the end"));
  mayEnd.send();
  expect(await attempt.outcome).toEqual({ type: "cancelled" });
  await attempt.functionEnded;
});

test("a function that does not await shows only afterwards that its time was over, however it ended", () => {
  const late = { type: "timed-out", error: { code: "ERR_RUN_TIMEOUT" } };
  expect(start(() => compute(3), 0.001)).toMatchObject(late);
  const throwing = () => {
    compute(3);
    throw new Error("late");
  };
  expect(start(throwing, 0.001)).toMatchObject(late);
  expect(start(() => "in time", 60)).toEqual({ type: "returned", value: "in time" });
});

test("a signal that is asked for after it fired has fired, and the first reason stands", () => {
  const abortable = new Abortable();
  const asked = abortable.signal;
  abortable.abort("first");
  abortable.abort("second");
  expect(asked.reason).toBe("first");
  const unasked = new Abortable();
  unasked.abort("reason");
  expect([unasked.signal.aborted, unasked.signal.reason]).toEqual([true, "reason"]);
});
