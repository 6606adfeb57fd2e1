/**
 * A fresh process that starts what its argument names, and prints the milliseconds from there to the first result.
 * JavaScript, run by `node` alone: compiling TypeScript would be most of it. Imports are not counted, as for the peers.
 */
import { availableParallelism } from "node:os";

const cores = availableParallelism();

const starts = {
  piscina: async () => {
    const { Piscina } = await import("piscina");
    const filename = new URL("./piscina-entry.js", import.meta.url).href;
    return async () => {
      const pool = new Piscina({ filename, minThreads: cores, maxThreads: cores });
      await pool.run([1], { name: "noop" });
      return () => pool.destroy();
    };
  },
  memory: () => millrace("memory"),
  redis: () => millrace("redis"),
};

/** With Redis, its start counts too: a private server, as a user without one gets it. */
async function millrace(broker) {
  const { DistributedTaskRunner, flow, LocalCluster } = await import("millrace");
  const { noop } = await import("./tasks.js");
  return async () => {
    const cluster = new LocalCluster({ broker, workers: 1, threads: cores });
    await cluster.start();
    await flow({ name: "start", taskRunner: new DistributedTaskRunner({ cluster }) }, () => noop(1))();
    return () => cluster.close();
  };
}

const start = await starts[process.argv[2]]();
const started = performance.now();
const close = await start();
console.log(performance.now() - started);
await close();
