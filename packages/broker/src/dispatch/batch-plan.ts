/** What the next batch is decided from. */
export interface BatchSituation {
  readonly workers: number;
  /** Threads of all workers together. */
  readonly slots: number;
  /** Work per thread that a batch aims at, in milliseconds. */
  readonly batchMs: number;
  /** Calls that are in the broker or with a worker. */
  readonly outstandingCalls: number;
  /** The time that they are expected to take. */
  readonly outstandingMs: number;
  /** What they, and the values that they alone need, take in memory. */
  readonly outstandingBytes: number;
  /** Calls that wait, ready, in the runner. */
  readonly backlog: number;
  /** What the call at this place of the backlog is expected to take; undefined when its task is new. */
  expectedMs(index: number): number | undefined;
  /** Do other calls wait for the call at this place? */
  hasDependents(index: number): boolean;
}

/**
 * Work per thread that a batch aims at: some times the way through Redis (0.8 to 1 ms), so that this vanishes beside it. 2,000 tasks
 * of 1 ms through Redis take 0.65 of the ideal with 2, 0.72 with 4 and 0.74 with 8, which would be twice the hostages
 * (bench: throughput).
 */
export const DEFAULT_BATCH_MS = 4;

/**
 * Of a long backlog a batch takes more, up to this: each batch costs some 0.5 ms of processor time in the three processes
 * that it passes through. A quarter of a worker's share of what is left is no hostage: the last batches are small again. Without, 2,000
 * tasks of 1 ms through Redis take 0.63 of the ideal, with 5 times as much 0.72; with 20 times 0.75, but no-op tasks are 91,000 a second
 * instead of 100,000 (bench: throughput).
 */
const LONG_BACKLOG_FACTOR = 5;

/**
 * Into so many batches a worker's share of a long backlog goes at least. The first tasks of 1 ms of a new cluster take 0.65 of the ideal with 2, 0.64
 * with 4 and 0.62 with 8 (bench: throughput), mixed loads on two workers 1.04 to 1.05 times the ideal with each (bench: balance).
 */
const BATCHES_PER_SHARE = 4;

/**
 * Batches of work per thread that may be outstanding: one being done, one behind it so that no thread waits for the next. No-op tasks
 * through Redis are 93,000 a second with 1, 97,000 with 2, 96,000 with 4 (bench: throughput).
 */
export const WINDOW_BATCHES = 2;

/**
 * Ready calls of a graph stay together when that costs less time than the ways through the broker, 2.5 to 4 ms for each
 * level, that calls which need the values of several of them would otherwise cost. One worker of two takes t ms per thread where
 * both take t/2 and such a way: that is the same at t = 5 to 8. With many workers it is at t = 2.5 to 4, of which this is
 * about the middle.
 */
const TOGETHER_MS_PER_THREAD = 3;

/**
 * No-op tasks through Redis are 54,000 a second with 200, 81,000 with 500, 94,000 with 1,000, and 104,000 with 4,000, which
 * would keep each process that handles a batch for four times as long (bench: throughput).
 */
const MOST_CALLS = 1000;

/**
 * A batch that has so many bytes takes no further call. It is one message, which Redis and three processes have in memory, and handle at
 * one go: 4 MiB keep each of them for some milliseconds, beside which the 0.5 ms of one batch more vanish. A thousand calls
 * of 4 kB fit in.
 */
export const MOST_BATCH_BYTES = 4 * 1024 * 1024;

/**
 * A batch whose calls, with the values that they alone need, have so many bytes takes no further call either: its worker fetches these at
 * once, and has a cache of 256 MiB for them. Reading a value takes time, which ends most batches before; but not that of a task
 * whose values were small until now.
 */
export const MOST_BATCH_VALUE_BYTES = 64 * 1024 * 1024;

/** With so many bytes outstanding no more are sent, unless a thread would have nothing to do: Redis has them all in memory. */
const WINDOW_BYTES = 4 * MOST_BATCH_VALUE_BYTES;

/**
 * How many calls, from the front of the backlog, the next batch takes; 0 when the window is full or nothing waits.
 * Ready calls are spread over all workers; a long call travels alone.
 */
export function planBatch(situation: BatchSituation): number {
  const { workers, slots, batchMs: batchMsPerSlot, backlog } = situation;
  if (backlog === 0 || slots === 0 || isFull(situation)) return 0;
  const isWhole = isLevelForOneWorker(situation);
  const budgetMs = isWhole ? Number.POSITIVE_INFINITY : (slots / workers) * batchMsPerSlot;
  const most = Math.min(isWhole ? backlog : Math.ceil(backlog / workers), MOST_CALLS);
  const guidedCalls = Math.min(most, backlog / workers / BATCHES_PER_SHARE);
  const guidedMs = budgetMs * LONG_BACKLOG_FACTOR;
  let calls = 0;
  for (let batchMs = 0; calls < most; calls++) {
    const expectedMs = situation.expectedMs(calls);
    const isGuided = expectedMs !== undefined && calls < guidedCalls;
    if (batchMs >= (isGuided ? guidedMs : budgetMs)) break;
    const callMs = costMs(expectedMs, batchMsPerSlot);
    if (calls > 0 && callMs > budgetMs) break; // A long call behind short ones: it goes in a batch of its own.
    batchMs += callMs;
  }
  return calls;
}

function isFull(situation: BatchSituation): boolean {
  const { workers, slots, batchMs, outstandingCalls, outstandingMs, outstandingBytes } = situation;
  if (outstandingCalls < slots + workers) return false;
  return outstandingMs >= slots * WINDOW_BATCHES * batchMs || outstandingBytes >= WINDOW_BYTES;
}

/** A level in two batches would cost a way through the broker for each level that follows. */
function isLevelForOneWorker(situation: BatchSituation): boolean {
  const { workers, slots, batchMs, backlog, expectedMs, hasDependents } = situation;
  // The only worker does all of it, and may as well have it at once.
  const mostMs = workers === 1 ? Number.POSITIVE_INFINITY : (slots / workers) * TOGETHER_MS_PER_THREAD;
  let totalMs = 0;
  for (let index = 0; index < Math.min(backlog, MOST_CALLS) && totalMs <= mostMs; index++) {
    if (!hasDependents(index)) return false;
    totalMs += costMs(expectedMs(index), batchMs);
  }
  return totalMs <= mostMs;
}

/** What a call counts for: one of a new task as a whole batch, so that one goes to each thread until the first has ended. */
export function costMs(expectedMs: number | undefined, batchMs: number): number {
  return expectedMs ?? batchMs;
}
