/** What Redis says of one batch that a runner waits for. */
export interface BatchEvidence {
  readonly batchId: string;
  /** The worker that holds the lease; null when nobody does. */
  readonly holder: string | null;
  readonly exists: boolean;
  /** Has it been handed to a worker? */
  readonly isTaken: boolean;
}

export interface LostBatch {
  readonly batchId: string;
  readonly reason: string;
}

/**
 * Which batches will not be finished by those that have them.
 *
 * A batch that is taken and has no lease, or that does not exist, may just be finished, with its last report still on
 * the way: it counts as lost only when it was already so at the last look (`doubted`, which is updated).
 */
export function findLost(
  evidence: readonly BatchEvidence[],
  liveWorkers: ReadonlySet<string>,
  doubted: Set<string>,
): LostBatch[] {
  const lost: LostBatch[] = [];
  for (const { batchId, holder, exists, isTaken } of evidence) {
    const doubt = !exists
      ? "The queue no longer has the batch; Redis may have lost its data."
      : isTaken && holder === null
        ? "The lease on the batch ran out."
        : undefined;
    if (holder !== null && !liveWorkers.has(holder)) {
      lost.push({ batchId, reason: `Worker ${holder} died or was cut off: its heartbeat ended.` });
    } else if (doubt !== undefined && doubted.has(batchId)) {
      lost.push({ batchId, reason: doubt });
    } else if (doubt !== undefined) {
      doubted.add(batchId);
      continue;
    }
    doubted.delete(batchId);
  }
  return lost;
}
