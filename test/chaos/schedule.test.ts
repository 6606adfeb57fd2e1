import { describe, expect, test } from "vitest";
import { FAULT_KINDS, FAULTS, makeSchedule, targetOf } from "./schedule.ts";

const options = { seed: 7, durationMs: 600_000, meanGapMs: 2_000, kinds: FAULT_KINDS };

describe("a schedule", () => {
  test("is the same for the same seed, and another for another", () => {
    expect(makeSchedule(options)).toEqual(makeSchedule(options));
    expect(makeSchedule({ ...options, seed: 8 })).not.toEqual(makeSchedule(options));
  });

  test("is in order, within its time, about as dense as told", () => {
    const times = makeSchedule(options).map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times.at(-1)).toBeLessThan(600_000);
    expect(times.length).toBeGreaterThan(240);
    expect(times.length).toBeLessThan(360);
  });

  test("has each kind as often as it has copies in the deck", () => {
    const decks = FAULT_KINDS.reduce((sum, kind) => sum + FAULTS[kind].copies, 0);
    const dealt = makeSchedule({ ...options, durationMs: 10_000_000 }).slice(0, 20 * decks);
    for (const kind of FAULT_KINDS) {
      expect(dealt.filter((fault) => fault.kind === kind)).toHaveLength(20 * FAULTS[kind].copies);
    }
  });

  test("keeps to the kinds that it is given, and to their durations", () => {
    const faults = makeSchedule({ ...options, kinds: ["worker-kill", "worker-freeze"] });
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(["worker-kill", "worker-freeze"]));
    for (const { kind, durationMs } of faults) {
      const [least, most] = FAULTS[kind].durationMs;
      expect(durationMs).toBeGreaterThanOrEqual(least);
      expect(durationMs).toBeLessThanOrEqual(most);
    }
    expect(makeSchedule({ ...options, kinds: [] })).toEqual([]);
  });
});

test.each([
  [["a", "b", "c"], 0, "a"],
  [["a", "b", "c"], 0.5, "b"],
  [["a", "b", "c"], 0.999, "c"],
  [[], 0.5, undefined],
])("of %j, the target %d is %s", (those, target, expected) => {
  expect(targetOf(those, target)).toBe(expected);
});
