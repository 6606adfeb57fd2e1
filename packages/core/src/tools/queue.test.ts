import fc from "fast-check";
import { expect, test } from "vitest";
import { Queue } from "./queue.ts";

function queueOf<T>(...items: T[]): Queue<T> {
  const queue = new Queue<T>();
  for (const item of items) queue.push(item);
  return queue;
}

test("first in, first out", () => {
  const queue = queueOf("a", "b");
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual(["a", "b", undefined]);
});

test("take gives as many as there are, at most", () => {
  const queue = queueOf(1, 2, 3);
  expect(queue.take(2)).toEqual([1, 2]);
  expect(queue.take(2)).toEqual([3]);
  expect(queue.take(2)).toEqual([]);
});

test("at looks ahead from the front", () => {
  const queue = queueOf(1, 2, 3);
  queue.shift();
  expect([queue.at(0), queue.at(1), queue.size]).toEqual([2, 3, 2]);
});

test("prepend goes in front, in its own order", () => {
  const queue = queueOf("c");
  queue.prepend(["a", "b"]);
  queue.prepend([]);
  expect(queue.take(3)).toEqual(["a", "b", "c"]);
});

test("undefined is an item like any other", () => {
  const queue = queueOf<number | undefined>(undefined, 1);
  expect(queue.size).toBe(2);
  expect(queue.take(2)).toEqual([undefined, 1]);
});

test("it behaves as an array does, whatever is done to it", () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant("push" as const), item: fc.nat() }),
    fc.record({ type: fc.constant("take" as const), count: fc.nat(5) }),
    fc.record({ type: fc.constant("prepend" as const), items: fc.array(fc.nat(), { maxLength: 4 }) }),
    fc.record({ type: fc.constant("shift" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new Queue<number>();
      const model: number[] = [];
      for (const each of steps) {
        if (each.type === "push") {
          queue.push(each.item);
          model.push(each.item);
        } else if (each.type === "prepend") {
          queue.prepend(each.items);
          model.unshift(...each.items);
        } else if (each.type === "take") expect(queue.take(each.count)).toEqual(model.splice(0, each.count));
        else expect(queue.shift()).toBe(model.shift());
        expect(queue.size).toBe(model.length);
        expect(model.map((_, index) => queue.at(index))).toEqual(model);
      }
    }),
  );
});
