/** What the next batch is decided from. */
export interface BatchSituation {
  readonly workers: number;
  /** Threads of all workers together. */
  readonly slots: number;
  /** Calls that are in the broker or with a worker. */
  readonly outstandingCalls: number;
  /** The time that they are expected to take. */
  readonly outstandingMs: number;
  /** Calls that wait, ready, in the runner. */
  readonly backlog: number;
  /** What the call at this place of the backlog is expected to take; undefined when its task is new. */
  expectedMs(index: number): number | undefined;
  /** Do other calls wait for the call at this place? */
  hasDependents(index: number): boolean;
}

/** Work per thread that a batch aims at: some tens of round trips through Redis (0.2 to 1 ms), so that those vanish. */
const BATCH_MS_PER_SLOT = 4;

/**
 * Of a long backlog a batch takes more, up to this: each batch costs some 0.5 ms of processor time in the three processes
 * that it passes through. A quarter of a worker's share of what is left is no hostage: the last batches are small again.
 */
const MOST_BATCH_MS_PER_SLOT = 5 * BATCH_MS_PER_SLOT;
const BATCHES_PER_SHARE = 4;

/** Work per thread that may be outstanding: one batch being done, one behind it so that no thread waits for the next. */
const WINDOW_MS_PER_SLOT = 2 * BATCH_MS_PER_SLOT;

/**
 * Ready calls of a graph stay together when that costs less time than the ways through the broker, 2.5 to 4 ms for each
 * level, that calls which need the values of several of them would otherwise cost.
 */
const TOGETHER_MS_PER_THREAD = 3;

/** A new task counts as this long: one call per thread and batch until the first has ended. */
const UNKNOWN_MS = BATCH_MS_PER_SLOT;

/** The prototype of the hot path gained up to 500 calls per batch (300,000 no-op tasks/s) and nothing beyond. */
const MOST_CALLS = 1000;

/**
 * How many calls, from the front of the backlog, the next batch takes; 0 when the window is full or nothing waits.
 * Ready calls are spread over all workers; a long call travels alone.
 */
export function planBatch(situation: BatchSituation): number {
  const { workers, slots, outstandingCalls, outstandingMs, backlog } = situation;
  if (backlog === 0 || slots === 0) return 0;
  const isFull = outstandingCalls >= slots + workers && outstandingMs >= slots * WINDOW_MS_PER_SLOT;
  if (isFull) return 0;
  const budgetMs = (slots / workers) * BATCH_MS_PER_SLOT;
  const share = isSmallGraph(situation) ? backlog : Math.ceil(backlog / workers);
  const most = Math.min(backlog, share, MOST_CALLS);
  const guidedCalls = Math.min(most, backlog / workers / BATCHES_PER_SHARE);
  const guidedMs = (slots / workers) * MOST_BATCH_MS_PER_SLOT;
  let calls = 0;
  for (let batchMs = 0; calls < most; calls++) {
    const expectedMs = situation.expectedMs(calls);
    const isGuided = expectedMs !== undefined && calls < guidedCalls;
    if (batchMs >= (isGuided ? guidedMs : budgetMs)) break;
    const callMs = costMs(expectedMs);
    if (calls > 0 && callMs > budgetMs) break; // A long call behind short ones: it goes in a batch of its own.
    batchMs += callMs;
  }
  return calls;
}

function isSmallGraph({ workers, slots, backlog, expectedMs, hasDependents }: BatchSituation): boolean {
  if (workers === 1) return false; // There is nothing to be kept together.
  const mostMs = (slots / workers) * TOGETHER_MS_PER_THREAD;
  let totalMs = 0;
  for (let index = 0; index < backlog && totalMs <= mostMs; index++) {
    if (!hasDependents(index)) return false;
    totalMs += costMs(expectedMs(index));
  }
  return totalMs <= mostMs;
}

/** What a call counts for in the window. */
export function costMs(expectedMs: number | undefined): number {
  return expectedMs ?? UNKNOWN_MS;
}
