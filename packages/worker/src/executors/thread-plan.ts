/** What the next chunk for a thread is decided from. */
export interface ThreadSituation {
  readonly threads: number;
  /** Calls that wait for a thread. */
  readonly pending: number;
  /** Calls that the thread has. */
  readonly inFlightCalls: number;
  /** The time that they are expected to take; Infinity when one of them is of a new task. */
  readonly inFlightMs: number;
  /** What the pending call at this place is expected to take; undefined when its task is new. */
  expectedMs(index: number): number | undefined;
  /** Do calls of its batch wait for the pending call at this place? */
  hasDependents(index: number): boolean;
}

/**
 * Work that a thread may have before it gets more. 2,000 tasks of 1 ms on 2 cores, which the process that feeds them shares:
 * 0.91 of the ideal with 2 ms ahead and 2 ms a message, 0.93 with 8 and 4; no-op tasks 240,000/s and 265,000/s (bench: throughput).
 * What waits in one thread while another is idle is taken back.
 */
export const AHEAD_MS = 8;

/**
 * A thread with a single call that takes no longer than this has room as well: the next batch is then here when the call ends, and
 * need not be asked for, which leaves a thread idle for 1.5 ms. Of 200 tasks of 4 to 500 ms, 14 in the mean, on two threads:
 * 1.10 of the ideal, and 1.14 without (bench: balance). Beside longer calls the way through the broker vanishes, and what is
 * not taken is free for others.
 */
const SINGLE_CALL_MS = 32;

/** Should there be more work at hand for a thread with so much? */
export function hasRoom({
  busyCalls,
  busyMs,
}: {
  readonly busyCalls: number;
  readonly busyMs: number;
}): boolean {
  return busyMs < (busyCalls <= 1 ? SINGLE_CALL_MS : AHEAD_MS);
}

/** Work per message to a thread: see AHEAD_MS. */
export const CHUNK_MS = 4;

/**
 * A thread that has not reported for so long, while another is idle, is longer about its calls than it should be. Mixed loads take 1.01 to 1.02 times the
 * ideal with 1, 4 and 16, heavy-tailed ones 1.06 with each (bench: balance).
 */
export const STUCK_AFTER_MS = 4;

/**
 * A level of a graph that takes less is run by one thread: the way from a thread to another takes 0.1 to 0.2 ms, and the
 * next level would wait for it.
 */
const ONE_THREAD_MS = 0.1;

/** No-op tasks, embedded, are 127,000 a second with 100 and with 500, 130,000 with 2,000 (bench: throughput). */
const MOST_CALLS = 500;

/**
 * How many of the pending calls a thread gets now; 0 when it has enough. A call of a new task goes alone to a thread
 * that has nothing, since nobody knows how long the thread will be gone.
 */
export function planChunk(situation: ThreadSituation): number {
  const { threads, pending, inFlightCalls, inFlightMs, expectedMs } = situation;
  if (pending === 0 || inFlightMs >= AHEAD_MS) return 0;
  const share = isShortLevel(situation) ? pending : Math.ceil(pending / threads);
  const most = Math.min(share, MOST_CALLS);
  let calls = 0;
  let chunkMs = 0;
  while (calls < most && chunkMs < CHUNK_MS) {
    const nextMs = expectedMs(calls);
    if (nextMs === undefined) return calls === 0 && inFlightCalls === 0 ? 1 : calls;
    chunkMs += nextMs;
    calls++;
  }
  return calls;
}

function isShortLevel({ pending, expectedMs, hasDependents }: ThreadSituation): boolean {
  let levelMs = 0;
  for (let index = 0; index < pending && hasDependents(index); index++) {
    levelMs += expectedMs(index) ?? Number.POSITIVE_INFINITY;
    if (levelMs > ONE_THREAD_MS) return false;
  }
  return levelMs > 0;
}
