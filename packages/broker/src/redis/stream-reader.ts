import { randomUUID } from "node:crypto";
import { STREAM_RENEWAL_MS, STREAM_TTL_MS } from "../intervals.ts";
import { duplicateForBlocking, type Redis } from "./redis-connection.ts";
import { Refusals } from "./refusals.ts";
import { isWrongType } from "./wrong-type.ts";

/**
 * Entries per read: a read brings what has gathered, within bounds. No-op tasks through Redis are 101,000 a second with 100, 100,000 with 500
 * and 99,000 with 2,000 (bench: throughput).
 */
const READ_COUNT = 500;

/**
 * Entries that are read before they are trimmed: a trim for each costs every task a command. One task takes 0.95 ms with a trim for each, and
 * 0.91, 0.91 and 0.90 with one for 10, 100 and 1,000 (bench: latency).
 */
const TRIM_AFTER = 100;

/** The same in bytes: log lines come in entries of 256 kB, and what is not trimmed takes room in Redis. */
const TRIM_AFTER_BYTES = 1024 * 1024;

/** A read that finds nothing returns after this, so that a lost connection is noticed: half of SILENCE_MS, after which one counts as cut. */
const READ_BLOCK_MS = 5_000;

const RETRY_MS = 200;

const FIELD = "r";

const STAMP_FIELD = "s";

/**
 * Who sends, and how much it has sent: a connection each, since only what one connection sends arrives in its order. Flows of one
 * process have connections of their own.
 */
const senders = new WeakMap<Redis, { readonly id: string; sent: number }>();

/** So many senders are remembered, those heard last: what is sent again follows soon upon the first time. */
const MOST_SENDERS = 1_000;

function nextStamp(redis: Redis): string {
  let sender = senders.get(redis);
  if (sender === undefined) {
    sender = { id: randomUUID(), sent: 0 };
    senders.set(redis, sender);
  }
  return `${sender.id}.${++sender.sent}`;
}

/**
 * Appends a message to somebody's stream. Resolves to the id of its entry; to undefined when its reader is gone: the stream is not made anew. A command whose
 * answer was lost with a connection is sent again, and may have been executed before: by the stamp, the reader knows.
 */
export async function appendToStream(
  redis: Redis,
  key: string,
  message: Uint8Array,
): Promise<string | undefined> {
  const stamp = nextStamp(redis);
  const id = await redis.xadd(key, "NOMKSTREAM", "*", FIELD, asBuffer(message), STAMP_FIELD, stamp);
  return id ?? undefined;
}

export interface StreamReaderOptions {
  readonly redis: Redis;
  readonly key: string;
  readonly onMessage: (message: Uint8Array) => void;
  /** Redis has been restarted, or has lost the stream: messages may be missing. What is left of them has been read. */
  readonly onReset: () => void;
}

/**
 * Reads a stream that is made for one reader, entry by entry, from its creation until it is closed: the replies to a
 * runner, the inbox of a worker.
 */
export class StreamReader {
  readonly #options: StreamReaderOptions;
  #blocking: Redis;
  readonly #renewal: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  /** Entries that have been read and not trimmed: a Redis that comes back may give them again. */
  readonly #read = new Set<string>();
  #readBytes = 0;
  /** The last stamp of each sender, those heard last at the end. */
  readonly #stamps = new Map<string, number>();
  readonly #refusals = new Refusals();
  /** The id of the last entry that was read. */
  #cursor: string;
  /** Who waits for the next look at the stream to be over. */
  readonly #awaiting: (() => void)[] = [];
  #resets = 0;
  #runId: Promise<string>;
  #isCheckDue = false;
  #isReset = false;
  #isClosed = false;

  static async open(options: StreamReaderOptions): Promise<StreamReader> {
    return new StreamReader(options, await makeStream(options));
  }

  private constructor(options: StreamReaderOptions, first: string) {
    const { redis, key } = options;
    this.#options = options;
    this.#blocking = duplicateForBlocking(redis);
    this.#runId = runIdOf(redis);
    this.#runId.catch(ignore);
    this.#renewal = setInterval(
      () => void redis.pexpire(key, STREAM_TTL_MS).then((found) => found === 0 && this.check(), ignore),
      STREAM_RENEWAL_MS,
    );
    this.#cursor = first;
    this.#reading = this.#readAll();
  }

  /** Looks whether the stream is still there; then `onReset`, also when it is. */
  check(): void {
    if (this.#isClosed) return;
    this.#isReset = true;
    this.#isCheckDue = true;
    // Ends the read that waits. Not to be connected again: ioredis gives up a connection that is cut while it is being made.
    this.#blocking.disconnect();
    this.#blocking = duplicateForBlocking(this.#options.redis);
  }

  /**
   * Resolves when all that is in the stream now has been read; or, when messages may be missing, when `onReset` has told so. After its own
   * connection was cut as well, it has looked before.
   */
  async caughtUp(): Promise<void> {
    const { redis, key } = this.#options;
    const resets = this.#resets;
    const [last] = await redis.xrevrange(key, "+", "-", "COUNT", 1);
    const isBehind = () =>
      this.#isCheckDue || this.#isReset || (last !== undefined && isBefore(this.#cursor, last[0]));
    while (isBehind() && resets === this.#resets && !this.#isClosed)
      await new Promise<void>((resolve) => this.#awaiting.push(resolve));
  }

  async #readAll(): Promise<void> {
    while (!this.#isClosed) {
      try {
        if (this.#isCheckDue && (await this.#hasStartedAnew())) this.#cursor = "0";
        this.#isCheckDue = false;
        const isReset = this.#isReset;
        const entries = await this.#next(this.#cursor, isReset ? 1 : READ_BLOCK_MS);
        for (const [id, fields] of entries) {
          this.#cursor = id.toString();
          if (this.#read.has(this.#cursor)) continue;
          this.#read.add(this.#cursor);
          const message = fields[1];
          this.#readBytes += message?.length ?? 0;
          if (message !== undefined && message.length > 0 && this.#isNew(fields))
            this.#options.onMessage(message);
        }
        if (isReset && entries.length < READ_COUNT && !this.#isCheckDue) {
          this.#isReset = false;
          this.#resets++;
          if (!this.#isClosed) this.#options.onReset();
        }
        this.#wake();
        // What the readers of these messages send comes first: the next read costs 50 µs.
        if (entries.length > 0) await new Promise(setImmediate);
        if (this.#read.size >= TRIM_AFTER || this.#readBytes >= TRIM_AFTER_BYTES) this.#trim();
      } catch (error) {
        // Redis is away, or the connection was cut.
        this.#isCheckDue = true;
        if (isWrongType(error)) await this.#remove(error); // The stream is lost, then.
        if (!this.#isClosed) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#awaiting.splice(0)) wake();
  }

  /** Messages of one sender come in the order of their stamps. One without a stamp is new. */
  #isNew([, , name, stamp]: readonly Buffer[]): boolean {
    if (stamp === undefined || name?.toString() !== STAMP_FIELD) return true;
    const [sender = "", number] = stamp.toString().split(".");
    if (Number(number) <= (this.#stamps.get(sender) ?? 0)) return false;
    this.#stamps.delete(sender);
    this.#stamps.set(sender, Number(number));
    if (this.#stamps.size > MOST_SENDERS) this.#stamps.delete(this.#stamps.keys().next().value as string);
    return true;
  }

  async #next(cursor: string, blockMs: number): Promise<[id: Buffer, fields: Buffer[]][]> {
    const { key } = this.#options;
    const streams = await this.#blocking.xreadBuffer(
      ...(["COUNT", READ_COUNT, "BLOCK", blockMs, "STREAMS", key, cursor] as const),
    );
    return (streams?.[0]?.[1] ?? []) as [id: Buffer, fields: Buffer[]][];
  }

  /**
   * Is it another server than before, or another run of it, or has it lost the stream? Its clock may be behind, and entries
   * come before the last that was read: then reading starts at the front.
   */
  async #hasStartedAnew(): Promise<boolean> {
    const { redis, key } = this.#options;
    const [isThere, before, runId] = await Promise.all([
      redis.exists(key),
      this.#runId.catch(() => ""),
      runIdOf(redis),
    ]);
    this.#runId = Promise.resolve(runId);
    if (isThere === 0) await makeStream(this.#options);
    const hasStartedAnew = isThere === 0 || runId !== before;
    this.#isReset ||= hasStartedAnew;
    return hasStartedAnew;
  }

  /** Somebody has put something else in the place of the stream, which is this reader's alone. */
  async #remove(error: unknown): Promise<void> {
    const { redis, key } = this.#options;
    this.#refusals.note("what is no stream was in the place of one, which is made anew", error, { key });
    await redis.unlink(key).catch(ignore);
  }

  #trim(): void {
    const { redis, key } = this.#options;
    this.#read.clear();
    this.#readBytes = 0;
    this.#read.add(this.#cursor); // It stays there, too.
    void redis.xtrim(key, "MINID", this.#cursor).catch(ignore);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return this.#reading;
    this.#isClosed = true;
    clearInterval(this.#renewal);
    this.#blocking.disconnect();
    await this.#reading;
    await this.#options.redis.del(this.#options.key);
  }
}

/** @returns the id of its first entry, which says nothing */
async function makeStream({ redis, key }: StreamReaderOptions): Promise<string> {
  for (;;) {
    const first = await redis.xadd(key, "*", FIELD, "");
    // Between the two Redis may have been restarted and lost it: what is then said to the reader would be lost for 5 s.
    if ((await redis.pexpire(key, STREAM_TTL_MS)) === 1) return first as string;
  }
}

/** Is an entry before another? Their ids are two numbers. */
export function isBefore(id: string, other: string): boolean {
  const [time = 0, count = 0] = id.split("-").map(Number);
  const [otherTime = 0, otherCount = 0] = other.split("-").map(Number);
  return time < otherTime || (time === otherTime && count < otherCount);
}

async function runIdOf(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info("server"))?.[1] ?? "";
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function ignore(): void {}
