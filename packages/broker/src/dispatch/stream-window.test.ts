import { expect, test } from "vitest";
import { streamWindow } from "./stream-window.ts";

test.each<[string, number, number | undefined, number]>([
  ["a task of which nothing is known: the least", 2, undefined, 200],
  ["a long task: the least, since it may await a network", 2, 60_000, 200],
  ["a short one: twice what the dispatcher has under way", 2, 0.04, 800],
  ["a no-op on many threads: the most", 16, 0.002, 20_000],
  ["more threads than that has calls for: the least for them", 400, 0.002, 40_000],
  ["no worker yet: as for one thread", 0, undefined, 100],
])("%s", (_, slots, expectedMs, calls) => {
  expect(streamWindow(slots, 4, expectedMs)).toBe(calls);
});
