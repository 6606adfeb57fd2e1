import { expect, test } from "vitest";
import { DurationSums, Durations, LEAST_CALL_MS } from "./durations.ts";

test("a task of which no call has ended has no expected duration", () => {
  const durations = new Durations();
  durations.observe("known", 1, 5);
  expect(durations.expectedMs("new")).toBeUndefined();
});

test("the first observation is believed as it is, as the mean of its calls", () => {
  const durations = new Durations();
  durations.observe("task", 4, 20);
  expect(durations.expectedMs("task")).toBe(5);
});

test("one odd call changes little, several in a row are followed", () => {
  const durations = new Durations();
  durations.observe("task", 1, 3);
  durations.observe("task", 1, 30);
  expect(durations.expectedMs("task")).toBeCloseTo(12);
  for (let group = 0; group < 10; group++) durations.observe("task", 100, 3000);
  expect(durations.expectedMs("task")).toBeGreaterThan(29);
});

test("calls that take no time are expected to take some", () => {
  const durations = new Durations();
  durations.observe("task", 100, 0);
  expect(durations.expectedMs("task")).toBe(LEAST_CALL_MS);
});

test("calls that are reported together are one observation of their task", () => {
  const durations = new Durations();
  durations.observe("known", 1, 3);
  const took = new DurationSums();
  took.add("known", { kind: "returned", durationMicros: 20_000 });
  took.add("new", { kind: "threw", durationMicros: 5_000 });
  took.add("known", { kind: "returned", durationMicros: 40_000 });
  took.addTo(durations);
  expect(durations.expectedMs("known")).toBeCloseTo(12);
  expect(durations.expectedMs("new")).toBe(5);
});

test("nothing is learned of calls that nobody measured, or that were cut short", () => {
  const durations = new Durations();
  const took = new DurationSums();
  took.add("timed out with its thread", { kind: "timed-out", durationMicros: 0 });
  took.add("cancelled", { kind: "cancelled", durationMicros: 10 });
  took.addTo(durations);
  for (const key of ["timed out with its thread", "cancelled"])
    expect(durations.expectedMs(key)).toBeUndefined();
});
