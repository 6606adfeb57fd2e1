/**
 * A fresh process with a flow of so many no-op tasks; prints what it took, and the most memory of this process.
 * JavaScript, run by `node` alone: the compiler would be part of the memory.
 *
 *     node scale-child.js <tasks> [<url of a Redis>]
 */
import { availableParallelism } from "node:os";
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { noop } from "./tasks.js";

async function main() {
  const tasks = Number(process.argv[2]);
  const redis = process.argv[3];
  const server = redis === undefined ? { broker: "memory" } : { broker: "redis", redis };
  const cluster = new LocalCluster({ workers: 1, threads: availableParallelism(), ...server });
  await cluster.start();
  const submitAll = flow(
    { name: "submit-all", taskRunner: new DistributedTaskRunner({ cluster }) },
    // It returns nothing, so it ends when all of its tasks have, in the state that these give it.
    ({ count }) => {
      for (let n = 0; n < count; n++) noop.submit(n);
    },
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
