import type { LiveQueue } from "../broker.ts";
import { keysOf } from "../redis/keys.ts";
import type { Redis } from "../redis/redis-connection.ts";
import { scanKeys } from "../redis/scan.ts";
import { sealOf } from "../redis/seal.ts";
import { WorkerRegistry } from "../redis/worker-registry.ts";

/** The queues of all namespaces of a Redis that workers serve. @throws what Redis answers */
export async function findLiveQueues(redis: Redis): Promise<LiveQueue[]> {
  const sets = await scanKeys(redis, "{millrace:*}:workers:*");
  const queues = sets.flatMap((key) => {
    const [, namespace, queue] = /^\{millrace:([\w.@/-]+)\}:workers:(.*)$/s.exec(key) ?? [];
    return namespace === undefined || queue === undefined ? [] : [{ namespace, queue }];
  });
  const counted = await Promise.all(
    queues.map(async ({ namespace, queue }) => {
      const registry = new WorkerRegistry(redis, keysOf(namespace), queue, sealOf(undefined, namespace));
      const { live } = await registry.look().catch(() => ({ live: [] })); // Of what is no set of workers, there are none.
      return { namespace, queue, workers: live.length + registry.strangers };
    }),
  );
  return counted
    .filter(({ workers }) => workers > 0)
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.queue.localeCompare(b.queue));
}
