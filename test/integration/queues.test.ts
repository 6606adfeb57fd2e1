/** Tasks that name a queue run on the workers that serve it. */
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import * as tasks from "../fixtures/queue-tasks.ts";
import { hold } from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { CountedSource, startStream, WINDOW_PER_THREAD } from "../support/held-stream.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { type Program, startWorker, terminate } from "../support/processes.ts";
import { forgetNamespace } from "../support/redis-keys.ts";

describe("a standing cluster", () => {
  const namespace = uniqueNamespace();
  let workers: [Program, Program];

  beforeAll(async () => {
    workers = await Promise.all([
      startWorker(namespace, "--threads", "1"),
      startWorker(namespace, "--threads", "3", "--queue", "large"),
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

  test("a stream over a task of another queue has the window of all threads that serve it", async () => {
    await using gate = await Gate.make();
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const source = new CountedSource(4 * WINDOW_PER_THREAD);
    const before = tasks.pidOnLarge; // Before its first call, the flow knows of none.
    const run = startStream(taskRunner, gate, source, { hold: hold.withOptions({ queue: "large" }), before });
    try {
      await source.expectPulled(3 * WINDOW_PER_THREAD, gate);
    } finally {
      await gate.open();
      await run.wait();
    }
    expect(await run.result()).toEqual(source.names);
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
