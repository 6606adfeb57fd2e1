import { describe, expect, test } from "vitest";
import { collectGarbage } from "../../../../test/support/collect-garbage.ts";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { activeContext, tags } from "../engine/context.ts";
import { FlowRunEndedError, MapStreamError } from "../errors/errors.ts";
import { ConcurrentTaskRunner } from "../runners/concurrent-task-runner.ts";
import type { Call, TaskRunner } from "../runners/task-runner.ts";
import { TaskFutureStream } from "./future-stream.ts";

keepLogs();

const echo = task({ name: "echo" }, <T>(value: T) => value);
const pair = task({ name: "pair" }, (...args: unknown[]) => args);
const inFlow = <R>(fn: () => R, taskRunner: TaskRunner = new ConcurrentTaskRunner()) =>
  flow({ name: "f", taskRunner }, fn)();

async function* numbers(count: number) {
  for (let n = 0; n < count; n++) yield n;
}

/** Settles calls when it is told to, or by itself in a later turn. */
class CountingRunner implements TaskRunner {
  readonly name = "counting";
  readonly calls: Call[] = [];
  unfinished = 0;
  most = 0;
  readonly #window: number;
  readonly #settlesItself: boolean;

  constructor(window: number, settlesItself: boolean) {
    this.#window = window;
    this.#settlesItself = settlesItself;
  }

  async open() {
    const submit = (call: Call) => {
      this.most = Math.max(this.most, ++this.unfinished);
      this.calls.push(call);
      if (this.#settlesItself) setImmediate(() => this.settleNext());
    };
    return { submit, cancel: () => true, windowFor: () => this.#window, async close() {} };
  }

  settleNext(): void {
    const call = this.calls.shift() as Call;
    this.unfinished--;
    call.settle({ type: "returned", value: call.args[0] });
  }
}

describe("the window", () => {
  test("never are more calls unfinished than it says, in a source of 200,000", async () => {
    const runner = new CountingRunner(7, true);
    let seen = 0;
    await inFlow(async () => {
      for await (const _ of echo.map(numbers(200_000))) seen++;
    }, runner);
    expect([seen, runner.most]).toEqual([200_000, 7]);
  });

  test("is filled though nobody takes what is there, and holds what nobody takes", async () => {
    const runner = new CountingRunner(3, false);
    let pulled = 0;
    async function* source() {
      for (;;) yield ++pulled;
    }
    await inFlow(async () => {
      const futures = echo.map(source())[Symbol.asyncIterator]();
      await futures.next();
      while (runner.unfinished < 3) await new Promise(setImmediate);
      for (let settled = 0; settled < 3; settled++) runner.settleNext();
      while (runner.unfinished < 1) await new Promise(setImmediate);
      await new Promise(setImmediate);
      expect(pulled).toBe(4); // One was taken, and three wait to be taken: settled or not.
      await futures.return?.();
      runner.settleNext();
    }, runner);
  });

  test("a future that the loop has let go of is kept no longer", async () => {
    await inFlow(async () => {
      const futures = echo.map(numbers(10_000))[Symbol.asyncIterator]();
      const refs: WeakRef<object>[] = [];
      for (let n = 0; n < 5_000; n++) refs.push(new WeakRef((await futures.next()).value as object));
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
      collectGarbage();
      expect(refs.slice(0, 4_990).filter((ref) => ref.deref() !== undefined)).toEqual([]);
      await futures.return?.();
    });
  });

  test("timers have their turn, however much is there at once", async () => {
    await inFlow(async () => {
      let hasFired = false;
      setTimeout(() => {
        hasFired = true;
      }, 1);
      async function* source() {
        while (!hasFired) yield 1;
      }
      for await (const _ of echo.map(source()));
    });
  });
});

describe("what is called when", () => {
  test("nothing is, before the stream is iterated", async () => {
    let isAsked = false;
    const source = {
      [Symbol.asyncIterator]() {
        isAsked = true;
        return numbers(1);
      },
    };
    await inFlow(() => {
      expect(echo.map(source)).toBeInstanceOf(TaskFutureStream);
      return "never iterated";
    });
    expect(isAsked).toBe(false);
  });

  test("the source runs where map was called, and its runs have the tags there", async () => {
    const own = task({ name: "own" }, (_: number) => activeContext()?.tags);
    const contexts: unknown[] = [];
    async function* source() {
      for (const n of [1, 2, 3]) {
        contexts.push(activeContext()?.flowName);
        yield n;
      }
    }
    const seen = await inFlow(async () => {
      const stream = tags("nightly", () => own.map(source()));
      const seen: unknown[] = [];
      for await (const value of stream.results()) seen.push(value);
      return seen;
    });
    expect(seen).toEqual([["nightly"], ["nightly"], ["nightly"]]);
    expect(contexts).toEqual(["f", "f", "f"]);
  });

  test("several next() at once are answered in order, and all at the end", async () => {
    await inFlow(async () => {
      const futures = echo.map(numbers(2))[Symbol.asyncIterator]();
      const steps = await Promise.all([futures.next(), futures.next(), futures.next(), futures.next()]);
      expect(steps.map(({ done }) => done)).toEqual([false, false, true, true]);
      expect(await steps[1]?.value?.result()).toBe(1);
    });
  });

  test("leaving the loop does not wait for a source that has nothing", async () => {
    await inFlow(async () => {
      async function* source() {
        yield 1;
        await new Promise(() => {});
      }
      for await (const _ of echo.map(source())) break;
    });
  });

  test("a source that throws is not asked to end; one that is left, once", async () => {
    const asked: string[] = [];
    const source = (next: () => Promise<IteratorResult<number>>) => ({
      [Symbol.asyncIterator]: () => ({
        next,
        async return() {
          asked.push("return");
          return { done: true, value: undefined } as const;
        },
      }),
    });
    await inFlow(async () => {
      const broken = echo.map(source(() => Promise.reject(new Error("broken"))));
      await expect(broken[Symbol.asyncIterator]().next()).rejects.toThrow("broken");
      expect(asked).toEqual([]);
      let n = 0;
      for await (const _ of echo.map(source(async () => ({ done: false, value: n++ })))) if (n > 2) break;
      expect(asked).toEqual(["return"]);
      return "handled";
    });
  });

  test("once the flow has ended, the stream ends with an error", async () => {
    const mayGo = signal();
    let rest!: Promise<unknown>;
    async function* source() {
      yield 1;
      await mayGo;
      yield 2;
    }
    await inFlow(() => {
      rest = (async () => {
        for await (const _ of echo.map(source()));
      })();
    });
    mayGo.send();
    await expect(rest).rejects.toThrow(FlowRunEndedError);
  });
});

test("two that would be taken apart, one of them async, are refused at once", async () => {
  await inFlow(() => {
    expect(() => pair.map(numbers(1), numbers(1))).toThrow(MapStreamError);
    expect(() => pair.map(numbers(1), [1])).toThrow("got 1 async and 1 other iterables");
  });
});
