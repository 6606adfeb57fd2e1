import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claim, ResultStore, StoredResult } from "@millrace/core";
import { orAborted, resultFromFile, resultToFile } from "@millrace/core/internal";
import { HOLD_RENEWAL_MS, HOLD_TTL_MS } from "../intervals.ts";
import type { Keys } from "../redis/keys.ts";
import type { Redis } from "../redis/redis-connection.ts";
import { Refusals } from "../redis/refusals.ts";
import type { Seal } from "../redis/seal.ts";
import { readBytes } from "../redis/wrong-type.ts";

/**
 * Between two tries to get a claim that somebody else has. Who waits learns of its release late by about what it has waited, at
 * most, and by a quarter of a second; it costs Redis some five commands a second.
 */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 250;

/** 285,000 years: Redis refuses a time to live that it cannot add to the time that it is. */
const LONGEST_TTL_MS = Number.MAX_SAFE_INTEGER;

/**
 * Results in a Redis, shared by everybody in the namespace, in the form of the files of a FileResultStore, signed when the
 * namespace has a secret: bytes that somebody else wrote are no result. Those that expire disappear by themselves.
 */
export class RedisResultStore implements ResultStore {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #seal: Seal;
  readonly #refusals = new Refusals();

  constructor(redis: Redis, keys: Keys, seal: Seal) {
    this.#redis = redis;
    this.#keys = keys;
    this.#seal = seal;
  }

  async read(key: string): Promise<StoredResult | undefined> {
    const name = this.#keys.result(key);
    const signed = await readBytes(this.#redis, name);
    if (signed === null) return undefined;
    try {
      const record = this.#seal.verify(signed, { kind: "result", key: name });
      return resultFromFile(key, Buffer.from(record.buffer, record.byteOffset, record.byteLength));
    } catch (error) {
      this.#refusals.note("a kept result could not be read and was left out", error);
      return undefined;
    }
  }

  async write(key: string, result: StoredResult): Promise<void> {
    const { expiresAt } = result;
    const name = this.#keys.result(key);
    const record = Buffer.from(this.#seal.sign(resultToFile(key, result), { kind: "result", key: name }));
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
 * unless somebody else has it by then. What is there and is no text is nobody's claim; and none lasts longer than its holder
 * may make it last.
 */
const TAKE = `
  local holder = redis.pcall("GET", KEYS[1])
  if type(holder) == "string" and holder ~= ARGV[1] then
    local leftMs = redis.call("PTTL", KEYS[1])
    if leftMs < 0 or leftMs > tonumber(ARGV[2]) then redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
    return 0
  end
  redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
  return 1`;

/** Only what is still ours: a holder that was cut off may have lost it to another. */
const RELEASE = `if redis.pcall("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`;

function ignore(): void {}
