import type { ResultStore } from "@millrace/core";
import {
  type Broker,
  DEFAULT_QUEUE,
  type RunnerHandlers,
  type RunnerLink,
  type RunnerOwner,
  type WorkerHandlers,
  type WorkerInfo,
  type WorkerLink,
} from "./broker.ts";
import { BullMqRunner } from "./bullmq-runner.ts";
import { BullMqWorker } from "./bullmq-worker.ts";
import { type ClusterStatus, readStatus } from "./cluster-status.ts";
import { LEAVE_MS } from "./intervals.ts";
import { type Keys, keysOf } from "./keys.ts";
import { checkRedis, connectRedis, doneWithin, type Redis, withoutPassword } from "./redis-connection.ts";
import { RedisLimiter } from "./redis-limiter.ts";
import { RedisLimits } from "./redis-limits.ts";
import { RedisResultStore } from "./redis-result-store.ts";
import { literally, scanKeys } from "./scan.ts";
import { WorkerRegistry } from "./worker-registry.ts";

export type { ClusterStatus, QueueStatus, RunnerStatus, WorkerStatus } from "./cluster-status.ts";

export interface BullMqBrokerOptions {
  readonly redisUrl: string;
  /** Separates projects that share a Redis. */
  readonly namespace: string;
  readonly queue?: string;
}

/**
 * The broker on Redis: a batch is one BullMQ job, a lease its lock. Jobs are taken by BullMQ's manual API, so that the
 * executor decides when another batch is admitted; and reports go to the runner's own stream, not to BullMQ's events,
 * which can be missed.
 */
export class BullMqBroker implements Broker {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queueName: string;
  /** Of the Redis, for people. */
  readonly #address: string;
  readonly #registry: WorkerRegistry;
  readonly #runners = new Set<BullMqRunner>();
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
    return new BullMqBroker(redis, keys, queue, withoutPassword(redisUrl));
  }

  private constructor(redis: Redis, keys: Keys, queueName: string, address: string) {
    this.#address = address;
    this.#redis = redis;
    this.#keys = keys;
    this.#queueName = queueName;
    this.#registry = new WorkerRegistry(redis, keys, queueName);
  }

  async connectRunner(handlers: RunnerHandlers, owner?: RunnerOwner): Promise<RunnerLink> {
    const onClose = (closed: BullMqRunner) => this.#runners.delete(closed);
    const options = { address: this.#address, owner, onClose };
    const [redis, keys, queue, registry] = [this.#redis, this.#keys, this.#queueName, this.#registry];
    const runner = await BullMqRunner.open(redis, keys, queue, registry, handlers, options);
    this.#runners.add(runner);
    return runner;
  }

  connectWorker(worker: WorkerInfo, handlers: WorkerHandlers): Promise<WorkerLink> {
    return BullMqWorker.open(this.#redis, this.#keys, this.#queueName, this.#registry, worker, handlers);
  }

  /** The same Redis, another queue. It is closed with this one. */
  onQueue(queue: string): Broker {
    return new BullMqBroker(this.#redis, this.#keys, queue, this.#address);
  }

  /** The results that everybody in the namespace shares. */
  resultStore(): ResultStore {
    return new RedisResultStore(this.#redis, this.#keys);
  }

  /** The limits of the namespace, at work. Close it before the broker. */
  openLimiter(): Promise<RedisLimiter> {
    return RedisLimiter.open(this.#redis, this.#keys);
  }

  /** The limits of the namespace, to be set and looked at. */
  limits(): RedisLimits {
    return new RedisLimits(this.#redis, this.#keys);
  }

  /** Who uses the namespace, and what is wrong with it, for `millrace status`. @throws what Redis answers */
  status(): Promise<ClusterStatus> {
    return readStatus(this.#redis, this.#keys);
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
    for (const runner of this.#runners) runner.loseCluster();
    const hasQuit = this.#redis.status === "ready" && (await doneWithin(LEAVE_MS, this.#redis.quit()));
    // After a quit, ioredis would keep a timer for the socket that has gone.
    if (!hasQuit) this.#redis.disconnect();
  }

  /** Deletes everything of the namespace, when nobody uses it any more: what a private cluster leaves. Never rejects. */
  async deleteNamespace(): Promise<void> {
    await doneWithin(LEAVE_MS, this.#deleteAll());
  }

  async #deleteAll(): Promise<void> {
    const keys = await scanKeys(this.#redis, `${literally(this.#keys.prefix)}:*`);
    for (let first = 0; first < keys.length; first += DELETED_AT_ONCE)
      await this.#redis.unlink(...keys.slice(first, first + DELETED_AT_ONCE));
  }
}

/** Keys per command: a command of a million would block Redis, and the stack. */
const DELETED_AT_ONCE = 1000;
