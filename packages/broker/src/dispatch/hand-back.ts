import { SWEEP_MS } from "../intervals.ts";

/** What is known of a batch with a worker, or on the way to one. */
export interface BatchProgress {
  readonly id: string;
  /** May it begin only when its worker computes nothing else? */
  readonly isAlone: boolean;
  /** Until when it waits for that; then it has company. */
  readonly aloneUntil?: number | undefined;
  /** What its calls were expected to take together when it was sent. */
  readonly expectedMs: number;
  /** Calls of it that keep a thread busy, or will. */
  busyCalls(): number;
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
  /** Do calls wait in the runner, which an idle worker gets when the window has room? */
  readonly hasBacklog: boolean;
  readonly batches: Iterable<BatchProgress>;
  readonly now: number;
}

/**
 * A batch is made to take some milliseconds, a way through the broker takes 1 to 4. One that is not done after so long
 * was guessed wrong. Twice as long each time, so that calls do not go round and round. 200 tasks of heavy-tailed durations on two workers
 * take 1.19, 1.20 and 1.21 times the ideal with 6, 12 and 24, mixed loads 1.04, 1.04 and 1.05 (bench: balance).
 */
export const HAND_BACK_AFTER_MS = 12;

/**
 * Nor longer than this, when nothing else waits: a few per cent of the makespan of calls that are worth moving: of 20 calls of 500 ms that were thought
 * to be short, the last waited behind others for a second while a worker was idle (bench: balance, 2 workers).
 */
const LONGEST_MS = 100;

/**
 * While calls wait in the runner, a batch is left in peace until it has taken so many times what was expected: it may have
 * waited behind another, and what is handed back costs a way through the broker. One that is later still fills the window
 * with work that others could do: of 200 calls that were thought to take no time and took 14 ms, one worker had 25 and
 * the other was idle for 100 ms (bench: balance, 2 workers).
 */
const LATE_FACTOR = 4;

/**
 * The batches that should hand back what has not started, since they have outlived their time, and others may be idle
 * meanwhile. Of a batch, no more calls run at once than its worker has threads: the others wait behind them.
 *
 * One that is to run alone waits until its worker computes nothing, and that may be for ever, while another worker could begin
 * at once. It is asked for whatever it was expected to take, since it has not begun; and each time after twice as long, or where
 * all workers have long calls it would be taken from each before that has ended those that it had. When it has waited for too long
 * for that, it is asked for, also from the only worker, until it is back, and sent as one that has company.
 */
export function planHandBack({ workers, slots, hasBacklog, batches, now }: HandBackSituation): string[] {
  if (workers === 0) return [];
  const threads = slots / workers;
  const overdue: string[] = [];
  for (const batch of batches) {
    const { id, isAlone, aloneUntil, expectedMs, busyCalls, since, hasReported, handBacks } = batch;
    if (isAlone && !hasReported && aloneUntil !== undefined && now >= aloneUntil) {
      if (now - since >= SWEEP_MS) overdue.push(id);
      continue;
    }
    if (workers < 2) continue;
    const doubledMs = HAND_BACK_AFTER_MS * 2 ** handBacks;
    const askAfterMs = hasBacklog || isAlone ? doubledMs : Math.min(doubledMs, LONGEST_MS);
    const lateAfterMs = hasBacklog && !isAlone ? (LATE_FACTOR * expectedMs) / threads : 0;
    if (now - since < Math.max(askAfterMs, lateAfterMs)) continue;
    const busy = busyCalls();
    if (busy > threads || (busy > 0 && !hasReported)) overdue.push(id);
  }
  return overdue;
}
