import { describe, expectTypeOf, test } from "vitest";
import type { LoopFuture, TaskFuture, TaskFutureList } from "../futures/future.ts";
import type { TaskFutureStream } from "../futures/future-stream.ts";
import type { State } from "../futures/state.ts";
import { Completed } from "../futures/state.ts";
import { allowFailure } from "./annotations.ts";
import { unmapped } from "./map.ts";
import { task } from "./task.ts";
import type { Resolved } from "./types.ts";

const add = task({ name: "add" }, (a: number, b: number) => a + b);
const sum = task({ name: "sum" }, (numbers: number[]) => numbers.length);
const load = task({ name: "load" }, async (id: string) => ({ id, size: 1 }));

describe("results", () => {
  const of = <R>(_: () => R) => ({}) as Resolved<R>;

  test("a direct call gives a promise, submit a future, map a list of futures", () => {
    expectTypeOf(add(1, 2)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(add.submit(1, 2)).toEqualTypeOf<TaskFuture<number>>();
    expectTypeOf(add.map([1], [2])).toEqualTypeOf<TaskFutureList<number>>();
    expectTypeOf(add.map([1], [2]).results()).toEqualTypeOf<Promise<number[]>>();
  });

  test("an awaited future is its value", async () => {
    expectTypeOf(await load.submit("a")).toEqualTypeOf<{ id: string; size: number }>();
    expectTypeOf(add.submit(1, 2).wait()).toEqualTypeOf<Promise<State | undefined>>();
  });

  test("promises are taken off, but not inside values, where nobody awaits them", () => {
    expectTypeOf(of(() => ({ later: Promise.resolve(1) }))).toEqualTypeOf<{ later: Promise<number> }>();
    expectTypeOf(of(async () => 1)).toEqualTypeOf<number>();
    expectTypeOf(of(() => Promise.resolve(Promise.resolve("a")))).toEqualTypeOf<string>();
  });

  test("tuples, unions, booleans, optional fields, any, unknown, void and never stay what they are", () => {
    expectTypeOf(of((): [number, string?] => [1])).toEqualTypeOf<[number, string?]>();
    expectTypeOf(of((): boolean => true)).toEqualTypeOf<boolean>();
    expectTypeOf(of((): "a" | 1 | null => "a")).toEqualTypeOf<"a" | 1 | null>();
    expectTypeOf(of((): { a: number; b?: string } => ({ a: 1 }))).toEqualTypeOf<{ a: number; b?: string }>();
    // biome-ignore lint/suspicious/noExplicitAny: it is what the test is about.
    expectTypeOf(of((): any => 1)).toBeAny();
    expectTypeOf(of((): unknown => 1)).toBeUnknown();
    expectTypeOf(of((): void => {})).toEqualTypeOf<void>();
    expectTypeOf(of(async (): Promise<void> => {})).toEqualTypeOf<void>();
    expectTypeOf(of((): undefined => undefined)).toEqualTypeOf<undefined>();
  });

  test("class instances, dates, typed arrays, functions and recursive types keep their type", () => {
    class Account {
      #balance = 1;
      readonly id = 1;
      get balance() {
        return this.#balance;
      }
    }
    interface Tree {
      readonly value: number;
      readonly children: Tree[];
    }
    expectTypeOf(of(() => new Account())).toEqualTypeOf<Account>();
    expectTypeOf(of(() => [new Account()])).toEqualTypeOf<Account[]>();
    expectTypeOf(of(() => new Date())).toEqualTypeOf<Date>();
    expectTypeOf(of(() => new Float64Array(1))).toEqualTypeOf<Float64Array<ArrayBuffer>>();
    expectTypeOf(of(() => new Map<string, Account>())).toEqualTypeOf<Map<string, Account>>();
    type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
    const tree = task({ name: "tree" }, (parent: Tree): Tree => parent);
    const json = task({ name: "json" }, async (value: Json): Promise<Json> => value);
    expectTypeOf(tree({ value: 1, children: [] })).toEqualTypeOf<Promise<Tree>>();
    expectTypeOf(tree(tree.submit({ value: 1, children: [] }))).toEqualTypeOf<Promise<Tree>>();
    expectTypeOf(json({ rows: [1] })).toEqualTypeOf<Promise<Json>>();
    expectTypeOf(json(json.submit(null))).toEqualTypeOf<Promise<Json>>();
  });

  test("futures, at any depth, are replaced by their values; of states nothing is known", () => {
    expectTypeOf(of(() => add.submit(1, 2))).toEqualTypeOf<number>();
    expectTypeOf(of(() => add.map([1], [2]))).toEqualTypeOf<number[]>();
    expectTypeOf(of(() => ({ total: add.submit(1, 2), name: "x" }))).toEqualTypeOf<{
      total: number;
      name: string;
    }>();
    expectTypeOf(of(() => new Map([["k", [add.submit(1, 2)]]]))).toEqualTypeOf<Map<string, number[]>>();
    expectTypeOf(task({ name: "t" }, () => Completed())()).resolves.toBeUnknown();
    expectTypeOf(of(() => [Completed()])).toEqualTypeOf<State[]>();
  });
});

describe("arguments", () => {
  const optional = task({ name: "optional" }, (a: number, b?: string) => `${a}${b}`);
  const rest = task({ name: "rest" }, (...numbers: number[]) => numbers);
  const object = task({ name: "object" }, (row: { id: number; note?: string; tags: Set<string> }) => row.id);
  const flag = task({ name: "flag" }, (on: boolean, mode: "a" | "b") => [on, mode]);
  // biome-ignore lint/suspicious/noExplicitAny: it is what the test is about.
  const anything = task({ name: "anything" }, (a: any, b: unknown) => [a, b]);

  test("take the function's types", () => {
    add.submit(1, 2);
    optional.submit(1);
    optional.submit(1, "b");
    rest.submit();
    rest.submit(1, 2, 3);
    object.submit({ id: 1, tags: new Set(["a"]) });
    flag.submit(true, "a");
    anything.submit(1, { x: () => 1 });
  });

  test("take futures of them, at any depth", () => {
    const n = add.submit(1, 2);
    const text = optional.submit(1);
    add.submit(n, 2);
    add(n, n);
    optional.submit(n, text);
    rest.submit(n, 1);
    sum.submit([n, 1]);
    sum.submit(rest.submit());
    sum.submit(add.map([1], [2]));
    object.submit({ id: n, note: text, tags: new Set([text]) });
    anything.submit(n, [n]);
  });

  test("refuse what does not fit", () => {
    // @ts-expect-error: one argument is missing.
    add.submit(1);
    // @ts-expect-error: one argument is too many.
    add.submit(1, 2, 3);
    // @ts-expect-error: a string is no number.
    add.submit(1, "2");
    // @ts-expect-error: the future is of a string.
    add.submit(1, optional.submit(1));
    // @ts-expect-error: a promise is no future: its value would not be waited for.
    add.submit(1, Promise.resolve(2));
    // @ts-expect-error: the element is a string.
    sum.submit(["1"]);
    // @ts-expect-error: the future inside is of a string.
    sum.submit([optional.submit(1)]);
    // @ts-expect-error: `tags` is missing.
    object.submit({ id: 1 });
    // @ts-expect-error: no such mode.
    flag.submit(true, "c");
    // @ts-expect-error: a future has no such member.
    add.submit(1, 2).value;
  });
});

describe("map", () => {
  const pair = task({ name: "pair" }, (n: number, label: string) => `${label}${n}`);
  const ids = task({ name: "ids" }, () => ["a"]);
  const one = task({ name: "one" }, () => 1);

  test("takes iterables of the parameters' types, and futures of elements", () => {
    pair.map([1, 2], ["a", "b"]);
    pair.map(new Set([1]), ["a"]);
    pair.map([one.submit(), 2], ids().then.name);
    pair.map(add.map([1], [2]), "label");
  });

  test("takes static values for what is not iterable, strings, and unmapped ones", () => {
    pair.map([1], "label");
    pair.map(5, ["a"]);
    pair.map(one.submit(), ["a"]);
    sum.map([[1], [2]]);
    add.map([1], unmapped(2));
    task({ name: "dot" }, (a: number[], b: number) => a.length * b).map(unmapped([1]), [1]);
  });

  test("of the future of an iterable gives a promise of the list", () => {
    expectTypeOf(load.map(ids.submit())).toEqualTypeOf<
      Promise<TaskFutureList<{ id: string; size: number }>>
    >();
    expectTypeOf(pair.map(one.submit(), ids.submit())).toEqualTypeOf<Promise<TaskFutureList<string>>>();
  });

  test("refuses what does not fit", () => {
    // @ts-expect-error: elements are strings.
    pair.map(["1"], "label");
    // @ts-expect-error: a number array is one argument here, and would be taken apart.
    task({ name: "dot" }, (a: number[], b: number) => a.length * b).map([1], [1]);
    // @ts-expect-error: the unmapped value is of another type.
    add.map([1], unmapped("2"));
    // @ts-expect-error: an argument is missing.
    pair.map([1]);
    // @ts-expect-error: beside an iterable, a future goes whole to every call, and each takes a string.
    pair.map([1], ids.submit());
  });
});

describe("map over an async iterable", () => {
  const pair = task({ name: "pair" }, (n: number, label: string) => `${label}${n}`);
  const anything = task({ name: "anything" }, (value: unknown) => value);
  const reader = task({ name: "reader" }, (rows: AsyncIterable<number>) => rows !== undefined);
  const rows = async function* () {
    yield 1;
  };

  test("gives a stream of futures, and of their values", async () => {
    expectTypeOf(add.map(rows(), 1)).toEqualTypeOf<TaskFutureStream<number>>();
    expectTypeOf(pair.map(rows(), "label")).toEqualTypeOf<TaskFutureStream<string>>();
    expectTypeOf(pair.map(rows(), unmapped("label"))).toEqualTypeOf<TaskFutureStream<string>>();
    expectTypeOf(anything.map(rows())).toEqualTypeOf<TaskFutureStream<unknown>>();
    expectTypeOf(anything.map([rows()])).toEqualTypeOf<TaskFutureList<unknown>>();
    expectTypeOf(reader.map([rows()])).toEqualTypeOf<TaskFutureList<boolean>>();
    for await (const future of add.map(rows(), 1)) {
      expectTypeOf(future).toEqualTypeOf<LoopFuture<number>>();
      expectTypeOf(future.result()).toEqualTypeOf<Promise<number>>();
      add.submit(future, 1);
    }
    for await (const value of add.map(rows(), 1).results()) expectTypeOf(value).toEqualTypeOf<number>();
  });

  test("which may be mapped over again", () => {
    expectTypeOf(pair.map(add.map(rows(), 1), "label")).toEqualTypeOf<TaskFutureStream<string>>();
    expectTypeOf(anything.map(allowFailure(add.map(rows(), 1)))).toEqualTypeOf<TaskFutureStream<unknown>>();
  });

  test("refuses what does not fit", () => {
    // @ts-expect-error: the items are numbers, and the second parameter is a string.
    pair.map(1, rows());
    // @ts-expect-error: an iterable beside it would be taken apart.
    pair.map(rows(), ["label"]);
    // @ts-expect-error: the future in the loop is of a number.
    pair.map([1], {} as LoopFuture<number>);
  });
});

test("withOptions keeps the types", () => {
  expectTypeOf(add.withOptions({ retries: 1 })).toEqualTypeOf(add);
  // @ts-expect-error: the name is a task's identity.
  add.withOptions({ name: "other" });
});

describe("options", () => {
  test("functions among them know the arguments of the task's function", () => {
    const options = task(
      {
        name: "typed",
        cacheKeyFn: (run, [id, count]) => {
          expectTypeOf(run.taskRunId).toEqualTypeOf<string>();
          expectTypeOf(id).toEqualTypeOf<string>();
          expectTypeOf(count).toEqualTypeOf<number>();
          return `${id} ${count}`;
        },
        taskRunName: ({ taskName }) => taskName,
      },
      (id: string, count: number) => id.repeat(count),
    );
    expectTypeOf(options("a", 1)).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error: a key is text, or nothing.
    task({ name: "bad", cacheKeyFn: () => 7 }, () => 1);
    // @ts-expect-error: the function's first argument is a number.
    task({ name: "bad", cacheKeyFn: (_, [id]: [string]) => id }, (id: number) => id);
  });

  test("null takes one back in withOptions, and only there", () => {
    add.withOptions({ retries: null, cacheKeyFn: null, timeoutSeconds: null, waitFor: null });
    add.withOptions({ cacheKeyFn: (_, [a, b]) => `${a + b}` });
    // @ts-expect-error: a definition has nothing to take back.
    task({ name: "bad", retries: null }, () => 1);
    // @ts-expect-error: by another name no worker would find the task.
    add.withOptions({ name: "other" });
  });

  test("a state may stand for an argument, as a future may", () => {
    add(Completed({ data: 1 }), add.submit(1, 2));
    sum([add.submit(1, 2), Completed({ data: 1 })]);
  });
});
