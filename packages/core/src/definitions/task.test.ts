import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { getRunContext } from "../engine/context.ts";
import { FailedRunError, MissingContextError, UnfinishedRunError } from "../errors/errors.ts";
import { TaskFuture } from "../futures/future.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";

keepLogs();

const boom = new Error("boom");
const add = task({ name: "add" }, (a: number, b: number) => a + b);
const later = task({ name: "later" }, async (n: number) => n);
const fails = task({ name: "fails" }, (): number => {
  throw boom;
});
const inFlow = <R>(fn: () => R) => flow({ name: "f" }, fn)();

describe("a direct call", () => {
  test("gives the value, of a function that is async or not", async () => {
    expect(await inFlow(async () => [await add(1, 2), await later(3)])).toEqual([3, 3]);
  });

  test("throws what the function threw, the very same object", async () => {
    await expect(inFlow(() => fails())).rejects.toBe(boom);
  });

  test("with a failed input throws UnfinishedRunError, for it never ran", async () => {
    const error = await inFlow(async () => {
      const upstream = fails.submit();
      const caught = await add(upstream, 1).catch((error: unknown) => error);
      return { caught, upstreamId: upstream.taskRunId };
    });
    expect(error.caught).toBeInstanceOf(UnfinishedRunError);
    expect(String(error.caught)).toContain(
      `Upstream task run '${error.upstreamId}' did not reach a 'COMPLETED' state.`,
    );
  });

  test("outside a flow runs in this process, with a run of its own", async () => {
    const whoAmI = task({ name: "who" }, () => getRunContext());
    expect(await add(1, 2)).toBe(3);
    await expect(fails()).rejects.toBe(boom);
    const context = await whoAmI();
    expect(context).toMatchObject({ taskName: "who", flowName: "who", taskRunId: `${context.flowRunId}-0` });
  });

  test("outside a flow may call other tasks", async () => {
    const sum = task({ name: "sum" }, async (xs: number[]) => {
      const doubled = await add.map(xs, xs).results();
      return doubled.reduce((a, b) => a + b, 0);
    });
    expect(await sum([1, 2])).toBe(6);
  });
});

describe("submit", () => {
  test("returns a future at once, before the function is called", async () => {
    let wasCalled = false;
    const mark = task({ name: "mark" }, () => {
      wasCalled = true;
    });
    const seen = await inFlow(() => {
      const future = mark.submit();
      return { isFuture: future instanceof TaskFuture, wasCalled, stateWasFinal: future.state.isFinal() };
    });
    expect(seen).toEqual({ isFuture: true, wasCalled: false, stateWasFinal: false });
    expect(wasCalled).toBe(true);
  });

  test("never throws what the task throws; the future does", async () => {
    await inFlow(async () => {
      const future = fails.submit();
      await expect(future).rejects.toBe(boom);
      await expect(future.result()).rejects.toBe(boom);
      expect(await future.wait()).toMatchObject({
        type: "FAILED",
        message: "Task run encountered an exception: Error: boom",
        data: boom,
        runId: future.taskRunId,
      });
      return "handled";
    });
  });

  test("outside every run is an error that says what to do", () => {
    expect(() => add.submit(1, 2)).toThrow(MissingContextError);
    expect(() => add.submit(1, 2)).toThrow(
      'Expected "add".submit() to be called inside a flow run or a task run',
    );
    expect(() => add.map([1], [2])).toThrow(MissingContextError);
  });

  test("gives runs ids that count within their flow run", async () => {
    const run = flow({ name: "f" }, () => [add.submit(1, 1).taskRunId, add.submit(1, 1).taskRunId]).start();
    expect(await run.result()).toEqual([`${run.id}-0`, `${run.id}-1`]);
  });

  test("tasks that wait for each other's work run at the same time", async () => {
    const question = signal<string>();
    const answer = signal<string>();
    const asks = task({ name: "asks" }, () => {
      question.send("?");
      return answer;
    });
    const answers = task({ name: "answers" }, async () => answer.send(`${await question}!`));
    expect(await inFlow(() => [answers.submit(), asks.submit()])).toEqual([undefined, "?!"]);
  });

  test("an argument that cannot be looked into is thrown at the caller, and the flow still ends", async () => {
    const show = task({ name: "show" }, (value: unknown) => value);
    const trap = {
      get secret(): never {
        throw boom;
      },
    };
    await expect(inFlow(() => show.submit(trap))).rejects.toBe(boom);
  });
});

describe("a future", () => {
  test("wait() with a time limit gives undefined when the run is not final by then", async () => {
    const mayEnd = signal();
    const slow = task({ name: "slow" }, () => mayEnd);
    await inFlow(async () => {
      const future = slow.submit();
      expect(await future.wait(0.001)).toBeUndefined();
      mayEnd.send();
      expect(await future.wait(60)).toMatchObject({ type: "COMPLETED" });
      expect(await future.wait(0)).toMatchObject({ type: "COMPLETED" });
    });
  });

  test("may be awaited as often as one likes", async () => {
    expect(await inFlow(async () => [await add.submit(1, 2), ...(await twice(add.submit(2, 3)))])).toEqual([
      3, 5, 5,
    ]);
    async function twice(future: TaskFuture<number>) {
      return [await future, await future];
    }
  });

  test("its run may crash: the result is then the error of the crash", async () => {
    const dies = new Error("worker died");
    const taskRunner = {
      name: "crashing",
      open: async () => ({
        submit: (call: { settle(outcome: { type: "crashed"; error: Error }): void }) =>
          call.settle({ type: "crashed", error: dies }),
        cancel: () => true,
        close: async () => {},
      }),
    };
    const run = flow({ name: "f", taskRunner }, () => void add.submit(1, 2)).start();
    expect(await run.wait()).toMatchObject({ type: "FAILED", message: "1/1 states failed.", data: dies });
  });
});

describe("what a function throws", () => {
  test.each([["no rows"], [undefined], [null]])(
    "%o, which is no error, arrives as the text of an error",
    async (thrown) => {
      const odd = task({ name: "odd" }, () => {
        throw thrown;
      });
      await expect(odd()).rejects.toSatisfy((error) => error === thrown || error instanceof FailedRunError);
    },
  );

  test.each([
    ["a symbol", Symbol("s")],
    ["a function", () => {}],
    ["an object without a prototype", Object.create(null)],
    ["a frozen error", Object.freeze(new Error("frozen"))],
    [
      "an error that holds itself",
      Object.assign(new Error("loop"), {
        get self() {
          return this;
        },
      }),
    ],
    ["a number", 42],
  ])("%s arrives as it is, and the flow ends", async (_, thrown) => {
    const odd = task({ name: "odd" }, () => {
      throw thrown;
    });
    await expect(inFlow(() => odd())).rejects.toBe(thrown);
  });
});

describe("a task that calls tasks", () => {
  test("may call and submit them; they belong to it", async () => {
    const inner = task({ name: "inner" }, () => getRunContext().taskRunId);
    const outer = task({ name: "outer" }, async () => [await inner(), await inner.submit()]);
    const run = flow({ name: "f" }, async () => ({
      id: outer.submit().taskRunId,
      inner: await outer(),
    })).start();
    const { inner: ids } = await run.result();
    expect(ids).toEqual([`${run.id}-1.1-0`, `${run.id}-1.1-1`]);
  });

  test("ends when everything that it submitted has, also when it throws", async () => {
    const mayEnd = signal();
    const innerRuns = signal();
    const inner = task({ name: "inner" }, async () => {
      innerRuns.send();
      await mayEnd;
    });
    const outer = task({ name: "outer" }, () => {
      inner.submit();
      throw boom;
    });
    await inFlow(async () => {
      const future = outer.submit();
      await innerRuns;
      expect(future.state.isFinal()).toBe(false);
      mayEnd.send();
      await expect(future).rejects.toBe(boom);
    }).catch(() => {});
  });

  test("may go as deep as it likes", async () => {
    const count = task(
      { name: "count" },
      async (n: number): Promise<number> => (n === 0 ? 0 : 1 + (await count(n - 1))),
    );
    expect(await inFlow(() => count(50))).toBe(50);
  });
});
