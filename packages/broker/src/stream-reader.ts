import { STREAM_RENEWAL_MS, STREAM_TTL_MS } from "./intervals.ts";
import { duplicateForBlocking, type Redis } from "./redis-connection.ts";

/** Entries per read: a read brings what has gathered, within bounds. */
const READ_COUNT = 500;

/** Entries that are read before they are trimmed: a trim for each cost every task a command, a tenth of a client's work. */
const TRIM_AFTER = 100;

/** A read that finds nothing returns after this, so that a lost connection is noticed. */
const READ_BLOCK_MS = 5_000;

const RETRY_MS = 200;

const FIELD = "r";

/** Appends a message to somebody's stream. Resolves to false when its reader is gone: the stream is not made anew. */
export async function appendToStream(redis: Redis, key: string, message: Uint8Array): Promise<boolean> {
  const id = await redis.xadd(key, "NOMKSTREAM", "*", FIELD, asBuffer(message));
  return id !== null;
}

/**
 * Reads a stream that is made for one reader, entry by entry, from its creation until it is closed: the replies to a
 * runner, the inbox of a worker.
 */
export class StreamReader {
  readonly #redis: Redis;
  readonly #blocking: Redis;
  readonly #key: string;
  readonly #onMessage: (message: Uint8Array) => void;
  readonly #renewal: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  #isClosed = false;

  static async open(
    redis: Redis,
    key: string,
    onMessage: (message: Uint8Array) => void,
  ): Promise<StreamReader> {
    const first = await redis.xadd(key, "*", FIELD, "");
    await redis.pexpire(key, STREAM_TTL_MS);
    return new StreamReader(redis, key, first as string, onMessage);
  }

  private constructor(redis: Redis, key: string, first: string, onMessage: (message: Uint8Array) => void) {
    this.#redis = redis;
    this.#blocking = duplicateForBlocking(redis);
    this.#key = key;
    this.#onMessage = onMessage;
    this.#renewal = setInterval(
      () => void redis.pexpire(key, STREAM_TTL_MS).catch(ignore),
      STREAM_RENEWAL_MS,
    );
    this.#reading = this.#read(first);
  }

  async #read(first: string): Promise<void> {
    let cursor = first;
    let untrimmed = 0;
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
          if (fields?.[1] !== undefined) this.#onMessage(fields[1]);
        }
        // What the readers of these messages send comes first: the next read costs 50 µs.
        if (entries.length > 0) await new Promise(setImmediate);
        untrimmed += entries.length;
        if (untrimmed < TRIM_AFTER) continue;
        untrimmed = 0;
        // What has been read is no longer needed. Not awaited: the next read need not wait for it.
        void this.#redis.xtrim(this.#key, "MINID", "~", cursor).catch(ignore);
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
