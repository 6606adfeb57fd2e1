import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DecodeError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import { type Job, Queue, Worker } from "bullmq";
import { BatchWatch } from "./batch-watch.ts";
import {
  type Broker,
  DEFAULT_QUEUE,
  type Delivery,
  type RunnerHandlers,
  type RunnerLink,
  type WorkerInfo,
  type WorkerLink,
} from "./broker.ts";
import { LEASE_MS, LEASE_RENEWAL_MS, LEAVE_MS } from "./intervals.ts";
import { type Keys, keysOf } from "./keys.ts";
import { type Batch, decodeBatch, decodeReport, encodeBatch } from "./messages.ts";
import { checkRedis, connectRedis, doneWithin, type Redis } from "./redis-connection.ts";
import { appendReply, ReplyReader } from "./reply-stream.ts";
import { WorkerRegistry } from "./worker-registry.ts";

export interface BullMqBrokerOptions {
  readonly redisUrl: string;
  /** Separates projects that share a Redis. */
  readonly namespace: string;
  readonly queue?: string;
}

/** A BullMQ job's data is JSON, so the batch travels in base64. */
interface JobData {
  readonly batch: string;
}

const JOB_NAME = "batch";

/** The wait after Redis refused to give a job, as it does while it loads its data. */
const TAKE_RETRY_MS = 200;

/**
 * The broker on Redis: a batch is one BullMQ job, a lease its lock. Jobs are taken by BullMQ's manual API, so that the
 * executor decides when another batch is admitted; and reports go to the runner's own stream, not to BullMQ's events,
 * which can be missed.
 */
export class BullMqBroker implements Broker {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queueName: string;
  readonly #registry: WorkerRegistry;
  #closed: Promise<void> | undefined;

  /** @throws InvalidOptionError, BrokerUnavailableError, RedisUnsuitableError */
  static async connect({
    redisUrl,
    namespace,
    queue = DEFAULT_QUEUE,
  }: BullMqBrokerOptions): Promise<BullMqBroker> {
    const keys = keysOf(namespace);
    const redis = await connectRedis(redisUrl);
    try {
      await checkRedis(redis);
    } catch (error) {
      redis.disconnect();
      throw error;
    }
    return new BullMqBroker(redis, keys, queue);
  }

  private constructor(redis: Redis, keys: Keys, queueName: string) {
    this.#redis = redis;
    this.#keys = keys;
    this.#queueName = queueName;
    this.#registry = new WorkerRegistry(redis, keys, queueName);
  }

  connectRunner(handlers: RunnerHandlers): Promise<RunnerLink> {
    return BullMqRunner.open(this.#redis, this.#keys, this.#queueName, this.#registry, handlers);
  }

  connectWorker(worker: WorkerInfo): Promise<WorkerLink> {
    return BullMqWorker.open(this.#redis, this.#keys, this.#queueName, this.#registry, worker);
  }

  /** A nanny saw the worker's process end: its batches are lost now, not when its heartbeat runs out. */
  async workerDied(workerId: string): Promise<void> {
    await this.#registry.remove(workerId);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const hasQuit = this.#redis.status === "ready" && (await doneWithin(LEAVE_MS, this.#redis.quit()));
    // After a quit, ioredis would keep a timer for the socket that has gone.
    if (!hasQuit) this.#redis.disconnect();
  }

  /** Deletes everything of the namespace, when nobody uses it any more: what a private cluster leaves. */
  async deleteNamespace(): Promise<void> {
    for (let cursor = "0"; ; ) {
      const [next, keys] = await this.#redis.scan(cursor, "MATCH", `${this.#keys.prefix}:*`, "COUNT", 1000);
      if (keys.length > 0) await this.#redis.unlink(...keys);
      if (next === "0") return;
      cursor = next;
    }
  }
}

class BullMqRunner implements RunnerLink {
  readonly runnerId: string;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: Queue<JobData>;
  readonly #handlers: RunnerHandlers;
  readonly #adding = new Set<Promise<void>>();
  #replies!: ReplyReader;
  #watch!: BatchWatch;
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    handlers: RunnerHandlers,
  ): Promise<BullMqRunner> {
    const queue = new Queue<JobData>(queueName, {
      connection: redis,
      prefix: keys.prefix,
      skipVersionCheck: true, // Done by checkRedis.
      streams: { events: { maxLen: 0 } }, // Nobody reads BullMQ's events.
    });
    queue.on("error", ignore);
    const runner = new BullMqRunner(redis, keys, queue, handlers);
    runner.#replies = await ReplyReader.open(redis, keys, runner.runnerId, (reply) => runner.#onReply(reply));
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

  private constructor(redis: Redis, keys: Keys, queue: Queue<JobData>, handlers: RunnerHandlers) {
    this.runnerId = randomUUID();
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
    this.#handlers = handlers;
  }

  send(batch: Batch): void {
    this.#watch.add(batch.id);
    const data = { batch: Buffer.from(encodeBatch(batch)).toString("base64") };
    const added = this.#queue
      .add(JOB_NAME, data, { jobId: batch.id, removeOnComplete: true, removeOnFail: true })
      .then(
        () => {},
        (error: Error) => this.#lost(batch.id, `It could not be put into the queue: ${error.message}`),
      );
    this.#adding.add(added);
    void added.then(() => this.#adding.delete(added));
  }

  release(batchId: string): void {
    this.#watch.remove(batchId);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.close();
    await doneWithin(LEAVE_MS, this.#removeAll());
    await doneWithin(LEAVE_MS, this.#replies.close());
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

class BullMqWorker implements WorkerLink {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #worker: Worker<JobData>;
  readonly #workerId: string;
  readonly #held = new Map<string, Job<JobData>>();
  readonly #finishing = new Set<Promise<void>>();
  #withdraw!: () => Promise<void>;
  #renewalTimer: NodeJS.Timeout | undefined;
  #isTaking = true;
  /** The `take` that waits. */
  #taking: Promise<unknown> | undefined;
  #giveUp!: () => void;
  readonly #gaveUp = new Promise<undefined>((resolve) => {
    this.#giveUp = () => resolve(undefined);
  });
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    info: WorkerInfo,
  ): Promise<BullMqWorker> {
    const worker = new Worker<JobData>(queueName, null, {
      connection: redis,
      prefix: keys.prefix,
      autorun: false,
      lockDuration: LEASE_MS,
      maxStalledCount: 0, // The dispatcher alone sends a batch again.
      drainDelay: 2,
      skipVersionCheck: true,
    });
    worker.on("error", ignore); // Connection errors: the connection comes back by itself.
    await worker.waitUntilReady();
    const link = new BullMqWorker(redis, keys, worker, info.workerId);
    link.#withdraw = await registry.announce(info);
    link.#renewalTimer = setInterval(() => void link.#renewLeases(), LEASE_RENEWAL_MS);
    return link;
  }

  private constructor(redis: Redis, keys: Keys, worker: Worker<JobData>, workerId: string) {
    this.#redis = redis;
    this.#keys = keys;
    this.#worker = worker;
    this.#workerId = workerId;
  }

  take(): Promise<Delivery | undefined> {
    const taking = this.#take().finally(() => {
      this.#taking = undefined;
    });
    this.#taking = taking;
    return Promise.race([taking, this.#gaveUp]);
  }

  async #take(): Promise<Delivery | undefined> {
    while (this.#isTaking) {
      // The worker's id is the lock's token: whoever looks at a lock knows who holds it.
      const job = await this.#worker.getNextJob(this.#workerId).catch(() => sleep(TAKE_RETRY_MS));
      if (job === undefined) continue;
      const delivery = this.#deliver(job);
      if (delivery !== undefined) return delivery;
    }
    return undefined;
  }

  stopTaking(): void {
    if (!this.#isTaking) return;
    this.#isTaking = false;
    if (this.#taking === undefined) return;
    // With Redis away, BullMQ does not give up.
    void doneWithin(LEAVE_MS, this.#taking).then(() => this.#giveUp());
    // Wakes a `take` that waits: BullMQ gives undefined when its blocking connection is cut, and connects again.
    void this.#worker
      .getBackend()
      .blockingClient?.then((client) => client.disconnect())
      .catch(ignore);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.stopTaking();
    await doneWithin(LEAVE_MS, Promise.resolve(this.#taking));
    clearInterval(this.#renewalTimer);
    // What is finished counts as finished before the worker counts as gone.
    await doneWithin(LEAVE_MS, Promise.all(this.#finishing));
    await doneWithin(LEAVE_MS, this.#withdraw());
    // `close()` without force waits for ever when Redis is away (bullmq issue 4656).
    await this.#worker.close(true).catch(ignore);
  }

  #deliver(job: Job<JobData>): Delivery | undefined {
    const jobId = job.id as string;
    this.#held.set(jobId, job);
    try {
      const batch = decodeBatch(Buffer.from(String(job.data?.batch ?? ""), "base64"));
      const replies = this.#keys.replies(batch.runnerId);
      return {
        batch,
        report: ({ bytes }) => void appendReply(this.#redis, replies, bytes).catch(ignore),
        finish: () => this.#finish(jobId),
      };
    } catch (error) {
      processLogger().error({ err: error, job: jobId }, "a batch could not be read and was dropped");
      this.#finish(jobId);
      return undefined;
    }
  }

  #finish(jobId: string): void {
    const job = this.#held.get(jobId);
    this.#held.delete(jobId);
    // Fails when the lease was lost; then the runner has sent the calls again and ignores what we reported.
    const finished = job?.moveToCompleted(null, this.#workerId, false).then(ignore, ignore);
    if (finished === undefined) return;
    this.#finishing.add(finished);
    void finished.then(() => this.#finishing.delete(finished));
  }

  async #renewLeases(): Promise<void> {
    const ids = [...this.#held.keys()];
    if (ids.length === 0) return;
    const tokens = ids.map(() => this.#workerId);
    await this.#worker.extendJobLocks(ids, tokens, LEASE_MS).catch(ignore);
  }
}

function ignore(): void {}
