import type { Redis } from "./redis-connection.ts";
import { isBefore } from "./stream-reader.ts";

/**
 * So many bytes of log lines of one worker may wait for one runner. A flow's process reads nothing while it computes, and tasks that do
 * nothing but log would fill any Redis meanwhile. It is what 64 full reports have: see LOG_FLUSH_CHARACTERS of the worker.
 */
export const MOST_LOG_BYTES = 16 * 1024 * 1024;

/**
 * Entries count as one up to so many bytes: of lines of 150 bytes, 56,000 entries are below half the bound, where nobody looks, and took 5 MB
 * for each of the runners that are remembered.
 */
const COUNTED_AS_ONE_BYTES = 64 * 1024;

/** Runners that are remembered, those heard last: a worker has batches of a few at a time. */
const MOST_RUNNERS = 100;

/** The log lines on their way from a worker to one runner, which takes off its stream what it has read. Beyond the bound, lines are dropped. */
export class LogAllowance {
  readonly #redis: Redis;
  readonly #replies: string;
  /** What is in the stream, as far as is known, in its order. */
  readonly #entries: { id: string; bytes: number }[] = [];
  #waitingBytes = 0;
  #droppedLines = 0;
  #isLooking = false;

  /** @param replies the runner's stream */
  constructor(redis: Redis, replies: string) {
    this.#redis = redis;
    this.#replies = replies;
  }

  /** What of these lines may be sent, with word of those that were not. @param isEnd a call ends: that there were such is said in any case */
  admit(logs: string, isEnd: boolean): string {
    const bytes = Buffer.byteLength(logs);
    if (bytes > 0 && this.#waitingBytes > MOST_LOG_BYTES / 2) void this.#look();
    const fits = this.#waitingBytes === 0 || this.#waitingBytes + bytes <= MOST_LOG_BYTES;
    if (!fits) this.#droppedLines += logs.split("\n").length - 1;
    if (this.#droppedLines === 0 || (!isEnd && (!fits || bytes === 0))) return fits ? logs : "";
    const told = { level: 40, time: Date.now(), dropped: this.#droppedLines, msg: DROPPED };
    this.#droppedLines = 0;
    return `${JSON.stringify(told)}\n${fits ? logs : ""}`;
  }

  /** Lines of so many bytes are on their way. */
  sending(bytes: number): void {
    this.#waitingBytes += bytes;
  }

  /** They are in the entry with this id; undefined: they are nowhere, and will not be. */
  sent(bytes: number, id: string | undefined): void {
    if (bytes === 0) return;
    const last = this.#entries.at(-1);
    if (id === undefined) this.#waitingBytes -= bytes;
    else if (last !== undefined && last.bytes + bytes <= COUNTED_AS_ONE_BYTES && !this.#isLooking) {
      last.id = id; // They have been read when the last of them has.
      last.bytes += bytes;
    } else this.#entries.push({ id, bytes });
  }

  /** What was before the first entry of the stream has been read. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const before = this.#entries.length;
    try {
      const streams = await this.#redis.xreadBuffer("COUNT", 1, "STREAMS", this.#replies, "0");
      const first = streams?.[0]?.[1]?.[0]?.[0]?.toString();
      const unread = first === undefined ? -1 : this.#entries.findIndex(({ id }) => !isBefore(id, first));
      for (const { bytes } of this.#entries.splice(0, unread === -1 ? before : unread))
        this.#waitingBytes -= bytes;
    } catch {
      // Redis is away, or full: nothing is known to be read.
    }
    this.#isLooking = false;
  }
}

const DROPPED = "log lines of tasks were dropped: this process did not read them in time";

/** The allowances of a worker, each for one runner and all batches of it. */
export class LogAllowances {
  readonly #byRunner = new Map<string, LogAllowance>();

  of(runnerId: string, make: () => LogAllowance): LogAllowance {
    const allowance = this.#byRunner.get(runnerId) ?? make();
    this.#byRunner.delete(runnerId);
    this.#byRunner.set(runnerId, allowance);
    if (this.#byRunner.size > MOST_RUNNERS)
      this.#byRunner.delete(this.#byRunner.keys().next().value as string);
    return allowance;
  }
}
