import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DecodeError, SignatureError } from "@millrace/core";
import { type Batch, encodeBatch } from "./batch.ts";
import { type BatchPlace, type BatchPlaces, findBatches } from "./batch-places.ts";
import { BatchWatch } from "./batch-watch.ts";
import type { LiveQueue, LostBatch, RunnerHandlers, RunnerLink, RunnerOwner, WorkerHelp } from "./broker.ts";
import { addJob, type BatchQueue, keptBatch, openQueue } from "./bullmq.ts";
import { INLINE_LIMIT_BYTES, type ValueReference } from "./call-values.ts";
import { HEARTBEAT_MS, HEARTBEAT_TTL_MS, LEAVE_MS, STREAM_RENEWAL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { findLiveQueues } from "./live-queues.ts";
import { doneWithin, type Redis, untilAccepted } from "./redis-connection.ts";
import { RedisOutage } from "./redis-outage.ts";
import { RedisValues } from "./redis-values.ts";
import { Refusals } from "./refusals.ts";
import { decodeReport } from "./report.ts";
import type { RunnerGroup } from "./runner-group.ts";
import { RunnerEntry } from "./runner-registry.ts";
import { plainQueue, type Seal } from "./seal.ts";
import { appendToStream, StreamReader } from "./stream-reader.ts";
import { type CallAnswer, encodeWorkerMessage, type WorkerMessage } from "./worker-messages.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

/** One that is late by more than a heartbeat lasts is dead. */
const ANSWER_TRIES = 2 * (HEARTBEAT_TTL_MS / HEARTBEAT_MS);

/** Where a runner joins. */
export interface RunnerPlace {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queueName: string;
  readonly registry: WorkerRegistry;
  readonly group: RunnerGroup;
  readonly seal: Seal;
  /** Whose calls it sends. */
  readonly owner: RunnerOwner | undefined;
}

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
  readonly #registry: WorkerRegistry;
  readonly #outage: RedisOutage;
  #entry: RunnerEntry | undefined;
  /** Where large batches are that have not been released. */
  readonly #kept = new Map<string, ValueReference>();
  #entryRenewal: NodeJS.Timeout | undefined;
  /** Batches on their way into the queue. */
  readonly #adding = new Map<string, Promise<void>>();
  #replies!: StreamReader;
  #watch!: BatchWatch;
  readonly #group: RunnerGroup;
  #isOpen = false;
  #isClosed = false;

  static async open(place: RunnerPlace, handlers: RunnerHandlers): Promise<BullMqRunner> {
    const { redis, keys, queueName, registry, group, seal, owner } = place;
    const queue = openQueue(redis, keys, queueName);
    const runner = new BullMqRunner(place, queue, handlers);
    const { runnerId } = runner;
    if (owner !== undefined) {
      const { calls, ...names } = owner;
      runner.#entry = new RunnerEntry(
        redis,
        keys,
        { runnerId, queue: plainQueue(queueName, seal), ...names },
        calls,
      );
    }
    let replies: StreamReader | undefined;
    try {
      replies = await StreamReader.open({
        redis,
        key: keys.replies(runnerId),
        onMessage: (reply) => runner.#onReply(reply),
        onReset: () => void runner.#sendAllAgain(),
      });
      runner.#replies = replies;
      // Workers may have dropped what they had of this runner.
      await group.leases.take(runnerId, keys, () => runner.#replies.check());
      runner.#watch = await BatchWatch.start({
        redis,
        keys,
        queue: queueName,
        registry,
        onCapacity: (capacity) => handlers.onCapacity(capacity),
        onLost: async (lost) => {
          await runner.#removeJob(lost.batchId);
          runner.#lost(lost);
        },
      });
      await runner.#keepEntry();
    } catch (error) {
      runner.#outage.stop();
      const left = [replies?.close(), group.leases.release(runnerId), queue.close()];
      await doneWithin(LEAVE_MS, Promise.allSettled(left));
      throw group.unavailable(`a refusal: ${(error as Error).message}`);
    }
    runner.#isOpen = true;
    group.add(runner);
    return runner;
  }

  private constructor(place: RunnerPlace, queue: BatchQueue, handlers: RunnerHandlers) {
    const { redis, keys, seal, registry, group } = place;
    this.runnerId = randomUUID();
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
    this.#registry = registry;
    this.#group = group;
    this.#handlers = handlers;
    this.#seal = seal;
    this.#outage = new RedisOutage(redis);
    this.values = new RedisValues(redis, keys, seal);
  }

  /** Says of this runner what `millrace status` shows, and how many calls it has: again and again, since they come later. */
  async #keepEntry(): Promise<void> {
    const entry = this.#entry;
    if (entry === undefined) return;
    await entry.renew();
    this.#entryRenewal = setInterval(() => void entry.renew().catch(ignore), STREAM_RENEWAL_MS);
  }

  send(batch: Batch): void {
    // The values that it refers to are there before it is.
    const { written } = this.values;
    const bytes = encodeBatch(batch);
    const adding =
      written === undefined ? this.#add(batch.id, bytes) : written.then(() => this.#add(batch.id, bytes));
    const added = adding.catch((error: Error) =>
      this.#lost({
        batchId: batch.id,
        reason: `It could not be put into the queue: ${error.message}`,
        hasWorkerDied: false,
      }),
    );
    this.#adding.set(batch.id, added);
    void added.then(() => this.#adding.delete(batch.id));
  }

  async #add(batchId: string, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    try {
      const batch =
        bytes.length > INLINE_LIMIT_BYTES ? await this.#keep(batchId, bytes) : this.#sign(batchId, bytes);
      if (this.#isClosed) return;
      this.#watch.add(batchId); // From now on it must be somewhere.
      const add = () => (this.#isClosed ? Promise.resolve() : addJob(this.#queue, batchId, batch));
      await untilAccepted(this.#redis, add, this.#group.patienceMs);
    } catch (error) {
      this.giveUp(this.#group.unavailable(`a refusal: ${(error as Error).message}`));
      throw error;
    }
  }

  #sign(batchId: string, bytes: Uint8Array): Uint8Array {
    return this.#seal.sign(bytes, { kind: "batch", key: this.#keys.job(this.#queue.name, batchId) });
  }

  /**
   * Beside the job, whose data is JSON that scripts in Redis unpack and pack again: of tasks with arguments of 1 kB, 38,000 a second
   * go this way and 24,000 that way; of 10 kB, 5,500 and 2,600.
   */
  async #keep(batchId: string, bytes: Uint8Array): Promise<ValueReference> {
    const reference = keptBatch(batchId, bytes.length);
    this.#kept.set(batchId, reference);
    await untilAccepted(this.#redis, () => this.values.write(reference, bytes), this.#group.patienceMs);
    return reference;
  }

  release(batchId: string): void {
    this.#watch.remove(batchId);
    const kept = this.#kept.get(batchId);
    if (kept === undefined) return;
    this.#kept.delete(batchId);
    this.values.remove(kept);
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    void this.#cancel(batchId, sequences).catch(ignore); // Redis is away: the calls end when they end.
  }

  handBack(batchId: string): void {
    void this.#tellHolder(batchId, { type: "hand-back", batchId }).catch(ignore);
  }

  answer(workerId: string, answer: CallAnswer): void {
    void this.#answer(workerId, { type: "answer", ...answer }).catch(ignore);
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

  /** A call waits for it. The worker may be about to make its inbox anew; if it is dead, the call is lost with it. */
  async #answer(workerId: string, message: WorkerMessage): Promise<void> {
    for (let tries = 0; tries < ANSWER_TRIES && !this.#isClosed; tries++) {
      if (await untilAccepted(this.#redis, () => this.#tell(workerId, message), this.#group.patienceMs))
        return;
      await sleep(HEARTBEAT_MS);
    }
  }

  /** Resolves to false when the worker has no inbox. */
  #tell(workerId: string, message: WorkerMessage): Promise<boolean> {
    const key = this.#keys.inbox(workerId);
    const signed = this.#seal.sign(encodeWorkerMessage(message), { kind: "to-worker", key });
    return appendToStream(this.#redis, key, signed);
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
    const name = plainQueue(this.#queue.name, this.#seal);
    const namespace = this.#keys.namespace;
    let elsewhere: readonly LiveQueue[] = [];
    // A user of Redis who may not list keys gets none; others are not made to wait for a Redis that is away.
    const finding = findLiveQueues(this.#redis).then((found) => {
      elsewhere = found.filter((live) => live.namespace !== namespace || live.queue !== name);
    });
    await doneWithin(LEAVE_MS, finding);
    const command = `millrace worker --redis ${this.#group.address} --namespace ${namespace} --queue ${name}`;
    return { command, elsewhere };
  }

  /** The broker is closed, as when its local cluster is: no worker will be heard of any more. */
  loseCluster(): void {
    if (!this.#isClosed) this.#handlers.onCapacity({ workers: 0, slots: 0 });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#group.remove(this);
    this.#watch.close();
    this.#outage.stop();
    clearInterval(this.#entryRenewal);
    await doneWithin(LEAVE_MS, this.#removeAll());
    await doneWithin(LEAVE_MS, this.#replies.close());
    await doneWithin(LEAVE_MS, this.#group.leases.release(this.runnerId));
    // Behind the stream: a worker that then writes a value finds the stream gone, and takes the value away again.
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
      const key = this.#keys.replies(this.runnerId);
      this.#handlers.onReport(decodeReport(this.#seal.verify(reply, { kind: "report", key })));
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SignatureError)) throw error;
      this.#refusals.note("a reply could not be read and was left out", error);
    }
  }

  /**
   * Redis was restarted, perhaps without its latest data, or has dropped this runner: what it says of a batch is not to be
   * relied on, nor that all answers have arrived.
   */
  async #sendAllAgain(): Promise<void> {
    if (!this.#isOpen) return; // It joins only now, and has sent nothing.
    const reason = "Redis was restarted, or has lost its data.";
    for (const batchId of [...this.#watch.batches]) {
      await this.#removeJob(batchId).catch(ignore);
      this.#lost({ batchId, reason, hasWorkerDied: false });
    }
  }

  /** Redis has been away, or has refused what was sent, for too long. */
  giveUp(error: Error): void {
    if (!this.#isClosed) this.#handlers.onUnavailable(error);
  }

  #lost(lost: LostBatch): void {
    if (this.#watch.remove(lost.batchId) && !this.#isClosed) this.#handlers.onLost(lost);
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
