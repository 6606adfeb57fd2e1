import { expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import type { TaskFuture } from "../futures/future.ts";
import { findDependencies, findDependenciesInArguments, replaceFutures } from "./dependencies.ts";

keepLogs();

const give = task({ name: "give" }, (value: string) => value);

/** Two futures, of "a" and of "b". */
async function twoFutures(): Promise<[TaskFuture<string>, TaskFuture<string>]> {
  const holder: { futures?: [TaskFuture<string>, TaskFuture<string>] } = {};
  await flow({ name: "f" }, () => {
    holder.futures = [give.submit("a"), give.submit("b")];
  })();
  return holder.futures!;
}
const [a, b] = await twoFutures();
const letterOf = (future: TaskFuture<unknown>) => (future === a ? "A" : "B");

class Row {
  readonly future = a;
}

test.each([
  ["a future", a, [a]],
  ["an array", [b, a], [b, a]],
  ["an object", { x: a, y: b }, [a, b]],
  ["an object without a prototype", Object.assign(Object.create(null), { x: a }), [a]],
  ["a Map, keys and values", new Map([[a, b]]), [a, b]],
  ["a Set", new Set([a, b]), [a, b]],
  ["several levels", [{ x: new Map([["k", new Set([a])]]) }], [a]],
  ["one future twice: found once", [a, { x: a }], [a]],
])("futures are found in %s, in order of appearance", (_, value, expected) => {
  expect(findDependencies(value)?.futures).toEqual(expected);
});

test.each([
  ["primitives", 1],
  ["null", null],
  ["values without any", { x: [1, new Map([["k", new Set([null])]])] }],
  ["instances of other classes, which cannot be rebuilt", new Row()],
  ["functions", Object.assign(() => a, { future: a })],
  ["dates", new Date()],
])("none are found in %s", (_, value) => {
  expect(findDependencies(value)).toBeUndefined();
  expect(replaceFutures(value, letterOf)).toBe(value);
});

test("among arguments, futures are found past the ones without", () => {
  expect(findDependenciesInArguments([1, "x", [a], b])?.futures).toEqual([a, b]);
  expect(findDependenciesInArguments([1, "x", undefined])).toBeUndefined();
  expect(findDependenciesInArguments([])).toBeUndefined();
});

test("a search goes round a cycle once", () => {
  const loop: unknown[] = [a];
  loop.push(loop, new Map([["self", loop]]));
  expect(findDependencies(loop)?.futures).toEqual([a]);
});

test("futures are replaced wherever they are found", () => {
  const value = { list: [a, 1], map: new Map<unknown, unknown>([[a, b]]), set: new Set([b]), n: 1 };
  expect(replaceFutures(value, letterOf)).toEqual({
    list: ["A", 1],
    map: new Map([["A", "B"]]),
    set: new Set(["B"]),
    n: 1,
  });
  expect(value.list[0]).toBe(a);
});

test("what is shared, or circular, stays so", () => {
  const shared = [a];
  const value: Record<string, unknown> = { x: shared, y: shared };
  value.self = value;
  const replaced = replaceFutures(value, letterOf) as Record<string, unknown>;
  expect(replaced.x).toEqual(["A"]);
  expect(replaced.y).toBe(replaced.x);
  expect(replaced.self).toBe(replaced);
});

test("objects keep their prototype, arrays their holes, and instances are passed on", () => {
  const bare = Object.assign(Object.create(null), { x: a });
  expect(Object.getPrototypeOf(replaceFutures(bare, letterOf))).toBeNull();
  const sparse: unknown[] = [a];
  sparse[2] = 1;
  expect(1 in (replaceFutures(sparse, letterOf) as unknown[])).toBe(false);
  const row = new Row();
  expect((replaceFutures([row, a], letterOf) as unknown[])[0]).toBe(row);
});

test("a key that is called __proto__ stays a key", () => {
  const value = JSON.parse('{"__proto__": {"polluted": true}}');
  value.x = a;
  const replaced = replaceFutures(value, letterOf) as object;
  expect(Object.hasOwn(replaced, "__proto__")).toBe(true);
  expect(Object.getPrototypeOf(replaced)).toBe(Object.prototype);
});
