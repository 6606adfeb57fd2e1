import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claim, ResultStore, StoredResult } from "@millrace/core";
import { orAborted } from "@millrace/core/internal";
import { HOLD_RENEWAL_MS, HOLD_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

/** Between two tries to get a claim that somebody else has. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 250;

/** 285,000 years: Redis refuses a time to live that it cannot add to the time that it is. */
const LONGEST_TTL_MS = Number.MAX_SAFE_INTEGER;

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
    else if (leftMs > 0) await this.#redis.set(name, record, "PX", Math.min(leftMs, LONGEST_TTL_MS));
    else await this.#redis.del(name);
  }

  async claim(key: string, signal?: AbortSignal): Promise<Claim> {
    const name = this.#keys.resultClaim(key);
    const token = randomUUID();
    const take = () => this.#redis.eval(TAKE, 1, name, token, HOLD_TTL_MS);
    const giveBack = () => this.#redis.eval(RELEASE, 1, name, token).catch(ignore); // Redis is away: it goes by itself.
    try {
      for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)) {
        signal?.throwIfAborted();
        if ((await orAborted(take(), signal)) === 1) break;
        // Waiters that began together should not all come at once each time.
        await sleep(pollMs * (0.5 + Math.random() / 2), undefined, { signal });
      }
    } catch (error) {
      void giveBack(); // The answer that we do not wait for any more may be that it is ours.
      throw signal?.aborted ? signal.reason : error;
    }
    const renewal = setInterval(() => void take().catch(ignore), HOLD_RENEWAL_MS);
    renewal.unref();
    let released: Promise<unknown> | undefined;
    return {
      release: async () => {
        clearInterval(renewal);
        released ??= giveBack();
        await released;
      },
    };
  }
}

/**
 * Takes what is free, and renews what is ours: a command that a connection sends again after it broke, not knowing that
 * it was done, finds its own claim and not another's. A holder whose claim ran out while Redis was away gets it back,
 * unless somebody else has it by then.
 */
const TAKE = `
  local holder = redis.call("GET", KEYS[1])
  if holder and holder ~= ARGV[1] then return 0 end
  redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
  return 1`;

/** Only what is still ours: a holder that was cut off may have lost it to another. */
const RELEASE = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`;

function ignore(): void {}
