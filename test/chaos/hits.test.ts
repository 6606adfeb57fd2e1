import { describe, expect, test } from "vitest";
import { type CausedFault, GRACE_SECONDS, hitsOnFlow, hitsOnWorker } from "./hits.ts";

const WORKER = 7;
const FLOW = 3;
const FOREVER = Number.POSITIVE_INFINITY;

const fault = (
  kind: CausedFault["kind"],
  pid: number,
  startedAt: number,
  endedAt = startedAt,
): CausedFault => ({ kind, pids: [pid], startedAt, endedAt, detail: "" });

const REDIS = 1;
const onWorker = (faults: readonly CausedFault[]) =>
  hitsOnWorker({ faults, deaths: [] }, { pid: WORKER, thread: 2 });
const onFlow = (faults: readonly CausedFault[]) => hitsOnFlow({ faults, deaths: [] }, FLOW);

describe("what hits a worker", () => {
  test.each<[string, CausedFault[], ReturnType<typeof onWorker>]>([
    ["nothing", [], []],
    ["its kill", [fault("worker-kill", WORKER, 100, 110)], [{ what: "worker-kill", from: 100, until: 110 }]],
    ["not that of another", [fault("worker-kill", 8, 100)], []],
    ["not a pause that its heartbeat bears", [fault("worker-pause", WORKER, 0, 4_000)], []],
    [
      "a pause that it does not",
      [fault("worker-freeze", WORKER, 0, 4_001)],
      [{ what: "worker-freeze", from: 0, until: 4_001 }],
    ],
    ["not one of another", [fault("worker-freeze", 8, 0, 9_000)], []],
    [
      "a Redis that is silent for as long",
      [fault("redis-freeze", REDIS, 0, 6_000)],
      [{ what: "redis-freeze", from: 0, until: 6_000 }],
    ],
    [
      "two short silences with no time for a heartbeat between them",
      [fault("redis-full", REDIS, 3_000, 6_000), fault("worker-pause", WORKER, 0, 2_000)],
      [{ what: "worker-pause and redis-full", from: 0, until: 6_000 }],
    ],
    [
      "not two with time for one",
      [fault("worker-pause", WORKER, 0, 2_000), fault("redis-pause", REDIS, 3_001, 6_000)],
      [],
    ],
    [
      "a short silence within a long one, which does not end it",
      [fault("redis-freeze", REDIS, 0, 6_000), fault("worker-pause", WORKER, 500, 1_000)],
      [{ what: "redis-freeze and worker-pause", from: 0, until: 6_000 }],
    ],
    ["not that another was told to go", [fault("scale", 8, 100)], []],
    ["not a cut of its connections", [fault("connections-cut", REDIS, 100)], []],
    [
      "that it was told to go, after its grace",
      [fault("scale", WORKER, 100)],
      [{ what: "scale", from: 100 + GRACE_SECONDS * 1_000, until: FOREVER }],
    ],
  ])("%s", (_, faults, expected) => {
    expect(onWorker(faults)).toEqual(expected);
  });

  test.each([
    ["a task that ends its thread", "exit", WORKER, 2, true],
    ["not one that ends another thread", "exit", WORKER, 1, false],
    ["not one that ends the same thread of another process", "heap", 8, 2, false],
    ["one in another thread that aborts the process", "abort", WORKER, 1, true],
  ] as const)("%s", (_, how, pid, thread, isHit) => {
    const harm = { faults: [], deaths: [{ how, at: 100, pid, thread }] };
    expect(hitsOnWorker(harm, { pid: WORKER, thread: 2 })).toEqual(
      isHit ? [{ what: `task-${how}`, from: 100, until: FOREVER }] : [],
    );
  });
});

describe("what hits a flow", () => {
  test.each<[string, CausedFault[], ReturnType<typeof onFlow>]>([
    [
      "a restart of Redis",
      [fault("redis-restart", REDIS, 0, 100)],
      [{ what: "redis-restart", from: 0, until: 100 }],
    ],
    ["not a silence that its lease bears", [fault("flow-freeze", FLOW, 0, 10_000)], []],
    [
      "one that it does not",
      [fault("flow-freeze", FLOW, 0, 10_001)],
      [{ what: "flow-freeze", from: 0, until: 10_001 }],
    ],
    ["not that of another flow's process", [fault("flow-freeze", 4, 0, 20_000)], []],
    ["not that of a worker", [fault("worker-freeze", WORKER, 0, 12_000)], []],
  ])("%s", (_, faults, expected) => {
    expect(onFlow(faults)).toEqual(expected);
  });
});
