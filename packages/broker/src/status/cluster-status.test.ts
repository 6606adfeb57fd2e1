import { expect, test } from "vitest";
import { type QueueLook, statusOf } from "./cluster-status.ts";

const worker = { workerId: "w1", threads: 2, queue: "default", heartbeatAgeMs: 100, batches: 1 };
const healthy: QueueLook = {
  queue: "default",
  live: [worker],
  silent: [],
  strangers: 0,
  waiting: ["r1.2"],
  active: [{ batchId: "r1.1", holder: "w1" }],
};
const runner = {
  ...{ runnerId: "r1", queue: "default", flowRunId: "f", flowName: "report", calls: 5 },
  ...{ host: "mill", pid: 7, startedAt: 0, version: "1.0.0" },
};

test("of a healthy cluster: who is there, and no problem", () => {
  expect(statusOf("prod", [healthy], [runner])).toEqual({
    namespace: "prod",
    workers: [worker],
    queues: [{ queue: "default", waiting: 1, active: 1, workers: 1 }],
    runners: [{ ...runner, batches: 2 }],
    problems: [],
  });
});

test.each<[string, Partial<QueueLook>, RegExp]>([
  [
    "batches that wait for a worker that is not there",
    { live: [], active: [] },
    /^1 batch in queue "default", and no worker\. Start one with `millrace worker --namespace prod --queue default`\.$/,
  ],
  [
    "a worker whose heartbeat has ended",
    { silent: ["w2"] },
    /^Worker w2 of queue "default" has had no heartbeat/,
  ],
  [
    "workers with another secret",
    { strangers: 2 },
    /^2 workers of queue "default" with another secret than this command, .* Set MILLRACE_SECRET to theirs\.$/,
  ],
  [
    "a batch that a worker holds that is gone",
    { active: [{ batchId: "r1.1", holder: "w2" }] },
    /^Batch r1\.1 in queue "default" is held by worker w2, which is gone/,
  ],
  [
    "a batch whose lease ran out",
    { active: [{ batchId: "r1.1", holder: null }] },
    /^Batch r1\.1 in queue "default" is taken, and nobody has the lease/,
  ],
])("says what is wrong: %s", (_, change, problem) => {
  expect(statusOf("prod", [{ ...healthy, ...change }], []).problems).toEqual([
    expect.stringMatching(problem),
  ]);
});

test("says what is wrong: calls in a flow's process, and no worker to send them to", () => {
  expect(statusOf("prod", [healthy], [{ ...runner, queue: "gpu" }]).problems).toEqual([
    'Flow "report" (run f, mill, process 7) has calls for queue "gpu", which no worker serves. Start one with ' +
      "`millrace worker --namespace prod --queue gpu`.",
  ]);
});

test("a flow whose workers have another secret than this command is not said to have none", () => {
  const look = { ...healthy, live: [], waiting: [], active: [], strangers: 1 };
  expect(statusOf("prod", [look], [runner]).problems).toEqual([
    expect.stringMatching(/^1 worker of queue "default" with another secret/),
  ]);
});
