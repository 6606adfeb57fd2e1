import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claim, ResultStore, StoredResult } from "@millrace/core";
import { HOLD_RENEWAL_MS, HOLD_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

/** Between two tries to get a claim that somebody else has. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 250;

/** A record is the time of expiry (a double, milliseconds since the epoch, NaN for never) and the value. */
const HEAD_BYTES = 8;

/** Results in a Redis, shared by everybody in the namespace. Those that expire disappear from it by themselves. */
export class RedisResultStore implements ResultStore {
  readonly #redis: Redis;
  readonly #keys: Keys;

  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  async read(key: string): Promise<StoredResult | undefined> {
    const record = await this.#redis.getBuffer(this.#keys.result(key));
    if (record === null || record.length < HEAD_BYTES) return undefined;
    const expiresAt = record.readDoubleLE(0);
    return {
      value: record.subarray(HEAD_BYTES),
      expiresAt: Number.isNaN(expiresAt) ? undefined : expiresAt,
    };
  }

  async write(key: string, { value, expiresAt }: StoredResult): Promise<void> {
    const name = this.#keys.result(key);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeDoubleLE(expiresAt ?? Number.NaN);
    const record = Buffer.concat([head, value]);
    // A time to live, not a time: the clock of the Redis may differ from ours.
    const leftMs = expiresAt === undefined ? undefined : Math.ceil(expiresAt - Date.now());
    if (leftMs === undefined) await this.#redis.set(name, record);
    else if (leftMs > 0) await this.#redis.set(name, record, "PX", leftMs);
    else await this.#redis.del(name);
  }

  async claim(key: string, signal?: AbortSignal): Promise<Claim> {
    const name = this.#keys.resultClaim(key);
    const token = randomUUID();
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)) {
      signal?.throwIfAborted();
      if ((await this.#redis.set(name, token, "PX", HOLD_TTL_MS, "NX")) === "OK") break;
      await sleep(pollMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
    const renewal = setInterval(
      () => void this.#redis.eval(RENEW, 1, name, token, HOLD_TTL_MS).catch(ignore),
      HOLD_RENEWAL_MS,
    );
    let released: Promise<void> | undefined;
    const release = async () => {
      clearInterval(renewal);
      await this.#redis.eval(RELEASE, 1, name, token).catch(ignore); // Redis is away: it goes by itself.
    };
    return {
      release: () => {
        released ??= release();
        return released;
      },
    };
  }
}

/** Only what is still ours: a holder that was cut off may have lost it to another. */
const RENEW = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end return 0`;
const RELEASE = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`;

function ignore(): void {}
