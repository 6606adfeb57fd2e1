import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Queue, QueueEvents } from "bullmq";
import { eachElapsedMs, elapsedMs } from "../measure.ts";
import { startPrivateRedis } from "../private-redis.ts";
import type { System } from "./system.ts";

/** Without the measures that BullMQ's users have no simple way to write: graphs whose tasks take each other's results. */
export type QueueSystem = Omit<System, "graph" | "peak">;

const WORKER = fileURLToPath(new URL("../bullmq-worker.js", import.meta.url));

/**
 * BullMQ with one job per task, and piscina to run it, in a worker process of its own as Millrace has it: what the same user
 * would write without Millrace.
 */
export const bullmqAndPiscina = {
  name: "BullMQ + piscina",
  open: async (): Promise<QueueSystem> => {
    const redis = await startPrivateRedis();
    const connection = { path: redis.socketPath, maxRetriesPerRequest: null };
    const queue = new Queue("bench", { connection });
    const events = new QueueEvents("bench", { connection, lastEventId: "0-0" });
    await events.waitUntilReady();
    const waiting = new Map<string, (result: unknown) => void>();
    events.on("completed", ({ jobId, returnvalue }) => {
      waiting.get(jobId)?.(returnvalue);
      waiting.delete(jobId);
    });
    const worker = fork(WORKER, [redis.socketPath], { execArgv: [] });
    await once(worker, "message");
    let next = 0;
    const jobs = async (count: number, name: string, argument: (n: number) => unknown) => {
      const bulk = Array.from({ length: count }, (_, n) => ({
        name,
        data: [argument(n)],
        opts: { removeOnComplete: true, jobId: `j${next++}` },
      }));
      const done = bulk.map(({ opts }) => new Promise((resolve) => waiting.set(opts.jobId, resolve)));
      await queue.addBulk(bulk);
      return Promise.all(done);
    };
    return {
      name: "BullMQ + piscina",
      noops: (count) => elapsedMs(() => jobs(count, "noop", (n) => n)),
      asyncNoops: (count) => elapsedMs(() => jobs(count, "asyncNoop", (n) => n)),
      latencies: (count) => eachElapsedMs(count, () => jobs(1, "noop", (n) => n)),
      // A job gets its children's values only by asking Redis for them, so a user adds the next when one has returned.
      chain: (length) =>
        elapsedMs(async () => {
          for (let last = 0; last < length; last++) await jobs(1, "increment", () => last);
        }),
      spins: (count) => elapsedMs(() => jobs(count, "spin", () => 1)),
      [Symbol.asyncDispose]: async () => {
        worker.disconnect();
        await once(worker, "exit");
        await events.close();
        await queue.close();
        await redis[Symbol.asyncDispose]();
      },
    };
  },
} as const;
