import { randomUUID } from "node:crypto";
import { DecodeError, SignatureError } from "@millrace/core";
import { BatchWatch } from "./batch-watch.ts";
import type { RunnerHandlers, RunnerLink } from "./broker.ts";
import { addJob, type BatchQueue, openQueue } from "./bullmq.ts";
import { LEAVE_MS, STREAM_RENEWAL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { type Batch, type CallAnswer, decodeReport, encodeBatch } from "./messages.ts";
import { doneWithin, type Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { Refusals } from "./refusals.ts";
import type { Seal } from "./seal.ts";
import { appendToStream, StreamReader } from "./stream-reader.ts";
import { encodeWorkerMessage, type WorkerMessage } from "./worker-messages.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

/** A runner's link to the cluster behind a Redis: batches go into BullMQ's queue, reports come on a stream of its own. */
export class BullMqRunner implements RunnerLink {
  readonly runnerId: string;
  readonly values: RedisValues;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: BatchQueue;
  readonly #handlers: RunnerHandlers;
  readonly #seal: Seal;
  readonly #refusals = new Refusals();
  readonly #adding = new Set<Promise<void>>();
  #replies!: StreamReader;
  #watch!: BatchWatch;
  readonly #renewal: NodeJS.Timeout;
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    seal: Seal,
    handlers: RunnerHandlers,
  ): Promise<BullMqRunner> {
    const runner = new BullMqRunner(redis, keys, openQueue(redis, keys, queueName), seal, handlers);
    const replies = keys.replies(runner.runnerId);
    runner.#replies = await StreamReader.open(redis, replies, (reply) => runner.#onReply(reply));
    runner.#watch = await BatchWatch.start({
      redis,
      keys,
      queue: queueName,
      registry,
      onCapacity: (capacity) => handlers.onCapacity(capacity),
      onLost: async ({ batchId, reason }) => {
        await runner.#removeJob(batchId);
        runner.#lost(batchId, reason);
      },
    });
    return runner;
  }

  private constructor(redis: Redis, keys: Keys, queue: BatchQueue, seal: Seal, handlers: RunnerHandlers) {
    this.runnerId = randomUUID();
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
    this.#handlers = handlers;
    this.#seal = seal;
    this.values = new RedisValues(redis, keys, seal);
    this.#renewal = setInterval(() => void this.values.renew(this.runnerId).catch(ignore), STREAM_RENEWAL_MS);
  }

  send(batch: Batch): void {
    // The values that it refers to are there before it is.
    const { written } = this.values;
    const bytes = encodeBatch(batch);
    const adding =
      written === undefined ? this.#add(batch.id, bytes) : written.then(() => this.#add(batch.id, bytes));
    const added = adding.catch((error: Error) =>
      this.#lost(batch.id, `It could not be put into the queue: ${error.message}`),
    );
    this.#adding.add(added);
    void added.then(() => this.#adding.delete(added));
  }

  async #add(batchId: string, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    this.#watch.add(batchId); // From now on it must be somewhere.
    const key = this.#keys.job(this.#queue.name, batchId);
    await addJob(this.#queue, batchId, this.#seal.sign(bytes, { kind: "batch", key }));
  }

  release(batchId: string): void {
    this.#watch.remove(batchId);
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    void this.#cancel(batchId, sequences).catch(ignore); // Redis is away: the calls end when they end.
  }

  handBack(batchId: string): void {
    void this.#tellHolder(batchId, { type: "hand-back", batchId }).catch(ignore);
  }

  answer(workerId: string, answer: CallAnswer): void {
    void this.#tell(workerId, { type: "answer", ...answer }).catch(ignore);
  }

  /** A batch that waits is taken out of the queue; else whoever holds the lease is told. Nobody holds one that is finished. */
  async #cancel(batchId: string, sequences: readonly number[]): Promise<void> {
    await Promise.all(this.#adding); // It may be on its way into the queue.
    // Whoever takes the id out of this list has the batch. (BullMQ's remove() does not tell a waiting job from a finished one.)
    const isOurs = (await this.#redis.lrem(this.#keys.waiting(this.#queue.name), 1, batchId)) === 1;
    if (!isOurs) {
      await this.#tellHolder(batchId, { type: "cancel", batchId, sequences });
      return;
    }
    await this.#queue.remove(batchId);
    if (this.#watch.remove(batchId) && !this.#isClosed) this.#handlers.onWithdrawn(batchId);
  }

  async #tellHolder(batchId: string, message: WorkerMessage): Promise<void> {
    const holder = await this.#redis.get(this.#keys.lease(this.#queue.name, batchId));
    if (holder !== null) await this.#tell(holder, message);
  }

  async #tell(workerId: string, message: WorkerMessage): Promise<void> {
    const key = this.#keys.inbox(workerId);
    const signed = this.#seal.sign(encodeWorkerMessage(message), { kind: "to-worker", key });
    await appendToStream(this.#redis, key, signed);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.close();
    await doneWithin(LEAVE_MS, this.#removeAll());
    await doneWithin(LEAVE_MS, this.#replies.close());
    // Behind the stream: a worker that then writes a value finds the stream gone, and takes the value away again.
    clearInterval(this.#renewal);
    await doneWithin(LEAVE_MS, this.values.removeAll(this.runnerId));
    this.values.close();
    await this.#queue.close().catch(ignore);
  }

  /** Takes what is not accounted for out of the queue: also what is only on its way into it. */
  async #removeAll(): Promise<void> {
    await Promise.all(this.#adding);
    for (const batchId of this.#watch.batches) await this.#removeJob(batchId).catch(ignore);
  }

  #onReply(reply: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      const key = this.#keys.replies(this.runnerId);
      this.#handlers.onReport(decodeReport(this.#seal.verify(reply, { kind: "report", key })));
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SignatureError)) throw error;
      this.#refusals.note("a reply could not be read and was left out", error);
    }
  }

  #lost(batchId: string, reason: string): void {
    if (this.#watch.remove(batchId) && !this.#isClosed) this.#handlers.onLost(batchId, reason);
  }

  /** BullMQ refuses to remove a job that is locked, also when the holder of the lock is dead. */
  async #removeJob(batchId: string): Promise<void> {
    let isRemoved = false;
    // Again when a worker took it, and locked it, between the two steps. It can be taken once.
    for (let attempt = 1; !isRemoved && attempt <= 2; attempt++) {
      await this.#redis.del(this.#keys.lease(this.#queue.name, batchId));
      isRemoved = (await this.#queue.remove(batchId)) === 1;
    }
  }
}

function ignore(): void {}
