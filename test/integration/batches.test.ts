/** How calls travel: how many together, and what becomes of those that wait behind a long one. */
import { DistributedTaskRunner, flow, LocalCluster, wait } from "millrace";
import { describe, expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { startWorker, terminate } from "../support/processes.ts";
import { batchesSent } from "../support/redis-keys.ts";
import { onCluster, onStandingCluster } from "../support/runner-kinds.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const newNamespace = ownNamespaces();

describe("batchMilliseconds", () => {
  const CALLS = 100;
  const CALL_MS = 2;

  /** In how many batches 100 calls travel of which one has taken 2 ms or more. */
  async function batchesOf(batchMilliseconds: number): Promise<number> {
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace, batchMilliseconds });
    const batches = await flow({ name: "batches", taskRunner }, async () => {
      await tasks.compute(CALL_MS); // From now on its duration is known.
      const before = await batchesSent(namespace);
      await tasks.compute.map(Array.from({ length: CALLS }, () => CALL_MS)).results();
      return (await batchesSent(namespace)) - before;
    })();
    await terminate(worker);
    return batches;
  }

  test("of less than one call takes sends each alone", async () => {
    expect(await batchesOf(CALL_MS / 2)).toBe(CALLS);
  });

  test("of more than all calls take sends them together", async () => {
    expect(await batchesOf(60_000)).toBe(1);
  });
});

describe.each([
  onCluster("embedded", () => new LocalCluster({ broker: "memory", workers: 2, threads: 1 })),
  onCluster(
    "local Redis",
    () => new LocalCluster({ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 1 }),
  ),
  onStandingCluster("standing", ["--threads", "1"], ["--threads", "1"]),
])("two workers of a $name cluster", ({ start }) => {
  test("calls behind one that turns out to be long end on the other before it does", async () => {
    const { taskRunner, close } = await start();
    await using closed = await Gate.make();
    await using open = await Gate.make();
    await open.open();
    const names = Array.from({ length: 20 }, (_, index) => `${index}`);
    const body = async () => {
      await tasks.occupy.map(open.directory, names).results(); // So calls are thought to be short, and travel in two batches.
      const long = tasks.occupy.submit(closed.directory, "long");
      const behind = tasks.occupy.map(open.directory, names);
      const { notDone } = await wait(behind, { timeoutSeconds: 30 }); // The long one keeps its worker's only thread meanwhile.
      await closed.open();
      return { late: notDone.length, last: (await long).name };
    };
    try {
      expect(await flow({ name: "behind", taskRunner }, body)()).toEqual({ late: 0, last: "long" });
    } finally {
      await closed.open();
      await close();
    }
  });
});
