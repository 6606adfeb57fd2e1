import { describe, expect, test } from "vitest";
import { Cancelled, Completed, Crashed, Failed, State, type StateType } from "./state.ts";

test("a state is named after its type unless told otherwise", () => {
  expect(new State("CRASHED").name).toBe("Crashed");
  expect(new State("FAILED", { name: "TimedOut" }).name).toBe("TimedOut");
});

test("a state made without details has no message, no data and no run, and the time of its making", () => {
  const before = Date.now();
  const state = Completed();
  expect(state).toMatchObject({ type: "COMPLETED", message: "", data: undefined, runId: undefined });
  expect(state.timestamp).toBeGreaterThanOrEqual(before);
  expect(state.timestamp).toBeLessThanOrEqual(Date.now());
});

test("a state keeps what it was made with", () => {
  const init = { name: "Empty", message: "no rows", data: [], timestamp: 5, runId: "run-1" };
  expect({ ...new State("COMPLETED", init) }).toEqual({ type: "COMPLETED", ...init });
});

test.each([
  [Completed, "COMPLETED"],
  [Failed, "FAILED"],
  [Cancelled, "CANCELLED"],
  [Crashed, "CRASHED"],
] as const)("there is a constructor for each final type: %o makes %s", (make, type) => {
  expect(make({ message: "why" })).toMatchObject({ type, message: "why" });
});

describe("what a state says of itself", () => {
  const questions = {
    SCHEDULED: (state: State) => state.isScheduled(),
    PENDING: (state: State) => state.isPending(),
    RUNNING: (state: State) => state.isRunning(),
    COMPLETED: (state: State) => state.isCompleted(),
    FAILED: (state: State) => state.isFailed(),
    CANCELLED: (state: State) => state.isCancelled(),
    CRASHED: (state: State) => state.isCrashed(),
  } satisfies Record<StateType, (state: State) => boolean>;
  const types = Object.keys(questions) as StateType[];

  test.each(types)("%s is its own type and no other", (type) => {
    const answers = types.filter((asked) => questions[asked](new State(type)));
    expect(answers).toEqual([type]);
  });

  test.each([
    ["SCHEDULED", false],
    ["PENDING", false],
    ["RUNNING", false],
    ["COMPLETED", true],
    ["FAILED", true],
    ["CANCELLED", true],
    ["CRASHED", true],
  ] as const)("%s: final is %s", (type, isFinal) => {
    expect(new State(type).isFinal()).toBe(isFinal);
  });

  test("NotReady is final: such a run never starts", () => {
    expect(new State("PENDING", { name: "NotReady" }).isFinal()).toBe(true);
  });
});
