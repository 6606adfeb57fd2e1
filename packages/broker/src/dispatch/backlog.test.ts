import { expect, test } from "vitest";
import { Backlog } from "./backlog.ts";

test("gives the highest priority first, and among equals who came first", () => {
  const backlog = new Backlog<string>();
  for (const [item, priority] of [
    ["a", 0],
    ["b", -1],
    ["c", 5],
    ["d", 0],
    ["e", 5],
  ] as const)
    backlog.push(item, priority);
  backlog.prepend("first of 0", 0);
  expect(backlog.size).toBe(6);
  expect(backlog.top()?.take(10)).toEqual(["c", "e"]);
  expect(backlog.takeAll()).toEqual(["first of 0", "a", "d", "b"]);
  expect(backlog.size).toBe(0);
  expect(backlog.top()).toBeUndefined();
});
