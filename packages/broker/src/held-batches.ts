import { processLogger } from "@millrace/core/internal";
import type { BatchJob, BatchWorker } from "./bullmq.ts";
import { LEASE_MS, LEASE_RENEWAL_MS } from "./intervals.ts";

/** A batch that a worker has the lease on. */
export interface HeldBatch {
  readonly job: BatchJob;
  readonly runnerId: string;
  readonly calls: number;
  /** When the lease was last known to be held, on the clock of `performance.now()`. */
  renewedAt: number;
}

/** The batches that a worker has, and its right to run them: a lease that is renewed until the batch is finished. */
export class HeldBatches {
  readonly #worker: BatchWorker;
  readonly #workerId: string;
  readonly #onDropped: (held: HeldBatch, isOver: boolean) => void;
  readonly #held = new Map<string, HeldBatch>();
  readonly #renewal: NodeJS.Timeout;
  #calls = 0;

  /** @param onDropped the right to run it is gone. `isOver`: nobody else is to run it either. */
  constructor(worker: BatchWorker, workerId: string, onDropped: (held: HeldBatch, isOver: boolean) => void) {
    this.#worker = worker;
    this.#workerId = workerId;
    this.#onDropped = onDropped;
    this.#renewal = setInterval(() => void this.renew(), LEASE_RENEWAL_MS);
  }

  get size(): number {
    return this.#held.size;
  }

  /** How many calls there are in them, for people who look. */
  get calls(): number {
    return this.#calls;
  }

  has(jobId: string): boolean {
    return this.#held.has(jobId);
  }

  hasAnyOf(runnerId: string): boolean {
    return this.#of(runnerId).length > 0;
  }

  add(held: HeldBatch): void {
    this.#held.set(held.job.id as string, held);
    this.#calls += held.calls;
  }

  /** It is finished. @returns undefined when the lease was lost before */
  remove(jobId: string): HeldBatch | undefined {
    const held = this.#held.get(jobId);
    if (held === undefined) return undefined;
    this.#held.delete(jobId);
    this.#calls -= held.calls;
    return held;
  }

  /** The process of their flow is gone. */
  dropAllOf(runnerId: string): void {
    for (const held of this.#of(runnerId)) this.#drop(held, true);
  }

  /** A lease lasts until its time is over, by the clock here, or Redis says that it is held no more. */
  async renew(): Promise<void> {
    const now = performance.now();
    for (const held of this.#held.values()) if (now - held.renewedAt > LEASE_MS) this.#drop(held, false);
    const ids = [...this.#held.keys()];
    if (ids.length === 0) return;
    const tokens = ids.map(() => this.#workerId);
    // Redis is away, or full: time will tell.
    const lost = await this.#worker.extendJobLocks(ids, tokens, LEASE_MS).catch(() => undefined);
    if (lost === undefined) return;
    for (const id of ids) {
      const held = this.#held.get(id);
      if (held === undefined) continue;
      if (lost.includes(id)) this.#drop(held, false);
      else held.renewedAt = now;
    }
  }

  close(): void {
    clearInterval(this.#renewal);
  }

  #of(runnerId: string): HeldBatch[] {
    return [...this.#held.values()].filter((held) => held.runnerId === runnerId);
  }

  #drop(held: HeldBatch, isOver: boolean): void {
    const { job, runnerId } = held;
    this.remove(job.id as string);
    const why = isOver ? "its flow's process is gone" : "the lease on it was lost";
    processLogger().warn({ job: job.id, runner: runnerId }, `a batch was dropped: ${why}`);
    this.#onDropped(held, isOver);
  }
}
