/** What a worker process and a flow's process cost a Redis while they wait: docs/performance.md tells the figures. */

import { Redis } from "ioredis";
import { DistributedTaskRunner, flow } from "millrace";
import { expect, test, vi } from "vitest";
import { identity } from "../fixtures/tasks.ts";
import { useCleanups } from "../support/cleanups.ts";
import { startPrivateRedis } from "../support/private-redis.ts";
import { killPrograms, startWorker, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 90_000 });

const NAMESPACE = "idle";
/** So many, since the rarest commands come every 5 s. One of each kind more or less fits into the bounds below. */
const HEARTBEATS = 6;

/** Of the commands that docs/performance.md tells, a worker sends 5.4 with each of its heartbeats, and a flow's process 3.8. */
const MOST_OF_WORKER = 7;
const MOST_OF_BOTH = 12;

const cleanups = useCleanups();

/** The connections of others, by the last command of each. */
async function connections(redis: Redis): Promise<string[]> {
  const lines = String(await redis.client("LIST"))
    .trim()
    .split("\n");
  const own = `id=${await redis.client("ID")} `;
  return lines
    .filter((line) => !line.startsWith(own) && !line.includes("cmd=monitor"))
    .map((line) => /cmd=(\S+)/.exec(line)?.[1] ?? "");
}

/** What is sent between two heartbeats of the worker that are so many apart, by the names of the commands. What scripts do is left out. */
async function commandsOf(redis: Redis, heartbeats: number): Promise<Map<string, number>> {
  const monitor = await redis.monitor();
  const counts = new Map<string, number>();
  let beats = 0;
  await new Promise<void>((resolve) => {
    monitor.on("monitor", (_, [name = "", key = ""]: string[], source: string) => {
      if (/^set$/i.test(name) && key.includes(":worker:") && beats++ === heartbeats) resolve();
      const isCounted = beats > 0 && beats <= heartbeats && source !== "lua";
      if (isCounted) counts.set(name.toLowerCase(), (counts.get(name.toLowerCase()) ?? 0) + 1);
    });
  });
  monitor.disconnect();
  return counts;
}

const perHeartbeat = (counts: Map<string, number>) =>
  [...counts.values()].reduce((sum, count) => sum + count, 0) / HEARTBEATS;

test("a worker and a flow that wait send few commands a second, on few connections", async () => {
  const server = await startPrivateRedis();
  cleanups.push(() => server.kill());
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  cleanups.push(killPrograms);
  const worker = await startWorker(NAMESPACE, "--redis", server.url, "--threads", "1");
  const ofWorker = await commandsOf(redis, HEARTBEATS);
  const connectionsOfWorker = await connections(redis);
  expect(connectionsOfWorker).toHaveLength(3);
  expect(perHeartbeat(ofWorker), JSON.stringify([...ofWorker])).toBeLessThanOrEqual(MOST_OF_WORKER);
  const taskRunner = new DistributedTaskRunner({ redis: server.url, namespace: NAMESPACE });
  await flow({ name: "idle", taskRunner }, async () => {
    await identity(1);
    const withFlow = connectionsOfWorker.length + 5;
    await until(
      "the thread that renews its lease has connected",
      async () => (await connections(redis)).length === withFlow,
    );
    const ofBoth = await commandsOf(redis, HEARTBEATS);
    expect(perHeartbeat(ofBoth), JSON.stringify([...ofBoth])).toBeLessThanOrEqual(MOST_OF_BOTH);
    expect(await connections(redis)).toHaveLength(withFlow);
  })();
  expect((await terminate(worker)).code).toBe(0);
});
