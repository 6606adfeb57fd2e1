/** Values and errors arrive as what they were, on every runner, as arguments and as results. */
import { inspect } from "node:util";
import { flow, NotEncodableError, type TaskRunner } from "millrace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { keepLogs } from "../support/logs.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

keepLogs();

const cycle: Record<string, unknown> = { name: "cycle", list: [] };
cycle.self = cycle;
(cycle.list as unknown[]).push(cycle, new Map([["back", cycle]]));

const VALUES: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  NaN: Number.NaN,
  "minus zero": -0,
  "minus infinity": Number.NEGATIVE_INFINITY,
  "the largest safe integer": Number.MAX_SAFE_INTEGER,
  "an integer beyond 64 bits": 2 ** 70,
  "an empty string": "",
  "a string of many planes": "mühlbach 水車 🌊 \0",
  "a long string": "wheel ".repeat(50_000),
  "a small bigint": -5n,
  "a large bigint": -(2n ** 200n),
  "a date": new Date(1_700_000_000_123),
  "a date before 1970": new Date(-1),
  "an invalid date": new Date(Number.NaN),
  "a map": new Map<unknown, unknown>([
    ["a", 1],
    [{ key: true }, new Map([[1, [2]]])],
    [undefined, Number.NaN],
  ]),
  "a set": new Set([1, "1", new Set([new Date(5)])]),
  "an Int8Array": Int8Array.of(-1, 127),
  "a Uint8Array": Uint8Array.of(0, 255),
  "a Uint8ClampedArray": Uint8ClampedArray.of(300, 1),
  "an Int16Array": Int16Array.of(-300, 300),
  "a Uint16Array": Uint16Array.of(65_535),
  "an Int32Array": Int32Array.of(-70_000),
  "a Uint32Array": Uint32Array.of(4_000_000_000),
  "a Float32Array": Float32Array.of(0.5, Number.NaN, -0),
  "a Float64Array": Float64Array.of(Math.PI, Number.NEGATIVE_INFINITY),
  "a BigInt64Array": BigInt64Array.of(-(2n ** 63n)),
  "a BigUint64Array": BigUint64Array.of(2n ** 64n - 1n),
  "an ArrayBuffer": Uint8Array.of(1, 2, 3).buffer,
  "a Buffer": Buffer.from("buffer"),
  "a view of a part of an array": new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4),
  "a large typed array": new Float64Array(100_000).fill(1.5),
  "a cycle": cycle,
  "an object with undefined in it": { a: undefined, b: [undefined, null], c: {} },
  "an object without a prototype's help": JSON.parse('{"__proto__": 1, "constructor": 2, "": 3}'),
  "a deep object": Array.from({ length: 50 }).reduce<unknown>(
    (inner, _, depth) => ({ depth, inner }),
    "bottom",
  ),
};

describe.each(RUNNER_KINDS)("on the $name runner", ({ start, isDistributed }) => {
  let started: StartedRunner;
  let taskRunner: TaskRunner;

  beforeAll(async () => {
    started = await start();
    taskRunner = started.taskRunner;
  });

  afterAll(() => started?.close());

  function inFlow<R>(body: () => Promise<R>) {
    return flow({ name: "values", taskRunner }, body)();
  }

  test.each(Object.entries(VALUES))("%s goes there and back", async (_, value) => {
    const options = { depth: 20 };
    const [returned, seen] = await inFlow(async () => [
      await tasks.identity(value),
      await tasks.inspected(value),
    ]);
    expect(inspect(returned, options)).toBe(inspect(value, options));
    expect(seen).toBe(inspect(value, options));
    expect(returned).toStrictEqual(value);
  });

  test("values pass from task to task as they are", async () => {
    const values = Object.values(VALUES);
    const passed = await inFlow(() => tasks.identity(values.map((value) => tasks.identity.submit(value))));
    expect(passed).toStrictEqual(values);
  });

  test("what was one object in a value is one object still", async () => {
    const shared = { id: 1 };
    const sent = { a: shared, b: shared, set: new Set([shared]) };
    const arrived = (await inFlow(() => tasks.identity(sent))) as typeof sent;
    expect(arrived.a).toBe(arrived.b);
    expect(arrived.set.has(arrived.a)).toBe(true);
  });

  test("a thrown error keeps name, message, stack, cause and fields of its own", async () => {
    const error = await inFlow(() => tasks.failOrder(42)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "OrderError",
      message: "order 42 is late",
      stack: expect.stringMatching(/order 42 is late\n.*at .*fixtures\/tasks\.ts/s),
      orderId: 42,
      details: { at: new Date(0), tags: new Set(["late"]) },
      cause: { name: "TypeError", message: "no lorry", cause: "strike" },
    });
    expect((error as Error).cause).toBeInstanceOf(TypeError);
  });

  test("an error is a value, too", async () => {
    const original = new RangeError("out", { cause: new AggregateError([new Error("one")], "many") });
    const returned = (await inFlow(() => tasks.identity({ errors: [original] }))) as { errors: RangeError[] };
    expect(returned.errors[0]).toBeInstanceOf(RangeError);
    expect(returned.errors[0]).toMatchObject({ message: "out", stack: original.stack });
    const cause = returned.errors[0]!.cause as AggregateError;
    expect(cause).toBeInstanceOf(AggregateError);
    expect(cause.errors[0]).toMatchObject({ message: "one" });
  });

  test("what is thrown need not be an error", async () => {
    for (const value of [5, { code: 3 }, null]) {
      const thrown = await inFlow(() => tasks.throwValue(value)).catch((error: unknown) => error);
      expect(thrown).toEqual(value);
    }
  });

  if (!isDistributed) return;

  test("an argument that cannot be encoded fails its run alone, and names the path", async () => {
    const seen = await inFlow(async () => {
      const good = tasks.identity.map([1, 2]);
      const bad = tasks.identity.withOptions({ retries: 2 }).submit({ rows: [0, { callback: () => {} }] });
      const after = tasks.identity.submit(3);
      const error: unknown = await bad.result().catch((thrown: unknown) => thrown);
      return { error, values: [...(await good.results()), await after] };
    });
    expect(seen.values).toEqual([1, 2, 3]);
    expect(seen.error).toBeInstanceOf(NotEncodableError);
    expect(seen.error).toMatchObject({ code: "ERR_NOT_ENCODABLE", path: "arguments[0].rows[1].callback" });
  });

  test("a result that cannot be encoded fails its run alone, and names the path", async () => {
    const seen = await inFlow(async () => {
      const bad = tasks.makeCallback.submit();
      const good = await tasks.add(1, 1);
      return { error: await bad.result().catch((error: unknown) => error), good };
    });
    expect(seen.good).toBe(2);
    expect(seen.error).toBeInstanceOf(NotEncodableError);
    expect(seen.error).toMatchObject({ code: "ERR_NOT_ENCODABLE", path: "result.rows[1].callback" });
  });
});
