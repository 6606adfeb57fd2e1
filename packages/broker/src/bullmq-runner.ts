import { randomUUID } from "node:crypto";
import { DecodeError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import { type BatchPlace, type BatchPlaces, findBatches } from "./batch-places.ts";
import { BatchWatch } from "./batch-watch.ts";
import type { LiveQueue, RunnerHandlers, RunnerLink, RunnerOwner, WorkerHelp } from "./broker.ts";
import { addJob, type BatchQueue, openQueue } from "./bullmq.ts";
import { LEAVE_MS, STREAM_RENEWAL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { findLiveQueues } from "./live-queues.ts";
import { type Batch, type CallAnswer, decodeReport, encodeBatch } from "./messages.ts";
import { doneWithin, type Redis } from "./redis-connection.ts";
import { RedisOutage } from "./redis-outage.ts";
import { RedisValues } from "./redis-values.ts";
import { RunnerEntry } from "./runner-registry.ts";
import { appendToStream, StreamReader } from "./stream-reader.ts";
import { encodeWorkerMessage, type WorkerMessage } from "./worker-messages.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

export interface BullMqRunnerOptions {
  /** Of the Redis, for people: without a password. */
  readonly address: string;
  readonly owner: RunnerOwner | undefined;
  readonly onClose: (runner: BullMqRunner) => void;
}

/** A runner's link to the cluster behind a Redis: batches go into BullMQ's queue, reports come on a stream of its own. */
export class BullMqRunner implements RunnerLink {
  readonly runnerId: string;
  readonly values: RedisValues;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: BatchQueue;
  readonly #handlers: RunnerHandlers;
  readonly #registry: WorkerRegistry;
  readonly #options: BullMqRunnerOptions;
  readonly #outage: RedisOutage;
  #entry: RunnerEntry | undefined;
  /** Batches on their way into the queue. */
  readonly #adding = new Map<string, Promise<void>>();
  #replies!: StreamReader;
  #watch!: BatchWatch;
  readonly #renewal: NodeJS.Timeout;
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    handlers: RunnerHandlers,
    options: BullMqRunnerOptions,
  ): Promise<BullMqRunner> {
    const queue = openQueue(redis, keys, queueName);
    const runner = new BullMqRunner(redis, keys, queue, registry, handlers, options);
    const { owner } = options;
    if (owner !== undefined) {
      const { calls, ...names } = owner;
      const record = { runnerId: runner.runnerId, queue: queueName, ...names };
      runner.#entry = new RunnerEntry(redis, keys, record, calls);
    }
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
    await runner.#entry?.renew();
    return runner;
  }

  private constructor(
    redis: Redis,
    keys: Keys,
    queue: BatchQueue,
    registry: WorkerRegistry,
    handlers: RunnerHandlers,
    options: BullMqRunnerOptions,
  ) {
    this.runnerId = randomUUID();
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
    this.#registry = registry;
    this.#handlers = handlers;
    this.#options = options;
    this.#outage = new RedisOutage(redis);
    this.values = new RedisValues(redis, keys);
    this.#renewal = setInterval(() => {
      void this.values.renew(this.runnerId).catch(ignore);
      void this.#entry?.renew().catch(ignore);
    }, STREAM_RENEWAL_MS);
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
    this.#adding.set(batch.id, added);
    void added.then(() => this.#adding.delete(batch.id));
  }

  async #add(batchId: string, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    this.#watch.add(batchId); // From now on it must be somewhere.
    await addJob(this.#queue, batchId, bytes);
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
    await Promise.all(this.#adding.values()); // It may be on its way into the queue.
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
    await appendToStream(this.#redis, this.#keys.inbox(workerId), encodeWorkerMessage(message));
  }

  async locate(batchIds: readonly string[]): Promise<BatchPlaces> {
    const places = new Map<string, BatchPlace>();
    // Of those that are watched, the watch will tell when they are nowhere.
    const watched = batchIds.filter((id) => this.#watch.batches.has(id));
    const found = findBatches(this.#redis, this.#keys, this.#queue.name, this.#registry, watched);
    for (const id of batchIds) if (this.#adding.has(id)) places.set(id, { type: "sent" });
    const { since } = this.#outage;
    if (since !== undefined) return { awaySince: since };
    const askedAt = Date.now();
    for (const [id, place] of (await found) ?? []) if (!this.#adding.has(id)) places.set(id, place);
    return (await found) === undefined ? { awaySince: this.#outage.since ?? askedAt } : { places };
  }

  async findHelp(): Promise<WorkerHelp> {
    const { name } = this.#queue;
    const namespace = this.#keys.namespace;
    let elsewhere: readonly LiveQueue[] = [];
    // A user of Redis who may not list keys gets none; others are not made to wait for a Redis that is away.
    const finding = findLiveQueues(this.#redis).then((found) => {
      elsewhere = found.filter((live) => live.namespace !== namespace || live.queue !== name);
    });
    await doneWithin(LEAVE_MS, finding);
    const command = `millrace worker --redis ${this.#options.address} --namespace ${namespace} --queue ${name}`;
    return { command, elsewhere };
  }

  /** The broker is closed, as when its local cluster is: no worker will be heard of any more. */
  loseCluster(): void {
    if (!this.#isClosed) this.#handlers.onCapacity({ workers: 0, slots: 0 });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClose(this);
    this.#watch.close();
    this.#outage.stop();
    await doneWithin(LEAVE_MS, this.#removeAll());
    await doneWithin(LEAVE_MS, this.#replies.close());
    // Behind the stream: a worker that then writes a value finds the stream gone, and takes the value away again.
    clearInterval(this.#renewal);
    await doneWithin(LEAVE_MS, Promise.all([this.#entry?.remove(), this.values.removeAll(this.runnerId)]));
    this.values.close();
    await this.#queue.close().catch(ignore);
  }

  /** Takes what is not accounted for out of the queue: also what is only on its way into it. */
  async #removeAll(): Promise<void> {
    await Promise.all(this.#adding.values());
    for (const batchId of this.#watch.batches) await this.#removeJob(batchId).catch(ignore);
  }

  #onReply(reply: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      this.#handlers.onReport(decodeReport(reply));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      processLogger().error({ err: error }, "a reply could not be read and was left out");
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
