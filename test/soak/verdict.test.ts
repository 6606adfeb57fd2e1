import { describe, expect, test } from "vitest";
import { judge, type Series } from "./verdict.ts";

const MIB = 1024 * 1024;

/** A point each 5 s for 10 minutes. */
const seen = (kind: Series["kind"], valueAt: (second: number) => number): Series => ({
  ...{ name: "it", kind },
  points: Array.from({ length: 121 }, (_, index) => ({ second: 5 * index, value: valueAt(5 * index) })),
});

/** The same jitter in each run: as far above as below. */
const jitter = (second: number) => ((second / 5) % 3) - 1;

describe.each<[string, readonly [string, Series, boolean][]]>([
  [
    "memory",
    [
      ["that stays", seen("memory", () => 100 * MIB), true],
      ["that goes up and down", seen("memory", (at) => (100 + 20 * jitter(at)) * MIB), true],
      ["that grows while it is warming up", seen("memory", (at) => Math.min(at, 140) * MIB), true],
      ["that is given back", seen("memory", (at) => (200 - at / 6) * MIB), true],
      ["that grows by 1 MiB in a minute", seen("memory", (at) => (100 + at / 60) * MIB), true],
      ["that grows by 3 MiB in a minute", seen("memory", (at) => (100 + at / 20) * MIB), false],
      ["that leaps once and stays", seen("memory", (at) => (at < 400 ? 100 : 110) * MIB), false],
      ["with one peak at the end", seen("memory", (at) => (at === 600 ? 900 : 100) * MIB), true],
      ["that leaks under jitter", seen("memory", (at) => (50 + at / 20 + 5 * jitter(at)) * MIB), false],
    ],
  ],
  [
    "keys",
    [
      ["that come and go", seen("keys", (at) => 40 + 20 * jitter(at)), true],
      ["of which more are there at a time", seen("keys", (at) => 40 + (at / 10) * (jitter(at) + 1)), true],
      ["of which one is left each 10 s", seen("keys", (at) => 40 + at / 10), false],
    ],
  ],
  [
    "a count",
    [
      ["that stays", seen("count", () => 12), true],
      ["that is one more for a moment", seen("count", (at) => (at % 60 === 0 ? 13 : 12)), true],
      ["that is one more in the end", seen("count", (at) => (at < 400 ? 12 : 13)), false],
      ["that is one less in the end", seen("count", (at) => (at < 400 ? 12 : 11)), true],
    ],
  ],
])("%s", (_, cases) => {
  test.each(cases)("%s", (_, series, isSteady) => {
    expect(judge(series)).toMatchObject({ name: "it", isSteady });
  });
});

test("a finding of memory has the medians of the first third and the last after a quarter of the time, and the slope", () => {
  const { first, last, slopePerHour } = judge(seen("memory", (at) => at));
  expect({ first, last }).toEqual({ first: 222.5, last: 527.5 });
  expect(slopePerHour).toBeCloseTo(3600);
});

test("too few points are an error", () => {
  const points = [0, 5, 10, 15, 20].map((second) => ({ second, value: 1 }));
  expect(() => judge({ name: "it", kind: "count", points })).toThrow(
    "Expected 9 points of it after the warm-up, got 4.",
  );
});
