/**
 * The worker process of BullMQ with piscina: `node bullmq-worker.js <socket of a Redis>`, under a parent that it tells when
 * it is ready, and with whose channel it ends.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "bullmq";
import { Piscina } from "piscina";

/** More than there are threads: piscina's queue is filled ahead, as BullMQ fetches one job after the other. */
const CONCURRENCY = 100;

const threads = availableParallelism();
const pool = new Piscina({
  filename: fileURLToPath(new URL("./piscina-entry.js", import.meta.url)),
  minThreads: threads,
  maxThreads: threads,
  idleTimeout: Number.POSITIVE_INFINITY,
});
const worker = new Worker("bench", (job) => pool.run(job.data, { name: job.name }), {
  connection: { path: process.argv[2], maxRetriesPerRequest: null },
  concurrency: CONCURRENCY,
});
await worker.waitUntilReady();
process.on("disconnect", async () => {
  await worker.close();
  await pool.destroy();
});
process.send("ready");
