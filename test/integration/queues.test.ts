/** Tasks that name a queue run on the workers that serve it. */
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import * as tasks from "../fixtures/queue-tasks.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { type Program, startWorker, terminate } from "../support/processes.ts";
import { forgetNamespace } from "../support/redis-keys.ts";

describe("a standing cluster", () => {
  const namespace = uniqueNamespace();
  let workers: [Program, Program];

  beforeAll(async () => {
    workers = await Promise.all([
      startWorker(namespace, "--threads", "1"),
      startWorker(namespace, "--threads", "1", "--queue", "large"),
    ]);
  });

  afterAll(async () => {
    await Promise.all(workers.map(terminate));
    await forgetNamespace(namespace);
  });

  test("runs a task on the workers of its queue, also when a task calls it", async () => {
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const pids = await flow({ name: "f", taskRunner }, async () => [
      await tasks.pid(),
      await tasks.pidOnLarge(),
      await tasks.pidInside(),
      await tasks.pid.withOptions({ queue: "default" })(),
    ])();
    const [small, large] = workers.map(({ pid }) => pid);
    expect(pids).toEqual([small, large, [small, large], small]);
  });

  test("cancels a call that waits for a queue which nobody serves", async () => {
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const name = await flow({ name: "f", taskRunner }, async () => {
      const waiting = tasks.pid.withOptions({ queue: "nobody" }).submit();
      return (await waiting.cancel()).name;
    })();
    expect(name).toBe("Cancelled");
  });
});

test("a local cluster serves all queues", async () => {
  await using cluster = await new LocalCluster({ broker: "memory", threads: 1 }).start();
  const taskRunner = new DistributedTaskRunner({ cluster });
  expect(await flow({ name: "f", taskRunner }, () => tasks.pidOnLarge())()).toBe(process.pid);
});
