import { describe, expect, test } from "vitest";
import { signal } from "../../testing/signal.ts";
import { task } from "../definitions/task.ts";
import type { TaskDefinition } from "../definitions/task-definition.ts";
import { FlowRunEndedError } from "../errors/errors.ts";
import { ConcurrentSession } from "../runners/concurrent-task-runner.ts";
import { type AttemptInfo, runAttempt } from "./attempt.ts";
import { getRunContext } from "./context.ts";
import { defaultServices } from "./run-services.ts";

const info: AttemptInfo = {
  flowRunId: "run",
  flowName: "f",
  flowRunName: "brisk-otter",
  taskRunId: "run-0",
  taskRunName: "t-0",
  attempt: 1,
  tags: ["a"],
  logConsole: false,
  timeoutSeconds: undefined,
  heldLimits: [],
};
const boom = new Error("boom");
const inner = task({ name: "inner" }, (n: number) => n * 2);

/** What the attempt of a task with this function gives; `closed` counts the ends of sessions of nested tasks. */
function attempt(fn: () => unknown) {
  const closed = { count: 0 };
  const attempt = runAttempt({ fn, name: "t" } as unknown as TaskDefinition, [], info, {
    services: defaultServices(),
    openSession: () => {
      const session = new ConcurrentSession();
      session.close = async () => void closed.count++;
      return session;
    },
  });
  return { outcome: "type" in attempt ? attempt : attempt.outcome, closed };
}

describe("an attempt of a function that is not async ends at once", () => {
  test.each([
    ["a primitive", () => 1, 1],
    ["an object", () => ({ a: 1 }), { a: 1 }],
    ["nothing", () => {}, undefined],
  ])("with %s", (_, fn, value) => {
    expect(attempt(fn).outcome).toEqual({ type: "returned", value });
  });

  test("with what it threw, and trying again may help", () => {
    const fails = () => {
      throw boom;
    };
    expect(attempt(fails).outcome).toEqual({ type: "threw", error: boom, retriable: true });
  });
});

test("an attempt of an async function ends with its promise", async () => {
  expect(await attempt(async () => 1).outcome).toEqual({ type: "returned", value: 1 });
  expect(await attempt(() => Promise.reject(boom)).outcome).toMatchObject({ type: "threw", error: boom });
});

test("a returned object whose `then` cannot be read is what went wrong", () => {
  // biome-ignore lint/suspicious/noThenProperty: such an object is what the test is about.
  const trap = Object.defineProperty({}, "then", {
    get() {
      throw boom;
    },
  });
  expect(attempt(() => trap).outcome).toMatchObject({ type: "threw", error: boom });
});

describe("an attempt that calls tasks", () => {
  test.each([
    ["returns a primitive", () => 1, { type: "returned", value: 1 }],
    ["returns an object", () => ({ a: 1 }), { type: "returned", value: { a: 1 } }],
    [
      "throws",
      () => {
        throw boom;
      },
      { type: "threw", error: boom },
    ],
  ])("ends after them, and closes their session, when its function %s", async (_, end, expected) => {
    const mayEnd = signal();
    let hasEnded = false;
    const slow = task({ name: "slow" }, async () => {
      await mayEnd;
      hasEnded = true;
    });
    const { outcome, closed } = attempt(() => {
      slow.submit();
      return end();
    });
    mayEnd.send();
    expect(await outcome).toMatchObject(expected);
    expect(hasEnded).toBe(true);
    expect(closed.count).toBe(1);
  });

  test("numbers them under its own run and attempt", async () => {
    const id = task({ name: "id" }, () => getRunContext().taskRunId);
    expect(await attempt(() => id.map.length >= 0 && id()).outcome).toMatchObject({ value: "run-0.1-0" });
  });

  test("refuses those that come after its end", async () => {
    const hasEnded = signal();
    let late: Promise<unknown> | undefined;
    await attempt(async () => {
      late = hasEnded.then(() => inner.submit(1));
      return inner(1);
    }).outcome;
    hasEnded.send();
    await expect(late).rejects.toThrow(FlowRunEndedError);
  });
});
