import type { Capacity, WorkerInfo } from "../broker.ts";
import { HEARTBEAT_MS, HEARTBEAT_TTL_MS, WORKERS_TTL_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import { type Redis, subscribe } from "./redis-connection.ts";
import { Refusals } from "./refusals.ts";
import type { Seal } from "./seal.ts";
import { thisProcess } from "./this-process.ts";
import { readRecord, type WorkerRecord, writeRecord } from "./worker-record.ts";
import { isWrongType } from "./wrong-type.ts";

export type { WorkerRecord } from "./worker-record.ts";

/** Which workers serve a queue, and which of them live. */
export class WorkerRegistry {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: string;
  readonly #seal: Seal;
  readonly #refusals = new Refusals();
  /** How many of the live workers had another secret when they were last looked at. */
  strangers = 0;

  constructor(redis: Redis, keys: Keys, queue: string, seal: Seal) {
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = queue;
    this.#seal = seal;
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
    // Not in a transaction, of which a Redis that is full refuses every command, also one that frees memory.
    await this.#redis
      .pipeline()
      .del(this.#keys.worker(workerId), this.#keys.inbox(workerId))
      .srem(this.#keys.workers(this.#queue), workerId)
      .exec();
    await this.#tellNews();
  }

  /** The workers that live and have the same secret. Those whose heartbeat has ended are taken out. */
  async live(): Promise<WorkerRecord[]> {
    const { live, silent } = await this.look().catch((error) => this.#mend(error));
    if (silent.length > 0) {
      await this.#redis.srem(this.#keys.workers(this.#queue), ...silent);
      await this.#redis.del(silent.map((id) => this.#keys.inbox(id)));
    }
    return live;
  }

  /** The same, and the ids of those whose heartbeat has ended. Changes nothing. */
  async look(): Promise<{ readonly live: WorkerRecord[]; readonly silent: string[] }> {
    const ids = await this.#redis.smembers(this.#keys.workers(this.#queue));
    this.strangers = 0;
    if (ids.length === 0) return { live: [], silent: [] };
    const records = await this.#redis.mget(ids.map((id) => this.#keys.worker(id)));
    const known = records.map((record, index) => {
      const id = ids[index] as string;
      return readRecord(record, id, this.#keys.worker(id), this.#seal);
    });
    this.strangers = known.filter((worker) => worker === "stranger").length;
    return {
      live: known.filter((worker) => typeof worker === "object"),
      silent: ids.filter((_, index) => records[index] === null),
    };
  }

  /** Calls `onNews` whenever a worker came or went. Gives what ends it. */
  subscribe(onNews: () => void): Promise<() => void> {
    return subscribe(this.#redis, this.#keys.workerNews(this.#queue), onNews);
  }

  /**
   * Entered into the set with each beat: a Redis that lost its data has lost the set as well. One that is full refuses both, and
   * lets what is there last: a worker that lives is not to count as dead for that.
   *
   * @throws what Redis refuses
   */
  async #beat(worker: WorkerRecord): Promise<void> {
    const set = this.#keys.workers(this.#queue);
    const key = this.#keys.worker(worker.workerId);
    const replies = await this.#redis
      .pipeline() // A transaction would be refused as a whole.
      .set(key, writeRecord(worker, key, this.#seal), "PX", HEARTBEAT_TTL_MS)
      .pexpire(key, HEARTBEAT_TTL_MS)
      .sadd(set, worker.workerId)
      .pexpire(set, WORKERS_TTL_MS)
      .exec();
    for (const [error] of replies ?? []) if (error !== null) await this.#mend(error);
  }

  /** What is no set makes way for one, into which living workers enter themselves with their next beat. @throws the refusal */
  async #mend(refusal: unknown): Promise<never> {
    if (isWrongType(refusal)) {
      const set = this.#keys.workers(this.#queue);
      this.#refusals.note("what was no set of workers was in the place of it, and was removed", refusal, {
        set,
      });
      await this.#redis.eval(REMOVE_UNLESS_SET, 1, set);
    }
    throw refusal;
  }

  async #tellNews(): Promise<void> {
    await this.#redis.publish(this.#keys.workerNews(this.#queue), "");
  }
}

export function capacityOf(workers: readonly WorkerInfo[]): Capacity {
  return { workers: workers.length, slots: workers.reduce((sum, { threads }) => sum + threads, 0) };
}

/** One step, since another may have made it by now. */
const REMOVE_UNLESS_SET = `
if type(redis.pcall("SCARD", KEYS[1])) == "table" then redis.call("DEL", KEYS[1]) end
return 1`;

function ignore(): void {}
