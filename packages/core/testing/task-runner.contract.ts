/** What every task runner does alike. A package that has one calls this from a test file of its own. */
import {
  allowFailure,
  asCompleted,
  FailedRunError,
  flow,
  logTo,
  quote,
  type State,
  type TaskRunner,
  tags,
  UnfinishedRunError,
  unmapped,
} from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type * as contractTasks from "./contract-tasks.ts";

export interface TaskRunnerContractOptions {
  /** The module contract-tasks.ts, imported by whoever calls. */
  readonly tasks: typeof contractTasks;
}

export function taskRunnerContract(
  name: string,
  makeRunner: () => TaskRunner,
  { tasks }: TaskRunnerContractOptions,
): void {
  const inFlow = <R>(fn: () => R) => flow({ name: "contract", taskRunner: makeRunner() }, fn)();
  let lines: Record<string, unknown>[] = [];
  beforeEach(() => {
    lines = [];
    logTo({
      write: (text) =>
        lines.push(
          ...text
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line)),
        ),
    });
  });
  afterEach(() => logTo(undefined));

  describe(`the ${name} task runner: values`, () => {
    test("a call gives the value", async () => {
      expect(await inFlow(() => tasks.add(1, 2))).toBe(3);
      expect(await inFlow(() => tasks.echo(undefined))).toBeUndefined();
    });

    test("values arrive as what they were", async () => {
      const value = {
        date: new Date(0),
        map: new Map([["k", new Set([1n])]]),
        bytes: new Uint8Array([1, 2]),
        none: null,
      };
      expect(await inFlow(() => tasks.echo(value))).toEqual(value);
    });

    test("results of map are in the order of the input, whatever the order in which runs end", async () => {
      const indices = Array.from({ length: 20 }, (_, index) => index);
      expect(await inFlow(() => tasks.endInReverse.map(indices, 20))).toEqual(indices);
    });

    test("futures in arguments are replaced by their values, at any depth", async () => {
      const value = inFlow(() =>
        tasks.echo({ rows: [{ n: tasks.add.submit(1, 2) }], m: new Map([["k", tasks.square.submit(2)]]) }),
      );
      expect(await value).toEqual({ rows: [{ n: 3 }], m: new Map([["k", 4]]) });
      expect(await inFlow(() => tasks.sum(tasks.square.map([1, 2, 3])))).toBe(14);
    });

    test("allowFailure passes the error of a failed run, at any depth, and lets only failures pass", async () => {
      const seen = inFlow(async () => {
        const failed = tasks.throwTypeError.submit();
        const passed = await tasks.echo({ parts: [allowFailure(failed), tasks.add.submit(1, 2)] });
        const behind = await tasks.echo.submit(allowFailure(tasks.echo.submit(failed))).wait();
        return { passed, behind: behind?.name };
      });
      const { passed, behind } = await seen;
      const [error, value] = (passed as { parts: unknown[] }).parts;
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ message: "no such column", column: "delay" });
      expect(value).toBe(3);
      expect(behind).toBe("NotReady");
    });

    test("quote passes a value as it is, and a quoted iterable is mapped", async () => {
      const value = { rows: [1, -0, new Map([["k", [2]]])] };
      expect(await inFlow(() => tasks.echo(quote(value)))).toStrictEqual(value);
      expect(await inFlow(() => tasks.square.map(quote([1, 2])).results())).toEqual([1, 4]);
    });

    test("asCompleted gives the futures as their runs become final", async () => {
      const seen = await inFlow(async () => {
        const names: string[] = [];
        const futures = [tasks.add.submit(1, 2), tasks.throwTypeError.submit(), tasks.square.submit(3)];
        for await (const future of asCompleted(futures)) names.push(future.state.name);
        return names.sort();
      });
      expect(seen).toEqual(["Completed", "Completed", "Failed"]);
    });

    test("runs that depend on each other run in turn", async () => {
      const chained = inFlow(() => {
        let last = tasks.add.submit(0, 0);
        for (let n = 0; n < 100; n++) last = tasks.add.submit(last, 1);
        return last;
      });
      expect(await chained).toBe(100);
    });

    test("10,000 tasks give 10,000 results", async () => {
      const numbers = Array.from({ length: 10_000 }, (_, n) => n);
      expect(await inFlow(() => tasks.add.map(numbers, unmapped(1)))).toEqual(numbers.map((n) => n + 1));
    });
  });

  describe(`the ${name} task runner: failures`, () => {
    test("an error keeps its class name, message, cause and own fields", async () => {
      await expect(inFlow(() => tasks.throwTypeError())).rejects.toMatchObject({
        name: "TypeError",
        message: "no such column",
        cause: { name: "RangeError", message: "row 7" },
        column: "delay",
        stack: expect.stringContaining("contract-tasks"),
      });
      await expect(inFlow(() => tasks.throwTypeError())).rejects.toBeInstanceOf(TypeError);
    });

    test("what is thrown and is no error arrives as text", async () => {
      await expect(inFlow(() => tasks.throwText())).rejects.toThrow(new FailedRunError("just text"));
    });

    test("a failed run has its state, and runs behind it are NotReady", async () => {
      const { failed, behind, id } = await inFlow(async () => {
        const future = tasks.throwTypeError.submit();
        const behind = tasks.echo.submit([future]);
        return {
          failed: { ...(await future.wait()) },
          behind: { ...(await behind.wait()) },
          id: future.taskRunId,
        };
      });
      expect(failed).toMatchObject({
        type: "FAILED",
        name: "Failed",
        message: "Task run encountered an exception: TypeError: no such column",
        runId: id,
      });
      expect(behind).toMatchObject({
        type: "PENDING",
        name: "NotReady",
        message: `Upstream task run '${id}' did not reach a 'COMPLETED' state.`,
      });
    });

    test("a direct call of a task whose input failed throws UnfinishedRunError", async () => {
      await expect(inFlow(() => tasks.echo(tasks.throwTypeError.submit()))).rejects.toThrow(
        UnfinishedRunError,
      );
    });

    test("a state that a task returns is the state of its run", async () => {
      const states = inFlow(async () => {
        const all = [tasks.returnFailed.submit(), tasks.returnCancelled.submit()].map((future) =>
          future.wait(),
        );
        return { states: (await Promise.all(all)).map((state) => ({ ...(state as State) })) };
      });
      expect((await states).states).toMatchObject([
        { type: "FAILED", message: "no rows" },
        { type: "CANCELLED", message: "holiday" },
      ]);
    });

    test("a flow that returns nothing takes its state from its runs", async () => {
      const fn = () => void [tasks.add.submit(1, 1), tasks.throwTypeError.submit()];
      const run = flow({ name: "contract", taskRunner: makeRunner() }, fn).start();
      expect(await run.wait()).toMatchObject({ type: "FAILED", message: "1/2 states failed." });
    });

    test("a failed attempt is tried again, as often as retries say", async () => {
      const twice = tasks.succeedInAttempt.withOptions({ retries: 2, retryDelaySeconds: [0, 0.001] });
      expect(await inFlow(() => twice(3))).toBe(3);
      await expect(inFlow(() => twice(4))).rejects.toThrow("failed in attempt 3");
    });
  });

  describe(`the ${name} task runner: context and logs`, () => {
    test("a task sees its run, its flow run and their tags", async () => {
      const run = flow({ name: "contract", tags: ["of-flow"], taskRunner: makeRunner() }, async () => {
        const future = tags("of-scope", () => tasks.context.submit());
        return { context: await future, taskRunId: future.taskRunId };
      }).start();
      const { context, taskRunId } = await run.result();
      expect(context).toEqual({
        flowRunId: run.id,
        flowName: "contract",
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

    test("what a task logs has the ids of its run, and is in order", async () => {
      const texts = Array.from({ length: 20 }, (_, n) => `line ${n}`);
      const run = flow({ name: "contract", taskRunner: makeRunner() }, async () => {
        const future = tasks.log.submit(texts);
        await future;
        return future.taskRunId;
      }).start();
      const taskRunId = await run.result();
      const logged = lines.filter((line) => line.taskRunId === taskRunId);
      expect(logged.map(({ msg }) => msg)).toEqual(texts);
      expect(logged[0]).toMatchObject({
        flowRunId: run.id,
        flowName: "contract",
        taskName: "log",
        attempt: 1,
      });
    });

    test("with logConsole, what a task prints is logged", async () => {
      await inFlow(() => tasks.print("printed"));
      expect(lines).toContainEqual(expect.objectContaining({ taskName: "print", msg: "printed" }));
    });
  });

  describe(`the ${name} task runner: nesting and sharing`, () => {
    test("a task may call, submit and map tasks, and flows", async () => {
      expect(await inFlow(() => tasks.sumOfSquares([1, 2, 3]))).toBe(14);
      expect(await inFlow(() => tasks.callFlow(3))).toBe(9);
    });

    test("many tasks that wait for tasks of their own do not block each other", async () => {
      expect(await inFlow(() => tasks.fibonacci(8))).toBe(21);
      expect(await inFlow(() => tasks.fibonacci.map(new Array(10).fill(5)))).toEqual(new Array(10).fill(5));
    });

    test("tasks call tasks fifty levels deep, and a thousand at once", async () => {
      expect(await inFlow(() => tasks.descend(50))).toBe(50);
      const numbers = Array.from({ length: 1000 }, (_, n) => n);
      expect(await inFlow(() => tasks.squares(numbers))).toEqual(numbers.map((n) => n * n));
    });

    test("a nested failure is caught as it was, or fails the task that does not", async () => {
      const failure = { name: "TypeError", message: "no such column", cause: { name: "RangeError" } };
      expect(await inFlow(() => tasks.nestedFailures())).toMatchObject({
        caught: failure,
        behind: "NotReady",
      });
      await expect(inFlow(() => tasks.failInside())).rejects.toMatchObject(failure);
    });

    test("a nested run is tried again, and passes values on", async () => {
      expect(await inFlow(() => tasks.retryInside())).toBe(3);
      const value = { at: new Date(0), ids: new Set([1n]) };
      expect(await inFlow(() => tasks.passInside(value))).toEqual({ deep: [[value]] });
    });

    test("what nested runs log has their ids, and comes before what is logged after them", async () => {
      await inFlow(() => tasks.logInside("line"));
      const logged = lines.filter(({ msg }) => String(msg).startsWith("line "));
      expect(logged).toMatchObject([
        { msg: "line below", taskName: "log" },
        { msg: "line above", taskName: "log-inside" },
      ]);
      expect(String(logged[0]!.taskRunId)).toContain(String(logged[1]!.taskRunId));
    });

    test("a task that a task submits belongs to the same flow run", async () => {
      const run = flow({ name: "contract", taskRunner: makeRunner() }, () => tasks.contextOfNested()).start();
      expect(await run.result()).toMatchObject({ flowRunId: run.id, taskName: "context" });
    });

    test("one instance serves flow runs at the same time, one after the other, and nested", async () => {
      const taskRunner = makeRunner();
      const child = flow({ name: "child", taskRunner }, (n: number) => tasks.square(n));
      const parent = flow({ name: "parent", taskRunner }, async (n: number) => tasks.add(await child(n), 1));
      expect(await Promise.all([parent(1), parent(2), parent(3)])).toEqual([2, 5, 10]);
      expect(await parent(4)).toBe(17);
    });
  });
}
