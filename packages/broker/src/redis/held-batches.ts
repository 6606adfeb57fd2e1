import { processLogger } from "@millrace/core/internal";
import { LEASE_MS, LEASE_RENEWAL_MS } from "../intervals.ts";
import type { BatchJob } from "./bullmq.ts";
import type { Redis } from "./redis-connection.ts";

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
  readonly #redis: Redis;
  readonly #workerId: string;
  readonly #leaseOf: (jobId: string) => string;
  readonly #onDropped: (held: HeldBatch, isOver: boolean) => void;
  readonly #held = new Map<string, HeldBatch>();
  readonly #renewal: NodeJS.Timeout;
  #calls = 0;

  /**
   * @param leaseOf the key of the lease on a job
   * @param onDropped the right to run it is gone. `isOver`: nobody else is to run it either.
   */
  constructor(
    redis: Redis,
    workerId: string,
    leaseOf: (jobId: string) => string,
    onDropped: (held: HeldBatch, isOver: boolean) => void,
  ) {
    this.#redis = redis;
    this.#workerId = workerId;
    this.#leaseOf = leaseOf;
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
    const leases = ids.map((id) => this.#leaseOf(id));
    const asked = this.#redis.eval(RENEW, leases.length, ...leases, this.#workerId, LEASE_MS);
    const renewed = (await asked.catch(() => undefined)) as number[] | undefined;
    if (renewed === undefined) return; // Redis is away: time will tell.
    for (const [index, id] of ids.entries()) {
      const held = this.#held.get(id);
      if (held === undefined) continue;
      if (renewed[index] === 1) held.renewedAt = now;
      else this.#drop(held, false);
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

/**
 * For each lease: 1 when it is still ours, and now lasts anew. BullMQ's own script sets it again, which a Redis that is full
 * refuses; this needs no memory.
 */
const RENEW = `
local renewed = {}
for index, lease in ipairs(KEYS) do
  -- Of a key that holds something else, GET is an error: others must be renewed all the same.
  renewed[index] = redis.pcall("GET", lease) == ARGV[1] and redis.call("PEXPIRE", lease, ARGV[2]) or 0
end
return renewed
`;
