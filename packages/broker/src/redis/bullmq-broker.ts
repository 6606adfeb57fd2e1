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
} from "../broker.ts";
import { LEAVE_MS } from "../intervals.ts";
import { RedisLimiter } from "../sharing/redis-limiter.ts";
import { RedisLimits } from "../sharing/redis-limits.ts";
import { RedisResultStore } from "../sharing/redis-result-store.ts";
import { type ClusterStatus, readStatus } from "../status/cluster-status.ts";
import { BullMqRunner } from "./bullmq-runner.ts";
import { BullMqWorker } from "./bullmq-worker.ts";
import { DeathNotes } from "./death-notes.ts";
import { type Keys, keysOf } from "./keys.ts";
import { removeDeadLocalNamespaces } from "./local-namespaces.ts";
import { checkRedis } from "./redis-check.ts";
import { connectRedis, doneWithin, type Redis } from "./redis-connection.ts";
import { RunnerGroup } from "./runner-group.ts";
import { literally, scanKeys, unlinkAll } from "./scan.ts";
import { queueOf, type Seal, sealOf } from "./seal.ts";
import { WorkerRegistry } from "./worker-registry.ts";

export type { ClusterStatus, QueueStatus, RunnerStatus, WorkerStatus } from "../status/cluster-status.ts";
export { newLocalNamespace } from "./local-namespaces.ts";

export interface BullMqBrokerOptions {
  readonly redisUrl: string;
  /** Separates projects that share a Redis. */
  readonly namespace: string;
  readonly queue?: string;
  /** How long runners wait for a Redis that is away, before what waits for it fails. Default: 60. */
  readonly patienceSeconds?: number | undefined;
  /** What messages are signed with: see seal.ts. Default: they are not signed. */
  readonly secret?: string | undefined;
}

const DEFAULT_PATIENCE_SECONDS = 60;

/**
 * The broker on Redis: a batch is one BullMQ job, a lease its lock. Jobs are taken by BullMQ's manual API, so that the
 * executor decides when another batch is admitted; and reports go to the runner's own stream, not to BullMQ's events,
 * which can be missed.
 */
export class BullMqBroker implements Broker {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queueName: string;
  readonly #seal: Seal;
  readonly #registry: WorkerRegistry;
  readonly #deaths: DeathNotes;
  readonly #runners: RunnerGroup;
  #closed: Promise<void> | undefined;

  /** @throws InvalidOptionError, BrokerUnavailableError, RedisUnsuitableError */
  static async connect({
    redisUrl,
    namespace,
    queue = DEFAULT_QUEUE,
    patienceSeconds = DEFAULT_PATIENCE_SECONDS,
    secret,
  }: BullMqBrokerOptions): Promise<BullMqBroker> {
    const keys = keysOf(namespace);
    const redis = await connectRedis(redisUrl);
    try {
      await checkRedis(redis, keys);
    } catch (error) {
      redis.disconnect();
      throw error;
    }
    const runners = new RunnerGroup(redis, redisUrl, patienceSeconds);
    return new BullMqBroker(redis, keys, queue, sealOf(secret, namespace), runners);
  }

  private constructor(redis: Redis, keys: Keys, queueName: string, seal: Seal, runners: RunnerGroup) {
    this.#redis = redis;
    this.#keys = keys;
    this.#seal = seal;
    this.#queueName = queueOf(queueName, seal);
    this.#registry = new WorkerRegistry(redis, keys, queueName, seal); // Of all secrets: they see each other.
    this.#deaths = new DeathNotes(redis, keys, seal);
    this.#runners = runners;
  }

  connectRunner(handlers: RunnerHandlers, owner?: RunnerOwner): Promise<RunnerLink> {
    const place = { redis: this.#redis, keys: this.#keys, queueName: this.#queueName, seal: this.#seal };
    const [registry, deaths] = [this.#registry, this.#deaths];
    return BullMqRunner.open({ ...place, registry, deaths, group: this.#runners, owner }, handlers);
  }

  connectWorker(worker: WorkerInfo, handlers: WorkerHandlers): Promise<WorkerLink> {
    const registry = this.#registry;
    return BullMqWorker.open(
      this.#redis,
      this.#keys,
      this.#queueName,
      registry,
      this.#seal,
      worker,
      handlers,
    );
  }

  /** The same Redis, another queue. It is closed with this one. */
  onQueue(queue: string): Broker {
    return new BullMqBroker(this.#redis, this.#keys, queue, this.#seal, this.#runners);
  }

  /** The results that everybody in the namespace shares. */
  resultStore(): ResultStore {
    return new RedisResultStore(this.#redis, this.#keys, this.#seal);
  }

  /** The limits of the namespace, at work. Close it before the broker. */
  openLimiter(): Promise<RedisLimiter> {
    return RedisLimiter.open(this.#redis, this.#keys, this.#runners);
  }

  /** The limits of the namespace, to be set and looked at. */
  limits(): RedisLimits {
    return new RedisLimits(this.#redis, this.#keys);
  }

  /** Who uses the namespace, and what is wrong with it, for `millrace status`. @throws what Redis answers */
  status(): Promise<ClusterStatus> {
    return readStatus(this.#redis, this.#keys, this.#seal);
  }

  /** A nanny saw the worker's process end: its batches are lost now, not when its heartbeat runs out. @param reason as a sentence */
  async workerDied(workerId: string, reason: string): Promise<void> {
    // First: it is looked for when the worker is gone. A Redis that is full refuses it, and the rest is told all the same.
    await this.#deaths.leave(workerId, reason).catch(() => {});
    await this.#registry.remove(workerId);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#runners.close();
    const hasQuit = this.#redis.status === "ready" && (await doneWithin(LEAVE_MS, this.#redis.quit()));
    // After a quit, ioredis would keep a timer for the socket that has gone.
    if (!hasQuit) this.#redis.disconnect();
  }

  /** Deletes everything of the namespace, when nobody uses it any more: what a private cluster leaves. Never rejects. */
  async deleteNamespace(): Promise<void> {
    await doneWithin(LEAVE_MS, this.#deleteAll());
  }

  async #deleteAll(): Promise<void> {
    await unlinkAll(this.#redis, await scanKeys(this.#redis, `${literally(this.#keys.prefix)}:*`));
  }

  /** Deletes what dead local clusters have left. Never rejects: a user of Redis who may not list keys leaves it there. */
  async removeDeadLocalNamespaces(): Promise<void> {
    await removeDeadLocalNamespaces(this.#redis).catch(() => {});
  }
}
