import { describe, expect, test } from "vitest";
import { blame, isGivenUp, type LostCall } from "./blame.ts";

const WAITS: LostCall = {
  isAlone: false,
  hasStarted: false,
  isParked: false,
  isAwaitingAnswer: false,
  losses: 0,
};
const COMPUTES = { ...WAITS, hasStarted: true };
const AWAITS_ITS_OWN = { ...COMPUTES, isParked: true, isAwaitingAnswer: true };
const ALONE = { ...COMPUTES, isAlone: true };

describe("of the calls of a batch that was lost with its worker", () => {
  test.each<[string, LostCall, "blamed" | "suspects" | "others"]>([
    ["one that computed is suspected", COMPUTES, "suspects"],
    ["one that was not known to have begun is not", WAITS, "others"],
    ["but it is the second time", { ...WAITS, losses: 1 }, "suspects"],
    ["one that awaited something is not suspected", { ...COMPUTES, isParked: true }, "others"],
    ["but it is the second time", { ...COMPUTES, isParked: true, losses: 1 }, "suspects"],
    ["one that waited for calls of its own is not", { ...AWAITS_ITS_OWN, losses: 2 }, "others"],
    ["but it is in the end", { ...AWAITS_ITS_OWN, losses: 3 }, "suspects"],
    ["one that ran alone in the process is blamed", ALONE, "blamed"],
    ["not when it had not begun", { ...ALONE, hasStarted: false, losses: 5 }, "others"],
    [
      "nor when it waited for calls of its own, which ran there",
      { ...AWAITS_ITS_OWN, isAlone: true },
      "others",
    ],
    [
      "nor when it awaited something, and others ran there",
      { ...ALONE, isParked: true, losses: 2 },
      "others",
    ],
    ["but it is suspected in the end", { ...ALONE, isParked: true, losses: 3 }, "suspects"],
  ])("%s", (_, call, where) => {
    expect(blame([call])).toEqual({ blamed: [], suspects: [], others: [], [where]: [call] });
  });

  test("each is judged by itself", () => {
    expect(blame([COMPUTES, WAITS, COMPUTES])).toEqual({
      blamed: [],
      suspects: [COMPUTES, COMPUTES],
      others: [WAITS],
    });
  });
});

describe("a call that may crash once and is run again all the same", () => {
  test.each<[string, number, number, boolean]>([
    ["is not given up after one death", 1, 0, false],
    ["is after the second", 2, 0, true],
    ["is not for six suspicions: others were there", 0, 6, false],
    ["is for the seventh", 0, 7, true],
    ["has each counted by itself", 1, 6, false],
  ])("%s", (_, crashes, suspicions, isEnded) => {
    expect(isGivenUp({ crashes, suspicions, crashRetries: 1 })).toBe(isEnded);
  });
});
