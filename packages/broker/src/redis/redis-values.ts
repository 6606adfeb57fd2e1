import { DecodeError, SignatureError } from "@millrace/core";
import { STREAM_TTL_MS } from "../intervals.ts";
import type { ValueStore } from "../values/value-store.ts";
import { inSharedMemory, type ValueReference } from "../wire/call-values.ts";
import { AwayWatch } from "./away-watch.ts";
import type { Keys } from "./keys.ts";
import { duplicate, failWaiting, type Redis } from "./redis-connection.ts";
import { Refusals } from "./refusals.ts";
import type { RunnerGroup } from "./runner-group.ts";
import type { Seal } from "./seal.ts";
import { isWrongType } from "./wrong-type.ts";

/** Redis ends at 512 MiB, its `proto-max-bulk-len`, and closes the connection on which more comes. The signature is in it, too. */
const MOST_VALUE_BYTES = 511 * 1024 * 1024;

/** Who does not wait for ever for a connection that stays away. */
export interface ValuesPatience {
  readonly group: Pick<RunnerGroup, "patienceMs" | "away">;
  /** The one for values, on which something waited, is given up. Others may stand. */
  readonly onAway: (error: Error) => void;
}

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
  readonly #patience: ValuesPatience | undefined;
  #ownConnection: Redis | undefined;
  #isClosed = false;
  #awayWatch: AwayWatch | undefined;
  /** How much has been asked on it and is not answered. */
  #asked = 0;
  /** Why what was asked on a connection that is given up has failed. */
  readonly #givenUp = new WeakMap<Redis, Error>();

  /** @param patience left out: what is asked waits until the store is closed */
  constructor(redis: Redis, keys: Keys, seal: Seal, patience?: ValuesPatience) {
    this.#patience = patience;
    const { host, port, path, db, sentinels, name } = redis.options;
    this.realm = JSON.stringify([host, port, path, db, sentinels, name, keys.prefix, seal.fingerprint]);
    this.#redis = redis;
    this.#keys = keys;
    this.#seal = seal;
  }

  write({ runnerId, id }: ValueReference, bytes: Uint8Array): Promise<void> {
    const key = this.#keys.values(runnerId);
    const signed = this.#seal.sign(bytes, { kind: "value", key, field: id });
    const value = Buffer.from(signed.buffer, signed.byteOffset, signed.byteLength);
    const write = (redis: Redis) => writeValue(redis, key, id, value);
    const writing = this.#ask(write).catch(async (error) => {
      if (!isWrongType(error)) throw error;
      // The values are lost already: what somebody else has put in their place makes way.
      this.#refusals.note("what held no values was in the place of a flow's, and was removed", error, {
        key,
      });
      await this.#ask((redis) => redis.unlink(key));
      await this.#ask(write);
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

  async read(reference: ValueReference): Promise<Uint8Array | undefined> {
    const bytes = await this.readBytes(reference);
    return bytes && inSharedMemory(bytes);
  }

  /** The value, in memory of this thread. One that somebody has changed counts as lost, so that it is made again. */
  async readBytes({ runnerId, id, sizeBytes }: ValueReference): Promise<Uint8Array | undefined> {
    const key = this.#keys.values(runnerId);
    try {
      const signed = await this.#ask((redis) => redis.hgetBuffer(key, id));
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
    if (!this.#isClosed) void this.#connection.hdel(this.#keys.values(runnerId), id).catch(ignore);
  }

  /** The runner leaves: its values go. Behind what is being written. */
  async removeAll(runnerId: string): Promise<void> {
    await (this.#ownConnection ?? this.#redis).unlink(this.#keys.values(runnerId));
  }

  /** Redis has been away for too long: what is under way fails. What is asked then waits anew, on another connection. */
  giveUp(error: Error): void {
    const connection = this.#ownConnection;
    if (connection === undefined) return;
    this.#givenUp.set(connection, error);
    this.#disconnect();
  }

  close(): void {
    this.#isClosed = true;
    this.#disconnect();
  }

  #disconnect(): void {
    const connection = this.#ownConnection;
    this.#ownConnection = undefined;
    this.#awayWatch?.stop();
    if (connection === undefined) return;
    failWaiting(connection); // Between two tries, ioredis would forget them.
    connection.disconnect();
  }

  async #ask<T>(what: (redis: Redis) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    this.#asked++;
    try {
      return await what(connection);
    } catch (error) {
      throw this.#givenUp.get(connection) ?? error;
    } finally {
      this.#asked--;
    }
  }

  #watch(connection: Redis, { group, onAway }: ValuesPatience): AwayWatch {
    return new AwayWatch(connection, group.patienceMs, () => {
      const isAwaited = this.#asked > 0;
      const error = group.away();
      this.giveUp(error);
      if (isAwaited) onAway(error);
    });
  }

  get #connection(): Redis {
    if (this.#ownConnection !== undefined) return this.#ownConnection;
    if (this.#isClosed) throw new Error("The store of large values is closed.");
    const connection = duplicate(this.#redis);
    this.#ownConnection = connection;
    if (this.#patience !== undefined) this.#awayWatch = this.#watch(connection, this.#patience);
    return connection;
  }
}

/** Together with the time to live, so that nothing stays for ever of a runner that has died. */
async function writeValue(redis: Redis, key: string, id: string, value: Buffer): Promise<void> {
  const replies = await redis.multi().hset(key, id, value).pexpire(key, STREAM_TTL_MS).exec();
  for (const [error] of replies ?? []) if (error !== null) throw error;
}

function ignore(): void {}
