import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { MapLengthError, NothingToMapError } from "../errors/errors.ts";
import { TaskFutureList } from "../futures/future.ts";
import { flow } from "./flow.ts";
import { unmapped } from "./map.ts";
import { task } from "./task.ts";

keepLogs();

const boom = new Error("boom");
const give = task({ name: "give" }, <T>(value: T) => value);
const numbers = task({ name: "numbers" }, (ns: number[]) => ns);
const double = task({ name: "double" }, (n: number) => n * 2);
const show = task({ name: "show" }, (...args: unknown[]) => args);
const fails = task({ name: "fails" }, (error: Error): number => {
  throw error;
});
const inFlow = <R>(fn: () => R) => flow({ name: "f" }, fn)();
/** What each call got that `show.map(...args)` made. */
const calls = (...args: Parameters<typeof show.map>) => inFlow(() => show.map(...args));

describe("iterables are taken apart, in step", () => {
  test.each([
    ["an array", [1, 2], [[1], [2]]],
    ["a Set", new Set([1, 2]), [[1], [2]]],
    ["a Map, by entries", new Map([["a", 1]]), [[["a", 1]]]],
    ["a typed array", new Uint8Array([1, 2]), [[1], [2]]],
    ["nothing in it: no calls", [], []],
  ])("%s", async (_, iterable, expected) => {
    expect(await calls(iterable)).toEqual(expected);
  });

  test("a generator", async () => {
    function* count() {
      yield 1;
      yield 2;
    }
    expect(await calls(count())).toEqual([[1], [2]]);
  });

  test("several of one length", async () => {
    expect(await calls([1, 2], new Set(["a", "b"]))).toEqual([
      [1, "a"],
      [2, "b"],
    ]);
  });
});

describe("what is not taken apart goes to every call", () => {
  test.each([
    ["a number", 5],
    ["a string", "text"],
    ["null", null],
    ["undefined", undefined],
    ["an object", { a: 1 }],
  ])("%s", async (_, value) => {
    expect(await calls([1, 2], value)).toEqual([
      [1, value],
      [2, value],
    ]);
  });

  test("an iterable in unmapped()", async () => {
    expect(await calls([1, 2], unmapped([8, 9]))).toEqual([
      [1, [8, 9]],
      [2, [8, 9]],
    ]);
  });

  test("a future beside an iterable: its value", async () => {
    expect(await inFlow(() => show.map([1, 2], give.submit(5)))).toEqual([
      [1, 5],
      [2, 5],
    ]);
    expect(await inFlow(() => show.map([1, 2], unmapped(give.submit([5]))))).toEqual([
      [1, [5]],
      [2, [5]],
    ]);
  });
});

describe("the list", () => {
  test("is there at once, in the order of the input, though the runs end in another", async () => {
    const second = signal();
    const meet = task({ name: "meet" }, async (n: number) => (n === 1 ? second : second.send()));
    await inFlow(async () => {
      const list = meet.map([1, 2]);
      expect(list).toBeInstanceOf(TaskFutureList);
      const ids = list.map((future) => future.taskRunId);
      expect(ids.map((id) => id.at(-1))).toEqual(["0", "1"]);
      await list.wait();
    });
  });

  test("maps and filters to plain arrays", async () => {
    await inFlow(() => {
      const list = double.map([1, 2]);
      expect(list.map(() => 1).constructor).toBe(Array);
      expect(list.filter(() => true).constructor).toBe(Array);
    });
  });

  test("may be mapped over again, and may be an argument", async () => {
    expect(await inFlow(() => double.map(double.map([1, 2])))).toEqual([4, 8]);
    expect(await inFlow(() => give(double.map([1, 2])))).toEqual([2, 4]);
  });

  test("results() gives the values in order", async () => {
    expect(await inFlow(async () => double.map([1, 2, 3]).results())).toEqual([2, 4, 6]);
  });

  test("results() rejects as soon as one fails, while others still run", async () => {
    const mayEnd = signal();
    const mixed = task({ name: "mixed" }, async (n: number) => (n === 1 ? mayEnd : Promise.reject(boom)));
    await inFlow(async () => {
      const list = mixed.map([1, 2]);
      await expect(list.results()).rejects.toBe(boom);
      expect(list[0]?.state.isFinal()).toBe(false);
      mayEnd.send();
      return "handled";
    });
  });

  test("wait() gives all the final states, and never rejects", async () => {
    const states = await inFlow(async () => ({ states: await give.map([fails.submit(boom), 1]).wait() }));
    expect(states.states).toMatchObject([{ name: "NotReady" }, { name: "Completed", data: 1 }]);
  });

  test("one failed element leaves the others alone", async () => {
    const oddFails = task({ name: "odd-fails" }, (n: number) => (n % 2 ? Promise.reject(boom) : n));
    const names = await inFlow(async () => (await oddFails.map([1, 2, 3]).wait()).map(({ name }) => name));
    expect(names).toEqual(["Failed", "Completed", "Failed"]);
  });
});

describe("a future of an iterable", () => {
  test("makes a promise of the list", async () => {
    const doubled = inFlow(async () => {
      const list = await double.map(numbers.submit([1, 2]));
      expect(list).toBeInstanceOf(TaskFutureList);
      return list;
    });
    expect(await doubled).toEqual([2, 4]);
  });

  test("goes in step with another, and beside what is not taken apart", async () => {
    const rows = await inFlow(async () => await show.map(give.submit([1, 2]), give.submit(["a", "b"]), 5));
    expect(rows).toEqual([
      [1, "a", 5],
      [2, "b", 5],
    ]);
  });

  test("that nobody awaits is mapped before the flow ends", async () => {
    const seen: number[] = [];
    const see = task({ name: "see" }, (n: number) => void seen.push(n));
    await inFlow(() => void see.map(numbers.submit([1, 2])));
    expect(seen).toEqual([1, 2]);
  });

  test("that failed rejects the promise; when nobody awaits it, the flow fails and nothing else happens", async () => {
    const rows = task({ name: "rows" }, (): number[] => {
      throw boom;
    });
    await inFlow(async () => {
      await expect(double.map(rows.submit())).rejects.toBe(boom);
      return "handled";
    });
    await expect(inFlow(() => void double.map(rows.submit()))).rejects.toBe(boom);
  });

  test("of something else is an error", async () => {
    await inFlow(async () => {
      await expect(double.map(numbers.submit(5 as never))).rejects.toThrow(NothingToMapError);
      return "handled";
    });
  });
});

describe("errors", () => {
  test("nothing to take apart", async () => {
    await expect(inFlow(() => double.map(5))).rejects.toThrow(NothingToMapError);
    await expect(inFlow(() => show.map("text", unmapped([1])))).rejects.toThrow(
      'Expected at least one iterable argument for "show".map(...), got none.',
    );
    await expect(inFlow(() => show.map())).rejects.toThrow(NothingToMapError);
  });

  test("different lengths, which the message lists", async () => {
    await expect(inFlow(() => show.map([1, 2], [1], []))).rejects.toThrow(MapLengthError);
    await expect(inFlow(() => show.map([1, 2], [1], []))).rejects.toThrow("to have one length, got 2, 1, 0.");
  });

  test("they are thrown at once, not by a promise that nobody may await", async () => {
    await inFlow(() => {
      expect(() => double.map(5)).toThrow(NothingToMapError);
      expect(() => show.map([1], [])).toThrow(MapLengthError);
    });
  });

  test("no run is made then", async () => {
    const run = flow({ name: "f" }, () => {
      try {
        show.map([1, 2], [1]);
      } catch {}
    }).start();
    expect(await run.wait()).toMatchObject({ type: "COMPLETED", message: "" });
  });
});
