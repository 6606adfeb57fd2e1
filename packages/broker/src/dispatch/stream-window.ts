import { costMs, WINDOW_BATCHES } from "./batch-plan.ts";

/**
 * Calls per thread at least: those that await a network keep no thread busy, and go on side by side. As many as a thread has under
 * way unless it is told otherwise: DEFAULT_CALLS_PER_THREAD of the worker.
 */
const LEAST_CALLS_PER_SLOT = 100;

/** While no worker is known, one thread is thought to be about to come. */
export const LEAST_STREAM_WINDOW_CALLS = LEAST_CALLS_PER_SLOT;

/**
 * A flow's process sends some 200,000 short calls a second, and hears of each within 50 ms: 10,000 are under way, and as many wait
 * behind them.
 */
const MOST_CALLS = 20_000;

/**
 * How many unfinished calls keep the cluster busy: what the dispatcher has in its window, and as much again, so that it
 * always has something to fill it from.
 */
export function streamWindow(slots: number, batchMs: number, expectedMs: number | undefined): number {
  const threads = Math.max(slots, 1); // Workers may be about to come.
  const calls = Math.ceil((2 * threads * WINDOW_BATCHES * batchMs) / costMs(expectedMs, batchMs));
  return Math.max(threads * LEAST_CALLS_PER_SLOT, Math.min(calls, MOST_CALLS));
}
