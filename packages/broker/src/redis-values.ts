import { inSharedMemory, type ValueReference } from "./call-values.ts";
import { STREAM_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { duplicate, type Redis } from "./redis-connection.ts";
import type { ValueStore } from "./value-store.ts";

/**
 * Large values in Redis: for each runner a hash, which goes with the runner. On a connection of its own, which is opened
 * with the first value: a heartbeat must not wait behind 50 MB.
 */
export class RedisValues implements ValueStore {
  readonly realm: string;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #writing = new Set<Promise<void>>();
  #ownConnection: Redis | undefined;

  constructor(redis: Redis, keys: Keys) {
    const { host, port, path, db } = redis.options;
    this.realm = JSON.stringify([host, port, path, db, keys.prefix]);
    this.#redis = redis;
    this.#keys = keys;
  }

  write({ runnerId, id }: ValueReference, bytes: Uint8Array): Promise<void> {
    const key = this.#keys.values(runnerId);
    // Together, so that nothing stays for ever of a runner that has died.
    const writing = this.#connection
      .multi()
      .hset(key, id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      .pexpire(key, STREAM_TTL_MS)
      .exec()
      .then((replies) => {
        for (const [error] of replies ?? []) if (error !== null) throw error;
      });
    this.#writing.add(writing);
    const forget = () => this.#writing.delete(writing);
    writing.then(forget, forget);
    return writing;
  }

  /** Resolves when all that is being written now is there, or is known not to be; undefined: nothing is. */
  get written(): Promise<unknown> | undefined {
    return this.#writing.size === 0 ? undefined : Promise.allSettled(this.#writing);
  }

  async read({ runnerId, id }: ValueReference): Promise<Uint8Array | undefined> {
    const bytes = await this.#connection.hgetBuffer(this.#keys.values(runnerId), id);
    return bytes === null ? undefined : inSharedMemory(bytes);
  }

  remove({ runnerId, id }: ValueReference): void {
    void this.#connection.hdel(this.#keys.values(runnerId), id).catch(ignore);
  }

  /** The runner leaves: its values go. Behind what is being written. */
  async removeAll(runnerId: string): Promise<void> {
    await (this.#ownConnection ?? this.#redis).unlink(this.#keys.values(runnerId));
  }

  close(): void {
    this.#ownConnection?.disconnect();
  }

  get #connection(): Redis {
    this.#ownConnection ??= duplicate(this.#redis);
    return this.#ownConnection;
  }
}

function ignore(): void {}
