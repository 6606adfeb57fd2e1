import { expect, test } from "vitest";
import { batchOf } from "../../testing/batches.ts";
import { openExecution, type PendingCall } from "./pending-call.ts";
import { recoveryOf } from "./recovery.ts";

function call(
  is: Partial<Pick<PendingCall, "isCancelled" | "hasAsked" | "waitsFor" | "isBarred">>,
): PendingCall {
  const { calls } = openExecution(batchOf("tasks.js", ["add", 1, 1]), () => {});
  return Object.assign(calls.get(0)!, is);
}

test.each([
  ["that has done nothing runs again", {}, "ready"],
  ["that waits for others comes when these have returned", { waitsFor: 1 }, undefined],
  ["that waits for one that will not return is not started", { waitsFor: 1, isBarred: true }, "unstarted"],
  [
    "that was to end ends, whatever it waits for",
    { isCancelled: true, waitsFor: 1, isBarred: true },
    "cancelled",
  ],
  ["that has asked something is started afresh by its flow's process", { hasAsked: true }, "lost"],
  ["that has asked something is so also while it waits", { hasAsked: true, waitsFor: 1 }, "lost"],
  ["that was to end ends", { isCancelled: true }, "cancelled"],
  ["that was to end ends, whatever else it has done", { isCancelled: true, hasAsked: true }, "cancelled"],
  ["that was to end ends, and not only when others return", { isCancelled: true, waitsFor: 1 }, "cancelled"],
] as const)("a call %s", (_sentence, is, expected) => {
  const pending = call(is);
  const recovery = recoveryOf([pending]);
  for (const part of ["cancelled", "unstarted", "lost", "ready"] as const)
    expect(recovery[part]).toEqual(part === expected ? [pending] : []);
});

test("calls keep their order", () => {
  const calls = [call({}), call({ hasAsked: true }), call({}), call({ isCancelled: true }), call({})];
  expect(recoveryOf(calls).ready).toEqual([calls[0], calls[2], calls[4]]);
});
