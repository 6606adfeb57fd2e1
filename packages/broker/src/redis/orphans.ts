import { runnerOf } from "./bullmq.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";
import { readText } from "./wrong-type.ts";

/**
 * Takes batches out of the queue that nobody has and nobody waits for: the worker that had taken them has died, and so has the
 * process of their flow, which would have sent their calls again.
 */
export async function removeOrphans(redis: Redis, keys: Keys, queueName: string): Promise<void> {
  const taken = await redis.lrange(keys.active(queueName), 0, -1);
  await Promise.all(taken.map((batchId) => removeIfOrphan(redis, keys, queueName, batchId)));
}

async function removeIfOrphan(redis: Redis, keys: Keys, queueName: string, batchId: string): Promise<void> {
  // A lease that is held is renewed, or ends: the next look tells.
  const lease = keys.lease(queueName, batchId);
  if ((await readText(redis, lease)) !== null) return;
  if ((await redis.exists(keys.runnerLease(runnerOf(batchId)))) > 0) return;
  await redis
    .multi()
    .lrem(keys.active(queueName), 1, batchId)
    .del(keys.job(queueName, batchId), lease)
    .exec();
}
