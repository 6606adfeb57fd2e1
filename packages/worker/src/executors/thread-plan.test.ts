import { Durations } from "@millrace/broker";
import { describe, expect, test } from "vitest";
import { CLAIMS } from "../in-thread/thread-state.ts";
import { hasRoom, planChunk, type ThreadSituation } from "./thread-plan.ts";

type Case = Partial<Omit<ThreadSituation, "expectedMs" | "hasDependents">> & {
  /** How many of the pending calls, from the first, have others wait for them. */
  readonly withDependents?: number;
  /** What every call takes, or each in turn; undefined: nobody knows. */
  readonly ms?: number | readonly (number | undefined)[] | undefined;
};

/** A thread that has nothing, one of two, unless the case says otherwise. */
function plan({ ms, withDependents = 0, ...given }: Case): number {
  return planChunk({
    threads: 2,
    pending: 100,
    inFlightCalls: 0,
    inFlightMs: 0,
    ...given,
    expectedMs: (index) => (ms === undefined || typeof ms === "number" ? ms : ms[index]),
    hasDependents: (index) => index < withDependents,
  });
}

// A message carries 4 ms of work; a thread gets more while it has less than 8 ms ahead.
describe("a thread gets", () => {
  test.each<[string, Case, number]>([
    ["nothing when nothing waits", { pending: 0, ms: 1 }, 0],
    ["some milliseconds of short calls at once", { ms: 0.5 }, 8],
    ["one long call", { ms: 100 }, 1],
    ["short calls, and with them the long one that follows", { ms: [0.5, 0.5, 100, 0.5] }, 3],
    ["its share of what waits, when that is little", { pending: 6, ms: 0.1 }, 3],
    ["its share rounded up", { pending: 5, ms: 0.1 }, 3],
    ["at most 500 calls, however short", { pending: 10_000, ms: 0 }, 500],

    // A level of a graph
    [
      "a whole level that others wait for, when it is very short",
      { pending: 4, withDependents: 4, ms: 0.02 },
      4,
    ],
    [
      "its share of a level that takes longer than the way to a thread",
      { pending: 4, withDependents: 4, ms: 0.2 },
      2,
    ],
    ["its share of a level of a new task", { pending: 4, withDependents: 4 }, 1],
    ["its share of what is no level", { pending: 4, withDependents: 3, ms: 0.02 }, 4],

    // Ahead
    ["more while it has little", { inFlightCalls: 1, inFlightMs: 7.9, ms: 0.5 }, 8],
    ["nothing while it has enough", { inFlightCalls: 4, inFlightMs: 8, ms: 0.5 }, 0],
    [
      "nothing while it has a call of a new task",
      { inFlightCalls: 1, inFlightMs: Number.POSITIVE_INFINITY, ms: 1 },
      0,
    ],

    // A new task
    ["one call of a new task, when it has nothing", { ms: undefined }, 1],
    ["no call of a new task behind others", { inFlightCalls: 1, inFlightMs: 1, ms: undefined }, 0],
    ["the known calls ahead of a call of a new task", { ms: [0.5, 0.5, undefined, 0.5] }, 2],
  ])("%s", (_, situation, calls) => {
    expect(plan(situation)).toBe(calls);
  });
});

test("a thread never has more calls than there are claims, however short they are and however late it is", () => {
  const durations = new Durations();
  durations.observe("noop", 1_000, 0);
  const ms = durations.expectedMs("noop") as number;
  let inFlightCalls = 0;
  for (let next = Number.NaN; next !== 0; inFlightCalls += next)
    next = plan({ threads: 1, pending: 100_000, inFlightCalls, inFlightMs: inFlightCalls * ms, ms });
  expect(inFlightCalls).toBeGreaterThan(500);
  expect(inFlightCalls).toBeLessThan(CLAIMS / 2);
});

test.each<[string, number, number, boolean]>([
  ["nothing", 0, 0, true],
  ["a few short calls", 7, 7, true],
  ["many short calls", 8, 8, false],
  ["a call of some milliseconds", 1, 14, true],
  ["a long call", 1, 32, false],
  ["a call of a new task", 1, Number.POSITIVE_INFINITY, false],
])("a thread with %s has room, or not", (_, busyCalls, busyMs, isRoom) => {
  expect(hasRoom({ busyCalls, busyMs })).toBe(isRoom);
});
