import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TaskRunInfo } from "../definitions/hooks.ts";
import { registerType } from "../values/registered-types.ts";
import { hashOfCall, taskInputHash } from "./task-input-hash.ts";

const key = (...args: unknown[]) => hashOfCall("task", "() => {}", args);

/** Few leaves, so that two values are often alike but for one part. */
const value: fc.Arbitrary<unknown> = fc.anything({
  key: fc.oneof(fc.constantFrom("a", "b", "1", "__proto__", "\ud800"), fc.string({ maxLength: 2 })),
  values: [
    fc.constantFrom(0, -0, 1, 1n, "", "a", "\udc00", null, undefined, true),
    fc.date({ noInvalidDate: true }),
  ],
  maxDepth: 3,
  withMap: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});

/** An equal value, with properties in the other order, and in which no two parts are one object. */
function rebuilt(part: unknown): unknown {
  if (typeof part !== "object" || part === null) return part;
  if (Array.isArray(part)) {
    const copy = new Array(part.length);
    for (const index of part.keys()) if (index in part) copy[index] = rebuilt(part[index]);
    return copy;
  }
  if (part instanceof Map) return new Map([...part].map(([name, item]) => [rebuilt(name), rebuilt(item)]));
  if (part instanceof Set) return new Set([...part].map(rebuilt));
  if (Object.getPrototypeOf(part) !== Object.prototype) return structuredClone(part);
  const copy = {};
  for (const [name, item] of Object.entries(part).reverse())
    Object.defineProperty(copy, name, { value: rebuilt(item), enumerable: true });
  return copy;
}

describe("the key of a call", () => {
  test("is the same for equal arguments, whatever the order of properties, and wherever they share parts", () => {
    fc.assert(
      fc.property(value, (one) => {
        expect(key(one)).toMatch(/^[0-9a-f]{64}$/);
        expect(key(rebuilt(one))).toBe(key(one));
        expect(key(one, [one])).toBe(key(rebuilt(one), [rebuilt(one)]));
      }),
    );
  });

  test("is another for other arguments", () => {
    fc.assert(
      fc.property(value, value, (one, other) => {
        if (key(one) === key(other)) expect(isDeepStrictEqual(one, other)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ["0 and -0", [0], [-0]],
    ["1 and 1n and '1'", [1], [1n]],
    ["a property that is undefined, and one that is not there", [{ a: undefined }], [{}]],
    ["one argument that is a list, and two", [[1, 2]], [1, 2]],
    ["a Map and its entries", [new Map([["a", 1]])], [[["a", 1]]]],
    [
      "a Map in another order",
      [
        new Map([
          ["a", 1],
          ["b", 2],
        ]),
      ],
      [
        new Map([
          ["b", 2],
          ["a", 1],
        ]),
      ],
    ],
    ["a Set in another order", [new Set([1, 2])], [new Set([2, 1])]],
    ["bytes of two kinds", [new Uint8Array(2)], [new Int8Array(2)]],
    ["halves of surrogate pairs", ["\ud800"], ["\ud801"]],
    ["`__proto__` and nothing", [JSON.parse('{"__proto__":1}')], [{}]],
    ["lists that are nested differently", [[[1], 2]], [[[1, 2]]]],
  ])("tells apart %s", (_, one, other) => {
    expect(hashOfCall("task", "", one)).not.toBe(hashOfCall("task", "", other));
  });

  test("depends on the task's name and source, each by itself", () => {
    const keys = [
      hashOfCall("ab", "c", []),
      hashOfCall("a", "bc", []),
      hashOfCall("a", "b", ["c"]),
      hashOfCall("ab", "", ["c"]),
    ];
    expect(new Set(keys).size).toBe(4);
    const run = { taskName: "ab", taskSource: "c" } as TaskRunInfo;
    expect(taskInputHash(run, [])).toBe(keys[0]);
  });

  test("of arguments that cannot be encoded is undefined", () => {
    class Unknown {}
    const throwing = Object.defineProperty({}, "x", {
      enumerable: true,
      get: () => {
        throw new Error("no");
      },
    });
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const deep = Array.from({ length: 100_000 }).reduce((inner) => [inner], 0);
    const symbolKey = { [Symbol("s")]: 1 };
    for (const bad of [() => 1, Symbol("s"), symbolKey, new Unknown(), throwing, detached, deep])
      expect(key({ bad })).toBeUndefined();
  });

  test("looks into registered classes and errors for the order of properties", () => {
    class Point {
      readonly at: object;
      constructor(at: object) {
        this.at = at;
      }
    }
    registerType(Point, { name: "hash-point", encode: ({ at }) => at, decode: (at) => new Point(at) });
    expect(key(new Point({ x: 1, y: 2 }))).toBe(key(new Point({ y: 2, x: 1 })));
    expect(key(new Point({ x: 1, y: 2 }))).not.toBe(key({ x: 1, y: 2 }));
    const error = (fields: object) => Object.assign(new Error("m"), { stack: "s" }, fields);
    expect(key(error({ x: 1, y: 2 }))).toBe(key(error({ y: 2, x: 1 })));
  });

  test("of a value with cycles comes to an end, and tells how it leads back", () => {
    const ring = (length: number, back: number, swapped = false) => {
      const nodes = Array.from(
        { length },
        (_, name): Record<string, unknown> =>
          swapped ? { next: undefined, name } : { name, next: undefined },
      );
      for (const [index, node] of nodes.entries()) node.next = nodes[index + 1] ?? nodes[back];
      return nodes[0];
    };
    expect(key(ring(5, 0))).toBe(key(ring(5, 0, true)));
    expect(key(ring(5, 0))).not.toBe(key(ring(5, 1)));
    expect(key(ring(5, 0))).not.toBe(key(ring(4, 0)));
    // Every node leads to every other: there are more paths than could ever be walked.
    const web = Array.from({ length: 40 }, (): unknown[] => []);
    for (const node of web) node.push(...web);
    expect(key(web)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("reads a part that is shared many times once", () => {
    let shared: unknown = ["end"];
    for (let level = 0; level < 100; level++) shared = [shared, shared];
    expect(key(shared)).toMatch(/^[0-9a-f]{64}$/);
  });
});
