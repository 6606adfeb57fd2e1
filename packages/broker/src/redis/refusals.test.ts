import { logTo } from "@millrace/core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Refusals } from "./refusals.ts";

const logged: Record<string, unknown>[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  logTo({ write: (line) => logged.push(JSON.parse(line)) });
});

afterEach(() => {
  vi.useRealTimers();
  logTo(undefined);
  logged.length = 0;
});

test("the first of a kind is logged at once, and then one in ten seconds, which counts those between", () => {
  const refusals = new Refusals();
  for (let count = 0; count < 5; count++) refusals.note("odd", new Error(`no ${count}`), { job: count });
  refusals.note("other", new Error("no"));
  vi.advanceTimersByTime(10_001);
  refusals.note("odd", new Error("no 5"));
  vi.advanceTimersByTime(10_001);
  refusals.note("odd", new Error("no 6"));
  expect(
    logged.map(({ msg, job, suppressed, err }) => [msg, (err as Error).message, job, suppressed]),
  ).toEqual([
    ["odd", "no 0", 0, undefined],
    ["other", "no", undefined, undefined],
    ["odd", "no 5", undefined, 4],
    ["odd", "no 6", undefined, undefined],
  ]);
});
