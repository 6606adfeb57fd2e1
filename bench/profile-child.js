/**
 * Repeats one measure for some seconds, for profile.ts. JavaScript, run by `node` alone.
 *
 *     node profile-child.js <measure> <memory|redis> <seconds>
 */
import { availableParallelism } from "node:os";
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { echo, increment, noop, point, spin } from "./tasks.js";

const measures = {
  noops: async () => {
    const futures = Array.from({ length: 50_000 }, (_, n) => noop.submit(n));
    for (const future of futures) await future.wait();
  },
  latency: async () => {
    for (let n = 0; n < 500; n++) await noop(n);
  },
  chain: async () => {
    let last = increment.submit(0);
    for (let n = 1; n < 500; n++) last = increment.submit(last);
    await last;
  },
  efficiency: () => spin.map(new Array(2_000).fill(1)).wait(),
  payload: () => echo.map(Array.from({ length: 100 }, (_, n) => Buffer.alloc(100_000, n))).results(),
  stencil: async () => {
    let left = point.submit(0, 0, 1, [], []);
    let right = point.submit(0, 1, 1, [], []);
    for (let step = 1; step < 500; step++) {
      const both = [left, right];
      left = point.submit(step, 0, 1, [0, 1], both);
      right = point.submit(step, 1, 1, [0, 1], both);
    }
    await Promise.all([left.wait(), right.wait()]);
  },
};

async function main() {
  const [measure, broker, seconds] = process.argv.slice(2);
  const cluster = new LocalCluster({ broker, workers: 1, threads: availableParallelism() });
  await cluster.start();
  const run = flow(
    { name: "profile", taskRunner: new DistributedTaskRunner({ cluster }) },
    measures[measure],
  );
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) await run();
  await cluster.close();
}

await main();
