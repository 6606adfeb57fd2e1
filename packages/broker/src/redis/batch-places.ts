import type { BatchPlace } from "../batch-place.ts";
import type { Keys } from "./keys.ts";
import { doneWithin, type Redis } from "./redis-connection.ts";
import type { WorkerRegistry } from "./worker-registry.ts";
import { isWrongType, readText } from "./wrong-type.ts";

/** What Redis says of a batch. What somebody else has put in place of its lease, or of itself, is neither. */
export async function readBatch(redis: Redis, keys: Keys, queue: string, batchId: string) {
  const noJob = (error: unknown) => {
    if (isWrongType(error)) return [];
    throw error;
  };
  const [holder, [addedAt = null, takenAt = null]] = await Promise.all([
    readText(redis, keys.lease(queue, batchId)),
    redis.hmget(keys.job(queue, batchId), "timestamp", "processedOn").catch(noJob),
  ]);
  return { holder, addedAt, takenAt };
}

/** How long Redis may take to say where batches are. A healthy one takes about a millisecond. */
const LOOK_MS = 2_000;

/** Looks into Redis. A batch that is not there is returning. Undefined when Redis does not answer in time. */
export async function findBatches(
  redis: Redis,
  keys: Keys,
  queue: string,
  registry: WorkerRegistry,
  batchIds: readonly string[],
): Promise<ReadonlyMap<string, BatchPlace> | undefined> {
  const places = new Map<string, BatchPlace>();
  const look = async () => {
    const [{ live }, ...found] = await Promise.all([
      registry.look(),
      ...batchIds.map((id) => readBatch(redis, keys, queue, id)),
    ]);
    const workers = new Map(live.map((worker) => [worker.workerId, worker]));
    for (const [index, { holder, addedAt, takenAt }] of found.entries()) {
      const place: BatchPlace =
        addedAt !== null && holder !== null
          ? { type: "held", workerId: holder, worker: workers.get(holder), since: Number(takenAt ?? addedAt) }
          : { type: addedAt !== null && takenAt === null ? "waiting" : "returning" };
      places.set(batchIds[index] as string, place);
    }
  };
  return (await doneWithin(LOOK_MS, look())) ? places : undefined;
}
