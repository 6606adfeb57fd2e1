import { logTo } from "@millrace/core";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterEach, expect, inject } from "vitest";
import { type Keys, keysOf } from "../src/redis/keys.ts";
import { queueOf, type Seal, sealOf } from "../src/redis/seal.ts";
import { encodeBatch } from "../src/wire/batch.ts";
import { TestRunner, TestWorker } from "./parties.ts";
import { connectPair } from "./redis.ts";

/** A runner and a worker on a queue of their own, and a connection by which anything can be written to its Redis. */
export interface ExposedQueue {
  readonly pair: Awaited<ReturnType<typeof connectPair>>;
  readonly keys: Keys;
  readonly redis: Redis;
  readonly runner: TestRunner;
  readonly worker: TestWorker;
  readonly seal: Seal;
  readonly queueName: string;
  /** A batch of the runner's arrives as it was, and its report comes back: once. */
  expectGoodTraffic(): Promise<void>;
  /** Puts a job into the queue as a runner does, whatever it is. */
  addJob(data: unknown, jobId: string): Promise<unknown>;
}

export interface LoggedLine {
  readonly msg: string;
  readonly err?: { readonly message: string };
}

/** Ends what `setUp` has made after each test. @returns with the lines that the current test has logged */
export function useExposedQueue(): {
  readonly logged: readonly LoggedLine[];
  /** @param secret what messages are signed with; left out: they are not */
  setUp(secret?: string): Promise<ExposedQueue>;
} {
  const logged: LoggedLine[] = [];
  let queue: ExposedQueue;

  afterEach(async () => {
    const { pair, redis, runner, worker } = queue;
    await worker.link.close();
    await runner.link.close();
    await pair.dispose();
    await Promise.all([pair.forRunners.close(), pair.forWorkers.close(), redis.quit()]);
    logTo(undefined);
    logged.length = 0;
  });

  return {
    logged,
    async setUp(secret) {
      logTo({ write: (line) => logged.push(JSON.parse(line)) });
      queue = await open(secret);
      return queue;
    },
  };
}

async function open(secret: string | undefined): Promise<ExposedQueue> {
  const pair = await connectPair(secret);
  const keys = keysOf(pair.namespace);
  const seal = sealOf(secret, pair.namespace);
  const queueName = queueOf("default", seal);
  const redis = new Redis(inject("redisUrl"));
  const runner = await TestRunner.join(pair.forRunners);
  const worker = await TestWorker.join(pair.forWorkers);
  return {
    ...{ pair, keys, redis, runner, worker, seal, queueName },
    async expectGoodTraffic() {
      const batch = runner.send();
      expect(Buffer.compare(encodeBatch(await worker.serveOne()), encodeBatch(batch))).toBe(0);
      const reports = () => runner.reports.filter(({ batchId }) => batchId === batch.id);
      await runner.until(() => reports().length > 0);
      expect(reports()).toHaveLength(1);
    },
    async addJob(data, jobId) {
      const jobs = new Queue(queueName, { connection: redis, prefix: keys.prefix, skipVersionCheck: true });
      return jobs.add("batch", data, { jobId, removeOnComplete: true }).finally(() => jobs.close());
    },
  };
}

/** The data of a job that holds this batch. */
export const dataOf = (bytes: Uint8Array) => ({ batch: Buffer.from(bytes).toString("base64") });
