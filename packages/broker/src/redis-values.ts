import { DecodeError, SignatureError } from "@millrace/core";
import { inSharedMemory, type ValueReference } from "./call-values.ts";
import { STREAM_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { duplicate, type Redis } from "./redis-connection.ts";
import { Refusals } from "./refusals.ts";
import type { Seal } from "./seal.ts";
import type { ValueStore } from "./value-store.ts";
import { isWrongType } from "./wrong-type.ts";

/** Redis ends at 512 MiB, its `proto-max-bulk-len`, and closes the connection on which more comes. The signature is in it, too. */
const MOST_VALUE_BYTES = 511 * 1024 * 1024;

/**
 * Large values in Redis: for each runner a hash, which goes with the runner. On a connection of its own, which is opened
 * with the first value: a heartbeat must not wait behind 50 MB.
 */
export class RedisValues implements ValueStore {
  readonly realm: string;
  readonly mostBytes = MOST_VALUE_BYTES;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #seal: Seal;
  readonly #refusals = new Refusals();
  readonly #writing = new Set<Promise<void>>();
  #ownConnection: Redis | undefined;

  constructor(redis: Redis, keys: Keys, seal: Seal) {
    const { host, port, path, db, sentinels, name } = redis.options;
    this.realm = JSON.stringify([host, port, path, db, sentinels, name, keys.prefix, seal.fingerprint]);
    this.#redis = redis;
    this.#keys = keys;
    this.#seal = seal;
  }

  write({ runnerId, id }: ValueReference, bytes: Uint8Array): Promise<void> {
    const key = this.#keys.values(runnerId);
    const signed = this.#seal.sign(bytes, { kind: "value", key, field: id });
    const bytesOfIt = Buffer.from(signed.buffer, signed.byteOffset, signed.byteLength);
    const writing = this.#write(key, id, bytesOfIt).catch(async (error) => {
      if (!isWrongType(error)) throw error;
      // The values are lost already: what somebody else has put in their place makes way.
      this.#refusals.note("what held no values was in the place of a flow's, and was removed", error, {
        key,
      });
      await this.#connection.unlink(key);
      await this.#write(key, id, bytesOfIt);
    });
    this.#writing.add(writing);
    const forget = () => this.#writing.delete(writing);
    writing.then(forget, forget);
    return writing;
  }

  async #write(key: string, id: string, bytes: Buffer): Promise<void> {
    // Together, so that nothing stays for ever of a runner that has died.
    const replies = await this.#connection.multi().hset(key, id, bytes).pexpire(key, STREAM_TTL_MS).exec();
    for (const [error] of replies ?? []) if (error !== null) throw error;
  }

  /** Resolves when all that is being written now is there, or is known not to be; undefined: nothing is. */
  get written(): Promise<unknown> | undefined {
    return this.#writing.size === 0 ? undefined : Promise.allSettled(this.#writing);
  }

  async read(reference: ValueReference): Promise<Uint8Array | undefined> {
    const bytes = await this.readBytes(reference);
    return bytes && inSharedMemory(bytes);
  }

  /** The value, in memory of this thread. One that somebody has changed counts as lost, so that it is made again. */
  async readBytes({ runnerId, id, sizeBytes }: ValueReference): Promise<Uint8Array | undefined> {
    const key = this.#keys.values(runnerId);
    try {
      const signed = await this.#connection.hgetBuffer(key, id);
      if (signed === null) return undefined;
      const bytes = this.#seal.verify(signed, { kind: "value", key, field: id });
      if (bytes.length === sizeBytes) return bytes;
      throw new DecodeError(`a kept value of ${sizeBytes} bytes`, `${bytes.length} bytes`);
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SignatureError || isWrongType(error)))
        throw error;
      this.#refusals.note("a kept value could not be read and counts as lost", error);
      return undefined;
    }
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
