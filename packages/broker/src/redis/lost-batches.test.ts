import { describe, expect, test } from "vitest";
import { DOUBT_MS } from "../intervals.ts";
import { type BatchEvidence, type Doubts, findLost } from "./lost-batches.ts";

const DEAD = new Map([
  ["dead", undefined],
  ["seen dying", "It was killed by SIGSEGV (signal 11)."],
]);
const HELD_BY_LIVING = { holder: "living", exists: true, isTaken: true };
const HELD_BY_DEAD = { holder: "dead", exists: true, isTaken: true };
const WAITING = { holder: null, exists: true, isTaken: false };
const LEASE_ENDED = { holder: null, exists: true, isTaken: true };
const GONE = { holder: null, exists: false, isTaken: false };

type Seen = Omit<BatchEvidence, "batchId">;

/** Looks several times, the looks so far apart; gives the reasons of those that found the batch lost. */
function look(apartMs: number, ...looks: Seen[]): string[] {
  const doubts: Doubts = new Map();
  return looks.flatMap((seen, index) =>
    findLost([{ batchId: "b", ...seen }], DEAD, doubts, index * apartMs).map(({ reason }) => reason),
  );
}

describe("a batch", () => {
  test.each<[string, number, Seen[], string[]]>([
    ["that waits in the queue is not lost, however long", DOUBT_MS, [WAITING, WAITING, WAITING], []],
    ["with a living worker is not lost", DOUBT_MS, [HELD_BY_LIVING, HELD_BY_LIVING], []],
    [
      "with a dead worker is lost at once",
      0,
      [HELD_BY_DEAD],
      ["Worker dead died or was cut off: its heartbeat ended."],
    ],
    [
      "with a dead worker is lost for the reason of that, when it is known",
      0,
      [{ ...HELD_BY_DEAD, holder: "seen dying" }],
      ["Worker seen dying died. It was killed by SIGSEGV (signal 11)."],
    ],
    ["that is gone is not lost at first: its last report may be on the way", 0, [GONE], []],
    ["that is gone is not lost at the next look, when that comes soon", DOUBT_MS / 4, [GONE, GONE, GONE], []],
    [
      "that stays gone is lost",
      DOUBT_MS,
      [GONE, GONE],
      ["The queue no longer has the batch; Redis may have lost its data."],
    ],
    ["that is taken and held by nobody is not lost at first", 0, [LEASE_ENDED], []],
    ["that stays so is lost", DOUBT_MS, [LEASE_ENDED, LEASE_ENDED], ["The lease on the batch ran out."]],
    [
      "that is held again is not lost",
      DOUBT_MS,
      [LEASE_ENDED, HELD_BY_LIVING, LEASE_ENDED, HELD_BY_LIVING],
      [],
    ],
    ["that was doubted and waits again starts anew", DOUBT_MS, [GONE, WAITING, GONE], []],
  ])("%s", (_, apartMs, looks, reasons) => {
    expect(look(apartMs, ...looks)).toEqual(reasons);
  });
});

test("each batch is judged by itself", () => {
  const evidence = [
    { batchId: "living", ...HELD_BY_LIVING },
    { batchId: "first", ...HELD_BY_DEAD },
    { batchId: "waiting", ...WAITING },
    { batchId: "second", ...HELD_BY_DEAD },
  ];
  expect(findLost(evidence, DEAD, new Map(), 0).map(({ batchId }) => batchId)).toEqual(["first", "second"]);
});

test("nothing is remembered of a batch that is lost or well", () => {
  const doubts: Doubts = new Map();
  const see = (seen: Seen, now: number) => findLost([{ batchId: "b", ...seen }], DEAD, doubts, now);
  see(GONE, 0);
  expect(doubts.size).toBe(1);
  expect(see(GONE, DOUBT_MS)).toHaveLength(1);
  expect(doubts.size).toBe(0);
  see(LEASE_ENDED, 0);
  see(HELD_BY_LIVING, 1);
  expect(doubts.size).toBe(0);
});
