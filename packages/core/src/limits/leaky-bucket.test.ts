import { expect, test } from "vitest";
import { EMPTY, type Level, levelAt, msUntil, raised } from "./leaky-bucket.ts";

const level: Level = { slots: 4, atMs: 1000, decayPerSecond: 2 };

test.each([
  [1000, 4],
  [1500, 3],
  [1750, 2.5],
  [3000, 0],
  [9000, 0],
])("at %i ms %d slots are in use", (nowMs, slots) => {
  expect(levelAt(level, nowMs)).toBe(slots);
});

test.each([
  [4, 1000, 0],
  [3, 1000, 500],
  [0, 1000, 2000],
  [3, 1250, 250],
  [3, 1499.5, 1],
  [3, 1500, 0],
])("for at most %i in use at %d ms one waits %i ms", (most, nowMs, waitMs) => {
  expect(msUntil(level, most, nowMs)).toBe(waitMs);
});

test("nothing is in use at first, at any time", () => {
  expect([levelAt(EMPTY, 0), levelAt(EMPTY, 1e9), msUntil(EMPTY, 0, 5)]).toEqual([0, 0, 0]);
});

test("what is taken adds to what is left, and comes back at the new rate", () => {
  const after = raised(level, 2, 10, 1500);
  expect(after).toEqual({ slots: 5, atMs: 1500, decayPerSecond: 10 });
  expect(levelAt(after, 1700)).toBe(3);
});

test("a wait that no timer can hold is as long as one can: a longer one would fire at once", () => {
  expect(msUntil({ slots: 1, atMs: 0, decayPerSecond: 1e-9 }, 0, 0)).toBe(2 ** 31 - 1);
});
