/** Random graphs on the distributed runner, with one worker and with several. */
import { LocalCluster } from "millrace";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { OTHER_QUEUE } from "../../packages/core/testing/random-graphs/plan.ts";
import { randomGraphsContract } from "../../packages/core/testing/random-graphs.contract.ts";
import { onCluster, onStandingCluster, type StartedRunner } from "../support/runner-kinds.ts";

const KINDS = [
  onCluster("embedded, 1 worker of 2 threads", () => new LocalCluster({ broker: "memory", threads: 2 })),
  onCluster(
    "embedded, 3 workers of 1 thread",
    () => new LocalCluster({ broker: "memory", workers: 3, threads: 1 }),
  ),
  onCluster(
    "local Redis cluster, 2 workers of 1 thread",
    () => new LocalCluster({ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 1 }),
  ),
  onStandingCluster(
    "standing cluster, 2 workers of 1 thread, and 1 for another queue",
    ["--threads", "1"],
    ["--threads", "1"],
    ["--threads", "1", "--queue", OTHER_QUEUE],
  ),
];

for (const { name, start } of KINDS) {
  describe(name, () => {
    let started: StartedRunner;

    beforeAll(async () => {
      started = await start();
    });

    afterAll(() => started?.close());

    randomGraphsContract({ name, makeRunner: () => started.taskRunner });
  });
}
