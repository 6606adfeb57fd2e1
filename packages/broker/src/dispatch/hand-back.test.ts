import { describe, expect, test } from "vitest";
import { type BatchProgress, HAND_BACK_AFTER_MS, planHandBack } from "./hand-back.ts";

const NOW = 1_000_000;

/** Two workers with two threads each; one batch, which has outlived its time, unless the case says otherwise. */
function plan({ workers = 2, hasBacklog = false, busyCalls = 5, ...batch }: Case): string[] {
  const since = NOW - HAND_BACK_AFTER_MS;
  const usual = { id: "a", isAlone: false, expectedMs: 8, since, hasReported: true, handBacks: 0 };
  const batches = [{ ...usual, ...batch, busyCalls: () => busyCalls }];
  return planHandBack({ workers, slots: 2 * workers, hasBacklog, batches, now: NOW });
}

const ALONE = { isAlone: true, busyCalls: 1, hasReported: false };

interface Case extends Partial<Omit<BatchProgress, "busyCalls">> {
  readonly workers?: number;
  readonly hasBacklog?: boolean;
  readonly busyCalls?: number;
}

describe("a batch is asked to hand back what has not started", () => {
  test.each<[string, Case, boolean]>([
    ["when it has more calls than its worker has threads", {}, true],
    ["not before its time is over", { since: NOW - HAND_BACK_AFTER_MS + 1 }, false],
    ["not when all of its calls can run at once", { busyCalls: 2 }, false],
    ["when nothing was heard of it: it may wait behind another", { busyCalls: 1, hasReported: false }, true],
    ["not when all of its calls wait for something", { busyCalls: 0, hasReported: false }, false],
    ["not when there is no other worker", { workers: 1 }, false],
    ["not again so soon", { handBacks: 1 }, false],
    ["again after twice the time", { handBacks: 1, since: NOW - 2 * HAND_BACK_AFTER_MS }, true],
    ["with calls waiting in the runner, not when it is hardly late", { hasBacklog: true }, false],
    [
      "with calls waiting in the runner, when it takes four times as long as it should",
      { hasBacklog: true, expectedMs: 6 },
      true,
    ],
    ["again and again, in the end ten times a second", { handBacks: 50, since: NOW - 100 }, true],
    ["when it is to run alone and has not begun", { ...ALONE }, true],
    ["not when it is alone and has begun", { ...ALONE, hasReported: true }, false],
    ["not when it is alone with the only worker", { ...ALONE, workers: 1 }, false],
    [
      "when it is to run alone, however long it takes and whatever else waits",
      { ...ALONE, hasBacklog: true, expectedMs: 60_000 },
      true,
    ],
    [
      "when it is alone, each time after twice as long: workers need time to become quiet",
      { ...ALONE, handBacks: 10, since: NOW - HAND_BACK_AFTER_MS * 2 ** 10 + 1 },
      false,
    ],
  ])("%s", (_, given, isAsked) => {
    expect(plan(given)).toEqual(isAsked ? ["a"] : []);
  });
});
