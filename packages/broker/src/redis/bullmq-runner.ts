import { randomUUID } from "node:crypto";
import { DecodeError, SignatureError } from "@millrace/core";
import type { BatchPlace, BatchPlaces } from "../batch-place.ts";
import type { LiveQueue, LostBatch, RunnerHandlers, RunnerLink, RunnerOwner, WorkerHelp } from "../broker.ts";
import { LEAVE_MS, STREAM_RENEWAL_MS } from "../intervals.ts";
import { findLiveQueues } from "../status/live-queues.ts";
import { type Batch, encodeBatch } from "../wire/batch.ts";
import { decodeReport } from "../wire/report.ts";
import type { CallAnswer } from "../wire/worker-messages.ts";
import { findBatches } from "./batch-places.ts";
import { BatchWatch } from "./batch-watch.ts";
import { type BatchQueue, checkQueue, openQueue } from "./bullmq.ts";
import type { DeathNotes } from "./death-notes.ts";
import type { Keys } from "./keys.ts";
import { OutgoingBatches } from "./outgoing-batches.ts";
import { Patience } from "./patience.ts";
import { doneWithin, type Redis, StayedAwayError } from "./redis-connection.ts";
import { RedisOutage } from "./redis-outage.ts";
import { RedisValues } from "./redis-values.ts";
import { Refusals } from "./refusals.ts";
import type { RunnerGroup } from "./runner-group.ts";
import { RunnerEntry } from "./runner-registry.ts";
import { plainQueue, type Seal } from "./seal.ts";
import { StreamReader } from "./stream-reader.ts";
import { WorkerPost } from "./worker-post.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

/** Where a runner joins. */
export interface RunnerPlace {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queueName: string;
  readonly registry: WorkerRegistry;
  readonly deaths: DeathNotes;
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
  readonly #batches: OutgoingBatches;
  readonly #workers: WorkerPost;
  /** The batches whose calls somebody waits for. What is on the way for another goes no further. */
  readonly #wanted = new Set<string>();
  #entry: RunnerEntry | undefined;
  #entryRenewal: NodeJS.Timeout | undefined;
  #replies!: StreamReader;
  #watch!: BatchWatch;
  readonly #group: RunnerGroup;
  #isOpen = false;
  #isClosed = false;

  static async open(place: RunnerPlace, handlers: RunnerHandlers): Promise<BullMqRunner> {
    const { redis, keys, queueName, registry, deaths, group, seal, owner } = place;
    await checkQueue(redis, keys, queueName);
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
    let watch: BatchWatch | undefined;
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
      watch = await BatchWatch.start({
        redis,
        keys,
        queue: queueName,
        registry,
        deaths,
        onCapacity: (capacity) => handlers.onCapacity(capacity),
        isOnItsWay: (batchId) => runner.#batches.isOnItsWay(batchId),
        onBroken: (error) => runner.giveUp(error),
        onLost: async (lost) => {
          await runner.#takeBack(lost.batchId);
          runner.#lost(lost);
        },
      });
      runner.#watch = watch;
      await runner.#keepEntry();
    } catch (error) {
      watch?.close();
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
    const { patienceMs } = group;
    // Where Redis is away altogether, the group tells.
    const onAway = (error: Error) => this.#outage.since === undefined && this.giveUp(error);
    this.values = new RedisValues(redis, keys, seal, { group, onAway });
    const isWanted = (batchId: string) => this.#wanted.has(batchId);
    this.#batches = new OutgoingBatches({
      ...{ redis, keys, queue, seal, patienceMs, values: this.values },
      isWanted,
      heard: () => this.#replies.caughtUp(),
      onAdd: (batchId) => this.#watch.add(batchId), // From now on it must be somewhere.
      onRefused: (batchId, error) => {
        const { message } = error;
        // Of a Redis that stays away the group tells, before calls are submitted that wait anew.
        if (!(error instanceof StayedAwayError)) this.giveUp(group.unavailable(`a refusal: ${message}`));
        const reason = `It could not be put into the queue: ${message}`;
        this.#lost({ batchId, reason, hasWorkerDied: false });
      },
    });
    this.#workers = new WorkerPost({ redis, keys, queueName: queue.name, seal, isWanted });
  }

  /** Says of this runner what `millrace status` shows, and how many calls it has: again and again, since they come later. */
  async #keepEntry(): Promise<void> {
    const entry = this.#entry;
    if (entry === undefined) return;
    await entry.renew();
    this.#entryRenewal = setInterval(() => void entry.renew().catch(ignore), STREAM_RENEWAL_MS);
  }

  send(batch: Batch): void {
    this.#wanted.add(batch.id);
    // The values that it refers to are there before it is.
    this.#batches.add(batch.id, encodeBatch(batch), this.values.written);
  }

  release(batchId: string): void {
    this.#wanted.delete(batchId);
    this.#watch.remove(batchId);
    this.#batches.release(batchId);
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    void this.#cancel(batchId, sequences).catch(ignore); // The connection is closed.
  }

  handBack(batchId: string): void {
    void this.#workers.handBack(batchId).catch(ignore); // Redis is away, or full: its calls stay where they are.
  }

  answer(workerId: string, answer: CallAnswer): void {
    void this.#workers.answer(workerId, answer).catch(ignore);
  }

  /** A batch that waits is taken out of the queue; else whoever holds the lease is told. Nobody holds one that is finished. */
  async #cancel(batchId: string, sequences: readonly number[]): Promise<void> {
    if (!(await this.#batches.withdraw(batchId))) await this.#workers.cancel(batchId, sequences);
    else if (this.#watch.remove(batchId) && !this.#isClosed) this.#handlers.onWithdrawn(batchId);
  }

  async locate(batchIds: readonly string[]): Promise<BatchPlaces> {
    const places = new Map<string, BatchPlace>();
    // Of those that are watched, the watch will tell when they are nowhere.
    const watched = batchIds.filter((id) => this.#watch.batches.has(id));
    const found = findBatches(this.#redis, this.#keys, this.#queue.name, this.#registry, watched);
    for (const id of batchIds) if (this.#batches.isOnItsWay(id)) places.set(id, { type: "sent" });
    const { since } = this.#outage;
    if (since !== undefined) return { awaySince: since };
    const askedAt = Date.now();
    for (const [id, place] of (await found) ?? []) if (!this.#batches.isOnItsWay(id)) places.set(id, place);
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
    this.#wanted.clear();
    this.#watch.close();
    this.#outage.stop();
    clearInterval(this.#entryRenewal);
    const patience = new Patience(LEAVE_MS);
    await patience.done(this.#removeAll());
    await patience.done(this.#replies.close());
    await patience.done(this.#group.leases.release(this.runnerId));
    // Behind the stream: a worker that then writes a value finds the stream gone, and takes the value away again.
    await patience.done(Promise.all([this.#entry?.remove(), this.values.removeAll(this.runnerId)]));
    this.values.close();
    await this.#queue.close().catch(ignore);
  }

  /** Takes what is not accounted for out of the queue: also what is only on its way into it. */
  async #removeAll(): Promise<void> {
    await this.#batches.close();
    for (const batchId of this.#watch.batches) await this.#batches.remove(batchId).catch(ignore);
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
    const batchIds = [...this.#watch.batches];
    for (const batchId of batchIds) this.#wanted.delete(batchId); // At once: what is on its way into the queue goes no further.
    await this.#group.leases.renew(this.runnerId).catch(ignore); // Refused: the thread asks again.
    const reason = "Redis was restarted, or has lost its data.";
    for (const batchId of batchIds) {
      await this.#takeBack(batchId).catch(ignore);
      this.#lost({ batchId, reason, hasWorkerDied: false });
    }
  }

  /** Its calls are about to be sent again in another batch. */
  #takeBack(batchId: string): Promise<void> {
    this.#wanted.delete(batchId); // First: it may be on its way into the queue.
    return this.#batches.remove(batchId);
  }

  /** Redis has been away, or has refused what was sent, for too long. */
  giveUp(error: Error): void {
    this.#wanted.clear();
    this.values.giveUp(error);
    if (!this.#isClosed) this.#handlers.onUnavailable(error);
  }

  #lost(lost: LostBatch): void {
    this.#wanted.delete(lost.batchId);
    if (this.#watch.remove(lost.batchId) && !this.#isClosed) this.#handlers.onLost(lost);
  }
}

function ignore(): void {}
