import { describe, expectTypeOf, test } from "vitest";
import { z } from "zod";
import type { FlowRun } from "../engine/flow-run.ts";
import type { State } from "../futures/state.ts";
import { type Flow, flow } from "./flow.ts";
import { task } from "./task.ts";

const count = task({ name: "count" }, (month: string) => month.length);

describe("parameters", () => {
  test("are those of the function", () => {
    const report = flow({ name: "report" }, ({ month }: { month: string }) => month);
    expectTypeOf(report).parameter(0).extract<{ month: string }>().not.toBeNever();
    expectTypeOf(report({ month: "a" })).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error: the parameters are missing.
    report();
    // @ts-expect-error: a month is a string.
    report({ month: 1 });
    // @ts-expect-error: there is no such parameter.
    report({ month: "a", year: 1 });
  });

  test("may be none", () => {
    const plain = flow({ name: "plain" }, () => 1);
    expectTypeOf(plain()).toEqualTypeOf<Promise<number>>();
    expectTypeOf(flow(function named() {})()).toEqualTypeOf<Promise<void>>();
    // @ts-expect-error: the flow takes nothing.
    plain({ month: "a" });
  });

  test("may be optional", () => {
    const maybe = flow({ name: "maybe" }, (parameters?: { month: string }) => parameters?.month);
    maybe();
    maybe({ month: "a" });
    expectTypeOf(maybe()).toEqualTypeOf<Promise<string | undefined>>();
  });

  test("with a schema: the caller gives its input, the function gets its output", () => {
    const schema = z.object({ count: z.coerce.string().transform(Number), unit: z.string().default("kg") });
    const weigh = flow({ name: "weigh", parameters: schema }, (parameters) => {
      expectTypeOf(parameters).toEqualTypeOf<{ count: number; unit: string }>();
      return parameters.count;
    });
    expectTypeOf(weigh({ count: "3" })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error: a unit is a string.
    weigh({ count: "3", unit: 1 });
    flow(
      { name: "wrong", parameters: schema },
      (parameters) =>
        // @ts-expect-error: the schema has no such parameter.
        parameters.weight,
    );
  });
});

describe("results", () => {
  const of = <R>(fn: () => R) => flow({ name: "f" }, fn)();

  test("promises and futures are taken off, at any depth", () => {
    expectTypeOf(of(async () => 1)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(of(() => count.submit("a"))).toEqualTypeOf<Promise<number>>();
    expectTypeOf(of(async () => count.submit("a"))).toEqualTypeOf<Promise<number>>();
    expectTypeOf(of(() => count.map(["a"]))).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(of(async () => count.map(["a"]))).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(of(() => [count.submit("a"), "x"] as const)).toEqualTypeOf<Promise<[number, "x"]>>();
    expectTypeOf(of(() => ({ rows: count.map(["a"]), on: new Date() }))).toEqualTypeOf<
      Promise<{ rows: number[]; on: Date }>
    >();
  });

  test("start gives a run", () => {
    const run = flow({ name: "f" }, async ({ n }: { n: number }) => n).start({ n: 1 });
    expectTypeOf(run).toEqualTypeOf<FlowRun<number>>();
    expectTypeOf(run.wait()).toEqualTypeOf<Promise<State>>();
    expectTypeOf(run.result()).toEqualTypeOf<Promise<number>>();
  });
});

test("withOptions keeps the types", () => {
  const plain = flow({ name: "plain" }, ({ n }: { n: number }) => n);
  expectTypeOf(plain.withOptions({ tags: ["a"] })).toEqualTypeOf<Flow<{ n: number }, number>>();
});

describe("a flow inside a flow", () => {
  const child = flow(
    { name: "child" },
    ({ month, rows }: { month: string; rows: number[] }) => month + rows.length,
  );

  test("takes futures and states in the places of parameters", () => {
    expectTypeOf(child({ month: "May", rows: [count.submit("May")] })).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error: the future of a number is no month.
    child({ month: count.submit("May"), rows: [] });
  });

  test("has a version, and options that null takes back", () => {
    expectTypeOf(child.version).toEqualTypeOf<string | undefined>();
    expectTypeOf(
      child.withOptions({ retries: null, timeoutSeconds: 5, waitFor: [count.submit("May")] }),
    ).toEqualTypeOf<typeof child>();
    expectTypeOf(child.start({ month: "May", rows: [] }).cancel()).toEqualTypeOf<Promise<State>>();
  });
});
