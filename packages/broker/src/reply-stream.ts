import { REPLIES_RENEWAL_MS, REPLIES_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { duplicateForBlocking, type Redis } from "./redis-connection.ts";

/** Entries per read: a read brings what has gathered, within bounds. */
const READ_COUNT = 500;

/** A read that finds nothing returns after this, so that a lost connection is noticed. */
const READ_BLOCK_MS = 5_000;

const RETRY_MS = 200;

const FIELD = "r";

/** Appends a report to a runner's stream. Resolves to false when the runner is gone: its stream is not made anew. */
export async function appendReply(redis: Redis, key: string, report: Uint8Array): Promise<boolean> {
  const id = await redis.xadd(key, "NOMKSTREAM", "*", FIELD, asBuffer(report));
  return id !== null;
}

/** Reads a runner's reply stream, entry by entry, from its creation until it is closed. */
export class ReplyReader {
  readonly #redis: Redis;
  readonly #blocking: Redis;
  readonly #key: string;
  readonly #onReply: (reply: Uint8Array) => void;
  readonly #renewal: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    runnerId: string,
    onReply: (reply: Uint8Array) => void,
  ): Promise<ReplyReader> {
    const key = keys.replies(runnerId);
    const first = await redis.xadd(key, "*", FIELD, "");
    await redis.pexpire(key, REPLIES_TTL_MS);
    return new ReplyReader(redis, key, first as string, onReply);
  }

  private constructor(redis: Redis, key: string, first: string, onReply: (reply: Uint8Array) => void) {
    this.#redis = redis;
    this.#blocking = duplicateForBlocking(redis);
    this.#key = key;
    this.#onReply = onReply;
    this.#renewal = setInterval(
      () => void redis.pexpire(key, REPLIES_TTL_MS).catch(ignore),
      REPLIES_RENEWAL_MS,
    );
    this.#reading = this.#read(first);
  }

  async #read(first: string): Promise<void> {
    let cursor = first;
    while (!this.#isClosed) {
      try {
        const streams = await this.#blocking.xreadBuffer(
          "COUNT",
          READ_COUNT,
          "BLOCK",
          READ_BLOCK_MS,
          "STREAMS",
          this.#key,
          cursor,
        );
        const entries = streams?.[0]?.[1] ?? [];
        for (const [id, fields] of entries) {
          cursor = id.toString();
          if (fields?.[1] !== undefined) this.#onReply(fields[1]);
        }
        // What has been read is no longer needed. Not awaited: the next read need not wait for it.
        if (entries.length > 0) void this.#redis.xtrim(this.#key, "MINID", "~", cursor).catch(ignore);
      } catch {
        if (!this.#isClosed) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return this.#reading;
    this.#isClosed = true;
    clearInterval(this.#renewal);
    this.#blocking.disconnect();
    await this.#reading;
    await this.#redis.del(this.#key);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function ignore(): void {}
