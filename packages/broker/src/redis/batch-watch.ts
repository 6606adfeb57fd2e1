import type { Capacity, LostBatch } from "../broker.ts";
import { HEARTBEAT_TTL_MS, SWEEP_MS } from "../intervals.ts";
import { readBatch } from "./batch-places.ts";
import { queueTypes } from "./bullmq.ts";
import type { DeathNotes } from "./death-notes.ts";
import type { Keys } from "./keys.ts";
import { type BatchEvidence, type Doubts, findLost } from "./lost-batches.ts";
import type { Redis } from "./redis-connection.ts";
import { capacityOf, type WorkerRegistry } from "./worker-registry.ts";
import { findWrongType } from "./wrong-type.ts";

export interface BatchWatchOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queue: string;
  readonly registry: WorkerRegistry;
  readonly deaths: DeathNotes;
  readonly onCapacity: (capacity: Capacity) => void;
  /** Is the batch still being put into the queue? Then it is not to be found there. */
  readonly isOnItsWay: (batchId: string) => boolean;
  /** Batches that wait will be taken by nobody, since something else is in the place of the queue. */
  readonly onBroken: (error: Error) => void;
  /** The batch will not be finished by whoever had it. It is watched no longer. */
  readonly onLost: (lost: LostBatch) => Promise<void>;
}

/**
 * Looks, now and then and whenever a worker comes or goes, at which workers live, and whether those that hold a
 * runner's batches do.
 */
export class BatchWatch {
  readonly #options: BatchWatchOptions;
  readonly #watched = new Set<string>();
  readonly #doubts: Doubts = new Map();
  #unsubscribe: (() => void) | undefined;
  /** Until then, workers that live may not have been able to say so. */
  #blindUntil = 0;
  readonly #beBlind = () => {
    this.#blindUntil = performance.now() + HEARTBEAT_TTL_MS;
  };
  #timer: NodeJS.Timeout | undefined;
  #isSweeping = false;
  #isSweepDue = false;
  #isClosed = false;

  static async start(options: BatchWatchOptions): Promise<BatchWatch> {
    const watch = new BatchWatch(options);
    options.redis.on("ready", watch.#beBlind);
    watch.#unsubscribe = await options.registry.subscribe(() => void watch.#sweep());
    watch.#timer = setInterval(() => void watch.#sweep(), SWEEP_MS);
    await watch.#sweep();
    return watch;
  }

  private constructor(options: BatchWatchOptions) {
    this.#options = options;
  }

  /** The batches that are watched. */
  get batches(): ReadonlySet<string> {
    return this.#watched;
  }

  add(batchId: string): void {
    this.#watched.add(batchId);
  }

  /** Watches a batch no longer. Returns false when it was not watched. */
  remove(batchId: string): boolean {
    this.#doubts.delete(batchId);
    return this.#watched.delete(batchId);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#options.redis.off("ready", this.#beBlind);
    this.#unsubscribe?.();
  }

  async #sweep(): Promise<void> {
    this.#isSweepDue = true;
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    // News that comes during a look may be too late for it: then there is another.
    while (this.#isSweepDue && !this.#isClosed) {
      this.#isSweepDue = false;
      // Redis is away, or refuses to forget the dead: as it may have refused what the living said.
      await this.#look().catch(this.#beBlind);
    }
    this.#isSweeping = false;
  }

  /**
   * Holders are read before the workers that live, and again after: between the two looks a worker may have joined and
   * taken a batch, or finished one and left. Only who has gone and still holds a batch is dead.
   */
  async #look(): Promise<void> {
    if (performance.now() < this.#blindUntil) return;
    const { registry, deaths, onCapacity, onLost, onBroken } = this.#options;
    const evidence = await this.#evidence();
    const taken = evidence.filter(({ isTaken }) => isTaken).length;
    const broken = taken < this.#watched.size ? await this.#findBroken() : undefined;
    const workers = await registry.live();
    if (this.#isClosed) return;
    if (broken !== undefined) onBroken(broken);
    const { strangers } = registry;
    onCapacity({ ...capacityOf(workers), ...(strangers > 0 && { strangers }) });
    const live = new Set(workers.map(({ workerId }) => workerId));
    const gone = new Set(
      evidence.flatMap(({ holder }) => (holder === null || live.has(holder) ? [] : [holder])),
    );
    const dead = await deaths.of(gone);
    const latest = gone.size === 0 ? evidence : await this.#evidence();
    const still = latest.filter(({ batchId }) => this.#watched.has(batchId));
    for (const lost of findLost(still, dead, this.#doubts, performance.now())) await onLost(lost);
  }

  /** BullMQ refuses to put a batch there, or to take one, again and again. */
  #findBroken(): Promise<Error | undefined> {
    const { redis, keys, queue } = this.#options;
    return findWrongType(redis, queueTypes(keys, queue));
  }

  #evidence(): Promise<BatchEvidence[]> {
    const there = [...this.#watched].filter((batchId) => !this.#options.isOnItsWay(batchId));
    return Promise.all(there.map((batchId) => this.#evidenceOf(batchId)));
  }

  async #evidenceOf(batchId: string): Promise<BatchEvidence> {
    const { redis, keys, queue } = this.#options;
    const { holder, addedAt, takenAt } = await readBatch(redis, keys, queue, batchId);
    return { batchId, holder, exists: addedAt !== null, isTaken: takenAt !== null };
  }
}
