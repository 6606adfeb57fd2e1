import type { Capacity, WorkerInfo } from "./broker.ts";
import { HEARTBEAT_MS, HEARTBEAT_TTL_MS, WORKERS_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { duplicateForBlocking, type Redis } from "./redis-connection.ts";
import { type ProcessFacts, thisProcess } from "./this-process.ts";

/** What a worker says of itself with each heartbeat. Of a worker of another version, only what a runner must know. */
export interface WorkerRecord extends WorkerInfo, Partial<ProcessFacts> {
  readonly queue?: string;
  /** How many calls there are in the batches that it has. */
  readonly calls?: number;
}

/** Which workers serve a queue, and which of them live. */
export class WorkerRegistry {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: string;

  constructor(redis: Redis, keys: Keys, queue: string) {
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
  }

  /**
   * Enters a worker, and says so. Gives what stops its heartbeat and takes it out again.
   *
   * @param calls how many calls it has, asked with each heartbeat
   */
  async announce(worker: WorkerInfo, calls: () => number): Promise<() => Promise<void>> {
    const facts = { ...worker, queue: this.#queue, ...thisProcess() };
    const beat = () => this.#beat({ ...facts, calls: calls() });
    await beat();
    await this.#tellNews();
    const heartbeat = setInterval(() => void beat().catch(ignore), HEARTBEAT_MS);
    return async () => {
      clearInterval(heartbeat);
      await this.remove(worker.workerId);
    };
  }

  /** Takes out a worker that left or was found dead, and says so. */
  async remove(workerId: string): Promise<void> {
    await this.#redis
      .multi()
      .del(this.#keys.worker(workerId), this.#keys.inbox(workerId))
      .srem(this.#keys.workers(this.#queue), workerId)
      .exec();
    await this.#tellNews();
  }

  /** The workers that live. Those whose heartbeat has ended are taken out. */
  async live(): Promise<WorkerRecord[]> {
    const { live, silent } = await this.look();
    if (silent.length > 0) {
      await this.#redis.srem(this.#keys.workers(this.#queue), ...silent);
      await this.#redis.del(silent.map((id) => this.#keys.inbox(id)));
    }
    return live;
  }

  /** The same, and the ids of those whose heartbeat has ended. Changes nothing. */
  async look(): Promise<{ readonly live: WorkerRecord[]; readonly silent: string[] }> {
    const ids = await this.#redis.smembers(this.#keys.workers(this.#queue));
    if (ids.length === 0) return { live: [], silent: [] };
    const records = await this.#redis.mget(ids.map((id) => this.#keys.worker(id)));
    return {
      live: records.flatMap((record) => parseWorker(record)),
      silent: ids.filter((_, index) => records[index] === null),
    };
  }

  /** Calls `onNews` whenever a worker came or went. Gives what ends it. */
  async subscribe(onNews: () => void): Promise<() => void> {
    const subscriber = duplicateForBlocking(this.#redis);
    subscriber.on("message", onNews);
    await subscriber.subscribe(this.#keys.workerNews(this.#queue));
    return () => subscriber.disconnect();
  }

  /** Entered into the set with each beat: a Redis that lost its data has lost the set as well. */
  async #beat(worker: WorkerRecord): Promise<void> {
    const set = this.#keys.workers(this.#queue);
    await this.#redis
      .multi()
      .set(this.#keys.worker(worker.workerId), JSON.stringify(worker), "PX", HEARTBEAT_TTL_MS)
      .sadd(set, worker.workerId)
      .pexpire(set, WORKERS_TTL_MS)
      .exec();
  }

  async #tellNews(): Promise<void> {
    await this.#redis.publish(this.#keys.workerNews(this.#queue), "");
  }
}

export function capacityOf(workers: readonly WorkerInfo[]): Capacity {
  return { workers: workers.length, slots: workers.reduce((sum, { threads }) => sum + threads, 0) };
}

/** A record that somebody else wrote: anything may be in it. */
function parseWorker(record: string | null): WorkerRecord[] {
  if (record === null) return [];
  try {
    const { workerId, threads, ...more } = JSON.parse(record) as Partial<WorkerRecord>;
    if (typeof workerId !== "string" || !Number.isSafeInteger(threads) || (threads as number) < 1) return [];
    return [{ workerId, threads: threads as number, ...known(more) }];
  } catch {
    return [];
  }
}

function known(more: Partial<WorkerRecord>): Partial<WorkerRecord> {
  const fits = ([key, value]: [string, unknown]) =>
    (typeof value === "string" && ["host", "version", "queue"].includes(key)) ||
    (typeof value === "number" && ["pid", "startedAt", "calls"].includes(key));
  return Object.fromEntries(Object.entries(more).filter(fits));
}

function ignore(): void {}
