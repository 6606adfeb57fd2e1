import type { LostBatch } from "../broker.ts";
import { DOUBT_MS } from "../intervals.ts";

/** What Redis says of one batch that a runner waits for. */
export interface BatchEvidence {
  readonly batchId: string;
  /** The worker that holds the lease; null when nobody does. */
  readonly holder: string | null;
  readonly exists: boolean;
  /** Has it been handed to a worker? */
  readonly isTaken: boolean;
}

/** Since when there has been a doubt about a batch, by its id: what `findLost` remembers between looks. */
export type Doubts = Map<string, number>;

/**
 * Which batches will not be finished by those that have them.
 *
 * A batch that is taken and has no lease, or that does not exist, may just be finished, with its last report still on
 * the way: it counts as lost only when it has been so for DOUBT_MS. (`doubts` is updated.)
 *
 * @param deadWorkers with why each died, as a sentence, where somebody saw it
 */
export function findLost(
  evidence: readonly BatchEvidence[],
  deadWorkers: ReadonlyMap<string, string | undefined>,
  doubts: Doubts,
  now: number,
): LostBatch[] {
  const lost: LostBatch[] = [];
  for (const { batchId, holder, exists, isTaken } of evidence) {
    const doubt = !exists
      ? "The queue no longer has the batch; Redis may have lost its data."
      : isTaken && holder === null
        ? "The lease on the batch ran out."
        : undefined;
    if (holder !== null && deadWorkers.has(holder)) {
      const why = deadWorkers.get(holder);
      const reason =
        why === undefined
          ? `Worker ${holder} died or was cut off: its heartbeat ended.`
          : `Worker ${holder} died. ${why}`;
      lost.push({ batchId, reason, hasWorkerDied: true });
    } else if (doubt !== undefined) {
      const since = doubts.get(batchId) ?? now;
      doubts.set(batchId, since);
      if (now - since < DOUBT_MS) continue;
      // One whose worker died is found by its heartbeat, which ends before.
      lost.push({ batchId, reason: doubt, hasWorkerDied: false });
    }
    doubts.delete(batchId);
  }
  return lost;
}
