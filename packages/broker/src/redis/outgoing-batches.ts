import { INLINE_LIMIT_BYTES, type ValueReference } from "../wire/call-values.ts";
import { addJob, type BatchQueue, keptBatch } from "./bullmq.ts";
import type { Keys } from "./keys.ts";
import { CutError, endUnanswered, type Redis, untilAccepted } from "./redis-connection.ts";
import type { RedisValues } from "./redis-values.ts";
import type { Seal } from "./seal.ts";
import { isWrongType } from "./wrong-type.ts";

export interface OutgoingBatchesOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queue: BatchQueue;
  readonly seal: Seal;
  readonly values: RedisValues;
  /** How long a Redis that refuses a batch is asked again. */
  readonly patienceMs: number;
  /** Does anybody still wait for calls of the batch? */
  readonly isWanted: (batchId: string) => boolean;
  /** Resolves when all has been heard that workers have said of the batches until now. */
  readonly heard: () => Promise<void>;
  /** The batch is put into the queue now. */
  readonly onAdd: (batchId: string) => void;
  /** Redis has refused it for too long. */
  readonly onRefused: (batchId: string, error: Error) => void;
}

/** Puts a runner's batches into the queue, and takes them out again. */
export class OutgoingBatches {
  readonly #options: OutgoingBatchesOptions;
  /** Where large batches are that have not been released. */
  readonly #kept = new Map<string, ValueReference>();
  /** Batches on their way into the queue. */
  readonly #adding = new Map<string, Promise<void>>();
  readonly #stopWatching: () => void;
  #isClosed = false;

  constructor(options: OutgoingBatchesOptions) {
    this.#options = options;
    this.#stopWatching = endUnanswered(options.redis, (args) => this.#isAdd(args));
  }

  /** Puts a batch into the queue. @param ready what must be there before it is */
  add(batchId: string, bytes: Uint8Array, ready: Promise<unknown> | undefined): void {
    const adding =
      ready === undefined ? this.#add(batchId, bytes) : ready.then(() => this.#add(batchId, bytes));
    const added = adding.catch((error: Error) => this.#options.onRefused(batchId, error));
    this.#adding.set(batchId, added);
    void added.then(() => this.#adding.delete(batchId));
  }

  isOnItsWay(batchId: string): boolean {
    return this.#adding.has(batchId);
  }

  /** Nobody needs it any more. */
  release(batchId: string): void {
    const kept = this.#kept.get(batchId);
    if (kept === undefined) return;
    this.#kept.delete(batchId);
    this.#options.values.remove(kept);
  }

  /** Takes a batch out of the queue, when no worker has it. Resolves to whether that was so. */
  async withdraw(batchId: string): Promise<boolean> {
    const { redis, keys, queue, isWanted, patienceMs } = this.#options;
    await Promise.all(this.#adding.values()); // It may be on its way into the queue.
    // Whoever takes the id out of this list has the batch. (BullMQ's remove() does not tell a waiting job from a finished one.)
    const take = async () =>
      isWanted(batchId) && (await redis.lrem(keys.waiting(queue.name), 1, batchId)) === 1;
    const isOurs = await untilAccepted(redis, take);
    // Now nobody else does. What cannot be removed is in nobody's way.
    if (isOurs) await untilAccepted(redis, () => this.#removeJob(batchId), patienceMs).catch(ignore);
    return isOurs;
  }

  /** Takes a batch out of the queue, and from the worker that has it: BullMQ refuses while it is locked, also when the holder of the lock is dead. */
  async remove(batchId: string): Promise<void> {
    const { redis, keys, queue } = this.#options;
    let isRemoved = false;
    // Again when a worker took it, and locked it, between the two steps. It can be taken once.
    for (let attempt = 1; !isRemoved && attempt <= 2; attempt++) {
      await redis.del(keys.lease(queue.name, batchId));
      isRemoved = (await this.#removeJob(batchId)) === 1;
    }
  }

  /** BullMQ fails on what somebody else has put in the place of the job: that goes as well. */
  async #removeJob(batchId: string): Promise<number> {
    const { redis, keys, queue } = this.#options;
    try {
      return await queue.remove(batchId);
    } catch (error) {
      if (!isWrongType(error)) throw error;
      await redis.unlink(keys.job(queue.name, batchId));
      return queue.remove(batchId);
    }
  }

  /** Puts no more into the queue, not even what is on its way. Resolves when nothing is. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#adding.values());
    this.#stopWatching();
  }

  async #add(batchId: string, bytes: Uint8Array): Promise<void> {
    const { redis, keys, queue, seal, patienceMs, isWanted, onAdd } = this.#options;
    const isNeedless = () => this.#isClosed || !isWanted(batchId);
    if (isNeedless()) return;
    const batch =
      bytes.length > INLINE_LIMIT_BYTES
        ? await this.#keep(batchId, bytes)
        : seal.sign(bytes, { kind: "batch", key: keys.job(queue.name, batchId) });
    if (isNeedless()) return;
    onAdd(batchId);
    // Once it may have arrived it is looked for before each try, also when what was looked for was refused.
    let wasCut = false;
    const add = async () => {
      for (;;) {
        if (wasCut && (await this.#hasArrived(batchId))) return;
        // Between two tries its calls may have been sent again in another batch, or have ended: both would be run.
        if (isNeedless()) return;
        try {
          return await addJob(queue, batchId, batch);
        } catch (error) {
          if (!(error instanceof CutError)) throw error; // Redis has refused it.
          wasCut = true;
        }
      }
    };
    await untilAccepted(redis, add, patienceMs);
  }

  /** Is it in the queue, or with a worker? One that a worker has ended is not, but then what the worker has said of it has been heard. */
  async #hasArrived(batchId: string): Promise<boolean> {
    const { redis, keys, queue, heard } = this.#options;
    if ((await redis.exists(keys.job(queue.name, batchId))) === 1) return true;
    await heard();
    return false;
  }

  /** Does the command put a batch into the queue that is on its way there? BullMQ packs the id with other arguments of its script. */
  #isAdd(args: readonly unknown[]): boolean {
    const ids = [...this.#adding.keys()];
    return args.some((arg) => Buffer.isBuffer(arg) && ids.some((id) => arg.includes(id)));
  }

  /**
   * Beside the job, whose data is JSON that scripts in Redis unpack and pack again: of tasks with arguments of 1 kB, 38,000 a second
   * go this way and 24,000 that way; of 10 kB, 5,500 and 2,600.
   */
  async #keep(batchId: string, bytes: Uint8Array): Promise<ValueReference> {
    const { redis, values, patienceMs, isWanted } = this.#options;
    const reference = keptBatch(batchId, bytes.length);
    this.#kept.set(batchId, reference);
    const write = () => (isWanted(batchId) ? values.write(reference, bytes) : Promise.resolve());
    await untilAccepted(redis, write, patienceMs);
    return reference;
  }
}

function ignore(): void {}
