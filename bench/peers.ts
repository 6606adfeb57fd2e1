import { availableParallelism } from "node:os";
import { Queue, QueueEvents, Worker } from "bullmq";
import { Piscina } from "piscina";
import { elapsedMs, type Figure, median, medianOf } from "./measure.ts";

const filename = new URL("./tasks.js", import.meta.url).href;
const cores = availableParallelism();

/** piscina alone, one task per run, as its users use it: what the embedded mode is measured against. */
export async function piscinaAlone(): Promise<Figure[]> {
  const system = "piscina";
  const pool = new Piscina({
    filename,
    minThreads: cores,
    maxThreads: cores,
    idleTimeout: Number.POSITIVE_INFINITY,
  });
  const tasks = 20_000;
  const all = () => elapsedMs(() => Promise.all(Array.from({ length: tasks }, (_, n) => pool.run(n))));
  const perSecond = (tasks / (await medianOf(3, all))) * 1000;
  const latencies: number[] = [];
  for (let n = 0; n < 1_000; n++) latencies.push(await elapsedMs(() => pool.run(n)));
  await pool.destroy();
  return [
    { measure: "no-op tasks per second", system, unit: "1/s", value: perSecond },
    { measure: "one task, submit and await, p50", system, unit: "ms", value: median(latencies) },
  ];
}

/** BullMQ with one job per task, and piscina to run it: what the same user would write without Millrace. */
export async function bullmqAndPiscina(redisPath: string): Promise<Figure[]> {
  const system = "BullMQ + piscina";
  const connection = { path: redisPath, maxRetriesPerRequest: null };
  const pool = new Piscina({
    filename,
    minThreads: cores,
    maxThreads: cores,
    idleTimeout: Number.POSITIVE_INFINITY,
  });
  const queue = new Queue("bench", { connection });
  const events = new QueueEvents("bench", { connection, lastEventId: "0-0" });
  await events.waitUntilReady();
  const waiting = new Map<string, () => void>();
  events.on("completed", ({ jobId }) => waiting.get(jobId)?.());
  const worker = new Worker("bench", (job) => pool.run(job.data.n), { connection, concurrency: 100 });
  await worker.waitUntilReady();
  let next = 0;
  const jobs = (count: number) => {
    const ids = Array.from({ length: count }, () => `j${next++}`);
    const done = ids.map((id) => new Promise<void>((resolve) => waiting.set(id, resolve)));
    const opts = { removeOnComplete: true };
    const added = queue.addBulk(
      ids.map((jobId, n) => ({ name: "noop", data: { n }, opts: { ...opts, jobId } })),
    );
    return Promise.all([added, ...done]).finally(() => waiting.clear());
  };
  const tasks = 5_000;
  const perSecond = (tasks / (await medianOf(3, () => elapsedMs(() => jobs(tasks))))) * 1000;
  const latencies: number[] = [];
  for (let n = 0; n < 1_000; n++) latencies.push(await elapsedMs(() => jobs(1)));
  await worker.close();
  await events.close();
  await queue.close();
  await pool.destroy();
  return [
    { measure: "no-op tasks per second", system, unit: "1/s", value: perSecond },
    { measure: "one task, submit and await, p50", system, unit: "ms", value: median(latencies) },
  ];
}
