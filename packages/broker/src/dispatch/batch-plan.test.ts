import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BatchSituation, costMs, planBatch } from "./batch-plan.ts";

type Case = Partial<Omit<BatchSituation, "expectedMs" | "hasDependents">> & {
  /** How many of the calls, from the first, have others wait for them. */
  readonly withDependents?: number;
  /** What every call takes, or each in turn; undefined: nobody knows. */
  readonly ms?: number | readonly (number | undefined)[] | undefined;
};

/** One idle worker with two threads, unless the case says otherwise. */
function plan({ ms, withDependents = 0, ...given }: Case): number {
  return planBatch({
    workers: 1,
    slots: 2,
    batchMs: 4,
    outstandingCalls: 0,
    outstandingMs: 0,
    outstandingBytes: 0,
    backlog: 100,
    ...given,
    expectedMs: (index) => (ms === undefined || typeof ms === "number" ? ms : ms[index]),
    hasDependents: (index) => index < withDependents,
  });
}

// A batch aims at 4 ms of work per thread of its worker, of a long backlog at 20 ms; the window holds 8 ms per thread.
describe("the next batch has", () => {
  test.each<[string, Case, number]>([
    // Nothing to send, or nowhere to send it
    ["no call when none waits", { backlog: 0, ms: 1 }, 0],
    ["no call when there is no worker", { workers: 0, slots: 0, ms: 1 }, 0],

    // Size follows duration
    ["as many short calls as make some milliseconds per thread", { backlog: 32, ms: 1 }, 8],
    ["twice as many for twice the threads", { backlog: 32, slots: 4, ms: 1 }, 16],
    ["more of a long backlog: a quarter of it", { backlog: 100, ms: 1 }, 25],
    [
      "a quarter of its worker's share, when there are several",
      { workers: 2, slots: 4, backlog: 80, ms: 1 },
      10,
    ],
    ["at most some tens of milliseconds per thread", { backlog: 100_000, ms: 1 }, 40],
    ["no more of a new task, however long the backlog", { backlog: 100_000, ms: undefined }, 2],
    ["all that wait when they are few", { backlog: 3, ms: 1 }, 3],
    ["at most a thousand, however short", { backlog: 100_000, ms: 0 }, 1000],
    ["one call when a call takes longer than a batch should", { ms: 500 }, 1],
    ["the short calls ahead of a long one, which travels alone", { ms: [0.5, 0.5, 500, 0.5] }, 2],
    ["the long call alone when it is in front", { ms: [500, 0.5, 0.5] }, 1],
    ["a call that is only a little too long as well", { backlog: 3, ms: [4, 6, 1] }, 2],

    // As told
    ["what makes so much per thread as was asked for", { backlog: 12, batchMs: 2, ms: 1 }, 4],
    ["none behind two such batches", { batchMs: 2, outstandingCalls: 50, outstandingMs: 8, ms: 1 }, 0],

    // A new task: nobody knows how long it takes
    ["one call per thread of a new task", { ms: undefined }, 2],
    ["one call per thread of the worker, when there are many", { workers: 4, slots: 16, ms: undefined }, 4],

    // Spread over workers
    ["its share when there are several workers", { workers: 4, slots: 8, backlog: 8, ms: 0.1 }, 2],
    ["its share rounded up, so that no call is left over", { workers: 4, slots: 8, backlog: 9, ms: 0.1 }, 3],
    ["one call for each worker when as many wait", { workers: 4, slots: 8, backlog: 4, ms: 0.1 }, 1],

    // The ready calls of a graph
    [
      "all of them when there is one worker, however long they are",
      { backlog: 16, withDependents: 16, ms: 50 },
      16,
    ],
    ["all of a new task's as well", { backlog: 16, withDependents: 16, ms: undefined }, 16],
    ["no more than a batch's when others are among them", { backlog: 16, withDependents: 15, ms: 1 }, 8],
    [
      "all of them when the graph is small, that others need not wait for several workers",
      { workers: 4, slots: 8, backlog: 8, withDependents: 8, ms: 0.5 },
      8,
    ],
    [
      "its share of them when they are long",
      { workers: 4, slots: 8, backlog: 8, withDependents: 8, ms: 5 },
      2,
    ],
    ["its share of a new task's", { workers: 4, slots: 8, backlog: 8, withDependents: 8 }, 2],
    [
      "its share when others are among them",
      { workers: 4, slots: 8, backlog: 8, withDependents: 7, ms: 0.5 },
      2,
    ],

    // The window
    [
      "calls while less is outstanding than there is time for",
      { outstandingCalls: 50, outstandingMs: 15, backlog: 20, ms: 1 },
      8,
    ],
    ["none when the window is full", { outstandingCalls: 50, outstandingMs: 16, ms: 1 }, 0],
    [
      "calls while a thread has none, however long the others take",
      { outstandingCalls: 1, outstandingMs: 1e6, backlog: 20, ms: 1 },
      8,
    ],
    [
      "a call to come next for each worker, behind long calls",
      { outstandingCalls: 2, outstandingMs: 1e6, ms: 1e6 },
      1,
    ],
    [
      "none when as many bytes are outstanding as Redis should hold",
      { outstandingCalls: 3, outstandingBytes: 2 ** 28 },
      0,
    ],
    [
      "calls while a thread has none, however many bytes",
      { outstandingCalls: 2, outstandingBytes: 2 ** 40 },
      2,
    ],
    ["none behind that", { outstandingCalls: 3, outstandingMs: 1e6, ms: 1e6 }, 0],
  ])("%s", (_, situation, calls) => {
    expect(plan(situation)).toBe(calls);
  });
});

test("there is always a call when one waits and a thread is idle, and never more than wait", () => {
  const milliseconds = fc.option(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e7, noNaN: true })), {
    nil: undefined,
  });
  const situations = fc.record({
    workers: fc.integer({ min: 1, max: 50 }),
    threads: fc.integer({ min: 1, max: 64 }),
    outstandingCalls: fc.nat(5000),
    outstandingMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    outstandingBytes: fc.nat(2 ** 40),
    backlog: fc.integer({ min: 1, max: 100_000 }),
    ms: fc.array(milliseconds, { minLength: 1, maxLength: 20 }),
  });
  fc.assert(
    fc.property(situations, ({ workers, threads, ms, ...situation }) => {
      const slots = workers * threads;
      const expectedMs = (index: number) => ms[index % ms.length];
      const count = planBatch({
        ...situation,
        batchMs: 4,
        workers,
        slots,
        expectedMs,
        hasDependents: () => false,
      });
      expect(count).toBeLessThanOrEqual(Math.min(1000, Math.ceil(situation.backlog / workers)));
      if (situation.outstandingCalls < slots) expect(count).toBeGreaterThan(0);
    }),
  );
});

test("a call of a new task counts for something", () => {
  expect(costMs(undefined, 4)).toBe(4);
  expect(costMs(3, 4)).toBe(3);
});
