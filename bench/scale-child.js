/**
 * A fresh process with a flow of so many no-op tasks; prints what it took, how that grew within the flow (of a loop), and the most
 * memory of this process.
 * JavaScript, run by `node` alone: the compiler would be part of the memory.
 *
 *     node scale-child.js <loop | map | stream> <tasks> [<url of a Redis>]
 */
import { availableParallelism } from "node:os";
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { noop } from "./tasks.js";

/** The parts of a flow, by where each ends: the first tenth, in which Node still compiles; the second; up to the half; the second half. */
const PART_ENDS = [0.1, 0.2, 0.5, 1];

/** Cost per task of the second half, as a multiple of that of the second tenth: 1 when no cost grows with the tasks before. */
let growth;

/** How a flow makes its tasks, and how it waits for them. */
const ways = {
  /** It returns nothing, so it ends when all of its tasks have, in the state that these give it. */
  async loop(count) {
    const parts = [];
    let n = 0;
    for (const end of PART_ENDS) {
      const [from, began] = [n, performance.now()];
      let last;
      for (; n < count * end; n++) last = noop.submit(n);
      parts.push({ last, tasks: n - from, elapsedMs: performance.now() - began });
    }
    // All are submitted before the first result is looked at, so a part takes its time twice. Tasks end about in their order.
    let ended = performance.now();
    for (const part of parts) {
      await part.last.wait();
      const now = performance.now();
      part.elapsedMs += now - ended;
      ended = now;
    }
    const [, tenth, , half] = parts.map(({ elapsedMs, tasks }) => elapsedMs / tasks);
    growth = half / tenth;
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
  console.log(JSON.stringify({ elapsedMs, growth, mostBytes: process.resourceUsage().maxRSS * 1024 }));
}

// This module is imported by the threads too, when they look for the flow's tasks: there, nothing of it runs.
await main();
