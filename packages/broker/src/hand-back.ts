/** What is known of a batch with a worker, or on the way to one. */
export interface BatchProgress {
  readonly id: string;
  /** Calls of it that keep a thread busy, or will. */
  readonly busyCalls: number;
  /** When it was sent, or last asked. */
  readonly since: number;
  /** Has anything been heard of it? If not, it may wait in a worker behind other batches. */
  readonly hasReported: boolean;
  /** How often its calls have been asked for already. */
  readonly handBacks: number;
}

export interface HandBackSituation {
  readonly workers: number;
  /** Threads of all workers together. */
  readonly slots: number;
  readonly batches: Iterable<BatchProgress>;
  readonly now: number;
}

/**
 * A batch is made to take some milliseconds, a way through the broker takes 1 to 4. One that is not done after so long
 * was guessed wrong. Twice as long each time, so that calls do not go round and round.
 */
export const HAND_BACK_AFTER_MS = 12;

/**
 * Nor longer than this, a few per cent of the makespan of calls that are worth moving: of 20 calls of 500 ms that were thought
 * to be short, the last waited behind others for a second while a worker was idle.
 */
const LONGEST_MS = 100;

/**
 * The batches that should hand back what has not started, since they have outlived their time, and nothing else waits that
 * an idle worker could have. Of a batch, no more calls run at once than its worker has threads: the others wait behind them.
 */
export function planHandBack({ workers, slots, batches, now }: HandBackSituation): string[] {
  if (workers < 2) return [];
  const threads = slots / workers;
  const overdue: string[] = [];
  for (const { id, busyCalls, since, hasReported, handBacks } of batches) {
    const mayWait = busyCalls > threads || (busyCalls > 0 && !hasReported);
    if (mayWait && now - since >= Math.min(HAND_BACK_AFTER_MS * 2 ** handBacks, LONGEST_MS)) overdue.push(id);
  }
  return overdue;
}
