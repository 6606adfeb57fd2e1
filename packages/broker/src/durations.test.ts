import { expect, test } from "vitest";
import { DurationSums, Durations, LEAST_CALL_MS } from "./durations.ts";

test("a task of which no call has ended has no expected duration", () => {
  const durations = new Durations<string>();
  durations.observe("known", 1, 5);
  expect(durations.expectedMs("new")).toBeUndefined();
});

test("the first observation is believed as it is, as the mean of its calls", () => {
  const durations = new Durations<string>();
  durations.observe("task", 4, 20);
  expect(durations.expectedMs("task")).toBe(5);
});

test("one odd call changes little, several in a row are followed", () => {
  const durations = new Durations<string>();
  durations.observe("task", 1, 3);
  durations.observe("task", 1, 30);
  expect(durations.expectedMs("task")).toBeCloseTo(12);
  for (let group = 0; group < 10; group++) durations.observe("task", 100, 3000);
  expect(durations.expectedMs("task")).toBeGreaterThan(29);
});

test("tasks are told apart by identity", () => {
  const durations = new Durations<object>();
  const [one, other] = [{}, {}];
  durations.observe(one, 1, 1);
  durations.observe(other, 1, 100);
  expect([durations.expectedMs(one), durations.expectedMs(other)]).toEqual([1, 100]);
});

test("calls that take no time are expected to take some", () => {
  const durations = new Durations<string>();
  durations.observe("task", 100, 0);
  expect(durations.expectedMs("task")).toBe(LEAST_CALL_MS);
});

test("calls that are reported together are one observation of their task", () => {
  const durations = new Durations<string>();
  durations.observe("known", 1, 3);
  const took = new DurationSums<string>();
  took.add("known", 20_000);
  took.add("new", 5_000);
  took.add("known", 40_000);
  took.addTo(durations);
  expect(durations.expectedMs("known")).toBeCloseTo(12);
  expect(durations.expectedMs("new")).toBe(5);
});
