/**
 * A fresh process with a flow of so many no-op tasks; prints what it took, and the most memory of this process.
 * JavaScript, run by `node` alone: the compiler would be part of the memory.
 *
 *     node scale-child.js <loop | map | stream> <tasks> [<url of a Redis>]
 */
import { availableParallelism } from "node:os";
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { noop } from "./tasks.js";

/** How a flow makes its tasks, and how it waits for them. */
const ways = {
  /** It returns nothing, so it ends when all of its tasks have, in the state that these give it. */
  loop(count) {
    for (let n = 0; n < count; n++) noop.submit(n);
  },
  async map(count) {
    const futures = noop.map(Array.from({ length: count }, (_, n) => n));
    return (await futures.results()).length;
  },
  async stream(count) {
    let results = 0;
    for await (const _ of noop.map(numbers(count)).results()) results++;
    return results;
  },
};

async function* numbers(count) {
  for (let n = 0; n < count; n++) yield n;
}

async function main() {
  const way = ways[process.argv[2]];
  const tasks = Number(process.argv[3]);
  const redis = process.argv[4];
  const server = redis === undefined ? { broker: "memory" } : { broker: "redis", redis };
  const cluster = new LocalCluster({ workers: 1, threads: availableParallelism(), ...server });
  await cluster.start();
  const submitAll = flow(
    { name: "submit-all", taskRunner: new DistributedTaskRunner({ cluster }) },
    ({ count }) => way(count),
  );
  await submitAll({ count: 1_000 }); // Warms up.
  const started = performance.now();
  await submitAll({ count: tasks });
  const elapsedMs = performance.now() - started;
  await cluster.close();
  console.log(JSON.stringify({ elapsedMs, mostBytes: process.resourceUsage().maxRSS * 1024 }));
}

// This module is imported by the threads too, when they look for the flow's tasks: there, nothing of it runs.
await main();
