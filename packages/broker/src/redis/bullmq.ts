import { DecodeError, RedisUnsuitableError } from "@millrace/core";
import { BULLMQ_MAJOR_VERSION, type Job, Queue, Worker } from "bullmq";
import { LEASE_MS } from "../intervals.ts";
import { isReference, type ValueReference } from "../wire/call-values.ts";
import { MOST_MESSAGE_BYTES } from "../wire/message-fields.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";
import { findWrongType, type KeyTypes } from "./wrong-type.ts";

/** A batch as BullMQ keeps it: with its bytes, or with how many they are and where. */
interface JobData {
  /** In base64, since a job's data is JSON. */
  readonly batch?: string;
  /** Of a large batch: its bytes are kept with its runner's values, under its id. */
  readonly keptBytes?: number;
}

export type BatchJob = Job<JobData>;
export type BatchQueue = Queue<JobData>;

const JOB_NAME = "batch";

/** The keys of a queue on which BullMQ's scripts fail when something else is there. */
export function queueTypes({ prefix }: Keys, queueName: string): KeyTypes {
  const types = {
    ...({ meta: "hash", id: "string", pc: "string", events: "stream", marker: "zset" } as const),
    ...({ wait: "list", active: "list", paused: "list" } as const),
    ...({ prioritized: "zset", delayed: "zset", completed: "zset", failed: "zset" } as const),
  };
  return Object.fromEntries(
    Object.entries(types).map(([name, type]) => [`${prefix}:${queueName}:${name}`, type]),
  );
}

/**
 * Refuses a queue that another major version of BullMQ uses: its scripts work on the same keys, perhaps in another way. And one
 * in whose place something else is.
 *
 * @throws RedisUnsuitableError
 */
export async function checkQueue(redis: Redis, keys: Keys, queueName: string): Promise<void> {
  const broken = await findWrongType(redis, queueTypes(keys, queueName));
  if (broken !== undefined) throw broken;
  const version = await redis.hget(keys.meta(queueName), "version");
  const major = /^bullmq:(\d+)\./.exec(version ?? "")?.[1];
  if (major === undefined || Number(major) === BULLMQ_MAJOR_VERSION) return;
  throw new RedisUnsuitableError(
    `Expected a queue of BullMQ ${BULLMQ_MAJOR_VERSION} at ${keys.meta(queueName)}, got one of ${version}. Run the same version of ` +
      `Millrace in flows and workers; or, when nobody uses the other one any more, delete that key, or name another queue.`,
  );
}

/** BullMQ's end for those who put batches in. */
export function openQueue(redis: Redis, keys: Keys, queueName: string): BatchQueue {
  const queue: BatchQueue = new Queue(queueName, {
    connection: redis,
    prefix: keys.prefix,
    skipVersionCheck: true, // Done by checkRedis.
    streams: { events: { maxLen: 0 } }, // Nobody reads BullMQ's events.
  });
  queue.on("error", ignore);
  return queue;
}

/** Puts a batch into the queue. @param batch its bytes, or where they are kept */
export async function addJob(
  queue: BatchQueue,
  batchId: string,
  batch: Uint8Array | ValueReference,
): Promise<void> {
  const data = isReference(batch)
    ? { keptBytes: batch.sizeBytes }
    : { batch: Buffer.from(batch).toString("base64") };
  await queue.add(JOB_NAME, data, { jobId: batchId, removeOnComplete: true, removeOnFail: true });
}

/** Where a large batch is kept. */
export function keptBatch(batchId: string, sizeBytes: number): ValueReference {
  return { runnerId: runnerOf(batchId), id: batchId, sizeBytes };
}

/** The runner that has sent the batch with this id. */
export function runnerOf(batchId: string): string {
  return batchId.slice(0, batchId.lastIndexOf("."));
}

/** The bytes of the batch, or where they are kept; whatever there is, when somebody else made the job. @throws DecodeError for too many bytes */
export function batchOf(job: BatchJob): Uint8Array | ValueReference {
  const { batch = "", keptBytes } = (job.data ?? {}) as Record<keyof JobData, unknown>;
  if (typeof keptBytes === "number") {
    if (keptBytes <= MOST_MESSAGE_BYTES) return keptBatch(job.id as string, keptBytes);
    throw new DecodeError(`a batch of at most ${MOST_MESSAGE_BYTES} bytes`, `${keptBytes} bytes`);
  }
  const text = String(batch);
  if (text.length > MOST_CHARACTERS)
    throw new DecodeError(`a batch of at most ${MOST_MESSAGE_BYTES} bytes`, `${text.length} characters`);
  return Buffer.from(text, "base64");
}

/** Base64 writes three bytes with four characters. */
const MOST_CHARACTERS = Math.ceil((MOST_MESSAGE_BYTES * 4) / 3);

/** A worker that waits for a batch hears of one at once; it asks anew after this. */
const TAKE_BLOCK_SECONDS = 2;

/** BullMQ's end for those who take batches, by its manual API. */
export class BatchWorker extends Worker<JobData> {
  /**
   * Ends a job, and takes the next one with the same command when `takesNext`: without, that would cost two commands more, one
   * of which finds in most cases that nothing waits.
   */
  async finish(job: BatchJob, token: string, takesNext: boolean): Promise<BatchJob | undefined> {
    const next: unknown = await job.moveToCompleted(null, token, takesNext);
    if (!takesNext) return undefined;
    const [data, id] = Array.isArray(next) ? next : [];
    // Also when there is none: it remembers that the queue is empty, and blocks at once when it is asked for a job.
    return this.nextJobFromJobData(data || undefined, id, token);
  }
}

export async function openWorker(redis: Redis, keys: Keys, queueName: string): Promise<BatchWorker> {
  const worker = new BatchWorker(queueName, null, {
    connection: redis,
    prefix: keys.prefix,
    autorun: false,
    lockDuration: LEASE_MS,
    maxStalledCount: 0, // The dispatcher alone sends a batch again.
    drainDelay: TAKE_BLOCK_SECONDS,
    skipVersionCheck: true,
  });
  worker.on("error", ignore); // Connection errors: the connection comes back by itself.
  await worker.waitUntilReady();
  return worker;
}

function ignore(): void {}
